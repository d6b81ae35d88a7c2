package worker_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
	"barista/machine/journal"
)

// TestOneCup is the way of an order when nothing goes wrong.
func TestOneCup(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		id := c.order(orderN(1))
		e := c.ended(id, time.Minute, fleet.Served)
		if e.Attempts != 1 || e.Epoch != 1 || e.Machine() != "ann" {
			c.Errorf("%+v", e)
		}
		if ann.count("ticket") != 1 || ann.count("done") != 1 || ann.count("get") != 0 {
			c.Errorf("%d tickets, %d done, %d reads", ann.count("ticket"), ann.count("done"), ann.count("get"))
		}
		var way []fleet.Phase
		for _, e := range c.records(id) {
			way = append(way, e.Phase)
		}
		if !slices.Equal(way, []fleet.Phase{fleet.Accepted, fleet.Brewing, fleet.Served}) {
			c.Errorf("written: %v", way)
		}
		if ann.count("live step-1-1") != 1 || ann.count("live cup-1") != 0 {
			c.Error("what passed was not told as it passed")
		}
		c.poured(1)
	})
}

// dieMidPour kills it while the pump runs.
func dieMidPour(s *station) { time.AfterFunc(2*time.Second, s.die) }

// TestOwnerDiesForGood ends a machine at each phase, for ever, with another one
// there (F09 to F16). What was not fenced is made by the other; after the fence
// nobody can say, and nobody says it before the longest brew + 60 s.
func TestOwnerDiesForGood(t *testing.T) {
	for _, x := range []struct {
		name  string
		where option
		end   fleet.Phase
		cups  int
		phase journal.Phase // what the dead one's journal says
	}{
		{"F09 at receipt", at("ticket", (*station).die), fleet.Served, 1, journal.None},
		{"F10 at the claim", both(lateCup, at("updated claimed", (*station).die)), fleet.Served, 1, journal.None},
		{"F11 at the fence", at("updated brewing", (*station).die), fleet.Unknown, 0, journal.None},
		{"F12 at the journal's start", at("on grinder", (*station).die), fleet.Unknown, 0, journal.Started},
		{"F13 grinding", at("did on grinder", dieMidPour), fleet.Unknown, 0, journal.Started},
		{"F13 pouring", at("did on pump", dieMidPour), fleet.Unknown, 1, journal.Started},
		{"F14 poured", at("did on pump", func(s *station) { s.when("did off pump", (*station).die) }), fleet.Unknown, 1, journal.Started},
		{"F15 at the journal's end", at("push", (*station).die), fleet.Unknown, 1, journal.Ended},
		{"F16 at the claim's end", at("updated served", (*station).die), fleet.Served, 1, journal.Ended},
	} {
		t.Run(x.name, func(t *testing.T) {
			open(t, func(c *cafe) {
				ann := c.start("ann", x.where)
				id := c.order(orderN(1))
				<-ann.died
				died := time.Now()
				bob := c.start("bob")
				switch x.end {
				case fleet.Served:
					e := c.ended(id, 2*time.Minute, fleet.Served)
					if ann.count("updated brewing") > 0 {
						if e.Machine() != "ann" || bob.edges() > 0 {
							c.Errorf("made by %s, bob's metal moved %d times", e.Machine(), bob.edges())
						}
						break
					}
					// Not longer than AckWait + lease + 2 s for what was not started.
					if waited := bob.last("updated brewing").Sub(died); e.Machine() != "bob" || waited > fleet.AckWait+fleet.Lease+2*time.Second {
						c.Errorf("made by %s, begun after %v", e.Machine(), waited)
					}
				case fleet.Unknown:
					e := c.phase(id, limit+time.Minute, fleet.Unknown)
					age := bob.last("update unknown").Sub(ann.last("updated brewing"))
					if age < limit || age > limit+5*time.Second {
						c.Errorf("called unknown after %v, the limit is %v", age, limit)
					}
					if e.By != "bob" || e.Machine() != "ann" || e.Epoch != 1 {
						c.Errorf("%+v", e)
					}
					c.empty()
					if !c.has(id, "unknown-1") {
						c.Error("nobody was told that it is unknown")
					}
					c.pause(10 * time.Minute)
					if e := c.get(id); e.Phase != fleet.Unknown {
						c.Errorf("an unknown one became %s by itself", e.Phase)
					}
					if bob.edges() > 0 {
						c.Error("an unknown one was made by the other")
					}
				}
				if st := ann.j.State(journal.Key{Order: id, Epoch: 1}); st.Phase != x.phase {
					c.Errorf("the journal says %s, wanted %s: the test did not end it where it says", st.Phase, x.phase)
				}
				c.poured(x.cups)
			})
		})
	}
}

