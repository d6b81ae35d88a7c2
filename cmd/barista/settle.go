package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/client"
)

func newSettle(c *cli) *cobra.Command {
	var by, reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "settle ORDER made|not-made",
		Short: "say what came of an order whose outcome is unknown",
		Long: `settle is a person's word on an order of which no machine can say whether it was
made. If the machine can still be reached, its journal may know better: settle
says so and asks first.

The order's doses were booked as used while nobody knew. Not made gives them back
to the stock; beans that were ground all the same are missing then, until somebody
counts (barista stock count).`,
		Example: `  barista settle 7QXR made --reason "the cup stood there, full"
  barista settle last not-made --reason "the tray was wet" --yes`,
		Args: orderArgs("made|not-made"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] != "made" && args[1] != "not-made" {
				return term.Usage("%s is no outcome: say made or not-made", term.Quote(args[1]))
			}
			if reason == "" {
				return term.Usage("give a --reason: how is it known?")
			}
			return c.with(cmd, func(ctx context.Context, s client.Shop) error {
				id, err := c.doubtful(ctx, cmd, s, args[0], "settle it as "+args[1], yes)
				if err != nil {
					return err
				}
				if err := s.Controller.Settle(ctx, id, args[1] == "made", by, reason); err != nil {
					return err
				}
				return c.done(cmd, "%s is settled as %s", id, args[1])
			})
		},
	}
	byFlag(cmd, &by)
	cmd.Flags().StringVar(&reason, "reason", "", "how it is known")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newAgain(c *cli) *cobra.Command {
	var by string
	var yes bool
	cmd := &cobra.Command{
		Use:   "again ORDER",
		Short: "make an order again whose outcome is unknown",
		Long: `again makes a new drink for an order of which nobody can say whether it was made.
A machine that is cut off may still pour the old one: again says whether it can
be reached, and asks first. The order takes its doses from the stock once more.`,
		Example: `  barista again 7QXR`,
		Args:    orderArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, s client.Shop) error {
				id, err := c.doubtful(ctx, cmd, s, args[0], "make it again", yes)
				if err != nil {
					return err
				}
				if err := s.Controller.MakeAgain(ctx, id, by); err != nil {
					return err
				}
				return c.done(cmd, "%s will be made again", id)
			})
		},
	}
	byFlag(cmd, &by)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// doubtful finds an order whose outcome is unknown, says whether its old machine
// can be reached, and asks whether to go on.
func (c *cli) doubtful(ctx context.Context, cmd *cobra.Command, s client.Shop, ref, plan string, yes bool) (string, error) {
	e, err := find(ctx, s, ref)
	if err != nil {
		return "", err
	}
	id := e.Order.ID
	all, err := s.Machines(ctx)
	if err != nil {
		return "", err
	}
	if e.Phase != fleet.Unknown {
		return "", term.Fail(term.ExitRefused, "barista why "+id+" tells its story", "the outcome of %s is not in doubt: %s", id, told.Standing(e, all))
	}
	if yes {
		return id, nil
	}
	return id, term.Sure(ctx, cmd.InOrStdin(), cmd.ErrOrStderr(), fmt.Sprintf("%s for %s: %s\n%s\nreally %s?", id, term.Safe(e.Order.Name), term.Safe(told.Cause(e.Claim)), told.Reach(e.Claim, all), plan))
}
