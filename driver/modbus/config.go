package modbus

import (
	"fmt"
	"maps"
	"slices"

	"barista/driver"
	"barista/driver/board"
	"barista/driver/serial"
)

// Timer says whether the board opens a relay by itself after a given time.
type Timer string

// The kinds of timer.
const (
	TimerNone    Timer = "none"     // it does not: the dead man's switch, if any, is in the wiring
	TimerFlash   Timer = "flash-on" // it does: proved at every opening on the spare relay
	TimerAssumed Timer = "assumed"  // it does, on the owner's word: there is no spare relay to prove it
)

// Relay is what one part hangs on.
type Relay = board.Relay

// Contact is what one sensor hangs on.
type Contact struct {
	Number int  // as printed on the board, from 1
	Low    bool // an open contact is the good answer
}

// Config is one board.
type Config struct {
	Port    serial.Config
	Address int // 1 to 247; 0 is 1
	Relays  int // how many the board has, 1 to 32
	First   int // the number of its first relay and contact on the wire: 0, or 1 on some boards
	Timer   Timer
	Spare   int // number of a relay with nothing on it; for TimerFlash
	Outputs map[driver.Part]Relay
	Inputs  map[driver.Signal]Contact
}

// MaxRelays is how many relays and contacts a board can have here.
const MaxRelays = 32

// Contacts are the signals that a board can read: those that say yes or no.
var Contacts = []driver.Signal{driver.Hot, driver.Cup, driver.Tank, driver.Beans, driver.Tray, driver.Door, driver.Stop}

// Bauds are the speeds at which an off can be sent and proved, once more after a
// lost answer, within the 250 ms that a driver may take for it.
var Bauds = []int{9600, 19200, 38400, 57600, 115200}

// withDefaults fills in what may be left out.
func (c Config) withDefaults() Config {
	if c.Address == 0 {
		c.Address = 1
	}
	if c.Timer == "" {
		c.Timer = TimerNone
	}
	if c.Port.Baud == 0 {
		c.Port.Baud = 9600
	}
	return c
}

// Problems finds everything that is wrong with the settings; nothing is opened.
func (c Config) Problems() []driver.Problem {
	c = c.withDefaults()
	list := c.Port.Problems()
	add := func(section, key, fix, format string, a ...any) {
		list = append(list, driver.Problem{Section: section, Key: key, Reason: fmt.Sprintf(format, a...), Fix: fix})
	}
	if !slices.Contains(Bauds, c.Port.Baud) {
		add("", "baud", fmt.Sprintf("give one of %v", Bauds), "%d baud: an off can't be proved within 250 ms", c.Port.Baud)
	}
	if c.Address < 1 || c.Address > 247 {
		add("", "address", "a board has one from 1 to 247", "address %d is not possible", c.Address)
	}
	if c.Relays < 1 || c.Relays > MaxRelays {
		add("", "relays", fmt.Sprintf("say how many the board has, 1 to %d", MaxRelays), "%d relays are not possible", c.Relays)
	}
	if c.First != 0 && c.First != 1 {
		add("", "first", "write 0 or 1", "a board counts its relays from 0 or from 1, not from %d", c.First)
	}
	spare := c.Spare
	switch c.Timer {
	case TimerNone, TimerAssumed:
		if c.Spare != 0 {
			spare = 0
			add("", "spare_relay", "leave it out, or write timer: "+string(TimerFlash), "a spare relay is for proving the timer %s only", TimerFlash)
		}
	case TimerFlash:
		if c.Spare == 0 {
			add("", "", board.Rewire, "timer %s is proved at every start on a relay with nothing on it: name it as the spare one, or take the timer as %s", TimerFlash, TimerAssumed)
		}
	default:
		add("", "timer", fmt.Sprintf("it is %s, %s or %s", TimerFlash, TimerAssumed, TimerNone), "there is no timer %q", c.Timer)
	}
	list = append(list, board.Problems(c.Outputs, c.Relays, spare)...)
	for p, r := range c.Outputs {
		if r.Deadman == driver.DeadmanBoard && c.Timer == TimerNone {
			add("outputs", string(p), board.Rewire, "deadman board needs a board with a timer")
		}
	}
	users := map[int]driver.Signal{}
	for _, s := range slices.Sorted(maps.Keys(c.Inputs)) {
		n := c.Inputs[s].Number
		switch {
		case !slices.Contains(Contacts, s):
			add("inputs", string(s), board.Rewire, "a contact says yes or no; it can be one of %v", Contacts)
		case n < 1 || n > MaxRelays:
			add("inputs", string(s), board.Rewire, "there is no contact %d; they are numbered from 1 to %d", n, MaxRelays)
		case users[n] != "":
			add("", "", board.Rewire, "%s and %s are both on contact %d", users[n], s, n)
		default:
			users[n] = s
		}
	}
	return list
}
