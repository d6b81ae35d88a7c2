package desk

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

var phases = []fleet.Phase{fleet.Accepted, fleet.Claimed, fleet.Brewing, fleet.Again, fleet.Unknown,
	fleet.Served, fleet.Failed, fleet.Cancelled, fleet.Expired}

// what each verb may make of a claim, of whom, in the first second of a record. Of
// an accepted one nobody is the owner.
var may = map[string]map[fleet.Phase]map[string]fleet.Phase{
	fleet.DeskClaim: {fleet.Accepted: {"nobody": fleet.Claimed}},
	fleet.DeskFence: {
		fleet.Accepted: {"nobody": fleet.Brewing},
		fleet.Claimed:  {"me": fleet.Brewing},
		fleet.Brewing:  {"me": fleet.Brewing},
	},
	fleet.DeskRelease: {fleet.Claimed: {"me": fleet.Accepted}},
	fleet.DeskEnd: {
		fleet.Brewing: {"me": fleet.Served, "another boot": fleet.Served},
		fleet.Unknown: {"me": fleet.Served, "another boot": fleet.Served},
	},
	fleet.DeskPark: {fleet.Brewing: {"me": fleet.Unknown, "another boot": fleet.Unknown, "another journal": fleet.Unknown}},
	fleet.DeskDoubt: {
		fleet.Accepted: {"nobody": fleet.Unknown},
		fleet.Claimed:  {"me": fleet.Unknown, "another boot": fleet.Unknown, "another journal": fleet.Unknown, "another": fleet.Unknown},
	},
}

// TestEveryArrow asks for everything of everything: each verb of each phase of
// each owner, on the record as it is, on another one, and about another epoch.
// What is not in the table above is refused, and the book stays as it was.
func TestEveryArrow(t *testing.T) {
	owners := map[string]fleet.Owner{"me": me, "another boot": otherBoot, "another journal": otherDisk, "another": bob}
	tried := 0
	for verb, of := range may {
		for _, p := range phases {
			for who, owner := range owners {
				if p == fleet.Accepted {
					who = "nobody"
				}
				c := claimAt(p, owner)
				for _, how := range []string{"as it is", "another record", "another word", "an older record", "another epoch"} {
					s := open(t)
					s.put(fleet.Claim{Order: fleet.Order{ID: "x"}}) // so that 1 is older
					e := s.put(c)
					a := about(e, me)
					a.Outcome, a.Took = fleet.Made, 12
					want, allowed := of[p][who]
					code := ""
					switch how {
					case "another record":
						a.Seq++
						code = fleet.DeskConflict
					case "another word":
						a.Rec = "copy"
						code = fleet.DeskConflict
					case "an older record":
						a.Revision = fleet.Revision{Seq: 1, Rec: "r1"}
						code = fleet.DeskConflict
					case "another epoch":
						a.Epoch++
						code = fleet.DeskRefused
					default:
						if !allowed {
							code = fleet.DeskRefused
						}
					}
					told := s.ask("ann", verb, a)
					tried++
					got := s.book[id]
					switch {
					case told.Code != code:
						t.Errorf("%s of %s, %s, %s: %q %s, wanted %q", verb, p, who, how, told.Code, told.Text, code)
					case code != "":
						if got.Seq != e.Seq || len(s.wrote) > 0 {
							t.Errorf("%s of %s, %s, %s: refused, and wrote %s", verb, p, who, how, got.Phase)
						}
						if told.Entry.Revision != e.Revision || told.Entry.Phase != p {
							t.Errorf("%s of %s, %s, %s: told of %s", verb, p, who, how, told.Entry.Phase)
						}
					case got.Phase != want || got.Seq != e.Seq+1 || told.Entry.Revision != got.Revision || told.Entry.Phase != want:
						t.Errorf("%s of %s, %s: wrote %s, told of %s, wanted %s", verb, p, who, got.Phase, told.Entry.Phase, want)
					case len(s.wrote) != 1 || s.wrote[0].Revision != got.Revision:
						t.Errorf("%s of %s, %s: this process heard %v", verb, p, who, s.wrote)
					}
				}
			}
		}
	}
	if tried != 6*9*4*5 {
		t.Errorf("%d were tried", tried)
	}
	s := open(t)
	for verb := range may {
		if told := s.ask("ann", verb, fleet.Ask{Order: id, Owner: me, Epoch: 1}); told.Code != fleet.DeskNone {
			t.Errorf("%s of no order: %q", verb, told.Code)
		}
		if told := s.ask("ann", verb, fleet.Ask{Owner: me, Epoch: 1}); told.Code != fleet.DeskRefused {
			t.Errorf("%s about nothing: %q", verb, told.Code)
		}
		s.put(claimAt(fleet.Accepted, me))
		for _, half := range []fleet.Owner{{Machine: "ann", Boot: "b"}, {Machine: "ann", Journal: "j"}} {
			if told := s.ask("ann", verb, about(s.book[id], half)); told.Code != fleet.DeskRefused {
				t.Errorf("%s by half a machine: %q", verb, told.Code)
			}
		}
		delete(s.book, id)
	}
}

