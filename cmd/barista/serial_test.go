package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"barista/configs"
	"barista/configs/kinds/kindtest"
	"barista/driver"
	"barista/driver/jura"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
	"barista/fleet"
)

// prompt starts a process that no other one on this computer keeps waiting, where
// that is allowed. A board answers within milliseconds however busy a computer is,
// and the guard rightly stops a machine whose board does not for 250 ms: what plays
// a board, and what drives it, must not wait for other tests. The process and its
// threads have the scheduling of the thread that starts it.
func prompt(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const self = 0
	was, err := unix.SchedGetAttr(self, 0)
	if err == nil && unix.SchedSetAttr(self, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0) == nil {
		defer func() { _ = unix.SchedSetAttr(self, was, 0) }()
	}
	return start()
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
	cmd := exec.Command("barista", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), configs.EnvNATS+"="+url)
	return launched(t, cmd, strings.Join(args, " "))
}

func launched(t *testing.T, cmd *exec.Cmd, what string) *terminal {
	t.Helper()
	p := &terminal{t: t, args: what, cmd: cmd, gone: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := prompt(p.cmd.Start); err != nil {
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
	}{
		{[]string{"sim", "jura", "--model", "EF532M", "--link", "./jura"}, "configs/jura-e6.yaml", "jura"},
		{[]string{"sim", "modbus", "--link", "./board"}, "configs/modbus-relays.yaml", "board"},
		{[]string{"sim", "lcus", "--link", "./board"}, "configs/lcus-relays.yaml", "board"},
	} {
		t.Run(c.sim[1], func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.shop("", []string{"arabica"})
			s.oneDrink(c.sim, c.config, c.port)
		})
	}
}

// oneDrink runs simulator and service until an order is a drink.
func (s *site) oneDrink(simulator []string, config, port string) {
	t := s.t
	t.Helper()
	dir, id := folder(t), testID(1)
	sim := typed(t, dir, "", simulator...)
	s.there(filepath.Join(dir, port))
	run := typed(t, dir, s.url(), "run", "--config", config)
	defer func() { sim.ends(); run.ends() }()
	s.within(time.Minute, "the machine", func() bool {
		list, err := s.conn.Fleet().Present(t.Context())
		return run.ended() || err == nil && len(list) > 0
	})
	s.order(id, "arabica")
	s.within(2*time.Minute, "the drink", func() bool {
		p := s.phase(id)
		return p.Ended() || p == fleet.Unknown || sim.ended() || run.ended()
	})
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

// relayBoard is a simulated board in a process of its own, which goes on when the
// service dies.
type relayBoard struct {
	Port    string // its serial port
	Metal   string // where its plant is offered
	Flashes string // a line for each command that closes a relay: when it is over, by the clock

	t     *testing.T
	plant *plant.Remote
}

const boardEnv = "BARISTA_TEST_BOARD" // JSON: the relayBoard that a child plays

func (s *site) modbusBoard(name string) *relayBoard {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	b := &relayBoard{Port: path + ".port", Metal: path + ".metal", Flashes: path + ".flashes", t: s.t}
	spec, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), boardEnv+"="+string(spec))
	p := launched(s.t, cmd, "the board of "+name)
	s.there(b.Port)
	if b.plant, err = plant.Dial(b.Metal); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = b.plant.Close()
		if said, code := p.ends(); code != 0 || said != "" {
			s.t.Errorf("the board of %s ended with %d: %s", name, code, said)
		}
	})
	return b
}

// beBoard plays a board; TestMain calls it in the child.
func beBoard(text string) {
	var b relayBoard
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		panic(err)
	}
	if err := b.play(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (b *relayBoard) play() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cfg := plant.Default()
	cfg.Speed, cfg.Cups, cfg.Refill = 5, plant.Auto, true
	metal := plant.New(cfg)
	offer, err := plant.Listen(b.Metal)
	if err != nil {
		return err
	}
	flashes, err := os.Create(b.Flashes)
	if err != nil {
		return err
	}
	port, err := link.Make(b.Port)
	if err != nil {
		return err
	}
	board := modbussim.New(modbussim.Config{
		Plant: metal.Handle(), Baud: 115200,
		Relays: []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar},
		Inputs: []driver.Signal{driver.Cup, driver.Tank, driver.Beans, driver.Tray, driver.Hot},
		Executed: func(q modbus.Request) {
			if _, d, flash := q.Flashes(); flash {
				fmt.Fprintln(flashes, time.Now().Add(d).UnixNano())
			}
			if q.Closes() {
				fmt.Fprintln(os.Stderr, "a relay was closed without a time")
			}
		},
	})
	served := make(chan error, 1)
	go func() { served <- plant.Serve(ctx, offer, metal) }()
	err = board.Run(ctx, port)
	stop()
	return errors.Join(err, <-served)
}

