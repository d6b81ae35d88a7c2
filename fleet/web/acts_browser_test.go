package web

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"barista/fleet"
)

// TestBrowserOperatorsAct: each button of the machines' page and of the stock, pressed in
// a browser; and what somebody types stays while the page goes on.
func TestBrowserOperatorsAct(t *testing.T) {
	b := startBrowser(t)
	h, f := withActs(t)
	at := h.listening()
	b.do(t, chromedp.Navigate(at+"/fleet"), chromedp.WaitVisible("#machine-zoe"))

	// The page is drawn anew while he types.
	b.do(t, chromedp.Click("#cordon-zoe summary"), chromedp.SendKeys("#cordon-zoe input[name=reason]", "new gr"))
	h.crew.mu.Lock()
	h.crew.present[0].Percent = 77
	h.crew.mu.Unlock()
	b.comes(t, `document.querySelector("#machine-zoe progress").value == 77`)
	b.do(t, chromedp.SendKeys("#cordon-zoe input[name=reason]", "inder"), chromedp.Click("#cordon-zoe button"))
	b.see(t, "#done", "Out of service. It ends what it has in hand.")
	if want := []string{"cordon zoe by this computer: new grinder"}; !slices.Equal(f.all(), want) {
		t.Errorf("asked %q, want %q", f.all(), want)
	}

	press := func(open, field, text, button, done string) {
		t.Helper()
		b.do(t, chromedp.Navigate(at+"/fleet"), chromedp.WaitVisible("#machine-zoe"))
		if open != "" {
			b.do(t, chromedp.Click(open))
		}
		b.do(t, chromedp.SendKeys(field, text))
		begun := time.Now()
		b.do(t, chromedp.Click(button))
		b.see(t, "#done", done)
		t.Logf("%s: done after %v", button, time.Since(begun).Round(time.Millisecond))
	}
	press("#stop-zoe summary", "#stop-zoe input[name=reason]", "it leaks", "#stop-zoe button", "Stopped: everything is off.")
	press("#clear-leo summary", "#clear-leo input[name=reason]", "a stone", "#clear-leo button", "The fault is cleared.")
	doubt := "#doubt-" + idA
	press("", doubt+" input[name=reason]", "it was full", doubt+" button:nth-of-type(1)", "Written down.")
	press("", doubt+" input[name=reason]", "wet tray", doubt+" button:nth-of-type(2)", "Written down.")
	press("", doubt+" input[name=reason]", "he waits", doubt+" button:nth-of-type(3)", "It will be made again.")
	h.crew.mu.Lock()
	h.crew.cordons = map[string]*fleet.Cordon{"leo": {By: "boss", Reason: "new grinder", At: time.Now().Format(time.RFC3339)}}
	h.crew.mu.Unlock()
	b.do(t, chromedp.Navigate(at+"/fleet"), chromedp.Click("#machine-leo .acts > form button"))
	b.see(t, "#done", "Back in service.")
	want := []string{"settle " + idA + " true by this computer: it was full", "settle " + idA + " false by this computer: wet tray", "again " + idA + " by this computer", "uncordon leo"}
	if !slices.Equal(f.all()[1:], want) {
		t.Errorf("asked %q, want %q", f.all()[1:], want)
	}
	if n := len(h.desk.asked["zoe"]) + len(h.desk.asked["leo"]); n != 2 {
		t.Errorf("commands: %v", h.desk.asked)
	}

	b.do(t, chromedp.Navigate(at+"/stock"), chromedp.Click("#add-arabica summary"), chromedp.SendKeys("#add-arabica input[name=amount]", "2.5"), chromedp.Click("#add-arabica .act button"))
	b.see(t, "#done", "Booked.")
	b.see(t, "#item-arabica .state", "3.5 kg")
	b.do(t, chromedp.Click("#count-arabica summary"), chromedp.SendKeys("#count-arabica input[name=amount]", "3.46"), chromedp.Click("#count-arabica button"))
	b.see(t, "#done", "The count is booked. That is -40 against what was written down.")
	b.do(t, chromedp.Click("#waste-arabica summary"), chromedp.SendKeys("#waste-arabica input[name=amount]", "460 g"),
		chromedp.SendKeys("#waste-arabica input[name=reason]", "it fell down"), chromedp.Click("#waste-arabica button"))
	b.see(t, "#done", "The loss is booked.")
	b.see(t, "#item-arabica .state", "3 kg")
	if all := f.all(); all[len(all)-1] != "waste 460 (it fell down) arabica by this computer" {
		t.Errorf("asked %q", all)
	}

	// Who comes by the code of a hopper finds its refill open, and one button books.
	b.do(t, chromedp.Navigate(at+"/stock?item=milk-soja"), chromedp.WaitVisible("#add-milk-soja .at-once button"))
	b.comes(t, `document.activeElement == document.querySelector("#add-milk-soja input[name=amount]")`)
	b.do(t, chromedp.Click("#add-milk-soja .at-once button:nth-of-type(2)"))
	b.see(t, "#done", "Booked.")
	b.see(t, "#item-milk-soja .state", "2 l")
	for _, said := range b.complained() {
		t.Errorf("the pages complained: %s", said)
	}
}

