package controller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// heard is what customers were told, per order.
type heard struct {
	mu  sync.Mutex
	ans map[string][]answer
}

type answer struct {
	fleet.Answer
	at   time.Time
	late bool
}

// place asks, and notes the answer unless the controller died over it.
func (h *heard) place(ctx context.Context, w *wire, c *Controller, o fleet.Order) fleet.Answer {
	begin := time.Now()
	a := c.Place(ctx, o.Encode(), "web")
	if w.isDead() {
		return a
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ans == nil {
		h.ans = map[string][]answer{}
	}
	h.ans[o.ID] = append(h.ans[o.ID], answer{a, time.Now(), time.Since(begin) > 2*time.Second})
	return a
}

// promises checks what must hold once everything has come to rest.
func promises(t *testing.T, s *shop, h *heard) {
	t.Helper()
	s.mu.Lock()
	book, claims := slices.Clone(s.book), s.claims()
	s.mu.Unlock()
	demanded := map[string]map[string]bool{} // the event slots of each order
	created := map[string]fleet.Record{}
	refused := map[string][]fleet.Refusal{}
	demand := func(e fleet.Event) {
		if demanded[e.Order] == nil {
			demanded[e.Order] = map[string]bool{}
		}
		demanded[e.Order][e.Slot()] = true
	}
	onHand, orders := fleet.Items{}, map[string]fleet.Claim{}
	left := func(item string, whole bool) int {
		n := onHand[item]
		for _, c := range orders {
			reserved, used, wasted := c.Portions()
			if n -= (used + wasted) * c.Portion[item]; whole {
				n -= reserved * c.Portion[item]
			}
		}
		return n
	}
	for _, r := range book {
		switch {
		case r.Stock != nil:
			for item, n := range r.Stock.Items {
				if r.Stock.Act == fleet.Count {
					n -= left(item, false)
				}
				onHand[item] += n
			}
		case r.Refusals != nil:
			for _, one := range r.Refusals.List { // a record may have been rolled away before it was read
				if slices.ContainsFunc(refused[one.Order], func(r fleet.Refusal) bool { return r.At.Equal(one.At) }) {
					continue
				}
				refused[one.Order] = append(refused[one.Order], one)
				demand(fleet.Event{Order: one.Order, Kind: fleet.EvRefused})
				if c := orders[one.Order]; c.Phase != "" {
					t.Errorf("%s was refused after it was accepted: %+v", one.Order, c)
				}
			}
		case r.IsClaim:
			id := r.Order.ID
			if created[id].Seq == 0 {
				created[id] = r
				for _, one := range refused[id] {
					if r.Written.Sub(one.At) < fleet.RefusedFor {
						t.Errorf("%s was refused at %v, and accepted at %v", id, one.At, r.Written)
					}
				}
			} else if r.Phase == fleet.Accepted && r.Epoch == 1 {
				t.Errorf("%s was accepted twice", id)
			}
			if orders[id].Phase.Ended() {
				t.Errorf("%s was %s, an end, and is %s", id, orders[id].Phase, r.Phase)
			}
			for _, e := range r.Events() {
				demand(e)
			}
			orders[id] = r.Claim
			for item := range r.Portion {
				if n := left(item, true); n < 0 && r.Phase == fleet.Accepted && r.Act {
					t.Errorf("record %d, %s: %d of %s are promised twice", r.Seq, id, -n, item)
				}
			}
		}
	}
	for id, e := range claims {
		ids := s.messages(id)
		switch e.Phase {
		case fleet.Accepted, fleet.Claimed, fleet.Brewing:
			// A second message is harmless, and comes only of the sweep or of a new epoch.
			if len(ids) == 0 || len(ids) > 1 && e.Epoch == 1 && !strings.Contains(strings.Join(ids, " "), "#s") {
				t.Errorf("%s is %s, and in the queue as %v", id, e.Phase, ids)
			}
		case fleet.Again:
			t.Errorf("%s still waits for its next portion", id)
		default:
			if len(ids) > 0 {
				t.Errorf("%s is %s, and in the queue as %v", id, e.Phase, ids)
			}
		}
	}
	for id, want := range demanded {
		got := map[string]bool{}
		for _, slot := range s.eventsOf(id) {
			got[slot] = true
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the events of %s: %s", id, d)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, answers := range h.ans {
		said := false
		for _, a := range answers {
			switch {
			case a.late:
				t.Errorf("%s: late: %+v", id, a)
			case a.Code == fleet.CodeUnavailable:
				continue
			case a.OK():
				if r := created[id]; r.Seq == 0 || r.Written.After(a.at) || !cmp.Equal(r.Answer, a.Answer) {
					t.Errorf("%s was told %+v; the book says %+v at %v", id, a, r.Claim, r.Written)
				}
			default:
				if !slices.ContainsFunc(refused[id], func(one fleet.Refusal) bool {
					return cmp.Equal(one.Answer, a.Answer) && !one.At.After(a.at) && a.at.Sub(one.At) < fleet.RefusedFor+2*time.Second
				}) {
					t.Errorf("%s was told %+v; the book has %+v", id, a, refused[id])
				}
			}
			said = true
		}
		if !said {
			t.Errorf("%s never had an answer: %+v", id, answers)
		}
	}
}

// scene is one thing that happens while a call fails.
type scene struct {
	name  string
	setup func(t *testing.T, s *shop)
	act   func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard)
	check func(t *testing.T, s *shop) // beside the promises
}

var scenes = []scene{
	{
		name: "an order",
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1))
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Accepted) },
	},
	{
		name: "a double click",
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			var wg sync.WaitGroup
			wg.Go(func() { h.place(ctx, w, c, order(id1)) })
			wg.Go(func() { h.place(ctx, w, c, order(id1)) })
			wg.Wait()
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Accepted) },
	},
	{
		name:  "out of stock",
		setup: func(t *testing.T, s *shop) { s.count("arabica", 5) },
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1))
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, "") },
	},
	{
		name:  "queue full",
		setup: func(t *testing.T, s *shop) { s.fill(fleet.QueueMax) },
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1))
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, "") },
	},
	{
		name: "not on the menu",
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1, func(o *fleet.Order) { o.Bean = "tea" }))
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, "") },
	},
	{
		name: "an order is cancelled",
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1))
			for range 3 { // as a person does who was told that it is not known
				if c.Cancel(ctx, id1, "Ada") == nil {
					break
				}
				time.Sleep(time.Second)
			}
		},
	},
	{
		name: "a drop",
		setup: func(t *testing.T, s *shop) {
			s.drop("arabica", `{"size":"medium","bean_type":"Arabica","name":"Quentin","milk":"free","sugar_count":"2"}`)
		},
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) { time.Sleep(time.Second) },
		check: func(t *testing.T, s *shop) {
			if how := s.how(s.drops[0]); how != "done" || s.records() != 1 || len(s.queue) != 1 {
				t.Errorf("drop %q, %d records, %d messages", how, s.records(), len(s.queue))
			}
		},
	},
	{
		name: "a drop without beans",
		setup: func(t *testing.T, s *shop) {
			s.count("arabica", 1)
			s.drop("arabica", `{"size":"medium","bean_type":"Arabica","name":"Quentin","milk":"free"}`)
		},
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) { time.Sleep(time.Second) },
		check: func(t *testing.T, s *shop) {
			if how := s.how(s.drops[0]); how != "dropped: out_of_stock: Insufficient coffee for type arabica" || len(s.claimsOf()) != 0 || len(s.queue) != 0 {
				t.Errorf("drop %q, %d orders, %d messages", how, len(s.claimsOf()), len(s.queue))
			}
		},
	},
	{
		name:  "a drop that is no order",
		setup: func(t *testing.T, s *shop) { s.drop("arabica", `{"size":`) },
		act:   func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) { time.Sleep(time.Second) },
		check: func(t *testing.T, s *shop) {
			ev, ok := s.event("poison-coffee-intake-1", "refused")
			if how := s.how(s.drops[0]); !strings.HasPrefix(how, "dropped: not an order") || !ok || string(ev.Payload) != `{"size":` {
				t.Errorf("drop %q, event %+v", how, ev)
			}
		},
	},
	{
		name:  "make it again",
		setup: func(t *testing.T, s *shop) { unknown(t, s, id1) },
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			for range 3 {
				if err := c.MakeAgain(ctx, id1, "boss"); err == nil || s.claim(id1).Phase != fleet.Unknown {
					break
				}
				time.Sleep(time.Second)
			}
		},
	},
	{
		name: "make it again without beans",
		setup: func(t *testing.T, s *shop) {
			unknown(t, s, id1)
			s.count("arabica", 5) // what it took is gone
		},
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			_ = c.MakeAgain(ctx, id1, "boss")
		},
		check: func(t *testing.T, s *shop) {
			if e := s.claim(id1); len(e.Past) > 0 && (e.Phase != fleet.Failed || e.Reason.Text != "out_of_stock: Insufficient coffee for type arabica") {
				t.Errorf("%+v", e.Claim)
			}
		},
	},
	{
		name:  "a spoiled drink",
		setup: func(t *testing.T, s *shop) { spoiled(t, s, id1) },
		act:   func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) { time.Sleep(time.Second) },
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Accepted) },
	},
	{
		name:  "a spoiled drink without beans for another",
		setup: func(t *testing.T, s *shop) { spoiled(t, s, id1); s.count("arabica", 5) },
		act:   func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) { time.Sleep(time.Second) },
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Failed) },
	},
	{
		name:  "an unknown settled",
		setup: func(t *testing.T, s *shop) { unknown(t, s, id1) },
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			_ = c.Settle(ctx, id1, false, "boss", "the cup was empty")
		},
	},
	{
		name: "a lost message",
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1))
			s.remove(id1)
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Accepted) },
	},
}

