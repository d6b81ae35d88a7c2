package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"

	"barista/configs"
	kindmock "barista/configs/kinds/mock"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/queue"
	"barista/machine"
)

var (
	benchOrders = flag.Bool("bench-orders", false, "TestBench measures, for minutes")
	benchRounds = flag.Int("bench-rounds", 5, "`N` rounds of TestBench")
	benchSlot   = flag.Duration("bench-slot", 2*time.Second, "how long TestBench measures one thing at a stretch")
	benchShop   = flag.String("bench-shop", "", "only for TestBench itself: `NAME:DIR` of the shop that this process is")
)

// What is measured, and the aims.
const (
	openRate   = 20 // orders per second in the slots that measure latency
	quietBelow = 40 // percent of a core that other programs may use in a round that counts

	aimRSS  = 20.0 // MiB of an idle machine's process
	aimAnon = 6.0  // MiB of it anonymous
	aimIdle = 0.1  // percent of a core
)

// aim is what barista may cost of what a bare loop costs, by each list; 0: nothing
// is aimed at.
type aim struct{ old, new float64 }

var (
	aimRelay  = aim{0.7, 1.3} // of the median from the call to the first relay
	aimCPU    = aim{0.7, 1.6} // of the CPU of an order
	aimRate   = aim{1.5, 0}   // at least, of the orders per second
	aimServed = aim{}
)

// contender is one way to bring an order to its cup.
type contender struct {
	name   string
	list   []write
	filled uint64 // records in the book before the first order
	// shop opens the shop alone, reachable over TCP.
	shop func(ctx context.Context, dir string) (*party, error)
	// open opens the machines: with the shop around them in this process, or, if
	// there is an url, alone.
	open func(ctx context.Context, dir, url string, machines int, w *watch) (*party, error)
	// call is a customer's call; nil means that the order is accepted.
	call func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, body []byte) error
}

// party is what a contender has opened.
type party struct {
	in      nats.InProcessConnProvider // the shop's broker, if it is in this process
	url     string                     // else where it is
	run     func(context.Context) error
	journal func() map[string]int // records written since the opening
	drinks  func() (int, error)   // poured, by the plants' count; nil: relays count
	latched func() string         // a machine that the guard has latched, and why; may be nil
}

func contenders() []contender {
	return []contender{baristaContender(), bareContender(byOldList, oldWrites), bareContender(byNewList, newWrites), bareContender(byMinimum, minimalWrites)}
}

// setting is where the machines are.
type setting struct {
	tcp      bool
	machines int
}

func (s setting) String() string {
	where := "embedded"
	if s.tcp {
		where = "over TCP"
	}
	return fmt.Sprintf("%s, %d machine%s", where, s.machines, strings.Repeat("s", min(1, s.machines-1)))
}

var settings = []setting{{false, 1}, {false, 5}, {true, 1}, {true, 5}}

// TestBench compares barista with two bare loops, one that does the durable writes
// of an order as they were before there was the book, one as they are, in one run,
// in turn, round by round; ratios are taken inside a round. It fails on lost or
// doubled orders and on another list of writes, never on time.
func TestBench(t *testing.T) {
	if !*benchOrders {
		t.Skip("measures for minutes; make bench runs it")
	}
	b := &bench{t: t, ctx: t.Context(), results: map[setting]map[string]*result{}}
	for _, s := range settings {
		b.results[s] = map[string]*result{}
		for _, c := range contenders() {
			b.results[s][c.name] = &result{stored: map[string]int{}, bytes: map[string]uint64{}}
		}
	}
	for round := range *benchRounds {
		b.disk = append(b.disk, fdatasync(t)...)
		for _, s := range settings {
			turn := contenders()
			for range round { // nobody is always first
				turn = append(turn[1:], turn[0])
			}
			for _, c := range turn {
				tries := 0
				for !b.measure(round, s, c) {
					if tries++; tries == 3 {
						t.Fatalf("%s, %s: disturbed three times, this computer is too busy", c.name, s)
					}
				}
			}
		}
	}
	idle := b.idle()
	b.print(os.Stdout, idle)
}

