package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"barista/fleet"
)

// hardware is a machine as a thing, of which parts or the whole are swapped: what is said
// of that on its tile, and folded away there what an operator does about it.
type hardware struct {
	ID, Name string
	Swapped  []swapped
	Leaves   bool // it is out of service, or away: it may be retired or replaced
}

// swapped is a part that was swapped and not measured since.
type swapped struct {
	Part string // as it is typed
	Word string // in the page's language
}

func (w *Web) hardware(p *pages, m fleet.Machine) hardware {
	h := hardware{ID: m.Machine, Name: capital(m.Machine), Leaves: !m.Here || m.Cordon != nil}
	if m.Here {
		for _, part := range m.Swapped {
			h.Swapped = append(h.Swapped, swapped{part, p.name("part", part)})
		}
	}
	return h
}

// leaveTime bounds what puts a machine out: shop and door are asked one after the other,
// and a door that has only just opened is asked again.
const leaveTime = 12 * time.Second

// hardwareRoutes are the addresses of the buttons by which a machine leaves its place.
func (w *Web) hardwareRoutes() map[string]http.HandlerFunc {
	about := func(one wish) bool { return one.Machine != "" }
	return map[string]http.HandlerFunc{
		"POST /fleet/retire": w.acts("retired", leaveTime, about, func(ctx context.Context, one wish, by string) (http.HandlerFunc, error) {
			left, err := w.Acts.Retire(ctx, one.Machine, by, one.Reason)
			if !left.Keys {
				return toFleet("retired_uncut"), err
			}
			return toFleet("retired"), err
		}),
		"POST /fleet/replace": w.acts("replaced", leaveTime, about, func(ctx context.Context, one wish, by string) (http.HandlerFunc, error) {
			left, err := w.Acts.Replace(ctx, one.Machine, by, one.Reason, 0)
			if err != nil && left.Out { // what is left to do is said there
				w.Log.Warn("the code for new hardware could not be made", "machine", one.Machine, "error", err)
				err = nil
			}
			return func(rw http.ResponseWriter, r *http.Request) { w.replaced(rw, r, left) }, err
		}),
	}
}

// replacedBody is what is to be done after a machine was put out for another one.
type replacedBody struct {
	ID, Name string
	Keys     bool
	Code     string // that the new one comes in by; empty: it could not be made
	At       string // where the new one finds the shop
	Until    string
}

// replaced shows a code once, and keeps it nowhere.
func (w *Web) replaced(rw http.ResponseWriter, r *http.Request, left fleet.Left) {
	p := w.pages[lang(r)]
	b := replacedBody{ID: left.Machine, Name: capital(left.Machine), Keys: left.Keys, At: w.Broker}
	if i := left.Invited; i != nil {
		b.Code, b.Until = i.Code, i.Until.Local().Format("15:04")
	}
	w.show(rw, r, http.StatusOK, view{Page: "replaced", Self: operatorsPath, Title: p.say("hardware.replaced", b.Name), Body: b})
}

// stays says why a machine can't leave its place now, or come back to it; there is nothing
// to say where that is not why something was not done.
func (p *pages) stays(err error) (why remark, is bool) {
	var no *fleet.StaysError
	if !errors.As(err, &no) {
		return remark{}, false
	}
	name, hand, doubts := capital(no.Machine), 0, 0
	for _, o := range no.Held {
		if o.Phase == fleet.Unknown {
			doubts++
		} else {
			hand++
		}
	}
	switch {
	case doubts > 0:
		return remark{Text: p.say("stays.doubts", name, doubts)}, true
	case hand > 0 && no.Member:
		return remark{Text: p.say("stays.hand", name, hand)}, true
	case hand > 0:
		return remark{Text: p.say("stays.hand_uncut", name, hand)}, true
	}
	return remark{Text: p.say("stays."+no.Code, name, no.Machine), Quote: fleet.Plain(no.Why)}, true
}
