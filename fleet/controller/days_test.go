package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// TestKeepDays: claims go after the counted days without a change, by two
// controllers no sooner than by one, over restarts; what is open, parked or
// still in the queue stays.
func TestKeepDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		long := func(_ *Parts, cfg *Config) { cfg.ExpireAfter, cfg.KeepDays = 1000*time.Hour, 3 }
		c, stop1 := s.wire(nil).open(t, long)
		_, stop2 := s.wire(nil).open(t, long)
		ids := make([]string, 5)
		for i := range ids {
			ids[i] = fmt.Sprintf("01JD00000000000000000003%02d", i)
			if a := c.Place(t.Context(), order(ids[i]).Encode(), "web"); !a.OK() {
				t.Fatal(a)
			}
		}
		cancel := func(id string) {
			t.Helper()
			if err := c.Cancel(t.Context(), id, "Ada"); err != nil {
				t.Fatal(err)
			}
		}
		cancel(ids[0])
		cancel(ids[1])
		s.remove(ids[0]) // ids[1] stays in the queue, ids[2] open
		s.mu.Lock()
		s.nailed = ids[1]
		s.mu.Unlock()
		for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
			func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) },
			func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) },
			func(c fleet.Claim) (fleet.Claim, error) { return c.Park("eve", fleet.Reason{Text: "nobody knows"}) },
		} {
			if err := s.change(ids[3], arrow); err != nil {
				t.Fatal(err)
			}
		}
		s.remove(ids[3])
		time.Sleep(24 * time.Hour)
		stop1()
		time.Sleep(12 * time.Hour) // only the other one counts
		c, stop1 = s.wire(nil).open(t, long)
		defer stop1()
		defer stop2()
		cancel(ids[4]) // a day and a half later
		s.remove(ids[4])
		time.Sleep(58 * time.Hour)
		if p := s.whatWent(); len(p) > 0 {
			t.Errorf("too early: %v", p)
		}
		time.Sleep(6 * time.Hour)
		if d := cmp.Diff([]string{ids[0]}, s.whatWent()); d != "" {
			t.Error(d)
		}
		time.Sleep(24 * time.Hour)
		if d := cmp.Diff([]string{ids[0], ids[4]}, s.whatWent()); d != "" {
			t.Error(d)
		}
	})
}

// TestNewStore: revisions that begin anew do not make new claims look old.
func TestNewStore(t *testing.T) {
	r := dayRecord{Hours: 40*24 - 1}
	for d := range 31 {
		r.Marks = append(r.Marks, dayMark{9 + d, uint64(1000 + d)})
	}
	r.Hours++
	if upTo, due := r.turn(12, 30); due {
		t.Errorf("would purge up to %d", upTo)
	}
	if len(r.Marks) != 1 || r.Marks[0] != (dayMark{40, 12}) {
		t.Errorf("%+v", r.Marks)
	}
}

// TestMenuChange: a new class can be ordered at once, one that left is refused
// and its queue goes when it is empty; a menu that is wrong changes nothing.
func TestMenuChange(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		s.machine("zoe", func(p *fleet.Presence) {
			p.Classes = append(p.Classes, fleet.Class{Bean: "kenya", Milk: "free"})
		})
		s.levels["kenya"] = 100
		time.Sleep(20 * time.Second)
		kenya := func(o *fleet.Order) { o.Bean = "kenya" }
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
			t.Fatal(a)
		}
		m := fleet.DefaultMenu()
		m.Beans = []string{"kenya"}
		b, _ := json.Marshal(m)
		s.set(fleet.KeyMenu, b)
		synctest.Wait()
		if a := c.Place(t.Context(), order(id2, kenya).Encode(), "web"); !a.OK() {
			t.Error(a)
		}
		if a := c.Place(t.Context(), order("01JD0000000000000000000003").Encode(), "web"); a.Code != fleet.CodeNotOnMenu {
			t.Error(a)
		}
		if !s.lists(plain1) {
			t.Error("a class left the queue while an order of it waits")
		}
		if err := c.Cancel(t.Context(), id1, "Ada"); err != nil {
			t.Fatal(err)
		}
		s.remove(id1)
		time.Sleep(2 * time.Minute)
		if s.lists(plain1) {
			t.Error("an empty class stays in the queue")
		}
		s.set(fleet.KeyMenu, []byte(`{"beans":["*"]}`))
		synctest.Wait()
		if d := cmp.Diff(m, c.Menu()); d != "" {
			t.Error(d)
		}
		s.set(fleet.KeyMenu, nil)
		synctest.Wait()
		if d := cmp.Diff(fleet.DefaultMenu(), c.Menu()); d != "" {
			t.Error(d)
		}
	})
}

// TestPending: the number of waiting messages is said on change and every five
// seconds.
func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) {
			p.IntakeWaiting = func(context.Context) (int, error) { return 3, nil }
		})
		time.Sleep(12 * time.Second)
		c.Place(t.Context(), order(id1).Encode(), "web")
		time.Sleep(time.Second)
		stop()
		got := ""
		for _, n := range s.pending {
			got += strconv.Itoa(n)
		}
		if got != "3334" {
			t.Errorf("%s", got)
		}
	})
}
