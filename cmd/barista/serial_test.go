package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"barista/configs"
	"barista/driver"
	"barista/driver/jura"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
	"barista/fleet"
)

// hurried counts the tests that need hurry.
var hurried struct {
	sync.Mutex
	n int
}

// hurry lets this process, and those it starts, go before the others on this
// computer where that is allowed, as the service's unit has it. A board answers
// within milliseconds however busy a computer is; a simulator beside other tests
// does not, and then the guard says rightly that the pump may be on.
func hurry(t *testing.T) {
	set := func(nice int) {
		tasks, _ := os.ReadDir("/proc/self/task")
		for _, task := range tasks {
			if id, err := strconv.Atoi(task.Name()); err == nil {
				_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, nice)
			}
		}
	}
	change := func(by int) {
		hurried.Lock()
		defer hurried.Unlock()
		if hurried.n += by; hurried.n == 0 {
			set(0)
		} else {
			set(-15)
		}
	}
	change(1)
	t.Cleanup(func() { change(-1) })
}

// terminal is a barista of its own, as a person types it, in a folder of the
// test.
type terminal struct {
	t    *testing.T
	args string
	cmd  *exec.Cmd
	out  lockedBuffer
	gone chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func typed(t *testing.T, dir, url string, args ...string) *terminal {
	t.Helper()
	p := &terminal{t: t, args: strings.Join(args, " "), gone: make(chan struct{})}
	p.cmd = exec.Command("barista", args...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), configs.EnvNATS+"="+url)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.gone) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.gone
		if t.Failed() {
			t.Logf("--- barista %s\n%s", p.args, p.out.String())
		}
	})
	return p
}

// ends asks for a clean end and returns what it said and its exit code.
func (p *terminal) ends() (string, int) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.gone:
	case <-time.After(time.Minute):
		p.t.Fatalf("barista %s does not end", p.args)
	}
	return p.out.String(), p.cmd.ProcessState.ExitCode()
}

// folder has the samples in configs, as the sources have it.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "configs"), os.DirFS("../../configs")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s *site) there(path string) {
	s.t.Helper()
	s.within(time.Minute, path, func() bool { _, err := os.Lstat(path); return err == nil })
}

// TestSerialMachines runs the commands of the README in processes of their own:
// a simulator and the service with its sample file. An order from another
// program becomes one drink.
func TestSerialMachines(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes, and drinks in real time: not with -short")
	}
	for _, c := range []struct {
		sim    []string
		config string
		port   string
		also   []string // for a computer that is busy with other tests
	}{
		{[]string{"sim", "jura", "--model", "EF532M", "--link", "./jura"}, "configs/jura-e6.yaml", "jura", nil},
		{[]string{"sim", "modbus", "--link", "./board"}, "configs/modbus-relays.yaml", "board", nil},
		{[]string{"sim", "lcus", "--link", "./board"}, "configs/lcus-relays.yaml", "board", []string{"--lenient"}},
	} {
		t.Run(c.sim[1], func(t *testing.T) {
			t.Parallel()
			hurry(t)
			s := newSite(t)
			s.shop("", []string{"arabica"})
			for n := 1; !s.oneDrink(testID(n), append(c.sim, c.also...), c.config, c.port); n++ {
				if n == tries {
					t.Fatal("this computer has no time for a simulated board")
				}
			}
		})
	}
}

// tries is how often a test begins anew where the computer kept a board from
// answering within its 250 ms: the guard then stops the machine, as it must.
const tries = 4

// starved finds that in what a service said.
func starved(t *testing.T, said string) bool {
	for _, sign := range []string{"the board does not answer", "did not come back from switching", "not done in time"} {
		if strings.Contains(said, sign) {
			t.Log("the computer was too busy for a board, and the machine has stopped; again")
			return true
		}
	}
	return false
}

// oneDrink runs simulator and service until the order is a drink; false if they
// had no chance.
func (s *site) oneDrink(id string, simulator []string, config, port string) bool {
	t := s.t
	t.Helper()
	dir := folder(t)
	sim := typed(t, dir, "", simulator...)
	s.there(filepath.Join(dir, port))
	run := typed(t, dir, s.url(), "run", "--config", config)
	defer func() { sim.ends(); run.ends() }()
	here := func() bool {
		list, err := s.conn.Fleet().Present(t.Context())
		return err == nil && len(list) > 0
	}
	s.within(time.Minute, "the machine", func() bool { return run.ended() || here() })
	if run.ended() {
		return !starved(t, run.out.String())
	}
	s.order(id, "arabica")
	over := func() bool { p := s.phase(id); return p.Ended() || p == fleet.Unknown }
	s.within(2*time.Minute, "the drink", func() bool {
		return over() || sim.ended() || run.ended() || strings.Contains(run.out.String(), "cause=guard")
	})
	if strings.Contains(run.out.String(), "cause=guard") && starved(t, run.out.String()) {
		return false
	}
	if p := s.phase(id); p != fleet.Served {
		t.Errorf("the order came out %s", p)
	}
	if simulator[1] == "jura" {
		s.counted(dir, port, run)
	}
	if said, code := run.ends(); code != 0 || !strings.Contains(said, "stopped, everything is off") {
		t.Errorf("the service ended with %d", code)
	}
	if said, code := sim.ends(); code != 0 || !strings.Contains(said, "1 drink poured: 1 in a cup, 0 in a full cup, 0 in the tray") {
		t.Errorf("the simulator ended with %d: %s", code, said)
	}
	return true
}

