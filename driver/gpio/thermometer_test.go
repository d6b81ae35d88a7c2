package gpio

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
)

// fakeProbe answers what the test says.
type fakeProbe struct {
	answer func() (float64, error)
	every  time.Duration
	closed atomic.Bool
	inside atomic.Bool
}

func (p *fakeProbe) read() (float64, error) {
	p.inside.Store(true)
	defer p.inside.Store(false)
	return p.answer()
}
func (p *fakeProbe) period() time.Duration { return p.every }
func (p *fakeProbe) close() error {
	if p.inside.Load() {
		return errors.New("closed while it was read")
	}
	p.closed.Store(true)
	return nil
}

func TestThermometer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type answer struct {
			v   float64
			err error
		}
		var next atomic.Value
		says := func(v float64, err error) { next.Store(answer{v, err}) }
		says(90, nil)
		p := &fakeProbe{every: time.Second, answer: func() (float64, error) {
			time.Sleep(750 * time.Millisecond) // a conversion
			a := next.Load().(answer)
			return a.v, a.err
		}}
		opened := time.Now()
		th := startThermometer(p)
		if took := time.Since(opened); took != 750*time.Millisecond {
			t.Errorf("opening took %v, and not the time of one reading", took)
		}
		is := func(want float64, age time.Duration, when string) {
			t.Helper()
			synctest.Wait()
			r, err := th.Read()
			if err != nil || r.Value != want || time.Since(r.At) != age {
				t.Errorf("%s: %v, %v old (%v); want %v, %v old", when, r.Value, time.Since(r.At), err, want, age)
			}
		}
		no := func(why, when string) {
			t.Helper()
			synctest.Wait()
			if r, err := th.Read(); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v (%v), want invalid because of %q", when, r, err, why)
			}
		}
		is(90, 0, "after open")
		time.Sleep(600 * time.Millisecond)
		is(90, 600*time.Millisecond, "its age is that of the measurement")
		says(91, nil)
		time.Sleep(400 * time.Millisecond) // 1.75 s
		is(91, 0, "the next one")

		says(0, fmt.Errorf("%w: by a pump that starts", errGarbled))
		time.Sleep(2 * time.Second)
		is(91, 2*time.Second, "two garbled answers")
		time.Sleep(time.Second)
		no("by a pump", "a third one")
		says(91, nil)
		time.Sleep(time.Second)
		is(91, 0, "well again")

		says(0, errors.New("the wire is open"))
		time.Sleep(time.Second)
		no("the wire is open", "what the probe means counts at once")
		says(0, fmt.Errorf("%w: again", errGarbled))
		time.Sleep(time.Second)
		no("again", "garbled answers don't bring a reading back")

		if e := th.close(); e != nil || !p.closed.Load() {
			t.Errorf("close: %v", e)
		}
		if _, e := th.Read(); !errors.Is(e, driver.ErrGone) {
			t.Errorf("after close: %v", e)
		}
	})
}

// A probe that hangs: the last reading grows old and ends, close does not wait
// for ever, and nothing is released under it.
func TestThermometerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		n := 0
		p := &fakeProbe{every: 250 * time.Millisecond, answer: func() (float64, error) {
			if n++; n > 1 {
				<-hang
			}
			return 90, nil
		}}
		th := startThermometer(p)
		time.Sleep(1750 * time.Millisecond)
		if _, err := th.Read(); err != nil {
			t.Errorf("three periods and a second: %v", err)
		}
		time.Sleep(time.Millisecond)
		if _, err := th.Read(); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("older: %v", err)
		}
		start := time.Now()
		if err := th.close(); err == nil || time.Since(start) != closeWithin || p.closed.Load() {
			t.Errorf("close: %v after %v", err, time.Since(start))
		}
		close(hang)
		<-th.ended
	})
}

// A probe that hangs from the begin: opening gives up waiting, the sensor says
// that it can't say.
func TestThermometerNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		th := startThermometer(&fakeProbe{every: time.Second, answer: func() (float64, error) { <-hang; return 0, errors.New("late") }})
		if _, err := th.Read(); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "no answer yet") {
			t.Errorf("err %v", err)
		}
		close(hang)
		if err := th.close(); err != nil {
			t.Error(err)
		}
	})
}

// A probe that fails at once is not asked in a circle.
func TestThermometerDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		th := startThermometer(&fakeProbe{every: 0, answer: func() (float64, error) { n++; return 0, errors.New("gone") }})
		time.Sleep(time.Second)
		if err := th.close(); err != nil {
			t.Error(err)
		}
		if n > 21 {
			t.Errorf("%d readings in a second", n)
		}
	})
}
