package modbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

const (
	offWithin = 250 * time.Millisecond
	callTime  = 230 * time.Millisecond // of On and Off, so that the guard hears the reason

	lookBusy = 100 * time.Millisecond // while a relay is on, and a little longer
	lookIdle = 300 * time.Millisecond // where there are contacts
	calm     = 2 * time.Second
	staleAge = time.Second // of a contact

	proofTicks = 5 // of the spare relay
	proofTime  = 1500 * time.Millisecond
)

// board is one board behind its port.
type board struct {
	cfg  Config
	bus  *bus
	port *serial.Port

	cancel context.CancelFunc
	ended  chan struct{}
	kick   chan struct{}

	mu       sync.Mutex
	relays   map[driver.Part]*relay
	contacts []bool // by number, from the newest look
	at       time.Time
	last     time.Time // of the newest command
	single   bool      // it does not know WriteCoils
}

// relay is one part's. Under board.mu; changed by the port's owner only.
type relay struct {
	part   driver.Part
	number int // from 1
	coil   uint16

	on     bool          // by our command
	since  time.Time     // when that was sent
	lasts  time.Duration // of the board's timer; 0: none
	gen    uint64        // of the connection on which it was sent
	opened int           // looks in a row at which it was open all the same
	ending bool          // an off was sent; it may have come through
	row    bool          // switch off by WriteCoils next: the other form got no answer
}

// Open opens the port, finds the board, and hands it over with every relay in
// use at rest.
func Open(cfg Config) (driver.Rig, error) {
	cfg = cfg.withDefaults()
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return driver.Rig{}, fmt.Errorf("modbus board: %w", err)
	}
	b := newBoard(cfg)
	cfg.Port.Check = b.check
	var err error
	if b.port, err = serial.Open(cfg.Port); err != nil {
		return driver.Rig{}, b.named(err)
	}
	if err := b.prove(); err != nil {
		return driver.Rig{}, errors.Join(b.named(err), b.port.Close())
	}
	var ctx context.Context
	ctx, b.cancel = context.WithCancel(context.Background())
	go b.watch(ctx)
	return b.rig(), nil
}

func newBoard(cfg Config) *board {
	b := &board{
		cfg:    cfg,
		bus:    &bus{address: byte(cfg.Address), first: uint16(cfg.First), relays: uint16(cfg.Relays), baud: cfg.Port.Baud},
		ended:  make(chan struct{}),
		kick:   make(chan struct{}, 1),
		relays: map[driver.Part]*relay{},
	}
	for p, r := range cfg.Outputs {
		b.relays[p] = &relay{part: p, number: r.Number, coil: uint16(r.Number - 1 + cfg.First)}
	}
	for _, c := range cfg.Inputs {
		b.bus.inputs = max(b.bus.inputs, uint16(c.Number))
	}
	return b
}

func (b *board) named(err error) error {
	return fmt.Errorf("modbus board %d at %s: %w", b.cfg.Address, b.cfg.Port.Device, err)
}

func (b *board) rig() driver.Rig {
	rig := driver.Rig{
		Identity: driver.Identity{
			Kind: "modbus", Model: fmt.Sprintf("rtu-%d", b.cfg.Relays),
			Serial: fmt.Sprintf("%s/%d", filepath.Base(b.cfg.Port.Device), b.cfg.Address),
		},
		Outputs: map[driver.Part]driver.Wire{}, Sensors: map[driver.Signal]driver.Sensor{},
		OffWithin: offWithin, Close: b.close,
	}
	for p, r := range b.relays {
		deadman := b.cfg.Outputs[p].Deadman
		if b.timer() && deadman != driver.DeadmanExternal {
			deadman = driver.DeadmanBoard
		} else if deadman == "" {
			deadman = driver.DeadmanNone
		}
		rig.Outputs[p] = driver.Wire{Output: output{b, r}, Port: b.cfg.Port.Device, Deadman: deadman}
	}
	for s, c := range b.cfg.Inputs {
		rig.Sensors[s] = sensor{b, s, c}
	}
	return rig
}

func (b *board) timer() bool { return b.cfg.Timer != TimerNone }

func (b *board) close() error {
	b.cancel()
	<-b.ended
	return b.port.Close()
}

