package modbus

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"barista/driver"
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
type Relay struct {
	Number  int            // as printed on the board, from 1
	Deadman driver.Deadman // "": board with a timer, none without
}

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

// Problems says everything that is wrong with the settings, joined.
func (c Config) Problems() error {
	c = c.withDefaults()
	errs := []error{c.Port.Problems()}
	add := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !slices.Contains(Bauds, c.Port.Baud) {
		add("%d baud: give one of %v; slower, an off can't be proved within 250 ms", c.Port.Baud, Bauds)
	}
	if c.Address < 1 || c.Address > 247 {
		add("address %d: a board has one from 1 to 247", c.Address)
	}
	if c.Relays < 1 || c.Relays > MaxRelays {
		add("%d relays: say how many the board has, 1 to %d", c.Relays, MaxRelays)
	}
	if c.First != 0 && c.First != 1 {
		add("a board counts its relays from 0 or from 1, not from %d", c.First)
	}
	users := map[int]string{}
	use := func(who string, n int) {
		switch {
		case n < 1 || n > c.Relays && c.Relays > 0:
			add("%s: the board has no relay %d", who, n)
		case users[n] != "":
			add("%s and %s are both on relay %d", users[n], who, n)
		default:
			users[n] = who
		}
	}
	if len(c.Outputs) == 0 {
		add("no relay is used: there is nothing to make coffee with")
	}
	for _, p := range slices.Sorted(maps.Keys(c.Outputs)) {
		use(string(p), c.Outputs[p].Number)
		if c.Outputs[p].Deadman == driver.DeadmanBoard && c.Timer == TimerNone {
			add("%s: deadman board needs a board with a timer", p)
		}
	}
	switch c.Timer {
	case TimerNone, TimerAssumed:
		if c.Spare != 0 {
			add("a spare relay is for proving the timer %s only", TimerFlash)
		}
	case TimerFlash:
		if c.Spare == 0 {
			add("timer %s is proved at every start on a relay with nothing on it: name it as the spare one, or take the timer as %s", TimerFlash, TimerAssumed)
		} else {
			use("the spare", c.Spare)
		}
	default:
		add("timer %q: it is %s, %s or %s", c.Timer, TimerFlash, TimerAssumed, TimerNone)
	}
	inputs := map[int]driver.Signal{}
	for _, s := range slices.Sorted(maps.Keys(c.Inputs)) {
		n := c.Inputs[s].Number
		switch {
		case !slices.Contains(Contacts, s):
			add("%s: a contact says yes or no; it can be one of %v", s, Contacts)
		case n < 1 || n > MaxRelays:
			add("%s: there is no contact %d; they are numbered from 1 to %d", s, n, MaxRelays)
		case inputs[n] != "":
			add("%s and %s are both on contact %d", inputs[n], s, n)
		default:
			inputs[n] = s
		}
	}
	return errors.Join(errs...)
}
