package gpio

import (
	"errors"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/warthog618/go-gpiocdev"
)

func TestList(t *testing.T) {
	f := newFake(t)
	f.list = nil
	pi := f.add("gpiochip4", "pinctrl-rp1", 2)
	pi.lines[0].name, pi.lines[0].used, pi.lines[0].consumer = "GPIO0", true, "barista pump"
	pi.lines[0].out, pi.lines[0].low = true, true
	f.add("gpiochip5", "locked", 1).openErr = syscall.EACCES
	f.add("gpiochip6", "link", 1).openErr = gpiocdev.ErrNotCharacterDevice
	f.add("gpiochip7", "board", 1).lines[0].out = true

	got, err := listChips(f)
	want := []Chip{
		{Label: "pinctrl-rp1", Device: "gpiochip4", Lines: []LineInfo{{Name: "GPIO0", Used: true, By: "barista pump", Out: true, Low: true}, {Offset: 1}}},
		{Label: "board", Device: "gpiochip7", Lines: []LineInfo{{Out: true}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, syscall.EACCES) || err.Error() != "cannot open /dev/gpiochip5: permission denied: put the user into the group gpio" {
		t.Errorf("a chip that can't be opened: %v", err)
	}
	if len(f.trace) != 0 {
		t.Errorf("outputs were touched: %v", f.trace)
	}

	f.list = nil
	if got, err := listChips(f); len(got) != 0 || err != nil {
		t.Errorf("without a chip: %v, %v", got, err)
	}
}
