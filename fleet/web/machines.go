package web

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"barista/fleet"
	"barista/fleet/words"
)

// machine is one line of the operators' list.
type machine struct {
	Name    string
	Word    string // the state in the page's language
	Mark    string // its picture: "ok", "busy", "wait", "stop"
	Note    string // why it is not ready: the operator's sentence
	Quote   string // an earlier version's own words, in English, where there is no sentence
	Percent int
	Makes   string
	Sizes   string
	Lacks   string
	Drinks  int
	Cup     string
	Spare   int
	Driver  string
	Version string
}

// fleetBody is the operators' list: machines, no customers, no buttons.
type fleetBody struct {
	Machines []machine
	Unknown  bool   // the presence could not be read
	Book     string // what is wrong with the shop's book, in the page's language
	Detail   string // in English, with Book
	Say      string
}

// roll is the list of machines, asked at most once a second however many pages
// look.
type roll struct {
	mu   sync.Mutex
	at   time.Time
	list []fleet.Machine
	err  error
}

const rollAge = time.Second

func (w *Web) machines(ctx context.Context) ([]fleet.Machine, error) {
	l := &w.roll
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || time.Since(l.at) >= rollAge {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		l.list, l.err = w.Machines(ctx)
		l.at = time.Now()
	}
	return l.list, l.err
}

func (w *Web) fleetBody(ctx context.Context, p *pages) fleetBody {
	all, err := w.machines(ctx)
	b := fleetBody{Unknown: err != nil}
	switch s := w.standing(ctx); s.State {
	case fleet.StandClosed:
		b.Book, b.Detail = p.say("fleet.book.closed"), s.Why
	case fleet.StandRollCall:
		b.Book, b.Detail = p.say("fleet.book.roll_call"), s.Why
	}
	for _, m := range all {
		if !m.Here {
			continue
		}
		line := machine{
			Name: capital(m.Machine), Word: p.name("state", string(m.State)), Mark: mark(m.State),
			Percent: m.Percent, Makes: classes(p, m.Classes), Sizes: names(p, "size", m.Sizes),
			Lacks: names(p, "out", m.Lacks), Drinks: m.Drinks, Cup: p.name("cupkind", m.Cup),
			Spare: m.MinWaiting, Driver: m.Driver, Version: m.Version,
		}
		switch {
		case m.State == fleet.StateBusy: // the bar says it
		case words.Operator(p.Lang, m.Code) != "":
			line.Note = words.Line(p.Lang, m.Code, m.Detail, "")
		default:
			line.Quote = m.Note
		}
		b.Machines = append(b.Machines, line)
	}
	return b
}

// names lists words of a kind in the page's language.
func names[T ~string](p *pages, kind string, list []T) string {
	out := make([]string, len(list))
	for i, word := range list {
		out[i] = p.name(kind, string(word))
	}
	return strings.Join(out, ", ")
}

func mark(s fleet.State) string {
	switch s {
	case fleet.StateReady:
		return "ok"
	case fleet.StateBusy:
		return "busy"
	case fleet.StateStarting, fleet.StateWaiting, fleet.StateDraining, fleet.StateUnsynced:
		return "wait"
	}
	return "stop"
}

// classes lists what a machine makes, bean by bean.
func classes(p *pages, cs []fleet.Class) string {
	var beans []string
	milks := map[string][]string{}
	for _, c := range cs {
		if milks[c.Bean] == nil {
			beans = append(beans, c.Bean)
		}
		milks[c.Bean] = append(milks[c.Bean], p.name("milk", c.Milk))
	}
	for i, b := range beans {
		beans[i] = p.name("bean", b) + " (" + strings.Join(milks[b], ", ") + ")"
	}
	return strings.Join(beans, "; ")
}

// fleetPage is the operators' read-only list of machines.
func (w *Web) fleetPage(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	w.show(rw, r, http.StatusOK, view{Page: "fleet", Self: "/fleet", Title: p.say("fleet.title"), Live: "/fleet/events", Refresh: 10,
		Body: w.fleetBody(r.Context(), p)})
}

func (w *Web) fleetEvents(rw http.ResponseWriter, r *http.Request) {
	w.stream(rw, r, w.drawFleet(w.pages[lang(r)]))
}

func (w *Web) drawFleet(p *pages) func(context.Context) drawing {
	return func(ctx context.Context) drawing { return drawing{template: "fleet-live", body: w.fleetBody(ctx, p)} }
}
