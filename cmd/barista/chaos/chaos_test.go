package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver/mock"
	"barista/fleet"
	"barista/fleet/web"
)

// paper is a shop on paper: it says what a test has it say.
type paper struct {
	web.Book // what the room does not ask is nil

	records chan fleet.Record
	live    chan fleet.Event

	mu       sync.Mutex
	placed   []fleet.Order
	machines []*fleet.Machine
	changed  chan struct{}
	level    fleet.Level
	cleared  []string
}

func (p *paper) Now(context.Context) (time.Time, error)           { return time.Now(), nil }
func (p *paper) Since(context.Context, time.Time) (uint64, error) { return 1, nil }
func (p *paper) Changed() <-chan struct{}                         { p.mu.Lock(); defer p.mu.Unlock(); return p.changed }
func (p *paper) Machines() []*fleet.Machine                       { p.mu.Lock(); defer p.mu.Unlock(); return p.machines }
func (p *paper) menu() fleet.Menu                                 { return fleet.DefaultMenu() }
func (p *paper) levels(context.Context) (map[string]fleet.Level, error) {
	return map[string]fleet.Level{"milk-normal": p.level}, nil
}

func (p *paper) Follow(ctx context.Context, _ uint64, each func(fleet.Record), ready func()) error {
	ready()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-p.records:
			each(r)
		}
	}
}

func (p *paper) follow(ctx context.Context, each func(fleet.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-p.live:
			each(e)
		}
	}
}

func (p *paper) place(_ context.Context, body []byte, _ string) fleet.Answer {
	var o fleet.Order
	if err := json.Unmarshal(body, &o); err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.level.OnHand == 0 && o.Milk == milk {
		return fleet.Answer{Status: "error", Code: fleet.CodeOutOfStock}
	}
	o.ID = fmt.Sprintf("01ARZ3NDEKTSV4RRFFQ69G5F%02d", len(p.placed))
	p.placed = append(p.placed, o)
	return fleet.Success(o.ID)
}

func (p *paper) count(_ context.Context, _ string, n int, _, _ string) (fleet.Level, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level.OnHand = n
	return p.level, nil
}

func (p *paper) command(_ context.Context, machine string, c fleet.Command) (fleet.CommandAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleared = append(p.cleared, machine+" "+c.Verb)
	return fleet.CommandAnswer{OK: true}, nil
}

// says is a machine's word, now.
func (p *paper) says(name string, s fleet.State, nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machines = slices.DeleteFunc(slices.Clone(p.machines), func(m *fleet.Machine) bool { return m.Machine == name })
	p.machines = append(p.machines, &fleet.Machine{Here: true, Heard: time.Now(), Presence: fleet.Presence{Machine: name, State: s, Owner: fleet.Owner{Machine: name, Nonce: nonce}}})
	close(p.changed)
	p.changed = make(chan struct{})
}

// claim is what the book says of an order now.
func (p *paper) claim(order string, phase fleet.Phase, machine string, past ...fleet.Past) {
	c := fleet.Claim{Phase: phase, Order: fleet.Order{ID: order}, Epoch: 1 + len(past), Past: past}
	if machine != "" {
		c.Owner = &fleet.Owner{Machine: machine}
	}
	if phase == fleet.Served {
		c.Outcome = fleet.Made
	}
	p.records <- fleet.Record{IsClaim: true, Entry: fleet.Entry{Claim: c}}
}

// room is one with two machines of memory, joined to a shop on paper. It runs in the
// bubble until the test ends.
func room(t *testing.T) (*Room, *paper) {
	p := &paper{records: make(chan fleet.Record), live: make(chan fleet.Event), changed: make(chan struct{}), level: fleet.Level{OnHand: 5000}}
	r := New(slog.New(slog.DiscardHandler), "zoe", "leo")
	for _, name := range []string{"zoe", "leo"} {
		_, control, err := mock.Open(mock.Config{Serial: name})
		if err != nil {
			t.Fatal(err)
		}
		r.Wire(name, nowhere{})
		r.Lives(name, t.TempDir(), Life{}, func() Metal { return control }, nil)
		p.says(name, fleet.StateReady, "n1")
	}
	r.Join(Parts{Place: p.place, Menu: p.menu, Book: p, Live: p.follow, Roll: p, Command: p.command, Levels: p.levels, Count: p.count})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r, p
}

// nowhere is a broker that answers nobody.
type nowhere struct{}

func (nowhere) InProcessConn() (net.Conn, error) {
	a, b := net.Pipe()
	go func() { _, _ = b.Read(make([]byte, 1)); b.Close() }()
	return a, nil
}

