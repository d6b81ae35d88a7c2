package service

import (
	"context"
	"runtime/debug"
	"time"
)

// Watch ends the service when its broker can't be trusted any more: a store that ran
// full stays unusable until the process starts anew. A minute after the start it gives
// back what the past took that was read for it: several times of what the shop keeps,
// which an idle process would hold for long.
func Watch(ctx context.Context, healthy func() error) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for bad, turns := 0, 1; ; turns++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if turns == 6 {
			debug.FreeOSMemory()
		}
		if err := healthy(); err == nil {
			bad = 0
		} else if bad++; bad >= 3 {
			return err
		}
	}
}
