package drivertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
)

// Bar is a freshly opened appliance with somebody who looks at its metal and
// holds its cable. It must work in the fake time of testing/synctest, in the
// bubble in which it was opened.
type Bar struct {
	Rig     driver.Rig
	Product driver.Product // one that it makes

	// Poured counts the drinks that were physically poured. It must not go
	// through the driver.
	Poured func() int
	// Keys counts the product keys that the driver sent to the machine whole,
	// whether or not they arrived.
	Keys func() int

	Person   func()        // presses the product's key at the machine itself
	LoseKey  func(on bool) // keys that the driver sends do not arrive
	LoseOK   func(on bool) // keys arrive, the answers to them get lost
	Mute     func(on bool) // the machine answers nothing
	Dry      func(on bool) // it can't make anything, and knows it
	Noise    func(on bool) // answers are damaged, double and late
	CutAfter func(n int)   // pulls the cable after n more bytes to the machine
	Replug   func()        // and puts it in again

	// Stop ends what stands around the rig (a simulator), after Rig.Close.
	// Whatever then still runs is a leak.
	Stop func()
}

// Appliances is the suite that every driver of appliances passes: started once,
// the key never repeated, proved by the counter, unknown when in doubt. open
// opens the rig anew for each check, and more than once within some, with a
// machine that is at rest and has all it needs. Each check runs in a bubble of
// fake time, so that a drink may take as long as it does.
func Appliances(t *testing.T, open func(t *testing.T) Bar) {
	for _, c := range applianceChecks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.on(t, func() Bar { return open(t) }) })
		})
	}
}

// applianceCheck is one rule. run opens a bar as often as it needs one.
type applianceCheck struct {
	name string
	run  func(t tester, with func(func(*order)))
}

// once is a rule that needs one bar.
func once(run func(*order)) func(tester, func(func(*order))) {
	return func(_ tester, with func(func(*order))) { with(run) }
}

// applianceChecks is the whole suite.
var applianceChecks = []applianceCheck{
	{"an appliance with a name", once(named)},
	{"opening and asking move nothing", once(asksOnly)},
	{"a product is made once and counted", once(madeOnce)},
	{"what it does not have is refused", once(refusesUnknown)},
	{"nothing is pressed while it is busy", once(refusesBusy)},
	{"nothing is pressed when it can't", once(refusesDry)},
	{"two starts at once are one drink", once(startsAtOnce)},
	{"an answer that is lost", once(answerLost)},
	{"a key that is lost", once(keyLost)},
	{"a machine that is silent", once(silent)},
	{"a start that is given up", givenUp},
	{"noise", noisy},
	{"unplugged at each byte of a start", unpluggedAtEachByte},
	{"unplugged while it works", unpluggedAtWork},
	{"stop starts nothing", stopStartsNothing},
	{"close", once(closedForGood)},
}

// on runs a check and looks for goroutines that were left.
func (c applianceCheck) on(t tester, open func() Bar) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil && r != errGiveUp {
			panic(r)
		}
	}()
	c.run(t, func(f func(*order)) {
		before := goleak.IgnoreCurrent()
		b := open()
		b.Rig.Close = closeOnce(b.Rig.Close)
		func() {
			defer func() {
				within(t, "closing", func() { _ = b.Rig.Close() })
				if b.Stop != nil {
					within(t, "stopping the bench", b.Stop)
				}
			}()
			o := &order{Bar: b, t: t, a: b.Rig.Appliance, drinks: b.Poured(), keys: b.Keys()}
			o.untilReady()
			f(o)
		}()
		if err := goleak.Find(before); err != nil {
			t.Errorf("goroutines were left after close: %v", err)
		}
	})
}

// order is one bar, and what was to be seen when it was opened.
type order struct {
	Bar
	t      tester
	a      driver.Appliance
	drinks int
	keys   int
}

