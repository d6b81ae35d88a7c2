package guard

import (
	"slices"
	"time"

	"barista/driver"
)

// span is one time that a part was on.
type span struct{ from, to time.Time }

// maxSpans bounds what is kept of a part's past. Beyond it, the two that are
// nearest to each other become one, with the pause between them counted as on.
const maxSpans = 32

// used is how much of the ceiling is taken already: the time on since the last
// real pause. Rig.mu is held.
func (p *part) used(now time.Time) time.Duration {
	switch {
	case !p.lit.IsZero():
		return p.count + now.Sub(p.lit)
	case now.Sub(p.rest) < gap:
		return p.count
	}
	return 0
}

// ran notes a time on, for the duty. Rig.mu is held.
func (p *part) ran(from, to time.Time) {
	if p.lim.DutyOn == 0 {
		return
	}
	p.runs = append(p.runs, span{from, to})
	old := to.Add(-p.lim.DutyWindow)
	p.runs = slices.DeleteFunc(p.runs, func(s span) bool { return !s.to.After(old) })
	if len(p.runs) > maxSpans {
		near := 1
		for i := range p.runs[1:] {
			if p.pause(i+1) < p.pause(near) {
				near = i + 1
			}
		}
		p.runs[near-1].to = p.runs[near].to
		p.runs = slices.Delete(p.runs, near, near+1)
	}
}

// pause is the time off before run i.
func (p *part) pause(i int) time.Duration { return p.runs[i].from.Sub(p.runs[i-1].to) }

// restLeft is how long until the part may go on for the given time, by its rest
// and its duty. Rig.mu is held.
func (p *part) restLeft(now time.Time, atMost time.Duration) time.Duration {
	left := p.dutyLeft(now, atMost)
	if p.lit.IsZero() && !p.rest.IsZero() {
		left = max(left, p.lim.Rest-now.Sub(p.rest))
	}
	return max(left, 0)
}

// dutyLeft is how long until enough of the past has left the window. What fits
// now fits to its end: with time the window only loses old runs. Rig.mu is held.
func (p *part) dutyLeft(now time.Time, atMost time.Duration) time.Duration {
	if p.lim.DutyOn == 0 {
		return 0
	}
	budget := max(p.lim.DutyOn-atMost, 0)
	runs := p.runs
	if !p.lit.IsZero() {
		runs = append(slices.Clip(runs), span{p.lit, now})
	}
	for _, s := range slices.Backward(runs) {
		long := s.to.Sub(s.from)
		if long > budget {
			// The window has to begin inside this run, so late that just the
			// budget is left of it.
			return s.to.Add(p.lim.DutyWindow - budget).Sub(now)
		}
		budget -= long
	}
	return 0
}

// state is what a restart must know.
type state struct {
	Boot  string                 `json:"boot"` // the kernel's id of this boot; times are on its clock
	Latch *Latch                 `json:"latch,omitempty"`
	Parts map[driver.Part]memory `json:"parts,omitempty"`

	// ID and At are the place of the state itself; Journal is that of the journal
	// beside it: as far as it is on disk, and in the file of rests as far as it was
	// written. A file of version 1 has none of them.
	ID      string `json:"id,omitempty"`
	At      uint64 `json:"at,omitempty"`
	Journal Place  `json:"journal,omitzero"`

	fresh bool // there was no file: a new machine
}

// memory is one part that has a rest or a duty and was on at some time. Times
// are nanoseconds since the boot.
type memory struct {
	On   bool       `json:"on,omitempty"` // it was on when this was written
	From int64      `json:"from_ns"`      // with on: since when
	Off  int64      `json:"off_ns"`       // without on: when it went off
	Runs [][2]int64 `json:"runs_ns,omitempty"`
}

// snapshot is what the file must say now.
func (g *Rig) snapshot() state {
	g.mu.Lock()
	defer g.mu.Unlock()
	boot, bootNow := g.store.clock()
	now := time.Now()
	at := func(t time.Time) int64 { return int64(bootNow - now.Sub(t)) }
	s := state{Boot: boot, Latch: g.filed, Parts: map[driver.Part]memory{}}
	for _, p := range g.parts {
		if !p.lim.remembers() || p.lit.IsZero() && p.rest.IsZero() {
			continue
		}
		m := memory{On: !p.lit.IsZero()}
		if m.On {
			m.From = at(p.lit)
		} else {
			m.Off = at(p.rest)
		}
		for _, r := range p.runs {
			m.Runs = append(m.Runs, [2]int64{at(r.from), at(r.to)})
		}
		s.Parts[p.name] = m
	}
	return s
}

// resume takes over what the last run left, when everything has just been
// switched off. Where nobody can know how long ago something was (another boot,
// a file that can't be read), it is taken to have ended now: the full rest, and
// a duty used up. Rig.mu is held.
func (g *Rig) resume(s state) {
	boot, bootNow := g.store.clock()
	now := time.Now()
	at := func(ns int64) time.Time { return now.Add(min(time.Duration(ns)-bootNow, 0)) }
	blind := s.Boot != boot || boot == ""
	for _, p := range g.parts {
		m, known := s.Parts[p.name]
		switch {
		case s.fresh || !p.lim.remembers():
			continue
		case blind:
			p.rest = now
			p.ran(now.Add(-p.lim.DutyOn), now)
		case known:
			for _, r := range m.Runs {
				p.ran(at(r[0]), at(r[1]))
			}
			p.rest = at(m.Off)
			if m.On { // the program died over it; it is off since just now
				p.rest = now
				p.ran(at(m.From), now)
			}
		}
	}
}
