package stock

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/fleet"
)

func opened(t testing.TB, initial fleet.Items) (*Stock, *paper) {
	t.Helper()
	p := &paper{}
	return New(Parts{Ledger: p}, Config{Initial: initial}), p
}

func levelsOf(t testing.TB, s *Stock, p *paper) map[string]fleet.Level {
	t.Helper()
	got, err := s.Levels(t.Context())
	must(t, err)
	must(t, balanced(got, p.all()))
	return got
}

func book(order string, use int, act fleet.Act, items fleet.Items) fleet.Booking {
	return fleet.Booking{Order: order, Use: use, Act: act, Items: items}
}

func TestAnOrderReservesAllOrNothing(t *testing.T) {
	ctx := t.Context()
	s, p := opened(t, fleet.Items{"arabica": 20, "milk-soja": 10, "sugar": 5})
	cup := fleet.Items{"arabica": 9, "milk-soja": 30, "sugar": 9}
	var short *fleet.OutOfStockError
	if err := s.Reserve(ctx, idN(1), 0, cup); !errors.As(err, &short) || short.Item != "milk-soja" {
		t.Fatalf("got %v, milk is short, and sugar", err)
	}
	cup["arabica"] = 21
	if err := s.Reserve(ctx, idN(1), 0, cup); !errors.As(err, &short) || short.Item != "arabica" {
		t.Fatalf("got %v, the beans are said first", err)
	}
	if n := len(p.all()); n != 1 {
		t.Fatalf("%d entries: a refusal writes nothing", n)
	}
	must(t, s.Reserve(ctx, idN(1), 0, fleet.Items{"arabica": 20}))
	if err := s.Reserve(ctx, idN(2), 0, fleet.Items{"arabica": 1}); !errors.As(err, &short) {
		t.Fatalf("got %v: all beans are promised", err)
	}
	if err := s.Reserve(ctx, idN(2), 0, fleet.Items{"liberica": 1}); !errors.As(err, &short) || short.Item != "liberica" {
		t.Fatalf("got %v: there never was any", err)
	}
}

func TestAUseIsReservedOnceAndEndsOnce(t *testing.T) {
	ctx := t.Context()
	s, p := opened(t, fleet.Items{"arabica": 100})
	cup := fleet.Items{"arabica": 9}
	for range 3 {
		must(t, s.Reserve(ctx, idN(1), 0, cup))
	}
	for range 3 {
		must(t, s.Book(ctx, book(idN(1), 0, fleet.Consume, cup)))
	}
	if err := s.Reserve(ctx, idN(1), 0, cup); !errors.Is(err, fleet.ErrUseClosed) {
		t.Fatalf("a closed use was reserved: %v", err)
	}
	must(t, s.Book(ctx, book(idN(2), 0, fleet.Release, cup))) // written though nothing is reserved
	if err := s.Reserve(ctx, idN(2), 0, cup); !errors.Is(err, fleet.ErrUseClosed) {
		t.Fatalf("a late reserve was taken: %v", err)
	}
	must(t, s.Reserve(ctx, idN(1), 1, cup)) // the remake is a use of its own
	if n := len(p.all()); n != 5 {
		t.Fatalf("%d entries, wanted refill, reserve, consume, release, reserve", n)
	}
	want := map[string]fleet.Level{"arabica": {OnHand: 91, Reserved: 9, Refilled: 100, Consumed: 9}}
	if d := cmp.Diff(want, levelsOf(t, s, p)); d != "" {
		t.Fatal(d)
	}
}

func TestAReserveIsOneAppendAndNoRead(t *testing.T) {
	s, p := opened(t, fleet.Items{"arabica": 100})
	levelsOf(t, s, p)
	reads, entries := p.reads, len(p.all())
	must(t, s.Reserve(t.Context(), idN(1), 0, fleet.Items{"arabica": 9}))
	if p.reads != reads || len(p.all()) != entries+1 {
		t.Fatalf("%d reads and %d entries more", p.reads-reads, len(p.all())-entries)
	}
}

