package plant

import (
	"time"

	"barista/driver"
)

// Cup is one placement of a cup.
type Cup struct {
	N        int           `json:"n"` // from 1
	CoffeeML float64       `json:"coffee_ml"`
	MilkML   float64       `json:"milk_ml"`
	Sugar    float64       `json:"sugar"`
	Flows    int           `json:"flows"`  // of more than 10 ml
	Drinks   int           `json:"drinks"` // that were counted in it
	Placed   time.Duration `json:"placed"` // since the plant began
	Taken    time.Duration `json:"taken"`  // 0 while it stands there

	used         bool    // something was on since it was placed
	struck       bool    // its drink failed by FailRate: the customer can see it
	pendingMilk  float64 // came before any coffee
	pendingSugar float64
}

func (c *Cup) room(brim float64) float64 { return brim - c.CoffeeML - c.MilkML }

// cupN names the cup that stands there, 0 if none does.
func (p *Plant) cupN() int {
	if p.cup == nil {
		return 0
	}
	return p.cup.N
}

// PlaceCup puts a cup there, if none stands there.
func (p *Plant) PlaceCup() {
	p.enter()
	defer p.leave()
	if p.cup == nil {
		p.place()
	}
}

func (p *Plant) place() {
	p.placed++
	p.cup = &Cup{N: p.placed, Placed: p.at, used: p.anyOn()}
}

// TakeCup takes the cup and says what is in it; false if none stands there.
func (p *Plant) TakeCup() (Cup, bool) {
	p.enter()
	defer p.leave()
	if p.cup == nil {
		return Cup{}, false
	}
	return p.take(), true
}

func (p *Plant) take() Cup {
	c := *p.cup
	c.Taken = p.at
	p.cup = nil
	p.taken++
	p.takenAt, p.emptySeen = p.at, -1
	return c
}

// A customer's times. Those with a least are scaled by Speed; a customer who
// gives an unused cup up has time, as a machine may be about to use it.
const (
	takeAfter   = time.Second
	takeLeast   = 400 * time.Millisecond // a machine's own pauses between two parts are shorter, and so is the time that a starved computer takes to see its drink end
	placeAfter  = 500 * time.Millisecond
	placeLeast  = 20 * time.Millisecond
	unseenAfter = 3 * time.Second
	unseenLeast = 1500 * time.Millisecond
	leaveAfter  = 45 * time.Second // longer than a grinder's rest in mid-drink
	leaveLeast  = 2 * time.Second
	unusedAfter = 90 * time.Second
)

// takes is when the simulated customer takes the cup.
func (p *Plant) takes() (time.Duration, bool) {
	if p.cfg.Cups == Hand || p.cup == nil || p.offSince < 0 || p.has(CupLeft) {
		return 0, false
	}
	quiet := max(p.offSince, p.cup.Placed)
	switch {
	case p.cup.Drinks > 0 || p.cup.struck:
		return quiet + p.scaled(takeAfter, takeLeast), true
	case p.cup.used:
		return quiet + p.scaled(leaveAfter, leaveLeast), true
	case p.cupRead:
		return quiet + unusedAfter, true
	}
	return 0, false
}

// places is when the simulated customer places a cup. The machine cannot tell
// the plant that it wants one; but it looks for it, and so it is seen that the
// place was seen empty. A machine that looks only once a second can not miss
// that a cup was taken.
func (p *Plant) places() (time.Duration, bool) {
	if p.cfg.Cups != Auto || p.cup != nil || p.has(CupRemoved) {
		return 0, false
	}
	if p.emptySeen >= 0 {
		return p.emptySeen + p.scaled(placeAfter, placeLeast), true
	}
	if !p.cupRead {
		return p.takenAt + p.scaled(unseenAfter, unseenLeast), true
	}
	return 0, false
}

// refills is when somebody fills up.
func (p *Plant) refills() (time.Duration, bool) {
	if !p.cfg.Refill || p.offSince < 0 || !p.runsLow() {
		return 0, false
	}
	return p.offSince + p.scaled(takeAfter, takeLeast), true
}

// drops is when the dispenser lets a cup fall: it needs 0.3 s for it, once each
// time that it is switched on.
func (p *Plant) drops() (time.Duration, bool) {
	r := p.relays[driver.Cups]
	if r == nil || !r.closed || r.done {
		return 0, false
	}
	return r.since + p.scaled(300*time.Millisecond, 0), true
}

func (p *Plant) drop() {
	p.relays[driver.Cups].done = true
	switch {
	case p.has(CupRemoved):
	case p.cup != nil:
		p.hurt("a cup fell onto a cup")
	default:
		p.place()
	}
}
