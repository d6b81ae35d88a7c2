package fleet

import (
	"errors"
	"fmt"
	"time"
)

// Phase is where an order stands. The claim's phase is the only truth about it.
type Phase string

// The phases. From Served on they are ends, and ends are final; Unknown is
// parked, not an end.
const (
	Accepted  Phase = "accepted"  // waits in the queue, its portion is reserved
	Claimed   Phase = "claimed"   // a machine holds it and waits for a cup
	Brewing   Phase = "brewing"   // fenced: the machine may switch something on
	Again     Phase = "again"     // to be made again; its next portion is not reserved yet
	Unknown   Phase = "unknown"   // nobody can say whether it was made
	Served    Phase = "served"    // made
	Failed    Phase = "failed"    // not made, with a reason
	Cancelled Phase = "cancelled" // by the customer or a person of the shop, before the fence
	Expired   Phase = "expired"   // waited too long
)

// Ended reports whether the phase is final.
func (p Phase) Ended() bool {
	switch p {
	case Served, Failed, Cancelled, Expired:
		return true
	}
	return false
}

// Open reports whether the order is neither ended nor parked.
func (p Phase) Open() bool { return p != Unknown && p != "" && !p.Ended() }

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
	// Nonce is of the process's start. It decides nothing about a claim: a machine that
	// was killed and started again goes on with what is its own. It tells a process from
	// another one that is the same in all three, or has the same name. "": of a version
	// that had none.
	Nonce string `json:"nonce,omitempty"`
}

// Same reports whether both are one owner: all three parts agree.
func (o Owner) Same(p Owner) bool {
	o.Nonce, p.Nonce = "", ""
	return o == p
}

// Items is a quantity per stock item: grams of beans, millilitres of milk,
// doses of sugar. Items that are nought are left out.
type Items map[string]int

// Past is how an epoch of a claim came out, kept in the claim so that stock and
// history can be folded from its last record alone.
type Past struct {
	Epoch   int     `json:"epoch"`
	Machine string  `json:"machine,omitempty"`
	Fenced  bool    `json:"fenced,omitempty"` // it was brewing: a journal may know it
	Outcome Outcome `json:"outcome"`
	Took    float64 `json:"took,omitempty"` // seconds that the machine was busy
	Reason
}

// Avoid asks the queue's machines to let another one try first.
type Avoid struct {
	Machine string    `json:"machine"`
	Until   time.Time `json:"until"` // the broker's clock
}

// MaxAttempts is how often machines may claim one order before it fails.
const MaxAttempts = 3

// aboveAll is how far the epoch jumps where a machine's journal, or a message
// without a record, shows that the book lost something: beyond any start that a
// lost record may have begun.
const aboveAll = 100

// Claim is what the book says of one order: who may make it, and how it ended.
// It is the last record of the order's two subjects, changes only by
// compare-and-set, and only by these rules (CONTRACT 3, checked exhaustively by
// a model). "act" is a record that is compared over all acts of the book, so
// that no bean is promised twice; "now" is compared over the order's own two
// subjects.
//
//   - ─► accepted e1                      act    controller: create; reserves
//     accepted  ─► claimed | brewing                now    owner; attempts + 1
//     claimed   ─► brewing | accepted e+1 | failed  now    owner; others: lease over, owner absent or not at it
//     brewing   ─► brewing                          now    owner, a new fence
//     brewing   ─► served | failed | accepted e+1   now    owner (untouched keeps its portion)
//     brewing   ─► again                            now    owner: spoiled, its portion wasted
//     brewing   ─► unknown                          now    any holder or the sweep, after the longest brew + 60 s
//     accepted | claimed ─► unknown, epoch + 100    now    a machine whose journal knows this epoch or a later one
//     any open or parked ─► unknown, epoch + 100    act    controller, where the book lost what came last
//     unknown   ─► served | failed                  now    owner's journal or counter; a person
//     unknown   ─► again                            now    a person ("make it again"); its portion counts as used
//     again     ─► accepted e+1 | failed | cancelled | expired   act   controller; accepted reserves
//     accepted | claimed ─► cancelled | expired     now    controller
//
// The methods below are these arrows; they change a copy and never the
// receiver. Acks of the queue carry no ownership and decide nothing.
type Claim struct {
	Phase    Phase   `json:"phase"`
	Order    Order   `json:"order"`
	Hash     string  `json:"hash"`
	Portion  Items   `json:"doses"`  // what one try takes from the stock
	Answer   Answer  `json:"answer"` // what the customer was told
	Epoch    int     `json:"epoch"`  // from 1
	Attempts int     `json:"attempts"`
	Owner    *Owner  `json:"owner,omitempty"`
	Avoid    *Avoid  `json:"avoid,omitempty"`
	Outcome  Outcome `json:"outcome,omitempty"` // of the last start; set with unknown, served and failed
	Took     float64 `json:"took,omitempty"`    // with an outcome: seconds that the machine was busy
	Reason
	By   string `json:"by,omitempty"` // person or role that ended or settled it
	Past []Past `json:"past,omitempty"`
	Via  string `json:"via,omitempty"` // entrance: "request", "web", "intake", or ViaOld
}

