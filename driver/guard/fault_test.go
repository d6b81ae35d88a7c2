package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/guard"
)

var errRelay = errors.New("relay board says no")

// An On that fails may have moved the metal all the same.
func TestErrorOfOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		h := run(t, f, guard.Config{Name: "zoe"})
		h.on(milk, time.Second)
		f.Fault(pump, drivertest.On, drivertest.Fault{Err: errRelay, Moved: true})
		err := h.On(pump, time.Second)
		if !errors.Is(err, errRelay) || err.Error() != "zoe: can't switch pump on: relay board says no" {
			t.Errorf("%v", err)
		}
		if f.Level(pump) {
			t.Error("On came back and the pump is on")
		}
		synctest.Wait()
		h.latched("zoe: can't switch pump on: relay board says no")
		if e := is[*guard.LatchedError](t, h.On(milk, time.Second)); !strings.Contains(e.Latch.Cause, "relay board") {
			t.Errorf("%v", e)
		}
		f.Fault(pump, drivertest.On, drivertest.Fault{})
		time.Sleep(time.Second)
		h.together("0s milk on", "0s pump on", "0s milk off", "0s pump off")
		if len(h.OnNow()) != 0 {
			t.Error(h.OnNow())
		}
	})
}

// A part that can't be switched off is tried again and again, shown as on, and
// nobody can clear the fault before it is off.
func TestErrorOfOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		h := run(t, f, guard.Config{})
		h.on(pump, 10*time.Second)
		h.on(milk, 10*time.Second)
		f.Fault(pump, drivertest.Off, drivertest.Fault{Err: errRelay})
		h.renew(2 * time.Second)
		if err := h.Off(pump); !errors.Is(err, errRelay) {
			t.Errorf("%v", err)
		}
		h.latched("can't switch pump off: relay board says no")
		time.Sleep(500 * time.Millisecond)
		if diff := cmp.Diff([]driver.Part{pump}, h.OnNow()); diff != "" {
			t.Error(diff)
		}
		if err := h.Clear("ann", "looked at it"); err == nil || !strings.Contains(err.Error(), "not everything can be switched off") {
			t.Errorf("%v", err)
		}
		calls := f.Calls()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := f.Calls() - calls; n < 9 || n > 11 {
			t.Errorf("tried %d times in 10 s", n)
		}
		if err := h.AllOff(); !errors.Is(err, errRelay) {
			t.Errorf("%v", err)
		}
		f.Fault(pump, drivertest.Off, drivertest.Fault{})
		time.Sleep(time.Second)
		synctest.Wait()
		if f.AnyOn() || len(h.OnNow()) != 0 {
			t.Errorf("on: %v", h.OnNow())
		}
		if err := h.Clear("ann", "changed the board"); err != nil {
			t.Error(err)
		}
		h.unlatched()
		h.on(pump, time.Second)
		h.off(pump)
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
}

// The bound of an On, not only the hand of a caller, finds a relay that fails.
func TestErrorOfOffAtTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump)
		h := run(t, f, guard.Config{})
		h.on(pump, time.Second)
		f.Fault(pump, drivertest.Off, drivertest.Fault{Err: errRelay, Times: 1})
		h.renew(2 * time.Second)
		h.latched("relay board says no")
		h.edges("0s pump on", "1s pump off") // at once again, and then it went
	})
}

func TestPanicOfADriverIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		h := run(t, f, guard.Config{})
		h.on(milk, time.Second)
		f.Fault(pump, drivertest.On, drivertest.Fault{Panic: "nil map"})
		if err := h.On(pump, time.Second); err == nil || !strings.Contains(err.Error(), "the driver panicked: nil map") {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		h.latched("nil map")
		h.edges("0s milk on", "0s milk off")
	})
}

