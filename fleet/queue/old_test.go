package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// former is a store as the version before the book made it.
type former struct {
	t  *testing.T
	js jetstream.JetStream
}

func (f former) put(subject, body string) {
	f.t.Helper()
	if _, err := f.js.Publish(f.t.Context(), subject, []byte(body)); err != nil {
		f.t.Fatal(err)
	}
}

func (f former) claim(n int, phase, more string) {
	f.t.Helper()
	o := orderN(n)
	f.put("$KV.coffee-claims."+o.ID, fmt.Sprintf(`{"phase":%q,"order":%s,"hash":%q,"doses":{"arabica":9},"answer":{"status":"success","message":"m","order_id":%q,"position":3},"epoch":1,"use":0,"attempts":1,"published":%q%s}`,
		phase, o.Encode(), o.Hash(), o.ID, o.ID, more))
}

// acts are what its ledger said, and left is what is on hand after them.
var (
	acts = []string{
		`{"act":"refill","items":{"arabica":1000,"milk":500},"key":"initial","at":"2026-01-01T00:00:00Z"}`,
		`{"act":"reserve","order":"01JD0000000000000000000001","items":{"arabica":9}}`,
		`{"act":"consume","order":"01JD0000000000000000000001","items":{"arabica":9}}`,
		`{"act":"consume","order":"01JD0000000000000000000001","items":{"arabica":9}}`, // again: once
		`{"act":"refill","items":{"arabica":1000},"key":"initial"}`,                    // again: once
		`{"act":"count","items":{"milk":400},"key":"c"}`,
		`{"act":"reserve","order":"01JD0000000000000000000002","items":{"arabica":20,"milk":100}}`,
		`{"act":"consume","order":"01JD0000000000000000000002","items":{"arabica":20,"milk":100}}`,
		`{"act":"release","order":"01JD0000000000000000000002","items":{"arabica":20,"milk":100}}`, // a person: not made
		`{"act":"consume","order":"01JD0000000000000000000003","items":{"arabica":30,"milk":50}}`,
		`{"act":"count","items":{"milk":320}}`,
		`{"act":"release","order":"01JD0000000000000000000003","items":{"arabica":30,"milk":50}}`, // milk was counted since
		`{"act":"waste","order":"01JD0000000000000000000003","use":1,"items":{"arabica":30}}`,
		`{"act":"consume","items":{"arabica":100,"sugar":4}}`, // sugar is not known
		`{"act":"refill","items":{"robusta":5}}`,
		`{"act":"waste","items":{"robusta":1000}}`, // not more than there is
		`{"act":"refill","items":{"milk":7}}`,
		`{"act":"refill","items":{"milk":-7}}`,
		`{"act":`,
	}
	left = fleet.Items{"arabica": 1000 - 9 - 30 - 100, "milk": 320 + 7, "robusta": 0}
)

