package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/ledger"
	"barista/fleet/presence"
	"barista/fleet/queue"
	"barista/fleet/window"
	"barista/fleet/window/windowtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a stock of fixed levels.
type shelf struct {
	Stock
	levels map[string]fleet.Level
	err    error
}

func (s *shelf) Levels(context.Context) (map[string]fleet.Level, error) { return s.levels, s.err }

// door is a controller that only says how the shop is.
type door struct {
	Controller
	troubles []fleet.Trouble
	st       fleet.Standing
	err      error
}

func (d *door) Standing(context.Context) (fleet.Standing, error)   { return d.st, d.err }
func (d *door) GoOn(context.Context, string, string, string) error { return fleet.ErrNotFound }
func (d *door) Troubles(context.Context) ([]fleet.Trouble, error)  { return d.troubles, d.err }

// place is a Shop joined to the real broker, and what writes into its book.
type place struct {
	Shop
	conn  *queue.Conn
	stock *shelf
	door  *door
	acts  uint64 // the last one
	later bool   // who is here comes a moment later
}

// both asks the shop in the two ways that there are: with a key that sees the broker's
// streams, and through a controller's window. All answers are the same; who is here may
// come a moment later through the window.
func both(t *testing.T, ask func(t *testing.T, s *place)) {
	t.Helper()
	t.Run("direct", func(t *testing.T) { ask(t, open(t)) })
	t.Run("window", func(t *testing.T) { ask(t, openWindow(t)) })
}

func openWindow(t *testing.T) *place {
	t.Helper()
	b := brokertest.Start(t)
	windowtest.Open(t, b, "controller", nil)
	s, asker := openAt(b), b.Connect("cli")
	w := window.Remote(asker.Requester())
	s.later = true
	s.Shop = Shop{Parts{
		Controller: s.door, Stock: s.stock, Requester: asker.Requester(), Live: asker.Events().FollowLive,
		Book: w, Orders: func(ctx context.Context) ([]fleet.Entry, error) { return ledger.Read(ctx, w) },
		Waiting: w.Waiting, Settings: w, Machines: w.Machines,
	}}
	return s
}

func open(t *testing.T) *place {
	t.Helper()
	return openAt(brokertest.Start(t))
}

// soon looks whether something is so; through a window it may take a moment.
func (s *place) soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if s.later {
		brokertest.Eventually(t, what, ok)
	} else if !ok() {
		t.Errorf("not so: %s", what)
	}
}

func openAt(b *brokertest.Broker) *place {
	c := b.Connect("asker")
	stock := &shelf{levels: map[string]fleet.Level{fleet.ItemSugar: {OnHand: 50}}}
	for _, item := range fleet.DefaultMenu().Items() {
		stock.levels[item] = fleet.Level{OnHand: 1000}
	}
	book, at := c.Book(), &door{err: fleet.ErrNobody}
	return &place{conn: c, stock: stock, door: at, Shop: Shop{Parts{
		Controller: at,
		Book:       book, Orders: func(ctx context.Context) ([]fleet.Entry, error) { return ledger.Read(ctx, book) },
		Live: c.Events().FollowLive, Waiting: c.Orders().Waiting, Settings: c.Settings(), Requester: c.Requester(), Stock: stock,
		Machines: presence.Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: book.Now}.Read,
	}}}
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

// act writes the first record of an order.
func (s *place) act(t *testing.T, c fleet.Claim) fleet.Entry {
	t.Helper()
	e := fleet.Entry{Claim: c}
	var err error
	if e.Revision, err = s.conn.Book().Act(t.Context(), fleet.Record{Entry: e, IsClaim: true}, s.acts); err != nil {
		t.Fatal(err)
	}
	s.acts = e.Seq
	return e
}

// torn has keys that can't be read.
type torn struct{ Settings }

func (torn) Get(context.Context, string) ([]byte, error) { return nil, fleet.ErrDamaged }

// TestDamagedMenu: a menu that can't be read is not one that nobody has set, and the
// status says so and the rest.
func TestDamagedMenu(t *testing.T) { both(t, askDamagedMenu) }

