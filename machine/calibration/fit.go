package calibration

import (
	"errors"
	"fmt"
	"math"
	"time"

	"barista/driver"
)

// Point is one run: how long the part was on, and what came, in g or ml.
type Point struct {
	On     time.Duration
	Amount float64
}

// Rate is how fast a part works: Amount = PerSecond × (On − Delay).
type Rate struct {
	PerSecond float64       // g/s or ml/s
	Delay     time.Duration // from "on" until something comes
	Worst     float64       // the farthest that a point lies off the line, as a share of the largest amount
}

const (
	minPoints  = 3
	minSpread  = 1.5  // the longest run over the shortest
	maxOff     = 0.06 // a kitchen scale shows 1 g, 3 % of 30 ml
	startNoise = 300 * time.Millisecond
)

// bounds are the rates of real parts, as a configuration may have them.
var bounds = map[driver.Part]struct {
	least, most float64
	unit        string
}{
	driver.Grinder: {0.1, 20, "g"},
	driver.Pump:    {0.5, 100, "ml"},
	driver.Milk:    {0.5, 100, "ml"},
}

// Parts are those that can be calibrated.
var Parts = []driver.Part{driver.Grinder, driver.Pump, driver.Milk}

// Unit of what a part brings, "g" or "ml".
func Unit(p driver.Part) string { return bounds[p].unit }

// Plan is how long to run a part to find its rate: three runs, the shortest
// first, within its ceiling; speed is how many times faster than metal it is.
func Plan(p driver.Part, maxOn time.Duration, speed float64) []time.Duration {
	longest := 9 * time.Second
	if p == driver.Pump {
		longest = 12 * time.Second
	}
	longest = min(time.Duration(float64(longest)/speed), maxOn)
	return []time.Duration{longest / 3, longest * 2 / 3, longest}
}

// Fit finds the line through the points with the least squares. It refuses what
// no such part could give; the error says why and what to do.
func Fit(p driver.Part, points []Point) (Rate, error) {
	b, known := bounds[p]
	if !known {
		return Rate{}, fmt.Errorf("%s can't be calibrated: %v can", p, Parts)
	}
	if len(points) < minPoints {
		return Rate{}, fmt.Errorf("%d runs are too few: measure at least %d of different lengths", len(points), minPoints)
	}
	var n, st, sa, stt, sta, most float64
	least, longest := math.Inf(1), 0.0
	for _, x := range points {
		t := x.On.Seconds()
		if !(x.Amount >= 0) || math.IsInf(x.Amount, 1) || t <= 0 {
			return Rate{}, fmt.Errorf("%v %s in %v is no measurement: measure again", x.Amount, b.unit, x.On)
		}
		n, st, sa, stt, sta = n+1, st+t, sa+x.Amount, stt+t*t, sta+t*x.Amount
		most, least, longest = max(most, x.Amount), min(least, t), max(longest, t)
	}
	if longest < minSpread*least {
		return Rate{}, fmt.Errorf("runs of %.1f s to %.1f s are too much alike to tell the rate from the start: measure at least one that is half as long again", least, longest)
	}
	if most == 0 {
		return Rate{}, fmt.Errorf("nothing came of any run: is there anything to come, and does the %s work? barista selftest tries it", p)
	}
	rate := (n*sta - st*sa) / (n*stt - st*st)
	offset := (sa - rate*st) / n
	if rate <= 0 {
		return Rate{}, errors.New("a longer run brought less than a shorter one: was the vessel emptied before each run, and the right number given?")
	}
	delay := -offset / rate
	// What comes a little before the command is the error of the scale; the line
	// through nothing at nought is the better one then.
	noise := startNoise.Seconds() + least/20
	if delay < 0 && delay >= -noise {
		rate, delay = sta/stt, 0
	}
	worst := 0.0
	var where Point
	for _, x := range points {
		if off := math.Abs(x.Amount-rate*(x.On.Seconds()-delay)) / most; off > worst {
			worst, where = off, x
		}
	}
	switch {
	case worst > maxOff:
		return Rate{}, fmt.Errorf("the runs don't lie on one line: %.1f %s in %.1f s are %.0f %% off what the others say; empty the vessel before each run, let the last drops fall, and measure again",
			where.Amount, b.unit, where.On.Seconds(), worst*100)
	case delay < 0:
		return Rate{}, fmt.Errorf("by these runs something came %.1f s before it was switched on: was there something in the vessel, or does the %s drip? Empty it before each run and measure again", -delay, p)
	case delay > least/2:
		return Rate{}, fmt.Errorf("by these runs nothing comes in the first %.1f s, more than half of the shortest run: a dry line, or a pump that must be primed first; run it until it comes at once, and measure again", delay)
	case rate < b.least || rate > b.most:
		return Rate{}, fmt.Errorf("%.2f %s/s are not possible for a %s (%v to %v): was it given in %s?", rate, b.unit, p, b.least, b.most, b.unit)
	}
	return Rate{PerSecond: rate, Delay: time.Duration(delay * float64(time.Second)).Round(time.Millisecond), Worst: worst}, nil
}