func TestEndsAreCorrected(t *testing.T) {
	cup := fleet.Items{"arabica": 9}
	level := func(hand, refilled, consumed, wasted int) fleet.Level {
		return fleet.Level{OnHand: hand, Refilled: refilled, Consumed: consumed, Wasted: wasted}
	}
	for _, test := range []struct {
		name string
		ends string // c, w, r; a person counts: = the drink was made, ~ it was not, - hardly anything is left
		want fleet.Level
	}{
		{"unknown, then not made", "cr", level(100, 100, 0, 0)},
		{"unknown, then spoiled", "cw", level(91, 100, 0, 9)},
		{"unknown, then made", "cc", level(91, 100, 9, 0)},
		{"wasted, then consumed", "wc", level(91, 100, 9, 0)},
		{"released, then consumed", "rc", level(91, 100, 9, 0)},
		{"to and fro", "crwcr", level(100, 100, 0, 0)},
		// A count between the two is the truth, and is left alone.
		{"unknown, found used, then not made", "c=r", level(91, 100, 0, 9)},
		{"unknown, found not used, then not made", "c~r", level(100, 109, 0, 9)},
		{"unknown, found used, then spoiled", "c=w", level(91, 100, 0, 9)},
		{"released, found used, then consumed", "r=c", level(91, 109, 9, 9)},
		{"found used, to and fro", "c=rc", level(91, 109, 9, 9)},
		{"released, found nearly empty, then consumed", "r-c", level(2, 109, 9, 98)},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := t.Context()
			s, p := opened(t, fleet.Items{"arabica": 100})
			must(t, s.Reserve(ctx, idN(1), 0, cup))
			for _, c := range test.ends {
				var err error
				switch c {
				case '=':
					_, err = s.Count(ctx, "arabica", 91, "lea", "")
				case '~':
					_, err = s.Count(ctx, "arabica", 100, "lea", "")
				case '-':
					_, err = s.Count(ctx, "arabica", 2, "lea", "")
				default:
					err = s.Book(ctx, book(idN(1), 0, map[rune]fleet.Act{'c': fleet.Consume, 'w': fleet.Waste, 'r': fleet.Release}[c], cup))
				}
				must(t, err)
			}
			if d := cmp.Diff(test.want, levelsOf(t, s, p)["arabica"]); d != "" {
				t.Fatal(d)
			}
			if d := cmp.Diff(levelsOf(t, s, p), levelsOf(t, New(Parts{Ledger: p}, Config{}), p)); d != "" {
				t.Fatalf("another service sees something else: %s", d)
			}
		})
	}
}

// Our own services write nothing twice; whoever else did changes nothing.
func TestTheFoldForgives(t *testing.T) {
	f := newFold(10)
	seq := uint64(0)
	write := func(e fleet.Entry) error { seq++; return f.apply(seq, e) }
	for _, e := range []fleet.Entry{
		{Act: fleet.Refill, Items: fleet.Items{"arabica": 100}, Key: "k"},
		{Act: fleet.Refill, Items: fleet.Items{"arabica": 100}, Key: "k"},
		{Act: fleet.Reserve, Order: idN(1), Items: cup},
		{Act: fleet.Reserve, Order: idN(1), Items: cup},
		{Act: fleet.Consume, Order: idN(1), Items: cup},
		{Act: fleet.Reserve, Order: idN(1), Items: cup},
		{Act: fleet.Consume, Order: idN(1), Items: fleet.Items{"arabica": 1}},
		{Act: fleet.Waste, Order: idN(2), Items: fleet.Items{"liberica": 1}},
		{Act: fleet.Waste, Items: fleet.Items{"arabica": 1, "liberica": 1}, Key: "k2"},
	} {
		must(t, write(e))
	}
	must(t, f.apply(seq, fleet.Entry{Act: fleet.Refill, Items: cup})) // read twice
	for _, e := range []fleet.Entry{
		{},
		{Act: "steal", Items: cup},
		{Act: fleet.Refill, Order: idN(1), Items: cup},
		{Act: fleet.Release, Items: cup},
		{Act: fleet.Reserve, Order: "../x", Items: cup},
		{Act: fleet.Reserve, Order: idN(1), Use: 1 << 20, Items: cup},
		{Act: fleet.Refill, Items: fleet.Items{"arabica": -5}},
		{Act: fleet.Refill, Items: fleet.Items{"a b": 5}},
	} {
		if write(e) == nil {
			t.Errorf("%+v was taken", e)
		}
	}
	want := map[string]fleet.Level{"arabica": {OnHand: 90, Refilled: 100, Consumed: 9, Wasted: 1}}
	if d := cmp.Diff(want, f.view()); d != "" || f.seq != seq {
		t.Fatalf("at %d: %s", f.seq, d)
	}
}

