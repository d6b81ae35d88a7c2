package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
)

// cause says in one sentence why the order stands where it stands.
func cause(c fleet.Claim) string {
	because := func(s string) string {
		if why := reasonText(c.Reason); why != "" {
			s += ": " + why
		}
		if c.By != "" {
			s += " (" + c.By + ")"
		}
		return s
	}
	switch c.Phase {
	case fleet.Accepted:
		s := "it waits in the queue"
		if !c.Said() {
			s = "it is being accepted; nothing was promised yet"
		}
		if n := len(c.Past); n > 0 {
			p := c.Past[n-1]
			s += fmt.Sprintf(", after %s", p.Outcome)
			if p.Machine != "" {
				s += " by " + p.Machine
			}
			if why := reasonText(p.Reason); why != "" {
				s += " (" + why + ")"
			}
		}
		return s
	case fleet.Claimed:
		return c.Machine() + " looks whether it can make it"
	case fleet.Brewing:
		return c.Machine() + " is making it"
	case fleet.Unknown:
		return because("nobody can say whether " + c.Machine() + " made it")
	case fleet.Served:
		if c.By != "" {
			return because("a person said that it was made")
		}
		return c.Machine() + " made it"
	case fleet.Failed:
		return because("it was not made")
	case fleet.Refused:
		return "it was never accepted: " + c.Answer.Message
	}
	return because("it was " + string(c.Phase))
}

func newWhy(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "why ORDER",
		Short: "tell what became of an order, and why",
		Long: `why tells an order's whole story: cause, tries, machines, what it took from the
stock, what the customer was told, and every event. ORDER is its id, the last 4
or more characters of it, or "last" for the order that changed last.`,
		Example: `  barista why last
  barista why 7QXR --json`,
		Args: orderArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			run := c.with
			if watch {
				run = c.watching
			}
			return run(cmd, func(ctx context.Context, s client.Shop) error {
				e, err := find(ctx, s, args[0])
				if err != nil {
					return err
				}
				if watch {
					return c.follow(ctx, cmd, s, e.Order.ID)
				}
				a, events, err := s.Why(ctx, e.Claim)
				if err != nil {
					return err
				}
				a.Cause = cause(e.Claim)
				return c.show(cmd, a, func(w io.Writer) { accountText(w, a, events) })
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "tell the events, and go on until it has ended")
	return cmd
}

func accountText(w io.Writer, a client.Account, events []fleet.StoredEvent) {
	o := a.Order
	fmt.Fprintf(w, "%s  %s\n", o.ID, term.Colours(w)(string(a.Phase)))
	fmt.Fprintf(w, "  %s\n", term.Safe(a.Cause))
	fmt.Fprintf(w, "  for %s: %s", term.Safe(o.Name), what(o.Size, o.Bean, o.Milk, o.Sugar))
	if a.Via != "" {
		fmt.Fprintf(w, " (came by %s)", term.Safe(a.Via))
	}
	fmt.Fprintf(w, "\n  told: %s", term.Safe(a.Told.Message))
	if a.Told.Position > 0 {
		fmt.Fprintf(w, ", place %d", a.Told.Position)
	}
	if eta := span(a.Told.ETA); eta != "" {
		fmt.Fprintf(w, ", %s", eta)
	}
	fmt.Fprintln(w)
	for _, line := range []struct {
		what  string
		items fleet.Items
	}{{"consumed", a.Consumed}, {"wasted", a.Wasted}, {"reserved", a.Reserved}} {
		if len(line.items) > 0 {
			fmt.Fprintf(w, "  %s: %s\n", line.what, amounts(line.items))
		}
	}
	if len(a.Tries) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"TRY", "MACHINE", "OUTCOME", "REASON"}}
		for i, t := range a.Tries {
			rows = append(rows, []string{fmt.Sprint(i + 1), t.Machine, string(t.Outcome), reasonText(t.Reason)})
		}
		term.Table(w, rows)
	}
	if len(events) > 0 {
		fmt.Fprintln(w)
		for _, e := range events {
			fmt.Fprintf(w, "%s  %s\n", term.Time(e.Stored), story(e.Event))
		}
	}
}

// amounts writes items with their units.
func amounts(items fleet.Items) string {
	var out []string
	for _, item := range slices.Sorted(maps.Keys(items)) {
		out = append(out, fmt.Sprintf("%s %d %s", term.Safe(item), items[item], fleet.Unit(item)))
	}
	return strings.Join(out, ", ")
}
