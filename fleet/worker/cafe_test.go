package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// cafe is a shop under fake time: the real broker, a desk or more, and as many
// machines as the test starts, each with its own link, journal, guard and plant.
// The plants are the judges: they count what flowed and believe nobody. What the
// controller does with an order, the cafe does.
type cafe struct {
	*testing.T
	b      *brokertest.Broker
	lock   *lock // nil: there are no keys
	shop   *queue.Conn
	born   time.Time
	acting chan struct{} // holds a token: whoever has it may write an act

	mu       sync.Mutex
	seen     map[string][]fleet.Entry // every record of an order
	at       map[string]int           // how far wait has read in it
	lastAct  uint64                   // the last act in the book
	told     []fleet.Event            // by desks, of what no record tells
	news     chan struct{}            // closed when seen grows
	turns    atomic.Bool              // the desk tells which classes wait, and for how long
	noRemake bool                     // nothing is made again
	shut     map[string]bool          // orders for which the shop is closed
	stations []*station
	desks    []*counter
	diary    []string // what was called, for a failed test
}

// open runs a test in a cafe. When it fails, the diary says what was called.
func open(t *testing.T, f func(c *cafe)) { openOn(t, brokertest.InBubble, f) }

// openLocked is open behind keys and accounts: each of the machines has a key.
func openLocked(t *testing.T, machines []string, f func(c *cafe)) {
	l := newLock(t, machines)
	bubble := func(t *testing.T, f func(*testing.T, *brokertest.Broker)) { brokertest.InLockedBubble(t, l, f) }
	openOn(t, bubble, func(c *cafe) { c.lock = l; f(c) })
}

