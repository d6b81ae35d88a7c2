package window_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/doctor"
	"barista/fleet/queue"
	"barista/fleet/window"
	"barista/fleet/window/windowtest"
)

// writer writes orders into a book, one after the other.
type writer struct {
	t    *testing.T
	book fleet.Book
	last uint64
	n    int
}

func (w *writer) order() fleet.Entry {
	w.t.Helper()
	w.n++
	o := fleet.Order{ID: fmt.Sprintf("01JD%022d", w.n), Name: "Zoë <b>", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
	e := fleet.Entry{Claim: fleet.Create(o, fleet.Items{"arabica": 9}, fleet.Success(o.ID), "web")}
	rev, err := w.book.Act(w.t.Context(), fleet.Record{Entry: e, IsClaim: true}, w.last)
	if err != nil {
		w.t.Fatal(err)
	}
	e.Revision, w.last = rev, rev.Seq
	return e
}

// act writes what is no order.
func (w *writer) act(r fleet.Record) {
	w.t.Helper()
	rev, err := w.book.Act(w.t.Context(), r, w.last)
	if err != nil {
		w.t.Fatal(err)
	}
	w.last = rev.Seq
}

var equal = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(fleet.Presence{}, "Said")}

// until reads a book from the sequence on to what was its end.
func until(t *testing.T, book window.Book, from uint64) (all []fleet.Record) {
	t.Helper()
	err := fleet.UntilReady(t.Context(), func(ctx context.Context, ready func()) error {
		return book.Follow(ctx, from, func(r fleet.Record) {
			if ctx.Err() == nil {
				all = append(all, r)
			}
		}, ready)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mixed is a book with every kind of record, more than goes into some answers.
func mixed(t *testing.T, w *writer) {
	for range 60 {
		w.order()
	}
	w.act(fleet.Record{Stock: &fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": 500}, By: "lea", Key: "k1", At: time.Now()}})
	for i := range 3 { // each rolls the one before away
		one := fleet.Refusal{Order: fmt.Sprintf("01JE%022d", i), Answer: fleet.Sorry("", fleet.CodeQueueFull, "full"), At: time.Now()}
		w.act(fleet.Record{Refusals: &fleet.Refusals{Before: uint64(i), List: []fleet.Refusal{one}}})
	}
	w.act(fleet.Record{Balance: &fleet.Balance{Upto: w.last, Acts: w.last, Levels: map[string]fleet.Level{"arabica": {OnHand: 500}}}})
	e := w.order()
	taken, err := e.Take(fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.book.Next(t.Context(), e.Revision, taken); err != nil {
		t.Fatal(err)
	}
}

// TestTheSameAnswers: whatever the window shows is what the broker says, from memory and
// from the store, in large pages and in small ones.
func TestTheSameAnswers(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect("maker")
	w := &writer{t: t, book: c.Book()}
	mixed(t, w)
	windowtest.Open(t, b, "controller", func(p *window.Parts) { p.MaxPayload = func() int { return 4 << 10 } })
	mixed2 := func() {
		for range 20 {
			w.order()
		}
	}
	mixed2() // these are in its memory
	show := window.Remote(b.Connect("cli").Requester())
	ctx := t.Context()
	whole := until(t, c.Book(), 1)
	for _, from := range []uint64{0, 1, 2, 40, w.last - 3, w.last, w.last + 1, w.last + 50} {
		direct, shown := until(t, c.Book(), from), until(t, show, from)
		if d := cmp.Diff(direct, shown, equal); d != "" {
			t.Errorf("from %d: %d records, directly %d: %s", from, len(shown), len(direct), d)
		}
	}
	if len(whole) < 80 {
		t.Errorf("only %d records: nothing was tried", len(whole))
	}
	for _, seq := range []uint64{0, 1, 62, 64, w.last, w.last + 1} {
		direct, err := c.Book().At(ctx, seq)
		shown, err2 := show.At(ctx, seq)
		if d := cmp.Diff(direct, shown, equal); d != "" || errors.Is(err, fleet.ErrNotFound) != errors.Is(err2, fleet.ErrNotFound) || (err == nil) != (err2 == nil) {
			t.Errorf("record %d: %v, %v: %s", seq, err, err2, d)
		}
	}
	for _, at := range []time.Time{{}, time.Now().Add(-time.Hour), whole[30].Written, time.Now().Add(time.Hour)} {
		direct, err := c.Book().Since(ctx, at)
		shown, err2 := show.Since(ctx, at)
		if direct != shown || err != nil || err2 != nil {
			t.Errorf("since %v: %d, directly %d; %v %v", at, shown, direct, err2, err)
		}
	}
	direct, err := c.Book().LastBalance(ctx)
	shown, err2 := show.LastBalance(ctx)
	if d := cmp.Diff(direct, shown, equal); d != "" || err != nil || err2 != nil || shown.Balance == nil {
		t.Error(d, err, err2)
	}
	if now, err := show.Now(ctx); err != nil || time.Since(now).Abs() > time.Minute {
		t.Error(now, err)
	}
	parts := func(book interface {
		Read(context.Context, string) (fleet.Entry, error)
		Follow(context.Context, uint64, func(fleet.Record), func()) error
		Now(context.Context) (time.Time, error)
	}, p doctor.Parts) []fleet.Finding {
		p.Book = book
		found, err := p.Look(ctx)
		if err != nil {
			t.Error(err)
		}
		return found
	}
	if err := c.Settings().Put(ctx, fleet.KeyMenu, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := c.Orders().Publish(ctx, whole[0].Entry, whole[0].MessageID()); err != nil {
		t.Fatal(err)
	}
	a := parts(c.Book(), doctor.Parts{Stored: c.Orders().Stored, Told: c.Events().Told, Settings: c.AllSettings})
	z := parts(show, doctor.Parts{Stored: show.Stored, Told: show.Told, Settings: show.AllSettings})
	if d := cmp.Diff(a, z); d != "" || len(a) == 0 {
		t.Errorf("a doctor finds something else: %d %s", len(a), d)
	}
	mem, err := c.Orders().Stored(ctx)
	far, err2 := show.Stored(ctx)
	if d := cmp.Diff(mem, far, equal); d != "" || len(far) != 1 || err != nil || err2 != nil {
		t.Error(d, err, err2)
	}
}

// TestFollowOverRestarts: a follower gets every record once and in order while
// controllers end and begin, two at a time, and orders come in.
func TestFollowOverRestarts(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	w := &writer{t: t, book: b.Connect("maker").Book()}
	stop := windowtest.Open(t, b, "first", nil)
	show := window.Remote(b.Connect("cli").Requester())
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var got [2][]uint64 // of two followers
	var followed sync.WaitGroup
	for i := range got {
		followed.Go(func() {
			err := show.Follow(ctx, 1, func(r fleet.Record) {
				mu.Lock()
				defer mu.Unlock()
				got[i] = append(got[i], r.Seq)
			}, nil)
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	caughtUp := func(what string) {
		t.Helper()
		brokertest.Eventually(t, what, func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, seen := range got {
				if len(seen) == 0 || seen[len(seen)-1] != w.last {
					return false
				}
			}
			return true
		})
	}
	burst := func() {
		for range 25 {
			w.order()
		}
	}
	burst()
	caughtUp("what one controller shows")
	other := windowtest.Open(t, b, "second", nil)
	burst()
	stop()
	burst()
	caughtUp("what the second one shows")
	other()
	burst() // while nobody is there
	defer windowtest.Open(t, b, "third", nil)()
	burst()
	caughtUp("what the third one shows")
	cancel()
	followed.Wait()
	for _, seen := range got {
		for i, seq := range seen {
			if seq != uint64(i+1) {
				t.Fatalf("record %d came at place %d: %v", seq, i+1, seen)
			}
		}
		if len(seen) != 125 {
			t.Errorf("%d records", len(seen))
		}
	}
}

// TestPagesOfTwo: a book is read in pages of two controllers, of which one lags behind.
func TestPagesOfTwo(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	w := &writer{t: t, book: b.Connect("maker").Book()}
	hold := make(chan struct{})
	windowtest.Open(t, b, "quick", nil)
	windowtest.Open(t, b, "slow", func(p *window.Parts) {
		follow := p.Follow
		p.Follow = func(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
			return follow(ctx, from, func(r fleet.Record) {
				if r.Seq > 10 {
					select {
					case <-hold:
					case <-ctx.Done():
					}
				}
				each(r)
			}, ready)
		}
	})
	for range 40 {
		w.order()
	}
	show := window.Remote(b.Connect("cli").Requester())
	for range 5 {
		if all := until(t, show, 1); len(all) != 40 || all[39].Seq != w.last {
			t.Fatalf("%d records of 40", len(all))
		}
	}
	close(hold)
}

// TestSeats: more who wait for the next record than there are seats get every record
// all the same, and nobody who asks for anything else waits for them.
func TestSeats(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	w := &writer{t: t, book: b.Connect("maker").Book()}
	windowtest.Open(t, b, "controller", nil)
	c := b.Connect("cli")
	show := window.Remote(c.Requester())
	w.order()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var heard, ready atomic.Int32
	const many = 60
	for range many {
		all.Go(func() {
			_ = show.Follow(ctx, 1, func(r fleet.Record) {
				if r.Seq == 2 {
					heard.Add(1)
				}
			}, func() { ready.Add(1) })
		})
	}
	brokertest.Eventually(t, "all who follow", func() bool { return ready.Load() == many })
	begun := time.Now()
	for range 20 {
		if _, err := show.Now(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("20 questions took %v", took)
	}
	w.order()
	brokertest.Eventually(t, "the next record with all of them", func() bool { return heard.Load() == many })
	cancel()
	all.Wait()
}

// TestNobody: without a controller a question says so at once, and a follower waits for
// one.
func TestNobody(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	w := &writer{t: t, book: b.Connect("maker").Book()}
	show := window.Remote(b.Connect("cli").Requester())
	if _, err := show.Now(t.Context()); !errors.Is(err, fleet.ErrNobody) {
		t.Error(err)
	}
	if _, err := show.Machines(t.Context()); !errors.Is(err, fleet.ErrNobody) {
		t.Error(err)
	}
	w.order()
	done := make(chan int, 1)
	go func() { done <- len(until(t, show, 1)) }()
	windowtest.Open(t, b, "controller", nil)
	if n := <-done; n != 1 {
		t.Errorf("%d records", n)
	}
}

// TestLate: a link that was silent while a question was on its way spoils no other
// answer, and a follower goes on behind it.
func TestLate(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	w := &writer{t: t, book: b.Connect("maker").Book()}
	windowtest.Open(t, b, "controller", nil)
	link := b.Link()
	show := window.Remote(b.ConnectOver("cli", link).Requester())
	w.order()
	ctx, cancel := context.WithCancel(t.Context())
	var seqs []uint64
	heard := make(chan uint64, 10)
	var followed sync.WaitGroup
	followed.Go(func() {
		_ = show.Follow(ctx, 1, func(r fleet.Record) { seqs = append(seqs, r.Seq); heard <- r.Seq }, nil)
	})
	<-heard
	link.Silence(true)
	if _, err := show.Now(ctx); !errors.Is(err, fleet.ErrNoAnswer) {
		t.Error(err)
	}
	w.order()
	link.Silence(false)
	if got := <-heard; got != 2 {
		t.Errorf("record %d", got)
	}
	cancel()
	followed.Wait()
	if !slices.Equal(seqs, []uint64{1, 2}) {
		t.Error(seqs)
	}
}

// TestAfterwards: reading in pages leaves no consumer at the broker.
func TestAfterwards(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect("maker")
	w := &writer{t: t, book: c.Book()}
	for range 60 {
		w.order()
	}
	windowtest.Open(t, b, "controller", func(p *window.Parts) { p.MaxPayload = func() int { return 3 << 10 } })
	show := window.Remote(b.Connect("cli").Requester())
	before := consumers(t, c)
	if n := len(until(t, show, 1)); n != 60 {
		t.Errorf("%d records", n)
	}
	brokertest.Eventually(t, "no consumer left", func() bool { return consumers(t, c) <= before })
}

func consumers(t *testing.T, c *queue.Conn) int {
	t.Helper()
	b, err := c.Requester().Request(t.Context(), "$JS.API.STREAM.INFO."+fleet.StreamBook, nil)
	if err != nil {
		t.Fatal(err)
	}
	return numConsumers(t, b)
}

func numConsumers(t *testing.T, info []byte) int {
	t.Helper()
	var s struct {
		State struct {
			Consumers int `json:"consumer_count"`
		} `json:"state"`
	}
	if err := json.Unmarshal(info, &s); err != nil {
		t.Fatal(err)
	}
	return s.State.Consumers
}
