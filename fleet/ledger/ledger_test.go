package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/stock"
)

var (
	cup = fleet.Items{"arabica": 9}
	zoe = fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}
)

// running starts a ledger on a book, with a shelf; stop ends it and waits.
func running(t interface{ Errorf(string, ...any) }, book fleet.Book, cfg Config, settings fleet.Settings) (l *Ledger, stop func()) {
	l = New(Parts{Book: book, Shelf: stock.NewShelf(nil), Settings: settings}, cfg)
	return l, run(t, l)
}

func run(t interface{ Errorf(string, ...any) }, l *Ledger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// errShort is told to a customer whose refusal stands in the book.
var errShort = errors.New("refused")

// place is how a controller makes an order: accepted, refused with a record, or
// nobody knows.
func place(ctx context.Context, l *Ledger, n int) error {
	o := fleet.Order{ID: idN(n), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
	refused := false
	_, err := l.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
		refused = false
		if _, there := v.Of(o.ID); there {
			return nil, nil
		}
		if _, was := v.Refused(o.ID); was {
			return nil, errShort
		}
		if v.Short(cup) != "" {
			refused = true
			return v.Refuse(o.ID, fleet.Sorry(o.ID, fleet.CodeOutOfStock, "no beans")), nil
		}
		return &fleet.Record{Entry: fleet.Entry{Claim: fleet.Create(o, cup, fleet.Success(o.ID), "web")}, IsClaim: true}, nil
	})
	if err == nil && refused {
		return errShort
	}
	return err
}

// put is an act of the stock.
func put(ctx context.Context, l *Ledger, act fleet.Act, item string, n int) error {
	_, err := l.Act(ctx, func(fleet.View) (*fleet.Record, error) {
		return &fleet.Record{Stock: &fleet.StockAct{Act: act, Items: fleet.Items{item: n}}}, nil
	})
	return err
}

// next makes an arrow of an order, as a desk does.
func next(ctx context.Context, l *Ledger, book fleet.Book, n int, arrow func(fleet.Claim) (fleet.Claim, error)) error {
	e, err := book.Read(ctx, idN(n))
	if err != nil {
		return err
	}
	c, err := arrow(e.Claim)
	if err != nil {
		return err
	}
	e, err = book.Next(ctx, e.Revision, c)
	if err == nil {
		l.Wrote(e)
	}
	return err
}

func fence(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) }
func made(c fleet.Claim) (fleet.Claim, error) {
	return c.End(zoe, fleet.Made, fleet.Reason{}, 30, nil)
}
func park(c fleet.Claim) (fleet.Claim, error) { return c.Park("test", fleet.Reason{}) }

// plainly folds a whole book from its first record, by itself.
func plainly(t testing.TB, book fleet.Book) (open []fleet.Entry, levels map[string]fleet.Level) {
	t.Helper()
	s, orders := stock.NewShelf(nil), map[string]fleet.Entry{}
	must(t, fleet.UntilReady(t.Context(), func(ctx context.Context, ready func()) error {
		return book.Follow(ctx, 1, func(r fleet.Record) {
			s.Take(r)
			if r.IsClaim {
				orders[r.Order.ID] = r.Entry
			}
		}, ready)
	}))
	open = []fleet.Entry{}
	for _, e := range orders {
		if !e.Phase.Ended() {
			open = append(open, e)
		}
	}
	slices.SortFunc(open, func(a, b fleet.Entry) int { return int(a.Seq) - int(b.Seq) })
	return open, s.Levels()
}

// agree waits until a ledger has all of the book, and holds it against a plain
// fold.
func agree(t testing.TB, l *Ledger, book fleet.Book) {
	t.Helper()
	open, levels := plainly(t, book)
	brokertest.Eventually(t, "a ledger that comes to what the book says", func() bool {
		return cmp.Equal(open, l.Open()) && cmp.Equal(levels, l.Levels()) || t.Failed()
	})
}

