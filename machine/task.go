package machine

import (
	"time"

	"barista/machine/journal"
)

// task is the one thing that the machine has in hand: a drink (pour or request),
// a start that came too late, the pulse of a cup dispenser, a trial of one part,
// or idle. It belongs to the owner loop, which turns it until it has put itself
// down.
type task interface {
	// turn does what is due, and tells how long there is nothing to do.
	turn(m *Machine) time.Duration
	// abort ends it before its time; everything is off by then. A request leaves
	// the hand later, when its appliance is at rest; a late start stays.
	abort(m *Machine, reason Reason)
	// makes reports that this is a drink.
	makes() bool
	// moves reports that something may be on because of it, so a fault ends it.
	moves() bool
	// busy says why no drink can begin meanwhile; its zero value if the task does
	// not know.
	busy() Reason
	// status is what the machine says of itself meanwhile; its zero value is the
	// same as with nothing in hand.
	status() Status
}

// idle is a hand with nothing in it.
type idle struct{}

func (idle) turn(*Machine) time.Duration { return idleTick }
func (idle) abort(*Machine, Reason)      {}
func (idle) makes() bool                 { return false }
func (idle) moves() bool                 { return false }
func (idle) busy() Reason                { return Reason{} }
func (idle) status() Status              { return Status{} }

// late is a start that the journal has and that came after its deadline: nothing
// moved. Only who asked for the drink ends it, by Make with the same key or by
// Abandon: no fault does, as nothing is on.
type late struct {
	idle
	key journal.Key
}

// free reports that nothing is in hand.
func (m *Machine) free() bool { return m.hand == task(idle{}) }

// isLate reports that this very start is in hand, and came too late.
func (m *Machine) isLate(k journal.Key) bool { return m.hand == task(late{key: k}) }
