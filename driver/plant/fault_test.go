package plant

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
)

// read reads a sensor that must be able to say.
func read(t *testing.T, p *Plant, s driver.Signal) float64 {
	t.Helper()
	v, err := p.Read(s)
	if err != nil {
		t.Fatalf("read %s: %v", s, err)
	}
	return v
}

// Each fault: what it does to the metal and what a sensor says.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault string
		do    func(t *testing.T, p *Plant, f Fault)
	}{
		{"jam", func(t *testing.T, p *Plant, f Fault) {
			drink(p)
			if g := read(t, p, driver.Weight); g != 0 || read(t, p, driver.Beans) != 1 {
				t.Errorf("ground %v g in a jam", g)
			}
			p.Mend(f)
			hold(p, driver.Grinder, 5)
			if g := read(t, p, driver.Weight); !near(g, 6) {
				t.Errorf("ground %v g after it", g)
			}
		}},
		{"no-flow", func(t *testing.T, p *Plant, f Fault) {
			drink(p)
			if ml := read(t, p, driver.Flow); ml != 0 || read(t, p, driver.Tank) != 1 {
				t.Errorf("%v ml flowed", ml)
			}
			noHarm(t, p) // blocked is not dry
			want(t, p, tallies{})
		}},
		{"beans-out", func(t *testing.T, p *Plant, f Fault) {
			hold(p, driver.Grinder, 5)
			if read(t, p, driver.Weight) != 0 || read(t, p, driver.Beans) != 0 {
				t.Error("there are beans")
			}
			p.Mend(f)
			if read(t, p, driver.Beans) != 1 {
				t.Error("there are no beans after it")
			}
		}},
		{"tank-empty", func(t *testing.T, p *Plant, f Fault) {
			hold(p, driver.Pump, 1.9)
			noHarm(t, p)
			hold(p, driver.Pump, 5)
			if read(t, p, driver.Flow) != 0 || read(t, p, driver.Tank) != 0 {
				t.Error("there is water")
			}
			if d := cmp.Diff([]string{"the pump ran for 2s without water at 3.9s"}, p.Counts().Harm); d != "" {
				t.Error(d)
			}
		}},
		{"stuck:pump", func(t *testing.T, p *Plant, f Fault) {
			if p.On(driver.Pump) {
				t.Error("a relay welded itself while it was open")
			}
			hold(p, driver.Pump, 5)
			sleep(5)
			if !p.On(driver.Pump) || !near(p.Counts().Mass.PumpedML, 60) {
				t.Error("the pump went off")
			}
			p.Mend(f)
			sleep(5)
			lines(t, Lines(p.Edges()), "0s pump on\n10s pump off by mended\n")
		}},
		{"dead:pump", func(t *testing.T, p *Plant, f Fault) {
			p.Set(driver.Pump, true)
			sleep(5)
			if p.On(driver.Pump) {
				t.Error("the pump is on")
			}
			p.Mend(f)
			p.Fault(f)
			lines(t, Lines(p.Edges()), "5s pump on by mended\n5s pump off by fault\n")
		}},
		{"sensor-open:flow", func(t *testing.T, p *Plant, f Fault) {
			hold(p, driver.Pump, 5)
			if v, err := p.Read(driver.Flow); !errors.Is(err, driver.ErrInvalid) || v != 0 {
				t.Errorf("an open sensor reads %v, %v", v, err)
			}
			p.Mend(f)
			if ml := read(t, p, driver.Flow); ml < 29.8 {
				t.Errorf("%v ml after it", ml)
			}
		}},
		{"sensor-frozen:weight", func(t *testing.T, p *Plant, f Fault) {
			p.Mend(f)
			hold(p, driver.Grinder, 5)
			p.Fault(f)
			hold(p, driver.Grinder, 5)
			if g := read(t, p, driver.Weight); !near(g, 6) {
				t.Errorf("a frozen scale reads %v", g)
			}
		}},
		{"cup-removed", func(t *testing.T, p *Plant, f Fault) {
			p.Clear()
			p.PlaceCup()
			hold(p, driver.Grinder, 8)
			p.Set(driver.Pump, true)
			sleep(6)
			p.Fault(f)
			if read(t, p, driver.Cup) != 0 || p.Counts().CupsTaken != 1 {
				t.Error("the cup is there")
			}
			sleep(1)
			if d := p.Poured()[0]; !near(d.SpiltML, 6) || d.Where != InCup {
				t.Errorf("%v", d)
			}
		}},
		{"door-open", func(t *testing.T, p *Plant, f Fault) {
			if read(t, p, driver.Door) != 0 || read(t, p, driver.Stop) != 1 {
				t.Error("the door is closed")
			}
		}},
		{"stop-pressed", func(t *testing.T, p *Plant, f Fault) {
			if read(t, p, driver.Stop) != 0 || read(t, p, driver.Door) != 1 {
				t.Error("the emergency stop is not pressed")
			}
		}},
	} {
		t.Run(c.fault, func(t *testing.T) {
			f, err := ParseFault(c.fault)
			if err != nil || f.String() != c.fault {
				t.Fatalf("%v is read as %v, %v", c.fault, f, err)
			}
			in(t, func(t *testing.T, p *Plant) {
				p.Fault(f)
				p.Fault(f) // twice is once
				if d := cmp.Diff([]string{c.fault}, p.Counts().Faults); d != "" {
					t.Error(d)
				}
				c.do(t, p, f)
				p.Clear()
				if left := p.Counts().Faults; left != nil {
					t.Errorf("left after Clear: %v", left)
				}
			})
		})
	}
}

