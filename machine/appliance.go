package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"barista/driver"
	"barista/machine/journal"
)

const (
	askWithin   = 10 * time.Second       // one question to an appliance
	askEvery    = 500 * time.Millisecond // while it works
	busyWithin  = 15 * time.Second       // from a start until it is seen busy
	stopsWithin = 30 * time.Second       // from a stop until it is seen idle
)

// BetweenCycles is how long a drink of several cycles waits, all its pauses
// together, for an appliance that is not ready for the next one yet.
const BetweenCycles = 20 * time.Second

// request is the task of a drink that an appliance makes. Its questions take
// seconds, so one goroutine asks them while the owner loop goes on turning; it
// ends with its drink.
type request struct {
	*drink
	cancel    context.CancelCauseFunc
	cancelled bool   // it is on its way to rest
	why       Reason // cancelled: for this
}

func (r *request) moves() bool { return !r.cancelled }

// turn lets the loop show that it lives: the appliance works by itself.
func (r *request) turn(*Machine) time.Duration { return cupTick }

func (r *request) abort(_ *Machine, reason Reason) {
	if !r.cancelled {
		r.cancelled, r.why = true, reason
	}
	r.cancel(reason) // its end comes by itself
}

// cooked is what came of an appliance's drink.
type cooked struct {
	drink   *drink
	started bool // the journal has it
	late    bool
	failed  bool  // the appliance did not do what it was asked
	not     error // it was not ready any more
	out     journal.Outcome
	reason  Reason
}

// order asks an appliance for a drink.
func (m *Machine) order(d *drink) {
	ctx, cancel := context.WithCancelCause(context.Background())
	m.hand = &request{drink: d, cancel: cancel}
	m.fit.stale = m.fit.asking != nil // it takes its time, and its answer is old then
	product, _ := m.plan.Product(d.job.Drink)
	m.brewing.Go(func() {
		defer cancel(nil)
		c := m.cook(ctx, d.job, product, d.started)
		c.drink = d
		m.cooked <- c
	})
}

// served takes what came of it, in the owner loop.
func (m *Machine) served(c cooked) {
	d := c.drink
	d.started = c.started
	// Who stopped it before anything was used is why it is untouched, whatever a question
	// that was under way came to: a customer who wants no more gets none elsewhere either.
	if r, is := m.hand.(*request); is && r.cancelled && (c.out == journal.Untouched || c.late) {
		c.late, c.failed, c.out, c.reason = false, false, journal.Untouched, r.why
	}
	if c.late {
		m.tooLate(d)
		return
	}
	m.finish(d, c.out, c.reason)
	if m.fit.forget(); c.not != nil {
		m.fit.is(c.not)
	}
	if c.failed {
		m.fail(&failure{Appliance, c.reason.Detail, c.reason.Quote})
	}
}

// cook asks for the product and proves it by the counter. It runs beside the
// owner loop and touches nothing of it.
func (m *Machine) cook(ctx context.Context, j Job, p driver.Product, started bool) cooked {
	a := m.rig.Appliance()
	untouched := func(failed bool, r Reason) cooked {
		return cooked{started: started, failed: failed, out: journal.Untouched, reason: r}
	}
	if err := ask(ctx, a.Ready); err != nil {
		c := untouched(false, quoting(NotReady, err.Error()))
		c.not = err
		return c
	}
	before, err := counter(ctx, a)
	if err != nil && !errors.Is(err, driver.ErrNoCounter) {
		return untouched(true, said("its counter can't be read: %v", err))
	}
	if !started {
		note := journal.Note{Counter: before, Cycles: p.Cycles, What: what(j.Drink)}
		if f := m.start(j.key(), note); f != nil {
			return untouched(false, f.reason())
		}
		started = true
	}
	if ctx.Err() != nil {
		return untouched(false, ReasonOf(context.Cause(ctx)))
	}
	if !j.Deadline.IsZero() && !time.Now().Before(j.Deadline) {
		return cooked{started: true, late: true}
	}
	c := m.cycles(ctx, a, p, before)
	c.started = true
	c.failed = c.failed && ctx.Err() == nil // stopped is not failed
	return c
}

// seen is what was seen of an appliance while it made one drink, all its cycles
// together.
type seen struct {
	counted bool  // it has a product counter
	moved   bool  // it was seen busy
	idle    bool  // it came to rest
	rose    int   // its counter, since before the first start
	err     error // of the last start, or what kept one from being sent
}

