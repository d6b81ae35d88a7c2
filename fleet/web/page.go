package web

import (
	"context"
	"net/http"
	"time"

	"barista/fleet"
)

// askTime bounds a question to a machine, the controller or the book.
const askTime = 2 * time.Second

// byCustomer is who presses the buttons of an order's page, as records name him.
const byCustomer = "customer"

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
	body := w.orderBody(r.Context(), p, s)
	if problem != "" {
		body.Error = p.say(problem)
	}
	v := view{Page: "order", Self: body.Path, Title: body.Head, Body: body}
	if !body.Over {
		v.Live, v.Refresh, v.Code = body.Path+"/events", 10, w.along(r, body.Path)
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
	o := order{Epoch: s.Epoch, work: s.work, Taken: s.Taken}
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
		body := w.orderBody(ctx, p, s)
		return drawing{"order-live", body, body.Over}
	}
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
	a, err := w.Command(ctx, s.Machine, fleet.Command{Verb: fleet.CommandCup, Order: id, By: byCustomer})
	w.answered(rw, r, id, a, err, "cup.noanswer", "cup.refused")
}

// answered shows the order after a machine was asked something for its customer: as it
// is then, or with the key of why that was not done.
func (w *Web) answered(rw http.ResponseWriter, r *http.Request, id string, a fleet.CommandAnswer, err error, silent, refused string) {
	switch {
	case err != nil:
		w.showOrder(rw, r, id, http.StatusServiceUnavailable, silent)
	case !a.OK:
		w.showOrder(rw, r, id, http.StatusConflict, refused)
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
	if err := w.Shop.Cancel(ctx, id, byCustomer); err == nil {
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

// enough stops a drink that is being made, for good: it is not made again. What became
// of it the machine says, and the page tells that.
func (w *Web) enough(rw http.ResponseWriter, r *http.Request) {
	id, ok := w.known(rw, r)
	if !ok {
		return
	}
	s := w.see(r.Context(), id)
	if s.Phase != fleet.Brewing || !fleet.IsToken(s.Machine) {
		w.toOrder(rw, r, id)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), askTime)
	defer cancel()
	a, err := w.Command(ctx, s.Machine, fleet.Command{Verb: fleet.CommandEnough, Order: id, By: byCustomer})
	w.answered(rw, r, id, a, err, "stop.noanswer", "stop.late")
}

// have is the customer's word that he has his drink. Of one that is ready it takes the
// name off the board; of one in doubt it settles what came of it, where the house lets
// its customers.
func (w *Web) have(rw http.ResponseWriter, r *http.Request) { w.said(rw, r, true) }

// empty is his word that there is nothing in his cup.
func (w *Web) empty(rw http.ResponseWriter, r *http.Request) { w.said(rw, r, false) }

func (w *Web) said(rw http.ResponseWriter, r *http.Request, made bool) {
	id, ok := w.known(rw, r)
	if !ok {
		return
	}
	switch phase := w.see(r.Context(), id).Phase; {
	case phase == fleet.Served && made:
		w.book.taken(id)
	case phase == fleet.Unknown && w.CustomersSettle:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), orderTime)
		defer cancel()
		if err := w.Shop.Said(ctx, id, made); err != nil && w.see(ctx, id).Phase == fleet.Unknown {
			w.Log.Warn("web: a customer's word on a drink in doubt was not taken", "order", id, "made", made, "error", err)
			w.showOrder(rw, r, id, http.StatusServiceUnavailable, "said.noanswer")
			return
		}
		if made {
			w.book.taken(id)
		}
	}
	w.toOrder(rw, r, id)
}

func (w *Web) toOrder(rw http.ResponseWriter, r *http.Request, id string) {
	http.Redirect(rw, r, w.pathOf(id), http.StatusSeeOther)
}
