// Package upkeep is the verbs with which a person takes a machine out of a shop that goes
// on serving, to open it, and says what he has changed there; and the one that shows
// beforehand what needs it. They ask the shop and the machine, and switch nothing themselves.
//
// What they say is what was seen: that a machine may be opened only the machine itself
// says, after the person asked for it; of one that is away nobody says so. A verb that is
// interrupted, or has waited for long enough, takes nothing back: the machine stays out of
// service until somebody puts it back.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/client"
)

// Shell is what verbs take of the command line around them.
type Shell struct {
	Machine  func(reason *string, needed bool) cobra.PositionalArgs // wants the name of one
	Show     func(cmd *cobra.Command, v any, text func(io.Writer)) error
	With     func(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error
	Watching func(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error // until it is interrupted
	By       func(cmd *cobra.Command, by *string)                                              // adds --by
	Load     func(path string) (*configs.File, error)                                          // the file of a machine
	Done     func(cmd *cobra.Command, format string, args ...any) error
}

const (
	// waitFor is how long a drain is waited for where nobody says: the longest drink, what a
	// machine needs to tell of it, and some more.
	waitFor = fleet.LongestBrew + time.Minute
	// lookEvery is how often, lookTime how long one look may take.
	lookEvery = 500 * time.Millisecond
	lookTime  = 10 * time.Second
)

// drained is how a drain came out, in JSON.
type drained struct {
	OK      bool   `json:"ok"`
	Machine string `json:"machine"`
	Parked  bool   `json:"parked"` // it may be opened
	Away    bool   `json:"away"`   // it is not here, so nobody knows what it does
	Message string `json:"message"`
}

type drain struct {
	Shell
	by, reason   string
	wait, cancel bool
	timeout      time.Duration
}

// Drain is barista machine drain.
func Drain(c Shell) *cobra.Command {
	d := drain{Shell: c}
	cmd := &cobra.Command{
		Use:   "drain NAME",
		Short: "take a machine out of service to open it: it finishes, parks, and says when it may be opened",
		Long: `drain takes a machine out of service as cordon does: it ends the drink in hand and
starts no other. Beyond that an order that only waits for its cup there goes to another
machine, and the machine says when it may be opened: nothing is in hand, everything that
it switches is off, what it made is told, and nothing starts.

With --wait the verb ends when that is so, and tells on the way, on standard error, what
is still in hand. One that is away is drained at once, and nobody knows what it does: look
at it. Interrupted or after --timeout the machine stays out of service.`,
		Example: `  barista machine drain zoe --reason "new grinder" --wait
  barista machine drain zoe --cancel`,
		RunE: d.run,
	}
	args := c.Machine(&d.reason, true)
	cmd.Args = func(cmd *cobra.Command, names []string) error {
		if d.cancel {
			return c.Machine(&d.reason, false)(cmd, names)
		}
		return args(cmd, names)
	}
	c.By(cmd, &d.by)
	cmd.Flags().StringVar(&d.reason, "reason", "", "why, for the record and for those who find it so")
	cmd.Flags().BoolVar(&d.wait, "wait", false, "go on until it may be opened")
	cmd.Flags().DurationVar(&d.timeout, "timeout", waitFor, "with --wait, at most so long")
	cmd.Flags().BoolVar(&d.cancel, "cancel", false, "put a machine that was drained back into service")
	return cmd
}

func (d *drain) run(cmd *cobra.Command, args []string) error {
	name := args[0]
	switch {
	case d.cancel && (d.wait || d.reason != "" || cmd.Flags().Changed("timeout")):
		return term.Usage("--cancel goes alone: it drains nothing")
	case cmd.Flags().Changed("timeout") && !d.wait:
		return term.Usage("--timeout goes with --wait")
	case d.timeout <= 0:
		return term.Usage("--timeout %v: give some time", d.timeout)
	case d.cancel:
		return d.With(cmd, func(ctx context.Context, s client.Shop) error { return d.back(ctx, cmd, s, name) })
	}
	out := drained{Machine: name}
	err := d.With(cmd, func(ctx context.Context, s client.Shop) error {
		if err := s.Drain(ctx, name, d.by, d.reason); err != nil {
			return told.Stays(err)
		}
		m, err := s.Named(ctx, name)
		if out.Away = err == nil && !m.Here; out.Away {
			out.Message = away(m)
		}
		return told.Stays(err)
	})
	switch {
	case err != nil:
		return err
	case out.Away:
	case d.wait:
		if err := d.until(cmd, &out); err != nil {
			return err
		}
	default:
		out.Message = fmt.Sprintf("%s drains; barista machine ls says when it may be opened", name)
	}
	out.OK = true
	return d.Show(cmd, out, func(w io.Writer) { fmt.Fprintln(w, out.Message) })
}

// back ends a drain. What somebody has cordoned for another reason stays so.
func (d *drain) back(ctx context.Context, cmd *cobra.Command, s client.Shop, name string) error {
	m, err := s.Named(ctx, name)
	switch {
	case err != nil:
		return told.Stays(err)
	case m.Cordon == nil:
		return term.Fail(term.ExitRefused, "see barista machine ls", "%s is in service: nobody drains it", name)
	case !m.Cordon.Drain:
		return term.Fail(term.ExitRefused, "barista machine uncordon "+name, "%s is not drained, it was cordoned by %s: %s", name, term.Safe(m.Cordon.By), term.Safe(m.Cordon.Reason))
	}
	if err := s.Uncordon(ctx, name, d.by, "its drain was taken back", false); err != nil {
		return told.Stays(err)
	}
	out := drained{OK: true, Machine: name, Message: name + " is back in service"}
	return d.Show(cmd, out, func(w io.Writer) { fmt.Fprintln(w, out.Message) })
}

// until waits for the machine's word that it may be opened.
func (d *drain) until(cmd *cobra.Command, out *drained) error {
	stays := fmt.Sprintf("it stays out of service; barista machine drain %s --reason \"…\" --wait goes on waiting, --cancel puts it back", out.Machine)
	done := false
	err := d.Watching(cmd, func(ctx context.Context, s client.Shop) error {
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		for last := ""; ; {
			look, stop := context.WithTimeout(ctx, lookTime)
			m, err := s.Named(look, out.Machine)
			stop()
			now := ""
			switch {
			case ctx.Err() != nil: // its time is over
			case errors.Is(err, fleet.ErrNotFound):
				return told.Stays(err)
			case err != nil:
				now = "the shop does not answer: " + term.OneLine(err.Error())
			case m.Cordon == nil || !m.Cordon.Drain:
				return term.Fail(term.ExitRefused, "see barista machine ls", "%s is no longer drained: somebody has put it back", out.Machine)
			case !m.Here:
				done, out.Away, out.Message = true, true, away(m)
				return nil
			case m.Parked():
				done, out.Parked = true, true
				out.Message = fmt.Sprintf("%s may be opened: nothing is in hand, everything that it switches is off, and nothing starts; what heats by itself stays hot, pull its plug first", out.Machine)
				return nil
			default:
				now = doing(m)
			}
			if now != "" && now != last {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", out.Machine, term.Safe(now))
				last = now
			}
			if !fleet.Pause(ctx, lookEvery) {
				break
			}
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return term.Fail(term.ExitTimeout, stays, "%s may not be opened yet, after %v", out.Machine, d.timeout)
		}
		return nil
	})
	if err == nil && !done {
		return term.Fail(term.ExitFailed, stays, "interrupted: nobody has said yet that %s may be opened", out.Machine)
	}
	return err
}

// doing is what a machine that drains has still to do.
func doing(m fleet.Machine) string {
	switch {
	case m.Order != "" && m.Percent > 0:
		return fmt.Sprintf("finishes order %s, %d %%", m.Order, m.Percent/25*25)
	case m.Order != "":
		return "finishes order " + m.Order
	case m.State == fleet.StateUnsynced:
		return "tells the shop how its last drink came out"
	}
	return "has nothing in hand; it has not said yet that everything is off"
}

// away is what can be said of a machine that nobody hears.
func away(m fleet.Machine) string {
	since := ""
	if !m.Seen.IsZero() {
		since = ", last written down " + m.Seen.Local().Format(time.DateTime)
	}
	return fmt.Sprintf("%s is away%s: it gets no order, and there is nothing to wait for; nobody here knows what it does now, look at it before you open it", m.Machine, since)
}