// TestBenchShop is the shop's process where the machines are reached over TCP.
func TestBenchShop(t *testing.T) {
	name, dir, ok := strings.Cut(*benchShop, ":")
	if !ok {
		t.Skip("only TestBench starts it")
	}
	together := baristaContender()
	together.name, together.shop = "barista with machines", shopWithMachines
	for _, c := range append(contenders(), together) {
		if c.name != name {
			continue
		}
		p, err := c.shop(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(p.url)
		if err := p.run(untilStdinEnds(t)); err != nil {
			t.Error(err)
		}
	}
}

type bench struct {
	t       *testing.T
	ctx     context.Context
	disk    []time.Duration // write and fdatasync of 4 KiB
	results map[setting]map[string]*result
}

// result is one contender in one setting, by rounds.
type result struct {
	relay50, served50, rate, cpu []float64 // ms, ms, orders/s, µs per order
	other                        []float64 // percent of a core that others used
	relay, served, late          []time.Duration
	orders                       int
	stored                       map[string]int // by stream and journal
	bytes                        map[string]uint64
	events                       map[string]int // by kind
}

// measure opens one contender, measures latency and throughput, and checks that
// every order came to exactly one cup and that nothing else was written. False
// says that the computer was so busy that a time limit of the shop ended (a
// customer heard "not known yet", the guard latched a machine): that is neither
// lost nor made twice, and it is measured anew.
func (b *bench) measure(round int, s setting, c contender) bool {
	t := b.t
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	url, pid := "", 0
	if s.tcp {
		child := startShop(t, c.name, dir)
		defer child.stop(t)
		url, pid = child.url, child.cmd.Process.Pid
	}
	w := &watch{cups: map[string]*cup{}, machines: map[string]int{}}
	p, err := c.open(ctx, filepath.Join(dir), url, s.machines, w)
	if err != nil {
		t.Fatalf("%s, %s: %v", c.name, s, err)
	}
	ended := make(chan error, 1)
	runs, stop := context.WithCancel(ctx)
	go func() { ended <- p.run(runs) }() // waited for below
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s, %s: %v", c.name, s, err)
		}
	}()

	r := &runner{t: t, c: c, p: p, w: w, pid: pid, name: fmt.Sprintf("%s, %s", c.name, s)}
	r.connect(ctx)
	defer r.nc.Close()
	before := r.ready(ctx)
	r.warm(ctx, s.machines)
	r.settle(ctx, before)

	res := b.results[s][c.name]
	relay, served, late := r.open(ctx, *benchSlot)
	r.settle(ctx, before)
	tput := r.closed(ctx, 2*s.machines+16, *benchSlot, before)
	if r.disturbed() {
		return false
	}

	res.relay = append(res.relay, relay...)
	res.served = append(res.served, served...)
	res.late = append(res.late, late...)
	res.relay50 = append(res.relay50, ms(quantile(relay, 0.5)))
	res.served50 = append(res.served50, ms(quantile(served, 0.5)))
	res.rate = append(res.rate, tput.rate)
	res.cpu = append(res.cpu, tput.cpu)
	res.other = append(res.other, tput.other)
	t.Logf("round %d, %s: call to relay %.2f ms, accepted to served %.2f ms, %.0f orders/s, %.0f µs of CPU per order; others used %.0f %% of a core",
		round+1, r.name, ms(quantile(relay, 0.5)), ms(quantile(served, 0.5)), tput.rate, tput.cpu, tput.other)
	r.check(ctx, before, res)
	return true
}

// runner drives one contender.
type runner struct {
	t    *testing.T
	c    contender
	p    *party
	w    *watch
	pid  int // of the shop's process; 0: this one
	name string
	nc   *nats.Conn // the customers'
	js   jetstream.JetStream

	opening bool // a call may find a shop that does not answer yet

	mu      sync.Mutex // guards trouble
	trouble []string   // by which a slot is void
}

