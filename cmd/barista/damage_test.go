package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"barista/cmd/barista/reach"
	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/controller"
	"barista/fleet/ledger"
	"barista/fleet/presence"
	"barista/fleet/queue"
	"barista/fleet/stock"
)

// TestLostMessagesAreFound damages the store of the queue while the broker is
// off, so that accepted orders vanish without a word of the broker. The book
// knows them: they are published anew.
func TestLostMessagesAreFound(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	customer := b.Connect("customer")
	if err := customer.Fleet().Announce(ctx, fleet.Presence{
		Machine: "zoe", Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: fleet.StateReady,
	}); err != nil {
		t.Fatal(err)
	}
	c := openController(t, ctx, b.Connect("shop"))
	const n = 5
	for i := range n {
		o := fleet.Order{ID: testID(i), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: "free"}
		brokertest.Eventually(t, "an accepted order", func() bool { return c.Place(ctx, o.Encode(), "test").OK() })
	}
	brokertest.Eventually(t, "all orders in the queue", func() bool { return queued(t, customer) == n })
	b.Stop()
	blocks, err := filepath.Glob(filepath.Join(b.Store(), "jetstream", "*", "streams", fleet.StreamOrders, "msgs", "*"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no message blocks in %s: %v", b.Store(), err)
	}
	for _, f := range blocks {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(f) != ".blk" {
			os.Remove(f) // the index
			continue
		}
		raw[len(raw)/3] ^= 0x40
		if err := os.WriteFile(f, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.Again()
	var lost int
	brokertest.Eventually(t, "the broker", func() bool {
		list, err := customer.Orders().Stored(ctx)
		lost = n - len(list)
		return err == nil
	})
	if lost == 0 {
		t.Fatal("the damage took nothing: the test is blind")
	}
	t.Logf("the damage took %d of %d orders, and the broker said nothing", lost, n)
	brokertest.Eventually(t, "all orders in the queue again", func() bool { return queued(t, customer) == n })
	stop()
}

// queued counts the different orders in the queue.
func queued(t *testing.T, c *queue.Conn) int {
	list, err := c.Orders().Stored(t.Context())
	if err != nil {
		return -1
	}
	ids := map[string]bool{}
	for _, s := range list {
		ids[s.Order] = true
	}
	return len(ids)
}

// openController runs a controller and a stock that look over their work more
// often than in a shop.
func openController(t *testing.T, ctx context.Context, c *queue.Conn) *controller.Controller {
	book := ledger.New(ledger.Parts{Book: c.Book(), Shelf: stock.NewShelf(nil)}, ledger.Config{})
	s := stock.New(stock.Parts{Ledger: book, Settings: c.Settings()}, stock.Config{Initial: fleet.Items{"arabica": 1000}})
	roll := presence.New(reach.Seen(c, nil))
	ctl := controller.New(controller.Parts{
		Book: c.Book(), Ledger: book, Orders: c.Orders(), Events: c.Events(), Settings: c.Settings(), Roll: roll, Server: c.Server(),
	}, controller.Config{SweepAfter: 2 * time.Second})
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{book.Run, s.Run, roll.Run, ctl.Run} {
		running.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(running.Wait)
	return ctl
}
