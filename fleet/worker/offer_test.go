package worker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/plant"
	"barista/fleet"
	"barista/machine/recipe"
)

// paced has a machine work at other rates.
func paced(change func(*recipe.Calibration)) option {
	return func(s *station) {
		s.cfg.Classes = []fleet.Class{black, {Bean: "robusta", Milk: "free"}, {Bean: "arabica", Milk: "normal"}}
		change(&s.mc.Calibration)
		// As a file is read: what it has not is not in its book.
		s.mc.Book = recipe.Book{}
		for size, d := range recipe.DefaultBook() {
			if s.mc.Calibration.SugarDosePS < 1 {
				d.Sugar = 0
			}
			if s.mc.Calibration.MilkMLPS == 0 {
				d.MilkML = 0
			}
			s.mc.Book[size] = d
		}
	}
}

// TestOffer: a machine offers of its list what it can make by its limits and the
// menu's doses, and nothing else.
func TestOffer(t *testing.T) {
	// A pump without a rest gives all of its water at a stretch: 400 ml take it too long.
	huge := func(sizes ...fleet.Size) func(m *fleet.Menu) {
		return func(m *fleet.Menu) {
			for _, s := range sizes {
				m.Sizes[s] = fleet.Amounts{Grams: 9, MilkML: 30, Water: 400}
			}
		}
	}
	for name, x := range map[string]struct {
		pace  func(*recipe.Calibration)
		menu  func(*fleet.Menu)
		sizes string
		milks string
		never string
	}{
		"all of it":     {nil, nil, "[small medium large]", "[free normal]", "[]"},
		"no sugar":      {func(c *recipe.Calibration) { c.SugarDosePS = 0 }, nil, "[small medium large]", "[free normal]", "[{  1}]"},
		"two sugars":    {func(c *recipe.Calibration) { c.SugarDosePS = 0.25 }, nil, "[small medium large]", "[free normal]", "[{  3}]"},
		"no milk":       {func(c *recipe.Calibration) { c.MilkMLPS = 0 }, nil, "[small medium large]", "[free]", "[]"},
		"too large":     {nil, huge(fleet.Large), "[small medium]", "[free normal]", "[]"},
		"too much milk": {func(c *recipe.Calibration) { c.MilkMLPS = 4 }, func(m *fleet.Menu) { m.Sizes[fleet.Large] = fleet.Amounts{Grams: 30, MilkML: 250, Water: 180} }, "[small medium large]", "[free normal]", "[{large normal 0}]"},
		"neither":       {func(c *recipe.Calibration) { c.MilkMLPS, c.SugarDosePS = 4, 0 }, func(m *fleet.Menu) { m.Sizes[fleet.Large] = fleet.Amounts{Grams: 30, MilkML: 250, Water: 180} }, "[small medium large]", "[free normal]", "[{  1} {large normal 0}]"},
		"not sold":      {nil, func(m *fleet.Menu) { huge(fleet.Large)(m); delete(m.Sizes, fleet.Large) }, "[small medium large]", "[free normal]", "[]"},
		"nothing":       {nil, huge(fleet.Sizes...), "[]", "[]", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			open(t, func(c *cafe) {
				s := c.station("ann", paced(func(rates *recipe.Calibration) {
					if x.pace != nil {
						x.pace(rates)
					}
				}))
				if x.menu != nil {
					x.menu(&s.cfg.Menu)
				}
				s.run()
				p, _ := s.w.Presence()
				var milks []string
				for _, class := range p.Classes {
					if !slices.Contains(milks, class.Milk) {
						milks = append(milks, class.Milk)
					}
				}
				if got, want := fmt.Sprint(p.Sizes, milks, p.Never), x.sizes+" "+x.milks+" "+x.never; got != want {
					c.Errorf("it offers %s, want %s", got, want)
				}
				if x.sizes == "[]" {
					c.pause(time.Minute)
					if p, _ := s.w.Presence(); p.State != fleet.StateBlocked || p.Note == "" || s.count("next") > 0 {
						c.Errorf("a machine that can make nothing is %s: %q, and asked %d times", p.State, p.Note, s.count("next"))
					}
				}
			})
		})
	}
}

// TestOfferFollowsTheMenu: when a dose is raised beyond what the machine can pour,
// the shop hears at once that it no longer makes the size.
func TestOfferFollowsTheMenu(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		ann.reached("next", 1)
		menu := fleet.DefaultMenu()
		menu.Sizes[fleet.Large] = fleet.Amounts{Grams: 30, Water: 400}
		b, err := json.Marshal(menu)
		if err != nil {
			c.Fatal(err)
		}
		if err := c.shop.Settings().Put(c.Context(), fleet.KeyMenu, b); err != nil {
			c.Fatal(err)
		}
		large := orderN(1)
		large.Size = fleet.Large
		waitFor(c, "the shop to hear it", func() bool {
			here, err := c.shop.Fleet().Present(c.Context())
			return err == nil && len(here) == 1 && !here[0].Makes(large) && here[0].Makes(orderN(1))
		})
		c.ended(c.order(orderN(2)), 5*time.Minute, fleet.Served)
	})
}

// TestGaugesAreSaid: what the sensors tell is part of what a machine says.
func TestGaugesAreSaid(t *testing.T) {
	open(t, func(c *cafe) {
		s := c.start("ann")
		said := func(want fleet.Gauges, lacks ...string) {
			c.Helper()
			waitFor(c, fmt.Sprintf("%+v", want), func() bool {
				p, _ := s.w.Presence()
				return p.Gauges == want && slices.Equal(p.Lacks, lacks)
			})
		}
		said(fleet.Gauges{Beans: fleet.GaugeThere, Water: fleet.GaugeThere, Tray: fleet.GaugeThere})
		s.plant.Fault(faultBeans)
		said(fleet.Gauges{Beans: fleet.GaugeOut, Water: fleet.GaugeThere, Tray: fleet.GaugeThere}, "beans")
		s.plant.Fault(plant.Fault{Kind: plant.SensorOpen, Signal: driver.Tank})
		said(fleet.Gauges{Beans: fleet.GaugeOut, Water: fleet.GaugeSilent, Tray: fleet.GaugeThere}, "beans", "sensor")
	})
}
