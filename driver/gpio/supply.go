package gpio

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barista/driver"
)

// supply tells whether the computer's own voltage is high enough. A Raspberry
// Pi sees it fall below 4.63 V and says so in two places: the kernel's sensor
// driver, which looks every 2 s and remembers a shorter dip until then, and the
// firmware's flags. Either is a file that anybody may read.
type supply struct {
	files fs.FS
	name  string
	weak  func(text string) (bool, error)

	mu   sync.Mutex
	last driver.Reading
	err  error
}

var _ driver.Sensor = (*supply)(nil)

// supplyEvery is how often the file is really read. The firmware's takes a
// millisecond of its time.
const supplyEvery = 250 * time.Millisecond

const (
	hwmon     = "sys/class/hwmon"
	throttled = "sys/devices/platform/soc/soc:firmware/get_throttled"
)

// findSupply looks where this computer says it; nil if it doesn't, which is no
// fault: most computers can't.
func findSupply(files fs.FS) *supply {
	folders, _ := fs.ReadDir(files, hwmon)
	for _, f := range folders {
		name, err := fs.ReadFile(files, path.Join(hwmon, f.Name(), "name"))
		if err == nil && strings.TrimSpace(string(name)) == "rpi_volt" {
			return &supply{files: files, name: path.Join(hwmon, f.Name(), "in0_lcrit_alarm"), weak: alarm}
		}
	}
	if _, err := fs.Stat(files, throttled); err == nil {
		return &supply{files: files, name: throttled, weak: flags}
	}
	return nil
}

// alarm is 0 or 1.
func alarm(text string) (bool, error) {
	if !slices.Contains([]string{"0", "1"}, text) {
		return false, fmt.Errorf("%q is neither 0 nor 1", text)
	}
	return text == "1", nil
}

// flags are bits in hexadecimal; the lowest is under-voltage now.
func flags(text string) (bool, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	return n&1 == 1, err
}

// Read is 1 for a good supply. What can't be read or understood is no reading.
func (s *supply) Read() (driver.Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.last.At.IsZero() && now.Sub(s.last.At) < supplyEvery {
		return s.last, s.err
	}
	s.last, s.err = driver.Reading{At: now}, nil
	text, err := fs.ReadFile(s.files, s.name)
	weak := false
	if err == nil {
		weak, err = s.weak(strings.TrimSpace(string(text)))
	}
	switch {
	case err != nil:
		s.err = fmt.Errorf("%s: %w: /%s: %w", driver.Power, driver.ErrInvalid, s.name, err)
	case !weak:
		s.last.Value = 1
	}
	return s.last, s.err
}
