package window

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// TestRecent: what is kept is without a gap and bounded, and nothing of a book that went
// back is shown.
func TestRecent(t *testing.T) {
	r := newRecent()
	fill := func(from uint64) (n int, next uint64, here bool) {
		p := page{left: 1 << 30}
		next, here, _ = r.fill(&p, from)
		return len(p.list), next, here
	}
	want := func(what string, from uint64, n int, next uint64, here bool) {
		t.Helper()
		if gotN, gotNext, gotHere := fill(from); gotN != n || gotNext != next || gotHere != here {
			t.Errorf("%s, from %d: %d records, next %d, here %v; want %d, %d, %v", what, from, gotN, gotNext, gotHere, n, next, here)
		}
	}
	want("nothing", 1, 0, 1, false)
	r.begin(10)
	want("begun", 9, 0, 9, false)
	want("begun", 10, 0, 10, true)
	for _, seq := range []uint64{10, 12, 13} { // 11 was rolled away
		r.take(seq, []byte(`{}`))
	}
	want("three", 10, 3, 14, true)
	want("three", 11, 2, 14, true)
	want("three", 14, 0, 14, true)
	want("three", 99, 0, 99, true)
	large := []byte(strings.Repeat("x", most/4))
	for seq := uint64(14); seq < 20; seq++ {
		r.take(seq, large)
	}
	want("bounded", 15, 0, 15, false)
	want("bounded", 16, 4, 20, true)
	if r.bytes > most {
		t.Errorf("%d bytes are kept", r.bytes)
	}
	r.take(17, []byte(`{}`)) // the book went back
	want("back", 16, 0, 16, false)
	want("back", 17, 1, 18, true)
}

// TestBusy: who finds no seat is told so at once, whether it would wait or read; and a
// seat that was given back is free again.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := open()
		w.recent.begin(5)
		begun := time.Now()
		codes := func(n int, subject, body string) map[string]int {
			out := map[string]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					var r reply
					_ = json.Unmarshal(w.answer(t.Context(), subject, []byte(body)), &r)
					mu.Lock()
					defer mu.Unlock()
					if out[r.Code]++; r.Code == codeBusy && time.Since(begun) > 0 {
						t.Errorf("told busy after %v", time.Since(begun))
					}
				})
				synctest.Wait() // one after the other, so that each finds those before it
			}
			wg.Wait()
			return out
		}
		wait := fleet.WindowSubject(fleet.WindowRecords)
		if got := codes(mostWaiting+5, wait, `{"seq":5,"wait":true}`); got[codeBusy] != 5 || got[""] != mostWaiting {
			t.Error(got)
		}
		if took := time.Since(begun); took != waitFor {
			t.Errorf("they waited %v", took)
		}
		begun = time.Now()
		w.p.Told = func(ctx context.Context) (uint64, error) { <-ctx.Done(); return 0, ctx.Err() }
		if got := codes(mostAtWork+5, fleet.WindowSubject(fleet.WindowTold), "{}"); got[codeBusy] != 5 || got[codeNoAnswer] != mostAtWork {
			t.Error(got)
		}
		begun = time.Now()
		w.p.Book = slow{s}
		if got := codes(mostOlder+5, wait, `{"seq":1}`); got[codeBusy] != 5 {
			t.Error(got)
		}
		if w.work+w.waits+w.old != 0 {
			t.Errorf("%d, %d and %d seats are still taken", w.work, w.waits, w.old)
		}
	})
}

// slow reads nothing.
type slow struct{ Book }

func (slow) Follow(ctx context.Context, _ uint64, _ func(fleet.Record), _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// A request that waits is answered when its controller stops.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w := open()
		w.recent.begin(5)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan reply)
		begun := time.Now()
		go func() {
			var r reply
			_ = json.Unmarshal(w.answer(ctx, fleet.WindowSubject(fleet.WindowRecords), []byte(`{"seq":7,"wait":true}`)), &r)
			done <- r
		}()
		synctest.Wait()
		cancel()
		if r := <-done; r.Code != "" || r.Next != 7 || time.Since(begun) > 0 {
			t.Errorf("%+v after %v", r, time.Since(begun))
		}
	})
}
