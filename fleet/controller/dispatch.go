package controller

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"time"

	"barista/fleet"
)

// How the machines will take the orders that wait: a simulation, second by second, of
// what they do by themselves. A machine that is free takes the order that waits for
// longest of those that it makes; a spare does only while enough of them wait, or where
// nobody else makes it. It is pure: the same hands and orders give the same plan.

// hand is a machine as the simulation sees it.
type hand struct {
	*fleet.Machine
	n     int                                     // among the hands
	free  float64                                 // seconds from now, until it could take the next one
	heat  float64                                 // by how much its next drink takes longer
	cup   float64                                 // from then until a cup stands there
	blur  float64                                 // by what part of itself a drink may take longer or shorter
	fetch float64                                 // after each drink, until its cup is taken
	takes func(fleet.Order) (takes, rest float64) // as it says, or as was seen
}

// slot is where an order goes, in seconds from now.
type slot struct {
	known             bool    // some machine makes it
	machine           string  // which; empty: nobody can say
	turn              float64 // until a machine takes it, and asks for the cup
	begin             float64
	low, likely, high float64 // until it is ready
}

// The spread of what can be known. Machines keep to their timelines within a few
// percent; what adds up before an order (somebody's cup, a look at the sensors, the
// next pull) does so too.
const (
	byPlan, bySight     = 0.10, 0.25 // of a drink: as its machine says, and where it says nothing
	earlyTurn, lateTurn = 0.85, 1.22 // of the wait until it begins
	slack               = 2.0        // seconds, whatever it is
	// level is how far apart two machines may become free so that nobody can say which
	// one takes the next order.
	level = 0.5
	// mostOffers bounds how many of those are looked at; more say nothing new.
	mostOffers = 20
	// spareLook is how long a spare takes to see that it is needed, in seconds.
	spareLook = 2
)

// avoid is a machine that leaves an order to others, for so many seconds from now.
type avoid struct {
	machine string
	until   float64
}

// dispatch says where each of the orders goes, which wait in this order. The hands are
// changed: they are free when all is made.
func dispatch(hands []*hand, queue []fleet.Order, avoid map[string]avoid) []slot {
	d := dispatcher{queue: queue, avoid: avoid, slots: make([]slot, len(queue)), kinds: map[cup]*kind{}}
	for i, h := range hands {
		h.n = i
	}
	for i := range d.slots {
		d.slots[i].turn = math.Inf(1) // until somebody takes it
	}
	for i, o := range queue {
		d.sort(i, o, hands)
	}
	order := &byFree{slices.Clone(hands)}
	heap.Init(order)
	for left := len(queue); left > 0 && len(order.hands) > 0; {
		h := order.hands[0]
		i, k, later := d.first(h)
		switch {
		case i < 0 && !math.IsInf(later, 1): // it has nothing to do until then
			h.free = later
			heap.Fix(order, 0)
			continue
		case i < 0: // fewer will wait, never more
			heap.Pop(order)
			continue
		}
		if d.give(i, k, h) == h {
			heap.Fix(order, 0)
		} else {
			heap.Init(order)
		}
		left--
	}
	for i, o := range queue {
		if o.IsCare() { // no customer stands behind it
			d.slots[i].turn = math.Inf(1)
		}
	}
	return d.slots
}

// sort puts an order to those of its kind.
func (d *dispatcher) sort(i int, o fleet.Order, hands []*hand) {
	of := cupOf(o)
	k := d.kinds[of]
	if k == nil {
		k = &kind{can: make([]bool, len(hands))}
		for _, h := range hands {
			if h.Makes(o) {
				k.able, k.can[h.n] = append(k.able, h), true
				k.regular = k.regular || h.Serves(o)
			}
		}
		d.kinds[of], d.all = k, append(d.all, k)
	}
	k.orders = append(k.orders, i)
}

type dispatcher struct {
	queue []fleet.Order
	avoid map[string]avoid // by order
	slots []slot
	kinds map[cup]*kind
	all   []*kind
}

