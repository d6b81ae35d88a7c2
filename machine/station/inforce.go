package station

import (
	"log/slog"
	"time"

	"barista/driver"
	"barista/machine"
	"barista/machine/calibration"
	"barista/machine/recipe"
)

// InForce is the plan of a file's machine with what was measured on it, as its
// service will work by it. Of a plant in a process of its own it has the usual
// figures. A damaged file of what was measured (*calibration.DamagedError) keeps
// the machine from starting.
func InForce(plan machine.Plan, dir string) (machine.Plan, *calibration.Store, error) {
	here, err := calibration.Open(dir)
	if err != nil {
		return machine.Plan{}, nil, err
	}
	return over(plan, here), here, nil
}

// over puts what was measured before what the plan says, or has by default.
func over(plan machine.Plan, here *calibration.Store) machine.Plan {
	plan.Calibration = here.Over(plan.Filled().Calibration)
	return plan
}

// sayCalibration notes in the log what goes before the file.
func sayCalibration(log *slog.Logger, here *calibration.Store) {
	for _, p := range calibration.Parts {
		if v, there := here.InForce(p); there {
			log.Info("calibrated", "part", p, "per_second", v.PerSecond, "delay", v.Delay(), "version", v.N, "by", v.By)
		}
		if was, so := here.Swapped(p); so {
			log.Warn("a part was swapped and has not been measured since: barista calibrate", "part", p, "swapped", was.At, "by", was.By, "why", was.Why)
		}
	}
}

// Figures are those of one part that count, and where they are from. They are in
// the machine's own time.
type Figures struct {
	Part      driver.Part `json:"part"`
	PerSecond float64     `json:"per_second"`
	Unit      string      `json:"unit"`
	DelayMS   int64       `json:"delay_ms"`
	From      string      `json:"from"` // "measured" here, "file", or "usual" for its kind
	Version   int         `json:"version,omitempty"`
	By        string      `json:"by,omitempty"`
	At        *time.Time  `json:"at,omitempty"`
	// Swapped is how the part came to be another one than was measured; nil: it did not.
	Swapped *calibration.Swap `json:"swapped,omitempty"`
}

// Calibration lists the figures of the parts that can be measured, by the plan in
// force; file has the rates that a person wrote.
func Calibration(file recipe.Calibration, plan machine.Plan, here *calibration.Store) []Figures {
	var out []Figures
	c := plan.Calibration
	for _, p := range calibration.Parts {
		if !plan.Has(p) {
			continue
		}
		rate, delay := calibration.RateOf(c, p)
		x := Figures{Part: p, PerSecond: rate / c.Factor(), Unit: calibration.Unit(p), DelayMS: time.Duration(float64(delay) * c.Factor()).Milliseconds(), From: "usual"}
		if written, _ := calibration.RateOf(file, p); written > 0 {
			x.From = "file"
		}
		if v, there := here.InForce(p); there {
			x.From, x.Version, x.By, x.At = "measured", v.N, v.By, &v.At
		}
		if was, so := here.Swapped(p); so {
			x.Swapped = &was
		}
		out = append(out, x)
	}
	return out
}
