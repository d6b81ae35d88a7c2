package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"barista/configs"
	kindmock "barista/configs/kinds/mock"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/controller"
	"barista/fleet/queue"
	"barista/machine"
)

var (
	benchMachine = flag.String("bench-machine", "", "only for TestBenchLate itself: `NAME:DIR:URL` of the machine that this process is")
	benchSpin    = flag.Bool("bench-spin", false, "only for TestBenchLate itself: this process only keeps a core busy")
)

// What is measured: ten machines pour at the same time, so that a hundred pours
// of 10 s take two minutes. Each is a process of its own, as its service is.
const (
	lateMachines = 10
	latePours    = 10 // of each machine
	latePump     = 10 * time.Second
	lateRate     = 100 // requests per second at the shop
)

// lateness is one way to run the machines.
type lateness struct {
	name     string
	spin     int  // busy processes beside them
	requests bool // the shop has customers
	together bool // shop and machines are one process
	aim      time.Duration
}

var latenesses = []lateness{
	{name: "quiet", aim: 2 * time.Millisecond},
	{name: "4 busy processes beside it", spin: 4, aim: 5 * time.Millisecond},
	{name: fmt.Sprintf("a shop under %d requests/s beside it", lateRate), requests: true, aim: 20 * time.Millisecond},
	{name: fmt.Sprintf("shop under %d requests/s and machines in one process", lateRate), requests: true, together: true},
}

// TestBenchLate measures how late a pump goes off: from the return of its On to
// the moment when the driver hears Off, less the 10 s between. It fails when a
// drink is missing, never on time.
func TestBenchLate(t *testing.T) {
	if !*benchOrders {
		t.Skip("measures for minutes; make bench runs it")
	}
	fmt.Printf("\n%d pours of %v by %d machines, priority as in their unit: %s. %s.\n\n", lateMachines*latePours, latePump, lateMachines, niceness(), computer(t))
	fmt.Println("| a pump goes off late by | p50 | p99 | worst | aim for p99 | | others used |\n|---|---:|---:|---:|---:|---|---:|")
	for _, how := range latenesses {
		late, others := how.measure(t)
		if t.Failed() {
			return
		}
		aim, verdict := "", ""
		if how.aim > 0 {
			aim, verdict = fmt.Sprintf("≤ %v", how.aim), atMost(ms(quantile(late, 0.99)), ms(how.aim))
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %.0f %% of a core |\n", how.name,
			µs(quantile(late, 0.5)), µs(quantile(late, 0.99)), µs(slices.Max(late)), aim, verdict, others)
	}
}

