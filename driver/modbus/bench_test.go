package modbus_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

// frames is how many frames pass in the chaos test; 1000000 once by hand.
var frames = flag.Int("frames", 50_000, "frames of chaos in memory")

// chaosSeed is which noise the chaos test has; make chaos takes a new one each time.
var chaosSeed = flag.Uint64("chaos-seed", 4, "of the chaos in memory")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wired are the parts on relays 1 to 4 in these tests; relay 8 is the spare.
var wired = []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar}

// rack is a board with its plant, and a cable in memory.
type rack struct {
	t     *testing.T
	plant *plant.Plant
	board *sim.Board
	cfg   modbus.Config
	*serialtest.Bench
}

// newRack makes a board; change may set it up otherwise.
func newRack(t *testing.T, change func(*sim.Config, *modbus.Config)) *rack {
	t.Helper()
	r := &rack{t: t, plant: plant.New(plant.Endless())}
	s := sim.Config{Plant: r.plant.Handle(), Relays: wired, Inputs: []driver.Signal{driver.Cup, driver.Tank}}
	r.cfg = modbus.Config{
		Port:   serial.Config{Device: "/dev/serial/by-id/board", Dial: func() (serial.Wire, error) { return r.Dial() }},
		Relays: 8, Timer: modbus.TimerFlash, Spare: 8,
		Outputs: map[driver.Part]modbus.Relay{},
		Inputs:  map[driver.Signal]modbus.Contact{driver.Cup: {Number: 1}, driver.Tank: {Number: 2}},
	}
	for i, p := range wired {
		r.cfg.Outputs[p] = modbus.Relay{Number: i + 1}
	}
	if change != nil {
		change(&s, &r.cfg)
	}
	r.board = sim.New(s)
	r.Bench = serialtest.NewBench(t, func(ctx context.Context, c *serialtest.End) error { return r.board.Run(ctx, c) })
	return r
}

func (r *rack) open() driver.Rig {
	r.t.Helper()
	rig, err := modbus.Open(r.cfg)
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

// lasted is how long a part was on, the last time.
func lasted(p *plant.Plant, part driver.Part) time.Duration {
	var on, d time.Duration
	for _, e := range p.Edges() {
		if e.Part != part {
			continue
		}
		if e.On {
			on = e.At
		} else {
			d = e.At - on
		}
	}
	return d
}
