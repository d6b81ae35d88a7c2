package guard

import (
	"errors"
	"fmt"
	"time"

	"barista/driver"
)

// The ceilings: the longest that a part may be on, whatever anybody asks for.
// Grinder, pump, milk, rinse and heater are the figures of the hazard analysis:
// a grinder's motor is made for some 20 s, the pump is a vibratory one that
// overheats, and 300 s of heating without proof of rise is a broken sensor.
// Sugar and cups are small motors that need a second; more is a jam.
const (
	MaxPump    = 60 * time.Second
	MaxGrinder = 25 * time.Second
	MaxMilk    = 45 * time.Second
	MaxRinse   = 30 * time.Second
	MaxHeater  = 300 * time.Second
	MaxSugar   = 10 * time.Second
	MaxCups    = 5 * time.Second
)

// Lease is how often Renew must be called while anything is on. When it is two
// leases old, everything goes off.
const Lease = 250 * time.Millisecond

const (
	// lapse is the age at which the lease is over (hard limit: 1 s).
	lapse = 2 * Lease
	// gap is the shortest pause that ends a count of on-time. A relay needs
	// about 10 ms to open, a motor does not cool in 100.
	gap = 100 * time.Millisecond
	// offDelay keeps the two of a forbidden pair apart after one went off, so
	// that its contacts are really open.
	offDelay = 100 * time.Millisecond
	// slowestOff is the longest OffWithin that a driver may declare.
	slowestOff = 250 * time.Millisecond
	// retryOff is how often a part that could not be switched off, twice, is
	// tried again while the rig is latched.
	retryOff = time.Second
)

// Ceiling is the longest that the part may be on, whatever anybody asks for; 0
// for what is no part and can't be guarded.
func Ceiling(p driver.Part) time.Duration { return ceilings[p] }

// ceilings is the one table of them.
var ceilings = map[driver.Part]time.Duration{
	driver.Pump:    MaxPump,
	driver.Grinder: MaxGrinder,
	driver.Milk:    MaxMilk,
	driver.Rinse:   MaxRinse,
	driver.Heater:  MaxHeater,
	driver.Sugar:   MaxSugar,
	driver.Cups:    MaxCups,
}

// Limits narrow what one part may do. The zero value is the ceiling alone.
type Limits struct {
	MaxOn time.Duration // 0 = the ceiling; never above it
	Rest  time.Duration // minimum pause after each time on; 0 = none

	// DutyOn is how long the part may be on in any DutyWindow. Both or none.
	DutyOn     time.Duration
	DutyWindow time.Duration

	Inrush string // parts with the same word are never on together; "" = none

	Deadman         driver.Deadman // as the driver says it too; "" = none
	AcceptNoDeadman bool           // a heater or pump that nothing cuts off when the computer is dead
}

// Config is what a rig must be, and what the guard keeps for it. A rig that is
// anything else is refused.
type Config struct {
	Parts     map[driver.Part]Limits // every part of the rig, and no other
	Forbidden [][2]driver.Part       // never on together
	State     string                 // folder for latch and rests; "" = in memory only
	Name      string                 // the machine's name, for messages
}

// Of completes the configuration with the parts that it does not name and with
// the dead man's switches, as the rig has them. It is for a rig that nobody could
// describe before it was opened: a test's, and that of a plant in a process of its
// own.
func (c Config) Of(rig driver.Rig) Config {
	parts := map[driver.Part]Limits{}
	for name, wire := range rig.Outputs {
		l := c.Parts[name]
		l.Deadman = wire.Deadman
		parts[name] = l
	}
	for name, l := range c.Parts {
		if _, there := parts[name]; !there {
			parts[name] = l // guard.New says that the rig lacks it
		}
	}
	c.Parts = parts
	return c
}

// Effective is what each part may do, with the ceilings and the duty worked in.
// The guard goes by these and no others, and so does whoever lays out a drink.
func (c Config) Effective() map[driver.Part]Limits {
	out := make(map[driver.Part]Limits, len(c.Parts))
	for name, l := range c.Parts {
		out[name] = l.effective(name)
	}
	return out
}

