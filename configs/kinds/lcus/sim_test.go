package lcus

import (
	"testing"

	"barista/configs/kinds/kindtest"
)

func TestSimUsage(t *testing.T) {
	kindtest.WrongUsage(t, sim,
		nil, []string{"--link", "x", "--fault", "late:1s"}, []string{"--link", "x", "--answers", "loud"},
		[]string{"--link", "x", "--relays", "-,-,-,-,-,-,-,-,pump"})
}
