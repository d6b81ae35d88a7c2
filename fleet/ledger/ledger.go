// Package ledger is the book as one process knows it: followed once and folded
// once, for everybody in it. It knows which orders are open, what is on the shelf,
// who was refused a moment ago, and it is where a process decides on an act.
//
// # What it promises
//
// A start reads the last balance, the records of the orders that it names, and
// what came after it; so it does not grow with the shop's past. An act is decided
// on all acts that stand in the book before it, or it is not written: the book
// compares. It is written once, however often its answer is lost. When Act
// returns, what it wrote is folded, and when Wrote returns, that too.
//
// # How a record comes in
//
// The follower brings the records one by one, in order, and the shelf folds them
// so in every process: that is why all come to the same. What this process wrote
// itself is known before the follower brings it, while records before it may still
// be missing. Until then it is laid over the fold: the order is as it was written,
// and an act that reserves takes its portion from what is available. That errs
// only towards "none left", because whatever lowers what is available is an act,
// and the acts before ours are all folded. For an act of the stock this would not
// do: what a count means depends on what came before it. There Act waits until the
// follower brought it.
//
// # Balances
//
// Where there is a shelf, the ledger writes a balance every Config.Every records,
// at a clean stop, and before old records go. Where days are counted too, records
// older than Config.KeepDays days that the shop ran are removed, never one that
// the last balance refers to.
//
// New starts nothing. Run follows the book until its context ends and returns when
// its goroutines have ended. Any goroutine may ask, and Follow.
package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

// Parts is what the ledger works with.
type Parts struct {
	Book fleet.Book
	// Shelf folds the stock; nil in a process that decides nothing about it. It is
	// the ledger's from now on.
	Shelf fleet.Shelf
	// Settings is where the days are counted; nil in a process that removes nothing
	// from the book. Several that count do it together.
	Settings fleet.Settings
	Log      *slog.Logger // nil: none
}

// Config is what may be chosen.
type Config struct {
	Every    int // records between two balances; 0: 500
	KeepDays int // days that the shop ran; 0: 30
}

const (
	// fewRecords are not worth a balance at a stop.
	fewRecords = 50
	// stopWithin bounds the balance at a stop.
	stopWithin = 2 * time.Second
	// again is the pause after a balance that could not be written.
	again = 10 * time.Second
)

// Ledger is the book as folded. See New.
type Ledger struct {
	parts Parts
	cfg   Config
	log   *slog.Logger

	turn  chan struct{} // holds one token: whoever has it may write an act
	ready chan struct{}
	due   chan struct{} // a balance is due; holds at most one token

	mu      sync.Mutex // guards what follows
	fold    fold
	open    []fleet.Entry     // what Open answers; nil: to be made anew
	queue   []fleet.Entry     // what Queue answers; the same
	mine    map[string]uint64 // acts under way by their word: where the follower found them, 0 until then
	changed chan struct{}     // nil: nobody waits
	clock   time.Time         // the broker's clock, for what is written down ...
	heard   time.Time         // ... and when it was heard, by the monotonic clock
	readers []*reader
}

var _ fleet.Ledger = (*Ledger)(nil)

// New makes a ledger that knows nothing yet.
func New(p Parts, cfg Config) *Ledger {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Every == 0 {
		cfg.Every = 500
	}
	if cfg.KeepDays == 0 {
		cfg.KeepDays = 30
	}
	return &Ledger{
		parts: p, cfg: cfg, log: p.Log,
		turn: make(chan struct{}, 1), ready: make(chan struct{}), due: make(chan struct{}, 1),
		fold: newFold(p.Shelf), mine: map[string]uint64{},
	}
}

// Run follows the book until ctx ends. It is called once.
func (l *Ledger) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { l.follow(ctx) })
	if l.parts.Shelf != nil {
		wg.Go(func() { l.keepBalance(ctx) })
		if l.parts.Settings != nil {
			wg.Go(func() { l.countDays(ctx) })
		}
	}
	wg.Wait()
	l.balanceAtStop(ctx)
	return nil
}

// follow reads what a start needs and then every record.
func (l *Ledger) follow(ctx context.Context) {
	ready := sync.OnceFunc(func() {
		l.mu.Lock()
		l.fold.begun = time.Time{}
		l.mu.Unlock()
		close(l.ready)
	})
	begun := false
	fleet.Keep(ctx, l.log, "following the book", func() error {
		if !begun {
			if err := l.begin(ctx); err != nil {
				return err
			}
			begun = true
		}
		err := l.parts.Book.Follow(ctx, l.Upto()+1, l.take, ready)
		if err == nil {
			err = fleet.ErrNoAnswer
		}
		l.broke(err)
		return err
	})
}

// begin takes up the last balance.
func (l *Ledger) begin(ctx context.Context) error {
	now, err := l.parts.Book.Now(ctx)
	if err != nil {
		return fmt.Errorf("the broker's clock: %w", err)
	}
	b, open, err := lastBalance(ctx, l.parts.Book)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock, l.heard = now, time.Now()
	l.fold.begun = now
	if b != nil {
		for _, s := range b.Open {
			if !has(open, s) {
				l.log.Error("the book has lost the record of an open order", "order", s.Order, "seq", s.Seq)
				l.fold.lost[s.Order] = s
			}
		}
		l.fold.restore(*b, open)
		l.stir()
	}
	return nil
}

