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
	measured "barista/machine/calibration"
	"barista/machine/station"
)

// hands is a machine in the hands of a person who stands before it: opened as
// its service would open it, with nothing of the shop around it.
type hands struct {
	*station.Station
	file   *configs.File
	person *term.Person
}

func (h *hands) name() string { return h.file.Machine.Name }
func (h *hands) dir() string  { return station.Folder(h.file.State, h.name()) }

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
	st, err := openStation(ctx, log, f, f.Machine, nil)
	if err != nil {
		return err
	}
	var result error = term.ErrStopped // where work is not even begun
	err = st.Lend(ctx, func(ctx context.Context) { result = work(ctx, &hands{st, f, p}) })
	if on := st.Guard.OnNow(); err != nil || len(on) > 0 {
		why := "the machine did not end well"
		if len(on) > 0 {
			why = fmt.Sprintf("still on: %v", on)
		}
		return term.Fail(term.ExitFailed, "switch the machine off by its own switch, then look", "%s", errors.Join(errors.New(why), err, result))
	}
	return result
}

// inForce is the plan of the file's machine with what was measured on it.
func inForce(f *configs.File) (machine.Plan, *measured.Store, error) {
	return station.InForce(f.Machine.Plan, station.Folder(f.State, f.Machine.Name))
}

// ownState says as which user a verb is to be run at a machine.
func ownState(dir string) error {
	err := station.Own(dir)
	if err == nil {
		return nil
	}
	if e, is := errors.AsType[*station.ForeignError](err); is {
		return term.Fail(term.ExitUnauthorised, fmt.Sprintf("run it as that user: sudo -u '#%d' barista …", e.Owner), "%s", term.Safe(e.Error()))
	}
	return term.Fail(term.ExitUnauthorised, "run it as the user of the service: sudo -u barista barista …", "%w", err)
}

// mayTry asks the machine whether a part can be tried, and says what to do if
// not.
func (h *hands) mayTry(p driver.Part) error {
	err := h.Machine.MayTry(p)
	if err == nil {
		return nil
	}
	hint := "mend that first"
	if l, latched := h.Guard.Latched(); latched {
		return term.Fail(term.ExitRefused, fmt.Sprintf("look at the machine; then start its service and clear it: barista machine clear-fault %s --reason \"…\"", h.name()),
			"%s is locked since %s: %s", h.name(), l.At.Local().Format("2006-01-02 15:04"), term.Safe(sentence(err)))
	}
	if len(h.Machine.Journal().Open()) > 0 {
		hint = "start the service: it finds out what came of it; see barista orders"
	}
	return term.Fail(term.ExitRefused, hint, "%s", term.Safe(sentence(err)))
}

// rests waits until the part may go on again, and counts down.
func (h *hands) rests(ctx context.Context, t machine.Trial) error {
	if h.Machine.RestLeft(t.Part, t.For) <= 0 {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	h.person.Progress("the %s rests", t.Part)
	for {
		left := h.Machine.RestLeft(t.Part, t.For)
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
