package journal

import (
	"slices"
	"time"

	"barista/driver/guard"
)

// index is what the records say together. Reading the same records twice gives
// the same index as reading them once.
type index struct {
	attempts map[Key]State
	latest   map[string]int // the highest epoch of an order that was started
	open     []Record       // not confirmed, as started
	order    []Key          // all, as started; nil once the file is open: only compaction needs it
	reading  bool           // keep order
	dirty    Key            // the drink whose cup was not seen taken
	before   Key            // the same, before the last start
	boot     string         // of the kernel, under which the last records were written; "": they are on disk
	held     string         // which lock the last process held, and under which boot
	damage   string
	after    string      // the journal in whose place this one was begun, when it was damaged
	guard    guard.Place // the guard's memory beside it
	taken    uint64      // records in all
	hardware string      // its name, where it is not the header's any more
}

// forgotten is a drink whose record a power cut may have taken, while its cup may
// stand there.
var forgotten = Key{Order: "?"}

func newIndex() *index {
	return &index{attempts: map[Key]State{}, latest: map[string]int{}, reading: true}
}

// find gives the place of an open record; there are never many.
func (x *index) find(k Key) int {
	return slices.IndexFunc(x.open, func(r Record) bool { return r.Key == k })
}

// apply takes one record. Records that say nothing new change nothing.
func (x *index) apply(p payload) {
	k := p.key()
	s := x.attempts[k]
	x.taken++
	switch p.Do {
	case doStart, doDrink:
		if s.Phase != "" {
			return
		}
		if x.reading {
			x.order = append(x.order, k)
		}
		x.before, x.dirty = x.dirty, k
		x.latest[k.Order] = max(x.latest[k.Order], k.Epoch)
		if p.Do == doDrink {
			x.attempts[k] = State{Confirmed, p.Outcome, p.why()}
			return
		}
		x.attempts[k] = State{Phase: Started}
		at, _ := time.Parse(time.RFC3339, p.At) // display only
		r := Record{Key: k, Note: Note{Counter: -1, Cycles: p.Cycles, What: p.What}, At: at}
		if p.Counter != nil {
			r.Counter = *p.Counter
		}
		x.open = append(x.open, r)
	case doEnd:
		if s.Phase != Started {
			return
		}
		x.attempts[k] = State{Ended, p.Outcome, p.why()}
		r := &x.open[x.find(k)]
		r.Ended, r.Outcome, r.Reason = true, p.Outcome, p.why()
		if p.Outcome == Untouched && x.dirty == k {
			x.dirty = x.before // nothing came into the cup
		}
	case doConfirm:
		if s.Phase != Ended {
			return
		}
		s.Phase = Confirmed
		x.attempts[k] = s
		i := x.find(k)
		x.open = slices.Delete(x.open, i, i+1)
	case doCup:
		x.dirty = k
	case doTaken:
		if x.dirty == k {
			x.dirty = Key{}
		}
	case doRun:
		x.boot, x.held = p.Boot, p.Held
	case doDamage:
		x.damage, x.after = p.Reason, p.ID
	case doAccept:
		x.damage = ""
	case doGuard:
		x.guard = guard.Place{ID: p.ID, At: p.N}
	case doTook:
		x.taken = max(x.taken, p.N)
	case doIs:
		x.hardware = p.Is
	}
}

// state is what the index says of an attempt.
func (x *index) state(k Key) State {
	s, known := x.attempts[k]
	if !known {
		s.Phase = None
	}
	return s
}

// unsettled lists the open records, in the order of their start.
func (x *index) unsettled(ended bool) []Record {
	var out []Record
	for _, r := range x.open {
		if r.Ended == ended {
			out = append(out, r)
		}
	}
	return out
}

// compact gives the records that are worth keeping: everything that is not
// confirmed, the last drinks, the cup, who wrote last, where the guard's memory
// stands, how many records came, and damage that nobody accepted.
func (x *index) compact(keep int) []payload {
	var out []payload
	if x.damage != "" {
		out = append(out, payload{Do: doDamage, Reason: x.damage, ID: x.after})
	}
	if x.guard.ID != "" {
		out = append(out, payload{Do: doGuard, ID: x.guard.ID, N: x.guard.At})
	}
	last := max(0, len(x.order)-keep)
	for i, k := range x.order {
		s := x.attempts[k]
		if s.Phase == Confirmed {
			if i >= last {
				out = append(out, ended(doDrink, k, s.Outcome, s.Reason))
			}
			continue
		}
		r := x.open[x.find(k)]
		out = append(out, started(r))
		if r.Ended {
			out = append(out, ended(doEnd, k, r.Outcome, r.Reason))
		}
	}
	return append(out, payload{Do: doCup, Order: x.dirty.Order, Epoch: x.dirty.Epoch}, payload{Do: doRun, Boot: x.boot, Held: x.held},
		payload{Do: doTook, N: x.taken})
}

func started(r Record) payload {
	p := payload{Do: doStart, Order: r.Order, Epoch: r.Epoch, Cycles: r.Cycles, What: r.What}
	if r.Counter >= 0 {
		p.Counter = &r.Counter
	}
	if !r.At.IsZero() {
		p.At = r.At.UTC().Format(time.RFC3339)
	}
	return p
}
