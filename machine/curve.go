package machine

import (
	"math"
	"slices"
	"time"

	"barista/driver"
	"barista/machine/journal"
)

// The bounds of what is kept of the last drinks: in memory alone, some 10 kB each, because
// an SD card that is written to at every drink wears out. The worker does not compile where
// the fleet's words let less be told.
const (
	MostCurves    = 5
	MostPoints    = 240
	MostStretches = 40 // more than any drink's timeline has
)

// rateOver is the time over which a flow is taken, on real metal. A meter that counts 0.2 ml
// at a time is then right within 0.2 ml/s.
const rateOver = time.Second

// Curve is what the sensors saw while a drink was made here, and what was on when. Times
// count from the drink's beginning. A value that a sensor could not say is NaN; of a
// sensor that the machine has not there are none.
type Curve struct {
	Order       string
	Epoch       int
	Size        string
	Ended       time.Time // monotonic
	Took        time.Duration
	Outcome     journal.Outcome
	Parts       []Stretch
	At          []time.Duration // of each point
	Flow        []float64       // ml/s
	Temperature []float64       // °C
	Weight      []float64       // g of beans ground for it
	Water       float64         // ml through the flow meter for it
}

// Stretch is a time for which a part was on.
type Stretch struct {
	Part     driver.Part
	From, To time.Duration
}

// measured are the signals of which a curve is kept.
var measured = [...]driver.Signal{driver.Flow, driver.Temperature, driver.Weight}

// The places of the signals in a look's values.
const (
	atFlow = iota
	atTemperature
	atWeight
)

// look is what the sensors said at one time: flow and weight as they count, so that a look
// may be left out and the rate between the others is still right.
type look struct {
	at time.Duration
	v  [len(measured)]float64 // NaN: none
}

// trace is what is kept of a drink. While it is made it is the owner loop's own, which
// reads and switches anyway; from its end on nobody changes it. Its methods do nothing
// without one.
type trace struct {
	order  string
	epoch  int
	size   string
	began  time.Time
	took   time.Duration
	out    journal.Outcome
	has    [len(measured)]bool
	step   time.Duration // between two looks, at least
	window time.Duration // over which a rate is taken
	looks  []look
	parts  []Stretch // To of one that is still on is onStill
}

const onStill = -1

// follow begins to keep a drink.
func (m *Machine) follow(d *drink) {
	t := &trace{
		order: d.job.Order, epoch: d.job.Epoch, size: d.job.Drink.Size, began: time.Now(),
		step: m.scaled(busyTick, time.Millisecond), window: m.ver.scaled(rateOver),
	}
	for i, s := range measured {
		_, t.has[i] = m.sensors[s]
	}
	if t.has != [len(measured)]bool{} {
		t.looks = make([]look, 0, MostPoints)
	}
	m.trace = t
}

// saw keeps a look at the sensors, if one is due. When there is no more room every second
// one goes, and from then on they come half as often.
func (t *trace) saw(now time.Time, r readings) {
	if t == nil {
		return
	}
	if n := len(t.looks); n == 0 || now.Sub(t.began)-t.looks[n-1].at >= t.step {
		t.keep(now, r)
	}
}

func (t *trace) keep(now time.Time, r readings) {
	if t == nil || cap(t.looks) == 0 {
		return
	}
	if len(t.looks) == MostPoints {
		for i := range MostPoints / 2 {
			t.looks[i] = t.looks[2*i]
		}
		t.looks, t.step = t.looks[:MostPoints/2], 2*t.step
	}
	l := look{at: now.Sub(t.began)}
	for i, s := range measured {
		l.v[i] = math.NaN()
		if x, there := r[s]; there && x.good() {
			l.v[i] = x.Value
		}
	}
	t.looks = append(t.looks, l)
}

