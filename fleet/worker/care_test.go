package worker_test

import (
	"strings"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/plant"
	"barista/fleet"
	"barista/machine"
)

// careOf orders the care of a machine, as the controller does: the class is listed while
// an order of it is open.
func (c *cafe) careOf(n int, name string, kind fleet.Size, via string) string {
	c.Helper()
	c.turns.Store(true)
	o := fleet.CareOrder(orderN(n).ID, "eve", name, kind)
	e, err := c.act(fleet.Create(o, fleet.Items{}, fleet.Success(o.ID), via))
	if err != nil {
		c.Fatal(err)
	}
	// Whoever joins the shop meanwhile lists the menu's classes; a controller goes on, too.
	waitFor(c, "the queue", func() bool {
		return c.shop.Orders().List(c.Context(), append(fleet.DefaultMenu().Classes(), o.Class())) == nil && c.shop.Orders().Publish(c.Context(), e, o.ID) == nil
	})
	return o.ID
}

// tray has a machine rinse by itself, into its tray.
func tray(s *station) {
	s.mc.Care = map[machine.Care]machine.Upkeep{machine.Rinse: {Every: 2, Into: machine.IntoTray}}
}

// since is what a machine says of one kind of its care.
func (c *cafe) since(name string, kind fleet.Size) fleet.Care {
	for _, one := range c.says(name).Care {
		if one.Kind == kind {
			return one
		}
	}
	return fleet.Care{}
}

// TestRinse: a rinse is an order in the queue. It runs once, while others stand in, with
// nothing under the spout, and takes no bean; the count begins anew.
func TestRinse(t *testing.T) {
	open(t, func(c *cafe) {
		hand := cups(machine.CupSensor, "hand")
		ann, bob := c.start("ann", hand, tray), c.start("bob", hand)
		waitFor(c, "both", func() bool { return c.says("ann").State == fleet.StateReady && c.says("bob").State == fleet.StateReady })
		for n := range 2 {
			c.cordon("bob", true)
			waitFor(c, "one machine", func() bool { return c.says("bob").State == fleet.StateCordoned })
			ann.plant.PlaceCup()
			c.ended(c.order(orderN(n+1)), time.Minute, fleet.Served)
			ann.plant.TakeCup()
			c.pause(2 * time.Second) // until that was seen
		}
		waitFor(c, "that it is due", func() bool { return c.since("ann", fleet.CareRinse).Due })
		if got := c.since("ann", fleet.CareRinse); got.Drinks != 2 || !got.Itself {
			t.Errorf("it says %+v", got)
		}
		if c.since("ann", fleet.CareClean).Due {
			t.Error("no file says that a cleaning is ever due")
		}

		id := c.careOf(3, "ann", fleet.CareRinse, fleet.ViaCare)
		c.pause(time.Minute)
		if e := c.get(id); e.Phase != fleet.Accepted || ann.plant.Counts().InTray != 0 {
			t.Fatalf("the last machine of a bean was taken for its care: %s", e.Phase)
		}
		c.cordon("bob", false)
		e := c.ended(id, time.Minute, fleet.Served)
		if n := ann.plant.Counts(); e.Machine() != "ann" || n.InTray != 1 || n.Mass.GroundG > 19 || bob.edges() != 0 {
			t.Errorf("%s rinsed, through what the last drink has left: %+v", e.Machine(), n)
		}
		waitFor(c, "a new count", func() bool { got := c.since("ann", fleet.CareRinse); return !got.Due && got.Drinks == 0 })
		if got := c.since("ann", fleet.CareClean).Drinks; got != 2 {
			t.Errorf("since its cleaning it says %d drinks", got)
		}
		if p := c.says("ann"); p.Drinks != 2 {
			t.Errorf("a rinse is no drink: %d", p.Drinks)
		}
		ann.plant.PlaceCup() // the place is free for a customer at once
		bob.plant.PlaceCup()
		c.ended(c.order(orderN(4)), time.Minute, fleet.Served)
		c.poured(4) // the plant calls what ran through used grounds a drink, too
	})
}

// TestRinseSeesAHand: what stands where a rinse flows may be a hand, and is mostly the cup
// of the next customer: nothing moves, drinks go on, and it comes when the place is free.
func TestRinseSeesAHand(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"), tray)
		ann.plant.PlaceCup()
		id := c.careOf(1, "ann", fleet.CareRinse, fleet.ViaCareLast)
		c.pause(time.Minute)
		if e := c.get(id); ann.edges() != 0 || e.Phase != fleet.Accepted || e.Attempts > 0 {
			t.Fatalf("%d edges, it is %s after %d attempts", ann.edges(), e.Phase, e.Attempts)
		}
		c.phase(c.order(orderN(2)), time.Minute, fleet.Served)
		ann.plant.TakeCup()
		c.ended(id, time.Minute, fleet.Served)
	})
}

// TestClean: a machine waits for the person who cleans it, whatever stands under its
// spout, and rinses when he says so. Nobody came: nothing moved, and others are served.
func TestClean(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"))
		id := c.careOf(1, "ann", fleet.CareClean, fleet.ViaCareLast)
		c.taken(id, time.Minute, fleet.Claimed, ann)
		ann.plant.PlaceCup() // a vessel; or somebody's cup
		c.pause(5 * time.Minute)
		if p := c.says("ann"); ann.edges() != 0 || p.State != fleet.StateWaiting || p.Code != string(machine.CareAsked) {
			t.Fatalf("%d edges, it says %s: %s", ann.edges(), p.State, p.Note)
		}
		if a := c.command("ann", fleet.Command{Verb: fleet.CommandCup, Order: orderN(9).ID}); a.OK {
			t.Error("the word of another order was taken")
		}
		c.pause(10 * time.Minute)
		waitFor(c, "that it gives up", func() bool { return c.has(id, "released-1") })
		c.taken(id, 2*time.Minute, fleet.Claimed, ann)
		if ann.edges() != 0 {
			t.Fatal("it moved, and nobody had said anything")
		}
		waitFor(c, "that it waits", func() bool { return c.says("ann").Code == string(machine.CareAsked) })
		if a := c.command("ann", fleet.Command{Verb: fleet.CommandCup, Order: id}); !a.OK {
			t.Fatal(a.Message)
		}
		c.ended(id, time.Minute, fleet.Served)
		waitFor(c, "its rinse", func() bool { return ann.plant.Counts().Water == 1 })
		c.poured(0)
	})
}

