package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/driver"
	"barista/fleet"
)

// Kind is what the loader must know of a kind of machine.
type Kind struct {
	// Simulated: no metal hangs on it, so it may share a process with anything.
	Simulated bool
	// Ceilings are the parts that the kind can switch, each with the longest
	// on-time that is compiled in; outputs can only lower it. Empty for an
	// appliance, which has no outputs of ours.
	Ceilings map[driver.Part]time.Duration
	// Decode asks the machine section for the keys that only this kind has,
	// outputs.<part> included, and returns its settings. Problems are reported
	// through the nodes. It opens nothing.
	Decode func(m *Map) any
	// Check, if there is one, sees the whole section after Decode, for what does
	// not go together. It is asked of a section with problems too, so that a
	// person hears of all of them at once: what is not Clean there must be taken
	// for good.
	Check func(c *Machine, m *Map)
}

// Machine is one machine and its wiring.
type Machine struct {
	Pos         Pos
	Name        string // a token, unique in the fleet
	Driver      string // name of its kind
	Serves      Serves
	Cup         string // "sensor", "dispenser", "page", "attended"
	MinWaiting  int    // above 0: a spare that works only while at least so many orders wait
	Calibration Calibration
	Outputs     map[driver.Part]Output
	Forbidden   [][2]driver.Part // never on together
	Settings    any              // what Kind.Decode returned
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

// Calibration is what a person measured; 0 where the file says nothing.
type Calibration struct {
	GrinderGPS  float64 // g of coffee per second of grinder
	PumpMLPS    float64 // ml of water per second of pump
	MilkMLPS    float64 // ml of milk per second
	SugarDosePS float64 // doses of sugar per second
}

// Output is what the guard keeps for one part; zero values mean the guard's
// own.
type Output struct {
	MaxOn      time.Duration
	Rest       time.Duration
	DutyOn     time.Duration // at most so long …
	DutyWithin time.Duration // … within this
	Inrush     string        // parts of one group are never switched on together
	Deadman    driver.Deadman
}

// Cups lists what may stand behind cup. There is no default: hot coffee and an
// empty or full cup place, so somebody has to say how the machine knows.
var Cups = []string{"sensor", "dispenser", "page", "attended"}

func decodeMachine(m *Map, kinds map[string]Kind) (*Machine, Kind, bool) {
	c := &Machine{Pos: m.Node().Pos()}
	c.Name, _ = m.Need("name", "give the machine a name of 1 to 32 of a-z, 0-9 and -: name: zoe").Token()
	names := slices.Sorted(maps.Keys(kinds))
	d := m.Need("driver", "say how it is wired: driver: "+orList(names))
	c.Driver, _ = d.Choice(names...)
	kind, known := kinds[c.Driver]

	serves := m.Need("serves", "say what it can make: serves: {beans: [arabica], milk: [free], sizes: [small, medium, large]}")
	if serves != nil {
		c.Serves = decodeServes(serves.Map())
	}
	c.Cup, _ = m.Need("cup", "say how it knows that a cup stands there: "+orList(Cups)).Choice(Cups...)
	if n := m.Get("spare"); n != nil {
		s := n.Map()
		c.MinWaiting, _ = s.Need("min_waiting", "say above how many waiting orders it helps: min_waiting: 4").Int(1, fleet.QueueMax)
	}
	if n := m.Get("calibration"); n != nil {
		c.Calibration = decodeCalibration(n.Map())
	}
	if !known {
		m.Lenient()
		return c, kind, false
	}
	if len(kind.Ceilings) > 0 {
		if n := m.Get("outputs"); n != nil {
			c.Outputs = decodeOutputs(n.Map(), c.Driver, kind)
		}
		c.Forbidden = decodeForbidden(m.Get("forbidden"), kind)
	}
	if kind.Decode != nil {
		c.Settings = kind.Decode(m)
	}
	if kind.Check != nil {
		kind.Check(c, m)
	}
	return c, kind, true
}

func decodeServes(m *Map) Serves {
	var s Serves
	beans := m.Need("beans", "write beans: [arabica]")
	milks := m.Need("milk", "write milk: [free], which is black coffee")
	sizes := m.Need("sizes", "write sizes: [small, medium, large]")
	s.Beans, _ = beans.Tokens(64)
	s.Milks, _ = milks.Tokens(64)
	list, _ := milks.List(0, 1<<20)
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
func decodeCalibration(m *Map) Calibration {
	var c Calibration
	c.GrinderGPS, _ = m.Get("grinder_gps").Float(0.1, 20)
	c.PumpMLPS, _ = m.Get("pump_mlps").Float(0.5, 100)
	c.MilkMLPS, _ = m.Get("milk_mlps").Float(0.5, 100)
	c.SugarDosePS, _ = m.Get("sugar_dose_ps").Float(0.1, 20)
	return c
}

func decodeOutputs(m *Map, name string, kind Kind) map[driver.Part]Output {
	out := map[driver.Part]Output{}
	for _, n := range m.All() {
		part := driver.Part(n.Key())
		ceiling, has := kind.Ceilings[part]
		if !has {
			words := parts(kind)
			fix := "it has " + strings.Join(words, ", ")
			if near := nearest(n.Key(), words); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			n.KeyProblem(fmt.Sprintf("a machine with driver: %s has no such part", name), fix)
			n.Map().Lenient()
			continue
		}
		out[part] = decodeOutput(n.Map(), ceiling)
	}
	return out
}

func decodeOutput(m *Map, ceiling time.Duration) Output {
	var o Output
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
		o.DutyOn, o.DutyWithin = on, within
	}
	o.Inrush, _ = m.Get("inrush").Token()
	if s, ok := m.Get("deadman").Choice(string(driver.DeadmanExternal), string(driver.DeadmanBoard), string(driver.DeadmanNone)); ok {
		o.Deadman = driver.Deadman(s)
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

// parts names what the kind can switch, in the order of driver.Parts.
func parts(kind Kind) []string {
	var out []string
	for _, p := range driver.Parts {
		if _, has := kind.Ceilings[p]; has {
			out = append(out, string(p))
		}
	}
	return out
}
