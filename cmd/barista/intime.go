package main

import (
	"fmt"
	"slices"
	"time"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/fleet"
	"barista/fleet/worker"
	"barista/machine"
	"barista/machine/recipe"
)

// bookOf is what a machine is expected to make at most: the sizes that it serves,
// with milk and sugar where it has them.
func bookOf(m *configs.Machine) recipe.Book {
	parts := limitsOf(m).Parts
	milk := slices.ContainsFunc(m.Serves.Milks, func(milk string) bool { return milk != fleet.NoMilk })
	book := recipe.Book{}
	for _, size := range m.Serves.Sizes {
		d, known := recipe.DefaultBook()[string(size)]
		if !known {
			continue
		}
		if _, there := parts[driver.Milk]; !there || !milk {
			d.MilkML = 0
		}
		if _, there := parts[driver.Sugar]; !there {
			d.Sugar = 0
		}
		book[string(size)] = d
	}
	return book
}

// inTime adds to a kind's check that no drink takes longer than a fleet waits
// before it calls an outcome unknown. The worker would refuse the same, but only
// after the outputs were touched, and again at each start.
func inTime(k kind) configs.Kind {
	if k.wire == nil || k.Simulated {
		return k.Kind // an appliance looks at the time of its products; what is simulated has a pace of its own
	}
	check := k.Check
	k.Check = func(c *configs.Machine, m *configs.Map) {
		if check != nil {
			check(c, m)
		}
		if !m.Node().Clean() {
			return // its times would mean nothing
		}
		if why := tooLong(c, calibration(c, recipe.DefaultCalibration())); why != "" {
			m.Node().KeyProblem(why, "shorten the rests, raise the rates (barista calibrate), or take the largest size out of serves")
		}
	}
	return k.Kind
}

// tooLong says that a drink could take longer than a fleet waits; "" where it
// can't. It looks at real actuators only, as inTime does.
func tooLong(m *configs.Machine, cal recipe.Calibration) string {
	if k := drivers[m.Driver]; k.wire == nil || k.Simulated {
		return ""
	}
	d := machine.Longest(bookOf(m), cal, limitsOf(m))
	if d <= worker.LongestBrew {
		return ""
	}
	return fmt.Sprintf("a drink of it could take %v with every wait at its end, and a fleet waits %v", d.Round(time.Second), worker.LongestBrew)
}

// measuredInTime is the same look at what was measured on the machine, which the
// file does not know. The machine stays off until a person has decided, and
// systemd does not try again.
func (s *shop) measuredInTime(m *configs.Machine) error {
	here, err := measuredIn(machineDir(s.file.State, m.Name))
	if err != nil {
		return err
	}
	if why := tooLong(m, here.Over(calibration(m, recipe.DefaultCalibration()))); why != "" {
		return term.Fail(term.ExitConfig, "barista calibrate grinder|pump|milk --rollback, shorten the rests, or take the largest size out of serves", "%s: as it was measured, %s", m.Name, why)
	}
	return nil
}
