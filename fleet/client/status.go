package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"barista/fleet"
	"barista/fleet/words"
)

// Status is the whole shop at one look.
type Status struct {
	OK       bool           `json:"ok"`
	Degraded []string       `json:"degraded"`         // what a person should look at; may hold texts from outside
	Next     []Next         `json:"next,omitempty"`   // what a person types about that
	Wrong    []Wrong        `json:"-"`                // the same as Degraded, each with its key
	Advice   []string       `json:"advice,omitempty"` // what would be better; nobody need come for it
	Machines []Machine      `json:"machines"`
	Queue    []Waiting      `json:"queue"`
	Stock    []Item         `json:"stock"`
	Open     int            `json:"open"`    // orders that have not ended
	Unknown  int            `json:"unknown"` // of them, those that a person must settle
	Book     fleet.Standing `json:"book"`
}

// Wrong is something that a person should look at. Key stays the same for as long as it
// is the same thing, whatever figures its text has.
type Wrong struct {
	Key, Text string
	Danger    bool // a person must come at once, whatever the hour
}

// Waiting is one class of the menu.
type Waiting struct {
	fleet.Class
	Waiting  int      `json:"waiting"`  // orders that no machine has in hand
	Machines []string `json:"machines"` // that are here and able
}

// Item is one item of the stock.
type Item struct {
	Item      string `json:"item"`
	Unit      string `json:"unit"`
	Available int    `json:"available"`
	fleet.Level
}

// ItemOf is the line of one level.
func ItemOf(item string, l fleet.Level) Item { return Item{item, fleet.Unit(item), l.Available(), l} }

// Items lists what is in stock, by name.
func Items(levels map[string]fleet.Level) []Item {
	out := []Item{}
	for _, item := range slices.Sorted(maps.Keys(levels)) {
		out = append(out, ItemOf(item, levels[item]))
	}
	return out
}

// Status asks everybody. A role that does not answer is part of the status; only
// a broker that does not is an error.
func (s Shop) Status(ctx context.Context) (Status, error) {
	st := Status{Degraded: []string{}, Queue: []Waiting{}, Stock: []Item{}}
	var err error
	if st.Machines, err = s.Fleet(ctx); err != nil {
		return st, err
	}
	menu, _, err := s.Menu(ctx)
	if errors.Is(err, fleet.ErrDamaged) {
		st.say("menu", "the menu in the settings is damaged, and the default one is in force: barista menu set --file FILE")
		menu, err = fleet.DefaultMenu(), nil
	}
	if err != nil {
		return st, err
	}
	waiting, err := s.Waiting(ctx)
	if err != nil {
		return st, err
	}
	orders, err := s.orders(ctx)
	if err != nil {
		return st, err
	}
	for class := range waiting {
		waiting[class] = 0 // messages of what is in hand lie there too, and two of what is made again
	}
	for _, e := range orders {
		if e.Phase.Open() && e.Phase != fleet.Claimed && e.Phase != fleet.Brewing {
			waiting[e.Order.Class()]++
		}
	}
	able := st.judgeMachines(s.Dangerous)
	st.judgeQueue(menu, waiting, able)
	st.judgeOrders(orders)
	if levels, err := s.Stock.Levels(ctx); err != nil {
		st.say("stock", "the stock does not answer")
	} else {
		st.judgeStock(menu, levels)
	}
	troubles, err := s.Controller.Troubles(ctx)
	if err == nil {
		st.Book, err = s.Controller.Standing(ctx)
	}
	if err != nil {
		st.say("controller", "no controller answers: no order is accepted")
	} else {
		st.judgeBook()
	}
	for _, t := range troubles {
		st.say("trouble "+t.Code+" "+t.About, "%s", t.Text)
	}
	slices.Sort(st.Degraded)
	st.OK = len(st.Degraded) == 0
	return st, nil
}

func (st *Status) say(key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	st.Degraded = append(st.Degraded, text)
	st.Wrong = append(st.Wrong, Wrong{Key: key, Text: text})
}

// then adds what a person types, once.
func (st *Status) then(n Next) {
	if !slices.ContainsFunc(st.Next, func(o Next) bool { return o.Command == n.Command }) {
		st.Next = append(st.Next, n)
	}
}

// judgeBook says what the shop knows of its book, with the next command.
func (st *Status) judgeBook() {
	switch b := st.Book; b.State {
	case fleet.StandClosed:
		st.say("book "+b.State, "%s: put the right store back and start the shop again, or accept the loss with barista broker accept-loss --reason WHAT-HAPPENED, and then settle the orders in doubt", b.Why)
	case fleet.StandRollCall:
		st.say("book "+b.State, "%s: let them come, or go on without one by barista machine give-up NAME --reason WHY", b.Why)
	case fleet.StandLooking:
		st.say("book "+b.State, "%s: a moment", b.Why)
	}
}

