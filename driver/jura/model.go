package jura

import (
	"slices"
	"strings"

	"barista/driver"
)

// Model is one row of what is known: about the machines that answer TY: with
// this type. Everything in it was read in public sources, nothing was measured
// by us on a bench. The same code means different things on different models, so
// nothing is ever taken over from a neighbouring row.
type Model struct {
	Type     string   // the first word of the answer
	Machine  string   // what it says on the front
	Answers  []string // whole answers that were seen; the rest is the firmware
	ReadOnly string   // why nothing can be ordered from it; "" where it can
	Facts    []Fact

	noTray, noWater, noDrawer, coffee, milk sense

	products []product
	counts   []int // the words of RT:0000 that count drinks of any kind
}

// Fact is one thing that a row rests on.
type Fact struct {
	What   string
	Source string
	Sure   Sure
}

// Sure is how well a fact is supported.
type Sure string

// The degrees. What is contradicted is not used.
const (
	Twice        Sure = "two or more independent sources"
	Once         Sure = "one source"
	Contradicted Sure = "sources contradict each other"
)

// product is a drink that can be ordered and proved.
type product struct {
	name string  // also the Key of a driver.Product
	key  command // its button
	word int     // its counter among the words of RT:0000
}

// sense is where an input stands in the ic: answer, and which level means what
// its name says. Levels differ between models.
type sense struct {
	known bool
	at    int   // byte, from 0
	bit   uint8 // from 0
	level bool
}

func high(at int, bit uint8) sense { return sense{true, at, bit, true} }
func low(at int, bit uint8) sense  { return sense{true, at, bit, false} }

// in reads the input; false where the row does not know it.
func (s sense) in(b inputBits) bool {
	return s.known && b.bytes[s.at]>>s.bit&1 == 1 == s.level
}

// The sources, by their names on GitHub where nothing else is said.
const (
	srcJutta = "Jutta-Proto/protocol-cpp README and CoffeeMaker.cpp (own E6, 15326)"
	srcTiaan = "tiaanv/jura jura.h, __init__.py, COMMANDS.md"
	srcAlden = "ryanalden/esphome-jura-component README and jura_coffee.h (own J6)"
	srcTrays = "ryanalden/esphome-jura-component issue 8 (an E8, confirmed on an E6)"
	srcQ42   = "Q42/coffeehack commands.txt (own X9c)"
	srcMote  = "PromyLOPh/juramote com.py and README (own Xs90)"
	srcHN    = "hn/jura-coffee-machine README (own E65)"
	srcSeb   = "Seb-sti1/juracoffeemachine jura.py, coffee_machine.py (a machine that answers EF532M V02.03)"
	srcF7    = "alco28/Jura-F7-ESPHOME jura_coffee.h"
)

// models is the table. A row can be ordered from when it knows a key, the counter
// that proves this key's product, and the inputs that tell that the machine is
// busy; see Check in the test.
var models = []*Model{
	{
		Type: "EF532M", Machine: "E6 (2019)", Answers: []string{"EF532M V02.03"},
		noTray: low(0, 4), noWater: high(1, 5), coffee: low(0, 2), milk: high(1, 6),
		products: []product{{name: "espresso", key: key04, word: 0}},
		counts:   []int{0, 1, 2},
		Facts: []Fact{
			{"answer to TY:", srcJutta + "; " + srcSeb, Twice},
			{"FA:04 espresso, on the display's first page", srcJutta + "; " + srcTiaan + "; " + srcSeb, Twice},
			{"FA:05 is coffee (" + srcJutta + ") or ristretto (" + srcSeb + ", the same answer to TY:); coffee is FA:07 there and FA:09 elsewhere (" + srcTiaan + ")", "not used", Contradicted},
			{"FA:09 turns the page (" + srcJutta + ") or makes coffee (" + srcTiaan + ")", "not used", Contradicted},
			{"FA:07 cappuccino (" + srcJutta + ") or coffee (" + srcSeb + ")", "not used", Contradicted},
			{"tray: byte 0 bit 4, 1 is there; tank: byte 1 bit 5, 1 is empty", srcTrays + "; " + srcTiaan, Twice},
			{"busy: byte 0 bit 2 is 0 with coffee, byte 1 bit 6 is 1 with milk", srcTiaan, Once},
			{"words 1 and 3 of RT:0000 count espresso and coffee", srcSeb + "; the same on an E8 and an F7 (" + srcTiaan + "), a J6 (" + srcAlden + ") and an F7 (" + srcF7 + ")", Twice},
			{"word 2 counts two espressi (" + srcTiaan + ") or ristretto (" + srcSeb + "): a product either way, and never a proof", "shown only", Contradicted},
			{"word 4 counts two coffees or flat white (" + srcTiaan + "); twos stand at 00E0 to 00E2 (" + srcSeb + ")", "not used", Contradicted},
		},
	},
	{
		Type: "PIM", Machine: "Impressa J6", Answers: []string{"PIM V01.01"},
		ReadOnly: "nothing is known that tells whether it is busy, and a J9.3 is reported with the same answer and other keys",
		noTray:   high(0, 4), noWater: high(0, 5),
		counts: []int{0, 1, 2, 3},
		Facts: []Fact{
			{"answer to TY:", srcAlden + "; pvtex/esphome-jura-j9 has it in its copy for a J9.3", Contradicted},
			{"tray: byte 0 bit 4, 1 is missing; tank: byte 0 bit 5, 1 is empty", srcAlden, Once},
			{"words 1 to 4 count espresso, two espressi, coffee, two coffees", srcAlden, Once},
			{"FA:0F hangs the machine", srcAlden, Once},
		},
	},
	{
		Type: "EF658M", Machine: "Giga X9c", Answers: []string{"EF658M V03.03"},
		ReadOnly: "nothing is known that tells whether it is busy",
		noDrawer: high(1, 1),
		Facts: []Fact{
			{"answer to TY:", srcQ42, Once},
			{"grounds drawer: 0301EE in, 0303EE out", srcQ42, Once},
			{"its counters stand at 0280, not in RT:0000", srcQ42, Once},
		},
	},
	{
		Type: "EF516M", Machine: "Impressa Xs90", Answers: []string{"EF516M V01.25"},
		ReadOnly: "what its inputs mean is not known",
		counts:   []int{0, 2, 4, 5},
		Facts: []Fact{
			{"answer to TY:", srcMote, Once},
			{"words 1, 3, 5 and 6 count espresso, coffee, cappuccino, latte", srcMote, Once},
			{"a second press of a key stops the product", srcMote, Once},
		},
	},
	{
		Type: "E30", Machine: "Impressa E65", Answers: []string{"E30 MASK 3"},
		ReadOnly: "neither its keys nor its inputs are known",
		Facts:    []Fact{{"answer to TY:", srcHN, Once}},
	},
}

