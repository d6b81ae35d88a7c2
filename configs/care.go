package configs

import (
	"time"

	"barista/driver"
	"barista/machine"
)

// decodeCare reads how a machine is cared for.
func decodeCare(m *Map) map[machine.Care]machine.Upkeep {
	out := map[machine.Care]machine.Upkeep{}
	for _, c := range machine.Cares {
		n := m.Get(string(c))
		if n == nil {
			continue
		}
		var up machine.Upkeep
		one := n.Map()
		up.Every, _ = one.Get("every").Int(1, 100_000)
		up.After, _ = one.Get("after").Duration(time.Minute, 365*24*time.Hour)
		up.WaterML, _ = one.Get("water_ml").Float(10, machine.MostRinseML)
		up.For, _ = one.Get("for").Duration(500*time.Millisecond, 30*time.Second)
		if c == machine.Rinse {
			into, _ := one.Get("into").Choice(string(machine.IntoCup), string(machine.IntoTray))
			up.Into = machine.Into(into)
		}
		out[c] = up
	}
	return out
}

// uncared says what of its care the machine could never do. Of metal elsewhere nobody
// knows yet.
func (c *Machine) uncared() (list []driver.Problem) {
	if _, is := c.Settings.(Elsewhere); is {
		return nil
	}
	for _, one := range driver.InOrder(c.Care, machine.Cares) {
		say := func(reason, fix string) {
			list = append(list, driver.Problem{Section: "care", Key: string(one), Reason: reason, Fix: fix})
		}
		d, err := c.CareDrink(one)
		if err != nil {
			say("this machine can't do that: it has no pump and no rinse, or sees to it itself", "leave it out")
			continue
		}
		if c.Appliance() {
			continue
		}
		if _, err := c.Timeline(d); err != nil {
			say(err.Error(), "take less water, or allow the part longer")
		}
	}
	return list
}
