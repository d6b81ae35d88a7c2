// Package chaos is what a demo lets its visitors break on purpose: a grinder that jams,
// milk that is out, a cable that is pulled, a broker that can't be reached, a machine
// that is killed in mid-pour. It does so behind the machines' backs, where the world
// would, and looks what the shop makes of it.
//
// It promises an honest tick: each thing that should happen is seen in what the shop
// itself says afterwards, the book's records, the machines' words, an order's answer.
// None comes because time has passed, and one that does not come stays open. What it
// needs a drink for it orders itself where nobody has one in hand.
//
// A Room is made before the shop is opened, and joined to it; Run follows the shop. The
// machines' lives are stages of the shop: when the demo ends they mend what was broken
// first, so that a drink in hand is finished and every output is seen off.
//
// It belongs to the demo alone. No service may have one: there are no faults to be had
// over a network at a shop that serves people.
package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"barista/cmd/barista/service"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/web"
)

// Parts is the shop as the room sees it.
type Parts struct {
	Place   func(ctx context.Context, body []byte, via string) fleet.Answer
	Menu    func() fleet.Menu
	Book    web.Book
	Live    func(ctx context.Context, each func(fleet.Event)) error // what machines tell of their work
	Roll    Roll
	Command func(ctx context.Context, machine string, c fleet.Command) (fleet.CommandAnswer, error)
	Levels  func(context.Context) (map[string]fleet.Level, error)
	Count   func(ctx context.Context, item string, n int, by, key string) (fleet.Level, error)
}

// Roll is who is here.
type Roll interface {
	Machines() []*fleet.Machine
	Changed() <-chan struct{}
}

// by is who breaks and mends, as records name him.
const by = "demo"

// Room is where it is done. Any goroutine may use it.
type Room struct {
	log      *slog.Logger
	shop     Parts
	machines []*mortal

	mu     sync.Mutex             // guards the following, and is held while nobody is asked
	claims map[string]fleet.Entry // of the orders that were heard of since the start
	steps  map[string]string      // the last step of those that are being made
	trials []*trial               // in the order of the page
	news   chan struct{}          // closed when a page may look different
	todo   chan func(context.Context)
}

var _ web.Chaos = (*Room)(nil)

// New makes the room of a demo with these machines.
func New(log *slog.Logger, machines ...string) *Room {
	r := &Room{
		log: log, claims: map[string]fleet.Entry{}, steps: map[string]string{},
		news: make(chan struct{}), todo: make(chan func(context.Context), 64),
	}
	leaving := make(chan struct{})
	leave := sync.OnceFunc(func() { close(leaving) })
	for _, name := range machines {
		m := &mortal{name: name, kills: make(chan struct{}, 1), leaving: leaving, leave: leave}
		m.dead.Store(new(atomic.Bool))
		r.machines = append(r.machines, m)
	}
	for _, p := range plays {
		r.trials = append(r.trials, &trial{play: p})
	}
	return r
}

func (r *Room) machine(name string) *mortal {
	if i := slices.IndexFunc(r.machines, func(m *mortal) bool { return m.name == name }); i >= 0 {
		return r.machines[i]
	}
	return nil
}

// Log is the log of what has a name; that of a machine ends with its life. Without a
// room it is the one that was given.
func (r *Room) Log(name string, log *slog.Logger) *slog.Logger {
	if r == nil || r.machine(name) == nil {
		return log
	}
	return slog.New(mute{log.Handler(), r.machine(name).dead.Load()})
}

// Desk is a machine's desk, which it can't ask any more once it is dead. Without a room
// it is the desk itself.
func (r *Room) Desk(name string, d fleet.Desk) fleet.Desk {
	if r == nil || r.machine(name) == nil {
		return d
	}
	return desk{d, r.machine(name).dead.Load()}
}

// Tickets are a machine's, of which it can't let go any more once it is dead. Without a
// room they are what was given.
func (r *Room) Tickets(name string, t fleet.Tickets) fleet.Tickets {
	if r == nil || r.machine(name) == nil {
		return t
	}
	return tickets{t, r.machine(name).dead.Load()}
}

