// Package modbus is a machine on a Modbus RTU relay board, as its file describes it:
// the table of keys, the plan that comes of it, the question by which detect knows
// such a board, its simulator and its recording.
//
// It promises that a relay or contact used twice, a timer that nothing proves, a pump
// that nothing cuts off and water that nothing calls hot are told with file and line
// before the port is opened. The port is opened in Open and Rest alone, and belongs to
// whoever got the rig. It must not repeat what the driver judges: it asks its Problems.
package modbus

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/serial"
)

// settings are the section of a Modbus board.
type settings struct {
	modbus.Config
	relay.Settings
	relays   map[driver.Part]*modbus.Relay // what the form reads
	contacts map[driver.Signal]*modbus.Contact
}

// Kind is a Modbus RTU relay board.
var Kind = kinds.Kind{
	Name:     "modbus",
	Title:    "a Modbus RTU relay board on a serial port",
	Sample:   "modbus-relays.yaml",
	Parts:    relay.Parts(),
	New:      newSettings,
	Sight:    &sight,
	Commands: []kinds.Command{sim},
	Record:   &record,
}

// Open opens the board, at rest.
func (s *settings) Open(log *slog.Logger) (driver.Rig, error) {
	c := s.Config
	c.Port.Log = log
	rig, err := modbus.Open(c)
	if err != nil {
		return driver.Rig{}, err
	}
	return s.Hot(rig), nil
}

// Rest opens every relay that the file names.
func (s *settings) Rest() error { return modbus.SafeOff(s.Config) }

// newSettings are the settings with the table of their keys.
func newSettings() (configs.Settings, *kinds.Form) {
	s := &settings{relays: map[driver.Part]*modbus.Relay{}, contacts: map[driver.Signal]*modbus.Contact{}}
	c := &s.Config
	flash := func() bool { return c.Timer == modbus.TimerFlash }
	noHot := func() bool { return s.contacts[driver.Hot] == nil }
	return s, &kinds.Form{
		Head:  "One machine on a Modbus RTU relay board.",
		Parts: relay.Offered(),
		Keys: []kinds.Key{
			relay.Port(&c.Port.Device),
			{
				Name: "baud", Value: kinds.OneOf(&c.Port.Baud, modbus.Bauds, "baud", fmt.Sprintf("set board and file to one of %v", modbus.Bauds)), Usual: "9600",
				Help: "as on the board", Ask: "its speed in baud", More: fmt.Sprintf("One of %v, as on the board.", modbus.Bauds),
			},
			{
				Name: "parity", Value: kinds.Choice(&c.Port.Parity, serial.None, serial.Even, serial.Odd), Usual: string(serial.None),
				Help: "none, even or odd", Ask: "its parity",
			},
			{Name: "stop_bits", Value: kinds.Whole(&c.Port.StopBits, 1, 2), Help: "as on the board"},
			{Name: "address", Value: kinds.Whole(&c.Address, 1, 247), Usual: "1", Help: "of the board on its line", Ask: "its address on the line"},
			{
				Name: "relays", Value: kinds.Whole(&c.Relays, 1, modbus.MaxRelays), Need: "say how many relays the board has: relays: 8",
				Help: "how many the board has", Ask: "how many relays the board has", More: "Count them: some boards answer for more than they have.",
			},
			{
				Name: "first", Value: kinds.Whole(&c.First, 0, 1), Usual: "0", Help: "number of the first one on the wire",
				Ask: "number of its first relay on the wire: 0, or 1 on some boards", More: "A wrong one moves the neighbour. barista detect sees boards that refuse 0.",
			},
			{
				Name: "timer", Value: kinds.Choice(&c.Timer, modbus.TimerFlash, modbus.TimerAssumed, modbus.TimerNone),
				Need: "say whether the board opens a relay by itself after a time: timer: flash-on with a spare relay to prove it, assumed, or none",
				Help: "whether the board opens a relay by itself after a time",
				Above: `
  # Does the board open a relay by itself after a time (flash-on)? That is the dead
  # man's switch of every part on it. The spare relay, with nothing on it, is closed
  # for half a second at each start to prove it. assumed: on your word. none: it
  # does not, and the pump needs deadman.
`,
				Ask: "does the board open a relay by itself after a time",
				More: `  flash-on  it does, and one relay with nothing on it is closed for half a second
            at each start to prove it
  assumed   it does, on your word; no relay is free to prove it
  none      it does not (firmware before September 2021): the pump then needs a
            dead man's switch in the wiring`,
			},
			{
				Name: "spare_relay", Value: kinds.Whole(&c.Spare, 1, modbus.MaxRelays), When: flash, Help: "a relay with nothing on it, to prove the timer",
				Ask: "number of a relay with nothing on it, for that proof",
			},
			s.HotKey(noHot),
		},
		Outputs: s.Wired(s.relays, modbus.MaxRelays, func() bool { return c.Timer != modbus.TimerNone }, &c.Spare, relay.Limits),
		Inputs: &kinds.Rows{
			Name: "inputs", Names: relay.Words(modbus.Contacts), Other: "input", Keys: s.contact,
			Above: `  # contact is the number printed on the board; active: high if a closed contact is
  # the good answer, low if an open one is.
`,
			Example: "tank: {contact: 2, active: high}",
		},
	}
}

