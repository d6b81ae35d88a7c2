package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/controller"
	"barista/fleet/desk"
	"barista/fleet/queue"
	"barista/fleet/stock"
	"barista/fleet/worker"
)

// child is what a re-executed test binary does: it is a service of barista that
// ends itself with SIGKILL at a chosen step, once.
type child struct {
	Config string        // its file
	Point  string        // where it dies; empty: nowhere
	Mark   string        // file that says that it has died
	Brew   time.Duration // after which its desk lets others say unknown; 0: as the program has it
	Trace  string        // file that gets a line before a part is told to go on
}

const (
	childEnv = "BARISTA_TEST_CHILD"
	mainEnv  = "BARISTA_TEST_MAIN" // JSON: the arguments of a child that is barista itself
)

// beMain is barista with these arguments; TestMain calls it in the child.
func beMain(text string) {
	var args []string
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		panic(err)
	}
	os.Args = append([]string{"barista"}, args...)
	main()
}

// asMain is a child that runs barista with these arguments, before all others
// where that is allowed, as the service's unit has it.
func asMain(args ...string) *exec.Cmd {
	cmd := first(true)
	b, _ := json.Marshal(args)
	cmd.Env = append(os.Environ(), mainEnv+"="+string(b), configs.EnvNATS+"=")
	return cmd
}

// first is this test binary as a child. With urgent it has the priority that the
// unit gives to a service: what a starved computer does to everything else is no
// matter of these tests.
func first(urgent bool) *exec.Cmd {
	if nice, err := exec.LookPath("nice"); urgent && err == nil {
		return watched(exec.Command(nice, "-n", "-10", os.Args[0]))
	}
	return watched(exec.Command(os.Args[0]))
}

