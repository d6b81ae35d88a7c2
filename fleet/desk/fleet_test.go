package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// word is what a machine hears for its presence.
func (s *shop) word(o fleet.Owner, sizes ...fleet.Size) fleet.Told {
	s.t.Helper()
	return s.ask(o.Machine, fleet.DeskPresence, fleet.Ask{Owner: o, Presence: &fleet.Presence{Machine: o.Machine, Owner: o, Classes: []fleet.Class{black}, Sizes: sizes}})
}

// TestPresence: a word is passed on, and answered with what the shop wants.
func TestPresence(t *testing.T) {
	s := open(t)
	s.waiting = 3
	if told := s.word(me, fleet.Small); told.Code != "" || told.Word == nil || told.Word.Cordon != nil || told.Word.Menu != nil || told.Word.Waiting != 3 {
		t.Errorf("%+v", told)
	}
	if len(s.here) != 1 || s.here[0].Machine != "ann" || s.here[0].Owner != me {
		t.Errorf("passed on: %+v", s.here)
	}
	menu := fleet.DefaultMenu()
	b, _ := json.Marshal(menu)
	s.desk.setting(fleet.KeyMenu, b)
	s.desk.setting(fleet.CordonKey("ann"), []byte(`{"by":"eve","reason":"new grinder"}`))
	s.desk.setting(fleet.CordonKey("bob"), []byte(`{`))
	if w := s.word(me, fleet.Small).Word; w.Cordon == nil || w.Cordon.By != "eve" || w.Menu == nil || len(w.Menu.Classes()) != len(menu.Classes()) {
		t.Errorf("%+v", w)
	}
	if w := s.word(bob, fleet.Small).Word; w.Cordon == nil {
		t.Error("a cordon that can't be read is none")
	}
	s.desk.setting(fleet.CordonKey("ann"), nil)
	s.desk.setting(fleet.KeyMenu, []byte(`{"beans":[]}`))
	if w := s.word(me, fleet.Small).Word; w.Cordon != nil || w.Menu == nil || len(w.Menu.Beans) != len(menu.Beans) {
		t.Errorf("%+v", w)
	}
	s.deaf = errAway
	if told := s.word(me, fleet.Small); told.Code != fleet.DeskBusy || told.Word != nil {
		t.Errorf("nobody heard it: %+v", told)
	}
	s.deaf = nil
	if told := s.ask("ann", fleet.DeskLeave, fleet.Ask{Owner: fleet.Owner{Machine: "ann"}}); told.Code != "" || s.here[len(s.here)-1].State != "gone" || s.here[len(s.here)-1].Machine != "ann" {
		t.Errorf("%+v, %+v", told, s.here)
	}
	if told := s.ask("ann", fleet.DeskPresence, fleet.Ask{Owner: me}); told.Code != fleet.DeskRefused {
		t.Errorf("no word: %+v", told)
	}
	// The cordon counts before the first order: a desk that does not know it yet
	// says nothing.
	s.desk.settings.known = false
	if told := s.word(me, fleet.Small); told.Code != fleet.DeskBusy || told.Word != nil {
		t.Errorf("before the settings were read: %+v", told)
	}
}