func (s *settings) contact(name string) []kinds.Key {
	signal := driver.Signal(name)
	if s.contacts[signal] == nil {
		s.contacts[signal] = &modbus.Contact{}
	}
	c := s.contacts[signal]
	return []kinds.Key{
		{
			Name: "contact", Value: kinds.Whole(&c.Number, 1, modbus.MaxRelays), Need: "write the number that is printed on the board: contact: 1",
			Help: "number of the contact, as printed on the board", Ask: fmt.Sprintf("number of the contact of %s, as printed on the board", signal),
		},
		{
			Name: "active", Value: kinds.Flag(&c.Low, "high", "low"), Need: "say when the answer is good: active: high for a closed contact, low for an open one",
			Help: "is a closed contact the good answer (high) or an open one (low)",
			Ask:  fmt.Sprintf("is a closed contact the good answer of %s (high) or an open one (low)", signal),
			More: "Good is: hot, a cup, water, beans, room in the tray, door closed, stop not pressed.\nClosed is better: a broken wire then reads as no.",
		},
	}
}

// Complete looks at what does not go together.
func (s *settings) Complete(c *configs.Machine, m *configs.Map) {
	s.Outputs = s.Read(s.relays)
	s.Inputs = map[driver.Signal]modbus.Contact{}
	for signal, contact := range s.contacts {
		s.Inputs[signal] = *contact
	}
	outputs := m.Get("outputs").Map()
	for p, r := range s.Outputs {
		r.Deadman = c.Guard.Parts[p].Deadman
		s.Outputs[p] = r
	}
	m.Place(s.readable(m).Problems())
	timer := s.Timer == modbus.TimerFlash || s.Timer == modbus.TimerAssumed || s.Timer == ""
	for p := range s.Outputs {
		s.CheckDeadman(p, c.Guard.Parts[p].Deadman, timer, outputs.Get(string(p)))
	}
	_, hot := s.Inputs[driver.Hot]
	strange := stranger(m.Get("inputs")) // it may be the one that is meant
	s.CheckHot(hot || strange && !s.AssumedHot, m, "wire its thermostat: inputs: {hot: {contact: 1, active: high}}; or")
	_, cup := s.Inputs[driver.Cup]
	relay.CheckServes(c, m, cup || strange, "wire one: inputs: {cup: {contact: 2, active: high}}; or choose page or attended")
	s.Plan(c, s.Outputs, timer, slices.Collect(maps.Keys(s.Inputs))...)
}

// readable is the wiring with something harmless in the place of everything that
// could not be read: that was said already, and the rest is still looked at.
func (s *settings) readable(m *configs.Map) modbus.Config {
	c := s.Config
	c.Port = relay.ReadablePort(c.Port, m)
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

func stranger(inputs *configs.Node) bool {
	all := inputs.Map().All()
	if len(all) == 0 && !inputs.Clean() {
		return true
	}
	return slices.ContainsFunc(all, func(n *configs.Node) bool { return !slices.Contains(modbus.Contacts, driver.Signal(n.Key())) })
}
