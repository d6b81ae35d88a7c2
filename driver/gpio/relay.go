package gpio

import (
	"fmt"
	"time"

	periph "periph.io/x/conn/v3/gpio"

	"barista/driver"
)

// relay is one part: its line, what must be so before it goes on, and a contact
// that shows whether it obeyed.
type relay struct {
	part     driver.Part
	out      *Out
	needs    []need
	feedback *contact
}

var (
	_ driver.Output = (*relay)(nil)
	_ driver.Sensor = (*contact)(nil)
)

type need struct {
	signal driver.Signal
	sensor driver.Sensor
}

// contact follows a relay, some 10 ms behind it.
type contact struct {
	in     *In
	active periph.Level
	within time.Duration
}

// On is refused before anything moves if a need isn't met or the contact says
// that the relay is on already, which nobody told it. A GPIO line has no timer:
// the guard keeps atMost.
func (r *relay) On(atMost time.Duration) error {
	if atMost <= 0 {
		return fmt.Errorf("cannot switch %s on for %v: the time must be above 0", r.part, atMost)
	}
	for _, n := range r.needs {
		switch x, err := n.sensor.Read(); {
		case err != nil:
			return fmt.Errorf("cannot switch %s on: it needs %s: %w", r.part, n.signal, err)
		case !x.Yes():
			return fmt.Errorf("cannot switch %s on: it needs %s, which says no", r.part, n.signal)
		}
	}
	if r.feedback != nil && !r.out.Active() {
		if err := r.feedback.await(false); err != nil {
			return fmt.Errorf("cannot switch %s on: it should be off: %w", r.part, err)
		}
	}
	if err := r.out.Out(r.out.active); err != nil {
		return fmt.Errorf("cannot switch %s on: %w", r.part, err)
	}
	if r.feedback != nil {
		if err := r.feedback.await(true); err != nil {
			return fmt.Errorf("%s was told to go on: %w", r.part, err)
		}
	}
	return nil
}

// Off always writes, whatever was written before.
func (r *relay) Off() error {
	if err := r.out.Halt(); err != nil {
		return fmt.Errorf("cannot switch %s off, it may be on: %w", r.part, err)
	}
	if r.feedback != nil {
		if err := r.feedback.await(false); err != nil {
			return fmt.Errorf("%s was told to go off, it may be on: %w", r.part, err)
		}
	}
	return nil
}

// Read is what the relay really does, for whoever compares: 1 is on.
func (c *contact) Read() (driver.Reading, error) {
	return sense(c.in, c.in.name, c.active)
}

// await gives the contact its time to follow.
func (c *contact) await(on bool) error {
	late := time.NewTimer(c.within)
	defer late.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		l, err := c.in.Level()
		if err != nil {
			return fmt.Errorf("%w: its feedback can't be read: %w", driver.ErrFeedback, err)
		}
		if (l == c.active) == on {
			return nil
		}
		select {
		case <-again.C:
		case <-late.C:
			if on {
				return fmt.Errorf("%w: its feedback %s still says off: relay, its supply or the wire", driver.ErrFeedback, c.in.name)
			}
			return fmt.Errorf("%w: its feedback %s still says on: a welded relay? cut the power", driver.ErrFeedback, c.in.name)
		}
	}
}
