package lcus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

// Relay is what one part hangs on.
type Relay struct {
	Number  int            // as printed on the board, from 1
	Deadman driver.Deadman // none, or external if there is one in the wiring; "" is none
}

// Config is one board.
type Config struct {
	Port    serial.Config
	Relays  int // how many the board has: 1, 2, 4 or 8
	Answers Answers
	Outputs map[driver.Part]Relay
}

const (
	offWithin = 250 * time.Millisecond
	callTime  = 230 * time.Millisecond // of On and Off, so that the guard hears the reason
	// gap stands between two frames: twice what boards need.
	gap = 20 * time.Millisecond
	// patience is how long an answer is waited for: 8 lines of text take 83 ms.
	patience = 150 * time.Millisecond
)

// rewire is what can be done about relays that do not go together.
const rewire = "change the wiring in this section, or on the board"

// Problems finds everything that is wrong with the settings; nothing is opened.
func (c Config) Problems() []driver.Problem {
	list := c.Port.Problems()
	add := func(section, key, fix, format string, a ...any) {
		list = append(list, driver.Problem{Section: section, Key: key, Reason: fmt.Sprintf(format, a...), Fix: fix})
	}
	if c.Port.Baud != 0 && c.Port.Baud != 9600 {
		add("", "baud", "leave it out", "%d baud: these boards know 9600 only", c.Port.Baud)
	}
	if !slices.Contains([]int{1, 2, 4, 8}, c.Relays) {
		add("", "", rewire, "%d relays: these boards have 1, 2, 4 or 8", c.Relays)
	}
	if !slices.Contains([]Answers{"", AnswersNone, AnswersText, AnswersBytes}, c.Answers) {
		add("", "answers", "it is none, text or bytes", "answers %q: there is no such dialect", c.Answers)
	}
	if len(c.Outputs) == 0 {
		add("", "", rewire, "no relay is used: there is nothing to make coffee with")
	}
	users := map[int]driver.Part{}
	for _, p := range slices.Sorted(maps.Keys(c.Outputs)) {
		r := c.Outputs[p]
		switch {
		case r.Number < 1 || r.Number > c.Relays:
			add("outputs", string(p), rewire, "the board has no relay %d", r.Number)
		case users[r.Number] != "":
			add("", "", rewire, "%s and %s are both on relay %d", users[r.Number], p, r.Number)
		default:
			users[r.Number] = p
		}
		switch r.Deadman {
		case "", driver.DeadmanNone, driver.DeadmanExternal:
		default:
			add("outputs", string(p), rewire, "deadman %s: this board has no timer of its own", r.Deadman)
		}
	}
	return list
}

// board is one board behind its port.
type board struct {
	cfg    Config
	port   *serial.Port
	relays []*relay
}

// relay is one part's. Its fields belong to the port's owner.
type relay struct {
	part   driver.Part
	number int
	on     bool   // by our command
	gen    uint64 // of the connection on which that was sent
}

// Open opens the port and switches every relay in use off.
func Open(cfg Config) (driver.Rig, error) {
	if cfg.Answers == "" {
		cfg.Answers = AnswersNone
	}
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return driver.Rig{}, fmt.Errorf("lcus board: %w", err)
	}
	cfg.Port.Baud = 9600
	b := newBoard(cfg)
	cfg.Port.Check = b.check
	var err error
	if b.port, err = serial.Open(cfg.Port); err != nil {
		return driver.Rig{}, b.named(err)
	}
	rig := driver.Rig{
		Identity: driver.Identity{Kind: "lcus", Model: fmt.Sprintf("lcus-%d", cfg.Relays), Serial: filepath.Base(cfg.Port.Device)},
		Outputs:  map[driver.Part]driver.Wire{}, Sensors: map[driver.Signal]driver.Sensor{},
		OffWithin: offWithin, Close: b.port.Close,
	}
	for _, r := range b.relays {
		deadman := cfg.Outputs[r.part].Deadman
		if deadman == "" {
			deadman = driver.DeadmanNone
		}
		rig.Outputs[r.part] = driver.Wire{Output: output{b, r}, Port: cfg.Port.Device, Deadman: deadman}
	}
	return rig, nil
}

func newBoard(cfg Config) *board {
	b := &board{cfg: cfg}
	for p, r := range cfg.Outputs {
		b.relays = append(b.relays, &relay{part: p, number: r.Number})
	}
	slices.SortFunc(b.relays, func(x, y *relay) int { return x.number - y.number })
	return b
}

// safeOffTime is for everything: the promise of SafeOff is 2 s, and eight relays
// take 0.4 s.
const safeOffTime = 1800 * time.Millisecond

