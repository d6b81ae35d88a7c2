package machine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
	"barista/machine/journal"
	"barista/machine/recipe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, d)
	}
}

const s = time.Second

var (
	small = recipe.Drink{Size: "small", Grams: 9, WaterML: 40, Sugar: 1}
	large = recipe.Drink{Size: "large", Grams: 30, WaterML: 180, MilkML: 90, Sugar: 2}
)

// bench is a machine on the bench: the fake rig, whose flow meter and scale
// follow what is on, guard, journal and the machine itself.
type bench struct {
	*testing.T
	fake   *drivertest.Fake
	rig    *guard.Rig
	j      *journal.Journal
	m      *Machine
	dir    string
	plan   Plan
	cfg    Config
	limits map[driver.Part]guard.Limits
	stops  []func()

	hardware driver.Identity
}

type option func(*bench)

func with(f func(b *bench)) option { return f }

var sensorless = with(func(b *bench) { b.fake.Remove(driver.Flow); b.fake.Remove(driver.Weight) })

// setUp builds the bench inside a bubble and runs it; everything ends with the
// test.
func setUp(t *testing.T, opts ...option) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir(), plan: Plan{Name: "zoe", Cup: CupSensor}, hardware: driver.Identity{Kind: "fake", Model: "memory", Serial: "0"},
		fake: drivertest.NewFake(driver.Grinder, driver.Pump, driver.Milk, driver.Sugar)}
	for _, o := range opts {
		o(b)
	}
	b.live()
	b.run()
	t.Cleanup(b.stop)
	return b
}

// live lets flow meter and scale follow pump and grinder.
func (b *bench) live() {
	f := b.fake
	if has(f.Rig(), driver.Flow) {
		f.SetFunc(driver.Flow, func() (float64, error) { return 6 * f.OnFor(driver.Pump).Seconds(), nil })
	}
	if has(f.Rig(), driver.Weight) {
		f.SetFunc(driver.Weight, func() (float64, error) { return 1.2 * f.OnFor(driver.Grinder).Seconds(), nil })
	}
}

func has(r driver.Rig, s driver.Signal) bool { _, there := r.Sensors[s]; return there }

// run starts guard, journal and machine; again after stop, like a restart.
func (b *bench) run() {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	var err error
	plan := b.plan
	plan.Guard = guard.Config{Parts: b.limits, State: b.dir}
	rig := b.fake.Rig()
	plan = plan.Of(rig)
	b.rig, err = guard.New(rig, plan.Guard)
	must(err)
	b.j, err = journal.Open(filepath.Join(b.dir, "journal"), b.hardware, b.rig.Known())
	must(err)
	must(b.rig.Join(b.j))
	b.m, err = New(b.rig, b.j, plan, b.cfg)
	must(err)
	gctx, gstop := context.WithCancel(context.Background())
	mctx, mstop := context.WithCancel(context.Background())
	gdone, mdone := make(chan error, 1), make(chan error, 1)
	go func() { gdone <- b.rig.Run(gctx) }()
	go func() { mdone <- b.m.Run(mctx) }()
	b.stops = []func(){
		func() { mstop(); <-mdone; mdone <- nil },
		func() { gstop(); <-gdone; gdone <- nil },
		func() { b.rig.Close(); b.j.Close() },
	}
	synctest.Wait()
}

// stop ends everything, in the reverse order of the start, and looks whether
// everything is off.
func (b *bench) stop() {
	b.Helper()
	for _, f := range b.stops {
		f()
	}
	b.stops = nil
	if b.fake.AnyOn() {
		b.Errorf("at the end something is on: %v", b.fake.Levels())
	}
	if h := b.fake.Harm(); len(h) > 0 {
		b.Errorf("harm: %v", h)
	}
}

// begin hands over a job and returns where its report will be.
func (b *bench) begin(j Job) <-chan Report {
	out := make(chan Report, 1)
	go func() { out <- b.m.Make(context.Background(), j) }()
	synctest.Wait()
	return out
}

func (b *bench) make(j Job) Report { b.Helper(); return <-b.begin(j) }

func (b *bench) expect(r Report, out journal.Outcome, reason string) {
	b.Helper()
	if r.Outcome != out || !strings.Contains(r.Reason.Error(), reason) || reason == "" && r.Reason != (Reason{}) {
		b.Errorf("report: %+v, want %s %q", r, out, reason)
	}
}

