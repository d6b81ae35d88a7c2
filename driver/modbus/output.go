package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"barista/driver"
	"barista/driver/board"
	"barista/driver/serial"
)

// On closes the relay; with a timer the board opens it after atMost, in steps of
// 100 ms.
func (p *protocol) On(ctx context.Context, l *serial.Line, o *board.Output, atMost time.Duration) error {
	defer func() {
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}()
	began := time.Now()
	r := p.relay(o.Number)
	if r.ending {
		// Answers of an off that was never confirmed may still be on their way, and
		// of the on before it, which look like ours.
		if err := p.rest(ctx, l, r); err != nil {
			return fmt.Errorf("its last off was never confirmed: %w", err)
		}
		if err := p.rested(l, o, r); err != nil {
			return err
		}
	}
	// It is sent once more only when its answer did not come and the board says that
	// the relay is still open.
	for try := 1; ; try++ {
		r.since, r.lasts, r.opened = time.Now(), 0, 0
		for i := range r.offs {
			r.offs[i].switchedOn()
		}
		q := On(p.bus.address, r.coil)
		if p.timer() {
			ticks := max(int((atMost-r.since.Sub(began))/Tick), 1)
			q, r.lasts = Flash(p.bus.address, r.coil, ticks), time.Duration(ticks)*Tick
		}
		o.Told(l)
		r.ending = false
		_, err := p.bus.ask(l, q)
		if err != nil && !errors.Is(err, board.ErrNoAnswer) {
			return err
		}
		coils, back := p.bus.coils(l)
		switch {
		case back != nil:
			return fmt.Errorf("nobody knows whether it is on: %w", back)
		case coils[r.number-1], r.over(time.Now()):
			return p.others(coils)
		case err != nil && try == 1:
			continue
		case err != nil:
			return err
		}
		return errors.New("the board took the command, and says that the relay is open")
	}
}

// others says which relay of ours is on without having been told.
func (p *protocol) others(coils []bool) error {
	for _, o := range p.Outputs {
		if coils[o.Number-1] && !o.IsOn() {
			return fmt.Errorf("relay %d (%s) is on, and nobody told it to", o.Number, o.Part)
		}
	}
	return nil
}

// Off opens the relay and proves it.
func (p *protocol) Off(ctx context.Context, l *serial.Line, o *board.Output) error {
	r := p.relay(o.Number)
	if err := p.rest(ctx, l, r); err != nil {
		return err
	}
	return p.rested(l, o, r)
}

// rest opens a relay until the board has confirmed it: by the answer to the
// command, and then by the relays read back. Only a read that was asked for
// after that answer counts: older answers may still be on their way. So may that to
// an off from before the newest on, and then that form of it proves nothing.
func (p *protocol) rest(ctx context.Context, l *serial.Line, r *relay) error {
	err := board.ErrNoAnswer
	for ctx.Err() == nil {
		row := r.row && !p.single
		q, form := Off(p.bus.address, r.coil), &r.offs[0]
		if row {
			q, form = OffAll(p.bus.address, r.coil, 1), &r.offs[1]
		}
		r.ending = true
		form.sent(time.Now())
		_, e := p.bus.ask(l, q)
		if e == nil || errors.As(e, new(Exception)) {
			form.times--
		}
		if e == nil && form.doubtful(time.Now()) {
			e = board.ErrNoAnswer // to this one, as far as anybody knows
		}
		switch {
		case errors.Is(e, board.ErrNoAnswer):
			r.row = !row
			continue
		case errors.Is(e, Exception(1)) && row:
			p.single = true
			continue
		}
		var coils []bool
		if e == nil {
			coils, e = p.bus.coils(l)
		}
		switch {
		case errors.Is(e, board.ErrNoAnswer):
			continue
		case e != nil && ctx.Err() != nil:
			return err // what was seen on the wire says more than the end of the time
		case e != nil:
			return e
		case !coils[r.number-1]:
			return nil
		}
		err = fmt.Errorf("%w: the board took the command, and says that the relay is still closed", driver.ErrFeedback)
	}
	return err
}

// rested notes a relay that is off now, and says if nobody knows how long it was
// on. That is said once.
func (p *protocol) rested(l *serial.Line, o *board.Output, r *relay) error {
	lost := o.IsOn() && r.opened >= lostAfter
	r.ending, r.opened = false, 0
	if err := o.Rested(l); err != nil || !lost {
		return err
	}
	return errors.New("it is off now, but it had opened by itself: did the board lose its power?")
}

var _ driver.Sensor = sensor{}

type sensor struct {
	p      *protocol
	signal driver.Signal
	c      Contact
}

func (s sensor) Read() (driver.Reading, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.c.Number > len(s.p.contacts) || time.Since(s.p.at) > staleAge {
		return driver.Reading{}, fmt.Errorf("cannot read %s (contact %d): %w for %v: the board does not answer", s.signal, s.c.Number, driver.ErrInvalid, staleAge)
	}
	v := 0.0
	if s.p.contacts[s.c.Number-1] != s.c.Low {
		v = 1
	}
	return driver.Reading{Value: v, At: s.p.at}, nil
}
