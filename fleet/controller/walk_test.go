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

	"barista/fleet"
)

// heard is what customers were told, per order.
type heard struct {
	mu  sync.Mutex
	ans map[string][]fleet.Answer
}

// place asks, and notes the answer unless the controller died over it.
func (h *heard) place(ctx context.Context, w *wire, c *Controller, o fleet.Order) fleet.Answer {
	begin := time.Now()
	a := c.Place(ctx, o.Encode(), "web")
	if took := time.Since(begin); took > 2*time.Second {
		a.Message += fmt.Sprintf(" (after %v)", took)
		a.Code = "late"
	}
	if w.isDead() {
		return a
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ans == nil {
		h.ans = map[string][]fleet.Answer{}
	}
	h.ans[o.ID] = append(h.ans[o.ID], a)
	return a
}

// promises checks what must hold once everything has come to rest.
func promises(t *testing.T, s *shop, h *heard) {
	t.Helper()
	s.fold()
	owned := fleet.Items{}
	s.mu.Lock()
	claims := make([]fleet.ClaimEntry, 0, len(s.claims))
	for _, e := range s.claims {
		claims = append(claims, e)
	}
	s.mu.Unlock()
	for _, e := range claims {
		id := e.Order.ID
		slots, ids := s.eventsOf(id), s.messages(id)
		has := func(k fleet.EventKind) bool { return slices.Contains(slots, string(k)) }
		switch e.Phase {
		case fleet.Accepted, fleet.Claimed, fleet.Brewing:
			if e.Phase != fleet.Accepted && e.Use > 0 && s.act(id, e.Use) == "" {
				// A machine was quicker than the reservation of the remake.
				continue
			}
			for item, n := range e.Portion {
				owned[item] += n
			}
			if e.Phase == fleet.Accepted && !e.Marked() {
				t.Errorf("%s: the claim is left half done: %+v", id, e.Claim)
			}
			want := 1
			if strings.Contains(e.MessageID(), "#e") {
				want = len(ids) // the former message may be there or not
			}
			if len(ids) != want || want == 0 || !slices.Contains(ids, e.MessageID()) {
				t.Errorf("%s is %s, and in the queue as %v", id, e.Phase, ids)
			}
		case fleet.Refused, fleet.Cancelled, fleet.Expired:
			if !has(fleet.EventKind(e.Phase)) {
				t.Errorf("%s is %s, and its event is missing: %v", id, e.Phase, slots)
			}
		case fleet.Failed:
			if !has(fleet.EvFailed) {
				t.Errorf("%s has failed, and its event is missing: %v", id, slots)
			}
		}
		if has(fleet.EvAccepted) == (e.Phase == fleet.Refused) {
			t.Errorf("%s is %s, and its events are %v", id, e.Phase, slots)
		}
		for _, p := range e.Past {
			if p.Outcome == fleet.OutcomeUnknown && !slices.Contains(slots, againSlot(p.Epoch+1)) {
				t.Errorf("%s was made again, and its event is missing: %v", id, slots)
			}
		}
	}
	for item, n := range s.reserved() {
		if owned[item] != n {
			t.Errorf("%d of %s are reserved, and open orders need %d", n, item, owned[item])
		}
	}
	for item, n := range owned {
		if s.reserved()[item] != n {
			t.Errorf("open orders need %d of %s, and %d are reserved", n, item, s.reserved()[item])
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, answers := range h.ans {
		said := ""
		for _, a := range answers {
			if a.Code == "late" {
				t.Errorf("%s: late: %s", id, a.Message)
			}
			if a.Code == fleet.CodeUnavailable {
				continue
			}
			if one := string(encode(a)); said == "" {
				said = one
			} else if said != one {
				t.Errorf("%s was told %s, and then %s", id, said, one)
			}
			p := s.claim(id).Phase
			if a.OK() && (p == fleet.Refused || p == "") {
				t.Errorf("%s was told success and is %q", id, p)
			}
			if !a.OK() && p != fleet.Refused {
				t.Errorf("%s was told %s and is %q", id, a.Code, p)
			}
		}
		if said == "" {
			t.Errorf("%s never had an answer: %+v", id, answers)
		}
	}
}

func (s *shop) act(id string, n int) fleet.Act {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uses[use{id, n}]
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
		setup: func(t *testing.T, s *shop) { s.levels["arabica"] = 5 },
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1))
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Refused) },
	},
	{
		name:  "queue full",
		setup: func(t *testing.T, s *shop) { s.max = 0 },
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1))
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Refused) },
	},
	{
		name: "not on the menu",
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			h.place(ctx, w, c, order(id1, func(o *fleet.Order) { o.Bean = "tea" }))
		},
		check: func(t *testing.T, s *shop) { is(t, s, id1, fleet.Refused) },
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
			if how := s.how(s.drops[0]); how != "done" || len(s.claims) != 1 || len(s.queue) != 1 {
				t.Errorf("drop %q, %d claims, %d messages", how, len(s.claims), len(s.queue))
			}
		},
	},
	{
		name: "a drop without beans",
		setup: func(t *testing.T, s *shop) {
			s.levels["arabica"] = 1
			s.drop("arabica", `{"size":"medium","bean_type":"Arabica","name":"Quentin","milk":"free"}`)
		},
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) { time.Sleep(time.Second) },
		check: func(t *testing.T, s *shop) {
			if how := s.how(s.drops[0]); how != "dropped: out_of_stock: Insufficient coffee for type arabica" || len(s.claims) != 1 || len(s.queue) != 0 {
				t.Errorf("drop %q, %d claims, %d messages", how, len(s.claims), len(s.queue))
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
				if err := c.MakeAgain(ctx, id1, "boss"); err == nil || s.claim(id1).Epoch > 1 {
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
			s.levels["arabica"] = 10 // nine of them are used
		},
		act: func(ctx context.Context, s *shop, w *wire, c *Controller, h *heard) {
			_ = c.MakeAgain(ctx, id1, "boss")
		},
		check: func(t *testing.T, s *shop) {
			if e := s.claim(id1); e.Epoch > 1 && (e.Phase != fleet.Failed || e.Reason.Text != "out_of_stock: Insufficient coffee for type arabica") {
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
		setup: func(t *testing.T, s *shop) { s.levels["arabica"] = 10; spoiled(t, s, id1) },
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
	o := order(id)
	doses, _ := fleet.DefaultMenu().Portion(o)
	s.mu.Lock()
	s.put(fleet.Claim{Phase: fleet.Accepted, Order: o, Hash: o.Hash(), Portion: doses, Epoch: 1, Published: id, Answer: fleet.Success(id), Via: "web"})
	s.uses[use{id, 0}], s.taken[use{id, 0}] = fleet.Reserve, doses
	s.queue = append(s.queue, fleet.StoredOrder{Order: id, MessageID: id, Class: o.Class()})
	s.mu.Unlock()
	for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
		func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) },
		func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) },
	} {
		if err := s.change(id, arrow); err != nil {
			t.Fatal(err)
		}
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

func spoiled(t *testing.T, s *shop, id string) {
	t.Helper()
	brewing(t, s, id)
	if err := s.change(id, func(c fleet.Claim) (fleet.Claim, error) {
		return c.End(zoe, fleet.Spoiled, fleet.Reason{Text: "jam"}, nil)
	}); err != nil {
		t.Fatal(err)
	}
}

// TestEveryCallFails lets each call of each scene fail in each way, one run per
// call, and looks at the promises when the sweep has come by: after a lost
// answer with the same controller, after a crash with a new one.
func TestEveryCallFails(t *testing.T) {
	runs := 0
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			for _, f := range []fault{none, lost, applied, late, crash, lastCrash} {
				for n := 1; n < 200; n++ {
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
	stop := s.bookkeeping()
	defer stop()
	if sc.setup != nil {
		sc.setup(t, s)
	}
	var mu sync.Mutex
	calls := 0
	w := s.wire(func(call string) fault {
		switch call {
		case "pending", "waiting", "now", "put setting":
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
		if _, told := s.claims[id1]; told || len(s.drops) > 0 {
			sc.check(t, s)
		}
	}
	if sc.name == "a lost message" {
		for i, m := range s.queue { // the backstop's message stands for the first
			if strings.HasPrefix(m.MessageID, id1+"#s") {
				s.queue[i].MessageID = id1
			}
		}
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
	s.levels["arabica"], s.max = 60+roll(100), 4+roll(20)
	stop := s.bookkeeping()
	defer stop()
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
	s.mu.Lock()
	s.max = 200
	s.mu.Unlock()
	c, end := s.wire(nil).open(t)
	defer end()
	time.Sleep(3 * time.Minute)
	for id := range h.ans {
		h.place(t.Context(), s.wire(nil), c, s.claimOrder(id, ids))
	}
	time.Sleep(2 * time.Minute)
	end()
	// What the backstop doubled counts as one.
	s.mu.Lock()
	seen := map[string]bool{}
	for _, m := range s.queue {
		seen[m.Order] = true
	}
	s.queue = nil
	for id := range seen {
		s.queue = append(s.queue, fleet.StoredOrder{Order: id, MessageID: s.claims[id].MessageID()})
	}
	s.mu.Unlock()
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
	if len(s.queue) == 0 {
		s.mu.Unlock()
		return
	}
	m := s.queue[roll(len(s.queue))]
	e := s.claims[m.Order]
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
			return c.End(zoe, []fleet.Outcome{fleet.Made, fleet.Spoiled, fleet.Untouched}[roll(3)], fleet.Reason{Text: "so it went"}, nil)
		})
	default:
		s.remove(m.Order)
	}
}
