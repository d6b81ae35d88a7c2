package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

const (
	id1 = "01JD0000000000000000000001"
	id2 = "01JD0000000000000000000002"
)

func order(id string, change ...func(*fleet.Order)) fleet.Order {
	o := fleet.Order{ID: id, Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
	for _, f := range change {
		f(&o)
	}
	return o
}

// inShop runs f with one machine and one controller under fake time.
func inShop(t *testing.T, f func(t *testing.T, s *shop, c *Controller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		c, stop := s.wire(nil).open(t)
		defer stop()
		f(t, s, c)
	})
}

// shutOnce is a ledger that finds the shop closed when it is to write the next act; by
// the time that anybody asks, it is open again.
type shutOnce struct {
	fleet.Ledger
	shut *atomic.Bool
}

func (l shutOnce) Run(ctx context.Context) error { return l.Ledger.(runs).Run(ctx) }

func (l shutOnce) Act(ctx context.Context, decide func(fleet.View) (*fleet.Record, error)) (fleet.Revision, error) {
	if l.shut.CompareAndSwap(true, false) {
		return fleet.Revision{}, fleet.ErrClosed
	}
	return l.Ledger.Act(ctx, decide)
}

// unheard is a ledger whose acts are taken, and nobody hears of it.
type unheard struct {
	fleet.Ledger
	on *atomic.Bool
}

func (l unheard) Run(ctx context.Context) error { return l.Ledger.(runs).Run(ctx) }

func (l unheard) Act(ctx context.Context, decide func(fleet.View) (*fleet.Record, error)) (fleet.Revision, error) {
	rev, err := l.Ledger.Act(ctx, decide)
	if l.on.Load() {
		<-ctx.Done()
		return fleet.Revision{}, fleet.ErrNoAnswer
	}
	return rev, err
}

// TestInDoubtAndTaken: an order whose create was taken while nobody heard of it, as in an
// election, is in the queue as soon as its customer asks again, not after the sweep's
// minute.
func TestInDoubtAndTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		on := &atomic.Bool{}
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) { p.Ledger = unheard{p.Ledger, on} })
		defer stop()
		synctest.Wait()
		queued := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.queue)
		}
		on.Store(true)
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); a.Code != fleet.CodeUnavailable {
			t.Fatalf("%+v", a)
		}
		on.Store(false)
		if n := queued(); n != 0 {
			t.Fatalf("%d in the queue: the test is blind", n)
		}
		for range 2 {
			if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
				t.Errorf("%+v", a)
			}
		}
		time.Sleep(time.Second)
		if n := queued(); n != 1 {
			t.Errorf("%d in the queue a second after it was asked for again", n)
		}
	})
}

// TestClosedForAMoment: an order that meets a shop which is open again when it asks why
// not is taken, or told why not; never answered without a word.
func TestClosedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		shut := &atomic.Bool{}
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) { p.Ledger = shutOnce{p.Ledger, shut} })
		defer stop()
		synctest.Wait()
		shut.Store(true)
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() || a.Message == "" {
			t.Errorf("%+v", a)
		}
		if shut.Load() {
			t.Error("nobody found it closed: the test is blind")
		}
	})
}

