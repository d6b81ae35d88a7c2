package witness

import (
	"context"
	"fmt"
	"time"

	"barista/fleet"
)

// Book is the book by which this process reads and writes: what is read of it raises
// the mark first, and what may not be written is refused with fleet.ErrClosed.
func (w *Witness) Book() fleet.Book { return book{w.p.Book, w} }

type book struct {
	fleet.Book
	w *Witness
}

func (b book) Read(ctx context.Context, order string) (fleet.Entry, error) {
	e, err := b.Book.Read(ctx, order)
	if err == nil {
		err = b.w.seen(e.Revision, e.Written)
	}
	return e, err
}

func (b book) History(ctx context.Context, order string) ([]fleet.Entry, error) {
	all, err := b.Book.History(ctx, order)
	if n := len(all); err == nil && n > 0 {
		err = b.w.seen(all[n-1].Revision, all[n-1].Written)
	}
	return all, err
}

func (b book) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	return b.Book.Follow(ctx, from, func(r fleet.Record) {
		b.w.record(r)
		each(r)
	}, ready)
}

func (b book) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	if err := b.w.may(ctx, c); err != nil {
		return fleet.Entry{}, err
	}
	e, err := b.Book.Next(ctx, read, c)
	if err == nil {
		err = b.w.seen(e.Revision, b.w.p.Wall())
	}
	return e, err
}

func (b book) Act(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	err := error(nil)
	switch {
	case r.IsClaim:
		err = b.w.may(ctx, r.Claim)
	case r.Loss == nil:
		err = b.w.mayWrite(ctx)
	}
	if err != nil {
		return fleet.Revision{}, err
	}
	rev, err := b.Book.Act(ctx, r, last)
	switch r.Revision = rev; {
	case err != nil:
	case r.Loss != nil:
		err = b.w.accepted(fleet.LossEntry{Loss: *r.Loss, Revision: rev})
	case r.Refusals == nil:
		err = b.w.seen(rev, b.w.p.Wall())
	}
	return rev, err
}

func (b book) Trim(ctx context.Context, before uint64) error {
	if err := b.w.mayWrite(ctx); err != nil {
		return err
	}
	return b.Book.Trim(ctx, before)
}

// may says whether a claim may be written. That nobody knows what came of an order
// may always be said.
func (w *Witness) may(ctx context.Context, c fleet.Claim) error {
	if c.Phase == fleet.Unknown {
		return w.mayWrite(ctx)
	}
	return w.Flows(ctx, c.Order.ID, false)
}

// mayWrite says whether anything may be written.
func (w *Witness) mayWrite(ctx context.Context) error { return w.Flows(ctx, "", true) }

// record takes what was followed.
func (w *Witness) record(r fleet.Record) {
	switch {
	case r.Rec == "" || r.Refusals != nil:
	case r.Loss != nil:
		if err := w.accepted(fleet.LossEntry{Loss: *r.Loss, Revision: r.Revision}); err != nil {
			w.log.Error("an accepted loss could not be kept", "err", err)
		}
	default:
		_ = w.seen(r.Revision, r.Written) // nothing is written before it is kept
	}
}

// seen raises the mark.
func (w *Witness) seen(rev fleet.Revision, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := fleet.Mark{Made: w.made, Era: w.loss.Era(), Revision: rev, At: at.UTC().Round(0)}
	switch {
	case !w.looked():
		if rev.Seq > w.ahead.Seq {
			w.ahead = m
		}
		return nil
	case w.state == fleet.StandClosed || rev.Seq <= w.mark.Seq && w.mark.Era == m.Era && w.mark.Made.Equal(m.Made) && w.broken == nil:
		return nil
	}
	w.remember(rev.Seq, rev.Rec)
	return w.keep(m)
}

// keep writes the mark. The caller holds the lock.
func (w *Witness) keep(m fleet.Mark) error {
	if m.Seq == 0 {
		return nil
	}
	m.Made, m.Era = w.made, w.loss.Era()
	for _, have := range []fleet.Mark{w.mark, w.due} {
		if have.Made.Equal(m.Made) && have.Era == m.Era && have.Seq > m.Seq {
			m = have
		}
	}
	if w.file != nil {
		if err := w.file.Raise(m, w.cfg.Boot); err != nil {
			if w.broken == nil {
				w.log.Error("the shop can't keep how far it has seen its book, and answers nothing until it can", "err", err)
			}
			w.due, w.broken = m, err
			return fmt.Errorf("%w (%w)", fleet.ErrNoAnswer, err)
		}
	}
	w.mark, w.due, w.boot, w.broken = m, fleet.Mark{}, w.cfg.Boot, nil
	return nil
}

// accepted takes up that a person has accepted a loss: it opens the shop, and takes the
// place of every mark that was lost.
func (w *Witness) accepted(a fleet.LossEntry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loss != nil && a.Seq <= w.loss.Seq || !w.looked() {
		return nil // connect reads it
	}
	w.loss, w.pending = &a, true
	w.remember(a.Seq, a.Rec)
	w.mark = fleet.Mark{}
	if err := w.keep(fleet.Mark{Revision: a.Revision, At: a.At}); err != nil {
		return err
	}
	w.saved.Roll, w.saved.Gone, w.saved.Era = false, nil, a.Rec
	w.log.Warn("a loss was accepted: "+a.Gone.String(), "by", a.By, "why", a.Why, "record", a.Seq)
	w.turn(fleet.StandOpen)
	return w.save()
}
