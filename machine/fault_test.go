package machine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/guard"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// heated is a machine with a heater of its own, whose boiler gains the given
// °C/s.
func heated(rate float64) option {
	return with(func(b *bench) {
		b.fake = drivertest.NewFake(driver.Grinder, driver.Pump, driver.Sugar, driver.Heater)
		f := b.fake
		f.SetFunc(driver.Temperature, func() (float64, error) { return 20 + rate*f.OnFor(driver.Heater).Seconds(), nil })
	})
}

func without(signals ...driver.Signal) option {
	return with(func(b *bench) {
		for _, s := range signals {
			b.fake.Remove(s)
		}
	})
}

// strike is one way of a fault into a drink: at is when it begins, seen when
// every output must be at rest, both since the drink began; a small cup grinds
// to 7.5 s and pours to 14.2 s. at < 0: before the drink.
type strike struct {
	cause Cause
	name  string
	opts  []option
	at    time.Duration
	do    func(b *bench)
	seen  time.Duration
	out   Outcome
	drink recipe.Drink
}

const tick = 50 * time.Millisecond // the promise: at rest within 50 ms of a reading

var strikes = []strike{
	{NoFlow, "from the start", nil, 0, func(b *bench) { b.fake.Set(driver.Flow, 0) }, 7500*time.Millisecond + noFlowAfter + tick, journal.Spoiled, small},
	{NoFlow, "in the middle", nil, 10 * s, func(b *bench) { b.fake.Set(driver.Flow, 15) }, 10*s + noFlowAfter + tick, journal.Spoiled, small},
	{ShortFlow, "", nil, 0, func(b *bench) {
		b.fake.SetFunc(driver.Flow, func() (float64, error) { return 2 * b.fake.OnFor(driver.Pump).Seconds(), nil })
	}, 7500*time.Millisecond + 12100*time.Millisecond + tick, journal.Spoiled, small},
	{OverFlow, "", nil, 9 * s, func(b *bench) {
		b.fake.SetFunc(driver.Flow, func() (float64, error) { return 40 * b.fake.OnFor(driver.Pump).Seconds(), nil })
	}, 9*s + overWindow + tick, journal.Spoiled, recipe.Drink{Size: "large", WaterML: 180}},
	{OverFlow, "falls", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Flow, 1) }, 9*s + overWindow + tick, journal.Spoiled, small},
	{NoGrind, "from the start", nil, 0, func(b *bench) { b.fake.Set(driver.Weight, 0) }, noGrindAfter + tick, journal.Spoiled, small},
	{NoGrind, "in the middle", nil, 3 * s, func(b *bench) { b.fake.Set(driver.Weight, 3.6) }, 3*s + noGrindAfter + tick, journal.Spoiled, small},
	{NoGrind, "at the end of a short one", nil, 0, func(b *bench) { b.fake.Set(driver.Weight, 0) }, time.Second + tick, journal.Spoiled, recipe.Drink{Size: "s", Grams: 1.2, WaterML: 20}},
	{Cold, "", []option{with(func(b *bench) { b.cfg.HotWait = 20 * s })}, 3 * s, func(b *bench) { b.fake.Set(driver.Hot, 0) }, 27500*time.Millisecond + tick, journal.Spoiled, small},
	{HeatSlow, "", []option{heated(0.05)}, -1, nil, heatWindow + tick, journal.Untouched, small},
	{HeatSlow, "not there in time", []option{heated(0.5), with(func(b *bench) { b.cfg.HotWait = 30 * s })}, -1, nil, 30*s + tick, journal.Untouched, small},
	{HeatFast, "", []option{heated(1)}, 10 * s, func(b *bench) {
		b.fake.SetFunc(driver.Temperature, func() (float64, error) { return 20 + 5*b.fake.OnFor(driver.Heater).Seconds(), nil })
	}, 10*s + fastWindow + tick, journal.Untouched, small},
	{HeatFrozen, "", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Set(driver.Temperature, 25) }, 5*s + frozenAfter + tick, journal.Untouched, small},
	{HeatSensor, "open", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Break(driver.Temperature) }, 5*s + 2*busyTick + tick, journal.Untouched, small},
	{HeatSensor, "short", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Set(driver.Temperature, 900) }, 5*s + 2*busyTick + tick, journal.Untouched, small},
	{HeatSensor, "while it pours", nil, 9 * s, func(b *bench) { b.fake.Break(driver.Temperature) }, 9*s + 2*busyTick + tick, journal.Spoiled, small},
	{TooHot, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Temperature, 125) }, 9*s + tick, journal.Spoiled, small},
	{WeldedPump, "", nil, 9 * s, func(b *bench) {
		// The relay welds: the meter goes on counting after "off".
		start := time.Now()
		b.fake.SetFunc(driver.Flow, func() (float64, error) { return 9 + 6*time.Since(start).Seconds(), nil })
	}, 14200*time.Millisecond + weldSettle + s, journal.Spoiled, recipe.Drink{Size: "s", Grams: 9, WaterML: 40, MilkML: 60}},
	{TankEmpty, "heater", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Set(driver.Tank, 0) }, 5*s + tick, journal.Untouched, small},
	{TankEmpty, "pump, no meter", []option{without(driver.Flow)}, 9 * s, func(b *bench) { b.fake.Set(driver.Tank, 0) }, 9*s + tick, journal.Spoiled, small},
	{TankEmpty, "pump, by the meter", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Tank, 0); b.fake.Set(driver.Flow, 9) }, 9*s + noFlowAfter + tick, journal.Spoiled, small},
	{BeansEmpty, "no scale", []option{without(driver.Weight)}, 3 * s, func(b *bench) { b.fake.Set(driver.Beans, 0) }, 3*s + tick, journal.Spoiled, small},
	{BeansEmpty, "by the scale", nil, 3 * s, func(b *bench) { b.fake.Set(driver.Beans, 0); b.fake.Set(driver.Weight, 3.6) }, 3*s + noGrindAfter + tick, journal.Spoiled, small},
	{TrayFull, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Tray, 0) }, 9*s + tick, journal.Spoiled, small},
	{CupGone, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Cup, 0) }, 9*s + tick, journal.Spoiled, small},
	{CupGone, "in a pause", nil, 15 * s, func(b *bench) { b.fake.Set(driver.Cup, 0) }, 15*s + tick, journal.Spoiled, recipe.Drink{Size: "s", Grams: 9, WaterML: 60, SoakML: 12, SoakRest: 10 * s}},
	{DoorOpen, "", nil, 3 * s, func(b *bench) { b.fake.Set(driver.Door, 0) }, 3*s + tick, journal.Spoiled, small},
	{StopPressed, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Stop, 0) }, 9*s + tick, journal.Spoiled, small},
	{SensorBad, "", nil, 9 * s, func(b *bench) { b.fake.Break(driver.Flow) }, 9*s + 2*busyTick + tick, journal.Spoiled, small},
	{SensorBad, "wire of the cup", nil, 3 * s, func(b *bench) { b.fake.Break(driver.Cup) }, 3*s + 2*busyTick + tick, journal.Spoiled, small},
	{Refused, "", []option{with(func(b *bench) {
		b.limits = map[driver.Part]guard.Limits{driver.Pump: {DutyOn: 10 * s, DutyWindow: 10 * time.Minute}}
	})}, -1, nil, 14300 * time.Millisecond, journal.Spoiled, recipe.Drink{Size: "s", Grams: 9, WaterML: 60, SoakML: 40, SoakRest: time.Millisecond}},
	{Guard, "off fails", nil, 9 * s, func(b *bench) {
		b.fake.Fault(driver.Pump, drivertest.Off, drivertest.Fault{Err: errors.New("i/o error"), Moved: true})
	}, 14250 * time.Millisecond, journal.Spoiled, small},
	{Guard, "off fails at the very end", nil, 9 * s, func(b *bench) {
		b.fake.Fault(driver.Milk, drivertest.Off, drivertest.Fault{Err: errors.New("i/o error")})
	}, 15250 * time.Millisecond, journal.Spoiled, small},
	{CupGone, "at the last moment", nil, 9 * s, func(b *bench) {
		b.fake.SetFunc(driver.Cup, func() (float64, error) {
			if b.fake.OnFor(driver.Sugar) < time.Second {
				return 1, nil
			}
			return 0, nil
		})
	}, 15250 * time.Millisecond, journal.Spoiled, small},
	{Guard, "on fails", nil, -1, func(b *bench) {
		b.fake.Fault(driver.Pump, drivertest.On, drivertest.Fault{Err: driver.ErrGone, Moved: true})
	}, 7500*time.Millisecond + tick, journal.Spoiled, small},
	{Guard, "first on fails", nil, -1, func(b *bench) {
		b.fake.Fault(driver.Grinder, drivertest.On, drivertest.Fault{Err: driver.ErrGone})
	}, tick, journal.Spoiled, small},
	{Guard, "tripped by somebody", nil, 3 * s, func(b *bench) { b.rig.Trip("a hand on the button") }, 3*s + tick, journal.Spoiled, small},
}

