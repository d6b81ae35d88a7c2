package kinds

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"barista/configs"
	"barista/driver"
	"barista/machine"
)

// Key is one key of a kind's section: the only place that says what may stand
// there. From it come the decoding of a file, setup's question, the line that
// setup writes, and the README's table.
type Key struct {
	Name string
	Value

	Need    string // what to write, where the key must be there; "" = it may be left out
	Help    string // what it is, in a line: the README's, and behind it in a file that setup writes
	Above   string // stands above it there, with every line break and # of its own
	Write   string // what setup writes where it does not ask
	Ask     string // setup's question; "" = setup does not ask
	More    string // what ? shows
	Suggest string // an answer that is offered to a person; a file has to say it
	Usual   string // the answer where nothing is answered; only what can do no harm has one
	Tells   bool   // setup writes it without a question, where it has a value
	Answer  bool   // only setup knows it: it decides what the other keys say

	Found Place // where detect finds an answer to offer

	When func() bool // setup asks only then; nil: always
	Last bool        // asked when all else is known
}

// Place is where an answer may be found on a computer.
type Place int

const (
	OnDevice Place = iota // the device tells it, by the key's name
	APort                 // it is a port that is here
	AChip                 // it is a chip that is here
)

// Value is what may stand behind a key, and where that goes. Make it with Text,
// Whole, Number, Choice and their kin.
type Value struct {
	Type   string     // in words, for the README
	Words  []string   // the answers there are; none: any
	Whole  [2]int     // a whole number from … to
	Number [2]float64 // a number from … to
	Check  func(answer string) error

	decode func(n *configs.Node)
	set    func(answer string)
	get    func() string // "" where nothing is said
}

// Set takes an answer of setup's that was found good.
func (v Value) Set(answer string) {
	if v.set != nil {
		v.set(answer)
	}
}

// DecodedBy is the value with a reading of its own.
func (v Value) DecodedBy(f func(n *configs.Node)) Value {
	v.decode = f
	return v
}

// SetBy is the value with a taking of answers of its own.
func (v Value) SetBy(f func(answer string)) Value {
	v.set = f
	return v
}

// WrittenAs is the value with a writing of its own.
func (v Value) WrittenAs(f func() string) Value {
	v.get = f
	return v
}

// Unwritten is the value that setup does not write.
func (v Value) Unwritten() Value { return v.WrittenAs(nil) }

// Text is what a file says of it; "" where nothing is said.
func (v Value) Text() string {
	if v.get == nil {
		return ""
	}
	return v.get()
}

// Text is any text. check may be nil.
func Text[T ~string](to *T, kind string, check func(string) []driver.Problem) Value {
	return Value{
		Type: kind,
		Check: func(s string) error {
			if check != nil {
				return driver.Refusal(check(s))
			}
			return nil
		},
		decode: func(n *configs.Node) {
			s, ok := n.Text()
			if ok && check != nil {
				for _, p := range check(s) {
					n.Problem(p.Reason, p.Fix)
				}
			}
			*to = T(s)
		},
		set: func(s string) { *to = T(s) },
		get: func() string { return YAML(string(*to)) },
	}
}

// Name is a token: 1 to 32 of a-z, 0-9 and -.
func Name(to *string) Value {
	return Value{Type: "a-z, 0-9 and -", decode: func(n *configs.Node) { *to, _ = n.Token() }, set: func(s string) { *to = s }, get: func() string { return *to }}
}

// Texts is a list of at most so many texts.
func Texts(to *[]string, most int) Value {
	return Value{
		Type: "list of texts",
		decode: func(n *configs.Node) {
			list, _ := n.List(1, most)
			for _, e := range list {
				if s, ok := e.Text(); ok {
					*to = append(*to, s)
				}
			}
		},
		set: func(s string) { *to = Split(s) },
		get: func() string {
			var out []string
			for _, s := range *to {
				out = append(out, YAML(s))
			}
			return "[" + strings.Join(out, ", ") + "]"
		},
	}
}

// Whole is a whole number from … to.
func Whole[T ~int | ~uint64](to *T, from, most int) Value {
	return Value{
		Type: fmt.Sprintf("%d to %d", from, most), Whole: [2]int{from, most},
		decode: func(n *configs.Node) {
			if v, ok := n.Int(from, most); ok {
				*to = T(v)
			}
		},
		set: func(s string) {
			v, _ := strconv.Atoi(s)
			*to = T(v)
		},
		get: func() string { return strconv.Itoa(int(*to)) },
	}
}

// OneOf is a whole number of a list; fix says what to do about another one.
func OneOf(to *int, list []int, unit, fix string) Value {
	v := Whole(to, 1, 10_000_000)
	var words []string
	for _, x := range list {
		words = append(words, strconv.Itoa(x))
	}
	v.Type, v.Whole = strings.Join(words, ", "), [2]int{slices.Min(list), slices.Max(list)}
	v.Check = func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("give one of %s", strings.Join(words, ", "))
		}
		return nil
	}
	v.decode = func(n *configs.Node) {
		x, ok := n.Int(1, 10_000_000)
		if *to = x; ok && !slices.Contains(list, x) {
			n.Problem(fmt.Sprintf("%d %s is not possible here", x, unit), fix)
		}
	}
	return v
}

