package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"barista/driver"
)

// obey does what a line says and gives the answer; "" is silence.
func (m *Machine) obey(line string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults[Off] || m.faults[Deaf] || m.standby && line != "AN:01" {
		return ""
	}
	if m.faults[LostKey] && strings.HasPrefix(line, "FA:") {
		return ""
	}
	answer := m.answer(line)
	if answer != "" {
		m.taken = append(m.taken, line)
	}
	if m.faults[Mute] || m.faults[LostOK] && answer == "ok:" {
		return ""
	}
	return answer
}

func (m *Machine) answer(line string) string {
	name, arg, is := strings.Cut(line, ":")
	if !is {
		return ""
	}
	ok := func(known bool) string {
		if known {
			return "ok:"
		}
		return ""
	}
	switch name {
	case "TY":
		if arg == "" && m.cfg.Answer != "" {
			return "ty:" + m.cfg.Answer
		}
		if arg == "" {
			return "ty:" + m.model.answer
		}
	case "IC":
		if arg == "" {
			m.tick++
			return "ic:" + m.model.inputs(m.state())
		}
	case "RT":
		if at, fine := code(arg, 4); fine {
			var b strings.Builder
			for i := range 16 {
				fmt.Fprintf(&b, "%04X", m.word(at+i))
			}
			return "rt:" + b.String()
		}
	case "RE":
		if at, fine := code(arg, 4); fine {
			return fmt.Sprintf("re:%04X", m.word(at))
		}
	case "WE":
		m.hurt(errors.New("WE: writes into the memory"))
	case "AN":
		switch arg {
		case "01":
			m.standby = false
			return "ok:"
		case "02":
			m.standby = true
			m.stopAll()
			return "ok:"
		case "0A":
			m.hurt(errors.New("AN:0A erases the memory"))
		case "03", "05", "06", "0C", "20", "21":
			m.hurt(fmt.Errorf("AN:%s is a test routine of the workshop", arg))
		}
	case "FA":
		c, fine := code(arg, 2)
		return ok(fine && m.key(byte(c), "port"))
	case "FN":
		c, fine := code(arg, 2)
		return ok(fine && m.move(byte(c)))
	}
	return ""
}

// code reads a number as machines write it: capitals, a fixed width.
func code(s string, digits int) (int, bool) {
	n, err := strconv.ParseUint(s, 16, 16)
	return int(n), err == nil && len(s) == digits && s == strings.ToUpper(s)
}

// word is one of the memory; what holds no counter is empty.
func (m *Machine) word(at int) uint16 {
	if i := at - m.model.memory; i >= 0 && i < len(m.count) {
		return m.count[i]
	}
	return 0
}

// move drives a single motor.
func (m *Machine) move(c byte) (known bool) {
	if c == 0x89 {
		m.hurt(errors.New("FN:89 starts the debug stream, which lasts until the mains plug is pulled"))
		return false
	}
	p, known := m.model.parts[c]
	if !known {
		return false
	}
	switch p.act {
	case "":
		if p.out == driver.Pump && p.on && m.group != "brewing" {
			m.hurt(fmt.Errorf("FN:%02X: the pump ran while the brew group was not in the brewing position", c))
		}
		m.plant.Set(p.out, p.on)
	case "press":
		if m.group == "" {
			m.hurt(fmt.Errorf("FN:%02X: error 8, the press was driven before the brew group was initialised", c))
		}
	case "init":
		m.group = "home"
	case "brewing", "elsewhere":
		m.group = p.act
	case "off":
		m.standby = true
		m.stopAll()
	}
	m.wake()
	return true
}

// lateBy is longer than a host's patience with most questions.
const lateBy = 1300 * time.Millisecond
