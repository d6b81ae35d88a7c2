package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/brokertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// place is a fleet and its settings in memory; now is the broker's clock.
type place struct {
	mu       sync.Mutex
	changed  chan struct{}
	settings map[string][]byte
	keys     []string
	here     map[string]fleet.Presence
	words    []string
	puts     int
	broken   bool
	shift    time.Duration // of the broker's clock
}

func newPlace() *place {
	return &place{changed: make(chan struct{}), settings: map[string][]byte{}, here: map[string]fleet.Presence{}}
}

func (p *place) do(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *place) now(context.Context) (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		return time.Time{}, fleet.ErrNoAnswer
	}
	return time.Now().Add(p.shift), nil
}

func (p *place) follow(ctx context.Context, ready func(), at func(i int) func()) error {
	said := false
	for i := 0; ; {
		p.mu.Lock()
		do, changed := at(i), p.changed
		p.mu.Unlock()
		if do != nil {
			do()
			i++
			continue
		}
		if !said {
			said = true
			ready()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type memSettings struct{ *place }

func (m memSettings) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.settings[key]; v != nil {
		return v, nil
	}
	return nil, fleet.ErrNotFound
}

func (m memSettings) Put(_ context.Context, key string, v []byte) error {
	if m.broken {
		return fleet.ErrNoAnswer
	}
	m.do(func() { m.settings[key] = v; m.keys = append(m.keys, key); m.puts++ })
	return nil
}

func (m memSettings) Delete(ctx context.Context, key string) error { return m.Put(ctx, key, nil) }

func (m memSettings) Watch(ctx context.Context, each func(string, []byte), ready func()) error {
	return m.follow(ctx, ready, func(i int) func() {
		if i >= len(m.keys) {
			return nil
		}
		k, v := m.keys[i], m.settings[m.keys[i]]
		return func() { each(k, v) }
	})
}

type memFleet struct{ *place }

func (m memFleet) Announce(_ context.Context, p fleet.Presence) error {
	m.do(func() { m.here[p.Machine] = p; m.words = append(m.words, p.Machine) })
	return nil
}

func (m memFleet) Again(context.Context, []fleet.Presence) error { panic("a desk does") }

func (m memFleet) Leave(_ context.Context, name string) error {
	m.do(func() { delete(m.here, name); m.words = append(m.words, name) })
	return nil
}

func (m memFleet) Present(context.Context) ([]fleet.Presence, error) { panic("it watches") }

func (m memFleet) Watch(ctx context.Context, each func(fleet.Presence, bool), ready func()) error {
	return m.follow(ctx, ready, func(i int) func() {
		if i >= len(m.words) {
			return nil
		}
		p, here := m.here[m.words[i]]
		p.Machine = m.words[i]
		return func() { each(p, here) }
	})
}

// stays is a machine that is here, and says so, until it leaves.
func (p *place) stays(w fleet.Presence) (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ok := true; ok; ok = fleet.Pause(ctx, fleet.PresenceEvery) {
			_ = memFleet{p}.Announce(ctx, w)
		}
	})
	return func() {
		cancel()
		wg.Wait()
		_ = memFleet{p}.Leave(context.Background(), w.Machine)
	}
}

