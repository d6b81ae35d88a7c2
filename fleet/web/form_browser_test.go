package web

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"barista/fleet"
)

// sized makes the window so large.
func sized(t *testing.T, b *browser, scheme string, w, h int64) {
	t.Helper()
	command(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: w, Height: h, DeviceScaleFactor: 1, Mobile: w < 500})
	command(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
}

// inSight reports whether an element is in the window as it stands.
func inSight(t *testing.T, b *browser, selector string) bool {
	t.Helper()
	return get(t, b, chromedp.Evaluate[bool](fmt.Sprintf(
		`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight && r.height > 0 })()`, selector)))
}

// A customer orders two cups with the phone in the hand: what was chosen, the wait and
// the button are in sight without scrolling; the next time the phone knows name and
// drink; and what was typed survives a refusal, a reload of it, and another language.
func TestBrowserOrdersTheUsual(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	sized(t, b, "light", 375, 667)
	b.do(t, chromedp.Navigate(at+"/"), chromedp.WaitVisible("#order"))
	b.see(t, "#wait", "Lungo")
	for _, one := range []string{"#wait .what", "#wait strong", "#send"} {
		if !inSight(t, b, one) {
			t.Errorf("%s is not in sight on a phone", one)
		}
	}
	b.do(t, chromedp.Click(`label[for="drink-small-milk"]`), chromedp.Click(`label[for="milk-soja"]`), chromedp.SendKeys("#name", "Zoé"), chromedp.Click(`label[for="cups-2"]`))
	b.see(t, "#wait", "Macchiato · Arabica · Soy milk")

	// Another language: all that was typed stays.
	b.do(t, chromedp.Click(".tongue"), chromedp.WaitVisible(`html[lang="fr"] #order`))
	b.see(t, "#wait", "Noisette · Arabica · Lait de soja")
	held := `document.getElementById("name").value + new FormData(document.getElementById("order")).get("cups")`
	b.is(t, "after a change of language the form holds", held, "Zoé2")

	// A refusal, and the page asked for anew: what is wrong and what was typed stay.
	h.shop.set(func(s *shop) {
		s.refuse = &fleet.Answer{Status: "error", Code: fleet.CodeQueueFull, Message: "words of the shop"}
	})
	b.do(t, chromedp.SendKeys("#name", "\r")) // Enter in a field orders
	b.see(t, "#problem", "Trop de cafés")
	b.is(t, "the focus", `document.activeElement.id`, "problem")
	b.do(t, chromedp.Navigate(at+"/order")) // Enter in the address bar
	b.see(t, "#problem", "Trop de cafés")
	b.is(t, "after a reload the form holds", held, "Zoé2")
	h.shop.set(func(s *shop) { s.refuse = nil })
	b.do(t, chromedp.Click("#send"))
	b.see(t, "h1", "Vos deux tasses")
	orders := h.shop.orders()
	if len(orders) != 2 || orders[0].ID == orders[1].ID || orders[1].Milk != "soja" || orders[1].Size != fleet.Small {
		t.Fatalf("ordered %v", orders)
	}
	h.step(orders[1].ID, brewing("zoe"))
	b.see(t, "section:nth-of-type(2)", "Zoe prépare votre café")

	// The next time.
	b.do(t, chromedp.Navigate(at+"/?lang=en"), chromedp.WaitVisible("#usual"))
	b.is(t, "the phone knows", `document.getElementById("name").value`, "Zoé")
	b.do(t, chromedp.Click("#usual-take"))
	b.see(t, "#wait", "Macchiato · Arabica · Soy milk")
	b.do(t, chromedp.Click("#usual-forget"), chromedp.Navigate(at+"/"), chromedp.WaitVisible("#order"))
	b.is(t, "the phone still knows", `document.getElementById("name").value + (localStorage.length)`, "0")
	if c := b.complained(); len(c) > 1 || len(c) == 1 && !strings.Contains(c[0], "503") { // the refusal
		t.Errorf("the pages complained: %q", c)
	}
}