func (r *runner) connect(ctx context.Context) {
	nc, err := dialBench("customers", r.p.in, r.p.url)
	if err != nil {
		r.t.Fatalf("%s: %v", r.name, err)
	}
	r.nc = nc
	if r.js, err = jetstream.New(nc); err != nil {
		r.t.Fatal(err)
	}
	if _, err := nc.Subscribe(servedEvents, func(m *nats.Msg) {
		r.w.served(strings.Split(m.Subject, ".")[2])
	}); err != nil {
		r.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

// aCoffee is a request with an id of its own. The id stands first.
func aCoffee() (id string, body []byte) {
	id = ulid.MustNew(ulid.Now(), rand.Reader).String()
	return id, fmt.Appendf(nil, `{"id":"%s","name":"Quentin","size":"small","bean_type":"%s","milk":"%s","sugar_count":0}`, id, benchClass.Bean, benchClass.Milk)
}

// order is one customer: the call, then the wait for the cup.
func (r *runner) order(ctx context.Context) *cup {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	id, body := aCoffee()
	k := r.w.called(id)
	for {
		err := r.c.call(ctx, r.nc, r.js, body)
		if err == nil {
			break
		}
		if r.opening && (errors.Is(err, errUnavailable) || errors.Is(err, nats.ErrNoResponders)) {
			continue
		}
		if errors.Is(err, errUnavailable) {
			r.void(err.Error())
		} else {
			r.t.Errorf("%s: order %s: %v", r.name, id, err)
		}
		return nil
	}
	k.accepted = time.Now()
	select {
	case <-k.done:
		return k
	case <-ctx.Done():
		r.void("order " + id + " still waits")
		return nil
	}
}

// errUnavailable: the shop did not know in time whether it took the order.
var errUnavailable = errors.New("not known yet")

func (r *runner) void(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = append(r.trouble, why)
}

// disturbed reports whether the slots are void. A limit of time excuses waiting,
// not losing: without a latched machine or an answer that was not known, an
// order that still waits is lost. What was made must be made once all the same.
func (r *runner) disturbed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.trouble) == 0 {
		return false
	}
	latched := ""
	if r.p.latched != nil {
		latched = r.p.latched()
	}
	excused := latched != "" || slices.ContainsFunc(r.trouble, func(s string) bool { return strings.HasPrefix(s, errUnavailable.Error()) })
	if !excused {
		return false // check names the lost
	}
	r.t.Logf("%s: void, measured anew: %s %s", r.name, latched, strings.Join(r.trouble, "; "))
	for _, problem := range r.w.doubled() {
		r.t.Errorf("%s: %s", r.name, problem)
	}
	if r.p.drinks != nil {
		if n, err := r.p.drinks(); err != nil || n > r.w.count() {
			r.t.Errorf("%s: %d orders, %d drinks by the plants' count (%v)", r.name, r.w.count(), n, err)
		}
	}
	return true
}

// warm orders until every machine has made something.
func (r *runner) warm(ctx context.Context, machines int) {
	r.opening = true
	defer func() { r.opening = false }()
	for tries := range 100 {
		var wg sync.WaitGroup
		for range 2 * machines {
			wg.Go(func() { r.order(ctx) })
		}
		wg.Wait()
		if r.w.busy() == machines && tries > 2 {
			return
		}
	}
	r.t.Fatalf("%s: not all machines work", r.name)
}

// open measures latency: customers come by the clock, whatever the shop does.
func (r *runner) open(ctx context.Context, d time.Duration) (relay, served, late []time.Duration) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	runtime.GC()
	start := time.Now()
	for n := range int(d.Seconds() * openRate) {
		due := start.Add(time.Duration(n+1) * time.Second / openRate)
		<-time.After(time.Until(due))
		behind := time.Since(due)
		wg.Go(func() {
			k := r.order(ctx)
			if k == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			relay = append(relay, k.first.Sub(k.start))
			served = append(served, k.end.Sub(k.accepted))
			late = append(late, behind)
		})
	}
	wg.Wait()
	return relay, served, late
}

type throughput struct{ rate, cpu, other float64 }

// closed measures throughput: as many customers as fit, each coming back at
// once. The CPU is that of both processes, with all that is done off the path.
func (r *runner) closed(ctx context.Context, customers int, d time.Duration, before map[string]uint64) throughput {
	runtime.GC()
	var wg sync.WaitGroup
	counts := make([]int, customers)
	start, cpu, all := time.Now(), r.cpu(), busyCPU(r.t)
	for i := range customers {
		wg.Go(func() {
			for time.Since(start) < d && r.order(ctx) != nil {
				counts[i]++
			}
		})
	}
	wg.Wait()
	wall := time.Since(start)
	r.settle(ctx, before)
	cpu, all = r.cpu()-cpu, busyCPU(r.t)-all
	n := 0
	for _, c := range counts {
		n += c
	}
	return throughput{
		rate:  float64(n) / wall.Seconds(),
		cpu:   float64(cpu.Microseconds()) / float64(n),
		other: max(0, 100*(all-cpu).Seconds()/time.Since(start).Seconds()),
	}
}

// cpu is what this process and the shop's have used.
func (r *runner) cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		r.t.Fatal(err)
	}
	d := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	if r.pid != 0 {
		d += cpuOf(r.t, r.pid)
	}
	return d
}

// servedEvents tell that an order was served.
const servedEvents = "coffee.events.*.served"

// sequences are the last sequences of all streams: how much was ever stored.
func (r *runner) sequences(ctx context.Context) map[string]uint64 {
	out := map[string]uint64{}
	lister := r.js.ListStreams(ctx)
	for s := range lister.Info() {
		out[s.Config.Name] = s.State.LastSeq
	}
	if err := lister.Err(); err != nil {
		r.t.Fatalf("%s: %v", r.name, err)
	}
	return out
}

// ready waits until the stock is filled, and gives the sequences before the
// first order.
func (r *runner) ready(ctx context.Context) map[string]uint64 {
	for range 1000 {
		if now := r.sequences(ctx); now[fleet.StreamBook] == r.c.filled {
			return now
		}
		<-time.After(10 * time.Millisecond)
	}
	r.t.Fatalf("%s: the stock is not filled", r.name)
	return nil
}