func has(open []fleet.Entry, s fleet.Share) bool {
	for _, e := range open {
		if e.Order.ID == s.Order && e.Seq == s.Seq {
			return true
		}
	}
	return false
}

// lastBalance reads the newest balance and the records of the orders that were
// open then; nil where there is none. A record that is not there may have been
// removed behind a newer balance; so it is looked at again, and left out if that
// brings nothing.
func lastBalance(ctx context.Context, book Looked) (*fleet.Balance, []fleet.Entry, error) {
	for tries := 0; ; tries++ {
		r, err := book.LastBalance(ctx)
		if errors.Is(err, fleet.ErrNotFound) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("the last balance: %w", err)
		}
		if r.Balance == nil {
			return nil, nil, fmt.Errorf("the last balance, record %d of the book, can't be read: is this program older than the one that wrote it?", r.Seq)
		}
		open, err := stillOpen(ctx, book, *r.Balance)
		if err != nil {
			return nil, nil, err
		}
		if len(open) == len(r.Balance.Open) || tries == 1 {
			return r.Balance, open, nil
		}
	}
}

// stillOpen reads the records of the orders that were open by a balance, but for those
// that are not there.
func stillOpen(ctx context.Context, book Looked, b fleet.Balance) (open []fleet.Entry, err error) {
	if len(b.Open) > 0 && b.Upto-b.Open[0].Seq > near {
		defer spare()()
	}
	for _, s := range b.Open {
		one, err := book.At(ctx, s.Seq)
		switch {
		case err == nil && one.IsClaim && one.Order.ID == s.Order:
			open = append(open, one.Entry)
		case err != nil && !errors.Is(err, fleet.ErrNotFound):
			return nil, fmt.Errorf("order %s: %w", s.Order, err)
		}
	}
	return open, nil
}

// take folds what the follower brings.
func (l *Ledger) take(r fleet.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Seq <= l.fold.upto {
		return
	}
	l.fold.take(r)
	if r.Written.After(l.now()) {
		l.clock, l.heard = r.Written, time.Now()
	}
	if _, waits := l.mine[r.Rec]; waits && r.Act {
		l.mine[r.Rec] = r.Seq
	}
	for _, one := range l.readers {
		one.give(r)
	}
	if l.fold.since >= uint64(l.cfg.Every) {
		poke(l.due)
	}
	l.stir()
}

// now is the broker's clock, carried on by the monotonic one: it does not go back, and
// no age is told by it. The caller holds the lock.
func (l *Ledger) now() time.Time { return l.clock.Add(time.Since(l.heard)) }

// stir tells whoever waits. The caller holds the lock.
func (l *Ledger) stir() {
	l.open, l.queue = nil, nil
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Ready is closed when all was folded that stood in the book at the start.
func (l *Ledger) Ready() <-chan struct{} { return l.ready }

// Changed is closed at the next change of what the ledger answers.
func (l *Ledger) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting()
}

// waiting is Changed for whoever holds the lock.
func (l *Ledger) waiting() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// until waits until ok, which is asked under the lock, at each change; false when
// ctx ended before.
func (l *Ledger) until(ctx context.Context, ok func() bool) bool {
	for {
		l.mu.Lock()
		done, changed := ok(), l.waiting()
		l.mu.Unlock()
		if done {
			return true
		}
		if !fleet.Await(ctx, changed) {
			return false
		}
	}
}

// Upto is the sequence of the newest record that the follower brought.
func (l *Ledger) Upto() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fold.upto
}

// Open lists the orders that have not ended, those in doubt included, the one that
// changed longest ago first. The list is everybody's and must not be changed.
func (l *Ledger) Open() []fleet.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = l.fold.open()
	}
	return l.open
}

// Queue lists the orders that wait for a machine, or to be made again, in the order of
// their creates. The list is everybody's and must not be changed.
func (l *Ledger) Queue() []fleet.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue == nil {
		l.queue = l.fold.queue()
	}
	return l.queue
}

// Lost lists the orders that were not over by the last balance, whose record the
// book does not hold any more, and of which it said nothing since.
func (l *Ledger) Lost() []fleet.Share {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.fold.lost), func(a, b fleet.Share) int { return cmp.Compare(a.Seq, b.Seq) })
}

// Waiting counts the orders of these classes that nobody has in hand.
func (l *Ledger) Waiting(classes []fleet.Class) (n int) {
	for _, e := range l.Open() {
		if e.Phase == fleet.Accepted && slices.Contains(classes, e.Order.Class()) {
			n++
		}
	}
	return n
}

// Age is how long this process has known that this is the order's last record: the
// time that it saw pass itself, which is at most the record's age and the same
// whatever becomes of the broker's clock. 0 for any other record.
func (l *Ledger) Age(e fleet.Entry) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have, there := l.fold.orders[e.Order.ID]; !there || have.Revision != e.Revision {
		return 0
	}
	return time.Since(l.fold.heard[e.Order.ID])
}

// Levels is the stock as folded; nil where there is no shelf.
func (l *Ledger) Levels() map[string]fleet.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fold.levels()
}

// Loss is the last accepted loss; nil where there was none.
func (l *Ledger) Loss() *fleet.LossEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fold.loss
}

// Wrote takes a claim that this process has just written by Book.Next.
func (l *Ledger) Wrote(e fleet.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Seq > l.fold.upto {
		l.fold.order(e)
		l.stir()
	}
}

// poke leaves a token where there is none.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
