package fleet_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"barista/fleet"
)

// someCurve is a drink of 40 s: ground, then poured at 6 ml/s from the 20th to the 30th.
func someCurve() fleet.Curve {
	c := fleet.Curve{Order: "01JD0000000000000000000001", Epoch: 1, Size: fleet.Small, Ago: 30, Seconds: 40, Outcome: fleet.Made, Water: 60,
		Parts: []fleet.Stretch{{Part: "grinder", From: 1, To: 9}, {Part: "pump", From: 20, To: 30}}}
	for i := range 41 {
		at := float64(i)
		flow, heat := 0.0, 90+at/10
		if at > 20 && at <= 30 {
			flow = 6
		}
		c.At, c.Flow, c.Temperature = append(c.At, at), append(c.Flow, &flow), append(c.Temperature, &heat)
	}
	c.Flow[0], c.Temperature[40] = nil, nil
	return c
}

// TestCurveFigures: what is said of a drink in one figure.
func TestCurveFigures(t *testing.T) {
	c := someCurve()
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if mean, ok := c.MeanFlow(); mean != 6 || !ok {
		t.Errorf("%g ml/s, %v", mean, ok)
	}
	var names []string
	for _, q := range c.Quantities() {
		names = append(names, q.Name)
	}
	if !slices.Equal(names, []string{"flow", "temperature"}) {
		t.Errorf("measured: %q", names)
	}
	if most, ok := c.Quantities()[1].Highest(); most != 93.9 || !ok {
		t.Errorf("at most %g °C, %v", most, ok)
	}
	if _, ok := (fleet.Quantity{Values: []*float64{nil}}).Highest(); ok {
		t.Error("nothing has a highest value")
	}
	if on := strings.Join(c.On(5), " ") + "|" + strings.Join(c.On(9), " ") + "|" + strings.Join(c.On(20), " "); on != "grinder||pump" {
		t.Errorf("on: %s", on)
	}
	for what, spoil := range map[string]func(*fleet.Curve){
		"it never pumped": func(c *fleet.Curve) { c.Parts = c.Parts[:1] }, "nobody measured": func(c *fleet.Curve) { c.Flow = nil },
	} {
		c := someCurve()
		spoil(&c)
		if mean, ok := c.MeanFlow(); ok {
			t.Errorf("%s: %g ml/s", what, mean)
		}
	}
}

// TestCurveCheck: what no machine of ours would tell is refused as a whole.
func TestCurveCheck(t *testing.T) {
	for name, spoil := range map[string]func(*fleet.Curve){
		"order":        func(c *fleet.Curve) { c.Order = "=HYPERLINK(1)" },
		"epoch":        func(c *fleet.Curve) { c.Epoch = 0 },
		"size":         func(c *fleet.Curve) { c.Size = "<b>" },
		"ago":          func(c *fleet.Curve) { c.Ago = -1 },
		"seconds":      func(c *fleet.Curve) { c.Seconds = math.Inf(1) },
		"outcome":      func(c *fleet.Curve) { c.Outcome = "fine" },
		"water":        func(c *fleet.Curve) { c.Water = 1e300 },
		"part":         func(c *fleet.Curve) { c.Parts[0].Part = "a b" },
		"part after":   func(c *fleet.Curve) { c.Parts[1].To = 41 },
		"part back":    func(c *fleet.Curve) { c.Parts[1].To = 19 },
		"part before":  func(c *fleet.Curve) { c.Parts[0].From = -1 },
		"many parts":   func(c *fleet.Curve) { c.Parts = slices.Repeat(c.Parts, fleet.MostStretches) },
		"many points":  func(c *fleet.Curve) { c.At, c.Flow, c.Temperature = make([]float64, fleet.MostPoints+1), nil, nil },
		"point back":   func(c *fleet.Curve) { c.At[5] = 3 },
		"point after":  func(c *fleet.Curve) { c.At[40] = 41 },
		"point before": func(c *fleet.Curve) { c.At[0] = -1 },
		"too few":      func(c *fleet.Curve) { c.Flow = c.Flow[1:] },
		"value":        func(c *fleet.Curve) { *c.Flow[7] = -2e6 },
	} {
		c := someCurve()
		if spoil(&c); c.Check() == nil {
			t.Errorf("%s passes: %+v", name, c)
		}
	}
	many := fleet.CommandAnswer{OK: true, Curves: slices.Repeat([]fleet.Curve{someCurve()}, fleet.MostCurves+1)}
	if many.Check() == nil {
		t.Error("so many curves pass")
	}
	if many.Curves = many.Curves[1:]; many.Check() != nil {
		t.Error(many.Check())
	}
}

