package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/configs"
	kindmock "barista/configs/kinds/mock"
	"barista/driver"
	"barista/fleet"
)

// told gathers what a service manager would hear.
type told struct {
	mu   sync.Mutex
	list []string // state at time
	at   []time.Time
}

func (o *told) tell(state string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range strings.SplitSeq(state, "\n") {
		o.list, o.at = append(o.list, s), append(o.at, time.Now())
	}
	return nil
}

// heard counts what begins so.
func (o *told) heard(prefix string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func (o *told) lastly(prefix string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range slices.Backward(o.list) {
		if strings.HasPrefix(s, prefix) {
			return s
		}
	}
	return ""
}

// TestNotifier goes through a service's life under fake time: not ready before
// every loop has turned, a sign of life only when all of them turn, none for a
// loop that stands still, and a stop that is extended by the loops alone.
func TestNotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o told
		n := &notifier{log: slog.New(slog.DiscardHandler), tell: o.tell, watch: true}
		a, b := n.loop(), n.loop()
		var word sync.Map
		word.Store("now", "ready")
		ctx, term := context.WithCancel(t.Context())
		stop := n.start(ctx, func() string { w, _ := word.Load("now"); return w.(string) })
		turn := func(l *loop, every time.Duration) (halt func()) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(every)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						l.alive()
					case <-ctx.Done():
						return
					}
				}
			}()
			return func() { cancel(); <-done }
		}
		haltA := turn(a, 20*time.Millisecond)
		time.Sleep(time.Minute)
		synctest.Wait()
		if o.heard("READY") > 0 || o.heard("WATCHDOG") > 0 || o.lastly("STATUS=") != "STATUS=starting: ready" {
			t.Errorf("one of two loops turns, and it says %v", o.list)
		}
		haltB := turn(b, time.Second) // a machine at rest
		time.Sleep(10500 * time.Millisecond)
		synctest.Wait()
		if o.heard("READY=1") != 1 || o.lastly("STATUS=") != "STATUS=ready" {
			t.Errorf("not ready: %v", o.list)
		}
		if n := o.heard("WATCHDOG=1"); n < 9 || n > 11 {
			t.Errorf("%d signs of life in 10 s of turns each second", n)
		}
		if o.heard("EXTEND") > 0 || o.heard("STOPPING") > 0 {
			t.Error("it says that it stops")
		}
		word.Store("now", "making order 1: pour\nSTOPPING=1")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := o.lastly("STATUS="); got != "STATUS=making order 1: pour; STOPPING=1" || o.heard("STOPPING") > 0 {
			t.Errorf("words: %q", o.list)
		}
		haltA()
		time.Sleep(time.Second)
		before := o.heard("WATCHDOG=1")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := o.heard("WATCHDOG=1") - before; n > 0 {
			t.Errorf("%d signs of life while a loop stands still", n)
		}
		haltA = turn(a, 20*time.Millisecond)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if o.heard("WATCHDOG=1") <= before {
			t.Error("no sign of life after the loop went on")
		}

		word.Store("now", "making order 1: pour")
		term()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := o.heard("EXTEND_TIMEOUT_USEC=4000000"); o.heard("STOPPING=1") != 1 || n < 9 || o.lastly("STATUS=") != "STATUS=stopping: making order 1: pour" {
			t.Errorf("a stop with a drink in hand: %v", o.list)
		}
		haltB() // hangs in the middle of the stop
		time.Sleep(time.Second)
		before = o.heard("EXTEND")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := o.heard("EXTEND") - before; n > 0 {
			t.Errorf("a stop that hangs was extended %d times", n)
		}
		haltA()
		for _, l := range n.loops {
			_ = l.until(func(context.Context) error { return nil })(t.Context())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if o.heard("EXTEND_TIMEOUT_USEC=60000000") != 1 {
			t.Errorf("no time to close what comes after the last loop: %v", o.list)
		}
		stop()
	})
}

// A service whose loop ends before it has turned was never ready.
func TestNotifierNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o told
		n := &notifier{log: slog.New(slog.DiscardHandler), tell: o.tell, watch: true}
		l := n.loop()
		stop := n.start(t.Context(), func() string { return "" })
		_ = l.until(func(context.Context) error { return errors.New("no") })(t.Context())
		time.Sleep(time.Minute)
		stop()
		if o.heard("READY") > 0 || o.heard("WATCHDOG") > 0 {
			t.Errorf("%v", o.list)
		}
	})
}

