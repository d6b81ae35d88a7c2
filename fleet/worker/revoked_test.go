package worker_test

import (
	"strings"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/roles"
	"barista/machine/journal"
)

// revoke takes a machine's key away, and deals with what it had in hand as the shop's
// controller does (controller.Left).
func (c *cafe) revoke(s *station) {
	c.Helper()
	s.cutOff()
	for id := range c.known() {
		e := c.get(id)
		gone := fleet.Reason{Code: fleet.CodeRevoked}
		switch {
		case e.Machine() != s.name:
		case e.Phase == fleet.Claimed:
			next, err := e.Release(gone, nil)
			c.publish(c.write(e, next, err), id+"#l1")
		case e.Phase == fleet.Brewing:
			next, err := e.Park("boss", gone)
			c.write(e, next, err)
		}
	}
}

// cutOff takes the machine's key away, and returns when its connection has ended.
func (s *station) cutOff() {
	s.c.note("broker", "REVOKES %s", s.name)
	began := time.Now()
	s.c.lock.remove(s.name)
	s.c.b.Relock()
	brokertest.Eventually(s.c, s.name+" to be cut off", func() bool { return !s.conn.Up() })
	if d := time.Since(began); d > 5*time.Second {
		s.c.Errorf("cut off after %v", d)
	}
}

// rekey lets a machine in by another key, which its next connection has.
func (c *cafe) rekey(machine string) {
	c.note("broker", "HAS ANOTHER KEY OF %s", machine)
	c.lock.add(roles.Machine, machine)
	c.b.Relock()
}

// known are the orders of which the book has records.
func (c *cafe) known() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]bool{}
	for id := range c.seen {
		out[id] = true
	}
	return out
}

// finished waits until the drink in hand is over, and sees that it is the one that was
// begun, poured to its end, and that the machine begins nothing more.
func (s *station) finished(id string) {
	s.c.Helper()
	k := journal.Key{Order: id, Epoch: 1}
	waitFor(s.c, "the drink to be finished", func() bool { return s.j.State(k).Phase == journal.Ended })
	if st := s.j.State(k); st.Outcome != journal.Made {
		s.c.Errorf("the journal says %+v", st)
	}
	pulls, edges := s.count("next"), s.edges()
	s.c.pause(2 * time.Minute)
	if s.count("next") != pulls || s.edges() != edges {
		s.c.Error("it began something after its key was taken away")
	}
	if s.conn.Up() {
		s.c.Error("it came in again without a key")
	}
	if s.j.State(k).Phase != journal.Ended {
		s.c.Error("the journal does not keep the end")
	}
}

