package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/door"
	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/cmd/barista/upkeep"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/client"
)

func newMachine(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "machine",
		Short: "look after the machines",
		Example: `  barista machine ls
  barista machine drain zoe --reason "new grinder" --wait
  barista machine uncordon zoe`,
	})
	care := upkeep.Shell{Machine: machineArg, Show: c.show, With: c.with, Watching: c.watching, By: byFlag, Done: c.done}
	care.Load = func(path string) (*configs.File, error) { return preview.Machine(path, drivers) }
	cmd.AddCommand(newMachineLs(c), upkeep.Drain(care), upkeep.Uncordon(care), upkeep.Swap(care), upkeep.Curves(care), upkeep.Care(care), upkeep.Try(care))
	cmd.AddCommand(door.Machine(c.shell())...)
	for _, v := range []machineVerb{
		{use: "cordon", short: "take a machine out of service: it starts no further order", reason: true, done: "%s is cordoned", set: client.Shop.Cordon},
		{use: "give-up", short: "go on without a machine that the shop awaits: what it made is never told", reason: true, done: "the shop goes on without %s", set: client.Shop.GiveUp},
		{use: "stop", short: "switch everything off now; the drink in hand is spoiled", reason: true, order: true},
		{use: "cup", short: "say that a cup stands there for the order in hand", order: true},
		{use: "clear-fault", short: "clear a fault that a person has looked at", reason: true},
	} {
		cmd.AddCommand(newMachineVerb(c, v))
	}
	return cmd
}

// machineVerb is what a person does with one machine: a setting of the fleet, or
// a command that the machine itself answers.
type machineVerb struct {
	use, short string
	reason     bool // must be given
	order      bool // concerns the order in hand
	done       string
	set        func(s client.Shop, ctx context.Context, machine, by, reason string) error // nil: a command
}

func newMachineVerb(c *cli, v machineVerb) *cobra.Command {
	var by, reason, order string
	example := "  barista machine " + v.use + " zoe"
	if v.reason {
		example += ` --reason "new grinder"`
	}
	cmd := &cobra.Command{
		Use:     v.use + " NAME",
		Short:   v.short,
		Example: example,
		Args:    machineArg(&reason, v.reason),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, s client.Shop) (err error) {
				q := fleet.Command{Verb: v.use, By: by, Why: reason}
				if v.order {
					q.Order, err = inHand(ctx, s, args[0], order)
				}
				switch {
				case err != nil:
					return err
				case v.set == nil:
					return c.command(ctx, cmd, s, args[0], q)
				}
				err = v.set(s, ctx, args[0], by, reason)
				if errors.Is(err, fleet.ErrNotFound) {
					return term.Fail(term.ExitNotFound, "see barista machine ls", "%w", err)
				}
				if err != nil {
					return err
				}
				return c.done(cmd, v.done, args[0])
			})
		},
	}
	byFlag(cmd, &by)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record and for those who find it so")
	if v.order {
		cmd.Flags().StringVar(&order, "order", "", "the order that is meant (default the one in hand)")
	}
	return cmd
}

func machineArg(reason *string, needed bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := exactly("NAME")(cmd, args); err != nil {
			return err
		}
		if !fleet.IsToken(args[0]) {
			return term.Usage("%s is no name of a machine: 1 to 32 of a-z, 0-9 and -", term.Quote(args[0]))
		}
		if needed && strings.TrimSpace(*reason) == "" {
			return term.Usage("give a --reason, for those who find the machine so")
		}
		return nil
	}
}

// inHand finds which order a command to a machine is about.
func inHand(ctx context.Context, s client.Shop, machine, ref string) (string, error) {
	if ref == "" {
		return s.InHand(ctx, machine)
	}
	e, err := find(ctx, s, ref)
	return e.Order.ID, err
}

// command asks one machine.
func (c *cli) command(ctx context.Context, cmd *cobra.Command, s client.Shop, machine string, q fleet.Command) error {
	a, err := s.Command(ctx, machine, q)
	switch {
	case errors.Is(err, fleet.ErrNobody):
		return term.Fail(term.ExitNotFound, "see barista machine ls; stop a machine that does not answer by its own switch", "no machine %s listens", machine)
	case err != nil:
		return err
	case !a.OK:
		return term.Fail(term.ExitRefused, "", "%s: %s", machine, term.Safe(a.Message))
	}
	return c.done(cmd, "%s: %s", machine, term.Safe(cmp.Or(a.Message, "done")))
}

func newMachineLs(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "list the machines",
		Example: "  barista machine ls --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := func(ctx context.Context, s client.Shop) (any, func(io.Writer), error) {
				lines, err := s.Fleet(ctx)
				return map[string]any{"machines": lines}, func(w io.Writer) { told.Machines(w, lines) }, err
			}
			return c.once(cmd, watch, list)
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on and print it again whenever it changes")
	return cmd
}
