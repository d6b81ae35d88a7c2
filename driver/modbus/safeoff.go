package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/driver"
	"barista/driver/board"
	"barista/driver/serial"
)

// safeOffTries are all tries of SafeOff. One that has begun may go on for a quarter
// of a second: an off and two questions without an answer.
const safeOffTries = 1600 * time.Millisecond

// SafeOff opens every relay that the file names, the spare one too, within 2 s,
// and has the board prove it: see board.Board.SafeOff. An off is sent to each
// relay before any answer is waited for twice.
func SafeOff(cfg Config) error {
	cfg = cfg.withDefaults()
	cfg.Relays = 0 // as many as are named, whatever the file says
	p := newProtocol(cfg)
	if !slices.Contains(Bauds, cfg.Port.Baud) {
		return p.MayBeOn(fmt.Errorf("%d baud is not possible", cfg.Port.Baud))
	}
	last := time.Now().Add(safeOffTries)
	return p.SafeOff(cfg.Port, MaxRelays, func(ctx context.Context, l *serial.Line) error { return p.restAll(ctx, l, last) })
}

// restAll opens the relays of every output, and the spare one.
func (p *protocol) restAll(ctx context.Context, l *serial.Line, last time.Time) error {
	outputs := p.Outputs
	if p.cfg.Spare >= 1 && p.cfg.Spare <= MaxRelays {
		outputs = append(slices.Clone(outputs), &board.Output{Part: "the spare", Relay: Relay{Number: p.cfg.Spare}})
	}
	for _, o := range outputs {
		p.bus.relays = max(p.bus.relays, uint16(o.Number))
		if _, err := p.bus.ask(l, Off(p.bus.address, p.relay(o.Number).coil)); errors.Is(err, driver.ErrGone) {
			return err
		}
	}
	var errs []error
	for i, o := range outputs {
		// One that does not obey leaves the others their share.
		share, cancel := context.WithTimeout(ctx, time.Until(last)/time.Duration(len(outputs)-i))
		if err := p.rest(share, l, p.relay(o.Number)); err != nil {
			errs = append(errs, &driver.MayBeOnError{What: o.String(), Err: err})
		}
		cancel()
	}
	return errors.Join(errs...)
}
