package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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

// Config is one machine. Zero values are the defaults, but for Name and Cup.
type Config struct {
	Name        string
	Cup         Cup
	Calibration recipe.Calibration // zero: recipe.DefaultCalibration
	Book        recipe.Book        // nil: recipe.DefaultBook
	HotWait     time.Duration      // longest wait for heat; 1 m
	MaxTempC    float64            // the boiler's limit, at most 160; 125
	StepBack    time.Duration      // pause after a fault that may pass; 30 s
	CupPulse    time.Duration      // of a dispenser; 500 ms

	// Products of an appliance by size, and by size + "+milk".
	Products    map[string]driver.Product
	ProductTime time.Duration // longest for one product; 5 m

	// Alive is called by the owner loop at each turn, at least once a second, and
	// by nobody else. It must not block. May be nil.
	Alive func()

	Log *slog.Logger // nil: none
}

// hardMaxTempC is what no configuration may exceed.
const hardMaxTempC = 160

func (c Config) withDefaults() Config {
	if c.Calibration.GrinderGPS == 0 && c.Calibration.PumpMLPS == 0 && c.Calibration.MilkMLPS == 0 && c.Calibration.SugarDosePS == 0 {
		c.Calibration = recipe.DefaultCalibration()
	}
	if c.Book == nil {
		c.Book = recipe.DefaultBook()
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.HotWait, time.Minute)
	def(&c.StepBack, 30*time.Second)
	def(&c.CupPulse, 500*time.Millisecond)
	def(&c.ProductTime, 5*time.Minute)
	if c.MaxTempC == 0 {
		c.MaxTempC = 125
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// check returns every problem, joined.
func (c Config) check(rig *guard.Rig, limits recipe.Limits) error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		add("a machine needs a name")
	}
	_, cups := limits.Parts[driver.Cups]
	switch c.Cup {
	case CupSensor, CupDispenser:
		if !limits.Signals[driver.Cup] {
			add("cup: %s needs a cup sensor, and this machine has none: wire one, or choose page or attended", c.Cup)
		}
		if c.Cup == CupDispenser && !cups {
			add("cup: dispenser needs the part cups, and this machine has none")
		}
	case CupPage, CupAttended:
	case "":
		add("cup: say how the machine knows that a cup is there: sensor, dispenser, page or attended")
	default:
		add("cup: %q is not one of sensor, dispenser, page, attended", c.Cup)
	}
	if _, heater := limits.Parts[driver.Heater]; heater && !limits.Signals[driver.Temperature] {
		add("heater: it needs a temperature sensor: a heater that is on blind is never right")
	}
	if !(c.MaxTempC > 0 && c.MaxTempC <= hardMaxTempC) {
		add("the boiler's limit of %v °C is not within 0 to %d", c.MaxTempC, hardMaxTempC)
	}
	for name, d := range map[string]time.Duration{"hot wait": c.HotWait, "step back": c.StepBack, "cup pulse": c.CupPulse, "product time": c.ProductTime} {
		if d < 0 || d > 10*time.Minute {
			add("%s: %v is not within 0 to 10m", name, d)
		}
	}
	if c.CupPulse > guard.MaxCups {
		add("cup pulse: %v is above the ceiling of %v", c.CupPulse, guard.MaxCups)
	}
	if rig.Appliance() != nil && len(c.Products) == 0 {
		add("an appliance needs its products by size")
	}
	for _, size := range slices.Sorted(maps.Keys(c.Products)) {
		if p := c.Products[size]; p.Key == "" || p.Cycles < 0 || p.Cycles > 8 {
			add("product %s: a key and 1 to 8 cycles are needed", size)
		}
	}
	errs = append(errs, c.Calibration.Check())
	return errors.Join(errs...)
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
	Step    string // "grind", "heat", "pour", "milk", "sugar", "rest"
	N, Of   int    // the step's number, from 1
	Percent int    // of the whole drink
}