// Every row, judged by the physical edges: all at rest in time, nothing on
// afterwards, the outcome told and on disk, mended as the row says.
func TestFaults(t *testing.T) {
	for _, c := range strikes {
		t.Run(strings.TrimSpace(string(c.cause)+" "+c.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t, append(c.opts, with(func(b *bench) {
					if b.cfg.Book = recipe.DefaultBook(); c.drink.TempC == 0 {
						b.cfg.Book["s"] = recipe.Drink{Size: "s", Grams: 9, WaterML: 100, MilkML: 90, SoakML: 10, SoakRest: 10 * s}
					}
				}))...)
				if c.do != nil && c.at < 0 {
					c.do(b)
				}
				began := time.Now()
				rep := b.begin(Job{Order: "o1", Epoch: 1, Drink: c.drink})
				if c.at >= 0 {
					after(c.at)
					c.do(b)
				}
				r := <-rep
				b.expect(r, c.out, string(c.cause)+": ")
				b.journalled("o1", 1, journal.Ended, c.out)
				if took := time.Since(began); took > c.seen {
					t.Errorf("reported after %v, want %v at most", took, c.seen)
				}
				edges := b.fake.Edges()
				if b.fake.AnyOn() || len(edges) > 0 && began.Add(c.seen).Before(began.Add(edges[len(edges)-1].At)) {
					t.Errorf("not at rest within %v:\n%s", c.seen, b.edges())
				}
				after(time.Minute)
				if len(b.fake.Edges()) > len(edges) {
					t.Errorf("something moved after the fault:\n%s", b.edges())
				}
				_, latched := b.rig.Latched()
				if want := FaultOf(c.cause).Mend == Clear; latched != want {
					t.Errorf("latched: %v, want %v", latched, want)
				}
			})
		})
	}
}

