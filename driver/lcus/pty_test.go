package lcus_test

import (
	"context"
	"sync"
	"testing"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/lcus"
	"barista/driver/lcus/sim"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

func TestActuators(t *testing.T) {
	drivertest.Actuators(t, func(t *testing.T) drivertest.Bench {
		p := plant.New(figures())
		b := sim.New(sim.Config{Plant: p.Handle(), Relays: wired, Lenient: true})
		l, err := link.Make("")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx, l) }()
		stop := sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		cfg := lcus.Config{Relays: 8, Outputs: map[driver.Part]lcus.Relay{}}
		cfg.Port.Device = l.Device()
		for i, part := range wired {
			cfg.Outputs[part] = lcus.Relay{Number: i + 1}
		}
		rig, err := lcus.Open(cfg)
		if err != nil {
			stop()
			t.Fatal(err)
		}
		return drivertest.Bench{
			Rig: rig, Level: p.On, Unplug: func() { _ = l.Close() }, Stop: stop,
			Rises: func(part driver.Part) int { return rises(p, part) },
		}
	})
}
