package gpio

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/kindtest"
	"barista/driver"
	"barista/driver/gpio"
)

var gpioKinds = kinds.Table{Kind}.Loader()

// gpioText is a good file; old and new are pairs to change in it.
func gpioText(t *testing.T, changes ...string) []byte {
	t.Helper()
	text := `nats: {servers: ["nats://shop.local:4222"]}
machine:
  name: zoe
  driver: gpio
  serves: {beans: [arabica], milk: [free, normal], sizes: [small, medium, large]}
  cup: sensor
  chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}
  outputs:
    grinder: {line: GPIO17, active: low, max_on: 20s, rest: 30s, inrush: a}
    pump:    {line: GPIO27, active: low, max_on: 60s, inrush: a, deadman: external}
    milk:    {line: GPIO22, active: low, max_on: 20s, needs: [hot]}
  inputs:
    hot:  {line: GPIO5, active: high, debounce: 50ms}
    cup:  {line: GPIO6, active: low}
    flow: {line: GPIO13, pulses_per_ml: 1.9}
`
	return kindtest.Text(t, text, changes...)
}

func TestGPIOKind(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	f, err := configs.Parse("x.yaml", gpioText(t,
		"{line: GPIO22, active: low, max_on: 20s, needs: [hot]}", "{line: P1_15, active: high, needs: [hot, cup], feedback: {line: GPIO24, active: low, within: 50ms, pull: off}}\n    heater: {line: \"pinctrl-rp1:4\", active: low, deadman: none, accept_no_deadman: \"a fuse at 110 °C, seen by Zoe\"}",
		"flow: {line: GPIO13, pulses_per_ml: 1.9}", "flow: {line: GPIO13, pulses_per_ml: 1.9, edges: both, pull: off, debounce: 1ms}\n    temperature: {spi: SPI0.1}\n  serial: unit-7",
		"cup:  {line: GPIO6, active: low}", "cup: {line: GPIO6, active: low, pull: up, debounce: 0s}"), gpioKinds)
	if err != nil {
		t.Fatal(err)
	}
	want := gpio.Config{
		Chips: []string{"pinctrl-rp1", "pinctrl-bcm2711"},
		Outputs: map[driver.Part]gpio.Output{
			driver.Grinder: {Line: "GPIO17", Active: gpio.Low},
			driver.Pump:    {Line: "GPIO27", Active: gpio.Low, Deadman: driver.DeadmanExternal},
			driver.Milk: {
				Line: "P1_15", Active: gpio.High, Needs: []driver.Signal{driver.Hot, driver.Cup},
				Feedback: &gpio.Feedback{Switch: gpio.Switch{Line: "GPIO24", Active: gpio.Low, Pull: gpio.PullOff}, Within: 50 * time.Millisecond},
			},
			driver.Heater: {Line: "pinctrl-rp1:4", Active: gpio.Low, Deadman: driver.DeadmanNone, AcceptNoDeadman: "a fuse at 110 °C, seen by Zoe"},
		},
		Switches: map[driver.Signal]gpio.Switch{
			driver.Hot: {Line: "GPIO5", Active: gpio.High, Debounce: 50 * time.Millisecond},
			driver.Cup: {Line: "GPIO6", Active: gpio.Low, Pull: gpio.PullUp},
		},
		Flow:        &gpio.Flow{Line: "GPIO13", Pull: gpio.PullOff, PulsesPerML: 1.9, BothEdges: true, Debounce: time.Millisecond},
		Temperature: &gpio.Temperature{SPI: "SPI0.1"},
		Serial:      "unit-7",
	}
	if diff := cmp.Diff(want, f.Machine.Settings.(*settings).Config); diff != "" {
		t.Error(diff)
	}
	if o := f.Machine.Guard.Parts[driver.Grinder]; o.MaxOn != 20*time.Second || o.Rest != 30*time.Second || o.Inrush != "a" {
		t.Errorf("grinder: %+v", o)
	}
}

// Nothing said about debounce is not no debounce.
func TestGPIODebounce(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	f, err := configs.Parse("x.yaml", gpioText(t), gpioKinds)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Machine.Settings.(*settings).Switches[driver.Cup].Debounce; got != usualDebounce {
		t.Errorf("debounce %v, want %v", got, usualDebounce)
	}
}