// open runs a roll until the returned function is called.
func (p *place) open(t *testing.T) (*Roll, func()) {
	t.Helper()
	b := New(Parts{Fleet: memFleet{p}, Settings: memSettings{p}, Now: p.now})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	return b, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// of is an order of this.
func of(c fleet.Class, s fleet.Size) fleet.Order {
	return fleet.Order{Size: s, Bean: c.Bean, Milk: c.Milk}
}

// known reports whether a machine that the roll lists makes this.
func known(b *Roll, c fleet.Class, s fleet.Size) bool {
	return slices.ContainsFunc(b.Machines(), func(m *fleet.Machine) bool { return m.Makes(of(c, s)) })
}

// zoes is what the roll says of zoe.
func zoes(b *Roll) fleet.Machine {
	all := b.Machines()
	if i := slices.IndexFunc(all, func(m *fleet.Machine) bool { return m.Machine == "zoe" }); i >= 0 {
		return *all[i]
	}
	return fleet.Machine{}
}

// present counts who is here.
func present(b *Roll) (n int) {
	for _, m := range b.Machines() {
		if m.Here {
			n++
		}
	}
	return n
}

var (
	black = fleet.Class{Bean: "arabica", Milk: "free"}
	white = fleet.Class{Bean: "arabica", Milk: "normal"}
	zoe   = fleet.Presence{Machine: "zoe", Classes: []fleet.Class{black}, Sizes: []fleet.Size{fleet.Small}, State: fleet.StateReady}
)

// TestSevenDays: a machine that went away is known for seven days more, over
// restarts of the roll, whatever the wall clock of the roll's host says.
func TestSevenDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		p.shift = 5 * 365 * 24 * time.Hour // the host's clock is years behind the broker's
		v, _ := json.Marshal(seen{[]fleet.Class{white}, []fleet.Size{fleet.Medium}, nil, time.Now().Add(p.shift - Remember + time.Hour)})
		_ = memSettings{p}.Put(t.Context(), "seen.other", v)
		b, stop := p.open(t)
		synctest.Wait()
		if !known(b, white, fleet.Medium) {
			t.Error("it was here less than seven days ago")
		}
		time.Sleep(2 * time.Hour)
		if known(b, white, fleet.Medium) {
			t.Error("it was here more than seven days ago, by the broker's clock")
		}
		if known(b, black, fleet.Small) {
			t.Error("known before it was ever here")
		}
		leave := p.stays(zoe)
		time.Sleep(10 * 24 * time.Hour) // it stays for longer than it is remembered
		for _, x := range []struct {
			c    fleet.Class
			s    fleet.Size
			want bool
		}{{black, fleet.Small, true}, {white, fleet.Small, false}, {black, fleet.Large, false}} {
			if got := known(b, x.c, x.s); got != x.want {
				t.Errorf("%v %v: %v", x.c, x.s, got)
			}
		}
		if n := present(b); n != 1 {
			t.Errorf("%d are here", n)
		}
		leave()
		time.Sleep(3 * 24 * time.Hour)
		if !known(b, black, fleet.Small) || present(b) != 0 {
			t.Error("forgotten too early")
		}
		stop()
		b, stop = p.open(t)
		defer stop()
		synctest.Wait()
		if !known(b, black, fleet.Small) {
			t.Error("forgotten by a restart")
		}
		time.Sleep(4*24*time.Hour - time.Minute)
		if !known(b, black, fleet.Small) {
			t.Error("forgotten a minute too early")
		}
		time.Sleep(2 * time.Minute)
		if known(b, black, fleet.Small) {
			t.Error("known after seven days")
		}
	})
}

// TestSilent: a machine that says nothing for fleet.PresenceTTL is not here, though
// the broker, whose clock was set back, keeps its word; one whose word the broker
// drops, because its clock was set forward, is. It is told by the time that passed
// here.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		b, stop := p.open(t)
		defer stop()
		word := zoe
		word.Said = 7
		_ = memFleet{p}.Announce(t.Context(), word)
		time.Sleep(fleet.PresenceTTL - time.Second)
		if present(b) != 1 {
			t.Error("gone too early")
		}
		word.Said = 8
		_ = memFleet{p}.Announce(t.Context(), word)
		changed := b.Changed()
		time.Sleep(fleet.PresenceTTL - time.Second)
		if present(b) != 1 {
			t.Error("gone although it spoke")
		}
		p.do(func() { p.shift = -time.Hour })
		time.Sleep(2 * time.Second)
		if m := zoes(b); present(b) != 0 || m.Said != 8 || !m.Makes(of(black, fleet.Small)) {
			t.Errorf("silent, and still here: %+v", m)
		}
		select {
		case <-changed:
		default:
			t.Error("nobody heard of it")
		}
		_ = memFleet{p}.Announce(t.Context(), zoe)
		synctest.Wait()
		if present(b) != 1 {
			t.Error("it is back")
		}
		_ = memFleet{p}.Leave(t.Context(), "zoe")
		synctest.Wait()
		if present(b) != 0 {
			t.Error("it left, and that counts at once")
		}
	})
}

