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
	"time"

	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/ledger"
	"barista/fleet/stock"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// shop is the broker in memory: exact compare-and-set over the book, a queue that
// knows message ids, an event stream that knows slots. Every controller in a test
// reaches it over a wire of its own, which can be spoiled, and folds the book with
// a ledger of its own.
type shop struct {
	mu      sync.Mutex
	changed chan struct{}

	book     []fleet.Record // record i has sequence i+1; all that was ever written
	rolled   map[uint64]bool
	bad      map[uint64]bool // records that can't be read any more
	seq      uint64
	queue    []fleet.StoredOrder
	ids      map[string]bool // the duplicate window
	sealed   bool            // the queue takes nothing
	room     int             // of the queue, in messages; 0: no limit
	full     int             // 1: the book takes no new orders; 2: nothing
	listed   []fleet.Class
	events   []told
	settings map[string][]byte
	keys     []string // every change of a setting, for watches
	machines map[string]fleet.Presence
	drops    []*drop
	created  time.Time // of the intake stream
	pending  []int
	skew     time.Duration             // of the broker's clock
	filled   int                       // orders that fill has made
	subs     map[string][]chan request // served subjects
}

// told is a stored event and the record that it tells.
type told struct {
	fleet.Event
	seq uint64
}

func newShop() *shop {
	s := &shop{
		changed: make(chan struct{}), rolled: map[uint64]bool{}, bad: map[uint64]bool{}, ids: map[string]bool{},
		settings: map[string][]byte{}, machines: map[string]fleet.Presence{}, created: time.Now(),
		subs: map[string][]chan request{},
	}
	s.append(fleet.Record{Act: true, Stock: &fleet.StockAct{Act: fleet.Refill, Key: "initial", Items: fleet.Items{
		"arabica": 1000, "robusta": 9000, "mixed": 1000, "milk-normal": 5000, "milk-soja": 5000, "sugar": 500,
	}}})
	return s
}

// count says what is on the shelf now.
func (s *shop) count(item string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(fleet.Record{Act: true, Stock: &fleet.StockAct{Act: fleet.Count, Key: fmt.Sprint("count-", len(s.book)), Items: fleet.Items{item: n}}})
}

// seal has the queue take nothing.
func (s *shop) seal(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = on
}

// fills has the book take no new orders, or nothing at all.
func (s *shop) fills(full int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// filling begins the ids of orders that only wait.
const filling = "01JD000000000000000009"

// fill has n orders wait, of which the world has heard.
func (s *shop) fill(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fillUp(n)
}

// fillUp is fill for whoever holds the lock.
func (s *shop) fillUp(n int) {
	for i := range n {
		o := order(fmt.Sprintf("%s%04d", filling, s.filled+i), func(o *fleet.Order) { o.Bean = "robusta" })
		e := s.create(o, true)
		s.events = append(s.events, told{e.Events()[0], e.Seq})
	}
	s.filled += n // an id comes once
}

// turnOver ends what fill had wait and has as many others wait, with no moment between
// in which one more would find room.
func (s *shop) turnOver(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	s.fillUp(n)
}

// empty ends what fill had wait.
func (s *shop) empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

// clear is empty for whoever holds the lock.
func (s *shop) clear() {
	for id, e := range s.claims() {
		if strings.HasPrefix(id, filling) && e.Phase == fleet.Accepted {
			n, _ := e.Stop(fleet.Cancelled, "boss", fleet.Reason{Code: fleet.CodeCancelled})
			s.put(n, false)
		}
	}
	s.queue = slices.DeleteFunc(s.queue, func(m fleet.StoredOrder) bool { return strings.HasPrefix(m.Order, filling) })
}

// create puts an accepted order there, as a controller leaves it; without its
// message, as one that crashed. The caller holds the lock.
func (s *shop) create(o fleet.Order, message bool) fleet.Entry {
	portion, _ := fleet.DefaultMenu().Portion(o)
	e := s.put(fleet.Create(o, portion, fleet.Success(o.ID), "web"), true)
	if message {
		s.store(e, o.ID)
	}
	return e
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

// append writes a record. The caller holds the lock.
func (s *shop) append(r fleet.Record) fleet.Revision {
	r.Seq, r.Written = uint64(len(s.book)+1), time.Now().Add(s.skew)
	if r.Rec == "" {
		r.Rec = fmt.Sprint("r", r.Seq)
	}
	if r.Refusals != nil {
		for _, old := range s.book {
			if old.Refusals != nil {
				s.rolled[old.Seq] = true
			}
		}
	}
	s.book = append(s.book, r)
	s.stir()
	return r.Revision
}

func (s *shop) put(c fleet.Claim, act bool) fleet.Entry {
	return fleet.Entry{Claim: c, Revision: s.append(fleet.Record{Act: act, IsClaim: true, Entry: fleet.Entry{Claim: c}})}
}

// last is the sequence of the last record that fits. The caller holds the lock.
func (s *shop) last(fits func(fleet.Record) bool) (seq uint64) {
	for _, r := range slices.Backward(s.book) {
		if fits(r) && !s.rolled[r.Seq] {
			return r.Seq
		}
	}
	return 0
}

func of(order string) func(fleet.Record) bool {
	return func(r fleet.Record) bool { return r.IsClaim && r.Order.ID == order }
}

// claims are the last records of all orders. The caller holds the lock.
func (s *shop) claims() map[string]fleet.Entry {
	out := map[string]fleet.Entry{}
	for _, r := range s.book {
		if r.IsClaim {
			out[r.Order.ID] = r.Entry
		}
	}
	return out
}

// change is a machine's or the test's write.
func (s *shop) change(id string, arrow func(fleet.Claim) (fleet.Claim, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims()[id].Claim
	n, err := arrow(c)
	if err == nil {
		s.put(n, c.Phase == fleet.Again)
	}
	return err
}

func (s *shop) claim(id string) fleet.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims()[id]
}

// claimsOf are the last records of all orders.
func (s *shop) claimsOf() map[string]fleet.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims()
}

// records counts what the book holds of orders and refusals.
func (s *shop) records() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.book), func(r fleet.Record) bool { return r.Stock != nil }))
}