// Times of the suite, all fake.
const (
	askFor = 12 * time.Second // that a caller gives one question
	grace  = 5 * time.Second  // beyond it, a driver hangs
	begins = 20 * time.Second // from a key to the first sign of work
	finish = 10 * time.Minute // longer than any product
	soon   = 10 * time.Minute // from opening, or the end of noise, to ready
	after  = 3 * time.Minute  // a late consequence would have come by then
)

// ask calls the driver as a machine does: with a time, and it must keep it.
func (o *order) ask(what string, ctx context.Context, f func(context.Context) error) error {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				o.t.Errorf("%s: panic: %v", what, r)
				done <- errGiveUp
			}
		}()
		done <- f(ctx)
	}()
	late := time.NewTimer(askFor + grace)
	defer late.Stop()
	select {
	case err := <-done:
		if err == errGiveUp {
			panic(errGiveUp)
		}
		return err
	case <-late.C:
		o.t.Errorf("%s: the driver did not come back within %v", what, askFor+grace)
		panic(errGiveUp)
	}
}

func (o *order) start(ctx context.Context) error {
	return o.ask("start", ctx, func(ctx context.Context) error { return o.a.Start(ctx, o.Product) })
}

func (o *order) ready() error { return o.ask("ready", context.Background(), o.a.Ready) }

// untilReady asks until it is ready: before that, no machine starts anything.
func (o *order) untilReady() {
	o.t.Helper()
	var err error
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(time.Second) { // as a machine does
		if err = o.ready(); err == nil {
			return
		}
	}
	o.t.Errorf("at rest, nothing is amiss, and not ready after %v: %v", soon, err)
	panic(errGiveUp)
}

func (o *order) busy() (is bool, err error) {
	err = o.ask("busy", context.Background(), func(ctx context.Context) (err error) { is, err = o.a.Busy(ctx); return err })
	return is, err
}

// counter reads the counter, again if noise is in the way.
func (o *order) counter() int {
	o.t.Helper()
	var err error
	for end := time.Now().Add(after); time.Now().Before(end); time.Sleep(time.Second) {
		n := 0
		err = o.ask("counter", context.Background(), func(ctx context.Context) (err error) { n, err = o.a.Counter(ctx); return err })
		if err == nil {
			return n
		}
	}
	o.t.Errorf("the counter can't be read: %v", err)
	panic(errGiveUp)
}

// rest waits until it was busy and is not any more, or does nothing.
func (o *order) rest() (worked bool) {
	o.t.Helper()
	begin := time.Now()
	for ; time.Since(begin) < finish; time.Sleep(500 * time.Millisecond) {
		busy, err := o.busy()
		switch {
		case err != nil:
		case busy:
			worked = true
		case worked || time.Since(begin) > begins:
			return worked
		}
	}
	o.t.Errorf("it does not come to rest within %v", finish)
	panic(errGiveUp)
}

func (o *order) poured() int  { return o.Poured() - o.drinks }
func (o *order) pressed() int { return o.Keys() - o.keys }

// honest compares what the driver said of one start with what happened.
func (o *order) honest(when string, err error, rose, poured, keys int) {
	o.t.Helper()
	if keys > 1 {
		o.t.Errorf("%s: the key was sent %d times", when, keys)
	}
	if poured > 1 {
		o.t.Errorf("%s: %d drinks were poured for one start", when, poured)
	}
	if rose != poured {
		o.t.Errorf("%s: its counter rose by %d, and %d drinks were poured", when, rose, poured)
	}
	if err != nil && !errors.Is(err, driver.ErrUncertain) && poured > 0 {
		o.t.Errorf("%s: start said that it was not taken (%v), and a drink was poured", when, err)
	}
}

// certain says that a start was refused, for sure, and pressed nothing.
func (o *order) certain(when string, err error, keys int) {
	o.t.Helper()
	if err == nil {
		o.t.Errorf("%s: start did not say no", when)
	} else if errors.Is(err, driver.ErrUncertain) {
		o.t.Errorf("%s: nothing was pressed, and start does not know it: %v", when, err)
	}
	if keys != 0 {
		o.t.Errorf("%s: a key was pressed", when)
	}
}

