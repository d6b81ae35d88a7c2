package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"barista/fleet"
)

const (
	// careEvery is how often it is looked whether a machine's care is due: a round over the
	// machines here, of which nobody waits for the answer.
	careEvery = 10 * time.Second
	// careAgain is how long a care that came to nothing is not begun anew by itself.
	careAgain = 15 * time.Minute
	// careExpires is how long a care may wait, until another machine stands in for this
	// one: longer than any drink, because nobody stands there and waits.
	careExpires = 12 * time.Hour
)

// Care has a machine cared for, by an order in the queue like any other: between two
// drinks, once. It returns the order; one of the same kind that is open already is that
// order. by is who wants it. Where the machine is the last that makes something it is
// refused, unless last says that a person knows. Errors: fleet.ErrNotFound, *StateError;
// any other leaves open whether it was taken.
func (c *Controller) Care(ctx context.Context, machine string, kind fleet.Size, by string, last bool) (string, error) {
	by, err := who(by)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	o := fleet.CareOrder(c.newID(), clip(by, 40), machine, kind)
	if err := c.p.Witness.Flows(ctx, o.ID, true); err != nil {
		return "", fmt.Errorf("nothing was done: %w", err)
	}
	if !c.ready(ctx) {
		return "", errOpening
	}
	if err := c.mayCare(machine, kind, last); err != nil {
		return "", err
	}
	via := fleet.ViaCare
	if last {
		via = fleet.ViaCareLast
	}
	var e fleet.Entry
	e.Revision, err = c.p.Ledger.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
		// Whoever wants it, wants it once: at every controller, and in this very moment.
		for _, open := range c.p.Ledger.Open() {
			if !open.Order.IsCare() || open.Order.CareOf() != machine {
				continue
			}
			if open.Order.Size == kind {
				o.ID = open.Order.ID
				return nil, nil
			}
			return nil, &StateError{open.Phase, fmt.Sprintf("another care of %s is open: %s, order %s", machine, open.Order.Size, open.Order.ID)}
		}
		if v.Waiting >= fleet.QueueMax {
			return nil, &StateError{"", "the queue is full: ask again later"}
		}
		a := fleet.Success(o.ID)
		a.Message = fmt.Sprintf("The %s of %s has been scheduled", kind, machine)
		e.Claim = fleet.Create(o, fleet.Items{}, a, via)
		return &fleet.Record{Act: true, IsClaim: true, Entry: e}, nil
	})
	if err != nil {
		return "", err
	}
	if e.Order.ID != "" {
		c.log.Info("a machine shall be cared for", "machine", machine, "kind", kind, "by", by, "order", o.ID, "last", last)
		if err := c.p.Orders.List(ctx, c.inUse(c.Menu())); err != nil { // the queue learns the class
			c.menu.kick.raise()
		}
		c.post.send(e)
	}
	return o.ID, nil
}

// mayCare says why a machine can't be cared for so now.
func (c *Controller) mayCare(machine string, kind fleet.Size, last bool) error {
	all := c.p.Roll.Machines()
	i := slices.IndexFunc(all, func(m *fleet.Machine) bool { return m.Machine == machine })
	switch {
	case i < 0:
		return fleet.Saying("there is no machine "+machine, fleet.ErrNotFound)
	case !all[i].Here:
		return &StateError{"", machine + " is away"}
	case !all[i].Cares(kind):
		return &StateError{"", fmt.Sprintf("%s knows no %s: it sees to that itself, or has no part for it", machine, kind)}
	case all[i].Cordon != nil:
		return &StateError{"", machine + " is out of service, and starts no order: care for it by hand, and say that it was done"}
	}
	if only := all[i].OnlyHere(all); len(only) > 0 && !last {
		var words []string
		for _, class := range only[:min(len(only), 3)] {
			words = append(words, class.String())
		}
		return &StateError{"", fmt.Sprintf("%s is the last one here that makes %s: customers would wait; say that you know it, or wait for another machine", machine, strings.Join(words, ", "))}
	}
	return nil
}

// runCare begins by itself what is due, needs nobody at the machine, and takes no bean
// from the customers.
func (c *Controller) runCare(ctx context.Context) {
	began := map[string]time.Time{}
	for fleet.Pause(ctx, careEvery) {
		if c.mayNot() {
			continue
		}
		all := c.p.Roll.Machines()
		for _, m := range all {
			i := slices.IndexFunc(m.Care, func(one fleet.Care) bool { return one.Due && one.Itself })
			if i < 0 || !m.Able() || len(m.OnlyHere(all)) > 0 || !began[m.Machine].IsZero() && time.Since(began[m.Machine]) < careAgain {
				continue
			}
			began[m.Machine] = time.Now()
			if _, err := c.Care(ctx, m.Machine, m.Care[i].Kind, m.Machine, false); err != nil && ctx.Err() == nil {
				c.log.Warn("a machine's care is due and could not be begun; it is tried again", "machine", m.Machine, "kind", m.Care[i].Kind, "err", err)
			}
		}
	}
}

// expires is how long an order may wait.
func (c *Controller) expires(o fleet.Order) time.Duration {
	if o.IsCare() {
		return careExpires
	}
	return c.cfg.ExpireAfter
}