func is(t *testing.T, s *shop, id string, p fleet.Phase) {
	t.Helper()
	if e := s.claim(id); e.Phase != p {
		t.Errorf("it is %q, wanted %q: %+v", e.Phase, p, e.Claim)
	}
}

var zoe = fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}

// brewing puts an accepted order into a machine's hands.
func brewing(t *testing.T, s *shop, id string) {
	t.Helper()
	s.mu.Lock()
	s.create(order(id), true)
	s.mu.Unlock()
	brew(t, s, id)
}

func brew(t *testing.T, s *shop, id string) {
	t.Helper()
	if err := s.change(id, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) }); err != nil {
		t.Fatal(err)
	}
}

func unknown(t *testing.T, s *shop, id string) {
	t.Helper()
	brewing(t, s, id)
	if err := s.change(id, func(c fleet.Claim) (fleet.Claim, error) { return c.Park("eve", fleet.Reason{Text: "nobody knows"}) }); err != nil {
		t.Fatal(err)
	}
	s.remove(id)
}

// spoiled has a machine end with a spoiled drink, and drop the message.
func spoiled(t *testing.T, s *shop, id string) {
	t.Helper()
	brewing(t, s, id)
	if err := s.change(id, func(c fleet.Claim) (fleet.Claim, error) {
		return c.End(zoe, fleet.Spoiled, fleet.Reason{Text: "jam"}, 20, nil)
	}); err != nil {
		t.Fatal(err)
	}
	s.remove(id)
}

