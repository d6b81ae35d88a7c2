package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// left puts an accepted order there without its message, as a crash leaves it.
func left(s *shop, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.create(order(id), false)
}

// TestSweepHalfDone: what a crash left without a message is in the queue within
// 2 s of a start, and a minute after another controller's crash.
func TestSweepHalfDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		left(s, id1)
		_, stop := s.wire(nil).open(t)
		defer stop()
		time.Sleep(2 * time.Second)
		if m := s.messages(id1); len(m) != 1 || m[0] == id1 {
			t.Errorf("2 s after the start it is in the queue as %v", m)
		}
		left(s, id2)
		time.Sleep(29 * time.Second)
		if len(s.messages(id2)) != 0 {
			t.Error("swept too early: whoever began it may be at it")
		}
		time.Sleep(35 * time.Second)
		if m := s.messages(id2); len(m) != 1 || m[0] == id2 {
			t.Errorf("after a minute it is in the queue as %v", m)
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

// TestExpireUnsent: what does not get into the queue for a quarter of an hour
// expires, and is not sent any more.
func TestExpireUnsent(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		s.seal(true)
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
			t.Fatal(a)
		}
		time.Sleep(14 * time.Minute)
		is(t, s, id1, fleet.Accepted)
		time.Sleep(2 * time.Minute)
		is(t, s, id1, fleet.Expired)
		s.seal(false)
		time.Sleep(2 * time.Second)
		if r := s.reserved(); len(r) > 0 || len(s.messages(id1)) > 0 {
			t.Errorf("left reserved: %v, in the queue: %v", r, s.messages(id1))
		}
	})
}

// TestMadeAgainWaitsAnew: "make it again" begins a new wait, also for a
// controller that was not there.
func TestMadeAgainWaitsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		unknown(t, s, id1)
		time.Sleep(time.Hour)
		c, stop := s.wire(nil).open(t)
		synctest.Wait()
		if err := c.MakeAgain(t.Context(), id1, "boss"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
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

// TestMadeAgainHere: so it does for a controller that has known the former wait.
func TestMadeAgainHere(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
			t.Fatal(a)
		}
		for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
			func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) },
			func(c fleet.Claim) (fleet.Claim, error) { return c.Release(fleet.Reason{Text: "no water"}, nil) },
		} {
			if err := s.change(id1, arrow); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(12 * time.Minute)
		brew(t, s, id1)
		if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Park("eve", fleet.Reason{Text: "nobody knows"}) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := c.MakeAgain(t.Context(), id1, "boss"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Minute)
		is(t, s, id1, fleet.Accepted)
		time.Sleep(2 * time.Minute)
		is(t, s, id1, fleet.Expired)
	})
}

// TestLostMessage: a claim without a message is published anew once, and one
// that a machine is just settling is not.
func TestLostMessage(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		time.Sleep(2 * time.Second)
		c.Place(t.Context(), order(id1).Encode(), "web")
		brewing(t, s, id2)
		synctest.Wait()
		s.remove(id1)
		s.remove(id2)
		time.Sleep(29 * time.Second)
		if m := s.messages(id1); len(m) != 0 {
			t.Errorf("already there: %v", m)
		}
		time.Sleep(16 * time.Second) // between the two looks, id2 is served
		if err := s.change(id2, func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, 20, nil) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if m := s.messages(id1); len(m) != 1 || m[0] == id1 {
			t.Errorf("the lost order is in the queue as %v", m)
		}
		// Nor is it, when this controller has not heard yet that it is served.
		for _, r := range s.book {
			if of(id2)(r) && r.Phase == fleet.Brewing {
				if err := (&sweeper{Controller: c}).publishAnew(t.Context(), r.Entry); err != nil {
					t.Error(err)
				}
			}
		}
		if m := s.messages(id2); len(m) != 0 {
			t.Errorf("the served order is in the queue as %v", m)
		}
	})
}

