package machine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/recipe"
)

// Plan is what one machine is, as pure data from its file: what it has, what it
// may, how fast it is. Whatever says what the machine would do (check, dry run,
// timeline, calibrate, setup) asks the plan, and New and guard.New go by the same
// plan and refuse metal that is anything else (TestPlanIsTheMachine).
//
// Zero values are the defaults, but for Name and Cup.
type Plan struct {
	Name string
	Cup  Cup

	// Guard is the guard's own: every part with its limits and its dead man's
	// switch, and the forbidden pairs. An appliance has no parts of ours.
	Guard guard.Config
	// Wires say what a part hangs on.
	Wires map[driver.Part]Wire
	// Signals are the sensors that it has. The computer's own supply
	// (driver.Power) is none of the machine's.
	Signals map[driver.Signal]bool

	Calibration recipe.Calibration // zero: recipe.DefaultCalibration
	Book        recipe.Book        // nil: recipe.DefaultBook
	HotWait     time.Duration      // longest wait for heat; 1 m
	MaxTempC    float64            // the boiler's limit, at most 160; 125
	StepBack    time.Duration      // pause after a fault that may pass; 30 s
	CupPulse    time.Duration      // of a dispenser; 500 ms
	Care        map[Care]Upkeep    // how it is cared for, where the file says so

	// Products of an appliance by size, and by size + "+milk"; nil for a machine
	// of which we own the parts.
	Products    map[string]driver.Product
	ProductTime time.Duration // longest for one product; 5 m
}

// Complete is a machine that has everything, at the compiled-in ceilings and with
// usual figures: for printing a drink where no machine is at hand.
func Complete() Plan {
	return Plan{
		Guard: guard.Config{Parts: map[driver.Part]guard.Limits{
			driver.Grinder: {Rest: 30 * time.Second, Inrush: "a"},
			driver.Pump:    {Inrush: "a"},
			driver.Milk:    {},
			driver.Sugar:   {},
		}},
		Signals: map[driver.Signal]bool{driver.Hot: true, driver.Flow: true},
	}.Filled()
}

// Wire is what a part hangs on, in words for whoever stands before it with a
// lamp.
type Wire struct {
	On, Off  string // when it is told to be so: "GPIO17 low", "relay 3 open"
	Feedback string // the line of the contact that shows what it does; "" = none
}

// hardMaxTempC is what no plan may exceed.
const hardMaxTempC = 160

// Filled is the plan with its defaults.
func (p Plan) Filled() Plan {
	if c := p.Calibration; c.GrinderGPS == 0 && c.PumpMLPS == 0 && c.MilkMLPS == 0 && c.SugarDosePS == 0 {
		p.Calibration = recipe.DefaultCalibration()
	}
	if p.Book == nil {
		p.Book = recipe.DefaultBook()
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&p.HotWait, time.Minute)
	def(&p.StepBack, 30*time.Second)
	def(&p.CupPulse, 500*time.Millisecond)
	def(&p.ProductTime, 5*time.Minute)
	if p.MaxTempC == 0 {
		p.MaxTempC = 125
	}
	return p
}

// Of is the plan of a rig that nobody could describe before it was opened: a
// test's, and that of a plant in a process of its own. What the plan says already
// stays.
func (p Plan) Of(rig driver.Rig) Plan {
	p.Guard.Name = p.Name
	p.Guard = p.Guard.Of(rig)
	p.Signals = map[driver.Signal]bool{}
	for s := range rig.Sensors {
		p.Signals[s] = true
	}
	p.Wires = maps.Clone(p.Wires)
	for name, wire := range rig.Outputs {
		if wire.Contact != nil {
			if p.Wires == nil {
				p.Wires = map[driver.Part]Wire{}
			}
			p.Wires[name] = Wire{On: p.Wires[name].On, Off: p.Wires[name].Off, Feedback: "a contact"}
		}
	}
	return p
}

// Appliance reports a machine that owns its sequence and its safety.
func (p Plan) Appliance() bool { return p.Products != nil }

// Has reports a part of ours.
func (p Plan) Has(part driver.Part) bool {
	_, there := p.Guard.Parts[part]
	return there
}

