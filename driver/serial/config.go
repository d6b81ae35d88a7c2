package serial

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"barista/driver"
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

// Problems finds everything that is wrong with the settings; nothing is opened.
func (c Config) Problems() []driver.Problem {
	var list []driver.Problem
	add := func(key, fix, format string, a ...any) {
		list = append(list, driver.Problem{Key: key, Reason: fmt.Sprintf(format, a...), Fix: fix})
	}
	if c.Dial == nil {
		list = append(list, CheckName(c.Device)...)
	}
	if c.Baud != 0 && (c.Baud < 300 || c.Baud > 4_000_000) {
		add("baud", "give 300 to 4000000", "a speed of %d baud is not possible", c.Baud)
	}
	switch c.Parity {
	case "", None, Even, Odd:
	default:
		add("parity", "it is none, even or odd", "there is no parity %q", c.Parity)
	}
	if c.StopBits < 0 || c.StopBits > 2 {
		add("stop_bits", "give 1 or 2", "%d stop bits are not possible", c.StopBits)
	}
	for key, l := range map[string]Level{"dtr": c.DTR, "rts": c.RTS} {
		switch l {
		case Leave, Low, High:
		default:
			add(key, "it is low or high, or left alone", "%s can't be %q", strings.ToUpper(key), l)
		}
	}
	return list
}

// CheckName refuses a device whose name does not say which device it is.
func CheckName(device string) []driver.Problem {
	base := filepath.Base(device)
	p := driver.Problem{Key: "port"}
	switch {
	case device == "":
		p.Reason, p.Fix = "name the serial port", "see ls -l /dev/serial/by-id"
	case !filepath.IsAbs(device) && !strings.HasPrefix(device, "./"):
		p.Reason, p.Fix = fmt.Sprintf("%q does not say where it is", device), "write the whole path, from /dev"
	case filepath.Dir(device) == "/dev" && (strings.HasPrefix(base, "ttyUSB") || strings.HasPrefix(base, "ttyACM")):
		p.Reason = device + " is another device whenever the order of plugging changes"
		p.Fix = "use its name below /dev/serial/by-id, or by-path for an adapter without a serial number"
	default:
		return nil
	}
	return []driver.Problem{p}
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
