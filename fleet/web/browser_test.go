package web

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"barista/fleet"
)

var shots = flag.String("shots", "", "folder for pictures of the pages (see TestScreens)")

// browser is a real browser with a fresh profile. It keeps what the pages
// complain about: broken scripts, and everything the security policy stopped.
type browser struct {
	ctx        context.Context
	mu         sync.Mutex
	complaints []string
}

// startBrowser starts one, or skips the test where none is installed.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no browser: install chromium to run this test")
	}
	long := 100 * time.Second
	if *shots != "" {
		long = 15 * time.Minute // many pictures, on a computer that has other work
	}
	ctx, cancel := context.WithTimeout(context.Background(), long)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, // root has no sandbox, and there is no screen
		chromedp.Flag("disable-quic", true), chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("lang", "en"), chromedp.WSURLReadTimeout(60*time.Second))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	b := &browser{ctx: ctx}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("closing the browser: %v", err)
		}
	})
	if err := chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.complain(fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.URL))
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				b.complain(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	command(t, b, runtime.Enable, cdp.Empty{})
	command(t, b, log.Enable, cdp.Empty{})
	command(t, b, network.Enable, network.EnableParams{})
	command(t, b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": "en"}})
	return b
}

func (b *browser) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.complaints)
}

func (b *browser) complain(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, s)
}

// do runs steps that return nothing.
func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		t.Fatalf("%v; the pages complained: %q", err, b.complained())
	}
}

// get runs a step that returns something.
func get[T any](t *testing.T, b *browser, step chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, step)
	if err != nil {
		t.Fatalf("%v; the pages complained: %q", err, b.complained())
	}
	return v
}

// command sends the browser a command of its protocol.
func command[P, R any](t *testing.T, b *browser, cmd cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b.ctx, cmd, params); err != nil {
		t.Fatal(err)
	}
}

// see waits until the element shows the text, over page loads too.
func (b *browser) see(t *testing.T, selector, text string) {
	t.Helper()
	script := fmt.Sprintf(`(() => { const e = document.querySelector(%q); return e ? e.textContent : "" })()`, selector)
	seen := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script)); err == nil {
			if seen = got; strings.Contains(got, text) {
				return
			}
		}
		b.do(t, chromedp.Sleep(20*time.Millisecond))
	}
	t.Fatalf("%s never said %q; it says %q; the pages complained: %q", selector, text, seen, b.complained())
}

// comes waits until something is so.
func (b *browser) comes(t *testing.T, script string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script)); err == nil && ok {
			return
		}
		b.do(t, chromedp.Sleep(20*time.Millisecond))
	}
	t.Fatalf("it never came: %s; the pages complained: %q", script, b.complained())
}

// is waits for what a script of the page gives: the page's own may have to run before it.
func (b *browser) is(t *testing.T, what, script, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if now, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script)); err == nil {
			if got = now; got == want {
				return
			}
		}
		b.do(t, chromedp.Sleep(20*time.Millisecond))
	}
	t.Errorf("%s: %q, not %q", what, got, want)
}

// listening serves the house on a loopback port.
func (h *house) listening() string {
	h.t.Helper()
	at, stop := h.serving("127.0.0.1:0")
	h.t.Cleanup(stop)
	return at
}

// serving serves the house at an address until stop is called.
func (h *house) serving(address string) (at string, stop func()) {
	h.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.web.Serve(ctx, l) }()
	return "http://" + l.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	}
}

// brew tells the whole way of a drink after its cup was placed.
func (h *house) brew(id string) {
	h.step(id, brewing("zoe"))
	for i, s := range []string{"grind", "heat", "pour", "milk"} {
		h.records.live(fleet.Event{Order: id, Kind: fleet.EvStep, Epoch: 1, Machine: "zoe", N: i + 1, Of: 4, Step: s})
		h.records.live(fleet.Event{Order: id, Kind: fleet.EvPercent, Epoch: 1, Percent: 25*i + 20})
	}
	h.step(id, served("zoe"))
}

