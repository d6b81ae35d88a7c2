package jura_test

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/jura"
	"barista/driver/jura/sim"
	"barista/driver/serial"
	"barista/driver/serial/link"
	"barista/driver/serial/serialtest"
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
	m, err := sim.New(sim.Config{Plant: &cfg, Count: 5})
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

// ptyFrames is how many characters to the machine and lines from it pass over a
// pseudo-terminal; 10000 once by hand.
var ptyFrames = flag.Int("ptyframes", 500, "frames over a pseudo-terminal")

// TestPtyChaos orders over a real pseudo-terminal with noise and a cable that is
// pulled: a key arrives once or not at all, and what the counter tells is what
// was poured. The noise begins with the start, or, each fourth time, long before
// it and with bits that fall over both ways: then no key may be sent.
func TestPtyChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("real time")
	}
	t.Parallel()
	cfg := sim.Plant()
	cfg.Speed, cfg.Refill, cfg.Cups = 50, true, "auto"
	m, err := sim.New(sim.Config{Plant: &cfg, Burst: true, Count: 5})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Errorf("the machine would not have survived: %v", err)
		}
	})
	path := filepath.Join(t.TempDir(), "jura")
	frames := 0
	var line *serialtest.Line
	loud := func(bits float64) {
		line.Noise(serialtest.Noise{Damage: bits, Drop: 0.006, Double: 0.006, Delay: 0.006, Late: 300 * time.Millisecond},
			serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 1500 * time.Millisecond})
	}
	plug := func() (pull func()) {
		l, err := link.Make(path)
		if err != nil {
			t.Fatal(err)
		}
		line = serialtest.Noisy(l, uint64(frames), serialtest.Noise{}, serialtest.Noise{})
		line := line
		served := make(chan struct{})
		go func() { defer close(served); _ = m.Serve(ctx, line) }()
		return sync.OnceFunc(func() { _ = l.Close(); <-served; frames += line.Frames() })
	}
	pull := plug()
	defer func() {
		pull()
		cancel()
		all.Wait()
	}()
	var rig driver.Rig
	// After noise a service that begins anew trusts the wire sooner than one that
	// remembers it.
	open := func() driver.Appliance {
		t.Helper()
		if rig.Close != nil {
			_ = rig.Close()
		}
		var err error
		if rig, err = jura.Open(jura.Config{Model: "EF532M", Serial: "1", Port: serial.Config{Device: path}}); err != nil {
			t.Fatal(err)
		}
		return rig.Appliance
	}
	a := open()
	defer func() { _ = rig.Close() }()
	bg := context.Background()
	starts, unsure, pulled, refused := 0, 0, 0, 0
	for frames+line.Frames() < *ptyFrames {
		always := starts%4 == 1
		if always {
			loud(0.007)
			_ = a.Ready(bg)
		}
		for end := time.Now().Add(2 * time.Minute); !always && a.Ready(bg) != nil; {
			if time.Now().After(end) {
				t.Fatal("it does not become ready")
			}
		}
		before, err := a.Counter(bg)
		if err != nil {
			continue
		}
		drinks, keys := m.Counter("espresso"), len(m.Presses())
		starts++
		if !always {
			loud(0)
		}
		if starts%3 == 0 { // before, or in the middle of the key
			pulled++
			cut, after := pull, time.Duration(starts*37%900)*time.Millisecond
			all.Go(func() { <-time.After(after); cut() })
		}
		err = a.Start(bg, driver.Product{Key: "espresso", Cycles: 1})
		if errors.Is(err, driver.ErrUncertain) {
			unsure++
		} else if err != nil {
			refused++
		}
		if starts%3 == 0 {
			<-time.After(time.Second)
			pull()
			pull = plug()
		}
		for end := time.Now().Add(2 * time.Minute); ; { // until nothing is under way
			busy, lost := a.Busy(bg)
			if lost == nil && !busy && m.Running() == "" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("it does not come to rest: %v", lost)
			}
		}
		after, lost := a.Counter(bg)
		for end := time.Now().Add(2 * time.Minute); lost != nil; after, lost = a.Counter(bg) {
			if time.Now().After(end) {
				t.Fatal(lost)
			}
		}
		pressed, made := len(m.Presses())-keys, m.Counter("espresso")-drinks
		if pressed > 1 || made > 1 || after-before != made || pressed > 0 && err != nil && !errors.Is(err, driver.ErrUncertain) {
			t.Errorf("start %d: %d keys, %d drinks, the counter rose by %d, start said %v", starts, pressed, made, after-before, err)
		}
		if starts%3 == 0 || always {
			pull()
			pull = plug()
		}
		line.Noise(serialtest.Noise{}, serialtest.Noise{})
		a = open()
		if always && pressed > 0 {
			t.Errorf("start %d: a key was sent over a wire that is noisy all the time", starts)
		}
	}
	for _, line := range m.Taken() {
		if !allowed(line) && !strings.HasPrefix(line, "RT:") { // other counters, asked for by a bit
			t.Errorf("%q reached the machine", line)
		}
	}
	frames += line.Frames()
	t.Logf("%d frames, %d starts, %d refused, %d in doubt, %d drinks, cable pulled %d times in a start", frames, starts, refused, unsure, m.Counter("espresso")-5, pulled)
}