// One port hangs: it is given up in time, the others go off at once, what it
// says later counts for nothing, and when it comes back it is switched off.
func TestStuckPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, grinder, milk, heater)
		f.SetPort("usb", pump, grinder)
		f.SetOffWithin(200 * time.Millisecond)
		h := run(t, f, guard.Config{Name: "zoe"})
		h.on(milk, 10*time.Second)
		h.on(heater, 10*time.Second)
		release := make(chan struct{})
		f.Fault(pump, drivertest.On, drivertest.Fault{Block: release, Times: 1})
		waits := make(chan error)
		go func() {
			time.Sleep(100 * time.Millisecond)
			waits <- h.On(grinder, time.Second)
		}()
		begin := time.Now()
		err := h.On(pump, 10*time.Second)
		if e := is[*guard.StuckError](t, err); e.Port != "usb" || e.Call != "pump on" || e.Within != 200*time.Millisecond {
			t.Errorf("%+v", e)
		}
		if !strings.Contains(err.Error(), `zoe: port "usb" did not come back from switching pump on within 200ms: what hangs on it may be on`) {
			t.Error(err)
		}
		if took := time.Since(begin); took != 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
		is[*guard.StuckError](t, <-waits)
		synctest.Wait()
		h.latched("did not come back")
		h.together("0s milk on", "0s heater on", "200ms heater off", "200ms milk off")

		// The stuck port answers at once that it is stuck, and delays nobody.
		is[*guard.StuckError](t, h.Off(pump))
		is[*guard.StuckError](t, h.Off(grinder))
		is[*guard.StuckError](t, h.AllOff())
		h.off(milk)
		if err := h.Clear("ann", "in a hurry"); err == nil {
			t.Error("cleared with a port that hangs")
		}
		if diff := cmp.Diff([]driver.Part{grinder, pump}, h.OnNow()); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(begin); took != 200*time.Millisecond {
			t.Errorf("waited: %v", took)
		}

		time.Sleep(time.Hour)
		close(release) // the driver comes back: the relay clicks on, and off again
		synctest.Wait()
		n := len(f.Edges())
		if n < 2 || f.AnyOn() || f.Edges()[n-2].String() != "1h0m0.2s pump on" || f.Edges()[n-1].String() != "1h0m0.2s pump off" {
			t.Errorf("edges %v", f.Edges())
		}
		h.latched("did not come back")
		h.off(pump)
		if err := h.Clear("ann", "changed the cable"); err != nil {
			t.Error(err)
		}
		// For all that anybody knows it was on for an hour: a real pause first.
		is[*guard.CeilingError](t, h.On(pump, time.Second))
		time.Sleep(100 * time.Millisecond)
		h.on(pump, time.Second)
		if err := h.stop(); err != nil {
			t.Error(err)
		}
		if harm := f.Harm(); len(harm) > 0 {
			t.Error(harm)
		}
	})
}

// An Off that hangs; the driver comes back after Run ended, even then it is
// switched off, and its goroutine ends. After Close it isn't called any more.
func TestStuckOffOutlivesRun(t *testing.T) {
	for _, closed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := drivertest.NewFake(pump, milk)
			h := run(t, f, guard.Config{})
			h.on(pump, time.Second)
			release := make(chan struct{})
			f.Fault(pump, drivertest.Off, drivertest.Fault{Block: release, Err: errRelay, Times: 1})
			is[*guard.StuckError](t, h.Off(pump))
			begin := time.Now()
			is[*guard.StuckError](t, h.stop())
			if took := time.Since(begin); took != 0 {
				t.Errorf("Run took %v to end", took)
			}
			if closed {
				is[*guard.StuckError](t, h.Close())
			} else {
				is[*guard.StuckError](t, h.AllOff())
			}
			close(release)
			synctest.Wait()
			if f.Level(pump) != closed {
				t.Errorf("closed %v: pump is on: %v", closed, f.Level(pump))
			}
			if !closed {
				if err := h.AllOff(); err != nil {
					t.Error(err)
				}
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}
			if harm := f.Harm(); len(harm) > 0 {
				t.Error(harm)
			}
		})
	}
}

