package fleet

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// EventKind says what happened to an order.
type EventKind string

// The kinds. A phase of the claim has the event of its name; the others are
// what a customer or an operator wants to see on the way.
const (
	EvAccepted  EventKind = "accepted"  // once
	EvRefused   EventKind = "refused"   // once; also poison
	EvClaimed   EventKind = "claimed"   // per epoch: a machine looks at it
	EvReleased  EventKind = "released"  // per epoch: it could not, nothing moved
	EvCup       EventKind = "cup"       // per epoch: waits for a cup at the machine
	EvBrewing   EventKind = "brewing"   // per epoch: the fence was taken
	EvStep      EventKind = "step"      // per epoch and number
	EvEnd       EventKind = "end"       // per epoch: what the machine's journal says
	EvUnknown   EventKind = "unknown"   // per epoch
	EvAgain     EventKind = "again"     // per epoch: a person wants it made again
	EvServed    EventKind = "served"    // once, an end
	EvFailed    EventKind = "failed"    // once, an end
	EvCancelled EventKind = "cancelled" // once, an end
	EvExpired   EventKind = "expired"   // once, an end
	EvPercent   EventKind = "percent"   // live only, never stored
)

// Event is one change of state. The stream of events is what web, history,
// metrics and `why` fold; none of them asks a machine.
type Event struct {
	Order   string    `json:"order"`
	Kind    EventKind `json:"kind"`
	At      time.Time `json:"at"`              // the sender's wall clock, for display only
	Epoch   int       `json:"epoch,omitempty"` //
	N       int       `json:"n,omitempty"`     // number of the step in its epoch, from 1
	Of      int       `json:"of,omitempty"`    // number of steps
	Machine string    `json:"machine,omitempty"`
	Step    string    `json:"step,omitempty"`    // "grind", "heat", "pour", "milk", "sugar", "rest"
	Percent int       `json:"percent,omitempty"` // 0–100 of the whole drink
	Outcome Outcome   `json:"outcome,omitempty"`
	Reason
	By      string  `json:"by,omitempty"`
	Name    string  `json:"name,omitempty"` // with accepted: who is called
	What    *Order  `json:"what,omitempty"` // with accepted
	ETA     []int   `json:"eta_seconds,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // with end: how long the machine was busy
	Portion Items   `json:"doses,omitempty"`   // with accepted
	Payload []byte  `json:"payload,omitempty"` // with poison: at most 4 KiB of what came
	Subject string  `json:"subject,omitempty"` // with poison: where it came from
}

// Slot is the last token of the event's subject. Kinds that can come more than
// once carry epoch and number, so that a second publish of the same event is
// "already there" and not a second event.
func (e Event) Slot() string {
	switch e.Kind {
	case EvStep:
		return fmt.Sprintf("%s-%d-%d", e.Kind, e.Epoch, e.N)
	case EvClaimed, EvReleased, EvCup, EvBrewing, EvEnd, EvUnknown, EvAgain:
		return fmt.Sprintf("%s-%d", e.Kind, e.Epoch)
	}
	return string(e.Kind)
}

// EndEvent is the event that a claim's end, or its parking, demands; false for
// a claim that is neither.
func (c Claim) EndEvent() (Event, bool) {
	e := Event{Order: c.Order.ID, Epoch: c.Epoch, Machine: c.Machine(), Outcome: c.Outcome, Reason: c.Reason, By: c.By}
	switch c.Phase {
	case Served, Failed, Cancelled, Expired, Refused, Unknown:
		e.Kind = EventKind(c.Phase)
		return e, true
	}
	return e, false
}

// PoisonID stands for the order in the event of a message that can't be one.
func PoisonID(stream string, seq uint64) string {
	return "poison-" + stream + "-" + strconv.FormatUint(seq, 10)
}

// StoredEvent is an event as the stream holds it.
type StoredEvent struct {
	Event
	Seq    uint64    // 0 for live-only ones
	Stored time.Time // the broker's clock
}

// Events is the stream of events.
type Events interface {
	// Publish stores an event once: a second one in the same slot is dropped
	// without error.
	Publish(ctx context.Context, e Event) error
	// Live sends an event to live pages without storing it. It may get lost.
	Live(e Event)
	// Of returns the stored events of one order, oldest first.
	Of(ctx context.Context, order string) ([]StoredEvent, error)
	// Follow hands over the stored events from the sequence on, oldest first,
	// then each new one, until ctx ends. ready is called once, when what was
	// there is over.
	Follow(ctx context.Context, from uint64, each func(StoredEvent), ready func()) error
	// FollowLive hands over what passes from now on, stored or not, until ctx
	// ends. It may skip events; Follow doesn't.
	FollowLive(ctx context.Context, each func(StoredEvent)) error
}
