package jura_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/jura"
	"barista/driver/jura/sim"
	"barista/driver/serial"
	"barista/driver/serial/link"
)

// TestOverARealPort makes drinks over a pseudo-terminal in real time, the
// machine twenty times as fast; the wire keeps its own speed. The cable is pulled
// in the middle of the second one, and comes back under its name.
func TestOverARealPort(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s of real time")
	}
	t.Parallel()
	cfg := sim.Plant()
	cfg.Speed = 20
	m, err := sim.New(sim.Config{Plant: &cfg, Lenient: true, Count: 5})
	if err != nil {
		t.Fatal(err)
	}
	m.Plant().PlaceCup()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Errorf("the machine would not have survived: %v", err)
		}
	})
	path := filepath.Join(t.TempDir(), "jura")
	plug := func() (pull func()) {
		l, err := link.Make(path)
		if err != nil {
			t.Fatal(err)
		}
		live, end := context.WithCancel(ctx)
		served := make(chan struct{})
		go func() { defer close(served); _ = m.Serve(live, l) }()
		return func() { end(); <-served }
	}
	pull := plug()
	defer func() {
		pull()
		cancel()
		all.Wait()
	}()
	rig, err := jura.Open(jura.Config{Model: "EF532M", Serial: "1", Port: serial.Config{Device: path}})
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	a := rig.Appliance
	wait, done := context.WithTimeout(ctx, 90*time.Second)
	defer done()
	until := func(what string, is func() bool) {
		t.Helper()
		for !is() {
			if wait.Err() != nil {
				t.Fatalf("%s: not so", what)
			}
		}
	}
	ready := func() bool { return a.Ready(wait) == nil }
	count := func() (n int) {
		until("the counter is read", func() bool { n, err = a.Counter(wait); return err == nil })
		return n
	}
	until("ready", ready)
	before := count()
	if before != 5 {
		t.Errorf("the counter is %d", before)
	}
	if err := a.Start(wait, driver.Product{Key: "espresso", Cycles: 1}); err != nil {
		t.Fatal(err)
	}
	until("it is made", func() bool { return m.Counter("espresso") == 6 })
	until("ready again", ready)
	if n := count(); n != before+1 {
		t.Errorf("the counter rose by %d", n-before)
	}
	// Not within 10 s of the key before, in real time.
	until("a second key", func() bool { return ready() && a.Start(wait, driver.Product{Key: "espresso", Cycles: 1}) == nil })
	pull()
	if _, err := a.Busy(wait); err == nil {
		t.Error("it is unplugged, and says whether it is busy")
	}
	until("it is made all the same", func() bool { return m.Counter("espresso") == 7 })
	pull = plug()
	until("ready after it was plugged in", ready)
	if n := count(); n != before+2 || m.Plant().Counts().Drinks != 2 || len(m.Presses()) != 2 {
		t.Errorf("the counter rose by %d, %d drinks, %d keys", n-before, m.Plant().Counts().Drinks, len(m.Presses()))
	}
}
