// Package told is what a shop says of its orders, in words for the person at a
// terminal: an event, a cause, a whole account, the tables of a shop. It only reads what
// it is given and prints; it asks no shop. Words for customers are the pages' affair,
// and those of faults stand in fleet/words.
package told

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/words"
)

// Cause says in one sentence why the order stands where it stands.
func Cause(c fleet.Claim) string {
	because := func(s string) string {
		if why := Reason(c.Reason); why != "" {
			s += ": " + why
		}
		if c.By != "" {
			s += " (" + c.By + ")"
		}
		return s
	}
	switch c.Phase {
	case fleet.Accepted:
		return "it waits in the queue" + after(c)
	case fleet.Again:
		return "it is to be made again" + after(c)
	case fleet.Claimed:
		return c.Machine() + " waits for " + awaited(c.Order)
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
	}
	return because("it was " + string(c.Phase))
}

// after says how the last try of an order that waits came out.
func after(c fleet.Claim) string {
	if len(c.Past) == 0 {
		return ""
	}
	p := c.Past[len(c.Past)-1]
	s := fmt.Sprintf(", after %s", p.Outcome)
	if p.Machine != "" {
		s += " by " + p.Machine
	}
	if why := Reason(p.Reason); why != "" {
		s += " (" + why + ")"
	}
	return s
}

// Reach says whether the machine that had the order could still speak for it,
// or still pour.
func Reach(c fleet.Claim, all []fleet.Machine) string {
	if c.Owner == nil {
		return "no machine had it"
	}
	o := *c.Owner
	for _, p := range all {
		if !p.Here || p.Machine != o.Machine {
			continue
		}
		switch {
		case p.Owner.Same(o):
			return fmt.Sprintf("%s is here with the same journal (%s): if it knows what came of it, it says so itself", o.Machine, p.State)
		case p.Owner.Journal == o.Journal:
			return fmt.Sprintf("%s is here again after its computer was restarted (%s): its journal may still say what came of it", o.Machine, p.State)
		}
		return fmt.Sprintf("a %s is here, but with another journal (%s): the one that had the order can't speak, and no longer pours if it is the same hardware", o.Machine, p.State)
	}
	return fmt.Sprintf("%s can't be reached: nobody knows whether it still pours. Go and look before you go on", o.Machine)
}

// Standing says of an order whose outcome is not in doubt where it stands; of one
// whose machine died over it, when it will be.
func Standing(e fleet.Entry, all []fleet.Machine) string {
	at := func(m fleet.Machine) bool { return m.Here && m.Machine == e.Machine() }
	if e.Phase != fleet.Brewing || slices.ContainsFunc(all, at) {
		return "it is " + string(e.Phase)
	}
	by := doubtFrom(e)
	return fmt.Sprintf("%s began to make it and can't be reached; if it says nothing, the outcome is unknown from about %s on, and then settle and again can be used",
		e.Machine(), by.Local().Format("15:04:05"))
}

// doubtFrom is when the outcome of an order counts as unknown whose machine says nothing.
func doubtFrom(e fleet.Entry) time.Time { return e.Written.Add(fleet.LongestBrew + fleet.UnknownAfter) }

// Account prints an order's whole story.
func Account(w io.Writer, a client.Account) {
	o := a.Order
	fmt.Fprintf(w, "%s  %s\n\n", o.ID, term.Colours(w)(string(a.Phase)))
	PrintStory(w, a)
	fmt.Fprintf(w, "\n  %s\n", term.Safe(a.Cause))
	fmt.Fprintf(w, "  for %s: %s", term.Safe(o.Name), What(o.Size, o.Bean, o.Milk, o.Sugar))
	if a.Via != "" {
		fmt.Fprintf(w, " (came by %s)", term.Safe(a.Via))
	}
	fmt.Fprintf(w, "\n  told: %s", term.Safe(a.Told.Message))
	if a.Told.Position > 0 {
		fmt.Fprintf(w, ", place %d", a.Told.Position)
	}
	if eta := Span(a.Told.ETA); eta != "" {
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
			rows = append(rows, []string{fmt.Sprint(i + 1), t.Machine, string(t.Outcome), Reason(t.Reason)})
		}
		term.Table(w, rows)
	}
	if len(a.Events) > 0 {
		fmt.Fprintln(w)
		for _, e := range a.Events {
			fmt.Fprintf(w, "%s  %s\n", term.Time(e.At), Story(e))
		}
	}
}

// amounts writes items with their units.
func amounts(items fleet.Items) string {
	var out []string
	for _, item := range slices.Sorted(maps.Keys(items)) {
		unit := fleet.Unit(item)
		if items[item] == 1 {
			unit = strings.TrimSuffix(unit, "s") // of doses
		}
		out = append(out, fmt.Sprintf("%s %d %s", term.Safe(item), items[item], unit))
	}
	return strings.Join(out, ", ")
}