// What an arrow writes is the claim's word, with what the machine said.
func TestWhatIsWritten(t *testing.T) {
	s := open(t)
	e := s.put(claimAt(fleet.Brewing, me))
	a := about(e, me)
	a.Outcome, a.Took, a.Reason, a.StepBack = fleet.Spoiled, 7.5, fleet.Reason{Code: "no-flow", Text: "no water"}, true
	s.ask("ann", fleet.DeskEnd, a)
	got := s.book[id]
	past := fleet.Past{Epoch: 1, Machine: "ann", Fenced: true, Outcome: fleet.Spoiled, Took: 7.5, Reason: a.Reason}
	if got.Phase != fleet.Again || len(got.Past) != 1 || got.Past[0] != past {
		t.Errorf("%+v", got.Claim)
	}
	if got.Avoid == nil || got.Avoid.Machine != "ann" || !got.Avoid.Until.Equal(s.now.Add(10*time.Second)) {
		t.Errorf("steps back: %+v", got.Avoid)
	}
	// Without the clock of the broker it can't step back, and nothing is written.
	e = s.put(claimAt(fleet.Claimed, me))
	a = about(e, me)
	a.StepBack = true
	s.deaf = errAway
	if told := s.ask("ann", fleet.DeskRelease, a); told.Code != fleet.DeskBusy || s.book[id].Seq != e.Seq {
		t.Errorf("without a clock: %+v", told)
	}
	s.deaf = nil
	a.StepBack = false
	if told := s.ask("ann", fleet.DeskRelease, a); told.Code != "" || told.Entry.Avoid != nil || told.Entry.Epoch != 2 {
		t.Errorf("released: %+v", told)
	}
	// Its attempts are used up: to give it back ends it, and nobody fences it.
	used := claimAt(fleet.Accepted, me)
	used.Attempts = fleet.MaxAttempts
	e = s.put(used)
	if told := s.ask("ann", fleet.DeskFence, about(e, me)); told.Code != fleet.DeskRefused {
		t.Errorf("a fourth attempt: %+v", told)
	}
	told := s.ask("ann", fleet.DeskClaim, about(e, me))
	told = s.ask("ann", fleet.DeskRelease, about(told.Entry, me))
	if told.Code != "" || told.Entry.Phase != fleet.Failed || told.Entry.Code != fleet.CodeGivenUp {
		t.Errorf("given up: %+v", told)
	}
	// An end without an outcome is none.
	e = s.put(claimAt(fleet.Brewing, me))
	if told := s.ask("ann", fleet.DeskEnd, about(e, me)); told.Code != fleet.DeskRefused || s.book[id].Phase != fleet.Brewing {
		t.Errorf("ended as nothing: %+v", told)
	}
}

