package web

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
)

// TestTableAndLogin: an operator who sits at a table is two things in one browser, by two
// proofs that know nothing of each other: the code of the table lets him order and
// nothing else, the login lets him operate and is no PIN; whichever ends, or is guessed
// at, leaves the other alone.
func TestTableAndLogin(t *testing.T) {
	h, _, _ := hired(t)
	h.web.PIN = "4711"
	at, _ := url.Parse("https://localhost:8080/")
	browser := func(from string) func(method, target, body string) *http.Response {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return func(method, target, body string) *http.Response {
			t.Helper()
			res := h.ask(method, target, body, overTLS, with(jar.Cookies(at)...), func(r *http.Request) { r.RemoteAddr = from + ":1234" })
			jar.SetCookies(at, res.Cookies())
			return res
		}
	}
	login := form("name", bossName, "password", bossPassword)
	operates := func(ask func(method, target, body string) *http.Response, want bool) {
		t.Helper()
		res := ask("GET", "/operators", "")
		if !want {
			status(t, res, http.StatusSeeOther)
			return
		}
		contains(t, text(t, res), "logged in as boss")
	}
	orders := func(ask func(method, target, body string) *http.Response, want int) {
		t.Helper()
		status(t, ask("POST", "/order", h.blank().Encode()), want)
	}

	boss := browser("192.0.2.7")
	leadsTo(t, boss("POST", "/login", login), "/operators")
	operates(boss, true)
	orders(boss, http.StatusForbidden) // a login is no PIN
	status(t, boss("GET", "/t/"+h.web.tableToken(), ""), http.StatusSeeOther)
	orders(boss, http.StatusSeeOther)
	operates(boss, true) // and stays one
	leadsTo(t, boss("POST", "/logout", ""), "/")
	operates(boss, false)
	orders(boss, http.StatusSeeOther) // he still sits at the table

	guest := browser("192.0.2.8")
	status(t, guest("GET", "/t/"+h.web.tableToken(), ""), http.StatusSeeOther)
	operates(guest, false)
	leadsTo(t, guest("POST", "/login", login), "/operators")
	orders(guest, http.StatusSeeOther)
	h.web.PIN = "4712" // what the house asks for is another one: that ends the table, not the login
	orders(guest, http.StatusForbidden)
	operates(guest, true)

	// Guesses at the one are none at the other, from one address.
	pins := browser("192.0.2.9")
	for range guessing.burst + 1 {
		f := h.blank()
		f.Set("pin", "1")
		pins("POST", "/order", f.Encode())
	}
	status(t, pins("GET", "/t/"+h.web.tableToken(), ""), http.StatusTooManyRequests)
	leadsTo(t, pins("POST", "/login", login), "/operators")
	words := browser("192.0.2.10")
	for i := range 15 {
		words("POST", "/login", form("name", "another", "password", fmt.Sprint("guess number ", i)))
	}
	status(t, words("POST", "/login", login), http.StatusTooManyRequests)
	status(t, words("GET", "/t/"+h.web.tableToken(), ""), http.StatusSeeOther)
	orders(words, http.StatusSeeOther)
}
