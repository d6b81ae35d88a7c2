package machine

import (
	"errors"
	"slices"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/journal"
)

// Cause names a fault or a want; it is the code of a Reason.
type Cause string

// Mend says who ends a fault, and how.
type Mend string

// The ways to end one.
const (
	// Clear: latched on disk; a person looks at the machine and clears it.
	Clear Mend = "clear"
	// Fill: a person fills, empties or closes something, and its sensor shows it.
	Fill Mend = "fill"
	// Again: the machine steps back for a while and may try again; the third one
	// in a row is latched.
	Again Mend = "again"
	// Restart: the service is started anew, once the disk is well.
	Restart Mend = "restart"
)

// Fault is one row: what can go wrong, and what then happens. The reaction is
// always that everything goes off first, within 50 ms of the reading that shows
// it (the loop looks every 20 ms); what comes after that is in Mend.
type Fault struct {
	Cause   Cause
	Detect  string          // how it is seen
	Outcome journal.Outcome // of the drink, at worst; Untouched: it strikes before anything was used
	Mend    Mend
	Lacks   string // with Fill: what has run out, in one word
}

// The causes.
const (
	NoFlow      Cause = "no-flow"
	ShortFlow   Cause = "short-flow"
	OverFlow    Cause = "over-flow"
	NoGrind     Cause = "no-grind"
	Cold        Cause = "cold"
	HeatSlow    Cause = "heat-slow"
	HeatFast    Cause = "heat-fast"
	HeatFrozen  Cause = "heat-frozen"
	HeatSensor  Cause = "heat-sensor"
	TooHot      Cause = "too-hot"
	WeldedPump  Cause = "welded-pump"
	WeldedHeat  Cause = "welded-heater"
	TankEmpty   Cause = "tank"
	BeansEmpty  Cause = "beans"
	TrayFull    Cause = "tray"
	CupGone     Cause = "cup-gone"
	DoorOpen    Cause = "door"
	StopPressed Cause = "stop"
	SensorBad   Cause = "sensor"
	Feedback    Cause = "feedback"
	PowerLow    Cause = "power"
	Refused     Cause = "refused"
	Guard       Cause = "guard"
	Record      Cause = "record"
	Damaged     Cause = "journal"
	Forgot      Cause = "forgot"  // guard.CodeForgot
	Version     Cause = "version" // guard.CodeVersion
	Unkept      Cause = "unkept"
	DiskFull    Cause = "disk"
	Moved       Cause = "moved"
	Appliance   Cause = "appliance"
)

