package worker

import (
	"math"
	"time"

	"barista/fleet"
	"barista/machine"
)

const (
	// unseen is how long an appliance is taken to need for a product that it has not
	// made yet.
	unseen = time.Minute
	// newest is the weight of what was measured last against all before.
	newest = 0.3
	// byPage is how long a customer is taken to need until he says that his cup is there,
	// bySight until it stands before a sensor, and fetch until he takes it away.
	byPage  = 10 * time.Second
	bySight = time.Second
	fetch   = 5 * time.Second
)

// pace is what this run has learned of how long things take here, beside the plan. The
// worker's lock guards it.
type pace struct {
	cups   []fleet.CupTime      // by the plan, for the menu
	off    map[cupKind]*seconds // by how much cups took longer than that
	cup    seconds              // until a cup is there
	fetch  seconds              // until it is taken
	stands time.Time            // since when one stands that shall be taken; zero: none
	begun  time.Time            // of the drink in hand; zero: it has not begun
	takes  float64              // that it takes, as was said before it
	rest   float64              // after it
}

// cupKind is what cups are measured by.
type cupKind struct {
	size fleet.Size
	milk bool
}

// seconds is a running mean.
type seconds struct {
	mean  float64
	known bool
}

func (s *seconds) add(x float64) {
	if !s.known {
		s.mean, s.known = x, true
		return
	}
	s.mean += newest * (x - s.mean)
}

func (s *seconds) or(d time.Duration) float64 {
	if s.known {
		return s.mean
	}
	return d.Seconds()
}

// cupTimes lays out what is offered by the plan, by which it will be made.
func cupTimes(plan machine.Plan, offer fleet.Presence, menu fleet.Menu) (out []fleet.CupTime) {
	kinds := map[cupKind]bool{}
	for _, size := range offer.Sizes {
		for _, class := range offer.Classes {
			k := cupKind{size, class.Milk != fleet.NoMilk}
			if kinds[k] {
				continue
			}
			c := fleet.CupTime{Size: size, Milk: k.milk}
			for n := range fleet.MaxSugar + 1 {
				o := fleet.Order{Size: size, Bean: class.Bean, Milk: class.Milk, Sugar: n}
				portion, sold := menu.Portion(o)
				length, rest, err := plan.Takes(Drink(o, portion, menu))
				if !sold || err != nil {
					break
				}
				if plan.Appliance() {
					length = unseen
				}
				c.Seconds, c.Rest = append(c.Seconds, length.Seconds()), rest.Seconds()
			}
			if kinds[k] = len(c.Seconds) > 0; kinds[k] {
				out = append(out, c)
			}
		}
	}
	return out
}

// took learns from a drink that was made; extra is how long its own heater heated.
func (p *pace) took(o fleet.Order, took, extra time.Duration) {
	planned, _, known := (&fleet.Pace{Cups: p.cups}).Of(o)
	if !known {
		return
	}
	k := cupKind{o.Size, o.Milk != fleet.NoMilk}
	if p.off[k] == nil {
		p.off[k] = &seconds{}
	}
	p.off[k].add((took - extra).Seconds() - planned)
}

// say is what the machine says of its times now.
func (p *pace) say(s machine.Outlook, able bool, known string) *fleet.Pace {
	out := &fleet.Pace{Heat: halves(s.Heat.Seconds()), Reheat: tenths(s.Reheat.Seconds()), Cup: tenths(p.cup.or(bySight)), Fetch: tenths(p.fetch.or(0))}
	switch machine.Cup(known) {
	case machine.CupPage:
		out.Cup = tenths(p.cup.or(byPage))
	case machine.CupSensor, machine.CupDispenser:
		out.Fetch = tenths(p.fetch.or(fetch))
	}
	for _, c := range p.cups {
		off := 0.0
		if m := p.off[cupKind{c.Size, c.Milk}]; m != nil {
			off = m.mean
		}
		said := fleet.CupTime{Size: c.Size, Milk: c.Milk, Rest: tenths(c.Rest)}
		for _, s := range c.Seconds {
			said.Seconds = append(said.Seconds, tenths(s+off))
		}
		out.Cups = append(out.Cups, said)
	}
	until := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return tenths(time.Until(t).Seconds())
	}
	switch {
	case !p.begun.IsZero() && s.Done.IsZero(): // an appliance at work
		out.Left = max(0.1, tenths(p.takes-time.Since(p.begun).Seconds()))
		out.Free = out.Left + tenths(p.rest)
	case able:
		out.Left, out.Free = until(s.Done), until(s.Free)
	}
	return out
}

// halves is coarser, for what moves while nothing happens: a boiler that cools must not
// make each word of an idle machine another one, which the shop would write down singly.
func halves(s float64) float64 { return math.Round(2*tenths(s)) / 2 }

// tenths is so many seconds, 0 to a day, as finely as anybody can use.
func tenths(s float64) float64 {
	const most = 24 * 3600
	return math.Round(10*min(max(0, s), most)) / 10
}

// stood notes how long customers leave their cups.
func (p *pace) stood(st machine.Status) {
	switch {
	case st.CupStands && p.stands.IsZero():
		p.stands = time.Now()
	case !st.CupStands && !p.stands.IsZero():
		p.fetch.add(min(time.Since(p.stands), fleet.CupWait).Seconds())
		p.stands = time.Time{}
	}
}
