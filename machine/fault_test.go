package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
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

// contact gives a part a contact that follows it.
func contact(parts ...driver.Part) option {
	return with(func(b *bench) {
		for _, p := range parts {
			b.fake.SetContact(p, nil)
		}
	})
}

// pretend fixes what a part's contact reads.
func pretend(b *bench, p driver.Part, v float64, err error) {
	b.fake.SetContact(p, func() (float64, error) { return v, err })
}

// strike is one way of a fault into a drink: at is when it begins, seen when
// every output must be at rest by the figures that the table promises, both since the drink began; a small cup grinds
// to 7.5 s and pours to 14.2 s. at < 0: before the drink.
type strike struct {
	cause Cause
	name  string
	opts  []option
	at    time.Duration
	do    func(b *bench)
	seen  time.Duration
	out   journal.Outcome
	drink recipe.Drink
}

const tick = 50 * time.Millisecond // the promise: at rest within 50 ms of a reading

var strikes = []strike{
	{NoFlow, "from the start", nil, 0, func(b *bench) { b.fake.Set(driver.Flow, 0) }, 7500*time.Millisecond + 1500*time.Millisecond + tick, journal.Spoiled, small},
	{NoFlow, "in the middle", nil, 10 * s, func(b *bench) { b.fake.Set(driver.Flow, 15) }, 10*s + 1500*time.Millisecond + tick, journal.Spoiled, small},
	{ShortFlow, "", nil, 0, func(b *bench) {
		b.fake.SetFunc(driver.Flow, func() (float64, error) { return 2 * b.fake.OnFor(driver.Pump).Seconds(), nil })
	}, 7500*time.Millisecond + 12100*time.Millisecond + tick, journal.Spoiled, small},
	{OverFlow, "", nil, 9 * s, func(b *bench) {
		b.fake.SetFunc(driver.Flow, func() (float64, error) { return 40 * b.fake.OnFor(driver.Pump).Seconds(), nil })
	}, 9*s + 500*time.Millisecond + tick, journal.Spoiled, recipe.Drink{Size: "large", WaterML: 180}},
	{OverFlow, "falls", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Flow, 1) }, 9*s + 500*time.Millisecond + tick, journal.Spoiled, small},
	{NoGrind, "from the start", nil, 0, func(b *bench) { b.fake.Set(driver.Weight, 0) }, 2*s + tick, journal.Spoiled, small},
	{NoGrind, "in the middle", nil, 3 * s, func(b *bench) { b.fake.Set(driver.Weight, 3.6) }, 3*s + 2*s + tick, journal.Spoiled, small},
	{NoGrind, "at the end of a short one", nil, 0, func(b *bench) { b.fake.Set(driver.Weight, 0) }, time.Second + tick, journal.Spoiled, recipe.Drink{Size: "s", Grams: 1.2, WaterML: 20}},
	{Cold, "", []option{with(func(b *bench) { b.plan.HotWait = 20 * s })}, 3 * s, func(b *bench) { b.fake.Set(driver.Hot, 0) }, 27500*time.Millisecond + tick, journal.Spoiled, small},
	{HeatSlow, "", []option{heated(0.05)}, -1, nil, 20*s + tick, journal.Untouched, small},
	{HeatSlow, "not there in time", []option{heated(0.5), with(func(b *bench) { b.plan.HotWait = 30 * s })}, -1, nil, 30*s + tick, journal.Untouched, small},
	{HeatFast, "", []option{heated(1)}, 10 * s, func(b *bench) {
		b.fake.SetFunc(driver.Temperature, func() (float64, error) { return 20 + 5*b.fake.OnFor(driver.Heater).Seconds(), nil })
	}, 10*s + 500*time.Millisecond + tick, journal.Untouched, small},
	{HeatFrozen, "", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Set(driver.Temperature, 25) }, 5*s + 10*s + tick, journal.Untouched, small},
	{HeatSensor, "open", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Break(driver.Temperature) }, 5*s + 2*20*time.Millisecond + tick, journal.Untouched, small},
	{HeatSensor, "short", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Set(driver.Temperature, 900) }, 5*s + 2*20*time.Millisecond + tick, journal.Untouched, small},
	{HeatSensor, "while it pours", nil, 9 * s, func(b *bench) { b.fake.Break(driver.Temperature) }, 9*s + 2*20*time.Millisecond + tick, journal.Spoiled, small},
	{TooHot, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Temperature, 125) }, 9*s + tick, journal.Spoiled, small},
	{WeldedPump, "", nil, 9 * s, func(b *bench) {
		// The relay welds: the meter goes on counting after "off".
		start := time.Now()
		b.fake.SetFunc(driver.Flow, func() (float64, error) { return 9 + 6*time.Since(start).Seconds(), nil })
	}, 14200*time.Millisecond + 2*s + 400*time.Millisecond, journal.Spoiled, recipe.Drink{Size: "s", Grams: 9, WaterML: 40, MilkML: 60}},
	{TankEmpty, "heater", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Set(driver.Tank, 0) }, 5*s + tick, journal.Untouched, small},
	{TankEmpty, "pump, no meter", []option{without(driver.Flow)}, 9 * s, func(b *bench) { b.fake.Set(driver.Tank, 0) }, 9*s + tick, journal.Spoiled, small},
	{TankEmpty, "pump, by the meter", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Tank, 0); b.fake.Set(driver.Flow, 9) }, 9*s + 1500*time.Millisecond + tick, journal.Spoiled, small},
	{BeansEmpty, "no scale", []option{without(driver.Weight)}, 3 * s, func(b *bench) { b.fake.Set(driver.Beans, 0) }, 3*s + tick, journal.Spoiled, small},
	{BeansEmpty, "by the scale", nil, 3 * s, func(b *bench) { b.fake.Set(driver.Beans, 0); b.fake.Set(driver.Weight, 3.6) }, 3*s + 2*s + tick, journal.Spoiled, small},
	{TrayFull, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Tray, 0) }, 9*s + tick, journal.Spoiled, small},
	{CupGone, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Cup, 0) }, 9*s + tick, journal.Spoiled, small},
	{CupGone, "in a pause", nil, 15 * s, func(b *bench) { b.fake.Set(driver.Cup, 0) }, 15*s + tick, journal.Spoiled, recipe.Drink{Size: "s", Grams: 9, WaterML: 60, SoakML: 12, SoakRest: 10 * s}},
	{DoorOpen, "", nil, 3 * s, func(b *bench) { b.fake.Set(driver.Door, 0) }, 3*s + tick, journal.Spoiled, small},
	{StopPressed, "", nil, 9 * s, func(b *bench) { b.fake.Set(driver.Stop, 0) }, 9*s + tick, journal.Spoiled, small},
	{SensorBad, "", nil, 9 * s, func(b *bench) { b.fake.Break(driver.Flow) }, 9*s + 2*20*time.Millisecond + tick, journal.Spoiled, small},
	{SensorBad, "wire of the cup", nil, 3 * s, func(b *bench) { b.fake.Break(driver.Cup) }, 3*s + 2*20*time.Millisecond + tick, journal.Spoiled, small},
	{SensorBad, "wire of the supply", nil, 9 * s, func(b *bench) { b.fake.Break(driver.Power) }, 9*s + 2*20*time.Millisecond + tick, journal.Spoiled, small},
	{Feedback, "the driver sees a welded relay", []option{contact(driver.Pump)}, 9 * s, func(b *bench) {
		b.fake.Fault(driver.Pump, drivertest.Off, drivertest.Fault{Err: fmt.Errorf("%w: it still says on", driver.ErrFeedback), Moved: true})
	}, 14200*time.Millisecond + tick, journal.Spoiled, small},
	{Feedback, "the driver sees one that does not close", nil, -1, func(b *bench) {
		b.fake.Fault(driver.Pump, drivertest.On, drivertest.Fault{Err: driver.ErrFeedback})
	}, 7500*time.Millisecond + tick, journal.Spoiled, small},
	{Feedback, "never closes", []option{contact(driver.Pump)}, -1, func(b *bench) { pretend(b, driver.Pump, 0, nil) }, 7500*time.Millisecond + 20*time.Millisecond + 180*time.Millisecond + tick, journal.Spoiled, small},
	{Feedback, "opens in the middle", []option{contact(driver.Pump)}, 9 * s, func(b *bench) { pretend(b, driver.Pump, 0, nil) }, 9*s + 20*time.Millisecond + 180*time.Millisecond + tick, journal.Spoiled, small},
	{Feedback, "another one closes by itself", []option{contact(driver.Milk)}, 3 * s, func(b *bench) { pretend(b, driver.Milk, 1, nil) }, 3*s + 20*time.Millisecond + 180*time.Millisecond + tick, journal.Spoiled, small},
	{Feedback, "can't be read", []option{contact(driver.Pump)}, 3 * s, func(b *bench) { pretend(b, driver.Pump, 0, driver.ErrInvalid) }, 3*s + 20*time.Millisecond + 180*time.Millisecond + tick, journal.Spoiled, small},
	{PowerLow, "", nil, 3 * s, func(b *bench) { b.fake.Set(driver.Power, 0) }, 3*s + 5*s + 20*time.Millisecond + tick, journal.Spoiled, small},
	{PowerLow, "while it heats", []option{heated(1)}, 5 * s, func(b *bench) { b.fake.Set(driver.Power, 0) }, 5*s + 5*s + 20*time.Millisecond + tick, journal.Untouched, small},
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
	{Guard, "tripped by somebody", nil, 3 * s, func(b *bench) { b.rig.Trip(guard.Latch{Cause: "a hand on the button"}) }, 3*s + tick, journal.Spoiled, small},
}

