package told

import (
	"errors"
	"fmt"
	"strings"

	"barista/cmd/barista/term"
	"barista/fleet"
)

// Stays says what a person types where a machine can't leave, or come back, now, or where
// there is none of that name; every other error it returns as it is.
func Stays(err error) error {
	var no *fleet.StaysError
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return term.Fail(term.ExitNotFound, "see barista machine ls", "%w", err)
	case !errors.As(err, &no):
		return err
	}
	drain := fmt.Sprintf("barista machine drain %s --reason \"…\" --wait", no.Machine)
	hint := map[string]string{
		fleet.StaysInService: drain,
		fleet.StaysUnparked:  drain,
		fleet.StaysUncut:     "end its service on its own computer, then say this again",
		fleet.StaysAwaited:   fmt.Sprintf("let it come once more, or: barista machine give-up %s --reason \"…\"", no.Machine),
		fleet.StaysClosed:    "see barista status",
		fleet.StaysUnchecked: fmt.Sprintf("barista selftest and barista calibrate there; then barista machine uncordon %s --checked, and watch its first cup", no.Machine),
	}[no.Code]
	if no.Code == fleet.StaysHolds {
		hint = settles(no)
	}
	return term.Fail(term.ExitRefused, hint, "%w", err)
}

// settles is what to type for each order that stands in a machine's name.
func settles(no *fleet.StaysError) string {
	var next []string
	inHand := false
	for _, o := range no.Held {
		if o.Phase == fleet.Unknown {
			next = append(next, fmt.Sprintf("barista settle %s made|not-made --reason \"…\"", o.ID))
		} else {
			inHand = true
		}
	}
	switch {
	case inHand && no.Member:
		next = append(next, fmt.Sprintf("barista machine revoke %s if it will not come back: what it began is in doubt then, and can be settled", no.Machine))
	case inHand:
		next = append(next, "wait: what it has not begun goes to others, and what it began is in doubt after some minutes, and can be settled")
	}
	return strings.Join(next, "; ")
}
