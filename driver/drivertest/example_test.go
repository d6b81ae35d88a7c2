package drivertest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/drivertest"
)

// This is a whole driver, as small as one can be: relays that Linux shows as
// LEDs, each a folder with a file brightness, 1 for on, and a switch as a file
// hot. Its author has no such board: the test makes the files. package driver
// says what else belongs to a new kind.

// LEDs are the folders of the relays by part, and the file of a switch.
type LEDs struct {
	Relays map[driver.Part]string
	Hot    string
}

// Check says everything that is wrong, so that a person mends a file once.
func (c LEDs) Check() error {
	var errs []error
	if len(c.Relays) == 0 {
		errs = append(errs, errors.New("relays: name a folder for each part"))
	}
	for p, dir := range c.Relays {
		if !filepath.IsAbs(dir) {
			errs = append(errs, fmt.Errorf("%s: %q does not say where it is: write the whole path, from /sys/class/leds", p, dir))
		}
	}
	return errors.Join(errs...)
}

// OpenLEDs opens the board, at rest.
func OpenLEDs(c LEDs) (driver.Rig, error) {
	if err := c.Check(); err != nil {
		return driver.Rig{}, fmt.Errorf("LED machine: %w", err)
	}
	closed := new(atomic.Bool)
	rig := driver.Rig{
		Identity:  driver.Identity{Kind: "led", Model: "files", Serial: "kitchen"},
		Outputs:   map[driver.Part]driver.Wire{},
		Sensors:   map[driver.Signal]driver.Sensor{},
		OffWithin: 100 * time.Millisecond,
		Close:     func() error { closed.Store(true); return nil }, // the guard has switched off before
	}
	var errs []error
	for p, dir := range c.Relays {
		l := led{part: p, file: filepath.Join(dir, "brightness"), closed: closed}
		errs = append(errs, l.Off()) // every one is tried, whatever became of the others
		// Nothing here switches a part off when this computer is dead: the owner
		// must say what does, or sign that nothing does.
		rig.Outputs[p] = driver.Wire{Output: l, Port: "led/" + string(p), Deadman: driver.DeadmanNone}
	}
	if c.Hot != "" {
		rig.Sensors[driver.Hot] = hot(c.Hot)
	}
	if err := errors.Join(errs...); err != nil {
		return driver.Rig{}, fmt.Errorf("LED machine: %w", err)
	}
	return rig, nil
}

type led struct {
	part   driver.Part
	file   string
	closed *atomic.Bool
}

var _ driver.Output = led{}

// On has no timer to give atMost to: the guard keeps it.
func (l led) On(atMost time.Duration) error {
	if atMost <= 0 {
		return fmt.Errorf("cannot switch %s on for %v: the time must be above 0", l.part, atMost)
	}
	return l.write("1")
}

// Off always writes, whatever was written before.
func (l led) Off() error { return l.write("0") }

func (l led) write(level string) error {
	if l.closed.Load() {
		return fmt.Errorf("cannot switch %s: %w: it was closed", l.part, driver.ErrGone)
	}
	f, err := os.OpenFile(l.file, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot switch %s, it may be on: %w: %w", l.part, driver.ErrGone, err)
	}
	if err != nil {
		return fmt.Errorf("cannot switch %s, it may be on: %w", l.part, err)
	}
	_, err = f.WriteString(level)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot switch %s, it may be on: %w", l.part, err)
	}
	return nil
}

type hot string

var _ driver.Sensor = hot("")

// Read: what can't be read or understood is no reading, and never a default.
func (h hot) Read() (driver.Reading, error) {
	text, err := os.ReadFile(string(h))
	r := driver.Reading{At: time.Now()}
	switch strings.TrimSpace(string(text)) {
	case "1":
		r.Value = 1
	case "0":
	default:
		return driver.Reading{}, fmt.Errorf("hot: %w: %q %v", driver.ErrInvalid, text, err)
	}
	return r, nil
}

// bench is the driver with somebody who stands beside the board: who looks at
// the files without the driver, and pulls the cable. Each check opens it anew.
func bench(t *testing.T) drivertest.Bench {
	board := filepath.Join(t.TempDir(), "board")
	c := LEDs{Relays: map[driver.Part]string{}, Hot: filepath.Join(board, "hot")}
	file := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []driver.Part{driver.Grinder, driver.Pump} {
		c.Relays[p] = filepath.Join(board, string(p))
		file(filepath.Join(c.Relays[p], "brightness"), "0")
	}
	file(c.Hot, "1\n")
	rig, err := OpenLEDs(c)
	if err != nil {
		t.Fatal(err)
	}
	return drivertest.Bench{
		Rig: rig,
		Level: func(p driver.Part) bool { // the relays fall off with the cable
			text, err := os.ReadFile(filepath.Join(c.Relays[p], "brightness"))
			return err == nil && string(text) == "1"
		},
		Unplug: func() {
			if err := os.Rename(board, board+".gone"); err != nil {
				t.Error(err)
			}
		},
	}
}

// TestExample is all that a driver's own test needs (there it is called
// TestActuators); what follows is that it finds what is wrong.
func TestExample(t *testing.T) {
	drivertest.Actuators(t, bench)
	if _, err := OpenLEDs(LEDs{Relays: map[driver.Part]string{driver.Pump: "led0"}}); err == nil {
		t.Error("a folder from nowhere was opened")
	}
	if _, err := OpenLEDs(LEDs{Relays: map[driver.Part]string{driver.Pump: t.TempDir()}}); !errors.Is(err, driver.ErrGone) {
		t.Errorf("a relay that is not there: %v", err)
	}
	if _, err := hot(os.DevNull).Read(); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("an empty sensor: %v", err)
	}
}
