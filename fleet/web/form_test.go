package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

func TestFormShowsTheMenu(t *testing.T) {
	h := open(t)
	res := h.ask("GET", "/", "")
	status(t, res, http.StatusOK)
	if c := res.Header.Get("Cache-Control"); c != "no-store" {
		t.Errorf("a cached form would hold a used id: Cache-Control %q", c)
	}
	page := text(t, res)
	contains(t, page, "Arabica", "Robusta", "Mixed", "No milk", "Soy milk", "Small", "Large", "180 ml", "No sugar", "3 sugars",
		`id="size-medium" name="size" value="medium" required checked`, `<label for="name">`, "1 to 2 min", `<form id="order" method="post" action="/order"`)
	lacks(t, page, "disabled", "<style", "onclick", "style=")
	if strings.Count(page, "<script") != 1 || strings.Contains(page, "<script>") {
		t.Error("a page has exactly its one module, and no inline script")
	}
	again := text(t, h.ask("GET", "/", ""))
	if hiddenID.FindString(page) == hiddenID.FindString(again) {
		t.Error("two forms have the same order id")
	}
}

func TestWhatCantBeMadeIsDisabledWithTheReason(t *testing.T) {
	h := open(t)
	h.stock.levels = full()
	h.stock.levels["robusta"] = fleet.Level{OnHand: 8}
	h.stock.levels["arabica"] = fleet.Level{OnHand: 100, Reserved: 80} // 20 g: small and medium
	h.stock.levels["mixed"] = fleet.Level{OnHand: 20}
	h.stock.levels["milk-soja"] = fleet.Level{OnHand: 10}
	h.stock.levels[fleet.ItemSugar] = fleet.Level{OnHand: 1}
	for _, s := range fleet.Sizes {
		for _, b := range h.shop.menu.Beans {
			h.shop.waits[choice{s, b, "normal"}] = fleet.Wait{Why: "leo is out of service: <jam>"}
		}
	}
	page := text(t, h.ask("GET", "/", ""))
	gone := func(id, why string) {
		t.Helper()
		m := regexp.MustCompile(`(?s)id="` + id + `"([^>]*)>.*?</div>`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("%s is not on the page", id)
		}
		if disabled := strings.Contains(m[1], "disabled"); disabled != (why != "") || !strings.Contains(m[0], why) {
			t.Errorf("%s: want disabled %v because %q:\n%s", id, why != "", why, m[0])
		}
	}
	gone("bean_type-robusta", "Not enough beans left")
	gone("bean_type-arabica", "")
	gone("size-large", "Not enough beans left")
	gone("size-medium", "")
	gone("milk-soja", "Not enough milk left")
	gone("milk-normal", "Not possible now")
	lacks(t, page, "leo", "jam") // for the operator's eyes
	gone("milk-free", "")
	gone("sugar_count-1", "")
	gone("sugar_count-2", "Not enough sugar left")
}

// What no machine here does is not offered, whatever the shelf holds.
func TestSugarThatNoMachineGives(t *testing.T) {
	h := open(t)
	sweet := func(most int) {
		for _, s := range fleet.Sizes {
			for _, c := range h.shop.menu.Classes() {
				h.shop.waits[choice{s, c.Bean, c.Milk}] = fleet.Wait{Known: true, TooSweet: most}
			}
		}
		h.web.counter.forget()
	}
	disabled := func() int { return strings.Count(text(t, h.ask("GET", "/", "")), "disabled") }
	sweet(1)
	if n := disabled(); n != 3 {
		t.Errorf("%d tiles can't be chosen, want 1, 2 and 3 sugars", n)
	}
	contains(t, text(t, h.ask("GET", "/", "")), "No machine here adds that much")
	contains(t, text(t, h.ask("GET", "/wait?size=small&bean_type=arabica&milk=free&sugar_count=1", "")), "No machine here adds that much")
	lacks(t, text(t, h.ask("GET", "/wait?size=small&bean_type=arabica&milk=free&sugar_count=0", "")), "No machine here")
	sweet(3)
	if n := disabled(); n != 1 {
		t.Errorf("%d tiles can't be chosen, want 3 sugars", n)
	}
	h.shop.waits[choice{fleet.Small, "arabica", "free"}] = fleet.Wait{Known: true}
	h.web.counter.forget()
	if n := disabled(); n != 0 {
		t.Errorf("%d tiles can't be chosen, and one coffee can be had with 3 sugars", n)
	}
}

func TestNothingCanBeMade(t *testing.T) {
	h := open(t)
	h.stock.levels = map[string]fleet.Level{}
	page := text(t, h.ask("GET", "/", ""))
	contains(t, page, "Nothing can be made right now", "Unknown")
}

func TestTheStockIsSilent(t *testing.T) {
	h := open(t)
	h.stock.levels, h.stock.err = nil, errors.New("no answer")
	page := text(t, h.ask("GET", "/", ""))
	lacks(t, page, "disabled", "Nothing can be made") // the controller decides
}

