package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/guard"
)

// Bench is a freshly opened rig with somebody who looks at the metal.
type Bench struct {
	Rig driver.Rig

	// Level is the physical level of a part, seen from outside of the driver:
	// true is on. It must not go through the driver.
	Level func(driver.Part) bool

	// Rises counts, from before the rig was opened, how often the part went from
	// off to on. With it, short pulses are found too. May be nil.
	Rises func(driver.Part) int

	// Unplug pulls the cable. Nil where there is none (GPIO lines).
	Unplug func()

	// Stop ends what stands around the rig (a simulator), after Rig.Close. May
	// be nil. Whatever then still runs is a leak.
	Stop func()
}

// patience is how long the suite waits for something that must happen. It is
// no measure of anything: a driver that needs it all is stuck.
const patience = 5 * time.Second

// Actuators is the suite that every driver of actuators passes. open opens the
// rig anew for each check, on metal that is at rest. It runs in real time, some
// seconds altogether, and switches every part on, for less than a second each
// time: never call it with a machine that is connected to beans and water.
func Actuators(t *testing.T, open func(t *testing.T) Bench) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.on(t, func() Bench { return open(t) }) })
	}
}

// ActuatorsInMemory is the same suite for a bench without a kernel in it (a
// cable in memory): each check runs in a bubble of fake time, in which open is
// called too, so that a busy computer can't make a driver late.
func ActuatorsInMemory(t *testing.T, open func(t *testing.T) Bench) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.on(t, func() Bench { return open(t) }) })
		})
	}
}

// tester is what a check needs of testing.T. It is so small that the suite's
// own tests can stand in for it and watch a bad driver turn a check red.
type tester interface {
	Helper()
	Errorf(format string, a ...any)
	Skip(a ...any)
}

// check is one rule of the contract.
type check struct {
	name string
	run  func(t tester, b Bench)
}

// checks is the whole suite.
var checks = []check{
	{"accepted by the guard", accepted},
	{"at rest after open", restAfterOpen},
	{"on and off reach the metal", reaches},
	{"safe twice", twice},
	{"off within its bound", offBound},
	{"off during on", offDuringOn},
	{"off after the guard was cancelled", offAfterCancel},
	{"off after the caller panicked", offAfterPanic},
	{"ceiling kept through the guard", ceilingKept},
	{"board timer", boardTimer},
	{"unplugged at rest", unpluggedAtRest},
	{"unplugged while on", unpluggedWhileOn},
	{"unplugged while switching", unpluggedWhileSwitching},
	{"unplugged behind the guard", unpluggedBehindGuard},
	{"reading changes nothing", readingMovesNothing},
	{"contacts follow their parts", contactsFollow},
	{"close after off", closeAfterOff},
}

// on runs one check on a fresh bench, closes it whatever happens, and looks for
// goroutines that were left.
func (c check) on(t tester, open func() Bench) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	b := open()
	b.Rig.Close = closeOnce(b.Rig.Close)
	func() {
		defer b.end(t)
		defer func() {
			if r := recover(); r != nil && r != errGiveUp {
				panic(r)
			}
		}()
		c.run(t, b)
	}()
	if err := goleak.Find(before); err != nil {
		t.Errorf("goroutines were left after close: %v", err)
	}
}

// closeOnce lets a check close the rig and end close it again: a driver need not
// stand being closed twice.
func closeOnce(release func() error) func() error {
	if release == nil {
		return func() error { return nil }
	}
	return sync.OnceValue(release)
}

// errGiveUp leaves a check that can't go on.
var errGiveUp = errors.New("give up")

// end switches off, closes and stops.
func (b Bench) end(t tester) {
	t.Helper()
	within(t, "switching off and closing", func() {
		for _, w := range b.Rig.Outputs {
			_ = w.Off() // a rig that is unplugged or closed gives an error
		}
		_ = b.Rig.Close()
	})
	if b.Stop != nil {
		within(t, "stopping the bench", b.Stop)
	}
}

