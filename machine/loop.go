package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"barista/driver"
	"barista/machine/journal"
)

const (
	// busyTick is how often the loop looks while something is made: the reaction
	// to a sensor takes at most this and the switching.
	busyTick = 20 * time.Millisecond
	// cupTick is how often it looks for a cup. Nobody swaps cups faster.
	cupTick = 200 * time.Millisecond
	// idleTick is how often it looks at rest.
	idleTick = time.Second
	// contactTick is the same where relays have contacts: a relay that closes by
	// itself is a fault within a second.
	contactTick = 500 * time.Millisecond
)

// Run is the owner loop. It returns when ctx has ended and every output is off;
// a drink in hand is cut: spoiled, or untouched if nothing was used. The error
// says what could not be switched off or recorded. It is called once in the life
// of a Machine, while the guard's Run goes on.
func (m *Machine) Run(ctx context.Context) error {
	if !m.started.CompareAndSwap(false, true) {
		return errors.New("the machine ran already")
	}
	defer close(m.ended)
	select {
	case <-m.rig.Started():
	case <-ctx.Done():
		return m.end()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	tripped := m.rig.Tripped()
	for {
		select {
		case <-ctx.Done():
			return m.end()
		case f := <-m.calls:
			f()
		case c := <-m.cooked:
			m.served(c)
		case not := <-m.answered:
			m.fit.took(not)
		case <-timer.C:
		case <-tripped:
			tripped = nil // one look is enough; Latched says the rest
		}
		next := m.turn()
		if _, latched := m.rig.Latched(); !latched {
			tripped = m.rig.Tripped()
		}
		timer.Reset(next)
	}
}

// turn looks once and does what is due. It tells when the next look is due.
func (m *Machine) turn() time.Duration {
	defer m.turned()
	if m.await.waits() && m.await.ctx.Err() != nil {
		m.await = await{} // whoever waited knows
	}
	r := m.read()
	now := time.Now()
	m.rig.Renew()
	m.trace.saw(now, r)
	if f := m.ver.look(now, m.rig.OnNow(), r, m.feel(), m.hand.makes(), m.sees() && !m.cupless(m.caring())); f != nil {
		m.fail(f)
	} else if l, latched := m.rig.Latched(); latched && m.hand.moves() {
		m.fail(ofGuard(l))
	}
	next := idleTick
	if len(m.contacts) > 0 {
		next = contactTick
	}
	if m.ver.doubts(now) {
		next = busyTick
	}
	m.cups(r)
	m.askReadiness(now)
	next = min(next, m.hand.turn(m))
	if m.await.waits() || m.sees() && m.usedCup() {
		next = min(next, m.scaled(cupTick, busyTick))
	}
	m.publish(r)
	return next
}

// turned counts a turn that has come to its end. A loop that hangs in the middle
// of one is not alive.
func (m *Machine) turned() {
	m.beat.Add(1)
	if m.alive != nil {
		m.alive()
	}
}

// fail is the one way that a fault takes: everything off, then who may mend it,
// then the end of what is in hand.
func (m *Machine) fail(f *failure) {
	_, latched := m.rig.Latched()
	switch {
	case latched && !m.hand.moves():
		return // said before; what is still on, the guard goes on trying to switch off
	case m.hand.makes() && !m.hand.moves():
		return // an appliance, on its way to rest
	}
	m.lock(f)
	m.abort(f.reason())
}

// lock keeps the next drink from beginning until the fault was mended. What is in
// hand it leaves alone, so whoever puts something down may call it.
func (m *Machine) lock(f *failure) {
	switch f.row().Mend {
	case Clear:
		m.rig.Trip(f.latch())
	case Restart:
		m.broken = f
	case Again:
		_ = m.rig.AllOff()
		if m.strikes++; m.strikes >= 3 {
			again := *f
			again.detail = strings.TrimPrefix(f.detail+", 3 ×", ", ") // in a row
			m.rig.Trip(again.latch())
		}
		m.hold, m.until = f, time.Now().Add(m.scaled(m.plan.StepBack, 0))
	}
	m.log.Warn("fault", "cause", f.cause, "detail", f.detail, "said", f.said)
}

// abort switches everything off and ends what is in hand.
func (m *Machine) abort(reason Reason) {
	if err := m.rig.AllOff(); err != nil {
		m.log.Error("not everything could be switched off", "err", err)
	}
	m.hand.abort(m, reason)
}

// end is Run's way out.
func (m *Machine) end() error {
	ends := why(ServiceEnds, "")
	m.fit.leave()
	m.abort(ends)
	if m.hand.makes() { // by an appliance, which takes its time
		m.served(<-m.cooked)
	}
	m.brewing.Wait()
	var errs []error
	if l, is := m.hand.(late); is {
		m.hand = idle{}
		errs = append(errs, m.record(l.key, journal.Untouched, ends))
	}
	m.await.end(errEnded)
	m.wear.keep()
	errs = append(errs, m.rig.AllOff())
	if on := m.rig.OnNow(); len(on) > 0 {
		errs = append(errs, fmt.Errorf("machine %s: still on: %v", m.plan.Name, on))
	}
	return errors.Join(errs...)
}

// record writes the end of what was put down. If that fails the machine is
// locked: it must not begin what it could not end on paper.
func (m *Machine) record(k journal.Key, out journal.Outcome, reason Reason) error {
	err := m.j.End(k, out, reason)
	if err != nil {
		m.lock(&failure{Record, "", err.Error()})
	}
	return err
}

// sees reports that this machine's cup is known by a sensor.
func (m *Machine) sees() bool { return m.plan.Cup == CupSensor || m.plan.Cup == CupDispenser }

// off switches everything off and makes sure.
func (m *Machine) off() error {
	err := m.rig.AllOff()
	if on := m.rig.OnNow(); err == nil && len(on) > 0 {
		err = fmt.Errorf("still on: %v", on)
	}
	return err
}

// usesUp lists the parts by which something of the order is used up. A heater that
// was on has used nothing.
func usesUp(p driver.Part) bool {
	return slices.Contains([]driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar, driver.Rinse}, p)
}
