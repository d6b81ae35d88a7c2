package guard

import (
	"time"

	"barista/driver"
)

// Open is New with a boot clock of the test, for the parts that the rig has.
func Open(rig driver.Rig, cfg Config, clock func() (string, time.Duration)) (*Rig, error) {
	return open(rig, cfg.Of(rig), clock)
}

// Turns is how often Run woke up.
func (g *Rig) Turns() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turns
}

// Clearing reports whether a Clear is between its checks and its end.
func (g *Rig) Clearing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clearing
}

// RestLeft is RestLeftFor the shortest time.
func (g *Rig) RestLeft(name driver.Part) time.Duration { return g.RestLeftFor(name, 1) }