// TestOneShop: orders and acts of two processes on the real broker, through
// balances and starts; whoever starts comes to what the whole book says, and reads
// little of it.
func TestOneShop(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		book := b.Connect("one").Book()
		one, stopOne := running(t, book, Config{Every: 40}, nil)
		two, stopTwo := running(t, b.Connect("two").Book(), Config{Every: 40}, nil)
		defer stopTwo()
		must(t, put(ctx, one, fleet.Refill, "arabica", 1000))
		for n := range 60 {
			l := []*Ledger{one, two}[n%2]
			must(t, place(ctx, l, n))
			if e, there := findOpen(l, n); !there || e.Phase != fleet.Accepted {
				t.Fatalf("order %d is %v when Act returns", n, e.Phase)
			}
			if n%10 == 9 {
				continue
			}
			must(t, next(ctx, l, book, n, fence))
			if n%10 == 8 {
				must(t, next(ctx, l, book, n, park))
				continue
			}
			must(t, next(ctx, l, book, n, made))
			if _, there := findOpen(l, n); there {
				t.Fatalf("order %d is open when it was served", n)
			}
		}
		must(t, put(ctx, two, fleet.Count, "arabica", 300))
		agree(t, one, book)
		agree(t, two, book)
		if got := one.Levels()["arabica"]; got.OnHand != 300 || got.Reserved != 6*9 || got.Consumed != 54*9 {
			t.Fatalf("%+v", got)
		}
		balances := 0
		for r := range everything(t, book) {
			if r.Balance != nil {
				balances++
			}
		}
		if balances < 4 || balances > 5 {
			t.Errorf("%d balances of 175 records", balances)
		}
		stopOne()
		counting := &counted{Book: b.Connect("three").Book()}
		three, stopThree := running(t, counting, Config{}, nil)
		defer stopThree()
		agree(t, three, book)
		if counting.n > 60 {
			t.Errorf("the start read %d records, with a balance every 40", counting.n)
		}
	})
}

// everything is the whole book.
func everything(t testing.TB, book fleet.Book) map[*fleet.Record]bool {
	out := map[*fleet.Record]bool{}
	must(t, fleet.UntilReady(t.Context(), func(ctx context.Context, ready func()) error {
		return book.Follow(ctx, 1, func(r fleet.Record) { out[&r] = true }, ready)
	}))
	return out
}

func findOpen(l *Ledger, n int) (fleet.Entry, bool) {
	for _, e := range l.Open() {
		if e.Order.ID == idN(n) {
			return e, true
		}
	}
	return fleet.Entry{}, false
}

// counted counts what a book hands over.
type counted struct {
	fleet.Book
	n int
}

func (c *counted) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	return c.Book.Follow(ctx, from, func(r fleet.Record) { c.n++; each(r) }, ready)
}

func (c *counted) At(ctx context.Context, seq uint64) (fleet.Record, error) {
	c.n++
	return c.Book.At(ctx, seq)
}

// TestTwentyCustomersAtOnce: twenty want 9 g each of the last 150 g, in two
// processes, on a book that loses, delays and hides; each asks until the answer is
// certain.
func TestTwentyCustomersAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			p := newPaper()
			rnd := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			// Without a fault every third time, later seeds with all of them.
			next := func() fault {
				mu.Lock()
				defer mu.Unlock()
				if seed%3 == 0 {
					return fine
				}
				return fault(rnd.IntN(int(blind) + 1))
			}
			var ledgers []*Ledger
			for range 2 {
				b := &bad{Book: p, next: next}
				l, stop := running(t, b, Config{Every: 10}, nil)
				defer b.late.Wait()
				defer stop()
				ledgers = append(ledgers, l)
			}
			for put(t.Context(), ledgers[0], fleet.Count, "arabica", 150) != nil {
			}
			var wg sync.WaitGroup
			var accepted, refused int
			for i := range 20 {
				wg.Go(func() {
					err := place(t.Context(), ledgers[i%2], i)
					for errors.Is(err, fleet.ErrNoAnswer) { // asked again with the same id
						err = place(t.Context(), ledgers[i%2], i)
					}
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						accepted++
					case errors.Is(err, errShort):
						refused++
					default:
						t.Errorf("customer %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if accepted != 16 || refused != 4 {
				t.Fatalf("seed %d: %d accepted, %d refused", seed, accepted, refused)
			}
			for _, l := range ledgers {
				agree(t, l, p)
				if got := l.Levels()["arabica"]; got.Available() != 6 || got.Reserved != 144 {
					t.Fatalf("seed %d: %+v", seed, got)
				}
			}
		})
	}
}

