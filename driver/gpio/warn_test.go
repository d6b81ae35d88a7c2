package gpio

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
)

// quiet is a wiring of which there is nothing to say.
func quiet() Config {
	return Config{
		Outputs: map[driver.Part]Output{
			driver.Pump:  {Line: "GPIO17", Active: High, Deadman: driver.DeadmanExternal},
			driver.Sugar: {Line: "GPIO5", Active: Low},
		},
		Switches: map[driver.Signal]Switch{driver.Hot: {Line: "GPIO22", Active: High}},
		Flow:     &Flow{Line: "GPIO13", PulsesPerML: 1.9},
	}
}

func TestWarnings(t *testing.T) {
	out := func(p driver.Part, o Output) func(*Config) { return func(c *Config) { c.Outputs[p] = o } }
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // begin of each
	}{
		"nothing":    {func(*Config) {}, ""},
		"pulled on":  {out(driver.Pump, Output{Line: "GPIO17", Active: Low}), "outputs.pump: GPIO17 is pulled down at boot and the relay is active low"},
		"by header":  {out(driver.Pump, Output{Line: "P1_11", Active: Low}), "outputs.pump: P1_11 is pulled down at boot"},
		"pulled up":  {out(driver.Pump, Output{Line: "GPIO6", Active: High}), "outputs.pump: GPIO6 is pulled up at boot and the relay is active high"},
		"the border": {out(driver.Pump, Output{Line: "pinctrl-bcm2835:9", Active: Low}), "outputs.pump: pinctrl-bcm2835:9 is pulled down|outputs.pump: pinctrl-bcm2835:9 is also SPI0"},
		"uart":       {out(driver.Pump, Output{Line: "GPIO14", Active: High}), "outputs.pump: GPIO14 is also the UART"},
		"i2c":        {out(driver.Sugar, Output{Line: "GPIO3", Active: Low}), "outputs.sugar: GPIO3 is also the I²C bus"},
		"feedback":   {out(driver.Pump, Output{Line: "GPIO17", Active: High, Feedback: &Feedback{Switch: Switch{Line: "GPIO15", Active: Low}}}), "outputs.pump: feedback: GPIO15 is also the UART"},
		"inputs":     {func(c *Config) { c.Switches[driver.Cup] = Switch{Line: "GPIO0", Active: Low}; c.Flow.Line = "GPIO2" }, "inputs.cup: GPIO0 is also the bus to the identification memory|inputs.flow: GPIO2 is also the I²C bus"},
		"other chip": {func(c *Config) {
			c.Chips = []string{"usb"}
			c.Outputs[driver.Pump] = Output{Line: "GPIO14", Active: Low}
		}, ""},
		"not on the header": {out(driver.Pump, Output{Line: "GPIO30", Active: Low}), ""},
		"broken wire":       {func(c *Config) { c.Switches[driver.Cup] = Switch{Line: "GPIO23", Active: High, Pull: PullUp} }, "inputs.cup: with pull: up and active: high a broken wire reads as yes"},
		"broken wire, low":  {func(c *Config) { c.Switches[driver.Cup] = Switch{Line: "GPIO23", Active: Low, Pull: PullDown} }, "inputs.cup: with pull: down and active: low a broken wire reads as yes"},
		"good pulls": {func(c *Config) {
			c.Switches[driver.Cup] = Switch{Line: "GPIO23", Active: Low, Pull: PullUp}
			c.Switches[driver.Tank] = Switch{Line: "GPIO24", Active: High, Pull: PullOff}
		}, ""},
		"a meter for taps": {func(c *Config) { c.Flow.PulsesPerML = 0.45 }, "inputs.flow: 0.45 pulses per ml is a meter for taps"},
		"one-wire": {func(c *Config) {
			c.Temperature = &Temperature{OneWire: "28-000000000001"}
			c.Outputs[driver.Sugar] = Output{Line: "P1_7", Active: Low}
		}, "inputs.temperature: the 1-Wire bus is on GPIO4 unless dtoverlay=w1-gpio says gpiopin=…, and sugar uses that"},
		"one-wire alone": {func(c *Config) { c.Temperature = &Temperature{OneWire: "28-000000000001"} }, ""},
		"no heat":        {func(c *Config) { c.Switches = nil }, "inputs: there is neither hot nor temperature"},
		"no sugar":       {func(c *Config) { delete(c.Outputs, driver.Sugar) }, "outputs: there is no sugar"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := quiet()
			c.change(&cfg)
			got := warnings(cfg, fstest.MapFS{})
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, "|")
			}
			if !slices.EqualFunc(got, want, strings.HasPrefix) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestKernelWarnings(t *testing.T) {
	const (
		model  = "sys/firmware/devicetree/base/model"
		older  = "sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs"
		newest = "sys/module/pinctrl_rp1/parameters/persist_gpio_outputs"
		unset  = "kernel: strict_gpiod is not set"
		silent = "kernel: it does not say"
	)
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	// A Raspberry Pi whose kernel tells of its supply.
	pi := func(name string, more ...string) fstest.MapFS {
		files := fstest.MapFS{model: file("Raspberry Pi " + name + "\x00"), hwmon + "/hwmon2/name": file("rpi_volt\n")}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = file(more[i+1])
		}
		return files
	}
	mute := func(files fstest.MapFS) fstest.MapFS { delete(files, hwmon+"/hwmon2/name"); return files }
	for name, c := range map[string]struct {
		files fs.FS
		want  string
	}{
		"a laptop":          {fstest.MapFS{older: file("Y\n")}, ""},
		"another board":     {fstest.MapFS{model: file("BeagleBone\x00"), older: file("Y\n")}, ""},
		"Pi 4, kept":        {pi("4 Model B Rev 1.5", older, "Y\n"), unset},
		"Pi 4, strict":      {pi("4 Model B Rev 1.5", older, "N\n"), ""},
		"Pi 5, kept":        {pi("5 Model B Rev 1.0", older, "N\n", newest, "Y\n"), unset},
		"Pi 5, strict":      {pi("5 Model B Rev 1.0", older, "Y\n", newest, "N\n"), ""},
		"module 5, strict":  {pi("Compute Module 5 Rev 1.0", newest, "N\n"), ""},
		"keyboard, strict":  {pi("500 Rev 1.0", newest, "N\n"), ""},
		"Pi 3, old kernel":  {pi("3 Model B Plus Rev 1.3"), silent},
		"Pi 5, other param": {pi("5 Model B Rev 1.0", older, "N\n"), silent},
		"supply unknown":    {mute(pi("4 Model B Rev 1.5", older, "N\n")), "kernel: it does not say when the computer's own supply"},
		"firmware's flags":  {mute(pi("4 Model B Rev 1.5", older, "N\n", throttled, "0\n")), ""},
		"neither":           {mute(pi("3 Model B Plus Rev 1.3")), "kernel: it does not say when the computer's own supply is too weak, so nothing will stop a drink then; update it, or load the module raspberrypi-hwmon|" + silent},
	} {
		got := strings.Join(kernelWarnings(c.files), "|")
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// On this computer it must at least not fail.
func TestWarningsHere(t *testing.T) {
	for _, w := range Warnings(quiet()) {
		if !strings.HasPrefix(w, "kernel: ") {
			t.Error(w)
		}
	}
	if diff := cmp.Diff("", Config{}.user("GPIO4")); diff != "" {
		t.Error(diff)
	}
}
