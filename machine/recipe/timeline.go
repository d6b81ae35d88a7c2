package recipe

import (
	"fmt"
	"strings"
	"time"

	"barista/driver"
	"barista/driver/guard"
)

// Action is what an event does.
type Action string

// The kinds.
const (
	Step Action = "step" // says what begins, for people
	On   Action = "on"
	Off  Action = "off"
	Wait Action = "wait" // goes on when its condition holds
)

// Event is one line of a timeline. Whoever walks it needs one rule: an event
// fires at its At, or, with a condition, as soon as that holds and at the latest
// Late after At; what an event came early or late shifts all that follow.
type Event struct {
	At     time.Duration // planned, from the start
	Kind   Action
	Part   driver.Part   // with On and Off
	AtMost time.Duration // with On: the bound that the guard is given
	Until  *Until        // with Off and Wait; an On whose condition holds already is left out
	Amount float64       // with On and Off: g, ml or doses that this piece brings
	Step   string        // with Step: "grind", "heat", "pour", "milk", "sugar", "rest"
	Text   string        // with Step: how much, for people
}

// Until is a condition on a sensor.
type Until struct {
	Signal driver.Signal
	Value  float64       // Flow: ml since the part went on; Temperature: °C; Hot: 1
	Late   time.Duration // how long after the planned time at the latest
}

// Timeline is a drink laid out for one machine, sorted by At. One part is on at
// a time.
type Timeline []Event

// Length is the planned time to the last event.
func (t Timeline) Length() time.Duration {
	if len(t) == 0 {
		return 0
	}
	return t[len(t)-1].At
}

// Longest is the time if every condition is met at the last moment.
func (t Timeline) Longest() time.Duration {
	d := t.Length()
	for _, e := range t {
		if e.Until != nil && e.Kind != On {
			d += e.Until.Late
		}
	}
	return d
}

// Rest is how long after the end of t the next drink may begin, as far as the rests of
// the parts go that both switch on. A duty counts when it is used up, which one drink
// does not show.
func (t Timeline) Rest(next Timeline, parts map[driver.Part]guard.Limits) (d time.Duration) {
	off := map[driver.Part]time.Duration{}
	for _, e := range t {
		if e.Kind == Off {
			off[e.Part] = e.At
		}
	}
	for _, e := range next {
		if at, used := off[e.Part]; used && e.Kind == On {
			d = max(d, at+parts[e.Part].Rest-t.Length()-e.At)
			delete(off, e.Part) // its first time on alone
		}
	}
	return d
}

// Stage is a step, and the percent of the whole drink at which it begins.
type Stage struct {
	Step string
	From int
}

// Stages lists the steps, in order.
func (t Timeline) Stages() []Stage {
	var out []Stage
	long := max(t.Length(), 1)
	for _, e := range t {
		if e.Kind == Step {
			out = append(out, Stage{e.Step, int(100 * e.At / long)})
		}
	}
	return out
}

// String is one event per line.
func (t Timeline) String() string {
	var b strings.Builder
	for _, e := range t {
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func (e Event) String() string {
	s := clock(e.At) + " "
	switch e.Kind {
	case Step:
		return strings.TrimSpace(s + "step " + e.Step + " " + e.Text)
	case On:
		s += fmt.Sprintf("%s on, at most %s", e.Part, clock(e.AtMost))
		if e.Until != nil {
			s += ", unless " + e.Until.text()
		}
	case Off:
		s += string(e.Part) + " off"
		if e.Until != nil {
			s += fmt.Sprintf(" at %s, %s later at most", e.Until.text(), clock(e.Until.Late))
		}
	case Wait:
		s += fmt.Sprintf("wait until %s, %s at most", e.Until.text(), clock(e.Until.Late))
	}
	return s
}

func (u Until) text() string {
	switch u.Signal {
	case driver.Flow:
		return num(u.Value, "ml")
	case driver.Temperature:
		return num(u.Value, "°C")
	}
	return string(u.Signal)
}

// clock writes a time as people read it: tenths of a second, finer only where
// there is nothing else.
func clock(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.String()
}
