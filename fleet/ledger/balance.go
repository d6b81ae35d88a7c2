package ledger

import (
	"context"
	"errors"
	"fmt"

	"barista/fleet"
)

// keepBalance writes a balance whenever one is due.
func (l *Ledger) keepBalance(ctx context.Context) {
	if !fleet.Await(ctx, l.ready) {
		return
	}
	for {
		select {
		case <-l.due:
		case <-ctx.Done():
			return
		}
		if err := l.balance(ctx, uint64(l.cfg.Every)); err != nil && ctx.Err() == nil {
			l.log.Warn("no balance could be written; tried again", "err", err)
			fleet.Pause(ctx, again)
			poke(l.due)
		}
	}
}

// balance writes one if at least so many records came after the last. Refusals do
// not count: they roll, so whoever floods the shop with orders that it refuses must
// not fill the book with balances.
func (l *Ledger) balance(ctx context.Context, since uint64) error {
	_, err := l.Act(ctx, func(fleet.View) (*fleet.Record, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.fold.since < since {
			return nil, nil
		}
		return l.made(), nil
	})
	return err
}

// made is a balance of what the follower has brought, and nothing else: what is
// laid over has gaps before it. The caller holds the lock.
func (l *Ledger) made() *fleet.Record {
	f := &l.fold
	b := &fleet.Balance{Upto: f.upto, Acts: f.acted, Refusals: f.refusals}
	b.Refusals.What = nil // told already
	// The last refusal stays, though it is over: it says how many there were.
	for list := b.Refusals.List; len(list) > 1 && f.over(list[0]); {
		list = list[1:]
		b.Refusals.List = list
	}
	b.Loss = f.loss
	f.shelf.Balance(b)
	return &fleet.Record{Act: true, Balance: b, Rolled: f.refusals.Written() + 1}
}

// balanceAtStop spares the next start some reading. It is not worth waiting for.
func (l *Ledger) balanceAtStop(ctx context.Context) {
	select {
	case <-l.ready:
	default:
		return
	}
	l.mu.Lock()
	if l.parts.Shelf == nil || l.fold.since <= fewRecords {
		l.mu.Unlock()
		return
	}
	r, last := l.made(), l.fold.acts
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if _, err := l.parts.Book.Act(ctx, *r, last); err != nil && !errors.Is(err, fleet.ErrConflict) {
		l.log.Info("no balance at the stop; the next start reads a little more", "err", err)
	}
}

// trim removes what stands before the sequence. Orders that are not over and stand
// there are written anew first, as they are; then a balance, so that nobody needs
// what goes.
func (l *Ledger) trim(ctx context.Context, before uint64) error {
	var moved uint64
	for _, e := range l.Open() {
		if e.Seq >= before {
			continue
		}
		n, err := l.parts.Book.Next(ctx, e.Revision, e.Claim)
		if errors.Is(err, fleet.ErrConflict) {
			continue // it has just changed by itself
		}
		if err != nil {
			return fmt.Errorf("order %s could not be written anew: %w", e.Order.ID, err)
		}
		l.Wrote(n)
		moved = n.Seq
	}
	if !l.until(ctx, func() bool { return l.fold.upto >= moved }) {
		return ctx.Err()
	}
	if err := l.balance(ctx, 1); err != nil {
		return err
	}
	l.mu.Lock()
	before = min(before, l.fold.needs)
	l.mu.Unlock()
	if before <= 1 {
		return nil
	}
	l.log.Info("old records leave the book", "before", before, "days", l.cfg.KeepDays)
	return l.parts.Book.Trim(ctx, before)
}
