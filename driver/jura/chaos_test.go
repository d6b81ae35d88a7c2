package jura_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/jura"
	"barista/driver/jura/sim"
	"barista/driver/serial/serialtest"
)

var chaosFrames = flag.Int("frames", 50_000, "lines on the wire in the test of chaos")

// chaosSeed is which noise the chaos test has; make chaos takes a new one each time.
var chaosSeed = flag.Uint64("chaos-seed", 1, "of the chaos in memory")

// weather is how the noise comes.
type weather struct {
	toHost, toSim serialtest.Noise
	gusts         bool // for a sixth of the time; else always
	atKey         bool // only from a key on, until what came of it is counted
	patience      int  // so often Ready is asked, before a start
	least         int  // of a hundred starts so many make a drink
	keys          int  // with least 0: so many keys may be sent at most
}

// TestChaos orders for days over a wire on which lines are damaged, lost, doubled
// and late, while somebody uses the machine's own keys, the tank runs dry and the
// cable is pulled. Not one key may reach the machine that was not asked for.
func TestChaos(t *testing.T) {
	t.Parallel()
	const late = 300 * time.Millisecond
	for name, w := range map[string]weather{
		// Keys on a wire of which nobody could know. Towards the machine characters
		// get lost, come twice and late; a bit that falls over here can't be caught.
		"at the key": {
			toHost: serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 3 * time.Second},
			toSim:  serialtest.Noise{Drop: 0.006, Double: 0.006, Delay: 0.006, Late: late},
			atKey:  true, patience: 60, least: 25,
		},
		// A twentieth of all lines, both ways and with bits: no key is sent.
		"always": {
			toHost:   serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 3 * time.Second},
			toSim:    serialtest.Noise{Damage: 0.007, Drop: 0.007, Double: 0.007, Delay: 0.007, Late: late},
			patience: 12,
		},
		// Bits alone. A wire may seem clean when the service starts, until it has
		// been asked for a while.
		"bits, 5 %": {toHost: serialtest.Noise{Damage: 0.05}, toSim: serialtest.Noise{Damage: 0.007}, patience: 500},
		"bits, 2 %": {toHost: serialtest.Noise{Damage: 0.02}, toSim: serialtest.Noise{Damage: 0.003}, patience: 500, keys: 10},
		// The same share as always, in gusts: keys are sent between them.
		"gusts": {
			toHost: serialtest.Noise{Damage: 0.3, Drop: 0.3, Double: 0.3, Delay: 0.3, Late: 3 * time.Second},
			toSim:  serialtest.Noise{Damage: 0.04, Drop: 0.04, Double: 0.04, Delay: 0.04, Late: late},
			gusts:  true, patience: 60, least: 25,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { chaos(t, w, *chaosFrames/5) })
		})
	}
}

