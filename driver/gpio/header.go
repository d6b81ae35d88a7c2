package gpio

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	periph "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/pin"
	"periph.io/x/host/v3/rpi"
)

// header is P1, also called J8, of every Raspberry Pi since the B+. The older
// ones have its first 26 pins.
var header = [...]pin.Pin{
	rpi.P1_1, rpi.P1_2, rpi.P1_3, rpi.P1_4, rpi.P1_5, rpi.P1_6, rpi.P1_7, rpi.P1_8, rpi.P1_9, rpi.P1_10,
	rpi.P1_11, rpi.P1_12, rpi.P1_13, rpi.P1_14, rpi.P1_15, rpi.P1_16, rpi.P1_17, rpi.P1_18, rpi.P1_19, rpi.P1_20,
	rpi.P1_21, rpi.P1_22, rpi.P1_23, rpi.P1_24, rpi.P1_25, rpi.P1_26, rpi.P1_27, rpi.P1_28, rpi.P1_29, rpi.P1_30,
	rpi.P1_31, rpi.P1_32, rpi.P1_33, rpi.P1_34, rpi.P1_35, rpi.P1_36, rpi.P1_37, rpi.P1_38, rpi.P1_39, rpi.P1_40,
}

// headerPin is a GPIO of the header.
type headerPin struct {
	position int
	pull     periph.Pull // from power-up until somebody says otherwise
}

// pins are the GPIOs of the header by number: GPIO0 to GPIO27, all of them.
var pins = func() (out [28]headerPin) {
	for i, p := range header {
		if in, is := p.(periph.PinIn); is && p.Number() >= 0 {
			out[p.Number()] = headerPin{i + 1, in.DefaultPull()}
		}
	}
	return out
}()

// onHeader is the number of the GPIO at a position.
func onHeader(position int) (int, error) {
	if position < 1 || position > len(header) {
		return 0, fmt.Errorf("the header has pins 1 to %d, and no P1_%d", len(header), position)
	}
	p := header[position-1]
	if p.Number() < 0 {
		return 0, fmt.Errorf("P1_%d is no GPIO but %s", position, strings.ToLower(p.Name()))
	}
	return p.Number(), nil
}

// bus says what else a pin is wired to or taken by, "" if nothing.
func bus(bcm int) string {
	switch bcm {
	case 0, 1:
		return "the bus to the identification memory of add-on boards, which the firmware reads at boot"
	case 2, 3:
		return "the I²C bus, with resistors on the board that pull it up"
	case 7, 8, 9, 10, 11:
		return "SPI0, which moves the pin once dtparam=spi=on is set"
	case 14, 15:
		return "the UART: the console writes on it during boot"
	}
	return ""
}

var spiName = regexp.MustCompile(`^SPI([0-9])\.([0-9])$`)

// spiPort reads "SPI0.1".
func spiPort(s string) (bus, cs int, err error) {
	m := spiName.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, fmt.Errorf("%q is no SPI port", s)
	}
	bus, _ = strconv.Atoi(m[1])
	cs, _ = strconv.Atoi(m[2])
	return bus, cs, nil
}

// spiPins are the pins of a Raspberry Pi that a port takes.
func spiPins(bus, cs int) []string {
	chosen := map[[2]int]string{{0, 0}: "GPIO8", {0, 1}: "GPIO7", {1, 0}: "GPIO18", {1, 1}: "GPIO17", {1, 2}: "GPIO16"}
	data := map[int][]string{0: {"GPIO9", "GPIO10", "GPIO11"}, 1: {"GPIO19", "GPIO20", "GPIO21"}}
	var out []string
	if p := chosen[[2]int{bus, cs}]; p != "" {
		out = append(out, p)
	}
	return append(out, data[bus]...)
}