func TestAccepted(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		ctx := t.Context()
		a := c.Place(ctx, order(id1).Encode(), "web")
		want := fleet.Answer{Status: "success", Message: "The coffee has been successfully scheduled", OrderID: id1, Position: 1, ETA: []int{44, 77}}
		if d := cmp.Diff(want, a); d != "" {
			t.Fatal(d)
		}
		e := s.claim(id1)
		if e.Phase != fleet.Accepted || e.Via != "web" || e.Epoch != 1 || e.Portion["arabica"] != 9 || !e.Answer.OK() {
			t.Errorf("claim: %+v", e.Claim)
		}
		synctest.Wait() // the message goes beside the answer
		if d := cmp.Diff([]string{id1}, s.messages(id1)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(fleet.Items{"arabica": 9}, s.reserved()); d != "" {
			t.Error(d)
		}
		ev, _ := s.event(id1, "accepted")
		if ev.Name != "Ada" || ev.What == nil || ev.What.Size != fleet.Small || ev.Portion["arabica"] != 9 || len(ev.ETA) != 2 {
			t.Errorf("event: %+v", ev)
		}

		// The same again, hours later, with others in the queue: the same answer.
		if b := c.Place(ctx, order(id2).Encode(), "web"); b.Position != 2 {
			t.Errorf("the second has place %d", b.Position)
		}
		if d := cmp.Diff(a, c.Place(ctx, order(id1).Encode(), "request")); d != "" {
			t.Error(d)
		}
		other := c.Place(ctx, order(id1, func(o *fleet.Order) { o.Sugar = 1 }).Encode(), "web")
		if other.Code != fleet.CodeConflict || other.OK() {
			t.Errorf("another order with the same id: %+v", other)
		}
		synctest.Wait()
		if len(s.messages(id1)) != 1 || s.records() != 2 {
			t.Error("asked again, and queued again")
		}

		// And when it has long ended.
		brew(t, s, id1)
		if err := s.change(id1, func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, 20, nil) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if d := cmp.Diff(a, c.Place(ctx, order(id1).Encode(), "web")); d != "" {
			t.Error(d)
		}
		if other := c.Place(ctx, order(id1, func(o *fleet.Order) { o.Sugar = 1 }).Encode(), "web"); other.Code != fleet.CodeConflict {
			t.Errorf("another order with the id of a served one: %+v", other)
		}
	})
}

// TestSuccessWaitsForNothing: the answer comes with the book's record. A queue
// that gives no answer holds up the message, which is sent again and again, and
// not the customer.
func TestSuccessWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		var mu sync.Mutex // guards calls: the message is sent beside
		var calls []string
		sofar := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(calls)
		}
		w := s.wire(nil)
		w.fault = func(call string) fault {
			mu.Lock()
			calls = append(calls, call)
			mu.Unlock()
			if call == "publish" && len(s.claimsOf()) < 2 {
				return lost
			}
			return none
		}
		c, stop := w.open(t)
		defer stop()
		synctest.Wait()
		before := len(sofar())
		begin := time.Now()
		a := c.Place(t.Context(), order("").Encode(), "request")
		if took := time.Since(begin); !a.OK() || took > 0 {
			t.Errorf("after %v: %+v", took, a)
		}
		if calls := sofar()[before:]; calls[0] != "act" {
			t.Errorf("before the answer: %v", calls)
		}
		time.Sleep(3 * time.Second)
		if n, calls := len(s.messages(a.OrderID)), sofar()[before:]; n != 0 || !slices.Contains(calls[4:], "publish") {
			t.Errorf("%d messages, %v", n, calls)
		}
		begin = time.Now()
		if b := c.Place(t.Context(), order(id2).Encode(), "web"); !b.OK() || time.Since(begin) > 0 {
			t.Errorf("after %v: %+v", time.Since(begin), b)
		}
		time.Sleep(time.Second)
		if len(s.messages(a.OrderID)) != 1 || len(s.messages(id2)) != 1 {
			t.Errorf("%v %v", s.messages(a.OrderID), s.messages(id2))
		}
	})
}

// TestNotBeforeTheShelfIsFilled: at the very first start nobody is refused for want
// of beans that are about to be booked.
func TestNotBeforeTheShelfIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		filled := make(chan struct{})
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) { p.Stocked = filled })
		defer stop()
		synctest.Wait()
		if a := c.Place(t.Context(), order(id1).Encode(), "request"); a.Code != fleet.CodeUnavailable {
			t.Errorf("before: %+v", a)
		}
		close(filled)
		if a := c.Place(t.Context(), order(id1).Encode(), "request"); !a.OK() {
			t.Errorf("after: %+v", a)
		}
	})
}

