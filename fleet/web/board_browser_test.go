package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// clock lets a test move a page's clock on, and hear what the page would say aloud.
const clock = `(() => {
	const real = performance.now.bind(performance), date = Date.now;
	window.skip = 0;
	performance.now = () => real() + window.skip;
	Date.now = () => date() + window.skip;
	window.spoken = [];
	if (window.speechSynthesis) speechSynthesis.speak = (words) => { window.spoken.push(words.text); };
})()`

// On a screen on the wall the board turns its pages, so that of thirty people everybody is
// seen, and calls each once.
func TestBrowserBoardOnTheWall(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	command(t, b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: clock})
	for i := range 32 {
		id, _ := h.order(fmt.Sprint("Guest", i))
		if i < 2 {
			h.write(id, brewing("zoe"), served("zoe"))
		}
	}
	sized(t, b, "light", 1024, 768)
	b.do(t, chromedp.Navigate(at+"/board?kiosk"), chromedp.WaitVisible("#sound"))
	shown := func() []string {
		return get(t, b, chromedp.Evaluate[[]string](`[...document.querySelectorAll(".waiting li:not([hidden]) bdi")].map((e) => e.textContent)`))
	}
	b.comes(t, `document.querySelectorAll(".waiting li[hidden]").length > 0`) // they do not fit
	seen := map[string]bool{}
	for range 12 {
		if len(seen) == 30 {
			break
		}
		list := shown()
		for _, name := range list {
			seen[name] = true
		}
		b.see(t, ".waiting .more:not([hidden])", fmt.Sprint("and ", 30-len(list), " more"))
		b.do(t, chromedp.Evaluate[chromedp.Void](`window.skip += 7000; void dispatchEvent(new Event("resize"))`))
	}
	if len(seen) != 30 {
		t.Errorf("of 30 people %d are seen", len(seen))
	}
	over := `document.documentElement.scrollHeight > innerHeight || [...document.querySelectorAll(".board li:not([hidden])")].some((e) => e.getBoundingClientRect().bottom > innerHeight)`
	if get(t, b, chromedp.Evaluate[bool](over)) {
		t.Error("the board is higher than its screen")
	}

	// The switch: off until it is pressed, and kept.
	on := `document.getElementById("sound").getAttribute("aria-pressed")`
	if get(t, b, chromedp.Evaluate[string](on)) != "false" {
		t.Error("the board makes a sound unasked")
	}
	third, last := h.shop.orders()[2].ID, h.shop.orders()[3].ID
	h.write(third, brewing("zoe"), served("zoe"))
	b.see(t, ".called", "Guest2")
	b.do(t, chromedp.Click("#sound"))
	b.comes(t, on+` === "true" && localStorage.getItem("board.sound") === "on"`)
	h.write(last, brewing("zoe"), served("zoe"))
	b.comes(t, `window.spoken.length > 0`)
	// A shop that starts anew shows nobody for a moment, and everybody again.
	b.do(t, chromedp.Evaluate[chromedp.Void](`(() => {
		const live = document.getElementById("live"), was = live.innerHTML;
		live.querySelectorAll("li").forEach((e) => e.remove());
		live.dispatchEvent(new Event("drawn"));
		live.innerHTML = was;
		live.dispatchEvent(new Event("drawn"));
	})()`))
	if said := get(t, b, chromedp.Evaluate[[]string](`window.spoken`)); len(said) != 1 || said[0] != "Guest3, your coffee is ready." {
		t.Errorf("it called %q", said)
	}
	b.do(t, chromedp.Click("#sound"))
	b.comes(t, on+` === "false"`)
	// A phone on its side has no room for a board without scrolling.
	sized(t, b, "light", 812, 375)
	b.comes(t, `!document.documentElement.classList.contains("fits") && !document.querySelector(".board li[hidden]")`)
}

// A touch screen of the house begins anew by itself; and what it shows without a
// connection is in its language, keeps an order that got no answer, and ends by itself.
func TestBrowserKiosk(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at, stop := h.serving("127.0.0.1:0")
	command(t, b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: clock})
	sized(t, b, "light", 1024, 768)
	b.do(t, chromedp.Navigate(at+"/kiosk?lang=fr"), chromedp.WaitVisible("#order"), chromedp.Navigate(at+"/kiosk"), chromedp.WaitVisible("#order"))
	b.do(t, chromedp.SendKeys("#name", "Ada"), chromedp.Click(`.kiosk-tools [lang="en"]`), chromedp.WaitVisible(`html[lang="en"] #order`))
	b.is(t, "after a change of language the name", `document.getElementById("name").value`, "Ada")
	b.do(t, chromedp.Evaluate[chromedp.Void](`void (window.skip += 50000)`))
	b.see(t, "#still:not([hidden])", "Still there?")
	b.do(t, chromedp.Evaluate[chromedp.Void](`void dispatchEvent(new Event("pointerdown"))`), chromedp.WaitNotVisible("#still"))
	b.do(t, chromedp.Evaluate[chromedp.Void](`void (window.skip += 61000)`), chromedp.WaitVisible(`html[lang="fr"] #order`))
	b.is(t, "the next customer finds", `location.pathname + document.getElementById("name").value`, "/kiosk")

	// Without a connection.
	b.comes(t, `navigator.serviceWorker.controller !== null`)
	if !get(t, b, chromedp.Evaluate[bool](`(async () => {
		for (let i = 0; i < 500; i++) {
			const like = await (await caches.open("offline")).match("/offline/like");
			if (like && await like.text() === "fr/kiosk") return true;
			await new Promise((done) => { setTimeout(done, 20); });
		}
		return false;
	})()`, chromedp.EvalAwaitPromise)) {
		t.Error("the browser does not know what its offline page should be like")
	}
	stop()
	b.do(t, chromedp.SendKeys("#name", `Ada "<b>`), chromedp.Evaluate[chromedp.Void](`void document.getElementById("order").requestSubmit()`), chromedp.WaitVisible(".page-offline"))
	b.see(t, ".kiosk.page-offline", "Votre commande est partie")
	b.is(t, "what would be asked again", `(() => { const f = new FormData(document.getElementById("again")); return f.get("name") + f.get("id").length + f.get("drink") })()`, `Ada "<b>26medium`)
	b.do(t, chromedp.Navigate(at+"/kiosk"), chromedp.WaitVisible(`html[lang="fr"] .kiosk.page-offline`))
	_, stop = h.serving(strings.TrimPrefix(at, "http://"))
	t.Cleanup(stop)
	b.do(t, chromedp.WaitVisible("#order")) // it comes back by itself
	if n := len(h.shop.orders()); n != 0 {
		t.Errorf("%d orders", n)
	}
}
