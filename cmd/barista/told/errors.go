package told

import (
	"errors"
	"strings"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
)

// NotFound says what a person does where no order is meant by ref, or more than one;
// every other error it returns as it is.
func NotFound(ref string, err error) error {
	_, part := fleet.ParseID(ref)
	var several *client.SeveralError
	switch {
	case errors.As(err, &several):
		return term.Fail(term.ExitUsage, strings.Join(Candidates(several.Found), "\n  "), "%w", err)
	case errors.Is(err, client.ErrNoRef):
		return term.Usage("%w", err)
	case errors.Is(err, client.ErrNoOrders):
		return term.Fail(term.ExitNotFound, "place one with barista order", "%w", err)
	case errors.Is(err, fleet.ErrNotFound) && part == nil:
		return term.Fail(term.ExitNotFound, "orders are kept for 30 days; see barista orders", "%w", err)
	case errors.Is(err, fleet.ErrNotFound):
		return term.Fail(term.ExitNotFound, "see barista orders; give the whole id of one that ended more than a day ago", "%w", err)
	}
	return err
}

// WrongOrder is what is wrong with an order that was typed, with the flag's name instead
// of the field's.
func WrongOrder(err error) error {
	var f *fleet.FieldError
	flags := map[string]string{"id": "--id", "name": "--name", "size": "--size", "bean_type": "--bean", "milk": "--milk", "sugar_count": "--sugar"}
	if errors.As(err, &f) && flags[f.Field] != "" {
		return term.Usage("%s: %s", flags[f.Field], f.Reason)
	}
	return term.Usage("%v", err)
}

// Refusal is a shop's "no" as an error of ours.
func Refusal(a fleet.Answer) error {
	exit, hint := term.ExitRefused, ""
	switch a.Code {
	case fleet.CodeInvalid:
		exit = term.ExitUsage
	case fleet.CodeUnavailable:
		exit, hint = term.ExitTimeout, "send it again with --id "+a.OrderID+": it stays one order"
	case fleet.CodeConflict:
		hint = "leave --id out to make a new order"
	case fleet.CodeNotOnMenu:
		hint = "see barista menu show"
	}
	e := term.Fail(exit, hint, "%s", term.Safe(a.Message))
	if a.Code != "" {
		e.Code = a.Code
	}
	return e
}

// Ended is what came of an order that was followed to its last event, as an error; nil
// where it was made.
func Ended(id string, last fleet.Event) error {
	switch {
	case last.Kind == fleet.EvServed:
		return nil
	case last.Kind == fleet.EvUnknown:
		return term.Fail(term.ExitFailed, "barista settle "+id+" made|not-made, or barista again "+id, "nobody can say whether it was made")
	case last.Kind == fleet.EvFailed:
		return term.Fail(term.ExitFailed, "", "it was not made: %s", term.Safe(Reason(last.Reason)))
	}
	return term.Fail(term.ExitRefused, "", "the order was %s: %s", last.Kind, term.Safe(Reason(last.Reason)))
}
