package gpio

import (
	"context"
	"errors"
	"fmt"
	"time"

	periph "periph.io/x/conn/v3/gpio"

	"barista/driver"
)

// Change is what an input did.
type Change struct {
	Input string // the signal, or "pump's feedback"
	Line  Line
	High  bool // the level of the wire
	Yes   bool // what it means; for a flow meter the same as High
	First bool // no change but the level at the beginning
	At    time.Duration
	Lost  int // changes before it that were too fast to be shown
}

// Watch tells each what every input line does until the context ends, for
// whoever wires a machine. It opens no output. It can't run beside the service,
// which has the lines. each is called by one goroutine at a time.
func Watch(ctx context.Context, cfg Config, each func(Change)) error {
	return watch(ctx, thisHost(), cfg, each)
}

// queue is how many changes may wait for each.
const queue = 1024

func watch(ctx context.Context, h host, cfg Config, each func(Change)) (err error) {
	if err := cfg.Check(); err != nil {
		return fmt.Errorf("gpio machine: %w", err)
	}
	desk, err := lookAround(h.door, cfg.Chips)
	if err != nil {
		return fmt.Errorf("gpio machine: %w", err)
	}
	defer desk.close()

	changes := make(chan Change, queue)
	var errs []error
	var ins []*In
	add := func(who string, l Line, active Active, want inConfig) {
		s, err := desk.find(l, who)
		if err != nil {
			errs = append(errs, err)
			return
		}
		change := func(level periph.Level) Change {
			return Change{Input: who, Line: l, High: bool(level), Yes: level == active.level()}
		}
		dropped := 0 // of the event handler's goroutine
		want.edges = periph.BothEdges
		want.onEdge = func(e Edge) {
			c := change(e.Level)
			c.At, c.Lost = e.At, e.Lost+dropped
			select {
			case changes <- c:
				dropped = 0
			default:
				dropped = c.Lost + 1
			}
		}
		in, err := openIn(s, l, who, want)
		if err != nil {
			errs = append(errs, err)
			return
		}
		ins = append(ins, in)
		level, err := in.Level()
		if err != nil {
			errs = append(errs, err)
			return
		}
		c := change(level)
		c.First = true
		each(c)
	}
	defer func() {
		for _, in := range ins {
			err = errors.Join(err, in.Close())
		}
	}()
	for _, s := range cfg.signals() {
		sw := cfg.Switches[s]
		add(string(s), sw.Line, sw.Active, inConfig{pull: pullFor(sw.Pull, sw.Active), debounce: sw.Debounce})
	}
	for _, p := range cfg.parts() {
		if f := cfg.Outputs[p].Feedback; f != nil {
			add(feedbackOf(p), f.Line, f.Active, inConfig{pull: pullFor(f.Pull, f.Active), debounce: f.Debounce})
		}
	}
	if f := cfg.Flow; f != nil {
		add(string(driver.Flow), f.Line, High, inConfig{pull: pullFor(f.Pull, Low), debounce: f.Debounce})
	}
	if len(errs) > 0 {
		return fmt.Errorf("gpio machine: %w", errors.Join(errs...))
	}
	for {
		select {
		case c := <-changes:
			each(c)
		case <-ctx.Done():
			return nil
		}
	}
}