// SafeOff sends every relay that the file names its off, twice, within 2 s. It is
// for the time after a service has died: it needs the port for itself
// (driver.ErrBusyLine while another process has it) and nothing else. Nil says
// that the frames went out; only a board that answers can prove that it took
// them. The error names the parts that may be on.
func SafeOff(cfg Config) error {
	if cfg.Answers == "" {
		cfg.Answers = AnswersNone
	}
	cfg.Outputs = maps.Clone(cfg.Outputs)
	// A file with a mistake in it is no reason to leave a relay on: numbers that
	// no board has are left out, and named.
	var wrong []error
	for p, r := range cfg.Outputs {
		if r.Number < 1 || r.Number > MaxRelays {
			wrong = append(wrong, fmt.Errorf("%s may be on: the board has no relay %d", p, r.Number))
			delete(cfg.Outputs, p)
		}
	}
	if len(wrong) > 0 {
		return errors.Join(append(wrong, SafeOff(cfg))...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), safeOffTime)
	defer cancel()
	cfg.Port.Baud, cfg.Port.Check = 9600, nil
	b := newBoard(cfg)
	var names []string
	for _, r := range b.relays {
		names = append(names, string(r.part))
	}
	port, err := serial.Open(cfg.Port)
	if err == nil {
		err = errors.Join(port.Do(ctx, func(l *serial.Line) error { return b.check(ctx, l) }), port.Close())
	}
	if err != nil {
		return b.named(fmt.Errorf("%s may be on: %w", strings.Join(names, ", "), err))
	}
	return nil
}

func (b *board) named(err error) error {
	return fmt.Errorf("lcus board at %s: %w", b.cfg.Port.Device, err)
}

// check runs on each new connection, before anybody else may use it.
func (b *board) check(_ context.Context, l *serial.Line) error {
	for _, r := range b.relays {
		if err := b.write(l, Frame{r.number, false}, 2); err != nil {
			return err
		}
	}
	states, err := b.states(l)
	if err != nil {
		return fmt.Errorf("%w: is answers: %s right for this board?", err, b.cfg.Answers)
	}
	for _, r := range b.relays {
		if states != nil && states[r.number-1] {
			return fmt.Errorf("relay %d (%s) can't be switched off", r.number, r.part)
		}
	}
	return nil
}

// write sends a frame so many times, each with its distance to the one before.
// It comes back when the last one has left the wire and the relay has had its
// time to move: a write alone only hands the bytes to the kernel.
func (b *board) write(l *serial.Line, f Frame, times int) error {
	for range times {
		if err := l.Quiet(gap); err != nil {
			return err
		}
		if err := l.Write(f.Append(nil)); err != nil {
			return err
		}
	}
	return l.Quiet(gap)
}

// errNoAnswer: nobody knows whether the board took it.
var errNoAnswer = errors.New("the board does not answer")

// states reads the relays back; nil of a board that does not answer.
func (b *board) states(l *serial.Line) ([]bool, error) {
	if b.cfg.Answers == AnswersNone {
		return nil, nil
	}
	if err := l.Quiet(gap); err != nil {
		return nil, err
	}
	if err := l.Write([]byte{Query}); err != nil {
		return nil, err
	}
	until := time.Now().Add(patience)
	var got []byte
	for {
		part, err := l.Next(until)
		if errors.Is(err, serial.ErrSilence) {
			return nil, errNoAnswer
		}
		if err != nil {
			return nil, err
		}
		got = append(got, part...)
		states, err := b.cfg.Answers.parse(got, b.cfg.Relays)
		if !errors.Is(err, errMore) {
			return states, err
		}
	}
}

var _ driver.Output = output{}

type output struct {
	b *board
	r *relay
}

func (o output) name() string { return fmt.Sprintf("%s (relay %d)", o.r.part, o.r.number) }

// do is one call.
func (o output) do(what string, work func(l *serial.Line) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), callTime, errNoAnswer)
	defer cancel()
	if err := o.b.port.Do(ctx, work); err != nil {
		return fmt.Errorf("cannot switch %s %s: %w", o.name(), what, o.b.named(err))
	}
	return nil
}

// On closes the relay. The board has no timer: the guard keeps the time.
func (o output) On(atMost time.Duration) error {
	if atMost <= 0 {
		return fmt.Errorf("cannot switch %s on for %v: the time must be above 0", o.name(), atMost)
	}
	return o.do("on", func(l *serial.Line) error {
		if !o.r.on {
			o.r.gen = l.Generation() // an earlier on has its own
		}
		o.r.on = true
		if err := o.b.write(l, Frame{o.r.number, true}, 1); err != nil {
			return err
		}
		states, err := o.b.states(l)
		if err == nil && states != nil && !states[o.r.number-1] {
			err = errors.New("the board says that the relay is open")
		}
		return err
	})
}

// Off opens the relay, with two frames.
func (o output) Off() error {
	return o.do("off", func(l *serial.Line) error {
		if err := o.b.write(l, Frame{o.r.number, false}, 2); err != nil {
			return err
		}
		states, err := o.b.states(l)
		if err == nil && states != nil && states[o.r.number-1] {
			err = errors.New("the board says that the relay is closed")
		}
		if err != nil {
			return err
		}
		on := o.r.on
		o.r.on = false
		if on && o.r.gen != l.Generation() {
			return errors.New("it is off now, but the cable was out while it was on: nobody knows how long it ran")
		}
		return nil
	})
}