// Story is an event in words.
func Story(e fleet.Event) string {
	s := string(e.Kind)
	switch e.Kind {
	case fleet.EvAccepted:
		if eta := Span(e.ETA); eta != "" {
			s += ", " + eta
		}
	case fleet.EvReleased:
		s = e.Machine + " gives it back untouched"
	case fleet.EvClaimed, fleet.EvCup:
		s = e.Machine + " waits for a cup"
	case fleet.EvBrewing:
		s = e.Machine + " makes it"
	case fleet.EvStep:
		s = fmt.Sprintf("%s: %s (%d of %d)", e.Machine, term.Safe(e.Step), e.N, e.Of)
	case fleet.EvEnd:
		s = fmt.Sprintf("%s: %s", e.Machine, e.Outcome)
	case fleet.EvUnknown:
		s = "nobody can say what came of it"
	case fleet.EvAgain:
		s = "to be made again"
	}
	if e.Seconds > 0 && (e.Kind == fleet.EvEnd || e.Kind == fleet.EvServed) {
		s += fmt.Sprintf(" in %.0f s", e.Seconds)
	}
	if e.ETAError != nil {
		s += promised(*e.ETAError)
	}
	if why := Reason(e.Reason); why != "" {
		s += ": " + term.Safe(why)
	}
	if e.By != "" {
		s += " (" + term.Safe(e.By) + ")"
	}
	return s
}

// promised says whether a cup came when it was promised; missed is in seconds.
func promised(missed float64) string {
	switch {
	case missed <= -0.5:
		return fmt.Sprintf(", %.0f s earlier than promised", -missed)
	case missed >= 0.5:
		return fmt.Sprintf(", %.0f s later than promised", missed)
	}
	return ", as promised"
}

// Span writes an ETA as people say it.
func Span(eta []int) string {
	if len(eta) != 2 {
		return ""
	}
	if eta[0] == eta[1] {
		return fmt.Sprintf("%d s", eta[0])
	}
	return fmt.Sprintf("%d to %d s", eta[0], eta[1])
}

// Reason is a reason of a claim or an event for the same reader. Its English
// text is whole, and all that a record from before there were codes has.
func Reason(r fleet.Reason) string {
	return cmp.Or(r.Text, words.Line("en", r.Code, r.Detail, r.Quote))
}

// Head are the columns of Row.
var Head = []string{"ORDER", "PHASE", "NAME", "WHAT", "MACHINE", "TRIES", "CHANGED", "REASON"}

// Row is an order in a table.
func Row(l client.Order) []string {
	tries := ""
	if l.Attempts > 0 {
		tries = strconv.Itoa(l.Attempts)
	}
	return []string{l.ID, string(l.Phase), l.Name, What(l.Size, l.Bean, l.Milk, l.Sugar), l.Machine, tries, term.Time(l.Changed), Reason(l.Reason)}
}

// Line is an order that has just changed, in one line.
func Line(l client.Order) string {
	s := fmt.Sprintf("%s  %s  %-9s %s  %s", term.Time(l.Changed), l.ID, l.Phase, term.Safe(l.Name), What(l.Size, l.Bean, l.Milk, l.Sugar))
	if l.Machine != "" {
		s += "  " + l.Machine
	}
	if why := Reason(l.Reason); why != "" {
		s += "  (" + term.Safe(why) + ")"
	}
	return s
}

// awaited is what a machine waits for that has claimed an order and not begun.
func awaited(o fleet.Order) string {
	if o.IsCare() && o.Size != fleet.CareRinse {
		return "whoever does its " + string(o.Size)
	}
	return "a cup"
}

// What says what was ordered, in a few words.
func What(size fleet.Size, bean, milk string, sugar int) string {
	if bean == fleet.CareBean {
		return fmt.Sprintf("%s of %s", size, milk)
	}
	s := fmt.Sprintf("%s %s", size, bean)
	if milk != fleet.NoMilk {
		s += ", milk " + milk
	}
	if sugar > 0 {
		s += fmt.Sprintf(", %d sugar", sugar)
	}
	return s
}

// News prints each drink's way until its context ends.
func News(out io.Writer, news func(context.Context, func(fleet.Event)) error) func(context.Context) error {
	return func(ctx context.Context) error { return news(ctx, (&printer{out: out}).print) }
}

// printer shows each drink's way, one line per change.
type printer struct {
	out io.Writer
	mu  sync.Mutex // guards who
	who map[string]string
}

// print is told of every event; any goroutine may call it.
func (p *printer) print(e fleet.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.who == nil {
		p.who = map[string]string{}
	}
	if e.Kind == fleet.EvAccepted && e.What != nil {
		p.who[e.Order] = fmt.Sprintf("%s: %s %s, %s, sugar %d", term.Safe(e.What.Name), e.What.Size, e.What.Bean, e.What.Milk, e.What.Sugar)
		if e.What.IsCare() {
			p.who[e.Order] = fmt.Sprintf("%s: %s", term.Safe(e.What.Name), What(e.What.Size, e.What.Bean, e.What.Milk, 0))
		}
	}
	who := p.who[e.Order]
	if who == "" {
		who = e.Order
	}
	line := ""
	switch e.Kind {
	case fleet.EvPercent, fleet.EvClaimed, fleet.EvEnd:
		return
	case fleet.EvStep:
		line = fmt.Sprintf("%s (step %d of %d)", e.Step, e.N, e.Of)
	default:
		line = string(e.Kind)
		if why := Reason(e.Reason); why != "" {
			line += ": " + term.Safe(why)
		}
	}
	machine := e.Machine
	if machine == "" {
		machine = "shop"
	}
	fmt.Fprintf(p.out, "%s  %-6s %-34s %s\n", e.At.Local().Format("15:04:05"), machine, who, line)
	if fleet.Phase(e.Kind).Ended() {
		delete(p.who, e.Order)
	}
}
