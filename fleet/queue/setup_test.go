package queue_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// foreign makes the article's bucket as its programs do, with both of the client's
// interfaces.
func foreign(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "orders-values"}); err != nil {
		t.Errorf("a foreign program can't make its bucket: %v", err)
	}
	former, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := former.CreateKeyValue(&nats.KeyValueConfig{Bucket: "orders-values"}); err != nil {
		t.Errorf("a foreign program can't make its bucket: %v", err)
	}
}

// TestForeignBucket: the article's programs start beside the shop, before it or
// after it.
func TestForeignBucket(t *testing.T) {
	ctx := t.Context()
	t.Run("after the shop", func(t *testing.T) { foreign(t, raw(t, brokertest.Start(t))) })
	t.Run("before the shop", func(t *testing.T) {
		b := brokertest.Bare(t)
		nc := raw(t, b)
		foreign(t, nc)
		c := b.Connect("one")
		if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
			t.Fatal(err)
		}
		if err := c.Pending(ctx, 3); err != nil {
			t.Error(err)
		}
		foreign(t, nc)
	})
}

// TestStreams: what the streams promise.
func TestStreams(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for info := range js.ListStreams(ctx).Info() {
		seen++
		cfg := info.Config
		memory := cfg.Name == "KV_coffee-machines" || cfg.Name == "KV_coffee-stock"
		if memory != (cfg.Storage == jetstream.MemoryStorage) {
			t.Errorf("%s is stored in %s", cfg.Name, cfg.Storage)
		}
		if async := cfg.Name == fleet.StreamEvents; async != (cfg.PersistMode == jetstream.AsyncPersistMode) {
			t.Errorf("%s is written %s", cfg.Name, cfg.PersistMode)
		}
		if (cfg.MaxBytes <= 0) != (cfg.Name == "KV_orders-values") {
			t.Errorf("%s is bound to %d bytes", cfg.Name, cfg.MaxBytes)
		}
		if cfg.Name == fleet.StreamBook && (cfg.AllowDirect || !cfg.DenyDelete || cfg.DenyPurge || !cfg.AllowRollup || cfg.MaxMsgsPerSubject != -1 || cfg.Discard != jetstream.DiscardNew || cfg.MaxAge != 0) {
			t.Errorf("the book: %+v", cfg)
		}
		if cfg.RePublish != nil {
			t.Errorf("%s is sent on", cfg.Name)
		}
	}
	if seen != 8 {
		t.Errorf("%d streams", seen)
	}
}