// TestAnActIsWrittenOnce whatever becomes of its request and answer, and whatever
// it is.
func TestAnActIsWrittenOnce(t *testing.T) {
	for _, first := range []fault{fine, lost, unanswered, late} {
		for _, second := range []fault{fine, lost, unanswered, late} {
			synctest.Test(t, func(t *testing.T) {
				p := newPaper()
				faults := []fault{}
				b := &bad{Book: p, next: func() fault {
					if len(faults) == 0 {
						return fine
					}
					f := faults[0]
					faults = faults[1:]
					return f
				}}
				l, stop := running(t, b, Config{}, nil)
				defer stop()
				must(t, put(t.Context(), l, fleet.Refill, "arabica", 9))
				for i, act := range []func() error{
					func() error { return put(t.Context(), l, fleet.Refill, "arabica", 9) },
					func() error { return place(t.Context(), l, 1) },
					func() error { return place(t.Context(), l, 2) },
					func() error {
						if err := place(t.Context(), l, 3); !errors.Is(err, errShort) {
							return fmt.Errorf("it should have been refused: %w", err)
						}
						return nil
					},
				} {
					faults = []fault{first, second}
					must(t, act())
					b.late.Wait()
					synctest.Wait()
					if n := len(p.all()); n != i+2 {
						t.Fatalf("%v, then %v: %d records after act %d", first, second, n, i)
					}
				}
				agree(t, l, p)
			})
		}
	}
}

// TestNoBookNoAct: where the book takes nothing, or shows nothing, the caller hears
// in time that nobody knows, and nothing was written twice.
func TestNoBookNoAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, what := range []fault{lost, blind} {
			b := &bad{Book: newPaper()}
			l, stop := running(t, b, Config{}, nil)
			must(t, put(t.Context(), l, fleet.Refill, "arabica", 9))
			b.next = func() fault { return what }
			began := time.Now()
			err := place(t.Context(), l, 1)
			if !errors.Is(err, fleet.ErrNoAnswer) || errors.Is(err, fleet.ErrConflict) {
				t.Errorf("%v came out as %v", what, err)
			}
			if d := time.Since(began); d > patience {
				t.Errorf("took %v", d)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began = time.Now()
			if err := place(ctx, l, 1); !errors.Is(err, fleet.ErrNoAnswer) || time.Since(began) > time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			cancel()
			b.next = nil
			must(t, place(t.Context(), l, 1))
			stop()
		}
		l := New(Parts{Book: newPaper()}, Config{}) // not run
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := place(ctx, l, 1); !errors.Is(err, fleet.ErrNoAnswer) {
			t.Errorf("a book that was not read: %v", err)
		}
	})
}

// TestOwnActsCountAtOnce: what this process wrote counts before the follower brings
// it, and records before it may be missing; a count waits for them.
func TestOwnActsCountAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		b := &bad{Book: p}
		l, stop := running(t, b, Config{}, nil)
		defer stop()
		other, stopOther := running(t, p, Config{}, nil)
		defer stopOther()
		must(t, put(ctx, l, fleet.Refill, "arabica", 30))
		must(t, place(ctx, l, 1))
		must(t, next(ctx, l, p, 1, fence))
		synctest.Wait()

		_, release := b.hold()
		must(t, next(ctx, other, p, 1, func(c fleet.Claim) (fleet.Claim, error) { // by another process
			return c.End(zoe, fleet.Untouched, fleet.Reason{}, 0, nil)
		}))
		must(t, place(ctx, l, 2))
		must(t, place(ctx, l, 3))
		if got := l.Levels()["arabica"]; got.Available() != 3 {
			t.Errorf("%+v with three orders of 9 g", got)
		}
		if err := place(ctx, l, 4); !errors.Is(err, errShort) {
			t.Errorf("the last beans were promised twice: %v", err)
		}
		if err := place(ctx, l, 4); !errors.Is(err, errShort) || l.fold.upto != 3 {
			t.Errorf("the refusal is not known: %v", err)
		}
		must(t, next(ctx, l, p, 2, fence))
		must(t, next(ctx, l, p, 2, made))
		if _, there := findOpen(l, 2); there || len(l.Open()) != 2 {
			t.Errorf("open: %v", l.Open())
		}
		// Somebody else's act can't be passed: the decision waits for it.
		done := make(chan error, 1)
		must(t, put(ctx, other, fleet.Refill, "arabica", 9))
		go func() { done <- place(ctx, l, 5) }()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("decided without the act before it: %v", err)
		default:
		}
		release()
		must(t, <-done)
		agree(t, l, p)

		// A count means what it says at its place: it is folded there, and waited for.
		_, release = b.hold()
		must(t, next(ctx, other, p, 3, func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Cancelled, "lea", fleet.Reason{}) }))
		go func() { done <- put(ctx, l, fleet.Count, "arabica", 100) }()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("a count was folded before what it came after: %v", err)
		default:
		}
		release()
		must(t, <-done)
		agree(t, l, p)
	})
}