// TestTakeOver: another's order is taken from it when its lease is over and it is
// not here, or says by itself that it is not at it.
func TestTakeOver(t *testing.T) {
	at := func(o fleet.Owner, order string) fleet.Presence {
		return fleet.Presence{Machine: o.Machine, Owner: o, Order: order, Said: 7}
	}
	said := func(o fleet.Owner, order string) []fleet.Presence { return []fleet.Presence{at(o, order)} }
	heard := func(p fleet.Presence, here bool) []fleet.Machine { return []fleet.Machine{{Presence: p, Here: here}} }
	for name, c := range map[string]struct {
		owner fleet.Owner
		age   time.Duration
		step  time.Duration    // of the broker's clock
		here  []fleet.Presence // by the broker
		roll  []fleet.Machine
		code  string
	}{
		"its lease is not over":            {bob, fleet.Lease - 1, 0, nil, nil, fleet.DeskRefused},
		"nobody is here":                   {bob, fleet.Lease, 0, nil, nil, ""},
		"it is at it":                      {bob, time.Hour, 0, said(bob, id), nil, fleet.DeskRefused},
		"it has nothing in hand":           {bob, fleet.Lease, 0, said(bob, ""), nil, ""},
		"it has another one in hand":       {bob, fleet.Lease, 0, said(bob, "01JD0000000000000000000009"), nil, ""},
		"another boot of it is at it":      {bob, fleet.Lease, 0, said(fleet.Owner{Machine: "bob", Journal: "j3", Boot: "b9"}, id), nil, ""},
		"another machine is at it":         {bob, fleet.Lease, 0, said(me, id), nil, ""},
		"my name, another boot, too young": {otherBoot, fleet.Lease - 1, 0, nil, nil, fleet.DeskRefused},
		"my name, another boot":            {otherBoot, fleet.Lease, 0, nil, nil, ""},
		"the broker's clock went back":     {bob, 0, -time.Hour, nil, nil, fleet.DeskRefused},
		"forward: its lease is not over":   {bob, fleet.Lease - 1, time.Hour, nil, nil, fleet.DeskRefused},
		// A clock that was set back keeps the word of a dead machine, one that was set
		// forward takes away that of a live one.
		"back, and it is silent":         {bob, fleet.Lease, -time.Hour, said(bob, id), heard(fleet.Presence{Machine: "bob", Said: 7}, false), ""},
		"back, and it spoke again since": {bob, fleet.Lease, -time.Hour, said(bob, id), heard(fleet.Presence{Machine: "bob", Said: 6}, false), fleet.DeskRefused},
		"forward, and it is at it":       {bob, time.Hour, time.Hour, nil, heard(at(bob, id), true), fleet.DeskRefused},
		"forward, and it is not at it":   {bob, time.Hour, time.Hour, nil, heard(at(bob, ""), true), ""},
	} {
		s := open(t)
		e := s.put(claimAt(fleet.Claimed, c.owner))
		s.past, s.now = c.age, s.now.Add(c.age+c.step)
		s.here, s.roll = c.here, c.roll
		a := about(e, me)
		a.Reason = because
		told := s.ask("ann", fleet.DeskRelease, a)
		if told.Code != c.code {
			t.Errorf("%s: %q %s", name, told.Code, told.Text)
		}
		if got := s.book[id]; c.code == "" && (got.Phase != fleet.Accepted || got.Epoch != 2 || got.Past[0].Machine != c.owner.Machine || got.Past[0].Outcome != fleet.Untouched) {
			t.Errorf("%s: %+v", name, got.Claim)
		}
		s = open(t)
		e = s.put(claimAt(fleet.Claimed, c.owner))
		s.past, s.here, s.deaf = c.age, c.here, errAway
		if told := s.ask("ann", fleet.DeskRelease, about(e, me)); told.Code == "" {
			t.Errorf("%s: taken over while nobody could look", name)
		}
	}
}

// TestParkAnothers: nobody says unknown of another's brew before that one can't
// be making it any more.
func TestParkAnothers(t *testing.T) {
	for age, code := range map[time.Duration]string{
		0: fleet.DeskRefused,
		fleet.LongestBrew + fleet.UnknownAfter - 1: fleet.DeskRefused,
		fleet.LongestBrew + fleet.UnknownAfter:     "",
	} {
		s := open(t)
		e := s.put(claimAt(fleet.Brewing, bob))
		// The broker's clock goes where it wants.
		s.past, s.now = age, s.now.Add(map[bool]time.Duration{true: -time.Hour, false: 24 * time.Hour}[code == ""])
		told := s.ask("ann", fleet.DeskPark, about(e, me))
		if got := s.book[id]; told.Code != code || code == "" && (got.Phase != fleet.Unknown || got.By != "ann" || got.Machine() != "bob") {
			t.Errorf("after %v: %q %s %+v", age, told.Code, told.Text, got.Claim)
		}
	}
}

