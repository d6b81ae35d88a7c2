package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// Setup makes the streams, consumers and buckets, or checks the ones that are
// there and says all that differs. It changes nothing but the list of classes,
// and never deletes and makes anew. The classes are those of the menu in the
// settings, or of def where none is set; the menu in force is returned. The
// shop's role calls it once at start.
func (c *Conn) Setup(ctx context.Context, def fleet.Menu) (fleet.Menu, error) {
	var errs []error
	for _, want := range c.streams(def.Classes()) {
		if want.Name != fleet.StreamOrders {
			errs = append(errs, c.stream(ctx, want))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return def, err
	}
	menu := def
	switch b, err := c.Settings().Get(ctx, fleet.KeyMenu); {
	case err == nil:
		if menu, err = fleet.ParseMenu(b); err != nil {
			return def, fmt.Errorf("the menu in the settings: %w; mend it with barista menu set", err)
		}
	case !errors.Is(err, fleet.ErrNotFound):
		return def, err
	}
	if err := menu.Check(); err != nil {
		return menu, err
	}
	for _, want := range c.streams(menu.Classes()) {
		if want.Name == fleet.StreamOrders {
			if err := c.stream(ctx, want); err != nil {
				return menu, err
			}
		}
	}
	if err := c.durable(ctx, fleet.StreamIntake, fleet.IntakeDurable, "coffee.orders.*"); err != nil {
		return menu, err
	}
	return menu, c.Orders().List(ctx, menu.Classes())
}

const day = 24 * time.Hour

// size of a thing per order and day, by measurement of what one order writes:
// a claim with its answer and two former epochs about 1.5 KiB, its events about
// 5 KiB, its ledger entries about 0.5 KiB. Sized with a factor of two.
func (c *Conn) sized(kib, days int, least int64) int64 {
	perDay := c.cfg.OrdersPerDay
	if perDay == 0 {
		perDay = 500
	}
	return max(least, int64(perDay)*int64(days)*int64(kib)<<10)
}

// StoreNeeded is how many bytes of disk the streams reserve.
func StoreNeeded(ordersPerDay int) int64 {
	c := &Conn{cfg: Config{OrdersPerDay: ordersPerDay}}
	var sum int64
	for _, s := range c.streams([]fleet.Class{{Bean: "x", Milk: "x"}}) {
		if s.Storage == jetstream.FileStorage {
			sum += s.MaxBytes
		}
	}
	return sum
}

// streams are the shop's streams; buckets are streams too, and are written down
// as such because claims need direct reads off, which the client's own bucket
// call always turns on.
func (c *Conn) streams(classes []fleet.Class) []jetstream.StreamConfig {
	var subjects []string
	for _, class := range classes {
		subjects = append(subjects, fleet.OrderSubject(class))
	}
	slices.Sort(subjects)
	work := func(name string, subjects []string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: subjects, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
			Discard: jetstream.DiscardNew, MaxMsgs: fleet.QueueMax, MaxBytes: 8 << 20, MaxMsgSize: 8 << 10,
			Duplicates: 15 * time.Minute, Replicas: 1, MaxConsumers: -1, MaxMsgsPerSubject: -1,
		}
	}
	intake := work(fleet.StreamIntake, []string{"coffee.orders.*"})
	orders := work(fleet.StreamOrders, subjects)
	orders.RePublish = &jetstream.RePublish{Source: "coffee.orders.*.*", Destination: "coffee.wake.{{wildcard(1)}}.{{wildcard(2)}}", HeadersOnly: true}

	limits := func(name, subject string, maxBytes int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage, MaxBytes: maxBytes, MaxMsgSize: 16 << 10,
			Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute, Replicas: 1, AllowDirect: true,
			MaxConsumers: -1, MaxMsgsPerSubject: -1, MaxMsgs: -1,
		}
	}
	events := limits(fleet.StreamEvents, "coffee.events.>", c.sized(1, 90, 32<<20))
	events.MaxAge, events.Discard = 90*day, jetstream.DiscardOld
	events.RePublish = &jetstream.RePublish{Source: "coffee.events.>", Destination: "coffee.live.>"}
	ledger := limits(fleet.StreamLedger, ledgerSubject, c.sized(1, 2*365, 32<<20))
	ledger.DenyDelete = true

	bucket := func(name string, maxBytes int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: "KV_" + name, Subjects: []string{"$KV." + name + ".>"}, Storage: jetstream.FileStorage,
			MaxBytes: maxBytes, MaxMsgsPerSubject: 1, MaxMsgSize: -1, Discard: jetstream.DiscardNew,
			Duplicates: 2 * time.Minute, Replicas: 1, AllowRollup: true, DenyDelete: true, AllowDirect: true,
			MaxConsumers: -1, MaxMsgs: -1,
		}
	}
	claims := bucket(fleet.BucketClaims, c.sized(3, 30, 16<<20))
	claims.AllowDirect = false // "no claim" is believed from the leader only
	machines := bucket(fleet.BucketMachines, 1<<20)
	machines.Storage, machines.MaxAge = jetstream.MemoryStorage, fleet.PresenceTTL
	machines.Duplicates = fleet.PresenceTTL
	machines.AllowMsgTTL, machines.SubjectDeleteMarkerTTL = true, time.Hour
	return []jetstream.StreamConfig{
		intake, orders, events, ledger, claims, machines,
		bucket(fleet.BucketSettings, 4<<20), bucket(fleet.BucketStock, 1<<20), bucket(fleet.BucketValues, 1<<20),
	}
}

