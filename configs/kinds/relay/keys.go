package relay

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/board"
	"barista/driver/serial"
)

// Port is the key that names a serial port.
func Port(to *string) kinds.Key {
	v := kinds.Text(to, "name below /dev/serial/by-id or by-path", serial.CheckName)
	check := v.Check
	v.Check = func(s string) error {
		if strings.HasPrefix(s, "./") {
			return nil // of a simulator
		}
		return check(s)
	}
	return kinds.Key{
		Name: "port", Value: v, Found: kinds.APort, Help: "its serial port, by a name that stays the same",
		Need: "see ls -l /dev/serial/by-id, then write port: /dev/serial/by-id/…",
		Above: `  # By a name that stays the same: ls -l /dev/serial/by-id, or by-path for an
  # adapter without a serial number.
`,
		Ask:  "serial port, by a name that stays the same",
		More: "ls -l /dev/serial/by-id shows the names. An adapter without a serial number is\nnamed by the socket that it is plugged into, /dev/serial/by-path.\n/dev/ttyUSB0 is another device whenever the order of plugging changes.",
	}
}

// usual are limits as in the samples: the built-in ones can only be lowered.
var usual = map[driver.Part][]kinds.Key{
	driver.Grinder: limits("20s", "10s", "a"),
	driver.Pump:    limits("60s", "", "a"),
	driver.Milk:    limits("30s", "", ""),
	driver.Sugar:   limits("5s", "", ""),
	driver.Heater:  limits("120s", "", ""),
	driver.Rinse:   limits("10s", "", ""),
}

func limits(maxOn, rest, inrush string) []kinds.Key {
	return []kinds.Key{
		{Name: "max_on", Value: kinds.Fixed(maxOn)}, {Name: "rest", Value: kinds.Fixed(rest)}, {Name: "inrush", Value: kinds.Fixed(inrush)},
	}
}

// Usual are the keys of a part's usual limits, which setup writes.
func Usual(p driver.Part) []kinds.Key { return usual[p] }

// CutOff asks what cuts the part off when this computer is dead, and who accepts
// it if nothing does. wanted says whether that is a question at all.
func CutOff(p driver.Part, accepted *string, wanted func() bool, words ...driver.Deadman) []kinds.Key {
	var list []string
	for _, w := range words {
		list = append(list, string(w))
	}
	deadman := kinds.Said(list...)
	who := kinds.Text(accepted, "who, and why", nil)
	who.Check = func(s string) error {
		if len([]rune(s)) < 3 {
			return errors.New("write a name and a reason")
		}
		return nil
	}
	return []kinds.Key{
		{
			Name: "deadman", Value: deadman, When: wanted,
			Help: "what cuts the part off when this computer is dead",
			Ask:  fmt.Sprintf("what cuts the %s off when this computer is dead", p),
			More: `When this computer dies or hangs, its outputs may stay as they are. Something else
has to cut this part off then, or hot water runs until somebody comes.
  external  a watchdog or time relay in the wiring cuts it off
  board     the relay board has a timer of its own that does
  none      nothing does; somebody has to accept that by name, in the file`,
		},
		{
			Name: "accept_no_deadman", Value: who, When: func() bool { return deadman.Text() == string(driver.DeadmanNone) },
			Help: "who accepts deadman: none, and why",
			Ask:  fmt.Sprintf("nothing cuts the %s off then: who accepts that, and why", p),
			More: "It stands in the file under this person's name.",
		},
	}
}

// Wired are the outputs of a board with at most so many relays. timer says whether
// the board opens a relay by itself; spare is a relay with nothing on it, or 0.
func (s *Settings) Wired(outputs map[driver.Part]*board.Relay, most int, timer func() bool, spare *int, above string) *kinds.Rows {
	s.Accepted = map[driver.Part]string{}
	return &kinds.Rows{
		Name: "outputs", Need: "wire its relays: outputs: {grinder: {relay: 1}, pump: {relay: 2}}", Names: Words(Parts()), Above: above,
		Keys: func(name string) []kinds.Key {
			p := driver.Part(name)
			if outputs[p] == nil {
				outputs[p] = &board.Relay{}
			}
			number := kinds.Whole(&outputs[p].Number, 1, most)
			number.Check = func(answer string) error {
				n, _ := strconv.Atoi(answer)
				if *spare != 0 && n == *spare {
					return fmt.Errorf("relay %d is already that of the spare one", n)
				}
				for other, r := range outputs {
					if other != p && r.Number == n {
						return fmt.Errorf("relay %d is already that of the %s", n, other)
					}
				}
				return nil
			}
			keys := append([]kinds.Key{{
				Name: "relay", Value: number, Need: "write the number that is printed on the board: relay: 1",
				Help: "number of its relay, as printed on the board",
				Ask:  fmt.Sprintf("number of the %s's relay, as printed on the board", p),
			}}, Usual(p)...)
			accepted := s.signature(p)
			return append(keys, CutOff(p, accepted, func() bool { return p == driver.Pump && !timer() }, driver.DeadmanExternal, driver.DeadmanNone)...)
		},
	}
}

// signature is where a part's signature goes; Signed hands it over.
func (s *Settings) signature(p driver.Part) *string {
	if s.signed == nil {
		s.signed = map[driver.Part]*string{}
	}
	if s.signed[p] == nil {
		s.signed[p] = new(string)
	}
	return s.signed[p]
}

// Read takes over what the form has read.
func (s *Settings) Read(outputs map[driver.Part]*board.Relay) map[driver.Part]board.Relay {
	out := map[driver.Part]board.Relay{}
	for p, r := range outputs {
		out[p] = *r
	}
	for p, who := range s.signed {
		if *who != "" {
			s.Accepted[p] = *who
		}
	}
	return out
}

// HotKey is the word that stands in for a boiler's sensor; needed says whether no
// sensor is there.
func (s *Settings) HotKey(needed func() bool) kinds.Key {
	return kinds.Key{
		Name: "hot", Help: "assumed: nothing reads the boiler, and a person answers for it", Value: kinds.Flag(&s.AssumedHot, "", "assumed"), When: needed, Last: true,
		Above: `  # Nothing reads the boiler: its own thermostat keeps it hot, and a person answers
  # for that.
`,
		Ask: "nothing reads the boiler: say assumed if its own thermostat keeps it hot and a person answers for that",
		More: `Nothing on this board can tell whether the water is hot. If the boiler's own
thermostat keeps it so, and a person answers for that, say assumed.`,
	}
}

// Limits is the comment above the outputs of a board.
const Limits = `  # relay is the number printed on the board. max_on is the longest time on; the
  # built-in ones can only be lowered. rest is the pause after it. Parts with the
  # same inrush are never on together.
`

// Offered are the parts that setup offers: no board can read a thermometer, so there
// is no heater among them.
func Offered() []driver.Part {
	return slices.DeleteFunc(Parts(), func(p driver.Part) bool { return p == driver.Heater })
}