// manager listens as systemd does.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "4000000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	return c
}

// hear reads until something with the text comes; false after the time.
func hear(t *testing.T, c *net.UnixConn, text string, within time.Duration) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		if err != nil {
			return false
		}
		t.Logf("heard %q", b[:n])
		if strings.Contains(string(b[:n]), text) {
			return true
		}
	}
}

// stuckSensor blocks whoever reads it while the gate is shut.
type stuckSensor struct {
	driver.Sensor
	gate *gate
}

type gate struct {
	mu     sync.Mutex
	shut   bool
	inside chan struct{} // one slot: somebody stands before it
	open   chan struct{}
}

func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if !shut {
		return
	}
	select {
	case g.inside <- struct{}{}:
	default:
	}
	<-g.open
}

func (s stuckSensor) Read() (driver.Reading, error) {
	s.gate.pass()
	return s.Sensor.Read()
}

// TestWatchdogIsFedByTheLoop runs a machine's service whose shop is not there,
// hears that it is ready without, then lets its control loop hang in the middle
// of a turn: no sign of life comes until it goes on.
func TestWatchdogIsFedByTheLoop(t *testing.T) {
	c := manager(t)
	g := &gate{inside: make(chan struct{}, 1), open: make(chan struct{})}
	addKind(t, handled(kindmock.Kind, "hanging", func(inner configs.Settings, log *slog.Logger) (driver.Rig, error) {
		rig, err := inner.Open(log)
		if err == nil {
			rig.Sensors[driver.Tank] = stuckSensor{rig.Sensors[driver.Tank], g}
		}
		return rig, err
	}))
	dir := t.TempDir()
	text := fmt.Sprintf("state: %s\nnats: {servers: [\"nats://127.0.0.1:%d\"]}\nmachine:\n  name: zoe\n  driver: hanging\n  serves: {beans: [arabica], milk: [free], sizes: [small]}\n  cup: sensor\n", dir, freePort(t))
	t.Setenv(configs.EnvNATS, "")
	f, err := configs.Parse("zoe.yaml", []byte(text), loader())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := openShop(ctx, slog.New(slog.DiscardHandler), f)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx) }()

	if !hear(t, c, "READY=1", 20*time.Second) {
		t.Fatal("a machine without its shop is not ready")
	}
	if !hear(t, c, "can't be reached: trying again", 20*time.Second) {
		t.Error("it does not say that its shop is missing")
	}
	if !hear(t, c, "WATCHDOG=1", 20*time.Second) {
		t.Fatal("no sign of life")
	}
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	<-g.inside
	hear(t, c, "WATCHDOG=1", 2*pingPace) // one may have been on its way
	if hear(t, c, "WATCHDOG=1", 3*time.Second) {
		t.Error("a sign of life from a loop that hangs")
	}
	g.mu.Lock()
	g.shut = false
	g.mu.Unlock()
	close(g.open)
	if !hear(t, c, "WATCHDOG=1", 20*time.Second) {
		t.Error("no sign of life after the loop went on")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !hear(t, c, "STOPPING=1", time.Second) {
		t.Error("it does not say that it stops")
	}
}

// TestShopIsAlive runs a shop without a machine: it is ready, and it lives
// without any order.
func TestShopIsAlive(t *testing.T) {
	c := manager(t)
	dir := t.TempDir()
	f := &configs.File{
		State:      dir,
		Broker:     &configs.Broker{Listen: configs.ListenNone, Store: filepath.Join(dir, "broker"), OrdersPerDay: configs.DefaultOrdersPerDay},
		Controller: &configs.Controller{Requests: true, Intake: true, ExpireAfter: configs.DefaultExpireAfter},
		Stock:      &configs.Stock{Initial: fleet.Items{"arabica": 2000}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := openShop(ctx, slog.New(slog.DiscardHandler), f)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx) }()
	if !hear(t, c, "READY=1\nSTATUS=open", 30*time.Second) {
		t.Fatal("not ready")
	}
	for range 3 {
		if !hear(t, c, "WATCHDOG=1", 20*time.Second) {
			t.Fatal("no sign of life")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
