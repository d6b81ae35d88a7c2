package modbus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
)

// TestIdentify: boards of several sizes, one that counts from 1, one that is
// elsewhere on the line. Whatever they are asked is a question for relays.
func TestIdentify(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  sim.Config
		want modbus.Sighting
	}{
		"eight relays": {sim.Config{}, modbus.Sighting{Address: 1, Relays: 8}},
		"one relay":    {sim.Config{Count: 1}, modbus.Sighting{Address: 1, Relays: 1}},
		"thirty-two":   {sim.Config{Count: 32}, modbus.Sighting{Address: 1, Relays: 32}},
		"from 1":       {sim.Config{First: 1, Count: 4}, modbus.Sighting{Address: 1, First: 1, Relays: 4}},
		"lossy":        {sim.Config{Faults: sim.Faults{Drop: 0.2}, Seed: 1}, modbus.Sighting{Address: 1, Relays: 8}},
		"address 7":    {sim.Config{Address: 7}, modbus.Sighting{}},
		"deaf":         {sim.Config{Faults: sim.Faults{Deaf: true}}, modbus.Sighting{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := plant.New(plant.Endless())
			var mu sync.Mutex
			var asked []modbus.Request
			c.cfg.Plant, c.cfg.Relays = p.Handle(), wired[:min(len(wired), max(c.cfg.Count, 1))]
			c.cfg.Executed = func(r modbus.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, r)
			}
			device, stop := play(t, sim.New(c.cfg))
			defer stop()
			port, err := serial.Open(serial.Config{Device: device})
			if err != nil {
				t.Fatal(err)
			}
			defer port.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var got modbus.Sighting
			err = port.Do(ctx, func(l *serial.Line) error {
				got, err = modbus.Identify(l)
				return err
			})
			if got != c.want || (err == nil) != (c.want.Relays > 0) {
				t.Errorf("%+v, %v", got, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range asked {
				if r.Function != modbus.ReadCoils {
					t.Errorf("the board was told: %v", r)
				}
			}
			if n := p.Counts().Edges; n > 0 {
				t.Errorf("%d contacts moved", n)
			}
		})
	}
}

// play runs a board on a pseudo-terminal. stop ends it and says whether it did
// harm.
func play(t *testing.T, b *sim.Board) (device string, stop func()) {
	t.Helper()
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, l) }()
	return l.Device(), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
