package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeadersOnEverything(t *testing.T) {
	h := open(t)
	_, page := h.order("Ada")
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "no-referrer",
	}
	for _, target := range []string{"/", "/board", "/fleet", "/history", "/history.csv", page, "/wait", "/livez", "/readyz", "/nothing", "/orders/x", assetPath("style.css"), "/assets/../web.go"} {
		res := h.ask("GET", target, "")
		for name, value := range want {
			if got := res.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q", target, name, got)
			}
		}
	}
	for _, target := range []string{"/order", "/order-coffee", page + "/cup"} {
		if got := h.ask("POST", target, "x").Header.Get("Content-Security-Policy"); got == "" {
			t.Errorf("POST %s has no policy", target)
		}
	}
}

func TestMethods(t *testing.T) {
	h := open(t)
	_, page := h.order("Ada")
	for _, tt := range []struct{ method, target string }{
		{"PUT", "/order"}, {"GET", "/order-coffee"}, {"PUT", "/order-coffee"}, {"DELETE", "/"}, {"POST", "/"}, {"POST", "/board"},
		{"GET", page + "/cup"}, {"GET", page + "/cancel"}, {"POST", page}, {"TRACE", "/"},
	} {
		status(t, h.ask(tt.method, tt.target, ""), http.StatusMethodNotAllowed)
	}
	status(t, h.ask("HEAD", "/", ""), http.StatusOK)
}

func TestHosts(t *testing.T) {
	h := open(t)
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for name, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8080": 200, "127.0.0.1:1": 200, "[::1]:8080": 200, "[::1]": 200,
		"": 421, "evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.nip.io:8080": 421, "0.0.0.0:8080": 421, "shop.local": 421,
	} {
		status(t, h.ask("GET", "/", "", host(name)), want)
		status(t, h.ask("GET", "/livez", "", host(name)), want)
	}
	h.web = New(Parts{Shop: h.shop, Book: h.records, Levels: h.stock.read, Hosts: []string{"shop.local"}})
	for name, want := range map[string]int{
		"shop.local:8080": 503, "SHOP.LOCAL.": 503, "localhost": 503, // not running, but ours
		"shop": 421, "evil.shop.local": 421, "192.0.2.1": 421, "[fe80::1]:80": 421,
	} {
		status(t, h.ask("GET", "/readyz", "", host(name)), want)
	}
	// The address at which a request arrives can't be made to point elsewhere.
	at := func(a string) func(*http.Request) {
		return func(r *http.Request) {
			*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a))))
		}
	}
	status(t, h.ask("GET", "/livez", "", host("192.0.2.1:8080"), at("192.0.2.1:8080")), 200)
	status(t, h.ask("GET", "/livez", "", host("192.0.2.1"), at("[::ffff:192.0.2.1]:80")), 200)
	status(t, h.ask("GET", "/livez", "", host("[fe80::1]:80"), at("[fe80::1%eth0]:80")), 200)
	status(t, h.ask("GET", "/livez", "", host("192.0.2.2"), at("192.0.2.1:8080")), 421)
	status(t, h.ask("GET", "/livez", "", host("shop"), at("192.0.2.1:8080")), 421)
}

func TestOtherSitesCantPost(t *testing.T) {
	h := open(t)
	f := h.blank()
	_, page := h.order("Bob")
	for _, change := range []func(*http.Request){
		header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Site", "same-site"),
		header("Origin", "https://evil.example"), header("Origin", "null"), header("Origin", "http://localhost:9999"),
	} {
		status(t, h.ask("POST", "/order", f.Encode(), change), http.StatusForbidden)
		status(t, h.ask("POST", "/order-coffee", "{}", header("Content-Type", "application/json"), change), http.StatusForbidden)
		status(t, h.ask("POST", page+"/cup", "", change), http.StatusForbidden)
		status(t, h.ask("POST", page+"/cancel", "", change), http.StatusForbidden)
	}
	if n := len(h.shop.orders()); n != 1 {
		t.Errorf("%d orders, want only Bob's", n)
	}
	status(t, h.ask("POST", "/order", f.Encode(), header("Sec-Fetch-Site", "same-origin"), header("Origin", "http://localhost:8080")), http.StatusSeeOther)
}

func TestOrdersPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRates(ordering, orderAll)
		take := func(from string) (n int) {
			ap, _ := netip.ParseAddrPort(from)
			for n < 100 && l.allow(householdOf(net.TCPAddrFromAddrPort(ap))) {
				n++
			}
			return n
		}
		if n := take("192.0.2.1:1"); n != 10 {
			t.Errorf("a burst of %d, want 10", n)
		}
		if n := take("192.0.2.1:2"); n != 0 {
			t.Errorf("another port of the same address got %d more", n)
		}
		if n := take("192.0.2.2:1"); n != 10 {
			t.Errorf("another address got %d", n)
		}
		if n := take("[2001:db8::1]:1"); n != 10 {
			t.Errorf("an IPv6 address got %d", n)
		}
		if n := take("[2001:db8::2]:1"); n != 0 {
			t.Errorf("its neighbour in the same network got %d more", n)
		}
		time.Sleep(time.Minute)
		if n := take("192.0.2.1:1"); n != 5 {
			t.Errorf("%d more after a minute, want 5", n)
		}
		if n := take("no address"); n != 0 {
			t.Errorf("an address that is none got %d", n)
		}
		time.Sleep(time.Hour)
		for a := range 100 {
			for b := range 100 {
				l.allow(household(netip.AddrFrom4([4]byte{198, 51, byte(a), byte(b)})))
			}
		}
		if len(l.by) > maxAddresses {
			t.Errorf("%d addresses are kept", len(l.by))
		}
		time.Sleep(time.Hour)
		if n := take("203.0.113.9:1"); n != 10 {
			t.Errorf("an honest address got %d after the flood, want 10", n)
		}
	})
}

func TestTooManyOrders(t *testing.T) {
	h := open(t)
	far := func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1234" }
	h.web.tally.most = 1000
	for range ordering.burst {
		status(t, h.ask("POST", "/order", h.blank().Encode(), far), http.StatusSeeOther)
	}
	f := h.blank()
	res := h.ask("POST", "/order", f.Encode(), far)
	status(t, res, http.StatusTooManyRequests)
	page := text(t, res)
	contains(t, page, "a lot of orders at once", `value="Ada"`, f.Get("id"))
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if code, a := h.post(`{}`, far); code != http.StatusTooManyRequests || a.Status != "error" {
		t.Errorf("%d %+v", code, a)
	}
	if n := len(h.shop.orders()); n != ordering.burst {
		t.Errorf("%d orders, want %d", n, ordering.burst)
	}
}

// Who is sent away reads why in the language of his browser.
func TestSentAwayInHisLanguage(t *testing.T) {
	h := open(t)
	for _, lang := range languages {
		say := readWords(lang).say
		speaks := header("Accept-Language", lang)
		res := h.ask("GET", "/", "", speaks, func(r *http.Request) { r.Host = "evil.example" })
		status(t, res, http.StatusMisdirectedRequest)
		contains(t, text(t, res), say("host.text"))
		h.web.asks = newRates(asking, askingAll)
		for range 4 * asking.burst {
			res = h.ask("GET", "/livez/no", "", speaks, from7("192.0.2.7:1"))
			if res.StatusCode == http.StatusTooManyRequests {
				break
			}
		}
		status(t, res, http.StatusTooManyRequests)
		contains(t, text(t, res), say("busy.text"))
	}
}
