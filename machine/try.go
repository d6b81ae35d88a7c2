package machine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/recipe"
)

// Trial is one part switched alone for a person who stands at the machine. It is
// no drink: the journal does not hear of it.
type Trial struct {
	Part driver.Part
	For  time.Duration // above 0, at most the part's ceiling
	// Measure: the pump's rate is what is to be found out, so too much flow is
	// judged as on a machine that was never calibrated.
	Measure bool
	// Afar: whoever wants it is not known to stand at the machine. Where a sensor sees what
	// stands under the spout, something must stand there.
	Afar bool
}

// Tried is what a trial showed.
type Tried struct {
	On    time.Duration // how long the part was on
	Proof driver.Signal // the sensor that shows its work; "" if this machine has none
	Gain  float64       // what that sensor rose by, in its unit; 1 for a cup that came
	Shown bool          // it did rise
}

const (
	// tryFor is long enough to hear a relay and see a jet, and fills no cup.
	tryFor = time.Second
	// settles is how long water still runs and beans still fall after the off.
	settles = 500 * time.Millisecond
	// heatShows is how long the heat of a short trial takes to reach the probe.
	heatShows = 5 * time.Second
	heatGain  = 0.3 // °C
)

// shows lists what proves a part's work: which sensor, how much it must rise, and
// the fault if it does not. A second of heat may be too little to see.
var shows = map[driver.Part]struct {
	signal driver.Signal
	least  float64
	cause  Cause // "": no fault
}{
	driver.Pump:    {driver.Flow, noFlowML, NoFlow},
	driver.Rinse:   {driver.Flow, noFlowML, NoFlow},
	driver.Grinder: {driver.Weight, noGrindG, NoGrind},
	driver.Heater:  {driver.Temperature, heatGain, ""},
	driver.Cups:    {driver.Cup, 1, ""},
}

// trial is the task of trying one part.
type trial struct {
	Trial
	walk    *walk
	before  float64
	ended   time.Time // when the part went off; zero: it has not
	maxFlow float64   // the verifier's, before
	tried   Tried
	done    chan error
}

func (*trial) makes() bool      { return false }
func (*trial) moves() bool      { return true }
func (x *trial) busy() Reason   { return why(Trying, string(x.Part)) }
func (x *trial) status() Status { return Status{State: StateBusy, Reason: x.busy()} }

// ShortTry is the trial of a part that is long enough to be heard and harms
// nothing: a second, a dispenser's pulse, never above the ceiling.
func (m *Machine) ShortTry(p driver.Part) Trial {
	d := tryFor
	if p == driver.Cups {
		d = min(d, m.plan.CupPulse)
	}
	return Trial{Part: p, For: min(m.scaled(d, 20*time.Millisecond), m.MaxOn(p))}
}

// Parts lists the parts that can be tried, in the order of driver.Parts.
func (m *Machine) Parts() []driver.Part {
	return driver.InOrder(m.limits.Parts, driver.Parts)
}

// PartsFromAfar lists those that somebody may have tried who does not stand there. What a
// heater did shows after seconds only, so it is left to who stands there.
func (m *Machine) PartsFromAfar() []driver.Part {
	return slices.DeleteFunc(m.Parts(), func(p driver.Part) bool { return p == driver.Heater })
}

// MaxOn is the longest that a trial of the part may last; 0: there is none.
func (m *Machine) MaxOn(p driver.Part) time.Duration { return m.limits.Parts[p].MaxOn }

// RestLeft is how long the part rests until it can be tried for the time.
func (m *Machine) RestLeft(p driver.Part, d time.Duration) time.Duration {
	return m.rig.RestLeftFor(p, d)
}

// Proof is the sensor of this machine that shows a part's work, "" if none does.
func (m *Machine) Proof(p driver.Part) driver.Signal {
	if s := shows[p].signal; m.limits.Signals[s] {
		return s
	}
	return ""
}

