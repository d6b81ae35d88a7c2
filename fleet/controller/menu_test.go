package controller

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// TestMenuChange: a new class can be ordered at once, one that left is refused
// and its queue goes when it is empty; a menu that is wrong changes nothing.
func TestMenuChange(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		s.machine("zoe", func(p *fleet.Presence) {
			p.Classes = append(p.Classes, fleet.Class{Bean: "kenya", Milk: "free"})
		})
		s.count("kenya", 100)
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

// TestUnlisted: an order that was accepted a moment before its class left the menu
// gets into the queue all the same, and then the class goes.
func TestUnlisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		m := fleet.DefaultMenu()
		m.Beans = []string{"mixed"}
		menu, _ := json.Marshal(m)
		first := true
		w := s.wire(nil)
		w.fault = func(call string) fault {
			if call == "publish" && first {
				first = false
				s.mu.Lock()
				s.listed = m.Classes() // between the record and the message
				s.mu.Unlock()
				s.set(fleet.KeyMenu, menu)
			}
			return none
		}
		c, stop := w.open(t)
		defer stop()
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
			t.Fatal(a)
		}
		time.Sleep(2 * time.Second)
		if sent := s.messages(id1); len(sent) != 1 || !s.lists(plain1) || len(c.Menu().Beans) != 1 {
			t.Errorf("in the queue as %v, %v", sent, c.Menu().Beans)
		}
		time.Sleep(20 * time.Minute)
		is(t, s, id1, fleet.Expired)
		if s.lists(plain1) {
			t.Error("an empty class stays in the queue")
		}
	})
}
