package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"barista/fleet"
	"barista/fleet/words"
)

// machine is one tile of the operators' page.
type machine struct {
	ID      string // as in its file
	Name    string
	Word    string // the state in the page's language
	Mark    string // its picture: "ok", "busy", "wait", "stop"
	Note    string // why it is not ready: the operator's sentence
	Quote   string // an earlier version's own words, in English, where there is no sentence
	Percent int
	Makes   string
	Sizes   string
	Gauges  []gauge
	Lacks   []string // what else it reports: open, broken, too low, in the page's language
	Drinks  int
	Cup     string
	Spare   int
	Driver  string
	Version string
	Order   string // in hand
	Who     string // whose that is, and what
	Away    string // since when, where it is not here
	Out     *out   // who took it out of service
	Drains  bool   // to be opened
	Fault   bool   // a person must clear it
	Curves  bool   // it may be asked for those of its last drinks
	Thing   hardware
	For     string    // how long its state lasts
	Lately  string    // its last fault, which is over, and when it came
	Did     string    // what a person did last at the machine itself, and when
	DidBy   string    // and why
	Asked   bool      // it waits until a person has done his part of its care
	Care    []cared   // the kinds that it knows
	CareDue bool      // of one of them
	Only    string    // beans of which it is the last that makes something
	Parts   []tryable // that may be tried now
}

// out is a cordon, as people read it.
type out struct {
	By, Reason, Ago string
	New             bool // it is other hardware than before, which nobody has checked
}

// fleetBody is the operators' page of the machines and what is to be done.
type fleetBody struct {
	May      bool     // who looks may act
	Alarms   []remark // what is wrong in the shop
	Short    []scarce // what runs short in its stock
	Doubts   []doubt
	Waiting  []waiting
	More     int // waiting, beyond those
	Machines []machine
	None     bool   // no machine is here
	Unknown  bool   // the presence could not be read
	Book     string // what is wrong with the shop's book, in the page's language
	Detail   string // in English, with Book
	Say      string
}

// doubt is an order of which nobody knows what came of it.
type doubt struct {
	ID, Name, What, Machine, Ago string
	Note, Quote                  string // why, to operators
}

// waiting is an order that no machine has begun.
type waiting struct {
	Number          int
	Name, What, Ago string
}

// mostWaiting is how many orders of the queue the page lists.
const mostWaiting = 8

// roll is the list of machines, asked at most once a second however many pages
// look.
type roll struct {
	mu     sync.Mutex
	at     time.Time
	list   []fleet.Machine
	err    error
	lately atomic.Pointer[[]fleet.Machine] // the last list, for who does not wait
	states map[string]stands               // by machine
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
		l.heed()
		l.at = time.Now()
	}
	return l.list, l.err
}

// forget has the next page ask anew.
func (l *roll) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Time{}
}

func (w *Web) fleetBody(ctx context.Context, p *pages, may bool) fleetBody {
	all, err := w.machines(ctx)
	here := func(m fleet.Machine) bool { return m.Here }
	b := fleetBody{Unknown: err != nil, None: !slices.ContainsFunc(all, here), May: may && w.Acts != nil, Short: w.short(ctx, p)}
	switch s := w.standing(ctx); s.State {
	case fleet.StandClosed:
		b.Book, b.Detail = p.say("fleet.book.closed"), s.Why
	case fleet.StandRollCall:
		b.Book, b.Detail = p.say("fleet.book.roll_call"), s.Why
	}
	if w.Troubles != nil {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		troubles, err := w.Troubles(ctx)
		if err != nil {
			b.Alarms = append(b.Alarms, remark{Text: p.say("fleet.silent")})
		}
		for _, t := range troubles {
			one := remark{Text: words.Operator(p.Lang, t.Code), Quote: t.Detail}
			if one.Text == "" {
				one.Quote = t.Text
			}
			b.Alarms = append(b.Alarms, one)
		}
	}
	queue, making, _, _ := w.book.calls()
	byID := map[string]*order{}
	for i, o := range making {
		byID[o.ID] = &making[i]
		if o.Phase == fleet.Unknown {
			b.Doubts = append(b.Doubts, w.doubt(p, o))
		}
	}
	for i, o := range queue {
		if i == mostWaiting {
			b.More = len(queue) - i
			break
		}
		b.Waiting = append(b.Waiting, waiting{o.number(), o.What.Name, p.what(o.What), p.ago(w.Wall().Sub(o.Accepted))})
	}
	o := w.counter.offer(ctx)
	list := make([]*fleet.Machine, len(all))
	for i := range all {
		list[i] = &all[i]
	}
	for _, m := range all {
		hand := byID[m.Order]
		if !m.Here { // it says nothing, and the book knows what it had begun
			if i := slices.IndexFunc(making, func(o order) bool { return o.Machine == m.Machine && o.Phase != fleet.Unknown }); i >= 0 {
				hand = &making[i]
			}
		}
		one := w.tile(p, m, hand, o)
		one.Thing = w.hardware(p, m)
		one.careOf(p, m, list, byID[m.Order])
		b.Machines = append(b.Machines, one)
	}
	return b
}

