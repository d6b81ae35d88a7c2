package machine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"barista/driver"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// drink is what every drink in hand is, whoever makes it.
type drink struct {
	job     Job
	began   time.Time
	started bool // the journal has it
	said    Progress
	reply   chan Report
}

func (d *drink) makes() bool  { return true }
func (d *drink) busy() Reason { return why(Busy, d.job.Order) }

func (d *drink) status() Status {
	return Status{State: StateBusy, Reason: why(Making, d.said.Step), Order: d.job.Order, Percent: d.said.Percent}
}

// pour is the task of a drink whose parts we switch ourselves, by its timeline.
type pour struct {
	*drink
	walk   *walk
	stages []recipe.Stage
}

func (*pour) moves() bool { return true }

func (d *pour) turn(m *Machine) time.Duration {
	next, done, f := m.advance(d.walk)
	switch {
	case f != nil:
		m.fail(f)
	case d.walk.late:
		m.tooLate(d.drink)
	case done:
		m.complete(d)
	default:
		m.progress(d)
		return next
	}
	return 0
}

func (d *pour) abort(m *Machine, reason Reason) {
	out := journal.Untouched
	if d.walk.used {
		out = journal.Spoiled
	}
	m.finish(d.drink, out, reason)
}

// mostLaid bounds the timelines that are kept: more than a menu has drinks.
const mostLaid = 64

// Able says whether this drink could be begun now; the error is a *NotAble. It
// looks at everything but the cup. Nothing moves.
func (m *Machine) Able(d recipe.Drink) error {
	return m.askNow(func() error {
		_, err := m.able(d, m.read())
		return err
	})
}

// able lays the drink out and looks whether it can be begun. The error is a
// *NotAble or nil.
func (m *Machine) able(d recipe.Drink, r readings) (recipe.Timeline, error) {
	not := func(person bool, r Reason) (recipe.Timeline, error) { return nil, &NotAble{r, person} }
	if m.rig.Appliance() != nil {
		if err := m.Fits(d); err != nil {
			return not(true, ReasonOf(err))
		}
	}
	if f := m.trouble(); f != nil {
		return not(true, f.reason())
	}
	if m.unsettled() {
		return not(false, why(Unsettled, ""))
	}
	if busy := m.hand.busy(); busy != (Reason{}) {
		return not(false, busy)
	}
	if rows, r := m.lacks(r); len(rows) > 0 {
		return not(true, r)
	}
	if f := m.holding(time.Now()); f != nil {
		return not(false, f.reason())
	}
	if m.rig.Appliance() != nil {
		if !m.fit.ready() {
			return not(!m.fit.passes(), m.fit.reason())
		}
		return nil, nil
	}
	tl, err := m.layOut(d)
	if err != nil {
		return not(true, ReasonOf(err))
	}
	first := map[driver.Part]bool{}
	for _, e := range tl {
		switch {
		case e.Kind == recipe.Wait && !m.holds(&walk{}, *e.Until):
			return not(false, why(Warming, ""))
		case e.Kind == recipe.On && !first[e.Part]:
			first[e.Part] = true
			if left := m.rig.RestLeftFor(e.Part, e.AtMost) - e.At; left > 0 {
				return not(false, why(Resting, fmt.Sprintf("%s, %v", e.Part, left.Round(100*time.Millisecond))))
			}
		}
	}
	return tl, nil
}

// layOut compiles a drink once. Calibration and limits stand as long as the
// machine, so the timeline by which an order was taken is the one that is poured.
func (m *Machine) layOut(d recipe.Drink) (recipe.Timeline, error) {
	if tl, known := m.laid[d]; known {
		return tl, nil
	}
	tl, err := m.lay(d)
	if err != nil {
		return nil, err
	}
	if len(m.laid) >= mostLaid {
		clear(m.laid)
	}
	m.laid[d] = tl
	return tl, nil
}

// lay compiles a drink, or says why it can never be made here.
func (m *Machine) lay(d recipe.Drink) (recipe.Timeline, error) {
	tl, err := m.plan.Timeline(d)
	if err != nil {
		return nil, quoting(NoRecipe, err.Error())
	}
	if long := tl.Longest() + maxPostponed + slowDisk; long > m.longest {
		return nil, why(TooLong, fmt.Sprintf("%v > %v", long.Round(time.Second), m.longest.Round(time.Second)))
	}
	return tl, nil
}

// Fits says why a drink can never be made here, whatever is filled, rests or is
// mended; nil if it can. It asks the plan alone.
func (m *Machine) Fits(d recipe.Drink) error {
	if m.plan.Appliance() {
		_, err := m.plan.Product(d)
		return err
	}
	_, err := m.lay(d)
	return err
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
		return Report{Outcome: journal.Untouched, Reason: ReasonOf(err)}
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
	say := func(out journal.Outcome, reason Reason) { d.reply <- Report{Outcome: out, Reason: reason} }
	waiting, isLate := m.hand.(late)
	_, dropping := m.hand.(*pulse)
	mine := isLate && waiting.key == k
	switch s := m.j.State(k); {
	case s.Phase == journal.Ended || s.Phase == journal.Confirmed:
		say(s.Outcome, s.Reason)
		return
	case s.Phase == journal.Started && !mine:
		say(journal.Unknown, why(BegunBefore, ""))
		return
	case isLate && !mine:
		say(journal.Untouched, why(OtherStart, waiting.key.String()))
		return
	case dropping:
		say(journal.Untouched, why(CupComing, ""))
		return
	}
	d.started = mine
	r := m.read()
	tl, err := m.able(d.job.Drink, r)
	care := Care(d.job.Drink.Care)
	if err == nil && !m.gate(d.job.Order, care, r) {
		err = m.cupNote(care, r)
	}
	if err != nil {
		reason := ReasonOf(err)
		if mine {
			m.hand = idle{}
			reason = m.recorded(k, journal.Untouched, reason)
		}
		say(journal.Untouched, reason)
		return
	}
	switch own := m.rig.Appliance() != nil; {
	case own && care == "":
		m.order(d)
		return
	case own:
		tl = byHand(d.job.Drink)
	}
	if !mine {
		if f := m.start(k, journal.Note{Counter: -1, What: what(d.job.Drink)}); f != nil {
			m.fail(f)
			say(journal.Untouched, f.reason())
			return
		}
		d.started = true
	}
	m.follow(d)
	m.heat.on, m.heat.extra = time.Time{}, 0 // what a drink before this one, or a trial, has left
	m.hand = &pour{d, &walk{tl: tl, start: time.Now(), deadline: d.job.Deadline}, tl.Stages()}
}

