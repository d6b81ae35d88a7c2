package recipe

import (
	"errors"
	"fmt"
	"math"
	"time"

	"barista/driver"
)

const (
	// offGap lies between two members of one inrush group: a relay needs about
	// 10 ms to open, its arc a little more.
	offGap = 100 * time.Millisecond
	// most pieces that one amount is split into.
	maxPieces = 8
	// readyBand: an own thermostat swings around its target.
	readyBand = 2.0
)

// Compile lays a drink out for one machine: heat if it has a heater, grind, wait
// for heat if it has none, pour, milk, sugar, one after the other. It refuses
// what breaks any limit, with all reasons joined.
//
// A machine with a heater of its own heats first, so that fresh grounds don't
// wait for it. One that keeps itself hot was seen hot before the start and is
// looked at again before water flows: its first relay must not wait.
func Compile(d Drink, c Calibration, l Limits) (Timeline, error) {
	b := &builder{c: c, l: l, lastOff: map[driver.Part]time.Duration{}}
	b.fail(d.Check())
	b.fail(c.Check())
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	_, heater := l.Parts[driver.Heater]
	if d.TempC > 0 && heater {
		b.heat(d.TempC)
	}
	b.dispense("grind", "coffee", driver.Grinder, d.Grams, c.GrinderGPS, "g")
	if d.TempC > 0 && !heater {
		b.awaitHeat(d.TempC)
	}
	if d.SoakML > 0 {
		b.dispense("pour", "water", driver.Pump, d.SoakML, c.PumpMLPS, "ml")
		b.rest(time.Duration(float64(d.SoakRest) / c.Factor()))
	}
	b.dispense("pour", "water", driver.Pump, d.WaterML-d.SoakML, c.PumpMLPS, "ml")
	b.dispense("milk", "milk", driver.Milk, d.MilkML, c.MilkMLPS, "ml")
	b.dispense("sugar", "sugar", driver.Sugar, float64(d.Sugar), c.SugarDosePS, "doses")
	b.dispense("rinse", "rinse", driver.Rinse, d.Rinse.Seconds(), c.Factor(), "s")
	if d.Care != "" && len(b.out) == 0 {
		b.step(d.Care, "by hand")
	}
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return b.out, nil
}

// UnfitError says that an amount does not fit into what a part may do.
type UnfitError struct {
	Part driver.Part
	Text string // what, how much, and why
}

func (e *UnfitError) Error() string { return e.Text }

func (b *builder) unfit(p driver.Part, format string, args ...any) {
	b.errs = append(b.errs, &UnfitError{p, fmt.Sprintf(format, args...)})
}

// builder lays events one after the other.
type builder struct {
	c       Calibration
	l       Limits
	now     time.Duration
	inrush  string // group of the part that was on last
	lastOff map[driver.Part]time.Duration
	out     Timeline
	errs    []error
}

func (b *builder) fail(err error) {
	if err != nil {
		b.errs = append(b.errs, err)
	}
}

func (b *builder) add(e Event) {
	e.At = b.now
	b.out = append(b.out, e)
}

func (b *builder) step(name, text string) { b.add(Event{Kind: Step, Step: name, Text: text}) }

// rest lets time pass, and says so.
func (b *builder) rest(d time.Duration) {
	if d > 0 {
		b.step("rest", clock(d))
		b.now += d
	}
}

// usable is how long a part with this ceiling is planned on: an off that comes a
// little late must still come before the ceiling.
func usable(maxOn time.Duration) time.Duration { return maxOn - min(maxOn/10, 200*time.Millisecond) }

// bound is the guard's bound for a planned time: a little behind it, but never
// behind the ceiling.
func bound(d, maxOn time.Duration) time.Duration {
	return min(maxOn, d+d/20+200*time.Millisecond)
}

// apart keeps members of one inrush group and two turns of one part apart.
func (b *builder) apart(p driver.Part) {
	lim := b.l.Parts[p]
	if lim.Inrush != "" && lim.Inrush == b.inrush {
		b.now += offGap
	}
	if last, on := b.lastOff[p]; on {
		b.rest(last + lim.Rest - b.now)
	}
	b.inrush = lim.Inrush
}