// ModelOf finds the row for a type, or for a whole answer to TY:.
func ModelOf(answer string) (Model, bool) {
	if m := row(answer); m != nil {
		return *m, true
	}
	return Model{}, false
}

func row(answer string) *Model {
	t := typeOf(answer)
	i := slices.IndexFunc(models, func(m *Model) bool { return m.Type == t })
	if i < 0 {
		return nil
	}
	return models[i]
}

// Products names what can be ordered: the Key of a driver.Product.
func (m Model) Products() []string {
	var out []string
	for _, p := range m.products {
		out = append(out, p.name)
	}
	return out
}

func (m *Model) product(name string) (product, bool) {
	i := slices.IndexFunc(m.products, func(p product) bool { return p.name == name })
	if m.ReadOnly != "" || i < 0 {
		return product{}, false
	}
	return m.products[i], true
}

// String names the model for people.
func (m Model) String() string { return m.Machine + " (" + m.Type + ")" }

// busy says what the machine is at; "" is nothing that can be seen.
func (m *Model) busy(b inputBits) string {
	var at []string
	if m.coffee.in(b) {
		at = append(at, "coffee")
	}
	if m.milk.in(b) {
		at = append(at, "milk")
	}
	return strings.Join(at, " and ")
}

// want says what a person must do before a drink; nil is nothing.
func (m *Model) want(b inputBits) *driver.WantError {
	var want []string
	var e driver.WantError
	for _, x := range []struct {
		s    sense
		what string
		not  []driver.Signal
	}{{m.noTray, "put the drip tray in", []driver.Signal{driver.Tray}}, {m.noWater, "fill the water tank", []driver.Signal{driver.Tank}}, {m.noDrawer, "put the grounds drawer in", nil}} {
		if x.s.in(b) {
			want, e.Signals = append(want, x.what), append(e.Signals, x.not...)
		}
	}
	if len(want) == 0 {
		return nil
	}
	e.What = strings.Join(want, ", ")
	return &e
}

// watches is what the row sees both ways. That the tray is in does not tell that it
// has room, and no row knows of the beans.
func (m *Model) watches() []driver.Signal {
	if m.noWater.known {
		return []driver.Signal{driver.Tank}
	}
	return nil
}

// plain keeps only the bits that the row knows: the others toggle as they like.
func (m *Model) plain(b inputBits) inputBits {
	out := inputBits{n: b.n}
	for _, s := range []sense{m.noTray, m.noWater, m.noDrawer, m.coffee, m.milk} {
		if s.known {
			out.bytes[s.at] |= b.bytes[s.at] & (1 << s.bit)
		}
	}
	return out
}

// enough reports whether an answer has every byte that the row looks at.
func (m *Model) enough(b inputBits) bool {
	for _, s := range []sense{m.noTray, m.noWater, m.noDrawer, m.coffee, m.milk} {
		if s.known && s.at >= b.n {
			return false
		}
	}
	return true
}

// counted keeps only the words that count products.
func (m *Model) counted(w words) words {
	var out words
	for _, i := range m.counts {
		out[i] = w[i]
	}
	return out
}

// strange reports counters that do not follow from those of before: they never
// fall, but for starting over, and no machine makes so many in between.
func (m *Model) strange(last, now words) bool {
	return slices.ContainsFunc(m.counts, func(i int) bool {
		rose := int16(now[i] - last[i])
		return rose < 0 || rose > 50
	})
}

// sum is every drink that the row can see.
func (m *Model) sum(w words) int {
	n := 0
	for _, i := range m.counts {
		n += int(w[i])
	}
	return n
}

// proof counts what can be ordered, and nothing else: a coffee that somebody
// takes while our program is dead must not pass for the espresso it had asked
// for.
func (m *Model) proof(w words) int {
	n := 0
	for _, p := range m.products {
		n += int(w[p.word])
	}
	return n
}
