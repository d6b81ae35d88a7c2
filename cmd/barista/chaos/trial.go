package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/web"
)

// play is one thing that can be broken, and what should be seen of it.
type play struct {
	code   string
	expect []string // in their order on the page
	after  []string // once it is mended
	// start does it at once, or leaves it to aim and hit.
	start func(r *Room, t *trial)
	// aim reports whether this drink, at this step, is the one to do it to.
	aim func(c fleet.Entry, step string) bool
	hit func(r *Room, t *trial, m *mortal)
	// undo mends it; nil: nothing is left to be mended.
	undo func(r *Room, t *trial)
	// sees looks for one of what should be seen; other is the machine that it tells of.
	sees map[string]func(r *Room, t *trial) (other string, seen bool)
}

// trial is a play under way, or over.
type trial struct {
	*play
	n       int // which one it is
	state   web.ChaosState
	machine string // that it was done to
	order   string // that it had in hand
	own     string // order that was placed for it
	asked   bool   // one is being placed
	second  string // order that was placed after it was broken
	wrong   string // the code with which the shop refused the order that it needs
	refused string // the code with which the shop refused an order that was to be refused
	nonce   string // of the machine's process before
	level   *int   // of the milk, as the stock has said it since
	had     int    // of it before
	at      time.Time
	mended  time.Time
	seen    map[string]string // what was seen, with the machine that it tells of
}

// milk is what the stock is emptied of.
const milk = "normal"

func (t *trial) broken() bool { return t.state == web.ChaosWaits || t.state == web.ChaosBroken }

func (t *trial) all(codes []string) bool {
	return !slices.ContainsFunc(codes, func(code string) bool { _, seen := t.seen[code]; return !seen })
}

var jam = plant.Fault{Kind: plant.Jam}

// plays are those of the page, in its order.
var plays = []*play{
	{
		code: "jam", expect: []string{"hit", "parked", "other"}, after: []string{"back"},
		start: (*Room).seek,
		aim: func(c fleet.Entry, step string) bool {
			return c.Phase == fleet.Brewing && (step == "" || step == "grind")
		},
		hit:  func(_ *Room, _ *trial, m *mortal) { (*m.control.Load()).Plant().Fault(jam) },
		undo: func(r *Room, t *trial) { r.mend(r.machine(t.machine), &jam) },
		sees: looks{"hit": (*Room).spoiled, "parked": (*Room).parked, "other": (*Room).elsewhere, "back": (*Room).able},
	},
	{
		code: "milk", expect: []string{"level", "refused", "others"}, after: []string{"back"},
		start: (*Room).empty,
		undo:  func(r *Room, t *trial) { r.count(t, max(t.had, 1000)) },
		sees: looks{
			"level":   func(_ *Room, t *trial) (string, bool) { return "", t.level != nil && *t.level == 0 },
			"refused": func(_ *Room, t *trial) (string, bool) { return "", t.refused == fleet.CodeOutOfStock },
			"others":  func(r *Room, t *trial) (string, bool) { return r.served(t.second) },
			"back":    func(_ *Room, t *trial) (string, bool) { return "", t.level != nil && *t.level > 0 },
		},
	},
	{
		code: "unplug", expect: []string{"hit", "parked", "other"}, after: []string{"back"},
		start: (*Room).seek,
		aim:   func(c fleet.Entry, _ string) bool { return c.Phase == fleet.Brewing },
		hit:   func(_ *Room, _ *trial, m *mortal) { (*m.control.Load()).Unplug() },
		undo:  func(r *Room, t *trial) { r.mend(r.machine(t.machine), nil) },
		sees:  looks{"hit": (*Room).spoiled, "parked": (*Room).parked, "other": (*Room).elsewhere, "back": (*Room).able},
	},
	{
		code: "cut", expect: []string{"gone", "waits"}, after: []string{"back", "settled", "late"},
		start: (*Room).seek,
		aim:   func(c fleet.Entry, _ string) bool { return c.Phase == fleet.Brewing },
		hit: func(r *Room, t *trial, _ *mortal) {
			for _, m := range r.machines {
				m.wire.Load().breaks(false)
			}
		},
		undo: func(r *Room, _ *trial) {
			for _, m := range r.machines {
				m.wire.Load().joins()
			}
		},
		sees: looks{
			"gone": func(r *Room, t *trial) (string, bool) {
				if slices.ContainsFunc(r.machines, func(m *mortal) bool { return !m.wire.Load().missed() }) {
					return "", false
				}
				r.order(t, fleet.Small, fleet.NoMilk, func(a fleet.Answer) { t.second = a.OrderID })
				return "", true
			},
			"waits": func(r *Room, t *trial) (string, bool) { return "", r.claims[t.second].Phase == fleet.Accepted },
			"back": func(r *Room, t *trial) (string, bool) {
				return "", !slices.ContainsFunc(r.machines, func(m *mortal) bool {
					p := r.present(m.name)
					return p == nil || !p.Heard.After(t.mended)
				})
			},
			"settled": func(r *Room, t *trial) (string, bool) { return r.once(t.order, fleet.Served) },
			"late":    func(r *Room, t *trial) (string, bool) { return r.served(t.second) },
		},
	},
	{
		code: "kill", expect: []string{"reborn", "doubt", "ready"},
		start: (*Room).seek,
		aim:   func(c fleet.Entry, step string) bool { return c.Phase == fleet.Brewing && step == "pour" },
		hit: func(r *Room, t *trial, m *mortal) {
			if p := r.present(m.name); p != nil {
				t.nonce = p.Owner.Nonce
			}
			m.kill()
		},
		sees: looks{
			"reborn": (*Room).reborn,
			"doubt":  func(r *Room, t *trial) (string, bool) { return r.once(t.order, fleet.Unknown) },
			"ready": func(r *Room, t *trial) (string, bool) {
				_, anew := r.reborn(t)
				p := r.present(t.machine)
				return "", anew && p.Able()
			},
		},
	},
}

