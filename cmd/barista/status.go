package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet/client"
)

func newStatus(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "machines, queue and stock at one look",
		Long: `status says first what a person should look at and what to type, then shows the
machines, what waits and the stock, 80 columns wide. If there is anything to look at, it
exits with 7; advice, as of a part that was swapped, is no reason for that. With --watch a
terminal is drawn anew in its place; elsewhere each change is printed below the last one.`,
		Example: `  barista status
  barista status --watch --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			degraded := false
			err := c.once(cmd, watch, func(ctx context.Context, s client.Shop) (any, func(io.Writer), error) {
				st, err := s.Status(ctx)
				degraded = !st.OK
				return st, func(w io.Writer) { told.Status(w, st) }, err
			})
			if err == nil && degraded && !watch {
				return term.Said(term.ExitDegraded)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on and print it again whenever it changes")
	return cmd
}