// TestSaidAgain: a word that a machine says again is read once, and any other one anew.
func TestSaidAgain(t *testing.T) {
	s := open(t)
	said := func(machine, verb string, body string) *fleet.Presence {
		t.Helper()
		a, err := s.desk.hear(machine, verb, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return a.Presence
	}
	const body = `{"nonce":"n","owner":{"machine":"ann","journal":"j","boot":"b"},"presence":{"machine":"ann","drinks":1}}`
	more := strings.Replace(body, `"drinks":1`, `"drinks":2`, 1)
	first := said("ann", fleet.DeskPresence, body)
	if said("ann", fleet.DeskPresence, body) != first {
		t.Error("it was read again")
	}
	if p := said("ann", fleet.DeskPresence, more); p.Drinks != 2 {
		t.Errorf("another word was taken for the last one: %+v", p)
	}
	if p := said("ann", fleet.DeskPresence, body); p.Drinks != 1 {
		t.Errorf("an earlier word was taken for the last one: %+v", p)
	}
	first = said("ann", fleet.DeskPresence, body)
	if said("bob", fleet.DeskPresence, more); said("bob", fleet.DeskPresence, body) == first || said("ann", fleet.DeskPresence, body) != first {
		t.Error("one machine's word was taken for another's")
	}
	for range 2 {
		if _, err := s.desk.hear("ann", fleet.DeskPresence, []byte(`{`)); err == nil {
			t.Error("half a word was read")
		}
	}
	for i := range 2 * mostSaid {
		name := fmt.Sprint("m", i)
		said(name, fleet.DeskPresence, strings.ReplaceAll(body, "ann", name))
	}
	if n := len(s.desk.said); n > mostSaid {
		t.Errorf("%d words are kept", n)
	}
}

// looking is a witness that looks at the book for longer than anybody waits.
type looking struct{ asked []string }

func (l *looking) Heard(ctx context.Context, machine string, _ fleet.Mark) error {
	l.asked = append(l.asked, machine)
	<-ctx.Done()
	return fleet.ErrClosed
}
func (*looking) Flows(context.Context, string, bool) error { return nil }
func (*looking) Mark() fleet.Mark                          { return fleet.Mark{} }

// patient is a fleet that hears nothing of what comes too late.
type patient struct{ *shop }

func (p patient) Announce(ctx context.Context, _ fleet.Presence) error { return ctx.Err() }
func (p patient) Again(context.Context, []fleet.Presence) error        { return nil }
func (p patient) Leave(ctx context.Context, _ string) error            { return ctx.Err() }
func (p patient) Present(context.Context) ([]fleet.Presence, error)    { return nil, nil }

// TestPresentWhileLooking: while the shop looks at its book a machine is heard all the
// same in what it says of itself, within the time that it waits for the answer.
func TestPresentWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		w := &looking{}
		s.desk.p.Witness, s.desk.p.Fleet = w, patient{s}
		begun := time.Now()
		if told := s.word(me, fleet.Small); told.Code != "" || told.Word == nil || told.Mark.Seq != 0 {
			t.Errorf("%+v", told)
		}
		if d := time.Since(begun); d >= fleet.DeskTime/2 || len(w.asked) != 1 {
			t.Errorf("after %v, %v", d, w.asked)
		}
		if told := s.ask("ann", fleet.DeskTake, fleet.Ask{Owner: me, Order: id}); told.Code != fleet.DeskClosed {
			t.Errorf("an order: %+v", told)
		}
	})
}

// TestOthers: what a machine hears of those that make all that it makes.
func TestOthers(t *testing.T) {
	s := open(t)
	other := func(st fleet.State, change func(*fleet.Machine)) fleet.Machine {
		m := fleet.Machine{Here: true, Presence: fleet.Presence{Machine: "bob", Owner: bob, State: st, Classes: []fleet.Class{black}, Sizes: []fleet.Size{fleet.Small, fleet.Large}}}
		if change != nil {
			change(&m)
		}
		return m
	}
	for name, c := range map[string]struct {
		roll       []fleet.Machine
		able, soon bool
	}{
		"nobody":                   {nil, false, false},
		"ready":                    {[]fleet.Machine{other(fleet.StateReady, nil)}, true, false},
		"busy":                     {[]fleet.Machine{other(fleet.StateBusy, nil)}, true, false},
		"an old cup":               {[]fleet.Machine{other(fleet.StateWaiting, nil)}, false, true},
		"waits with an order":      {[]fleet.Machine{other(fleet.StateWaiting, func(m *fleet.Machine) { m.Order = id })}, false, true},
		"has a fault":              {[]fleet.Machine{other(fleet.StateFault, nil)}, false, false},
		"away":                     {[]fleet.Machine{other(fleet.StateReady, func(m *fleet.Machine) { m.Here = false })}, false, false},
		"cordoned":                 {[]fleet.Machine{other(fleet.StateReady, func(m *fleet.Machine) { m.Cordon = &fleet.Cordon{} })}, false, false},
		"a spare":                  {[]fleet.Machine{other(fleet.StateReady, func(m *fleet.Machine) { m.MinWaiting = 2 })}, false, false},
		"other classes":            {[]fleet.Machine{other(fleet.StateReady, func(m *fleet.Machine) { m.Classes = []fleet.Class{{Bean: "robusta", Milk: "free"}} })}, false, false},
		"not all sizes":            {[]fleet.Machine{other(fleet.StateReady, func(m *fleet.Machine) { m.Sizes = []fleet.Size{fleet.Large} })}, false, false},
		"not all sugars":           {[]fleet.Machine{other(fleet.StateReady, func(m *fleet.Machine) { m.Never = []fleet.Never{{Sugar: 1}} })}, false, false},
		"it is the asking one":     {[]fleet.Machine{other(fleet.StateReady, func(m *fleet.Machine) { m.Machine = "ann" })}, false, false},
		"one with a cup, one able": {[]fleet.Machine{other(fleet.StateWaiting, nil), other(fleet.StateReady, nil)}, true, true},
	} {
		s.roll = c.roll
		if w := s.word(me, fleet.Small).Word; w.Able != c.able || w.Soon != c.soon {
			t.Errorf("%s: able %v, soon %v", name, w.Able, w.Soon)
		}
	}
}

// watched is a store of settings that a test writes.
type watched struct {
	set   chan func(each func(string, []byte))
	ready chan struct{}
}

