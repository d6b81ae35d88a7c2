package main

import (
	"cmp"
	"context"
	"encoding/json"
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
	Brew   time.Duration // after which others say unknown; 0: as the program has it
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
		return exec.Command(nice, "-n", "-10", os.Args[0])
	}
	return exec.Command(os.Args[0])
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
	s.seams = seams{worker: d.worker, controller: d.controller}
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
	poured bool // the pump was on and is off again
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
	d.mu.Lock() // never given back: nothing goes on
	if _, err := os.Stat(d.Mark); err == nil {
		d.mu.Unlock()
		return
	}
	if err := os.WriteFile(d.Mark, nil, 0o600); err != nil {
		panic(err)
	}
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

func (d *death) worker(p *worker.Parts, cfg *worker.Config) {
	p.Tickets = mortalTickets{p.Tickets, d}
	p.Claims = mortalClaims{p.Claims, d}
	p.Events = mortalEvents{p.Events, d}
	cfg.UnknownAfter = d.Brew
}

type mortalTickets struct {
	fleet.Tickets
	d *death
}

func (m mortalTickets) Next(ctx context.Context, c []fleet.Class, n int) (*fleet.Ticket, error) {
	t, err := m.Tickets.Next(ctx, c, n)
	if err == nil {
		m.d.at("receipt")
	}
	return t, err
}

type mortalClaims struct {
	fleet.Claims
	d *death
}

func (m mortalClaims) Create(ctx context.Context, c fleet.Claim) (fleet.ClaimEntry, error) {
	e, err := m.Claims.Create(ctx, c)
	if err == nil {
		m.d.at("create")
	}
	return e, err
}

func (m mortalClaims) Update(ctx context.Context, r fleet.ClaimEntry, c fleet.Claim) (fleet.ClaimEntry, error) {
	if c.Phase == fleet.Served {
		m.d.at("end") // journalled, not yet in the claim
	}
	e, err := m.Claims.Update(ctx, r, c)
	if err == nil {
		switch c.Phase {
		case fleet.Claimed:
			m.d.at("claim")
		case fleet.Brewing:
			m.d.mu.Lock()
			m.d.order, m.d.epoch = c.Order.ID, c.Epoch
			m.d.mu.Unlock()
			m.d.at("fence")
		case fleet.Served:
			m.d.at("served")
		case fleet.Accepted:
			if c.Marked() {
				m.d.at("mark")
			}
		}
	}
	return e, err
}

type mortalEvents struct {
	fleet.Events
	d *death
}

func (m mortalEvents) Publish(ctx context.Context, e fleet.Event) error {
	err := m.Events.Publish(ctx, e)
	if err == nil && e.Kind == fleet.EvServed {
		m.d.at("event") // told, not yet acked
	}
	return err
}

func (d *death) controller(p controller.Parts) controller.Parts {
	p.Claims = mortalClaims{p.Claims, d}
	p.Stock = mortalStock{p.Stock, d}
	p.Orders = mortalOrders{p.Orders, d}
	p.Intake = mortalIntake{p.Intake, d}
	return p
}

type mortalStock struct {
	fleet.Stock
	d *death
}

func (m mortalStock) Reserve(ctx context.Context, id string, use int, i fleet.Items) error {
	err := m.Stock.Reserve(ctx, id, use, i)
	if err == nil {
		m.d.at("reserve")
	}
	return err
}

type mortalOrders struct {
	fleet.Orders
	d *death
}

func (m mortalOrders) Publish(ctx context.Context, o fleet.Order, id string) (bool, error) {
	dup, err := m.Orders.Publish(ctx, o, id)
	if err == nil {
		m.d.at("publish")
	}
	return dup, err
}

type mortalIntake struct {
	fleet.Intake
	d *death
}

func (m mortalIntake) NextDrop(ctx context.Context) (*fleet.Drop, error) {
	drop, err := m.Intake.NextDrop(ctx)
	if err == nil {
		drop.Settlement = mortalSettlement{drop.Settlement, m.d}
	}
	return drop, err
}

type mortalSettlement struct {
	fleet.Settlement
	d *death
}

func (m mortalSettlement) Done(ctx context.Context) error {
	m.d.at("pass") // passed on, not yet acked
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

	prompt bool // services start as prompt has it, from now on
}

// running is one child process.
type running struct {
	site *site
	name string
	spec child
	cmd  *exec.Cmd
	gone chan struct{}

	urgent bool
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), port: freePort(t)}
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

func (s *site) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

