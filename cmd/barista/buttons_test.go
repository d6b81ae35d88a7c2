package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"barista/cmd/barista/reach"
	"barista/configs"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/operators"
	"barista/machine"
	"barista/machine/station"
)

// button is a button of the operators' pages. The rows are pressed one after the other at
// one shop, so each may rest on what those before it did; a new one needs no more than what
// is filled in here.
type button struct {
	action string            // as the template has it
	page   string            // where it stands
	sel    string            // the selector that finds it there
	typed  map[string]string // what is typed into its form, chosen or ticked, by field
	before func()            // brings the shop to where it can be pressed
	obeyed func() bool       // asks the shop itself, not the page
	record func() string     // where who did it, and why, stands from then on
	done   string            // what the page says of it, in #done
	shows  [2]string         // a selector, and what stands there then
	// anybody may send it, and without a session it changes nothing.
	anybody bool
}

const (
	buttonAim   = 2 * time.Second  // how soon each is obeyed on a computer that has nothing else to do
	buttonBound = 20 * time.Second // for any that is busy
	bossName    = "boss"
	bossWord    = "seven green herons"
)

// buttonHouse is a shop with keys, logins and one simulated machine, and a browser in which
// an operator is logged in.
type buttonHouse struct {
	*house
	log     *lines
	shop    client.Shop
	browser context.Context
	doubts  []string // orders of which nobody knows what came
	other   string   // the secret of another operator's session
}

// TestEveryButton presses each button of the operators' pages in a real browser, at a real
// shop: it is obeyed and the page says so, who did it and why is written down, and the same
// request of somebody without a login is refused and changes nothing.
func TestEveryButton(t *testing.T) {
	b := openButtons(t)
	rows := b.buttons()
	t.Run("all are in the table", func(t *testing.T) { everyAction(t, rows) })
	for _, r := range rows {
		if !t.Run(r.action[1:], func(t *testing.T) { b.press(t, r) }) {
			break // those behind it rest on it
		}
	}
}

// openButtons opens it. Orders are in doubt as after the death of a machine that never came
// back, and the machine that is there is out of service.
func openButtons(t *testing.T) *buttonHouse {
	path := chromium(t)
	b := &buttonHouse{log: &lines{}}
	// Slow, so that no drink is done before somebody has stopped it; and every drink waits
	// for a person's word that the cup is there.
	f, _, err := demo{http: "127.0.0.1:0", nats: "127.0.0.1:0", machines: 1, speed: 1, cups: "hand"}.file(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	menu := fleet.DefaultMenu()
	zoe := demoMachine("zoe", machine.CupPage, configs.Serves{Beans: menu.Beans, Milks: menu.Milks, Sizes: []fleet.Size{fleet.Small}}, 0.5, 0, "hand", 1)
	zoe.Care = map[machine.Care]machine.Upkeep{machine.Clean: {WaterML: 10}}
	f.Path, f.Broker.NoKeys = filepath.Join(f.State, "shop.yaml"), false
	s, err := openShop(t.Context(), slog.New(slog.NewTextHandler(b.log, nil)), f, zoe)
	if err != nil {
		t.Fatal(err)
	}
	b.house = &house{shop: s, t: t}
	if b.conn, err = s.connect(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.runs())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the shop's log:\n%s", b.log)
		}
	})
	b.shop = reach.Shop(b.conn, false)
	b.ready()
	if err := b.shop.Cordon(t.Context(), "zoe", "ann", "not yet"); err != nil {
		t.Fatal(err)
	}
	b.eventually("zoe to be out of service", func() bool { return b.zoe().State == fleet.StateCordoned })
	for i := range 3 {
		b.doubts = append(b.doubts, testID(i+1))
		b.doubt(b.doubts[i])
	}

	staff := operators.NewStore(f.State, guard.SinceBoot)
	for _, name := range []string{bossName, "ann"} {
		if err := staff.Set(name, bossWord); err != nil {
			t.Fatal(err)
		}
	}
	if b.other, err = b.page.Logins.Login(t.Context(), "ann", bossWord, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	b.browser = browseFor(t, 10*time.Minute, path)
	if err := chromedp.Do(b.browser, chromedp.Navigate(b.page.URL()+"/login"), chromedp.WaitVisible("#login"), chromedp.SendKeys("#name", bossName),
		chromedp.SendKeys("#password", bossWord), chromedp.Click("#login button"), chromedp.WaitVisible("#logout")); err != nil {
		t.Fatal(err)
	}
	return b
}