// TestLasts: a word counts for as long as it says, and the next one for as long as
// that one says.
func TestLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		b, stop := p.open(t)
		defer stop()
		for _, lasts := range []int{35, 0, 25} {
			word := zoe
			word.Lasts = lasts
			_ = memFleet{p}.Announce(t.Context(), word)
			time.Sleep(word.Counts() - time.Second)
			if present(b) != 1 {
				t.Errorf("%v: gone too early", word.Counts())
			}
			_ = memFleet{p}.Announce(t.Context(), word)
			time.Sleep(word.Counts() - time.Second)
			if present(b) != 1 {
				t.Errorf("%v: gone although it spoke", word.Counts())
			}
			time.Sleep(2 * time.Second)
			if present(b) != 0 {
				t.Errorf("%v: silent, and still here", word.Counts())
			}
		}
		long := zoe
		long.Machine, long.Lasts = "leo", 35
		_ = memFleet{p}.Announce(t.Context(), long)
		time.Sleep(time.Second)
		_ = memFleet{p}.Announce(t.Context(), zoe)
		time.Sleep(zoe.Counts() + time.Second)
		if present(b) != 1 {
			t.Error("one is silent for 15 s, and is here for as long as another one's word counts")
		}
	})
}

// TestSevenDaysOfAClockThatIsSet: where the broker's clock was set, forward or back,
// the seven days begin anew.
func TestSevenDaysOfAClockThatIsSet(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, by := range []time.Duration{56 * year, 24 * time.Hour, -year} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace()
			b, stop := p.open(t)
			leave := p.stays(zoe)
			time.Sleep(time.Minute)
			leave()
			time.Sleep(3 * 24 * time.Hour)
			p.do(func() { p.shift = by })
			time.Sleep(3 * time.Hour)
			if !known(b, black, fleet.Small) {
				t.Errorf("%v: forgotten", by)
			}
			stop()
			b, stop = p.open(t)
			defer stop()
			time.Sleep(Remember - 4*time.Hour)
			if !known(b, black, fleet.Small) {
				t.Errorf("%v: forgotten too early", by)
			}
			time.Sleep(5 * time.Hour)
			if known(b, black, fleet.Small) {
				t.Errorf("%v: never forgotten", by)
			}
		})
	}
}

// TestCrash: a machine that leaves while no roll runs was written down by the
// one before, at most half a day ago.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		_, stop := p.open(t)
		leave := p.stays(zoe)
		time.Sleep(10 * 24 * time.Hour)
		stop()
		leave()
		p.words = nil // its word has expired
		time.Sleep(6 * 24 * time.Hour)
		b, stop := p.open(t)
		defer stop()
		synctest.Wait()
		if at := zoes(b).Seen; !known(b, black, fleet.Small) || at.IsZero() || time.Since(at) > 7*24*time.Hour {
			t.Error("forgotten; last seen", at)
		}
	})
}

// TestQuiet: heartbeats write nothing; new lists do, once.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		b, stop := p.open(t)
		defer stop()
		say := func(w fleet.Presence) {
			t.Helper()
			_ = memFleet{p}.Announce(t.Context(), w)
			time.Sleep(fleet.PresenceEvery)
		}
		for range 100 {
			say(zoe)
		}
		if p.puts != 1 {
			t.Errorf("%d records of one machine", p.puts)
		}
		more := zoe
		more.Classes = []fleet.Class{black, white}
		say(more)
		say(more)
		if p.puts != 2 || !known(b, white, fleet.Small) {
			t.Errorf("%d records, known %v", p.puts, known(b, white, fleet.Small))
		}
		more.Never = []fleet.Never{{Sugar: 1}}
		say(more)
		synctest.Wait()
		if p.puts != 3 {
			t.Errorf("%d records", p.puts)
		}
		say(fleet.Presence{Machine: "a.b", Classes: more.Classes}) // no name
		if present(b) != 1 {
			t.Error("a name that is no token is here")
		}
	})
}

