package configs

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/fleet"
	"barista/machine"
	"barista/machine/recipe"
)

// Kind is what the loader must know of a kind of machine. What else there is to
// it stands in package kinds.
type Kind struct {
	// Simulated: no metal hangs on it, so it may share a process with anything, and
	// it has a pace of its own.
	Simulated bool
	// Parts are those that the kind can switch, in the order of driver.Parts. None
	// for an appliance, which has no outputs of ours.
	Parts []driver.Part
	// Decode asks the machine section for the keys that only this kind has,
	// outputs.<part> included, and returns its settings. Problems are reported
	// through the nodes. It opens nothing.
	Decode func(m *Map) Settings
}

// Settings are what a kind has read of its section.
type Settings interface {
	// Complete sees the whole section, says what does not go together there, and
	// completes the plan with what only the kind knows: dead man's switches,
	// wires, signals, products, and rates that the file leaves open. It is asked of
	// a section with problems too, so that a person hears of all of them at once:
	// what is not Clean there must be taken for good.
	Complete(c *Machine, m *Map)
	// Open takes the metal, at rest. What it cannot say by its own errors it logs.
	Open(log *slog.Logger) (driver.Rig, error)
	// Rest puts every output that the file names at rest, also those that a dead
	// process has left on. The error names what may still be on. An appliance keeps
	// itself, and there is nothing to do.
	Rest() error
}

// Elsewhere are settings of metal that somebody else describes: a plant in a process
// of its own. What that is, only the opened rig can say; until then everybody goes
// by the usual figures, and nobody refuses a drink by them.
type Elsewhere interface {
	Settings
	Opened(plan machine.Plan, rig driver.Rig) (machine.Plan, error)
}

// Machine is one machine: its plan, and what the fleet must know of it.
type Machine struct {
	machine.Plan // complete once the file was loaded

	Pos        Pos
	Driver     string // name of its kind
	Simulated  bool   // see Kind
	Serves     Serves
	MinWaiting int // above 0: a spare that works only while at least so many orders wait
	// Rates are those that a person wrote into the file; 0 where it says nothing.
	// Those that count are the plan's.
	Rates    recipe.Calibration
	Settings Settings
}

// Serves is what the machine can make.
type Serves struct {
	Beans []string
	Milks []string
	Sizes []fleet.Size
}

// Classes lists every pair of bean and milk.
func (s Serves) Classes() []fleet.Class {
	return fleet.Menu{Beans: s.Beans, Milks: s.Milks}.Classes()
}

// Cups lists what may stand behind cup. There is no default: hot coffee and an
// empty or full cup place, so somebody has to say how the machine knows.
var Cups = []string{"sensor", "dispenser", "page", "attended"}

func decodeMachine(m *Map, kinds map[string]Kind) (*Machine, Kind, bool) {
	c := &Machine{Pos: m.Node().Pos()}
	c.Guard.Parts = map[driver.Part]guard.Limits{}
	name := m.Need("name", "give the machine a name of 1 to 32 of a-z, 0-9 and -: name: zoe")
	if c.Name, _ = name.Token(); c.Name != "" && !fleet.IsMachine(c.Name) {
		name.Problem(Quote(c.Name)+" is a name of the shop's own", "call the machine by a name that customers can read: name: zoe; what it remembers stays in the folder of its old name, machine-"+c.Name+", until that is renamed too")
	}
	names := slices.Sorted(maps.Keys(kinds))
	d := m.Need("driver", "say how it is wired: driver: "+orList(names))
	c.Driver, _ = d.Choice(names...)
	kind, known := kinds[c.Driver]

	serves := m.Need("serves", "say what it can make: serves: {beans: [arabica], milk: [free], sizes: [small, medium, large]}")
	if serves != nil {
		c.Serves = decodeServes(serves.Map())
	}
	cup, _ := m.Need("cup", "say how it knows that a cup stands there: "+orList(Cups)).Choice(Cups...)
	c.Cup = machine.Cup(cup)
	if n := m.Get("spare"); n != nil {
		s := n.Map()
		c.MinWaiting, _ = s.Need("min_waiting", "say above how many waiting orders it helps: min_waiting: 4").Int(1, fleet.QueueMax)
	}
	if n := m.Get("care"); n != nil {
		c.Care = decodeCare(n.Map())
	}
	if n := m.Get("calibration"); n != nil {
		c.Rates = decodeCalibration(n.Map())
	}
	if !known {
		m.Lenient()
		return c, kind, false
	}
	if len(kind.Parts) > 0 {
		if n := m.Get("outputs"); n != nil {
			c.Guard.Parts = decodeOutputs(n.Map(), c.Driver, kind)
		}
		c.Guard.Forbidden = decodeForbidden(m.Get("forbidden"), kind)
	}
	c.Simulated = kind.Simulated
	c.Settings = kind.Decode(m)
	c.Complete(m)
	if m.Node().Clean() {
		c.fits(m)
		m.Place(c.uncared())
	}
	return c, kind, true
}