// Wire is the way to the broker of who connects under a name: one that can be cut, new
// for each life, where that is a machine. Without a room it is the broker itself.
func (r *Room) Wire(name string, b Broker) Broker {
	if r == nil || r.machine(name) == nil {
		return b
	}
	m := r.machine(name)
	w := &wire{broker: b}
	m.wire.Store(w)
	return w
}

// Lives makes a stage of a machine's lives. first is opened; metal is that of the life
// that was opened last, again opens another one over the same folder.
func (r *Room) Lives(name, dir string, first Life, metal func() Metal, again func(context.Context) (Life, error)) service.Stage {
	m := r.machine(name)
	m.dir, m.first, m.metal, m.again = dir, first, metal, again
	m.behind(metal())
	return m.stage()
}

// Join gives the room its shop. Before Run.
func (r *Room) Join(p Parts) *Room {
	r.shop = p
	return r
}

// lookEvery is how often what is no event is looked at: whether a connection is up.
const lookEvery = 250 * time.Millisecond

// Run follows the shop until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		fleet.Keep(ctx, r.log, "the book", func() error {
			now, err := r.shop.Book.Now(ctx)
			if err != nil {
				return err
			}
			from, err := r.shop.Book.Since(ctx, now)
			if err != nil {
				return err
			}
			return r.shop.Book.Follow(ctx, from, r.record, func() {})
		})
	})
	wg.Go(func() { fleet.Keep(ctx, r.log, "live news", func() error { return r.shop.Live(ctx, r.live) }) })
	wg.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			changed := r.shop.Roll.Changed()
			r.look()
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-tick.C:
			}
		}
	})
	for {
		select {
		case <-ctx.Done():
			return nil
		case do := <-r.todo:
			do(ctx)
		}
	}
}

// later has something done that asks the shop. A full list is a demo that asks too
// much of itself: the trial stays open.
func (r *Room) later(do func(context.Context)) {
	select {
	case r.todo <- do:
	default:
		r.log.Warn("chaos: too much at once")
	}
}

