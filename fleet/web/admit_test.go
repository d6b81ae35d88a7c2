package web

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// phone is a browser that keeps its cookies and asks from an address.
type phone struct {
	h    *house
	jar  *cookiejar.Jar
	from string
}

func (h *house) phone(from string) *phone {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &phone{h, jar, from}
}

func (p *phone) ask(method, target, body string, change ...func(*http.Request)) *http.Response {
	p.h.t.Helper()
	at, _ := url.Parse("http://localhost:8080" + target)
	all := append([]func(*http.Request){func(r *http.Request) {
		r.RemoteAddr = p.from + ":1234"
		for _, c := range p.jar.Cookies(at) {
			r.AddCookie(c)
		}
	}}, change...)
	res := p.h.ask(method, target, body, all...)
	p.jar.SetCookies(at, res.Cookies())
	return res
}

// order orders by the form, with more fields.
func (p *phone) order(more ...string) (id string, res *http.Response) {
	p.h.t.Helper()
	f := p.h.blank()
	for i := 0; i < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	return f.Get("id"), p.ask("POST", "/order", f.Encode())
}

// A customer has at most so many orders under way, by his phone's cookie and by
// his address; what ended makes room, and the same order counts once.
func TestOpenOrdersOfOne(t *testing.T) {
	h := open(t)
	h.web.orders = newRates(pace{time.Nanosecond, 1000}, pace{time.Nanosecond, 1000})
	ada := h.phone("192.0.2.7")
	var ids []string
	for range DefaultOpenOrders {
		id, res := ada.order()
		status(t, res, http.StatusSeeOther)
		ids = append(ids, id)
	}
	_, res := ada.order()
	status(t, res, http.StatusTooManyRequests)
	contains(t, text(t, res), "You have 4 coffees under way", `value="Ada"`)
	f := h.blank()
	f.Set("id", ids[0]) // a double click is one order
	status(t, ada.ask("POST", "/order", f.Encode()), http.StatusSeeOther)
	res = ada.ask("POST", "/order", h.blank().Encode(), header("Accept-Language", "fr"))
	contains(t, text(t, res), "Vous avez déjà 4 cafés en cours")
	json := `{"name":"Ada","size":"small","bean_type":"arabica","milk":"free","sugar_count":"1"}`
	res = ada.ask("POST", "/order-coffee", json, header("Content-Type", "application/json"))
	status(t, res, http.StatusTooManyRequests)

	h.write(ids[0], brewing("zoe"), served("zoe"))
	h.write(ids[1], stopped(fleet.Cancelled))
	for range 2 {
		_, res = ada.order()
		status(t, res, http.StatusSeeOther)
	}
	_, res = ada.order()
	status(t, res, http.StatusTooManyRequests)

	// Without cookies, or with a new one each time, the address counts.
	taken := DefaultOpenOrders
	for range 3 * perAddress * DefaultOpenOrders {
		res := h.ask("POST", "/order", h.blank().Encode(), func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1" })
		if res.StatusCode == http.StatusSeeOther {
			taken++
		}
	}
	if taken != perAddress*DefaultOpenOrders {
		t.Errorf("an address has %d under way, want %d", taken, perAddress*DefaultOpenOrders)
	}
	_, res = h.phone("192.0.2.8").order()
	status(t, res, http.StatusSeeOther)
	for range 30 { // this computer is free: its screen is everybody's
		status(t, h.ask("POST", "/order", h.blank().Encode()), http.StatusSeeOther)
	}
	if n := len(h.web.tally.list); n > 20 {
		t.Errorf("%d are counted", n)
	}
}

// What the shop refused is not under way; what it may have taken is, until the
// book has shown for long that it was not.
func TestRefusedOrdersAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := map[string]bool{}
		l := &tally{most: 2, open: func(id string) (bool, bool) { open, there := known[id]; return open, there }}
		enter := func(id string) (*started, bool) { return l.enter(id, "phone", address(1)) }
		for range 20 {
			s, ok := enter("")
			if !ok {
				t.Fatal("a refused order counts")
			}
			l.answered(s, fleet.Sorry("", fleet.CodeOutOfStock, ""))
		}
		a, _ := enter("a")
		l.answered(a, fleet.Sorry("a", fleet.CodeUnavailable, ""))
		b, _ := enter("")
		if _, ok := enter("c"); ok {
			t.Error("one that is being placed does not count")
		}
		l.answered(b, fleet.Success("b"))
		if _, ok := enter("b"); !ok {
			t.Error("the same order was refused")
		}
		if _, ok := enter("c"); ok {
			t.Error("a third was let in")
		}
		known["b"] = false
		if s, ok := enter("c"); !ok {
			t.Error("an ended order counts")
		} else {
			l.answered(s, fleet.Success("c"))
		}
		time.Sleep(forgetOpen + time.Second)
		known["c"] = true
		if s, ok := enter("d"); !ok {
			t.Error("an order that never came to be counts for ever")
		} else {
			l.answered(s, fleet.Success("d"))
		}
		if _, ok := enter("e"); ok {
			t.Error("an order that waits long does not count")
		}
	})
}

