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

// Event is one change of state, for programs outside of the shop. Inside, the book
// is folded; only steps, a percent and a cup that is waited for are heard here.
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
	Stages  []Stage   `json:"stages,omitempty"`  // with step: all of the drink's, those to come too
	Outcome Outcome   `json:"outcome,omitempty"`
	Reason
	By      string  `json:"by,omitempty"`
	Name    string  `json:"name,omitempty"` // with accepted: who is called
	What    *Order  `json:"what,omitempty"` // with accepted
	ETA     []int   `json:"eta_seconds,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // with end: how long the machine was busy
	// ETAError is, with served, by how many seconds the cup left the range of eta_seconds,
	// see Missed; nil: none was told, or nobody knows when the order was accepted.
	ETAError *float64 `json:"eta_error,omitempty"`
	Portion  Items    `json:"doses,omitempty"`   // with accepted
	Payload  []byte   `json:"payload,omitempty"` // with poison: at most 4 KiB of what came
	Subject  string   `json:"subject,omitempty"` // with poison: where it came from
}

// Stage is a step of a drink, and the percent of the whole at which it begins.
type Stage struct {
	Step string `json:"step"`
	From int    `json:"from"`
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

// Events are what a record of a claim tells the world, in order. It is pure and
// asks for no record before it, so that they can be told anew from anywhere.
func (c Claim) Events() []Event {
	if c.Via == ViaOld {
		return nil
	}
	id := c.Order.ID
	end := func(epoch int, machine string, out Outcome, why Reason, took float64) Event {
		return Event{Order: id, Kind: EvEnd, Epoch: epoch, Machine: machine, Outcome: out, Reason: why, Seconds: took}
	}
	one := Event{Order: id, Kind: EventKind(c.Phase), Epoch: c.Epoch, Machine: c.Machine(), Outcome: c.Outcome, Reason: c.Reason, By: c.By, Seconds: c.Took}
	last := Past{}
	if n := len(c.Past); n > 0 {
		last = c.Past[n-1]
	}
	switch c.Phase {
	case Accepted:
		switch {
		case c.Epoch == 1:
			o := c.Order
			return []Event{{Order: id, Kind: EvAccepted, Epoch: 1, Name: o.Name, What: &o, ETA: c.Answer.ETA, Portion: c.Portion}}
		case last.Outcome == Untouched && last.Fenced:
			return []Event{end(last.Epoch, last.Machine, last.Outcome, last.Reason, last.Took)}
		case last.Outcome == Untouched:
			return []Event{{Order: id, Kind: EvReleased, Epoch: last.Epoch, Machine: last.Machine, Reason: last.Reason}}
		case last.Outcome == OutcomeUnknown:
			return []Event{{Order: id, Kind: EvAgain, Epoch: c.Epoch, By: c.By}}
		}
	case Again:
		if last.Outcome == Spoiled {
			return []Event{end(last.Epoch, last.Machine, last.Outcome, last.Reason, last.Took)}
		}
	case Failed:
		if c.Owner != nil && c.By == "" && c.Outcome != "" {
			return []Event{end(c.Epoch, c.Machine(), c.Outcome, c.Reason, c.Took), one}
		}
		return []Event{one}
	case Claimed, Brewing, Unknown, Served, Cancelled, Expired:
		return []Event{one}
	}
	return nil
}

// PoisonID stands for the order in the event of a message that can't be one.
func PoisonID(stream string, seq uint64) string {
	return "poison-" + stream + "-" + strconv.FormatUint(seq, 10)
}

// Events tells the world outside of the shop.
type Events interface {
	// Publish stores an event that record seq of the book tells, once: a second
	// one in the same slot is dropped without error. 0: it is told by no record.
	Publish(ctx context.Context, e Event, seq uint64) error
	// Told is the record of the book up to which the stored events are told; 0
	// where there is none.
	Told(ctx context.Context) (uint64, error)
	// Live sends what passes at a machine, and is not stored. It may get lost.
	Live(e Event)
	// FollowLive hands over what Live sends from now on, until ctx ends. It may
	// skip some.
	FollowLive(ctx context.Context, each func(Event)) error
}