// doubt places an order and leaves it in doubt.
func (b *buttonHouse) doubt(id string) {
	b.t.Helper()
	if a, err := b.request(fmt.Sprintf(`{"id":%q,"size":"small","bean_type":"arabica","milk":"free","name":"Ada"}`, id)); err != nil || !a.OK() {
		b.t.Fatalf("%+v %v", a, err)
	}
	dead := fleet.Owner{Machine: "eve", Journal: "j", Boot: "b"}
	for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
		func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(dead) },
		func(c fleet.Claim) (fleet.Claim, error) {
			return c.Park("controller", fleet.Reason{Code: fleet.CodeNotHeard})
		},
	} {
		b.eventually("the book", func() bool { // whoever offers the order may write meanwhile
			e, err := b.conn.Book().Read(b.t.Context(), id)
			if err != nil {
				return false
			}
			c, err := arrow(e.Claim)
			if err != nil {
				b.t.Fatal(err)
			}
			_, err = b.conn.Book().Next(b.t.Context(), e.Revision, c)
			return err == nil
		})
	}
}

// zoe is the machine as the shop sees it.
func (b *buttonHouse) zoe() fleet.Machine { return b.named("zoe") }

// claim is an order's, with where its last step came from.
func (b *buttonHouse) claim(id string) fleet.Claim {
	e, _ := b.conn.Book().Read(b.t.Context(), id)
	return e.Claim
}

// told is all that the book has of an order.
func (b *buttonHouse) told(id string) string {
	list, err := b.conn.Book().History(b.t.Context(), id)
	text, _ := json.Marshal(list)
	return fmt.Sprint(string(text), err)
}

// booked is the last act of the stock that belongs to no order.
func (b *buttonHouse) booked() string {
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	var last fleet.StockAct
	_ = b.conn.Book().Follow(ctx, 1, func(r fleet.Record) {
		if r.Stock != nil {
			last = *r.Stock
		}
	}, cancel)
	return fmt.Sprintf("%s %v by %s: %s", last.Act, last.Items, last.By, last.Note)
}

// level says of an item that so much is there.
func (b *buttonHouse) holds(item string, n int) func() bool {
	return func() bool {
		all, err := b.stock.Levels(b.t.Context())
		return err == nil && all[item].OnHand == n
	}
}

// logged is the last line of the shop's log with all these pieces.
func (b *buttonHouse) logged(pieces ...string) func() string {
	return func() string {
		for _, line := range slices.Backward(strings.Split(b.log.String(), "\n")) {
			if !slices.ContainsFunc(pieces, func(p string) bool { return !strings.Contains(line, p) }) {
				return line
			}
		}
		return ""
	}
}

// cleared is what the machine's folder says of cleared faults.
func (b *buttonHouse) cleared() string {
	text, _ := os.ReadFile(filepath.Join(station.Folder(b.file.State, "zoe"), "guard.log"))
	return string(text)
}

func (b *buttonHouse) rests() bool {
	for _, on := range b.plants()[0].Counts().On {
		if on {
			return false
		}
	}
	return true
}

// member is one of the shop's, empty if there is none of that name.
func (b *buttonHouse) member(name string) fleet.Member {
	all, _ := b.gate.Door.Members(b.t.Context())
	if i := slices.IndexFunc(all, func(m fleet.Member) bool { return m.Name == name }); i >= 0 {
		return all[i]
	}
	return fleet.Member{}
}

