// Package words has the sentences that people read about an order or a machine:
// one per code, language and reader. A customer reads what it means for his
// coffee, in a sentence or beside what can't be had now in three words, an operator
// what to do at the machine. They stand here once, in en.json
// and fr.json; everywhere else a reason is a code with figures, and the sentence
// is made where somebody reads it: on a page, by why and faults, in the service's
// log, and in English for foreign readers of claims and events.
//
// A code that a catalogue does not know has no sentence: a later version may have
// sent it. The package reaches the standard library only and keeps no state.
package words

import (
	"embed"
	"encoding/json"
	"strings"
)

//go:embed en.json fr.json
var files embed.FS

// Languages lists the catalogues, the one that is used in doubt first.
var Languages = []string{"en", "fr"}

// The readers of a code, and what is said of a way to mend.
const (
	operator = "operator"
	customer = "customer"
	now      = "now"
	reaction = "reaction"
	who      = "who"
)

var catalogues = read()

// read reads the catalogues. The files are part of the program, so a broken one
// is a mistake of ours.
func read() map[string]map[string]map[string]string {
	all := map[string]map[string]map[string]string{}
	for _, lang := range Languages {
		b, err := files.ReadFile(lang + ".json")
		if err != nil {
			panic(err)
		}
		var c map[string]map[string]string
		if err := json.Unmarshal(b, &c); err != nil {
			panic("words: " + lang + ".json: " + err.Error())
		}
		for _, readers := range c {
			for reader, text := range readers {
				readers[reader] = Typeset(lang, text)
			}
		}
		all[lang] = c
	}
	return all
}

// frenchMarks puts a space that no line breaks at before the marks that have one, and the
// apostrophe that print has.
var frenchMarks = strings.NewReplacer("'", "’", " …", "…", " :", "\u00a0:", " ;", "\u00a0;", " !", "\u00a0!", " ?", "\u00a0?", "« ", "«\u00a0", " »", "\u00a0»")

// Typeset gives a text the marks of its language as print has them, whatever the keyboard
// had on which it was written.
func Typeset(lang, text string) string {
	if lang == "fr" {
		return frenchMarks.Replace(text)
	}
	return text
}

// Operator is what a person who looks after the machine reads; "" for a code that
// is not known.
func Operator(lang, code string) string { return catalogues[lang][code][operator] }

// Customer is what the customer reads; "" for a code that is not known.
func Customer(lang, code string) string { return catalogues[lang][code][customer] }

// Now is what a customer reads beside something that can't be had because of this, in
// about three words and without a full stop; "" for a code that is not known.
func Now(lang, code string) string { return catalogues[lang][code][now] }

// Reaction is what a machine does at a fault that is mended in this way.
func Reaction(lang, mend string) string { return catalogues[lang]["mend."+mend][reaction] }

// Who says who ends such a fault, and how.
func Who(lang, mend string) string { return catalogues[lang]["mend."+mend][who] }

// Line is a whole reason for an operator: the code, which the verb faults
// explains, the sentence, and in brackets the figures and what was said. Without
// a code it is what was said.
func Line(lang, code, detail, quote string) string {
	if code == "" {
		return quote
	}
	more := detail
	if quote != "" {
		more = strings.TrimPrefix(detail+": "+quote, ": ")
	}
	line := code
	if s := Operator(lang, code); s != "" {
		colon := ": "
		if lang == "fr" {
			colon = Typeset(lang, " : ")
		}
		line += colon + s
	}
	if more != "" {
		line += " (" + more + ")"
	}
	return line
}

// Codes lists every code that has a sentence in the language.
func Codes(lang string) []string {
	var out []string
	for code := range catalogues[lang] {
		if !strings.HasPrefix(code, "mend.") {
			out = append(out, code)
		}
	}
	return out
}