type looks = map[string]func(*Room, *trial) (string, bool)

// present is a machine that is here, by its last word.
func (r *Room) present(name string) *fleet.Machine {
	for _, m := range r.shop.Roll.Machines() {
		if m.Machine == name && m.Here {
			return m
		}
	}
	return nil
}

// spoiled: the drink that it had in hand came to nothing there, by the book.
func (r *Room) spoiled(t *trial) (string, bool) {
	c := r.claims[t.order]
	if slices.ContainsFunc(c.Past, func(p fleet.Past) bool { return p.Fenced && p.Machine == t.machine }) {
		return "", true
	}
	return "", c.Machine() == t.machine && (c.Phase == fleet.Failed || c.Phase == fleet.Unknown)
}

// parked: the machine says that it can make nothing, and for how long a person is
// awaited it says too.
func (r *Room) parked(t *trial) (string, bool) {
	p := r.present(t.machine)
	return "", p != nil && p.Heard.After(t.at) && (p.State == fleet.StateBlocked || p.State == fleet.StateFault)
}

// able: it takes orders again, by its own word.
func (r *Room) able(t *trial) (string, bool) {
	p := r.present(t.machine)
	return "", p != nil && p.Heard.After(t.mended) && p.Able()
}

// elsewhere: another machine has made the drink.
func (r *Room) elsewhere(t *trial) (string, bool) {
	m, served := r.served(t.order)
	return m, served && m != t.machine
}

func (r *Room) served(order string) (string, bool) {
	c := r.claims[order]
	return c.Machine(), order != "" && c.Phase == fleet.Served
}

// once: the drink stands so, and was begun by one machine.
func (r *Room) once(order string, phase fleet.Phase) (string, bool) {
	c := r.claims[order]
	return c.Machine(), c.Phase == phase && !slices.ContainsFunc(c.Past, func(p fleet.Past) bool { return p.Fenced })
}

// reborn: the machine speaks as another process than the one that died.
func (r *Room) reborn(t *trial) (string, bool) {
	p := r.present(t.machine)
	return "", p != nil && p.Heard.After(t.at) && p.Owner.Nonce != t.nonce
}

// seek looks for a drink in hand to do it to, and orders one where none is on its way.
func (r *Room) seek(t *trial) {
	t.own, t.asked = "", false
	r.need(t)
	for id := range maps.Keys(r.claims) {
		r.aim(id)
	}
}