// Rows that strike in other ways than a reading in mid-drink have tests of
// their own; every row has one.
func TestEveryRowIsTested(t *testing.T) {
	tested := map[Cause]string{
		WeldedHeat: "TestWeldedAtRest", Record: "TestJournalFails", Damaged: "TestDamagedJournal", Appliance: "TestAppliance",
	}
	for _, c := range strikes {
		tested[c.cause] = "TestFaults"
		if want := FaultOf(c.cause).Outcome; want == journal.Untouched && c.out != want {
			t.Errorf("%s %s: the row says %s, the test %s", c.cause, c.name, want, c.out)
		}
	}
	seen := map[Cause]bool{}
	for _, f := range Faults {
		if tested[f.Cause] == "" {
			t.Errorf("%s: no test", f.Cause)
		}
		if seen[f.Cause] || f.Detect == "" || f.Outcome == "" || f.Mend == "" {
			t.Errorf("%s: doubled or incomplete: %+v", f.Cause, f)
		}
		seen[f.Cause] = true
		for _, text := range []Text{f.Customer, f.Operator} {
			if !strings.HasSuffix(text.FR, ".") && !strings.HasSuffix(text.FR, "calibrer.") || !strings.HasSuffix(text.EN, ".") {
				t.Errorf("%s: a text is missing: %+v", f.Cause, text)
			}
		}
	}
	if f := FaultOf("none of these"); f.Mend != Clear {
		t.Error("an unknown fault must wait for a person")
	}
}

// With everything off, flow and heat are welded relays.
func TestWeldedAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		after(10 * s)
		start := time.Now()
		b.fake.SetFunc(driver.Flow, func() (float64, error) { return 6 * time.Since(start).Seconds(), nil })
		after(3 * s)
		b.status("fault")
		if l, latched := b.rig.Latched(); !latched || !strings.Contains(l.Cause, string(WeldedPump)) {
			t.Errorf("latched %v: %+v", latched, l)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, heated(1))
		after(time.Minute)
		start := time.Now()
		b.fake.SetFunc(driver.Temperature, func() (float64, error) { return 20 + 0.4*time.Since(start).Seconds(), nil })
		after(30 * s)
		if l, latched := b.rig.Latched(); !latched || !strings.Contains(l.Cause, string(WeldedHeat)) {
			t.Errorf("latched %v: %+v", latched, l)
		}
	})
}

