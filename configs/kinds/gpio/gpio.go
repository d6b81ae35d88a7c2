// Package gpio is a machine on the GPIO lines of a Raspberry Pi, as its file
// describes it.
package gpio

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver"
	"barista/driver/gpio"
	"barista/driver/guard"
	"barista/fleet"
	"barista/machine"
)

// Kind is relays and switches on GPIO lines.
var Kind = kinds.Kind{
	Name:  "gpio",
	Title: "relays and switches on the pins of a Raspberry Pi",
	Pins:  &pins,
	Kind:  configs.Kind{Parts: relay.Parts(), Decode: func(m *configs.Map) configs.Settings { return read(m) }},
}

// settings are the section of such a machine.
type settings struct{ gpio.Config }

var _ kinds.Warner = (*settings)(nil)

// Wiring is what gpio watch looks at.
func (s *settings) Wiring() gpio.Config { return s.Config }

// Open opens the lines, at rest.
func (s *settings) Open(log *slog.Logger) (driver.Rig, error) { return gpio.Open(s.Config, log) }

// Rest puts every line at rest.
func (s *settings) Rest() error { return gpio.SafeOff(s.Config) }

// Warnings are what the boot of a Raspberry Pi does to such lines.
func (s *settings) Warnings() []string { return gpio.Warnings(s.Config) }

const (
	lineFix   = "name its line: line: GPIO17"
	activeFix = "write active: low or active: high, as the board's manual has it; there is no default"
)

// A mechanical switch bounces for some ms; this is what one gets that says
// nothing about it.
const usualDebounce = 20 * time.Millisecond

func read(m *configs.Map) *settings {
	c := gpio.Config{Outputs: map[driver.Part]gpio.Output{}, Switches: map[driver.Signal]gpio.Switch{}}
	if n := m.Get("chip"); n != nil {
		labels, _ := n.Map().Need("label", "write chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}").List(1, 8)
		for _, l := range labels {
			if s, ok := l.Text(); ok {
				c.Chips = append(c.Chips, s)
			}
		}
	}
	c.Serial, _ = m.Get("serial").Token()
	if n := m.Need("outputs", "wire its relays: outputs: {grinder: {line: GPIO17, active: high}, …}"); n != nil {
		for _, o := range n.Map().All() {
			if part := driver.Part(o.Key()); guard.Ceiling(part) > 0 {
				c.Outputs[part] = readOutput(o.Map())
			}
		}
	}
	if n := m.Get("inputs"); n != nil {
		for _, in := range n.Map().All() {
			readInput(&c, in)
		}
	}
	return &settings{c}
}

func readOutput(m *configs.Map) gpio.Output {
	var o gpio.Output
	o.Line, o.Active = readLine(m)
	o.AcceptNoDeadman, _ = m.Get("accept_no_deadman").Text()
	if needs := m.Get("needs"); needs != nil {
		list, _ := needs.List(1, len(gpio.Switches()))
		for _, n := range list {
			if s, ok := n.Choice(relay.Words(gpio.Switches())...); ok {
				o.Needs = append(o.Needs, driver.Signal(s))
			}
		}
	}
	if n := m.Get("feedback"); n != nil {
		f := n.Map()
		o.Feedback = &gpio.Feedback{Switch: readSwitch(f, 0)}
		o.Feedback.Within, _ = f.Get("within").Duration(time.Millisecond, 150*time.Millisecond)
	}
	return o
}

func readLine(m *configs.Map) (gpio.Line, gpio.Active) {
	line := readLineName(m)
	active, _ := m.Need("active", activeFix).Choice(string(gpio.Low), string(gpio.High))
	return line, gpio.Active(active)
}

func readLineName(m *configs.Map) gpio.Line {
	n := m.Need("line", lineFix)
	if number, is := n.Number(); is {
		n.Problem("the number "+number+" does not say what it counts: the chip's lines or the pins of the header", "write for example GPIO17, P1_11 or pinctrl-rp1:17")
		return ""
	}
	line, _ := n.Text()
	return gpio.Line(line)
}

func readSwitch(m *configs.Map, debounce time.Duration) gpio.Switch {
	s := gpio.Switch{Debounce: debounce}
	s.Line, s.Active = readLine(m)
	s.Pull = readPull(m)
	if d, ok := m.Get("debounce").Duration(0, 500*time.Millisecond); ok {
		s.Debounce = d
	}
	return s
}

func readPull(m *configs.Map) gpio.Pull {
	p, _ := m.Get("pull").Choice(string(gpio.PullUp), string(gpio.PullDown), string(gpio.PullOff))
	return gpio.Pull(p)
}

func readInput(c *gpio.Config, n *configs.Node) {
	m := n.Map()
	switch s := driver.Signal(n.Key()); {
	case s == driver.Flow:
		f := &gpio.Flow{Pull: readPull(m)}
		f.Line = readLineName(m)
		f.PulsesPerML, _ = m.Need("pulses_per_ml", "write the data sheet's pulses per litre divided by 1000: pulses_per_ml: 1.9").Float(0.05, 100)
		edges, _ := m.Get("edges").Choice("one", "both")
		f.BothEdges = edges == "both"
		f.Debounce, _ = m.Get("debounce").Duration(0, 5*time.Millisecond)
		c.Flow = f
	case s == driver.Temperature:
		t := &gpio.Temperature{}
		t.SPI, _ = m.Get("spi").Text()
		t.OneWire, _ = m.Get("onewire").Text()
		c.Temperature = t
	case slices.Contains(gpio.Switches(), s):
		c.Switches[s] = readSwitch(m, usualDebounce)
	default:
		n.KeyProblem("a machine with driver: gpio has no such input", "it can have "+strings.Join(append(relay.Words(gpio.Switches()), string(driver.Flow), string(driver.Temperature)), ", "))
		m.Lenient()
	}
}

