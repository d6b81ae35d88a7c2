package stock

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"barista/fleet"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// sheet is a ledger of one process, on paper.
type sheet struct {
	Ledger  // what is not asked here
	mu      sync.Mutex
	pages   *pages
	down    error // what an act comes to
	ready   chan struct{}
	changed chan struct{}
}

func newSheet() *sheet {
	s := &sheet{pages: opened(nil), ready: make(chan struct{}), changed: make(chan struct{})}
	s.pages.shelf, s.pages.seq = NewShelf(nil), 0
	close(s.ready)
	return s
}

func (s *sheet) Ready() <-chan struct{} { return s.ready }

func (s *sheet) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *sheet) Upto() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pages.seq
}

func (s *sheet) Levels() map[string]fleet.Level {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pages.shelf.Levels()
}

func (s *sheet) Act(_ context.Context, decide func(fleet.View) (*fleet.Record, error)) (fleet.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return fleet.Revision{}, s.down
	}
	shelf := s.pages.shelf
	r, err := decide(fleet.View{Short: shelf.Short, Seen: shelf.Seen, Levels: shelf.Levels})
	if r == nil {
		return fleet.Revision{}, err
	}
	s.pages.write(*r)
	close(s.changed)
	s.changed = make(chan struct{})
	return fleet.Revision{Seq: s.pages.seq}, nil
}

// set changes what an act comes to.
func (s *sheet) set(down error) {
	s.mu.Lock()
	s.down = down
	s.mu.Unlock()
}

// running starts Run, and waits until the shelf is filled; stop ends it and waits.
func running(t interface{ Errorf(string, ...any) }, s *Stock) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Filled()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func TestPersonsActsCountOnce(t *testing.T) {
	ctx := t.Context()
	p := newSheet()
	s := New(Parts{Ledger: p}, Config{Initial: fleet.Items{"arabica": 100}})
	defer running(t, s)()
	for range 3 {
		l, err := s.Add(ctx, "robusta", 50, "lea", "k1")
		if err != nil || l.Refilled != 50 {
			t.Fatalf("%+v, %v", l, err)
		}
		l, err = s.Count(ctx, "robusta", 45, "lea", "k2")
		if err != nil || l.OnHand != 45 {
			t.Fatalf("%+v, %v", l, err)
		}
		must(t, s.Take(ctx, "arabica", fleet.Large, "x", "k3"))
	}
	must(t, s.Take(ctx, "arabica", fleet.Large, "x", ""))
	must(t, s.Take(ctx, "arabica", fleet.Large, "x", ""))
	want := map[string]fleet.Level{"arabica": {OnHand: 10, Refilled: 100, Consumed: 90}, "robusta": {OnHand: 45, Refilled: 50, Wasted: 5}}
	got, err := s.Levels(ctx)
	must(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	for range 2 {
		l, err := s.Waste(ctx, "robusta", 5, "lea", " spilled\n", "k4")
		if err != nil || l.OnHand != 40 || l.Wasted != 10 {
			t.Fatalf("%+v, %v", l, err)
		}
	}
	if a := p.pages.rec.Stock; a == nil || a.Act != fleet.Waste || a.By != "lea" || a.Note != "spilled" {
		t.Errorf("the record says %+v", a)
	}
	n := p.Upto()
	var short *fleet.OutOfStockError
	if err := s.Take(ctx, "arabica", fleet.Large, "x", ""); !errors.As(err, &short) {
		t.Fatalf("30 g of 10 g: %v", err)
	}
	for what, err := range map[string]error{
		"a key for two acts":    func() error { _, err := s.Add(ctx, "robusta", 51, "lea", "k1"); return err }(),
		"a key for two kinds":   func() error { _, err := s.Count(ctx, "robusta", 50, "lea", "k1"); return err }(),
		"nothing added":         func() error { _, err := s.Add(ctx, "robusta", 0, "lea", ""); return err }(),
		"too much added":        func() error { _, err := s.Add(ctx, "robusta", 1_000_001, "lea", ""); return err }(),
		"nothing thrown away":   func() error { _, err := s.Waste(ctx, "robusta", 0, "lea", "stale", ""); return err }(),
		"for no reason":         func() error { _, err := s.Waste(ctx, "robusta", 1, "lea", " \n", ""); return err }(),
		"waste of nothing":      func() error { _, err := s.Waste(ctx, "robsta", 1, "lea", "stale", ""); return err }(),
		"a key for a count":     func() error { _, err := s.Waste(ctx, "robusta", 45, "lea", "stale", "k2"); return err }(),
		"counted below zero":    func() error { _, err := s.Count(ctx, "robusta", -1, "lea", ""); return err }(),
		"no item":               func() error { _, err := s.Add(ctx, "Robusta.get", 5, "lea", ""); return err }(),
		"no key":                func() error { _, err := s.Add(ctx, "robusta", 5, "lea", "a b"); return err }(),
		"no name":               func() error { _, err := s.Add(ctx, "robusta", 5, "l\nea", ""); return err }(),
		"a slip of the pen":     func() error { _, err := s.Count(ctx, "robsta", 5, "lea", ""); return err }(),
		"sugar by size":         s.Take(ctx, "sugar", fleet.Small, "x", ""),
		"no size":               s.Take(ctx, "arabica", "huge", "x", ""),
		"nothing of it":         s.Take(ctx, "liberica", fleet.Small, "x", ""),
		"a bad initial filling": New(Parts{Ledger: p}, Config{Initial: fleet.Items{"a b": 1}}).Run(ctx),
	} {
		if err == nil {
			t.Errorf("%s: was taken", what)
		}
	}
	if _, err := s.Waste(ctx, "robusta", 41, "lea", "stale", ""); !errors.Is(err, fleet.ErrNotAllowed) || !strings.Contains(err.Error(), "there are 40 g of robusta") {
		t.Errorf("41 g of 40 g thrown away: %v", err)
	}
	if p.Upto() != n {
		t.Fatalf("%d records were written", p.Upto()-n)
	}
}

// TestTheFirstStartFillsOnce: whoever comes second finds it filled; a book that
// takes nothing yet is tried again; nothing to fill is not waited for.
func TestTheFirstStartFillsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSheet()
		p.set(fleet.ErrNoAnswer)
		began := time.Now()
		time.AfterFunc(3*time.Second/2, func() { p.set(nil) })
		initial := fleet.Items{"arabica": 1000, "sugar": 0}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { running(t, New(Parts{Ledger: p}, Config{Initial: initial}))() })
		}
		wg.Wait()
		if n := p.Upto(); n != 1 || time.Since(began) != 2*again {
			t.Fatalf("%d records after %v", n, time.Since(began))
		}
		running(t, New(Parts{Ledger: p}, Config{Initial: fleet.Items{"robusta": 5}}))()
		running(t, New(Parts{Ledger: newSheet()}, Config{}))()
		if n := p.Upto(); n != 1 {
			t.Fatalf("%d records", n)
		}
		p = newSheet()
		p.ready = make(chan struct{}) // the book is not read
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := New(Parts{Ledger: p}, Config{Initial: initial})
		if _, err := s.Levels(ctx); !errors.Is(err, fleet.ErrNoAnswer) {
			t.Errorf("the levels of a book that is not read: %v", err)
		}
		if err := s.Run(ctx); err != nil || p.Upto() != 0 {
			t.Errorf("%v, %d records", err, p.Upto())
		}
	})
}

