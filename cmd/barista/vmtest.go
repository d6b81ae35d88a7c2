//go:build vmtest

package main

import (
	"os"
	"os/signal"
	"syscall"

	"barista/driver"
)

// With this tag the binary is one for the virtual machine's tests and for nothing
// else: SIGUSR1 blocks the control loop of its machine for ever, in
// the middle of a look at its sensors, while the process lives on. The package
// has no such thing.
func init() {
	throughMetal = func(rig driver.Rig) driver.Rig {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		for s, sensor := range rig.Sensors {
			rig.Sensors[s] = blocking{sensor, asked}
		}
		return rig
	}
}

type blocking struct {
	driver.Sensor
	asked <-chan os.Signal
}

func (b blocking) Read() (driver.Reading, error) {
	select {
	case <-b.asked:
		select {}
	default:
		return b.Sensor.Read()
	}
}
