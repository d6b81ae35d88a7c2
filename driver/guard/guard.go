package guard

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"barista/driver"
)

// Rig is a driver's rig behind the guard. Make it with New.
type Rig struct {
	rig     driver.Rig
	name    string
	base    time.Time     // New; the lease is counted from here
	lease   atomic.Int64  // when Renew was called last, ns since base
	started chan struct{} // closed when Run has begun
	kick    chan struct{}
	store   *store
	parts   []*part // in the order of driver.Parts
	by      map[driver.Part]*part
	ports   []*port

	// mu is held for arithmetic only: never over a call of a driver, a write to
	// disk or a wait. So nobody who holds it can keep the guard from acting.
	mu       sync.Mutex
	phase    phase
	closed   bool // no call is handed to a port any more
	latch    *Latch
	held     time.Time     // since when
	filed    *Latch        // what the file shall say; another one than latch only inside Clear
	unfiled  bool          // something waits for the outputs before it goes to disk
	clearing bool          // inside Clear; a trip ends it
	tripped  chan struct{} // closed while latched
	turns    int           // how often Run woke up
	trips    map[string]int
}

// phase is where a Rig is in its life.
type phase int

const (
	opening phase = iota // inside New: an error is New's, no fault of the machine
	ready                // New returned, Run was not called
	running              // inside Run
	ended                // Run returned
)

// part is one output and what the guard knows of it.
type part struct {
	name    driver.Part
	out     driver.Output
	port    *port
	lim     Limits
	group   []*part // the others of its inrush group
	enemies []*part // the others of its forbidden pairs

	// Under Rig.mu.
	on    bool          // may be on: from the moment an On was accepted until an Off came back without error
	lit   time.Time     // when the driver was told so; zero while that On waits for its port
	until time.Time     // the bound of the present On
	count time.Duration // on-time since the last real pause, without the present On
	rest  time.Time     // when it last went off; zero = never
	runs  []span        // times on that still count for the duty, oldest first
	off   *call         // the Off that waits or runs
	retry time.Time     // after a failed Off: when Run tries again, if it may be on
	ever  Use           // since New, without the present On
}

// Use is how long a part was on, and how often.
type Use struct {
	For  time.Duration
	Runs int
}

// New checks rig and configuration, reports all problems together and touches
// nothing if there is one. Then it reads what the last run left in cfg.State,
// switches every output off once, and writes the state anew: an error of any of
// these is an error of New. A rig that was latched is latched again, and so is one
// with a relay whose contact says that it is on all the same: that is a fault of
// the machine, which a person must see, and Run goes on trying. The caller still
// owns rig.Close if New fails.
func New(rig driver.Rig, cfg Config) (*Rig, error) { return open(rig, cfg, kernelClock) }

func open(rig driver.Rig, cfg Config, clock bootClock) (*Rig, error) {
	if err := check(rig, cfg); err != nil {
		return nil, named(cfg.Name, fmt.Errorf("unsafe machine, nothing was touched: %w", err))
	}
	g := &Rig{
		rig:     rig,
		name:    cfg.Name,
		base:    time.Now(),
		started: make(chan struct{}), kick: make(chan struct{}, 1),
		by:      map[driver.Part]*part{},
		tripped: make(chan struct{}),
		trips:   map[string]int{},
	}
	g.wire(cfg)
	g.store = &store{dir: cfg.State, clock: clock, snapshot: g.snapshot, wake: g.wake}
	past, err := g.store.load()
	if err != nil {
		return nil, named(cfg.Name, err)
	}
	if past.Latch != nil {
		g.latch, g.filed = past.Latch, past.Latch
		close(g.tripped)
	}
	welded, err := g.firstOff()
	if err != nil {
		g.mu.Lock()
		g.release()
		g.mu.Unlock()
		return nil, err
	}
	g.mu.Lock()
	g.resume(past)
	g.phase = ready
	g.latchWelded(welded)
	g.mu.Unlock()
	if err := <-g.store.save(); err != nil {
		return nil, g.named(err)
	}
	return g, nil
}

