package guard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	grinder = driver.Grinder
	pump    = driver.Pump
	heater  = driver.Heater
	milk    = driver.Milk
)

// newRig is guard.New for the parts that the rig has, whatever the test says of
// some of them.
func newRig(rig driver.Rig, cfg guard.Config) (*guard.Rig, error) { return guard.New(rig, cfg.Of(rig)) }

// house is a fake rig behind a guard that runs.
type house struct {
	*guard.Rig
	t    *testing.T
	fake *drivertest.Fake
	stop func() error // ends Run and returns what it said
}

// run opens and runs a guard inside a bubble. The test that is done with it
// stops it, or the bubble's end does.
func run(t *testing.T, f *drivertest.Fake, cfg guard.Config) house {
	t.Helper()
	g, err := newRig(f.Rig(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return house{g, t, f, start(t, g)}
}

func (h house) longest(p driver.Part) time.Duration {
	l, _ := h.Limits(p)
	return l.MaxOn
}

func start(t *testing.T, g *guard.Rig) func() error { return begin(t.Context(), g) }

func begin(ctx context.Context, g *guard.Rig) func() error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	synctest.Wait()
	return func() error {
		cancel()
		return <-ended
	}
}

// renew sleeps with a living control loop.
func (h house) renew(d time.Duration) {
	for d > 0 {
		h.Renew()
		nap := min(d, guard.Lease)
		time.Sleep(nap)
		d -= nap
	}
	synctest.Wait()
	h.Renew()
}

func (h house) on(p driver.Part, d time.Duration) {
	h.t.Helper()
	if err := h.On(p, d); err != nil {
		h.t.Errorf("%s on: %v", p, err)
	}
}

func (h house) off(p driver.Part) {
	h.t.Helper()
	if err := h.Off(p); err != nil {
		h.t.Errorf("%s off: %v", p, err)
	}
}

// edges compares what the metal did.
func (h house) edges(want ...string) {
	h.t.Helper()
	var got []string
	for _, e := range h.fake.Edges() {
		got = append(got, e.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("edges (-want +got):\n%s", diff)
	}
	if harm := h.fake.Harm(); len(harm) > 0 {
		h.t.Errorf("harm: %q", harm)
	}
}

// together is edges where several ports move in the same instant.
func (h house) together(want ...string) {
	h.t.Helper()
	var got []string
	for _, e := range h.fake.Edges() {
		got = append(got, e.String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("edges, sorted (-want +got):\n%s", diff)
	}
}

// latched checks the cause.
func (h house) latched(want string) {
	h.t.Helper()
	l, yes := h.Latched()
	if !yes || !strings.Contains(l.Cause, want) {
		h.t.Errorf("latched: %v, %q; want %q", yes, l.Cause, want)
	}
	select {
	case <-h.Tripped():
	default:
		h.t.Error("Tripped is not closed")
	}
}

func (h house) unlatched() {
	h.t.Helper()
	if l, yes := h.Latched(); yes {
		h.t.Errorf("latched: %s", l.Cause)
	}
	select {
	case <-h.Tripped():
		h.t.Error("Tripped is closed")
	default:
	}
}

// is checks the type of an error and hands it over.
func is[E error](t *testing.T, err error) (e E) {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("error is %v, want a %T", err, e)
	}
	return e
}

func TestNewReportsAllProblemsAndTouchesNothing(t *testing.T) {
	f := drivertest.NewFake(grinder, pump, heater)
	f.SetDeadman(pump, driver.DeadmanNone)
	f.SetDeadman(heater, "")
	f.SetDeadman(grinder, "prayer")
	f.SetOffWithin(251 * time.Millisecond)
	rig := f.Rig()
	rig.Outputs["steam"] = driver.Wire{Output: rig.Outputs[pump], Deadman: driver.DeadmanBoard}
	rig.Outputs[milk] = driver.Wire{Deadman: driver.DeadmanBoard}
	rig.Appliance = appliance{}
	_, err := guard.New(rig, guard.Config{
		Name: "zoe",
		Parts: map[driver.Part]guard.Limits{
			grinder:      {MaxOn: 26 * time.Second, Rest: -1},
			pump:         {DutyOn: time.Second},
			heater:       {DutyOn: 2 * time.Second, DutyWindow: time.Second},
			driver.Sugar: {MaxOn: time.Second},
			"stirrer":    {MaxOn: time.Hour},
		},
		Forbidden: [][2]driver.Part{{pump, pump}, {heater, "stirrer"}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"zoe: unsafe machine, nothing was touched",
		"both outputs and an appliance",
		"off takes up to 251ms: it must be above 0 and at most 250ms",
		"grinder: max_on 26s is above the ceiling of 25s",
		"grinder: a time is below 0",
		"steam: the rig has it, and the machine's plan does not",
		"milk: the rig has it, and the machine's plan does not",
		"grinder: its dead man's switch is prayer by the driver and none by the machine's plan",
		`grinder: unknown deadman "prayer"`,
		"pump: nothing switches it off when this computer is dead",
		"heater: nothing switches it off when this computer is dead",
		"pump: a duty of 1s in 0s makes no sense",
		"heater: a duty of 2s in 1s makes no sense",
		"sugar: there are limits for it, but the rig has no such part",
		"stirrer: there are limits for it, but the rig has no such part",
		"milk: the driver gives no output for it",
		"steam: there is no such part",
		"pump and pump: a part can't be kept apart from itself",
		"heater and stirrer: the rig has no stirrer",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
	if n := f.Calls(); n != 0 {
		t.Errorf("the metal was touched %d times", n)
	}
	if _, err := newRig(driver.Rig{}, guard.Config{}); err == nil || !strings.Contains(err.Error(), "neither outputs nor an appliance") {
		t.Errorf("an empty rig: %v", err)
	}
}

// Every ceiling of the table refuses a higher one and keeps its own.
func TestCeilings(t *testing.T) {
	for p, want := range map[driver.Part]time.Duration{
		driver.Pump: 60 * time.Second, driver.Grinder: 25 * time.Second, driver.Milk: 45 * time.Second, driver.Rinse: 30 * time.Second,
		driver.Heater: 300 * time.Second, driver.Sugar: 10 * time.Second, driver.Cups: 5 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := drivertest.NewFake(p)
			if _, err := newRig(f.Rig(), guard.Config{Parts: map[driver.Part]guard.Limits{p: {MaxOn: want + 1}}}); err == nil {
				t.Errorf("%s: more than %v is taken", p, want)
			}
			h := run(t, f, guard.Config{})
			if got := h.longest(p); got != want {
				t.Errorf("%s: ceiling %v, want %v", p, got, want)
			}
			if e := is[*guard.CeilingError](t, h.On(p, want+1)); e.Max != want || e.Asked != want+1 || e.Used != 0 {
				t.Errorf("%+v", e)
			}
			begin := time.Now()
			h.on(p, want)
			h.renew(want + time.Minute)
			from := begin.Sub(begin)
			h.edges(fmt.Sprintf("%v %s on", from, p), fmt.Sprintf("%v %s off", want, p))
			h.unlatched()
		})
	}
}

func TestLimitsAreHandedOut(t *testing.T) {
	f := drivertest.NewFake(grinder, pump)
	rig := f.Rig()
	g, err := newRig(rig, guard.Config{Parts: map[driver.Part]guard.Limits{
		grinder: {MaxOn: 20 * time.Second, Rest: 30 * time.Second, Inrush: "a"},
		pump:    {DutyOn: 40 * time.Second, DutyWindow: time.Minute},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if l, there := g.Limits(grinder); !there || l.MaxOn != 20*time.Second || l.Rest != 30*time.Second || l.Inrush != "a" {
		t.Errorf("grinder: %+v", l)
	}
	if l, there := g.Limits(pump); !there || l.MaxOn != 40*time.Second {
		t.Errorf("pump: %v, its duty lowers the ceiling", l.MaxOn)
	}
	if l, there := g.Limits(milk); there || l != (guard.Limits{}) || g.RestLeft(milk) != 0 {
		t.Error("milk isn't there")
	}
	if s, there := g.Sensor(driver.Tank); !there || s == nil {
		t.Error("no tank")
	}
	if _, there := g.Sensor("nose"); there {
		t.Error("a nose")
	}
	if g.Appliance() != nil || g.Identity() != rig.Identity {
		t.Error("appliance or identity")
	}
	if err := g.Stored(); err != nil {
		t.Error(err)
	}
}

func TestNewSwitchesEverythingOff(t *testing.T) {
	f := drivertest.NewFake(grinder, pump)
	f.Force(pump, true)
	if _, err := newRig(f.Rig(), guard.Config{}); err != nil || f.AnyOn() || f.Calls() != 2 {
		t.Errorf("err %v, on %v, calls %d", err, f.AnyOn(), f.Calls())
	}
	f.Fault(pump, drivertest.Off, drivertest.Fault{Err: driver.ErrGone})
	if _, err := newRig(f.Rig(), guard.Config{Name: "zoe"}); !errors.Is(err, driver.ErrGone) || err.Error() != "zoe: can't switch pump off: the device is gone" {
		t.Errorf("err %v", err)
	}
}

// A driver that hangs while the rig is opened: New gives up, and when the driver
// comes back, it isn't called any more, for the caller has closed it.
func TestNewGivesUpOnADriverThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(grinder, pump)
		f.SetPort("usb", grinder, pump)
		release := make(chan struct{})
		f.Fault(grinder, drivertest.Off, drivertest.Fault{Block: release})
		rig := f.Rig()
		start := time.Now()
		_, err := newRig(rig, guard.Config{})
		if e := is[*guard.StuckError](t, err); e.Port != "usb" || e.Call != "grinder off" {
			t.Errorf("%+v", e)
		}
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("took %v", took)
		}
		_ = rig.Close()
		close(release)
		synctest.Wait()
		if f.Calls() != 1 {
			t.Errorf("%d calls: the closed driver was called", f.Calls())
		}
	})
}

func TestOnOffAndTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(pump, milk), guard.Config{})
		h.on(pump, 10*time.Second)
		h.renew(2 * time.Second)
		h.on(milk, time.Second)
		if diff := cmp.Diff([]driver.Part{pump, milk}, h.OnNow()); diff != "" {
			t.Error(diff)
		}
		h.renew(2 * time.Second) // milk goes off at 3 s
		h.on(pump, 4*time.Second)
		if got := h.fake.Asked(pump); got != 4*time.Second {
			t.Errorf("the driver was told %v", got)
		}
		h.renew(5 * time.Second) // the new bound counts: pump off at 8 s
		h.on(pump, time.Second)
		h.off(pump)
		h.off(pump)
		h.edges("0s pump on", "2s milk on", "3s milk off", "8s pump off", "9s pump on", "9s pump off")
		if len(h.OnNow()) != 0 {
			t.Error(h.OnNow())
		}
		if err := h.On("steam", 1); err == nil || !strings.Contains(err.Error(), "no such part") {
			t.Errorf("steam: %v", err)
		}
		if err := h.Off("steam"); err == nil || !strings.Contains(err.Error(), "no such part") {
			t.Errorf("steam: %v", err)
		}
		if err := h.On(pump, 0); err == nil {
			t.Error("an on without a bound")
		}
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Commanding again and again doesn't give a new ceiling, and neither do pauses
// shorter than 100 ms; a pause of 100 ms does.
func TestRecommandsDontResetTheCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(pump), guard.Config{Parts: map[driver.Part]guard.Limits{pump: {MaxOn: 10 * time.Second}}})
		h.on(pump, 6*time.Second)
		h.renew(5 * time.Second)
		h.on(pump, 5*time.Second) // until 10 s, just so
		e := is[*guard.CeilingError](t, h.On(pump, 5*time.Second+1))
		if e.Used != 5*time.Second || !strings.Contains(e.Error(), "was on for 5s, and") {
			t.Errorf("%v", e)
		}
		h.renew(4 * time.Second)
		h.off(pump) // at 9 s
		h.renew(99 * time.Millisecond)
		is[*guard.CeilingError](t, h.On(pump, time.Second+1))
		h.on(pump, 500*time.Millisecond)
		is[*guard.CeilingError](t, h.On(pump, time.Second+1)) // while it is on again
		h.renew(550 * time.Millisecond)                       // off for 50 ms
		h.on(pump, 500*time.Millisecond)                      // now the 10 s are full
		h.renew(500*time.Millisecond + 99*time.Millisecond)
		if e := is[*guard.CeilingError](t, h.On(pump, 1)); e.Used != 10*time.Second {
			t.Errorf("%v", e)
		}
		h.renew(time.Millisecond)
		h.on(pump, 10*time.Second)
		h.off(pump)
		h.edges("0s pump on", "9s pump off", "9.099s pump on", "9.599s pump off",
			"9.649s pump on", "10.149s pump off", "10.249s pump on", "10.249s pump off")
	})
}

