// Package presence knows who is here: which machines are in the fleet now, what
// each can make, what was known within the last seven days, and which ones a
// person took out of service and why.
//
// A Board follows what the machines say of themselves and the fleet's settings.
// It promises that a machine once seen is remembered over restarts of the shop:
// the board writes down what a machine lists, and when it was here last, by the
// broker's clock. Whoever makes a Board starts it with Run and stops it by the
// context; Run returns when its goroutines have ended. Any goroutine may ask.
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

// Remember is how long a machine that went away still counts as known.
const Remember = 7 * 24 * time.Hour

const (
	// refresh is how old the record of a machine that is still here may get.
	refresh = 12 * time.Hour
	// look is how often the broker's clock is asked and records are looked over.
	look = time.Hour
	// again is the pause after the broker did not take a record.
	again = time.Second
)

// Parts is what a Board needs.
type Parts struct {
	Fleet    fleet.Fleet
	Settings fleet.Settings
	// Now is the broker's clock, fleet.Claims.Now. It dates the records, so that
	// a machine with a wrong clock of its own changes nothing.
	Now func(context.Context) (time.Time, error)
	Log *slog.Logger // nil: none
}

// seen is what the settings hold of a machine that was here.
type seen struct {
	Classes []fleet.Class `json:"classes"`
	Sizes   []fleet.Size  `json:"sizes"`
	At      time.Time     `json:"at"` // the broker's clock
}

const (
	seenPrefix   = "seen."
	cordonPrefix = "cordon."
)

// seenKey is where the record of a machine stands in coffee-settings.
func seenKey(machine string) string { return fleet.Subject("seen", machine) }

// Board answers who is here. See New.
type Board struct {
	parts Parts
	log   *slog.Logger
	write chan struct{} // there is something to write down
	ready chan struct{}

	mu      sync.Mutex // guards what follows
	here    map[string]fleet.Presence
	seen    map[string]seen
	cordons map[string]fleet.Cordon
	dirty   map[string]fleet.Presence // to be written down, as last heard
	clock   time.Time                 // the broker's clock ...
	asked   time.Time                 // ... when it was asked, by the monotonic clock
	changed chan struct{}
}

// New makes a board that knows nobody yet.
func New(p Parts) *Board {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Board{
		parts: p, log: p.Log,
		write: make(chan struct{}, 1), ready: make(chan struct{}), changed: make(chan struct{}),
		here: map[string]fleet.Presence{}, seen: map[string]seen{},
		cordons: map[string]fleet.Cordon{}, dirty: map[string]fleet.Presence{},
	}
}

// Run follows the fleet until ctx ends. It is called once.
func (b *Board) Run(ctx context.Context) error {
	var (
		wg         sync.WaitGroup
		gotWords   = make(chan struct{})
		gotSetting = make(chan struct{})
	)
	wg.Go(func() {
		b.keep(ctx, "settings", func() error { return b.parts.Settings.Watch(ctx, b.setting, once(gotSetting)) })
	})
	wg.Go(func() {
		// The records first: else each start would write all of them anew.
		if wait(ctx, gotSetting) {
			b.keep(ctx, "machines", func() error { return b.parts.Fleet.Watch(ctx, b.word, once(gotWords)) })
		}
	})
	wg.Go(func() { b.remember(ctx) })
	if wait(ctx, gotSetting) && wait(ctx, gotWords) {
		close(b.ready)
	}
	wg.Wait()
	return nil
}

// keep repeats a watch that broke off.
func (b *Board) keep(ctx context.Context, what string, watch func() error) {
	for ctx.Err() == nil {
		err := watch()
		if ctx.Err() != nil {
			return
		}
		b.log.Warn("watch begins anew", "of", what, "err", err)
		pause(ctx, again)
	}
}

func once(ch chan struct{}) func() { return sync.OnceFunc(func() { close(ch) }) }

