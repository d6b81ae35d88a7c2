package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/fleet/client"
)

func newCancel(c *cli) *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use:     "cancel ORDER",
		Short:   "cancel an order that no machine has begun",
		Example: "  barista cancel 7QXR",
		Args:    orderArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, s client.Shop) error {
				e, err := find(ctx, s, args[0])
				if err != nil {
					return err
				}
				if err := s.Controller.Cancel(ctx, e.Order.ID, by); err != nil {
					return err
				}
				return c.done(cmd, "%s is cancelled", e.Order.ID)
			})
		},
	}
	byFlag(cmd, &by)
	return cmd
}
