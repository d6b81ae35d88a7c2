package web

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

// How long things are kept, and how many.
const (
	keepEnded = 24 * time.Hour  // an ended order, with its customer's name
	mostEnded = 4096            // of them; the page of an older one asks the book
	keepCall  = 5 * time.Minute // a served order's name on the board
	mostSteps = 32              // of a drink, as its page lists them
)

// order is what the pages know of one order: its last claim, as far as they show
// it, and what is heard of the work on it.
type order struct {
	ID       string
	What     fleet.Order
	Place    uint64 // sequence of its create; 0: older than what was read
	Phase    fleet.Phase
	Epoch    int
	Machine  string
	Outcome  fleet.Outcome
	Reason   fleet.Reason
	Again    bool  // an earlier try came to nothing
	ETA      []int // seconds, as told when it was accepted
	Accepted time.Time
	Since    time.Time // when its last claim was written
	Ended    time.Time
	Taken    bool // its customer has it: pressed here, and written nowhere
	// Missed is by how many seconds the cup left the range of ETA (fleet.Claim.Scored); nil
	// where it did not come, or nobody can say.
	Missed *float64
	work
}

// number is what is called beside the name: people of one name have it to tell their
// cups apart. It comes round after 900 orders.
func (o *order) number() int {
	n := o.Place
	if n == 0 { // older than what was read
		for _, b := range []byte(o.ID) {
			n = n*31 + uint64(b)
		}
	}
	return int(100 + n%900)
}

// work is how far a machine has come in the present epoch, as it tells it. It is
// heard live and stored nowhere: after a start of the web it comes with the next
// step.
type work struct {
	Step    string
	N, Of   int
	Steps   []string      // that were heard of, in order
	Stages  []fleet.Stage // all of them, those to come too; none from a machine that can't say
	Percent int
}

// apply folds the next record of the order's claim in. A record is the whole
// claim, so nothing is kept of those before it but the time of the first.
func (o *order) apply(e fleet.Entry) {
	c := e.Claim
	if c.Epoch != o.Epoch || c.Phase == fleet.Again {
		o.work = work{}
	}
	o.ID, o.What, o.Phase, o.Epoch, o.Machine = c.Order.ID, c.Order, c.Phase, c.Epoch, c.Machine()
	o.Outcome, o.Reason, o.ETA, o.Again = c.Outcome, c.Reason, c.Answer.ETA, false
	for i, p := range c.Past {
		if p.Outcome == fleet.Untouched && !p.Fenced {
			continue // only looked at
		}
		o.Again = true
		if o.waits() && i == len(c.Past)-1 && p.Outcome != fleet.OutcomeUnknown {
			o.Reason = p.Reason
		}
	}
	o.Since = e.Written
	if c.Phase == fleet.Accepted && c.Epoch == 1 && o.Accepted.IsZero() { // an old one may be written anew, as it is
		o.Place, o.Accepted = e.Seq, e.Written
	}
	if c.Phase.Ended() {
		o.Ended = e.Written
	}
	if missed, told := c.Scored(o.Accepted, e.Written); told && !o.Accepted.IsZero() {
		o.Missed = &missed
	}
	if c.Phase == fleet.Served {
		o.Percent = 100
	}
}

// waits reports whether the order waits for a machine.
func (o *order) waits() bool { return o.Phase == fleet.Accepted || o.Phase == fleet.Again }

// hear takes what a machine tells of its work, and reports whether it shows. A
// step may come before the record of its fence.
func (o *order) hear(e fleet.Event) (shows bool) {
	if !o.Phase.Open() || e.Epoch != 0 && e.Epoch != o.Epoch {
		return false
	}
	brewing := o.Phase == fleet.Brewing
	if e.Kind == fleet.EvStep && e.N > o.N {
		o.Step, o.N, o.Of = e.Step, e.N, e.Of
		if 0 < len(e.Stages) && len(e.Stages) <= mostSteps {
			o.Stages = e.Stages
		}
		if len(o.Steps) < mostSteps {
			o.Steps = append(slices.Clip(o.Steps), e.Step) // pages hold copies of the old one
		}
		shows = brewing
	}
	if p := min(e.Percent, 100); brewing && p > o.Percent && (e.Kind == fleet.EvStep || e.Kind == fleet.EvPercent) {
		o.Percent, shows = p, true
	}
	return shows
}

// fold is what follows from the records that were read: every order of which one
// was, but those that ended long ago.
type fold struct {
	orders map[string]*order
	open   map[string]*order // those not ended
	ended  []*order          // in the order of their ends
	cut    time.Time         // when the last one ended that was dropped because of too many
}

func newFold() *fold { return &fold{orders: map[string]*order{}, open: map[string]*order{}} }

