package controller

import (
	"context"
	"fmt"
	"maps"
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
	// levelsFor is how long levels of the stock are good enough for a page.
	levelsFor = time.Second
)

// kitchen is who is here now, and how long each takes for a cup of each size.
type kitchen struct {
	mu      sync.Mutex // guards what follows
	here    map[string]fleet.Presence
	seconds map[pace]float64 // running mean
	stirred chan struct{}
}

type pace struct {
	machine string
	size    fleet.Size
}

func newKitchen() *kitchen {
	return &kitchen{here: map[string]fleet.Presence{}, seconds: map[pace]float64{}, stirred: make(chan struct{})}
}

// word folds what a machine says of itself.
func (k *kitchen) word(p fleet.Presence, here bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if here {
		k.here[p.Machine] = p
	} else {
		delete(k.here, p.Machine)
	}
	close(k.stirred)
	k.stirred = make(chan struct{})
}

// heard is closed at the next word of a machine.
func (k *kitchen) heard() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stirred
}

// measured takes how long a drink took.
func (k *kitchen) measured(machine string, size fleet.Size, seconds float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := pace{machine, size}
	if mean, ok := k.seconds[p]; ok {
		seconds = mean + weight*(seconds-mean)
	}
	k.seconds[p] = seconds
}

// takes is how long a machine takes for a cup: as measured here, else as the
// machine says of its drinks, else a minute. The caller holds the lock.
func (k *kitchen) takes(p fleet.Presence, size fleet.Size) time.Duration {
	s := k.seconds[pace{p.Machine, size}]
	if s <= 0 {
		s = p.Seconds
	}
	if s <= 0 {
		return unmeasured
	}
	return time.Duration(s * float64(time.Second))
}

// lists reports whether a machine that is here lists class and size.
func (k *kitchen) lists(c fleet.Class, s fleet.Size) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.here {
		if p.Makes(c, s) {
			return true
		}
	}
	return false
}

// guess is what can be said of one more cup.
type guess struct {
	low, high time.Duration
	known     bool   // low and high rest on machines that can make it now
	ahead     int    // orders before it
	why       string // nobody can make it now: why
}

// guess estimates the way of one more cup, behind the orders that are open.
//
// The machines that can make it share the orders that they can make. At best
// only orders of its own class are before it and each is ready at once; at worst
// all are, on the slowest machine. A mean is not sharper than a quarter, so the
// range is that much wider. What would be beyond the expiry is cut there: then
// the order has ended.
func (c *Controller) guess(class fleet.Class, size fleet.Size, but string) guess {
	open := c.book.orders(but)
	k := c.kitchen
	k.mu.Lock()
	defer k.mu.Unlock()
	var (
		own, all int
		able     []fleet.Presence
		spares   []fleet.Presence
		why      []string
	)
	for _, o := range open {
		if o.Class() == class {
			own++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.here)) {
		p := k.here[name]
		if !p.Makes(class, size) {
			continue
		}
		cordon, cordoned := c.p.Board.Cordoned(name)
		switch {
		case cordoned:
			why = append(why, name+" is out of service: "+cordon.Reason)
		case !p.Able():
			why = append(why, name+": "+ailment(p))
		case p.MinWaiting > 0:
			spares = append(spares, p)
		default:
			able = append(able, p)
		}
	}
	count := func(by []fleet.Presence) (n int) {
		for _, o := range open {
			if slices.ContainsFunc(by, func(p fleet.Presence) bool { return p.Makes(o.Class(), o.Size) }) {
				n++
			}
		}
		return n
	}
	for _, p := range spares {
		if count([]fleet.Presence{p})+1 >= p.MinWaiting {
			able = append(able, p)
		} else {
			why = append(why, fmt.Sprintf("%s is a spare and helps from %d waiting orders on", p.Machine, p.MinWaiting))
		}
	}
	if len(able) == 0 {
		// Wide, and true: later than that it has expired.
		return guess{low: unmeasured, high: max(unmeasured, c.cfg.ExpireAfter), ahead: own, why: strings.Join(why, "; ")}
	}
	all = count(able)
	quick, slow := k.takes(able[0], size), k.takes(able[0], size)
	for _, p := range able[1:] {
		quick, slow = min(quick, k.takes(p, size)), max(slow, k.takes(p, size))
	}
	n := len(able)
	g := guess{known: true, ahead: all}
	g.high = min(slow*time.Duration(1+(all+n-1)/n)*5/4, max(unmeasured, c.cfg.ExpireAfter))
	g.low = min(quick*time.Duration(max(1, own/n))*3/4, g.high)
	return g
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

// Wait estimates how long one more cup would take, from low to high. Where known
// is false nobody can say: whyNot then holds the reason why no machine makes it
// now, or is empty when just no machine is here. An order is taken all the same,
// unless whyNot says that it is not on the menu or sold out.
func (c *Controller) Wait(ctx context.Context, class fleet.Class, size fleet.Size) (low, high time.Duration, known bool, whyNot string) {
	o := fleet.Order{Bean: class.Bean, Milk: class.Milk, Size: size}
	menu := c.Menu()
	doses, listed := menu.Doses(o)
	switch {
	case len(menu.Beans) == 0:
		return 0, 0, false, "the shop is just opening"
	case !listed:
		return 0, 0, false, "not on the menu"
	case !c.made(o) && !c.early():
		return 0, 0, false, "no machine here makes it"
	}
	if item := c.soldOut(ctx, o, doses); item != "" {
		return 0, 0, false, "sold out: " + insufficient(o, item)
	}
	g := c.guess(class, size, "")
	if !g.known {
		return 0, 0, false, g.why
	}
	return g.low, g.high, true, ""
}

// levelCache keeps the stock's levels for a moment: a page asks for each drink.
type levelCache struct {
	mu     sync.Mutex // guards what follows; held while the stock is asked
	levels map[string]fleet.Level
	at     time.Time
}

// soldOut is an item of which there is not enough; empty if there is, or if the
// stock does not answer.
func (c *Controller) soldOut(ctx context.Context, o fleet.Order, doses fleet.Items) string {
	l := &c.levels
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || time.Since(l.at) > levelsFor {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		levels, err := c.p.Stock.Levels(ctx)
		if err != nil {
			levels = nil
		}
		l.levels, l.at = levels, time.Now()
	}
	if l.levels == nil {
		return ""
	}
	for _, item := range []string{o.Bean, fleet.MilkItem(o.Milk), fleet.ItemSugar} {
		if l.levels[item].Available() < doses[item] {
			return item
		}
	}
	return ""
}
