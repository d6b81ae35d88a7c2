package fleet

import (
	"context"
	"log/slog"
	"time"
)

// Keep follows for as long as ctx lasts: what broke off begins anew after a
// second.
func Keep(ctx context.Context, log *slog.Logger, what string, follow func() error) {
	for ctx.Err() == nil {
		err := follow()
		if ctx.Err() != nil {
			return
		}
		log.Warn("it broke off and begins anew", "what", what, "err", err)
		Pause(ctx, time.Second)
	}
}

// Pause waits; false when ctx ended before.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Await waits until a channel is closed; false when ctx ended before.
func Await(ctx context.Context, closed <-chan struct{}) bool {
	select {
	case <-closed:
		return true
	case <-ctx.Done():
		return false
	}
}

// UntilReady runs a watch until it has handed over all that was there.
func UntilReady(ctx context.Context, watch func(ctx context.Context, ready func()) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	whole := false
	err := watch(ctx, func() {
		whole = true
		cancel()
	})
	switch {
	case whole:
		return nil
	case err == nil:
		return ErrNoAnswer
	}
	return err
}
