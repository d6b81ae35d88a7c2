package web

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

// How long things are kept.
const (
	keepEnded = 24 * time.Hour  // an ended order, with its customer's name
	keepCall  = 5 * time.Minute // a served order's name on the board
)

// order is what the pages know of one order: a fold of its events. Events may
// come late and out of turn; the fold never goes back to an older epoch, and
// ends are final.
type order struct {
	ID       string
	What     fleet.Order // zero until "accepted" was seen
	Place    uint64      // sequence of "accepted"; 0 until it was seen
	Phase    fleet.Phase
	Epoch    int
	rank     int // how far within the epoch, see ranks
	Machine  string
	Cup      bool // it waits for a cup
	Step     string
	N, Of    int
	Steps    []string // of this epoch, in order
	Percent  int
	Outcome  fleet.Outcome
	Reason   fleet.Reason
	Again    bool  // an earlier try came to nothing
	ETA      []int // seconds, as told when it was accepted
	Accepted time.Time
	Ended    time.Time
	last     time.Time // when the latest event was stored
}

// ranks orders the kinds within an epoch.
var ranks = map[fleet.EventKind]int{
	fleet.EvClaimed:  1,
	fleet.EvCup:      2,
	fleet.EvBrewing:  3,
	fleet.EvStep:     4,
	fleet.EvEnd:      5,
	fleet.EvReleased: 5,
	fleet.EvUnknown:  6,
}

// apply folds one stored event in.
func (o *order) apply(e fleet.StoredEvent) {
	o.last = e.Stored
	if o.Phase == "" {
		o.Phase = fleet.Accepted
	}
	switch {
	case e.Kind == fleet.EvAccepted:
		o.accept(e)
	case o.Phase.Ended():
	case fleet.Phase(e.Kind).Ended():
		o.end(e)
	case e.Kind == fleet.EvAgain:
		o.again(e)
	case o.further(e):
		o.move(e)
	}
}

func (o *order) accept(e fleet.StoredEvent) {
	if o.Place != 0 {
		return
	}
	o.Place, o.Accepted, o.ETA = e.Seq, e.Stored, e.ETA
	if e.What != nil {
		o.What = *e.What
	}
	if e.Name != "" {
		o.What.Name = e.Name
	}
}

func (o *order) end(e fleet.StoredEvent) {
	o.Phase, o.Outcome, o.Reason, o.Ended, o.Cup = fleet.Phase(e.Kind), e.Outcome, e.Reason, e.Stored, false
	if e.Machine != "" {
		o.Machine = e.Machine
	}
	if e.Kind == fleet.EvServed {
		o.Percent = 100
	}
}

// again opens the epoch after the unknown one, whichever of the two it names.
func (o *order) again(e fleet.StoredEvent) {
	if e.Epoch < o.Epoch {
		return
	}
	epoch := e.Epoch
	if o.Phase == fleet.Unknown && epoch == o.Epoch {
		epoch++
	}
	o.open(epoch)
	o.Phase, o.Again = fleet.Accepted, true
}

// further reports whether the event lies behind all that was seen of the order,
// and opens its epoch.
func (o *order) further(e fleet.StoredEvent) bool {
	rank, known := ranks[e.Kind]
	step := e.Kind == fleet.EvStep && rank == o.rank && e.N > o.N
	if !known || e.Epoch < o.Epoch || e.Epoch == o.Epoch && rank <= o.rank && !step {
		return false
	}
	if e.Epoch > o.Epoch {
		o.open(e.Epoch)
	}
	o.rank = rank
	return true
}

// move is a step within an epoch.
func (o *order) move(e fleet.StoredEvent) {
	o.Cup = e.Kind == fleet.EvCup
	if e.Machine != "" {
		o.Machine = e.Machine
	}
	switch e.Kind {
	case fleet.EvClaimed, fleet.EvCup:
		o.Phase = fleet.Claimed
	case fleet.EvBrewing:
		o.Phase = fleet.Brewing
	case fleet.EvStep:
		o.Phase, o.Step, o.N, o.Of = fleet.Brewing, e.Step, e.N, e.Of
		o.Percent = max(o.Percent, min(e.Percent, 100))
		if len(o.Steps) < 16 {
			o.Steps = append(slices.Clip(o.Steps), e.Step) // pages hold copies of the old one
		}
	case fleet.EvEnd:
		switch e.Outcome {
		case fleet.Made:
			o.Phase, o.Percent = fleet.Brewing, 100 // "served" follows when the claim says so
		case fleet.Spoiled, fleet.Untouched:
			o.Phase, o.Again, o.Machine, o.Reason = fleet.Accepted, true, "", e.Reason
		}
	case fleet.EvReleased:
		o.Phase, o.Machine = fleet.Accepted, ""
	case fleet.EvUnknown:
		o.Phase, o.Outcome, o.Reason = fleet.Unknown, e.Outcome, e.Reason
	}
}

