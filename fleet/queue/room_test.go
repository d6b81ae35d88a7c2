package queue_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// narrow lets the book hold so many bytes, as a small shop's is full after long.
func narrow(t *testing.T, js jetstream.JetStream, bytes int64) {
	t.Helper()
	cfg := configOf(t, js, fleet.StreamBook)
	cfg.MaxBytes = bytes
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// stuff fills the book to a part of what it may hold, with records that nobody knows.
func stuff(t *testing.T, js jetstream.JetStream, part float64) {
	t.Helper()
	for {
		st, err := js.Stream(t.Context(), fleet.StreamBook)
		if err != nil {
			t.Fatal(err)
		}
		info := st.CachedInfo()
		left := int(part*float64(info.Config.MaxBytes)) - int(info.State.Bytes) - 200
		if left <= 0 {
			return
		}
		if _, err := js.Publish(t.Context(), "coffee.book.now.filler", make([]byte, min(left, 60<<10))); err != nil {
			t.Fatal(err)
		}
	}
}

// troubles are the codes of what is wrong with the streams.
func troubles(c *queue.Conn) (out []string) {
	for _, t := range c.Troubles() {
		out = append(out, t.Code+" "+t.About)
	}
	return out
}

// TestReserve: a book that is nearly full takes no new order and no act of the
// stock, and says so for certain; what is there is brought to its end, and refusals
// are still told. One that is quite full says so, too.
func TestReserve(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		js, err := jetstream.New(raw(t, b))
		if err != nil {
			t.Fatal(err)
		}
		c := b.Connect("shop")
		book := c.Book()
		narrow(t, js, 1<<20)
		first, err := book.Act(ctx, claimOf(entryN(1)), 0)
		if err != nil {
			t.Fatal(err)
		}
		stuff(t, js, 0.85)
		time.Sleep(10 * time.Second)
		last, err := book.Act(ctx, claimOf(entryN(2)), first.Seq)
		if err != nil {
			t.Fatalf("an order in a book that is 85 %% full: %v", err)
		}
		stuff(t, js, 0.90)
		time.Sleep(10 * time.Second)
		for what, r := range map[string]fleet.Record{
			"an order": claimOf(entryN(3)), "a refill": {Stock: &fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": 1}, Key: "k"}},
		} {
			if _, err := book.Act(ctx, r, last.Seq); !errors.Is(err, fleet.ErrFull) || errors.Is(err, fleet.ErrNoAnswer) {
				t.Errorf("%s: %v", what, err)
			}
		}
		// What is there goes on: fenced, spoiled, made again, cancelled.
		owner := fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}
		at := fleet.Entry{Claim: entryN(1).Claim, Revision: first}
		for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
			func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(owner) },
			func(c fleet.Claim) (fleet.Claim, error) {
				return c.End(owner, fleet.Spoiled, fleet.Reason{}, 0, nil)
			},
		} {
			n, err := arrow(at.Claim)
			if err != nil {
				t.Fatal(err)
			}
			if at, err = book.Next(ctx, at.Revision, n); err != nil {
				t.Fatal(err)
			}
		}
		again, err := at.Remake()
		if err != nil {
			t.Fatal(err)
		}
		remade, err := book.Act(ctx, claimOf(fleet.Entry{Claim: again}), last.Seq)
		if err != nil {
			t.Errorf("a remake: %v", err)
		}
		refused := fleet.Refusals{List: []fleet.Refusal{{Order: orderN(3).ID, Answer: fleet.Sorry(orderN(3).ID, fleet.CodeQueueFull, "full")}}}
		told, err := book.Act(ctx, fleet.Record{Refusals: &refused}, remade.Seq)
		if err != nil {
			t.Errorf("a refusal: %v", err)
		}
		if got := troubles(c); len(got) != 1 || got[0] != "store_full coffee-book" || !c.Troubles()[0].Closed {
			t.Errorf("%q", got)
		}
		// The broker's own word for a full stream is certain.
		for {
			if _, err = js.Publish(ctx, "coffee.book.now.filler", make([]byte, 100)); err != nil {
				break
			}
		}
		stop, err := again.Stop(fleet.Cancelled, "ada", fleet.Reason{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := book.Next(ctx, remade, stop); !errors.Is(err, fleet.ErrFull) || errors.Is(err, fleet.ErrNoAnswer) {
			t.Errorf("a record in a book that is full: %v", err)
		}
		if now, err := book.Read(ctx, orderN(1).ID); err != nil || now.Revision != remade {
			t.Errorf("%+v %v", now, err)
		}
		// Old records went: there is room again, a moment later.
		if err := book.Trim(ctx, told.Seq); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if _, err := book.Act(ctx, claimOf(entryN(3)), told.Seq); err != nil {
			t.Errorf("with room again: %v", err)
		}
		if got := troubles(c); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

// TestFullIsSeenEarly: the looks of every minute see a stream fill, before anything
// is refused; a stream that discards by itself is never full.
func TestFullIsSeenEarly(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		js, err := jetstream.New(raw(t, b))
		if err != nil {
			t.Fatal(err)
		}
		c := b.Connect("shop")
		go c.Keep(t.Context(), fleet.DefaultMenu())
		time.Sleep(time.Second)
		narrow(t, js, 1<<20)
		stuff(t, js, 0.82)
		cfg := configOf(t, js, fleet.StreamEvents)
		cfg.MaxBytes = 10 << 10
		if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := js.Publish(t.Context(), "coffee.events.x.y", make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if got := troubles(c); len(got) != 1 || got[0] != "store_fills coffee-book" || c.Troubles()[0].Closed {
			t.Errorf("%q", got)
		}
	})
}

// TestRoomThatWasNotGiven: where the broker has no room for the book's new size, it is
// the size that it has which says how full it is.
func TestRoomThatWasNotGiven(t *testing.T) {
	b := brokertest.Start(t)
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	narrow(t, js, 1<<20)
	stuff(t, js, 0.9)
	b.Stop()
	b.Room(130 << 20)
	b.Again()
	c := b.Connect("shop")
	brokertest.Eventually(t, "a setup", func() bool {
		_, err = c.Setup(t.Context(), fleet.DefaultMenu())
		return !errors.Is(err, fleet.ErrNoAnswer)
	})
	if err != nil {
		t.Fatal(err)
	}
	if size := configOf(t, js, fleet.StreamBook).MaxBytes; size != 1<<20 {
		t.Fatalf("it was given %d bytes, the test is blind", size)
	}
	if got := troubles(c); !slices.Contains(got, "store_full coffee-book") {
		t.Errorf("%q", got)
	}
	if _, err := c.Book().Act(t.Context(), claimOf(entryN(1)), 0); !errors.Is(err, fleet.ErrFull) {
		t.Errorf("an order in its reserve: %v", err)
	}
}
