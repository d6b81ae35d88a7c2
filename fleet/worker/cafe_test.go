package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
	"barista/fleet/worker"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

var black = fleet.Class{Bean: "arabica", Milk: fleet.NoMilk}

var (
	faultJam    = plant.Fault{Kind: plant.Jam}
	faultNoFlow = plant.Fault{Kind: plant.NoFlow}
	faultDoor   = plant.Fault{Kind: plant.DoorOpen}
	faultBeans  = plant.Fault{Kind: plant.BeansOut}
)

// limit is the age at which a brew may be called unknown by others.
const limit = fleet.LongestBrew + fleet.UnknownAfter

// cafe is a shop under fake time: the real broker, and as many machines as the
// test starts, each with its own link, journal, guard and plant. The plants are
// the judges: they count what flowed and believe nobody.
type cafe struct {
	*testing.T
	b    *brokertest.Broker
	shop *queue.Conn
	born time.Time

	mu       sync.Mutex
	seen     map[string][]fleet.ClaimEntry // every revision that the watch showed, by order
	at       map[string]int                // how far wait has read in it
	news     chan struct{}                 // closed when seen grows
	stations []*station
	diary    []string // what was called, for a failed test
}

// open runs a test in a cafe. When it fails, the diary says what was called.
func open(t *testing.T, f func(c *cafe)) {
	t.Helper()
	// The client pools timers for the whole process (Flush takes one, and every
	// service that ends flushes), and one from an earlier bubble ends the program
	// in the next. Two collections empty a sync.Pool.
	runtime.GC()
	runtime.GC()
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		c := &cafe{T: t, b: b, shop: b.Connect("shop"), born: time.Now(), seen: map[string][]fleet.ClaimEntry{}, at: map[string]int{}, news: make(chan struct{})}
		ctx, stop := context.WithCancel(context.Background())
		var watching sync.WaitGroup
		watching.Go(func() {
			_ = c.shop.Claims().Watch(ctx, c.see, nil)
		})
		t.Cleanup(func() {
			for _, s := range slices.Backward(c.stations) {
				s.close()
			}
			stop()
			watching.Wait()
			if t.Failed() {
				t.Log("\n" + strings.Join(c.diary, "\n"))
			}
		})
		f(c)
	})
}

func (c *cafe) note(who, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.diary) < 3000 {
		c.diary = append(c.diary, fmt.Sprintf("%10s %-6s %s", time.Since(c.born).Round(time.Millisecond), who, fmt.Sprintf(format, args...)))
	}
}

// see takes every revision of a claim and checks that an end is final.
func (c *cafe) see(e fleet.ClaimEntry) {
	c.note("claim", "%s %s e%d %s %s %s", e.Order.ID[20:], e.Phase, e.Epoch, e.Machine(), e.Outcome, e.Reason.Text)
	c.mu.Lock()
	defer c.mu.Unlock()
	past := c.seen[e.Order.ID]
	if n := len(past); n > 0 {
		was := past[n-1]
		if was.Phase.Ended() && (was.Phase != e.Phase || was.Outcome != e.Outcome || was.Epoch != e.Epoch) {
			c.Errorf("%s ended as %s and became %s", e.Order.ID, was.Phase, e.Phase)
		}
		if e.Epoch < was.Epoch {
			c.Errorf("%s went back from epoch %d to %d", e.Order.ID, was.Epoch, e.Epoch)
		}
	}
	c.seen[e.Order.ID] = append(past, e)
	close(c.news)
	c.news = make(chan struct{})
}

// wait reads the revisions of a claim, from the one that it found last time, until
// one satisfies ok; it waits at most so long. A revision that was replaced at once
// may never be shown: for those there are points (see at).
func (c *cafe) wait(order string, within time.Duration, what string, ok func(fleet.ClaimEntry) bool) fleet.ClaimEntry {
	c.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		c.mu.Lock()
		past, i, news := c.seen[order], c.at[order], c.news
		for i < len(past) && !ok(past[i]) {
			i++
		}
		c.at[order] = i
		c.mu.Unlock()
		if i < len(past) {
			return past[i]
		}
		select {
		case <-news:
		case <-late.C:
			c.Fatalf("%s: waited %v for %s", order, within, what)
		}
	}
}