// cycles starts the product as often as one drink needs it, each time once, and
// judges by the counter. before is -1 where there is none.
func (m *Machine) cycles(ctx context.Context, a driver.Appliance, p driver.Product, before int) cooked {
	s := seen{counted: before >= 0}
	pauses, began := BetweenCycles, time.Now()
	for n := 1; n <= p.Cycles; n++ {
		if n > 1 {
			pauses -= m.readyAgain(ctx, a, pauses) // if it is not ready, the start says why
			if ctx.Err() != nil {
				break // nothing begins after a stop
			}
			if s.err = m.inTime(began); s.err != nil {
				break
			}
		}
		// A stop counts up to the key itself.
		s.err = within(ctx, askWithin, func(ctx context.Context) error { return a.Start(ctx, driver.Product{Key: p.Key, Cycles: 1}) })
		if n == 1 && s.err != nil && !errors.Is(s.err, driver.ErrUncertain) {
			return notBegun(ctx, a, s.err)
		}
		busy, idle := m.watch(ctx, a)
		s.moved, s.idle = s.moved || busy, idle
		if s.counted {
			after, lost := counter(ctx, a)
			if lost != nil {
				return cooked{failed: true, out: journal.Unknown, reason: said("its counter can't be read any more: %v", lost)}
			}
			s.rose = after - before
		}
		if s.err != nil || !s.idle || ctx.Err() != nil || s.counted && s.rose < n {
			break
		}
	}
	return s.verdict(p.Cycles, whyNot(ctx, s.err))
}

// inTime says why no other cycle may begin: the drink would outlast its bound.
func (m *Machine) inTime(began time.Time) error {
	if took := time.Since(began); took > m.longest-slowDisk-m.plan.ProductTime {
		return fmt.Errorf("it took %v so far, and another cycle might last longer than anybody waits", took.Round(time.Second))
	}
	return nil
}

// notBegun is the end of a drink whose first start was surely not taken, so
// whatever is seen from now on is not ours. An appliance that is not ready any
// more has no fault.
func notBegun(ctx context.Context, a driver.Appliance, err error) cooked {
	not := err
	if !errors.Is(err, driver.ErrNotYet) && ctx.Err() == nil {
		not = ask(ctx, a.Ready)
	}
	return cooked{failed: not == nil, out: journal.Untouched, not: not, reason: whyNot(ctx, err)}
}

// verdict is what became of a drink of so many cycles, and why it is none. What
// nobody saw and no counter shows is unknown.
func (s seen) verdict(cycles int, why Reason) cooked {
	switch {
	case !s.idle:
		why.Quote = "it does not come to rest: " + why.Quote
		return cooked{failed: true, out: journal.Unknown, reason: why}
	case s.counted && s.rose >= cycles:
		return cooked{out: journal.Made}
	case s.counted && (s.rose > 0 || s.moved):
		why.Detail = fmt.Sprintf("%d/%d", s.rose, cycles) // what its counter rose by
		return cooked{failed: true, out: journal.Spoiled, reason: why}
	case s.counted && errors.Is(s.err, driver.ErrUncertain):
		return cooked{failed: true, out: journal.Unknown, reason: why}
	case !s.counted:
		why.Quote = "it has no counter to prove the drink: " + why.Quote
		return cooked{out: journal.Unknown, reason: why}
	}
	return cooked{failed: true, out: journal.Untouched, reason: why}
}

// said is the appliance's fault in the words of whoever saw it.
func said(format string, args ...any) Reason {
	return quoting(Appliance, fmt.Sprintf(format, args...))
}

// whyNot is why there is no drink: it was stopped, or the appliance failed.
func whyNot(ctx context.Context, err error) Reason {
	r := said("it did nothing")
	if ctx.Err() != nil {
		r = ReasonOf(context.Cause(ctx))
		if err != nil {
			r.Quote = strings.TrimPrefix(r.Quote+"; "+err.Error(), "; ")
		}
	} else if err != nil {
		r.Quote = err.Error()
	}
	return r
}

