package ledger

import (
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// TestRead: a verb sees what is not over, however old, and what ended within a day;
// it reads no more of the book than that takes.
func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		look := func(what string, want ...int) []fleet.Entry {
			t.Helper()
			got, err := Read(ctx, p)
			must(t, err)
			var ids []string
			for _, n := range want {
				ids = append(ids, idN(n))
			}
			for i, e := range got {
				if i >= len(ids) || e.Order.ID != ids[i] {
					t.Fatalf("%s: %s is at %d, wanted %v", what, e.Order.ID, i, want)
				}
				if last, _ := p.Read(ctx, e.Order.ID); last.Revision != e.Revision {
					t.Errorf("%s: %s is at %v, and stands at %v", what, e.Order.ID, e.Revision, last.Revision)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d orders, wanted %v", what, len(got), want)
			}
			return got
		}
		look("an empty book")
		l, stop := running(t, p, Config{}, nil)
		defer stop()
		must(t, put(ctx, l, fleet.Refill, "arabica", 900_000))
		for n := range 4 {
			must(t, place(ctx, l, n))
			must(t, next(ctx, l, p, n, fence))
		}
		must(t, next(ctx, l, p, 1, made))
		must(t, next(ctx, l, p, 2, park))
		look("no balance yet", 0, 3, 1, 2)
		must(t, l.balance(ctx, 1))
		time.Sleep(Recent + time.Minute)
		must(t, next(ctx, l, p, 3, made))
		look("a day later", 0, 2, 3)
		for n := range maxRecent + 5 {
			must(t, place(ctx, l, 10+n))
			must(t, next(ctx, l, p, 10+n, fence))
			must(t, next(ctx, l, p, 10+n, made))
		}
		got, err := Read(ctx, p)
		must(t, err)
		if len(got) != maxRecent+2 || got[0].Order.ID != idN(0) || got[1].Order.ID != idN(2) || got[2].Order.ID != idN(15) {
			t.Errorf("%d orders, the first: %v", len(got), got[:3])
		}
		synctest.Wait()
		must(t, l.balance(ctx, 1))
		time.Sleep(2 * Recent)
		must(t, next(ctx, l, p, 0, made))
		p.mu.Lock()
		p.reads = 0
		p.mu.Unlock()
		look("two days later", 2, 0)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.reads > 5 {
			t.Errorf("%d records were read", p.reads)
		}
	})
}
