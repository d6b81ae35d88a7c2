package vm

import (
	"testing"
	"time"

	"barista/fleet"
)

// noFlow: the pump runs and the meter says nothing. 1.5 s later everything is
// off, the drink is spoiled, and the machine steps back until a person says that
// it is well.
func (v *visit) noFlow(t *testing.T) {
	v.rests(t, "3s")
	v.g.must(t, "systemctl restart "+zoe)
	v.pid(t, zoe, 0)
	v.g.do(t, "fault", "no-flow")
	id, mark, pump := v.pouring(t, order{size: "small"})
	off := v.off(t, mark, 30*time.Second)
	ran := off - pump.At
	if ran < 1400*time.Millisecond {
		t.Errorf("the pump ran %v only: water needs its time", ran)
	}
	v.limit(t, "a pump without flow (1.5 s, and 250 ms to switch off)", ran, 1750*time.Millisecond, off)
	t.Logf("the pump ran %v without flow", ran)
	v.spoiled(t, id, "no-flow")
	v.state(t, fleet.StateBlocked)
	v.g.do(t, "mend", "no-flow")
	v.g.must(t, "barista cancel --by tester "+id)
	v.phase(t, id, fleet.Cancelled)
	v.g.must(t, `barista machine clear-fault zoe --by tester --reason "looked at it"`)
	v.state(t, fleet.StateReady, fleet.StateWaiting)
}

// again takes the spoiled cup away, and the order is poured: once.
func (v *visit) again(t *testing.T, id string) {
	t.Helper()
	v.g.do(t, "take", "")
	flows := len(v.g.flows(t, gpio))
	v.phase(t, id, fleet.Served)
	made := v.g.flows(t, gpio)[flows:]
	if len(made) != 1 || made[0].Kind != "drink" || made[0].Where != "cup" {
		t.Errorf("poured for the second try: %v", made)
	}
}

// state is what the machine says of itself: one of these.
func (v *visit) state(t *testing.T, any ...fleet.State) fleet.Presence {
	t.Helper()
	var at fleet.Presence
	v.g.eventually(t, 30*time.Second, "the machine to say where it stands", func() bool {
		here, err := v.shop.conn.Fleet().Present(t.Context())
		if err != nil {
			return false
		}
		for _, p := range here {
			if p.Machine != "zoe" {
				continue
			}
			at = p
			for _, s := range any {
				if p.State == s {
					return true
				}
			}
		}
		return false
	})
	t.Logf("the machine says: %s, %s", at.State, at.Note)
	return at
}

// tank: the water ends in mid-pour, and the level switch says so. Nothing moves
// until somebody has filled it, then the order is made again, by nobody's word.
func (v *visit) tank(t *testing.T) {
	id, mark, _ := v.pouring(t, order{size: "small"})
	<-time.After(time.Second)
	before := v.g.mark(t)
	v.g.do(t, "fault", "tank-empty")
	empty := v.g.until(t, before, 20*time.Second, "the level switch to say so", func(e event) bool { return e.What == "wire" && e.Part == "tank" })
	off := v.off(t, mark, 30*time.Second)
	v.limit(t, "a pump without water (200 ms for the switch, 1.5 s for the flow, 250 ms to switch off)", off-empty.At, 1950*time.Millisecond, off)
	t.Logf("the pump ran %v without water", off-empty.At)
	v.spoiled(t, id, "tank")
	v.state(t, fleet.StateBlocked)
	v.quiet(t, v.g.mark(t), "the tank is empty", 3*time.Second)
	v.g.do(t, "mend", "tank-empty")
	v.again(t, id)
}

// cupGone: the cup goes in mid-pour.
func (v *visit) cupGone(t *testing.T) {
	v.g.do(t, "clear", "") // where it is done again
	id, mark, _ := v.pouring(t, order{size: "small"})
	<-time.After(time.Second)
	before := v.g.mark(t)
	v.g.do(t, "fault", "cup-removed")
	gone := v.g.until(t, before, 20*time.Second, "the cup's switch to say so", func(e event) bool { return e.What == "wire" && e.Part == "cup" && !e.On })
	off := v.off(t, mark, 30*time.Second)
	v.limit(t, "a pour without a cup (100 ms for the switch, 250 ms to switch off)", off-gone.At, 350*time.Millisecond, off)
	t.Logf("off %v after the cup went, of which 100 ms are the switch's", off-gone.At)
	v.spoiled(t, id, "cup-gone")
	v.quiet(t, v.g.mark(t), "no cup stands there", 3*time.Second)
	v.g.do(t, "fault", "cup-left") // of the next cup
	v.g.do(t, "mend", "cup-removed")
	flows := len(v.g.flows(t, gpio))
	v.phase(t, id, fleet.Served)
	if made := v.g.flows(t, gpio)[flows:]; len(made) != 1 || made[0].Kind != "drink" || made[0].Where != "cup" {
		t.Errorf("poured for the second try: %v", made)
	}
}

// cupLeft: nobody takes the cup; nothing is poured into it.
func (v *visit) cupLeft(t *testing.T) {
	mark, flows := v.g.mark(t), len(v.g.flows(t, gpio))
	id := v.order(t, order{size: "small"})
	v.state(t, fleet.StateWaiting)
	v.quiet(t, mark, "a full cup stands there", 5*time.Second)
	if p := v.claim(t, id).Phase; p != fleet.Accepted && p != fleet.Claimed {
		t.Errorf("the order is %s", p)
	}
	v.g.do(t, "mend", "cup-left")
	v.phase(t, id, fleet.Served)
	if made := v.g.flows(t, gpio)[flows:]; len(made) != 1 || made[0].Where != "cup" {
		t.Errorf("poured: %v", made)
	}
}

// jam: the table sees a jam by the scale (no-grind), and machines on GPIO lines
// have none. So the pour goes on and nobody knows: this is what it looks like,
// until there is a sensor for it.
func (v *visit) jam(t *testing.T) {
	flows := len(v.g.flows(t, gpio))
	v.g.do(t, "fault", "jam")
	id := v.order(t, order{size: "small"})
	v.phase(t, id, fleet.Served)
	v.g.do(t, "mend", "jam")
	v.g.do(t, "take", "")
	made := v.g.flows(t, gpio)[flows:]
	if len(made) != 1 || made[0].GroundG > 0.1 {
		t.Errorf("poured: %v", made)
	}
	t.Logf("without a scale a jam is not seen: the order is served, and it was: %v", made)
}
