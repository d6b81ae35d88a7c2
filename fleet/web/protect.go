package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// policy lets a page load only what this server sends: no inline script or
// style, no other site, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxBody is the largest body that is read, in bytes: that of an order.
const maxBody = 4 << 10

// protect is around every page: headers, the names that we answer to, no posts
// from other sites, small bodies.
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
		if !w.answersTo(r.Host) {
			plain(rw, http.StatusMisdirectedRequest, "this shop does not answer to that name\n")
			return
		}
		r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
		inner.ServeHTTP(rw, r)
	})
}

// answersTo reports whether a Host header names us, with any port.
func (w *Web) answersTo(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	return slices.ContainsFunc(w.Hosts, func(ours string) bool {
		return strings.EqualFold(strings.Trim(ours, "[]"), name)
	})
}

// The limits of ordering, so that one visitor can't fill the queue. Loopback is
// free: demo, tests and the shop's own programs order from there. So is
// everybody behind a proxy on this host, which must limit by itself.
const (
	perMinute    = 5  // per client address
	burst        = 10 //
	allPerMinute = 60 // of all addresses together
	maxAddresses = 4096
)

// rates counts orders per client address.
type rates struct {
	mu  sync.Mutex
	all *rate.Limiter
	by  map[netip.Prefix]*rate.Limiter

	swept time.Time // when by was last looked through
}

func newRates() *rates {
	return &rates{
		all: rate.NewLimiter(rate.Every(time.Minute/allPerMinute), allPerMinute),
		by:  map[netip.Prefix]*rate.Limiter{},
	}
}

// allow reports whether the client at the remote address may order now.
func (l *rates) allow(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := ap.Addr().Unmap()
	if addr.IsLoopback() {
		return true
	}
	bits := 32
	if addr.Is6() {
		bits = 64 // one household has a whole network
	}
	key, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[key]
	if one == nil {
		if len(l.by) >= maxAddresses && time.Since(l.swept) > time.Second {
			l.forget() // not for every stranger of a flood
		}
		if len(l.by) >= maxAddresses {
			return false
		}
		one = rate.NewLimiter(rate.Every(time.Minute/perMinute), burst)
		l.by[key] = one
	}
	return one.Allow() && l.all.Allow()
}

// forget drops the addresses that have been quiet long enough to have their
// whole burst again.
func (l *rates) forget() {
	l.swept = time.Now()
	for key, one := range l.by {
		if one.Tokens() >= burst {
			delete(l.by, key)
		}
	}
}
