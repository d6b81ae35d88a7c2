package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/presence"
	"barista/fleet/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a stock of fixed levels.
type shelf struct {
	fleet.Stock
	levels map[string]fleet.Level
	err    error
}

func (s *shelf) Levels(context.Context) (map[string]fleet.Level, error) { return s.levels, s.err }

// open joins a Shop to the real broker.
func open(t *testing.T) (Shop, *queue.Conn, *shelf) {
	t.Helper()
	c := brokertest.Start(t).Connect("asker")
	stock := &shelf{levels: map[string]fleet.Level{fleet.ItemSugar: {OnHand: 50}}}
	for _, item := range fleet.DefaultMenu().Items() {
		stock.levels[item] = fleet.Level{OnHand: 1000}
	}
	return Shop{Parts{
		Claims: c.Claims(), Orders: c.Orders(), Events: c.Events(), Settings: c.Settings(), Requester: c.Requester(), Stock: stock,
		Machines: presence.Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: c.Claims().Now}.Read,
	}}, c, stock
}

const (
	a    = "01JD0000000000000000000AAA"
	b    = "01JD0000000000000000000BBB"
	twin = "01JD0000000000000000010AAA"
)

var zoe = fleet.Presence{
	Machine: "zoe", Owner: fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b1"}, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes,
	State: fleet.StateReady, Cup: "page", Driver: "mock",
}