// TestLateEnd: an end that the claim no longer awaits changes nothing and is told,
// of a start that the book knows to be this machine's.
func TestLateEnd(t *testing.T) {
	unknown := claimAt(fleet.Unknown, me)
	again := must(must(unknown.MakeAgain("eve")).Remake())
	mine, bobs := must(again.Fence(bob)), must(must(must(claimAt(fleet.Unknown, bob).MakeAgain("eve")).Remake()).Fence(me))
	for name, c := range map[string]struct {
		claim fleet.Claim
		epoch int
		told  bool
	}{
		"of an epoch that is over":                {mine, 1, true},
		"after its end":                           {must(mine.End(bob, fleet.Made, because, 3, nil)), 1, true},
		"of an epoch that was another's":          {bobs, 1, false},
		"of an epoch that the book does not know": {mine, 7, false},
		"of another's start":                      {mine, 2, false},
		"of its own that has ended":               {claimAt(fleet.Served, me), 1, true},
		"of one that was never fenced":            {claimAt(fleet.Cancelled, me), 1, false},
	} {
		s := open(t)
		e := s.put(c.claim)
		a := about(e, me)
		a.Epoch, a.Outcome, a.Took, a.Reason = c.epoch, fleet.Made, 31, because
		told := s.ask("ann", fleet.DeskEnd, a)
		if told.Code != fleet.DeskRefused || s.book[id].Seq != e.Seq {
			t.Errorf("%s: %+v", name, told)
		}
		if !c.told {
			if len(s.events) > 0 {
				t.Errorf("%s: told %+v", name, s.events)
			}
			continue
		}
		if len(s.events) != 1 {
			t.Errorf("%s: told %d times", name, len(s.events))
			continue
		}
		ev := s.events[0]
		if ev.At.IsZero() {
			t.Errorf("%s: %+v", name, ev)
		}
		ev.At = time.Time{}
		if ev.Slot() != "end-1" || ev.Order != id || ev.Machine != "ann" || ev.Outcome != fleet.Made || ev.Seconds != 31 || ev.Reason != because {
			t.Errorf("%s: %+v", name, ev)
		}
		// As long as it could not be told, it is not settled.
		s.deaf = errAway
		if told := s.ask("ann", fleet.DeskEnd, a); told.Code != fleet.DeskBusy {
			t.Errorf("%s, nobody listens: %+v", name, told)
		}
	}
}

// TestOnTheRecordThatWasRead: somebody writes between the desk's read and its
// write. The desk does not go on with what it read itself, neither then nor when
// it read the newer one.
func TestOnTheRecordThatWasRead(t *testing.T) {
	s := open(t)
	e := s.put(claimAt(fleet.Claimed, me))
	s.read = sync.OnceFunc(func() { s.put(e.Claim) }) // the same again
	if told := s.ask("ann", fleet.DeskFence, about(e, me)); told.Code != fleet.DeskConflict || s.book[id].Phase != fleet.Claimed {
		t.Errorf("%+v", told)
	}
	s.read = nil
	// The store went back to a copy and has come to the same sequence again.
	s.seq--
	s.put(e.Claim)
	back := s.book[id]
	back.Rec = "other"
	s.book[id] = back
	a := about(back, me)
	a.Rec = "r" // of the record that was lost
	if told := s.ask("ann", fleet.DeskFence, a); told.Code != fleet.DeskConflict || s.book[id].Phase != fleet.Claimed {
		t.Errorf("on a lost record: %+v", told)
	}
}

