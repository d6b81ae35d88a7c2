package roles

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/fleet"
)

// TestWhetherAMachineLives: behind keys, too, a controller that asks a machine's process
// whether it lives hears it while it does, and that nobody is there once it is gone. Else a
// machine that lives would be taken for dead wherever an order waits.
func TestWhetherAMachineLives(t *testing.T) {
	everywhere(t, func(t *testing.T, s *stand) {
		of := func(kind Kind) person {
			return s.ears[slices.IndexFunc(s.ears, func(e *ear) bool { return e.Kind == kind })].person
		}
		ctl, zoe := as(t, nil, s.url, of(Controller)), as(t, nil, s.url, of(Machine))
		subject := fleet.ProcessSubject("zoe", strings.Repeat("a", 26))
		ask := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := ctl.Requester().Request(ctx, subject, []byte(fleet.Lives))
			return err
		}
		if err := ask(); !errors.Is(err, fleet.ErrNobody) {
			t.Errorf("before it is there: %v", err)
		}
		ctx, gone := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() {
			_ = zoe.Server().Serve(ctx, subject, false, func(context.Context, string, []byte) []byte { return []byte("here") })
		})
		defer serving.Wait()
		defer gone()
		for err := ask(); err != nil; err = ask() { // nobody is told when it listens
			if !errors.Is(err, fleet.ErrNobody) {
				t.Fatal(err)
			}
		}
		for range 20 {
			if err := ask(); err != nil {
				t.Fatalf("while it lives: %v", err)
			}
		}
		zoe.Close()
		// What is asked just while the socket closes has no answer, and says nothing.
		err := ask()
		for tries := 0; tries < 5 && err != nil && !errors.Is(err, fleet.ErrNobody); tries++ {
			err = ask()
		}
		if !errors.Is(err, fleet.ErrNobody) {
			t.Errorf("once it is gone: %v", err)
		}
	})
}
