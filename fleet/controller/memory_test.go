package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"barista/fleet"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// shop is the broker and the stock in memory: exact compare-and-set, a queue
// that knows message ids, a ledger that knows uses. Every controller in a test
// reaches it over a wire of its own, which can be spoiled.
type shop struct {
	mu      sync.Mutex
	changed chan struct{}

	rev      uint64
	claims   map[string]fleet.ClaimEntry
	history  []fleet.ClaimEntry // every revision, for watches
	purged   []string
	seq      uint64
	queue    []fleet.StoredOrder
	ids      map[string]bool // the duplicate window
	max      int
	nailed   string // the order whose message nobody can remove
	listed   []fleet.Class
	events   []fleet.StoredEvent
	settings map[string][]byte
	keys     []string // every change of a setting, for watches
	machines map[string]fleet.Presence
	drops    []*drop
	created  time.Time // of the intake stream
	pending  []int

	levels map[string]int            // on hand
	uses   map[use]fleet.Act         // what the ledger holds of each use
	taken  map[use]fleet.Items       // its items
	subs   map[string][]chan request // served subjects
}

type use struct {
	order string
	n     int
}

func newShop() *shop {
	return &shop{
		changed: make(chan struct{}), claims: map[string]fleet.ClaimEntry{}, ids: map[string]bool{}, max: fleet.QueueMax,
		settings: map[string][]byte{}, machines: map[string]fleet.Presence{}, created: time.Now(),
		levels: map[string]int{"arabica": 1000, "robusta": 1000, "mixed": 1000, "milk-normal": 5000, "milk-soja": 5000, "sugar": 500},
		uses:   map[use]fleet.Act{}, taken: map[use]fleet.Items{}, subs: map[string][]chan request{},
	}
}

// stir wakes all who wait. The caller holds the lock.
func (s *shop) stir() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// follow hands over a growing list until ctx ends. at reads item i, or says that
// there is none yet.
func (s *shop) follow(ctx context.Context, ready func(), at func(i int) (do func(), more bool)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	said := false
	for i := 0; ; {
		s.mu.Lock()
		do, more := at(i)
		changed := s.changed
		s.mu.Unlock()
		if more {
			i++
			do()
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		if !said {
			said = true
			if ready != nil {
				ready()
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *shop) put(c fleet.Claim) fleet.ClaimEntry {
	s.rev++
	e := fleet.ClaimEntry{Claim: c, Revision: s.rev, Created: time.Now()}
	s.claims[c.Order.ID] = e
	s.history = append(s.history, e)
	s.stir()
	return e
}

// change is a machine's or the test's write.
func (s *shop) change(id string, arrow func(fleet.Claim) (fleet.Claim, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := arrow(s.claims[id].Claim)
	if err == nil {
		s.put(n)
	}
	return err
}

func (s *shop) claim(id string) fleet.ClaimEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims[id]
}

// fold books what the claims demand, as the stock does that follows them.
func (s *shop) fold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.claims {
		for _, b := range e.Bookings() {
			u := use{b.Order, b.Use}
			if b.Act == fleet.Reserve {
				if s.uses[u] == "" && s.short(b.Items) == "" {
					s.uses[u], s.taken[u] = fleet.Reserve, b.Items
				}
				continue
			}
			s.uses[u], s.taken[u] = b.Act, b.Items
		}
	}
}

// available is on hand without what is reserved or used. The caller holds the
// lock.
func (s *shop) available(item string) int {
	n := s.levels[item]
	for u, act := range s.uses {
		if act != fleet.Release {
			n -= s.taken[u][item]
		}
	}
	return n
}

func (s *shop) short(items fleet.Items) string {
	for _, item := range slices.Sorted(maps.Keys(items)) {
		if s.available(item) < items[item] {
			return item
		}
	}
	return ""
}

// reserved is what the ledger holds as reserved, per item.
func (s *shop) reserved() fleet.Items {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := fleet.Items{}
	for u, act := range s.uses {
		if act == fleet.Reserve {
			for item, n := range s.taken[u] {
				out[item] += n
			}
		}
	}
	return out
}

func (s *shop) messages(id string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.queue {
		if m.Order == id {
			ids = append(ids, m.MessageID)
		}
	}
	return ids
}

// whatWent lists the claims that were purged.
func (s *shop) whatWent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.purged)
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *shop) lists(c fleet.Class) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.listed, c)
}