// beChild runs the service; TestMain calls it in the child.
func beChild(text string) {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, err := configs.Load(c.Config, loader())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(term.ExitConfig)
	}
	s := newShop(newLog(os.Stderr), f)
	d := &death{child: c}
	s.seams = seams{worker: d.worker, controller: d.controller, desk: d.desk}
	throughMetal = func(rig driver.Rig) driver.Rig {
		for part, w := range rig.Outputs {
			w.Output = &mortalOutput{w.Output, part, d}
			rig.Outputs[part] = w
		}
		return rig
	}
	if err = s.open(ctx, nil); err == nil {
		err = s.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "barista:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// death comes at one step, as kill -9.
type death struct {
	child
	mu     sync.Mutex
	poured bool   // the pump was on and is off again
	got    string // the order of the last ticket
	order  string
	epoch  int // of the last fence that was taken
}

// trace writes for which order a part is told to go on, before it is.
func (d *death) trace(part driver.Part) {
	if d.Trace == "" {
		return
	}
	f, err := os.OpenFile(d.Trace, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	d.mu.Lock()
	line := fmt.Sprintf("%d %s %s %d\n", monotonic(), part, cmp.Or(d.order, "nobody"), d.epoch)
	d.mu.Unlock()
	if _, err := f.WriteString(line); err != nil {
		panic(err)
	}
}

func (d *death) at(point string) {
	if d.Point != point {
		return
	}
	d.mu.Lock()                                                             // never given back: nothing goes on
	f, err := os.OpenFile(d.Mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // of several with one mark, one dies
	if errors.Is(err, os.ErrExist) {
		d.mu.Unlock()
		return
	}
	if err != nil {
		panic(err)
	}
	_, _ = f.WriteString(d.got)
	f.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

type mortalOutput struct {
	driver.Output
	part driver.Part
	d    *death
}

func (o *mortalOutput) On(atMost time.Duration) error {
	o.d.at("start") // journalled, not commanded
	o.d.trace(o.part)
	err := o.Output.On(atMost)
	if o.part == driver.Pump {
		o.d.mu.Lock()
		o.d.poured = true
		o.d.mu.Unlock()
		if o.d.Point == "brew" {
			time.AfterFunc(100*time.Millisecond, func() { o.d.at("brew") })
		}
	}
	return err
}

func (o *mortalOutput) Off() error {
	err := o.Output.Off()
	if o.part == driver.Pump && o.d.hasPoured() {
		o.d.at("poured")
	}
	return err
}

func (d *death) hasPoured() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.poured
}

func (d *death) worker(p *worker.Parts, _ *worker.Config) {
	p.Tickets = mortalTickets{p.Tickets, d}
	p.Desk = mortalDesk{p.Desk, d}
}

type mortalTickets struct {
	fleet.Tickets
	d *death
}

func (m mortalTickets) Next(ctx context.Context, c []fleet.Class, wanted func() bool, first ...fleet.Class) (*fleet.Ticket, error) {
	t, err := m.Tickets.Next(ctx, c, wanted, first...)
	if err == nil {
		m.d.mu.Lock()
		m.d.got, _ = fleet.OrderOfMessage(t.MessageID)
		m.d.mu.Unlock()
		m.d.at("receipt")
		t.Settlement = mortalSettlement{t.Settlement, m.d, "ack"}
	}
	return t, err
}

// mortalDesk is the desk as a machine reaches it.
type mortalDesk struct {
	fleet.Desk
	d *death
}

func (m mortalDesk) Ask(ctx context.Context, verb string, read fleet.Entry, a fleet.Ask) (fleet.Entry, error) {
	if verb == fleet.DeskEnd {
		m.d.at("end") // journalled, and no desk knows
	}
	e, err := m.Desk.Ask(ctx, verb, read, a)
	if err != nil {
		return e, err
	}
	switch verb {
	case fleet.DeskClaim:
		m.d.at("claim")
	case fleet.DeskFence:
		m.d.mu.Lock()
		m.d.order, m.d.epoch = e.Order.ID, e.Epoch
		m.d.mu.Unlock()
		m.d.at("fence")
	case fleet.DeskEnd:
		m.d.at("served")
	}
	return e, err
}

func (d *death) desk(p desk.Parts) desk.Parts {
	p.Book, p.UnknownAfter = mortalBook{p.Book, d}, d.Brew
	return p
}

// mortalBook is the book as a desk writes it.
type mortalBook struct {
	desk.Book
	d *death
}

// asked names what a desk writes.
var asked = map[fleet.Phase]string{fleet.Claimed: "claim", fleet.Brewing: "fence", fleet.Served: "end"}

func (m mortalBook) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	m.d.at("before the " + asked[c.Phase])
	e, err := m.Book.Next(ctx, read, c)
	if err == nil {
		m.d.at("after the " + asked[c.Phase]) // and before its machine hears of it
	}
	return e, err
}

func (d *death) controller(p controller.Parts) controller.Parts {
	p.Ledger = mortalLedger{p.Ledger, d}
	p.Orders = mortalOrders{p.Orders, d}
	p.Intake = mortalIntake{p.Intake, d}
	p.Events = mortalEvents{p.Events, d}
	return p
}

// mortalLedger is where a controller decides and writes.
type mortalLedger struct {
	fleet.Ledger
	d *death
}

func (m mortalLedger) Act(ctx context.Context, decide func(fleet.View) (*fleet.Record, error)) (fleet.Revision, error) {
	wrote := ""
	rev, err := m.Ledger.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
		r, err := decide(v)
		switch wrote = ""; {
		case r == nil:
		case r.Refusals != nil:
			wrote = "refusal"
		case r.IsClaim && r.Phase == fleet.Accepted && r.Epoch == 1:
			wrote = "create"
		case r.IsClaim && r.Phase == fleet.Accepted:
			wrote = "remake"
		}
		if wrote != "" {
			m.d.at("before the " + wrote) // decided
		}
		return r, err
	})
	if err == nil && wrote != "" {
		m.d.at("after the " + wrote)
	}
	return rev, err
}

type mortalOrders struct {
	fleet.Orders
	d *death
}

func (m mortalOrders) Publish(ctx context.Context, e fleet.Entry, id string) error {
	err := m.Orders.Publish(ctx, e, id)
	if err == nil {
		m.d.at("publish")
	}
	return err
}

type mortalEvents struct {
	fleet.Events
	d *death
}