// within runs f on a goroutine of its own; a driver that hangs makes the check
// red and doesn't hang the tests.
func within(t tester, what string, f func()) bool {
	t.Helper()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case r := <-done:
		if r != nil {
			t.Errorf("%s: panic: %v", what, r)
		}
		return r == nil
	case <-late.C:
		t.Errorf("%s: the driver did not come back within %v", what, patience)
		return false
	}
}

// must is within for a call that the rest of the check depends on.
func must(t tester, what string, f func() error) {
	t.Helper()
	var err error
	if !within(t, what, func() { err = f() }) {
		panic(errGiveUp)
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
		panic(errGiveUp)
	}
}

// refused is a call that has to give an error.
func refused(t tester, what string, f func() error) {
	t.Helper()
	var err error
	if within(t, what, func() { err = f() }) && err == nil {
		t.Errorf("%s: no error", what)
	}
}

// is checks a level now.
func (b Bench) is(t tester, p driver.Part, on bool, when string) {
	t.Helper()
	if got := b.Level(p); got != on {
		t.Errorf("%s: %s is %s, want %s", when, p, word(got), word(on))
	}
}

// becomes waits for a level.
func (b Bench) becomes(t tester, p driver.Part, on bool, when string) {
	t.Helper()
	if !eventually(func() bool { return b.Level(p) == on }) {
		t.Errorf("%s: %s does not go %s", when, p, word(on))
		panic(errGiveUp)
	}
}

// eventually asks again every few milliseconds until it is so.
func eventually(is func() bool) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-late.C:
			return is()
		case <-again.C:
		}
	}
	return true
}

// still checks for a while that a part that is off stays off, and that it made
// no pulse beyond the given count of rises.
func (b Bench) still(t tester, p driver.Part, rises int, when string) {
	t.Helper()
	end := time.NewTimer(50 * time.Millisecond)
	defer end.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		if b.Level(p) {
			t.Errorf("%s: %s went on by itself", when, p)
			return
		}
		select {
		case <-again.C:
			continue
		case <-end.C:
		}
		if n := b.rises(p); n != rises {
			t.Errorf("%s: %s went on %d times more than it was told", when, p, n-rises)
		}
		return
	}
}

func (b Bench) rises(p driver.Part) int {
	if b.Rises == nil {
		return 0
	}
	return b.Rises(p)
}

func word(on bool) string {
	if on {
		return string(On)
	}
	return string(Off)
}

// parts are the bench's parts in the usual order.
func (b Bench) parts() []driver.Part {
	return driver.InOrder(b.Rig.Outputs, driver.Parts)
}

// eachPart runs a rule for every output.
func (b Bench) eachPart(f func(p driver.Part, w driver.Wire)) {
	for _, p := range b.parts() {
		f(p, b.Rig.Outputs[p])
	}
}

// guarded runs f with the rig behind a guard that is running; whether f renews
// the lease is its own affair. Afterwards the guard has ended.
func (b Bench) guarded(t tester, f func(g *guard.Rig, cancel func())) {
	t.Helper()
	limits := map[driver.Part]guard.Limits{}
	for p := range b.Rig.Outputs {
		limits[p] = guard.Limits{AcceptNoDeadman: true}
	}
	// The bench closes the rig, not the guard.
	rig := b.Rig
	rig.Close = nil
	g, err := guard.New(rig, guard.Config{Parts: limits, Name: "bench"}.Of(rig))
	if err != nil {
		t.Errorf("the guard refuses the rig: %v", err)
		panic(errGiveUp)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = g.Run(ctx) // what it could not switch off, the levels show
	}()
	defer func() {
		cancel()
		within(t, "ending the guard", func() { <-ended })
	}()
	// Run may not have begun yet.
	if !eventually(func() bool {
		for p := range b.Rig.Outputs {
			return !errors.Is(g.Off(p), guard.ErrNotRunning)
		}
		return true
	}) {
		t.Errorf("the guard does not run")
		panic(errGiveUp)
	}
	f(g, cancel)
}

// untripped says that the guard saw no fault.
func untripped(t tester, g *guard.Rig) {
	t.Helper()
	if l, latched := g.Latched(); latched {
		t.Errorf("the guard tripped: %s", l)
	}
}

