package controller

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// setClock sets the broker's clock by so much.
func (s *shop) setClock(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += by
}

// TestTheClockIsSet: whatever the broker's clock does, an order waits its quarter of
// an hour, a brew has its time, and who was refused is refused for a minute; and it
// is said once.
func TestTheClockIsSet(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, by := range []time.Duration{56 * year, time.Hour, -time.Hour, -20 * year} {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop()
				s.machine("zoe", func(p *fleet.Presence) { p.State = fleet.StateFault })
				log := &strings.Builder{}
				c, _ := s.wire(nil).open(t, func(p *Parts, _ *Config) { p.Log = slog.New(slog.NewTextHandler(log, nil)) })
				time.Sleep(time.Minute)
				if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
					t.Fatalf("%+v", a)
				}
				brewing(t, s, id2)
				id3 := "01JD0000000000000000000003"
				none := order(id3, func(o *fleet.Order) { o.Bean, o.Milk = "arabica", "normal" })
				s.count("milk-normal", 0)
				time.Sleep(4*time.Minute - 20*time.Second)
				no := c.Place(t.Context(), none.Encode(), "web")
				if no.Code != fleet.CodeOutOfStock {
					t.Fatalf("%+v", no)
				}
				time.Sleep(20 * time.Second)
				s.setClock(by)
				s.count("milk-normal", 1000)
				time.Sleep(35 * time.Second)
				if a := c.Place(t.Context(), none.Encode(), "web"); a.Code != no.Code {
					t.Errorf("55 s after the error: %+v", a)
				}
				time.Sleep(10 * time.Second)
				if a := c.Place(t.Context(), none.Encode(), "web"); !a.OK() {
					t.Errorf("65 s after the error: %+v", a)
				}
				time.Sleep(brewLimit - 5*time.Minute)
				is(t, s, id2, fleet.Brewing)
				time.Sleep(30 * time.Second)
				is(t, s, id2, fleet.Unknown)
				is(t, s, id1, fleet.Accepted)
				time.Sleep(14*time.Minute + 30*time.Second - brewLimit)
				is(t, s, id1, fleet.Accepted)
				time.Sleep(40 * time.Second)
				is(t, s, id1, fleet.Expired)
				if n := strings.Count(log.String(), "clock was set"); n != 1 || !strings.Contains(log.String(), "level=WARN") {
					t.Errorf("said %d times: %s", n, log)
				}
			})
		})
	}
}

// TestNothingProven: a controller that starts anew counts the wait before its start
// only where the broker's clock went evenly since; after a step, or another boot of
// the kernel, the wait begins anew.
func TestNothingProven(t *testing.T) {
	for name, c := range map[string]struct {
		step   time.Duration
		reboot bool
		anew   bool
	}{
		"nothing happened":          {0, false, false},
		"the clock was set forward": {time.Hour, false, true},
		"the clock was set back":    {-time.Hour, false, true},
		"slewed, by the second":     {time.Second, false, false},
		"the computer booted":       {0, true, true},
		"it booted in 1970":         {-56 * 365 * 24 * time.Hour, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop()
				s.machine("zoe", func(p *fleet.Presence) { p.State = fleet.StateFault })
				one, stop := s.wire(nil).open(t)
				if a := one.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
					t.Fatalf("%+v", a)
				}
				time.Sleep(10 * time.Minute)
				stop()
				s.setClock(c.step)
				_, stop = s.wire(nil).open(t, func(p *Parts, _ *Config) {
					if c.reboot {
						up := time.Now()
						p.Boot = func() (string, time.Duration) { return "another boot", time.Since(up) }
					}
				})
				defer stop()
				left := 5 * time.Minute
				if c.anew {
					left = 15 * time.Minute
				}
				time.Sleep(left - 10*time.Second)
				is(t, s, id1, fleet.Accepted)
				time.Sleep(20 * time.Second)
				is(t, s, id1, fleet.Expired)
			})
		})
	}
}