// Drinks one after the other, pauses between them, a slow boiler that cools:
// none of this is a fault.
func TestNoFalseAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) {
			b.cfg.Cup = CupAttended
			b.limits = map[driver.Part]guard.Limits{driver.Grinder: {Rest: 3 * s}}
			b.fake = drivertest.NewFake(driver.Grinder, driver.Pump, driver.Milk, driver.Sugar, driver.Heater)
			heat, last := 20.0, time.Now()
			f := b.fake
			f.SetFunc(driver.Temperature, func() (float64, error) {
				past := time.Since(last).Seconds()
				last = time.Now()
				if f.Level(driver.Heater) {
					heat += 1.5 * past
				} else {
					heat -= (heat - 20) * past / 600
				}
				return heat, nil
			})
		}))
		for i, pause := range []time.Duration{0, 0, time.Second, 3 * time.Second, time.Minute, time.Hour} {
			b.expect(b.make(Job{Order: "o", Epoch: i, Drink: large}), journal.Made, "")
			after(pause)
		}
	})
}

// A fault that may pass: the machine steps back, then tries again; the third in
// a row is latched, and a drink in between breaks the row.
func TestThreeInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.cfg.Cup = CupAttended }))
		n := 0
		try := func(jam bool) Report {
			n++
			if b.fake.Set(driver.Weight, 0); !jam {
				b.live()
			}
			return b.make(Job{Order: "o", Epoch: n, Drink: small})
		}
		b.expect(try(true), journal.Spoiled, "no-grind")
		after(s)
		b.status("blocked")
		b.expect(try(false), journal.Untouched, "stepping back")
		after(30 * s)
		b.status("ready")
		b.expect(try(true), journal.Spoiled, "no-grind")
		after(31 * s)
		b.expect(try(false), journal.Made, "")
		for range 2 {
			b.expect(try(true), journal.Spoiled, "no-grind")
			after(31 * s)
		}
		b.status("ready")
		b.expect(try(true), journal.Spoiled, "no-grind")
		after(31 * s)
		b.status("fault")
		b.expect(try(false), journal.Untouched, "Three times in a row")
		if b.m.ClearFault("zoe", "") == nil || b.m.ClearFault("", "swept") == nil {
			t.Error("cleared without name or reason")
		}
		if err := b.m.ClearFault("zoe", "took a stone out"); err != nil {
			t.Fatal(err)
		}
		b.expect(try(false), journal.Made, "")
	})
}

// A latch survives the restart and needs a closed door to be cleared.
func TestLatchAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(3 * s)
		if err := b.m.ClearFault("zoe", "in mid-drink"); err == nil {
			t.Error("cleared in mid-drink")
		}
		b.fake.Set(driver.Door, 0)
		b.expect(<-r, journal.Spoiled, "door")
		b.stop()
		b.run()
		after(s)
		b.status("fault")
		if err := b.m.ClearFault("zoe", "hand is out"); err == nil {
			t.Error("cleared with the door open")
		}
		b.fake.Set(driver.Door, 1)
		b.fake.Set(driver.Stop, 0)
		if err := b.m.ClearFault("zoe", "hand is out"); err == nil {
			t.Error("cleared with the stop pressed")
		}
		b.fake.Set(driver.Stop, 1)
		after(s)
		b.status("fault") // closing it is not enough
		if err := b.m.ClearFault("zoe", "hand is out"); err != nil {
			t.Fatal(err)
		}
		after(s)
		b.status("ready")
	})
}

// A person who fills up needs no command.
func TestFilledUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, without(driver.Flow), with(func(b *bench) { b.cfg.Cup = CupAttended }))
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(9 * s)
		b.fake.Set(driver.Tank, 0)
		b.expect(<-r, journal.Spoiled, "tank")
		after(s)
		b.status("blocked")
		b.fake.Set(driver.Tank, 1)
		after(s)
		b.status("ready")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Made, "")
	})
}

// A loop that hangs is the guard's affair; when it comes back it sees what
// happened. Here a Progress that must not block does.
func TestLoopHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		hang := make(chan struct{})
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small, Progress: func(p Progress) {
			if p.Step == "pour" && p.Percent < 100 {
				<-hang
			}
		}})
		after(7500*time.Millisecond + time.Second)
		if b.fake.AnyOn() {
			t.Error("on with a dead loop")
		}
		close(hang)
		b.expect(<-r, journal.Spoiled, "guard: ")
	})
}

// The emergency stop latches at rest too.
func TestStopPressedAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.fake.Set(driver.Stop, 0)
		after(time.Second)
		b.status("fault")
		b.fake.Set(driver.Stop, 1)
		after(time.Minute)
		b.status("fault")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var na *NotAble
		if err := b.m.AwaitCup(ctx, "o1"); !errors.As(err, &na) || !na.Person {
			t.Errorf("waits for a cup with a fault: %v", err)
		}
	})
}