// Complete looks at what does not go together: in the wiring, and between the
// wiring and what the machine is to serve.
func (s *settings) Complete(c *configs.Machine, m *configs.Map) {
	for p, o := range s.Outputs {
		o.Deadman = c.Guard.Parts[p].Deadman
		s.Outputs[p] = o
	}
	m.Place(readable(s.Config, m).Problems())
	s.plan(c)
	has := func(p driver.Part) bool { _, there := s.Outputs[p]; return there }
	outputs := m.Get("outputs")
	for _, p := range []driver.Part{driver.Grinder, driver.Pump} {
		if !has(p) && !relay.Stranger(outputs) {
			outputs.KeyProblem("there is no "+string(p)+", so there is no coffee", "wire one")
		}
	}
	if milk := slices.IndexFunc(c.Serves.Milks, func(milk string) bool { return milk != fleet.NoMilk }); milk >= 0 && !has(driver.Milk) && !relay.Stranger(outputs) {
		outputs.KeyProblem("it serves milk "+c.Serves.Milks[milk]+" and has no part milk", "wire one, or write serves: milk: [free]")
	}
	cup := m.Get("cup")
	if _, sensor := s.Switches[driver.Cup]; !sensor && !strangeInput(m.Get("inputs")) && (c.Cup == machine.CupSensor || c.Cup == machine.CupDispenser) {
		cup.Problem("nothing sees a cup in this machine", "wire one: inputs: {cup: {line: GPIO6, active: low}}; or choose page or attended")
	}
	if c.Cup == machine.CupDispenser && !has(driver.Cups) && !relay.Stranger(outputs) {
		cup.Problem("nothing drops cups in this machine", "wire the part cups, or choose another cup")
	}
}

// plan completes the plan: the line and level that each part hangs on, what cuts
// it off, and the sensors.
func (s *settings) plan(c *configs.Machine) {
	c.Wires, c.Signals = map[driver.Part]machine.Wire{}, map[driver.Signal]bool{}
	for p, o := range s.Outputs {
		w := machine.Wire{On: string(o.Line) + " high", Off: string(o.Line) + " low"}
		if o.Active == gpio.Low {
			w.On, w.Off = w.Off, w.On
		}
		if o.Feedback != nil {
			w.Feedback = string(o.Feedback.Line)
		}
		c.Wires[p] = w
		l := c.Guard.Parts[p]
		l.Deadman = o.CutOff()
		c.Guard.Parts[p] = l
	}
	for signal := range s.Switches {
		c.Signals[signal] = true
	}
	if s.Flow != nil {
		c.Signals[driver.Flow] = true
	}
	if s.Temperature != nil {
		c.Signals[driver.Temperature] = true
	}
}

// readable is the wiring with something harmless in the place of everything that
// could not be read: that was said already, and the rest is still looked at.
func readable(s gpio.Config, m *configs.Map) gpio.Config {
	line := func(l *gpio.Line, who string) {
		if *l == "" {
			*l = gpio.Line("unread-" + who + ":0")
		}
	}
	active := func(a *gpio.Active) {
		if *a == "" {
			*a = gpio.High
		}
	}
	outputs, inputs := m.Get("outputs").Map(), m.Get("inputs")
	strange := strangeInput(inputs)
	s.Outputs, s.Switches = maps.Clone(s.Outputs), maps.Clone(s.Switches)
	for p, o := range s.Outputs {
		line(&o.Line, string(p))
		active(&o.Active)
		if n := outputs.Get(string(p)).Map(); !n.Get("deadman").Clean() || !n.Get("accept_no_deadman").Clean() {
			o.Deadman, o.AcceptNoDeadman = driver.DeadmanExternal, ""
		}
		if strange { // one of these may be meant
			o.Needs = nil
		}
		if o.Feedback != nil {
			f := *o.Feedback
			line(&f.Line, string(p)+"-feedback")
			active(&f.Active)
			o.Feedback = &f
		}
		s.Outputs[p] = o
	}
	for name, sw := range s.Switches {
		line(&sw.Line, string(name))
		active(&sw.Active)
		s.Switches[name] = sw
	}
	if s.Flow != nil {
		f := *s.Flow
		line(&f.Line, string(driver.Flow))
		if !inputs.Map().Get(string(driver.Flow)).Map().Get("pulses_per_ml").Clean() || f.PulsesPerML == 0 {
			f.PulsesPerML = 1
		}
		s.Flow = &f
	}
	if t := s.Temperature; t == nil && strange || t != nil && !inputs.Map().Get(string(driver.Temperature)).Clean() {
		s.Temperature = &gpio.Temperature{OneWire: "28-000000000000"}
	}
	return s
}

func strangeInput(inputs *configs.Node) bool {
	all := inputs.Map().All()
	if len(all) == 0 && !inputs.Clean() {
		return true
	}
	return slices.ContainsFunc(all, func(n *configs.Node) bool {
		s := driver.Signal(n.Key())
		return s != driver.Flow && s != driver.Temperature && !slices.Contains(gpio.Switches(), s)
	})
}
