package machine

import (
	"fmt"
	"math"
	"slices"
	"time"

	"barista/driver"
)

// reading is what a sensor said, or why it could not.
type reading struct {
	driver.Reading
	err error
}

func (r reading) good() bool { return r.err == nil }

// readings is one look at every sensor that the machine has.
type readings map[driver.Signal]reading

// no reports a yes-or-no signal that clearly says no.
func (r readings) no(s driver.Signal) bool {
	v, there := r[s]
	return there && v.good() && !v.Yes()
}

// has reports whether the machine has the sensor.
func (r readings) has(s driver.Signal) bool { _, there := r[s]; return there }

// The figures of the verifier, for metal in real time.
const (
	noFlowAfter    = 1500 * time.Millisecond
	noFlowML       = 0.5
	noGrindAfter   = 2 * time.Second
	noGrindG       = 0.2
	overWindow     = 500 * time.Millisecond
	overFactor     = 2.5 // of the calibrated rate: free flow is 1.7 times that under pressure
	overMLPS       = 15  // where the pump is not calibrated
	weldSettle     = 2 * time.Second
	weldML         = 2
	heatWindow     = 20 * time.Second
	heatRise       = 2.0 // °C per window
	heatFast       = 10.0
	fastWindow     = 500 * time.Millisecond
	frozenAfter    = 10 * time.Second
	weldHeatSettle = 30 * time.Second
	weldHeatRise   = 5.0
	badReadings    = 3
	// contactLate: a contact may follow its relay by 150 ms. Some more, because the
	// guard says that a part is off only when it has been switched.
	contactLate = 180 * time.Millisecond
	// weakFor is longer than the start of a motor shows in the supply's flag, which
	// the kernel sets anew every 2 s.
	weakFor      = 5 * time.Second
	lowestC      = -10
	highestC     = 200
	enoughFlow   = 0.9 // of the water, at a pour's limit
	enoughGround = 0.5 // of a piece's grams
)

// verifier compares what the sensors say with what the guard says is on. It is
// not the code that pours, and it does not ask that code. It belongs to the
// owner loop and keeps only what it saw.
type verifier struct {
	speed    float64
	maxFlow  float64 // ml/s
	maxTempC float64
	delay    map[driver.Part]time.Duration
	heater   bool // the machine has one of its own

	bad     map[driver.Signal]int
	on      map[driver.Part]bool
	touched map[driver.Part]bool      // switched since the last look, however shortly
	other   map[driver.Part]time.Time // since when a contact says something else

	weak   mark // since when the supply is
	flow   rise // while the pump is on
	rate   mark // over a window, while the pump is on
	idle   mark // after the pump went off
	weight rise // while the grinder is on
	heat   mark // over 20 s, heater on or off
	fast   mark
	same   mark // since when the very same temperature is read
}

// mark is a value and when it was seen.
type mark struct {
	set bool
	at  time.Time
	v   float64
}

func (m *mark) put(at time.Time, v float64) { *m = mark{true, at, v} }

// rise watches that something grows.
type rise struct{ mark }

// stalled reports that it has not grown by step for the time.
func (r *rise) stalled(now time.Time, v, step float64, after time.Duration) bool {
	if !r.set || v-r.v >= step {
		r.put(now, v)
	}
	return now.Sub(r.at) >= after
}

func (v *verifier) init() {
	v.bad, v.on, v.touched = map[driver.Signal]int{}, map[driver.Part]bool{}, map[driver.Part]bool{}
	v.other = map[driver.Part]time.Time{}
}

// scaled is a time of real metal on this machine, with a floor that a busy
// computer keeps.
func (v *verifier) scaled(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)/v.speed), min(d, 50*time.Millisecond))
}

// touch notes that a part was switched: it may go on and off between two looks.
func (v *verifier) touch(p driver.Part) { v.touched[p] = true }

// look compares once. drink: something is being made; cup: it needs the cup that
// the sensor sees.
func (v *verifier) look(now time.Time, on []driver.Part, r readings, contacts map[driver.Part]reading, drink, cup bool) *failure {
	began := map[driver.Part]bool{}
	for _, p := range driver.Parts {
		is := slices.Contains(on, p)
		if is != v.on[p] || v.touched[p] {
			delete(v.other, p)
		}
		began[p] = is && (!v.on[p] || v.touched[p])
		if !is && (v.on[p] || v.touched[p]) {
			v.ended(p, now)
		}
		v.on[p] = is
		delete(v.touched, p)
	}
	anyOn := len(on) > 0
	if f := v.switches(r, drink || anyOn, drink && cup); f != nil {
		return f
	}
	if f := v.feedback(now, contacts); f != nil {
		return f
	}
	if f := v.supply(now, r, drink || anyOn); f != nil {
		return f
	}
	if f := v.valid(r, drink || anyOn); f != nil {
		return f
	}
	if f := v.water(now, r, began[driver.Pump] || began[driver.Rinse]); f != nil {
		return f
	}
	if f := v.coffee(now, r, began[driver.Grinder]); f != nil {
		return f
	}
	return v.boiler(now, r, began[driver.Heater])
}

