// Package counter is the verbs for what a shop sells and has: its menu, and its stock
// of beans, milk and sugar. A verb checks what a person typed before it asks the shop,
// and writes nothing itself: the settings and the stock's own act do.
package counter

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
)

// Shell is what verbs take of the command line around them.
type Shell struct {
	Group   func(*cobra.Command) *cobra.Command
	Exactly func(names ...string) cobra.PositionalArgs
	Show    func(cmd *cobra.Command, v any, text func(io.Writer)) error
	With    func(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error
	By      func(cmd *cobra.Command, by *string) // adds --by
	// Once asks and prints, and with watch again whenever the answer changes.
	Once func(cmd *cobra.Command, watch bool, ask func(ctx context.Context, s client.Shop) (any, func(io.Writer), error)) error
}

// Menu is barista menu.
func Menu(c Shell) *cobra.Command {
	cmd := c.Group(&cobra.Command{
		Use:   "menu",
		Short: "what the shop sells",
		Example: `  barista menu show
  barista menu set beans=arabica,mixed small.grams=10`,
	})
	cmd.AddCommand(c.menuShow(), c.menuSet())
	return cmd
}

func (c Shell) menuShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "print beans, milks, and what a cup of each size takes",
		Example: "  barista menu show --json",
		Args:    c.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				m, isSet, err := s.Menu(ctx)
				if err != nil {
					return err
				}
				return c.Show(cmd, m, func(w io.Writer) {
					menuText(w, m)
					if !isSet {
						fmt.Fprintln(w, "this is the default: nobody has set a menu")
					}
				})
			})
		},
	}
}

func menuText(w io.Writer, m fleet.Menu) {
	fmt.Fprintf(w, "beans: %s\nmilks: %s\n\n", strings.Join(m.Beans, ", "), strings.Join(m.Milks, ", "))
	rows := [][]string{{"SIZE", "BEANS g", "WATER ml", "MILK ml"}}
	for _, s := range fleet.Sizes {
		if d, sold := m.Sizes[s]; sold {
			rows = append(rows, []string{string(s), strconv.Itoa(d.Grams), strconv.Itoa(d.Water), strconv.Itoa(d.MilkML)})
		}
	}
	term.Table(w, rows)
}

func (c Shell) menuSet() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "set KEY=VALUE…",
		Short: "change the menu",
		Long: `set changes the menu that is in force. Keys: beans and milks (lists with commas),
and for each size small, medium, large: SIZE.grams of beans, SIZE.water_ml,
SIZE.milk_ml, or SIZE=off to sell it no more. Or give a whole menu as JSON, in
the form that "menu show --json" prints. A menu that can't be is refused whole,
with everything that is wrong with it.

A bean or a milk that is taken off leaves the queue when no order of it waits.`,
		Example: `  barista menu set beans=arabica,mixed milks=free,normal
  barista menu set small.grams=10 large=off
  barista menu set --file menu.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (file == "") == (len(args) == 0) {
				return term.Usage("give KEY=VALUE or --file; see %s --help", cmd.CommandPath())
			}
			var whole []byte
			if file != "" {
				b, err := readInput(cmd, file)
				if err != nil {
					return err
				}
				whole = b
			}
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				var m fleet.Menu
				var err error
				if whole != nil {
					m, err = fleet.ParseMenu(whole)
				} else {
					if m, _, err = s.Menu(ctx); err != nil {
						return err
					}
					if m, err = m.Change(args); err == nil {
						err = m.Check()
					}
				}
				if err != nil {
					return term.Fail(term.ExitUsage, "nothing was changed", "%s", err)
				}
				if err := s.SetMenu(ctx, m); err != nil {
					return err
				}
				return c.Show(cmd, m, func(w io.Writer) { menuText(w, m) })
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "a whole menu as JSON, - for standard input")
	return cmd
}

// readInput reads a small file or standard input.
func readInput(cmd *cobra.Command, path string) ([]byte, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, term.Fail(term.ExitUsage, "", "%v", err)
		}
		defer f.Close()
		in = f
	}
	const most = 64 << 10
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, term.Fail(term.ExitFailed, "", "%v", err)
	}
	if len(b) > most {
		return nil, term.Usage("%s is larger than %d KiB: that is no menu", term.Quote(path), most>>10)
	}
	return b, nil
}
