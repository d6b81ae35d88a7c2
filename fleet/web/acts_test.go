package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"barista/fleet"
)

// floor is what the shop was asked to do.
type floor struct {
	mu    sync.Mutex // guards asked
	asked []string
	err   error
	left  fleet.Left // how a machine left
	keys  map[string]bool
	stock *shelf
}

func (f *floor) did(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

func (f *floor) Cordon(_ context.Context, machine, by, reason string) error {
	return f.did("cordon %s by %s: %s", machine, by, reason)
}
func (f *floor) Drain(_ context.Context, machine, by, reason string) error {
	return f.did("drain %s by %s: %s", machine, by, reason)
}
func (f *floor) Uncordon(_ context.Context, machine, _, _ string, checked bool) error {
	return f.did("uncordon %s%s", machine, map[bool]string{true: ", checked"}[checked])
}
func (f *floor) Retire(_ context.Context, machine, by, reason string) (fleet.Left, error) {
	err := f.did("retire %s by %s: %s", machine, by, reason)
	return f.left, err
}
func (f *floor) Replace(_ context.Context, machine, by, reason string, _ time.Duration) (fleet.Left, error) {
	err := f.did("replace %s by %s: %s", machine, by, reason)
	return f.left, err
}
func (f *floor) Settle(_ context.Context, order string, made bool, by, reason string) error {
	return f.did("settle %s %v by %s: %s", order, made, by, reason)
}
func (f *floor) MakeAgain(_ context.Context, order, by string) error {
	return f.did("again %s by %s", order, by)
}

func (f *floor) book(verb, item string, by, key string, to func(fleet.Level) fleet.Level) (fleet.Level, error) {
	err := f.did("%s %s by %s", verb, item, by)
	f.stock.mu.Lock()
	defer f.stock.mu.Unlock()
	if !f.keys[key] && err == nil {
		f.keys[key] = true
		f.stock.levels[item] = to(f.stock.levels[item])
	}
	return f.stock.levels[item], err
}

func (f *floor) Add(_ context.Context, item string, n int, by, key string) (fleet.Level, error) {
	return f.book(fmt.Sprint("add ", n), item, by, key, func(l fleet.Level) fleet.Level { l.OnHand += n; return l })
}

func (f *floor) Count(_ context.Context, item string, n int, by, key string) (fleet.Level, error) {
	return f.book(fmt.Sprint("count ", n), item, by, key, func(l fleet.Level) fleet.Level { l.OnHand = n; return l })
}

func (f *floor) Waste(_ context.Context, item string, n int, by, reason, key string) (fleet.Level, error) {
	f.stock.mu.Lock()
	has, once := f.stock.levels[item].OnHand, f.keys[key]
	f.stock.mu.Unlock()
	if n > has && !once {
		return fleet.Level{}, fleet.Saying("there is less", fleet.ErrNotAllowed)
	}
	return f.book(fmt.Sprintf("waste %d (%s)", n, reason), item, by, key, func(l fleet.Level) fleet.Level {
		l.OnHand, l.Wasted = l.OnHand-n, l.Wasted+n
		return l
	})
}

// all is what was asked so far.
func (f *floor) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// withActs is a house whose operators may act, with an order in doubt, one in hand and one
// that waits.
func withActs(t *testing.T) (*house, *floor) {
	h := build(t)
	f := &floor{keys: map[string]bool{}, stock: h.stock}
	h.web.Acts = f
	h.web.handler = h.web.routes()
	h.run()
	h.records.put(ada(idA), time.Now())
	h.write(idA, brewing("leo"), parked)
	h.records.put(ada(idB), time.Now())
	h.write(idB, brewing("zoe"))
	h.crew.present = []fleet.Presence{
		{Machine: "zoe", State: fleet.StateBusy, Order: idB, Percent: 40, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, Cup: "page", Driver: "mock"},
		{Machine: "leo", State: fleet.StateFault, Code: "no-grind", Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, Cup: "page", Driver: "mock"},
	}
	return h, f
}

// TestOperatorsAct: each button does one thing, under the name of who pressed it, and says
// what came of it.
func TestOperatorsAct(t *testing.T) {
	h, f := withActs(t)
	page := text(t, h.ask("GET", "/fleet", ""))
	contains(t, page, "Nobody knows what came of these", "It was made", "Make it again", `id="doubt-`+idA, "Clear the fault of Leo", "Stop Zoe now", "Take Zoe out of service",
		"Ada: ")
	for _, tt := range []struct {
		path, form, want, done string
	}{
		{"cordon", "machine=zoe&reason=new+grinder", "cordon zoe by this computer: new grinder", "Out of service"},
		{"drain", "machine=zoe&reason=new+grinder", "drain zoe by this computer: new grinder", "when it may be opened"},
		{"uncordon", "machine=zoe", "uncordon zoe", "Back in service"},
		{"made", "order=" + idA + "&reason=the+cup+was+full", "settle " + idA + " true by this computer: the cup was full", "Written down"},
		{"not-made", "order=" + strings.ToLower(idA) + "&reason=wet+tray", "settle " + idA + " false by this computer: wet tray", "Written down"},
		{"again", "order=" + idA + "&reason=he+waits", "again " + idA + " by this computer", "made again"},
	} {
		f.asked = nil
		res := h.ask("POST", "/fleet/"+tt.path, tt.form)
		status(t, res, http.StatusSeeOther)
		if !slices.Equal(f.asked, []string{tt.want}) {
			t.Errorf("%s: asked %q, want %q", tt.path, f.asked, tt.want)
		}
		contains(t, text(t, h.ask("GET", res.Header.Get("Location"), "")), tt.done)
	}
	h.desk.asked = nil
	status(t, h.ask("POST", "/fleet/stop", "machine=zoe&order="+idB+"&reason=it+leaks"), http.StatusSeeOther)
	status(t, h.ask("POST", "/fleet/clear", "machine=leo&reason=a+stone"), http.StatusSeeOther)
	want := map[string][]fleet.Command{
		"zoe": {{Verb: "stop", Order: idB, By: "this computer", Why: "it leaks"}},
		"leo": {{Verb: "clear-fault", By: "this computer", Why: "a stone"}},
	}
	if d := cmp.Diff(want, h.desk.asked); d != "" {
		t.Errorf("commands (-want +got):\n%s", d)
	}
}

// TestActsThatAreNot: what is not done says why, in words for people, and what is no
// machine, no order or has no reason is asked of nobody.
func TestActsThatAreNot(t *testing.T) {
	h, f := withActs(t)
	for form, where := range map[string]string{
		"machine=zoe&reason=":                    "cordon",
		"machine=zoe&reason=+%0a+":               "cordon",
		"machine=..%2Fzoe&reason=x":              "cordon",
		"machine=zoe.cmd&reason=x":               "stop",
		"machine=*&reason=x":                     "clear",
		"reason=x":                               "cordon",
		"order=*&reason=x":                       "made",
		"machine=zoe&reason=x":                   "again",
		"order=" + idA + ".x&reason=y":           "not-made",
		"machine=<script>&reason=<script>":       "cordon",
		"machine=zoe&order=" + idA + "0&reason=": "stop",
	} {
		page := h.ask("POST", "/fleet/"+where, form)
		status(t, page, http.StatusBadRequest)
		lacks(t, text(t, page), "<script>")
	}
	if len(f.asked)+len(h.desk.asked) != 0 {
		t.Errorf("asked all the same: %q %v", f.asked, h.desk.asked)
	}
	for _, no := range []struct {
		err    error
		status int
		says   string
	}{
		{fleet.ErrNotFound, http.StatusNotFound, "Somebody was faster"},
		{fleet.Saying("it is served", fleet.ErrNotAllowed), http.StatusConflict, "it is served"},
		{errors.New("internal words"), http.StatusServiceUnavailable, "nobody knows"},
	} {
		f.err = no.err
		res := h.ask("POST", "/fleet/made", "order="+idA+"&reason=seen")
		status(t, res, no.status)
		page := text(t, res)
		contains(t, page, no.says)
		lacks(t, page, "internal words")
	}
	h.desk.reply = fleet.CommandAnswer{Message: "its <tray> is open"}
	res := h.ask("POST", "/fleet/clear", "machine=leo&reason=looked")
	status(t, res, http.StatusConflict)
	contains(t, text(t, res), "Leo did not do it", "its &lt;tray&gt; is open")
	h.desk.err = fleet.ErrNobody
	res = h.ask("POST", "/fleet/stop", "machine=zoe&order="+idB+"&reason=now")
	status(t, res, http.StatusServiceUnavailable)
	contains(t, text(t, res), "its own switch")
}

func far(r *http.Request) { r.RemoteAddr = "192.0.2.7:1234" }

// TestCustomersDoNotAct: who is no operator sees no button, and none obeys him; a website
// that may not act has none.
func TestCustomersDoNotAct(t *testing.T) {
	h, f := withActs(t)
	for path, form := range map[string]string{
		"/fleet/cordon": "machine=zoe&reason=x", "/fleet/drain": "machine=zoe&reason=x", "/fleet/uncordon": "machine=zoe", "/fleet/retire": "machine=zoe&reason=x", "/fleet/replace": "machine=zoe&reason=x", "/fleet/stop": "machine=zoe&reason=x", "/fleet/clear": "machine=leo&reason=x",
		"/fleet/made": "order=" + idA + "&reason=x", "/fleet/not-made": "order=" + idA + "&reason=x", "/fleet/again": "order=" + idA + "&reason=x",
		"/stock/add": "item=arabica&amount=1&key=" + ulid.Make().String(), "/stock/count": "item=arabica&amount=1&key=" + ulid.Make().String(),
		"/stock/waste": "item=arabica&amount=1&reason=x&key=" + ulid.Make().String(),
	} {
		status(t, h.ask("POST", path, form, far), http.StatusForbidden)
		status(t, h.ask("POST", path, form, header("Sec-Fetch-Site", "cross-site")), http.StatusForbidden)
		status(t, open(t).ask("POST", path, form), http.StatusNotFound)
	}
	status(t, h.ask("GET", "/stock", "", far), http.StatusForbidden)
	if len(f.asked)+len(h.desk.asked) != 0 {
		t.Errorf("asked all the same: %q %v", f.asked, h.desk.asked)
	}
	lacks(t, text(t, open(t).ask("GET", "/stock", "")), "<form", "<button")
}

// TestStockPage: what is put in and counted is booked once for each time that the page
// was shown, in the units of people.
func TestStockPage(t *testing.T) {
	h, f := withActs(t)
	page := text(t, h.ask("GET", "/stock", ""))
	contains(t, page, "Arabica", "Soy milk", "Sugar", "1 kg", "1 l", "1000 doses")
	// What was ever put in says nothing of how full a hopper is.
	large := fleet.DefaultMenu().Sizes[fleet.Large].Grams
	f.stock.levels["robusta"] = fleet.Level{OnHand: 5*large + 1, Refilled: 100_000, Consumed: 100_000 - 5*large - 1}
	f.stock.levels["mixed"] = fleet.Level{OnHand: large - 1}
	contains(t, text(t, h.ask("GET", "/stock", "")), "Enough for 5 large ones.", "Not enough for a large one.")
	key := ulid.Make().String()
	form := url.Values{"item": {"arabica"}, "amount": {"2,5"}, "key": {key}}.Encode()
	for range 2 { // pressed twice
		status(t, h.ask("POST", "/stock/add", form), http.StatusSeeOther)
	}
	if n := f.stock.levels["arabica"].OnHand; n != 3500 {
		t.Errorf("%d g on hand, want 3500", n)
	}
	res := h.ask("POST", "/stock/count", url.Values{"item": {"arabica"}, "amount": {"3.46 kg"}, "key": {ulid.Make().String()}}.Encode())
	contains(t, text(t, h.ask("GET", res.Header.Get("Location"), "")), "The count is booked", "-40", "3.46 kg")
	for what, form := range map[string]url.Values{
		"an item that is none": {"item": {"coffee"}, "amount": {"5"}, "key": {key}},
		"no amount":            {"item": {"arabica"}, "key": {key}},
		"nothing to add":       {"item": {"arabica"}, "amount": {"0"}, "key": {key}},
		"words":                {"item": {"arabica"}, "amount": {"two bags"}, "key": {key}},
		"too much":             {"item": {"arabica"}, "amount": {"1001"}, "key": {key}},
		"less than nothing":    {"item": {"arabica"}, "amount": {"-5"}, "key": {key}},
		"not a number":         {"item": {"arabica"}, "amount": {"nan"}, "key": {key}},
		"no key":               {"item": {"arabica"}, "amount": {"5"}, "key": {"a.b"}},
	} {
		f.asked = nil
		status(t, h.ask("POST", "/stock/add", form.Encode()), http.StatusBadRequest)
		if len(f.asked) > 0 {
			t.Errorf("%s: asked %q", what, f.asked)
		}
	}
	h.stock.levels, h.stock.err = nil, errors.New("no answer")
	contains(t, text(t, h.ask("GET", "/stock", "")), "does not answer")
}

// TestStockWaste: what was thrown away is booked once, with who and why, and never more
// than there is; and the page says when open orders miss it.
func TestStockWaste(t *testing.T) {
	h, f := withActs(t)
	f.stock.set(map[string]fleet.Level{"arabica": {OnHand: 100, Reserved: 60}, "milk-normal": {OnHand: 500}}, nil)
	lacks(t, text(t, h.ask("GET", "/stock", "")), "more than there is")
	f.stock.levels["sugar"] = fleet.Level{OnHand: 2, Reserved: 1}
	contains(t, text(t, h.ask("GET", "/stock", "")), "2 doses", "Promised to orders: 1 dose.", "Promised to orders: 60 g.")
	contains(t, text(t, h.ask("GET", "/stock?lang=fr", "")), "Promis à des commandes : 1 dose.")
	form := func(amount, reason string) url.Values {
		return url.Values{"item": {"arabica"}, "amount": {amount}, "reason": {reason}, "key": {ulid.Make().String()}}
	}
	good := form("80 g", "the bag <tore>")
	f.asked = nil
	for range 2 { // pressed twice
		res := h.ask("POST", "/stock/waste", good.Encode())
		status(t, res, http.StatusSeeOther)
		contains(t, text(t, h.ask("GET", res.Header.Get("Location"), "")), "The loss is booked.", "20 g", "Open orders need 40 g more than there is.")
	}
	if want := "waste 80 (the bag <tore>) arabica by this computer"; f.asked[0] != want || f.stock.levels["arabica"].OnHand != 20 {
		t.Errorf("asked %q, want %q; %+v", f.asked, want, f.stock.levels["arabica"])
	}
	f.asked = nil
	res := h.ask("POST", "/stock/waste", form("0.021", "stale").Encode())
	status(t, res, http.StatusConflict)
	contains(t, text(t, res), "only 20 g in the book", "Count what is left")
	for what, form := range map[string]url.Values{
		"no reason": form("1 g", ""), "a reason of nothing": form("1 g", " \n "), "nothing": form("0", "stale"), "less": form("-1", "stale"), "no amount": form("", "stale"),
	} {
		res := h.ask("POST", "/stock/waste", form.Encode())
		if status(t, res, http.StatusBadRequest); len(f.asked) > 0 {
			t.Errorf("%s: asked %q", what, f.asked)
		}
	}
}

// TestRefillByCode: the code at a hopper leads an operator to that item's refill, whoever
// is none to the login and from there to it, and to nothing else.
func TestRefillByCode(t *testing.T) {
	h, f := withActs(t)
	for lang, want := range map[string][]string{"en": {"Bag of 250 g", "Bag of 1 kg", "Carton of 2 l", "100 doses"}, "fr": {"Sachet de 250 g", "Brique de 500 ml"}} {
		contains(t, text(t, h.ask("GET", "/stock?lang="+lang, "")), want...)
	}
	for unit, some := range suggestions {
		for i, s := range h.web.pages["fr"].suggest(unit) {
			if n, ok := typedAmount(s.Value, unit); !ok || n != some[i] {
				t.Errorf("%+v is %d, want %d", s, n, some[i])
			}
		}
	}
	page := text(t, h.ask("GET", "/stock?item=milk-soja", ""))
	contains(t, page, `id="add-milk-soja" open>`, "autofocus")
	lacks(t, page, `id="add-arabica" open`, `http-equiv="refresh"`)
	if !(strings.Index(page, `id="item-milk-soja"`) < strings.Index(page, `id="item-arabica"`)) {
		t.Error("the item of the code is not the first")
	}
	for _, none := range []string{"", "coffee", "%3Cscript%3E", "a.b"} {
		page := text(t, h.ask("GET", "/stock?item="+none, ""))
		contains(t, page, `http-equiv="refresh"`)
		lacks(t, page, " open>", "<script>", "autofocus")
	}
	key := ulid.Make().String()
	status(t, h.ask("POST", "/stock/add", url.Values{"item": {"milk-soja"}, "amount": {"2000 ml"}, "key": {key}}.Encode()), http.StatusSeeOther)
	if n := f.stock.levels["milk-soja"].OnHand; n != 3000 {
		t.Errorf("%d ml, want 3000", n)
	}
}

// TestCodesForHoppers: a page to print has a code for each item of the stock, for
// operators alone, and says where a phone that reads one would not be let in.
func TestCodesForHoppers(t *testing.T) {
	h, _ := withActs(t)
	contains(t, text(t, h.ask("GET", "/stock", "")), `href="/qr/stock"`)
	status(t, h.ask("GET", "/qr/stock", "", far), http.StatusForbidden)
	contains(t, text(t, h.ask("GET", "/qr/stock", "")), "There is no address for phones")
	h.web.Address = "https://coffee.example"
	page := text(t, h.ask("GET", "/qr/stock", ""))
	for _, id := range fleet.DefaultMenu().Items() {
		contains(t, page, newCode("https://coffee.example/stock?item="+id, "").Path, "coffee.example/stock?item="+id)
	}
	contains(t, page, "Soy milk", "no operators with logins")
	if len(page) > 20_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
	lacks(t, page, "Page 1 of", "page=")
	h.stock.set(nil, errors.New("no answer"))
	h.web.counter.forget()
	contains(t, text(t, h.ask("GET", "/qr/stock", "")), "stock?item=arabica")
}

// TestCodesOfManyHoppers: forty items and a long address stand on several pages, each below
// 60 kB, and each item on one of them.
func TestCodesOfManyHoppers(t *testing.T) {
	h, _ := withActs(t)
	h.web.Address = "https://" + strings.Repeat("coffee-", 8) + "shop.example.org:8443"
	levels := full()
	for i := range 40 - len(levels) {
		levels[fmt.Sprintf("milk-of-a-name-as-long-as-one-%02d", i)[:32]] = fleet.Level{OnHand: 7}
	}
	if len(levels) != 40 {
		t.Fatalf("%d items", len(levels))
	}
	h.stock.set(levels, nil)
	h.web.counter.forget()
	on, most := map[string]int{}, 0
	for at := 1; at <= 4; at++ {
		page := text(t, h.ask("GET", fmt.Sprint("/qr/stock?page=", at), ""))
		most = max(most, len(page))
		for id := range levels {
			on[id] += strings.Count(page, "stock?item="+id+"</figcaption>")
		}
		contains(t, page, fmt.Sprintf("Page %d of 4", at))
		if at > 1 {
			contains(t, page, fmt.Sprintf("?page=%d&amp;lang=fr", at))
		}
		if before := strings.Contains(page, fmt.Sprintf(`href="/qr/stock?page=%d"`, at-1)); before != (at > 1) {
			t.Errorf("page %d: a page before it: %v", at, before)
		}
		if next := strings.Contains(page, fmt.Sprintf(`href="/qr/stock?page=%d"`, at+1)); next != (at < 4) {
			t.Errorf("page %d: a next one: %v", at, next)
		}
	}
	if most > 60_000 {
		t.Errorf("a page of %d bytes", most)
	}
	for id := range levels {
		if on[id] != 1 {
			t.Errorf("%s is there %d times", id, on[id])
		}
	}
	first := text(t, h.ask("GET", "/qr/stock", ""))
	for _, page := range []string{"0", "5", "-1", "x", "1e9", "99999999999999999999"} {
		if text(t, h.ask("GET", "/qr/stock?page="+page, "")) != first {
			t.Errorf("page %s is not the first", page)
		}
	}
}

func FuzzTypedAmount(f *testing.F) {
	for _, s := range []string{"5", "2,5 kg", "500 g", "1e9", "0x10", "1.5l", "3 doses", "..", "٣", "9999999999999999999999"} {
		f.Add(s, "g")
	}
	f.Fuzz(func(t *testing.T, s, unit string) {
		if n, ok := typedAmount(s, unit); ok && (n < 0 || n > fleet.MaxAmount) {
			t.Errorf("%q %s is %d", s, unit, n)
		}
	})
}

// TestEndsAbout: it is said when an item ends, as drinks go now, and only where enough of
// them took of it to go by.
func TestEndsAbout(t *testing.T) {
	h := build(t)
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.Local)
	h.web.Wall = func() time.Time { return now }
	h.web.book.wall = h.web.Wall
	grams := fleet.DefaultMenu().Sizes[fleet.Medium].Grams
	h.stock.set(map[string]fleet.Level{"arabica": {OnHand: 2 * fewest * grams, Reserved: fewest * grams}, "milk-soja": {OnHand: 100}}, nil)
	h.run()
	drink := func(milk string, ago time.Duration) {
		c := ada(ulid.Make().String())
		c.Order.Milk = milk
		h.records.put(c, now.Add(-ago))
		for _, step := range []arrow{brewing("zoe"), served("zoe")} {
			next, err := step(h.records.last(c.Order.ID))
			if err != nil {
				t.Fatal(err)
			}
			h.records.put(next, now.Add(-ago))
		}
		h.until(func() bool {
			o, _ := h.web.book.look(c.Order.ID)
			return o.Phase == fleet.Served
		})
	}
	ends := func(want string) {
		t.Helper()
		page := text(t, h.ask("GET", "/stock", ""))
		got := regexp.MustCompile(`it ends about [0-9:]+`).FindAllString(page, -1)
		if strings.Join(got, "; ") != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for range fewest {
		drink("free", lookBack+time.Minute) // too long ago
	}
	for range fewest - 1 {
		drink("soja", 2*time.Hour)
	}
	ends("")
	drink("free", time.Minute)
	ends("it ends about 14:00") // of arabica alone: as much again as in two hours
}
