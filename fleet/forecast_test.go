package fleet_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"barista/fleet"
)

func TestPromise(t *testing.T) {
	for _, tc := range []struct {
		low, likely, high float64
		want              []int
	}{
		{13, 15, 18.4, []int{13, 19}},
		{30, 40, 60, []int{30, 60}},
		{14, 20, 90, []int{14, 28}}, // too wide: what lies about likely
		{14, 60, 90, []int{42, 84}}, //
		{0, 0.3, 0.5, []int{0, 1}},  // nothing finer is told
		{0.9, 1.4, 2, []int{0, 2}},  //
		{0, 3, 9, []int{2, 4}},      //
		{1, 4.0625, 1, []int{3, 5}}, // rounded down it would end before likely
		{50, 40, 30, []int{40, 40}}, // not in order
		{-5, -1, -3, []int{0, 0}},   //
		{100, 150, 199, []int{100, 199}},
	} {
		if got := fleet.Promise(tc.low, tc.likely, tc.high); !slices.Equal(got, tc.want) {
			t.Errorf("%v, %v, %v: %v, want %v", tc.low, tc.likely, tc.high, got, tc.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.Float64Range(-10, 1e5)
		low, likely, high := s.Draw(t, "low"), s.Draw(t, "likely"), s.Draw(t, "high")
		got := fleet.Promise(low, likely, high)
		l, h := got[0], got[1]
		if l < 0 || h < l || h > max(2*l, l+2) {
			t.Errorf("%v", got)
		}
		if x := max(0, likely); math.Floor(x) < float64(l) || x > float64(h)+1e-9 {
			t.Errorf("%v without the likeliest, %v", got, x)
		}
	})
}

func TestMissed(t *testing.T) {
	for _, tc := range []struct {
		eta    []int
		waited time.Duration
		want   float64
		told   bool
	}{
		{[]int{10, 17}, 14 * time.Second, 0, true},
		{[]int{10, 17}, 66 * time.Second, 49, true},
		{[]int{34, 187}, 14 * time.Second, -20, true},
		{[]int{10, 17}, 17500 * time.Millisecond, 0.5, true},
		{nil, time.Second, 0, false},
	} {
		if got, told := fleet.Missed(tc.eta, tc.waited); got != tc.want || told != tc.told {
			t.Errorf("%v told, %v waited: %v %v", tc.eta, tc.waited, got, told)
		}
	}
	silly := 1e12
	if (fleet.Event{ETAError: &silly}).Check() == nil {
		t.Error("an error of 1e12 s passes")
	}
}

// TestPaceOf: a cup is found by its size, whether milk is in it, and its sugar; what the
// machine says nothing about is not known.
func TestPaceOf(t *testing.T) {
	p := &fleet.Pace{Cups: []fleet.CupTime{{Size: fleet.Small, Seconds: []float64{14, 15}, Rest: 3}, {Size: fleet.Small, Milk: true, Seconds: []float64{20}}}}
	for _, tc := range []struct {
		o     fleet.Order
		takes float64
		rest  float64
		known bool
	}{
		{fleet.Order{Size: fleet.Small, Milk: fleet.NoMilk}, 14, 3, true},
		{fleet.Order{Size: fleet.Small, Milk: fleet.NoMilk, Sugar: 1}, 15, 3, true},
		{fleet.Order{Size: fleet.Small, Milk: fleet.NoMilk, Sugar: 2}, 0, 0, false},
		{fleet.Order{Size: fleet.Small, Milk: "soja"}, 20, 0, true},
		{fleet.Order{Size: fleet.Large, Milk: fleet.NoMilk}, 0, 0, false},
	} {
		if takes, rest, known := p.Of(tc.o); takes != tc.takes || rest != tc.rest || known != tc.known {
			t.Errorf("%+v: %v %v %v", tc.o, takes, rest, known)
		}
	}
	if _, _, known := (*fleet.Pace)(nil).Of(fleet.Order{}); known {
		t.Error("nothing is said, and known")
	}
}