// wireOf answers as the stock does.
type wireOf struct{ s *Stock }

func (w wireOf) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	for _, e := range w.s.endpoints() {
		if e.subject == subject {
			return e.answer(ctx, subject, body), nil
		}
	}
	return nil, fleet.ErrNobody
}

// TestAFullBook: it is certain that nothing was written, near and far.
func TestAFullBook(t *testing.T) {
	p := newSheet()
	s := New(Parts{Ledger: p}, Config{})
	if _, err := s.Add(t.Context(), "arabica", 5, "lea", ""); err != nil {
		t.Fatal(err)
	}
	p.set(fleet.ErrFull)
	_, near := s.Add(t.Context(), "arabica", 5, "lea", "")
	_, far := Remote(wireOf{s}).Add(t.Context(), "arabica", 5, "lea", "")
	for _, err := range []error{near, far} {
		if !errors.Is(err, fleet.ErrFull) || errors.Is(err, fleet.ErrNoAnswer) {
			t.Error(err)
		}
	}
}

func TestTheSnapshotIsWrittenOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		var last Snapshot
		down := true
		p := newSheet()
		s := New(Parts{Ledger: p, Snapshot: func(_ context.Context, b []byte) error {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			if down {
				down = false
				return fleet.ErrNoAnswer
			}
			return json.Unmarshal(b, &last)
		}}, Config{Initial: fleet.Items{"arabica": 1000}})
		stop := running(t, s)
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			must(t, s.Take(t.Context(), "arabica", fleet.Small, "x", ""))
		}
		time.Sleep(time.Hour)
		mu.Lock()
		for i := range at[1:] {
			if d := at[i+1].Sub(at[i]); d < snapshotEvery {
				t.Errorf("two snapshots within %v", d)
			}
		}
		if n := len(at); n < 5 || n > 8 {
			t.Errorf("%d snapshots in 5 s of changes and an hour of rest", n)
		}
		want := Snapshot{51, map[string]fleet.Level{"arabica": {OnHand: 550, Refilled: 1000, Consumed: 450}}}
		if d := cmp.Diff(want, last); d != "" {
			t.Error(d)
		}
		n := len(at)
		mu.Unlock()
		_, err := s.Count(t.Context(), "arabica", 550, "lea", "") // a record that changes no level
		must(t, err)
		time.Sleep(time.Minute)
		mu.Lock()
		if len(at) != n {
			t.Error("a snapshot that says what the last one said")
		}
		mu.Unlock()
		stop()
	})
}

// quitter serves nothing.
type quitter struct{}

func (quitter) Serve(context.Context, string, bool, func(context.Context, string, []byte) []byte) error {
	return fleet.ErrNotFound
}

func TestRunSaysWhatEnded(t *testing.T) {
	s := New(Parts{Ledger: newSheet(), Server: quitter{}}, Config{})
	if err := s.Run(t.Context()); !errors.Is(err, fleet.ErrNotFound) {
		t.Fatalf("a part that gave up: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(`{"item":"arabica","amount":5,"by":"lea","key":"k"}`, "arabica")
	f.Fuzz(func(t *testing.T, body, token string) {
		s := New(Parts{Ledger: newSheet()}, Config{})
		for _, e := range s.endpoints() {
			got := e.answer(t.Context(), strings.ReplaceAll(e.subject, "*", token), []byte(body))
			if len(got) == 0 {
				t.Errorf("%s: no answer", e.subject)
			}
			var r Reply
			if !strings.Contains(e.subject, "*") && json.Unmarshal(got, &r) != nil {
				t.Errorf("%s: %s", e.subject, got)
			}
		}
	})
}
