package web

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"barista/fleet"
	"barista/fleet/words"
	metal "barista/machine"
)

// marked is what a page says in another language than its own, and says so.
var marked = regexp.MustCompile(`(?s)<(\w+)[^>]* lang="en"[^>]*>.*?</`)

// noEnglish fails if a French page says one of our English texts.
func noEnglish(t *testing.T, page string) {
	t.Helper()
	page = html.UnescapeString(marked.ReplaceAllString(page, ""))
	fr := readWords("fr")
	for key, text := range readWords("en").text {
		if len(text) > 12 && !strings.Contains(text, "%") && text != fr.text[key] && strings.Contains(page, text) {
			t.Errorf("a French page says %q", text)
		}
	}
	for _, code := range words.Codes("en") {
		for _, text := range []string{words.Operator("en", code), words.Customer("en", code)} {
			if strings.Contains(page, text) {
				t.Errorf("a French page says %q", text)
			}
		}
	}
}

// told is a reason as a machine sends it: figures, a driver's words, and the whole
// in English for foreign readers.
func told(code string) fleet.Reason {
	r := fleet.Reason{Code: code, Detail: "0.1 g", Quote: "the wire said nothing"}
	r.Text = words.Line("en", r.Code, r.Detail, r.Quote)
	return r
}

// The customer of an order that failed reads the customer's sentence in his
// language, whatever the cause, and nothing of what the operator is told.
func TestCustomerReadsHisSentence(t *testing.T) {
	h := open(t)
	for _, code := range words.Codes("fr") {
		id, path := h.order("Ada")
		h.write(id, brewing("zoe"), failed("zoe", fleet.Spoiled, told(code)))
		for _, lang := range words.Languages {
			res := h.ask("GET", path, "", header("Accept-Language", lang))
			status(t, res, http.StatusOK)
			page := text(t, res)
			plain := html.UnescapeString(page)
			contains(t, plain, words.Customer(lang, code), readWords(lang).say("order.reason"))
			lacks(t, plain, "0.1 g", "the wire said nothing")
			if op := words.Operator(lang, code); op != words.Customer(lang, code) {
				lacks(t, plain, op)
			}
			if lang == "fr" {
				noEnglish(t, page)
			}
		}
	}
}

// An operator reads the operator's sentence and the figures in his language.
func TestOperatorReadsHisSentence(t *testing.T) {
	h := open(t)
	for _, f := range metal.Faults {
		r := told(string(f.Cause))
		zoe := fleet.Presence{Machine: "zoe", State: fleet.StateFault, Code: r.Code, Detail: r.Detail, Quote: r.Quote, Note: r.Text,
			Classes: []fleet.Class{{Bean: "arabica", Milk: "soja"}}, Sizes: fleet.Sizes, Cup: "page", Driver: "mock", Version: "1"}
		if f.Lacks != "" {
			zoe.Lacks = []string{f.Lacks}
		}
		h.crew.present = []fleet.Presence{zoe}
		for _, lang := range words.Languages {
			h.web.roll = roll{} // what was asked a moment ago is old
			page := text(t, h.ask("GET", "/fleet", "", header("Accept-Language", lang)))
			contains(t, html.UnescapeString(page), words.Line(lang, r.Code, r.Detail, ""), readWords(lang).text["state.fault"])
			if lang == "fr" {
				noEnglish(t, page)
			}
		}
	}
}

// What was stored before there were codes is still told: by the state, and to an
// operator in the words it came with, marked as English. A customer is not shown
// what was written for an operator.
func TestRecordsWithoutACode(t *testing.T) {
	h := open(t)
	const old = "no-grind: The grinder turns and nothing comes: jammed, or the hopper is empty. Three times in a row."
	id, path := h.order("Ada")
	h.write(id, brewing("zoe"), failed("zoe", fleet.Spoiled, fleet.Reason{Text: old}))
	page := text(t, h.ask("GET", path, "", header("Accept-Language", "fr")))
	contains(t, html.UnescapeString(page), "n'a pas pu être préparé")
	lacks(t, page, "grinder")
	noEnglish(t, page)
	h.crew.present = []fleet.Presence{{Machine: "zoe", State: fleet.StateFault, Note: old}}
	page = text(t, h.ask("GET", "/fleet", "", header("Accept-Language", "fr")))
	contains(t, html.UnescapeString(page), "En panne", `<p class="detail" lang="en">`+old+`</p>`)
}