func (s *shop) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = slices.DeleteFunc(s.queue, func(m fleet.StoredOrder) bool { return m.Order == id })
	s.stir()
}

func (s *shop) eventsOf(id string) (slots []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Order == id {
			slots = append(slots, e.Slot())
		}
	}
	return slots
}

func (s *shop) event(id, slot string) (fleet.Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Order == id && e.Slot() == slot {
			return e.Event, true
		}
	}
	return fleet.Event{}, false
}

// machine says that a machine is here that makes all of the menu.
func (s *shop) machine(name string, change ...func(*fleet.Presence)) {
	p := fleet.Presence{Machine: name, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: fleet.StateReady}
	for _, f := range change {
		f(&p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machines[name] = p
	s.stir()
}

func (s *shop) gone(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.machines, name)
	s.stir()
}

func (s *shop) set(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings[key] = value
	s.keys = append(s.keys, key)
	s.stir()
}

// wire is one controller's connection to the shop.
type wire struct {
	*shop
	mu    sync.Mutex
	fault func(call string) fault // asked once per call
	dead  bool                    // the process is gone: nothing leaves it any more
	calls int
}

// fault is what happens to one call.
type fault string

const (
	none      fault = ""
	lost      fault = "lost"          // never arrives, no answer
	applied   fault = "applied"       // arrives, the answer is lost
	late      fault = "late"          // no answer, and arrives a second later
	crash     fault = "crash"         // the process ends before the call
	lastCrash fault = "applied crash" // the process ends after the call arrived
)

func (s *shop) wire(f func(call string) fault) *wire { return &wire{shop: s, fault: f} }

func (w *wire) isDead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// call sends one request. do runs under the shop's lock.
func (w *wire) call(ctx context.Context, name string, do func() error) error {
	noAnswer := fmt.Errorf("%s: %w", name, fleet.ErrNoAnswer)
	w.mu.Lock()
	if w.dead || ctx.Err() != nil {
		w.mu.Unlock()
		return noAnswer
	}
	w.calls++
	f := none
	if w.fault != nil {
		f = w.fault(name)
	}
	if f == crash || f == lastCrash {
		w.dead = true
	}
	w.mu.Unlock()
	apply := func() error {
		w.shop.mu.Lock()
		defer w.shop.mu.Unlock()
		return do()
	}
	switch f {
	case none:
		return apply()
	case applied, lastCrash:
		_ = apply()
	case late:
		switch name {
		case "create", "update", "publish", "reserve", "event", "put setting", "done", "drop", "return":
			time.AfterFunc(time.Second, func() { _ = apply() })
		}
	}
	return noAnswer
}

type memClaims struct{ *wire }

func (m memClaims) Create(ctx context.Context, c fleet.Claim) (fleet.ClaimEntry, error) {
	var got fleet.ClaimEntry
	err := m.call(ctx, "create", func() error {
		if _, there := m.claims[c.Order.ID]; there {
			return fleet.ErrExists
		}
		got = m.put(c)
		return nil
	})
	return written(&got, err)
}

// written is the broker's answer to a write: it has no time. After an error the
// entry is not looked at, for a late write may fill it yet.
func written(got *fleet.ClaimEntry, err error) (fleet.ClaimEntry, error) {
	if err != nil {
		return fleet.ClaimEntry{}, err
	}
	e := *got
	e.Created = time.Time{}
	return e, nil
}

func (m memClaims) Get(ctx context.Context, order string) (e fleet.ClaimEntry, err error) {
	err = m.call(ctx, "get", func() error {
		var there bool
		if e, there = m.claims[order]; !there {
			return fleet.ErrNotFound
		}
		return nil
	})
	if err != nil {
		e = fleet.ClaimEntry{}
	}
	return e, err
}

func (m memClaims) Update(ctx context.Context, read fleet.ClaimEntry, c fleet.Claim) (fleet.ClaimEntry, error) {
	var got fleet.ClaimEntry
	err := m.call(ctx, "update", func() error {
		if m.claims[read.Order.ID].Revision != read.Revision {
			return fleet.ErrConflict
		}
		got = m.put(c)
		return nil
	})
	return written(&got, err)
}

func (m memClaims) Watch(ctx context.Context, each func(fleet.ClaimEntry), ready func()) error {
	m.shop.mu.Lock()
	from := len(m.history)
	now := slices.SortedFunc(maps.Values(m.claims), func(a, b fleet.ClaimEntry) int { return int(a.Revision) - int(b.Revision) })
	m.shop.mu.Unlock()
	return m.follow(ctx, ready, func(i int) (func(), bool) {
		if i < len(now) {
			return func() { each(now[i]) }, true
		}
		if i = from + i - len(now); i < len(m.history) {
			e := m.history[i]
			return func() { each(e) }, true
		}
		return nil, false
	})
}

func (m memClaims) Now(ctx context.Context) (now time.Time, err error) {
	err = m.call(ctx, "now", func() error { now = time.Now(); return nil })
	return now, err
}

func (m memClaims) Purge(ctx context.Context, order string) error {
	return m.call(ctx, "purge", func() error {
		delete(m.claims, order)
		m.purged = append(m.purged, order)
		return nil
	})
}

type memOrders struct{ *wire }

func (m memOrders) Publish(ctx context.Context, o fleet.Order, messageID string) (bool, error) {
	duplicate := false
	err := m.call(ctx, "publish", func() error {
		if !slices.Contains(m.listed, o.Class()) {
			return fleet.ErrUnlisted
		}
		if m.ids[messageID] {
			duplicate = true
			return nil
		}
		if len(m.queue) >= m.max {
			return fleet.ErrFull
		}
		m.seq++
		m.ids[messageID] = true
		m.queue = append(m.queue, fleet.StoredOrder{Order: o.ID, MessageID: messageID, Class: o.Class(), Seq: m.seq})
		m.stir()
		return nil
	})
	return err == nil && duplicate, err
}

func (m memOrders) Stored(ctx context.Context) (out []fleet.StoredOrder, err error) {
	err = m.call(ctx, "stored", func() error { out = slices.Clone(m.queue); return nil })
	return out, err
}

func (m memOrders) Remove(ctx context.Context, seq uint64) error {
	return m.call(ctx, "remove", func() error {
		m.queue = slices.DeleteFunc(m.queue, func(s fleet.StoredOrder) bool { return s.Seq == seq && s.Order != m.nailed })
		m.stir()
		return nil
	})
}

func (m memOrders) Waiting(ctx context.Context) (out map[fleet.Class]int, err error) {
	err = m.call(ctx, "waiting", func() error {
		out = map[fleet.Class]int{}
		for _, s := range m.queue {
			out[s.Class]++
		}
		return nil
	})
	return out, err
}

func (m memOrders) List(ctx context.Context, classes []fleet.Class) error {
	return m.call(ctx, "list", func() error {
		was := m.listed
		m.listed = slices.Clone(classes)
		for _, c := range was {
			if !slices.Contains(classes, c) && slices.ContainsFunc(m.queue, func(s fleet.StoredOrder) bool { return s.Class == c }) {
				m.listed = append(m.listed, c)
			}
		}
		return nil
	})
}

type memStock struct{ *wire }

func (m memStock) Reserve(ctx context.Context, order string, n int, items fleet.Items) error {
	return m.call(ctx, "reserve", func() error {
		u := use{order, n}
		switch m.uses[u] {
		case fleet.Reserve:
			return nil
		case "":
		default:
			return fleet.ErrUseClosed
		}
		if item := m.short(items); item != "" {
			return &fleet.OutOfStockError{Item: item}
		}
		m.uses[u], m.taken[u] = fleet.Reserve, items
		return nil
	})
}

func (m memStock) Book(context.Context, fleet.Booking) error {
	panic("the stock books from the claims")
}

func (m memStock) Levels(ctx context.Context) (out map[string]fleet.Level, err error) {
	err = m.call(ctx, "levels", func() error {
		out = map[string]fleet.Level{}
		for item := range m.levels {
			out[item] = fleet.Level{OnHand: m.available(item)}
		}
		return nil
	})
	return out, err
}

type memEvents struct{ *wire }

func (m memEvents) Publish(ctx context.Context, e fleet.Event) error {
	return m.call(ctx, "event", func() error {
		_ = fleet.EventSubject(e.Order, e.Slot()) // panics on what is no token
		for _, x := range m.events {
			if x.Order == e.Order && x.Slot() == e.Slot() {
				return nil
			}
		}
		m.events = append(m.events, fleet.StoredEvent{Event: e, Seq: uint64(len(m.events) + 1), Stored: time.Now()})
		m.stir()
		return nil
	})
}

func (m memEvents) Live(fleet.Event) {}

func (m memEvents) Of(ctx context.Context, order string) (out []fleet.StoredEvent, err error) {
	err = m.call(ctx, "events of", func() error {
		for _, e := range m.events {
			if e.Order == order {
				out = append(out, e)
			}
		}
		return nil
	})
	return out, err
}

func (m memEvents) Follow(context.Context, uint64, func(fleet.StoredEvent), func()) error {
	panic("a controller needs no history")
}

func (m memEvents) FollowLive(ctx context.Context, each func(fleet.StoredEvent)) error {
	m.shop.mu.Lock()
	from := len(m.events)
	m.shop.mu.Unlock()
	return m.follow(ctx, nil, func(i int) (func(), bool) {
		if i += from; i < len(m.events) {
			e := m.events[i]
			return func() { each(e) }, true
		}
		return nil, false
	})
}

type memSettings struct{ *wire }

func (m memSettings) Get(ctx context.Context, key string) (v []byte, err error) {
	err = m.call(ctx, "get setting", func() error {
		if v = m.settings[key]; v == nil {
			return fleet.ErrNotFound
		}
		return nil
	})
	return v, err
}

func (m memSettings) Put(ctx context.Context, key string, v []byte) error {
	return m.call(ctx, "put setting", func() error {
		m.settings[key] = v
		m.keys = append(m.keys, key)
		m.stir()
		return nil
	})
}

func (m memSettings) Delete(ctx context.Context, key string) error { return m.Put(ctx, key, nil) }

func (m memSettings) Watch(ctx context.Context, each func(string, []byte), ready func()) error {
	return m.follow(ctx, ready, func(i int) (func(), bool) {
		if i < len(m.keys) {
			k, v := m.keys[i], m.settings[m.keys[i]]
			return func() { each(k, v) }, true
		}
		return nil, false
	})
}

// memRoll is a Roll over the shop's machines and cordons.
type memRoll struct{ *shop }

func (m memRoll) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

func (m memRoll) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m memRoll) Machines() []fleet.Machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []fleet.Machine
	for _, name := range slices.Sorted(maps.Keys(m.machines)) {
		one := fleet.Machine{Presence: m.machines[name], Here: true}
		if v := m.settings[fleet.CordonKey(name)]; v != nil {
			c := fleet.ParseCordon(v)
			one.Cordon = &c
		}
		out = append(out, one)
	}
	return out
}

