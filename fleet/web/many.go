package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// operatorsPath is the live page that is not for customers.
const operatorsPath = "/fleet"

// mostTold is how many pages one stream tells of.
const mostTold = 16

// telling is a page that a stream of several tells of.
type telling struct {
	picture *picture
	leave   func()
	sent    string // the id of what the reader has
	over    bool   // nothing will follow
}

// events tells of several pages in one stream: ?of=/board&of=/orders/…. A browser
// holds six connections to a server, and each tab wants news; so all its tabs
// share one. An event's first line says which page it is about, by its place in
// the address, from 0; the rest is as in the stream of that page alone. Each tab says
// in which language it is (?of=/board?lang=fr): another one may have been chosen since.
// Of a page that is not there, or not for this reader, it only hears the end.
func (w *Web) events(rw http.ResponseWriter, r *http.Request) {
	of := r.URL.Query()["of"]
	if len(of) == 0 || len(of) > mostTold {
		plain(rw, http.StatusBadRequest, "name 1 to "+strconv.Itoa(mostTold)+" pages: /events?of=/board\n")
		return
	}
	free, ok := w.mayStream(rw, r)
	if !ok {
		return
	}
	defer free()
	ctx := r.Context()
	list := make([]telling, len(of))
	operators, every := false, heartbeat
	for i, page := range of {
		path, query, _ := strings.Cut(page, "?")
		operators = operators || path == operatorsPath
		one := *r // as if it had asked for this page alone
		one.URL = &url.URL{Path: path, RawQuery: query}
		if draw := w.drawn(&one, path); draw != nil {
			list[i].picture, list[i].leave = w.watch(&one, path+"/events", draw)
			defer list[i].leave()
			every = min(every, list[i].picture.every)
		}
	}
	if _, ok := w.operator(r); ok && operators {
		// Who is logged out loses the stream, and gets a new one of the other pages.
		var leave func()
		ctx, leave = w.whileOperator(r)
		defer leave()
	}
	out := newTeller(rw)
	out.every = every
	for {
		changed, again, err := out.tell(ctx, list)
		switch {
		case err != nil:
			w.Log.Error("web: cannot render a live page", "error", err)
			return
		case !out.flush() || changed == nil:
			return
		case again && !rest(ctx, breath), !again && !out.wait(ctx, changed):
			return
		}
	}
}

// tell says what looks different to the reader. changed is closed at the next news;
// nil when there is nothing more to tell. Again: a piece is a breath old, and has
// changed already.
func (t *teller) tell(ctx context.Context, list []telling) (changed <-chan struct{}, again bool, err error) {
	for i := range list {
		one := &list[i]
		if one.over {
			continue
		}
		index := strconv.Itoa(i)
		if one.over = one.picture == nil; !one.over {
			now, err := one.picture.look(ctx)
			if err != nil {
				return nil, false, err
			}
			if now.id != one.sent {
				t.say([]byte("data: " + index + "\n")...)
				t.say(now.event...)
				one.sent = now.id
			}
			if one.over = now.last; !one.over {
				again = again || isClosed(now.changed)
				changed = now.changed // those that are not closed are all the same
			}
		}
		if one.over {
			t.say([]byte("event: end\ndata: " + index + "\n\n")...)
		}
	}
	return changed, again, nil
}

// drawn draws the live part of the page at a path; nil where there is none for who
// asks.
func (w *Web) drawn(r *http.Request, path string) func(context.Context) drawing {
	p := w.pages[lang(r)]
	switch {
	case path == "/board":
		return w.drawBoard(p)
	case path == chaosPath && w.Chaos != nil && w.visitorOf(r).here:
		return w.drawChaos(p)
	case path == operatorsPath:
		if _, ok := w.operator(r); ok {
			_, may := w.actor(r)
			return w.drawFleet(p, may)
		}
	}
	if secret, ok := strings.CutPrefix(path, "/orders/"); ok {
		if one, other, two := strings.Cut(secret, "/with/"); two {
			first, ok := w.orderOf(one)
			second, also := w.orderOf(other)
			if !ok || !also {
				return nil
			}
			return w.drawPair(p, first, second)
		}
		if id, ok := w.orderOf(secret); ok {
			return w.drawOrder(p, id)
		}
	}
	return nil
}
