package upkeep

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
)

// drinks is what a machine has told of its last drinks, in JSON.
type drinks struct {
	Machine string        `json:"machine"`
	Curves  []fleet.Curve `json:"curves"`
}

// Curves is barista machine curves. The machine is asked, and does nothing for it.
func Curves(c Shell) *cobra.Command {
	var table bool
	var none string
	cmd := &cobra.Command{
		Use:   "curves NAME",
		Short: "what the sensors of a machine saw of its last drinks",
		Long: `curves asks a machine what its sensors saw while it made its last drinks, at most five,
and what was on when: a pump that weakens has a lower flow from day to day, a boiler that
gets slow a flatter temperature. The machine keeps it in memory, so a restart forgets it;
an appliance, which works by itself, has none, and without sensors there are only the
times of the parts.

The table has of each drink how long it took, the highest temperature, and the mean flow
while it pumped. --csv has every point of all of them, --json the same with the parts.
/fleet/curves on the shop's page draws them.`,
		Example: `  barista machine curves zoe
  barista machine curves zoe --csv > zoe.csv`,
		Args: c.Machine(&none, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON, _ := cmd.Flags().GetBool("json"); table && asJSON {
				return term.Usage("--csv and --json are two forms of the same: give one")
			}
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				list, err := askCurves(ctx, s, args[0])
				switch {
				case err != nil:
					return err
				case table:
					return points(cmd.OutOrStdout(), list)
				}
				return c.Show(cmd, drinks{args[0], list}, func(w io.Writer) { lastDrinks(w, args[0], list) })
			})
		},
	}
	cmd.Flags().BoolVar(&table, "csv", false, "print every point, for a spreadsheet")
	return cmd
}

// askCurves asks a machine, the last drink first.
func askCurves(ctx context.Context, s client.Shop, machine string) ([]fleet.Curve, error) {
	a, err := s.Command(ctx, machine, fleet.Command{Verb: fleet.CommandCurves})
	switch {
	case errors.Is(err, fleet.ErrNobody):
		return nil, term.Fail(term.ExitNotFound, "see barista machine ls", "no machine %s listens, and what it saw is in its own memory", machine)
	case err != nil:
		return nil, err
	case !a.OK:
		return nil, term.Fail(term.ExitRefused, "install this version on its computer, too", "%s keeps no curves: its barista is of an earlier version", machine)
	}
	if a.Curves == nil {
		a.Curves = []fleet.Curve{}
	}
	return a.Curves, nil
}

// lastDrinks is the table.
func lastDrinks(w io.Writer, machine string, list []fleet.Curve) {
	rows := [][]string{{"ORDER", "DRINK", "ENDED", "SECONDS", "HIGHEST °C", "MEAN ML/S", "OUTCOME"}}
	for _, c := range list {
		var heat, flow string
		for _, q := range c.Quantities() {
			if most, ok := q.Highest(); ok && q.Name == "temperature" {
				heat = tenths(most)
			}
		}
		if mean, ok := c.MeanFlow(); ok {
			flow = tenths(mean)
		}
		rows = append(rows, []string{c.Order, string(c.Size), (time.Duration(c.Ago) * time.Second).String() + " ago", tenths(c.Seconds), heat, flow, string(c.Outcome)})
	}
	if term.Table(w, rows); len(list) == 0 {
		fmt.Fprintf(w, "%s has seen no drink since it started, or makes them by itself\n", machine)
	}
}

func tenths(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// points is every point of all drinks, a line each; of a machine without sensors that is
// none. No cell begins as a formula does: words in it are tokens, the others numbers.
func points(w io.Writer, list []fleet.Curve) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"order", "epoch", "drink", "seconds", "flow_ml_s", "temperature_c", "weight_g", "on"}}
	for _, c := range list {
		for i, at := range c.At {
			row := []string{c.Order, strconv.Itoa(c.Epoch), string(c.Size), strconv.FormatFloat(at, 'f', 3, 64)}
			for _, values := range [][]*float64{c.Flow, c.Temperature, c.Weight} {
				cell := ""
				if len(values) > 0 && values[i] != nil {
					cell = strconv.FormatFloat(*values[i], 'f', -1, 64)
				}
				row = append(row, cell)
			}
			rows = append(rows, append(row, strings.Join(c.On(at), "+")))
		}
	}
	return out.WriteAll(rows)
}
