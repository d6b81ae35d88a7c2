package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/configs"
	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/serial"
	"barista/fleet"
	"barista/machine/recipe"
)

// relaySettings is what the file says of a board of relays beyond its wiring.
type relaySettings struct {
	accepted   map[driver.Part]string // accept_no_deadman: who, and why
	assumedHot bool                   // nothing reads the boiler; the file says that it keeps itself hot
}

// modbusSettings is the section of a Modbus board.
type modbusSettings struct {
	modbus.Config
	relaySettings
}

// modbusKind reads the section of a machine on a Modbus RTU relay board.
func modbusKind() configs.Kind {
	return configs.Kind{
		Ceilings: ceilings,
		Decode:   func(m *configs.Map) any { return readModbus(m) },
		Check:    checkModbus,
	}
}

// openModbus opens the board, at rest.
func openModbus(m *configs.Machine, log *slog.Logger) (opened, error) {
	s, _ := m.Settings.(modbusSettings)
	s.Port.Log = log
	rig, err := modbus.Open(s.Config)
	if err != nil {
		return opened{}, err
	}
	return s.opened(rig, m), nil
}

// restModbus opens every relay that the file names.
func restModbus(m *configs.Machine) error {
	s, _ := m.Settings.(modbusSettings)
	return modbus.SafeOff(s.Config)
}

func (s relaySettings) opened(rig driver.Rig, m *configs.Machine) opened {
	if s.assumedHot {
		rig.Sensors[driver.Hot] = ownersWord{}
	}
	return opened{rig: rig, calibration: calibration(m, recipe.DefaultCalibration())}
}

// ownersWord stands for the boiler's sensor where the file says hot: assumed.
// It measures nothing: like cup: attended it is what a person answers for.
type ownersWord struct{}

func (ownersWord) Read() (driver.Reading, error) {
	return driver.Reading{Value: 1, At: time.Now()}, nil
}

const portFix = "see ls -l /dev/serial/by-id, then write port: /dev/serial/by-id/…"

// readPort reads the name of the serial port.
func readPort(m *configs.Map) serial.Config {
	var c serial.Config
	n := m.Need("port", portFix)
	device, ok := n.Text()
	if !ok {
		return c
	}
	for _, p := range serial.CheckName(device) {
		n.Problem(p.Reason, p.Fix)
	}
	c.Device = device
	return c
}

// readRelays hands over outputs.<part> with its relay's number.
func (s *relaySettings) readRelays(m *configs.Map, most int, relay func(p driver.Part, number int)) {
	s.accepted = map[driver.Part]string{}
	n := m.Need("outputs", "wire its relays: outputs: {grinder: {relay: 1}, pump: {relay: 2}}")
	if n == nil {
		return
	}
	for _, o := range n.Map().All() {
		p := driver.Part(o.Key())
		if ceilings[p] == 0 {
			continue // reported with the other unknown parts
		}
		number, _ := o.Map().Need("relay", "write the number that is printed on the board: relay: 1").Int(1, most)
		if who, ok := o.Map().Get("accept_no_deadman").Text(); ok {
			s.accepted[p] = who
		}
		relay(p, number)
	}
}

func (s *relaySettings) readHot(m *configs.Map) {
	word, _ := m.Get("hot").Choice("assumed")
	s.assumedHot = word == "assumed"
}

