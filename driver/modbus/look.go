package modbus

import (
	"context"
	"errors"
	"time"

	"barista/driver/serial"
)

// Glance is what a board tells without moving anything.
type Glance struct {
	Relays   []bool // closed, from relay 1
	Contacts []bool // closed, as many as relays; none where the board has no contacts
}

// lookWithin bounds Look.
const lookWithin = 5 * time.Second

// Look reads the relays and contacts of whatever board hangs on the port, by the
// configuration's address, relays and first number; nothing is written. The error
// says that nothing answers as such a board would.
func Look(ctx context.Context, port *serial.Port, cfg Config) (Glance, error) {
	cfg = cfg.withDefaults()
	cfg.Port = port.Config()
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	b := newBoard(cfg)
	seen := make(chan Glance, 1)
	err := port.Do(ctx, func(l *serial.Line) error {
		var g Glance
		var err error
		if g.Relays, err = atOpening(func() ([]bool, error) { return b.bus.coils(l) }); err != nil {
			return err
		}
		b.bus.inputs = uint16(cfg.Relays)
		g.Contacts, err = atOpening(func() ([]bool, error) { return b.bus.contacts(l) })
		if !errors.As(err, new(Exception)) && err != nil {
			return err
		}
		seen <- g
		return nil
	})
	if err != nil {
		return Glance{}, b.named(err)
	}
	return <-seen, nil
}