// deaf is a ledger that takes nothing and shows nothing new.
type deaf struct {
	paper
	err error
}

func (d *deaf) Append(context.Context, fleet.Entry, uint64) (uint64, error) { return 0, d.err }

func TestALedgerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, err := range []error{fleet.ErrNoAnswer, fleet.ErrConflict, errors.New("full")} {
			began := time.Now()
			got := New(Parts{Ledger: &deaf{err: err}}, Config{}).Book(t.Context(), book(idN(1), 0, fleet.Release, cup))
			if !errors.Is(got, fleet.ErrNoAnswer) || errors.Is(got, fleet.ErrConflict) {
				t.Errorf("%v came out as %v", err, got)
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("took %v", d)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := New(Parts{Ledger: &paper{}}, Config{}).Reserve(ctx, idN(1), 0, cup); err == nil {
			t.Error("done after the end of its context")
		}
	})
}

func TestWhatIsNotThereIsNotUsed(t *testing.T) {
	ctx := t.Context()
	s, p := opened(t, fleet.Items{"arabica": 4, "sugar": 3})
	cup := fleet.Items{"arabica": 9, "sugar": 1, "milk-soja": 30}
	must(t, s.Book(ctx, book(idN(1), 0, fleet.Consume, cup)))
	got := levelsOf(t, s, p)
	want := map[string]fleet.Level{"arabica": {Refilled: 4, Consumed: 4}, "sugar": {OnHand: 2, Refilled: 3, Consumed: 1}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	e := p.all()[1]
	if d := cmp.Diff(fleet.Items{"arabica": 4, "sugar": 1}, e.Items); d != "" || e.Note != "arabica: 9 asked, 4 there; milk-soja: 30 asked, 0 there" {
		t.Fatalf("the entry says %v, %q", e.Items, e.Note)
	}
	// What comes later is not eaten by the former lack, but a correction looks again.
	_, err := s.Add(ctx, "arabica", 100, "lea", "")
	must(t, err)
	must(t, s.Book(ctx, book(idN(1), 0, fleet.Waste, cup)))
	if d := cmp.Diff(fleet.Level{OnHand: 95, Refilled: 104, Wasted: 9}, levelsOf(t, s, p)["arabica"]); d != "" {
		t.Fatal(d)
	}
}

func TestPersonsActsCountOnce(t *testing.T) {
	ctx := t.Context()
	s, p := opened(t, fleet.Items{"arabica": 100})
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
		// A key counts once in every service, and after every start.
		s = New(Parts{Ledger: p}, Config{})
	}
	must(t, s.Take(ctx, "arabica", fleet.Large, "x", ""))
	must(t, s.Take(ctx, "arabica", fleet.Large, "x", ""))
	want := map[string]fleet.Level{"arabica": {OnHand: 10, Refilled: 100, Consumed: 90}, "robusta": {OnHand: 45, Refilled: 50, Wasted: 5}}
	if d := cmp.Diff(want, levelsOf(t, s, p)); d != "" {
		t.Fatal(d)
	}
	n := len(p.all())
	var short *fleet.OutOfStockError
	if err := s.Take(ctx, "arabica", fleet.Large, "x", ""); !errors.As(err, &short) {
		t.Fatalf("30 g of 10 g: %v", err)
	}
	for what, err := range map[string]error{
		"a key for two acts":   func() error { _, err := s.Add(ctx, "robusta", 51, "lea", "k1"); return err }(),
		"nothing added":        func() error { _, err := s.Add(ctx, "robusta", 0, "lea", ""); return err }(),
		"too much added":       func() error { _, err := s.Add(ctx, "robusta", 1_000_001, "lea", ""); return err }(),
		"counted below zero":   func() error { _, err := s.Count(ctx, "robusta", -1, "lea", ""); return err }(),
		"no item":              func() error { _, err := s.Add(ctx, "Robusta.get", 5, "lea", ""); return err }(),
		"no key":               func() error { _, err := s.Add(ctx, "robusta", 5, "lea", "a b"); return err }(),
		"no name":              func() error { _, err := s.Add(ctx, "robusta", 5, "l\nea", ""); return err }(),
		"a slip of the pen":    func() error { _, err := s.Count(ctx, "robsta", 5, "lea", ""); return err }(),
		"sugar by size":        s.Take(ctx, "sugar", fleet.Small, "x", ""),
		"no size":              s.Take(ctx, "arabica", "huge", "x", ""),
		"nothing of it":        s.Take(ctx, "liberica", fleet.Small, "x", ""),
		"no order":             s.Reserve(ctx, "x", 0, nil),
		"an id in small print": s.Reserve(ctx, strings.ToLower(idN(1)), 0, nil),
		"a use below zero":     s.Reserve(ctx, idN(1), -1, nil),
		"beans below zero":     s.Reserve(ctx, idN(1), 0, fleet.Items{"arabica": -1}),
		"a count as an end":    s.Book(ctx, book(idN(1), 0, fleet.Count, nil)),
		"an end of no order":   s.Book(ctx, book("", 0, fleet.Consume, fleet.Items{"arabica": 1})),
		"no act":               s.Book(ctx, book(idN(1), 0, "", nil)),
	} {
		if err == nil {
			t.Errorf("%s: was taken", what)
		}
	}
	if len(p.all()) != n {
		t.Fatalf("%+v was written", p.all()[n:])
	}
}

