package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

func TestFleetPage(t *testing.T) {
	h := open(t)
	classes := []fleet.Class{{Bean: "arabica", Milk: "free"}, {Bean: "arabica", Milk: "soja"}, {Bean: "mixed", Milk: "free"}}
	h.crew.present = []fleet.Presence{
		{Machine: "zoe", State: fleet.StateBusy, Order: idA, Percent: 62, Classes: classes, Sizes: fleet.Sizes, Cup: "page", Driver: "mock", Drinks: 37, Version: "1.0"},
		{Machine: "leo", State: fleet.StateCordoned, Note: "grinder <jam>", Classes: classes, Sizes: fleet.Sizes[:1], Cup: "sensor", Driver: "mock", Lacks: []string{"beans"}, MinWaiting: 4},
	}
	page := text(t, h.ask("GET", "/fleet", ""))
	contains(t, page, "Zoe", "Making a drink", `value="62"`, "Arabica (No milk, Soy milk); Mixed (No milk)", "Small, Medium, Large",
		"Customer&#39;s button", "37 since its start", "Leo", "Out of service", "grinder &lt;jam&gt;", "<dt>Beans</dt><dd>empty ", "4 waiting", `data-events="/fleet/events"`,
		"Abe", "Away", "seen last") // who is away stays
	lacks(t, page, idA, "<jam>", "<form", "<button")
}

// TestFrenchTile: what the page puts together has the marks of French, too, and an amount
// stays together with its unit.
func TestFrenchTile(t *testing.T) {
	h, _ := withActs(t)
	page := text(t, h.ask("GET", "/fleet?lang=fr", ""))
	for _, want := range []string{"<bdi>Ada\u00a0: ", "no-grind\u00a0: ", "Arabica 1\u00a0kg"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in:\n%s", want, page)
		}
	}
}

// TestAwayWithAnOrder: what a machine had begun when it went away stands on its tile, until
// it is in doubt and stands among those.
func TestAwayWithAnOrder(t *testing.T) {
	h, _ := withActs(t)
	tile := func() string {
		_, rest, _ := strings.Cut(text(t, h.ask("GET", "/fleet", "")), `id="machine-abe"`)
		one, _, _ := strings.Cut(rest, "</li>")
		return one
	}
	const id = "01JD0000000000000000000ABE"
	h.records.put(ada(id), time.Now())
	h.write(id, brewing("abe"))
	contains(t, tile(), "Away", `<p class="hand"><bdi>Ada: `)
	h.write(id, parked)
	lacks(t, tile(), "Ada: ")
	contains(t, text(t, h.ask("GET", "/fleet", "")), `id="doubt-`+id)
}

// TestFleetPageGauges: what a machine's sensors tell stands on its tile, and that none
// does; what the stock knows to run short stands on the page, with a gauge of what is left.
func TestFleetPageGauges(t *testing.T) {
	h := open(t)
	most := largest(fleet.DefaultMenu())
	h.crew.present = []fleet.Presence{
		{Machine: "zoe", State: fleet.StateBlocked, Code: "tank", Lacks: []string{"water", "tray", "new<tank>"}, Cup: "page", Driver: "mock"}, // of an older program
		{Machine: "mia", State: fleet.StateFault, Cup: "page", Driver: "mock", Drinks: 7, Classes: []fleet.Class{{Bean: "arabica", Milk: "free"}, {Bean: "arabica", Milk: "soja"}, {Bean: "new<bean", Milk: "free"}},
			Gauges: fleet.Gauges{Beans: fleet.GaugeThere, Water: fleet.GaugeOut, Tray: fleet.GaugeSilent}},
		{Machine: "nia", State: fleet.StateReady, Cup: "page", Driver: "mock", Gauges: fleet.Gauges{Tray: fleet.GaugeThere, Water: "half<full"}},
	}
	page := text(t, h.ask("GET", "/fleet", ""))
	tile := func(name, next string) string {
		_, rest, _ := strings.Cut(page, `id="machine-`+name+`"`)
		one, _, _ := strings.Cut(rest, next)
		return one
	}
	contains(t, tile("zoe", "machine-mia"), `<div class="is-none"><dt>Beans</dt><dd>not known: no sensor</dd>`, `<div class="is-out"><dt>Water</dt><dd>empty</dd>`,
		"<dt>Drip tray</dt><dd>full or missing</dd>", "0 since its start", "New&lt;tank&gt;")
	contains(t, tile("mia", "machine-nia"), `<div class="is-there"><dt>Beans</dt><dd>there <small>in the shop: 1 kg Arabica</small></dd>`, `<div class="is-out"><dt>Water</dt><dd>empty</dd>`,
		`<div class="is-silent"><dt>Drip tray</dt><dd>not known: silent sensor</dd>`, `<div class="is-none"><dt>Milk</dt><dd>not known: no sensor <small>in the shop: 1 l Soy milk</small></dd>`, "7 since its start")
	contains(t, tile("nia", "</main>"), `<dt>Drip tray</dt><dd>has room</dd>`, "<dt>Water</dt><dd>not known: no sensor</dd>")
	lacks(t, tile("nia", "</main>"), "<dt>Milk</dt>")
	lacks(t, page, "<meter", "Running short", "half<full")
	if n := strings.Count(page, `class="lacks"`); n != 1 {
		t.Errorf("%d machines lack something, want Zoe alone", n)
	}
	levels := full()
	levels["arabica"] = fleet.Level{OnHand: 4 * most["arabica"], Reserved: most["arabica"]}
	levels["robusta"] = fleet.Level{OnHand: most["robusta"] - 1}
	levels["sugar"] = fleet.Level{OnHand: most["sugar"]}
	levels["mixed"] = fleet.Level{OnHand: shortOf * most["mixed"]}
	delete(levels, "milk-soja")
	h.stock.set(levels, nil)
	h.web.counter.forget()
	page = text(t, h.ask("GET", "/fleet", ""))
	contains(t, page, `id="short-arabica"`, `<meter min="0" max="10" low="2" high="9" optimum="10" value="3" aria-label="Arabica: large ones left, of 10">`, "Enough for 3 large ones.",
		`id="short-robusta"`, `value="0"`, "Not enough for a large one.", "Enough for one large one.")
	lacks(t, page, "short-mixed", "short-milk-soja")
	h.stock.set(nil, errors.New("no answer"))
	h.web.counter.forget()
	lacks(t, text(t, h.ask("GET", "/fleet", "")), "<meter")
}

