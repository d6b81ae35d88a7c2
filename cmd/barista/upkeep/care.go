package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/client"
)

// cared is what came of asking for a machine's care, in JSON.
type cared struct {
	OK      bool   `json:"ok"`
	Machine string `json:"machine"`
	Kind    string `json:"kind"`
	Order   string `json:"order,omitempty"`
	Message string `json:"message"`
}

// Care is barista machine care.
func Care(c Shell) *cobra.Command {
	var by, none string
	var last, done bool
	cmd := &cobra.Command{
		Use:   "care NAME rinse|clean|descale",
		Short: "have a machine rinsed, cleaned or descaled, between two drinks",
		Long: `care puts an order for the machine itself into the queue: it comes in its turn, once, and
barista why tells its story as that of any order. A rinse runs hot water, into a cup that
somebody puts there, or into the tray where the machine's file says so. To clean or
descale, the machine stops at its turn, says that it waits, and moves nothing until somebody
has done that and says so: barista machine cup NAME. Then it rinses.

While it is the last one here that makes some drink it is left to its customers, unless
--last says that you know it. What was done by other means is told with --done: then only
the count begins anew.`,
		Example: `  barista machine care zoe rinse
  barista machine care zoe clean --last
  barista machine care zoe descale --done`,
		ValidArgs: []string{"rinse", "clean", "descale"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || !slices.Contains(fleet.CareKinds, fleet.Size(args[1])) {
				return term.Usage("give a machine and what is to be done: barista machine care zoe rinse, clean or descale")
			}
			return c.Machine(&none, false)(cmd, args[:1])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name, kind := args[0], fleet.Size(args[1])
			if last && done {
				return term.Usage("--done moves nothing, so there is nothing that --last could allow")
			}
			out := cared{Machine: name, Kind: string(kind)}
			err := c.With(cmd, func(ctx context.Context, s client.Shop) (err error) {
				if done {
					out.Message = fmt.Sprintf("%s: counted anew from now on", name)
					_, err = ask(ctx, s, name, fleet.Command{Verb: fleet.CommandCared, What: string(kind), By: by})
					return err
				}
				out.Order, err = s.Controller.Care(ctx, name, kind, by, last)
				out.Message = fmt.Sprintf("%s: %s is ordered; barista why %s tells how far it is", name, kind, out.Order)
				return told.Stays(err)
			})
			if err != nil {
				return err
			}
			out.OK = true
			return c.Show(cmd, out, func(w io.Writer) { fmt.Fprintln(w, out.Message) })
		},
	}
	c.By(cmd, &by)
	cmd.Flags().BoolVar(&last, "last", false, "also where it is the last one here that makes some drink")
	cmd.Flags().BoolVar(&done, "done", false, "it was done by other means: only count anew")
	return cmd
}

// Try is barista machine try.
func Try(c Shell) *cobra.Command {
	var by, reason string
	var vessel bool
	cmd := &cobra.Command{
		Use:   "try NAME PART",
		Short: "switch one part of a machine on for a second, and say what its sensor saw",
		Long: `try has a machine switch one part on for a second, alone, through the same guard as in a
drink: to hear a relay, to see whether water comes. You may be anywhere, so say with
--vessel that somebody has looked: a vessel stands under the spout and nobody has his hands
in the machine. One that is drained may be open, and moves nothing; nor does one with an
order in hand or a fault. What comes out is no drink and is not booked; a grinder's second
is some grams of waste. A heater is tried at the machine itself: barista selftest.`,
		Example: `  barista machine try zoe pump --vessel`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || !fleet.IsToken(args[1]) {
				return term.Usage("give a machine and a part of it: barista machine try zoe pump")
			}
			return c.Machine(&reason, false)(cmd, args[:1])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !vessel {
				return term.Usage("say --vessel once somebody has looked: a vessel stands under the spout, and nobody has his hands in %s", name)
			}
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				a, err := ask(ctx, s, name, fleet.Command{Verb: fleet.CommandTry, What: args[1], By: by, Why: reason, Vessel: vessel})
				if err != nil {
					return err
				}
				if a.Tried == nil {
					return term.Fail(term.ExitFailed, "", "%s did not say what it saw", name)
				}
				return c.Show(cmd, a.Tried, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", name, shown(*a.Tried)) })
			})
		},
	}
	c.By(cmd, &by)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	cmd.Flags().BoolVar(&vessel, "vessel", false, "a vessel stands there, and nobody has his hands in it")
	return cmd
}

// shown is a trial in a line.
func shown(t fleet.Tried) string {
	on := fmt.Sprintf("%s was on for %.1f s", t.Part, t.Seconds)
	switch {
	case t.Proof == "":
		return on + "; no sensor of this machine shows what it did: look and listen"
	case t.Unit == "" && t.Shown:
		return on + ", and the sensor " + t.Proof + " saw it"
	case t.Shown:
		return on + fmt.Sprintf(", and the sensor %s saw %.1f %s", t.Proof, t.Gain, t.Unit)
	}
	return on + "; the sensor " + t.Proof + " saw nothing of it"
}

// ask asks a machine for something, and says in its words why it does not.
func ask(ctx context.Context, s client.Shop, name string, q fleet.Command) (fleet.CommandAnswer, error) {
	a, err := s.Command(ctx, name, q)
	switch {
	case errors.Is(err, fleet.ErrNobody):
		return a, term.Fail(term.ExitNotFound, "see barista machine ls", "no machine %s listens", name)
	case err != nil:
		return a, err
	case !a.OK:
		return a, term.Fail(term.ExitRefused, "", "%s: %s", name, term.Safe(a.Message))
	}
	return a, nil
}
