package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Who asks, by the address of the connection and what proxies say: only the word
// of those that were named counts, and only the last that they did not say of
// themselves.
func TestWhoAsks(t *testing.T) {
	one, two := prefixes("127.0.0.1/32"), prefixes("127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32")
	for _, tt := range []struct {
		proxies []netip.Prefix
		remote  string
		headers string // "name: value" each on a line
		net     string
		here    bool
		secure  bool
	}{
		{nil, "127.0.0.1:5", "", "127.0.0.1/32", true, false},
		{nil, "127.0.0.2:5", "", "127.0.0.2/32", true, false},
		{nil, "[::1]:5", "", "::/64", true, false},
		{nil, "[::ffff:127.0.0.1]:5", "", "127.0.0.1/32", true, false},
		{nil, "192.0.2.1:5", "", "192.0.2.1/32", false, false},
		{nil, "[2001:db8:1:2:3::4]:5", "", "2001:db8:1:2::/64", false, false},
		{nil, "[fe80::1%eth0]:5", "", "fe80::/64", false, false},
		{nil, "@", "", "invalid Prefix", false, false},

		// Nobody was named: what headers say counts for nothing, but that somebody
		// handed the request on is enough not to take it for this computer's.
		{nil, "192.0.2.1:5", "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: https", "192.0.2.1/32", false, false},
		{nil, "127.0.0.1:5", "X-Forwarded-For: 192.0.2.9", "127.0.0.1/32", false, false},
		{nil, "127.0.0.1:5", "X-Forwarded-Proto: https", "127.0.0.1/32", false, false},
		{nil, "127.0.0.1:5", "Forwarded: for=192.0.2.9", "127.0.0.1/32", false, false},
		{nil, "127.0.0.1:5", "Via: 1.1 x", "127.0.0.1/32", false, false},
		{nil, "127.0.0.1:5", "X-Real-IP: 127.0.0.1", "127.0.0.1/32", false, false},

		{one, "127.0.0.1:5", "X-Forwarded-For: 192.0.2.9\nX-Forwarded-Proto: https", "192.0.2.9/32", false, true},
		{one, "127.0.0.1:5", "X-Forwarded-For: 192.0.2.9:1234", "192.0.2.9/32", false, false},
		{one, "127.0.0.1:5", "X-Forwarded-For: 2001:db8::1", "2001:db8::/64", false, false},
		{one, "127.0.0.1:5", "X-Forwarded-For: [2001:db8::1]:80", "2001:db8::/64", false, false},
		{one, "127.0.0.1:5", "X-Forwarded-For: 203.0.113.1, 192.0.2.9", "192.0.2.9/32", false, false},
		{one, "127.0.0.1:5", "X-Forwarded-For: 192.0.2.9, 127.0.0.1", "192.0.2.9/32", false, false},
		{one, "127.0.0.1:5", "X-Forwarded-For: 127.0.0.1", "127.0.0.1/32", false, false}, // who says so stands behind the proxy
		{one, "127.0.0.1:5", "X-Forwarded-For: 203.0.113.1\nX-Forwarded-For: 192.0.2.9", "192.0.2.9/32", false, false},
		{one, "127.0.0.1:5", "X-Forwarded-For: 192.0.2.9, unknown", "127.0.0.1/32", false, false},
		{one, "127.0.0.1:5", "X-Forwarded-For: ", "127.0.0.1/32", false, false},
		{one, "127.0.0.1:5", "", "127.0.0.1/32", false, false}, // a proxy that says nothing
		{one, "127.0.0.1:5", "X-Forwarded-Proto: https, http", "127.0.0.1/32", false, false},
		{one, "127.0.0.2:5", "", "127.0.0.2/32", true, false},
		{one, "192.0.2.1:5", "X-Forwarded-For: 203.0.113.1\nX-Forwarded-Proto: https", "192.0.2.1/32", false, false},

		{two, "127.0.0.1:5", "X-Forwarded-For: 192.0.2.9, 10.1.2.3", "192.0.2.9/32", false, false},
		{two, "10.1.2.3:5", "X-Forwarded-For: 10.9.9.9, 10.1.2.3", "10.9.9.9/32", false, false},
		{two, "[2001:db8::5]:5", "X-Forwarded-For: 192.0.2.9", "192.0.2.9/32", false, false},
	} {
		r := httptest.NewRequest("GET", "http://localhost/", nil)
		r.RemoteAddr = tt.remote
		for line := range strings.Lines(tt.headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			r.Header.Add(strings.TrimSuffix(name, ":"), value)
		}
		w := &Web{Parts: Parts{Proxies: tt.proxies}}
		if v := w.visitorOf(r); v.net.String() != tt.net || v.here != tt.here || v.secure != tt.secure {
			t.Errorf("%s behind %v, %q: %+v, want %s here %v secure %v", tt.remote, tt.proxies, tt.headers, v, tt.net, tt.here, tt.secure)
		}
	}
}

// Customers order, see and cancel their own, and nothing else.
func TestCustomersAndOperators(t *testing.T) {
	h := open(t)
	far := func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1234" }
	handed := header("X-Forwarded-For", "127.0.0.1")
	for _, target := range []string{"/fleet", "/fleet/events"} {
		for name, change := range map[string]func(*http.Request){"from afar": far, "handed on": handed} {
			res := h.ask("GET", target, "", change)
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: status %d", target, name, res.StatusCode)
			}
			lacks(t, text(t, res), "mock", "machines\"")
		}
	}
	status(t, h.ask("GET", "/fleet", ""), http.StatusOK)
	h.web.Proxies = prefixes("127.0.0.1/32")
	status(t, h.ask("GET", "/fleet", "", handed), http.StatusForbidden)
	status(t, h.ask("GET", "/fleet", ""), http.StatusForbidden)

	id, page := h.order("Ada")
	for _, tt := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/", 200}, {"GET", "/board", 200}, {"GET", page, 200}, {"GET", "/wait", 200}, {"GET", "/livez", 200},
		{"GET", "/orders/" + id, 404}, {"GET", "/orders/" + id + "-AAAAAAAAAAAAAAAAAAAAAAAAAA", 404},
		{"POST", "/orders/" + id + "-AAAAAAAAAAAAAAAAAAAAAAAAAA/cancel", 404},
		{"POST", page + "/cancel", 303},
	} {
		if res := h.ask(tt.method, tt.target, "", far); res.StatusCode != tt.want {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.target, res.StatusCode, tt.want)
		}
	}
}