// reserved is what open orders have taken, per item.
func (s *shop) reserved() fleet.Items {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := fleet.Items{}
	for _, e := range s.claims() {
		n, _, _ := e.Portions()
		for item, amount := range e.Portion {
			if n > 0 {
				out[item] += n * amount
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

// elsewhere is what machines have in hand: who waits beside an idle one is looked after.
const elsewhere = "01JD000000000000000000BVSY"

// machine says that a machine is here that makes all of the menu.
func (s *shop) machine(name string, change ...func(*fleet.Presence)) {
	p := fleet.Presence{Machine: name, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: fleet.StateReady, Order: elsewhere}
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
		case "act", "next", "publish", "event", "done", "drop", "return":
			time.AfterFunc(time.Second, func() { _ = apply() })
		}
	}
	return noAnswer
}

type memBook struct{ *wire }

var _ fleet.Book = memBook{}

func (m memBook) Read(ctx context.Context, order string) (e fleet.Entry, err error) {
	name := "read"
	if strings.HasPrefix(order, filling) {
		name = "read filling" // by the hundred, at each comparison
	}
	err = m.call(ctx, name, func() error {
		seq := m.last(of(order))
		if seq == 0 {
			return fleet.ErrNotFound
		}
		if m.bad[seq] {
			e.Order.ID = order
			return fleet.ErrDamaged
		}
		e = m.book[seq-1].Entry
		return nil
	})
	return e, err
}

func (m memBook) At(ctx context.Context, seq uint64) (r fleet.Record, err error) {
	err = m.call(ctx, "at", func() error {
		if seq == 0 || seq > uint64(len(m.book)) || m.rolled[seq] || m.bad[seq] {
			return fleet.ErrNotFound
		}
		r = m.book[seq-1]
		return nil
	})
	return r, err
}

func (m memBook) History(ctx context.Context, order string) (out []fleet.Entry, err error) {
	err = m.call(ctx, "history", func() error {
		for _, r := range m.book {
			if of(order)(r) && !m.bad[r.Seq] {
				out = append(out, r.Entry)
			}
		}
		return nil
	})
	return out, err
}

func (m memBook) Act(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	r.Act = true
	return m.write(ctx, "act", r, last, func(r fleet.Record) bool { return r.Act })
}

func (m memBook) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	e := fleet.Entry{Claim: c}
	rev, err := m.write(ctx, "next", fleet.Record{IsClaim: true, Entry: e}, read.Seq, of(c.Order.ID))
	e.Revision = rev
	return e, err
}

// write is the broker's answer to a write: it has no time. After an error the
// revision is not looked at, for a late write may fill it yet.
func (m memBook) write(ctx context.Context, name string, r fleet.Record, last uint64, compared func(fleet.Record) bool) (fleet.Revision, error) {
	rev := new(fleet.Revision)
	err := m.call(ctx, name, func() error {
		if m.last(compared) != last {
			return fleet.ErrConflict
		}
		if m.full > 1 || m.full > 0 && r.IsClaim && r.Phase == fleet.Accepted && r.Epoch == 1 {
			return fleet.ErrFull
		}
		*rev = m.append(r)
		return nil
	})
	if err != nil {
		return fleet.Revision{}, err
	}
	return *rev, nil
}

func (m memBook) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	return m.follow(ctx, ready, func(i int) (func(), bool) {
		if i += int(max(from, 1)) - 1; i < len(m.book) {
			r := m.book[i]
			if m.bad[r.Seq] {
				return func() {}, true
			}
			return func() { each(r) }, true
		}
		return nil, false
	})
}

func (m memBook) LastBalance(ctx context.Context) (r fleet.Record, err error) {
	err = m.call(ctx, "last balance", func() error {
		seq := m.last(func(r fleet.Record) bool { return r.Balance != nil })
		if seq == 0 {
			return fleet.ErrNotFound
		}
		r = m.book[seq-1]
		return nil
	})
	return r, err
}

