package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"barista/fleet"
)

const (
	// sweepEvery is how often the book is looked over; what is younger than
	// Config.SweepAfter is left to whoever began it.
	sweepEvery = 5 * time.Second
	// inHand is how long a claimed order is left to its machine although it has
	// waited too long: a cup is waited for two minutes.
	inHand = 3 * time.Minute
	// self ends orders in the controller's name.
	self = "controller"
)

// runSweep ends what was left half done.
func (c *Controller) runSweep(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	var (
		missing map[string]uint64 // orders without a message at the last look, with their revision
		stale   map[uint64]bool   // messages of ended orders at the last look
		looked  = time.Now()
		saved   uint64
		savedAt = time.Now()
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.book.short:
		case <-t.C:
		}
		if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("the sweep was broken off; it comes again", "err", err)
		}
		if time.Since(looked) >= c.cfg.SweepAfter/2 {
			looked = time.Now()
			stored, err := c.p.Orders.Stored(ctx)
			if err == nil {
				missing, err = c.findLost(ctx, stored, missing)
				stale = c.clearEnded(ctx, stored, stale)
			}
			if err != nil && ctx.Err() == nil {
				c.log.Warn("the queue could not be compared with the claims", "err", err)
			}
		}
		if time.Since(savedAt) >= c.cfg.SweepAfter {
			savedAt = time.Now()
			saved = c.saveTold(ctx, saved)
		}
	}
}

// sweep looks over the book once. One order's trouble does not hold up the
// next, but the first error is reported.
func (c *Controller) sweep(ctx context.Context) error {
	open := c.book.open()
	if len(open) == 0 {
		return nil
	}
	now, err := c.p.Claims.Now(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range open {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if l.e.Created.IsZero() {
			continue // just written; the watch will say when
		}
		if err := c.sweepOne(ctx, l, now); err != nil {
			errs = append(errs, fmt.Errorf("order %s: %w", l.e.Order.ID, err))
		}
	}
	if len(errs) > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more", len(errs)-3))
	}
	return errors.Join(errs...)
}

func (c *Controller) sweepOne(ctx context.Context, l line, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 2*budget)
	defer cancel()
	e, age := l.e, now.Sub(l.e.Created)
	if e.Phase == fleet.Accepted || e.Phase == fleet.Claimed && age > inHand {
		since, err := c.since(ctx, l)
		if err != nil {
			return err
		}
		if now.Sub(since) > c.cfg.ExpireAfter {
			return c.expire(ctx, e)
		}
	}
	switch {
	case e.Phase != fleet.Accepted:
		return nil
	case !e.Marked():
		if age <= c.cfg.SweepAfter {
			return nil
		}
		c.log.Info("an order was left half done; going on with it", "order", e.Order.ID)
		if _, err := c.carry(ctx, e, false); !errors.Is(err, fleet.ErrFull) {
			return err
		}
		return nil
	case e.Use > l.reserved:
		return c.reserveRemake(ctx, e)
	}
	return nil
}

// since is when the order began to wait, by the broker's clock. A claim's own
// time is that of its last change, so for a claim that a machine had in hand
// the stored event is asked once.
func (c *Controller) since(ctx context.Context, l line) (time.Time, error) {
	if l.sure {
		return l.since, nil
	}
	evs, err := c.p.Events.Of(ctx, l.e.Order.ID)
	if err != nil {
		return time.Time{}, err
	}
	since := l.since
	for _, e := range evs {
		if e.Slot() == opened(l.message) && e.Stored.Before(since) {
			since = e.Stored
		}
	}
	c.book.waits(l.e.Order.ID, l.message, since)
	return since, nil
}

// expire ends an order that waited too long. Its stock is released by the
// stock, which follows the claims.
func (c *Controller) expire(ctx context.Context, e fleet.ClaimEntry) error {
	n, err := e.Stop(fleet.Expired, self, fleet.Reason{Code: fleet.CodeExpired, Detail: c.cfg.ExpireAfter.String(), Text: "waited longer than " + c.cfg.ExpireAfter.String()})
	if err != nil {
		return nil // it has moved on
	}
	return c.swap(ctx, e, n)
}