// Limits are what bounds a drink: the guard's, and what can be seen.
func (p Plan) Limits() recipe.Limits {
	p = p.Filled()
	return recipe.Limits{Parts: p.Guard.Effective(), Signals: p.Signals, HotWait: p.HotWait, MaxTempC: p.MaxTempC}
}

// Timeline lays a drink out: what the machine will do, second by second. It
// refuses what breaks any limit, with all reasons joined.
func (p Plan) Timeline(d recipe.Drink) (recipe.Timeline, error) {
	p = p.Filled()
	if d.TempC == 0 {
		d.TempC = p.Book[d.Size].TempC
	}
	return recipe.Compile(d, p.Calibration, p.Limits())
}

// Takes is how long a drink takes by its timeline, from its first event to its last, and
// how long the parts rest after it until the least drink of the book may begin. Both are
// 0 for an appliance: how long its product takes only shows. It refuses what Timeline
// and Product refuse.
func (p Plan) Takes(d recipe.Drink) (length, rest time.Duration, err error) {
	if p.Appliance() {
		_, err := p.Product(d)
		return 0, 0, err
	}
	tl, err := p.Timeline(d)
	if err != nil {
		return 0, 0, err
	}
	return tl.Length(), tl.Rest(p.leastDrink(), p.Limits().Parts), nil
}

// leastDrink is the timeline of the smallest drink of the book, black and bitter; nil
// where there is none.
func (p Plan) leastDrink() (least recipe.Timeline) {
	p = p.Filled()
	for _, size := range slices.Sorted(maps.Keys(p.Book)) {
		d := p.Book[size]
		d.MilkML, d.Sugar = 0, 0
		if tl, err := p.Timeline(d); err == nil && (least == nil || tl.Length() < least.Length()) {
			least = tl
		}
	}
	return least
}

// Product is what a drink is on an appliance. What it can't honour is refused,
// never left out.
func (p Plan) Product(d recipe.Drink) (driver.Product, error) {
	name := d.Size
	if d.Care != "" {
		_, err := p.CareDrink(Care(d.Care))
		return driver.Product{}, err
	}
	if d.MilkML > 0 {
		name += "+milk"
	}
	x, there := p.Products[name]
	switch {
	case !there:
		return x, why(NoProduct, name)
	case d.Sugar > 0:
		return x, why(NoSugar, "")
	}
	x.Cycles = max(x.Cycles, 1)
	return x, nil
}

// slowDisk is what a drink may wait for its records, start and end together:
// mostly nothing, but a start that must wait for an older end does, and so does a
// write that the kernel holds up while a worn card is busy.
const slowDisk = 30 * time.Second

// Longest is a bound on how long any drink of the book takes, from its start to
// its end in the journal: the longest of them with every wait at its end, a
// quarter more for a menu that pours more than the book, and the time that parts
// may be postponed and a disk may be slow. A drink that could take longer is
// refused. Who checks a file compares it with what a fleet waits for.
func (p Plan) Longest() time.Duration {
	p = p.Filled()
	if p.Appliance() {
		return p.longestProduct() + slowDisk
	}
	limits := p.Limits()
	var d time.Duration
	for _, drink := range p.Book {
		if tl, err := recipe.Compile(drink, p.Calibration, limits); err == nil {
			d = max(d, tl.Longest())
		}
	}
	if d == 0 { // nothing of the book can be made here: whatever the ceilings let through
		for _, l := range limits.Parts {
			d += l.MaxOn + l.Rest
		}
	}
	return d + d/4 + maxPostponed + slowDisk
}

func (p Plan) longestProduct() time.Duration {
	d := p.ProductTime
	for _, x := range p.Products {
		most := p.ProductTime * time.Duration(max(x.Cycles, 1))
		if x.Cycles > 1 {
			most += BetweenCycles
		}
		d = max(d, most)
	}
	return d
}

