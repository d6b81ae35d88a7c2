package machine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"barista/driver"
)

// Status is what the machine says of itself.
type Status struct {
	// State is "starting", "ready", "busy", "waiting" (for a cup), "blocked" (a
	// person can mend it, or it passes) or "fault" (until a person clears it).
	State   string
	Note    string // why, for people
	Percent int    // of the drink in hand
	Lacks   []string
	// CupStands: ready, but the cup of an earlier drink still stands there. The
	// next drink begins when it was taken and another one put there.
	CupStands bool
}

func (s Status) equal(o Status) bool {
	return s.State == o.State && s.Note == o.Note && s.Percent == o.Percent && s.CupStands == o.CupStands && slices.Equal(s.Lacks, o.Lacks)
}

// Status is what the machine is doing.
func (m *Machine) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// Changed is closed at the next change of Status. Take it before Status is read.
func (m *Machine) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// publish lets everybody see the status. Owner loop only.
func (m *Machine) publish(r readings) {
	s := m.judge(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.equal(m.status) {
		return
	}
	if s.State != m.status.State {
		m.log.Info("machine", "state", s.State, "note", s.Note)
	}
	m.status = s
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Machine) judge(r readings) Status {
	if s := m.hand.status(); s.State != "" {
		return s
	}
	switch {
	case m.trouble() != "":
		return Status{State: "fault", Note: m.trouble()}
	case m.unsettled():
		return Status{State: "starting", Note: "an earlier drink is not settled yet"}
	}
	if rows, why := m.lacks(r); len(rows) > 0 {
		s := Status{State: "blocked", Note: why}
		for _, f := range rows {
			if f.Lacks != "" {
				s.Lacks = append(s.Lacks, f.Lacks)
			}
		}
		return s
	}
	if f := m.holding(time.Now()); f != nil {
		return Status{State: "blocked", Note: f.reason()}
	}
	if m.rig.Appliance() != nil && m.fit.why() != "" {
		if m.fit.passes() {
			return Status{State: "starting", Note: m.fit.why()}
		}
		return Status{State: "blocked", Note: m.fit.why()}
	}
	if m.await.waits() {
		return Status{State: "waiting", Note: m.cupNote(r)}
	}
	if m.warming(r) {
		return Status{State: "starting", Note: "warming up"}
	}
	return Status{State: "ready", CupStands: m.sees() && m.usedCup() && !r.no(driver.Cup)}
}

// trouble is what only a person ends: a latch, or the journal.
func (m *Machine) trouble() string {
	if l, latched := m.rig.Latched(); latched {
		return locked(l)
	}
	if why, damaged := m.j.Damaged(); damaged {
		return (&failure{Damaged, why}).reason()
	}
	broken := m.broken
	if err := cmp.Or(m.j.Broken(), m.rig.Stored()); err != nil && broken == nil {
		broken = &failure{Record, err.Error()}
	}
	if broken != nil {
		return broken.reason()
	}
	return ""
}

// unsettled reports starts of an earlier run that Recover has not settled.
func (m *Machine) unsettled() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, rec := range m.j.Open() {
		if rec.Key != m.own {
			return true
		}
	}
	return false
}

// holding is the fault after which the machine steps back.
func (m *Machine) holding(now time.Time) *failure {
	if m.hold != nil && !now.Before(m.until) {
		m.hold = nil
	}
	return m.hold
}

// lacks lists what a person must fill, empty, close or mend before a drink can
// begin.
func (m *Machine) lacks(r readings) ([]Fault, string) {
	var rows []Fault
	why := ""
	add := func(c Cause, detail string) {
		f := &failure{c, detail}
		rows = append(rows, f.row())
		if why != "" {
			why += " "
		}
		why += f.reason()
	}
	for _, x := range []struct {
		s driver.Signal
		c Cause
	}{{driver.Stop, StopPressed}, {driver.Door, DoorOpen}, {driver.Tank, TankEmpty}, {driver.Beans, BeansEmpty}, {driver.Tray, TrayFull}, {driver.Power, PowerLow}} {
		if r.no(x.s) {
			add(x.c, "")
		}
	}
	for _, s := range driver.Signals {
		if x, there := r[s]; there && !x.good() {
			add(SensorBad, fmt.Sprintf("%s: %v", s, x.err))
		}
	}
	return rows, why
}

// warming reports a boiler that heats itself and is not there yet.
func (m *Machine) warming(r readings) bool {
	if _, heater := m.limits.Parts[driver.Heater]; heater {
		return false
	}
	return r.no(driver.Hot) && m.wantsHeat()
}

func (m *Machine) wantsHeat() bool {
	for _, d := range m.cfg.Book {
		if d.TempC > 0 {
			return true
		}
	}
	return false
}

// feel looks at every part's contact. Any goroutine.
func (m *Machine) feel() map[driver.Part]reading {
	r := map[driver.Part]reading{}
	for p, contact := range m.contacts {
		v, err := contact.Read()
		r[p] = reading{v, err}
	}
	return r
}

// read looks at every sensor. Any goroutine.
func (m *Machine) read() readings {
	r := readings{}
	for s, sensor := range m.sensors {
		v, err := sensor.Read()
		r[s] = reading{v, err}
	}
	return r
}
