package queue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

func claimOf(e fleet.Entry) fleet.Record { return fleet.Record{Entry: e, IsClaim: true} }

// raw is a client of the broker that knows nothing of the shop.
func raw(t *testing.T, b *brokertest.Broker) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(b), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// TestBookCompares: an act is written behind the last act or not at all, a state
// behind the last of its order, and neither stands in the other's way.
func TestBookCompares(t *testing.T) {
	ctx := t.Context()
	s := brokertest.Start(t).Connect("one").Book()
	if _, err := s.Read(ctx, id); !errors.Is(err, fleet.ErrNotFound) {
		t.Fatalf("read of nothing: %v", err)
	}
	refill := fleet.Record{Stock: &fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": 100}, Key: "k"}}
	first, err := s.Act(ctx, refill, 0)
	if err != nil || first.Seq != 1 || first.Rec == "" {
		t.Fatal(first, err)
	}
	if _, err := s.Act(ctx, claimOf(entryN(0)), 0); !errors.Is(err, fleet.ErrConflict) {
		t.Fatalf("an act behind none, where there is one: %v", err)
	}
	zero, err := s.Act(ctx, claimOf(entryN(0)), first.Seq)
	if err != nil {
		t.Fatal(err)
	}
	one, err := s.Act(ctx, claimOf(entryN(1)), zero.Seq)
	if err != nil {
		t.Fatal(err)
	}
	// A state moves neither the acts nor another order.
	owner := fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}
	taken, err := entryN(0).Take(owner)
	if err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Next(ctx, zero, taken)
	if err != nil || claimed.Phase != fleet.Claimed || claimed.Seq != one.Seq+1 || claimed.Rec == zero.Rec || !claimed.Written.IsZero() {
		t.Fatal(claimed, err)
	}
	if _, err := s.Next(ctx, zero, taken); !errors.Is(err, fleet.ErrConflict) {
		t.Fatalf("a state behind one that is no more the last: %v", err)
	}
	if _, err := s.Act(ctx, refill, one.Seq); err != nil {
		t.Fatalf("an act behind the last act, states between: %v", err)
	}
	other, err := entryN(1).Take(owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(ctx, one, other); err != nil {
		t.Fatalf("a state of another order, acts and states between: %v", err)
	}
	got, err := s.Read(ctx, id)
	if err != nil || got.Revision != claimed.Revision || !reflect.DeepEqual(got.Claim, claimed.Claim) {
		t.Fatalf("%+v %v", got, err)
	}
	now, err := s.Now(ctx)
	if age := now.Sub(got.Written); err != nil || age < 0 || age > time.Minute {
		t.Fatalf("age %v, %v", age, err)
	}
	history, err := s.History(ctx, id)
	if err != nil || len(history) != 2 || history[0].Revision != zero || history[1].Revision != claimed.Revision {
		t.Fatalf("%+v %v", history, err)
	}
	if none, err := s.History(ctx, orderN(7).ID); err != nil || len(none) != 0 {
		t.Fatalf("%+v %v", none, err)
	}
	at, err := s.At(ctx, first.Seq)
	if err != nil || !at.Act || at.IsClaim || at.Revision != first || !reflect.DeepEqual(at.Stock, refill.Stock) {
		t.Fatalf("%+v %v", at, err)
	}
	for _, seq := range []uint64{0, 99} {
		if _, err := s.At(ctx, seq); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("record %d: %v", seq, err)
		}
	}
	if _, err := s.Act(ctx, fleet.Record{}, 0); err == nil || errors.Is(err, fleet.ErrConflict) {
		t.Errorf("a record that says nothing: %v", err)
	}
}

// TestRefusalsRoll: one record of refusals stands in the book, and it is an act.
func TestRefusalsRoll(t *testing.T) {
	ctx := t.Context()
	s := brokertest.Start(t).Connect("one").Book()
	var r fleet.Refusals
	var last fleet.Revision
	for i := range 3 {
		r = r.With(fleet.Refusal{Order: orderN(i).ID, Answer: fleet.Sorry(orderN(i).ID, fleet.CodeQueueFull, "full"), At: time.Now()}, func(fleet.Refusal) bool { return false })
		var err error
		if last, err = s.Act(ctx, fleet.Record{Refusals: &r}, last.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Act(ctx, claimOf(entryN(0)), last.Seq-1); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("an order decided before the refusal: %v", err)
	}
	var seen []fleet.Record
	follow, stop := context.WithCancel(ctx)
	if err := s.Follow(follow, 0, func(r fleet.Record) { seen = append(seen, r) }, stop); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].Revision != last || len(seen[0].Refusals.List) != 3 || !seen[0].Act {
		t.Errorf("%+v", seen)
	}
	if _, err := s.At(ctx, last.Seq-1); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a refusal that was rolled away: %v", err)
	}
}