// kind is all orders of one cup.
type kind struct {
	able    []*hand
	can     []bool // by hand
	regular bool   // one of them is able and no spare
	orders  []int  // that wait, in their order
}

// leaves reports whether a machine, when it is free, leaves an order to others.
func (d *dispatcher) leaves(h *hand, i int) bool {
	a, is := d.avoid[d.queue[i].ID]
	return is && a.machine == h.Machine.Machine && h.free < a.until
}

// first is the order that a machine takes when it is free; -1: none, unless it takes one
// later, that it leaves to others until then.
func (d *dispatcher) first(h *hand) (i int, k *kind, later float64) {
	later = math.Inf(1)
	best, from, waiting := -1, (*kind)(nil), 0
	alone := -1
	for _, k := range d.all {
		if len(k.orders) == 0 || !k.can[h.n] {
			continue
		}
		waiting += len(k.orders)
		for _, i := range k.orders {
			if d.leaves(h, i) {
				later = min(later, d.avoid[d.queue[i].ID].until)
				continue
			}
			if h.MinWaiting > 0 && !k.regular && (alone < 0 || i < alone) {
				alone = i
			}
			if best < 0 || i < best {
				best, from = i, k
			}
			break
		}
	}
	if h.MinWaiting > 0 && waiting < h.MinWaiting {
		if alone < 0 {
			return -1, nil, later
		}
		return alone, d.kinds[cupOf(d.queue[alone])], later
	}
	return best, from, later
}

func cupOf(o fleet.Order) cup { return cup{o.Class(), o.Size, o.Sugar} }

// give has a machine make an order. Of several that are as free as this one nobody can
// say which takes it: the one in the middle stands for all, and the range holds the
// others.
func (d *dispatcher) give(i int, k *kind, h *hand) *hand {
	o := d.queue[i]
	type offer struct {
		h          *hand
		begin, end float64
	}
	var offers []offer
	for _, one := range k.able {
		if len(offers) == mostOffers && one != h {
			continue
		}
		if one.free > h.free+level || one != h && (one.MinWaiting > 0 || d.leaves(one, i) || d.busyWith(one, i)) {
			continue
		}
		takes, _ := one.takes(o)
		begin := one.free + one.cup
		offers = append(offers, offer{one, begin, begin + one.heat + takes})
	}
	slices.SortStableFunc(offers, func(a, b offer) int { return cmp.Compare(a.end, b.end) })
	mid := offers[(len(offers)-1)/2]
	s := slot{known: true, machine: mid.h.Machine.Machine, turn: h.free, begin: mid.begin, likely: mid.end, low: mid.end, high: mid.end}
	for _, x := range offers {
		s.low = min(s.low, min(earlyTurn, 1-x.h.blur)*x.begin+(1-x.h.blur)*(x.end-x.begin)-slack/2)
		s.high = max(s.high, max(lateTurn, 1+x.h.blur)*x.begin+(1+x.h.blur)*(x.end-x.begin)+slack)
	}
	if len(offers) > 1 {
		s.machine = ""
	}
	s.low = max(0, s.low)
	d.slots[i] = s
	_, rest := mid.h.takes(o)
	mid.h.free, mid.h.heat = mid.end+max(rest, mid.h.fetch), 0
	if mid.h.Pace != nil {
		mid.h.heat = mid.h.Pace.Reheat
	}
	k.orders = slices.DeleteFunc(k.orders, func(x int) bool { return x == i })
	return mid.h
}

// busyWith reports whether a machine would take an older order than this one.
func (d *dispatcher) busyWith(h *hand, i int) bool {
	first, _, _ := d.first(h)
	return first >= 0 && first < i
}

// places counts for each order those that machines take before it; with it the place
// from 1.
func places(slots []slot) []int {
	out := make([]int, len(slots))
	at := make([]int, len(slots))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(slots[a].turn, slots[b].turn) })
	for n, i := range at {
		out[i] = n + 1
	}
	return out
}