// ticks are what was seen of one thing.
func ticks(r *Room, code string) string {
	synctest.Wait()
	for _, m := range r.Look() {
		if m.Code != code {
			continue
		}
		s := string(m.State) + ":"
		for _, one := range m.Sights {
			if one.Seen {
				s += " " + one.Code
			}
		}
		return s
	}
	return "?"
}

// A tick comes with what the shop says, one by one, and never because time has passed.
func TestTicksAreHonest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := room(t)
		is := func(code, want string) {
			t.Helper()
			if got := ticks(r, code); got != want {
				t.Errorf("%s is %q, want %q", code, got, want)
			}
			time.Sleep(time.Hour)
			if got := ticks(r, code); got != want {
				t.Errorf("an hour later %s is %q, want %q", code, got, want)
			}
		}
		if err := r.Do(t.Context(), "jam"); err != nil {
			t.Fatal(err)
		}
		is("jam", "waits:") // it has ordered a drink, and no machine has it
		if len(p.placed) != 1 {
			t.Fatalf("placed %v", p.placed)
		}
		id := p.placed[0].ID
		if err := r.Do(t.Context(), "kill"); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("another one at the same time: %v", err)
		}
		p.claim(id, fleet.Accepted, "")
		p.claim(id, fleet.Brewing, "zoe")
		is("jam", "broken:")
		p.says("leo", fleet.StateFault, "n1") // another one's trouble
		is("jam", "broken:")
		spoiled := fleet.Past{Epoch: 1, Machine: "zoe", Fenced: true, Outcome: fleet.Spoiled}
		p.claim(id, fleet.Accepted, "", spoiled)
		is("jam", "broken: hit")
		p.says("zoe", fleet.StateBlocked, "n1")
		is("jam", "broken: hit parked")
		p.claim(id, fleet.Brewing, "leo", spoiled)
		p.claim(id, fleet.Served, "leo", spoiled)
		is("jam", "broken: hit parked other")
		if err := r.Undo(t.Context(), "jam"); err != nil {
			t.Fatal(err)
		}
		is("jam", "mended: hit parked other") // it has said nothing since
		p.says("zoe", fleet.StateReady, "n1")
		is("jam", "mended: hit parked other back")
		if got := strings.Join(p.cleared, ", "); got != "zoe clear-fault" {
			t.Errorf("cleared %s", got)
		}
		if err := r.Do(t.Context(), "nothing"); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("what there is not: %v", err)
		}
	})
}

// What comes out otherwise says so, and keeps nobody from breaking the next thing.
func TestItComesOutOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := room(t)
		p.claim("01ARZ3NDEKTSV4RRFFQ69G5FAV", fleet.Brewing, "leo")
		synctest.Wait()
		if err := r.Do(t.Context(), "unplug"); err != nil {
			t.Fatal(err)
		}
		if got := ticks(r, "unplug"); got != "broken:" || len(p.placed) > 0 {
			t.Fatalf("there was a drink in hand: %s, placed %v", got, p.placed)
		}
		p.claim("01ARZ3NDEKTSV4RRFFQ69G5FAV", fleet.Failed, "leo")
		synctest.Wait()
		i := slices.IndexFunc(r.Look(), func(m web.Mischief) bool { return m.Code == "unplug" })
		if m := r.Look()[i]; !m.Otherwise || m.Machine != "leo" {
			t.Errorf("it says %+v", m)
		}
		if err := r.Do(t.Context(), "milk"); err != nil {
			t.Error(err)
		}
		if got := ticks(r, "milk"); got != "broken: level refused" {
			t.Errorf("the milk: %s", got)
		}
		p.claim(p.placed[0].ID, fleet.Served, "zoe")
		if got := ticks(r, "milk"); got != "broken: level refused others" {
			t.Errorf("the milk: %s", got)
		}
		_ = r.Undo(t.Context(), "milk")
		if got := ticks(r, "milk"); got != "mended: level refused others back" || p.level.OnHand != 5000 {
			t.Errorf("the milk: %s, %v", got, p.level)
		}
	})
}

