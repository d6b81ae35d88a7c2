package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"barista/driver"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// drink is the one drink in hand. It belongs to the owner loop.
type drink struct {
	job       Job
	tl        recipe.Timeline         // nil for an appliance
	walk      *walk                   // nil for an appliance
	cancel    context.CancelCauseFunc // of an appliance; else nil
	cancelled bool
	began     time.Time
	started   bool // the journal has it
	moved     bool // a relay closed
	used      bool // something of the order was used up
	said      Progress
	percent   int
	reply     chan Report
}

func (d *drink) note() string {
	if d.said.Step == "" {
		return d.job.Order
	}
	return d.job.Order + ": " + d.said.Step
}

// Able says whether this drink could be begun now; the error is a *NotAble. It
// looks at everything but the cup. Nothing moves.
func (m *Machine) Able(d recipe.Drink) error {
	err := error(&NotAble{Reason: errEnded.Error()})
	if e := m.callNow(func() { _, err = m.able(d, m.read()) }); e != nil {
		return &NotAble{Reason: e.Error()}
	}
	return err
}

// able lays the drink out and looks whether it can be begun. The error is a
// *NotAble or nil.
func (m *Machine) able(d recipe.Drink, r readings) (recipe.Timeline, error) {
	not := func(person bool, format string, args ...any) (recipe.Timeline, error) {
		return nil, &NotAble{fmt.Sprintf(format, args...), person}
	}
	if m.rig.Appliance() != nil {
		if _, err := m.product(d); err != nil {
			return not(true, "%v", err)
		}
	}
	if why := m.trouble(); why != "" {
		return not(true, "%s", why)
	}
	if m.unsettled() {
		return not(false, "an earlier drink is not settled yet")
	}
	if m.drink != nil {
		return not(false, "busy with %s", m.drink.job.Order)
	}
	if m.trial != nil {
		return not(false, "a person tries the %s", m.trial.Part)
	}
	if rows, why := m.lacks(r); len(rows) > 0 {
		return not(true, "%s", why)
	}
	if f := m.holding(time.Now()); f != nil {
		return not(false, "stepping back after a fault: %s", f.reason())
	}
	if m.rig.Appliance() != nil {
		if why := m.fit.why(); why != "" {
			return not(!m.fit.passes(), "%s", why)
		}
		return nil, nil
	}
	if d.TempC == 0 {
		d.TempC = m.cfg.Book[d.Size].TempC
	}
	tl, err := recipe.Compile(d, m.cfg.Calibration, m.limits)
	if err != nil {
		return not(true, "%v", err)
	}
	if long := tl.Longest() + maxPostponed + slowDisk; long > m.longest {
		return not(true, "this drink can take %v, and the machine's book promises at most %v: put its size into the book", long.Round(time.Second), m.longest.Round(time.Second))
	}
	first := map[driver.Part]bool{}
	for _, e := range tl {
		switch {
		case e.Kind == recipe.Wait && !m.holds(&walk{}, *e.Until):
			return not(false, "warming up")
		case e.Kind == recipe.On && !first[e.Part]:
			first[e.Part] = true
			if left := m.rig.RestLeftFor(e.Part, e.AtMost) - e.At; left > 0 {
				return not(false, "the %s rests for another %v", e.Part, left.Round(100*time.Millisecond))
			}
		}
	}
	return tl, nil
}

// Make makes one drink and tells what became of it: start in the journal, first
// relay before the deadline, everything off, end in the journal. ctx bounds the
// handing over only; it does not cut a drink, Stop does.
//
// An attempt that the journal knows is never begun again: one that has ended is
// reported as it ended, one that was started by an earlier run is unknown. A
// start that came back Late goes on with the next Make of the same key. An
// untouched report whose reason is a want (no cup, no beans) has left no trace
// in the journal.
func (m *Machine) Make(ctx context.Context, j Job) Report {
	d := &drink{job: j, began: time.Now(), reply: make(chan Report, 1)}
	if err := m.call(ctx, func() { m.begin(d) }); err != nil {
		return Report{Outcome: journal.Untouched, Reason: err.Error()}
	}
	select {
	case r := <-d.reply:
		return r
	case <-m.ended:
		return <-d.reply // the loop ends its drink before it ends
	}
}

// begin is Make inside the owner loop.
func (m *Machine) begin(d *drink) {
	k := d.job.key()
	say := func(out Outcome, reason string) { d.reply <- Report{Outcome: out, Reason: reason} }
	mine := m.late != nil && *m.late == k
	switch s := m.j.State(k); {
	case s.Phase == journal.Ended || s.Phase == journal.Confirmed:
		say(s.Outcome, s.Reason)
		return
	case s.Phase == journal.Started && !mine:
		say(journal.Unknown, "it was started before, and nobody knows how that ended")
		return
	case m.late != nil && !mine:
		say(journal.Untouched, fmt.Sprintf("%s is started and waits for its fence: go on with it or abandon it first", *m.late))
		return
	case m.pulse != nil:
		say(journal.Untouched, "a cup is just coming")
		return
	}
	d.started = mine
	r := m.read()
	tl, err := m.able(d.job.Drink, r)
	if err == nil && !m.gate(d.job.Order, r) {
		err = errors.New(m.cupNote(r))
	}
	if err != nil {
		if mine {
			m.late = nil
			if e := m.record(k, journal.Untouched, err.Error()); e != nil {
				err = fmt.Errorf("%w (not recorded: %w)", err, e)
			}
		}
		say(journal.Untouched, err.Error())
		return
	}
	d.tl = tl
	if m.rig.Appliance() != nil {
		m.late = nil
		m.order(d)
		return
	}
	if !mine {
		if err := m.start(k, journal.Note{Counter: -1, What: what(d.job.Drink)}); err != nil {
			m.fail(&failure{Record, err.Error()})
			say(journal.Untouched, (&failure{Record, err.Error()}).reason())
			return
		}
		d.started = true
	}
	m.late = nil
	d.walk = &walk{tl: tl, start: time.Now()}
	m.drink = d
}

