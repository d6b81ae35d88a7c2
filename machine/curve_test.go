package machine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"barista/driver"
	"barista/driver/mock"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// TestCurve: what is kept of a drink is what the plant did: parts in order, flow while the
// pump is on and at no other time, as much water and beans as the drink has.
func TestCurve(t *testing.T) {
	for _, size := range []string{"small", "large"} {
		synctest.Test(t, func(t *testing.T) {
			s := setUpPlant(t, t.TempDir(), mock.Config{}, Plan{})
			synctest.Wait()
			s.plant.PlaceCup()
			d := recipe.DefaultBook()[size]
			before := time.Now()
			if made, _ := s.order(t, "o1", d, 1); made != 1 {
				t.Fatal("not made")
			}
			list := s.m.Curves()
			if len(list) != 1 {
				t.Fatalf("%d curves of one drink", len(list))
			}
			c := list[0]
			if c.Order != "o1" || c.Epoch != 1 || c.Size != size || c.Outcome != journal.Made || c.Took <= 0 || c.Took > time.Since(before) || c.Ended.After(time.Now()) {
				t.Errorf("%s: %s#%d, %s, %s, %v until %v", size, c.Order, c.Epoch, c.Size, c.Outcome, c.Took, c.Ended)
			}
			inOrder(t, c)
			sameAsPlant(t, s, c)
			pumps := func(from, to time.Duration) bool {
				return slices.ContainsFunc(c.Parts, func(s Stretch) bool { return s.Part == driver.Pump && s.From < to && from < s.To })
			}
			pumping := 0
			for i := 1; i < len(c.At); i++ {
				switch v := c.Flow[i]; {
				case pumps(c.At[i-1], c.At[i]) && v > 0:
					pumping++
				case pumps(c.At[i-1], c.At[i]): // it takes a moment to come
				case v != 0:
					t.Errorf("%s: %.2f ml/s at %v, and no pump was on", size, v, c.At[i])
				}
			}
			if pumping < 10 {
				t.Errorf("%s: flow at %d points of %d", size, pumping, len(c.At))
			}
			if math.Abs(c.Water-d.WaterML) > d.WaterML/10 {
				t.Errorf("%s: %.1f ml of %.1f ml", size, c.Water, d.WaterML)
			}
			if got := c.Weight[len(c.Weight)-1]; c.Weight[0] != 0 || !slices.IsSorted(c.Weight) || math.Abs(got-d.Grams) > d.Grams/10 {
				t.Errorf("%s: from %.1f to %.1f g of %.1f g", size, c.Weight[0], got, d.Grams)
			}
			for i, v := range c.Temperature {
				if !(v > 15 && v < 110) {
					t.Errorf("%s: %.1f °C at %v", size, v, c.At[i])
				}
			}
		})
	}
}

// inOrder checks what is true of each curve.
func inOrder(t *testing.T, c Curve) {
	t.Helper()
	if n := len(c.At); n > MostPoints || n > 0 && (c.At[0] < 0 || c.At[n-1] > c.Took) {
		t.Errorf("%d points over %v", n, c.Took)
	}
	for i := 1; i < len(c.At); i++ {
		if c.At[i] <= c.At[i-1] {
			t.Errorf("a point at %v follows one at %v", c.At[i], c.At[i-1])
		}
	}
	for _, values := range [][]float64{c.Flow, c.Temperature, c.Weight} {
		if values != nil && len(values) != len(c.At) {
			t.Errorf("%d values for %d points", len(values), len(c.At))
		}
	}
	for i, s := range c.Parts {
		if s.From < 0 || s.To <= s.From || s.To > c.Took || i > 0 && s.From < c.Parts[i-1].From {
			t.Errorf("%s on from %v to %v of %v", s.Part, s.From, s.To, c.Took)
		}
	}
}