// A port that hangs while the rig is latched already, with no Run to try again:
// what may be on is switched off all the same when the driver comes back.
func TestStuckWhileLatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump)
		g, err := newRig(f.Rig(), guard.Config{})
		if err != nil {
			t.Fatal(err)
		}
		g.Trip(guard.Latch{Cause: "no flow"})
		f.Force(pump, true)
		release := make(chan struct{})
		f.Fault(pump, drivertest.Off, drivertest.Fault{Block: release, Err: errRelay, Times: 1})
		is[*guard.StuckError](t, g.AllOff())
		f.Fault(pump, drivertest.Off, drivertest.Fault{Delay: 50 * time.Millisecond, Times: 1})
		close(release)
		synctest.Wait()
		// The port answers again: who asks now gets its true answer.
		begin := time.Now()
		if err := g.AllOff(); err != nil || time.Since(begin) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if f.AnyOn() || f.Calls() != 4 { // New, Trip, the one that hung, the one after it
			t.Errorf("on %v, %d calls", f.AnyOn(), f.Calls())
		}
	})
}

// The first Off after a trip fails: it is tried again at once.
func TestTripTriesAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump)
		h := run(t, f, guard.Config{})
		h.on(pump, time.Minute)
		f.Fault(pump, drivertest.Off, drivertest.Fault{Err: errRelay, Times: 1})
		h.Trip(guard.Latch{Cause: "no flow"})
		synctest.Wait()
		h.edges("0s pump on", "0s pump off")
	})
}

// A call that comes back in the very moment in which it is given up.
func TestBackInTheLastMoment(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			f := drivertest.NewFake(pump)
			f.SetOffWithin(time.Millisecond)
			h := run(t, f, guard.Config{})
			f.Fault(pump, drivertest.On, drivertest.Fault{Delay: time.Millisecond})
			err := h.On(pump, time.Minute)
			synctest.Wait()
			_, latched := h.Latched()
			if latched != (err != nil) || f.Level(pump) != (err == nil) {
				t.Errorf("err %v, latched %v, level %v", err, latched, f.Level(pump))
			}
			_ = h.stop()
		})
	}
}

func TestTripAndClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		h := run(t, f, guard.Config{Name: "zoe"})
		h.unlatched()
		if err := h.Clear("ann", "bored"); !errors.Is(err, guard.ErrNotLatched) {
			t.Errorf("%v", err)
		}
		before := h.Tripped()
		h.on(pump, 10*time.Second)
		h.Trip(guard.Latch{Cause: "no flow"})
		if f.AnyOn() {
			t.Error("Trip came back and something is on")
		}
		<-before
		h.Trip(guard.Latch{Cause: "something else"})
		h.latched("no flow")
		for _, who := range [][2]string{{"", "why"}, {"ann", " "}} {
			if err := h.Clear(who[0], who[1]); err == nil || !strings.Contains(err.Error(), "say who clears it and why") {
				t.Errorf("%v", err)
			}
		}
		h.latched("no flow")
		if err := h.Clear("ann", "the tank was empty"); err != nil {
			t.Error(err)
		}
		h.unlatched()
		if f.AnyOn() {
			t.Error("Clear switched something on")
		}
		h.on(pump, time.Second)
		h.Trip(guard.Latch{Cause: " \n"})
		h.latched("tripped without a cause")
		h.edges("0s pump on", "0s pump off", "0s pump on", "0s pump off")
		_ = h.stop()
		h.Trip(guard.Latch{Cause: "after the end"}) // does not hang
	})
}

// A fault that comes while Clear sees to it that everything is off.
func TestClearLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		h := run(t, f, guard.Config{})
		f.Fault(milk, drivertest.Off, drivertest.Fault{Delay: 200 * time.Millisecond, Times: 1})
		cleared := make(chan error)
		go func() { cleared <- h.Clear("ann", "too early") }()
		synctest.Wait() // the pump is off, milk is on its way
		h.on(pump, time.Second)
		f.Fault(pump, drivertest.Off, drivertest.Fault{Err: errRelay, Times: 2})
		h.Trip(guard.Latch{Cause: "no flow"})
		if err := <-cleared; err == nil || !strings.Contains(err.Error(), "not everything is off yet") {
			t.Errorf("%v", err)
		}
		h.latched("no flow")
		_ = h.stop()
	})
}

