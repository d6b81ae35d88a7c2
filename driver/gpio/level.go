package gpio

import (
	"time"

	periph "periph.io/x/conn/v3/gpio"

	"barista/driver"
)

// level is a switch as a sensor. The kernel debounces it.
type level struct {
	signal driver.Signal
	in     *In
	active periph.Level
}

var _ driver.Sensor = (*level)(nil)

func (s *level) Read() (driver.Reading, error) {
	return sense(s.in, string(s.signal), s.active)
}

// sense is a line as a reading: 1 at its active level.
func sense(in *In, who string, active periph.Level) (driver.Reading, error) {
	l, err := in.Level()
	if err != nil {
		return driver.Reading{}, invalid(who, err)
	}
	r := driver.Reading{At: time.Now()}
	if l == active {
		r.Value = 1
	}
	return r, nil
}

// pullFor is the chip's resistor for a switch: if nothing else is said, the one
// that makes a broken wire read as no.
func pullFor(p Pull, a Active) periph.Pull {
	switch p {
	case PullUp:
		return periph.PullUp
	case PullDown:
		return periph.PullDown
	case PullOff:
		return periph.Float
	}
	if a == Low {
		return periph.PullUp
	}
	return periph.PullDown
}
