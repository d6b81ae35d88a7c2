package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// drawer holds settings.
type drawer struct {
	fleet.Settings
	mu   sync.Mutex
	keys map[string][]byte
	down bool
}

func (d *drawer) Get(_ context.Context, key string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, there := d.keys[key]; there {
		return v, nil
	}
	return nil, fleet.ErrNotFound
}

func (d *drawer) Put(_ context.Context, key string, v []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return fleet.ErrNoAnswer
	}
	d.keys[key] = v
	return nil
}

// TestKeepDays: records go after the counted days, by two processes no sooner than
// by one, over restarts; an order that is not over is written anew before its
// record goes, the stock stays what it was, and who starts then comes to the same.
func TestKeepDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := newPaper()
		d := &drawer{keys: map[string][]byte{}}
		cfg := Config{KeepDays: 3}
		one, stopOne := running(t, p, cfg, d)
		two, stopTwo := running(t, p, cfg, d)
		must(t, put(ctx, one, fleet.Refill, "arabica", 100))
		for n := range 4 {
			must(t, place(ctx, one, n))
			must(t, next(ctx, one, p, n, fence))
		}
		must(t, next(ctx, one, p, 0, made))
		must(t, next(ctx, one, p, 1, park)) // nobody knows, for long
		must(t, put(ctx, one, fleet.Count, "arabica", 70))
		if err := place(ctx, one, 50); err != nil {
			t.Fatal(err)
		}
		must(t, next(ctx, one, p, 50, func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Cancelled, "lea", fleet.Reason{}) }))
		first := p.written()
		time.Sleep(24 * time.Hour)
		stopOne()
		time.Sleep(12 * time.Hour) // only the other one counts
		one, stopOne = running(t, p, cfg, d)
		must(t, next(ctx, one, p, 2, made)) // a day and a half later
		must(t, place(ctx, one, 4))
		second := p.written()
		oldest := func() uint64 { return p.all()[0].Seq }
		time.Sleep(58 * time.Hour)
		if oldest() != 1 || p.written() != second {
			t.Fatalf("too early: the oldest is %d, %d were written", oldest(), p.written()-second)
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if got := oldest(); got != first+1 {
			t.Errorf("the oldest is %d, all up to %d are old", got, first)
		}
		for n, want := range []error{fleet.ErrNotFound, nil, nil, nil, nil} {
			if _, err := p.Read(ctx, idN(n)); !errors.Is(err, want) {
				t.Errorf("order %d: %v", n, err)
			}
		}
		agreed := one.Levels()
		if l := agreed["arabica"]; l.OnHand != 70-9 || l.Reserved != 18 || l.Consumed != 27 {
			t.Errorf("%+v", l)
		}
		stopOne()
		stopTwo()
		three, stop := running(t, p, cfg, d)
		<-three.Ready()
		if diff := cmp.Diff(agreed, three.Levels()) + cmp.Diff(two.Open(), three.Open()); diff != "" {
			t.Error(diff)
		}
		// Its beans were counted after it took them: they stay where the count put
		// them, though its record is younger than the count now.
		must(t, next(ctx, three, p, 1, func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(false, "lea", fleet.Reason{}) }))
		synctest.Wait()
		if l := three.Levels()["arabica"]; l.OnHand != 61 || l.Consumed != 18 {
			t.Errorf("%+v", l)
		}
		// A shop where nothing happens keeps what is open and a balance, and writes
		// those anew once in KeepDays days, besides its hours.
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		quiet := p.written()
		time.Sleep(8 * 24 * time.Hour)
		synctest.Wait()
		if n := len(p.all()); p.written() > quiet+8 || n > 4 {
			t.Errorf("%d records are left, %d were written in eight days of rest", n, p.written()-quiet)
		}
		stop()
	})
}

// TestTrimTakesNothingThatIsNeeded: where an order could not be written anew, or
// no balance was taken, the records stay.
func TestTrimTakesNothingThatIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		for _, what := range []string{"no balance", "orders that others change"} {
			p := newPaper()
			stuck, down := what != "no balance", what == "no balance"
			r := &refuser{paper: p}
			r.down.Store(down)
			l, stop := running(t, &stubborn{r, stuck}, Config{}, nil)
			must(t, put(ctx, l, fleet.Refill, "arabica", 100))
			for n := range 5 {
				must(t, place(ctx, l, n))
			}
			synctest.Wait()
			err := l.trim(ctx, 5)
			if (err == nil) == down {
				t.Errorf("%s: %v", what, err)
			}
			if oldest := p.all()[0].Seq; down && oldest != 1 || stuck && oldest != 2 {
				t.Errorf("%s: what stands before %d went", what, oldest)
			}
			stop()
		}
	})
}

// stubborn has somebody else change an order whenever it is to be written.
type stubborn struct {
	*refuser
	stuck bool
}

func (s *stubborn) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	if s.stuck {
		return fleet.Entry{}, fleet.ErrConflict
	}
	return s.refuser.Next(ctx, read, c)
}

// TestNewStore: sequences that begin anew do not make new records look old.
func TestNewStore(t *testing.T) {
	r := dayRecord{Hours: 40*24 - 1, Gone: 999}
	for d := range 31 {
		r.Marks = append(r.Marks, dayMark{9 + d, uint64(1000 + d)})
	}
	r.Hours++
	if upTo, due := r.turn(12, 30); due {
		t.Errorf("would trim up to %d", upTo)
	}
	if len(r.Marks) != 1 || r.Marks[0] != (dayMark{40, 12}) || r.Gone != 0 {
		t.Errorf("%+v", r)
	}
}

// TestTrimOfTheRealBook: what is old leaves the broker, and a start on what is left
// comes to the same.
func TestTrimOfTheRealBook(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	book := b.Connect("shop").Book()
	l, stop := running(t, book, Config{}, nil)
	must(t, put(ctx, l, fleet.Refill, "arabica", 500))
	for n := range 30 {
		must(t, place(ctx, l, n))
		must(t, next(ctx, l, book, n, fence))
		if n%10 > 0 {
			must(t, next(ctx, l, book, n, made))
		}
	}
	agree(t, l, book)
	levels, open := l.Levels(), l.Open()
	must(t, l.trim(ctx, l.Upto()+1))
	if n := len(everything(t, book)); n != len(open)+1 {
		t.Errorf("%d records are left, wanted three orders and a balance", n)
	}
	stop()
	again, stop := running(t, b.Connect("again").Book(), Config{}, nil)
	defer stop()
	<-again.Ready()
	if d := cmp.Diff(levels, again.Levels()); d != "" {
		t.Error(d)
	}
	if got := again.Open(); len(got) != 3 || got[0].Phase != fleet.Brewing {
		t.Errorf("%v", got)
	}
	must(t, place(ctx, again, 99))
	must(t, next(ctx, again, book, 10, made))
}

// torn has keys that can't be read.
type torn struct{ fleet.Settings }

func (torn) Get(context.Context, string) ([]byte, error) {
	return nil, fmt.Errorf("setting x: %w", fleet.ErrDamaged)
}

// TestDamagedDays: a count of days that can't be read begins anew, as a wrong one does.
func TestDamagedDays(t *testing.T) {
	l := New(Parts{Settings: torn{}}, Config{})
	if r, err := l.readDays(t.Context()); err != nil || r.Hours != 0 {
		t.Errorf("%+v %v", r, err)
	}
}
