package modbus

import (
	"context"
	"errors"
	"time"

	"barista/driver/serial"
)

// Sighting is what a board told of itself. Nothing was written to it.
type Sighting struct {
	Address int
	First   int // what it counts its relays from on the wire
	// Relays is how many it answers for, of 1, 2, 4, 8, 16, 32. Some boards answer
	// for more than they have.
	Relays int
	// Refused is how a Modbus device that has no relays answered; 0 is none.
	Refused Exception
}

// sightings are how often the first question is put: a board answers at once, and
// what is lost on the way may be asked again, as reading has no effect.
const sightings = 6

// Identify asks a board at address 1 for its first relay, and if there is an
// answer for more of them, with function 01 and nothing else: it reads, no relay
// moves. The error says that nothing answers as a board would; at 9600 baud that
// takes less than a second.
//
// To devices that speak something else its first frame is noise: it has no end of
// a line in it, no A0 or FF, with which frames of other relay boards begin, and
// to a Jura it is half a word. More frames go out only after a board answered. A
// test in cmd/barista/detect holds all of them against every decoder here.
func Identify(l *serial.Line) (Sighting, error) {
	s := Sighting{Address: 1}
	b := &bus{address: 1, baud: 9600}
	count := func(first, n int) error {
		_, err := upTo(sightings, func() (Answer, error) { return b.ask(l, Read(b.address, ReadCoils, uint16(first), uint16(n))) })
		return err
	}
	err := count(0, 1)
	if errors.Is(err, Exception(2)) { // there is no relay 0: it may count from 1
		s.First = 1
		err = count(1, 1)
	}
	if errors.As(err, &s.Refused) {
		s.First = 0
		return s, nil
	}
	if err != nil {
		return Sighting{}, err
	}
	s.Relays = 1
	for n := 2; n <= MaxRelays; n *= 2 {
		err := count(s.First, n)
		if _, refused := errors.AsType[Exception](err); refused {
			break
		}
		if err != nil {
			return s, nil // it is one all the same
		}
		s.Relays = n
	}
	return s, nil
}

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
	b := newProtocol(cfg)
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
		return Glance{}, b.Named(err)
	}
	return <-seen, nil
}
