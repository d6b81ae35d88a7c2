package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
)

// CommandCurves asks a machine for the curves of its last drinks. It changes nothing, and
// a machine of an earlier version says that it does not know it.
const CommandCurves = "curves"

// The bounds of what a machine tells of its last drinks. An answer with all that they
// allow is below MostAnswer.
const (
	MostCurves    = 5
	MostPoints    = 240
	MostStretches = 40
	MostAnswer    = 64 << 10
	MostValue     = 1_000_000 // of a measurement, either way
)

// Curve is what the sensors of a machine saw while it made one drink, and what was on
// when. Times are in seconds from the drink's beginning. A point of which a sensor could
// not say its value is null, and a sensor that is not there has no points.
type Curve struct {
	Order       string     `json:"order"`
	Epoch       int        `json:"epoch"`
	Size        Size       `json:"size"`
	Ago         int        `json:"ago_seconds"` // since it ended, by the machine's own time
	Seconds     float64    `json:"seconds"`     // that it took
	Outcome     Outcome    `json:"outcome"`
	Water       float64    `json:"water_ml,omitempty"` // through the flow meter
	Parts       []Stretch  `json:"parts"`
	At          []float64  `json:"at,omitempty"`
	Flow        []*float64 `json:"flow_ml_s,omitempty"`
	Temperature []*float64 `json:"temperature_c,omitempty"`
	Weight      []*float64 `json:"weight_g,omitempty"` // of beans ground
}

// Stretch is a time for which a part was on.
type Stretch struct {
	Part string  `json:"part"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// Quantity is one line of a curve, a value for each point.
type Quantity struct {
	Name, Unit string
	Values     []*float64
}

// Quantities lists what was measured.
func (c Curve) Quantities() []Quantity {
	all := []Quantity{{"flow", "ml/s", c.Flow}, {"temperature", "°C", c.Temperature}, {"weight", "g", c.Weight}}
	return slices.DeleteFunc(all, func(q Quantity) bool { return len(q.Values) == 0 })
}

// Highest is the greatest of the values; not ok where there is none.
func (q Quantity) Highest() (most float64, ok bool) {
	for _, v := range q.Values {
		if v != nil && (!ok || *v > most) {
			most, ok = *v, true
		}
	}
	return most, ok
}

// MeanFlow is how much flowed in a second while it pumped; not ok where nobody measured
// it, or it did not pump.
func (c Curve) MeanFlow() (mlps float64, ok bool) {
	pumped := 0.0
	for _, s := range c.Parts {
		if s.Part == "pump" || s.Part == "rinse" {
			pumped += s.To - s.From
		}
	}
	if len(c.Flow) == 0 || pumped <= 0 {
		return 0, false
	}
	return c.Water / pumped, true
}

// On lists the parts that were on at a time.
func (c Curve) On(at float64) (parts []string) {
	for _, s := range c.Parts {
		if s.From <= at && at < s.To {
			parts = append(parts, s.Part)
		}
	}
	return parts
}

// ParseCommandAnswer reads a machine's answer, of which no part is believed unseen.
func ParseCommandAnswer(b []byte) (a CommandAnswer, err error) {
	if len(b) > MostAnswer {
		return a, fmt.Errorf("%d bytes, at most %d", len(b), MostAnswer)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return CommandAnswer{}, err
	}
	if err := a.Check(); err != nil {
		return CommandAnswer{}, err
	}
	return a, nil
}

// Check says why no machine of ours would answer this.
func (a CommandAnswer) Check() error {
	var p problems
	if t := a.Tried; t != nil {
		p.unless(IsToken(t.Part), "the part %.40q was tried", t.Part)
		p.token("proof", t.Proof)
		p.text("unit", t.Unit, 8)
		p.seconds("seconds", t.Seconds)
		p.unless(t.Gain >= -maxSum && t.Gain <= maxSum, "it rose by %g", t.Gain)
	}
	p.unless(len(a.Curves) <= MostCurves, "%d curves, at most %d", len(a.Curves), MostCurves)
	for _, c := range a.Curves {
		p.of("curve", c.Check())
	}
	return p.err()
}

// Check says why this can't be the curve of a drink.
func (c Curve) Check() error {
	var p problems
	p.unless(isID(c.Order), "order %.40q: not an id", c.Order)
	p.unless(c.Epoch >= 1 && c.Epoch <= maxCount, "epoch %d: 1 to %d", c.Epoch, maxCount)
	p.unless(IsToken(string(c.Size)), "size %.40q: 1 to 32 of a-z, 0-9 and -", c.Size)
	p.figure("ago", c.Ago, maxSum)
	p.seconds("seconds", c.Seconds)
	p.outcome(c.Outcome)
	p.unless(c.Water >= -MostValue && c.Water <= MostValue, "water %g ml", c.Water)
	p.unless(len(c.Parts) <= MostStretches, "%d times for which a part was on, at most %d", len(c.Parts), MostStretches)
	for _, s := range c.Parts {
		p.unless(IsToken(s.Part), "part %.40q: 1 to 32 of a-z, 0-9 and -", s.Part)
		p.unless(s.From >= 0 && s.From <= s.To && s.To <= c.Seconds, "on from %g to %g s of %g s", s.From, s.To, c.Seconds)
	}
	p.unless(len(c.At) <= MostPoints, "%d points, at most %d", len(c.At), MostPoints)
	last := 0.0
	for _, at := range c.At {
		p.unless(at >= last && at <= c.Seconds, "a point at %g s, after %g s of %g s", at, last, c.Seconds)
		last = at
	}
	for _, q := range c.Quantities() {
		p.unless(len(q.Values) == len(c.At), "%s: %d values for %d points", q.Name, len(q.Values), len(c.At))
		for _, v := range q.Values {
			p.unless(v == nil || *v >= -MostValue && *v <= MostValue, "%s: beyond all sense", q.Name)
		}
	}
	return p.err()
}
