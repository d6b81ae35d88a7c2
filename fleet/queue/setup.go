package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// Setup makes the streams, consumers and buckets, and adapts the ones that are
// there: figures that may be changed are changed, sizes never below what is held.
// What can't be changed is said, with what to do. Nothing is removed and made anew
// but consumers, buckets in memory, and what the former layout leaves that holds
// nothing of worth (see Old). A store of that layout with open orders is refused.
// The classes are those of the menu in the settings, or of def where none is set;
// the menu in force is returned. The shop's role calls it once at start, and Keep
// from then on. A cluster that starts, or has no leader for the moment, is waited for.
// Errors: *Unusable, where the broker can't be the shop's.
func (c *Conn) Setup(ctx context.Context, def fleet.Menu) (menu fleet.Menu, err error) {
	ctx, ended := c.refusedAs(ctx)
	err = c.patiently(ctx, func() (err error) { menu, err = c.setup(ctx, def); return err })
	return menu, ended(err)
}

func (c *Conn) setup(ctx context.Context, def fleet.Menu) (fleet.Menu, error) {
	if err := c.usable(ctx); err != nil {
		return def, err
	}
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

// seenTries is how often what fails is believed to be of such a moment.
const seenTries = 25

// lookAgain is how often the streams and consumers are looked at.
const lookAgain = 45 * time.Second

// Keep looks at the streams and consumers every 45 s and after each reconnect,
// until ctx ends, and makes anew what is gone: the consumers live in the broker's
// memory and end with it, and a slip of the hand may take anything. A book that is
// gone, or another one, ends it with an error: what this process knows is no longer
// true, and only a start begins with what is there.
func (c *Conn) Keep(ctx context.Context, def fleet.Menu) error {
	back := c.Reconnected()
	silent := 0
	for wait := time.Duration(0); ; {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-back:
			back = c.Reconnected()
		case <-t.C:
		}
		t.Stop()
		wait = lookAgain
		err := until(ctx, back, func(ctx context.Context) error {
			_, err := c.look(ctx, def, false)
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errOtherBook) {
			return err
		}
		if !errors.Is(err, fleet.ErrNoAnswer) {
			silent = 0
		} else {
			wait = time.Second
			if silent++; silent < silentFor {
				continue // a broker that starts anew is nobody's affair
			}
		}
		c.state.looked(err)
	}
}

// silentFor is how many looks in a row, a second apart, may have no answer before
// it is a trouble.
const silentFor = 10

// errOtherBook: this process knows a book that is no more.
var errOtherBook = errors.New("the book is not the one that this service has read")

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
func (c *Conn) look(ctx context.Context, def fleet.Menu, start bool) (fleet.Menu, error) {
	if err := c.replicate(ctx); err != nil {
		return def, err
	}
	var errs []error
	for _, want := range c.streams(def.Classes()) {
		if want.Name != fleet.StreamOrders {
			err := c.stream(ctx, want, start)
			errs = append(errs, err)
			if _, is := errors.AsType[*Unusable](err); is && start {
				return def, err // the next stream would say the same
			}
		}
	}
	c.values(ctx)
	amiss := together(errs...)
	if amiss != nil && (start || errors.Is(amiss, errOtherBook)) {
		return def, amiss
	}
	menu := def // and later on what is amiss with one stream holds up no other
	switch b, err := c.Settings().Get(ctx, fleet.KeyMenu); {
	case err == nil:
		if set, bad := fleet.ParseMenu(b); bad == nil {
			menu = set
		} else { // nobody could mend it in a shop that does not start
			c.log.Error("the menu in the settings is wrong, the default one is in force: set it anew with barista menu set", "err", bad)
		}
	case errors.Is(err, fleet.ErrDamaged): // nobody could mend this, either
		c.log.Error("the menu in the settings is damaged, the default one is in force: set it anew with barista menu set --file", "err", err)
	case !errors.Is(err, fleet.ErrNotFound):
		return def, err
	}
	if err := menu.Check(); err != nil {
		return menu, err
	}
	for _, want := range c.streams(menu.Classes()) {
		if want.Name == fleet.StreamOrders {
			if err := c.stream(ctx, want, start); err != nil {
				return menu, together(amiss, err)
			}
		}
	}
	return menu, together(amiss,
		c.durable(ctx, fleet.StreamIntake, fleet.IntakeDurable, "coffee.orders.*"), c.Orders().List(ctx, menu.Classes()), c.archivist(ctx))
}

// values makes the bucket of the article's programs just as they do, so that
// either may come first. Whatever else its settings are, it does for one number. So one
// server keeps it, and the shop goes on without it while that one is away.
func (c *Conn) values(ctx context.Context) {
	there, err := c.exists(ctx, oldValues)
	if err == nil && !there {
		_, err = c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: fleet.BucketValues})
	}
	if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		c.once(fleet.BucketValues, func() {
			c.log.Warn("how many orders wait is not told to foreign programs", "bucket", fleet.BucketValues, "err", err)
		})
	}
}

