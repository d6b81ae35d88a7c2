// Package sim is an LCUS relay board that a program plays: over a
// pseudo-terminal for anyone's program (barista sim lcus), in memory for tests.
// Its relays switch a plant.
//
// # What it enforces
//
//   - A frame with a wrong sum is dropped, and so is one that begins less than
//     10 ms after the one before it; bytes take their time on the wire. Two frames
//     that a busy computer reads at once may have been sent well apart: dropped is
//     what can't have kept its distance.
//   - It says nothing, unless it was given a dialect for the question.
//   - Relays hold when the host is gone, as on boards with their own supply.
//   - Harm ends Run with an error: whatever the plant notes as harm to its metal.
//
// Run plays until its context ends or the cable is pulled; the board's relays
// live on in Board, so that it can be plugged in again. A Board must not be run
// twice at a time.
package sim

import (
	"context"
	"io"
	"sync"
	"time"

	"barista/driver"
	"barista/driver/lcus"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

// Config is a board and what hangs on it.
type Config struct {
	Plant   plant.Handle
	Relays  []driver.Part // what hangs on relay 1, 2, …; "" is nothing
	Count   int           // relays on the board; 0 is 8
	Answers lcus.Answers  // "" is none
	Deaf    bool          // it does nothing at all

	// Executed is called with each frame that the board carried out, by Run.
	Executed func(lcus.Frame)
}

// Board is a relay board with its supply on. Make it with New; any goroutine may
// ask for its relays.
type Board struct {
	cfg    Config
	harm   func() error // that the plant notes; see plant.Harm
	mu     sync.Mutex
	relays []bool
}

// New makes a board with every relay open.
func New(cfg Config) *Board {
	if cfg.Count == 0 {
		cfg.Count = lcus.MaxRelays
	}
	return &Board{cfg: cfg, relays: make([]bool, cfg.Count), harm: plant.Harm(cfg.Plant)}
}

// On reports whether a relay, counted from 1, is closed.
func (b *Board) On(number int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.relays[number-1]
}

// The board's figures.
const (
	charTime = 10 * time.Second / 9600
	apart    = 10 * time.Millisecond // between two frames
	within   = 5 * time.Millisecond  // between two bytes of one frame
	lookAt   = 100 * time.Millisecond
	answers  = 3 * time.Millisecond
)

// Run plays the board at this end of the line until ctx ends or the other side
// is gone; it closes the line. The error is harm that was done, or that the
// plant is out of reach.
func (b *Board) Run(ctx context.Context, line io.ReadWriteCloser) error {
	return link.Play(line, func(in <-chan link.Chunk) error {
		if err := b.play(ctx, line, in); err != nil {
			return err
		}
		return b.harm()
	})
}

// ear puts bytes together to frames. A byte that came between two times is taken
// for an early one where that makes a frame whole and keeps the distance: see
// link.Chunk.
type ear struct {
	buf  []byte
	near bool      // buf began too soon after the last frame
	end  time.Time // of the last byte, at the earliest
	seen time.Time // of the last byte, at the latest
	last time.Time // end of the last frame, at the earliest
}

func (b *Board) play(ctx context.Context, line io.Writer, in <-chan link.Chunk) error {
	var e ear
	look := time.NewTicker(lookAt)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if err := b.harm(); err != nil {
				return err
			}
		case c, more := <-in:
			if !more {
				return nil // unplugged
			}
			asked, err := b.hear(&e, c)
			if err != nil {
				return err
			}
			if !asked {
				continue
			}
			text := b.say()
			late := time.NewTimer(answers + time.Duration(len(text))*charTime)
			select {
			case <-late.C:
				_, _ = line.Write(text) // a host that does not read misses it
			case <-ctx.Done():
			}
			late.Stop()
		}
	}
}

// hear takes what came, and reports whether the board was asked for its relays.
func (b *Board) hear(e *ear, c link.Chunk) (asked bool, err error) {
	for _, x := range c.Bytes {
		at := later(c.Since, e.end) // when this byte begins
		if len(e.buf) > 0 && c.Since.Sub(e.seen) > within {
			e.buf = nil // the rest of the frame never came
		}
		if len(e.buf) == 0 {
			kept := e.last.Add(apart)
			if e.near = kept.After(c.At); !e.near {
				at = later(at, kept)
			}
		}
		e.end, e.seen = at.Add(charTime), later(c.At, e.seen).Add(charTime)
		switch {
		case len(e.buf) == 0 && x == lcus.Query:
			asked = b.cfg.Answers != "" && b.cfg.Answers != lcus.AnswersNone && !b.cfg.Deaf
			continue
		case len(e.buf) == 0 && x != 0xA0:
			continue // noise
		}
		if e.buf = append(e.buf, x); len(e.buf) < 4 {
			continue
		}
		f, bad := lcus.DecodeFrame(e.buf)
		e.buf, e.last = nil, e.end
		if bad == nil && !e.near && !b.cfg.Deaf && f.Channel <= b.cfg.Count {
			if err := b.obey(f); err != nil {
				return false, err
			}
		}
	}
	return asked, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (b *Board) obey(f lcus.Frame) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.relays[f.Channel-1] = f.On
	if b.cfg.Executed != nil {
		b.cfg.Executed(f)
	}
	if i := f.Channel - 1; i < len(b.cfg.Relays) && b.cfg.Relays[i] != "" {
		return b.cfg.Plant.Set(b.cfg.Relays[i], f.On)
	}
	return nil
}

func (b *Board) say() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cfg.Answers.AppendStates(nil, b.relays)
}
