package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/fleet"
)

const (
	idA = "01JDAAAAAAAAAAAAAAAAAAAAAA"
	idB = "01JDBBBBBBBBBBBBBBBBBBBBBB"
	idC = "01JDCCCCCCCCCCCCCCCCCCCCCC"
)

// ada is a new order of Ada's.
func ada(id string) fleet.Claim {
	a := fleet.Success(id)
	a.ETA = []int{60, 120}
	return fleet.Create(fleet.Order{ID: id, Name: "Ada", Size: fleet.Medium, Bean: "arabica", Milk: "free"}, nil, a, "web")
}

// pen writes into a fold what comes one after the other.
type pen struct {
	t interface {
		Helper()
		Fatal(...any)
	}
	b    *book
	seq  uint64
	last map[string]fleet.Claim
}

// newPen begins a book that was read to its end, and empty.
func newPen(t *testing.T, b *book) *pen {
	b.begin()
	b.caughtUp()
	return &pen{t: t, b: b, last: map[string]fleet.Claim{}}
}

func (p *pen) put(c fleet.Claim, at time.Time) {
	p.seq++
	p.last[c.Order.ID] = c
	p.b.take(fleet.Record{IsClaim: true, Entry: fleet.Entry{Claim: c, Revision: fleet.Revision{Seq: p.seq, Rec: fmt.Sprint(p.seq)}, Written: at}})
}

func (p *pen) further(id string, at time.Time, arrows ...arrow) {
	p.t.Helper()
	for _, f := range arrows {
		c, err := f(p.last[id])
		if err != nil {
			p.t.Fatal(c.Phase, err)
		}
		p.put(c, at)
	}
}

