package station

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"barista/driver"
	"barista/machine"
)

// RestTime bounds Rest. systemd gives its stop-post 4 s.
const RestTime = 3 * time.Second

// Rest puts the machine of this folder at rest, while nobody else may start to
// drive it. It needs no folder, no journal and no calibration. A *DrivenError says
// that another process drives the machine, and nothing was done; a
// *driver.MayBeOnError what may still be on.
func Rest(dir string, metal Metal, plan machine.Plan) error {
	// No lock file is left behind that the service could not open; and where there
	// is none, or it can't be opened, that is no reason to leave an output on.
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryLock()
	if err == nil && !free {
		return &DrivenError{dir}
	}
	defer lock.Close()
	done := make(chan error, 1)
	go func() { done <- metal.Rest() }() // if it hangs, the process ends without it
	timer := time.NewTimer(RestTime)
	defer timer.Stop()
	select {
	case err = <-done:
	case <-timer.C:
		err = fmt.Errorf("no answer within %v", RestTime)
	}
	if err == nil {
		return nil
	}
	if _, named := errors.AsType[*driver.MayBeOnError](err); named {
		return err
	}
	var parts []string
	for _, p := range driver.InOrder(plan.Guard.Parts, driver.Parts) {
		parts = append(parts, string(p))
	}
	if len(parts) == 0 {
		parts = []string{"any output"}
	}
	return &driver.MayBeOnError{What: strings.Join(parts, ", "), Err: err}
}
