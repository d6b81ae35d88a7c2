package main

import (
	"log/slog"
	"maps"

	"barista/configs"
	"barista/driver"
	"barista/driver/lcus"
)

// lcusSettings is the section of an LCUS board.
type lcusSettings struct {
	lcus.Config
	relaySettings
}

// lcusKind reads the section of a machine on an LCUS USB relay board.
func lcusKind() configs.Kind {
	return configs.Kind{
		Ceilings: ceilings,
		Decode:   func(m *configs.Map) any { return readLCUS(m) },
		Check:    checkLCUS,
	}
}

// openLCUS opens the board and switches its relays off.
func openLCUS(m *configs.Machine, log *slog.Logger) (opened, error) {
	s, _ := m.Settings.(lcusSettings)
	s.Port.Log = log
	rig, err := lcus.Open(s.Config)
	if err != nil {
		return opened{}, err
	}
	return s.opened(rig, m), nil
}

// restLCUS sends every relay that the file names its off, twice.
func restLCUS(m *configs.Machine) error {
	s, _ := m.Settings.(lcusSettings)
	return lcus.SafeOff(s.Config)
}

func readLCUS(m *configs.Map) lcusSettings {
	var s lcusSettings
	s.Port = readPort(m)
	s.Relays, _ = m.Need("relays", "say how many relays the board has: relays: 4").Int(1, lcus.MaxRelays)
	answers, _ := m.Get("answers").Choice(string(lcus.AnswersNone), string(lcus.AnswersText), string(lcus.AnswersBytes))
	s.Answers = lcus.Answers(answers)
	s.Outputs = map[driver.Part]lcus.Relay{}
	s.readRelays(m, lcus.MaxRelays, func(p driver.Part, n int) { s.Outputs[p] = lcus.Relay{Number: n} })
	s.readHot(m)
	return s
}

func checkLCUS(c *configs.Machine, m *configs.Map) {
	s := c.Settings.(lcusSettings)
	outputs := m.Get("outputs").Map()
	for p, r := range s.Outputs {
		r.Deadman = c.Outputs[p].Deadman
		s.Outputs[p] = r
	}
	c.Settings = s
	problems(s.readable(m).Problems(), m)
	for p := range s.Outputs {
		s.checkDeadman(p, c.Outputs[p].Deadman, false, outputs.Get(string(p)))
	}
	s.checkHot(false, m, "this board has no inputs:")
	checkServes(c, m, false, "this board has no inputs: choose page or attended")
}

// readable is the wiring without what was said of it already.
func (s lcusSettings) readable(m *configs.Map) lcus.Config {
	c := s.Config
	c.Port = readablePort(c.Port, m)
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