// heal takes every trouble of a strike away, as a person does.
func (b *bench) heal() {
	rig := b.fake.Rig()
	for _, s := range driver.Signals {
		if s != driver.Temperature && has(rig, s) {
			b.fake.Set(s, 1)
		}
	}
	b.live()
	for p, w := range rig.Outputs {
		b.fake.Fault(p, drivertest.On, drivertest.Fault{})
		b.fake.Fault(p, drivertest.Off, drivertest.Fault{})
		if w.Contact != nil {
			b.fake.SetContact(p, nil)
		}
	}
}

// mended checks that the fault is shown by its own word and ended by whom its
// row says, and by nobody else.
func (b *bench) mended(c Cause) {
	b.Helper()
	row := FaultOf(c)
	shown := func(state State) {
		b.Helper()
		if st := b.m.Status(); st.State != state || st.Reason.Code != string(c) {
			b.Errorf("status %+v, want %s by %s", st, state, c)
		}
	}
	_, latched := b.rig.Latched()
	if latched != (row.Mend == Clear) {
		b.Errorf("latched: %v, the row says %s", latched, row.Mend)
	}
	switch row.Mend {
	case Clear:
		shown("fault")
		b.heal()
		b.fake.Set(driver.Temperature, 50)
		after(time.Minute)
		shown("fault") // time and good readings don't end it
		if b.m.ClearFault("", "looked") == nil || b.m.ClearFault("zoe", " ") == nil {
			b.Error("cleared without a name or a reason")
		}
		b.stop()
		b.run()
		after(s)
		shown("fault") // nor does a restart
		if err := b.m.ClearFault("zoe", "looked at it"); err != nil {
			b.Error(err)
		}
		log, err := os.ReadFile(filepath.Join(b.dir, "guard.log"))
		if err != nil || !strings.Contains(string(log), `"by":"zoe","why":"looked at it"`) {
			b.Errorf("who and why are not recorded: %q %v", log, err)
		}
	case Fill:
		if row.Lacks != "" {
			shown("blocked")
			if st := b.m.Status(); !slices.Equal(st.Lacks, []string{row.Lacks}) {
				b.Errorf("%+v, want it to lack %s", st, row.Lacks)
			}
		}
		b.heal()
	case Again:
		shown("blocked")
		b.heal()
		after(b.plan.StepBack + 30*s)
	}
	after(s)
	b.status("ready")
}

