package lcus_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/guard"
	"barista/driver/lcus"
	"barista/driver/lcus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

// frames is how many frames pass in the chaos test; 1000000 once by hand.
var frames = flag.Int("frames", 50_000, "frames of chaos in memory")

// chaosSeed is which noise the chaos test has; make chaos takes a new one each time.
var chaosSeed = flag.Uint64("chaos-seed", 6, "of the chaos in memory")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wired are the parts on relays 1 to 4 in these tests.
var wired = []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar}

// rack is a board with its plant, and a cable in memory.
type rack struct {
	t     *testing.T
	plant *plant.Plant
	cfg   lcus.Config
	*serialtest.Bench
	done []string // what the board carried out
}

func newRack(t *testing.T, change func(*sim.Config, *lcus.Config)) *rack {
	t.Helper()
	r := &rack{t: t, plant: plant.New(plant.Endless())}
	s := sim.Config{Plant: r.plant.Handle(), Relays: wired, Executed: func(f lcus.Frame) { r.done = append(r.done, f.String()) }}
	r.cfg = lcus.Config{
		Port:   serial.Config{Device: "/dev/serial/by-path/board", Dial: func() (serial.Wire, error) { return r.Dial() }},
		Relays: 8, Outputs: map[driver.Part]lcus.Relay{},
	}
	for i, p := range wired {
		r.cfg.Outputs[p] = lcus.Relay{Number: i + 1}
	}
	if change != nil {
		change(&s, &r.cfg)
	}
	b := sim.New(s)
	r.Bench = serialtest.NewBench(t, func(ctx context.Context, c *serialtest.End) error { return b.Run(ctx, c) })
	return r
}

func (r *rack) open() driver.Rig {
	r.t.Helper()
	rig, err := lcus.Open(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := rig.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return rig
}

func (r *rack) on(p driver.Part, want bool, when string) {
	r.t.Helper()
	if got := r.plant.On(p); got != want {
		r.t.Errorf("%s: %s is on: %v", when, p, got)
	}
}

// An off is two frames, and all frames have the distance that the board needs:
// it drops those that have not.
func TestOnAndOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, func(_ *sim.Config, c *lcus.Config) {
			c.Outputs = map[driver.Part]lcus.Relay{driver.Grinder: {Number: 1}, driver.Milk: {Number: 3}}
		})
		rig := r.open()
		milk := rig.Outputs[driver.Milk]
		if milk.Deadman != driver.DeadmanNone {
			t.Errorf("deadman %s", milk.Deadman)
		}
		if err := milk.On(time.Second); err != nil {
			t.Fatal(err)
		}
		r.on(driver.Milk, true, "after on")
		if err := milk.Off(); err != nil {
			t.Fatal(err)
		}
		r.on(driver.Milk, false, "after off")
		time.Sleep(time.Second)
		synctest.Wait()
		want := []string{"relay 1 off", "relay 1 off", "relay 3 off", "relay 3 off", "relay 3 on", "relay 3 off", "relay 3 off"}
		if diff := cmp.Diff(want, r.done); diff != "" {
			t.Error(diff)
		}
	})
}

// The board drops what comes too near.
func TestTooNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		on, off := lcus.Frame{Channel: 1, On: true}.Append(nil), lcus.Frame{Channel: 1}.Append(nil)
		host := r.Cable().Host()
		_, _ = host.Write(append(on, off...))
		time.Sleep(time.Second)
		_, _ = host.Write(on)
		time.Sleep(13 * time.Millisecond) // 4.2 ms of frame, 8.8 ms of pause
		_, _ = host.Write(off)
		time.Sleep(time.Second)
		_, _ = host.Write(off[:2])
		time.Sleep(20 * time.Millisecond)
		_, _ = host.Write(off[2:])
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"relay 1 on", "relay 1 on"}, r.done); diff != "" {
			t.Error(diff)
		}
	})
}