func TestFoldOfAnOrdersWay(t *testing.T) {
	type does = func(*pen)
	write := func(arrows ...arrow) does {
		return func(p *pen) { p.t.Helper(); p.further(idA, time.Unix(1e9, 0), arrows...) }
	}
	tell := func(epoch int, kind fleet.EventKind, n int, step string, percent int) does {
		return func(p *pen) {
			p.b.live(fleet.Event{Order: idA, Kind: kind, Epoch: epoch, N: n, Of: 3, Step: step, Percent: percent, Machine: "zoe"})
		}
	}
	step := func(epoch, n int, name string) does { return tell(epoch, fleet.EvStep, n, name, 0) }
	steps := func(n int, names ...string) work { return work{N: n, Of: 3, Step: names[len(names)-1], Steps: names} }
	tank := fleet.Reason{Code: "tank"}
	for _, tt := range []struct {
		name string
		does []does
		want order
	}{
		{"taken", nil, order{Phase: fleet.Accepted, Epoch: 1}},
		{"waits for a cup", []does{write(cup("zoe"))}, order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 1}},
		{"fenced", []does{write(brewing("zoe"))}, order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1}},
		{"fenced after a cup, and anew", []does{write(cup("zoe"), brewing("zoe"), brewing("zoe"))}, order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1}},
		{"steps", []does{write(brewing("zoe")), step(1, 1, "grind"), step(1, 2, "pour")},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1, work: steps(2, "grind", "pour")}},
		{"a step twice", []does{write(brewing("zoe")), step(1, 1, "grind"), step(1, 2, "pour"), step(1, 1, "grind")},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1, work: steps(2, "grind", "pour")}},
		{"a step before its fence", []does{step(1, 1, "grind"), write(brewing("zoe")), step(1, 2, "pour")},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1, work: steps(2, "grind", "pour")}},
		{"steps after the web began anew", []does{write(brewing("zoe")), step(1, 3, "pour")},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1, work: steps(3, "pour")}},
		{"served", []does{write(brewing("zoe"), served("zoe"))},
			order{Phase: fleet.Served, Machine: "zoe", Epoch: 1, Outcome: fleet.Made, work: work{Percent: 100}}},
		{"given back", []does{write(cup("zoe"), released)}, order{Phase: fleet.Accepted, Epoch: 2}},
		{"untouched, so another one tries", []does{write(brewing("zoe"), came("zoe", fleet.Untouched, tank))},
			order{Phase: fleet.Accepted, Epoch: 2, Again: true, Reason: tank}},
		{"spoiled, so made again", []does{write(brewing("zoe")), step(1, 1, "grind"), write(came("zoe", fleet.Spoiled, tank))},
			order{Phase: fleet.Again, Epoch: 1, Again: true, Reason: tank}},
		{"its next portion is reserved", []does{write(brewing("zoe")), step(1, 1, "grind"), write(came("zoe", fleet.Spoiled, tank), remade)},
			order{Phase: fleet.Accepted, Epoch: 2, Again: true, Reason: tank}},
		{"the second try", []does{write(brewing("zoe"), came("zoe", fleet.Spoiled, tank), remade, cup("leo"))},
			order{Phase: fleet.Claimed, Machine: "leo", Epoch: 2, Again: true}},
		{"late news of the first try", []does{write(cup("zoe"), released, brewing("leo")), step(1, 3, "pour"), tell(1, fleet.EvPercent, 0, "", 90)},
			order{Phase: fleet.Brewing, Machine: "leo", Epoch: 2}},
		{"unknown", []does{write(brewing("zoe"), parked)},
			order{Phase: fleet.Unknown, Machine: "zoe", Epoch: 1, Outcome: fleet.OutcomeUnknown, Reason: fleet.Reason{Code: fleet.CodeNotHeard}}},
		{"unknown stays unknown by late steps", []does{write(brewing("zoe"), parked), step(1, 1, "grind")},
			order{Phase: fleet.Unknown, Machine: "zoe", Epoch: 1, Outcome: fleet.OutcomeUnknown, Reason: fleet.Reason{Code: fleet.CodeNotHeard}}},
		{"a person wants it again", []does{write(brewing("zoe"), parked, again)}, order{Phase: fleet.Again, Epoch: 1, Again: true}},
		{"made again", []does{write(brewing("zoe"), parked, again, remade, cup("leo"))},
			order{Phase: fleet.Claimed, Machine: "leo", Epoch: 2, Again: true}},
		{"unknown, and its machine says that it was made", []does{write(brewing("zoe"), parked, served("zoe"))},
			order{Phase: fleet.Served, Machine: "zoe", Epoch: 1, Outcome: fleet.Made, work: work{Percent: 100}}},
		{"failed twice", []does{write(brewing("zoe"), came("zoe", fleet.Spoiled, tank), remade, brewing("leo"), came("leo", fleet.Spoiled, fleet.Reason{Code: "flow"}))},
			order{Phase: fleet.Failed, Machine: "leo", Epoch: 2, Again: true, Outcome: fleet.Spoiled, Reason: fleet.Reason{Code: "flow"}}},
		{"ends are final", []does{write(stopped(fleet.Cancelled)), step(1, 1, "grind"), tell(1, fleet.EvPercent, 0, "", 90)},
			order{Phase: fleet.Cancelled, Epoch: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			b := newBook(func() time.Time { return now })
			p := newPen(t, b)
			p.put(ada(idA), now)
			for _, f := range tt.does {
				f(p)
			}
			s, there := b.look(idA)
			if !there {
				t.Fatal("the order is not there")
			}
			tt.want.ID, tt.want.What, tt.want.Place = idA, ada(idA).Order, 1
			tt.want.ETA, tt.want.Accepted, tt.want.Since = []int{60, 120}, now, now
			if tt.want.Phase.Ended() {
				tt.want.Ended = now
			}
			if tt.want.Phase == fleet.Served {
				early := -60.
				tt.want.Missed = &early
			}
			if diff := cmp.Diff(tt.want, s.order, cmp.AllowUnexported(order{}, work{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Of an order that is older than what is read, the pages know all but the time
// when it was accepted.
func TestRecordsBeganAfterTheOrder(t *testing.T) {
	b := newBook(time.Now)
	p := newPen(t, b)
	c, err := ada(idA).Take(owner("zoe"))
	if err != nil {
		t.Fatal(err)
	}
	p.put(c, time.Now())
	if s, _ := b.look(idA); s.Phase != fleet.Claimed || s.What.Name != "Ada" || !s.Accepted.IsZero() {
		t.Errorf("got %s of %q, accepted %v; want claimed of Ada", s.Phase, s.What.Name, s.Accepted)
	}
	p.put(ada(idB), time.Now())
	p.further(idA, time.Now(), released)
	for id, want := range map[string]int{idA: 1, idB: 2} {
		if s, _ := b.look(id); s.Queue != want {
			t.Errorf("%s has place %d, want %d", id, s.Queue, want)
		}
	}
	p.further(idA, time.Now(), brewing("zoe"), served("zoe"))
	if s, _ := b.look(idA); s.Missed != nil {
		t.Errorf("it is said to have come %v s beside its promise", *s.Missed)
	}
}

// An order that was not over when its records got old is written anew, as it is.
func TestWrittenAnew(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newBook(time.Now)
	p := newPen(t, b)
	p.put(ada(idA), now)
	p.put(ada(idB), now)
	p.put(p.last[idA], now.Add(time.Hour))
	if s, _ := b.look(idA); s.Queue != 1 || !s.Accepted.Equal(now) {
		t.Errorf("place %d, accepted %v", s.Queue, s.Accepted)
	}
}

// What is no claim is nobody's page, and what was carried over is no news.
func TestOtherRecords(t *testing.T) {
	b := newBook(time.Now)
	p := newPen(t, b)
	old := ada(idA)
	old.Phase, old.Via = fleet.Served, fleet.ViaOld
	p.put(old, time.Now())
	for _, r := range []fleet.Record{{}, {Act: true, Stock: &fleet.StockAct{Act: fleet.Refill}}, {Act: true, Refusals: &fleet.Refusals{}}, {Balance: &fleet.Balance{}}} {
		b.take(r)
	}
	if len(b.now.orders) != 0 {
		t.Errorf("%d orders", len(b.now.orders))
	}
}

func TestPercentGrowsOnlyWhileBrewing(t *testing.T) {
	b := newBook(time.Now)
	w := newPen(t, b)
	percent := func(epoch, p int) {
		b.live(fleet.Event{Order: idA, Kind: fleet.EvPercent, Epoch: epoch, Percent: p})
	}
	at := func() int { s, _ := b.look(idA); return s.Percent }
	w.put(ada(idA), time.Now())
	percent(1, 10)
	if at() != 0 {
		t.Errorf("%d %% before anything moved", at())
	}
	w.further(idA, time.Now(), brewing("zoe"))
	percent(1, 30)
	percent(1, 20)
	percent(2, 90)
	if at() != 30 {
		t.Errorf("%d %%, want 30", at())
	}
	percent(1, 4000)
	if at() != 100 {
		t.Errorf("%d %%, want 100", at())
	}
	w.further(idA, time.Now(), came("zoe", fleet.Spoiled, fleet.Reason{}), remade, brewing("leo"))
	if at() != 0 {
		t.Errorf("a new try began with %d %%", at())
	}
}

func TestPlaceInTheQueue(t *testing.T) {
	b := newBook(time.Now)
	p := newPen(t, b)
	for _, id := range []string{idA, idB, idC} {
		p.put(ada(id), time.Now())
	}
	place := func(id string) int { s, _ := b.look(id); return s.Queue }
	if place(idA) != 1 || place(idB) != 2 || place(idC) != 3 {
		t.Fatalf("places %d %d %d", place(idA), place(idB), place(idC))
	}
	p.further(idA, time.Now(), cup("zoe"))
	p.further(idB, time.Now(), stopped(fleet.Cancelled))
	if place(idA) != 0 || place(idB) != 0 || place(idC) != 1 {
		t.Fatalf("places %d %d %d after one was taken and one cancelled", place(idA), place(idB), place(idC))
	}
	p.further(idA, time.Now(), brewing("zoe"), came("zoe", fleet.Spoiled, fleet.Reason{}))
	if place(idA) != 1 || place(idC) != 2 {
		t.Fatalf("places %d %d after the first one was spoiled", place(idA), place(idC))
	}
}

func TestTheBookForgets(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newBook(func() time.Time { return now })
	p := newPen(t, b)
	old := now.Add(-25 * time.Hour)
	p.put(ada(idA), old)
	p.further(idA, old, brewing("zoe"), served("zoe")) // ended yesterday
	p.put(ada(idB), old)                               // still open
	p.put(ada(idC), old)
	p.further(idC, now, brewing("zoe"), served("zoe"))
	for id, want := range map[string]bool{idA: false, idB: true, idC: true} {
		if _, there := b.look(id); there != want {
			t.Errorf("%s: there %v, want %v", id, there, want)
		}
	}
	now = now.Add(25 * time.Hour)
	b.prune()
	if f := b.now; len(f.orders) != 1 || len(f.open) != 1 || len(f.ended) != 0 {
		t.Errorf("%d orders, %d open, %d ended; want only the one that never ended", len(f.orders), len(f.open), len(f.ended))
	}
}

// However many orders a day has, so many are kept and no more: those that ended
// last, and all that have not ended.
func TestTheBookIsBounded(t *testing.T) {
	b := newBook(time.Now)
	p := newPen(t, b)
	id := func(i int) string { return fmt.Sprintf("01JD%022d", i) }
	const n = mostEnded + 500
	for i := range n {
		p.put(ada(id(i)), time.Now())
		if i > 0 {
			p.further(id(i), time.Now(), brewing("zoe"), served("zoe"))
		}
	}
	if f := b.now; len(f.orders) != mostEnded+1 || len(f.ended) != mostEnded || len(f.open) != 1 {
		t.Errorf("%d orders, %d open, %d ended", len(f.orders), len(f.open), len(f.ended))
	}
	for i, want := range map[int]bool{0: true, 1: false, 499: false, 500: true, n - 1: true} {
		if _, there := b.look(id(i)); there != want {
			t.Errorf("order %d: there %v, want %v", i, there, want)
		}
	}
}

// A book that is read anew is shown when all of it was read; what a machine told
// meanwhile and before stays, and what the store has lost goes.
func TestTheBookIsReadAnew(t *testing.T) {
	b := newBook(time.Now)
	p := newPen(t, b)
	p.put(ada(idA), time.Now())
	p.further(idA, time.Now(), brewing("zoe"))
	b.live(fleet.Event{Order: idA, Kind: fleet.EvStep, Epoch: 1, N: 1, Of: 2, Step: "grind", Percent: 10})
	p.put(ada(idB), time.Now())
	p.further(idB, time.Now(), cup("leo"))
	b.lost()
	b.begin()
	p.seq = 0
	p.put(ada(idA), time.Now())
	if s, _ := b.look(idA); s.Phase != fleet.Brewing || s.N != 1 || !s.Stale {
		t.Errorf("while it is read anew: %s, step %d, stale %v", s.Phase, s.N, s.Stale)
	}
	b.live(fleet.Event{Order: idA, Kind: fleet.EvPercent, Epoch: 1, Percent: 30})
	p.further(idA, time.Now(), brewing("zoe"))
	p.put(ada(idB), time.Now())
	b.caughtUp()
	if s, _ := b.look(idA); s.Phase != fleet.Brewing || s.N != 1 || s.Percent != 30 || s.Stale {
		t.Errorf("when it was read: %s, step %d, %d %%, stale %v", s.Phase, s.N, s.Percent, s.Stale)
	}
	if s, _ := b.look(idB); s.Phase != fleet.Accepted || s.Machine != "" {
		t.Errorf("what the store lost is still told: %s at %q", s.Phase, s.Machine)
	}
}

// Whatever a claim goes through and whatever is told live: the pages show the last
// record, percents stay in 0 to 100 and belong to its epoch, and only orders that
// have not ended are in the open list.
func TestFoldUnderAnyNews(t *testing.T) {
	kinds := []fleet.EventKind{fleet.EvClaimed, fleet.EvCup, fleet.EvBrewing, fleet.EvStep, fleet.EvEnd, fleet.EvServed,
		fleet.EvPercent, "news-from-the-future"}
	o := owner("zoe")
	arrows := []arrow{cup("zoe"), brewing("zoe"), released, parked, again, remade, stopped(fleet.Cancelled), stopped(fleet.Expired),
		came("zoe", fleet.Untouched, fleet.Reason{Code: "tank"}), came("zoe", fleet.Spoiled, fleet.Reason{Code: "tank"}),
		came("zoe", fleet.OutcomeUnknown, fleet.Reason{}), served("zoe"),
		func(c fleet.Claim) (fleet.Claim, error) { return c.Doubt(o, fleet.Reason{}) },
		func(c fleet.Claim) (fleet.Claim, error) { return c.GiveUp(o) },
		func(c fleet.Claim) (fleet.Claim, error) { return c.FailStock(fleet.Reason{Code: fleet.CodeOutOfStock}) },
		func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(true, "boss", fleet.Reason{}) },
		func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(false, "boss", fleet.Reason{}) },
	}
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(time.Now)
		b.begin()
		b.caughtUp()
		p := &pen{t: t, b: b, last: map[string]fleet.Claim{}}
		p.put(ada(idA), time.Now())
		percent := 0
		for range rapid.IntRange(1, 60).Draw(t, "news") {
			was := p.last[idA]
			if rapid.Bool().Draw(t, "record") {
				c, err := rapid.SampledFrom(arrows).Draw(t, "arrow")(was)
				if err != nil {
					continue
				}
				p.put(c, time.Now())
			} else {
				b.live(fleet.Event{
					Order: idA, Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Epoch: rapid.IntRange(0, 4).Draw(t, "epoch"), Step: "pour",
					N: rapid.IntRange(-1, 20).Draw(t, "n"), Percent: rapid.IntRange(-50, 500).Draw(t, "percent"),
					Outcome: rapid.SampledFrom([]fleet.Outcome{"", fleet.Made, fleet.Spoiled}).Draw(t, "outcome"),
				})
			}
			c := p.last[idA]
			s, there := b.look(idA)
			if !there || s.Phase != c.Phase || s.Epoch != c.Epoch || s.Machine != c.Machine() || s.Place != 1 || s.Accepted.IsZero() {
				t.Fatalf("the page shows %+v, there %v; the book says %s, epoch %d, %q", s, there, c.Phase, c.Epoch, c.Machine())
			}
			if c.Epoch != was.Epoch || c.Phase == fleet.Again {
				percent = 0
			}
			if s.Percent < percent || s.Percent > 100 || s.Percent > 0 && c.Phase.Open() && c.Phase != fleet.Brewing || c.Phase == fleet.Served && s.Percent != 100 {
				t.Fatalf("%d %% after %d in phase %s", s.Percent, percent, c.Phase)
			}
			percent = s.Percent
			if len(s.Steps) > mostSteps {
				t.Fatalf("%d steps", len(s.Steps))
			}
			if (s.Queue > 0) != (c.Phase == fleet.Accepted || c.Phase == fleet.Again) {
				t.Fatalf("place %d in phase %s", s.Queue, c.Phase)
			}
			if _, open := b.now.open[idA]; open == c.Phase.Ended() || len(b.now.ended) > 1 {
				t.Fatalf("open %v in phase %s, %d ended", open, c.Phase, len(b.now.ended))
			}
		}
	})
}
