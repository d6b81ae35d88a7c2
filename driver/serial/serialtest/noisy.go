package serialtest

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Line is a device's end of a real line, with noise on it: for a
// pseudo-terminal what Cable is in memory. What one call reads or writes counts
// as one frame. One goroutine reads, another one writes.
type Line struct {
	line    io.ReadWriteCloser
	to, fro Noise // towards the device, and from it
	mu      sync.Mutex
	rng     *rand.Rand
	again   []byte // comes a second time
	frames  atomic.Int64
}

// Noisy puts noise on a line: to strikes what the device reads, fro what it
// writes.
func Noisy(line io.ReadWriteCloser, seed uint64, to, fro Noise) *Line {
	return &Line{line: line, to: to, fro: fro, rng: rand.New(rand.NewPCG(seed, 0x6c696e65))}
}

// Noise sets the noise anew, as Noisy did.
func (l *Line) Noise(to, fro Noise) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to, l.fro = to, fro
}

// Frames is how many there were, both ways.
func (l *Line) Frames() int { return int(l.frames.Load()) }

// strike makes of a frame what arrives of it: how late, and whether twice.
func (l *Line) strike(way *Noise, b []byte) (out []byte, late time.Duration, twice bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := *way
	l.frames.Add(1)
	hit := func(share float64) bool { return share > 0 && l.rng.Float64() < share }
	out = append(out, b...)
	if hit(n.Delay) {
		late = time.Duration(l.rng.Int64N(int64(n.Late) + 1))
	}
	twice = hit(n.Double)
	if hit(n.Drop) {
		if l.rng.IntN(2) == 0 || len(out) < 2 {
			return nil, late, false
		}
		i := l.rng.IntN(len(out))
		out = append(out[:i], out[i+1:]...)
	}
	if hit(n.Damage) {
		out[l.rng.IntN(len(out))] ^= byte(1 + l.rng.IntN(255))
	}
	return out, late, twice
}

func (l *Line) Read(p []byte) (int, error) {
	for {
		if n := copy(p, l.again); n > 0 {
			l.again = l.again[n:]
			return n, nil
		}
		n, err := l.line.Read(p)
		if err != nil || n == 0 {
			return n, err
		}
		b, late, twice := l.strike(&l.to, p[:n])
		if late > 0 {
			time.Sleep(late) // this is a wire, and not somebody who waits
		}
		if twice {
			l.again = append([]byte(nil), b...)
		}
		if n = copy(p, b); n > 0 {
			return n, nil
		}
	}
}

// Since is what the line below says of it: see link.Chunk.
func (l *Line) Since() time.Time {
	if below, looks := l.line.(interface{ Since() time.Time }); looks {
		return below.Since()
	}
	return time.Now()
}

func (l *Line) Write(p []byte) (int, error) {
	b, late, twice := l.strike(&l.fro, p)
	if late > 0 {
		time.Sleep(late)
	}
	if len(b) == 0 {
		return len(p), nil
	}
	_, err := l.line.Write(b)
	if twice {
		time.Sleep(10 * time.Millisecond)
		_, e := l.line.Write(b)
		err = errors.Join(err, e)
	}
	return len(p), err
}

// Close closes the line.
func (l *Line) Close() error { return l.line.Close() }
