package window

import (
	"cmp"
	"slices"
	"sync"
)

// most is how much is kept of the newest records, in bytes as they go out: a day of a
// shop with a thousand orders. Webs and watching operators live on these alone; what is
// older is read from the broker.
const most = 4 << 20

// recent are the newest records of the book, without a gap, written for the wire once
// for everybody.
type recent struct {
	mu      sync.Mutex
	first   uint64 // every record from here on is in the list; 0: nothing is known
	list    []kept // by sequence
	bytes   int
	changed chan struct{}
}

type kept struct {
	seq  uint64
	json []byte
}

func newRecent() *recent { return &recent{changed: make(chan struct{})} }

// begin forgets all: what comes next is every record from the sequence on.
func (r *recent) begin(first uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first, r.list, r.bytes = first, nil, 0
	r.stir()
}

// take adds the next record. One that is not behind the last is of a book that went
// back: what was known of it is known no more.
func (r *recent) take(seq uint64, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.list); r.first == 0 || seq < r.first || n > 0 && seq <= r.list[n-1].seq {
		r.first, r.list, r.bytes = seq, nil, 0
	}
	r.list = append(r.list, kept{seq, b})
	for r.bytes += len(b); r.bytes > most; {
		r.first = r.list[0].seq + 1
		r.bytes -= len(r.list[0].json)
		r.list[0] = kept{}
		r.list = r.list[1:]
	}
	r.stir()
}

// stir wakes whoever waits. The caller holds the lock.
func (r *recent) stir() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// begins is the sequence from which on all is here; 0 if nothing is.
func (r *recent) begins() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first
}

// fill fills a page from the sequence on. next is where the next one begins; false if
// that is not all here. changed is closed at the next change.
func (r *recent) fill(p *page, from uint64) (next uint64, here bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next = from
	if r.first == 0 || from < r.first {
		return next, false, r.changed
	}
	at, _ := slices.BinarySearchFunc(r.list, from, func(one kept, from uint64) int { return cmp.Compare(one.seq, from) })
	for _, one := range r.list[at:] {
		if !p.add(one.json) {
			break
		}
		next = one.seq + 1
	}
	return next, true, r.changed
}