// The guard refuses a pump that nothing cuts off, unless that was accepted in
// writing.
func TestNoDeadman(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		rig.Close = nil
		_, err := guard.New(rig, guard.Config{}.Of(rig))
		if err == nil || !strings.Contains(err.Error(), "pump: nothing switches it off when this computer is dead") {
			t.Error(err)
		}
		if _, err := guard.New(rig, guard.Config{Parts: map[driver.Part]guard.Limits{driver.Pump: {AcceptNoDeadman: true}}}.Of(rig)); err != nil {
			t.Error(err)
		}
	})
}

func TestReplugWhileOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		pump := rig.Outputs[driver.Pump]
		if err := pump.On(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.Cut()
		time.Sleep(time.Second)
		if err := pump.Off(); !errors.Is(err, driver.ErrGone) {
			t.Errorf("off without a cable: %v", err)
		}
		r.on(driver.Pump, true, "without its host")
		r.Plug(2)
		time.Sleep(3 * time.Second)
		r.on(driver.Pump, false, "plugged in again")
		if err := pump.Off(); err == nil || !strings.Contains(err.Error(), "the cable was out while it was on") {
			t.Error(err)
		}
		if err := pump.Off(); err != nil {
			t.Error(err)
		}
		if n := r.plant.Rises(driver.Pump); n != 1 {
			t.Errorf("%d rises", n)
		}
	})
}

func TestDialects(t *testing.T) {
	for board, configured := range map[lcus.Answers]lcus.Answers{
		lcus.AnswersText: lcus.AnswersText, lcus.AnswersBytes: lcus.AnswersBytes, lcus.AnswersNone: lcus.AnswersText,
	} {
		t.Run(string(board), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRack(t, func(s *sim.Config, c *lcus.Config) { s.Answers, c.Answers = board, configured })
				if board != configured {
					if _, err := lcus.Open(r.cfg); err == nil || !strings.Contains(err.Error(), "the board does not answer: is answers: text right for this board?") {
						t.Error(err)
					}
					return
				}
				rig := r.open()
				pump := rig.Outputs[driver.Pump]
				began := time.Now()
				if err := errors.Join(pump.On(time.Second), pump.Off()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 400*time.Millisecond {
					t.Errorf("took %v", took)
				}
				r.on(driver.Pump, false, "after off")
				r.Cable().Device().Noise(serialtest.Noise{Damage: 1}) // no frame gets through
				if err := pump.On(time.Second); err == nil {
					t.Error("an on that did not get through passes")
				}
			})
		})
	}
}

// Whatever a service left on is off within 2 s, and what may be on is named.
func TestSafeOff(t *testing.T) {
	for _, dialect := range []lcus.Answers{"", lcus.AnswersText, lcus.AnswersBytes} {
		synctest.Test(t, func(t *testing.T) {
			r := newRack(t, func(s *sim.Config, c *lcus.Config) { s.Answers, c.Answers = dialect, dialect })
			rig := r.open()
			for _, p := range wired {
				if err := rig.Outputs[p].On(time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			r.done = nil
			_ = rig.Close() // as a service that died: nothing is switched
			r.Plug(2)
			for _, p := range wired {
				r.on(p, true, "without a service")
			}
			began := time.Now()
			if err := lcus.SafeOff(r.cfg); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			synctest.Wait()
			for _, p := range wired {
				r.on(p, false, "after safe-off")
			}
			if len(r.done) != 2*len(wired) {
				t.Errorf("%q, want each off twice", r.done)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		r.Cut()
		if err := lcus.SafeOff(r.cfg); !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), "grinder, pump, milk, sugar may be on") {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, func(s *sim.Config, c *lcus.Config) {
			s.Deaf, s.Answers, c.Answers = true, lcus.AnswersText, lcus.AnswersText
		})
		if err := lcus.SafeOff(r.cfg); err == nil || !strings.Contains(err.Error(), "the board does not answer") {
			t.Error(err)
		}
	})
	// A file with mistakes: what it names right is off, the rest is named.
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, func(s *sim.Config, c *lcus.Config) {
			s.Answers, c.Answers = lcus.AnswersText, lcus.AnswersText
			s.Count, c.Relays = 4, 4
			c.Outputs[driver.Rinse], c.Outputs[driver.Cups] = lcus.Relay{Number: 7}, lcus.Relay{Number: 12}
		})
		err := lcus.SafeOff(r.cfg)
		for _, want := range []string{"cups may be on: the board has no relay 12", "relay 7 (rinse) can't be switched off"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("not said: %s: %v", want, err)
			}
		}
		synctest.Wait()
		if len(r.done) != 2*len(wired) {
			t.Errorf("%q, want each off of a relay that there is, twice", r.done)
		}
	})
}