// readyAgain waits, between the cycles of one drink, until the appliance could
// make the next one, if that comes by itself, and tells how long that was.
func (m *Machine) readyAgain(ctx context.Context, a driver.Appliance, atMost time.Duration) time.Duration {
	began := time.Now()
	every := time.NewTicker(askEvery)
	defer every.Stop()
	for time.Since(began) < atMost {
		if err := within(ctx, min(askWithin, atMost-time.Since(began)), a.Ready); !errors.Is(err, driver.ErrNotYet) {
			return time.Since(began)
		}
		select {
		case <-ctx.Done():
			return time.Since(began)
		case <-every.C:
		}
	}
	return time.Since(began)
}

// watch waits until the appliance was busy and is idle again, or does nothing
// for a while. When ctx ends it asks the appliance to stop, and waits less long.
func (m *Machine) watch(ctx context.Context, a driver.Appliance) (seen, idle bool) {
	last := time.Now().Add(m.plan.ProductTime)
	begins := time.Now().Add(busyWithin)
	every := time.NewTicker(askEvery)
	defer every.Stop()
	stop := ctx.Done()
	for {
		var busy bool
		err := ask(ctx, func(ctx context.Context) (err error) { busy, err = a.Busy(ctx); return err })
		switch now := time.Now(); {
		case err == nil && busy:
			seen = true
		case err == nil && (seen || stop == nil || now.After(begins)):
			return seen, true
		}
		if time.Now().After(last) {
			return seen, false
		}
		select {
		case <-stop:
			stop = nil
			_ = ask(ctx, a.Stop) // best effort: busy and counter tell what came of it
			last = time.Now().Add(stopsWithin)
		case <-every.C:
		}
	}
}

// ask bounds one question. It is asked even when the drink is cancelled: the
// answer is needed to know what became of it.
func ask(ctx context.Context, f func(context.Context) error) error {
	return within(context.WithoutCancel(ctx), askWithin, f)
}

func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// counter reads the product counter; -1 with ErrNoCounter.
func counter(ctx context.Context, a driver.Appliance) (n int, err error) {
	err = ask(ctx, func(ctx context.Context) (err error) { n, err = a.Counter(ctx); return err })
	if err != nil {
		n = -1
	}
	return n, err
}

// Recover settles what an earlier run started and did not end, before anything
// is pulled from a queue: by the appliance's counter, which rose (made) or did
// not while the appliance is idle (untouched); unknown where there is no
// counter. It writes that down and returns all ends that are not in their claims
// yet. On an error some starts are not settled, and the machine begins nothing:
// try again.
func (m *Machine) Recover(ctx context.Context) ([]journal.Record, error) {
	m.mu.Lock()
	own := m.own
	m.mu.Unlock()
	var errs []error
	for _, rec := range m.j.Open() {
		if rec.Key == own {
			continue
		}
		out, reason, err := m.settle(ctx, rec)
		if err == nil {
			err = m.j.End(rec.Key, out, reason)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("settling %s: %w", rec.Key, err))
			continue
		}
		m.log.Warn("an earlier drink was cut off", "order", rec.Order, "epoch", rec.Epoch, "outcome", out, "reason", reason.Error())
	}
	if m.started.Load() {
		_ = m.call(ctx, func() {}) // shows it in the status at once
	}
	return m.j.Unconfirmed(), errors.Join(errs...)
}

// settle says what can be known of a start without end.
func (m *Machine) settle(ctx context.Context, rec journal.Record) (journal.Outcome, Reason, error) {
	uncounted := quoting(CutOff, "nothing counts what it poured")
	a := m.rig.Appliance()
	if a == nil || rec.Counter < 0 {
		return journal.Unknown, uncounted, nil
	}
	for {
		var busy bool
		if err := ask(ctx, func(ctx context.Context) (err error) { busy, err = a.Busy(ctx); return err }); err != nil {
			return "", Reason{}, err
		}
		if !busy {
			break
		}
		select {
		case <-ctx.Done():
			return "", Reason{}, fmt.Errorf("it is still busy: %w", context.Cause(ctx))
		case <-time.After(askEvery):
		}
	}
	now, err := counter(ctx, a)
	rose, whole := now-rec.Counter, max(rec.Cycles, 1)
	counted := why(CutOff, fmt.Sprintf("%d/%d", rose, whole))
	switch {
	case errors.Is(err, driver.ErrNoCounter):
		return journal.Unknown, uncounted, nil
	case err != nil:
		return "", Reason{}, err
	case rose >= whole:
		return journal.Made, counted, nil
	case rose > 0:
		return journal.Spoiled, counted, nil
	case rose < 0:
		return journal.Unknown, counted, nil
	}
	return journal.Untouched, counted, nil
}
