package stock

import (
	"context"
	"encoding/json"
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

// paper is a ledger in memory with the semantics of the real one.
type paper struct {
	mu      sync.Mutex
	entries []fleet.Entry
	reads   int
}

var _ fleet.Ledger = (*paper)(nil)

func (p *paper) Append(ctx context.Context, e fleet.Entry, last uint64) (uint64, error) {
	b, err := json.Marshal(e) // what goes over a wire is a copy
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return 0, fleet.ErrNoAnswer
	}
	if last != uint64(len(p.entries)) {
		return 0, fleet.ErrConflict
	}
	var stored fleet.Entry
	if err := json.Unmarshal(b, &stored); err != nil {
		return 0, err
	}
	p.entries = append(p.entries, stored)
	return uint64(len(p.entries)), nil
}

func (p *paper) Read(ctx context.Context, after uint64, each func(uint64, fleet.Entry)) (uint64, error) {
	p.mu.Lock()
	es := slices.Clone(p.entries)
	p.reads++
	p.mu.Unlock()
	if ctx.Err() != nil {
		return after, fleet.ErrNoAnswer
	}
	for ; after < uint64(len(es)); after++ {
		each(after+1, es[after])
	}
	return after, nil
}

func (p *paper) all() []fleet.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.entries)
}

// fault is what befalls one append.
type fault int

const (
	fine       fault = iota
	lost             // not stored, no answer
	unanswered       // stored, no answer
	late             // no answer; stored just before the next append, if that is still allowed
	blind            // not stored, and the ledger can't be read either, once
)

// bad is a ledger, of paper or the real one, with faults.
type bad struct {
	fleet.Ledger
	mu    sync.Mutex
	next  func() fault
	wait  func()
	blind bool
}

func (b *bad) Append(ctx context.Context, e fleet.Entry, last uint64) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wait != nil {
		b.wait()
		b.wait = nil
	}
	switch b.next() {
	case lost:
		return 0, fleet.ErrNoAnswer
	case unanswered:
		_, _ = b.Ledger.Append(ctx, e, last)
		return 0, fleet.ErrNoAnswer
	case late:
		b.wait = func() { _, _ = b.Ledger.Append(context.Background(), e, last) }
		return 0, fleet.ErrNoAnswer
	case blind:
		b.blind = true
		return 0, fleet.ErrNoAnswer
	}
	return b.Ledger.Append(ctx, e, last)
}

func (b *bad) Read(ctx context.Context, after uint64, each func(uint64, fleet.Entry)) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blind {
		b.blind = false
		return after, fleet.ErrNoAnswer
	}
	return b.Ledger.Read(ctx, after, each)
}

// register is a store of claims in memory with the semantics of the real one.
type register struct {
	mu      sync.Mutex
	claims  map[string]fleet.ClaimEntry
	changes []fleet.ClaimEntry // all that ever was, for the watchers
	moved   chan struct{}      // closed at the next change
}

var _ fleet.Claims = (*register)(nil)

func newRegister() *register {
	return &register{claims: map[string]fleet.ClaimEntry{}, moved: make(chan struct{})}
}

func (r *register) Create(ctx context.Context, c fleet.Claim) (fleet.ClaimEntry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.claims[c.Order.ID]; there {
		return fleet.ClaimEntry{}, fleet.ErrExists
	}
	return r.put(c), nil
}

func (r *register) Update(ctx context.Context, read fleet.ClaimEntry, c fleet.Claim) (fleet.ClaimEntry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.claims[c.Order.ID].Revision != read.Revision {
		return fleet.ClaimEntry{}, fleet.ErrConflict
	}
	return r.put(c), nil
}

func (r *register) put(c fleet.Claim) fleet.ClaimEntry {
	e := fleet.ClaimEntry{Claim: c, Revision: uint64(len(r.changes) + 1), Created: time.Now()}
	r.claims[c.Order.ID] = e
	r.changes = append(r.changes, e)
	close(r.moved)
	r.moved = make(chan struct{})
	return e
}

func (r *register) Get(ctx context.Context, order string) (fleet.ClaimEntry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, there := r.claims[order]
	if !there {
		return e, fleet.ErrNotFound
	}
	return e, nil
}

func (r *register) Watch(ctx context.Context, each func(fleet.ClaimEntry), ready func()) error {
	r.mu.Lock()
	seen := len(r.changes)
	there := slices.SortedFunc(maps.Values(r.claims), func(a, b fleet.ClaimEntry) int { return int(a.Revision) - int(b.Revision) })
	r.mu.Unlock()
	for _, e := range there {
		each(e)
	}
	ready()
	for {
		r.mu.Lock()
		changes, moved := r.changes[seen:], r.moved
		seen = len(r.changes)
		r.mu.Unlock()
		for _, e := range changes {
			each(e)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *register) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (r *register) Purge(ctx context.Context, order string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.claims, order)
	return nil
}

func (r *register) all() []fleet.ClaimEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.claims))
}