// start writes the journal's start and notes that it is ours. The guard's memory is
// told, so that a journal without it is not believed later.
func (m *Machine) start(k journal.Key, note journal.Note) *failure {
	m.mu.Lock()
	m.own = k
	m.mu.Unlock()
	if err := m.j.Start(k, note); err != nil {
		return &failure{Record, "", err.Error()}
	}
	if err := m.rig.Note(); err != nil {
		f := &failure{DiskFull, "", err.Error()} // the guard tries it again
		if err := m.j.End(k, journal.Untouched, f.reason()); err != nil {
			return &failure{Record, "", err.Error()}
		}
		return f
	}
	return nil
}

// what is a drink in words, for whoever reads the journal after a crash.
func what(d recipe.Drink) string {
	if d.Care != "" {
		return d.Care
	}
	return fmt.Sprintf("%s: %v g, %v ml, %v ml milk, %d sugar", d.Size, d.Grams, d.WaterML, d.MilkML, d.Sugar)
}

// tooLate gives back a drink whose start is in the journal, and whose deadline has
// passed before anything moved.
func (m *Machine) tooLate(d *drink) {
	m.hand, m.trace = late{key: d.job.key()}, nil
	d.reply <- Report{Outcome: journal.Untouched, Late: true, Took: time.Since(d.began),
		Reason: why(LateStart, "")}
}

// progress tells how far the drink is, when that has changed.
func (m *Machine) progress(d *pour) {
	w := d.walk
	p := Progress{N: w.step, Stages: d.stages}
	if w.step > 0 {
		p.Step = d.stages[w.step-1].Step
	}
	if long := w.tl.Length(); long > 0 && w.i > 0 && w.i < len(w.tl) {
		at := time.Since(w.start) - w.slip
		at = min(max(at, w.tl[w.i-1].At), w.tl[w.i].At)
		p.Percent = int(min(99, 100*at/long))
	}
	d.tell(p)
}

func (d *drink) tell(p Progress) {
	if p.N == d.said.N && p.Percent == d.said.Percent { // the stages are always the same
		return
	}
	d.said = p
	if d.job.Progress != nil {
		d.job.Progress(p)
	}
}

// complete is the end of a drink whose every event has fired: everything must be
// off, and the verifier gets a last look.
func (m *Machine) complete(d *pour) {
	if err := m.off(); err != nil {
		m.fail(ofOff(err))
		return
	}
	now, r := time.Now(), m.read()
	m.trace.keep(now, r)
	if f := m.ver.look(now, m.rig.OnNow(), r, m.feel(), true, m.sees() && !m.cupless(m.caring())); f != nil {
		m.fail(f)
		return
	}
	n := len(d.stages)
	d.tell(Progress{Step: d.stages[n-1].Step, N: n, Stages: d.stages, Percent: 100})
	m.finish(d.drink, journal.Made, Reason{})
}

// finish is the end of the drink in hand: everything is off, the end goes into
// the journal, then the report goes out. The report tells the truth even if the
// journal could not take the end.
func (m *Machine) finish(d *drink, out journal.Outcome, reason Reason) {
	m.hand, m.pressed = idle{}, ""
	m.traced(out)
	if out == journal.Made {
		m.strikes = 0
		m.wear.made(Care(d.job.Drink.Care))
	}
	if d.started {
		reason = m.recorded(d.job.key(), out, reason)
	}
	m.log.Info("drink", "order", d.job.Order, "epoch", d.job.Epoch, "outcome", out, "reason", reason.Error())
	d.reply <- Report{Outcome: out, Reason: reason, Took: time.Since(d.began), Extra: m.heat.extra}
	m.heat.extra = 0
}

// recorded writes an end and adds to its reason when the journal did not take it.
func (m *Machine) recorded(k journal.Key, out journal.Outcome, reason Reason) Reason {
	if err := m.record(k, out, reason); err != nil {
		reason.Quote = strings.TrimPrefix(reason.Quote+"; not recorded: "+err.Error(), "; ")
	}
	return reason
}

// Abandon ends a start that came back Late: the journal says untouched.
func (m *Machine) Abandon(order string, epoch int, reason Reason) error {
	k := journal.Key{Order: order, Epoch: epoch}
	return m.callNow(func() error {
		switch {
		case m.isLate(k):
			m.hand = idle{}
			return m.record(k, journal.Untouched, reason)
		case m.j.State(k).Outcome != journal.Untouched:
			return fmt.Errorf("can't abandon %s: it is not a start that came too late", k)
		}
		return nil
	})
}
