package worker

import (
	"math"
	"time"

	"barista/fleet"
	"barista/machine"
)

// What a machine keeps may all be told: below zero none of these is a uint, and nothing
// compiles.
const (
	_ = uint(fleet.MostCurves - machine.MostCurves)
	_ = uint(fleet.MostPoints - machine.MostPoints)
	_ = uint(fleet.MostStretches - machine.MostStretches)
)

// curves are the machine's as they are told: rounded to what a sensor can tell apart.
func curves(list []machine.Curve, now time.Time) (out []fleet.Curve) {
	for _, c := range list {
		one := fleet.Curve{
			Order: c.Order, Epoch: c.Epoch, Size: fleet.Size(c.Size), Ago: int(now.Sub(c.Ended).Seconds()), Seconds: inSeconds(c.Took), Outcome: c.Outcome,
			Parts: []fleet.Stretch{}, Flow: values(c.Flow, 100), Temperature: values(c.Temperature, 10), Weight: values(c.Weight, 100),
		}
		if water := values([]float64{c.Water}, 10)[0]; water != nil {
			one.Water = *water
		}
		for _, s := range c.Parts {
			one.Parts = append(one.Parts, fleet.Stretch{Part: string(s.Part), From: inSeconds(s.From), To: inSeconds(s.To)})
		}
		for _, at := range c.At {
			one.At = append(one.At, inSeconds(at))
		}
		out = append(out, one)
	}
	return out
}

// inSeconds is a time in seconds, to the millisecond.
func inSeconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

// values are rounded to a part of their unit; nil where there is none, or one that no
// sensor means.
func values(list []float64, parts float64) (out []*float64) {
	for _, v := range list {
		var told *float64
		if math.Abs(v) < fleet.MostValue { // not so for NaN
			told = new(math.Round(v*parts) / parts)
		}
		out = append(out, told)
	}
	return out
}