func accepted(t tester, b Bench) {
	if b.Rig.Identity.Kind == "" {
		t.Errorf("the rig does not say what kind it is")
	}
	b.guarded(t, func(g *guard.Rig, _ func()) { untripped(t, g) })
}

func restAfterOpen(t tester, b Bench) {
	b.eachPart(func(p driver.Part, _ driver.Wire) { b.still(t, p, 0, "after open") })
}

func reaches(t tester, b Bench) {
	b.eachPart(func(p driver.Part, w driver.Wire) {
		must(t, fmt.Sprintf("%s on", p), func() error { return w.On(time.Second) })
		b.becomes(t, p, true, "after on")
		b.eachPart(func(other driver.Part, _ driver.Wire) {
			if other != p {
				b.is(t, other, false, fmt.Sprintf("while only %s was switched on", p))
			}
		})
		must(t, fmt.Sprintf("%s off", p), w.Off)
		b.becomes(t, p, false, "after off")
		b.still(t, p, min(b.rises(p), 1), "after off")
	})
}

func twice(t tester, b Bench) {
	b.eachPart(func(p driver.Part, w driver.Wire) {
		for range 2 {
			must(t, fmt.Sprintf("%s off twice", p), w.Off)
			b.becomes(t, p, false, "after the second off")
		}
		for range 2 {
			must(t, fmt.Sprintf("%s on twice", p), func() error { return w.On(time.Second) })
			b.becomes(t, p, true, "after the second on")
		}
		for range 2 {
			must(t, fmt.Sprintf("%s off twice", p), w.Off)
			b.becomes(t, p, false, "after the second off")
		}
		b.still(t, p, min(b.rises(p), 1), "after on and off twice")
	})
}

// offBound is generous: it finds a driver that waits for an answer longer than
// it said, not one that is late by a busy computer.
func offBound(t tester, b Bench) {
	const busy = time.Second
	b.eachPart(func(p driver.Part, w driver.Wire) {
		for _, first := range []Op{Off, On} {
			if first == On {
				must(t, fmt.Sprintf("%s on", p), func() error { return w.On(time.Second) })
			}
			start := time.Now()
			must(t, fmt.Sprintf("%s off", p), w.Off)
			if took := time.Since(start); took > b.Rig.OffWithin+busy {
				t.Errorf("switching %s off took %v, declared is %v", p, took, b.Rig.OffWithin)
			}
		}
	})
}

func offDuringOn(t tester, b Bench) {
	b.guarded(t, func(g *guard.Rig, _ func()) {
		for range 10 {
			b.eachPart(func(p driver.Part, _ driver.Wire) {
				var both sync.WaitGroup
				both.Go(func() { _ = g.On(p, time.Second) }) // may lose against Off: an error then
				both.Go(func() { _ = g.Off(p) })
				within(t, "on and off at once", both.Wait)
				must(t, fmt.Sprintf("%s off", p), func() error { return g.Off(p) })
				b.becomes(t, p, false, "after off during on")
			})
		}
		b.eachPart(func(p driver.Part, _ driver.Wire) { b.still(t, p, b.rises(p), "after off during on") })
		untripped(t, g)
	})
}

func offAfterCancel(t tester, b Bench) {
	b.guarded(t, func(g *guard.Rig, cancel func()) {
		b.eachPart(func(p driver.Part, _ driver.Wire) {
			must(t, fmt.Sprintf("%s on", p), func() error { return g.On(p, time.Second) })
			b.becomes(t, p, true, "after on")
		})
		cancel()
	})
	b.eachPart(func(p driver.Part, _ driver.Wire) { b.becomes(t, p, false, "after the guard was cancelled") })
}

// offAfterPanic has a caller that switches everything on and dies of a panic:
// nobody renews the lease.
func offAfterPanic(t tester, b Bench) {
	b.guarded(t, func(g *guard.Rig, _ func()) {
		gone := make(chan error, 1)
		within(t, "switching on and dying", func() {
			var err error
			defer func() { recover(); gone <- err }()
			b.eachPart(func(p driver.Part, _ driver.Wire) {
				g.Renew()
				err = errors.Join(err, g.On(p, 4*time.Second))
			})
			panic("the loop that pours is dead")
		})
		must(t, "switching on", func() error { return <-gone })
		b.eachPart(func(p driver.Part, _ driver.Wire) {
			b.becomes(t, p, false, "after the caller panicked and renewed no lease")
		})
	})
}

