// Package presence knows who is here: which machines are in the fleet now, what
// each can make, what was known within the last seven days, and which ones a
// person took out of service and why.
//
// There is one answer for everybody, a list of fleet.Machine. Who asks once takes
// it by Parts.Read. A Roll follows what the machines say of themselves and the
// fleet's settings, for who asks all the time. It promises that a machine once
// seen is remembered over restarts of the shop: the roll writes down what a
// machine lists, and when it was here last, by the broker's clock. Whoever makes
// a Roll starts it with Run and stops it by the context; Run returns when its
// goroutines have ended. Any goroutine may ask.
//
// What it says is advice: nothing here may decide whether a machine pours. The
// claim's fence does that.
package presence

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// refresh is how old the record of a machine that is still here may get.
	refresh = 12 * time.Hour
	// look is how often the broker's clock is asked and records are looked over.
	look = time.Hour
	// aStep is by how much the broker's clock must leave the monotonic one to have been
	// set.
	aStep = time.Minute
	// again is the pause after the broker did not take a record.
	again = time.Second
)

// Parts is what the fleet is seen by.
type Parts struct {
	Fleet    fleet.Fleet
	Settings fleet.Settings
	// Now is the broker's clock, fleet.Book.Now. It dates the records, so that
	// a machine with a wrong clock of its own changes nothing.
	Now func(context.Context) (time.Time, error)
	Log *slog.Logger // nil: none
}

// Roll answers who is here. See New.
type Roll struct {
	parts Parts
	log   *slog.Logger
	write chan struct{} // there is something to write down
	spoke chan struct{} // somebody is here
	ready chan struct{}

	mu      sync.Mutex // guards what follows
	roll    roll
	dirty   map[string]fleet.Presence // to be written down, as last heard
	heard   map[string]time.Time      // when each that is here spoke last, by the monotonic clock
	clock   time.Time                 // the broker's clock ...
	asked   time.Time                 // ... when it was asked, by the monotonic clock
	changed chan struct{}
	// What Machines answers, by name: a thousand machines say something seventy
	// times a second, and whoever hears it asks who is here.
	list  []*fleet.Machine // nil: to be made anew
	given bool             // somebody holds it, so it must not be changed
	until time.Time        // when the first record in it is too old; zero: never
}

// New makes a roll that knows nobody yet.
func New(p Parts) *Roll {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Roll{
		parts: p, log: p.Log,
		write: make(chan struct{}, 1), ready: make(chan struct{}), changed: make(chan struct{}),
		roll: newRoll(), dirty: map[string]fleet.Presence{}, heard: map[string]time.Time{}, spoke: make(chan struct{}, 1),
	}
}

// Run follows the fleet until ctx ends. It is called once.
func (b *Roll) Run(ctx context.Context) error {
	var (
		wg         sync.WaitGroup
		gotWords   = make(chan struct{})
		gotSetting = make(chan struct{})
	)
	wg.Go(func() {
		fleet.Keep(ctx, b.log, "settings", func() error {
			return b.parts.Settings.Watch(ctx, b.setting, sync.OnceFunc(func() { close(gotSetting) }))
		})
	})
	wg.Go(func() {
		// The records first: else each start would write all of them anew.
		if fleet.Await(ctx, gotSetting) {
			fleet.Keep(ctx, b.log, "machines", func() error { return b.parts.Fleet.Watch(ctx, b.word, sync.OnceFunc(func() { close(gotWords) })) })
		}
	})
	wg.Go(func() { b.remember(ctx) })
	wg.Go(func() { b.listen(ctx) })
	if fleet.Await(ctx, gotSetting) && fleet.Await(ctx, gotWords) {
		close(b.ready)
	}
	wg.Wait()
	return nil
}

// setting folds one key of the settings.
func (b *Roll) setting(key string, value []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.roll.setting(key, value); err != nil {
		b.log.Error("a setting can't be read", "key", key, "err", err)
	}
	if name, is := fleet.CordonedBy(key); is {
		b.relist(name)
	} else if name, is := fleet.SeenBy(key); is {
		b.relist(name)
	}
	b.stir()
}

// word folds what a machine says of itself, and has it written down when it
// comes, when it goes, and when it lists something new.
func (b *Roll) word(p fleet.Presence, here bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, was := b.roll.here[p.Machine]
	known := b.roll.seen[p.Machine]
	b.roll.word(p, here)
	now, is := b.roll.here[p.Machine]
	if delete(b.heard, p.Machine); is {
		b.heard[p.Machine] = time.Now()
		poke(b.spoke)
	}
	switch {
	case is && (!was || !known.lists(now)):
		b.note(now)
	case was && !is:
		b.note(before) // so that the seven days count from now
	}
	b.relist(p.Machine)
	b.stir()
}

// note asks for a record. The caller holds the lock.
func (b *Roll) note(p fleet.Presence) {
	b.dirty[p.Machine] = p
	poke(b.write)
}

// poke leaves a token where there is none.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listen has a machine gone whose last word no longer counts. The broker does the
// same by its wall clock: one that was set back would keep a dead machine for as
// long, one that was set forward would lose them all.
func (b *Roll) listen(ctx context.Context) {
	for {
		b.mu.Lock()
		var next time.Duration
		for name, at := range b.heard {
			left := b.roll.here[name].Counts() - time.Since(at)
			if left <= 0 {
				b.silent(name)
			} else if next == 0 || left < next {
				next = left
			}
		}
		b.mu.Unlock()
		if next > 0 {
			if !fleet.Pause(ctx, min(next, fleet.PresenceTTL)) { // a word that comes meanwhile may count no longer
				return
			}
		} else if !fleet.Await(ctx, b.spoke) {
			return
		}
	}
}