// TestLateRecords: what the follower brings of an order that this process knows
// better changes nothing that anybody sees.
func TestLateRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		b := &bad{Book: p}
		l, stop := running(t, b, Config{}, nil)
		defer stop()
		must(t, put(ctx, l, fleet.Refill, "arabica", 30))
		synctest.Wait()
		step, release := b.hold()
		must(t, place(ctx, l, 1))
		class := l.Open()[0].Order.Class()
		if n, none := l.Waiting([]fleet.Class{class}), l.Waiting([]fleet.Class{{Bean: "tea", Milk: "free"}}); n != 1 || none != 0 {
			t.Errorf("%d wait, and %d of another class", n, none)
		}
		must(t, next(ctx, l, p, 1, fence))
		if n := l.Waiting([]fleet.Class{class}); n != 0 {
			t.Errorf("%d wait that a machine has in hand", n)
		}
		must(t, place(ctx, l, 2))
		must(t, next(ctx, l, p, 2, fence))
		must(t, next(ctx, l, p, 2, made))
		for passed := range 6 {
			synctest.Wait()
			open := l.Open()
			if len(open) != 1 || open[0].Order.ID != idN(1) || open[0].Phase != fleet.Brewing {
				t.Errorf("after %d late records: %v", passed, open)
			}
			if at := l.Levels()["arabica"].Available(); at != 12 {
				t.Errorf("after %d late records %d g are available", passed, at)
			}
			if passed < 5 {
				step()
			}
		}
		if e := l.Open()[0]; e.Written.IsZero() || len(l.fold.orders) != 1 {
			t.Errorf("the follower's own copy is not taken: %v, %d orders", e.Written, len(l.fold.orders))
		}
		release()
	})
}

// TestRefusals are known for a minute: here, to others, and after any start.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		one, stop := running(t, p, Config{}, nil)
		two, stopTwo := running(t, p, Config{}, nil)
		defer stopTwo()
		must(t, put(ctx, one, fleet.Refill, "arabica", 8))
		for n := range 3 {
			if err := place(ctx, one, n); !errors.Is(err, errShort) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
		}
		must(t, put(ctx, two, fleet.Refill, "arabica", 100))
		refused := func(l *Ledger, n int) bool {
			a, was := fleet.Answer{}, false
			_, _ = l.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
				a, was = v.Refused(idN(n))
				return nil, nil
			})
			return was && a.Code == fleet.CodeOutOfStock
		}
		known := func(l *Ledger, what string, want ...bool) {
			t.Helper()
			for n, w := range want {
				if refused(l, n) != w {
					t.Errorf("%s: of order %d, %v is known", what, n, !w)
				}
			}
		}
		known(one, "here", false, true, true)
		known(two, "elsewhere", false, true, true)
		stop()
		three, stopThree := running(t, p, Config{}, nil)
		known(three, "after a start", false, true, true)
		must(t, three.balance(ctx, 1))
		stopThree()
		four, stopFour := running(t, p, Config{}, nil)
		known(four, "after a start from a balance", false, true, true)
		time.Sleep(25 * time.Second)
		known(four, "later", false, false, true)
		must(t, place(ctx, four, 1)) // decided afresh
		if before := lastRefusals(t, p).Before; before != 2 {
			t.Errorf("the third refusal rolled %d away", before)
		}
		must(t, put(ctx, four, fleet.Count, "arabica", 0))
		if err := place(ctx, four, 9); !errors.Is(err, errShort) {
			t.Fatal(err)
		}
		if r := lastRefusals(t, p); r.Before != 3 || len(r.List) != 2 {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Hour)
		must(t, four.balance(ctx, 1)) // all are over, and how many there were is still known
		stopFour()
		five, stopFive := running(t, p, Config{}, nil)
		defer stopFive()
		if err := place(ctx, five, 10); !errors.Is(err, errShort) {
			t.Fatal(err)
		}
		if r := lastRefusals(t, p); r.Before != 4 || len(r.List) != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func lastRefusals(t testing.TB, p *paper) fleet.Refusals {
	t.Helper()
	r, err := p.last(func(r fleet.Record) bool { return r.Refusals != nil })
	must(t, err)
	return *r.Refusals
}

