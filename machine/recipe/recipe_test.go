package recipe

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/driver"
	"barista/driver/guard"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, d)
	}
}

const s = time.Second

// bare is a machine without any sensor, after the public article: a 20 s grinder
// that rests 30 s, a 60 s pump, a 20 s milk pump.
func bare() Limits {
	return Limits{
		Parts: map[driver.Part]guard.Limits{
			driver.Grinder: {MaxOn: 20 * s, Rest: 30 * s},
			driver.Pump:    {MaxOn: 60 * s},
			driver.Milk:    {MaxOn: 20 * s},
			driver.Sugar:   {MaxOn: 5 * s},
		},
		Signals:  map[driver.Signal]bool{},
		HotWait:  60 * s,
		MaxTempC: 125,
	}
}

func with(l Limits, f func(*Limits)) Limits { f(&l); return l }

func TestTimelines(t *testing.T) {
	small := Drink{Size: "small", Grams: 9, WaterML: 40, Sugar: 1}
	for _, c := range []struct {
		name  string
		drink Drink
		cal   Calibration
		lim   Limits
	}{
		{"small", small, DefaultCalibration(), bare()},
		{"medium-milk", Drink{Grams: 17, WaterML: 110, MilkML: 60, Sugar: 2, TempC: 92}, DefaultCalibration(), whole()},
		{"large-split", Drink{Grams: 30, WaterML: 180, MilkML: 90}, DefaultCalibration(), bare()},
		{"large-at-its-ceiling", Drink{Grams: 30, WaterML: 180}, DefaultCalibration(), whole()},
		{"soak", Drink{Grams: 17, WaterML: 60, SoakML: 10, SoakRest: 4 * s}, DefaultCalibration(), bare()},
		{"start-delay", small, func() Calibration {
			c := DefaultCalibration()
			c.StartDelay = map[driver.Part]time.Duration{driver.Pump: 700 * time.Millisecond}
			return c
		}(), bare()},
		{"heater", Drink{Grams: 9, WaterML: 40, TempC: 93}, DefaultCalibration(), with(bare(), func(l *Limits) {
			l.Parts[driver.Heater] = guard.Limits{MaxOn: 300 * s}
			l.Signals[driver.Temperature] = true
		})},
		{"thermometer", Drink{Grams: 9, WaterML: 40, TempC: 93}, DefaultCalibration(), with(bare(), func(l *Limits) { l.Signals[driver.Temperature] = true })},
		{"hundred-times", Drink{Grams: 30, WaterML: 180, MilkML: 90, TempC: 92}, DefaultCalibration().Scale(100), whole()},
		{"nought-seconds", Drink{Grams: 17, WaterML: 110, MilkML: 60, Sugar: 1}, Calibration{math.Inf(1), math.Inf(1), 1e12, 1e7, nil, 1}, bare()},
		{"water", Drink{WaterML: 200}, DefaultCalibration(), bare()},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl, err := Compile(c.drink, c.cal, c.lim)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.name+".timeline", tl.String())
		})
	}
}

func TestBookFits(t *testing.T) {
	for size, d := range DefaultBook() {
		if _, err := Compile(d, DefaultCalibration(), whole()); err != nil {
			t.Errorf("%s: %v", size, err)
		}
	}
}

