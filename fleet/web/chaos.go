package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"barista/fleet"
	"barista/fleet/words"
)

// Chaos is what a demo lets its visitors break on purpose. A shop that serves people has
// none, and then there is no such page.
type Chaos interface {
	// Look is everything that can be broken, in the order of the page.
	Look() []Mischief
	// Do breaks one, Undo mends it. fleet.ErrNotFound: there is no such thing to break;
	// fleet.ErrConflict: it is broken already, or another one is still being looked at.
	Do(ctx context.Context, code string) error
	Undo(ctx context.Context, code string) error
	// Follow calls changed whenever Look may say something else, until ctx ends.
	Follow(ctx context.Context, changed func()) error
}

// ChaosState is how something that can be broken stands.
type ChaosState string

// The states.
const (
	ChaosWhole  ChaosState = ""       // nobody has broken it
	ChaosWaits  ChaosState = "waits"  // for the moment to break it
	ChaosBroken ChaosState = "broken" //
	ChaosMended ChaosState = "mended" //
)

// Mischief is one thing that can be broken. Its code, with those of its sights, chooses
// the page's words.
type Mischief struct {
	Code    string
	State   ChaosState
	Machine string // that it was done to; empty: to none yet, or to none alone
	Order   string // which that machine had in hand
	// Refused is why no order could be had for it, as the answer's code.
	Refused string
	// Otherwise: the order came to an end with which not all that should be seen can be.
	Otherwise bool
	Free      bool // it may be broken now
	Mends     bool // it may be mended, or its waiting given up
	Sights    []Sight
}

// Sight is one thing that should be seen, in what the shop says of itself.
type Sight struct {
	Code    string
	Seen    bool
	Machine string // that it tells of, with Seen; empty: of none
}

// chaosPath is the page of what may be broken.
const chaosPath = "/chaos"

// chaosBody is what it shows.
type chaosBody struct {
	Machines []brewer
	Acts     []chaosAct
	Story    *story // of the order that changed last; nil: there is none
	Doubts   bool   // a drink's outcome is to be settled
	Locked   bool   // a machine waits for a person to clear its fault
	Say      string
}

// brewer is the picture of a machine.
type brewer struct {
	ID, Name, Word, Mark string
	Note                 string // why it is not ready
	Who                  string // whose drink it has in hand, and which
	Percent              int
	Pot                  pot
}

type chaosAct struct {
	Code           string
	State          ChaosState
	Word           string // how it stands
	Machine, Order string // the order's page
	Free, Mends    bool
	Sights         []chaosSight
}

type chaosSight struct {
	Text string
	Seen bool
}

// story is what the shop has written and told of one order.
type story struct {
	Who, Path string
	Lines     []storyLine
	Earlier   int // lines before those
}

type storyLine struct{ At, Text, Subject string }

// mostLines bounds a story: the newest are told.
const mostLines = 24

// act is a text about something that can be broken; "" is its name.
func (w catalogue) act(code, part string) string {
	return w.say(strings.TrimSuffix("chaos."+code+"."+part, "."))
}

// chaosRoutes are the addresses of a demo. They are there for this computer alone.
func (w *Web) chaosRoutes() map[string]http.HandlerFunc {
	here := func(h http.HandlerFunc) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if !w.visitorOf(r).here {
				http.NotFound(rw, r)
				return
			}
			h(rw, r)
		}
	}
	return map[string]http.HandlerFunc{
		"GET /chaos":        here(func(rw http.ResponseWriter, r *http.Request) { w.showChaos(rw, r, http.StatusOK, "") }),
		"GET /chaos/events": here(func(rw http.ResponseWriter, r *http.Request) { w.stream(rw, r, w.drawChaos(w.pages[lang(r)])) }),
		"POST /chaos/do":    here(w.mischief(func(ctx context.Context, code string) error { return w.Chaos.Do(ctx, code) })),
		"POST /chaos/undo":  here(w.mischief(func(ctx context.Context, code string) error { return w.Chaos.Undo(ctx, code) })),
	}
}

// mischief is around what its buttons do.
func (w *Web) mischief(do func(context.Context, string) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		f, ok := w.posted(rw, r)
		if !ok {
			return
		}
		code := f.Get("act")
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTime)
		defer cancel()
		switch err := do(ctx, code); {
		case err == nil:
			http.Redirect(rw, r, chaosPath+"#act-"+code, http.StatusSeeOther) // it is one of those that Chaos knows
		case errors.Is(err, fleet.ErrConflict):
			w.showChaos(rw, r, http.StatusConflict, "chaos.busy")
		case errors.Is(err, fleet.ErrNotFound):
			w.showChaos(rw, r, http.StatusNotFound, "chaos.nothing")
		default:
			w.Log.Warn("web: what was to be broken was not", "error", err)
			w.showChaos(rw, r, http.StatusServiceUnavailable, "ops.failed")
		}
	}
}

func (w *Web) showChaos(rw http.ResponseWriter, r *http.Request, status int, wrong string) {
	p := w.pages[lang(r)]
	v := view{Page: "chaos", Self: chaosPath, Title: p.say("chaos.title"), Live: chaosPath + "/events", Refresh: 3, Body: w.chaosBody(r.Context(), p)}
	if wrong != "" {
		v.Note = p.say(wrong)
	}
	w.show(rw, r, status, v)
}

func (w *Web) drawChaos(p *pages) func(context.Context) drawing {
	return func(ctx context.Context) drawing { return drawing{template: "chaos-live", body: w.chaosBody(ctx, p)} }
}

