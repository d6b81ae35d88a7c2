package worker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"barista/driver/plant"
	"barista/fleet"
	"barista/machine"
	"barista/machine/journal"
)

// mend is what somebody does to the metal once the fault has had its effect.
func mend(s *station) { s.plant.Clear() }

// TestSpoiledElsewhere: a spoiled drink goes back and is made by the other
// machine, although the first is mended at once.
func TestSpoiledElsewhere(t *testing.T) {
	for _, fault := range []plant.Fault{faultJam, faultNoFlow} {
		t.Run(fault.String(), func(t *testing.T) {
			open(t, func(c *cafe) {
				ann := c.start("ann", at("on grinder", func(s *station) { s.plant.Fault(fault) }), at("push", mend))
				id := c.order(orderN(1))
				ann.reached("on grinder", 1)
				bob := c.start("bob")
				e := c.ended(id, 2*time.Minute, fleet.Served)
				want := fleet.Past{Epoch: 1, Machine: "ann", Fenced: true, Outcome: fleet.Spoiled}
				if e.Machine() != "bob" || e.Epoch != 2 || e.Attempts != 2 || len(e.Past) != 1 {
					c.Fatalf("%+v", e)
				}
				want.Reason, want.Took = e.Past[0].Reason, e.Past[0].Took
				if e.Past[0] != want || want.Code == "" || want.Text == "" || want.Took < 1 {
					c.Errorf("the claim keeps %+v", e.Past[0])
				}
				if d := bob.last("updated brewing").Sub(ann.last("push")); d > 3*time.Second {
					c.Errorf("the other one took it after %v", d)
				}
				if !c.has(id, "end-1") {
					c.Error("the spoiled end was not told")
				}
				c.poured(1)
			})
		})
	}
}

// TestSpoiledAlone: the only machine remakes it, after it stepped back.
func TestSpoiledAlone(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("on grinder", func(s *station) { s.plant.Fault(faultJam) }), at("push", mend))
		id := c.order(orderN(1))
		ann.reached("push", 1)
		spoiled := ann.last("push")
		e := c.ended(id, 3*time.Minute, fleet.Served)
		if e.Epoch != 2 {
			c.Errorf("%+v", e)
		}
		if d := ann.last("updated brewing").Sub(spoiled); d < 10*time.Second {
			c.Errorf("begun again after %v: nobody else had a chance", d)
		}
		c.poured(1)
	})
}

// TestSpoiledTwice: the second spoiled drink of an order ends it.
func TestSpoiledTwice(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("on grinder", func(s *station) { s.plant.Fault(faultJam) }))
		id := c.order(orderN(1))
		ann.reached("on grinder", 1)
		bob := c.start("bob", at("on pump", func(s *station) { s.plant.Fault(faultNoFlow) }))
		if fleet.CodeUnwanted != string(machine.Unwanted) {
			c.Error("the shop and the machine have two words for it")
		}
		e := c.ended(id, 2*time.Minute, fleet.Failed)
		if e.Outcome != fleet.Spoiled || e.Machine() != "bob" || e.Epoch != 2 || e.Code != "no-flow" {
			c.Errorf("%+v", e)
		}
		c.pause(2 * time.Minute)
		if ann.count("on grinder") != 1 || bob.count("on grinder") != 1 {
			c.Error("it was begun a third time")
		}
		if !c.has(id, "end-1") || !c.has(id, "end-2") {
			c.Error("not every end was told")
		}
		c.poured(0)
	})
}

// TestStopVerb: a person stops the drink in hand. It is spoiled and made again.
func TestStopVerb(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		id := c.order(orderN(1))
		ann.reached("did on grinder", 1)
		if a := c.command("ann", fleet.Command{Verb: "stop", Order: id}); a.OK {
			c.Error("stopped by nobody")
		}
		if a := c.command("ann", fleet.Command{Verb: "stop", Order: id, By: "eve", Why: "a fly"}); !a.OK {
			c.Errorf("%+v", a)
		}
		e := c.ended(id, 2*time.Minute, fleet.Served)
		if e.Epoch != 2 || e.Past[0].Outcome != fleet.Spoiled || !strings.Contains(e.Past[0].Reason.Text, "eve") {
			c.Errorf("%+v", e)
		}
		c.poured(1)
	})
}