func TestRefused(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name  string
		drink Drink
		cal   Calibration
		lim   Limits
		want  string
	}{
		{"no rest to split by", Drink{Grams: 30, WaterML: 180}, DefaultCalibration(),
			with(bare(), func(l *Limits) { l.Parts[driver.Grinder] = guard.Limits{MaxOn: 20 * s} }),
			"coffee: 30 g take 25s, and the grinder may run 20s at a stretch: give it a rest to split by, or take less"},
		{"all reasons at once", Drink{Grams: 30, WaterML: 180, MilkML: 120, Sugar: 3, TempC: 130}, DefaultCalibration(),
			with(bare(), func(l *Limits) {
				l.Parts = map[driver.Part]guard.Limits{driver.Grinder: {MaxOn: 20 * s}, driver.Pump: {MaxOn: 2 * s, Rest: s}, driver.Sugar: {MaxOn: s}}
			}),
			"coffee: 30 g take 25s, and the grinder may run 20s at a stretch: give it a rest to split by, or take less\n" +
				"heat: 130 °C asked for, and the boiler's limit is 125 °C\n" +
				"heat: 130 °C asked for, and this machine can't say whether it is hot: it needs a hot or a temperature sensor, or 0 °C in its recipes\n" +
				"water: 180 ml take 30s, and the pump may run 2s at a stretch: not even 8 pieces fit\n" +
				"milk: 120 ml asked for, and this machine has no milk\n" +
				"sugar: 3 doses take 3s, and the sugar may run 1s at a stretch: give it a rest to split by, or take less"},
		{"not calibrated", Drink{WaterML: 10}, Calibration{GrinderGPS: 1}, bare(), "water: the pump is not calibrated: measure it with barista calibrate"},
		{"slower than any limit", Drink{WaterML: 10}, Calibration{PumpMLPS: 1e-300}, bare(), "water: 10 ml take 1h0m0s, and the pump may run 1m0s at a stretch: not even 8 pieces fit"},
		{"heater without thermometer", Drink{WaterML: 10, TempC: 90}, DefaultCalibration(),
			with(bare(), func(l *Limits) { l.Parts[driver.Heater] = guard.Limits{MaxOn: s}; l.Signals[driver.Hot] = true }),
			"heat: 90 °C asked for, and the heater has no temperature sensor"},
		{"impossible values", Drink{Grams: nan, WaterML: -1, MilkML: math.Inf(1), Sugar: 11, TempC: 161, SoakML: 61, SoakRest: -1},
			Calibration{GrinderGPS: nan, PumpMLPS: -1, Speed: math.Inf(1), StartDelay: map[driver.Part]time.Duration{driver.Pump: -1}}, bare(),
			"coffee: NaN g is not within 0 to 60\nwater: -1 ml is not within 0 to 400\nmilk: +Inf ml is not within 0 to 250\nsugar: 11 doses is not within 0 to 10\nheat: 161 °C is not within 0 to 160\nsoak: 61 ml is not within 0 to 60\nsoak: a rest of -1ns is not within 0 to 1m\nsoak: 61 ml of -1 ml water leave nothing to pour\n" +
				"calibration: grinder g/s of NaN is not a rate, give one above 0\ncalibration: pump ml/s of -1 is not a rate, give one above 0\ncalibration: a speed of +Inf makes no sense, give one above 0\ncalibration: a start delay of -1ns for the pump is not within 0 to 10s"},
		{"coffee without water", Drink{Grams: 9}, DefaultCalibration(), bare(), "water: 9 g of coffee and no water"},
		{"nothing", Drink{}, DefaultCalibration(), bare(), "nothing to do: no water, no milk, no sugar"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl, err := Compile(c.drink, c.cal, c.lim)
			if err == nil {
				t.Fatalf("not refused:\n%s", tl)
			}
			if tl != nil {
				t.Error("a refused drink has a timeline")
			}
			if d := cmp.Diff(strings.Split(c.want, "\n"), strings.Split(err.Error(), "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

// Whatever is asked of whatever machine: refused, or laid out within every
// limit.
func TestLimitsHold(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dur := func(name string, lo, hi time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(int64(lo), int64(hi)).Draw(r, name))
		}
		rate := func(name string) float64 { return math.Pow(10, rapid.Float64Range(-2, 13).Draw(r, name)) }
		lim := Limits{Parts: map[driver.Part]guard.Limits{}, Signals: map[driver.Signal]bool{}, HotWait: 60 * s, MaxTempC: 125}
		for _, p := range []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar, driver.Heater} {
			lim.Parts[p] = guard.Limits{
				MaxOn:  dur("max "+string(p), time.Millisecond, 60*s),
				Rest:   rapid.SampledFrom([]time.Duration{0, 3 * s, 30 * s}).Draw(r, "rest"),
				Inrush: rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "inrush"),
			}
		}
		lim.Signals[driver.Temperature] = true
		lim.Signals[driver.Flow] = rapid.Bool().Draw(r, "meter")
		d := Drink{
			Grams:   rapid.Float64Range(0, 60).Draw(r, "g"),
			WaterML: rapid.Float64Range(10, 400).Draw(r, "water"),
			MilkML:  rapid.Float64Range(0, 250).Draw(r, "milk"),
			Sugar:   rapid.IntRange(0, 3).Draw(r, "sugar"),
			TempC:   rapid.SampledFrom([]float64{0, 92}).Draw(r, "temp"),
			SoakML:  rapid.SampledFrom([]float64{0, 9}).Draw(r, "soak"),
		}
		cal := Calibration{rate("g/s"), rate("ml/s"), rate("milk/s"), rate("sugar/s"), nil, 1}
		tl, err := Compile(d, cal, lim)
		if err != nil {
			return
		}
		var on driver.Part
		var since, last time.Duration
		var group string
		offAt := map[driver.Part]time.Duration{}
		sum := map[driver.Part]float64{}
		for i, e := range tl {
			if e.At < last {
				r.Fatalf("event %d is out of order:\n%s", i, tl)
			}
			switch e.Kind {
			case On:
				l := lim.Parts[e.Part]
				if on != "" {
					r.Fatalf("%s on while %s is:\n%s", e.Part, on, tl)
				}
				if e.AtMost <= 0 || e.AtMost > l.MaxOn {
					r.Fatalf("%s may run %v, event says %v:\n%s", e.Part, l.MaxOn, e.AtMost, tl)
				}
				if at, was := offAt[e.Part]; was && e.At-at < l.Rest {
					r.Fatalf("%s rests %v instead of %v:\n%s", e.Part, e.At-at, l.Rest, tl)
				}
				if at := last; group != "" && group == l.Inrush && len(offAt) > 0 && e.At-at < offGap && e.At-latest(offAt) < offGap {
					r.Fatalf("no gap within group %s before %s:\n%s", group, e.Part, tl)
				}
				on, since, group = e.Part, e.At, l.Inrush
				sum[e.Part] += e.Amount
			case Off:
				late := time.Duration(0)
				if e.Until != nil {
					late = e.Until.Late
				}
				if e.Part != on || late < 0 || e.At+late-since > usable(lim.Parts[on].MaxOn) {
					r.Fatalf("off of %s while %s is on since %v:\n%s", e.Part, on, since, tl)
				}
				offAt[on] = e.At
				on = ""
			}
			last = e.At
		}
		if on != "" {
			r.Fatalf("%s stays on:\n%s", on, tl)
		}
		for p, want := range map[driver.Part]float64{driver.Grinder: d.Grams, driver.Pump: d.WaterML, driver.Milk: d.MilkML, driver.Sugar: float64(d.Sugar)} {
			if math.Abs(sum[p]-want) > 1e-6 {
				r.Fatalf("%s brings %v instead of %v:\n%s", p, sum[p], want, tl)
			}
		}
		if tl.Longest() < tl.Length() || len(tl.Stages()) == 0 {
			r.Fatalf("longest %v, length %v, steps %v", tl.Longest(), tl.Length(), tl.Stages())
		}
	})
}

