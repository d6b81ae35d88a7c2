package web

import (
	"context"
	"net/http"
	"strings"

	"barista/fleet"
)

// Most names that the board has room for.
const (
	maxCalled = 12
	maxMaking = 24
)

// call is a name on the board.
type call struct {
	Name    string
	Machine string
	Cup     bool // the machine waits for this customer's cup
	Percent int
}

// boardBody is what the board shows. It holds first names and machines, nothing
// by which an order's page could be found.
type boardBody struct {
	Called, Making []call
	Say            string
	Stale          bool
}

func (w *Web) boardBody(p *pages) boardBody {
	called, making, stale := w.book.calls()
	b := boardBody{Stale: stale}
	for _, o := range called[:min(len(called), maxCalled)] {
		b.Called = append(b.Called, call{Name: firstName(o.What.Name), Machine: capital(o.Machine)})
	}
	for _, o := range making[:min(len(making), maxMaking)] {
		b.Making = append(b.Making, call{firstName(o.What.Name), capital(o.Machine), o.Phase == fleet.Claimed, o.Percent})
	}
	if len(b.Called) > 0 {
		b.Say = p.say("board.say", b.Called[0].Name)
	}
	return b
}

// firstName is the name as it was typed, up to the first space.
func firstName(name string) string {
	if f := strings.Fields(name); len(f) > 0 {
		return f[0]
	}
	return name
}

// boardPage shows the names being called and those whose drink is being made.
func (w *Web) boardPage(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	address := w.customers(r)
	w.show(rw, r, http.StatusOK, view{Page: "board", Self: "/board", Title: p.say("board.title"), Live: "/board/events", Refresh: 10,
		Code: newCode(address, address), Body: w.boardBody(p)})
}

func (w *Web) boardEvents(rw http.ResponseWriter, r *http.Request) {
	w.stream(rw, r, w.drawBoard(w.pages[lang(r)]))
}

func (w *Web) drawBoard(p *pages) func(context.Context) drawing {
	return func(context.Context) drawing { return drawing{template: "board-live", body: w.boardBody(p)} }
}
