package machine

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
	"barista/driver/plant"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// shop is a machine over the plant, which is the judge: it counts what was
// poured, whatever the machine says.
type shop struct {
	m     *Machine
	j     *journal.Journal
	plant *plant.Plant
	stop  func()
}

func setUpPlant(t testing.TB, dir string, cfg mock.Config, mc Plan) *shop {
	t.Helper()
	rig, ctl, err := mock.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// 30 g take 25 s, which is the ceiling: so they are split by this rest.
	mc.Name = "zoe"
	mc.Guard.Parts = map[driver.Part]guard.Limits{
		driver.Grinder: {Rest: time.Duration(float64(5*time.Second) / max(cfg.Speed, 1))},
	}
	mc = mc.Of(rig)
	g, err := guard.New(rig, mc.Guard)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(dir, "journal"), driver.Identity{Kind: "mock"}, guard.Place{})
	if err != nil {
		t.Fatal(err)
	}
	if mc.Cup == "" {
		mc.Cup = CupSensor
	}
	mc.Calibration = recipe.DefaultCalibration()
	if cfg.Speed != 0 {
		mc.Calibration = mc.Calibration.Scale(cfg.Speed)
	}
	m, err := New(g, j, mc, Config{})
	if err != nil {
		t.Fatal(err)
	}
	gctx, gstop := context.WithCancel(context.Background())
	mctx, mstop := context.WithCancel(context.Background())
	var guarding, running sync.WaitGroup
	guarding.Go(func() { g.Run(gctx) })
	running.Go(func() { m.Run(mctx) })
	var once sync.Once
	s := &shop{m: m, j: j, plant: ctl.Plant()}
	s.stop = func() {
		once.Do(func() {
			mstop()
			running.Wait()
			gstop()
			guarding.Wait()
			g.Close()
			j.Close()
		})
	}
	t.Cleanup(s.stop)
	return s
}

// order does what a worker does with one order, until it is made or n attempts
// are over; it says how many were made and how many spoiled.
func (s *shop) order(t testing.TB, id string, d recipe.Drink, tries int) (made, spoiled int) {
	t.Helper()
	for epoch := 1; epoch <= tries; {
		if err := s.m.Able(d); err != nil {
			if st := s.m.Status(); st.State == "fault" {
				if err := s.m.ClearFault("test", "looked at it"); err != nil {
					t.Fatal(err)
				}
			}
			wait(s.m, time.Second)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		err := s.m.AwaitCup(ctx, id)
		cancel()
		if err != nil {
			t.Fatalf("%s: %v: %+v", id, err, s.m.Status())
		}
		r := s.m.Make(context.Background(), Job{Order: id, Epoch: epoch, Drink: d, Deadline: time.Now().Add(2 * time.Second)})
		switch {
		case r.Outcome == journal.Made:
			return 1, spoiled
		case r.Outcome == journal.Spoiled:
			spoiled++
			epoch++
		case r.Late:
			t.Fatalf("%s: late", id)
		default:
			// Untouched; what the journal knows is never begun again.
			if s.m.Journal().State(journal.Key{Order: id, Epoch: epoch}).Phase != journal.None {
				epoch, tries = epoch+1, tries+1
			}
			wait(s.m, time.Second)
		}
	}
	return 0, spoiled
}

// wait lets the machine change, or some time pass.
func wait(m *Machine, d time.Duration) {
	select {
	case <-m.Changed():
	case <-time.After(d):
	}
}

func (s *shop) judge(t testing.TB, made int) {
	t.Helper()
	c := s.plant.Counts()
	if c.Drinks != made || c.InCup != made || len(c.Harm) > 0 {
		t.Errorf("made %d; the plant saw %d drinks, %d in a cup, %d in a full cup, %d in the tray; harm %v", made, c.Drinks, c.InCup, c.InFullCup, c.InTray, c.Harm)
	}
}

// Whole drinks on the plant.
func TestPlantDrinks(t *testing.T) {
	for _, size := range []string{"small", "medium", "large"} {
		synctest.Test(t, func(t *testing.T) {
			s := setUpPlant(t, t.TempDir(), mock.Config{}, Plan{})
			synctest.Wait() // the loop runs, or the first try comes a second later
			s.plant.PlaceCup()
			d := recipe.DefaultBook()[size]
			began := time.Now()
			if made, _ := s.order(t, "o1", d, 1); made != 1 {
				t.Fatal("not made")
			}
			s.judge(t, 1)
			cup, _ := s.plant.TakeCup()
			near := func(what string, got, want float64) {
				if got < 0.9*want || got > 1.1*want {
					t.Errorf("%s: %.1f %s instead of %.1f", size, got, what, want)
				}
			}
			near("ml coffee", cup.CoffeeML, d.WaterML)
			near("ml milk", cup.MilkML, d.MilkML)
			near("sugar", cup.Sugar, float64(d.Sugar))
			near("g", s.plant.Poured()[0].GroundG, d.Grams)
			var edges strings.Builder
			for _, e := range s.plant.Edges() {
				level := map[bool]string{true: "on", false: "off"}[e.On]
				fmt.Fprintln(&edges, e.At.Round(time.Millisecond), e.Part, level)
			}
			if time.Since(began) > s.m.Longest() {
				t.Error("longer than the longest")
			}
			golden(t, "plant-"+size+".drink", edges.String())
		})
	}
}

// Many orders with failures, at several speeds: each is poured once, no cup
// twice, nothing into the tray, nothing harmed.
func TestPlantManyOrders(t *testing.T) {
	for speed, n := range map[float64]int{1: 15, 30: 30, 1000: 60} {
		t.Run(fmt.Sprint(speed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := setUpPlant(t, t.TempDir(), mock.Config{Cups: "auto", Speed: speed, FailRate: 0.2, Seed: 7}, Plan{})
				made, spoiled := 0, 0
				sizes := []string{"small", "medium", "large"}
				for i := range n {
					m, sp := s.order(t, fmt.Sprint("o", i), recipe.DefaultBook()[sizes[i%3]], 20)
					made, spoiled = made+m, spoiled+sp
				}
				if made != n || spoiled == 0 {
					t.Errorf("%d made, %d spoiled", made, spoiled)
				}
				s.judge(t, n)
				if c := s.plant.Counts(); c.Struck != spoiled {
					t.Errorf("%d baskets failed, %d drinks were spoiled", c.Struck, spoiled)
				}
			})
		})
	}
}

