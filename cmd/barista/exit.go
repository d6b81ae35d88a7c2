package main

import (
	"context"
	"errors"
	"fmt"

	"barista/fleet"
	"barista/fleet/controller"
)

// The exit codes; scripts and systemd units depend on them.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitNotFound     = 3
	exitRefused      = 4 // by the state of things: too late, out of stock, cordoned
	exitUnauthorised = 5
	exitTimeout      = 6 // nobody knows
	exitDegraded     = 7
	exitConfig       = 78 // a service with a wrong configuration; systemd does not restart it
)

// exitError is the one error of the command line: what a script needs (Exit and
// Code), what a person needs (Message and Hint).
type exitError struct {
	Exit    int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	err     error
}

func (e *exitError) Error() string { return e.Message }
func (e *exitError) Unwrap() error { return e.err }

// codes are the stable words for the exit codes, in JSON.
var codes = map[int]string{
	exitFailed:       "failed",
	exitUsage:        "usage",
	exitNotFound:     "not_found",
	exitRefused:      "refused",
	exitUnauthorised: "unauthorised",
	exitTimeout:      "timeout",
	exitDegraded:     "degraded",
	exitConfig:       "bad_config",
}

func fail(exit int, hint, format string, args ...any) *exitError {
	err := fmt.Errorf(format, args...)
	return &exitError{Exit: exit, Code: codes[exit], Message: err.Error(), Hint: hint, err: err}
}

func usage(format string, args ...any) error { return fail(exitUsage, "", format, args...) }

// errSaid marks an error of which everything has been printed already; only its
// exit code is left.
var errSaid = errors.New("said")

func said(exit int) error {
	return &exitError{Exit: exit, Code: codes[exit], Message: errSaid.Error(), err: errSaid}
}

// explain finds the exit code of any error. What the rooms return keeps its
// text; the words that callers can tell apart get their code here, once.
func explain(err error) *exitError {
	var e *exitError
	if errors.As(err, &e) {
		return e
	}
	exit, hint := exitFailed, ""
	var state *controller.StateError
	var stock *fleet.ErrOutOfStock
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		exit = exitNotFound
	case errors.As(err, &state), errors.As(err, &stock), errors.Is(err, fleet.ErrNotAllowed), errors.Is(err, fleet.ErrFull):
		exit = exitRefused
	case errors.Is(err, fleet.ErrConflict):
		exit, hint = exitRefused, "somebody else was faster: look again"
	case errors.Is(err, fleet.ErrNobody):
		hint = "is the shop running? see barista status"
	case errors.Is(err, fleet.ErrNoAnswer), errors.Is(err, context.DeadlineExceeded):
		exit, hint = exitTimeout, "nobody knows whether it was done: look before you repeat it"
	}
	return &exitError{Exit: exit, Code: codes[exit], Message: oneLine(err.Error()), Hint: hint, err: err}
}