// open begins an epoch.
func (o *order) open(epoch int) {
	o.Epoch, o.rank, o.Machine, o.Cup = epoch, 0, "", false
	o.Step, o.N, o.Of, o.Steps, o.Percent = "", 0, 0, nil, 0
	o.Outcome, o.Reason = "", fleet.Reason{}
}

// book is the fold of the stream: every order that has not ended, or ended
// within a day. Readers get copies.
type book struct {
	wall func() time.Time

	mu      sync.Mutex
	orders  map[string]*order
	open    map[string]*order // those not ended
	seq     uint64            // of the last stored event seen
	ready   bool              // the history was read to its end
	stale   bool              // the stream broke off and is not back
	running bool
	news    chan struct{} // closed at the next change
}

func newBook(wall func() time.Time) *book {
	return &book{wall: wall, orders: map[string]*order{}, open: map[string]*order{}, news: make(chan struct{})}
}

// next is the sequence from which to follow.
func (b *book) next() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seq + 1
}

// fold takes a stored event. It is the callback of Follow: one at a time.
func (b *book) fold(e fleet.StoredEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Seq <= b.seq {
		return
	}
	b.seq = e.Seq
	b.stale = false
	if _, err := fleet.ParseID(e.Order); err != nil {
		return // poison has no customer
	}
	o := b.orders[e.Order]
	if o == nil {
		o = &order{ID: e.Order}
		b.orders[e.Order], b.open[e.Order] = o, o
	}
	o.apply(e)
	if o.Phase.Ended() {
		delete(b.open, o.ID)
	}
	if b.ready {
		b.tell()
	} else if e.Seq%4096 == 0 {
		b.drop() // ninety days of history need not be in memory at once
	}
}

// live takes the percent of a drink from the unstored news. All else comes by
// fold.
func (b *book) live(e fleet.StoredEvent) {
	if e.Kind != fleet.EvPercent {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.open[e.Order]
	if o == nil || o.Phase != fleet.Brewing || e.Epoch != 0 && e.Epoch != o.Epoch {
		return
	}
	if p := min(e.Percent, 100); p > o.Percent {
		o.Percent = p
		b.tell()
	}
}

// caughtUp says that the history was read to its end.
func (b *book) caughtUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready, b.stale = true, false
	b.drop()
	b.tell()
}

// lost says that the stream broke off.
func (b *book) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stale = true
	b.tell()
}

func (b *book) setRunning(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = on
}

// notReady says why the pages can't tell the present state, or nothing.
func (b *book) notReady() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.running:
		return "the fold of the events is not running"
	case !b.ready:
		return "the history of the events is still being read"
	case b.stale:
		return "the stream of events broke off and is being followed anew"
	}
	return ""
}

// whole reports whether the history was read to its end once: before that, an
// order looks younger than it is.
func (b *book) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready
}

// tell wakes every page. The caller holds mu.
func (b *book) tell() {
	close(b.news)
	b.news = make(chan struct{})
}

// changed is closed at the next change. Take it before reading, so that no
// change is missed.
func (b *book) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}

// prune forgets what ended more than a day ago.
func (b *book) prune() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
}

func (b *book) drop() {
	before := b.wall().Add(-keepEnded)
	for id, o := range b.orders {
		// What never was accepted and has no news is the tail of a forgotten order.
		if o.Phase.Ended() && o.Ended.Before(before) || o.Place == 0 && o.last.Before(before) {
			delete(b.orders, id)
			delete(b.open, id)
		}
	}
}

// sight is one order as its page shows it.
type sight struct {
	order
	Queue int // place in the queue, from 1; 0 when it does not wait
	Seq   uint64
	Stale bool
}

// look returns a copy of an order's state; false if the book has none.
func (b *book) look(id string) (sight, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := sight{Seq: b.seq, Stale: b.stale || !b.ready}
	o := b.orders[id]
	if o == nil {
		s.order = order{ID: id, Phase: fleet.Accepted}
		return s, false
	}
	s.order = *o
	if o.Phase == fleet.Accepted && o.Place != 0 {
		s.Queue = 1
		for _, other := range b.open {
			if other.Phase == fleet.Accepted && other.Place != 0 && other.Place < o.Place {
				s.Queue++
			}
		}
	}
	return s, true
}

// calls returns who is called now, the latest first, and whose drink is being
// made or looked at, the oldest order first.
func (b *book) calls() (called, making []order, seq uint64, stale bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.wall()
	for _, o := range b.orders {
		switch {
		case o.What.Name == "":
		case o.Phase == fleet.Served && now.Sub(o.Ended) < keepCall:
			called = append(called, *o)
		case o.Phase == fleet.Claimed, o.Phase == fleet.Brewing:
			making = append(making, *o)
		}
	}
	slices.SortFunc(called, func(x, y order) int { return cmp.Or(y.Ended.Compare(x.Ended), int(x.Place)-int(y.Place)) })
	slices.SortFunc(making, func(x, y order) int { return int(x.Place) - int(y.Place) })
	return called, making, b.seq, b.stale || !b.ready
}