// TestAFloodOfRefusals: what can't be remembered is not told, and holds up nobody.
func TestAFloodOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaper()
		l, stop := running(t, p, Config{}, nil)
		defer stop()
		var told, unknown int
		for n := range 2 * maxRefusals {
			if err := place(t.Context(), l, n); errors.Is(err, errShort) {
				told++
			} else if errors.Is(err, fleet.ErrNoAnswer) {
				unknown++
			}
		}
		if told != maxRefusals || unknown != maxRefusals {
			t.Errorf("%d were told, %d are unknown", told, unknown)
		}
		time.Sleep(fleet.RefusedFor)
		if err := place(t.Context(), l, 1000); !errors.Is(err, errShort) {
			t.Error(err)
		}
	})
}

// TestReaders: each gets every record from where it wants, once and in order,
// whenever it comes and however slow it is, and holds up nobody.
func TestReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		first, stopFirst := running(t, p, Config{Every: 50}, nil)
		must(t, put(ctx, first, fleet.Refill, "arabica", 900_000))
		const before = 300
		for n := range before {
			must(t, place(ctx, first, n))
		}
		synctest.Wait()
		stopFirst()
		there := p.written()
		l := New(Parts{Book: p, Shelf: stock.NewShelf(nil)}, Config{})
		reading, stopReading := context.WithCancel(ctx)
		var wg sync.WaitGroup
		var mu sync.Mutex
		type seen struct {
			seqs  []uint64
			ready []int // how many were there when it was called
		}
		var all []*seen
		read := func(from uint64, slow bool) {
			s := &seen{}
			all = append(all, s)
			wg.Go(func() {
				err := l.Follow(reading, from, func(r fleet.Record) {
					if slow {
						time.Sleep(time.Second)
					}
					mu.Lock()
					s.seqs = append(s.seqs, r.Seq)
					mu.Unlock()
				}, func() { mu.Lock(); s.ready = append(s.ready, len(s.seqs)); mu.Unlock() })
				if !errors.Is(err, context.Canceled) {
					t.Errorf("it ended with %v", err)
				}
			})
		}
		froms := []uint64{1, there - 10, there + 1, 0, 7, 1}
		read(froms[0], false)
		read(froms[1], false)
		read(froms[2], false)
		read(froms[3], true)
		stop := run(t, l)
		time.Sleep(10 * time.Minute) // the slow one too has what was there
		read(froms[4], false)
		began := time.Now()
		for n := range lag + 500 {
			must(t, place(ctx, l, before+n))
		}
		read(froms[5], false)
		if d := time.Since(began); d > time.Second {
			t.Errorf("a slow reader held up the others: %v", d)
		}
		l.mu.Lock()
		for _, r := range l.readers {
			if len(r.queue) > lag {
				t.Errorf("%d records are kept for a slow reader", len(r.queue))
			}
		}
		l.mu.Unlock()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for i, s := range all {
			from := max(froms[i], 1)
			if len(s.seqs) != int(p.written()-from+1) || s.seqs[0] != from {
				t.Errorf("reader %d got %d records, wanted those from %d to %d", i, len(s.seqs), from, p.written())
			}
			for k := range s.seqs[1:] {
				if s.seqs[k+1] != s.seqs[k]+1 {
					t.Fatalf("reader %d got %d after %d", i, s.seqs[k+1], s.seqs[k])
				}
			}
			if len(s.ready) != 1 || i < 4 && s.ready[0] != int(max(there+1, from)-from) {
				t.Errorf("reader %d was ready after %v records, %d were there", i, s.ready, there)
			}
		}
		stopReading()
		wg.Wait()
		if len(l.readers) > 0 {
			t.Error("readers are kept that have ended")
		}
		stop()
	})
}