// TestNoAnswer: what nobody knows is not told as done, and not as refused.
func TestNoAnswer(t *testing.T) {
	s := open(t)
	e := s.put(claimAt(fleet.Accepted, me))
	s.lost = true
	if told := s.ask("ann", fleet.DeskFence, about(e, me)); told.Code != fleet.DeskUnsure || len(s.wrote) > 0 {
		t.Errorf("%+v", told)
	}
	// What was written all the same makes the repeated request a stale one.
	s.lost = false
	if told := s.ask("ann", fleet.DeskFence, about(e, me)); told.Code != fleet.DeskConflict || told.Entry.Phase != fleet.Brewing {
		t.Errorf("asked again: %+v", told)
	}
}

// TestTooOld: a desk that was stopped over a request does not write it any more
// when the machine has long given up.
func TestTooOld(t *testing.T) {
	for pause, code := range map[time.Duration]string{fleet.DeskTime - 1: "", fleet.DeskTime: fleet.DeskBusy, time.Hour: fleet.DeskBusy} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t)
			e := s.put(claimAt(fleet.Accepted, me))
			s.reading = func() { time.Sleep(pause) }
			if told := s.ask("ann", fleet.DeskFence, about(e, me)); told.Code != code || code != "" && s.book[id].Phase != fleet.Accepted {
				t.Errorf("after %v: %+v", pause, told)
			}
		})
	}
}

// TestInWork: one machine can't take the desk from the others, and all together
// can't have it work without bound. Who is turned away knows that nothing was
// done.
func TestInWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		e := s.put(claimAt(fleet.Accepted, me))
		hold := make(chan struct{})
		s.reading = func() { <-hold }
		names := "abcdefghijklm"
		ask := func(name string) fleet.Told {
			a := about(e, fleet.Owner{Machine: name})
			return s.ask(name, fleet.DeskTake, a)
		}
		for range each {
			go ask("a")
		}
		synctest.Wait()
		if told := ask("a"); told.Code != fleet.DeskBusy {
			t.Errorf("one more of a: %+v", told)
		}
		for i := each; i < atOnce; i++ {
			go ask(names[i/each : i/each+1])
		}
		synctest.Wait()
		if told := ask("z"); told.Code != fleet.DeskBusy {
			t.Errorf("one more of all: %+v", told)
		}
		close(hold)
		synctest.Wait()
		s.reading = nil
		if told := ask("a"); told.Code != "" {
			t.Errorf("afterwards: %+v", told)
		}
		if s.desk.inWork != 0 || len(s.desk.by) != 0 {
			t.Errorf("still counted: %d %v", s.desk.inWork, s.desk.by)
		}
	})
}