// over is when the last flash ends.
func (b *relayBoard) over() time.Time {
	b.t.Helper()
	text, err := os.ReadFile(b.Flashes)
	if err != nil {
		b.t.Fatal(err)
	}
	var last int64
	for line := range strings.FieldsSeq(string(text)) {
		end, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			b.t.Fatal(err)
		}
		last = max(last, end)
	}
	return time.Unix(0, last)
}

func (b *relayBoard) counts() plant.Counts {
	b.t.Helper()
	c, err := b.plant.Counts()
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// relayFile writes a sample for a board on a port, five times as fast.
func (s *site) relayFile(sample, name, bean, port string, changes ...string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join("../../configs", sample))
	if err != nil {
		s.t.Fatal(err)
	}
	text := kindtest.Text(s.t, string(b), append(append(slices.Clone(kindtest.Fast),
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
	s := newSite(t)
	var beans []string
	for _, f := range killsReturn {
		beans = append(beans, f.point)
	}
	s.shop("", beans)
	s.prompt = true
	// One after the other: nine boards at once are more than a computer answers for.
	var killed []kill
	for i, f := range killsReturn {
		killed = append(killed, s.killAt(f, beans[i], testID(i)))
	}
	for _, k := range killed {
		s.eventually(k.point+" to come out "+string(k.phase), func() bool { return s.phase(k.id) == k.phase })
		// The plant counts a pour when nothing has come for a while.
		s.within(20*time.Second, fmt.Sprintf("pours of %v after %s", k.cups, k.point), func() bool {
			return slices.Contains(k.cups, k.board.counts().Drinks)
		})
	}
	for _, k := range killed {
		if got := k.board.counts().Drinks; got > 1 {
			t.Errorf("killed at %s: %d pours", k.point, got)
		}
	}
}

// kill is a service that was killed and is back.
type kill struct {
	fate
	id    string
	board *relayBoard
}

// killAt lets a service take an order and die at a step of it, and wants its
// board at rest within the board's own time; then it starts it anew.
func (s *site) killAt(f fate, bean, id string) kill {
	t := s.t
	t.Helper()
	name := "b-" + bean
	b := s.modbusBoard(name)
	changes := []string{", mixed]", "]", "baud: 9600 ", "baud: 115200 "}
	if f.point == "claim" { // nothing but a cup is waited for
		changes = append(changes, "cup: sensor ", "cup: page ")
	}
	path := s.relayFile("modbus-relays.yaml", name, bean, b.Port, changes...)
	p := s.start(name, child{Config: path, Point: f.point, Mark: filepath.Join(s.dir, name+".died")})
	s.within(time.Minute, name, func() bool {
		list, err := s.conn.Fleet().Present(t.Context())
		return p.ended() || err == nil && slices.ContainsFunc(list, func(m fleet.Presence) bool { return m.Machine == name })
	})
	s.order(id, bean)
	s.within(time.Minute, "the death at "+f.point, func() bool {
		_, err := os.Stat(filepath.Join(s.dir, name+".died"))
		return err == nil && p.ended()
	})
	if f.point == "brew" && !slices.Contains(b.counts().OnNow(), driver.Pump) && time.Now().Before(b.over()) {
		t.Error("killed in the middle of the pour, and the board has dropped its relay at once")
	}
	// Nobody is there: the board's own timer, and what it may think.
	<-time.After(time.Until(b.over().Add(200 * time.Millisecond)))
	if on := b.counts().OnNow(); len(on) > 0 {
		t.Errorf("killed at %s: after the board's time, on: %v", f.point, on)
	}
	p.again() // as the service manager does, also when the board's first answer is late
	p.kept = true
	if f.point == "claim" {
		s.cup(name, id)
	}
	return kill{f, id, b}
}

// TestKillLCUS kills the service while the pump runs on a board that has no
// timer: it runs on until safe-off, which the stop hook calls, opens it within
// 2 s.
func TestKillLCUS(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	s.shop("", []string{"arabica"})
	s.prompt = true
	dir := folder(t)
	sim := typed(t, dir, "", "sim", "lcus", "--link", "./board", "--speed", "5", "--offer", "./metal.sock")
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
