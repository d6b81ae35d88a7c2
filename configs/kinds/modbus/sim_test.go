package modbus

import (
	"testing"

	"barista/configs/kinds/kindtest"
)

func TestSimUsage(t *testing.T) {
	for _, wrong := range [][]string{
		nil, {"--fault", "sour"}, {"--fault", "late:2m"}, {"--fault", "drop:2"}, {"--fault", "drop"}, {"--inputs", "steam"},
		{"--relays", "steam"}, {"--relays", "pump,pump"}, {"--address", "248"}, {"--baud", "17"}, {"--first", "2"},
		{"--speed", "-1"}, {"--plant", "x", "--offer", "y"},
	} {
		if wrong != nil {
			wrong = append(wrong, "--link", t.TempDir()+"/board")
		}
		kindtest.WrongUsage(t, sim, wrong)
	}
}
