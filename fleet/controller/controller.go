// Package controller is the door of the shop: it accepts or refuses an order,
// looks after it until it has ended, and says how long it will take.
//
// What it promises: "success" is said only when the order's first record is in the
// book, which holds the order, its answer and its reservation; an error that rests
// on the shop's state is said only when the book holds the refusal, so a success is
// never followed by an error, nor an error by an order. Unavailable means "not
// known yet, ask again with the same id". One id is one order, however often it is
// asked, at however many controllers. The queue's message follows at once, beside
// the answer, and is sent until the queue has confirmed it; what a crash left half
// done, the sweep brings to its end. So every accepted order stands in the queue,
// has ended, or waits for a person. Events are told from the records of the book,
// so none is lost with the process.
//
// Whoever makes a Controller starts it with Run and stops it by the context;
// Run lets go of the door first, then of what stands behind it, and returns when
// all of its goroutines have ended. The ledger and the roll run beside it. Several
// controllers may run on one broker. Place and its neighbours may be called by any
// goroutine while Run runs; they keep their own limit of time.
//
// It never touches a machine, never sets a claim's phase but by the claim's own
// arrows and a compare-and-set, and keeps nothing that can't be read again from
// the broker.
package controller

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"barista/fleet"
)

// Config is how a controller behaves. Zero values take the defaults.
type Config struct {
	Requests    bool          // serve coffee.web.requests
	Intake      bool          // take orders that foreign programs dropped
	ExpireAfter time.Duration // how long an order may wait; 15 min
	SweepAfter  time.Duration // how old must be what others may have left half done; 60 s
	Grace       time.Duration // after a start nothing is called unknown; 15 s
	// CustomersSettle: a customer's own word settles a drink in doubt, see Said.
	CustomersSettle bool
	Alive           func() // called once a second for as long as orders can be answered; must not block. nil: nobody asks
}

// Parts is what a controller needs from the other rooms.
type Parts struct {
	Book     fleet.Book
	Ledger   fleet.Ledger // over the same book; it runs for as long as the controller does
	Orders   fleet.Orders
	Intake   fleet.Intake // nil without Config.Intake
	Events   fleet.Events
	Settings fleet.Settings
	Roll     Roll
	Server   fleet.Server
	// Requester asks machines whether their processes live; nil: nobody does, and a dead
	// one is missed when its last word counts no more.
	Requester fleet.Requester

	// Stocked is closed when the shelf has its first filling; nil where somebody
	// else sees to that. Before, an order would be refused for want of beans that
	// are about to be booked.
	Stocked <-chan struct{}
	// Witness says whether the book is whole; nil: nobody looks.
	Witness Witness
	// Pending takes the number of messages that wait in both streams; may be
	// nil. The controller is its one writer.
	Pending func(ctx context.Context, n int) error
	// Troubles is what other rooms have found that a person should look at; may be
	// nil.
	Troubles func() []fleet.Trouble
	// IntakeWaiting counts the drops that nobody took yet; may be nil.
	IntakeWaiting func(ctx context.Context) (int, error)

	Wall func() time.Time // for display and for new ids; nil: time.Now
	// Boot is the kernel's name of this boot and the time since, which no clock that is
	// set changes; "" where there is none. nil: none.
	Boot func() (id string, up time.Duration)
	Log  *slog.Logger // nil: none
}

// Witness says how the shop stands to its book: witness.Witness, which runs for as
// long as the controller does. Book and Ledger are then its own.
type Witness interface {
	// Flows says whether anything may be done with an order: nil or fleet.ErrClosed.
	// fresh: its id was made here, a moment ago.
	Flows(ctx context.Context, order string, fresh bool) error
	Standing() fleet.Standing
	Changed() <-chan struct{}
	// Loss is the act that accepts what is lost; fleet.ErrNotAllowed: nothing is.
	Loss(by, why string) (*fleet.Loss, error)
	// Settled says that every order that the loss covers is unknown.
	Settled(loss uint64)
	// Created is where an order's first record stands.
	Created(ctx context.Context, order string) (uint64, error)
	// GoOn goes on without a machine; fleet.ErrNotFound: nobody awaits it.
	GoOn(ctx context.Context, machine, by, why string) error
}

// unwatched is a book that nobody looks at.
type unwatched struct{}