func openOn(t *testing.T, bubble func(*testing.T, func(*testing.T, *brokertest.Broker)), f func(c *cafe)) {
	t.Helper()
	// The client pools timers for the whole process (Flush takes one, and every
	// service that ends flushes), and one from an earlier bubble ends the program
	// in the next. Two collections empty a sync.Pool.
	runtime.GC()
	runtime.GC()
	bubble(t, func(t *testing.T, b *brokertest.Broker) {
		c := &cafe{T: t, b: b, shop: b.Connect("shop"), born: time.Now(), acting: make(chan struct{}, 1), seen: map[string][]fleet.Entry{}, at: map[string]int{}, shut: map[string]bool{}, news: make(chan struct{})}
		c.acting <- struct{}{}
		ctx, stop := context.WithCancel(context.Background())
		var following sync.WaitGroup
		following.Go(func() {
			_ = c.shop.Book().Follow(ctx, 1, func(r fleet.Record) {
				if c.see(r); r.IsClaim && r.Phase == fleet.Again && !c.noRemake {
					following.Go(func() { c.remake(r.Entry) })
				}
			}, nil)
		})
		c.desk("desk")
		t.Cleanup(func() {
			for _, s := range slices.Backward(c.stations) {
				s.close()
			}
			for _, d := range c.desks {
				d.close()
			}
			stop()
			following.Wait()
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

// see takes every record and checks that an end is final.
func (c *cafe) see(r fleet.Record) {
	e := r.Entry
	if r.IsClaim {
		c.note("book", "%d: %s %s e%d %s %s %s", e.Seq, e.Order.ID[20:], e.Phase, e.Epoch, e.Machine(), e.Outcome, e.Reason.Text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Act {
		c.lastAct = max(c.lastAct, r.Seq)
	}
	past := c.seen[e.Order.ID]
	if n := len(past); n > 0 && r.IsClaim {
		was := past[n-1]
		if was.Phase.Ended() {
			c.Errorf("%s ended as %s and became %s", e.Order.ID, was.Phase, e.Phase)
		}
		if e.Epoch < was.Epoch {
			c.Errorf("%s went back from epoch %d to %d", e.Order.ID, was.Epoch, e.Epoch)
		}
	}
	if r.IsClaim {
		c.seen[e.Order.ID] = append(past, e)
	}
	close(c.news)
	c.news = make(chan struct{})
}

// act writes an act as the controller does, behind all others.
func (c *cafe) act(claim fleet.Claim) (fleet.Entry, error) {
	<-c.acting
	defer func() { c.acting <- struct{}{} }()
	e := fleet.Entry{Claim: claim}
	c.mu.Lock()
	last := c.lastAct
	c.mu.Unlock()
	var err error
	e.Revision, err = c.shop.Book().Act(c.Context(), fleet.Record{Entry: e, IsClaim: true}, last)
	c.mu.Lock()
	c.lastAct = max(c.lastAct, e.Seq)
	c.mu.Unlock()
	return e, err
}

// remake reserves anew for an order that shall be made again.
func (c *cafe) remake(e fleet.Entry) {
	next, err := e.Remake()
	if err == nil {
		_, err = c.act(next)
	}
	if err != nil && c.Context().Err() == nil {
		c.Errorf("%s is not made again: %v", e.Order.ID, err)
	}
}

// write takes a step of a claim that some controller or former machine took.
func (c *cafe) write(e fleet.Entry, next fleet.Claim, err error) fleet.Entry {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
	now, err := c.shop.Book().Next(c.Context(), e.Revision, next)
	if err != nil {
		c.Fatal(err)
	}
	return now
}

// publish puts an order into the queue under a message's id.
func (c *cafe) publish(e fleet.Entry, messageID string) {
	c.Helper()
	if err := c.shop.Orders().Publish(c.Context(), e, messageID); err != nil {
		c.Fatal(err)
	}
}

// wait reads the revisions of a claim, from the one that it found last time, until
// one satisfies ok; it waits at most so long.
func (c *cafe) wait(order string, within time.Duration, what string, ok func(fleet.Entry) bool) fleet.Entry {
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
func (c *cafe) phase(order string, within time.Duration, p fleet.Phase) fleet.Entry {
	c.Helper()
	return c.wait(order, within, string(p), func(e fleet.Entry) bool { return e.Phase == p })
}

// taken waits until the machine has the order in that phase.
func (c *cafe) taken(order string, within time.Duration, p fleet.Phase, by *station) fleet.Entry {
	c.Helper()
	return c.wait(order, within, string(p)+" by "+by.name, func(e fleet.Entry) bool { return e.Phase == p && e.Machine() == by.name })
}

// orderN is an order of its own for each number: a small black coffee.
func orderN(n int) fleet.Order {
	return fleet.Order{ID: fmt.Sprintf("01JD%022d", n), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
}

// claimOf is what the controller writes first.
func claimOf(o fleet.Order) fleet.Claim {
	portion, _ := fleet.DefaultMenu().Portion(o)
	return fleet.Create(o, portion, fleet.Success(o.ID), "request")
}

// create does the first half of what the controller does.
func (c *cafe) create(o fleet.Order) fleet.Entry {
	c.Helper()
	e, err := c.act(claimOf(o))
	if err != nil {
		c.Fatal(err)
	}
	return e
}

// order does what the controller does: the create, the message.
func (c *cafe) order(o fleet.Order) string {
	c.Helper()
	c.publish(c.create(o), o.ID)
	return o.ID
}

// orderAnew does the same as a sweep does: the message has an id of its own, so
// that a machine reads the claim first.
func (c *cafe) orderAnew(o fleet.Order) string {
	c.Helper()
	c.publish(c.create(o), o.ID+"#s1")
	return o.ID
}

// get reads a claim as it is now.
func (c *cafe) get(order string) fleet.Entry {
	c.Helper()
	e, err := c.shop.Book().Read(c.Context(), order)
	if err != nil {
		c.Fatal(err)
	}
	return e
}

// records are those of an order so far.
func (c *cafe) records(order string) []fleet.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen[order])
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
func (c *cafe) ended(order string, within time.Duration, want fleet.Phase) fleet.Entry {
	c.Helper()
	e := c.phase(order, within, want)
	c.empty()
	c.said(order, want)
	return e
}

// said checks what the world outside is told of the end of an order.
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

// events are what a herald tells of the order's records, and what the desks told
// of what no record says.
func (c *cafe) events(order string) (out []fleet.Event) {
	for _, e := range c.records(order) {
		out = append(out, e.Events()...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ev := range c.told {
		if ev.Order == order {
			out = append(out, ev)
		}
	}
	return out
}

// has reports whether the order has an event in that slot.
func (c *cafe) has(order, slot string) bool {
	return slices.ContainsFunc(c.events(order), func(e fleet.Event) bool { return e.Slot() == slot })
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
	conn  *queue.Conn
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
	later bool                                 // a customer brings his cup when the machine has claimed his order
	wire  func(toBroker bool, p []byte) []byte // filter of the link
	pace  time.Duration                        // what the shop is to hear from it again in; 0: as the desk says
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
// first time. Points: "ticket" (a delivery came), "get" (before a claim is read),
// "push" (before any request about a claim, while the journal owes an outcome),
// "update <phase>" and "updated <phase>" (before a desk is asked for it, and after
// it was told as done), "poison", "beat", "done", "drop", "return", "on <part>",
// "off <part>" (before) and "did on <part>", "did off <part>" (after).
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

// lateCup has each customer bring his cup two seconds after the machine has claimed
// his order and waits for one. Without it the fence is all that is written.
func lateCup(s *station) { cups(machine.CupSensor, "hand")(s); s.later = true }

// both is two options in one.
func both(opts ...option) option {
	return func(s *station) {
		for _, o := range opts {
			o(s)
		}
	}
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
	if s.mock.Cups == "auto" {
		s.plant.PlaceCup() // the first customer is early
	}
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
	s.link.Filter = s.listen
	conn := s.c.b.ConnectOver(s.name, dialer{s.life, s.link})
	s.conn = conn

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
	if s.j, err = journal.Open(filepath.Join(s.dir, "journal"), driver.Identity{Kind: "mock"}, guard.Place{}); err != nil {
		s.c.Fatal(err)
	}
	if s.m, err = machine.New(g, s.j, plan, machine.Config{}); err != nil {
		s.c.Fatal(err)
	}
	p := ports{s, s.life}
	s.w, err = worker.New(worker.Parts{
		Desk: asks{p, worker.NewDesk(conn.Requester(), s.name, nil)}, Live: live{p, conn.Events()}, Tickets: tickets{p, conn.Tickets()}, Server: server{p, conn.Server()},
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

// mayPublish is all that a machine may send to the broker: requests for orders and
// their acks, requests to a desk, what passes at it, answers to commands.
func (s *station) mayPublish(subject string) bool {
	for _, p := range []string{"$JS.API.CONSUMER.MSG.NEXT.", "$JS.ACK.", "$JS.NIX.", "coffee.desk." + s.name + ".", "coffee.live." + s.name + ".", "_INBOX", "_R_."} {
		if strings.HasPrefix(subject, p) {
			return true
		}
	}
	return false
}

var publishes = regexp.MustCompile(`(?m)^H?PUB (\S+)`)

// listen is the filter of the machine's link: it hears what the machine publishes.
func (s *station) listen(toBroker bool, p []byte) []byte {
	if s.wire != nil {
		p = s.wire(toBroker, p)
	}
	if toBroker {
		for _, m := range publishes.FindAllSubmatch(p, -1) {
			if !s.mayPublish(string(m[1])) {
				s.c.Errorf("%s publishes on %s", s.name, m[1])
			}
		}
	}
	return p
}

// asks is the door to the desks. It also checks who has what written.
type asks struct {
	ports
	in fleet.Desk
}

// seen is what a machine would see of an entry if its clock were off.
func (x asks) seen(e fleet.Entry) fleet.Entry {
	e.Written = e.Written.Add(x.s.drift)
	if e.Avoid != nil {
		a := *e.Avoid
		a.Until = a.Until.Add(x.s.drift)
		e.Avoid = &a
	}
	return e
}

// pushes notes that an outcome of the journal is on its way.
func (x asks) pushes() error {
	if len(x.s.j.Unconfirmed()) == 0 {
		return nil
	}
	return x.pass("push")
}

func (x asks) Take(ctx context.Context, order string) (fleet.Told, error) {
	if err := errors.Join(x.pushes(), x.pass("get")); err != nil {
		return fleet.Told{}, err
	}
	t, err := x.in.Take(ctx, order)
	if late := x.pass(""); late != nil {
		return fleet.Told{}, late
	}
	t.Entry = x.seen(t.Entry)
	return t, err
}

// wanted is the phase that a request asks for.
func wanted(verb string, a fleet.Ask) fleet.Phase {
	switch verb {
	case fleet.DeskClaim:
		return fleet.Claimed
	case fleet.DeskFence:
		return fleet.Brewing
	case fleet.DeskRelease:
		return fleet.Accepted
	case fleet.DeskEnd:
		return map[fleet.Outcome]fleet.Phase{fleet.Made: fleet.Served, fleet.Spoiled: fleet.Again, fleet.Untouched: fleet.Accepted}[a.Outcome]
	}
	return fleet.Unknown
}

func (x asks) Ask(ctx context.Context, verb string, read fleet.Entry, a fleet.Ask) (fleet.Entry, error) {
	want := wanted(verb, a)
	if err := errors.Join(x.pushes(), x.pass("update %s", want)); err != nil {
		return fleet.Entry{}, err
	}
	if verb == fleet.DeskClaim && x.s.later {
		time.AfterFunc(time.Second, func() {
			x.s.plant.TakeCup() // of the customer before
			time.AfterFunc(time.Second, x.s.plant.PlaceCup)
		})
	}
	e, err := x.in.Ask(ctx, verb, read, a)
	if err == nil {
		x.judge(read, e.Claim)
		if late := x.pass("updated %s", e.Phase); late != nil {
			return fleet.Entry{}, late
		}
		x.l.mu.Lock()
		lost := x.s.lose[e.Phase] > 0
		x.s.lose[e.Phase]--
		x.l.mu.Unlock()
		if lost {
			x.s.c.note(x.s.name, "ANSWER LOST")
			return fleet.Entry{}, fleet.ErrNoAnswer
		}
	} else {
		x.s.c.note(x.s.name, "not done: %v", err)
		if late := x.pass(""); late != nil {
			return fleet.Entry{}, late
		}
	}
	return x.seen(e), err
}

// judge refuses what no machine may have written: an outcome of somebody else's
// start, but for unknown; a fence of somebody else's claim.
func (x asks) judge(read fleet.Entry, c fleet.Claim) {
	x.s.c.note(x.s.name, "had %s e%d written over %s e%d", c.Phase, c.Epoch, read.Phase, read.Epoch)
	mine := read.Machine() == x.s.name
	switch {
	case read.Phase == fleet.Accepted && (c.Phase == fleet.Claimed || c.Phase == fleet.Brewing) && c.Machine() == x.s.name:
	case read.Phase == fleet.Claimed && c.Phase == fleet.Accepted: // released
	case c.Phase == fleet.Unknown:
	case mine && (c.Phase == fleet.Brewing || c.Phase == fleet.Served || c.Phase == fleet.Failed || c.Phase == fleet.Accepted || c.Phase == fleet.Again):
	default:
		x.s.c.Errorf("%s had %s written over %s of %s", x.s.name, c.Phase, read.Phase, read.Machine())
	}
	if !mine && (c.Outcome == fleet.Made || len(c.Past) > len(read.Past) && read.Phase != fleet.Claimed) {
		x.s.c.Errorf("%s had an outcome of %s written", x.s.name, read.Machine())
	}
}

func (x asks) Announce(ctx context.Context, p fleet.Presence) (fleet.Word, error) {
	if err := x.pass(""); err != nil {
		return fleet.Word{}, err
	}
	word, err := x.in.Announce(ctx, p)
	if x.s.pace > 0 {
		word.Again = x.s.pace
	}
	if late := x.pass(""); late != nil {
		return fleet.Word{}, late
	}
	return word, err
}

func (x asks) Leave(ctx context.Context) error {
	if err := x.pass("leave"); err != nil {
		return err
	}
	return x.in.Leave(ctx)
}

func (x asks) Poison(ctx context.Context, p fleet.Poison) error {
	if err := x.pass("poison"); err != nil {
		return err
	}
	err := x.in.Poison(ctx, p)
	if late := x.pass(""); late != nil {
		return late
	}
	return err
}

type live struct {
	ports
	in fleet.Events
}

func (x live) Live(e fleet.Event) {
	if x.pass("live %s", e.Slot()) == nil {
		x.in.Live(e)
	}
}

type tickets struct {
	ports
	in fleet.Tickets
}

func (x tickets) Next(ctx context.Context, classes []fleet.Class, wanted func() bool, first ...fleet.Class) (*fleet.Ticket, error) {
	if err := x.pass("next"); err != nil {
		return nil, err
	}
	t, err := x.in.Next(ctx, classes, wanted, first...)
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