// TestTake: what a machine hears of the claim and of the others.
func TestTake(t *testing.T) {
	s := open(t)
	machine := func(o fleet.Owner, st fleet.State, order string, sizes ...fleet.Size) fleet.Machine {
		return fleet.Machine{Here: true, Presence: fleet.Presence{Machine: o.Machine, Owner: o, State: st, Order: order, Classes: []fleet.Class{black}, Sizes: sizes}}
	}
	cordoned := func(m fleet.Machine) fleet.Machine { m.Cordon = &fleet.Cordon{}; return m }
	away := func(m fleet.Machine) fleet.Machine { m.Here = false; return m }
	carl := fleet.Owner{Machine: "carl", Journal: "j4", Boot: "b1"}
	for name, c := range map[string]struct {
		roll []fleet.Machine
		want fleet.Sight
	}{
		"nobody":               {nil, fleet.Sight{}},
		"its owner is at it":   {[]fleet.Machine{machine(bob, fleet.StateBusy, id, fleet.Small)}, fleet.Sight{AtIt: true, Others: 1, Can: true}},
		"its owner is idle":    {[]fleet.Machine{machine(bob, fleet.StateReady, "", fleet.Small)}, fleet.Sight{Idle: true, Others: 1, Can: true}},
		"is out of service":    {[]fleet.Machine{cordoned(machine(bob, fleet.StateReady, "", fleet.Small))}, fleet.Sight{Others: 1}},
		"is away":              {[]fleet.Machine{away(machine(bob, fleet.StateBusy, id, fleet.Small))}, fleet.Sight{}},
		"booted anew":          {[]fleet.Machine{machine(fleet.Owner{Machine: "bob", Journal: "j3", Boot: "b2"}, fleet.StateReady, id, fleet.Small)}, fleet.Sight{Others: 1, Can: true}},
		"can't make the size":  {[]fleet.Machine{machine(carl, fleet.StateReady, "", fleet.Large)}, fleet.Sight{Others: 1}},
		"has a fault":          {[]fleet.Machine{machine(carl, fleet.StateFault, "", fleet.Small)}, fleet.Sight{Others: 1}},
		"it is asking itself":  {[]fleet.Machine{machine(me, fleet.StateReady, "", fleet.Small)}, fleet.Sight{}},
		"two, one of them can": {[]fleet.Machine{machine(carl, fleet.StateFault, "", fleet.Small), machine(bob, fleet.StateBusy, "", fleet.Small)}, fleet.Sight{Others: 2, Can: true}},
	} {
		e := s.put(claimAt(fleet.Brewing, bob))
		was := s.now
		s.past += 70 * time.Second
		s.roll = c.roll
		told := s.ask("ann", fleet.DeskTake, fleet.Ask{Order: id, Owner: fleet.Owner{Machine: "ann"}})
		if told.Code != "" || told.Sight != c.want || told.Age != 70*time.Second || told.Left != fleet.LongestBrew+fleet.UnknownAfter-70*time.Second || told.Entry.Revision != e.Revision || !told.Entry.Written.Equal(was) {
			t.Errorf("%s: %+v", name, told)
		}
	}
	for p, age := range map[fleet.Phase]time.Duration{fleet.Brewing: time.Hour, fleet.Claimed: time.Second} {
		s.put(claimAt(p, bob))
		s.past += age
		if told := s.ask("ann", fleet.DeskTake, fleet.Ask{Order: id, Owner: fleet.Owner{Machine: "ann"}}); told.Code != "" || told.Left != 0 {
			t.Errorf("%s for %v: %+v", p, age, told)
		}
	}
	if told := s.ask("ann", fleet.DeskTake, fleet.Ask{Order: "01JD0000000000000000000009", Owner: me}); told.Code != fleet.DeskNone {
		t.Errorf("no such order: %+v", told)
	}
}

// TestInAnothersName: a machine is who the subject says, and nobody else.
func TestInAnothersName(t *testing.T) {
	for verb := range verbs {
		s := open(t)
		e := s.put(claimAt(fleet.Accepted, me))
		a := about(e, bob)
		a.Outcome = fleet.Made
		a.Presence = &fleet.Presence{Machine: "bob", Owner: bob}
		a.Poison = &fleet.Poison{Seq: 1}
		if told := s.ask("ann", verb, a); told.Code != fleet.DeskRefused || !strings.Contains(told.Text, "bob") {
			t.Errorf("%s as bob: %+v", verb, told)
		}
		if s.book[id].Seq != e.Seq || len(s.here)+len(s.events) > 0 {
			t.Errorf("%s as bob: it was done", verb)
		}
	}
	s := open(t)
	for _, p := range []fleet.Presence{{Machine: "bob", Owner: me}, {Machine: "ann", Owner: bob}, {Machine: "ann", Owner: otherBoot}} {
		if told := s.ask("ann", fleet.DeskPresence, fleet.Ask{Owner: me, Presence: &p}); told.Code != fleet.DeskRefused || len(s.here) > 0 {
			t.Errorf("a word about %+v: %+v", p, told)
		}
	}
	for _, subject := range []string{"coffee.desk.ann", "coffee.desk.ann.take.more", "coffee.desk.ann.brew", "coffee.desk.ann.", "coffee.desk.Ann.take", "coffee.desk.*.take", ""} {
		b := []byte(`{"nonce":"n","owner":{"machine":"ann"},"order":"` + id + `"}`)
		if told := s.raw(subject, b, "n"); told.Code != fleet.DeskRefused {
			t.Errorf("%q: %+v", subject, told)
		}
	}
	if !slices.Equal([]string{"bob", "leave"}, func() []string { m, v, _ := asker("coffee.desk.bob.leave"); return []string{m, v} }()) {
		t.Error("who asks is read wrongly")
	}
}
