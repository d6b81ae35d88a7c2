package gpio

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	periph "periph.io/x/conn/v3/gpio"

	"barista/driver"
)

// Active is the level at which a relay is on, or a switch says yes. It has no
// default: half of all relay boards are the other way round.
type Active string

// The levels.
const (
	High Active = "high" // 3.3 V
	Low  Active = "low"  // 0 V
)

func (a Active) level() periph.Level { return a == High }

// Pull is the resistor inside the chip that holds an input while nothing drives
// it. "" is the safe one: away from Active, so that a broken wire reads as no.
type Pull string

// The pulls.
const (
	PullUp   Pull = "up"
	PullDown Pull = "down"
	PullOff  Pull = "off" // there is a resistor in the wiring
)

// Config is a machine's wiring.
type Config struct {
	// Chips are the labels of the chips on which lines are looked up by name;
	// empty means all chips. A label that isn't there is no error as long as
	// another one is: one file for several models of board.
	Chips       []string
	Outputs     map[driver.Part]Output
	Switches    map[driver.Signal]Switch // hot, cup, tank, beans, tray, door, stop
	Flow        *Flow
	Temperature *Temperature
	Serial      string // of the hardware; "" is the board's own

	// AcceptLines are lines of a Raspberry Pi's chip that are not on its header, each
	// with who knows what hangs on it, and why it is used.
	AcceptLines map[Line]string
}

// Output is one relay.
type Output struct {
	Line    Line
	Active  Active
	Deadman driver.Deadman // "" is none
	// AcceptNoDeadman is the owner's reason for a heater or a pump that nothing
	// switches off when this computer is dead.
	AcceptNoDeadman string
	// Needs are switches that must say yes at the moment of On; else it is
	// refused, which the guard takes for a fault.
	Needs    []driver.Signal
	Feedback *Feedback // an auxiliary contact that shows what the relay really does
}

// Switch is an input that says yes or no.
type Switch struct {
	Line     Line
	Active   Active
	Pull     Pull
	Debounce time.Duration // 0 to 500 ms, kept by the kernel; 0 is none
}

// Feedback is a contact that follows a relay.
type Feedback struct {
	Switch
	Within time.Duration // the relay's time, 1 to 150 ms; 0 is 100 ms
}

// Flow is a flow meter that gives pulses.
type Flow struct {
	Line        Line
	Pull        Pull          // "" is up: most meters have an open collector
	PulsesPerML float64       // of whole pulses, as its data sheet has it; 0.05 to 100
	BothEdges   bool          // count the begin and the end of each pulse: twice as fine
	Debounce    time.Duration // 0 to 5 ms
}

// Temperature is a thermometer: one of its fields is set.
type Temperature struct {
	SPI     string // MAX31855 on this port: "SPI0.0" is bus 0, chip select 0
	OneWire string // DS18B20 with this id: "28-0316a2794cff"
}

// The bounds.
const (
	maxDebounce     = 500 * time.Millisecond
	maxFlowDebounce = 5 * time.Millisecond
	feedbackWithin  = 100 * time.Millisecond
	maxWithin       = 150 * time.Millisecond // leaves time within the bound of Off
	minPulses       = 0.05
	maxPulses       = 100
)

// switches are the signals that a Switch can give.
var switches = []driver.Signal{driver.Hot, driver.Cup, driver.Tank, driver.Beans, driver.Tray, driver.Door, driver.Stop}

// Switches lists the signals that a switch can give.
func Switches() []driver.Signal { return slices.Clone(switches) }

// Problems finds everything that is wrong with the wiring. It touches nothing.
func (c Config) Problems() []driver.Problem {
	k := c.checked()
	k.twice()
	return k.list
}

// checked is a checker that has seen everything, each by itself.
func (c Config) checked() *checker {
	k := &checker{c: c}
	for _, label := range c.Chips {
		if err := checkLabel(label); err != nil {
			k.add("chip", "", err.Error(), "gpiodetect shows the labels")
		}
	}
	for _, p := range c.parts() {
		k.output(p, c.Outputs[p])
	}
	for _, s := range c.signals() {
		sw := c.Switches[s]
		if !slices.Contains(switches, s) {
			k.add("inputs", string(s), "no switch can say "+string(s), "switches are "+words(switches))
		}
		k.onOff("inputs", string(s), string(s), sw)
	}
	if c.Flow != nil {
		k.flow(*c.Flow)
	}
	if c.Temperature != nil {
		k.temperature(*c.Temperature)
	}
	k.accepted()
	return k
}

// parts are the outputs in the order of driver.Parts, then those that are none.
func (c Config) parts() []driver.Part {
	return driver.InOrder(c.Outputs, driver.Parts)
}

