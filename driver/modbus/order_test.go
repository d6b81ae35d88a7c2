package modbus_test

import (
	"flag"
	"sync/atomic"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/machine/machinetest"
)

// everyByte cuts the cable at each byte of an order, once by hand; otherwise at
// some hundred of them.
var everyByte = flag.Bool("everybyte", false, "cut the cable at every byte of an order")

func TestOrderUnpluggedAtEachByte(t *testing.T) {
	machinetest.CutAtEachByte(t, *everyByte, func(t *testing.T) machinetest.Board {
		r := newRack(t, func(s *sim.Config, c *modbus.Config) {
			s.Inputs = append(s.Inputs, driver.Hot)
			c.Inputs[driver.Hot] = modbus.Contact{Number: 3}
		})
		rig := r.open()
		var sent atomic.Int64
		r.Cable().Host().Tap(func(b []byte) { sent.Add(int64(len(b))) })
		return machinetest.Board{
			Rig: rig, Plant: r.plant,
			Sent: func() int { return int(sent.Load()) }, CutAfter: r.CutAfter, Cut: r.Cut,
			Replug: func() { r.Wait(); time.Sleep(5 * time.Second); r.Plug(7) },
		}
	})
}
