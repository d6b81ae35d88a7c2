package gpio

import (
	"errors"
	"fmt"
	"sync"

	periph "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/pin"

	"barista/driver"
)

// Out is a line that was an output at rest from its first moment on. It is
// periph's gpio.PinOut. It can't be read: what it was told last is in memory.
// Any goroutine may call it.
type Out struct {
	name   string
	number int
	active periph.Level

	mu   sync.Mutex
	line setter // nil when closed
	told periph.Level
}

var (
	_ periph.PinOut = (*Out)(nil)
	_ pin.PinFunc   = (*Out)(nil)
)

// openOut requests the line. It is at rest when openOut returns.
func openOut(s spot, l Line, who string, active periph.Level) (*Out, error) {
	line, err := requestOut(s, s.offset, who, active)
	if err != nil {
		return nil, s.refused(l, who, err)
	}
	return &Out{name: string(l), number: s.offset, active: active, line: line, told: !active}, nil
}

// Out sets the level of the wire. An error means: nobody knows, it may be on.
func (o *Out) Out(l periph.Level) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out(l)
}

func (o *Out) out(l periph.Level) error {
	if o.line == nil {
		return fmt.Errorf("%s: %w: it was closed", o.name, driver.ErrGone)
	}
	value := 0
	if l == o.active {
		value = 1
	}
	if err := o.line.SetValue(value); err != nil {
		return fmt.Errorf("%s: %w", o.name, explain(err))
	}
	o.told = l
	return nil
}

// Told is the level that it was told last.
func (o *Out) Told() periph.Level {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told
}

// Active reports whether the level it was told last means on.
func (o *Out) Active() bool { return o.Told() == o.active }

// Halt puts it at rest.
func (o *Out) Halt() error { return o.Out(!o.active) }

// Close puts it at rest and then releases it, whatever became of the rest. A
// second Close does nothing.
func (o *Out) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.line == nil {
		return nil
	}
	err := o.out(!o.active)
	if e := o.line.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", o.name, explain(e)))
	}
	o.line = nil
	return err
}

// PWM is refused: a relay is on or off.
func (o *Out) PWM(periph.Duty, physic.Frequency) error {
	return fmt.Errorf("%s: a relay line has no PWM", o.name)
}

// String is the line as the file has it.
func (o *Out) String() string { return o.name }

// Name is the same.
func (o *Out) Name() string { return o.name }

// Number is the offset on its chip.
func (o *Out) Number() int { return o.number }

// Function says what it was told, for people.
func (o *Out) Function() string { return string(o.Func()) }

// Func says what it was told. Nothing is read.
func (o *Out) Func() pin.Func {
	if o.Told() == periph.High {
		return periph.OUT_HIGH
	}
	return periph.OUT_LOW
}

// SupportedFuncs is what it can be: an output.
func (o *Out) SupportedFuncs() []pin.Func { return []pin.Func{periph.OUT} }

// SetFunc is refused but for what it is: an output is never configured again.
func (o *Out) SetFunc(f pin.Func) error {
	if f == periph.OUT {
		return nil
	}
	return fmt.Errorf("%s is an output and stays one, not %s", o.name, f)
}