// TestEnough: a customer stops his own drink while it is made. It ends with what was
// used, and is not made again; nobody else's is stopped that way, and nothing else.
func TestEnough(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		id := c.order(orderN(1))
		ann.reached("did on grinder", 1)
		for _, q := range []fleet.Command{{Verb: fleet.CommandEnough, Order: orderN(2).ID}, {Verb: fleet.CommandEnough}, {Verb: "stop", Order: id, By: "eve"}, {Verb: fleet.CommandCup, Order: id}} {
			if a := c.commandAt(fleet.EnoughSubject("ann"), q); a.OK {
				c.Errorf("%+v was done: %+v", q, a)
			}
		}
		if a := c.command("ann", fleet.Command{Verb: fleet.CommandEnough, Order: id}); !a.OK {
			c.Errorf("%+v", a)
		}
		if fleet.CodeUnwanted != string(machine.Unwanted) {
			c.Error("the shop and the machine have two words for it")
		}
		e := c.ended(id, 2*time.Minute, fleet.Failed)
		if e.Epoch != 1 || e.Outcome != fleet.Spoiled || e.Code != fleet.CodeUnwanted {
			c.Errorf("%+v", e)
		}
		if a := c.command("ann", fleet.Command{Verb: fleet.CommandEnough, Order: id}); a.OK {
			c.Error("a drink that is over was stopped")
		}
		c.poured(0)
		c.order(orderN(3))
		ann.reached("did on grinder", 2) // it goes on with the next
	})
}

// command asks a machine over the broker.
func (c *cafe) command(machine string, q fleet.Command) fleet.CommandAnswer {
	c.Helper()
	return c.commandAt(q.Subject(machine), q)
}

func (c *cafe) commandAt(subject string, q fleet.Command) fleet.CommandAnswer {
	c.Helper()
	b, _ := json.Marshal(q)
	reply, err := c.shop.Requester().Request(c.Context(), subject, b)
	if err != nil {
		c.Fatal(err)
	}
	var a fleet.CommandAnswer
	if err := json.Unmarshal(reply, &a); err != nil {
		c.Fatal(err)
	}
	return a
}

// doorOpensAfterFence keeps the fenced drink from beginning; the door is closed
// again before the machine has told what came of it.
func doorOpensAfterFence(times int) option {
	return func(s *station) {
		n := 0
		var opens func(s *station)
		opens = func(s *station) {
			s.plant.Fault(faultDoor)
			s.when("update accepted", mend)
			if n++; n < times {
				s.when("updated brewing", opens)
			}
		}
		s.at["updated brewing"] = opens
	}
}

// TestUntouchedAtOnce: a fenced order that could not be begun is given back at
// once, the failing machine steps back, and another takes it.
func TestUntouchedAtOnce(t *testing.T) {
	for _, two := range []bool{true, false} {
		t.Run(map[bool]string{true: "two machines", false: "alone"}[two], func(t *testing.T) {
			open(t, func(c *cafe) {
				there := make(chan struct{}) // the other one asks for work: only then it can take what ann gives back
				ann := c.start("ann", doorOpensAfterFence(1), at("update brewing", func(*station) { <-there }))
				var bob *station
				id := c.order(orderN(1))
				ann.reached("update brewing", 1)
				if two {
					bob = c.start("bob")
					bob.reached("next", 1)
				}
				close(there)
				e := c.ended(id, 2*time.Minute, fleet.Served)
				if e.Epoch != 2 || len(e.Past) != 1 || e.Past[0].Outcome != fleet.Untouched || !strings.Contains(e.Past[0].Reason.Text, "door") {
					c.Fatalf("%+v", e)
				}
				returned := ann.last("updated accepted")
				if two {
					if d := bob.last("updated brewing").Sub(returned); e.Machine() != "bob" || d > 3*time.Second {
						c.Errorf("taken by %s after %v", e.Machine(), d)
					}
				} else if d := ann.last("updated brewing").Sub(returned); d < 9*time.Second {
					c.Errorf("the failing one took it after %v: nobody else had a chance", d)
				}
				if st := ann.j.State(journal.Key{Order: id, Epoch: 1}); st.Phase != journal.None {
					c.Errorf("the journal of a want says %+v", st)
				}
				c.poured(1)
			})
		})
	}
}

