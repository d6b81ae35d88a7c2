package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Revision names one record of the book: where it stands, and a random word of
// its writer. The sequence alone would not do: a store that went back to a copy
// gives the same sequence again, to another record.
type Revision struct {
	Seq uint64 `json:"seq"`
	Rec string `json:"rec"`
}

// Entry is a claim as the book holds it.
type Entry struct {
	Claim
	Revision
	// Written is when by the broker's clock; zero for what was just written and
	// not read back.
	Written time.Time
}

// Act says what an act of the stock is.
type Act string

// The acts of the stock. Those of orders have no name here: their claims say it.
const (
	Refill  Act = "refill"  // a person put something in
	Count   Act = "count"   // a person counted: the difference becomes loss or gain
	Consume Act = "consume" // taken by hand for a drink, such as by a foreign program
	Waste   Act = "waste"   // a person threw something away
)

// MaxAmount is the most of one item that one act books: a tonne of beans in grams.
// More is a slip of the fingers; and it keeps sums far from an overflow.
const MaxAmount = 1_000_000

// StockAct is an act that belongs to no order.
type StockAct struct {
	Act   Act       `json:"act"`
	Items Items     `json:"items"` // for count: what was found
	By    string    `json:"by,omitempty"`
	Note  string    `json:"note,omitempty"`
	Key   string    `json:"key"` // given twice, it counts once
	At    time.Time `json:"at"`  // wall clock of the writer, for display only
}

// RefusedFor is how long an error that rested on the shop's state is kept: the
// same id gets the same answer, and no order, for so long.
const RefusedFor = 60 * time.Second

// Refusals is the one rolling record of orders that were refused because of the
// state of the shop. It is an act, so that an order under way with the same id
// and a refusal can't both be taken.
type Refusals struct {
	// Before is how many refusals there were before this one. Each leaf of the book
	// keeps its last (see ActSubject); the others' sequences are missing for a good
	// reason.
	Before uint64    `json:"before"`
	List   []Refusal `json:"list"` // of the last RefusedFor, the newest last
	// What is the order that this record refuses, the last of the list; for its event.
	What *Order `json:"what,omitempty"`
}

// Refusal is one of them.
type Refusal struct {
	Order  string    `json:"order"`
	Answer Answer    `json:"answer"`
	At     time.Time `json:"at"` // the broker's clock, when it was decided
}

// Written is how many refusals there were in all.
func (r Refusals) Written() uint64 {
	if len(r.List) == 0 {
		return 0 // the last one is always in the list
	}
	return r.Before + 1
}

// With adds a refusal and drops what is over.
func (r Refusals) With(one Refusal, over func(Refusal) bool) Refusals {
	list := slices.DeleteFunc(slices.Clone(r.List), func(o Refusal) bool { return over(o) || o.Order == one.Order })
	return Refusals{Before: r.Written(), List: append(list, one)}
}

// Balance is the fold of the book up to a record, written into it so that a start
// does not read what came before, and old records may go.
type Balance struct {
	Upto     uint64            `json:"upto"` // the record that it was folded to
	Acts     uint64            `json:"acts"` // sequence of the last act up to there
	Levels   map[string]Level  `json:"levels"`
	Counted  map[string]uint64 `json:"counted,omitempty"` // sequence of each item's last count
	Open     []Share           `json:"open,omitempty"`    // orders that were not over, by sequence
	Keys     []Keyed           `json:"keys,omitempty"`    // acts that may still be asked again, oldest first
	Refusals Refusals          `json:"refusals"`
	Loss     *LossEntry        `json:"loss,omitempty"` // the last that was accepted
}

// Share is an order that was not over: the record that said so, and what it had
// taken from the shelf last.
type Share struct {
	Order string `json:"order"`
	Seq   uint64 `json:"seq"`
	Taken Items  `json:"taken,omitempty"` // what was really there to be taken, see Shelf
	At    uint64 `json:"at,omitempty"`    // sequence of the record that took it
}

// Keyed is an act of the stock that was given with a key.
type Keyed struct {
	Key   string    `json:"key"`
	Act   Act       `json:"act"`
	Items Items     `json:"items"`
	At    time.Time `json:"at"` // when it was written, by the broker's clock
}

// Record is one record of the book. Exactly one of Claim, Stock, Refusals, Balance
// and Loss is set; all are nil for a record that can't be read, which counts for
// nothing: of it only the order is known, if it stands under one.
type Record struct {
	Entry
	Unread  string // why it can't be read
	IsClaim bool   // Entry holds a claim
	Act     bool   // it stands under new.>: compared over all acts
	// Rolled is, of an act, one more than the refusals before it; 0 where that is not
	// said. It shows which sequences are missing for a good reason, see Gaps.
	Rolled   uint64
	Stock    *StockAct
	Refusals *Refusals
	Balance  *Balance
	Loss     *Loss
}

