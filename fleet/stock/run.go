package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// again is how long a part waits after the ledger or a store failed.
	again = time.Second
	// snapshotEvery bounds how often the snapshot is written.
	snapshotEvery = time.Second
)

// Snapshot is what readers find in the bucket coffee-stock: the levels as they
// were after the ledger's entry Seq. It may be a moment old and decides nothing.
type Snapshot struct {
	Seq    uint64                 `json:"seq"`
	Levels map[string]fleet.Level `json:"levels"`
}

// Run follows the claims and books what they demand, answers on coffee.stock.*,
// and writes the snapshot, until ctx ends; then it returns nil when all of that
// has ended. It waits for a ledger that does not answer. Another error means
// that the configuration is wrong or that a part gave up.
func (s *Stock) Run(ctx context.Context) error {
	if err := s.cfg.Check(); err != nil {
		return fmt.Errorf("stock: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	start := func(what string, part func(context.Context) error) {
		wg.Go(func() {
			err := part(ctx)
			if ctx.Err() == nil {
				stop(fmt.Errorf("stock: %s ended: %w", what, errors.Join(err, errEarly)))
			}
		})
	}
	listed := make(chan struct{})
	start("following the claims", func(ctx context.Context) error {
		return s.parts.Claims.Watch(ctx, s.demand, sync.OnceFunc(func() { close(listed) }))
	})
	start("booking", func(ctx context.Context) error { return s.keepBooks(ctx, listed) })
	if s.parts.Snapshot != nil {
		start("the snapshot", s.keepSnapshot)
	}
	if s.parts.Server != nil {
		for _, e := range s.endpoints() {
			start("serving "+e.subject, func(ctx context.Context) error {
				return s.parts.Server.Serve(ctx, e.subject, true, e.answer)
			})
		}
	}
	wg.Wait()
	if err := context.Cause(ctx); errors.Is(err, errEarly) {
		return err
	}
	return nil // ended as it was asked to
}

var errEarly = errors.New("it must not end by itself")

// demand notes what a claim demands. It only notes: the watch must not wait for
// the ledger. A claim that changed again before it was looked at is booked from
// its last state alone.
func (s *Stock) demand(c fleet.ClaimEntry) {
	bs := c.Bookings()
	if len(bs) == 0 {
		return
	}
	s.due.mu.Lock()
	s.due.claims[c.Order.ID] = bs
	s.due.mu.Unlock()
	poke(s.due.wake)
}

// keepBooks books what claims demand. It begins when all claims that were there
// have been seen: after a start most of it is in the ledger already.
func (s *Stock) keepBooks(ctx context.Context, listed <-chan struct{}) error {
	if !fleet.Await(ctx, listed) {
		return ctx.Err()
	}
	for {
		if err := s.bookDue(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.log.Warn("what the claims demand can't be booked now; tried again", "err", err)
			if !fleet.Pause(ctx, again) {
				return ctx.Err()
			}
			continue
		}
		select {
		case <-s.due.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// bookDue books everything that is noted; what could not be booked stays noted.
func (s *Stock) bookDue(ctx context.Context) error {
	s.due.mu.Lock()
	claims := s.due.claims
	s.due.claims = map[string][]fleet.Booking{}
	s.due.mu.Unlock()

	err := s.bookAll(ctx, claims)
	if err != nil { // all of it once more: what is booked is found booked
		s.due.mu.Lock()
		for order, bs := range claims {
			if _, newer := s.due.claims[order]; !newer {
				s.due.claims[order] = bs
			}
		}
		s.due.mu.Unlock()
	}
	return err
}

func (s *Stock) bookAll(ctx context.Context, claims map[string][]fleet.Booking) error {
	missing, err := s.lacking(ctx, claims)
	if err != nil {
		return err
	}
	known, err := s.recall(ctx, missing)
	if err != nil {
		return err
	}
	for _, b := range missing {
		if known[keyOf(b.Order, b.Use)] {
			continue
		}
		if b.Act != fleet.Reserve {
			if err := s.end(ctx, b); err != nil {
				return err
			}
			continue
		}
		err := s.Reserve(ctx, b.Order, b.Use, b.Items)
		var short *fleet.OutOfStockError
		switch {
		case errors.Is(err, fleet.ErrUseClosed): // a claim that went on since
		case errors.As(err, &short): // the controller ends the claim
			s.log.Info("a remake can't be reserved", "order", b.Order, "use", b.Use, "short of", short.Item)
		case err != nil:
			return err
		}
	}
	return nil
}

// lacking lists the bookings that the ledger has not, in order of id and use. A
// booking that is none, from a claim that somebody else wrote, is left out.
func (s *Stock) lacking(ctx context.Context, claims map[string][]fleet.Booking) ([]fleet.Booking, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.readOn(ctx); err != nil {
		return nil, err
	}
	var out []fleet.Booking
	for _, order := range slices.Sorted(maps.Keys(claims)) {
		for _, b := range claims[order] {
			if err := checkEntry(entryOf(b)); err != nil {
				s.log.Error("a claim demands what can't be booked", "order", b.Order, "err", err)
			} else if s.fold.missing(b) {
				out = append(out, b)
			}
		}
	}
	return out, nil
}

// keepSnapshot writes the levels after a change, at most once a second.
func (s *Stock) keepSnapshot(ctx context.Context) error {
	poke(s.news)
	var written *uint64
	for {
		select {
		case <-s.news:
		case <-ctx.Done():
			return ctx.Err()
		}
		seq, levels, err := s.view(ctx)
		if err == nil && (written == nil || *written != seq) {
			if err = s.snapshot(ctx, seq, levels); err == nil {
				written = &seq
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the snapshot of the stock can't be written; tried again", "err", err)
			poke(s.news)
		}
		if !fleet.Pause(ctx, snapshotEvery) {
			return ctx.Err()
		}
	}
}

func (s *Stock) snapshot(ctx context.Context, seq uint64, levels map[string]fleet.Level) error {
	b, err := json.Marshal(Snapshot{seq, levels})
	if err != nil {
		return err
	}
	return s.parts.Snapshot(ctx, b)
}
