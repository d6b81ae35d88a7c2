package machine

import (
	"errors"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/recipe"
)

// walk is a timeline on its way. There is one rule: an event fires at its time;
// one with a condition fires as soon as that holds, and at the latest Late after
// its time. If it came early or late, all later ones shift by as much.
type walk struct {
	tl    recipe.Timeline
	i     int // the next event
	start time.Time
	slip  time.Duration
	wait  time.Time     // an On that the guard asked to postpone
	spent time.Duration // on postponing
	base  driver.Reading
	step  int // steps begun

	deadline time.Time // after which the first part must not go on; zero: none
	late     bool      // it has passed, and nothing went on
	first    time.Time // when the first part went on, or may have; zero: none did
	used     bool      // something of the order was used up
}

// maxPostponed bounds how long one drink waits for rests that the timeline did
// not plan, for example after a drink just before it.
const maxPostponed = 30 * time.Second

// due is when an event is planned, as things stand.
func (w *walk) due(e recipe.Event) time.Time { return w.start.Add(e.At + w.slip) }

// advance fires every event that is due. It tells how long there is nothing to
// do, at most a tick; done when the list is over. A walk that is late goes no
// further.
func (m *Machine) advance(w *walk) (next time.Duration, done bool, f *failure) {
	tick := m.scaled(busyTick, time.Millisecond)
	for w.i < len(w.tl) {
		e := w.tl[w.i]
		now := time.Now()
		if now.Before(w.wait) {
			return min(tick, w.wait.Sub(now)), false, nil
		}
		left := w.due(e).Sub(now)
		switch {
		case e.Until == nil || e.Kind == recipe.On:
			if left > 0 {
				return min(tick, left), false, nil
			}
		case !m.holds(w, *e.Until):
			if last := left + e.Until.Late; last > 0 {
				if left > 0 { // water comes at a known rate: be there when it is enough
					last = left
				}
				return min(tick, last), false, nil
			}
			if f := m.over(w, e); f != nil {
				return 0, false, f
			}
		}
		postponed, f := m.fire(w, e)
		if f != nil {
			return 0, false, f
		}
		if postponed {
			continue
		}
		if w.late {
			return 0, false, nil
		}
		w.slip = time.Since(w.start) - e.At
		w.i++
	}
	return 0, true, nil
}

// fire does one event.
func (m *Machine) fire(w *walk, e recipe.Event) (postponed bool, f *failure) {
	switch e.Kind {
	case recipe.Step:
		w.step++
	case recipe.On:
		if e.Until != nil && m.holds(w, *e.Until) {
			return false, nil // it is hot already
		}
		// The last thing before the first relay.
		if w.late = w.first.IsZero() && !w.deadline.IsZero() && !time.Now().Before(w.deadline); w.late {
			return false, nil
		}
		if s := proof(e.Part); s != "" {
			w.base, _ = m.sense(s) // a sensor that can't say shows at the next look
		}
		m.ver.touch(e.Part)
		err := m.rig.On(e.Part, e.AtMost)
		if err == nil && e.Part == driver.Heater {
			m.heats()
		}
		if err == nil || !refused(err) {
			w.moved(e.Part)
			m.trace.switched(e.Part, true)
		}
		if err != nil {
			if left := mayWait(err); left > 0 && w.spent+left <= maxPostponed {
				w.wait, w.spent = time.Now().Add(left), w.spent+left
				return true, nil
			}
			if l, latched := m.rig.Latched(); latched {
				return false, ofGuard(l)
			}
			return false, &failure{Refused, string(e.Part), err.Error()}
		}
	case recipe.Off:
		if err := m.rig.Off(e.Part); err != nil {
			return false, ofOff(err)
		}
		m.trace.switched(e.Part, false)
		if e.Part == driver.Heater {
			m.heated()
		}
		if e.Part == driver.Grinder && m.limits.Signals[driver.Weight] {
			if r, err := m.sense(driver.Weight); err == nil {
				beans, err := m.sense(driver.Beans)
				return false, m.ver.ground(r.Value-w.base.Value, e.Amount, err != nil || beans.Yes())
			}
		}
	}
	return false, nil
}

// moved notes that a part went on, or may have.
func (w *walk) moved(p driver.Part) {
	if w.first.IsZero() {
		w.first = time.Now()
	}
	w.used = w.used || usesUp(p)
}

// refused reports an error of the guard after which nothing has moved; after
// any other one the part may have been on.
func refused(err error) bool {
	_, rest := errors.AsType[*guard.RestError](err)
	_, conflict := errors.AsType[*guard.ConflictError](err)
	_, ceiling := errors.AsType[*guard.CeilingError](err)
	_, latched := errors.AsType[*guard.LatchedError](err)
	return rest || conflict || ceiling || latched || errors.Is(err, guard.ErrNotRunning)
}

// mayWait is how long the guard's refusal lasts, if it passes by itself.
func mayWait(err error) time.Duration {
	if rest, ok := errors.AsType[*guard.RestError](err); ok {
		return rest.Left
	}
	if conflict, ok := errors.AsType[*guard.ConflictError](err); ok {
		return conflict.Left
	}
	if ceiling, ok := errors.AsType[*guard.CeilingError](err); ok && ceiling.Used > 0 {
		return 100 * time.Millisecond // the pause that ends the guard's count
	}
	return 0
}

// proof is the sensor that shows a part's work.
func proof(p driver.Part) driver.Signal {
	switch p {
	case driver.Pump:
		return driver.Flow
	case driver.Grinder:
		return driver.Weight
	}
	return ""
}

// holds asks the sensor now. One that can't say is no.
func (m *Machine) holds(w *walk, u recipe.Until) bool {
	r, err := m.sense(u.Signal)
	switch {
	case err != nil:
		return false
	case u.Signal == driver.Flow:
		return r.Value-w.base.Value >= u.Value
	case u.Signal == driver.Temperature && r.Value >= m.plan.MaxTempC:
		return false // a short probe is not a hot boiler; the verifier has a word for both
	}
	return r.Value >= u.Value
}

// over judges a condition that did not come in time.
func (m *Machine) over(w *walk, e recipe.Event) *failure {
	switch {
	case e.Until.Signal == driver.Flow:
		r, err := m.sense(driver.Flow)
		if err != nil {
			return &failure{SensorBad, string(driver.Flow), err.Error()}
		}
		return m.ver.flowed(r.Value-w.base.Value, e.Until.Value)
	case e.Part == driver.Heater:
		return &failure{HeatSlow, e.Until.Late.String(), ""}
	}
	return &failure{Cold, e.Until.Late.String(), ""}
}

func (m *Machine) sense(s driver.Signal) (driver.Reading, error) {
	if sensor, there := m.sensors[s]; there {
		return sensor.Read()
	}
	return driver.Reading{}, driver.ErrInvalid
}
