package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
	"barista/fleet/words"
)

func TestFormShowsTheMenu(t *testing.T) {
	h := open(t)
	res := h.ask("GET", "/", "")
	status(t, res, http.StatusOK)
	if c := res.Header.Get("Cache-Control"); c != "no-store" {
		t.Errorf("a cached form would hold a used id: Cache-Control %q", c)
	}
	page := text(t, res)
	contains(t, page, "Espresso", "40 ml", "Lungo", "110 ml", "Americano", "180 ml", "Macchiato", "70 ml", "Café crème", "Latte", "270 ml",
		"Arabica", "Robusta", "Mixed", "Cow&#39;s milk", "Soy milk", ">None<", "Two cups",
		`id="drink-medium" name="drink" value="medium" required checked`, `<label for="name">`, "1 to 2 min", `id="order" method="post" action="/order"`)
	lacks(t, page, "disabled", "<style", "onclick", "style=")
	if strings.Count(page, "<script") != 2 || strings.Contains(page, "<script>") {
		t.Error("a page has its module and the one of all pages, and no inline script")
	}
	contains(t, page, "data-keep")
	kiosk := text(t, h.ask("GET", "/kiosk", ""))
	contains(t, kiosk, `id="order"`)
	lacks(t, kiosk, "data-keep") // everybody's device remembers nobody
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
			h.shop.waits[choice{s, b, "normal"}] = fleet.Wait{Code: fleet.CodeCordoned}
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
	gone("bean_type-robusta", "Out of beans")
	gone("bean_type-arabica", "")
	gone("drink-large", "Out of beans")
	gone("drink-medium", "")
	gone("drink-medium-milk", "Out of service") // and of one milk there is none left: the rest would do
	gone("milk-soja", "Out of milk")
	gone("milk-normal", "Out of service")
	gone("sugar_count-1", "")
	gone("sugar_count-2", "Out of sugar")
}

// What no machine that is known here makes is not on the page, whatever the shelf holds.
func TestTheMenuFollowsTheMachines(t *testing.T) {
	h := open(t)
	never := func(of func(choice) bool, w fleet.Wait) {
		for _, s := range fleet.Sizes {
			for _, c := range h.shop.menu.Classes() {
				if k := (choice{s, c.Bean, c.Milk}); of(k) {
					h.shop.waits[k] = w
				}
			}
		}
		h.web.counter.forget()
	}
	ids := func() (ids []string) {
		page := text(t, h.ask("GET", "/", ""))
		for _, m := range regexp.MustCompile(`<input type="radio" id="([^"]*)"|<input type="hidden" name="([a-z_]*)" value="([a-z0-9]*)">`).FindAllStringSubmatch(page, -1) {
			switch {
			case m[1] != "" && !strings.HasPrefix(m[1], "cups"):
				ids = append(ids, m[1])
			case m[2] != "" && m[2] != "id" && m[2] != "second":
				ids = append(ids, "only "+m[2]+"-"+m[3])
			}
		}
		lacks(t, page, "disabled", "Out of beans")
		return ids
	}
	// One machine of few classes: no large cup, one bean, one milk, no sugar.
	none := fleet.Wait{Code: fleet.CodeNotOnMenu}
	never(func(k choice) bool { return true }, fleet.Wait{Known: true, Low: time.Minute, High: 2 * time.Minute, TooSweet: 1})
	never(func(k choice) bool { return k.size == fleet.Large || k.bean != "robusta" || k.milk == "soja" }, none)
	h.stock.levels["arabica"] = fleet.Level{} // and nobody needs it
	want := []string{"only bean_type-robusta", "only milk-normal", "only sugar_count-0", "drink-small", "drink-medium", "drink-small-milk", "drink-medium-milk"}
	if got := ids(); !slices.Equal(got, want) {
		t.Errorf("offered %q, want %q", got, want)
	}
	f := h.blank()
	f.Del("size")
	f.Set("drink", "small-milk")
	f.Set("bean_type", "robusta")
	f.Set("milk", "normal")
	status(t, h.ask("POST", "/order", f.Encode()), http.StatusSeeOther)

	// Black coffee only, with two sugars at most.
	never(func(k choice) bool { return true }, fleet.Wait{Known: true, TooSweet: 3})
	never(func(k choice) bool { return k.milk != "free" || k.bean == "mixed" }, none)
	h.stock.levels = full()
	h.web.counter.forget()
	want = []string{"drink-small", "drink-medium", "drink-large", "bean_type-arabica", "bean_type-robusta", "sugar_count-0", "sugar_count-1", "sugar_count-2"}
	if got := ids(); !slices.Equal(got, want) {
		t.Errorf("offered %q, want %q", got, want)
	}
}