// journalled checks what the journal says of an attempt.
func (b *bench) journalled(order string, epoch int, phase journal.Phase, out journal.Outcome) {
	b.Helper()
	if got := b.j.State(journal.Key{Order: order, Epoch: epoch}); got.Phase != phase || got.Outcome != out {
		b.Errorf("journal of %s: %v, want %s %s", order, got, phase, out)
	}
}

// edges are the physical edges, one per line.
func (b *bench) edges() string {
	var out strings.Builder
	for _, e := range b.fake.Edges() {
		e.At = e.At.Round(time.Millisecond)
		fmt.Fprintln(&out, e)
	}
	return out.String()
}

func (b *bench) status(state State) {
	b.Helper()
	if got := b.m.Status(); got.State != state {
		b.Errorf("status %+v, want %s", got, state)
	}
}

// after lets time pass and the loop look.
func after(d time.Duration) { time.Sleep(d); synctest.Wait() }

func TestDrinks(t *testing.T) {
	for _, c := range []struct {
		name  string
		drink recipe.Drink
		opts  []option
	}{
		{"small", small, nil},
		{"large", large, []option{with(func(b *bench) {
			b.limits = map[driver.Part]guard.Limits{driver.Grinder: {Rest: 10 * s}}
		})}},
		{"small-without-sensors", small, []option{sensorless}},
		{"large-on-20s-grinder", large, []option{sensorless, with(func(b *bench) {
			b.limits = map[driver.Part]guard.Limits{driver.Grinder: {MaxOn: 20 * s, Rest: 30 * s}}
		})}},
		{"inrush", small, []option{with(func(b *bench) {
			b.limits = map[driver.Part]guard.Limits{driver.Grinder: {Inrush: "a"}, driver.Pump: {Inrush: "a"}, driver.Sugar: {Inrush: "a"}}
		})}},
		{"soak", recipe.Drink{Size: "medium", Grams: 17, WaterML: 60, SoakML: 12, SoakRest: 3 * s}, nil},
		{"heater", small, []option{with(func(b *bench) {
			b.fake = drivertest.NewFake(driver.Grinder, driver.Pump, driver.Sugar, driver.Heater)
			f := b.fake
			f.SetFunc(driver.Temperature, func() (float64, error) { return 60 + 2*f.OnFor(driver.Heater).Seconds(), nil })
		})}},
		{"nought-seconds", small, []option{sensorless, with(func(b *bench) {
			b.plan.Calibration = recipe.DefaultCalibration()
			b.plan.Calibration.GrinderGPS, b.plan.Calibration.PumpMLPS, b.plan.Calibration.SugarDosePS = 1e15, 1e15, 1e15
		})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t, c.opts...)
				var steps strings.Builder
				last := -1
				r := b.make(Job{Order: "o1", Epoch: 1, Drink: c.drink, Progress: func(p Progress) {
					if p.Percent < last || p.Percent > 100 || p.N > len(p.Stages) {
						t.Errorf("progress %+v after %d %%", p, last)
					}
					if last = p.Percent; p.N > 0 && !strings.HasSuffix(steps.String(), p.Step+"\n") {
						fmt.Fprintln(&steps, p.N, "of", len(p.Stages), p.Step)
					}
				}})
				b.expect(r, journal.Made, "")
				b.journalled("o1", 1, journal.Ended, journal.Made)
				if last != 100 || r.Took > b.m.Longest() {
					t.Errorf("ended at %d %%, took %v of at most %v", last, r.Took, b.m.Longest())
				}
				golden(t, c.name+".drink", b.edges()+"\n"+steps.String())
			})
		})
	}
}

func TestNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFake(driver.Grinder, driver.Heater)
		f.Remove(driver.Temperature)
		f.Remove(driver.Cup)
		metal := f.Rig()
		plan := Plan{Cup: CupDispenser, MaxTempC: 170, CupPulse: 6 * s, HotWait: -1, Calibration: recipe.Calibration{GrinderGPS: -1}}.Of(metal)
		rig, err := guard.New(metal, plan.Guard)
		if err != nil {
			t.Fatal(err)
		}
		calls := f.Calls()
		_, err = New(rig, nil, plan, Config{})
		for _, want := range []string{"needs a name", "needs a cup sensor", "needs the part cups", "needs a temperature sensor",
			"170 °C", "cup pulse: 6s", "hot wait: -1ns", "grinder g/s"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in: %v", want, err)
			}
		}
		for _, cup := range []Cup{"", "mug"} {
			if _, err := New(rig, nil, Plan{Name: "zoe", Cup: cup}.Of(metal), Config{}); err == nil || !strings.Contains(err.Error(), "sensor, dispenser, page") {
				t.Errorf("cup %q: %v", cup, err)
			}
		}
		if f.Calls() != calls {
			t.Error("New touched an output")
		}
		rig.Close()
	})
}

