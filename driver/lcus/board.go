package lcus

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

// Relay is what one part hangs on.
type Relay = board.Relay

// Config is one board.
type Config struct {
	Port    serial.Config
	Relays  int // how many the board has: 1, 2, 4 or 8
	Answers Answers
	Outputs map[driver.Part]Relay
}

const (
	// gap stands between two frames: twice what boards need.
	gap = 20 * time.Millisecond
	// patience is how long an answer is waited for: 8 lines of text take 83 ms.
	patience = 150 * time.Millisecond
)

// Problems finds everything that is wrong with the settings; nothing is opened.
func (c Config) Problems() []driver.Problem {
	list := c.Port.Problems()
	add := func(key, fix, format string, a ...any) {
		list = append(list, driver.Problem{Key: key, Reason: fmt.Sprintf(format, a...), Fix: fix})
	}
	if c.Port.Baud != 0 && c.Port.Baud != 9600 {
		add("baud", "leave it out", "%d baud: these boards know 9600 only", c.Port.Baud)
	}
	if !slices.Contains([]int{1, 2, 4, 8}, c.Relays) {
		add("", board.Rewire, "%d relays: these boards have 1, 2, 4 or 8", c.Relays)
	}
	if !slices.Contains([]Answers{"", AnswersNone, AnswersText, AnswersBytes}, c.Answers) {
		add("answers", "it is none, text or bytes", "answers %q: there is no such dialect", c.Answers)
	}
	list = append(list, board.Problems(c.Outputs, c.Relays, 0)...)
	for p, r := range c.Outputs {
		if !slices.Contains([]driver.Deadman{"", driver.DeadmanNone, driver.DeadmanExternal}, r.Deadman) {
			list = append(list, driver.Problem{
				Section: "outputs", Key: string(p), Fix: board.Rewire,
				Reason: fmt.Sprintf("deadman %s: this board has no timer of its own", r.Deadman),
			})
		}
	}
	return list
}

// protocol speaks to one board.
type protocol struct {
	*board.Board
	relays  int
	answers Answers
}

func newProtocol(cfg Config) *protocol {
	p := &protocol{relays: cfg.Relays, answers: cfg.Answers}
	p.Board = board.New("lcus board at "+cfg.Port.Device, cfg.Outputs, p)
	return p
}

// Open opens the port and switches every relay in use off.
func Open(cfg Config) (driver.Rig, error) {
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return driver.Rig{}, fmt.Errorf("lcus board: %w", err)
	}
	cfg.Port.Baud = 9600
	p := newProtocol(cfg)
	if err := p.Open(cfg.Port); err != nil {
		return driver.Rig{}, err
	}
	return p.Rig(driver.Identity{Kind: "lcus", Model: fmt.Sprintf("lcus-%d", cfg.Relays)}, false), nil
}

// SafeOff sends every relay that the file names its off, twice, within 2 s: see
// board.Board.SafeOff. Nil says that the frames went out; only a board that
// answers can prove that it took them.
func SafeOff(cfg Config) error {
	cfg.Port.Baud = 9600
	p := newProtocol(cfg)
	return p.SafeOff(cfg.Port, MaxRelays, p.Check)
}

// Check switches every relay in use off and has a board that answers say so.
func (p *protocol) Check(_ context.Context, l *serial.Line) error {
	for _, o := range p.Outputs {
		if err := p.write(l, Frame{o.Number, false}, 2); err != nil {
			return err
		}
	}
	states, err := p.states(l)
	if err != nil {
		return fmt.Errorf("%w: is answers: %s right for this board?", err, p.answers)
	}
	for _, o := range p.Outputs {
		if states != nil && (o.Number > len(states) || states[o.Number-1]) {
			return fmt.Errorf("relay %d (%s) can't be switched off", o.Number, o.Part)
		}
	}
	return nil
}

// write sends a frame so many times, each with its distance to the one before.
// It comes back when the last one has left the wire and the relay has had its
// time to move: a write alone only hands the bytes to the kernel.
func (p *protocol) write(l *serial.Line, f Frame, times int) error {
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

// states reads the relays back; nil of a board that does not answer.
func (p *protocol) states(l *serial.Line) ([]bool, error) {
	if p.answers == "" || p.answers == AnswersNone {
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
			return nil, board.ErrNoAnswer
		}
		if err != nil {
			return nil, err
		}
		got = append(got, part...)
		states, err := p.answers.parse(got, p.relays)
		if !errors.Is(err, errMore) {
			return states, err
		}
	}
}

// set sends a command so many times, and has a board that answers confirm it.
func (p *protocol) set(l *serial.Line, number int, on bool, times int) error {
	if err := p.write(l, Frame{number, on}, times); err != nil {
		return err
	}
	states, err := p.states(l)
	if err == nil && states != nil && states[number-1] != on {
		err = fmt.Errorf("the board says that the relay is %s", map[bool]string{false: "closed", true: "open"}[on])
	}
	return err
}

// On closes the relay. The board has no timer: the guard keeps the time.
func (p *protocol) On(_ context.Context, l *serial.Line, o *board.Output, _ time.Duration) error {
	o.Told(l)
	return p.set(l, o.Number, true, 1)
}

// Off opens the relay, with two frames.
func (p *protocol) Off(_ context.Context, l *serial.Line, o *board.Output) error {
	if err := p.set(l, o.Number, false, 2); err != nil {
		return err
	}
	return o.Rested(l)
}