// TestAttemptsUsedUp: the third attempt that comes to nothing ends the order.
func TestAttemptsUsedUp(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", doorOpensAfterFence(5))
		id := c.order(orderN(1))
		e := c.ended(id, 5*time.Minute, fleet.Failed)
		if e.Attempts != fleet.MaxAttempts || e.Outcome != fleet.Untouched || !strings.Contains(e.Reason.Text, "door") {
			c.Errorf("%+v", e)
		}
		if n := ann.count("updated brewing"); n != fleet.MaxAttempts {
			c.Errorf("%d fences", n)
		}
		ann.plant.Clear()
		c.poured(0)
	})
}

// TestOneCupTwoOrders: nobody takes the first cup. The second order is not poured
// into it: it waits two minutes each time, goes back, and ends when its attempts
// are used up.
func TestOneCupTwoOrders(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"))
		ann.plant.PlaceCup()
		first, second := c.order(orderN(1)), c.order(orderN(2))
		c.phase(first, time.Minute, fleet.Served)
		e := c.ended(second, 15*time.Minute, fleet.Failed)
		if e.Outcome != fleet.Untouched || e.Epoch != fleet.MaxAttempts+1 || !strings.Contains(e.Reason.Text, "cup") {
			c.Errorf("%+v", e)
		}
		for _, p := range e.Past {
			if p.Outcome != fleet.Untouched || p.Fenced {
				c.Errorf("%+v", p)
			}
		}
		if n := ann.count("update brewing"); n != 1 {
			c.Errorf("%d fences for one cup", n)
		}
		c.poured(1)
	})
}

// TestCupIsChanged: the same, but the customer takes the first cup in the third
// minute and puts another one there.
func TestCupIsChanged(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"))
		ann.plant.PlaceCup()
		first, second := c.order(orderN(1)), c.order(orderN(2))
		c.phase(first, time.Minute, fleet.Served)
		c.taken(second, 10*time.Second, fleet.Claimed, ann)
		claimed := time.Now()
		c.phase(second, 130*time.Second, fleet.Accepted)
		if d := time.Since(claimed); d < 119*time.Second || d > 121*time.Second {
			c.Errorf("it waited %v for a cup", d)
		}
		if cup, ok := ann.plant.TakeCup(); !ok || cup.Drinks != 1 {
			c.Errorf("%+v", cup)
		}
		c.pause(2 * time.Second)
		ann.plant.PlaceCup()
		e := c.ended(second, time.Minute, fleet.Served)
		if e.Epoch != 2 || ann.count("live cup-1") != 1 || !c.has(second, "released-1") {
			c.Errorf("%+v", e)
		}
		c.poured(2)
	})
}

// TestCupTakenAway: the cup goes while coffee flows. The drink is spoiled, and
// made again into another cup.
func TestCupTakenAway(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"), at("did on pump", func(s *station) {
			time.AfterFunc(2*time.Second, func() { s.plant.TakeCup() })
		}))
		ann.plant.PlaceCup()
		id := c.order(orderN(1))
		ann.reached("push", 1)
		ann.plant.PlaceCup()
		e := c.ended(id, 3*time.Minute, fleet.Served)
		if e.Epoch != 2 || e.Past[0].Outcome != fleet.Spoiled || e.Past[0].Code != string(machine.CupGone) {
			c.Errorf("%+v", e)
		}
		c.poured(1)
	})
}

