// Package gpio is a machine on the GPIO lines of a Raspberry Pi, as its file
// describes it: the table of keys, the plan that comes of it (which line at which
// level is on, what cuts a part off), and the verbs that look at lines.
//
// It promises that a pin used twice, a missing dead man's switch, a blind heater or a
// level that nobody named is told with file and line before any line is requested.
// Lines are requested in Open and Rest alone, and belong to whoever got the rig. It
// must not guess a level, nor know of drinks and orders.
package gpio

import (
	"fmt"
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
	"barista/fleet"
	"barista/machine"
)

// Kind is relays and switches on GPIO lines.
var Kind = kinds.Kind{
	Name:     "gpio",
	Title:    "relays and switches on the pins of a Raspberry Pi",
	Sample:   "gpio-relays.yaml",
	Parts:    relay.Parts(),
	New:      newSettings,
	Pins:     &pins,
	Commands: []kinds.Command{look},
}

// settings are the section of such a machine.
type settings struct {
	gpio.Config
	outputs  map[driver.Part]*gpio.Output // what the form reads
	switches map[driver.Signal]*gpio.Switch
}

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

// newSettings are the settings with the table of their keys.
func newSettings() (configs.Settings, *kinds.Form) {
	s := &settings{outputs: map[driver.Part]*gpio.Output{}, switches: map[driver.Signal]*gpio.Switch{}}
	return s, &kinds.Form{
		Head:  "One real machine on the GPIO header of a Raspberry Pi.",
		Parts: relay.Parts(),
		Keys: []kinds.Key{
			{
				Name: "chip", Value: s.chipValue(), Found: kinds.AChip, Usual: strings.Join(gpio.PiChips(), " "), Help: "{label: […]}: labels of the GPIO chip; lines are looked up by name on it",
				Above: `  # Lines are looked up by name on the chip with one of these labels. A chip's
  # number is not taken: it changes with the kernel.
`,
				Ask: "label of the GPIO chip", More: "Lines are looked up by name on a chip with one of these labels; barista detect\nshows them. A chip's number changes with the kernel.",
			},
			{Name: "accept_lines", Value: s.acceptValue(), Help: "lines that are not on the header, each with who accepts it, and why"},
			{Name: "serial", Value: kinds.Name(&s.Serial), Help: "of the hardware; without one the computer's"},
		},
		Outputs: &kinds.Rows{
			Name: "outputs", Need: "wire its relays: outputs: {grinder: {line: GPIO17, active: high}, …}", Names: relay.Words(relay.Parts()), Keys: s.output,
			Above: `  # active is the level at which the relay is on: a wrong one turns rest into on.
  # barista check warns of pins that are pulled the wrong way at boot. max_on is
  # the longest time on; the built-in ones can only be lowered. rest is the pause
  # after it. Parts with the same inrush are never on together. deadman is what
  # cuts a part off when this computer is dead.
`,
		},
		Inputs: &kinds.Rows{
			Name: "inputs", Names: append(relay.Words(gpio.Switches()), string(driver.Flow), string(driver.Temperature)), Other: "input", Keys: s.input,
			Above: `  # Switches say yes when the line is active, and yes is always the good answer.
  # The chip's own resistor pulls the other way, so that a broken wire reads as no.
`,
			Example: "hot: {line: GPIO6, active: low}",
		},
	}
}

// acceptValue reads lines that somebody has signed for.
func (s *settings) acceptValue() kinds.Value {
	return kinds.Value{Type: "{GPIO42: who and why}"}.DecodedBy(func(n *configs.Node) {
		s.AcceptLines = map[gpio.Line]string{}
		for _, l := range n.Map().All() {
			s.AcceptLines[gpio.Line(l.Key())], _ = l.Text()
		}
	})
}

func (s *settings) chipValue() kinds.Value {
	v := kinds.Texts(&s.Chips, 8)
	labels := v.Text
	v = v.DecodedBy(func(n *configs.Node) {
		list, _ := n.Map().Need("label", "write chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}").List(1, 8)
		for _, l := range list {
			if text, ok := l.Text(); ok {
				s.Chips = append(s.Chips, text)
			}
		}
	})
	return v.WrittenAs(func() string { return "{label: " + labels() + "}" })
}

// line are the keys of a line; who is on it, for the question.
func line(to *gpio.Line, who string) kinds.Key {
	v := kinds.Text(to, "GPIO17, P1_11 or chip:offset", nil).DecodedBy(func(n *configs.Node) {
		if number, is := n.Number(); is {
			n.Problem("the number "+number+" does not say what it counts: the chip's lines or the pins of the header", "write for example GPIO17, P1_11 or pinctrl-rp1:17")
			return
		}
		text, _ := n.Text()
		*to = gpio.Line(text)
	})
	v.Check = func(answer string) error { return gpio.Line(answer).Check() }
	return kinds.Key{
		Name: "line", Value: v, Need: lineFix, Help: "its line, such as GPIO17",
		Ask:  "line of the " + who + ", such as GPIO17 or P1_11",
		More: "GPIO17 is the chip's numbering, P1_11 the place on the header, and\npinctrl-rp1:17 the chip's label with an offset. From power-up until the service\nruns the pin is pulled up (GPIO0 to 8) or down (9 to 27): take a relay that is\nactive high on the latter, one that is active low on GPIO4, 5 or 6.",
	}
}

func active(to *gpio.Active, ask, more string) kinds.Key {
	return kinds.Key{Name: "active", Value: kinds.Choice(to, gpio.Low, gpio.High), Need: activeFix, Help: "the level at which it is on, or says yes", Ask: ask, More: more}
}