// settle waits until what is done off the path is done.
func (r *runner) settle(ctx context.Context, before map[string]uint64) {
	want := perOrder(r.c.list)
	for range 1000 {
		now, done := r.sequences(ctx), true
		for _, s := range []string{fleet.StreamEvents, oldLedger} {
			done = done && now[s]-before[s] >= uint64(want[s]*r.w.count())
		}
		if done {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// check counts cups and writes.
func (r *runner) check(ctx context.Context, before map[string]uint64, res *result) {
	<-time.After(300 * time.Millisecond) // for writes that should not be
	now := r.sequences(ctx)
	n := r.w.count()
	for _, problem := range r.w.problems() {
		r.t.Errorf("%s: %s", r.name, problem)
	}
	if r.p.drinks != nil {
		if drinks, err := r.p.drinks(); err != nil || drinks != n {
			r.t.Errorf("%s: %d orders, %d drinks by the plants' count (%v)", r.name, n, drinks, err)
		}
	}
	got := r.p.journal()
	for s := range now {
		got[s] = int(now[s] - before[s])
	}
	// A balance belongs to no order: one comes after each few hundred records.
	got[fleet.StreamBook] -= r.balances(ctx)
	r.weigh(ctx, res)
	want := perOrder(r.c.list)
	for _, store := range stores {
		if due := want[store] * n; got[store] != due {
			r.t.Errorf("%s: %s: %d writes for %d orders, want %d; events are %v", r.name, store, got[store], n, due, res.events)
		}
	}
	res.orders += n
	for store, n := range got {
		res.stored[store] += n
	}
}

// balances counts those in the book.
func (r *runner) balances(ctx context.Context) int {
	s, err := r.js.Stream(ctx, fleet.StreamBook)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0
	}
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("coffee.book.*.balance"))
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	for _, more := range info.State.Subjects {
		n += int(more)
	}
	return n
}

// weigh notes what the writes weigh, and the kinds of events.
func (r *runner) weigh(ctx context.Context, res *result) {
	for _, name := range []string{fleet.StreamBook, oldClaims, oldLedger} {
		s, err := r.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if st := s.CachedInfo().State; st.Msgs > 0 {
			res.bytes[name] = st.Bytes / st.Msgs
		}
	}
	res.events = map[string]int{}
	r.each(ctx, fleet.StreamEvents, func(m jetstream.Msg) {
		res.events[m.Subject()[strings.LastIndex(m.Subject(), ".")+1:]]++
		res.bytes[fleet.StreamEvents] = uint64(len(m.Data()))
	})
}

// each reads a stream from its begin.
func (r *runner) each(ctx context.Context, stream string, do func(jetstream.Msg)) {
	cons, err := r.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	left := cons.CachedInfo().NumPending
	if left == 0 {
		return
	}
	it, err := cons.Messages()
	if err != nil {
		r.t.Fatal(err)
	}
	defer it.Stop()
	for ; left > 0; left-- {
		m, err := it.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		do(m)
	}
}

// watch follows every order from the call to the cup.
type watch struct {
	mu       sync.Mutex // guards what follows
	cups     map[string]*cup
	machines map[string]int // first relays
	bad      []string
}

// cup is one order's way.
type cup struct {
	start    time.Time     // the customer's call
	accepted time.Time     // its answer; the customer's own
	first    time.Time     // the first relay
	end      time.Time     // the served event
	done     chan struct{} // closed at the end
}

func (w *watch) called(id string) *cup {
	k := &cup{done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cups[id] = k
	k.start = time.Now()
	return k
}

// relay is the first relay of an order's drink.
func (w *watch) relay(id, machine string) { w.relayAt(time.Now(), id, machine) }

func (w *watch) relayAt(at time.Time, id, machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines[machine]++
	switch k := w.cups[id]; {
	case k == nil:
		w.bad = append(w.bad, fmt.Sprintf("%s made %q, which nobody ordered", machine, id))
	case !k.first.IsZero():
		w.bad = append(w.bad, fmt.Sprintf("order %s was made twice", id))
	default:
		k.first = at
	}
}

func (w *watch) served(id string) {
	at := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch k := w.cups[id]; {
	case k == nil:
		w.bad = append(w.bad, fmt.Sprintf("%s was served, which nobody ordered", id))
	case !k.end.IsZero():
		w.bad = append(w.bad, fmt.Sprintf("order %s was served twice", id))
	case k.first.IsZero():
		w.bad = append(w.bad, fmt.Sprintf("order %s was served and never made", id))
	default:
		k.end = at
		close(k.done)
	}
}

// count is how many orders were called.
func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.cups)
}