func TestGPIOKindProblems(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	for name, c := range map[string]struct {
		changes []string
		want    string
	}{
		"line and active": {
			[]string{"line: GPIO17, active: low, ", "", "{line: GPIO6, active: low}", "{line: [GPIO6], active: lo}"},
			`x.yaml:9:5: machine.outputs.grinder: line is missing; ` + lineFix + `
x.yaml:9:5: machine.outputs.grinder: active is missing; ` + activeFix + `
x.yaml:14:12: machine.inputs.cup.line: must be a text, not a list; write it in one line
x.yaml:14:35: machine.inputs.cup.active: "lo" is not known here; did you mean "low"? (low or high)`,
		},
		"a pin twice, by three names": {
			[]string{"line: GPIO27", "line: P1_11", "line: GPIO6", "line: \"pinctrl-rp1:17\"", "line: GPIO13", "line: GPIO5"},
			`x.yaml:10:5: machine.outputs.pump: cannot use P1_11 for pump: it is used by grinder; give each its own line
x.yaml:14:5: machine.inputs.cup: cannot use pinctrl-rp1:17 for cup: it is used by grinder; give each its own line
x.yaml:15:5: machine.inputs.flow: cannot use GPIO5 for flow: it is used by hot; give each its own line`,
		},
		"a pump without a dead man's switch": {
			[]string{", deadman: external", ""},
			`x.yaml:10:5: machine.outputs.pump: nothing is said to switch it off when this computer is dead; write deadman: external for a watchdog or time relay in the wiring, deadman: board for a relay board with a timer of its own; or deadman: none with accept_no_deadman: "who accepts it, and why"`,
		},
		"none, not signed": {
			[]string{"deadman: external", "deadman: none"},
			`x.yaml:10:5: machine.outputs.pump: deadman is none: it stays on when this computer dies while it is on; wire a watchdog or time relay and write deadman: external; or accept it in writing: accept_no_deadman: "who accepts it, and why"`,
		},
		"none, signed with nothing": {
			[]string{"deadman: external", `deadman: none, accept_no_deadman: " "`},
			`x.yaml:10:5: machine.outputs.pump: deadman is none: it stays on when this computer dies while it is on; wire a watchdog or time relay and write deadman: external; or accept it in writing: accept_no_deadman: "who accepts it, and why"`,
		},
		"what a pump may not be called": {
			[]string{"chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}", "chip: {label: [gpiochip0]}", "line: GPIO27", "line: gpio27", "line: GPIO22", "line: P1_39", "line: GPIO6", "line: \"17\"", "line: GPIO5", "line: \"gpiochip4:3\""},
			`x.yaml:7:3: machine.chip: "gpiochip0" is the number of a chip, which changes with the kernel: give its label; gpiodetect shows the labels
x.yaml:10:5: machine.outputs.pump: there is no line "gpio27": is GPIO27 meant?; write for example GPIO17, P1_11 or pinctrl-rp1:17
x.yaml:11:5: machine.outputs.milk: P1_39 is no GPIO but ground; write for example GPIO17, P1_11 or pinctrl-rp1:17
x.yaml:13:5: machine.inputs.hot: "gpiochip4" is the number of a chip, which changes with the kernel: give its label; write for example GPIO17, P1_11 or pinctrl-rp1:17
x.yaml:14:5: machine.inputs.cup: the number 17 does not say what it counts: GPIO17 is the chip's numbering, P1_17 the position on the header; write for example GPIO17, P1_11 or pinctrl-rp1:17`,
		},
		"the board's own lines": {
			[]string{"line: GPIO17", "line: GPIO40", "line: GPIO22", `line: "pinctrl-rp1:28"`, "line: GPIO13", "line: GPIO99"},
			`x.yaml:9:5: machine.outputs.grinder: GPIO40 is not on the header: from GPIO28 on a Raspberry Pi has its own parts there, its LEDs, its audio, its card; take one of GPIO0 to GPIO27; or accept it in writing: accept_lines: {GPIO40: "who knows what hangs on it, and why"}
x.yaml:11:5: machine.outputs.milk: pinctrl-rp1:28 is not on the header: from GPIO28 on a Raspberry Pi has its own parts there, its LEDs, its audio, its card; take one of GPIO0 to GPIO27; or accept it in writing: accept_lines: {"pinctrl-rp1:28": "who knows what hangs on it, and why"}
x.yaml:15:5: machine.inputs.flow: GPIO99 is not on the header: from GPIO28 on a Raspberry Pi has its own parts there, its LEDs, its audio, its card; take one of GPIO0 to GPIO27; or accept it in writing: accept_lines: {GPIO99: "who knows what hangs on it, and why"}`,
		},
		"signed for in vain": {
			[]string{"line: GPIO17", "line: GPIO40", "chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}", "chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}\n  accept_lines: {GPIO40: \"ada: a compute module, whose carrier has GPIO40 on a clamp\", GPIO41: \"ada\", GPIO27: \"ada: the pump\"}"},
			`x.yaml:8:88: machine.accept_lines.GPIO41: it accepts nothing here; it belongs to a line in use that is not on the header; remove it
x.yaml:8:103: machine.accept_lines.GPIO27: it accepts nothing here; it belongs to a line in use that is not on the header; remove it`,
		},
		"a decimal comma": {
			[]string{"pulses_per_ml: 1.9", "pulses_per_ml: 1,9", "max_on: 20s, rest: 30s", "max_on: 20s, rest: 2,5s", "debounce: 50ms", "debounce: \"0,5s\""},
			`x.yaml:9:61: machine.outputs.grinder.rest: 2,5s has a decimal comma; write a point: 2.5s
x.yaml:13:49: machine.inputs.hot.debounce: 0,5s has a decimal comma; write a point: 0.5s
x.yaml:15:41: machine.inputs.flow.pulses_per_ml: 1,9 has a decimal comma; write a point: 1.9`,
		},
		"a heater that is blind": {
			[]string{"\n  inputs:", "\n    heater: {line: GPIO4, active: low, deadman: external}\n  inputs:"},
			`x.yaml:12:5: machine.outputs.heater: a heater without a thermometer is never right; wire one: inputs: {temperature: {spi: SPI0.0}} or {onewire: 28-…}`,
		},
		"thermometers": {
			[]string{"flow: {line: GPIO13, pulses_per_ml: 1.9}", "temperature: {}"},
			`x.yaml:15:5: machine.inputs.temperature: it must be exactly one thermometer; write {spi: SPI0.0} for a MAX31855, or {onewire: 28-…} for a DS18B20`,
		},
		"a bus and a relay": {
			[]string{"flow: {line: GPIO13, pulses_per_ml: 1.9}", "temperature: {spi: SPI0.0}", "line: GPIO17", "line: GPIO10"},
			`x.yaml:15:5: machine.inputs.temperature: cannot use GPIO10 for temperature: it is used by grinder; give each its own line`,
		},
		"inputs": {
			[]string{"hot:  {line: GPIO5, active: high, debounce: 50ms}", "hoot: {line: GPIO5}", "cup:  {line: GPIO6, active: low}", "cup: {line: GPIO6, active: low, debounce: 1s, pull: sideways}", "pulses_per_ml: 1.9", "pulses_per_ml: 450, edges: two, active: low"},
			`x.yaml:13:5: machine.inputs.hoot: a machine with driver: gpio has no such input; it can have hot, cup, tank, beans, tray, door, stop, flow, temperature
x.yaml:14:47: machine.inputs.cup.debounce: 1s is not possible; give a time from 0s to 500ms
x.yaml:14:57: machine.inputs.cup.pull: "sideways" is not known here; write up, down or off
x.yaml:15:41: machine.inputs.flow.pulses_per_ml: 450 is not possible; give a number from 0.05 to 100
x.yaml:15:53: machine.inputs.flow.edges: "two" is not known here; write one or both
x.yaml:15:58: machine.inputs.flow.active: unknown key; remove it; known here: debounce, edges, line, pull, pulses_per_ml`,
		},
		"needs": {
			[]string{"needs: [hot]", "needs: [hot, flow]"},
			`x.yaml:11:68: machine.outputs.milk.needs[1]: "flow" is not known here; write hot, cup, tank, beans, tray, door or stop`,
		},
		"needs what is not wired": {
			[]string{"needs: [hot]", "needs: [tank]"},
			`x.yaml:11:5: machine.outputs.milk: it needs tank, and there is no such switch; wire it under inputs, or remove it from needs`,
		},
		"parts for what it serves": {
			[]string{"grinder: {line: GPIO17, active: low, max_on: 20s, rest: 30s, inrush: a}", "", "milk:    {line: GPIO22, active: low, max_on: 20s, needs: [hot]}", "", "cup:  {line: GPIO6, active: low}", "", "cup: sensor", "cup: dispenser"},
			`x.yaml:6:8: machine.cup: nothing sees a cup in this machine; wire one: inputs: {cup: {line: GPIO6, active: low}}; or choose page or attended
x.yaml:6:8: machine.cup: nothing drops cups in this machine; wire the part cups, or choose another cup
x.yaml:8:3: machine.outputs: there is no grinder, so there is no coffee; wire one
x.yaml:8:3: machine.outputs: it serves milk normal and has no part milk; wire one, or write serves: milk: [free]`,
		},
		"beside a broker": {
			[]string{`nats: {servers: ["nats://shop.local:4222"]}`, "broker:"},
			`x.yaml:1:1: broker: real metal (driver: gpio) runs alone in its process: beside broker: its timers came 167 to 484 ms late; move broker: to a file and service of its own, and give this one nats: {servers: ["nats://127.0.0.1:4222"]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configs.Parse("x.yaml", gpioText(t, c.changes...), gpioKinds)
			if err == nil {
				t.Fatal("no problem was found")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The sample is good, and the wiring it shows is one that we recommend.
func TestGPIOSample(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	const path = "../../gpio-relays.yaml"
	f, err := configs.Load(path, gpioKinds)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range f.Machine.Settings.(*settings).Warnings() {
		if !strings.HasPrefix(w, "kernel: ") { // of the computer that runs this test
			t.Error(w)
		}
	}
	// What is commented out is right as well.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := string(text)
	for _, key := range []string{"heater", "door", "stop", "temperature: {spi"} {
		if !strings.Contains(more, "    # "+key) {
			t.Fatalf("there is no %s in the sample", key)
		}
		more = strings.Replace(more, "    # "+key, "    "+key, 1)
	}
	if _, err := configs.Parse("x.yaml", []byte(more), gpioKinds); err != nil {
		t.Error(err)
	}
}

// Without a chip, opening is an error that says so, and nothing more.
func TestOpenGPIO(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	f, err := configs.Parse("x.yaml", gpioText(t, "pinctrl-rp1, pinctrl-bcm2711", "no-such-chip"), gpioKinds)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Machine.Settings.Open(slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "gpio machine: ") {
		t.Errorf("err %v", err)
	}
}
