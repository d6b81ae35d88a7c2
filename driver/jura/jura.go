package jura

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

// Config is one machine.
type Config struct {
	Port serial.Config // 9600 baud is its default

	// Model is the type that the machine must answer with, such as EF532M. It
	// must have a row that can be ordered from.
	Model string
	// Serial is the number on the machine's type plate. The machine does not tell
	// it, and its counter proves nothing about another machine's drinks.
	Serial string

	Log *slog.Logger // nil: none
}

// Problems finds everything that is wrong with the settings; nothing is opened.
func (c Config) Problems() []driver.Problem {
	var list []driver.Problem
	add := func(key, reason, fix string) {
		list = append(list, driver.Problem{Key: key, Reason: reason, Fix: fix})
	}
	known := "known are " + strings.Join(Orderable(), ", ")
	switch m := row(c.Model); {
	case m == nil || m.Type != c.Model:
		add("model", fmt.Sprintf("model %q is not known, so nothing can be ordered from it", c.Model), known)
	case m.ReadOnly != "":
		add("model", fmt.Sprintf("%v can only be read: %s", m, m.ReadOnly), known)
	}
	if c.Serial == "" || len(c.Serial) > 64 {
		add("serial", "the counter proves a drink only for the machine that made it", "write the number of the machine's type plate, 1 to 64 characters")
	}
	return append(list, c.Port.Problems()...)
}

// Orderable lists the types that can be ordered from.
func Orderable() []string {
	var out []string
	for _, m := range models {
		if m.ReadOnly == "" {
			out = append(out, m.Type)
		}
	}
	return out
}

// How long an answer may take. Machines begin to answer at once; others wait 0.3
// to 30 s before they give up. What comes later is caught by reading.
const (
	typeWithin  = 1500 * time.Millisecond
	inputWithin = 1500 * time.Millisecond
	countWithin = 2 * time.Second
	okWithin    = 3 * time.Second
)

const (
	workWithin  = 20 * time.Second       // one call, if its caller sets no time
	proveWithin = 6 * time.Second        // that Ready tries the wire at a time
	keyWithin   = 5 * time.Second        // from the call of Start to the key; who asks does so under a deadline
	keyTime     = 500 * time.Millisecond // that a key takes to be sent
	countFresh  = 5 * time.Second        // how old the count before a drink may be
	keyApart    = 10 * time.Second       // from one key to the next: the machine may not show yet what it is at
	settled     = 3 * time.Second        // from the last busy answer to rest: a pause within a product is none
)

// appliance is one machine. Everything below port and row belongs to the port's
// owner: it is used inside serial.Port.Do and nowhere else.
type appliance struct {
	port *serial.Port
	row  *Model
	log  *slog.Logger

	met    uint64 // the connection in which the machine said its type
	wire   trust
	name   reading[string]
	inputs reading[inputBits]
	count  reading[words]
	busyAt time.Time
	keyAt  time.Time
	told   int // what Counter said last; below 0 is nothing
	mine   *mine
}

// mine is the product that was started last. Until the machine is seen ready
// again, only this product's own counter is believed, from its key on: somebody
// may use the machine's own keys before and meanwhile.
type mine struct {
	word int
	from uint16
	base int // what Counter had said
}

var (
	_ driver.Appliance = (*appliance)(nil)
	_ driver.Watcher   = (*appliance)(nil)
)

// Open takes the port. It moves nothing and asks nothing: a machine that is
// switched off is found out when something is wanted of it.
func Open(cfg Config) (driver.Rig, error) {
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return driver.Rig{}, fmt.Errorf("jura: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Port.Log == nil {
		cfg.Port.Log = cfg.Log
	}
	port, err := serial.Open(cfg.Port)
	if err != nil {
		return driver.Rig{}, fmt.Errorf("jura: %w", err)
	}
	a := &appliance{port: port, row: row(cfg.Model), log: cfg.Log, told: -1}
	a.count.odd = a.row.strange
	a.name.stray, a.inputs.stray, a.count.stray = a.wire.stray, a.wire.stray, a.wire.stray
	return driver.Rig{
		Identity:  driver.Identity{Kind: "jura", Model: a.row.Type, Serial: cfg.Serial},
		Appliance: a,
		Close:     port.Close,
	}, nil
}

// do runs a piece of work with a machine that is the right one.
func (a *appliance) do(ctx context.Context, work func(ctx context.Context, l *serial.Line) error) error {
	ctx, cancel := context.WithTimeout(ctx, workWithin)
	defer cancel()
	return a.plainly(a.port.Do(ctx, func(l *serial.Line) error {
		err := a.meet(ctx, l)
		if err == nil {
			err = work(ctx, l)
		}
		if errors.Is(err, errSilent) {
			a.met = 0 // it was switched off, or another one stands there now: ask it for its type
		}
		return err
	}))
}

