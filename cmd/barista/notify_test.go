package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/cmd/barista/service"
	"barista/configs"
	kindmock "barista/configs/kinds/mock"
	"barista/driver"
	"barista/fleet"
)

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

// stuckSensor blocks whoever reads it while the barrier is shut.
type stuckSensor struct {
	driver.Sensor
	barrier *barrier
}

type barrier struct {
	mu     sync.Mutex
	shut   bool
	inside chan struct{} // one slot: somebody stands before it
	open   chan struct{}
}

func (g *barrier) pass() {
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
	s.barrier.pass()
	return s.Sensor.Read()
}

// TestWatchdogIsFedByTheLoop runs a machine's service whose shop is not there,
// hears that it is ready without, then lets its control loop hang in the middle
// of a turn: no sign of life comes until it goes on.
func TestWatchdogIsFedByTheLoop(t *testing.T) {
	c := manager(t)
	g := &barrier{inside: make(chan struct{}, 1), open: make(chan struct{})}
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
	hear(t, c, "WATCHDOG=1", 2*service.PingPace) // one may have been on its way
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
		Broker:     &configs.Broker{Listen: configs.ListenNone, Store: filepath.Join(dir, "broker"), OrdersPerDay: configs.DefaultOrdersPerDay, NoKeys: true},
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