// judgeMachines says which are not able. One that was taken out of service is so on purpose,
// but not what may heat, pour or flood for all that.
func (st *Status) judgeMachines(dangerous func(code string) bool) (able int) {
	for _, m := range st.Machines {
		for _, part := range m.Swapped {
			st.Advice = append(st.Advice, fmt.Sprintf("the %s of %s was swapped and has not been calibrated since, so what it doses is a guess: barista calibrate %[1]s --config FILE, at %[2]s, with its service stopped", part, m.Machine))
		}
		danger := m.Fault != "" && dangerous != nil && dangerous(m.Fault)
		out := m.State == fleet.StateCordoned || m.State == fleet.StateDraining || m.By != ""
		switch {
		case m.Able:
			able++
		case out && !danger:
		case out:
			st.say(m.wrong(fleet.StateFault), "%s is out of service, and in a fault for which somebody must come at once: %s", m.Machine, words.Line("en", m.Fault, "", ""))
			st.Wrong[len(st.Wrong)-1].Danger = true
			st.then(m.clear())
		default:
			why := ""
			if m.Reason != "" {
				why = ": " + m.Reason
			}
			how := "is " + string(m.State)
			if m.State == fleet.StateFault {
				how = "has a fault"
			}
			st.say(m.wrong(m.State), "%s %s%s", m.Machine, how, why)
			st.Wrong[len(st.Wrong)-1].Danger = danger
			st.then(m.Next())
		}
	}
	if able == 0 {
		st.say("machines", "no machine can take orders")
		for _, m := range st.Machines { // those too that were taken out of service
			st.then(m.Next())
		}
	}
	return able
}

// wrong is the key of a machine that is in a state; it is the same whether it was taken out
// of service or not.
func (m Machine) wrong(s fleet.State) string { return "machine " + m.Machine + " " + string(s) }

func (st *Status) judgeQueue(menu fleet.Menu, waiting map[fleet.Class]int, able int) {
	classes := menu.Classes()
	for class := range waiting { // of a bean that was taken off the menu; not the care of machines
		if !slices.Contains(classes, class) && class.Bean != fleet.CareBean {
			classes = append(classes, class)
		}
	}
	for _, class := range classes {
		q := Waiting{Class: class, Waiting: waiting[class], Machines: []string{}}
		for _, m := range st.Machines {
			if m.Able && slices.Contains(m.Classes, class) {
				q.Machines = append(q.Machines, m.Machine)
			}
		}
		if q.Waiting > 0 && len(q.Machines) == 0 && able > 0 {
			st.say("class "+class.String(), "%s, and no machine that is able makes it", some(q.Waiting, "order of "+class.String()+" waits", "orders of "+class.String()+" wait"))
			st.then(Next{"barista machine ls", "shows who makes what"})
		}
		st.Queue = append(st.Queue, q)
	}
}

// some says how many there are, of one or of more.
func some(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func (st *Status) judgeOrders(orders []fleet.Entry) {
	for _, e := range orders {
		if !e.Phase.Ended() {
			st.Open++
		}
		if e.Phase == fleet.Unknown {
			st.Unknown++
		}
	}
	if st.Unknown > 0 {
		st.say("unknown", "%s: barista why last unknown", some(st.Unknown, "order of which nobody knows whether it was made", "orders of which nobody knows whether they were made"))
		st.then(Next{"barista why last unknown", "tells of the last one what to look at and what to type"})
	}
}

func (st *Status) judgeStock(menu fleet.Menu, levels map[string]fleet.Level) {
	st.Stock = Items(levels)
	for item, need := range largest(menu) {
		if have := levels[item].Available(); have < need {
			st.say("item "+item, "%s runs out: %d %s left, a cup may take %d", item, have, fleet.Unit(item), need)
			st.then(Next{fmt.Sprintf("barista stock add %s AMOUNT", item), "after somebody has put in so many " + fleet.Unit(item)})
		}
	}
}

// largest is the largest dose of each item that a cup of this menu can take.
func largest(m fleet.Menu) fleet.Items {
	out := fleet.Items{}
	for size := range m.Sizes {
		for _, class := range m.Classes() {
			doses, _ := m.Portion(fleet.Order{Size: size, Bean: class.Bean, Milk: class.Milk, Sugar: fleet.MaxSugar})
			for item, n := range doses {
				out[item] = max(out[item], n)
			}
		}
	}
	return out
}
