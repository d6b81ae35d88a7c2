package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver/plant"
)

func newSim(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "sim",
		Short:   "simulated hardware",
		Example: "  barista sim plant --link ./plant.sock",
	})
	cmd.AddCommand(newSimPlant(c))
	addCommands(c, cmd, "sim")
	return cmd
}

func newSimPlant(c *cli) *cobra.Command {
	var link, cups string
	cfg := plant.Default()
	cmd := &cobra.Command{
		Use:   "plant --link PATH",
		Short: "run the metal of a simulated machine as a process of its own",
		Long: `plant is the arithmetic of one machine behind a unix socket: hopper, boiler, pump,
milk, tray and cup. It goes on and holds its outputs when the machine's service
dies, as real boards do, and counts every drink that is physically poured. A
machine uses it with "driver: mock" and "plant: PATH".`,
		Example: `  barista sim plant --link ./plant.sock --speed 10 --cups auto`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if link == "" {
				return term.Usage("give --link PATH, the socket to make")
			}
			cfg.Cups = plant.Cups(cups)
			cfg.Refill = cfg.Cups == plant.Auto
			if err := cfg.Check(); err != nil {
				return term.Usage("%s", term.OneLine(err.Error()))
			}
			p := plant.New(cfg)
			l, err := plant.Listen(link)
			if err != nil {
				return err
			}
			if c.json {
				err = term.JSON(cmd.OutOrStdout(), map[string]string{"listening": link})
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "a machine's metal at %s\n", term.Safe(link))
			}
			if err != nil {
				_ = l.Close() // nobody reads what we say: we were not wanted
				return err
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			var told sync.WaitGroup
			told.Go(func() {
				relay.SayEdges(ctx, kinds.Console{Show: func(v any, text func(io.Writer)) error { return c.show(cmd, v, text) }}, p)
			})
			err = plant.Serve(ctx, l, p)
			cancel()
			if told.Wait(); err != nil {
				return err
			}
			n := p.Counts()
			return c.show(cmd, n, func(w io.Writer) { fmt.Fprintln(w, n.Poured()) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&link, "link", "", "`PATH` of the socket")
	f.Float64Var(&cfg.Speed, "speed", cfg.Speed, "of the machine's time")
	f.Float64Var(&cfg.FailRate, "fail", cfg.FailRate, "share of drinks that go wrong, 0 to 1")
	f.StringVar(&cups, "cups", string(plant.Auto), "who places cups: auto, hand or dispenser")
	f.BoolVar(&cfg.Heater, "heater", cfg.Heater, "the heater is a part of its own")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "of the accidents")
	f.StringVar(&cfg.Serial, "serial", cfg.Serial, "of the hardware")
	return cmd
}
