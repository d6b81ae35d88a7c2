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
	Page string `json:"page,omitempty"` // the path of the order's live page
}

// article takes an order as JSON and answers in JSON, whatever happens: the
// article's page reads nothing else.
func (w *Web) article(rw http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		w.reply(rw, r, http.StatusUnsupportedMediaType, fleet.Sorry("", fleet.CodeInvalid, "the content type must be application/json"))
		return
	}
	body, err := io.ReadAll(r.Body)
	if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
		w.reply(rw, r, http.StatusRequestEntityTooLarge, fleet.Sorry("", fleet.CodeInvalid, "an order has at most %d bytes", maxBody))
		return
	} else if err != nil {
		w.reply(rw, r, http.StatusBadRequest, fleet.Sorry("", fleet.CodeInvalid, "the order broke off on its way"))
		return
	}
	var named struct{ ID string }
	_ = json.Unmarshal(body, &named) // what is no order is refused by the shop
	answered, no := w.admit(rw, r, named.ID, "")
	if no != nil {
		if no.status == http.StatusTooManyRequests {
			rw.Header().Set("Retry-After", retryOrder)
		}
		w.reply(rw, r, no.status, fleet.Sorry("", fleet.CodeUnavailable, "%s", no.text))
		return
	}
	a := w.place(r.Context(), body)
	answered(a)
	w.reply(rw, r, statusOf(a), a)
}

func (w *Web) reply(rw http.ResponseWriter, r *http.Request, status int, a fleet.Answer) {
	out := articleAnswer{Title: w.pages[lang(r)].say("article.error"), Answer: a}
	if a.OK() {
		out.Title = w.pages[lang(r)].say("article.success")
		out.Page = w.pathOf(a.OrderID)
	}
	b, err := json.Marshal(out)
	if err != nil {
		w.broken(rw, err)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language, Cookie")
	rw.WriteHeader(status)
	rw.Write(append(b, '\n'))
}