// The broker is cut at all machines: the tick waits for the last that notices.
func TestCutIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := room(t)
		const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
		wires := []*wire{r.machines[0].wire.Load(), r.machines[1].wire.Load()}
		c, err := wires[0].InProcessConn()
		if err != nil {
			t.Fatal(err)
		}
		p.claim(id, fleet.Brewing, "zoe")
		synctest.Wait()
		_ = r.Do(t.Context(), "cut")
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("a connection is left")
		}
		for i, want := range []string{"cut", "broken:", "broken: gone"} {
			if i > 0 {
				if _, err := wires[i-1].InProcessConn(); err == nil {
					t.Error("another connection is had")
				}
				time.Sleep(2 * lookEvery)
				if got := ticks(r, "cut"); got != want {
					t.Errorf("after %d have noticed: %s", i, got)
				}
			}
		}
		p.claim(p.placed[0].ID, fleet.Accepted, "")
		time.Sleep(time.Hour)
		if got := ticks(r, "cut"); got != "broken: gone waits" {
			t.Errorf("an hour later: %s", got)
		}
		_ = r.Undo(t.Context(), "cut")
		time.Sleep(time.Second)
		if c, err := wires[0].InProcessConn(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		p.says("zoe", fleet.StateUnsynced, "n1")
		if got := ticks(r, "cut"); got != "mended: gone waits" {
			t.Errorf("one is back: %s", got)
		}
		p.says("leo", fleet.StateReady, "n1")
		p.claim(id, fleet.Served, "zoe")
		p.claim(p.placed[0].ID, fleet.Served, "leo")
		if got := ticks(r, "cut"); got != "mended: gone waits back settled late" {
			t.Errorf("in the end: %s", got)
		}
	})
}

// A kill waits for water to flow, and is over when another process has said what it knows.
func TestKillWaitsForThePour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := room(t)
		const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
		p.claim(id, fleet.Brewing, "zoe")
		synctest.Wait()
		_ = r.Do(t.Context(), "kill")
		p.live <- fleet.Event{Order: id, Kind: fleet.EvStep, Epoch: 1, Step: "grind"}
		if got := ticks(r, "kill"); got != "waits:" {
			t.Errorf("while it grinds: %s", got)
		}
		p.live <- fleet.Event{Order: id, Kind: fleet.EvStep, Epoch: 1, Step: "pour"}
		if got := ticks(r, "kill"); got != "broken:" || len(r.machines[0].kills) != 1 {
			t.Errorf("while it pours: %s, %d", got, len(r.machines[0].kills))
		}
		time.Sleep(time.Second)
		p.says("zoe", fleet.StateReady, "n1") // its last word, that came late
		p.claim(id, fleet.Unknown, "zoe")
		if got := ticks(r, "kill"); got != "broken: doubt" {
			t.Errorf("the same process: %s", got)
		}
		p.says("zoe", fleet.StateReady, "n2")
		if got := ticks(r, "kill"); got != "mended: reborn doubt ready" {
			t.Errorf("another process: %s", got)
		}
	})
}

// A folder is put back as it was, whatever came into it and went; what belongs to the
// process stays.
func TestMemory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("journal", "start")
	write("guard.state", "well")
	write("lock", "")
	write("book.mark", "7")
	m, err := remember(dir)
	if err != nil {
		t.Fatal(err)
	}
	write("journal", "start, end")
	write("guard.rest", "new")
	write("book.mark", "8")
	if err := os.Remove(filepath.Join(dir, "guard.state")); err != nil {
		t.Fatal(err)
	}
	if err := m.putBack(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		b, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		got[e.Name()] = string(b)
	}
	if want := (map[string]string{"journal": "start", "guard.state": "well", "lock": "", "book.mark": "8"}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the folder has %v, want %v", got, want)
	}
}

// The dead say nothing, ask nothing and let go of nothing; those after them do.
func TestDead(t *testing.T) {
	var out strings.Builder
	r := New(slog.New(slog.DiscardHandler), "zoe")
	log := r.Log("zoe", slog.New(slog.NewTextHandler(&out, nil))).With("a", 1).WithGroup("g")
	d := r.Desk("zoe", nil)
	s := settlement{nil, r.machines[0].dead.Load()}
	log.Info("alive")
	r.machines[0].dead.Swap(new(atomic.Bool)).Store(true)
	log.Error("dead")
	r.Log("zoe", slog.New(slog.NewTextHandler(&out, nil))).Info("anew")
	if got := out.String(); !strings.Contains(got, "alive") || strings.Contains(got, "dead") || !strings.Contains(got, "anew") {
		t.Errorf("it said %q", got)
	}
	ctx := t.Context()
	_, take := d.Take(ctx, "")
	_, ask := d.Ask(ctx, "", fleet.Entry{}, fleet.Ask{})
	_, here := d.Announce(ctx, fleet.Presence{})
	for _, err := range []error{take, ask, here, d.Leave(ctx)} {
		if !errors.Is(err, fleet.ErrClosed) {
			t.Errorf("the desk says %v", err)
		}
	}
	for _, err := range []error{s.Beat(), s.Done(ctx), s.Terminate(ctx, "", true), s.Return(ctx, 0)} {
		if !errors.Is(err, fleet.ErrStale) {
			t.Errorf("the ticket says %v", err)
		}
	}
	var none *Room
	if none.Desk("zoe", nil) != nil || none.Tickets("zoe", nil) != nil || none.Wire("zoe", nowhere{}) != (nowhere{}) || none.Log("zoe", log) != log {
		t.Error("without a room something is in between")
	}
}
