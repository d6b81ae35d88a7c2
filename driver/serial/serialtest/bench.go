package serialtest

import (
	"context"
	"sync"
	"testing"

	"barista/driver"
)

// Bench is a device at the end of a cable in memory that can be pulled and put in
// again.
type Bench struct {
	t    testing.TB
	play func(context.Context, *End) error
	gone sync.WaitGroup

	mu    sync.Mutex
	cable *Cable
	away  bool // the cable is out, or will be, and nothing is at its place
}

// NewBench plugs the device in. play plays it at the end of a cable until that is
// out; its error fails the test.
func NewBench(t testing.TB, play func(context.Context, *End) error) *Bench {
	b := &Bench{t: t, play: play}
	b.Plug(1)
	t.Cleanup(func() { b.Cut(); b.Wait() })
	return b
}

// Dial is the computer's end of the cable that is in.
func (b *Bench) Dial() (*End, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, driver.ErrGone
	}
	return b.cable.Host(), nil
}

// Cable is the one that was put in last.
func (b *Bench) Cable() *Cable {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cable
}

// Plug puts another cable in, when the device has lost the one before.
func (b *Bench) Plug(seed uint64) {
	b.Wait()
	c := New(seed)
	b.mu.Lock()
	b.cable, b.away = c, false
	b.mu.Unlock()
	b.gone.Go(func() {
		if err := b.play(context.Background(), c.Device()); err != nil {
			b.t.Errorf("the device: %v", err)
		}
	})
}

// Cut pulls it out.
func (b *Bench) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = true
	b.cable.Cut()
}

// CutAfter pulls it out after so many more bytes to the device.
func (b *Bench) CutAfter(bytes int) { b.cutAfter(b.Cable().Device(), bytes) }

// CutAnswerAfter pulls it out after so many more bytes from the device.
func (b *Bench) CutAnswerAfter(bytes int) { b.cutAfter(b.Cable().Host(), bytes) }

func (b *Bench) cutAfter(end *End, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = true
	end.CutAfter(bytes)
}

// Wait waits until the device has lost its host.
func (b *Bench) Wait() { b.gone.Wait() }