// stream makes a stream, or adapts the one that is there.
func (c *Conn) stream(ctx context.Context, want jetstream.StreamConfig, start bool) error {
	info, err := c.made(ctx, want, start)
	if err != nil {
		return err
	}
	if want.Name == fleet.StreamBook && !c.state.sameBook(info.Created) {
		return fmt.Errorf("%w: it was made at %s", errOtherBook, info.Created.Format(time.RFC3339))
	}
	f := fitted(want, info.Config, info.State, start && !c.cfg.KeepSizes)
	switch {
	case len(f.stuck) > 0 && want.Storage == jetstream.MemoryStorage:
		c.log.Warn("a bucket in memory is made anew", "stream", want.Name, "differs", f.stuck)
		if err := c.js.DeleteStream(ctx, want.Name); err != nil {
			return said("make "+want.Name+" anew", err)
		}
		_, err := c.made(ctx, want, true)
		return err
	case len(f.stuck) > 0:
		return f.refused(want.Name)
	}
	if info.Config, err = c.adapt(ctx, info.Config, f); err != nil {
		return err
	}
	c.state.filled(info)
	return nil
}

// refused says why a stream can't become what it must be.
func (f fit) refused(name string) error {
	return fmt.Errorf("stream %s was made by another program: %v, and that can't be changed in a stream that is there: %s", name, f.stuck, remedy(name))
}

// remedy is what a person does about a stream that can't become what it must be.
func remedy(name string) string {
	switch name {
	case fleet.StreamOrders:
		return "stop the shop, remove it (nats stream rm " + name + ") and start: open orders are published anew from the book"
	case fleet.StreamEvents:
		return "stop the shop, remove it (nats stream rm " + name + ") and start: the events are told anew from the book"
	}
	return "stop the shop, save it (nats stream backup " + name + " FOLDER), remove it (nats stream rm " + name + ") and start: it is made anew, and what it held stays in the folder"
}

// made returns a stream as it is, and makes it where it is not.
func (c *Conn) made(ctx context.Context, want jetstream.StreamConfig, start bool) (*jetstream.StreamInfo, error) {
	st, err := c.js.Stream(ctx, want.Name)
	for tries := 0; errors.Is(err, jetstream.ErrStreamNotFound); tries++ {
		if want.Name == fleet.StreamBook && !start {
			return nil, fmt.Errorf("%w: it is gone", errOtherBook)
		}
		if !start && tries == 0 {
			c.log.Error("a stream is gone and is made anew", "stream", want.Name, "means", lost(want.Name))
		}
		st, err = c.js.CreateStream(ctx, want)
		if err == nil {
			break
		}
		// Of two controllers that start together one is faster, maybe with another
		// menu; the name is taken a moment before the stream can be seen, and its room
		// may be counted for both of them until then (tried).
		again := errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || noRoom(err) && tries < seenTries
		if !again || !fleet.Pause(ctx, seenSoon) {
			if noRoom(err) {
				return nil, c.noSpace(want)
			}
			return nil, said("make "+want.Name, err)
		}
		st, err = c.js.Stream(ctx, want.Name)
	}
	if err != nil {
		return nil, said("look at "+want.Name, err)
	}
	return st.CachedInfo(), nil
}