func (w *Web) chaosBody(ctx context.Context, p *pages) chaosBody {
	var b chaosBody
	all, _ := w.machines(ctx)
	_, making, _, _ := w.book.calls()
	inHand := map[string]order{}
	for _, o := range making {
		if o.Phase == fleet.Unknown {
			b.Doubts = true
		} else {
			inHand[o.ID] = o
		}
	}
	for _, m := range all {
		b.Machines = append(b.Machines, p.brewer(m, inHand))
		b.Locked = b.Locked || m.Here && m.State == fleet.StateFault
	}
	for _, m := range w.Chaos.Look() {
		b.Acts = append(b.Acts, w.chaosAct(p, m))
	}
	if id := w.book.latest(); id != "" {
		b.Story = w.story(ctx, p, id)
	}
	for _, a := range b.Acts {
		for _, s := range a.Sights {
			if s.Seen && a.State != ChaosWhole {
				b.Say = s.Text // the last one that was seen
			}
		}
	}
	return b
}

// brewer draws a machine with what it says of itself, and how far its drink is by what
// it has told.
func (p *pages) brewer(m fleet.Machine, inHand map[string]order) brewer {
	b := brewer{ID: m.Machine, Name: capital(m.Machine), Word: p.say("fleet.away"), Mark: "stop"}
	for _, o := range inHand {
		if o.Machine == m.Machine && o.Phase == fleet.Brewing { // the book knows it before the machine's next word comes
			b.Pot, b.Percent, b.Who = inCup(sight{order: o}), o.Percent, o.What.Name
			b.Pot.Of = "-" + m.Machine
		}
	}
	if !m.Here {
		return b
	}
	b.Word, b.Mark = p.name("state", string(m.State)), mark(m.State)
	if m.State != fleet.StateBusy && words.Operator(p.Lang, m.Code) != "" {
		b.Note = words.Line(p.Lang, m.Code, m.Detail, "")
	}
	return b
}

func (w *Web) chaosAct(p *pages, m Mischief) chaosAct {
	a := chaosAct{Code: m.Code, State: m.State, Machine: capital(m.Machine), Free: m.Free, Mends: m.Mends}
	if m.State != ChaosWhole {
		a.Word = p.say("chaos."+string(m.State), a.Machine)
	}
	switch {
	case m.Refused != "":
		a.Word = p.say("chaos.refused")
	case m.Otherwise:
		a.Word = p.say("chaos.otherwise")
	}
	if m.Order != "" {
		a.Order = w.pathOf(m.Order)
	}
	who := a.Machine
	if who == "" {
		who = p.say("chaos.one")
	}
	for _, s := range m.Sights {
		other := p.say("chaos.other")
		if s.Machine != "" {
			other = capital(s.Machine)
		}
		text := p.say("chaos."+m.Code+"."+s.Code, who, other)
		first, n := utf8.DecodeRuneInString(text) // who may stand first
		a.Sights = append(a.Sights, chaosSight{string(unicode.ToUpper(first)) + text[n:], s.Seen})
	}
	return a
}

// latest is the order of which the last was heard; empty where none was.
func (b *book) latest() (id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var at time.Time
	for _, o := range b.now.orders {
		if o.Since.After(at) {
			id, at = o.ID, o.Since
		}
	}
	return id
}

// story tells what was written of an order and told to the world of it: each message
// with its subject, in the order in which they came.
func (w *Web) story(ctx context.Context, p *pages, id string) *story {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	records, err := w.Book.History(ctx, id)
	if err != nil || len(records) == 0 {
		return nil
	}
	first := records[0]
	s := &story{Who: first.Order.Name + p.say("order.colon") + " " + p.what(first.Order), Path: w.pathOf(id)}
	since := func(t time.Time) string { return p.say("chaos.since", t.Sub(first.Written).Seconds()) }
	now, _ := w.book.look(id)
	for _, e := range records {
		for _, ev := range e.Events() {
			s.Lines = append(s.Lines, storyLine{since(e.Written), p.event(ev), fleet.EventSubject(id, ev.Slot())})
		}
		if e.Phase == fleet.Brewing && e.Epoch == now.Epoch && fleet.IsToken(e.Machine()) {
			for i, step := range now.Steps { // heard live, and stored nowhere: when is not known any more
				s.Lines = append(s.Lines, storyLine{"", p.say("chaos.step", capital(e.Machine()), p.name("step", step), i+1), fleet.LiveSubject(e.Machine(), id, string(fleet.EvStep))})
			}
		}
	}
	if n := len(s.Lines) - mostLines; n > 0 {
		s.Lines, s.Earlier = slices.Delete(s.Lines, 0, n), n
	}
	return s
}

// event is what an event says, in the page's language.
func (p *pages) event(e fleet.Event) string {
	kind := string(e.Kind)
	if e.Kind == fleet.EvEnd {
		kind = "end_" + string(e.Outcome)
	}
	machine := capital(e.Machine)
	if machine == "" {
		machine = p.say("order.machine")
	}
	text := p.say("event."+kind, machine)
	why := words.Operator(p.Lang, e.Reason.Code)
	if why == "" || e.Kind == fleet.EvAccepted {
		return text
	}
	return fmt.Sprintf("%s (%s)", strings.TrimSuffix(text, "."), strings.TrimSuffix(why, "."))
}

// followChaos has the pages drawn anew when what was broken shows.
func (w *Web) followChaos(ctx context.Context) error {
	return w.Chaos.Follow(ctx, func() {
		w.roll.forget()
		w.book.mu.Lock()
		defer w.book.mu.Unlock()
		w.book.tell()
	})
}
