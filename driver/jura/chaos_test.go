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

// TestChaos orders for days over a wire on which a twentieth of all answers is
// damaged, lost, doubled or late, while somebody uses the machine's own keys, the
// tank runs dry and the cable is pulled. Towards the machine characters get lost,
// come twice and late; not one key may reach it that was not asked for.
//
// In half of the runs bits also fall over on the way to the machine. Nothing in
// the protocol can catch that: another key may arrive. Then the driver must not
// call it ours.
func TestChaos(t *testing.T) {
	t.Parallel()
	for name, toSim := range map[string]serialtest.Noise{
		"noise": {Drop: 0.006, Double: 0.006, Delay: 0.006, Late: 300 * time.Millisecond},
		"bits":  {Damage: 0.01, Drop: 0.004, Double: 0.004, Delay: 0.004, Late: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { chaos(t, toSim, *chaosFrames/2) })
		})
	}
}

func chaos(t *testing.T, toSim serialtest.Noise, frames int) {
	began := time.Now()
	cfg := sim.Plant()
	cfg.Refill, cfg.Cups = true, "auto"
	b := set(t, sim.Config{Burst: true, Plant: &cfg, Filler: jura.HighFiller}, true)
	defer b.close()
	r := rand.New(rand.NewPCG(uint64(frames), 4))
	b.noise(serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 3 * time.Second}, toSim)
	soon := func(n int) bool { return r.IntN(n) == 0 }
	after := func(d time.Duration, f func()) { b.all.Go(func() { sleep(b.ctx, d); f() }) }
	var starts, made, sure, unsure, bent int
	for b.lineCount() < frames && !t.Failed() {
		if starts++; starts%50 == 0 {
			b.sim.Plant().Refill() // somebody looks after it
			b.sim.Mend(sim.Page2)  // a bit that fell over makes 05 the key that turns the page
		}
		const name, code = "espresso", 0x04
		_ = b.a().Ready(context.Background())
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
		}
		b.quietly()
		rose := 0
		for end := time.Now().Add(10 * time.Minute); ; {
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
				bent++
				if toSim.Damage == 0 {
					t.Errorf("start %d: %s was asked for, and key %02X arrived", starts, name, p.Code)
				}
			}
		}
	}
	if toSim.Damage == 0 {
		for _, c := range b.sim.Taken() {
			if !strings.Contains(" TY: IC: RT:0000 FA:04 ", " "+c+" ") {
				t.Errorf("%q reached the machine", c)
			}
		}
	}
	if made < starts/4 {
		t.Errorf("%d drinks of %d starts: too loud to prove anything", made, starts)
	}
	t.Logf("%d lines, %d starts: %d taken, %d in doubt, %d keys bent on their way, %d made and counted, in %v of the machine's time",
		b.lineCount(), starts, sure, unsure, bent, made, time.Since(began).Round(time.Minute))
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
// what is under way.
func (b *bench) quietly() {
	begin := time.Now()
	worked := false
	for time.Since(begin) < 10*time.Minute {
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
