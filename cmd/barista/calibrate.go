package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
	"barista/configs"
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
				return c.listCalibrations(cmd, f, part)
			case rollback:
				return c.rollBack(cmd, f, part, by)
			}
			out := &hands.Calibrated{Machine: f.Machine.Name, Part: part, Runs: []hands.Run{}}
			words := cmd.OutOrStdout()
			if c.json {
				words = cmd.ErrOrStderr()
			}
			p := term.NewPerson(cmd.Context(), cmd.InOrStdin(), words, yes)
			err = c.atMachine(cmd, f, p, func(ctx context.Context, h *hands.Hands) error { return h.Calibrate(ctx, part, by, byHand, out) })
			if !c.json {
				return err
			}
			if err != nil {
				out.Error = explain(err)
			}
			if err := term.JSON(cmd.OutOrStdout(), out); err != nil || out.Error == nil {
				return err
			}
			return term.Said(out.Error.Exit)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().BoolVar(&list, "list", false, "show the versions that are kept")
	cmd.Flags().BoolVar(&rollback, "rollback", false, "put back what counted before the present version")
	cmd.Flags().BoolVar(&byHand, "by-hand", false, "ask what came, also where the machine can see it")
	cmd.Flags().BoolVar(&yes, "yes", false, "ask for nothing but what came")
	byFlag(cmd, &by)
	return cmd
}

// listCalibrations needs no machine.
func (c *cli) listCalibrations(cmd *cobra.Command, f *configs.File, part driver.Part) error {
	here, err := measured.Open(station.Folder(f.State, f.Machine.Name))
	if err != nil {
		return err
	}
	now, _ := here.InForce(part)
	type version struct {
		measured.Version
		InForce bool `json:"in_force"`
	}
	out := struct {
		Machine  string      `json:"machine"`
		Part     driver.Part `json:"part"`
		Unit     string      `json:"unit"`
		Versions []version   `json:"versions"`
	}{f.Machine.Name, part, measured.Unit(part), []version{}}
	rows := [][]string{{"VERSION", "MEASURED", "WHEN", "WHO", "COUNTS"}}
	for _, v := range here.Versions(part) {
		counts := ""
		if v.N == now.N {
			counts = "yes"
		}
		out.Versions = append(out.Versions, version{v, v.N == now.N})
		rows = append(rows, []string{fmt.Sprint(v.N), hands.Figures(v.PerSecond, out.Unit, v.Delay()), term.Time(v.At), v.By, counts})
	}
	return c.show(cmd, out, func(w io.Writer) {
		term.Table(w, rows)
		if now.N == 0 {
			fmt.Fprintf(w, "%s: the file's figure counts\n", part)
		}
	})
}

// rollBack puts the version before in force. It needs the machine's lock, not
// its metal.
func (c *cli) rollBack(cmd *cobra.Command, f *configs.File, part driver.Part, by string) error {
	if err := ownState(f.State); err != nil {
		return err
	}
	dir := station.Folder(f.State, f.Machine.Name)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return term.Fail(term.ExitRefused, "see --list", "%s: %w", part, measured.ErrNothing)
	}
	lock, err := station.Lock(cmd.Context(), dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	here, err := measured.Open(dir)
	if err != nil {
		return err
	}
	was, _ := here.InForce(part)
	v, err := here.Rollback(part, by, time.Now())
	if errors.Is(err, measured.ErrNothing) {
		return term.Fail(term.ExitRefused, "see --list", "%w", err)
	}
	if err != nil {
		return err
	}
	if v.N == 0 {
		return c.done(cmd, "%s: version %d no longer counts, the file's figure does, from the next start of the service", part, was.N)
	}
	return c.done(cmd, "%s: version %d (%s) counts again instead of version %d, from the next start of the service", part, v.N, hands.Figures(v.PerSecond, measured.Unit(part), v.Delay()), was.N)
}