// An On that waits for its port does not get its ceiling moved.
func TestCeilingOfACallThatHadToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump, milk)
		f.SetPort("board", pump, milk)
		h := run(t, f, guard.Config{Parts: map[driver.Part]guard.Limits{pump: {MaxOn: time.Second}}})
		h.on(pump, time.Second)
		h.renew(500 * time.Millisecond)
		f.Fault(milk, drivertest.On, drivertest.Fault{Delay: 200 * time.Millisecond})
		go h.On(milk, time.Second)
		synctest.Wait()
		h.on(pump, 500*time.Millisecond) // told at 0.7 s
		h.Renew()
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		h.edges("0s pump on", "700ms milk on", "1s pump off")
	})
}

// An On that waits for its port is dropped when its part goes off, and doesn't
// count as a time on.
func TestOffOvertakesAWaitingOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(grinder, pump, milk)
		f.SetPort("board", grinder, pump, milk)
		h := run(t, f, guard.Config{Parts: map[driver.Part]guard.Limits{pump: {Rest: time.Minute}}})
		f.Fault(grinder, drivertest.On, drivertest.Fault{Delay: 100 * time.Millisecond})
		errs := make(chan error, 3)
		go func() { errs <- h.On(grinder, time.Second) }()
		synctest.Wait()
		go func() { errs <- h.On(milk, time.Second) }()
		synctest.Wait()
		go func() { errs <- h.On(pump, time.Second) }()
		synctest.Wait()
		h.off(pump)
		var all []string
		for range 3 {
			if err := <-errs; err != nil {
				all = append(all, err.Error())
			}
		}
		if diff := cmp.Diff([]string{"can't switch pump on: it was switched off before its turn came"}, all); diff != "" {
			t.Error(diff)
		}
		if left := h.RestLeft(pump); left != 0 {
			t.Errorf("the pump rests for %v and was never on", left)
		}
		h.edges("100ms grinder on", "100ms milk on")
		h.unlatched()
		_ = h.stop()
	})
}

