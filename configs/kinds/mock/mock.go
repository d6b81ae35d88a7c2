// Package mock is a simulated machine, as its file describes it: the table of keys, the
// plan that comes of it, and the machines of the demo, which no file describes.
//
// It promises that the plan is the whole machine where the metal is in this process.
// Where it is a plant in a process of its own, only the opened rig can say what that
// is: then the plan is completed once, in Opened, and until then nobody refuses a
// drink by it. It must not make anything here look safer than a real board is.
package mock

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
	"barista/driver/plant"
	"barista/machine"
	"barista/machine/recipe"
)

// Kind is a simulated machine.
var Kind = kinds.Kind{
	Name:      "mock",
	Title:     "nothing: a simulated machine, to try things out",
	Sample:    "machine-mock.yaml",
	Simulated: true,
	Parts:     every(),
	New:       newSettings,
}

// Settings are the section of a simulated machine.
type Settings struct {
	mock.Config
	rates recipe.Calibration // of the file
	ctl   *mock.Control
}

// Settled is what the section makes of the settings: a plant in a process of its own
// has its own figures, and a key here would be obeyed by nobody.
func (s *Settings) Settled(m *configs.Map) configs.Settings {
	if s.Plant == "" {
		return s
	}
	for _, key := range []string{"speed", "fail_rate", "cups", "heater", "seed", "serial"} {
		m.Get(key).KeyProblem("belongs to the plant process at "+configs.Quote(s.Plant), "give it to barista sim plant, and remove it here")
	}
	s.Config = mock.Config{Plant: s.Plant}
	return remote{s}
}

// remote are the settings where the plant is a process of its own.
type remote struct{ *Settings }

var _ configs.Elsewhere = remote{}

// Open opens the machine, at rest.
func (s *Settings) Open(*slog.Logger) (driver.Rig, error) {
	rig, ctl, err := mock.Open(s.Config)
	s.ctl = ctl
	return rig, err
}

// Control is the other side of the machine once it was opened, for tests.
func (s *Settings) Control() *mock.Control { return s.ctl }

// Rest puts a plant in a process of its own at rest. One in memory ended with its
// process.
func (s *Settings) Rest() error { return mock.SafeOff(s.Config) }

// Opened asks the plant what it is.
func (s remote) Opened(plan machine.Plan, rig driver.Rig) (machine.Plan, error) {
	figures, err := s.ctl.Handle().Config()
	if err != nil {
		return plan, err
	}
	plan.Calibration = pace(s.rates, figures)
	return plan.Of(rig), nil
}

// pace is how fast a plant is, in its own time: by its figures, and by the file's
// rates where there are any.
func pace(rates recipe.Calibration, f plant.Config) recipe.Calibration {
	c := rates.Over(recipe.Calibration{GrinderGPS: f.GrinderGPS, PumpMLPS: f.FlowMLPS, MilkMLPS: f.MilkMLPS, SugarDosePS: f.SugarDosePS, Speed: 1})
	if f.Speed > 0 {
		c = c.Scale(f.Speed)
	}
	return c
}

// every part that a simulated machine can have, in the usual order.
func every() []driver.Part {
	f := plant.Default()
	f.Heater, f.Cups = true, plant.Dispenser
	return ordered(f)
}

func ordered(f plant.Config) []driver.Part {
	has := f.Parts()
	return slices.DeleteFunc(slices.Clone(driver.Parts), func(p driver.Part) bool { return !slices.Contains(has, p) })
}

