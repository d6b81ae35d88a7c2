package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/guard"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// tryLater begins a trial and returns what comes of it.
func (b *bench) tryLater(ctx context.Context, t Trial) <-chan error {
	out := make(chan error, 1)
	go func() {
		_, err := b.m.Try(ctx, t)
		out <- err
	}()
	synctest.Wait()
	return out
}

// journal is the file's text: no trial may come into it.
func (b *bench) journal() string {
	b.Helper()
	raw, err := os.ReadFile(filepath.Join(b.dir, "journal"))
	if err != nil {
		b.Fatal(err)
	}
	return string(raw)
}

// allParts is a machine with every part.
var allParts = with(func(b *bench) {
	b.fake = drivertest.NewFake()
	f := b.fake
	f.SetFunc(driver.Temperature, func() (float64, error) { return 20 + f.OnFor(driver.Heater).Seconds(), nil })
	f.SetFunc(driver.Cup, func() (float64, error) {
		if f.OnFor(driver.Cups) > 0 {
			return 1, nil
		}
		return 0, nil
	})
	b.limits = map[driver.Part]guard.Limits{driver.Grinder: {Inrush: "a"}, driver.Pump: {Inrush: "a"}}
})

// Every part in turn: for its time and no longer, and what shows it.
func TestTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, allParts)
		b.fake.SetFunc(driver.Flow, func() (float64, error) {
			return 6 * (b.fake.OnFor(driver.Pump) + b.fake.OnFor(driver.Rinse)).Seconds(), nil
		})
		before := b.journal()
		var got strings.Builder
		for _, p := range b.m.Parts() {
			x, err := b.m.Try(t.Context(), b.m.ShortTry(p))
			fmt.Fprintf(&got, "%s %v: %s %.1f %v %v\n", p, x.On, x.Proof, x.Gain, x.Shown, err)
			if b.fake.AnyOn() {
				t.Errorf("after the trial of the %s: %v", p, b.fake.Levels())
			}
		}
		want := `grinder 1s: weight 1.2 true <nil>
pump 1s: flow 6.0 true <nil>
heater 1s: temperature 1.0 true <nil>
milk 1s:  0.0 false <nil>
sugar 1s:  0.0 false <nil>
rinse 1s: flow 6.0 true <nil>
cups 500ms: cup 1.0 true <nil>
`
		if d := cmp.Diff(want, got.String()); d != "" {
			t.Error(d)
		}
		if b.journal() != before {
			t.Error("a trial came into the journal")
		}
	})
}

// A probe that does not follow a second of heat is no fault; a flow meter that
// stays still is, and the third time it is latched.
func TestTryShowsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, heated(0))
		x, err := b.m.Try(t.Context(), b.m.ShortTry(driver.Heater))
		if err != nil || x.Shown || x.Proof != driver.Temperature {
			t.Errorf("a cold probe: %+v, %v", x, err)
		}
		b.fake.Set(driver.Flow, 0)
		for i := range 3 {
			if _, err := b.m.Try(t.Context(), b.m.ShortTry(driver.Pump)); err == nil || !strings.HasPrefix(err.Error(), string(NoFlow)) {
				t.Errorf("try %d: %v", i, err)
			}
			after(31 * s) // it steps back for 30 s
		}
		b.status("fault")
		if err := b.m.MayTry(""); err == nil || !strings.Contains(err.Error(), "3 ×") {
			t.Errorf("latched: %v", err)
		}
	})
}

// A long trial without water ends after 1.5 s like any pour, not at its end.
func TestTryIsVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.fake.Set(driver.Flow, 0)
		x, err := b.m.Try(t.Context(), Trial{Part: driver.Pump, For: 20 * s})
		if err == nil || !strings.HasPrefix(err.Error(), string(NoFlow)) {
			t.Error(err)
		}
		if on := b.fake.OnFor(driver.Pump); on > noFlowAfter+tick || x.On > on+tick {
			t.Errorf("on for %v, said %v", on, x.On)
		}
	})
}

// The stop key: off in that very moment, not at the loop's next look.
func TestTryStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		end := b.tryLater(ctx, Trial{Part: driver.Pump, For: 20 * s})
		after(3333 * time.Millisecond)
		b.status("busy")
		cancel(errors.New("stopped by hand"))
		if err := <-end; err == nil || err.Error() != "stopped by hand" {
			t.Error(err)
		}
		if on := b.fake.OnFor(driver.Pump); on != 3333*time.Millisecond || b.fake.AnyOn() {
			t.Errorf("on for %v", on)
		}
		after(s)
		b.status("ready")
		// Stopped before it began: nothing moves.
		if _, err := b.m.Try(ctx, Trial{Part: driver.Milk, For: s}); err == nil || b.fake.Rises(driver.Milk) > 0 {
			t.Error(err)
		}
	})
}

// The end of the machine is the end of its trial.
func TestTryEndsWithRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		end := b.tryLater(t.Context(), Trial{Part: driver.Pump, For: 20 * s})
		after(s)
		b.stop()
		if err := <-end; err == nil || err.Error() != "service-ends" {
			t.Error(err)
		}
		if _, err := b.m.Try(t.Context(), Trial{Part: driver.Pump, For: s}); err == nil {
			t.Error("tried without a loop")
		}
	})
}

// While a person tries something nobody pours, and the other way round.
func TestTryAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		before := b.journal()
		end := b.tryLater(t.Context(), Trial{Part: driver.Sugar, For: 2 * s})
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, "trial: sugar")
		if err := b.m.MayTry(driver.Milk); err == nil || err.Error() != "busy" {
			t.Error(err)
		}
		if err := b.m.ClearFault("zoe", "looked"); err == nil {
			t.Error("cleared while something is on")
		}
		if err := <-end; err != nil || b.journal() != before {
			t.Errorf("%v, or the journal changed", err)
		}
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		if err := b.m.MayTry(driver.Milk); err == nil || err.Error() != "busy" {
			t.Error(err)
		}
		b.expect(<-r, journal.Made, "")
	})
}

func TestTryRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []option
		do   func(b *bench)
		t    Trial
		want string
	}{
		{"no such part", nil, nil, Trial{Part: driver.Cups, For: s}, "no-part: cups"},
		{"too long", nil, nil, Trial{Part: driver.Pump, For: 61 * s}, "wrong-time: pump: 0 < 1m1s"},
		{"no time", nil, nil, Trial{Part: driver.Pump}, "wrong-time: pump: 0 < 0s"},
		{"stop pressed", nil, func(b *bench) { b.fake.Set(driver.Stop, 0) }, Trial{Part: driver.Milk, For: s}, "stop"},
		{"door open", nil, func(b *bench) { b.fake.Set(driver.Door, 0) }, Trial{Part: driver.Milk, For: s}, "door"},
		{"no water", nil, func(b *bench) { b.fake.Set(driver.Tank, 0) }, Trial{Part: driver.Pump, For: s}, "tank"},
		{"no beans", nil, func(b *bench) { b.fake.Set(driver.Beans, 0) }, Trial{Part: driver.Grinder, For: s}, "beans"},
		{"a sensor that can't say", nil, func(b *bench) { b.fake.Break(driver.Cup) }, Trial{Part: driver.Milk, For: s}, "sensor: cup"},
		{"latched", nil, func(b *bench) { b.rig.Trip(guard.Latch{Cause: "boom"}) }, Trial{Part: driver.Milk, For: s}, "boom"},
		{"an open drink", nil, func(b *bench) {
			b.stop()
			b.run()
			if err := b.j.Start(journal.Key{Order: "old", Epoch: 1}, journal.Note{Counter: -1}); err != nil {
				b.Fatal(err)
			}
		}, Trial{Part: driver.Milk, For: s}, "unsettled"},
		{"at rest still", []option{with(func(b *bench) { b.limits = map[driver.Part]guard.Limits{driver.Sugar: {Rest: 10 * s}} })}, func(b *bench) {
			if _, err := b.m.Try(context.Background(), Trial{Part: driver.Sugar, For: s}); err != nil {
				b.Fatal(err)
			}
			after(s)
		}, Trial{Part: driver.Sugar, For: s}, "9s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t, c.opts...)
				if c.do != nil {
					c.do(b)
				}
				calls := len(b.fake.Edges())
				_, err := b.m.Try(t.Context(), c.t)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				_, notAble := errors.AsType[*NotAble](err)
				_, rest := errors.AsType[*guard.RestError](err)
				if !notAble && !rest {
					t.Errorf("it does not say that nothing moved: %T", err)
				}
				if len(b.fake.Edges()) != calls {
					t.Errorf("something moved: %s", b.edges())
				}
			})
		})
	}
}

// Water and beans keep back only the parts that need them.
func TestTryWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.fake.Set(driver.Tank, 0)
		b.fake.Set(driver.Beans, 0)
		if _, err := b.m.Try(t.Context(), Trial{Part: driver.Milk, For: s}); err != nil {
			t.Error(err)
		}
	})
}

// A driver that fails in a trial latches like in a drink.
func TestTryDriverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.fake.Fault(driver.Milk, drivertest.On, drivertest.Fault{Err: errors.New("no contact"), Moved: true})
		_, err := b.m.Try(t.Context(), Trial{Part: driver.Milk, For: s})
		if err == nil || !strings.Contains(err.Error(), "no contact") || b.fake.AnyOn() {
			t.Errorf("%v, %v", err, b.fake.Levels())
		}
		synctest.Wait() // the answer goes before the status
		b.status("fault")
	})
}

// Whoever measures a pump is not stopped by the rate that was wrong.
func TestTryMeasures(t *testing.T) {
	slow := with(func(b *bench) {
		b.plan.Calibration = recipe.DefaultCalibration()
		b.plan.Calibration.PumpMLPS = 1
	})
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, slow)
		x, err := b.m.Try(t.Context(), Trial{Part: driver.Pump, For: 4 * s, Measure: true})
		if err != nil || x.On != 4*s || x.Gain != 24 {
			t.Errorf("%+v, %v", x, err)
		}
		if _, err := b.m.Try(t.Context(), Trial{Part: driver.Pump, For: 4 * s}); err == nil || !strings.HasPrefix(err.Error(), string(OverFlow)) {
			t.Errorf("the next one is judged as before: %v", err)
		}
	})
}

func TestSenses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.fake = drivertest.NewFake() }), without(driver.Tray))
		b.fake.Set(driver.Temperature, 130)
		b.fake.Set(driver.Hot, 0)
		b.fake.Set(driver.Tank, 0)
		b.fake.Break(driver.Beans)
		var got strings.Builder
		for _, x := range b.m.Senses() {
			fmt.Fprintf(&got, "%s: %s, bad %v\n", x.Signal, x.Text, x.Bad)
		}
		want := `temperature: 130.0 °C, which is not possible or too hot, bad true
hot: not at brewing temperature yet, bad false
flow: 0.0 ml, bad false
weight: 0.0 g, bad false
cup: a cup stands there, bad false
tank: the tank is empty, bad true
beans: it can't say: reading beans: no valid reading, bad true
door: closed, bad false
stop: not pressed, bad false
power: the supply is good, bad false
`
		if d := cmp.Diff(want, got.String()); d != "" {
			t.Error(d)
		}
	})
}