// TestRevokedAtWork: a machine's key is taken away while it makes a drink, at the broker
// with the accounts of the table. It is cut off; the drink is finished, once, and
// nothing after it; nobody says more than he knows; and whoever may, settles it.
func TestRevokedAtWork(t *testing.T) {
	settled := map[string]func(c *cafe, ann *station, id string){
		// The same machine comes in by a new key: its journal tells.
		"new key": func(c *cafe, ann *station, id string) {
			c.rekey("ann")
			ann.run()
			e := c.phase(id, time.Minute, fleet.Served)
			if e.Machine() != "ann" || e.Outcome != fleet.Made || e.By != "" {
				c.Errorf("%+v", e)
			}
		},
		// The same, and the process that was revoked was killed: the journal is on the disk.
		"killed, new key": func(c *cafe, ann *station, id string) {
			ann.die()
			c.rekey("ann")
			ann.run()
			c.phase(id, time.Minute, fleet.Served)
		},
		// Another computer comes in under the name. It knows nothing of it; a person does.
		"new hardware": func(c *cafe, ann *station, id string) {
			c.rekey("ann")
			again := c.start("ann")
			again.reached("next", 1)
			c.pause(time.Minute)
			e := c.get(id)
			if e.Phase != fleet.Unknown {
				c.Errorf("the new one says %s", e.Phase)
			}
			next, err := e.Settle(true, "lea", fleet.Reason{Code: fleet.CodeSettled, Quote: "the cup stood there"})
			c.write(e, next, err)
		},
		// A person has had it made again: what the first one says then comes too late.
		"made again, new key": func(c *cafe, ann *station, id string) {
			c.makeAgain(c.get(id))
			bob := c.start("bob")
			if e := c.phase(id, time.Minute, fleet.Served); e.Machine() != "bob" || e.Epoch != 2 {
				c.Errorf("%+v", e)
			}
			c.rekey("ann")
			ann.run()
			waitFor(c, "the journal to be told", func() bool {
				return ann.j.State(journal.Key{Order: id, Epoch: 1}).Phase == journal.Confirmed
			})
			if len(c.told) != 1 || c.told[0].Outcome != fleet.Made {
				c.Errorf("told as late: %+v", c.told)
			}
			bob.stop()
		},
	}
	for _, x := range []struct {
		how, point string
	}{
		{"new key", "did on grinder"}, {"new key", "did on pump"}, {"new key", "push"}, {"killed, new key", "did on pump"},
		{"new hardware", "did on pump"}, {"made again, new key", "did on pump"},
	} {
		t.Run(x.how+" "+x.point, func(t *testing.T) {
			openLocked(t, []string{"ann", "bob"}, func(c *cafe) {
				reached := make(chan struct{})
				ann := c.start("ann", at(x.point, func(s *station) { s.cutOff(); close(reached) }))
				id := c.order(orderN(1))
				<-reached
				c.revoke(ann)
				if e := c.get(id); e.Phase != fleet.Unknown || e.Code != fleet.CodeRevoked || e.Machine() != "ann" {
					c.Errorf("right after it: %+v", e.Claim)
				}
				next := c.order(orderN(2))
				ann.finished(id)
				c.poured(1)
				if e := c.get(next); e.Phase != fleet.Accepted || e.Attempts != 0 {
					c.Errorf("the next order: %+v", e.Claim)
				}
				cups := 2
				if strings.HasPrefix(x.how, "made again") {
					cups = 3
				}
				settled[x.how](c, ann, id)
				c.said(id, fleet.Served)
				c.ended(next, 2*time.Minute, fleet.Served)
				c.poured(cups)
			})
		})
	}
}

// TestRevokedBefore: the key is taken away between the delivery and the first relay.
// Nothing moves, and the order is another machine's at once, or as soon as the broker
// has given the first one up.
func TestRevokedBefore(t *testing.T) {
	for _, x := range []struct {
		point string
		opts  []option
	}{{"ticket", nil}, {"update brewing", nil}, {"updated claimed", []option{lateCup}}} {
		t.Run(x.point, func(t *testing.T) {
			openLocked(t, []string{"ann", "bob"}, func(c *cafe) {
				cut := make(chan struct{})
				ann := c.start("ann", append(x.opts, at(x.point, func(s *station) { s.cutOff(); close(cut) }))...)
				id := c.order(orderN(1))
				<-cut
				c.revoke(ann)
				bob := c.start("bob")
				c.taken(id, fleet.AckWait+10*time.Second, fleet.Brewing, bob)
				c.ended(id, time.Minute, fleet.Served)
				c.pause(time.Minute)
				if ann.edges() > 0 {
					c.Error("the one without a key began it")
				}
				c.poured(1)
			})
		})
	}
}

// TestKeyReplacedAtWork: another key is let in under the machine's name while it pours.
// The old one is cut off and finishes; nothing is parked, because the machine is not
// gone: started again with its new key, it says itself what it made.
func TestKeyReplacedAtWork(t *testing.T) {
	openLocked(t, []string{"ann"}, func(c *cafe) {
		ann := c.start("ann")
		id := c.order(orderN(1))
		ann.reached("did on pump", 1)
		c.rekey("ann")
		waitFor(c, "the old key to be cut off", func() bool { return !ann.conn.Up() })
		ann.finished(id)
		if e := c.get(id); e.Phase != fleet.Brewing {
			c.Errorf("%+v", e.Claim)
		}
		ann.run()
		if e := c.ended(id, time.Minute, fleet.Served); e.Epoch != 1 || e.Machine() != "ann" {
			c.Errorf("%+v", e.Claim)
		}
		c.ended(c.order(orderN(2)), time.Minute, fleet.Served)
		c.poured(2)
	})
}
