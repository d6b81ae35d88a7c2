package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"

	"barista/fleet"
)

// pinCookie shows that a device knew the house's PIN.
const pinCookie = "house"

// pinField is the form's.
const pinField = "pin"

// admit decides whether who asks may place an order now. If so, answered must be
// told the shop's answer; if not, refused is the reason: a key of the texts, and a
// sentence for programs. Who asks from this computer is free: the kiosk on its
// screen, and the shop's own programs. A kiosk of the house is only held to a pace that
// people at a screen don't reach. The PIN is the last that is looked at, so that its
// tries are limited before.
func (w *Web) admit(rw http.ResponseWriter, r *http.Request, id, pin string) (answered func(fleet.Answer), refused *refusal) {
	device := w.greet(rw, r)
	v := w.visitorOf(r)
	if v.here {
		return func(fleet.Answer) {}, nil
	}
	if w.oursIsKiosk(r) {
		if !w.kiosks.allow(v.net) {
			return nil, &refusal{http.StatusTooManyRequests, "error.rate", "too many orders from one kiosk; wait a minute"}
		}
		return func(fleet.Answer) {}, nil
	}
	if !w.knowsHouse(r) {
		switch {
		case pin == "":
			return nil, &refusal{http.StatusForbidden, "error.pin", "this house asks for its PIN once; open its page and order there"}
		case !w.guesses.allow(v.net):
			return nil, &refusal{http.StatusTooManyRequests, "error.tries", "too many tries at the PIN; wait a minute"}
		case !same(pin, w.PIN):
			return nil, &refusal{http.StatusForbidden, "error.pin.wrong", "this is not the house's PIN"}
		}
		w.setCookie(rw, r, pinCookie, w.proofOf("house", w.PIN, device))
	}
	if !w.orders.allow(v.net) {
		return nil, &refusal{http.StatusTooManyRequests, "error.rate", "too many orders from one address; wait a minute"}
	}
	entry, ok := w.tally.enter(id, device, v.net)
	if !ok {
		return nil, &refusal{http.StatusTooManyRequests, "error.open", "too many orders of one customer are under way; wait until one of them has ended"}
	}
	return func(a fleet.Answer) { w.tally.answered(entry, a) }, nil
}

// refusal is why a customer's order was not handed to the shop.
type refusal struct {
	status int
	key    string // of the customer's sentence
	text   string // for a program
}

// asksPIN reports whether a form must have a field for the PIN.
func (w *Web) asksPIN(r *http.Request) bool {
	return !w.visitorOf(r).here && !w.oursIsKiosk(r) && !w.knowsHouse(r)
}

// knowsHouse reports whether the device showed the PIN once: the present one.
func (w *Web) knowsHouse(r *http.Request) bool {
	if w.PIN == "" {
		return true
	}
	c, err := r.Cookie(w.cookieName(r, pinCookie))
	device := w.device(r)
	return err == nil && device != "" && same(c.Value, w.proofOf("house", w.PIN, device))
}

// tableToken stands in the printed QR code of a house with a PIN: who stands at
// the table need not type it.
func (w *Web) tableToken() string { return w.proofOf("table", w.PIN) }

// table takes the token of a printed code, and leads to the form.
func (w *Web) table(rw http.ResponseWriter, r *http.Request) {
	v := w.visitorOf(r)
	switch {
	case w.PIN == "" || v.here || w.knowsHouse(r):
	case !w.guesses.allow(v.net):
		w.sorry(rw, r, http.StatusTooManyRequests, "table.title", "error.tries")
		return
	case !same(r.PathValue("token"), w.tableToken()):
		w.sorry(rw, r, http.StatusForbidden, "table.title", "table.text")
		return
	default:
		w.setCookie(rw, r, pinCookie, w.proofOf("house", w.PIN, w.greet(rw, r)))
	}
	http.Redirect(rw, r, "/", http.StatusSeeOther)
}

// proofOf is a keyed hash for another purpose than an order's address: an order's
// id holds no byte 0.
func (w *Web) proofOf(purpose string, parts ...string) string {
	mac := hmac.New(sha256.New, w.Key)
	mac.Write([]byte(purpose))
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		mac.Write([]byte{0})
		mac.Write(sum[:])
	}
	return proofCode.EncodeToString(mac.Sum(nil)[:proofLen])
}

// same compares without telling by its time how much of it is right.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return hmac.Equal(x[:], y[:])
}