// switched notes that a part went on or off.
func (t *trace) switched(p driver.Part, on bool) {
	if t == nil {
		return
	}
	at := time.Since(t.began)
	for i := range t.parts {
		if s := &t.parts[i]; s.Part == p && s.To == onStill {
			if !on {
				s.To = at
			}
			return
		}
	}
	if on && len(t.parts) < MostStretches {
		t.parts = append(t.parts, Stretch{p, at, onStill})
	}
}

// traced puts the drink that has just ended to the last ones; everything is off. One for
// which nothing went on is none.
func (m *Machine) traced(out journal.Outcome) {
	t := m.trace
	m.trace = nil
	if t == nil || len(t.parts) == 0 {
		return
	}
	t.took, t.out = time.Since(t.began), out
	for i := range t.parts {
		if t.parts[i].To == onStill {
			t.parts[i].To = t.took
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.traces = append(slices.Clone(m.traces[max(0, len(m.traces)-MostCurves+1):]), t)
}

// Curves are those of the last drinks that ended, the last one first. An appliance, which
// works by itself, has none. Nobody waits for it: it asks neither the loop nor a sensor.
func (m *Machine) Curves() []Curve {
	m.mu.Lock()
	kept := m.traces
	m.mu.Unlock()
	var out []Curve
	for _, t := range slices.Backward(kept) {
		out = append(out, t.curve())
	}
	return out
}

func (t *trace) curve() Curve {
	c := Curve{Order: t.order, Epoch: t.epoch, Size: t.size, Ended: t.began.Add(t.took), Took: t.took, Outcome: t.out, Parts: slices.Clone(t.parts)}
	for _, l := range t.looks {
		c.At = append(c.At, l.at)
	}
	if t.has[atFlow] {
		c.Flow = t.rates()
		if sum := t.since(atFlow); len(sum) > 0 {
			c.Water = last(sum)
		}
	}
	if t.has[atTemperature] {
		for _, l := range t.looks {
			c.Temperature = append(c.Temperature, l.v[atTemperature])
		}
	}
	if t.has[atWeight] {
		c.Weight = t.since(atWeight)
	}
	return c
}

// since is what a counter has counted from the first look on.
func (t *trace) since(place int) (out []float64) {
	first := math.NaN()
	for _, l := range t.looks {
		if math.IsNaN(first) {
			first = l.v[place]
		}
		out = append(out, l.v[place]-first)
	}
	return out
}

// last is the last of the values that is one; 0 where none is.
func last(values []float64) float64 {
	for _, v := range slices.Backward(values) {
		if !math.IsNaN(v) {
			return v
		}
	}
	return 0
}

// rates is the flow at each look: since the one before, and while it pumps over a longer
// time, because a meter counts in steps; never over more than one stretch.
func (t *trace) rates() []float64 {
	out := make([]float64, len(t.looks))
	before := -1 // the look before that has a value
	for i, l := range t.looks {
		out[i] = math.NaN()
		if math.IsNaN(l.v[atFlow]) {
			continue
		}
		if before >= 0 {
			from := before
			began, pumps := t.pumping(l.at)
			if !pumps { // the last look of a stretch is a moment after it
				began, pumps = t.pumping(t.looks[before].at)
			}
			if pumps {
				for j := before - 1; j >= 0 && t.looks[j].at >= began && l.at-t.looks[j].at <= t.window; j-- {
					if !math.IsNaN(t.looks[j].v[atFlow]) {
						from = j
					}
				}
			}
			if past := l.at - t.looks[from].at; past > 0 {
				out[i] = (l.v[atFlow] - t.looks[from].v[atFlow]) / past.Seconds()
			}
		}
		before = i
	}
	return out
}

// pumping tells whether water was pumped at a time, and since when.
func (t *trace) pumping(at time.Duration) (began time.Duration, pumps bool) {
	for _, s := range t.parts {
		if (s.Part == driver.Pump || s.Part == driver.Rinse) && s.From <= at && at <= s.To {
			return s.From, true
		}
	}
	return 0, false
}
