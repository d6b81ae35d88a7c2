package plant

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"barista/driver"
)

// FaultKind of a fault.
type FaultKind string

// The faults. Each lasts until Mend or Clear.
const (
	Jam          FaultKind = "jam"           // the grinder turns and nothing comes
	NoFlow       FaultKind = "no-flow"       // the pump runs and no water comes: blocked, not dry
	BeansOut     FaultKind = "beans-out"     // no beans reach the grinder, and the sensor says so
	TankEmpty    FaultKind = "tank-empty"    // the pump draws air, and the sensor says so
	CupRemoved   FaultKind = "cup-removed"   // the cup goes at once, and no other comes by itself
	CupLeft      FaultKind = "cup-left"      // the customer does not take the cup
	DoorOpen     FaultKind = "door-open"     //
	StopPressed  FaultKind = "stop-pressed"  // the emergency stop
	UnderVoltage FaultKind = "under-voltage" // the computer's supply is weak
	Stuck        FaultKind = "stuck"         // of a part: once on it stays on, whatever it is told
	Dead         FaultKind = "dead"          // of a part: it never goes on
	SensorOpen   FaultKind = "sensor-open"   // of a signal: driver.ErrInvalid
	SensorFrozen FaultKind = "sensor-frozen" // of a signal: it stays at what it was
)

// Fault is a kind, of a part or of a signal where the kind needs one.
type Fault struct {
	Kind   FaultKind
	Part   driver.Part
	Signal driver.Signal
}

// String is the form that ParseFault reads: "jam", "stuck:pump".
func (f Fault) String() string {
	if of := string(f.Part) + string(f.Signal); of != "" {
		return string(f.Kind) + ":" + of
	}
	return string(f.Kind)
}

// ParseFault reads a fault as a person writes it: "no-flow", "stuck:pump",
// "sensor-open:temperature".
func ParseFault(s string) (Fault, error) {
	kind, of, _ := strings.Cut(s, ":")
	f := Fault{Kind: FaultKind(kind)}
	switch f.Kind {
	case SensorOpen, SensorFrozen:
		f.Signal = driver.Signal(of)
	default:
		f.Part = driver.Part(of)
	}
	return f, f.Check()
}

// Check says what is wrong with a fault.
func (f Fault) Check() error {
	switch f.Kind {
	case Jam, NoFlow, BeansOut, TankEmpty, CupRemoved, CupLeft, DoorOpen, StopPressed, UnderVoltage:
		if f.Part != "" || f.Signal != "" {
			return fmt.Errorf("fault %s: it is of no part and no signal", f.Kind)
		}
	case Stuck, Dead:
		if !slices.Contains(driver.Parts, f.Part) || f.Signal != "" {
			return fmt.Errorf("fault %s: say of which part, as in %s:pump", f.Kind, f.Kind)
		}
	case SensorOpen, SensorFrozen:
		if !slices.Contains(driver.Signals, f.Signal) || f.Part != "" {
			return fmt.Errorf("fault %s: say of which signal, as in %s:flow", f.Kind, f.Kind)
		}
	default:
		return fmt.Errorf("there is no fault %q", f.Kind)
	}
	return nil
}

// has reports a fault without part or signal.
func (p *Plant) has(k FaultKind) bool {
	_, ok := p.faults[Fault{Kind: k}]
	return ok
}

// Fault puts a fault in. It panics on one that Check refuses: a test that puts
// in nothing would prove nothing.
func (p *Plant) Fault(f Fault) {
	if err := f.Check(); err != nil {
		panic("plant: " + err.Error())
	}
	p.enter()
	defer p.leave()
	if _, there := p.faults[f]; there {
		return
	}
	p.faults[f] = 0
	switch f.Kind {
	case SensorFrozen:
		p.faults[f] = p.signal(f.Signal)
	case CupRemoved:
		if p.cup != nil {
			p.take()
		}
	case Dead:
		if p.on(f.Part) {
			p.contact(f.Part, false, "fault")
		}
	}
}

// Mend takes one fault away.
func (p *Plant) Mend(f Fault) {
	p.enter()
	defer p.leave()
	p.mend(f)
}

// Clear takes all faults away, also one of FailRate that is in force.
func (p *Plant) Clear() {
	p.enter()
	defer p.leave()
	list := slices.Collect(maps.Keys(p.faults))
	slices.SortFunc(list, func(a, b Fault) int { return strings.Compare(a.String(), b.String()) })
	for _, f := range list {
		p.mend(f)
	}
	p.strike = ""
}

// mend: a part follows again what it was last told.
func (p *Plant) mend(f Fault) {
	delete(p.faults, f)
	if r := p.relays[f.Part]; r != nil && r.closed != r.told {
		_, dead := p.faults[Fault{Kind: Dead, Part: f.Part}]
		_, stuck := p.faults[Fault{Kind: Stuck, Part: f.Part}]
		p.contact(f.Part, r.told && !dead || r.closed && stuck, "mended")
	}
}