// TestFloorScreens takes pictures of the operators' pages into the folder given by
// -shots, and checks what TestScreens does.
func TestFloorScreens(t *testing.T) {
	if *shots == "" {
		t.Skip("give -shots FOLDER to have pictures taken")
	}
	b := startBrowser(t)
	h, f := withActs(t)
	most := largest(fleet.DefaultMenu())
	f.stock.set(map[string]fleet.Level{"arabica": {OnHand: 3 * most["arabica"]}, "robusta": {OnHand: 7, Reserved: 18}, "mixed": {OnHand: 5000, Reserved: 27},
		"milk-normal": {OnHand: 4200}, "milk-soja": {OnHand: 500}, "sugar": {OnHand: 400}}, nil)
	h.crew.present = append(h.crew.present, fleet.Presence{Machine: "mia", State: fleet.StateBlocked, Code: "tank", Lacks: []string{"water", "beans", "tray", "door"},
		Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, Cup: "page", Driver: "mock", Gauges: fleet.Gauges{Beans: fleet.GaugeOut, Water: fleet.GaugeOut, Tray: fleet.GaugeOut}})
	h.crew.present[0].Gauges, h.crew.present[0].Drinks = fleet.Gauges{Beans: fleet.GaugeThere, Water: fleet.GaugeThere, Tray: fleet.GaugeThere}, 37
	h.crew.present[1].Gauges.Tray = fleet.GaugeSilent
	at := h.listening()
	for _, view := range []struct {
		w, h         int64
		scheme, lang string
	}{
		{375, 812, "light", "en"}, {375, 812, "dark", "fr"}, {1280, 800, "light", "fr"}, {1280, 800, "dark", "en"},
	} {
		sized(t, b, view.scheme, view.w, view.h)
		look := func(page, path string) {
			b.do(t, chromedp.Navigate(at+path+"lang="+view.lang), chromedp.WaitVisible("#content"))
			if page == "stock" {
				b.do(t, chromedp.Click("#waste-robusta summary"))
			}
			b.checks(t, fmt.Sprintf("%s at %dx%d, %s", page, view.w, view.h, view.scheme), view.w)
			b.shoot(t, fmt.Sprintf("ops-%s-%dx%d-%s-%s", page, view.w, view.h, view.scheme, view.lang))
		}
		h.web.Address = ""
		look("fleet", "/fleet?")
		look("stock", "/stock?item=milk-soja&")
		h.web.Address = "https://coffee.example"
		look("labels", "/qr/stock?")
	}
	for _, said := range b.complained() {
		t.Errorf("the pages complained: %s", said)
	}
}