// opened is a broker as a shop of so many orders a day opens it on a store, and its
// streams.
func opened(t *testing.T, b *brokertest.Broker, perDay int) jetstream.JetStream {
	t.Helper()
	b.Stop()
	there, err := broker.Streams(b.Store())
	if err != nil {
		t.Fatal(err)
	}
	b.Room(queue.StoreBound(perDay, there))
	b.Again()
	c, err := queue.Connect(t.Context(), queue.Config{Name: "shop", InProcess: b, OrdersPerDay: perDay})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Setup(t.Context(), fleet.DefaultMenu()); err != nil {
		t.Errorf("%d orders a day: %v", perDay, err)
	}
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// configOf is a stream as it is.
func configOf(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	st, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return st.CachedInfo().Config
}

// TestOrdersPerDayMayChange: the next start takes the figure of the file, however
// far it is from the one before: the broker's bound comes first, and what the
// streams have counts in it.
func TestOrdersPerDayMayChange(t *testing.T) {
	b := brokertest.Bare(t)
	for _, perDay := range []int{500, 1000, 100_000, 1, 300, 500} {
		js := opened(t, b, perDay)
		if got, want := configOf(t, js, fleet.StreamBook).MaxBytes, max(32<<20, int64(perDay)*30*7<<10); got != want {
			t.Errorf("%d orders a day: the book may hold %d bytes, wanted %d", perDay, got, want)
		}
	}
}

// TestShrinksToWhatIsUsed: a smaller shop's streams keep what they hold, and a
// quarter, so that the next order still finds room.
func TestShrinksToWhatIsUsed(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Bare(t)
	js := opened(t, b, 2000)
	const records = 700 // of 60 KiB
	for range records {
		if _, err := js.Publish(ctx, "coffee.book.new-0.stock", make([]byte, 60<<10)); err != nil {
			t.Fatal(err)
		}
	}
	js = opened(t, b, 1)
	st, err := js.Stream(ctx, fleet.StreamBook)
	if err != nil {
		t.Fatal(err)
	}
	info := st.CachedInfo()
	if want := int64(info.State.Bytes) * 5 / 4; info.State.Msgs != records || info.Config.MaxBytes < want-1 || info.Config.MaxBytes > want+1 {
		t.Errorf("%d records in %d bytes, and room for %d, wanted %d", info.State.Msgs, info.State.Bytes, info.Config.MaxBytes, want)
	}
	js = opened(t, b, 1) // and no more than that, however often it is started
	if got := configOf(t, js, fleet.StreamBook).MaxBytes; got != info.Config.MaxBytes {
		t.Errorf("room for %d, and after another start for %d", info.Config.MaxBytes, got)
	}
}

// TestEveryFigureIsAdapted: whatever figure of a stream an upgrade changes, or a
// slip of the hand, the next start puts right, and nothing that is stored is lost.
func TestEveryFigureIsAdapted(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Bare(t)
	js := opened(t, b, 500)
	other := map[string]func(*jetstream.StreamConfig){
		"Subjects":          func(s *jetstream.StreamConfig) { s.Subjects = append(s.Subjects, "other."+s.Name) },
		"Discard":           func(s *jetstream.StreamConfig) { s.Discard = 1 - s.Discard },
		"MaxAge":            func(s *jetstream.StreamConfig) { s.MaxAge += 200 * 24 * time.Hour },
		"MaxBytes":          func(s *jetstream.StreamConfig) { s.MaxBytes *= 2 },
		"MaxMsgs":           func(s *jetstream.StreamConfig) { s.MaxMsgs = 1000 },
		"MaxMsgSize":        func(s *jetstream.StreamConfig) { s.MaxMsgSize = 99 },
		"MaxMsgsPerSubject": func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 9 },
		"Duplicates":        func(s *jetstream.StreamConfig) { s.Duplicates /= 3 },
		"AllowDirect":       func(s *jetstream.StreamConfig) { s.AllowDirect = !s.AllowDirect },
		"AllowRollup":       func(s *jetstream.StreamConfig) { s.AllowRollup = !s.AllowRollup },
		"RePublish":         func(s *jetstream.StreamConfig) { s.RePublish = &jetstream.RePublish{Destination: "elsewhere.>"} },
	}
	tried := map[string]int{}
	for _, name := range []string{"coffee-intake", "coffee-orders", "coffee-book", "coffee-events", "KV_coffee-machines", "KV_coffee-settings", "KV_coffee-stock"} {
		was := configOf(t, js, name)
		for figure, change := range other {
			cfg := was
			cfg.Subjects = slices.Clone(was.Subjects)
			if change(&cfg); name == fleet.StreamOrders && figure == "Subjects" {
				continue // its classes come and go
			}
			if _, err := js.UpdateStream(ctx, cfg); err != nil {
				continue // the broker itself refuses it
			}
			tried[figure]++
			c := b.Connect("again")
			if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
				t.Errorf("%s with another %s: %v", name, figure, err)
			}
			c.Close()
			if d := cmp.Diff(was, configOf(t, js, name)); d != "" {
				t.Errorf("%s with another %s: %s", name, figure, d)
			}
		}
	}
	for figure := range other {
		if tried[figure] == 0 {
			t.Errorf("no stream took another %s", figure)
		}
	}
}