func readModbus(m *configs.Map) modbusSettings {
	var s modbusSettings
	s.Port = readPort(m)
	if n := m.Get("baud"); n != nil {
		baud, ok := n.Int(1, 10_000_000)
		if s.Port.Baud = baud; ok && !slices.Contains(modbus.Bauds, baud) {
			n.Problem(fmt.Sprintf("%d baud is not possible here", baud), fmt.Sprintf("set board and file to one of %v", modbus.Bauds))
		}
	}
	parity, _ := m.Get("parity").Choice(string(serial.None), string(serial.Even), string(serial.Odd))
	s.Port.Parity = serial.Parity(parity)
	s.Port.StopBits, _ = m.Get("stop_bits").Int(1, 2)
	s.Address, _ = m.Get("address").Int(1, 247)
	s.Relays, _ = m.Need("relays", "say how many relays the board has: relays: 8").Int(1, modbus.MaxRelays)
	s.First, _ = m.Get("first").Int(0, 1)
	timer, _ := m.Need("timer", "say whether the board opens a relay by itself after a time: timer: flash-on with a spare relay to prove it, assumed, or none").
		Choice(string(modbus.TimerFlash), string(modbus.TimerAssumed), string(modbus.TimerNone))
	s.Timer = modbus.Timer(timer)
	s.Spare, _ = m.Get("spare_relay").Int(1, modbus.MaxRelays)
	s.Outputs = map[driver.Part]modbus.Relay{}
	s.readRelays(m, modbus.MaxRelays, func(p driver.Part, n int) { s.Outputs[p] = modbus.Relay{Number: n} })
	s.Inputs = map[driver.Signal]modbus.Contact{}
	if n := m.Get("inputs"); n != nil {
		for _, in := range n.Map().All() {
			readContact(&s, in)
		}
	}
	s.readHot(m)
	return s
}

func readContact(s *modbusSettings, n *configs.Node) {
	m := n.Map()
	signal := driver.Signal(n.Key())
	if !slices.Contains(modbus.Contacts, signal) {
		n.KeyProblem("a machine with driver: modbus has no such input", "it can have "+strings.Join(inputWords(modbus.Contacts), ", "))
		m.Lenient()
		return
	}
	var c modbus.Contact
	c.Number, _ = m.Need("contact", "write the number that is printed on the board: contact: 1").Int(1, modbus.MaxRelays)
	active, _ := m.Need("active", "say when the answer is good: active: high for a closed contact, low for an open one").Choice("high", "low")
	c.Low = active == "low"
	s.Inputs[signal] = c
}

func checkModbus(c *configs.Machine, m *configs.Map) {
	s := c.Settings.(modbusSettings)
	outputs := m.Get("outputs").Map()
	for p, r := range s.Outputs {
		r.Deadman = c.Outputs[p].Deadman
		s.Outputs[p] = r
	}
	c.Settings = s
	problems(s.readable(m).Problems(), m)
	timer := s.Timer == modbus.TimerFlash || s.Timer == modbus.TimerAssumed || s.Timer == ""
	for p := range s.Outputs {
		s.checkDeadman(p, c.Outputs[p].Deadman, timer, outputs.Get(string(p)))
	}
	_, hot := s.Inputs[driver.Hot]
	strange := modbusStranger(m.Get("inputs")) // it may be the one that is meant
	s.checkHot(hot || strange && !s.assumedHot, m, "wire its thermostat: inputs: {hot: {contact: 1, active: high}}; or")
	_, cup := s.Inputs[driver.Cup]
	checkServes(c, m, cup || strange, "wire one: inputs: {cup: {contact: 2, active: high}}; or choose page or attended")
}

// readable is the wiring with something harmless in the place of everything that
// could not be read: that was said already, and the rest is still looked at.
func (s modbusSettings) readable(m *configs.Map) modbus.Config {
	c := s.Config
	c.Port = readablePort(c.Port, m)
	if c.Relays == 0 {
		c.Relays = modbus.MaxRelays
	}
	switch {
	case c.Timer == "":
		c.Spare = 0
	case !m.Get("spare_relay").Clean():
		c.Timer, c.Spare = modbus.TimerAssumed, 0
	}
	c.Outputs, c.Inputs = maps.Clone(c.Outputs), maps.Clone(c.Inputs)
	outputs := m.Get("outputs").Map()
	maps.DeleteFunc(c.Outputs, func(p driver.Part, r modbus.Relay) bool {
		return !outputs.Get(string(p)).Map().Get("relay").Clean() || r.Number == 0
	})
	maps.DeleteFunc(c.Inputs, func(_ driver.Signal, in modbus.Contact) bool { return in.Number == 0 })
	if len(c.Outputs) == 0 {
		c.Outputs = map[driver.Part]modbus.Relay{driver.Sugar: {Number: 1}}
		if c.Spare == 1 {
			c.Outputs = map[driver.Part]modbus.Relay{driver.Sugar: {Number: 2}}
		}
	}
	return c
}