func chaos(t *testing.T, w weather, frames int) {
	began := time.Now()
	b := set(t, sim.Config{Burst: true, Plant: staffed(), Filler: jura.HighFiller}, true)
	defer b.close()
	b.now(func() { b.seed = *chaosSeed }).Cut() // it finds another cable
	r := rand.New(rand.NewPCG(*chaosSeed, 4))
	loud := func() { b.noise(w.toHost, w.toSim) }
	still := func() { b.noise(serialtest.Noise{}, serialtest.Noise{}) }
	switch {
	case w.atKey:
		b.atKey = loud
	case w.gusts:
		gust := rand.New(rand.NewPCG(*chaosSeed, 5))
		b.all.Go(func() {
			for b.ctx.Err() == nil {
				still()
				sleep(b.ctx, time.Duration(gust.ExpFloat64()*float64(15*time.Minute)))
				loud()
				sleep(b.ctx, time.Duration(gust.ExpFloat64()*float64(3*time.Minute)))
			}
		})
	default:
		loud()
	}
	soon := func(n int) bool { return r.IntN(n) == 0 }
	after := func(d time.Duration, f func()) { b.all.Go(func() { sleep(b.ctx, d); f() }) }
	var starts, made, sure, unsure, refused int
	for b.lineCount() < frames && !t.Failed() {
		if starts++; starts%50 == 0 {
			b.sim.Plant().Refill() // somebody looks after it
		}
		const name, code = "espresso", 0x04
		for range r.IntN(w.patience) { // mostly it is waited for, but not for ever
			if b.a().Ready(context.Background()) == nil {
				break
			}
		}
		before, err := b.a().Counter(context.Background())
		if err != nil {
			continue
		}
		count, presses, keys := b.sim.Counter(name), len(b.sim.Presses()), b.keys()
		switch {
		case soon(12):
			key := byte(4 + r.IntN(3))
			after(time.Duration(r.IntN(60_000))*time.Millisecond, func() { b.sim.Press(key) })
		case soon(15):
			b.sim.Fault("tank-empty")
			after(time.Duration(r.IntN(60_000))*time.Millisecond, func() { b.sim.Mend("tank-empty") })
		case soon(15):
			b.cutAfter(r.IntN(200))
			after(time.Duration(r.IntN(30_000))*time.Millisecond, b.replug)
		case soon(15):
			f := []sim.Fault{sim.LostOK, sim.LostKey, sim.Mute}[r.IntN(3)]
			b.sim.Fault(f)
			after(time.Duration(r.IntN(10_000))*time.Millisecond, func() { b.sim.Mend(f) })
		}
		err = b.a().Start(context.Background(), driver.Product{Key: name, Cycles: 1})
		if err == nil {
			sure++
		} else if errors.Is(err, driver.ErrUncertain) {
			unsure++
		} else {
			refused++
		}
		b.quietly()
		rose := 0
		for end := time.Now().Add(2 * time.Hour); ; { // a gust may last
			n, lost := b.a().Counter(context.Background())
			if rose = n - before; lost == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the counter can't be read any more: %v", lost)
			}
		}
		if n := b.keys() - keys; n > 1 {
			t.Errorf("start %d: %d keys sent", starts, n)
		}
		var byPort []sim.Press
		for _, p := range b.sim.Presses()[presses:] {
			if p.By == "port" {
				byPort = append(byPort, p)
			}
		}
		if len(byPort) > 1 {
			t.Errorf("start %d: %d keys arrived", starts, len(byPort))
		}
		if len(byPort) > 0 && err != nil && !errors.Is(err, driver.ErrUncertain) {
			t.Errorf("start %d: a key arrived, and start is sure that none did: %v", starts, err)
		}
		want := b.sim.Counter(name) - count
		if rose != want && (err == nil || errors.Is(err, driver.ErrUncertain)) {
			t.Errorf("start %d: %s rose by %d, and %d were made (%v, arrived: %+v)", starts, name, rose, want, err, byPort)
		}
		made += want
		for _, p := range byPort {
			if p.Code != code {
				t.Errorf("start %d: %s was asked for, and key %02X arrived", starts, name, p.Code)
			}
		}
		if w.atKey {
			still()
		}
	}
	for _, c := range b.sim.Taken() {
		bent := w.toSim.Damage > 0 && (strings.HasPrefix(c, "RT:") || c == "HZ:" || c == "CS:") // a question that moves nothing
		if !bent && !strings.Contains(" TY: IC: RT:0000 FA:04 ", " "+c+" ") {
			t.Errorf("%q reached the machine", c)
		}
	}
	if 100*made < w.least*starts {
		t.Errorf("%d drinks of %d starts: too loud to prove anything", made, starts)
	}
	if n := b.keys(); w.least == 0 && n > w.keys {
		t.Errorf("%d keys were sent over a wire that is noisy all the time", n)
	}
	t.Logf("%d lines, %d starts: %d taken, %d in doubt, %d refused, %d made and counted, no key bent, in %v of the machine's time",
		b.lineCount(), starts, sure, unsure, refused, made, time.Since(began).Round(time.Minute))
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// quietly waits until nothing is made, whatever the driver can see, and then for
// what is under way. A gust in which nothing can be heard may last.
func (b *bench) quietly() {
	begin := time.Now()
	worked := false
	for time.Since(begin) < 2*time.Hour {
		busy, err := b.a().Busy(context.Background())
		worked = worked || busy
		if err == nil && !busy && (worked || time.Since(begin) > 20*time.Second) && b.sim.Running() == "" {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	b.t.Error("it does not come to rest")
}

// lineCount is how many lines went over the wire, both ways.
func (b *bench) lineCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent) + b.answers
}
