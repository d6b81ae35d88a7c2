package gpio

import (
	"fmt"
	"strings"
	"testing"

	periph "periph.io/x/conn/v3/gpio"
)

func TestLinePlace(t *testing.T) {
	for line, want := range map[Line]string{ // pin, or the begin of the error
		"GPIO17":             "GPIO17",
		"GPIO0":              "GPIO0",
		"P1_11":              "GPIO17",
		"P1_3":               "GPIO2",
		"P1_40":              "GPIO21",
		"pinctrl-rp1:17":     "GPIO17",
		"pinctrl-bcm2711:27": "GPIO27",
		"pinctrl-bcm2835:4":  "GPIO4",
		"pinctrl-rp1:28":     "pinctrl-rp1:28", // not on the header
		"GPIO28":             "GPIO28",
		"SDA1":               "SDA1",
		"usb-gpio:3":         "usb-gpio:3",
		"1f000d0000.gpio:17": "1f000d0000.gpio:17",
		"a:b:3":              "a:b:3",

		"":                       `"" is no name of a line: it is empty`,
		"17":                     "the number 17 does not say what it counts",
		"gpio17":                 `there is no line "gpio17": is GPIO17 meant?`,
		"GPIO_17":                `there is no line "GPIO_17": is GPIO17 meant?`,
		"GPIO017":                `"GPIO017"`,
		"GPIO07":                 `there is no line "GPIO07": is GPIO7 meant?`,
		"J8_11":                  `there is no line "J8_11": is P1_11 meant?`,
		"pin11":                  `there is no line "pin11": is P1_11 meant?`,
		"P1_41":                  "the header has pins 1 to 40, and no P1_41",
		"P1_0":                   "the header has pins 1 to 40, and no P1_0",
		"P1_1":                   "P1_1 is no GPIO but 3.3v",
		"P1_6":                   "P1_6 is no GPIO but ground",
		"gpiochip0":              `"gpiochip0" is the number of a chip`,
		"gpiochip0:17":           `"gpiochip0" is the number of a chip`,
		"/dev/gpiochip0:17":      `"/dev/gpiochip0" is the number of a chip`,
		":17":                    `"" is no label of a chip: it is empty`,
		"pinctrl-rp1:":           `"pinctrl-rp1:" has no offset behind its colon`,
		"pinctrl-rp1:4096":       `"pinctrl-rp1:4096" has no offset behind its colon`,
		"GPIO 17":                `"GPIO 17" is no name of a line: it has a space`,
		"GPIO17\n":               `"GPIO17\n" is no name of a line`,
		"Größe":                  `"Größe" is no name of a line`,
		Line(longName):           `"` + longName + `" is no name of a line: it is longer than 31 characters`,
		Line(longName + ":1"):    `"` + longName + `" is no label of a chip: it is longer than 31 characters`,
		"x:99999999999999999999": `"x:99999999999999999999" has no offset`,
	} {
		at, err := line.place()
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = at.pin()
		}
		if line == "GPIO017" { // three digits: a name like any other
			want = "GPIO017"
		}
		if got != want && !(err != nil && strings.HasPrefix(got, want)) {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

const longName = "abcdefghijklmnopqrstuvwxyz_12345"

// A line that is read is read the same way again from its pin, and none makes
// the reader panic.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"GPIO17", "P1_11", "pinctrl-rp1:17", "17", "gpiochip0:1", ":", "P1_", "GPIO", "x:-1", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := Line(s).place()
		if err != nil {
			return
		}
		if (at.name == "") == (at.chip == "") || at.offset < 0 || at.offset > maxOffset {
			t.Fatalf("%q: %+v", s, at)
		}
		pin := at.pin()
		again, err := Line(pin).place()
		if err != nil || again.pin() != pin {
			t.Fatalf("%q is %q, and that is %v (%v)", s, pin, again, err)
		}
	})
}

// The tables of periph are what the data sheets say: 28 GPIOs on the header,
// each once, 0 to 8 pulled up at power-up and 9 to 27 pulled down.
func TestHeader(t *testing.T) {
	seen := map[int]bool{}
	for n, p := range pins {
		if p.position < 1 || p.position > 40 || seen[p.position] {
			t.Errorf("GPIO%d is at position %d", n, p.position)
		}
		seen[p.position] = true
		if back, err := onHeader(p.position); err != nil || back != n {
			t.Errorf("P1_%d is GPIO%d (%v), want GPIO%d", p.position, back, err, n)
		}
		want := periph.PullDown
		if n <= 8 {
			want = periph.PullUp
		}
		if p.pull != want {
			t.Errorf("GPIO%d is %v at power-up, want %v", n, p.pull, want)
		}
	}
	if len(seen) != 28 {
		t.Errorf("%d GPIOs on the header", len(seen))
	}
}

func TestSPIPort(t *testing.T) {
	for s, want := range map[string]string{"SPI0.0": "0 0", "SPI1.2": "1 2", "spi0.0": "", "0.0": "", "SPI0": "", "SPI0.10": "", "/dev/spidev0.0": ""} {
		bus, cs, err := spiPort(s)
		got := fmt.Sprint(bus, " ", cs)
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
}
