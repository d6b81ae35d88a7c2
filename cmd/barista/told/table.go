package told

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/words"
)

// Machines is the table of machines.
func Machines(w io.Writer, lines []client.Machine) {
	rows := [][]string{{"MACHINE", "STATE", "MAKES", "CUP", "DRINKS", "IN HAND", "WHY", "WHO"}}
	for _, l := range lines {
		hand := l.Order
		if hand != "" && l.Percent > 0 {
			hand += fmt.Sprintf(" %d%%", l.Percent)
		}
		why := l.Reason
		if why == "" && len(l.Lacks) > 0 {
			why = "lacks " + strings.Join(l.Lacks, ", ")
		}
		if why == "" && l.MinWaiting > 0 {
			why = fmt.Sprintf("a spare: works above %d waiting", l.MinWaiting)
		}
		drinks := ""
		if l.Here {
			drinks = fmt.Sprint(l.Drinks)
		}
		rows = append(rows, []string{l.Machine, string(l.State), makes(l.Classes), l.Cup, drinks, hand, why, l.By})
	}
	if term.Table(w, rows); len(lines) == 0 {
		fmt.Fprintln(w, "no machines")
	}
}

// makes shortens a list of classes: the beans, then the milks if every bean goes
// with every milk.
func makes(classes []fleet.Class) string {
	var beans, milks []string
	for _, c := range classes {
		if !slices.Contains(beans, c.Bean) {
			beans = append(beans, c.Bean)
		}
		if !slices.Contains(milks, c.Milk) {
			milks = append(milks, c.Milk)
		}
	}
	if len(beans)*len(milks) == len(classes) {
		return strings.Trim(strings.Join(beans, ",")+"/"+strings.Join(milks, ","), "/")
	}
	var out []string
	for _, c := range classes {
		out = append(out, c.String())
	}
	return strings.Join(out, " ")
}

// Stock is the table of the stock.
func Stock(w io.Writer, lines []client.Item) {
	rows := [][]string{{"ITEM", "AVAILABLE", "ON HAND", "RESERVED", "CONSUMED", "WASTED"}}
	for _, l := range lines {
		rows = append(rows, []string{l.Item, fmt.Sprintf("%d %s", l.Available, l.Unit), strconv.Itoa(l.OnHand),
			strconv.Itoa(l.Reserved), strconv.Itoa(l.Consumed), strconv.Itoa(l.Wasted)})
	}
	if term.Table(w, rows); len(lines) == 0 {
		fmt.Fprintln(w, "nothing in stock")
	}
}

// Status is the whole shop at one look.
func Status(w io.Writer, s client.Status) {
	Machines(w, s.Machines)
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
		Stock(w, s.Stock)
	}
	fmt.Fprintf(w, "\n%d open orders\n", s.Open)
	for _, d := range s.Degraded {
		fmt.Fprintf(w, "look: %s\n", term.Safe(d))
	}
}

// Findings tells what is amiss, and what to type next.
func Findings(w io.Writer, found []fleet.Finding) {
	for _, f := range found {
		about := ""
		switch {
		case f.Order != "":
			about = "order " + f.Order + ": "
		case f.Key != "":
			about = "setting " + f.Key + ": "
		case f.Seq > 0:
			about = fmt.Sprintf("record %d: ", f.Seq)
		}
		state := ""
		if f.Mended {
			state = "mended: "
		}
		fmt.Fprintf(w, "%s%s%s\n", state, term.Safe(about), term.Safe(words.Line("en", f.Code, f.Detail, "")))
		if f.Next != "" {
			fmt.Fprintf(w, "  next: %s\n", term.Safe(f.Next))
		}
	}
	if len(found) == 0 {
		fmt.Fprintln(w, "nothing is amiss")
	}
}
