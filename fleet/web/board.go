package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"barista/fleet"
)

// mostShown bounds a column of the board; of those beyond it, it says how many there are.
const mostShown = 60

// call is a name on the board.
type call struct {
	Name    string
	Number  int
	Drink   string
	Machine string
	Note    string // what its customer should do
	Percent int
	Say     string // spoken when the drink is ready
}

// column is the orders that are at one station, and how many more there are than it shows.
type column struct {
	Calls []call
	More  int
	Count int
}

// boardBody is what the board shows. It holds first names, drinks and machines, nothing
// by which an order's page could be found.
type boardBody struct {
	Waiting, Making, Called column
	Say                     string
	Stale                   bool
}

func (w *Web) boardBody(ctx context.Context, p *pages) boardBody {
	waiting, making, called, stale := w.book.calls()
	waiting, making = drinks(waiting), drinks(making)
	b := boardBody{Waiting: p.column(waiting), Making: p.column(making), Called: p.column(called), Stale: stale}
	for i := range b.Making.Calls {
		if o := making[i]; o.Phase == fleet.Claimed && caredFor(w.cupKind(ctx, o.Machine, o.Phase)) {
			b.Making.Calls[i].Note = "" // of its customer it wants none
		}
	}
	if len(called) > 0 {
		b.Say = b.Called.Calls[0].Say
	}
	return b
}

// drinks leaves out the care of machines: it calls nobody.
func drinks(orders []order) []order {
	return slices.DeleteFunc(orders, func(o order) bool { return o.What.IsCare() })
}

func (p *pages) column(orders []order) column {
	c := column{Count: len(orders), More: max(0, len(orders)-mostShown)}
	for _, o := range orders[:len(orders)-c.More] {
		one := call{Name: firstName(o.What.Name), Number: o.number(), Drink: p.drink(o.What), Machine: capital(o.Machine), Percent: o.Percent}
		switch o.Phase {
		case fleet.Claimed:
			one.Note = p.say("board.cup")
		case fleet.Unknown:
			one.Note = p.say("board.unknown")
		case fleet.Served:
			one.Say = p.say("board.say", one.Name)
		}
		c.Calls = append(c.Calls, one)
	}
	return c
}

// drink is what was ordered, in as few words as tell two cups apart.
func (p *pages) drink(o fleet.Order) string {
	if o.Size == "" {
		return ""
	}
	words := []string{p.name("size", string(o.Size)), p.name("bean", o.Bean)}
	if o.Milk != fleet.NoMilk {
		words = append(words, p.name("milk", o.Milk))
	}
	return strings.Join(words, " · ")
}

// more is what the board says of those whom a column has no room for. A script puts its
// own number in the place of #.
func (p *pages) more(n int) string {
	if n == 0 {
		return p.say("board.more", "#")
	}
	return p.say("board.more", strconv.Itoa(n))
}

// firstName is the name as it was typed, up to the first space after a letter: a name
// that begins with a picture goes on.
func firstName(name string) string {
	var first []string
	for _, f := range strings.Fields(name) {
		first = append(first, f)
		if strings.ContainsFunc(f, unicode.IsLetter) {
			break
		}
	}
	return strings.Join(first, " ")
}

// boardPage shows who waits, whose drink is being made, and who is called. With ?kiosk it
// is for a screen on the wall: nothing leads away from it.
func (w *Web) boardPage(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	address := w.customers(r)
	w.show(rw, r, http.StatusOK, view{Page: "board", Self: "/board", Title: p.say("board.title"), Live: "/board/events", Refresh: 10,
		Kiosk: r.URL.Query().Has("kiosk"), Code: newCode(address, address), Body: w.boardBody(r.Context(), p)})
}

func (w *Web) boardEvents(rw http.ResponseWriter, r *http.Request) {
	w.stream(rw, r, w.drawBoard(w.pages[lang(r)]))
}

func (w *Web) drawBoard(p *pages) func(context.Context) drawing {
	return func(ctx context.Context) drawing { return drawing{template: "board-live", body: w.boardBody(ctx, p)} }
}