func (c *Conn) stream(ctx context.Context, want jetstream.StreamConfig) error {
	st, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err := c.js.CreateStream(ctx, want); err != nil {
			return unsure("make "+want.Name, err)
		}
		return nil
	}
	if err != nil {
		return unsure("look at "+want.Name, err)
	}
	have := st.CachedInfo().Config
	if want.Name == fleet.StreamOrders {
		have.Subjects = want.Subjects // List looks after them
	}
	if d := differences(want, have, "Name", "Subjects", "Retention", "Storage", "Discard", "MaxMsgs", "MaxBytes", "MaxMsgSize", "MaxAge",
		"MaxMsgsPerSubject", "Duplicates", "RePublish", "AllowDirect", "AllowRollup", "DenyDelete", "AllowMsgTTL", "SubjectDeleteMarkerTTL"); len(d) > 0 {
		return fmt.Errorf("stream %s was made differently: %s; change it by hand (nats stream edit), or start with a fresh store", want.Name, strings.Join(d, ", "))
	}
	return nil
}

// durable makes a consumer or checks it.
func (c *Conn) durable(ctx context.Context, stream, name, filter string) error {
	want := jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: fleet.AckWait, MaxDeliver: -1, MaxAckPending: 1000, MaxRequestBatch: 1, MaxRequestExpires: 30 * time.Second,
	}
	cons, err := c.js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if _, err := c.js.CreateConsumer(ctx, stream, want); err != nil {
			return unsure("make the queue "+name, err)
		}
		return nil
	}
	if err != nil {
		return unsure("look at the queue "+name, err)
	}
	if d := differences(want, cons.CachedInfo().Config, "Durable", "FilterSubject", "AckPolicy", "DeliverPolicy", "AckWait", "MaxDeliver",
		"MaxAckPending", "MaxRequestBatch", "MaxRequestExpires", "BackOff"); len(d) > 0 {
		return fmt.Errorf("consumer %s was made differently: %s; change it by hand (nats consumer edit)", name, strings.Join(d, ", "))
	}
	return nil
}

// differences compares the named fields of two configurations.
func differences[T any](want, have T, fields ...string) []string {
	var out []string
	w, h := reflect.ValueOf(want), reflect.ValueOf(have)
	for _, f := range fields {
		a, b := w.FieldByName(f), h.FieldByName(f)
		if a.IsZero() && b.IsZero() || reflect.DeepEqual(a.Interface(), b.Interface()) {
			continue
		}
		out = append(out, fmt.Sprintf("%s is %s, wanted %s", f, show(b), show(a)))
	}
	return out
}

func show(v reflect.Value) string {
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	return string(b)
}

// Fill is how full each stream is, 0 to 1, for an alarm at 0.8.
func (c *Conn) Fill(ctx context.Context) (map[string]float64, error) {
	out := map[string]float64{}
	for _, s := range c.streams([]fleet.Class{{Bean: "x", Milk: "x"}}) {
		st, err := c.js.Stream(ctx, s.Name)
		if err != nil {
			return nil, unsure("look at "+s.Name, err)
		}
		info := st.CachedInfo()
		if info.Config.MaxBytes > 0 {
			out[s.Name] = float64(info.State.Bytes) / float64(info.Config.MaxBytes)
		}
	}
	return out, nil
}
