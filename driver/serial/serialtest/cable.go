// Package serialtest is a cable in memory for the tests of serial protocols: two
// ends, first in first out like any cable, with noise, delays and a knife. It
// works in the fake time of testing/synctest and has no goroutine. It must not
// be linked into the program.
//
// One Write is one frame: noise strikes frames.
package serialtest

import (
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// Noise is what happens to the frames of one direction. The shares are 0 to 1.
type Noise struct {
	Damage float64 // one byte of the frame becomes another one
	Drop   float64 // the frame is lost, or, half of the time, one byte of it
	Double float64 // the frame comes a second time, 10 to 30 ms later
	Delay  float64 // the frame, and what is behind it, is late
	Late   time.Duration
}

// Cable joins a host and a device.
type Cable struct {
	mu      sync.Mutex
	rng     *rand.Rand
	changed chan struct{}
	host    *End
	device  *End
	cut     bool
}

// End is one end of a cable: it reads what the other one wrote.
type End struct {
	c       *Cable
	to      *End
	queue   []frame // for whoever reads here
	noise   Noise   // of what is read here
	tap     func([]byte)
	left    int // bytes that still get through to here; below 0: all
	stalled bool
	closed  bool
	due     time.Time // of what is written at this end, from here on
	out     time.Time // deadline of writing
	frames  int       // written at this end
}

// frame is on its way.
type frame struct {
	bytes []byte
	due   time.Time
}

// New makes a cable without noise.
func New(seed uint64) *Cable {
	c := &Cable{rng: rand.New(rand.NewPCG(seed, 0x6361626c)), changed: make(chan struct{})}
	c.host, c.device = &End{c: c, left: -1}, &End{c: c, left: -1}
	c.host.to, c.device.to = c.device, c.host
	return c
}

// Host is the computer's end.
func (c *Cable) Host() *End { return c.host }

// Device is the board's end.
func (c *Cable) Device() *End { return c.device }

// change runs f and wakes whoever waits.
func (c *Cable) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Cut cuts the cable: both ends are dead.
func (c *Cable) Cut() { c.change(func() { c.cut = true }) }

// Noise sets what happens to frames on their way to this end.
func (e *End) Noise(n Noise) { e.c.change(func() { e.noise = n }) }

// Tap shows every frame that is written at this end, before any noise.
func (e *End) Tap(f func([]byte)) { e.c.change(func() { e.tap = f }) }

// CutAfter lets so many more bytes through to this end, then cuts the cable.
func (e *End) CutAfter(bytes int) { e.c.change(func() { e.left = bytes; e.c.knife(e) }) }

// Frames is how many were written at this end.
func (e *End) Frames() int {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	return e.frames
}

// Stall lets nothing more be written at this end, or again.
func (e *End) Stall(on bool) { e.c.change(func() { e.stalled = on }) }

// knife cuts when the count is over. The lock is held.
func (c *Cable) knife(e *End) {
	if e.left == 0 {
		c.cut = true
	}
}

// Read reads what has arrived, at least one byte.
func (e *End) Read(p []byte) (int, error) {
	for {
		e.c.mu.Lock()
		now := time.Now()
		var wait time.Duration = -1
		if len(e.queue) > 0 {
			if wait = e.queue[0].due.Sub(now); wait <= 0 && !e.closed {
				b := e.queue[0].bytes
				n := copy(p, b)
				if e.queue[0].bytes = b[n:]; n == len(b) {
					e.queue = e.queue[1:]
				}
				e.c.mu.Unlock()
				return n, nil
			}
		}
		dead := e.closed || e.c.cut && wait < 0
		changed := e.c.changed
		e.c.mu.Unlock()
		if dead {
			return 0, io.EOF
		}
		await(changed, wait)
	}
}

// await returns at the next change, or when the time is over; 0 and below is for
// ever.
func await(changed <-chan struct{}, d time.Duration) {
	var over <-chan time.Time
	if d > 0 {
		due := time.NewTimer(d)
		defer due.Stop()
		over = due.C
	}
	select {
	case <-changed:
	case <-over:
	}
}

// Write sends one frame.
func (e *End) Write(p []byte) (int, error) {
	for {
		e.c.mu.Lock()
		if e.closed || e.c.cut {
			e.c.mu.Unlock()
			return 0, io.ErrClosedPipe
		}
		if !e.stalled {
			break
		}
		changed, out := e.c.changed, e.out
		e.c.mu.Unlock()
		if out.IsZero() {
			<-changed
			continue
		}
		late := time.NewTimer(time.Until(out))
		select {
		case <-changed:
		case <-late.C:
			return 0, os.ErrDeadlineExceeded
		}
		late.Stop()
	}
	e.c.mu.Unlock()
	e.c.change(func() { e.send(append([]byte(nil), p...)) })
	return len(p), nil
}

// send puts a frame on its way. The lock is held.
func (e *End) send(b []byte) {
	e.frames++
	if e.tap != nil {
		e.tap(append([]byte(nil), b...))
	}
	n, rng := e.to.noise, e.c.rng
	hit := func(share float64) bool { return share > 0 && rng.Float64() < share }
	now := time.Now()
	if e.due.Before(now) {
		e.due = now
	}
	if hit(n.Delay) {
		e.due = e.due.Add(time.Duration(rng.Int64N(int64(n.Late) + 1)))
	}
	double := hit(n.Double)
	if hit(n.Drop) {
		if rng.IntN(2) == 0 || len(b) < 2 {
			b = nil
		} else {
			i := rng.IntN(len(b))
			b = append(b[:i:i], b[i+1:]...)
		}
	}
	if len(b) > 0 && hit(n.Damage) {
		b[rng.IntN(len(b))] ^= byte(1 + rng.IntN(255))
	}
	e.to.arrive(b, e.due)
	if double {
		e.due = e.due.Add(10*time.Millisecond + time.Duration(rng.IntN(20))*time.Millisecond)
		e.to.arrive(append([]byte(nil), b...), e.due)
	}
}

// arrive queues bytes for this end, as many as the knife lets through. The lock
// is held.
func (e *End) arrive(b []byte, due time.Time) {
	if e.left >= 0 {
		b = b[:min(len(b), e.left)]
		e.left -= len(b)
	}
	if len(b) > 0 {
		e.queue = append(e.queue, frame{b, due})
	}
	e.c.knife(e)
}

// SetWriteDeadline bounds a write that is stalled.
func (e *End) SetWriteDeadline(t time.Time) error {
	e.c.change(func() { e.out = t })
	return nil
}

// Close closes this end: the other one reads what is on its way, then its end.
func (e *End) Close() error {
	e.c.change(func() { e.closed, e.c.cut = true, true })
	return nil
}
