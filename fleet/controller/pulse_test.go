package controller

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// TestPulse: a sign of life each second without any order, none while an answer
// hangs or the way of an order is blocked, and again afterwards.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var beats atomic.Int64
		c := New(Parts{Ledger: nobody{}, Roll: memRoll{newShop()}}, Config{Alive: func() { beats.Add(1) }})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { c.runPulse(ctx) })
		in := func(d time.Duration) int64 {
			before := beats.Load()
			time.Sleep(d)
			synctest.Wait()
			return beats.Load() - before
		}
		if n := in(10 * time.Second); n < 9 || n > 11 {
			t.Errorf("%d signs in 10 s", n)
		}
		done := c.asked.in()
		if n := in(10 * time.Second); n < 9 {
			t.Errorf("%d signs in 10 s while an order is answered", n)
		}
		time.Sleep(answerMost)
		if n := in(time.Minute); n > 0 {
			t.Errorf("%d signs while an answer hangs", n)
		}
		done()
		if n := in(10 * time.Second); n < 9 {
			t.Errorf("%d signs in 10 s after it was answered", n)
		}
		cancel()
		wg.Wait()
	})
	var beats atomic.Int64
	c := New(Parts{Ledger: nobody{}, Roll: memRoll{newShop()}}, Config{Alive: func() { beats.Add(1) }})
	c.tally.mu.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.runPulse(ctx); close(done) }()
	select {
	case <-done:
	case <-time.After(1500 * time.Millisecond):
	}
	if n := beats.Load(); n > 0 {
		t.Errorf("%d signs while nobody can count the orders", n)
	}
	c.tally.mu.Unlock()
	cancel()
	<-done
}

// nobody is a ledger of a book without orders.
type nobody struct{ fleet.Ledger }

func (nobody) Changed() <-chan struct{} { return make(chan struct{}) }
func (nobody) Open() []fleet.Entry      { return nil }
func (nobody) Queue() []fleet.Entry     { return nil }