// TestRinseCutOff: a machine that died over its rinse does not rinse again by itself.
func TestRinseCutOff(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"), tray, at("did on pump", (*station).die))
		id := c.careOf(1, "ann", fleet.CareRinse, fleet.ViaCareLast)
		c.taken(id, time.Minute, fleet.Brewing, ann)
		waitFor(c, "its death", ann.isDead)
		ann.plant.Set(driver.Pump, false) // its dead man's switch
		ann.run()
		c.phase(id, limit+time.Minute, fleet.Unknown)
		c.pause(time.Minute)
		if n := ann.plant.Rises(driver.Pump); n != 1 {
			t.Errorf("the pump went on %d times", n)
		}
	})
}

// TestTryFromAfar: a part is tried from afar only after somebody has said that he looked,
// and never on a machine that may be open or has an order in hand.
func TestTryFromAfar(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups(machine.CupSensor, "hand"))
		waitFor(c, "it", func() bool { return c.says("ann").State == fleet.StateReady })
		try := fleet.Command{Verb: fleet.CommandTry, What: "pump", By: "eve", Vessel: true}
		no := func(what, want string, q fleet.Command) {
			t.Helper()
			if a := c.command("ann", q); a.OK || !strings.Contains(a.Message, want) || ann.edges() != 0 {
				t.Errorf("%s: %v %q, %d edges", what, a.OK, a.Message, ann.edges())
			}
		}
		blind, nobody, other, heater := try, try, try, try
		blind.Vessel, nobody.By, other.What, heater.What = false, "", "the moon", "heater"
		no("nobody looked", "vessel", blind)
		no("nobody asks", "who", nobody)
		no("no part", "no part", other)
		no("a heater", "no part", heater)
		no("the sensor sees nothing", "no-cup", try)
		ann.plant.PlaceCup()
		c.drain("ann", "one")
		c.parks(ann, "one")
		no("it is drained", "drained", try)
		c.cordon("ann", true)
		waitFor(c, "the cordon", func() bool { return c.says("ann").Drained == "" })
		if a := c.command("ann", try); !a.OK || a.Tried == nil || !a.Tried.Shown || a.Tried.Proof != "flow" || a.Tried.Gain <= 0 {
			t.Errorf("%v %q %+v", a.OK, a.Message, a.Tried)
		}
		if n := ann.plant.Counts(); n.Edges != 2 || n.Mass.PumpedML <= 0 {
			t.Errorf("the pump: %+v", n)
		}
		if parts := c.says("ann").Parts; len(parts) == 0 || parts[0] != "grinder" {
			t.Errorf("its parts: %v", parts)
		}
	})
}

// TestTryUnheard: a machine that was just started does not know yet whether it is drained,
// and moves nothing from afar.
func TestTryUnheard(t *testing.T) {
	open(t, func(c *cafe) {
		c.drain("ann", "one")
		c.desks[0].die()
		ann := c.start("ann", cups(machine.CupSensor, "hand"))
		ann.plant.PlaceCup()
		c.pause(5 * time.Second)
		var a fleet.CommandAnswer
		waitFor(c, "its answer", func() bool {
			a = c.command("ann", fleet.Command{Verb: fleet.CommandTry, What: "pump", By: "eve", Vessel: true})
			return a.Message != ""
		})
		if a.OK || !strings.Contains(a.Message, "has not heard from the shop") || ann.edges() != 0 {
			t.Errorf("%v %q, %d edges", a.OK, a.Message, ann.edges())
		}
	})
}

// TestLately: a machine says what its last fault was, after that is over too, and who did
// what at it last; a customer's word and the shop's own are none of that.
func TestLately(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", func(s *station) { s.hurt = true })
		waitFor(c, "it", func() bool { return c.says("ann").State == fleet.StateReady })
		if p := c.says("ann"); p.LastFault != nil || p.LastAct != nil {
			t.Errorf("nothing has come about: %+v, %+v", p.LastFault, p.LastAct)
		}
		ann.plant.Fault(plant.Fault{Kind: plant.StopPressed})
		waitFor(c, "its fault", func() bool {
			f := c.says("ann").LastFault
			return f != nil && f.What == string(machine.StopPressed) && f.At != ""
		})
		ann.plant.Clear()
		if a := c.command("ann", fleet.Command{Verb: "clear-fault", By: "eve", Why: "my sleeve"}); !a.OK {
			t.Fatal(a.Message)
		}
		waitFor(c, "who cleared it", func() bool {
			p := c.says("ann")
			return p.State == fleet.StateReady && p.LastFault != nil && p.LastAct != nil && p.LastAct.What == "clear-fault" && p.LastAct.By == "eve" && p.LastAct.Why == "my sleeve"
		})
		if a := c.command("ann", fleet.Command{Verb: "settings"}); !a.OK || c.says("ann").LastAct.What != "clear-fault" {
			t.Error("the shop's own word counts as a person's")
		}
	})
}
