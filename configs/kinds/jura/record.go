package jura

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"barista/configs/kinds"
	"barista/driver/jura"
	"barista/driver/serial"
)

// record is what a Jura tells.
var record = kinds.Record{
	Says:    "of a Jura its type, inputs and counters",
	Example: "barista driver record --kind jura --port /dev/serial/by-id/usb-… --out e6.jsonl",
	Flags: func(*pflag.FlagSet) func(serial.Config) (kinds.Look, error) {
		return func(port serial.Config) (kinds.Look, error) {
			if port.Baud != 9600 {
				return nil, kinds.Usage("a Jura speaks at 9600 baud only: leave --baud out")
			}
			return func(ctx context.Context, port *serial.Port) (string, error) {
				g, err := jura.Look(ctx, port)
				return inWords(g), err
			}, nil
		}
	},
}

func inWords(g jura.Glance) string {
	if !g.Known {
		return g.Answer + ", which is no model that is known"
	}
	s := fmt.Sprintf("%s, the %v", g.Answer, g.Model)
	if g.Products >= 0 {
		s += fmt.Sprintf(", %d products made", g.Products)
	}
	for _, x := range []string{g.Busy, g.Want} {
		if x != "" {
			s += ", " + x
		}
	}
	return s
}
