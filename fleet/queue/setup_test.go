package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
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
			_, err := js.Consumer(ctx, fleet.StreamIntake, fleet.IntakeDurable)
			return err == nil
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