// An On that meets an Off under way waits for it, and then counts as new.
func TestOnWaitsForAnOffUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(pump), guard.Config{})
		h.on(pump, time.Second)
		h.fake.Fault(pump, drivertest.Off, drivertest.Fault{Delay: 50 * time.Millisecond, Times: 1})
		go h.Off(pump)
		synctest.Wait()
		h.on(pump, time.Second)
		h.off(pump)
		h.edges("0s pump on", "50ms pump off", "50ms pump on", "50ms pump off")
	})
}

func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(pump, milk), guard.Config{Name: "zoe"})
		time.Sleep(time.Hour) // at rest nobody needs to renew
		h.on(pump, time.Minute)
		h.renew(3 * time.Second)
		h.on(milk, 30*time.Second)
		time.Sleep(499 * time.Millisecond)
		synctest.Wait()
		h.unlatched()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		h.latched("the control loop gave no sign of life for 500ms")
		h.Renew() // too late
		is[*guard.LatchedError](t, h.On(pump, 1))
		h.together("1h0m0s pump on", "1h0m3s milk on", "1h0m3.5s pump off", "1h0m3.5s milk off")
	})
}

// A rig at rest never wakes up.
func TestNothingWakesAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(), guard.Config{})
		h.on(pump, time.Second)
		h.renew(2 * time.Second)
		before := h.Turns()
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		if woke := h.Turns() - before; woke != 0 {
			t.Errorf("woke up %d times in a month at rest", woke)
		}
		h.on(pump, 10*time.Second)
		h.renew(10 * time.Second)
		if woke := h.Turns() - before; woke > 50 {
			t.Errorf("woke up %d times in 10 s", woke)
		}
	})
}

func TestInrushGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(grinder, pump, milk), guard.Config{Parts: map[driver.Part]guard.Limits{grinder: {Inrush: "a"}, pump: {Inrush: "a"}}})
		h.on(grinder, time.Second)
		e := is[*guard.ConflictError](t, h.On(pump, time.Second))
		if e.Part != pump || e.With != grinder || e.Group != "a" || !strings.Contains(e.Error(), `both are in inrush group "a"`) {
			t.Errorf("%v", e)
		}
		h.on(milk, time.Second)
		h.on(grinder, time.Second) // not in its own way
		h.off(grinder)
		h.on(pump, time.Second)
		is[*guard.ConflictError](t, h.On(grinder, time.Second))
		h.edges("0s grinder on", "0s milk on", "0s grinder off", "0s pump on")
		h.unlatched()
	})
}

func TestForbiddenPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(heater, milk, pump), guard.Config{Forbidden: [][2]driver.Part{{heater, milk}}})
		h.on(heater, time.Minute)
		h.on(pump, time.Minute)
		if e := is[*guard.ConflictError](t, h.On(milk, time.Second)); e.With != heater || e.Left != 0 || e.Error() != "milk can't be on together with heater: the two are a forbidden pair" {
			t.Errorf("%v", e)
		}
		h.off(heater)
		time.Sleep(40 * time.Millisecond)
		// The contacts may not be open yet.
		if e := is[*guard.ConflictError](t, h.On(milk, time.Second)); e.Left != 60*time.Millisecond || !strings.Contains(e.Error(), "must wait 60ms after heater went off") {
			t.Errorf("%v", e)
		}
		time.Sleep(60 * time.Millisecond)
		h.on(milk, time.Second)
		is[*guard.ConflictError](t, h.On(heater, time.Second))
		h.edges("0s heater on", "0s pump on", "0s heater off", "100ms milk on")
	})
}

