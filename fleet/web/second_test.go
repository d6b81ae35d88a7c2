package web

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"barista/fleet"
	"barista/fleet/words"
)

// Two cups are two orders: the second is asked for once the first was taken, and what
// became of each is said.
func TestTwoCups(t *testing.T) {
	two := func(h *house) url.Values {
		page := text(t, h.ask("GET", "/", ""))
		f := h.blank()
		f.Set("id", hiddenID.FindStringSubmatch(page)[1])
		f.Set("second", regexp.MustCompile(`name="second" value="([^"]*)"`).FindStringSubmatch(page)[1])
		f.Set("cups", "2")
		return f
	}
	t.Run("both", func(t *testing.T) {
		h := open(t)
		f := two(h)
		for range 3 { // a double click
			res := h.ask("POST", "/order", f.Encode())
			status(t, res, http.StatusSeeOther)
			path, _, _ := strings.Cut(res.Header.Get("Location"), "#")
			page := text(t, h.ask("GET", path, ""))
			contains(t, page, "Your two cups", "First cup", "Second cup", h.web.pathOf(f.Get("id")), h.web.pathOf(f.Get("second")), path+"/events")
		}
		if n := len(h.shop.orders()); n != 2 {
			t.Errorf("%d orders", n)
		}
	})
	refused := func(code string) (*house, url.Values, *http.Response) {
		h := open(t)
		f := two(h)
		h.shop.after = 1
		h.shop.refuse = &fleet.Answer{Status: "error", Code: code, Message: "words of the shop"}
		return h, f, h.ask("POST", "/order", f.Encode())
	}
	t.Run("the second is refused", func(t *testing.T) {
		h, f, res := refused(fleet.CodeOutOfStock)
		status(t, res, http.StatusSeeOther)
		path, _, _ := strings.Cut(res.Header.Get("Location"), "#")
		if want := h.web.pathOf(f.Get("id")) + "/second/out_of_stock"; path != want {
			t.Errorf("leads to %s, want %s", path, want)
		}
		page := text(t, h.ask("GET", path, ""))
		contains(t, page, "Your first cup is ordered, the second one is not. There is not enough left", "Thank you, Ada!", "url="+path)
		lacks(t, page, "words of the shop")
	})
	t.Run("of the second nobody knows", func(t *testing.T) {
		h, f, res := refused(fleet.CodeUnavailable)
		status(t, res, http.StatusServiceUnavailable)
		page := text(t, res)
		contains(t, page, "One of your two cups is ordered", "it stays two cups", f.Get("id"), f.Get("second"), `name="cups" value="2" checked`,
			`href="`+h.web.pathOf(f.Get("id"))+`"`)
		again := text(t, h.ask("GET", "/order", "", with(res.Cookies()...)))
		contains(t, again, "One of your two cups is ordered", f.Get("id"))
		lacks(t, again, h.web.proof(f.Get("id"))) // anybody can write such a draft, with anybody's order
		h.shop.set(func(s *shop) { s.refuse = nil })
		status(t, h.ask("POST", "/order", f.Encode()), http.StatusSeeOther)
		if n := len(h.shop.orders()); n != 2 {
			t.Errorf("%d orders", n)
		}
	})
	t.Run("the first is refused", func(t *testing.T) {
		h := open(t)
		f := two(h)
		h.shop.refuse = &fleet.Answer{Status: "error", Code: fleet.CodeOutOfStock}
		res := h.ask("POST", "/order", f.Encode())
		status(t, res, http.StatusConflict)
		page := text(t, res)
		contains(t, page, "Your coffee was not ordered")
		lacks(t, page, f.Get("id"), f.Get("second"))
	})
}

// The second cup is asked for by who asked for the first: a device that has no cookie yet
// is given one name, and its PIN counts as one try.
func TestTwoCupsOfOneDevice(t *testing.T) {
	h := build(t)
	h.web.PIN = "4711"
	h.run()
	f := h.blank()
	f.Set("second", ulidB)
	f.Set("cups", "2")
	f.Set("pin", "4711")
	res := h.ask("POST", "/order", f.Encode(), from7("192.0.2.7:1"))
	status(t, res, http.StatusSeeOther)
	given := map[string]int{}
	for _, c := range res.Cookies() {
		given[c.Name]++
	}
	if given[deviceCookie] != 1 || given[pinCookie] != 1 {
		t.Errorf("the device was given %v", res.Cookies())
	}
	h.web.tally.mu.Lock()
	defer h.web.tally.mu.Unlock()
	if l := h.web.tally.list; len(l) != 2 || l[0].device != l[1].device {
		t.Errorf("the cups are those of %d devices", len(l))
	}
}

// Why the second cup was not taken is said for every refusal, and with its reason.
func TestWhyNotTheSecondCup(t *testing.T) {
	h := open(t)
	_, path := h.order("Ada")
	say := func(code string) string {
		t.Helper()
		return html.UnescapeString(text(t, h.ask("GET", path+"/second/"+code, "")))
	}
	contains(t, say("open"), "the second one is not. You have 4 coffees under way")
	contains(t, say("rate"), "in a minute")
	lacks(t, say("rate")+say("id_conflict")+say("cannot"), "ress the button", "%[1]")
	contains(t, say("nonsense"), readWords("en").say("error.other"))
	page := say("cannot") // it can be made by now
	contains(t, page, "Your first cup is ordered, the second one is not.</p>", "/second/cannot?lang=fr")
	h.all(fleet.Wait{Code: "tray"})
	contains(t, say("cannot"), "the second one is not. "+readWords("en").say("error.cannot", words.Now("en", "tray")))
}
