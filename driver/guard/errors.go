package guard

import (
	"errors"
	"fmt"
	"time"

	"barista/driver"
)

var (
	// ErrNotRunning: On and Off work while Run does, and at no other time.
	ErrNotRunning = errors.New("the guard is not running")
	// ErrNotLatched: there is no fault to clear.
	ErrNotLatched = errors.New("there is no fault to clear")
)

// LatchedError refuses an On after a fault; only a person ends that (Clear).
type LatchedError struct{ Latch Latch }

func (e *LatchedError) Error() string {
	return fmt.Sprintf("locked since %s after a fault: %s; a person must look at the machine and clear it",
		e.Latch.At.Local().Format(time.DateTime), e.Latch)
}

// RestError refuses an On of a part that must rest; ask again after Left.
type RestError struct {
	Part driver.Part
	Left time.Duration
}

func (e *RestError) Error() string {
	return fmt.Sprintf("%s must rest for another %v", e.Part, e.Left)
}

// CeilingError refuses an On that would last too long.
type CeilingError struct {
	Part  driver.Part
	Asked time.Duration
	Used  time.Duration // time on since the last real pause
	Max   time.Duration // the effective ceiling
}

func (e *CeilingError) Error() string {
	if e.Used > 0 {
		return fmt.Sprintf("%s may be on for at most %v without a real pause, was on for %v, and %v more were asked for",
			e.Part, e.Max, e.Used, e.Asked)
	}
	return fmt.Sprintf("%s may be on for at most %v, and %v were asked for", e.Part, e.Max, e.Asked)
}

// ConflictError refuses an On beside another part.
type ConflictError struct {
	Part, With driver.Part
	Group      string        // the inrush group of both; "" = a forbidden pair
	Left       time.Duration // above 0: With is off, its contacts are open after this time
}

func (e *ConflictError) Error() string {
	why := "the two are a forbidden pair"
	if e.Group != "" {
		why = fmt.Sprintf("both are in inrush group %q", e.Group)
	}
	if e.Left > 0 {
		return fmt.Sprintf("%s must wait %v after %s went off: %s", e.Part, e.Left, e.With, why)
	}
	return fmt.Sprintf("%s can't be on together with %s: %s", e.Part, e.With, why)
}

// StuckError: the driver did not come back from a call. Whether the parts of
// that port are on, nobody knows.
type StuckError struct {
	Port   string
	Call   string // what it was told: "pump on"
	Within time.Duration
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("port %q did not come back from switching %s within %v: what hangs on it may be on; cut the power if it is",
		e.Port, e.Call, e.Within)
}

// errSuperseded is what an On gets that was still waiting for its port when
// its part was switched off.
var errSuperseded = errors.New("it was switched off before its turn came")