func order(id string) fleet.Order {
	return fleet.Order{ID: id, Name: "Zoë", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
}

// create writes an accepted order and takes it further by the arrows.
func create(t *testing.T, s Shop, id string, arrows ...func(fleet.Claim) (fleet.Claim, error)) fleet.ClaimEntry {
	t.Helper()
	doses, _ := fleet.DefaultMenu().Portion(order(id))
	e, err := s.Claims.Create(t.Context(), fleet.Claim{
		Phase: fleet.Accepted, Order: order(id), Hash: order(id).Hash(), Portion: doses, Epoch: 1, Answer: fleet.Success(id),
	})
	mark := func(c fleet.Claim) (fleet.Claim, error) { return c.Mark(c.MessageID()) }
	for _, arrow := range append([]func(fleet.Claim) (fleet.Claim, error){mark}, arrows...) {
		var c fleet.Claim
		if err == nil {
			c, err = arrow(e.Claim)
		}
		if err == nil {
			e, err = s.Claims.Update(t.Context(), e, c)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func take(c fleet.Claim) (fleet.Claim, error)  { return c.Take(zoe.Owner) }
func fence(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe.Owner) }

// TestFind: which order a person means, and which error says why none.
func TestFind(t *testing.T) {
	s, _, _ := open(t)
	if _, err := s.Find(t.Context(), Last); !errors.Is(err, ErrNoOrders) {
		t.Error(err)
	}
	create(t, s, a)
	create(t, s, twin)
	create(t, s, b)
	for ref, want := range map[string]string{
		a: a, strings.ToLower(b): b, "0bbb": b, "10AAA": twin, Last: b,
		"0AAA": "2 orders end with 0AAA: give more of the id (" + a + ", " + twin + ")",
		"0CCC": "no order ends with 0CCC", "01JD0000000000000000000CCC": "there is no order 01JD0000000000000000000CCC",
		"AAA": ErrNoRef.Error(), "0AA!": ErrNoRef.Error(), "": ErrNoRef.Error(),
	} {
		e, err := s.Find(t.Context(), ref)
		got := e.Order.ID
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", ref, got, want)
		}
		if (CheckRef(ref) == nil) != !errors.Is(err, ErrNoRef) {
			t.Errorf("%q: checked and found differ", ref)
		}
		if is := map[string]error{"2 orders": ErrSeveral, "no order": fleet.ErrNotFound, "there is": fleet.ErrNotFound}[want[:8]]; is != nil && !errors.Is(err, is) {
			t.Errorf("%q: %v is not %v", ref, err, is)
		}
	}
	open, err := s.List(t.Context(), true, 2)
	if err != nil || len(open) != 2 || open[0].ID != twin || open[1].ID != b || open[1].Phase != fleet.Accepted {
		t.Errorf("%+v %v", open, err)
	}
}

// TestWhy: tries and stock of an order that went through two machines' hands.
func TestWhy(t *testing.T) {
	s, _, _ := open(t)
	e := create(t, s, a, take, fence,
		func(c fleet.Claim) (fleet.Claim, error) {
			return c.Park("max", fleet.Reason{Code: fleet.CodeNotHeard, Text: "zoe was silent"})
		},
		func(c fleet.Claim) (fleet.Claim, error) { return c.MakeAgain("boss") },
		take)
	if err := s.Events.Publish(t.Context(), fleet.Event{Order: a, Kind: fleet.EvAccepted, Epoch: 1, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	got, events, err := s.Why(t.Context(), e.Claim)
	if err != nil || len(events) != 1 || len(got.Events) != 1 {
		t.Fatal(got, events, err)
	}
	got.Events = nil
	want := Account{
		Order: order(a), Phase: fleet.Claimed, Told: fleet.Success(a), By: e.By,
		Tries:    []Try{{Epoch: 1, Machine: "zoe", Outcome: fleet.OutcomeUnknown, Reason: fleet.Reason{Code: fleet.CodeNotHeard, Text: "zoe was silent"}}, {Epoch: 2, Machine: "zoe"}},
		Consumed: fleet.Items{"arabica": 9}, Reserved: fleet.Items{"arabica": 9},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestMachines: who is here, who is out of service, and what is asked of them.
func TestMachines(t *testing.T) {
	s, c, _ := open(t)
	ctx := t.Context()
	if err := c.Fleet().Announce(ctx, zoe); err != nil {
		t.Fatal(err)
	}
	state := func(want string) {
		t.Helper()
		list, err := s.Fleet(ctx)
		got := ""
		for _, m := range list {
			got += fmt.Sprintf("%s %s able=%v %s %s\n", m.Machine, m.State, m.Able, m.By, m.Reason)
		}
		if err != nil || got != want+"\n" {
			t.Errorf("%q, want %q (%v)", got, want, err)
		}
	}
	state("zoe ready able=true  ")
	if err := s.Cordon(ctx, "zoe", "Ada", "descaling\nuntil noon"); err != nil {
		t.Fatal(err)
	}
	state("zoe cordoned able=false Ada descaling until noon")
	busy := zoe
	busy.State, busy.Order = fleet.StateBusy, a
	if err := c.Fleet().Announce(ctx, busy); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(ctx, "zoe", "Ada", "swap"); err != nil {
		t.Fatal(err)
	}
	state("zoe draining able=false Ada swap")
	if id, err := s.InHand(ctx, "zoe"); id != a || err != nil {
		t.Error(id, err)
	}
	if err := c.Fleet().Leave(ctx, "zoe"); err != nil {
		t.Fatal(err)
	}
	state("zoe away able=false Ada swap")
	if err := s.Uncordon(ctx, "zoe"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"cordon": s.Cordon(ctx, "zoe", "Ada", "x"), "uncordon": s.Uncordon(ctx, ">"),
	} {
		if !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("%s of a machine that nobody knows: %v", what, err)
		}
	}
	err := s.Cordon(ctx, "zoe", " ", "\x00")
	if err == nil || !strings.Contains(err.Error(), "who does it") || !strings.Contains(err.Error(), "a reason") {
		t.Error(err)
	}
	if id, err := s.InHand(ctx, "max"); id != "" || err != nil {
		t.Error(id, err)
	}
	if _, err := s.Command(ctx, "zoe", fleet.Command{Verb: "stop"}); !errors.Is(err, fleet.ErrNobody) {
		t.Error(err)
	}
}

// serve answers requests on a subject until the test ends.
func serve(t *testing.T, c *queue.Conn, subject string, answer func([]byte) any) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- c.Server().Serve(ctx, subject, false, func(_ context.Context, _ string, body []byte) []byte {
			out, _ := json.Marshal(answer(body))
			return out
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	brokertest.Eventually(t, "somebody who answers on "+subject, func() bool {
		_, err := c.Requester().Request(ctx, subject, []byte("{}"))
		return err == nil
	})
}

func TestCommand(t *testing.T) {
	s, c, _ := open(t)
	serve(t, c, fleet.CommandSubject("zoe"), func(body []byte) any {
		var q fleet.Command
		_ = json.Unmarshal(body, &q)
		return fleet.CommandAnswer{OK: q.Verb == "cup", Message: q.Order}
	})
	got, err := s.Command(t.Context(), "zoe", fleet.Command{Verb: "cup", Order: a})
	if d := cmp.Diff(fleet.CommandAnswer{OK: true, Message: a}, got); d != "" || err != nil {
		t.Error(err, d)
	}
}

// TestPlace: "not known yet" is asked again with the same id.
func TestPlace(t *testing.T) {
	s, c, _ := open(t)
	if _, err := s.Place(t.Context(), order(a)); !errors.Is(err, fleet.ErrNobody) {
		t.Error(err)
	}
	asked := 0
	serve(t, c, fleet.SubjectRequests, func(body []byte) any {
		if o, err := fleet.DecodeOrder(body, nil); err != nil || o.ID != a {
			return nil
		}
		if asked++; asked < 2 {
			return fleet.Sorry(a, fleet.CodeUnavailable, "wait")
		}
		return fleet.Success(a)
	})
	got, err := s.Place(t.Context(), order(a))
	if d := cmp.Diff(fleet.Success(a), got); d != "" || err != nil || asked != 2 {
		t.Error(asked, err, d)
	}
}

// TestFollow: the story from its beginning, to its end and no further.
func TestFollow(t *testing.T) {
	s, _, _ := open(t)
	ctx := t.Context()
	publish := func(kinds ...fleet.EventKind) {
		t.Helper()
		for _, k := range kinds {
			if err := s.Events.Publish(ctx, fleet.Event{Order: a, Kind: k, Epoch: 1, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(fleet.EvAccepted)
	var heard []fleet.EventKind
	last, err := s.Follow(ctx, a, func(e fleet.StoredEvent) error {
		if heard = append(heard, e.Kind); e.Kind == fleet.EvAccepted {
			publish(fleet.EvClaimed, fleet.EvCancelled)
		}
		return nil
	})
	want := []fleet.EventKind{fleet.EvAccepted, fleet.EvClaimed, fleet.EvCancelled}
	if d := cmp.Diff(want, heard); d != "" || err != nil || last == nil || last.Kind != fleet.EvCancelled {
		t.Error(last, err, d)
	}
	full := errors.New("nobody reads")
	if last, err := s.Follow(ctx, a, func(fleet.StoredEvent) error { return full }); last != nil || err != full {
		t.Error(last, err)
	}
}

// TestStatus: everything that a person should look at, and nothing else.
func TestStatus(t *testing.T) {
	s, c, stock := open(t)
	ctx := t.Context()
	look := func(want ...string) Status {
		t.Helper()
		st, err := s.Status(ctx)
		if d := cmp.Diff(append([]string{}, want...), st.Degraded); d != "" || err != nil || st.OK != (len(want) == 0) {
			t.Error(err, d)
		}
		return st
	}
	look("no controller answers: no order is accepted", "no machine can take orders")
	serve(t, c, fleet.Subject("coffee", "controller", "menu"), func([]byte) any { return struct{}{} })
	if err := c.Fleet().Announce(ctx, zoe); err != nil {
		t.Fatal(err)
	}
	if st := look(); len(st.Queue) != 9 || st.Queue[0].Machines[0] != "zoe" || len(st.Stock) != len(stock.levels) {
		t.Errorf("%+v", st)
	}
	only := zoe
	only.Classes = []fleet.Class{{Bean: "mixed", Milk: fleet.NoMilk}}
	ill := zoe
	ill.Machine, ill.State, ill.Note = "max", fleet.StateFault, "the pump is jammed"
	for _, p := range []fleet.Presence{only, ill} {
		if err := c.Fleet().Announce(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	e := create(t, s, a, take, fence, func(c fleet.Claim) (fleet.Claim, error) {
		return c.Park("max", fleet.Reason{Code: fleet.CodeNotHeard, Text: "zoe was silent"})
	})
	if _, err := s.Orders.Publish(ctx, e.Order, e.MessageID()); err != nil {
		t.Fatal(err)
	}
	stock.levels["arabica"] = fleet.Level{OnHand: 20}
	st := look("1 orders of arabica/free wait, and no machine that is able makes it",
		"1 orders of which nobody knows whether they were made: barista orders --open, then settle or again",
		"arabica runs out: 20 g left, a cup may take 30", "max is fault: the pump is jammed")
	if st.Open != 1 || st.Unknown != 1 {
		t.Errorf("%+v", st)
	}
	if stock.err = errors.New("gone"); stock.err != nil {
		look("1 orders of arabica/free wait, and no machine that is able makes it",
			"1 orders of which nobody knows whether they were made: barista orders --open, then settle or again",
			"max is fault: the pump is jammed", "the stock does not answer")
	}
}

func TestMenu(t *testing.T) {
	s, _, _ := open(t)
	m, isSet, err := s.Menu(t.Context())
	if d := cmp.Diff(fleet.DefaultMenu(), m); d != "" || isSet || err != nil {
		t.Error(isSet, err, d)
	}
	m.Beans = m.Beans[:1]
	if err := s.SetMenu(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got, isSet, err := s.Menu(t.Context())
	if d := cmp.Diff(m, got); d != "" || !isSet || err != nil {
		t.Error(isSet, err, d)
	}
}