func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(grinder), guard.Config{Parts: map[driver.Part]guard.Limits{grinder: {Rest: 30 * time.Second}}})
		if h.RestLeft(grinder) != 0 {
			t.Error("rests before it was ever on")
		}
		h.on(grinder, 5*time.Second)
		if h.RestLeft(grinder) != 0 {
			t.Error("rests while it is on")
		}
		h.on(grinder, 5*time.Second)
		h.renew(10 * time.Second) // off at 5 s
		h.off(grinder)            // an Off of a part at rest doesn't begin the rest anew
		if got := h.RestLeft(grinder); got != 25*time.Second {
			t.Errorf("%v left", got)
		}
		if e := is[*guard.RestError](t, h.On(grinder, 1)); e.Left != 25*time.Second || e.Error() != "grinder must rest for another 25s" {
			t.Errorf("%v", e)
		}
		time.Sleep(25*time.Second - 1)
		is[*guard.RestError](t, h.On(grinder, 1))
		time.Sleep(time.Nanosecond)
		h.on(grinder, time.Second)
		h.off(grinder)
		h.edges("0s grinder on", "5s grinder off", "35s grinder on", "35s grinder off")
	})
}

func TestDuty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(pump), guard.Config{Parts: map[driver.Part]guard.Limits{pump: {DutyOn: 20 * time.Second, DutyWindow: time.Minute}}})
		h.on(pump, 15*time.Second)
		h.renew(20 * time.Second) // on 0 to 15
		if h.RestLeft(pump) != 0 || h.RestLeftFor(pump, 5*time.Second) != 0 {
			t.Error("5 s are left")
		}
		// For 10 s, 5 of the 15 must have left the window: at 65 s.
		if e := is[*guard.RestError](t, h.On(pump, 10*time.Second)); e.Left != 45*time.Second {
			t.Errorf("%v", e)
		}
		h.on(pump, 5*time.Second) // 20 to 25
		h.renew(time.Second)
		if e := is[*guard.RestError](t, h.On(pump, 5*time.Second)); e.Left <= 0 {
			t.Errorf("a re-command stretches the duty: %v", e)
		}
		h.renew(5 * time.Second)
		if got := h.RestLeft(pump); got != 34*time.Second+1 {
			t.Errorf("%v left at 26 s, want until 60 s", got)
		}
		if got := h.RestLeftFor(pump, time.Hour); got != 59*time.Second {
			t.Errorf("%v left at 26 s for more than the duty, want until 85 s, when all is forgotten", got)
		}
		time.Sleep(44 * time.Second) // 70 s: 10 s have left
		h.on(pump, 10*time.Second)
		h.off(pump)
		h.edges("0s pump on", "15s pump off", "20s pump on", "25s pump off", "1m10s pump on", "1m10s pump off")
	})
}

