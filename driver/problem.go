package driver

import (
	"errors"
	"strings"
)

// Problem is something in a driver's settings that a person must mend. A Config
// reports all of them as data: whoever has the file in hand shows each one at its
// place, and Open joins them to one error.
type Problem struct {
	Section string // as the file calls it, "outputs" or "inputs"; "" is the settings themselves
	Key     string // in that section: the part, the signal, the setting; "" is the section as a whole
	Reason  string
	Fix     string // what a person can do about it
}

// String is the problem in one line, for who has no file to show it in.
func (p Problem) String() string {
	where := strings.Trim(p.Section+"."+p.Key, ".")
	if where != "" {
		where += ": "
	}
	return where + p.Reason + "; " + p.Fix
}

// Refusal is one error of all problems, a line for each; nil if there are none.
func Refusal(list []Problem) error {
	var errs []error
	for _, p := range list {
		errs = append(errs, errors.New(p.String()))
	}
	return errors.Join(errs...)
}

// MayBeOnError says of an output, or of several, that nobody knows whether they
// are off.
type MayBeOnError struct {
	What string // "pump", "grinder, milk"
	Err  error
}

func (e *MayBeOnError) Error() string { return e.What + " may be on: " + e.Err.Error() }

// Unwrap is why nobody knows.
func (e *MayBeOnError) Unwrap() error { return e.Err }
