package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// left puts an unmarked accepted claim there, as a crash leaves it.
func left(s *shop, id string) {
	o := order(id)
	doses, _ := fleet.DefaultMenu().Portion(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(fleet.Claim{Phase: fleet.Accepted, Order: o, Hash: o.Hash(), Portion: doses, Epoch: 1, Answer: fleet.Success(id)})
}

func TestSweepHalfDone(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		left(s, id1)
		time.Sleep(58 * time.Second)
		if s.claim(id1).Marked() {
			t.Error("swept too early: whoever began it may be at it")
		}
		time.Sleep(10 * time.Second)
		if e := s.claim(id1); !e.Marked() || len(s.messages(id1)) != 1 || s.reserved()["arabica"] != 9 {
			t.Errorf("%+v, %v, %v", e.Claim, s.messages(id1), s.reserved())
		}
	})
}

// TestExpire: an order ends after 15 minutes of waiting, counted from its
// acceptance whatever happened since, and over a restart; a drink in a machine's
// hands is left to it.
func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		defer s.bookkeeping()()
		c, stop := s.wire(nil).open(t)
		for _, id := range []string{id1, id2} {
			if a := c.Place(t.Context(), order(id).Encode(), "web"); !a.OK() {
				t.Fatalf("%+v", a)
			}
		}
		time.Sleep(10 * time.Minute)
		// A machine has it in hand for a moment: the claim is young again.
		for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
			func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) },
			func(c fleet.Claim) (fleet.Claim, error) { return c.Release(fleet.Reason{Text: "no water"}, nil) },
		} {
			if err := s.change(id1, arrow); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		_, stop = s.wire(nil).open(t)
		defer stop()
		time.Sleep(4 * time.Minute)
		if err := s.change(id2, func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) }); err != nil {
			t.Fatal(err)
		}
		is(t, s, id1, fleet.Accepted)
		time.Sleep(70 * time.Second)
		is(t, s, id1, fleet.Expired)
		is(t, s, id2, fleet.Claimed)
		if e := s.claim(id1); e.By != "controller" || e.Reason.Text != "waited longer than 15m0s" {
			t.Errorf("%+v", e.Claim)
		}
		time.Sleep(3 * time.Minute) // the machine is gone with it
		is(t, s, id2, fleet.Expired)
		time.Sleep(time.Second)
		if r := s.reserved(); len(r) > 0 {
			t.Errorf("left reserved: %v", r)
		}
		if _, ok := s.event(id1, "expired"); !ok {
			t.Error("the event is missing")
		}
	})
}

// TestExpireUnmarked: what can't be reserved for a quarter of an hour expires.
func TestExpireUnmarked(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		s.max = 0
		left(s, id1)
		time.Sleep(14 * time.Minute)
		is(t, s, id1, fleet.Accepted)
		time.Sleep(2 * time.Minute)
		is(t, s, id1, fleet.Expired)
		if r := s.reserved(); len(r) > 0 || len(s.messages(id1)) > 0 {
			t.Errorf("left reserved: %v", r)
		}
	})
}

// TestMadeAgainWaitsAnew: "make it again" begins a new wait, also for a
// controller that was not there.
func TestMadeAgainWaitsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		defer s.bookkeeping()()
		unknown(t, s, id1)
		time.Sleep(time.Hour)
		c, stop := s.wire(nil).open(t)
		synctest.Wait()
		if err := c.MakeAgain(t.Context(), id1, "boss"); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{id1 + "#e2"}, s.messages(id1)); d != "" {
			t.Error(d)
		}
		time.Sleep(14 * time.Minute)
		is(t, s, id1, fleet.Accepted)
		stop()
		_, stop = s.wire(nil).open(t)
		defer stop()
		time.Sleep(30 * time.Second)
		is(t, s, id1, fleet.Accepted)
		time.Sleep(time.Minute)
		is(t, s, id1, fleet.Expired)
	})
}

// TestLostMessage: a claim without a message is published anew once, and one
// that a machine is just settling is not.
func TestLostMessage(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		c.Place(t.Context(), order(id1).Encode(), "web")
		brewing(t, s, id2)
		s.remove(id1)
		s.remove(id2)
		time.Sleep(45 * time.Second) // between the two looks, id2 is served
		if err := s.change(id2, func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, nil) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if m := s.messages(id1); len(m) != 1 || m[0] == id1 {
			t.Errorf("the lost order is in the queue as %v", m)
		}
		if m := s.messages(id2); len(m) != 0 {
			t.Errorf("the served order is in the queue as %v", m)
		}
	})
}

// TestEventsAreMadeUp: ends whose events a crash swallowed are told by the next
// controller, a machine's only after a while, and a start does not tell all of
// the past again.
func TestEventsAreMadeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		defer s.bookkeeping()()
		brewing(t, s, id1)
		_ = s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, nil) })
		left(s, id2)
		_ = s.change(id2, func(c fleet.Claim) (fleet.Claim, error) {
			return c.Stop(fleet.Cancelled, "Ada", fleet.Reason{Text: "changed her mind"})
		})

		_, stop := s.wire(nil).open(t)
		synctest.Wait()
		if d := cmp.Diff([]string{"accepted", "cancelled"}, s.eventsOf(id2)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"accepted"}, s.eventsOf(id1)); d != "" {
			t.Error("a machine publishes its own ends: ", d)
		}
		time.Sleep(70 * time.Second)
		if d := cmp.Diff([]string{"accepted", "served"}, s.eventsOf(id1)); d != "" {
			t.Error(d)
		}
		stop()
		n := 0
		_, stop = s.wire(func(call string) fault {
			if call == "event" {
				n++
			}
			return none
		}).open(t)
		time.Sleep(3 * time.Minute)
		stop()
		if n != 0 {
			t.Errorf("a quiet start published %d events", n)
		}
	})
}

