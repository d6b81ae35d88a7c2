package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/fleet"
	"barista/fleet/worker"
	"barista/machine"
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
			size := fleet.SizeOf(args[0])
			if _, sold := fleet.DefaultMenu().Sizes[size]; !sold {
				return term.Usage("%s is no size: say small, medium or large", term.Quote(args[0]))
			}
			if sugar < 0 || sugar > fleet.MaxSugar {
				return term.Usage("--sugar %d is not possible; give 0 to %d", sugar, fleet.MaxSugar)
			}
			milk = fleet.MilkOf(milk)
			if !fleet.IsToken(milk) {
				return term.Usage("--milk %s is no milk", term.Quote(milk))
			}
			plan := machine.Complete()
			if config != "" {
				f, err := machineFile(config)
				if err != nil {
					return err
				}
				if plan, _, err = inForce(f); err != nil {
					return err
				}
			}
			t, err := plan.Timeline(drinkOf(fleet.Order{Size: size, Bean: fleet.DefaultMenu().Beans[0], Milk: milk, Sugar: sugar}))
			if err != nil {
				return term.Fail(term.ExitRefused, "nothing would move", "%s", err)
			}
			events := timelineEvents(t, plan)
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
func timelineEvents(t recipe.Timeline, plan machine.Plan) []timelineEvent {
	events := []timelineEvent{}
	for _, e := range t {
		x := timelineEvent{At: e.At.Milliseconds(), Kind: e.Kind, Part: e.Part, AtMost: e.AtMost.Milliseconds(), Step: e.Step, Text: e.String()}
		switch e.Kind {
		case recipe.On:
			x.Wire = plan.Wires[e.Part].On
		case recipe.Off:
			x.Wire = plan.Wires[e.Part].Off
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

// drinkOf is what a machine is asked for by the doses of the default menu, whatever
// beans and milks that names.
func drinkOf(o fleet.Order) recipe.Drink {
	menu := fleet.DefaultMenu()
	menu.Beans, menu.Milks = []string{o.Bean}, []string{o.Milk}
	taken, _ := menu.Portion(o)
	return worker.Drink(o, taken, menu)
}