func newFormer(t *testing.T, b *brokertest.Broker) former {
	t.Helper()
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	f := former{t, js}
	classes := []string{"coffee.orders.arabica.free", "coffee.orders.arabica.normal", "coffee.orders.arabica.soja"}
	work := func(name string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: name, Subjects: subjects, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
			MaxMsgs: 200, MaxBytes: 8 << 20, MaxMsgSize: 8 << 10, Duplicates: 15 * time.Minute, Replicas: 1, MaxConsumers: -1, MaxMsgsPerSubject: -1}
	}
	orders := work("coffee-orders", classes...)
	orders.RePublish = &jetstream.RePublish{Source: "coffee.orders.*.*", Destination: "coffee.wake.{{wildcard(1)}}.{{wildcard(2)}}", HeadersOnly: true}
	limits := func(name, subject string, size int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: name, Subjects: []string{subject}, MaxBytes: size, MaxMsgSize: 16 << 10, Discard: jetstream.DiscardNew,
			Duplicates: 2 * time.Minute, Replicas: 1, AllowDirect: true, MaxConsumers: -1, MaxMsgsPerSubject: -1, MaxMsgs: -1}
	}
	events := limits("coffee-events", "coffee.events.>", 45<<20)
	events.MaxAge, events.Discard = 90*24*time.Hour, jetstream.DiscardOld
	events.RePublish = &jetstream.RePublish{Source: "coffee.events.>", Destination: "coffee.live.>"}
	ledger := limits("coffee-ledger", "coffee.ledger", 365<<20)
	ledger.DenyDelete = true
	bucket := func(name string, size int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: "KV_" + name, Subjects: []string{"$KV." + name + ".>"}, MaxBytes: size, MaxMsgsPerSubject: 1, MaxMsgSize: -1,
			Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute, Replicas: 1, AllowRollup: true, DenyDelete: true, AllowDirect: true, MaxConsumers: -1, MaxMsgs: -1}
	}
	claims := bucket("coffee-claims", 45<<20)
	claims.AllowDirect = false
	machines := bucket("coffee-machines", 1<<20)
	machines.Storage, machines.MaxAge, machines.Duplicates = jetstream.MemoryStorage, 15*time.Second, 15*time.Second
	machines.AllowMsgTTL, machines.SubjectDeleteMarkerTTL = true, time.Hour
	for _, cfg := range []jetstream.StreamConfig{work("coffee-intake", "coffee.orders.*"), orders, events, ledger, claims, machines,
		bucket("coffee-settings", 4<<20), bucket("coffee-stock", 1<<20), bucket("orders-values", 1<<20)} {
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	durable := func(stream, name, filter string) {
		_, err := js.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: 15 * time.Second, MaxDeliver: -1, MaxAckPending: 1000, MaxRequestBatch: 1, MaxRequestExpires: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
	}
	durable("coffee-intake", "intake", "coffee.orders.*")
	durable("coffee-orders", "maker-arabica-free", classes[0])
	for _, a := range acts {
		f.put("coffee.ledger", a)
	}
	f.put("$KV.coffee-stock.levels", `{}`)
	f.put("$KV.orders-values.orders.pending", `2`)
	f.put("$KV.coffee-settings.cordon.zoe", `{"by":"ada","reason":"r"}`)
	f.put("coffee.events."+orderN(1).ID+".served", `{"order":"`+orderN(1).ID+`","kind":"served"}`)
	f.claim(1, "served", `,"outcome":"made","owner":{"machine":"zoe","journal":"j","boot":"b"},"past":[{"epoch":1,"use":0,"outcome":"spoiled"}]`)
	f.claim(2, "failed", `,"outcome":"untouched","code":"settled","reason":"a person says","by":"ada"`)
	f.claim(4, "refused", ``)
	f.claim(5, "served", ``)
	f.put("$KV.coffee-claims."+orderN(6).ID, ``) // removed
	f.put("$KV.coffee-claims."+orderN(7).ID, `{"phase":`)
	return f
}

func (f former) streams() []string {
	f.t.Helper()
	var names []string
	for name := range f.js.StreamNames(f.t.Context()).Name() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestFormerLayoutOpen: with open orders nothing is changed, and it is said what
// to do.
func TestFormerLayoutOpen(t *testing.T) {
	ctx := t.Context()
	for _, phase := range []string{"accepted", "claimed", "brewing", "unknown"} {
		t.Run(phase, func(t *testing.T) {
			b := brokertest.Bare(t)
			f := newFormer(t, b)
			f.claim(9, phase, ``)
			before := f.streams()
			c := b.Connect("one")
			_, err := c.Setup(ctx, fleet.DefaultMenu())
			if err == nil {
				t.Fatal("a store with an open order was taken over")
			}
			for _, want := range []string{orderN(9).ID, "former", "cancel", "settle"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if after := f.streams(); !slices.Equal(before, after) {
				t.Errorf("streams were %v, and are %v", before, after)
			}
			if err := c.Forget(ctx); err == nil {
				t.Error("forgotten before it was carried over")
			}
			if old, err := c.Old(ctx); err != nil || !old.There || !slices.Equal(old.Open, []string{orderN(9).ID}) {
				t.Errorf("%+v %v", old, err)
			}
		})
	}
}

// TestFormerLayout: what the version before the book left is carried over once,
// also over a start that broke off, and forgotten when a person says so.
func TestFormerLayout(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Bare(t)
	f := newFormer(t, b)
	b.Stop()
	there, err := broker.Streams(b.Store())
	if err != nil {
		t.Fatal(err)
	}
	b.Room(queue.StoreBound(0, there)) // as the shop bounds it
	b.Again()
	c := b.Connect("one")
	brokertest.Eventually(t, "the broker", func() bool { _, err := f.js.AccountInfo(ctx); return err == nil })

	// The start breaks off after the first order is in the book.
	part, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for part.Err() == nil {
			if _, err := c.Book().At(ctx, 1); err == nil {
				return
			}
		}
	}()
	if _, err := c.Setup(part, fleet.DefaultMenu()); err == nil {
		t.Log("the first start came to its end")
	}
	for range 2 {
		if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
			t.Fatal(err)
		}
	}
	var seen []fleet.Record
	follow, stop := context.WithCancel(ctx)
	c.Book().Follow(follow, 1, func(r fleet.Record) { seen = append(seen, r) }, stop)
	if len(seen) != 4 {
		t.Fatalf("%d records: %+v", len(seen), seen)
	}
	for i, n := range []int{1, 2, 5} {
		r := seen[i]
		if !r.Act || r.Order != orderN(n) || !r.Phase.Ended() || r.Hash != orderN(n).Hash() || r.Answer.Position != 3 || r.Via != fleet.ViaOld {
			t.Errorf("%+v", r)
		}
		if reserved, used, wasted := r.Portions(); len(r.Portion) != 0 && reserved+used+wasted > 0 {
			t.Errorf("an order that was carried over takes from the stock: %+v", r)
		}
		if len(r.Events()) != 0 {
			t.Errorf("it is told anew: %+v", r.Events())
		}
	}
	if seen[1].By != "ada" || seen[1].Code != "settled" || seen[1].Outcome != fleet.Untouched {
		t.Errorf("%+v", seen[1])
	}
	if s := seen[3].Stock; s == nil || s.Act != fleet.Count || !maps.Equal(s.Items, left) || s.Key == "" {
		t.Errorf("stock %+v, wanted %v", s, left)
	}
	if old, err := c.Old(ctx); err != nil || old.There {
		t.Errorf("%+v %v", old, err)
	}
	if got, err := c.Settings().Get(ctx, "cordon.zoe"); err != nil || !json.Valid(got) {
		t.Errorf("the cordon: %s %v", got, err)
	}
	foreign(t, raw(t, b))
	if err := errors.Join(c.Snapshot(ctx, []byte("{}")), c.Pending(ctx, 1)); err != nil {
		t.Error(err)
	}
	if told, err := c.Events().Told(ctx); err != nil || told != 0 {
		t.Errorf("told %d %v", told, err)
	}
	if err := c.Events().Publish(ctx, fleet.Event{Order: orderN(1).ID, Kind: fleet.EvServed}, 8); err != nil {
		t.Error(err)
	}

	if err := c.Forget(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Forget(ctx); err != nil {
		t.Errorf("forgotten twice: %v", err)
	}
	if all := strings.Join(f.streams(), " "); strings.Contains(all, "claims") || strings.Contains(all, "ledger") || !strings.Contains(all, "coffee-events") {
		t.Errorf("streams: %s", all)
	}
	if st, err := f.js.Stream(ctx, "coffee-events"); err != nil || st.CachedInfo().Config.PersistMode != jetstream.AsyncPersistMode || st.CachedInfo().Config.RePublish != nil {
		t.Errorf("%+v %v", st, err)
	}
	if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
		t.Error(err)
	}
}

