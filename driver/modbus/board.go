package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"barista/driver"
	"barista/driver/board"
	"barista/driver/serial"
)

const (
	lookBusy = 100 * time.Millisecond // while a relay is on, and a little longer
	lookIdle = 300 * time.Millisecond // where there are contacts
	calm     = 2 * time.Second
	staleAge = time.Second // of a contact

	proofTicks = 5 // of the spare relay
	proofTime  = 1500 * time.Millisecond
)

// protocol speaks to one board.
type protocol struct {
	*board.Board
	cfg Config
	bus *bus

	// The port's owner has these.
	relays map[int]*relay // by number
	single bool           // the board does not know WriteCoils

	cancel context.CancelFunc
	ended  chan struct{}
	kick   chan struct{}

	mu       sync.Mutex
	contacts []bool // by number, from the newest look
	at       time.Time
}

// relay is what the board was told of one relay. It belongs to the port's owner.
type relay struct {
	number int // from 1
	coil   uint16

	since  time.Time     // when the newest on was sent
	lasts  time.Duration // of the board's timer; 0: none
	opened int           // looks in a row at which it was open all the same
	ending bool          // an off was sent; it may have come through
	row    bool          // switch off by WriteCoils next: the other form got no answer
	offs   [2]unanswered // by WriteCoil, by WriteCoils
}

// unanswered is how often a relay was told off in one form without an answer.
type unanswered struct {
	times int
	last  time.Time
	until time.Time // an answer until then may be one to an off from before the newest on
}

// mostLate is how late an answer may be. What was not answered by then never is.
const mostLate = time.Second

func (u *unanswered) sent(now time.Time) {
	if now.Sub(u.last) >= mostLate {
		u.times = 0
	}
	u.times, u.last = u.times+1, now
}

// switchedOn: from here on an old answer proves nothing.
func (u *unanswered) switchedOn() {
	if u.times > 0 {
		u.until = u.last.Add(mostLate)
	}
}

// doubtful reports that nobody knows whether an answer is one to an off from after the
// newest on.
func (u *unanswered) doubtful(now time.Time) bool { return now.Before(u.until) }

// relay is by number, from 1.
func (p *protocol) relay(number int) *relay {
	r := p.relays[number]
	if r == nil {
		r = &relay{number: number, coil: uint16(number - 1 + p.cfg.First)}
		p.relays[number] = r
	}
	return r
}

// Open opens the port, finds the board, and hands it over with every relay in
// use at rest.
func Open(cfg Config) (driver.Rig, error) {
	cfg = cfg.withDefaults()
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return driver.Rig{}, fmt.Errorf("modbus board: %w", err)
	}
	p := newProtocol(cfg)
	if err := p.Open(cfg.Port); err != nil {
		return driver.Rig{}, err
	}
	if err := p.prove(); err != nil {
		return driver.Rig{}, errors.Join(p.Named(err), p.Port.Close())
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	go p.watch(ctx)
	rig := p.Rig(driver.Identity{Kind: "modbus", Model: fmt.Sprintf("rtu-%d", cfg.Relays), Unit: strconv.Itoa(cfg.Address)}, p.timer())
	for s, c := range cfg.Inputs {
		rig.Sensors[s] = sensor{p, s, c}
	}
	rig.Close = p.close
	return rig, nil
}

func newProtocol(cfg Config) *protocol {
	p := &protocol{
		cfg:    cfg,
		bus:    &bus{address: byte(cfg.Address), first: uint16(cfg.First), relays: uint16(cfg.Relays), baud: cfg.Port.Baud},
		relays: map[int]*relay{},
		ended:  make(chan struct{}),
		kick:   make(chan struct{}, 1),
	}
	p.Board = board.New(fmt.Sprintf("modbus board %d at %s", cfg.Address, cfg.Port.Device), cfg.Outputs, p)
	for _, c := range cfg.Inputs {
		p.bus.inputs = max(p.bus.inputs, uint16(c.Number))
	}
	return p
}

func (p *protocol) timer() bool { return p.cfg.Timer != TimerNone }

func (p *protocol) close() error {
	p.cancel()
	<-p.ended
	return p.Port.Close()
}

