package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"golang.org/x/text/unicode/norm"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/client"
)

func newOrder(c *cli) *cobra.Command {
	var size, bean, milk, name, id string
	var sugar int
	var watch bool
	cmd := &cobra.Command{
		Use:   "order",
		Short: "order a coffee",
		Long: `order places one order and prints the shop's answer. While the shop says that it
does not know yet, it asks again with the same id, which never makes a second
order.`,
		Example: `  barista order --size large --bean mixed --milk free --name Zoe
  barista order --size small --bean arabica --milk normal --sugar 2 --name Zoe --watch`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if id == "" {
				id = ulid.MustNew(ulid.Now(), rand.Reader).String()
			}
			body, err := json.Marshal(map[string]any{
				"id": id, "name": name, "size": size, "bean_type": bean, "milk": milk, "sugar_count": sugar,
			})
			if err != nil {
				return err
			}
			// Said here as well, so that a slip of the fingers needs no shop.
			o, err := fleet.DecodeOrder(body, norm.NFC.String)
			if err != nil {
				return told.WrongOrder(err)
			}
			run := c.with
			if watch {
				run = c.watching
			}
			return run(cmd, func(ctx context.Context, s client.Shop) error {
				a, err := place(ctx, s, o)
				if err != nil {
					return err
				}
				if !a.OK() {
					return told.Refusal(a)
				}
				watch = watch && a.OrderID != "" // a controller that others wrote knows no ids
				err = c.show(cmd, a, func(w io.Writer) {
					fmt.Fprintf(w, "%s: %s", cmp.Or(a.OrderID, "without a number, see barista orders"), term.Safe(a.Message))
					if a.Position > 0 {
						fmt.Fprintf(w, ", place %d", a.Position)
					}
					if eta := told.Span(a.ETA); eta != "" {
						fmt.Fprintf(w, ", %s", eta)
					}
					fmt.Fprintln(w)
				})
				if err != nil || !watch {
					return err
				}
				return c.follow(ctx, cmd, s, o.ID)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&size, "size", "", "small, medium or large")
	f.StringVar(&bean, "bean", "", "a bean of the menu, for example arabica")
	f.StringVar(&milk, "milk", fleet.NoMilk, "a milk of the menu: free, normal, soja")
	f.IntVar(&sugar, "sugar", 0, fmt.Sprintf("doses of sugar, 0 to %d", fleet.MaxSugar))
	f.StringVar(&name, "name", "", "who is called when it is ready")
	f.StringVar(&id, "id", "", "the order's `ULID`; the same id is the same order, however often it is sent")
	f.BoolVar(&watch, "watch", false, "stay and tell what happens until it has ended")
	return cmd
}

// place sends the order, for as long as a person waits for an answer.
func place(ctx context.Context, s client.Shop, o fleet.Order) (fleet.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	a, err := s.Place(ctx, o)
	switch {
	case errors.Is(err, fleet.ErrNobody):
		return a, term.Fail(term.ExitFailed, "is the shop running? see barista status", "nobody takes orders there")
	case errors.Is(err, fleet.ErrNoAnswer):
		return a, term.Fail(term.ExitTimeout, "send it again with the same --id: it stays one order", "nobody knows whether the order was taken: the shop gave no answer")
	}
	return a, err
}

// follow tells what happens to an order until it has ended or is in doubt.
func (c *cli) follow(ctx context.Context, cmd *cobra.Command, s client.Shop, id string) error {
	last, err := s.Follow(ctx, id, func(e fleet.Event) error { return c.tell(cmd.OutOrStdout(), e) })
	if err != nil || last == nil {
		return err
	}
	return told.Ended(id, *last)
}

// tell prints one event.
func (c *cli) tell(w io.Writer, e fleet.Event) error {
	if c.json {
		return term.JSON(w, e)
	}
	_, err := fmt.Fprintf(w, "%s  %s\n", e.At.Local().Format("15:04:05"), told.Story(e))
	return err
}
