package lcus

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/configs/kinds/kindtest"
	"barista/driver"
	"barista/driver/lcus"
	lcussim "barista/driver/lcus/sim"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

func TestLCUSSample(t *testing.T) {
	f, err := kindtest.Sample(t, Kind, "../../lcus-relays.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := f.Machine.Settings.(*settings)
	want := map[driver.Part]lcus.Relay{
		driver.Grinder: {Number: 1}, driver.Pump: {Number: 2, Deadman: driver.DeadmanExternal}, driver.Milk: {Number: 3}, driver.Sugar: {Number: 4},
	}
	if diff := cmp.Diff(want, s.Outputs); diff != "" || s.Port.Device != "./board" || s.Relays != 8 || !s.AssumedHot {
		t.Errorf("%+v %s", s, diff)
	}
}

func TestLCUSProblems(t *testing.T) {
	for name, c := range map[string]struct {
		changes []string
		want    string
	}{
		"no deadman":    {[]string{", deadman: external}", "}"}, "machine.outputs.pump: nothing says what switches the pump off when this computer is dead"},
		"not signed":    {[]string{", deadman: external}", ", deadman: none}"}, "machine.outputs.pump: nothing switches the pump off when this computer is dead, and nobody signed for that"},
		"signed":        {[]string{", deadman: external}", ", deadman: none, accept_no_deadman: \"Bob stands beside it\"}"}, ""},
		"no such timer": {[]string{", deadman: external}", ", deadman: board}"}, "machine.outputs.pump: deadman board: this board has no timer of its own"},
		"three relays":  {[]string{"\n  relays: 8", "\n  relays: 3"}, "machine: 3 relays: these boards have 1, 2, 4 or 8"},
		"a cup sensor":  {[]string{"cup: attended", "cup: sensor"}, "machine.cup: nothing sees a cup in this machine; this board has no inputs: choose page or attended"},
		"hot or not":    {[]string{"\n  hot: assumed", ""}, "machine: nothing says whether the water is hot"},
		"a dialect":     {[]string{"# answers: text", "answers: morse"}, `machine.answers: "morse" is not known here`},
		"relay 9":       {[]string{"sugar: {relay: 4", "sugar: {relay: 9"}, "machine.outputs.sugar.relay: 9 is not possible; give a number from 1 to 8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := kindtest.Sample(t, Kind, "../../lcus-relays.yaml", c.changes...)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
}

func TestLCUSMakesADrink(t *testing.T) {
	m, p := kindtest.OnBoard(t, Kind, "../../lcus-relays.yaml", func(h plant.Handle) func(context.Context, *link.Link) error {
		b := lcussim.New(lcussim.Config{Plant: h, Relays: []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar}})
		return func(ctx context.Context, l *link.Link) error { return b.Run(ctx, l) }
	})
	kindtest.MakeOne(t, m, p)
}
