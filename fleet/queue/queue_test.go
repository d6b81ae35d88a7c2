package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

func TestMain(m *testing.M) {
	brokertest.BeServer()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		// The server's own: where a copy of a site is taken away it asks the site to forget its
		// reader, and waits for ten seconds, also when it has been shut down.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).tryDeleteSourcingConsumer.func1"))
}

const id = "01JD0000000000000000000000"

func orderN(n int) fleet.Order {
	return fleet.Order{ID: fmt.Sprintf("01JD%022d", n), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: "free"}
}

var arabica = fleet.Class{Bean: "arabica", Milk: "free"}

// entryN is an accepted order as the book holds it.
func entryN(n int) fleet.Entry {
	return fleet.Entry{Claim: fleet.Create(orderN(n), fleet.Items{"arabica": 9}, fleet.Success(orderN(n).ID), "request"), Revision: fleet.Revision{Seq: uint64(n + 1), Rec: "W"}}
}

// put stores an accepted order in the queue.
func put(t *testing.T, o fleet.Orders, n int, messageID string) {
	t.Helper()
	if err := o.Publish(context.Background(), entryN(n), messageID); err != nil {
		t.Error(n, err)
	}
}

func TestQueueFullAndUnlisted(t *testing.T) {
	ctx := t.Context()
	o := brokertest.Start(t).Connect("one").Orders()
	const room = 2 * fleet.QueueMax
	for i := range room {
		put(t, o, i, orderN(i).ID)
	}
	put(t, o, 3, orderN(3).ID) // again with the same id: no error, and no second one
	if err := o.Publish(ctx, entryN(900), "x"); !errors.Is(err, fleet.ErrFull) {
		t.Fatalf("full queue: %v", err)
	}
	odd := entryN(901)
	odd.Order.Bean = "chocolate"
	if err := o.Publish(ctx, odd, "y"); !errors.Is(err, fleet.ErrUnlisted) {
		t.Fatalf("unlisted class: %v", err)
	}
	w, err := o.Waiting(ctx)
	if err != nil || w[arabica] != room {
		t.Fatal(w, err)
	}
	list, err := o.Stored(ctx)
	if err != nil || len(list) != room {
		t.Fatal(len(list), err)
	}
	s := list[7]
	if got, err := fleet.DecodeOrder(s.Body, func(s string) string { return s }); err != nil || got != orderN(7) {
		t.Errorf("body %s, %v", s.Body, err)
	}
	if s.Order != orderN(7).ID || s.MessageID != orderN(7).ID || s.Portion["arabica"] != 9 || s.Class != arabica || s.Stored.IsZero() {
		t.Errorf("stored as %+v", s)
	}
}

