package hands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/guard"
	"barista/machine/station"
)

// bar is an appliance that only answers.
type bar struct {
	driver.Appliance // whatever else is asked panics
	ready            error
	soon             *int // so often it says "not yet" before that
	count            int
	countErr         error
}

func (b bar) Ready(context.Context) error {
	if b.soon != nil && *b.soon > 0 {
		*b.soon--
		return fmt.Errorf("its wire is tried: %w", driver.ErrNotYet)
	}
	return b.ready
}

func (b bar) Counter(context.Context) (int, error) { return b.count, b.countErr }

// Of an appliance only identity, readiness and counter: anything else would
// panic in this one.
func TestSelftestAppliance(t *testing.T) {
	for _, c := range []struct {
		name string
		bar  bar
		want string
		exit int
	}{
		{"well", bar{count: 812}, "ready: yes\nproducts made: 812\n", 0},
		{"no counter", bar{countErr: driver.ErrNoCounter}, "ready: yes\nproducts made: it has no counter, so no drink can be proved\n", 0},
		{"a moment", bar{count: 5, soon: new(2)}, "its wire is tried: not yet …\nits wire is tried: not yet …\nready: yes\nproducts made: 5\n", 0},
		{"never", bar{count: 5, soon: new(99)}, strings.Repeat("its wire is tried: not yet …\n", readyTries-1) + "ready: no, its wire is tried: not yet\nproducts made: 5\n", term.ExitFailed},
		{"tray", bar{ready: errors.New("tray missing"), count: 3}, "ready: no, tray missing\nproducts made: 3\n", term.ExitFailed},
		{"mute", bar{ready: driver.ErrGone, countErr: driver.ErrGone}, "ready: no, the device is gone\n", term.ExitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := guard.New(driver.Rig{Appliance: c.bar}, guard.Config{})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			h := &Hands{Station: &station.Station{Guard: g}, Name: "rosa", Person: &term.Person{Out: &out}}
			err = h.testAppliance(t.Context(), c.bar, &Tested{})
			if got := out.String(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if err == nil != (c.exit == 0) || err != nil && exitOf(err) != c.exit {
				t.Error(err)
			}
		})
	}
}

func exitOf(err error) int {
	if e, is := errors.AsType[*term.Error](err); is {
		return e.Exit
	}
	return 0
}
