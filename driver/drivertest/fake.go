package drivertest

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"barista/driver"
)

// Edge is one change of a physical level.
type Edge struct {
	Part driver.Part
	On   bool
	At   time.Duration // since NewFake
}

// String is the edge as a timeline prints it: "1.5s pump on".
func (e Edge) String() string {
	level := "off"
	if e.On {
		level = "on"
	}
	return fmt.Sprintf("%v %s %s", e.At, e.Part, level)
}

// Op is one of the two things that an output can be told.
type Op string

// The operations.
const (
	On  Op = "on"
	Off Op = "off"
)

// Fault is what goes wrong with one operation of one part. The order in time:
// Block, then Delay, then the level moves (unless Err without Moved), then the
// call returns Err.
type Fault struct {
	Err   error           // what the call returns
	Moved bool            // with Err: the level moved all the same, only the answer got lost
	Delay time.Duration   // the call takes this long before the level moves
	Block <-chan struct{} // the call hangs until this is closed
	Panic any             // the call panics with this, before anything moves
	Times int             // how many calls are struck; 0: all of them
}

// Fake is a rig in memory: relays that switch at once, sensors that read what
// the test sets, a recorder of every edge, and faults on demand. It does not
// start a goroutine and keeps no time of its own: an output stays on until
// somebody switches it off, like a relay without a timer. All methods may be
// called by any goroutine.
type Fake struct {
	mu      sync.Mutex
	start   time.Time
	within  time.Duration
	parts   []driver.Part
	ports   map[driver.Part]string
	deadman map[driver.Part]driver.Deadman
	level   map[driver.Part]bool
	rises   map[driver.Part]int
	asked   map[driver.Part]time.Duration
	edges   []Edge
	calls   int
	faults  map[driver.Part]map[Op]Fault
	sensors map[driver.Signal]func() (float64, error)
	touches map[driver.Part]func() (float64, error)
	inside  map[string]driver.Part // port: the part that is being called now
	harm    []string
	gone    bool
	closed  bool
}

// NewFake makes a rig with the given parts, or with all of them. Every part has
// a port of its own and a dead man's switch in the wiring; every signal is
// there and good: beans, water, a cup, 93 °C, no flow and no weight yet.
func NewFake(parts ...driver.Part) *Fake {
	if len(parts) == 0 {
		parts = driver.Parts
	}
	f := &Fake{
		start:   time.Now(),
		within:  driverBound,
		parts:   parts,
		ports:   map[driver.Part]string{},
		deadman: map[driver.Part]driver.Deadman{},
		level:   map[driver.Part]bool{},
		rises:   map[driver.Part]int{},
		asked:   map[driver.Part]time.Duration{},
		faults:  map[driver.Part]map[Op]Fault{},
		sensors: map[driver.Signal]func() (float64, error){},
		touches: map[driver.Part]func() (float64, error){},
		inside:  map[string]driver.Part{},
	}
	for _, p := range parts {
		f.ports[p] = string(p)
		f.deadman[p] = driver.DeadmanExternal
		f.faults[p] = map[Op]Fault{}
	}
	for _, s := range driver.Signals {
		f.Set(s, 1)
	}
	f.Set(driver.Temperature, 93)
	f.Set(driver.Flow, 0)
	f.Set(driver.Weight, 0)
	return f
}

// driverBound is the longest that the contract lets an Off take.
const driverBound = 250 * time.Millisecond

// SetPort puts parts on one port. Before Rig.
func (f *Fake) SetPort(port string, parts ...driver.Part) {
	for _, p := range parts {
		f.ports[p] = port
	}
}

// SetDeadman says what switches the part off when the computer is dead. Before Rig.
func (f *Fake) SetDeadman(p driver.Part, d driver.Deadman) { f.deadman[p] = d }

// SetOffWithin sets the declared bound of Off. Before Rig.
func (f *Fake) SetOffWithin(d time.Duration) { f.within = d }

// Rig is the rig as a driver would open it. It may be asked for again after
// Close, like a machine that is opened anew; levels stay what they are.
func (f *Fake) Rig() driver.Rig {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = false
	r := driver.Rig{
		Identity:  driver.Identity{Kind: "fake", Model: "memory", Serial: "0"},
		Outputs:   map[driver.Part]driver.Wire{},
		Sensors:   map[driver.Signal]driver.Sensor{},
		OffWithin: f.within,
		Close:     f.close,
	}
	for _, p := range f.parts {
		w := driver.Wire{Output: fakeOutput{f, p}, Port: f.ports[p], Deadman: f.deadman[p]}
		if f.touches[p] != nil {
			w.Contact = fakeSensor{f, string(p) + "'s contact", func() func() (float64, error) { return f.touches[p] }}
		}
		r.Outputs[p] = w
	}
	for s := range f.sensors {
		r.Sensors[s] = fakeSensor{f, string(s), func() func() (float64, error) { return f.sensors[s] }}
	}
	return r
}

// Bench is the fake on the bench of the suite.
func (f *Fake) Bench() Bench {
	return Bench{Rig: f.Rig(), Level: f.Level, Rises: f.Rises, Unplug: f.Unplug}
}

func (f *Fake) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Set lets a sensor read a value from now on.
func (f *Fake) Set(s driver.Signal, v float64) {
	f.SetFunc(s, func() (float64, error) { return v, nil })
}

// Break lets a sensor say that it can't tell.
func (f *Fake) Break(s driver.Signal) {
	f.SetFunc(s, func() (float64, error) { return 0, driver.ErrInvalid })
}