func (p *terminal) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// counted wants the proof on the machine's own counters. The service ends before
// they are read: there is one plug.
func (s *site) counted(dir, port string, run *terminal) {
	s.t.Helper()
	run.ends()
	p, err := serial.Open(serial.Config{Device: filepath.Join(dir, port)})
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.Close()
	for late := time.Now().Add(time.Minute); ; {
		g, err := jura.Look(s.t.Context(), p)
		if err == nil {
			// Three counters of the row began with 100 each.
			if g.Products != 301 {
				s.t.Errorf("%d products on the counters, want 301", g.Products)
			}
			return
		}
		if time.Now().After(late) {
			s.t.Fatal(err)
		}
	}
}

// relayBoard is a simulated board on a pseudo-terminal of this process: it goes
// on when the service dies.
type relayBoard struct {
	plant *plant.Plant
	link  *link.Link
	mu    sync.Mutex
	until time.Time // when the last flash is over
}

func (s *site) modbusBoard(name string) *relayBoard {
	s.t.Helper()
	cfg := plant.Default()
	cfg.Speed, cfg.Cups, cfg.Refill = 5, plant.Auto, true
	b := &relayBoard{plant: plant.New(cfg)}
	var err error
	if b.link, err = link.Make(filepath.Join(s.dir, name+".port")); err != nil {
		s.t.Fatal(err)
	}
	board := modbussim.New(modbussim.Config{
		Plant: b.plant.Handle(), Baud: 115200,
		Relays: []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar},
		Inputs: []driver.Signal{driver.Cup, driver.Tank, driver.Beans, driver.Tray, driver.Hot},
		Executed: func(q modbus.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if _, d, flash := q.Flashes(); flash {
				if end := time.Now().Add(d); end.After(b.until) {
					b.until = end
				}
			}
			if q.Closes() {
				s.t.Errorf("%s: a relay was closed without a time", name)
			}
		},
	})
	s.plays(func(ctx context.Context, l io.ReadWriteCloser) error { return board.Run(ctx, l) }, b.link)
	return b
}

// plays runs a board until the test is over.
func (s *site) plays(run func(context.Context, io.ReadWriteCloser) error, l *link.Link) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, l) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

// relayFile writes a sample for a board on a port, five times as fast.
func (s *site) relayFile(sample, name, bean, port string, changes ...string) string {
	s.t.Helper()
	text := sampleText(s.t, sample, append(append(slices.Clone(fast),
		"beans: [arabica", "beans: ["+bean, "milk: [free, normal]", "milk: [free]", "port: ./board", "port: "+port,
		"nats://127.0.0.1:4222", s.url()), changes...)...)
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "state:"):
			lines[i] = "state: " + filepath.Join(s.dir, name)
		case strings.HasPrefix(l, "  name:"):
			lines[i] = "  name: " + name
		}
	}
	return s.write(name, strings.Join(lines, "\n"))
}

// TestKillModbus kills the service at each step of a drink on a board with a
// timer. The board opens its relays within the time that it was given, with
// nobody there; the service comes back, and the order is not poured twice.
func TestKillModbus(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes and real 15 s of AckWait: not with -short")
	}
	t.Parallel()
	hurry(t)
	s := newSite(t)
	var beans []string
	for _, f := range killsReturn {
		for try := range tries {
			beans = append(beans, fmt.Sprintf("%s-%d", f.point, try))
		}
	}
	s.shop("", beans)
	// One after the other: nine boards at once are more than a computer answers for.
	var killed []kill
	seen := 0
	for i, f := range killsReturn {
		for try := 0; ; try++ {
			if try == tries {
				t.Fatalf("%s: this computer has no time for a simulated board", f.point)
			}
			if k, ok := s.killAt(f, beans[i*tries+try], testID(i*tries+try)); ok {
				killed = append(killed, k)
				break
			}
		}
	}
	for _, k := range killed {
		s.eventually(k.point+" to come out "+string(k.phase), func() bool {
			return s.phase(k.id) == k.phase || strings.Contains(k.proc.log(), "cause=guard")
		})
		if strings.Contains(k.proc.log(), "cause=guard") && starved(t, k.proc.log()) {
			continue // it is seen below that nothing was poured twice
		}
		seen++
		// The plant counts a pour when nothing has come for a while.
		s.within(20*time.Second, fmt.Sprintf("pours of %v after %s", k.cups, k.point), func() bool {
			return slices.Contains(k.cups, drinks(k.board.plant))
		})
	}
	t.Logf("%d services killed, %d of them seen to the order's end", len(killed), seen)
	for _, k := range killed {
		if got := drinks(k.board.plant); got > 1 {
			t.Errorf("killed at %s: %d pours", k.point, got)
		}
	}
}