func (f *fold) take(e fleet.Entry, now time.Time) {
	id := e.Order.ID
	o := f.orders[id]
	if o == nil {
		o = &order{}
		f.orders[id] = o
	}
	over := o.Phase.Ended()
	o.apply(e)
	switch {
	case !o.Phase.Ended():
		f.open[id] = o
	case !over:
		delete(f.open, id)
		f.ended = append(f.ended, o)
	}
	f.forget(now)
}

// forget drops what ended more than a day ago, and the oldest of too many.
func (f *fold) forget(now time.Time) {
	n := max(0, len(f.ended)-mostEnded)
	if n > 0 {
		f.cut = f.ended[n-1].Ended
	}
	for n < len(f.ended) && now.Sub(f.ended[n].Ended) > keepEnded {
		n++
	}
	for _, o := range f.ended[:n] {
		delete(f.orders, o.ID)
	}
	f.ended = slices.Delete(f.ended, 0, n)
}

// book is the fold that the pages show. Readers get copies.
type book struct {
	wall func() time.Time

	mu      sync.Mutex
	refused refusals
	now     *fold
	next    *fold // while records are read anew: what will be shown when they are
	ready   bool  // they were read to their end once
	stale   bool  // the book broke off and is not back
	running bool
	news    chan struct{} // closed at the next change
}

func newBook(wall func() time.Time) *book {
	return &book{wall: wall, now: newFold(), news: make(chan struct{})}
}

// begin is called before the records are read, the first time or anew. What the
// pages show stays until all are read: a store may come back without its last
// records, and then those must go from here too.
func (b *book) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = newFold()
}

// take folds a record in. One at a time, in the order of the book. What was
// carried over from a former layout was over before it was written.
func (b *book) take(r fleet.Record) {
	if r.Refusals == nil && (!r.IsClaim || r.Via == fleet.ViaOld) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Refusals != nil {
		b.refused.hear(*r.Refusals)
		return
	}
	if b.next != nil {
		b.next.take(r.Entry, b.wall())
		return
	}
	b.now.take(r.Entry, b.wall())
	b.tell()
}

// caughtUp says that all was read that was there.
func (b *book) caughtUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, o := range b.next.orders {
		if old := b.now.orders[id]; old != nil {
			o.Taken = old.Taken
			if old.Epoch == o.Epoch && o.Phase.Open() {
				o.work = old.work
			}
		}
	}
	b.now, b.next = b.next, nil
	b.ready, b.stale = true, false
	b.tell()
}

// live takes what machines tell of their work.
func (b *book) live(e fleet.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.now.orders[e.Order]; o != nil && o.hear(e) {
		b.tell()
	}
}

// taken notes that a customer has his drink.
func (b *book) taken(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.now.orders[id]; o != nil && !o.Taken {
		o.Taken = true
		b.tell()
	}
}

// lost says that the book broke off.
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
		return "the fold of the book is not running"
	case !b.ready:
		return "the book is still being read"
	case b.stale:
		return "the book broke off and is being followed anew"
	}
	return ""
}

// whole reports whether the records were read to their end once: before that, an
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

// prune forgets what ended more than a day ago, in a shop without orders too.
func (b *book) prune() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now.forget(b.wall())
	b.refused.since(b.wall().Add(-keepEnded))
}

// sight is one order as its page shows it.
type sight struct {
	order
	Queue int // place in the queue, from 1; 0 when it does not wait
	Stale bool
}

// look returns a copy of an order's state; false if the fold has none.
func (b *book) look(id string) (sight, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := sight{Stale: b.stale || !b.ready}
	o := b.now.orders[id]
	if o == nil {
		s.order = order{ID: id, Phase: fleet.Accepted}
		return s, false
	}
	s.order = *o
	if o.waits() {
		s.Queue = 1
		for _, other := range b.now.open {
			if other.waits() && !other.What.IsCare() && other.compare(o) < 0 {
				s.Queue++
			}
		}
	}
	return s, true
}

// compare is negative for an order that was accepted before the other one.
func (o *order) compare(other *order) int {
	return cmp.Or(cmp.Compare(o.Place, other.Place), cmp.Compare(o.ID, other.ID))
}

// calls returns who waits, and whose drink is being made, looked at or in doubt, the
// oldest order first; and who is called now, the latest first.
func (b *book) calls() (waiting, making, called []order, stale bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.wall()
	for _, o := range slices.Backward(b.now.ended) {
		if now.Sub(o.Ended) >= keepCall {
			break
		}
		if o.Phase == fleet.Served && !o.Taken && !o.What.IsCare() {
			called = append(called, *o)
		}
	}
	for _, o := range b.now.open {
		if o.waits() {
			waiting = append(waiting, *o)
		} else {
			making = append(making, *o)
		}
	}
	byPlace := func(x, y order) int { return x.compare(&y) }
	slices.SortFunc(waiting, byPlace)
	slices.SortFunc(making, byPlace)
	slices.SortFunc(called, func(x, y order) int { return cmp.Or(y.Ended.Compare(x.Ended), x.compare(&y)) })
	return waiting, making, called, b.stale || !b.ready
}
