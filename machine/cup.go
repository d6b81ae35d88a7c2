package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"barista/driver"
	"barista/machine/recipe"
)

// await is who waits for a cup; its zero value is nobody.
type await struct {
	ctx    context.Context
	order  string
	care   Care // what for; "": for a drink
	pulsed bool
	done   chan error
}

func (w *await) waits() bool { return w.done != nil }

// end lets go whoever waits.
func (w *await) end(err error) {
	if w.waits() {
		w.done <- err
	}
	*w = await{}
}

// pulse is the task of a dispenser that drops one cup.
type pulse struct {
	idle
	walk *walk
}

func (*pulse) moves() bool { return true }

func (p *pulse) turn(m *Machine) time.Duration {
	next, done, f := m.advance(p.walk)
	switch {
	case f != nil:
		m.fail(f)
	case done:
		m.hand = idle{}
	default:
		return next
	}
	return 0
}

func (p *pulse) abort(m *Machine, _ Reason) { m.hand = idle{} }

// AwaitCup waits until a cup is confirmed for this order, or until ctx ends: two
// minutes in a shop. One at a time. With a dispenser it drops one cup. A *NotAble
// says that the machine can't go on waiting.
func (m *Machine) AwaitCup(ctx context.Context, order string) error {
	return m.awaitGate(ctx, order, "")
}

func (m *Machine) awaitGate(ctx context.Context, order string, care Care) error {
	w := await{ctx: ctx, order: order, care: care, done: make(chan error, 1)}
	busy := false
	if err := m.call(ctx, func() {
		if busy = m.await.waits(); !busy {
			m.await = w
		}
		if m.pressed != order {
			m.pressed = ""
		}
	}); err != nil {
		return fmt.Errorf("%w for %s: %w", why(NoCup, ""), order, err)
	}
	if busy {
		return errors.New("somebody else waits for a cup here")
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		// The loop must have forgotten it before the next one comes.
		_ = m.call(context.Background(), func() {
			if m.await.done == w.done {
				m.await = await{}
			}
		})
		select {
		case err := <-w.done: // it came at the last moment
			return err
		default:
		}
		return fmt.Errorf("%w for %s: %w", why(NoCup, ""), order, context.Cause(ctx))
	}
}

// CupThere is a customer's word, for exactly this order, that the cup stands
// under the machine (cup: page), or a person's that he has done his part of a care. It
// counts for one attempt.
func (m *Machine) CupThere(order string) error {
	return m.callNow(func() error {
		switch {
		case m.plan.Cup != CupPage && !m.await.care.byWord():
			return fmt.Errorf("this machine knows its cups by %q, not by a button", m.plan.Cup)
		case !m.await.waits() || m.await.order != order:
			return fmt.Errorf("%s is not waiting for a cup here", order)
		}
		m.pressed = order
		return nil
	})
}

// gate reports whether a cup is confirmed for the order, or that its care may begin.
func (m *Machine) gate(order string, care Care, r readings) bool {
	switch {
	case care.byWord():
		return m.pressed == order
	case m.plan.ByItself(care): // what stands there may be a hand
		x, seen := r[driver.Cup]
		return !seen || x.good() && !x.Yes()
	}
	switch m.plan.Cup {
	case CupSensor, CupDispenser:
		x := r[driver.Cup]
		return x.good() && x.Yes() && !m.usedCup()
	case CupPage:
		return m.pressed == order
	}
	return m.plan.Cup == CupAttended
}

// usedCup reports that the cup of an earlier drink was not seen taken. A start
// that came too late has put nothing into its cup.
func (m *Machine) usedCup() bool {
	k, used := m.j.CupStands()
	return used && !m.isLate(k)
}

// cupNote says what the machine wants of a person.
func (m *Machine) cupNote(care Care, r readings) Reason {
	switch {
	case care.byWord():
		return why(CareAsked, string(care))
	case m.plan.ByItself(care):
		return why(PlaceTaken, "")
	case m.plan.Cup == CupPage:
		return why(CupAsked, "")
	case m.usedCup() && !r.no(driver.Cup):
		return why(CupStands, "")
	case m.plan.Cup == CupDispenser && m.await.pulsed:
		return why(CupNotGiven, "")
	}
	return why(NoCup, "")
}

// cups follows the cups with every look. A cup under which a drink was begun
// counts as used until the place was seen empty; that is in the journal, so a
// restart does not take it for a fresh one. Nor does a start after a power cut,
// which may have taken the journal's last records.
func (m *Machine) cups(r readings) {
	if m.usedCup() && m.sees() && !m.hand.makes() && r.no(driver.Cup) {
		if err := m.j.CupTaken(); err != nil {
			m.fail(&failure{Record, "", err.Error()})
		}
	}
	if !m.await.waits() {
		return
	}
	f := m.trouble()
	if held := m.holding(time.Now()); held != nil {
		f = held
	}
	_, dropping := m.hand.(*pulse)
	switch {
	case f != nil:
		m.await.end(&NotAble{f.reason(), true})
	case !dropping && m.gate(m.await.order, m.await.care, r):
		m.await.end(nil)
	case m.plan.Cup == CupDispenser && m.await.care == "" && !m.await.pulsed && m.free() && r.no(driver.Cup) && !r.no(driver.Door):
		m.await.pulsed = true
		on := m.scaled(m.plan.CupPulse, time.Millisecond)
		m.hand = &pulse{walk: &walk{start: time.Now(), tl: recipe.Timeline{
			{Kind: recipe.On, Part: driver.Cups, AtMost: min(on+200*time.Millisecond, m.MaxOn(driver.Cups))},
			{Kind: recipe.Off, Part: driver.Cups, At: on},
		}}}
	}
}
