package term

import (
	"errors"
	"fmt"
	"io"
)

// The exit codes; scripts and systemd units depend on them.
const (
	ExitOK           = 0
	ExitFailed       = 1
	ExitUsage        = 2
	ExitNotFound     = 3
	ExitRefused      = 4 // by the state of things: too late, out of stock, cordoned
	ExitUnauthorised = 5
	ExitTimeout      = 6 // nobody knows
	ExitDegraded     = 7
	ExitConfig       = 78 // a service with a wrong configuration; systemd does not restart it
)

// BadConfig is the stable word for a wrong configuration, whatever the exit code.
const BadConfig = "bad_config"

// codes are the stable words for the exit codes, in JSON.
var codes = map[int]string{
	ExitFailed:       "failed",
	ExitUsage:        "usage",
	ExitNotFound:     "not_found",
	ExitRefused:      "refused",
	ExitUnauthorised: "unauthorised",
	ExitTimeout:      "timeout",
	ExitDegraded:     "degraded",
	ExitConfig:       BadConfig,
}

// Error is the one error of the command line: what a script needs (Exit and
// Code), what a person needs (Message and Hint).
type Error struct {
	Exit    int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	Cause   error  `json:"-"`
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Cause }

// Fail makes an error of one line with its exit code, and what the person can do.
func Fail(exit int, hint, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Exit: exit, Code: codes[exit], Message: OneLine(err.Error()), Hint: hint, Cause: err}
}

// Usage is the error of a wrong command line.
func Usage(format string, args ...any) error { return Fail(ExitUsage, "", format, args...) }

// errSaid marks an error of which everything has been printed already.
var errSaid = errors.New("said")

// Said is an error of which everything has been printed already; only its exit
// code is left.
func Said(exit int) error {
	return Fail(exit, "", "%w", errSaid)
}

// Print tells a script or a person of the error, unless that was done.
func (e *Error) Print(out, errOut io.Writer, asJSON bool) {
	switch {
	case errors.Is(e, errSaid):
	case asJSON:
		_ = JSON(out, struct {
			Error *Error `json:"error"`
		}{e})
	default:
		fmt.Fprintf(errOut, "barista: %s\n", e.Message)
		if e.Hint != "" {
			fmt.Fprintf(errOut, "  %s\n", e.Hint)
		}
	}
}
