package controller

import "barista/fleet"

// hindrance is the code of what keeps these machines from taking orders: that of the
// one from which most can be hoped. What passes by itself comes before what somebody
// must fill, then what a person has decided, and a fault is last. None of them is
// here: away.
func hindrance(kept []*fleet.Machine) string {
	code, best := fleet.CodeAway, len(hopes)
	for _, m := range kept {
		state := m.State
		if m.Cordon != nil && state != fleet.StateFault {
			state = fleet.StateCordoned
		}
		for rank, of := range hopes[:best] {
			if state == of {
				code, best = ailment(m, state), rank
				break
			}
		}
	}
	return code
}

// hopes are the states in which a machine takes no order, the shortest first.
var hopes = []fleet.State{fleet.StateStarting, fleet.StateUnsynced, fleet.StateBlocked, fleet.StateDraining, fleet.StateCordoned, fleet.StateFault}

// ailment is the code of what ails one machine, which is here.
func ailment(m *fleet.Machine, state fleet.State) string {
	switch {
	case state == fleet.StateCordoned || state == fleet.StateDraining && m.Cordon != nil:
		return fleet.CodeCordoned
	case m.Code != "":
		return m.Code
	case state == fleet.StateStarting:
		return fleet.CodeStarting
	}
	return fleet.CodeHandless // of an earlier version, which has no codes
}