// firstOff switches everything off, and returns the calls of those parts whose
// contact says that they did not go off. Any other error is one of New.
func (g *Rig) firstOff() (welded []*call, err error) {
	g.mu.Lock()
	calls := g.allOff()
	g.mu.Unlock()
	err = wait(calls)
	for _, c := range calls {
		switch {
		case c.err == nil:
		case errors.Is(c.err, driver.ErrFeedback):
			welded = append(welded, c)
		default:
			return nil, err
		}
	}
	return welded, nil
}

// latchWelded latches for parts that may be on since nobody knows when. Rig.mu is
// held.
func (g *Rig) latchWelded(welded []*call) {
	for _, c := range welded {
		c.part.on, c.part.lit = true, time.Now()
		g.hold(newLatch(Latch{Cause: c.err.Error(), Feedback: true}))
	}
}

// wire builds parts and ports and who may not be on with whom.
func (g *Rig) wire(cfg Config) {
	ports := map[string]*port{}
	for _, name := range driver.InOrder(g.rig.Outputs, driver.Parts) {
		w := g.rig.Outputs[name]
		to := ports[w.Port]
		if to == nil {
			to = newPort(w.Port)
			ports[w.Port] = to
			g.ports = append(g.ports, to)
		}
		p := &part{name: name, out: w.Output, port: to, lim: cfg.Parts[name].effective(name)}
		for _, other := range g.parts {
			if p.lim.Inrush != "" && p.lim.Inrush == other.lim.Inrush {
				p.group = append(p.group, other)
				other.group = append(other.group, p)
			}
		}
		g.parts = append(g.parts, p)
		g.by[name] = p
	}
	for _, pair := range cfg.Forbidden {
		a, b := g.by[pair[0]], g.by[pair[1]]
		a.enemies = append(a.enemies, b)
		b.enemies = append(b.enemies, a)
	}
}

// On switches a part on for at most the given time, counted from the moment the
// driver is told. On while on is a new command with a new bound, under the same
// ceiling. A refusal moves nothing and leaves an earlier On as it is:
// ErrNotRunning, *LatchedError, *RestError, *CeilingError, *ConflictError. Any
// other error comes from the driver (*StuckError if it did not come back): then
// the rig is latched, and this part was switched off before On returned, as far
// as the driver lets it.
func (g *Rig) On(name driver.Part, atMost time.Duration) error {
	g.mu.Lock()
	p := g.by[name]
	// An Off under way comes first; it is bounded. (A port that is stuck has
	// latched the rig, so that nobody waits for it here.)
	for p != nil && p.off != nil && g.latch == nil {
		c := p.off
		g.mu.Unlock()
		<-c.done
		g.mu.Lock()
	}
	if err := g.mayOn(name, p, atMost); err != nil {
		g.mu.Unlock()
		return g.named(fmt.Errorf("can't switch %s on: %w", name, err))
	}
	if !g.anyOn() {
		g.Renew() // who switches the first part on is alive
	}
	p.on = true
	c := newCall(p, atMost)
	g.hand(c)
	g.mu.Unlock()
	<-c.done
	if c.err != nil {
		// It may be on, or is just being switched off: don't come back before
		// that Off did.
		g.mu.Lock()
		off := p.off
		g.mu.Unlock()
		if off != nil {
			<-off.done
		}
	}
	return c.err
}

// mayOn says why a part may not go on now.
func (g *Rig) mayOn(name driver.Part, p *part, atMost time.Duration) error {
	now := time.Now()
	switch {
	case p == nil:
		return errors.New("the rig has no such part")
	case g.phase != running:
		return ErrNotRunning
	case g.latch != nil:
		return &LatchedError{*g.latch}
	case atMost <= 0:
		return fmt.Errorf("for %v: a time above 0 is needed", atMost)
	}
	for _, other := range p.group {
		if other.on {
			return &ConflictError{Part: name, With: other.name, Group: p.lim.Inrush}
		}
	}
	for _, other := range p.enemies {
		if other.on {
			return &ConflictError{Part: name, With: other.name}
		}
		if left := offDelay - now.Sub(other.rest); !other.rest.IsZero() && left > 0 {
			return &ConflictError{Part: name, With: other.name, Left: left}
		}
	}
	if used := p.used(now); atMost > p.lim.MaxOn-used {
		return &CeilingError{Part: name, Asked: atMost, Used: used, Max: p.lim.MaxOn}
	}
	if left := p.restLeft(now, atMost); left > 0 {
		return &RestError{Part: name, Left: left}
	}
	return nil
}