// Many short times on: the past is kept short, and nothing of it is forgotten.
func TestDutyOfManyPulses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(pump), guard.Config{Parts: map[driver.Part]guard.Limits{pump: {DutyOn: 10 * time.Second, DutyWindow: time.Hour}}})
		for i := range 200 {
			if err := h.On(pump, 100*time.Millisecond); err != nil {
				if i < 60 {
					t.Errorf("pulse %d: %v", i, err)
				}
				is[*guard.RestError](t, err)
			}
			h.renew(100*time.Millisecond + time.Duration(100+i%3)*time.Millisecond)
		}
		if got := h.fake.OnFor(pump); got > 10*time.Second || got < 5*time.Second {
			t.Errorf("on for %v of 10s", got)
		}
	})
}

// appliance is a machine that owns its own safety.
type appliance struct{ driver.Appliance }

func TestAppliance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := newRig(driver.Rig{Identity: driver.Identity{Kind: "jura"}, Appliance: appliance{}}, guard.Config{})
		if err != nil {
			t.Fatal(err)
		}
		h := house{g, t, drivertest.NewFake(), start(t, g)}
		if g.Appliance() == nil {
			t.Error("no appliance")
		}
		if err := g.On(pump, time.Second); err == nil {
			t.Error("a pump")
		}
		g.Trip(guard.Latch{Cause: "error 8"})
		h.latched("error 8")
		if err := g.Clear("ann", "brew group looked at"); err != nil {
			t.Error(err)
		}
		h.unlatched()
		if err := errors.Join(h.stop(), g.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Whoever wants to switch something on can wait until the guard runs.
func TestStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(pump)
		g, err := newRig(f.Rig(), guard.Config{})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-g.Started():
			t.Error("started before Run")
		default:
		}
		if err := g.On(pump, time.Second); !errors.Is(err, guard.ErrNotRunning) {
			t.Errorf("on before Run: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		<-g.Started()
		if err := g.On(pump, time.Second); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil || f.AnyOn() {
			t.Errorf("%v, on: %v", err, f.Levels())
		}
	})
}

