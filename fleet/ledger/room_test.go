package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestRefusalsTakeNoRoom: whoever floods the shop with orders that it refuses fills
// neither the book nor its balances.
func TestRefusalsTakeNoRoom(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		book := b.Connect("shop").Book()
		l, stop := running(t, book, Config{Every: 50}, nil)
		defer stop()
		for n := range 300 {
			if err := place(ctx, l, n); !errors.Is(err, errShort) {
				t.Fatal(n, err)
			}
			time.Sleep(time.Second)
		}
		if n := len(everything(t, book)); n > 2 {
			t.Errorf("300 refusals left %d records", n)
		}
		must(t, put(ctx, l, fleet.Refill, "arabica", 100))
		must(t, place(ctx, l, 1000))
	})
}

// TestTheLargestBalance: a shop with all that it may have to say at once still takes
// its balances, and so its old records go.
func TestTheLargestBalance(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		book := b.Connect("shop").Book()
		l, stop := running(t, book, Config{Every: 1 << 20}, nil)
		defer stop()
		must(t, put(ctx, l, fleet.Refill, "arabica", 1_000_000))
		for n := range 2 * fleet.QueueMax { // as many wait as may, and as many are in doubt
			must(t, place(ctx, l, n))
		}
		for n := range maxRefusals {
			_, err := l.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
				return v.Refuse(idN(1000+n), fleet.Sorry(idN(1000+n), fleet.CodeNotOnMenu, "%s", strings.Repeat("a long word ", 10))), nil
			})
			must(t, err)
		}
		must(t, l.balance(ctx, 1))
		if r, err := book.LastBalance(ctx); err != nil || len(r.Balance.Open) != 2*fleet.QueueMax || len(r.Balance.Refusals.List) != maxRefusals {
			t.Errorf("%d open, %d refused, %v", len(r.Balance.Open), len(r.Balance.Refusals.List), err)
		}
	})
}
