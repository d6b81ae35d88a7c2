package main

import (
	"log/slog"
	"time"

	"barista/configs"
	"barista/driver"
	"barista/driver/mock"
	"barista/machine/recipe"
)

// kind is one kind of machine: what its section of a file may say, how it is
// opened, and how its outputs are put at rest after a crash. safeOff is nil for an
// appliance, which has no outputs of ours.
type kind struct {
	configs.Kind
	open    func(m *configs.Machine, log *slog.Logger) (opened, error)
	safeOff func(m *configs.Machine) error
	// wire says what a part hangs on when it is on or off; nil for an appliance.
	wire func(m *configs.Machine, p driver.Part, on bool) string
}

// opened is a machine's metal at rest.
type opened struct {
	rig         driver.Rig
	calibration recipe.Calibration // the file's, over what the driver knows
	aside       any                // the mock's other side, for the demo and tests

	// Of an appliance: see machine.Config.
	products    map[string]driver.Product
	productTime time.Duration
}

// drivers is the visible table of the kinds of machine. A new kind is a folder
// under driver and a line here.
var drivers = map[string]kind{
	"mock":   {mockKind(), openMock, restMock, wireMock},
	"gpio":   {gpioKind(), openGPIO, restGPIO, wireGPIO},
	"modbus": {modbusKind(), openModbus, restModbus, wireModbus},
	"lcus":   {lcusKind(), openLCUS, restLCUS, wireLCUS},
	"jura":   {juraKind(), openJura, nil, nil},
}

// kinds is the table as the loader of configurations wants it.
func kinds() map[string]configs.Kind {
	out := map[string]configs.Kind{}
	for name, k := range drivers {
		out[name] = inTime(k)
	}
	return out
}

// restMock puts a plant in a process of its own at rest.
func restMock(m *configs.Machine) error {
	c, _ := m.Settings.(mock.Config)
	return restPlant(c.Plant)
}

func openMock(m *configs.Machine, _ *slog.Logger) (opened, error) {
	c, _ := m.Settings.(mock.Config)
	if c.Plant == "" && c.Serial == "" {
		c.Serial = "mock-" + m.Name
	}
	rig, ctl, err := mock.Open(c)
	if err != nil {
		return opened{}, err
	}
	figures, err := ctl.Handle().Config()
	if err != nil {
		_ = rig.Close()
		return opened{}, err
	}
	cal := recipe.DefaultCalibration()
	cal.GrinderGPS, cal.PumpMLPS, cal.MilkMLPS, cal.SugarDosePS = figures.GrinderGPS, figures.FlowMLPS, figures.MilkMLPS, figures.SugarDosePS
	cal = calibration(m, cal) // of the machine in its own time
	if figures.Speed > 0 {
		cal = cal.Scale(figures.Speed)
	}
	return opened{rig: rig, calibration: cal, aside: ctl}, nil
}
