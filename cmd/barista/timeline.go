package main

import (
	"io"

	"github.com/spf13/cobra"

	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/machine"
)

func newTimeline(c *cli) *cobra.Command {
	var config, milk string
	var sugar int
	cmd := &cobra.Command{
		Use:   "timeline SIZE",
		Short: "print what a machine would do for a drink, second by second",
		Long: `timeline lays a drink out as a machine would, and touches nothing: which part
goes on when, for how long at most, and what is waited for. With --config it is
laid out for that machine's limits and calibration, else for a complete machine
with usual figures. The doses are those of the default menu.`,
		Example: `  barista timeline large
  barista timeline medium --milk normal --sugar 2 --config /etc/barista/zoe.yaml`,
		Args: exactly("SIZE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			size := fleet.SizeOf(args[0])
			if _, sold := fleet.DefaultMenu().Sizes[size]; !sold {
				return term.Usage("%s is no size: say small, medium or large", term.Quote(args[0]))
			}
			if sugar < 0 || sugar > fleet.MaxSugar {
				return term.Usage("--sugar %d is not possible; give 0 to %d", sugar, fleet.MaxSugar)
			}
			milk = fleet.MilkOf(milk)
			if !fleet.IsToken(milk) {
				return term.Usage("--milk %s is no milk", term.Quote(milk))
			}
			plan := machine.Complete()
			if config != "" {
				f, err := preview.Machine(config, drivers)
				if err != nil {
					return err
				}
				if plan, _, err = preview.InForce(f); err != nil {
					return err
				}
			}
			t, err := plan.Timeline(preview.Asked(fleet.Order{Size: size, Bean: fleet.DefaultMenu().Beans[0], Milk: milk, Sugar: sugar}))
			if err != nil {
				return term.Fail(term.ExitRefused, "nothing would move", "%s", err)
			}
			events := preview.Events(t, plan)
			out := struct {
				Size     fleet.Size      `json:"size"`
				LengthMS int64           `json:"length_ms"`
				Events   []preview.Event `json:"events"`
			}{size, t.Length().Milliseconds(), events}
			return c.show(cmd, out, func(w io.Writer) { preview.PrintEvents(w, events) })
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().StringVar(&milk, "milk", fleet.NoMilk, "a milk of the menu")
	cmd.Flags().IntVar(&sugar, "sugar", 0, "doses of sugar")
	return cmd
}