// TestRefused is the table of answers to orders that can't be had.
func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name      string
		order     fleet.Order
		shop      func(*shop)
		code, msg string
	}{
		{"no beans", order(id1), func(s *shop) { s.count("arabica", 8) }, "out_of_stock", "Insufficient coffee for type arabica"},
		{"no milk", order(id1, func(o *fleet.Order) { o.Milk = "soja" }), func(s *shop) { s.count("milk-soja", 0) }, "out_of_stock", "Insufficient milk of type soja"},
		{"no sugar", order(id1, func(o *fleet.Order) { o.Sugar = 2 }), func(s *shop) { s.count("sugar", 1) }, "out_of_stock", "Insufficient sugar"},
		{"bean", order(id1, func(o *fleet.Order) { o.Bean = "kopi-luwak" }), nil, "not_on_menu", "There is no coffee of type kopi-luwak on the menu."},
		{"milk", order(id1, func(o *fleet.Order) { o.Milk = "oat" }), nil, "not_on_menu", "There is no milk of type oat on the menu."},
		{"nobody makes it", order(id1, func(o *fleet.Order) { o.Size = fleet.Large }), func(s *shop) {
			s.machine("zoe", func(p *fleet.Presence) { p.Sizes = []fleet.Size{fleet.Small} })
		}, "not_on_menu", "No machine here makes arabica/free in large."},
		{"nobody gives sugar", order(id1, func(o *fleet.Order) { o.Sugar = 1 }), func(s *shop) {
			s.machine("zoe", func(p *fleet.Presence) { p.Never = []fleet.Never{{Sugar: 1}} })
		}, "not_on_menu", "No machine here makes arabica/free in small with sugar: 1."},
		{"book full", order(id1), func(s *shop) { s.fills(1) }, "queue_full", "The shop's book is full and takes no new orders. Please try again later with a new order."},
		{"queue full", order(id1), func(s *shop) { s.fill(fleet.QueueMax) }, "queue_full", "The shop is full: 200 orders are waiting. Please try again later with a new order."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inShop(t, func(t *testing.T, s *shop, c *Controller) {
				if tc.shop != nil {
					tc.shop(s)
				}
				time.Sleep(20 * time.Second) // the grace is over
				a := c.Place(t.Context(), tc.order.Encode(), "web")
				want := fleet.Answer{Status: "error", Message: tc.msg, Code: tc.code, OrderID: id1}
				if d := cmp.Diff(want, a); d != "" {
					t.Fatal(d)
				}
				if e := s.claim(id1); e.Phase != "" {
					t.Errorf("it is in the book: %+v", e.Claim)
				}
				time.Sleep(time.Second)
				if r := s.reserved()["arabica"]; r != 0 {
					t.Errorf("left reserved: %v", r)
				}
				if d := cmp.Diff([]string{"refused"}, s.eventsOf(id1)); d != "" {
					t.Error(d)
				}
				if ev, _ := s.event(id1, "refused"); ev.Name != "Ada" || ev.What == nil || *ev.What != tc.order || ev.Code != tc.code || ev.Quote != tc.msg {
					t.Errorf("event %+v", ev)
				}
				if len(s.messages(id1)) != 0 {
					t.Error("refused, and in the queue")
				}
				// Now it could be had; the answer stays, for a minute and at every
				// controller. Later the same id is decided afresh.
				s.empty()
				s.fills(0)
				for _, item := range []string{"arabica", "milk-soja", "sugar"} {
					s.count(item, 1000)
				}
				s.machine("zoe")
				other, stop := s.wire(nil).open(t)
				defer stop()
				for _, c := range []*Controller{c, other} {
					if d := cmp.Diff(want, c.Place(t.Context(), tc.order.Encode(), "web")); d != "" {
						t.Error(d)
					}
				}
				time.Sleep(fleet.RefusedFor - 2*time.Second)
				if d := cmp.Diff(want, c.Place(t.Context(), tc.order.Encode(), "web")); d != "" {
					t.Error(d)
				}
				time.Sleep(2 * time.Second)
				_, listed := fleet.DefaultMenu().Portion(tc.order)
				if a := c.Place(t.Context(), tc.order.Encode(), "web"); a.OK() != listed {
					t.Errorf("a minute later: %+v", a)
				}
			})
		})
	}
}