// Every row, judged by the physical edges: all at rest in time, nothing on
// afterwards, the outcome told and in the journal, mended as the row says.
func TestFaults(t *testing.T) {
	for _, c := range strikes {
		t.Run(strings.TrimSpace(string(c.cause)+" "+c.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t, append(c.opts, with(func(b *bench) {
					if b.plan.Book = recipe.DefaultBook(); c.drink.TempC == 0 {
						b.plan.Book["s"] = recipe.Drink{Size: "s", Grams: 9, WaterML: 100, MilkML: 90, SoakML: 10, SoakRest: 10 * s}
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
				b.expect(r, c.out, string(c.cause))
				if r.Reason.Code != string(c.cause) {
					t.Errorf("its code is %q", r.Reason.Code)
				}
				b.journalled("o1", 1, journal.Ended, c.out)
				if took := time.Since(began); took > c.seen {
					t.Errorf("reported after %v, want %v at most", took, c.seen)
				}
				edges := b.fake.Edges()
				if b.fake.AnyOn() || len(edges) > 0 && began.Add(c.seen).Before(began.Add(edges[len(edges)-1].At)) {
					t.Errorf("not at rest within %v:\n%s", c.seen, b.edges())
				}
				after(s)
				b.mended(c.cause)
				after(time.Minute)
				if len(b.fake.Edges()) > len(edges) {
					t.Errorf("something moved after the fault:\n%s", b.edges())
				}
			})
		})
	}
}

// Rows that strike in other ways than a reading in mid-drink have tests of
// their own.
var others = map[Cause]func(*testing.T){
	WeldedHeat: TestWeldedAtRest, Record: TestJournalFails, Damaged: TestDamagedJournal, Appliance: TestAppliance,
	Moved: TestMovedPort, Forgot: TestForgottenFault, Version: TestOtherVersion, Unkept: TestFaultNotKept, DiskFull: TestFullDisk,
}

// Every row has a test, and every test a row.
func TestEveryRowIsTested(t *testing.T) {
	tested := map[Cause]bool{}
	for c := range others {
		tested[c] = true
	}
	for _, c := range strikes {
		tested[c.cause] = true
		if want := FaultOf(c.cause).Outcome; want == journal.Untouched && c.out != want {
			t.Errorf("%s %s: the row says %s, the test %s", c.cause, c.name, want, c.out)
		}
	}
	for c := range tested {
		if FaultOf(c).Detect == "" {
			t.Errorf("%s: tested, and no row", c)
		}
	}
	seen := map[Cause]bool{}
	for _, f := range Faults {
		if !tested[f.Cause] {
			t.Errorf("%s: no test", f.Cause)
		}
		if seen[f.Cause] || f.Detect == "" || f.Outcome == "" || f.Mend == "" {
			t.Errorf("%s: doubled or incomplete: %+v", f.Cause, f)
		}
		seen[f.Cause] = true
	}
	if f := FaultOf("none of these"); f.Mend != Clear {
		t.Error("an unknown fault must wait for a person")
	}
}

// A memory for faults that is not the one that the journal knows: nobody can say
// whether there was one.
func TestForgottenFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		b.stop()
		if err := errors.Join(os.Remove(filepath.Join(b.dir, "guard.state")), os.Remove(filepath.Join(b.dir, "guard.rest"))); err != nil {
			t.Fatal(err)
		}
		b.run()
		after(s)
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, string(Forgot))
		b.mended(Forgot)
	})
}

