// Package board is what relay boards on a serial port have in common, whatever
// they are spoken to in: which part hangs on which relay, the outputs with their
// bounds, what is known of a relay over a cable that was out, and safe-off.
//
// # What it promises
//
//   - A call of On or Off ends within 230 ms, with the reason if it failed.
//   - When the cable was out while a relay was on, the next Off is an error, once:
//     nobody knows how long it really ran.
//   - SafeOff ends within 2 s and names everything that may be on.
//
// # What it must never do
//
// Write to the port by itself: every byte on the wire is the Protocol's.
//
// # Who starts and stops it
//
// The driver of a kind of board: New, then Open, then Rig. There is no goroutine
// but the port's.
package board

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

// CallTime bounds On and Off. It is less than what a rig promises, so that the
// guard hears the reason.
const CallTime = 230 * time.Millisecond

const (
	offWithin   = 250 * time.Millisecond
	safeOffTime = 1900 * time.Millisecond // of the 2 s that SafeOff promises
)

// ErrNoAnswer: nobody knows whether the board took it.
var ErrNoAnswer = errors.New("the board does not answer")

// Relay is what one part hangs on.
type Relay struct {
	Number  int            // as printed on the board, from 1
	Deadman driver.Deadman // "": the board itself if it has a timer, else none
}

// CutOff is what cuts the part off when this computer is dead, on a board with such
// a timer or without.
func (r Relay) CutOff(timer bool) driver.Deadman {
	switch {
	case timer && r.Deadman != driver.DeadmanExternal:
		return driver.DeadmanBoard
	case r.Deadman == "":
		return driver.DeadmanNone
	}
	return r.Deadman
}

// Rewire is what can be done about relays that do not go together.
const Rewire = "change the wiring in this section, or on the board"

// Problems finds what is wrong with the relays in use. relays is how many the
// board has, 0 if nobody knows; spare is one that must stay free, 0 if none must.
func Problems(outputs map[driver.Part]Relay, relays, spare int) []driver.Problem {
	var list []driver.Problem
	add := func(section, key, format string, a ...any) {
		list = append(list, driver.Problem{Section: section, Key: key, Reason: fmt.Sprintf(format, a...), Fix: Rewire})
	}
	if len(outputs) == 0 {
		add("", "", "no relay is used: there is nothing to make coffee with")
	}
	users := map[int]string{}
	use := func(section, key, who string, n int) {
		switch {
		case n < 1 || n > relays && relays > 0:
			add(section, key, "the board has no relay %d", n)
		case users[n] != "":
			add("", "", "%s and %s are both on relay %d", users[n], who, n)
		default:
			users[n] = who
		}
	}
	for _, p := range slices.Sorted(maps.Keys(outputs)) {
		use("outputs", string(p), string(p), outputs[p].Number)
	}
	if spare != 0 {
		use("", "spare_relay", "the spare", spare)
	}
	return list
}

// Protocol is how one kind of board is spoken to. The owner of the port calls it,
// one call at a time.
type Protocol interface {
	// Check runs on each new connection, before anything else: it is the right
	// board, and every relay in use is open.
	Check(ctx context.Context, l *serial.Line) error
	// On closes a relay, and is an error if the board does not confirm that. It
	// tells o what it sent (Output.Told).
	On(ctx context.Context, l *serial.Line, o *Output, atMost time.Duration) error
	// Off opens a relay, and is an error if the board does not confirm that. It
	// ends with Output.Rested.
	Off(ctx context.Context, l *serial.Line, o *Output) error
}

// Board is one board behind its port.
type Board struct {
	Outputs []*Output    // by the number of their relay
	Port    *serial.Port // once it is open

	name     string
	protocol Protocol
}

// New makes a board, without its port. name is what errors call it.
func New(name string, relays map[driver.Part]Relay, p Protocol) *Board {
	b := &Board{name: name, protocol: p}
	for part, r := range relays {
		b.Outputs = append(b.Outputs, &Output{Part: part, Relay: r, board: b})
	}
	slices.SortFunc(b.Outputs, func(x, y *Output) int {
		return cmp.Or(cmp.Compare(x.Number, y.Number), cmp.Compare(x.Part, y.Part))
	})
	return b
}

// Named is an error of this board.
func (b *Board) Named(err error) error { return fmt.Errorf("%s: %w", b.name, err) }

// Open opens the port. Every relay in use is open when it returns.
func (b *Board) Open(cfg serial.Config) (err error) {
	cfg.Check = b.protocol.Check
	if b.Port, err = serial.Open(cfg); err != nil {
		return b.Named(err)
	}
	return nil
}

