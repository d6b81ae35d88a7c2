package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// again is how long a part waits after the book or a store failed.
	again = time.Second
	// snapshotEvery bounds how often the snapshot is written.
	snapshotEvery = time.Second
)

// Snapshot is what readers find in the bucket coffee-stock: the levels as they
// were after the book's record Seq. It may be a moment old and decides nothing.
type Snapshot struct {
	Seq    uint64                 `json:"seq"`
	Levels map[string]fleet.Level `json:"levels"`
}

// Run fills an empty shelf, answers on coffee.stock.*, and writes the snapshot,
// until ctx ends; then it returns nil when all of that has ended. It waits for a
// book that does not answer. Another error means that the configuration is wrong or
// that a part gave up.
func (s *Stock) Run(ctx context.Context) error {
	if err := s.cfg.Check(); err != nil {
		return fmt.Errorf("stock: %w", err)
	}
	s.fill(ctx)
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
	<-ctx.Done()
	wg.Wait()
	if err := context.Cause(ctx); errors.Is(err, errEarly) {
		return err
	}
	return nil // ended as it was asked to
}

var errEarly = errors.New("it must not end by itself")

// fill puts the initial stock on an empty shelf: one act, so that it is filled
// with all or not at all, and by one service only.
func (s *Stock) fill(ctx context.Context) {
	defer close(s.filled)
	said := false
	for len(s.cfg.Initial) > 0 && fleet.Await(ctx, s.parts.Ledger.Ready()) {
		_, err := s.parts.Ledger.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
			if len(v.Levels()) > 0 {
				return nil, nil
			}
			a := fleet.StockAct{Act: fleet.Refill, Items: s.cfg.Initial, By: "config", Note: "first start", Key: "initial", At: s.parts.Wall().UTC()}
			return &fleet.Record{Act: true, Stock: &a}, nil
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		if closed := errors.Is(err, fleet.ErrClosed); !closed || !said {
			said = closed
			s.log.Warn("the initial stock can't be written; tried again", "err", err)
		}
		fleet.Pause(ctx, again)
	}
}

// Filled is closed when Run has seen to the initial stock. Whoever accepts orders
// in the same process waits for it, so that the first customer is not refused.
func (s *Stock) Filled() <-chan struct{} { return s.filled }

// keepSnapshot writes the levels after a change, at most once a second.
func (s *Stock) keepSnapshot(ctx context.Context) error {
	if !fleet.Await(ctx, s.parts.Ledger.Ready()) {
		return ctx.Err()
	}
	var written map[string]fleet.Level
	for {
		changed := s.parts.Ledger.Changed()
		seq, levels := s.parts.Ledger.Upto(), s.parts.Ledger.Levels()
		if written == nil || !maps.Equal(written, levels) {
			err := s.snapshot(ctx, seq, levels)
			if err == nil {
				written = levels
			} else if ctx.Err() == nil {
				s.log.Warn("the snapshot of the stock can't be written; tried again", "err", err)
				changed = nil
			}
			if !fleet.Pause(ctx, snapshotEvery) {
				return ctx.Err()
			}
		}
		if changed != nil && !fleet.Await(ctx, changed) {
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