// Check finds the board with the relays that it should have, and switches ours
// off.
func (p *protocol) Check(_ context.Context, l *serial.Line) error {
	coils, err := atOpening(func() ([]bool, error) { return p.bus.coils(l) })
	switch {
	case errors.Is(err, Exception(2)):
		return fmt.Errorf("relays %d to %d on the wire: %w: fewer relays than configured, or it counts them from %d", p.cfg.First, p.cfg.First+p.cfg.Relays-1, err, 1-p.cfg.First)
	case errors.Is(err, board.ErrNoAnswer):
		return fmt.Errorf("%w: check its power, the two data wires (A and B swapped?), its address and its speed", err)
	case err != nil:
		return err
	}
	for _, o := range p.Outputs {
		if !coils[o.Number-1] {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), board.CallTime)
		err := p.rest(ctx, l, p.relay(o.Number))
		cancel()
		if err != nil {
			return fmt.Errorf("relay %d (%s) was found on and can't be switched off: %w", o.Number, o.Part, err)
		}
	}
	if p.bus.inputs > 0 {
		asked := time.Now()
		bits, err := atOpening(func() ([]bool, error) { return p.bus.contacts(l) })
		if errors.Is(err, Exception(1)) || errors.Is(err, Exception(2)) {
			return fmt.Errorf("contacts 1 to %d: %w", p.bus.inputs, err)
		}
		if err != nil {
			return err
		}
		p.saw(asked, bits)
	}
	return nil
}

// prove has the board close the spare relay and open it by itself.
func (p *protocol) prove() error {
	if p.cfg.Timer != TimerFlash {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*proofTime)
	defer cancel()
	at := p.cfg.Spare - 1
	coil := uint16(at + p.cfg.First)
	err := p.Port.Do(ctx, func(l *serial.Line) error {
		began := time.Now()
		_, err := atOpening(func() (Answer, error) {
			began = time.Now()
			return p.bus.ask(l, Flash(p.bus.address, coil, proofTicks))
		})
		if err != nil {
			return err
		}
		for closed := false; ; {
			coils, err := atOpening(func() ([]bool, error) { return p.bus.coils(l) })
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
				_, err := p.bus.ask(l, Off(p.bus.address, coil))
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
		return fmt.Errorf("the board's timer was tried on the spare relay %d: %w", p.cfg.Spare, err)
	}
	return nil
}

// noTimer is what a board does that has none.
type noTimer string

func (n noTimer) Error() string { return string(n) }

// saw keeps what the contacts said.
func (p *protocol) saw(at time.Time, bits []bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.contacts, p.at = bits, at
}

// watch looks at the contacts, and while a relay is on also at the relays.
func (p *protocol) watch(ctx context.Context) {
	defer close(p.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var busy time.Time // until then
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.kick:
		}
		on := slices.ContainsFunc(p.Outputs, (*board.Output).IsOn)
		if on {
			busy = time.Now().Add(calm)
		}
		// What goes wrong here shows where it matters: contacts become stale, and an
		// On or Off has its own look. Each question is a piece of work of its own, so
		// that an Off waits for one of them at most.
		if p.bus.inputs > 0 {
			asked := time.Now()
			_ = p.ask(ctx, ReadInputs, p.bus.inputs, func(bits []bool) { p.saw(asked, bits) })
		}
		if on {
			_ = p.ask(ctx, ReadCoils, p.bus.relays, p.compare)
		}
		switch {
		case !on && p.bus.inputs == 0:
			timer.Stop() // until a relay goes on
		case time.Now().Before(busy):
			timer.Reset(lookBusy)
		default:
			timer.Reset(lookIdle)
		}
	}
}

// ask puts one question.
func (p *protocol) ask(ctx context.Context, what Function, count uint16, got func([]bool)) error {
	ctx, cancel := context.WithTimeout(ctx, board.CallTime)
	defer cancel()
	return p.Port.Do(ctx, func(l *serial.Line) error {
		a, err := p.bus.ask(l, Read(p.bus.address, what, p.bus.first, count))
		if err == nil {
			got(a.Bits)
		}
		return err
	})
}

// compare notes relays that opened by themselves before their time: a board
// that lost its power, or a hand on it. Twice in a row, as a look can be at an
// answer that is just getting old.
func (p *protocol) compare(coils []bool) {
	for _, o := range p.Outputs {
		r := p.relay(o.Number)
		if o.IsOn() && !r.ending && !coils[r.number-1] && !r.over(time.Now().Add(Tick)) {
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
