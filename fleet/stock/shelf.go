package stock

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/fleet"
)

const (
	// actKeys is how many keys of refills, counts and manual decrements are
	// remembered. They tell a retry, which comes within minutes.
	actKeys = 10_000
	// A balance carries those of keysFor, and not more than maxKeys: it is one
	// record of the book. The last fewKeys it carries in any case: keysFor goes by the
	// broker's clock, which may be set forward between an act and its retry.
	keysFor = 25 * time.Hour
	maxKeys = 500
	fewKeys = 50
)

// level is what is there of one item, and the record of its last count.
type level struct {
	fleet.Level
	counted uint64
}

// held is what an order that is not over has of the shelf.
type held struct {
	seq      uint64 // the record that said so
	portion  fleet.Items
	reserved int // portions that are promised to it
	used     int // portions that went into a drink, or nobody knows
	wasted   int // portions of which no drink came
	// Of an order in doubt: what its last portion really took, and the record that
	// it was taken by. A person may yet say that nothing was.
	taken fleet.Items
	at    uint64
}

// Shelf is the stock as the book says it. It implements fleet.Shelf: the ledger
// hands it the records in order. Only what is not over is kept of orders.
type Shelf struct {
	log    *slog.Logger
	levels map[string]*level
	open   map[string]held
	keys   recent[string, fleet.Keyed]
	last   time.Time // the newest record's, by the broker's clock
}

var _ fleet.Shelf = (*Shelf)(nil)

// NewShelf is an empty shelf; log may be nil.
func NewShelf(log *slog.Logger) *Shelf {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Shelf{log: log, levels: map[string]*level{}, open: map[string]held{}, keys: newRecent[string, fleet.Keyed](actKeys)}
}

// Take folds the next record. What makes no sense changes nothing; an order with
// such a portion is kept, and has nothing of the shelf.
func (s *Shelf) Take(r fleet.Record) {
	if r.Written.After(s.last) {
		s.last = r.Written
	}
	var err error
	switch {
	case r.IsClaim:
		if err = r.Portion.Check(); err != nil {
			r.Portion = nil
		}
		s.claim(r.Seq, r.Claim)
	case r.Stock != nil:
		if err = r.Stock.Check(); err == nil {
			s.act(r.Seq, r.Written, *r.Stock)
		}
	}
	if err != nil {
		s.log.Error("a record of the book makes no sense for the stock and counts for nothing", "seq", r.Seq, "err", err)
	}
}

// claim moves an order from what it had of the shelf to what its claim says. Only
// the two are compared, so it does not matter what of the way between was missed.
func (s *Shelf) claim(seq uint64, c fleet.Claim) {
	id := c.Order.ID
	h := s.open[id]
	reserved, used, wasted := c.Portions()
	s.promise(h.portion, -h.reserved)
	s.promise(c.Portion, reserved)
	// The only way back is from an unknown that is settled: as spoiled, or as not
	// made.
	if h.used > used && h.wasted < wasted {
		s.move(h.taken)
		h.used, h.wasted = h.used-1, h.wasted+1
	}
	if h.used > used {
		s.giveBack(h)
	}
	for range wasted - h.wasted {
		s.take(c.Portion, fleet.Waste)
	}
	for range used - h.used {
		h.taken, h.at = s.take(c.Portion, fleet.Consume), seq
	}
	if c.Phase.Ended() {
		delete(s.open, id)
		return
	}
	if c.Phase != fleet.Unknown {
		h.taken, h.at = nil, 0
	}
	s.open[id] = held{seq, c.Portion, reserved, used, wasted, h.taken, h.at}
}

// promise adds so many portions to what is promised.
func (s *Shelf) promise(portion fleet.Items, n int) {
	if n == 0 {
		return
	}
	for item, amount := range portion {
		s.level(item).Reserved += n * amount
	}
}

// take takes items from on hand, not more than there is, and says what.
func (s *Shelf) take(items fleet.Items, as fleet.Act) fleet.Items {
	got := fleet.Items{}
	for item, n := range items {
		l := s.levels[item]
		if l == nil {
			continue
		}
		if n = min(n, l.OnHand); n > 0 {
			got[item] = n
		}
		l.OnHand -= n
		if as == fleet.Waste {
			l.Wasted += n
		} else {
			l.Consumed += n
		}
	}
	return got
}

// move makes waste of what was taken for a drink.
func (s *Shelf) move(taken fleet.Items) {
	for item, n := range taken {
		l := s.level(item)
		l.Consumed -= n
		l.Wasted += n
	}
}

