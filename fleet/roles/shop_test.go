package roles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// TestShopAtWork has every role do its work behind the accounts, as the program does it:
// under fake time in this process, and at a server of its own.
func TestShopAtWork(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		broker.HoldClock()
		runtime.GC() // timers that the client keeps from outside of the bubble
		runtime.GC()
		all, table := everybody(t)
		text, err := table.Text()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(func() { time.Sleep(time.Second) }) // for what the broker still writes
			b, err := broker.Open(context.Background(), broker.Config{Name: "shop", Store: t.TempDir(), MaxStore: 2 << 30, Accounts: text, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { time.Sleep(time.Nanosecond); b.Close() })
			w := &work{t: t, b: b, all: all}
			w.begin()
			w.pulls()
			w.silence()
			w.talks()
			w.keeps()
		})
		runtime.GC()
		runtime.GC()
	})
	t.Run("external", func(t *testing.T) {
		all, table := everybody(t)
		text, err := table.Text()
		if err != nil {
			t.Fatal(err)
		}
		w := &work{t: t, url: servers["external"](t, store(t), text), all: all}
		w.begin()
		w.pulls()
		w.talks()
		w.keeps()
		w.programs()
	})
}

// work is a shop at work.
type work struct {
	t   *testing.T
	b   *broker.Broker
	url string
	all []person
	n   int

	ctl, zoe, leo *queue.Conn
}

func (w *work) as(name string) *queue.Conn {
	return as(w.t, w.b, w.url, w.all[slices.IndexFunc(w.all, func(p person) bool { return p.Name == name })])
}

// serve answers on a subject with the subject until the test ends.
func (w *work) serve(c *queue.Conn, subject string, shared bool) {
	w.t.Helper()
	var done sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(func() { cancel(); done.Wait() })
	done.Go(func() {
		if err := c.Server().Serve(ctx, subject, shared, func(_ context.Context, subject string, _ []byte) []byte { return []byte(subject) }); ctx.Err() == nil {
			w.t.Error(subject, err)
		}
	})
}

// begin opens the shop and two machines.
func (w *work) begin() {
	w.ctl, w.zoe, w.leo = w.as("controller"), w.as("zoe"), w.as("leo")
	if _, err := w.ctl.Setup(w.t.Context(), fleet.DefaultMenu()); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range []string{"coffee.desk.*.*", "coffee.controller.cancel", "coffee.controller.settle", fleet.SubjectRequests} {
		w.serve(w.ctl, s, true)
	}
	for _, s := range []string{fleet.CommandSubject("zoe"), fleet.CupSubject("zoe"), fleet.ProcessSubject("zoe", "0123456789abcdef")} {
		w.serve(w.zoe, s, false)
	}
}

// order puts one into the queue.
func (w *work) order(c fleet.Class) string {
	w.t.Helper()
	w.n++
	o := fleet.Order{ID: fmt.Sprintf("01JD%022d", w.n), Name: "Ada", Size: fleet.Small, Bean: c.Bean, Milk: c.Milk}
	e := fleet.Entry{Claim: fleet.Create(o, fleet.Items{c.Bean: 9}, fleet.Success(o.ID), "request"), Revision: fleet.Revision{Seq: uint64(w.n), Rec: "W"}}
	if err := w.ctl.Orders().Publish(w.t.Context(), e, e.MessageID()); err != nil {
		w.t.Fatal(err)
	}
	return o.ID
}

// next takes an order, which must be that one.
func (w *work) next(from fleet.Tickets, id string, delivered int, classes ...fleet.Class) *fleet.Ticket {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	ticket, err := from.Next(ctx, classes, nil)
	if err != nil {
		w.t.Fatalf("no order: %v", err)
	}
	if o, err := fleet.DecodeOrder(ticket.Body, nil); err != nil || o.ID != id || ticket.Delivered != delivered {
		w.t.Fatalf("order %s for the %d. time, wanted %s for the %d. (%v)", o.ID, ticket.Delivered, id, delivered, err)
	}
	return ticket
}

// none makes sure that nothing is there to take.
func (w *work) none(from fleet.Tickets, wait time.Duration, classes ...fleet.Class) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), wait)
	defer cancel()
	if ticket, err := from.Next(ctx, classes, nil); err == nil {
		w.t.Errorf("it took %s", ticket.Body)
	}
}

