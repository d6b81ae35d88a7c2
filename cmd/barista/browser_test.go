package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowser orders in a real browser at a whole shop, and sees it served.
func TestBrowser(t *testing.T) {
	ctx := browse(t, chromium(t))
	h := openHouse(t, demo{http: "127.0.0.1:0", nats: "none", machines: 2, speed: 20, cups: "auto"}, nil)
	h.ready()
	if err := chromedp.Do(ctx, byButton("http://"+h.page.Listener.Addr().String()+"/", "mixed")...); err != nil {
		t.Fatal(err)
	}
	if got := h.poured(); got != 1 {
		t.Errorf("the page says served, and %d were poured", got)
	}
}
