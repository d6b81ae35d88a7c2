package upkeep

import (
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/term"
	"barista/driver"
	"barista/fleet"
	"barista/machine/calibration"
)

// Swap is barista machine swap. It is typed at the machine, whose folder keeps it, and
// asks no shop.
func Swap(c Shell) *cobra.Command {
	var config, part, reason, by string
	cmd := &cobra.Command{
		Use:   "swap --part grinder|pump|milk --config FILE",
		Short: "at the machine: a part is another one now, and must be calibrated",
		Long: `swap notes, with the machine's service stopped, that its grinder, pump or milk pump is
another one now. Nothing moves, and no figure changes: what was measured on the old part
counts until barista calibrate has measured the new one. Until then check, selftest,
machine ls and status say that it was swapped.

Another computer, or another machine, under the same name is barista machine replace.`,
		Example: `  barista machine swap --part grinder --reason "worn burrs" --config /etc/barista/zoe.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return term.Usage("it takes no NAME: it is the machine of the file, on its own computer")
			case calibration.Unit(driver.Part(part)) == "":
				return term.Usage("--part %s: grinder, pump and milk can be swapped", term.Quote(part))
			case config == "":
				return term.Usage("name the configuration: --config FILE")
			case strings.TrimSpace(reason) == "":
				return term.Usage("give a --reason, for those who calibrate it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := c.Load(config)
			if err != nil {
				return err
			}
			switch p := driver.Part(part); {
			case f.Machine.Appliance():
				return term.Fail(term.ExitRefused, "set the amounts at the machine itself", "%s doses by itself: there is nothing to calibrate", f.Machine.Name)
			case !f.Machine.Plan.Has(p):
				return term.Fail(term.ExitRefused, "barista check "+config+" shows what it has", "%s has no %s", f.Machine.Name, p)
			}
			done, err := hands.Swap(cmd.Context(), f.State, f.Machine.Name, driver.Part(part), fleet.Plain(by), fleet.Plain(reason))
			if err != nil {
				return err
			}
			return c.Done(cmd, "%s", done)
		},
	}
	cmd.Flags().StringVar(&part, "part", "", "the `PART` that was swapped: grinder, pump or milk")
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record and for those who calibrate it")
	c.By(cmd, &by)
	return cmd
}