// ceilingKept lets the guard switch off at the time, with a lease that is alive.
func ceilingKept(t tester, b Bench) {
	b.guarded(t, func(g *guard.Rig, _ func()) {
		b.eachPart(func(p driver.Part, _ driver.Wire) {
			rises := b.rises(p)
			l, _ := g.Limits(p)
			refused(t, fmt.Sprintf("%s on above its ceiling", p), func() error { return g.On(p, l.MaxOn+1) })
			b.still(t, p, rises, "after an on above the ceiling was refused")
			must(t, fmt.Sprintf("%s on", p), func() error { return g.On(p, 100*time.Millisecond) })
			if !eventually(func() bool { g.Renew(); return !b.Level(p) }) {
				t.Errorf("%s stays on beyond its time", p)
				panic(errGiveUp)
			}
			if b.Rises != nil && b.rises(p) != rises+1 {
				t.Errorf("%s went on %d times for one on", p, b.rises(p)-rises)
			}
		})
		untripped(t, g)
	})
}

func boardTimer(t tester, b Bench) {
	timers := 0
	b.eachPart(func(p driver.Part, w driver.Wire) {
		if w.Deadman != driver.DeadmanBoard {
			return
		}
		timers++
		must(t, fmt.Sprintf("%s on", p), func() error { return w.On(100 * time.Millisecond) })
		b.becomes(t, p, false, "after the time that the board was given, with nobody there")
	})
	if timers == 0 {
		t.Skip("no part has a timer on its board")
	}
}

func (b Bench) pull(t tester) {
	if b.Unplug == nil {
		t.Skip("there is no cable to pull")
		panic(errGiveUp)
	}
	within(t, "unplugging", b.Unplug)
}

// dead says that every call gives an error and nothing goes on any more.
func (b Bench) dead(t tester, when string) {
	t.Helper()
	b.eachPart(func(p driver.Part, w driver.Wire) {
		was, rises := b.Level(p), b.rises(p)
		refused(t, fmt.Sprintf("%s off %s", p, when), w.Off)
		refused(t, fmt.Sprintf("%s on %s", p, when), func() error { return w.On(100 * time.Millisecond) })
		refused(t, fmt.Sprintf("%s off %s", p, when), w.Off)
		if was {
			return // a relay with its own supply stays; nobody can help that from here
		}
		b.still(t, p, rises, when)
	})
}

func unpluggedAtRest(t tester, b Bench) {
	b.pull(t)
	b.dead(t, "unplugged at rest")
}

func unpluggedWhileOn(t tester, b Bench) {
	b.eachPart(func(p driver.Part, w driver.Wire) {
		must(t, fmt.Sprintf("%s on", p), func() error { return w.On(time.Second) })
	})
	b.pull(t)
	b.dead(t, "unplugged while on")
}

// unpluggedWhileSwitching pulls the cable under calls that are under way, one
// goroutine for each port as the guard has it.
func unpluggedWhileSwitching(t tester, b Bench) {
	ports := map[string][]driver.Wire{}
	for _, w := range b.Rig.Outputs {
		ports[w.Port] = append(ports[w.Port], w)
	}
	stop := make(chan struct{})
	var once sync.Once
	var busy sync.WaitGroup
	end := func() bool {
		once.Do(func() { close(stop) })
		return within(t, "switching while unplugged", busy.Wait)
	}
	defer end()
	for _, wires := range ports {
		busy.Go(func() {
			for {
				for _, w := range wires {
					_ = w.On(time.Second)
					_ = w.Off()
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond): // slower than any relay, often enough
				}
			}
		})
	}
	b.eachPart(func(p driver.Part, _ driver.Wire) {
		if !eventually(func() bool { return b.Rises == nil || b.Rises(p) > 0 }) {
			t.Errorf("%s does not switch", p)
		}
	})
	b.pull(t)
	if end() {
		b.dead(t, "unplugged while switching")
	}
}