func (w *watch) busy() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.machines)
}

// doubled has the orders that were made or served twice, or never ordered.
func (w *watch) doubled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.bad)
}

// problems are those and the lost.
func (w *watch) problems() []string {
	out := w.doubled()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, k := range w.cups {
		if k.end.IsZero() {
			out = append(out, fmt.Sprintf("order %s was lost", id))
		}
	}
	return out
}

// baristaContender is the shop itself, as the program opens it. Its machines
// pour in no time; everything else is real.
func baristaContender() contender {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return contender{
		name:   "barista",
		list:   orderWrites,
		filled: 1,
		shop: func(ctx context.Context, dir string) (*party, error) {
			s, err := openShop(ctx, log, benchFile(dir, "127.0.0.1:0"))
			if err != nil {
				return nil, err
			}
			return &party{url: s.broker.URL(), run: s.run}, nil
		},
		open: func(ctx context.Context, dir, url string, machines int, w *watch) (*party, error) {
			f := &configs.File{State: dir, NATS: &configs.NATS{Servers: []string{url}}}
			if url == "" {
				f = benchFile(dir, configs.ListenNone)
			}
			// Mocks with a witness at the grinder, which is the first relay of every
			// drink.
			var s *shop
			list := benchMachines(machines)
			for _, m := range list {
				m.Settings = through{m.Settings, func(inner configs.Settings, log *slog.Logger) (driver.Rig, error) {
					rig, err := inner.Open(log)
					if err != nil {
						return rig, err
					}
					wire := rig.Outputs[driver.Grinder]
					wire.Output = onlooker{wire.Output, func(at time.Time) { w.relayAt(at, makingNow(s, m.Name), m.Name) }}
					rig.Outputs[driver.Grinder] = wire
					return rig, nil
				}}
			}
			s, err := openShop(ctx, log, f, list...)
			if err != nil {
				return nil, err
			}
			p := &party{
				url: url, run: s.run,
				journal: func() map[string]int { return journalRecords(s) },
				drinks:  func() (int, error) { return plantDrinks(s) },
				latched: func() string { return latched(s) },
			}
			if s.broker != nil {
				p.in = s.broker
			}
			return p, nil
		},
		call: func(ctx context.Context, nc *nats.Conn, _ jetstream.JetStream, body []byte) error {
			m, err := nc.RequestWithContext(ctx, fleet.SubjectRequests, body)
			if err != nil {
				return err
			}
			var a fleet.Answer
			if err := json.Unmarshal(m.Data, &a); err != nil {
				return err
			}
			switch {
			case a.OK():
				return nil
			case a.Code == fleet.CodeUnavailable:
				return fmt.Errorf("%w: %s", errUnavailable, a.Message)
			}
			return fmt.Errorf("%s: %s", a.Code, a.Message)
		},
	}
}

// benchFile is the shop around the machines.
func benchFile(dir, listen string) *configs.File {
	return &configs.File{
		State:      dir,
		Broker:     &configs.Broker{Listen: listen, Store: filepath.Join(dir, "broker"), OrdersPerDay: configs.DefaultOrdersPerDay, NoKeys: true},
		Controller: &configs.Controller{Requests: true, Intake: true, ExpireAfter: configs.DefaultExpireAfter},
		Stock:      &configs.Stock{Initial: fleet.Items{benchClass.Bean: 900_000, awayClass.Bean: 900_000}},
	}
}

// shopWithMachines is what a file may not say for real metal: everything in one
// process.
func shopWithMachines(ctx context.Context, dir string) (*party, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := openLate(ctx, log, benchFile(dir, "127.0.0.1:0"), names[:lateMachines]...)
	if err != nil {
		return nil, err
	}
	return &party{url: s.broker.URL(), run: s.run}, nil
}

// benchMachines pour a drink in nanoseconds, out of tanks that last.
func benchMachines(n int) []*configs.Machine {
	figures := plant.Default()
	figures.GrinderGPS, figures.FlowMLPS = 1e6, 1e6
	figures.HopperG, figures.TankML, figures.TrayML, figures.TrayHighML = 1e9, 1e9, 1e9, 1e9
	figures.Speed = 1000
	menu := fleet.DefaultMenu()
	var out []*configs.Machine
	for _, name := range names[:n] {
		serves := configs.Serves{Beans: menu.Beans, Milks: menu.Milks, Sizes: fleet.Sizes}
		out = append(out, kindmock.Machine(name, machine.CupAttended, serves, guard.Limits{}, mock.Config{Figures: &figures}))
	}
	return out
}

