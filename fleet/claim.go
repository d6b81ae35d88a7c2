package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Phase is where an order stands. The claim's phase is the only truth about it.
type Phase string

// The phases. From Served on they are ends, and ends are final; Unknown is
// parked, not an end.
const (
	Accepted  Phase = "accepted"  // waits in the queue
	Claimed   Phase = "claimed"   // a machine holds it and looks whether it can
	Brewing   Phase = "brewing"   // fenced: the machine may switch something on
	Unknown   Phase = "unknown"   // nobody can say whether it was made
	Served    Phase = "served"    // made
	Failed    Phase = "failed"    // not made, with a reason
	Cancelled Phase = "cancelled" // by the customer or a person of the shop, before the fence
	Expired   Phase = "expired"   // waited too long
	Refused   Phase = "refused"   // never accepted; the answer was an error
)

// Ended reports whether the phase is final.
func (p Phase) Ended() bool {
	switch p {
	case Served, Failed, Cancelled, Expired, Refused:
		return true
	}
	return false
}

// Outcome is what a machine can honestly say of one start. The journals of
// machines hold these strings too.
type Outcome string

// The outcomes.
const (
	Made           Outcome = "made"      // poured to completion
	Spoiled        Outcome = "spoiled"   // something was used, no drink came of it
	Untouched      Outcome = "untouched" // nothing was used
	OutcomeUnknown Outcome = "unknown"   // after a crash, or of an appliance without proof
)

// Owner is one run of one machine on one piece of hardware: all three must
// agree before a machine may call a claim its own. A copied card has another
// boot, a fresh card another journal.
type Owner struct {
	Machine string `json:"machine"`
	Journal string `json:"journal"` // random id in the journal's header
	Boot    string `json:"boot"`    // the kernel's boot id
}

// Items is a quantity per stock item: grams of beans, millilitres of milk,
// doses of sugar. Items that are nought are left out.
type Items map[string]int

