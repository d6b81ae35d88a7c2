package modbus

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/configs/kinds/kindtest"
	"barista/driver"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
)

func TestModbusSample(t *testing.T) {
	f, err := kindtest.Sample(t, Kind, "../../modbus-relays.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := f.Machine.Settings.(*settings)
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
	kindtest.Refused(t, Kind, "../../modbus-relays.yaml", map[string]kindtest.Row{
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
	})
}

func TestModbusMakesADrink(t *testing.T) {
	m, p := kindtest.OnBoard(t, Kind, "../../modbus-relays.yaml", func(h plant.Handle) func(context.Context, *link.Link) error {
		b := modbussim.New(modbussim.Config{
			Plant:  h,
			Relays: []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar},
			Inputs: []driver.Signal{driver.Cup, driver.Tank, driver.Beans, driver.Tray, driver.Hot},
		})
		return func(ctx context.Context, l *link.Link) error { return b.Run(ctx, l) }
	})
	kindtest.MakeOne(t, m, p)
}
