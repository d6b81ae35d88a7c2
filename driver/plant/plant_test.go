package plant

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"barista/driver"
)

func TestConfigCheck(t *testing.T) {
	if err := Default().Check(); err != nil {
		t.Error(err)
	}
	c := Default()
	c.GrinderGPS, c.TankML, c.Speed, c.FailRate, c.DrinkML = 0, math.NaN(), -1, 1.5, 10
	c.Cups, c.Serial, c.Inrush = "never", "", [][]driver.Part{{"wheel"}}
	err := c.Check()
	for _, word := range []string{"grinder_gps", "tank_ml", "speed", "fail_rate", "drink_ml", "cups", "serial", `"wheel"`} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not named in: %v", word, err)
		}
	}
}

func TestSpeed(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.PlaceCup()
		hold(p, driver.Grinder, 0.75)
		hold(p, driver.Pump, 0.7)
		lines(t, Lines(p.Poured()), "0.75s-1.45s drink: 42.0 ml through 9.0 g, into the cup\n")
		noHarm(t, p)
		// Metal is not harmed sooner by it.
		p.Fault(Fault{Kind: TankEmpty})
		hold(p, driver.Pump, 1.9)
		hold(p, driver.Grinder, 24.9)
		noHarm(t, p)
	}, func(c *Config) { c.Speed = 10 })
}

func TestHarm(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.Set(driver.Grinder, true)
		p.Set(driver.Grinder, true) // told again is not begun anew
		p.Set(driver.Pump, true)
		sleep(400)
		p.Set(driver.Rinse, true)
		p.Set(driver.Grinder, false)
		p.Set(driver.Pump, false)
		hold(p, driver.Pump, 3)
		if d := cmp.Diff([]string{
			"pump and grinder of one inrush group are on together at 0s",
			"the grinder turned for 25s at 25s",
			"the drip tray ran over at 166.667s",
			"the pump ran for 2s without water at 302s",
			"rinse was switched, but this machine has none at 400s",
			"the pump ran for 2s without water at 402s",
		}, p.Counts().Harm); d != "" {
			t.Error(d)
		}
	}, func(c *Config) { c.Inrush = [][]driver.Part{{driver.Grinder, driver.Pump}} })
}

func TestBoiler(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		at := func(what string, low, high float64, hot float64) {
			t.Helper()
			if c := read(t, p, driver.Temperature); c < low || c > high || read(t, p, driver.Hot) != hot {
				t.Errorf("%s: %.1f °C, hot %v", what, c, read(t, p, driver.Hot))
			}
		}
		at("cold", 20, 20, 0)
		hold(p, driver.Heater, 20)
		at("after 20 s", 54, 57, 0) // known machines gain more than 2 °C in 20 s
		hold(p, driver.Heater, 22)
		at("after 42 s", 91, 95, 1)
		hold(p, driver.Pump, 10)
		at("after 60 ml of cold water", 72, 80, 0)
		p.Set(driver.Heater, true)
		hold(p, driver.Pump, 20)
		at("heating against the flow", 75, 95, 0)
		noHarm(t, p)
		p.Set(driver.Heater, false)
		sleep(24 * 3600)
		at("a day later", 20, 20.1, 0)

		p.Fault(Fault{Kind: TankEmpty})
		hold(p, driver.Heater, 60)
		at("heated dry", 170, 170, 1)
		if d := cmp.Diff(2, len(p.Counts().Harm)); d != "" {
			t.Errorf("harm: %v", p.Counts().Harm)
		}
	}, func(c *Config) { c.Heater = true })
	in(t, func(t *testing.T, p *Plant) {
		if read(t, p, driver.Temperature) != 93 || read(t, p, driver.Hot) != 1 {
			t.Error("a boiler that heats itself is not hot")
		}
	})
}

