package main

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestBrowser orders in a real browser at a whole shop, and sees it served.
func TestBrowser(t *testing.T) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium here: apt-get install chromium")
	}
	h := openHouse(t, demo{http: "127.0.0.1:0", nats: "none", machines: 2, speed: 20, cups: "auto"}, nil)
	h.ready()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("lang", "en"), chromedp.WSURLReadTimeout(60*time.Second))...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx,
		chromedp.Navigate("http://"+h.page.Listener.Addr().String()+"/"),
		chromedp.WaitVisible("#name"), chromedp.SendKeys("#name", "Zoé & Co"),
		chromedp.Click(`label[for="size-small"]`), chromedp.Click(`label[for="bean_type-mixed"]`),
		chromedp.Click(`button[type="submit"]`),
		chromedp.WaitVisible(".mood-served"),
	); err != nil {
		t.Fatal(err)
	}
	if got := h.poured(); got != 1 {
		t.Errorf("the page says served, and %d were poured", got)
	}
	if err := chromedp.Cancel(ctx); err != nil {
		t.Logf("closing the browser: %v", err)
	}
}