// onlooker stands at an output and notes when it was switched on.
type onlooker struct {
	driver.Output
	on func(time.Time)
}

func (w onlooker) On(atMost time.Duration) error {
	err := w.Output.On(atMost)
	if err == nil {
		w.on(time.Now())
	}
	return err
}

// makingNow is the order that a machine's journal says is being made.
func makingNow(s *shop, machine string) string {
	for _, st := range s.machines {
		if st.file.Name == machine {
			if open := st.Machine.Journal().Open(); len(open) == 1 {
				return open[0].Order
			}
		}
	}
	return ""
}

func plantDrinks(s *shop) (int, error) {
	n := 0
	for _, st := range s.machines {
		c, err := st.control().Handle().Counts()
		if err != nil {
			return 0, err
		}
		n += c.Drinks
	}
	return n, nil
}

func latched(s *shop) string {
	for _, st := range s.machines {
		if l, is := st.Guard.Latched(); is {
			return st.file.Name + ": " + l.Cause
		}
	}
	return ""
}

// journalRecords counts what the journals' files hold of drinks.
func journalRecords(s *shop) map[string]int {
	n := map[string]int{}
	for _, st := range s.machines {
		b, err := os.ReadFile(st.Machine.Journal().Path())
		if err != nil {
			continue // the count will be wrong and say so
		}
		for _, do := range []string{"start", "end", "confirm"} {
			n[journals] += bytes.Count(b, fmt.Appendf(nil, `"do":%q`, do))
		}
	}
	return n
}

// shopProcess is the shop in a process of its own.
type shopProcess struct {
	*benchChild
	url string
}

func startShop(t *testing.T, name, dir string) *shopProcess {
	t.Helper()
	p := &shopProcess{benchChild: startBench(t, 0, "TestBenchShop", "-bench-shop="+name+":"+filepath.Join(dir, "shop"))}
	for p.out.Scan() {
		if strings.HasPrefix(p.out.Text(), "nats://") {
			p.url = p.out.Text()
			return p
		}
	}
	p.stop(t)
	t.Fatalf("the shop's process of %s did not start", name)
	return nil
}

// idleCost is what `barista run` with a machine alone costs.
type idleCost struct{ rss, anon, cpu float64 } // MiB, MiB, percent of a core

// idle builds the program as it ships and lets one machine wait for orders of a
// shop in another process.
func (b *bench) idle() idleCost {
	const settled, measured = 10 * time.Second, 20 * time.Second
	t := b.t
	dir := t.TempDir()
	bin := filepath.Join(dir, "barista")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	shop := startShop(t, "barista", dir)
	defer shop.stop(t)
	config := filepath.Join(dir, "machine.yaml")
	text := fmt.Sprintf(`state: %s
nats: {servers: [%q]}
machine:
  name: zoe
  driver: mock
  serves: {beans: [arabica, robusta, mixed], milk: [free, normal, soja], sizes: [small, medium, large]}
  cup: sensor
  cups: auto
  outputs: {grinder: {rest: 10s}}
`, filepath.Join(dir, "zoe"), shop.url)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", "--config", config)
	cmd.Stderr = io.Discard
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "NATS_URL=") })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("idle machine: %v", err)
		}
	}()
	b.awaitReady(shop.url)
	<-time.After(settled)
	start, cpu := time.Now(), cpuOf(t, cmd.Process.Pid)
	<-time.After(measured)
	used := cpuOf(t, cmd.Process.Pid) - cpu
	cost := idleCost{cpu: 100 * used.Seconds() / time.Since(start).Seconds()}
	for line := range strings.Lines(readText(t, fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
			kib, _ := strconv.ParseFloat(f[1], 64)
			switch f[0] {
			case "VmRSS:":
				cost.rss = kib / 1024
			case "RssAnon:":
				cost.anon = kib / 1024
			}
		}
	}
	return cost
}

