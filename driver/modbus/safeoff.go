package modbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

// The promise of SafeOff is 2 s. A try that has begun may go on for a quarter of
// a second: an off and two questions without an answer.
const (
	safeOffTime  = 1900 * time.Millisecond
	safeOffTries = 1600 * time.Millisecond
)

// SafeOff opens every relay that the file names, the spare one too, within 2 s,
// and has the board prove it. It is for the time after a service has died: it
// needs the port for itself (driver.ErrBusyLine while another process has it)
// and nothing else. An off is sent to each relay before any answer is waited for
// twice. The error names the parts that may be on.
func SafeOff(cfg Config) error {
	cfg = cfg.withDefaults()
	// A file with a mistake in it is no reason to leave a relay on: only what is
	// needed here must be right.
	cfg.Relays = cfg.Spare
	for _, r := range cfg.Outputs {
		cfg.Relays = max(cfg.Relays, r.Number)
	}
	if cfg.Relays < 1 || cfg.Relays > MaxRelays || !slices.Contains(Bauds, cfg.Port.Baud) {
		return fmt.Errorf("modbus board at %s: %s may be on: relays up to %d at %d baud are not possible", cfg.Port.Device, cfg.parts(), cfg.Relays, cfg.Port.Baud)
	}
	ctx, cancel := context.WithTimeout(context.Background(), safeOffTime)
	defer cancel()
	last := time.Now().Add(safeOffTries)
	b := newBoard(cfg)
	relays := slices.DeleteFunc(b.sorted(), func(r *relay) bool { return r.number < 1 })
	if cfg.Spare > 0 {
		relays = append(relays, &relay{part: "the spare", number: cfg.Spare, coil: uint16(cfg.Spare - 1 + cfg.First)})
	}
	cfg.Port.Check = nil
	port, err := serial.Open(cfg.Port)
	if err != nil {
		return fmt.Errorf("%s may be on: %w", cfg.parts(), b.named(err))
	}
	said := make(chan error, 1) // once every relay had its turn
	err = port.Do(ctx, func(l *serial.Line) error {
		for _, r := range relays {
			if _, err := b.bus.ask(l, Off(b.bus.address, r.coil)); errors.Is(err, driver.ErrGone) {
				return err
			}
		}
		var errs []error
		for _, r := range b.sorted() {
			if r.number < 1 {
				errs = append(errs, fmt.Errorf("%s may be on: the board has no relay %d", r.part, r.number))
			}
		}
		for i, r := range relays {
			// One that does not obey leaves the others their share.
			share, cancel := context.WithTimeout(ctx, time.Until(last)/time.Duration(len(relays)-i))
			if err := b.rest(share, l, r); err != nil {
				errs = append(errs, fmt.Errorf("%s (relay %d) may be on: %w", r.part, r.number, err))
			}
			cancel()
		}
		said <- errors.Join(errs...)
		return nil
	})
	select {
	case err = <-said:
	default:
		err = fmt.Errorf("%s may be on: %w", cfg.parts(), err)
	}
	if err != nil {
		err = b.named(err)
	}
	return errors.Join(err, port.Close())
}

// parts are the names of what is switched, for people.
func (c Config) parts() string {
	var names []string
	for _, p := range slices.Sorted(maps.Keys(c.Outputs)) {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
