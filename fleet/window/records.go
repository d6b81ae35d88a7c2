package window

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"barista/fleet"
)

// ever is later than any record.
var ever = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// follow keeps the newest records until the book breaks off.
func (w *Window) follow(ctx context.Context) error {
	from, err := w.p.Book.Since(ctx, ever) // the one that is written next
	if err != nil {
		return err
	}
	w.recent.begin(from)
	return w.p.Follow(ctx, from, func(r fleet.Record) { w.recent.take(r.Seq, fitting(r, w.limit())) }, nil)
}

// records is a page of the book. Its answer depends on nothing that this controller
// alone knows, but for how new it is.
func (w *Window) records(ctx context.Context, a ask) (r reply, err error) {
	from := max(a.Seq, 1)
	if a.End {
		if r.Seq, err = w.end(ctx, from); err != nil {
			return r, err
		}
	}
	p := page{left: w.limit()}
	here := false
	if r.Next, here, _ = w.recent.fill(&p, from); !here {
		r.Next, err = w.older(ctx, &p, from)
	}
	r.Records = p.list
	return r, err
}

// end is the last record that can be read now and is not before from; 0 if there is
// none. A reader has read all when it is past that one.
func (w *Window) end(ctx context.Context, from uint64) (uint64, error) {
	next, err := w.p.Book.Since(ctx, ever)
	if err != nil {
		return 0, err
	}
	for at := next - 1; at >= from && next > 0; at-- {
		if _, err := w.p.Book.At(ctx, at); !errors.Is(err, fleet.ErrNotFound) {
			return at, err
		}
	}
	return 0, nil
}

// older fills a page from the broker: what is not in memory, and only up to there.
func (w *Window) older(ctx context.Context, p *page, from uint64) (next uint64, err error) {
	leave, ok := w.sit(&w.old, mostOlder)
	if !ok {
		return from, errBusy
	}
	defer leave()
	until := w.recent.begins()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	next = from
	over := false
	// whole: all that there is between the page and what is in memory was handed over. It
	// was written before that, so nothing more comes.
	whole := func() {
		if !over {
			next = max(next, until)
		}
		over = true
		stop()
	}
	err = w.p.Book.Follow(ctx, from, func(r fleet.Record) {
		switch {
		case over:
		case until > 0 && r.Seq >= until:
			whole()
		case p.add(fitting(r, w.limit())):
			next = r.Seq + 1
		default:
			over = true
			stop()
		}
	}, whole)
	if over || len(p.list) > 0 { // a part is a page too
		return next, nil
	}
	return next, errors.Join(fleet.ErrNoAnswer, err)
}

// await is a page of the next record, or of none when none came for a while.
func (w *Window) await(ctx context.Context, from uint64) (reply, error) {
	leave, ok := w.sit(&w.waits, mostWaiting)
	if !ok {
		return reply{Next: from}, errBusy
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, waitFor)
	defer cancel()
	for {
		p := page{left: w.limit()}
		next, here, changed := w.recent.fill(&p, from)
		if len(p.list) > 0 || !here && w.recent.begins() > from || !fleet.Await(ctx, changed) {
			return reply{Records: p.list, Next: next}, nil
		}
	}
}

func (w *Window) now(ctx context.Context, _ ask) (r reply, err error) {
	r.Time, err = w.p.Book.Now(ctx)
	return r, err
}

func (w *Window) since(ctx context.Context, a ask) (r reply, err error) {
	r.Seq, err = w.p.Book.Since(ctx, a.Time)
	return r, err
}

func (w *Window) at(ctx context.Context, a ask) (reply, error) {
	r, err := w.p.Book.At(ctx, a.Seq)
	return w.one(r, err)
}

func (w *Window) balance(ctx context.Context, _ ask) (reply, error) {
	r, err := w.p.Book.LastBalance(ctx)
	return w.one(r, err)
}

func (w *Window) read(ctx context.Context, a ask) (reply, error) {
	e, err := w.p.Book.Read(ctx, a.Order)
	r, err := w.one(fleet.Record{Entry: e, IsClaim: true}, err)
	r.Seq = e.Seq // of a damaged one too
	return r, err
}

func (w *Window) one(r fleet.Record, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{Records: []json.RawMessage{fitting(r, w.limit())}}, nil
}

func (w *Window) history(ctx context.Context, a ask) (reply, error) {
	all, err := w.p.Book.History(ctx, a.Order)
	p := page{left: w.limit()}
	for _, e := range all {
		if e.Seq >= a.Seq {
			p.add(fitting(fleet.Record{Entry: e, IsClaim: true}, w.limit()))
		}
	}
	return reply{Records: p.list, More: p.full}, err
}