// silent takes a machine out of those that are here. The caller holds the lock.
func (b *Roll) silent(name string) {
	before := b.roll.here[name]
	b.roll.word(fleet.Presence{Machine: name}, false)
	b.roll.over[name] = before.Said
	delete(b.heard, name)
	b.note(before) // so that the seven days count from now
	b.relist(name)
	b.stir()
}

// Gone takes a machine out of those that are here at once: nobody listens any more where
// this process of it did. A process that came after it stays, and any word of its own
// brings it back.
func (b *Roll) Gone(machine, nonce string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, here := b.roll.here[machine]; here && p.Owner.Nonce == nonce {
		b.silent(machine)
	}
}

// stir tells whoever waits on Changed. The caller holds the lock.
func (b *Roll) stir() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// remember writes the records and keeps the broker's clock.
func (b *Roll) remember(ctx context.Context) {
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		err := b.ask(ctx)
		if err == nil {
			b.age()
			err = b.save(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			b.log.Warn("who is here could not be written down; trying again", "err", err)
			if !fleet.Pause(ctx, again) {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-b.write:
		case <-t.C:
		}
	}
}

// ask reads the broker's clock. Where it was set, nothing that is written down tells
// how long ago it was, and the seven days begin anew.
func (b *Roll) ask(ctx context.Context) error {
	now, err := b.parts.Now(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	step := time.Duration(0)
	if !b.asked.IsZero() {
		step = now.Sub(b.now())
	}
	b.clock, b.asked = now, time.Now()
	b.list = nil
	for name, s := range b.roll.seen {
		if step.Abs() > aStep || s.At.After(now.Add(aStep)) {
			if _, newer := b.dirty[name]; !newer {
				b.dirty[name] = fleet.Presence{Machine: name, Classes: s.Classes, Sizes: s.Sizes, Never: s.Never}
			}
			s.At = now
			b.roll.seen[name] = s
		}
	}
	return nil
}

// now is the broker's clock, carried on by the monotonic one; zero if it was
// never heard. The caller holds the lock.
func (b *Roll) now() time.Time {
	if b.asked.IsZero() {
		return time.Time{}
	}
	return b.clock.Add(time.Since(b.asked))
}

// age asks for new records of machines that are here for long.
func (b *Roll) age() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, p := range b.roll.here {
		if s, ok := b.roll.seen[name]; ok && b.now().Sub(s.At) > refresh {
			b.dirty[name] = p
		}
	}
}

// save writes the records that are due, by name.
func (b *Roll) save(ctx context.Context) error {
	for {
		b.mu.Lock()
		names := slices.Sorted(maps.Keys(b.dirty))
		if len(names) == 0 {
			b.mu.Unlock()
			return nil
		}
		name := names[0]
		p := b.dirty[name]
		s := seen{p.Classes, p.Sizes, p.Never, b.now()}
		b.mu.Unlock()
		v, err := json.Marshal(s)
		if err == nil {
			err = b.parts.Settings.Put(ctx, fleet.SeenKey(name), v)
		}
		if err != nil {
			return err
		}
		b.mu.Lock()
		b.roll.seen[name] = s
		b.relist(name)
		if s.lists(b.dirty[name]) {
			delete(b.dirty, name)
		}
		b.mu.Unlock()
	}
}

// Ready is closed when the roll has heard all that was there at its start.
func (b *Roll) Ready() <-chan struct{} { return b.ready }

// Changed is closed at the next change of anything that the roll answers.
func (b *Roll) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Machines lists, by name, who is here now, who was within Remember, and who is
// cordoned. Until the broker's clock was heard, records of any age count: a shop
// that has just started says rather "absent" than "never". They are everybody's
// and must not be changed.
func (b *Roll) Machines() []*fleet.Machine {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); b.list == nil || !b.until.IsZero() && !now.Before(b.until) {
		b.list, b.until = b.roll.machines(now), time.Time{}
		for _, m := range b.list {
			m.Heard = b.heard[m.Machine]
			b.expires(m)
		}
	}
	b.given = true
	return slices.Clip(b.list)
}

// relist brings one machine's place in the list up to date. The caller holds the
// lock.
func (b *Roll) relist(name string) {
	if b.list == nil {
		return
	}
	if b.given {
		b.list, b.given = slices.Clone(b.list), false
	}
	i, there := slices.BinarySearchFunc(b.list, name, func(m *fleet.Machine, name string) int { return strings.Compare(m.Machine, name) })
	m := b.machine(name)
	switch {
	case m == nil && there:
		b.list = slices.Delete(b.list, i, i+1)
	case m == nil:
	case there:
		b.list[i] = m
		b.expires(m)
	default:
		b.list = slices.Insert(b.list, i, m)
		b.expires(m)
	}
}

// machine is what is known of one; nil if nothing is. The caller holds the lock.
func (b *Roll) machine(name string) *fleet.Machine {
	m := b.roll.machine(name, b.now())
	if m != nil {
		m.Heard = b.heard[name]
	}
	return m
}

// expires notes when a machine's record will be too old.
func (b *Roll) expires(m *fleet.Machine) {
	if at := m.Seen.Add(Remember); !m.Seen.IsZero() && (b.until.IsZero() || at.Before(b.until)) {
		b.until = at
	}
}
