// Package mock is a machine for everybody who has none: a driver.Rig whose metal
// is arithmetic (package plant), in memory or in a process of its own.
//
// To everyone above it is a machine like any other: outputs that do what they
// are told and no more, sensors that can fail, a plug that can be pulled. Tests
// and the demo put cups and faults into it by its Control, behind the machine's
// back.
//
// Open puts every output at rest, also those that a killed process left on, and
// starts no goroutine. Close only lets go. It must never switch anything by
// itself, nor make a drink look better than the plant says it was.
package mock

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"barista/driver"
	"barista/driver/plant"
)

// Config says which machine.
type Config struct {
	// Plant is the socket of a plant process (plant.Serve); "" is a plant in
	// memory. A process has its own figures: then only Deadman and Without may
	// be set beside it.
	Plant string

	Speed    float64 // everything goes so many times as fast, 0.01 to 10000; 0 is 1
	FailRate float64 // share of drinks that a random fault spoils, 0 to 1
	// Cups: "auto": a simulated customer places cups and takes them after a
	// drink, and somebody fills up what runs low; "hand" or "": only Control;
	// "dispenser": the machine drops cups, the customer takes them.
	Cups    string
	Heater  bool          // the heater is a part of its own
	Seed    uint64        // of the failures
	Serial  string        // of the hardware; "" is "mock"
	Figures *plant.Config // all other figures; nil is plant.Default

	Deadman driver.Deadman  // of all outputs; "" is external. With board, the plant's own timer gets each time
	Without []driver.Signal // sensors that this machine does not have
}

// Check returns every problem, joined.
func (c Config) Check() error {
	var errs []error
	if c.Plant != "" {
		for _, x := range []struct {
			name string
			set  bool
		}{
			{"speed", c.Speed != 0}, {"fail_rate", c.FailRate != 0}, {"cups", c.Cups != ""}, {"heater", c.Heater},
			{"seed", c.Seed != 0}, {"serial", c.Serial != ""}, {"figures", c.Figures != nil},
		} {
			if x.set {
				errs = append(errs, fmt.Errorf("%s belongs to the plant process at %s: give it to that one, not to this machine", x.name, c.Plant))
			}
		}
	} else {
		errs = append(errs, c.Metal().Check())
	}
	if !slices.Contains([]driver.Deadman{"", driver.DeadmanNone, driver.DeadmanBoard, driver.DeadmanExternal}, c.Deadman) {
		errs = append(errs, fmt.Errorf("deadman is %q: must be none, board or external", c.Deadman))
	}
	for _, s := range c.Without {
		if !slices.Contains(driver.Signals, s) {
			errs = append(errs, fmt.Errorf("without: there is no sensor %q", s))
		}
	}
	return errors.Join(errs...)
}

// Metal is the plant in memory that the machine is made of.
func (c Config) Metal() plant.Config {
	f := plant.Default()
	if c.Figures != nil {
		f = *c.Figures
	}
	if c.Speed != 0 {
		f.Speed = c.Speed
	}
	if c.FailRate != 0 {
		f.FailRate = c.FailRate
	}
	if c.Cups != "" {
		f.Cups = plant.Cups(c.Cups)
		f.Refill = f.Refill || f.Cups == plant.Auto
	}
	f.Heater = f.Heater || c.Heater
	if c.Seed != 0 {
		f.Seed = c.Seed
	}
	if c.Serial != "" {
		f.Serial = c.Serial
	}
	return f
}

// CutOff is what cuts every part off when this computer is dead.
func (c Config) CutOff() driver.Deadman {
	if c.Deadman == "" {
		return driver.DeadmanExternal
	}
	return c.Deadman
}

// offWithin bounds an Off: a call over the socket gives up in plant.SwitchWithin,
// and then this process must still get a processor. The guard allows no more. A
// computer so busy that one of the two processes gets none for that long latches
// the machine, like one with a real board behind a driver that does not answer:
// at that moment nobody knows whether the part is on. A person looks and clears
// it; against it a service has the priority that its unit gives it.
const offWithin = plant.SwitchWithin + 50*time.Millisecond

// Open opens the machine, at rest. The error names every problem of the config.
func Open(cfg Config) (driver.Rig, *Control, error) {
	if err := cfg.Check(); err != nil {
		return driver.Rig{}, nil, fmt.Errorf("mock machine: %w", err)
	}
	ctl := &Control{}
	if cfg.Plant == "" {
		ctl.memory = plant.New(cfg.Metal())
		ctl.handle = ctl.memory.Handle()
	} else {
		r, err := plant.Dial(cfg.Plant)
		if err != nil {
			return driver.Rig{}, nil, fmt.Errorf("mock machine: %w", err)
		}
		ctl.handle, ctl.remote = r, r
	}
	rig, err := ctl.rig(cfg)
	if err != nil {
		return driver.Rig{}, nil, errors.Join(fmt.Errorf("mock machine: %w", err), ctl.close())
	}
	return rig, ctl, nil
}

