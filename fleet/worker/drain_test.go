package worker_test

import (
	"encoding/json"
	"testing"
	"time"

	"barista/fleet"
	"barista/machine"
)

// drain takes a machine out of service to open it; at tells this drain from others.
func (c *cafe) drain(name, at string) {
	c.Helper()
	b, _ := json.Marshal(fleet.Cordon{By: "eve", Reason: "new grinder", Drain: true, At: at})
	if err := c.shop.Settings().Put(c.Context(), fleet.CordonKey(name), b); err != nil {
		c.Fatal(err)
	}
}

// says is the machine's last word.
func (c *cafe) says(name string) (p fleet.Presence) {
	here, err := c.shop.Fleet().Present(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for _, one := range here {
		if one.Machine == name {
			p = one
		}
	}
	return p
}

// parks waits until the machine says that it may be opened, and looks that it does not say
// so a moment too early.
func (c *cafe) parks(s *station, at string) {
	c.Helper()
	waitFor(c, s.name+" to park", func() bool {
		p := c.says(s.name)
		if p.Drained == "" {
			return false
		}
		if p.Drained != at || p.Order != "" || p.Code != fleet.CodeDrained && p.State != fleet.StateFault {
			c.Errorf("it says %+v", p)
		}
		if on := s.plant.Counts().OnNow(); len(on) > 0 {
			c.Errorf("it may be opened, and %v is on", on)
		}
		return true
	})
}

// TestDrain: a machine that shall be opened ends what it has begun, gives away what it has
// not, and says when nothing is in hand and nothing can start; a cordon says nothing of it.
func TestDrain(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		open(t, func(c *cafe) {
			ann := c.start("ann")
			c.cordon("ann", true)
			waitFor(c, "the cordon", func() bool { return c.says("ann").State == fleet.StateCordoned })
			if p := c.says("ann"); p.Drained != "" || p.Code != fleet.CodeCordoned {
				c.Errorf("a cordon is no drain: %+v", p)
			}
			c.drain("ann", "one")
			c.parks(ann, "one")
			c.drain("ann", "two") // another person, later
			waitFor(c, "its word about that one", func() bool { return c.says("ann").Drained == "two" })
			id := c.order(orderN(1))
			c.pause(time.Minute)
			if e := c.get(id); e.Phase != fleet.Accepted {
				c.Errorf("it is drained, and took an order: %s", e.Phase)
			}
			c.cordon("ann", false)
			c.ended(id, time.Minute, fleet.Served)
			if p := c.says("ann"); p.Drained != "" {
				c.Errorf("back in service it says %q", p.Drained)
			}
			c.poured(1)
		})
	})
	t.Run("at a drink", func(t *testing.T) {
		open(t, func(c *cafe) {
			ann := c.start("ann")
			id := c.order(orderN(1))
			ann.reached("did on grinder", 1)
			c.drain("ann", "one")
			waitFor(c, "its word", func() bool { return c.says("ann").State == fleet.StateDraining })
			c.parks(ann, "one")
			if e := c.get(id); e.Phase != fleet.Served {
				c.Errorf("it may be opened, and its order is %s", e.Phase)
			}
			c.poured(1)
		})
	})
	t.Run("waits for a cup", func(t *testing.T) {
		open(t, func(c *cafe) {
			ann := c.start("ann", cups(machine.CupSensor, "hand"))
			id := c.order(orderN(1))
			c.taken(id, time.Minute, fleet.Claimed, ann)
			c.start("bob")
			begin := time.Now()
			c.drain("ann", "one")
			c.parks(ann, "one")
			if e := c.ended(id, time.Minute, fleet.Served); e.Machine() != "bob" {
				c.Errorf("made by %s", e.Machine())
			}
			if d := time.Since(begin); d > fleet.CupWait/2 {
				c.Errorf("the order waited %v for a cup under a machine that shall be opened", d)
			}
			if ann.edges() > 0 {
				c.Error("the drained one moved")
			}
			c.poured(1)
		})
	})
	t.Run("out of beans", func(t *testing.T) {
		open(t, func(c *cafe) {
			ann := c.start("ann", at("did on grinder", func(s *station) { s.plant.Fault(faultJam) }))
			c.order(orderN(1))
			waitFor(c, "the fault", func() bool { return c.says("ann").State == fleet.StateBlocked })
			c.drain("ann", "one")
			c.parks(ann, "one")
		})
	})
}