// knocks has computers come to the door, each by a code of its own.
func (b *buttonHouse) knocks(names ...string) {
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(func() { cancel(); all.Wait() })
	for _, name := range names {
		i, err := b.gate.Door.Invite(ctx, "machine", name, 0, "ann")
		if err != nil {
			b.t.Fatal(err)
		}
		_, at, _ := strings.Cut(b.broker.URL(), "://")
		dir := filepath.Join(b.file.State, "of-"+name)
		all.Go(func() {
			execute(ctx, []string{"enroll", i.Code, "--shop", at, "--dir", dir}, nil, io.Discard, io.Discard)
		})
	}
	b.eventually("the knocks", func() bool { return len(b.asking()) == len(names) })
}

// asking are the names of those who wait at the door.
func (b *buttonHouse) asking() (names []string) {
	all, _ := b.gate.Door.Pending(b.t.Context())
	for _, a := range all {
		names = append(names, a.Name)
	}
	return names
}

// buttons are all of them, in the order in which they are pressed.
func (b *buttonHouse) buttons() []button {
	return slices.Concat(b.ofOrders(), b.ofMachines(), b.ofHardware(), b.ofStock(), b.ofPeople())
}

func (b *buttonHouse) ofOrders() []button {
	made, not, again := b.doubts[0], b.doubts[1], b.doubts[2]
	sel := func(id, button string) string { return "#doubt-" + id + " button" + button }
	return []button{
		{
			action: "/fleet/made", page: "/fleet", sel: sel(made, ":not([formaction])"), typed: map[string]string{"reason": "the cup was full"},
			obeyed: func() bool { return b.claim(made).Phase == fleet.Served }, record: func() string { return b.told(made) }, done: "Written down.",
		},
		{
			action: "/fleet/not-made", page: "/fleet", sel: sel(not, `[formaction="/fleet/not-made"]`), typed: map[string]string{"reason": "the tray was wet"},
			obeyed: func() bool { return b.claim(not).Phase == fleet.Failed }, record: func() string { return b.told(not) }, done: "Written down.",
		},
		{
			action: "/fleet/again", page: "/fleet", sel: sel(again, `[formaction="/fleet/again"]`), typed: map[string]string{"reason": "she waits"},
			obeyed: func() bool { return b.claim(again).Phase != fleet.Unknown },
			// The book has no place for the reason.
			record: func() string { return b.told(again) + b.logged("act=again", `reason="she waits"`)() }, done: "It will be made again.",
		},
	}
}

