package web

import (
	"net/http"
	"strings"
	"testing"

	"barista/fleet/words"
)

// A page that is asked for and is not there answers in the house's form.
func TestLostPages(t *testing.T) {
	h := open(t)
	browser := header("Accept", "text/html,*/*;q=0.8")
	for _, tt := range []struct {
		method, path string
		status       int
	}{{"GET", "/nope", 404}, {"GET", "/orders/x/cup", 405}, {"DELETE", "/", 405}, {"GET", "/orders/x", 404}} {
		for _, lang := range words.Languages {
			res := h.ask(tt.method, tt.path, "", browser, header("Accept-Language", lang))
			status(t, res, tt.status)
			page := text(t, res)
			contains(t, page, `<html lang="`+lang+`">`, `class="button" href="/"`)
			if strange := foreign(lang, page); len(strange) > 0 {
				t.Errorf("%s: the customer reads %q", tt.path, strange)
			}
			if tt.status == 405 && res.Header.Get("Allow") == "" {
				t.Errorf("%s %s: what is allowed is not said", tt.method, tt.path)
			}
		}
	}
	if page := text(t, h.ask("GET", "/nope", "", header("Accept", "application/json"))); strings.Contains(page, "<") {
		t.Errorf("a program hears %q", page)
	}
	res := h.ask("GET", "/order", "", browser)
	status(t, res, http.StatusSeeOther)
	if to := res.Header.Get("Location"); to != "/" {
		t.Errorf("who has sent no form is led to %q", to)
	}
}