func (w *Web) doubt(p *pages, o order) doubt {
	d := doubt{ID: o.ID, Name: o.What.Name, What: p.what(o.What), Machine: capital(o.Machine), Ago: p.ago(w.Wall().Sub(o.Since))}
	if d.Note = words.Operator(p.Lang, o.Reason.Code); d.Note == "" {
		d.Quote = o.Reason.Text
	}
	return d
}

// tile is a machine with what it has in hand, if that is known.
func (w *Web) tile(p *pages, m fleet.Machine, hand *order, o *offer) machine {
	t := machine{ID: m.Machine, Name: capital(m.Machine)}
	if c := m.Cordon; c != nil {
		t.Out, t.Drains = &out{By: c.By, Reason: c.Reason, New: c.Replaced}, c.Drain
		if at, err := time.Parse(time.RFC3339, c.At); err == nil {
			t.Out.Ago = p.ago(w.Wall().Sub(at))
		}
	}
	if hand != nil {
		t.Who = hand.What.Name + p.say("order.colon") + " " + p.what(hand.What)
	}
	if !m.Here {
		t.Word, t.Mark = p.say("fleet.away"), "stop"
		if !m.Seen.IsZero() {
			t.Away = p.ago(w.Wall().Sub(m.Seen))
		}
		return t
	}
	t.For = p.lasts(w.roll.lasts(m))
	p.lately(&t, m, w.Wall())
	t.Word, t.Mark, t.Percent = p.name("state", string(m.State)), mark(m.State), m.Percent
	if m.Parked() {
		t.Word = p.say("fleet.parked")
	}
	t.Makes, t.Sizes, t.Lacks = classes(p, m.Classes), strings.Join(named(p, "size", m.Sizes), ", "), named(p, "out", others(m))
	t.Gauges = p.gauges(m, o)
	t.Drinks, t.Cup, t.Spare, t.Driver, t.Version = m.Drinks, p.name("cupkind", m.Cup), m.MinWaiting, m.Driver, m.Version
	t.Order, t.Fault, t.Curves = m.Order, m.State == fleet.StateFault, w.Acts != nil
	switch {
	case m.State == fleet.StateBusy: // the bar says it
	case words.Operator(p.Lang, m.Code) != "":
		t.Note = words.Line(p.Lang, m.Code, m.Detail, "")
	case t.Out == nil:
		t.Quote = m.Note
	}
	return t
}

// named lists words of a kind in the page's language.
func named[T ~string](p *pages, kind string, list []T) []string {
	out := make([]string, len(list))
	for i, word := range list {
		out[i] = p.name(kind, string(word))
	}
	return out
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

// fleetPage is where operators see the machines, and act.
func (w *Web) fleetPage(rw http.ResponseWriter, r *http.Request) {
	p, q := w.pages[lang(r)], r.URL.Query()
	done, _ := p.known("done", q.Get("done"))
	if q.Get("done") == "tried" {
		done = cmp.Or(p.triedIn(q), done)
	}
	w.showFleet(rw, r, http.StatusOK, done, remark{})
}

func (w *Web) showFleet(rw http.ResponseWriter, r *http.Request, status int, done string, trouble remark) {
	p := w.pages[lang(r)]
	_, may := w.actor(r)
	w.show(rw, r, status, view{Page: "fleet", Self: operatorsPath, Title: p.say("fleet.title"), Live: "/fleet/events", Refresh: 10,
		Done: done, Note: trouble.Text, Quote: trouble.Quote, Body: w.fleetBody(r.Context(), p, may)})
}

func (w *Web) fleetEvents(rw http.ResponseWriter, r *http.Request) {
	_, may := w.actor(r)
	w.stream(rw, r, w.drawFleet(w.pages[lang(r)], may))
}

func (w *Web) drawFleet(p *pages, may bool) func(context.Context) drawing {
	return func(ctx context.Context) drawing {
		return drawing{template: "fleet-live", body: w.fleetBody(ctx, p, may)}
	}
}
