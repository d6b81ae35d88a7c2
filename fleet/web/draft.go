package web

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// draftCookie keeps what was typed into a form that was not taken, for as long as
// somebody may want to read on: a page that is asked for again after a refusal, or in
// the other language.
const draftCookie = "draft"

const (
	draftTime = 10 * 60 // seconds
	draftMost = 2 << 10 // bytes
)

// problemField and wrongField are a draft's own.
const (
	problemField = "problem"
	wrongField   = "wrong"
)

// keepDraft keeps what was typed, and what is wrong with it, in the browser that sent
// it. There is nothing in it that a form of that browser could not say.
func (w *Web) keepDraft(rw http.ResponseWriter, r *http.Request, t typed, wrong problem) {
	f := url.Values{"id": {t.ID}, "name": {t.Name}, "size": {t.Size}, "bean_type": {t.Bean}, "milk": {t.Milk}, "sugar_count": {t.Sugar},
		secondField: {t.Second}, problemField: {wrong.Key}, wrongField: {wrong.Field}}
	if t.Two {
		f.Set(cupsField, "2")
	}
	if value := base64.RawURLEncoding.EncodeToString([]byte(f.Encode())); len(value) <= draftMost {
		w.keepCookie(rw, r, draftCookie, value, draftTime)
	}
}

// forgetDraft throws it away: its order was taken, or its customer left.
func (w *Web) forgetDraft(rw http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(w.cookieName(r, draftCookie)); err == nil {
		w.keepCookie(rw, r, draftCookie, "", -1)
	}
}

// readDraft is what this browser's last form held.
func (w *Web) readDraft(r *http.Request) (t typed, wrong problem, ok bool) {
	c, err := r.Cookie(w.cookieName(r, draftCookie))
	if err != nil || len(c.Value) > draftMost {
		return t, wrong, false
	}
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return t, wrong, false
	}
	f, err := url.ParseQuery(string(b))
	if err != nil || f.Get("id") == "" {
		return t, wrong, false
	}
	if key := f.Get(problemField); strings.HasPrefix(key, "error.") || strings.HasPrefix(key, "wrong.") || key == secondUnsure {
		if _, there := known.text[key]; there {
			wrong = problem{Key: key, Field: f.Get(wrongField)}
		}
	}
	return read(f), wrong, true
}

// draft shows the form that was sent from here, where somebody asks for its address
// again; who has sent none is led to a fresh one.
func (w *Web) draft(rw http.ResponseWriter, r *http.Request) {
	t, wrong, ok := w.readDraft(r)
	if !ok {
		http.Redirect(rw, r, w.home(r), http.StatusSeeOther)
		return
	}
	w.showForm(rw, r, http.StatusOK, t, wrong)
}

// language shows the form in another language, with all that was typed.
func (w *Web) language(rw http.ResponseWriter, r *http.Request) {
	f, ok := w.sent(rw, r)
	if !ok {
		return
	}
	t := read(f)
	was, wrong, ok := w.readDraft(r)
	if !ok || was.ID != t.ID {
		wrong = problem{}
	}
	w.keepDraft(rw, r, t, wrong)
	remember(rw, r)
	http.Redirect(rw, r, "/order", http.StatusSeeOther)
}

// given are the ids that were handed to the shop lately by this process.
type given struct {
	mu  sync.Mutex // guards ids
	ids map[string]time.Time
}

// The book knows them soon; until then this does.
const (
	givenTime = time.Minute
	givenMost = 4096
)

func (g *given) add(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.ids) >= givenMost {
		for old, at := range g.ids {
			if time.Since(at) > givenTime {
				delete(g.ids, old)
			}
		}
	}
	if g.ids == nil || len(g.ids) >= givenMost {
		g.ids = map[string]time.Time{}
	}
	g.ids[id] = time.Now()
}

func (g *given) has(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.ids[id]
	return ok && time.Since(at) < givenTime
}