// A job that can't be begun leaves no trace: nothing moves, nothing in the
// journal.
func TestNotAble(t *testing.T) {
	for _, c := range []struct {
		name   string
		drink  recipe.Drink
		spoil  func(b *bench)
		want   string
		person bool
		state  State
		lacks  []string
	}{
		{"tank", small, func(b *bench) { b.fake.Set(driver.Tank, 0) }, "tank", true, "blocked", []string{"water"}},
		{"beans and tray", small, func(b *bench) { b.fake.Set(driver.Beans, 0); b.fake.Set(driver.Tray, 0) }, "beans: + tray", true, "blocked", []string{"beans", "tray"}},
		{"door", small, func(b *bench) { b.fake.Set(driver.Door, 0) }, "door", true, "blocked", []string{"door"}},
		{"sensor", small, func(b *bench) { b.fake.Break(driver.Tank) }, "sensor: tank: ", true, "blocked", []string{"sensor"}},
		{"cold", small, func(b *bench) { b.fake.Set(driver.Hot, 0) }, "warming", false, "starting", nil},
		{"no milk", recipe.Drink{Size: "small", WaterML: 10, MilkML: 300}, func(b *bench) {}, "milk: 300 ml is not within 0 to 250", true, "ready", nil},
		{"longer than the book", recipe.Drink{Size: "x", Grams: 24, WaterML: 240, MilkML: 200, SoakML: 10, SoakRest: time.Minute, TempC: 92}, func(b *bench) {}, "too-long: ", true, "ready", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t, with(func(b *bench) { b.plan.Book = recipe.Book{"small": {Size: "small", Grams: 9, WaterML: 40, TempC: 92}} }))
				c.spoil(b)
				after(2 * s)
				na, ok := errors.AsType[*NotAble](b.m.Able(c.drink))
				if !ok || !strings.Contains(na.Error(), c.want) || na.Person != c.person {
					t.Errorf("able: %+v", na)
				}
				b.status(c.state)
				if got := b.m.Status().Lacks; !slices.Equal(got, c.lacks) {
					t.Errorf("lacks %v, want %v", got, c.lacks)
				}
				b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: c.drink}), journal.Untouched, c.want)
				b.journalled("o1", 1, journal.None, "")
				if e := b.edges(); e != "" {
					t.Errorf("moved: %s", e)
				}
			})
		})
	}
}

// A motor that must still rest is known before anything is begun.
func TestRestBetweenDrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, sensorless, with(func(b *bench) {
			b.plan.Cup = CupAttended
			b.limits = map[driver.Part]guard.Limits{driver.Grinder: {MaxOn: 20 * s, Rest: 30 * s}}
		}))
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "rests: grinder, ")
		after(30 * s)
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Made, "")
	})
}

// The same key twice is made once, whatever happened to the first one.
func TestNeverTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupAttended }))
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		edges := b.edges()
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		b.stop()
		b.run()
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		if got := b.edges(); got != edges {
			t.Errorf("it moved again: %s", got)
		}
		// Two at once: the second one is told that the machine is busy.
		first := b.begin(Job{Order: "o2", Epoch: 1, Drink: small})
		after(s)
		b.expect(b.make(Job{Order: "o3", Epoch: 1, Drink: small}), journal.Untouched, "busy: o2")
		b.expect(<-first, journal.Made, "")
		b.journalled("o3", 1, journal.None, "")
	})
}

// A start that an earlier run left is settled before anything else is begun.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		if err := b.j.Start(journal.Key{Order: "o1", Epoch: 2}, journal.Note{Counter: -1}); err != nil {
			t.Fatal(err)
		}
		b.stop()
		b.run()
		after(s)
		b.status("starting")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "unsettled")
		b.expect(b.make(Job{Order: "o1", Epoch: 2, Drink: small}), journal.Unknown, "begun-before")
		recs, err := b.m.Recover(t.Context())
		if err != nil || len(recs) != 1 || recs[0].Outcome != journal.Unknown || recs[0].Order != "o1" {
			t.Fatalf("recovered %+v, %v", recs, err)
		}
		if recs, err = b.m.Recover(t.Context()); err != nil || len(recs) != 1 {
			t.Fatalf("again %+v, %v", recs, err)
		}
		// The cup of a drink that nobody knows about is not a fresh one.
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "cup-stands")
		b.fake.Set(driver.Cup, 0)
		after(s)
		b.fake.Set(driver.Cup, 1)
		b.status("ready")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Made, "")
		if e := b.edges(); strings.Count(e, "pump on") != 1 {
			t.Errorf("edges:\n%s", e)
		}
	})
}

