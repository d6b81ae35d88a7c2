package main

import (
	"barista/cmd/barista/chaos"
	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/gpio"
	"barista/configs/kinds/jura"
	"barista/configs/kinds/lcus"
	"barista/configs/kinds/mock"
	"barista/configs/kinds/modbus"
)

// drivers is the visible table of the kinds of machine. A new kind is its folder
// under driver, its folder under configs/kinds, and a line here; nothing else has
// to change (TestToyKind).
var drivers = kinds.Table{
	mock.Kind,
	gpio.Kind,
	modbus.Kind,
	lcus.Kind,
	jura.Kind,
}

// demoMachine is a machine of the demo.
var demoMachine = mock.Demo

// behind is the other side of a demo's machine, as it was opened last.
func behind(m *configs.Machine) func() chaos.Metal {
	return func() chaos.Metal { return m.Settings.(*mock.Settings).Control() }
}

// loader is the table as the loader of configurations wants it.
func loader() map[string]configs.Kind { return drivers.Loader() }
