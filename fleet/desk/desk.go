// Package desk is where machines ask. No machine writes to the book, so this is
// the one door through which a brew is begun and ended: a machine sends what it
// read and which arrow it wants, the desk looks whether the claim's rules have
// that arrow, and writes it by compare-and-set.
//
// What it promises: the compare is made on the revision that the request names,
// never on one that the desk read itself, so a request that comes late, twice or
// from a machine that slept changes nothing; a machine is believed about nothing
// but itself, and what it says of others the desk looks up; the answer says
// whether it was done, surely not done, or whether nobody knows. No answer depends on
// an earlier request, so any number of desks may serve side by side, and one
// that ends takes nothing with it.
//
// Machines hear here too what the shop wants of them: in service or not, the menu,
// how many orders wait. A change of that is not sent to them; they are told to ask.
//
// Whoever makes a desk starts it with Run, which returns when every request that
// it began is answered. What it must never do: make something of a request that
// was not asked for, or let text from outside become part of a subject.
package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

// The bounds of the work. What is more is told "busy" at once and asks again: a
// request that waits here would be too old when its turn comes.
const (
	atOnce = 32 // requests in work
	each   = 4  // of one machine, which asks for one thing at a time
)

// hearTime is how long what a machine may always say waits for the shop to look at its
// book.
const hearTime = fleet.DeskTime / 4

// stepBack is how long a machine that failed lets another try first.
const stepBack = 10 * time.Second

// Parts is what a desk works with.
type Parts struct {
	Book   Book
	Events Events
	Fleet  Fleet
	// Roll is who is here, as one process follows it; advice for the machines.
	Roll      Roll
	Settings  Settings
	Server    fleet.Server
	Requester fleet.Requester
	// Wrote hears of each claim that was written here, before its machine does, so
	// that nobody in this process lags behind a machine. May be nil.
	Wrote func(fleet.Entry)
	// Age is for how long this process has known that a record is its order's last.
	// Leases and the longest brew go by it: the broker's clock may be set at any time.
	Age func(fleet.Entry) time.Duration
	// Waiting counts the orders of these classes that nobody has in hand. May be nil.
	Waiting func([]fleet.Class) int
	// Reconnected is closed when the connection to the broker came back next: what is here
	// may have been forgotten there. May be nil.
	Reconnected func() <-chan struct{}
	// Queue lists the orders that wait, in the order in which they were accepted. May be
	// nil.
	Queue func() []fleet.Entry
	// UnknownAfter is how old a brew must be before another machine may say unknown.
	// 0: fleet.LongestBrew + 60 s, the only right value in a fleet; tests make it short.
	UnknownAfter time.Duration
	// Witness says whether the book is whole; nil: nobody looks.
	Witness Witness
	Log     *slog.Logger // nil: none
}

// Witness hears what machines have seen of the book.
type Witness interface {
	// Heard takes a machine's mark; fleet.ErrClosed: the shop is closed.
	Heard(ctx context.Context, machine string, m fleet.Mark) error
	// Flows says whether anything may be done with an order; fleet.ErrClosed: not now.
	Flows(ctx context.Context, order string, fresh bool) error
	// Mark is the shop's own; zero while it is closed.
	Mark() fleet.Mark
}

// Book is what a desk needs of fleet.Book.
type Book interface {
	Read(ctx context.Context, order string) (fleet.Entry, error)
	Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error)
	Now(ctx context.Context) (time.Time, error)
}

// Events tells what no record of the book does: a message that is no order, and
// an end that came too late for the claim.
type Events interface {
	Publish(ctx context.Context, e fleet.Event, seq uint64) error
}

// Fleet is what a desk needs of fleet.Fleet.
type Fleet interface {
	Announce(ctx context.Context, p fleet.Presence) error
	Again(ctx context.Context, words []fleet.Presence) error
	Leave(ctx context.Context, machine string) error
	Present(ctx context.Context) ([]fleet.Presence, error)
}

// Roll is who is here.
type Roll interface{ Machines() []*fleet.Machine }

// Settings is what a desk needs of fleet.Settings.
type Settings interface {
	Watch(ctx context.Context, each func(key string, value []byte), ready func()) error
}

// Desk answers machines. See New.
type Desk struct {
	p    Parts
	log  *slog.Logger
	tell chan string   // machines that should ask anew; empty: all
	due  chan struct{} // there are words in again

	mu       sync.Mutex // guards what follows
	inWork   int
	by       map[string]int       // of them, by machine
	twins    map[string]time.Time // when it was said last that two have this name
	settings settings
	said     map[string]said           // the last word of presence of each machine, see hear
	again    map[string]fleet.Presence // words that stand and are to be said again
	here     int                       // machines ...
	counted  time.Time                 // ... when
	back     <-chan struct{}           // closed at the next reconnect; nil: nobody tells
	anew     time.Time                 // until then no word is taken to stand, see forgotten
}

// New makes a desk that answers nobody yet.
func New(p Parts) *Desk {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.UnknownAfter == 0 {
		p.UnknownAfter = fleet.LongestBrew + fleet.UnknownAfter
	}
	if p.Wrote == nil {
		p.Wrote = func(fleet.Entry) {}
	}
	if p.Queue == nil {
		p.Queue = func() []fleet.Entry { return nil }
	}
	if p.Waiting == nil {
		p.Waiting = func([]fleet.Class) int { return 0 }
	}
	d := &Desk{p: p, log: p.Log, tell: make(chan string, 64), by: map[string]int{}, twins: map[string]time.Time{}, said: map[string]said{}, again: map[string]fleet.Presence{}, due: make(chan struct{}, 1), settings: settings{cordons: map[string]fleet.Cordon{}}}
	if p.Reconnected != nil {
		d.back = p.Reconnected()
	}
	return d
}