// record takes a record of the book.
func (r *Room) record(rec fleet.Record) {
	if !rec.IsClaim || rec.Via == fleet.ViaOld {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := rec.Order.ID
	before := r.claims[id]
	r.claims[id] = rec.Entry
	r.forget()
	if rec.Phase != fleet.Brewing || before.Epoch != rec.Epoch {
		delete(r.steps, id)
	}
	if rec.Phase.Ended() && before.Phase.Ended() {
		return
	}
	r.aim(id)
	r.lookLocked()
}

// mostClaims bounds the orders that are remembered.
const mostClaims = 512

// forget drops those that are over, of too many. The caller holds mu.
func (r *Room) forget() {
	if len(r.claims) <= mostClaims {
		return
	}
	used := map[string]bool{}
	for _, t := range r.trials {
		used[t.order], used[t.own], used[t.second] = true, true, true
	}
	for id, c := range r.claims {
		if c.Phase.Ended() && !used[id] {
			delete(r.claims, id)
			delete(r.steps, id)
		}
	}
}

// live takes what a machine tells of its work.
func (r *Room) live(e fleet.Event) {
	if e.Kind != fleet.EvStep {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, is := r.claims[e.Order]; !is || c.Phase.Ended() || e.Epoch != c.Epoch {
		return
	}
	r.steps[e.Order] = e.Step
	r.aim(e.Order)
}

// tell wakes who looks. The caller holds mu.
func (r *Room) tell() {
	close(r.news)
	r.news = make(chan struct{})
}

// Follow calls changed whenever a page may look different, until ctx ends.
func (r *Room) Follow(ctx context.Context, changed func()) error {
	for {
		r.mu.Lock()
		news := r.news
		r.mu.Unlock()
		if !fleet.Await(ctx, news) {
			return ctx.Err()
		}
		changed()
	}
}

// order places an order of the demo's own for a trial.
func (r *Room) order(t *trial, size fleet.Size, milk string, answered func(fleet.Answer)) {
	bean := r.shop.Menu().Beans[0]
	body, err := json.Marshal(map[string]any{"name": "Demo", "size": size, "bean_type": bean, "milk": milk, "sugar_count": 0})
	if err != nil {
		panic("chaos: " + err.Error())
	}
	n := t.n
	r.later(func(ctx context.Context) {
		a := r.shop.Place(ctx, body, "web")
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.n != n {
			return // it was ended meanwhile
		}
		answered(a)
		r.lookLocked()
		r.tell()
	})
}

// mend takes a fault out of a machine, and says so to it as a person would.
func (r *Room) mend(m *mortal, f *plant.Fault) {
	c := *m.control.Load()
	if c.Plug(); f != nil {
		c.Plant().Mend(*f)
	}
	name := m.name
	r.later(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
		defer cancel()
		a, err := r.shop.Command(ctx, name, fleet.Command{Verb: "clear-fault", By: by, Why: "mended on the page"})
		if err != nil && ctx.Err() == nil || err == nil && !a.OK {
			r.log.Info("chaos: nothing to clear", "machine", name, "said", a.Message, "err", err)
		}
	})
}

func (r *Room) trial(code string) *trial {
	if i := slices.IndexFunc(r.trials, func(t *trial) bool { return t.code == code }); i >= 0 {
		return r.trials[i]
	}
	return nil
}

// Do breaks something. fleet.ErrNotFound: there is no such thing to break;
// fleet.ErrConflict: it is broken, or what was broken last is still being looked at.
func (r *Room) Do(_ context.Context, code string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.trial(code)
	if t == nil {
		return fmt.Errorf("chaos: %w", fleet.ErrNotFound)
	}
	if t.broken() || r.busy() != nil {
		return fmt.Errorf("chaos: %w", fleet.ErrConflict)
	}
	*t = trial{play: t.play, n: t.n + 1, state: web.ChaosWaits, seen: map[string]string{}}
	t.start(r, t)
	r.lookLocked()
	r.tell()
	return nil
}

// busy is the trial that is not over yet.
func (r *Room) busy() *trial {
	for _, t := range r.trials {
		if t.state == web.ChaosWaits || t.state == web.ChaosBroken && !t.all(t.expect) && !r.otherwise(t) {
			return t
		}
	}
	return nil
}

// Undo mends it, or gives up waiting for the moment to break it. It does nothing where
// nothing is broken.
func (r *Room) Undo(_ context.Context, code string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.trial(code)
	switch {
	case t == nil:
		return fmt.Errorf("chaos: %w", fleet.ErrNotFound)
	case t.state == web.ChaosWaits:
		t.state, t.n = web.ChaosWhole, t.n+1
	case t.state == web.ChaosBroken:
		t.state, t.mended = web.ChaosMended, time.Now()
		if t.undo != nil {
			t.undo(r, t)
		}
	}
	r.lookLocked()
	r.tell()
	return nil
}

// Look is everything that can be broken, and what was seen of it.
func (r *Room) Look() []web.Mischief {
	r.mu.Lock()
	defer r.mu.Unlock()
	busy := r.busy()
	var out []web.Mischief
	for _, t := range r.trials {
		p := t.play
		one := web.Mischief{Code: p.code, State: t.state, Machine: t.machine, Order: t.order, Refused: t.wrong, Otherwise: r.otherwise(t), Free: busy == nil && !t.broken(), Mends: t.broken() && (p.undo != nil || t.state == web.ChaosWaits)}
		for _, code := range append(slices.Clone(p.expect), p.after...) {
			other, seen := t.seen[code]
			one.Sights = append(one.Sights, web.Sight{Code: code, Seen: seen, Machine: other})
		}
		out = append(out, one)
	}
	return out
}

// kill ends a machine at once.
func (m *mortal) kill() error {
	select {
	case m.kills <- struct{}{}:
		return nil
	default:
		return errors.New("it is being killed")
	}
}
