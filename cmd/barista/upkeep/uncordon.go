package upkeep

import (
	"context"

	"github.com/spf13/cobra"

	"barista/cmd/barista/told"
	"barista/fleet/client"
)

// Uncordon is barista machine uncordon.
func Uncordon(c Shell) *cobra.Command {
	var by, reason string
	var checked bool
	cmd := &cobra.Command{
		Use:   "uncordon NAME",
		Short: "put a machine back into service",
		Long: `uncordon puts a machine back into service, whoever took it out and why. Of new hardware
under an old name (machine replace) it wants to hear that somebody has looked at it:
--checked, after barista selftest and barista calibrate there. Who did it and why stands in
the machine's log and on its tile.`,
		Example: `  barista machine uncordon zoe --reason "self-test passed"
  barista machine uncordon zoe --checked`,
		Args: c.Machine(&reason, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				if err := s.Uncordon(ctx, name, by, reason, checked); err != nil {
					return told.Stays(err)
				}
				return c.Done(cmd, "%s is back in service", name)
			})
		},
	}
	c.By(cmd, &by)
	cmd.Flags().StringVar(&reason, "reason", "", "why it may work again, for the record")
	cmd.Flags().BoolVar(&checked, "checked", false, "somebody has looked at the new hardware")
	return cmd
}
