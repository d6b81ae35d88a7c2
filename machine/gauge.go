package machine

import (
	"errors"
	"slices"

	"barista/driver"
)

// Gauge is what a machine sees of something that a person fills or empties. Its zero
// value is nothing: no sensor tells.
type Gauge string

// The gauges that a sensor tells.
const (
	GaugeThere  Gauge = "there"  // beans, water, room in the tray
	GaugeOut    Gauge = "out"    // none, or the tray is full or missing
	GaugeSilent Gauge = "silent" // its sensor does not say now
)

// Gauges are those of one machine.
type Gauges struct{ Beans, Water, Tray Gauge }

// gauges reads them, whatever the machine is at.
func (m *Machine) gauges(r readings) Gauges {
	if m.rig.Appliance() != nil {
		return m.fit.gauges
	}
	of := func(s driver.Signal) Gauge {
		switch x, there := r[s]; {
		case !there:
			return ""
		case !x.good():
			return GaugeSilent
		case x.Yes():
			return GaugeThere
		}
		return GaugeOut
	}
	return Gauges{Beans: of(driver.Beans), Water: of(driver.Tank), Tray: of(driver.Tray)}
}

// told is what an appliance's answer tells, which was asked whether it is ready. While
// it is busy nobody looked, and what was seen before counts.
func (g Gauges) told(watches []driver.Signal, not error) Gauges {
	if errors.Is(not, driver.ErrNotYet) {
		return g
	}
	want, sees := errors.AsType[*driver.WantError](not)
	of := func(s driver.Signal) Gauge {
		switch watched := slices.Contains(watches, s); {
		case sees && slices.Contains(want.Signals, s):
			return GaugeOut
		case !watched:
			return ""
		case sees || not == nil:
			return GaugeThere
		}
		return GaugeSilent
	}
	return Gauges{Beans: of(driver.Beans), Water: of(driver.Tank), Tray: of(driver.Tray)}
}

// lacks lists what is out, in the words of the faults.
func (g Gauges) lacks() (out []string) {
	for _, x := range []struct {
		g Gauge
		c Cause
	}{{g.Water, TankEmpty}, {g.Beans, BeansEmpty}, {g.Tray, TrayFull}} {
		if x.g == GaugeOut {
			out = append(out, FaultOf(x.c).Lacks)
		}
	}
	return out
}
