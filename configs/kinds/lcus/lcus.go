// Package lcus is a machine on an LCUS USB relay board, as its file describes it.
package lcus

import (
	"log/slog"
	"maps"

	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver"
	"barista/driver/lcus"
)

// settings are the section of an LCUS board.
type settings struct {
	lcus.Config
	relay.Settings
}

// Kind is an LCUS board.
var Kind = kinds.Kind{
	Name:  "lcus",
	Title: "a cheap USB relay board with a CH340",
	Sight: &sight,
	Kind:  configs.Kind{Parts: relay.Parts(), Decode: func(m *configs.Map) configs.Settings { return read(m) }},
}

// Open opens the board and switches its relays off.
func (s *settings) Open(log *slog.Logger) (driver.Rig, error) {
	c := s.Config
	c.Port.Log = log
	rig, err := lcus.Open(c)
	if err != nil {
		return driver.Rig{}, err
	}
	return s.Hot(rig), nil
}

// Rest sends every relay that the file names its off, twice.
func (s *settings) Rest() error { return lcus.SafeOff(s.Config) }

func read(m *configs.Map) *settings {
	s := &settings{}
	s.Port = relay.ReadPort(m)
	s.Relays, _ = m.Need("relays", "say how many relays the board has: relays: 4").Int(1, lcus.MaxRelays)
	answers, _ := m.Get("answers").Choice(string(lcus.AnswersNone), string(lcus.AnswersText), string(lcus.AnswersBytes))
	s.Answers = lcus.Answers(answers)
	s.Outputs = map[driver.Part]lcus.Relay{}
	s.ReadRelays(m, lcus.MaxRelays, func(p driver.Part, n int) { s.Outputs[p] = lcus.Relay{Number: n} })
	s.ReadHot(m)
	return s
}

// Complete looks at what does not go together.
func (s *settings) Complete(c *configs.Machine, m *configs.Map) {
	outputs := m.Get("outputs").Map()
	for p, r := range s.Outputs {
		r.Deadman = c.Guard.Parts[p].Deadman
		s.Outputs[p] = r
	}
	m.Place(s.readable(m).Problems())
	for p := range s.Outputs {
		s.CheckDeadman(p, c.Guard.Parts[p].Deadman, false, outputs.Get(string(p)))
	}
	s.CheckHot(false, m, "this board has no inputs:")
	relay.CheckServes(c, m, false, "this board has no inputs: choose page or attended")
	s.Plan(c, s.Outputs, false)
}

// readable is the wiring without what was said of it already.
func (s *settings) readable(m *configs.Map) lcus.Config {
	c := s.Config
	c.Port = relay.ReadablePort(c.Port, m)
	if !m.Get("relays").Clean() || c.Relays == 0 {
		c.Relays = lcus.MaxRelays
	}
	c.Outputs = maps.Clone(c.Outputs)
	outputs := m.Get("outputs").Map()
	maps.DeleteFunc(c.Outputs, func(p driver.Part, r lcus.Relay) bool {
		return !outputs.Get(string(p)).Map().Get("relay").Clean() || r.Number == 0
	})
	if len(c.Outputs) == 0 {
		c.Outputs = map[driver.Part]lcus.Relay{driver.Sugar: {Number: 1}}
	}
	return c
}