// TestWhatCantBeChanged: a stream of another kind under our name is said with what
// to do; a bucket in memory is made anew.
func TestWhatCantBeChanged(t *testing.T) {
	ctx := t.Context()
	for name, kind := range map[string]jetstream.StreamConfig{
		"coffee-book":        {Subjects: []string{"coffee.book.>"}, Storage: jetstream.MemoryStorage},
		"coffee-orders":      {Subjects: []string{"coffee.orders.arabica.free"}},
		"coffee-events":      {Subjects: []string{"coffee.events.>"}, Storage: jetstream.MemoryStorage},
		"KV_coffee-settings": {Subjects: []string{"$KV.coffee-settings.>"}, Storage: jetstream.MemoryStorage},
		"KV_coffee-stock":    {Subjects: []string{"$KV.coffee-stock.>"}, Storage: jetstream.FileStorage},
		"KV_coffee-machines": {Subjects: []string{"$KV.coffee-machines.>"}, Storage: jetstream.FileStorage},
	} {
		b := brokertest.Bare(t)
		js, err := jetstream.New(raw(t, b))
		if err != nil {
			t.Fatal(err)
		}
		kind.Name = name
		if _, err := js.CreateStream(ctx, kind); err != nil {
			t.Fatal(err)
		}
		_, err = b.Connect("one").Setup(ctx, fleet.DefaultMenu())
		if name == "KV_coffee-stock" || name == "KV_coffee-machines" {
			if err != nil || configOf(t, js, name).Storage != jetstream.MemoryStorage {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || errors.Is(err, fleet.ErrNoAnswer) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "nats stream rm") || strings.Contains(err.Error(), "fresh") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStuckIsSaidBefore: what a stream can't become is said before the start, with the
// words of the start; no change is said of it.
func TestStuckIsSaidBefore(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Bare(t)
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []jetstream.StreamConfig{
		{Name: fleet.StreamOrders, Subjects: []string{"coffee.orders.arabica.free"}},
		{Name: "KV_" + fleet.BucketSettings, Subjects: []string{"$KV.coffee-settings.>"}, Retention: jetstream.WorkQueuePolicy},
	} {
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	}
	there, err := broker.Streams(b.Store())
	if err != nil {
		t.Fatal(err)
	}
	stuck := queue.Stuck(0, there)
	if len(stuck) != 2 {
		t.Fatal(stuck)
	}
	_, err = b.Connect("one").Setup(ctx, fleet.DefaultMenu())
	if err == nil || !strings.Contains(err.Error(), stuck[1].Error()) { // the settings' comes first, and is the end
		t.Errorf("check said %q, and the start %v", stuck, err)
	}
	if got := strings.Join(queue.Changes(0, there), "; "); strings.Contains(got, fleet.BucketSettings) || strings.Contains(got, fleet.StreamOrders) {
		t.Errorf("what is not changed: %s", got)
	}
	if err := js.DeleteStream(ctx, "KV_"+fleet.BucketSettings); err != nil {
		t.Fatal(err)
	}
	if _, err = b.Connect("two").Setup(ctx, fleet.DefaultMenu()); err == nil || !strings.Contains(err.Error(), stuck[0].Error()) {
		t.Errorf("check said %q, and the start %v", stuck, err)
	}
}

// TestNoRoomToGrow: a broker of somebody else's has a bound of its own. A stream
// that can't grow keeps its size, and the shop opens.
func TestNoRoomToGrow(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Bare(t)
	b.Room(queue.StoreNeeded(500))
	b.Restart()
	for _, perDay := range []int{500, 5000} {
		c, err := queue.Connect(ctx, queue.Config{Name: "shop", InProcess: b, OrdersPerDay: perDay})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Setup(ctx, fleet.DefaultMenu())
		c.Close()
		if err != nil {
			t.Errorf("%d orders a day: %v", perDay, err)
		}
	}
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if got := configOf(t, js, fleet.StreamBook).MaxBytes; got != 500*30*7<<10 {
		t.Errorf("the book may hold %d bytes", got)
	}
	// Where there is no room for a stream at all, that is the reason.
	small := brokertest.Bare(t)
	small.Room(40 << 20)
	small.Restart()
	if _, err := small.Connect("one").Setup(ctx, fleet.DefaultMenu()); !errors.Is(err, queue.ErrNoSpace) || errors.Is(err, fleet.ErrNoAnswer) || !strings.Contains(err.Error(), "needs 102.5 MiB, and all streams 210.4 MiB") {
		t.Errorf("without room: %v", err)
	}
}

// TestChangesAreSaidBefore: what check says of a store that is there.
func TestChangesAreSaidBefore(t *testing.T) {
	b := brokertest.Bare(t)
	if c := queue.Changes(500, nil); c != nil {
		t.Errorf("of no store: %q", c)
	}
	js := opened(t, b, 500)
	for perDay, want := range map[int][]string{
		500:  nil,
		1000: {"coffee-book: MaxBytes was 102.5 MiB and becomes 205.1 MiB", "coffee-events: MaxBytes was 87.9 MiB and becomes 175.8 MiB"},
	} {
		there, err := broker.Streams(b.Store())
		if err != nil || len(there) != 6 {
			t.Fatal(there, err)
		}
		if got := queue.Changes(perDay, there); !slices.Equal(got, want) {
			t.Errorf("%d orders a day: %q, wanted %q", perDay, got, want)
		}
	}
	if err := js.DeleteStream(t.Context(), fleet.StreamEvents); err != nil {
		t.Fatal(err)
	}
	there, err := broker.Streams(b.Store())
	if got := queue.Changes(500, there); err != nil || !slices.Equal(got, []string{"coffee-events is made, with room for 87.9 MiB"}) {
		t.Errorf("%q %v", got, err)
	}
}

// TestSizesFollow: the sizes follow the shop, but not below what is there.
func TestSizesFollow(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		st, err := js.Stream(ctx, fleet.StreamBook)
		if err != nil {
			t.Fatal(err)
		}
		return st.CachedInfo().Config.MaxBytes
	}
	was := size()
	for _, perDay := range []int{1000, 500} {
		c, err := queue.Connect(ctx, queue.Config{Name: "two", InProcess: b, OrdersPerDay: perDay})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Setup(ctx, fleet.DefaultMenu())
		c.Close()
		if want := was * int64(perDay) / 500; err != nil || size() != want {
			t.Errorf("%d orders a day: %d bytes, wanted %d; %v", perDay, size(), want, err)
		}
	}
}

// TestQueueOutlivesItsBroker: a broker that starts anew has forgotten its
// consumers; they are there again within a second of the reconnect, the order in
// hand comes again, and its former holder does not wait for ever.
func TestQueueOutlivesItsBroker(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		c := b.Connect("one")
		o, tk := c.Orders(), c.Tickets()
		time.Sleep(10 * time.Second) // the first look is over
		put(t, o, 1, "m1")
		held, err := tk.Next(ctx, []fleet.Class{arabica}, nil)
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(raw(t, b))
		if err != nil {
			t.Fatal(err)
		}
		b.Restart()
		begin := time.Now()
		brokertest.Eventually(t, "the broker", func() bool { _, err := js.AccountInfo(ctx); return err == nil })
		brokertest.Eventually(t, "the queue", func() bool {
			for _, class := range fleet.DefaultMenu().Classes() {
				cons, err := js.Consumer(ctx, fleet.StreamOrders, fleet.MakerDurable(class))
				if err != nil {
					return false
				}
				if !cons.CachedInfo().Config.MemoryStorage {
					t.Fatal("the state of a consumer is in a file")
				}
			}
			_, err1 := js.Consumer(ctx, fleet.StreamIntake, fleet.IntakeDurable)
			_, err2 := js.Stream(ctx, "KV_"+fleet.BucketMachines) // in memory, so it went with the broker
			_, err3 := js.Stream(ctx, "KV_"+fleet.BucketStock)
			return errors.Join(err1, err2, err3) == nil
		})
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the queue was there after %v", took)
		}
		begin = time.Now()
		if err := held.Done(ctx); !errors.Is(err, fleet.ErrNoAnswer) {
			t.Errorf("done of a delivery that the broker forgot: %v", err)
		}
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("given up after %v", took)
		}
		again, err := tk.Next(ctx, []fleet.Class{arabica}, nil)
		if err != nil || again.MessageID != "m1" || again.Created != entryN(1).Revision {
			t.Fatal(again, err)
		}
		if err := held.Done(ctx); err != nil { // now it is known again, whoever holds it
			t.Errorf("done of what is in hand again: %v", err)
		}
		if w, err := o.Waiting(ctx); err != nil || w[arabica] != 0 {
			t.Errorf("waiting: %v %v", w, err)
		}
	})
}

