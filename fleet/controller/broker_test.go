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

// herd notes the events that were stored, by whomever.
type herd struct {
	fleet.Events
	*shop
}

func (h herd) Publish(ctx context.Context, e fleet.Event, seq uint64) error {
	err := h.Events.Publish(ctx, e, seq)
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !slices.ContainsFunc(h.events, func(x told) bool { return x.Order == e.Order && x.Slot() == e.Slot() }) {
			h.events = append(h.events, told{e, seq})
		}
	}
	return err
}

// real joins a controller to the real broker; s notes what comes of it.
func real(c *queue.Conn, s *shop) Parts {
	return Parts{
		Book: c.Book(), Ledger: ledgerOf(c.Book()), Orders: c.Orders(), Intake: c.Intake(), Events: herd{c.Events(), s}, Settings: c.Settings(),
		Roll:   presence.New(presence.Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: c.Book().Now}),
		Server: c.Server(), Pending: c.Pending, IntakeWaiting: c.IntakeWaiting,
	}
}

// run runs a controller, its board and its ledger until the returned function is
// called.
func run(t *testing.T, p Parts, cfg Config) (*Controller, func()) {
	t.Helper()
	c := New(p, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	behind, last := context.WithCancel(context.Background())
	done, rest := make(chan error), make(chan error)
	go func() { done <- c.Run(ctx) }()
	go func() { rest <- p.Roll.(*presence.Roll).Run(behind) }()
	go func() { rest <- p.Ledger.(runs).Run(behind) }()
	stop := sync.OnceFunc(func() {
		cancel()
		err := <-done
		last()
		if err := errors.Join(err, <-rest, <-rest); err != nil {
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
	p := fleet.Presence{Machine: name, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: fleet.StateReady, Order: elsewhere}
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

// keeps fills the shelf of the real book, and notes every record of it.
func keeps(t *testing.T, c *queue.Conn, items fleet.Items) (*shop, func()) {
	t.Helper()
	s := newShop()
	s.book = nil
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := c.Book().Act(ctx, fleet.Record{Stock: &fleet.StockAct{Act: fleet.Refill, Key: "initial", Items: items}}, 0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = c.Book().Follow(ctx, 1, func(r fleet.Record) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.book = append(s.book, r)
		}, nil)
	})
	return s, func() { cancel(); wg.Wait() }
}

// TestRealBroker goes through the rules with the real broker under fake time:
// an order, the same again, refusals, drops, the sweep, expiry, a remake.
func TestRealBroker(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		conn := b.Connect("shop")
		s, done := keeps(t, conn, fleet.Items{"arabica": 1000, "mixed": 10})
		defer done()
		defer beats(t, conn, "zoe")()
		parts := real(conn, s)
		_, stop := run(t, parts, Config{Requests: true, Intake: true})

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
		one := `{"id":"` + id1 + `","size":"big","bean_type":"Arabica","milk":"free","name":"Quentin","sugar_count":"0"}`
		want := `{"status":"success","message":"The coffee has been successfully scheduled","order_id":"` + id1 + `","position":1,"eta_seconds":[44,77]}`
		if d := cmp.Diff(want, ask(one)); d != "" {
			t.Fatal(d)
		}
		if d := cmp.Diff(want, ask(one)); d != "" {
			t.Error(d)
		}
		if a := ask(strings.Replace(one, "Quentin", "Ada", 1)); !strings.Contains(a, `"code":"id_conflict"`) {
			t.Error(a)
		}
		short := strings.Replace(strings.Replace(one, "Arabica", "mixed", 1), id1, id2, 1)
		for range 2 {
			if a := ask(short); a != `{"status":"error","message":"Insufficient coffee for type mixed","order_id":"`+id2+`","code":"out_of_stock"}` {
				t.Error(a)
			}
		}

		// Drops, as foreign programs publish them.
		good := `{"size":"medium","bean_type":"Arabica","name":"Quentin","milk":"free"}`
		foreign := foreigner(t, b)
		foreign("coffee.orders.arabica", good)
		foreign("coffee.orders.robusta", good)
		foreign("coffee.orders.arabica", `{`)
		brokertest.Eventually(t, "the drops", func() bool {
			n, err := conn.IntakeWaiting(ctx)
			_, told := s.event(fleet.PoisonID(fleet.StreamIntake, 3), "refused")
			return err == nil && n == 0 && told
		})
		stored, err := conn.Orders().Stored(ctx)
		if err != nil || len(stored) != 2 {
			t.Fatalf("%v %v", stored, err)
		}
		for _, seq := range []uint64{2, 3} {
			if ev, ok := s.event(fleet.PoisonID(fleet.StreamIntake, seq), "refused"); !ok || len(ev.Payload) == 0 {
				t.Errorf("poison %d: %+v", seq, ev)
			}
		}

		// Left by another one's crash: the sweep goes on with it.
		half := order("01JD0000000000000000000007")
		portion, _ := fleet.DefaultMenu().Portion(half)
		if _, err := parts.Ledger.Act(ctx, func(fleet.View) (*fleet.Record, error) {
			return &fleet.Record{IsClaim: true, Entry: fleet.Entry{Claim: fleet.Create(half, portion, fleet.Success(half.ID), "web")}}, nil
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(70 * time.Second)
		if stored, err := conn.Orders().Stored(ctx); err != nil || len(stored) != 3 || stored[2].Order != half.ID || stored[2].MessageID == half.ID {
			t.Errorf("%+v %v", stored, err)
		}

		// Another controller, an unknown one made again, a spoiled one too.
		stop()
		c, stop := run(t, real(conn, s), Config{Requests: true, Intake: true})
		defer stop()
		move(t, conn, id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) })
		move(t, conn, id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Park("eve", fleet.Reason{Text: "nobody knows"}) })
		brokertest.Eventually(t, "the new controller", func() bool { return len(c.Menu().Beans) > 0 })
		if err := c.MakeAgain(ctx, id1, "boss"); err != nil {
			t.Fatal(err)
		}
		move(t, conn, half.ID, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) })
		move(t, conn, half.ID, func(c fleet.Claim) (fleet.Claim, error) {
			return c.End(zoe, fleet.Spoiled, fleet.Reason{Text: "jam"}, 20, nil)
		})
		for _, id := range []string{id1, half.ID} {
			brokertest.Eventually(t, "its next message", func() bool {
				stored, err := conn.Orders().Stored(ctx)
				return err == nil && slices.ContainsFunc(stored, func(m fleet.StoredOrder) bool { return m.MessageID == id+"#e2" })
			})
			if e, err := conn.Book().Read(ctx, id); err != nil || e.Phase != fleet.Accepted || e.Epoch != 2 {
				t.Errorf("%+v %v", e.Claim, err)
			}
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
		for id, want := range map[string][]string{
			id1:     {"accepted", "brewing-1", "unknown-1", "again-2", "expired"},
			id2:     {"refused"},
			half.ID: {"accepted", "brewing-1", "end-1", "expired"},
		} {
			if d := cmp.Diff(want, s.eventsOf(id)); d != "" {
				t.Error(id, d)
			}
		}
	})
}