// brittle is a book whose follower can be made to break off.
type brittle struct {
	*paper
	mu     sync.Mutex
	broken context.Context
	cut    context.CancelFunc
}

var errCut = errors.New("the link is cut")

func newBrittle() *brittle {
	b := &brittle{paper: newPaper()}
	b.mend()
	return b
}

func (b *brittle) mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken, b.cut = context.WithCancel(context.Background())
}

func (b *brittle) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	b.mu.Lock()
	broken := b.broken
	b.mu.Unlock()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(broken, cancel)()
	if err := b.paper.Follow(inner, from, each, ready); broken.Err() == nil {
		return err
	}
	return errCut
}

// TestFollowerBreaksOff: who follows the ledger is told that what he knows may be
// old, and goes on where he was.
func TestFollowerBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBrittle()
		l, stop := running(t, p, Config{}, nil)
		defer stop()
		must(t, put(t.Context(), l, fleet.Refill, "arabica", 1000))
		var seqs []uint64
		follow := func(ctx context.Context) error {
			return l.Follow(ctx, uint64(len(seqs)+1), func(r fleet.Record) { seqs = append(seqs, r.Seq) }, nil)
		}
		ended := make(chan error, 1)
		go func() { ended <- follow(t.Context()) }()
		must(t, place(t.Context(), l, 1))
		synctest.Wait()
		p.cut()
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, errCut) {
				t.Error(err)
			}
		default:
			t.Fatal("it goes on as if nothing were")
		}
		p.mend()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- follow(ctx) }()
		time.Sleep(10 * time.Second)
		must(t, place(t.Context(), l, 2))
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if !slices.Equal(seqs, []uint64{1, 2, 3}) || len(l.readers) > 0 {
			t.Errorf("records %v, %d readers are kept", seqs, len(l.readers))
		}
	})
}

// TestBalances: one every so many records, whoever writes it; at a stop only where
// it is worth it; an idle shop writes none.
func TestBalances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		balances := func() (out []uint64) {
			for _, r := range p.all() {
				if r.Balance != nil {
					out = append(out, r.Balance.Upto)
				}
			}
			return out
		}
		var stops []func()
		var ledgers []*Ledger
		for range 3 {
			l, stop := running(t, p, Config{Every: 100}, nil)
			ledgers, stops = append(ledgers, l), append(stops, stop)
		}
		must(t, put(ctx, ledgers[0], fleet.Refill, "arabica", 900_000))
		for n := range 300 {
			must(t, place(ctx, ledgers[n%3], n))
			synctest.Wait()
		}
		if b := balances(); len(b) != 3 {
			t.Errorf("of 301 records: %v", b)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if b := balances(); len(b) != 3 {
			t.Errorf("an idle shop wrote: %v", b)
		}
		for n := range fewRecords {
			must(t, place(ctx, ledgers[0], 300+n))
		}
		synctest.Wait()
		for _, stop := range stops {
			stop()
		}
		if b := balances(); len(b) != 4 || p.written()-b[3] != 1 {
			t.Errorf("three stops with more than %d records behind the last: %v of %d", fewRecords, b, p.written())
		}
		written := p.written()
		l, stop := running(t, p, Config{}, nil)
		agree(t, l, p)
		for n := range fewRecords - 5 {
			must(t, place(ctx, l, 400+n))
		}
		stop()
		if p.written() != written+fewRecords-5 {
			t.Error("a balance at a stop that is not worth it")
		}
	})
}