// MayTry says why the part can't be tried now; the error is a *NotAble. "" asks
// for what stands in the way of every part. Nothing moves.
func (m *Machine) MayTry(p driver.Part) error {
	return m.askNow(func() error { return m.mayTry(p, m.read()) })
}

func (m *Machine) mayTry(p driver.Part, r readings) error {
	not := func(r Reason) error { return &NotAble{r, true} }
	switch f := m.trouble(); {
	case f != nil:
		return not(f.reason())
	case m.unsettled():
		return not(why(Unsettled, ""))
	case !m.free() || m.await.waits():
		return not(why(Busy, ""))
	}
	// Water and beans matter to the parts that need them.
	r = maps.Clone(r)
	if !slices.Contains([]driver.Part{driver.Pump, driver.Rinse, driver.Heater}, p) {
		delete(r, driver.Tank)
	}
	if p != driver.Grinder {
		delete(r, driver.Beans)
	}
	if rows, r := m.lacks(r); len(rows) > 0 {
		return not(r)
	}
	if f := m.holding(time.Now()); f != nil {
		return not(f.reason())
	}
	switch _, there := m.limits.Parts[p]; {
	case m.rig.Appliance() != nil:
		return not(why(OwnParts, ""))
	case p != "" && !there:
		return not(why(NoPart, string(p)))
	}
	return nil
}

// Try switches one part on through the guard, with the verifier looking, and off
// after the time, and tells what the sensors showed. It ends at once, everything
// off, when ctx does. A *NotAble or a *guard.RestError says that nothing moved;
// any other error what went wrong, with what was seen until then.
func (m *Machine) Try(ctx context.Context, t Trial) (Tried, error) {
	x := &trial{Trial: t, done: make(chan error, 1)}
	if !m.started.Load() {
		return Tried{}, &NotAble{Reason: errEnded}
	}
	if ctx.Err() != nil {
		return Tried{}, &NotAble{Reason: ReasonOf(context.Cause(ctx))}
	}
	if err := m.call(ctx, func() { m.beginTrial(x) }); err != nil {
		return Tried{}, &NotAble{Reason: ReasonOf(err)}
	}
	select {
	case err := <-x.done:
		return x.tried, err
	case <-m.ended:
	case <-ctx.Done():
		_ = m.call(context.Background(), func() {
			if m.hand == task(x) {
				m.abort(ReasonOf(context.Cause(ctx)))
			}
		})
	}
	err := <-x.done // the loop ends its trial before it ends
	return x.tried, err
}

// beginTrial is Try inside the owner loop.
func (m *Machine) beginTrial(x *trial) {
	most := m.MaxOn(x.Part)
	r := m.read()
	if err := m.mayTry(x.Part, r); err != nil {
		x.done <- err
		return
	}
	if x.Afar && m.sees() && r.no(driver.Cup) {
		x.done <- &NotAble{why(NoCup, ""), true}
		return
	}
	if x.For <= 0 || x.For > most {
		x.done <- &NotAble{why(WrongTime, fmt.Sprintf("%s: 0 < %v ≤ %v", x.Part, x.For, most)), true}
		return
	}
	if left := m.rig.RestLeftFor(x.Part, x.For); left > 0 {
		x.done <- &guard.RestError{Part: x.Part, Left: left}
		return
	}
	// What the sensor shows already is not this part's work. A rest or a conflict
	// that only the guard finds, when the part goes on, is waited for.
	if x.tried.Proof = m.Proof(x.Part); x.tried.Proof != "" {
		x.before = r[x.tried.Proof].Value
	}
	x.walk = &walk{start: time.Now(), tl: recipe.Timeline{
		{Kind: recipe.On, Part: x.Part, AtMost: x.For},
		{Kind: recipe.Off, Part: x.Part, At: x.For},
	}}
	x.maxFlow = m.ver.maxFlow
	if x.Measure {
		m.ver.maxFlow = max(m.ver.maxFlow, overMLPS*m.ver.speed)
	}
	m.hand = x
	m.log.Info("trial", "part", x.Part, "for", x.For)
}

