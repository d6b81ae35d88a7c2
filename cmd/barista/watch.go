package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet/client"
)

// lookEvery is how often a watched view is taken again; machines speak every
// 5 s, orders change in seconds.
const lookEvery = 2 * time.Second

// view takes one look at the shop.
type view = func(ctx context.Context, s client.Shop) (v any, text func(io.Writer), err error)

// once prints a view, or with watch goes on and prints it again whenever it has
// changed: one JSON object a line, or the text under the time.
func (c *cli) once(cmd *cobra.Command, watch bool, look view) error {
	if !watch {
		return c.with(cmd, func(ctx context.Context, s client.Shop) error {
			v, text, err := look(ctx, s)
			if err != nil {
				return err
			}
			return c.show(cmd, v, text)
		})
	}
	return c.watching(cmd, func(ctx context.Context, s client.Shop) error {
		return term.Watch(ctx, cmd.OutOrStdout(), c.json, lookEvery, func(ctx context.Context) (any, func(io.Writer), error) {
			ctx, cancel := context.WithTimeout(ctx, 2*patience)
			defer cancel()
			return look(ctx, s)
		})
	})
}