// Report is what became of a job.
type Report struct {
	Outcome journal.Outcome
	Reason  Reason
	// Late: the start is in the journal, the deadline has passed, and nothing
	// moved. Fence again and call Make again with the same key, or Abandon.
	Late bool
	Took time.Duration
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
	cfg      Config
	limits   recipe.Limits
	sensors  map[driver.Signal]driver.Sensor
	contacts map[driver.Part]driver.Sensor
	longest  time.Duration
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

	// The owner loop's own.
	ver     verifier
	hand    task  // what it is at; never nil
	await   await // who waits for a cup
	laid    map[recipe.Drink]recipe.Timeline
	pressed string    // the order whose cup a person confirmed
	strikes int       // faults in a row of those that pass by themselves
	hold    *failure  // the last of them: the machine steps back
	until   time.Time // when that is over
	broken  *failure  // the journal: only a restart helps
	cooked  chan cooked
	fit     readiness // of an appliance
	brewing sync.WaitGroup

	answered chan error // of Ready, one at a time
}

// New makes a machine of a guarded rig and its open journal, and touches
// nothing. All problems are joined.
func New(rig *guard.Rig, j *journal.Journal, cfg Config) (*Machine, error) {
	cfg = cfg.withDefaults()
	m := &Machine{
		rig: rig, j: j, cfg: cfg, log: cfg.Log,
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
		limits: recipe.Limits{
			Parts:    map[driver.Part]recipe.Limit{},
			Signals:  map[driver.Signal]bool{},
			HotWait:  cfg.HotWait,
			MaxTempC: cfg.MaxTempC,
		},
	}
	for _, p := range driver.Parts {
		if most := rig.MaxOn(p); most > 0 {
			m.limits.Parts[p] = recipe.Limit{MaxOn: most, Rest: rig.RestOf(p), Inrush: rig.Inrush(p)}
		}
		if contact, there := rig.Contact(p); there {
			m.contacts[p] = contact
		}
	}
	for _, s := range driver.Signals {
		if sensor, there := rig.Sensor(s); there {
			m.sensors[s] = sensor
			m.limits.Signals[s] = true
		}
	}
	if err := cfg.check(rig, m.limits); err != nil {
		return nil, fmt.Errorf("machine %s: %w", cfg.Name, err)
	}
	_, heater := m.limits.Parts[driver.Heater]
	m.ver = verifier{
		speed: cfg.Calibration.Factor(), maxTempC: cfg.MaxTempC, heater: heater,
		maxFlow: cfg.Calibration.PumpMLPS * overFactor, delay: cfg.Calibration.StartDelay,
	}
	if m.ver.maxFlow == 0 {
		m.ver.maxFlow = overMLPS * m.ver.speed
	}
	m.ver.init()
	m.longest = m.worst()
	return m, nil
}

// worst is a bound on how long any drink of this machine takes.
func (m *Machine) worst() time.Duration {
	if m.rig.Appliance() == nil {
		return Longest(m.cfg.Book, m.cfg.Calibration, m.limits)
	}
	d := m.cfg.ProductTime
	for _, p := range m.cfg.Products {
		most := m.cfg.ProductTime * time.Duration(max(p.Cycles, 1))
		if p.Cycles > 1 {
			most += BetweenCycles
		}
		d = max(d, most)
	}
	return d + slowDisk
}

// slowDisk is what a drink may wait for its records, start and end together.
const slowDisk = 30 * time.Second

// Longest is a bound on how long any drink of a book takes on a machine: the
// longest of them with every wait at its end, a quarter more for a menu that
// pours more than the book, and the time that parts may be postponed and a disk
// may be slow. Whoever checks a file compares it with what a fleet waits for.
func Longest(book recipe.Book, c recipe.Calibration, l recipe.Limits) time.Duration {
	var d time.Duration
	for _, drink := range book {
		if tl, err := recipe.Compile(drink, c, l); err == nil {
			d = max(d, tl.Longest())
		}
	}
	if d == 0 { // nothing of the book can be made here: whatever the ceilings let through
		for _, l := range l.Parts {
			d += l.MaxOn + l.Rest
		}
	}
	return d + d/4 + maxPostponed + slowDisk
}

// Longest is the longest that a drink can take, from its start to its end in
// the journal. A drink that could take longer is refused.
func (m *Machine) Longest() time.Duration { return m.longest }

// Journal is the journal that the machine was made with.
func (m *Machine) Journal() *journal.Journal { return m.j }

// Name is the machine's name.
func (m *Machine) Name() string { return m.cfg.Name }

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
	return max(time.Duration(float64(d)/m.cfg.Calibration.Factor()), floor)
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
	if err := m.j.AcceptDamage(by, why); err != nil {
		return err
	}
	err := m.rig.Clear(by, why)
	if errors.Is(err, guard.ErrNotLatched) && (damaged || m.holding(time.Now()) != nil) {
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
