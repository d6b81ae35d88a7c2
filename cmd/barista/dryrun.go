package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet"
	"barista/machine"
	"barista/machine/recipe"
)

// dryFlags choose the drinks of run --dry-run; what is not given is everything
// that the machine serves.
type dryFlags struct {
	on               bool
	size, bean, milk string
	sugar            int
}

func (d *dryFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&d.on, "dry-run", false, "print what the machine would do for each drink, with lines and levels; touch nothing")
	cmd.Flags().StringVar(&d.size, "size", "", "with --dry-run: only this size")
	cmd.Flags().StringVar(&d.bean, "bean", "", "with --dry-run: only this bean")
	cmd.Flags().StringVar(&d.milk, "milk", "", "with --dry-run: only this milk")
	cmd.Flags().IntVar(&d.sugar, "sugar", 0, "with --dry-run: doses of sugar")
}

// check refuses what only --dry-run may have.
func (d *dryFlags) check() error {
	if !d.on && (d.size != "" || d.bean != "" || d.milk != "" || d.sugar != 0) {
		return term.Usage("--size, --bean, --milk and --sugar belong to --dry-run; barista order orders a coffee")
	}
	if d.sugar < 0 || d.sugar > fleet.MaxSugar {
		return term.Usage("--sugar %d is not possible; give 0 to %d", d.sugar, fleet.MaxSugar)
	}
	return nil
}

// dryDrink is one drink in JSON.
type dryDrink struct {
	Size     fleet.Size      `json:"size"`
	Beans    []string        `json:"beans"` // they are poured alike
	Milks    []string        `json:"milks"`
	LengthMS int64           `json:"length_ms,omitempty"`
	Events   []timelineEvent `json:"events,omitempty"`
	Product  string          `json:"product,omitempty"` // of a machine that owns its parts
	Refused  string          `json:"refused,omitempty"`
}

// dryRun prints the drinks of a file's machine. It reads the file and what was
// measured on this machine, and opens no chip, no port, no lock and no socket.
func (c *cli) dryRun(cmd *cobra.Command, f *configs.File, d dryFlags) error {
	m := f.Machine
	if m == nil {
		return term.Fail(term.ExitRefused, "name the file of a machine", "%s: %w, so nothing would move", term.Safe(f.Path), errNoMachine)
	}
	sizes, err := chosen("size", fleet.SizeOf(d.size), m.Serves.Sizes, m.Name)
	if err != nil {
		return err
	}
	beans, err := chosen("bean", d.bean, m.Serves.Beans, m.Name)
	if err != nil {
		return err
	}
	milks, err := chosen("milk", fleet.MilkOf(d.milk), m.Serves.Milks, m.Name)
	if err != nil {
		return err
	}
	// Without milk, and with it: which milk makes no difference to the metal.
	var black, white []string
	for _, x := range milks {
		if x == fleet.NoMilk {
			black = append(black, x)
		} else {
			white = append(white, x)
		}
	}
	plan, _, err := inForce(f)
	if err != nil {
		return err
	}
	drinks := []dryDrink{}
	refused := 0
	for _, size := range sizes {
		for _, milks := range [][]string{black, white} {
			if len(milks) == 0 {
				continue
			}
			x := dryDrink{Size: size, Beans: beans, Milks: milks}
			x.make(plan, drinkOf(fleet.Order{Size: size, Bean: beans[0], Milk: milks[0], Sugar: d.sugar}))
			if x.Refused != "" {
				refused++
			}
			drinks = append(drinks, x)
		}
	}
	out := struct {
		Machine string      `json:"machine"`
		Driver  string      `json:"driver"`
		Drinks  []dryDrink  `json:"drinks"`
		Error   *term.Error `json:"error,omitempty"`
	}{m.Name, m.Driver, drinks, nil}
	if refused > 0 {
		out.Error = term.Fail(term.ExitRefused, "nothing was touched", "%d of %d drinks would be refused", refused, len(drinks))
	}
	if err := c.show(cmd, out, func(w io.Writer) {
		fmt.Fprintf(w, "%s (%s): nothing is touched\n", term.Safe(m.Name), m.Driver)
		for _, x := range drinks {
			fmt.Fprintf(w, "\n%s, %s, milk %s\n", x.Size, strings.Join(x.Beans, " or "), strings.Join(x.Milks, " or "))
			switch {
			case x.Refused != "":
				fmt.Fprintf(w, "refused: %s\n", x.Refused)
			case x.Product != "":
				fmt.Fprintln(w, x.Product)
			}
			printTimeline(w, x.Events)
		}
	}); err != nil || out.Error == nil {
		return err
	}
	if c.json {
		return term.Said(out.Error.Exit)
	}
	return out.Error
}

// chosen is the one that was asked for, if the machine serves it, or all.
func chosen[T ~string](what string, one T, serves []T, name string) ([]T, error) {
	if one == "" {
		return serves, nil
	}
	if !slices.Contains(serves, one) {
		return nil, term.Usage("--%s: %s does not serve %s", what, name, term.Quote(string(one)))
	}
	return []T{one}, nil
}

// make says what the machine would do, by the plan that it works by.
func (x *dryDrink) make(plan machine.Plan, d recipe.Drink) {
	if plan.Appliance() {
		p, err := plan.Product(d)
		if err != nil {
			x.Refused = hands.Sentence(err)
			return
		}
		x.Product = fmt.Sprintf("asks the machine for %d × %s", p.Cycles, p.Key)
		return
	}
	t, err := plan.Timeline(d)
	if err != nil {
		x.Refused = term.OneLine(err.Error())
		return
	}
	x.LengthMS, x.Events = t.Length().Milliseconds(), timelineEvents(t, plan)
}
