package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/fleet/controller"
	"barista/fleet/queue"
)

func newCancel(c *cli) *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use:     "cancel ORDER",
		Short:   "cancel an order that no machine has begun",
		Example: "  barista cancel 7QXR",
		Args:    orderArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, conn *queue.Conn) error {
				e, err := find(ctx, conn.Claims(), args[0])
				if err != nil {
					return err
				}
				if err := controller.Remote(conn.Requester()).Cancel(ctx, e.Order.ID, by); err != nil {
					return err
				}
				return c.done(cmd, "%s is cancelled", e.Order.ID)
			})
		},
	}
	byFlag(cmd, &by)
	return cmd
}
