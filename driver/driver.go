package driver

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// Part is something that can be switched on.
type Part string

// The parts of a coffee machine.
const (
	Grinder Part = "grinder"
	Pump    Part = "pump"
	Heater  Part = "heater"
	Milk    Part = "milk"
	Sugar   Part = "sugar"
	Rinse   Part = "rinse"
	Cups    Part = "cups" // drops a cup
)

// Parts lists every part.
var Parts = []Part{Grinder, Pump, Heater, Milk, Sugar, Rinse, Cups}

// InOrder lists the keys of a map: those that the order has, as they stand there,
// then the others by name. So messages and calls come in the same order every time.
func InOrder[K ~string, V any](m map[K]V, order []K) []K {
	keys := slices.Sorted(maps.Keys(m))
	rank := func(k K) int {
		if i := slices.Index(order, k); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(keys, func(a, b K) int { return rank(a) - rank(b) })
	return keys
}

// Output switches one part. See the safety contract in the package comment.
type Output interface {
	// On switches the part on for at most the given time, which is above 0.
	On(atMost time.Duration) error
	// Off puts the part at rest. It is idempotent.
	Off() error
}

// Signal is something that can be read.
type Signal string

// The signals, with the unit of their Reading.
const (
	Temperature Signal = "temperature" // °C of the boiler
	Hot         Signal = "hot"         // 1: at brewing temperature
	Flow        Signal = "flow"        // ml through the pump since the rig was opened, never falling
	Weight      Signal = "weight"      // g of beans ground since the rig was opened
	Cup         Signal = "cup"         // 1: a cup stands there
	Tank        Signal = "tank"        // 1: there is water
	Beans       Signal = "beans"       // 1: there are beans
	Tray        Signal = "tray"        // 1: the drip tray can take more
	Door        Signal = "door"        // 1: closed
	Stop        Signal = "stop"        // 1: the emergency stop is not pressed
	Power       Signal = "power"       // 1: the computer's own supply is not under its voltage
)

// Signals lists every signal. For all that are yes or no, 1 is the good answer,
// so that a broken wire reads as trouble.
var Signals = []Signal{Temperature, Hot, Flow, Weight, Cup, Tank, Beans, Tray, Door, Stop, Power}

// Unit is that of the signal's readings; "" for yes or no.
func (s Signal) Unit() string {
	return map[Signal]string{Temperature: "°C", Flow: "ml", Weight: "g"}[s]
}

// Reading is one measurement.
type Reading struct {
	Value float64   // in the signal's unit
	At    time.Time // when it was taken, monotonic
}

// Yes reads a yes-or-no signal.
func (r Reading) Yes() bool { return r.Value >= 0.5 }

// Sensor reads one signal. Read returns at once with the newest reading; the
// error ErrInvalid means that the sensor cannot say (open, short, no answer).
// Any goroutine may call it.
type Sensor interface {
	Read() (Reading, error)
}

// Deadman says what switches a part off when this computer is dead.
type Deadman string

// The kinds of dead man's switch.
const (
	DeadmanNone     Deadman = "none"     // nothing; refused for heater and pump unless accepted in writing
	DeadmanBoard    Deadman = "board"    // the board has a timer of its own, given with On
	DeadmanExternal Deadman = "external" // a watchdog relay or the like, in the wiring
)

// Wire is an output with what the guard must know about it.
type Wire struct {
	Output
	Port    string // outputs on the same port are never called at the same time
	Deadman Deadman
	// Contact is an auxiliary contact that shows what the part really does, 1 =
	// on, at the latest 150 ms after it was told. nil = there is none.
	Contact Sensor
}

// Rig is a machine as its driver opens it: at rest, and either actuators
// (Outputs) or an Appliance, never both. It is given to guard.New and used by
// nobody else.
type Rig struct {
	Identity  Identity
	Outputs   map[Part]Wire
	Sensors   map[Signal]Sensor
	Appliance Appliance
	OffWithin time.Duration // bound on every Off, at most 250 ms
	Close     func() error  // releases; does not switch
}

// Product is what an appliance is asked for.
type Product struct {
	Key    string // in the model's table
	Cycles int    // how often it must be made for one drink, from 1
}

// Appliance is a machine that owns its sequence and its safety.
type Appliance interface {
	// Ready says whether a product could be started now; the error says in
	// words for a person why not. ErrNotYet: it takes nobody, only time. A machine
	// asks at rest, every few seconds; Start may refuse until Ready has said yes.
	Ready(ctx context.Context) error
	// Counter is the number of products ever made. ErrNoCounter if it has none.
	Counter(ctx context.Context) (int, error)
	// Start asks once for a product and never repeats the key: a second press
	// cancels. The error ErrUncertain means that it may have started.
	Start(ctx context.Context, p Product) error
	// Busy reports whether it is making something.
	Busy(ctx context.Context) (bool, error)
	// Stop asks it to stop. Best effort.
	Stop(ctx context.Context) error
}

// Watcher is an Appliance that sees more than whether it is ready.
type Watcher interface {
	// Watches lists what it sees both ways, of Tank, Beans and Tray: where Ready is nil,
	// or a WantError that does not name it, it is good.
	Watches() []Signal
}

// WantError is Ready's where a person must do something first.
type WantError struct {
	Signals []Signal // what is not good, of Tank, Beans and Tray
	What    string   // to be done, in words
}

func (e *WantError) Error() string { return e.What }

// What a caller must tell apart.
var (
	// ErrInvalid: the sensor cannot say.
	ErrInvalid = errors.New("no valid reading")
	// ErrNoCounter: the appliance cannot prove what it made.
	ErrNoCounter = errors.New("the machine has no counter")
	// ErrNotYet: the appliance is not ready, and will be without anybody's help.
	ErrNotYet = errors.New("not yet")
	// ErrUncertain: nobody knows whether the command was taken.
	ErrUncertain = errors.New("it is not known whether the command was taken")
	// ErrGone: the device is not there; its outputs are in an unknown state.
	ErrGone = errors.New("the device is gone")
	// ErrFeedback: a contact shows that the part does not do what it was told.
	ErrFeedback = errors.New("the part does not do what it was told")
	// ErrBusyLine: somebody else holds the line or the port.
	ErrBusyLine = errors.New("in use by somebody else")
)
