package plant

import (
	"fmt"
	"math"
	"time"

	"barista/driver"
)

// beginML is the water that makes a flow count; less is a drip. coffeeG is the least
// that makes it coffee.
const (
	beginML = 10.0
	coffeeG = 1.0
)

func isCoffee(g float64) bool { return g > coffeeG-tiny }

// pauseLimit is how long a drink may pause, in machine time: longer than any
// pre-infusion.
const pauseLimit = 30 * time.Second

// Where a flow went.
const (
	InCup     = "cup"
	InFullCup = "full-cup" // the cup had a flow before
	InTray    = "tray"     // no cup was there for most of it
)

// What a flow is.
const (
	Drink   = "drink"
	Partial = "partial" // stopped before it was a drink
	Water   = "water"   // stopped, and there was no coffee in the basket
	Running = "running" // may still become a drink
)

// Pour is one flow; see the package comment. Times are since the plant began, on
// the monotonic clock; the wall times are for people.
type Pour struct {
	N         int           `json:"n"` // counts all flows, from 1
	Kind      string        `json:"kind"`
	Where     string        `json:"where"`
	Cup       int           `json:"cup"`  // the placement it belongs to, 0 for none
	Used      bool          `json:"used"` // the grounds had made a flow before
	CoffeeML  float64       `json:"coffee_ml"`
	SpiltML   float64       `json:"spilt_ml"` // of CoffeeML, not in the cup
	MilkML    float64       `json:"milk_ml"`
	GroundG   float64       `json:"ground_g"` // coffee in the basket
	Sugar     int           `json:"sugar"`    // doses, rounded
	Start     time.Duration `json:"start"`    // first water
	End       time.Duration `json:"end"`      // last water
	StartWall time.Time     `json:"start_wall"`
	EndWall   time.Time     `json:"end_wall"`
}

// String is a line for people and golden files.
func (d Pour) String() string {
	s := fmt.Sprintf("%s-%s %s: %.1f ml through %.1f g", seconds(d.Start), seconds(d.End), d.Kind, d.CoffeeML, d.GroundG)
	if d.Used {
		s += " used before"
	}
	if d.MilkML > tiny {
		s += fmt.Sprintf(", %.1f ml milk", d.MilkML)
	}
	if d.Sugar > 0 {
		s += fmt.Sprintf(", %d sugar", d.Sugar)
	}
	if s += ", into the " + d.Where; d.SpiltML > tiny {
		s += fmt.Sprintf(", %.1f ml spilt", d.SpiltML)
	}
	return s
}

// flow is a Pour while it goes on.
type flow struct {
	Pour
	basket int     // whose grounds
	cup    int     // placement, 0 for none
	prior  int     // flows in that cup before this one
	missed float64 // ml while no cup was there at all
	sugar  float64
	begun  bool // beginML ran: it counts
	drink  bool // counted as one, for ever
	open   bool // runs, or pauses
}

func (f *flow) where() string {
	switch {
	case f.cup == 0 || f.missed > f.CoffeeML/2+1e-3: // half and half is a cup, whatever the rounding
		return InTray
	case f.prior > 0:
		return InFullCup
	}
	return InCup
}

func (f *flow) kind() string {
	switch {
	case f.drink:
		return Drink
	case f.open:
		return Running
	case !isCoffee(f.GroundG):
		return Water
	}
	return Partial
}

// basket holds the coffee that the water runs through.
type basket struct {
	n     int     // counts the fillings
	fresh float64 // g, dry
	wet   float64 // g, water ran through
	tried bool    // the pump was switched on over it
	flows int     // that began in it
}

func (b *basket) grams() float64 { return b.fresh + b.wet }

// add takes ground coffee; where water runs it is wet at once.
func (b *basket) add(g float64, flowing bool) {
	if flowing {
		b.wet += g
	} else {
		b.fresh += g
	}
}

// eject throws the grounds into the drawer.
func (b *basket) eject(g float64, drawer *float64) {
	*drawer += g
	*b = basket{n: b.n + 1, fresh: b.grams() - g}
}

// waterStarts: coffee that was ground over used grounds, by a grinder that never
// stopped, is a filling of its own.
func (b *basket) waterStarts(drawer *float64) {
	if b.wet > 0 && isCoffee(b.fresh) {
		b.eject(b.wet, drawer)
		b.tried = true
	}
	b.wet, b.fresh = b.grams(), 0
}

// grinderStarts: the brew group throws out what the pump has been tried on.
// An empty basket is where a drink begins, and where FailRate draws its lot.
func (p *Plant) grinderStarts() {
	if p.basket.tried {
		p.basket.eject(p.basket.grams(), &p.mass.DrawerG)
		p.basket.tried = p.on(driver.Pump)
	}
	if isCoffee(p.basket.grams()) || p.cfg.FailRate == 0 {
		return
	}
	p.strike = ""
	if p.chance.Float64() >= p.cfg.FailRate {
		return
	}
	p.struck++
	p.strike = NoFlow
	if p.chance.IntN(2) == 0 {
		p.strike = Jam
		p.showStrike()
	}
}

func (p *Plant) pumpStarts() {
	p.basket.tried = true
	if p.strike == NoFlow {
		p.showStrike()
	}
}

// showStrike: the customer sees that this cup will not be filled.
func (p *Plant) showStrike() {
	if p.cup != nil {
		p.cup.struck = true
	}
}

// strikeEnds is when a blocked flow frees itself: a jam ends with its grinder,
// or with the next basket.
func (p *Plant) strikeEnds() (time.Duration, bool) {
	pump := p.relays[driver.Pump]
	if p.strike != NoFlow || pump.closed || !p.basket.tried {
		return 0, false
	}
	return pump.since + p.scaled(pauseLimit, 0), true
}

