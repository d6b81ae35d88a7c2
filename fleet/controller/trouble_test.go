package controller

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// TestClosed: while no order is taken, nobody is told how long one would take.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		full := false
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) {
			p.Troubles = func() []fleet.Trouble {
				return []fleet.Trouble{{Reason: fleet.Reason{Code: fleet.CodeStoreFull}, Closed: full}}
			}
		})
		time.Sleep(time.Second)
		if w := c.Wait(t.Context(), plain1, fleet.Small); !w.Known {
			t.Errorf("%+v", w)
		}
		stop()
		full = true
		if w := c.Wait(t.Context(), plain1, fleet.Small); w.Known || w.Code != fleet.CodeShut {
			t.Errorf("%+v", w)
		}
	})
}

// TestPassedOver: an order that waits beside a machine that is ready and makes it is
// named, near and far, and said once in the log; one that waits for a good reason is
// not.
func TestPassedOver(t *testing.T) {
	for what, tc := range map[string]struct {
		machine func(*fleet.Presence)
		often   func(s *shop) // every 30 s
		named   bool
	}{
		"a ready machine":      {named: true},
		"one that pours":       {machine: func(p *fleet.Presence) { p.State, p.Order = fleet.StateBusy, id2 }},
		"one that is empty":    {machine: func(p *fleet.Presence) { p.State = fleet.StateBlocked }},
		"one of other coffees": {machine: func(p *fleet.Presence) { p.Classes = []fleet.Class{{Bean: "robusta", Milk: "free"}} }},
		"one of small cups":    {machine: func(p *fleet.Presence) { p.Sizes = []fleet.Size{fleet.Large} }},
		"a spare":              {machine: func(p *fleet.Presence) { p.MinWaiting = 4 }},
		"one out of service": {often: func(s *shop) {
			s.set("cordon.zoe", []byte(`{"by":"ada","reason":"r"}`))
		}},
		"one that makes others": {often: func(s *shop) {
			s.mu.Lock()
			n := s.machines["zoe"].Drinks + 1
			s.mu.Unlock()
			s.machine("zoe", func(p *fleet.Presence) { p.Drinks, p.Order = n, "" })
		}},
		"an order that comes and goes": {often: func(s *shop) {
			_ = s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { c.Attempts = 0; return c.Take(zoe) })
			_ = s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Release(fleet.Reason{}, nil) })
		}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop()
				log := &strings.Builder{}
				elsewhere := fleet.Trouble{Reason: fleet.Reason{Code: fleet.CodeStreams, Quote: "q"}}
				idle := func(p *fleet.Presence) { p.Order = "" }
				s.machine("zoe", idle)
				c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) {
					p.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))
					p.Troubles = func() []fleet.Trouble { return []fleet.Trouble{elsewhere} }
				})
				if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
					t.Fatal(a)
				}
				if tc.machine != nil {
					s.machine("zoe", idle, tc.machine)
				}
				want := []fleet.Trouble{elsewhere}
				for n := range 10 {
					if tc.often != nil {
						tc.often(s)
					}
					time.Sleep(30 * time.Second)
					synctest.Wait()
					if tc.named && n == 3 { // two minutes
						want = append(want, fleet.Trouble{About: id1, Reason: because(fleet.CodePassedOver, id1+", zoe")})
					}
					if n == 2 {
						continue // it may be named or not
					}
					near, err1 := c.Troubles(t.Context())
					far, err2 := Remote(s).Troubles(t.Context())
					if d := cmp.Diff(want, near) + cmp.Diff(want, far); d != "" || err1 != nil || err2 != nil {
						t.Fatalf("after %d s: %s %v %v", 30*(n+1), d, err1, err2)
					}
				}
				if tc.named { // and once it is taken, not any more
					if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) }); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Second)
					if got, _ := c.Troubles(t.Context()); len(got) != 1 {
						t.Errorf("%+v", got)
					}
				}
				stop()
				if n := strings.Count(log.String(), "code="+fleet.CodePassedOver); n != len(want)-1 {
					t.Errorf("said %d times: %s", n, log)
				}
				if n := strings.Count(log.String(), "code="+fleet.CodeStreams); n != 1 {
					t.Errorf("said %d times: %s", n, log)
				}
			})
		})
	}
}
