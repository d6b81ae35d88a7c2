package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

// passedOver is how long an order may wait beside a machine that is ready and makes
// it. A queue that is made anew and a message that is published anew have each come
// within a minute.
const passedOver = 90 * time.Second

// watch is what the sweep has seen of orders that wait beside idle machines.
type watch struct {
	idle map[string]idle // by machine

	mu   sync.Mutex // guards what follows
	over []fleet.Trouble
}

// idle is a machine that was ready, with nothing in hand, at every look since.
type idle struct {
	since  time.Time // monotonic
	drinks int
}

// look notes which orders have waited too long beside a machine that could make
// them. orders are what the sweep has seen of them.
func (w *watch) look(machines []*fleet.Machine, open []fleet.Entry, orders map[string]sight) {
	before := w.idle
	w.idle = map[string]idle{}
	for _, m := range machines {
		if !m.Able() || m.State != fleet.StateReady || m.Order != "" || m.MinWaiting > 0 {
			continue
		}
		i, known := before[m.Machine]
		if !known || i.drinks != m.Drinks {
			i = idle{time.Now(), m.Drinks}
		}
		w.idle[m.Machine] = i
	}
	var over []fleet.Trouble
	for _, e := range open {
		waits := time.Since(orders[e.Order.ID].at)
		if e.Phase != fleet.Accepted || waits < passedOver || e.Order.IsCare() { // that waits for others
			continue
		}
		for _, m := range machines {
			if i, is := w.idle[m.Machine]; is && time.Since(i.since) >= passedOver && m.Makes(e.Order) {
				over = append(over, fleet.Trouble{About: e.Order.ID, Reason: because(fleet.CodePassedOver, fmt.Sprintf("%s, %s", e.Order.ID, m.Machine))})
				break
			}
		}
	}
	w.mu.Lock()
	w.over = over
	w.mu.Unlock()
}

// Troubles is what a person should look at in the shop itself.
func (c *Controller) Troubles(context.Context) ([]fleet.Trouble, error) {
	var out []fleet.Trouble
	if c.p.Troubles != nil {
		out = c.p.Troubles()
	}
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	return append(out, c.watch.over...), nil
}

// closed reports whether no order is taken.
func (c *Controller) closed(ctx context.Context) bool {
	all, _ := c.Troubles(ctx)
	return slices.ContainsFunc(all, func(t fleet.Trouble) bool { return t.Closed })
}

// runTroubles says in the log what is new, and what is over.
func (c *Controller) runTroubles(ctx context.Context) {
	type key struct{ code, about string }
	said := map[key]bool{}
	for {
		now := map[key]bool{}
		all, _ := c.Troubles(ctx)
		for _, t := range all {
			k := key{t.Code, t.About}
			if now[k] = true; !said[k] {
				c.log.Error("the shop needs a person", "code", t.Code, "about", t.About, "closed", t.Closed, "why", t.Text)
			}
		}
		for k := range said {
			if !now[k] {
				c.log.Info("the shop does not need a person for this any more", "code", k.code, "about", k.about)
			}
		}
		said = now
		if !fleet.Pause(ctx, sweepEvery) {
			return
		}
	}
}
