package metrics

import (
	"slices"
	"sync"

	"barista/fleet"
	"barista/fleet/words"
)

// other is the label of what the house does not know.
const other = "other"

// mostMachines are told apart, over the life of a process: machines come and go, and
// each name that ever was stays in a counter.
const mostMachines = 2000

var codes = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, lang := range words.Languages {
		for _, c := range words.Codes(lang) {
			out[c] = true
		}
	}
	return out
})

// code is a reason's code as a label: one that the catalogues know. A machine of a
// later version, or one that somebody else has written, may say any other word.
func code(c string) string {
	switch {
	case c == "":
		return "none"
	case codes()[c]:
		return c
	}
	return other
}

// names bounds how many machines are told apart.
type names struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (n *names) of(machine string) string {
	if !fleet.IsToken(machine) {
		return other
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	if !n.seen[machine] {
		if len(n.seen) >= mostMachines {
			return other
		}
		n.seen[machine] = true
	}
	return machine
}

// step is a drink's step as a label.
func step(s string) string {
	if slices.Contains(steps, s) {
		return s
	}
	return other
}

// steps are what a drink is made of.
var steps = []string{"grind", "heat", "pour", "milk", "sugar", "rest"}
