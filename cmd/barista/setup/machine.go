package setup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"barista/cmd/barista/detect"
	"barista/configs/kinds"
	"barista/driver"
	"barista/fleet"
	"barista/machine"
)

// row is a part, a signal or a product with its keys, as they were answered.
type row struct {
	name string
	keys []kinds.Key
}

// wiring asks what the kind's table of keys has questions for.
func (p *plan) wiring(a answers, found *detect.Found) {
	_, f := p.kind.New()
	p.form = f
	if f.Cup != nil {
		f.Cup(machine.Cup(p.cup))
	}
	keys := func(last bool) {
		for _, k := range f.Keys {
			if k.Last == last {
				p.key(a, found, "", k)
			}
		}
	}
	keys(false)
	for _, x := range []struct {
		rows *kinds.Rows
		to   *[]row
		pick func(answers, *kinds.Rows) []string
	}{{f.Outputs, &p.outputs, p.parts}, {f.Inputs, &p.inputs, p.signals}, {f.Products, &p.products, nil}} {
		if x.rows == nil {
			continue
		}
		names := x.rows.Always
		switch {
		case x.rows.Asked != nil:
			names = x.rows.Asked(p.sizes)
		case names == nil:
			names = x.pick(a, x.rows)
		}
		for _, name := range names {
			r := row{name, x.rows.Keys(name)}
			for _, k := range r.keys {
				p.key(a, found, x.rows.Name+"."+name+".", k)
			}
			*x.to = append(*x.to, r)
		}
	}
	keys(true)
}

// key asks one question, if the key has one.
func (p *plan) key(a answers, found *detect.Found, prefix string, k kinds.Key) {
	if k.Ask == "" || k.When != nil && !k.When() {
		return
	}
	q := question{
		key: prefix + k.Name, text: k.Ask, more: k.More, words: k.Words, whole: k.Whole, number: k.Number,
		def: k.Usual, suggest: k.Suggest, check: k.Check, several: strings.Contains(k.Usual, " "),
	}
	if hint := p.hint(found, &q, k.Found); hint != "" && q.def != "" {
		q.def = hint
	} else {
		q.suggest = cmp.Or(hint, q.suggest)
	}
	answer := a.ask(q)
	k.Set(answer)
	if k.Found == kinds.APort {
		p.port = answer
	}
}

// hint is what was found for a key: on this computer, or by the device on the port
// that was chosen.
func (p *plan) hint(found *detect.Found, q *question, where kinds.Place) (hint string) {
	switch where {
	case kinds.APort:
		q.options, hint = found.Named(p.kind.Name)
	case kinds.AChip:
		hint = found.Chip()
	default:
		if a := found.At(p.port); a != nil && a.Driver == p.kind.Name {
			hint = a.Hints[q.key]
		}
	}
	return hint
}

// parts asks which parts there are. Grinder and pump are in every machine.
func (p *plan) parts(a answers, _ *kinds.Rows) []string {
	need := []string{string(driver.Grinder), string(driver.Pump)}
	if slices.ContainsFunc(p.milks, func(m string) bool { return m != fleet.NoMilk }) {
		need = append(need, string(driver.Milk))
	}
	if p.cup == string(machine.CupDispenser) {
		need = append(need, string(driver.Cups))
	}
	var all []string
	for _, part := range p.form.Parts {
		all = append(all, string(part))
	}
	text := "its outputs, with a map for each"
	if a.person() {
		text = "it needs " + strings.Join(need, ", ") + "; which other parts hang on a relay"
	}
	return pick(a, all, need, question{
		key: "outputs", text: text,
		more: "sugar doses sugar, rinse rinses the milk's way. A heater needs a thermometer.",
	})
}

// signals asks which inputs there are.
func (p *plan) signals(a answers, rows *kinds.Rows) []string {
	var need []string
	if p.cup == string(machine.CupSensor) || p.cup == string(machine.CupDispenser) {
		need = append(need, string(driver.Cup))
	}
	text := "its inputs, with a map for each"
	if a.person() {
		text = "which inputs are wired"
		if len(need) > 0 {
			text = "it needs an input for the cup; which others are wired"
		}
	}
	var all []string
	for _, s := range driver.Signals {
		if slices.Contains(rows.Names, string(s)) {
			all = append(all, string(s))
		}
	}
	return pick(a, all, need, question{
		key: "inputs", text: text, def: "none", offered: rows.Names,
		more: "Each one that is there ends a drink in time: tank, beans, tray, door, stop. hot or\ntemperature says when brewing may begin; flow measures the water. A sensor that\nis named and broken is a fault, never a guess.",
	})
}

// pick asks which of all there are, in their order; a person is not asked for those
// that there must be.
func pick(a answers, all, need []string, q question) []string {
	if q.words = all; q.offered != nil {
		q.words = q.offered
	}
	if a.person() {
		q.words = slices.DeleteFunc(slices.Clone(q.words), func(name string) bool { return slices.Contains(need, name) })
	}
	picked := a.pick(q)
	if a.person() {
		picked = append(need, picked...)
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !slices.Contains(picked, name) })
}

// text is the row as a file has it.
func (r row) text() string {
	var keys []string
	for _, k := range r.keys {
		if s := written(k); s != "" {
			keys = append(keys, k.Name+": "+s)
		}
	}
	return fmt.Sprintf("    %s: {%s}", r.name, strings.Join(keys, ", "))
}

// written is what stands behind a key in the file; "" if the key does not.
func written(k kinds.Key) string {
	switch {
	case k.Answer, k.When != nil && !k.When():
		return ""
	case k.Write != "":
		return k.Write
	case k.Ask == "" && k.Type != "" && !k.Tells:
		return "" // nobody was asked
	}
	return k.Text()
}