func (l lateness) measure(t *testing.T) (late []time.Duration, others float64) {
	dir := t.TempDir()
	name := "barista"
	if l.together {
		name = "barista with machines"
	}
	started, busy := time.Now(), busyCPU(t)
	shop := startShop(t, name, dir)
	defer shop.stop(t)
	c, err := queue.Connect(t.Context(), queue.Config{Name: "bench", Servers: []string{shop.url}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	here := fleet.Presence{ // a machine that is away: its orders wait
		Machine: "away", Classes: []fleet.Class{awayClass}, Sizes: fleet.Sizes, State: fleet.StateCordoned, Cup: "attended",
	}
	if err := c.Fleet().Announce(t.Context(), here); err != nil {
		t.Fatal(err)
	}
	ours := []int{os.Getpid(), shop.cmd.Process.Pid}
	said := make(chan string, lateMachines*latePours)
	if l.together {
		shop.hear(said)
	} else {
		for _, m := range names[:lateMachines] {
			p := startBench(t, unitNice, "TestBenchMachine", "-bench-machine="+m+":"+filepath.Join(dir, m)+":"+shop.url)
			p.hear(said)
			defer p.stop(t)
			ours = append(ours, p.cmd.Process.Pid)
		}
	}
	for range l.spin {
		p := startBench(t, 0, "TestBenchSpin", "-bench-spin")
		defer p.stop(t)
		ours = append(ours, p.cmd.Process.Pid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var customers sync.WaitGroup
	defer customers.Wait()
	defer cancel()
	if l.requests {
		customers.Go(func() { flood(ctx, t, c) })
	}
	door := controller.Remote(c.Requester())
	for range lateMachines * latePours {
		l.order(t, door)
	}
	for len(late) < lateMachines*latePours {
		select {
		case line := <-said:
			ns, err := strconv.ParseInt(line, 10, 64)
			if err != nil {
				t.Fatalf("a machine said %q", line)
			}
			late = append(late, time.Duration(ns))
		case <-time.After(3 * time.Minute):
			t.Errorf("%s: only %d of %d pours", l.name, len(late), lateMachines*latePours)
			return late, 0
		}
	}
	used := busyCPU(t) - busy
	for _, pid := range ours {
		used -= cpuOf(t, pid)
	}
	return late, 100 * max(0, used).Seconds() / time.Since(started).Seconds()
}

// order is one drink for whichever machine is free; asked until it is known.
func (l lateness) order(t *testing.T, door *controller.Client) {
	o := fleet.Order{ID: ulid.Make().String(), Name: "Quentin", Size: fleet.Medium, Bean: benchClass.Bean, Milk: benchClass.Milk}
	for range 300 {
		a := door.Place(t.Context(), o.Encode(), "bench")
		switch {
		case a.OK():
			return
		case a.Code != fleet.CodeUnavailable && a.Code != fleet.CodeNotOnMenu && a.Code != fleet.CodeQueueFull:
			t.Fatalf("%s: %s: %s", l.name, a.Code, a.Message)
		}
		<-time.After(100 * time.Millisecond) // until the machines are known
	}
	t.Fatalf("%s: an order was not taken in 30 s", l.name)
}

// awayClass is what the customers of flood order; nobody makes it now.
var awayClass = fleet.Class{Bean: "robusta", Milk: fleet.NoMilk}

// flood orders and cancels in turn, at lateRate requests per second, in as many
// goroutines as that takes.
func flood(ctx context.Context, t *testing.T, c *queue.Conn) {
	door := controller.Remote(c.Requester())
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(2 * time.Second / lateRate)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all.Go(func() {
			o := fleet.Order{ID: ulid.Make().String(), Name: "Ada", Size: fleet.Small, Bean: awayClass.Bean, Milk: awayClass.Milk}
			a := door.Place(ctx, o.Encode(), "bench")
			if a.OK() {
				_ = door.Cancel(ctx, o.ID, "bench") // it may be in time or not; the load is the same
			} else if a.Code != fleet.CodeUnavailable && a.Code != fleet.CodeQueueFull && ctx.Err() == nil {
				t.Errorf("flood: %s: %s", a.Code, a.Message)
			}
		})
	}
}

// TestBenchMachine is one machine's process.
func TestBenchMachine(t *testing.T) {
	part := strings.SplitN(*benchMachine, ":", 3)
	if len(part) < 3 {
		t.Skip("only TestBenchLate starts it")
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	f := &configs.File{State: part[1], NATS: &configs.NATS{Servers: []string{part[2]}}}
	s, err := openLate(t.Context(), log, f, part[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.run(untilStdinEnds(t)); err != nil {
		t.Error(err)
	}
}

// openLate opens machines whose pump says on stdout how late it went off.
func openLate(ctx context.Context, log *slog.Logger, f *configs.File, machines ...string) (*shop, error) {
	figures := plant.Default()
	figures.GrinderGPS, figures.FlowMLPS = 17, 110/latePump.Seconds() // a medium one: 1 s, 10 s
	figures.HopperG, figures.TankML, figures.TrayML, figures.TrayHighML = 1e9, 1e9, 1e9, 1e9
	serves := configs.Serves{Beans: []string{benchClass.Bean}, Milks: []string{benchClass.Milk}, Sizes: fleet.Sizes}
	var list []*configs.Machine
	for _, name := range machines {
		m := kindmock.Machine(name, machine.CupAttended, serves, guard.Limits{}, mock.Config{Figures: &figures, Without: []driver.Signal{driver.Flow}}) // so that time ends the pour
		m.Settings = through{m.Settings, func(inner configs.Settings, log *slog.Logger) (driver.Rig, error) {
			rig, err := inner.Open(log)
			if err != nil {
				return rig, err
			}
			wire := rig.Outputs[driver.Pump]
			wire.Output = &punctual{Output: wire.Output}
			rig.Outputs[driver.Pump] = wire
			return rig, nil
		}}
		list = append(list, m)
	}
	return openShop(ctx, log, f, list...)
}

// punctual stands at a pump. The guard calls it from one goroutine at a time.
type punctual struct {
	driver.Output
	on time.Time // the return of On; zero while off
}

func (p *punctual) On(atMost time.Duration) error {
	err := p.Output.On(atMost)
	p.on = time.Now()
	return err
}

func (p *punctual) Off() error {
	if on := time.Since(p.on); !p.on.IsZero() {
		fmt.Printf("late %d\n", (on - latePump).Nanoseconds())
	}
	p.on = time.Time{}
	return p.Output.Off()
}

// TestBenchSpin is a busy process.
func TestBenchSpin(t *testing.T) {
	if !*benchSpin {
		t.Skip("only TestBenchLate starts it")
	}
	ctx := untilStdinEnds(t)
	for ctx.Err() == nil { // that is its work
	}
}

// untilStdinEnds is how a child of the bench is told to end.
func untilStdinEnds(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // ends with the pipe
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

// benchChild is a process of this test binary that runs one test.
type benchChild struct {
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Scanner
	ears sync.WaitGroup
}

// startBench starts one, with a priority that only root may raise: every thread
// must have it from its start, as under a service manager.
func startBench(t *testing.T, nice int, test string, args ...string) *benchChild {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append([]string{exe, "-test.run=^" + test + "$"}, args...)
	if nice != 0 && os.Geteuid() == 0 {
		line = append([]string{"nice", "-n", strconv.Itoa(nice)}, line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &benchChild{cmd: cmd, in: in, out: bufio.NewScanner(out)}
}

// hear hands over what the child says about lateness, until it ends.
func (c *benchChild) hear(said chan<- string) {
	c.ears.Go(func() {
		for c.out.Scan() {
			if n, ok := strings.CutPrefix(c.out.Text(), "late "); ok {
				said <- n
			}
		}
	})
}

func (c *benchChild) stop(t *testing.T) {
	c.in.Close()
	late := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	c.ears.Wait()
	if err := c.cmd.Wait(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a process of the bench: %v", err)
	}
}

// unitNice is Nice= of the machine's unit.
const unitNice = -10

// niceness tells whether a machine's process gets the priority of its unit.
func niceness() string {
	if os.Geteuid() == 0 {
		return fmt.Sprintf("nice %d", unitNice)
	}
	return "not raised, that takes root"
}
