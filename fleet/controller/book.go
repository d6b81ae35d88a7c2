package controller

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

// opened is the slot of the event that began the wait of a message.
func opened(message string) string {
	if _, epoch, again := strings.Cut(message, "#e"); again {
		return string(fleet.EvAgain) + "-" + epoch
	}
	return string(fleet.EvAccepted)
}

func againSlot(epoch int) string { return fleet.Event{Kind: fleet.EvAgain, Epoch: epoch}.Slot() }

// book is what the controller remembers of the claims: the orders that are not
// over, and of those that are, the ones whose events are not all published. It
// is filled by the watch of the claims and can be thrown away at any moment.
type book struct {
	news  signal // for the herald: an order owes an event
	moved signal // something changed
	short signal // for the sweep: a remake needs its reservation

	mu    sync.Mutex // guards what follows
	lines map[string]*line
	fresh []string // orders that the herald has to look at
	last  uint64   // the latest revision that the watch handed over
	told  uint64   // up to this revision every event is published
}

// line is one order.
type line struct {
	e fleet.ClaimEntry
	// since is when the present message began to wait, by the broker's clock;
	// sure says that it is not just when we looked first. message is what it
	// belongs to: "make it again" begins a new wait.
	since    time.Time
	sure     bool
	message  string
	reserved int             // the highest use that is surely reserved
	told     map[string]bool // event slots that are published
	late     time.Time       // when a machine's own events become ours to publish; monotonic
}

func newBook() *book {
	return &book{news: make(signal, 1), moved: make(signal, 1), short: make(signal, 1), lines: map[string]*line{}}
}

// watched takes what the watch hands over, which is in order of revisions.
func (b *book) watched(e fleet.ClaimEntry) { b.see(e, true) }

// wrote takes what this controller has just written, so that the next customer
// does not wait for the watch. The entry has no time yet.
func (b *book) wrote(e fleet.ClaimEntry) { b.see(e, false) }

func (b *book) see(e fleet.ClaimEntry, watched bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if watched {
		b.last = max(b.last, e.Revision)
	}
	id := e.Order.ID
	l := b.lines[id]
	if l == nil {
		old := e.Revision <= b.told
		if old && e.Phase.Ended() {
			return
		}
		l = &line{told: map[string]bool{}}
		if old {
			for _, d := range owed(e.Claim) {
				l.told[d.Slot()] = true
			}
		}
		b.lines[id] = l
	} else if e.Revision < l.e.Revision || e.Revision == l.e.Revision && !l.e.Created.IsZero() {
		return
	}
	l.e = e
	if m := e.MessageID(); l.message != m || l.since.IsZero() {
		l.message, l.since = m, e.Created
		// The write that opened the wait is the one that we see, unless a
		// machine had it in hand since.
		l.sure = e.Phase == fleet.Accepted && (e.Epoch == 1 || opened(e.MessageID()) == againSlot(e.Epoch))
	}
	l.late = time.Now()
	b.fresh = append(b.fresh, id)
	b.news.raise()
	b.moved.raise()
	if e.Phase == fleet.Accepted && e.Use > l.reserved {
		b.short.raise()
	}
}

// open lists the orders that are neither ended nor parked, oldest revision
// first. The lines are copies.
func (b *book) open() []line {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []line
	for _, l := range b.lines {
		switch l.e.Phase {
		case fleet.Accepted, fleet.Claimed, fleet.Brewing:
			out = append(out, *l)
		}
	}
	slices.SortFunc(out, func(a, b line) int { return int(a.e.Revision) - int(b.e.Revision) })
	return out
}

// orders lists what is open, without the order id itself.
func (b *book) orders(but string) []fleet.Order {
	var out []fleet.Order
	for _, l := range b.open() {
		if l.e.Order.ID != but {
			out = append(out, l.e.Order)
		}
	}
	return out
}

// size is what cup an order wants, if the order is in the book.
func (b *book) size(id string) (fleet.Size, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lines[id]; l != nil {
		return l.e.Order.Size, true
	}
	return "", false
}

// waits notes since when an order waits.
func (b *book) waits(id, message string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lines[id]; l != nil && l.message == message {
		l.sure = true
		if since.Before(l.since) {
			l.since = since
		}
	}
}

// reserved notes that a use of stock is reserved.
func (b *book) reserved(id string, use int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lines[id]; l != nil {
		l.reserved = max(l.reserved, use)
	}
}

// debt is an event that a claim demands. A machine publishes those of its own
// doing; they become the controller's only when that did not happen for long.
type debt struct {
	fleet.Event
	machines bool
}

// owed lists the events that a claim demands of the controller, in their order.
// It is pure, so that a restart owes the same.
func owed(c fleet.Claim) []debt {
	var out []debt
	id, o := c.Order.ID, c.Order
	if c.Said() {
		out = append(out, debt{Event: fleet.Event{
			Order: id, Kind: fleet.EvAccepted, Epoch: 1, Name: o.Name, What: &o, ETA: c.Answer.ETA, Portion: c.Portion,
		}})
	}
	for _, p := range c.Past {
		if p.Outcome == fleet.OutcomeUnknown {
			out = append(out, debt{Event: fleet.Event{Order: id, Kind: fleet.EvAgain, Epoch: p.Epoch + 1, By: c.By}})
		}
	}
	if e, ok := c.EndEvent(); ok {
		d := debt{Event: e}
		switch c.Phase {
		case fleet.Unknown:
			d.machines = true
		case fleet.Served, fleet.Failed:
			d.machines = c.Owner != nil && c.By == "" // else a person, or we
		case fleet.Refused:
			d.Name, d.What, d.Reason = o.Name, &o, answered(c.Answer)
		}
		out = append(out, d)
	}
	return out
}

// lookAgain lets the herald look at every line.
func (b *book) lookAgain() {
	b.mu.Lock()
	b.fresh = slices.Collect(maps.Keys(b.lines))
	b.mu.Unlock()
}

// take hands the herald what it has to look at.
func (b *book) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.fresh
	b.fresh = nil
	return out
}

// debts lists the events of an order that are due now. patience is how long a
// machine may take to publish its own.
func (b *book) debts(id string, patience time.Duration) (due []fleet.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lines[id]
	if l == nil {
		return nil
	}
	for _, d := range owed(l.e.Claim) {
		if !l.told[d.Slot()] && (!d.machines || time.Since(l.late) >= patience) {
			due = append(due, d.Event)
		}
	}
	return due
}

// published notes that an event of an order is stored.
func (b *book) published(id, slot string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lines[id]; l != nil {
		l.told[slot] = true
	}
}

// close forgets an order that is over and owes nothing.
func (b *book) close(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lines[id]; l != nil && l.e.Phase.Ended() && l.owes() == 0 {
		delete(b.lines, id)
		b.moved.raise()
	}
}

// owes counts the events that are not published.
func (l *line) owes() int {
	n := 0
	for _, d := range owed(l.e.Claim) {
		if !l.told[d.Slot()] {
			n++
		}
	}
	return n
}

// settled is the revision up to which every event of every claim is published.
func (b *book) settled() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	upTo := b.last
	for _, l := range b.lines {
		if l.owes() > 0 {
			upTo = min(upTo, l.e.Revision-1)
		}
	}
	b.told = max(b.told, upTo)
	return b.told
}

// begunAnew reports whether the mark lies beyond every claim that there is, and
// if so forgets the mark and what was judged by it.
func (b *book) begunAnew() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told <= b.last {
		return false
	}
	b.told = 0
	clear(b.lines)
	return true
}

// latest is the highest revision that the watch handed over.
func (b *book) latest() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}
