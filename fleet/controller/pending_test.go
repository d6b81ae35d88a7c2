package controller

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// TestPending: the number of waiting messages is written when it has changed, at
// most every five seconds, with what a machine settles after its last record; an
// idle shop writes nothing and asks for little.
func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		var (
			mu    sync.Mutex
			calls []string
			at    []time.Time
		)
		w := s.wire(func(call string) fault {
			mu.Lock()
			defer mu.Unlock()
			if calls = append(calls, call); call == "pending" {
				at = append(at, time.Now())
			}
			return none
		})
		c, stop := w.open(t, func(p *Parts, _ *Config) {
			p.IntakeWaiting = func(context.Context) (int, error) { return 3, nil }
		})
		defer stop()
		time.Sleep(2 * time.Minute)
		want := func(n ...int) {
			t.Helper()
			s.mu.Lock()
			defer s.mu.Unlock()
			if d := cmp.Diff(n, s.pending); d != "" {
				t.Error(d)
			}
		}
		said := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.pending[len(s.pending)-1]
		}
		want(3)
		mu.Lock()
		calls = nil
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		if n := len(calls); n > 10*(2+2)+2 || slices.Contains(calls, "pending") || slices.Contains(calls, "event") {
			t.Errorf("an idle shop made %d calls in ten minutes: %v", n, calls)
		}
		mu.Unlock()

		begin := time.Now()
		c.Place(t.Context(), order(id1).Encode(), "web")
		c.Place(t.Context(), order(id2).Encode(), "web")
		time.Sleep(11 * time.Second)
		if last := said(); last != 5 {
			t.Errorf("after 11 s it says %d", last)
		}
		// Served: its machine settles the message a moment later.
		brew(t, s, id1)
		if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, 20, nil) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		s.remove(id1)
		time.Sleep(12 * time.Second)
		if last := said(); last != 4 {
			t.Errorf("when it was settled, it says %d", last)
		}
		mu.Lock()
		defer mu.Unlock()
		for i := 1; i < len(at); i++ {
			if d := at[i].Sub(at[i-1]); d < pendingEvery {
				t.Errorf("written %v after the last, %v after the order", d, at[i].Sub(begin))
			}
		}
	})
}
