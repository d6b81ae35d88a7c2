package controller

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

const id3 = "01JD0000000000000000000003"

// damage makes the last record of an order unreadable and returns where it stood.
func (s *shop) damage(id string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.last(of(id))
	s.bad[seq] = true
	return seq
}

// TestLostRecords: of an order whose last record is lost nobody says within a minute
// that it waits, or was never there; it is put before a person, by its name, whether
// this process has seen the record or starts without it. Whatever stands behind it is
// looked after as before.
func TestLostRecords(t *testing.T) {
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newShop()
			s.machine("zoe")
			log := &strings.Builder{}
			noted := func(p *Parts, _ *Config) { p.Log = slog.New(slog.NewTextHandler(log, nil)) }
			c, stop := s.wire(nil).open(t, noted)
			for _, id := range []string{id1, id2, id3} {
				if a := c.Place(t.Context(), order(id).Encode(), "web"); !a.OK() {
					t.Fatal(a)
				}
			}
			brew(t, s, id2)
			synctest.Wait()
			if restart {
				stop()
			}
			at := s.damage(id1)
			s.damage(id2)
			s.remove(id3) // what stands behind: an order whose message got lost
			if restart {
				c, stop = s.wire(nil).open(t, noted)
			}
			time.Sleep(65 * time.Second)
			for _, id := range []string{id1, id2} {
				if e := s.claim(id); e.Phase != fleet.Unknown || e.Epoch < 101 || e.Code != fleet.CodeLost && e.Code != fleet.CodeOrphan || !s.book[e.Seq-1].Act || e.Seq <= at {
					t.Errorf("restart %v: %s: %+v", restart, id, e.Claim)
				}
				if !strings.Contains(log.String(), "order="+id) || !strings.Contains(log.String(), "level=ERROR") {
					t.Errorf("restart %v: %s is not named: %s", restart, id, log)
				}
			}
			if len(s.messages(id3)) != 1 {
				t.Errorf("restart %v: the order behind is not looked after: %v", restart, s.messages(id3))
			}
			if e := s.claim(id3); e.Phase != fleet.Accepted {
				t.Errorf("restart %v: %+v", restart, e.Claim)
			}
			// Asked again with the same id it gets its answer, and no second drink.
			if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
				t.Errorf("restart %v: asked again: %+v", restart, a)
			}
			if err := c.Settle(t.Context(), id1, false, "boss", "the cup is empty"); err != nil {
				t.Error(err)
			}
			if err := c.MakeAgain(t.Context(), id2, "boss"); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			is(t, s, id1, fleet.Failed)
			is(t, s, id2, fleet.Accepted)
			stop()
		})
	}
}

// TestAskedWhileDamaged: until somebody has looked, an id whose record can't be read
// is neither new nor known.
func TestAskedWhileDamaged(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		c.Place(t.Context(), order(id1).Encode(), "web")
		if err := c.Cancel(t.Context(), id1, "Ada"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.damage(id1)
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); a.Code != fleet.CodeUnavailable {
			t.Errorf("%+v", a)
		}
	})
}
