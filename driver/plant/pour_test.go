package plant

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
)

func lines(t *testing.T, got, want string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// A whole drink, as the metal saw it.
func TestDrink(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.PlaceCup()
		hold(p, driver.Grinder, 14)
		hold(p, driver.Sugar, 2)
		hold(p, driver.Pump, 2) // pre-infusion
		sleep(3)
		hold(p, driver.Pump, 16)
		hold(p, driver.Milk, 12)
		lines(t, Lines(p.Edges()), `0s grinder on
14s grinder off
14s sugar on
16s sugar off
16s pump on
18s pump off
21s pump on
37s pump off
37s milk on
49s milk off
`)
		lines(t, Lines(p.Poured()), "16s-37s drink: 108.0 ml through 16.8 g, 60.0 ml milk, 2 sugar, into the cup\n")
		want(t, p, tallies{cup: 1})
		noHarm(t, p)

		d := p.Poured()[0]
		if d.N != 1 || d.Cup != 1 || d.StartWall.Sub(p.began.Round(0)) != 16*time.Second || d.EndWall.Sub(d.StartWall) != 21*time.Second {
			t.Errorf("pour %+v", d)
		}
		c, ok := p.TakeCup()
		if !ok || c.Drinks != 1 || c.Flows != 1 || c.Taken != 49*time.Second {
			t.Errorf("cup %+v %v", c, ok)
		}
		if _, ok := p.TakeCup(); ok {
			t.Error("a cup was taken twice")
		}
	})
}

// The definition of a drink, case by case: these are the ways in which a machine
// could pour twice and somebody could fail to see it.
func TestWhatIsADrink(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(p *Plant)
		want tallies
	}{
		{"nothing", func(p *Plant) { sleep(60) }, tallies{}},
		{"ground only", func(p *Plant) { p.PlaceCup(); hold(p, driver.Grinder, 10) }, tallies{}},
		{"one", func(p *Plant) { p.PlaceCup(); drink(p) }, tallies{cup: 1}},
		{"without a cup", func(p *Plant) { drink(p) }, tallies{tray: 1}},
		{"two into one cup", func(p *Plant) { p.PlaceCup(); drink(p); drink(p) }, tallies{cup: 1, full: 1}},
		{"two into two cups", func(p *Plant) { p.PlaceCup(); drink(p); p.TakeCup(); p.PlaceCup(); drink(p) }, tallies{cup: 2}},
		{"a drip", func(p *Plant) { p.PlaceCup(); hold(p, driver.Grinder, 8); hold(p, driver.Pump, 1.6); sleep(60) }, tallies{}},
		{"stopped early, still there", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			hold(p, driver.Pump, 4)
			sleep(29)
		}, tallies{}},
		{"stopped early", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			hold(p, driver.Pump, 4)
			sleep(31)
		}, tallies{partial: 1}},
		{"stopped early, cup taken", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			hold(p, driver.Pump, 4)
			p.TakeCup()
		}, tallies{partial: 1}},
		{"stopped early, made anew in the same cup", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			hold(p, driver.Pump, 4)
			drink(p)
		}, tallies{full: 1, partial: 1}},
		{"stopped early and later finished", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			hold(p, driver.Pump, 4)
			sleep(100)
			hold(p, driver.Pump, 2)
		}, tallies{cup: 1}},
		{"in drips", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			for range 5 {
				hold(p, driver.Pump, 1)
				sleep(100)
			}
		}, tallies{cup: 1}},
		{"pumped again at once", func(p *Plant) { p.PlaceCup(); drink(p); hold(p, driver.Pump, 7) }, tallies{cup: 1}},
		{"pumped again after a crash", func(p *Plant) { p.PlaceCup(); drink(p); sleep(31); hold(p, driver.Pump, 7) }, tallies{cup: 1, full: 1}},
		{"pumped again into another cup", func(p *Plant) {
			p.PlaceCup()
			drink(p)
			p.TakeCup()
			p.PlaceCup()
			hold(p, driver.Pump, 7)
		}, tallies{cup: 2}},
		{"pumped again into the tray", func(p *Plant) {
			p.PlaceCup()
			drink(p)
			p.TakeCup()
			sleep(1)
			hold(p, driver.Pump, 7)
		}, tallies{cup: 1, tray: 1}},
		{"one long flow into two cups", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, true)
			sleep(7)
			p.TakeCup()
			p.PlaceCup()
			sleep(7)
			p.Set(driver.Pump, false)
		}, tallies{cup: 2}},
		{"the cup goes early", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, true)
			sleep(2)
			p.TakeCup()
			sleep(7)
			p.Set(driver.Pump, false)
		}, tallies{tray: 1}},
		{"the cup goes late", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, true)
			sleep(6)
			p.TakeCup()
			sleep(20)
			p.Set(driver.Pump, false)
		}, tallies{cup: 1}},
		{"the cup goes before it is a drink", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, true)
			sleep(4)
			p.TakeCup()
			sleep(20)
			p.Set(driver.Pump, false)
		}, tallies{cup: 1}},
		{"the cup comes after some drops", func(p *Plant) {
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, true)
			sleep(1)
			p.PlaceCup()
			sleep(6)
			p.Set(driver.Pump, false)
		}, tallies{cup: 1}},
		{"no coffee", func(p *Plant) { p.PlaceCup(); hold(p, driver.Pump, 7); p.TakeCup() }, tallies{water: 1}},
		{"hardly any coffee", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 0.5)
			hold(p, driver.Pump, 7)
			p.TakeCup()
		}, tallies{water: 1}},
		{"grinder and pump together", func(p *Plant) {
			p.PlaceCup()
			p.Set(driver.Pump, true)
			p.Set(driver.Grinder, true)
			sleep(7)
			p.Set(driver.Pump, false)
			p.Set(driver.Grinder, false)
		}, tallies{cup: 1}},
		{"a grinder that never stops", func(p *Plant) {
			p.PlaceCup()
			p.Set(driver.Grinder, true)
			sleep(8)
			hold(p, driver.Pump, 7)
			sleep(8)
			hold(p, driver.Pump, 7)
			p.Set(driver.Grinder, false)
		}, tallies{cup: 1, full: 1}},
		{"a pump that never stops", func(p *Plant) {
			p.PlaceCup()
			p.Set(driver.Pump, true)
			hold(p, driver.Grinder, 8)
			sleep(2)
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, false)
		}, tallies{cup: 1, full: 1}},
		{"a grinder that never stops, then a pump that never stops", func(p *Plant) {
			p.PlaceCup()
			p.Set(driver.Grinder, true)
			sleep(8)
			hold(p, driver.Pump, 7)
			sleep(8)
			p.Set(driver.Pump, true)
			sleep(7)
			p.Set(driver.Grinder, false)
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, false)
		}, tallies{cup: 1, full: 2}},
		{"ground twice for one drink", func(p *Plant) {
			p.PlaceCup()
			hold(p, driver.Grinder, 20)
			sleep(30)
			hold(p, driver.Grinder, 5)
			hold(p, driver.Pump, 30)
		}, tallies{cup: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, p *Plant) {
				c.do(p)
				want(t, p, c.want)
			})
		})
	}
}