func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		job := Job{Order: "o1", Epoch: 1, Drink: small, Deadline: time.Now()}
		r := b.make(job)
		if !r.Late || r.Outcome != journal.Untouched || b.edges() != "" {
			t.Fatalf("%+v, %s", r, b.edges())
		}
		b.journalled("o1", 1, journal.Started, "")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "other-start: o1#1")
		if r = b.make(job); !r.Late {
			t.Errorf("the old deadline again: %+v", r)
		}
		// A new fence: the same start goes on.
		job.Deadline = time.Now().Add(2 * s)
		b.expect(b.make(job), journal.Made, "")
		b.journalled("o1", 1, journal.Ended, journal.Made)
		b.fake.Set(driver.Cup, 0)
		after(s)
		b.fake.Set(driver.Cup, 1)
		after(s)

		job = Job{Order: "o2", Epoch: 1, Drink: small, Deadline: time.Now().Add(-s)}
		if r = b.make(job); !r.Late {
			t.Errorf("%+v", r)
		}
		if err := b.m.Abandon("o3", 1, Reason{Quote: "x"}); err == nil {
			t.Error("abandoned what was not started")
		}
		if err := errors.Join(b.m.Abandon("o2", 1, Reason{Quote: "the fence was refused"}), b.m.Abandon("o2", 1, Reason{Quote: "again"})); err != nil {
			t.Error(err)
		}
		b.journalled("o2", 1, journal.Ended, journal.Untouched)
		// Nothing came into that cup, so the next drink may use it.
		b.expect(b.make(Job{Order: "o3", Epoch: 1, Drink: small, Deadline: time.Now().Add(s)}), journal.Made, "")
		if e := b.edges(); strings.Count(e, "pump on") != 2 {
			t.Errorf("edges:\n%s", e)
		}
	})
}

// A late start that nobody comes back for is untouched when the service ends:
// this run knows it.
func TestLateAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.make(Job{Order: "o1", Epoch: 1, Drink: small, Deadline: time.Now()})
		b.stop()
		b.run()
		b.journalled("o1", 1, journal.Ended, journal.Untouched)
		if len(b.j.Open()) != 0 {
			t.Error("it is open")
		}
	})
}

// A late start whose machine can't any more ends untouched.
func TestLateAndThenEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		j := Job{Order: "o1", Epoch: 1, Drink: small, Deadline: time.Now()}
		b.make(j)
		b.fake.Set(driver.Tank, 0)
		b.expect(b.make(j), journal.Untouched, "tank")
		b.journalled("o1", 1, journal.Ended, journal.Untouched)
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.m.Stop("nothing to stop")
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(9 * s)
		if !b.fake.Level(driver.Pump) {
			t.Fatal("it does not pour")
		}
		b.m.Stop("by Zoe")
		if b.fake.AnyOn() {
			t.Error("Stop came back with something on")
		}
		b.expect(<-r, journal.Spoiled, "stopped: by Zoe")
		b.journalled("o1", 1, journal.Ended, journal.Spoiled)
		after(s)
		b.status("ready") // stopping is no fault
	})
}

// The end of the service cuts a drink: all off, spoiled, in the journal.
func TestEndInMidDrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(3 * s)
		m := b.m
		b.stop()
		b.expect(<-r, journal.Spoiled, "service-ends")
		b.expect(m.Make(t.Context(), Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "not-running")
		if err := m.Able(small); err == nil {
			t.Error("able without a loop")
		}
		m.Stop("late")
		for _, err := range []error{m.ClearFault("a", "b"), m.CupThere("o1"), m.Abandon("o1", 1, Reason{}), m.AwaitCup(t.Context(), "o1"), m.Run(t.Context())} {
			if err == nil {
				t.Error("no error after the end")
			}
		}
		b.run()
		b.journalled("o1", 1, journal.Ended, journal.Spoiled)
	})
}

// A journal that can't be written: before the start nothing moves; after the
// drink the report still tells the truth; then the machine is locked.
func TestJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(s)
		b.j.Close() // as good as a full disk: every write is an error
		b.expect(<-r, journal.Made, "not recorded")
		after(s)
		b.status("fault")
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "record: ")
		if err := b.m.ClearFault("zoe", "looks good"); err == nil {
			t.Error("cleared without a restart")
		}
		if e := b.edges(); strings.Count(e, "pump on") != 1 {
			t.Errorf("edges:\n%s", e)
		}
		after(time.Hour)
		b.status("fault")
		b.stop()
		b.run() // the disk is well again
		if _, err := b.m.Recover(t.Context()); err != nil {
			t.Error(err)
		}
		after(s)
		b.status("ready")
	})
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.j.Close()
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, "record: ")
		if b.edges() != "" {
			t.Error("it moved")
		}
	})
}

func TestDamagedJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.stop()
		if err := os.WriteFile(filepath.Join(b.dir, "journal"), []byte("scratched\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.run()
		after(s)
		b.status("fault")
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, "journal: ")
		if err := b.m.ClearFault("zoe", "the tray was dry"); err != nil {
			t.Fatal(err)
		}
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
	})
}

// TestMovedPort: a board whose adapter has no number hangs on another port than it did.
// It is asked about in words of its own, nothing moves until a person has said that it
// is the same one, and then the journal goes on as it is. Where the adapter has a
// number, its port is called as it likes.
func TestMovedPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(serial, place string) func(*bench) {
			return func(b *bench) {
				b.hardware = driver.Identity{Kind: "lcus", Model: "lcus-4", Serial: serial, Place: place, Alike: serial == "1a86:7523"}
			}
		}
		b := setUp(t, at("1a86:7523", "ttyUSB0"), func(b *bench) { b.plan.Cup = CupAttended })
		id := b.j.ID()
		restart := func(serial, place string) {
			b.stop()
			at(serial, place)(b)
			b.run()
			after(s)
		}
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		restart("1a86:7523", "usb-1a86_USB_Serial-if00-port0")
		b.status("fault")
		const was = "lcus/lcus-4/1a86:7523@ttyUSB0 → lcus/lcus-4/1a86:7523@usb-1a86_USB_Serial-if00-port0"
		if r := b.m.Status().Reason; r != why(Moved, was) {
			t.Errorf("%+v", r)
		}
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "moved: "+was)
		restart("1a86:7523", "usb-1a86_USB_Serial-if00-port0") // it asks again
		b.status("fault")
		if err := b.m.ClearFault("ada", "the same board, on its new name"); err != nil {
			t.Fatal(err)
		}
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Made, "")
		restart("1a86:7523", "usb-1a86_USB_Serial-if00-port0") // and no more
		b.status("ready")
		if b.j.ID() != id || b.j.Latest("o1") != 1 {
			t.Error("it is another journal")
		}
		restart("1a86:7523", "ttyUSB0")
		b.status("fault")
		restart("0403:6001:A5069RR4", "usb-1a86_USB_Serial-if00-port0") // another adapter at the same port
		if what, damaged := b.j.Damaged(); !damaged || !strings.Contains(what, "other hardware") || b.j.ID() == id {
			t.Errorf("swapped, and unseen: %q", what)
		}
		if err := b.m.ClearFault("ada", "a new board"); err != nil {
			t.Fatal(err)
		}
		id = b.j.ID()
		restart("0403:6001:A5069RR4", "ttyUSB7")
		b.status("ready")
		if b.j.ID() != id {
			t.Error("its port's name is not its number")
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.status("ready")
		changed := b.m.Changed()
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		<-changed
		b.status("busy")
		after(4 * s)
		if st := b.m.Status(); st.Percent < 20 || st.Percent > 40 || st.Order != "o1" || st.Reason != why(Making, "grind") {
			t.Errorf("%+v", st)
		}
		<-r
		after(s)
		b.status("ready")
	})
}

// The loop turns at least every 250 ms while busy and once a second at rest, and
// not much more: a machine at rest costs next to nothing.
func TestBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		n, calls := b.m.Beat(), b.fake.Calls()
		after(time.Hour)
		if turns := b.m.Beat() - n; turns < 3600 || turns > 3610 {
			t.Errorf("%d turns in an hour at rest", turns)
		}
		if b.fake.Calls() != calls {
			t.Error("an output was touched at rest")
		}
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		for range 40 {
			n = b.m.Beat()
			after(250 * time.Millisecond)
			if b.m.Beat() == n {
				t.Fatal("no turn in 250 ms")
			}
		}
		<-r
	})
}

func TestLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		if d := b.m.Longest(); d < 2*time.Minute || d > 10*time.Minute {
			t.Errorf("the default book takes up to %v", d)
		}
		b = setUp(t, with(func(b *bench) { b.plan.Book = recipe.Book{"huge": {Size: "huge", WaterML: 10, SoakRest: -1}} }))
		if d := b.m.Longest(); d < 2*time.Minute {
			t.Errorf("a book that can't be made: %v", d)
		}
	})
}
