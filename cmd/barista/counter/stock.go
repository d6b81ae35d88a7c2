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
  barista stock count milk-normal 4200`,
	})
	cmd.AddCommand(c.stockShow())
	for _, v := range []struct {
		use, short, done string
		least            int
		do               func(s client.Stock, ctx context.Context, item string, n int, by, key string) (fleet.Level, error)
	}{
		{"add", "book what was filled in", "added", 1, client.Stock.Add},
		{"count", "book what was found by counting; the difference becomes loss or gain", "counted", 0, client.Stock.Count},
	} {
		var by string
		sub := &cobra.Command{
			Use:     v.use + " ITEM AMOUNT",
			Short:   v.short,
			Example: "  barista stock " + v.use + " arabica 1000",
			Args: func(cmd *cobra.Command, args []string) error {
				if err := c.Exactly("ITEM", "AMOUNT")(cmd, args); err != nil {
					return err
				}
				if !fleet.IsToken(args[0]) {
					return term.Usage("%s is no item: 1 to 32 of a-z, 0-9 and -", term.Quote(args[0]))
				}
				if n, err := strconv.Atoi(args[1]); err != nil || n < v.least || n > fleet.MaxAmount {
					return term.Usage("%s is no amount: give a whole number from %d to %d", term.Quote(args[1]), v.least, fleet.MaxAmount)
				}
				return nil
			},
			RunE: func(cmd *cobra.Command, args []string) error {
				n, err := strconv.Atoi(args[1])
				if err != nil {
					return err
				}
				key := ulid.MustNew(ulid.Now(), rand.Reader).String() // sent twice, it counts once
				return c.With(cmd, func(ctx context.Context, s client.Shop) error {
					level, err := v.do(s.Stock, ctx, args[0], n, by, key)
					if err != nil {
						return err
					}
					line := client.ItemOf(args[0], level)
					return c.Show(cmd, line, func(w io.Writer) {
						fmt.Fprintf(w, "%s %d %s of %s; on hand %d, available %d\n", v.done, n, line.Unit, line.Item, line.OnHand, line.Available)
					})
				})
			},
		}
		c.By(sub, &by)
		cmd.AddCommand(sub)
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
