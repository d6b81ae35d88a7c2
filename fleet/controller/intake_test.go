package controller

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// TestDrops is the table of what foreign programs drop in.
func TestDrops(t *testing.T) {
	good := `{"size":"medium","bean_type":"Arabica","name":"Quentin","milk":"free","sugar_count":"2"}`
	for _, tc := range []struct {
		name, bean, body, how string
		poison                bool
	}{
		{"an order", "arabica", good, "done", false},
		{"any letter case", "ARABICA", good, "done", false},
		{"another bean", "robusta", good, "dropped: bean_type: the message says arabica, its subject another bean", true},
		{"a look-alike bean", "arabi\u212aa", strings.Replace(good, "Arabica", "arabika", 1), "dropped: bean_type: the message says arabika, its subject another bean", true},
		{"not on the menu", "tea", strings.Replace(good, "Arabica", "tea", 1), "dropped: not_on_menu: There is no coffee of type tea on the menu.", false},
		{"null", "arabica", `null`, "dropped: not an order: must be a JSON object", true},
		{"nothing", "arabica", ``, "dropped: not an order: no JSON object", true},
		{"5 KiB", "arabica", strings.Repeat("x", 5<<10), "dropped: not an order: 5120 bytes, at most 4096 are read", true},
		{"sugar", "arabica", strings.Replace(good, `"2"`, `4`, 1), "dropped: sugar_count: must be a whole number from 0 to 3", true},
		{"CR LF", "arabica", strings.Replace(good, "Arabica", `arabica\r\nPUB x`, 1), "dropped: bean_type: must be the name of a bean: 1 to 32 of a-z, 0-9 and -", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inShop(t, func(t *testing.T, s *shop, c *Controller) {
				x := s.drop(tc.bean, tc.body)
				time.Sleep(time.Second)
				if how := s.how(x); how != tc.how {
					t.Errorf("%q, wanted %q", how, tc.how)
				}
				ev, ok := s.event("poison-coffee-intake-1", "refused")
				if ok != tc.poison || len(ev.Payload) > 4<<10 || ok && (ev.Subject != "coffee.orders."+tc.bean || !strings.HasPrefix(tc.body, string(ev.Payload))) {
					t.Errorf("event %v %+v", ok, ev)
				}
				want := 0
				if tc.how == "done" {
					want = 1
				}
				if len(s.queue) != want {
					t.Errorf("%d messages", len(s.queue))
				}
			})
		})
	}
}

// TestDropAgain: a full queue or a doubt gives the drop back, and it becomes one
// order later.
func TestDropAgain(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		s.fill(fleet.QueueMax)
		before := s.records()
		x := s.drop("arabica", `{"size":"small","bean_type":"arabica","name":"Q","milk":"free","id":"`+id1+`"}`)
		time.Sleep(12 * time.Second)
		if s.how(x) != "" || x.given < 2 || s.records() != before {
			t.Errorf("%q after %d times, %d records", s.how(x), x.given, s.records()-before)
		}
		s.empty()
		before = s.records()
		time.Sleep(6 * time.Second)
		if s.how(x) != "done" || len(s.queue) != 1 || s.records() != before+1 {
			t.Fatalf("%q, %d messages, %d records", s.how(x), len(s.queue), s.records()-before)
		}
		if s.queue[0].Order == id1 {
			t.Error("a drop chose its own id")
		}
		if e := s.claim(s.queue[0].Order); e.Via != "intake" || e.Order.ID != dropID(&x.d) {
			t.Errorf("%+v", e.Claim)
		}
	})
}

// TestDropExpired: a drop that never found room goes, and is kept as an event.
func TestDropExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		_, stop := s.wire(nil).open(t, func(_ *Parts, cfg *Config) { cfg.ExpireAfter = 15 * time.Minute })
		defer stop()
		body := `{"size":"small","bean_type":"arabica","name":"Q","milk":"free"}`
		s.fill(fleet.QueueMax)
		x := s.drop("arabica", body)
		for range 17 { // it stays full
			time.Sleep(time.Minute)
			s.turnOver(fleet.QueueMax)
		}
		if ev, ok := s.event("poison-coffee-intake-1", "refused"); !ok || string(ev.Payload) != body || s.how(x) != "dropped: queue_full: it waited longer than 15m0s" {
			t.Errorf("%q %+v", s.how(x), ev)
		}
		if e := s.claim(dropID(&x.d)); e.Phase != "" {
			t.Errorf("%+v", e.Claim)
		}
	})
}

// TestDropCrash: the controller dies between passing on and settling; the next
// one finds the same id.
func TestDropCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		w := s.wire(func(call string) fault {
			if call == "done" {
				return crash
			}
			return none
		})
		_, stop := w.open(t)
		x := s.drop("arabica", `{"size":"small","bean_type":"arabica","name":"Q","milk":"free"}`)
		time.Sleep(5 * time.Second)
		if !w.isDead() || s.how(x) != "" {
			t.Fatal("it did not die")
		}
		stop()
		_, stop = s.wire(nil).open(t)
		defer stop()
		time.Sleep(time.Minute)
		if s.how(x) != "done" || x.given != 2 || s.records() != 1 || len(s.queue) != 1 {
			t.Errorf("%q, given %d times, %d records, %d messages", s.how(x), x.given, s.records(), len(s.queue))
		}
	})
}

func TestDropID(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := fleet.Drop{Seq: 7, Stored: at, Created: at.Add(-time.Hour)}
	one := dropID(&d)
	if _, err := fleet.ParseID(one); err != nil || one != dropID(&d) {
		t.Errorf("%s: %v", one, err)
	}
	seen := map[string]bool{one: true}
	for _, f := range []func(*fleet.Drop){
		func(d *fleet.Drop) { d.Seq++ },
		func(d *fleet.Drop) { d.Created = d.Created.Add(1) },
		func(d *fleet.Drop) { d.Stored = d.Stored.Add(time.Millisecond) },
		func(d *fleet.Drop) { d.Stored = time.Time{} },
		func(d *fleet.Drop) { d.Stored = time.Unix(1<<40, 0) },
	} {
		e := d
		f(&e)
		id := dropID(&e)
		if _, err := fleet.ParseID(id); err != nil || seen[id] {
			t.Errorf("%s: %v", id, err)
		}
		seen[id] = true
	}
}