func TestConfigProblems(t *testing.T) {
	c := lcus.Config{Relays: 3, Answers: "maybe", Port: serial.Config{Baud: 115200}, Outputs: map[driver.Part]lcus.Relay{
		driver.Pump: {Number: 1, Deadman: driver.DeadmanBoard}, driver.Milk: {Number: 1}, driver.Sugar: {Number: 4},
	}}
	_, err := lcus.Open(c)
	for _, w := range []string{"name the serial port", "115200 baud", "3 relays", "answers \"maybe\"", "milk and pump are both on relay 1", "no relay 4", "deadman board: this board has no timer"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("not said: %s: %v", w, err)
		}
	}
}

// TestChaos sends frames through noise. The board's sum sees any damage to one
// byte: no wrong command reaches the plant. That an off gets through nobody can
// promise here; the test counts how often both of its frames were lost.
func TestChaos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sent []string
		wrong, executed := 0, 0
		r := newRack(t, func(s *sim.Config, _ *lcus.Config) {
			s.Executed = func(f lcus.Frame) {
				mu.Lock()
				defer mu.Unlock()
				executed++
				b := string(f.Append(nil))
				for i, s := range sent {
					if s == b {
						sent = sent[i:] // it may come twice
						return
					}
				}
				wrong++
			}
		})
		r.Cut()
		r.Plug(*chaosSeed)
		r.Cable().Host().Tap(func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, string(b))
		})
		rig := r.open()
		r.Cable().Device().Noise(serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 60 * time.Millisecond})
		rng := rand.New(rand.NewPCG(*chaosSeed, 7))
		offs, lost := 0, 0
		for r.Cable().Host().Frames() < *frames {
			p := wired[rng.IntN(len(wired))]
			if err := rig.Outputs[p].On(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			if err := rig.Outputs[p].Off(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // what was late is there
			offs++
			for r.plant.On(p) {
				lost++
				if err := rig.Outputs[p].Off(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		if wrong > 0 {
			t.Errorf("%d wrong commands", wrong)
		}
		if lost > offs/10 {
			t.Errorf("%d of %d offs were lost: two frames are no better than one", lost, offs)
		}
		t.Logf("seed %d: %d frames, %d carried out, %d of %d offs lost", *chaosSeed, r.Cable().Host().Frames(), executed, lost, offs)
	})
}

// TestCutAtEveryByte pulls the cable after each byte of an on and of an off.
func TestCutAtEveryByte(t *testing.T) {
	for _, on := range []bool{true, false} {
		most := 5 // one frame
		if !on {
			most = 9 // two
		}
		for n := range most {
			synctest.Test(t, func(t *testing.T) {
				r := newRack(t, nil)
				rig := r.open()
				milk := rig.Outputs[driver.Milk]
				if !on {
					if err := milk.On(2 * time.Second); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				r.CutAfter(n)
				var err error
				if on {
					err = milk.On(2 * time.Second)
				} else {
					err = milk.Off()
				}
				if !errors.Is(err, driver.ErrGone) {
					t.Errorf("byte %d, on %v: %v", n, on, err)
				}
				time.Sleep(50 * time.Millisecond)
				whole := n >= 4
				if got, want := r.plant.On(driver.Milk), whole == on; got != want {
					t.Errorf("byte %d, on %v: the part is on: %v", n, on, got)
				}
				if err := milk.Off(); !errors.Is(err, driver.ErrGone) {
					t.Errorf("byte %d, on %v: the next off: %v", n, on, err)
				}
				r.Plug(9)
				time.Sleep(time.Second)
				r.on(driver.Milk, false, "plugged in again")
			})
		}
	}
}