func (c Config) signals() []driver.Signal {
	return driver.InOrder(c.Switches, driver.Signals)
}

func words[T ~string](list []T) string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return strings.Join(out, ", ")
}

// checker gathers problems and remembers who uses which pin.
type checker struct {
	c    Config
	uses []use
	list []driver.Problem
}

// use is one user of a pin.
type use struct {
	section, key string
	who          string
	line         Line
	pin          string // the same for two names of one pin
}

func (k *checker) add(section, key, reason, fix string) {
	k.list = append(k.list, driver.Problem{Section: section, Key: key, Reason: reason, Fix: fix})
}

// line checks one line and notes who uses it.
func (k *checker) line(section, key, who string, l Line) {
	if l == "" {
		k.add(section, key, "the line of "+who+" is missing", "name it: line: GPIO17")
		return
	}
	at, err := l.place()
	if err != nil {
		k.add(section, key, err.Error(), "write for example GPIO17, P1_11 or pinctrl-rp1:17")
		return
	}
	k.own(section, key, l, at)
	pin := at.pin()
	if n, is := at.number(); is {
		pin = fmt.Sprintf("GPIO%d", n) // also beyond the header
	}
	k.uses = append(k.uses, use{section, key, who, l, pin})
}

// own refuses what a Raspberry Pi has on its own lines, which have names like those
// of the header: LEDs, audio, the card that it runs from. Which chip a line is on is
// not known where the file names none. Those that have other names are found when
// they are opened: see desk.take.
func (k *checker) own(section, key string, l Line, at place) {
	n, is := at.number()
	onPi := slices.Contains(piChips, at.chip) || at.chip == "" && k.c.onPi()
	if why := strings.TrimSpace(k.c.AcceptLines[l]); !is || !onPi || n < len(pins) || why != "" {
		return
	}
	k.add(section, key, fmt.Sprintf("%s is not on the header: from GPIO%d on a Raspberry Pi has its own parts there, its LEDs, its audio, its card", l, len(pins)),
		ownFix(l))
}

// ownFix is what to do about such a line.
func ownFix(l Line) string {
	return fmt.Sprintf("take one of GPIO0 to GPIO%d; or accept it in writing: accept_lines: {%s: \"who knows what hangs on it, and why\"}", len(pins)-1, quoted(l))
}

// quoted is a line as the key of a map.
func quoted(l Line) string {
	if strings.Contains(string(l), ":") {
		return strconv.Quote(string(l))
	}
	return string(l)
}

// accepted says which lines are signed for in vain.
func (k *checker) accepted() {
	for _, l := range slices.Sorted(maps.Keys(k.c.AcceptLines)) {
		at, err := l.place()
		n, is := at.number()
		switch {
		case strings.TrimSpace(k.c.AcceptLines[l]) == "":
			k.add("accept_lines", string(l), "it does not say who accepts it, and why", "write both in a sentence")
		case err != nil || is && n < len(pins), !slices.ContainsFunc(k.uses, func(u use) bool { return u.line == l }):
			k.add("accept_lines", string(l), "it accepts nothing here", "it belongs to a line in use that is not on the header; remove it")
		}
	}
}

func (k *checker) active(section, key string, a Active) {
	switch a {
	case High, Low:
	case "":
		k.add(section, key, "it does not say at which level it is active", "write active: low or active: high, as the board's manual has it; there is no default")
	default:
		k.add(section, key, fmt.Sprintf("active is %q", string(a)), "write low or high")
	}
}

func (k *checker) pull(section, key string, p Pull) {
	if !slices.Contains([]Pull{"", PullUp, PullDown, PullOff}, p) {
		k.add(section, key, fmt.Sprintf("pull is %q", string(p)), "write up, down or off")
	}
}

func (k *checker) onOff(section, key, who string, s Switch) {
	k.line(section, key, who, s.Line)
	k.active(section, key, s.Active)
	k.pull(section, key, s.Pull)
	if s.Debounce < 0 || s.Debounce > maxDebounce {
		k.add(section, key, fmt.Sprintf("debounce of %v is not possible", s.Debounce), fmt.Sprintf("give 0s to %v", maxDebounce))
	}
}