// fullest is the largest answer that a check lets pass, with figures as they are rounded.
func fullest() fleet.CommandAnswer {
	a := fleet.CommandAnswer{OK: true, Message: "done"}
	for i := range fleet.MostCurves {
		value, heat := -999999.99, -999999.9
		c := fleet.Curve{Order: fmt.Sprintf("01JD%022d", i), Epoch: 1_000_000, Size: fleet.Size(strings.Repeat("x", 32)), Ago: 1 << 30, Seconds: 999.999, Outcome: fleet.Untouched, Water: value,
			At: slices.Repeat([]float64{999.999}, fleet.MostPoints)}
		for range fleet.MostPoints {
			c.Flow, c.Temperature, c.Weight = append(c.Flow, &value), append(c.Temperature, &heat), append(c.Weight, &value)
		}
		for range fleet.MostStretches {
			c.Parts = append(c.Parts, fleet.Stretch{Part: "grinder", From: 999.999, To: 999.999})
		}
		a.Curves = append(a.Curves, c)
	}
	return a
}

// TestAnswerIsBounded: all that a machine may tell of its drinks goes into one answer.
func TestAnswerIsBounded(t *testing.T) {
	a := fullest()
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(a)
	if err != nil || len(b) >= fleet.MostAnswer {
		t.Errorf("%d bytes of %d, %v", len(b), fleet.MostAnswer, err)
	}
	if _, err := fleet.ParseCommandAnswer(b); err != nil {
		t.Error(err)
	}
	long := append(b, make([]byte, fleet.MostAnswer)...)
	if _, err := fleet.ParseCommandAnswer(long); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("%d bytes are read: %v", len(long), err)
	}
}

// FuzzCommandAnswer: what a machine answers is read or refused; what passes can be drawn
// and counted without harm.
func FuzzCommandAnswer(f *testing.F) {
	for _, a := range []fleet.CommandAnswer{{OK: true, Message: "done"}, {OK: true, Curves: []fleet.Curve{someCurve()}}} {
		b, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"ok":false,"message":"this machine does not know the command \"curves\""}`))
	f.Add([]byte(`{"ok":true,"curves":[{"order":"01JD0000000000000000000001","epoch":1,"size":"small","at":[0,1e309],"flow_ml_s":[null]}]}`))
	f.Add([]byte(`{"ok":true,"curves":[{"order":"01JD0000000000000000000001","epoch":1,"size":"small","seconds":-0.0,"at":[-0.0],"flow_ml_s":[null],"parts":null}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := fleet.ParseCommandAnswer(b)
		if err != nil {
			if a.OK || a.Message != "" || a.Curves != nil {
				t.Errorf("refused, and half of it is there: %+v", a)
			}
			return
		}
		for _, c := range a.Curves {
			if mean, ok := c.MeanFlow(); ok && math.IsNaN(mean) {
				t.Errorf("no mean: %+v", c)
			}
			for _, q := range c.Quantities() {
				if most, _ := q.Highest(); most > fleet.MostValue || len(q.Values) != len(c.At) {
					t.Errorf("%s: %g, %d values of %d", q.Name, most, len(q.Values), len(c.At))
				}
			}
			for _, at := range c.At {
				c.On(at)
			}
		}
	})
}
