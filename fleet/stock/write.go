package stock

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"barista/fleet"
)

// stalls is how often an append may fail without anything new in the ledger
// before the caller hears of it.
const stalls = 3

// write makes a decision on the fold and appends the entry that it asks for,
// until the ledger holds it or the decision asks for none. A decision against
// writing is believed only on a fold that was just read on; so the usual way of
// an order costs one append and no read.
func (s *Stock) write(ctx context.Context, decide func(*fold) (*fleet.Entry, error)) error {
	return s.writeThen(ctx, decide, nil)
}

// writeThen is write, and looks at the fold afterwards.
func (s *Stock) writeThen(ctx context.Context, decide func(*fold) (*fleet.Entry, error), then func(*fold)) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	err := s.append(ctx, decide)
	if err == nil && then != nil {
		then(s.fold)
	}
	return err
}

// append is write for whoever has the turn.
func (s *Stock) append(ctx context.Context, decide func(*fold) (*fleet.Entry, error)) error {
	fresh, stalled := false, 0
	for {
		e, no := decide(s.fold)
		if e == nil && fresh {
			return no
		}
		var failed error
		if e != nil {
			e.At = s.parts.Wall().UTC()
			seq, err := s.parts.Ledger.Append(ctx, *e, s.fold.seq)
			if err == nil {
				s.take(seq, *e)
				return nil
			}
			failed = err
		}
		// Somebody was faster, or nobody knows: what the ledger holds now decides.
		before := s.fold.seq
		if err := s.readOn(ctx); err != nil {
			return errors.Join(err, unsure(failed))
		}
		fresh = true
		if failed == nil || s.fold.seq > before {
			continue
		}
		if stalled++; stalled == stalls {
			return unsure(failed)
		}
		if !fleet.Pause(ctx, 10*time.Millisecond<<stalled) {
			return errors.Join(ctx.Err(), unsure(failed))
		}
	}
}

// unsure says that nobody knows whether the act was written. A conflict that
// stays one means that the ledger hides what it holds, so it is no certainty.
func unsure(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fleet.ErrConflict) {
		err = errors.New("it holds more than it shows")
	}
	return fmt.Errorf("stock: the ledger took no entry: %w (%w)", fleet.ErrNoAnswer, err)
}

// enter waits for the turn and makes sure that the ledger was read once.
func (s *Stock) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("stock: busy, nothing was done: %w", ctx.Err())
	}
	if s.begun {
		return nil
	}
	if err := s.begin(ctx); err != nil {
		s.leave()
		return err
	}
	s.begun = true
	return nil
}

func (s *Stock) leave() { <-s.turn }

// begin reads the ledger, and fills it if it is empty: one entry, so that it is
// filled with all or not at all, and by one service only.
func (s *Stock) begin(ctx context.Context) error {
	if err := s.readOn(ctx); err != nil {
		return err
	}
	if s.fold.seq > 0 || len(s.cfg.Initial) == 0 {
		return nil
	}
	if err := s.cfg.Check(); err != nil {
		return fmt.Errorf("stock: %w", &invalid{err})
	}
	e := fleet.Entry{Act: fleet.Refill, Items: s.cfg.Initial, By: "config", Note: "first start", Key: "initial"}
	return s.append(ctx, func(f *fold) (*fleet.Entry, error) {
		if f.seq > 0 {
			return nil, nil
		}
		return &e, nil
	})
}

// readOn folds what the ledger holds behind the fold.
func (s *Stock) readOn(ctx context.Context) error {
	last, err := s.parts.Ledger.Read(ctx, s.fold.seq, s.take)
	if err != nil {
		return fmt.Errorf("stock: the ledger can't be read: %w", err)
	}
	s.fold.seq = max(s.fold.seq, last)
	return nil
}

// take folds one entry.
func (s *Stock) take(seq uint64, e fleet.Entry) {
	if err := s.fold.apply(seq, e); err != nil {
		s.log.Error("an entry of the ledger makes no sense and counts for nothing", "seq", seq, "err", err)
	}
	poke(s.news)
}

// poke leaves a token where there is none.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// checkBy refuses a person's name that could act where it is shown.
func checkBy(by string) error {
	if !utf8.ValidString(by) || utf8.RuneCountInString(by) > 64 {
		return errors.New("by: must be at most 64 characters")
	}
	for _, r := range by {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return fmt.Errorf("by: has a control character (%U)", r)
		}
	}
	return nil
}