func named(o *order) {
	if o.a == nil || len(o.Rig.Outputs) > 0 {
		o.t.Errorf("the rig must have an appliance and no outputs")
	}
	if id := o.Rig.Identity; id.Kind == "" || id.Model == "" || id.Serial == "" {
		o.t.Errorf("the rig does not say which machine it is: %+v", id)
	}
}

func asksOnly(o *order) {
	time.Sleep(after)
	if o.poured()+o.pressed() > 0 {
		o.t.Errorf("opening pressed %d keys, and %d drinks were poured", o.pressed(), o.poured())
	}
	for range 10 {
		if err := o.ready(); err != nil {
			o.t.Errorf("it is at rest and not ready: %v", err)
		}
		if busy, err := o.busy(); busy || err != nil {
			o.t.Errorf("it is at rest and busy: %v, %v", busy, err)
		}
		if n := o.counter(); n < 0 {
			o.t.Errorf("the counter is %d", n)
		}
	}
	time.Sleep(after)
	if o.poured()+o.pressed() > 0 {
		o.t.Errorf("asking pressed %d keys, and %d drinks were poured", o.pressed(), o.poured())
	}
}

func madeOnce(o *order) {
	for n := 1; n <= 3; n++ {
		if err := o.ready(); err != nil {
			o.t.Errorf("ready: %v", err)
		}
		before := o.counter()
		if err := o.start(context.Background()); err != nil {
			o.t.Errorf("start: %v", err)
		}
		if !o.rest() {
			o.t.Errorf("it was never seen busy")
		}
		if rose := o.counter() - before; rose != 1 || o.poured() != n || o.pressed() != n {
			o.t.Errorf("start %d: %d drinks, %d keys, its counter rose by %d", n, o.poured(), o.pressed(), rose)
		}
	}
	time.Sleep(after)
	if o.poured() != 3 || o.pressed() != 3 {
		o.t.Errorf("afterwards, unasked: %d drinks, %d keys for 3 starts", o.poured(), o.pressed())
	}
}

func refusesUnknown(o *order) {
	for _, p := range []driver.Product{{Key: "a drink that no machine makes", Cycles: 1}, {Cycles: 1}, {Key: o.Product.Key, Cycles: 2}} {
		err := o.ask("start", context.Background(), func(ctx context.Context) error { return o.a.Start(ctx, p) })
		o.certain("an unknown product or more than one", err, o.pressed())
	}
	time.Sleep(after)
	if o.poured()+o.pressed() > 0 {
		o.t.Errorf("%d keys and %d drinks for what was refused", o.pressed(), o.poured())
	}
}

func refusesBusy(o *order) {
	before := o.counter()
	o.Person()
	time.Sleep(10 * time.Second)
	if err := o.ready(); err == nil {
		o.t.Errorf("somebody else's drink is being made, and it is ready")
	}
	o.certain("during somebody else's drink", o.start(context.Background()), o.pressed())
	o.rest()
	if rose := o.counter() - before; rose != 1 || o.poured() != 1 {
		o.t.Errorf("somebody else's drink: poured %d, counted %d", o.poured(), rose)
	}
	if err := errors.Join(o.ready(), o.start(context.Background())); err != nil {
		o.t.Errorf("after somebody else's drink: %v", err)
	}
	time.Sleep(10 * time.Second)
	keys := o.pressed()
	o.certain("during our own drink", o.start(context.Background()), o.pressed()-keys)
	if o.rest(); o.poured() != 2 {
		o.t.Errorf("%d drinks for one of somebody else and one of ours", o.poured())
	}
}