func TestBadFaults(t *testing.T) {
	for _, s := range []string{"", "jam:pump", "stuck", "stuck:", "stuck:wheel", "sensor-open", "sensor-open:pump", "sensor-frozen:", "cup-left:cup", "jams", "stuck:pump:flow"} {
		if f, err := ParseFault(s); err == nil {
			t.Errorf("%q is read as %+v", s, f)
		}
	}
}

// A share of the baskets fails, in a way that the machine must notice; nothing
// of it is poured, and the fault goes away by itself.
func TestFailRate(t *testing.T) {
	const n = 2000
	run := func(seed uint64) (c Counts, jams int) {
		in(t, func(t *testing.T, p *Plant) {
			for range n {
				p.PlaceCup()
				before := p.Counts()
				hold(p, driver.Grinder, 7.5)
				ground := p.Counts().Mass.GroundG - before.Mass.GroundG
				hold(p, driver.Sugar, 1)
				if ground < 5 { // the machine notices and stops
					jams++
				} else {
					hold(p, driver.Pump, 7)
				}
				c = p.Counts()
				if failed, poured := c.Struck > before.Struck, c.Drinks > before.Drinks; failed == poured {
					t.Fatalf("failed %v, poured %v", failed, poured)
				}
				p.TakeCup()
			}
			noHarm(t, p)
		}, func(c *Config) { c.FailRate, c.Seed, c.HopperG, c.TankML = 0.1, seed, 1e6, 1e6 })
		return c, jams
	}
	c, jams := run(7)
	if c.Struck < n/10-60 || c.Struck > n/10+60 { // more than four standard deviations
		t.Errorf("%d of %d failed", c.Struck, n)
	}
	if jams < c.Struck/3 || jams > c.Struck*2/3 || c.InCup != n-c.Struck || c.Partial+c.Water > 0 {
		t.Errorf("%d jams; %+v", jams, c)
	}
	if again, _ := run(7); again.Struck != c.Struck || again.Mass != c.Mass {
		t.Error("the same seed fails otherwise")
	}
	if other, _ := run(8); other.Mass == c.Mass {
		t.Error("another seed fails in the same way")
	}
}

// A blocked flow lasts as long as its drink, over a pre-infusion too, and is
// free 30 s later.
func TestStrikeEnds(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.strike, p.struck = NoFlow, 1
		hold(p, driver.Pump, 2)
		sleep(3)
		hold(p, driver.Pump, 2)
		if ml := read(t, p, driver.Flow); ml != 0 {
			t.Errorf("%v ml", ml)
		}
		sleep(31)
		hold(p, driver.Pump, 2)
		if ml := read(t, p, driver.Flow); ml < 11.5 {
			t.Errorf("%v ml", ml)
		}
	})
}
