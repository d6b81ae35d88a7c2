package stock

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/ledger"
	"barista/fleet/queue"
)

// over is a stock service on a broker, with a ledger of its own.
func over(t *testing.T, c *queue.Conn, book fleet.Book) Parts {
	l := ledger.New(ledger.Parts{Book: book, Shelf: NewShelf(nil)}, ledger.Config{Every: 20})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	return Parts{Ledger: l, Settings: c.Settings(), Server: c.Server(), Snapshot: c.Snapshot}
}

// ask waits until somebody serves the subject.
func ask(t *testing.T, r fleet.Requester, subject, body string) string {
	t.Helper()
	var answer []byte
	brokertest.Eventually(t, "an answer on "+subject, func() bool {
		var err error
		answer, err = r.Request(t.Context(), subject, []byte(body))
		if err != nil && !errors.Is(err, fleet.ErrNobody) {
			t.Fatal(err)
		}
		return err == nil
	})
	return string(answer)
}

// create makes an order, as a controller does.
func create(t *testing.T, l Ledger, n int, portion fleet.Items) {
	t.Helper()
	_, err := l.Act(t.Context(), func(fleet.View) (*fleet.Record, error) {
		c := fleet.Create(fleet.Order{ID: idN(n), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}, portion, fleet.Success(idN(n)), "web")
		return &fleet.Record{Entry: fleet.Entry{Claim: c}, IsClaim: true}, nil
	})
	must(t, err)
}

