package recipe

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"barista/driver"
	"barista/driver/guard"
)

// Drink is what to do, in physical units. What is 0 is left out.
type Drink struct {
	Size    string  // the menu's word, for messages and for the Book
	Grams   float64 // of beans, 0–60
	WaterML float64 // through the coffee, 0–400
	MilkML  float64 // 0–250
	Sugar   int     // doses, 0–10
	TempC   float64 // of the boiler before water flows; 0 = heat is not this machine's affair

	// SoakML of the water goes first, then SoakRest passes (pre-infusion: about
	// 2 s wet, 2 to 5 s rest). 0 = all in one.
	SoakML   float64
	SoakRest time.Duration

	// Care names what this is instead of a drink: a rinse, or what a person has cleaned.
	// It may switch nothing at all.
	Care  string
	Rinse time.Duration // by a part of its own, 0 to 30 s
}

// Check returns every value that no machine could make, joined.
func (d Drink) Check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	amount := func(what string, v, most float64, unit string) {
		if !(v >= 0 && v <= most) { // catches NaN too
			add("%s: %v %s is not within 0 to %v", what, v, unit, most)
		}
	}
	amount("coffee", d.Grams, 60, "g")
	amount("water", d.WaterML, 400, "ml")
	amount("milk", d.MilkML, 250, "ml")
	amount("sugar", float64(d.Sugar), 10, "doses")
	amount("heat", d.TempC, 160, "°C")
	amount("soak", d.SoakML, 60, "ml")
	if d.SoakRest < 0 || d.SoakRest > time.Minute {
		add("soak: a rest of %v is not within 0 to 1m", d.SoakRest)
	}
	if d.SoakML > 0 && d.SoakML >= d.WaterML {
		add("soak: %s of %s water leave nothing to pour", num(d.SoakML, "ml"), num(d.WaterML, "ml"))
	}
	if d.Rinse < 0 || d.Rinse > 30*time.Second {
		add("rinse: %v is not within 0 to 30s", d.Rinse)
	}
	if d.Grams > 0 && d.WaterML == 0 {
		add("water: %s of coffee and no water", num(d.Grams, "g"))
	}
	if len(errs) == 0 && d.Care == "" && d.WaterML == 0 && d.MilkML == 0 && d.Sugar == 0 {
		add("nothing to do: no water, no milk, no sugar")
	}
	return errors.Join(errs...)
}

// Book holds, by size, the largest drink that the machine is expected to make:
// it gives the temperature where a job does not name one, and bounds how long a
// drink can take.
type Book map[string]Drink

// DefaultBook has the public article's doses. 92 °C is the lower end of what
// espresso machines are set to (92 to 95 °C).
func DefaultBook() Book {
	return Book{
		"small":  {Size: "small", Grams: 9, WaterML: 40, MilkML: 30, Sugar: 3, TempC: 92},
		"medium": {Size: "medium", Grams: 17, WaterML: 110, MilkML: 60, Sugar: 3, TempC: 92},
		"large":  {Size: "large", Grams: 30, WaterML: 180, MilkML: 90, Sugar: 3, TempC: 92},
	}
}

// Calibration is how fast one machine is, as measured on it.
type Calibration struct {
	GrinderGPS  float64 // g/s of coffee
	PumpMLPS    float64 // ml/s of water through coffee
	MilkMLPS    float64 // ml/s of milk
	SugarDosePS float64 // doses/s of sugar
	// StartDelay is the time from "on" until something comes, per part.
	StartDelay map[driver.Part]time.Duration
	// Speed is how many times faster than metal the machine is; 0 is 1. Above 1
	// only for a simulated one: it shortens what the machine waits for. Use
	// Scale.
	Speed float64
}

// Over is c with known's rates where it has none.
func (c Calibration) Over(known Calibration) Calibration {
	for _, x := range []struct {
		to   *float64
		from float64
	}{
		{&known.GrinderGPS, c.GrinderGPS}, {&known.PumpMLPS, c.PumpMLPS}, {&known.MilkMLPS, c.MilkMLPS}, {&known.SugarDosePS, c.SugarDosePS},
	} {
		if x.from > 0 {
			*x.to = x.from
		}
	}
	return known
}

// DefaultCalibration has typical figures of public sources: 1.2 g/s, 3 to 7 ml/s
// of a peristaltic milk pump, and a vibratory pump near 9 bar (5.5 ml/s; free
// flow is 10). Each is to be replaced by `barista calibrate`.
func DefaultCalibration() Calibration {
	return Calibration{GrinderGPS: 1.2, PumpMLPS: 6, MilkMLPS: 5, SugarDosePS: 1, Speed: 1}
}

// Scale is the same machine x times faster, for one that is simulated.
func (c Calibration) Scale(x float64) Calibration {
	c.GrinderGPS *= x
	c.PumpMLPS *= x
	c.MilkMLPS *= x
	c.SugarDosePS *= x
	c.Speed = c.Factor() * x
	c.StartDelay = maps.Clone(c.StartDelay)
	for p, d := range c.StartDelay {
		c.StartDelay[p] = time.Duration(float64(d) / x)
	}
	return c
}

// Check returns every problem, joined. A rate of 0 is allowed here: it means
// that the machine can't do it, and is refused where a drink needs it.
func (c Calibration) Check() error {
	var errs []error
	rate := func(what string, v float64) {
		if !(v >= 0) {
			errs = append(errs, fmt.Errorf("calibration: %s of %v is not a rate, give one above 0", what, v))
		}
	}
	rate("grinder g/s", c.GrinderGPS)
	rate("pump ml/s", c.PumpMLPS)
	rate("milk ml/s", c.MilkMLPS)
	rate("sugar doses/s", c.SugarDosePS)
	if !(c.Speed >= 0) || math.IsInf(c.Speed, 1) {
		errs = append(errs, fmt.Errorf("calibration: a speed of %v makes no sense, give one above 0", c.Speed))
	}
	for _, p := range slices.Sorted(maps.Keys(c.StartDelay)) {
		if d := c.StartDelay[p]; d < 0 || d > 10*time.Second {
			errs = append(errs, fmt.Errorf("calibration: a start delay of %v for the %s is not within 0 to 10s", d, p))
		}
	}
	return errors.Join(errs...)
}

// Factor is Speed, 1 where nothing is said.
func (c Calibration) Factor() float64 {
	if c.Speed == 0 {
		return 1
	}
	return c.Speed
}

// Limits is what one machine has and may.
type Limits struct {
	Parts    map[driver.Part]guard.Limits // the parts that are there, with every ceiling worked in
	Signals  map[driver.Signal]bool       // the sensors that are there
	HotWait  time.Duration                // longest wait for heat
	MaxTempC float64                      // the boiler's limit
}

// num writes an amount with at most one decimal.
func num(v float64, unit string) string {
	if v == 1 && unit == "doses" {
		unit = "dose"
	}
	return fmt.Sprintf("%v %s", math.Round(v*10)/10, unit)
}
