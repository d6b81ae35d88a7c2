package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// Cup is how the machine knows that a cup stands there.
type Cup string

// The kinds. There is no default: hot coffee and an empty place must be thought
// about once.
const (
	CupSensor    Cup = "sensor"    // driver.Cup says yes, and said no since the last drink
	CupDispenser Cup = "dispenser" // driver.Cups drops one, then as sensor
	CupPage      Cup = "page"      // the customer says so, for exactly this order
	CupAttended  Cup = "attended"  // a person took the risk, in writing
)

// Config is what a machine's process gives it.
type Config struct {
	// Alive is called by the owner loop at each turn, at least once a second, and
	// by nobody else. It must not block. May be nil.
	Alive func()
	// Wear is what the machine remembers of its upkeep; nil: of this run only.
	Wear *Wear

	Log *slog.Logger // nil: none
}

// Job is one attempt at one order.
type Job struct {
	Order string
	Epoch int
	Drink recipe.Drink
	// Deadline: no first relay after it. Monotonic; zero = none.
	Deadline time.Time
	// Progress is called by the owner loop, so it must not block. May be nil.
	Progress func(Progress)
}

func (j Job) key() journal.Key { return journal.Key{Order: j.Order, Epoch: j.Epoch} }

// Progress is how far a drink is.
type Progress struct {
	Step    string         // "grind", "heat", "pour", "milk", "sugar", "rest"
	N       int            // the step's number, from 1
	Stages  []recipe.Stage // every step of the drink; none where an appliance makes it
	Percent int            // of the whole drink
}

// Report is what became of a job.
type Report struct {
	Outcome journal.Outcome
	Reason  Reason
	// Late: the start is in the journal, the deadline has passed, and nothing
	// moved. Fence again and call Make again with the same key, or Abandon.
	Late bool
	Took time.Duration
	// Extra is how long our own heater heated for it.
	Extra time.Duration
}

// NotAble says why a drink can't be begun now. Nothing moved.
type NotAble struct {
	Reason
	Person bool // it takes a person to change that
}

func (e *NotAble) Unwrap() error { return e.Reason }

// Machine is one coffee machine. All methods may be called by any goroutine.
type Machine struct {
	rig      *guard.Rig
	j        *journal.Journal
	plan     Plan
	limits   recipe.Limits // the plan's
	alive    func()
	sensors  map[driver.Signal]driver.Sensor
	contacts map[driver.Part]driver.Sensor
	longest  time.Duration
	probe    recipe.Timeline // of the least drink of the book; nil: of none
	log      *slog.Logger

	calls   chan func()
	ended   chan struct{} // closed when Run has returned, or all but
	started atomic.Bool
	beat    atomic.Uint64

	// What the owner loop shares with whoever asks.
	mu      sync.Mutex
	status  Status
	changed chan struct{}
	own     journal.Key // started by this run and not ended
	traces  []*trace    // the last drinks, the last one last; what is in it is never changed

	// The owner loop's own.
	ver     verifier
	hand    task  // what it is at; never nil
	await   await // who waits for a cup
	laid    map[recipe.Drink]recipe.Timeline
	pressed string    // the order whose cup a person confirmed
	strikes int       // faults in a row of those that pass by themselves
	hold    *failure  // the last of them: the machine steps back
	until   time.Time // when that is over
	wear    *Wear
	cares   []Care   // that it knows
	broken  *failure // the journal: only a restart helps
	least   int64    // bytes that the disk must take before a drink
	heat    warmth
	trace   *trace // of the drink in hand; nil: of none
	cooked  chan cooked
	fit     readiness // of an appliance
	brewing sync.WaitGroup

	answered chan error // of Ready, one at a time
}