// Unfit lists the drinks of the book that the machine can never make within its
// limits, each at the part that is in the way. It is asked of a file before
// anything is opened: a size that can't be made must not be served.
func (p Plan) Unfit() []driver.Problem {
	if p.Appliance() {
		return nil
	}
	var list []driver.Problem
	add := func(size string, err error) {
		x := driver.Problem{Section: "serves", Reason: fmt.Sprintf("a %s does not fit: %v", size, err), Fix: "take " + size + " out of sizes in serves"}
		if unfit, is := errors.AsType[*recipe.UnfitError](err); is && p.Has(unfit.Part) {
			x.Section, x.Key = "outputs", string(unfit.Part)
			switch l := p.Guard.Parts[unfit.Part]; {
			case l.DutyOn > 0 && (l.MaxOn == 0 || l.DutyOn <= l.MaxOn):
				x.Key += ".duty"
			case l.MaxOn > 0:
				x.Key += ".max_on"
			}
			x.Fix = "allow it longer, give it a rest to split by, or " + x.Fix
		}
		if !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	for _, size := range slices.Sorted(maps.Keys(p.Book)) {
		_, err := p.Timeline(p.Book[size])
		for _, e := range split(err) {
			add(size, e)
		}
	}
	return list
}

// split takes joined errors apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if j, is := err.(interface{ Unwrap() []error }); is {
		return j.Unwrap()
	}
	return []error{err}
}

// Check lists everything that makes the plan no machine.
func (p Plan) Check() []driver.Problem {
	p = p.Filled()
	var list []driver.Problem
	add := func(section, format string, args ...any) {
		list = append(list, driver.Problem{Section: section, Reason: fmt.Sprintf(format, args...)})
	}
	if p.Name == "" {
		add("name", "a machine needs a name")
	}
	switch p.Cup {
	case CupSensor, CupDispenser:
		if !p.Signals[driver.Cup] {
			add("cup", "%s needs a cup sensor, and this machine has none: wire one, or choose page or attended", p.Cup)
		}
		if p.Cup == CupDispenser && !p.Has(driver.Cups) {
			add("cup", "dispenser needs the part cups, and this machine has none")
		}
	case CupPage, CupAttended:
	case "":
		add("cup", "say how the machine knows that a cup is there: sensor, dispenser, page or attended")
	default:
		add("cup", "%q is not one of sensor, dispenser, page, attended", p.Cup)
	}
	if p.Has(driver.Heater) && !p.Signals[driver.Temperature] {
		add("heater", "it needs a temperature sensor: a heater that is on blind is never right")
	}
	if !(p.MaxTempC > 0 && p.MaxTempC <= hardMaxTempC) {
		add("", "the boiler's limit of %v °C is not within 0 to %d", p.MaxTempC, hardMaxTempC)
	}
	for _, x := range []struct {
		name string
		d    time.Duration
	}{{"cup pulse", p.CupPulse}, {"hot wait", p.HotWait}, {"product time", p.ProductTime}, {"step back", p.StepBack}} {
		if x.d < 0 || x.d > 10*time.Minute {
			add(x.name, "%v is not within 0 to 10m", x.d)
		}
	}
	if p.CupPulse > guard.MaxCups {
		add("cup pulse", "%v is above the ceiling of %v", p.CupPulse, guard.MaxCups)
	}
	if p.Appliance() && len(p.Products) == 0 {
		add("", "an appliance needs its products by size")
	}
	for _, size := range slices.Sorted(maps.Keys(p.Products)) {
		if x := p.Products[size]; x.Key == "" || x.Cycles < 0 || x.Cycles > 8 {
			add("product "+size, "a key and 1 to 8 cycles are needed")
		}
	}
	if err := p.Calibration.Check(); err != nil {
		add("", "%v", err)
	}
	p.fitsCare(add)
	return list
}

// fits lists where a guarded rig is not what the plan says.
func (p Plan) fits(rig *guard.Rig) []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if (rig.Appliance() != nil) != p.Appliance() {
		add("the plan and the driver don't agree on whether the machine owns its parts: an appliance has products, and no other machine has any")
	}
	parts := p.Guard.Effective()
	for _, part := range driver.Parts {
		want, said := parts[part]
		have, there := rig.Limits(part)
		if said != there || want != have {
			add("%s: the guard was given other limits than the plan has", part)
		}
		if _, contact := rig.Contact(part); contact != (p.Wires[part].Feedback != "") {
			add("%s: the plan and the driver don't agree on whether a contact shows what it does", part)
		}
	}
	for _, s := range driver.Signals {
		if _, there := rig.Sensor(s); there != p.Signals[s] && s != driver.Power {
			add("%s: the plan and the driver don't agree on whether there is such a sensor", s)
		}
	}
	return errs
}
