package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
)

func newSelftest(c *cli) *cobra.Command {
	var config string
	var yes bool
	cmd := &cobra.Command{
		Use:   "selftest --config FILE",
		Short: "read every sensor, then switch each output for a second",
		Long: `selftest is for a person who stands at the machine, with its service stopped. It
says which hardware this is and what every sensor reads. Then it asks, and
switches each output for at most a second, one after the other, through the same
guard as a drink; where a sensor or a feedback contact shows the part's work, it
compares. The first fault ends it. Ctrl-C, Ctrl-\ and Ctrl-Z switch everything
off at once, and so does a terminal that is closed.

A machine that is locked by a fault, has its stop pressed or its door open, or
holds a drink that is not settled, is not switched. Of a machine that owns its
parts (a Jura) it says identity, readiness and counter, and starts nothing. The
journal does not hear of any of this.`,
		Example: `  barista selftest --config /etc/barista/zoe.yaml
  barista selftest --yes --json --config configs/machine-mock.yaml`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return term.Usage("name the configuration: barista selftest --config FILE")
			}
			f, err := preview.Machine(config, drivers)
			if err != nil {
				return err
			}
			out := &hands.Tested{Machine: f.Machine.Name}
			words := cmd.OutOrStdout()
			if c.json {
				words = cmd.ErrOrStderr()
			}
			p := term.NewPerson(cmd.InOrStdin(), words, yes)
			err = c.atMachine(cmd, f, p, func(ctx context.Context, h *hands.Hands) error { return h.Selftest(ctx, out) })
			out.OK = err == nil
			return c.whole(cmd, out, &out.Error, err)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