// ViaOld marks what was carried over from a store of the former layout: an ended
// order that is kept for its id's sake, and that nobody is told of.
const ViaOld = "old"

// Create is the first record of an accepted order: claim, answer and reservation
// in one.
func Create(o Order, portion Items, a Answer, via string) Claim {
	return Claim{Phase: Accepted, Order: o, Hash: o.Hash(), Portion: portion, Answer: a, Epoch: 1, Via: via}
}

// Orphan is the record of an order whose message is in the queue and whose
// records are lost: the message proves that it was accepted, and nobody knows
// what came of it. A person decides.
func Orphan(o Order, portion Items, by string, reason Reason) Claim {
	c := Create(o, portion, Success(o.ID), "")
	c.Phase, c.Epoch, c.Outcome, c.By, c.Reason = Unknown, 1+aboveAll, OutcomeUnknown, by, reason
	return c
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
	c.Phase, c.Outcome, c.By = Failed, Untouched, ""
	c.Reason = Reason{Code: CodeGivenUp, Detail: fmt.Sprint(MaxAttempts), Text: fmt.Sprintf("given up after %d tries", MaxAttempts)}
	if n := len(c.Past); n > 0 {
		c.Quote = c.Past[n-1].Text
		c.Text += ": " + c.Quote
	}
	return c, nil
}

// Fence is the last word before metal moves. From accepted it is the claim and an
// attempt too: where nothing has to be waited for, one record says both.
func (c Claim) Fence(o Owner) (Claim, error) {
	n := c
	if c.Phase == Accepted {
		n, _ = c.Take(o)
	}
	if n.Phase != Claimed && n.Phase != Brewing || !n.Owns(o) || n.Exhausted() {
		return c, ErrNotAllowed
	}
	n.Phase, n.Owner = Brewing, &o // it may be another process of the same owner
	return n, nil
}

// Release gives a claimed order back untouched: by its owner who is not able,
// or by another holder when the lease is over and the owner absent, or present and
// by its own word not at this order: started again since, it will not come back to
// it by itself.
func (c Claim) Release(reason Reason, avoid *Avoid) (Claim, error) {
	if c.Phase != Claimed {
		return c, ErrNotAllowed
	}
	c = c.past(Untouched, reason, 0)
	return c.next(avoid), nil
}