func askDamagedMenu(t *testing.T, s *place) {
	s.Settings = torn{s.Settings}
	if m, _, err := s.Menu(t.Context()); !errors.Is(err, fleet.ErrDamaged) {
		t.Errorf("%+v %v", m, err)
	}
	if st, err := s.Status(t.Context()); err != nil || !strings.Contains(strings.Join(st.Degraded, "; "), "menu set") {
		t.Errorf("%q %v", st.Degraded, err)
	}
}

// create writes an accepted order and takes it further by the arrows.
func (s *place) create(t *testing.T, id string, arrows ...arrow) fleet.Entry {
	t.Helper()
	portion, _ := fleet.DefaultMenu().Portion(order(id))
	return s.further(t, s.act(t, fleet.Create(order(id), portion, fleet.Success(id), "web")), arrows...)
}

// named creates an order for somebody.
func (s *place) named(t *testing.T, name, id string, arrows ...arrow) {
	t.Helper()
	o := order(id)
	o.Name = name
	portion, _ := fleet.DefaultMenu().Portion(o)
	s.further(t, s.act(t, fleet.Create(o, portion, fleet.Success(id), "web")), arrows...)
}

func (s *place) further(t *testing.T, e fleet.Entry, arrows ...arrow) fleet.Entry {
	t.Helper()
	for _, f := range arrows {
		c, err := f(e.Claim)
		switch {
		case err != nil:
		case c.Phase == fleet.Accepted && e.Phase == fleet.Again:
			e = s.act(t, c)
		default:
			e, err = s.conn.Book().Next(t.Context(), e.Revision, c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return e
}

type arrow = func(fleet.Claim) (fleet.Claim, error)

func park(c fleet.Claim) (fleet.Claim, error) {
	return c.Park("max", fleet.Reason{Code: fleet.CodeNotHeard, Text: "zoe was silent"})
}
func again(c fleet.Claim) (fleet.Claim, error)  { return c.MakeAgain("boss") }
func remake(c fleet.Claim) (fleet.Claim, error) { return c.Remake() }
func cancel(c fleet.Claim) (fleet.Claim, error) {
	return c.Stop(fleet.Cancelled, "customer", fleet.Reason{})
}
func made(c fleet.Claim) (fleet.Claim, error) {
	return c.End(zoe.Owner, fleet.Made, fleet.Reason{}, 42, nil)
}
func take(c fleet.Claim) (fleet.Claim, error)  { return c.Take(zoe.Owner) }
func fence(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe.Owner) }

// TestFind: which order a person means, and which error says why none.
func TestFind(t *testing.T) { both(t, askFind) }

func askFind(t *testing.T, s *place) {
	if _, err := s.Find(t.Context(), Last); !errors.Is(err, ErrNoOrders) {
		t.Error(err)
	}
	s.create(t, a)
	s.create(t, twin)
	s.create(t, b)
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

// TestMean: an order by the words of a person who only wants to look.
func TestMean(t *testing.T) { both(t, askMean) }

func askMean(t *testing.T, s *place) {
	if _, err := s.Mean(t.Context(), "last failed"); !errors.Is(err, ErrNoOrders) {
		t.Error(err)
	}
	const adam, lost = "01JD000000000000000000ADAM", "01JD0000000000000000000CCC"
	s.named(t, "Zoë", a)
	s.named(t, "Ada Lovelace", twin, fence, park)
	s.named(t, "Ada King", b, fence, made)
	s.named(t, "Max", adam)
	s.named(t, "Adam", lost, fence, made)
	several := map[string]string{"0AAA": a + " " + twin, "ada": twin + " " + b + " " + lost, "ADAM": adam + " " + lost}
	for words, want := range map[string]string{
		a: a, "0bbb": b, "zoë": a, "ZOË": a, "ada king": b, "ada  lo": twin, "King": b, "max": adam, "last": lost, "last unknown": twin, "last served": lost,
		"last accepted": adam, "0AAA": "2 orders end with 0AAA: give more", "ada": "3 orders are for ada: give more",
		"ADAM": "2 orders end with ADAM or are for ADAM: give more", "last failed": "no order of the last day is failed",
		"love": twin, "ove": "no order of the last day is for ove, and of an id at least the last 4 characters are needed", "last lost": "no order of the last day ends with last lost or is for that name; behind last stands one of accepted, ", "-h": ErrNoRef.Error(),
		" ": ErrNoRef.Error(), "a\x1b": ErrNoRef.Error(), "01JD0000000000000000000DDD": "there is no order",
	} {
		m, err := s.Mean(t.Context(), words)
		got, ok := m.Order.ID, m.Order.ID == want
		if err != nil {
			got, ok = err.Error(), strings.HasPrefix(err.Error(), want)
		}
		if !ok {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
		var more *SeveralError
		if errors.As(err, &more) {
			var ids []string
			for _, m := range more.Found {
				ids = append(ids, m.Order.ID)
				if e, err := s.Find(t.Context(), m.Ref); err != nil || e.Order.ID != m.Order.ID {
					t.Errorf("%q: %s is to be found as %s: %v", words, m.Order.ID, m.Ref, err)
				}
			}
			if got := strings.Join(ids, " "); got != several[words] || !errors.Is(err, ErrSeveral) {
				t.Errorf("%q: %s", words, got)
			}
		}
		if err == nil && m.Ref != map[string]string{a: "00AAA", twin: "10AAA", b: "0BBB", lost: "0CCC", adam: "0ADAM"}[m.Order.ID] {
			t.Errorf("%s is short for %s", m.Ref, m.Order.ID)
		}
	}
}

// What was carried over from a former layout is an order that a person can ask for,
// and no news.
func TestCarriedOver(t *testing.T) { both(t, askCarriedOver) }

func askCarriedOver(t *testing.T, s *place) {
	old := fleet.Create(order(a), nil, fleet.Success(a), fleet.ViaOld)
	old.Phase, old.Outcome = fleet.Served, fleet.Made
	s.act(t, old)
	if list, err := s.List(t.Context(), false, 0); len(list) != 0 || err != nil {
		t.Errorf("%+v %v", list, err)
	}
	e, err := s.Find(t.Context(), a)
	if err != nil || e.Phase != fleet.Served {
		t.Error(e.Phase, err)
	}
	if got, err := s.Why(t.Context(), e.Claim); len(got.Events) != 0 || err != nil {
		t.Errorf("%+v %v", got.Events, err)
	}
}

// TestWhy: tries, stock and story of an order that went through two machines' hands.
func TestWhy(t *testing.T) { both(t, askWhy) }

func askWhy(t *testing.T, s *place) {
	e := s.create(t, a, fence, park, again, remake, take)
	got, err := s.Why(t.Context(), e.Claim)
	if err != nil {
		t.Fatal(err)
	}
	var story []string
	for _, e := range got.Events {
		story = append(story, fmt.Sprint(e.Kind, " ", e.Epoch, " ", e.Machine))
		if since := time.Since(e.At); since < -time.Minute || since > time.Minute {
			t.Errorf("%s at %v", e.Kind, e.At)
		}
	}
	if d := cmp.Diff([]string{"accepted 1 ", "brewing 1 zoe", "unknown 1 zoe", "again 2 ", "claimed 2 zoe"}, story); d != "" {
		t.Error(d)
	}
	got.Events = nil
	want := Account{
		Order: order(a), Phase: fleet.Claimed, Told: fleet.Success(a), By: e.By, Via: "web",
		Tries:    []Try{{Epoch: 1, Machine: "zoe", Outcome: fleet.OutcomeUnknown, Reason: fleet.Reason{Code: fleet.CodeNotHeard, Text: "zoe was silent"}}, {Epoch: 2, Machine: "zoe"}},
		Consumed: fleet.Items{"arabica": 9}, Reserved: fleet.Items{"arabica": 9},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	b, err := json.Marshal(got)
	if err != nil || strings.Contains(string(b), "wasted") {
		t.Errorf("%s %v", b, err)
	}
}

// What an order means for the stock, in the words of why.
func TestWhatItTook(t *testing.T) {
	c := fleet.Create(order(a), fleet.Items{"arabica": 9, "sugar": 2}, fleet.Success(a), "web")
	for _, step := range []struct {
		name                       string
		do                         arrow
		reserved, consumed, wasted fleet.Items
	}{
		{"accepted", func(c fleet.Claim) (fleet.Claim, error) { return c, nil }, c.Portion, nil, nil},
		{"brewing", fence, c.Portion, nil, nil},
		{"spoiled", func(c fleet.Claim) (fleet.Claim, error) {
			return c.End(zoe.Owner, fleet.Spoiled, fleet.Reason{}, 0, nil)
		}, nil, nil, c.Portion},
		{"remade", remake, c.Portion, nil, c.Portion},
		{"brewing again", fence, c.Portion, nil, c.Portion},
		{"unknown", park, nil, c.Portion, c.Portion},
		{"again", again, nil, c.Portion, c.Portion},
		{"remade again", remake, c.Portion, c.Portion, c.Portion},
		{"its third try", fence, c.Portion, c.Portion, c.Portion},
		{"made", made, nil, fleet.Items{"arabica": 18, "sugar": 4}, c.Portion},
	} {
		var err error
		if c, err = step.do(c); err != nil {
			t.Fatal(step.name, err)
		}
		got := accountOf(c)
		if d := cmp.Diff([]fleet.Items{step.reserved, step.consumed, step.wasted}, []fleet.Items{got.Reserved, got.Consumed, got.Wasted}, cmpopts.EquateEmpty()); d != "" {
			t.Error(step.name, d)
		}
	}
}

// TestMachines: who is here, who is out of service, and what is asked of them.
func TestMachines(t *testing.T) { both(t, askMachines) }

func askMachines(t *testing.T, s *place) {
	c := s.conn
	ctx := t.Context()
	if err := c.Fleet().Announce(ctx, zoe); err != nil {
		t.Fatal(err)
	}
	state := func(want string) {
		t.Helper()
		s.soon(t, want, func() bool {
			list, err := s.Fleet(ctx)
			got := ""
			for _, m := range list {
				got += fmt.Sprintf("%s %s able=%v %s %s\n", m.Machine, m.State, m.Able, m.By, m.Reason)
			}
			return err == nil && got == want+"\n"
		})
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
	if err := s.Uncordon(ctx, "zoe", "", "", false); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"cordon": s.Cordon(ctx, "max", "Ada", "x"), "uncordon": s.Uncordon(ctx, ">", "", "", true),
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

// TestLeaving: how a machine is known after it has left, or other hardware has come; and
// what keeps it.
func TestLeaving(t *testing.T) { both(t, askLeaving) }

func askLeaving(t *testing.T, s *place) {
	ctx := t.Context()
	s.door.err = nil
	is := func(what string, is func([]Machine) bool) {
		t.Helper()
		s.soon(t, what, func() bool { list, err := s.Fleet(ctx); return err == nil && is(list) })
	}
	here := func(l []Machine) bool { return len(l) == 1 && l[0].Here }
	away := func(l []Machine) bool { return len(l) == 1 && !l[0].Here }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stays := func(what string, err error, code string) *fleet.StaysError {
		t.Helper()
		no := &fleet.StaysError{}
		if !errors.As(err, &no) || no.Code != code {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
		return no
	}
	leave := func(what, reason string) error {
		t.Helper()
		do := s.Retire
		if what == "replace" {
			do = func(ctx context.Context, machine, by, reason string) (fleet.Left, error) {
				return s.Replace(ctx, machine, by, reason, 0)
			}
		}
		left, err := do(ctx, "zoe", "Ada", reason)
		if left.Out != (err == nil) || left.Keys || left.Revoked || left.Invited != nil {
			t.Errorf("%s: %+v %v", what, left, err)
		}
		return err
	}
	must(s.conn.Fleet().Announce(ctx, zoe))
	is("zoe", here)
	stays("retire", leave("retire", "sold"), fleet.StaysInService)
	must(s.Cordon(ctx, "zoe", "Ada", "broken"))
	is("cordoned", func(l []Machine) bool { return l[0].State == fleet.StateCordoned })
	stays("retire", leave("retire", "sold"), fleet.StaysUnparked)
	must(s.conn.Fleet().Leave(ctx, "zoe"))
	is("away", away)
	must(leave("replace", "broken"))
	must(s.conn.Fleet().Announce(ctx, zoe))
	is("out of service, as new", func(l []Machine) bool {
		return here(l) && l[0].State == fleet.StateCordoned && l[0].Replaced && strings.Contains(l[0].Reason, "not checked: broken") && strings.Contains(l[0].Next().When, "selftest")
	})
	must(s.Cordon(ctx, "zoe", "Eve", "descaling"))
	is("new all the same", func(l []Machine) bool { return l[0].By == "Eve" && l[0].Replaced })
	stays("uncordon", s.Uncordon(ctx, "zoe", "", "", false), fleet.StaysUnchecked)
	must(s.conn.Fleet().Leave(ctx, "zoe"))
	is("away", away)
	if err := leave("retire", " "); err == nil {
		t.Error("retired for no reason")
	}
	must(leave("retire", "sold"))
	is("gone", func(l []Machine) bool { return len(l) == 0 })
	must(s.conn.Fleet().Announce(ctx, zoe))
	is("it is here all the same", func(l []Machine) bool {
		return len(l) == 1 && l[0].State == fleet.StateCordoned && strings.Contains(l[0].Reason, "it was retired, and is back: sold")
	})

	s.create(t, a, take)
	s.create(t, b, fence, park)
	s.create(t, twin, fence, made)
	s.create(t, "01JD0000000000000000000CCC")
	if got, err := s.Holds(ctx, "max"); len(got) > 0 || err != nil {
		t.Errorf("%+v %v", got, err)
	}
	must(s.Uncordon(ctx, "zoe", "", "", false))
	must(s.Cordon(ctx, "zoe", "Ada", "broken"))
	must(s.conn.Fleet().Leave(ctx, "zoe"))
	is("away", away)
	no := stays("replace", leave("replace", "broken"), fleet.StaysHolds)
	slices.SortFunc(no.Held, func(a, b fleet.Held) int { return strings.Compare(a.ID, b.ID) })
	if want := []fleet.Held{{ID: a, Phase: fleet.Claimed}, {ID: b, Phase: fleet.Unknown}}; !slices.Equal(no.Held, want) {
		t.Errorf("%+v", no.Held)
	}
	if h, err := s.Book.History(ctx, twin); len(h) != 3 || h[2].Machine() != "zoe" || err != nil {
		t.Errorf("%+v %v", h, err)
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

func TestCommand(t *testing.T) { both(t, askCommand) }

func askCommand(t *testing.T, s *place) {
	c := s.conn
	serve(t, c, fleet.CupSubject("zoe"), func(body []byte) any {
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
func TestPlace(t *testing.T) { both(t, askPlace) }

func askPlace(t *testing.T, s *place) {
	c := s.conn
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
func TestFollow(t *testing.T) { both(t, askFollow) }

func askFollow(t *testing.T, s *place) {
	ctx := t.Context()
	e := s.create(t, a)
	other := s.create(t, b)
	var heard []fleet.EventKind
	last, err := s.Follow(ctx, a, func(one fleet.Event) error {
		switch heard = append(heard, one.Kind); one.Kind {
		case fleet.EvAccepted:
			s.further(t, other, fence)
			e = s.further(t, e, take, fence)
		case fleet.EvBrewing:
			// A step is not stored: it is told until somebody hears it.
			stop := make(chan struct{})
			t.Cleanup(sync.OnceFunc(func() { close(stop) }))
			go func() {
				for step := (fleet.Event{Order: a, Kind: fleet.EvStep, Machine: "zoe", Epoch: 1, N: 1, Of: 1, Step: "pour"}); ; {
					s.conn.Events().Live(fleet.Event{Order: b, Kind: fleet.EvStep, Machine: "zoe", Epoch: 1, N: 1, Of: 1, Step: "pour"})
					s.conn.Events().Live(fleet.Event{Order: a, Kind: fleet.EvPercent, Machine: "zoe", Epoch: 1, Percent: 3})
					s.conn.Events().Live(step)
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
				}
			}()
		case fleet.EvStep:
			if e.Phase == fleet.Brewing {
				e = s.further(t, e, made)
			}
		}
		if one.Order != a || one.At.IsZero() && one.Kind != fleet.EvStep {
			t.Errorf("%+v", one)
		}
		return nil
	})
	want := []fleet.EventKind{fleet.EvAccepted, fleet.EvClaimed, fleet.EvBrewing, fleet.EvStep, fleet.EvServed}
	if d := cmp.Diff(want, slices.Compact(heard)); d != "" || err != nil || last == nil || last.Kind != fleet.EvServed || last.Seconds != 42 {
		t.Error(last, err, d)
	}
	heard = nil
	last, err = s.Follow(ctx, a, func(one fleet.Event) error { heard = append(heard, one.Kind); return nil })
	want = []fleet.EventKind{fleet.EvAccepted, fleet.EvClaimed, fleet.EvBrewing, fleet.EvServed}
	if d := cmp.Diff(want, heard); d != "" || err != nil || last == nil || last.Kind != fleet.EvServed {
		t.Error(last, err, d)
	}
	full := errors.New("nobody reads")
	if last, err := s.Follow(ctx, b, func(fleet.Event) error { return full }); last != nil || err != full {
		t.Error(last, err)
	}
	if last, err := s.Follow(ctx, twin, func(fleet.Event) error { return nil }); last != nil || !errors.Is(err, fleet.ErrNotFound) {
		t.Error(last, err)
	}
}

// A doubt ends the story, unless somebody has decided since.
func TestFollowADoubt(t *testing.T) { both(t, askFollowADoubt) }

func askFollowADoubt(t *testing.T, s *place) {
	e := s.create(t, a, fence, park)
	heard := ""
	tell := func(one fleet.Event) error {
		if heard += fmt.Sprintf("%s %d, ", one.Kind, one.Epoch); one.Kind == fleet.EvClaimed {
			s.further(t, e, cancel)
		}
		return nil
	}
	last, err := s.Follow(t.Context(), a, tell)
	if want := "accepted 1, brewing 1, unknown 1, "; heard != want || err != nil || last == nil || last.Kind != fleet.EvUnknown {
		t.Errorf("%s, want %s; %v %v", heard, want, last, err)
	}
	e = s.further(t, e, again, remake, take)
	heard = ""
	last, err = s.Follow(t.Context(), a, tell)
	if want := "accepted 1, brewing 1, unknown 1, again 2, claimed 2, cancelled 2, "; heard != want || err != nil || last == nil || last.Kind != fleet.EvCancelled {
		t.Errorf("%s, want %s; %v %v", heard, want, last, err)
	}
}

// TestWatch: what is there, then every change, each once.
func TestWatch(t *testing.T) { both(t, askWatch) }

func askWatch(t *testing.T, s *place) {
	s.create(t, a, fence, made)
	e := s.create(t, b)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var seen []string
	err := s.Watch(ctx, func(e fleet.Entry) {
		if seen = append(seen, e.Order.ID+" "+string(e.Phase)); e.Phase == fleet.Cancelled {
			stop()
		}
	}, func() {
		seen = append(seen, "ready")
		s.further(t, e, fence, func(c fleet.Claim) (fleet.Claim, error) {
			return c.End(zoe.Owner, fleet.Untouched, fleet.Reason{}, 0, nil)
		}, cancel)
	})
	want := []string{a + " served", b + " accepted", "ready", b + " brewing", b + " accepted", b + " cancelled"}
	if d := cmp.Diff(want, seen); d != "" || !errors.Is(err, context.Canceled) {
		t.Error(err, d)
	}
}

// TestNews: what happens from now on, recorded or only told.
func TestNews(t *testing.T) { both(t, askNews) }

func askNews(t *testing.T, s *place) {
	s.create(t, a, fence, made)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	heard := make(chan fleet.Event, 100)
	done := make(chan error, 1)
	go func() { done <- s.News(ctx, func(e fleet.Event) { heard <- e }) }()
	brokertest.Eventually(t, "a cup that is waited for", func() bool {
		s.conn.Events().Live(fleet.Event{Order: b, Kind: fleet.EvCup, Machine: "zoe", Epoch: 1})
		return len(heard) > 0
	})
	s.create(t, b)
	for e := range heard {
		if e.Order != b || e.Kind != fleet.EvCup && e.Kind != fleet.EvAccepted {
			t.Errorf("%+v", e)
		}
		if e.Kind == fleet.EvAccepted {
			break
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestStatus: everything that a person should look at, and nothing else.
func TestStatus(t *testing.T) { both(t, askStatus) }

func askStatus(t *testing.T, s *place) {
	c, stock := s.conn, s.stock
	ctx := t.Context()
	look := func(want ...string) Status {
		t.Helper()
		var st Status
		s.soon(t, strings.Join(want, "; "), func() (ok bool) {
			var err error
			st, err = s.Status(ctx)
			return err == nil && cmp.Equal(append([]string{}, want...), st.Degraded) && st.OK == (len(want) == 0)
		})
		return st
	}
	look("no controller answers: no order is accepted", "no machine can take orders")
	s.door.err = nil
	if err := c.Fleet().Announce(ctx, zoe); err != nil {
		t.Fatal(err)
	}
	if st := look(); len(st.Queue) != 9 || st.Queue[0].Machines[0] != "zoe" || len(st.Stock) != len(stock.levels) {
		t.Errorf("%+v", st)
	}
	s.door.troubles = []fleet.Trouble{{About: "coffee-book", Reason: fleet.Reason{Code: fleet.CodeStoreFull, Text: "it is full"}, Closed: true}}
	look("it is full")
	s.door.troubles = nil
	swapped := zoe
	swapped.Swapped = []string{"grinder"}
	if err := c.Fleet().Announce(ctx, swapped); err != nil {
		t.Fatal(err)
	}
	s.soon(t, "advice", func() bool {
		st, err := s.Status(ctx) // and all is well
		return err == nil && st.OK && len(st.Degraded)+len(st.Next) == 0 && st.Machines[0].Able && len(st.Advice) == 1 &&
			strings.HasPrefix(st.Advice[0], "the grinder of zoe was swapped and has not been calibrated since") && strings.Contains(st.Advice[0], "barista calibrate grinder --config FILE, at zoe")
	})
	only := zoe
	only.Classes = []fleet.Class{{Bean: "mixed", Milk: fleet.NoMilk}}
	ill := zoe
	ill.Machine, ill.State, ill.Note = "max", fleet.StateFault, "the pump is jammed"
	for _, p := range []fleet.Presence{only, ill} {
		if err := c.Fleet().Announce(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	s.create(t, a, take, fence, park)
	e := s.create(t, b)
	for _, id := range []string{e.MessageID(), "of another try"} {
		if err := c.Orders().Publish(ctx, e, id); err != nil {
			t.Fatal(err)
		}
	}
	stock.levels["arabica"] = fleet.Level{OnHand: 20}
	st := look("1 order of arabica/free waits, and no machine that is able makes it",
		"1 order of which nobody knows whether it was made: barista why last unknown",
		"arabica runs out: 20 g left, a cup may take 30", "max has a fault: the pump is jammed")
	if st.Open != 2 || st.Unknown != 1 {
		t.Errorf("%+v", st)
	}
	e = s.create(t, twin, take, fence) // in a machine's hands, and still in the queue
	if err := c.Orders().Publish(ctx, e, e.MessageID()); err != nil {
		t.Fatal(err)
	}
	s.soon(t, "the order in hand", func() bool {
		st, err := s.Status(ctx)
		return err == nil && st.Open == 3 && st.Queue[0].Class == e.Order.Class() && st.Queue[0].Waiting == 1
	})
	if stock.err = errors.New("gone"); stock.err != nil {
		look("1 order of arabica/free waits, and no machine that is able makes it",
			"1 order of which nobody knows whether it was made: barista why last unknown",
			"max has a fault: the pump is jammed", "the stock does not answer")
	}
}

// TestDanger: a fault for which somebody must come at once is told, whether its machine was
// taken out of service or not, and as the same thing; of any other one that was, nothing is.
func TestDanger(t *testing.T) { both(t, askDanger) }

func askDanger(t *testing.T, s *place) {
	ctx := t.Context()
	s.door.err = nil
	s.Dangerous = func(code string) bool { return code == "hot" || code == string(fleet.StateFault) }
	wrong := func(want ...string) {
		t.Helper()
		s.soon(t, fmt.Sprint(want), func() bool {
			st, err := s.Status(ctx)
			var got []string
			for _, w := range st.Wrong {
				if strings.HasPrefix(w.Key, "machine ") {
					got = append(got, fmt.Sprintf("%s %v", w.Key, w.Danger))
				}
			}
			return err == nil && slices.Equal(got, want) && st.OK == (len(st.Degraded) == 0)
		})
	}
	is := func(code string, state fleet.State) {
		t.Helper()
		m := zoe
		m.State, m.Code = state, code
		if err := s.conn.Fleet().Announce(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	is("hot", fleet.StateFault)
	wrong("machine zoe fault true")
	if err := s.Cordon(ctx, "zoe", "Ada", "descaling"); err != nil {
		t.Fatal(err)
	}
	wrong("machine zoe fault true")
	st, err := s.Status(ctx)
	if err != nil || !strings.Contains(strings.Join(st.Degraded, "\n"), "zoe is out of service, and in a fault for which somebody must come at once: hot") || st.Next[0].Command != `barista machine clear-fault zoe --reason "what was done"` {
		t.Errorf("%+v %v", st, err)
	}
	is("jam", fleet.StateFault)
	wrong()
	is("", fleet.StateFault)
	wrong("machine zoe fault true")
	is("hot", fleet.StateBlocked)
	wrong()
	if err := s.Uncordon(ctx, "zoe", "", "", false); err != nil {
		t.Fatal(err)
	}
	is("jam", fleet.StateFault)
	wrong("machine zoe fault false")
}

// TestStatusOfTheBook: what the shop knows of its book, with the next command.
func TestStatusOfTheBook(t *testing.T) { both(t, askStatusOfTheBook) }

func askStatusOfTheBook(t *testing.T, s *place) {
	for _, c := range []struct {
		st   fleet.Standing
		want string
	}{
		{fleet.Standing{State: fleet.StandOpen}, ""},
		{fleet.Standing{}, ""}, // an earlier version
		{fleet.Standing{State: fleet.StandClosed, Why: "the book went back"}, "the book went back: put the right store back and start the shop again, or accept the loss with barista broker accept-loss --reason WHAT-HAPPENED, and then settle the orders in doubt"},
		{fleet.Standing{State: fleet.StandRollCall, Why: "zoe is awaited"}, "zoe is awaited: let them come, or go on without one by barista machine give-up NAME --reason WHY"},
		{fleet.Standing{State: fleet.StandLooking, Why: "it looks"}, "it looks: a moment"},
	} {
		s.door.st, s.door.err = c.st, nil
		st, err := s.Status(t.Context())
		if err != nil || st.Book.State != c.st.State {
			t.Fatalf("%+v, %v", st.Book, err)
		}
		want := []string{"no machine can take orders"}
		if c.want != "" {
			want = append(want, c.want)
		}
		slices.Sort(want)
		if d := cmp.Diff(want, st.Degraded); d != "" {
			t.Error(d)
		}
	}
}

func TestMenu(t *testing.T) { both(t, askMenu) }

func askMenu(t *testing.T, s *place) {
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