func TestTheShopIsSilent(t *testing.T) {
	h := open(t)
	h.shop.menu = fleet.Menu{}
	res := h.ask("GET", "/", "")
	status(t, res, http.StatusServiceUnavailable)
	contains(t, text(t, res), "The shop is not answering", `content="10;url=/"`)
}

func TestWaitBeforeOrdering(t *testing.T) {
	h := open(t)
	h.shop.waits[choice{fleet.Large, "mixed", "soja"}] = fleet.Wait{Low: 5 * time.Minute, High: 9 * time.Minute, Known: true}
	h.shop.waits[choice{fleet.Large, "mixed", "free"}] = fleet.Wait{}
	h.shop.waits[choice{fleet.Large, "robusta", "free"}] = fleet.Wait{Why: "no machine makes it"}
	for query, want := range map[string]string{
		"size=small&bean_type=arabica&milk=free&sugar_count=0": "<p>Waiting time <strong>1 to 2 min</strong></p>",
		"size=large&bean_type=mixed&milk=soja&sugar_count=0":   "<p>Waiting time <strong>5 to 9 min</strong></p>",
		"size=large&bean_type=mixed&milk=free&sugar_count=0":   "<p>Waiting time <strong>Unknown</strong></p>",
		"size=large&bean_type=robusta&milk=free&sugar_count=0": "Not possible now",
		"size=<b>&bean_type=>&milk=..&sugar_count=x":           "Not possible now",
	} {
		contains(t, text(t, h.ask("GET", "/wait?"+strings.ReplaceAll(query, "<b>", "%3Cb%3E"), "")), want)
	}
	contains(t, text(t, h.ask("GET", "/", "")), "1 to 9 min") // over all that can be made
	for _, s := range fleet.Sizes {
		for _, c := range h.shop.menu.Classes() {
			h.shop.waits[choice{s, c.Bean, c.Milk}] = fleet.Wait{}
		}
	}
	h.web.counter.forget()
	contains(t, text(t, h.ask("GET", "/", "")), "<p>Waiting time <strong>Unknown</strong></p>")
}

func TestTheShopIsAskedOnceForManyCustomers(t *testing.T) {
	h := open(t)
	for range 50 {
		h.ask("GET", "/", "")
	}
	if want := 3 * 9; h.shop.asked > 2*want { // twice if the two seconds passed meanwhile
		t.Errorf("asked %d times for %d coffees", h.shop.asked, want)
	}
}

// The customer after the one who got the last cup sees that it is gone.
func TestAnOrderChangesWhatCanBeMade(t *testing.T) {
	h := open(t)
	f := h.blank()
	h.stock.levels = map[string]fleet.Level{}
	status(t, h.ask("POST", "/order", f.Encode()), http.StatusSeeOther)
	contains(t, text(t, h.ask("GET", "/", "")), "Nothing can be made right now")
}

func TestOrderWithoutScript(t *testing.T) {
	h := open(t)
	f := h.blank()
	f.Set("sugar_count", "2")
	f.Set("milk", "soja")
	res := h.ask("POST", "/order", f.Encode())
	status(t, res, http.StatusSeeOther)
	if want := h.web.pathOf(f.Get("id")) + "#taken"; res.Header.Get("Location") != want {
		t.Errorf("leads to %s, want %s", res.Header.Get("Location"), want)
	}
	want := fleet.Order{ID: f.Get("id"), Name: "Ada", Size: fleet.Medium, Bean: "arabica", Milk: "soja", Sugar: 2}
	if got := h.shop.orders(); len(got) != 1 || got[0] != want {
		t.Errorf("ordered %v, want %v", got, want)
	}
}

func TestDoubleClickIsOneOrder(t *testing.T) {
	h := open(t)
	f := h.blank()
	var pages []string
	for range 5 {
		res := h.ask("POST", "/order", f.Encode())
		status(t, res, http.StatusSeeOther)
		pages = append(pages, res.Header.Get("Location"))
	}
	if n := len(h.shop.orders()); n != 1 {
		t.Errorf("%d orders", n)
	}
	for _, p := range pages {
		if p != pages[0] {
			t.Errorf("another page: %s and %s", p, pages[0])
		}
	}
}

func TestRefusedFormKeepsWhatWasTyped(t *testing.T) {
	for _, tt := range []struct {
		code   string
		field  string
		status int
		want   string
		sameID bool // else the refused id would be asked again for ever
	}{
		{fleet.CodeOutOfStock, "", http.StatusConflict, "There is not enough left", false},
		{fleet.CodeNotOnMenu, "", http.StatusUnprocessableEntity, "No machine here makes this coffee", false},
		{fleet.CodeQueueFull, "", http.StatusServiceUnavailable, "Too many coffees are waiting", false},
		{fleet.CodeUnavailable, "", http.StatusServiceUnavailable, "it stays one order", true},
		{fleet.CodeInvalid, "name", http.StatusBadRequest, "Please give a name of 1 to 40 characters", true},
		{"a-code-of-tomorrow", "", http.StatusServiceUnavailable, "The shop could not take the order", false},
	} {
		t.Run(tt.code, func(t *testing.T) {
			h := open(t)
			h.shop.refuse = &fleet.Answer{Status: "error", Code: tt.code, Field: tt.field, Message: "words of the shop"}
			f := h.blank()
			f.Set("name", `Zoé "Z" O'Hara`)
			f.Set("size", "large")
			f.Set("milk", "soja")
			f.Set("sugar_count", "3")
			res := h.ask("POST", "/order", f.Encode())
			status(t, res, tt.status)
			page := text(t, res)
			lacks(t, page, "words of the shop") // which are English
			contains(t, page, tt.want, `role="alert"`, `value="Zoé &#34;Z&#34; O&#39;Hara"`, `value="large" required checked`,
				`value="soja" required checked`, `value="3" required checked`)
			if tt.field == "name" {
				contains(t, page, `aria-invalid="true"`, `aria-describedby="name-hint problem"`)
			}
			if same := hiddenID.FindStringSubmatch(page)[1] == f.Get("id"); same != tt.sameID {
				t.Errorf("same id: %v, want %v", same, tt.sameID)
			}
		})
	}
}