// TestABalanceThatCantBeWritten is tried again, and the shop goes on.
func TestABalanceThatCantBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaper()
		b := &refuser{paper: p}
		b.down.Store(true)
		l, stop := running(t, b, Config{Every: 10}, nil)
		defer stop()
		for n := range 30 {
			must(t, put(t.Context(), l, fleet.Refill, "arabica", n))
		}
		time.Sleep(time.Minute)
		b.down.Store(false)
		time.Sleep(time.Minute)
		if _, err := p.LastBalance(t.Context()); err != nil {
			t.Error("none was written when it could be: ", err)
		}
	})
}

// refuser takes no balance.
type refuser struct {
	*paper
	down atomic.Bool
}

func (r *refuser) Act(ctx context.Context, rec fleet.Record, last uint64) (fleet.Revision, error) {
	if rec.Balance != nil && r.down.Load() {
		return fleet.Revision{}, fleet.ErrNoAnswer
	}
	return r.paper.Act(ctx, rec, last)
}

// TestARecordTwice: what a follower that was renewed brings again counts once.
func TestARecordTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaper()
		l, stop := running(t, twice{p}, Config{}, nil)
		defer stop()
		must(t, put(t.Context(), l, fleet.Refill, "arabica", 100))
		must(t, place(t.Context(), l, 1))
		must(t, next(t.Context(), l, p, 1, fence))
		must(t, next(t.Context(), l, p, 1, made))
		must(t, put(t.Context(), l, fleet.Refill, "arabica", 1))
		agree(t, l, p)
	})
}

// twice hands over each record, and the one before it again.
type twice struct{ *paper }

func (b twice) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	var last fleet.Record
	return b.paper.Follow(ctx, from, func(r fleet.Record) {
		each(r)
		if last.Seq > 0 {
			each(last)
		}
		each(r)
		last = r
	}, ready)
}

// TestALostRecord: an order whose record the book has lost is said, and not made
// up.
func TestALostRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		l, stop := running(t, p, Config{}, nil)
		must(t, put(ctx, l, fleet.Refill, "arabica", 100))
		must(t, place(ctx, l, 1))
		must(t, place(ctx, l, 2))
		must(t, l.balance(ctx, 1))
		stop()
		p.records = slices.DeleteFunc(p.records, func(r fleet.Record) bool { return r.Seq == 2 })
		l, stop = running(t, p, Config{}, nil)
		defer stop()
		<-l.Ready()
		if open := l.Open(); len(open) != 1 || open[0].Order.ID != idN(2) {
			t.Errorf("%v", open)
		}
		if got := l.Levels()["arabica"]; got.Reserved != 9 || got.OnHand != 100 {
			t.Errorf("%+v", got)
		}
	})
}

// TestNoShelf: a process without stock follows the orders, and never says that
// something is there.
func TestNoShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		with, stop := running(t, p, Config{Every: 5}, nil)
		defer stop()
		must(t, put(ctx, with, fleet.Refill, "arabica", 100))
		for n := range 7 {
			must(t, place(ctx, with, n))
		}
		l := New(Parts{Book: p}, Config{Every: 1})
		stopIt := run(t, l)
		<-l.Ready()
		if len(l.Open()) != 7 || l.Levels() != nil {
			t.Errorf("%v %v", l.Open(), l.Levels())
		}
		if err := place(ctx, l, 8); !errors.Is(err, errShort) {
			t.Errorf("an order was made without a shelf: %v", err)
		}
		synctest.Wait()
		written := p.written()
		stopIt()
		if p.written() != written {
			t.Error("a balance without a shelf")
		}
	})
}

// TestWrittenBeforeTheStart: what a process wrote while it had not read the last balance
// yet is no open order for ever, where the balance knows better.
func TestWrittenBeforeTheStart(t *testing.T) {
	f := newFold(nil)
	e := fleet.Entry{Claim: fleet.Claim{Phase: fleet.Brewing}, Revision: fleet.Revision{Seq: 2, Rec: "rec2"}}
	e.Order.ID = idN(1)
	young := e
	young.Order.ID, young.Revision = idN(2), fleet.Revision{Seq: 7, Rec: "rec7"}
	f.order(e)
	f.order(young)
	f.restore(fleet.Balance{Upto: 4}, nil)
	if open := f.open(); len(open) != 1 || open[0].Order.ID != idN(2) {
		t.Errorf("%+v", open)
	}
}

