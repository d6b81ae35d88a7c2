package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// postAgain is the pause before what the queue did not confirm is sent again.
	postAgain = 500 * time.Millisecond
	// lastPost is how long a controller that stops still sends.
	lastPost = 2 * time.Second
)

// post is what this controller has accepted and the queue has not confirmed yet.
type post struct {
	kick signal
	full signal // the queue was full: the sweep clears it of what nobody needs

	mu  sync.Mutex // guards what follows
	out []fleet.Entry
}

// send has an order's message sent to the queue, and returns at once.
func (p *post) send(e fleet.Entry) {
	p.mu.Lock()
	p.out = append(p.out, e)
	p.mu.Unlock()
	p.kick.raise()
}

func (p *post) take() []fleet.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.out
	p.out = nil
	return out
}

// runPost sends until the queue has confirmed: at once, then again and again. A
// crash leaves it to the next controller's sweep. That some wait is said once, not
// for each.
func (c *Controller) runPost(ctx context.Context) {
	var left []fleet.Entry
	held := false
	for {
		var again <-chan time.Time
		if len(left) > 0 {
			again = time.After(postAgain)
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPost)
			defer cancel()
			_, _ = c.deliver(last, append(c.stillOpen(left), c.post.take()...))
			return
		case <-again:
			left = c.stillOpen(left)
		case <-c.post.kick:
		}
		var err error
		left, err = c.deliver(ctx, append(left, c.post.take()...))
		if len(left) > 0 && !held {
			c.log.Warn("accepted orders are not in the queue yet; they are sent again until they are", "orders", len(left), "first", left[0].Order.ID, "err", err)
		}
		if held = len(left) > 0; errors.Is(err, fleet.ErrFull) {
			c.post.full.raise()
		}
	}
}

// deliver sends some messages, and returns those that are not confirmed and why one
// of them is not; a full queue before all.
func (c *Controller) deliver(ctx context.Context, out []fleet.Entry) (left []fleet.Entry, why error) {
	for i, e := range out {
		one, cancel := context.WithTimeout(ctx, budget)
		err := c.p.Orders.Publish(one, e, e.MessageID())
		cancel()
		if err == nil {
			continue
		}
		if left = append(left, e); why == nil || errors.Is(err, fleet.ErrFull) {
			why = err
		}
		switch {
		case errors.Is(err, fleet.ErrUnlisted): // it has just left the menu
			c.menu.kick.raise()
		case !errors.Is(err, fleet.ErrFull): // nor will the others come through
			return append(left, out[i+1:]...), why
		}
	}
	return left, why
}

// stillOpen leaves out what has ended meanwhile.
func (c *Controller) stillOpen(out []fleet.Entry) []fleet.Entry {
	if len(out) == 0 {
		return nil
	}
	open := map[string]bool{}
	for _, e := range c.p.Ledger.Open() {
		open[e.Order.ID] = e.Phase.Open()
	}
	return slices.DeleteFunc(out, func(e fleet.Entry) bool { return !open[e.Order.ID] })
}
