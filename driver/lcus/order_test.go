package lcus_test

import (
	"flag"
	"sync/atomic"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/machinetest"
)

// everyByte cuts the cable at each byte of an order, once by hand; otherwise at
// some hundred of them.
var everyByte = flag.Bool("everybyte", false, "cut the cable at every byte of an order")

func TestOrderUnpluggedAtEachByte(t *testing.T) {
	machinetest.CutAtEachByte(t, *everyByte, func(t *testing.T) machinetest.Board {
		r := newRack(t, nil)
		rig := r.open()
		rig.Sensors[driver.Hot] = hot{}
		limits := guard.Config{Parts: map[driver.Part]guard.Limits{}}
		for _, p := range wired {
			limits.Parts[p] = guard.Limits{AcceptNoDeadman: true}
		}
		var sent atomic.Int64
		r.Cable().Host().Tap(func(b []byte) { sent.Add(int64(len(b))) })
		return machinetest.Board{
			Rig: rig, Limits: limits, Plant: r.plant,
			Sent: func() int { return int(sent.Load()) }, CutAfter: r.CutAfter, Cut: r.Cut,
			Replug: func() { r.Wait(); time.Sleep(5 * time.Second); r.Plug(7) },
		}
	})
}

// hot is the boiler on its owner's word, as the service has it.
type hot struct{}

func (hot) Read() (driver.Reading, error) { return driver.Reading{Value: 1, At: time.Now()}, nil }