func TestSubjects(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	c := b.Connect("stock")
	parts := over(t, c, c.Book())
	s := New(parts, Config{Initial: fleet.Items{"arabica": 100, "milk-soja": 100, "sugar": 10}})
	defer running(t, s)()
	r := b.Connect("someone").Requester()

	for _, c := range []struct{ subject, body, want string }{
		{"coffee.stock.arabica.get", "", "100"},
		{"coffee.stock.arabica.dec.large", "", "OK"},
		{"coffee.stock.arabica.dec.big", "again", "OK"},
		{"coffee.stock.arabica.dec.big", "again", "OK"},
		{"coffee.stock.arabica.get", "", "40"},
		{"coffee.stock.milk-soja.dec.medium", "", "OK"},
		{"coffee.stock.milk-soja.get", "", "40"},
		{"coffee.stock.milk-soja.dec.medium", `{"what":"ever"}`, "error: not enough milk-soja"},
		{"coffee.stock.sugar.dec.small", "", "error: stock: sugar: has no dose by size"},
		{"coffee.stock.arabica.dec.huge", "", `error: stock: size "huge": is not on the menu`},
		{"coffee.stock.liberica.get", "", `error: there is no "liberica" in the stock`},
		{"coffee.stock.ARABICA.get", "", `error: there is no "ARABICA" in the stock`},
		{"coffee.stock.liberica.dec.small", "", "error: there is no liberica in the stock: not found"},
		{"coffee.stock.add", `{"item":"liberica","amount":70,"by":"léa","key":"k1"}`, `{"ok":true,"levels":{"liberica":{"on_hand":70,"reserved":0,"refilled":70,"consumed":0,"wasted":0}}}`},
		{"coffee.stock.add", `{"item":"liberica","amount":70,"by":"léa","key":"k1"}`, `{"ok":true,"levels":{"liberica":{"on_hand":70,"reserved":0,"refilled":70,"consumed":0,"wasted":0}}}`},
		{"coffee.stock.count", `{"item":"liberica","amount":0,"by":"léa"}`, `{"ok":true,"levels":{"liberica":{"on_hand":0,"reserved":0,"refilled":70,"consumed":0,"wasted":70}}}`},
		{"coffee.stock.add", `{"item":"liberica","amount":7}`, `{"ok":true,"levels":{"liberica":{"on_hand":7,"reserved":0,"refilled":77,"consumed":0,"wasted":70}}}`},
		{"coffee.stock.waste", `{"item":"liberica","amount":6,"by":"léa","reason":"stale"}`, `{"ok":true,"levels":{"liberica":{"on_hand":1,"reserved":0,"refilled":77,"consumed":0,"wasted":76}}}`},
		{"coffee.stock.waste", `{"item":"liberica","amount":6,"by":"léa","reason":"stale"}`, `{"ok":false,"code":"too_much","message":"there are 1 g of liberica, so 6 g were not thrown away: count what is left"}`},
		{"coffee.stock.waste", `{"item":"liberica","reason":"stale"}`, `{"ok":false,"code":"invalid","message":"amount: is missing"}`},
		{"coffee.stock.waste", `{"item":"liberica","amount":1}`, `{"ok":false,"code":"invalid","message":"stock: reason: say what happened to it"}`},
		{"coffee.stock.count", `{"item":"arabica","by":"léa"}`, `{"ok":false,"code":"invalid","message":"amount: is missing"}`},
		{"coffee.stock.count", `{"item":"robsta","amount":1}`, `{"ok":false,"code":"unknown_item","message":"there is no robsta in the stock: not found"}`},
		{"coffee.stock.add", `[`, `{"ok":false,"code":"invalid","message":"not a request: unexpected end of JSON input"}`},
		{"coffee.stock.add", `{"item":"` + strings.Repeat("x", 5000) + `"}`, `{"ok":false,"code":"invalid","message":"5011 bytes, at most 4096 are read"}`},
	} {
		if got := ask(t, r, c.subject, c.body); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.subject, c.body, got, c.want)
		}
	}
	// What is promised to an order is not there for others.
	create(t, parts.Ledger, 1, fleet.Items{"arabica": 9})
	if got := ask(t, r, "coffee.stock.arabica.get", ""); got != "31" {
		t.Errorf("31 g are available, it says %s", got)
	}
	create(t, parts.Ledger, 2, fleet.Items{"arabica": 23})
	if got := ask(t, r, "coffee.stock.arabica.dec.small", ""); got != "error: not enough arabica" {
		t.Errorf("8 g are available, and a dose of 9 g came to %s", got)
	}

	menu := fleet.DefaultMenu()
	menu.Sizes[fleet.Small] = fleet.Amounts{Grams: 7, Water: 40}
	body, err := json.Marshal(menu)
	must(t, err)
	must(t, b.Connect("owner").Settings().Put(ctx, fleet.KeyMenu, body))
	ask(t, r, "coffee.stock.arabica.dec.small", "")
	if got := ask(t, r, "coffee.stock.arabica.get", ""); got != "1" {
		t.Errorf("a dose of the new menu left %s", got)
	}
	if got := ask(t, r, "coffee.stock.milk-soja.dec.small", ""); !strings.HasPrefix(got, "error") {
		t.Errorf("a small cup has no milk on the new menu: %s", got)
	}
	var reply Reply
	must(t, json.Unmarshal([]byte(ask(t, r, "coffee.stock.levels", "")), &reply))
	if l := reply.Levels["arabica"]; !reply.OK || reply.Seq != parts.Ledger.Upto() || l.OnHand != 33 || l.Reserved != 32 {
		t.Errorf("%+v", reply)
	}
}