// check finds every problem of rig and configuration; it touches nothing.
func check(rig driver.Rig, cfg Config) error {
	var bad []error
	add := func(format string, a ...any) { bad = append(bad, fmt.Errorf(format, a...)) }

	switch {
	case len(rig.Outputs) > 0 && rig.Appliance != nil:
		add("the rig has both outputs and an appliance: a driver offers one of the two")
	case len(rig.Outputs) == 0 && rig.Appliance == nil:
		add("the rig has neither outputs nor an appliance: there is nothing to make coffee with")
	}
	if len(rig.Outputs) > 0 && (rig.OffWithin <= 0 || rig.OffWithin > slowestOff) {
		add("the driver declares that off takes up to %v: it must be above 0 and at most %v", rig.OffWithin, slowestOff)
	}
	for _, name := range driver.InOrder(rig.Outputs, driver.Parts) {
		wire := rig.Outputs[name]
		lim, said := cfg.Parts[name]
		if ceilings[name] == 0 {
			add("%s: there is no such part; parts are %v", name, driver.Parts)
		}
		if !said {
			add("%s: the rig has it, and the machine's plan does not", name)
		} else if orNone(wire.Deadman) != orNone(lim.Deadman) {
			add("%s: its dead man's switch is %s by the driver and %s by the machine's plan", name, orNone(wire.Deadman), orNone(lim.Deadman))
		}
		if wire.Output == nil {
			add("%s: the driver gives no output for it", name)
		}
		switch wire.Deadman {
		case driver.DeadmanBoard, driver.DeadmanExternal:
		case driver.DeadmanNone, "":
			if (name == driver.Heater || name == driver.Pump) && !lim.AcceptNoDeadman {
				add("%s: nothing switches it off when this computer is dead: wire a watchdog relay or use a board with a timer, or accept deadman none in writing", name)
			}
		default:
			add("%s: unknown deadman %q: it is none, board or external", name, wire.Deadman)
		}
	}
	for _, name := range driver.InOrder(cfg.Parts, driver.Parts) {
		lim := cfg.Parts[name]
		if _, there := rig.Outputs[name]; !there {
			add("%s: there are limits for it, but the rig has no such part", name)
		}
		if most := ceilings[name]; most > 0 && lim.MaxOn > most {
			add("%s: max_on %v is above the ceiling of %v; a configuration can only lower it", name, lim.MaxOn, most)
		}
		if lim.MaxOn < 0 || lim.Rest < 0 || lim.DutyOn < 0 || lim.DutyWindow < 0 {
			add("%s: a time is below 0 (max_on %v, rest %v, duty %v in %v)", name, lim.MaxOn, lim.Rest, lim.DutyOn, lim.DutyWindow)
		}
		if (lim.DutyOn == 0) != (lim.DutyWindow == 0) || lim.DutyOn > lim.DutyWindow {
			add("%s: a duty of %v in %v makes no sense: give both, the window not shorter", name, lim.DutyOn, lim.DutyWindow)
		}
	}
	for _, pair := range cfg.Forbidden {
		for _, name := range pair {
			if _, there := rig.Outputs[name]; !there {
				add("forbidden pair %s and %s: the rig has no %s", pair[0], pair[1], name)
			}
		}
		if pair[0] == pair[1] {
			add("forbidden pair %s and %s: a part can't be kept apart from itself", pair[0], pair[1])
		}
	}
	return errors.Join(bad...)
}

func orNone(d driver.Deadman) driver.Deadman {
	if d == "" {
		return driver.DeadmanNone
	}
	return d
}

// effective fills in what the configuration left open.
func (l Limits) effective(name driver.Part) Limits {
	if l.MaxOn == 0 {
		l.MaxOn = ceilings[name]
	}
	if l.DutyOn > 0 {
		l.MaxOn = min(l.MaxOn, l.DutyOn)
	}
	return l
}

// remembers reports whether the part's past matters after a restart.
func (l Limits) remembers() bool { return l.Rest > 0 || l.DutyOn > 0 }
