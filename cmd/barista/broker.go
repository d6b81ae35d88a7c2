package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/cmd/barista/door"
	"barista/cmd/barista/term"
	"barista/fleet/client"
)

func newBroker(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{Use: "broker", Short: "what the shop's broker keeps", Example: "  barista broker forget-old"})
	cmd.AddCommand(c.shell().Setup(), newForgetOld(c), newAcceptLoss(c))
	return cmd
}

func newHub(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{Use: "hub", Short: "one place that gathers what happens at many sites", Example: "  barista hub sites"})
	cmd.AddCommand(door.Hub(c.shell())...)
	return cmd
}

func newForgetOld(c *cli) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "forget-old",
		Short: "remove what a former version kept, after it was carried over",
		Long: `forget-old removes the records of a version before the book: its claims, its
ledger of the stock and its events. What counts was carried over into the book at
this version's first start: stock, menu, machines out of service, and the ids of
30 days. The rest is the old orders' history, and the way back to the former version.
Until then they stay, take room, and cost a write for each event.`,
		Example: "  barista broker forget-old",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.dial(cmd)
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), 12*patience)
			defer cancel()
			if old, err := conn.Old(ctx); err != nil {
				return err
			} else if old.There {
				return term.Fail(term.ExitRefused, "start the shop once with this version, look at it, and forget the old one then",
					"the former version's records were not carried over yet")
			}
			if !yes {
				err := term.Sure(ctx, cmd.InOrStdin(), cmd.ErrOrStderr(), "The history of orders from before the book is removed for good, and the former version can't be started again with this shop.\nreally remove it?")
				if err != nil {
					return err
				}
			}
			if err := conn.Forget(ctx); err != nil {
				return err
			}
			return c.done(cmd, "nothing of a former version is kept any more")
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newAcceptLoss(c *cli) *cobra.Command {
	var by, reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "accept-loss",
		Short: "open a shop whose book went back or lost records",
		Long: `accept-loss is a person's word that what the shop's book has lost will not come
back. barista status says from where to where. If a newer copy of the store is at
hand, stop the shop and put that back instead: then nothing is lost.

The shop opens. Orders that stand open in the book and may have been made in the
lost part become unknown: say of each what came of it (barista orders --open, then
barista settle or barista again). Ids from the lost time are refused: those
customers order anew.`,
		Example: `  barista broker accept-loss --reason "the card was restored from Monday"`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return term.Usage("give a --reason: what happened to the store?")
			}
			return c.with(cmd, func(ctx context.Context, s client.Shop) error {
				st, err := s.Controller.Standing(ctx)
				if err == nil && st.Gone != nil && !yes {
					err = term.Sure(ctx, cmd.InOrStdin(), cmd.ErrOrStderr(), term.Safe(st.Gone.String())+"\nWhat was lost is lost for good, and every open order that it may concern must be settled by a person.\nreally accept it?")
				}
				if err == nil {
					err = s.Controller.AcceptLoss(ctx, by, reason)
				}
				if err != nil {
					return err
				}
				return c.done(cmd, "the loss is accepted, the shop is open; see barista orders --open")
			})
		},
	}
	byFlag(cmd, &by)
	cmd.Flags().StringVar(&reason, "reason", "", "what happened to the store, for the record")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