func (b *buttonHouse) ofMachines() []button {
	again, pumped := b.doubts[2], 0
	reason := func(text string) map[string]string { return map[string]string{"reason": text} }
	return []button{
		{
			action: "/fleet/uncordon", page: "/fleet", sel: `#machine-zoe form[action="/fleet/uncordon"] button`,
			obeyed: func() bool { return b.zoe().State != fleet.StateCordoned }, record: b.logged("msg=command", "verb=back"), done: "Back in service.", shows: [2]string{"#machine-zoe", "has put it back into service"},
		},
		{
			action: "/fleet/stop", page: "/fleet", sel: "#stop-zoe button", typed: reason("it leaks"),
			before: func() {
				b.eventually("zoe to brew", func() bool {
					_, _ = b.shop.Command(b.t.Context(), "zoe", fleet.Command{Verb: fleet.CommandCup, Order: again})
					return b.claim(again).Phase == fleet.Brewing && !b.rests()
				})
			},
			obeyed: func() bool { return b.rests() && b.claim(again).Phase != fleet.Brewing }, record: func() string { return b.told(again) },
			done: "Stopped: everything is off.",
		},
		{
			action: "/fleet/clear", page: "/fleet", sel: "#clear-zoe button", typed: reason("the hand is out"),
			before: func() {
				b.eventually("the end of what was stopped", func() bool {
					_ = b.shop.Controller.Cancel(b.t.Context(), again, "ann")
					return b.claim(again).Phase.Ended()
				})
				p := b.plants()[0]
				p.Fault(plant.Fault{Kind: plant.StopPressed})
				b.eventually("the fault", func() bool { return b.zoe().State == fleet.StateFault })
				p.Clear()
			},
			obeyed: func() bool { return b.zoe().State == fleet.StateReady }, record: b.cleared, done: "The fault is cleared.",
		},
		{
			action: "/fleet/try", page: "/fleet", sel: "#try-zoe button", typed: map[string]string{"what": "pump", "vessel": "yes"},
			obeyed: func() bool { return b.plants()[0].Rises(driver.Pump) > pumped }, record: b.logged("act=tried", "what=pump"),
			before: func() { pumped = b.plants()[0].Rises(driver.Pump) }, done: "Pump: it was on for a moment, and the sensor (flow) saw",
		},
		{
			action: "/fleet/care", page: "/fleet", sel: "#care-zoe button:not([formaction])", typed: map[string]string{"what": "clean", "last": "yes"},
			obeyed: func() bool { return b.care().Order.ID != "" }, record: func() string { return b.told(b.care().Order.ID) }, done: "Ordered.",
		},
		{
			action: "/fleet/cup", page: "/fleet", sel: `#machine-zoe form[action="/fleet/cup"] button`, typed: map[string]string{"vessel": "yes"},
			before: func() {
				b.eventually("zoe to wait for whom cleans it", func() bool { return b.zoe().Code == string(machine.CareAsked) })
			},
			obeyed: func() bool { return b.plants()[0].Rises(driver.Pump) > pumped+1 }, record: b.logged("act=cup"), done: "It rinses now.",
		},
		{
			action: "/fleet/cared", page: "/fleet", sel: `#care-zoe button[formaction="/fleet/cared"]`, typed: map[string]string{"what": "descale"},
			before: func() { b.eventually("the end of its cleaning", func() bool { return b.care().Order.ID == "" }) },
			obeyed: func() bool { return b.logged("msg=command", "verb=cared")() != "" }, record: b.logged("msg=command", "verb=cared"), done: "Written down",
		},
		{
			action: "/fleet/cordon", page: "/fleet", sel: "#cordon-zoe button", typed: reason("a new grinder"),
			obeyed: func() bool { return b.zoe().State == fleet.StateCordoned }, record: func() string { return fmt.Sprint(b.zoe().Cordon) },
			done: "Out of service.", shows: [2]string{"#machine-zoe .out", "a new grinder"},
		},
		{
			action: "/fleet/drain", page: "/fleet", sel: "#drain-zoe button", typed: reason("the tray"),
			obeyed: func() bool { m := b.zoe(); return m.Cordon != nil && m.Cordon.Drain && m.Parked() },
			record: func() string { return fmt.Sprint(b.zoe().Cordon) }, done: "It finishes what it has in hand", shows: [2]string{"#machine-zoe", "may be opened"},
		},
	}
}

// ofHardware are those by which machines leave that have not been here since.
func (b *buttonHouse) ofHardware() []button {
	const gone, broken = "abe", "bea"
	away := func() {
		seen, _ := json.Marshal(map[string]any{"classes": []fleet.Class{{Bean: "arabica", Milk: fleet.NoMilk}}, "sizes": fleet.Sizes, "at": time.Now()})
		for _, name := range []string{gone, broken} {
			if err := b.conn.Settings().Put(b.t.Context(), fleet.SeenKey(name), seen); err != nil {
				b.t.Fatal(err)
			}
			b.eventually(name, func() bool { return b.named(name).Machine != "" })
		}
	}
	out := func(name string) func() string {
		return func() string { return fmt.Sprint(b.named(name).Cordon) }
	}
	return []button{
		{
			action: "/fleet/replace", page: "/fleet", sel: "#replace-bea button", typed: map[string]string{"reason": "its computer is wet"}, before: away,
			obeyed: func() bool { c := b.named(broken).Cordon; return c != nil && c.Replaced }, record: out(broken), shows: [2]string{"h1", "Bea"},
		},
		{
			action: "/fleet/retire", page: "/fleet", sel: "#retire-abe button", typed: map[string]string{"reason": "it was sold"},
			obeyed: func() bool { return b.named(gone).Machine == "" },
			record: b.logged("act=retired", `reason="it was sold"`), done: "It is retired",
		},
	}
}

