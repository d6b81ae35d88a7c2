package gpio

import (
	"reflect"
	"testing"

	"barista/configs/kinds"
	"barista/driver/gpio"
)

// TestSeen: detect shows a chip's lines that somebody holds, and what people call
// the chip's lines.
func TestSeen(t *testing.T) {
	lines := make([]gpio.LineInfo, 58)
	lines[17] = gpio.LineInfo{Offset: 17, Name: "GPIO17", Used: true, By: "barista grinder"}
	lines[18] = gpio.LineInfo{Offset: 18, Name: "GPIO18"}
	lines[40] = gpio.LineInfo{Offset: 40, Used: true}
	got := seen(gpio.Chip{Label: "pinctrl-bcm2711", Device: "gpiochip0", Lines: lines})
	want := kinds.Chip{
		Label: "pinctrl-bcm2711", Device: "gpiochip0", Lines: 58, Header: "the 40-pin header of a Raspberry Pi: GPIO0 to GPIO27",
		Held: []kinds.Held{{Offset: 17, Name: "GPIO17", By: "barista grinder"}, {Offset: 40}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	if got := seen(gpio.Chip{Label: "raspberrypi-exp-gpio", Lines: lines[:8]}); got.Header != "" || got.Lines != 8 {
		t.Errorf("%+v", got)
	}
}
