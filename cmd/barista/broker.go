package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
)

func newBroker(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{Use: "broker", Short: "what the shop's broker keeps", Example: "  barista broker forget-old"})
	cmd.AddCommand(newForgetOld(c))
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
