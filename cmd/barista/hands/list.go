package hands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"barista/cmd/barista/term"
	"barista/driver"
	measured "barista/machine/calibration"
	"barista/machine/station"
)

// List is what was measured of a part; in JSON too.
type List struct {
	Machine  string      `json:"machine"`
	Part     driver.Part `json:"part"`
	Unit     string      `json:"unit"`
	Versions []Version   `json:"versions"`
	none     bool        // the file's figure counts
}

// Version is one of them.
type Version struct {
	measured.Version
	InForce bool `json:"in_force"`
}

// Measured lists what is kept of a part in a machine's folder. It needs no machine.
func Measured(dir, name string, part driver.Part) (List, error) {
	here, err := measured.Open(dir)
	if err != nil {
		return List{}, err
	}
	now, _ := here.InForce(part)
	out := List{Machine: name, Part: part, Unit: measured.Unit(part), Versions: []Version{}, none: now.N == 0}
	for _, v := range here.Versions(part) {
		out.Versions = append(out.Versions, Version{v, v.N == now.N})
	}
	return out, nil
}

// Print prints it for a person.
func (l List) Print(w io.Writer) {
	rows := [][]string{{"VERSION", "MEASURED", "WHEN", "WHO", "COUNTS"}}
	for _, v := range l.Versions {
		counts := ""
		if v.InForce {
			counts = "yes"
		}
		rows = append(rows, []string{fmt.Sprint(v.N), Figures(v.PerSecond, l.Unit, v.Delay()), term.Time(v.At), v.By, counts})
	}
	term.Table(w, rows)
	if l.none {
		fmt.Fprintf(w, "%s: the file's figure counts\n", l.Part)
	}
}

// RollBack puts the version before in force. It needs the machine's lock, not
// its metal.
func RollBack(ctx context.Context, state, name string, part driver.Part, by string) (done string, err error) {
	if err := Own(state); err != nil {
		return "", err
	}
	dir := station.Folder(state, name)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", term.Fail(term.ExitRefused, "see --list", "%s: %w", part, measured.ErrNothing)
	}
	here, unlock, err := locked(ctx, dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	was, _ := here.InForce(part)
	v, err := here.Rollback(part, by, time.Now())
	if errors.Is(err, measured.ErrNothing) {
		return "", term.Fail(term.ExitRefused, "see --list", "%w", err)
	}
	if err != nil {
		return "", err
	}
	if v.N == 0 {
		return fmt.Sprintf("%s: version %d no longer counts, the file's figure does, from the next start of the service", part, was.N), nil
	}
	return fmt.Sprintf("%s: version %d (%s) counts again instead of version %d, from the next start of the service", part, v.N, Figures(v.PerSecond, measured.Unit(part), v.Delay()), was.N), nil
}

// Swap notes that a part is another one now. It needs the machine's lock, not its metal.
func Swap(ctx context.Context, state, name string, part driver.Part, by, why string) (done string, err error) {
	if err := Own(state); err != nil {
		return "", err
	}
	dir := station.Folder(state, name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("the machine's folder: %w", err)
	}
	here, unlock, err := locked(ctx, dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := here.Swap(part, by, why, time.Now()); err != nil {
		return "", err
	}
	return fmt.Sprintf("the %s of %s is another one now: what counted for the old one goes on counting until it is measured: barista calibrate %s", part, name, part), nil
}

// locked is what was measured, with the machine's lock.
func locked(ctx context.Context, dir string) (*measured.Store, func(), error) {
	lock, err := station.Lock(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	here, err := measured.Open(dir)
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return here, func() { lock.Close() }, nil
}

// Own says as which user a verb is to be run at a machine.
func Own(dir string) error {
	err := station.Own(dir)
	if err == nil {
		return nil
	}
	if e, is := errors.AsType[*station.ForeignError](err); is {
		return term.Fail(term.ExitUnauthorised, fmt.Sprintf("run it as that user: sudo -u '#%d' barista …", e.Owner), "%s", term.Safe(e.Error()))
	}
	return term.Fail(term.ExitUnauthorised, "run it as the user of the service: sudo -u barista barista …", "%w", err)
}
