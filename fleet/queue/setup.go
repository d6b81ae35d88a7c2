package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// Setup makes the streams, consumers and buckets, or checks the ones that are
// there and says all that differs. It changes sizes and the list of classes, and
// makes consumers anew; it never does that to a stream, but for what the former
// layout leaves that holds nothing of worth (see Old). A store of that layout with
// open orders is refused. The classes are those of the menu in the settings, or of
// def where none is set; the menu in force is returned. The shop's role calls it
// once at start, and Keep from then on.
func (c *Conn) Setup(ctx context.Context, def fleet.Menu) (fleet.Menu, error) {
	old, err := c.Old(ctx)
	if err != nil {
		return def, err
	}
	if err := old.ready(); err != nil {
		return def, err
	}
	if old.There {
		if err := c.makeRoom(ctx); err != nil {
			return def, err
		}
	}
	menu, err := c.look(ctx, def, true)
	if err != nil {
		return menu, err
	}
	return menu, c.carryOver(ctx, old)
}

// seenSoon is how long a stream that somebody else is just making is waited for,
// before it is looked for again.
const seenSoon = 20 * time.Millisecond

// lookAgain is how often the streams and consumers are looked at.
const lookAgain = time.Minute

// Keep looks at the streams and consumers once a minute and after each reconnect,
// and makes anew what is gone, until ctx ends: the consumers live in the broker's
// memory and end with it.
func (c *Conn) Keep(ctx context.Context, def fleet.Menu) error {
	back := c.reconnected()
	for wait := time.Duration(0); ; {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-back:
			back = c.reconnected()
		case <-t.C:
		}
		t.Stop()
		wait = lookAgain
		err := until(ctx, back, func(ctx context.Context) error {
			_, err := c.look(ctx, def, false)
			return err
		})
		if err != nil && ctx.Err() == nil {
			c.log.Error("the streams are not as they should be", "err", err)
			if errors.Is(err, fleet.ErrNoAnswer) {
				wait = time.Second
			}
		}
	}
}

// until does something that ends early when the broker came back meanwhile: what
// was asked before that is answered by nobody.
func until(ctx context.Context, back <-chan struct{}, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-back:
			cancel()
		case <-ctx.Done():
		}
	})
	return do(ctx)
}

// look is Setup without the former layout. Sizes change at a start only: two shops
// with different ones must not take turns.
func (c *Conn) look(ctx context.Context, def fleet.Menu, change bool) (fleet.Menu, error) {
	errs := []error{c.values(ctx)}
	for _, want := range c.streams(def.Classes()) {
		if want.Name != fleet.StreamOrders {
			errs = append(errs, c.stream(ctx, want, change))
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
			if err := c.stream(ctx, want, change); err != nil {
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

// sized is room for so many KiB of each order, kept for so many days.
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

// StoreBound is what the broker may let streams reserve in all: theirs, a quarter
// more, and what a store of the former layout has reserved beside them until it is
// taken over. A broker that holds more than its bound refuses every change, a
// smaller size too.
func StoreBound(ordersPerDay int) int64 {
	c := &Conn{cfg: Config{OrdersPerDay: ordersPerDay}}
	former := c.sized(1, 2*365, 32<<20) + c.sized(3, 30, 16<<20) + 2<<20
	return StoreNeeded(ordersPerDay)*5/4 + former
}

// streams are the shop's streams; buckets are streams too. The bucket of the
// article's programs is not among them, see values.
func (c *Conn) streams(classes []fleet.Class) []jetstream.StreamConfig {
	var subjects []string
	for _, class := range classes {
		subjects = append(subjects, fleet.OrderSubject(class))
	}
	slices.Sort(subjects)
	stream := func(name string, subjects []string, maxBytes int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: subjects, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
			MaxBytes: maxBytes, MaxMsgs: -1, MaxMsgSize: 64 << 10, MaxMsgsPerSubject: -1, MaxConsumers: -1,
			Duplicates: 2 * time.Minute, Replicas: 1,
		}
	}
	work := func(name string, subjects []string) jetstream.StreamConfig {
		s := stream(name, subjects, 8<<20)
		s.Retention, s.MaxMsgs, s.MaxMsgSize, s.Duplicates = jetstream.WorkQueuePolicy, fleet.QueueMax, 8<<10, 15*time.Minute
		return s
	}
	intake := work(fleet.StreamIntake, []string{"coffee.orders.*"})
	orders := work(fleet.StreamOrders, subjects)
	// How many orders may wait the controller counts, in the book. Here messages
	// of ended orders stand too until they are removed, and must not keep an
	// accepted one out.
	orders.MaxMsgs = 2 * fleet.QueueMax

	// Three records an order of 1.1 KiB each, headers included, kept 30 days; times
	// two, because here nothing goes by itself.
	book := stream(fleet.StreamBook, []string{wholeBook}, c.sized(7, 30, 32<<20))
	book.DenyDelete = true
	book.AllowRollup = true     // of refusals, one record of which is enough
	book.AllowDirect = false    // "no such order" is believed from the leader only
	book.MaxMsgSize = 256 << 10 // a balance names every order that is not over

	events := stream(fleet.StreamEvents, []string{"coffee.events.>"}, c.sized(2, 90, 32<<20))
	events.MaxAge, events.Discard, events.MaxMsgSize, events.AllowDirect = 90*day, jetstream.DiscardOld, 16<<10, true
	events.PersistMode = jetstream.AsyncPersistMode // told from the book, and after a crash told again

	bucket := func(name string, storage jetstream.StorageType, maxBytes int64) jetstream.StreamConfig {
		s := stream("KV_"+name, []string{"$KV." + name + ".>"}, maxBytes)
		s.Storage, s.MaxMsgSize, s.MaxMsgsPerSubject = storage, -1, 1
		s.AllowRollup, s.DenyDelete, s.AllowDirect = true, true, true
		return s
	}
	machines := bucket(fleet.BucketMachines, jetstream.MemoryStorage, 1<<20)
	machines.MaxAge, machines.Duplicates = fleet.PresenceTTL, fleet.PresenceTTL
	machines.AllowMsgTTL, machines.SubjectDeleteMarkerTTL = true, time.Hour
	return []jetstream.StreamConfig{
		intake, orders, book, events, machines,
		bucket(fleet.BucketSettings, jetstream.FileStorage, 4<<20), bucket(fleet.BucketStock, jetstream.MemoryStorage, 1<<20),
	}
}

// values makes the bucket of the article's programs just as they do, so that
// either may come first. Whatever else its settings are, it does for one number.
func (c *Conn) values(ctx context.Context) error {
	_, err := c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: fleet.BucketValues})
	if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return unsure("make "+fleet.BucketValues, err)
	}
	return nil
}

