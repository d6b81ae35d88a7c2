package fleet

import (
	"context"
	"time"
)

// The verbs that a machine asks of a desk, on DeskSubject.
const (
	DeskTake     = "take"     // read the claim of an order whose ticket it holds
	DeskClaim    = "claim"    // accepted: it waits for a cup
	DeskFence    = "fence"    // the last word before metal moves
	DeskRelease  = "release"  // claimed: not able, nothing moved; or another's, whose lease is over
	DeskEnd      = "end"      // what the journal says of a start
	DeskPark     = "park"     // brewing: nobody can say
	DeskDoubt    = "doubt"    // accepted or claimed: the journal knows a start of it
	DeskPresence = "presence" // here, and how
	DeskLeave    = "leave"    // not here any more
	DeskPoison   = "poison"   // what lay in its queue and can't be an order
)

// DeskHere is what the shop itself asks, of nobody in particular: whether a desk answers.
const DeskHere = "here"

// DeskTime is how long a machine waits for the answer of a desk, and how old a
// request may be that a desk still begins with.
const DeskTime = 2 * time.Second

// MaxAsk is the largest request that a desk reads, in bytes.
const MaxAsk = 8 << 10

// Ask is what a machine asks, mostly about an order. The desk decides nothing for
// it: the arrow is made on the revision that the machine read, or not at all.
type Ask struct {
	Nonce string `json:"nonce"`         // of the process's start: an answer to an earlier one is no answer
	Owner Owner  `json:"owner"`         // the machine is that of the subject, or the desk refuses
	Mark  Mark   `json:"mark,omitzero"` // the last that a desk told this machine
	Order string `json:"order,omitempty"`
	Revision
	Epoch   int     `json:"epoch,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"` // with end
	Took    float64 `json:"took,omitempty"`    // with end: seconds
	Reason
	StepBack bool      `json:"step_back,omitempty"` // let another machine try first
	Presence *Presence `json:"presence,omitempty"`  // with presence
	Poison   *Poison   `json:"poison,omitempty"`    // with poison
}

// Poison is what a machine found in its queue and can't be an order that anybody
// accepted. It is kept for inspection.
type Poison struct {
	Seq     uint64 `json:"seq"` // in the stream of orders
	Subject string `json:"subject"`
	Why     string `json:"why"`
	Payload []byte `json:"payload,omitempty"` // at most MaxOrder of what came
}

// Told is a desk's answer.
type Told struct {
	Nonce string `json:"nonce"`
	// Code is empty where it was done; else one of those below, and nothing was
	// done but with DeskUnsure.
	Code  string        `json:"code,omitempty"`
	Text  string        `json:"text,omitempty"`   // why, for the log
	Entry Entry         `json:"entry,omitzero"`   // the order as it is now, as far as the desk knows
	Age   time.Duration `json:"age_ns,omitempty"` // with take: how long the desk has known the record; it is at least as old
	// Left is, with take of a brew, how long its machine may still be making it: before
	// that no other one may say unknown.
	Left time.Duration `json:"left_ns,omitempty"`
	Sight
	Word *Word `json:"word,omitempty"` // with presence
	// Mark is how far the shop has seen its book; zero where it does not know whether
	// the book keeps the machine's own. The machine keeps it before it does anything
	// on this answer.
	Mark Mark `json:"mark,omitzero"`
}

// Sight is what a desk knows of others, with take. It is advice.
type Sight struct {
	AtIt   bool `json:"at_it,omitempty"`  // the owner is here and has this order in hand
	Idle   bool `json:"idle,omitempty"`   // the owner is here, ready, and has nothing in hand
	Others int  `json:"others,omitempty"` // further machines here that list the class
	Can    bool `json:"can,omitempty"`    // one of those makes this cup, and is able
}

// The codes of a desk's answer.
const (
	DeskNone     = "none"      // there is no such order
	DeskConflict = "conflict"  // the revision is no more: read again
	DeskRefused  = "refused"   // the claim's rules do not allow it
	DeskTwin     = "twin"      // another process of that name is here; nothing was done
	DeskUnsure   = "no_answer" // nobody knows whether it was written: read before anything
	DeskBusy     = "busy"      // nothing was done; ask again
	DeskClosed   = "closed"    // nothing is done with this order until the shop knows its book to be whole
)

// Word is a desk's answer to a presence: what the shop wants of the machine.
type Word struct {
	Cordon *Cordon `json:"cordon,omitempty"` // nil: in service
	Menu   *Menu   `json:"menu,omitempty"`   // nil: none is set
	// Others that make all that this machine makes: able now or after the drink in
	// hand; soon, if nothing but a cup that must be taken, or placed, is in the way
	// (said only where nobody is able).
	Able    bool `json:"able,omitempty"`
	Soon    bool `json:"soon,omitempty"`
	Waiting int  `json:"waiting,omitempty"` // orders of its classes that nobody has in hand
	// Next are the classes of which orders wait that it makes, the one whose first order
	// was accepted first in front: in this order it asks for them.
	Next []Class `json:"next,omitempty"`
	// Alone are for a spare the classes of orders that wait and that no other machine here
	// makes now.
	Alone []Class `json:"alone,omitempty"`
	// Again is when the shop wants to hear the machine next, whatever happens; 0: after
	// PresenceEvery.
	Again time.Duration `json:"again_ns,omitempty"`
}

// Desk is where a machine asks. No call takes longer than DeskTime. Errors: ErrNotFound, ErrConflict, ErrNotAllowed,
// ErrTwin, ErrClosed are certain; any other means that nobody knows.
type Desk interface {
	// Take reads an order's claim.
	Take(ctx context.Context, order string) (Told, error)
	// Ask has one of the arrows made (DeskClaim to DeskDoubt); the entry that was
	// read goes with it, and the new one comes back.
	Ask(ctx context.Context, verb string, read Entry, a Ask) (Entry, error)
	// Announce says that the machine is here, until Word.Again and a while longer.
	Announce(ctx context.Context, p Presence) (Word, error)
	// Leave takes its word back at once.
	Leave(ctx context.Context) error
	// Poison has what can't be an order kept; only then it may be terminated.
	Poison(ctx context.Context, p Poison) error
}