func TestTheFirstStartFillsOnce(t *testing.T) {
	p := &paper{}
	b := &bad{Ledger: p, next: func() fault { return unanswered }}
	initial := fleet.Items{"arabica": 1000, "sugar": 0}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := New(Parts{Ledger: b}, Config{Initial: initial}).Levels(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(p.all()); n != 1 {
		t.Fatalf("%d entries", n)
	}
	if _, err := New(Parts{Ledger: &paper{}}, Config{Initial: fleet.Items{"a b": 1}}).Levels(t.Context()); err == nil {
		t.Fatal("a bad configuration was taken")
	}
}

// Twenty customers want 9 g each of the last 150 g, over two services, and each
// asks until the answer is certain.
func TestTwentyCustomersAtOnce(t *testing.T) { synctest.Test(t, twentyCustomers) }

func twentyCustomers(t *testing.T) {
	for seed := range uint64(20) {
		p := &paper{}
		rnd := rand.New(rand.NewPCG(seed, 1))
		// Without a fault every third time, later seeds with all of them.
		b := &bad{Ledger: p, next: func() fault {
			if seed%3 == 0 {
				return fine
			}
			return fault(rnd.IntN(int(blind) + 1))
		}}
		twenty(t, New(Parts{Ledger: b}, Config{Initial: fleet.Items{"arabica": 150}}), New(Parts{Ledger: b}, Config{Initial: fleet.Items{"arabica": 150}}), p)
	}
}

func twenty(t *testing.T, one, two *Stock, p *paper) {
	t.Helper()
	reserved, refused := customers(t, one, two, 0)
	if reserved != 16 || refused != 4 {
		t.Fatalf("%d reserved, %d refused", reserved, refused)
	}
	for _, s := range []*Stock{one, two} {
		l := levelsOf(t, s, p)["arabica"]
		if l.Available() != 6 || l.Reserved != 144 {
			t.Fatalf("%+v", l)
		}
	}
}

// customers lets twenty orders reserve at once, half of them at each service.
func customers(t *testing.T, one, two fleet.Stock, from int) (reserved, refused int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 20 {
		s := one
		if i%2 == 1 {
			s = two
		}
		wg.Go(func() {
			err := s.Reserve(t.Context(), idN(from+i), 0, fleet.Items{"arabica": 9})
			for errors.Is(err, fleet.ErrNoAnswer) { // asked again with the same order and use
				err = s.Reserve(t.Context(), idN(from+i), 0, fleet.Items{"arabica": 9})
			}
			var short *fleet.OutOfStockError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				reserved++
			case errors.As(err, &short):
				refused++
			default:
				t.Errorf("customer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	return reserved, refused
}

// Promise 9 under random acts of two services that are stopped and started at
// will, on a ledger that loses appends, answers late or not at all.
func TestPromiseNine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, promiseNine) })
}

func promiseNine(t *rapid.T) {
	ctx := context.Background()
	p := &paper{}
	calm := false
	b := &bad{Ledger: p, next: func() fault {
		if calm {
			return fine
		}
		return rapid.SampledFrom([]fault{fine, fine, fine, lost, unanswered, late, blind}).Draw(t, "fault")
	}}
	// With a memory of three a late reserve may be taken, as the constant says;
	// what is judged then is that all services agree and nothing is below zero.
	memory := rapid.SampledFrom([]int{3, 1000, 1000}).Draw(t, "memory")
	strict := memory == 1000
	start := func() *Stock {
		return withMemory(Parts{Ledger: b}, Config{Initial: fleet.Items{"arabica": 40, "milk-soja": 60}}, memory)
	}
	services := []*Stock{start(), start()}
	uses := map[useKey]bool{} // that had an end for certain

	items := rapid.SampledFrom([]fleet.Items{
		{"arabica": 9}, {"arabica": 17, "milk-soja": 30}, {"arabica": 9, "sugar": 1}, {"robusta": 30}, {},
	})
	steps := rapid.IntRange(1, 40).Draw(t, "steps")
	for range steps {
		i := rapid.IntRange(0, 1).Draw(t, "service")
		s := services[i]
		order, use := idN(rapid.IntRange(0, 4).Draw(t, "order")), rapid.IntRange(0, 1).Draw(t, "use")
		k := keyOf(order, use)
		_, before, err := audit(p.all())
		if strict && err != nil {
			t.Fatal(err)
		}
		switch rapid.SampledFrom([]string{"reserve", "reserve", "end", "end", "add", "count", "take", "crash"}).Draw(t, "act") {
		case "reserve":
			cup := items.Draw(t, "items")
			err := s.Reserve(ctx, order, use, cup)
			levels, now, bad := audit(p.all())
			if strict && bad != nil {
				t.Fatal(bad)
			}
			var short *fleet.OutOfStockError
			switch {
			case !strict && (err == nil || errors.As(err, &short) || errors.Is(err, fleet.ErrUseClosed)):
			case err == nil:
				if now[k] != fleet.Reserve {
					t.Fatalf("success, and the ledger says %q", now[k])
				}
			case errors.As(err, &short):
				if levels[short.Item].Available() >= cup[short.Item] {
					t.Fatalf("%s was said to be short: %+v", short.Item, levels[short.Item])
				}
				if now[k] == fleet.Reserve && before[k] != fleet.Reserve {
					t.Fatal("refused, and reserved")
				}
			case errors.Is(err, fleet.ErrUseClosed):
				if now[k] == "" || now[k] == fleet.Reserve {
					t.Fatalf("closed was said of %q", now[k])
				}
			case !errors.Is(err, fleet.ErrNoAnswer):
				t.Fatalf("reserve: %v", err)
			}
		case "end":
			act := rapid.SampledFrom([]fleet.Act{fleet.Release, fleet.Consume, fleet.Waste}).Draw(t, "end")
			err := s.Book(ctx, book(order, use, act, items.Draw(t, "items")))
			_, now, bad := audit(p.all())
			if strict && bad != nil {
				t.Fatal(bad)
			}
			switch {
			case err == nil && strict && now[k] != act:
				t.Fatalf("booked %s, and the ledger says %q", act, now[k])
			case err == nil:
				uses[k] = true
			case !errors.Is(err, fleet.ErrNoAnswer):
				t.Fatalf("book: %v", err)
			}
		case "add":
			_, err := s.Add(ctx, rapid.SampledFrom([]string{"arabica", "robusta", "sugar"}).Draw(t, "item"), rapid.IntRange(1, 50).Draw(t, "amount"), "lea", rapid.SampledFrom([]string{"", "", "k1"}).Draw(t, "key"))
			var never *invalid
			if err != nil && !errors.Is(err, fleet.ErrNoAnswer) && !errors.As(err, &never) {
				t.Fatalf("add: %v", err)
			}
		case "count":
			_, err := s.Count(ctx, rapid.SampledFrom([]string{"arabica", "robusta"}).Draw(t, "item"), rapid.IntRange(0, 50).Draw(t, "amount"), "lea", "")
			if err != nil && !errors.Is(err, fleet.ErrNoAnswer) && !errors.Is(err, fleet.ErrNotFound) {
				t.Fatalf("count: %v", err)
			}
		case "take":
			err := s.Take(ctx, "arabica", fleet.Small, "x", "")
			var short *fleet.OutOfStockError
			if err != nil && !errors.Is(err, fleet.ErrNoAnswer) && !errors.As(err, &short) {
				t.Fatalf("take: %v", err)
			}
		case "crash":
			services[i] = start()
		}
	}
	calm = true
	var views []map[string]fleet.Level
	for _, s := range append(services, start()) {
		got, err := s.Levels(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if strict {
			if err := balanced(got, p.all()); err != nil {
				t.Fatal(err)
			}
		}
		for item, l := range got {
			if l.OnHand < 0 || l.Reserved < 0 || l.OnHand != l.Refilled-l.Consumed-l.Wasted {
				t.Fatalf("%s: %+v", item, l)
			}
		}
		views = append(views, got)
	}
	for _, v := range views[1:] {
		if d := cmp.Diff(views[0], v); d != "" {
			t.Fatalf("two services see the same ledger differently: %s", d)
		}
	}
	if strict {
		for k := range uses {
			if err := services[0].Reserve(ctx, string(k.order[:]), int(k.use), nil); !errors.Is(err, fleet.ErrUseClosed) {
				t.Fatalf("an ended use was reserved: %v", err)
			}
		}
	}
}

// A use that the fold has forgotten is not booked a second time.
func TestAForgottenUseIsLookedUp(t *testing.T) {
	ctx := t.Context()
	p := &paper{}
	s := withMemory(Parts{Ledger: p}, Config{Initial: fleet.Items{"arabica": 100}}, 2)
	cup := fleet.Items{"arabica": 9}
	for i := range 5 {
		must(t, s.Book(ctx, book(idN(i), 0, fleet.Consume, cup)))
	}
	for _, act := range []fleet.Act{fleet.Consume, fleet.Waste} {
		must(t, s.Book(ctx, book(idN(0), 0, act, cup)))
	}
	must(t, s.Book(ctx, book(idN(9), 0, fleet.Waste, cup))) // unknown, but not forgotten
	want := fleet.Level{OnHand: 46, Refilled: 100, Consumed: 45, Wasted: 9}
	if d := cmp.Diff(want, levelsOf(t, s, p)["arabica"]); d != "" {
		t.Fatal(d)
	}
}

func FuzzFold(f *testing.F) {
	f.Add([]byte{0, 1, 9, 1, 1, 9, 2, 1, 9, 3, 1, 9, 4, 0, 50, 5, 0, 3, 3, 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		fold := newFold(3)
		acts := []fleet.Act{fleet.Refill, fleet.Reserve, fleet.Release, fleet.Consume, fleet.Waste, fleet.Count, "other"}
		for seq := uint64(1); len(b) >= 3; seq++ {
			e := fleet.Entry{Act: acts[int(b[0])%len(acts)], Items: fleet.Items{[]string{"arabica", "sugar", ""}[int(b[0]/16)%3]: int(int8(b[2]))}}
			if b[1] > 0 {
				e.Order, e.Use = idN(int(b[1])%5), int(b[1]/64)-1
			}
			_ = fold.apply(seq, e)
			b = b[3:]
			for item, l := range fold.levels {
				if l.OnHand < 0 || l.Reserved < 0 || l.OnHand != l.Refilled-l.Consumed-l.Wasted {
					t.Fatalf("after entry %d %s is %+v", seq, item, l)
				}
			}
		}
	})
}