func wait(ctx context.Context, ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-ctx.Done():
		return false
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// setting folds one key of the settings.
func (b *Board) setting(key string, value []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name, ok := strings.CutPrefix(key, cordonPrefix); ok {
		fold(b, b.cordons, name, key, value)
	} else if name, ok := strings.CutPrefix(key, seenPrefix); ok {
		fold(b, b.seen, name, key, value)
	}
}

func fold[T any](b *Board, into map[string]T, name, key string, value []byte) {
	defer b.stir()
	if value == nil {
		delete(into, name)
		return
	}
	var v T
	if err := json.Unmarshal(value, &v); err != nil {
		// A cordon that can't be read still is one: better a machine too few.
		b.log.Error("a setting can't be read", "key", key, "err", err)
	}
	into[name] = v
}

// word folds what a machine says of itself.
func (b *Board) word(p fleet.Presence, here bool) {
	if !fleet.IsToken(p.Machine) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before, was := b.here[p.Machine]
	if here {
		b.here[p.Machine] = p
		if s, known := b.seen[p.Machine]; !known || !slices.Equal(s.Classes, p.Classes) || !slices.Equal(s.Sizes, p.Sizes) || !was {
			b.note(p)
		}
	} else if was {
		delete(b.here, p.Machine)
		b.note(before) // so that the seven days count from now
	}
	b.stir()
}

// note asks for a record. The caller holds the lock.
func (b *Board) note(p fleet.Presence) {
	b.dirty[p.Machine] = p
	select {
	case b.write <- struct{}{}:
	default:
	}
}

// stir tells whoever waits on Changed. The caller holds the lock.
func (b *Board) stir() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// remember writes the records and keeps the broker's clock.
func (b *Board) remember(ctx context.Context) {
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
			if !pause(ctx, again) {
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

// ask reads the broker's clock.
func (b *Board) ask(ctx context.Context) error {
	now, err := b.parts.Now(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.clock, b.asked = now, time.Now()
	b.mu.Unlock()
	return nil
}

// now is the broker's clock, carried on by the monotonic one; zero if it was
// never heard. The caller holds the lock.
func (b *Board) now() time.Time {
	if b.asked.IsZero() {
		return time.Time{}
	}
	return b.clock.Add(time.Since(b.asked))
}

// age asks for new records of machines that are here for long.
func (b *Board) age() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, p := range b.here {
		if s, ok := b.seen[name]; ok && b.now().Sub(s.At) > refresh {
			b.dirty[name] = p
		}
	}
}

func (b *Board) save(ctx context.Context) error {
	for {
		b.mu.Lock()
		var p fleet.Presence
		for _, p = range b.dirty {
			break
		}
		s := seen{p.Classes, p.Sizes, b.now()}
		b.mu.Unlock()
		if p.Machine == "" {
			return nil
		}
		v, err := json.Marshal(s)
		if err == nil {
			err = b.parts.Settings.Put(ctx, seenKey(p.Machine), v)
		}
		if err != nil {
			return err
		}
		b.mu.Lock()
		b.seen[p.Machine] = s
		if d := b.dirty[p.Machine]; slices.Equal(d.Classes, p.Classes) && slices.Equal(d.Sizes, p.Sizes) {
			delete(b.dirty, p.Machine)
		}
		b.mu.Unlock()
	}
}

// Ready is closed when the board has heard all that was there at its start.
func (b *Board) Ready() <-chan struct{} { return b.ready }

// Changed is closed at the next change of anything that the board answers.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Present lists who is here now, by name.
func (b *Board) Present() []fleet.Presence {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]fleet.Presence, 0, len(b.here))
	for _, name := range slices.Sorted(maps.Keys(b.here)) {
		out = append(out, b.here[name])
	}
	return out
}

// Known reports whether a machine that is here now, or was within Remember,
// lists the class and the size. Until the broker's clock was heard, records of
// any age count: a shop that has just started says rather "absent" than "never".
func (b *Board) Known(c fleet.Class, s fleet.Size) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.here {
		if p.Makes(c, s) {
			return true
		}
	}
	now := b.now() // zero until it was heard: nothing is old then
	for _, r := range b.seen {
		if now.Sub(r.At) < Remember && slices.Contains(r.Classes, c) && slices.Contains(r.Sizes, s) {
			return true
		}
	}
	return false
}

// LastSeen is when a machine was written down last, by the broker's clock.
func (b *Board) LastSeen(machine string) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.seen[machine]
	return s.At, ok
}

// Cordoned reports who took a machine out of service and why.
func (b *Board) Cordoned(machine string) (fleet.Cordon, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.cordons[machine]
	return c, ok
}

// Cordons lists every machine that is out of service.
func (b *Board) Cordons() map[string]fleet.Cordon {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.cordons)
}