func (m memBook) Since(ctx context.Context, t time.Time) (seq uint64, err error) {
	err = m.call(ctx, "since", func() error {
		i := slices.IndexFunc(m.book, func(r fleet.Record) bool { return !r.Written.Before(t) })
		if seq = uint64(i + 1); i < 0 {
			seq = uint64(len(m.book) + 1)
		}
		return nil
	})
	return seq, err
}

func (m memBook) Now(ctx context.Context) (now time.Time, err error) {
	err = m.call(ctx, "now", func() error { now = time.Now().Add(m.skew); return nil })
	return now, err
}

func (m memBook) Trim(ctx context.Context, before uint64) error {
	return m.call(ctx, "trim", func() error { return nil })
}

type memOrders struct{ *wire }

// store puts a message into the queue. The caller holds the lock.
func (s *shop) store(e fleet.Entry, messageID string) {
	if s.ids[messageID] {
		return
	}
	s.seq++
	s.ids[messageID] = true
	s.queue = append(s.queue, fleet.StoredOrder{
		Order: e.Order.ID, MessageID: messageID, Class: e.Order.Class(), Seq: s.seq, Body: e.Order.Encode(), Portion: e.Portion, Stored: time.Now(),
	})
	s.stir()
}

func (m memOrders) Publish(ctx context.Context, e fleet.Entry, messageID string) error {
	return m.call(ctx, "publish", func() error {
		if !slices.Contains(m.listed, e.Order.Class()) {
			return fleet.ErrUnlisted
		}
		if m.sealed || m.room > 0 && len(m.queue) >= m.room {
			return fleet.ErrFull
		}
		m.store(e, messageID)
		return nil
	})
}

func (m memOrders) Stored(ctx context.Context) (out []fleet.StoredOrder, err error) {
	err = m.call(ctx, "stored", func() error { out = slices.Clone(m.queue); return nil })
	return out, err
}

func (m memOrders) Remove(ctx context.Context, seq uint64) error {
	return m.call(ctx, "remove", func() error {
		m.queue = slices.DeleteFunc(m.queue, func(s fleet.StoredOrder) bool { return s.Seq == seq })
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

// Given says that nothing was handed out.
func (m memOrders) Given(ctx context.Context) (out map[fleet.Class]uint64, err error) {
	return nil, m.call(ctx, "given", func() error { return nil })
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

type memEvents struct{ *wire }

func (m memEvents) Publish(ctx context.Context, e fleet.Event, seq uint64) error {
	return m.call(ctx, "event", func() error {
		_ = fleet.EventSubject(e.Order, e.Slot()) // panics on what is no token
		for _, x := range m.events {
			if x.Order == e.Order && x.Slot() == e.Slot() {
				return nil
			}
		}
		m.events = append(m.events, told{e, seq})
		m.stir()
		return nil
	})
}

func (m memEvents) Told(ctx context.Context) (seq uint64, err error) {
	err = m.call(ctx, "told", func() error {
		for _, e := range m.events {
			seq = max(seq, e.seq)
		}
		return nil
	})
	return seq, err
}

func (m memEvents) Live(fleet.Event) { panic("a controller tells what is stored") }
func (m memEvents) FollowLive(context.Context, func(fleet.Event)) error {
	panic("a controller needs none of it")
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

func (m memRoll) Gone(machine, nonce string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.machines[machine].Owner.Nonce == nonce {
		delete(m.machines, machine)
	}
}

func (m memRoll) Machines() []*fleet.Machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*fleet.Machine
	for _, name := range slices.Sorted(maps.Keys(m.machines)) {
		one := &fleet.Machine{Presence: m.machines[name], Here: true}
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

// ledgerOf folds a book with the shop's own ledger and shelf.
func ledgerOf(b fleet.Book) *ledger.Ledger {
	return ledger.New(ledger.Parts{Book: b, Shelf: stock.NewShelf(nil)}, ledger.Config{})
}

// parts joins a controller to the shop over a wire.
func (w *wire) parts() Parts {
	return Parts{
		Book: memBook{w}, Ledger: ledgerOf(memBook{w}), Orders: memOrders{w}, Intake: memIntake{w}, Events: memEvents{w},
		Settings: memSettings{w}, Roll: memRoll{w.shop}, Server: memServer{w}, Boot: func() (string, time.Duration) { return "boot", time.Since(w.created) },
		Pending: func(ctx context.Context, n int) error {
			return w.call(ctx, "pending", func() error { w.pending = append(w.pending, n); return nil })
		},
	}
}

// open runs a controller and its ledger until the returned function is called.
func (w *wire) open(t testing.TB, change ...func(*Parts, *Config)) (*Controller, func()) {
	t.Helper()
	p, cfg := w.parts(), Config{Requests: true, Intake: true}
	for _, f := range change {
		f(&p, &cfg)
	}
	c := New(p, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- c.Run(ctx) }()
	behind, last := context.WithCancel(context.Background())
	go func() { done <- p.Ledger.(runs).Run(behind) }()
	stop := sync.OnceFunc(func() {
		cancel()
		err := <-done
		last()
		if err = errors.Join(err, <-done); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

type runs interface{ Run(context.Context) error }