// A memory for faults that a version wrote which knew no journal, where a later one ran
// before: it is said as what it is, and once.
func TestOtherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		b.stop()
		body := []byte(`{"boot":"b"}`)
		former := fmt.Appendf(nil, "barista guard 1 %08x\n%s", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), body)
		if err := os.WriteFile(filepath.Join(b.dir, "guard.state"), former, 0o600); err != nil {
			t.Fatal(err)
		}
		b.run()
		after(s)
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, string(Version))
		b.mended(Version)
		b.stop()
		b.run()
		after(time.Minute)
		b.status("ready")
	})
}

// An older journal that is put back after a kill does not know the last drink, whose
// parts need no rest. The guard's memory does, so it is not made again.
func TestOlderJournalPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		at := func(name string) string { return filepath.Join(b.dir, name) }
		read := func(name string) []byte {
			data, err := os.ReadFile(at(name))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		older := read("journal")
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(5 * s)
		killed := map[string][]byte{"journal": older, "guard.state": read("guard.state"), "guard.rest": read("guard.rest")}
		<-r
		b.stop()
		for name, data := range killed {
			if err := os.WriteFile(at(name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.run()
		after(s)
		if st := b.m.Status(); st.State != StateFault || st.Reason.Code != string(Damaged) || !strings.Contains(st.Reason.Quote, "an older copy") {
			t.Errorf("%+v", st)
		}
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, string(Damaged))
	})
}