// ended starts the times that count from a part's off.
func (v *verifier) ended(p driver.Part, now time.Time) {
	switch p {
	case driver.Pump, driver.Rinse:
		v.idle = mark{at: now}
	case driver.Heater:
		v.heat = mark{at: now}
	}
}

// switches looks at what says yes or no.
func (v *verifier) switches(r readings, busy, cup bool) *failure {
	switch {
	case r.no(driver.Stop):
		return &failure{cause: StopPressed}
	case !busy:
	case r.no(driver.Door):
		return &failure{cause: DoorOpen}
	case r.no(driver.Tray):
		return &failure{cause: TrayFull}
	case cup && r.no(driver.Cup):
		return &failure{cause: CupGone}
	case r.no(driver.Tank) && (v.on[driver.Heater] || v.on[driver.Pump] && !r.has(driver.Flow)):
		return &failure{cause: TankEmpty}
	case r.no(driver.Beans) && v.on[driver.Grinder] && !r.has(driver.Weight):
		return &failure{cause: BeansEmpty}
	}
	return nil
}

// feedback compares each contact with what the guard says of its part, also
// with everything off. A contact that can't be read counts as one that disagrees.
func (v *verifier) feedback(now time.Time, contacts map[driver.Part]reading) *failure {
	for _, p := range driver.Parts {
		x, there := contacts[p]
		if !there || x.good() && x.Yes() == v.on[p] {
			delete(v.other, p)
			continue
		}
		since, doubted := v.other[p]
		switch {
		case !doubted:
			v.other[p] = now
		case now.Sub(since) < contactLate:
		case !x.good():
			return &failure{Feedback, string(p), x.err.Error()}
		case v.on[p]:
			return &failure{Feedback, string(p), "told to be on, and its contact says off"}
		default:
			return &failure{Feedback, string(p), "told to be off, and its contact says on"}
		}
	}
	return nil
}

// doubts reports that a contact says something else, and may just be late.
func (v *verifier) doubts(now time.Time) bool {
	for _, since := range v.other {
		if now.Sub(since) < contactLate {
			return true
		}
	}
	return false
}

// supply watches the computer's own power while something is made. At rest a weak
// one is no fault: it only keeps a drink from starting.
func (v *verifier) supply(now time.Time, r readings, busy bool) *failure {
	if !busy || !r.no(driver.Power) {
		v.weak = mark{}
		return nil
	}
	if !v.weak.set {
		v.weak.put(now, 0)
	}
	if now.Sub(v.weak.at) >= v.scaled(weakFor) {
		return &failure{cause: PowerLow}
	}
	return nil
}

// valid counts readings that are missing or impossible. At rest only the probe of
// a heater is a fault; the others keep a drink from starting.
func (v *verifier) valid(r readings, busy bool) *failure {
	for _, s := range driver.Signals {
		x, there := r[s]
		if !there {
			continue
		}
		if x.good() && (s != driver.Temperature || x.Value >= lowestC && x.Value <= highestC) && !math.IsNaN(x.Value) {
			v.bad[s] = 0
			continue
		}
		if v.bad[s]++; v.bad[s] < badReadings {
			continue
		}
		said := ""
		if x.err != nil {
			said = x.err.Error()
		}
		switch {
		case s == driver.Temperature && (v.heater || busy):
			return &failure{HeatSensor, string(s), said}
		case busy:
			return &failure{SensorBad, string(s), said}
		}
	}
	return nil
}