func TestBrowserOrdersACoffeeAndSeesItServed(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	h.shop.set(func(s *shop) {
		s.waits[choice{fleet.Large, "mixed", "soja"}] = fleet.Wait{Low: 3 * time.Minute, High: 5 * time.Minute, Known: true}
	})
	h.desk.then = func(c fleet.Command) { h.brew(c.Order) }

	b.do(t, chromedp.Navigate(at+"/"), chromedp.WaitVisible("#order"),
		chromedp.SendKeys("#name", "Zoé & Co"), chromedp.Click(`label[for="drink-large-milk"]`),
		chromedp.Click(`label[for="bean_type-mixed"]`), chromedp.WaitVisible(".milks"), chromedp.Click(`label[for="milk-soja"]`))
	b.see(t, "#wait", "3 to 5 min")
	b.see(t, "#wait", "Latte · Mixed · Soy milk")
	b.do(t, chromedp.Click("#send"))
	b.see(t, "h1", "Thank you, Zoé & Co!")
	b.is(t, "the order's page is at", `location.hash`, "#taken")
	b.comes(t, `getComputedStyle(document.querySelector(".badge")).animationName === "pop"`) // the order was taken
	orders := h.shop.orders()
	if len(orders) != 1 || orders[0].Milk != "soja" || orders[0].Size != fleet.Large {
		t.Fatalf("ordered %v", orders)
	}
	id := orders[0].ID

	// What follows comes by events, into the same page.
	b.do(t, chromedp.Evaluate[chromedp.Void](`void (window.stayed = true)`), chromedp.Focus("#cancel"))
	h.step(id, cup("zoe"))
	b.see(t, "h1", "Put your cup under Zoe")
	b.see(t, "#said", "Put your cup under Zoe")
	if focus := get(t, b, chromedp.Evaluate[string](`document.activeElement.id`)); focus != "cancel" {
		t.Errorf("the focus went from the button to %q", focus)
	}
	if !get(t, b, chromedp.Evaluate[bool](`window.stayed === true`)) {
		t.Error("the page was loaded anew instead of being told")
	}
	b.comes(t, `/^1:[0-5][0-9]$/.test(document.querySelector(".clock").textContent)`)
	b.comes(t, `/:[0-9][1-9]$/.test(document.querySelector(".clock").textContent)`) // it counts every second
	b.do(t, chromedp.Click("#cup"))
	b.see(t, "h1", "Your coffee is ready, Zoé & Co!")
	b.see(t, ".way", "Taken away")

	// Names are text on a page that is told by events, too.
	b.do(t, chromedp.Navigate(at+"/board"))
	b.see(t, ".called bdi", "Zoé")
	evil := `<img/src=x/onerror=document.title="owned">` // no shop takes it; a rogue record might hold it
	c := ada(idB)
	c.Order.Name = evil
	h.records.put(c, time.Now())
	h.step(idB, brewing("leo"))
	b.see(t, ".making bdi", evil)
	if n := get(t, b, chromedp.Evaluate[int](`document.querySelectorAll("main img").length`)); n != 0 {
		t.Error("a name became an image")
	}
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the pages complained: %q", c)
	}
}

