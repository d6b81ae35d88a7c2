package gpio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warthog618/go-gpiocdev"
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

func watch(ctx context.Context, h host, cfg Config, each func(Change)) error {
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return fmt.Errorf("gpio machine: %w", err)
	}
	var list []watched
	add := func(who string, l Line, active Active, want inConfig) {
		list = append(list, watched{who, l, active, want})
	}
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
	desk, err := lookAround(h.door, cfg.Chips)
	if err != nil {
		return fmt.Errorf("gpio machine: %w", err)
	}
	defer desk.close()
	return desk.watch(ctx, list, each)
}

// WatchLines is Watch for single lines. cfg is the machine's wiring as far as
// there is one: a line that it calls an output is refused, and so is one that
// drives its wire now, because a relay may hang on it, and an input would let go
// of it. pull is the resistor for all of them; "" leaves what is there.
func WatchLines(ctx context.Context, cfg Config, lines []Line, pull Pull, each func(Change)) error {
	return watchLines(ctx, thisHost(), cfg, lines, pull, each)
}

func watchLines(ctx context.Context, h host, cfg Config, lines []Line, pull Pull, each func(Change)) error {
	want := inConfig{pull: periph.PullNoChange}
	if pull != "" {
		want.pull = pullFor(pull, High)
	}
	desk, err := lookAround(h.door, cfg.Chips)
	if err != nil {
		return err
	}
	defer desk.close()
	outputs := map[string]driver.Part{} // by chip and offset: one line has several names
	for _, p := range cfg.parts() {
		if s, err := desk.locate(cfg.Outputs[p].Line, string(p)); err == nil {
			outputs[s.where()] = p
		}
	}
	var errs []error
	var list []watched
	seen := map[string]bool{}
	for _, l := range lines {
		s, err := desk.locate(l, "a look")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if p, is := outputs[s.where()]; is {
			errs = append(errs, fmt.Errorf("cannot watch %s: the file has the %s there, and outputs are never read", l, p))
			continue
		}
		info, err := s.LineInfo(s.offset)
		if err == nil && !info.Used && info.Config.Direction == gpiocdev.LineDirectionOutput {
			errs = append(errs, fmt.Errorf("cannot watch %s: it drives its wire: a relay may hang on it, which would be let go", l))
			continue
		}
		if !seen[s.where()] {
			seen[s.where()] = true
			list = append(list, watched{string(l), l, High, want})
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return desk.watch(ctx, list, each)
}

// where is the same text for every name of one line.
func (s spot) where() string { return fmt.Sprintf("%s:%d", s.device, s.offset) }

// watched is one line to be watched.
type watched struct {
	who    string
	line   Line
	active Active
	want   inConfig
}

func (k *desk) watch(ctx context.Context, list []watched, each func(Change)) (err error) {
	changes := make(chan Change, queue)
	var errs []error
	var ins []*In
	add := func(w watched) {
		s, err := k.find(w.line, w.who)
		if err != nil {
			errs = append(errs, err)
			return
		}
		change := func(level periph.Level) Change {
			return Change{Input: w.who, Line: w.line, High: bool(level), Yes: level == w.active.level()}
		}
		dropped := 0 // of the event handler's goroutine
		w.want.edges = periph.BothEdges
		w.want.onEdge = func(e Edge) {
			c := change(e.Level)
			c.At, c.Lost = e.At, e.Lost+dropped
			select {
			case changes <- c:
				dropped = 0
			default:
				dropped = c.Lost + 1
			}
		}
		in, err := openIn(s, w.line, w.who, w.want)
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
	for _, w := range list {
		add(w)
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