// TestDoneOutlastsASilence: a link that is silent is not a broker that forgot.
func TestDoneOutlastsASilence(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		link := b.Link()
		o := b.Connect("shop").Orders()
		put(t, o, 1, "m1")
		held, err := b.ConnectOver("one", link).Tickets().Next(t.Context(), []fleet.Class{arabica}, nil)
		if err != nil {
			t.Fatal(err)
		}
		link.Silence(true)
		time.AfterFunc(12*time.Second, func() { link.Silence(false) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := held.Done(ctx); err != nil {
			t.Error(err)
		}
		if w, err := o.Waiting(ctx); err != nil || w[arabica] != 0 {
			t.Errorf("waiting: %v %v", w, err)
		}
	})
}

// TestFormerConsumer: a consumer with its state in a file is made anew, with the
// orders that wait.
func TestFormerConsumer(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Bare(t) // where nobody else keeps the consumers
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	c := b.Connect("one")
	if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
		t.Fatal(err)
	}
	put(t, c.Orders(), 1, "m1")
	name := fleet.MakerDurable(arabica)
	cons, err := js.Consumer(ctx, fleet.StreamOrders, name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := cons.CachedInfo().Config
	cfg.MemoryStorage = false
	if err := js.DeleteConsumer(ctx, fleet.StreamOrders, name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(ctx, fleet.StreamOrders, cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
		t.Fatal(err)
	}
	if cons, err = js.Consumer(ctx, fleet.StreamOrders, name); err != nil || !cons.CachedInfo().Config.MemoryStorage {
		t.Errorf("%+v %v", cons, err)
	}
	if x, err := c.Tickets().Next(ctx, []fleet.Class{arabica}, nil); err != nil || x.MessageID != "m1" {
		t.Error(x, err)
	}
}

// TestSetupsAtOnce: of two controllers that start together, one makes the streams
// and the other takes them, though the menu changes between the two.
func TestSetupsAtOnce(t *testing.T) {
	small := fleet.DefaultMenu()
	small.Beans = small.Beans[:1]
	for range 5 {
		b := brokertest.Bare(t)
		b.Room(queue.StoreBound(0, nil)) // no more than a shop has
		b.Restart()
		errs := make(chan error, 2)
		for name, menu := range map[string]fleet.Menu{"one": fleet.DefaultMenu(), "two": small} {
			c := b.Connect(name)
			go func() {
				_, err := c.Setup(t.Context(), menu)
				errs <- err
			}()
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		b.Stop()
	}
}
