package guard

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/driver"
)

// Latch is a fault that holds the rig until a person clears it.
type Latch struct {
	// Code and Detail are those of whoever tripped it: a stable word, and figures
	// that go with it. Without a code it is the guard's own fault, or one of a
	// version that wrote the whole sentence into Cause.
	Code   string    `json:"code,omitempty"`
	Detail string    `json:"detail,omitempty"`
	Cause  string    `json:"cause,omitempty"` // what was said of it, a driver's error for example
	At     time.Time `json:"at"`              // wall clock, for display only
	// Feedback: a contact showed that a part did not do what it was told
	// (driver.ErrFeedback), so that whoever shows the fault can name it.
	Feedback bool `json:"feedback,omitempty"`
}

// maxCause bounds a cause, in bytes: it goes to disk and to screens.
const maxCause = 500

// diskPatience is how long a caller waits for a slow disk, when everything is
// off already. The write goes on behind its back.
const diskPatience = time.Second

// newLatch is a latch of now, its texts within bounds.
func newLatch(l Latch) *Latch {
	for _, s := range []*string{&l.Code, &l.Detail, &l.Cause} {
		if *s = strings.TrimSpace(strings.ToValidUTF8(*s, "?")); len(*s) > maxCause {
			*s = strings.ToValidUTF8((*s)[:maxCause], "") + "…"
		}
	}
	if l.Code == "" && l.Cause == "" {
		l.Cause = "tripped without a cause"
	}
	l.At = time.Now().UTC().Round(0)
	return &l
}

// String is the fault in the words of a log: its code, figures, and what was
// said.
func (l Latch) String() string {
	var parts []string
	for _, s := range []string{l.Code, l.Detail, l.Cause} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Trip latches the rig: everything is switched off, then the cause goes to
// disk, then Trip returns (bounded by the ports, and one second for the disk).
// Nothing goes on until Clear, also after a restart. The first cause stays; a
// second Trip switches everything off again. At any time, from any goroutine.
func (g *Rig) Trip(l Latch) {
	g.mu.Lock()
	g.hold(newLatch(l))
	calls := g.allOff()
	g.file()
	g.mu.Unlock()
	_ = wait(calls) // what did not go off is tried again by Run, and OnNow shows it
	g.saved()
}

// saved has the state written, and waits for it a while.
func (g *Rig) saved() error {
	late := time.NewTimer(diskPatience)
	defer late.Stop()
	select {
	case err := <-g.store.save():
		return g.named(err)
	case <-late.C:
		return g.named(fmt.Errorf("the disk did not take the guard's state within %v", diskPatience))
	}
}

// fault is a trip by the guard's own eyes. It waits for nothing. Rig.mu is held.
func (g *Rig) fault(err error) {
	l := newLatch(Latch{Cause: err.Error(), Feedback: errors.Is(err, driver.ErrFeedback)})
	if g.phase != opening && g.hold(l) {
		g.allOff()
		g.file()
	}
}

// hold sets the latch and reports whether it is new. Rig.mu is held.
func (g *Rig) hold(l *Latch) bool {
	if g.latch != nil && !g.clearing {
		return false
	}
	if g.latch == nil {
		close(g.tripped)
	}
	g.clearing = false
	g.latch, g.held = l, time.Now()
	g.trips[l.Code]++
	g.filed, g.unfiled = g.latch, true
	return true
}

// file has a new latch or a new rest written, but not before every port that
// still answers has done what it was told: nothing may compete with switching
// off. Rig.mu is held.
func (g *Rig) file() {
	if !g.unfiled {
		return
	}
	for _, to := range g.ports {
		select {
		case <-to.idle:
		default:
			if !to.stuck {
				return // its end comes back here
			}
		}
	}
	g.unfiled = false
	g.store.poke()
}

// Latched tells the fault that holds the rig.
func (g *Rig) Latched() (Latch, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.latch == nil {
		return Latch{}, false
	}
	return *g.latch, true
}

// Trips is how often the rig was latched since New, by the latch's code, "" for the
// guard's own. A fault that an earlier run left is none of these.
func (g *Rig) Trips() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.trips)
}

// Tripped is closed while the rig is latched. After Clear there is a new one.
func (g *Rig) Tripped() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tripped
}

// cleared is a line of the log: somebody cleared a fault, or tried to.
type cleared struct {
	At    time.Time `json:"at"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
	Cause string    `json:"cause"`
	Since time.Time `json:"since"`
}

// Clear ends a fault, by a person who looked at the machine: who and why are
// both needed and recorded. Everything must let itself be switched off, and the
// record and then the end of the latch must be on disk, or the rig stays latched
// and the error says why. ErrNotLatched if there is nothing to clear. It switches
// nothing on.
func (g *Rig) Clear(by, why string) error {
	by, why = strings.TrimSpace(by), strings.TrimSpace(why)
	if by == "" || why == "" {
		return g.named(errors.New("can't clear the fault: say who clears it and why"))
	}
	latch, err := g.startClear()
	if err != nil {
		return err
	}
	g.store.note(cleared{time.Now().UTC().Round(0), by, why, latch.String(), latch.At})
	err = g.saved()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.clearing {
		return g.named(fmt.Errorf("a new fault came while the old one was cleared: %s", g.latch))
	}
	g.clearing = false
	if err != nil {
		g.filed = g.latch
		g.store.poke()
		return err
	}
	g.latch = nil
	g.tripped = make(chan struct{})
	return nil
}

// startClear sees that everything is off and lets the file forget the latch,
// while the rig itself is still held by it.
func (g *Rig) startClear() (Latch, error) {
	if err := g.AllOff(); err != nil {
		return Latch{}, fmt.Errorf("can't clear the fault, not everything can be switched off: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.latch == nil:
		return Latch{}, g.named(ErrNotLatched)
	case g.clearing:
		return Latch{}, g.named(errors.New("the fault is being cleared by somebody else"))
	case slices.ContainsFunc(g.parts, func(p *part) bool { return p.on || p.off != nil }):
		return Latch{}, g.named(errors.New("can't clear the fault, not everything is off yet"))
	}
	g.clearing, g.filed, g.unfiled = true, nil, false
	return *g.latch, nil
}
