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
	"barista/fleet/queue"
)

// account is everything that the shop knows of one order.
type account struct {
	Order    fleet.Order   `json:"order"`
	Phase    fleet.Phase   `json:"phase"`
	Cause    string        `json:"cause"`
	Tries    []try         `json:"tries"`
	Consumed fleet.Items   `json:"consumed,omitempty"` // of the stock
	Wasted   fleet.Items   `json:"wasted,omitempty"`
	Reserved fleet.Items   `json:"reserved,omitempty"`
	Told     fleet.Answer  `json:"told"` // to the customer
	Via      string        `json:"via,omitempty"`
	By       string        `json:"by,omitempty"`
	Events   []fleet.Event `json:"events"`
}

// try is one machine's hand at the order.
type try struct {
	Epoch   int           `json:"epoch"`
	Machine string        `json:"machine,omitempty"`
	Outcome fleet.Outcome `json:"outcome,omitempty"`
	Reason  string        `json:"reason,omitempty"`
}

func accountOf(c fleet.Claim, events []fleet.StoredEvent) account {
	a := account{Order: c.Order, Phase: c.Phase, Cause: cause(c), Told: c.Answer, Via: c.Via, By: c.By, Tries: []try{}, Events: []fleet.Event{}}
	for _, p := range c.Past {
		a.Tries = append(a.Tries, try{p.Epoch, p.Machine, p.Outcome, p.Reason})
	}
	if c.Owner != nil {
		a.Tries = append(a.Tries, try{c.Epoch, c.Owner.Machine, c.Outcome, c.Reason})
	}
	add := func(to *fleet.Items, items fleet.Items) {
		if *to == nil {
			*to = fleet.Items{}
		}
		for item, n := range items {
			(*to)[item] += n
		}
	}
	booked := map[int]bool{}
	for _, b := range c.Bookings() {
		booked[b.Use] = true
		switch b.Act {
		case fleet.Consume:
			add(&a.Consumed, b.Items)
		case fleet.Waste:
			add(&a.Wasted, b.Items)
		case fleet.Reserve:
			add(&a.Reserved, b.Items)
		}
	}
	if !booked[c.Use] && !c.Phase.Ended() && c.Said() {
		add(&a.Reserved, c.Doses)
	}
	for _, e := range events {
		a.Events = append(a.Events, e.Event)
	}
	return a
}

// cause says in one sentence why the order stands where it stands.
func cause(c fleet.Claim) string {
	because := func(s string) string {
		if c.Reason != "" {
			s += ": " + c.Reason
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
			if p.Reason != "" {
				s += " (" + p.Reason + ")"
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
			return run(cmd, func(ctx context.Context, conn *queue.Conn) error {
				e, err := find(ctx, conn.Claims(), args[0])
				if err != nil {
					return err
				}
				if watch {
					return c.follow(ctx, cmd, conn, e.Order.ID)
				}
				events, err := conn.Events().Of(ctx, e.Order.ID)
				if err != nil {
					return err
				}
				a := accountOf(e.Claim, events)
				return c.show(cmd, a, func(w io.Writer) { a.text(w, events) })
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "tell the events, and go on until it has ended")
	return cmd
}

func (a account) text(w io.Writer, events []fleet.StoredEvent) {
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
			rows = append(rows, []string{fmt.Sprint(i + 1), t.Machine, string(t.Outcome), t.Reason})
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
		out = append(out, fmt.Sprintf("%s %d %s", term.Safe(item), items[item], unit(item)))
	}
	return strings.Join(out, ", ")
}

// unit is what an item is counted in.
func unit(item string) string {
	switch {
	case item == fleet.ItemSugar:
		return "doses"
	case strings.HasPrefix(item, "milk-"):
		return "ml"
	}
	return "g"
}