func TestSecondCoffeeFromAUsedForm(t *testing.T) {
	h := open(t)
	f := h.blank()
	status(t, h.ask("POST", "/order", f.Encode()), http.StatusSeeOther)
	f.Set("size", "large") // back, and something else
	res := h.ask("POST", "/order", f.Encode())
	status(t, res, http.StatusConflict)
	page := text(t, res)
	contains(t, page, "This page has ordered a coffee before")
	f.Set("id", hiddenID.FindStringSubmatch(page)[1])
	status(t, h.ask("POST", "/order", f.Encode()), http.StatusSeeOther)
	if n := len(h.shop.orders()); n != 2 {
		t.Errorf("%d orders, want 2", n)
	}
}

func TestBadForms(t *testing.T) {
	h := open(t)
	good := h.blank()
	with := func(field, value string) string {
		f := url.Values{}
		for k, v := range good {
			f[k] = v
		}
		f.Set(field, value)
		return f.Encode()
	}
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"empty", "a=b", 400, "Please give a name"},
		{"no name", with("name", "  "), 400, "Please give a name"},
		{"long name", with("name", strings.Repeat("x", 41)), 400, "Please give a name"},
		{"markup", with("name", "<script>alert(1)</script>"), 400, "&lt;script&gt;alert(1)&lt;/script&gt;"},
		{"invisible", with("name", "\u202e\u3164\u200d"), 400, "Please give a name"},
		{"NUL", with("name", "a\x00b"), 400, "Please give a name"},
		{"not UTF-8", with("name", "a\xffb"), 400, "Please give a name"},
		{"size", with("size", "bucket"), 400, "Please choose a size"},
		{"bean", with("bean_type", "x 0\r\n\r\nPUB coffee.stock 0"), 400, "Please choose the beans"},
		{"wildcard", with("bean_type", ">"), 400, "Please choose the beans"},
		{"milk", with("milk", "a.b"), 400, "Please choose a milk"},
		{"sugar", with("sugar_count", "-1"), 400, "Please choose 0 to 3 sugars"},
		{"much sugar", with("sugar_count", "1e9"), 400, "Please choose 0 to 3 sugars"},
		{"id", with("id", "nonsense"), 400, "This page is damaged"},
		{"percent", "name=%zz", 400, "could not read"},
		{"too big", with("name", strings.Repeat("x", 5000)), 413, "larger than any order"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := h.ask("POST", "/order", tt.body)
			status(t, res, tt.status)
			page := text(t, res)
			contains(t, page, tt.want)
			lacks(t, page, "<script>alert")
		})
	}
	status(t, h.ask("POST", "/order", `{"name":"Ada"}`, header("Content-Type", "application/json")), http.StatusUnsupportedMediaType)
	if n := len(h.shop.orders()); n != 0 {
		t.Errorf("%d orders were taken", n)
	}
}

func TestNamesStayText(t *testing.T) {
	payloads := []string{
		`"onmouseover="alert(1)`, `' autofocus onfocus='alert(1)`, `{{.ID}}`, `${alert(1)}`, `javascript:alert(1)`, `&lt;b&gt;`,
		`\u003cscript\u003e`, `]]>`[:2], `-->`[:2], `%3Cscript%3E`, "`alert(1)`", `;alert(1)//`, `data:text/html,x`,
		"عائشة", "דנה", "👩🏽‍🚀", "Zoë", "名前",
	}
	h := open(t)
	for i, name := range payloads {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			id, path := h.order(name)
			h.write(id, brewing("zoe"))
			making := text(t, h.ask("GET", "/board", ""))
			h.write(id, func(c fleet.Claim) (fleet.Claim, error) {
				c, err := served("zoe")(c)
				c.Reason = fleet.Reason{Text: `<img src=x onerror=alert(1)>`}
				return c, err
			})
			for _, page := range []string{making, text(t, h.ask("GET", "/board", "")), text(t, h.ask("GET", path, ""))} {
				lacks(t, page, "<script>", "<b>", "<img src=x", ` onmouseover="`, ` onfocus='`)
				if strings.ContainsAny(name, `"'`) {
					lacks(t, page, name)
				}
			}
		})
	}
}