// TestHeldByTheDead: an order whose message is with a machine that died comes into
// the queue anew, by the time that passed here: the broker, whose clock was set back,
// would hold it as long. Where nobody is idle, or somebody is at it, it is left alone.
func TestHeldByTheDead(t *testing.T) {
	dead := fleet.Owner{Machine: "ann", Journal: "j9", Boot: "b9"}
	claimed := func(t *testing.T, s *shop, o fleet.Owner) {
		t.Helper()
		left(s, id1)
		s.mu.Lock()
		s.store(s.claims()[id1], id1)
		s.mu.Unlock()
		if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Take(o) }); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		zoe   func(*fleet.Presence)
		order func(t *testing.T, s *shop)
		want  int // messages after two minutes and a half
	}{
		"accepted, and zoe is idle": {nil, nil, 2},
		"zoe is busy":               {func(p *fleet.Presence) { p.State, p.Order = fleet.StateBusy, id2 }, nil, 1},
		"zoe makes another size":    {func(p *fleet.Presence) { p.Sizes = []fleet.Size{fleet.Large} }, nil, 1},
		"zoe has a fault":           {func(p *fleet.Presence) { p.State = fleet.StateFault }, nil, 1},
		"zoe is a spare":            {func(p *fleet.Presence) { p.MinWaiting = 3 }, nil, 1},
		"claimed by a dead one":     {nil, func(t *testing.T, s *shop) { claimed(t, s, dead) }, 2},
		"claimed by one at it": {nil, func(t *testing.T, s *shop) {
			claimed(t, s, dead)
			s.machine("ann", func(p *fleet.Presence) { p.Owner, p.Order, p.State = dead, id1, fleet.StateWaiting })
		}, 1},
		"brewing at a dead one": {nil, func(t *testing.T, s *shop) {
			claimed(t, s, dead)
			if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(dead) }); err != nil {
				t.Fatal(err)
			}
		}, 1},
		"brewing at zoe, who is back and idle": {func(p *fleet.Presence) { p.Owner = zoe }, func(t *testing.T, s *shop) {
			claimed(t, s, zoe)
			if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) }); err != nil {
				t.Fatal(err)
			}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop()
				s.machine("zoe", func(p *fleet.Presence) {
					p.Order = ""
					if c.zoe != nil {
						c.zoe(p)
					}
				})
				s.machine("bob", func(p *fleet.Presence) { p.State = fleet.StateFault })
				one, _ := s.wire(nil).open(t)
				s.setClock(-time.Hour)
				if c.order != nil {
					c.order(t, s)
				} else if a := one.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
					t.Fatalf("%+v", a)
				}
				time.Sleep(59 * time.Second)
				if m := s.messages(id1); len(m) != 1 {
					t.Errorf("before a minute: %v", m)
				}
				time.Sleep(91 * time.Second)
				if m := s.messages(id1); len(m) != c.want {
					t.Errorf("after two minutes and a half: %v, want %d", m, c.want)
				}
				if c.order != nil {
					return
				}
				time.Sleep(11 * time.Minute)
				if m := s.messages(id1); c.want == 2 && len(m) > 4 || c.want == 1 && len(m) != 1 {
					t.Errorf("after 13 minutes: %v", m)
				}
			})
		})
	}
}

// TestMarksAreFew: the marks of computers and boots that were do not pile up.
func TestMarksAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		for i := range 20 {
			_, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) {
				p.Boot = func() (string, time.Duration) { return fmt.Sprint("boot-", i), time.Since(s.created) }
			})
			time.Sleep(time.Minute)
			stop()
		}
		marks, err := readMarks(t.Context(), memSettings{s.wire(nil)})
		if err != nil || len(marks) > mostMarks+1 || marks["boot-19"].At.IsZero() {
			t.Errorf("%v %v", marks, err)
		}
	})
}

// TestAShopOfOneMachine: what its only machine died over is unknown by the sweep's
// word, as soon as nobody can be making it any more; until then cancel, settle and
// again say how long that is, and afterwards a person's word counts.
func TestAShopOfOneMachine(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		time.Sleep(time.Minute)
		brewing(t, s, id1)
		brewing(t, s, id2)
		time.Sleep(30 * time.Second)
		s.gone("zoe")
		time.Sleep(30 * time.Second)
		const wait = "zoe began to make it and can't be reached; if it says nothing, the outcome is unknown in 5m5s, and then settle and again can be used"
		for want, do := range map[string]error{
			"too late: " + wait:                        c.Cancel(t.Context(), id1, "Ada"),
			"its outcome is not in doubt yet: " + wait: errors.Join(c.Settle(t.Context(), id1, true, "boss", "seen"), c.MakeAgain(t.Context(), id1, "boss")),
		} {
			if do == nil || strings.TrimSuffix(do.Error(), "\n"+want) != want {
				t.Errorf("%v, want %s", do, want)
			}
		}
		time.Sleep(5*time.Minute + 6*time.Second)
		is(t, s, id1, fleet.Unknown)
		if e := s.claim(id1); e.By != self || e.Machine() != "zoe" || e.Code != fleet.CodeNotHeard {
			t.Errorf("%+v", e.Claim)
		}
		if err := c.Settle(t.Context(), id1, false, "boss", "the cup was empty"); err != nil {
			t.Error(err)
		}
		if err := c.MakeAgain(t.Context(), id2, "boss"); err != nil {
			t.Error(err)
		}
		is(t, s, id1, fleet.Failed)
		is(t, s, id2, fleet.Accepted)
	})
}

// TestCustomersWord: a customer's own word settles a drink in doubt where the shop takes
// it, and changes nothing where not, from near and from far.
func TestCustomersWord(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		far := Remote(s)
		time.Sleep(time.Minute)
		brewing(t, s, id1)
		s.gone("zoe")
		time.Sleep(7 * time.Minute)
		is(t, s, id1, fleet.Unknown)
		for _, err := range []error{c.Said(t.Context(), id1, true), far.Said(t.Context(), id1, true)} {
			if err == nil || !strings.Contains(err.Error(), fleet.ErrNotAllowed.Error()) {
				t.Errorf("%v, want %v", err, fleet.ErrNotAllowed)
			}
		}
		is(t, s, id1, fleet.Unknown)
		c.cfg.CustomersSettle = true
		if err := far.Said(t.Context(), id1, true); err != nil {
			t.Error(err)
		}
		is(t, s, id1, fleet.Served)
		if e := s.claim(id1); e.By != "customer" || e.Code != fleet.CodeSaid {
			t.Errorf("%+v", e.Claim)
		}
	})
}
