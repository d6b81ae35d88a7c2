package plant

import (
	"math"
	"slices"
	"strings"
	"time"

	"barista/driver"
)

// The limits of metal, in real seconds. They agree with the ceilings of package
// guard, which keeps a grinder from turning longer than 25 s.
const (
	dryLimit     = 2 * time.Second
	grinderLimit = 25 * time.Second
)

// tiny is what counts as nothing, in g or ml: far below a drop, far above the
// rounding of float64.
const tiny = 1e-9

// rates is what moves now, per second of the machine's time.
type rates struct {
	grind, flow, milk, sugar float64
	toCup, toTray            bool // where liquid goes; neither: to the floor
	pumpDry, heatDry         bool
}

func (p *Plant) rates() rates {
	var r rates
	if p.on(driver.Grinder) && p.hopper > 0 && !p.has(Jam) && !p.has(BeansOut) && p.strike != Jam {
		r.grind = p.cfg.GrinderGPS
	}
	water := p.tank > 0 && !p.has(TankEmpty)
	if p.on(driver.Pump) && water && !p.has(NoFlow) && p.strike != NoFlow {
		r.flow = p.cfg.FlowMLPS
	}
	if p.on(driver.Milk) && p.milk > 0 {
		r.milk = p.cfg.MilkMLPS
	}
	if p.on(driver.Sugar) && p.sugar > 0 {
		r.sugar = p.cfg.SugarDosePS
	}
	r.toCup = p.cup != nil && p.cup.room(p.cfg.CupML) > tiny
	r.toTray = !r.toCup && p.cfg.TrayML-p.tray > tiny
	r.pumpDry = p.on(driver.Pump) && !water
	r.heatDry = p.on(driver.Heater) && !water
	return r
}

// advance brings the plant to now, from event to event.
func (p *Plant) advance(now time.Duration) {
	for {
		p.due()
		if p.at >= now {
			return
		}
		next := p.next(now)
		p.run(next - p.at)
		p.at = next
	}
}

// next is when something happens by itself, at the latest now.
func (p *Plant) next(now time.Duration) time.Duration {
	next := now
	by := func(at time.Duration) {
		if at > p.at && at < next {
			next = at
		}
	}
	for _, part := range p.parts {
		r := p.relays[part]
		if r.timer > 0 {
			by(r.timer)
		}
		if part == driver.Grinder && r.closed {
			by(r.since + grinderLimit)
		}
	}
	for _, s := range []span{p.pumpDry, p.heatDry} {
		if s.on {
			by(s.since + dryLimit)
		}
	}
	for _, when := range []func() (time.Duration, bool){p.takes, p.places, p.refills, p.drops, p.pauseEnds, p.strikeEnds} {
		if at, ok := when(); ok {
			by(at)
		}
	}
	r := p.rates()
	gone := func(amount, rate float64) {
		if rate > 0 && amount > 0 {
			by(p.at + p.real(amount/rate))
		}
	}
	gone(p.hopper, r.grind)
	gone(p.tank, r.flow)
	if p.flowing { // where a drink goes is decided when it becomes one
		gone(p.cfg.DrinkML-p.flow.CoffeeML, r.flow)
		gone(coffeeG-p.basket.grams(), r.grind)
	}
	gone(p.milk, r.milk)
	gone(p.sugar, r.sugar)
	if r.toCup {
		gone(p.cup.room(p.cfg.CupML), r.flow+r.milk)
	}
	if r.toTray {
		gone(p.cfg.TrayML-p.tray, r.flow+r.milk)
	}
	if s, ok := p.cutsOut(r); ok {
		by(p.at + p.real(s))
	}
	return next
}

// real is how long machine seconds take on the clock, rounded up to a whole
// nanosecond, so that each step gets somewhere.
func (p *Plant) real(machineSeconds float64) time.Duration {
	ns := math.Ceil(machineSeconds / p.cfg.Speed * 1e9)
	if ns > float64(math.MaxInt64/4) {
		return math.MaxInt64 / 4
	}
	return max(1, time.Duration(ns))
}

// scaled is a time of the machine or a customer on the clock, but not below
// least: no program can see what is shorter.
func (p *Plant) scaled(d, least time.Duration) time.Duration {
	return max(least, time.Duration(float64(d)/p.cfg.Speed))
}

// due does what happens at this very moment. It may be called any number of
// times: what is done is not due any more.
func (p *Plant) due() {
	for _, part := range p.parts {
		if r := p.relays[part]; r.timer > 0 && r.timer <= p.at {
			p.tell(part, false, "timer")
		}
	}
	due := func(when func() (time.Duration, bool)) bool {
		at, ok := when()
		return ok && at <= p.at
	}
	if due(p.drops) {
		p.drop()
	}
	if due(p.refills) {
		p.refill()
	}
	if due(p.takes) {
		p.take()
	}
	if due(p.places) {
		p.place()
	}
	if due(p.strikeEnds) {
		p.strike = ""
	}

	r := p.rates()
	if r.flow > 0 && !p.flowing {
		p.basket.waterStarts(&p.mass.DrawerG)
	}
	p.flowing = r.flow > 0
	if p.flowing {
		p.route()
	} else if p.flow != nil && p.flow.open && (due(p.pauseEnds) || p.flow.cup != p.cupN() || p.flow.basket != p.basket.n) {
		p.settle()
	}

	if p.pumpDry.lasts(r.pumpDry, p.at) {
		p.hurt("the pump ran for %v without water", dryLimit)
	}
	if p.heatDry.lasts(r.heatDry, p.at) {
		p.hurt("the heater was on for %v without water", dryLimit)
	}
	if p.cfg.Heater && p.celsius > cutOutC-tiny {
		p.hurtOnce("the boiler reached 170 °C and the thermal cut-out opened")
	}
	if g := p.relays[driver.Grinder]; g.closed && !g.done && p.at-g.since >= grinderLimit {
		g.done = true
		p.hurt("the grinder turned for %v", grinderLimit)
	}
}

// lasts follows a condition and reports once when it has lasted for dryLimit.
func (s *span) lasts(on bool, at time.Duration) bool {
	if !on || !s.on {
		*s = span{on: on, since: at}
	}
	if !s.on || s.noted || at-s.since < dryLimit {
		return false
	}
	s.noted = true
	return true
}

// run lets everything move for a time in which no rate changes.
func (p *Plant) run(d time.Duration) {
	r := p.rates()
	s := d.Seconds() * p.cfg.Speed
	p.heat(r, s)

	g := draw(&p.hopper, r.grind*s)
	p.mass.GroundG += g
	p.basket.add(g, p.flowing)

	w := draw(&p.tank, r.flow*s)
	p.mass.PumpedML += w
	m := draw(&p.milk, r.milk*s)
	n := draw(&p.sugar, r.sugar*s)
	if w > 0 {
		p.water(w, r, p.at+d)
	}
	if m > 0 {
		p.milky(m, r)
	}
	if n > 0 {
		p.sweet(n)
	}
}

// draw takes want out of have, or what there is.
func draw(have *float64, want float64) float64 {
	if *have-want < tiny {
		want = *have
	}
	*have -= want
	return want
}

// hurtOnce notes harm of a kind only once.
func (p *Plant) hurtOnce(what string) {
	if !slices.ContainsFunc(p.harm, func(h string) bool { return strings.HasPrefix(h, what) }) {
		p.hurt("%s", what)
	}
}
