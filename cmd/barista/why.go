package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"barista/cmd/barista/told"
	"barista/fleet/client"
)

func newWhy(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "why ORDER",
		Short: "tell what became of an order, and why",
		Long: `why tells an order's whole story: cause, tries, machines, what it took from the
stock, what the customer was told, and every event. ORDER is its id, the last 4
or more characters of it, or "last" for the order that changed last; one that ended
more than a day ago is found by its whole id only.`,
		Example: `  barista why last
  barista why 7QXR --json`,
		Args: orderArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			run := c.with
			if watch {
				run = c.watching
			}
			return run(cmd, func(ctx context.Context, s client.Shop) error {
				e, err := find(ctx, s, args[0])
				if err != nil {
					return err
				}
				if watch {
					return c.follow(ctx, cmd, s, e.Order.ID)
				}
				a, err := s.Why(ctx, e.Claim)
				if err != nil {
					return err
				}
				a.Cause = told.Cause(e.Claim)
				return c.show(cmd, a, func(w io.Writer) { told.Account(w, a) })
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "tell the events, and go on until it has ended")
	return cmd
}