func (ctl *Control) rig(cfg Config) (driver.Rig, error) {
	figures, err := ctl.handle.Config()
	if err != nil {
		return driver.Rig{}, err
	}
	rig := driver.Rig{
		Identity:  driver.Identity{Kind: "mock", Model: "plant", Serial: figures.Serial},
		Outputs:   make(map[driver.Part]driver.Wire),
		Sensors:   make(map[driver.Signal]driver.Sensor),
		OffWithin: offWithin,
		Close:     ctl.close,
	}
	deadman := cfg.CutOff()
	for _, part := range figures.Parts() {
		o := &output{ctl: ctl, part: part, board: deadman == driver.DeadmanBoard}
		if err := o.Off(); err != nil {
			return driver.Rig{}, fmt.Errorf("cannot put %s at rest: %w", part, err)
		}
		rig.Outputs[part] = driver.Wire{Output: o, Port: "mock/" + string(part), Deadman: deadman}
	}
	counts, err := ctl.handle.Counts()
	if err != nil {
		return driver.Rig{}, err
	}
	for _, s := range driver.Signals {
		if slices.Contains(cfg.Without, s) {
			continue
		}
		x := &sensor{ctl: ctl, signal: s}
		switch s { // these count since the rig was opened
		case driver.Flow:
			x.base = counts.Mass.PumpedML
			if step := figures.PulseML; step > 0 {
				x.base = math.Floor(x.base/step) * step
			}
		case driver.Weight:
			x.base = counts.Mass.GroundG
		}
		rig.Sensors[s] = x
	}
	return rig, nil
}

// SafeOff puts a plant in a process of its own at rest. One in memory ended with
// its process. The error names what may be on.
func SafeOff(cfg Config) error {
	if cfg.Plant == "" {
		return nil
	}
	p, err := plant.Dial(cfg.Plant)
	if err != nil {
		return err
	}
	defer p.Close()
	c, err := p.Config()
	if err != nil {
		return err
	}
	var errs []error
	for _, part := range c.Parts() {
		if err := p.Set(part, false); err != nil {
			errs = append(errs, &driver.MayBeOnError{What: string(part), Err: err})
		}
	}
	return errors.Join(errs...)
}

// Control is the other side of the machine: its metal, for tests and the demo.
// Any goroutine may use it.
type Control struct {
	memory    *plant.Plant
	remote    *plant.Remote
	handle    plant.Handle
	unplugged atomic.Bool
	closed    atomic.Bool
}

// Plant is the plant in memory, nil if it is a process of its own.
func (c *Control) Plant() *plant.Plant { return c.memory }

// Handle is the plant, wherever it lives.
func (c *Control) Handle() plant.Handle { return c.handle }

// Unplug pulls the cable between the machine's computer and its board: every
// command and every reading is driver.ErrGone. The board holds its outputs.
func (c *Control) Unplug() { c.unplugged.Store(true) }

// Plug puts the cable back. Nothing is switched by it.
func (c *Control) Plug() { c.unplugged.Store(false) }

func (c *Control) close() error {
	if c.closed.Swap(true) || c.remote == nil {
		return nil
	}
	return c.remote.Close()
}

// reach says why the plant cannot be reached, if so.
func (c *Control) reach() error {
	switch {
	case c.unplugged.Load():
		return fmt.Errorf("mock machine: %w: it is unplugged", driver.ErrGone)
	case c.closed.Load():
		return fmt.Errorf("mock machine: %w: it was closed", driver.ErrGone)
	}
	return nil
}

var (
	_ driver.Output = (*output)(nil)
	_ driver.Sensor = (*sensor)(nil)
)

type output struct {
	ctl   *Control
	part  driver.Part
	board bool // the plant's own timer is the dead man's switch
}

func (o *output) On(atMost time.Duration) error {
	if atMost <= 0 {
		return fmt.Errorf("cannot switch %s on for %v: the time must be above 0", o.part, atMost)
	}
	if err := o.ctl.reach(); err != nil {
		return fmt.Errorf("cannot switch %s on: %w", o.part, err)
	}
	var err error
	if o.board {
		err = o.ctl.handle.OnFor(o.part, atMost)
	} else {
		err = o.ctl.handle.Set(o.part, true)
	}
	if err != nil {
		return fmt.Errorf("cannot switch %s on: %w", o.part, err)
	}
	return nil
}

func (o *output) Off() error {
	err := o.ctl.reach()
	if err == nil {
		err = o.ctl.handle.Set(o.part, false)
	}
	if err != nil {
		return fmt.Errorf("cannot switch %s off, it may be on: %w", o.part, err)
	}
	return nil
}

type sensor struct {
	ctl    *Control
	signal driver.Signal
	base   float64 // what it had counted when the rig was opened
}

func (s *sensor) Read() (driver.Reading, error) {
	if err := s.ctl.reach(); err != nil {
		return driver.Reading{}, fmt.Errorf("cannot read %s: %w", s.signal, err)
	}
	v, err := s.ctl.handle.Read(s.signal)
	if err != nil {
		return driver.Reading{}, fmt.Errorf("cannot read %s: %w", s.signal, err)
	}
	if s.base != 0 { // a sensor frozen before that is behind
		v = max(0, v-s.base)
	}
	return driver.Reading{Value: v, At: time.Now()}, nil
}
