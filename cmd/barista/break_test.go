package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"barista/cmd/barista/chaos"
	"barista/cmd/barista/reach"
	"barista/fleet"
	"barista/fleet/web"
)

// openDemo is openHouse with what may be broken, as the demo has it.
func openDemo(t *testing.T, d demo) *house {
	t.Helper()
	f, machines, err := d.file(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h := &house{shop: newShop(log, f), t: t}
	h.chaos = chaos.New(log, names[:d.machines]...)
	if err := h.open(t.Context(), machines); err != nil {
		t.Fatal(err)
	}
	if h.conn, err = h.connect(t.Context(), "customer"); err != nil {
		t.Fatal(err)
	}
	h.stop = h.runs()
	t.Cleanup(h.stop)
	return h
}

// The same shop as a service has no page where it can be broken, whoever asks.
func TestNoServiceIsToBeBroken(t *testing.T) {
	h := openHouse(t, demo{http: "127.0.0.1:0", nats: "none", machines: 1, speed: 20, cups: "auto"}, nil)
	for _, path := range []string{"/chaos", "/chaos/events"} {
		res, err := http.Get(h.page.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

// breakTries is how often something is broken until all was seen. A machine whose loop
// got no processor for half a second has switched everything off, and the drink comes to
// another end than the page says; it says that too.
const breakTries = 10

// TestBreakEverything presses each button of the demo's page in a real browser, sees each
// tick, and mends it again.
func TestBreakEverything(t *testing.T) {
	ctx := browseFor(t, 6*time.Minute, chromium(t))
	h := openDemo(t, demo{http: "127.0.0.1:0", nats: "none", machines: 3, speed: 20, cups: "auto"})
	h.ready()
	page := h.page.URL() + "/chaos"
	run := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(script string) (yes bool) {
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script))
		return err == nil && yes // a page that is being loaded has no answer
	}
	run(chromedp.Navigate(page), chromedp.WaitVisible("#act-kill"))
	for _, code := range []string{"jam", "milk", "unplug", "cut", "kill"} {
		open := func(n int) string { // so many, or fewer, are still to be seen, on a page that was loaded since the button was pressed
			return fmt.Sprintf(`!window.old && document.readyState === "complete" && !!document.querySelector("#act-%[1]s .word") && document.querySelectorAll("#act-%[1]s .sights .open").length <= %[2]d`, code, n)
		}
		press := func(button string) { // as soon as it can be pressed
			h.eventually(button+" "+code, func() bool {
				return ask(fmt.Sprintf(`(b => !!b && !b.disabled && !window.old && document.readyState === "complete" && (window.old = true, b.click(), true))(document.querySelector("#%s-%s"))`, button, code))
			})
			h.eventually("a new page", func() bool { return ask(`!window.old`) })
		}
		after := map[string]int{"kill": 0, "cut": 3}
		left, there := after[code]
		if !there {
			left = 1
		}
		began := time.Now()
		for try := 1; ; try++ {
			if try > breakTries {
				t.Fatalf("%s: %d tries, and not all was seen:\n%s", code, breakTries, h.broken())
			}
			h.clear()
			press("do")
			h.eventually(code+" is broken", func() bool { return ask(open(left)) || h.otherwise(code) })
			if !ask(open(left)) {
				t.Logf("%s came out otherwise:\n%s", code, h.broken())
				if ask(`!!document.querySelector("#undo-` + code + `")`) {
					press("undo")
				}
				continue
			}
			if left == 0 {
				break
			}
			press("undo")
			h.eventually(code+" is mended", func() bool { return ask(open(0)) || h.otherwise(code) })
			if ask(open(0)) {
				break
			}
		}
		t.Logf("%s: all seen after %v", code, time.Since(began).Round(100*time.Millisecond))
	}
	// Nobody has poured again what the killed machine had in hand.
	for _, m := range h.chaos.Look() {
		if m.Code != "kill" {
			continue
		}
		records, err := h.conn.Book().History(t.Context(), m.Order)
		brews := 0
		for _, r := range records {
			if r.Phase == fleet.Brewing {
				brews++
			}
		}
		if err != nil || brews != 1 || records[len(records)-1].Phase != fleet.Unknown {
			t.Errorf("the order of the killed machine was begun %d times, and has %d records, %v", brews, len(records), err)
		}
	}
}

// otherwise reports that a drink has come to another end, or that none could be had.
func (h *house) otherwise(code string) bool {
	return slices.ContainsFunc(h.chaos.Look(), func(m web.Mischief) bool {
		return m.Code == code && (m.Otherwise || m.Refused != "")
	})
}

// broken is what may be broken, and what was seen.
func (h *house) broken() string {
	var out strings.Builder
	for _, m := range h.chaos.Look() {
		fmt.Fprintf(&out, "%+v\n", m)
	}
	return out.String()
}

// clear clears the faults that a busy computer has left.
func (h *house) clear() {
	s := reach.Shop(h.conn, false)
	for _, m := range h.machines {
		ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
		_, _ = s.Command(ctx, m.file.Name, fleet.Command{Verb: "clear-fault", By: "test", Why: "the computer was busy"})
		cancel()
	}
}