// TestOwnerReturns ends a machine at each phase and starts it again at once, in
// the same boot of the same computer: what its journal proves is believed.
func TestOwnerReturns(t *testing.T) {
	for _, x := range []struct {
		name  string
		where option
		boot  string
		end   fleet.Phase
		cups  int
	}{
		{"receipt", at("ticket", (*station).die), "boot-1", fleet.Served, 1},
		{"claim", both(lateCup, at("updated claimed", (*station).die)), "boot-1", fleet.Served, 1},
		{"claim, power cut", both(lateCup, at("updated claimed", (*station).die)), "boot-2", fleet.Served, 1},
		{"fence: the journal has no start", at("updated brewing", (*station).die), "boot-1", fleet.Served, 1},
		{"fence, power cut: not provably mine", at("updated brewing", (*station).die), "boot-2", fleet.Unknown, 0},
		{"journal's start", at("on grinder", (*station).die), "boot-1", fleet.Unknown, 0},
		{"poured", at("did on pump", func(s *station) { s.when("did off pump", (*station).die) }), "boot-1", fleet.Unknown, 1},
		{"journal's end", at("push", (*station).die), "boot-1", fleet.Served, 1},
		{"journal's end, power cut", at("push", (*station).die), "boot-2", fleet.Served, 1},
		{"claim's end", at("updated served", (*station).die), "boot-1", fleet.Served, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			open(t, func(c *cafe) {
				ann := c.start("ann", x.where)
				id := c.order(orderN(1))
				<-ann.died
				ann.cfg.Boot = x.boot
				ann.run()
				if x.end == fleet.Unknown {
					c.phase(id, time.Minute, fleet.Unknown) // at once: nobody else can know better
					c.empty()
				} else {
					c.ended(id, 2*time.Minute, x.end)
				}
				c.poured(x.cups)
				// And it works on.
				next := c.order(orderN(2))
				c.ended(next, 2*time.Minute, fleet.Served)
				c.poured(x.cups + 1)
			})
		})
	}
}

// TestReplacedMachine: the same name on another journal is another machine.
func TestReplacedMachine(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("updated brewing", (*station).die))
		id := c.order(orderN(1))
		<-ann.died
		ann.dir = c.TempDir()
		ann.run()
		c.phase(id, time.Minute, fleet.Unknown)
		c.empty()
		c.poured(0)
	})
}

// TestLateTruth: another one called it unknown after the limit, then the
// owner's journal says what was.
func TestLateTruth(t *testing.T) {
	jam := func(s *station) { s.plant.Fault(faultNoFlow) }
	for _, x := range []struct {
		name    string
		restart bool
		spoil   func(*station)
		end     fleet.Phase
		outcome fleet.Outcome
		cups    int
	}{
		{"made, the link was away", false, nil, fleet.Served, fleet.Made, 1},
		{"spoiled, the link was away", false, jam, fleet.Failed, fleet.Spoiled, 0},
		{"made, the process ended", true, nil, fleet.Served, fleet.Made, 1},
		{"spoiled, the process ended", true, jam, fleet.Failed, fleet.Spoiled, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			open(t, func(c *cafe) {
				ann := c.start("ann", at("did on grinder", func(s *station) {
					s.link.Cut(true)
					if x.spoil != nil {
						x.spoil(s)
					}
					if x.restart {
						s.when("push", (*station).die)
					}
				}))
				id := c.order(orderN(1))
				ann.reached("did on grinder", 1)
				bob := c.start("bob")
				if e := c.phase(id, limit+time.Minute, fleet.Unknown); e.By != "bob" {
					c.Errorf("%+v", e)
				}
				c.empty()
				if x.restart {
					ann.run()
				} else {
					ann.link.Cut(false)
				}
				if e := c.ended(id, time.Minute, x.end); e.Outcome != x.outcome || e.Machine() != "ann" {
					c.Errorf("%s of %s", e.Outcome, e.Machine())
				}
				if bob.edges() > 0 {
					c.Error("bob made it as well")
				}
				synctest.Wait() // the journal hears of it after the claim
				k := journal.Key{Order: id, Epoch: 1}
				if st := ann.j.State(k); st.Phase != journal.Confirmed {
					c.Errorf("the journal says %s", st.Phase)
				}
				c.poured(x.cups)
			})
		})
	}
}

// TestTruthAfterMakeAgain: a person had an unknown one made again; then the
// first owner's journal says that it was made. That changes nothing any more
// and is told as a late event.
func TestTruthAfterMakeAgain(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("did on pump", func(s *station) { s.link.Cut(true) }))
		id := c.order(orderN(1))
		ann.reached("did on pump", 1)
		c.start("bob")
		e := c.phase(id, limit+time.Minute, fleet.Unknown)
		c.empty()
		c.makeAgain(e)
		if e := c.ended(id, time.Minute, fleet.Served); e.Machine() != "bob" || e.Epoch != 2 {
			c.Errorf("%+v", e)
		}
		ann.link.Cut(false)
		k := journal.Key{Order: id, Epoch: 1}
		waitFor(c, "the late truth", func() bool { return ann.j.State(k).Phase == journal.Confirmed })
		if !c.has(id, "end-1") {
			c.Error("the late end was not told")
		}
		if e := c.get(id); e.Machine() != "bob" || e.Phase != fleet.Served {
			c.Errorf("the claim was changed: %+v", e)
		}
		c.poured(2) // a person wanted that
	})
}

