package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

var plain1 = fleet.Class{Bean: "arabica", Milk: "free"}

func TestWait(t *testing.T) {
	only := func(c ...fleet.Class) func(*fleet.Presence) {
		return func(p *fleet.Presence) { p.Classes = c }
	}
	mixed := fleet.Class{Bean: "mixed", Milk: "free"}
	for _, tc := range []struct {
		name  string
		setup func(s *shop, c *Controller)
		class fleet.Class
		want  string
	}{
		{"nobody is here", nil, plain1, "0s–0s false away"},
		{"idle", func(s *shop, c *Controller) { s.machine("zoe") }, plain1, "44s–1m17s true "},
		{"as the machine says", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.Seconds = 40 })
		}, plain1, "29s–52s true "},
		{"as measured", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.Seconds = 40 })
			synctest.Wait()
			c.paces.measured("zoe", fleet.Small, 20)
			c.paces.measured("zoe", fleet.Large, 200)
		}, plain1, "14s–27s true "},
		{"four before it, two machines", func(s *shop, c *Controller) {
			s.machine("zoe")
			s.machine("eve")
			enqueue(s, 4, plain1)
		}, plain1, "2m14s–3m47s true "},
		{"others before it, on the same machine", func(s *shop, c *Controller) {
			s.machine("zoe")
			enqueue(s, 4, mixed)
		}, plain1, "3m44s–6m17s true "},
		{"others before it, on another machine", func(s *shop, c *Controller) {
			s.machine("zoe", only(plain1))
			s.machine("eve", only(mixed))
			enqueue(s, 4, mixed)
		}, plain1, "44s–1m17s true "},
		{"cordoned", func(s *shop, c *Controller) {
			s.machine("zoe")
			s.set(fleet.CordonKey("zoe"), []byte(`{"by":"boss","reason":"descaling"}`))
		}, plain1, "0s–0s false cordoned"},
		{"the others can't, so a spare does", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.State, p.Code = fleet.StateFault, "no-flow" })
			s.machine("eve", func(p *fleet.Presence) { p.State, p.Code = fleet.StateBlocked, "tank" })
			s.machine("sam", func(p *fleet.Presence) { p.MinWaiting = 3 })
		}, plain1, "45s–1m20s true "},
		{"two that are kept, the one that is soonest back is told of", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.State, p.Code = fleet.StateFault, "no-flow" })
			s.machine("eve", func(p *fleet.Presence) { p.State, p.Code = fleet.StateBlocked, "tank" })
			s.machine("max")
			s.set(fleet.CordonKey("max"), []byte(`{"by":"boss","reason":"descaling"}`))
		}, plain1, "0s–0s false tank"},
		{"starting", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.State = fleet.StateStarting })
			s.machine("eve", func(p *fleet.Presence) { p.State, p.Code = fleet.StateBlocked, "tank" })
		}, plain1, "0s–0s false starting"},
		{"of an earlier version", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.State, p.Note = fleet.StateFault, "the pump is jammed" })
		}, plain1, "0s–0s false needs_hand"},
		{"a spare helps", func(s *shop, c *Controller) {
			s.machine("sam", func(p *fleet.Presence) { p.MinWaiting = 3 })
			enqueue(s, 2, plain1)
		}, plain1, "2m18s–3m55s true "},
		{"sold out", func(s *shop, c *Controller) {
			s.machine("zoe")
			s.count("arabica", 3)
		}, plain1, "0s–0s false out_of_stock arabica"},
		{"not on the menu", nil, fleet.Class{Bean: "tea", Milk: "free"}, "0s–0s false not_on_menu"},
		{"longer than the expiry", func(s *shop, c *Controller) {
			s.machine("zoe")
			enqueue(s, 100, plain1)
		}, plain1, "15m0s–15m0s true "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop()
				c, stop := s.wire(nil).open(t)
				defer stop()
				synctest.Wait()
				if tc.setup != nil {
					tc.setup(s, c)
				}
				synctest.Wait()
				w := c.Wait(t.Context(), tc.class, fleet.Small)
				if got := strings.TrimSuffix(fmt.Sprintf("%v–%v %v %s %s", w.Low, w.High, w.Known, w.Code, w.Item), " "); got != tc.want {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
			})
		})
	}
}

// enqueue puts orders of a class into the claims.
func enqueue(s *shop, n int, class fleet.Class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		id := fmt.Sprintf("01JD00000000000000000002%02d", i)
		o := order(id, func(o *fleet.Order) { o.Bean, o.Milk = class.Bean, class.Milk })
		s.put(fleet.Claim{Phase: fleet.Accepted, Order: o, Epoch: 1}, true)
		s.store(fleet.Entry{Claim: fleet.Claim{Order: o}}, id)
	}
}

// TestMeasured: how long a drink took, as the book says, is what the next
// customer hears.
func TestMeasured(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		ctx := t.Context()
		c.Place(ctx, order(id1).Encode(), "web")
		brew(t, s, id1)
		if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, 20, nil) }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w := c.Wait(ctx, plain1, fleet.Small); !w.Known || w.Low != 14*time.Second || w.High != 27*time.Second {
			t.Errorf("%+v", w)
		}
		if ev, _ := s.event(id1, "served"); ev.Seconds != 20 || ev.Machine != "zoe" || ev.ETAError == nil || *ev.ETAError >= 0 { // at once, where 44 s and more were told
			t.Errorf("%+v", ev)
		}
	})
}

// TestTooSweet: the form hears how much sugar can be had with a coffee.
func TestTooSweet(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		at := func(most ...int) {
			t.Helper()
			time.Sleep(20 * time.Second) // the grace is over
			var got []int
			for _, size := range fleet.Sizes {
				got = append(got, c.Wait(t.Context(), plain1, size).TooSweet)
			}
			if !slices.Equal(most, got) {
				t.Errorf("from %v sugars on it is too sweet, want %v", got, most)
			}
		}
		at(0, 0, 0)
		s.machine("zoe", func(p *fleet.Presence) { p.Never = []fleet.Never{{Sugar: 1}} })
		at(1, 1, 1)
		s.machine("leo", func(p *fleet.Presence) { p.Never = []fleet.Never{{Sugar: 3}, {Size: fleet.Large}} })
		at(3, 3, 1)
		s.machine("mia", func(p *fleet.Presence) { p.Never = []fleet.Never{{Milk: "free", Sugar: 1}} })
		at(3, 3, 1)
	})
}

// TestCounted: the open orders are counted once per record of the book, however
// often and about whatever is asked, and then as they are.
func TestCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		var book *counting
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) {
			book = &counting{Ledger: p.Ledger}
			p.Ledger = book
		})
		defer stop()
		enqueue(s, 50, plain1)
		synctest.Wait()
		before := book.asked.Load()
		for range 100 {
			for _, class := range fleet.DefaultMenu().Classes() {
				c.Wait(t.Context(), class, fleet.Small)
			}
		}
		if n := book.asked.Load() - before; n > 1 {
			t.Errorf("the open orders were gone through %d times", n)
		}
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); a.Position != 51 {
			t.Errorf("%+v", a)
		}
		if a := c.Place(t.Context(), order(id2).Encode(), "web"); a.Position != 52 {
			t.Errorf("%+v", a)
		}
	})
}

// counting is a ledger that counts how often the open orders are asked for.
type counting struct {
	fleet.Ledger
	asked atomic.Int64
}

func (c *counting) Open() []fleet.Entry {
	c.asked.Add(1)
	return c.Ledger.Open()
}

func (c *counting) Run(ctx context.Context) error { return c.Ledger.(runs).Run(ctx) }