// TestMarkOfAnotherStore: a mark that lies beyond every claim is of a store that
// is gone; no event is held back by it.
func TestMarkOfAnotherStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		defer s.bookkeeping()()
		s.set(keyTold, []byte("1000"))
		left(s, id1)
		_ = s.change(id1, func(c fleet.Claim) (fleet.Claim, error) {
			return c.Stop(fleet.Cancelled, "Ada", fleet.Reason{Text: "changed her mind"})
		})
		c, stop := s.wire(nil).open(t)
		defer stop()
		time.Sleep(2 * time.Second)
		if a := c.Place(t.Context(), order(id2).Encode(), "web"); !a.OK() {
			t.Error(a)
		}
		synctest.Wait()
		if d := cmp.Diff([]string{"accepted", "cancelled"}, s.eventsOf(id1)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"accepted"}, s.eventsOf(id2)); d != "" {
			t.Error(d)
		}
	})
}

func TestCancel(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		ctx := t.Context()
		c.Place(ctx, order(id1).Encode(), "web")
		if err := c.Cancel(ctx, id1, "Ada\n\x1b[31m"); err != nil {
			t.Fatal(err)
		}
		is(t, s, id1, fleet.Cancelled)
		if by := s.claim(id1).By; by != "Ada [31m" {
			t.Errorf("by %q", by)
		}
		if err := c.Cancel(ctx, id1, "Ada"); err != nil {
			t.Errorf("cancelled twice: %v", err)
		}
		brewing(t, s, id2)
		want := &StateError{fleet.Brewing, "too late: zoe is making it"}
		if d := cmp.Diff(want, c.Cancel(ctx, id2, "Ada")); d != "" {
			t.Error(d)
		}
		for _, bad := range []string{"", "x", "01JD0000000000000000000009", "a.b", ">"} {
			if err := c.Cancel(ctx, bad, "Ada"); err == nil || explain(err).Code != "not_found" {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if err := c.Cancel(ctx, id2, " "); err == nil {
			t.Error("nobody cancelled it")
		}
	})
}

func TestSettle(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		ctx := t.Context()
		unknown(t, s, id1)
		if err := c.Settle(ctx, id1, true, "boss", ""); err == nil {
			t.Error("a reason is needed")
		}
		if err := c.Settle(ctx, id1, true, "boss", "the cup was full"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if ev, ok := s.event(id1, "served"); !ok || ev.By != "boss" || ev.Reason.Text != "the cup was full" {
			t.Errorf("event %+v", ev)
		}
		want := &StateError{fleet.Served, "its outcome is not in doubt: it is served"}
		if d := cmp.Diff(want, c.MakeAgain(ctx, id1, "boss")); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(want, c.Settle(ctx, id1, false, "boss", "no")); d != "" {
			t.Error(d)
		}
	})
}

// TestSweepGoesOn: an error of one order does not keep the sweep from the
// next one.
func TestSweepGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		bad := true
		c, stop := s.wire(func(call string) fault {
			if call == "reserve" && bad {
				bad = false
				return lost
			}
			return none
		}).open(t)
		defer stop()
		left(s, id1)
		left(s, id2)
		time.Sleep(66 * time.Second)
		if s.claim(id1).Marked() || !s.claim(id2).Marked() {
			t.Errorf("%v %v", s.claim(id1).Marked(), s.claim(id2).Marked())
		}
		time.Sleep(10 * time.Second)
		if !s.claim(id1).Marked() {
			t.Error("the first was forgotten")
		}
		_ = c
	})
}

// TestStops: Run ends with its context, whatever the broker does.
func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		c := New(s.wire(func(string) fault { return lost }).parts(), Config{Requests: true, Intake: true})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestLostAnswers: a person's decision that was taken, and whose answer got
// lost, is not told as an error.
func TestLostAnswers(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, c *Controller) error{
		"cancel": func(ctx context.Context, c *Controller) error { return c.Cancel(ctx, id2, "Ada") },
		"settle": func(ctx context.Context, c *Controller) error { return c.Settle(ctx, id1, true, "boss", "seen") },
		"again":  func(ctx context.Context, c *Controller) error { return c.MakeAgain(ctx, id1, "boss") },
	} {
		for _, f := range []fault{lost, applied} {
			t.Run(name+" "+string(f), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newShop()
					s.machine("zoe")
					unknown(t, s, id1)
					left(s, id2)
					n := 0
					c, stop := s.wire(func(call string) fault {
						if call == "update" {
							if n++; n == 1 {
								return f
							}
						}
						return none
					}).open(t)
					defer stop()
					synctest.Wait()
					if err := do(t.Context(), c); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}
