package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"barista/fleet"
)

// Acts is what operators do with machines, orders in doubt and the stock. By is who does
// it, reason what those read who find it so; neither is ever empty. Each returns within
// actTime: fleet.ErrNotFound for what is not there, fleet.ErrNotAllowed, ErrConflict or
// ErrClosed where the state of things does not allow it.
type Acts interface {
	// Cordon takes a machine out of service once its drink in hand is done.
	Cordon(ctx context.Context, machine, by, reason string) error
	// Drain does so to open it, and the machine says when it may be.
	Drain(ctx context.Context, machine, by, reason string) error
	// Uncordon puts it back; new hardware only with the word that somebody has looked at it.
	Uncordon(ctx context.Context, machine, by, reason string, checked bool) error
	// Retire puts a machine out for good, Replace for other hardware that comes under its
	// name: that is invited where the shop has keys, for ttl, 0: for as long as usual. An
	// error after Left.Out is of the invitation. What a machine stays for is a
	// *fleet.StaysError, of Uncordon too.
	Retire(ctx context.Context, machine, by, reason string) (fleet.Left, error)
	Replace(ctx context.Context, machine, by, reason string, ttl time.Duration) (fleet.Left, error)
	// Settle is a person's word on an order of which nobody knows whether it was made.
	Settle(ctx context.Context, order string, made bool, by, reason string) error
	MakeAgain(ctx context.Context, order, by string) error
	// Care has a machine cared for by an order in the queue; last: although customers then
	// wait for what no other machine makes.
	Care(ctx context.Context, machine string, kind fleet.Size, by string, last bool) (order string, err error)
	// Add books a refill of n, 1 to fleet.MaxAmount in the item's own unit (fleet.Unit), Count
	// that n are there, Waste that n were thrown away, which is fleet.ErrNotAllowed where
	// there are fewer; with the same key it counts once. They return the item's level, and
	// fleet.ErrNotFound for an item that there is not.
	Add(ctx context.Context, item string, n int, by, key string) (fleet.Level, error)
	Count(ctx context.Context, item string, n int, by, key string) (fleet.Level, error)
	Waste(ctx context.Context, item string, n int, by, reason, key string) (fleet.Level, error)
}

// actTime bounds what an operator's button does. A machine answers at once, or is not
// there.
const actTime = 4 * time.Second

// The verbs of commands that operators send; machines know no others.
const (
	verbStop  = "stop"
	verbClear = "clear-fault"
)

// wish is what an operator's button about a machine or an order sends.
type wish struct {
	Machine string
	Order   string // an order's id, or empty
	Reason  string
	Checked bool   // somebody has looked at it
	What    string // a part, or a kind of care
	Last    bool   // although customers wait
	Vessel  bool   // something stands under the spout, and nobody has his hands in the machine
}

// readWish reads one; the key of what is wrong with it is empty if nothing is.
func readWish(f url.Values) (w wish, wrong string) {
	w = wish{Machine: f.Get("machine"), Order: f.Get("order"), Reason: fleet.Plain(f.Get("reason")), Checked: f.Get("checked") == "yes",
		What: f.Get("what"), Last: f.Get("last") == "yes", Vessel: f.Get("vessel") == "yes"}
	if w.What != "" && !fleet.IsToken(w.What) {
		return w, "ops.gone"
	}
	if w.Machine != "" && !fleet.IsMachine(w.Machine) {
		return w, "ops.gone"
	}
	if w.Order != "" {
		id, err := fleet.ParseID(w.Order)
		if err != nil {
			return w, "ops.gone"
		}
		w.Order = id
	}
	return w, ""
}

// refused is a machine's own no, in English.
type refused struct{ machine, words string }

func (r *refused) Error() string { return r.machine + ": " + r.words }

// actRoutes are the addresses of the buttons for machines and orders.
func (w *Web) actRoutes() map[string]http.HandlerFunc {
	command := func(verb string) func(context.Context, wish, string) error {
		return func(ctx context.Context, one wish, by string) error {
			_, err := w.told(ctx, verb, one, by)
			return err
		}
	}
	settle := func(made bool) func(context.Context, wish, string) error {
		return func(ctx context.Context, one wish, by string) error {
			return w.Acts.Settle(ctx, one.Order, made, by, one.Reason)
		}
	}
	return map[string]http.HandlerFunc{
		"GET " + curvesPath: w.operatorsOnly(w.curvesPage),
		"POST /fleet/stop":  w.machineAct("stopped", command(verbStop)),
		"POST /fleet/clear": w.machineAct("cleared", command(verbClear)),
		"POST /fleet/cordon": w.machineAct("cordoned", func(ctx context.Context, one wish, by string) error {
			return w.Acts.Cordon(ctx, one.Machine, by, one.Reason)
		}),
		"POST /fleet/drain": w.machineAct("drained", func(ctx context.Context, one wish, by string) error {
			return w.Acts.Drain(ctx, one.Machine, by, one.Reason)
		}),
		"POST /fleet/uncordon": w.machineAct("uncordoned", func(ctx context.Context, one wish, by string) error {
			return w.Acts.Uncordon(ctx, one.Machine, by, one.Reason, one.Checked)
		}),
		"POST /fleet/made":     w.orderAct("settled", settle(true)),
		"POST /fleet/not-made": w.orderAct("settled", settle(false)),
		"POST /fleet/again": w.orderAct("again", func(ctx context.Context, one wish, by string) error {
			return w.Acts.MakeAgain(ctx, one.Order, by)
		}),
	}
}

