package plant

import (
	"math"

	"barista/driver"
)

const (
	roomC       = 20.0
	cutOutC     = 170.0
	coolSeconds = 600.0 // in which a full boiler loses two thirds of its warmth
)

// boiler is where the temperature goes, in °C, and how fast, per second of the
// machine's time: heater, loss and cold water balance there.
//
// A boiler without water has nothing to heat but its metal, here a fifth of the
// heat it holds when full.
func (p *Plant) boiler(r rates) (end, rate float64) {
	joules := p.cfg.BoilerML * 4.18 // per °C
	if r.heatDry {
		joules /= 5
	}
	rate = 1/coolSeconds + r.flow/p.cfg.BoilerML
	up := roomC * rate // °C/s; the tank is as warm as the room
	if p.on(driver.Heater) {
		up += p.cfg.HeaterW / joules
	}
	return up / rate, rate
}

// heat moves the temperature. The equation is linear, so each step is exact. A
// thermal cut-out in series with the heater opens at 170 °C, the hard cap of
// known machines: the temperature stays there.
func (p *Plant) heat(r rates, s float64) {
	if !p.cfg.Heater {
		return
	}
	end, rate := p.boiler(r)
	p.celsius = end + (p.celsius-end)*math.Exp(-rate*s)
	p.celsius = min(p.celsius, cutOutC)
}

// cutsOut is in how many of the machine's seconds the thermal cut-out opens.
func (p *Plant) cutsOut(r rates) (float64, bool) {
	end, rate := p.boiler(r)
	if !p.cfg.Heater || end <= cutOutC || p.celsius > cutOutC-tiny {
		return 0, false
	}
	return math.Log((end-p.celsius)/(end-cutOutC)) / rate, true
}
