package queue_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// asMade is what the shop makes at the broker, as it is now: streams and consumers
// with their figures.
func asMade(t *testing.T, js jetstream.JetStream) map[string]any {
	t.Helper()
	out := map[string]any{}
	for info := range js.ListStreams(t.Context()).Info() {
		out[info.Config.Name] = info.Config
		st, err := js.Stream(t.Context(), info.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		for c := range st.ListConsumers(t.Context()).Info() {
			if c.Config.Durable != "" {
				c.Config.PauseUntil = nil // of the past, once it goes on
				out[info.Config.Name+" "+c.Name] = c.Config
				if c.Paused {
					out[c.Name] = "paused"
				}
			}
		}
	}
	return out
}

// TestSlipsOfTheHand: whatever somebody removes, pauses or edits at the broker, is
// as it was within a minute, and works.
func TestSlipsOfTheHand(t *testing.T) {
	maker := fleet.MakerDurable(arabica)
	edit := func(name string, change func(*jetstream.StreamConfig)) func(context.Context, jetstream.JetStream) error {
		return func(ctx context.Context, js jetstream.JetStream) error {
			st, err := js.Stream(ctx, name)
			if err != nil {
				return err
			}
			cfg := st.CachedInfo().Config
			change(&cfg)
			_, err = js.UpdateStream(ctx, cfg)
			return err
		}
	}
	remove := func(name string) func(context.Context, jetstream.JetStream) error {
		return func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, name) }
	}
	for what, slip := range map[string]func(context.Context, jetstream.JetStream) error{
		"a queue removed": func(ctx context.Context, js jetstream.JetStream) error {
			return js.DeleteConsumer(ctx, fleet.StreamOrders, maker)
		},
		"the intake's queue removed": func(ctx context.Context, js jetstream.JetStream) error {
			return js.DeleteConsumer(ctx, fleet.StreamIntake, fleet.IntakeDurable)
		},
		"a queue paused": func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.PauseConsumer(ctx, fleet.StreamOrders, maker, time.Now().Add(24*time.Hour))
			return err
		},
		"a queue edited": func(ctx context.Context, js jetstream.JetStream) error {
			cons, err := js.Consumer(ctx, fleet.StreamOrders, maker)
			if err != nil {
				return err
			}
			cfg := cons.CachedInfo().Config
			cfg.AckWait, cfg.MaxDeliver, cfg.MaxAckPending = time.Hour, 1, 1
			_, err = js.UpdateConsumer(ctx, fleet.StreamOrders, cfg)
			return err
		},
		"the queues removed":           remove(fleet.StreamOrders),
		"the intake removed":           remove(fleet.StreamIntake),
		"the events removed":           remove(fleet.StreamEvents),
		"who is here removed":          remove("KV_" + fleet.BucketMachines),
		"the settings removed":         remove("KV_" + fleet.BucketSettings),
		"the stock's snapshot removed": remove("KV_" + fleet.BucketStock),
		"the article's bucket removed": remove("KV_" + fleet.BucketValues),
		"an age on the book":           edit(fleet.StreamBook, func(s *jetstream.StreamConfig) { s.MaxAge = time.Hour }),
		"other subjects":               edit(fleet.StreamEvents, func(s *jetstream.StreamConfig) { s.Subjects = []string{"coffee.event.>"} }),
	} {
		t.Run(what, func(t *testing.T) {
			brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
				ctx, stop := context.WithCancel(t.Context())
				c := b.Connect("shop")
				js, err := jetstream.New(raw(t, b))
				if err != nil {
					t.Fatal(err)
				}
				var mu sync.Mutex
				seen, set := map[string]bool{}, map[string]string{}
				var watching sync.WaitGroup
				watching.Go(func() {
					c.Fleet().Watch(ctx, func(p fleet.Presence, here bool) {
						mu.Lock()
						defer mu.Unlock()
						seen[p.Machine] = here
					}, nil)
				})
				watching.Go(func() {
					c.Settings().Watch(ctx, func(key string, v []byte) {
						mu.Lock()
						defer mu.Unlock()
						set[key] = string(v)
					}, nil)
				})
				defer watching.Wait()
				defer stop()
				for range 20 { // so that a stream that begins anew has smaller numbers
					_ = c.Settings().Put(ctx, "a", []byte("0"))
					_ = c.Fleet().Announce(ctx, fleet.Presence{Machine: "max"})
				}
				time.Sleep(5 * time.Second)
				before := asMade(t, js)
				if err := slip(ctx, js); err != nil {
					t.Fatal(err)
				}
				time.Sleep(61 * time.Second)
				if d := cmp.Diff(before, asMade(t, js)); d != "" {
					t.Error(d)
				}
				if got := troubles(c); len(got) > 0 {
					t.Errorf("%q", got)
				}
				put(t, c.Orders(), 1, "m1")
				short, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				if x, err := c.Tickets().Next(short, []fleet.Class{arabica}, nil); err != nil || x.MessageID != "m1" {
					t.Errorf("%+v %v", x, err)
				}
				if err := errors.Join(c.Settings().Put(ctx, "b", []byte("1")), c.Fleet().Announce(ctx, fleet.Presence{Machine: "zoe"}), c.Pending(ctx, 1), c.Snapshot(ctx, nil)); err != nil {
					t.Error(err)
				}
				time.Sleep(61 * time.Second) // whoever watched the former one, sees the new one
				if err := errors.Join(c.Settings().Put(ctx, "c", []byte("2")), c.Fleet().Announce(ctx, fleet.Presence{Machine: "zoe"})); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				if !seen["zoe"] || set["b"] != "1" || set["c"] != "2" {
					t.Errorf("seen %v, set %v", seen, set)
				}
			})
		})
	}
}

