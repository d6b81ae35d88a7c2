package stock

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unique"

	"barista/fleet"
)

// Bounds of the memory. They are the same for everybody, because the fold of a
// ledger must come out the same in every service and after every start.
const (
	// closedUses is how many ended uses are remembered exactly: 11 MiB when all
	// places are taken (measured). They are needed to refuse a late reserve and to correct an
	// end. Both can be asked only while the order's claim exists, which is 30
	// days: 50,000 uses are 1,600 drinks a day. A busier shop loses only the
	// correction of an old end (a count mends it): whether an end was booked at
	// all is then looked up in the ledger itself, see Stock.recall.
	closedUses = 50_000
	// actKeys is how many keys of refills, counts and manual decrements are
	// remembered. They tell a retry, which comes within minutes.
	actKeys = 10_000
)

// maxAmount bounds one item of one act: a tonne of beans in grams. It keeps
// sums far from an overflow.
const maxAmount = 1_000_000

// maxUse bounds the number of a use; a claim rarely comes to its third.
const maxUse = math.MaxInt16

// useKey is one use of stock by one order.
type useKey struct {
	order [26]byte
	use   int16
}

func keyOf(order string, use int) useKey {
	k := useKey{use: int16(use)}
	copy(k.order[:], order)
	return k
}

// vector is a set of items in eight bytes: a shop has few different cups, so
// equal ones are stored once.
type vector = unique.Handle[string]

func pack(items fleet.Items) vector {
	b, _ := json.Marshal(items) // tokens and numbers, sorted: cannot fail
	return unique.Make(string(b))
}

func unpack(v vector) fleet.Items {
	var items fleet.Items
	_ = json.Unmarshal([]byte(v.Value()), &items) // our own, from pack
	return items
}

// end is how a use ended.
type end struct {
	act   fleet.Act
	seq   uint64 // of the first end: when it physically happened, as far as we know
	taken vector // what was really taken from on hand
}

// keyed is an act without order that was given with a key.
type keyed struct {
	act   fleet.Act
	items vector
}

// level is what is there of one item, and the sequence of its last count.
type level struct {
	fleet.Level
	counted uint64
}

// add moves n between on hand and the total of the act.
func (l *level) add(act fleet.Act, n int) {
	switch act {
	case fleet.Consume:
		l.Consumed += n
	case fleet.Waste:
		l.Wasted += n
	}
}

// fold is the ledger up to a sequence, as levels and uses.
type fold struct {
	seq    uint64
	levels map[string]*level
	open   map[useKey]vector // reserved, never forgotten
	closed recent[useKey, end]
	keys   recent[string, keyed]
}

func newFold(closed int) *fold {
	return &fold{
		levels: map[string]*level{},
		open:   map[useKey]vector{},
		closed: newRecent[useKey, end](closed),
		keys:   newRecent[string, keyed](actKeys),
	}
}

func (f *fold) level(item string) *level {
	l := f.levels[item]
	if l == nil {
		l = &level{}
		f.levels[item] = l
	}
	return l
}

// view is a copy of the levels.
func (f *fold) view() map[string]fleet.Level {
	out := make(map[string]fleet.Level, len(f.levels))
	for item, l := range f.levels {
		out[item] = l.Level
	}
	return out
}

// apply folds one entry. It never fails on a well-formed ledger; an entry that
// makes no sense changes nothing and comes back as an error to be logged. An
// entry that repeats another changes nothing.
func (f *fold) apply(seq uint64, e fleet.Entry) error {
	if seq <= f.seq {
		return nil
	}
	f.seq = seq
	if err := checkEntry(e); err != nil {
		return err
	}
	if e.Order != "" {
		k := keyOf(e.Order, e.Use)
		if e.Act == fleet.Reserve {
			f.reserve(k, e.Items)
		} else {
			f.end(seq, k, e.Act, e.Items)
		}
		return nil
	}
	if e.Key != "" {
		if _, twice := f.keys.get(e.Key); twice {
			return nil
		}
		f.keys.put(e.Key, keyed{e.Act, pack(e.Items)})
	}
	for item, n := range e.Items {
		switch e.Act {
		case fleet.Refill:
			l := f.level(item)
			l.OnHand += n
			l.Refilled += n
		case fleet.Count:
			l := f.level(item)
			if more := n - l.OnHand; more > 0 {
				l.Refilled += more
			} else {
				l.Wasted -= more
			}
			l.OnHand, l.counted = n, seq
		case fleet.Consume, fleet.Waste:
			if l := f.levels[item]; l != nil {
				n = min(n, l.OnHand)
				l.OnHand -= n
				l.add(e.Act, n)
			}
		}
	}
	return nil
}

