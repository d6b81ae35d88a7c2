package calibration

import (
	"math"
	"strings"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/guard"

	"pgregory.net/rapid"
)

const s = time.Second

func TestFit(t *testing.T) {
	for _, c := range []struct {
		name   string
		part   driver.Part
		points []Point
		rate   float64
		delay  time.Duration
	}{
		{"exact", driver.Grinder, []Point{{3 * s, 3}, {6 * s, 6.6}, {9 * s, 10.2}}, 1.2, 500 * time.Millisecond},
		{"at once", driver.Pump, []Point{{4 * s, 24}, {8 * s, 48}, {12 * s, 72}}, 6, 0},
		{"a scale of whole grams", driver.Grinder, []Point{{3 * s, 4}, {6 * s, 7}, {9 * s, 11}}, 1.2, 0},
		{"a little before the command", driver.Milk, []Point{{3 * s, 15.5}, {6 * s, 30.5}, {9 * s, 45.5}}, 5.08, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Fit(c.part, c.points)
			if err != nil || math.Abs(r.PerSecond-c.rate) > 0.02 || (r.Delay-c.delay).Abs() > 2*time.Millisecond {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestFitRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		part   driver.Part
		points []Point
		want   string
	}{
		{"a part that has no rate", driver.Heater, nil, "heater can't be calibrated"},
		{"too few", driver.Pump, []Point{{s, 6}, {2 * s, 12}}, "2 runs are too few"},
		{"too much alike", driver.Pump, []Point{{4 * s, 24}, {4 * s, 24}, {5 * s, 30}}, "too much alike"},
		{"nothing came", driver.Pump, []Point{{4 * s, 0}, {8 * s, 0}, {12 * s, 0}}, "nothing came of any run"},
		{"backwards", driver.Pump, []Point{{4 * s, 30}, {8 * s, 20}, {12 * s, 10}}, "a longer run brought less"},
		{"not on a line", driver.Grinder, []Point{{3 * s, 3.6}, {6 * s, 9}, {9 * s, 10.8}}, "9.0 g in 6.0 s are 11 % off"},
		{"something in the vessel", driver.Milk, []Point{{3 * s, 35}, {6 * s, 50}, {9 * s, 65}}, "something came 4.0 s before it was switched on"},
		{"a dry line", driver.Milk, []Point{{3 * s, 5}, {6 * s, 20}, {9 * s, 35}}, "nothing comes in the first 2.0 s"},
		{"given in the wrong unit", driver.Grinder, []Point{{3 * s, 3600}, {6 * s, 7200}, {9 * s, 10800}}, "1200.00 g/s are not possible"},
		{"slower than any", driver.Pump, []Point{{4 * s, 1}, {8 * s, 2}, {12 * s, 3}}, "0.25 ml/s are not possible"},
		{"no number", driver.Pump, []Point{{4 * s, math.NaN()}, {8 * s, 2}, {12 * s, 3}}, "is no measurement"},
		{"below nothing", driver.Pump, []Point{{4 * s, -1}, {8 * s, 2}, {12 * s, 3}}, "is no measurement"},
		{"endless", driver.Pump, []Point{{4 * s, 1}, {8 * s, 2}, {12 * s, math.Inf(1)}}, "is no measurement"},
		{"no time", driver.Pump, []Point{{0, 1}, {8 * s, 2}, {12 * s, 3}}, "is no measurement"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Fit(c.part, c.points)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v, want %q", r, err, c.want)
			}
			if r != (Rate{}) {
				t.Errorf("a refused fit has figures: %+v", r)
			}
		})
	}
}

// Whatever the points: refused, or a rate of a real part.
func TestFitNeverImpossible(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := rapid.SampledFrom(Parts).Draw(r, "part")
		var points []Point
		for range rapid.IntRange(0, 6).Draw(r, "n") {
			points = append(points, Point{time.Duration(rapid.Int64Range(-1, 60e9).Draw(r, "on")), rapid.Float64().Draw(r, "amount")})
		}
		rate, err := Fit(p, points)
		b := bounds[p]
		if err == nil && !(rate.PerSecond >= b.least && rate.PerSecond <= b.most && rate.Delay >= 0 && rate.Delay <= 30*s && rate.Worst <= maxOff) {
			r.Fatalf("%+v of %v", rate, points)
		}
	})
}

func TestPlan(t *testing.T) {
	for _, p := range Parts {
		for _, maxOn := range []time.Duration{time.Second, 5 * s, guard.MaxGrinder, guard.MaxPump} {
			for _, speed := range []float64{1, 100} {
				plan := Plan(p, maxOn, speed)
				var points []Point
				for i, on := range plan {
					if on <= 0 || on > maxOn || i > 0 && on <= plan[i-1] {
						t.Fatalf("%s, %v: %v", p, maxOn, plan)
					}
					points = append(points, Point{on, 6 * on.Seconds()})
				}
				if _, err := Fit(p, points); err != nil {
					t.Errorf("the planned runs are refused: %v", err)
				}
			}
		}
	}
}
