package fleet

import "testing"

// TestServes: to whom an order can be left, and so when a spare is needed.
func TestServes(t *testing.T) {
	o := Order{Size: Small, Bean: "arabica", Milk: NoMilk}
	ready := Machine{Here: true, Presence: Presence{Machine: "zoe", State: StateReady, Classes: []Class{o.Class()}, Sizes: []Size{Small}}}
	for what, x := range map[string]struct {
		change func(*Machine)
		serves bool
	}{
		"ready":                    {func(*Machine) {}, true},
		"at a drink":               {func(m *Machine) { m.State = StateBusy }, true},
		"waits for a cup":          {func(m *Machine) { m.State = StateWaiting }, true},
		"tells what came of one":   {func(m *Machine) { m.State = StateUnsynced }, true},
		"locked":                   {func(m *Machine) { m.State = StateFault }, false},
		"out of beans":             {func(m *Machine) { m.State = StateBlocked }, false},
		"starts":                   {func(m *Machine) { m.State = StateStarting }, false},
		"away":                     {func(m *Machine) { m.Here = false }, false},
		"out of service":           {func(m *Machine) { m.Cordon = &Cordon{} }, false},
		"a spare":                  {func(m *Machine) { m.MinWaiting = 4 }, false},
		"of another bean":          {func(m *Machine) { m.Classes = []Class{{Bean: "robusta", Milk: NoMilk}} }, false},
		"never with so much sugar": {func(m *Machine) { m.Never = []Never{{Sugar: 0}} }, false},
	} {
		m := ready
		if x.change(&m); m.Serves(o) != x.serves {
			t.Errorf("one that is %s serves it: %v", what, !x.serves)
		}
	}
}
