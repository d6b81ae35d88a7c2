package web

import (
	"errors"
	"fmt"
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

var bareKey = regexp.MustCompile(`\b(head|text|order|used|step|way|hint|span|sugar|size|bean|milk)\.[a-z_0-9]+[^a-z_0-9?]`)

func TestOrdersPageInEveryPhase(t *testing.T) {
	spoiled := func(r fleet.Reason) []arrow { return []arrow{brewing("zoe"), came("zoe", fleet.Spoiled, r)} }
	step := func(n int, name string, percent int) fleet.Event {
		return fleet.Event{Kind: fleet.EvStep, N: n, Of: 3, Step: name, Percent: percent, Machine: "zoe"}
	}
	whole := []fleet.Stage{{Step: "grind"}, {Step: "heat", From: 30}, {Step: "pour", From: 40}, {Step: "milk", From: 70}}
	for _, tt := range []struct {
		name   string
		arrows []arrow
		live   []fleet.Event
		want   []string
		not    []string
	}{
		{"taken", nil, nil, []string{"Thank you, Ada!", "Place in the queue", "<dd>1</dd>", "1 to 2 min", "Cancel the order",
			"Medium · Arabica · No milk · 1 sugar", `http-equiv="refresh" content="10;url=/orders/`, `/events"`, `id="taken"`}, []string{"My cup is there", "Order another"}},
		{"given back", []arrow{cup("zoe"), released}, nil, []string{"Thank you, Ada!", "Place in the queue", "Cancel the order"}, []string{"We start again", "Reason:"}},
		{"cup", []arrow{cup("zoe")}, nil, []string{"Put your cup under Zoe", "My cup is there", `/cup"`, "Cancel the order", "1 to 2 min"}, []string{"Place in the queue"}},
		{"brewing", []arrow{brewing("zoe")}, []fleet.Event{step(1, "grind", 0), step(2, "froth", 40)},
			[]string{"Zoe makes your coffee", "Step 2 of 3: Froth", `<progress max="100" value="40"`, `class="done">Grinding`, `class="now">Froth`, "Stop it now", `/stop"`}, []string{"Cancel the order"}},
		{"brewing, and some steps were not heard", []arrow{brewing("zoe")}, []fleet.Event{{Kind: fleet.EvStep, N: 3, Of: 4, Step: "pour", Percent: 50, Machine: "zoe", Stages: whole}},
			[]string{`class="done">Order taken`, `class="done">Your cup under Zoe`, `class="done">Grinding`, `class="done">Heating`, `class="now">Pouring`, `class="next">Adding milk`, `class="next">Ready`, `class="next">Taken away`}, nil},
		{"served", []arrow{brewing("zoe"), served("zoe")}, nil, []string{"Your coffee is ready, Ada!", "take it from Zoe", "Order another", "I have it", `/have"`}, []string{"Cancel the order", "Stop it now", "My cup is empty"}},
		{"stopped by its customer", []arrow{brewing("zoe"), came("zoe", fleet.Spoiled, fleet.Reason{Code: fleet.CodeUnwanted})}, nil,
			[]string{"Your coffee was stopped", "is used up", "Order another"}, []string{"We start again", "sorry.", "Stop it now"}},
		{"stopped before anything moved", []arrow{brewing("zoe"), came("zoe", fleet.Untouched, fleet.Reason{Code: fleet.CodeUnwanted})}, nil,
			[]string{"Your coffee was stopped", "Nothing was used."}, []string{"We start again", "used up"}},
		{"failed, nothing used", []arrow{brewing("zoe"), failed("zoe", fleet.Untouched, fleet.Reason{Text: "given up after 3 tries: <b>tank empty</b>"})}, nil,
			[]string{"could not be made", "Nothing was used."}, []string{"already used", "given up", "tank empty"}},
		{"failed, something used", []arrow{brewing("zoe"), failed("zoe", fleet.Spoiled, fleet.Reason{Code: "no-flow", Text: "no-flow: The pump runs and no water comes."})}, nil,
			[]string{"could not be made", "already used", "Reason: No water came."}, []string{"Nothing was used", "no-flow", "pump"}},
		{"failed for stock", append(spoiled(fleet.Reason{}), func(c fleet.Claim) (fleet.Claim, error) {
			return c.FailStock(fleet.Reason{Code: fleet.CodeOutOfStock, Text: "out_of_stock: Insufficient coffee"})
		}), nil, []string{"There were not enough beans, milk or sugar left."}, []string{"out_of_stock", "Insufficient"}},
		{"unknown", []arrow{brewing("zoe"), parked}, nil,
			[]string{"We do not know whether your coffee was made", "lost sight of Zoe", "ask a person of the shop", "/events"}, []string{"I have it", "My cup is empty", "Nothing was used", "Cancel the order", "sorry."}},
		{"again", spoiled(fleet.Reason{Code: "tank"}), nil,
			[]string{"We start again", "Reason: The machine had run out of water.", "Cancel the order"}, []string{"1 to 2 min"}},
		{"again, and its portion is reserved", append(spoiled(fleet.Reason{Code: "tank"}), remade), nil,
			[]string{"We start again", "Reason: The machine had run out of water.", "Cancel the order"}, []string{"1 to 2 min"}},
		{"again, because a person wants it", []arrow{brewing("zoe"), parked, again}, nil,
			[]string{"We start again", "Cancel the order"}, []string{"1 to 2 min", "Reason:"}},
		{"cancelled", []arrow{stopped(fleet.Cancelled)}, nil, []string{"The order was cancelled", "nothing was used"}, []string{"Cancel the order"}},
		{"cancelled before it is made again", append(spoiled(fleet.Reason{}), stopped(fleet.Cancelled)), nil, []string{"The order was cancelled"}, []string{"Cancel the order"}},
		{"expired", []arrow{stopped(fleet.Expired)}, nil, []string{"waited too long", "nothing was used"}, nil},
		{"of a later version", []arrow{func(c fleet.Claim) (fleet.Claim, error) { c.Phase = "dreaming"; return c, nil }}, nil,
			[]string{"We do not know whether your coffee was made"}, []string{"dreaming", "Cancel the order"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := open(t)
			id, path := h.order("Ada")
			h.write(id, tt.arrows...)
			for _, e := range tt.live {
				e.Order = id
				h.live(e)
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

// An order whose record has not arrived yet has a page at once; it was taken,
// else there would be no address.
func TestPageBeforeItsRecord(t *testing.T) {
	h := open(t)
	res := h.ask("GET", h.web.pathOf(idA), "")
	status(t, res, http.StatusOK)
	contains(t, text(t, res), "Thank you, dear guest!", "Your order was taken")
}

// A page older than the fold is read from its order's records.
func TestPageOfAForgottenOrder(t *testing.T) {
	h := build(t)
	old := time.Now().Add(-48 * time.Hour)
	h.records.put(ada(idA), old)
	for _, f := range []arrow{brewing("zoe"), served("zoe")} {
		c, err := f(h.records.last(idA))
		if err != nil {
			t.Fatal(err)
		}
		h.records.put(c, old)
	}
	h.run()
	if _, there := h.web.book.look(idA); there {
		t.Fatal("the fold kept it")
	}
	contains(t, text(t, h.ask("GET", h.web.pathOf(idA), "")), "Your coffee is ready, Ada!")
	lacks(t, text(t, h.ask("GET", "/board", "")), "Ada")
	w := &deadlines{ResponseRecorder: *httptest.NewRecorder()}
	contains(t, text(t, h.askInto(w, "GET", h.web.pathOf(idA)+"/events")), "Your coffee is ready, Ada!", "event: end")
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
	h.write(id, cup("zoe"))
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

// The name of a machine in a record is never trusted in a subject.
func TestCupAtAMachineThatIsNoToken(t *testing.T) {
	h := open(t)
	id, path := h.order("Ada")
	h.write(id, cup("zoe.>\r\nPUB x"))
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
	h.write(id, brewing("zoe"))
	res = h.ask("POST", path+"/cancel", "")
	status(t, res, http.StatusConflict)
	contains(t, text(t, res), "too late to cancel", "Zoe makes your coffee")
}

// TestWhoWaitsIsShown: an order that is open is shown after a start of the web, also
// where the clock was set forward since, so that it is of no day that is read.
func TestWhoWaitsIsShown(t *testing.T) {
	for _, balance := range []bool{false, true} {
		h := build(t)
		old := time.Now().Add(-56 * 365 * 24 * time.Hour)
		h.records.put(ada(idA), old)
		if balance {
			h.records.list = append(h.records.list, fleet.Record{Act: true, Entry: fleet.Entry{Revision: fleet.Revision{Seq: 2, Rec: "b"}, Written: old},
				Balance: &fleet.Balance{Upto: 1, Acts: 1, Open: []fleet.Share{{Order: idA, Seq: 1}}}})
		}
		h.records.put(ada(idB), old)
		h.run()
		for _, id := range []string{idA, idB} {
			if s, there := h.web.book.look(id); !there || s.Phase != fleet.Accepted {
				t.Errorf("with a balance %v: %s is %+v", balance, id, s.order)
			}
		}
	}
}

// TestPlaceOfWhatBeginsBefore: the place on an order's page is that of the shop's
// forecast, not of who came before; and where the promised time is over, or there was
// none, it says how long the shop thinks that it takes.
func TestPlaceOfWhatBeginsBefore(t *testing.T) {
	h := build(t)
	now := time.Now()
	h.web.Wall = func() time.Time { return now }
	h.run()
	h.order("Ada")
	id, path := h.order("Bob")
	place := func(n int) string { return fmt.Sprintf("<dt>Place in the queue</dt><dd>%d</dd>", n) }
	contains(t, text(t, h.ask("GET", path, "")), place(2)) // the shop does not say
	way := fleet.Forecast{Order: id, Place: 1, Known: true, Low: 300, High: 420}
	say := func() {
		h.shop.set(func(s *shop) { s.ways = map[string]fleet.Forecast{id: way} })
		h.web.outlook.mu.Lock()
		h.web.outlook.at = time.Time{}
		h.web.outlook.mu.Unlock()
	}
	say()
	page := text(t, h.ask("GET", path, ""))
	contains(t, page, place(1))
	lacks(t, page, "5 to 7 min") // what was promised stands
	now = now.Add(10 * time.Minute)
	say()
	contains(t, text(t, h.ask("GET", path, "")), "A little longer than we said", "5 to 7 min")
	way.Known = false
	say()
	page = text(t, h.ask("GET", path, ""))
	contains(t, page, place(1), "A little longer than we said")
	lacks(t, page, "5 to 7 min")
}
