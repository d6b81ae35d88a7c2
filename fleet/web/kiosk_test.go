package web

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A kiosk shows the same form and the same pages, and nothing that leads away; the order
// form of a customer's own device ends it.
func TestKiosk(t *testing.T) {
	h := open(t)
	far := from7("192.0.2.7:1")
	res := h.ask("GET", "/kiosk", "", far)
	status(t, res, http.StatusOK)
	page := text(t, res)
	contains(t, page, `class="page-form kiosk"`, `id="still"`, `action="/order"`)
	lacks(t, page, "<nav", "<footer", `href="/board"`)
	var mine []*http.Cookie
	for _, c := range res.Cookies() {
		if c.Name == kioskCookie {
			mine = append(mine, c)
		}
	}
	if len(mine) != 1 || !mine[0].HttpOnly {
		t.Fatalf("the device was given %v", res.Cookies())
	}
	with := func(r *http.Request) { r.AddCookie(mine[0]) }
	_, path := h.order("Ada")
	page = text(t, h.ask("GET", path, "", far, with))
	contains(t, page, "kiosk", "Next customer", `href="/kiosk"`)
	lacks(t, page, "<nav", "<footer")
	lacks(t, text(t, h.ask("GET", path, "", far)), "Next customer")
	refused := h.ask("POST", "/order", "name=", far, with)
	contains(t, text(t, refused), `class="page-form kiosk"`)
	res = h.ask("GET", "/", "", far, with)
	contains(t, text(t, res), "<nav")
	if c := res.Header.Get("Set-Cookie"); !strings.HasPrefix(c, kioskCookie+"=;") || !strings.Contains(c, "Max-Age=0") {
		t.Errorf("the order form left the kiosk: %q", c)
	}
}

func from7(address string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = address }
}

// A kiosk that one of the shop's people opened is one of the house: it needs no PIN, and
// its customers' orders are not one customer's. Anybody's is not.
func TestKioskOfTheHouse(t *testing.T) {
	for _, ours := range []bool{false, true} {
		h := build(t)
		h.web.PIN = "4711"
		h.run()
		where := "192.0.2.7:1"
		if ours {
			where = "127.0.0.1:1" // opened at the shop's own computer
		}
		res := h.ask("GET", "/kiosk", "", from7(where))
		cookies := res.Cookies()
		with := func(r *http.Request) {
			r.RemoteAddr = "192.0.2.8:1"
			for _, c := range cookies {
				r.AddCookie(c)
			}
		}
		if asks := strings.Contains(text(t, h.ask("GET", "/kiosk", "", with)), `name="pin"`); asks == ours {
			t.Errorf("a kiosk of the house: %v, asks for its PIN: %v", ours, asks)
		}
		for n := range DefaultOpenOrders + 2 {
			f := h.blank()
			res := h.ask("POST", "/order", f.Encode(), with)
			if taken := res.StatusCode == http.StatusSeeOther; taken != ours {
				t.Errorf("a kiosk of the house: %v, order %d was taken: %v", ours, n+1, taken)
			}
		}
	}
}

// screen is a browser that keeps its cookies, elsewhere than at the shop's computer.
type screen struct {
	h   *house
	jar http.CookieJar
	at  string
}

func (h *house) screen(address string) *screen {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &screen{h, jar, address}
}

func (s *screen) ask(method, target, body string, change ...func(*http.Request)) *http.Response {
	s.h.t.Helper()
	shop := &url.URL{Scheme: "http", Host: "localhost:8080", Path: "/"}
	res := s.h.ask(method, target, body, append([]func(*http.Request){with(s.jar.Cookies(shop)...), from7(s.at)}, change...)...)
	s.jar.SetCookies(shop, res.Cookies())
	return res
}

// Whatever a kiosk shows, no way leads from it to the pages of a customer's own device:
// not the page of two cups, nor that of a second one that was refused, nor a notice, nor
// a link to the order form.
func TestKioskIsNotLeft(t *testing.T) {
	h := open(t)
	one := h.screen("192.0.2.7:1")
	_, first := h.order("Ada")
	_, second := h.order("Ada")
	one.ask("GET", "/kiosk", "")
	ours := header("Sec-Fetch-Site", "same-origin")
	for name, path := range map[string]string{"two cups": first + "/with/" + strings.TrimPrefix(second, "/orders/"),
		"the second refused": first + "/second/out_of_stock", "gone": "/orders/none", "lost": "/nope"} {
		page := text(t, one.ask("GET", path, "", header("Accept", "text/html")))
		contains(t, page, ` kiosk">`, `href="/kiosk"`)
		lacks(t, page, "<nav", "<footer")
		if rest := regexp.MustCompile(`(?s)<p class="actions another">.*?</p>`).ReplaceAllString(page, ""); strings.Contains(rest, `href="/"`) {
			t.Errorf("%s: a way leads to the order form:\n%s", name, rest)
		}
	}
	for _, path := range []string{"/", "/?lang=fr", "/order"} {
		leadsTo(t, one.ask("GET", path, "", ours), "/kiosk")
	}
	contains(t, text(t, one.ask("GET", first, "")), ` kiosk">`) // it is one still
	contains(t, text(t, one.ask("GET", "/", "", header("Sec-Fetch-Site", "none"))), "<nav")
	lacks(t, text(t, one.ask("GET", first, "")), ` kiosk">`)
}

