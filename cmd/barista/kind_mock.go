package main

import (
	"errors"
	"slices"
	"time"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
)

// ceilings are the guard's, which are compiled in; a file can only lower them.
var ceilings = map[driver.Part]time.Duration{
	driver.Grinder: guard.MaxGrinder,
	driver.Pump:    guard.MaxPump,
	driver.Heater:  guard.MaxHeater,
	driver.Milk:    guard.MaxMilk,
	driver.Sugar:   guard.MaxSugar,
	driver.Rinse:   guard.MaxRinse,
	driver.Cups:    guard.MaxCups,
}

// mockKind reads the section of a simulated machine.
func mockKind() configs.Kind {
	return configs.Kind{
		Simulated: true,
		Ceilings:  mockCeilings(),
		Decode:    func(m *configs.Map) any { return readMock(m) },
		Check:     checkMock,
	}
}

// mockCeilings are those of the parts that a simulated machine can have.
func mockCeilings() map[driver.Part]time.Duration {
	out := map[driver.Part]time.Duration{}
	for _, p := range mockParts(mock.Config{Heater: true, Cups: "dispenser"}) {
		out[p] = ceilings[p]
	}
	return out
}

func readMock(m *configs.Map) mock.Config {
	var c mock.Config
	if n := m.Get("plant"); n != nil {
		c.Plant, _ = n.Text()
		// A plant in a process of its own has its own figures; a key here would be
		// obeyed by nobody.
		for _, key := range []string{"speed", "fail_rate", "cups", "heater", "seed", "serial"} {
			m.Get(key).KeyProblem("belongs to the plant process at "+configs.Quote(c.Plant), "give it to barista sim plant, and remove it here")
		}
		return c
	}
	c.Speed, _ = m.Get("speed").Float(0.01, 10_000)
	c.FailRate, _ = m.Get("fail_rate").Float(0, 1)
	c.Cups, _ = m.Get("cups").Choice("hand", "auto", "dispenser")
	c.Heater, _ = m.Get("heater").Bool()
	if v, ok := m.Get("seed").Int(0, 1<<31-1); ok {
		c.Seed = uint64(v)
	}
	c.Serial, _ = m.Get("serial").Token()
	return c
}

// checkMock looks at what does not go together.
func checkMock(c *configs.Machine, m *configs.Map) {
	s := c.Settings.(mock.Config)
	has := mockParts(s)
	outputs := m.Get("outputs").Map()
	deadman := map[driver.Deadman]bool{}
	for _, p := range driver.Parts {
		o, named := c.Outputs[p]
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
	if c.Cup == "dispenser" && s.Plant == "" && s.Cups != "dispenser" {
		m.Get("cup").Problem("nothing drops cups in this machine", "give it cups: dispenser, or another cup")
	}
	c.Settings = s
	if err := s.Check(); err != nil {
		m.Node().Problem(term.OneLine(err.Error()), "change these keys of the mock")
	}
}

// mockParts are the parts of a mock with these settings; of a plant process, at
// least these.
func mockParts(s mock.Config) []driver.Part {
	parts := []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar}
	if s.Heater {
		parts = append(parts, driver.Heater)
	}
	if s.Cups == "dispenser" {
		parts = append(parts, driver.Cups)
	}
	return parts
}

var errNoMachine = errors.New("the file has no machine section")

// machineFile loads a file that has a machine.
func machineFile(path string) (*configs.File, error) {
	f, err := configs.Load(path, kinds())
	if err != nil {
		return nil, term.Fail(term.ExitFailed, "barista check "+path+" shows it in full", "%s", err)
	}
	if f.Machine == nil {
		return nil, term.Fail(term.ExitFailed, "name the file of a machine", "%s: %w", path, errNoMachine)
	}
	return f, nil
}
