package machine

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/recipe"
)

// TestGauges: a sensor's word is told whatever the machine is at, and where there is no
// sensor nothing is.
func TestGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		expect := func(when string, state State, want Gauges) {
			t.Helper()
			if st := b.m.Status(); st.State != state || st.Gauges != want {
				t.Errorf("%s: %s, %+v, want %s, %+v", when, st.State, st.Gauges, state, want)
			}
		}
		after(2 * s)
		expect("all is well", StateReady, Gauges{GaugeThere, GaugeThere, GaugeThere})
		made := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(10 * s) // the beans are ground
		b.fake.Set(driver.Beans, 0)
		after(s)
		expect("the last beans", StateBusy, Gauges{GaugeOut, GaugeThere, GaugeThere})
		<-made
		b.fake.Break(driver.Tray)
		after(2 * s)
		expect("no beans, and a loose wire", StateBlocked, Gauges{GaugeOut, GaugeThere, GaugeSilent})
		b.fake.Set(driver.Beans, 1)
		b.fake.Set(driver.Tray, 1)
		b.rig.Trip(guard.Latch{Code: "no-flow"})
		after(2 * s)
		b.fake.Set(driver.Tank, 0)
		after(2 * s)
		expect("locked", StateFault, Gauges{GaugeThere, GaugeOut, GaugeThere})
	})
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) {
			for _, s := range []driver.Signal{driver.Beans, driver.Tank, driver.Tray} {
				b.fake.Remove(s)
			}
		}))
		after(2 * s)
		if st := b.m.Status(); st.State != StateReady || st.Gauges != (Gauges{}) {
			t.Errorf("%+v without sensors", st)
		}
	})
}

// TestGaugesOfAnAppliance: they are those of its last answer; what it does not watch is
// told only while it is out, and a machine that does not answer tells nothing.
func TestGaugesOfAnAppliance(t *testing.T) {
	want := func(not ...driver.Signal) error { return &driver.WantError{Signals: not, What: "look at it"} }
	synctest.Test(t, func(t *testing.T) {
		a := &bar{watches: []driver.Signal{driver.Tank}}
		b := setUpBar(t, t.TempDir(), a)
		for _, c := range []struct {
			answer error
			state  State
			gauges Gauges
			lacks  []string
		}{
			{nil, StateReady, Gauges{Water: GaugeThere}, nil},
			{want(driver.Tray, driver.Tank), StateBlocked, Gauges{Water: GaugeOut, Tray: GaugeOut}, []string{"water", "tray"}},
			{want(driver.Tray), StateBlocked, Gauges{Water: GaugeThere, Tray: GaugeOut}, []string{"tray"}},
			{fmt.Errorf("it is busy: %w", driver.ErrNotYet), StateStarting, Gauges{Water: GaugeThere, Tray: GaugeOut}, nil}, // as before
			{want(), StateBlocked, Gauges{Water: GaugeThere}, nil},
			{errors.New("it does not answer"), StateBlocked, Gauges{Water: GaugeSilent}, nil},
			{nil, StateReady, Gauges{Water: GaugeThere}, nil},
		} {
			_ = a.do(func() error { a.wants = c.answer; return nil })
			after(2 * askReady)
			if st := b.m.Status(); st.State != c.state || st.Gauges != c.gauges || !slices.Equal(st.Lacks, c.lacks) {
				t.Errorf("%v: %s, %+v, lacks %v, want %s, %+v, %v", c.answer, st.State, st.Gauges, st.Lacks, c.state, c.gauges, c.lacks)
			}
		}
		go b.m.Make(t.Context(), Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "small"}, Deadline: time.Now().Add(2 * s)})
		after(5 * s)
		if st := b.m.Status(); st.State != StateBusy || st.Gauges != (Gauges{Water: GaugeThere}) {
			t.Errorf("at work: %+v", st)
		}
	})
}