// drop is a foreign program's order in the intake stream.
type drop struct {
	d       fleet.Drop
	at      time.Time // not before
	settled string    // "done", or "dropped: reason"
	given   int
}

func (s *shop) drop(bean, body string) *drop {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &drop{d: fleet.Drop{Bean: bean, Subject: "coffee.orders." + bean, Body: []byte(body), Seq: uint64(len(s.drops) + 1), Stored: time.Now(), Created: s.created}}
	s.drops = append(s.drops, x)
	s.stir()
	return x
}

func (s *shop) how(x *drop) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.settled
}

type memIntake struct{ *wire }

func (m memIntake) NextDrop(ctx context.Context) (*fleet.Drop, error) {
	for {
		m.shop.mu.Lock()
		changed := m.changed
		soon := time.Hour
		for _, x := range m.drops {
			if wait := time.Until(x.at); x.settled == "" && wait > 0 {
				soon = min(soon, wait)
			} else if x.settled == "" && !m.isDead() {
				x.given++
				x.at = time.Now().Add(fleet.AckWait)
				d := x.d
				d.Settlement = memSettle{m.wire, x}
				m.shop.mu.Unlock()
				return &d, nil
			}
		}
		m.shop.mu.Unlock()
		t := time.NewTimer(soon)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
		t.Stop()
	}
}

