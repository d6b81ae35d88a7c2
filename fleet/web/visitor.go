package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// visitor is who asks, as far as limits and cookies need to know.
type visitor struct {
	// net is what limits count: an address, or the whole network of a household
	// under IPv6. It is invalid for a connection without one.
	net netip.Prefix
	// here: from this computer and through no proxy, so one of the shop's own
	// programs, or its own screen.
	here bool
	// secure: between the browser and us, or the proxy in front of us, is TLS.
	secure bool
}

type visitorKey struct{}

// visitorOf is who asks. It is worked out once for a request, see protect.
func (w *Web) visitorOf(r *http.Request) visitor {
	if v, ok := r.Context().Value(visitorKey{}).(visitor); ok {
		return v
	}
	return w.recognize(r)
}

func (w *Web) introduce(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), visitorKey{}, w.recognize(r)))
}

// forwarding is what proxies add to a request.
var forwarding = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via"}

// recognize reads the address of a request. What is said about it by headers
// counts only where one of the proxies that the owner named says it, and of
// several addresses the last that none of them has: what stands before it, the
// client may have written.
func (w *Web) recognize(r *http.Request) visitor {
	v := visitor{secure: r.TLS != nil}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return v
	}
	addr := ap.Addr().Unmap().WithZone("")
	if !w.proxy(addr) {
		// A proxy that the owner did not name must not make its customers look as
		// if they stood at this computer.
		v.here = addr.IsLoopback() && !slices.ContainsFunc(forwarding, func(h string) bool { return r.Header.Get(h) != "" })
		v.net = household(addr)
		return v
	}
	said := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, s := range slices.Backward(said) {
		a, err := forwarded(strings.TrimSpace(s))
		if err != nil {
			break // whoever wrote that, we know only who handed it on
		}
		if addr = a; !w.proxy(addr) {
			break
		}
	}
	v.net = household(addr)
	// Of several proxies in a row the nearest one's word is the last.
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) > 0 {
		words := strings.Split(proto[len(proto)-1], ",")
		v.secure = v.secure || strings.EqualFold(strings.TrimSpace(words[len(words)-1]), "https")
	}
	return v
}

// forwarded reads an address as proxies write it: some add a port.
func forwarded(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err
}

func (w *Web) proxy(a netip.Addr) bool {
	return slices.ContainsFunc(w.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// household is what counts as one address: under IPv6 one household has a whole
// network of 64 bits.
func household(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// householdOf is that of a connection.
func householdOf(a net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	return household(ap.Addr().Unmap().WithZone(""))
}
