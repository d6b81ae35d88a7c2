package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

func over(c *queue.Conn) Parts {
	return Parts{Ledger: c.Ledger(), Claims: c.Claims(), Settings: c.Settings(), Server: c.Server(), Snapshot: c.Snapshot}
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

func TestSubjects(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	s := New(over(b.Connect("stock")), Config{Initial: fleet.Items{"arabica": 100, "milk-soja": 100, "sugar": 10}})
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
		{"coffee.stock.reserve", `{"order":"` + idN(1) + `","use":0,"items":{"arabica":9}}`, `{"ok":true}`},
		{"coffee.stock.arabica.get", "", "31"},
		{"coffee.stock.reserve", `{"order":"` + idN(2) + `","use":0,"items":{"arabica":32}}`, `{"ok":false,"code":"out_of_stock","item":"arabica","message":"not enough arabica"}`},
		{"coffee.stock.book", `{"order":"` + idN(1) + `","act":"release","items":{"arabica":9}}`, `{"ok":true}`},
		{"coffee.stock.reserve", `{"order":"` + idN(1) + `","items":{"arabica":9}}`, `{"ok":false,"code":"use_closed","message":"this use of stock is closed"}`},
		{"coffee.stock.add", `{"item":"liberica","amount":70,"by":"léa","key":"k1"}`, `{"ok":true,"levels":{"liberica":{"on_hand":70,"reserved":0,"refilled":70,"consumed":0,"wasted":0}}}`},
		{"coffee.stock.add", `{"item":"liberica","amount":70,"by":"léa","key":"k1"}`, `{"ok":true,"levels":{"liberica":{"on_hand":70,"reserved":0,"refilled":70,"consumed":0,"wasted":0}}}`},
		{"coffee.stock.count", `{"item":"liberica","amount":0,"by":"léa"}`, `{"ok":true,"levels":{"liberica":{"on_hand":0,"reserved":0,"refilled":70,"consumed":0,"wasted":70}}}`},
		{"coffee.stock.count", `{"item":"arabica","by":"léa"}`, `{"ok":false,"code":"invalid","message":"amount: is missing"}`},
		{"coffee.stock.count", `{"item":"robsta","amount":1}`, `{"ok":false,"code":"unknown_item","message":"there is no robsta in the stock: not found"}`},
		{"coffee.stock.add", `[`, `{"ok":false,"code":"invalid","message":"not a request: unexpected end of JSON input"}`},
		{"coffee.stock.reserve", `{"order":"` + strings.Repeat("x", 5000) + `"}`, `{"ok":false,"code":"invalid","message":"5012 bytes, at most 4096 are read"}`},
	} {
		if got := ask(t, r, c.subject, c.body); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.subject, c.body, got, c.want)
		}
	}

	menu := fleet.DefaultMenu()
	menu.Sizes[fleet.Small] = fleet.Amounts{Grams: 10, Water: 40}
	body, err := json.Marshal(menu)
	must(t, err)
	must(t, b.Connect("owner").Settings().Put(ctx, fleet.KeyMenu, body))
	ask(t, r, "coffee.stock.arabica.dec.small", "")
	if got := ask(t, r, "coffee.stock.arabica.get", ""); got != "30" {
		t.Errorf("a dose of the new menu left %s", got)
	}
	if got := ask(t, r, "coffee.stock.milk-soja.dec.small", ""); !strings.HasPrefix(got, "error") {
		t.Errorf("a small cup has no milk on the new menu: %s", got)
	}
}