// TestBookIsUnsure: without an answer nobody knows, and what was sent was sent
// once.
func TestBookIsUnsure(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		link := b.Link()
		deaf := false
		var mu sync.Mutex
		link.Filter = func(toBroker bool, p []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if deaf && !toBroker {
				return nil
			}
			return p
		}
		s := b.ConnectOver("one", link).Book()
		zero, err := s.Act(ctx, claimOf(entryN(0)), 0)
		if err != nil {
			t.Fatal(err)
		}
		hear := func(on bool) {
			mu.Lock()
			deaf = !on
			mu.Unlock()
		}
		hear(false)
		if _, err := s.Act(ctx, claimOf(entryN(1)), zero.Seq); !errors.Is(err, fleet.ErrNoAnswer) || errors.Is(err, fleet.ErrConflict) {
			t.Errorf("an act whose answer got lost: %v", err)
		}
		if _, err := s.Read(ctx, id); !errors.Is(err, fleet.ErrNoAnswer) || errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("a read whose answer got lost: %v", err)
		}
		hear(true) // a client that dials holds its lock, and time stands still
		there := b.Connect("two").Book()
		if h, err := there.History(ctx, orderN(1).ID); err != nil || len(h) != 1 {
			t.Errorf("%d records, %v", len(h), err)
		}
		taken, _ := entryN(0).Take(fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"})
		b.Stop()
		if _, err := there.Next(ctx, zero, taken); !errors.Is(err, fleet.ErrNoAnswer) || errors.Is(err, fleet.ErrConflict) {
			t.Errorf("a state without broker: %v", err)
		}
		if _, err := there.At(ctx, 1); !errors.Is(err, fleet.ErrNoAnswer) || errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("a record without broker: %v", err)
		}
		if _, err := there.LastBalance(ctx); !errors.Is(err, fleet.ErrNoAnswer) || errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("the balance without broker: %v", err)
		}
		// What was sent into a broken link must not arrive when it is whole again.
		b.Again()
		brokertest.Eventually(t, "the broker", func() bool { _, err := there.Now(ctx); return err == nil })
		if h, err := there.History(ctx, id); err != nil || len(h) != 1 {
			t.Errorf("%d records, %v: a write outlived its connection", len(h), err)
		}
	})
}

// TestBookEdges: where it begins, is balanced, and is trimmed.
func TestBookEdges(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		s := b.Connect("one").Book()
		begin := time.Now()
		since := func(at time.Time, want uint64) {
			t.Helper()
			if got, err := s.Since(ctx, at); err != nil || got != want {
				t.Errorf("since %v: %d, %v; wanted %d", at.Sub(begin), got, err, want)
			}
		}
		since(begin, 1)
		if _, err := s.LastBalance(ctx); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("no balance: %v", err)
		}
		var last fleet.Revision
		act := func(r fleet.Record) {
			t.Helper()
			time.Sleep(time.Hour)
			var err error
			if last, err = s.Act(ctx, r, last.Seq); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 4 {
			act(claimOf(entryN(i)))
		}
		bal := &fleet.Balance{Upto: last.Seq, Acts: last.Seq, Levels: map[string]fleet.Level{"arabica": {OnHand: 3}}}
		act(fleet.Record{Balance: bal})
		act(claimOf(entryN(4)))
		since(begin.Add(-time.Hour), 1)
		since(begin.Add(90*time.Minute), 2)
		since(begin.Add(6*time.Hour), 6)
		since(begin.Add(7*time.Hour), 7)
		got, err := s.LastBalance(ctx)
		if err != nil || got.Seq != 5 || !reflect.DeepEqual(got.Balance, bal) || !got.Act {
			t.Fatalf("%+v %v", got, err)
		}
		for range 2 {
			if err := s.Trim(ctx, 4); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.Trim(ctx, 0), s.Trim(ctx, 1)); err != nil {
			t.Fatal(err)
		}
		since(begin, 4)
		if _, err := s.Read(ctx, orderN(2).ID); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("an order that was trimmed: %v", err)
		}
		if _, err := s.Read(ctx, orderN(3).ID); err != nil {
			t.Errorf("the order at the edge: %v", err)
		}
		act(claimOf(entryN(0))) // acts go on behind the last one
		if last.Seq != 7 {
			t.Errorf("sequence %d", last.Seq)
		}
	})
}

