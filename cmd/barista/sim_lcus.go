package main

import (
	"slices"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver/lcus"
	lcussim "barista/driver/lcus/sim"
	"barista/driver/plant"
)

func newSimLCUS(c *cli) *cobra.Command {
	var s simulated
	var answers string
	var faults []string
	var cfg lcussim.Config
	cmd := &cobra.Command{
		Use:   "lcus --link PATH",
		Short: "play an LCUS USB relay board on a serial port of its own",
		Long: `lcus is a relay board with eight relays on a pseudo-terminal, and the metal of one
machine behind it. It drops frames with a wrong sum and frames that come too near
to each other, answers nothing unless --answers names a dialect, holds its relays
when its host dies, and ends with an error when metal would have been harmed.

Faults: deaf, and those of the metal: jam, no-flow, stuck:pump and so on.`,
		Example: `  barista sim lcus --link ./board
  barista run --config configs/lcus-relays.yaml`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Relays, err = s.parts(lcus.MaxRelays); err != nil {
				return err
			}
			cfg.Answers = lcus.Answers(answers)
			if !slices.Contains([]lcus.Answers{lcus.AnswersNone, lcus.AnswersText, lcus.AnswersBytes}, cfg.Answers) {
				return term.Usage("--answers is none, text or bytes, not %s", term.Quote(answers))
			}
			var metal []plant.Fault
			for _, text := range faults {
				f, err := plant.ParseFault(text)
				switch {
				case err == nil:
					metal = append(metal, f)
				case text == "deaf":
					cfg.Deaf = true
				default:
					return term.Usage("there is no fault %s of a board; see --help", term.Quote(text))
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
			cfg.Plant = h
			return s.play(c, cmd, "an LCUS relay board", h, serve, lcussim.New(cfg).Run)
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&answers, "answers", string(lcus.AnswersNone), "to the question for its relays: none, text or bytes")
	f.StringSliceVar(&faults, "fault", nil, "what is wrong with it")
	return cmd
}