// phase waits for a phase.
func (c *cafe) phase(order string, within time.Duration, p fleet.Phase) fleet.ClaimEntry {
	c.Helper()
	return c.wait(order, within, string(p), func(e fleet.ClaimEntry) bool { return e.Phase == p })
}

// taken waits until the machine has the order in that phase.
func (c *cafe) taken(order string, within time.Duration, p fleet.Phase, by *station) fleet.ClaimEntry {
	c.Helper()
	return c.wait(order, within, string(p)+" by "+by.name, func(e fleet.ClaimEntry) bool { return e.Phase == p && e.Machine() == by.name })
}

// orderN is an order of its own for each number: a small black coffee.
func orderN(n int) fleet.Order {
	return fleet.Order{ID: fmt.Sprintf("01JD%022d", n), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
}

// claimOf is what the controller writes first.
func claimOf(o fleet.Order) fleet.Claim {
	doses, _ := fleet.DefaultMenu().Portion(o)
	return fleet.Claim{Phase: fleet.Accepted, Order: o, Hash: o.Hash(), Portion: doses, Answer: fleet.Success(o.ID), Epoch: 1, Via: "request"}
}

// order does what the controller does: the claim, the message, the mark.
func (c *cafe) order(o fleet.Order) string {
	c.Helper()
	ctx := c.Context()
	e, err := c.shop.Claims().Create(ctx, claimOf(o))
	if err != nil {
		c.Fatal(err)
	}
	if _, err := c.shop.Orders().Publish(ctx, o, o.ID); err != nil {
		c.Fatal(err)
	}
	marked, err := e.Mark(o.ID)
	if err != nil {
		c.Fatal(err)
	}
	// A machine that was faster has gone beyond what the mark says.
	if _, err := c.shop.Claims().Update(ctx, e, marked); err != nil && !errors.Is(err, fleet.ErrConflict) {
		c.Fatal(err)
	}
	return o.ID
}

// get reads a claim as it is now.
func (c *cafe) get(order string) fleet.ClaimEntry {
	c.Helper()
	e, err := c.shop.Claims().Get(c.Context(), order)
	if err != nil {
		c.Fatal(err)
	}
	return e
}

// poured judges by the plants: so many drinks over all machines, each into a cup
// of its own, and everything at rest on the machines that live.
func (c *cafe) poured(want int) {
	c.Helper()
	got := 0
	for _, s := range c.stations {
		n := s.plant.Counts()
		got += n.Drinks
		if n.InFullCup > 0 {
			c.Errorf("%s poured %d drinks into a cup that had one", s.name, n.InFullCup)
		}
		if on := n.OnNow(); len(on) > 0 && !s.isDead() {
			c.Errorf("%s: %v is on", s.name, on)
		}
		c.mu.Lock()
		hurt := s.hurt
		c.mu.Unlock()
		if len(n.Harm) > 0 && !hurt {
			c.Errorf("%s: harm: %v", s.name, n.Harm)
		}
	}
	if got != want {
		c.Errorf("%d drinks were poured, wanted %d", got, want)
	}
}

// empty waits until the queue holds nothing: every ticket was settled.
func (c *cafe) empty() {
	c.Helper()
	brokertest.Eventually(c, "an empty queue", func() bool {
		list, err := c.shop.Orders().Stored(c.Context())
		return err == nil && len(list) == 0
	})
}

// ended waits for the end of an order and checks what must then be true: an
// empty queue, and exactly one end event, which says the same as the claim.
func (c *cafe) ended(order string, within time.Duration, want fleet.Phase) fleet.ClaimEntry {
	c.Helper()
	e := c.phase(order, within, want)
	c.empty()
	c.said(order, want)
	return e
}

// said checks the end event of an order, which follows the claim.
func (c *cafe) said(order string, want fleet.Phase) {
	c.Helper()
	waitFor(c, "the event of the end", func() bool { return c.has(order, string(want)) })
	var ends []fleet.EventKind
	for _, ev := range c.events(order) {
		if fleet.Phase(ev.Kind).Ended() {
			ends = append(ends, ev.Kind)
			if ev.Outcome != c.get(order).Outcome {
				c.Errorf("the event says %s, the claim %s", ev.Outcome, c.get(order).Outcome)
			}
		}
	}
	if len(ends) != 1 || ends[0] != fleet.EventKind(want) {
		c.Errorf("end events of %s: %v, wanted one: %s", order, ends, want)
	}
}

func (c *cafe) events(order string) []fleet.StoredEvent {
	c.Helper()
	list, err := c.shop.Events().Of(c.Context(), order)
	if err != nil {
		c.Fatal(err)
	}
	return list
}

// has reports whether the order has an event in that slot.
func (c *cafe) has(order, slot string) bool {
	c.Helper()
	return slices.ContainsFunc(c.events(order), func(e fleet.StoredEvent) bool { return e.Slot() == slot })
}

// waitFor waits until ok, at most a minute.
func waitFor(c *cafe, what string, ok func() bool) {
	c.Helper()
	brokertest.Eventually(c, what, ok)
}

// pause lets fake time pass.
func (c *cafe) pause(d time.Duration) {
	c.Helper()
	select {
	case <-time.After(d):
	case <-c.Context().Done():
		c.Fatal("the test is over")
	}
}

// station is one machine with its worker.
type station struct {
	c     *cafe
	name  string
	dir   string
	link  *brokertest.Link
	rig   driver.Rig
	ctl   *mock.Control
	plant *plant.Plant

	// How it is set up; options change it before the start.
	cfg   worker.Config
	mc    machine.Plan
	mock  mock.Config
	drift time.Duration                        // of the broker's clock, as this machine sees it
	at    map[string]func(*station)            // called once, when that point is reached
	lose  map[fleet.Phase]int                  // so many answers to writes of this phase get lost
	fail  func(point string) error             // makes a call fail that did not leave
	wire  func(toBroker bool, p []byte) []byte // filter of the link
	hurt  bool                                 // its metal may come to harm in this test

	w     *worker.Worker
	m     *machine.Machine
	j     *journal.Journal
	ended chan struct{} // closed when the worker's Run has returned
	err   error         // of Run, then
	stop  context.CancelFunc
	shut  func() // ends machine and guard, closes the journal

	*life
}

// life is what can befall a process.
type life struct {
	mu     sync.Mutex
	frozen chan struct{} // closed when it goes on; nil: it goes on
	dead   bool
	mute   bool // its link is silent
	died   chan struct{}
	over   chan struct{} // closed when the test is over
	points map[string]int
	whens  map[string][]time.Time
}

func newLife() *life {
	return &life{died: make(chan struct{}), over: make(chan struct{}), points: map[string]int{}, whens: map[string][]time.Time{}}
}

var errDead = errors.New("this process is dead")

// option sets up a station before it starts.
type option func(*station)

// at has something happen when the machine's process reaches a point for the
// first time. Points: "ticket" (a delivery came), "get", "push" (before a read or
// a write of a claim, while the journal owes an outcome), "update <phase>" and
// "updated <phase>" (before a write, and after it was taken), "beat", "done", "drop", "return", "publish
// <slot>", "on <part>", "off <part>" (before) and "did on <part>", "did off
// <part>" (after).
func at(point string, do func(*station)) option {
	return func(s *station) { s.at[point] = do }
}

// when is at, for a process that runs.
func (s *station) when(point string, do func(*station)) {
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	s.at[point] = do
}

// answerLost has the first write of a phase be taken and its answer get lost.
func answerLost(p fleet.Phase) option { return func(s *station) { s.lose[p] = 1 } }

// cups says how cups come, and how the machine knows.
func cups(kind machine.Cup, who string) option {
	return func(s *station) { s.mc.Cup, s.cfg.Cup, s.mock.Cups = kind, string(kind), who }
}

// station sets a machine up and does not start it.
func (c *cafe) station(name string, opts ...option) *station {
	c.Helper()
	s := &station{
		c: c, name: name, dir: c.TempDir(), at: map[string]func(*station){}, lose: map[fleet.Phase]int{},
		cfg: worker.Config{
			Name: name, Driver: "mock", Cup: string(machine.CupSensor), Classes: []fleet.Class{black}, Sizes: fleet.Sizes,
			Boot: "boot-1", Menu: fleet.DefaultMenu(),
		},
		mc:   machine.Plan{Name: name, Cup: machine.CupSensor, Calibration: recipe.DefaultCalibration()},
		mock: mock.Config{Cups: "auto"},
	}
	for _, o := range opts {
		o(s)
	}
	rig, ctl, err := mock.Open(s.mock)
	if err != nil {
		c.Fatal(err)
	}
	s.rig, s.ctl, s.plant = rig, ctl, ctl.Plant()
	c.stations = append(c.stations, s)
	return s
}

// start sets a machine up and runs it.
func (c *cafe) start(name string, opts ...option) *station {
	c.Helper()
	s := c.station(name, opts...)
	s.run()
	return s
}

// run starts the process: for the first time, or again after its death, with the
// metal and the journal as they are.
func (s *station) run() {
	s.c.Helper()
	if s.life != nil {
		s.close()
	}
	s.life = newLife()
	s.link = s.c.b.Link()
	s.link.Filter = s.wire
	conn := s.c.b.ConnectOver(s.name, dialer{s.life, s.link})

	rig := s.rig
	rig.Outputs = map[driver.Part]driver.Wire{}
	for part, wire := range s.rig.Outputs {
		wire.Output = &output{s, s.life, part, wire.Output}
		rig.Outputs[part] = wire
	}
	rig.Close = func() error { return nil } // the metal outlives the process
	plan := s.mc
	plan.Guard.Parts = map[driver.Part]guard.Limits{driver.Grinder: {Rest: 5 * time.Second}}
	plan = plan.Of(rig)
	g, err := guard.New(rig, plan.Guard)
	if err != nil {
		s.c.Fatal(err)
	}
	if s.j, err = journal.Open(filepath.Join(s.dir, "journal"), "mock"); err != nil {
		s.c.Fatal(err)
	}
	if s.m, err = machine.New(g, s.j, plan, machine.Config{}); err != nil {
		s.c.Fatal(err)
	}
	p := ports{s, s.life}
	s.w, err = worker.New(worker.Parts{
		Claims: claims{p, conn.Claims()}, Events: events{p, conn.Events()}, Tickets: tickets{p, conn.Tickets()},
		Settings: settings{p, conn.Settings()}, Fleet: presence{p, conn.Fleet()}, Server: server{p, conn.Server()},
		Machine: s.m, Log: slog.New(slog.NewTextHandler(pen{s}, &slog.HandlerOptions{ReplaceAttr: noTime})),
	}, s.cfg)
	if err != nil {
		s.c.Fatal(err)
	}
	gctx, gstop := context.WithCancel(context.Background())
	mctx, mstop := context.WithCancel(context.Background())
	wctx, wstop := context.WithCancel(context.Background())
	var guarding, running sync.WaitGroup
	guarding.Go(func() { _ = g.Run(gctx) })
	running.Go(func() { _ = s.m.Run(mctx) })
	ended := make(chan struct{})
	panicked := false
	s.ended, s.stop = ended, wstop
	go func() {
		defer close(ended)
		defer func() {
			if r := recover(); r != nil {
				s.c.Errorf("the worker of %s panicked: %v\n%s", s.name, r, debug.Stack())
				panicked = true
			}
		}()
		s.err = s.w.Run(wctx)
	}()
	j := s.j
	s.shut = sync.OnceFunc(func() {
		wstop()
		if <-ended; panicked {
			<-time.After(time.Minute) // what it left behind ends by itself
		}
		mstop()
		running.Wait()
		gstop()
		guarding.Wait()
		_ = j.Close()
		conn.Close()
	})
}

// close ends what is left of the process. A dead one is let go first: it hears
// errors from everything, and can do no more harm to what was judged.
func (s *station) close() {
	if s.life == nil {
		return
	}
	s.life.mu.Lock()
	select {
	case <-s.over:
	default:
		close(s.over)
	}
	s.life.mu.Unlock()
	s.shut()
}

// die ends the process for good: nothing that it calls from now on comes back,
// its link is cut, its journal is as it was. The metal keeps what is on, on.
func (s *station) die() {
	s.life.mu.Lock()
	if s.dead {
		s.life.mu.Unlock()
		return
	}
	s.dead = true
	close(s.died)
	s.life.mu.Unlock()
	s.c.note(s.name, "DIES")
	s.c.mu.Lock()
	s.hurt = true // a pump that nobody switches off runs dry
	s.c.mu.Unlock()
	_ = s.j.Close()
	s.link.Cut(true)
}

func (s *station) isDead() bool {
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	return s.dead
}

// freeze stops the process, as SIGSTOP does, until thaw.
func (s *station) freeze() {
	s.c.note(s.name, "STOPPED")
	s.life.mu.Lock()
	s.frozen = make(chan struct{})
	s.life.mu.Unlock()
}

func (s *station) thaw() {
	s.c.note(s.name, "GOES ON")
	s.life.mu.Lock()
	close(s.frozen)
	s.frozen = nil
	s.life.mu.Unlock()
}

// silent holds back what the machine sends and hears.
func (s *station) silent() {
	s.c.note(s.name, "SILENT")
	s.life.mu.Lock()
	s.mute = true
	s.life.mu.Unlock()
	s.link.Silence(true)
}

func (s *station) heard() {
	s.c.note(s.name, "HEARD AGAIN")
	s.life.mu.Lock()
	s.mute = false
	s.life.mu.Unlock()
	s.link.Silence(false)
}

// dialer refuses new connections over a silent link at once. The client dials
// under its lock; whoever waits for a lock keeps fake time from passing, so a
// dial that hangs would hang the test.
type dialer struct {
	l    *life
	link *brokertest.Link
}

func (d dialer) InProcessConn() (net.Conn, error) {
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	if d.l.mute {
		return nil, os.ErrDeadlineExceeded
	}
	return d.link.InProcessConn()
}

// count is how often a point was reached.
func (s *station) count(point string) int {
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	return s.points[point]
}

// since is when a point was reached for the last time.
func (s *station) last(point string) time.Time {
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	if w := s.whens[point]; len(w) > 0 {
		return w[len(w)-1]
	}
	return time.Time{}
}

// reached waits until a point was reached n times.
func (s *station) reached(point string, n int) {
	s.c.Helper()
	brokertest.Eventually(s.c, s.name+" at "+point, func() bool { return s.count(point) >= n })
}

// edges are what the metal was told.
func (s *station) edges() int { return s.plant.Counts().Edges }

// state is what the worker says of itself.
func (s *station) state() fleet.State {
	p, _ := s.w.Presence()
	return p.State
}

// pass is what every call of the process goes through: it does not come back
// while the process is stopped or dead.
func (s *station) pass(l *life, point string) error {
	if point != "" {
		s.c.note(s.name, "%s", point)
		l.mu.Lock()
		l.points[point]++
		l.whens[point] = append(l.whens[point], time.Now())
		do := s.at[point]
		if s.life == l {
			delete(s.at, point)
		}
		l.mu.Unlock()
		if do != nil && s.life == l {
			do(s)
		}
	}
	for {
		l.mu.Lock()
		frozen, dead := l.frozen, l.dead
		l.mu.Unlock()
		switch {
		case dead:
			<-l.over
			return errDead
		case frozen != nil:
			select {
			case <-frozen:
			case <-l.over:
				return errDead
			}
		default:
			if s.fail != nil {
				return s.fail(point)
			}
			return nil
		}
	}
}

// ports are the doors of a process; the types below are one door each.
type ports struct {
	s *station
	l *life
}

func (p ports) pass(format string, args ...any) error {
	return p.s.pass(p.l, fmt.Sprintf(format, args...))
}

// claims also checks who writes what.
type claims struct {
	ports
	in fleet.Claims
}

func (x claims) seen(e fleet.ClaimEntry) fleet.ClaimEntry {
	e.Created = e.Created.Add(x.s.drift)
	if e.Avoid != nil {
		a := *e.Avoid
		a.Until = a.Until.Add(x.s.drift)
		e.Avoid = &a
	}
	return e
}

func (x claims) Create(ctx context.Context, c fleet.Claim) (fleet.ClaimEntry, error) {
	x.s.c.Errorf("%s creates a claim", x.s.name)
	return fleet.ClaimEntry{}, errDead
}

// pushes notes that an outcome of the journal is on its way.
func (x claims) pushes() error {
	if len(x.s.j.Unconfirmed()) == 0 {
		return nil
	}
	return x.pass("push")
}

func (x claims) Get(ctx context.Context, order string) (fleet.ClaimEntry, error) {
	if err := errors.Join(x.pushes(), x.pass("get")); err != nil {
		return fleet.ClaimEntry{}, err
	}
	e, err := x.in.Get(ctx, order)
	if late := x.pass(""); late != nil {
		return fleet.ClaimEntry{}, late
	}
	return x.seen(e), err
}

func (x claims) Update(ctx context.Context, read fleet.ClaimEntry, c fleet.Claim) (fleet.ClaimEntry, error) {
	if err := errors.Join(x.pushes(), x.pass("update %s", c.Phase)); err != nil {
		return fleet.ClaimEntry{}, err
	}
	if c.Avoid != nil {
		a := *c.Avoid
		a.Until = a.Until.Add(-x.s.drift)
		c.Avoid = &a
	}
	e, err := x.in.Update(ctx, read, c)
	if err == nil {
		x.judge(read, c)
		if late := x.pass("updated %s", c.Phase); late != nil {
			return fleet.ClaimEntry{}, late
		}
		x.l.mu.Lock()
		lost := x.s.lose[c.Phase] > 0
		x.s.lose[c.Phase]--
		x.l.mu.Unlock()
		if lost {
			x.s.c.note(x.s.name, "ANSWER LOST")
			return fleet.ClaimEntry{}, fleet.ErrNoAnswer
		}
	} else {
		x.s.c.note(x.s.name, "refused: %v", err)
		if late := x.pass(""); late != nil {
			return fleet.ClaimEntry{}, late
		}
	}
	return x.seen(e), err
}

// judge refuses what no machine may write: an outcome of somebody else's start,
// but for unknown; a fence of somebody else's claim.
func (x claims) judge(read fleet.ClaimEntry, c fleet.Claim) {
	x.s.c.note(x.s.name, "wrote %s e%d over %s e%d", c.Phase, c.Epoch, read.Phase, read.Epoch)
	mine := read.Machine() == x.s.name
	switch {
	case read.Phase == fleet.Accepted && c.Phase == fleet.Claimed && c.Machine() == x.s.name:
	case read.Phase == fleet.Claimed && c.Phase == fleet.Accepted: // released
	case c.Phase == fleet.Unknown:
	case mine && (c.Phase == fleet.Brewing || c.Phase == fleet.Served || c.Phase == fleet.Failed || c.Phase == fleet.Accepted):
	default:
		x.s.c.Errorf("%s wrote %s over %s of %s", x.s.name, c.Phase, read.Phase, read.Machine())
	}
	if !mine && (c.Outcome == fleet.Made || len(c.Past) > len(read.Past) && read.Phase != fleet.Claimed) {
		x.s.c.Errorf("%s wrote an outcome of %s", x.s.name, read.Machine())
	}
}

func (x claims) Watch(ctx context.Context, each func(fleet.ClaimEntry), ready func()) error {
	return x.in.Watch(ctx, each, ready)
}

func (x claims) Now(ctx context.Context) (time.Time, error) {
	if err := x.pass(""); err != nil {
		return time.Time{}, err
	}
	now, err := x.in.Now(ctx)
	if late := x.pass(""); late != nil {
		return time.Time{}, late
	}
	return now.Add(x.s.drift), err
}

func (x claims) Purge(context.Context, string) error {
	x.s.c.Errorf("%s purges a claim", x.s.name)
	return errDead
}

type events struct {
	ports
	in fleet.Events
}

func (x events) Publish(ctx context.Context, e fleet.Event) error {
	if err := x.pass("publish %s", e.Slot()); err != nil {
		return err
	}
	err := x.in.Publish(ctx, e)
	if late := x.pass(""); late != nil {
		return late
	}
	return err
}

func (x events) Live(e fleet.Event) {
	if x.pass("") == nil {
		x.in.Live(e)
	}
}

func (x events) Of(ctx context.Context, order string) ([]fleet.StoredEvent, error) {
	return x.in.Of(ctx, order)
}

func (x events) Follow(ctx context.Context, from uint64, each func(fleet.StoredEvent), ready func()) error {
	return x.in.Follow(ctx, from, each, ready)
}

func (x events) FollowLive(ctx context.Context, each func(fleet.StoredEvent)) error {
	return x.in.FollowLive(ctx, each)
}

type tickets struct {
	ports
	in fleet.Tickets
}

func (x tickets) Next(ctx context.Context, classes []fleet.Class, minWaiting int) (*fleet.Ticket, error) {
	if err := x.pass("next"); err != nil {
		return nil, err
	}
	t, err := x.in.Next(ctx, classes, minWaiting)
	if err != nil {
		if late := x.pass(""); late != nil {
			return nil, late
		}
		return nil, err
	}
	t.Settlement = settlement{x.ports, t.Settlement, make(chan struct{}, 1)}
	t.Stored = t.Stored.Add(x.s.drift)
	if late := x.pass("ticket"); late != nil {
		return nil, late
	}
	return t, nil
}

// settlement lets one call in at a time. The real one does so by a lock that it
// holds over its request; whoever waits for a lock keeps fake time from passing,
// so the test waits before it, on a channel.
type settlement struct {
	ports
	in   fleet.Settlement
	turn chan struct{}
}

// say does one call of a settlement.
func (x settlement) say(point string, do func() error) error {
	if err := x.s.pass(x.l, point); err != nil {
		return err
	}
	x.turn <- struct{}{}
	err := do()
	<-x.turn
	if err != nil {
		x.s.c.note(x.s.name, "%s: %v", point, err)
	}
	if late := x.pass(""); late != nil {
		return late
	}
	return err
}

func (x settlement) Beat() error { return x.say("beat", x.in.Beat) }

func (x settlement) Done(ctx context.Context) error {
	return x.say("done", func() error { return x.in.Done(ctx) })
}

func (x settlement) Terminate(ctx context.Context, reason string, ended bool) error {
	return x.say("drop", func() error { return x.in.Terminate(ctx, reason, ended) })
}

func (x settlement) Return(ctx context.Context, after time.Duration) error {
	x.s.c.note(x.s.name, "returns after %v", after)
	return x.say("return", func() error { return x.in.Return(ctx, after) })
}

type settings struct {
	ports
	in fleet.Settings
}

func (x settings) Get(ctx context.Context, key string) ([]byte, error) { return x.in.Get(ctx, key) }
func (x settings) Put(ctx context.Context, key string, v []byte) error {
	x.s.c.Errorf("%s writes the setting %s", x.s.name, key)
	return errDead
}
func (x settings) Delete(ctx context.Context, key string) error { return x.Put(ctx, key, nil) }
func (x settings) Watch(ctx context.Context, each func(string, []byte), ready func()) error {
	return x.in.Watch(ctx, func(k string, v []byte) {
		if x.pass("") == nil {
			each(k, v)
		}
	}, ready)
}

type presence struct {
	ports
	in fleet.Fleet
}

func (x presence) Announce(ctx context.Context, p fleet.Presence) error {
	if err := x.pass(""); err != nil {
		return err
	}
	return x.in.Announce(ctx, p)
}

func (x presence) Leave(ctx context.Context, name string) error {
	if err := x.pass("leave"); err != nil {
		return err
	}
	return x.in.Leave(ctx, name)
}

func (x presence) Present(ctx context.Context) ([]fleet.Presence, error) {
	if err := x.pass(""); err != nil {
		return nil, err
	}
	list, err := x.in.Present(ctx)
	if late := x.pass(""); late != nil {
		return nil, late
	}
	return list, err
}

func (x presence) Watch(ctx context.Context, each func(fleet.Presence, bool), ready func()) error {
	return x.in.Watch(ctx, each, ready)
}

type server struct {
	ports
	in fleet.Server
}

func (x server) Serve(ctx context.Context, subject string, shared bool, answer func(context.Context, string, []byte) []byte) error {
	return x.in.Serve(ctx, subject, shared, func(ctx context.Context, subject string, b []byte) []byte {
		if x.pass("command") != nil {
			return nil
		}
		return answer(ctx, subject, b)
	})
}

// output is a relay that a dead process can't switch.
type output struct {
	s    *station
	l    *life
	part driver.Part
	in   driver.Output
}

func (o *output) On(atMost time.Duration) error {
	return o.do("on", func() error { return o.in.On(atMost) })
}

func (o *output) Off() error { return o.do("off", o.in.Off) }

func (o *output) do(what string, tell func() error) error {
	if err := o.s.pass(o.l, what+" "+string(o.part)); err != nil {
		return err
	}
	if err := tell(); err != nil {
		return err
	}
	return o.s.pass(o.l, "did "+what+" "+string(o.part))
}

// pen writes the worker's log into the diary.
type pen struct{ s *station }

func (p pen) Write(b []byte) (int, error) {
	p.s.c.note(p.s.name, "log: %s", strings.TrimSpace(string(b)))
	return len(b), nil
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "machine" {
		return slog.Attr{}
	}
	return a
}
