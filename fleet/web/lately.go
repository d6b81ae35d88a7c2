package web

import (
	"slices"
	"strings"
	"time"

	"barista/fleet"
	"barista/fleet/words"
)

// stands is a machine's state and since when this website has seen it.
type stands struct {
	state string
	since time.Time // monotonic
	whole bool      // it saw it begin
}

// heed notes which states have begun. The caller holds mu; a list that could not be read
// says nothing.
func (l *roll) heed() {
	if l.err != nil {
		return
	}
	was := l.states
	l.states = map[string]stands{}
	for _, m := range l.list {
		s, known := was[m.Machine]
		if now := stateOf(m); !known || s.state != now {
			s = stands{now, time.Now(), known}
		}
		l.states[m.Machine] = s
	}
}

// stateOf is what a tile says of a machine first.
func stateOf(m fleet.Machine) string {
	if !m.Here {
		return ""
	}
	if m.Parked() {
		return "parked"
	}
	return string(m.State)
}

// lasts is for how long a machine has been so; not whole: at least.
func (l *roll) lasts(m fleet.Machine) (d time.Duration, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known := l.states[m.Machine]
	if !known || s.state != stateOf(m) {
		return 0, true
	}
	return time.Since(s.since), s.whole
}

// lasts is a time in words; nothing for less than a minute.
func (w catalogue) lasts(d time.Duration, whole bool) string {
	var long string
	switch {
	case d < time.Minute:
		return ""
	case d < time.Hour:
		long = w.say("lasts.minutes", int(d/time.Minute))
	case d < 48*time.Hour:
		long = w.say("lasts.hours", int(d/time.Hour))
	default:
		long = w.say("lasts.days", int(d/(24*time.Hour)))
	}
	if whole {
		return w.say("lasts.for", long)
	}
	return w.say("lasts.least", long)
}

// lately says what came about at a machine last. A fault that it still stands in is said
// above.
func (p *pages) lately(t *machine, m fleet.Machine, now time.Time) {
	ago := func(h *fleet.Happened) string {
		at, err := time.Parse(time.RFC3339, h.At)
		if err != nil {
			return ""
		}
		return p.ago(now.Sub(at))
	}
	if f := m.LastFault; f != nil && f.What != m.Code {
		if said := words.Operator(p.Lang, f.What); said != "" {
			t.Lately = p.say("lately.fault", ago(f), f.What, said)
		}
	}
	if a := m.LastAct; a != nil && slices.Contains([]string{verbStop, verbClear, fleet.CommandCup, fleet.CommandTry, fleet.CommandCared, fleet.CommandBack}, a.What) {
		t.Did = p.say("lately.act", p.say("lately."+a.What), a.By, ago(a))
		t.DidBy = strings.TrimSpace(a.Why)
	}
}
