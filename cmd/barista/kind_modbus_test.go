package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/configs"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

var relayKinds = map[string]configs.Kind{"modbus": modbusKind(), "lcus": lcusKind()}

// sampleText is a sample file; old and new are pairs to change in it.
func sampleText(t *testing.T, name string, changes ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../configs", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("%q is not in the file", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return []byte(text)
}

// parseSample loads it.
func parseSample(t *testing.T, name string, changes ...string) (*configs.File, error) {
	t.Helper()
	t.Setenv(configs.EnvNATS, "")
	return configs.Parse("x.yaml", sampleText(t, name, changes...), relayKinds)
}

func TestModbusSample(t *testing.T) {
	f, err := parseSample(t, "modbus-relays.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := f.Machine.Settings.(modbusSettings)
	want := modbus.Config{
		Port: serial.Config{Device: "./board", Baud: 9600, Parity: serial.None}, Address: 1, Relays: 8, Timer: modbus.TimerFlash, Spare: 8,
		Outputs: map[driver.Part]modbus.Relay{driver.Grinder: {Number: 1}, driver.Pump: {Number: 2}, driver.Milk: {Number: 3}, driver.Sugar: {Number: 4}},
		Inputs: map[driver.Signal]modbus.Contact{
			driver.Cup: {Number: 1}, driver.Tank: {Number: 2}, driver.Beans: {Number: 3}, driver.Tray: {Number: 4}, driver.Hot: {Number: 5},
		},
	}
	if diff := cmp.Diff(want, s.Config, cmp.Comparer(func(a, b serial.Config) bool { return a.Device == b.Device && a.Baud == b.Baud && a.Parity == b.Parity })); diff != "" {
		t.Error(diff)
	}
}

func TestModbusProblems(t *testing.T) {
	for name, c := range map[string]struct {
		changes []string
		want    []string
	}{
		"a name that moves": {[]string{"port: ./board", "port: /dev/ttyUSB0"}, []string{"machine.port: /dev/ttyUSB0 is another device whenever the order of plugging changes; use its name below /dev/serial/by-id"}},
		"all at once": {
			[]string{"baud: 9600 ", "baud: 4800 ", "\n  relays: 8 ", "\n  #relays ", "\n  timer: flash-on", "\n  timer: maybe", "grinder: {relay: 1,", "grinder: {", "tank: {contact: 2, active: high}", "flow: {contact: 2, active: high}"},
			[]string{"machine.baud: 4800 baud is not possible here; set board and file to one of [9600", "machine: relays is missing", "machine.timer: \"maybe\" is not known here", "machine.outputs.grinder: relay is missing", "machine.inputs.flow: a machine with driver: modbus has no such input"},
		},
		"no spare":          {[]string{"\n  spare_relay: 8", ""}, []string{"machine: timer flash-on is proved at every start"}},
		"twice":             {[]string{"pump: {relay: 2", "pump: {relay: 1"}, []string{"machine: grinder and pump are both on relay 1"}},
		"no timer":          {[]string{"timer: flash-on\n  spare_relay: 8", "timer: none"}, []string{`machine.outputs.pump: nothing says what switches the pump off when this computer is dead; wire a watchdog relay`}},
		"not signed":        {[]string{"timer: flash-on\n  spare_relay: 8", "timer: none", "60s, inrush: a}", "60s, inrush: a, deadman: none}"}, []string{"machine.outputs.pump: nothing switches the pump off when this computer is dead, and nobody signed for that"}},
		"signed":            {[]string{"timer: flash-on\n  spare_relay: 8", "timer: none", "60s, inrush: a}", "60s, inrush: a, deadman: none, accept_no_deadman: \"Zoe, it stands in a sink\"}"}, nil},
		"signed for what":   {[]string{"60s, inrush: a}", "60s, inrush: a, accept_no_deadman: \"Zoe\"}"}, []string{"machine.outputs.pump: accept_no_deadman signs for what is not said"}},
		"board, no timer":   {[]string{"timer: flash-on\n  spare_relay: 8", "timer: none", "60s, inrush: a}", "60s, inrush: a, deadman: board}"}, []string{"machine.outputs.pump: deadman board needs a board with a timer"}},
		"nothing is hot":    {[]string{"hot: {contact: 5, active: high}", ""}, []string{"machine: nothing says whether the water is hot"}},
		"hot twice":         {[]string{"first: 0", "hot: assumed\n  first: 0"}, []string{"machine.hot: there is a sensor for it"}},
		"hot assumed":       {[]string{"hot: {contact: 5, active: high}", "", "first: 0", "hot: assumed\n  first: 0"}, nil},
		"no cup sensor":     {[]string{"cup: {contact: 1, active: high}", ""}, []string{"machine.cup: nothing sees a cup in this machine; wire one"}},
		"milk without":      {[]string{"milk: {relay: 3, max_on: 30s}", "", "forbidden: [[grinder, milk]]", ""}, []string{"machine.outputs: it serves milk normal and has no part milk"}},
		"a heater":          {[]string{"sugar: {relay: 4,", "heater: {relay: 4,"}, []string{"machine.outputs.heater: a heater needs a thermometer"}},
		"the spare is used": {[]string{"sugar: {relay: 4,", "sugar: {relay: 8,"}, []string{"relay 8"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSample(t, "modbus-relays.yaml", c.changes...)
			if (err == nil) != (len(c.want) == 0) {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("not said: %s\n%v", w, err)
				}
			}
		})
	}
}