// Some drinks here can be had with sugar, and this one not: its line says so.
func TestSugarThatNoMachineGives(t *testing.T) {
	h := open(t)
	h.shop.waits[choice{fleet.Small, "arabica", "free"}] = fleet.Wait{Known: true, TooSweet: 1}
	contains(t, text(t, h.ask("GET", "/wait?size=small&bean_type=arabica&milk=free&sugar_count=1", "")), "No such sugar here")
	lacks(t, text(t, h.ask("GET", "/wait?size=small&bean_type=arabica&milk=free&sugar_count=0", "")), "No such sugar")
	lacks(t, text(t, h.ask("GET", "/", "")), "disabled")
}

// A shop with nothing to offer says so once, in the customer's words, and has no button.
func TestNothingCanBeMade(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*house)
		want []string
	}{
		{"sold out", func(h *house) { h.stock.levels = map[string]fleet.Level{} }, []string{"Out of beans", "refilled"}},
		{"out of service", func(h *house) { h.all(fleet.Wait{Code: fleet.CodeCordoned}) }, []string{"Out of service", "Somebody has to see to it"}},
		{"an empty tank", func(h *house) { h.all(fleet.Wait{Code: "tank"}) }, []string{"Water tank empty"}},
		{"opening", func(h *house) { h.all(fleet.Wait{Code: fleet.CodeOpening}) }, []string{"Just opening", "moments"}},
		{"shut", func(h *house) { h.all(fleet.Wait{Code: fleet.CodeShut}) }, []string{"Closed right now", "looking after it"}},
		{"nobody answers", func(h *house) { h.all(fleet.Wait{Code: fleet.CodeSilent}) }, []string{"No answer", "We can&#39;t reach the shop"}},
		{"no machine yet", func(h *house) { h.all(fleet.Wait{Code: fleet.CodeNotOnMenu}) }, []string{"No machine has joined"}},
		{"a code of tomorrow", func(h *house) { h.all(fleet.Wait{Code: "tomorrow"}) }, []string{"Not possible now"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := open(t)
			f := h.blank()
			tt.set(h)
			h.web.counter.forget()
			page := text(t, h.ask("GET", "/", ""))
			contains(t, page, append(tt.want, "No coffee at the moment", `content="10;url=/"`)...)
			lacks(t, page, "<form", "<button", "disabled", "tomorrow")
			if n := strings.Count(page, tt.want[0]); n != 1 {
				t.Errorf("%q is said %d times", tt.want[0], n)
			}
			if tt.name != "sold out" && tt.name != "no machine yet" { // there the shop itself refuses
				res := h.ask("POST", "/order", f.Encode())
				status(t, res, http.StatusConflict)
				contains(t, text(t, res), "Your coffee was not ordered", tt.want[0])
				if n := len(h.shop.orders()); n != 0 {
					t.Errorf("%d orders were taken", n)
				}
			}
		})
	}
}

// all has every coffee wait in the same way.
func (h *house) all(w fleet.Wait) {
	h.shop.set(func(s *shop) {
		for _, size := range fleet.Sizes {
			for _, c := range s.menu.Classes() {
				s.waits[choice{size, c.Bean, c.Milk}] = w
			}
		}
	})
	h.web.counter.forget()
}

// Where machines are only away an order is taken, and the page warns of it.
func TestNoMachineIsHere(t *testing.T) {
	h := open(t)
	h.all(fleet.Wait{Code: fleet.CodeAway})
	page := text(t, h.ask("GET", "/", ""))
	contains(t, page, "No machine is here right now", "Unknown", "<button")
	lacks(t, page, "disabled")
	status(t, h.ask("POST", "/order", h.blank().Encode()), http.StatusSeeOther)
}