// reserveRemake reserves for a drink that was spoiled and waits to be made
// again. Its message is in the queue already, so a machine may be quicker; then
// the claim is no longer ours to change, and the beans are booked as used.
func (c *Controller) reserveRemake(ctx context.Context, e fleet.ClaimEntry) error {
	err := c.p.Stock.Reserve(ctx, e.Order.ID, e.Use, e.Portion)
	var short *fleet.OutOfStockError
	switch {
	case errors.As(err, &short):
		n, err := e.FailStock(answered(fleet.Sorry("", fleet.CodeOutOfStock, "%s", insufficient(e.Order, short.Item))))
		if err != nil {
			return nil
		}
		return c.swap(ctx, e, n)
	case err == nil, errors.Is(err, fleet.ErrUseClosed):
		c.book.reserved(e.Order.ID, e.Use)
		return nil
	}
	return err
}

// swap writes a claim; that somebody wrote first is no error: the watch brings
// the new one.
func (c *Controller) swap(ctx context.Context, e fleet.ClaimEntry, n fleet.Claim) error {
	m, err := c.p.Claims.Update(ctx, e, n)
	if errors.Is(err, fleet.ErrConflict) {
		return nil
	}
	if err == nil {
		c.book.wrote(m)
	}
	return err
}

// findLost is the backstop for a broker that lost a message: it publishes anew
// for any claim that needs one and has none in the queue. A machine that is just
// settling an order ends the claim before it removes the message, so an order
// counts as lost only when two looks, half of SweepAfter apart, found it at the
// same revision without one. A second message is harmless: the claim decides.
func (c *Controller) findLost(ctx context.Context, stored []fleet.StoredOrder, before map[string]uint64) (map[string]uint64, error) {
	var want []fleet.ClaimEntry
	for _, l := range c.book.open() {
		if l.e.Phase != fleet.Accepted || l.e.Marked() {
			want = append(want, l.e)
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	there := make(map[string]bool, len(stored))
	for _, s := range stored {
		there[s.Order] = true
	}
	missing := map[string]uint64{}
	for _, e := range want {
		id := e.Order.ID
		if there[id] {
			continue
		}
		if before[id] != e.Revision {
			missing[id] = e.Revision
			continue
		}
		if err := c.publishAnew(ctx, e); err != nil {
			missing[id] = e.Revision
			return missing, fmt.Errorf("order %s: %w", id, err)
		}
	}
	return missing, nil
}

// clearEnded removes the messages of orders that have ended, when two looks in a
// row found them: a machine that settles an order is quicker, so these are
// orders that were cancelled or expired while no machine was there to drop them.
// Else they would fill the queue.
func (c *Controller) clearEnded(ctx context.Context, stored []fleet.StoredOrder, before map[uint64]bool) map[uint64]bool {
	open := map[string]bool{}
	for _, l := range c.book.open() {
		open[l.e.Order.ID] = true
	}
	stale := map[uint64]bool{}
	for _, s := range stored {
		if s.Order == "" || open[s.Order] {
			continue
		}
		e, err := c.p.Claims.Get(ctx, s.Order)
		if err != nil || !e.Phase.Ended() {
			continue // without a claim it is a machine's to look at
		}
		if !before[s.Seq] {
			stale[s.Seq] = true
			continue
		}
		if err := c.p.Orders.Remove(ctx, s.Seq); err != nil && ctx.Err() == nil {
			c.log.Warn("the message of an ended order stays for now", "order", s.Order, "err", err)
			stale[s.Seq] = true
		}
	}
	return stale
}

func (c *Controller) publishAnew(ctx context.Context, e fleet.ClaimEntry) error {
	now, err := c.p.Claims.Get(ctx, e.Order.ID)
	if err != nil || now.Revision != e.Revision {
		return err
	}
	at, err := c.p.Claims.Now(ctx)
	if err != nil {
		return err
	}
	c.log.Error("the queue has lost an order; publishing it anew", "order", e.Order.ID, "phase", string(e.Phase))
	_, err = c.p.Orders.Publish(ctx, e.Order, fmt.Sprintf("%s#s%d", e.Order.ID, at.UnixMilli()))
	return err
}
