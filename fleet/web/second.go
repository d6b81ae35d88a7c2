package web

import (
	"context"
	"net/http"
	"strings"

	"barista/fleet"
)

// Two cups from one form are two orders of the same coffee: each has its own id, ticket,
// place in the queue and page, and either may be made, cancelled or fail without the
// other. The second is only asked for once the first was taken; what became of each is
// said of each.

// secondUnsure is the key of what is told where of the second cup nobody knows yet.
const secondUnsure = "second.unavailable"

// pairOf is the path of the page that shows two orders.
func (w *Web) pairOf(first, second string) string {
	return w.pathOf(first) + "/with/" + strings.TrimPrefix(w.pathOf(second), "/orders/")
}

// secondRefused is the page of the first of two cups, and says that the second is not
// ordered, and why.
func (w *Web) secondRefused(rw http.ResponseWriter, r *http.Request) {
	id, ok := w.known(rw, r)
	if !ok {
		return
	}
	code := r.PathValue("code")
	if _, there := known.known("error", code); !there {
		code = "other"
	}
	p, s := w.pages[lang(r)], w.see(r.Context(), id)
	body := w.orderBody(r.Context(), p, s)
	v := view{Page: "order", Self: body.Path + "/second/" + code, Title: body.Head, Body: body,
		Note: strings.TrimSpace(p.say("second.not") + " " + w.whyNot(r.Context(), p, code, s.What))}
	if !body.Over {
		v.Live, v.Refresh, v.Code = body.Path+"/events", 10, w.along(r, body.Path)
	}
	w.show(rw, r, http.StatusOK, v)
}

// whyNot says why the second of two cups was not taken. The page has no button to press
// again, so some of it is said in other words than on the form. Why a coffee could not be
// made is what is in the way now; nothing, where it can be made by now.
func (w *Web) whyNot(ctx context.Context, p *pages, code string, what fleet.Order) string {
	if "error."+code == cannot {
		l, ok := w.counter.offer(ctx).can(what)
		if ok {
			return ""
		}
		return p.say(cannot, p.lack(l))
	}
	if text, ok := p.known("second", code); ok {
		return text
	}
	return p.say("error."+code, w.OpenOrders)
}

// pairBody is what the live page of two orders shows.
type pairBody struct {
	Title string
	Cups  []pairCup
	Say   string
	Ended bool
}

type pairCup struct {
	Label string
	Key   string // of its elements
	orderBody
}

// pair are the two orders of an address, or it answers for one that was never given.
func (w *Web) pair(rw http.ResponseWriter, r *http.Request) (first, second string, ok bool) {
	if first, ok = w.known(rw, r); !ok {
		return
	}
	if second, ok = w.orderOf(r.PathValue("other")); !ok {
		w.sorry(rw, r, http.StatusNotFound, "gone.title", "gone.text")
	}
	return first, second, ok
}

func (w *Web) pairPage(rw http.ResponseWriter, r *http.Request) {
	first, second, ok := w.pair(rw, r)
	if !ok {
		return
	}
	body := w.drawPair(w.pages[lang(r)], first, second)(r.Context()).body.(pairBody)
	v := view{Page: "pair", Self: w.pairOf(first, second), Title: body.Title, Body: body}
	if !body.Ended {
		v.Live, v.Refresh, v.Code = v.Self+"/events", 10, w.along(r, v.Self)
	}
	w.show(rw, r, http.StatusOK, v)
}

func (w *Web) pairEvents(rw http.ResponseWriter, r *http.Request) {
	if first, second, ok := w.pair(rw, r); ok {
		w.stream(rw, r, w.drawPair(w.pages[lang(r)], first, second))
	}
}

func (w *Web) drawPair(p *pages, ids ...string) func(context.Context) drawing {
	return func(ctx context.Context) drawing {
		b := pairBody{Title: p.say("pair.title"), Ended: true}
		for i, id := range ids {
			s, there := w.book.look(id)
			if !there {
				s = w.see(ctx, id)
			}
			label := [...]string{"first", "second"}[i]
			one := pairCup{p.say("pair." + label), label, w.orderBody(ctx, p, s)}
			b.Ended = b.Ended && one.Ended
			b.Say = strings.TrimPrefix(b.Say+" "+one.Label+": "+one.Say+".", " ")
			b.Cups = append(b.Cups, one)
		}
		return drawing{"pair-live", b, b.Ended}
	}
}
