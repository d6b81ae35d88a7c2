package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"barista/fleet"
)

const (
	// patience bounds an act whose caller has more time: others wait for the turn.
	patience = 5 * time.Second
	// tries is how often an act is put to the book without a clear answer.
	tries = 3
	// wordBytes is how long an act's own word is: it tells it from one that another
	// process wrote in its place.
	wordBytes = 12
	// maxRefusals bounds the rolling record. What is refused beyond that can't be
	// remembered, so nobody may be told of it.
	maxRefusals = 200
)

// Act decides on the newest fold and writes the record that comes of it; see
// fleet.Ledger. One at a time decides in a process. Every error of its own is an
// ErrNoAnswer, or ErrFull.
func (l *Ledger) Act(ctx context.Context, decide func(v fleet.View) (*fleet.Record, error)) (fleet.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !fleet.Await(ctx, l.ready) {
		return fleet.Revision{}, fmt.Errorf("ledger: the book is not read yet, nothing was done: %w (%w)", fleet.ErrNoAnswer, ctx.Err())
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return fleet.Revision{}, fmt.Errorf("ledger: busy, nothing was done: %w (%w)", fleet.ErrNoAnswer, ctx.Err())
	}
	for {
		v, last := l.view()
		r, err := decide(v)
		if r == nil {
			return fleet.Revision{}, err
		}
		rev, err := l.write(ctx, *r, last)
		if !errors.Is(err, fleet.ErrConflict) {
			return rev, err
		}
	}
}

// view is what an act is decided on, and the last act in it. The follower may go on
// meanwhile: an act that it brings makes the book refuse the decision, and anything
// else makes no less available.
func (l *Ledger) view() (fleet.View, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fleet.View{
		Waiting: l.fold.waiting(),
		Of: func(order string) (fleet.Entry, bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			e, there := l.fold.orders[order]
			return e, there && !e.Phase.Ended()
		},
		Short: func(items fleet.Items) string {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.fold.short(items)
		},
		Refused: func(order string) (fleet.Answer, bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.fold.answer(order)
		},
		Refuse: func(order string, a fleet.Answer) *fleet.Record {
			l.mu.Lock()
			defer l.mu.Unlock()
			r := l.fold.refusals.With(fleet.Refusal{Order: order, Answer: a, At: l.now()}, l.fold.over)
			return &fleet.Record{Act: true, Refusals: &r}
		},
		Seen: func(key string) (fleet.Act, fleet.Items, bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.parts.Shelf == nil {
				return "", nil, false
			}
			return l.parts.Shelf.Seen(key)
		},
		Levels: l.Levels,
		Loss:   l.fold.loss,
	}, l.fold.acts
}

// write puts a record behind the last act, once. ErrConflict: another act stands
// there, and is folded.
//
// Where no answer came, the same record is put to the book again, behind the same
// act: the compare lets at most one of them in. If it was in, the next act behind
// that one is ours, and the follower knows it by its word. Nothing is decided anew
// before that is known.
func (l *Ledger) write(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	if r.Refusals != nil && len(r.Refusals.List) > maxRefusals {
		return fleet.Revision{}, fmt.Errorf("ledger: more than %d orders were refused within %v, nothing was done: %w", maxRefusals, fleet.RefusedFor, fleet.ErrNoAnswer)
	}
	word := rand.Text()[:wordBytes]
	l.mu.Lock()
	r.Rec, r.Act, r.Rolled = word, true, l.fold.refusals.Written()+1
	if r.Refusals != nil {
		r.Rolled = r.Refusals.Before + 1
	}
	l.mine[word] = 0
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.mine, word)
		l.mu.Unlock()
	}()
	var unsure error
	for try := range tries {
		rev, err := l.parts.Book.Act(ctx, r, last)
		switch {
		case err == nil:
			return rev, l.wrote(ctx, r, rev)
		case errors.Is(err, fleet.ErrFull) && unsure == nil:
			return fleet.Revision{}, err // never sent, or refused: certain
		}
		passed := func() bool { return l.fold.acted > last }
		if errors.Is(err, fleet.ErrClosed) && unsure == nil {
			return fleet.Revision{}, err // certain
		}
		conflict := errors.Is(err, fleet.ErrConflict)
		if !conflict {
			unsure = err
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		if !conflict {
			wait, cancel = context.WithTimeout(ctx, 50*time.Millisecond<<try)
		}
		moved := l.until(wait, passed)
		cancel()
		if moved {
			l.mu.Lock()
			seq := l.mine[word]
			l.mu.Unlock()
			if seq != 0 {
				return fleet.Revision{Seq: seq, Rec: word}, nil
			}
			return fleet.Revision{}, fleet.ErrConflict
		}
		if conflict && unsure == nil {
			return fleet.Revision{}, fmt.Errorf("ledger: another act was written and could not be read, nothing was done: %w (%w)", fleet.ErrNoAnswer, ctx.Err())
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fleet.Revision{}, fmt.Errorf("ledger: the book took no act: %w (%w)", fleet.ErrNoAnswer, unsure)
}

// wrote has what was written folded: laid over, or brought by the follower where
// its place among all records counts.
func (l *Ledger) wrote(ctx context.Context, r fleet.Record, rev fleet.Revision) error {
	r.Revision = rev
	if r.Stock != nil || r.Balance != nil || r.Loss != nil {
		if !l.until(ctx, func() bool { return l.fold.upto >= rev.Seq }) {
			return fmt.Errorf("ledger: it was written, as record %d of the book, and can't be read back: %w (%w)", rev.Seq, fleet.ErrNoAnswer, ctx.Err())
		}
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fold.wrote(r)
	l.stir()
	return nil
}