// What the page shows as not to be had now is refused where it is sent all the same, and
// only that; an order that was taken before stays one.
func TestWhatIsShownIsWhatIsRefused(t *testing.T) {
	h := open(t)
	taken := h.blank()
	status(t, h.ask("POST", "/order", taken.Encode()), http.StatusSeeOther)
	for _, s := range fleet.Sizes {
		h.shop.waits[choice{s, "robusta", "free"}] = fleet.Wait{Code: "tray"}
		h.shop.waits[choice{s, "arabica", "free"}] = fleet.Wait{Code: "tray"}
	}
	h.web.counter.forget()
	for _, s := range fleet.Sizes {
		for _, c := range h.shop.menu.Classes() {
			f := h.blank()
			f.Set("size", string(s))
			f.Set("bean_type", c.Bean)
			f.Set("milk", c.Milk)
			shown := strings.Contains(text(t, h.ask("GET", "/wait?"+f.Encode(), "")), "Drip tray full")
			res := h.ask("POST", "/order", f.Encode())
			if refused := res.StatusCode == http.StatusConflict; refused != shown {
				t.Errorf("%s %s: shown as not to be had %v, refused %v", s, c, shown, refused)
			}
			if shown {
				page := text(t, res)
				contains(t, page, "Drip tray full", "Please choose another one", f.Get("id"))
			}
		}
	}
	status(t, h.ask("POST", "/order", taken.Encode()), http.StatusSeeOther)
	taken.Set("id", strings.ToLower(taken.Get("id"))) // the same one
	status(t, h.ask("POST", "/order", taken.Encode()), http.StatusSeeOther)
	// What is no order's id never comes to the book, which makes a subject of it.
	for _, id := range []string{"", "*", ">", "a b", "<x>", idA + ".>", strings.Repeat("A", 4000)} {
		f := h.blank()
		f.Set("bean_type", "robusta")
		f.Set("id", id)
		status(t, h.ask("POST", "/order", f.Encode()), http.StatusConflict)
	}
}

func TestTheStockIsSilent(t *testing.T) {
	h := open(t)
	h.stock.levels, h.stock.err = nil, errors.New("no answer")
	page := text(t, h.ask("GET", "/", ""))
	lacks(t, page, "disabled", "No coffee") // the controller decides
}

func TestTheShopIsSilent(t *testing.T) {
	h := open(t)
	h.shop.menu = fleet.Menu{}
	res := h.ask("GET", "/", "")
	status(t, res, http.StatusServiceUnavailable)
	contains(t, text(t, res), "No answer", "We can&#39;t reach the shop", `content="10;url=/"`)
}