// The same in real time, on a busy computer: what is late must not be a fault.
func TestPlantRealTime(t *testing.T) {
	s := setUpPlant(t, t.TempDir(), mock.Config{Cups: "auto", Speed: 500}, Plan{})
	const n = 12
	for i := range n {
		if made, spoiled := s.order(t, fmt.Sprint("o", i), recipe.DefaultBook()["medium"], 1); made != 1 {
			t.Fatalf("%d spoiled: %+v", spoiled, s.m.Status())
		}
	}
	s.judge(t, n)
}

// Drinks of 0 s, back to back: what a benchmark does. Still on and off in order.
func TestPlantNoughtSeconds(t *testing.T) {
	figures := plant.Default()
	figures.GrinderGPS, figures.FlowMLPS, figures.MilkMLPS = 1e6, 1e6, 1e6
	s := setUpPlant(t, t.TempDir(), mock.Config{Figures: &figures, Without: driver.Signals}, Plan{Cup: CupAttended,
		Book: recipe.Book{"small": {Size: "small", Grams: 9, WaterML: 40}}})
	began := time.Now()
	for i := range 100 {
		if r := s.m.Make(t.Context(), Job{Order: "o", Epoch: i, Drink: recipe.Drink{Size: "tiny", WaterML: 0.001}}); r.Outcome != journal.Made {
			t.Fatal(r)
		}
	}
	t.Logf("%v each", time.Since(began)/100)
}

// Any fault of the plant at any moment of a drink: what the machine says is what
// was poured, everything is off, the journal agrees.
func TestPlantAnyFault(t *testing.T) {
	faults := []plant.Fault{
		{Kind: plant.Jam}, {Kind: plant.NoFlow}, {Kind: plant.BeansOut}, {Kind: plant.TankEmpty}, {Kind: plant.CupRemoved},
		{Kind: plant.DoorOpen}, {Kind: plant.StopPressed}, {Kind: plant.UnderVoltage},
		{Kind: plant.Dead, Part: driver.Grinder}, {Kind: plant.Dead, Part: driver.Pump}, {Kind: plant.Stuck, Part: driver.Pump},
		{Kind: plant.SensorOpen, Signal: driver.Flow}, {Kind: plant.SensorOpen, Signal: driver.Cup},
		{Kind: plant.SensorFrozen, Signal: driver.Flow}, {Kind: plant.SensorFrozen, Signal: driver.Weight},
	}
	rapid.Check(t, func(r *rapid.T) {
		f := rapid.SampledFrom(faults).Draw(r, "fault")
		at := time.Duration(rapid.Int64Range(0, int64(30*time.Second)).Draw(r, "at"))
		synctest.Test(t, func(t *testing.T) {
			s := setUpPlant(t, t.TempDir(), mock.Config{}, Plan{})
			s.plant.PlaceCup()
			time.Sleep(time.Second)
			rep := make(chan Report, 1)
			go func() {
				rep <- s.m.Make(context.Background(), Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "small", Grams: 9, WaterML: 60, MilkML: 30}})
			}()
			time.Sleep(at)
			s.plant.Fault(f)
			got := <-rep
			st := s.j.State(journal.Key{Order: "o1", Epoch: 1})
			if st.Outcome != got.Outcome && !(got.Outcome == journal.Untouched && st.Phase == journal.None) {
				r.Errorf("said %v, the journal says %v", got, st)
			}
			c := s.plant.Counts()
			if got.Outcome == journal.Made && c.Drinks != 1 || got.Outcome == journal.Untouched && c.Drinks+c.Partial > 0 || c.Drinks > 1 {
				r.Errorf("%v, and the plant saw %+v", got, c)
			}
			for p, on := range c.On {
				if on && f.Kind != plant.Stuck {
					r.Errorf("%s is on after %v", p, got)
				}
			}
			if f.Kind == plant.Stuck && c.On[driver.Pump] {
				time.Sleep(5 * time.Second)
				if st := s.m.Status(); st.State != "fault" || !strings.Contains(st.Reason.Error(), string(WeldedPump)) {
					r.Errorf("a welded pump: %+v", st)
				}
				s.plant.Clear()
			}
			s.stop()
		})
	})
}
