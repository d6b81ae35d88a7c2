package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/queue"
	"barista/fleet/stock"
)

// shopStatus is the whole shop at one look.
type shopStatus struct {
	OK       bool          `json:"ok"`
	Degraded []string      `json:"degraded"` // what a person should look at
	Machines []machineLine `json:"machines"`
	Queue    []queueLine   `json:"queue"`
	Stock    []stockLine   `json:"stock"`
	Open     int           `json:"open"`    // orders that have not ended
	Unknown  int           `json:"unknown"` // of them, those that a person must settle
}

// queueLine is one class of the menu.
type queueLine struct {
	fleet.Class
	Waiting  int      `json:"waiting"`  // in the queue, those in a machine's hands included
	Machines []string `json:"machines"` // that are here and able
}

func newStatus(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "machines, queue and stock at one look",
		Long: `status shows the machines, the queue by class and the stock, and says what a
person should look at. If there is anything, it exits with 7.`,
		Example: `  barista status
  barista status --watch --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			degraded := false
			err := c.once(cmd, watch, func(ctx context.Context, conn *queue.Conn) (any, func(io.Writer), error) {
				s, err := lookAround(ctx, conn)
				degraded = !s.OK
				return s, s.text, err
			})
			if err == nil && degraded && !watch {
				return term.Said(term.ExitDegraded)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on and print it again whenever it changes")
	return cmd
}

// lookAround asks everybody. A role that does not answer is part of the status;
// only a broker that does not is an error.
func lookAround(ctx context.Context, conn *queue.Conn) (shopStatus, error) {
	s := shopStatus{Degraded: []string{}, Queue: []queueLine{}, Stock: []stockLine{}}
	say := func(format string, args ...any) { s.Degraded = append(s.Degraded, fmt.Sprintf(format, args...)) }
	var err error
	if s.Machines, err = fleetNow(ctx, conn); err != nil {
		return s, err
	}
	menu, _, err := readMenu(ctx, conn.Settings())
	if err != nil {
		return s, err
	}
	waiting, err := conn.Orders().Waiting(ctx)
	if err != nil {
		return s, err
	}
	list, err := claims(ctx, conn.Claims())
	if err != nil {
		return s, err
	}

	able := 0
	for _, m := range s.Machines {
		switch {
		case m.Able:
			able++
		case m.State == fleet.StateCordoned || m.State == fleet.StateDraining || m.By != "":
			// out of service on purpose
		case m.Reason != "":
			say("%s is %s: %s", m.Machine, m.State, term.Safe(m.Reason))
		default:
			say("%s is %s", m.Machine, m.State)
		}
	}
	if able == 0 {
		say("no machine can take orders")
	}
	classes := menu.Classes()
	for class := range waiting { // of a bean that was taken off the menu
		if !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	for _, class := range classes {
		q := queueLine{Class: class, Waiting: waiting[class], Machines: []string{}}
		for _, m := range s.Machines {
			if m.Able && slices.Contains(m.Classes, class) {
				q.Machines = append(q.Machines, m.Machine)
			}
		}
		if q.Waiting > 0 && len(q.Machines) == 0 && able > 0 {
			say("%d orders of %s wait, and no machine that is able makes it", q.Waiting, class)
		}
		s.Queue = append(s.Queue, q)
	}
	for _, e := range list {
		if !e.Phase.Ended() {
			s.Open++
		}
		if e.Phase == fleet.Unknown {
			s.Unknown++
		}
	}
	if s.Unknown > 0 {
		say("%d orders of which nobody knows whether they were made: barista orders --open, then settle or again", s.Unknown)
	}
	levels, err := stock.Remote(conn.Requester()).Levels(ctx)
	if err != nil {
		say("the stock does not answer")
	} else {
		s.Stock = stockLines(levels)
		for item, need := range largest(menu) {
			if have := levels[item].Available(); have < need {
				say("%s runs out: %d %s left, a cup may take %d", item, have, unit(item), need)
			}
		}
	}
	if _, err := conn.Requester().Request(ctx, fleet.Subject("coffee", "controller", "menu"), []byte("{}")); err != nil {
		say("no controller answers: no order is accepted")
	}
	slices.Sort(s.Degraded)
	s.OK = len(s.Degraded) == 0
	return s, nil
}

// largest is the largest dose of each item that a cup of this menu can take.
func largest(m fleet.Menu) fleet.Items {
	out := fleet.Items{}
	for size := range m.Sizes {
		for _, class := range m.Classes() {
			doses, _ := m.Doses(fleet.Order{Size: size, Bean: class.Bean, Milk: class.Milk, Sugar: fleet.MaxSugar})
			for item, n := range doses {
				out[item] = max(out[item], n)
			}
		}
	}
	return out
}

func (s shopStatus) text(w io.Writer) {
	machineTable(w, s.Machines)
	fmt.Fprintln(w)
	rows := [][]string{{"CLASS", "WAITING", "MACHINES"}}
	for _, q := range s.Queue {
		names := ""
		for i, m := range q.Machines {
			if i > 0 {
				names += " "
			}
			names += m
		}
		rows = append(rows, []string{q.Class.String(), strconv.Itoa(q.Waiting), names})
	}
	term.Table(w, rows)
	if len(s.Stock) > 0 {
		fmt.Fprintln(w)
		stockTable(w, s.Stock)
	}
	fmt.Fprintf(w, "\n%d open orders\n", s.Open)
	for _, d := range s.Degraded {
		fmt.Fprintf(w, "look: %s\n", d)
	}
}