// The flow meter counts whole pulses and never falls.
func TestFlowMeter(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.Set(driver.Pump, true)
		last := 0.0
		for range 100 {
			sleep(0.017)
			ml := read(t, p, driver.Flow)
			if pulses := ml / 0.19; ml < last || math.Abs(pulses-math.Round(pulses)) > 1e-6 {
				t.Fatalf("%v ml after %v", ml, last)
			}
			last = ml
		}
		if last < 10 || last > 10.2 {
			t.Errorf("%v ml", last)
		}
	})
}

func TestUnknownSensor(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		if _, err := p.Read("smell"); err == nil {
			t.Error("it can smell")
		}
	})
}

// balance checks what is true of every machine at any time.
func balance(p *Plant) error {
	c := p.Counts()
	m := c.Mass
	same := func(what string, a, b float64) error {
		if math.Abs(a-b) > 1e-6*max(1, math.Abs(a)) {
			return fmt.Errorf("%s: %v is not %v; %+v", what, a, b, c)
		}
		return nil
	}
	for _, err := range []error{
		same("beans", m.FilledBeansG, m.HopperG+m.BasketG+m.DrawerG),
		same("ground", m.GroundG, m.BasketG+m.DrawerG),
		same("water", m.FilledWaterML, m.TankML+m.PumpedML),
		same("coffee", m.PumpedML, m.CoffeeCupML+m.CoffeeTrayML+m.CoffeeFloorML),
		same("milk", m.FilledMilkML, m.MilkML+m.MilkCupML+m.MilkTrayML+m.MilkFloorML),
		same("sugar", m.FilledSugar, m.Sugar+m.SugarCup+m.SugarTray),
	} {
		if err != nil {
			return err
		}
	}
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if v.Field(i).Float() < 0 {
			return fmt.Errorf("%s is %v", v.Type().Field(i).Name, v.Field(i).Float())
		}
	}
	if c.Drinks != c.InCup+c.InFullCup+c.InTray || c.Partial < 0 || c.Water < 0 {
		return fmt.Errorf("counts: %+v", c)
	}
	byKind := map[string]int{}
	ml := 0.0
	for _, f := range p.Flows() {
		byKind[f.Kind]++
		ml += f.CoffeeML
		if f.Start > f.End || f.SpiltML > f.CoffeeML+1e-6 || f.Kind == Drink && (f.CoffeeML < 30-1e-6 || f.GroundG < coffeeG-1e-6) {
			return fmt.Errorf("flow: %+v", f)
		}
	}
	if byKind[Drink] != c.Drinks || byKind[Partial] != c.Partial || byKind[Water] != c.Water {
		return fmt.Errorf("flows %v do not agree with %+v", byKind, c)
	}
	if ml > m.PumpedML+1e-6 {
		return fmt.Errorf("flows have %v ml of %v", ml, m.PumpedML)
	}
	return nil
}

// step is something that somebody does with a machine, and how long nothing is
// done after it.
type step struct {
	what string
	do   func(p *Plant)
	look bool // the machine reads its cup sensor
	wait time.Duration
}

func (s step) String() string { return fmt.Sprintf("%s, look %v, wait %v", s.what, s.look, s.wait) }

// steps draws one.
var steps = rapid.Custom(func(t *rapid.T) step {
	parts := []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar, driver.Heater}
	faults := []string{"jam", "no-flow", "beans-out", "tank-empty", "cup-removed", "cup-left", "stuck:pump", "stuck:grinder", "dead:pump", "sensor-frozen:flow"}
	s := step{look: rapid.Bool().Draw(t, "look"), wait: time.Duration(rapid.IntRange(0, 60_000).Draw(t, "wait")) * time.Millisecond}
	switch what := rapid.IntRange(0, 10).Draw(t, "what"); what {
	default:
		part, on := rapid.SampledFrom(parts).Draw(t, "part"), what%2 == 0
		s.what, s.do = fmt.Sprint("set ", part, on), func(p *Plant) { p.Set(part, on) }
	case 5:
		part, ms := rapid.SampledFrom(parts).Draw(t, "part"), rapid.IntRange(0, 40_000).Draw(t, "ms")
		s.what, s.do = fmt.Sprint(part, " for ", ms, "ms"), func(p *Plant) { p.OnFor(part, time.Duration(ms)*time.Millisecond) }
	case 6:
		s.what, s.do = "place", (*Plant).PlaceCup
	case 7:
		s.what, s.do = "take", func(p *Plant) { p.TakeCup() }
	case 8:
		f, err := ParseFault(rapid.SampledFrom(faults).Draw(t, "fault"))
		if err != nil {
			t.Fatal(err)
		}
		s.what, s.do = f.String(), func(p *Plant) { p.Fault(f) }
	case 9:
		s.what, s.do = "clear", (*Plant).Clear
	case 10:
		s.what, s.do = "refill", (*Plant).Refill
	}
	return s
})