// dispense brings an amount at a rate, in pieces where the part's ceiling asks
// for it. Water stops at the flow meter where there is one, with a cap in time.
func (b *builder) dispense(step, what string, p driver.Part, amount, rate float64, unit string) {
	if amount <= 0 {
		return
	}
	lim, there := b.l.Parts[p]
	switch {
	case !there || lim.MaxOn <= 0:
		b.unfit(p, "%s: %s asked for, and this machine has no %s", what, num(amount, unit), p)
		return
	case rate == 0:
		b.unfit(p, "%s: the %s is not calibrated: measure it with barista calibrate", what, p)
		return
	}
	metered := p == driver.Pump && b.l.Signals[driver.Flow]
	room := usable(lim.MaxOn)
	if metered {
		room -= room / 5 // a meter that says "not yet" must have time left
	}
	delay := b.c.StartDelay[p]
	pieces, on := 1, onTime(amount, rate, delay)
	for on > room && pieces < maxPieces {
		pieces++
		on = onTime(amount/float64(pieces), rate, delay)
	}
	whole := onTime(amount, rate, delay)
	switch {
	case on > room:
		b.unfit(p, "%s: %s take %s, and the %s may run %s at a stretch: not even %d pieces fit", what, num(amount, unit), clock(whole), p, clock(lim.MaxOn), maxPieces)
		return
	case pieces > 1 && lim.Rest <= 0:
		b.unfit(p, "%s: %s take %s, and the %s may run %s at a stretch: give it a rest to split by, or take less", what, num(amount, unit), clock(whole), p, clock(lim.MaxOn))
		return
	}
	b.apart(p)
	b.step(step, num(amount, unit))
	for i := range pieces {
		if i > 0 {
			b.rest(lim.Rest)
			b.step(step, num(amount/float64(pieces), unit)) // else it would be resting to whoever looks
		}
		piece := amount / float64(pieces)
		latest, until := on, (*Until)(nil)
		if metered {
			// Half as long again and 2 s: a meter that is dead shows earlier, as no
			// flow at all.
			latest = min(on+on/2+time.Duration(float64(2*time.Second)/b.c.Factor())+100*time.Millisecond, usable(lim.MaxOn))
			until = &Until{Signal: driver.Flow, Value: piece, Late: latest - on}
		}
		b.add(Event{Kind: On, Part: p, AtMost: bound(latest, lim.MaxOn), Amount: piece})
		b.now += on
		b.add(Event{Kind: Off, Part: p, Until: until, Amount: piece})
		b.lastOff[p] = b.now
	}
}

// onTime is how long a part must be on; far beyond every ceiling it is an hour.
func onTime(amount, rate float64, delay time.Duration) time.Duration {
	return delay + time.Duration(math.Min(amount/rate, 3600)*float64(time.Second))
}

// heat heats with a part of our own until the boiler is there. It needs the
// temperature itself: a heater that is on blind is never right.
func (b *builder) heat(tempC float64) {
	lim := b.l.Parts[driver.Heater]
	b.tooHot(tempC)
	if !b.l.Signals[driver.Temperature] {
		b.fail(fmt.Errorf("heat: %s asked for, and the heater has no temperature sensor", num(tempC, "°C")))
		return
	}
	until := &Until{Signal: driver.Temperature, Value: tempC, Late: min(b.l.HotWait, usable(lim.MaxOn))}
	b.apart(driver.Heater)
	b.step("heat", num(tempC, "°C"))
	b.add(Event{Kind: On, Part: driver.Heater, AtMost: bound(until.Late, lim.MaxOn), Until: until})
	b.add(Event{Kind: Off, Part: driver.Heater, Until: until})
	b.lastOff[driver.Heater] = b.now
}

// awaitHeat waits for a boiler that heats itself.
func (b *builder) awaitHeat(tempC float64) {
	b.tooHot(tempC)
	until := &Until{Late: b.l.HotWait}
	switch {
	case b.l.Signals[driver.Hot]:
		until.Signal, until.Value = driver.Hot, 1
	case b.l.Signals[driver.Temperature]:
		until.Signal, until.Value = driver.Temperature, tempC-readyBand
	default:
		b.fail(fmt.Errorf("heat: %s asked for, and this machine can't say whether it is hot: it needs a hot or a temperature sensor, or 0 °C in its recipes", num(tempC, "°C")))
		return
	}
	b.step("heat", num(tempC, "°C"))
	b.add(Event{Kind: Wait, Until: until})
}

func (b *builder) tooHot(tempC float64) {
	if tempC >= b.l.MaxTempC {
		b.fail(fmt.Errorf("heat: %s asked for, and the boiler's limit is %s", num(tempC, "°C"), num(b.l.MaxTempC, "°C")))
	}
}