// TestNoPurge: what may deny a purge does.
func TestNoPurge(t *testing.T) {
	js, err := jetstream.New(raw(t, brokertest.Start(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fleet.StreamOrders, fleet.StreamIntake, fleet.StreamEvents} {
		st, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if st.Purge(t.Context()) == nil {
			t.Errorf("%s was purged", name)
		}
	}
}

// TestAnotherBook: without its book, or with one that it does not know, the service
// ends with that reason; a start begins with what is there.
func TestAnotherBook(t *testing.T) {
	for _, what := range []string{"it is gone", "it was made"} {
		brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
			ctx := t.Context()
			js, err := jetstream.New(raw(t, b))
			if err != nil {
				t.Fatal(err)
			}
			c := b.Connect("shop")
			ended := make(chan error, 1)
			if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
				t.Fatal(err)
			}
			go func() { ended <- c.Keep(ctx, fleet.DefaultMenu()) }()
			time.Sleep(time.Second)
			cfg := configOf(t, js, fleet.StreamBook)
			if err := js.DeleteStream(ctx, fleet.StreamBook); err != nil {
				t.Fatal(err)
			}
			if what == "it was made" {
				if _, err := js.CreateStream(ctx, cfg); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(61 * time.Second)
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), what) {
					t.Error(err)
				}
			default:
				t.Error("it goes on")
			}
		})
	}
}

// TestOneSlipHoldsUpNoOther: a stream that can't be put right is said, and the queue
// that was removed is made all the same.
func TestOneSlipHoldsUpNoOther(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		js, err := jetstream.New(raw(t, b))
		if err != nil {
			t.Fatal(err)
		}
		c := b.Connect("shop")
		go c.Keep(ctx, fleet.DefaultMenu())
		time.Sleep(time.Second)
		name := fleet.MakerDurable(arabica)
		if err := errors.Join(js.DeleteStream(ctx, fleet.StreamEvents), js.DeleteConsumer(ctx, fleet.StreamOrders, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: fleet.StreamEvents, Subjects: []string{"coffee.events.>"}, Storage: jetstream.MemoryStorage}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if _, err := js.Consumer(ctx, fleet.StreamOrders, name); err != nil {
			t.Error(err)
		}
		all := c.Troubles()
		if len(all) != 1 || all[0].Code != fleet.CodeStreams || !strings.Contains(all[0].Text, "nats stream rm coffee-events") {
			t.Errorf("%+v", all)
		}
	})
}
