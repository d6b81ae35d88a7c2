package jura_test

import (
	"bytes"
	"context"
	"flag"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/jura"
	"barista/driver/jura/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // those in real time wait for the wire, not for a core
	goleak.VerifyTestMain(m)
}

// bench is a simulated machine at the end of a cable in memory, and everything
// that was ever written into that cable.
type bench struct {
	t   testing.TB
	sim *sim.Machine
	rig driver.Rig

	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu      sync.Mutex
	cable   *serialtest.Cable // nil: unplugged
	out     bool
	seed    uint64
	toHost  serialtest.Noise
	toSim   serialtest.Noise
	atKey   func() // called when a key begins
	said    jura.Lines
	sent    []string // whole lines that the driver wrote
	harm    error
	answers int // lines from the machine, when it sends them at once
}

// staffed is metal that somebody looks after: fills up, and takes the cups.
func staffed() *plant.Config {
	c := sim.Plant()
	c.Refill, c.Cups = true, "auto"
	return &c
}

// set stands a machine up, and opens it unless open is false.
func set(t testing.TB, cfg sim.Config, open bool) *bench {
	t.Helper()
	m, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Plant().PlaceCup()
	b := &bench{t: t, sim: m}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.all.Go(func() {
		err := m.Run(b.ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.harm = err
	})
	if open {
		b.open()
	}
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.rig, err = jura.Open(b.config()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) config() jura.Config {
	return jura.Config{Model: "EF532M", Serial: "15326-1", Port: serial.Config{Dial: b.dial}}
}

func (b *bench) dial() (serial.Wire, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.out {
		return nil, driver.ErrGone
	}
	b.seed++
	c := serialtest.New(b.seed)
	b.cable = c
	b.said.Reset()
	c.Host().Tap(b.tap)
	c.Device().Tap(func(p []byte) { b.mu.Lock(); b.answers++; b.mu.Unlock() })
	c.Host().Noise(b.toHost)
	c.Device().Noise(b.toSim)
	b.all.Go(func() { _ = b.sim.Serve(b.ctx, c.Device()) })
	return c.Host(), nil
}

// tap sees what the driver writes, before any noise.
func (b *bench) tap(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range p {
		if line, whole := b.said.Feed(c); whole {
			b.sent = append(b.sent, line)
		}
	}
	if b.atKey != nil && bytes.Equal(p, jura.AppendByte(nil, 'F', jura.LowFiller)) {
		go b.atKey()
	}
}

func (b *bench) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}

func (b *bench) keys() int {
	n := 0
	for _, s := range b.lines() {
		if strings.HasPrefix(s, "FA:") {
			n++
		}
	}
	return n
}

func (b *bench) noise(toHost, toSim serialtest.Noise) {
	c := b.now(func() { b.toHost, b.toSim = toHost, toSim })
	if c != nil {
		c.Host().Noise(toHost)
		c.Device().Noise(toSim)
	}
}

// now changes something, and returns the cable. The cable is not touched under our
// lock: it calls the tap under its own.
func (b *bench) now(change func()) *serialtest.Cable {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	return b.cable
}

func (b *bench) cutAfter(n int) {
	b.now(func() { b.out = true }).Device().CutAfter(n)
}

func (b *bench) replug() {
	b.now(func() { b.out = false }).Cut()
}

func (b *bench) fault(f sim.Fault) func(bool) {
	return func(on bool) {
		if on {
			b.sim.Fault(f)
		} else {
			b.sim.Mend(f)
		}
	}
}

// stop ends the simulator and looks for harm.
func (b *bench) stop() {
	b.cancel()
	b.all.Wait()
	if b.harm != nil {
		b.t.Errorf("the machine would not have survived: %v", b.harm)
	}
	for _, line := range b.lines() {
		if !allowed(line) {
			b.t.Errorf("the driver sent %q", line)
		}
	}
}

// allowed: one of the four lines, or one behind a piece of another that was given
// up, which no machine answers.
func allowed(line string) bool {
	four := []string{"TY:", "IC:", "RT:0000", "FA:04"}
	if slices.Contains(four, line) {
		return true
	}
	for _, whole := range four {
		piece, is := strings.CutSuffix(line, whole)
		if is && slices.ContainsFunc(four, func(s string) bool { return strings.HasPrefix(s, piece) }) {
			return true
		}
	}
	return false
}

func (b *bench) close() {
	if b.rig.Close != nil {
		if err := b.rig.Close(); err != nil {
			b.t.Error(err)
		}
	}
	b.stop()
}

// loud is a bad wire. Commands go out a character at a time, so that a frame
// towards the machine is a tenth of a line.
var (
	loud     = serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 1500 * time.Millisecond}
	loudKeys = serialtest.Noise{Drop: 0.005, Double: 0.005, Delay: 0.005, Late: 300 * time.Millisecond}
)

func (b *bench) bar() drivertest.Bar {
	return drivertest.Bar{
		Rig: b.rig, Product: driver.Product{Key: "espresso", Cycles: 1},
		Poured:  func() int { return b.sim.Plant().Counts().Drinks },
		Keys:    b.keys,
		Person:  func() { b.sim.Press(0x04) },
		LoseKey: b.fault(sim.LostKey), LoseOK: b.fault(sim.LostOK), Mute: b.fault(sim.Mute), Dry: b.fault("tank-empty"),
		Noise: func(on bool) {
			if on {
				b.noise(loud, loudKeys)
			} else {
				b.noise(serialtest.Noise{}, serialtest.Noise{})
			}
		},
		CutAfter: b.cutAfter, Replug: b.replug, Stop: b.stop,
	}
}

// TestConformance is the suite for appliances over the simulator, with either
// filler, and with answers that are a frame of their own, for the noise.
func TestConformance(t *testing.T) {
	drivertest.Appliances(t, func(t *testing.T) drivertest.Bar {
		return set(t, sim.Config{Burst: true, Count: 41}, true).bar()
	})
}

func TestConformanceByTheCharacter(t *testing.T) {
	drivertest.Appliances(t, func(t *testing.T) drivertest.Bar {
		b := set(t, sim.Config{Filler: jura.HighFiller, Count: 0xFFFE}, true)
		bar := b.bar()
		bar.Noise = func(on bool) { // one character of seventy
			if on {
				b.noise(serialtest.Noise{Damage: 0.002, Drop: 0.002, Double: 0.002, Delay: 0.002, Late: 1500 * time.Millisecond}, loudKeys)
			} else {
				b.noise(serialtest.Noise{}, serialtest.Noise{})
			}
		}
		return bar
	})
}

// prove asks until the wire is trusted with a key.
func (b *bench) prove() {
	b.t.Helper()
	var err error
	for range 10 {
		if err = b.a().Ready(context.Background()); err == nil {
			return
		}
	}
	b.t.Errorf("ready: %v", err)
}

func in(t *testing.T, cfg sim.Config, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := set(t, cfg, true)
		defer b.close()
		b.prove()
		f(t, b)
	})
}
