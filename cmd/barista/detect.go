package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"barista/cmd/barista/detect"
	"barista/cmd/barista/term"
)

func newDetect(c *cli) *cobra.Command {
	var probe, root string
	cmd := &cobra.Command{
		Use:   "detect [PORT…]",
		Short: "find machines and boards on this computer; brews and switches nothing",
		Long: `detect lists the serial ports of this computer by the names that stay the same,
with their adapter and who has them open, and its GPIO chips by label, with the
lines that somebody holds. It asks the free ports two questions that only read:
TY:, as a Jura answers it, and the relays of a Modbus board at address 1. Both at
9600 baud, the usual of both. Nothing is brewed, switched or written.

A port that somebody has open is never opened. A device that talks without being
asked is not asked anything. An LCUS relay board never answers: a CH340 without a
serial number may be one.

Opening a port raises its DTR and RTS lines, as with every program, and some
boards of other trades start anew by that. So only ports with an adapter that
machines and boards are known to have (CH340, FTDI, CP210x, PL2303) are opened,
and none whose name speaks of something else; name a port, or give --probe, to
ask others too, such as the port on a Raspberry Pi's header.

It takes three seconds, and some more where a machine answers.`,
		Example: `  sudo barista detect
  barista detect --json
  barista detect /dev/ttyAMA0
  barista detect --probe=none`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch probe {
			case detect.Known, detect.All, detect.None:
			default:
				return term.Usage("--probe is known, all or none, not %s", term.Quote(probe))
			}
			progress := func(format string, a ...any) {
				if !c.json {
					fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", a...)
				}
			}
			found, err := detect.Below(root, drivers).Look(cmd.Context(), args, probe, progress)
			if err != nil {
				return err
			}
			return c.show(cmd, found, found.Text)
		},
	}
	f := cmd.Flags()
	f.StringVar(&probe, "probe", detect.Known, "which free ports to ask: known, all or none")
	f.Lookup("probe").NoOptDefVal = detect.All
	hiddenRoot(cmd, &root)
	return cmd
}

// hiddenRoot is a flag for tests and for whoever looks at the tree of another
// computer.
func hiddenRoot(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "root", "", "a `FOLDER` with another dev, sys, proc and run")
	_ = cmd.Flags().MarkHidden("root")
}