// sameAsPlant compares what was on with what the plant says of it.
func sameAsPlant(t *testing.T, s *shop, c Curve) {
	t.Helper()
	var told, seen []string
	for _, x := range c.Parts {
		told = append(told, fmt.Sprint(x.Part, " ", (x.To-x.From).Round(time.Millisecond)))
	}
	for _, e := range s.plant.Edges() {
		if !e.On {
			continue
		}
		for _, f := range s.plant.Edges() {
			if f.Part == e.Part && !f.On && f.At > e.At {
				seen = append(seen, fmt.Sprint(e.Part, " ", (f.At-e.At).Round(time.Millisecond)))
				break
			}
		}
	}
	if d := cmp.Diff(seen, told); d != "" {
		t.Errorf("what was on (-plant +curve):\n%s", d)
	}
}

// TestCurveIsBounded: however long a drink takes, its points are no more than so many, and
// lie evenly; of the drinks the last five are kept.
func TestCurveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupAttended }))
		long := recipe.Drink{Size: "long", Grams: 17, WaterML: 60, SoakML: 12, SoakRest: 40 * s}
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: long}), journal.Made, "")
		after(30 * s)
		c := b.m.Curves()[0]
		inOrder(t, c)
		if len(c.At) < MostPoints/2 || c.Took < 40*s {
			t.Errorf("%d points over %v", len(c.At), c.Took)
		}
		least, most := time.Hour, time.Duration(0)
		for i := 1; i < len(c.At)-1; i++ { // the last one is the drink's end
			gap := c.At[i] - c.At[i-1]
			least, most = min(least, gap), max(most, gap)
		}
		if most > 2*least || c.Took-c.At[len(c.At)-1] > busyTick {
			t.Errorf("points are %v to %v apart, and end at %v of %v", least, most, c.At[len(c.At)-1], c.Took)
		}
		if math.Abs(c.Water-60) > 3 {
			t.Errorf("%.1f ml of 60 ml", c.Water)
		}
		for i := 2; i <= 7; i++ {
			b.expect(b.make(Job{Order: fmt.Sprint("o", i), Epoch: i, Drink: small}), journal.Made, "")
			after(30 * s)
		}
		var orders []string
		for _, c := range b.m.Curves() {
			inOrder(t, c)
			orders = append(orders, fmt.Sprint(c.Order, " ", c.Epoch))
		}
		if d := cmp.Diff([]string{"o7 7", "o6 6", "o5 5", "o4 4", "o3 3"}, orders); d != "" {
			t.Errorf("the last drinks (-want +got):\n%s", d)
		}
	})
}

// TestCurvesDisturbNothing: a drink of which somebody asks all the time is switched as one
// of which nobody does, and no answer changes what was kept.
func TestCurvesDisturbNothing(t *testing.T) {
	run := func(asks bool) (edges string, turns uint64, kept []Curve) {
		synctest.Test(t, func(t *testing.T) {
			b := setUp(t, with(func(b *bench) { b.plan.Cup = CupAttended }))
			b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
			after(30 * s)
			first := b.m.Curves()
			n := b.m.Beat()
			done := b.begin(Job{Order: "o2", Epoch: 1, Drink: recipe.Drink{Size: "medium", Grams: 17, WaterML: 110, MilkML: 40}})
			ctx, stop := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			if asks {
				asking.Go(func() {
					for ctx.Err() == nil {
						list := b.m.Curves()
						if len(list) == 0 || list[len(list)-1].Order != "o1" {
							t.Errorf("asked, and heard of %d drinks", len(list))
						}
						list[0].Flow[0], list[0].At[0] = 1e9, time.Hour
						time.Sleep(7 * time.Millisecond)
					}
				})
			}
			b.expect(<-done, journal.Made, "")
			synctest.Wait() // the report goes out before its turn is counted
			turns = b.m.Beat() - n
			stop()
			asking.Wait()
			kept = b.m.Curves()
			if d := cmp.Diff(first, kept[1:], cmpopts.EquateNaNs(), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); d != "" {
				t.Errorf("the first drink's curve has changed:\n%s", d)
			}
			edges = b.edges()
		})
		return edges, turns, kept
	}
	edges, turns, kept := run(false)
	asked, more, same := run(true)
	if d := cmp.Diff(edges, asked); d != "" || turns != more {
		t.Errorf("%d turns, %d when asked; edges (-alone +asked):\n%s", turns, more, d)
	}
	if d := cmp.Diff(kept, same, cmpopts.EquateNaNs(), cmpopts.IgnoreFields(Curve{}, "Ended")); d != "" {
		t.Errorf("curves (-alone +asked):\n%s", d)
	}
}

