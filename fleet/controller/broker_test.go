package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/presence"
	"barista/fleet/queue"
)

// real joins a controller to the real broker, with a stock in memory that
// follows the real claims.
func real(c *queue.Conn, stock fleet.Stock) Parts {
	return Parts{
		Claims: c.Claims(), Orders: c.Orders(), Intake: c.Intake(), Stock: stock, Events: c.Events(), Settings: c.Settings(),
		Roll:   presence.New(presence.Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: c.Claims().Now}),
		Server: c.Server(), Pending: c.Pending, IntakeWaiting: c.IntakeWaiting,
	}
}

// run runs a controller and its board until the returned function is called.
func run(t *testing.T, p Parts, cfg Config) (*Controller, func()) {
	t.Helper()
	c := New(p, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	go func() { done <- p.Roll.(*presence.Roll).Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

// beats says that a machine is here, as long as the test needs it.
func beats(t *testing.T, c *queue.Conn, name string) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := fleet.Presence{Machine: name, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: fleet.StateReady}
	if err := c.Fleet().Announce(ctx, p); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(fleet.PresenceEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = c.Fleet().Announce(ctx, p)
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// follows is the stock in memory behind the real claims.
func follows(t *testing.T, s *shop, c *queue.Conn) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = c.Claims().Watch(ctx, func(e fleet.ClaimEntry) {
			s.mu.Lock()
			s.claims[e.Order.ID] = e
			s.mu.Unlock()
			s.fold()
		}, nil)
	})
	return func() { cancel(); wg.Wait() }
}

// withBroker runs f with the real broker under fake time.
func withBroker(t *testing.T, f func(t *testing.T, b *brokertest.Broker)) {
	t.Helper()
	brokertest.InBubble(t, f)
}

// TestRealBroker goes through the rules with the real broker under fake time:
// an order, the same again, refusals, drops, the sweep, expiry, a remake.
func TestRealBroker(t *testing.T) {
	withBroker(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		conn := b.Connect("shop")
		s := newShop()
		s.levels["mixed"] = 10
		defer follows(t, s, conn)()
		defer beats(t, conn, "zoe")()
		stock := memStock{s.wire(nil)}
		c, stop := run(t, real(conn, stock), Config{Requests: true, Intake: true})

		ask := func(body string) string {
			t.Helper()
			a, err := conn.Requester().Request(ctx, fleet.SubjectRequests, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			return string(a)
		}
		brokertest.Eventually(t, "the controller", func() bool {
			_, err := conn.Requester().Request(ctx, fleet.SubjectRequests, nil)
			return err == nil
		})
		one := `{"id":"` + id1 + `","size":"big","bean_type":"Arabica","milk":"free","name":"Quentin","sugar_count":"1"}`
		want := `{"status":"success","message":"The coffee has been successfully scheduled","order_id":"` + id1 + `","position":1,"eta_seconds":[45,75]}`
		if d := cmp.Diff(want, ask(one)); d != "" {
			t.Fatal(d)
		}
		if d := cmp.Diff(want, ask(one)); d != "" {
			t.Error(d)
		}
		if a := ask(strings.Replace(one, "Quentin", "Ada", 1)); !strings.Contains(a, `"code":"id_conflict"`) {
			t.Error(a)
		}
		if a := ask(strings.Replace(strings.Replace(one, "Arabica", "mixed", 1), id1, id2, 1)); a != `{"status":"error","message":"Insufficient coffee for type mixed","order_id":"`+id2+`","code":"out_of_stock"}` {
			t.Error(a)
		}

		// Drops, as foreign programs publish them.
		good := `{"size":"medium","bean_type":"Arabica","name":"Quentin","milk":"free","sugar_count":"2"}`
		foreign := foreigner(t, b)
		foreign("coffee.orders.arabica", good)
		foreign("coffee.orders.robusta", good)
		foreign("coffee.orders.arabica", `{`)
		brokertest.Eventually(t, "the drops", func() bool {
			n, err := conn.IntakeWaiting(ctx)
			evs, err2 := conn.Events().Of(ctx, fleet.PoisonID(fleet.StreamIntake, 3))
			return err == nil && err2 == nil && n == 0 && len(evs) == 1
		})
		stored, err := conn.Orders().Stored(ctx)
		if err != nil || len(stored) != 2 {
			t.Fatalf("%v %v", stored, err)
		}
		for _, seq := range []uint64{2, 3} {
			evs, err := conn.Events().Of(ctx, fleet.PoisonID(fleet.StreamIntake, seq))
			if err != nil || len(evs) != 1 || evs[0].Kind != fleet.EvRefused || len(evs[0].Payload) == 0 {
				t.Errorf("poison %d: %+v %v", seq, evs, err)
			}
		}

		// Half done by a crash: the sweep goes on with it.
		half := order("01JD0000000000000000000007")
		doses, _ := fleet.DefaultMenu().Portion(half)
		if _, err := conn.Claims().Create(ctx, fleet.Claim{Phase: fleet.Accepted, Order: half, Hash: half.Hash(), Portion: doses, Epoch: 1, Answer: fleet.Success(half.ID)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(70 * time.Second)
		if e, err := conn.Claims().Get(ctx, half.ID); err != nil || !e.Marked() {
			t.Errorf("%+v %v", e.Claim, err)
		}

		// Another controller, a spoiled drink, an unknown one made again.
		stop()
		c, stop = run(t, real(conn, stock), Config{Requests: true, Intake: true})
		defer stop()
		move(t, conn, id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) })
		move(t, conn, id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) })
		move(t, conn, id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Park("eve", fleet.Reason{Text: "nobody knows"}) })
		brokertest.Eventually(t, "the new controller", func() bool { return len(c.Menu().Beans) > 0 })
		if err := c.MakeAgain(ctx, id1, "boss"); err != nil {
			t.Fatal(err)
		}
		e, err := conn.Claims().Get(ctx, id1)
		if err != nil || e.Published != id1+"#e2" || s.act(id1, 1) != fleet.Reserve {
			t.Errorf("%+v %v %v", e.Claim, err, s.act(id1, 1))
		}

		// Nobody makes any of it: all of it expires, and nothing stays reserved.
		time.Sleep(17 * time.Minute)
		synctest.Wait()
		if r := s.reserved(); len(r) != 0 {
			t.Errorf("left reserved: %v", r)
		}
		// Nor does the queue fill with what has ended, although no machine takes it.
		if stored, err := conn.Orders().Stored(ctx); err != nil || len(stored) != 0 {
			t.Errorf("left in the queue: %v %v", stored, err)
		}
		evs, err := conn.Events().Of(ctx, id1)
		kinds := []string{}
		for _, e := range evs {
			kinds = append(kinds, e.Slot())
		}
		if d := cmp.Diff([]string{"accepted", "again-2", "expired"}, kinds); d != "" || err != nil {
			t.Error(d, err)
		}
	})
}

