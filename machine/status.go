package machine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"barista/driver"
)

// State is what a machine is doing.
type State string

// The states.
const (
	StateStarting State = "starting"
	StateReady    State = "ready"
	StateBusy     State = "busy"
	StateWaiting  State = "waiting" // for a cup
	StateBlocked  State = "blocked" // a person can mend it, or it passes
	StateFault    State = "fault"   // until a person clears it
)

// Status is what the machine says of itself.
type Status struct {
	State   State
	Reason  Reason // why
	Order   string // in hand
	Percent int    // of the drink in hand
	Lacks   []string
	// CupStands: ready, but the cup of an earlier drink still stands there. The
	// next drink begins when it was taken and another one put there.
	CupStands bool
	Care      []Due // how it stands with its upkeep, of each kind that it knows
	// Outlook moves all the time, and its moving is no change; nor is that of the gauges,
	// which may rattle while water runs.
	Outlook Outlook
	Gauges  Gauges
}

func (s Status) equal(o Status) bool {
	return s.State == o.State && s.Reason == o.Reason && s.Order == o.Order && s.Percent == o.Percent && s.CupStands == o.CupStands && slices.Equal(s.Lacks, o.Lacks) && slices.Equal(s.Care, o.Care)
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
	s.Outlook, s.Gauges, s.Care = m.outlook(s, r), m.gauges(r), m.wear.due(&m.plan, m.cares)
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.equal(m.status) {
		m.status.Outlook, m.status.Gauges = s.Outlook, s.Gauges
		return
	}
	if s.State != m.status.State {
		m.log.Info("machine", "state", s.State, "reason", s.Reason.Error())
	}
	m.status = s
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Machine) judge(r readings) Status {
	if s := m.hand.status(); s.State != "" {
		return s
	}
	if f := m.trouble(); f != nil {
		return Status{State: StateFault, Reason: f.reason()}
	}
	if m.unsettled() {
		return Status{State: StateStarting, Reason: why(Unsettled, "")}
	}
	if rows, r := m.lacks(r); len(rows) > 0 {
		s := Status{State: StateBlocked, Reason: r}
		for _, f := range rows {
			if f.Lacks != "" {
				s.Lacks = append(s.Lacks, f.Lacks)
			}
		}
		return s
	}
	if f := m.holding(time.Now()); f != nil {
		return Status{State: StateBlocked, Reason: f.reason()}
	}
	if m.rig.Appliance() != nil && !m.fit.ready() {
		if m.fit.passes() {
			return Status{State: StateStarting, Reason: m.fit.reason()}
		}
		return Status{State: StateBlocked, Reason: m.fit.reason(), Lacks: m.fit.gauges.lacks()}
	}
	if m.await.waits() {
		return Status{State: StateWaiting, Reason: m.cupNote(m.await.care, r)}
	}
	if m.warming(r) {
		return Status{State: StateStarting, Reason: why(Warming, "")}
	}
	return Status{State: StateReady, CupStands: m.sees() && m.usedCup() && !r.no(driver.Cup)}
}

// trouble is what only a person ends: a latch, or the journal.
func (m *Machine) trouble() *failure {
	if l, latched := m.rig.Latched(); latched {
		if err := m.rig.Kept(); err != nil {
			return &failure{Unkept, cmp.Or(l.Code, string(Guard)), fmt.Sprintf("%s; %v", l, err)}
		}
		return ofGuard(l)
	}
	if was, now, is := m.j.Moved(); is {
		return &failure{Moved, was + " → " + now, ""}
	}
	if what, damaged := m.j.Damaged(); damaged {
		return &failure{Damaged, "", what}
	}
	if m.broken != nil {
		return m.broken
	}
	if err := m.j.Broken(); err != nil {
		return &failure{Record, "", err.Error()}
	}
	return nil
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

// leastFree is what the disk must take before a drink is begun: its records, and the
// copy of the journal that the next start may write.
const leastFree = 4 << 20

// lacks lists what a person must fill, empty, close or mend before a drink can
// begin. The reason is that of the first; its detail names the others.
func (m *Machine) lacks(r readings) ([]Fault, Reason) {
	var rows []Fault
	var all Reason
	add := func(f failure) {
		if rows = append(rows, f.row()); len(rows) == 1 {
			all = f.reason()
			return
		}
		all.Detail = strings.TrimSpace(all.Detail + " + " + cmp.Or(f.detail, string(f.cause)))
		if f.said != "" {
			all.Quote = strings.TrimPrefix(all.Quote+"; "+f.said, "; ")
		}
	}
	for _, x := range []struct {
		s driver.Signal
		c Cause
	}{{driver.Stop, StopPressed}, {driver.Door, DoorOpen}, {driver.Tank, TankEmpty}, {driver.Beans, BeansEmpty}, {driver.Tray, TrayFull}, {driver.Power, PowerLow}} {
		if r.no(x.s) {
			add(failure{cause: x.c})
		}
	}
	for _, s := range driver.Signals {
		if x, there := r[s]; there && !x.good() {
			add(failure{SensorBad, string(s), x.err.Error()})
		}
	}
	switch free, err := m.rig.Free(); {
	case cmp.Or(m.rig.Stored(), err) != nil:
		add(failure{DiskFull, "", cmp.Or(m.rig.Stored(), err).Error()})
	case free < m.least:
		add(failure{DiskFull, fmt.Sprintf("disk < %d MiB", m.least>>20), ""})
	}
	return rows, all
}

// warming reports a boiler that heats itself and is not there yet.
func (m *Machine) warming(r readings) bool {
	if _, heater := m.limits.Parts[driver.Heater]; heater {
		return false
	}
	return r.no(driver.Hot) && m.wantsHeat()
}

func (m *Machine) wantsHeat() bool {
	for _, d := range m.plan.Book {
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
