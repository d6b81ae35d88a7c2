package jura

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver/jura"
	jurasim "barista/driver/jura/sim"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

// sim plays such a machine.
var sim = kinds.Command{
	Under: "sim",
	Use:   "jura --link PATH",
	Short: "play a Jura on a serial port of its own",
	Long: `jura is a coffee machine with a service port on a pseudo-terminal, and its own
grinder, pump, heater and milk behind it. It answers anyone's program in the real
encoding, takes no character that comes too early or in pieces, says nothing to
what it does not know, stops a product at the second
press of its key, counts only what was poured, goes on when its host dies, and
ends with an error at a command that would damage a real machine.

Faults: ` + strings.Join(jurasim.Faults(), ", ") + `,
and those of the metal: tank-empty, beans-out, no-flow, jam, stuck:pump and so on.`,
	Example: `  barista sim jura --model EF532M --link ./jura
  barista run --config configs/jura-e6.yaml`,
	Flags: func(f *pflag.FlagSet) kinds.Run {
		s := &simulated{metal: jurasim.Plant()}
		f.StringVar(&s.link, "link", "", "`PATH` of the serial port to make")
		f.StringVar(&s.cfg.Model, "model", "EF532M", "what it answers to TY: one of "+strings.Join(jurasim.Models(), ", "))
		f.StringSliceVar(&s.faults, "fault", nil, "what is wrong with it")
		f.Uint16Var(&s.cfg.Count, "count", 100, "what its counters begin with")
		f.BoolVar(&s.high, "high-filler", false, "answer with the other filler bits")
		f.StringVar(&s.cups, "cups", string(plant.Auto), "who places cups: auto or hand")
		f.StringVar(&s.offer, "offer", "", "offer its metal at a `SOCKET`, to look at it and to place cups")
		f.Float64Var(&s.metal.Speed, "speed", s.metal.Speed, "of the machine; the wire keeps its own")
		f.Float64Var(&s.metal.FailRate, "fail", s.metal.FailRate, "share of drinks that go wrong, 0 to 1")
		f.Uint64Var(&s.metal.Seed, "seed", s.metal.Seed, "of the accidents")
		return s.run
	},
}

type simulated struct {
	link, cups, offer string
	faults            []string
	high              bool
	cfg               jurasim.Config
	metal             plant.Config
}

func (s *simulated) run(ctx context.Context, c kinds.Console, _ []string) error {
	if s.link == "" {
		return kinds.Usage("give --link PATH, the serial port to make")
	}
	s.metal.Cups = plant.Cups(s.cups)
	s.metal.Refill = s.metal.Cups == plant.Auto
	if s.metal.Cups == plant.Dispenser {
		return kinds.Usage("a Jura drops no cups: give --cups auto or hand")
	}
	s.cfg.Plant, s.cfg.Filler = &s.metal, jura.LowFiller
	if s.high {
		s.cfg.Filler = jura.HighFiller
	}
	for _, f := range s.faults {
		if _, err := jurasim.ParseFault(f); err != nil {
			return kinds.Usage("%w", err)
		}
	}
	m, err := jurasim.New(s.cfg)
	if err != nil {
		return kinds.Usage("%w", err)
	}
	for _, f := range s.faults {
		m.Fault(jurasim.Fault(f))
	}
	return play(ctx, c, m, s.link, s.offer)
}

// play plays until the process is to end, and says what was poured. Harm is
// a failure.
func play(ctx context.Context, c kinds.Console, m *jurasim.Machine, path, offer string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := link.Make(path)
	if err != nil {
		return err
	}
	serve := func(ctx context.Context) error { <-ctx.Done(); return nil }
	if offer != "" {
		s, err := plant.Listen(offer)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		serve = func(ctx context.Context) error { return plant.Serve(ctx, s, m.Plant()) }
	}
	err = relay.SayPort(c, "a Jura", l.Device())
	if err != nil {
		cancel() // nobody reads what we say: we were not wanted
	}
	parts := []func() error{
		func() error { return m.Run(ctx) },
		func() error { return m.Serve(ctx, l) },
		func() error { return serve(ctx) },
		func() error { relay.SayEdges(ctx, c, m.Plant()); <-ctx.Done(); return nil },
	}
	ended := make(chan error)
	for _, run := range parts {
		go func() { ended <- run() }()
	}
	for range parts {
		err = errors.Join(err, <-ended)
		cancel() // one for all: harm ends the port too
	}
	n := m.Plant().Counts()
	return errors.Join(err, c.Show(n, func(w io.Writer) { fmt.Fprintln(w, n.Poured()) }))
}