// TestFollowGoesOn: a follower misses nothing and gets nothing twice over a
// restart of the broker.
func TestFollowGoesOn(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		s := b.Connect("one").Book()
		var last fleet.Revision
		n := 0
		act := func() {
			t.Helper()
			brokertest.Eventually(t, "an act", func() bool {
				rev, err := s.Act(t.Context(), claimOf(entryN(n)), last.Seq)
				if err == nil {
					last = rev
					n++
				}
				return err == nil
			})
		}
		act()
		act()
		ctx, stop := context.WithCancel(t.Context())
		got := make(chan uint64, 10)
		ready := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { s.Follow(ctx, 2, func(r fleet.Record) { got <- r.Seq }, func() { close(ready) }) })
		<-ready
		for want := uint64(2); want < 6; want++ {
			if seq := <-got; seq != want {
				t.Fatalf("record %d, wanted %d", seq, want)
			}
			if want == 3 {
				b.Restart()
			}
			act()
		}
		stop()
		wg.Wait()
	})
}

// TestFollowLongAndRemoved: a follower reads more than it asks for at one time, and reads
// on when somebody has removed its consumer.
func TestFollowLongAndRemoved(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		var log said
		c, err := queue.Connect(t.Context(), queue.Config{Name: "one", InProcess: b, Log: log.log()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s := c.Book()
		last := uint64(0)
		act := func() {
			t.Helper()
			rev, err := s.Act(t.Context(), claimOf(entryN(int(last))), last)
			if err != nil {
				t.Fatal(err)
			}
			last = rev.Seq
		}
		for range 1200 {
			act()
		}
		ctx, stop := context.WithCancel(t.Context())
		var seen atomic.Uint64
		ready := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			s.Follow(ctx, 1, func(r fleet.Record) {
				if !seen.CompareAndSwap(r.Seq-1, r.Seq) {
					t.Errorf("record %d after %d", r.Seq, seen.Load())
				}
			}, func() { close(ready) })
		})
		<-ready
		for removed := range 3 {
			act()
			brokertest.Eventually(t, "the follower", func() bool { return seen.Load() == last })
			time.Sleep(70 * time.Second) // two pulls end by their time
			if n := strings.Count(log.String(), "begins anew"); n != removed {
				t.Errorf("it began anew %d times, and was removed %d times:\n%s", n, removed, log.String())
			}
			names, err := c.Requester().Request(t.Context(), "$JS.API.CONSUMER.NAMES."+fleet.StreamBook, nil)
			var list struct {
				Consumers []string `json:"consumers"`
			}
			if err != nil || json.Unmarshal(names, &list) != nil || len(list.Consumers) != 1 {
				t.Fatalf("%v %s", err, names)
			}
			if _, err := c.Requester().Request(t.Context(), "$JS.API.CONSUMER.DELETE."+fleet.StreamBook+"."+list.Consumers[0], nil); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		wg.Wait()
	})
}