func (m mortalEvents) Publish(ctx context.Context, e fleet.Event, seq uint64) error {
	if e.Kind == fleet.EvServed {
		m.d.at("tell") // in the book, and the world does not know
	}
	return m.Events.Publish(ctx, e, seq)
}

type mortalIntake struct {
	fleet.Intake
	d *death
}

func (m mortalIntake) NextDrop(ctx context.Context) (*fleet.Drop, error) {
	drop, err := m.Intake.NextDrop(ctx)
	if err == nil {
		drop.Settlement = mortalSettlement{drop.Settlement, m.d, "pass"}
	}
	return drop, err
}

type mortalSettlement struct {
	fleet.Settlement
	d     *death
	point string
}

func (m mortalSettlement) Done(ctx context.Context) error {
	m.d.at(m.point) // done with, not yet acked
	return m.Settlement.Done(ctx)
}

// site is a shop of real processes, with the plants in this one: they go on
// counting, and hold what is on, when a machine's process dies.
type site struct {
	t    *testing.T
	dir  string
	port int
	conn *queue.Conn
	mu   sync.Mutex
	all  []*running

	servers []string // of a cluster; nil: the shop has its own broker
	also    string   // more sections of the shop's file
	urgent  bool     // its machines' processes come before others
	trace   bool     // its machines' processes write down for which order a part goes on

	prompt bool          // services start as prompt has it, from now on
	brew   time.Duration // of the shop's services, see child
}

// running is one child process.
type running struct {
	site *site
	name string
	spec child
	cmd  *exec.Cmd
	gone chan struct{}

	urgent bool
	kept   bool // started anew when it ends, as the service manager does
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: searched(t), port: freePort(t)}
	t.Cleanup(func() {
		for _, p := range s.all {
			p.kill()
		}
	})
	return s
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *site) url() string {
	if s.servers != nil {
		return strings.Join(s.servers, ",")
	}
	return fmt.Sprintf("nats://127.0.0.1:%d", s.port)
}