// TestAnEvening: random acts of processes that come and go, on a book that loses,
// delays and hides. Whoever follows comes to the same, nothing is promised twice,
// and who was told success has an order.
func TestAnEvening(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, evening) })
}

func evening(t *rapid.T) {
	ctx := context.Background()
	p := newPaper()
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	var mu sync.Mutex
	calm := false
	b := &bad{Book: p, next: func() fault {
		mu.Lock()
		defer mu.Unlock()
		if calm {
			return fine
		}
		return fault(max(0, rnd.IntN(int(blind)+8)-7))
	}}
	start := func() (*Ledger, func()) { return running(t, b, Config{Every: 8}, nil) }
	var ledgers [2]*Ledger
	var stops [2]func()
	for i := range ledgers {
		ledgers[i], stops[i] = start()
	}
	orders, told := 0, map[int]bool{}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		i := rapid.IntRange(0, 1).Draw(t, "process")
		l := ledgers[i]
		switch rapid.IntRange(0, 10).Draw(t, "act") {
		case 0:
			stops[i]()
			ledgers[i], stops[i] = start()
		case 1:
			time.Sleep(2 * time.Second)
		case 2:
			_ = put(ctx, l, rapid.SampledFrom([]fleet.Act{fleet.Refill, fleet.Count, fleet.Consume}).Draw(t, "stock"), "arabica", rapid.IntRange(0, 60).Draw(t, "amount"))
		case 3, 4, 5:
			if err := place(ctx, l, orders); err == nil {
				told[orders] = true
			}
			orders++
		default:
			if orders == 0 {
				break
			}
			n := rapid.IntRange(0, orders-1).Draw(t, "order")
			_ = next(ctx, l, p, n, func(c fleet.Claim) (fleet.Claim, error) {
				switch rapid.IntRange(0, 5).Draw(t, "arrow") {
				case 0:
					return made(c)
				case 1:
					return park(c)
				case 2:
					return c.Settle(false, "lea", fleet.Reason{})
				case 3:
					return c.End(zoe, fleet.Untouched, fleet.Reason{}, 0, nil)
				case 4:
					return c.Stop(fleet.Cancelled, "lea", fleet.Reason{})
				}
				return fence(c)
			})
		}
	}
	mu.Lock()
	calm = true
	mu.Unlock()
	time.Sleep(time.Minute)
	third, stopThird := start()
	time.Sleep(time.Minute)
	synctest.Wait()
	for n := range told {
		if _, err := p.Read(ctx, idN(n)); err != nil {
			t.Fatalf("order %d was accepted, and is not there", n)
		}
	}
	creates := map[string]int{}
	s := stock.NewShelf(nil)
	for _, r := range p.all() {
		before := s.Levels()["arabica"]
		s.Take(r)
		if r.IsClaim && r.Act {
			creates[r.Order.ID]++
			if before.Available() < 9 {
				t.Fatalf("record %d promised what was not there: %+v", r.Seq, before)
			}
		}
	}
	for id, n := range creates {
		if n != 1 {
			t.Fatalf("%s was made %d times", id, n)
		}
	}
	for _, l := range append(ledgers[:], third) {
		if d := cmp.Diff(s.Levels(), l.Levels()); d != "" {
			t.Fatalf("-book +ledger: %s", d)
		}
		if d := cmp.Diff(third.Open(), l.Open()); d != "" {
			t.Fatalf("two processes see the same book differently: %s", d)
		}
		for _, e := range l.Open() {
			if last, err := p.Read(ctx, e.Order.ID); err != nil || last.Revision != e.Revision {
				t.Fatalf("%s is at %v, the book says %v, %v", e.Order.ID, e.Revision, last.Revision, err)
			}
		}
	}
	for _, stop := range append(stops[:], stopThird) {
		stop()
	}
	b.late.Wait()
}
