package controller

import (
	"context"
	"errors"
	"strconv"
	"time"

	"barista/fleet"
)

// keyTold holds the revision of coffee-claims up to which every event is
// published, so that a start need not look at the claims of a month. It may lag:
// an event is stored once, however often it is published.
const keyTold = "controller.told"

// heraldEvery is how often orders are looked over whose machine should have
// spoken.
const heraldEvery = 5 * time.Second

// runHerald publishes the events that claims demand. It is fed by the claims
// alone, so a crash between a claim and its event loses nothing.
func (c *Controller) runHerald(ctx context.Context) {
	t := time.NewTicker(heraldEvery)
	defer t.Stop()
	for {
		if err := c.publishOwed(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("an event could not be published; trying again", "err", err)
			if !fleet.Pause(ctx, time.Second) {
				return
			}
			c.book.lookAgain()
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.book.news:
		case <-t.C:
			c.book.lookAgain()
		}
	}
}

// publishOwed publishes what is due.
func (c *Controller) publishOwed(ctx context.Context) error {
	var errs []error
	for _, id := range c.book.take() {
		if err := c.publishOf(ctx, id); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil || len(errs) == 3 {
				break // the rest is looked at again
			}
		}
	}
	return errors.Join(errs...)
}

func (c *Controller) publishOf(ctx context.Context, id string) error {
	for _, e := range c.book.debts(id, c.cfg.SweepAfter) {
		e.At = c.p.Wall()
		if err := c.p.Events.Publish(ctx, e); err != nil {
			return err
		}
		c.book.published(id, e.Slot())
	}
	c.book.close(id)
	return nil
}

// live hears what passes: a machine's event that is stored need not be
// published by us, and the end of a drink says how long it took.
func (c *Controller) live(e fleet.StoredEvent) {
	if e.Seq > 0 {
		c.book.published(e.Order, e.Slot())
	}
	if (e.Kind == fleet.EvServed || e.Kind == fleet.EvEnd) && e.Outcome == fleet.Made && e.Seconds > 0 {
		if size, ok := c.book.size(e.Order); ok {
			c.paces.measured(e.Machine, size, e.Seconds)
		}
	}
	if e.Kind == fleet.EvServed || e.Kind == fleet.EvFailed {
		c.book.close(e.Order)
	}
}

// loadTold reads the mark, for as long as it takes.
func (c *Controller) loadTold(ctx context.Context) bool {
	for {
		v, err := c.p.Settings.Get(ctx, keyTold)
		if err == nil {
			if n, bad := strconv.ParseUint(string(v), 10, 64); bad == nil {
				c.book.mu.Lock()
				c.book.told = n
				c.book.mu.Unlock()
				return true
			}
			c.log.Warn("the mark of published events can't be read; all claims are looked at", "value", string(v))
			return true
		}
		if errors.Is(err, fleet.ErrNotFound) {
			return true
		}
		c.log.Warn("the settings can't be read; trying again", "err", err)
		if !fleet.Pause(ctx, time.Second) {
			return false
		}
	}
}

// saveTold writes the mark if it has moved, and returns it.
func (c *Controller) saveTold(ctx context.Context, before uint64) uint64 {
	now := c.book.settled()
	if now == before {
		return before
	}
	if err := c.p.Settings.Put(ctx, keyTold, strconv.AppendUint(nil, now, 10)); err != nil {
		c.log.Warn("the mark of published events was not written; it is only a saving", "err", err)
		return before
	}
	return now
}

// lastWords publishes what is due when the door is shut, for at most 2 s.
func (c *Controller) lastWords(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if c.book.latest() == 0 {
		return
	}
	if err := c.publishOwed(ctx); err == nil {
		c.saveTold(ctx, 0)
	}
}