// End records what the owner knows of its start in the present epoch; took is how
// many seconds the machine was busy, 0 if nobody knows. Made serves; untouched
// goes back for another machine and spoiled waits to be reserved again, unless
// attempts are used up, a second drink was spoiled or its customer stopped it; unknown
// parks.
func (c Claim) End(o Owner, out Outcome, reason Reason, took float64, avoid *Avoid) (Claim, error) {
	if c.Owner == nil || c.Owner.Machine != o.Machine || c.Owner.Journal != o.Journal {
		return c, ErrNotAllowed // a later boot may still report what its journal says
	}
	switch c.Phase {
	case Brewing:
	case Unknown:
		if out == OutcomeUnknown {
			return c, ErrNotAllowed
		}
	default:
		return c, ErrNotAllowed
	}
	c.By = "" // whoever had it parked, or made again, has not said what came of it
	switch {
	case out == Made:
		c.Phase, c.Outcome, c.Reason, c.Took = Served, Made, Reason{}, took
	case out == OutcomeUnknown:
		c.Phase, c.Outcome, c.Reason, c.Took = Unknown, OutcomeUnknown, reason, took
	case c.Phase == Unknown, c.Attempts >= MaxAttempts, out == Spoiled && c.wasted() > 0, reason.Code == CodeUnwanted:
		c.Phase, c.Outcome, c.Reason, c.Took = Failed, out, reason, took
	case out == Spoiled:
		c = c.past(Spoiled, reason, took)
		c.Phase, c.Owner, c.Avoid = Again, nil, avoid
	default:
		c = c.past(out, reason, took)
		return c.next(avoid), nil
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

// Doubt records that a machine's journal knows a start of this epoch, or a later
// one, that the book does not: the book went back in time.
func (c Claim) Doubt(o Owner, reason Reason) (Claim, error) {
	if c.Phase != Accepted && c.Phase != Claimed {
		return c, ErrNotAllowed
	}
	c.Phase, c.Owner, c.Avoid, c.Epoch = Unknown, &o, nil, c.Epoch+aboveAll
	c.Outcome, c.Reason, c.By = OutcomeUnknown, reason, o.Machine
	return c, nil
}

// Lose is a claim of which the book has lost what came last, as far as it is still
// known: nobody can say what came of it, and the epoch is beyond any start that a
// lost record may have begun. An end is final all the same. Whoever writes it does
// so as an act, because who lost the record may have lost its reservation too.
func (c Claim) Lose(by string, reason Reason) Claim {
	if c.Phase.Ended() {
		return c
	}
	c.Phase, c.Avoid, c.Epoch = Unknown, nil, c.Epoch+aboveAll
	c.Outcome, c.Reason, c.By, c.Took = OutcomeUnknown, reason, by, 0
	return c
}

// Stop cancels or expires an order before its fence, or before it is made again.
func (c Claim) Stop(end Phase, by string, reason Reason) (Claim, error) {
	if c.Phase != Accepted && c.Phase != Claimed && c.Phase != Again || end != Cancelled && end != Expired {
		return c, ErrNotAllowed
	}
	c.Phase, c.By, c.Reason = end, by, reason
	return c, nil
}

// Remake opens the epoch that makes it again, and reserves.
func (c Claim) Remake() (Claim, error) {
	if c.Phase != Again {
		return c, ErrNotAllowed
	}
	return c.next(c.Avoid), nil
}

// FailStock ends a remake whose beans are no longer there.
func (c Claim) FailStock(reason Reason) (Claim, error) {
	if c.Phase != Again {
		return c, ErrNotAllowed
	}
	c.Phase, c.Outcome, c.Reason = Failed, Untouched, reason
	return c, nil
}

// Settle is a person's word on an unknown: made or not made. Not made gives its
// portion back; what was used all the same, a person counts.
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

// MakeAgain is a person's decision after an unknown: attempts begin from nought,
// and a new portion is reserved before the new epoch.
func (c Claim) MakeAgain(by string) (Claim, error) {
	if c.Phase != Unknown {
		return c, ErrNotAllowed
	}
	c = c.past(OutcomeUnknown, c.Reason, c.Took)
	c.Phase, c.Owner, c.By, c.Attempts = Again, nil, by, 0
	return c, nil
}

// past notes how the present epoch came out.
func (c Claim) past(out Outcome, reason Reason, took float64) Claim {
	p := Past{Epoch: c.Epoch, Machine: c.Machine(), Fenced: c.Phase == Brewing || c.Phase == Unknown, Outcome: out, Reason: reason, Took: took}
	c.Past = append(append([]Past(nil), c.Past...), p)
	c.Outcome, c.Reason, c.Took = "", Reason{}, 0
	return c
}

// next opens the following epoch.
func (c Claim) next(avoid *Avoid) Claim {
	c.Phase, c.Owner, c.Avoid, c.Epoch = Accepted, nil, avoid, c.Epoch+1
	return c
}

// Owns reports whether o is the claim's owner in all three parts.
func (c Claim) Owns(o Owner) bool { return c.Owner != nil && c.Owner.Same(o) }

// Machine is the name of the owner, or empty.
func (c Claim) Machine() string {
	if c.Owner == nil {
		return ""
	}
	return c.Owner.Machine
}

// Portions is what the claim means for the stock, in portions of it: promised,
// used in a drink or nobody knows, used without a drink. It is pure, so the stock
// is a fold of claims, whatever of their way was missed.
func (c Claim) Portions() (reserved, used, wasted int) {
	for _, p := range c.Past {
		if p.Outcome == OutcomeUnknown {
			used++
		}
	}
	wasted = c.wasted()
	switch c.Phase {
	case Accepted, Claimed, Brewing:
		reserved = 1
	case Served, Unknown:
		used++
	case Failed:
		if c.Outcome == Spoiled {
			wasted++
		}
	}
	return reserved, used, wasted
}

// wasted counts the former tries that were spoiled.
func (c Claim) wasted() (n int) {
	for _, p := range c.Past {
		if p.Outcome == Spoiled {
			n++
		}
	}
	return n
}

// What a caller must tell apart.
var (
	// ErrNotAllowed: the claim's rules do not have this arrow.
	ErrNotAllowed = errors.New("the claim does not allow this")
	// ErrConflict: somebody wrote first; read again and decide anew.
	ErrConflict = errors.New("the claim was changed by somebody else")
	// ErrTwin: another process works under this machine's name, and was first.
	ErrTwin = errors.New("another process works under this machine's name")
	// ErrNotFound: the leader of the store says that there is none.
	ErrNotFound = errors.New("not found")
	// ErrDamaged: there is a record, and it can't be read. Certain: what it said is
	// lost, and nobody may go on with an older one.
	ErrDamaged = errors.New("its record is damaged")
	// ErrNoAnswer: nobody knows whether it was taken. Read again before anything.
	ErrNoAnswer = errors.New("no answer from the broker")
)
