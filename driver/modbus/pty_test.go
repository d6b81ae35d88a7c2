package modbus_test

import (
	"context"
	"flag"
	"sync"
	"testing"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
)

// ptyFrames is how many frames pass over a pseudo-terminal; 10000 once by hand.
var ptyFrames = flag.Int("ptyframes", 300, "frames over a pseudo-terminal")

// ptyBaud is fast, so that a computer that is busy with other tests still has
// most of an off's 250 ms for itself.
const ptyBaud = 115200

// play runs a board on a pseudo-terminal. stop ends it and says whether it did
// harm.
func play(t *testing.T, b *sim.Board, path string) (device string, unplug, stop func()) {
	t.Helper()
	l, err := link.Make(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, l) }()
	return l.Device(), func() { _ = l.Close() }, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func ptyBoard() (*plant.Plant, *sim.Board, modbus.Config) {
	p := plant.New(figures())
	b := sim.New(sim.Config{Plant: p.Handle(), Relays: wired, Inputs: []driver.Signal{driver.Cup, driver.Tank}, Baud: ptyBaud})
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

func TestActuators(t *testing.T) {
	drivertest.Actuators(t, func(t *testing.T) drivertest.Bench {
		p, b, cfg := ptyBoard()
		device, unplug, stop := play(t, b, "")
		cfg.Port.Device = device
		rig, err := modbus.Open(cfg)
		if err != nil {
			stop()
			t.Fatal(err)
		}
		return drivertest.Bench{
			Rig: rig, Level: p.On, Unplug: unplug, Stop: stop,
			Rises: func(part driver.Part) int { return rises(p, part) },
		}
	})
}

// TestPtyNoise is the chaos test's smaller sister in real time: the board's
// answers are damaged, lost and doubled, and what Off says is true.
func TestPtyNoise(t *testing.T) {
	p, b, cfg := ptyBoard()
	b.SetFaults(sim.Faults{Damage: 0.05, Drop: 0.05, Double: 0.05})
	device, _, stop := play(t, b, "")
	defer stop()
	cfg.Port.Device = device
	rig, err := modbus.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	failed := 0
	for i := 0; i < *ptyFrames/8; i++ { // some 8 frames for an on and an off
		part := wired[i%len(wired)]
		if err := rig.Outputs[part].On(30e9); err != nil {
			failed++
		} else if !p.On(part) {
			t.Fatalf("%s is off after on", part)
		}
		for tries := 1; ; tries++ {
			if err = rig.Outputs[part].Off(); err == nil {
				break
			}
			if failed++; tries > 20 {
				t.Fatal(err)
			}
		}
		if p.On(part) {
			t.Fatalf("%s is on after off", part)
		}
	}
	t.Logf("%d calls failed", failed)
}