// awaitReady waits until a machine says that it is ready.
func (b *bench) awaitReady(url string) {
	c, err := queue.Connect(b.ctx, queue.Config{Name: "bench", Servers: []string{url}})
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	for range 300 {
		here, err := c.Fleet().Present(b.ctx)
		if err == nil && len(here) == 1 && here[0].State == fleet.StateReady {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	b.t.Fatal("the idle machine is not ready")
}

// print writes what the README takes.
func (b *bench) print(out io.Writer, idle idleCost) {
	fmt.Fprintf(out, "\n`make bench`, %d rounds in turn, slots of %v, ratios inside a round, median [least to most].\n", *benchRounds, *benchSlot)
	fmt.Fprintf(out, "%s. Write of 4 KiB and fdatasync: median %s, p99 %s.\n\n", computer(b.t), µs(quantile(b.disk, 0.5)), µs(quantile(b.disk, 0.99)))
	b.printWrites(out)
	b.printFigures(out)
	fmt.Fprintf(out, "| A machine alone, idle | | aim | |\n|---|---:|---:|---|\n")
	for _, row := range []struct {
		what      string
		got, most float64
		unit      string
	}{
		{"resident", idle.rss, aimRSS, "MiB"},
		{"of it anonymous", idle.anon, aimAnon, "MiB"},
		{"CPU over 20 s", idle.cpu, aimIdle, "% of a core"},
	} {
		fmt.Fprintf(out, "| %s | %.3g %s | ≤ %v | %s |\n", row.what, row.got, row.unit, row.most, atMost(row.got, row.most))
	}
}

// printWrites puts the lists side by side, as they were counted.
func (b *bench) printWrites(out io.Writer) {
	fmt.Fprintln(out, tableOfWrites())
	fmt.Fprintln(out, "| Counted per order | barista | old list | new list | minimum | bytes, of barista |\n|---|---:|---:|---:|---:|---:|")
	sum := map[string]*result{}
	for _, s := range settings {
		for name, r := range b.results[s] {
			if sum[name] == nil {
				sum[name] = &result{stored: map[string]int{}, bytes: map[string]uint64{}, events: map[string]int{}}
			}
			a := sum[name]
			a.orders += r.orders
			for k, n := range r.stored {
				a.stored[k] += n
			}
			for k, n := range r.bytes {
				a.bytes[k] = n
			}
		}
	}
	ours := sum["barista"]
	per := func(r *result, store string) float64 { return float64(r.stored[store]) / float64(r.orders) }
	for _, store := range stores {
		weight := ""
		if ours.bytes[store] > 0 {
			weight = fmt.Sprint(ours.bytes[store])
		}
		fmt.Fprintf(out, "| %s |", store)
		for _, c := range contenders() {
			fmt.Fprintf(out, " %.4g |", per(sum[c.name], store))
		}
		fmt.Fprintf(out, " %s |\n", weight)
	}
	once := "every one served once"
	if b.t.Failed() {
		once = "NOT EVERY ONE AS IT SHOULD BE, see above"
	}
	fmt.Fprintf(out, "\n%d, %d, %d and %d orders, %s.\n", ours.orders, sum[byOldList].orders, sum[byNewList].orders, sum[byMinimum].orders, once)
	fmt.Fprint(out, "Beside the orders, barista wrote by the clock or to memory:")
	for _, store := range slices.Sorted(maps.Keys(ours.stored)) {
		if !slices.Contains(stores, store) && ours.stored[store] > 0 {
			fmt.Fprintf(out, " %s %.3g per order;", store, per(ours, store))
		}
	}
	fmt.Fprint(out, "\n\n")
}

// printFigures is the table of times.
func (b *bench) printFigures(out io.Writer) {
	fmt.Fprintln(out, "| | barista | old list | new list | minimum | barista : old list | aim | | barista : new list | aim | |\n|---|---:|---:|---:|---:|---:|---:|---|---:|---:|---|")
	for _, s := range settings {
		var rs []*result
		for _, c := range contenders() {
			rs = append(rs, b.results[s][c.name])
		}
		quiet, note := quietRounds(rs...)
		fmt.Fprintf(out, "| **%s** (%s) | | | | | | | | | | |\n", s, note)
		row := func(what, format string, of func(*result) []float64, aims aim, sign string, verdict func(got, aim float64) string) {
			fmt.Fprintf(out, "| %s |", what)
			ours := pick(of(rs[0]), quiet)
			for _, r := range rs {
				fmt.Fprintf(out, " %s |", band(pick(of(r), quiet), format))
			}
			for i, aim := range []float64{aims.old, aims.new} {
				ratio := pick(of(rs[1+i]), quiet)
				for k := range ratio {
					ratio[k] = ours[k] / ratio[k]
				}
				fmt.Fprintf(out, " %s |", band(ratio, "%.2f"))
				if aim == 0 {
					fmt.Fprint(out, " | |")
					continue
				}
				fmt.Fprintf(out, " %s %v | %s |", sign, aim, verdict(median(ratio), aim))
			}
			fmt.Fprintln(out)
		}
		tail := func(what string, of func(*result) []time.Duration) {
			fmt.Fprintf(out, "| %s, all rounds |", what)
			for _, r := range rs {
				fmt.Fprintf(out, " %.2f ms |", ms(quantile(of(r), 0.99)))
			}
			fmt.Fprintln(out, " | | | | | |")
		}
		row("call to first relay, p50", "%.2f ms", func(r *result) []float64 { return r.relay50 }, aimRelay, "≤", atMost)
		tail("call to first relay, p99", func(r *result) []time.Duration { return r.relay })
		row("accepted to served, p50", "%.2f ms", func(r *result) []float64 { return r.served50 }, aimServed, "≤", atMost)
		tail("accepted to served, p99", func(r *result) []time.Duration { return r.served })
		row("orders per second", "%.0f", func(r *result) []float64 { return r.rate }, aimRate, "≥", atLeast)
		row("CPU per order", "%.0f µs", func(r *result) []float64 { return r.cpu }, aimCPU, "≤", atMost)
		tail("the customers came late by, p99", func(r *result) []time.Duration { return r.late })
	}
	fmt.Fprintln(out)
}

// tableOfWrites is the README's.
func tableOfWrites() string {
	var b strings.Builder
	b.WriteString("| An order writes | to | on disk before it counts | why |\n|---|---|---|---|\n")
	for _, w := range orderWrites {
		where, synced := w.store, "no"
		if w.store == "" {
			where = fleet.StreamOrders
		}
		if w.aside {
			where += ", off the path"
		}
		if w.synced {
			synced = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", w.what, where, synced, w.reason)
	}
	return b.String()
}

// quietRounds are those in which other programs left this one alone; all, if
// that leaves fewer than half. The note says which.
func quietRounds(rs ...*result) (rounds []int, note string) {
	var all []int
	busiest := 0.0
	for i := range rs[0].rate {
		worst := 0.0
		for _, r := range rs {
			worst = max(worst, r.other[i])
		}
		busiest = max(busiest, worst)
		all = append(all, i)
		if worst <= quietBelow {
			rounds = append(rounds, i)
		}
	}
	if 2*len(rounds) < len(all) {
		return all, fmt.Sprintf("BUSY: only %d of %d rounds were quiet, all are shown; others used up to %.0f %% of a core", len(rounds), len(all), busiest)
	}
	return rounds, fmt.Sprintf("the %d quiet of %d rounds", len(rounds), len(all))
}

func pick(xs []float64, rounds []int) (out []float64) {
	for _, i := range rounds {
		out = append(out, xs[i])
	}
	return out
}

func atMost(got, aim float64) string {
	if got <= aim {
		return fmt.Sprintf("met by %.0f %%", 100*(aim-got)/aim)
	}
	return fmt.Sprintf("missed by %.0f %%", 100*(got-aim)/aim)
}

func atLeast(got, aim float64) string {
	if got >= aim {
		return fmt.Sprintf("met by %.0f %%", 100*(got-aim)/aim)
	}
	return fmt.Sprintf("missed by %.0f %%", 100*(aim-got)/aim)
}

func band(xs []float64, format string) string {
	n := strings.TrimSuffix(strings.TrimSuffix(format, " ms"), " µs")
	return fmt.Sprintf(format+" ["+n+" to "+n+"]", median(xs), slices.Min(xs), slices.Max(xs))
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// quantile is the nearest rank.
func quantile(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(ds))
	return s[max(0, int(math.Ceil(q*float64(len(s))))-1)]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func µs(d time.Duration) string  { return fmt.Sprintf("%d µs", d.Microseconds()) }

// fdatasync is what a durable write costs on this disk.
func fdatasync(t *testing.T) []time.Duration {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []time.Duration
	for range 100 {
		start := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
		out = append(out, time.Since(start))
	}
	return out
}

// cpuOf is the CPU time of a process, by the scheduler's own count.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no process %d, or a kernel without schedstat", pid)
	}
	var sum time.Duration
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that has just ended
		}
		first, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// busyCPU is what all programs of this computer have used.
func busyCPU(t *testing.T) time.Duration {
	t.Helper()
	line, _, _ := strings.Cut(readText(t, "/proc/stat"), "\n")
	var ticks int64
	for i, f := range strings.Fields(line) {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil && i != 4 && i != 5 && i < 9 { // not idle, not waiting for the disk
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / 100)
}

func computer(t *testing.T) string {
	t.Helper()
	model := "unknown CPU"
	for line := range strings.Lines(readText(t, "/proc/cpuinfo")) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = strings.TrimSpace(v)
			break
		}
	}
	memory := ""
	var fs syscall.Statfs_t
	if err := syscall.Statfs(t.TempDir(), &fs); err == nil && fs.Type == 0x01021994 {
		memory = ". THE STORE IS IN MEMORY (tmpfs): set TMPDIR to a folder on a disk"
	}
	return fmt.Sprintf("%d × %s, Linux %s, %s%s", runtime.NumCPU(), model, strings.TrimSpace(readText(t, "/proc/sys/kernel/osrelease")), runtime.Version(), memory)
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