func TestWaitBeforeOrdering(t *testing.T) {
	h := open(t)
	h.shop.waits[choice{fleet.Large, "mixed", "soja"}] = fleet.Wait{Low: 5 * time.Minute, High: 9 * time.Minute, Known: true}
	h.shop.waits[choice{fleet.Large, "mixed", "free"}] = fleet.Wait{}
	h.shop.waits[choice{fleet.Large, "robusta", "free"}] = fleet.Wait{Code: fleet.CodeCordoned}
	for query, want := range map[string]string{
		"size=small&bean_type=arabica&milk=free&sugar_count=0":     `</p><p><span class="ask">Waiting time</span> <strong>1 to 2 min</strong></p>`,
		"size=large&bean_type=mixed&milk=soja&sugar_count=0":       `</p><p><span class="ask">Waiting time</span> <strong>5 to 9 min</strong></p>`,
		"size=large&bean_type=mixed&milk=free&sugar_count=0":       `</p><p><span class="ask">Waiting time</span> <strong>Unknown</strong></p>`,
		"size=large&bean_type=robusta&milk=free&sugar_count=0":     "Out of service",
		"drink=large-milk&bean_type=mixed&milk=soja&sugar_count=2": `<p class="what">Latte · Mixed · Soy milk · 2 sugars</p><p><span class="ask">Waiting time</span> <strong>5 to 9 min</strong></p>`,
		"drink=large&bean_type=mixed&milk=soja&sugar_count=0":      "Americano · Mixed</p>",
		"size=<b>&bean_type=>&milk=..&sugar_count=x":               "Not possible now",
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
	contains(t, text(t, h.ask("GET", "/", "")), `<p><span class="ask">Waiting time</span> <strong>Unknown</strong></p>`)
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
	contains(t, text(t, h.ask("GET", "/", "")), "No coffee at the moment")
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
			contains(t, page, tt.want, `role="alert"`, `value="Zoé &#34;Z&#34; O&#39;Hara"`, `value="large-milk" required checked`,
				`value="soja" checked`, `value="3" required checked`)
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
		{"size", with("size", "bucket"), 400, "Please choose a drink"},
		{"bean", with("bean_type", "x 0\r\n\r\nPUB coffee.stock 0"), 400, "Please choose the beans"},
		{"wildcard", with("bean_type", ">"), 400, "Please choose the beans"},
		{"milk", with("milk", "a.b"), 400, "Please choose a milk"},
		{"a drink with milk, and which is not said", with("drink", "large-milk"), 400, "Please choose a milk"},
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

// An order of which nobody knows yet is asked again though the shop has closed meanwhile,
// with its own id, and by a page that stays.
func TestUnansweredAtAClosedShop(t *testing.T) {
	for _, cups := range []string{"1", "2"} {
		h := open(t)
		f := h.blank()
		f.Set("cups", cups)
		f.Set("second", ulidB)
		f.Set("milk", "soja")
		h.shop.set(func(s *shop) { s.refuse = &fleet.Answer{Status: "error", Code: fleet.CodeUnavailable} })
		if cups == "2" {
			h.shop.set(func(s *shop) { s.after = 1 })
		}
		h.ask("POST", "/order", f.Encode())
		h.all(fleet.Wait{Code: fleet.CodeCordoned})
		res := h.ask("POST", "/order", f.Encode())
		page := text(t, res)
		contains(t, page, `id="closed" data-self="/order"`, `url=/order"`)
		again := url.Values{}
		for _, m := range regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`).FindAllStringSubmatch(page[strings.Index(page, `<form id="again"`):], -1) {
			again.Set(m[1], m[2])
		}
		if cups == "1" {
			f.Del("cups")
		}
		if diff := cmp.Diff(f, again); diff != "" {
			t.Errorf("%s cups: what is asked again (-want +got)\n%s", cups, diff)
		}
		if there := strings.Contains(page, h.web.pathOf(f.Get("id"))); there != (cups == "2") {
			t.Errorf("%s cups: a way to the first: %v", cups, there)
		}
		contains(t, text(t, h.ask("GET", "/order", "", with(res.Cookies()...))), `id="again"`)
		h.shop.set(func(s *shop) { s.refuse = nil })
		status(t, h.ask("POST", "/order", again.Encode()), http.StatusSeeOther)
		if orders := h.shop.orders(); len(orders) != len(cups) && cups == "1" || orders[0].ID != f.Get("id") {
			t.Errorf("ordered %v", orders)
		}
	}
}

// A coffee that could not be made and can by now is not said to be impossible.
func TestCannotIsNotSaidForGood(t *testing.T) {
	h := open(t)
	f := h.blank()
	h.all(fleet.Wait{Code: fleet.CodeCordoned})
	res := h.ask("POST", "/order", f.Encode())
	status(t, res, http.StatusConflict)
	contains(t, text(t, res), "not ordered")
	h.shop.set(func(s *shop) { s.waits = map[choice]fleet.Wait{} })
	h.web.counter.forget()
	page := text(t, h.ask("GET", "/order", "", with(res.Cookies()...)))
	contains(t, page, `id="order"`, `value="Ada"`)
	lacks(t, page, "not ordered", `id="problem"`)
}

// TestWhyAShopIsClosed: an empty shelf is the reason only where a refill would open the
// shop.
func TestWhyAShopIsClosed(t *testing.T) {
	for what, c := range map[string]struct {
		wait  fleet.Wait
		empty []string // on the shelf
		says  string
	}{
		"nothing on the shelf":                      {fleet.Wait{Known: true, High: time.Minute}, []string{"arabica", "robusta", "mixed"}, "Out of beans"},
		"no machine, two kinds of beans":            {fleet.Wait{Code: fleet.CodeNotOnMenu}, []string{"arabica"}, words.Now("en", fleet.CodeNotOnMenu)},
		"the machine is kept, two kinds of beans":   {fleet.Wait{Code: fleet.CodeCordoned}, []string{"arabica"}, words.Now("en", fleet.CodeCordoned)},
		"the machine is kept, one kind of beans":    {fleet.Wait{Code: fleet.CodeCordoned}, []string{"arabica", "robusta"}, words.Now("en", fleet.CodeCordoned)},
		"the machine is kept, nothing on the shelf": {fleet.Wait{Code: fleet.CodeCordoned}, []string{"arabica", "robusta", "mixed"}, "Out of beans"},
	} {
		h := open(t)
		for _, item := range c.empty {
			h.stock.levels[item] = fleet.Level{}
		}
		h.all(c.wait)
		page := text(t, h.ask("GET", "/", ""))
		contains(t, page, `id="closed"`, "<strong>"+c.says+"</strong>")
		if c.says == "" {
			t.Errorf("%s: no reason", what)
		}
	}
}
