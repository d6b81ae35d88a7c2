package ledger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"barista/fleet"
)

const (
	// Recent is how long ago an order may have ended that Read lists.
	Recent = 25 * time.Hour
	// maxRecent bounds how many of those there are; the newest stay.
	maxRecent = 2000
)

// Looked is what Read asks of a book.
type Looked interface {
	At(ctx context.Context, seq uint64) (fleet.Record, error)
	Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error
	LastBalance(ctx context.Context) (fleet.Record, error)
	Since(ctx context.Context, t time.Time) (uint64, error)
	Now(ctx context.Context) (time.Time, error)
}

// Read takes one look at the book: the orders that are not over, and those that
// ended within Recent, the one that changed longest ago first. It follows nothing.
func Read(ctx context.Context, book Looked) ([]fleet.Entry, error) {
	now, err := book.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("the book: %w", err)
	}
	b, open, err := lastBalance(ctx, book)
	if err != nil {
		return nil, fmt.Errorf("the book: %w", err)
	}
	orders := map[string]fleet.Entry{}
	from := uint64(1)
	if b != nil {
		since, err := book.Since(ctx, now.Add(-Recent))
		if err != nil {
			return nil, fmt.Errorf("the book: %w", err)
		}
		from = min(b.Upto+1, max(since, 1))
		for _, e := range open {
			orders[e.Order.ID] = e
		}
	}
	ended := func(e fleet.Entry) bool { return e.Phase.Ended() }
	err = fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
		return book.Follow(ctx, from, func(r fleet.Record) {
			switch {
			case !r.IsClaim || r.Seq < orders[r.Order.ID].Seq:
			case ended(r.Entry) && now.Sub(r.Written) >= Recent:
				delete(orders, r.Order.ID)
			default:
				orders[r.Order.ID] = r.Entry
			}
		}, ready)
	})
	if err != nil {
		return nil, fmt.Errorf("the book could not be read: %w", err)
	}
	out := slices.SortedFunc(maps.Values(orders), func(a, b fleet.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	over := 0
	for _, e := range out {
		if ended(e) {
			over++
		}
	}
	return slices.DeleteFunc(out, func(e fleet.Entry) bool {
		if over > maxRecent && ended(e) {
			over--
			return true
		}
		return false
	}), nil
}
