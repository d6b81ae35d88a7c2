package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"barista/fleet"
)

// paper is a book in memory.
type paper struct {
	mu      sync.Mutex
	records []fleet.Record // by sequence; rolled and trimmed ones are gone
	seq     uint64
	moved   chan struct{}
	reads   int // records that were handed to anybody
}

func newPaper() *paper { return &paper{moved: make(chan struct{})} }

func (p *paper) write(r fleet.Record, last func(fleet.Record) bool, want uint64) (fleet.Revision, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := uint64(0)
	for _, one := range p.records {
		if last(one) {
			have = one.Seq
		}
	}
	if have != want {
		return fleet.Revision{}, fleet.ErrConflict
	}
	if r.Refusals != nil {
		p.records = slices.DeleteFunc(p.records, func(one fleet.Record) bool { return one.Refusals != nil })
	}
	p.seq++
	r.Revision = fleet.Revision{Seq: p.seq, Rec: cmp.Or(r.Rec, fmt.Sprint("rec", p.seq))}
	r.Written = time.Now()
	p.records = append(p.records, r)
	close(p.moved)
	p.moved = make(chan struct{})
	return r.Revision, nil
}

func (p *paper) Act(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	if ctx.Err() != nil {
		return fleet.Revision{}, fleet.ErrNoAnswer
	}
	r.Act = true
	return p.write(r, func(one fleet.Record) bool { return one.Act }, last)
}

func (p *paper) Next(_ context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	e := fleet.Entry{Claim: c}
	rev, err := p.write(fleet.Record{Entry: e, IsClaim: true}, func(one fleet.Record) bool { return one.IsClaim && one.Order.ID == c.Order.ID }, read.Seq)
	e.Revision = rev
	return e, err
}

// last is the newest record of which ok is true.
func (p *paper) last(ok func(fleet.Record) bool) (fleet.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range slices.Backward(p.records) {
		if ok(r) {
			return r, nil
		}
	}
	return fleet.Record{}, fleet.ErrNotFound
}

func (p *paper) Read(_ context.Context, order string) (fleet.Entry, error) {
	r, err := p.last(func(r fleet.Record) bool { return r.IsClaim && r.Order.ID == order })
	return r.Entry, err
}

func (p *paper) At(_ context.Context, seq uint64) (fleet.Record, error) {
	return p.last(func(r fleet.Record) bool { return r.Seq == seq })
}

func (p *paper) LastBalance(context.Context) (fleet.Record, error) {
	return p.last(func(r fleet.Record) bool { return r.Balance != nil })
}

func (p *paper) History(_ context.Context, order string) (out []fleet.Entry, _ error) {
	for _, r := range p.all() {
		if r.IsClaim && r.Order.ID == order {
			out = append(out, r.Entry)
		}
	}
	return out, nil
}

func (p *paper) Since(_ context.Context, t time.Time) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		if !r.Written.Before(t) {
			return r.Seq, nil
		}
	}
	return p.seq + 1, nil
}

func (p *paper) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (p *paper) Trim(_ context.Context, before uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = slices.DeleteFunc(p.records, func(r fleet.Record) bool { return r.Seq < before })
	return nil
}

func (p *paper) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	p.mu.Lock()
	there := p.seq
	p.mu.Unlock()
	if from > there {
		ready()
	}
	for {
		p.mu.Lock()
		moved := p.moved
		i, _ := slices.BinarySearchFunc(p.records, from, func(r fleet.Record, seq uint64) int { return cmp.Compare(r.Seq, seq) })
		batch := slices.Clone(p.records[i:])
		p.reads += len(batch)
		p.mu.Unlock()
		for _, r := range batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			each(r)
		}
		if n := len(batch); n > 0 {
			before := from
			from = batch[n-1].Seq + 1
			if before <= there && from > there {
				ready()
			}
			continue
		}
		if !fleet.Await(ctx, moved) {
			return ctx.Err()
		}
	}
}

// written is how many records were ever written.
func (p *paper) written() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

func (p *paper) all() []fleet.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.records)
}

// fault is what becomes of one write.
type fault int

const (
	fine       fault = iota
	lost             // it never arrives
	unanswered       // it is written, and nobody is told
	late             // nobody is told, and it arrives a second later
	blind            // a conflict that is none
)

// bad is a book whose acts meet faults, and whose follower may be held up.
type bad struct {
	fleet.Book
	next func() fault // nil: fine
	late sync.WaitGroup

	mu   sync.Mutex
	held chan struct{} // closed: the follower goes on
	acts int           // that were put to the book
}

func (b *bad) Act(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	b.mu.Lock()
	b.acts++
	b.mu.Unlock()
	what := fine
	if b.next != nil {
		what = b.next()
	}
	switch what {
	case lost:
		return fleet.Revision{}, fleet.ErrNoAnswer
	case unanswered:
		_, _ = b.Book.Act(ctx, r, last)
		return fleet.Revision{}, fleet.ErrNoAnswer
	case late:
		b.late.Go(func() {
			time.Sleep(time.Second)
			_, _ = b.Book.Act(context.WithoutCancel(ctx), r, last)
		})
		return fleet.Revision{}, fleet.ErrNoAnswer
	case blind:
		return fleet.Revision{}, fleet.ErrConflict
	}
	return b.Book.Act(ctx, r, last)
}

// hold stops the follower before the next record; step lets one pass, release all.
func (b *bad) hold() (step, release func()) {
	held := make(chan struct{})
	b.mu.Lock()
	b.held = held
	b.mu.Unlock()
	return func() { held <- struct{}{} }, sync.OnceFunc(func() { close(held) })
}

func (b *bad) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	return b.Book.Follow(ctx, from, func(r fleet.Record) {
		b.mu.Lock()
		held := b.held
		b.mu.Unlock()
		if held == nil || fleet.Await(ctx, held) {
			each(r)
		}
	}, ready)
}

func idN(n int) string { return fmt.Sprintf("01JD%022d", n) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
