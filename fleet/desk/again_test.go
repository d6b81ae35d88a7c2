package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// many are machines that are here.
func many(n int) (out []fleet.Machine) {
	for i := range n {
		out = append(out, fleet.Machine{Here: true, Presence: fleet.Presence{Machine: fmt.Sprintf("m-%04d", i), State: fleet.StateReady, Said: uint64(i + 1)}})
	}
	return out
}

// TestPaced: many machines are asked to come less often, and their words count for
// longer. One with an order in its hand comes as ever, and so does a spare.
func TestPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		told := func(change func(*fleet.Presence)) (fleet.Presence, time.Duration) {
			t.Helper()
			p := fleet.Presence{Machine: "ann", Owner: me, State: fleet.StateReady, Lasts: 30} // what it says of that is nobody's concern
			change(&p)
			time.Sleep(2 * recount)
			a := s.ask("ann", fleet.DeskPresence, fleet.Ask{Owner: me, Presence: &p})
			if a.Code != "" || a.Word == nil {
				t.Fatalf("%+v", a)
			}
			if err := a.Check(); err != nil {
				t.Error(err)
			}
			return s.here[len(s.here)-1], a.Word.Again
		}
		idle := func(*fleet.Presence) {}
		for n, want := range map[int]int{0: 0, 5: 0, 330: 0, 331: 10, 700: 15, 4000: 15} {
			s.roll = many(n)
			p, again := told(idle)
			if again != time.Duration(want)*time.Second || want == 0 && p.Lasts != 0 || want > 0 && p.Lasts != 2*want+5 {
				t.Errorf("%d machines: again in %v, counts %d s", n, again, p.Lasts)
			}
		}
		for what, busy := range map[string]func(*fleet.Presence){
			"with an order": func(p *fleet.Presence) { p.Order = id },
			"a spare":       func(p *fleet.Presence) { p.MinWaiting = 3 },
		} {
			if p, again := told(busy); again != 0 || p.Lasts != 0 {
				t.Errorf("%s: again in %v, counts %d s", what, again, p.Lasts)
			}
		}
		for i := range s.roll {
			s.roll[i].Here = i < 5
		}
		if p, again := told(idle); again != 0 || p.Lasts != 0 {
			t.Errorf("most are away: again in %v, counts %d s", again, p.Lasts)
		}
	})
}

// TestSaidTogether: what stands already is said again together with what other
// machines say, on the revision that stands; anything else is said at once, and the
// machine waits for it.
func TestSaidTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		s.roll = many(50)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.desk.repeat(ctx) })
		defer wg.Wait()
		defer stop()
		say := func(m fleet.Machine) {
			t.Helper()
			p := m.Presence
			p.Owner = fleet.Owner{Machine: p.Machine}
			if a := s.ask(p.Machine, fleet.DeskPresence, fleet.Ask{Owner: p.Owner, Presence: &p}); a.Code != "" {
				t.Fatalf("%+v", a)
			}
		}
		repeated := func() (all []fleet.Presence) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.repeated) > 1 {
				t.Errorf("said again in %d parts", len(s.repeated))
			}
			for _, words := range s.repeated {
				all = append(all, words...)
			}
			s.repeated = nil
			return all
		}
		for i := range s.roll {
			s.roll[i].Owner = fleet.Owner{Machine: s.roll[i].Machine}
		}
		for _, m := range s.roll {
			say(m)
			say(m)
		}
		if all := repeated(); len(s.here) > 0 || len(all) > 0 {
			t.Fatalf("%d said at once, %d already again", len(s.here), len(all))
		}
		time.Sleep(together + time.Millisecond)
		all := repeated()
		slices.SortFunc(all, func(a, b fleet.Presence) int { return strings.Compare(a.Machine, b.Machine) })
		if len(all) != 50 || len(s.here) > 0 {
			t.Fatalf("%d said again, %d at once", len(all), len(s.here))
		}
		for i, p := range all {
			if p.Machine != s.roll[i].Machine || p.Said != s.roll[i].Said {
				t.Errorf("%+v of %+v", p, s.roll[i])
			}
		}
		for what, change := range map[string]func(standing, said *fleet.Machine){
			"nobody knows it":       func(standing, _ *fleet.Machine) { standing.Here = false },
			"not by the broker":     func(standing, _ *fleet.Machine) { standing.Said = 0 },
			"another state":         func(_, said *fleet.Machine) { said.State = fleet.StateBlocked },
			"it lacks something":    func(_, said *fleet.Machine) { said.Lacks = []string{"beans"} },
			"it has an order":       func(standing, said *fleet.Machine) { standing.Order, said.Order = id, id },
			"it counted for longer": func(standing, _ *fleet.Machine) { standing.Lasts = 35 },
		} {
			s.here = nil
			was, said := s.roll[7], s.roll[7]
			change(&s.roll[7], &said)
			say(said)
			if len(s.here) != 1 || s.here[0].Said != 0 {
				t.Errorf("%s: %d said at once", what, len(s.here))
			}
			s.roll[7] = was
		}
		time.Sleep(time.Minute)
		if all := repeated(); len(all) > 0 {
			t.Errorf("%d of them are said twice", len(all))
		}
		say(s.roll[3])
		stop()
		wg.Wait()
		if all := repeated(); len(all) != 1 {
			t.Errorf("a desk that ends has said %d of what it heard", len(all))
		}
	})
}