// Faults is every fault that a machine knows. The figures are those of the
// hazard analysis (reliability figures of Klipper, Marlin and commercial
// machines); a simulated machine's times are divided by its speed.
var Faults = []Fault{
	{NoFlow, "flow meter: less than 0.5 ml within 1.5 s while the pump is on", journal.Spoiled, Again, ""},
	{ShortFlow, "flow meter: less than 90 % of the water at the pour's limit in time", journal.Spoiled, Again, ""},
	{OverFlow, "flow meter: more than 2.5 times what the pump can give, or a count that falls", journal.Spoiled, Clear, ""},
	{NoGrind, "scale: less than 0.2 g within 2 s while the grinder is on, or less than half at its end", journal.Spoiled, Again, ""},
	{Cold, "hot sensor: not at temperature within the limit", journal.Spoiled, Again, ""},
	{HeatSlow, "less than 2 °C in 20 s while the heater is on", journal.Untouched, Clear, ""},
	{HeatFast, "temperature rises by more than 10 °C in a second", journal.Untouched, Clear, ""},
	{HeatFrozen, "the very same temperature for 10 s while the heater is on", journal.Untouched, Clear, ""},
	{HeatSensor, "three readings in a row that are invalid or out of -10 to 200 °C", journal.Spoiled, Clear, ""},
	{TooHot, "temperature at or above the boiler's limit (125 °C by default)", journal.Spoiled, Clear, ""},
	{WeldedPump, "flow meter: more than 2 ml while the pump is off, from 2 s after it went off", journal.Spoiled, Clear, ""},
	{WeldedHeat, "more than 5 °C in 20 s, from 30 s after the heater went off", journal.Spoiled, Clear, ""},
	{TankEmpty, "level switch, before a drink; in it: with the heater on, with the pump on where there is no flow meter, or when the flow stops", journal.Spoiled, Fill, "water"},
	{BeansEmpty, "hopper sensor, before a drink; in it: with the grinder on where there is no scale, or when the weight stops rising", journal.Spoiled, Fill, "beans"},
	{TrayFull, "switch of the drip tray, before and during a drink", journal.Spoiled, Fill, "tray"},
	{CupGone, "cup sensor: no cup during a drink", journal.Spoiled, Fill, ""},
	{DoorOpen, "switch of the door: with a drink in hand it latches, at rest the machine waits for it to be closed", journal.Spoiled, Clear, "door"},
	{StopPressed, "the emergency stop, at any time", journal.Spoiled, Clear, ""},
	{SensorBad, "three readings in a row of a sensor that the machine has are invalid", journal.Spoiled, Fill, "sensor"},
	{Feedback, "contact of a relay: other than the guard commands for 180 ms, or it can't be read, with everything off too (looked at twice a second)", journal.Spoiled, Clear, ""},
	// A motor that starts pulls the supply down for some ms, and the kernel's
	// flag shows that for 2 s: a drink in hand is finished, none begins before the
	// flag is down. A supply that stays low will take the computer with it, maybe
	// with a relay on or in the middle of a write: so everything goes off while
	// it still can. What a dead computer leaves on is the dead man's switch's.
	{PowerLow, "under-voltage flag of the computer: before a drink at once; in it after 5 s without a pause, which is more than a motor's start", journal.Spoiled, Fill, "power"},
	{Refused, "the guard refuses to switch a part on (rest, ceiling, forbidden pair)", journal.Spoiled, Again, ""},
	{Guard, "the guard tripped: a driver failed or hung, or the loop was silent", journal.Spoiled, Clear, ""},
	{Record, "a write or fsync of the journal failed", journal.Untouched, Restart, ""},
	{Damaged, "the journal is damaged in its middle, its disk failed, or it belongs to other hardware; it is gone, or older than the guard's memory knows it, or a copy of one that was used since the computer started", journal.Untouched, Clear, ""},
	{Forgot, "the guard's memory, which holds a fault over a restart, is gone, or can't be read, or is older than the journal knows it", journal.Untouched, Clear, ""},
	{Version, "the guard's memory was written by a later version of the program, or by an earlier one, which ran in between or whose old files were put back", journal.Untouched, Clear, ""},
	{Unkept, "a fault that holds the machine can't be put on the disk: it is tried again every 5 s", journal.Spoiled, Clear, ""},
	{DiskFull, "less than 4 MiB free on the disk of the machine's folder, or it does not take what the guard remembers, which is tried again every 5 s; before a drink", journal.Untouched, Fill, "disk"},
	{Moved, "the board's port has another name than it had, and its adapter has no number that tells whether it is the same board", journal.Untouched, Clear, ""},
	{Appliance, "the appliance did not take the command, did not come to rest, or its product counter did not rise (one that is not ready is seen before: it is asked at rest, every 5 s)", journal.Spoiled, Again, ""},
}

// FaultOf is the row of a cause.
func FaultOf(c Cause) Fault {
	for _, f := range Faults {
		if f.Cause == c {
			return f
		}
	}
	return Fault{Cause: c, Outcome: journal.Spoiled, Mend: Clear}
}

// dangerous are the faults of which the reaction may not be the end: a relay that is
// welded, a boiler that is too hot, a port that did not come back may heat, pour or flood
// with everything told to be off, and a fault that no disk holds is forgotten by the next
// start. Of every other one all that is left to do can wait for the morning.
var dangerous = []Cause{TooHot, WeldedPump, WeldedHeat, Feedback, Guard, Unkept}