// Rig is the board as the guard takes it, without sensors: one of this kind, model and
// unit, known by its adapter. timer: the board opens
// a relay by itself after the time that On was given.
func (b *Board) Rig(id driver.Identity, timer bool) driver.Rig {
	id.Place = filepath.Base(b.Port.Name())
	id.Serial, id.Alike = b.Port.Adapter().Number()
	rig := driver.Rig{
		Identity: id, Outputs: map[driver.Part]driver.Wire{}, Sensors: map[driver.Signal]driver.Sensor{},
		OffWithin: offWithin, Close: b.Port.Close,
	}
	for _, o := range b.Outputs {
		rig.Outputs[o.Part] = driver.Wire{Output: o, Port: b.Port.Name(), Deadman: o.CutOff(timer)}
	}
	return rig
}

// SafeOff takes the port for itself (driver.ErrBusyLine while another process has
// it) and has rest open every relay in use, within 2 s. It is for the time after a
// service has died. A file with a mistake in it is no reason to leave a relay on:
// parts on relays that no board has, above most, are named and left out. What may
// be on is a driver.MayBeOnError.
func (b *Board) SafeOff(cfg serial.Config, most int, rest func(ctx context.Context, l *serial.Line) error) error {
	var errs []error
	b.Outputs = slices.DeleteFunc(b.Outputs, func(o *Output) bool {
		wrong := o.Number < 1 || o.Number > most
		if wrong {
			errs = append(errs, b.Named(&driver.MayBeOnError{What: string(o.Part), Err: fmt.Errorf("the board has no relay %d", o.Number)}))
		}
		return wrong
	})
	if len(b.Outputs) == 0 {
		return b.Named(errors.Join(append(errs, errors.New("there is no relay to switch off"))...))
	}
	ctx, cancel := context.WithTimeout(context.Background(), safeOffTime)
	defer cancel()
	cfg.Check = nil
	port, err := serial.Open(cfg)
	if err != nil {
		return errors.Join(append(errs, b.MayBeOn(err))...)
	}
	said := make(chan error, 1) // Do may be back before the work is
	err = port.Do(ctx, func(l *serial.Line) error {
		said <- rest(ctx, l)
		return nil
	})
	select {
	case err = <-said:
	default:
	}
	if _, named := errors.AsType[*driver.MayBeOnError](err); named {
		err = b.Named(err)
	} else if err != nil {
		err = b.MayBeOn(err)
	}
	return errors.Join(append(errs, err, port.Close())...)
}

// MayBeOn is an error that leaves every output in doubt.
func (b *Board) MayBeOn(err error) error {
	var names []string
	for _, o := range b.Outputs {
		names = append(names, string(o.Part))
	}
	return b.Named(&driver.MayBeOnError{What: strings.Join(names, ", "), Err: err})
}

var _ driver.Output = (*Output)(nil)

// Output is the relay of one part.
type Output struct {
	Part driver.Part
	Relay

	board *Board
	told  atomic.Bool // on, by our command; changed by the port's owner only
	gen   uint64      // of the connection on which that was sent; the owner's
}

func (o *Output) String() string { return fmt.Sprintf("%s (relay %d)", o.Part, o.Number) }

// On closes the relay. A board with a timer opens it after atMost; for the others
// the guard keeps the time.
func (o *Output) On(atMost time.Duration) error {
	if atMost <= 0 {
		return fmt.Errorf("cannot switch %s on for %v: the time must be above 0", o, atMost)
	}
	return o.call("on", func(ctx context.Context, l *serial.Line) error { return o.board.protocol.On(ctx, l, o, atMost) })
}

// Off opens the relay.
func (o *Output) Off() error {
	return o.call("off", func(ctx context.Context, l *serial.Line) error { return o.board.protocol.Off(ctx, l, o) })
}

func (o *Output) call(what string, work func(context.Context, *serial.Line) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), CallTime, ErrNoAnswer)
	defer cancel()
	if err := o.board.Port.Do(ctx, func(l *serial.Line) error { return work(ctx, l) }); err != nil {
		return fmt.Errorf("cannot switch %s %s: %w", o, what, o.board.Named(err))
	}
	return nil
}

// IsOn reports whether it was told to be on, and not off since. Any goroutine may
// ask.
func (o *Output) IsOn() bool { return o.told.Load() }

// Told notes that an on is being sent. The port's owner calls it.
func (o *Output) Told(l *serial.Line) {
	if !o.told.Swap(true) {
		o.gen = l.Generation() // an earlier on has its own
	}
}

// Rested notes that the relay is open now. It is an error, once, if the cable was
// out while it was on. The port's owner calls it.
func (o *Output) Rested(l *serial.Line) error {
	if o.told.Swap(false) && o.gen != l.Generation() {
		return errors.New("it is off now, but the cable was out while it was on: nobody knows how long it ran")
	}
	return nil
}