// fast are the sample's rates for a simulated machine of five times the speed.
var fast = []string{"grinder_gps: 1.2", "grinder_gps: 6", "pump_mlps: 6", "pump_mlps: 30", "milk_mlps: 5", "milk_mlps: 25", "sugar_dose_ps: 1", "sugar_dose_ps: 5"}

// onBoard is a sample's file on a board that a simulator plays, and the plant
// behind it.
func onBoard(t *testing.T, sample string, open func(*configs.Machine, *slog.Logger) (opened, error), board func(plant.Handle) func(context.Context, *link.Link) error) (*machine.Machine, *plant.Plant) {
	t.Helper()
	cfg := plant.Default()
	cfg.Speed = 5
	p := plant.New(cfg)
	p.PlaceCup() // a customer in a hurry would take it between two parts: the wire is not five times as fast
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	played := make(chan error, 1)
	run := board(p.Handle())
	go func() { played <- run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-played; err != nil {
			t.Error(err)
		}
	})
	f, err := parseSample(t, sample, append(fast, "port: ./board", "port: "+l.Device())...)
	if err != nil {
		t.Fatal(err)
	}
	o, err := open(f.Machine, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	rig, err := guard.New(o.rig, guardConfig(f.Machine, t.TempDir()))
	if err != nil {
		t.Fatal(errors.Join(err, o.rig.Close()))
	}
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), "test")
	if err != nil {
		t.Fatal(errors.Join(err, rig.Close()))
	}
	m, err := machine.New(rig, j, machine.Config{Name: f.Machine.Name, Cup: machine.Cup(f.Machine.Cup), Calibration: o.calibration})
	if err != nil {
		t.Fatal(errors.Join(err, rig.Close()))
	}
	guarded, made := make(chan error, 1), make(chan error, 1)
	ends, end := context.WithCancel(context.Background())
	go func() { guarded <- rig.Run(ends) }()
	go func() { made <- m.Run(ends) }()
	t.Cleanup(func() {
		end()
		if err := errors.Join(<-made, <-guarded, rig.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	})
	return m, p
}

// makeOne makes a small drink with milk and sugar on a machine, and wants it in
// a cup, once.
func makeOne(t *testing.T, m *machine.Machine, p *plant.Plant) {
	t.Helper()
	drink := recipe.Drink{Size: "small", Grams: 9, WaterML: 40, MilkML: 30, Sugar: 2}
	late := time.Now().Add(20 * time.Second)
	for err := m.Able(drink); err != nil; err = m.Able(drink) {
		if time.Now().After(late) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.AwaitCup(ctx, "order"); err != nil {
		t.Fatal(err)
	}
	r := m.Make(ctx, machine.Job{Order: "order", Epoch: 1, Drink: drink})
	if r.Outcome != journal.Made {
		t.Fatalf("%+v", r)
	}
	c := p.Counts()
	if c.Drinks != 1 || c.InCup != 1 || len(c.OnNow()) != 0 || len(c.Harm) != 0 {
		t.Errorf("%+v", c)
	}
	d := p.Poured()[0]
	if d.GroundG < 8 || d.GroundG > 10 || d.CoffeeML < 34 || d.CoffeeML > 46 || d.MilkML < 24 || d.Sugar != 2 {
		t.Errorf("%v", d)
	}
}

func TestModbusMakesADrink(t *testing.T) {
	m, p := onBoard(t, "modbus-relays.yaml", openModbus, func(h plant.Handle) func(context.Context, *link.Link) error {
		b := modbussim.New(modbussim.Config{
			Plant:  h,
			Relays: []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar},
			Inputs: []driver.Signal{driver.Cup, driver.Tank, driver.Beans, driver.Tray, driver.Hot},
		})
		return func(ctx context.Context, l *link.Link) error { return b.Run(ctx, l) }
	})
	makeOne(t, m, p)
}