func TestCauseIsBounded(t *testing.T) {
	g, err := newRig(drivertest.NewFake().Rig(), guard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g.Trip(guard.Latch{Cause: "a\xff" + strings.Repeat("é", 5000)})
	l, _ := g.Latched()
	if len(l.Cause) > 510 || !strings.HasPrefix(l.Cause, "a?éé") || !strings.HasSuffix(l.Cause, "é…") {
		t.Errorf("%d bytes: %q", len(l.Cause), l.Cause)
	}
}

func TestLifeOfARig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		g, err := newRig(f.Rig(), guard.Config{})
		if err != nil {
			t.Fatal(err)
		}
		// Before Run.
		if err := g.On(pump, 1); !errors.Is(err, guard.ErrNotRunning) {
			t.Errorf("%v", err)
		}
		if err := g.Off(pump); !errors.Is(err, guard.ErrNotRunning) {
			t.Errorf("%v", err)
		}
		f.Force(pump, true)
		if err := g.AllOff(); err != nil || f.AnyOn() {
			t.Errorf("%v", err)
		}
		h := house{g, t, f, start(t, g)}
		if err := g.Run(context.Background()); err == nil {
			t.Error("ran twice at once")
		}
		if err := g.Close(); err == nil || !strings.Contains(err.Error(), "end Run first") {
			t.Errorf("%v", err)
		}
		h.on(pump, time.Minute)
		h.on(milk, 30*time.Second)
		if err := h.stop(); err != nil || f.AnyOn() {
			t.Errorf("%v", err)
		}
		h.unlatched()
		// After Run.
		if err := g.On(pump, 1); !errors.Is(err, guard.ErrNotRunning) {
			t.Errorf("%v", err)
		}
		if err := g.Off(pump); !errors.Is(err, guard.ErrNotRunning) {
			t.Errorf("%v", err)
		}
		g.Renew()
		f.Force(pump, true)
		if err := g.AllOff(); err != nil || f.AnyOn() {
			t.Errorf("%v", err)
		}
		if err := g.Run(context.Background()); err == nil {
			t.Error("ran twice")
		}
		if err := errors.Join(g.Close(), g.Close()); err != nil {
			t.Error(err)
		}
		// After Close the driver is not called any more.
		calls := f.Calls()
		if err := g.AllOff(); err == nil || !strings.Contains(err.Error(), "the rig was closed") {
			t.Errorf("%v", err)
		}
		g.Trip(guard.Latch{Cause: "too late"})
		h.latched("too late")
		if err := g.Clear("ann", "too late"); err == nil {
			t.Error("cleared a closed rig")
		}
		if f.Calls() != calls || len(f.Harm()) > 0 {
			t.Errorf("the driver was called after close: %q", f.Harm())
		}
	})
}

func TestCloseWithoutRun(t *testing.T) {
	f := drivertest.NewFake(pump)
	rig := f.Rig()
	rig.Close = func() error { return errRelay }
	g, err := newRig(rig, guard.Config{Name: "zoe"})
	if err != nil {
		t.Fatal(err)
	}
	f.Force(pump, true)
	if err := g.Close(); !errors.Is(err, errRelay) || !strings.Contains(err.Error(), "zoe: releasing the driver") {
		t.Errorf("%v", err)
	}
	if f.AnyOn() {
		t.Error("closed with the pump on")
	}
	if err := g.Run(context.Background()); err == nil {
		t.Error("a closed rig runs")
	}
}

// What can't be switched off at the end is tried twice, and then reported.
func TestRunReportsWhatStaysOn(t *testing.T) {
	for times, want := range map[int]error{1: nil, 0: errRelay} {
		synctest.Test(t, func(t *testing.T) {
			f := drivertest.NewFake(pump)
			h := run(t, f, guard.Config{})
			h.on(pump, time.Minute)
			f.Fault(pump, drivertest.Off, drivertest.Fault{Err: errRelay, Times: times})
			if err := h.stop(); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			h.latched("relay board says no")
		})
	}
}

// Unplugged in the middle of everything: errors, a latch, and nothing goes on
// when the cable is back.
func TestUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		h := run(t, f, guard.Config{})
		h.on(pump, time.Second)
		f.Unplug()
		h.renew(2 * time.Second)
		h.latched("the device is gone")
		if !f.Level(pump) {
			t.Error("an unplugged relay can't be switched off")
		}
		f.Plug()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		h.edges("0s pump on", "3s pump off") // tried again once a second since 1 s
	})
}