func (w *work) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// pulls takes orders and lets go of them in each way, through the imports.
func (w *work) pulls() {
	ctx, zoe, leo := w.t.Context(), w.zoe.Tickets(), w.leo.Tickets()
	id := w.order(arabica)
	ticket := w.next(zoe, id, 1, arabica)
	w.must(ticket.Beat())
	w.must(ticket.Return(ctx, 300*time.Millisecond))
	began := time.Now()
	ticket = w.next(leo, id, 2, arabica, robusta)
	if d := time.Since(began); d < 200*time.Millisecond {
		w.t.Errorf("it came again after %v", d)
	}
	w.must(ticket.Return(ctx, 0))
	ticket = w.next(zoe, id, 3, arabica)
	w.must(ticket.Done(ctx))
	id = w.order(arabica)
	w.must(w.next(zoe, id, 1, arabica).Terminate(ctx, "no order", true))
	if waiting, err := w.ctl.Orders().Waiting(ctx); err != nil || waiting[arabica] != 0 {
		w.t.Errorf("in the queue: %v %v", waiting, err)
	}
	// A pull that waits at the broker brings the order that comes.
	var late sync.WaitGroup
	late.Go(func() { id = w.order(robusta) })
	ctx2, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticket, err := leo.Next(ctx2, []fleet.Class{arabica, robusta}, nil)
	late.Wait()
	w.must(err)
	w.must(ticket.Done(ctx))
	// A spare looks, and takes.
	id = w.order(arabica)
	if ticket, err = zoe.Next(ctx2, []fleet.Class{arabica}, func() bool { return true }); err != nil || ticket.MessageID == "" {
		w.t.Fatal(id, err)
	}
	w.must(ticket.Done(ctx))
}

// silence is what takes time: beats keep a delivery, and silence loses it.
func (w *work) silence() {
	ctx, zoe, leo := w.t.Context(), w.zoe.Tickets(), w.leo.Tickets()
	// A machine that leaves with pulls parked takes no order with it.
	gone := w.as("leo")
	w.none(gone.Tickets(), 100*time.Millisecond, arabica)
	gone.Close()
	synctest.Wait() // the broker has seen that it left
	id := w.order(arabica)
	w.must(w.next(zoe, id, 1, arabica).Done(ctx))
	id = w.order(arabica)
	ticket := w.next(zoe, id, 1, arabica)
	for range 12 {
		time.Sleep(fleet.BeatEvery)
		w.must(ticket.Beat())
	}
	w.none(leo, fleet.BeatEvery, arabica)
	began := time.Now()
	again := w.next(leo, id, 2, arabica)
	if d := time.Since(began); d < fleet.AckWait/2 || d > 2*fleet.AckWait {
		w.t.Errorf("another machine had it after %v", d)
	}
	time.Sleep(fleet.BeatEvery)
	if err := ticket.Beat(); !errors.Is(err, fleet.ErrStale) {
		w.t.Errorf("who was silent: %v", err)
	}
	w.must(again.Done(ctx))
	// A pull parked for longer than the broker keeps the way open for other answers.
	var late sync.WaitGroup
	late.Go(func() { time.Sleep(3 * time.Minute); w.order(arabica) })
	ctx2, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	began = time.Now()
	ticket, err := zoe.Next(ctx2, []fleet.Class{arabica}, nil)
	late.Wait()
	w.must(err)
	if d := time.Since(began); d > 3*time.Minute+time.Second {
		w.t.Errorf("an order that came after 3 min was taken after %v", d)
	}
	w.must(ticket.Done(ctx))
}