// TestPage: a machine that does not see its cup waits for the customer's word,
// two minutes, then the order goes back untouched. The word counts only for the
// order that waits.
func TestPage(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupPage, "hand"))
		ann.plant.PlaceCup()
		id := c.order(orderN(1))
		c.taken(id, 10*time.Second, fleet.Claimed, ann)
		claimed := time.Now()
		c.pause(time.Second)
		if st := ann.state(); st != fleet.StateWaiting {
			c.Errorf("it says that it is %s", st)
		}
		if a := c.command("ann", fleet.Command{Verb: "cup", Order: orderN(2).ID}); a.OK {
			c.Error("the word of another order counted")
		}
		for _, verb := range []string{"stop", "clear-fault", "settings"} {
			if a := c.commandAt(fleet.CupSubject("ann"), fleet.Command{Verb: verb, By: "a page", Why: "x"}); a.OK {
				c.Errorf("%s where pages speak", verb)
			}
		}
		e := c.phase(id, 130*time.Second, fleet.Accepted)
		if d := time.Since(claimed); d < 119*time.Second || d > 121*time.Second {
			c.Errorf("it waited %v", d)
		}
		if e.Epoch != 2 || e.Past[0].Outcome != fleet.Untouched || ann.edges() > 0 {
			c.Errorf("%+v", e)
		}
		if a := c.command("ann", fleet.Command{Verb: "cup", Order: id}); a.OK {
			c.Error("a word counted while nobody waited")
		}
		c.taken(id, 30*time.Second, fleet.Claimed, ann)
		c.pause(time.Second)
		if a := c.command("ann", fleet.Command{Verb: "cup", Order: id}); !a.OK {
			c.Errorf("%+v", a)
		}
		c.ended(id, time.Minute, fleet.Served)
		c.poured(1)
	})
}

// cordon writes or removes a machine's cordon, as a person's command does.
func (c *cafe) cordon(name string, on bool) {
	c.Helper()
	b, _ := json.Marshal(fleet.Cordon{By: "eve", Reason: "new grinder"})
	err := c.shop.Settings().Put(c.Context(), fleet.CordonKey(name), b)
	if !on {
		err = c.shop.Settings().Delete(c.Context(), fleet.CordonKey(name))
	}
	if err != nil {
		c.Fatal(err)
	}
}

// TestCordonIdle: a cordoned machine takes nothing, also when it was cordoned
// before it started, and works on afterwards.
func TestCordonIdle(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		c.cordon("bob", true)
		c.pause(time.Second) // the desk has heard of it
		bob := c.start("bob")
		ann.reached("next", 1)
		c.cordon("ann", true)
		c.pause(3 * time.Second)
		id := c.order(orderN(1))
		c.pause(5 * time.Minute)
		if e := c.get(id); e.Phase != fleet.Accepted || ann.count("ticket")+bob.count("ticket") > 0 {
			c.Errorf("%s; %d and %d tickets", e.Phase, ann.count("ticket"), bob.count("ticket"))
		}
		for _, s := range []*station{ann, bob} {
			p, _ := s.w.Presence()
			if p.State != fleet.StateCordoned || !strings.Contains(p.Note, "eve") || !strings.Contains(p.Note, "new grinder") {
				c.Errorf("%+v", p)
			}
		}
		c.cordon("bob", false)
		if e := c.ended(id, time.Minute, fleet.Served); e.Machine() != "bob" {
			c.Errorf("made by %s", e.Machine())
		}
		c.poured(1)
	})
}

// TestCordonBusy: a machine that is cordoned in mid-drink finishes it and takes
// no other.
func TestCordonBusy(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		first, second := c.order(orderN(1)), c.order(orderN(2))
		ann.reached("did on grinder", 1)
		c.cordon("ann", true)
		c.pause(time.Second)
		if st := ann.state(); st != fleet.StateDraining {
			c.Errorf("it says that it is %s", st)
		}
		c.phase(first, time.Minute, fleet.Served)
		c.pause(2 * time.Minute)
		if e := c.get(second); e.Phase != fleet.Accepted || ann.count("ticket") != 1 {
			c.Errorf("%s, %d tickets", e.Phase, ann.count("ticket"))
		}
		if st := ann.state(); st != fleet.StateCordoned {
			c.Errorf("it says that it is %s", st)
		}
		bob := c.start("bob")
		c.taken(second, 10*time.Second, fleet.Brewing, bob)
		c.ended(second, time.Minute, fleet.Served)
		c.said(first, fleet.Served)
		c.poured(2)
	})
}