// TestEveryCallFails lets each call of each scene fail in each way, one run per
// call, and looks at the promises when the sweep has come by: after a lost
// answer with the same controller, after a crash with a new one.
func TestEveryCallFails(t *testing.T) {
	runs, step := 0, 1
	if testing.Short() { // under the race detector, which needs no call to fail as the last one did
		step = 4
	}
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			for _, f := range []fault{none, lost, applied, late, crash, lastCrash} {
				for n := 1; ; n += step {
					hit := ""
					synctest.Test(t, func(t *testing.T) { hit = playOnce(t, sc, f, n) })
					runs++
					if t.Failed() {
						t.Fatalf("call %d, a %q: %s", n, hit, f)
					}
					if hit == "" || f == none {
						if n < 4 && f != none {
							t.Fatalf("only %d calls could fail", n)
						}
						break
					}
				}
			}
		})
	}
	t.Logf("%d runs", runs)
}

// playOnce plays one scene in which call n fails, and returns that call's name.
func playOnce(t *testing.T, sc scene, f fault, n int) (hit string) {
	s := newShop()
	s.machine("zoe")
	if sc.setup != nil {
		sc.setup(t, s)
	}
	var mu sync.Mutex
	calls := 0
	w := s.wire(func(call string) fault {
		switch call {
		case "pending", "waiting", "now", "read filling":
			return none // repeated for ever; TestSeeds lets them fail
		}
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls == n {
			hit = call
			return f
		}
		return none
	})
	c, end := w.open(t)
	var h heard
	sc.act(t.Context(), s, w, c, &h)
	if w.isDead() {
		end()
		w = s.wire(nil)
		c, end = w.open(t)
	}
	time.Sleep(4 * time.Minute)
	if w.isDead() { // it died on the way
		end()
		w = s.wire(nil)
		c, end = w.open(t)
		time.Sleep(4 * time.Minute)
	}
	defer end()
	if len(s.drops) == 0 { // asked again at last, the customer gets an answer
		h.place(t.Context(), w, c, s.orderOf(id1, sc))
	}
	time.Sleep(time.Minute)
	end()
	if sc.check != nil {
		sc.check(t, s)
	}
	promises(t, s, &h)
	return hit
}

func (s *shop) orderOf(id string, sc scene) fleet.Order {
	if e := s.claim(id); e.Order.ID != "" {
		return e.Order
	}
	if sc.name == "not on the menu" {
		return order(id, func(o *fleet.Order) { o.Bean = "tea" })
	}
	return order(id)
}

