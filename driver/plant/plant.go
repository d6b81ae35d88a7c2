package plant

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"barista/driver"
)

// Plant is a machine. New makes one; any goroutine may call any method.
type Plant struct {
	cfg   Config
	began time.Time // its monotonic part is the zero of all times here

	mu sync.Mutex
	at time.Duration // everything below is true at this time

	parts    []driver.Part // in a fixed order
	relays   map[driver.Part]*relay
	offSince time.Duration // when the last part went off; below 0 while one is on

	hopper, tank, milk, sugar, tray float64
	mass                            Mass
	celsius                         float64
	flowing                         bool // water runs

	basket basket
	flow   *flow   // the newest, which may still go on
	flows  []*flow // those that began, oldest first
	nflows int

	cup       *Cup
	placed    int           // cups
	taken     int           // cups
	takenAt   time.Duration // when the cup place became empty
	emptySeen time.Duration // when the machine saw it empty; below 0 if it did not
	cupRead   bool          // the cup sensor is in use

	faults map[Fault]float64 // in force; the value of a frozen sensor
	chance *rand.Rand        // of a failing basket
	strike FaultKind         // the failure of this basket, or ""
	struck int

	harm     []string
	pumpDry  span
	heatDry  span
	counts   Counts // only the numbers that are counted up
	edges    []Edge
	edgesAll int
}

// relay is a part's contact and what it was told.
type relay struct {
	told   bool
	closed bool
	since  time.Duration // of the last change
	timer  time.Duration // the board's own: off at this time; 0 is none
	done   bool          // what a long time on leads to has happened for this one
}

// span is a dangerous condition and how long it lasts.
type span struct {
	on    bool
	since time.Duration
	noted bool
}

