package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
	"barista/driver"
	measured "barista/machine/calibration"
	"barista/machine/station"
)

func newCalibrate(c *cli) *cobra.Command {
	var config, by string
	var list, rollback, yes, byHand bool
	cmd := &cobra.Command{
		Use:   "calibrate grinder|pump|milk --config FILE",
		Short: "measure how fast a part is, and keep it",
		Long: `calibrate is for a person who stands at the machine, with its service stopped,
with a vessel and a scale. It runs the part three times, each time longer, within
its limits and rests, and asks what came each time: g of coffee, ml of milk or
water (1 ml of water is 1 g). A flow meter or a scale of the machine is read
instead; --by-hand asks all the same. Then it finds rate and start delay, shows
them beside those that count now, and asks whether to keep them. Runs that don't
lie on one line are refused. Enter ends a run at once, and so does Ctrl-C.

Measure the pump with a pressed puck of coffee in the group: without it water
runs almost twice as fast.

What is kept goes before the file's calibration: from the next start of the
service on, in the machine's state folder, with who and when. --list shows the
last 20; --rollback puts back what counted before.`,
		Example: `  barista calibrate grinder --config /etc/barista/zoe.yaml
  barista calibrate pump --list --config /etc/barista/zoe.yaml
  barista calibrate pump --rollback --config /etc/barista/zoe.yaml`,
		ValidArgs: []string{"grinder", "pump", "milk"},
		Args:      exactly("grinder|pump|milk"),
		RunE: func(cmd *cobra.Command, args []string) error {
			part := driver.Part(args[0])
			if measured.Unit(part) == "" {
				return term.Usage("%s can't be calibrated: grinder, pump and milk can", term.Quote(args[0]))
			}
			if config == "" {
				return term.Usage("name the configuration: barista calibrate %s --config FILE", part)
			}
			if list && rollback {
				return term.Usage("--list and --rollback are two things: give one")
			}
			f, err := preview.Machine(config, drivers)
			if err != nil {
				return err
			}
			if f.Machine.Appliance() {
				return term.Fail(term.ExitRefused, "set the amounts at the machine itself", "%s doses by itself: there is nothing to calibrate", f.Machine.Name)
			}
			switch {
			case list:
				list, err := hands.Measured(station.Folder(f.State, f.Machine.Name), f.Machine.Name, part)
				if err != nil {
					return err
				}
				return c.show(cmd, list, list.Print)
			case rollback:
				text, err := hands.RollBack(cmd.Context(), f.State, f.Machine.Name, part, by)
				if err != nil {
					return err
				}
				return c.done(cmd, "%s", text)
			}
			out := &hands.Calibrated{Machine: f.Machine.Name, Part: part, Runs: []hands.Run{}}
			words := cmd.OutOrStdout()
			if c.json {
				words = cmd.ErrOrStderr()
			}
			p := term.NewPerson(cmd.InOrStdin(), words, yes)
			err = c.atMachine(cmd, f, p, func(ctx context.Context, h *hands.Hands) error { return h.Calibrate(ctx, part, by, byHand, out) })
			return c.whole(cmd, out, &out.Error, err)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().BoolVar(&list, "list", false, "show the versions that are kept")
	cmd.Flags().BoolVar(&rollback, "rollback", false, "put back what counted before the present version")
	cmd.Flags().BoolVar(&byHand, "by-hand", false, "ask what came, also where the machine can see it")
	cmd.Flags().BoolVar(&yes, "yes", false, "ask for nothing but what came: the vessel must hold all runs")
	byFlag(cmd, &by)
	return cmd
}