func TestBrowserWithoutScript(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	command(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.do(t, chromedp.Navigate(at+"/"), chromedp.WaitVisible("#name"), chromedp.SendKeys("#name", "Ada"),
		chromedp.Click("#send"), chromedp.WaitVisible("#taken"))
	orders := h.shop.orders()
	if len(orders) != 1 {
		t.Fatalf("ordered %v", orders)
	}
	h.brew(orders[0].ID)
	b.do(t, chromedp.WaitVisible(".mood-served")) // the page asks again by itself
}

// TestScreens takes pictures of the pages into the folder given by -shots, for
// people to look at, and checks that nothing is wider than a small phone.
func TestScreens(t *testing.T) {
	if *shots == "" {
		t.Skip("give -shots FOLDER to have pictures taken")
	}
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	h.stock.levels["milk-soja"] = fleet.Level{OnHand: 10}
	for _, s := range fleet.Sizes {
		for _, m := range h.shop.menu.Milks {
			h.shop.waits[choice{s, "robusta", m}] = fleet.Wait{Code: fleet.CodeCordoned}
		}
	}
	classes := fleet.DefaultMenu().Classes()
	h.crew.present = []fleet.Presence{
		{Machine: "zoe", State: fleet.StateBusy, Percent: 62, Classes: classes, Sizes: fleet.Sizes, Cup: "page", Driver: "mock", Drinks: 37, Version: "1.0"},
		{Machine: "leo", State: fleet.StateCordoned, Note: "grinder jam, waiting for a part", Classes: classes[3:6], Sizes: fleet.Sizes, Cup: "sensor", Driver: "mock", Lacks: []string{"beans"}},
		{Machine: "mia", State: fleet.StateReady, Classes: classes[:3], Sizes: fleet.Sizes[:2], Cup: "dispenser", Driver: "mock", MinWaiting: 4},
	}
	pages := map[string]string{"form": "/", "board": "/board", "fleet": "/fleet", "history": "/history"}
	h.crew.cordons = map[string]*fleet.Cordon{"leo": {By: "boss", Reason: "its computer is broken", Replaced: true, At: time.Now().Format(time.RFC3339)}}
	put := func(page, name string, arrows ...arrow) (id string) {
		id, path := h.order(name)
		pages[page] = path
		h.write(id, arrows...)
		return id
	}
	put("cup", "Grace", cup("mia"))
	put("waiting", "Ada")
	linus := put("making", "Linus", brewing("zoe"))
	for i, name := range []string{"grind", "heat", "pour"} {
		h.live(fleet.Event{Order: linus, Kind: fleet.EvStep, N: i + 1, Of: 4, Step: name, Percent: []int{20, 30, 60}[i], Machine: "zoe"})
	}
	put("unknown", "Alan", brewing("leo"), parked)
	put("failed", "Ken", brewing("leo"), failed("leo", fleet.Spoiled, fleet.Reason{Text: "given up after 3 tries: the flow meter saw 3 ml of 110"}))
	put("x", "עדה", brewing("mia"), served("mia"))
	put("x", "Bob", brewing("mia"), served("mia"))
	put("served", "Marie-Antoinette de Habsbourg", brewing("zoe"), served("zoe"))
	delete(pages, "x")
	for _, view := range []struct {
		w, h         int64
		scheme, lang string
	}{
		{390, 844, "light", "en"}, {390, 844, "dark", "fr"}, {1280, 800, "light", "fr"}, {1280, 800, "dark", "en"},
		{360, 640, "light", "fr"}, {1080, 1920, "light", "en"}, {1920, 1080, "dark", "fr"},
	} {
		command(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: view.w, Height: view.h, DeviceScaleFactor: 1, Mobile: view.w < 500})
		command(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: view.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		for page, path := range pages {
			b.do(t, chromedp.Navigate(at+path+"?lang="+view.lang), chromedp.WaitVisible("#content"))
			if wide := get(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > view.w {
				t.Errorf("%s at %d px is %d px wide", page, view.w, wide)
			}
			if small := get(t, b, chromedp.Evaluate[[]string](smallTargets)); len(small) > 0 {
				t.Errorf("%s at %d px: targets smaller than 44 px: %q", page, view.w, small)
			}
			if pale := get(t, b, chromedp.Evaluate[[]string](paleText)); len(pale) > 0 {
				t.Errorf("%s, %s: contrast below 4.5: %q", page, view.scheme, pale)
			}
			png := get(t, b, chromedp.FullScreenshot(100))
			file := filepath.Join(*shots, fmt.Sprintf("%s-%dx%d-%s-%s.png", page, view.w, view.h, view.scheme, view.lang))
			if err := os.WriteFile(file, png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// smallTargets lists what can be pressed and is smaller than a finger.
const smallTargets = `[...document.querySelectorAll("a, button, .tile, input[type=text]")]
	.filter(e => !e.classList.contains("skip") && e.getClientRects().length)
	.filter(e => { const r = e.getBoundingClientRect(); return r.width < 44 || r.height < 44 })
	.map(e => e.outerHTML.slice(0, 80))`

// paleText lists texts with too little contrast to the nearest ground that has
// a colour of its own.
const paleText = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 && m[3] === 0 ? null : m };
	const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };
	const out = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !e.getClientRects().length || e.closest(".unseen, .skip, noscript, script")) continue;
		let ground = null;
		for (let p = e; p && !ground; p = p.parentElement) ground = parse(getComputedStyle(p).backgroundColor);
		const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground)].sort((x, y) => y - x);
		const ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) out.push(ratio.toFixed(2) + " " + walk.currentNode.data.trim().slice(0, 40));
	}
	return out;
})()`