// The next customer of a kiosk finds the kiosk's language, not that of the one before,
// and nothing that he typed; and his own typed text survives a change of language.
func TestKioskForgetsItsCustomer(t *testing.T) {
	h := open(t)
	one := h.screen("192.0.2.7:1")
	status(t, one.ask("GET", "/kiosk?lang=fr", ""), http.StatusOK) // it speaks French
	page := text(t, one.ask("GET", "/kiosk", ""))
	contains(t, page, `<html lang="fr">`, `formaction="/language?lang=en"`)
	f := h.blank()
	f.Set("name", "Ada Lovelace")
	leadsTo(t, one.ask("POST", "/language?lang=en", f.Encode()), "/order")
	page = text(t, one.ask("GET", "/order", ""))
	contains(t, page, `<html lang="en">`, "Ada Lovelace", ` kiosk">`)
	page = text(t, one.ask("GET", "/kiosk?lang=en", "")) // of a page that has no form
	contains(t, page, `<html lang="en">`)
	one.ask("POST", "/language?lang=en", f.Encode())
	page = text(t, one.ask("GET", "/kiosk", ""))
	contains(t, page, `<html lang="fr">`)
	lacks(t, page, "Lovelace")
	leadsTo(t, one.ask("GET", "/order", ""), "/kiosk") // no draft of his is left
	contains(t, text(t, one.ask("GET", "/nope", "", header("Accept", "text/html"))), `<html lang="fr">`)
}

// A kiosk of the house that nobody used for a month is anybody's, one that is on stays;
// and no kiosk orders faster than people can.
func TestKioskOfTheHouseHasBounds(t *testing.T) {
	h := build(t)
	now := time.Now()
	h.web.Wall = func() time.Time { return now }
	h.web.PIN = "4711"
	h.run()
	one := h.screen("127.0.0.1:1")
	one.ask("GET", "/kiosk", "")
	one.at = "192.0.2.7:1"
	asks := func() bool {
		t.Helper()
		return strings.Contains(text(t, one.ask("POST", "/order", "name=")), `name="pin"`)
	}
	now = now.Add(kioskTime - time.Hour)
	if asks() {
		t.Fatal("a kiosk of the house asks for its PIN")
	}
	one.ask("GET", "/kiosk", "")
	now = now.Add(kioskTime - time.Hour)
	if asks() {
		t.Error("a kiosk that is on asks for the PIN")
	}
	last := 0
	for range 2 * kioskOrder.burst {
		if last = one.ask("POST", "/order", h.blank().Encode()).StatusCode; last == http.StatusTooManyRequests {
			break
		}
	}
	if last != http.StatusTooManyRequests {
		t.Error("a kiosk orders without end")
	}
	now = now.Add(2 * time.Hour)
	if !asks() {
		t.Error("a kiosk that was put away for a month does not ask for the PIN")
	}
}

func TestManifest(t *testing.T) {
	h := open(t)
	res := h.ask("GET", "/manifest.webmanifest", "", header("Accept-Language", "fr"))
	status(t, res, http.StatusOK)
	var m struct {
		Name  string `json:"name"`
		Lang  string `json:"lang"`
		Start string `json:"start_url"`
		Icons []struct {
			Src string `json:"src"`
		} `json:"icons"`
	}
	if err := json.Unmarshal([]byte(text(t, res)), &m); err != nil || m.Name == "" || m.Lang != "fr" || m.Start != "/" || len(m.Icons) < 3 {
		t.Fatalf("%+v %v", m, err)
	}
	for _, icon := range m.Icons {
		status(t, h.ask("GET", icon.Src, ""), http.StatusOK)
	}
}

// What a browser keeps for the time without a connection is there, and promises nothing.
func TestOfflinePage(t *testing.T) {
	h := open(t)
	script := text(t, h.ask("GET", "/worker.js", ""))
	m := regexp.MustCompile(`^const KEPT = (\[.*\]);`).FindStringSubmatch(script)
	if m == nil {
		t.Fatalf("the script does not say what it keeps:\n%s", script)
	}
	var kept []string
	if err := json.Unmarshal([]byte(m[1]), &kept); err != nil {
		t.Fatal(err)
	}
	for _, path := range kept {
		status(t, h.ask("GET", path, ""), http.StatusOK)
	}
	put := regexp.MustCompile(`replace\('([^']+)'`).FindStringSubmatch(script)
	if put == nil {
		t.Fatalf("the script does not say where it puts what was typed:\n%s", script)
	}
	for _, lang := range languages {
		say := readWords(lang).say
		for _, kiosk := range []bool{false, true} {
			path := "/offline/" + lang + "/anybody"
			if kiosk {
				path = "/offline/" + lang + "/kiosk"
			}
			if !slices.Contains(kept, path) || !slices.Contains(kept, path+"/sent") {
				t.Errorf("%s is not kept", path)
			}
			res := h.ask("GET", path, "", header("Accept-Language", "en"))
			page := html.UnescapeString(text(t, res))
			contains(t, page, `<html lang="`+lang+`">`, say("offline.title"), say("offline.text"))
			sent := html.UnescapeString(text(t, h.ask("GET", path+"/sent", "")))
			contains(t, sent, say("offline.sent"), `action="/order"`)
			lacks(t, sent, say("offline.text"), "Thank you", "Merci")
			if n := strings.Count(sent, put[1]); n != 1 {
				t.Errorf("%s has %d places for what was typed", path, n)
			}
			for _, one := range []string{page, sent} {
				if away := strings.Contains(one, "<nav"); away == kiosk {
					t.Errorf("%s leads away: %v", path, away)
				}
			}
			if c := res.Cookies(); len(c) > 0 {
				t.Errorf("what a browser keeps changed the language to %v", c)
			}
		}
	}
	status(t, h.ask("GET", "/offline/xx/anybody", ""), http.StatusNotFound)
	status(t, h.ask("GET", "/offline/en/anybody/x", ""), http.StatusNotFound)
	if n := len(h.shop.orders()); n != 0 {
		t.Errorf("%d orders came of that", n)
	}
}