// talks are the requests and the live messages between the accounts.
func (w *work) talks() {
	ctx := w.t.Context()
	lea, web, foreign := w.as("lea"), w.as("web"), w.as("foreign")
	cmd, cup, process := fleet.CommandSubject("zoe"), fleet.CupSubject("zoe"), fleet.ProcessSubject("zoe", "0123456789abcdef")
	for _, ask := range []struct {
		who     *queue.Conn
		subject string
	}{
		{w.zoe, fleet.DeskSubject("zoe", fleet.DeskTake)}, {w.leo, fleet.DeskSubject("leo", fleet.DeskPresence)},
		{w.ctl, cmd}, {w.ctl, process}, {lea, cmd}, {lea, cup}, {web, cup},
		{lea, "coffee.controller.settle"}, {web, "coffee.controller.cancel"}, {foreign, fleet.SubjectRequests},
	} {
		var b []byte
		var err error
		brokertest.Eventually(w.t, "an answer on "+ask.subject, func() bool {
			b, err = ask.who.Requester().Request(ctx, ask.subject, nil)
			return !errors.Is(err, fleet.ErrNobody)
		})
		if err != nil || string(b) != ask.subject {
			w.t.Errorf("%s: %q %v", ask.subject, b, err)
		}
	}
	// A machine that is not here is nobody, at once: the desk goes by it.
	if _, err := w.ctl.Requester().Request(ctx, fleet.ProcessSubject("leo", "0123456789abcdef"), nil); !errors.Is(err, fleet.ErrNobody) {
		w.t.Errorf("a process that is gone: %v", err)
	}
	// Every service of every connection is seen: those of a machine too.
	answers, err := lea.AskAll(ctx, "$SRV.PING", nil)
	names := map[string]int{}
	for _, a := range answers {
		name := strings.SplitN(strings.SplitN(string(a), `"name":"`, 2)[1], `"`, 2)[0]
		names[name]++
	}
	if err != nil || names["controller"] != 4 || names["zoe"] != 3 {
		w.t.Errorf("services: %v %v", names, err)
	}
	heard := make(chan string, 100)
	var ears sync.WaitGroup
	ctx2, cancel := context.WithCancel(ctx)
	for name, c := range map[string]*queue.Conn{"controller": w.ctl, "lea": lea, "web": web} {
		ears.Go(func() { _ = c.Events().FollowLive(ctx2, func(e fleet.Event) { heard <- name + " " + e.Machine }) })
	}
	defer ears.Wait()
	defer cancel()
	e := fleet.Event{Order: anOrder, Kind: fleet.EvStep, Machine: "zoe", Epoch: 1, N: 1, Step: "grind", At: time.Now()}
	want := map[string]bool{"controller zoe": true, "lea zoe": true, "web zoe": true}
	brokertest.Eventually(w.t, "everybody to hear what passes at zoe", func() bool {
		w.zoe.Events().Live(e)
		for len(heard) > 0 {
			delete(want, <-heard)
		}
		return len(want) == 0
	})
}

// keeps has the archive's own key keep all events, more than one pull brings, with a batch
// in between that is not kept.
func (w *work) keeps() {
	const n = 300
	for i := range n {
		w.must(w.ctl.Events().Publish(w.t.Context(), fleet.Event{Order: fmt.Sprintf("01JE%022d", i), Kind: fleet.EvRefused, Epoch: 1, At: time.Now()}, uint64(i+1)))
	}
	c := w.as("archive")
	ctx, done := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer done()
	got, calls, twice := map[string]int{}, 0, 0
	keep := func(_ context.Context, batch []fleet.StoredEvent) error {
		if calls++; calls == 2 {
			return errors.New("not kept")
		}
		for _, e := range batch {
			if got[e.ID]++; got[e.ID] > 1 {
				twice++
			}
		}
		return nil
	}
	for len(got) < n && ctx.Err() == nil {
		one, stop := context.WithCancel(ctx)
		err := c.KeepEvents(one, 128, func(ctx context.Context, batch []fleet.StoredEvent) error {
			if len(batch) > 128 {
				w.t.Errorf("%d at once", len(batch))
			}
			err := keep(ctx, batch)
			if len(got) == n {
				stop()
			}
			return err
		})
		stop()
		if len(got) < n && (err == nil || !strings.Contains(err.Error(), "not kept")) {
			w.t.Fatal(err)
		}
	}
	if len(got) != n || calls < 4 || twice > 0 {
		w.t.Errorf("%d of %d events, in %d calls, %d twice", len(got), n, calls, twice)
	}
}

// programs are those of others: a drop without a key, and a monitor's view of the store.
func (w *work) programs() {
	ctx := w.t.Context()
	find := func(name string) person {
		return w.all[slices.IndexFunc(w.all, func(p person) bool { return p.Name == name })]
	}
	foreign, err := join(w.t, w.url, find("foreign"))
	w.must(err)
	js, err := jetstream.New(foreign.Conn)
	w.must(err)
	ack, err := js.Publish(ctx, "coffee.orders.arabica", []byte("one please"))
	if err != nil || ack.Stream != fleet.StreamIntake {
		w.t.Fatal(ack, err)
	}
	drop, err := w.ctl.Intake().NextDrop(ctx)
	if err != nil || string(drop.Body) != "one please" {
		w.t.Fatal(drop, err)
	}
	w.must(drop.Done(ctx))
	monitor, err := join(w.t, w.url, find("monitor"), nats.NoReconnect())
	w.must(err)
	js, err = jetstream.NewWithAPIPrefix(monitor.Conn, monitorAPI)
	w.must(err)
	st, err := js.Stream(ctx, fleet.StreamOrders)
	w.must(err)
	if c, err := st.Consumer(ctx, fleet.MakerDurable(arabica)); err != nil || c.CachedInfo().Delivered.Consumer == 0 {
		w.t.Error(c, err)
	}
	if info, err := js.AccountInfo(ctx); err != nil || info.Streams < 8 {
		w.t.Error(info, err)
	}
}
