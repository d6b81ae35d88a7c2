package worker_test

import (
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

// TestTwoOfOneName: two services were given one name, with a folder each. The later
// one begins nothing and says so, the first one works on and says that somebody asked;
// when it has died, or has stopped, the later one works.
func TestTwoOfOneName(t *testing.T) {
	for name, end := range map[string]func(*station){
		"killed":  (*station).die,
		"stopped": func(s *station) { s.stop(); <-s.ended },
	} {
		t.Run(name, func(t *testing.T) {
			open(t, func(c *cafe) {
				first := c.start("zoe")
				c.ended(c.order(orderN(1)), time.Minute, fleet.Served)
				second := c.start("zoe")
				for n := range 3 {
					c.ended(c.order(orderN(2+n)), time.Minute, fleet.Served)
				}
				if n := len(second.plant.Edges()); n > 0 {
					t.Errorf("the later one moved something %d times", n)
				}
				c.poured(4)
				if p, _ := second.w.Presence(); p.State != fleet.StateBlocked || p.Code != fleet.CodeTwin || !strings.Contains(p.Note, "two services") {
					t.Errorf("the later one says %s, %s: %s", p.State, p.Code, p.Note)
				}
				waitFor(c, "the first one's word", func() bool {
					p, _ := first.w.Presence()
					return p.State == fleet.StateReady && p.Code == fleet.CodeRival
				})
				end(first)
				waitFor(c, "the later one", func() bool { p, _ := second.w.Presence(); return p.State == fleet.StateReady })
				c.ended(c.order(orderN(5)), time.Minute, fleet.Served)
				if len(second.plant.Edges()) == 0 {
					t.Error("the later one made nothing")
				}
				// Its end takes nobody's word back.
				if n := here(c, "zoe"); n != 1 {
					t.Errorf("%d of them are here", n)
				}
			})
		})
	}
}

// here counts the machines of a name that are here.
func here(c *cafe, name string) (n int) {
	c.Helper()
	all, err := c.shop.Fleet().Present(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for _, p := range all {
		if p.Machine == name {
			n++
		}
	}
	return n
}

// TestRefusedOneLeaves: a later one that ends takes nothing away from the first.
func TestRefusedOneLeaves(t *testing.T) {
	open(t, func(c *cafe) {
		c.start("zoe")
		waitFor(c, "the first one", func() bool { return here(c, "zoe") == 1 })
		second := c.start("zoe")
		waitFor(c, "refused", func() bool { p, _ := second.w.Presence(); return p.Code == fleet.CodeTwin })
		second.stop()
		<-second.ended
		if n := here(c, "zoe"); n != 1 {
			t.Errorf("%d of them are here", n)
		}
		c.ended(c.order(orderN(1)), time.Minute, fleet.Served)
		c.poured(1)
	})
}