func (s *site) write(name, text string) string {
	path := filepath.Join(s.dir, name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// start runs a service; it is started anew with again.
func (s *site) start(name string, spec child) *running {
	p := &running{site: s, name: name, spec: spec}
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
	path := s.write("shop", fmt.Sprintf("state: %s\nbroker:\n  listen: 127.0.0.1:%d\ncontroller: {}\nstock:\n  initial:\n%s", filepath.Join(s.dir, "shop"), s.port, initial.String()))
	p := s.start("shop", child{Config: path, Point: point, Mark: filepath.Join(s.dir, "shop.died")})
	s.connect()
	menu := fleet.DefaultMenu()
	menu.Beans, menu.Milks = beans, []string{fleet.NoMilk}
	b, _ := json.Marshal(menu)
	s.eventually("the menu", func() bool { return s.conn.Settings().Put(s.t.Context(), fleet.KeyMenu, b) == nil })
	// An order that comes before its bean is on the menu is refused for good.
	s.eventually("the menu to be in force", func() bool {
		return slices.Equal(controller.Remote(s.conn.Requester()).Menu().Beans, beans)
	})
	return p
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

// machine starts a machine's service.
func (s *site) machine(name, plant, point string, beans []string, brew time.Duration) *running {
	path := s.write(name, fmt.Sprintf(`state: %s
nats: {servers: ["%s"]}
machine:
  name: %s
  driver: mock
  plant: %s
  cup: sensor
  serves: {beans: [%s], milk: [free], sizes: [small, medium, large]}
`, filepath.Join(s.dir, name), s.url(), name, plant, strings.Join(beans, ", ")))
	return s.start(name, child{Config: path, Point: point, Mark: filepath.Join(s.dir, name+".died"), Brew: brew})
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	s.within(3*time.Minute, what, ok)
}

func (s *site) within(d time.Duration, what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(d)
	for !ok() {
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
	e, err := s.conn.Claims().Get(s.t.Context(), id)
	if err != nil {
		return ""
	}
	return e.Phase
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

// killsReturn: the owner returns (F01–F08, and between event and ack).
var killsReturn = []fate{
	{"receipt", fleet.Served, []int{1}},
	{"claim", fleet.Served, []int{1}},
	{"fence", fleet.Served, []int{1}},    // the journal proves that nothing was commanded
	{"start", fleet.Unknown, []int{0}},   // journalled; a counter would tell
	{"brew", fleet.Unknown, []int{0, 1}}, // cut off, or poured on by the held relay
	{"poured", fleet.Unknown, []int{1}},  // a counter would tell
	{"end", fleet.Served, []int{1}},      // the journal tells
	{"served", fleet.Served, []int{1}},   // the redelivery is acked away
	{"event", fleet.Served, []int{1}},    //
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
		p, sock := s.plant(name, 20)
		plants[f.point] = p
		procs[f.point] = s.machine(name, sock, f.point, beans[i:i+1], 0)
	}
	for i := range killsReturn {
		s.order(testID(i), beans[i])
	}
	for _, f := range killsReturn {
		p := procs[f.point]
		s.within(time.Minute, "the death at "+f.point, p.ended)
		p.again() // as the service manager does
	}
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
	beans := beansOf(killsForGood)
	s.shop("", beans)
	plants := map[string]*plant.Plant{}
	procs := map[string]*running{}
	for i, f := range killsForGood {
		name := "m-" + f.point
		p, sock := s.plant(name, 20)
		plants[f.point] = p
		procs[f.point] = s.machine(name, sock, f.point, beans[i:i+1], 0)
	}
	for i := range killsForGood {
		s.order(testID(i), beans[i])
	}
	for _, f := range killsForGood {
		p := procs[f.point]
		s.within(time.Minute, "the death at "+f.point, p.ended)
	}
	rescue, sock := s.plant("rescue", 20)
	s.machine("rescue", sock, "", beans, 20*time.Second)
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

// TestKillController kills the shop between each two of claim, reserve, publish,
// mark and answer, and between passing on and acking a foreign drop. The
// customer asks again with the same id; each order is poured once.
func TestKillController(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	for i, point := range []string{"create", "reserve", "publish", "mark", "pass"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			beans := []string{"arabica"}
			p, sock := s.plant("zoe", 50)
			// The menu and the machine first, then the death is armed.
			shop := s.shop("", beans)
			s.machine("zoe", sock, "", beans, 0)
			s.order(testID(100+i), "arabica")
			s.eventually("the first cup", func() bool { return s.phase(testID(100+i)) == fleet.Served })
			shop.term()
			shop.spec.Point = point
			shop.again()

			if point == "pass" {
				body := `{"size":"small","bean_type":"Arabica","name":"Quentin","milk":"free","sugar_count":"0"}`
				s.drop("coffee.orders.arabica", body)
			} else {
				// It is asked until it dies of it; the answer never comes.
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
			s.eventually("empty queues", func() bool {
				w, err := s.conn.Orders().Waiting(t.Context())
				n, err2 := s.conn.IntakeWaiting(t.Context())
				return err == nil && err2 == nil && len(w) == 0 && n == 0
			})
			if got := drinks(p); got != 2 {
				t.Errorf("%d pours for 2 orders", got)
			}
			s.eventually("a clean ledger", func() bool {
				l, err := s.levels()
				return err == nil && l["arabica"] == fleet.Level{OnHand: 9982, Refilled: 10000, Consumed: 18}
			})
		})
	}
}