// kill is a service that was killed and is back.
type kill struct {
	fate
	id    string
	board *relayBoard
	proc  *service
}

// killAt lets a service take an order and die at a step of it, and wants its
// board at rest within the board's own time; then it starts it anew. False if the
// computer left the board no chance to answer.
func (s *site) killAt(f fate, bean, id string) (kill, bool) {
	t := s.t
	t.Helper()
	name := "b-" + bean
	b := s.modbusBoard(name)
	path := s.relayFile("modbus-relays.yaml", name, bean, b.link.Device(), ", mixed]", "]", "baud: 9600 ", "baud: 115200 ")
	p := s.start(name, child{Config: path, Point: f.point, Mark: filepath.Join(s.dir, name+".died")})
	died := func() bool { _, err := os.Stat(filepath.Join(s.dir, name+".died")); return err == nil && p.ended() }
	bad := func() bool { return !died() && (p.ended() || strings.Contains(p.log(), "cause=guard")) }
	s.within(time.Minute, name, func() bool {
		list, err := s.conn.Fleet().Present(t.Context())
		return bad() || err == nil && slices.ContainsFunc(list, func(m fleet.Presence) bool { return m.Machine == name })
	})
	if !bad() {
		s.order(id, bean)
	}
	s.within(time.Minute, "the death at "+f.point, func() bool { return died() || bad() })
	if bad() && starved(t, p.log()) {
		p.kill()
		return kill{}, false
	}
	if f.point == "brew" && !b.plant.On(driver.Pump) && time.Now().Before(b.over()) {
		t.Error("killed in the middle of the pour, and the board has dropped its relay at once")
	}
	// Nobody is there: the board's own timer, and what it may think.
	<-time.After(time.Until(b.over().Add(200 * time.Millisecond)))
	if on := b.plant.Counts().OnNow(); len(on) > 0 {
		t.Errorf("killed at %s: after the board's time, on: %v", f.point, on)
	}
	p.again() // as the service manager does
	return kill{f, id, b, p}, true
}

// over is when the last flash ends.
func (b *relayBoard) over() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until
}

// TestKillLCUS kills the service while the pump runs on a board that has no
// timer: it runs on until safe-off, which the stop hook calls, opens it within
// 2 s.
func TestKillLCUS(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	hurry(t)
	s := newSite(t)
	s.shop("", []string{"arabica"})
	dir := folder(t)
	sim := typed(t, dir, "", "sim", "lcus", "--link", "./board", "--lenient", "--speed", "5", "--offer", "./metal.sock")
	s.there(filepath.Join(dir, "board"))
	metal, err := plant.Dial(filepath.Join(dir, "metal.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer metal.Close()
	on := func() []driver.Part {
		c, err := metal.Counts()
		if err != nil {
			t.Fatal(err)
		}
		return c.OnNow()
	}
	path := s.relayFile("lcus-relays.yaml", "bob", "arabica", filepath.Join(dir, "board"))
	p := s.start("bob", child{Config: path, Point: "brew", Mark: filepath.Join(s.dir, "bob.died")})
	s.order(testID(1), "arabica")
	s.within(2*time.Minute, "the death", p.ended)
	<-time.After(300 * time.Millisecond)
	if !slices.Contains(on(), driver.Pump) {
		t.Fatal("the pump stopped when its host died: this is no LCUS board")
	}
	began := time.Now()
	off := typed(t, dir, "", "safe-off", "--config", path)
	s.within(20*time.Second, "safe-off", off.ended)
	took := time.Since(began)
	if code := off.cmd.ProcessState.ExitCode(); code != 0 || len(on()) > 0 {
		t.Errorf("safe-off ended with %d: %s; on: %v", code, off.out.String(), on())
	}
	if took > 2*time.Second {
		t.Errorf("safe-off took %v", took)
	}
	t.Logf("safe-off: %v, %s", took.Round(time.Millisecond), strings.TrimSpace(off.out.String()))
	p.again()
	s.eventually("the order to be unknown", func() bool { return s.phase(testID(1)) == fleet.Unknown })
	if c, err := metal.Counts(); err != nil || c.Drinks > 1 {
		t.Errorf("%d drinks, %v", c.Drinks, err)
	}
	p.term()
	sim.ends()
}