func (x *trial) turn(m *Machine) time.Duration {
	if x.ended.IsZero() {
		next, done, f := m.advance(x.walk)
		switch {
		case f != nil:
			m.fail(f)
			return 0
		case !done:
			return next
		}
		x.ended = time.Now()
		if err := m.off(); err != nil {
			m.fail(ofOff(err))
			return 0
		}
	}
	pause := settles
	if x.Part == driver.Heater {
		pause = heatShows
	}
	if left := m.scaled(pause, 20*time.Millisecond) - time.Since(x.ended); left > 0 && x.tried.Proof != "" {
		return min(m.scaled(busyTick, time.Millisecond), left)
	}
	if f := m.judgeTrial(x); f != nil {
		m.fail(f)
		return 0
	}
	x.end(m, nil)
	return 0
}

// judgeTrial reads the proof.
func (m *Machine) judgeTrial(x *trial) *failure {
	if x.tried.Proof == "" {
		return nil
	}
	r, err := m.sense(x.tried.Proof)
	if err != nil {
		return &failure{SensorBad, string(x.tried.Proof), err.Error()}
	}
	want := shows[x.Part]
	x.tried.Gain = r.Value - x.before
	if want.signal == driver.Cup {
		x.tried.Gain = r.Value
	}
	x.tried.Shown = x.tried.Gain >= want.least
	if !x.tried.Shown && want.cause != "" {
		return &failure{want.cause, fmt.Sprintf("%.1f %s, %v", x.tried.Gain, want.signal.Unit(), x.For), ""}
	}
	return nil
}

func (x *trial) abort(m *Machine, reason Reason) { x.end(m, reason) }

// end gives the trial back; everything is off.
func (x *trial) end(m *Machine, err error) {
	m.hand = idle{}
	m.ver.maxFlow = x.maxFlow
	if on := x.walk.first; !on.IsZero() {
		if x.ended.IsZero() {
			x.ended = time.Now()
		}
		x.tried.On = x.ended.Sub(on)
	}
	x.done <- err
}

// Sense is one sensor as it reads now.
type Sense struct {
	Signal driver.Signal
	Value  float64 // in the signal's unit
	Err    error   // why it can't say; then there is no value
	Bad    bool    // no drink could begin with it
	Text   string  // what it says, for people
}

// says is what a yes and a no mean, and whether the no keeps a drink from
// beginning.
var says = map[driver.Signal]struct {
	yes, no string
	bad     bool
}{
	driver.Hot:   {"at brewing temperature", "not at brewing temperature yet", false},
	driver.Cup:   {"a cup stands there", "no cup stands there", false},
	driver.Tank:  {"there is water", "the tank is empty", true},
	driver.Beans: {"there are beans", "the hopper is empty", true},
	driver.Tray:  {"the tray has room", "the tray is full or missing", true},
	driver.Door:  {"closed", "open", true},
	driver.Stop:  {"not pressed", "pressed", true},
	driver.Power: {"the supply is good", "the supply is under its voltage", true},
}

// Senses reads every sensor once, in the order of driver.Signals. Any goroutine.
func (m *Machine) Senses() []Sense {
	var out []Sense
	r := m.read()
	for _, s := range driver.Signals {
		x, there := r[s]
		if !there {
			continue
		}
		sense := Sense{Signal: s, Value: x.Value, Err: x.err, Bad: true}
		words, yesOrNo := says[s]
		switch {
		case x.err != nil:
			sense.Text = "it can't say: " + x.err.Error()
		case yesOrNo && x.Yes():
			sense.Bad, sense.Text = false, words.yes
		case yesOrNo:
			sense.Bad, sense.Text = words.bad, words.no
		default:
			sense.Text = fmt.Sprintf("%.1f %s", x.Value, s.Unit())
			sense.Bad = s == driver.Temperature && !(x.Value >= lowestC && x.Value < min(highestC, m.plan.MaxTempC))
			if sense.Bad {
				sense.Text += ", which is not possible or too hot"
			}
		}
		out = append(out, sense)
	}
	return out
}