// TestSeeds throws lost, late and doubled calls, crashes, a short stock, a
// small queue, machines and impatient customers at two controllers.
func TestSeeds(t *testing.T) {
	n := 150
	if testing.Short() {
		n = 20
	}
	for seed := range n {
		synctest.Test(t, func(t *testing.T) { play(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func play(t *testing.T, seed uint64) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 1))
	roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }

	s := newShop()
	s.machine("zoe")
	s.count("arabica", 60+roll(100))
	s.fill(fleet.QueueMax - 4 - roll(20))
	faults := true
	one := func() *wire {
		return s.wire(func(call string) fault {
			mu.Lock()
			on := faults
			mu.Unlock()
			if !on || roll(12) > 0 {
				return none
			}
			return []fault{lost, applied, late, applied, late, crash, lastCrash}[roll(7)]
		})
	}
	type running struct {
		w    *wire
		c    *Controller
		stop func()
	}
	var ctl [2]running
	open := func(i int) {
		w := one()
		c, stop := w.open(t)
		ctl[i] = running{w, c, stop}
	}
	open(0)
	open(1)
	var (
		h  heard
		wg sync.WaitGroup
	)
	pick := func() running { mu.Lock(); defer mu.Unlock(); return ctl[rnd.IntN(2)] }
	ids := make([]string, 14)
	for i := range ids {
		ids[i] = fmt.Sprintf("01JD00000000000000000001%02d", i)
		o := order(ids[i], func(o *fleet.Order) { o.Sugar = i % 3 })
		wg.Go(func() {
			time.Sleep(time.Duration(roll(20000)) * time.Millisecond)
			for range 1 + roll(3) {
				r := pick()
				h.place(t.Context(), r.w, r.c, o)
				time.Sleep(time.Duration(roll(3000)) * time.Millisecond)
			}
			if roll(5) == 0 {
				_ = pick().c.Cancel(t.Context(), o.ID, "customer")
			}
		})
	}
	for i := range 4 {
		s.drop("arabica", fmt.Sprintf(`{"size":"small","bean_type":"arabica","name":"Drop %d","milk":"free"}`, i))
	}
	for range 40 { // machines and crashes, for a minute and a half
		time.Sleep(time.Duration(roll(4500)) * time.Millisecond)
		for i := range ctl {
			if ctl[i].w.isDead() {
				ctl[i].stop()
				w := one()
				c, stop := w.open(t)
				mu.Lock()
				ctl[i] = running{w, c, stop}
				mu.Unlock()
			}
		}
		work(s, roll)
	}
	wg.Wait()
	mu.Lock()
	faults = false
	mu.Unlock()
	for i := range ctl {
		ctl[i].stop()
	}
	s.empty()
	c, end := s.wire(nil).open(t)
	defer end()
	time.Sleep(3 * time.Minute)
	for id := range h.ans {
		h.place(t.Context(), s.wire(nil), c, s.claimOrder(id, ids))
	}
	time.Sleep(2 * time.Minute)
	end()
	promises(t, s, &h)
	for _, x := range s.drops {
		if s.how(x) == "" {
			t.Errorf("drop %d was never settled", x.d.Seq)
		}
	}
}

func (s *shop) claimOrder(id string, ids []string) fleet.Order {
	return order(id, func(o *fleet.Order) { o.Sugar = slices.Index(ids, id) % 3 })
}

// work lets a machine take one step with one order of the queue.
func work(s *shop, roll func(int) int) {
	s.mu.Lock()
	queue := slices.DeleteFunc(slices.Clone(s.queue), func(m fleet.StoredOrder) bool { return strings.HasPrefix(m.Order, filling) })
	if len(queue) == 0 {
		s.mu.Unlock()
		return
	}
	m := queue[roll(len(queue))]
	e := s.claims()[m.Order]
	s.mu.Unlock()
	switch e.Phase {
	case fleet.Accepted:
		_ = s.change(m.Order, func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) })
	case fleet.Claimed:
		if roll(3) == 0 {
			_ = s.change(m.Order, func(c fleet.Claim) (fleet.Claim, error) { return c.Release(fleet.Reason{Text: "no water"}, nil) })
			return
		}
		_ = s.change(m.Order, func(c fleet.Claim) (fleet.Claim, error) {
			if c.Exhausted() {
				return c.GiveUp(zoe)
			}
			return c.Fence(zoe)
		})
	case fleet.Brewing:
		_ = s.change(m.Order, func(c fleet.Claim) (fleet.Claim, error) {
			return c.End(zoe, []fleet.Outcome{fleet.Made, fleet.Spoiled, fleet.Untouched}[roll(3)], fleet.Reason{Text: "so it went"}, 20, nil)
		})
	default:
		s.remove(m.Order)
	}
}