func TestRemoteIsTheStock(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	c := b.Connect("stock")
	r := Remote(b.Connect("someone").Requester())
	if err := r.Reserve(ctx, idN(1), 0, cup); !errors.Is(err, fleet.ErrNobody) {
		t.Fatalf("nobody is there: %v", err)
	}
	var stored atomic.Pointer[Snapshot]
	parts := over(c)
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
	for _, subject := range []string{subjectReserve, subjectBook, subjectAdd, subjectCount, subjectLevels} {
		ask(t, r.(Client).Requester, subject, "{}")
	}
	must(t, r.Reserve(ctx, idN(1), 0, cup))
	var short *fleet.OutOfStockError
	if err := r.Reserve(ctx, idN(2), 0, fleet.Items{"arabica": 12}); !errors.As(err, &short) || short.Item != "arabica" {
		t.Fatalf("got %v", err)
	}
	must(t, r.Book(ctx, book(idN(1), 0, fleet.Waste, cup)))
	if err := r.Reserve(ctx, idN(1), 0, cup); !errors.Is(err, fleet.ErrUseClosed) {
		t.Fatalf("got %v", err)
	}
	var never *invalid
	if err := r.Reserve(ctx, "x", 0, cup); !errors.As(err, &never) || errors.Is(err, fleet.ErrNoAnswer) {
		t.Fatalf("got %v", err)
	}
	p := r.(Client)
	if l, err := p.Add(ctx, "arabica", 100, "lea", "k"); err != nil || l.OnHand != 111 {
		t.Fatalf("%+v %v", l, err)
	}
	if l, err := p.Count(ctx, "arabica", 110, "lea", "k2"); err != nil || l.Wasted != 10 {
		t.Fatalf("%+v %v", l, err)
	}
	if _, err := p.Count(ctx, "robusta", 110, "lea", "k3"); !errors.Is(err, fleet.ErrNotFound) {
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

// Two services on the real ledger, with appends that are stored without an
// answer, and claims that end while nobody listens.
func TestTwoServicesOverTheBroker(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Start(t)
	var n atomic.Int64
	make := func(name string) *Stock {
		parts := over(b.Connect(name))
		parts.Ledger = &bad{Ledger: parts.Ledger, next: func() fault { return []fault{fine, unanswered, fine, lost}[n.Add(1)%4] }}
		return New(parts, Config{Initial: fleet.Items{"arabica": 150}})
	}
	one, two := make("stock-one"), make("stock-two")
	if reserved, refused := customers(t, one, two, 0); reserved != 16 || refused != 4 {
		t.Fatalf("%d reserved, %d refused", reserved, refused)
	}
	claims := b.Connect("controller").Claims()
	for i := range 20 { // all twenty end: odd ones served, even ones cancelled
		e, err := claims.Create(ctx, claimN(i))
		must(t, err)
		c, err := e.Stop(fleet.Cancelled, "test", fleet.Reason{})
		if i%2 == 1 {
			o := fleet.Owner{Machine: "zoe"}
			c, err = e.Take(o)
			must(t, err)
			c, err = c.Fence(o)
			must(t, err)
			c, err = c.End(o, fleet.Made, fleet.Reason{}, nil)
		}
		must(t, err)
		_, err = claims.Update(ctx, e, c)
		must(t, err)
		if i == 10 {
			defer running(t, one)()
			defer running(t, two)()
		}
	}
	want := map[string]fleet.Level{"arabica": {OnHand: 60, Refilled: 150, Consumed: 90}}
	for _, s := range []*Stock{one, two} {
		var got map[string]fleet.Level
		brokertest.Eventually(t, "all ends booked", func() bool {
			var err error
			got, err = s.Levels(ctx)
			must(t, err)
			return got["arabica"].Consumed >= 90 && got["arabica"].Reserved == 0
		})
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	}
	var entries []fleet.Entry
	_, err := b.Connect("auditor").Ledger().Read(ctx, 0, func(_ uint64, e fleet.Entry) { entries = append(entries, e) })
	must(t, err)
	must(t, balanced(want, entries))

	b.Restart()
	brokertest.Eventually(t, "the stock after a restart of the broker", func() bool {
		got, err := two.Levels(ctx)
		return err == nil && cmp.Equal(want, got)
	})
}

func BenchmarkReserve(b *testing.B) {
	br := brokertest.Start(b)
	s := New(over(br.Connect("stock")), Config{Initial: fleet.Items{"arabica": maxAmount}})
	ctx := context.Background()
	_, err := s.Levels(ctx)
	must(b, err)
	for i := 0; b.Loop(); i++ {
		if i%100_000 == 99_999 {
			_, err := s.Add(ctx, "arabica", maxAmount, "", "")
			must(b, err)
		}
		must(b, s.Reserve(ctx, fmt.Sprintf("01JD%022d", i), 0, cup))
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(`{"order":"01J","use":0,"act":"consume","items":{"arabica":9}}`, "k")
	f.Add(`{"item":"arabica","amount":5,"by":"lea","key":"k"}`, "arabica")
	f.Fuzz(func(t *testing.T, body, token string) {
		s := New(Parts{Ledger: &paper{}}, Config{Initial: fleet.Items{"arabica": 100}})
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
