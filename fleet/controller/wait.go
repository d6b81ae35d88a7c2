package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// unmeasured is how long a drink takes until one was measured.
	unmeasured = 60 * time.Second
	// weight of a new measurement against those before: about the last five
	// count.
	weight = 0.2
)

// paces is how long each machine takes for a cup of each size.
type paces struct {
	mu   sync.Mutex       // guards what follows
	mean map[pace]float64 // running, in seconds
}

type pace struct {
	machine string
	size    fleet.Size
}

// measured takes how long a drink took.
func (p *paces) measured(machine string, size fleet.Size, seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := pace{machine, size}
	if mean, ok := p.mean[of]; ok {
		seconds = mean + weight*(seconds-mean)
	}
	p.mean[of] = seconds
}

// between is how long the quickest and the slowest of some machines take for a
// cup: as measured here, else as each says of its drinks, else a minute.
func (p *paces) between(machines []*fleet.Machine, size fleet.Size) (quick, slow time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range machines {
		s := p.mean[pace{m.Machine, size}]
		if s <= 0 {
			s = m.Seconds
		}
		takes := seconds(s)
		if s <= 0 {
			takes = unmeasured
		}
		if quick, slow = min(quick, takes), max(slow, takes); i == 0 {
			quick = takes
		}
	}
	return quick, slow
}

// cup is what the wait depends on.
type cup struct {
	class fleet.Class
	size  fleet.Size
	sugar int
}

// order is the cup as an order.
func (c cup) order() fleet.Order {
	return fleet.Order{Size: c.size, Bean: c.class.Bean, Milk: c.class.Milk, Sugar: c.sugar}
}

// tally counts the open orders. It is made anew when somebody asks and the book
// has grown since.
type tally struct {
	mu      sync.Mutex      // guards what follows
	changed <-chan struct{} // closed when it is no longer true
	cups    map[cup]int
	again   []fleet.Entry // to be made again
}

// counted are the open orders by cup, and those that are to be made again.
func (c *Controller) counted() (cups map[cup]int, again []fleet.Entry) {
	t := &c.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil || closed(t.changed) {
		t.changed = c.p.Ledger.Changed() // before it is read: rather count twice
		t.cups, t.again = map[cup]int{}, nil
		for _, e := range c.p.Ledger.Open() {
			if e.Phase.Open() {
				t.cups[cup{e.Order.Class(), e.Order.Size, e.Order.Sugar}]++
			}
			if e.Phase == fleet.Again {
				t.again = append(t.again, e)
			}
		}
	}
	return t.cups, t.again // never changed again
}

// guess estimates the way of one more cup, behind the orders that are open.
//
// The machines that can make it share the orders that they can make. At best
// only orders of its own class are before it and each is ready at once; at worst
// all are, on the slowest machine. A mean is not sharper than a quarter, so the
// range is that much wider. What would be beyond the expiry is cut there: then
// the order has ended.
func (c *Controller) guess(o fleet.Order) fleet.Wait {
	open, _ := c.counted()
	own := 0
	for of, n := range open {
		if of.class == o.Class() {
			own += n
		}
	}
	able, why := c.makers(o, open)
	quick, slow := c.paces.between(able, o.Size)
	longest := max(unmeasured, c.cfg.ExpireAfter)
	if len(able) == 0 {
		// Wide, and true: later than that it has expired.
		return fleet.Wait{Low: unmeasured, High: longest, Ahead: own, Why: strings.Join(why, "; ")}
	}
	all, n := makeable(open, able...), len(able)
	high := min(slow*time.Duration(1+(all+n-1)/n)*5/4, longest)
	return fleet.Wait{Known: true, Low: min(quick*time.Duration(max(1, own/n))*3/4, high), High: high, Ahead: all}
}

// makers are the machines that can make this now, behind the open orders; why
// tells of the others that list it.
func (c *Controller) makers(o fleet.Order, open map[cup]int) (able []*fleet.Machine, why []string) {
	var spares []*fleet.Machine
	for _, m := range c.p.Roll.Machines() {
		switch {
		case !m.Here || !m.Makes(o):
		case m.Cordon != nil:
			why = append(why, m.Machine+" is out of service: "+m.Cordon.Reason)
		case !m.Able():
			why = append(why, m.Machine+": "+ailment(m.Presence))
		case m.MinWaiting > 0:
			spares = append(spares, m)
		default:
			able = append(able, m)
		}
	}
	for _, m := range spares {
		if makeable(open, m)+1 >= m.MinWaiting {
			able = append(able, m)
		} else {
			why = append(why, fmt.Sprintf("%s is a spare and helps from %d waiting orders on", m.Machine, m.MinWaiting))
		}
	}
	return able, why
}

// makeable counts the orders that one of the machines makes.
func makeable(open map[cup]int, machines ...*fleet.Machine) (sum int) {
	for of, n := range open {
		if slices.ContainsFunc(machines, func(m *fleet.Machine) bool { return m.Makes(of.order()) }) {
			sum += n
		}
	}
	return sum
}

// ailment says in words why a machine takes no orders.
func ailment(p fleet.Presence) string {
	switch {
	case p.Note != "":
		return p.Note
	case len(p.Lacks) > 0:
		return "needs " + strings.Join(p.Lacks, ", ")
	}
	return "is " + string(p.State)
}

// Wait estimates how long one more cup would take. An order is taken whatever is
// not known, unless Why says that it is not on the menu or sold out.
func (c *Controller) Wait(ctx context.Context, class fleet.Class, size fleet.Size) fleet.Wait {
	o := fleet.Order{Bean: class.Bean, Milk: class.Milk, Size: size}
	menu := c.Menu()
	doses, listed := menu.Portion(o)
	switch {
	case c.p.Witness.Standing().State == fleet.StandClosed:
		return fleet.Wait{Why: "the shop is closed: its records are being looked at"}
	case len(menu.Beans) == 0 || !closed(c.p.Ledger.Ready()):
		return fleet.Wait{Why: "the shop is just opening"}
	case !listed:
		return fleet.Wait{Why: "not on the menu"}
	case !c.made(o) && !c.early():
		return fleet.Wait{Why: "no machine here makes it"}
	}
	if c.closed(ctx) {
		return fleet.Wait{Why: "the shop takes no orders at the moment"}
	}
	if item := c.soldOut(o, doses); item != "" {
		return fleet.Wait{Why: "sold out: " + insufficient(o, item)}
	}
	w := c.guess(o)
	if !w.Known {
		w.Low, w.High = 0, 0
	}
	for o.Sugar = 1; o.Sugar <= fleet.MaxSugar && w.TooSweet == 0; o.Sugar++ {
		if !c.made(o) && !c.early() {
			w.TooSweet = o.Sugar
		}
	}
	return w
}

// soldOut is an item of which there is not enough; empty if there is.
func (c *Controller) soldOut(o fleet.Order, portion fleet.Items) string {
	levels := c.p.Ledger.Levels()
	for _, item := range []string{o.Bean, fleet.MilkItem(o.Milk), fleet.ItemSugar} {
		if levels[item].Available() < portion[item] {
			return item
		}
	}
	return ""
}