func move(t *testing.T, c *queue.Conn, id string, arrow func(fleet.Claim) (fleet.Claim, error)) {
	t.Helper()
	e, err := c.Claims().Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	n, err := arrow(e.Claim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Claims().Update(t.Context(), e, n); err != nil {
		t.Fatal(err)
	}
}

// foreigner publishes as a program that knows nothing of us: raw protocol text.
func foreigner(t *testing.T, b *brokertest.Broker) func(subject, body string) {
	t.Helper()
	nc, err := b.InProcessConn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := nc.Read(buf); err != nil {
				return
			}
		}
	}()
	say := func(s string) {
		if _, err := nc.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	say("CONNECT {\"verbose\":false}\r\n")
	return func(subject, body string) {
		say(fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(body), body))
	}
}

// TestRealRefusals: a full queue and a class that the queue does not list, as
// the broker says it.
func TestRealRefusals(t *testing.T) {
	withBroker(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		conn := b.Connect("shop")
		s := newShop()
		s.levels["arabica"] = 100000
		defer follows(t, s, conn)()
		defer beats(t, conn, "zoe")()
		c, stop := run(t, real(conn, memStock{s.wire(nil)}), Config{})
		defer stop()
		yes := 0
		for i := range fleet.QueueMax + 1 {
			a := c.Place(ctx, order(fmt.Sprintf("01JD0000000000000000001%03d", i)).Encode(), "web")
			if a.OK() {
				yes++
			} else if a.Code != fleet.CodeQueueFull {
				t.Fatalf("order %d: %+v", i, a)
			}
		}
		if yes != fleet.QueueMax {
			t.Errorf("%d orders are in a queue of %d", yes, fleet.QueueMax)
		}
		time.Sleep(time.Second)
		if d := cmp.Diff(fleet.Items{"arabica": 9 * fleet.QueueMax}, s.reserved()); d != "" {
			t.Error(d)
		}

		m := fleet.DefaultMenu()
		m.Beans = []string{"robusta"}
		if err := conn.Orders().List(ctx, m.Classes()); err != nil { // behind the controller's back
			t.Fatal(err)
		}
		if a := c.Place(ctx, order(id1, func(o *fleet.Order) { o.Bean = "mixed" }).Encode(), "web"); a.Code != fleet.CodeNotOnMenu {
			t.Errorf("%+v", a)
		}
	})
}

// TestRealTwoControllers: many customers, each asking twice at once at two
// controllers on the real broker, over links of which one goes silent.
func TestRealTwoControllers(t *testing.T) {
	withBroker(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		near := b.Connect("one")
		link := b.Link()
		far := b.ConnectOver("two", link)
		s := newShop()
		s.levels["arabica"] = 180 // for twenty
		defer follows(t, s, near)()
		defer beats(t, near, "zoe")()
		c1, stop1 := run(t, real(near, memStock{s.wire(nil)}), Config{})
		c2, stop2 := run(t, real(far, memStock{s.wire(nil)}), Config{})
		defer stop1()
		defer stop2()
		time.Sleep(16 * time.Second)
		var (
			h  heard
			wg sync.WaitGroup
		)
		w := s.wire(nil)
		for i := range 30 {
			o := order(fmt.Sprintf("01JD0000000000000000002%03d", i))
			wg.Go(func() { h.place(ctx, w, c1, o) })
			wg.Go(func() { h.place(ctx, w, c2, o) })
			if i == 15 {
				link.Silence(true) // what is under way arrives when it ends
			}
		}
		wg.Wait()
		link.Silence(false)
		doubts := 0
		for _, answers := range h.ans {
			for _, a := range answers {
				if a.Code == fleet.CodeUnavailable {
					doubts++
				}
			}
		}
		if doubts == 0 {
			t.Error("nobody was in doubt, so this test proves nothing")
		}
		time.Sleep(2 * time.Minute)
		for _, id := range slices.Sorted(maps.Keys(h.ans)) {
			h.place(ctx, w, c1, order(id))
		}
		time.Sleep(time.Second)
		// The promises are checked on what the broker holds.
		stored, err := near.Orders().Stored(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.queue = stored
		s.mu.Unlock()
		for id := range h.ans {
			evs, err := near.Events().Of(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			s.events = append(s.events, evs...)
			s.mu.Unlock()
		}
		promises(t, s, &h)
		if len(stored) != 20 {
			t.Errorf("%d orders for 180 g", len(stored))
		}
	})
}