func latest(m map[driver.Part]time.Duration) time.Duration {
	var d time.Duration
	for _, v := range m {
		d = max(d, v)
	}
	return d
}

func TestScale(t *testing.T) {
	c := DefaultCalibration()
	c.StartDelay = map[driver.Part]time.Duration{driver.Pump: s}
	f := c.Scale(10)
	want := Calibration{12, 60, 50, 10, map[driver.Part]time.Duration{driver.Pump: s / 10}, 10}
	if d := cmp.Diff(want, f); d != "" {
		t.Error(d)
	}
	if c.StartDelay[driver.Pump] != s {
		t.Error("the original was changed")
	}
}

func ExampleCompile() {
	tl, err := Compile(Drink{Grams: 9.6, WaterML: 40}, DefaultCalibration(), whole())
	fmt.Println(tl, err)
	// Output:
	// 0s step grind 9.6 g
	// 0s grinder on, at most 8.6s
	// 8s grinder off
	// 8.1s step pour 40 ml
	// 8.1s pump on, at most 12.9s
	// 14.8s pump off at 40 ml, 5.4s later at most
	//  <nil>
}

// whole is a complete machine at the compiled-in ceilings.
func whole() Limits {
	return Limits{
		Parts: guard.Config{Parts: map[driver.Part]guard.Limits{
			driver.Grinder: {Rest: 30 * s, Inrush: "a"}, driver.Pump: {Inrush: "a"}, driver.Milk: {}, driver.Sugar: {},
		}}.Effective(),
		Signals:  map[driver.Signal]bool{driver.Hot: true, driver.Flow: true},
		HotWait:  time.Minute,
		MaxTempC: 125,
	}
}
