package modbus

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
)

// sim plays such a board.
var sim = kinds.Command{
	Under: "sim",
	Use:   "modbus --link PATH",
	Short: "play a Modbus RTU relay board on a serial port of its own",
	Long: `modbus is a relay board with eight relays and eight contacts on a pseudo-terminal,
and the metal of one machine behind it. It answers anyone's program, wants the
silences and the sums of Modbus RTU, holds its relays when its host dies, opens
those that were closed by flash-on, and ends with an error when metal would have
been harmed.

Faults: no-flash (old firmware), no-row (function 0F is unknown), deaf, mute,
late:150ms, damage:0.05, drop:0.05, double:0.05 (shares of its answers), and
those of the metal: jam, no-flow, stuck:pump, sensor-open:cup and so on.`,
	Example: `  barista sim modbus --link ./board
  barista run --config configs/modbus-relays.yaml`,
	Flags: func(f *pflag.FlagSet) kinds.Run {
		s := &simulated{}
		s.Flags(f)
		f.StringSliceVar(&s.inputs, "inputs", []string{"cup", "tank", "beans", "tray", "hot"}, "what hangs on contact 1, 2, …; - is nothing")
		f.IntVar(&s.cfg.Address, "address", 1, "of the board")
		f.IntVar(&s.cfg.Baud, "baud", 9600, "of the line: how long its bytes take")
		f.IntVar(&s.cfg.First, "first", 0, "number of the first relay and contact on the wire: 0 or 1")
		return s.run
	},
}

type simulated struct {
	relay.Simulated
	inputs []string
	cfg    modbussim.Config
}

func (s *simulated) run(ctx context.Context, c kinds.Console, _ []string) error {
	var err error
	cfg := s.cfg
	if cfg.Relays, err = s.Parts(c, modbus.MaxRelays); err != nil {
		return err
	}
	for _, name := range s.inputs {
		if name == "-" {
			name = ""
		} else if !slices.Contains(modbus.Contacts, driver.Signal(name)) {
			return kinds.Usage("no contact says %s; they can say %v", c.Quote(name), modbus.Contacts)
		}
		cfg.Inputs = append(cfg.Inputs, driver.Signal(name))
	}
	if !slices.Contains(modbus.Bauds, cfg.Baud) || cfg.Address < 1 || cfg.Address > 247 || cfg.First < 0 || cfg.First > 1 {
		return kinds.Usage("give a --baud of %v, an --address from 1 to 247 and a --first of 0 or 1", modbus.Bauds)
	}
	cfg.Plant, err = s.Metal(cfg.Relays, func(text string) error { return fault(c, &cfg.Faults, text) })
	if err != nil {
		return err
	}
	cfg.Seed = s.Seed()
	return s.Play(ctx, c, "a Modbus relay board", modbussim.New(cfg).Run)
}

func fault(c kinds.Console, f *modbussim.Faults, text string) error {
	name, share, late, err := valued(c, text)
	if err != nil {
		return err
	}
	plain := name == text
	switch {
	case name == "no-flash" && plain:
		f.NoFlash = true
	case name == "no-row" && plain:
		f.NoRow = true
	case name == "deaf" && plain:
		f.Deaf = true
	case name == "mute" && plain:
		f.Mute = true
	case name == "late" && late > 0:
		f.Late = late
	case name == "damage" && share > 0:
		f.Damage = share
	case name == "drop" && share > 0:
		f.Drop = share
	case name == "double" && share > 0:
		f.Double = share
	default:
		return kinds.Usage("there is no fault %s of a board; see --help", c.Quote(text))
	}
	return nil
}

// valued is a fault with its value: "late:150ms".
func valued(c kinds.Console, text string) (name string, share float64, late time.Duration, err error) {
	name, value, has := strings.Cut(text, ":")
	if !has {
		return name, 0, 0, nil
	}
	if late, err = time.ParseDuration(value); err == nil {
		if late < 0 || late > time.Minute {
			err = kinds.Usage("fault %s: give a time up to 1m", c.Quote(text))
		}
		return name, 0, late, err
	}
	if share, err = strconv.ParseFloat(value, 64); err != nil || !(share >= 0 && share <= 1) {
		return name, 0, 0, kinds.Usage("fault %s: give a share from 0 to 1, or a time", c.Quote(text))
	}
	return name, share, 0, nil
}
