package web

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"barista/fleet"
	"barista/fleet/words"
)

// askTime bounds a question to a machine, the controller or the book.
const askTime = 2 * time.Second

// step is a line of the list of steps.
type step struct {
	Name string
	Done bool
}

// orderBody is what the live part of an order's page shows.
type orderBody struct {
	Path     string // of the page, for its buttons
	Mood     string // the picture: "waiting", "cup", "making", "served", "sorry", "unknown"
	Name     string
	Head     string // what is, in a few words
	Text     string // the same in a sentence
	Reason   string // the customer's sentence
	Used     string // whether something was used, for an order that failed
	Queue    int
	Span     string // how long it may still take; empty where nobody can say
	Late     bool   // longer than was said
	Machine  string
	Steps    []step
	N, Of    int
	Step     string
	Percent  int
	Cup      bool // offer "my cup is there"
	CanStop  bool // offer to cancel
	Ended    bool
	What     string // what was ordered
	Say      string // for screen readers, when it changes
	Stale    bool
	Error    string // of a button that was just pressed
	CupLevel int    // top of the coffee in the picture, see view/cup.html
	CupDepth int
}

// orderPage is the live page of one order.
func (w *Web) orderPage(rw http.ResponseWriter, r *http.Request) {
	if id, ok := w.known(rw, r); ok {
		w.showOrder(rw, r, id, http.StatusOK, "")
	}
}

// known reads the order's id out of the address and answers for an address that
// was never given.
func (w *Web) known(rw http.ResponseWriter, r *http.Request) (string, bool) {
	id, ok := w.orderOf(r.PathValue("secret"))
	if !ok {
		w.sorry(rw, r, http.StatusNotFound, "gone.title", "gone.text")
	}
	return id, ok
}

func (w *Web) showOrder(rw http.ResponseWriter, r *http.Request, id string, status int, problem string) {
	p := w.pages[lang(r)]
	s := w.see(r.Context(), id)
	body := w.orderBody(p, s)
	if problem != "" {
		body.Error = p.say(problem)
	}
	v := view{Page: "order", Self: body.Path, Title: body.Head, Body: body}
	if !body.Ended {
		v.Live, v.Refresh = body.Path+"/events", 10
	}
	w.show(rw, r, status, v)
}