func (f *fold) reserve(k useKey, items fleet.Items) {
	if f.isOpen(k) {
		return
	}
	if _, over := f.closed.get(k); over {
		return
	}
	for item, n := range items {
		f.level(item).Reserved += n
	}
	f.open[k] = pack(items)
}

func (f *fold) isOpen(k useKey) bool {
	_, open := f.open[k]
	return open
}

// taken is what an end would really take: not more than there is.
func (f *fold) taken(k useKey, act fleet.Act, items fleet.Items) fleet.Items {
	got := fleet.Items{}
	if act == fleet.Release {
		return got
	}
	was, again := f.closed.get(k)
	var before fleet.Items
	if again {
		before = unpack(was.taken)
	}
	for item, n := range items {
		l := f.levels[item]
		switch {
		case l == nil:
			n = 0
		case again && l.counted > was.seq: // on hand stays as it was counted
		default:
			n = min(n, l.OnHand+before[item])
		}
		if n > 0 {
			got[item] = n
		}
	}
	return got
}

// end closes a use, or replaces the end that it had.
func (f *fold) end(seq uint64, k useKey, act fleet.Act, items fleet.Items) {
	was, again := f.closed.get(k)
	if again && was.act == act {
		return
	}
	got := f.taken(k, act, items)
	if reserved, open := f.open[k]; open {
		for item, n := range unpack(reserved) {
			f.levels[item].Reserved -= n
		}
		delete(f.open, k)
	}
	if !again {
		for item, n := range got {
			l := f.levels[item]
			l.OnHand -= n
			l.add(act, n)
		}
		f.closed.put(k, end{act, seq, pack(got)})
		return
	}
	before := unpack(was.taken)
	touched := maps.Clone(before)
	maps.Copy(touched, got)
	for item := range touched {
		l := f.levels[item]
		l.add(was.act, -before[item])
		l.add(act, got[item])
		switch back := before[item] - got[item]; {
		case l.counted <= was.seq:
			l.OnHand += back
		case back > 0:
			l.Wasted += back
		default:
			l.Refilled -= back
		}
	}
	f.closed.put(k, end{act, was.seq, pack(got)})
}

// short names the first item of which there is not enough, beans first, then
// milk, then sugar; empty if there is enough of all.
func (f *fold) short(items fleet.Items) string {
	names := slices.SortedFunc(maps.Keys(items), func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, item := range names {
		if n := items[item]; n > 0 && (f.levels[item] == nil || f.levels[item].Available() < n) {
			return item
		}
	}
	return ""
}

func rank(item string) int {
	switch {
	case item == fleet.ItemSugar:
		return 2
	case strings.HasPrefix(item, fleet.MilkItem("")):
		return 1
	}
	return 0
}

// checkEntry says why an entry is none.
func checkEntry(e fleet.Entry) error {
	ofOrder := false
	switch e.Act {
	case fleet.Reserve, fleet.Release:
		ofOrder = true
	case fleet.Consume, fleet.Waste:
		ofOrder = e.Order != ""
	case fleet.Refill, fleet.Count:
	default:
		return fmt.Errorf("there is no act %.20q", e.Act)
	}
	if !ofOrder && e.Order != "" {
		return fmt.Errorf("a %s belongs to no order", e.Act)
	}
	if ofOrder {
		if err := checkUse(e.Order, e.Use); err != nil {
			return err
		}
	}
	return checkItems(e.Items)
}

func checkUse(order string, use int) error {
	if id, err := fleet.ParseID(order); err != nil {
		return fmt.Errorf("order: %w", err)
	} else if id != order {
		return errors.New("order: must be in upper case")
	}
	if use < 0 || use > maxUse {
		return fmt.Errorf("use: must be 0 to %d", maxUse)
	}
	return nil
}

// checkItems returns all problems of the items, joined.
func checkItems(items fleet.Items) error {
	var errs []error
	for _, item := range slices.Sorted(maps.Keys(items)) {
		errs = append(errs, checkItem(item, items[item]))
	}
	return errors.Join(errs...)
}

func checkItem(item string, n int) error {
	if !fleet.IsToken(item) {
		return fmt.Errorf("item %.40q: must be 1 to 32 of a-z, 0-9 and -", item)
	}
	if n < 0 || n > maxAmount {
		return fmt.Errorf("%s: the amount must be 0 to %d", item, maxAmount)
	}
	return nil
}