// Past is how an epoch of a claim came out, kept in the claim so that the
// ledger and the history can be booked from the claim alone.
type Past struct {
	Epoch   int     `json:"epoch"`
	Use     int     `json:"use"` // which reservation of stock it used
	Machine string  `json:"machine,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason
}

// Avoid asks the queue's machines to let another one try first.
type Avoid struct {
	Machine string    `json:"machine"`
	Until   time.Time `json:"until"` // the broker's clock
}

// MaxAttempts is how often machines may claim one order before it fails.
const MaxAttempts = 3

// Claim is the record that decides about one order: who may make it, and how it
// ended. It lives in the bucket coffee-claims under the order's id and changes
// only by compare-and-set, by these rules (CONTRACT 3, checked exhaustively by
// a model):
//
//	accepted ─► accepted, published          controller
//	accepted ─► refused                      controller, unpublished and epoch 1 only
//	accepted ─► claimed ─► brewing ─► served | failed     owner
//	claimed ─► failed                        owner, attempts used up
//	accepted | claimed ─► cancelled | expired             controller
//	claimed ─► accepted, epoch+1             owner: not able; others: lease over, owner absent or not at it
//	brewing ─► accepted, epoch+1             owner: untouched or spoiled
//	brewing ─► unknown                       any holder, after the longest brew + 60 s
//	unknown ─► served | failed               owner's journal or counter; a person
//	unknown ─► accepted, epoch+1             a person: make it again
//
// The methods below are these arrows; they change a copy and never the
// receiver. Acks of the queue carry no ownership and decide nothing.
type Claim struct {
	Phase     Phase   `json:"phase"`
	Order     Order   `json:"order"`
	Hash      string  `json:"hash"`
	Portion   Items   `json:"doses"`  // what one use takes from the stock
	Answer    Answer  `json:"answer"` // what the customer was told, or will be
	Epoch     int     `json:"epoch"`  // from 1
	Use       int     `json:"use"`    // from 0; each is reserved and booked on its own
	Attempts  int     `json:"attempts"`
	Published string  `json:"published,omitempty"` // message id that is surely in the stream
	Owner     *Owner  `json:"owner,omitempty"`
	Avoid     *Avoid  `json:"avoid,omitempty"`
	Outcome   Outcome `json:"outcome,omitempty"` // of the last start; set with unknown, served and failed
	Reason
	By   string `json:"by,omitempty"` // person or role that ended or settled it
	Past []Past `json:"past,omitempty"`
	Via  string `json:"via,omitempty"` // entrance: "request", "web", "intake"
}

// MessageID is the message id under which the present epoch must be in the
// stream. Redelivery keeps the first message alive over epochs, so only a
// person's "make it again" asks for another.
func (c Claim) MessageID() string {
	for e := c.Epoch; e > 1; e-- {
		if c.madeAgain(e) {
			return fmt.Sprintf("%s#e%d", c.Order.ID, e)
		}
	}
	return c.Order.ID
}

// OrderOfMessage is the order's id in the id of a queue's message; false if none
// of ours has it.
func OrderOfMessage(messageID string) (string, bool) {
	id, _, _ := strings.Cut(messageID, "#")
	return id, isID(id)
}

// madeAgain reports whether epoch e began with "make it again": the epoch
// before it came out unknown.
func (c Claim) madeAgain(e int) bool {
	for _, p := range c.Past {
		if p.Epoch == e-1 {
			return p.Outcome == OutcomeUnknown
		}
	}
	return false
}

// Marked reports whether the present epoch's message is surely stored.
func (c Claim) Marked() bool { return c.Published == c.MessageID() }

// Said reports whether "success" may be said: the claim is marked, or went
// beyond accepted without being refused.
func (c Claim) Said() bool {
	return c.Phase != "" && c.Phase != Refused && (c.Phase != Accepted || c.Marked() || c.Epoch > 1)
}

// Mark records that message id is stored. Only for an accepted claim that still
// wants this id.
func (c Claim) Mark(id string) (Claim, error) {
	if c.Phase != Accepted || id != c.MessageID() {
		return c, ErrNotAllowed
	}
	c.Published = id
	return c, nil
}

// Refuse ends an order that was never accepted.
func (c Claim) Refuse(a Answer) (Claim, error) {
	if c.Phase != Accepted || c.Published != "" || c.Epoch != 1 {
		return c, ErrNotAllowed
	}
	c.Phase, c.Answer, c.Reason = Refused, a, Reason{Code: a.Code, Text: a.Code}
	return c, nil
}

// Take is a machine's claim on an accepted order; it counts as an attempt.
func (c Claim) Take(o Owner) (Claim, error) {
	if c.Phase != Accepted {
		return c, ErrNotAllowed
	}
	c.Phase, c.Owner, c.Attempts, c.Avoid = Claimed, &o, c.Attempts+1, nil
	return c, nil
}

// Exhausted reports whether the owner must end the claim instead of trying.
func (c Claim) Exhausted() bool { return c.Attempts > MaxAttempts }

// GiveUp ends a claimed order whose attempts are used up.
func (c Claim) GiveUp(o Owner) (Claim, error) {
	if c.Phase != Claimed || !c.Owns(o) || !c.Exhausted() {
		return c, ErrNotAllowed
	}
	c.Phase, c.Outcome = Failed, Untouched
	c.Reason = Reason{Code: CodeGivenUp, Detail: fmt.Sprint(MaxAttempts), Text: fmt.Sprintf("given up after %d tries", MaxAttempts)}
	if n := len(c.Past); n > 0 {
		c.Quote = c.Past[n-1].Text
		c.Text += ": " + c.Quote
	}
	return c, nil
}

// Fence is the last word before metal moves: claimed or brewing, by its owner.
func (c Claim) Fence(o Owner) (Claim, error) {
	if c.Phase != Claimed && c.Phase != Brewing || !c.Owns(o) || c.Exhausted() {
		return c, ErrNotAllowed
	}
	c.Phase = Brewing
	return c, nil
}

// Release gives a claimed order back untouched: by its owner who is not able,
// or by another holder when the lease is over and the owner absent, or present and
// by its own word not at this order: started again since, it will not come back to
// it by itself.
func (c Claim) Release(reason Reason, avoid *Avoid) (Claim, error) {
	if c.Phase != Claimed {
		return c, ErrNotAllowed
	}
	return c.next(Untouched, reason, avoid), nil
}

// End records what the owner knows of its start in the present epoch. Made
// serves; spoiled and untouched go back for another machine unless attempts are
// used up or a second drink was spoiled; unknown parks.
func (c Claim) End(o Owner, out Outcome, reason Reason, avoid *Avoid) (Claim, error) {
	if c.Owner == nil || c.Owner.Machine != o.Machine || c.Owner.Journal != o.Journal {
		return c, ErrNotAllowed // a later boot may still report what its journal says
	}
	switch c.Phase {
	case Brewing:
	case Unknown:
		if out == OutcomeUnknown {
			return c, ErrNotAllowed
		}
		avoid = nil
	default:
		return c, ErrNotAllowed
	}
	switch {
	case out == Made:
		c.Phase, c.Outcome, c.Reason = Served, Made, Reason{}
	case out == OutcomeUnknown:
		c.Phase, c.Outcome, c.Reason = Unknown, OutcomeUnknown, reason
	case c.Phase == Unknown, c.Attempts >= MaxAttempts, out == Spoiled && c.Use > 0:
		c.Phase, c.Outcome, c.Reason = Failed, out, reason
	default:
		return c.next(out, reason, avoid), nil
	}
	return c, nil
}

// Park records that nobody can say what came of a brew: by any holder after the
// longest brew + 60 s, or at once by a machine that finds its own name without
// proof that it is itself.
func (c Claim) Park(by string, reason Reason) (Claim, error) {
	if c.Phase != Brewing {
		return c, ErrNotAllowed
	}
	c.Phase, c.Outcome, c.Reason, c.By = Unknown, OutcomeUnknown, reason, by
	return c, nil
}

// Stop cancels or expires an order before its fence.
func (c Claim) Stop(end Phase, by string, reason Reason) (Claim, error) {
	if c.Phase != Accepted && c.Phase != Claimed || end != Cancelled && end != Expired {
		return c, ErrNotAllowed
	}
	c.Phase, c.By, c.Reason = end, by, reason
	return c, nil
}

// FailStock ends a remake whose beans are no longer there.
func (c Claim) FailStock(reason Reason) (Claim, error) {
	if c.Phase != Accepted || c.Epoch == 1 {
		return c, ErrNotAllowed
	}
	c.Phase, c.Outcome, c.Reason = Failed, Untouched, reason
	return c, nil
}

// Settle is a person's word on an unknown: made or not made. Not made gives the
// stock of this use back; what was used all the same, a person counts.
func (c Claim) Settle(made bool, by string, reason Reason) (Claim, error) {
	if c.Phase != Unknown {
		return c, ErrNotAllowed
	}
	c.Phase, c.Outcome, c.By, c.Reason = Failed, Untouched, by, reason
	if made {
		c.Phase, c.Outcome = Served, Made
	}
	return c, nil
}

// MakeAgain is a person's decision after an unknown: a new epoch, a new use of
// stock, attempts from nought, and a message of its own.
func (c Claim) MakeAgain(by string) (Claim, error) {
	if c.Phase != Unknown {
		return c, ErrNotAllowed
	}
	c = c.next(OutcomeUnknown, c.Reason, nil)
	c.By, c.Attempts, c.Published = by, 0, ""
	return c, nil
}

// next opens the following epoch.
func (c Claim) next(out Outcome, reason Reason, avoid *Avoid) Claim {
	p := Past{Epoch: c.Epoch, Use: c.Use, Outcome: out, Reason: reason}
	if c.Owner != nil {
		p.Machine = c.Owner.Machine
	}
	c.Past = append(append([]Past(nil), c.Past...), p)
	c.Phase, c.Owner, c.Avoid, c.Epoch = Accepted, nil, avoid, c.Epoch+1
	c.Outcome, c.Reason = "", Reason{}
	if out != Untouched {
		c.Use++
	}
	return c
}

// Owns reports whether o is the claim's owner in all three parts.
func (c Claim) Owns(o Owner) bool { return c.Owner != nil && *c.Owner == o }

// Machine is the name of the owner, or empty.
func (c Claim) Machine() string {
	if c.Owner == nil {
		return ""
	}
	return c.Owner.Machine
}

// Act is what the ledger must say of one use of stock.
type Act string

// The acts. Reserve opens a use, the next three end it; the others have no
// order.
const (
	Reserve Act = "reserve"
	Release Act = "release" // nothing was used
	Consume Act = "consume" // a drink came of it, or nobody knows
	Waste   Act = "waste"   // used, and no drink came of it
	Refill  Act = "refill"
	Count   Act = "count" // a person counted: the difference becomes loss or gain
)

// Booking is one act that a claim demands.
type Booking struct {
	Order string
	Use   int
	Act   Act
	Items Items
}

// Bookings are the acts that the ledger must hold for this claim, by use. It is
// pure, so that a ledger can be brought up to date from the claims alone,
// whatever events were missed.
func (c Claim) Bookings() []Booking {
	var out []Booking
	add := func(use int, act Act) {
		out = append(out, Booking{c.Order.ID, use, act, c.Portion})
	}
	for _, p := range c.Past {
		switch p.Outcome {
		case Spoiled:
			add(p.Use, Waste)
		case OutcomeUnknown:
			add(p.Use, Consume)
		}
	}
	switch {
	case c.Phase == Served, c.Phase == Unknown:
		add(c.Use, Consume)
	case c.Phase == Failed && c.Outcome == Spoiled:
		add(c.Use, Waste)
	case c.Phase.Ended():
		add(c.Use, Release)
	case c.Use > 0:
		add(c.Use, Reserve)
	}
	return out
}

// What a caller of Claims must tell apart.
var (
	// ErrNotAllowed: the claim's rules do not have this arrow.
	ErrNotAllowed = errors.New("the claim does not allow this")
	// ErrConflict: somebody wrote first; read again and decide anew.
	ErrConflict = errors.New("the claim was changed by somebody else")
	// ErrExists: the id has a claim already.
	ErrExists = errors.New("the order has a claim already")
	// ErrNotFound: the leader of the store says that there is none.
	ErrNotFound = errors.New("not found")
	// ErrNoAnswer: nobody knows whether it was taken. Read again before anything.
	ErrNoAnswer = errors.New("no answer from the broker")
)

// ClaimEntry is a claim as it was read.
type ClaimEntry struct {
	Claim
	Revision uint64    // for the compare-and-set
	Created  time.Time // the broker's clock: when this revision was written
}

// Claims is the store of claims. Every error that is none of the sentinels
// above means the same as ErrNoAnswer: nobody knows.
type Claims interface {
	// Create writes the first record of an order; ErrExists where there is one.
	Create(ctx context.Context, c Claim) (ClaimEntry, error)
	// Get reads from the store's leader. ErrNotFound is certain.
	Get(ctx context.Context, order string) (ClaimEntry, error)
	// Update replaces the revision that was read; ErrConflict if it is no more.
	Update(ctx context.Context, read ClaimEntry, c Claim) (ClaimEntry, error)
	// Watch hands over every claim that is there and then every change, in
	// order, until ctx ends. ready is called once, when what was there is over.
	Watch(ctx context.Context, each func(ClaimEntry), ready func()) error
	// Now is the broker's clock, for ages of entries only.
	Now(ctx context.Context) (time.Time, error)
	// Purge removes a claim for good. Controller only, after 30 days.
	Purge(ctx context.Context, order string) error
}
