package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet/client"
)

func newStatus(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "machines, queue and stock at one look",
		Long: `status shows the machines, the queue by class and the stock, and says what a
person should look at. If there is anything, it exits with 7.`,
		Example: `  barista status
  barista status --watch --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			degraded := false
			err := c.once(cmd, watch, func(ctx context.Context, s client.Shop) (any, func(io.Writer), error) {
				st, err := s.Status(ctx)
				degraded = !st.OK
				return st, func(w io.Writer) { statusText(w, st) }, err
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

func statusText(w io.Writer, s client.Status) {
	machineTable(w, s.Machines)
	fmt.Fprintln(w)
	rows := [][]string{{"CLASS", "WAITING", "MACHINES"}}
	for _, q := range s.Queue {
		names := ""
		for i, m := range q.Machines {
			if i > 0 {
				names += " "
			}
			names += m
		}
		rows = append(rows, []string{q.Class.String(), strconv.Itoa(q.Waiting), names})
	}
	term.Table(w, rows)
	if len(s.Stock) > 0 {
		fmt.Fprintln(w)
		stockTable(w, s.Stock)
	}
	fmt.Fprintf(w, "\n%d open orders\n", s.Open)
	for _, d := range s.Degraded {
		fmt.Fprintf(w, "look: %s\n", term.Safe(d))
	}
}