func pull(to *gpio.Pull) kinds.Key {
	return kinds.Key{Name: "pull", Value: kinds.Choice(to, gpio.PullUp, gpio.PullDown, gpio.PullOff), Help: "the chip's resistor; without it against the level that says yes"}
}

// contact are the keys of a switch.
func contact(c *gpio.Switch, who, ask string) []kinds.Key {
	const more = `high or low: at which level of its line it says yes. Yes is always the good answer: hot, a
cup, water, beans, room in the tray, door closed, stop not pressed. A switch to
ground that closes for the good answer is low.`
	return []kinds.Key{
		line(&c.Line, who), active(&c.Active, ask, more), pull(&c.Pull),
		{Name: "debounce", Value: kinds.Time(&c.Debounce, 0, 500*time.Millisecond), Help: "how long it must be quiet"},
	}
}

// output are the keys of a part.
func (s *settings) output(name string) []kinds.Key {
	p := driver.Part(name)
	if s.outputs[p] == nil {
		s.outputs[p] = &gpio.Output{}
	}
	o := s.outputs[p]
	keys := append([]kinds.Key{
		line(&o.Line, name),
		active(&o.Active, fmt.Sprintf("level at which the %s is on", p), `Half of all relay boards are the other way round, so this has no usual answer. Look
the board up: most boards with optocouplers switch a relay on when the pin is
pulled to ground, which is low; MOSFET boards mostly with high. A wrong answer
turns rest into on.`),
	}, relay.Usual(p)...)
	danger := func() bool { return p == driver.Pump || p == driver.Heater }
	keys = append(keys, relay.CutOff(p, &o.AcceptNoDeadman, danger, driver.DeadmanExternal, driver.DeadmanBoard, driver.DeadmanNone)...)
	return append(keys, kinds.Key{
		Name: "needs", Help: "switches that must say yes while it is on", Value: kinds.Value{Type: "list of inputs"}.DecodedBy(func(n *configs.Node) {
			list, _ := n.List(1, len(gpio.Switches()))
			for _, x := range list {
				if word, ok := x.Choice(relay.Words(gpio.Switches())...); ok {
					o.Needs = append(o.Needs, driver.Signal(word))
				}
			}
		}),
	}, kinds.Key{
		Name: "feedback", Help: "{line, active, within}: the contact that shows what the relay does", Value: kinds.Value{Type: "map"}.DecodedBy(func(n *configs.Node) {
			o.Feedback = &gpio.Feedback{}
			kinds.Read(n.Map(), append(contact(&o.Feedback.Switch, "", ""), kinds.Key{Name: "within", Value: kinds.Time(&o.Feedback.Within, time.Millisecond, 150*time.Millisecond)}))
		}),
	})
}

// input are the keys of a signal.
func (s *settings) input(name string) []kinds.Key {
	signal := driver.Signal(name)
	switch signal {
	case driver.Flow:
		if s.Flow == nil {
			s.Flow = &gpio.Flow{}
		}
		f := s.Flow
		return []kinds.Key{
			line(&f.Line, "flow meter"),
			{
				Name: "pulses_per_ml", Value: kinds.Number(&f.PulsesPerML, 0.05, 100), Need: "write the data sheet's pulses per litre divided by 1000: pulses_per_ml: 1.9",
				Help: "the data sheet's pulses per litre divided by 1000", Ask: "pulses of the flow meter per ml, such as 1.9",
				More: "The data sheet's pulses per litre divided by 1000. This measures the pour, so it\nhas no usual answer.",
			},
			pull(&f.Pull),
			{Name: "edges", Value: kinds.Flag(&f.BothEdges, "one", "both").Unwritten(), Help: "which edges are a pulse"},
			{Name: "debounce", Value: kinds.Time(&f.Debounce, 0, 5*time.Millisecond), Help: "how long it must be quiet"},
		}
	case driver.Temperature:
		if s.Temperature == nil {
			s.Temperature = &gpio.Temperature{}
		}
		t := s.Temperature
		return []kinds.Key{
			{
				Name: "sensor", Answer: true, Value: kinds.Value{}.SetBy(func(answer string) {
					if t.SPI = answer; strings.HasPrefix(answer, "28-") {
						t.SPI, t.OneWire = "", answer
					}
				}),
				Ask: "the thermometer: SPI0.0 for a MAX31855, or the id of a DS18B20 (28-…)", More: "Ids stand in /sys/bus/w1/devices. The check at the end looks at it.",
			},
			{Name: "onewire", Tells: true, Value: kinds.Text(&t.OneWire, "28-…", nil), Help: "id of a DS18B20"},
			{Name: "spi", Tells: true, Value: kinds.Text(&t.SPI, "SPI0.0", nil), Help: "bus of a MAX31855"},
		}
	}
	if s.switches[signal] == nil {
		s.switches[signal] = &gpio.Switch{Debounce: usualDebounce}
	}
	return contact(s.switches[signal], name, fmt.Sprintf("level at which %s says yes", signal))
}

// Complete looks at what does not go together: in the wiring, and between the
// wiring and what the machine is to serve.
func (s *settings) Complete(c *configs.Machine, m *configs.Map) {
	s.Outputs, s.Switches = map[driver.Part]gpio.Output{}, map[driver.Signal]gpio.Switch{}
	for p, o := range s.outputs {
		s.Outputs[p] = *o
	}
	for signal, sw := range s.switches {
		s.Switches[signal] = *sw
	}
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