// pauseEnds is when a flow that stands still is over.
func (p *Plant) pauseEnds() (time.Duration, bool) {
	if p.flow == nil || !p.flow.open || p.flowing {
		return 0, false
	}
	return p.flow.End + p.scaled(pauseLimit, 0), true
}

// settle ends the newest flow, for now.
func (p *Plant) settle() {
	f := p.flow
	f.open = false
	p.tally(f, 1)
}

// tally counts a flow that is no drink, or takes it back when it goes on.
func (p *Plant) tally(f *flow, n int) {
	switch {
	case !f.begun || f.drink:
	case !isCoffee(f.GroundG):
		p.counts.Water += n
	default:
		p.counts.Partial += n
	}
}

// spill sends what misses the cup to the tray, or to the floor.
func (p *Plant) spill(ml float64, r rates, tray, floor *float64) {
	if r.toTray {
		p.tray += ml
		*tray += ml
		return
	}
	*floor += ml
	p.hurtOnce("the drip tray ran over")
}

// route says which flow the water that runs now belongs to.
func (p *Plant) route() {
	f, cup := p.flow, p.cupN()
	switch {
	case f == nil || f.basket != p.basket.n || f.drink && !f.open:
		p.newFlow()
	case cup == 0 || cup == f.cup: // also when its cup went: it goes on, into the tray
		if !f.open {
			p.tally(f, -1)
			f.open = true
		}
	case f.cup == 0 && !f.begun: // a few drops before the cup came
		f.cup, f.prior, f.open = cup, p.cup.Flows, true
	default:
		p.newFlow()
	}
}

// water goes through the basket and into whatever stands below it.
func (p *Plant) water(ml float64, r rates, to time.Duration) {
	f, cup := p.flow, p.cupN()
	f.CoffeeML += ml
	f.GroundG = p.basket.grams()
	f.End = to
	if cup == 0 {
		f.missed += ml
	}
	if r.toCup {
		p.cup.CoffeeML += ml
		p.mass.CoffeeCupML += ml
	} else {
		f.SpiltML += ml
		p.spill(ml, r, &p.mass.CoffeeTrayML, &p.mass.CoffeeFloorML)
	}

	if !f.begun && f.CoffeeML > beginML-tiny {
		p.begin(f)
	}
	if f.begun && !f.drink && f.CoffeeML > p.cfg.DrinkML-tiny && isCoffee(f.GroundG) {
		p.served(f)
	}
}

func (p *Plant) newFlow() {
	if p.flow != nil && p.flow.open {
		p.settle()
	}
	f := &flow{basket: p.basket.n, cup: p.cupN(), open: true}
	f.Start, f.End, f.Used = p.at, p.at, p.basket.flows > 0
	if p.cup != nil {
		f.prior = p.cup.Flows
	}
	p.flow = f
}

// begin: it is more than a drip.
func (p *Plant) begin(f *flow) {
	f.begun = true
	p.nflows++
	f.N = p.nflows
	p.flows = keep(append(p.flows, f), keepFlows)
	p.basket.flows++
	if p.cup != nil && p.cup.N == f.cup {
		p.cup.Flows++
		f.MilkML += p.cup.pendingMilk
		f.sugar += p.cup.pendingSugar
		p.cup.pendingMilk, p.cup.pendingSugar = 0, 0
	}
}

// served: it is a drink.
func (p *Plant) served(f *flow) {
	f.drink = true
	f.Where = f.where()
	p.counts.Drinks++
	switch f.Where {
	case InCup:
		p.counts.InCup++
	case InFullCup:
		p.counts.InFullCup++
	default:
		p.counts.InTray++
	}
	if p.cup != nil && p.cup.N == f.cup {
		p.cup.Drinks++
	}
}

// mine is the flow that milk and sugar belong to, if any.
func (p *Plant) mine() *flow {
	f := p.flow
	if f == nil || f.cup != p.cupN() || p.cup == nil && !f.open {
		return nil
	}
	return f
}

func (p *Plant) milky(ml float64, r rates) {
	if r.toCup {
		p.cup.MilkML += ml
		p.mass.MilkCupML += ml
	} else {
		p.spill(ml, r, &p.mass.MilkTrayML, &p.mass.MilkFloorML)
	}
	if f := p.mine(); f != nil {
		f.MilkML += ml
	} else if p.cup != nil {
		p.cup.pendingMilk += ml
	}
}

func (p *Plant) sweet(doses float64) {
	if p.cup != nil {
		p.cup.Sugar += doses
		p.mass.SugarCup += doses
	} else {
		p.mass.SugarTray += doses
	}
	if f := p.mine(); f != nil {
		f.sugar += doses
	} else if p.cup != nil {
		p.cup.pendingSugar += doses
	}
}

// Poured lists the drinks that were physically poured, oldest first: the newest
// of them, where there are more than two thousand flows. Counts has the number
// of all.
func (p *Plant) Poured() []Pour {
	var drinks []Pour
	for _, d := range p.Flows() {
		if d.Kind == Drink {
			drinks = append(drinks, d)
		}
	}
	return drinks
}

// Flows lists everything of more than 10 ml that ran through the basket, drinks
// and others, the newest 2048, oldest first.
func (p *Plant) Flows() []Pour {
	p.enter()
	defer p.leave()
	var list []Pour
	for _, f := range newest(p.flows, keepFlows) {
		d := f.Pour
		d.Kind, d.Cup, d.Sugar = f.kind(), f.cup, int(math.Floor(f.sugar+0.5+1e-6))
		if !f.drink {
			d.Where = f.where()
		}
		wall := p.began.Round(0)
		d.StartWall, d.EndWall = wall.Add(d.Start), wall.Add(d.End)
		list = append(list, d)
	}
	return list
}
