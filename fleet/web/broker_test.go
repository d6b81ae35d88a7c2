package web

import (
	"strings"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
	"barista/fleet/window"
	"barista/fleet/window/windowtest"
)

// The fold over the real book: what stood in it, what comes after it, and steps and
// a percent that are never stored; and a page from an order's records alone. The book
// is read with a key that sees it, and through a controller's window.
func TestTheRealBook(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		realBook(t, brokertest.Start(t), func(c *queue.Conn) Book { return c.Book() })
	})
	t.Run("window", func(t *testing.T) {
		b := brokertest.Start(t)
		windowtest.Open(t, b, "controller", nil)
		realBook(t, b, func(c *queue.Conn) Book { return window.Remote(c.Requester()) })
	})
}

func realBook(t *testing.T, b *brokertest.Broker, bookOf func(*queue.Conn) Book) {
	conn := b.Connect("maker")
	book, maker := conn.Book(), conn.Events()
	_, err := book.Act(t.Context(), fleet.Record{Entry: fleet.Entry{Claim: ada(idA)}, IsClaim: true}, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := build(t)
	asker := b.Connect("web")
	h.web.Book, h.web.Live = bookOf(asker), asker.Events().FollowLive
	h.run()
	next := func(f arrow) {
		t.Helper()
		e, err := book.Read(t.Context(), idA)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f(e.Claim)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := book.Next(t.Context(), e.Revision, c); err != nil {
			t.Fatal(err)
		}
	}
	page := func() string { return text(t, h.ask("GET", h.web.pathOf(idA), "")) }
	contains(t, page(), "Thank you, Ada!", "Place in the queue")
	next(brewing("zoe"))
	h.until(func() bool { return strings.Contains(page(), "Zoe makes your coffee") })
	h.until(func() bool {
		maker.Live(fleet.Event{Order: idA, Kind: fleet.EvStep, Machine: "zoe", Epoch: 1, N: 1, Of: 2, Step: "grind"})
		maker.Live(fleet.Event{Order: idA, Kind: fleet.EvPercent, Machine: "zoe", Epoch: 1, Percent: 33})
		return strings.Contains(page(), `value="33"`)
	})
	contains(t, page(), "Step 1 of 2: Grinding")
	next(served("zoe"))
	h.until(func() bool { return strings.Contains(page(), "Your coffee is ready, Ada!") })

	forgetful := build(t)
	forgetful.web.Book = bookOf(asker) // and it is not running
	contains(t, text(t, forgetful.ask("GET", h.web.pathOf(idA), "")), "Your coffee is ready, Ada!")
	if s, _ := h.web.book.look(idA); time.Since(s.Accepted) > time.Minute {
		t.Errorf("accepted at %v", s.Accepted)
	}
}
