package modbus

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"barista/configs/kinds"
	"barista/driver/modbus"
	"barista/driver/serial"
)

// record is what a board tells.
var record = kinds.Record{
	Says:    "of a Modbus board its relays and contacts",
	Example: "barista driver record --kind modbus --port ./board --relays 8 --out board.jsonl",
	Flags: func(f *pflag.FlagSet) func(serial.Config) (kinds.Look, error) {
		b := &modbus.Config{}
		f.IntVar(&b.Address, "address", 1, "of the board")
		f.IntVar(&b.Relays, "relays", 8, "how many the board has")
		f.IntVar(&b.First, "first", 0, "number of the first relay and contact on the wire: 0 or 1")
		return func(port serial.Config) (kinds.Look, error) {
			if !slices.Contains(modbus.Bauds, port.Baud) || b.Address < 1 || b.Address > 247 ||
				b.Relays < 1 || b.Relays > modbus.MaxRelays || b.First < 0 || b.First > 1 {
				return nil, kinds.Usage("give a --baud of %v, an --address from 1 to 247, --relays from 1 to %d and a --first of 0 or 1", modbus.Bauds, modbus.MaxRelays)
			}
			return func(ctx context.Context, port *serial.Port) (string, error) {
				g, err := modbus.Look(ctx, port, *b)
				return fmt.Sprintf("relays %s, contacts %s", closed(g.Relays), closed(g.Contacts)), err
			}, nil
		}
	},
}

// closed lists what is closed.
func closed(bits []bool) string {
	var list []string
	for i, on := range bits {
		if on {
			list = append(list, fmt.Sprint(i+1))
		}
	}
	switch {
	case len(bits) == 0:
		return "not there"
	case len(list) == 0:
		return "all open"
	}
	return strings.Join(list, " ") + " closed"
}
