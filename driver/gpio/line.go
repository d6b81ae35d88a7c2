package gpio

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Line says where a wire is connected, in one of three ways:
//
//	GPIO17          the kernel's name of the line
//	P1_11           the position on the 40-pin header of a Raspberry Pi
//	pinctrl-rp1:17  the label of a chip, and the line's offset on it
//
// There is no fourth one: the number of a chip ("gpiochip0") changes with the
// kernel, and a bare number does not say what it counts.
type Line string

// place is a Line taken apart.
type place struct {
	name   string // the kernel's; "" with chip
	chip   string // label
	offset int
}

var (
	chipNumber = regexp.MustCompile(`^(/dev/)?gpiochip[0-9]*$`)
	bareNumber = regexp.MustCompile(`^[0-9]+$`)
	// nearlyNumber is one with a sign, in hexadecimal, or with blanks: no name.
	nearlyNumber = regexp.MustCompile(`(?i)^\s*[+-]?(?:0x)?[0-9]+\s*$`)
	nearlyGPIO   = regexp.MustCompile(`(?i)^gpio[ _-]?([0-9]{1,2})$`)
	nearlyP1     = regexp.MustCompile(`(?i)^(?:p1|j8|pin)[ _-]?([0-9]{1,2})$`)
)

// maxOffset is above every chip that there is.
const maxOffset = 4095

// place reads it. The errors don't say which line of the file it is.
func (l Line) place() (place, error) {
	s := string(l)
	if i := strings.LastIndexByte(s, ':'); i >= 0 && (i == len(s)-1 || nearlyNumber.MatchString(s[i+1:])) {
		label := s[:i]
		if err := checkLabel(label); err != nil {
			return place{}, err
		}
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > maxOffset || !bareNumber.MatchString(s[i+1:]) {
			return place{}, fmt.Errorf("%q has no offset behind its colon, from 0 to %d", s, maxOffset)
		}
		return place{chip: label, offset: n}, nil
	}
	if err := checkName(s); err != nil {
		return place{}, fmt.Errorf("%q is no name of a line: %w", s, err)
	}
	switch {
	case chipNumber.MatchString(s):
		return place{}, fmt.Errorf("%q is the number of a chip, which changes with the kernel", s)
	case bareNumber.MatchString(s):
		return place{}, fmt.Errorf("the number %s does not say what it counts: GPIO%s is the chip's numbering, P1_%s the position on the header", s, s, s)
	case nearlyP1.MatchString(s):
		n, _ := strconv.Atoi(nearlyP1.FindStringSubmatch(s)[1])
		if want := fmt.Sprintf("P1_%d", n); s != want {
			return place{}, fmt.Errorf("there is no line %q: is %s meant?", s, want)
		}
		bcm, err := onHeader(n)
		if err != nil {
			return place{}, err
		}
		return place{name: fmt.Sprintf("GPIO%d", bcm)}, nil
	case nearlyGPIO.MatchString(s):
		n, _ := strconv.Atoi(nearlyGPIO.FindStringSubmatch(s)[1])
		if want := fmt.Sprintf("GPIO%d", n); s != want {
			return place{}, fmt.Errorf("there is no line %q: is %s meant?", s, want)
		}
	}
	return place{name: s}, nil
}

// checkName is what the kernel can give as a name or a label: up to 31 bytes.
func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case len(s) > 31:
		return errors.New("it is longer than 31 characters")
	case strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }):
		return errors.New("it has a space or a character in it that no name has")
	}
	return nil
}

func checkLabel(s string) error {
	if err := checkName(s); err != nil {
		return fmt.Errorf("%q is no label of a chip: %w", s, err)
	}
	if chipNumber.MatchString(s) {
		return fmt.Errorf("%q is the number of a chip, which changes with the kernel: give its label", s)
	}
	return nil
}

// piChips are the labels of the header's chip: Raspberry Pi 1 to 3, 4 and 400, 5.
// On all of them the offset is the number in the name GPIO17.
var piChips = []string{"pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"}

// number is the one in the name GPIO17, of whatever line on a Raspberry Pi's chip.
func (p place) number() (int, bool) {
	if p.chip != "" {
		return p.offset, slices.Contains(piChips, p.chip)
	}
	m := nearlyGPIO.FindStringSubmatch(p.name)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.Atoi(m[1])
	return n, true
}

// bcm is that number, if it is a pin of a Raspberry Pi's header.
func (p place) bcm() (int, bool) {
	n, is := p.number()
	return n, is && n < len(pins)
}

// pin is the same text for every way to name one pin.
func (p place) pin() string {
	if n, ok := p.bcm(); ok {
		return fmt.Sprintf("GPIO%d", n)
	}
	if p.chip != "" {
		return fmt.Sprintf("%s:%d", p.chip, p.offset)
	}
	return p.name
}
