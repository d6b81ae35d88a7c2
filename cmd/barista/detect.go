package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/detect"
	"barista/cmd/barista/term"
)

func newDetect(c *cli) *cobra.Command {
	var probe, root string
	cmd := &cobra.Command{
		Use:   "detect [PORT…]",
		Short: "find machines and boards on this computer; brews and switches nothing",
		Long:  detectHelp(),
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

// detectHelp says of each kind what it is asked.
func detectHelp() string {
	var asks []string
	for _, k := range drivers.Asking() {
		asks = append(asks, k.Asks)
	}
	never := ""
	for _, k := range drivers {
		if k.Sight != nil && k.Sight.Ask == nil {
			never += " " + k.Sight.Asks
		}
	}
	many, every := "two", "both"
	if len(asks) != 2 {
		many, every = strconv.Itoa(len(asks)), "all"
	}
	return term.Wrap("detect lists the serial ports of this computer by the names that stay the same, with their adapter and who has them open, "+
		"and its GPIO chips by label, with the lines that somebody holds. It asks the free ports "+many+" questions that only read: "+
		strings.Join(asks, ", and ")+". "+strings.ToUpper(every[:1])+every[1:]+" at 9600 baud, the usual of "+every+
		". Nothing is brewed, switched or written.") + "\n\n" +
		term.Wrap("A port that somebody has open is never opened. A device that talks without being asked is not asked anything."+never) + `

Opening a port raises its DTR and RTS lines, as with every program, and some
boards of other trades start anew by that. So only ports with an adapter that
machines and boards are known to have (CH340, FTDI, CP210x, PL2303) are opened,
and none whose name speaks of something else; name a port, or give --probe, to
ask others too, such as the port on a Raspberry Pi's header.

It takes three seconds, and some more where a machine answers.`
}

// hiddenRoot is a flag for tests and for whoever looks at the tree of another
// computer.
func hiddenRoot(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "root", "", "a `FOLDER` with another dev, sys, proc and run")
	_ = cmd.Flags().MarkHidden("root")
}