// named is a machine as the shop knows it; empty if it does not.
func (b *buttonHouse) named(name string) fleet.Machine {
	all, err := b.shop.Machines(b.t.Context())
	if i := slices.IndexFunc(all, func(m fleet.Machine) bool { return m.Machine == name }); err == nil && i >= 0 {
		return all[i]
	}
	return fleet.Machine{}
}

// care is the open order for zoe's own sake.
func (b *buttonHouse) care() (e fleet.Entry) {
	for _, one := range b.ledger.Open() {
		if one.Order.IsCare() && one.Phase.Open() {
			e = one
		}
	}
	return e
}

func (b *buttonHouse) ofStock() []button {
	const state = "#item-robusta .state"
	return []button{
		{
			action: "/stock/add", page: "/stock", sel: `#add-robusta .at-once button[value="250 g"]`,
			obeyed: b.holds("robusta", 2250), record: b.booked, done: "Booked.", shows: [2]string{state, "2.25 kg"},
		},
		{
			action: "/stock/add", page: "/stock", sel: "#add-robusta .act button", typed: map[string]string{"amount": "0.75"},
			obeyed: b.holds("robusta", 3000), record: b.booked, done: "Booked.", shows: [2]string{state, "3 kg"},
		},
		{
			action: "/stock/count", page: "/stock", sel: "#count-robusta button", typed: map[string]string{"amount": "2900 g"},
			obeyed: b.holds("robusta", 2900), record: b.booked, done: "The count is booked.", shows: [2]string{state, "2.9 kg"},
		},
		{
			action: "/stock/waste", page: "/stock", sel: "#waste-robusta button", typed: map[string]string{"amount": "400 g", "reason": "it fell down"},
			obeyed: b.holds("robusta", 2500), record: b.booked, done: "The loss is booked.", shows: [2]string{state, "2.5 kg"},
		},
	}
}

func (b *buttonHouse) ofPeople() []button {
	of := func(action, field, value string) string {
		return fmt.Sprintf(`form[action="/operators/%s"]:has(input[name="%s"][value="%s"]) button`, action, field, value)
	}
	named := func(action, name string) string {
		return fmt.Sprintf(`form[action="/operators/%s"] button[aria-label*="%s"]`, action, name)
	}
	return []button{
		{
			action: "/operators/accept", page: "/operators", sel: named("accept", "moka"), before: func() { b.knocks("moka", "kim") },
			obeyed: func() bool { return b.member("moka").Key != "" }, record: func() string { return b.member("moka").By }, done: "Accepted.",
		},
		{
			action: "/operators/refuse", page: "/operators", sel: named("refuse", "kim"),
			obeyed: func() bool { return !slices.Contains(b.asking(), "kim") }, record: b.logged("msg=refused", "name=kim"), done: "Refused.",
		},
		{
			action: "/operators/revoke", page: "/operators", sel: of("revoke", "name", "moka"),
			obeyed: func() bool { return b.member("moka").Key == "" }, record: b.logged("msg=revoked", "name=moka"), done: "The key was taken away.",
		},
		{
			action: "/operators/everywhere", page: "/operators", sel: of("everywhere", "name", "ann"),
			obeyed: func() bool { _, in := b.page.Logins.Who(b.other); return !in },
			record: b.logged("logged out everywhere", "name=ann"), done: "Logged out everywhere.",
		},
		{
			action: "/logout", page: "/operators", sel: "#logout", anybody: true,
			obeyed: func() bool { here, err := b.page.Logins.Here(); return err == nil && len(here) == 0 },
			record: b.logged("has logged out"), shows: [2]string{"h1", "Order a coffee"},
		},
	}
}

// everyAction looks whether each button of the operators' pages has a row.
func everyAction(t *testing.T, rows []button) {
	action := regexp.MustCompile(`action="(/(?:fleet|stock|operators)/[^"]*|/logout)"`)
	files, err := filepath.Glob("../../fleet/web/view/*.html")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	there := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range action.FindAllStringSubmatch(string(text), -1) {
			there[m[1]] = true
			if !slices.ContainsFunc(rows, func(r button) bool { return r.action == m[1] }) {
				t.Errorf("%s has a button for %s that no row of this test presses: add one", filepath.Base(file), m[1])
			}
		}
	}
	for _, r := range rows {
		if !there[r.action] {
			t.Errorf("a row presses %s, and no page has such a button", r.action)
		}
	}
}

