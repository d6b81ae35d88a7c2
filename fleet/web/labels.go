package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"barista/fleet"
)

// labelsPath is the page of the codes to be stuck on hoppers and cans.
const labelsPath = "/qr/stock"

// mostLabels are on one page: a sheet of paper takes no more, and a page no more than 60 kB.
const mostLabels = 12

// labelsBody is that page: a code for each item, which leads to its refill.
type labelsBody struct {
	Labels []label
	At, Of int    // this page of how many
	Before string // address of the page before this one; empty: there is none
	Next   string
	Note   string // why a phone that reads one may not be let in; empty: it may
}

type label struct {
	Name string
	Code *code
}

// refillPath is where an item's code leads. An id is a token, so it stands there as it is.
func refillPath(id string) string { return stockPath + "?item=" + id }

// labelsPage is a page to print. Its codes hold no secret: who reads one must be an
// operator, and is asked to log in.
func (w *Web) labelsPage(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	var b labelsBody
	if address := w.customers(r); address != "" {
		o := w.counter.offer(r.Context())
		if o.levels == nil { // the menu's will do
			w.Log.Warn("web: the codes are of the menu alone: the stock does not answer")
		}
		items := slices.DeleteFunc(stockItems(o.menu, o.levels), func(id string) bool { return !fleet.IsToken(id) })
		b.turn(len(items), r.URL.Query().Get("page"))
		for _, id := range items[min((b.At-1)*mostLabels, len(items)):min(b.At*mostLabels, len(items))] {
			if c := newCode(address+refillPath(id), ""); c != nil {
				c.Show = strings.TrimPrefix(strings.TrimPrefix(c.Address, "https://"), "http://")
				b.Labels = append(b.Labels, label{p.item(o.menu, id), c})
			}
		}
		switch {
		case w.Logins == nil:
			b.Note = p.say("labels.nologin")
		case !strings.HasPrefix(address, "https://"):
			b.Note = p.say("labels.plain")
		}
	}
	w.show(rw, r, http.StatusOK, view{Page: "labels", Self: labelsPath, With: b.with(), Title: p.say("labels.title"), Body: b})
}

// turn finds the page that was asked for among those of so many labels; the first for a
// page that there is not.
func (b *labelsBody) turn(labels int, page string) {
	b.Of = max((labels+mostLabels-1)/mostLabels, 1)
	if at, err := strconv.Atoi(page); err == nil && at >= 1 && at <= b.Of {
		b.At = at
	} else {
		b.At = 1
	}
	if b.At > 1 {
		b.Before = labelsPath + "?page=" + strconv.Itoa(b.At-1)
	}
	if b.At < b.Of {
		b.Next = labelsPath + "?page=" + strconv.Itoa(b.At+1)
	}
}

// with is what the address of another language's page keeps.
func (b *labelsBody) with() []field {
	if b.At <= 1 {
		return nil
	}
	return []field{{"page", strconv.Itoa(b.At)}}
}

// suggestions are the bags and cartons that are booked by one button, in an item's own
// unit. What they are called is a matter of the page's words.
var suggestions = map[string][]int{"g": {250, 500, 1000}, "ml": {500, 1000, 2000}, "doses": {50, 100, 200}}

// suggestion is one of them: Value as typedAmount reads it.
type suggestion struct{ Value, Text string }

func (p *pages) suggest(unit string) (out []suggestion) {
	for _, n := range suggestions[unit] {
		out = append(out, suggestion{strconv.Itoa(n) + " " + unit, p.say("refill."+unit, p.amount(n, unit))})
	}
	return out
}
