package upkeep

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
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
--checked, after barista selftest and barista calibrate there.`,
		Example: `  barista machine uncordon zoe
  barista machine uncordon zoe --checked`,
		Args: c.Machine(&reason, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				m, err := s.Named(ctx, name)
				if err != nil {
					return notThere(err)
				}
				if err := unchecked(m); err != nil && !checked {
					return err
				}
				if err := s.Uncordon(ctx, name); err != nil {
					return notThere(err)
				}
				return c.Done(cmd, "%s is back in service", name)
			})
		},
	}
	c.By(cmd, &by)
	cmd.Flags().BoolVar(&checked, "checked", false, "somebody has looked at the new hardware")
	return cmd
}

// unchecked says no where a machine is new hardware that nobody has looked at.
func unchecked(m fleet.Machine) error {
	if m.Cordon == nil || !m.Cordon.Replaced {
		return nil
	}
	return term.Fail(term.ExitRefused, fmt.Sprintf("barista selftest and barista calibrate there; then barista machine uncordon %s --checked, and watch its first cup", m.Machine),
		"%s is new hardware, and nobody has said that it was looked at", m.Machine)
}
