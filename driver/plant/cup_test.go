package plant

import (
	"testing"
	"time"

	"barista/driver"
)

func auto(c *Config) { c.Cups, c.Refill = Auto, true }

// look is what a machine does: it reads its cup sensor.
func look(t *testing.T, p *Plant) bool { return read(t, p, driver.Cup) == 1 }

func TestCustomer(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		sleep(1)
		if look(t, p) {
			t.Fatal("a cup before the machine looked for one")
		}
		sleep(0.4)
		if look(t, p) {
			t.Fatal("a cup at once")
		}
		sleep(0.1)
		if !look(t, p) {
			t.Fatal("no cup 0.5 s after the machine looked")
		}
		drink(p)
		sleep(0.6)
		hold(p, driver.Milk, 3) // the customer waits for the milk
		sleep(0.9)
		if !look(t, p) {
			t.Fatal("the cup was taken early")
		}
		sleep(0.1)
		// The place stays empty until a machine, however slow, has seen it.
		sleep(20)
		if c := p.Counts(); c.CupThere || c.CupsTaken != 1 {
			t.Fatalf("%d taken, there %v", c.CupsTaken, c.CupThere)
		}
		if look(t, p) {
			t.Fatal("the machine could not see that the cup was taken")
		}
		sleep(0.5)
		if !look(t, p) {
			t.Fatal("no second cup")
		}
		want(t, p, tallies{cup: 1})
	}, auto)
}

// A machine that never looks gets its cups too.
func TestCustomerUnseen(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		for n := range 3 {
			sleep(3)
			drink(p)
			sleep(1)
			if c := p.Counts(); c.CupsTaken != n+1 {
				t.Fatalf("%d cups taken", c.CupsTaken)
			}
		}
		want(t, p, tallies{cup: 3})
	}, auto)
}

// What the customer does with a cup that got no drink.
func TestCustomerGivesUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(p *Plant)
		after  float64 // seconds; the cup is there until then
		change func(*Config)
	}{
		{"nothing happened", func(p *Plant) {}, 90, auto},
		{"cut off", func(p *Plant) { hold(p, driver.Grinder, 8) }, 45, auto},
		{"failed by rate", func(p *Plant) { hold(p, driver.Grinder, 8); hold(p, driver.Pump, 2) }, 1, func(c *Config) { auto(c); c.FailRate = 1 }},
		{"faster", func(p *Plant) { drink(p) }, 0.4, func(c *Config) { auto(c); c.Speed = 10 }},
		{"much faster", func(p *Plant) { drink(p) }, 0.4, func(c *Config) { auto(c); c.Speed = 1000 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, p *Plant) {
				look(t, p)
				sleep(0.5)
				c.spoil(p)
				sleep(c.after - 0.001)
				if !p.Counts().CupThere {
					t.Fatal("taken early")
				}
				sleep(0.002)
				if p.Counts().CupThere {
					t.Fatal("not taken")
				}
			}, c.change)
		})
	}
}

func TestCupLeft(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		look(t, p)
		sleep(1)
		p.Fault(Fault{Kind: CupLeft})
		drink(p)
		sleep(600)
		drink(p)
		want(t, p, tallies{cup: 1, full: 1})
		p.Clear()
		sleep(1)
		if p.Counts().CupThere {
			t.Error("the cup is still there")
		}
	}, auto)
}

func TestCupRemovedStaysAway(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		look(t, p)
		sleep(1)
		p.Fault(Fault{Kind: CupRemoved})
		look(t, p)
		sleep(60)
		if look(t, p) {
			t.Error("a cup")
		}
		p.Clear()
		if !look(t, p) {
			t.Error("no cup after the fault")
		}
	}, auto)
}

func TestDispenser(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		hold(p, driver.Cups, 0.2)
		if look(t, p) {
			t.Error("a cup fell too early")
		}
		hold(p, driver.Cups, 0.5)
		if !look(t, p) || p.Counts().CupsPlaced != 1 {
			t.Error("no cup fell")
		}
		noHarm(t, p)
		hold(p, driver.Cups, 0.5)
		if c := p.Counts(); len(c.Harm) != 1 || c.CupsPlaced != 1 {
			t.Errorf("a cup onto a cup: %+v", c)
		}
		drink(p)
		sleep(1)
		if look(t, p) {
			t.Error("the cup was not taken")
		}
	}, func(c *Config) { c.Cups = Dispenser })
}

// With refill a machine serves for ever; without, it runs dry and says so.
func TestRefill(t *testing.T) {
	serve := func(t *testing.T, p *Plant) {
		for range 100 {
			for range 10 { // until a cup is there
				if look(t, p) {
					break
				}
				sleep(0.5)
			}
			drink(p)
			hold(p, driver.Milk, 12)
			sleep(1)
		}
	}
	in(t, func(t *testing.T, p *Plant) {
		serve(t, p)
		want(t, p, tallies{cup: 100})
		noHarm(t, p)
	}, auto)
	in(t, func(t *testing.T, p *Plant) {
		serve(t, p)
		if read(t, p, driver.Tank) != 0 || len(p.Counts().Harm) == 0 {
			t.Error("the tank never ran dry")
		}
		before := p.Counts().Drinks
		p.Refill()
		if read(t, p, driver.Tank) != 1 || read(t, p, driver.Tray) != 1 {
			t.Error("not refilled")
		}
		drink(p)
		if p.Counts().Drinks != before+1 {
			t.Error("no drink after the refill")
		}
	}, func(c *Config) { c.Cups = Auto })
}

func TestBoardTimer(t *testing.T) {
	in(t, func(t *testing.T, p *Plant) {
		p.OnFor(driver.Pump, 2*time.Second)
		sleep(1)
		p.OnFor(driver.Pump, 2*time.Second) // a new command, a new time
		sleep(10)
		p.OnFor(driver.Milk, time.Second)
		p.Set(driver.Milk, true) // until it is told otherwise
		sleep(10)
		p.OnFor(driver.Sugar, 0)
		lines(t, Lines(p.Edges()), "0s pump on\n3s pump off by timer\n11s milk on\n")
	})
}
