package plant

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in runs a test in fake time with a plant of the default figures, changed by
// the given functions.
func in(t *testing.T, f func(t *testing.T, p *Plant), change ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := Default()
		for _, ch := range change {
			ch(&c)
		}
		f(t, New(c))
	})
}

// sleep moves the fake clock.
func sleep(seconds float64) { time.Sleep(time.Duration(seconds * float64(time.Second))) }

// hold switches a part on for a time.
func hold(p *Plant, part driver.Part, seconds float64) {
	p.Set(part, true)
	sleep(seconds)
	p.Set(part, false)
}

// drink grinds 9 g and pours 42 ml.
func drink(p *Plant) {
	hold(p, driver.Grinder, 7.5)
	hold(p, driver.Pump, 7)
}

// tallies is the part of Counts that judges, as a line to compare.
type tallies struct{ cup, full, tray, partial, water int }

func judge(p *Plant) tallies {
	c := p.Counts()
	return tallies{c.InCup, c.InFullCup, c.InTray, c.Partial, c.Water}
}

func want(t *testing.T, p *Plant, w tallies) {
	t.Helper()
	if got := judge(p); got != w {
		t.Errorf("counted %+v, want %+v; flows:\n%s", got, w, Lines(p.Flows()))
	}
	if c := p.Counts(); c.Drinks != w.cup+w.full+w.tray || len(p.Poured()) != c.Drinks {
		t.Errorf("%d drinks, %d poured, want %d", c.Drinks, len(p.Poured()), w.cup+w.full+w.tray)
	}
}

func noHarm(t *testing.T, p *Plant) {
	t.Helper()
	if h := p.Counts().Harm; len(h) > 0 {
		t.Errorf("harm: %v", h)
	}
}

// near allows for the rounding of whole nanoseconds.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-5 }
