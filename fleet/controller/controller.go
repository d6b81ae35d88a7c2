// Package controller is the door of the shop: it accepts or refuses an order,
// looks after it until it has ended, and says how long it will take.
//
// What it promises: "success" is said only when the order's claim is written,
// its beans are reserved and the queue has confirmed the message; an error with
// a code other than unavailable is said only when the claim says refused, so a
// success is never followed by a refusal. Unavailable means "not known yet, ask
// again with the same id". One id is one order, however often it is asked, at
// however many controllers. What a crash left half done, the sweep brings to
// its end: every accepted order stands in the queue, or has ended. Every state
// that the controller brings about has its event; events are made from the
// claims, so none is lost with the process.
//
// Whoever makes a Controller starts it with Run and stops it by the context;
// Run lets go of the door first, then of what stands behind it, and returns when
// all of its goroutines have ended. Several controllers may run on one broker.
// Place and its neighbours may be called by any goroutine while Run runs; they
// keep their own limit of time.
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
	SweepAfter  time.Duration // how old half-done work must be; 60 s
	Grace       time.Duration // after a start nothing is called unknown; 15 s
	KeepDays    int           // days that the shop ran, for which claims are kept; 30
	Alive       func()        // called once a second for as long as orders can be answered; must not block. nil: nobody asks
}

// Parts is what a controller needs from the other rooms.
type Parts struct {
	Claims   fleet.Claims
	Orders   fleet.Orders
	Intake   fleet.Intake // nil without Config.Intake
	Stock    fleet.Stock
	Events   fleet.Events
	Settings fleet.Settings
	Roll     Roll
	Server   fleet.Server

	// Pending takes the number of messages that wait in both streams; may be
	// nil. The controller is its one writer.
	Pending func(ctx context.Context, n int) error
	// IntakeWaiting counts the drops that nobody took yet; may be nil.
	IntakeWaiting func(ctx context.Context) (int, error)

	Wall func() time.Time // for display and for new ids; nil: time.Now
	Log  *slog.Logger     // nil: none
}

// Roll is who is here, who was and who is out of service: presence.Roll, which
// runs for as long as the controller does.
type Roll interface {
	// Ready is closed when all was heard that stood there.
	Ready() <-chan struct{}
	// Changed is closed at the next change of what Machines lists.
	Changed() <-chan struct{}
	Machines() []fleet.Machine
}

// Controller is one controller. See New.
type Controller struct {
	p   Parts
	cfg Config
	log *slog.Logger

	book   *book // orders that are not over
	paces  *paces
	menu   menuCard
	levels levelCache
	desk   desk

	started time.Time     // monotonic; set before running is closed
	running chan struct{} // closed when Run has begun
	gotBook chan struct{} // closed when every claim was seen
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
	if cfg.KeepDays <= 0 {
		cfg.KeepDays = 30
	}
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Controller{
		p: p, cfg: cfg, log: p.Log,
		book: newBook(), paces: &paces{mean: map[pace]float64{}},
		menu:    menuCard{kick: make(signal, 1)},
		running: make(chan struct{}), gotBook: make(chan struct{}), gotMenu: make(chan struct{}),
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
	if c.loadTold(ctx) {
		behind.Go(func() { fleet.Keep(inner, c.log, "claims", func() error { return c.watchClaims(inner) }) })
		behind.Go(func() { fleet.Keep(inner, c.log, "settings", func() error { return c.watchSettings(inner) }) })
		behind.Go(func() {
			fleet.Keep(inner, c.log, "live events", func() error { return c.p.Events.FollowLive(inner, c.live) })
		})
		behind.Go(func() { c.runMenu(inner) })
		behind.Go(func() { c.runHerald(inner) })
	}
	if c.ready(ctx) {
		door.Go(func() { c.runSweep(ctx) })
		door.Go(func() { c.runDays(ctx) })
		door.Go(func() { c.runPending(ctx) })
		door.Go(func() { c.runPulse(ctx) })
		c.serve(ctx, &door)
		if c.cfg.Intake {
			door.Go(func() { c.runIntake(ctx) })
		}
	}
	<-ctx.Done()
	door.Wait()
	c.lastWords(inner)
	stop()
	behind.Wait()
	return nil
}

// ready waits until all was read that stood on the broker, or ctx ends.
func (c *Controller) ready(ctx context.Context) bool {
	return fleet.Await(ctx, c.running) && fleet.Await(ctx, c.gotBook) && fleet.Await(ctx, c.gotMenu) && fleet.Await(ctx, c.p.Roll.Ready())
}

// watchClaims fills the book. Where the store was made anew, its revisions begin
// anew too, and the mark of published events means nothing: then it looks at
// every claim.
func (c *Controller) watchClaims(ctx context.Context) error {
	ctx, again := context.WithCancel(ctx)
	defer again()
	return c.p.Claims.Watch(ctx, c.book.watched, func() {
		if c.book.begunAnew() {
			c.log.Warn("the claims are older than the mark of published events; all are looked at")
			again()
			return
		}
		once(c.gotBook)()
	})
}

// signal wakes one waiting goroutine; raised twice it wakes once.
type signal chan struct{}

func (s signal) raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func once(ch chan struct{}) func() {
	return func() {
		select {
		case <-ch: // a watch that began anew
		default:
			close(ch)
		}
	}
}