// selfEvident are the acts that nobody has to give a reason for.
var selfEvident = []string{"uncordoned", "care", "cared", "cup", "tried"}

// told is a machine's answer to a button; what it does not do is an error.
func (w *Web) told(ctx context.Context, verb string, one wish, by string) (fleet.CommandAnswer, error) {
	a, err := w.Command(ctx, one.Machine, fleet.Command{Verb: verb, Order: one.Order, What: one.What, Vessel: one.Vessel, By: by, Why: one.Reason})
	if err == nil && !a.OK {
		err = &refused{one.Machine, a.Message}
	}
	return a, err
}

// machineAct and orderAct are around what a button does: what it is about must be named.
func (w *Web) machineAct(what string, do func(context.Context, wish, string) error) http.HandlerFunc {
	return w.fleetAct(what, func(one wish) bool { return one.Machine != "" }, do)
}

func (w *Web) orderAct(what string, do func(context.Context, wish, string) error) http.HandlerFunc {
	return w.fleetAct(what, func(one wish) bool { return one.Order != "" }, do)
}

func (w *Web) fleetAct(what string, about func(wish) bool, do func(context.Context, wish, string) error) http.HandlerFunc {
	return w.acts(what, actTime, about, func(ctx context.Context, one wish, by string) (http.HandlerFunc, error) {
		return toFleet(what), do(ctx, one, by)
	})
}

// toFleet leads back to the machines' page, which says what was done.
func toFleet(done string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "/fleet?done="+done, http.StatusSeeOther)
	}
}

// acts is around what the buttons of the machines' page do: who does it is known,
// stands in the log and, where the act has a record, in that. What was done answers.
func (w *Web) acts(what string, within time.Duration, about func(wish) bool, do func(context.Context, wish, string) (http.HandlerFunc, error)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		by, f, ok := w.acting(rw, r)
		if !ok {
			return
		}
		one, wrong := readWish(f)
		switch {
		case wrong == "" && !about(one):
			wrong = "ops.gone"
		case wrong == "" && one.Reason == "" && !slices.Contains(selfEvident, what):
			wrong = "acts.reason"
		}
		if wrong != "" {
			w.showFleet(rw, r, http.StatusBadRequest, "", remark{Text: w.pages[lang(r)].say(wrong)})
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), within)
		defer cancel()
		done, err := do(ctx, one, by)
		log := w.Log.With("act", what, "by", by, "of", one.Machine, "order", one.Order, "reason", one.Reason)
		if one.What != "" {
			log = log.With("what", one.What, "last", one.Last)
		}
		if one.Checked {
			log = log.With("checked", true)
		}
		if err == nil {
			log.Info("an operator has acted")
			w.roll.forget()
			done(rw, r)
			return
		}
		log.Warn("what an operator asked for was not done", "error", err)
		status, why := w.notDone(r, err)
		w.showFleet(rw, r, status, "", why)
	}
}

// acting is who acts, and the form that was sent; if not ok the answer was given.
func (w *Web) acting(rw http.ResponseWriter, r *http.Request) (by string, f url.Values, ok bool) {
	if by, ok = w.actor(r); !ok {
		w.sorry(rw, r, http.StatusForbidden, "operators.title", "login.first")
		return "", nil, false
	}
	f, ok = w.posted(rw, r)
	return by, f, ok
}

// remark is what is said of an act that was not done.
type remark struct {
	Text  string // in the page's language
	Quote string // in English, of a machine or the shop
}

// notDone says why, to an operator.
func (w *Web) notDone(r *http.Request, err error) (status int, why remark) {
	p := w.pages[lang(r)]
	var no *refused
	stays, is := p.stays(err)
	switch {
	case is:
		return http.StatusConflict, stays
	case errors.Is(err, errVessel):
		return http.StatusBadRequest, remark{Text: p.say("care.vessel.first")}
	case errors.As(err, &no):
		return http.StatusConflict, remark{p.say("acts.refused", capital(no.machine)), no.words}
	case errors.Is(err, fleet.ErrNobody):
		return http.StatusServiceUnavailable, remark{Text: p.say("acts.nobody")}
	case errors.Is(err, fleet.ErrNotFound):
		return http.StatusNotFound, remark{Text: p.say("ops.gone")}
	case errors.Is(err, fleet.ErrNotAllowed), errors.Is(err, fleet.ErrConflict), errors.Is(err, fleet.ErrClosed):
		return http.StatusConflict, remark{p.say("acts.not"), fleet.Plain(err.Error())}
	}
	return http.StatusServiceUnavailable, remark{p.say("ops.failed"), ""}
}