// A fault that the disk does not take is a fault of its own, for a restart would
// forget it; when the disk is well it is on it by itself, and shown as what it is.
func TestFaultNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		state := filepath.Join(b.dir, "guard.state")
		if err := errors.Join(os.Rename(state, state+".aside"), os.Mkdir(state, 0o700)); err != nil {
			t.Fatal(err)
		}
		b.m.lock(&failure{TooHot, "130 °C", ""})
		after(s)
		st := b.m.Status()
		if b.status("fault"); st.Reason.Code != string(Unkept) || st.Reason.Detail != string(TooHot) || !strings.Contains(st.Reason.Quote, "130 °C") {
			t.Errorf("%+v", st)
		}
		if err := b.m.ClearFault("zoe", "cooled down"); err == nil {
			t.Error("cleared, and nobody knows what is on the disk")
		}
		if err := errors.Join(os.Remove(state), os.Rename(state+".aside", state)); err != nil {
			t.Fatal(err)
		}
		after(10 * s)
		rest := filepath.Join(b.dir, "guard.rest")
		if err := errors.Join(os.Remove(rest), os.Mkdir(rest, 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := b.m.ClearFault("zoe", "cooled down"); err == nil {
			t.Error("cleared, and the disk does not take all that goes with it")
		}
		after(10 * s)
		if st := b.m.Status(); st.Reason.Code != string(TooHot) {
			t.Errorf("the disk has the fault, and it says %+v", st)
		}
		if err := os.Remove(rest); err != nil {
			t.Fatal(err)
		}
		after(10 * s)
		b.mended(TooHot)
	})
}

// With too little room on the disk no drink is begun, and one in hand is finished;
// it passes by itself when there is room.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		need := func(n int64) {
			if err := b.m.callNow(func() error { b.m.least = n; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(s)
		need(1 << 62)
		b.expect(<-r, journal.Made, "")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, string(DiskFull))
		if e := b.edges(); strings.Count(e, "pump on") != 1 {
			t.Errorf("edges:\n%s", e)
		}
		after(s)
		if st := b.m.Status(); st.State != StateBlocked || st.Reason.Code != string(DiskFull) || !slices.Equal(st.Lacks, []string{"disk"}) {
			t.Errorf("%+v", st)
		}
		need(leastFree)
		after(s)
		b.status("ready")
	})
}

// Where the guard's memory can't be told of a start, nothing moves, and the journal is
// not called broken: it is tried again, and passes by itself.
func TestGuardIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		rest := filepath.Join(b.dir, "guard.rest")
		if err := errors.Join(os.Remove(rest), os.Mkdir(rest, 0o700)); err != nil {
			t.Fatal(err)
		}
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, string(DiskFull))
		after(time.Minute)
		if st := b.m.Status(); st.State != StateBlocked || st.Reason.Code != string(DiskFull) || !strings.Contains(st.Reason.Quote, "can't remember rests") {
			t.Errorf("%+v", st)
		}
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, string(DiskFull))
		if e := b.edges(); e != "" {
			t.Errorf("it moved:\n%s", e)
		}
		if err := os.Remove(rest); err != nil {
			t.Fatal(err)
		}
		after(10 * s)
		b.status("ready")
		b.expect(b.make(Job{Order: "o2", Epoch: 2, Drink: small}), journal.Made, "")
	})
}

// A grinder that pulls the supply down as it starts, for as long as the kernel
// remembers, spoils no drink; none begins before the flag is down.
func TestWeakSupply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupAttended }))
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		for range 5 { // again and again, with a good look between
			b.fake.Set(driver.Power, 0)
			after(2 * s)
			b.fake.Set(driver.Power, 1)
			after(100 * time.Millisecond)
		}
		b.fake.Set(driver.Power, 0)
		after(4 * s)
		b.expect(<-r, journal.Made, "")
		after(s)
		b.status("blocked")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "power")
		after(time.Hour)
		if _, latched := b.rig.Latched(); latched {
			t.Error("at rest it is no fault to be cleared")
		}
		b.fake.Set(driver.Power, 1)
		after(s)
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Made, "")
	})
}

