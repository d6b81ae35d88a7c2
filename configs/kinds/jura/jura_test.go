package jura

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/configs/kinds/kindtest"
	"barista/driver"
	jurasim "barista/driver/jura/sim"
	"barista/driver/serial/link"
)

const sample = "../../jura-e6.yaml"

func TestJuraKind(t *testing.T) {
	f, err := kindtest.Sample(t, Kind, sample)
	if err != nil {
		t.Fatal(err)
	}
	s := f.Machine.Settings.(*settings)
	if s.Port.Device != "./jura" || s.Model != "EF532M" || s.Serial != "15326-0000000" || s.group != usualGroup || f.Machine.ProductTime != 83*time.Second { // (300 - 30 - 20) / 3
		t.Errorf("%+v", s)
	}
	want := map[string]driver.Product{"small": {Key: "espresso", Cycles: 1}, "medium": {Key: "espresso", Cycles: 2}, "large": {Key: "espresso", Cycles: 3}}
	if diff := cmp.Diff(want, f.Machine.Products); diff != "" {
		t.Error(diff)
	}
}

func TestJuraKindRefuses(t *testing.T) {
	kindtest.Refused(t, Kind, sample, map[string]kindtest.Row{
		"four are large too":  {[]string{"espresso, cycles: 3", "espresso, cycles: 4"}, nil},
		"one is no medium":    {[]string{"make: espresso, cycles: 2", "make: espresso"}, []string{"machine.products.medium: 17 g in brewings of 7 to 10 g is not one; write cycles: 2, or take the size out of serves: then it is refused here"}},
		"two are no large":    {[]string{"cycles: 3", "cycles: 2"}, []string{"30 g in brewings of 7 to 10 g is not 2; write cycles: 3 or 4"}},
		"two are no small":    {[]string{"make: espresso", "make: espresso, cycles: 2"}, []string{"9 g in brewings of 7 to 10 g is not 2; write cycles: 1, or"}},
		"a larger group":      {[]string{"# group: {min_g: 7, max_g: 10}", "group: {min_g: 5, max_g: 16}", "cycles: 3", "cycles: 2"}, nil},
		"no number fits":      {[]string{"# group: {min_g: 7, max_g: 10}", "group: {min_g: 9.5, max_g: 10}"}, []string{"machine.products.small: 9 g in brewings of 9.5 to 10 g can't be made by any number of them"}},
		"a group upside down": {[]string{"# group: {min_g: 7, max_g: 10}", "group: {min_g: 10, max_g: 7}"}, []string{"min_g is more than max_g"}},
		"a size is left out":  {[]string{"sizes: [small, medium, large]", "sizes: [small, medium]", "    large: {make: espresso, cycles: 3}\n", ""}, nil},
		"not served":          {[]string{"sizes: [small, medium, large]", "sizes: [small, medium]"}, []string{"machine.products.large: it does not serve large; remove this, or add it to serves"}},
		"no product":          {[]string{"    large: {make: espresso, cycles: 3}\n", ""}, []string{"it serves large, and no product is named for it; write large: {make: espresso}, or take large out of sizes in serves: then it is refused here"}},
		"milk":                {[]string{"milk: [free]", "milk: [free, normal]"}, []string{"it serves milk, and no product is named for small+milk; name one, or leave only milk: [free] in serves; the E6 (2019) (EF532M) has espresso"}},
		"another product":     {[]string{"make: espresso", "make: cappuccino"}, []string{`machine.products.small.make: "cappuccino" is not known here; write espresso`}},
		"a read-only model":   {[]string{"model: EF532M", "model: PIM"}, []string{"machine.model: the Impressa J6 (PIM) can only be read: nothing is known that tells whether it is busy"}},
		"an unknown model":    {[]string{"model: EF532M", "model: E8"}, []string{`machine.model: "E8" is no model that is known; write EF532M, if that is what it answers to TY:`}},
		"a whole answer":      {[]string{"model: EF532M", "model: EF532M V02.03"}, []string{"is no model that is known"}},
		"no model, no serial": {[]string{"  model: EF532M\n", "", "  serial: \"15326-0000000\"\n", ""}, []string{"machine: model is missing; write what the machine answers to TY:, model: EF532M", "machine: serial is missing; write the number of its type plate"}},
		"no port":             {[]string{"  port: ./jura ", "  # "}, []string{"machine: port is missing"}},
		"a bad name":          {[]string{"port: ./jura", "port: /dev/ttyUSB0"}, []string{"/dev/ttyUSB0 is another device whenever the order of plugging changes"}},
		"outputs":             {[]string{"cup: attended", "cup: attended\n  outputs: {pump: {max_on: 1s}}"}, []string{"machine.outputs: unknown key"}},
		"a sensor":            {[]string{"cup: attended", "cup: sensor"}, []string{"machine.cup: nothing sees or drops cups in this machine"}},
		"calibration":         {[]string{"cup: attended", "cup: attended\n  calibration: {pump_mlps: 5}"}, []string{"machine.calibration: the machine doses by itself"}},
		"a strange size":      {[]string{"    small: {", "    huge: {make: espresso}\n    small: {"}, []string{"machine.products.huge: unknown key"}},
		"too long": {
			[]string{"# group: {min_g: 7, max_g: 10}", "group: {min_g: 3, max_g: 6}", "small: {make: espresso", "small: {make: espresso, cycles: 2", "cycles: 2}\n    large", "cycles: 3}\n    large", "espresso, cycles: 3}\n  group", "espresso, cycles: 5}\n  group"},
			[]string{"5 brewings of a minute take longer than the 5m0s"},
		},
		"too often": {[]string{"cycles: 3", "cycles: 9"}, []string{"9 is not possible; give a number from 1 to 8"}},
	})
}

// TestJuraSample opens the sample's machine against the simulator, and makes its
// small one.
func TestJuraSample(t *testing.T) {
	metal := jurasim.Plant()
	metal.Speed = 20
	m, err := jurasim.New(jurasim.Config{Plant: &metal, Count: 100})
	if err != nil {
		t.Fatal(err)
	}
	m.Plant().PlaceCup()
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	ended := make(chan error, 2)
	go func() { ended <- m.Run(ctx) }()
	go func() { ended <- m.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	}()
	f, err := kindtest.Sample(t, Kind, sample, "port: ./jura", "port: "+l.Device())
	if err != nil {
		t.Fatal(err)
	}
	rig, err := f.Machine.Settings.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	if id := rig.Identity; id.Kind != "jura" || id.Model != "EF532M" || id.Serial != "15326-0000000" || len(rig.Outputs) > 0 {
		t.Errorf("%+v", rig)
	}
	a := rig.Appliance
	for a.Ready(ctx) != nil && ctx.Err() == nil {
	}
	if err := a.Start(ctx, f.Machine.Products["small"]); err != nil {
		t.Fatal(err)
	}
	for m.Counter("espresso") != 101 && ctx.Err() == nil {
		<-time.After(10 * time.Millisecond)
	}
	if c := m.Plant().Counts(); c.Drinks != 1 || len(c.Harm) > 0 {
		t.Errorf("%+v", c)
	}
}