// TestCurveOfADrinkThatIsNone: what was stopped is kept up to there, a sensor that could
// not say leaves a gap, and where nothing went on there is nothing.
func TestCurveOfADrinkThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupAttended }))
		r := b.make(Job{Order: "o1", Epoch: 1, Drink: small, Deadline: time.Now()})
		if !r.Late || len(b.m.Curves()) != 0 {
			t.Fatalf("late: %v, and %d curves of it", r.Late, len(b.m.Curves()))
		}
		if err := b.m.Abandon("o1", 1, Reason{}); err != nil {
			t.Fatal(err)
		}
		err := b.m.callNow(func() error { // it is stopped before its first part is due
			b.m.follow(&drink{job: Job{Order: "o1", Epoch: 2, Drink: small}})
			b.m.traced(journal.Untouched)
			return nil
		})
		if err != nil || len(b.m.Curves()) != 0 {
			t.Errorf("%v, and %d curves of a drink for which nothing went on", err, len(b.m.Curves()))
		}
		done := b.begin(Job{Order: "o2", Epoch: 1, Drink: small})
		after(2 * s)
		b.fake.SetFunc(driver.Weight, func() (float64, error) { return 0, errors.New("loose") })
		after(busyTick)
		b.live()
		after(s)
		b.m.Stop("a fly")
		b.expect(<-done, journal.Spoiled, "a fly")
		list := b.m.Curves()
		if len(list) != 1 {
			t.Fatalf("%d curves", len(list))
		}
		c := list[0]
		inOrder(t, c)
		if n := len(c.Parts); c.Outcome != journal.Spoiled || n != 1 || c.Parts[0].Part != driver.Grinder || c.Parts[0].To != c.Took {
			t.Errorf("%s, %+v of %v", c.Outcome, c.Parts, c.Took)
		}
		gaps := 0
		for i, v := range c.Weight {
			if math.IsNaN(v) {
				gaps++
			} else if v < 0 || math.IsNaN(c.Flow[max(i, 1)]) {
				t.Errorf("%.1f g, %.1f ml/s at %v", v, c.Flow[i], c.At[i])
			}
		}
		if gaps == 0 || gaps > 2 {
			t.Errorf("%d gaps of %d points", gaps, len(c.At))
		}
	})
	synctest.Test(t, func(t *testing.T) { // without sensors it is known what was on
		b := setUp(t, sensorless, with(func(b *bench) { b.plan.Cup = CupAttended; b.fake.Remove(driver.Temperature) }))
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Made, "")
		c := b.m.Curves()[0]
		inOrder(t, c)
		if len(c.At)+len(c.Flow)+len(c.Weight)+len(c.Temperature) > 0 || len(c.Parts) < 3 {
			t.Errorf("%d points, %+v", len(c.At), c.Parts)
		}
	})
}

// TestRateAtTheEnd: the look just behind the end of a stretch shows the flow over a while
// like those before it, not a step of the meter over a moment; and the next one nothing.
func TestRateAtTheEnd(t *testing.T) {
	const tick = 20 * time.Millisecond
	tr := trace{window: 10 * tick, parts: []Stretch{{Part: driver.Pump, From: 0, To: 50 * tick}}}
	at := func(when time.Duration) { // a meter that counts thirds of a millilitre, at 6 ml/s
		ml := math.Floor(min(when, 50*tick).Seconds()*6*3) / 3
		tr.looks = append(tr.looks, look{when, [len(measured)]float64{atFlow: ml}})
	}
	for i := range 50 {
		at(time.Duration(i) * tick)
	}
	at(50*tick + time.Millisecond) // and so does the count that came with the end
	at(53 * tick)
	rates := tr.rates()
	for i, r := range rates[20:51] {
		if r < 4 || r > 8 {
			t.Errorf("look %d: %.1f ml/s, pumped are 6", 20+i, r)
		}
	}
	if last := rates[51]; last != 0 {
		t.Errorf("after the end %.1f ml/s", last)
	}
}
