package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet"
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

// dryRun prints the drinks of a file's machine. It reads the file and what was
// measured on this machine, and opens no chip, no port, no lock and no socket.
func (c *cli) dryRun(cmd *cobra.Command, f *configs.File, d dryFlags) error {
	m := f.Machine
	if m == nil {
		return term.Fail(term.ExitRefused, "name the file of a machine", "%s: %w, so nothing would move", term.Safe(f.Path), preview.ErrNoMachine)
	}
	drinks, refused, err := preview.Drinks(f, preview.Wish{Size: d.size, Bean: d.bean, Milk: d.milk, Sugar: d.sugar})
	if err != nil {
		return err
	}
	out := struct {
		Machine string          `json:"machine"`
		Driver  string          `json:"driver"`
		Drinks  []preview.Drink `json:"drinks"`
		Error   *term.Error     `json:"error,omitempty"`
	}{m.Name, m.Driver, drinks, nil}
	if refused > 0 {
		out.Error = term.Fail(term.ExitRefused, "nothing was touched", "%d of %d drinks would be refused", refused, len(drinks))
	}
	if err := c.show(cmd, out, func(w io.Writer) {
		fmt.Fprintf(w, "%s (%s): nothing is touched\n", term.Safe(m.Name), m.Driver)
		preview.Print(w, drinks)
	}); err != nil || out.Error == nil {
		return err
	}
	if c.json {
		return term.Said(out.Error.Exit)
	}
	return out.Error
}