// TestEventsAreMadeUp: what the book says and no controller told, because it died
// or was not there, the next one tells, and a start does not tell all of the past
// again.
func TestEventsAreMadeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		brewing(t, s, id1)
		_ = s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, 20, nil) })
		spoiled(t, s, id2)
		_ = s.change(id2, func(c fleet.Claim) (fleet.Claim, error) { return c.Remake() })
		brew(t, s, id2)
		_ = s.change(id2, func(c fleet.Claim) (fleet.Claim, error) {
			return c.End(zoe, fleet.Spoiled, fleet.Reason{Text: "jam"}, 20, nil)
		})
		n := 0
		w := s.wire(func(call string) fault {
			if call != "event" {
				return none
			}
			if n++; n == 9 { // between the two events of the last record
				return crash
			}
			return none
		})
		_, stop := w.open(t)
		synctest.Wait()
		if d := cmp.Diff([]string{"accepted", "brewing-1", "end-1", "brewing-2", "end-2"}, s.eventsOf(id2)); d != "" || !w.isDead() {
			t.Error(d)
		}
		stop()
		time.Sleep(time.Hour)
		_, stop = s.wire(nil).open(t)
		synctest.Wait()
		stop()
		if d := cmp.Diff([]string{"accepted", "brewing-1", "served"}, s.eventsOf(id1)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"accepted", "brewing-1", "end-1", "brewing-2", "end-2", "failed"}, s.eventsOf(id2)); d != "" {
			t.Error(d)
		}
		if ev, _ := s.event(id2, "failed"); time.Since(ev.At) < time.Hour {
			t.Errorf("it failed at %v", ev.At)
		}
		n = 0
		_, stop = s.wire(func(call string) fault {
			if call == "event" {
				n++
			}
			return none
		}).open(t)
		time.Sleep(3 * time.Minute)
		stop()
		if n > 2 {
			t.Errorf("a quiet start published %d events", n)
		}
	})
}

// TestEventsInOrder: an event that can't be told holds back those after it, so
// that what was told is known from the last one.
func TestEventsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		n := 0
		c, _ := s.wire(func(call string) fault {
			if call == "event" {
				if n++; n < 3 {
					return lost
				}
			}
			return none
		}).open(t)
		for _, id := range []string{id1, id2} {
			if a := c.Place(t.Context(), order(id).Encode(), "web"); !a.OK() {
				t.Error(a)
			}
		}
		synctest.Wait()
		s.mu.Lock()
		if len(s.events) != 0 {
			t.Errorf("%+v", s.events)
		}
		s.mu.Unlock()
		time.Sleep(3 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.events) != 2 || s.events[0].Order != id1 || s.events[0].seq >= s.events[1].seq {
			t.Errorf("%+v", s.events)
		}
	})
}

// TestEventsOfAnotherBook: events that tell of records beyond the book are of a
// book that is gone; no event is held back by them.
func TestEventsOfAnotherBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		s.events = []told{{fleet.Event{Order: "01JD0000000000000000000009", Kind: fleet.EvAccepted}, 1000}}
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