// Off switches a part off and returns when the driver has done it, or with an
// error: then it may still be on, the rig is latched, and the guard goes on
// trying. At any time while Run does, however often.
func (g *Rig) Off(name driver.Part) error {
	g.mu.Lock()
	p := g.by[name]
	if p == nil || g.phase != running {
		err := ErrNotRunning
		if p == nil {
			err = errors.New("the rig has no such part")
		}
		g.mu.Unlock()
		return g.named(fmt.Errorf("can't switch %s off: %w", name, err))
	}
	c := g.off(p)
	g.mu.Unlock()
	<-c.done
	return c.err
}

// AllOff switches every output off, whether or not it is thought to be on, and
// joins the errors. It works before, during and after Run, until Close, and
// returns within the ports' bounds.
func (g *Rig) AllOff() error {
	g.mu.Lock()
	calls := g.allOff()
	g.mu.Unlock()
	return wait(calls)
}

// Renew is the sign of life of the loop that pours, at least every Lease while
// anything is on. It must be called by that loop's own work, never by a ticker
// beside it. It never blocks.
func (g *Rig) Renew() { g.lease.Store(int64(time.Since(g.base))) }

// RestLeftFor is how long until the part may go on for the given time, as far
// as rest and duty go; 0 = now, also while it is on and for a part that isn't
// there.
func (g *Rig) RestLeftFor(name driver.Part, atMost time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.by[name]; p != nil {
		return p.restLeft(time.Now(), atMost)
	}
	return 0
}

// Limits are what the guard keeps for the part, with its ceiling and duty worked
// in; false if there is no such part.
func (g *Rig) Limits(name driver.Part) (Limits, bool) {
	if p := g.by[name]; p != nil {
		return p.lim, true
	}
	return Limits{}, false
}

// Sensor hands over a sensor of the rig; reading needs no guard.
func (g *Rig) Sensor(s driver.Signal) (driver.Sensor, bool) {
	sensor, there := g.rig.Sensors[s]
	return sensor, there
}

// Contact hands over the contact that shows what a part really does, if its
// driver has one; reading needs no guard.
func (g *Rig) Contact(name driver.Part) (driver.Sensor, bool) {
	c := g.rig.Outputs[name].Contact
	return c, c != nil
}

// Appliance is the appliance of the rig; nil for actuators. It owns its own
// safety, but a latched rig must not be asked for a product: see Latched.
func (g *Rig) Appliance() driver.Appliance { return g.rig.Appliance }

// Identity is which piece of hardware this is.
func (g *Rig) Identity() driver.Identity { return g.rig.Identity }

// OnNow lists what is on by our command, and what could not be switched off.
func (g *Rig) OnNow() []driver.Part {
	g.mu.Lock()
	defer g.mu.Unlock()
	var on []driver.Part
	for _, p := range g.parts {
		if p.on {
			on = append(on, p.name)
		}
	}
	return on
}

// Used is how long each part was on since New, by our command, and how often. The
// present time on counts as far as it has come; after a fault of switching it off, that
// too.
func (g *Rig) Used() map[driver.Part]Use {
	g.mu.Lock()
	defer g.mu.Unlock()
	out, now := map[driver.Part]Use{}, time.Now()
	for _, p := range g.parts {
		u := p.ever
		if !p.lit.IsZero() {
			u.For += now.Sub(p.lit)
			u.Runs++
		}
		out[p.name] = u
	}
	return out
}

// Stored is nil as long as what a restart must know is on disk: the error of
// the last write otherwise. Outputs don't depend on it; a machine that wants to
// begin a drink may. While Run does, it is tried again every few seconds.
func (g *Rig) Stored() error { return g.named(g.store.last()) }

