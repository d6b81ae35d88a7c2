// Package sim is a Modbus RTU relay board that a program plays: over a
// pseudo-terminal for anyone's program (barista sim modbus), in memory for
// tests. Its relays switch a plant.
//
// # What it enforces
//
//   - Frames are what stands between two silences of 3.5 characters; bytes take
//     their time on the wire, so that a frame that is sent too early spoils the
//     one before it. A wrong sum, another address or a broken frame gets no
//     answer; a relay that is not there gets exception 2, and so does flash-on
//     on a board without a timer.
//   - Relays hold when the host is gone, as on real boards; only a relay that was
//     closed by flash-on opens by itself.
//   - Harm ends Run with an error: a toggle, all relays on, and whatever the
//     plant notes as harm to its metal.
//
// Run plays until its context ends or the cable is pulled; the board's relays
// live on in Board, so that it can be plugged in again. A Board must not be run
// twice at a time.
package sim

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

// Config is a board and what hangs on it.
type Config struct {
	Plant  plant.Handle
	Relays []driver.Part   // what hangs on relay 1, 2, …; "" is nothing
	Inputs []driver.Signal // what hangs on contact 1, 2, …; "" is an open one
	Count  int             // relays on the board; 0 is 8, or as many as are used

	Address int // 0 is 1
	Baud    int // 0 is 9600
	First   int // the number of the first relay on the wire
	Faults  Faults
	Seed    uint64

	// Executed is called with each request that the board carried out, by Run.
	Executed func(modbus.Request)
}

// Faults are what is wrong with a board. Shares are 0 to 1.
type Faults struct {
	NoFlash bool          // old firmware: flash-on is refused
	Deaf    bool          // it never answers, and does nothing
	Mute    bool          // it obeys and never answers
	NoRow   bool          // it does not know function 0F
	Late    time.Duration // each answer comes so much later
	Damage  float64       // share of answers with a damaged byte
	Drop    float64       // share of answers that are lost
	Double  float64       // share of answers that come twice
	Stuck   bool          // flash-on does not end
}

// Board is a relay board with its supply on. Make it with New; any goroutine may
// ask for its relays.
type Board struct {
	cfg  Config
	rng  *rand.Rand
	harm func() error // that the plant notes; see plant.Harm
	mu   sync.Mutex
	coil []coil
}

// coil is one relay as the board knows it.
type coil struct {
	on    bool
	until time.Time // of a flash; zero: none
}

// New makes a board with every relay open.
func New(cfg Config) *Board {
	if cfg.Count == 0 {
		cfg.Count = max(8, len(cfg.Relays))
	}
	if cfg.Address == 0 {
		cfg.Address = 1
	}
	if cfg.Baud == 0 {
		cfg.Baud = 9600
	}
	return &Board{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x6d6f6462)), coil: make([]coil, cfg.Count), harm: plant.Harm(cfg.Plant)}
}

// On reports whether a relay, counted from 1, is closed.
func (b *Board) On(number int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on(number-1, time.Now())
}

func (b *Board) on(i int, now time.Time) bool {
	c := b.coil[i]
	return c.on && (c.until.IsZero() || now.Before(c.until))
}

// SetFaults sets what is wrong from now on.
func (b *Board) SetFaults(f Faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg.Faults = f
}

func (b *Board) faults() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cfg.Faults
}

// Force moves a relay, counted from 1, without any command: a hand on it.
func (b *Board) Force(number int, on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.set(number-1, on, 0)
}

// Lose takes the board's supply away and gives it back: every relay opens.
func (b *Board) Lose() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for i := range b.coil {
		errs = append(errs, b.set(i, false, 0))
	}
	return errors.Join(errs...)
}

// set moves a relay. d is the time of a flash, 0 for none. The lock is held.
func (b *Board) set(i int, on bool, d time.Duration) error {
	b.coil[i] = coil{on: on}
	if on && d > 0 {
		b.coil[i].until = time.Now().Add(d)
	}
	if i >= len(b.cfg.Relays) || b.cfg.Relays[i] == "" {
		return nil
	}
	part := b.cfg.Relays[i]
	if on && d > 0 {
		return b.cfg.Plant.OnFor(part, d)
	}
	return b.cfg.Plant.Set(part, on)
}

// The board's figures.
const (
	charBits = 11 // of a character, as the standard counts it
	thinks   = 2 * time.Millisecond
	lookAt   = 100 * time.Millisecond // at the plant's harm
)

func (b *Board) chars(n int) time.Duration {
	return time.Duration(n) * charBits * time.Second / time.Duration(b.cfg.Baud)
}

func (b *Board) silence() time.Duration {
	if b.cfg.Baud > 19200 {
		return 1750 * time.Microsecond
	}
	return b.chars(7) / 2
}

// say is an answer on its way.
type say struct {
	bytes []byte
	at    time.Time
}

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