func TestPIN(t *testing.T) {
	h := open(t)
	h.web.PIN = "4711"
	ada := h.phone("192.0.2.7")
	contains(t, text(t, ada.ask("GET", "/", "")), `name="pin"`, "PIN of this house")
	_, res := ada.order()
	status(t, res, http.StatusForbidden)
	contains(t, text(t, res), "Please type the PIN", `name="pin"`)
	_, res = ada.order("pin", "0815")
	status(t, res, http.StatusForbidden)
	page := text(t, res)
	contains(t, page, "not the PIN")
	lacks(t, page, "0815", "4711")
	id, res := ada.order("pin", "4711")
	status(t, res, http.StatusSeeOther)
	lacks(t, text(t, ada.ask("GET", "/", "")), `name="pin"`)
	_, res = ada.order()
	status(t, res, http.StatusSeeOther)
	json := `{"name":"Ada","size":"small","bean_type":"arabica","milk":"free","sugar_count":"1"}`
	status(t, ada.ask("POST", "/order-coffee", json, header("Content-Type", "application/json")), http.StatusOK)

	// Another device needs it anew, and another's cookie is of no use to it.
	bob := h.phone("192.0.2.8")
	at, _ := url.Parse("http://localhost:8080/")
	for _, c := range ada.jar.Cookies(at) {
		if c.Name == pinCookie {
			bob.jar.SetCookies(at, []*http.Cookie{c})
		}
	}
	_, res = bob.order()
	status(t, res, http.StatusForbidden)
	status(t, bob.ask("POST", "/order-coffee", json, header("Content-Type", "application/json")), http.StatusForbidden)
	status(t, bob.ask("GET", h.web.pathOf(id), ""), http.StatusOK) // who has the address sees the order
	status(t, h.ask("POST", "/order", h.blank().Encode()), http.StatusSeeOther)

	// Tries are few, the right one among them too.
	for range guessing.burst {
		_, res = bob.order("pin", "1")
		status(t, res, http.StatusForbidden)
	}
	_, res = bob.order("pin", "4711")
	status(t, res, http.StatusTooManyRequests)
	contains(t, text(t, res), "tried too often")
	status(t, bob.ask("GET", "/t/"+h.web.tableToken(), ""), http.StatusTooManyRequests)

	// A printed code stands for it, until the PIN is another one.
	carl := h.phone("192.0.2.9")
	status(t, carl.ask("GET", "/t/AAAA", ""), http.StatusForbidden)
	status(t, carl.ask("GET", "/t/"+h.web.tableToken(), ""), http.StatusSeeOther)
	_, res = carl.order()
	status(t, res, http.StatusSeeOther)
	h.web.PIN = "4712"
	_, res = carl.order()
	status(t, res, http.StatusForbidden)
	if strings.Contains(h.log.String(), "471") {
		t.Error("the log tells the PIN")
	}
}

func TestCookies(t *testing.T) {
	h := open(t)
	h.web.PIN = "4711"
	h.web.Proxies = prefixes("127.0.0.1/32")
	for proto, name := range map[string]string{"http": "device", "https": "__Host-device"} {
		f := h.blank()
		f.Set("pin", "4711")
		res := h.ask("POST", "/order", f.Encode(), header("X-Forwarded-For", "192.0.2.7"), header("X-Forwarded-Proto", proto), func(r *http.Request) { *r = *r.WithContext(context.Background()) })
		status(t, res, http.StatusSeeOther)
		if n := len(res.Cookies()); n != 2 {
			t.Errorf("%d cookies", n)
		}
		for i, c := range res.Cookies() {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != (proto == "https") {
				t.Errorf("%s: %s", proto, c)
			}
			if i == 0 && c.Name != name {
				t.Errorf("%s: the device's cookie is %s", proto, c.Name)
			}
		}
	}
	// What a browser sends as its device is ours, or nothing.
	for _, odd := range []string{"", "x", strings.Repeat("A", 1000), "<script>alert(1)</script>x", strings.Repeat("a", 26)} {
		res := h.ask("POST", "/order", h.blank().Encode(), header("X-Forwarded-For", "192.0.2.8"), header("Cookie", "device="+odd))
		if len(res.Cookies()) == 0 {
			t.Errorf("%q is a device", odd)
		}
	}
}
