package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/machine"
)

// hands is a machine in the hands of a person who stands before it: opened as
// its service would open it, with nothing of the shop around it.
type hands struct {
	*station
	file   *configs.File
	person *term.Person
}

// quitSignals end what is on as Ctrl-C does. Without them a closed terminal, a
// pipe that broke, Ctrl-\ or Ctrl-Z would end or halt this process with an output
// on.
var quitSignals = []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGPIPE}

// atMachine opens the machine of a file, at rest, and lets work have it until it
// returns or is interrupted; then everything is off and closed. The lock is the
// service's own: while that one runs it is refused.
func (c *cli) atMachine(cmd *cobra.Command, f *configs.File, p *term.Person, work func(ctx context.Context, h *hands) error) error {
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
			result = term.ErrStopped
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
		return term.Fail(term.ExitFailed, "switch the machine off by its own switch, then look", "%s", errors.Join(errors.New(why), err, result))
	}
	return result
}

// ownState refuses to work in the folder of another user: what root writes there
// the service could not read any more, latch and rests among it.
func ownState(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return term.Fail(term.ExitUnauthorised, "run it as the user of the service: sudo -u barista barista …", "%w", err)
		}
		return nil // it is made, or that says why not
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || int(sys.Uid) == os.Geteuid() {
		return nil
	}
	return term.Fail(term.ExitUnauthorised, fmt.Sprintf("run it as that user: sudo -u '#%d' barista …", sys.Uid),
		"the state folder %s belongs to another user", term.Safe(dir))
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
		return term.Fail(term.ExitRefused, fmt.Sprintf("look at the machine; then start its service and clear it: barista machine clear-fault %s --reason \"…\"", h.name),
			"%s is locked since %s: %s", h.name, l.At.Local().Format("2006-01-02 15:04"), term.Safe(sentence(err)))
	}
	if len(h.machine.Journal().Open()) > 0 {
		hint = "start the service: it finds out what came of it; see barista orders"
	}
	return term.Fail(term.ExitRefused, hint, "%s", term.Safe(sentence(err)))
}

// rests waits until the part may go on again, and counts down.
func (h *hands) rests(ctx context.Context, t machine.Trial) error {
	if h.machine.RestLeft(t.Part, t.For) <= 0 {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	h.person.Progress("the %s rests", t.Part)
	for {
		left := h.machine.RestLeft(t.Part, t.For)
		if left <= 0 {
			h.person.ProgressEnd("")
			return nil
		}
		h.person.Moving("the %s rests for another %v ", t.Part, left.Round(time.Second))
		soon := time.NewTimer(left)
		select {
		case <-tick.C:
		case <-soon.C:
		case <-ctx.Done():
			soon.Stop()
			return term.ErrStopped
		}
		soon.Stop()
	}
}