// newSettings are the settings with the table of their keys.
func newSettings() (configs.Settings, *kinds.Form) {
	s := &Settings{}
	c := &s.Config
	return s, &kinds.Form{
		Head: "One simulated machine.",
		Cup: func(cup machine.Cup) {
			if c.Cups = "auto"; cup == machine.CupDispenser {
				c.Cups = "dispenser"
			}
		},
		Keys: []kinds.Key{
			{Name: "plant", Value: kinds.Text(&c.Plant, "socket", nil), Help: "socket of barista sim plant, which then has the keys below"},
			{
				Name: "cups", Tells: true, Value: kinds.Choice(&c.Cups, "hand", "auto", "dispenser"), Help: "auto: a simulated customer; hand: somebody places cups",
				Above: "  # Keys of the simulated machine alone.\n",
			},
			{Name: "speed", Value: kinds.Number(&c.Speed, 0.01, 10_000), Write: "1", Help: "of time in it: 10 goes ten times as fast"},
			{Name: "fail_rate", Value: kinds.Number(&c.FailRate, 0, 1), Write: "0", Help: "share of drinks that go wrong, 0 to 1"},
			{Name: "heater", Value: kinds.Switch(&c.Heater), Help: "the heater is a part of its own"},
			{Name: "seed", Value: kinds.Whole(&c.Seed, 0, 1<<31-1), Help: "of the failures"},
			{Name: "serial", Value: kinds.Name(&c.Serial), Help: "of the hardware"},
		},
		Outputs: &kinds.Rows{
			Name: "outputs",
			Keys: func(name string) []kinds.Key { return relay.Usual(driver.Part(name)) },
			Above: `  # max_on is the longest time on; the built-in ones can only be lowered. rest is
  # the pause after it: without one, 30 g are too much for one turn.
`,
			Always: []string{string(driver.Grinder)},
		},
	}
}

// Complete looks at what does not go together, and says what the machine is: all
// of it in memory, so that nothing is left to be found out. Of a plant in a process
// of its own it says what is usual.
func (s *Settings) Complete(c *configs.Machine, m *configs.Map) {
	if s.Plant == "" && s.Serial == "" {
		s.Serial = "mock-" + c.Name
	}
	figures := s.Metal()
	has := ordered(figures)
	outputs := m.Get("outputs").Map()
	deadman := map[driver.Deadman]bool{}
	for _, p := range driver.Parts {
		o, named := c.Guard.Parts[p]
		if !named {
			continue
		}
		if s.Plant == "" && !slices.Contains(has, p) {
			outputs.Get(string(p)).KeyProblem("this machine has no "+string(p), map[driver.Part]string{
				driver.Heater: "give it heater: on, or remove this",
				driver.Cups:   "give it cups: dispenser, or remove this",
			}[p])
		}
		if o.Deadman != "" {
			deadman[o.Deadman] = true
		}
	}
	switch {
	case len(deadman) > 1:
		m.Get("outputs").KeyProblem("a simulated machine has one kind of dead man's switch for all outputs", "write the same deadman everywhere, or at one output only")
	case len(deadman) == 1:
		for d := range deadman {
			s.Deadman = d
		}
	}
	if c.Cup == machine.CupDispenser && s.Plant == "" && s.Cups != "dispenser" {
		m.Get("cup").Problem("nothing drops cups in this machine", "give it cups: dispenser, or another cup")
	}
	s.rates = c.Rates
	c.Calibration = pace(c.Rates, figures)
	c.Wires, c.Signals = map[driver.Part]machine.Wire{}, map[driver.Signal]bool{}
	for _, p := range has {
		c.Wires[p] = machine.Wire{On: "simulated " + string(p), Off: "simulated " + string(p)} // arithmetic has no wires
		l := c.Guard.Parts[p]
		l.Deadman = s.CutOff()
		c.Guard.Parts[p] = l
	}
	for _, signal := range driver.Signals {
		if !slices.Contains(s.Without, signal) {
			c.Signals[signal] = true
		}
	}
	if err := s.Check(); err != nil {
		m.Node().Problem(strings.ReplaceAll(err.Error(), "\n", "; "), "change these keys of the mock")
	}
}

// Machine is a simulated machine that no file describes: the demo's, and those of
// tests.
func Machine(name string, cup machine.Cup, serves configs.Serves, grinder guard.Limits, cfg mock.Config) *configs.Machine {
	c := &configs.Machine{Driver: Kind.Name, Simulated: true, Serves: serves, Settings: &Settings{Config: cfg}}
	c.Name, c.Cup = name, cup
	c.Guard.Parts = map[driver.Part]guard.Limits{driver.Grinder: grinder}
	c.Complete(nil)
	return c
}

// Demo is a machine of the demo, at so many times the pace of real metal.
func Demo(name string, cup machine.Cup, serves configs.Serves, speed, fail float64, cups string, seed uint64) *configs.Machine {
	grinder := guard.Limits{MaxOn: 20 * time.Second, Rest: time.Duration(10 / speed * float64(time.Second))}
	return Machine(name, cup, serves, grinder, mock.Config{Speed: speed, FailRate: fail, Cups: cups, Seed: seed})
}
