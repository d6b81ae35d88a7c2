package machine

import (
	"time"

	"barista/driver"
	"barista/machine/recipe"
)

// Outlook is when, as things stand: by the timeline in hand and its plan, and by what
// the guard and the sensors say now. It is a forecast for people who wait, and decides
// nothing.
type Outlook struct {
	Done time.Time // the drink in hand is ready; zero: none is, or an appliance makes it
	Free time.Time // the next drink could begin; zero: only a person can bring that about
	// Heat is how long our own heater heats before the next drink, Reheat before each
	// further one of a series.
	Heat, Reheat time.Duration
}

const (
	// coldStart is how long a warm-up is taken to last where nothing shows how warm it
	// is, and leastWarm how much of it is left at least.
	coldStart = time.Minute
	leastWarm = 5 * time.Second
	// usualRate is how fast a heater is taken to heat until that was seen, °C/s: some
	// 1900 W in a quarter of a litre, or 1100 W in half of one, lie about it.
	usualRate = 1.5
	// newest is the weight of a new measurement.
	newest = 0.3
)

// warmth is what the owner loop has seen of its heat.
type warmth struct {
	rate  float64       // °C/s while the heater is on; 0: not seen yet
	usual time.Duration // of heating before a drink, in a series
	on    time.Time     // the heater is on since, for the drink in hand; zero: it is not
	from  float64       // °C, then
	extra time.Duration // that the drink in hand was heated for
	cold  time.Time     // it is warming up since; zero: it is not
	was   float64       // °C, then
}

// heats notes that the heater goes on for a drink.
func (m *Machine) heats() {
	m.heat.extra = 0
	if r, err := m.sense(driver.Temperature); err == nil {
		m.heat.on, m.heat.from = time.Now(), r.Value
	}
}

// heated notes that it went off: it is hot.
func (m *Machine) heated() {
	h := &m.heat
	if h.on.IsZero() {
		return
	}
	took := time.Since(h.on)
	h.on = time.Time{}
	h.extra = took
	r, err := m.sense(driver.Temperature)
	if rose := r.Value - h.from; err == nil && rose > 3 && took > 0 {
		h.rate = mean(h.rate, rose/took.Seconds())
		const series = 30 // °C that a drink's cold water takes from a boiler, at most
		if rose < series {
			h.usual = time.Duration(mean(float64(h.usual), float64(took)))
		}
	}
}

// mean is a running one.
func mean(was, now float64) float64 {
	if was <= 0 {
		return now
	}
	return was + newest*(now-was)
}

// celsius is the boiler's temperature; false where nothing shows it.
func (r readings) celsius() (float64, bool) {
	t, there := r[driver.Temperature]
	return t.Value, there && t.good()
}

// heating is how long the heater will take to bring the boiler to a temperature.
func (m *Machine) heating(r readings, tempC float64) time.Duration {
	is, known := r.celsius()
	if _, ours := m.limits.Parts[driver.Heater]; !ours || !known {
		return 0
	}
	rate := m.heat.rate
	if rate <= 0 {
		rate = usualRate * m.plan.Calibration.Factor()
	}
	return time.Duration(max(0, tempC-is) / rate * float64(time.Second))
}

// outlook looks ahead from a status. Owner loop only.
func (m *Machine) outlook(s Status, r readings) Outlook {
	now := time.Now()
	var o Outlook
	if s.State != StateStarting {
		m.heat.cold = time.Time{}
	}
	if d, is := m.hand.(*pour); is {
		o.Done = m.done(d.walk, r, now)
		o.Heat, o.Reheat = m.heat.usual, m.heat.usual
		o.Free = o.Done.Add(d.walk.tl.Rest(m.probe, m.limits.Parts))
		return o
	}
	switch {
	case m.hand.makes(): // an appliance's: only how long its last ones took shows
	case s.State == StateReady, s.State == StateWaiting, s.State == StateBusy:
		o.Free, o.Heat, o.Reheat = now.Add(m.resting()), m.heating(r, m.target()), m.heat.usual
	case m.hold != nil && s.State == StateBlocked && s.Reason == m.hold.reason():
		o.Free = m.until
	case s.State == StateStarting:
		o.Free = now.Add(m.warmingLeft(r, now))
	}
	return o
}

// done is when the walk ends, as it stands: what it waits for takes its time.
func (m *Machine) done(w *walk, r readings, now time.Time) time.Time {
	if w.i >= len(w.tl) {
		return now
	}
	e := w.tl[w.i]
	at := w.due(e)
	if at.Before(now) {
		at = now
	}
	if at.Before(w.wait) {
		at = w.wait
	}
	for _, next := range w.tl[w.i:] {
		if next.Kind == recipe.Off && next.Part == driver.Heater {
			at = at.Add(m.heating(r, next.Until.Value))
		}
	}
	return at.Add(w.tl.Length() - e.At)
}

// resting is how long the parts of the least drink still rest, as the guard counts it.
func (m *Machine) resting() (d time.Duration) {
	first := map[driver.Part]bool{}
	for _, e := range m.probe {
		if e.Kind == recipe.On && !first[e.Part] {
			first[e.Part] = true
			d = max(d, m.rig.RestLeftFor(e.Part, e.AtMost)-e.At)
		}
	}
	return d
}

// target is how hot the drinks of the book want it, °C.
func (m *Machine) target() (c float64) {
	for _, d := range m.plan.Book {
		c = max(c, d.TempC)
	}
	return c
}

// warmingLeft is how long a machine that becomes ready by itself will take for that. One
// that shows its temperature is believed to go on as it went so far.
func (m *Machine) warmingLeft(r readings, now time.Time) time.Duration {
	h := &m.heat
	is, known := r.celsius()
	if h.cold.IsZero() {
		h.cold, h.was = now, is
	}
	gone := now.Sub(h.cold)
	left := m.scaled(coldStart, 0) - gone
	if rose := is - h.was; known && rose > 3 {
		left = time.Duration(max(0, m.target()-is) / rose * float64(gone))
	}
	return max(left, m.scaled(leastWarm, 0))
}
