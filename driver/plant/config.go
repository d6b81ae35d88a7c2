package plant

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"barista/driver"
)

// Cups says who places cups.
type Cups string

// The ways in which a cup comes and goes.
const (
	// Hand: only PlaceCup and TakeCup.
	Hand Cups = "hand"
	// Auto: a simulated customer. A cup is placed 0.5 s after the empty place
	// was seen by the machine (its cup sensor was read), or, where that sensor
	// is never read, 3 s after the last cup went. It is taken 1 s after its
	// drink's last part went off; a cup whose drink never came is taken after
	// 45 s, and an unused one that nobody poured into after 90 s.
	Auto Cups = "auto"
	// Dispenser: the part driver.Cups drops a cup, customers take it as in Auto.
	Dispenser Cups = "dispenser"
)

// Config is a machine. Rates are per second of the machine's own time, which is
// Speed times as fast as the real one.
type Config struct {
	Serial string `json:"serial"` // of the hardware, for driver.Identity

	GrinderGPS  float64 `json:"grinder_gps"`   // g/s
	HopperG     float64 `json:"hopper_g"`      // g of beans when full
	BeansLowG   float64 `json:"beans_low_g"`   // below it the beans signal says no
	FlowMLPS    float64 `json:"flow_mlps"`     // ml/s through the pump
	TankML      float64 `json:"tank_ml"`       // ml of water when full
	TankLowML   float64 `json:"tank_low_ml"`   // below it the tank signal says no
	PulseML     float64 `json:"pulse_ml"`      // the flow meter's step; 0: no steps
	MilkMLPS    float64 `json:"milk_mlps"`     // ml/s
	MilkML      float64 `json:"milk_ml"`       // ml of milk when full
	SugarDosePS float64 `json:"sugar_dose_ps"` // doses per second
	SugarDoses  float64 `json:"sugar_doses"`   // doses when full
	BoilerC     float64 `json:"boiler_c"`      // brewing temperature, °C
	Heater      bool    `json:"heater"`        // the heater is a part; else the boiler keeps its temperature itself
	HeaterW     float64 `json:"heater_w"`      // W
	BoilerML    float64 `json:"boiler_ml"`     // water that the heater heats
	CupML       float64 `json:"cup_ml"`        // to the brim
	TrayML      float64 `json:"tray_ml"`       // then it runs on the floor
	TrayHighML  float64 `json:"tray_high_ml"`  // above it the tray signal says no
	DrinkML     float64 `json:"drink_ml"`      // the least that is a drink; above 10

	Cups     Cups            `json:"cups"`      // "" is Hand
	Refill   bool            `json:"refill"`    // somebody fills up and empties the tray whenever it is needed and all is quiet
	Inrush   [][]driver.Part `json:"inrush"`    // parts of one group that are on together are harm
	Speed    float64         `json:"speed"`     // of the machine's time; 0 is 1
	Seed     uint64          `json:"seed"`      // of the failures
	FailRate float64         `json:"fail_rate"` // share of baskets that fail, 0 to 1
}

// Default is a machine with the figures of public sources: a grinder of 1.2 g/s,
// a vibratory pump between its 5.5 ml/s under pressure and 10.2 ml/s without, a
// flow meter of 0.19 ml per pulse, a peristaltic milk pump, a 1.8 l tank whose
// low mark still leaves a large cup, a heater of 1900 W.
func Default() Config {
	return Config{
		Serial:     "mock",
		GrinderGPS: 1.2, HopperG: 1000, BeansLowG: 35,
		FlowMLPS: 6, TankML: 1800, TankLowML: 200, PulseML: 0.19,
		MilkMLPS: 5, MilkML: 2000,
		SugarDosePS: 1, SugarDoses: 200,
		BoilerC: 93, HeaterW: 1900, BoilerML: 250,
		CupML: 350, TrayML: 1000, TrayHighML: 650,
		DrinkML: 30,
		Cups:    Hand, Speed: 1,
	}
}

// Endless is Default with so much of everything that nothing runs out.
func Endless() Config {
	c := Default()
	c.HopperG, c.TankML, c.MilkML, c.SugarDoses, c.TrayML, c.TrayHighML = 1e9, 1e9, 1e9, 1e9, 1e9, 1e9
	return c
}

// Check returns every problem of the figures, joined.
func (c Config) Check() error {
	var errs []error
	within := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) { // not a number is out as well
			errs = append(errs, fmt.Errorf("%s is %v: must be %v to %v", name, v, low, high))
		}
	}
	within("grinder_gps", c.GrinderGPS, 0.01, 1e6)
	within("flow_mlps", c.FlowMLPS, 0.01, 1e6)
	within("milk_mlps", c.MilkMLPS, 0.01, 1e6)
	within("sugar_dose_ps", c.SugarDosePS, 0.01, 1e6)
	within("hopper_g", c.HopperG, 0, 1e9)
	within("beans_low_g", c.BeansLowG, 0, 1e9)
	within("tank_ml", c.TankML, 0, 1e9)
	within("tank_low_ml", c.TankLowML, 0, 1e9)
	within("pulse_ml", c.PulseML, 0, 100)
	within("milk_ml", c.MilkML, 0, 1e9)
	within("sugar_doses", c.SugarDoses, 0, 1e9)
	within("boiler_c", c.BoilerC, 30, 130)
	within("heater_w", c.HeaterW, 1, 10_000)
	within("boiler_ml", c.BoilerML, 10, 10_000)
	within("cup_ml", c.CupML, 10, 10_000)
	within("tray_ml", c.TrayML, 0, 1e9)
	within("tray_high_ml", c.TrayHighML, 0, 1e9)
	within("drink_ml", c.DrinkML, math.Nextafter(beginML, 1e3), 400)
	if c.Speed != 0 {
		within("speed", c.Speed, 0.01, 10_000)
	}
	within("fail_rate", c.FailRate, 0, 1)
	if !slices.Contains([]Cups{"", Hand, Auto, Dispenser}, c.Cups) {
		errs = append(errs, fmt.Errorf("cups is %q: must be hand, auto or dispenser", c.Cups))
	}
	if c.Serial == "" || len(c.Serial) > 64 {
		errs = append(errs, errors.New("serial: 1 to 64 characters are needed, as the journal belongs to it"))
	}
	for _, group := range c.Inrush {
		for _, part := range group {
			if !slices.Contains(driver.Parts, part) {
				errs = append(errs, fmt.Errorf("inrush: there is no part %q", part))
			}
		}
	}
	return errors.Join(errs...)
}

// Parts lists the parts that the machine has.
func (c Config) Parts() []driver.Part {
	parts := []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar}
	if c.Heater {
		parts = append(parts, driver.Heater)
	}
	if c.Cups == Dispenser {
		parts = append(parts, driver.Cups)
	}
	return parts
}
