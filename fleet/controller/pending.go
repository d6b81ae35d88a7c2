package controller

import (
	"context"
	"time"

	"barista/fleet"
)

const (
	// pendingEvery is how often the number of waiting messages is published.
	pendingEvery = 5 * time.Second
	// pendingRest is the shortest time between two changes of it.
	pendingRest = 250 * time.Millisecond
)

// runPending publishes how many messages wait in both streams, on change and
// every five seconds.
func (c *Controller) runPending(ctx context.Context) {
	if c.p.Pending == nil {
		return
	}
	t := time.NewTicker(pendingEvery)
	defer t.Stop()
	last := -1
	for {
		n, err := c.waiting(ctx)
		changed := n != last
		if err == nil && changed {
			err = c.p.Pending(ctx, n)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("the number of waiting orders could not be published", "err", err)
		} else {
			last = n
		}
		if !fleet.Pause(ctx, pendingRest) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.book.moved:
		case <-t.C:
			last = -1 // say it again
		}
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
