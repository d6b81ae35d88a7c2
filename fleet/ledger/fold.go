package ledger

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"barista/fleet"
)

// fold is the book up to a record, and over it what this process wrote further on.
// It locks nothing and asks nobody.
type fold struct {
	shelf fleet.Shelf // nil: none
	upto  uint64      // the newest record that the follower brought
	acted uint64      // the newest act among those
	acts  uint64      // the newest act that is folded or laid over

	// orders are those that have not ended, and those of whose end, written here,
	// the follower has not heard yet: a record before it must not open them again.
	orders map[string]fleet.Entry
	heard  map[string]time.Time   // when the entry in orders came, by the monotonic clock
	born   map[string]uint64      // the first record that was read of each: its create, unless that was before the balance
	ahead  []fleet.Entry          // acts beyond upto that take a portion, by this process
	lost   map[string]fleet.Share // see Ledger.Lost

	refusals fleet.Refusals
	refused  uint64               // the record that they stand in; 0: none yet
	told     map[string]time.Time // when each of them was heard of, by the monotonic clock
	begun    time.Time            // the broker's clock at the start, until all was read that stood there
	loss     *fleet.LossEntry

	since uint64 // records that came after the last balance, but for refusals: those roll
	needs uint64 // the oldest record that it refers to
}

func newFold(shelf fleet.Shelf) fold {
	return fold{shelf: shelf, orders: map[string]fleet.Entry{}, heard: map[string]time.Time{}, born: map[string]uint64{}, lost: map[string]fleet.Share{}}
}

// restore takes up a balance. What this process wrote before it had read that, and what
// the balance is newer than, is in it or over.
func (f *fold) restore(b fleet.Balance, open []fleet.Entry) {
	f.upto, f.acted, f.acts = b.Upto, b.Acts, max(f.acts, b.Acts)
	past := func(e fleet.Entry) bool { return e.Seq <= b.Upto }
	f.ahead = slices.DeleteFunc(f.ahead, past)
	for id, e := range f.orders {
		if past(e) {
			f.drop(id)
		}
	}
	f.refuse(b.Refusals, 0)
	f.loss = b.Loss
	f.balance(b)
	for _, e := range open {
		f.order(e)
	}
	if f.shelf != nil {
		f.shelf.Restore(b, open)
	}
}

// take folds the next record.
func (f *fold) take(r fleet.Record) {
	f.upto = r.Seq
	if r.Act {
		f.acted, f.acts = r.Seq, max(f.acts, r.Seq)
	}
	switch {
	case r.IsClaim:
		f.order(r.Entry)
	case r.Refusals != nil && r.Seq >= f.refused:
		f.refuse(*r.Refusals, r.Seq)
	case r.Balance != nil:
		f.balance(*r.Balance)
	case r.Loss != nil:
		f.loss = &fleet.LossEntry{Loss: *r.Loss, Revision: r.Revision}
	}
	if r.Refusals == nil && r.Balance == nil {
		f.since++
	}
	if f.shelf != nil {
		f.shelf.Take(r)
	}
	f.ahead = slices.DeleteFunc(f.ahead, func(e fleet.Entry) bool { return e.Seq <= f.upto })
}

// order folds a claim, unless a later one of the same order is there.
func (f *fold) order(e fleet.Entry) {
	id := e.Order.ID
	have, there := f.orders[id]
	if there && e.Seq < have.Seq {
		return
	}
	delete(f.lost, id)
	switch {
	case e.Phase.Ended() && e.Seq <= f.upto:
		f.drop(id)
		return
	case !there || e.Revision != have.Revision:
		f.heard[id] = time.Now()
	}
	f.orders[id] = e
	if f.born[id] == 0 {
		f.born[id] = e.Seq
	}
}

// drop forgets an order.
func (f *fold) drop(id string) {
	delete(f.orders, id)
	delete(f.heard, id)
	delete(f.born, id)
}

// balance notes what a balance stands for.
func (f *fold) balance(b fleet.Balance) {
	f.since, f.needs = 0, b.Upto+1
	for _, s := range b.Open {
		f.needs = min(f.needs, s.Seq)
	}
}

// wrote lays an act over the fold that the follower has not brought yet.
func (f *fold) wrote(r fleet.Record) {
	if r.Seq <= f.upto {
		return
	}
	f.acts = max(f.acts, r.Seq)
	switch {
	case r.Refusals != nil:
		f.refuse(*r.Refusals, r.Seq)
	case r.IsClaim:
		f.order(r.Entry)
		if r.Phase == fleet.Accepted || r.Phase == fleet.Unknown {
			f.ahead = append(f.ahead, r.Entry)
		}
	}
}

// refuse takes up the rolling record of the refused. Of those that stood there at the
// start nobody here saw pass how long ago it was; that the broker's clock tells, but for
// what would not have been yet.
func (f *fold) refuse(r fleet.Refusals, seq uint64) {
	told := map[string]time.Time{}
	for _, one := range r.List {
		told[one.Order] = time.Now()
		if !f.begun.IsZero() {
			told[one.Order] = time.Now().Add(-min(fleet.RefusedFor, max(0, f.begun.Sub(one.At))))
		}
		for _, had := range f.refusals.List {
			if had.Order == one.Order && had.At.Equal(one.At) {
				told[one.Order] = f.told[one.Order]
			}
		}
	}
	f.refusals, f.refused, f.told = r, seq, told
}

// over reports whether a refusal counts no more, as far as this process saw it.
func (f *fold) over(r fleet.Refusal) bool { return time.Since(f.told[r.Order]) >= fleet.RefusedFor }

// answer is what an id was refused with, not longer ago than that.
func (f *fold) answer(order string) (fleet.Answer, bool) {
	for _, one := range f.refusals.List {
		if one.Order == order && !f.over(one) {
			return one.Answer, true
		}
	}
	return fleet.Answer{}, false
}

// open lists the orders that have not ended, by sequence.
func (f *fold) open() []fleet.Entry {
	out := make([]fleet.Entry, 0, len(f.orders))
	for _, e := range f.orders {
		if !e.Phase.Ended() {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b fleet.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return slices.Clip(out)
}

// queue lists the orders that wait for a machine, in the order of their creates.
func (f *fold) queue() []fleet.Entry {
	out := []fleet.Entry{}
	for _, e := range f.orders {
		if e.Phase == fleet.Accepted || e.Phase == fleet.Again {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b fleet.Entry) int { return cmp.Compare(f.born[a.Order.ID], f.born[b.Order.ID]) })
	return slices.Clip(out)
}

// waiting counts the orders that are neither ended nor parked.
func (f *fold) waiting() (n int) {
	for _, e := range f.orders {
		if e.Phase.Open() {
			n++
		}
	}
	return n
}

// short is Shelf.Short with what is laid over. Without a shelf nothing is there.
func (f *fold) short(items fleet.Items) string {
	items = maps.Clone(items)
	for item, n := range items {
		if n <= 0 {
			continue
		}
		if f.shelf == nil {
			return item
		}
		for _, e := range f.ahead {
			items[item] = min(items[item]+e.Portion[item], math.MaxInt32)
		}
	}
	if f.shelf == nil {
		return ""
	}
	return f.shelf.Short(items)
}

// levels are the shelf's with what is laid over.
func (f *fold) levels() map[string]fleet.Level {
	if f.shelf == nil {
		return nil
	}
	out := f.shelf.Levels()
	for _, e := range f.ahead {
		for item, n := range e.Portion {
			l := out[item]
			l.Reserved += n
			out[item] = l
		}
	}
	return out
}
