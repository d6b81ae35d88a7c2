package worker_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"barista/fleet"
)

// TestCurvesVerb: a machine tells of its last drinks to who may command it, also in the
// middle of one, which goes on; what is customers' asks for none.
func TestCurvesVerb(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		ask := func(want int) []fleet.Curve {
			c.Helper()
			a := c.command("ann", fleet.Command{Verb: fleet.CommandCurves, By: "eve"})
			if err := a.Check(); err != nil || !a.OK || len(a.Curves) != want {
				c.Fatalf("%d curves, want %d: ok %v %q, %v", len(a.Curves), want, a.OK, a.Message, err)
			}
			return a.Curves
		}
		for n := 1; n <= 2; n++ {
			id := c.order(orderN(n))
			ann.reached("did on grinder", n)
			ask(n - 1)
			if e := c.ended(id, 2*time.Minute, fleet.Served); e.Epoch != 1 {
				c.Errorf("asked, and it took %d tries", e.Epoch)
			}
		}
		c.pause(time.Minute)
		list := ask(2)
		one := list[0]
		if one.Order != orderN(2).ID || list[1].Order != orderN(1).ID || one.Epoch != 1 || one.Size != fleet.Small || one.Outcome != fleet.Made || one.Ago < 60 || one.Seconds <= 0 {
			c.Errorf("%s, then %s: %+v", one.Order, list[1].Order, one)
		}
		for _, part := range []string{"grinder", "pump"} {
			if !slices.ContainsFunc(one.Parts, func(s fleet.Stretch) bool { return s.Part == part }) {
				c.Errorf("the %s was never on: %v", part, one.Parts)
			}
		}
		if len(one.Quantities()) != 3 || len(one.At) < 20 {
			c.Errorf("%d quantities at %d points", len(one.Quantities()), len(one.At))
		}
		for _, q := range one.Quantities() {
			for _, v := range q.Values {
				if v != nil && math.Abs(*v*100-math.Round(*v*100)) > 1e-6 {
					c.Errorf("%s: %v has more digits than a sensor", q.Name, *v)
				}
			}
		}
		if mean, ok := one.MeanFlow(); !ok || mean <= 0 {
			c.Errorf("mean flow %g", mean)
		}
		for _, subject := range []string{fleet.CupSubject("ann"), fleet.EnoughSubject("ann")} {
			if a := c.commandAt(subject, fleet.Command{Verb: fleet.CommandCurves}); a.OK || len(a.Curves) > 0 {
				c.Errorf("%s: customers are told of %d drinks", subject, len(a.Curves))
			}
		}
		c.poured(2)
	})
}