func refusesDry(o *order) {
	o.Dry(true)
	if err := o.ready(); err == nil {
		o.t.Errorf("it can't make anything, and is ready")
	}
	o.certain("when it can't", o.start(context.Background()), o.pressed())
	o.Dry(false)
	if err := errors.Join(o.ready(), o.start(context.Background())); err != nil {
		o.t.Errorf("after it was filled: %v", err)
	}
	if o.rest(); o.poured() != 1 {
		o.t.Errorf("after it was filled: %d drinks for one start", o.poured())
	}
}

func startsAtOnce(o *order) {
	before := o.counter()
	var errs [3]error
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = o.a.Start(context.Background(), o.Product) })
	}
	if !within(o.t, "starting three times at once", all.Wait) {
		panic(errGiveUp)
	}
	o.rest()
	o.honest("three at once", nil, o.counter()-before, o.poured(), o.pressed())
}

func answerLost(o *order) {
	before := o.counter()
	o.LoseOK(true)
	err := o.start(context.Background())
	if err != nil && !errors.Is(err, driver.ErrUncertain) {
		o.t.Errorf("the key was taken and its answer lost, and start is sure that it was not taken: %v", err)
	}
	o.LoseOK(false)
	o.rest()
	time.Sleep(after)
	o.honest("an answer was lost", err, o.counter()-before, o.poured(), o.pressed())
	if o.poured() != 1 {
		o.t.Errorf("the key was taken, and %d drinks were poured", o.poured())
	}
}

func keyLost(o *order) {
	before := o.counter()
	o.LoseKey(true)
	err := o.start(context.Background())
	o.LoseKey(false)
	if err == nil {
		o.t.Errorf("the key was lost, and start says that it was taken")
	}
	o.rest()
	time.Sleep(after)
	o.honest("a key was lost", err, o.counter()-before, o.poured(), o.pressed())
	if o.poured() != 0 {
		o.t.Errorf("the key was lost, and %d drinks were poured", o.poured())
	}
}

func silent(o *order) {
	before := o.counter()
	o.Mute(true)
	if err := o.ready(); err == nil {
		o.t.Errorf("it answers nothing, and is ready")
	}
	if _, err := o.busy(); err == nil {
		o.t.Errorf("it answers nothing, and the driver knows whether it is busy")
	}
	if err := o.ask("counter", context.Background(), func(ctx context.Context) error { _, err := o.a.Counter(ctx); return err }); err == nil {
		o.t.Errorf("it answers nothing, and the driver knows its counter")
	}
	err := o.start(context.Background())
	o.Mute(false)
	time.Sleep(after)
	o.honest("silent", err, o.counter()-before, o.poured(), o.pressed())
	if err == nil {
		o.t.Errorf("it answers nothing, and start says that the key was taken")
	}
}

// givenUp ends the caller's patience at many moments of a start.
func givenUp(t tester, with func(func(*order))) {
	for at := time.Duration(0); at < 2*time.Second; at += 23 * time.Millisecond {
		done := false
		with(func(o *order) {
			before := o.counter()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if at == 0 {
				cancel()
			}
			stop := time.AfterFunc(at, cancel)
			err := o.start(ctx)
			done = stop.Stop()
			keys := o.pressed()
			time.Sleep(after)
			if o.pressed() != keys {
				t.Errorf("given up after %v: a key was pressed after start had come back", at)
			}
			if at == 0 {
				o.certain("given up before it began", err, keys)
			}
			o.rest()
			o.honest("given up after "+at.String(), err, o.counter()-before, o.poured(), o.pressed())
		})
		if done {
			return
		}
	}
}

