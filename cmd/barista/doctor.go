package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/doctor"
)

func newDoctor(c *cli) *cobra.Command {
	var repair bool
	var by, reason string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "compare what the shop has written down, and name what is amiss",
		Long: `doctor compares the shop's book with its queue, with the events that were told of
it, and the settings with the copy that the service keeps beside the store. It only
reads, and prints each finding with what to type next. If there is any, it exits
with 7. The service does the same at its start and every hour.

With --repair the service also does what a person must decide: it puts back the menu
and the cordons of a store that was replaced, and takes out of the queue what is no
order. An order whose record is lost is put before a person by itself, within a
minute: settle it, or have it made again.`,
		Example: `  barista doctor
  barista doctor --repair --reason "the card was replaced"`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if repair && reason == "" {
				return term.Usage("give a --reason, for the record")
			}
			conn, err := c.dial(cmd)
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), 60*patience)
			defer cancel()
			var found []fleet.Finding
			if repair {
				if found, err = doctor.Remote(conn.Requester()).Repair(ctx, by, reason); err != nil {
					return err
				}
			}
			found, err = doctor.Together(ctx, reach.Records(conn.Conn, conn.Through), conn.Requester(), found)
			if err != nil {
				return err
			}
			if err := c.show(cmd, map[string]any{"findings": found}, func(w io.Writer) { told.Findings(w, found) }); err != nil {
				return err
			}
			if doctor.Amiss(found) {
				return term.Said(term.ExitDegraded)
			}
			return nil
		},
	}
	byFlag(cmd, &by)
	cmd.Flags().BoolVar(&repair, "repair", false, "also do what a person must decide")
	cmd.Flags().StringVar(&reason, "reason", "", "why it is repaired, for the record")
	return cmd
}
