package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

func machineHere(name string, change ...func(*fleet.Presence)) fleet.Presence {
	p := fleet.Presence{Machine: name, State: fleet.StateReady, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, Cup: "page"}
	for _, f := range change {
		f(&p)
	}
	return p
}

func cupBy(kind string) func(*fleet.Presence) { return func(p *fleet.Presence) { p.Cup = kind } }

// Before a drink begins its customer is told where to have the cup ready.
func TestWhereToHaveTheCup(t *testing.T) {
	spare := func(p *fleet.Presence) { p.MinWaiting = 4 }
	fault := func(p *fleet.Presence) { p.State = fleet.StateFault }
	small := func(p *fleet.Presence) { p.Sizes = []fleet.Size{fleet.Small} }
	for want, here := range map[string][]fleet.Presence{
		"Zoe makes it.": {machineHere("zoe"), machineHere("leo", fault), machineHere("mia", spare), machineHere("max", small)},
		"Mia makes it.": {machineHere("leo", fault), machineHere("mia", spare)},
		"Leo or Zoe makes it. Have your cup ready; this page says under which one": {machineHere("leo"), machineHere("zoe", cupBy("sensor"))},
		"Leo or Ann makes it. Have your cup ready; this page says whether":         {machineHere("leo"), machineHere("ann", cupBy("attended"))},
		"": {machineHere("ann", cupBy("dispenser")), machineHere("max", cupBy("attended")), machineHere("leo", fault)},
	} {
		h := build(t)
		h.crew.present = here
		h.run()
		_, path := h.order("Ada")
		page := text(t, h.ask("GET", path, ""))
		if want == "" {
			lacks(t, page, "makes it.", "Your cup under") // nobody brings one
			continue
		}
		contains(t, page, want)
	}
}

// A machine that waits for a cup says how it knows of it, and for how long it waits.
func TestWaitsForTheCup(t *testing.T) {
	for kind, tt := range map[string]struct{ has, not []string }{
		"page":      {[]string{"Put your cup under Zoe", "My cup is there", "1:20"}, []string{"sees it by itself"}},
		"":          {[]string{"Put your cup under Zoe", "My cup is there", "1:20"}, nil},
		"sensor":    {[]string{"Put your cup under Zoe", "sees it by itself", "1:20"}, []string{"My cup is there"}},
		"dispenser": {[]string{"Zoe puts a cup there"}, []string{"My cup is there", "1:20", "under Zoe", `class="arrow"`}},
		"attended":  {[]string{"Zoe is about to make your coffee", "A person of the shop looks after the cup"}, []string{"My cup is there", "1:20", "under Zoe", `class="arrow"`}},
	} {
		h := build(t)
		now := time.Now()
		h.web.Wall = func() time.Time { return now }
		h.crew.present = []fleet.Presence{machineHere("zoe", cupBy(kind))}
		h.run()
		id, path := h.order("Ada")
		h.write(id, cup("zoe"))
		now = now.Add(31 * time.Second)
		page := text(t, h.ask("GET", path, ""))
		contains(t, page, tt.has...)
		lacks(t, page, tt.not...)
		board := text(t, h.ask("GET", "/board", ""))
		if asks := strings.Contains(board, "cup, please"); asks == caredFor(kind) {
			t.Errorf("%q: the board asks for the cup: %v", kind, asks)
		}
		now = now.Add(fleet.CupWait)
		lacks(t, text(t, h.ask("GET", path, "")), "Time to put it there")
	}
}

// What the cup of the picture holds is what the machine has told: nothing while beans are
// ground, coffee while water flows, milk after it; what a drink in pieces has poured adds up.
func TestWhatIsInTheCup(t *testing.T) {
	whole := []fleet.Stage{{Step: "grind"}, {Step: "rest", From: 10}, {Step: "grind", From: 20}, {Step: "pour", From: 30},
		{Step: "rest", From: 40}, {Step: "pour", From: 50}, {Step: "milk", From: 60}, {Step: "sugar", From: 90}}
	at := func(n, percent int) sight {
		return sight{order: order{Phase: fleet.Brewing, What: fleet.Order{Size: fleet.Large, Milk: "normal"}, work: work{Stages: whole, N: n, Percent: percent, Step: whole[n-1].Step}}}
	}
	const coffee, milk = 38, 21
	for _, tt := range []struct{ n, percent, coffee, milk int }{
		{1, 5, 0, 0}, {3, 29, 0, 0}, {4, 30, 0, 0}, {4, 35, coffee / 4, 0}, {5, 45, coffee / 2, 0}, {6, 60, coffee, 0}, {7, 75, coffee, milk / 2}, {8, 95, coffee, milk},
	} {
		p := inCup(at(tt.n, tt.percent))
		if p.Coffee != tt.coffee || p.Milk != tt.milk || p.MilkY+p.Milk != p.CoffeeY || p.CoffeeY+p.Coffee != potFloor || p.Stream <= 0 {
			t.Errorf("in step %d at %d %%: %+v, want %d and %d", tt.n, tt.percent, p, tt.coffee, tt.milk)
		}
	}
	silent := at(6, 60)
	silent.Stages = nil
	if p := inCup(silent); p.Coffee != 0 || p.Doing != "work" {
		t.Errorf("of a machine that tells no stages: %+v", p)
	}
	done := at(8, 95)
	done.Phase = fleet.Served
	if p := inCup(done); p.Coffee != coffee || p.Milk != milk || p.Doing != "" {
		t.Errorf("when it is ready: %+v", p)
	}
}

