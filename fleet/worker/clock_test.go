package worker_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/fleet"
	"barista/machine/journal"
)

// TestWallClock: fake time can't step, but what a worker learns of the broker's
// clock goes through four values (Now, Created, Avoid.Until, Stored). When these
// are an hour or a month away from the machine's own clock, nothing may happen
// sooner or later than when they agree (F47).
func TestWallClock(t *testing.T) {
	month := 31 * 24 * time.Hour
	for _, drift := range []time.Duration{0, time.Hour, -time.Hour, month, -month} {
		off := func(s *station) { s.drift = drift }
		t.Run(drift.String(), func(t *testing.T) {
			t.Run("lease", func(t *testing.T) {
				open(t, func(c *cafe) {
					ann := c.start("ann", off, lateCup, at("updated claimed", (*station).die))
					id := c.order(orderN(1))
					<-ann.died
					died := time.Now()
					bob := c.start("bob", off)
					c.ended(id, 2*time.Minute, fleet.Served)
					if d := bob.last("updated brewing").Sub(died); d < fleet.Lease || d > fleet.AckWait+fleet.Lease+2*time.Second {
						c.Errorf("taken over after %v", d)
					}
					c.poured(1)
				})
			})
			t.Run("unknown", func(t *testing.T) {
				open(t, func(c *cafe) {
					ann := c.start("ann", off, at("updated brewing", (*station).die))
					id := c.order(orderN(1))
					<-ann.died
					bob := c.start("bob", off)
					c.phase(id, limit+time.Minute, fleet.Unknown)
					if d := bob.last("update unknown").Sub(ann.last("updated brewing")); d < limit || d > limit+5*time.Second {
						c.Errorf("unknown after %v", d)
					}
					c.poured(0)
				})
			})
			t.Run("step back", func(t *testing.T) {
				open(t, func(c *cafe) {
					ann := c.start("ann", off, doorOpensAfterFence(1))
					id := c.order(orderN(1))
					c.ended(id, 2*time.Minute, fleet.Served)
					if d := ann.last("updated brewing").Sub(ann.last("updated accepted")); d < 9*time.Second || d > 15*time.Second {
						c.Errorf("taken again after %v", d)
					}
					c.poured(1)
				})
			})
		})
	}
}

// TestSecondWorker: the journal has one user (F41). The second one is told so
// before anything of the machine is touched, and the first one works on.
func TestSecondWorker(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		if j, err := journal.Open(filepath.Join(ann.dir, "journal"), driver.Identity{Kind: "mock"}, guard.Place{}); !errors.Is(err, journal.ErrLocked) {
			c.Fatalf("a second user of the journal: %v %v", j, err)
		}
		c.ended(c.order(orderN(1)), time.Minute, fleet.Served)
		c.poured(1)
		// The lock ends with its owner.
		ann.die()
		ann.run()
		c.ended(c.order(orderN(2)), time.Minute, fleet.Served)
		c.poured(2)
	})
}