// New makes a machine, full, at rest, and cold if it has a heater. It panics on
// figures that Check refuses: that is a mistake of the program, not of a person.
func New(cfg Config) *Plant {
	if err := cfg.Check(); err != nil {
		panic("plant: " + err.Error())
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Cups == "" {
		cfg.Cups = Hand
	}
	p := &Plant{
		cfg: cfg, began: time.Now(),
		parts:  cfg.Parts(),
		relays: make(map[driver.Part]*relay), faults: make(map[Fault]float64),
		hopper: cfg.HopperG, tank: cfg.TankML, milk: cfg.MilkML, sugar: cfg.SugarDoses,
		celsius: cfg.BoilerC, emptySeen: -1,
		chance: rand.New(rand.NewPCG(cfg.Seed, 0x6d6f636b)),
	}
	if cfg.Heater {
		p.celsius = roomC
	}
	p.mass.FilledBeansG, p.mass.FilledWaterML = cfg.HopperG, cfg.TankML
	p.mass.FilledMilkML, p.mass.FilledSugar = cfg.MilkML, cfg.SugarDoses
	for _, part := range p.parts {
		p.relays[part] = &relay{}
	}
	return p
}

// Config is the machine's figures.
func (p *Plant) Config() Config { return p.cfg }

// enter locks the plant and brings it to now.
func (p *Plant) enter() {
	p.mu.Lock()
	p.advance(time.Since(p.began))
}

// leave lets what was changed take effect at once, and unlocks.
func (p *Plant) leave() {
	p.due()
	p.mu.Unlock()
}

// Set switches a part, until it is told otherwise. A part that the machine does
// not have is noted as harm: something is wired wrong.
func (p *Plant) Set(part driver.Part, on bool) { p.set(part, on, 0) }

// OnFor switches a part on and gives the time to the board's own timer: the part
// goes off after atMost of real time, whatever became of the caller. A time of 0
// or less leaves it off.
func (p *Plant) OnFor(part driver.Part, atMost time.Duration) { p.set(part, atMost > 0, atMost) }

func (p *Plant) set(part driver.Part, on bool, atMost time.Duration) {
	p.enter()
	defer p.leave()
	r := p.relays[part]
	if r == nil {
		p.hurt("%s was switched, but this machine has none", part)
		return
	}
	r.timer = 0
	if on && atMost > 0 {
		r.timer = p.at + atMost
	}
	p.tell(part, on, "told")
}

// tell gives a part a command; its contact follows if it can.
func (p *Plant) tell(part driver.Part, on bool, by string) {
	r := p.relays[part]
	r.told = on
	if !on {
		r.timer = 0
	}
	_, stuck := p.faults[Fault{Kind: Stuck, Part: part}]
	_, dead := p.faults[Fault{Kind: Dead, Part: part}]
	p.contact(part, on && !dead || r.closed && stuck, by)
}

// contact moves a part's contact, and with it everything that hangs on it.
func (p *Plant) contact(part driver.Part, on bool, by string) {
	r := p.relays[part]
	if r.closed == on {
		return
	}
	r.closed, r.since, r.done = on, p.at, false
	p.edge(Edge{At: p.at, Part: part, On: on, By: by})
	p.offSince = p.at
	if p.anyOn() {
		p.offSince = -1
	}
	if !on {
		if part == driver.Grinder && p.strike == Jam {
			p.strike = ""
		}
		return
	}
	if p.cup != nil {
		p.cup.used = true
	}
	switch part {
	case driver.Grinder:
		p.grinderStarts()
	case driver.Pump:
		p.pumpStarts()
	}
	for _, group := range p.cfg.Inrush {
		if !slices.Contains(group, part) {
			continue
		}
		for _, other := range group {
			if o := p.relays[other]; other != part && o != nil && o.closed {
				p.hurt("%s and %s of one inrush group are on together", part, other)
			}
		}
	}
}

func (p *Plant) anyOn() bool {
	for _, r := range p.relays {
		if r.closed {
			return true
		}
	}
	return false
}

func (p *Plant) on(part driver.Part) bool {
	r := p.relays[part]
	return r != nil && r.closed
}

// On reports whether a part's contact is closed: the physical level, whatever it
// was told.
func (p *Plant) On(part driver.Part) bool {
	p.enter()
	defer p.leave()
	return p.on(part)
}

// Refill fills hopper, tank, milk and sugar and empties the tray.
func (p *Plant) Refill() {
	p.enter()
	defer p.leave()
	p.refill()
}

func (p *Plant) refill() {
	fill := func(have *float64, full float64, filled *float64) {
		if *have < full {
			*filled += full - *have
			*have = full
		}
	}
	fill(&p.hopper, p.cfg.HopperG, &p.mass.FilledBeansG)
	fill(&p.tank, p.cfg.TankML, &p.mass.FilledWaterML)
	fill(&p.milk, p.cfg.MilkML, &p.mass.FilledMilkML)
	fill(&p.sugar, p.cfg.SugarDoses, &p.mass.FilledSugar)
	p.tray = 0
}

// runsLow reports whether a person would fill something up or empty the tray.
func (p *Plant) runsLow() bool {
	c := p.cfg
	return p.hopper < min(c.BeansLowG, c.HopperG) || p.tank < min(c.TankLowML, c.TankML) ||
		p.milk < min(milkLowML, c.MilkML) || p.sugar < min(sugarLow, c.SugarDoses) ||
		p.tray > c.TrayHighML
}

// With auto refill, milk and sugar have no sensor of their own: this much is
// enough for the largest drink.
const (
	milkLowML = 150.0
	sugarLow  = 4.0
)

// Mass is where everything went. What was filled in is what is left and what
// moved, for each of them, at any time:
//
//	FilledBeansG = HopperG + BasketG + DrawerG
//	FilledWaterML = TankML + PumpedML, PumpedML = CoffeeCupML + CoffeeTrayML + CoffeeFloorML
//
// and the same for milk and sugar. Cups and tray count for ever, also after they
// were taken or emptied.
type Mass struct {
	FilledBeansG float64 `json:"filled_beans_g"`
	HopperG      float64 `json:"hopper_g"`
	GroundG      float64 `json:"ground_g"` // ever
	BasketG      float64 `json:"basket_g"`
	DrawerG      float64 `json:"drawer_g"` // thrown out of the basket

	FilledWaterML float64 `json:"filled_water_ml"`
	TankML        float64 `json:"tank_ml"`
	PumpedML      float64 `json:"pumped_ml"` // ever
	CoffeeCupML   float64 `json:"coffee_cup_ml"`
	CoffeeTrayML  float64 `json:"coffee_tray_ml"`
	CoffeeFloorML float64 `json:"coffee_floor_ml"`

	FilledMilkML float64 `json:"filled_milk_ml"`
	MilkML       float64 `json:"milk_ml"`
	MilkCupML    float64 `json:"milk_cup_ml"`
	MilkTrayML   float64 `json:"milk_tray_ml"`
	MilkFloorML  float64 `json:"milk_floor_ml"`

	FilledSugar float64 `json:"filled_sugar"`
	Sugar       float64 `json:"sugar"`
	SugarCup    float64 `json:"sugar_cup"`
	SugarTray   float64 `json:"sugar_tray"`

	TrayML float64 `json:"tray_ml"` // in it now
}

// Counts is what the machine physically did. Drinks and its three places never
// fall.
type Counts struct {
	At time.Duration `json:"at"` // since the plant began, the clock of edges and flows

	Drinks    int `json:"drinks"` // InCup + InFullCup + InTray
	InCup     int `json:"in_cup"`
	InFullCup int `json:"in_full_cup"`
	InTray    int `json:"in_tray"`
	Partial   int `json:"partial"` // flows that stopped before they were a drink
	Water     int `json:"water"`   // flows without coffee
	Struck    int `json:"struck"`  // baskets that failed by FailRate

	CupsPlaced int  `json:"cups_placed"`
	CupsTaken  int  `json:"cups_taken"`
	CupThere   bool `json:"cup_there"`

	On      map[driver.Part]bool `json:"on"` // every part of the machine: its contact
	Edges   int                  `json:"edges"`
	Harm    []string             `json:"harm"` // what would have damaged metal, the first 1000
	Faults  []string             `json:"faults"`
	Celsius float64              `json:"celsius"`
	Mass    Mass                 `json:"mass"`
}

// Poured is the last word of a simulator.
func (c Counts) Poured() string {
	drinks := "drinks"
	if c.Drinks == 1 {
		drinks = "drink"
	}
	return fmt.Sprintf("%d %s poured: %d in a cup, %d in a full cup, %d in the tray", c.Drinks, drinks, c.InCup, c.InFullCup, c.InTray)
}

// Counts is what happened until now.
func (p *Plant) Counts() Counts {
	p.enter()
	defer p.leave()
	c := p.counts
	c.At = p.at
	c.Struck = p.struck
	c.CupsPlaced, c.CupsTaken, c.CupThere = p.placed, p.taken, p.cup != nil
	c.On = make(map[driver.Part]bool)
	for part, r := range p.relays {
		c.On[part] = r.closed
	}
	c.Edges = p.edgesAll
	c.Harm = slices.Clone(p.harm)
	for f := range p.faults {
		c.Faults = append(c.Faults, f.String())
	}
	slices.Sort(c.Faults)
	c.Celsius = p.celsius
	c.Mass = p.mass
	c.Mass.HopperG, c.Mass.BasketG = p.hopper, p.basket.grams()
	c.Mass.TankML, c.Mass.MilkML, c.Mass.Sugar, c.Mass.TrayML = p.tank, p.milk, p.sugar, p.tray
	return c
}

// OnNow lists the parts that are on, sorted.
func (c Counts) OnNow() []driver.Part {
	var on []driver.Part
	for _, part := range slices.Sorted(maps.Keys(c.On)) {
		if c.On[part] {
			on = append(on, part)
		}
	}
	return on
}

const keepHarm = 1000

// hurt notes harm, with its time.
func (p *Plant) hurt(format string, args ...any) {
	if len(p.harm) < keepHarm {
		p.harm = append(p.harm, fmt.Sprintf(format, args...)+" at "+seconds(p.at))
	}
}