// noisy: on a wire that is noisy all the time a driver may refuse, and on one
// that becomes so with the start it can't have known.
func noisy(t tester, with func(func(*order))) {
	with(func(o *order) {
		o.Noise(true)
		for range 25 {
			_ = o.ready()
			before, poured, keys := o.counter(), o.poured(), o.pressed()
			err := o.start(context.Background())
			o.rest()
			o.honest("with noise", err, o.counter()-before, o.poured()-poured, o.pressed()-keys)
		}
	})
	with(func(o *order) {
		made := 0
		for range 25 {
			o.untilReady()
			before, poured, keys := o.counter(), o.poured(), o.pressed()
			o.Noise(true)
			err := o.start(context.Background())
			o.rest()
			o.honest("noise from the start on", err, o.counter()-before, o.poured()-poured, o.pressed()-keys)
			made += o.poured() - poured
			o.Noise(false)
		}
		if made < 5 {
			t.Errorf("with noise from the start on, %d of 25 starts made a drink: the bench is too loud, or the driver gives up too soon", made)
		}
	})
}

func unpluggedAtEachByte(t tester, with func(func(*order))) {
	const most = 4096
	for n := range most {
		done := false
		with(func(o *order) {
			before := o.counter()
			o.CutAfter(n)
			err := o.start(context.Background())
			done = err == nil
			time.Sleep(after)
			o.Replug()
			time.Sleep(grace)
			o.rest()
			time.Sleep(after)
			o.honest("unplugged", err, o.counter()-before, o.poured(), o.pressed())
			if n == 0 {
				o.certain("unplugged before it began", err, o.pressed())
			}
		})
		if done {
			return
		}
	}
	t.Errorf("start sends more than %d bytes", most)
}

func unpluggedAtWork(t tester, with func(func(*order))) {
	for _, at := range []time.Duration{0, 2 * time.Second, 8 * time.Second, 20 * time.Second} {
		with(func(o *order) {
			before := o.counter()
			err := o.start(context.Background())
			if err != nil {
				t.Errorf("start: %v", err)
			}
			time.Sleep(at)
			o.CutAfter(0)
			time.Sleep(time.Second)
			if _, err := o.busy(); err == nil {
				t.Errorf("it is unplugged, and the driver knows whether it is busy")
			}
			o.certain("unplugged", o.start(context.Background()), o.pressed()-1)
			time.Sleep(after)
			o.Replug()
			time.Sleep(grace)
			o.rest()
			o.honest("unplugged at work", err, o.counter()-before, o.poured(), o.pressed())
			if o.poured() != 1 {
				t.Errorf("%d drinks poured by a machine that was unplugged from us after %v", o.poured(), at)
			}
		})
	}
}

// stopStartsNothing: stopping is best effort, and must never make another drink,
// above all not when the first has ended at this very moment.
func stopStartsNothing(t tester, with func(func(*order))) {
	stop := func(o *order) {
		_ = o.ask("stop", context.Background(), o.a.Stop)
		time.Sleep(after)
		o.rest()
	}
	with(func(o *order) {
		if stop(o); o.poured()+o.pressed() > 0 {
			t.Errorf("stop at rest pressed %d keys and poured %d drinks", o.pressed(), o.poured())
		}
	})
	with(func(o *order) {
		if err := o.start(context.Background()); err != nil {
			t.Errorf("start: %v", err)
		}
		time.Sleep(5 * time.Second)
		if stop(o); o.poured() > 1 {
			t.Errorf("%d drinks after a start and a stop", o.poured())
		}
	})
	with(func(o *order) {
		if err := o.start(context.Background()); err != nil {
			t.Errorf("start: %v", err)
		}
		o.rest()
		if stop(o); o.poured() != 1 {
			t.Errorf("%d drinks after a start, and a stop when it had ended", o.poured())
		}
	})
}

func closedForGood(o *order) {
	if err := o.Rig.Close(); err != nil {
		o.t.Errorf("close: %v", err)
	}
	if o.ready() == nil {
		o.t.Errorf("it is closed, and ready")
	}
	o.certain("closed", o.start(context.Background()), o.pressed())
	time.Sleep(after)
	if o.poured()+o.pressed() > 0 {
		o.t.Errorf("after close: %d keys, %d drinks", o.pressed(), o.poured())
	}
}