type memSettle struct {
	*wire
	x *drop
}

func (m memSettle) Beat() error { return nil }
func (m memSettle) Done(ctx context.Context) error {
	return m.call(ctx, "done", func() error { m.x.settled = "done"; return nil })
}
func (m memSettle) Terminate(ctx context.Context, reason string, _ bool) error {
	return m.call(ctx, "drop", func() error { m.x.settled = "dropped: " + reason; return nil })
}
func (m memSettle) Return(ctx context.Context, after time.Duration) error {
	return m.call(ctx, "return", func() error { m.x.at = time.Now().Add(after); m.stir(); return nil })
}

type request struct {
	body  []byte
	reply chan []byte
}

type memServer struct{ *wire }

func (m memServer) Serve(ctx context.Context, subject string, shared bool, answer func(context.Context, string, []byte) []byte) error {
	if !shared {
		return errors.New("a controller shares its subjects")
	}
	ch := make(chan request)
	m.shop.mu.Lock()
	m.subs[subject] = append(m.subs[subject], ch)
	m.shop.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case r := <-ch:
			wg.Go(func() { r.reply <- answer(ctx, subject, r.body) })
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Request is a fleet.Requester.
func (s *shop) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	s.mu.Lock()
	subs := s.subs[subject]
	s.mu.Unlock()
	if len(subs) == 0 {
		return nil, fleet.ErrNobody
	}
	r := request{body, make(chan []byte, 1)}
	select {
	case subs[len(subs)-1] <- r:
	case <-ctx.Done():
		return nil, fleet.ErrNoAnswer
	}
	select {
	case b := <-r.reply:
		return b, nil
	case <-ctx.Done():
		return nil, fleet.ErrNoAnswer
	}
}

// parts joins a controller to the shop over a wire.
func (w *wire) parts() Parts {
	return Parts{
		Claims: memClaims{w}, Orders: memOrders{w}, Intake: memIntake{w}, Stock: memStock{w}, Events: memEvents{w},
		Settings: memSettings{w}, Roll: memRoll{w.shop}, Server: memServer{w},
		Pending: func(ctx context.Context, n int) error {
			return w.call(ctx, "pending", func() error { w.pending = append(w.pending, n); return nil })
		},
	}
}

// open runs a controller until the returned function is called.
func (w *wire) open(t *testing.T, change ...func(*Parts, *Config)) (*Controller, func()) {
	t.Helper()
	p, cfg := w.parts(), Config{Requests: true, Intake: true}
	for _, f := range change {
		f(&p, &cfg)
	}
	c := New(p, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return c, stop
}

// bookkeeping folds the stock now and then until the returned function is
// called.
func (s *shop) bookkeeping() func() {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.fold()
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-done }
}