// What is missing before a drink: nothing moves, it is said, and it begins when
// that is there.
func TestBeforeADrink(t *testing.T) {
	for _, c := range []struct {
		signal driver.Signal
		cause  Cause
	}{{driver.Tank, TankEmpty}, {driver.Beans, BeansEmpty}, {driver.Tray, TrayFull}, {driver.Door, DoorOpen}, {driver.Power, PowerLow}} {
		for _, broken := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t)
				cause := c.cause
				if b.fake.Set(c.signal, 0); broken { // no reading is no yes
					b.fake.Break(c.signal)
					cause = SensorBad
				}
				after(s)
				st := b.m.Status()
				if st.State != "blocked" || !slices.Equal(st.Lacks, []string{FaultOf(cause).Lacks}) {
					t.Errorf("%s: %+v", c.signal, st)
				}
				b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, string(cause))
				if b.edges() != "" {
					t.Errorf("%s: it moved", c.signal)
				}
				b.fake.Set(c.signal, 1)
				after(s)
				b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
			})
		}
	}
}

// A relay that is welded when the service starts: the machine is there, locked,
// names the fault, and does not fill the log with it. The same for one that welds
// in operation.
func TestWeldedRelay(t *testing.T) {
	still := drivertest.Fault{Err: fmt.Errorf("%w: it still says on", driver.ErrFeedback), Moved: true}
	for name, weld := range map[string]func(t *testing.T, log option) *bench{
		"at the start": func(t *testing.T, log option) *bench {
			return setUp(t, contact(driver.Pump), log, with(func(b *bench) {
				b.fake.Force(driver.Pump, true)
				still.Moved = false
				b.fake.Fault(driver.Pump, drivertest.Off, still)
			}))
		},
		"at the start, and nothing flows": func(t *testing.T, log option) *bench {
			return setUp(t, contact(driver.Pump), log, with(func(b *bench) { b.fake.Fault(driver.Pump, drivertest.Off, still) }))
		},
		"in operation": func(t *testing.T, log option) *bench {
			b := setUp(t, contact(driver.Pump), log)
			out := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
			after(9 * s)
			still.Moved = false
			b.fake.Fault(driver.Pump, drivertest.Off, still)
			<-out
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said lines
				b := weld(t, with(func(b *bench) { b.cfg.Log = slog.New(slog.NewTextHandler(&said, nil)) }))
				after(10 * time.Minute)
				if st := b.m.Status(); st.State != "fault" || !strings.Contains(st.Reason.Error(), "it still says on") {
					t.Errorf("%+v", st)
				}
				if n := said.n.Load(); n > 12 {
					t.Errorf("%d lines in the log after ten minutes, the last: %s", n, said.last.Load())
				}
				if err := b.m.ClearFault("Ada", "looked at it"); err == nil {
					t.Error("cleared while it says on")
				}
				b.fake.Fault(driver.Pump, drivertest.Off, drivertest.Fault{})
				after(10 * s)
				if err := b.m.ClearFault("Ada", "another relay"); err != nil {
					t.Error(err)
				}
				after(s) // the loop looks
				b.status("ready")
			})
		})
	}
}

// lines counts what goes into a log.
type lines struct {
	n    atomic.Int64
	last atomic.Value
}

func (l *lines) Write(p []byte) (int, error) {
	l.n.Add(1)
	l.last.Store(string(p))
	return len(p), nil
}

// A contact that shows a closed relay while everything is off is believed within
// a second; one that is only late is no fault.
func TestContactAtRest(t *testing.T) {
	for ms := range 12 { // at any moment between two looks
		synctest.Test(t, func(t *testing.T) {
			b := setUp(t, contact(driver.Pump, driver.Milk))
			after(10*s + time.Duration(ms)*83*time.Millisecond)
			pretend(b, driver.Pump, 1, nil)
			after(150 * time.Millisecond)
			pretend(b, driver.Pump, 0, nil)
			after(10 * s)
			b.status("ready")
			pretend(b, driver.Milk, 1, nil)
			after(contactTick + contactLate + 2*busyTick) // within a second, and well so
			b.mended(Feedback)
		})
	}
}

