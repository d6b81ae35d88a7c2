package gpio

import (
	"errors"
	"fmt"
	"sync"
	"time"

	periph "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/pin"

	"barista/driver"
)

// Edge is one change of an input's level.
type Edge struct {
	Level periph.Level  // after it
	At    time.Duration // on the kernel's monotonic clock, taken in the interrupt
	Lost  int           // edges before this one that fell out of the kernel's queue
	seq   uint32        // of the line, from 1
}

// inConfig is how an input is requested.
type inConfig struct {
	pull     periph.Pull
	debounce time.Duration
	edges    periph.Edge
	onEdge   func(Edge) // called one after the other; must be quick and not close the line
}

// In is a line that is an input. It is periph's gpio.PinIn. Any goroutine may
// call it.
type In struct {
	name   string
	number int
	was    inConfig
	edge   chan struct{} // holds one while an edge was not waited for
	halt   chan struct{}

	mu   sync.Mutex
	line line // nil when closed

	seq uint32 // of the last edge; only the event handler looks at it
}

var (
	_ periph.PinIn = (*In)(nil)
	_ pin.PinFunc  = (*In)(nil)
)

func openIn(s spot, l Line, who string, want inConfig) (*In, error) {
	in := &In{name: string(l), number: s.offset, was: want, edge: make(chan struct{}, 1), halt: make(chan struct{}, 1)}
	if want.edges != periph.NoEdge {
		then := want.onEdge
		want.onEdge = func(e Edge) {
			e.Lost = in.lost(e.seq)
			if then != nil {
				then(e)
			}
			select {
			case in.edge <- struct{}{}:
			default:
			}
		}
	}
	// An edge may come before the request has returned; the lock keeps readers
	// out until there is a line, and the handler does not need it.
	in.mu.Lock()
	defer in.mu.Unlock()
	line, err := requestIn(s, s.offset, who, want)
	if err != nil {
		return nil, s.refused(l, who, err)
	}
	in.line = line
	return in, nil
}

// lost is how many edges are missing before this one. The kernel numbers the
// edges of a line from 1 and drops the oldest when its queue, of 16, is full; so
// a gap is a count, not a guess.
func (in *In) lost(seq uint32) int {
	missing := seq - in.seq - 1
	in.seq = seq
	if missing > 1<<31 {
		return 0 // not in order: that would be the kernel's bug, and no edges
	}
	return int(missing)
}

// Level reads the wire.
func (in *In) Level() (periph.Level, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.line == nil {
		return periph.Low, fmt.Errorf("%s: %w: it was closed", in.name, driver.ErrGone)
	}
	v, err := in.line.Value()
	if err != nil {
		return periph.Low, fmt.Errorf("%s: %w", in.name, explain(err))
	}
	return v == 1, nil
}

// Read is Level for periph's drivers, which don't ask for errors: Low if it
// can't be read.
func (in *In) Read() periph.Level {
	l, _ := in.Level()
	return l
}

// In is refused if it asks for something else than the line was opened with; it
// is configured once.
func (in *In) In(pull periph.Pull, edge periph.Edge) error {
	if pull != periph.PullNoChange && pull != in.was.pull {
		return fmt.Errorf("%s was opened with %v and stays so", in.name, in.was.pull)
	}
	if edge != in.was.edges {
		return fmt.Errorf("%s was opened with %v and stays so", in.name, in.was.edges)
	}
	select {
	case <-in.edge:
	default:
	}
	return nil
}

// WaitForEdge waits until an edge came since the last call, the time is over
// (below 0: never), or Halt or Close was called.
func (in *In) WaitForEdge(timeout time.Duration) bool {
	var late <-chan time.Time
	if timeout >= 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-in.edge:
		return true
	default:
	}
	select {
	case <-in.edge:
		return true
	case <-in.halt:
	case <-late:
	}
	return false
}

// Halt ends one WaitForEdge, also one that comes later.
func (in *In) Halt() error {
	select {
	case in.halt <- struct{}{}:
	default:
	}
	return nil
}

// Close releases the line. No edge is handed over after it. A second Close does
// nothing.
func (in *In) Close() error {
	_ = in.Halt()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.line == nil {
		return nil
	}
	err := in.line.Close() // waits for the event handler
	in.line = nil
	if err != nil {
		return fmt.Errorf("%s: %w", in.name, explain(err))
	}
	return nil
}

// Pull is the resistor that it was opened with.
func (in *In) Pull() periph.Pull { return in.was.pull }

// DefaultPull is that of a Raspberry Pi at power-up, if it is a pin of one.
func (in *In) DefaultPull() periph.Pull {
	if at, err := Line(in.name).place(); err == nil {
		if n, ok := at.bcm(); ok {
			return pins[n].pull
		}
	}
	return periph.PullNoChange
}

// String is the line as the file has it.
func (in *In) String() string { return in.name }

// Name is the same.
func (in *In) Name() string { return in.name }

// Number is the offset on its chip.
func (in *In) Number() int { return in.number }

// Function is "IN".
func (in *In) Function() string { return string(periph.IN) }

// Func is IN.
func (in *In) Func() pin.Func { return periph.IN }

// SupportedFuncs is what it can be: an input.
func (in *In) SupportedFuncs() []pin.Func { return []pin.Func{periph.IN} }

// SetFunc is refused but for what it is.
func (in *In) SetFunc(f pin.Func) error {
	if f == periph.IN {
		return nil
	}
	return fmt.Errorf("%s is an input and stays one, not %s", in.name, f)
}

// invalid turns an error of the kernel into what a sensor may say. A line that
// is gone stays gone.
func invalid(what string, err error) error {
	if errors.Is(err, driver.ErrGone) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, driver.ErrInvalid, err)
}