// TestRefusalIsAnAct: of two with one id of which one is refused, the other can't
// be accepted, whatever ran out and came back between them.
func TestRefusalIsAnAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		s.count("arabica", 5)
		slow := s.wire(nil)
		near, stop1 := s.wire(nil).open(t)
		defer stop1()
		far, stop2 := slow.open(t)
		defer stop2()
		synctest.Wait()
		acts := 0
		slow.fault = func(call string) fault {
			// The far one decides while the beans are back, and again after each act of
			// others; nothing of it arrives until the near one has told an error.
			if call == "act" {
				if acts++; acts <= 3 {
					return lost
				}
			}
			return none
		}
		s.count("arabica", 100)
		synctest.Wait()
		var a fleet.Answer
		var wg sync.WaitGroup
		wg.Go(func() { a = far.Place(t.Context(), order(id1).Encode(), "web") })
		synctest.Wait()
		s.count("arabica", 5)
		synctest.Wait()
		b := near.Place(t.Context(), order(id1).Encode(), "web")
		synctest.Wait()
		s.count("arabica", 100)
		wg.Wait()
		if d := cmp.Diff(a, b); d != "" || a.Code != fleet.CodeOutOfStock {
			t.Errorf("%+v\n%s", a, d)
		}
		time.Sleep(time.Minute)
		if e := s.claim(id1); e.Phase != "" {
			t.Errorf("accepted after an error was told: %+v", e.Claim)
		}
	})
}

// TestManyRefusals: more than can be listed are told that nobody knows; each of
// the others has its event, sent once.
func TestManyRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		s.count("arabica", 5)
		sent := 0
		c, stop := s.wire(func(call string) fault {
			if call == "event" {
				sent++
			}
			return none
		}).open(t)
		defer stop()
		codes := map[string]int{}
		for i := range 300 {
			codes[c.Place(t.Context(), order(fmt.Sprintf("01JD0000000000000000001%03d", i)).Encode(), "web").Code]++
		}
		synctest.Wait()
		n := codes[fleet.CodeOutOfStock]
		if n < 100 || n+codes[fleet.CodeUnavailable] != 300 {
			t.Error(codes)
		}
		if sent != n || len(s.events) != n {
			t.Errorf("%d refusals, %d events, sent %d times", n, len(s.events), sent)
		}
		s.count("arabica", 50)
		if a := c.Place(t.Context(), order("").Encode(), "web"); !a.OK() {
			t.Errorf("%+v", a)
		}
	})
}

func TestInvalid(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		for _, body := range []string{``, `null`, `{`, `{"name":"A","size":"small","bean_type":"a.b","milk":"free"}`, strings.Repeat("[", 1500), strings.Repeat(" ", 5<<10) + `{}`} {
			if a := c.Place(t.Context(), []byte(body), "request"); a.Code != fleet.CodeInvalid || a.OK() {
				t.Errorf("%.40q: %+v", body, a)
			}
		}
		if a := c.Place(t.Context(), fleet.Order{Name: "A", Size: "huge", Bean: "arabica", Milk: "free"}.Encode(), "web"); a.Field != "size" {
			t.Errorf("%+v", a)
		}
		if s.records() != 0 || len(s.queue) != 0 {
			t.Error("bad input left something behind")
		}
		// A name is counted and stored in normal form C.
		a := c.Place(t.Context(), []byte(`{"name":"Zoé","size":"big","bean_type":"Arabica","milk":"none"}`), "request")
		if e := s.claim(a.OrderID); !a.OK() || e.Order.Name != "Zoé" || e.Order.Size != fleet.Large {
			t.Errorf("%+v: %+v", a, e.Order)
		}
	})
}

// TestAbsentMachine: a machine that was here within seven days lists it, so the
// order is taken with a wide estimate; without one it is refused.
func TestAbsentMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		c, stop := s.wire(nil).open(t, func(p *Parts, _ *Config) { p.Roll = absent{memRoll{s}, fleet.Small} })
		defer stop()
		a := c.Place(t.Context(), order(id1).Encode(), "web")
		if d := cmp.Diff([]int{60, 900}, a.ETA); d != "" || !a.OK() {
			t.Errorf("%+v %s", a, d)
		}
		time.Sleep(20 * time.Second)
		if a := c.Place(t.Context(), order(id2, func(o *fleet.Order) { o.Size = fleet.Large }).Encode(), "web"); a.Code != fleet.CodeNotOnMenu {
			t.Errorf("%+v", a)
		}
	})
}

// absent is a roll on which everybody was here lately and nobody is now, with
// one size.
type absent struct {
	memRoll
	size fleet.Size
}

func (a absent) Machines() []*fleet.Machine {
	return []*fleet.Machine{{Presence: fleet.Presence{Machine: "zoe", Classes: fleet.DefaultMenu().Classes(), Sizes: []fleet.Size{a.size}}, Seen: time.Now()}}
}