// plainly says in words for a person what silence means.
func (a *appliance) plainly(err error) error {
	if errors.Is(err, errSilent) {
		return fmt.Errorf("the %v does not answer: is it switched on, and its cable in? (its port is dead while it is off)", a.row)
	}
	return err
}

// meet asks the machine for its type, once for each time that its cable was
// plugged in.
func (a *appliance) meet(ctx context.Context, l *serial.Line) error {
	if a.met == l.Generation() {
		return nil
	}
	a.inputs.doubt()
	a.count.doubt()
	a.name.doubt()
	a.wire.plugged()
	a.met = 0
	whole, err := a.name.read(func() (string, error) { return put(ctx, a, l, askType, typeWithin, parseType) })
	if err != nil {
		return err
	}
	if typeOf(whole) != a.row.Type {
		return fmt.Errorf("another machine is connected: it answers %q and not %s: plug the right one in, or change model and serial", whole, a.row.Type)
	}
	if !slices.Contains(a.row.Answers, whole) {
		a.log.Warn("this firmware was not seen before: watch its first drinks", "answer", whole, "known", a.row.Answers)
	}
	a.met = l.Generation()
	return nil
}

// put asks, and learns about the wire.
func put[T any](ctx context.Context, a *appliance, l *serial.Line, c command, within time.Duration, parse func(string) (T, bool)) (T, error) {
	v, err := ask(ctx, l, c, within, parse)
	a.wire.answer(err, a.atRest())
	return v, err
}

// atRest reports that the machine makes nothing, as far as it was seen. One that
// was not met yet may just be switched on, and silent until then.
func (a *appliance) atRest() bool {
	return a.met != 0 && a.mine == nil && (a.busyAt.IsZero() || time.Since(a.busyAt) > settled)
}

func (a *appliance) readInputs(ctx context.Context, l *serial.Line) (inputBits, error) {
	return a.inputs.read(func() (inputBits, error) {
		return put(ctx, a, l, askInputs, inputWithin, func(line string) (inputBits, bool) {
			b, ok := parseInputs(line)
			return a.row.plain(b), ok && a.row.enough(b)
		})
	})
}

func (a *appliance) readCount(ctx context.Context, l *serial.Line) (words, error) {
	return a.count.read(func() (words, error) {
		return put(ctx, a, l, askCounters, countWithin, func(line string) (words, bool) {
			w, ok := parseCounters(line)
			return a.row.counted(w), ok
		})
	})
}

// total is the counter as Counter tells it, for these words.
func (a *appliance) total(w words) int {
	if m := a.mine; m != nil {
		return m.base + int(int16(w[m.word]-m.from)) // it may start over, and must not fall
	}
	return a.row.proof(w)
}

// sees takes what the inputs say of work: "" is none.
func (a *appliance) sees(b inputBits) string {
	what := a.row.busy(b)
	if what != "" {
		a.busyAt = time.Now()
	}
	a.wire.age(a.atRest(), time.Now())
	return what
}

// Ready says whether a product could be started now.
func (a *appliance) Ready(ctx context.Context) error {
	return a.do(ctx, func(ctx context.Context, l *serial.Line) error {
		if err := a.fit(ctx, l); err != nil {
			return err
		}
		a.mine = nil
		return a.prove(ctx, l)
	})
}

// Watches lists what the model's row sees both ways.
func (a *appliance) Watches() []driver.Signal { return a.row.watches() }

// fit reads the inputs and says what is in the way of a drink.
func (a *appliance) fit(ctx context.Context, l *serial.Line) error {
	b, err := a.readInputs(ctx, l)
	if err != nil {
		return err
	}
	if what := a.sees(b); what != "" {
		return fmt.Errorf("it is busy making %s: %w", what, driver.ErrNotYet)
	}
	if want := a.row.want(b); want != nil {
		return want
	}
	return nil
}

// prove tries the wire until a key may be sent over it, for a while.
func (a *appliance) prove(ctx context.Context, l *serial.Line) error {
	end := time.Now().Add(proveWithin)
	if by, set := ctx.Deadline(); set && by.Add(-okWithin).Before(end) {
		end = by.Add(-okWithin) // an answer in words is better than none
	}
	for a.wire.doubt() != nil && time.Now().Before(end) {
		if err := a.fit(ctx, l); err != nil {
			return err
		}
	}
	if err := a.wire.doubt(); err != nil || a.count.same > 0 {
		return err
	}
	// Without it no drink is proved, and the first one takes long to read.
	_, err := a.readCount(ctx, l)
	return err
}