// Run answers until ctx ends and what was begun is answered.
func (d *Desk) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { d.follow(ctx) })
	wg.Go(func() { d.nudge(ctx) })
	wg.Go(func() { d.repeat(ctx) })
	defer wg.Wait()
	fleet.Keep(ctx, d.log, "the desk", func() error {
		return d.p.Server.Serve(ctx, fleet.Subject("coffee", "desk", "*", "*"), true, d.answer)
	})
	return nil
}

// asker is who asks what, as the broker knows it: its rights bind a machine to
// the subjects with its name.
func asker(subject string) (machine, verb string, ok bool) {
	t := strings.Split(subject, ".")
	if len(t) != 4 || !fleet.IsToken(t[2]) {
		return "", "", false
	}
	return t[2], t[3], true
}

// Here asks whether a desk answers.
func Here(r fleet.Requester) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := r.Request(ctx, fleet.DeskSubject("shop", fleet.DeskHere), nil)
		return err
	}
}

// answer answers one request.
func (d *Desk) answer(ctx context.Context, subject string, body []byte) []byte {
	begun := time.Now()
	var told fleet.Told
	machine, verb, ok := asker(subject)
	if verb == fleet.DeskHere {
		return []byte("{}")
	}
	do := verbs[verb]
	a, err := d.hear(machine, verb, body)
	switch {
	case !ok || do == nil:
		told = refused("no machine asks for this: %s", fleet.Plain(subject))
	case err != nil:
		told = refused("not a request: %s", fleet.Plain(err.Error()))
	case a.Owner.Machine != machine:
		told = refused("%s asks in the name of %s", machine, fleet.Plain(a.Owner.Machine))
	case !d.begin(machine):
		told = fleet.Told{Code: fleet.DeskBusy, Text: "too many requests at once"}
	default:
		// What was begun is finished, also when this process stops.
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), begun.Add(fleet.DeskTime))
		told = d.witnessed(ctx, machine, verb, a, do)
		cancel()
		d.end(machine)
	}
	switch told.Code {
	case fleet.DeskRefused:
		d.log.Warn("refused a machine", "machine", machine, "verb", verb, "order", a.Order, "why", told.Text)
	case fleet.DeskTwin:
		d.log.Log(ctx, d.loud(machine), "two processes work under one machine's name, the later one is refused: stop one of the two services, or give it a name and a folder of its own",
			"machine", machine, "journal", a.Owner.Journal, "boot", a.Owner.Boot)
	}
	told.Nonce = a.Nonce
	b, _ := json.Marshal(told)
	return b
}

// loud is how loud it is said that a machine has a twin: it asks every few seconds.
func (d *Desk) loud(machine string) slog.Level {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.twins[machine]) >= time.Minute {
		d.twins[machine] = now
		return slog.LevelError
	}
	return slog.LevelDebug
}

// witnessed answers where the book is known to be whole, as far as this machine and
// this order go. Whatever the machine knows is heard before anything else; that it is
// here, and what is no order, it may always say.
func (d *Desk) witnessed(ctx context.Context, machine, verb string, a fleet.Ask, do func(*Desk, context.Context, string, fleet.Ask) fleet.Told) fleet.Told {
	w := d.p.Witness
	if w == nil {
		return do(d, ctx, machine, a)
	}
	about := verb != fleet.DeskPresence && verb != fleet.DeskLeave && verb != fleet.DeskPoison
	soon, cancel := ctx, context.CancelFunc(func() {})
	if !about { // time must be left to pass it on
		soon, cancel = context.WithTimeout(ctx, hearTime)
	}
	err := w.Heard(soon, machine, a.Mark)
	cancel()
	heard := err == nil
	if heard && about && a.Order != "" {
		err = w.Flows(ctx, a.Order, false)
	}
	if err != nil && about {
		if errors.Is(err, fleet.ErrClosed) {
			return fleet.Told{Code: fleet.DeskClosed, Text: err.Error()}
		}
		return notDone(err)
	}
	told := do(d, ctx, machine, a)
	if heard {
		told.Mark = w.Mark()
	}
	return told
}

// begin takes one more request into work, if that is not too much.
func (d *Desk) begin(machine string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inWork >= atOnce || d.by[machine] >= each {
		return false
	}
	d.inWork++
	d.by[machine]++
	return true
}

func (d *Desk) end(machine string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inWork--
	if d.by[machine]--; d.by[machine] == 0 {
		delete(d.by, machine)
	}
}

// verbs is all that a machine may ask.
var verbs = map[string]func(d *Desk, ctx context.Context, machine string, a fleet.Ask) fleet.Told{
	fleet.DeskTake:     (*Desk).take,
	fleet.DeskClaim:    arrow(true, claim),
	fleet.DeskFence:    arrow(true, fence),
	fleet.DeskRelease:  arrow(false, release),
	fleet.DeskEnd:      arrow(false, outcome),
	fleet.DeskPark:     arrow(false, park),
	fleet.DeskDoubt:    arrow(false, doubt),
	fleet.DeskPresence: (*Desk).presence,
	fleet.DeskLeave:    (*Desk).leave,
	fleet.DeskPoison:   (*Desk).poison,
}

func refused(format string, args ...any) fleet.Told {
	return fleet.Told{Code: fleet.DeskRefused, Text: fmt.Sprintf(format, args...)}
}

// notDone answers where something failed before anything was written.
func notDone(err error) fleet.Told { return fleet.Told{Code: fleet.DeskBusy, Text: err.Error()} }
