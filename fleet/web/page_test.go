package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// deadlines is a recorder that a ResponseController can work with.
type deadlines struct{ httptest.ResponseRecorder }

func (*deadlines) SetWriteDeadline(time.Time) error { return nil }

func (h *house) askInto(w *deadlines, method, target string, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, "http://localhost"+target, nil)
	for _, f := range change {
		f(r)
	}
	h.web.Handler().ServeHTTP(w, r)
	return w.Result()
}

var bareKey = regexp.MustCompile(`\b(head|text|order|used|step|span|sugar|size|bean|milk)\.[a-z_0-9]+\b`)

func TestOrdersPageInEveryPhase(t *testing.T) {
	brewing := fleet.Event{Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"}
	for _, tt := range []struct {
		name   string
		events []fleet.Event
		want   []string
		not    []string
	}{
		{"taken", nil, []string{"Thank you, Ada!", "Place in the queue", "<dd>1</dd>", "1 to 2 min", "Cancel the order",
			"Medium · Arabica · No milk · 1 sugar", `http-equiv="refresh" content="10;url=/orders/`, `/events"`, `id="taken"`}, []string{"My cup is there", "Order another"}},
		{"looked at", []fleet.Event{{Kind: fleet.EvClaimed, Epoch: 1, Machine: "zoe"}}, []string{"Zoe takes your order", "Cancel the order"}, []string{"Place in the queue", "My cup is there"}},
		{"cup", []fleet.Event{{Kind: fleet.EvCup, Epoch: 1, Machine: "zoe"}}, []string{"Put your cup under Zoe", "My cup is there", `/cup"`, "Cancel the order"}, nil},
		{"brewing", []fleet.Event{brewing, {Kind: fleet.EvStep, Epoch: 1, N: 1, Of: 3, Step: "grind", Machine: "zoe"}, {Kind: fleet.EvStep, Epoch: 1, N: 2, Of: 3, Step: "froth", Percent: 40, Machine: "zoe"}},
			[]string{"Zoe makes your coffee", "Step 2 of 3: Froth", `<progress max="100" value="40"`, `class="done">Grinding`, `class="now">Froth`}, []string{"Cancel the order"}},
		{"served", []fleet.Event{brewing, {Kind: fleet.EvServed, Machine: "zoe"}}, []string{"Your coffee is ready, Ada!", "take it from Zoe", "Order another"}, []string{"Cancel the order", "http-equiv", "/events"}},
		{"failed, nothing used", []fleet.Event{{Kind: fleet.EvFailed, Outcome: fleet.Untouched, Reason: fleet.Reason{Text: "given up after 3 tries: <b>tank empty</b>"}}},
			[]string{"could not be made", "Nothing was used."}, []string{"already used", "given up", "tank empty"}},
		{"failed, something used", []fleet.Event{brewing, {Kind: fleet.EvFailed, Outcome: fleet.Spoiled, Reason: fleet.Reason{Code: "no-flow", Text: "no-flow: The pump runs and no water comes."}}},
			[]string{"could not be made", "already used", "Reason: No water came."}, []string{"Nothing was used", "no-flow", "pump"}},
		{"failed for stock", []fleet.Event{{Kind: fleet.EvFailed, Outcome: fleet.Untouched, Reason: fleet.Reason{Code: fleet.CodeOutOfStock, Text: "out_of_stock: Insufficient coffee"}}},
			[]string{"There were not enough beans, milk or sugar left."}, []string{"out_of_stock", "Insufficient"}},
		{"unknown", []fleet.Event{brewing, {Kind: fleet.EvUnknown, Epoch: 1, Machine: "zoe", Outcome: fleet.OutcomeUnknown}},
			[]string{"We do not know whether your coffee was made", "lost sight of Zoe", "ask a person of the shop", "/events"}, []string{"Nothing was used", "Cancel the order", "sorry."}},
		{"again", []fleet.Event{brewing, {Kind: fleet.EvEnd, Epoch: 1, Outcome: fleet.Spoiled, Machine: "zoe", Reason: fleet.Reason{Code: "tank"}}},
			[]string{"We start again", "Reason: The machine had run out of water.", "Cancel the order"}, []string{"1 to 2 min"}},
		{"cancelled", []fleet.Event{{Kind: fleet.EvCancelled}}, []string{"The order was cancelled", "nothing was used"}, []string{"Cancel the order"}},
		{"expired", []fleet.Event{{Kind: fleet.EvExpired}}, []string{"waited too long", "nothing was used"}, nil},
		{"refused", []fleet.Event{{Kind: fleet.EvRefused, Reason: fleet.Reason{Code: fleet.CodeQueueFull, Text: "queue_full: 200 orders wait"}}}, []string{"The order was not taken", "Too many coffees were waiting"}, []string{"200 orders"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := open(t)
			id, path := h.order("Ada")
			for _, e := range tt.events {
				e.Order = id
				h.event(e)
			}
			res := h.ask("GET", path, "")
			status(t, res, http.StatusOK)
			page := text(t, res)
			contains(t, page, tt.want...)
			lacks(t, page, tt.not...)
			page = text(t, h.ask("GET", path, "", header("Accept-Language", "fr")))
			contains(t, page, `<html lang="fr">`)
			if key := bareKey.FindString(page); key != "" {
				t.Errorf("a key shows itself: %s", key)
			}
			lacks(t, page, "%!")
		})
	}
}

// An order whose event has not arrived yet has a page at once; it was taken,
// else there would be no address.
func TestPageBeforeItsEvent(t *testing.T) {
	h := open(t)
	res := h.ask("GET", h.web.pathOf(idA), "")
	status(t, res, http.StatusOK)
	contains(t, text(t, res), "Thank you, dear guest!", "Your order was taken")
}

// A page older than the book is read from its stored events.
func TestPageOfAForgottenOrder(t *testing.T) {
	h := build(t)
	old := time.Now().Add(-48 * time.Hour)
	h.events.put(ada(idA), old)
	h.events.put(fleet.Event{Order: idA, Kind: fleet.EvServed, Machine: "zoe"}, old)
	h.run()
	if _, there := h.web.book.look(idA); there {
		t.Fatal("the book kept it")
	}
	contains(t, text(t, h.ask("GET", h.web.pathOf(idA), "")), "Your coffee is ready, Ada!")
	lacks(t, text(t, h.ask("GET", "/board", "")), "Ada")
}

func TestTheWaitShrinksAndIsHonest(t *testing.T) {
	h := build(t)
	now := time.Now()
	h.web.Wall = func() time.Time { return now }
	h.run()
	_, path := h.order("Ada")
	contains(t, text(t, h.ask("GET", path, "")), "1 to 2 min")
	now = now.Add(50 * time.Second)
	contains(t, text(t, h.ask("GET", path, "")), "up to 2 min")
	now = now.Add(30 * time.Second)
	contains(t, text(t, h.ask("GET", path, "")), "less than a minute")
	now = now.Add(time.Hour)
	contains(t, text(t, h.ask("GET", path, "")), "A little longer than we said")
}

func TestMyCupIsThere(t *testing.T) {
	h := open(t)
	id, path := h.order("Ada")
	press := func() *http.Response { return h.ask("POST", path+"/cup", "") }
	status(t, press(), http.StatusSeeOther) // nobody waits for it: the page tells
	if len(h.desk.asked) != 0 {
		t.Fatalf("asked %v", h.desk.asked)
	}
	h.event(fleet.Event{Order: id, Kind: fleet.EvCup, Epoch: 1, Machine: "zoe"})
	res := press()
	status(t, res, http.StatusSeeOther)
	if res.Header.Get("Location") != path {
		t.Errorf("leads to %s", res.Header.Get("Location"))
	}
	want := map[string][]fleet.Command{"zoe": {{Verb: "cup", Order: id, By: "customer"}}}
	if diff := cmp.Diff(want, h.desk.asked); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.desk.reply = fleet.CommandAnswer{OK: false, Message: "internal words"}
	res = press()
	status(t, res, http.StatusConflict)
	page := text(t, res)
	contains(t, page, "does not wait for this cup", `content="10;url=`+path+`"`)
	lacks(t, page, "internal words")
	h.desk.err = fleet.ErrNobody
	res = press()
	status(t, res, http.StatusServiceUnavailable)
	contains(t, text(t, res), "did not answer")
}

// The name of a machine in an event is never trusted in a subject.
func TestCupAtAMachineThatIsNoToken(t *testing.T) {
	h := open(t)
	id, path := h.order("Ada")
	h.event(fleet.Event{Order: id, Kind: fleet.EvCup, Epoch: 1, Machine: "zoe.>\r\nPUB x"})
	lacks(t, text(t, h.ask("GET", path, "")), "My cup is there")
	status(t, h.ask("POST", path+"/cup", ""), http.StatusSeeOther)
	if len(h.desk.asked) != 0 {
		t.Errorf("asked %v", h.desk.asked)
	}
}

func TestCancel(t *testing.T) {
	h := open(t)
	_, path := h.order("Ada")
	status(t, h.ask("POST", path+"/cancel", ""), http.StatusSeeOther)
	h.until(func() bool { return strings.Contains(text(t, h.ask("GET", path, "")), "The order was cancelled") })

	h.shop.set(func(s *shop) { s.cancels = errors.New("words of the shop") })
	id, path := h.order("Bob")
	res := h.ask("POST", path+"/cancel", "") // nobody knows: the order still waits
	status(t, res, http.StatusServiceUnavailable)
	page := text(t, res)
	contains(t, page, "do not know whether it was cancelled", "Cancel the order")
	lacks(t, page, "words of the shop")
	h.event(fleet.Event{Order: id, Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"})
	res = h.ask("POST", path+"/cancel", "")
	status(t, res, http.StatusConflict)
	contains(t, text(t, res), "too late to cancel", "Zoe makes your coffee")
}
