package ledger

import (
	"context"
	"slices"
	"time"

	"barista/fleet"
)

// lag is how many records a reader may be behind before it reads on by itself. It
// bounds the memory, and nobody waits for a slow one.
const lag = 2000

// reader is somebody else who wants every record.
type reader struct {
	next  uint64
	each  func(fleet.Record)
	ready func()
	wake  chan struct{} // there is something in the queue; holds at most one token

	// Guarded by Ledger.mu.
	queue []fleet.Record
	live  bool  // the follower hands over
	broke error // the follower broke off
}

// Follow hands over every record from the sequence on, once and in order, until ctx
// ends or the ledger's follower breaks off; ready is called once, when what stood in
// the book was handed over. It is Book.Follow for everybody in the process: the book
// is read for it only where it wants older records, or is too slow for the others,
// whom it never holds up.
func (l *Ledger) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	if !fleet.Await(ctx, l.ready) {
		return ctx.Err()
	}
	if ready == nil {
		ready = func() {}
	}
	r := &reader{next: max(from, 1), each: each, ready: ready, wake: make(chan struct{}, 1)}
	l.mu.Lock()
	l.readers = append(l.readers, r)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.readers = slices.DeleteFunc(l.readers, func(one *reader) bool { return one == r })
		l.mu.Unlock()
	}()
	return r.run(ctx, l)
}

// broke tells every reader that the follower broke off: what they know is old until
// they follow again.
func (l *Ledger) broke(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.readers {
		r.broke = err
		poke(r.wake)
	}
}

// give takes what the follower brings. The caller holds the ledger's lock.
func (r *reader) give(rec fleet.Record) {
	if !r.live {
		return
	}
	r.queue = append(r.queue, rec)
	r.live = len(r.queue) < lag
	poke(r.wake)
}

// run reads what is older than the follower's place, then what it hands over; and
// from the beginning where it was too slow for that.
func (r *reader) run(ctx context.Context, l *Ledger) error {
	for told := false; ctx.Err() == nil; {
		l.mu.Lock()
		r.queue, r.live = nil, true
		at := l.fold.upto
		l.mu.Unlock()
		if err := r.catchUp(ctx, l.parts.Book, at); err != nil {
			if ctx.Err() != nil {
				break
			}
			l.log.Warn("the book's older records could not be read; tried again", "from", r.next, "err", err)
			fleet.Pause(ctx, time.Second)
			continue
		}
		if !told {
			told = true
			r.ready()
		}
		if err := r.hear(ctx, l); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// catchUp reads the book itself, up to a record that it surely has.
func (r *reader) catchUp(ctx context.Context, book fleet.Book, upto uint64) error {
	if r.next > upto {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	whole := false
	end := func() { whole = true; cancel() }
	err := book.Follow(ctx, r.next, func(rec fleet.Record) {
		if whole {
			return
		}
		if rec.Seq <= upto {
			r.hand(rec)
		}
		if rec.Seq >= upto {
			end()
		}
	}, end)
	if whole {
		r.next = max(r.next, upto+1)
		return nil
	}
	if err == nil {
		err = fleet.ErrNoAnswer
	}
	return err
}

// hear hands over what the follower brings, until it is too far behind, which is no
// error.
func (r *reader) hear(ctx context.Context, l *Ledger) error {
	for {
		l.mu.Lock()
		batch, live, broke := r.queue, r.live, r.broke
		r.queue = nil
		l.mu.Unlock()
		for _, rec := range batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.hand(rec)
		}
		if broke != nil || !live {
			return broke
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *reader) hand(rec fleet.Record) {
	if rec.Seq >= r.next {
		r.next = rec.Seq + 1
		r.each(rec)
	}
}