// New makes a machine of a guarded rig and its open journal, by its plan, and
// touches nothing. A rig that is not what the plan says is refused. All problems
// are joined.
func New(rig *guard.Rig, j *journal.Journal, plan Plan, cfg Config) (*Machine, error) {
	plan = plan.Filled()
	var errs []error
	for _, p := range plan.Check() {
		errs = append(errs, errors.New(strings.TrimPrefix(p.Section+": "+p.Reason, ": ")))
	}
	if err := errors.Join(append(errs, plan.fits(rig)...)...); err != nil {
		return nil, fmt.Errorf("machine %s: %w", plan.Name, err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Wear == nil {
		cfg.Wear, _ = OpenWear("") // of this run only
	}
	m := &Machine{
		rig: rig, j: j, plan: plan, limits: plan.Limits(), longest: plan.Longest(), probe: plan.leastDrink(), alive: cfg.Alive, log: cfg.Log,
		sensors:  map[driver.Signal]driver.Sensor{},
		contacts: map[driver.Part]driver.Sensor{},
		hand:     idle{},
		laid:     map[recipe.Drink]recipe.Timeline{},
		calls:    make(chan func()),
		ended:    make(chan struct{}),
		changed:  make(chan struct{}),
		cooked:   make(chan cooked),
		answered: make(chan error, 1),
		status:   Status{State: StateStarting},
		wear:     cfg.Wear,
		least:    leastFree,
	}
	for _, p := range driver.Parts {
		if contact, there := rig.Contact(p); there {
			m.contacts[p] = contact
		}
	}
	for _, s := range driver.Signals {
		if sensor, there := rig.Sensor(s); there {
			m.sensors[s] = sensor
		}
	}
	for _, c := range Cares {
		if _, err := plan.CareDrink(c); err == nil {
			m.cares = append(m.cares, c)
		}
	}
	if w, is := rig.Appliance().(driver.Watcher); is {
		m.fit.watches = w.Watches()
	}
	c := plan.Calibration
	m.ver = verifier{
		speed: c.Factor(), maxTempC: plan.MaxTempC, heater: plan.Has(driver.Heater),
		maxFlow: c.PumpMLPS * overFactor, delay: c.StartDelay,
	}
	if m.ver.maxFlow == 0 {
		m.ver.maxFlow = overMLPS * m.ver.speed
	}
	m.ver.init()
	return m, nil
}

// Longest is the plan's: a drink that could take longer is refused.
func (m *Machine) Longest() time.Duration { return m.longest }

// Journal is the journal that the machine was made with.
func (m *Machine) Journal() *journal.Journal { return m.j }

// Plan is what the machine is.
func (m *Machine) Plan() Plan { return m.plan }

// Beat counts the turns of the owner loop: at least one in 250 ms while it is
// busy, one per second at rest. A loop whose count stands still is not alive.
func (m *Machine) Beat() uint64 { return m.beat.Load() }

// errEnded: Run is over, or was never begun.
var errEnded = why(NotRunning, "")

// callNow is call with an answer. It does not wait for a machine that has yet to
// run.
func (m *Machine) callNow(f func() error) error {
	if !m.started.Load() {
		return errEnded
	}
	var err error
	if ended := m.call(context.Background(), func() { err = f() }); ended != nil {
		return ended
	}
	return err
}

// askNow is callNow for questions whose every answer is a *NotAble or nil.
func (m *Machine) askNow(f func() error) error {
	err := m.callNow(f)
	if err == errEnded {
		return &NotAble{Reason: ReasonOf(err)}
	}
	return err
}

// call runs f in the owner loop and waits for it.
func (m *Machine) call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case m.calls <- func() { f(); close(done) }:
		<-done
		return nil
	case <-m.ended:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// scaled is what a time of real metal is on this machine: a simulated one is
// faster. Never below the floor.
func (m *Machine) scaled(d, floor time.Duration) time.Duration {
	return max(time.Duration(float64(d)/m.plan.Calibration.Factor()), floor)
}

// Stop switches everything off now; a drink in hand is spoiled, or untouched if
// nothing was used. It returns when that is done.
func (m *Machine) Stop(why string) {
	err := m.callNow(func() error {
		m.log.Warn("stopped", "why", why)
		m.abort(quoting(Stopped, why))
		return nil
	})
	if err != nil {
		_ = m.rig.AllOff() // no loop, so nothing of ours is on; the guard latches what it can't reach
	}
}

// StopDrink switches off the drink of this order, which its customer wants no more;
// an error if it is not in hand.
func (m *Machine) StopDrink(order string) error {
	return m.callNow(func() error {
		if !m.hand.makes() || m.hand.status().Order != order {
			return fmt.Errorf("%s is not being made here", order)
		}
		m.log.Info("stopped by its customer", "order", order)
		m.abort(why(Unwanted, ""))
		return nil
	})
}

// ClearFault is a person's word that the machine was looked at: it ends a latch,
// accepts a damaged journal, and ends a step back. Who and why are both needed.
// If there is nothing to clear the error is guard.ErrNotLatched.
func (m *Machine) ClearFault(by, why string) error {
	return m.callNow(func() error { return m.clear(by, why) })
}

func (m *Machine) clear(by, why string) error {
	switch {
	case m.hand.makes():
		return errors.New("a drink is being made: stop it first")
	case m.hand.busy() != (Reason{}):
		return errors.New("a person tries a part: stop that first")
	}
	if by == "" || why == "" {
		return errors.New("clearing a fault needs a name and a reason")
	}
	if m.broken != nil {
		return m.broken.reason()
	}
	r := m.read()
	if r.no(driver.Stop) {
		return errors.New("the emergency stop is still pressed: release it first")
	}
	if r.no(driver.Door) {
		return errors.New("the door is still open: close it first")
	}
	_, damaged := m.j.Damaged()
	_, _, moved := m.j.Moved()
	if err := m.j.AcceptDamage(by, why); err != nil {
		return err
	}
	err := m.rig.Clear(by, why)
	if errors.Is(err, guard.ErrNotLatched) && (damaged || moved || m.holding(time.Now()) != nil) {
		err = nil // there was something to end all the same
	}
	if err != nil {
		return err
	}
	m.strikes, m.hold = 0, nil
	m.ver.init()
	m.log.Info("fault cleared", "by", by, "why", why)
	return nil
}