// TestFormerLayoutOnce: settings that are lost do not bring the former stock back. The
// book itself shows that it was carried over, by whatever was written after it.
func TestFormerLayoutOnce(t *testing.T) {
	ctx := t.Context()
	for name, since := range map[string]func(t *testing.T, c *queue.Conn, last uint64) uint64{
		"nothing since": func(_ *testing.T, _ *queue.Conn, last uint64) uint64 { return last },
		"a count since": func(t *testing.T, c *queue.Conn, last uint64) uint64 {
			rev, err := c.Book().Act(ctx, fleet.Record{Stock: &fleet.StockAct{Act: fleet.Count, Items: fleet.Items{"arabica": 1}, Key: "c"}}, last)
			if err != nil {
				t.Fatal(err)
			}
			return rev.Seq
		},
		"a trimmed book": func(t *testing.T, c *queue.Conn, last uint64) uint64 {
			rev, err := c.Book().Act(ctx, claimOf(entryN(20)), last)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Book().Trim(ctx, rev.Seq); err != nil {
				t.Fatal(err)
			}
			return rev.Seq
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Bare(t)
			b.Stop()
			b.Room(8 << 30)
			b.Again()
			f := newFormer(t, b)
			c := b.Connect("one")
			if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
				t.Fatal(err)
			}
			last := since(t, c, 4)
			st, err := f.js.Stream(ctx, "KV_"+fleet.BucketSettings)
			if err == nil {
				err = st.Purge(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			if old, err := c.Old(ctx); err != nil || old.There {
				t.Errorf("%+v %v", old, err)
			}
			if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
				t.Fatal(err)
			}
			if st, err := f.js.Stream(ctx, fleet.StreamBook); err != nil || st.CachedInfo().State.LastSeq != last {
				t.Errorf("the book went on from %d: %+v %v", last, st.CachedInfo().State, err)
			}
		})
	}
}

// TestFreshStoreIsNotFormer: a new store has nothing to carry over.
func TestFreshStoreIsNotFormer(t *testing.T) {
	ctx := t.Context()
	c := brokertest.Start(t).Connect("one")
	if old, err := c.Old(ctx); err != nil || old.There {
		t.Errorf("%+v %v", old, err)
	}
	if _, err := c.Book().At(ctx, 1); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("the book of a new store: %v", err)
	}
}