// TestGiven: what a machine has is told from what nobody has had yet.
func TestGiven(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	c := b.Connect("one")
	o := c.Orders()
	for i := range 3 {
		put(t, o, i, orderN(i).ID)
	}
	for want := range uint64(3) {
		given, err := o.Given(ctx)
		if err != nil || given[arabica] != want || len(given) != len(fleet.DefaultMenu().Classes()) {
			t.Fatalf("%d were taken: %v %v", want, given, err)
		}
		if _, err := c.Tickets().Next(ctx, []fleet.Class{arabica}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSetupIsRepeatable(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	c := b.Connect("one")
	menu := fleet.DefaultMenu()
	if _, err := c.Setup(ctx, menu); err != nil {
		t.Fatalf("the same again: %v", err)
	}
	o := c.Orders()
	put(t, o, 1, "1")
	menu.Beans = []string{"decaf"} // grows by three classes; arabica/free is not empty and stays
	if _, err := c.Setup(ctx, menu); err != nil {
		t.Fatal(err)
	}
	if err := o.Publish(ctx, entryN(2), "2"); err != nil {
		t.Fatalf("a class that held an order left: %v", err)
	}
	r := entryN(3)
	r.Order.Bean = "robusta"
	if err := o.Publish(ctx, r, "3"); !errors.Is(err, fleet.ErrUnlisted) {
		t.Fatalf("an empty class stayed: %v", err)
	}
}

func TestTicketLife(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		c := b.Connect("one")
		o, tk := c.Orders(), c.Tickets()
		begin := time.Now()
		time.AfterFunc(5300*time.Millisecond, func() { put(t, o, 1, "m1") })
		a, err := tk.Next(ctx, []fleet.Class{arabica}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 5300*time.Millisecond || took > 5500*time.Millisecond {
			t.Errorf("woken after %v, the order came at 5.3s", took)
		}
		if a.Portion["arabica"] != 9 || a.Created != entryN(1).Revision {
			t.Errorf("portion %v, created %v", a.Portion, a.Created)
		}
		if a.MessageID != "m1" || a.Delivered != 1 || a.Class != arabica {
			t.Fatalf("%+v", a)
		}
		// Given back with a delay, it comes to another after that.
		begin = time.Now()
		if err := a.Return(ctx, 3*time.Second); err != nil {
			t.Fatal(err)
		}
		two := b.Connect("two").Tickets()
		bk, err := two.Next(ctx, []fleet.Class{arabica}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("came back after %v, wanted 3s and at most one look more", took)
		}
		// Beats keep it for longer than AckWait.
		for range 8 {
			time.Sleep(fleet.BeatEvery)
			if err := bk.Beat(); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if x, err := tk.Next(short, []fleet.Class{arabica}, nil); err == nil {
			t.Fatalf("a second holder of %s although it was renewed", x.MessageID)
		}
		// After a silence only the end of a drink is sent.
		time.Sleep(fleet.AckWait + time.Second)
		if err := bk.Beat(); err != fleet.ErrStale {
			t.Errorf("beat after a silence: %v", err)
		}
		if err := bk.Return(ctx, 0); err != fleet.ErrStale {
			t.Errorf("return after a silence: %v", err)
		}
		if err := bk.Terminate(ctx, "x", false); err != fleet.ErrStale {
			t.Errorf("drop after a silence: %v", err)
		}
		again, err := tk.Next(ctx, []fleet.Class{arabica}, nil)
		if err != nil || again.Delivered < 3 {
			t.Fatal(again, err)
		}
		if err := bk.Done(ctx); err != nil {
			t.Errorf("done after a silence: %v", err)
		}
		if w, _ := o.Waiting(ctx); w[arabica] != 0 {
			t.Errorf("still waiting: %v", w)
		}
		if err := again.Terminate(ctx, "the message is gone already", true); err != nil {
			t.Errorf("drop of a message that is gone: %v", err)
		}
	})
}

// TestSweepStrandsNothing lets many orders arrive while pulls come and go.
func TestSweepStrandsNothing(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		c := b.Connect("one")
		o := c.Orders()
		classes := fleet.DefaultMenu().Classes()
		const n = 150
		begin := time.Now()
		go func() {
			for i := range n {
				e := entryN(i)
				e.Order.Bean, e.Order.Milk = classes[i%9].Bean, classes[i%9].Milk
				if err := o.Publish(context.Background(), e, e.Order.ID); err != nil {
					t.Error(err)
				}
				time.Sleep(7 * time.Millisecond)
			}
		}()
		var mu sync.Mutex
		seen := map[string]int{}
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				tk := b.Connect(fmt.Sprint("w", w)).Tickets()
				for {
					// Every pull gets only a moment, so that most are given up.
					ctx, cancel := context.WithTimeout(t.Context(), 11*time.Millisecond)
					x, err := tk.Next(ctx, classes, nil)
					cancel()
					if err == nil {
						if err := x.Done(t.Context()); err != nil {
							t.Error(err)
						}
						mu.Lock()
						seen[x.MessageID]++
						mu.Unlock()
					}
					mu.Lock()
					all := len(seen)
					mu.Unlock()
					if all == n || time.Since(begin) > time.Minute {
						return
					}
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); len(seen) != n || took > 5*time.Second {
			t.Errorf("%d of %d in %v", len(seen), n, took)
		}
		for id, k := range seen {
			if k != 1 {
				t.Errorf("%s came %d times", id, k)
			}
		}
	})
}

func TestNoClassStarves(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		c := b.Connect("one")
		o, tk := c.Orders(), c.Tickets()
		other := entryN(1000)
		other.Order.Bean = "robusta"
		for i := range 50 {
			put(t, o, i, orderN(i).ID)
			if i == 3 {
				o.Publish(ctx, other, other.Order.ID)
			}
		}
		for i := range 51 {
			x, err := tk.Next(ctx, []fleet.Class{arabica, other.Order.Class()}, nil)
			if err != nil {
				t.Fatal(err)
			}
			x.Done(ctx)
			time.Sleep(time.Second)
			if x.MessageID == other.Order.ID {
				if i > 4 {
					t.Errorf("the lone robusta came as number %d", i+1)
				}
				return
			}
		}
		t.Error("the lone robusta never came")
	})
}

func TestSpareWaitsUntilItIsWanted(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		c := b.Connect("one")
		o, tk := c.Orders(), c.Tickets()
		for i := range 3 {
			put(t, o, i, orderN(i).ID)
		}
		var wanted atomic.Bool
		waiting := func() bool { return wanted.Load() }
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		if x, err := tk.Next(short, []fleet.Class{arabica}, waiting); err == nil {
			t.Fatalf("took %s while it was not wanted", x.MessageID)
		}
		cancel()
		time.AfterFunc(3*time.Second, func() { wanted.Store(true) })
		begin := time.Now()
		if _, err := tk.Next(ctx, []fleet.Class{arabica}, waiting); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d < 3*time.Second || d > 5*time.Second+100*time.Millisecond {
			t.Errorf("it came after %v", d)
		}
	})
}

func TestSilentLinkDeliversElsewhere(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		link := b.Link()
		one := b.ConnectOver("one", link).Tickets()
		o := b.Connect("shop").Orders()
		put(t, o, 1, "m1")
		x, err := one.Next(ctx, []fleet.Class{arabica}, nil)
		if err != nil {
			t.Fatal(err)
		}
		link.Silence(true)
		begin := time.Now()
		y, err := b.Connect("two").Tickets().Next(ctx, []fleet.Class{arabica}, nil)
		if err != nil || y.MessageID != "m1" {
			t.Fatal(y, err)
		}
		if took := time.Since(begin); took > fleet.AckWait+2*time.Second {
			t.Errorf("the other got it after %v", took)
		}
		time.Sleep(time.Second)
		if err := x.Beat(); err != fleet.ErrStale {
			t.Errorf("beat of the silent one: %v", err)
		}
		synctest.Wait()
	})
}

func TestIntakeAndServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	b := brokertest.Start(t)
	c := b.Connect("shop")
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Server().Serve(ctx, fleet.SubjectRequests, true, func(_ context.Context, _ string, body []byte) []byte {
			return append([]byte("got "), body...)
		})
	})
	r := b.Connect("web").Requester()
	brokertest.Eventually(t, "the service", func() bool {
		got, err := r.Request(ctx, fleet.SubjectRequests, []byte("x"))
		return err == nil && string(got) == "got x"
	})
	if _, err := r.Request(ctx, "coffee.nobody", nil); !errors.Is(err, fleet.ErrNobody) {
		t.Errorf("request to nobody: %v", err)
	}
	stop()
	wg.Wait()
	_ = queue.StoreNeeded(500)
}
