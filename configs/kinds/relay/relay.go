// Package relay is what the files of all relay boards share: a relay's number for
// each part, who signs for a missing dead man's switch, the word that stands in
// for a boiler's sensor; and what their simulators share. It opens nothing but a
// simulator's own port, and knows no board.
package relay

import (
	"fmt"
	"slices"
	"time"

	"barista/configs"
	"barista/driver"
	"barista/driver/board"
	"barista/driver/guard"
	"barista/driver/serial"
	"barista/fleet"
	"barista/machine"
)

// Settings is what the file says of a board of relays beyond its wiring.
type Settings struct {
	signed     map[driver.Part]*string // what the form reads
	Accepted   map[driver.Part]string  // accept_no_deadman: who, and why
	AssumedHot bool                    // nothing reads the boiler; the file says that it keeps itself hot
}

// ownersWord stands for the boiler's sensor where the file says hot: assumed.
// It measures nothing: like cup: attended it is what a person answers for.
type ownersWord struct{}

func (ownersWord) Read() (driver.Reading, error) {
	return driver.Reading{Value: 1, At: time.Now()}, nil
}

// ReadablePort is the port without what was said of it already.
func ReadablePort(c serial.Config, m *configs.Map) serial.Config {
	if !m.Get("port").Clean() || c.Device == "" {
		c.Device = "/dev/serial/by-id/unread"
	}
	if !m.Get("baud").Clean() {
		c.Baud = 0
	}
	return c
}

// CheckDeadman wants a pump and a heater to be cut off when this computer is
// dead, or a signature that they are not.
func (s Settings) CheckDeadman(p driver.Part, d driver.Deadman, timer bool, n *configs.Node) {
	signed := s.Accepted[p] != "" && n.Map().Get("deadman").Clean()
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

// CheckHot wants to know how it is known that the water is hot: recipes ask.
func (s Settings) CheckHot(sensor bool, m *configs.Map, fix string) {
	switch {
	case sensor && s.AssumedHot:
		m.Get("hot").KeyProblem("there is a sensor for it", "remove this")
	case !sensor && !s.AssumedHot && m.Get("hot").Clean():
		m.Node().KeyProblem("nothing says whether the water is hot", fix+" write hot: assumed, if its own thermostat keeps it so and a person answers for that")
	}
}

// CheckServes looks at what the machine is to serve and has no part for.
func CheckServes(c *configs.Machine, m *configs.Map, seesCup bool, cupFix string) {
	has := func(p driver.Part) bool {
		n := m.Get("outputs")
		return n != nil && n.Map().Get(string(p)) != nil
	}
	strange := Stranger(m.Get("outputs"))
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
	if !seesCup && (c.Cup == machine.CupSensor || c.Cup == machine.CupDispenser) {
		m.Get("cup").Problem("nothing sees a cup in this machine", cupFix)
	}
	if c.Cup == machine.CupDispenser && !has(driver.Cups) && !strange {
		m.Get("cup").Problem("nothing drops cups in this machine", "wire the part cups, or choose another cup")
	}
}

// Stranger reports an output that is no part: which one is meant, nobody knows,
// so none is said to be missing.
func Stranger(outputs *configs.Node) bool {
	all := outputs.Map().All()
	if len(all) == 0 && !outputs.Clean() { // it is no map
		return true
	}
	return slices.ContainsFunc(all, func(n *configs.Node) bool { return guard.Ceiling(driver.Part(n.Key())) == 0 })
}

// Parts are those that a relay can switch: all of them.
func Parts() []driver.Part { return slices.Clone(driver.Parts) }

// Hot puts the owner's word in the place of the boiler's sensor, where the file
// says so.
func (s Settings) Hot(rig driver.Rig) driver.Rig {
	if s.AssumedHot {
		rig.Sensors[driver.Hot] = ownersWord{}
	}
	return rig
}

// Plan completes the plan: what each part hangs on, what cuts it off, what is seen.
// timer: the board opens a relay by itself after a time.
func (s Settings) Plan(c *configs.Machine, relays map[driver.Part]board.Relay, timer bool, signals ...driver.Signal) {
	c.Wires, c.Signals = map[driver.Part]machine.Wire{}, map[driver.Signal]bool{}
	for p, r := range relays {
		c.Wires[p] = machine.Wire{On: fmt.Sprintf("relay %d closed", r.Number), Off: fmt.Sprintf("relay %d open", r.Number)}
		l := c.Guard.Parts[p]
		l.Deadman = r.CutOff(timer)
		c.Guard.Parts[p] = l
	}
	for _, signal := range signals {
		c.Signals[signal] = true
	}
	if s.AssumedHot {
		c.Signals[driver.Hot] = true
	}
}

// Words are the names of signals or parts.
func Words[T ~string](names []T) []string {
	var out []string
	for _, s := range names {
		out = append(out, string(s))
	}
	return out
}