func (k *checker) output(p driver.Part, o Output) {
	const section = "outputs"
	key := string(p)
	if !slices.Contains(driver.Parts, p) {
		k.add(section, key, "there is no such part", "parts are "+words(driver.Parts))
	}
	k.line(section, key, key, o.Line)
	k.active(section, key, o.Active)
	k.deadman(p, o)
	for _, s := range o.Needs {
		if _, wired := k.c.Switches[s]; !wired {
			k.add(section, key, fmt.Sprintf("it needs %s, and there is no such switch", s), "wire it under inputs, or remove it from needs")
		}
	}
	if f := o.Feedback; f != nil {
		k.onOff(section, key, feedbackOf(p), f.Switch)
		if f.Within < 0 || f.Within > maxWithin {
			k.add(section, key, fmt.Sprintf("its feedback within %v is not possible", f.Within), fmt.Sprintf("give at most %v", maxWithin))
		}
	}
}

// feedbackOf names the contact of a part for messages.
func feedbackOf(p driver.Part) string { return string(p) + "'s feedback" }

// deadman: no process of Linux can be the last line of defence for heat and
// pressure.
func (k *checker) deadman(p driver.Part, o Output) {
	const section = "outputs"
	danger := p == driver.Heater || p == driver.Pump
	written := strings.TrimSpace(o.AcceptNoDeadman)
	switch o.Deadman {
	case driver.DeadmanExternal, driver.DeadmanBoard:
		if written != "" {
			k.add(section, string(p), fmt.Sprintf("it has deadman: %s and accept_no_deadman at once", o.Deadman), "remove one of the two")
		}
	case driver.DeadmanNone, "":
		switch {
		case danger && o.Deadman == "":
			k.add(section, string(p), "nothing is said to switch it off when this computer is dead", `write deadman: external for a watchdog or time relay in the wiring, deadman: board for a relay board with a timer of its own; or deadman: none with accept_no_deadman: "who accepts it, and why"`)
		case danger && written == "":
			k.add(section, string(p), "deadman is none: it stays on when this computer dies while it is on", `wire a watchdog or time relay and write deadman: external; or accept it in writing: accept_no_deadman: "who accepts it, and why"`)
		case written != "" && (!danger || o.Deadman == ""):
			k.add(section, string(p), "accept_no_deadman accepts nothing here", "it belongs to a heater or a pump with deadman: none; remove it")
		}
	default:
		k.add(section, string(p), fmt.Sprintf("deadman is %q", string(o.Deadman)), "write external, board or none")
	}
	if p == driver.Heater && k.c.Temperature == nil {
		k.add(section, string(p), "a heater without a thermometer is never right", "wire one: inputs: {temperature: {spi: SPI0.0}} or {onewire: 28-…}")
	}
}

func (k *checker) flow(f Flow) {
	key := string(driver.Flow)
	k.line("inputs", key, key, f.Line)
	k.pull("inputs", key, f.Pull)
	if !(f.PulsesPerML >= minPulses && f.PulsesPerML <= maxPulses) {
		k.add("inputs", key, fmt.Sprintf("%v pulses per ml are not possible", f.PulsesPerML), fmt.Sprintf("give pulses_per_ml from %v to %v: the data sheet's pulses per litre divided by 1000", minPulses, maxPulses))
	}
	if f.Debounce < 0 || f.Debounce > maxFlowDebounce {
		k.add("inputs", key, fmt.Sprintf("debounce of %v is not possible", f.Debounce), fmt.Sprintf("a flow meter allows 0s to %v: more would swallow pulses", maxFlowDebounce))
	}
}

var oneWireID = regexp.MustCompile(`^28-[0-9a-f]{12}$`)

func (k *checker) temperature(t Temperature) {
	const section, key = "inputs", string(driver.Temperature)
	switch {
	case (t.SPI == "") == (t.OneWire == ""):
		k.add(section, key, "it must be exactly one thermometer", "write {spi: SPI0.0} for a MAX31855, or {onewire: 28-…} for a DS18B20")
	case t.SPI != "":
		bus, cs, err := spiPort(t.SPI)
		if err != nil {
			k.add(section, key, err.Error(), "write SPI0.0 for bus 0, chip select 0, which is /dev/spidev0.0")
			return
		}
		if k.c.onPi() {
			for _, pin := range spiPins(bus, cs) {
				k.uses = append(k.uses, use{section, key, key, Line(pin), pin})
			}
		}
	case !oneWireID.MatchString(t.OneWire):
		k.add(section, key, fmt.Sprintf("%q is no id of a DS18B20", t.OneWire), "write it as /sys/bus/w1/devices shows it: 28- and twelve of 0-9 and a-f")
	}
}

// twice finds pins with two users.
func (k *checker) twice() {
	first := map[string]use{}
	for _, u := range k.uses {
		other, used := first[u.pin]
		if !used {
			first[u.pin] = u
			continue
		}
		k.add(u.section, u.key, fmt.Sprintf("cannot use %s for %s: it is used by %s", u.line, u.who, other.who), "give each its own line")
	}
}
