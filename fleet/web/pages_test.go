package web

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestAssets(t *testing.T) {
	h := open(t)
	page := text(t, h.ask("GET", "/board", ""))
	for _, name := range []string{"style.css", "live.js", "old.js", "icon.svg"} {
		if !strings.Contains(page, `"`+assetPath(name)+`"`) {
			t.Errorf("the page does not ask for %s", name)
		}
		res := h.ask("GET", assetPath(name), "")
		status(t, res, http.StatusOK)
		contains(t, res.Header.Get("Cache-Control"), "immutable")
		if text(t, res) == "" {
			t.Errorf("%s is empty", name)
		}
		old := h.ask("GET", "/assets/"+name+"?v=0", "")
		if old.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s under an old address: %s", name, old.Header.Get("Cache-Control"))
		}
		status(t, h.ask("GET", assetPath(name), "", header("If-None-Match", old.Header.Get("ETag"))), http.StatusNotModified)
	}
	for _, bad := range []string{"/assets/", "/assets/none.js", "/assets/%2e%2e%2fweb.go", "/assets/view/form.html"} {
		status(t, h.ask("GET", bad, ""), http.StatusNotFound)
	}
}

// What a page loads stays small enough for an old tablet on a slow network: 40 KiB
// beside its own text, and 60 kB with it.
func TestFrontEndIsSmall(t *testing.T) {
	h := open(t)
	_, order := h.order("Ada")
	id, other := h.order("Ada")
	h.write(id, brewing("zoe"))
	for i := range 30 { // of all kinds, with names as long as a board shows them
		one, _ := h.order(strings.Repeat("W", 38) + strconv.Itoa(10+i))
		h.write(one, [][]arrow{{}, {brewing("zoe")}, {brewing("zoe"), served("zoe")}}[i%3]...)
	}
	pair := order + "/with/" + strings.TrimPrefix(other, "/orders/")
	for _, path := range []string{"/", order, pair, order + "/second/out_of_stock", "/board", "/board?kiosk", "/kiosk", "/offline/fr/kiosk/sent", "/fleet", "/history", "/nope"} {
		page := text(t, h.ask("GET", path, "", header("Accept", "text/html")))
		total := 0
		for name, a := range assets {
			if strings.Contains(page, "/assets/"+name) {
				total += len(a.body)
			}
		}
		if total < 10<<10 || total > 40<<10 || total+len(page) > 60_000 {
			t.Errorf("%s loads %d bytes, and has %d itself", path, total, len(page))
		}
	}
	if n := strings.Count(text(t, h.ask("GET", "/board", "")), "<bdi>"); n < 30 {
		t.Errorf("the board that was weighed has %d people", n)
	}
	if lines := strings.Count(string(assets["live.js"].body), "\n"); lines > 300 {
		t.Errorf("live.js has %d lines", lines)
	}
}

func TestNothingIsLoadedFromElsewhere(t *testing.T) {
	for name, a := range assets {
		s := strings.ReplaceAll(string(a.body), "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http:", "https:", "//cdn", "@import", "url("} {
			if strings.Contains(s, bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
}
