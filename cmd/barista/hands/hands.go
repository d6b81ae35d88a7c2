// Package hands is a machine in the hands of a person who stands before it, opened as
// its service would open it, with nothing of the shop around it: the self-test, and
// the calibration of a part.
//
// It tells what will move before it does, asks, and ends at once when the person says
// so. A verb makes Hands of a station that it was lent, and gives it back; everything
// is off then. It must move nothing but through the machine's own Try, keep nothing
// without a yes, and never tell the journal of it: what comes is no drink.
package hands

import (
	"context"
	"fmt"
	"strings"
	"time"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/fleet/words"
	"barista/machine"
	"barista/machine/recipe"
	"barista/machine/station"
)

// Hands is the machine and the person.
type Hands struct {
	*station.Station
	Name    string
	Dir     string             // the machine's folder
	Rates   recipe.Calibration // that the file names
	TooSlow func(recipe.Calibration) string
	Person  *term.Person
}

// Sentence is a machine's reason, or that of an error, for the person who looks after
// it.
func Sentence(err error) string {
	r := machine.ReasonOf(err)
	return words.Line("en", r.Code, r.Detail, r.Quote)
}

// Doing is what a machine does now, in a few words.
func Doing(st machine.Status) string {
	switch {
	case st.Order != "":
		return strings.TrimSuffix("making order "+st.Order+": "+st.Reason.Detail, ": ")
	case st.State == machine.StateWaiting:
		return "waiting for a cup"
	case st.Reason == machine.Reason{}:
		return string(st.State)
	}
	return fmt.Sprintf("%s: %s", st.State, Sentence(st.Reason))
}

// mayTry asks the machine whether a part can be tried, and says what to do if
// not.
func (h *Hands) mayTry(p driver.Part) error {
	err := h.Machine.MayTry(p)
	if err == nil {
		return nil
	}
	hint := "mend that first"
	if l, latched := h.Guard.Latched(); latched {
		return term.Fail(term.ExitRefused, fmt.Sprintf("look at the machine; then start its service and clear it: barista machine clear-fault %s --reason \"…\"", h.Name),
			"%s is locked since %s: %s", h.Name, l.At.Local().Format("2006-01-02 15:04"), term.Safe(Sentence(err)))
	}
	if len(h.Machine.Journal().Open()) > 0 {
		hint = "start the service: it finds out what came of it; see barista orders"
	}
	return term.Fail(term.ExitRefused, hint, "%s", term.Safe(Sentence(err)))
}

// rests waits until the part may go on again, and counts down.
func (h *Hands) rests(ctx context.Context, t machine.Trial) error {
	if h.Machine.RestLeft(t.Part, t.For) <= 0 {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	h.Person.Progress("the %s rests", t.Part)
	for {
		left := h.Machine.RestLeft(t.Part, t.For)
		if left <= 0 {
			h.Person.ProgressEnd("")
			return nil
		}
		h.Person.Moving("the %s rests for another %v ", t.Part, left.Round(time.Second))
		soon := time.NewTimer(left)
		select {
		case <-tick.C:
		case <-soon.C:
		case <-ctx.Done():
			soon.Stop()
			return term.ErrStopped
		}
		soon.Stop()
	}
}