// idN is an order id.
func idN(n int) string { return fmt.Sprintf("01JD%022d", n) }

// audit is a second fold, written from the promise and not from the code: a
// ledger in which each use's first end carries what its last end says must come
// to the same stock. Only the ledger is looked at.
func audit(entries []fleet.Entry) (levels map[string]fleet.Level, last map[useKey]fleet.Act, err error) {
	type story struct {
		reserved, first, final int // index of the entry, -1
	}
	uses := map[useKey]*story{}
	keys := map[string]bool{}
	for i, e := range entries {
		if e.Order == "" {
			if e.Key == "" || keys[e.Key] {
				return nil, nil, fmt.Errorf("entry %d: key %q is missing or there twice", i+1, e.Key)
			}
			keys[e.Key] = true
			continue
		}
		k := keyOf(e.Order, e.Use)
		u := uses[k]
		if u == nil {
			u = &story{-1, -1, -1}
			uses[k] = u
		}
		switch {
		case e.Act == fleet.Reserve && (u.reserved >= 0 || u.first >= 0):
			return nil, nil, fmt.Errorf("entry %d: reserves %s/%d a second time or after its end", i+1, e.Order, e.Use)
		case e.Act == fleet.Reserve:
			u.reserved = i
		case u.first >= 0 && entries[u.final].Act == e.Act:
			return nil, nil, fmt.Errorf("entry %d: books %s of %s/%d twice", i+1, e.Act, e.Order, e.Use)
		default:
			if u.first < 0 {
				u.first = i
			}
			u.final = i
		}
	}
	type sum struct{ hand, reserved, in, consumed, wasted int }
	sums := map[string]*sum{}
	of := func(item string) *sum {
		if sums[item] == nil {
			sums[item] = &sum{}
		}
		return sums[item]
	}
	for i, e := range entries {
		act, items := e.Act, e.Items
		if e.Order != "" && e.Act != fleet.Reserve {
			u := uses[keyOf(e.Order, e.Use)]
			if i == u.first && u.reserved >= 0 {
				for item, n := range entries[u.reserved].Items {
					of(item).reserved -= n
				}
			}
			if i != u.first {
				continue
			}
			act, items = entries[u.final].Act, entries[u.final].Items
		}
		for item, n := range items {
			s := of(item)
			switch act {
			case fleet.Reserve:
				s.reserved += n
			case fleet.Consume:
				s.hand, s.consumed = s.hand-n, s.consumed+n
			case fleet.Waste:
				s.hand, s.wasted = s.hand-n, s.wasted+n
			case fleet.Refill:
				s.hand, s.in = s.hand+n, s.in+n
			case fleet.Count:
				if n > s.hand {
					s.in += n - s.hand
				} else {
					s.wasted += s.hand - n
				}
				s.hand = n
			}
		}
	}
	levels = map[string]fleet.Level{}
	for item, s := range sums {
		levels[item] = fleet.Level{OnHand: s.hand, Reserved: s.reserved, Refilled: s.in, Consumed: s.consumed, Wasted: s.wasted}
	}
	last = map[useKey]fleet.Act{}
	for k, u := range uses {
		last[k] = fleet.Reserve
		if u.final >= 0 {
			last[k] = entries[u.final].Act
		}
	}
	return levels, last, nil
}

// balanced checks promise 9 on levels, against the audit of their ledger.
func balanced(got map[string]fleet.Level, entries []fleet.Entry) error {
	want, _, err := audit(entries)
	if err != nil {
		return err
	}
	counts := slices.ContainsFunc(entries, func(e fleet.Entry) bool { return e.Act == fleet.Count })
	for item := range want {
		if _, there := got[item]; !there && want[item] != (fleet.Level{}) {
			return fmt.Errorf("%s is missing, wanted %+v", item, want[item])
		}
	}
	for item, l := range got {
		w := want[item]
		switch {
		case l.OnHand != l.Refilled-l.Consumed-l.Wasted:
			return fmt.Errorf("%s does not add up: %+v", item, l)
		case l.OnHand < 0 || l.Reserved < 0 || l.Refilled < 0 || l.Consumed < 0 || l.Wasted < 0:
			return fmt.Errorf("%s is below zero: %+v", item, l)
		case l.OnHand != w.OnHand || l.Reserved != w.Reserved || l.Consumed != w.Consumed:
			return fmt.Errorf("%s is %+v, the ledger alone says %+v", item, l, w)
		case !counts && l != w: // a count's difference may be said as refilled or as less wasted
			return fmt.Errorf("%s is %+v, the ledger alone says %+v", item, l, w)
		}
	}
	return nil
}

// must ends the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