func (unwatched) Flows(context.Context, string, bool) error { return nil }
func (unwatched) Standing() fleet.Standing                  { return fleet.Standing{State: fleet.StandOpen} }
func (unwatched) Changed() <-chan struct{}                  { return nil }
func (unwatched) Settled(uint64)                            {}
func (unwatched) Loss(string, string) (*fleet.Loss, error) {
	return nil, fleet.Saying("nobody looks whether the book is whole", fleet.ErrNotAllowed)
}
func (unwatched) Created(context.Context, string) (uint64, error) { return 0, nil }
func (unwatched) GoOn(_ context.Context, machine, _, _ string) error {
	return fleet.Saying("no machine "+machine+" is awaited", fleet.ErrNotFound)
}

// Roll is who is here, who was and who is out of service: presence.Roll, which
// runs for as long as the controller does.
type Roll interface {
	// Ready is closed when all was heard that stood there.
	Ready() <-chan struct{}
	// Changed is closed at the next change of what Machines lists.
	Changed() <-chan struct{}
	Machines() []*fleet.Machine
	// Gone takes a machine's process out of those that are here: it listens no more.
	Gone(machine, nonce string)
}

// Controller is one controller. See New.
type Controller struct {
	p   Parts
	cfg Config
	log *slog.Logger

	paces    *paces
	tally    tally
	foreseen forecasts
	post     post
	unsure   unsure
	menu     menuCard
	asked    answering
	watch    watch
	moved    signal               // the queues may have changed without a record
	drops    map[uint64]time.Time // when a drop first found the shop full; runIntake's own

	started time.Time     // monotonic; set before running is closed
	running chan struct{} // closed when Run has begun
	gotMenu chan struct{} // closed when a menu is in force
}

// New makes a controller that does nothing until Run.
func New(p Parts, cfg Config) *Controller {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&cfg.ExpireAfter, 15*time.Minute)
	set(&cfg.SweepAfter, time.Minute)
	set(&cfg.Grace, 15*time.Second)
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.Boot == nil {
		born := time.Now()
		p.Boot = func() (string, time.Duration) { return "", time.Since(born) }
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Witness == nil {
		p.Witness = unwatched{}
	}
	return &Controller{
		p: p, cfg: cfg, log: p.Log,
		paces: &paces{mean: map[pace]float64{}}, moved: make(signal, 1),
		post: post{kick: make(signal, 1), full: make(signal, 1)}, menu: menuCard{kick: make(signal, 1)},
		running: make(chan struct{}), gotMenu: make(chan struct{}),
	}
}

// Run serves until ctx ends. It is called once, and returns nil.
func (c *Controller) Run(ctx context.Context) error {
	c.started = time.Now()
	close(c.running)

	// Behind the door: what the door needs until it is shut.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var behind, door sync.WaitGroup
	behind.Go(func() { fleet.Keep(inner, c.log, "settings", func() error { return c.watchSettings(inner) }) })
	behind.Go(func() { c.runMenu(inner) })
	behind.Go(func() { c.runTroubles(inner) })
	behind.Go(func() { c.runPost(inner) })
	behind.Go(func() { fleet.Keep(inner, c.log, "events", func() error { return c.herald(inner) }) })
	if c.ready(ctx) {
		door.Go(func() { c.runSweep(ctx) })
		door.Go(func() { c.runDeaths(ctx) })
		door.Go(func() { c.runPending(ctx) })
		door.Go(func() { c.runPulse(ctx) })
		door.Go(func() { c.runCare(ctx) })
		c.serve(ctx, &door)
		if c.cfg.Intake {
			door.Go(func() { c.runIntake(ctx) })
		}
	}
	<-ctx.Done()
	door.Wait()
	stop()
	behind.Wait()
	return nil
}

// ready waits until all was read that stood on the broker, or ctx ends.
func (c *Controller) ready(ctx context.Context) bool {
	return fleet.Await(ctx, c.running) && fleet.Await(ctx, c.p.Ledger.Ready()) && fleet.Await(ctx, c.gotMenu) && fleet.Await(ctx, c.p.Roll.Ready()) &&
		c.stocked(ctx)
}

// stocked waits for the first filling. A shop that is closed has none, and must say
// that it is.
func (c *Controller) stocked(ctx context.Context) bool {
	for c.p.Stocked != nil {
		changed := c.p.Witness.Changed()
		if c.p.Witness.Standing().State == fleet.StandClosed {
			break
		}
		select {
		case <-c.p.Stocked:
			return true
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// signal wakes one waiting goroutine; raised twice it wakes once.
type signal chan struct{}

func (s signal) raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
