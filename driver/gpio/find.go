package gpio

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/warthog618/go-gpiocdev"

	"barista/driver"
)

// BusyError is a line that somebody else uses. It is driver.ErrBusyLine.
type BusyError struct {
	Line Line
	For  string // the part or signal that wants it
	By   string // who has it; "" if the kernel does not know
}

func (e *BusyError) Error() string {
	by := e.By
	if by == "" {
		by = "somebody who gave no name"
	}
	return fmt.Sprintf("cannot use %s for %s: it is used by %s", e.Line, e.For, by)
}

// Unwrap says which of the driver's words it is.
func (e *BusyError) Unwrap() error { return driver.ErrBusyLine }

// desk is every chip of the computer, open, with the names of its lines.
type desk struct {
	labels []string // where names are looked up; empty: everywhere
	chips  []labelled
	accept map[Line]string // see Config.AcceptLines
}

type labelled struct {
	chip
	device string
	names  []string
}

// spot is a line on a chip.
type spot struct {
	chip
	device string
	offset int
}

// lookAround opens the chips. The error says what stands in the way when there
// is none that can be used.
func lookAround(d door, labels []string) (*desk, error) {
	k := &desk{labels: labels}
	var errs []error
	links := 0
	for _, device := range d.chips() {
		c, err := d.open(device)
		if errors.Is(err, gpiocdev.ErrNotCharacterDevice) {
			links++ // to another one, as Raspberry Pi OS has it
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot open /dev/%s: %w", device, explain(err)))
			continue
		}
		l := labelled{chip: c, device: device}
		for i := range c.Lines() {
			info, err := c.LineInfo(i)
			if err != nil {
				info.Name = "" // it can still be found by its offset
			}
			l.names = append(l.names, info.Name)
		}
		k.chips = append(k.chips, l)
	}
	if len(k.usable()) > 0 {
		return k, nil
	}
	k.close()
	switch {
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	case len(k.chips) > 0:
		return nil, fmt.Errorf("there is no GPIO chip with the label %s here, but %s: correct chip in the file", strings.Join(labels, " or "), k.list())
	case links > 0:
		return nil, errors.New("/dev/gpiochip… is there, but no chip behind it: /sys/bus/gpio must be readable, also in the service's sandbox")
	}
	return nil, errors.New("this computer has no GPIO chip (/dev/gpiochip…): is it the right one?")
}

func (k *desk) close() {
	for _, c := range k.chips {
		_ = c.Close() // nothing was written by it
	}
}

// usable are the chips on which names are looked up.
func (k *desk) usable() []labelled {
	var out []labelled
	for _, c := range k.chips {
		if len(k.labels) == 0 || slices.Contains(k.labels, c.label()) {
			out = append(out, c)
		}
	}
	return out
}

func (k *desk) list() string {
	var out []string
	for _, c := range k.chips {
		out = append(out, c.label())
	}
	return strings.Join(out, ", ")
}

// find looks a line up and sees that nobody uses it.
func (k *desk) find(l Line, who string) (spot, error) {
	s, err := k.locate(l, who)
	if err != nil {
		return spot{}, err
	}
	return s, s.free(l, who)
}

// take is find for a line that the machine will hold: none of a Raspberry Pi's own,
// which the kernel may call by any name.
func (k *desk) take(l Line, who string) (spot, error) {
	s, err := k.find(l, who)
	if err != nil {
		return s, err
	}
	if slices.Contains(piChips, s.label()) && s.offset >= len(pins) && strings.TrimSpace(k.accept[l]) == "" {
		return spot{}, fmt.Errorf("cannot use %s for %s: it is line %d of %s and not on the header: %s", l, who, s.offset, s.label(), ownFix(l))
	}
	return s, nil
}

// locate looks a line up, whoever uses it.
func (k *desk) locate(l Line, who string) (spot, error) {
	at, err := l.place()
	if err != nil {
		return spot{}, fmt.Errorf("line of %s: %w", who, err)
	}
	var found []spot
	if at.chip != "" {
		found, err = k.byOffset(at)
	} else {
		found, err = k.byName(at)
	}
	if err != nil {
		return spot{}, fmt.Errorf("cannot use %s for %s: %w", l, who, err)
	}
	if len(found) > 1 {
		var where []string
		for _, s := range found {
			where = append(where, fmt.Sprintf("%s:%d", s.label(), s.offset))
		}
		return spot{}, fmt.Errorf("cannot use %s for %s: there are several: %s", l, who, strings.Join(where, ", "))
	}
	s := found[0]
	if s.abi() < 2 {
		return spot{}, fmt.Errorf("cannot use %s for %s: this kernel is too old: Linux 5.10 or newer is needed", l, who)
	}
	return s, nil
}

func (k *desk) byOffset(at place) ([]spot, error) {
	var found []spot
	for _, c := range k.chips {
		if c.label() != at.chip {
			continue
		}
		if at.offset >= c.Lines() {
			return nil, fmt.Errorf("%s has lines 0 to %d", at.chip, c.Lines()-1)
		}
		found = append(found, spot{c.chip, c.device, at.offset})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no GPIO chip with the label %s here, but %s", at.chip, k.list())
	}
	return found, nil
}

func (k *desk) byName(at place) ([]spot, error) {
	var found []spot
	for _, c := range k.usable() {
		for i, name := range c.names {
			if name == at.name {
				found = append(found, spot{c.chip, c.device, i})
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	// Some kernels call a pin by what it can do: SDA1 for GPIO2.
	if n, ok := at.number(); ok {
		for _, c := range k.usable() {
			if slices.Contains(piChips, c.label()) && n < c.Lines() {
				found = append(found, spot{c.chip, c.device, n})
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, fmt.Errorf("no line of %s has this name: gpioinfo shows the names; or write label:offset", k.list())
}

// free reports who uses the line.
func (s spot) free(l Line, who string) error {
	info, err := s.LineInfo(s.offset)
	if err != nil {
		return fmt.Errorf("cannot use %s for %s: %w", l, who, explain(err))
	}
	if info.Used {
		return &BusyError{l, who, info.Consumer}
	}
	return nil
}

// refused explains why a request failed, which is mostly somebody who was
// faster.
func (s spot) refused(l Line, who string, err error) error {
	err = explain(err)
	if errors.Is(err, driver.ErrBusyLine) {
		if busy := s.free(l, who); busy != nil {
			return busy
		}
		return &BusyError{Line: l, For: who}
	}
	return fmt.Errorf("cannot use %s for %s: %w", l, who, err)
}
