package preview

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/fleet"
	"barista/fleet/worker"
	"barista/machine"
	"barista/machine/recipe"
)

// Drink is what a machine would do for one drink; in JSON too.
type Drink struct {
	Size     fleet.Size `json:"size"`
	Beans    []string   `json:"beans"` // they are poured alike
	Milks    []string   `json:"milks"`
	LengthMS int64      `json:"length_ms,omitempty"`
	Events   []Event    `json:"events,omitempty"`
	Product  string     `json:"product,omitempty"` // of a machine that owns its parts
	Refused  string     `json:"refused,omitempty"`
}

// Wish narrows the drinks; what is empty is everything that the machine serves.
type Wish struct {
	Size, Bean, Milk string // in any word that an order may use
	Sugar            int
}

// Drinks are those that the file's machine serves, each as it would make it, and how
// many of them it would refuse.
func Drinks(f *configs.File, wish Wish) (drinks []Drink, refused int, err error) {
	m := f.Machine
	sizes, err := chosen("size", fleet.SizeOf(wish.Size), m.Serves.Sizes, m.Name)
	if err != nil {
		return nil, 0, err
	}
	beans, err := chosen("bean", wish.Bean, m.Serves.Beans, m.Name)
	if err != nil {
		return nil, 0, err
	}
	milks, err := chosen("milk", fleet.MilkOf(wish.Milk), m.Serves.Milks, m.Name)
	if err != nil {
		return nil, 0, err
	}
	// Without milk, and with it: which milk makes no difference to the metal.
	var black, white []string
	for _, x := range milks {
		if x == fleet.NoMilk {
			black = append(black, x)
		} else {
			white = append(white, x)
		}
	}
	plan, _, err := InForce(f)
	if err != nil {
		return nil, 0, err
	}
	drinks = []Drink{}
	for _, size := range sizes {
		for _, milks := range [][]string{black, white} {
			if len(milks) == 0 {
				continue
			}
			x := Drink{Size: size, Beans: beans, Milks: milks}
			x.make(plan, Asked(fleet.Order{Size: size, Bean: beans[0], Milk: milks[0], Sugar: wish.Sugar}))
			if x.Refused != "" {
				refused++
			}
			drinks = append(drinks, x)
		}
	}
	return drinks, refused, nil
}

// Print prints them for a person.
func Print(w io.Writer, drinks []Drink) {
	for _, x := range drinks {
		fmt.Fprintf(w, "\n%s, %s, milk %s\n", x.Size, strings.Join(x.Beans, " or "), strings.Join(x.Milks, " or "))
		switch {
		case x.Refused != "":
			fmt.Fprintf(w, "refused: %s\n", x.Refused)
		case x.Product != "":
			fmt.Fprintln(w, x.Product)
		}
		PrintEvents(w, x.Events)
	}
}

// chosen is the one that was asked for, if the machine serves it, or all.
func chosen[T ~string](what string, one T, serves []T, name string) ([]T, error) {
	if one == "" {
		return serves, nil
	}
	if !slices.Contains(serves, one) {
		return nil, term.Usage("--%s: %s does not serve %s", what, name, term.Quote(string(one)))
	}
	return []T{one}, nil
}

// make says what the machine would do, by the plan that it works by.
func (x *Drink) make(plan machine.Plan, d recipe.Drink) {
	if plan.Appliance() {
		p, err := plan.Product(d)
		if err != nil {
			x.Refused = hands.Sentence(err)
			return
		}
		x.Product = fmt.Sprintf("asks the machine for %d × %s", p.Cycles, p.Key)
		return
	}
	t, err := plan.Timeline(d)
	if err != nil {
		x.Refused = term.OneLine(err.Error())
		return
	}
	x.LengthMS, x.Events = t.Length().Milliseconds(), Events(t, plan)
}

// Event is one line of a timeline in JSON.
type Event struct {
	At     int64         `json:"at_ms"`
	Kind   recipe.Action `json:"kind"`
	Part   driver.Part   `json:"part,omitempty"`
	AtMost int64         `json:"at_most_ms,omitempty"`
	Step   string        `json:"step,omitempty"`
	Wire   string        `json:"wire,omitempty"` // what the part hangs on, with --config
	Text   string        `json:"text"`
}

// Events is a timeline for people and programs, with the wires of the
// machine if there is one.
func Events(t recipe.Timeline, plan machine.Plan) []Event {
	events := []Event{}
	for _, e := range t {
		x := Event{At: e.At.Milliseconds(), Kind: e.Kind, Part: e.Part, AtMost: e.AtMost.Milliseconds(), Step: e.Step, Text: e.String()}
		switch e.Kind {
		case recipe.On:
			x.Wire = plan.Wires[e.Part].On
		case recipe.Off:
			x.Wire = plan.Wires[e.Part].Off
		}
		events = append(events, x)
	}
	return events
}

// PrintEvents prints one event per line, the wires in a column of their own.
func PrintEvents(w io.Writer, events []Event) {
	width := 0
	for _, e := range events {
		if e.Wire != "" {
			width = max(width, utf8.RuneCountInString(e.Text))
		}
	}
	for _, e := range events {
		if e.Wire == "" {
			fmt.Fprintln(w, e.Text)
			continue
		}
		fmt.Fprintf(w, "%s%s  %s\n", e.Text, strings.Repeat(" ", width-utf8.RuneCountInString(e.Text)), term.Safe(e.Wire))
	}
}

// Asked is what a machine is asked for by the doses of the default menu, whatever
// beans and milks that names.
func Asked(o fleet.Order) recipe.Drink {
	menu := fleet.DefaultMenu()
	menu.Beans, menu.Milks = []string{o.Bean}, []string{o.Milk}
	taken, _ := menu.Portion(o)
	return worker.Drink(o, taken, menu)
}
