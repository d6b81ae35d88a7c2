package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"barista/configs"
	"barista/driver"
	"barista/driver/mock"
	"barista/driver/plant"
	"barista/fleet"
	"barista/machine/recipe"
)

// timelineEvent is one line of a timeline in JSON.
type timelineEvent struct {
	AtMS     int64       `json:"at_ms"`
	Kind     recipe.Kind `json:"kind"`
	Part     driver.Part `json:"part,omitempty"`
	AtMostMS int64       `json:"at_most_ms,omitempty"`
	Step     string      `json:"step,omitempty"`
	Text     string      `json:"text"`
}

func newTimeline(c *cli) *cobra.Command {
	var config, milk string
	var sugar int
	cmd := &cobra.Command{
		Use:   "timeline SIZE",
		Short: "print what a machine would do for a drink, second by second",
		Long: `timeline lays a drink out as a machine would, and touches nothing: which part
goes on when, for how long at most, and what is waited for. With --config it is
laid out for that machine's limits and calibration, else for a complete machine
with usual figures. The doses are those of the default menu.`,
		Example: `  barista timeline large
  barista timeline medium --milk normal --sugar 2 --config /etc/barista/zoe.yaml`,
		Args: exactly("SIZE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			menu := fleet.DefaultMenu()
			size := fleet.Size(args[0])
			if size == "big" {
				size = fleet.Large
			}
			doses, sold := menu.Sizes[size]
			if !sold {
				return usage("%s is no size: say small, medium or large", quote(args[0]))
			}
			if sugar < 0 || sugar > fleet.MaxSugar {
				return usage("--sugar %d is not possible; give 0 to %d", sugar, fleet.MaxSugar)
			}
			if !fleet.IsToken(milk) {
				return usage("--milk %s is no milk", quote(milk))
			}
			d := recipe.DefaultBook()[string(size)]
			d.Grams, d.WaterML, d.MilkML, d.Sugar = float64(doses.Grams), float64(doses.Water), 0, sugar
			if milk != fleet.NoMilk && milk != "none" {
				d.MilkML = float64(doses.MilkML)
			}
			cal, lim := recipe.DefaultCalibration(), recipe.DefaultLimits()
			if config != "" {
				m, err := machineIn(config)
				if err != nil {
					return err
				}
				cal, lim = calibrationOf(m), limitsOf(m)
			}
			t, err := recipe.Compile(d, cal, lim)
			if err != nil {
				return fail(exitRefused, "nothing would move", "%s", oneLine(err.Error()))
			}
			events := []timelineEvent{}
			for _, e := range t {
				events = append(events, timelineEvent{e.At.Milliseconds(), e.Kind, e.Part, e.AtMost.Milliseconds(), e.Step, e.String()})
			}
			out := struct {
				Size     fleet.Size      `json:"size"`
				LengthMS int64           `json:"length_ms"`
				Events   []timelineEvent `json:"events"`
			}{size, t.Length().Milliseconds(), events}
			return c.show(cmd, out, func(w io.Writer) { fmt.Fprint(w, t.String()) })
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().StringVar(&milk, "milk", fleet.NoMilk, "a milk of the menu")
	cmd.Flags().IntVar(&sugar, "sugar", 0, "doses of sugar")
	return cmd
}

// calibrationOf is the machine's calibration as the service would use it: what
// its file says, else what its kind is known for, else the usual figures. A
// plant in a process of its own is not asked; it counts as one with the usual
// figures.
func calibrationOf(m *configs.Machine) recipe.Calibration {
	known := recipe.DefaultCalibration()
	if s, is := m.Settings.(mock.Config); is {
		f := plant.Default()
		known.GrinderGPS, known.PumpMLPS, known.MilkMLPS, known.SugarDosePS = f.GrinderGPS, f.FlowMLPS, f.MilkMLPS, f.SugarDosePS
		if s.Speed > 0 {
			known = known.Scale(s.Speed)
		}
	}
	return calibration(m, known)
}

// limitsOf is what the guard of this machine will allow, as far as the file
// says it.
func limitsOf(m *configs.Machine) recipe.Limits {
	l := recipe.DefaultLimits()
	l.Parts = map[driver.Part]recipe.Limit{}
	has := slices.Sorted(maps.Keys(m.Outputs))
	if s, is := m.Settings.(mock.Config); is {
		has = mockParts(s)
	}
	for _, p := range has {
		o := m.Outputs[p]
		limit := recipe.Limit{MaxOn: ceilings[p], Rest: o.Rest, Inrush: o.Inrush}
		if o.MaxOn > 0 {
			limit.MaxOn = min(limit.MaxOn, o.MaxOn)
		}
		l.Parts[p] = limit
		if p == driver.Heater {
			l.Signals = map[driver.Signal]bool{driver.Temperature: true, driver.Hot: true, driver.Flow: true}
		}
	}
	l.HotWait = time.Minute
	return l
}
