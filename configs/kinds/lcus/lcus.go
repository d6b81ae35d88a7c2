// Package lcus is a machine on an LCUS USB relay board, as its file describes it: the
// table of keys, the plan that comes of it, its simulator, and the guess that a mute
// adapter may be one.
//
// The board answers nothing, has no inputs and no timer. So the package promises that a
// pump without a cut-off in the wiring, a cup or a boiler that nobody answers for are
// told with file and line before the port is opened. The port is opened in Open and
// Rest alone. It must never be asked by detect: to boards of other makes its question
// begins a command.
package lcus

import (
	"errors"
	"log/slog"
	"maps"
	"slices"

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
	relays map[driver.Part]*lcus.Relay // what the form reads
}

// Kind is an LCUS board.
var Kind = kinds.Kind{
	Name:     "lcus",
	Title:    "a cheap USB relay board with a CH340",
	Sample:   "lcus-relays.yaml",
	Parts:    relay.Parts(),
	New:      newSettings,
	Sight:    &sight,
	Commands: []kinds.Command{sim},
	Record:   &record,
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

// newSettings are the settings with the table of their keys.
func newSettings() (configs.Settings, *kinds.Form) {
	s := &settings{relays: map[driver.Part]*lcus.Relay{}}
	c := &s.Config
	spare := 0 // the board needs none
	relays := kinds.Whole(&c.Relays, 1, lcus.MaxRelays)
	relays.Check = func(answer string) error {
		if !slices.Contains([]string{"1", "2", "4", "8"}, answer) {
			return errors.New("these boards have 1, 2, 4 or 8")
		}
		return nil
	}
	return s, &kinds.Form{
		Head:  "One machine on a USB relay board with a CH340 (LCUS).",
		Cups:  []string{"page", "attended"}, // nothing sees a cup there
		Parts: relay.Offered(),
		Keys: []kinds.Key{
			relay.Port(&c.Port.Device),
			{
				Name: "relays", Value: relays, Need: "say how many relays the board has: relays: 4",
				Help: "how many the board has: 1, 2, 4 or 8", Ask: "how many relays the board has",
			},
			{
				Name: "answers", Value: kinds.Choice(&c.Answers, lcus.AnswersNone, lcus.AnswersText, lcus.AnswersBytes), Usual: string(lcus.AnswersNone),
				Help: "none; text or bytes if it says how its relays are", Ask: "does it answer the question for its relays",
				More: "Most boards answer nothing: none. Some send lines like CH1:OFF (text), or a byte for\neach relay (bytes); then every command is read back.",
			},
			s.HotKey(nil),
		},
		Outputs: s.Wired(s.relays, lcus.MaxRelays, func() bool { return false }, &spare, relay.Limits+`  # The board has no timer: deadman is what cuts the pump off when this computer is
  # dead.
`),
	}
}

// Complete looks at what does not go together.
func (s *settings) Complete(c *configs.Machine, m *configs.Map) {
	s.Outputs = s.Read(s.relays)
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