// script finds a button that can be seen and pressed, opens what it is folded
// into, types, and gives what the browser would send and where; empty if it is not there. It is
// one script, because the page may be drawn anew between two. then is done with the button.
func script(r button, then string) string {
	typed, _ := json.Marshal(r.typed)
	return fmt.Sprintf(`(() => {
		const b = document.readyState === "complete" && document.querySelector(%q);
		if (!b || b.disabled) return "";
		for (let d = b.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
		for (const [name, text] of Object.entries(%s || {})) {
			const e = b.form.elements.namedItem(name);
			if (e.type === "checkbox") e.checked = true; else e.value = text;
		}
		if (!b.checkVisibility() || !b.form.checkValidity()) return "";
		const sent = (b.getAttribute("formaction") || b.form.getAttribute("action")) + "?" + new URLSearchParams(new FormData(b.form, b));
		%s
		return sent;
	})()`, r.sel, typed, then)
}

// asks is what a script says; empty while no page is there.
func (b *buttonHouse) asks(script string) string {
	said, _ := chromedp.Run(b.browser, chromedp.Evaluate[string](script))
	return said
}

// press tries one button: by a customer, and by an operator.
func (b *buttonHouse) press(t *testing.T, r button) {
	defer func(all *testing.T) { b.t = all }(b.t)
	b.t = t
	if r.before != nil {
		r.before()
	}
	if err := chromedp.Do(b.browser, chromedp.Navigate(b.page.URL()+r.page)); err != nil {
		t.Fatal(err)
	}
	var action, form string
	b.eventually("the button "+r.sel, func() bool {
		action, form, _ = strings.Cut(b.asks(script(r, "")), "?")
		return action != ""
	})
	if action != r.action {
		t.Fatalf("the button %s is for %s", r.sel, action)
	}
	b.customer(t, r, form)

	began := time.Now()
	if b.asks(script(r, "b.click();")) == "" {
		t.Fatalf("the button %s has gone", r.sel)
	}
	b.eventually(r.action+" to be obeyed", r.obeyed)
	obeyed := time.Since(began)
	says := func(sel, text string) bool {
		return text == "" || b.asks(fmt.Sprintf(`document.querySelectorAll(%q).values().some((e) => e.textContent.includes(%q)) ? "yes" : ""`, sel, text)) != ""
	}
	b.eventually(fmt.Sprintf("the page to say %q and %q", r.done, r.shows), func() bool { return says("#done", r.done) && says(r.shows[0], r.shows[1]) })
	seen := time.Since(began)
	t.Logf("%s: obeyed after %v, and on the page after %v; the aim is %v", r.action, obeyed.Round(time.Millisecond), seen.Round(time.Millisecond), buttonAim)
	if seen > buttonBound {
		t.Errorf("obeyed after %v and on the page after %v, at most %v", obeyed, seen, buttonBound)
	}
	for _, want := range []string{bossName, r.typed["reason"]} {
		if !strings.Contains(r.record(), want) {
			t.Errorf("no %q in what is written down of it: %s", want, r.record())
		}
	}
}

// customer sends what the button would, without a login, from a program of this computer
// and from another site's page; neither changes anything.
func (b *buttonHouse) customer(t *testing.T, r button, form string) {
	t.Helper()
	ask := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, site := range []string{"", "cross-site"} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.page.URL()+r.action, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if site != "" {
			q.Header.Set("Sec-Fetch-Site", site)
		}
		res, err := ask.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusForbidden && !(r.anybody && site == "") {
			t.Errorf("a customer is answered with %s, and must be refused", res.Status)
		}
	}
	if r.obeyed() {
		t.Error("obeyed before an operator has pressed it")
	}
}