// lost is what went with a stream that is gone.
func lost(name string) string {
	switch name {
	case fleet.StreamOrders:
		return "open orders are published anew from the book within a minute"
	case fleet.StreamIntake:
		return "orders that foreign programs dropped and nobody had taken are lost"
	case fleet.StreamEvents:
		return "its history is lost; the book still has the orders of the last 30 days"
	case "KV_" + fleet.BucketSettings:
		return "the menu and the machines that were out of service are forgotten: set them again (barista menu, barista machine cordon)"
	}
	return "nothing: it is filled again by itself"
}

// adapt changes a stream into what fits, and returns what is in force then. Where the
// broker has no room for its new size it keeps the one that it has: a shop with less
// room is better than none.
func (c *Conn) adapt(ctx context.Context, have jetstream.StreamConfig, f fit) (jetstream.StreamConfig, error) {
	if len(f.changes) == 0 {
		return have, nil
	}
	_, err := c.js.UpdateStream(ctx, f.cfg)
	if f.cfg.Replicas != have.Replicas && (noRoom(err) || noPeers(err)) {
		c.once("replicas of "+have.Name, func() {
			c.log.Error("a stream is not kept by more servers: they are not there, or have no room (max_file_store)", "stream", have.Name, "replicas", have.Replicas, "wanted", f.cfg.Replicas, "err", err)
		})
		f.cfg.Replicas = have.Replicas
		f.changes = slices.DeleteFunc(f.changes, func(d difference) bool { return d.name == "Replicas" })
		return c.adapt(ctx, have, f)
	}
	if noRoom(err) && f.cfg.MaxBytes != have.MaxBytes {
		c.log.Error("a stream keeps its size: the broker has no room for more; raise what it may hold (max_file_store), or lower orders_per_day",
			"stream", have.Name, "is", show("MaxBytes", have.MaxBytes), "wanted", show("MaxBytes", f.cfg.MaxBytes))
		f.cfg.MaxBytes = have.MaxBytes
		f.changes = slices.DeleteFunc(f.changes, func(d difference) bool { return d.name == "MaxBytes" })
		return c.adapt(ctx, have, f)
	}
	if err != nil {
		return have, said("adapt "+have.Name, err)
	}
	c.log.Info("a stream is adapted", "stream", have.Name, "changes", fmt.Sprint(f.changes))
	return f.cfg, nil
}

// durable makes a consumer, makes it anew where it is not as it should be, and lets
// it go on where somebody paused it. Its state is in the broker's memory: a broker
// that starts anew delivers again what was not done, and the claim decides. So
// nothing is lost with it.
func (c *Conn) durable(ctx context.Context, stream, name, filter string) error {
	want := jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: fleet.AckWait, MaxDeliver: -1, MaxAckPending: 1000, MaxRequestBatch: 1, MaxRequestExpires: parkedFor, MaxWaiting: mostParked, MemoryStorage: true,
	}
	cons, err := c.js.Consumer(ctx, stream, name)
	if err == nil {
		info := cons.CachedInfo()
		d := differences(want, info.Config, "Durable", "FilterSubject", "FilterSubjects", "AckPolicy", "DeliverPolicy", "AckWait", "MaxDeliver", "MaxAckPending",
			"MaxRequestBatch", "MaxRequestExpires", "MaxRequestMaxBytes", "MaxWaiting", "BackOff", "MemoryStorage", "RateLimit", "InactiveThreshold", "PriorityPolicy", "HeadersOnly")
		switch {
		case len(d) > 0:
			c.log.Warn("a queue is made anew", "queue", name, "differs", fmt.Sprint(d))
			if err = c.js.DeleteConsumer(ctx, stream, name); err == nil {
				err = jetstream.ErrConsumerNotFound
			}
		case info.Paused:
			c.log.Warn("a queue was paused and goes on", "queue", name, "until", info.Config.PauseUntil)
			_, err = c.js.ResumeConsumer(ctx, stream, name)
		}
	}
	for tries := 0; errors.Is(err, jetstream.ErrConsumerNotFound); tries++ {
		_, err = c.js.CreateConsumer(ctx, stream, want)
		// Another controller, with another menu, may be removing it just now.
		if apiCode(err) == codeNotMade && tries < seenTries && fleet.Pause(ctx, seenSoon) {
			err = jetstream.ErrConsumerNotFound
		}
	}
	if err != nil {
		return said("the queue "+name, err)
	}
	return nil
}