// A machine that is drained may be opened when it says so itself, of this drain.
func TestFleetPageSaysWhenAMachineMayBeOpened(t *testing.T) {
	h, _ := withActs(t)
	for _, x := range []struct {
		cordon fleet.Cordon
		says   string
		may    bool
	}{
		{fleet.Cordon{By: "ada", Reason: "new grinder", Drain: true, At: "2026-11-30T12:00:00.5Z"}, "2026-11-30T12:00:00.5Z", true},
		{fleet.Cordon{By: "ada", Reason: "new grinder", Drain: true, At: "2026-11-30T12:00:00.5Z"}, "2026-11-30T11:00:00.5Z", false},
		{fleet.Cordon{By: "ada", Reason: "new grinder", Drain: true, At: "2026-11-30T12:00:00.5Z"}, "", false},
		{fleet.Cordon{By: "ada", Reason: "new grinder", Drain: true}, "", false},
		{fleet.Cordon{By: "ada", Reason: "new grinder", At: "2026-11-30T12:00:00.5Z"}, "2026-11-30T12:00:00.5Z", false},
	} {
		h.crew.cordons = map[string]*fleet.Cordon{"zoe": &x.cordon}
		h.crew.present = []fleet.Presence{{Machine: "zoe", State: fleet.StateCordoned, Code: fleet.CodeDrained, Drained: x.says, Cup: "page", Driver: "mock"}}
		h.web.roll.forget()
		page := text(t, h.ask("GET", "/fleet", ""))
		if got := strings.Contains(page, "May be opened"); got != x.may {
			t.Errorf("%+v, it says %q: may be opened %v", x.cordon, x.says, got)
		}
		if got := strings.Contains(page, `id="drain-zoe"`); got == x.cordon.Drain {
			t.Errorf("%+v: the button is there: %v", x.cordon, got)
		}
	}
}

// New hardware under an old name is out of service, and the page says what is to be done.
func TestFleetPageOfNewHardware(t *testing.T) {
	h, _ := withActs(t)
	for _, replaced := range []bool{true, false} {
		h.crew.cordons = map[string]*fleet.Cordon{"zoe": {By: "ada", Reason: "broken", Replaced: replaced, At: "2026-11-30T12:00:00.5Z"}}
		h.crew.present = []fleet.Presence{{Machine: "zoe", State: fleet.StateCordoned, Code: fleet.CodeCordoned, Cup: "page", Driver: "mock"}}
		h.web.roll.forget()
		page := text(t, h.ask("GET", "/fleet", ""))
		contains(t, page, "broken", `action="/fleet/uncordon"`)
		if got := strings.Contains(page, "This is new hardware"); got != replaced {
			t.Errorf("replaced %v: the page says so: %v", replaced, got)
		}
	}
}

func TestFleetPageWithoutMachinesAndWithoutNews(t *testing.T) {
	h := open(t)
	contains(t, text(t, h.ask("GET", "/fleet", "")), "No machine is here now")
	h = open(t)
	h.crew.err = errors.New("no answer")
	contains(t, text(t, h.ask("GET", "/fleet", "")), "Nobody can say which machines are here")
}

// A shop that is closed, or waits for its machines, says so to operators and probes.
func TestBookOfTheShop(t *testing.T) {
	h := open(t)
	status(t, h.ask("GET", "/readyz", ""), http.StatusOK)
	lacks(t, text(t, h.ask("GET", "/fleet", "")), "barista status")
	for state, c := range map[string]struct {
		ready int
		page  string
	}{
		fleet.StandClosed:   {http.StatusServiceUnavailable, "The shop is closed"},
		fleet.StandRollCall: {http.StatusOK, "Orders from before the start wait"},
	} {
		h.shop.set(func(s *shop) { s.standing = fleet.Standing{State: state, Why: "zoe knows of <record> 7"} })
		res := h.ask("GET", "/readyz", "")
		status(t, res, c.ready)
		if c.ready != http.StatusOK {
			contains(t, text(t, res), "zoe knows of <record> 7")
		}
		contains(t, text(t, h.ask("GET", "/fleet", "")), c.page, "zoe knows of &lt;record&gt; 7")
	}
}

func TestEveryStateHasAPicture(t *testing.T) {
	for state, want := range map[fleet.State]string{fleet.StateReady: "ok", fleet.StateBusy: "busy", fleet.StateStarting: "wait",
		fleet.StateWaiting: "wait", fleet.StateDraining: "wait", fleet.StateUnsynced: "wait", fleet.StateBlocked: "stop",
		fleet.StateFault: "stop", fleet.StateCordoned: "stop", "from the future": "stop"} {
		if got := mark(state); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
	}
}
