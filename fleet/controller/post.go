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

	mu  sync.Mutex // guards what follows
	out []letter
}

// letter is one of them. said: the log has it that the queue did not take it.
type letter struct {
	fleet.Entry
	said bool
}

// send has an order's message sent to the queue, and returns at once.
func (p *post) send(e fleet.Entry) {
	p.mu.Lock()
	p.out = append(p.out, letter{Entry: e})
	p.mu.Unlock()
	p.kick.raise()
}

func (p *post) take() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.out
	p.out = nil
	return out
}

// runPost sends until the queue has confirmed: at once, then again and again. A
// crash leaves it to the next controller's sweep.
func (c *Controller) runPost(ctx context.Context) {
	var left []letter
	for {
		var again <-chan time.Time
		if len(left) > 0 {
			again = time.After(postAgain)
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPost)
			defer cancel()
			c.deliver(last, append(c.stillOpen(left), c.post.take()...))
			return
		case <-again:
			left = c.stillOpen(left)
		case <-c.post.kick:
		}
		left = c.deliver(ctx, append(c.post.take(), left...))
	}
}

// deliver sends some messages, and returns those that are not confirmed.
func (c *Controller) deliver(ctx context.Context, out []letter) (left []letter) {
	for i, e := range out {
		one, cancel := context.WithTimeout(ctx, budget)
		err := c.p.Orders.Publish(one, e.Entry, e.MessageID())
		cancel()
		if err == nil {
			continue
		}
		if !e.said {
			c.log.Warn("an accepted order is not in the queue yet; it is sent again", "order", e.Order.ID, "err", err)
		}
		left = append(left, letter{e.Entry, true})
		switch {
		case errors.Is(err, fleet.ErrUnlisted): // it has just left the menu
			c.menu.kick.raise()
		case !errors.Is(err, fleet.ErrFull): // nor will the others come through
			return append(left, out[i+1:]...)
		}
	}
	return left
}

// stillOpen leaves out what has ended meanwhile.
func (c *Controller) stillOpen(out []letter) []letter {
	if len(out) == 0 {
		return nil
	}
	open := map[string]bool{}
	for _, e := range c.p.Ledger.Open() {
		open[e.Order.ID] = e.Phase.Open()
	}
	return slices.DeleteFunc(out, func(e letter) bool { return !open[e.Order.ID] })
}
