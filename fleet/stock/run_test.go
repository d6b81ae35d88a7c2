package stock

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/fleet"
)

// running starts Run; stop ends it and waits.
func running(t interface{ Errorf(string, ...any) }, s *Stock) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

var cup = fleet.Items{"arabica": 9}

func claimN(n int) fleet.Claim {
	return fleet.Claim{Phase: fleet.Accepted, Order: fleet.Order{ID: idN(n)}, Portion: cup, Epoch: 1}
}

// A whole shop's evening: orders are claimed, dropped, spoiled, lost and settled
// while two stock services come and go on a bad ledger. In the end the ledger
// says what the claims say, from the claims alone.
func TestTheLedgerComesToWhatTheClaimsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, evening) })
}

func evening(t *rapid.T) {
	ctx := context.Background()
	p, claims := &paper{}, newRegister()
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)) // services draw at the same time
	b := &bad{Ledger: p, next: func() fault { return fault(max(0, rnd.IntN(int(blind)+6)-5)) }}
	const beans = 120
	start := func() (*Stock, func()) {
		s := New(Parts{Ledger: b, Claims: claims}, Config{Initial: fleet.Items{"arabica": beans}})
		return s, running(t, s)
	}
	var services [2]*Stock
	var stops [2]func()
	for i := range services {
		services[i], stops[i] = start()
	}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	zoe := fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}
	orders := 0
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		switch act := rapid.IntRange(0, 9).Draw(t, "act"); act {
		case 0: // a service is killed and another started
			i := rapid.IntRange(0, 1).Draw(t, "service")
			stops[i]()
			services[i], stops[i] = start()
		case 1:
			time.Sleep(3 * time.Second) // fake: lets the services come up with the claims
		case 2, 3: // a new order; the reservation may never be made
			c := claimN(orders)
			orders++
			e, err := claims.Create(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(t, "forgets") == 0 {
				break
			}
			err = services[rapid.IntRange(0, 1).Draw(t, "service")].Reserve(ctx, c.Order.ID, 0, cup)
			var short *fleet.OutOfStockError
			if errors.As(err, &short) {
				refused, err := c.Refuse(fleet.Sorry(c.Order.ID, fleet.CodeOutOfStock, "%v", err))
				if err == nil {
					_, err = claims.Update(ctx, e, refused)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		default: // any arrow of any claim
			if orders == 0 {
				break
			}
			e, err := claims.Get(ctx, idN(rapid.IntRange(0, orders-1).Draw(t, "order")))
			if err != nil {
				t.Fatal(err)
			}
			if c, err := arrow(e.Claim, zoe, rapid.IntRange(0, 11).Draw(t, "arrow")); err == nil {
				if _, err := claims.Update(ctx, e, c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, e := range claims.all() { // the shop closes
		c, err := e.Stop(fleet.Expired, "test", fleet.Reason{})
		if err != nil {
			c, err = e.Park("test", fleet.Reason{})
		}
		if err == nil {
			if _, err := claims.Update(ctx, e, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(time.Minute)
	synctest.Wait()

	for _, s := range services {
		got, err := s.Levels(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := balanced(got, p.all()); err != nil {
			t.Fatal(err)
		}
		if l := got["arabica"]; l.Reserved != 0 || l.OnHand < 0 || l.Refilled != beans {
			t.Fatalf("after the last order: %+v", l)
		}
	}
	_, acts, err := audit(p.all())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range claims.all() {
		for _, b := range e.Bookings() {
			k := keyOf(b.Order, b.Use)
			if acts[k] != b.Act {
				t.Fatalf("use %d of %s: the claim says %s, the ledger %q", b.Use, b.Order, b.Act, acts[k])
			}
			delete(acts, k)
		}
	}
	for k, act := range acts {
		t.Fatalf("the ledger has %s of use %d of %s, which no claim demands", act, k.use, k.order)
	}
}

// arrow tries one of the claim's arrows.
func arrow(c fleet.Claim, o fleet.Owner, n int) (fleet.Claim, error) {
	switch n {
	case 0:
		return c.Mark(c.MessageID())
	case 1, 2:
		return c.Take(o)
	case 3, 4:
		return c.Fence(o)
	case 5:
		return c.Release(fleet.Reason{Text: "no cup"}, nil)
	case 6:
		return c.End(o, fleet.Made, fleet.Reason{}, nil)
	case 7:
		return c.End(o, fleet.Spoiled, fleet.Reason{Text: "no flow"}, nil)
	case 8:
		return c.End(o, fleet.Untouched, fleet.Reason{}, nil)
	case 9:
		return c.Park("test", fleet.Reason{Text: "gone"})
	case 10:
		return c.Settle(true, "lea", fleet.Reason{})
	}
	return c.MakeAgain("lea")
}

func TestTheSnapshotIsWrittenOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		var last Snapshot
		down := true
		p := &paper{}
		s := New(Parts{Ledger: p, Claims: newRegister(), Snapshot: func(_ context.Context, b []byte) error {
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
		for i := range 50 {
			time.Sleep(100 * time.Millisecond)
			must(t, s.Reserve(t.Context(), idN(i), 0, cup))
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
		want := Snapshot{51, map[string]fleet.Level{"arabica": {OnHand: 1000, Reserved: 450, Refilled: 1000}}}
		if d := cmp.Diff(want, last); d != "" {
			t.Error(d)
		}
		mu.Unlock()
		stop()
	})
}

type quitter struct{ fleet.Claims }

func (quitter) Watch(context.Context, func(fleet.ClaimEntry), func()) error { return fleet.ErrNotFound }

func TestRunSaysWhatEnded(t *testing.T) {
	s := New(Parts{Ledger: &paper{}, Claims: quitter{}}, Config{})
	if err := s.Run(t.Context()); !errors.Is(err, fleet.ErrNotFound) {
		t.Fatalf("a watch that gave up: %v", err)
	}
	s = New(Parts{Ledger: &paper{}, Claims: newRegister()}, Config{Initial: fleet.Items{"a.b": 1}})
	if err := s.Run(t.Context()); err == nil {
		t.Fatal("a bad configuration was taken")
	}
}

// After a start all claims are seen again. What the fold has forgotten of them is
// looked up once and not booked a second time.
func TestAStartBooksNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, claims := &paper{}, newRegister()
		for i := range 10 {
			c := claimN(i)
			c.Phase = fleet.Served
			_, err := claims.Create(t.Context(), c)
			must(t, err)
		}
		for range 3 {
			s := withMemory(Parts{Ledger: p, Claims: claims}, Config{Initial: fleet.Items{"arabica": 200}}, 2)
			stop := running(t, s)
			time.Sleep(time.Minute)
			stop()
			if l := levelsOf(t, s, p)["arabica"]; l.Consumed != 90 {
				t.Fatalf("ten cups of 9 g: %+v", l)
			}
		}
	})
}