// readablePort is the port without what was said of it already.
func readablePort(c serial.Config, m *configs.Map) serial.Config {
	if !m.Get("port").Clean() || c.Device == "" {
		c.Device = "/dev/serial/by-id/unread"
	}
	if !m.Get("baud").Clean() {
		c.Baud = 0
	}
	return c
}

func modbusStranger(inputs *configs.Node) bool {
	all := inputs.Map().All()
	if len(all) == 0 && !inputs.Clean() {
		return true
	}
	return slices.ContainsFunc(all, func(n *configs.Node) bool { return !slices.Contains(modbus.Contacts, driver.Signal(n.Key())) })
}

// problems reports what a driver says of its settings, each at the place that it
// is about, or what holds that if it is not written.
func problems(list []driver.Problem, m *configs.Map) {
	for _, p := range list {
		at := m.Node()
		for _, key := range []string{p.Section, p.Key} {
			if key == "" {
				continue
			}
			n := at.Map().Get(key)
			if n == nil {
				break
			}
			at = n
		}
		at.KeyProblem(p.Reason, p.Fix)
	}
}

// checkDeadman wants a pump and a heater to be cut off when this computer is
// dead, or a signature that they are not.
func (s relaySettings) checkDeadman(p driver.Part, d driver.Deadman, timer bool, n *configs.Node) {
	signed := s.accepted[p] != "" && n.Map().Get("deadman").Clean()
	sign := fmt.Sprintf("wire a watchdog relay and write deadman: external, or accept it in writing: deadman: none, accept_no_deadman: %q", "who accepts it, and why")
	switch {
	case signed && d != driver.DeadmanNone:
		n.KeyProblem("accept_no_deadman signs for what is not said", "write deadman: none beside it, or remove it")
	case p != driver.Pump && p != driver.Heater || timer || !n.Map().Get("deadman").Clean() || !n.Map().Get("accept_no_deadman").Clean():
	case d == "":
		n.KeyProblem(fmt.Sprintf("nothing says what switches the %s off when this computer is dead", p), sign)
	case d == driver.DeadmanNone && !signed:
		n.KeyProblem(fmt.Sprintf("nothing switches the %s off when this computer is dead, and nobody signed for that", p), sign)
	}
}

// checkHot wants to know how it is known that the water is hot: recipes ask.
func (s relaySettings) checkHot(sensor bool, m *configs.Map, fix string) {
	switch {
	case sensor && s.assumedHot:
		m.Get("hot").KeyProblem("there is a sensor for it", "remove this")
	case !sensor && !s.assumedHot && m.Get("hot").Clean():
		m.Node().KeyProblem("nothing says whether the water is hot", fix+" write hot: assumed, if its own thermostat keeps it so and a person answers for that")
	}
}

// checkServes looks at what the machine is to serve and has no part for.
func checkServes(c *configs.Machine, m *configs.Map, seesCup bool, cupFix string) {
	has := func(p driver.Part) bool {
		n := m.Get("outputs")
		return n != nil && n.Map().Get(string(p)) != nil
	}
	strange := stranger(m.Get("outputs"))
	for _, p := range []driver.Part{driver.Grinder, driver.Pump} {
		if !has(p) && !strange {
			m.Get("outputs").KeyProblem("there is no "+string(p)+", so there is no coffee", "wire one")
		}
	}
	if has(driver.Heater) {
		m.Get("outputs").Map().Get(string(driver.Heater)).KeyProblem("a heater needs a thermometer, and this board can't read one", "let the boiler's own thermostat switch it, and remove this")
	}
	if milk := slices.IndexFunc(c.Serves.Milks, func(milk string) bool { return milk != fleet.NoMilk }); milk >= 0 && !has(driver.Milk) && !strange {
		m.Get("outputs").KeyProblem("it serves milk "+c.Serves.Milks[milk]+" and has no part milk", "wire one, or write serves: milk: [free]")
	}
	if !seesCup && (c.Cup == "sensor" || c.Cup == "dispenser") {
		m.Get("cup").Problem("nothing sees a cup in this machine", cupFix)
	}
	if c.Cup == "dispenser" && !has(driver.Cups) && !strange {
		m.Get("cup").Problem("nothing drops cups in this machine", "wire the part cups, or choose another cup")
	}
}