// TestRemake: a spoiled drink has its next portion at once and goes into the queue
// anew, also where nobody was there when it was spoiled; without beans it fails.
func TestRemake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		spoiled(t, s, id1)
		c1, stop := s.wire(nil).open(t)
		defer stop()
		_, stop2 := s.wire(nil).open(t) // the other one's sweep sees it as well
		defer stop2()
		synctest.Wait()
		one := func(id string) {
			t.Helper()
			e := s.claim(id)
			if e.Phase != fleet.Accepted || e.Epoch != 2 || !s.book[e.Seq-1].Act {
				t.Errorf("%+v", e.Claim)
			}
			if d := cmp.Diff([]string{id + "#e2"}, s.messages(id)); d != "" {
				t.Error(d)
			}
			brew(t, s, id)
			synctest.Wait()
			s.remove(id)
		}
		one(id1)
		// What was read before comes too late, though it was right when it was read.
		for _, r := range s.book {
			if of(id1)(r) && r.Phase == fleet.Again {
				before := len(s.book)
				if m, err := c1.remake(t.Context(), r.Entry); !errors.Is(err, fleet.ErrConflict) || len(s.book) != before {
					t.Errorf("made again from a record of before: %+v %v", m.Claim, err)
				}
			}
		}
		spoiled(t, s, id2)
		synctest.Wait()
		one(id2)

		if n := s.reserved()["arabica"]; n != 18 {
			t.Errorf("%d g are reserved", n)
		}
		id3 := "01JD0000000000000000000003"
		brewing(t, s, id3)
		s.count("arabica", 18+5)
		if err := s.change(id3, func(c fleet.Claim) (fleet.Claim, error) {
			return c.End(zoe, fleet.Spoiled, fleet.Reason{Text: "jam"}, 20, nil)
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		is(t, s, id3, fleet.Failed)
		if e := s.claim(id3); e.Code != fleet.CodeOutOfStock || e.Quote != "Insufficient coffee for type arabica" || s.reserved()["arabica"] != 18 {
			t.Errorf("%+v", e.Claim)
		}
	})
}

// TestCancelWhileAgain: what waits to be made again ends by an act only, so of a
// cancel and a remake one wins; what has waited too long when a controller comes
// is not made again first.
func TestCancelWhileAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		var mu sync.Mutex
		acts := 0 // so many are let through
		w := s.wire(nil)
		w.fault = func(call string) fault {
			mu.Lock()
			defer mu.Unlock()
			if call != "act" {
				return none
			}
			if acts--; acts < 0 {
				return lost
			}
			return none
		}
		c, stop := w.open(t)
		defer stop()
		spoiled(t, s, id1)
		spoiled(t, s, id2)
		time.Sleep(time.Second)
		if err := c.Cancel(t.Context(), id1, "Ada"); err == nil {
			t.Error("cancelled without a record")
		}
		is(t, s, id1, fleet.Again)
		time.Sleep(3 * time.Second)
		mu.Lock()
		acts = 1
		mu.Unlock()
		if err := c.Cancel(t.Context(), id1, "Ada"); err != nil {
			t.Error(err)
		}
		if e := s.claim(id1); e.Phase != fleet.Cancelled || !s.book[e.Seq-1].Act {
			t.Errorf("%+v", e.Claim)
		}
		time.Sleep(16 * time.Minute)
		if m := append(s.messages(id1), s.messages(id2)...); len(m) > 0 {
			t.Errorf("in the queue without a portion: %v", m)
		}
		is(t, s, id2, fleet.Again)
		stop()
		_, stop2 := s.wire(nil).open(t)
		defer stop2()
		synctest.Wait()
		if e := s.claim(id2); e.Phase != fleet.Expired || e.Epoch != 1 || !s.book[e.Seq-1].Act {
			t.Errorf("%+v", e.Claim)
		}
	})
}

// TestBrewingTooLong: a machine that is silent beyond the longest brew leaves a
// doubt, never an end; a clock that jumps does not make it longer.
func TestBrewingTooLong(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		brewing(t, s, id1)
		time.Sleep(time.Minute)
		s.mu.Lock()
		s.skew = time.Hour
		s.mu.Unlock()
		time.Sleep(brewLimit - 2*time.Minute)
		is(t, s, id1, fleet.Brewing)
		time.Sleep(time.Minute + 6*time.Second)
		is(t, s, id1, fleet.Unknown)
		if e := s.claim(id1); e.Code != fleet.CodeNotHeard || e.By != "controller" || e.Machine() != "zoe" || s.book[e.Seq-1].Act {
			t.Errorf("%+v", e.Claim)
		}
		// A new fence begins anew.
		brewing(t, s, id2)
		time.Sleep(brewLimit - time.Minute)
		brew(t, s, id2)
		time.Sleep(2 * time.Minute)
		is(t, s, id2, fleet.Brewing)
		// The message of what is parked goes.
		if m := s.messages(id1); len(m) > 0 {
			t.Errorf("left in the queue: %v", m)
		}
	})
}