func unpluggedBehindGuard(t tester, b Bench) {
	b.guarded(t, func(g *guard.Rig, _ func()) {
		p := b.parts()[0]
		must(t, fmt.Sprintf("%s on", p), func() error { return g.On(p, time.Second) })
		b.pull(t)
		refused(t, fmt.Sprintf("%s off unplugged", p), func() error { return g.Off(p) })
		if _, latched := g.Latched(); !latched {
			t.Errorf("the guard did not notice that the cable was pulled")
		}
		b.eachPart(func(p driver.Part, _ driver.Wire) {
			was, rises := b.Level(p), b.rises(p)
			refused(t, fmt.Sprintf("%s on after a fault", p), func() error { return g.On(p, time.Second) })
			if !was {
				b.still(t, p, rises, "unplugged behind the guard")
			}
		})
	})
}

// does has a part switched, for as long as a check may last.
func does(t tester, p driver.Part, w driver.Wire, op Op) {
	do := w.Off
	if op == On {
		do = func() error { return w.On(patience) }
	}
	must(t, fmt.Sprintf("%s %s", p, op), do)
}

func readingMovesNothing(t tester, b Bench) {
	read := func() {
		for _, p := range b.parts() {
			if c := b.Rig.Outputs[p].Contact; c != nil {
				within(t, fmt.Sprintf("reading the contact of %s", p), func() { _, _ = c.Read() })
			}
		}
		for _, s := range driver.Signals {
			sensor, there := b.Rig.Sensors[s]
			if !there {
				continue
			}
			for range 20 {
				within(t, fmt.Sprintf("reading %s", s), func() {
					if r, err := sensor.Read(); err == nil && r.At.IsZero() {
						t.Errorf("%s reads %v and does not say since when: a reading that nobody took must be an error", s, r.Value)
					}
				})
			}
		}
	}
	b.eachPart(func(p driver.Part, w driver.Wire) {
		for _, op := range []Op{Off, On, Off} {
			does(t, p, w, op)
			b.becomes(t, p, op == On, "before reading")
			rises := b.rises(p)
			read()
			b.is(t, p, op == On, "after reading every sensor")
			if b.rises(p) != rises {
				t.Errorf("reading the sensors switched %s", p)
			}
		}
	})
}

// contactsFollow looks at what is said to show a part's real state: within its
// time it does, and for that part alone.
func contactsFollow(t tester, b Bench) {
	contacts := 0
	b.eachPart(func(p driver.Part, w driver.Wire) {
		if w.Contact == nil {
			return
		}
		contacts++
		for _, op := range []Op{Off, On, Off} {
			does(t, p, w, op)
			b.eachPart(func(other driver.Part, o driver.Wire) {
				if o.Contact == nil {
					return
				}
				want := other == p && op == On
				if !eventually(func() bool { r, err := o.Contact.Read(); return err == nil && !r.At.IsZero() && r.Yes() == want }) {
					r, err := o.Contact.Read()
					t.Errorf("%s was switched %s, and the contact of %s reads %v, %v", p, op, other, r, err)
					panic(errGiveUp)
				}
			})
		}
	})
	if contacts == 0 {
		t.Skip("no part has a contact")
	}
}

func closeAfterOff(t tester, b Bench) {
	b.eachPart(func(p driver.Part, w driver.Wire) {
		must(t, fmt.Sprintf("%s on", p), func() error { return w.On(time.Second) })
		must(t, fmt.Sprintf("%s off", p), w.Off)
	})
	rises := map[driver.Part]int{}
	b.eachPart(func(p driver.Part, _ driver.Wire) { rises[p] = b.rises(p) })
	must(t, "close", b.Rig.Close)
	b.eachPart(func(p driver.Part, w driver.Wire) {
		b.still(t, p, rises[p], "after close")
		refused(t, fmt.Sprintf("%s on after close", p), func() error { return w.On(time.Second) })
		b.still(t, p, rises[p], "after an on behind close")
	})
}
