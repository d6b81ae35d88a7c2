package serial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
)

// Parity is the parity bit of each character.
type Parity string

// The parities. The empty word is None.
const (
	None Parity = "none"
	Even Parity = "even"
	Odd  Parity = "odd"
)

// Level is what a modem line is set to after opening. Some boards reset, others
// are mute, when a line stands wrong.
type Level string

// The levels. The kernel raises both lines at opening: Low lets them go as soon
// as the port is set up.
const (
	Leave Level = ""
	Low   Level = "low"
	High  Level = "high"
)

// Config is one port. Eight data bits always.
type Config struct {
	Device   string // /dev/serial/by-id/…, /dev/serial/by-path/…, a fixed port, or a link
	Baud     int    // 0 is 9600
	Parity   Parity
	StopBits int // 1 or 2; 0 is 1
	DTR, RTS Level

	// Check proves that this is the right device, each time it was opened and
	// before anybody else may use it. ctx gives it CheckWithin. Nil: no proof.
	Check       func(ctx context.Context, l *Line) error
	CheckWithin time.Duration // 0 is 2 s

	// Dial opens something else than the device: a wire in memory, a Replay.
	Dial func() (Wire, error)

	Record *Recorder    // nil: nothing is recorded
	Log    *slog.Logger // nil: none
}

const (
	writeWithin = 500 * time.Millisecond // of any write
	lookEvery   = 100 * time.Millisecond // for a device that is gone
	closeWithin = 3 * time.Second        // for the owner to come back
)

func (c Config) withDefaults() Config {
	if c.Baud == 0 {
		c.Baud = 9600
	}
	if c.Parity == "" {
		c.Parity = None
	}
	if c.StopBits == 0 {
		c.StopBits = 1
	}
	if c.CheckWithin == 0 {
		c.CheckWithin = 2 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = c.dial
	}
	return c
}

// Problems says everything that is wrong with the settings, joined; nothing is
// opened.
func (c Config) Problems() error {
	var errs []error
	add := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Dial == nil {
		errs = append(errs, CheckName(c.Device))
	}
	if c.Baud != 0 && (c.Baud < 300 || c.Baud > 4_000_000) {
		add("a speed of %d baud is not possible: give 300 to 4000000", c.Baud)
	}
	switch c.Parity {
	case "", None, Even, Odd:
	default:
		add("there is no parity %q: it is none, even or odd", c.Parity)
	}
	if c.StopBits < 0 || c.StopBits > 2 {
		add("%d stop bits are not possible: give 1 or 2", c.StopBits)
	}
	for name, l := range map[string]Level{"DTR": c.DTR, "RTS": c.RTS} {
		switch l {
		case Leave, Low, High:
		default:
			add("%s can't be %q: it is low or high, or left alone", name, l)
		}
	}
	return errors.Join(errs...)
}

// CheckName refuses a device whose name does not say which device it is.
func CheckName(device string) error {
	base := filepath.Base(device)
	switch {
	case device == "":
		return errors.New("name the serial port: see ls -l /dev/serial/by-id")
	case !filepath.IsAbs(device) && !strings.HasPrefix(device, "./"):
		return fmt.Errorf("%q does not say where it is: write the whole path, from /dev", device)
	case filepath.Dir(device) == "/dev" && (strings.HasPrefix(base, "ttyUSB") || strings.HasPrefix(base, "ttyACM")):
		return fmt.Errorf("%s is another device whenever the order of plugging changes: use its name below /dev/serial/by-id, or by-path for an adapter without a serial number", device)
	}
	return nil
}

// CharTime is how long one character takes on the wire.
func (c Config) CharTime() time.Duration {
	c = c.withDefaults()
	bits := 1 + 8 + c.StopBits
	if c.Parity != None {
		bits++
	}
	return time.Duration(bits) * time.Second / time.Duration(c.Baud)
}
