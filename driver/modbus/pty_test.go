package modbus_test

import (
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
	"barista/driver/serial/serialtest"
)

// ptyFrames is how many frames pass over a pseudo-terminal; 10000 once by hand.
var ptyFrames = flag.Int("ptyframes", 200, "frames over a pseudo-terminal")

// ptyBaud is fast, so that a computer that is busy with other tests still has
// most of an off's 250 ms for itself.
const ptyBaud = 115200

func ptyBoard(executed func(modbus.Request)) (*plant.Plant, *sim.Board, modbus.Config) {
	p := plant.New(plant.Endless())
	b := sim.New(sim.Config{Plant: p.Handle(), Relays: wired, Inputs: []driver.Signal{driver.Cup, driver.Tank}, Baud: ptyBaud, Executed: executed})
	cfg := modbus.Config{
		Port:   serial.Config{Baud: ptyBaud},
		Relays: 8, Timer: modbus.TimerAssumed,
		Outputs: map[driver.Part]modbus.Relay{},
		Inputs:  map[driver.Signal]modbus.Contact{driver.Cup: {Number: 1}, driver.Tank: {Number: 2}},
	}
	for i, part := range wired {
		cfg.Outputs[part] = modbus.Relay{Number: i + 1}
	}
	return p, b, cfg
}

// TestActuators is the suite for actuators, with the board's timer and without.
func TestActuators(t *testing.T) {
	for name, timer := range map[string]modbus.Timer{"timer": modbus.TimerFlash, "none": modbus.TimerNone} {
		t.Run(name, func(t *testing.T) {
			drivertest.ActuatorsInMemory(t, func(t *testing.T) drivertest.Bench {
				r := newRack(t, func(_ *sim.Config, c *modbus.Config) {
					if c.Timer = timer; timer == modbus.TimerNone {
						c.Spare = 0
					}
				})
				rig, err := modbus.Open(r.cfg)
				if err != nil {
					t.Fatal(err)
				}
				return drivertest.Bench{
					Rig: rig, Level: r.plant.On, Unplug: r.Cut, Stop: func() { r.Cut(); r.Wait() },
					Rises: r.plant.Rises,
				}
			})
		})
	}
}

// TestPtyChaos is the chaos test's sister in real time, on a real
// pseudo-terminal whose cable is pulled now and then: nothing reaches the plant
// that was not sent, and what Off says is true.
func TestPtyChaos(t *testing.T) {
	t.Parallel()
	noise := serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 60 * time.Millisecond}
	var mu sync.Mutex
	var now driver.Part // the one that may go on
	var wrong []modbus.Request
	done := 0
	p, b, cfg := ptyBoard(func(q modbus.Request) {
		mu.Lock()
		defer mu.Unlock()
		done++
		coil, d, flash := q.Flashes()
		switch {
		case flash && int(coil) < len(wired) && wired[coil] == now && d <= 30*time.Second:
		case flash, q.Closes(), q.Function == modbus.WriteCoils && slices.Contains(q.Bits, true):
			wrong = append(wrong, q)
		}
	})
	path := filepath.Join(t.TempDir(), "board")
	frames := 0
	plug := func(noise serialtest.Noise) (pull func()) {
		l, err := link.Make(path)
		if err != nil {
			t.Fatal(err)
		}
		line := serialtest.Noisy(l, uint64(frames), noise, noise)
		ended := make(chan error, 1)
		go func() { ended <- b.Run(t.Context(), line) }()
		return sync.OnceFunc(func() {
			_ = l.Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			frames += line.Frames()
		})
	}
	pull := plug(serialtest.Noise{})
	cfg.Port.Device = path
	rig, err := modbus.Open(cfg)
	if err != nil {
		pull()
		t.Fatal(err)
	}
	failed, pulled := 0, 0
	for round := 0; frames < *ptyFrames; round++ {
		if round%2 == 0 {
			pull()
			pulled++
			pull = plug(noise)
		}
		for i := range 8 {
			part := wired[i%len(wired)]
			mu.Lock()
			now = part
			mu.Unlock()
			if err := rig.Outputs[part].On(30 * time.Second); err != nil {
				failed++
			} else if !p.On(part) {
				t.Fatalf("%s is off after on", part)
			}
			if round%2 == 1 && i == 7 {
				pull() // with a relay on
			}
			for tries := 1; round%2 == 0 || i < 7; tries++ {
				if err = rig.Outputs[part].Off(); err == nil {
					break
				}
				failed++
				if tries > 200 {
					t.Fatal(err)
				}
				if errors.Is(err, driver.ErrGone) {
					<-time.After(20 * time.Millisecond) // it looks for the cable
				}
			}
			if p.On(part) && (round%2 == 0 || i < 7) {
				t.Fatalf("%s is on after off", part)
			}
		}
	}
	if err := rig.Close(); err != nil {
		t.Error(err)
	}
	pull()
	if len(wrong) > 0 {
		t.Errorf("%d wrong commands, the first %v", len(wrong), wrong[0])
	}
	t.Logf("%d frames, %d carried out, %d calls failed, cable pulled %d times", frames, done, failed, pulled)
}
