package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"barista/fleet"
)

// articleAnswer is the answer of /order-coffee: the three words that the public
// article's page reads, and ours.
type articleAnswer struct {
	Title string `json:"title"` // a short heading in the customer's language
	fleet.Answer
	Text string `json:"text"`           // the same in a sentence; Message is for programs, in English
	Page string `json:"page,omitempty"` // the path of the order's live page
}

// article takes an order as JSON and answers in JSON, whatever happens: the
// article's page reads nothing else.
func (w *Web) article(rw http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		w.reply(rw, r, http.StatusUnsupportedMediaType, fleet.Sorry("", fleet.CodeInvalid, "the content type must be application/json"), "error."+fleet.CodeInvalid)
		return
	}
	body, err := io.ReadAll(r.Body)
	if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
		w.reply(rw, r, http.StatusRequestEntityTooLarge, fleet.Sorry("", fleet.CodeInvalid, "an order has at most %d bytes", maxBody), "error."+fleet.CodeInvalid)
		return
	} else if err != nil {
		w.reply(rw, r, http.StatusBadRequest, fleet.Sorry("", fleet.CodeInvalid, "the order broke off on its way"), "error."+fleet.CodeInvalid)
		return
	}
	var named struct{ ID string }
	_ = json.Unmarshal(body, &named) // what is no order is refused by the shop
	answered, no := w.admit(rw, r, named.ID, "")
	if no != nil {
		if no.status == http.StatusTooManyRequests {
			rw.Header().Set("Retry-After", retryOrder)
		}
		w.reply(rw, r, no.status, fleet.Sorry("", fleet.CodeUnavailable, "%s", no.text), no.key)
		return
	}
	a := w.place(r.Context(), named.ID, body)
	answered(a)
	w.reply(rw, r, statusOf(a), a, refusalKey(a))
}

// reply sends an answer; key is that of the text which says to the customer why the order
// was not taken.
func (w *Web) reply(rw http.ResponseWriter, r *http.Request, status int, a fleet.Answer, key string) {
	p := w.pages[lang(r)]
	out := articleAnswer{Title: p.say("article.error"), Text: p.say(key, w.OpenOrders), Answer: a}
	if a.OK() {
		out.Title, out.Text = p.say("article.success"), p.say("text.taken")
		out.Page = w.pathOf(a.OrderID)
	}
	b, err := json.Marshal(out)
	if err != nil {
		w.broken(rw, w.pages[lang(r)], err)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language, Cookie")
	rw.WriteHeader(status)
	rw.Write(append(b, '\n'))
}
