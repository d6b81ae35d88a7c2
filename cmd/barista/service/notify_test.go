package service

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// told gathers what a service manager would hear.
type told struct {
	mu   sync.Mutex
	list []string // state at time
	at   []time.Time
}

func (o *told) tell(state string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range strings.SplitSeq(state, "\n") {
		o.list, o.at = append(o.list, s), append(o.at, time.Now())
	}
	return nil
}

// heard counts what begins so.
func (o *told) heard(prefix string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func (o *told) lastly(prefix string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range slices.Backward(o.list) {
		if strings.HasPrefix(s, prefix) {
			return s
		}
	}
	return ""
}

// TestNotifier goes through a service's life under fake time: not ready before
// every loop has turned, a sign of life only when all of them turn, none for a
// loop that stands still, and a stop that is extended by the loops alone.
func TestNotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o told
		n := &Notifier{log: slog.New(slog.DiscardHandler), tell: o.tell, watch: true}
		a, b := n.Loop(), n.Loop()
		var word sync.Map
		word.Store("now", "ready")
		ctx, term := context.WithCancel(t.Context())
		stop := n.Start(ctx, func() string { w, _ := word.Load("now"); return w.(string) })
		turn := func(l *Loop, every time.Duration) (halt func()) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(every)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						l.Alive()
					case <-ctx.Done():
						return
					}
				}
			}()
			return func() { cancel(); <-done }
		}
		haltA := turn(a, 20*time.Millisecond)
		time.Sleep(time.Minute)
		synctest.Wait()
		if o.heard("READY") > 0 || o.heard("WATCHDOG") > 0 || o.lastly("STATUS=") != "STATUS=starting: ready" {
			t.Errorf("one of two loops turns, and it says %v", o.list)
		}
		haltB := turn(b, time.Second) // a machine at rest
		time.Sleep(10500 * time.Millisecond)
		synctest.Wait()
		if o.heard("READY=1") != 1 || o.lastly("STATUS=") != "STATUS=ready" {
			t.Errorf("not ready: %v", o.list)
		}
		if n := o.heard("WATCHDOG=1"); n < 9 || n > 11 {
			t.Errorf("%d signs of life in 10 s of turns each second", n)
		}
		if o.heard("EXTEND") > 0 || o.heard("STOPPING") > 0 {
			t.Error("it says that it stops")
		}
		word.Store("now", "making order 1: pour\nSTOPPING=1")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := o.lastly("STATUS="); got != "STATUS=making order 1: pour; STOPPING=1" || o.heard("STOPPING") > 0 {
			t.Errorf("words: %q", o.list)
		}
		haltA()
		time.Sleep(time.Second)
		before := o.heard("WATCHDOG=1")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := o.heard("WATCHDOG=1") - before; n > 0 {
			t.Errorf("%d signs of life while a loop stands still", n)
		}
		haltA = turn(a, 20*time.Millisecond)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if o.heard("WATCHDOG=1") <= before {
			t.Error("no sign of life after the loop went on")
		}

		word.Store("now", "making order 1: pour")
		term()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := o.heard("EXTEND_TIMEOUT_USEC=4000000"); o.heard("STOPPING=1") != 1 || n < 9 || o.lastly("STATUS=") != "STATUS=stopping: making order 1: pour" {
			t.Errorf("a stop with a drink in hand: %v", o.list)
		}
		haltB() // hangs in the middle of the stop
		time.Sleep(time.Second)
		before = o.heard("EXTEND")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := o.heard("EXTEND") - before; n > 0 {
			t.Errorf("a stop that hangs was extended %d times", n)
		}
		haltA()
		for _, l := range n.loops {
			_ = l.Until(func(context.Context) error { return nil })(t.Context())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if o.heard("EXTEND_TIMEOUT_USEC=60000000") != 1 {
			t.Errorf("no time to close what comes after the last loop: %v", o.list)
		}
		stop()
	})
}

// A service whose loop ends before it has turned was never ready.
func TestNotifierNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o told
		n := &Notifier{log: slog.New(slog.DiscardHandler), tell: o.tell, watch: true}
		l := n.Loop()
		stop := n.Start(t.Context(), func() string { return "" })
		_ = l.Until(func(context.Context) error { return errors.New("no") })(t.Context())
		time.Sleep(time.Minute)
		stop()
		if o.heard("READY") > 0 || o.heard("WATCHDOG") > 0 {
			t.Errorf("%v", o.list)
		}
	})
}
