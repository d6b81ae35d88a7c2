package modbus_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/driver/serial/link"
)

// Whatever a service left on, its own parts and the spare relay, is off within
// 2 s, and what can't be proved is named.
func TestSafeOff(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults sim.Faults
		off    bool
		want   []string
	}{
		{"well", sim.Faults{}, true, nil},
		{"no function 0F", sim.Faults{NoRow: true}, true, nil},
		{"a bad wire", sim.Faults{Drop: 0.2, Damage: 0.1, Double: 0.1}, true, nil},
		{"slow", sim.Faults{Late: 40 * time.Millisecond}, true, nil},
		{"mute", sim.Faults{Mute: true}, true, []string{"grinder (relay 1) may be on: the board does not answer", "sugar (relay 4) may be on", "the spare (relay 8) may be on"}},
		{"deaf", sim.Faults{Deaf: true}, false, []string{"pump (relay 2) may be on: the board does not answer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRack(t, func(s *sim.Config, _ *modbus.Config) { s.Seed = 3 })
				for _, n := range []int{1, 2, 3, 4, 8} {
					if err := r.board.Force(n, true); err != nil {
						t.Fatal(err)
					}
				}
				r.board.SetFaults(c.faults)
				began := time.Now()
				err := modbus.SafeOff(r.cfg)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				for _, n := range []int{1, 2, 3, 4, 8} {
					if r.board.On(n) == c.off {
						t.Errorf("relay %d is on: %v", n, r.board.On(n))
					}
				}
				if (err == nil) != (c.want == nil) {
					t.Errorf("%v", err)
				}
				for _, w := range c.want {
					if err != nil && !strings.Contains(err.Error(), w) {
						t.Errorf("not said: %s: %v", w, err)
					}
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		r.Cut()
		if err := modbus.SafeOff(r.cfg); !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), "grinder, pump, milk, sugar may be on") {
			t.Error(err)
		}
		r.Plug(2)
		r.cfg.Outputs[driver.Milk] = modbus.Relay{Number: 2} // a mistake
		if err := r.board.Force(2, true); err != nil {
			t.Fatal(err)
		}
		if err := modbus.SafeOff(r.cfg); err != nil || r.board.On(2) {
			t.Errorf("two parts on a relay: %v", err)
		}
		r.cfg.Outputs, r.cfg.Spare = nil, 0
		if err := modbus.SafeOff(r.cfg); err == nil {
			t.Error("a board without relays")
		}
	})
}

// While a service has the port, it is left alone.
func TestSafeOffLeavesTheLivingAlone(t *testing.T) {
	_, b, cfg := ptyBoard(nil)
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(t.Context(), l) }()
	defer func() { _ = l.Close(); <-ended }()
	cfg.Port.Device = l.Device()
	rig, err := modbus.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	if err := modbus.SafeOff(cfg); !errors.Is(err, driver.ErrBusyLine) {
		t.Error(err)
	}
}
