package web

import (
	"net/http"
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

// The whole front end stays small enough for an old tablet on a slow network.
func TestFrontEndIsSmall(t *testing.T) {
	total := 0
	for _, a := range assets {
		total += len(a.body)
	}
	if lines := strings.Count(string(assets["live.js"].body), "\n"); lines > 300 {
		t.Errorf("live.js has %d lines", lines)
	}
	if total > 30<<10 {
		t.Errorf("the assets have %d bytes", total)
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
