package controller

import (
	"context"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// pulseEvery is how often the controller looks whether it still answers.
	pulseEvery = time.Second
	// answerMost is how long any answer may take: an order has its budget, and
	// what a person asks takes a few requests of the broker, each with its limit.
	answerMost = 30 * time.Second
)

// answering is what is being answered, since when.
type answering struct {
	mu    sync.Mutex
	next  int
	since map[int]time.Time
}

// in notes one request; done is called when its answer is there.
func (d *answering) in() (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since == nil {
		d.since = map[int]time.Time{}
	}
	d.next++
	n := d.next
	d.since[n] = time.Now()
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.since, n)
	}
}

// stuck reports a request that should have had its answer long ago.
func (d *answering) stuck() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, at := range d.since {
		if time.Since(at) > answerMost {
			return true
		}
	}
	return false
}

// runPulse says, once a second, that orders can be answered: it goes through
// what every order goes through on its way, the menu, the open orders, the
// machines, and only if no answer hangs. It asks the broker nothing: one that is
// away makes the answers sorry and the controller no less alive.
func (c *Controller) runPulse(ctx context.Context) {
	if c.cfg.Alive == nil {
		return
	}
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		if c.Menu(); !c.asked.stuck() {
			c.guess(fleet.Order{})
			c.cfg.Alive()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