func (w watched) Watch(ctx context.Context, each func(string, []byte), ready func()) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case do := <-w.set:
			do(each)
		case <-w.ready:
			ready()
		}
	}
}

// nobody serves nothing.
type nobody struct{}

func (nobody) Serve(ctx context.Context, subject string, shared bool, _ func(context.Context, string, []byte) []byte) error {
	if subject != "coffee.desk.*.*" || !shared {
		panic("serves " + subject)
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestNudge: a machine is told to ask anew when its cordon changed, every one when
// the menu did; nobody for what stood there at the start.
func TestNudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		w := watched{make(chan func(func(string, []byte))), make(chan struct{})}
		s.desk.settings.known = false
		s.desk.p.Settings, s.desk.p.Server = w, nobody{}
		s.roll = []fleet.Machine{{Here: true, Presence: fleet.Presence{Machine: "ann"}}, {Presence: fleet.Presence{Machine: "away"}}, {Here: true, Presence: fleet.Presence{Machine: "bob"}}}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.desk.Run(ctx) })
		put := func(key, value string) {
			w.set <- func(each func(string, []byte)) { each(key, []byte(value)) }
			synctest.Wait()
		}
		heard := func() (out []string) {
			for _, a := range s.asked {
				subject, body, _ := strings.Cut(a, " ")
				if !strings.Contains(body, `"settings"`) {
					t.Errorf("told %s", a)
				}
				out = append(out, subject)
			}
			s.asked = nil
			return out
		}
		menu, _ := json.Marshal(fleet.DefaultMenu())
		put(fleet.KeyMenu, string(menu))
		put(fleet.CordonKey("ann"), `{}`)
		if got := heard(); got != nil {
			t.Errorf("at the start: %v", got)
		}
		if told := s.word(me, fleet.Small); told.Code != fleet.DeskBusy {
			t.Errorf("before all was read: %+v", told)
		}
		w.ready <- struct{}{}
		synctest.Wait()
		if told := s.word(me, fleet.Small); told.Code != "" || told.Word.Cordon == nil {
			t.Errorf("afterwards: %+v", told)
		}
		put(fleet.CordonKey("bob"), `{}`)
		if got := heard(); !slices.Equal(got, []string{"coffee.machines.bob.cmd"}) {
			t.Errorf("bob's cordon: %v", got)
		}
		put(fleet.KeyMenu, string(menu))
		if got := heard(); !slices.Equal(got, []string{"coffee.machines.ann.cmd", "coffee.machines.bob.cmd"}) {
			t.Errorf("the menu: %v", got)
		}
		put("seen.ann", `{}`)
		if got := heard(); got != nil {
			t.Errorf("another setting: %v", got)
		}
		stop()
		wg.Wait()
	})
}

// TestPoison: what can't be an order is told with what came, under a name that
// nothing from outside is part of.
func TestPoison(t *testing.T) {
	s := open(t)
	ask := func(p fleet.Poison) fleet.Told {
		return s.ask("ann", fleet.DeskPoison, fleet.Ask{Owner: fleet.Owner{Machine: "ann"}, Poison: &p})
	}
	if told := ask(fleet.Poison{Seq: 17, Subject: "coffee.orders.arabica.free", Why: "not\nJSON", Payload: []byte("{")}); told.Code != "" {
		t.Errorf("%+v", told)
	}
	if len(s.events) != 1 {
		t.Fatalf("%+v", s.events)
	}
	ev := s.events[0]
	if ev.Order != "poison-coffee-orders-17" || ev.Kind != fleet.EvRefused || ev.Machine != "ann" || string(ev.Payload) != "{" ||
		ev.Subject != "coffee.orders.arabica.free" || ev.Text != "not JSON" || ev.Code != fleet.CodeInvalid {
		t.Errorf("%+v", ev)
	}
	fleet.EventSubject(ev.Order, ev.Slot()) // panics at what is no token
	if told := ask(fleet.Poison{Seq: 1 << 63}); told.Code != fleet.DeskRefused || len(s.events) != 1 {
		t.Errorf("a sequence that is none: %+v", told)
	}
	if told := ask(fleet.Poison{Seq: 1, Payload: make([]byte, fleet.MaxOrder+1)}); told.Code != fleet.DeskRefused {
		t.Errorf("a long payload: %+v", told)
	}
	s.deaf = errAway
	if told := ask(fleet.Poison{Seq: 18}); told.Code != fleet.DeskBusy {
		t.Errorf("not kept: %+v", told)
	}
	if told := s.ask("ann", fleet.DeskPoison, fleet.Ask{Owner: me}); told.Code != fleet.DeskRefused {
		t.Errorf("nothing: %+v", told)
	}
}