// TestGrace: just after a start an order waits for a machine to come in, within
// the customer's two seconds, and leaves nothing behind if none does.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		c, stop := s.wire(nil).open(t)
		defer stop()
		begin := time.Now()
		a := c.Place(t.Context(), order(id1).Encode(), "web")
		if took := time.Since(begin); a.Code != fleet.CodeUnavailable || took > 2*time.Second {
			t.Errorf("after %v: %+v", took, a)
		}
		if s.records() != 0 {
			t.Error("an order that nobody can judge yet left a record")
		}
		time.AfterFunc(500*time.Millisecond, func() { s.machine("zoe") })
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); !a.OK() {
			t.Errorf("%+v", a)
		}
		s.gone("zoe")
		time.Sleep(20 * time.Second)
		if a := c.Place(t.Context(), order(id2).Encode(), "web"); a.Code != fleet.CodeNotOnMenu {
			t.Errorf("%+v", a)
		}
	})
}

// TestBeforeRun: a controller that has not begun says so in time.
func TestBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(newShop().wire(nil).parts(), Config{})
		begin := time.Now()
		if a := c.Place(t.Context(), order(id1).Encode(), "web"); a.Code != fleet.CodeUnavailable || time.Since(begin) > 2*time.Second {
			t.Errorf("%+v after %v", a, time.Since(begin))
		}
		if err := c.Cancel(t.Context(), id1, "Ada"); explain(err) == nil || explain(err).Code != fleet.CodeUnavailable {
			t.Errorf("%v", err)
		}
		if w := c.Wait(t.Context(), plain1, fleet.Small); w.Known || w.Code != fleet.CodeOpening {
			t.Errorf("%+v", w)
		}
	})
}

// TestDoubleClick: the same order from many at once, at two controllers, is one
// order with one answer.
func TestDoubleClick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		c1, stop1 := s.wire(nil).open(t)
		c2, stop2 := s.wire(nil).open(t)
		defer stop1()
		defer stop2()
		synctest.Wait()
		got := make([]fleet.Answer, 20)
		var wg sync.WaitGroup
		for i := range got {
			c := []*Controller{c1, c2}[i%2]
			wg.Go(func() { got[i] = c.Place(t.Context(), order(id1).Encode(), "web") })
		}
		wg.Wait()
		synctest.Wait()
		for _, a := range got {
			if d := cmp.Diff(got[0], a); d != "" || !a.OK() {
				t.Errorf("%+v\n%s", a, d)
			}
		}
		if m := s.messages(id1); len(m) != 1 || s.reserved()["arabica"] != 9 || s.records() != 1 {
			t.Errorf("messages %v, reserved %v, %d records", m, s.reserved(), s.records())
		}
	})
}

// TestLastBeans: 20 customers at once for the last 150 g.
func TestLastBeans(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		s.count("arabica", 150)
		yes, no := 0, 0
		var (
			mu sync.Mutex
			wg sync.WaitGroup
		)
		for i := range 20 {
			wg.Go(func() {
				a := c.Place(t.Context(), order(fmt.Sprintf("01JD00000000000000000000%02d", i)).Encode(), "web")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case a.OK():
					yes++
				case a.Message == "Insufficient coffee for type arabica":
					no++
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		if yes != 16 || no != 4 || s.reserved()["arabica"] != 144 {
			t.Errorf("%d accepted, %d refused, %d g reserved", yes, no, s.reserved()["arabica"])
		}
	})
}

// TestServed: any client may ask on the subject.
func TestServed(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		synctest.Wait()
		b, err := s.Request(t.Context(), fleet.SubjectRequests, []byte(`{"size":"big","bean_type":"mixed","milk":"free","name":"Quentin","sugar_count":"1"}`))
		if err != nil || !strings.Contains(string(b), `"status":"success","message":"The coffee has been successfully scheduled","order_id":"`) {
			t.Fatalf("%s %v", b, err)
		}
		b, _ = s.Request(t.Context(), fleet.SubjectRequests, []byte(`{"size":"big"}`))
		if string(b) != `{"status":"error","message":"name: is missing","code":"invalid_order","field":"name"}` {
			t.Errorf("%s", b)
		}
	})
}