// need places an order for a trial that waits for one.
func (r *Room) need(t *trial) {
	if t.state != web.ChaosWaits || t.asked {
		return
	}
	_, known := r.claims[t.own]
	if t.own != "" && !known {
		return // its record is on its way
	}
	for _, c := range r.claims {
		if c.Phase.Open() {
			return
		}
	}
	t.asked = true
	r.order(t, fleet.Medium, fleet.NoMilk, func(a fleet.Answer) {
		t.own, t.asked = a.OrderID, false
		if !a.OK() { // the machines are all out, or the beans are
			t.state, t.wrong = web.ChaosWhole, a.Code
		}
	})
}

// aim does what waits for this drink at this step.
func (r *Room) aim(id string) {
	c := r.claims[id]
	m := r.machine(c.Machine())
	for _, t := range r.trials {
		if t.state != web.ChaosWaits || t.aim == nil || m == nil || !t.aim(c, r.steps[id]) {
			continue
		}
		t.state, t.machine, t.order, t.at = web.ChaosBroken, m.name, id, time.Now()
		t.hit(r, t, m)
		r.log.Info("chaos", "act", t.code, "machine", m.name, "order", id)
		r.tell()
		return
	}
}

// missed: the drink was made before it could be spoiled.
func (r *Room) missed(t *trial) bool {
	_, hit := t.sees["hit"]
	c := r.claims[t.order]
	return hit && t.state == web.ChaosBroken && c.Phase.Ended() && c.Machine() == t.machine && c.Outcome == fleet.Made
}

// otherwise: what should have been seen can't come any more, because the drink has come
// to another end. A simulated machine has real limits, and its computer may be busy.
func (r *Room) otherwise(t *trial) bool {
	c := r.claims[t.order]
	if t.state == web.ChaosWaits || !c.Phase.Ended() && c.Phase != fleet.Unknown {
		return false
	}
	for _, code := range []string{"other", "settled", "doubt"} { // what tells of its end
		if _, expected := t.sees[code]; expected {
			_, seen := t.seen[code]
			return !seen
		}
	}
	return false
}

// look looks for what should be seen.
func (r *Room) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookLocked()
}

func (r *Room) lookLocked() {
	for _, t := range r.trials {
		codes := t.expect
		switch {
		case t.state == web.ChaosMended:
			codes = append(slices.Clone(t.expect), t.after...)
		case t.state == web.ChaosWaits:
			r.need(t)
			continue
		case t.state != web.ChaosBroken:
			continue
		case r.missed(t):
			t.undo(r, t)
			t.state = web.ChaosWaits
			r.need(t)
			continue
		}
		for _, code := range codes {
			if _, seen := t.seen[code]; seen {
				continue
			}
			if other, seen := t.sees[code](r, t); seen {
				t.seen[code] = other
				r.tell()
			}
		}
		if t.undo == nil && t.state == web.ChaosBroken && t.all(t.expect) {
			t.state = web.ChaosMended
		}
	}
}

// empty has the stock count no milk, and asks for a drink with it and one without.
func (r *Room) empty(t *trial) {
	t.state, t.at = web.ChaosBroken, time.Now()
	n := t.n
	r.later(func(ctx context.Context) {
		levels, err := r.shop.Levels(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.n != n {
			return
		}
		if err != nil {
			t.state = web.ChaosWhole
			r.log.Warn("chaos: the stock does not answer", "err", err)
			r.tell()
			return
		}
		t.had = levels[fleet.MilkItem(milk)].OnHand
		r.count(t, 0)
		r.order(t, fleet.Small, milk, func(a fleet.Answer) { t.refused = a.Code })
		r.order(t, fleet.Small, fleet.NoMilk, func(a fleet.Answer) { t.second = a.OrderID })
	})
}

// count has the stock told how much milk there is. One after the other, and what is
// asked after it comes after it.
func (r *Room) count(t *trial, n int) {
	t.level = nil
	nth := t.n
	r.later(func(ctx context.Context) {
		l, err := r.shop.Count(ctx, fleet.MilkItem(milk), n, by, fmt.Sprintf("chaos-%d-%d", time.Now().UnixNano(), nth))
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.log.Warn("chaos: the milk was not counted", "err", err)
		} else if t.n == nth {
			t.level = &l.OnHand
		}
		r.lookLocked()
		r.tell()
	})
}
