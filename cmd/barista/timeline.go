package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/driver/gpio"
	"barista/driver/mock"
	"barista/driver/plant"
	"barista/fleet"
	"barista/machine/recipe"
)

// timelineEvent is one line of a timeline in JSON.
type timelineEvent struct {
	At     int64       `json:"at_ms"`
	Kind   recipe.Kind `json:"kind"`
	Part   driver.Part `json:"part,omitempty"`
	AtMost int64       `json:"at_most_ms,omitempty"`
	Step   string      `json:"step,omitempty"`
	Wire   string      `json:"wire,omitempty"` // what the part hangs on, with --config
	Text   string      `json:"text"`
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
			size := fleet.SizeOf(args[0])
			doses, sold := menu.Sizes[size]
			if !sold {
				return term.Usage("%s is no size: say small, medium or large", term.Quote(args[0]))
			}
			if sugar < 0 || sugar > fleet.MaxSugar {
				return term.Usage("--sugar %d is not possible; give 0 to %d", sugar, fleet.MaxSugar)
			}
			if !fleet.IsToken(milk) {
				return term.Usage("--milk %s is no milk", term.Quote(milk))
			}
			d := recipe.DefaultBook()[string(size)]
			d.Grams, d.WaterML, d.MilkML, d.Sugar = float64(doses.Grams), float64(doses.Water), 0, sugar
			if fleet.MilkOf(milk) != fleet.NoMilk {
				d.MilkML = float64(doses.MilkML)
			}
			cal, lim := recipe.DefaultCalibration(), recipe.DefaultLimits()
			var m *configs.Machine
			if config != "" {
				f, err := machineFile(config)
				if err != nil {
					return err
				}
				if cal, err = calibrationOf(f); err != nil {
					return err
				}
				m, lim = f.Machine, limitsOf(f.Machine)
			}
			t, err := recipe.Compile(d, cal, lim)
			if err != nil {
				return term.Fail(term.ExitRefused, "nothing would move", "%s", err)
			}
			events := timelineEvents(t, m)
			out := struct {
				Size     fleet.Size      `json:"size"`
				LengthMS int64           `json:"length_ms"`
				Events   []timelineEvent `json:"events"`
			}{size, t.Length().Milliseconds(), events}
			return c.show(cmd, out, func(w io.Writer) { printTimeline(w, events) })
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().StringVar(&milk, "milk", fleet.NoMilk, "a milk of the menu")
	cmd.Flags().IntVar(&sugar, "sugar", 0, "doses of sugar")
	return cmd
}

// timelineEvents is a timeline for people and programs, with the wires of the
// machine if there is one.
func timelineEvents(t recipe.Timeline, m *configs.Machine) []timelineEvent {
	events := []timelineEvent{}
	for _, e := range t {
		x := timelineEvent{At: e.At.Milliseconds(), Kind: e.Kind, Part: e.Part, AtMost: e.AtMost.Milliseconds(), Step: e.Step, Text: e.String()}
		if m != nil && (e.Kind == recipe.On || e.Kind == recipe.Off) {
			x.Wire = wireOf(m, e.Part, e.Kind == recipe.On)
		}
		events = append(events, x)
	}
	return events
}

// printTimeline prints one event per line, the wires in a column of their own.
func printTimeline(w io.Writer, events []timelineEvent) {
	width := 0
	for _, e := range events {
		if e.Wire != "" {
			width = max(width, utf8.RuneCountInString(e.Text))
		}
	}
	for _, e := range events {
		if e.Wire == "" {
			fmt.Fprintln(w, e.Text)
			continue
		}
		fmt.Fprintf(w, "%s%s  %s\n", e.Text, strings.Repeat(" ", width-utf8.RuneCountInString(e.Text)), term.Safe(e.Wire))
	}
}

// calibrationOf is the machine's calibration as the service would use it: what
// was measured here, else what its file says, else what its kind is known for,
// else the usual figures. A plant in a process of its own is not asked; it counts
// as one with the usual figures.
func calibrationOf(f *configs.File) (recipe.Calibration, error) {
	m := f.Machine
	here, err := measuredIn(machineDir(f.State, m.Name))
	if err != nil {
		return recipe.Calibration{}, err
	}
	known := recipe.DefaultCalibration()
	if s, is := m.Settings.(mock.Config); is {
		f := plant.Default()
		known.GrinderGPS, known.PumpMLPS, known.MilkMLPS, known.SugarDosePS = f.GrinderGPS, f.FlowMLPS, f.MilkMLPS, f.SugarDosePS
		known = calibration(m, known) // of the machine in its own time
		if s.Speed > 0 {
			known = known.Scale(s.Speed)
		}
		return here.Over(known), nil
	}
	return here.Over(calibration(m, known)), nil
}

// limitsOf is what the guard of this machine will allow, as far as the file
// says it.
func limitsOf(m *configs.Machine) recipe.Limits {
	l := recipe.DefaultLimits()
	l.Parts = map[driver.Part]recipe.Limit{}
	has := slices.Sorted(maps.Keys(m.Outputs))
	switch s := m.Settings.(type) {
	case mock.Config:
		has = mockParts(s)
	case gpio.Config:
		l.Signals = map[driver.Signal]bool{driver.Flow: s.Flow != nil, driver.Temperature: s.Temperature != nil}
		for signal := range s.Switches {
			l.Signals[signal] = true
		}
	case modbusSettings:
		l.Signals = map[driver.Signal]bool{driver.Hot: s.assumedHot}
		for signal := range s.Inputs {
			l.Signals[signal] = true
		}
	case lcusSettings:
		l.Signals = map[driver.Signal]bool{driver.Hot: s.assumedHot}
	}
	for _, p := range has {
		o := m.Outputs[p]
		limit := recipe.Limit{MaxOn: ceilings[p], Rest: o.Rest, Inrush: o.Inrush}
		if o.MaxOn > 0 {
			limit.MaxOn = min(limit.MaxOn, o.MaxOn)
		}
		l.Parts[p] = limit
		if _, simulated := m.Settings.(mock.Config); simulated && p == driver.Heater {
			l.Signals = map[driver.Signal]bool{driver.Temperature: true, driver.Hot: true, driver.Flow: true}
		}
	}
	l.HotWait = time.Minute
	return l
}