// Number is a number from … to.
func Number(to *float64, from, most float64) Value {
	return Value{
		Type: fmt.Sprintf("%v to %v", from, most), Number: [2]float64{from, most},
		decode: func(n *configs.Node) { *to, _ = n.Float(from, most) },
		set:    func(s string) { *to, _ = strconv.ParseFloat(s, 64) },
		get:    func() string { return strconv.FormatFloat(*to, 'f', -1, 64) },
	}
}

// Time is a duration from … to. What is not said leaves to as it is.
func Time(to *time.Duration, from, most time.Duration) Value {
	return Value{Type: fmt.Sprintf("%v to %v", from, most), decode: func(n *configs.Node) {
		if d, ok := n.Duration(from, most); ok {
			*to = d
		}
	}}
}

// Choice is one of some words.
func Choice[T ~string](to *T, words ...T) Value {
	var list []string
	for _, w := range words {
		list = append(list, string(w))
	}
	return Value{
		Type: strings.Join(list, ", "), Words: list,
		decode: func(n *configs.Node) {
			s, _ := n.Choice(list...)
			*to = T(s)
		},
		set: func(s string) { *to = T(s) },
		get: func() string { return string(*to) },
	}
}

// Flag is a choice of two words, of which the second is yes.
func Flag(to *bool, no, yes string) Value {
	var word string
	v := Choice(&word, no, yes)
	decode, set := v.decode, v.set
	v.decode = func(n *configs.Node) { decode(n); *to = word == yes }
	v.set = func(s string) { set(s); *to = s == yes }
	if no == "" {
		v.Words, v.Type = []string{yes}, yes
		v.decode = func(n *configs.Node) {
			s, _ := n.Choice(yes)
			*to = s == yes
		}
	}
	v.get = func() string {
		if *to {
			return yes
		}
		return no
	}
	return v
}

// Switch is on or off.
func Switch(to *bool) Value {
	return Value{Type: "on, off", decode: func(n *configs.Node) { *to, _ = n.Bool() }, get: func() string {
		if *to {
			return "on"
		}
		return ""
	}}
}

// Fixed is what setup writes without a question. The loader reads it for every
// kind.
func Fixed(text string) Value { return Value{get: func() string { return text }} }

// Said is an answer that the loader reads for every kind, or that no file holds.
func Said(words ...string) Value {
	var to string
	return Value{Type: strings.Join(words, ", "), Words: words, set: func(s string) { to = s }, get: func() string { return YAML(to) }}
}

// Rows are the maps of a section whose keys are names: its parts, its signals, its
// products.
type Rows struct {
	Name   string
	Need   string                  // what to write, where the map must be there
	Other  string                  // what one of them is called: a name that is none of Names is a problem; "" = the loader says that
	Strict bool                    // such a name is an unknown key
	Names  []string                // those that there may be
	Keys   func(name string) []Key // of one of them; a row is made by asking for it
	// Asked are those that setup asks for, by the sizes that are served; nil: a person
	// picks them. Always are those that it writes without a question.
	Asked  func(sizes []string) []string
	Always []string

	Above   string // stands above it in a file that setup writes
	Example string // stands there where setup writes none
}

// Form is a kind's section as a table. What setup asks, in this order: Keys, Outputs,
// Inputs, Products; then the keys that are Last.
type Form struct {
	Keys     []Key
	Outputs  *Rows
	Inputs   *Rows
	Products *Rows

	Head  string             // setup writes it on top of the file, after a #
	Cup   func(machine.Cup)  // hears how the machine knows its cups
	Cups  []string           // the ways in which it can; nil: all
	Milk  func(string) error // what it can't serve; nil: it serves any
	Parts []driver.Part      // that setup offers
}

// read asks the section for every key of the form.
func (f *Form) read(m *configs.Map, kind string) {
	Read(m, f.Keys)
	for _, r := range []*Rows{f.Outputs, f.Inputs, f.Products} {
		if r != nil {
			r.read(m, kind)
		}
	}
}

// Read asks a map for the keys of a table.
func Read(m *configs.Map, keys []Key) {
	for _, k := range keys {
		if k.Answer || k.decode == nil {
			continue
		}
		n := m.Get(k.Name)
		if k.Need != "" {
			n = m.Need(k.Name, k.Need)
		}
		if n != nil {
			k.decode(n)
		}
	}
}

func (r *Rows) read(m *configs.Map, kind string) {
	n := m.Get(r.Name)
	if r.Need != "" {
		n = m.Need(r.Name, r.Need)
	}
	if n == nil {
		return
	}
	rows := n.Map().All
	if r.Strict {
		rows = func() (list []*configs.Node) {
			for _, name := range r.Names {
				if x := n.Map().Get(name); x != nil {
					list = append(list, x)
				}
			}
			return list
		}
	}
	for _, x := range rows() {
		switch {
		case slices.Contains(r.Names, x.Key()):
			Read(x.Map(), r.Keys(x.Key()))
		case r.Other != "":
			x.KeyProblem("a machine with driver: "+kind+" has no such "+r.Other, "it can have "+strings.Join(r.Names, ", "))
			x.Map().Lenient()
		}
	}
}