func (b *Board) play(ctx context.Context, line io.Writer, in <-chan link.Chunk) error {
	var frame []byte
	var end time.Time    // when the last byte had come
	var spoken time.Time // when the last answer had gone
	early := false       // the frame began too soon after it
	var out []say
	look := time.Now()
	unplugged := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		next := look
		if unplugged && len(frame) == 0 {
			return nil
		}
		if len(frame) > 0 {
			if over := end.Add(b.silence()); !over.After(now) {
				answers, err := b.take(frame, over, early)
				if err != nil {
					return err
				}
				out = append(out, answers...)
				frame = nil
				continue
			} else if over.Before(next) {
				next = over
			}
		}
		if len(out) > 0 {
			if !out[0].at.After(now) {
				_, _ = line.Write(out[0].bytes) // a host that does not read misses it
				out, spoken = out[1:], now
				continue
			}
			if out[0].at.Before(next) {
				next = out[0].at
			}
		}
		if !look.After(now) {
			if err := b.harm(); err != nil {
				return err
			}
			look = now.Add(lookAt)
			continue
		}
		timer.Reset(next.Sub(now))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case c, more := <-in:
			if !more { // what has come whole is still carried out
				unplugged, in = true, nil
				continue
			}
			if len(frame) > 0 && c.At.After(end.Add(b.silence())) {
				// It came after the silence; we only look late.
				answers, err := b.take(frame, end.Add(b.silence()), early)
				if err != nil {
					return err
				}
				out, frame = append(out, answers...), nil
			}
			if len(frame) == 0 {
				early = c.At.Before(spoken.Add(b.silence()))
			}
			if end.Before(c.At) {
				end = c.At
			}
			end = end.Add(b.chars(len(c.Bytes)))
			if frame = append(frame, c.Bytes...); len(frame) > 512 {
				frame = frame[:512] // no frame is so long: it is noise until the next silence
			}
		}
	}
}

// take carries out one frame, which was over at that time, and returns what is
// to be said. One that came too early is dropped.
func (b *Board) take(frame []byte, over time.Time, early bool) ([]say, error) {
	q, err := modbus.DecodeRequest(frame)
	f := b.faults()
	if err != nil || early || f.Deaf || q.Address != byte(b.cfg.Address) && q.Address != 0 {
		return nil, nil
	}
	b.mu.Lock()
	a, err := b.obey(q)
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if a.Exception == 0 && b.cfg.Executed != nil {
		b.cfg.Executed(q)
	}
	if q.Address == 0 || f.Mute || b.hit(f.Drop) {
		return nil, nil
	}
	text := a.Append(nil)
	if b.hit(f.Damage) {
		text[b.rng.IntN(len(text))] ^= byte(1 + b.rng.IntN(255))
	}
	at := over.Add(thinks + b.chars(len(text)) + f.Late)
	list := []say{{text, at}}
	if b.hit(f.Double) {
		list = append(list, say{text, at.Add(b.chars(len(text)) + 5*time.Millisecond)})
	}
	return list, nil
}

func (b *Board) hit(share float64) bool { return share > 0 && b.rng.Float64() < share }

// obey does what a request says. The lock is held.
func (b *Board) obey(q modbus.Request) (modbus.Answer, error) {
	a := modbus.Answer{Address: q.Address, Function: q.Function, Start: q.Start, Count: q.Count, Value: q.Value}
	switch q.Function {
	case modbus.WriteCoil:
		a.Count = 0
	case modbus.WriteCoils:
		a.Value = 0
	default:
		a.Start, a.Count = 0, 0
	}
	refuse := func(e modbus.Exception) (modbus.Answer, error) {
		return modbus.Answer{Address: q.Address, Function: q.Function, Exception: e}, nil
	}
	from, n := int(q.Start)-b.cfg.First, int(q.Count)
	coil, d, flash := q.Flashes()
	if flash {
		from = int(coil) - b.cfg.First
	}
	there := len(b.coil)
	if q.Function == modbus.ReadInputs {
		there = max(8, len(b.cfg.Inputs))
	}
	allOn, all := q.All()
	if !all && (from < 0 || from+n > there) {
		return refuse(2)
	}
	switch {
	case q.Function == modbus.ReadCoils:
		now := time.Now()
		for i := range n {
			a.Bits = append(a.Bits, b.on(from+i, now))
		}
	case q.Function == modbus.ReadInputs:
		for i := range n {
			yes, err := b.contact(from + i)
			if err != nil {
				return a, err
			}
			a.Bits = append(a.Bits, yes)
		}
	case q.Toggles():
		return a, errors.New("harm: a relay was toggled: repeated, that does the opposite")
	case all && allOn:
		return a, errors.New("harm: all relays were switched on at once")
	case all:
		return a, b.row(0, make([]bool, len(b.coil)))
	case flash && b.cfg.Faults.NoFlash:
		return refuse(2)
	case flash && b.cfg.Faults.Stuck:
		return a, b.set(from, true, 0)
	case flash:
		return a, b.set(from, true, d)
	case q.Function == modbus.WriteCoil:
		return a, b.set(from, q.Closes(), 0)
	case b.cfg.Faults.NoRow:
		return refuse(1)
	default:
		return a, b.row(from, q.Bits)
	}
	return a, nil
}

func (b *Board) row(from int, bits []bool) error {
	var errs []error
	for i, on := range bits {
		errs = append(errs, b.set(from+i, on, 0))
	}
	return errors.Join(errs...)
}

// contact is a contact's state: closed is the good answer.
func (b *Board) contact(i int) (bool, error) {
	if i >= len(b.cfg.Inputs) || b.cfg.Inputs[i] == "" {
		return false, nil
	}
	v, err := b.cfg.Plant.Read(b.cfg.Inputs[i])
	if errors.Is(err, driver.ErrInvalid) {
		return false, nil // a broken wire
	}
	return v >= 0.5, err
}
