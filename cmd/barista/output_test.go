package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/controller"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		exit int
		code string
	}{
		{errors.New("x"), term.ExitFailed, "failed"},
		{term.Usage("x"), term.ExitUsage, "usage"},
		{fmt.Errorf("room: %w", fleet.ErrNotFound), term.ExitNotFound, "not_found"},
		{&controller.StateError{Phase: fleet.Brewing, Message: "too late"}, term.ExitRefused, "refused"},
		{fmt.Errorf("x: %w", &fleet.OutOfStockError{Item: "mixed"}), term.ExitRefused, "refused"},
		{fleet.ErrConflict, term.ExitRefused, "refused"},
		{fmt.Errorf("x: %w", fleet.ErrNoAnswer), term.ExitTimeout, "timeout"},
		{context.DeadlineExceeded, term.ExitTimeout, "timeout"},
		{fleet.ErrNobody, term.ExitFailed, "failed"},
		{preview.Bad(term.ExitConfig, 2), term.ExitConfig, "bad_config"},
		{errors.Join(errors.New("a"), errors.New("b")), term.ExitFailed, "failed"},
	} {
		e := explain(c.err)
		if e.Exit != c.exit || e.Code != c.code || e.Message == "" || strings.Contains(e.Message, "\n") {
			t.Errorf("explain(%v) = %+v, want exit %d and code %s", c.err, e, c.exit, c.code)
		}
	}
}

// TestReach: what a person hears of the old machine before deciding.
func TestReach(t *testing.T) {
	owner := fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b1"}
	claim := fleet.Claim{Owner: &owner}
	for want, here := range map[string][]fleet.Machine{
		"can't be reached":              {{Here: true, Presence: fleet.Presence{Machine: "max"}}, {Presence: fleet.Presence{Machine: "zoe", Owner: owner}}},
		"is here with the same journal": {{Here: true, Presence: fleet.Presence{Machine: "zoe", Owner: owner}}},
		"its journal may still say":     {{Here: true, Presence: fleet.Presence{Machine: "zoe", Owner: fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b2"}}}},
		"with another journal":          {{Here: true, Presence: fleet.Presence{Machine: "zoe", Owner: fleet.Owner{Machine: "zoe", Journal: "j2", Boot: "b1"}}}},
	} {
		if got := told.Reach(claim, here); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}
