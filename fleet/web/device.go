package web

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

// deviceCookie tells the phones apart that order. It holds chance and says
// nothing of the person; who throws it away is counted by address.
const deviceCookie = "device"

// yearLong is how long a browser keeps what it was given.
const yearLong = 365 * 24 * 3600 // seconds

// device is the device that asks; empty for one that was given no cookie yet.
func (w *Web) device(r *http.Request) string {
	c, err := r.Cookie(w.cookieName(r, deviceCookie))
	if err != nil || len(c.Value) != len(rand.Text()) || strings.Trim(c.Value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return ""
	}
	return c.Value
}

// greet gives a device its cookie, if it has none, and returns its name.
func (w *Web) greet(rw http.ResponseWriter, r *http.Request) string {
	d := w.device(r)
	if d == "" {
		d = rand.Text()
		w.setCookie(rw, r, deviceCookie, d)
	}
	return d
}

// cookieName is a cookie's name. Over TLS no page of a neighbouring name, and
// nobody on a way without TLS, can set one that begins so.
func (w *Web) cookieName(r *http.Request, name string) string {
	if w.visitorOf(r).secure {
		return "__Host-" + name
	}
	return name
}

// setCookie gives a browser a cookie for a year.
func (w *Web) setCookie(rw http.ResponseWriter, r *http.Request, name, value string) {
	w.keepCookie(rw, r, name, value, yearLong)
}

// keepCookie gives a browser a cookie for so many seconds, -1 takes it away. What is left
// of the request has it as the next one would.
func (w *Web) keepCookie(rw http.ResponseWriter, r *http.Request, name, value string, seconds int) {
	name = w.cookieName(r, name)
	http.SetCookie(rw, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, Secure: w.visitorOf(r).secure, SameSite: http.SameSiteLaxMode})
	putCookie(r, name, value, seconds)
}

func putCookie(r *http.Request, name, value string, seconds int) {
	others := slices.DeleteFunc(r.Cookies(), func(c *http.Cookie) bool { return c.Name == name })
	r.Header.Del("Cookie")
	for _, c := range others {
		r.AddCookie(c)
	}
	if seconds > 0 {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
}

// DefaultOpenOrders is enough for a phone that orders for a table.
const DefaultOpenOrders = 4

// perAddress is how many devices' worth of open orders an address may have: a
// family behind one, or somebody who throws cookies away.
const perAddress = 3

// forgetOpen is when an order that the book never knew no longer counts.
const forgetOpen = 10 * time.Minute

// tally counts the orders under way of each device and address.
type tally struct {
	most int // of a device
	// open reports whether an order is under way; known is false for one that the
	// book has not, or not yet.
	open func(id string) (open, known bool)

	mu   sync.Mutex
	list []*started
}

// started is an order of somebody.
type started struct {
	id     string // empty until the shop has answered
	device string
	net    netip.Prefix
	at     time.Time
}

// enter counts an order that is about to be placed, unless the device or the
// address has as many under way as it may. One that is counted, or known to the
// book, is asked again and counts once. Of the entry the answer must be told.
func (t *tally) enter(id, device string, from netip.Prefix) (s *started, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.list = slices.DeleteFunc(t.list, func(s *started) bool {
		open, known := t.open(s.id)
		return known && !open || !known && now.Sub(s.at) > forgetOpen
	})
	if id != "" {
		if _, known := t.open(id); known || slices.ContainsFunc(t.list, func(s *started) bool { return s.id == id }) {
			return nil, true
		}
	}
	ofDevice, ofAddress := 0, 0
	for _, s := range t.list {
		if device != "" && s.device == device {
			ofDevice++
		}
		if s.net == from {
			ofAddress++
		}
	}
	if ofDevice >= t.most || ofAddress >= t.most*perAddress {
		return nil, false
	}
	s = &started{id: id, device: device, net: from, at: now}
	t.list = append(t.list, s)
	return s, true
}

// answered says what became of an order that entered.
func (t *tally) answered(s *started, a fleet.Answer) {
	if s == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case a.OK():
		s.id = a.OrderID
	case a.Code == fleet.CodeUnavailable && s.id != "":
		// Perhaps it was taken: the book will tell.
	default:
		t.list = slices.DeleteFunc(t.list, func(one *started) bool { return one == s })
	}
}

// underway reports whether an order is under way, for the tally.
func (b *book) underway(id string) (open, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.now.orders[id]
	return o != nil && o.Phase.Open(), o != nil
}
