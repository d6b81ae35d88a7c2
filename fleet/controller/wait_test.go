package controller

import (
	"fmt"
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
		{"nobody is here", nil, plain1, "0s–0s false "},
		{"idle", func(s *shop, c *Controller) { s.machine("zoe") }, plain1, "45s–1m15s true "},
		{"as the machine says", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.Seconds = 40 })
		}, plain1, "30s–50s true "},
		{"as measured", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.Seconds = 40 })
			synctest.Wait()
			c.paces.measured("zoe", fleet.Small, 20)
			c.paces.measured("zoe", fleet.Large, 200)
		}, plain1, "15s–25s true "},
		{"four before it, two machines", func(s *shop, c *Controller) {
			s.machine("zoe")
			s.machine("eve")
			enqueue(s, 4, plain1)
		}, plain1, "1m30s–3m45s true "},
		{"others before it, on the same machine", func(s *shop, c *Controller) {
			s.machine("zoe")
			enqueue(s, 4, mixed)
		}, plain1, "45s–6m15s true "},
		{"others before it, on another machine", func(s *shop, c *Controller) {
			s.machine("zoe", only(plain1))
			s.machine("eve", only(mixed))
			enqueue(s, 4, mixed)
		}, plain1, "45s–1m15s true "},
		{"cordoned", func(s *shop, c *Controller) {
			s.machine("zoe")
			s.set(fleet.CordonKey("zoe"), []byte(`{"by":"boss","reason":"descaling"}`))
		}, plain1, "0s–0s false zoe is out of service: descaling"},
		{"fault and spare", func(s *shop, c *Controller) {
			s.machine("zoe", func(p *fleet.Presence) { p.State, p.Note = fleet.StateFault, "the pump is jammed" })
			s.machine("eve", func(p *fleet.Presence) { p.State, p.Lacks = fleet.StateBlocked, []string{"water"} })
			s.machine("sam", func(p *fleet.Presence) { p.MinWaiting = 3 })
			enqueue(s, 1, plain1)
		}, plain1, "0s–0s false eve: needs water; zoe: the pump is jammed; sam is a spare and helps from 3 waiting orders on"},
		{"a spare helps", func(s *shop, c *Controller) {
			s.machine("sam", func(p *fleet.Presence) { p.MinWaiting = 3 })
			enqueue(s, 2, plain1)
		}, plain1, "1m30s–3m45s true "},
		{"sold out", func(s *shop, c *Controller) {
			s.machine("zoe")
			s.mu.Lock()
			s.levels["arabica"] = 3
			s.mu.Unlock()
		}, plain1, "0s–0s false sold out: Insufficient coffee for type arabica"},
		{"not on the menu", nil, fleet.Class{Bean: "tea", Milk: "free"}, "0s–0s false not on the menu"},
		{"longer than the expiry", func(s *shop, c *Controller) {
			s.machine("zoe")
			enqueue(s, 100, plain1)
		}, plain1, "15m0s–15m0s true "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop()
				c := New(s.wire(nil).parts(), Config{})
				done := make(chan struct{})
				ctx, cancel := contextOf(t)
				go func() { defer close(done); _ = c.Run(ctx) }()
				synctest.Wait()
				if tc.setup != nil {
					tc.setup(s, c)
				}
				synctest.Wait()
				w := c.Wait(t.Context(), tc.class, fleet.Small)
				if got := fmt.Sprintf("%v–%v %v %s", w.Low, w.High, w.Known, w.Why); got != tc.want {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
				cancel()
				<-done
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
		s.put(fleet.Claim{Phase: fleet.Accepted, Order: o, Epoch: 1, Published: id})
	}
}

// TestMeasured: what a machine publishes of its drinks is what the next customer
// hears.
func TestMeasured(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		ctx := t.Context()
		c.Place(ctx, order(id1).Encode(), "web")
		synctest.Wait()
		w := s.wire(nil)
		if err := (memEvents{w}).Publish(ctx, fleet.Event{Order: id1, Kind: fleet.EvEnd, Epoch: 1, Machine: "zoe", Outcome: fleet.Made, Seconds: 20}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Cancelled, "x", fleet.Reason{Text: "x"}) })
		synctest.Wait()
		if w := c.Wait(ctx, plain1, fleet.Small); !w.Known || w.Low != 15*time.Second || w.High != 25*time.Second {
			t.Errorf("%+v", w)
		}
	})
}