// water compares flow and pump.
func (v *verifier) water(now time.Time, r readings, began bool) *failure {
	x, there := r[driver.Flow]
	if !there || !x.good() {
		return nil
	}
	if !v.on[driver.Pump] && !v.on[driver.Rinse] {
		v.flow, v.rate = rise{}, mark{}
		switch {
		case !v.idle.set && now.Sub(v.idle.at) >= v.scaled(weldSettle):
			v.idle.put(now, x.Value)
		case v.idle.set && x.Value-v.idle.v > weldML:
			return &failure{WeldedPump, fmt.Sprintf("%.1f ml", x.Value-v.idle.v), ""}
		}
		return nil
	}
	if began || !v.rate.set {
		v.flow.put(now.Add(v.delay[driver.Pump]), x.Value)
		v.rate.put(x.At, x.Value)
		return nil
	}
	if x.Value < v.rate.v {
		return &failure{OverFlow, fmt.Sprintf("the count fell from %.1f to %.1f ml", v.rate.v, x.Value), ""}
	}
	if past := x.At.Sub(v.rate.at); past >= v.scaled(overWindow) {
		if rate := (x.Value - v.rate.v) / past.Seconds(); rate > v.maxFlow {
			return &failure{OverFlow, fmt.Sprintf("%.0f ml/s", rate), ""}
		}
		v.rate.put(x.At, x.Value)
	}
	if v.flow.stalled(now, x.Value, noFlowML, v.scaled(noFlowAfter)) {
		if r.no(driver.Tank) {
			return &failure{cause: TankEmpty}
		}
		return &failure{cause: NoFlow}
	}
	return nil
}

// coffee compares weight and grinder.
func (v *verifier) coffee(now time.Time, r readings, began bool) *failure {
	x, there := r[driver.Weight]
	if !there || !x.good() || !v.on[driver.Grinder] {
		v.weight = rise{}
		return nil
	}
	if began {
		v.weight.put(now.Add(v.delay[driver.Grinder]), x.Value)
	}
	if v.weight.stalled(now, x.Value, noGrindG, v.scaled(noGrindAfter)) {
		if r.no(driver.Beans) {
			return &failure{cause: BeansEmpty}
		}
		return &failure{cause: NoGrind}
	}
	return nil
}

// boiler compares temperature and heater, and knows the limit.
func (v *verifier) boiler(now time.Time, r readings, began bool) *failure {
	x, there := r[driver.Temperature]
	if !there || !x.good() {
		return nil
	}
	t := x.Value
	if t >= v.maxTempC && t <= highestC {
		return &failure{TooHot, fmt.Sprintf("%.0f °C", t), ""}
	}
	if !v.heater {
		return nil
	}
	if !v.fast.set {
		v.fast.put(x.At, t)
	} else if past := x.At.Sub(v.fast.at); past >= v.scaled(fastWindow) {
		if rate := (t - v.fast.v) / past.Seconds(); rate > heatFast*v.speed {
			return &failure{HeatFast, fmt.Sprintf("%.0f °C/s", rate), ""}
		}
		v.fast.put(x.At, t)
	}
	if !v.on[driver.Heater] {
		v.same = mark{}
		switch {
		case !v.heat.set:
			if now.Sub(v.heat.at) >= v.scaled(weldHeatSettle) {
				v.heat.put(now, t)
			}
		case t-v.heat.v > weldHeatRise:
			return &failure{WeldedHeat, fmt.Sprintf("%.0f °C", t-v.heat.v), ""}
		case now.Sub(v.heat.at) >= v.scaled(heatWindow):
			v.heat.put(now, t)
		}
		return nil
	}
	if began || !v.same.set {
		v.heat.put(now, t)
		v.same.put(now, t)
		return nil
	}
	if t != v.same.v {
		v.same.put(now, t)
	} else if now.Sub(v.same.at) >= v.scaled(frozenAfter) {
		return &failure{HeatFrozen, fmt.Sprintf("%.1f °C", t), ""}
	}
	if now.Sub(v.heat.at) >= v.scaled(heatWindow) {
		if t-v.heat.v < heatRise {
			return &failure{HeatSlow, fmt.Sprintf("%.1f °C", t-v.heat.v), ""}
		}
		v.heat.put(now, t)
	}
	return nil
}

// ground judges a piece of grinding after its end.
func (v *verifier) ground(gained, wanted float64, beans bool) *failure {
	if gained >= wanted*enoughGround {
		return nil
	}
	if !beans {
		return &failure{cause: BeansEmpty}
	}
	return &failure{NoGrind, fmt.Sprintf("%.1f g of %.1f g", gained, wanted), ""}
}

// flowed judges a pour that came to its limit in time.
func (v *verifier) flowed(ml, wanted float64) *failure {
	if ml >= wanted*enoughFlow {
		return nil
	}
	return &failure{ShortFlow, fmt.Sprintf("%.0f ml of %.0f ml", ml, wanted), ""}
}