func (c *Conn) stream(ctx context.Context, want jetstream.StreamConfig, change bool) error {
	st, err := c.js.Stream(ctx, want.Name)
	for errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = c.js.CreateStream(ctx, want)
		if err == nil {
			return nil
		}
		// Of two controllers that start together one is faster, maybe with another
		// menu; the name is taken a moment before the stream can be seen (tried).
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || !fleet.Pause(ctx, seenSoon) {
			return unsure("make "+want.Name, err)
		}
		st, err = c.js.Stream(ctx, want.Name)
	}
	if err != nil {
		return unsure("look at "+want.Name, err)
	}
	info := st.CachedInfo()
	have := info.Config
	if want.Name == fleet.StreamOrders {
		have.Subjects = want.Subjects // List looks after them
	}
	if want.Name == fleet.StreamEvents {
		want.PersistMode = have.PersistMode // can't be changed: the former layout's stays until Forget
	}
	if d := differences(want, have, "Name", "Subjects", "Retention", "Storage", "Discard", "MaxAge", "MaxMsgsPerSubject", "Duplicates",
		"AllowDirect", "AllowRollup", "DenyDelete", "DenyPurge", "PersistMode", "AllowMsgTTL", "SubjectDeleteMarkerTTL"); len(d) > 0 {
		return fmt.Errorf("stream %s was made differently: %s; change it by hand (nats stream edit), or start with a fresh store", want.Name, strings.Join(d, ", "))
	}
	if !change {
		return nil
	}
	return c.adjust(ctx, info, want)
}

// adjust changes what may change: a stream gets the sizes that it should have, but
// never less than it holds, and sends nothing on.
func (c *Conn) adjust(ctx context.Context, info *jetstream.StreamInfo, want jetstream.StreamConfig) error {
	cfg := info.Config
	cfg.MaxBytes, cfg.MaxMsgs, cfg.MaxMsgSize, cfg.RePublish = want.MaxBytes, want.MaxMsgs, want.MaxMsgSize, want.RePublish
	if cfg.MaxBytes > 0 {
		cfg.MaxBytes = max(cfg.MaxBytes, int64(info.State.Bytes))
	}
	if len(differences(cfg, info.Config, "MaxBytes", "MaxMsgs", "MaxMsgSize", "RePublish")) == 0 {
		return nil
	}
	if _, err := c.js.UpdateStream(ctx, cfg); err != nil {
		return unsure("adjust "+cfg.Name, err)
	}
	return nil
}

// durable makes a consumer or checks it. Its state is in the broker's memory: a
// broker that starts anew delivers again what was not done, and the claim decides.
func (c *Conn) durable(ctx context.Context, stream, name, filter string) error {
	want := jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: fleet.AckWait, MaxDeliver: -1, MaxAckPending: 1000, MaxRequestBatch: 1, MaxRequestExpires: parkedFor, MaxWaiting: mostParked, MemoryStorage: true,
	}
	cons, err := c.js.Consumer(ctx, stream, name)
	if err == nil && !cons.CachedInfo().Config.MemoryStorage { // of the former layout
		if err = c.js.DeleteConsumer(ctx, stream, name); err == nil {
			err = jetstream.ErrConsumerNotFound
		}
	}
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
		"MaxAckPending", "MaxRequestBatch", "MaxRequestExpires", "MaxWaiting", "BackOff"); len(d) > 0 {
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
