package modbus_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/driver/serial/serialtest"
)

// ledger compares what the computer sent with what the board carried out: in
// order, nothing that was not sent.
type ledger struct {
	mu    sync.Mutex
	sent  [][]byte // those that the board may still carry out
	wrong [][]byte
	done  int
}

func (l *ledger) sends(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, b)
}

func (l *ledger) executed(q modbus.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	b := q.Append(nil)
	for i, s := range l.sent {
		if bytes.Equal(s, b) {
			l.sent = l.sent[i:] // it may come twice
			return
		}
	}
	l.wrong = append(l.wrong, b)
}

// TestChaos sends frames through noise: in each direction, one in twenty is
// damaged, lost or shortened, doubled, late. No wrong command reaches the plant,
// and what On and Off say is true.
func TestChaos(t *testing.T) {
	noise := serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 120 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		book := &ledger{}
		r := newRack(t, func(s *sim.Config, c *modbus.Config) { s.Executed = book.executed })
		r.Cut()
		r.Plug(*chaosSeed)
		r.Cable().Host().Tap(book.sends)
		rig := r.open()
		r.Cable().Host().Noise(noise)
		r.Cable().Device().Noise(noise)
		rng := rand.New(rand.NewPCG(*chaosSeed, 5))
		ons, offs, failedOn, failedOff, tries := 0, 0, 0, 0, 0
		for passed := func() int { return r.Cable().Host().Frames() + r.Cable().Device().Frames() }; passed() < *frames; {
			p := wired[rng.IntN(len(wired))]
			w := rig.Outputs[p]
			atMost := time.Duration(200+rng.IntN(3000)) * time.Millisecond
			began := time.Now()
			ons++
			if err := w.On(atMost); err != nil {
				failedOn++
			} else if !r.plant.On(p) && time.Since(began) < atMost-2*modbus.Tick-250*time.Millisecond {
				t.Fatalf("%s is off after on", p)
			}
			time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
			var err error
			for tries = 1; ; tries++ {
				offs++
				if err = w.Off(); err == nil {
					break
				}
				failedOff++
				if errors.Is(err, driver.ErrGone) || tries > 100 {
					t.Fatal(err)
				}
			}
			if r.plant.On(p) {
				t.Fatalf("%s is on after off", p)
			}
			// What is still on its way does not switch it on again.
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			if r.plant.On(p) {
				t.Fatalf("%s went on by itself", p)
			}
		}
		if len(book.wrong) > 0 {
			t.Errorf("%d wrong commands, the first % X", len(book.wrong), book.wrong[0])
		}
		t.Logf("seed %d: %d frames, %d carried out; %d on (%d failed), %d off (%d failed and were repeated)",
			*chaosSeed, r.Cable().Host().Frames()+r.Cable().Device().Frames(), book.done, ons, failedOn, offs, failedOff)
	})
}

// TestCutAtEveryByte pulls the cable after each byte of an on, of an off and of
// their answers. A command is carried out whole or not at all, the error comes
// within its time, and the board's own timer ends what was begun.
func TestCutAtEveryByte(t *testing.T) {
	// To the board: the command and the question after it, 8 bytes each. To the
	// computer: 8 and 6.
	for _, c := range []struct {
		name  string
		bytes int
		after func(*serialtest.Bench, int)
	}{
		{"to the board", 16, (*serialtest.Bench).CutAfter},
		{"to the computer", 14, (*serialtest.Bench).CutAnswerAfter},
	} {
		for _, on := range []bool{true, false} {
			for n := range c.bytes {
				synctest.Test(t, func(t *testing.T) {
					r := newRack(t, func(_ *sim.Config, m *modbus.Config) { m.Inputs = nil })
					rig := r.open()
					milk := rig.Outputs[driver.Milk]
					if !on {
						if err := milk.On(2 * time.Second); err != nil {
							t.Fatal(err)
						}
						time.Sleep(60 * time.Millisecond) // between two looks
					}
					c.after(r.Bench, n)
					began := time.Now()
					var err error
					if on {
						err = milk.On(2 * time.Second)
					} else {
						err = milk.Off()
					}
					if took := time.Since(began); took > 250*time.Millisecond {
						t.Errorf("%s, byte %d, on %v: took %v", c.name, n, on, took)
					}
					if !errors.Is(err, driver.ErrGone) {
						t.Errorf("%s, byte %d, on %v: %v", c.name, n, on, err)
					}
					time.Sleep(50 * time.Millisecond) // the board waits for silence
					whole := n > 0 && c.name == "to the computer" || n >= 8
					if got, want := r.plant.On(driver.Milk), whole == on; got != want {
						t.Errorf("%s, byte %d, on %v: the part is on: %v", c.name, n, on, got)
					}
					time.Sleep(3 * time.Second)
					r.on(driver.Milk, false, "after the board's time")
					if n := r.plant.Rises(driver.Milk); n > 1 {
						t.Errorf("%d rises", n)
					}
					// Plugged in again, it works.
					r.Plug(9)
					time.Sleep(time.Second)
					if err := milk.Off(); err != nil && !on {
						err = milk.Off() // the first one says that the cable was out
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
	}
}