// A step of which the catalogue has no name is told in the machine's word to who reads
// English, and in general to who does not.
func TestStepsOfOthers(t *testing.T) {
	h := open(t)
	id, path := h.order("Ada")
	h.write(id, brewing("zoe"))
	h.live(fleet.Event{Order: id, Kind: fleet.EvStep, N: 2, Of: 3, Step: "froth", Percent: 40, Machine: "zoe",
		Stages: []fleet.Stage{{Step: "grind"}, {Step: "froth", From: 20}, {Step: "steam-wand", From: 60}}})
	contains(t, text(t, h.ask("GET", path, "")), "Step 2 of 3: Froth", "Steam wand")
	page := text(t, h.ask("GET", path, "", header("Accept-Language", "fr")))
	contains(t, page, readWords("fr").say("order.step", 2, 3, "Préparation"), "Mouture")
	lacks(t, page, "Froth", "Steam wand")
}

func TestStopNow(t *testing.T) {
	h := open(t)
	id, path := h.order("Ada")
	press := func() *http.Response { return h.ask("POST", path+"/stop", "") }
	status(t, press(), http.StatusSeeOther) // nothing is made yet: the page tells
	h.write(id, brewing("zoe"))
	status(t, press(), http.StatusSeeOther)
	want := map[string][]fleet.Command{"zoe": {{Verb: fleet.CommandEnough, Order: id, By: "customer"}}}
	if diff := cmp.Diff(want, h.desk.asked); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.desk.reply = fleet.CommandAnswer{OK: false, Message: "internal words"}
	res := press()
	status(t, res, http.StatusConflict)
	page := text(t, res)
	contains(t, page, "too late to stop")
	lacks(t, page, "internal words")
	h.desk.err = fleet.ErrNobody
	res = press()
	status(t, res, http.StatusServiceUnavailable)
	contains(t, text(t, res), "did not answer")
	_, other := h.order("Bob")
	// Its last sign made another one; a proof may well end with an A.
	end := "A"
	if strings.HasSuffix(other, end) {
		end = "B"
	}
	status(t, h.ask("POST", other[:len(other)-1]+end+"/stop", ""), http.StatusNotFound)
}

// Where the house lets its customers, their word settles what nobody knows; nothing is
// made again by it.
func TestTheCustomersWord(t *testing.T) {
	h := build(t)
	h.web.CustomersSettle = true
	h.run()
	for _, tt := range []struct{ press, want, not string }{
		{"/have", "Enjoy it, Ada!", "We can't say"},
		{"/empty", "You told us what became of it.", "Nothing was used."},
	} {
		id, path := h.order("Ada")
		h.write(id, brewing("zoe"), parked)
		contains(t, text(t, h.ask("GET", path, "")), "Was your coffee made?", "I have it", "My cup is empty", `/events"`)
		h.shop.set(func(s *shop) { s.says = errors.New("words of the shop") })
		res := h.ask("POST", path+tt.press, "")
		status(t, res, http.StatusServiceUnavailable)
		page := text(t, res)
		contains(t, page, "this was not noted")
		lacks(t, page, "words of the shop")
		h.shop.set(func(s *shop) { s.says = nil })
		status(t, h.ask("POST", path+tt.press, ""), http.StatusSeeOther)
		h.until(func() bool { s, _ := h.web.book.look(id); return s.Phase.Ended() })
		if c := h.records.last(id); c.By != "customer" || c.Code != fleet.CodeSaid {
			t.Errorf("settled as %+v", c)
		}
		status(t, h.ask("POST", path+tt.press, ""), http.StatusSeeOther) // pressed twice
		page = text(t, h.ask("GET", path, ""))
		contains(t, page, tt.want)
		lacks(t, page, tt.not, "My cup is empty")
	}

	h = open(t) // a house that does not ask its customers
	id, path := h.order("Ada")
	h.write(id, brewing("zoe"), parked)
	for _, press := range []string{"/have", "/empty"} {
		status(t, h.ask("POST", path+press, ""), http.StatusSeeOther)
	}
	if s, _ := h.web.book.look(id); s.Phase != fleet.Unknown {
		t.Errorf("it was settled: %+v", s.order)
	}
}

func TestNumber(t *testing.T) {
	seen := map[int]bool{}
	for place := range uint64(900) {
		o := order{Place: place + 1}
		if n := o.number(); n < 100 || n > 999 || seen[n] {
			t.Errorf("order %d has number %d, twice: %v", place+1, n, seen[n])
		} else {
			seen[n] = true
		}
	}
	if old := (&order{ID: idA}).number(); old < 100 || old > 999 {
		t.Errorf("an older one has number %d", old)
	}
}
