// Package modbus is a machine on a Modbus RTU relay board, as its file describes
// it.
package modbus

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

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
}

// Kind is a Modbus RTU relay board.
var Kind = kinds.Kind{
	Name:  "modbus",
	Title: "a Modbus RTU relay board on a serial port",
	Sight: &sight,
	Kind:  configs.Kind{Parts: relay.Parts(), Decode: func(m *configs.Map) configs.Settings { return read(m) }},
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

func read(m *configs.Map) *settings {
	s := &settings{}
	s.Port = relay.ReadPort(m)
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
	s.ReadRelays(m, modbus.MaxRelays, func(p driver.Part, n int) { s.Outputs[p] = modbus.Relay{Number: n} })
	s.Inputs = map[driver.Signal]modbus.Contact{}
	if n := m.Get("inputs"); n != nil {
		for _, in := range n.Map().All() {
			readContact(s, in)
		}
	}
	s.ReadHot(m)
	return s
}

func readContact(s *settings, n *configs.Node) {
	m := n.Map()
	signal := driver.Signal(n.Key())
	if !slices.Contains(modbus.Contacts, signal) {
		n.KeyProblem("a machine with driver: modbus has no such input", "it can have "+strings.Join(relay.Words(modbus.Contacts), ", "))
		m.Lenient()
		return
	}
	var c modbus.Contact
	c.Number, _ = m.Need("contact", "write the number that is printed on the board: contact: 1").Int(1, modbus.MaxRelays)
	active, _ := m.Need("active", "say when the answer is good: active: high for a closed contact, low for an open one").Choice("high", "low")
	c.Low = active == "low"
	s.Inputs[signal] = c
}

// Complete looks at what does not go together.
func (s *settings) Complete(c *configs.Machine, m *configs.Map) {
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