// Complete makes the plan whole from what the file says for every kind and from
// what this kind knows. m is nil for a machine that no file describes.
func (c *Machine) Complete(m *Map) {
	if m == nil {
		m = (*Node)(nil).Map()
	}
	c.Guard.Name = c.Name
	c.Calibration = c.Rates.Over(recipe.DefaultCalibration())
	c.Settings.Complete(c, m)
	c.Book = c.book()
}

// book is what the machine is expected to make at most: the sizes that it serves,
// with milk and sugar where it has them.
func (c *Machine) book() recipe.Book {
	milk := slices.ContainsFunc(c.Serves.Milks, func(milk string) bool { return milk != fleet.NoMilk })
	book := recipe.Book{}
	for _, size := range c.Serves.Sizes {
		d, known := recipe.DefaultBook()[string(size)]
		if !known {
			continue
		}
		if !c.Has(driver.Milk) || !milk {
			d.MilkML = 0
		}
		if !c.Has(driver.Sugar) {
			d.Sugar = 0
		}
		book[string(size)] = d
	}
	return book
}

// fits says which drinks the machine could never make, each at the key that is in
// the way, or that a drink could take longer than a fleet waits for. The service
// would refuse the same, but only once customers had been told to wait.
func (c *Machine) fits(m *Map) {
	unfit, why := c.tooSlow()
	m.Place(unfit)
	if why != "" {
		m.Node().KeyProblem(why, "shorten the rests, raise the rates (barista calibrate), or take the largest size out of serves")
	}
}

// TooSlow says what a machine that was measured so could not do, as the check of its
// file does; "" if nothing.
func (c *Machine) TooSlow(measured recipe.Calibration) string {
	was := *c
	was.Calibration = measured
	unfit, why := was.tooSlow()
	if len(unfit) > 0 {
		return unfit[0].Reason
	}
	return why
}

// tooSlow looks at every drink by itself and at how long any could take. Of metal
// elsewhere nobody knows the pace yet, what is simulated has one of its own, and an
// appliance's kind looks at the time of its products.
func (c *Machine) tooSlow() (unfit []driver.Problem, why string) {
	if _, is := c.Settings.(Elsewhere); is {
		return nil, ""
	}
	if unfit = c.Unfit(); len(unfit) > 0 || c.Simulated || c.Appliance() {
		return unfit, ""
	}
	if d := c.Longest(); d > fleet.LongestBrew {
		why = fmt.Sprintf("a drink of it could take %v with every wait at its end, and a fleet waits %v", d.Round(time.Second), fleet.LongestBrew)
	}
	return nil, why
}

func decodeServes(m *Map) Serves {
	var s Serves
	beans := m.Need("beans", "write beans: [arabica]")
	milks := m.Need("milk", "write milk: [free], which is black coffee")
	sizes := m.Need("sizes", "write sizes: [small, medium, large]")
	s.Beans, _ = beans.Tokens(64)
	s.Milks, _ = milks.Tokens(64)
	list, _ := beans.List(0, 1<<20)
	for _, n := range list {
		if word, _ := n.Text(); fleet.IsCareName(word) {
			n.Problem("the care of machines is called so", "give the bean another name")
		}
	}
	list, _ = milks.List(0, 1<<20)
	for _, n := range list {
		// Orders may use these words; the shop folds them into its own, so a
		// machine that lists one would wait for ever.
		word, _ := n.Text()
		switch real := fleet.MilkOf(word); {
		case real != word:
			n.Problem(Quote(word)+" is only another word that orders may use", "write "+real)
		case fleet.IsToken(word) && !fleet.IsToken(fleet.MilkItem(word)):
			n.Problem(Quote(word)+" is too long for a milk", "use at most 27 characters")
		}
	}
	if n := len(s.Beans) * len(s.Milks); n > 64 {
		m.Node().Problem(fmt.Sprintf("%d beans × %d milks are %d classes", len(s.Beans), len(s.Milks), n), "list at most 64 together")
	}
	var words []string
	for _, size := range fleet.Sizes {
		words = append(words, string(size))
	}
	list, _ = sizes.List(1, len(words))
	for _, n := range list {
		w, ok := n.Choice(words...)
		switch {
		case !ok:
		case slices.Contains(s.Sizes, fleet.Size(w)):
			n.Problem(Quote(w)+" is there twice", "remove one")
		default:
			s.Sizes = append(s.Sizes, fleet.Size(w))
		}
	}
	return s
}

