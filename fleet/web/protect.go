package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy lets a page load only what this server sends: no inline script or
// style, no other site, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxBody is the largest body that is read, in bytes: that of an order.
const maxBody = 4 << 10

// The most that is at work at once. Where it is full, a request is told to come
// again at once rather than held.
const (
	worksEach, worksAll     = 32, 256 // requests of an address, in all
	streamsEach, streamsAll = 32, 256 // live streams, which are requests that stay
)

// protect is around every page: headers, the names that we answer to, no posts
// from other sites, small bodies, and limits for whoever asks too much. Health is
// answered whatever others do.
func (w *Web) protect(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.sorry(rw, r, http.StatusForbidden, "cross.title", "cross.text")
	}))
	inner := cross.Handler(next)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // an order's address is a secret
		h.Set("X-Frame-Options", "DENY")        // for tablets that know no frame-ancestors
		if !w.answersTo(r) {
			plain(rw, http.StatusMisdirectedRequest, w.pages[lang(r)].say("host.text")+"\n")
			return
		}
		r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
		place := placeOf(r)
		if place != nil {
			defer place.begin()()
		}
		r = w.introduce(r)
		if health(r) {
			inner.ServeHTTP(rw, r)
			return
		}
		if place != nil && place.spare {
			w.busy(rw, r, http.StatusServiceUnavailable)
			return
		}
		if v := w.visitorOf(r); !v.here {
			if !w.asks.allow(v.net) {
				w.busy(rw, r, http.StatusTooManyRequests)
				return
			}
			if !staying(r) {
				leave, ok := w.works.enter(v.net)
				if !ok {
					w.busy(rw, r, http.StatusServiceUnavailable)
					return
				}
				defer leave()
			}
		}
		inner.ServeHTTP(rw, r)
	})
}

// health reports whether a request only asks how we are.
func health(r *http.Request) bool { return r.URL.Path == "/livez" || r.URL.Path == "/readyz" }

// staying reports whether the answer is a live stream, which has seats of its own.
func staying(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/events") }

// busy sends away who asks too much, or comes while others do. It costs next to
// nothing, and gives the connection's place to somebody else.
func (w *Web) busy(rw http.ResponseWriter, r *http.Request, status int) {
	h := rw.Header()
	h.Set("Connection", "close")
	h.Set("Retry-After", "5")
	plain(rw, status, w.pages[lang(r)].say("busy.text")+"\n")
}

// answersTo reports whether a Host header names us, with any port: by one of our
// names, or by the very address at which the request arrived. An address can't be
// made to point elsewhere, as a name can.
func (w *Web) answersTo(r *http.Request) bool {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if slices.ContainsFunc(w.Hosts, func(ours string) bool { return strings.EqualFold(strings.Trim(ours, "[]"), name) }) {
		return true
	}
	asked, err := netip.ParseAddr(name)
	at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if err != nil || !ok {
		return false
	}
	ours, err := netip.ParseAddrPort(at.String())
	return err == nil && asked.Unmap() == ours.Addr().Unmap().WithZone("")
}
