package gpio

import (
	"slices"
	"testing"
	"testing/fstest"
)

func TestBoard(t *testing.T) {
	files := fstest.MapFS{"sys/firmware/devicetree/base/model": {Data: []byte("Raspberry Pi 5 Model B Rev 1.0\x00")}}
	if got := boardOf(files); got != "Raspberry Pi 5 Model B Rev 1.0" {
		t.Errorf("%q", got)
	}
	if got := boardOf(fstest.MapFS{}); got != "" {
		t.Errorf("%q", got)
	}
	for _, label := range PiChips() {
		if !(Chip{Label: label, Lines: make([]LineInfo, 54)}).Header() || (Chip{Label: label}).Header() {
			t.Errorf("%s has the header", label)
		}
	}
	if (Chip{Label: "raspberrypi-exp-gpio", Lines: make([]LineInfo, 54)}).Header() {
		t.Error("the expander has no header")
	}
	if got := PiChips(); got[0] != "pinctrl-rp1" || slices.Equal(got, piChips) {
		t.Errorf("%v", got)
	}
	if Line("GPIO17").Check() != nil || Line("17").Check() == nil {
		t.Error("names of lines")
	}
}
