package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/client"
)

func newOrders(c *cli) *cobra.Command {
	var open, watch bool
	var limit int
	cmd := &cobra.Command{
		Use:   "orders",
		Short: "list orders, the one that changed last at the end",
		Long: `orders lists what has not ended, and what ended within a day. barista why tells
the story of any order of the last 30 days.`,
		Example: `  barista orders --open
  barista orders --watch --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return term.Usage("--limit %d is not possible; give 0 for all", limit)
			}
			if watch {
				return c.watching(cmd, func(ctx context.Context, s client.Shop) error {
					return c.watchOrders(ctx, cmd, s, open)
				})
			}
			return c.with(cmd, func(ctx context.Context, s client.Shop) error {
				lines, err := s.List(ctx, open, limit)
				if err != nil {
					return err
				}
				return c.show(cmd, map[string]any{"orders": lines}, func(w io.Writer) {
					rows := [][]string{told.Head}
					for _, l := range lines {
						rows = append(rows, told.Row(l))
					}
					if term.Table(w, rows); len(lines) == 0 {
						fmt.Fprintln(w, "no orders")
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "only those that have not ended")
	cmd.Flags().BoolVar(&watch, "watch", false, "go on and print every change, one line each")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many, 0 for all")
	return cmd
}

// watchOrders prints what is open now and then every change.
func (c *cli) watchOrders(ctx context.Context, cmd *cobra.Command, s client.Shop, open bool) error {
	w := cmd.OutOrStdout()
	live := false
	var broken error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.Watch(ctx, func(e fleet.Entry) {
		if e.Phase.Ended() && (open || !live) {
			return
		}
		l := client.OrderOf(e)
		if c.json {
			broken = term.JSON(w, l)
		} else {
			_, broken = fmt.Fprintln(w, told.Line(l))
		}
		if broken != nil { // nobody reads any more
			cancel()
		}
	}, func() { live = true })
	if broken != nil {
		return broken
	}
	return err
}
