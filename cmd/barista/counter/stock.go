package counter

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strconv"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/client"
)

// Stock is barista stock.
func Stock(c Shell) *cobra.Command {
	cmd := c.Group(&cobra.Command{
		Use:   "stock",
		Short: "beans, milk and sugar",
		Long: `stock shows and changes what the shop has: beans in g, milk in ml (milk-normal,
milk-soja), sugar in doses.`,
		Example: `  barista stock show
  barista stock add arabica 1000
  barista stock count milk-normal 4200
  barista stock waste milk-normal 800 --reason 'it was sour'`,
	})
	cmd.AddCommand(c.stockShow())
	cmd.AddCommand(
		c.booking("add", "book what was filled in", "added", 1, false, func(ctx context.Context, s client.Stock, b book) (fleet.Level, error) {
			return s.Add(ctx, b.item, b.n, b.by, b.key)
		}),
		c.booking("count", "book what was found by counting; the difference becomes loss or gain", "counted", 0, false, func(ctx context.Context, s client.Stock, b book) (fleet.Level, error) {
			return s.Count(ctx, b.item, b.n, b.by, b.key)
		}),
		c.booking("waste", "book what was thrown away: spilled, stale", "threw away", 1, true, func(ctx context.Context, s client.Stock, b book) (fleet.Level, error) {
			return s.Waste(ctx, b.item, b.n, b.by, b.reason, b.key)
		}),
	)
	return cmd
}

// book is what a person writes into the stock's book.
type book struct {
	item            string
	n               int
	by, reason, key string
}

// booking is a verb that writes into the stock's book; with why it takes a reason.
func (c Shell) booking(use, short, done string, least int, why bool, do func(ctx context.Context, s client.Stock, b book) (fleet.Level, error)) *cobra.Command {
	var by, reason string
	example := "  barista stock " + use + " arabica 1000"
	if why {
		example = "  barista stock " + use + " milk-normal 800 --reason 'it was sour'"
	}
	cmd := &cobra.Command{
		Use:     use + " ITEM AMOUNT",
		Short:   short,
		Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := c.Exactly("ITEM", "AMOUNT")(cmd, args); err != nil {
				return err
			}
			if !fleet.IsToken(args[0]) {
				return term.Usage("%s is no item: 1 to 32 of a-z, 0-9 and -", term.Quote(args[0]))
			}
			if n, err := strconv.Atoi(args[1]); err != nil || n < least || n > fleet.MaxAmount {
				return term.Usage("%s is no amount: give a whole number from %d to %d", term.Quote(args[1]), least, fleet.MaxAmount)
			}
			if why && fleet.Plain(reason) == "" {
				return term.Usage("give a --reason: what happened to it?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return err
			}
			b := book{args[0], n, by, reason, ulid.MustNew(ulid.Now(), rand.Reader).String()} // sent twice, it counts once
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				level, err := do(ctx, s.Stock, b)
				if err != nil {
					return err
				}
				line := client.ItemOf(b.item, level)
				return c.Show(cmd, line, func(w io.Writer) {
					fmt.Fprintf(w, "%s %d %s of %s; on hand %d, available %d\n", done, n, line.Unit, line.Item, line.OnHand, line.Available)
					if line.Available < 0 {
						fmt.Fprintf(w, "open orders need %d %s: %d %s are missing, put some in before their turn comes\n", line.Reserved, line.Unit, -line.Available, line.Unit)
					}
				})
			})
		},
	}
	c.By(cmd, &by)
	if why {
		cmd.Flags().StringVar(&reason, "reason", "", "what happened to it, for the record")
	}
	return cmd
}

func (c Shell) stockShow() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "print what is there, promised and used",
		Example: "  barista stock show --json",
		Args:    c.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.Once(cmd, watch, func(ctx context.Context, s client.Shop) (any, func(io.Writer), error) {
				levels, err := s.Stock.Levels(ctx)
				lines := client.Items(levels)
				return map[string]any{"items": lines}, func(w io.Writer) { told.Stock(w, lines) }, err
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on and print it again whenever it changes")
	return cmd
}