// Coffee so slow that the water was there long before.
func TestLateCoffee(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.PlaceCup()
		p.Set(driver.Grinder, true)
		p.Set(driver.Pump, true)
		sleep(9)
		p.TakeCup()
		sleep(15)
		p.Set(driver.Pump, false)
		want(t, p, tallies{cup: 1})
	}, func(c *Config) { c.GrinderGPS = 0.1 })
}

// Milk and sugar may come first, between or last; they belong to the cup's flow,
// and what comes after another flow to that one.
func TestMilkAndSugar(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.PlaceCup()
		hold(p, driver.Milk, 2)
		hold(p, driver.Sugar, 1)
		drink(p)
		hold(p, driver.Sugar, 1)
		drink(p)
		hold(p, driver.Milk, 3)
		p.TakeCup()
		drink(p)
		hold(p, driver.Milk, 4) // while the flow may still go on
		hold(p, driver.Sugar, 1)
		sleep(31)
		hold(p, driver.Milk, 1) // nobody's
		lines(t, Lines(p.Poured()), `10.5s-17.5s drink: 42.0 ml through 9.0 g, 10.0 ml milk, 2 sugar, into the cup
26s-33s drink: 42.0 ml through 9.0 g, 15.0 ml milk, into the full-cup
43.5s-50.5s drink: 42.0 ml through 9.0 g, 20.0 ml milk, 1 sugar, into the tray, 42.0 ml spilt
`)
		if m := p.Counts().Mass; !near(m.MilkCupML, 25) || !near(m.MilkTrayML, 25) || !near(m.SugarCup, 2) || !near(m.SugarTray, 1) {
			t.Errorf("%+v", m)
		}
	})
}

func TestCupRunsOver(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.PlaceCup()
		hold(p, driver.Grinder, 8)
		hold(p, driver.Pump, 50) // 300 ml into a cup of 200
		m := p.Counts().Mass
		if !near(m.CoffeeCupML, 200) || !near(m.CoffeeTrayML, 60) || !near(m.CoffeeFloorML, 40) {
			t.Errorf("%+v", m)
		}
		if d := p.Poured()[0]; d.Where != InCup || !near(d.SpiltML, 100) {
			t.Errorf("%+v", d)
		}
		if h := p.Counts().Harm; len(h) != 1 || h[0] != "the drip tray ran over at 51.333s" {
			t.Errorf("harm: %v", h)
		}
	}, func(c *Config) { c.CupML, c.TrayML = 200, 60 })
}

// The lists are bounded, the counts are not.
func TestBounds(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		const n = 3 * keepFlows
		for range n {
			p.PlaceCup()
			drink(p)
			p.TakeCup()
		}
		if c := p.Counts(); c.InCup != n || c.Edges != 4*n || len(p.flows) > 2*keepFlows || len(p.edges) > 2*keepEdges {
			t.Errorf("%d drinks, %d edges, %d and %d kept", c.InCup, c.Edges, len(p.flows), len(p.edges))
		}
		if f := p.Flows(); len(f) != keepFlows || f[len(f)-1].N != n {
			t.Errorf("%d flows listed", len(f))
		}
		if e := p.Edges(); len(e) != keepEdges || e[len(e)-1].On {
			t.Errorf("%d edges listed", len(e))
		}
	}, func(c *Config) { c.HopperG, c.TankML = 1e6, 1e6 })
}
