package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
)

// espresso is a machine in memory with its driver, over a wire of bytes: "i"
// asks for the inputs, "c" for the counter, "K\n" presses the key, which is
// taken with its second byte. A product takes 30 s; a second key stops it.
type espresso struct {
	bad string // the mistake that this driver makes

	turn chan struct{} // of the driver's calls: waiting for a mutex would stop the fake time
	end  chan struct{} // closed when the test is over, for what hangs
	mu   sync.Mutex    // of everything below

	gone, closed  bool
	left          int // bytes until the cable is cut; below 0: none
	half          bool
	keys          int
	loseKey, mute bool
	loseOK, dry   bool
	noise, noisy  int
	poured        int
	until         time.Time // of the product that is made
	making        bool
	cached        int
	haveCached    bool
}

var errGone = fmt.Errorf("nothing is plugged in: %w", driver.ErrGone)

// now brings the machine to now.
func (e *espresso) now() {
	if e.making && !time.Now().Before(e.until) {
		e.making = false
		e.poured++
	}
}

func (e *espresso) press() {
	e.now()
	switch {
	case e.making:
		e.making = false
	case !e.dry:
		e.making, e.until = true, time.Now().Add(30*time.Second)
	}
}

// send puts a byte on the wire; it takes 10 ms.
func (e *espresso) send(c byte) error {
	time.Sleep(10 * time.Millisecond)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.gone {
		return errGone
	}
	if e.left > 0 {
		e.left--
		e.gone = e.left == 0 // what was sent arrives
	}
	switch {
	case c == 'K':
		e.half = true
	case c == '\n' && e.half:
		e.half = false
		e.keys++
		if !e.loseKey {
			e.press()
		}
	}
	return nil
}

// answer is what the machine says, as far as it arrives.
func (e *espresso) answer(to byte) (n int, heard bool) {
	time.Sleep(20 * time.Millisecond)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now()
	if e.gone || e.closed || e.mute || to == 'K' && (e.loseOK || e.loseKey) {
		return 0, false
	}
	switch to {
	case 'i':
		if e.making {
			n |= 1
		}
		if e.dry {
			n |= 2
		}
	case 'c':
		n = e.poured
	}
	if e.noise > 0 && to != 'K' {
		if e.noisy++; e.noisy%e.noise == 0 {
			n ^= 1 + e.noisy%2
		}
	}
	return n, true
}

// ask is a question, believed when two answers agree.
func (e *espresso) ask(ctx context.Context, c byte) (int, error) {
	last := -1
	for range 8 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := e.send(c); err != nil {
			return 0, err
		}
		n, heard := e.answer(c)
		if !heard {
			return 0, errors.New("it does not answer")
		}
		if n == last || e.bad == "believes one answer" {
			return n, nil
		}
		last = n
	}
	return 0, errors.New("its answers do not agree")
}

// alone waits for the driver's turn and gives back what ends it.
func (e *espresso) alone() func() {
	e.turn <- struct{}{}
	return func() { <-e.turn }
}

func (e *espresso) Ready(ctx context.Context) error {
	defer e.alone()()
	if e.bad == "warms up by pressing the key" {
		e.send('K')
		e.send('\n')
	}
	if e.bad == "always ready" {
		return nil
	}
	return e.fit(ctx)
}

func (e *espresso) fit(ctx context.Context) error {
	n, err := e.ask(ctx, 'i')
	switch {
	case err != nil:
		return err
	case n&1 > 0:
		return errors.New("busy")
	case n&2 > 0:
		return errors.New("no water")
	}
	return nil
}

func (e *espresso) Counter(ctx context.Context) (int, error) {
	defer e.alone()()
	n, err := e.ask(ctx, 'c')
	switch e.bad {
	case "counts what it started":
		return e.keys, err
	case "an old counter where there is none":
		if err != nil && e.haveCached {
			return e.cached, nil
		}
		e.cached, e.haveCached = n, true
	case "hangs without an answer":
		if err != nil {
			<-e.end
		}
	}
	return n, err
}

func (e *espresso) Busy(ctx context.Context) (bool, error) {
	defer e.alone()()
	n, err := e.ask(ctx, 'i')
	if e.bad == "idle when it can't tell" && err != nil {
		return false, nil
	}
	return n&1 > 0, err
}