// check runs on each new connection, before anybody else may use it: the board
// is there, has the relays that it should have, and ours are off.
func (b *board) check(_ context.Context, l *serial.Line) error {
	coils, err := atOpening(func() ([]bool, error) { return b.bus.coils(l) })
	switch {
	case errors.Is(err, Exception(2)):
		return fmt.Errorf("relays %d to %d on the wire: %w: fewer relays than configured, or it counts them from %d", b.cfg.First, b.cfg.First+b.cfg.Relays-1, err, 1-b.cfg.First)
	case errors.Is(err, errNoAnswer):
		return fmt.Errorf("%w: check its power, the two data wires (A and B swapped?), its address and its speed", err)
	case err != nil:
		return err
	}
	for _, r := range b.sorted() {
		if !coils[r.number-1] {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		err := b.rest(ctx, l, r)
		cancel()
		if err != nil {
			return fmt.Errorf("relay %d (%s) was found on and can't be switched off: %w", r.number, r.part, err)
		}
	}
	if b.bus.inputs > 0 {
		asked := time.Now()
		bits, err := atOpening(func() ([]bool, error) { return b.bus.contacts(l) })
		if errors.Is(err, Exception(1)) || errors.Is(err, Exception(2)) {
			return fmt.Errorf("contacts 1 to %d: %w", b.bus.inputs, err)
		}
		if err != nil {
			return err
		}
		b.saw(asked, bits)
	}
	return nil
}

func (b *board) sorted() []*relay {
	return slices.SortedFunc(maps.Values(b.relays), func(x, y *relay) int { return x.number - y.number })
}

// prove has the board close the spare relay and open it by itself.
func (b *board) prove() error {
	if b.cfg.Timer != TimerFlash {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*proofTime)
	defer cancel()
	at := b.cfg.Spare - 1
	coil := uint16(at + b.cfg.First)
	err := b.port.Do(ctx, func(l *serial.Line) error {
		began := time.Now()
		_, err := atOpening(func() (Answer, error) {
			began = time.Now()
			return b.bus.ask(l, Flash(b.bus.address, coil, proofTicks))
		})
		if err != nil {
			return err
		}
		for closed := false; ; {
			coils, err := atOpening(func() ([]bool, error) { return b.bus.coils(l) })
			switch {
			case err != nil:
				return err
			case coils[at]:
				closed = true
			case closed:
				return nil
			default:
				return noTimer("it did not close")
			}
			if time.Since(began) > proofTime {
				_, err := b.bus.ask(l, Off(b.bus.address, coil))
				return errors.Join(noTimer("it did not open by itself"), err)
			}
			if err := l.Quiet(50 * time.Millisecond); err != nil {
				return err
			}
		}
	})
	var refused Exception
	if none := noTimer(""); errors.As(err, &refused) || errors.As(err, &none) {
		err = fmt.Errorf("%w: old firmware has none; then set timer: none and wire a dead man's switch", err)
	}
	if err != nil {
		return fmt.Errorf("the board's timer was tried on the spare relay %d: %w", b.cfg.Spare, err)
	}
	return nil
}

// noTimer is what a board does that has none.
type noTimer string

func (n noTimer) Error() string { return string(n) }

// saw keeps what the contacts said.
func (b *board) saw(at time.Time, bits []bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.contacts, b.at = bits, at
}

// watch looks at the contacts, and while a relay is on also at the relays.
func (b *board) watch(ctx context.Context) {
	defer close(b.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-b.kick:
		}
		busy := b.look(ctx)
		switch {
		case busy:
			timer.Reset(lookBusy)
		case b.bus.inputs > 0:
			timer.Reset(lookIdle)
		default:
			timer.Stop() // until a relay goes on
		}
	}
}

// look asks once, and reports whether something is going on.
func (b *board) look(ctx context.Context) (busy bool) {
	on := false
	b.mu.Lock()
	for _, r := range b.relays {
		on = on || r.on
	}
	busy = on || time.Since(b.last) < calm
	b.mu.Unlock()
	if !on && b.bus.inputs == 0 {
		return false
	}
	// What goes wrong here shows where it matters: contacts become stale, and an
	// On or Off has its own look. Each question is a piece of work of its own, so
	// that an Off waits for one of them at most.
	if b.bus.inputs > 0 {
		asked := time.Now()
		_ = b.ask(ctx, ReadInputs, b.bus.inputs, func(bits []bool) { b.saw(asked, bits) })
	}
	if on {
		_ = b.ask(ctx, ReadCoils, b.bus.relays, b.compare)
	}
	return busy
}

// ask puts one question.
func (b *board) ask(ctx context.Context, what Function, count uint16, got func([]bool)) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return b.port.Do(ctx, func(l *serial.Line) error {
		a, err := b.bus.ask(l, Read(b.bus.address, what, b.bus.first, count))
		if err == nil {
			got(a.Bits)
		}
		return err
	})
}

// compare notes relays that opened by themselves before their time: a board
// that lost its power, or a hand on it. Twice in a row, as a look can be at an
// answer that is just getting old.
func (b *board) compare(coils []bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.relays {
		if r.on && !r.ending && !coils[r.number-1] && !r.over(time.Now().Add(Tick)) {
			r.opened++
		} else if r.opened < lostAfter {
			r.opened = 0
		}
	}
}

// lostAfter is how many looks in a row make a relay that opened by itself.
const lostAfter = 2

// over reports that the board's own timer may have opened it by then.
func (r *relay) over(then time.Time) bool { return r.lasts > 0 && then.Sub(r.since) >= r.lasts }