func move(t *testing.T, c *queue.Conn, id string, arrow func(fleet.Claim) (fleet.Claim, error)) {
	t.Helper()
	e, err := c.Book().Read(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	n, err := arrow(e.Claim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Book().Next(t.Context(), e.Revision, n); err != nil {
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

// TestRealFull: exactly as many orders are taken as may wait, from many at once at
// two controllers, and each has its message. A class that the queue does not list
// is listed for an order that was accepted.
func TestRealFull(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		conn := b.Connect("shop")
		s, done := keeps(t, conn, fleet.Items{"arabica": 100000, "mixed": 1000})
		defer done()
		defer beats(t, conn, "zoe")()
		c1, stop1 := run(t, real(conn, s), Config{})
		defer stop1()
		c2, stop2 := run(t, real(b.Connect("other"), s), Config{})
		defer stop2()
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			codes = map[string]int{}
		)
		for i := range 5 { // a few at a time: an answer is due within 2 s
			for j := range fleet.QueueMax/5 + 2 {
				wg.Go(func() {
					a := []*Controller{c1, c2}[j%2].Place(ctx, order(fmt.Sprintf("01JD0000000000000000001%d%02d", i, j)).Encode(), "web")
					mu.Lock()
					defer mu.Unlock()
					codes[a.Code]++
				})
			}
			wg.Wait()
		}
		if d := cmp.Diff(map[string]int{"": fleet.QueueMax, fleet.CodeQueueFull: 10}, codes); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Second)
		if d := cmp.Diff(fleet.Items{"arabica": 9 * fleet.QueueMax}, s.reserved()); d != "" {
			t.Error(d)
		}
		stored, err := conn.Orders().Stored(ctx)
		if err != nil || len(stored) != fleet.QueueMax {
			t.Errorf("%d messages, %v", len(stored), err)
		}
		for range 2 {
			if err := c1.Cancel(ctx, stored[0].Order, "Ada"); err != nil {
				t.Error(err)
			}
		}

		m := fleet.DefaultMenu()
		m.Beans = []string{"robusta"}
		if err := conn.Orders().List(ctx, m.Classes()); err != nil { // behind the controller's back
			t.Fatal(err)
		}
		if a := c1.Place(ctx, order(id1, func(o *fleet.Order) { o.Bean = "mixed" }).Encode(), "web"); !a.OK() {
			t.Errorf("%+v", a)
		}
		brokertest.Eventually(t, "its message", func() bool {
			stored, err := conn.Orders().Stored(ctx)
			return err == nil && stored[len(stored)-1].Order == id1
		})
	})
}

// TestRealTwoControllers: many customers, each asking twice at once at two
// controllers on the real broker, over links of which one goes silent.
func TestRealTwoControllers(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		near := b.Connect("one")
		link := b.Link()
		far := b.ConnectOver("two", link)
		s, done := keeps(t, near, fleet.Items{"arabica": 180}) // for twenty
		defer done()
		defer beats(t, near, "zoe")()
		c1, stop1 := run(t, real(near, s), Config{})
		c2, stop2 := run(t, real(far, s), Config{})
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
		stored, err := near.Orders().Stored(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.queue = stored
		s.mu.Unlock()
		promises(t, s, &h)
		if len(stored) != 20 {
			t.Errorf("%d orders for 180 g", len(stored))
		}
	})
}