// SetFunc lets a sensor read what the function says at that moment. The
// function may ask the fake (Level, OnFor).
func (f *Fake) SetFunc(s driver.Signal, read func() (float64, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sensors[s] = read
}

// SetContact gives a part a contact that reads what the function says, or, with
// nil, what the part really does. The first one before Rig.
func (f *Fake) SetContact(p driver.Part, read func() (float64, error)) {
	if read == nil {
		read = func() (float64, error) {
			if f.Level(p) {
				return 1, nil
			}
			return 0, nil
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.touches[p] = read
}

// Remove takes a sensor out of the machine. Before Rig.
func (f *Fake) Remove(s driver.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sensors, s)
}

// Fault plants a fault; a zero Fault takes it away.
func (f *Fake) Fault(p driver.Part, op Op, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[p][op] = fault
}

// Unplug pulls the cable: the relays keep what they have, as boards with a
// supply of their own do, and every call returns driver.ErrGone.
func (f *Fake) Unplug() { f.setGone(true) }

// Plug puts the cable back.
func (f *Fake) Plug() { f.setGone(false) }

func (f *Fake) setGone(gone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = gone
}

// Level is the physical level: true is on.
func (f *Fake) Level(p driver.Part) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.level[p]
}

// AnyOn reports whether any part is physically on.
func (f *Fake) AnyOn() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, on := range f.level {
		if on {
			return true
		}
	}
	return false
}

// Rises is how often the part went from off to on.
func (f *Fake) Rises(p driver.Part) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rises[p]
}

// Asked is the time given with the part's last On.
func (f *Fake) Asked(p driver.Part) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[p]
}

// OnFor is how long the part was on, all its times together.
func (f *Fake) OnFor(p driver.Part) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sum, since time.Duration
	on := false
	for _, e := range f.edges {
		if e.Part != p {
			continue
		}
		if on = e.On; on {
			since = e.At
		} else {
			sum += e.At - since
		}
	}
	if on {
		sum += time.Since(f.start) - since
	}
	return sum
}

// Edges are all changes of a level, oldest first.
func (f *Fake) Edges() []Edge {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Edge(nil), f.edges...)
}

// Calls is how many times any output was called.
func (f *Fake) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Harm lists what a caller did that the contract forbids: two calls of one port
// at once, an On without a bound, a call after Close.
func (f *Fake) Harm() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.harm...)
}

// enter notes the begin of a call and returns the fault that strikes it.
func (f *Fake) enter(p driver.Part, op Op) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	port := f.ports[p]
	if other, busy := f.inside[port]; busy {
		f.harm = append(f.harm, fmt.Sprintf("%s of %s while port %s was busy with %s", op, p, port, other))
	}
	if f.closed {
		f.harm = append(f.harm, fmt.Sprintf("%s of %s after close", op, p))
	}
	f.inside[port] = p
	fault, struck := f.faults[p][op]
	if struck && fault.Times == 1 {
		delete(f.faults[p], op)
	}
	if fault.Times > 1 {
		left := fault
		left.Times--
		f.faults[p][op] = left
	}
	return fault
}

func (f *Fake) leave(p driver.Part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.inside, f.ports[p])
}

// do is one call of one output.
func (f *Fake) do(p driver.Part, op Op, atMost time.Duration) error {
	fault := f.enter(p, op)
	defer f.leave(p)
	if fault.Panic != nil {
		panic(fault.Panic)
	}
	if fault.Block != nil {
		<-fault.Block
	}
	if fault.Delay > 0 {
		time.Sleep(fault.Delay) // stands for a slow board, nothing is waited for
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || f.closed {
		return fmt.Errorf("switching %s %s: %w", p, op, driver.ErrGone)
	}
	if op == On {
		f.asked[p] = atMost
		if atMost <= 0 {
			f.harm = append(f.harm, fmt.Sprintf("on of %s without a bound", p))
		}
	}
	if fault.Err == nil || fault.Moved {
		f.move(p, op == On)
	}
	return fault.Err
}

// move changes the physical level. The lock is held.
func (f *Fake) move(p driver.Part, on bool) {
	if f.level[p] == on {
		return
	}
	f.level[p] = on
	if on {
		f.rises[p]++
	}
	f.edges = append(f.edges, Edge{p, on, time.Since(f.start)})
}

// Force moves a level without any command: a welded relay, or a hand.
func (f *Fake) Force(p driver.Part, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.move(p, on)
}

// Levels is a copy of all physical levels.
func (f *Fake) Levels() map[driver.Part]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.level)
}

type fakeOutput struct {
	f *Fake
	p driver.Part
}

var _ driver.Output = fakeOutput{}

func (o fakeOutput) On(atMost time.Duration) error { return o.f.do(o.p, On, atMost) }
func (o fakeOutput) Off() error                    { return o.f.do(o.p, Off, 0) }

// fakeSensor is a sensor or a contact.
type fakeSensor struct {
	f    *Fake
	what string
	read func() func() (float64, error) // its newest function; called under the lock
}

var _ driver.Sensor = fakeSensor{}

// Read does not hold the lock while it asks, so that a SetFunc function may
// call the fake.
func (s fakeSensor) Read() (driver.Reading, error) {
	s.f.mu.Lock()
	read := s.read()
	if s.f.gone || s.f.closed || read == nil {
		read = func() (float64, error) { return 0, driver.ErrGone }
	}
	s.f.mu.Unlock()
	v, err := read()
	if err != nil {
		return driver.Reading{}, fmt.Errorf("reading %s: %w", s.what, err)
	}
	return driver.Reading{Value: v, At: time.Now()}, nil
}
