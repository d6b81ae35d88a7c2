package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
)

// question is one thing that setup has to know. Its key is the one in an answers
// file.
type question struct {
	key  string // with dots: "outputs.pump.relay"
	text string // one line: "its name"
	more string // what ? shows

	words   []string      // the answers there are; none: any text
	options []term.Option // what was found; a person may give its number
	several bool          // a list of words
	offered []string      // of pick: the words in the order in which they are offered
	whole   [2]int        // a whole number from … to; 0, 0: no number
	number  [2]float64    // a number from … to

	// def is taken where nothing is answered: only what can do no harm has one.
	// suggest is offered to a person; an answers file has to say it.
	def, suggest string
	check        func(answer string) error
}

// answers is where answers come from: a person or a file. After an error
// every answer is empty; whoever asks goes on to the end and looks at it there.
type answers interface {
	ask(q question) string
	// pick asks which keys of a map there are: parts, or signals.
	pick(q question) []string
	// person reports that somebody reads what is said.
	person() bool
	say(format string, a ...any)
}

// bad says what is wrong with an answer.
func (q question) bad(s string) error {
	list := []string{s}
	if q.several {
		list = kinds.Split(s)
		if len(list) == 0 {
			return errors.New("name at least one")
		}
	}
	for i, w := range list {
		switch {
		case len(q.words) > 0 && !slices.Contains(q.words, w):
			return fmt.Errorf("%s is not one of %s", term.Quote(w), strings.Join(q.words, ", "))
		case slices.Contains(list[:i], w):
			return fmt.Errorf("%s is there twice", term.Quote(w))
		}
	}
	if q.whole != [2]int{} {
		n, err := strconv.Atoi(s)
		if err != nil || n < q.whole[0] || n > q.whole[1] || strconv.Itoa(n) != s {
			return fmt.Errorf("give a whole number from %d to %d", q.whole[0], q.whole[1])
		}
	}
	if q.number != [2]float64{} {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(n >= q.number[0] && n <= q.number[1]) {
			return fmt.Errorf("give a number from %v to %v", q.number[0], q.number[1])
		}
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, configs.Unseen) {
		return errors.New("there is a character in it that can't be seen, or only looks like a space")
	}
	if q.check != nil {
		return q.check(s)
	}
	return nil
}

// terminal asks a person.
type terminal struct{ *term.Dialog }

func (r *Run) terminal(ctx context.Context) terminal {
	return terminal{term.NewDialog(ctx, r.In, r.Out)}
}

func (t terminal) person() bool { return true }

func (t terminal) say(format string, a ...any) { t.Say(format, a...) }

func (t terminal) ask(q question) string {
	return t.Ask(term.Question{Text: q.text, More: q.more, Words: q.words, Options: q.options, Usual: cmp.Or(q.def, q.suggest), Check: q.bad})
}

func (t terminal) pick(q question) []string {
	q.several = true
	if q.def == "" {
		q.def = "none"
	}
	q.words = append(slices.Clone(q.words), "none")
	q.check = func(s string) error {
		if list := kinds.Split(s); len(list) > 1 && slices.Contains(list, "none") {
			return errors.New("none stands alone")
		}
		return nil
	}
	s := t.ask(q)
	if s == "none" {
		return nil
	}
	return kinds.Split(s)
}

// answerFile takes the answers from a file. What is missing or wrong is reported
// at its place in it, all at once.
type answerFile struct {
	root *configs.Map
}

func (f *answerFile) person() bool       { return false }
func (f *answerFile) say(string, ...any) {}

// at finds a key; nil if it is not there, with the map that lacks it.
func (f *answerFile) at(key string) (n *configs.Node, m *configs.Map, missing string) {
	m = f.root
	for {
		name, rest, deeper := strings.Cut(key, ".")
		if n = m.Get(name); n == nil {
			return nil, m, name
		}
		if !deeper {
			return n, m, ""
		}
		m, key = n.Map(), rest
	}
}

func (f *answerFile) missing(q question, m *configs.Map, name string) {
	fix := "answer it, " + q.key + ": " + q.text
	if len(q.words) > 0 {
		fix += " (" + strings.Join(q.words, ", ") + ")"
	}
	m.Need(name, fix)
}

func (f *answerFile) pick(q question) []string {
	n, m, name := f.at(q.key)
	if n == nil {
		if q.def != "none" {
			f.missing(q, m, name)
		}
		return nil
	}
	var out []string
	for _, k := range n.Map().All() {
		if !slices.Contains(q.words, k.Key()) {
			k.KeyProblem("there is no such thing here", "there are "+strings.Join(q.words, ", "))
			k.Map().Lenient()
			continue
		}
		out = append(out, k.Key())
	}
	return out
}

func (f *answerFile) ask(q question) string {
	n, m, name := f.at(q.key)
	if n == nil {
		if q.def == "" {
			f.missing(q, m, name)
		}
		return q.def
	}
	var s string
	ok := false
	switch {
	case q.several:
		var list []*configs.Node
		list, ok = n.List(1, 64)
		var words []string
		for _, e := range list {
			w, fine := e.Text()
			ok = ok && fine
			words = append(words, w)
		}
		s = strings.Join(words, " ")
	case q.whole != [2]int{}:
		var v int
		v, ok = n.Int(q.whole[0], q.whole[1])
		s = strconv.Itoa(v)
	case q.number != [2]float64{}:
		var v float64
		v, ok = n.Float(q.number[0], q.number[1])
		s = strconv.FormatFloat(v, 'f', -1, 64)
	case len(q.words) > 0:
		s, ok = n.Choice(q.words...)
	default:
		s, ok = n.Text()
	}
	if !ok {
		return ""
	}
	if err := q.bad(s); err != nil {
		n.Problem(term.OneLine(err.Error()), "answer it, "+q.key+": "+q.text)
		return ""
	}
	return s
}