// A contact is handed over if the driver has one.
func TestContact(t *testing.T) {
	f := drivertest.NewFake(pump, milk)
	f.SetContact(pump, nil)
	g, err := newRig(f.Rig(), guard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c, there := g.Contact(pump)
	if !there {
		t.Fatal("no contact")
	}
	f.Force(pump, true)
	if r, err := c.Read(); err != nil || !r.Yes() {
		t.Errorf("%v %v", r, err)
	}
	if _, there := g.Contact(milk); there {
		t.Error("a contact that nothing stands behind")
	}
	if _, there := g.Contact("tea"); there {
		t.Error("a contact of no part")
	}
}

// A relay that says on when the service starts: the machine comes up latched, for
// everybody to see, and the guard goes on trying to switch it off. With anything
// else at that moment it does not come up.
func TestFeedbackAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := drivertest.NewFake(pump, milk)
		still := fmt.Errorf("%w: its feedback still says on", driver.ErrFeedback)
		f.Fault(pump, drivertest.Off, drivertest.Fault{Err: still})
		h := run(t, f, guard.Config{State: dir})
		h.latched("can't switch pump off")
		if l, _ := h.Latched(); !l.Feedback || !slices.Equal(h.OnNow(), []driver.Part{pump}) {
			t.Errorf("%+v, on: %v", l, h.OnNow())
		}
		if err := h.On(milk, time.Second); err == nil {
			t.Error("another part went on")
		}
		time.Sleep(time.Minute)
		if err := h.Clear("Ada", "looked at it"); !errors.Is(err, driver.ErrFeedback) {
			t.Errorf("cleared while it says on: %v", err)
		}
		f.Fault(pump, drivertest.Off, drivertest.Fault{}) // somebody put another relay in
		time.Sleep(time.Minute)
		synctest.Wait()
		if on := h.OnNow(); len(on) > 0 {
			t.Errorf("it says off, and the guard did not try again: %v", on)
		}
		h.latched("can't switch pump off")
		h.stop()
		// It is on disk, and a person clears it.
		h = run(t, f, guard.Config{State: dir})
		h.latched("can't switch pump off")
		if err := h.Clear("Ada", "another relay"); err != nil {
			t.Error(err)
		}
		h.on(pump, time.Second)
		h.off(pump)
		h.stop()
		for _, other := range []error{errRelay, driver.ErrGone} {
			f.Fault(pump, drivertest.Off, drivertest.Fault{Err: still})
			f.Fault(milk, drivertest.Off, drivertest.Fault{Err: other})
			if _, err := newRig(f.Rig(), guard.Config{State: dir}); !errors.Is(err, other) {
				t.Errorf("beside %v: %v", other, err)
			}
		}
	})
}

// A relay that does not do what it was told is told apart, over a restart too.
func TestFeedbackLatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for op, feedback := range map[error]bool{fmt.Errorf("%w: still on", driver.ErrFeedback): true, errRelay: false} {
			dir := t.TempDir()
			f := drivertest.NewFake(pump, milk)
			h := run(t, f, guard.Config{State: dir})
			h.on(pump, 100*time.Millisecond)
			f.Fault(pump, drivertest.Off, drivertest.Fault{Err: op, Moved: true, Times: 2})
			time.Sleep(200 * time.Millisecond) // the guard's own off: nobody hears its error
			synctest.Wait()
			if l, latched := h.Latched(); !latched || l.Feedback != feedback {
				t.Errorf("%v: latched %v: %+v", op, latched, l)
			}
			h.stop()
			g, err := newRig(f.Rig(), guard.Config{State: dir})
			if err != nil {
				t.Fatal(err)
			}
			if l, latched := g.Latched(); !latched || l.Feedback != feedback {
				t.Errorf("%v: after a restart, latched %v: %+v", op, latched, l)
			}
		}
	})
}

// What a part did since the start is counted, for whoever plans its upkeep.
func TestUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, drivertest.NewFake(pump, milk), guard.Config{})
		h.on(pump, 3*time.Second)
		h.renew(4 * time.Second) // off at 3 s, by the bound
		h.on(pump, 5*time.Second)
		h.on(pump, 4*time.Second) // one run all the same
		h.renew(2 * time.Second)
		want := map[driver.Part]guard.Use{pump: {For: 5 * time.Second, Runs: 2}, milk: {}}
		if diff := cmp.Diff(want, h.Used()); diff != "" {
			t.Error(diff)
		}
		h.Trip(guard.Latch{Code: "no-flow"})
		h.Trip(guard.Latch{Code: "no-flow"}) // the first one holds
		h.renew(time.Second)
		if diff := cmp.Diff(want, h.Used()); diff != "" {
			t.Error(diff)
		}
		if err := h.Clear("ann", "looked at it"); err != nil {
			t.Fatal(err)
		}
		h.Trip(guard.Latch{Cause: "the board says no"})
		if diff := cmp.Diff(map[string]int{"no-flow": 1, "": 1}, h.Trips()); diff != "" {
			t.Error(diff)
		}
	})
}
