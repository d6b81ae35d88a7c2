package main

import (
	"cmp"
	"context"
	"errors"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/configs/kinds"
	"barista/fleet"
	"barista/fleet/controller"
	"barista/machine/calibration"
	"barista/machine/station"
)

// explain finds the exit code of any error. What the rooms return keeps its
// text; the words that callers can tell apart get their code here, once.
func explain(err error) *term.Error {
	if e := cmp.Or(forGood(err), reach.Explain(err)); e != nil {
		return e
	}
	exit, hint := term.ExitFailed, ""
	var state *controller.StateError
	var stock *fleet.OutOfStockError
	var command *kinds.Error
	switch {
	case errors.As(err, &command):
		exit = map[kinds.Why]int{kinds.WrongUsage: term.ExitUsage, kinds.Refused: term.ExitRefused, kinds.NotAllowed: term.ExitUnauthorised}[command.Why]
		hint = command.Hint
	case errors.Is(err, fleet.ErrNotFound):
		exit = term.ExitNotFound
	case errors.As(err, &state), errors.As(err, &stock), errors.Is(err, fleet.ErrNotAllowed), errors.Is(err, fleet.ErrFull):
		exit = term.ExitRefused
	case errors.Is(err, fleet.ErrClosed):
		exit, hint = term.ExitRefused, "barista status says what a person can do"
	case errors.Is(err, fleet.ErrConflict):
		exit, hint = term.ExitRefused, "somebody else was faster: look again"
	case errors.Is(err, fleet.ErrNobody):
		hint = "is the shop running? see barista status"
	case errors.Is(err, fleet.ErrNoAnswer), errors.Is(err, context.DeadlineExceeded):
		exit, hint = term.ExitTimeout, "nobody knows whether it was done: look before you repeat it"
	}
	return term.Fail(exit, hint, "%w", err)
}

// forGood is what was meant for whoever starts a process, and what does not pass
// by trying again; nil for everything else.
func forGood(err error) *term.Error {
	if e, is := errors.AsType[*term.Error](err); is {
		return e
	}
	if e, is := errors.AsType[*station.DrivenError](err); is {
		return term.Fail(term.ExitRefused, "stop it first, or is this the second service of the same name?", "%w", e)
	}
	if e, is := errors.AsType[*calibration.DamagedError](err); is {
		return term.Fail(term.ExitConfig, "nothing was touched", "%w", e)
	}
	return nil
}
