package worker

import (
	"slices"

	"barista/fleet"
	"barista/machine"
)

// offer is what a machine takes of all that it lists: each size with each milk and
// each number of sugars is laid out by the doses of the menu, and what the machine
// can never make is left out, so that nobody is told to wait for it. why is the
// first reason. What is not on the menu nobody orders.
func offer(m *machine.Machine, classes []fleet.Class, sizes []fleet.Size, menu fleet.Menu) (p fleet.Presence, why *machine.Reason) {
	type cup struct {
		size fleet.Size
		milk string
	}
	from := map[cup]int{} // of sugar, that is too much: 0 is any
	most := 0
	for _, c := range classes {
		for _, size := range sizes {
			k := cup{size, c.Milk}
			if _, known := from[k]; known {
				continue // the bean does not matter
			}
			for n := range fleet.MaxSugar + 1 {
				o := fleet.Order{Size: size, Bean: c.Bean, Milk: c.Milk, Sugar: n}
				portion, sold := menu.Portion(o)
				if !sold {
					break
				}
				from[k] = n
				if err := m.Fits(Drink(o, portion, menu)); err != nil {
					if why == nil {
						r := machine.ReasonOf(err)
						why = &r
					}
					break
				}
				from[k] = n + 1
			}
			most = max(most, from[k])
		}
	}
	// never reports that nothing of this kind can be made, though it is sold.
	never := func(of func(cup) bool) bool {
		sold := false
		for k, n := range from {
			if of(k) && n > 0 {
				return false
			}
			sold = sold || of(k)
		}
		return sold
	}
	for _, size := range sizes {
		if !never(func(k cup) bool { return k.size == size }) {
			p.Sizes = append(p.Sizes, size)
		}
	}
	for _, c := range classes {
		if !never(func(k cup) bool { return k.milk == c.Milk }) {
			p.Classes = append(p.Classes, c)
		}
	}
	if most > 0 && most <= fleet.MaxSugar {
		p.Never = append(p.Never, fleet.Never{Sugar: most})
	}
	for _, c := range p.Classes {
		for _, size := range p.Sizes {
			n, sold := from[cup{size, c.Milk}]
			if x := (fleet.Never{Size: size, Milk: c.Milk, Sugar: n}); sold && n < most && !slices.Contains(p.Never, x) {
				p.Never = append(p.Never, x)
			}
		}
	}
	return p, why
}

// offers takes a menu: what the machine says of itself follows. The caller holds the
// lock.
func (w *Worker) offers(menu fleet.Menu) {
	was := w.unfit
	w.menu = menu
	defer func() { w.pace.cups = cupTimes(w.Machine.Plan(), w.offer, menu) }()
	if w.offer, w.unfit = offer(w.Machine, w.cfg.Classes, w.cfg.Sizes, menu); w.unfit != nil && (was == nil || *was != *w.unfit) {
		w.Log.Warn("by its limits and the menu's doses it can't make all that its file lists: the rest is not offered",
			"offers_sizes", w.offer.Sizes, "never", w.offer.Never, "reason", reasonOf(*w.unfit).Text)
	}
}

// useless reports that nothing of the menu can be made here. The caller holds the lock.
func (w *Worker) useless() bool { return len(w.offer.Classes) == 0 || len(w.offer.Sizes) == 0 }

// makes reports whether an order is one of those that the machine takes.
func (w *Worker) makes(o fleet.Order) bool {
	if o.IsCare() {
		_, no := w.careDrink(o)
		return no == nil && o.CareOf() == w.cfg.Name
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.offer.Makes(o)
}
