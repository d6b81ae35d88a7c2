package worker_test

import (
	"fmt"
	"testing"
	"time"

	"barista/fleet"
	"barista/machine"
	"barista/machine/journal"
)

// TestStoppedBeforeFence: the process is stopped before its fence for longer than
// the lease (F20), of an order that it has claimed or not. On waking its fence is
// refused, and it does and says nothing.
func TestStoppedBeforeFence(t *testing.T) {
	for _, x := range []struct {
		claimed bool
		until   string
	}{
		{true, "updated accepted"}, {true, "updated claimed"}, {true, "updated brewing"}, {true, "did on pump"}, {true, "updated served"},
		{false, "updated brewing"}, {false, "did on pump"}, {false, "updated served"},
	} {
		t.Run(fmt.Sprintf("claimed %v until %s", x.claimed, x.until), func(t *testing.T) {
			open(t, func(c *cafe) {
				opts, least, most := []option{at("update brewing", (*station).freeze)}, fleet.AckWait-time.Second, fleet.AckWait+2*time.Second
				if x.claimed { // and waited for the cup since
					opts, least, most = append(opts, lateCup), fleet.Lease-3*time.Second, fleet.AckWait+fleet.Lease+2*time.Second
				}
				ann := c.start("ann", opts...)
				id := c.order(orderN(1))
				ann.reached("update brewing", 1)
				begin := time.Now()
				woken := []option{at(x.until, func(*station) { ann.thaw() })}
				if x.until == "updated claimed" {
					woken = append(woken, lateCup)
				}
				bob := c.start("bob", woken...)
				c.ended(id, 2*time.Minute, fleet.Served)
				if bob.count(x.until) == 0 {
					c.Error("it never came so far: this tests nothing")
				}
				if x.until == "updated accepted" { // it may take what was given free
					c.poured(1)
					return
				}
				taken := bob.last("update brewing")
				if x.until == "updated claimed" {
					taken = bob.last("update claimed")
				}
				if d := taken.Sub(begin); d < least || d > most {
					c.Errorf("taken over after %v", d)
				}
				c.pause(time.Minute)
				if ann.edges() > 0 || ann.count("updated brewing") > 0 {
					c.Error("the fence was not refused")
				}
				c.poured(1)
			})
		})
	}
}

// TestPresentIsNotRobbed: the lease alone takes nothing from an owner who is
// there; the two minutes of a wait for a cup are an example.
func TestPresentIsNotRobbed(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups("page", "hand"))
		ann.plant.PlaceCup()
		id := c.order(orderN(1))
		c.taken(id, 10*time.Second, fleet.Claimed, ann)
		// A second message of the same order, so that the other one meets it.
		c.publish(c.get(id), id+"#s1")
		bob := c.start("bob")
		c.pause(100 * time.Second)
		if bob.count("ticket") < 2 {
			c.Error("the other one never met it: this tests nothing")
		}
		if e := c.get(id); e.Phase != fleet.Claimed || e.Machine() != "ann" {
			c.Errorf("%s by %s", e.Phase, e.Machine())
		}
		if err := ann.m.CupThere(id); err != nil {
			c.Error(err)
		}
		if e := c.ended(id, time.Minute, fleet.Served); e.Machine() != "ann" || e.Epoch != 1 {
			c.Errorf("%+v", e)
		}
		c.poured(1)
	})
}

// TestStoppedAfterFence: the process is stopped between fence and command, for
// longer than the start deadline (F21). It fences again and goes on.
func TestStoppedAfterFence(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("updated brewing", (*station).freeze))
		id := c.order(orderN(1))
		ann.reached("updated brewing", 1)
		bob := c.start("bob")
		c.pause(10 * time.Second)
		if ann.edges() > 0 {
			c.Error("a stopped process switched something")
		}
		ann.thaw()
		if e := c.ended(id, time.Minute, fleet.Served); e.Machine() != "ann" || e.Epoch != 1 {
			c.Errorf("%+v", e)
		}
		if n := ann.count("updated brewing"); n != 2 {
			c.Errorf("%d fences, wanted a second one", n)
		}
		if d := ann.last("on grinder").Sub(ann.last("update brewing")); d > fleet.FenceTime {
			c.Errorf("the first relay came %v after the fence", d)
		}
		if bob.edges() > 0 {
			c.Error("bob made it as well")
		}
		c.poured(1)
	})
}

// TestStoppedInTime: a stop that is shorter than the deadline needs no second
// fence.
func TestStoppedInTime(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("updated brewing", (*station).freeze))
		id := c.order(orderN(1))
		ann.reached("updated brewing", 1)
		c.pause(1500 * time.Millisecond)
		ann.thaw()
		c.ended(id, time.Minute, fleet.Served)
		if n := ann.count("updated brewing"); n != 1 {
			c.Errorf("%d fences", n)
		}
		c.poured(1)
	})
}

// TestStoppedUntilUnknown: the same stop, so long that another one called it
// unknown, or that a person had it made again (F21). The new fence is refused,
// nothing is switched on, and the journal says untouched.
func TestStoppedUntilUnknown(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(map[bool]string{false: "unknown", true: "made again"}[again], func(t *testing.T) {
			open(t, func(c *cafe) {
				// A cup that stays: a machine that finds none begins nothing, and its
				// journal has nothing to say.
				ann := c.start("ann", cups(machine.CupSensor, "hand"), at("updated brewing", (*station).freeze))
				ann.plant.PlaceCup()
				id := c.order(orderN(1))
				ann.reached("updated brewing", 1)
				bob := c.start("bob")
				e := c.phase(id, limit+time.Minute, fleet.Unknown)
				drinks := 0
				if again {
					drinks = 1
					c.empty()
					c.makeAgain(e)
					c.taken(id, time.Minute, fleet.Brewing, bob)
				}
				ann.thaw()
				if again {
					c.ended(id, time.Minute, fleet.Served)
				} else if e := c.ended(id, time.Minute, fleet.Failed); e.Outcome != fleet.Untouched || e.Machine() != "ann" {
					c.Errorf("%+v", e)
				}
				k := journal.Key{Order: id, Epoch: 1}
				waitFor(c, "the journal", func() bool { return ann.j.State(k).Phase == journal.Confirmed })
				if st := ann.j.State(k); st.Outcome != journal.Untouched {
					c.Errorf("the journal says %+v", st)
				}
				if ann.edges() > 0 {
					c.Error("something was switched on")
				}
				c.poured(drinks)
				// And it works on, where the other one does not.
				bob.stop()
				<-bob.ended
				c.ended(c.order(orderN(2)), time.Minute, fleet.Served)
				c.poured(drinks + 1)
			})
		})
	}
}
