package web

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"barista/fleet"
)

// breaker is something to be broken.
type breaker struct {
	mu   sync.Mutex
	list []Mischief
	did  []string
	err  error
	told chan struct{}
}

func (b *breaker) Look() []Mischief {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.list
}

func (b *breaker) act(what string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.did = append(b.did, what)
	return nil
}

func (b *breaker) Do(_ context.Context, code string) error   { return b.act("do " + code) }
func (b *breaker) Undo(_ context.Context, code string) error { return b.act("undo " + code) }

func (b *breaker) Follow(ctx context.Context, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.told:
			changed()
		}
	}
}

// breakable is a house in which something may be broken.
func breakable(t *testing.T) (*house, *breaker) {
	h := build(t)
	b := &breaker{told: make(chan struct{}), list: []Mischief{
		{Code: "jam", Free: true, Sights: []Sight{{Code: "hit"}, {Code: "parked"}, {Code: "other"}, {Code: "back"}}},
		{Code: "kill", State: ChaosBroken, Machine: "zoe", Mends: true, Sights: []Sight{{Code: "reborn", Seen: true}, {Code: "doubt"}, {Code: "ready"}}},
	}}
	p := h.web.Parts
	p.Chaos = b
	h.web = New(p)
	return h.run(), b
}

// A shop that serves people has no page where it can be broken, and nothing that leads
// there; and that of a demo is there for its own computer alone.
func TestNothingIsToBeBrokenInAShop(t *testing.T) {
	h := open(t)
	for _, what := range []string{"GET /chaos", "GET /chaos/events", "POST /chaos/do", "POST /chaos/undo"} {
		method, path, _ := strings.Cut(what, " ")
		body := ""
		if method == "POST" {
			body = "act=jam"
		}
		status(t, h.ask(method, path, body), http.StatusNotFound)
	}
	if strings.Contains(text(t, h.ask("GET", "/fleet", "")), "/chaos") {
		t.Error("a shop's page leads to what may be broken")
	}
	demo, b := breakable(t)
	far := func(r *http.Request) { r.RemoteAddr = "192.0.2.7:4711" }
	status(t, demo.ask("GET", "/chaos", ""), http.StatusOK)
	status(t, demo.ask("GET", "/chaos", "", far), http.StatusNotFound)
	status(t, demo.ask("POST", "/chaos/do", "act=jam", far), http.StatusNotFound)
	status(t, demo.ask("POST", "/chaos/do", "act=jam", header("X-Forwarded-For", "192.0.2.7")), http.StatusNotFound)
	status(t, demo.ask("POST", "/chaos/do", "act=jam", header("Sec-Fetch-Site", "cross-site")), http.StatusForbidden)
	if len(b.did) > 0 {
		t.Errorf("from afar was done: %q", b.did)
	}
	for path, want := range map[string]bool{"/": true, "/fleet": true} {
		if got := strings.Contains(text(t, demo.ask("GET", path, "")), `href="/chaos"`); got != want {
			t.Errorf("%s leads to it: %v", path, got)
		}
		if strings.Contains(text(t, demo.ask("GET", path, "", far)), `href="/chaos"`) {
			t.Errorf("%s leads others to it", path)
		}
	}
}

func TestBreakingByForm(t *testing.T) {
	h, b := breakable(t)
	res := h.ask("POST", "/chaos/do", "act=jam")
	status(t, res, http.StatusSeeOther)
	if at := res.Header.Get("Location"); at != "/chaos#act-jam" {
		t.Errorf("it leads to %s", at)
	}
	status(t, h.ask("POST", "/chaos/undo", "act=kill"), http.StatusSeeOther)
	if got := strings.Join(b.did, ", "); got != "do jam, undo kill" {
		t.Errorf("done was %s", got)
	}
	b.err = fleet.ErrConflict
	res = h.ask("POST", "/chaos/do", "act=jam")
	status(t, res, http.StatusConflict)
	contains(t, text(t, res), "One thing after the other")
	b.err = fleet.ErrNotFound
	res = h.ask("POST", "/chaos/do", "act=%3Cscript%3E")
	status(t, res, http.StatusNotFound)
	page := text(t, res)
	contains(t, page, "There is no such thing to break.")
	if strings.Contains(page, "<script>") {
		t.Error("the form's text stands in the page")
	}
}

func TestWhatMayBeBroken(t *testing.T) {
	h, b := breakable(t)
	h.crew.present = []fleet.Presence{{Machine: "zoe", State: fleet.StateBusy}, {Machine: "leo", State: fleet.StateFault, Code: "no-grind"}}
	page := text(t, h.ask("GET", "/chaos", ""))
	contains(t, page, `id="do-jam"`, `id="undo-kill"`, "Jam a grinder", "Zoe is here again, as another process. <span", `<li class="seen">Zoe is here`, `<li class="open">`,
		"Nobody has ordered anything yet.", "The grinder turns and nothing comes", `<li class="open">The machine notices`, `id="locked"`)
	b.mu.Lock()
	b.list[0].Free, b.list[0].Refused = false, fleet.CodeOutOfStock
	b.list[1].Otherwise, b.list[1].Sights[1] = true, Sight{"doubt", true, "leo"}
	b.mu.Unlock()
	page = text(t, h.ask("GET", "/chaos", "", header("Accept-Language", "fr")))
	contains(t, page, `id="do-jam" disabled`, "Bloquer un moulin", "il en est allé autrement", "Le café n’a pas pris de commande")

	// What just happened, with a name that is no name.
	c := ada(idB)
	c.Order.Name = `<b onclick="x">`
	h.records.put(c, h.web.Wall())
	h.step(idB, brewing("zoe"))
	h.live(fleet.Event{Order: idB, Kind: fleet.EvStep, Epoch: 1, N: 1, Of: 3, Step: "grind", Machine: "zoe", Percent: 10, Stages: []fleet.Stage{{Step: "grind"}, {Step: "pour", From: 40}}})
	h.until(func() bool { s, _ := h.web.book.look(idB); return s.N == 1 })
	page = text(t, h.ask("GET", "/chaos", ""))
	contains(t, page, "&lt;b onclick", "coffee.events."+idB+".accepted", "coffee.events."+idB+".brewing-1", "coffee.live.zoe."+idB+".step", "Zoe: Grinding (step 1).",
		`class="card brewer mark-busy do-grind"`)
	if strings.Contains(page, "<b onclick") || len(page) > 60_000 {
		t.Errorf("a name became an element, or it has %d bytes", len(page))
	}
	h.step(idB, served("zoe"))
	h.until(func() bool { s, _ := h.web.book.look(idB); return s.Phase == fleet.Served })
	contains(t, text(t, h.ask("GET", "/chaos", "")), "Served by Zoe.", "coffee.events."+idB+".served")

	// A live page hears of what was broken, though the book has nothing new.
	news := h.web.book.changed()
	b.told <- struct{}{}
	<-news
}
