package main

import (
	"fmt"

	"barista/configs"
	"barista/driver"
	"barista/driver/gpio"
)

// What a part hangs on, in words for whoever stands before it with a lamp. on is
// the command. "" is a part that this machine does not have.

// wireMock: arithmetic has no wires.
func wireMock(_ *configs.Machine, p driver.Part, _ bool) string { return "simulated " + string(p) }

// wireGPIO is the line and its level.
func wireGPIO(m *configs.Machine, p driver.Part, on bool) string {
	c, _ := m.Settings.(gpio.Config)
	o, there := c.Outputs[p]
	if !there {
		return ""
	}
	level := gpio.High
	if (o.Active == gpio.High) != on {
		level = gpio.Low
	}
	return fmt.Sprintf("%s %s", o.Line, level)
}

// wireModbus is the relay's number on the board.
func wireModbus(m *configs.Machine, p driver.Part, on bool) string {
	s, _ := m.Settings.(modbusSettings)
	r, there := s.Outputs[p]
	return relayWords(there, r.Number, on)
}

// wireLCUS is the relay's number on the board.
func wireLCUS(m *configs.Machine, p driver.Part, on bool) string {
	s, _ := m.Settings.(lcusSettings)
	r, there := s.Outputs[p]
	return relayWords(there, r.Number, on)
}

func relayWords(there bool, number int, on bool) string {
	switch {
	case !there:
		return ""
	case on:
		return fmt.Sprintf("relay %d closed", number)
	}
	return fmt.Sprintf("relay %d open", number)
}

// wireOf is what the part of a machine hangs on.
func wireOf(m *configs.Machine, p driver.Part, on bool) string {
	if wire := drivers[m.Driver].wire; wire != nil {
		return wire(m, p, on)
	}
	return ""
}

// feedbackLine is the line of the contact that shows what the part's relay does,
// if it has one.
func feedbackLine(m *configs.Machine, p driver.Part) string {
	if c, is := m.Settings.(gpio.Config); is && c.Outputs[p].Feedback != nil {
		return string(c.Outputs[p].Feedback.Line)
	}
	return ""
}