// makeAgain is a person's word on an unknown, and what the controller does then.
func (c *cafe) makeAgain(e fleet.Entry) {
	c.Helper()
	again, err := e.MakeAgain("eve")
	c.write(e, again, err)
	now := c.wait(e.Order.ID, time.Minute, "the remake", func(now fleet.Entry) bool { return now.Phase == fleet.Accepted && now.Epoch > e.Epoch })
	c.publish(now, now.MessageID())
}

// TestForgottenClaim: a machine that was killed over its claim and started again
// is the same owner, and it is here. But nothing brings the order back to it
// before anybody else, and nothing at all while it is out of service: so the
// others take it over when the lease is over.
func TestForgottenClaim(t *testing.T) {
	for _, cordoned := range []bool{false, true} {
		t.Run(map[bool]string{true: "out of service", false: "ready"}[cordoned], func(t *testing.T) {
			open(t, func(c *cafe) {
				ann := c.start("ann", lateCup, at("updated claimed", (*station).die))
				id := c.order(orderN(1))
				<-ann.died
				c.cordon("ann", cordoned)
				died := time.Now()
				ann.run()
				bob := c.start("bob")
				e := c.ended(id, 5*time.Minute, fleet.Served)
				begun := bob.last("updated brewing")
				if begun.IsZero() {
					begun = ann.last("updated brewing")
				}
				if d := begun.Sub(died); d > fleet.AckWait+fleet.Lease+2*time.Second {
					c.Errorf("begun by %s %v after the kill", e.Machine(), d)
				}
				if cordoned && (e.Machine() != "bob" || e.Epoch != 2 || e.Past[0].Machine != "ann" || e.Past[0].Outcome != fleet.Untouched) {
					c.Errorf("%+v", e)
				}
				c.poured(1)
			})
		})
	}
}

// TestForgottenFence: the same after the fence, with no start in the journal. Only
// the owner may go on with it, and the others see to it that it comes to him.
func TestForgottenFence(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("updated brewing", (*station).die))
		id := c.order(orderN(1))
		<-ann.died
		died := time.Now()
		for _, name := range []string{"bob", "cid", "dan"} {
			c.start(name)
		}
		c.pause(1300 * time.Millisecond) // she pulls after them
		ann.run()
		e := c.ended(id, 5*time.Minute, fleet.Served)
		if e.Machine() != "ann" || e.Epoch != 1 {
			c.Errorf("%+v", e)
		}
		if d := ann.last("on grinder").Sub(died); d > fleet.AckWait+10*time.Second {
			c.Errorf("begun %v after the kill", d)
		}
		c.poured(1)
	})
}

// TestAvoidedHidesNothing: a machine that shall leave an order to others does not
// keep it from them: it comes to another within seconds, whoever pulls first.
func TestAvoidedHidesNothing(t *testing.T) {
	open(t, func(c *cafe) {
		bob := c.station("bob")
		ann := c.start("ann", at("ticket", func(s *station) {
			if s.name == "ann" {
				bob.run() // ready, but not the first
				waitFor(c, "bob", func() bool {
					here, err := c.shop.Fleet().Present(c.Context())
					able := func(p fleet.Presence) bool { return p.Machine == "bob" && p.Able() } // it says "starting" first
					return err == nil && slices.ContainsFunc(here, able)
				})
			}
		}))
		e := c.create(orderN(1))
		zoe := fleet.Owner{Machine: "zoe", Journal: "x", Boot: "y"}
		fenced, err := e.Fence(zoe)
		e = c.write(e, fenced, err)
		now, err := c.shop.Book().Now(c.Context())
		if err != nil {
			c.Fatal(err)
		}
		given, err := e.End(zoe, fleet.Untouched, fleet.Reason{}, 0, &fleet.Avoid{Machine: "ann", Until: now.Add(10 * time.Second)})
		e = c.write(e, given, err)
		c.publish(e, e.MessageID())
		ann.reached("ticket", 1)
		begin := time.Now()
		if e = c.ended(e.Order.ID, time.Minute, fleet.Served); e.Machine() != "bob" {
			c.Errorf("made by %s", e.Machine())
		}
		if d := bob.last("updated brewing").Sub(begin); d > 4*time.Second {
			c.Errorf("the other one got it after %v", d)
		}
		c.poured(1)
	})
}
