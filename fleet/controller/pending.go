package controller

import (
	"context"
	"time"

	"barista/fleet"
)

const (
	// pendingEvery is the shortest time between two counts of the queues.
	pendingEvery = 5 * time.Second
	// pendingIdle is when they are counted although nothing was heard.
	pendingIdle = time.Minute
)

// runPending says how many messages wait in both streams, when that has changed.
// A machine settles a message after the order's last record, so it counts until
// a whole rest has passed without one.
func (c *Controller) runPending(ctx context.Context) {
	if c.p.Pending == nil {
		return
	}
	last := -1
	var before <-chan struct{}
	for {
		changed := c.p.Ledger.Changed()
		n, err := c.waiting(ctx)
		if err == nil && n != last {
			err = c.p.Pending(ctx, n)
		}
		if err == nil {
			last = n
		} else if ctx.Err() == nil {
			c.log.Warn("the number of waiting orders could not be published", "err", err)
		}
		if !fleet.Pause(ctx, pendingEvery) {
			return
		}
		if before != nil && !closed(before) && err == nil {
			idle := time.NewTimer(pendingIdle)
			select {
			case <-ctx.Done():
			case <-changed:
			case <-c.moved:
			case <-idle.C:
			}
			idle.Stop()
		}
		before = changed
	}
}

func (c *Controller) waiting(ctx context.Context) (int, error) {
	classes, err := c.p.Orders.Waiting(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, k := range classes {
		n += k
	}
	if c.p.IntakeWaiting != nil {
		drops, err := c.p.IntakeWaiting(ctx)
		if err != nil {
			return 0, err
		}
		n += drops
	}
	return n, nil
}
