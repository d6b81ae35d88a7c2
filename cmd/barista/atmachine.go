package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/machine/station"
)

// quitSignals end what is on as Ctrl-C does. Without them a closed terminal, a
// pipe that broke, Ctrl-\ or Ctrl-Z would end or halt this process with an output
// on.
var quitSignals = []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGPIPE}

// atMachine opens the machine of a file, at rest, and lets work have it until it
// returns or is interrupted; then everything is off and closed. The lock is the
// service's own: while that one runs it is refused.
func (c *cli) atMachine(cmd *cobra.Command, f *configs.File, p *term.Person, work func(ctx context.Context, h *hands.Hands) error) error {
	if err := hands.Own(f.State); err != nil {
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
	err = st.Lend(ctx, func(ctx context.Context) {
		result = work(ctx, &hands.Hands{
			Station: st, Name: f.Machine.Name, Dir: station.Folder(f.State, f.Machine.Name), Rates: f.Machine.Rates, TooSlow: f.Machine.TooSlow, Person: p,
		})
	})
	if on := st.Guard.OnNow(); err != nil || len(on) > 0 {
		why := "the machine did not end well"
		if len(on) > 0 {
			why = fmt.Sprintf("still on: %v", on)
		}
		return term.Fail(term.ExitFailed, "switch the machine off by its own switch, then look", "%s", errors.Join(errors.New(why), err, result))
	}
	return result
}
