package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

// simulated is what every simulated board has: a plant behind it, in this
// process or in one of its own, and a serial port in front.
type simulated struct {
	link, socket, offer, cups string
	relays, inputs            []string
	plant                     plant.Config
}

func (s *simulated) flags(cmd *cobra.Command) {
	s.plant = plant.Default()
	f := cmd.Flags()
	f.StringVar(&s.link, "link", "", "`PATH` of the serial port to make")
	f.StringVar(&s.socket, "plant", "", "use the metal of a barista sim plant at this `SOCKET`")
	f.StringVar(&s.offer, "offer", "", "offer this board's metal at a `SOCKET`, to look at it and to place cups")
	f.StringSliceVar(&s.relays, "relays", []string{"grinder", "pump", "milk", "sugar"}, "what hangs on relay 1, 2, …; - is nothing")
	f.Float64Var(&s.plant.Speed, "speed", s.plant.Speed, "of the metal; a board knows no speed, so calibrate the machine for it")
	f.Float64Var(&s.plant.FailRate, "fail", s.plant.FailRate, "share of drinks that go wrong, 0 to 1")
	f.StringVar(&s.cups, "cups", string(plant.Auto), "who places cups: auto, hand or dispenser")
	f.Uint64Var(&s.plant.Seed, "seed", s.plant.Seed, "of the accidents")
}

// parts are the relays' parts.
func (s *simulated) parts(most int) ([]driver.Part, error) {
	var list []driver.Part
	for _, name := range s.relays {
		p := driver.Part(name)
		switch {
		case name == "-":
			p = ""
		case !slices.Contains(driver.Parts, p):
			return nil, term.Usage("there is no part %s; parts are %v", term.Quote(name), driver.Parts)
		case slices.Contains(list, p):
			return nil, term.Usage("%s is there twice", name)
		}
		list = append(list, p)
	}
	if len(list) > most {
		return nil, term.Usage("the board has %d relays, and %d parts are named", most, len(list))
	}
	return list, nil
}

// metal is the plant, and who serves it meanwhile.
func (s *simulated) metal(parts []driver.Part) (plant.Handle, func(context.Context) error, error) {
	idle := func(ctx context.Context) error { <-ctx.Done(); return nil }
	if s.link == "" {
		return nil, nil, term.Usage("give --link PATH, the serial port to make")
	}
	if s.socket != "" {
		if s.offer != "" {
			return nil, nil, term.Usage("--plant and --offer don't go together: the metal is in the other process")
		}
		r, err := plant.Dial(s.socket)
		if err != nil {
			return nil, nil, err
		}
		return r, idle, nil
	}
	s.plant.Cups = plant.Cups(s.cups)
	s.plant.Refill = s.plant.Cups == plant.Auto
	s.plant.Heater = slices.Contains(parts, driver.Heater)
	if err := s.plant.Check(); err != nil {
		return nil, nil, term.Usage("%s", term.OneLine(err.Error()))
	}
	p := plant.New(s.plant)
	if s.offer == "" {
		return p.Handle(), idle, nil
	}
	var l net.Listener
	l, err := plant.Listen(s.offer)
	if err != nil {
		return nil, nil, err
	}
	return p.Handle(), func(ctx context.Context) error { return plant.Serve(ctx, l, p) }, nil
}

// play plays a board until the process is to end, and says what was poured. Harm
// is a failure.
func (s *simulated) play(c *cli, cmd *cobra.Command, what string, h plant.Handle, serve func(context.Context) error, run func(context.Context, io.ReadWriteCloser) error) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(ctx) }()
	end := func(err error) error {
		cancel()
		err = errors.Join(err, <-served)
		if far, ok := h.(*plant.Remote); ok {
			err = errors.Join(err, far.Close())
		}
		return err
	}
	l, err := link.Make(s.link)
	if err != nil {
		return end(err)
	}
	if c.json {
		err = term.JSON(cmd.OutOrStdout(), map[string]string{"port": l.Device()})
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s at %s\n", what, term.Safe(l.Device()))
	}
	if err != nil {
		return end(errors.Join(err, l.Close())) // nobody reads what we say: we were not wanted
	}
	err = run(ctx, l)
	n, lost := h.Counts()
	if lost == nil {
		lost = c.show(cmd, n, func(w io.Writer) { sayPoured(w, n) })
	}
	return end(errors.Join(err, lost))
}

// simFault is a fault with its value: "late:150ms".
func simFault(text string) (name string, share float64, late time.Duration, err error) {
	name, value, has := strings.Cut(text, ":")
	if !has {
		return name, 0, 0, nil
	}
	if late, err = time.ParseDuration(value); err == nil {
		if late < 0 || late > time.Minute {
			err = term.Usage("fault %s: give a time up to 1m", term.Quote(text))
		}
		return name, 0, late, err
	}
	if share, err = strconv.ParseFloat(value, 64); err != nil || !(share >= 0 && share <= 1) {
		return name, 0, 0, term.Usage("fault %s: give a share from 0 to 1, or a time", term.Quote(text))
	}
	return name, share, 0, nil
}

func newSimModbus(c *cli) *cobra.Command {
	var s simulated
	var faults []string
	var cfg modbussim.Config
	cmd := &cobra.Command{
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
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Relays, err = s.parts(modbus.MaxRelays); err != nil {
				return err
			}
			for _, name := range s.inputs {
				if name == "-" {
					name = ""
				} else if !slices.Contains(modbus.Contacts, driver.Signal(name)) {
					return term.Usage("no contact says %s; they can say %v", term.Quote(name), modbus.Contacts)
				}
				cfg.Inputs = append(cfg.Inputs, driver.Signal(name))
			}
			if !slices.Contains(modbus.Bauds, cfg.Baud) || cfg.Address < 1 || cfg.Address > 247 || cfg.First < 0 || cfg.First > 1 {
				return term.Usage("give a --baud of %v, an --address from 1 to 247 and a --first of 0 or 1", modbus.Bauds)
			}
			var metal []plant.Fault
			for _, text := range faults {
				if f, err := plant.ParseFault(text); err == nil {
					metal = append(metal, f)
				} else if err := modbusFault(&cfg.Faults, text); err != nil {
					return err
				}
			}
			h, serve, err := s.metal(cfg.Relays)
			if err != nil {
				return err
			}
			for _, f := range metal {
				if err := h.Fault(f); err != nil {
					return err
				}
			}
			cfg.Plant, cfg.Seed = h, s.plant.Seed
			return s.play(c, cmd, "a Modbus relay board", h, serve, modbussim.New(cfg).Run)
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&s.inputs, "inputs", []string{"cup", "tank", "beans", "tray", "hot"}, "what hangs on contact 1, 2, …; - is nothing")
	f.IntVar(&cfg.Address, "address", 1, "of the board")
	f.IntVar(&cfg.Baud, "baud", 9600, "of the line: how long its bytes take")
	f.IntVar(&cfg.First, "first", 0, "number of the first relay and contact on the wire: 0 or 1")
	f.StringSliceVar(&faults, "fault", nil, "what is wrong with it")
	return cmd
}

func modbusFault(f *modbussim.Faults, text string) error {
	name, share, late, err := simFault(text)
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
		return term.Usage("there is no fault %s of a board; see --help", term.Quote(text))
	}
	return nil
}
