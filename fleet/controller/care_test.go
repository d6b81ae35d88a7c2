package controller

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// rinses says that a machine's rinse is due, and needs nobody.
func rinses(p *fleet.Presence) {
	p.Care = []fleet.Care{{Kind: fleet.CareRinse, Drinks: 20, Due: true, Itself: true}, {Kind: fleet.CareClean, Due: true}}
}

// cares are the open care orders.
func (s *shop) cares() (open []fleet.Entry) {
	for _, e := range s.claimsOf() {
		if e.Order.IsCare() && e.Phase.Open() {
			open = append(open, e)
		}
	}
	return open
}

// TestCare: who wants a machine's care gets one order for it, however many want it, and
// not the last machine of a bean but by a person who knows.
func TestCare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe", func(p *fleet.Presence) { rinses(p); p.Care[0].Due = false })
		s.machine("ann", func(p *fleet.Presence) { p.Classes = p.Classes[:3] })
		one, stop := s.wire(nil).open(t)
		defer stop()
		two, stop2 := s.wire(nil).open(t)
		defer stop2()
		synctest.Wait()
		var state *StateError
		for what, do := range map[string]func() (string, error){
			"the last one":   func() (string, error) { return one.Care(t.Context(), "zoe", fleet.CareClean, "eve", false) },
			"no such care":   func() (string, error) { return one.Care(t.Context(), "zoe", fleet.CareDescale, "eve", true) },
			"it knows none":  func() (string, error) { return one.Care(t.Context(), "ann", fleet.CareRinse, "eve", true) },
			"no such person": func() (string, error) { return one.Care(t.Context(), "zoe", fleet.CareClean, " ", true) },
			"no machine":     func() (string, error) { return one.Care(t.Context(), "nobody", fleet.CareClean, "eve", true) },
		} {
			_, err := do()
			if err == nil || len(s.cares()) > 0 {
				t.Errorf("%s: %v, %d orders", what, err, len(s.cares()))
			}
			if no := errors.Is(err, fleet.ErrNotFound); no != (what == "no machine") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if !errors.Is(&StateError{}, fleet.ErrNotAllowed) {
			t.Error("a room that knows no controller can't tell")
		}

		var wg sync.WaitGroup
		ids := make([]string, 6)
		for i := range ids {
			wg.Go(func() {
				var err error
				if ids[i], err = []*Controller{one, two}[i%2].Care(t.Context(), "zoe", fleet.CareClean, "eve", true); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		open := s.cares()
		if len(open) != 1 {
			t.Fatalf("%d orders", len(open))
		}
		for _, id := range ids {
			if id != open[0].Order.ID {
				t.Errorf("%s, and it is %s", id, open[0].Order.ID)
			}
		}
		e := open[0]
		if e.Order.CareOf() != "zoe" || e.Via != fleet.ViaCareLast || e.Order.Name != "eve" || len(e.Portion) > 0 || !s.lists(fleet.CareClass("zoe")) || len(s.messages(e.Order.ID)) != 1 {
			t.Errorf("%+v, in the queue as %v", e.Claim, s.messages(e.Order.ID))
		}
		if _, err := two.Care(t.Context(), "zoe", fleet.CareRinse, "eve", true); !errors.As(err, &state) {
			t.Errorf("two kinds of care at once: %v", err)
		}
		if f := one.Forecasts(t.Context()); f[e.Order.ID].Place == 1 {
			left(s, id1)
			synctest.Wait()
			time.Sleep(time.Second)
			if f := one.Forecasts(t.Context()); f[id1].Place != 1 {
				t.Errorf("a customer's place counts a care that comes before: %+v", f)
			}
		}
		time.Sleep(careExpires + time.Minute)
		if e := s.claim(e.Order.ID); e.Phase != fleet.Expired {
			t.Errorf("after %v it is %s", careExpires, e.Phase)
		}
	})
}

// TestCareByItself: what is due and needs nobody is begun by the shop, once, while others
// make the same; what needs a person is not.
func TestCareByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe", rinses)
		c, stop := s.wire(nil).open(t)
		defer stop()
		time.Sleep(time.Minute)
		if n := len(s.cares()); n > 0 {
			t.Fatal("the last machine of a bean was taken for its care")
		}
		s.machine("ann")
		time.Sleep(5 * time.Minute)
		open := s.cares()
		if len(open) != 1 || open[0].Order.Size != fleet.CareRinse || open[0].Via != fleet.ViaCare {
			t.Fatalf("%d orders: %+v", len(open), open)
		}
		if err := c.Cancel(t.Context(), open[0].Order.ID, "eve"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if n := len(s.cares()); n > 0 {
			t.Error("what a person has cancelled was begun anew at once")
		}
	})
}