// giveBack puts back what an order in doubt had taken. Where somebody has counted
// since, on hand stays as it was found.
func (s *Shelf) giveBack(h held) {
	for item, n := range h.taken {
		l := s.level(item)
		l.Consumed -= n
		if l.counted > h.at {
			l.Wasted += n
		} else {
			l.OnHand += n
		}
	}
}

// act folds what belongs to no order. An act whose key was given before is not
// written in the first place, see Stock; the fold must come out the same for those
// who remember that key and those who don't, so here every act counts.
func (s *Shelf) act(seq uint64, written time.Time, a fleet.StockAct) {
	if a.Key != "" {
		s.keys.put(a.Key, fleet.Keyed{Key: a.Key, Act: a.Act, Items: a.Items, At: written})
	}
	switch a.Act {
	case fleet.Refill:
		for item, n := range a.Items {
			l := s.level(item)
			l.OnHand += n
			l.Refilled += n
		}
	case fleet.Count:
		for item, n := range a.Items {
			l := s.level(item)
			if more := n - l.OnHand; more > 0 {
				l.Refilled += more
			} else {
				l.Wasted -= more
			}
			l.OnHand, l.counted = n, seq
		}
	case fleet.Consume, fleet.Waste:
		s.take(a.Items, a.Act)
	}
}

func (s *Shelf) level(item string) *level {
	l := s.levels[item]
	if l == nil {
		l = &level{}
		s.levels[item] = l
	}
	return l
}

// Short names the first item of which there is not enough, beans first, then
// milk, then sugar; empty if there is enough of all.
func (s *Shelf) Short(items fleet.Items) string {
	return short(items, func(item string) int {
		if l := s.levels[item]; l != nil {
			return l.Available()
		}
		return 0
	})
}

func short(items fleet.Items, available func(item string) int) string {
	names := slices.SortedFunc(maps.Keys(items), func(a, b string) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(a, b))
	})
	for _, item := range names {
		if n := items[item]; n > 0 && available(item) < n {
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

// Levels is what is there, by item.
func (s *Shelf) Levels() map[string]fleet.Level {
	out := make(map[string]fleet.Level, len(s.levels))
	for item, l := range s.levels {
		out[item] = l.Level
	}
	return out
}

// Seen reports whether an act with this key was folded, and which.
func (s *Shelf) Seen(key string) (fleet.Act, fleet.Items, bool) {
	k, seen := s.keys.get(key)
	return k.Act, k.Items, seen
}

// Balance is the shelf as a record of the book.
func (s *Shelf) Balance(b *fleet.Balance) {
	b.Levels, b.Counted = s.Levels(), map[string]uint64{}
	for item, l := range s.levels {
		if l.counted > 0 {
			b.Counted[item] = l.counted
		}
	}
	b.Open = nil
	for id, h := range s.open {
		b.Open = append(b.Open, fleet.Share{Order: id, Seq: h.seq, Taken: h.taken, At: h.at})
	}
	slices.SortFunc(b.Open, func(x, y fleet.Share) int { return cmp.Compare(x.Seq, y.Seq) })
	b.Keys = nil
	others := len(s.keys.ring) - fewKeys
	for k := range s.keys.all() {
		if others--; others < 0 || s.last.Sub(k.At) < keysFor {
			b.Keys = append(b.Keys, k)
		}
	}
	b.Keys = b.Keys[max(0, len(b.Keys)-maxKeys):]
}

// Restore begins at a balance, with the records of the orders that were open. What
// is promised is counted from those.
func (s *Shelf) Restore(b fleet.Balance, open []fleet.Entry) {
	*s = *NewShelf(s.log)
	for item, l := range b.Levels {
		l.Reserved = 0
		s.levels[item] = &level{l, b.Counted[item]}
	}
	shares := map[string]fleet.Share{}
	for _, one := range b.Open {
		shares[one.Order] = one
	}
	for _, e := range open {
		if e.Portion.Check() != nil {
			e.Portion = nil
		}
		reserved, used, wasted := e.Portions()
		one := shares[e.Order.ID]
		s.promise(e.Portion, reserved)
		s.open[e.Order.ID] = held{e.Seq, e.Portion, reserved, used, wasted, one.Taken, one.At}
		delete(shares, e.Order.ID)
	}
	for id, one := range shares {
		h := held{seq: one.Seq, portion: one.Taken, taken: one.Taken, at: one.At}
		if len(one.Taken) > 0 {
			h.used = 1
		}
		s.open[id] = h
	}
	for _, k := range b.Keys {
		s.keys.put(k.Key, k)
	}
}
