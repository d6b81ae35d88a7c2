package plant

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
)

// TestTell: each change once, in order, and none from before.
func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Default())
		p.Set(driver.Grinder, true)
		p.Set(driver.Grinder, false)
		ctx, cancel := context.WithCancel(t.Context())
		var got []Edge
		ended := make(chan error)
		go func() { ended <- p.Tell(ctx, func(e Edge) error { got = append(got, e); return nil }) }()
		synctest.Wait()
		before := len(p.Edges())
		for i := range 5 {
			p.Set(driver.Pump, i%2 == 0)
			time.Sleep(30 * time.Millisecond)
		}
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if want := p.Edges()[before:]; len(want) < 5 || !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

// TestTellNobody: whoever listens no more ends it.
func TestTellNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, gone := New(Default()), errors.New("nobody reads")
		ended := make(chan error)
		go func() { ended <- p.Tell(t.Context(), func(Edge) error { return gone }) }()
		synctest.Wait()
		p.Set(driver.Pump, true)
		if err := <-ended; err != gone {
			t.Errorf("%v, want %v", err, gone)
		}
	})
}
