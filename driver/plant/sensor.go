package plant

import (
	"fmt"
	"math"
	"slices"

	"barista/driver"
)

// hotBand is how near to the brewing temperature is hot, in °C.
const hotBand = 2.0

// Read is what a sensor says, in the signal's unit, since the plant began. An
// open sensor is driver.ErrInvalid. Reading the cup sensor also shows the
// simulated customer that the place was seen empty; it changes nothing else.
func (p *Plant) Read(s driver.Signal) (float64, error) {
	p.enter()
	defer p.leave()
	if !slices.Contains(driver.Signals, s) {
		return 0, fmt.Errorf("this machine has no sensor for %q", s)
	}
	if _, open := p.faults[Fault{Kind: SensorOpen, Signal: s}]; open {
		return 0, fmt.Errorf("sensor %s is open: %w", s, driver.ErrInvalid)
	}
	if v, frozen := p.faults[Fault{Kind: SensorFrozen, Signal: s}]; frozen {
		return v, nil
	}
	if s == driver.Cup {
		p.cupRead = true
		if p.cup == nil && p.emptySeen < 0 {
			p.emptySeen = p.at
		}
	}
	return p.signal(s), nil
}

// signal is what a sound sensor says.
func (p *Plant) signal(s driver.Signal) float64 {
	yes := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	switch s {
	case driver.Temperature:
		return p.celsius
	case driver.Hot:
		return yes(p.celsius >= p.cfg.BoilerC-hotBand)
	case driver.Flow:
		if p.cfg.PulseML > 0 {
			return math.Floor(p.mass.PumpedML/p.cfg.PulseML+tiny) * p.cfg.PulseML
		}
		return p.mass.PumpedML
	case driver.Weight:
		return p.mass.GroundG
	case driver.Cup:
		return yes(p.cup != nil)
	case driver.Tank:
		return yes(p.tank >= p.cfg.TankLowML && p.tank > 0 && !p.has(TankEmpty))
	case driver.Beans:
		return yes(p.hopper >= p.cfg.BeansLowG && p.hopper > 0 && !p.has(BeansOut))
	case driver.Tray:
		return yes(p.tray <= p.cfg.TrayHighML)
	case driver.Door:
		return yes(!p.has(DoorOpen))
	case driver.Power:
		return yes(!p.has(UnderVoltage))
	default: // driver.Stop
		return yes(!p.has(StopPressed))
	}
}