// TestOrphan: a message without any record shows that the book has lost an order.
// A person decides what came of it; nobody makes it.
func TestOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		log := &strings.Builder{}
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) { p.Log = slog.New(slog.NewTextHandler(log, nil)) })
		o := order(id1)
		portion, _ := fleet.DefaultMenu().Portion(o)
		s.mu.Lock()
		s.store(fleet.Entry{Claim: fleet.Create(o, portion, fleet.Success(id1), "web")}, id1)
		s.store(fleet.Entry{Claim: fleet.Claim{Order: order(id2)}}, id2)
		s.queue[1].Body = []byte(`{"half":`)
		s.mu.Unlock()
		time.Sleep(59 * time.Second)
		is(t, s, id1, "")
		time.Sleep(35 * time.Second)
		if e := s.claim(id1); e.Phase != fleet.Unknown || e.Epoch != 101 || e.Code != fleet.CodeOrphan || !cmp.Equal(e.Portion, portion) || !s.book[e.Seq-1].Act {
			t.Errorf("%+v", e.Claim)
		}
		is(t, s, id2, "")
		time.Sleep(time.Minute)
		if len(s.messages(id1)) != 0 || len(s.messages(id2)) != 1 {
			t.Errorf("%v %v", s.messages(id1), s.messages(id2))
		}
		if err := c.MakeAgain(t.Context(), id1, "boss"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if d := cmp.Diff([]string{id1 + "#e102"}, s.messages(id1)); d != "" {
			t.Error(d)
		}
		stop()
		for _, want := range []string{"level=ERROR", "the book has lost an order that was accepted", "remove it by hand"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %q: %s", want, log)
			}
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
			if call == "next" && bad {
				bad = false
				return lost
			}
			return none
		}).open(t)
		defer stop()
		c.Place(t.Context(), order(id1).Encode(), "web")
		c.Place(t.Context(), order(id2).Encode(), "web")
		time.Sleep(15*time.Minute + 7*time.Second)
		is(t, s, id1, fleet.Accepted)
		is(t, s, id2, fleet.Expired)
		time.Sleep(10 * time.Second)
		is(t, s, id1, fleet.Expired)
	})
}

// TestStops: Run ends with its context, whatever the broker does.
func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		_, stop := s.wire(func(string) fault { return lost }).open(t)
		time.Sleep(time.Minute)
		stop()
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
						if call == "next" {
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

// TestFullOfTheDead: messages of cancelled orders, which no machine is there to
// drop, fill the queue and hold up nobody for long.
func TestFullOfTheDead(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		time.Sleep(time.Minute) // past the looks that follow a start
		s.room = 20
		for i := range s.room {
			id := fmt.Sprintf("%s%04d", filling, i)
			if a := c.Place(t.Context(), order(id).Encode(), "web"); !a.OK() {
				t.Fatal(a)
			}
			if err := c.Cancel(t.Context(), id, "Ada"); err != nil {
				t.Fatal(err)
			}
		}
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
			t.Fatal(a)
		}
		time.Sleep(3 * firstLooks)
		if d := cmp.Diff([]string{id1}, s.messages(id1)); d != "" {
			t.Errorf("the order waits for a place: %s", d)
		}
	})
}

// TestLastPost: a controller that stops still sends what it has accepted, once.
func TestLastPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		n := 0
		c, stop := s.wire(func(call string) fault {
			if call == "publish" {
				if n++; n == 1 {
					return lost
				}
			}
			return none
		}).open(t)
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
			t.Error(a)
		}
		synctest.Wait()
		stop()
		if d := cmp.Diff([]string{id1}, s.messages(id1)); d != "" {
			t.Error(d)
		}
	})
}