func (e *espresso) Start(ctx context.Context, p driver.Product) error {
	defer e.alone()()
	if p.Key != "espresso" && e.bad != "any key will do" {
		return errors.New("no such product")
	}
	if p.Cycles != 1 && e.bad != "any key will do" {
		return errors.New("one at a time")
	}
	if e.bad == "panics" {
		panic("no such register")
	}
	if err := e.fit(ctx); err != nil && e.bad != "starts without asking" {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e.bad == "presses when nobody waits any more" {
		time.AfterFunc(time.Second, func() { _ = e.send('K'); _ = e.send('\n') })
		return driver.ErrUncertain
	}
	if err := e.send('K'); err != nil {
		return err
	}
	if err := e.send('\n'); err != nil {
		return fmt.Errorf("%w: %w", driver.ErrUncertain, err)
	}
	if _, heard := e.answer('K'); heard {
		if e.bad == "presses twice to be sure" {
			_ = e.send('K')
			_ = e.send('\n')
		}
		return nil
	}
	switch e.bad {
	case "sure that nothing happened":
		return errors.New("it did not answer")
	case "sure that all is well":
		return nil
	case "repeats the key":
		_ = e.send('K')
		_ = e.send('\n')
	case "repeats the key when it is back":
		go func() {
			for range 600 {
				time.Sleep(time.Second)
				if e.send('K') == nil {
					_ = e.send('\n')
					return
				}
			}
		}()
	}
	return driver.ErrUncertain
}

func (e *espresso) Stop(ctx context.Context) error {
	if e.bad == "stops by a second key" {
		_ = e.send('K')
		_ = e.send('\n')
	}
	return errors.New("stop it by hand")
}

func (e *espresso) bar() Bar {
	locked := func(f func()) { e.mu.Lock(); defer e.mu.Unlock(); f() }
	flag := func(to *bool) func(bool) { return func(on bool) { locked(func() { *to = on }) } }
	e.left, e.turn, e.end = -1, make(chan struct{}, 1), make(chan struct{})
	rig := driver.Rig{
		Identity: driver.Identity{Kind: "espresso", Model: "memory", Serial: "1"}, Appliance: e,
		Close: func() error {
			locked(func() { e.closed = e.bad != "goes on after close" })
			return nil
		},
	}
	switch e.bad {
	case "nobody knows which":
		rig.Identity.Serial = ""
	case "opens with a key":
		e.keys++
		e.press()
	case "leaves a goroutine":
		go func() { <-e.end }()
	}
	return Bar{
		Rig: rig, Product: driver.Product{Key: "espresso", Cycles: 1},
		Poured:  func() (n int) { locked(func() { e.now(); n = e.poured }); return n },
		Keys:    func() (n int) { locked(func() { n = e.keys }); return n },
		Person:  func() { locked(e.press) },
		LoseKey: flag(&e.loseKey), LoseOK: flag(&e.loseOK), Mute: flag(&e.mute), Dry: flag(&e.dry),
		Noise:    func(on bool) { locked(func() { e.noise = map[bool]int{true: 7}[on] }) },
		CutAfter: func(n int) { locked(func() { e.left, e.gone = n, n == 0 }) },
		Replug:   func() { locked(func() { e.left, e.gone, e.half = -1, false, false }) },
	}
}

func TestEspressoPasses(t *testing.T) {
	Appliances(t, func(*testing.T) Bar { return (&espresso{}).bar() })
}

// Every check goes red with an appliance that breaks its rule, and says why.
func TestBadAppliancesAreFound(t *testing.T) {
	unproven := map[string]bool{}
	for _, c := range applianceChecks {
		unproven[c.name] = true
	}
	for _, bad := range []struct{ check, driver, want string }{
		{"an appliance with a name", "nobody knows which", "does not say which machine"},
		{"an appliance with a name", "leaves a goroutine", "goroutines were left"},
		{"opening and asking move nothing", "opens with a key", "opening pressed"},
		{"opening and asking move nothing", "warms up by pressing the key", "asking pressed"},
		{"a product is made once and counted", "presses twice to be sure", "0 drinks, 2 keys, its counter rose by 0"},
		{"a product is made once and counted", "panics", "panic: no such register"},
		{"what it does not have is refused", "any key will do", "start did not say no"},
		{"nothing is pressed while it is busy", "starts without asking", "during somebody else's drink: a key was pressed"},
		{"nothing is pressed while it is busy", "always ready", "and it is ready"},
		{"nothing is pressed when it can't", "starts without asking", "when it can't: a key was pressed"},
		{"nothing is pressed when it can't", "always ready", "can't make anything, and is ready"},
		{"two starts at once are one drink", "starts without asking", "the key was sent 3 times"},
		{"an answer that is lost", "repeats the key", "the key was sent 2 times"},
		{"an answer that is lost", "repeats the key when it is back", "the key was sent 2 times"},
		{"an answer that is lost", "sure that nothing happened", "is sure that it was not taken"},
		{"a key that is lost", "sure that all is well", "start says that it was taken"},
		{"a key that is lost", "repeats the key", "the key was sent 2 times"},
		{"a key that is lost", "counts what it started", "its counter rose by 1, and 0 drinks were poured"},
		{"a machine that is silent", "an old counter where there is none", "the driver knows its counter"},
		{"a machine that is silent", "idle when it can't tell", "knows whether it is busy"},
		{"a machine that is silent", "hangs without an answer", "did not come back"},
		{"a start that is given up", "presses when nobody waits any more", "after start had come back"},
		{"noise", "believes one answer", "its counter rose by"},
		{"unplugged at each byte of a start", "sure that nothing happened", "and a drink was poured"},
		{"unplugged at each byte of a start", "repeats the key when it is back", "the key was sent 2 times"},
		{"unplugged while it works", "idle when it can't tell", "knows whether it is busy"},
		{"stop starts nothing", "stops by a second key", "stop at rest pressed 1 keys"},
		{"close", "goes on after close", "it is closed, and ready"},
	} {
		t.Run(bad.check+"/"+bad.driver, func(t *testing.T) {
			r := &recorder{}
			synctest.Test(t, func(t *testing.T) {
				var all []*espresso
				defer func() {
					for _, e := range all {
						close(e.end)
					}
				}()
				for _, c := range applianceChecks {
					if c.name == bad.check {
						c.on(r, func() Bar {
							e := &espresso{bad: bad.driver}
							all = append(all, e)
							return e.bar()
						})
					}
				}
			})
			if !strings.Contains(strings.Join(r.errs, "\n"), bad.want) {
				t.Errorf("the check did not find it: want %q among %q", bad.want, r.errs)
			}
		})
		delete(unproven, bad.check)
	}
	if len(unproven) > 0 {
		t.Errorf("checks that were never seen red: %v", unproven)
	}
}