// TestBrokerAway: a record that could not be written is written later, and
// until the broker's clock was heard nothing is too old.
func TestBrokerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		p.settings["seen.old"] = []byte(`{"classes":[{"bean":"mixed","milk":"free"}],"sizes":["large"],"at":"1999-01-01T00:00:00Z"}`)
		p.keys = []string{"seen.old"}
		p.broken = true
		b, stop := p.open(t)
		defer stop()
		_ = memFleet{p}.Announce(t.Context(), zoe)
		time.Sleep(time.Minute)
		old := fleet.Class{Bean: "mixed", Milk: "free"}
		if !known(b, old, fleet.Large) || p.puts != 0 {
			t.Error("without the broker's clock a record is not too old")
		}
		p.do(func() { p.broken = false })
		time.Sleep(3 * time.Second)
		if known(b, old, fleet.Large) || p.puts != 1 {
			t.Errorf("%v, %d records", known(b, old, fleet.Large), p.puts)
		}
	})
}

// TestChanged: whoever waits on the roll hears of a cordon, and of its end.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		s := memSettings{p}
		b, stop := p.open(t)
		defer stop()
		<-b.Ready()
		changed := b.Changed()
		_ = s.Put(t.Context(), fleet.CordonKey("zoe"), []byte(`{"by":"Ada","reason":"descaling"}`))
		<-changed
		if c := zoes(b).Cordon; c == nil || c.By != "Ada" {
			t.Errorf("%+v", c)
		}
		changed = b.Changed()
		_ = s.Delete(t.Context(), fleet.CordonKey("zoe"))
		<-changed
		if zoes(b).Cordon != nil {
			t.Error("still out of service")
		}
	})
}

// TestRealBroker: a machine appears, is cordoned, falls silent, and is known to
// the next roll, with the real broker under fake time.
func TestRealBroker(t *testing.T) {
	runtime.GC() // the client's pooled timers of another bubble
	runtime.GC()
	brokertest.InBubble(t, func(t *testing.T, br *brokertest.Broker) {
		ctx := t.Context()
		c := br.Connect("shop")
		run := func() (*Roll, func()) {
			b := New(Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: c.Book().Now})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- b.Run(ctx) }()
			return b, func() { cancel(); <-done }
		}
		b, stop := run()
		if err := c.Fleet().Announce(ctx, zoe); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "zoe", func() bool {
			return !zoes(b).Seen.IsZero() && present(b) == 1
		})
		if err := c.Settings().Put(ctx, fleet.CordonKey("zoe"), []byte(`{"by":"Ada","reason":"descaling"}`)); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "the cordon", func() bool { return zoes(b).Cordon != nil })
		brokertest.Eventually(t, "zoe falls silent", func() bool { return present(b) == 0 })
		stop()
		b, stop = run()
		defer stop()
		<-b.Ready()
		if got := fmt.Sprint(present(b), known(b, black, fleet.Small), known(b, white, fleet.Small), zoes(b).Cordon != nil); got != "0 true false true" {
			t.Error(got)
		}
		var all []fleet.Machine
		for _, m := range b.Machines() {
			all = append(all, *m)
		}
		once, err := Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: c.Book().Now}.Read(ctx)
		if d := cmp.Diff(all, once); d != "" || err != nil {
			t.Errorf("who asks once hears something else: %v %s", err, d)
		}
		if err := c.Settings().Delete(ctx, fleet.CordonKey("zoe")); err != nil {
			t.Error(err)
		}
		brokertest.Eventually(t, "back in service", func() bool { return zoes(b).Cordon == nil })
	})
}

// TestGone: a machine whose process listens no more is away at once, and its next word,
// or that of another process, brings it back. A process that came meanwhile is not meant.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		b, stop := p.open(t)
		defer stop()
		one, two := zoe, zoe
		one.Owner.Nonce, two.Owner.Nonce = "one", "two"
		for _, x := range []struct {
			word fleet.Presence
			gone string
			here int
		}{{one, "one", 0}, {one, "two", 1}, {one, "one", 0}, {two, "one", 1}, {two, "two", 0}} {
			_ = memFleet{p}.Announce(t.Context(), x.word)
			synctest.Wait()
			if b.Gone("zoe", x.gone); present(b) != x.here {
				t.Errorf("%s is here, %s listens no more: %d are here", x.word.Owner.Nonce, x.gone, present(b))
			}
		}
		if b.Gone("leo", "one"); present(b) != 0 {
			t.Error("nobody's end has brought somebody")
		}
		if zoes(b).Seen.IsZero() || !known(b, black, fleet.Small) {
			t.Error("forgotten, not away")
		}
	})
}