// TestManyOrders: three machines, one of which fails often, and thirty orders.
// Every one is poured once.
func TestManyOrders(t *testing.T) {
	open(t, func(c *cafe) {
		for i, name := range []string{"ann", "bob", "carl"} {
			c.start(name, func(s *station) { s.mock.Seed, s.mock.FailRate = uint64(i+1), 0.1*float64(i) })
		}
		var ids []string
		for i := range 30 {
			ids = append(ids, c.order(orderN(i+1)))
		}
		served, failed, spoiled := 0, 0, 0
		for _, id := range ids {
			e := c.wait(id, 30*time.Minute, "an end", func(e fleet.Entry) bool { return e.Phase.Ended() })
			switch e.Phase {
			case fleet.Served:
				served++
			case fleet.Failed:
				failed++
			default:
				c.Errorf("%+v", e)
			}
			for _, p := range e.Past {
				if p.Outcome == fleet.Spoiled {
					spoiled++
				}
			}
		}
		c.empty()
		c.Logf("%d served, %d failed, %d spoiled on the way", served, failed, spoiled)
		if spoiled == 0 || served < 25 {
			c.Error("this tests nothing")
		}
		c.poured(served)
	})
}

// TestCupLeftBesideAnother: a machine under which an old cup stands leaves what
// comes to one that is ready, and says so; without such a one it takes the order,
// so that its customer hears what stands in the way.
func TestCupLeftBesideAnother(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"))
		ann.plant.PlaceCup()
		c.ended(c.order(orderN(1)), time.Minute, fleet.Served)
		waitFor(c, "ann's word", func() bool {
			p, _ := ann.w.Presence()
			return p.State == fleet.StateWaiting && strings.Contains(p.Note, "cup")
		})
		bob := c.start("bob")
		bob.reached("next", 1)
		c.pause(2 * time.Second)
		for n := 2; n < 6; n += 2 { // two at a time: the second finds one machine busy, the other with its cup
			for _, id := range []string{c.order(orderN(n)), c.order(orderN(n + 1))} {
				if e := c.phase(id, time.Minute, fleet.Served); e.Machine() != "bob" {
					c.Errorf("made by %s", e.Machine())
				}
			}
		}
		// The cup goes, and another comes: it works on.
		if _, ok := ann.plant.TakeCup(); !ok {
			c.Error("no cup")
		}
		c.pause(2 * time.Second)
		ann.plant.PlaceCup()
		bob.stop()
		if e := c.ended(c.order(orderN(9)), time.Minute, fleet.Served); e.Machine() != "ann" {
			c.Errorf("made by %s", e.Machine())
		}
		c.poured(6)
	})
}

// TestEndKeptWhileClosed: an end that a closed shop does not hear stays in the journal;
// the machine goes on with orders that flow, and tells it when the shop is open again.
func TestEndKeptWhileClosed(t *testing.T) {
	open(t, func(c *cafe) {
		var first string
		ann := c.start("ann", at("on grinder", func(*station) { c.close(first, true) }))
		c.mu.Lock()
		first = orderN(1).ID
		c.mu.Unlock()
		c.order(orderN(1))
		ann.reached("push", 1)
		second := c.order(orderN(2))
		c.phase(second, 2*time.Minute, fleet.Served)
		if e := c.get(first); e.Phase != fleet.Brewing {
			c.Errorf("written into a closed book: %s", e.Phase)
		}
		// The book has the second end a moment before its machine hears of it.
		waitFor(c, "one end, kept in the journal", func() bool { return len(ann.j.Unconfirmed()) == 1 })
		c.close(first, false)
		c.ended(first, time.Minute, fleet.Served)
		c.poured(2)
		c.empty()
	})
}