// TestFormScreens takes pictures of the form as people meet it, see TestScreens.
func TestFormScreens(t *testing.T) {
	if *shots == "" {
		t.Skip("give -shots FOLDER to have pictures taken")
	}
	b := startBrowser(t)
	pages := formHouses(t)
	for _, view := range []struct {
		w, h         int64
		scheme, lang string
	}{{375, 667, "light", "en"}, {375, 667, "dark", "fr"}, {820, 1180, "light", "fr"}, {1440, 900, "light", "en"}, {1440, 900, "dark", "fr"}, {320, 568, "light", "fr"}} {
		sized(t, b, view.scheme, view.w, view.h)
		for page, address := range pages {
			b.do(t, chromedp.Navigate(address+"?lang="+view.lang), chromedp.WaitVisible("#content"))
			if page == "form" {
				b.see(t, "#wait", "Lungo")
				if view.lang == "fr" {
					b.do(t, chromedp.Click(`label[for="drink-medium-milk"]`), chromedp.WaitVisible(".milks"))
				}
			}
			b.checks(t, fmt.Sprintf("%s at %dx%d, %s", page, view.w, view.h, view.scheme), view.w)
			for kind, shot := range map[string]chromedp.Action[[]byte]{"": chromedp.FullScreenshot(100), "-window": chromedp.CaptureScreenshot()} {
				if kind != "" && (page != "form" || view.w > 500) {
					continue
				}
				png := get(t, b, shot)
				file := filepath.Join(*shots, fmt.Sprintf("%s%s-%dx%d-%s-%s.png", page, kind, view.w, view.h, view.scheme, view.lang))
				if err := os.WriteFile(file, png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, c := range b.complained() {
		if !strings.Contains(c, "404") {
			t.Errorf("the pages complained: %q", c)
		}
	}
}

const ulidB = "01KAAAAAAAAAAAAAAAAAAAAAAB"

// formHouses are shops in which the form looks different, by what there is to see.
func formHouses(t *testing.T) map[string]string {
	pages := map[string]string{}
	shop := func(name, path string, set func(*house)) {
		h := open(t)
		if set != nil {
			set(h)
		}
		pages[name] = h.listening() + path
	}
	shop("form", "/", nil)
	shop("form-lacks", "/", func(h *house) {
		h.stock.levels["milk-soja"] = fleet.Level{OnHand: 10}
		for _, s := range fleet.Sizes {
			for _, m := range h.shop.menu.Milks {
				h.shop.waits[choice{s, "robusta", m}] = fleet.Wait{Code: "beans"}
			}
		}
		for _, c := range h.shop.menu.Classes() {
			h.shop.waits[choice{fleet.Large, c.Bean, c.Milk}] = fleet.Wait{Code: fleet.CodeCordoned}
		}
		h.web.counter.forget()
	})
	shop("form-few", "/", func(h *house) {
		for _, s := range fleet.Sizes {
			for _, c := range h.shop.menu.Classes() {
				w := fleet.Wait{Known: true, Low: 20 * time.Second, High: 40 * time.Second, TooSweet: 1}
				if s == fleet.Large || c.Bean != "arabica" || c.Milk == "soja" {
					w = fleet.Wait{Code: fleet.CodeNotOnMenu}
				}
				h.shop.waits[choice{s, c.Bean, c.Milk}] = w
			}
		}
		h.web.counter.forget()
	})
	shop("form-closed", "/", func(h *house) { h.all(fleet.Wait{Code: fleet.CodeCordoned}) })
	shop("form-away", "/", func(h *house) { h.all(fleet.Wait{Code: fleet.CodeAway}) })
	shop("lost", "/nope", nil)
	two := open(t)
	f := two.blank()
	f.Set("second", ulidB)
	f.Set("cups", "2")
	res := two.ask("POST", "/order", f.Encode())
	pages["pair"] = two.listening() + strings.TrimSuffix(res.Header.Get("Location"), "#taken")
	two.write(f.Get("id"), brewing("zoe"))
	return pages
}