// start writes the journal's start and notes that it is ours.
func (m *Machine) start(k journal.Key, note journal.Note) error {
	m.mu.Lock()
	m.own = k
	m.mu.Unlock()
	return m.j.Start(k, note)
}

// what is a drink in words, for whoever reads the journal after a crash.
func what(d recipe.Drink) string {
	return fmt.Sprintf("%s: %v g, %v ml, %v ml milk, %d sugar", d.Size, d.Grams, d.WaterML, d.MilkML, d.Sugar)
}

// pour does what is due of the drink in hand.
func (m *Machine) pour() time.Duration {
	d := m.drink
	next, done, f := m.advance(d.walk, m.mayBegin)
	switch {
	case f != nil:
		m.fail(f)
		return 0
	case m.drink == nil: // past its deadline
		return 0
	case done:
		m.complete(d)
		return 0
	}
	m.progress(d)
	return next
}

// mayBegin is the deadline check, the last thing before the first relay.
func (m *Machine) mayBegin(driver.Part) bool {
	d := m.drink
	if d == nil || d.moved || d.job.Deadline.IsZero() || time.Now().Before(d.job.Deadline) {
		return true // a dispenser's cup, or under way, or in time
	}
	k := d.job.key()
	m.late, m.drink = &k, nil
	d.reply <- Report{Outcome: journal.Untouched, Late: true, Took: time.Since(d.began),
		Reason: "the start took longer than the fence lasts; nothing moved"}
	return false
}

// moved notes that a part went on, or may have.
func (m *Machine) moved(p driver.Part) {
	if m.trial != nil && m.trial.began.IsZero() {
		m.trial.began = time.Now()
	}
	if m.drink != nil {
		m.drink.moved = true
		m.drink.used = m.drink.used || usesUp(p)
	}
}

// progress tells how far the drink is, when that has changed.
func (m *Machine) progress(d *drink) {
	w := d.walk
	p := Progress{N: w.step, Of: len(d.tl.Steps())}
	n := 0
	for _, e := range d.tl {
		if e.Kind == recipe.Step {
			if n++; n == w.step {
				p.Step = e.Step
				break
			}
		}
	}
	if long := d.tl.Length(); long > 0 && w.i > 0 && w.i < len(d.tl) {
		at := time.Since(w.start) - w.slip
		at = min(max(at, d.tl[w.i-1].At), d.tl[w.i].At)
		p.Percent = int(min(99, 100*at/long))
	}
	m.tell(d, p)
}

func (m *Machine) tell(d *drink, p Progress) {
	if p == d.said {
		return
	}
	d.said, d.percent = p, p.Percent
	if d.job.Progress != nil {
		d.job.Progress(p)
	}
}

// complete is the end of a drink whose every event has fired: everything must be
// off, and the verifier gets a last look.
func (m *Machine) complete(d *drink) {
	if err := m.off(); err != nil {
		m.fail(ofOff(err))
		return
	}
	if f := m.ver.look(time.Now(), m.rig.OnNow(), m.read(), m.feel(), true, m.sees()); f != nil {
		m.fail(f)
		return
	}
	steps := d.tl.Steps()
	m.tell(d, Progress{Step: steps[len(steps)-1], N: len(steps), Of: len(steps), Percent: 100})
	m.finish(journal.Made, "")
}

// finish is the end of the drink in hand: everything is off, the end goes to
// disk, then the report goes out. It tells the truth even if the disk doesn't
// take it.
func (m *Machine) finish(out Outcome, reason string) {
	d := m.drink
	m.drink, m.pressed = nil, ""
	if out == journal.Made {
		m.strikes = 0
	}
	if d.started {
		if err := m.record(d.job.key(), out, reason); err != nil {
			reason = fmt.Sprintf("%s (not recorded: %v)", reason, err)
		}
	}
	m.log.Info("drink", "order", d.job.Order, "epoch", d.job.Epoch, "outcome", out, "reason", reason)
	d.reply <- Report{Outcome: out, Reason: reason, Took: time.Since(d.began)}
}

// Abandon ends a start that came back Late: the journal says untouched.
func (m *Machine) Abandon(order string, epoch int, reason string) error {
	k := journal.Key{Order: order, Epoch: epoch}
	var err error
	if e := m.callNow(func() {
		switch {
		case m.late != nil && *m.late == k:
			m.late = nil
			err = m.record(k, journal.Untouched, reason)
		case m.j.State(k).Outcome != journal.Untouched:
			err = fmt.Errorf("can't abandon %s: it is not a start that came too late", k)
		}
	}); e != nil {
		return e
	}
	return err
}
