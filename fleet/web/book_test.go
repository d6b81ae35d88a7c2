package web

import (
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

func ada(id string) fleet.Event {
	return fleet.Event{Order: id, Kind: fleet.EvAccepted, Name: "Ada", ETA: []int{60, 120},
		What: &fleet.Order{ID: id, Name: "Ada", Size: fleet.Medium, Bean: "arabica", Milk: "free"}}
}

// tell gives a book the events, one sequence after the other.
func tell(b *book, at time.Time, events ...fleet.Event) {
	for _, e := range events {
		b.fold(fleet.StoredEvent{Event: e, Seq: b.next(), Stored: at})
	}
}

func TestFoldOfAnOrdersWay(t *testing.T) {
	ev := func(k fleet.EventKind, epoch int, change ...func(*fleet.Event)) fleet.Event {
		e := fleet.Event{Order: idA, Kind: k, Epoch: epoch, Machine: "zoe"}
		for _, f := range change {
			f(&e)
		}
		return e
	}
	step := func(epoch, n int, name string) fleet.Event {
		return ev(fleet.EvStep, epoch, func(e *fleet.Event) { e.N, e.Of, e.Step = n, 3, name })
	}
	end := func(epoch int, out fleet.Outcome) fleet.Event {
		return ev(fleet.EvEnd, epoch, func(e *fleet.Event) { e.Outcome = out })
	}
	for _, tt := range []struct {
		name   string
		events []fleet.Event
		want   order
	}{
		{"taken", nil, order{Phase: fleet.Accepted}},
		{"looked at", []fleet.Event{ev(fleet.EvClaimed, 1)}, order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 1}},
		{"waits for a cup", []fleet.Event{ev(fleet.EvClaimed, 1), ev(fleet.EvCup, 1)},
			order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 1, Cup: true}},
		{"fenced", []fleet.Event{ev(fleet.EvClaimed, 1), ev(fleet.EvCup, 1), ev(fleet.EvBrewing, 1)},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1}},
		{"steps", []fleet.Event{ev(fleet.EvBrewing, 1), step(1, 1, "grind"), step(1, 2, "pour")},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1, N: 2, Of: 3, Step: "pour", Steps: []string{"grind", "pour"}}},
		{"a step twice", []fleet.Event{step(1, 1, "grind"), step(1, 2, "pour"), step(1, 1, "grind")},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1, N: 2, Of: 3, Step: "pour", Steps: []string{"grind", "pour"}}},
		{"made, not yet in the claim", []fleet.Event{ev(fleet.EvBrewing, 1), end(1, fleet.Made)},
			order{Phase: fleet.Brewing, Machine: "zoe", Epoch: 1, Percent: 100}},
		{"served", []fleet.Event{ev(fleet.EvBrewing, 1), end(1, fleet.Made), ev(fleet.EvServed, 1)},
			order{Phase: fleet.Served, Machine: "zoe", Epoch: 1, Percent: 100}},
		{"given back", []fleet.Event{ev(fleet.EvClaimed, 1), ev(fleet.EvReleased, 1)},
			order{Phase: fleet.Accepted, Epoch: 1}},
		{"spoiled, so made again", []fleet.Event{ev(fleet.EvBrewing, 1), step(1, 1, "grind"), end(1, fleet.Spoiled)},
			order{Phase: fleet.Accepted, Epoch: 1, N: 1, Of: 3, Step: "grind", Steps: []string{"grind"}, Again: true}},
		{"the second try", []fleet.Event{ev(fleet.EvBrewing, 1), step(1, 1, "grind"), end(1, fleet.Spoiled), ev(fleet.EvClaimed, 2)},
			order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 2, Again: true}},
		{"late news of the first try", []fleet.Event{ev(fleet.EvClaimed, 2), step(1, 3, "pour"), end(1, fleet.Made), ev(fleet.EvUnknown, 1)},
			order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 2}},
		{"unknown", []fleet.Event{ev(fleet.EvBrewing, 1), ev(fleet.EvUnknown, 1)},
			order{Phase: fleet.Unknown, Machine: "zoe", Epoch: 1}},
		{"unknown stays unknown by late steps", []fleet.Event{ev(fleet.EvBrewing, 1), ev(fleet.EvUnknown, 1), step(1, 1, "grind")},
			order{Phase: fleet.Unknown, Machine: "zoe", Epoch: 1}},
		{"made again, told with the old epoch", []fleet.Event{ev(fleet.EvUnknown, 1), ev(fleet.EvAgain, 1), ev(fleet.EvClaimed, 2)},
			order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 2, Again: true}},
		{"made again, told with the new epoch", []fleet.Event{ev(fleet.EvUnknown, 1), ev(fleet.EvAgain, 2), ev(fleet.EvClaimed, 2)},
			order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 2, Again: true}},
		{"made again, told late", []fleet.Event{ev(fleet.EvUnknown, 1), ev(fleet.EvClaimed, 2), ev(fleet.EvAgain, 1)},
			order{Phase: fleet.Claimed, Machine: "zoe", Epoch: 2}},
		{"unknown, settled as served", []fleet.Event{ev(fleet.EvUnknown, 1), ev(fleet.EvServed, 1)},
			order{Phase: fleet.Served, Machine: "zoe", Epoch: 1, Percent: 100}},
		{"ends are final", []fleet.Event{ev(fleet.EvCancelled, 0), ev(fleet.EvServed, 1), ev(fleet.EvAgain, 3), ev(fleet.EvClaimed, 3)},
			order{Phase: fleet.Cancelled, Machine: "zoe"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			b := newBook(func() time.Time { return now })
			tell(b, now, ada(idA))
			tell(b, now, tt.events...)
			b.caughtUp()
			s, there := b.look(idA)
			if !there {
				t.Fatal("the order is not there")
			}
			tt.want.ID, tt.want.What, tt.want.Place = idA, *ada(idA).What, 1
			tt.want.ETA, tt.want.Accepted = []int{60, 120}, now
			got := s.order
			if tt.want.Phase.Ended() {
				tt.want.Ended = now
			}
			got.rank, got.last = 0, time.Time{}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(order{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestClaimedBeforeAccepted(t *testing.T) {
	b := newBook(time.Now)
	tell(b, time.Now(), fleet.Event{Order: idA, Kind: fleet.EvClaimed, Epoch: 1, Machine: "zoe"}, ada(idA))
	if s, _ := b.look(idA); s.Phase != fleet.Claimed || s.What.Name != "Ada" {
		t.Errorf("got %s of %q, want claimed of Ada", s.Phase, s.What.Name)
	}
}

func TestPercentGrowsOnlyWhileBrewing(t *testing.T) {
	b := newBook(time.Now)
	percent := func(epoch, p int) {
		b.live(fleet.StoredEvent{Event: fleet.Event{Order: idA, Kind: fleet.EvPercent, Epoch: epoch, Percent: p}})
	}
	at := func() int { s, _ := b.look(idA); return s.Percent }
	tell(b, time.Now(), ada(idA))
	percent(1, 10)
	if at() != 0 {
		t.Errorf("%d %% before anything moved", at())
	}
	tell(b, time.Now(), fleet.Event{Order: idA, Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"})
	percent(1, 30)
	percent(1, 20)
	percent(2, 90)
	percent(1, 4000)
	if at() != 100 {
		t.Errorf("%d %%, want 100", at())
	}
	tell(b, time.Now(), fleet.Event{Order: idA, Kind: fleet.EvEnd, Epoch: 1, Outcome: fleet.Spoiled},
		fleet.Event{Order: idA, Kind: fleet.EvBrewing, Epoch: 2, Machine: "leo"})
	if at() != 0 {
		t.Errorf("a new try began with %d %%", at())
	}
}

func TestPlaceInTheQueue(t *testing.T) {
	b := newBook(time.Now)
	tell(b, time.Now(), ada(idA), ada(idB), ada(idC))
	place := func(id string) int { s, _ := b.look(id); return s.Queue }
	if place(idA) != 1 || place(idB) != 2 || place(idC) != 3 {
		t.Fatalf("places %d %d %d", place(idA), place(idB), place(idC))
	}
	tell(b, time.Now(), fleet.Event{Order: idA, Kind: fleet.EvClaimed, Epoch: 1, Machine: "zoe"},
		fleet.Event{Order: idB, Kind: fleet.EvCancelled})
	if place(idA) != 0 || place(idB) != 0 || place(idC) != 1 {
		t.Fatalf("places %d %d %d after one was taken and one cancelled", place(idA), place(idB), place(idC))
	}
}

func TestTheBookForgets(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newBook(func() time.Time { return now })
	old := now.Add(-25 * time.Hour)
	tell(b, old, ada(idA), fleet.Event{Order: idA, Kind: fleet.EvServed}) // ended yesterday
	tell(b, old, ada(idB))                                                // still open
	tell(b, old, ada(idC))
	tell(b, now, fleet.Event{Order: idC, Kind: fleet.EvServed})
	tell(b, old, fleet.Event{Order: "poison-coffee-orders-7", Kind: fleet.EvRefused})
	b.caughtUp()
	for id, want := range map[string]bool{idA: false, idB: true, idC: true, "poison-coffee-orders-7": false} {
		if _, there := b.look(id); there != want {
			t.Errorf("%s: there %v, want %v", id, there, want)
		}
	}
	now = now.Add(25 * time.Hour)
	tell(b, old, fleet.Event{Order: idA, Kind: fleet.EvEnd, Epoch: 1}) // the tail of a forgotten order
	b.prune()
	if len(b.orders) != 1 || len(b.open) != 1 {
		t.Errorf("%d orders, %d open; want only the one that never ended", len(b.orders), len(b.open))
	}
}

// Whatever comes in whatever turn: ends are final, epochs never fall, percents
// stay in 0 to 100, only open orders are in the open list, and each stored
// event counts once.
func TestFoldUnderAnyEvents(t *testing.T) {
	kinds := []fleet.EventKind{fleet.EvAccepted, fleet.EvRefused, fleet.EvClaimed, fleet.EvReleased, fleet.EvCup, fleet.EvBrewing,
		fleet.EvStep, fleet.EvEnd, fleet.EvUnknown, fleet.EvAgain, fleet.EvServed, fleet.EvFailed, fleet.EvCancelled,
		fleet.EvExpired, fleet.EvPercent, "news-from-the-future"}
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(time.Now)
		var end fleet.Phase
		epoch := 0
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			e := fleet.StoredEvent{Seq: uint64(rapid.IntRange(1, 60).Draw(t, "seq")), Stored: time.Now(), Event: fleet.Event{
				Order: idA, Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Epoch: rapid.IntRange(0, 4).Draw(t, "epoch"),
				N: rapid.IntRange(-1, 20).Draw(t, "n"), Percent: rapid.IntRange(-50, 500).Draw(t, "percent"), Step: "pour",
				Outcome: rapid.SampledFrom([]fleet.Outcome{"", fleet.Made, fleet.Spoiled, fleet.Untouched, fleet.OutcomeUnknown}).Draw(t, "outcome"),
			}}
			before := b.next()
			if e.Kind == fleet.EvPercent {
				b.live(e)
			} else {
				b.fold(e)
			}
			if b.next() < before {
				t.Fatal("the sequence fell")
			}
			s, there := b.look(idA)
			if !there {
				continue
			}
			if end != "" && s.Phase != end {
				t.Fatalf("%s became %s", end, s.Phase)
			}
			if s.Phase.Ended() {
				end = s.Phase
			}
			if s.Epoch < epoch {
				t.Fatalf("epoch %d after %d", s.Epoch, epoch)
			}
			epoch = s.Epoch
			if s.Percent < 0 || s.Percent > 100 {
				t.Fatalf("%d %%", s.Percent)
			}
			if _, open := b.open[idA]; open == s.Phase.Ended() {
				t.Fatalf("open %v in phase %s", open, s.Phase)
			}
		}
	})
}
