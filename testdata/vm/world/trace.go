package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const tracing = "/sys/kernel/tracing"

// Event is one thing that the kernel saw, on CLOCK_MONOTONIC.
type Event struct {
	At   time.Duration `json:"at"`
	What string        `json:"what"`           // set, out, in, free, signal; wire: the world moved an input; stood: see Stood
	Line string        `json:"line,omitempty"` // not with signal
	High bool          `json:"high,omitempty"` // the level on the wire after it
	Part string        `json:"part,omitempty"` // at the end of an output's wire; the signal at an input's
	On   bool          `json:"on,omitempty"`   // the part, after it; the signal says yes
	By   string        `json:"by"`             // program and process
	PID  int           `json:"pid"`
	Sig  int           `json:"sig,omitempty"`
	To   int           `json:"to,omitempty"` // the process that gets the signal
	// Stood is how long the computer did not let the world turn, which goes before
	// everything else: an emulated one whose host is busy.
	Stood time.Duration `json:"stood,omitempty"`
}

func mount(kind, at string) error {
	if err := unix.Mount(kind, at, kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	return nil
}

func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

type trace struct {
	pipe *os.File
	chip *chip
}

// openTrace has the kernel write down every level and direction that a program
// gives a line, every line that is released (which sets its level too, and has
// no trace point of its own), and the signals that end or stop barista.
func openTrace(c *chip) (*trace, error) {
	if err := mount("tracefs", tracing); err != nil {
		return nil, err
	}
	var errs []error
	for _, w := range []struct{ file, text string }{
		{"trace_clock", "mono"},
		{"buffer_size_kb", "2048"},
		{"kprobe_events", "p:vm/gpio_freed gpio_sim_free offset=%si:u32"},
		{"events/gpio/gpio_value/filter", "get == 0"},
		{"events/signal/signal_generate/filter", `comm == "barista" && (sig == 6 || sig == 9 || sig == 10 || sig == 15 || sig == 19)`},
		{"events/gpio/gpio_value/enable", "1"},
		{"events/gpio/gpio_direction/enable", "1"},
		{"events/vm/gpio_freed/enable", "1"},
		{"events/signal/signal_generate/enable", "1"},
		{"tracing_on", "1"},
	} {
		errs = append(errs, os.WriteFile(tracing+"/"+w.file, []byte(w.text), 0))
	}
	pipe, err := os.Open(tracing + "/trace_pipe")
	return &trace{pipe, c}, errors.Join(append(errs, err)...)
}

// follow hands every event over, in order, until the pipe breaks.
func (t *trace) follow(saw func(Event)) error {
	in := bufio.NewScanner(t.pipe)
	for in.Scan() {
		if strings.Contains(in.Text(), "LOST") {
			return fmt.Errorf("the kernel's trace was too long: %s", in.Text())
		}
		if e, ok := t.event(in.Text()); ok {
			saw(e)
		}
	}
	return fmt.Errorf("the kernel's trace ended: %w", in.Err())
}

var (
	traceLine  = regexp.MustCompile(`^\s*(.+)-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (\w+): (.*)$`)
	traceGPIO  = regexp.MustCompile(`^(\d+)\s+(set|out|in)\s+\(?(-?\d+)\)?$`)
	traceFreed = regexp.MustCompile(`offset=(\d+)`)
	traceSig   = regexp.MustCompile(`^sig=(\d+) .*pid=(\d+)`)
)

func (t *trace) event(text string) (Event, bool) {
	m := traceLine.FindStringSubmatch(text)
	if m == nil {
		return Event{}, false
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	e := Event{
		At: time.Duration(number(m[3]))*time.Second + time.Duration(number(m[4]))*time.Microsecond,
		By: m[1], PID: number(m[2]),
	}
	switch m[5] {
	case "gpio_value", "gpio_direction":
		g := traceGPIO.FindStringSubmatch(m[6])
		if g == nil {
			return Event{}, false
		}
		e.Line, e.What = t.chip.line(number(g[1])), g[2]
		e.High = g[2] == "set" && g[3] == "1"
	case "gpio_freed":
		g := traceFreed.FindStringSubmatch(m[6])
		if g == nil {
			return Event{}, false
		}
		e.Line, e.What = "GPIO"+g[1], "free"
	case "signal_generate":
		g := traceSig.FindStringSubmatch(m[6])
		if g == nil {
			return Event{}, false
		}
		e.What, e.Sig, e.To = "signal", number(g[1]), number(g[2])
	default:
		return Event{}, false
	}
	return e, true
}