// TestForgotten: when the connection came back the broker may have lost what it kept in
// memory, so for as long as a word counts none is taken to stand.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		s.roll = many(3)
		back := make(chan struct{})
		s.desk.p.Reconnected = func() <-chan struct{} { return back }
		s.desk.back = back
		say := func() int {
			s.here = nil
			for i := range s.roll {
				p := s.roll[i].Presence
				p.Owner = fleet.Owner{Machine: p.Machine}
				s.roll[i].Owner = p.Owner
				if a := s.ask(p.Machine, fleet.DeskPresence, fleet.Ask{Owner: p.Owner, Presence: &p}); a.Code != "" {
					t.Fatalf("%+v", a)
				}
			}
			return len(s.here)
		}
		if n := say(); n != 0 {
			t.Errorf("%d said at once, all stand", n)
		}
		was := back
		back = make(chan struct{})
		close(was)
		if n := say(); n != 3 {
			t.Errorf("after a reconnect %d said at once, want all", n)
		}
		time.Sleep(fleet.PresenceMost - time.Second)
		if n := say(); n != 3 {
			t.Errorf("while a word from before may count %d said at once, want all", n)
		}
		time.Sleep(2 * time.Second)
		if n := say(); n != 0 {
			t.Errorf("%d said at once, all stand again", n)
		}
	})
}

// TestQueued: what waits, by its first order, and what of it nobody but a spare makes.
func TestQueued(t *testing.T) {
	s := open(t)
	arabica, soja := fleet.Class{Bean: "arabica", Milk: "free"}, fleet.Class{Bean: "arabica", Milk: "soja"}
	makes := func(name string, min int, classes ...fleet.Class) fleet.Machine {
		return fleet.Machine{Here: true, Presence: fleet.Presence{Machine: name, State: fleet.StateBusy, MinWaiting: min, Classes: classes, Sizes: fleet.Sizes}}
	}
	wait := func(c fleet.Class, phase fleet.Phase) fleet.Entry {
		e := fleet.Entry{}
		e.Order, e.Phase = fleet.Order{Bean: c.Bean, Milk: c.Milk, Size: fleet.Small}, phase
		return e
	}
	sam := makes("sam", 4, arabica, soja)
	s.desk.p.Queue = func() []fleet.Entry {
		return []fleet.Entry{wait(soja, fleet.Brewing), wait(arabica, fleet.Accepted), wait(soja, fleet.Accepted), wait(arabica, fleet.Accepted)}
	}
	for _, tc := range []struct {
		name    string
		zoe     func(*fleet.Machine)
		regular bool
		alone   []fleet.Class
	}{
		{"beside a busy one", func(*fleet.Machine) {}, false, []fleet.Class{soja}},
		{"beside one in fault", func(m *fleet.Machine) { m.State = fleet.StateFault }, false, []fleet.Class{arabica, soja}},
		{"beside a cordoned one", func(m *fleet.Machine) { m.Cordon = &fleet.Cordon{} }, false, []fleet.Class{arabica, soja}},
		{"beside one that is away", func(m *fleet.Machine) { m.Here = false }, false, []fleet.Class{arabica, soja}},
		{"beside another spare", func(m *fleet.Machine) { m.MinWaiting = 2 }, false, []fleet.Class{arabica, soja}},
		{"no spare itself", func(*fleet.Machine) {}, true, nil},
	} {
		zoe := makes("zoe", 0, arabica)
		tc.zoe(&zoe)
		s.roll = []fleet.Machine{sam, zoe}
		p := sam.Presence
		if tc.regular {
			p.MinWaiting = 0
		}
		next, alone := s.desk.queued(p)
		if !slices.Equal(next, []fleet.Class{arabica, soja}) || !slices.Equal(alone, tc.alone) {
			t.Errorf("%s: next %v, alone %v, want %v", tc.name, next, alone, tc.alone)
		}
	}
}
