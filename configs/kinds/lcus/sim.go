package lcus

import (
	"context"
	"slices"

	"github.com/spf13/pflag"

	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver/lcus"
	lcussim "barista/driver/lcus/sim"
)

// sim plays such a board.
var sim = kinds.Command{
	Under: "sim",
	Use:   "lcus --link PATH",
	Short: "play an LCUS USB relay board on a serial port of its own",
	Long: `lcus is a relay board with eight relays on a pseudo-terminal, and the metal of one
machine behind it. It drops frames with a wrong sum and frames that come too near
to each other, answers nothing unless --answers names a dialect, holds its relays
when its host dies, and ends with an error when metal would have been harmed.

Faults: deaf, and those of the metal: jam, no-flow, stuck:pump and so on.`,
	Example: `  barista sim lcus --link ./board
  barista run --config configs/lcus-relays.yaml`,
	Flags: func(f *pflag.FlagSet) kinds.Run {
		s := &simulated{}
		s.Flags(f)
		f.StringVar(&s.answers, "answers", string(lcus.AnswersNone), "to the question for its relays: none, text or bytes")
		return s.run
	},
}

type simulated struct {
	relay.Simulated
	answers string
}

func (s *simulated) run(ctx context.Context, c kinds.Console, _ []string) error {
	cfg := lcussim.Config{Answers: lcus.Answers(s.answers)}
	var err error
	if cfg.Relays, err = s.Parts(c, lcus.MaxRelays); err != nil {
		return err
	}
	if !slices.Contains([]lcus.Answers{lcus.AnswersNone, lcus.AnswersText, lcus.AnswersBytes}, cfg.Answers) {
		return kinds.Usage("--answers is none, text or bytes, not %s", c.Quote(s.answers))
	}
	cfg.Plant, err = s.Metal(cfg.Relays, func(text string) error {
		if text != "deaf" {
			return kinds.Usage("there is no fault %s of a board; see --help", c.Quote(text))
		}
		cfg.Deaf = true
		return nil
	})
	if err != nil {
		return err
	}
	return s.Play(ctx, c, "an LCUS relay board", lcussim.New(cfg).Run)
}