// Contacts that are as late as they may be, parts that are on for a moment.
func TestLateContacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now() // of the fake, too
		late := func(f *drivertest.Fake, p driver.Part) func() (float64, error) {
			return func() (float64, error) { // as it was 150 ms ago
				was := 0.0
				now := time.Since(began)
				for _, e := range f.Edges() {
					if e.Part == p && e.At <= now-150*time.Millisecond {
						was = map[bool]float64{true: 1}[e.On]
					}
				}
				return was, nil
			}
		}
		b := setUp(t, with(func(b *bench) {
			b.plan.Cup = CupAttended
			b.limits = map[driver.Part]guard.Limits{driver.Grinder: {Rest: 3 * s}}
			for _, p := range []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar} {
				b.fake.SetContact(p, late(b.fake, p))
			}
		}))
		for i, d := range []recipe.Drink{small, large, {Size: "s", Grams: 1.2, WaterML: 0.3, Sugar: 1}, {Size: "s", Grams: 9, WaterML: 40, SoakML: 1, SoakRest: 100 * time.Millisecond}} {
			b.expect(b.make(Job{Order: "o", Epoch: i, Drink: d}), journal.Made, "")
			after(5 * s)
		}
	})
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
		if l, latched := b.rig.Latched(); !latched || l.Code != string(WeldedPump) {
			t.Errorf("latched %v: %+v", latched, l)
		}
		b.mended(WeldedPump)
	})
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, heated(1))
		after(time.Minute)
		start := time.Now()
		b.fake.SetFunc(driver.Temperature, func() (float64, error) { return 20 + 0.4*time.Since(start).Seconds(), nil })
		after(30 * s)
		if l, latched := b.rig.Latched(); !latched || l.Code != string(WeldedHeat) {
			t.Errorf("latched %v: %+v", latched, l)
		}
		b.mended(WeldedHeat)
	})
}

// Drinks one after the other, pauses between them, a slow boiler that cools:
// none of this is a fault.
func TestNoFalseAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) {
			b.plan.Cup = CupAttended
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
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupAttended }))
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
		b.expect(try(false), journal.Untouched, "no-grind")
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
		b.expect(try(false), journal.Untouched, "3 ×")
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
		b := setUp(t, without(driver.Flow), with(func(b *bench) { b.plan.Cup = CupAttended }))
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

// A latch of a version before there were codes has the whole sentence, or what the
// guard said: it is told as a trip of the guard, and nothing of it is lost.
func TestLatchWithoutACode(t *testing.T) {
	for _, c := range []struct{ old, code, quote string }{
		{`{"cause":"no-grind: The grinder turns. Three times in a row.","at":"2026-11-01T08:00:00Z"}`, "guard", "no-grind: The grinder turns. Three times in a row."},
		{`{"cause":"pump: gone","at":"2026-11-01T08:00:00Z"}`, "guard", "pump: gone"},
		{`{"cause":"milk: it still says on","at":"2026-11-01T08:00:00Z","feedback":true}`, "feedback", "milk: it still says on"},
		{`{"code":"no-grind","detail":"0.1 g, 3 ×","at":"2026-11-01T08:00:00Z"}`, "no-grind", ""},
	} {
		var l guard.Latch
		if err := json.Unmarshal([]byte(c.old), &l); err != nil {
			t.Fatal(err)
		}
		if r := ofGuard(l).reason(); r.Code != c.code || r.Quote != c.quote || r.Detail != l.Detail {
			t.Errorf("%s: %+v", c.old, r)
		}
	}
}

// TestDangerous: whoever adds a fault says whether somebody is called for it at night. A
// dangerous one is latched, so that it is still there when he comes.
func TestDangerous(t *testing.T) {
	night := map[Cause]bool{
		NoFlow: false, ShortFlow: false, OverFlow: false, NoGrind: false, Cold: false, HeatSlow: false, HeatFast: false, HeatFrozen: false, HeatSensor: false,
		TooHot: true, WeldedPump: true, WeldedHeat: true, TankEmpty: false, BeansEmpty: false, TrayFull: false, CupGone: false, DoorOpen: false, StopPressed: false,
		SensorBad: false, Feedback: true, PowerLow: false, Refused: false, Guard: true, Record: false, Damaged: false, Forgot: false, Version: false, Unkept: true,
		DiskFull: false, Moved: false, Appliance: false,
	}
	for _, f := range Faults {
		want, said := night[f.Cause]
		if !said || Dangerous(f.Cause) != want || want && f.Mend != Clear {
			t.Errorf("%s, which %s ends: dangerous %v, said %v", f.Cause, f.Mend, Dangerous(f.Cause), said)
		}
	}
	for _, c := range dangerous {
		if FaultOf(c).Detect == "" {
			t.Errorf("%s is none", c)
		}
	}
	if !Dangerous("of-tomorrow") || !Dangerous("") {
		t.Error("a fault that nobody knows waits for the morning")
	}
}
