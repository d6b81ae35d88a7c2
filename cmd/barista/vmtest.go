//go:build vmtest

package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"barista/configs"
	"barista/driver"
)

// With this tag the binary is one for the virtual machine's tests and for nothing
// else: SIGUSR1 blocks the control loop of a machine on GPIO lines for ever, in
// the middle of a look at its sensors, while the process lives on. The package
// has no such thing.
func init() {
	gpio := drivers["gpio"]
	open := gpio.open
	gpio.open = func(m *configs.Machine, log *slog.Logger) (opened, error) {
		o, err := open(m, log)
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		for s, sensor := range o.rig.Sensors {
			o.rig.Sensors[s] = blocking{sensor, asked}
		}
		return o, err
	}
	drivers["gpio"] = gpio
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