// Book is the store of the truth: one stream, synced at each record. Errors are
// ErrConflict, ErrNotFound, ErrDamaged and ErrFull, which are certain; every other one
// means the same as ErrNoAnswer: nobody knows. Of a full book a part is left that new
// orders and acts of the stock do not get, so that what was begun can be ended.
type Book interface {
	// Read returns an order's claim, the last of both its subjects, from the
	// leader. ErrDamaged: there is a last one, and it can't be read.
	Read(ctx context.Context, order string) (Entry, error)
	// At reads one record, empty if it can't be read. ErrNotFound: the leader has
	// none there: trimmed, rolled away, lost, or not written yet.
	At(ctx context.Context, seq uint64) (Record, error)
	// History lists the records of an order that can be read, oldest first; none is
	// no error.
	History(ctx context.Context, order string) ([]Entry, error)
	// Act writes an act behind the act that the decision was made on, 0 where
	// there was none: a claim, a stock act, refusals, a balance or a loss. ErrConflict:
	// something else is there already; fold it and decide anew. A record that has a
	// word already (Rec) is written under that one.
	Act(ctx context.Context, r Record, last uint64) (Revision, error)
	// Next writes the next state of a claim behind the revision that was read;
	// it is compared over both of the order's subjects.
	Next(ctx context.Context, read Revision, c Claim) (Entry, error)
	// Follow hands over every record from the sequence on, then each new one,
	// until ctx ends. ready is called once, when what was there is over.
	Follow(ctx context.Context, from uint64, each func(Record), ready func()) error
	// LastBalance is the newest balance; ErrNotFound where there is none.
	LastBalance(ctx context.Context) (Record, error)
	// Since is the sequence of the first record that was not written before t, by
	// the broker's clock. Where all were, it is the one that is written next.
	Since(ctx context.Context, t time.Time) (uint64, error)
	// Now is the broker's clock, for ages of entries only.
	Now(ctx context.Context) (time.Time, error)
	// Trim removes every record before the sequence for good. Controller only.
	Trim(ctx context.Context, before uint64) error
}

// Shelf folds what the book says of the stock. One goroutine at a time.
type Shelf interface {
	// Take folds one record; records come in order of their sequence.
	Take(r Record)
	// Short names the first item of which there is not enough, beans first, then
	// milk, then sugar; empty if there is enough of all.
	Short(items Items) string
	// Levels is what is there, by item.
	Levels() map[string]Level
	// Seen reports whether an act with this key was folded, and which.
	Seen(key string) (Act, Items, bool)
	// Balance fills the fold's part of a balance: all but Upto, Acts and Refusals.
	// Restore takes it back, with the records of its open orders; those that the
	// book no longer has are promised nothing more, and what they took stays taken.
	Balance(b *Balance)
	Restore(b Balance, open []Entry)
}

// View is the book as an act is decided on: whatever lowers what is available
// and whatever makes an order is an act, so of those none came after it. What
// else it says may lag, and then errs towards "none left" and "full".
type View struct {
	Waiting int                                  // orders that are neither ended nor parked
	Of      func(order string) (Entry, bool)     // the claim of an order that is not over
	Short   func(items Items) string             // see Shelf
	Refused func(order string) (Answer, bool)    // the error that it got within RefusedFor
	Refuse  func(order string, a Answer) *Record // the act that refuses it
	Seen    func(key string) (Act, Items, bool)  // see Shelf
	Levels  func() map[string]Level
	Loss    *LossEntry // the last accepted loss; nil: none
}

// Ledger is the book as one process knows it: followed once and folded once, for
// everybody in it (package ledger).
type Ledger interface {
	// Ready is closed when all was folded that stood in the book at the start.
	Ready() <-chan struct{}
	// Changed is closed at the next record.
	Changed() <-chan struct{}
	// Open lists the orders that have not ended, those in doubt included, the one
	// that changed longest ago first.
	Open() []Entry
	// Queue lists the orders that wait for a machine, or to be made again, in the order
	// in which they were accepted: so machines take them.
	Queue() []Entry
	// Lost lists the orders that were not over by the last balance, whose record the
	// book does not hold any more, and of which it said nothing since.
	Lost() []Share
	// Levels is the stock as folded.
	Levels() map[string]Level
	// Age is how long this process has known that this is its order's last record, by
	// the monotonic clock: the record is at least as old. 0 for any other record.
	Age(e Entry) time.Duration
	// Loss is the last accepted loss; nil where there was none.
	Loss() *LossEntry
	// Act decides on the newest fold and writes the record that comes of it, by
	// compare-and-set over all acts; where somebody was faster it folds that and
	// decides anew. A nil record writes nothing, and its error is the result. When
	// it returns, what it wrote is folded. Errors of its own: ErrNoAnswer, which
	// leaves open whether it was written. decide holds up nobody but other acts of
	// this process, so it may call Open and Levels and ask the broker. ErrFull: the
	// book has no room for it, and nothing was written.
	Act(ctx context.Context, decide func(v View) (*Record, error)) (Revision, error)
	// Wrote takes a claim that this process has just written by Book.Next, so that
	// nobody here has to wait until the follower brings it.
	Wrote(e Entry)
	// Follow is Book.Follow for everybody in the process.
	Follow(ctx context.Context, from uint64, each func(Record), ready func()) error
}

// Level is what the stock holds of one item.
type Level struct {
	OnHand   int `json:"on_hand"`
	Reserved int `json:"reserved"`
	Refilled int `json:"refilled"` // ever, with what counts added
	Consumed int `json:"consumed"` // ever
	Wasted   int `json:"wasted"`   // ever, with what counts found missing
}

// Available is what an order may still reserve.
func (l Level) Available() int { return l.OnHand - l.Reserved }

// OutOfStockError: there is not enough; nothing was reserved. Item says of what.
type OutOfStockError struct{ Item string }

func (e *OutOfStockError) Error() string { return "not enough " + e.Item }

// MessageID is the id of the queue's message for the present epoch. A second
// message is harmless, the book decides; "duplicate" proves nothing.
func (c Claim) MessageID() string {
	if c.Epoch == 1 {
		return c.Order.ID
	}
	return fmt.Sprintf("%s#e%d", c.Order.ID, c.Epoch)
}

// OrderOfMessage is the order's id in the id of a queue's message; false if none
// of ours has it.
func OrderOfMessage(messageID string) (string, bool) {
	id, _, _ := strings.Cut(messageID, "#")
	return id, isID(id)
}
