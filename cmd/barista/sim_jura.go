package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver/jura"
	jurasim "barista/driver/jura/sim"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

func newSimJura(c *cli) *cobra.Command {
	var path, cups, offer string
	var faults []string
	var count uint16
	var high bool
	var model string
	metal := jurasim.Plant()
	cmd := &cobra.Command{
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
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return term.Usage("give --link PATH, the serial port to make")
			}
			metal.Cups = plant.Cups(cups)
			metal.Refill = metal.Cups == plant.Auto
			if metal.Cups == plant.Dispenser {
				return term.Usage("a Jura drops no cups: give --cups auto or hand")
			}
			cfg := jurasim.Config{Model: model, Plant: &metal, Count: count, Filler: jura.LowFiller}
			if high {
				cfg.Filler = jura.HighFiller
			}
			for _, f := range faults {
				if _, err := jurasim.ParseFault(f); err != nil {
					return term.Usage("%s", term.OneLine(err.Error()))
				}
			}
			m, err := jurasim.New(cfg)
			if err != nil {
				return term.Usage("%s", term.OneLine(err.Error()))
			}
			for _, f := range faults {
				m.Fault(jurasim.Fault(f))
			}
			return playJura(c, cmd, m, path, offer)
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "link", "", "`PATH` of the serial port to make")
	f.StringVar(&model, "model", "EF532M", "what it answers to TY: one of "+strings.Join(jurasim.Models(), ", "))
	f.StringSliceVar(&faults, "fault", nil, "what is wrong with it")
	f.Uint16Var(&count, "count", 100, "what its counters begin with")
	f.BoolVar(&high, "high-filler", false, "answer with the other filler bits")
	f.StringVar(&cups, "cups", string(plant.Auto), "who places cups: auto or hand")
	f.StringVar(&offer, "offer", "", "offer its metal at a `SOCKET`, to look at it and to place cups")
	f.Float64Var(&metal.Speed, "speed", metal.Speed, "of the machine; the wire keeps its own")
	f.Float64Var(&metal.FailRate, "fail", metal.FailRate, "share of drinks that go wrong, 0 to 1")
	f.Uint64Var(&metal.Seed, "seed", metal.Seed, "of the accidents")
	return cmd
}

// playJura plays until the process is to end, and says what was poured. Harm is
// a failure.
func playJura(c *cli, cmd *cobra.Command, m *jurasim.Machine, path, offer string) error {
	ctx, cancel := context.WithCancel(cmd.Context())
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
	if c.json {
		err = term.JSON(cmd.OutOrStdout(), map[string]string{"port": l.Device()})
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "a Jura at %s\n", term.Safe(l.Device()))
	}
	if err != nil {
		cancel() // nobody reads what we say: we were not wanted
	}
	parts := []func() error{
		func() error { return m.Run(ctx) },
		func() error { return m.Serve(ctx, l) },
		func() error { return serve(ctx) },
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
	return errors.Join(err, c.show(cmd, n, func(w io.Writer) { sayPoured(w, n) }))
}
