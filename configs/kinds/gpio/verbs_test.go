package gpio

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/kindtest"
	"barista/driver/gpio"
)

func TestList(t *testing.T) {
	var chips func() ([]gpio.Chip, error)
	run := func(asJSON bool, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := kindtest.Run(t.Context(), list(chips), &out, asJSON, args...); err != nil {
			t.Error(err)
		}
		return out.String()
	}
	chips = func() ([]gpio.Chip, error) {
		return []gpio.Chip{{Label: "pinctrl-rp1", Device: "gpiochip4", Lines: []gpio.LineInfo{
			{Offset: 0, Name: "GPIO0"}, {Offset: 1}, {Offset: 17, Name: "GPIO17", Used: true, By: "barista grinder", Out: true}, {Offset: 18, Used: true},
		}}}, errors.New("cannot open /dev/gpiochip9")
	}
	want := `pinctrl-rp1 (/dev/gpiochip4 today), 4 lines
LINE  NAME    NOW     HELD BY
0     GPIO0   input
17    GPIO17  output  barista grinder
18            input   somebody who gave no name
cannot open /dev/gpiochip9
`
	if got := run(false); !slices.Equal(strings.Fields(got), strings.Fields(want)) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := run(true, "--all"); !strings.Contains(got, `{"offset":1,"used":false,"out":false}`) || !strings.Contains(got, `"problem":"cannot open /dev/gpiochip9"`) {
		t.Error(got)
	}
	chips = func() ([]gpio.Chip, error) { return nil, errors.New("permission denied") }
	var why *kinds.Error
	if err := kindtest.Run(t.Context(), list(chips), io.Discard, false); !errors.As(err, &why) || why.Why != kinds.NotAllowed {
		t.Error(err)
	}
	chips = func() ([]gpio.Chip, error) { return nil, nil }
	if got := run(false); got != "this computer has no GPIO chip\n" {
		t.Error(got)
	}
}

// TestWatchUsage: what watch is not asked for.
func TestWatchUsage(t *testing.T) {
	kindtest.WrongUsage(t, watch, nil, []string{"GPIO4", "--pull", "hard"}, []string{"--config", "x", "--pull", "up"})
	c := kindtest.Console(io.Discard, false)
	c.Machine = func(string) (*configs.Machine, error) { return &configs.Machine{Driver: "toy"}, nil }
	var why *kinds.Error
	if err := watched(t.Context(), c, "x", "", nil); !errors.As(err, &why) || why.Why != kinds.Refused {
		t.Errorf("a machine without lines: %v", err)
	}
}

func TestChange(t *testing.T) {
	var out bytes.Buffer
	c := kindtest.Console(&out, false)
	x := gpio.Change{Input: "cup", Line: "GPIO6", Yes: true, Lost: 2}
	show(c, x, 1234567*time.Microsecond, true)
	show(c, gpio.Change{Input: "GPIO7", Line: "GPIO7", High: true, First: true}, 0, false)
	c = kindtest.Console(&out, true)
	show(c, x, time.Second, true)
	want := "    1.2346 GPIO6 low cup yes (2 changes before it were too fast)\n" +
		"    0.0000 GPIO7 high (at the beginning)\n" +
		`{"input":"cup","line":"GPIO6","level":"low","yes":true,"at_ms":1000,"lost":2}` + "\n"
	if got := out.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