// Kept is nil if there is no fault, or the one that holds the rig is on disk; else why
// a restart would forget it. A disk has a second to take it.
func (g *Rig) Kept() error {
	g.mu.Lock()
	latch, filed, held := g.latch, g.filed, g.held
	g.mu.Unlock()
	if latch == nil || g.store.dir == "" {
		return nil
	}
	on, err := g.store.has()
	switch {
	case on == latch || on == filed: // or it is just being cleared
		return nil
	case err == nil && time.Since(held) >= diskPatience:
		err = fmt.Errorf("the disk did not take the fault within %v", diskPatience)
	}
	return g.named(err)
}

// Free is how many bytes the disk of the state still takes, from this user; a rig
// without a state has no disk, and all the room there is.
func (g *Rig) Free() (int64, error) {
	if g.store.dir == "" {
		return math.MaxInt64, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(g.store.dir, &st); err != nil {
		return 0, g.named(fmt.Errorf("can't see how full the disk is: %w", err))
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Known is where the journal stood that was beside the guard's memory, as far as
// nothing may have taken from it since: under the same boot of the kernel all that
// was written, after another one what was on disk.
func (g *Rig) Known() Place { return g.store.written }

// Join has the guard's memory and the journal remember each other from now on. A
// journal that knows of another memory than the one that was here, or of a later
// state of it, latches the rig: whether there was a fault is not known. So does one
// that knows of any, where a version of the program wrote the state that knew none. It is on
// disk when this returns. Before Run.
func (g *Rig) Join(j Beside) error {
	if g.store.dir == "" {
		return nil
	}
	found, _, _ := g.store.places()
	knows := j.Guard()
	g.store.mu.Lock()
	g.store.beside = j
	g.store.mu.Unlock()
	code, why := CodeForgot, ""
	switch {
	case knows.ID == "":
	case g.store.former:
		code, why = CodeVersion, "an earlier version of barista wrote it: that ran here in between, or its old files were put back"
	case knows.ID != found.ID:
		why = "it is not the one that the journal knows: it was deleted or replaced"
	case knows.At > found.At:
		why = "it is an older copy than the one that the journal knows"
	}
	if why != "" {
		g.Trip(Latch{Code: code, Cause: fmt.Sprintf("the guard's memory, %s, can't be believed: %s; whether there was a fault is not known",
			filepath.Join(g.store.dir, stateFile), why)})
	}
	if err := <-g.store.save(); err != nil {
		return g.named(err)
	}
	return g.named(g.store.noted(j))
}

// Note writes where the journal stands, and does not wait for the disk: what it
// took in by now must not be missing from it later. Whoever writes a start calls it
// before anything moves. What fails is tried again, as any other write: see Stored.
func (g *Rig) Note() error {
	if g.store.dir == "" {
		return nil
	}
	return g.named(g.store.standing())
}

// Close switches everything off once more and releases the driver. After Run
// returned, or without Run. A second Close does nothing.
func (g *Rig) Close() error {
	g.mu.Lock()
	if g.phase == running {
		g.mu.Unlock()
		return g.named(errors.New("can't close the rig while its guard runs: end Run first"))
	}
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.phase = ended
	calls := g.allOff()
	g.closed = true
	g.mu.Unlock()
	err := errors.Join(wait(calls), g.saved())
	g.mu.Lock()
	g.release()
	g.mu.Unlock()
	if g.rig.Close != nil {
		if e := g.rig.Close(); e != nil {
			err = errors.Join(err, g.named(fmt.Errorf("releasing the driver: %w", e)))
		}
	}
	return err
}

// release forgets what a stuck port still owes: from here on the guard does not
// call the driver any more. Rig.mu is held.
func (g *Rig) release() {
	g.closed = true
	for _, to := range g.ports {
		to.queue = nil
	}
}

func (g *Rig) anyOn() bool {
	return slices.ContainsFunc(g.parts, func(p *part) bool { return p.on })
}

// named puts the machine's name before an error.
func (g *Rig) named(err error) error { return named(g.name, err) }

func named(name string, err error) error {
	if err == nil || name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}