func (s *site) write(name, text string) string {
	path := filepath.Join(s.dir, name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// start runs a service; it is started anew with again.
func (s *site) start(name string, spec child) *running {
	return s.launch(&running{site: s, name: name, spec: spec})
}

func (s *site) launch(p *running) *running {
	s.mu.Lock()
	s.all = append(s.all, p)
	s.mu.Unlock()
	p.again()
	return p
}

func (p *running) again() {
	t := p.site.t
	spec, _ := json.Marshal(p.spec)
	p.cmd = first(p.urgent)
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(spec), configs.EnvNATS+"=")
	log, err := os.OpenFile(filepath.Join(p.site.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr, p.cmd.Stdout = log, log
	start := p.cmd.Start
	if p.site.prompt {
		start = func() error { return prompt(p.cmd.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	log.Close()
	gone := make(chan struct{})
	p.gone = gone
	cmd := p.cmd
	go func() { _ = cmd.Wait(); close(gone) }()
}

// ended reports whether the process is gone.
func (p *running) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

func (p *running) kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// term asks for a clean end and waits for it.
func (p *running) term() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(time.Minute):
		p.site.t.Errorf("%s did not end within a minute of SIGTERM", p.name)
		p.kill()
	}
}

func (p *running) log() string {
	b, _ := os.ReadFile(filepath.Join(p.site.dir, p.name+".log"))
	return string(b)
}

// shop starts the shop's service with the menu of one milk and many beans.
func (s *site) shop(point string, beans []string) *running {
	var initial strings.Builder
	for _, b := range beans {
		fmt.Fprintf(&initial, "    %s: 10000\n", b)
	}
	path := s.write("shop", fmt.Sprintf("state: %s\nbroker:\n  listen: 127.0.0.1:%d\n  keys: none\ncontroller: {}\nstock:\n  initial:\n%s%s", filepath.Join(s.dir, "shop"), s.port, initial.String(), s.also))
	p := s.start("shop", child{Config: path, Point: point, Mark: filepath.Join(s.dir, "shop.died"), Brew: s.brew})
	s.connect()
	s.menu(beans)
	return p
}

// menu puts one milk and many beans into force.
func (s *site) menu(beans []string) {
	menu := fleet.DefaultMenu()
	menu.Beans, menu.Milks = beans, []string{fleet.NoMilk}
	b, _ := json.Marshal(menu)
	s.eventually("the menu", func() bool { return s.conn.Settings().Put(s.t.Context(), fleet.KeyMenu, b) == nil })
	// An order that comes before its bean is on the menu is refused for good.
	s.eventually("the menu to be in force", func() bool {
		return slices.Equal(controller.Remote(s.conn.Requester()).Menu().Beans, beans)
	})
}

func (s *site) connect() {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	c, err := queue.Connect(ctx, queue.Config{Name: "customer", Servers: []string{s.url()}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.conn = c
	s.t.Cleanup(c.Close)
}

// killSpeed is how many times as fast as metal the plants of killed machines are.
// A faster one asks a busy computer for more than it can do: the guard's 1.5 s for
// the first water are 300 ms here, and 75 ms at 20, which was seen to be missed
// and rightly made a spoiled drink.
const killSpeed = 5

// plant serves a plant for one machine.
func (s *site) plant(name string, speed float64) (*plant.Plant, string) {
	cfg := plant.Default()
	cfg.Speed, cfg.Cups, cfg.Refill, cfg.Serial = speed, plant.Auto, true, "plant-"+name
	p := plant.New(cfg)
	path := filepath.Join(s.dir, name+".sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = plant.Serve(ctx, l, p) }()
	s.t.Cleanup(func() { cancel(); <-done })
	return p, path
}

// machine starts a machine's service. One that shall die over its claim waits for
// a customer's word, because nothing else is waited for; see cup.
func (s *site) machine(name, plant, point string, beans []string) *running {
	cup := "sensor"
	if strings.HasSuffix(point, "claim") {
		cup = "page"
	}
	path := s.write(name, fmt.Sprintf(`state: %s
nats: {servers: ["%s"]}
machine:
  name: %s
  driver: mock
  plant: %s
  cup: %s
  serves: {beans: [%s], milk: [free], sizes: [small, medium, large]}
`, filepath.Join(s.dir, name), strings.ReplaceAll(s.url(), ",", `", "`), name, plant, cup, strings.Join(beans, ", ")))
	c := child{Config: path, Point: point, Mark: filepath.Join(s.dir, name+".died")}
	if s.trace {
		c.Trace = filepath.Join(s.dir, name+".trace")
	}
	return s.launch(&running{site: s, name: name, urgent: true, spec: c})
}

// cup says that the cup for an order is under a machine, until it hears that.
func (s *site) cup(machine, order string) {
	s.t.Helper()
	body, _ := json.Marshal(fleet.Command{Verb: "cup", Order: order, By: "customer"})
	s.eventually(machine+" to hear of the cup", func() bool {
		var a fleet.CommandAnswer
		b, err := s.conn.Requester().Request(s.t.Context(), fleet.CupSubject(machine), body)
		return err == nil && json.Unmarshal(b, &a) == nil && a.OK
	})
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	s.within(3*time.Minute, what, ok)
}

func (s *site) within(d time.Duration, what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(d)
	for !ok() {
		s.mu.Lock()
		for _, p := range s.all {
			if p.kept && p.ended() {
				p.again()
			}
		}
		s.mu.Unlock()
		if time.Now().After(deadline) {
			for _, p := range s.all {
				s.t.Logf("--- %s:\n%s", p.name, p.log())
			}
			s.t.Fatalf("waited %v for: %s", d, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// order places one and returns its id.
func (s *site) order(id, bean string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":"small","bean_type":%q,"milk":"free","sugar_count":0}`, id, bean)
	var a fleet.Answer
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the last answer: %+v", a)
		}
	}()
	s.within(30*time.Second, "an answer for "+bean, func() bool {
		b, err := s.conn.Requester().Request(s.t.Context(), fleet.SubjectRequests, []byte(body))
		if err != nil || json.Unmarshal(b, &a) != nil {
			return false
		}
		if !a.OK() && a.Code != fleet.CodeUnavailable && a.Code != fleet.CodeNotOnMenu {
			s.t.Fatalf("%s: %+v", bean, a)
		}
		return a.OK()
	})
}

// ask sends an order once, and does not wait for good news.
func (s *site) ask(id string) {
	body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":"small","bean_type":"arabica","milk":"free"}`, id)
	_, _ = s.conn.Requester().Request(context.WithoutCancel(s.t.Context()), fleet.SubjectRequests, []byte(body))
}

// drop publishes as a foreign program does: raw protocol text over TCP.
func (s *site) drop(subject, body string) {
	s.t.Helper()
	var c net.Conn
	s.eventually("the broker", func() (ok bool) {
		var err error
		c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		return err == nil
	})
	defer c.Close()
	fmt.Fprintf(c, "CONNECT {\"verbose\":false}\r\nPUB %s %d\r\n%s\r\nPING\r\n", subject, len(body), body)
	buf := make([]byte, 4096)
	got := ""
	for !strings.Contains(got, "PONG") {
		n, err := c.Read(buf)
		if err != nil {
			s.t.Fatal(err)
		}
		got += string(buf[:n])
	}
}

// levels is the stock as its service tells it.
func (s *site) levels() (map[string]fleet.Level, error) {
	return stock.Remote(s.conn.Requester()).Levels(s.t.Context())
}

func (s *site) phase(id string) fleet.Phase {
	e, err := s.conn.Book().Read(s.t.Context(), id)
	if err != nil {
		return ""
	}
	return e.Phase
}

// told are the events of an order that are stored, in their order.
func (s *site) told(id string) (kinds []fleet.EventKind) {
	s.t.Helper()
	for _, e := range storedEvents(s.t, s.url()) {
		if e.Order == id {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

func testID(n int) string { return fmt.Sprintf("01JD%022d", n) }

// drinks is how many pours a plant saw, broken-off ones included.
func drinks(p *plant.Plant) int { c := p.Counts(); return c.Drinks }

// fate is what must come of a machine that was killed at a step.
type fate struct {
	point string
	phase fleet.Phase
	cups  []int // allowed counts of physical pours
}

// killsReturn: the owner returns (F01–F08, and between the end and its ack).
var killsReturn = []fate{
	{"receipt", fleet.Served, []int{1}},
	{"claim", fleet.Served, []int{1}},
	{"fence", fleet.Served, []int{1}},    // the journal proves that nothing was commanded
	{"start", fleet.Unknown, []int{0}},   // journalled; a counter would tell
	{"brew", fleet.Unknown, []int{0, 1}}, // cut off, or poured on by the held relay
	{"poured", fleet.Unknown, []int{1}},  // a counter would tell
	{"end", fleet.Served, []int{1}},      // the journal tells
	{"served", fleet.Served, []int{1}},   // the redelivery is acked away
	{"ack", fleet.Served, []int{1}},      //
}

func beansOf(f []fate) []string {
	var out []string
	for _, x := range f {
		out = append(out, "bean-"+x.point)
	}
	return out
}

// TestKillOwnerReturns kills a real process at every step of an order, starts it
// again, and counts what was physically poured.
func TestKillOwnerReturns(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes and real 15 s of AckWait: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	beans := beansOf(killsReturn)
	s.shop("", beans)
	plants := map[string]*plant.Plant{}
	procs := map[string]*running{}
	for i, f := range killsReturn {
		name := "m-" + f.point
		p, sock := s.plant(name, killSpeed)
		plants[f.point] = p
		procs[f.point] = s.machine(name, sock, f.point, beans[i:i+1])
	}
	for i := range killsReturn {
		s.order(testID(i), beans[i])
	}
	for _, f := range killsReturn {
		p := procs[f.point]
		s.within(time.Minute, "the death at "+f.point, p.ended)
		p.again() // as the service manager does
	}
	s.cup("m-claim", testID(slices.Index(beans, "bean-claim")))
	for _, f := range killsReturn {
		s.within(10*time.Second, "every output at rest after "+f.point, func() bool {
			return !slices.Contains(slices.Collect(maps.Values(plants[f.point].Counts().On)), true)
		})
	}
	for i, f := range killsReturn {
		s.eventually(f.point+" to come out "+string(f.phase), func() bool { return s.phase(testID(i)) == f.phase })
	}
	s.eventually("an empty queue", func() bool {
		w, err := s.conn.Orders().Waiting(t.Context())
		return err == nil && len(w) == 0
	})
	for i, f := range killsReturn {
		if got := drinks(plants[f.point]); !slices.Contains(f.cups, got) {
			t.Errorf("killed at %s: %d pours, allowed %v\n%s", f.point, got, f.cups, procs[f.point].log())
		}
		if got := s.phase(testID(i)); got != f.phase {
			t.Errorf("killed at %s: %s, wanted %s", f.point, got, f.phase)
		}
	}
}

// killsForGood: the owner never returns (F09–F16); another machine is there.
var killsForGood = []fate{
	{"receipt", fleet.Served, []int{0}}, // all pours of the dead one
	{"claim", fleet.Served, []int{0}},
	{"fence", fleet.Unknown, []int{0}},
	{"start", fleet.Unknown, []int{0}},
	{"brew", fleet.Unknown, []int{0, 1}},
	{"poured", fleet.Unknown, []int{1}},
	{"end", fleet.Unknown, []int{1}}, // until it returns
	{"served", fleet.Served, []int{1}},
}

// TestKillOwnerGone kills for good. The others make what was never begun, and
// say unknown of the rest; the one whose journal knows settles it when it does
// come back in the end.
func TestKillOwnerGone(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the longest brew and 60 s in real time: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	s.brew = 20 * time.Second
	beans := beansOf(killsForGood)
	s.shop("", beans)
	plants := map[string]*plant.Plant{}
	procs := map[string]*running{}
	for i, f := range killsForGood {
		name := "m-" + f.point
		p, sock := s.plant(name, killSpeed)
		plants[f.point] = p
		procs[f.point] = s.machine(name, sock, f.point, beans[i:i+1])
	}
	for i := range killsForGood {
		s.order(testID(i), beans[i])
	}
	for _, f := range killsForGood {
		p := procs[f.point]
		s.within(time.Minute, "the death at "+f.point, p.ended)
	}
	rescue, sock := s.plant("rescue", killSpeed)
	s.machine("rescue", sock, "", beans)
	for i, f := range killsForGood {
		s.eventually(f.point+" to come out "+string(f.phase), func() bool { return s.phase(testID(i)) == f.phase })
	}
	s.eventually("an empty queue", func() bool {
		w, err := s.conn.Orders().Waiting(t.Context())
		return err == nil && len(w) == 0
	})
	for _, f := range killsForGood {
		if got := drinks(plants[f.point]); !slices.Contains(f.cups, got) {
			t.Errorf("killed at %s: %d pours, allowed %v", f.point, got, f.cups)
		}
	}
	if got := drinks(rescue); got != 2 {
		t.Errorf("the other machine poured %d, wanted the 2 that were never begun", got)
	}
	// The truth that arrives late.
	i := slices.IndexFunc(killsForGood, func(f fate) bool { return f.point == "end" })
	procs["end"].again()
	s.eventually("the journal's late truth", func() bool { return s.phase(testID(i)) == fleet.Served })
}

// TestKillController kills the shop's process between each two of decision,
// record, message and answer, between passing on and acking a foreign drop, and
// before the world is told. The customer asks again with the same id; each order
// is poured once, and each event is told once.
func TestKillController(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	for i, point := range []string{"before the create", "after the create", "publish", "tell", "pass"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			beans := []string{"arabica"}
			p, sock := s.plant("zoe", killSpeed)
			// The menu and the machine first, then the death is armed.
			shop := s.shop("", beans)
			s.machine("zoe", sock, "", beans)
			s.order(testID(100+i), "arabica")
			s.eventually("the first cup", func() bool { return s.phase(testID(100+i)) == fleet.Served })
			shop.term()
			shop.spec.Point = point
			shop.again()

			if point == "pass" {
				body := `{"size":"small","bean_type":"Arabica","name":"Quentin","milk":"free","sugar_count":"0"}`
				s.drop("coffee.orders.arabica", body)
			} else {
				// It is asked until it dies of it; the answer may never come.
				s.within(time.Minute, "the death at "+point, func() bool {
					s.ask(testID(i))
					return shop.ended()
				})
			}
			s.within(time.Minute, "the death at "+point, shop.ended)
			shop.again()
			if point != "pass" {
				s.order(testID(i), "arabica")
				s.eventually("the cup", func() bool { return s.phase(testID(i)) == fleet.Served })
			} else {
				s.eventually("the cup", func() bool { return drinks(p) == 2 })
			}
			s.emptyQueues()
			if got := drinks(p); got != 2 {
				t.Errorf("%d pours for 2 orders", got)
			}
			s.eventually("a clean stock", func() bool {
				l, err := s.levels()
				return err == nil && l["arabica"] == fleet.Level{OnHand: 9982, Refilled: 10000, Consumed: 18}
			})
			if point != "pass" {
				want := []fleet.EventKind{fleet.EvAccepted, fleet.EvBrewing, fleet.EvServed}
				s.eventually("the world to be told", func() bool { return slices.Contains(s.told(testID(i)), fleet.EvServed) })
				got := s.told(testID(i))
				if len(got) > len(want) && got[1] == fleet.EvClaimed { // the cup was not there at once
					want = slices.Insert(want, 1, fleet.EvClaimed)
				}
				if !slices.Equal(got, want) {
					t.Errorf("the world was told %v, wanted %v", got, want)
				}
			}
		})
	}
}

func (s *site) emptyQueues() {
	s.t.Helper()
	s.eventually("empty queues", func() bool {
		w, err := s.conn.Orders().Waiting(s.t.Context())
		n, err2 := s.conn.IntakeWaiting(s.t.Context())
		return err == nil && err2 == nil && len(w) == 0 && n == 0
	})
}

// next takes an order further as a machine and its desk do that are not here.
func (s *site) next(id string, arrow func(fleet.Claim) (fleet.Claim, error)) {
	s.t.Helper()
	e, err := s.conn.Book().Read(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := arrow(e.Claim)
	if err == nil {
		_, err = s.conn.Book().Next(s.t.Context(), e.Revision, c)
	}
	if err != nil && !errors.Is(err, fleet.ErrNoAnswer) { // the shop may have died of it
		s.t.Fatalf("%s: %v", e.Phase, err)
	}
}

// TestKillRemake kills the shop's process around the act that reserves a spoiled
// order's next portion: it is made again once, and takes one portion more.
func TestKillRemake(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	beans := []string{"arabica"}
	shop := s.shop("", beans)
	p, sock := s.plant("zoe", killSpeed)
	zoe := s.machine("zoe", sock, "", beans)
	points := []string{"before the remake", "after the remake"}
	for i, point := range points {
		id := testID(i)
		s.order(id, "arabica")
		s.eventually("the cup that is not spoiled", func() bool { return s.phase(id) == fleet.Served })
		zoe.term()
		shop.term()
		shop.spec.Point, shop.spec.Mark = point, filepath.Join(s.dir, fmt.Sprint("shop.died", i))
		shop.again()
		id = testID(10 + i)
		s.order(id, "arabica")
		ghost := fleet.Owner{Machine: "ghost", Journal: "j", Boot: "b"}
		s.next(id, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(ghost) })
		s.next(id, func(c fleet.Claim) (fleet.Claim, error) {
			return c.End(ghost, fleet.Spoiled, fleet.Reason{Code: "tank"}, 1, nil)
		})
		s.within(time.Minute, "the death "+point, shop.ended)
		shop.again()
		zoe.again()
		s.eventually("the cup that is made again, after the death "+point, func() bool { return s.phase(id) == fleet.Served })
		s.emptyQueues()
		e, err := s.conn.Book().Read(t.Context(), id)
		if err != nil || e.Epoch != 2 || len(e.Past) != 1 {
			t.Errorf("%s: %+v %v", point, e, err)
		}
	}
	n := len(points)
	if got := drinks(p); got != 2*n {
		t.Errorf("%d pours for %d orders", got, 2*n)
	}
	s.eventually("a clean stock", func() bool {
		l, err := s.levels()
		return err == nil && l["arabica"] == fleet.Level{OnHand: 10000 - 27*n, Refilled: 10000, Consumed: 18 * n, Wasted: 9 * n}
	})
}

// deskSteps are where a desk's process dies: decided and not written, written and
// not answered.
var deskSteps = []string{"before the claim", "after the claim", "before the fence", "after the fence", "before the end", "after the end"}

// TestKillDesk kills the process of the desk around each record that it writes for
// a machine, and starts it again. The machine, which heard nothing, reads before
// it does anything: every order is poured once.
func TestKillDesk(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	var beans []string
	for i := range deskSteps {
		beans = append(beans, fmt.Sprint("bean-", i))
	}
	shop := s.shop("", beans)
	plants := make([]*plant.Plant, len(deskSteps))
	for i, point := range deskSteps {
		name := fmt.Sprint("m-", i)
		var sock string
		plants[i], sock = s.plant(name, killSpeed)
		m := s.machine(name, sock, point, beans[i:i+1])
		s.eventually(name, func() bool { return s.here(name) })
		shop.term()
		shop.spec.Point, shop.spec.Mark = point, filepath.Join(s.dir, fmt.Sprint("shop.died", i))
		shop.again()
		s.order(testID(i), beans[i])
		s.within(time.Minute, "the death "+point, shop.ended)
		shop.again()
		if strings.HasSuffix(point, "claim") {
			s.cup(name, testID(i))
		}
		s.eventually("the cup after the death "+point, func() bool { return s.phase(testID(i)) == fleet.Served })
		m.term()
	}
	s.emptyQueues()
	for i, point := range deskSteps {
		if got := drinks(plants[i]); got != 1 {
			t.Errorf("the desk was killed %s: %d pours", point, got)
		}
		e, err := s.conn.Book().Read(t.Context(), testID(i))
		if err != nil || e.Epoch != 1 || e.Attempts != 1 {
			t.Errorf("the desk was killed %s: epoch %d, %d attempts, %v", point, e.Epoch, e.Attempts, err)
		}
	}
}

// here reports whether a machine is present.
func (s *site) here(name string) bool {
	list, err := s.conn.Fleet().Present(s.t.Context())
	return err == nil && slices.ContainsFunc(list, func(m fleet.Presence) bool { return m.Machine == name })
}

// TestTwoDesks: two controllers, each with its desk, beside a broker of its own. One
// of them dies around a record that it writes for a machine, and does not come
// back: the other one answers, and every order is poured once.
func TestTwoDesks(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	for _, point := range []string{"before the fence", "after the fence", "before the end", "after the end"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			beans := []string{"arabica"}
			s.start("broker", child{Config: s.write("broker", fmt.Sprintf("state: %s\nbroker:\n  listen: 127.0.0.1:%d\n  keys: none\n", filepath.Join(s.dir, "broker"), s.port))})
			var counters []*running
			for _, name := range []string{"one", "two"} {
				path := s.write(name, fmt.Sprintf("state: %s\nnats: {servers: [%q]}\ncontroller: {}\nstock:\n  initial: {arabica: 10000}\n", filepath.Join(s.dir, name), s.url()))
				counters = append(counters, s.start(name, child{Config: path, Point: point, Mark: filepath.Join(s.dir, "died")}))
			}
			s.connect()
			s.menu(beans)
			p, sock := s.plant("zoe", killSpeed)
			s.machine("zoe", sock, "", beans)
			const n = 4
			for i := range n {
				s.order(testID(i), "arabica")
			}
			for i := range n {
				s.eventually("every cup", func() bool { return s.phase(testID(i)) == fleet.Served })
			}
			s.emptyQueues()
			dead := 0
			for _, c := range counters {
				if c.ended() {
					dead++
				}
			}
			if dead != 1 {
				t.Errorf("%d of two counters died", dead)
			}
			if got := drinks(p); got != n {
				t.Errorf("%d pours for %d orders", got, n)
			}
			s.eventually("a clean stock", func() bool {
				l, err := s.levels()
				return err == nil && l["arabica"] == fleet.Level{OnHand: 10000 - 9*n, Refilled: 10000, Consumed: 9 * n}
			})
		})
	}
}