// see is the state of an order: from the fold, or for one that the fold has
// forgotten, or not heard of yet, from its records in the book.
func (w *Web) see(ctx context.Context, id string) sight {
	s, there := w.book.look(id)
	if there && !s.Stale {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	records, err := w.Book.History(ctx, id)
	if err != nil || len(records) == 0 {
		return s // an order just taken, whose record is on its way
	}
	o := order{Epoch: s.Epoch, work: s.work}
	for _, e := range records {
		o.apply(e)
	}
	s.order = o
	return s
}

// orderEvents is the live part of an order's page, as it changes.
func (w *Web) orderEvents(rw http.ResponseWriter, r *http.Request) {
	id, ok := w.known(rw, r)
	if !ok {
		return
	}
	w.stream(rw, r, w.drawOrder(w.pages[lang(r)], id))
}

func (w *Web) drawOrder(p *pages, id string) func(context.Context) drawing {
	return func(ctx context.Context) drawing {
		s, there := w.book.look(id)
		if !there {
			s = w.see(ctx, id)
		}
		body := w.orderBody(p, s)
		return drawing{"order-live", body, body.Ended}
	}
}

// orderBody puts an order's state into words.
func (w *Web) orderBody(p *pages, s sight) orderBody {
	b := orderBody{
		Path: w.pathOf(s.ID), Name: s.What.Name, Queue: s.Queue, Machine: capital(s.Machine), N: s.N, Of: s.Of,
		Percent: s.Percent, Ended: s.Phase.Ended(), Stale: s.Stale && !s.Phase.Ended(),
	}
	if s.What.Size != "" {
		b.What = p.say("order.what", p.name("size", string(s.What.Size)), p.name("bean", s.What.Bean),
			p.name("milk", s.What.Milk), p.say("sugar."+string(rune('0'+min(max(s.What.Sugar, 0), fleet.MaxSugar)))))
	}
	w.sayPhase(&b, p, s)
	if s.Phase != fleet.Cancelled && s.Phase != fleet.Expired { // else the text says it
		b.Reason = words.Customer(p.Lang, s.Reason.Code)
	}
	b.Say = cmp.Or(b.Step, b.Head)
	full := b.Percent
	if b.Mood == "served" {
		full = 100
	}
	b.CupLevel, b.CupDepth = cupLevel(full)
	return b
}

// sayPhase adds the picture, the words and the buttons of the order's phase.
func (w *Web) sayPhase(b *orderBody, p *pages, s sight) {
	said := func(mood, key string, args ...any) {
		b.Mood, b.Head, b.Text = mood, p.say("head."+key, args...), p.say("text."+key, args...)
	}
	switch s.Phase {
	case fleet.Accepted, fleet.Again:
		b.CanStop = true
		if s.Again {
			said("waiting", "again")
		} else {
			said("waiting", "taken", cmp.Or(b.Name, p.say("order.you")))
		}
		b.Span, b.Late = w.left(p, s)
	case fleet.Claimed:
		b.CanStop, b.Cup = true, fleet.IsToken(s.Machine)
		said("cup", "cup", b.Machine)
		b.Span, b.Late = w.left(p, s)
	case fleet.Brewing:
		said("making", "brewing", b.Machine)
		b.Span, b.Late = w.left(p, s)
		for i, name := range s.Steps {
			b.Steps = append(b.Steps, step{p.name("step", name), i < len(s.Steps)-1 || s.Percent == 100})
		}
		if s.Step != "" {
			b.Step = p.name("step", s.Step)
		}
	case fleet.Served:
		if b.Machine == "" {
			said("served", "served_somewhere", b.Name)
		} else {
			said("served", "served", b.Name, b.Machine)
		}
	case fleet.Failed:
		said("sorry", "failed")
		switch s.Outcome {
		case fleet.Untouched:
			b.Used = p.say("used.nothing")
		case fleet.Spoiled:
			b.Used = p.say("used.some")
		default:
			b.Used = p.say("used.unknown")
		}
	case fleet.Cancelled:
		said("sorry", "cancelled")
	case fleet.Expired:
		said("sorry", "expired")
	default: // unknown, or what a later version says
		b.Machine = cmp.Or(b.Machine, p.say("order.machine"))
		said("unknown", "unknown", b.Machine)
	}
}

// The coffee in the picture stands between these heights, in its own units.
const cupFloor, cupBrim = 112, 48

func cupLevel(percent int) (y, depth int) {
	depth = (cupFloor - cupBrim) * percent / 100
	return cupFloor - depth, depth
}

// left is how much of the promised wait is left.
func (w *Web) left(p *pages, s sight) (span string, late bool) {
	if len(s.ETA) != 2 || s.Accepted.IsZero() || s.Again {
		return "", false
	}
	// Two hosts' clocks may differ a little, and a span that was just told
	// should not be another one a moment later.
	gone := max(0, w.Wall().Sub(s.Accepted)).Truncate(heartbeat)
	low := time.Duration(s.ETA[0])*time.Second - gone
	high := time.Duration(s.ETA[1])*time.Second - gone
	if high <= 0 {
		return "", true
	}
	return p.span(max(low, 0), high), false
}

// cup passes "my cup is there" on to the machine that waits for it.
func (w *Web) cup(rw http.ResponseWriter, r *http.Request) {
	id, ok := w.known(rw, r)
	if !ok {
		return
	}
	s, _ := w.book.look(id)
	if s.Phase != fleet.Claimed || !fleet.IsToken(s.Machine) {
		// Pressed twice, or the machine saw the cup by itself: the page tells.
		w.toOrder(rw, r, id)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	a, err := w.Command(ctx, s.Machine, fleet.Command{Verb: "cup", Order: id, By: "customer"})
	switch {
	case err != nil:
		w.showOrder(rw, r, id, http.StatusServiceUnavailable, "cup.noanswer")
	case !a.OK:
		w.showOrder(rw, r, id, http.StatusConflict, "cup.refused")
	default:
		w.toOrder(rw, r, id)
	}
}

// cancel ends the order, if nothing was switched on for it yet.
func (w *Web) cancel(rw http.ResponseWriter, r *http.Request) {
	id, ok := w.known(rw, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), orderTime)
	defer cancel()
	if err := w.Shop.Cancel(ctx, id, "customer"); err == nil {
		w.toOrder(rw, r, id)
		return
	}
	// Refused, or lost on its way: the order's own state tells which can be said.
	switch w.see(ctx, id).Phase {
	case fleet.Accepted, fleet.Claimed:
		w.showOrder(rw, r, id, http.StatusServiceUnavailable, "cancel.noanswer")
	default:
		w.showOrder(rw, r, id, http.StatusConflict, "cancel.late")
	}
}

func (w *Web) toOrder(rw http.ResponseWriter, r *http.Request, id string) {
	http.Redirect(rw, r, w.pathOf(id), http.StatusSeeOther)
}