// live does the same with two machines. Only one is looked at in between.
func live(c Config, list []step) error {
	seen, unseen := New(c), New(c)
	var last Counts
	for _, s := range list {
		for _, p := range []*Plant{seen, unseen} {
			s.do(p)
			if s.look { // the one reading that has an effect, on the customer
				_, _ = p.Read(driver.Cup)
			}
		}
		for n := range 7 {
			time.Sleep(s.wait / 7)
			if n%2 == 0 {
				_ = seen.Counts()
				_, _ = seen.Read(driver.Flow)
			}
		}
		if err := balance(seen); err != nil {
			return err
		}
		now := seen.Counts()
		for what, fell := range map[string]bool{
			"drinks": now.Drinks < last.Drinks, "in cup": now.InCup < last.InCup, "in full cup": now.InFullCup < last.InFullCup,
			"in tray": now.InTray < last.InTray, "edges": now.Edges < last.Edges, "harm": len(now.Harm) < len(last.Harm),
			"ground": now.Mass.GroundG < last.Mass.GroundG, "pumped": now.Mass.PumpedML < last.Mass.PumpedML,
			"placed": now.CupsPlaced < last.CupsPlaced, "taken": now.CupsTaken < last.CupsTaken,
		} {
			if fell {
				return fmt.Errorf("%s fell: %+v, then %+v", what, last, now)
			}
		}
		last = now
	}
	if err := balance(unseen); err != nil {
		return err
	}
	nearly := cmp.Options{
		cmpopts.EquateApprox(1e-6, 1e-4), cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(time.Microsecond),
		cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < time.Microsecond }),
	}
	for what, d := range map[string]string{
		"counts": cmp.Diff(seen.Counts(), unseen.Counts(), nearly),
		"flows":  cmp.Diff(seen.Flows(), unseen.Flows(), nearly),
		"edges":  cmp.Diff(seen.Edges(), unseen.Edges(), nearly),
	} {
		if d != "" {
			return fmt.Errorf("looking at it changed its %s:\n%s", what, d)
		}
	}
	return nil
}

// Whatever somebody does with a machine: nothing comes from nothing, nothing is
// lost, no count falls, and it does not matter whether anybody looks.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := Default()
		c.Heater = true
		c.HopperG = rapid.SampledFrom([]float64{0, 5, 40, 1000}).Draw(rt, "hopper")
		c.TankML = rapid.SampledFrom([]float64{0, 25, 300, 1800}).Draw(rt, "tank")
		c.CupML = rapid.SampledFrom([]float64{20, 150, 350}).Draw(rt, "cup")
		c.TrayML = rapid.SampledFrom([]float64{0, 30, 1000}).Draw(rt, "tray")
		c.MilkML, c.SugarDoses = 60, 5
		c.Speed = rapid.SampledFrom([]float64{0.5, 1, 7, 1000}).Draw(rt, "speed")
		c.Cups = rapid.SampledFrom([]Cups{Hand, Auto}).Draw(rt, "cups")
		c.Refill = rapid.Bool().Draw(rt, "refill")
		c.FailRate = rapid.SampledFrom([]float64{0, 0.3}).Draw(rt, "failrate")
		list := rapid.SliceOfN(steps, 1, 40).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(*testing.T) { err = live(c, list) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}