// decodeCalibration reads the rates. The bounds are those of real parts: the
// slowest hand grinder motor to a shop grinder, a drip pump to a bar machine's.
func decodeCalibration(m *Map) recipe.Calibration {
	var c recipe.Calibration
	c.GrinderGPS, _ = m.Get("grinder_gps").Float(0.1, 20)
	c.PumpMLPS, _ = m.Get("pump_mlps").Float(0.5, 100)
	c.MilkMLPS, _ = m.Get("milk_mlps").Float(0.5, 100)
	c.SugarDosePS, _ = m.Get("sugar_dose_ps").Float(0.1, 20)
	return c
}

func decodeOutputs(m *Map, name string, kind Kind) map[driver.Part]guard.Limits {
	out := map[driver.Part]guard.Limits{}
	for _, n := range m.All() {
		part := driver.Part(n.Key())
		if !slices.Contains(kind.Parts, part) {
			words := parts(kind)
			fix := "it has " + strings.Join(words, ", ")
			if near := nearest(n.Key(), words); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			n.KeyProblem(fmt.Sprintf("a machine with driver: %s has no such part", name), fix)
			n.Map().Lenient()
			continue
		}
		out[part] = decodeOutput(n.Map(), guard.Ceiling(part))
	}
	return out
}

func decodeOutput(m *Map, ceiling time.Duration) guard.Limits {
	var o guard.Limits
	n := m.Get("max_on")
	if d, ok := n.Duration(time.Millisecond, 24*time.Hour); ok {
		if d > ceiling {
			n.Problem(short(d)+" is longer than the "+short(ceiling)+" that are built in", "a file can only lower it: give at most "+short(ceiling))
		}
		o.MaxOn = d
	}
	o.Rest, _ = m.Get("rest").Duration(0, time.Hour)
	if n := m.Get("duty"); n != nil {
		duty := n.Map()
		on, okOn := duty.Need("on", "write duty: {on: 60s, within: 5m}").Duration(time.Second, time.Hour)
		within, okWithin := duty.Need("within", "write duty: {on: 60s, within: 5m}").Duration(time.Second, 24*time.Hour)
		if okOn && okWithin && on >= within {
			n.Problem(short(on)+" within "+short(within)+" is no limit", "give on a shorter time than within, or leave duty out")
		}
		o.DutyOn, o.DutyWindow = on, within
	}
	o.Inrush, _ = m.Get("inrush").Token()
	if s, ok := m.Get("deadman").Choice(string(driver.DeadmanExternal), string(driver.DeadmanBoard), string(driver.DeadmanNone)); ok {
		o.Deadman = driver.Deadman(s)
		o.AcceptNoDeadman = o.Deadman == driver.DeadmanNone // the kind wants it signed
	}
	return o
}

func decodeForbidden(n *Node, kind Kind) [][2]driver.Part {
	pairs, _ := n.List(1, 32)
	var out [][2]driver.Part
	for _, pair := range pairs {
		list, ok := pair.List(2, 2)
		if !ok {
			continue
		}
		a, okA := list[0].Choice(parts(kind)...)
		b, okB := list[1].Choice(parts(kind)...)
		switch {
		case !okA || !okB:
		case a == b:
			pair.Problem(Quote(a)+" twice makes no pair", "name two different parts")
		default:
			out = append(out, [2]driver.Part{driver.Part(a), driver.Part(b)})
		}
	}
	return out
}

// parts names what the kind can switch.
func parts(kind Kind) []string {
	var out []string
	for _, p := range kind.Parts {
		out = append(out, string(p))
	}
	return out
}
