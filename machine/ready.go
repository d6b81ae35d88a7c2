package machine

import (
	"context"
	"errors"
	"time"

	"barista/driver"
)

// An appliance knows best whether it could make something, so it is asked at
// rest, again and again: what it lacks is seen before an order is taken, and no
// order's attempt is spent on a machine that is switched off.
const (
	askReady = 5 * time.Second // from one question at rest to the next
	askSoon  = time.Second     // while it is not ready
)

// readiness is the owner loop's own: what the appliance said last.
type readiness struct {
	known  bool
	not    error // why it can't; nil is ready
	at     time.Time
	asking context.CancelFunc // a question under way; nil is none
	stale  bool               // its answer is not wanted any more

	watches []driver.Signal // what its answers tell of
	gauges  Gauges          // what they told
}

// forget makes the next look ask anew: something was made, or is about to be.
func (r *readiness) forget() {
	r.known = false
	r.leave()
}

// leave gives up a question under way: the port is needed for something else.
func (r *readiness) leave() {
	if r.asking != nil {
		r.asking()
		r.stale = true
	}
}

// took is the answer.
func (r *readiness) took(not error) {
	r.asking()
	r.asking = nil
	if !r.stale {
		r.is(not)
	}
	r.stale = false
}

func (r *readiness) is(not error) {
	r.known, r.not, r.at, r.gauges = true, not, time.Now(), r.gauges.told(r.watches, not)
}

// due reports that it is time for a question.
func (r *readiness) due(now time.Time) bool {
	every := askReady
	if r.not != nil {
		every = askSoon
	}
	return r.asking == nil && (!r.known || now.Sub(r.at) >= every)
}

// passes reports that whatever is in the way passes without anybody's help.
func (r *readiness) passes() bool { return !r.known || errors.Is(r.not, driver.ErrNotYet) }

func (r *readiness) ready() bool { return r.known && r.not == nil }

// reason is what is in the way of a drink, when it is not ready.
func (r *readiness) reason() Reason {
	if !r.known {
		return why(Asking, "")
	}
	return quoting(NotReady, r.not.Error())
}

// askReadiness asks an appliance at rest. Its answer may take seconds, so a
// goroutine waits for it, and the loop takes it from m.answered.
func (m *Machine) askReadiness(now time.Time) {
	a := m.rig.Appliance()
	if a == nil || !m.free() || !m.fit.due(now) || m.unsettled() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	m.fit.asking = cancel
	m.brewing.Go(func() { m.answered <- a.Ready(ctx) })
}