// Dangerous reports whether somebody must look at a machine in this fault at once, at
// night too. A fault that the table does not have is one of a later version: who can't
// tell calls.
func Dangerous(c Cause) bool {
	return slices.Contains(dangerous, c) || !slices.ContainsFunc(Faults, func(f Fault) bool { return f.Cause == c })
}

// The wants: why a drink is not begun, or was cut, without a fault.
const (
	Making      Cause = "making"
	Busy        Cause = "busy"
	Trying      Cause = "trial"
	Unsettled   Cause = "unsettled"
	NotRunning  Cause = "not-running"
	Warming     Cause = "warming"
	Resting     Cause = "rests"
	NotReady    Cause = "not-ready"
	Asking      Cause = "asking"
	NoProduct   Cause = "no-product"
	NoSugar     Cause = "no-sugar"
	NoRecipe    Cause = "no-recipe"
	TooLong     Cause = "too-long"
	NoPart      Cause = "no-part"
	OwnParts    Cause = "own-parts"
	WrongTime   Cause = "wrong-time"
	NoCup       Cause = "no-cup"
	CupStands   Cause = "cup-stands"
	CupAsked    Cause = "cup-asked"
	CupNotGiven Cause = "cup-not-given"
	CupComing   Cause = "cup-coming"
	NoCare      Cause = "no-care"     // this machine can't be cared for so
	CareAsked   Cause = "care-asked"  // a person has to do his part first
	PlaceTaken  Cause = "place-taken" // something stands where a rinse flows by itself
	LateStart   Cause = "late-start"
	OtherStart  Cause = "other-start"
	BegunBefore Cause = "begun-before"
	CutOff      Cause = "cut-off"
	Stopped     Cause = "stopped"
	Unwanted    Cause = "unwanted" // by its customer; it is not made again
	ServiceEnds Cause = "service-ends"
)

// Reason says why, as data: a cause, figures, and what a driver or a person said.
type Reason = journal.Reason

// why is the reason of a cause.
func why(c Cause, detail string) Reason { return Reason{Code: string(c), Detail: detail} }

// quoting is the reason of a cause in the words of a driver, the disk or a person.
func quoting(c Cause, said string) Reason { return Reason{Code: string(c), Quote: said} }

// ReasonOf is the reason that an error carries, or the error's own words.
func ReasonOf(err error) Reason {
	if r, ok := errors.AsType[Reason](err); ok {
		return r
	}
	return Reason{Quote: err.Error()}
}

// failure is a fault that happened.
type failure struct {
	cause  Cause
	detail string // figures, which sensor
	said   string // by a driver or the disk
}

func (f *failure) row() Fault { return FaultOf(f.cause) }

// reason is what reports and the status carry.
func (f *failure) reason() Reason {
	return Reason{Code: string(f.cause), Detail: f.detail, Quote: f.said}
}

// latch is what the guard keeps of it.
func (f *failure) latch() guard.Latch {
	return guard.Latch{Code: string(f.cause), Detail: f.detail, Cause: f.said, Feedback: f.cause == Feedback}
}

// ofGuard is the fault that a latch holds: the one by which the machine tripped,
// or the guard's own. A latch of an earlier version has the whole sentence as
// what was said.
func ofGuard(l guard.Latch) *failure {
	switch {
	case l.Code != "":
		return &failure{Cause(l.Code), l.Detail, l.Cause}
	case l.Feedback:
		return &failure{Feedback, "", l.Cause}
	}
	return &failure{Guard, "", l.Cause}
}

// ofOff is the fault of something that could not be switched off.
func ofOff(err error) *failure {
	return ofGuard(guard.Latch{Cause: err.Error(), Feedback: errors.Is(err, driver.ErrFeedback)})
}
