package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

var (
	_ driver.Output = output{}
	_ driver.Sensor = sensor{}
)

type output struct {
	b *board
	r *relay
}

func (o output) name() string { return fmt.Sprintf("%s (relay %d)", o.r.part, o.r.number) }

// On closes the relay; with a timer the board opens it after atMost, in steps of
// 100 ms.
func (o output) On(atMost time.Duration) error {
	if atMost <= 0 {
		return fmt.Errorf("cannot switch %s on for %v: the time must be above 0", o.name(), atMost)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), callTime, errNoAnswer)
	defer cancel()
	err := o.b.port.Do(ctx, func(l *serial.Line) error { return o.b.on(ctx, l, o.r, atMost) })
	select {
	case o.b.kick <- struct{}{}:
	default:
	}
	if err != nil {
		return fmt.Errorf("cannot switch %s on: %w", o.name(), o.b.named(err))
	}
	return nil
}

// Off opens the relay and proves it.
func (o output) Off() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), callTime, errNoAnswer)
	defer cancel()
	err := o.b.port.Do(ctx, func(l *serial.Line) error {
		if err := o.b.rest(ctx, l, o.r); err != nil {
			return err
		}
		return o.b.rested(o.r, l.Generation())
	})
	if err != nil {
		return fmt.Errorf("cannot switch %s off: %w", o.name(), o.b.named(err))
	}
	return nil
}

// on sends the command and reads the relays back. It is sent once more only when
// its answer did not come and the board says that the relay is still open.
func (b *board) on(ctx context.Context, l *serial.Line, r *relay, atMost time.Duration) error {
	began := time.Now()
	b.mu.Lock()
	ending := r.ending
	b.mu.Unlock()
	if ending {
		// Answers of an off that was never confirmed may still be on their way, and
		// of the on before it, which look like ours.
		if err := b.rest(ctx, l, r); err != nil {
			return fmt.Errorf("its last off was never confirmed: %w", err)
		}
		if err := b.rested(r, l.Generation()); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		q := On(b.bus.address, r.coil)
		sent := time.Now()
		lasts := time.Duration(0)
		if b.timer() {
			ticks := max(int((atMost-sent.Sub(began))/Tick), 1)
			q, lasts = Flash(b.bus.address, r.coil, ticks), time.Duration(ticks)*Tick
		}
		b.mu.Lock()
		if !r.on {
			r.gen = l.Generation() // an earlier on has its own
		}
		r.on, r.ending, r.since, r.lasts, r.opened, b.last = true, false, sent, lasts, 0, sent
		b.mu.Unlock()
		_, err := b.bus.ask(l, q)
		if err != nil && !errors.Is(err, errNoAnswer) {
			return err
		}
		coils, back := b.bus.coils(l)
		switch {
		case back != nil:
			return fmt.Errorf("nobody knows whether it is on: %w", back)
		case coils[r.number-1], r.over(time.Now()):
			return b.others(coils)
		case err != nil && try == 1:
			continue
		case err != nil:
			return err
		}
		return errors.New("the board took the command, and says that the relay is open")
	}
}

// others says which relay of ours is on without having been told.
func (b *board) others(coils []bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.sorted() {
		if coils[r.number-1] && !r.on {
			return fmt.Errorf("relay %d (%s) is on, and nobody told it to", r.number, r.part)
		}
	}
	return nil
}

// rest opens a relay until the board has confirmed it: by the answer to the
// command, and then by the relays read back. Only a read that was asked for
// after that answer counts: older answers may still be on their way.
func (b *board) rest(ctx context.Context, l *serial.Line, r *relay) error {
	err := errNoAnswer
	for ctx.Err() == nil {
		b.mu.Lock()
		row := r.row && !b.single
		b.last, r.ending = time.Now(), true
		b.mu.Unlock()
		q := Off(b.bus.address, r.coil)
		if row {
			q = OffAll(b.bus.address, r.coil, 1)
		}
		_, e := b.bus.ask(l, q)
		if errors.Is(e, errNoAnswer) {
			b.mu.Lock()
			r.row = !row
			b.mu.Unlock()
			continue
		}
		if errors.Is(e, Exception(1)) && row {
			b.mu.Lock()
			b.single = true
			b.mu.Unlock()
			continue
		}
		if e != nil {
			return b.first(ctx, e, err)
		}
		coils, e := b.bus.coils(l)
		switch {
		case errors.Is(e, errNoAnswer):
			continue
		case e != nil:
			return b.first(ctx, e, err)
		case !coils[r.number-1]:
			return nil
		}
		err = fmt.Errorf("%w: the board took the command, and says that the relay is still closed", driver.ErrFeedback)
	}
	return err
}

// first prefers what was seen on the wire to the mere end of the time.
func (b *board) first(ctx context.Context, e, before error) error {
	if ctx.Err() != nil {
		return before
	}
	return e
}

// rested notes a relay that is off now, and says if nobody knows how long it was
// on. That is said once.
func (b *board) rested(r *relay, gen uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	on, opened, was := r.on, r.opened, r.gen
	r.on, r.ending, r.opened = false, false, 0
	switch {
	case on && was != gen:
		return errors.New("it is off now, but the cable was out while it was on: nobody knows how long it ran")
	case on && opened >= lostAfter:
		return errors.New("it is off now, but it had opened by itself: did the board lose its power?")
	}
	return nil
}

type sensor struct {
	b      *board
	signal driver.Signal
	c      Contact
}

func (s sensor) Read() (driver.Reading, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.c.Number > len(s.b.contacts) || time.Since(s.b.at) > staleAge {
		return driver.Reading{}, fmt.Errorf("cannot read %s (contact %d): %w for %v: the board does not answer", s.signal, s.c.Number, driver.ErrInvalid, staleAge)
	}
	v := 0.0
	if s.b.contacts[s.c.Number-1] != s.c.Low {
		v = 1
	}
	return driver.Reading{Value: v, At: s.b.at}, nil
}
