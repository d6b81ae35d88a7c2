package told

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
		if why == "" && len(l.Swapped) > 0 {
			why = strings.Join(l.Swapped, ", ") + " swapped: calibrate"
		}
		if why == "" && len(l.Due()) > 0 {
			why = strings.Join(l.Due(), ", ") + " is due: barista machine care"
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

// width is how wide what a person looks at in a hurry may be.
const width = 80

// Status is the whole shop at one look, what is wrong first.
func Status(w io.Writer, s client.Status) {
	things := "all is well"
	if n := len(s.Degraded); n == 1 {
		things = "1 thing needs a hand"
	} else if n > 1 {
		things = fmt.Sprintf("%d things need a hand", n)
	}
	open := "1 open order"
	if s.Open != 1 {
		open = fmt.Sprintf("%d open orders", s.Open)
	}
	fmt.Fprintf(w, "%s, %s\n", things, open)
	for _, d := range s.Degraded {
		text := term.WrapTo("look: "+term.Safe(d), width-8)
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(text, "\n", "\n        "))
	}
	printNext(w, s.Next)
	for _, a := range s.Advice {
		text := term.WrapTo("advice: "+term.Safe(a), width-10)
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(text, "\n", "\n          "))
	}
	fmt.Fprintln(w)

	rows := [][]string{{"MACHINE", "STATE", "IN HAND", "DRINKS", "BEANS", "WATER", "TRAY", "WHY"}}
	for _, l := range s.Machines {
		hand, drinks := l.Order, ""
		if hand != "" {
			hand = "…" + hand[max(0, len(hand)-4):]
		}
		if hand != "" && l.Percent > 0 {
			hand += fmt.Sprintf(" %d%%", l.Percent)
		}
		if l.Here {
			drinks = strconv.Itoa(l.Drinks)
		}
		why := l.Reason
		if l.By != "" {
			why = l.By + ": " + why
		}
		rows = append(rows, []string{l.Machine, string(l.State), hand, drinks,
			gauge(l.Gauges.Beans, "empty"), gauge(l.Gauges.Water, "empty"), gauge(l.Gauges.Tray, "full"), why})
	}
	if term.Table(w, fit(rows)); len(s.Machines) == 0 {
		fmt.Fprintln(w, "no machines")
	}
	statusQueue(w, s.Queue)
	if len(s.Stock) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"ITEM", "AVAILABLE", "ON HAND", "RESERVED"}}
		for _, l := range s.Stock {
			rows = append(rows, []string{l.Item, fmt.Sprintf("%d %s", l.Available, l.Unit), strconv.Itoa(l.OnHand), strconv.Itoa(l.Reserved)})
		}
		term.Table(w, fit(rows))
	}
}

// gauge is what a sensor tells, in a word; empty where there is none.
func gauge(g fleet.Gauge, out string) string {
	switch g {
	case "":
		return ""
	case fleet.GaugeThere:
		return "ok"
	case fleet.GaugeOut:
		return out
	}
	return "?"
}

// statusQueue tells of the classes that anything waits for, and names those that nobody
// makes now.
func statusQueue(w io.Writer, queue []client.Waiting) {
	rows, none := [][]string{{"CLASS", "WAITING", "MACHINES"}}, []string{}
	for _, q := range queue {
		switch {
		case q.Waiting > 0:
			rows = append(rows, []string{q.Class.String(), strconv.Itoa(q.Waiting), cmp.Or(strings.Join(q.Machines, " "), "none")})
		case len(q.Machines) == 0:
			none = append(none, q.Class.String())
		}
	}
	fmt.Fprintln(w)
	if term.Table(w, fit(rows)); len(rows) == 1 {
		fmt.Fprintln(w, "no order waits")
	}
	switch {
	case len(none) == len(queue) && len(none) > 0:
		fmt.Fprintln(w, "no machine makes anything now")
	case len(none) > 0:
		fmt.Fprintln(w, term.WrapTo("no machine makes now: "+strings.Join(none, ", "), width))
	}
}

// fit cuts cells so that a table has the width: always from the column that is widest.
func fit(rows [][]string) [][]string {
	wide := make([]int, len(rows[0]))
	for i, row := range rows {
		rows[i] = slices.Clone(row)
		for j, cell := range row {
			rows[i][j] = term.Safe(cell)
			wide[j] = max(wide[j], utf8.RuneCountInString(rows[i][j]))
		}
	}
	over := 2*(len(wide)-1) - width
	for _, n := range wide {
		over += n
	}
	for ; over > 0; over-- {
		most := 0
		for j, n := range wide {
			if n >= wide[most] {
				most = j
			}
		}
		wide[most]--
	}
	for _, row := range rows {
		for j, cell := range row {
			if r := []rune(cell); len(r) > wide[j] {
				row[j] = string(r[:wide[j]-1]) + "…"
			}
		}
	}
	return rows
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