// byFree is a heap of machines, the one that is free first on top.
type byFree struct{ hands []*hand }

func (b *byFree) Len() int { return len(b.hands) }
func (b *byFree) Less(i, j int) bool {
	x, y := b.hands[i], b.hands[j]
	return x.free < y.free || x.free == y.free && x.Machine.Machine < y.Machine.Machine
}
func (b *byFree) Swap(i, j int) { b.hands[i], b.hands[j] = b.hands[j], b.hands[i] }
func (b *byFree) Push(x any)    { b.hands = append(b.hands, x.(*hand)) }
func (b *byFree) Pop() any {
	h := b.hands[len(b.hands)-1]
	b.hands = b.hands[:len(b.hands)-1]
	return h
}

// handsOf are the machines that take orders now, or will without a person's help.
func handsOf(machines []*fleet.Machine, inHand map[string]fleet.Entry, age func(fleet.Entry) time.Duration, p *paces) []*hand {
	var out []*hand
	for _, m := range machines {
		if !m.Here || m.Cordon != nil || !soon(m) {
			continue
		}
		h := handOf(m, p)
		if e, has := inHand[m.Machine]; has {
			_, _, likely, _ := h.left(e, age(e))
			_, rest := h.takes(e.Order)
			h.free = max(h.free, likely+max(rest, h.fetch))
			if h.heat = 0; m.Pace != nil {
				h.heat = m.Pace.Reheat
			}
		}
		out = append(out, h)
	}
	return out
}

// soon reports whether a machine that is here takes orders, or will by itself.
func soon(m *fleet.Machine) bool {
	switch {
	case m.Presence.Able(), m.State == fleet.StateUnsynced:
		return true
	case m.State == fleet.StateStarting, m.State == fleet.StateBlocked:
		return m.Pace != nil && m.Pace.Free > 0 && len(m.Lacks) == 0
	}
	return false
}

// handOf is a machine by its last word, as old as that is.
func handOf(m *fleet.Machine, p *paces) *hand {
	h := &hand{Machine: m, blur: bySight}
	if m.MinWaiting > 0 {
		h.cup = spareLook
	}
	h.takes = func(o fleet.Order) (float64, float64) {
		if takes, rest, known := m.Pace.Of(o); known {
			return takes, rest
		}
		return p.of(m, o.Size), 0
	}
	if m.Pace == nil {
		return h
	}
	h.blur = byPlan
	h.free, h.heat, h.cup, h.fetch = since(m, m.Pace.Free), m.Pace.Heat, h.cup+m.Pace.Cup, m.Pace.Fetch
	switch {
	case m.Pace.Left > 0:
		h.free = max(h.free, since(m, m.Pace.Left+h.fetch))
	case m.State == fleet.StateWaiting && m.Order == "":
		h.free = max(h.free, h.fetch/2) // an old cup stands there
	}
	return h
}

// since is what is left of a time that a machine's last word named.
func since(m *fleet.Machine, s float64) float64 {
	if m.Heard.IsZero() {
		return s
	}
	return max(0, s-time.Since(m.Heard).Seconds())
}

// left is how long an order that the machine has in hand will take, since its last
// record of such an age; begin is below 0 for one that has begun.
func (h *hand) left(e fleet.Entry, age time.Duration) (begin, low, likely, high float64) {
	takes, _ := h.takes(e.Order)
	gone := age.Seconds()
	if e.Phase == fleet.Claimed {
		begin = max(1, h.cup-gone)
		likely = begin + h.heat + takes
		return begin, (1 - h.blur) * (likely - begin), likely, (1+h.blur)*(likely-begin) + 2*begin + slack
	}
	likely = takes + h.heat - gone
	if m := h.Machine; m.Order == e.Order.ID && m.Pace != nil && m.Pace.Left > 0 {
		likely = since(m, m.Pace.Left)
	}
	likely = max(likely, slack/2)
	return 0, max(0, (1-h.blur)*likely-slack/2), likely, (1+h.blur)*likely + slack
}
