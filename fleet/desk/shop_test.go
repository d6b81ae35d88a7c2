package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"barista/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is what a desk works with, in memory: a book that compares as the real one
// does, and whatever stands around it.
type shop struct {
	t    *testing.T
	desk *Desk

	mu       sync.Mutex
	book     map[string]fleet.Entry
	seq      uint64
	now      time.Time                // the broker's clock
	past     time.Duration            // that this process saw
	came     map[uint64]time.Duration // when each record came in that
	here     []fleet.Presence
	repeated [][]fleet.Presence
	roll     []fleet.Machine
	events   []fleet.Event
	wrote    []fleet.Entry
	asked    []string // subjects of nudges
	waiting  int

	// What a test has happen.
	reading func() // before a read
	read    func() // after it
	lost    bool   // answers to writes get lost
	deaf    error  // of Events, Fleet and the clock
}

func open(t *testing.T) *shop {
	s := &shop{t: t, book: map[string]fleet.Entry{}, came: map[uint64]time.Duration{}, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	s.desk = New(Parts{Book: memBook{s}, Events: memEvents{s}, Fleet: memFleet{s}, Roll: s, Settings: nil, Requester: s,
		Wrote: func(e fleet.Entry) {
			s.mu.Lock()
			s.wrote = append(s.wrote, e)
			s.mu.Unlock()
		},
		Age:     func(e fleet.Entry) time.Duration { return s.past - s.came[e.Seq] },
		Waiting: func([]fleet.Class) int { return s.waiting }})
	s.desk.settings.known = true
	return s
}

type memBook struct{ *shop }

func (b memBook) Read(ctx context.Context, order string) (fleet.Entry, error) {
	if b.reading != nil {
		b.reading()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.book[order]
	if b.read != nil {
		b.read()
	}
	if !ok {
		return e, fleet.ErrNotFound
	}
	return e, nil
}

// Next compares the sequence alone, as the broker does.
func (b memBook) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.book[c.Order.ID].Seq != read.Seq {
		return fleet.Entry{}, fleet.ErrConflict
	}
	e := b.put(c)
	if b.lost {
		return fleet.Entry{}, fleet.ErrNoAnswer
	}
	e.Written = time.Time{}
	return e, nil
}

// put writes without asking. The caller holds the lock.
func (s *shop) put(c fleet.Claim) fleet.Entry {
	s.seq++
	e := fleet.Entry{Claim: c, Revision: fleet.Revision{Seq: s.seq, Rec: fmt.Sprint("r", s.seq)}, Written: s.now}
	s.book[c.Order.ID] = e
	s.came[e.Seq] = s.past
	return e
}

func (b memBook) Now(context.Context) (time.Time, error) { return b.now, b.deaf }

type memEvents struct{ *shop }

func (e memEvents) Publish(_ context.Context, ev fleet.Event, seq uint64) error {
	if seq != 0 {
		e.t.Errorf("told by record %d", seq)
	}
	if e.deaf == nil {
		e.events = append(e.events, ev)
	}
	return e.deaf
}

type memFleet struct{ *shop }

func (f memFleet) Announce(_ context.Context, p fleet.Presence) error {
	f.here = append(f.here, p)
	return f.deaf
}
func (f memFleet) Again(_ context.Context, words []fleet.Presence) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repeated = append(f.repeated, words)
	return f.deaf
}
func (f memFleet) Leave(_ context.Context, machine string) error {
	f.here = append(f.here, fleet.Presence{Machine: machine, State: "gone"})
	return f.deaf
}
func (f memFleet) Present(context.Context) ([]fleet.Presence, error) { return f.here, f.deaf }

func (s *shop) Machines() (out []*fleet.Machine) {
	for i := range s.roll {
		out = append(out, &s.roll[i])
	}
	return out
}

func (s *shop) Request(_ context.Context, subject string, body []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, subject+" "+string(body))
	return nil, nil
}

// ask is a machine's request and its answer.
func (s *shop) ask(machine, verb string, a fleet.Ask) fleet.Told {
	s.t.Helper()
	if a.Nonce == "" {
		a.Nonce = "n1"
	}
	b, err := json.Marshal(a)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.raw("coffee.desk."+machine+"."+verb, b, a.Nonce)
}

func (s *shop) raw(subject string, body []byte, nonce string) fleet.Told {
	s.t.Helper()
	var told fleet.Told
	if err := json.Unmarshal(s.desk.answer(s.t.Context(), subject, body), &told); err != nil {
		s.t.Fatal(err)
	}
	if told.Nonce != nonce {
		s.t.Errorf("answered under the nonce %q, asked under %q", told.Nonce, nonce)
	}
	return told
}

// about is a request about an entry as it was read.
func about(e fleet.Entry, o fleet.Owner) fleet.Ask {
	return fleet.Ask{Order: e.Order.ID, Revision: e.Revision, Epoch: e.Epoch, Owner: o}
}

var (
	me        = fleet.Owner{Machine: "ann", Journal: "j1", Boot: "b1"}
	otherBoot = fleet.Owner{Machine: "ann", Journal: "j1", Boot: "b2"}
	otherDisk = fleet.Owner{Machine: "ann", Journal: "j2", Boot: "b1"}
	bob       = fleet.Owner{Machine: "bob", Journal: "j3", Boot: "b1"}

	black   = fleet.Class{Bean: "arabica", Milk: fleet.NoMilk}
	id      = "01JD0000000000000000000001"
	because = fleet.Reason{Code: "x", Text: "why"}
)

// must takes a step that the claim's rules have.
func must(c fleet.Claim, err error) fleet.Claim {
	if err != nil {
		panic(err)
	}
	return c
}

// claimAt is a claim in each phase, whose last owner is o.
func claimAt(p fleet.Phase, o fleet.Owner) fleet.Claim {
	c := fleet.Create(fleet.Order{ID: id, Name: "Ada", Size: fleet.Small, Bean: black.Bean, Milk: black.Milk}, fleet.Items{"arabica": 9}, fleet.Success(id), "web")
	taken := must(c.Take(o))
	fenced := must(c.Fence(o))
	switch p {
	case fleet.Accepted:
		return c
	case fleet.Claimed:
		return taken
	case fleet.Brewing:
		return fenced
	case fleet.Again:
		return must(fenced.End(o, fleet.Spoiled, because, 3, nil))
	case fleet.Unknown:
		return must(fenced.Park("eve", because))
	case fleet.Served:
		return must(fenced.End(o, fleet.Made, because, 3, nil))
	case fleet.Failed:
		return must(must(fenced.Park("eve", because)).Settle(false, "eve", because))
	default:
		return must(c.Stop(p, "eve", because))
	}
}

var errAway = errors.New("the broker is away")
