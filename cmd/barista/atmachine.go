package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"barista/configs"
	"barista/driver"
	"barista/machine"
)

// hands is a machine in the hands of a person who stands before it: opened as
// its service would open it, with nothing of the shop around it.
type hands struct {
	*station
	file   *configs.File
	person *person
}

// quitSignals end what is on as Ctrl-C does. Without them a closed terminal, a
// pipe that broke, Ctrl-\ or Ctrl-Z would end or halt this process with an output
// on.
var quitSignals = []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGPIPE}

// atMachine opens the machine of a file, at rest, and lets work have it until it
// returns or is interrupted; then everything is off and closed. The lock is the
// service's own: while that one runs it is refused.
func (c *cli) atMachine(cmd *cobra.Command, f *configs.File, p *person, work func(ctx context.Context, h *hands) error) error {
	if err := ownState(f.State); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(cmd.Context(), quitSignals...)
	defer cancel()
	if err := os.MkdirAll(f.State, 0o750); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	// Warnings only: what is worth saying is said by the verb.
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, stages, err := newShop(log, f).openMachine(ctx, f.Machine)
	if err != nil {
		return err
	}
	running := st.machine.Changed() // its first look changes the status
	var result error
	stages = append(stages, stage{"hands", func(ctx context.Context) error {
		select {
		case <-running:
			result = work(ctx, &hands{st, f, p})
		case <-ctx.Done():
			result = errInterrupted
		}
		cancel() // the end of work is the end of all
		<-ctx.Done()
		return nil
	}, nil})
	err = runStages(ctx, stages)
	if on := st.guard.OnNow(); err != nil || len(on) > 0 {
		why := "the machine did not end well"
		if len(on) > 0 {
			why = fmt.Sprintf("still on: %v", on)
		}
		return fail(exitFailed, "switch the machine off by its own switch, then look", "%s", oneLine(errors.Join(errors.New(why), err, result).Error()))
	}
	return result
}

// errInterrupted: a signal or the stop key. Everything is off.
var errInterrupted = fail(exitFailed, "", "stopped by hand, everything is off")

// interrupted is the error of what ended because its context did, or err.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// ownState refuses to work in the folder of another user: what root writes there
// the service could not read any more, latch and rests among it.
func ownState(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return fail(exitUnauthorised, "run it as the user of the service: sudo -u barista barista …", "%w", err)
		}
		return nil // it is made, or that says why not
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || int(sys.Uid) == os.Geteuid() {
		return nil
	}
	return fail(exitUnauthorised, fmt.Sprintf("run it as that user: sudo -u '#%d' barista …", sys.Uid),
		"the state folder %s belongs to another user", safe(dir))
}

// mayTry asks the machine whether a part can be tried, and says what to do if
// not.
func (h *hands) mayTry(p driver.Part) error {
	err := h.machine.MayTry(p)
	if err == nil {
		return nil
	}
	hint := "mend that first"
	if l, latched := h.guard.Latched(); latched {
		return fail(exitRefused, fmt.Sprintf("look at the machine; then start its service and clear it: barista machine clear-fault %s --reason \"…\"", h.name),
			"%s is locked since %s: %s", h.name, l.At.Local().Format("2006-01-02 15:04"), safe(l.Cause))
	}
	if len(h.machine.Journal().Open()) > 0 {
		hint = "start the service: it finds out what came of it; see barista orders"
	}
	return fail(exitRefused, hint, "%s", oneLine(err.Error()))
}

// rests waits until the part may go on again, and counts down.
func (h *hands) rests(ctx context.Context, t machine.Trial) error {
	if h.machine.RestLeft(t.Part, t.For) <= 0 {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	h.person.progress("the %s rests", t.Part)
	for {
		left := h.machine.RestLeft(t.Part, t.For)
		if left <= 0 {
			h.person.progressEnd("")
			return nil
		}
		h.person.moving("the %s rests for another %v ", t.Part, left.Round(time.Second))
		soon := time.NewTimer(left)
		select {
		case <-tick.C:
		case <-soon.C:
		case <-ctx.Done():
			soon.Stop()
			return errInterrupted
		}
		soon.Stop()
	}
}

// person is who stands at the machine: questions, progress, and the key that
// stops.
type person struct {
	out   io.Writer // what they read
	lines chan string
	live  bool // a terminal: Enter while something runs is the stop key
	yes   bool // nothing is asked
}

// newPerson listens to the input until ctx ends. A reader of a terminal can't be
// called off: it ends with the process.
func newPerson(ctx context.Context, in io.Reader, out io.Writer, yes bool) *person {
	p := &person{out: out, lines: make(chan string), yes: yes}
	if f, is := in.(*os.File); is {
		st, err := f.Stat()
		null, _ := os.Stat(os.DevNull)
		p.live = err == nil && st.Mode()&os.ModeCharDevice != 0 && !os.SameFile(st, null)
	}
	go func() {
		defer close(p.lines)
		scan := bufio.NewScanner(in)
		for scan.Scan() {
			select {
			case p.lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return p
}

func (p *person) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// progress begins a line that moving rewrites on a terminal.
func (p *person) progress(format string, args ...any) {
	if !p.live {
		p.say(format+" …", args...)
	}
}

func (p *person) moving(format string, args ...any) {
	if p.live {
		fmt.Fprintf(p.out, "\r\x1b[K"+format, args...)
	}
}

func (p *person) progressEnd(text string) {
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	if text != "" {
		p.say("%s", text)
	}
}

// ask returns one line.
func (p *person) ask(ctx context.Context, format string, args ...any) (string, error) {
	fmt.Fprintf(p.out, format+" ", args...)
	select {
	case line, more := <-p.lines:
		if !more {
			p.say("")
			return "", fail(exitRefused, "answer, or give --yes", "nobody answered, nothing more was done")
		}
		if !p.live {
			p.say("")
		}
		return strings.TrimSpace(line), nil
	case <-ctx.Done():
		p.say("")
		return "", errInterrupted
	}
}

// agrees asks for a yes; anything else is a no.
func (p *person) agrees(ctx context.Context, format string, args ...any) error {
	if p.yes {
		return nil
	}
	line, err := p.ask(ctx, format+" [y/N]", args...)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"y", "yes"}, strings.ToLower(line)) {
		return fail(exitRefused, "say y, or give --yes", "nothing was done")
	}
	return nil
}

// untilKey is a context that ends when the person presses Enter on a terminal.
// stop must be called, and waits.
func (p *person) untilKey(ctx context.Context) (inner context.Context, stop func()) {
	inner, cancel := context.WithCancel(ctx)
	if !p.live {
		return inner, cancel
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-p.lines:
			cancel()
		case <-inner.Done():
		}
	})
	return inner, func() {
		cancel()
		wg.Wait()
	}
}