func TestRemoteIsTheStock(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	c := b.Connect("stock")
	r := Remote(b.Connect("someone").Requester())
	if _, err := r.Add(ctx, "arabica", 1, "lea", ""); !errors.Is(err, fleet.ErrNobody) {
		t.Fatalf("nobody is there: %v", err)
	}
	var stored atomic.Pointer[Snapshot]
	parts := over(t, c, c.Book())
	parts.Snapshot = func(ctx context.Context, b []byte) error {
		var snap Snapshot
		if err := errors.Join(json.Unmarshal(b, &snap), c.Snapshot(ctx, b)); err != nil {
			return err
		}
		stored.Store(&snap)
		return nil
	}
	s := New(parts, Config{Initial: fleet.Items{"arabica": 20}})
	defer running(t, s)()
	for _, subject := range []string{subjectAdd, subjectCount, subjectLevels} {
		ask(t, r.Requester, subject, "{}")
	}
	var never *invalid
	if _, err := r.Add(ctx, "x.y", 1, "lea", ""); !errors.As(err, &never) || errors.Is(err, fleet.ErrNoAnswer) {
		t.Fatalf("got %v", err)
	}
	if l, err := r.Add(ctx, "arabica", 100, "lea", "k"); err != nil || l.OnHand != 120 {
		t.Fatalf("%+v %v", l, err)
	}
	if l, err := r.Count(ctx, "arabica", 110, "lea", "k2"); err != nil || l.Wasted != 10 {
		t.Fatalf("%+v %v", l, err)
	}
	if l, err := r.Waste(ctx, "arabica", 10, "lea", "stale", "k4"); err != nil || l.OnHand != 100 || l.Wasted != 20 {
		t.Fatalf("%+v %v", l, err)
	}
	if _, err := r.Waste(ctx, "arabica", 101, "lea", "stale", "k5"); !errors.Is(err, fleet.ErrNotAllowed) {
		t.Fatalf("got %v", err)
	}
	if _, err := r.Count(ctx, "robusta", 110, "lea", "k3"); !errors.Is(err, fleet.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	there, err := s.Levels(ctx)
	must(t, err)
	here, err := r.Levels(ctx)
	must(t, err)
	if d := cmp.Diff(there, here); d != "" {
		t.Fatal(d)
	}
	brokertest.Eventually(t, "the snapshot in the bucket", func() bool {
		snap := stored.Load()
		return snap != nil && cmp.Equal(snap.Levels, there)
	})
}

// forgetful is a book that stores an act, and every third time does not say so.
type forgetful struct {
	fleet.Book
	n atomic.Int64
}

func (f *forgetful) Act(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	rev, err := f.Book.Act(ctx, r, last)
	if f.n.Add(1)%3 == 0 {
		return fleet.Revision{}, fleet.ErrNoAnswer
	}
	return rev, err
}

// TestTwoServicesOverTheBroker: two on one book, whose answers get lost, with
// orders that end while people count; both come to the same, and after a start of
// the broker still do.
func TestTwoServicesOverTheBroker(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	service := func(name string) (*Stock, Ledger) {
		c := b.Connect(name)
		parts := over(t, c, &forgetful{Book: c.Book()})
		return New(parts, Config{Initial: fleet.Items{"arabica": 1000}}), parts.Ledger
	}
	one, ledgerOne := service("stock-one")
	two, ledgerTwo := service("stock-two")
	defer running(t, one)()
	defer running(t, two)()
	book := b.Connect("desk").Book()
	for n := range 30 {
		l, s := ledgerOne, two
		if n%2 == 1 {
			l, s = ledgerTwo, one
		}
		create(t, l, n, fleet.Items{"arabica": 9})
		if n%10 == 5 {
			_, err := s.Add(ctx, "arabica", 5, "lea", "")
			must(t, err)
			must(t, s.Take(ctx, "arabica", fleet.Small, "x", ""))
		}
		e, err := book.Read(ctx, idN(n))
		must(t, err)
		c, err := e.Stop(fleet.Cancelled, "test", fleet.Reason{})
		if n%3 > 0 {
			c, err = e.Fence(zoe)
			must(t, err)
			e, err = book.Next(ctx, e.Revision, c)
			must(t, err)
			c, err = e.End(zoe, fleet.Made, fleet.Reason{}, 30, nil)
		}
		must(t, err)
		_, err = book.Next(ctx, e.Revision, c)
		must(t, err)
	}
	want := map[string]fleet.Level{"arabica": {OnHand: 1000 + 15 - 23*9, Refilled: 1015, Consumed: 23 * 9}}
	same := func() {
		t.Helper()
		for _, s := range []*Stock{one, two} {
			brokertest.Eventually(t, "all of it folded", func() bool {
				got, err := s.Levels(ctx)
				return err == nil && cmp.Equal(want, got)
			})
		}
	}
	same()
	b.Restart()
	same()
	var after fleet.Level
	brokertest.Eventually(t, "an act after a start of the broker", func() bool {
		var err error
		after, err = two.Add(ctx, "arabica", 1, "lea", "once")
		return err == nil
	})
	want["arabica"] = after
	same()
	if after.Refilled != 1016 {
		t.Errorf("%+v", after)
	}
}