// TestUnreadableRecord: what can't be read is handed over empty, counts for
// nothing, is said once, and never taken for "there is none".
func TestUnreadableRecord(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	nc := raw(t, b)
	var words bytes.Buffer
	c, err := queue.Connect(ctx, queue.Config{Name: "one", InProcess: b, Log: slog.New(slog.NewTextHandler(&words, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.Book()
	good, err := s.Act(ctx, claimOf(entryN(0)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ subject, body string }{
		{fleet.StateSubject(id), "{"},
		{fleet.ActSubject(0, "stock"), `{"act":`},
		{fleet.ActSubject(0, "balance"), `[]`},
		{fleet.StateSubject(id), `{"phase":"odd","order":{"id":"` + id + `"},"epoch":1,"rec":"x"}`},
		{fleet.StateSubject(id), `{"phase":"served","order":{"id":"` + orderN(1).ID + `"},"epoch":1,"rec":"x"}`},
		{fleet.StateSubject(id), `{"phase":"served","order":{"id":"` + id + `"},"epoch":1}`},
	} {
		// Not Request: it takes a timer of the process, which may be one of a bubble's.
		if m, err := nc.RequestWithContext(ctx, bad.subject, []byte(bad.body)); err != nil || !strings.Contains(string(m.Data), `"seq"`) {
			t.Fatal(err, m)
		}
	}
	for range 2 {
		var seen []fleet.Record
		follow, stop := context.WithCancel(ctx)
		s.Follow(follow, 1, func(r fleet.Record) { seen = append(seen, r) }, stop)
		if len(seen) != 7 || seen[0].Revision != good {
			t.Fatalf("%+v", seen)
		}
		for i, r := range seen[1:] {
			if r.IsClaim || r.Stock != nil || r.Refusals != nil || r.Balance != nil || r.Seq != uint64(i+2) || r.Rec != "" || r.Act != (i == 1 || i == 2) || r.Written.IsZero() {
				t.Errorf("record %d: %+v", i+2, r)
			}
		}
	}
	if _, err := s.Read(ctx, id); !errors.Is(err, fleet.ErrDamaged) || errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an order whose last record can't be read: %v", err)
	}
	if _, err := s.LastBalance(ctx); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a balance that can't be read, and nothing was removed: %v", err)
	}
	if h, err := s.History(ctx, id); err != nil || len(h) != 1 {
		t.Errorf("%+v %v", h, err)
	}
	if err := s.Trim(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LastBalance(ctx); !errors.Is(err, fleet.ErrDamaged) {
		t.Errorf("a balance that can't be read, and what was before it is gone: %v", err)
	}
	if n := strings.Count(words.String(), "can't be read and counts for nothing"); n != 6 {
		t.Errorf("said %d times, wanted once for each of 6", n)
	}
}

// TestLeaves: whoever writes, and wherever a balance turns the leaf between: each
// act stands behind the one that its writer took for the last, and one that is
// written in between is refused.
func TestLeaves(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	const writers, each = 4, 60
	var wg sync.WaitGroup
	for w := range writers {
		s := b.Connect(fmt.Sprint("w", w)).Book()
		if w == 0 {
			wg.Go(func() { // it knows only what it wrote itself, and asks
				for n, last := 0, uint64(0); n < each; {
					if rev, err := s.Act(ctx, actBehind(last, n%7 == 0), last); err == nil {
						n, last = n+1, rev.Seq
					} else if errors.Is(err, fleet.ErrConflict) {
						last++ // some of these are states, rolled away, or not there yet
						if _, err := s.At(ctx, last); err != nil {
							last = 0
						}
					} else {
						t.Error(err)
						return
					}
				}
			})
			continue
		}
		follow, stop := context.WithCancel(ctx)
		var last atomic.Uint64
		wg.Go(func() {
			s.Follow(follow, 1, func(r fleet.Record) {
				if r.Act {
					last.Store(r.Seq)
				}
			}, nil)
		})
		wg.Go(func() {
			defer stop()
			for n := 0; n < each; {
				seen := last.Load()
				switch rev, err := s.Act(ctx, actBehind(seen, n%5 == 0), seen); {
				case err == nil:
					n++
					brokertest.Eventually(t, "the follower", func() bool { return last.Load() >= rev.Seq })
				case !errors.Is(err, fleet.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	before, acts, turned := uint64(0), 0, 0
	follow, stop := context.WithCancel(ctx)
	b.Connect("reader").Book().Follow(follow, 1, func(r fleet.Record) {
		behind := uint64(0)
		switch {
		case r.Balance != nil:
			behind, turned = r.Balance.Upto, turned+1
		case r.Stock != nil:
			behind = uint64(r.Stock.Items["behind"])
		}
		if behind != before {
			t.Errorf("act %d was decided behind %d, and stands behind %d", r.Seq, behind, before)
		}
		before, acts = r.Seq, acts+1
	}, stop)
	if acts != writers*each || turned < writers*each/7 {
		t.Errorf("%d acts, %d leaves", acts, turned)
	}
}

// actBehind is an act, or a balance, that says which act it was decided behind.
func actBehind(last uint64, balance bool) fleet.Record {
	if balance {
		return fleet.Record{Balance: &fleet.Balance{Upto: last}}
	}
	return fleet.Record{Stock: &fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"behind": int(last)}}}
}