// Counter is the number of products, of those that can be ordered, that the
// machine ever made; between Start and the next Ready, only those of the kind that
// was started are added.
func (a *appliance) Counter(ctx context.Context) (int, error) {
	var n int
	err := a.do(ctx, func(ctx context.Context, l *serial.Line) error {
		w, err := a.readCount(ctx, l)
		if err == nil {
			a.told = a.total(w)
			n = a.told
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Busy reports whether the machine makes something, or did until some seconds
// ago.
func (a *appliance) Busy(ctx context.Context) (bool, error) {
	var busy bool
	err := a.do(ctx, func(ctx context.Context, l *serial.Line) error {
		b, err := a.readInputs(ctx, l)
		if err != nil {
			return err
		}
		a.sees(b)
		busy = !a.busyAt.IsZero() && time.Since(a.busyAt) < settled
		return nil
	})
	if err != nil {
		return false, err
	}
	return busy, nil
}

// Start presses the product's key, once. Every error but ErrUncertain says that
// the machine did not get the key, whole.
func (a *appliance) Start(ctx context.Context, p driver.Product) error {
	want, known := a.row.product(p.Key)
	switch {
	case !known:
		return fmt.Errorf("the %v has no product %q that its counter proves: it has %s", a.row, p.Key, strings.Join(a.row.Products(), ", "))
	case p.Cycles > 1:
		return fmt.Errorf("%s: one start is one product; %d must be asked for one after the other", p.Key, p.Cycles)
	}
	began := time.Now()
	var key atomic.Int32
	// Up to the key the caller may give up. A key that has begun goes out whole.
	free, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	defer context.AfterFunc(ctx, func() {
		if key.CompareAndSwap(keyFree, keyBarred) {
			giveUp(context.Cause(ctx))
		}
	})()
	by, _ := ctx.Deadline()
	out := make(chan error, 1)
	err := a.do(free, func(ctx context.Context, l *serial.Line) error {
		err := a.plainly(a.press(ctx, l, want, began, by, &key))
		out <- err
		return err
	})
	select {
	case err := <-out:
		return err
	default: // the work was never begun, or it was left to itself
	}
	if key.CompareAndSwap(keyFree, keyBarred) || key.Load() == keyBarred {
		return fmt.Errorf("nothing was pressed: %w", err)
	}
	return uncertain(err)
}

// The states of a key: whoever takes it first decides whether it is pressed.
const (
	keyFree int32 = iota
	keyTaken
	keyBarred
)

func uncertain(err error) error {
	return fmt.Errorf("%w: %w", driver.ErrUncertain, err)
}

func (a *appliance) press(ctx context.Context, l *serial.Line, want product, began, by time.Time, key *atomic.Int32) error {
	not := func(err error) error { return fmt.Errorf("nothing was pressed: %w", err) }
	if !a.keyAt.IsZero() && time.Since(a.keyAt) < keyApart {
		return not(fmt.Errorf("a key was pressed just now: %w", driver.ErrNotYet))
	}
	if err := a.fit(ctx, l); err != nil {
		return not(err)
	}
	if a.count.same == 0 || time.Since(a.count.at) > countFresh {
		if _, err := a.readCount(ctx, l); err != nil {
			return not(err)
		}
	}
	if err := quiet(l); err != nil {
		return not(err)
	}
	if err := a.wire.doubt(); err != nil {
		return not(err)
	}
	if late := time.Since(began); late > keyWithin {
		return not(fmt.Errorf("it took the machine %v to say that it is ready", late.Round(time.Millisecond)))
	}
	if !by.IsZero() && time.Until(by) < keyTime {
		return not(context.DeadlineExceeded)
	}
	if !key.CompareAndSwap(keyFree, keyTaken) {
		return not(context.Canceled)
	}
	w := a.count.last
	if a.told < 0 {
		a.told = a.total(w)
	}
	a.mine = &mine{word: want.word, from: w[want.word], base: a.told}
	a.inputs.doubt()
	a.count.doubt()
	a.keyAt = time.Now()
	a.wire.rememberPending()
	slip := l.Slip()
	whole, err := say(ctx, l, want.key)
	switch {
	case err != nil && !whole:
		return fmt.Errorf("the key was cut off before its end, so the machine did not take it: %w", err)
	case err != nil:
		return uncertain(err)
	}
	_, err = hear(l, okWithin, slip, parseOK)
	a.wire.answer(err, false)
	switch {
	case errors.Is(err, errSilent):
		return uncertain(errors.New("the machine did not say ok"))
	case err != nil:
		return uncertain(err)
	}
	return nil
}

// Stop can't be had: see the package comment. The machine's own keys stop it.
func (a *appliance) Stop(context.Context) error {
	return errors.New("a Jura can't be stopped over its port without the risk of a second drink: press the product's key at the machine")
}
