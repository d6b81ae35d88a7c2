package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
)

var update = flag.Bool("update", false, "write testdata/broken.txt anew: what is said of each broken file")

// Good files, to be broken.
const (
	goodGPIO = `nats: {servers: ["nats://shop.local:4222"]}
state: ./state
machine:
  name: zoe
  driver: gpio
  serves: {beans: [arabica], milk: [free, normal], sizes: [small, medium, large]}
  cup: sensor
  chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}
  outputs:
    grinder: {line: GPIO17, active: low, max_on: 20s, rest: 30s, inrush: a}
    pump: {line: GPIO27, active: low, max_on: 60s, inrush: a, deadman: external}
    milk: {line: GPIO22, active: low, max_on: 20s, needs: [hot]}
    heater: {line: GPIO4, active: low, max_on: 120s, deadman: external}
  forbidden: [[grinder, milk]]
  inputs:
    hot: {line: GPIO5, active: high, debounce: 50ms}
    cup: {line: GPIO6, active: low}
    flow: {line: GPIO13, pulses_per_ml: 1.9}
    temperature: {spi: SPI0.0}
`
	goodModbus = `nats: {servers: ["nats://127.0.0.1:4222"]}
state: ./state
machine:
  name: ada
  driver: modbus
  serves: {beans: [arabica], milk: [free, normal], sizes: [small, large]}
  cup: sensor
  port: ./board
  baud: 9600
  address: 1
  relays: 8
  timer: flash-on
  spare_relay: 8
  outputs:
    grinder: {relay: 1, max_on: 20s, rest: 10s}
    pump: {relay: 2}
    milk: {relay: 3}
  inputs:
    cup: {contact: 1, active: high}
    hot: {contact: 2, active: high}
`
	goodLCUS = `nats: {servers: ["nats://127.0.0.1:4222"]}
state: ./state
machine:
  name: bob
  driver: lcus
  serves: {beans: [arabica], milk: [free], sizes: [small]}
  cup: attended
  port: ./board
  relays: 4
  hot: assumed
  outputs:
    grinder: {relay: 1}
    pump: {relay: 2, deadman: external}
`
	goodJura = `nats: {servers: ["nats://127.0.0.1:4222"]}
state: ./state
machine:
  name: rosa
  driver: jura
  serves: {beans: [arabica], milk: [free], sizes: [small, medium]}
  cup: attended
  port: ./board
  model: EF532M
  serial: "15326-0000000"
  products:
    small: {make: espresso}
    medium: {make: espresso, cycles: 2}
`
	goodDemo = `state: ./state
broker: {listen: none, keys: none}
controller: {expire_after: 15m}
stock: {initial: {arabica: 2000}}
web: {listen: 127.0.0.1:8080}
machine:
  name: mia
  driver: mock
  serves: {beans: [arabica], milk: [free], sizes: [small]}
  cup: sensor
`
)

// bad is a good file with some of its words changed: old and new by turns. n is
// how many problems a person finds in it.
type bad struct {
	name string
	file string
	n    int
	swap []string
}

func swap(words ...string) []string { return words }

var badFiles = []bad{
	// Pins.
	{"gpio pin twice", goodGPIO, 1, swap("GPIO27", "GPIO17")},
	{"gpio pin twice, by the header", goodGPIO, 1, swap("GPIO27", "P1_11")},
	{"gpio pin twice, by chip and offset", goodGPIO, 1, swap("GPIO27", `"pinctrl-rp1:17"`)},
	{"gpio pin twice, output and input", goodGPIO, 1, swap("GPIO6", "P1_11")},
	{"gpio pin thrice", goodGPIO, 2, swap("GPIO27", "GPIO17", "GPIO13", "P1_11")},
	{"gpio pin of the thermometer's bus", goodGPIO, 1, swap("GPIO22", "GPIO10")},
	{"gpio pin of the thermometer's select", goodGPIO, 1, swap("GPIO22", "P1_24")},
	{"gpio pin of a feedback", goodGPIO, 1, swap("inrush: a, deadman: external}", "inrush: a, deadman: external, feedback: {line: GPIO5, active: low}}")},
	{"gpio pin is its own feedback", goodGPIO, 1, swap("inrush: a, deadman: external}", "inrush: a, deadman: external, feedback: {line: GPIO27, active: low}}")},
	{"gpio pin is ground", goodGPIO, 1, swap("GPIO27", "P1_39")},
	{"gpio pin is 3.3 V", goodGPIO, 1, swap("GPIO27", "P1_1")},
	{"gpio pin is 5 V", goodGPIO, 1, swap("GPIO27", "P1_2")},
	{"gpio pin beyond the header", goodGPIO, 1, swap("GPIO27", "P1_41")},
	{"gpio pin nought", goodGPIO, 1, swap("GPIO27", "P1_0")},
	{"gpio pin in small letters", goodGPIO, 1, swap("GPIO27", "gpio27")},
	{"gpio pin with a blank", goodGPIO, 1, swap("GPIO27", "GPIO 27")},
	{"gpio pin is a bare number", goodGPIO, 1, swap("GPIO27", "27")},
	{"gpio pin is a number in quotes", goodGPIO, 1, swap("GPIO27", `"27"`)},
	{"gpio pin is a list", goodGPIO, 1, swap("GPIO27", "[GPIO27]")},
	{"gpio pin is nothing", goodGPIO, 1, swap("GPIO27", "")},
	{"gpio pin is empty", goodGPIO, 1, swap("GPIO27", `""`)},
	{"gpio pin is missing", goodGPIO, 1, swap("line: GPIO27, ", "")},
	{"gpio pin by a chip's number", goodGPIO, 1, swap("GPIO27", `"gpiochip4:27"`)},
	{"gpio pin by a path", goodGPIO, 1, swap("GPIO27", `"/dev/gpiochip0:27"`)},
	{"gpio pin at a negative offset", goodGPIO, 1, swap("GPIO27", `"pinctrl-rp1:-1"`)},
	{"gpio pin at an offset with a sign", goodGPIO, 1, swap("GPIO27", `"pinctrl-rp1:+27"`)},
	{"gpio pin at a huge offset", goodGPIO, 1, swap("GPIO27", `"pinctrl-rp1:99999999999999999999"`)},
	{"gpio pin with a newline", goodGPIO, 1, swap("GPIO27", `"GPIO27\n"`)},
	{"gpio chip by its number", goodGPIO, 1, swap("[pinctrl-rp1, pinctrl-bcm2711]", "[gpiochip0]")},
	{"gpio chip is no list", goodGPIO, 1, swap("[pinctrl-rp1, pinctrl-bcm2711]", "pinctrl-rp1")},
	{"gpio chip without label", goodGPIO, 2, swap("chip: {label: [pinctrl-rp1, pinctrl-bcm2711]}", "chip: {lable: [pinctrl-rp1]}")},

	// Levels.
	{"gpio level is missing", goodGPIO, 1, swap("line: GPIO17, active: low", "line: GPIO17")},
	{"gpio level inverted by another word", goodGPIO, 1, swap("GPIO17, active: low", "GPIO17, active_low: true, active: low")},
	{"gpio level is a word of its own", goodGPIO, 1, swap("GPIO17, active: low", "GPIO17, active: inverted")},
	{"gpio level is a number", goodGPIO, 1, swap("GPIO17, active: low", "GPIO17, active: 0")},
	{"gpio level is a truth", goodGPIO, 1, swap("GPIO17, active: low", "GPIO17, active: false")},
	{"gpio level in capitals", goodGPIO, 1, swap("GPIO17, active: low", "GPIO17, active: LOW")},
	{"gpio level of a switch is missing", goodGPIO, 1, swap("GPIO6, active: low", "GPIO6")},
	{"gpio pull is unknown", goodGPIO, 1, swap("GPIO6, active: low", "GPIO6, active: low, pull: both")},

	// What nothing cuts off.
	{"gpio pump without dead man's switch", goodGPIO, 1, swap("inrush: a, deadman: external", "inrush: a")},
	{"gpio heater without dead man's switch", goodGPIO, 1, swap("120s, deadman: external", "120s")},
	{"gpio pump and heater without", goodGPIO, 2, swap("inrush: a, deadman: external", "inrush: a", "120s, deadman: external", "120s")},
	{"gpio pump with none, not signed", goodGPIO, 1, swap("inrush: a, deadman: external", "inrush: a, deadman: none")},
	{"gpio heater with none, signed with blanks", goodGPIO, 1, swap("120s, deadman: external", `120s, deadman: none, accept_no_deadman: "  "`)},
	{"gpio pump signed, nothing said", goodGPIO, 1, swap("inrush: a, deadman: external", `inrush: a, accept_no_deadman: "Zoe"`)},
	{"gpio pump signed against external", goodGPIO, 1, swap("inrush: a, deadman: external", `inrush: a, deadman: external, accept_no_deadman: "Zoe"`)},
	{"gpio pump with a dog", goodGPIO, 1, swap("inrush: a, deadman: external", "inrush: a, deadman: dog")},
	{"gpio pump accepted with a truth", goodGPIO, 1, swap("inrush: a, deadman: external", "inrush: a, deadman: none, accept_no_deadman: true")},
	{"gpio heater is blind", goodGPIO, 1, swap("    temperature: {spi: SPI0.0}\n", "")},

	// Times and figures.
	{"gpio time is negative", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: -20s, rest: 30s")},
	{"gpio time is nought", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: 0s, rest: 30s")},
	{"gpio time is huge", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: 20s, rest: 9999999h")},
	{"gpio time overflows", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: 99999999999999999999s, rest: 30s")},
	{"gpio time is no number", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: .nan, rest: 30s")},
	{"gpio time is endless", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: .inf, rest: 30s")},
	{"gpio time without unit", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: 20, rest: 30s")},
	{"gpio time above the ceiling", goodGPIO, 1, swap("max_on: 20s, rest: 30s", "max_on: 26s, rest: 30s")},
	{"gpio pump above the ceiling", goodGPIO, 1, swap("max_on: 60s", "max_on: 61s")},
	{"gpio heater above the ceiling", goodGPIO, 1, swap("max_on: 120s", "max_on: 1h")},
	{"gpio duty is no limit", goodGPIO, 1, swap("rest: 30s", "duty: {on: 60s, within: 60s}")},
	{"gpio duty is half", goodGPIO, 1, swap("rest: 30s", "duty: {on: 60s}")},
	{"gpio debounce is negative", goodGPIO, 1, swap("debounce: 50ms", "debounce: -1ms")},
	{"gpio debounce is long", goodGPIO, 1, swap("debounce: 50ms", "debounce: 2s")},
	{"gpio pulses are nought", goodGPIO, 1, swap("pulses_per_ml: 1.9", "pulses_per_ml: 0")},
	{"gpio pulses are negative", goodGPIO, 1, swap("pulses_per_ml: 1.9", "pulses_per_ml: -1.9")},
	{"gpio pulses are no number", goodGPIO, 1, swap("pulses_per_ml: 1.9", "pulses_per_ml: .nan")},
	{"gpio pulses per litre", goodGPIO, 1, swap("pulses_per_ml: 1.9", "pulses_per_ml: 1900")},
	{"gpio pulses with a comma", goodGPIO, 1, swap("pulses_per_ml: 1.9", `pulses_per_ml: "1,9"`)},
	{"gpio pulses are missing", goodGPIO, 1, swap(", pulses_per_ml: 1.9", "")},
	{"gpio edges are three", goodGPIO, 1, swap("pulses_per_ml: 1.9", "pulses_per_ml: 1.9, edges: three")},
	{"gpio feedback takes too long", goodGPIO, 1, swap("inrush: a, deadman: external}", "inrush: a, deadman: external, feedback: {line: GPIO24, active: low, within: 1s}}")},

	// Parts and inputs.
	{"gpio part with a typo", goodGPIO, 1, swap("    pump:", "    pumpe:")},
	{"gpio part that no machine has", goodGPIO, 1, swap("    milk: {", "    teapot: {")},
	{"gpio key with a typo", goodGPIO, 1, swap("max_on: 60s", "maxon: 60s")},
	{"gpio part twice", goodGPIO, 1, swap("    milk: {line: GPIO22", "    pump: {line: GPIO22", "milk: [free, normal]", "milk: [free]", "[[grinder, milk]]", "[[grinder, pump]]")},
	{"gpio key twice", goodGPIO, 1, swap("active: low, max_on: 60s", "active: low, active: high, max_on: 60s")},
	{"gpio no outputs", goodGPIO[:strings.Index(goodGPIO, "  outputs:")] + goodGPIO[strings.Index(goodGPIO, "  inputs:"):], 1, nil},
	{"gpio no grinder", goodGPIO, 1, swap("    grinder: {line: GPIO17, active: low, max_on: 20s, rest: 30s, inrush: a}\n", "", "  forbidden: [[grinder, milk]]\n", "")},
	{"gpio milk served, none wired", goodGPIO, 1, swap("    milk: {line: GPIO22, active: low, max_on: 20s, needs: [hot]}\n", "", "  forbidden: [[grinder, milk]]\n", "")},
	{"gpio outputs are a list", goodGPIO, 1, swap("    grinder: {line: GPIO17, active: low, max_on: 20s, rest: 30s, inrush: a}\n", "    - grinder\n", "    pump: {line: GPIO27, active: low, max_on: 60s, inrush: a, deadman: external}\n", "    - pump\n", "    milk: {line: GPIO22, active: low, max_on: 20s, needs: [hot]}\n", "", "    heater: {line: GPIO4, active: low, max_on: 120s, deadman: external}\n", "")},
	{"gpio needs what is not wired", goodGPIO, 1, swap("needs: [hot]", "needs: [tank]")},
	{"gpio needs what is no switch", goodGPIO, 1, swap("needs: [hot]", "needs: [flow]")},
	{"gpio input with a typo", goodGPIO, 1, swap("    hot: {", "    hott: {")},
	{"gpio cup that nothing sees", goodGPIO, 1, swap("    cup: {line: GPIO6, active: low}\n", "")},
	{"gpio cup that nothing drops", goodGPIO, 1, swap("cup: sensor", "cup: dispenser")},
	{"gpio two thermometers in one", goodGPIO, 1, swap("{spi: SPI0.0}", "{spi: SPI0.0, onewire: 28-0316a2794cff}")},
	{"gpio thermometer's id is a path", goodGPIO, 1, swap("{spi: SPI0.0}", `{onewire: "../../etc/passwd"}`)},
	{"gpio thermometer's port", goodGPIO, 1, swap("SPI0.0", "spi-0")},
	{"gpio forbidden pair of one", goodGPIO, 1, swap("[[grinder, milk]]", "[[grinder, grinder]]")},
	{"gpio forbidden pair of a stranger", goodGPIO, 1, swap("[[grinder, milk]]", "[[grinder, teapot]]")},
	{"gpio forbidden trio", goodGPIO, 1, swap("[[grinder, milk]]", "[[grinder, milk, pump]]")},

	// Where it runs, and what it is.
	{"gpio beside a broker", goodGPIO, 1, swap(`nats: {servers: ["nats://shop.local:4222"]}`, "broker:")},
	{"gpio beside a website", goodGPIO, 1, swap("state: ./state", "state: ./state\nweb: {listen: 127.0.0.1:8080}")},
	{"gpio beside both", goodGPIO, 2, swap(`nats: {servers: ["nats://shop.local:4222"]}`, "broker:", "state: ./state", "state: ./state\nweb:")},
	{"gpio with the password inline", goodGPIO, 1, swap("nats://shop.local:4222", "nats://zoe:hunter2@shop.local:4222")},
	{"gpio with a key inline", goodGPIO, 1, swap("state: ./state", "state: ./state\nnkey: SUAJVZGMZEZVVLMXVCVPZPQ5IE7QDQZQ2IRAS6ZSCWG3VXVQNPBPMJAS3A")},
	{"gpio name with a dot", goodGPIO, 1, swap("name: zoe", "name: zoe.kitchen")},
	{"gpio name is a wildcard", goodGPIO, 1, swap("name: zoe", `name: ">"`)},
	{"gpio name is a path", goodGPIO, 1, swap("name: zoe", "name: ../zoe")},
	{"gpio driver with a typo", goodGPIO, 1, swap("driver: gpio", "driver: gpoi")},
	{"gpio driver of a simulator", goodGPIO, 12, swap("driver: gpio", "driver: mock")},
	{"gpio cup is not said", goodGPIO, 1, swap("  cup: sensor\n", "")},
	{"gpio bean is a subject", goodGPIO, 1, swap("beans: [arabica]", `beans: ["arabica.>"]`)},
	{"gpio longer than a fleet waits", goodGPIO, 1, swap("rest: 30s", "rest: 2m")},
	{"gpio everything at once", goodGPIO, 9, swap("name: zoe", "name: Zoe", "GPIO27", "P1_11", "120s, deadman: external", "120s", "rest: 30s", "rest: -1s", "GPIO6, active: low", "GPIO6", "pulses_per_ml: 1.9", "pulse_per_ml: 1.9", "needs: [hot]", "needs: [hot, tank]", "SPI0.0", "SPI0")},

	// The form of the file.
	{"form tab", goodGPIO, 1, swap("    hot: {", "\thot: {")},
	{"form anchors and aliases", goodGPIO, 2, swap("inrush: a}", "inrush: &a a}", "inrush: a, deadman", "inrush: *a, deadman")},
	{"form bomb of aliases", "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: &d [*c, *c, *c, *c]\n" + goodGPIO, 20, nil},
	{"form merge", goodGPIO, 2, swap("    milk: {line: GPIO22,", "    milk: {<<: *all, line: GPIO22,")},
	{"form deep", goodGPIO, 1, swap("[[grinder, milk]]", strings.Repeat("[", 100)+strings.Repeat("]", 100))},
	{"form deep as blocks", goodGPIO, 1, swap("  forbidden: [[grinder, milk]]\n", "  forbidden:\n"+blocks(200))},
	{"form latin 1", goodGPIO, 1, swap("name: zoe", "name: zoe # caf\xe9")},
	{"form utf-16", "\xff\xfem\x00a\x00", 1, nil},
	{"form nul", goodGPIO, 1, swap("name: zoe", "name: zo\x00e")},
	{"form empty", "", 1, nil},
	{"form blank", "\n\n  \n", 1, nil},
	{"form only comments", "# machine:\n", 1, nil},
	{"form huge", goodGPIO + strings.Repeat("# coffee\n", 10_000), 1, nil},
	{"form endless line", goodGPIO + "# " + strings.Repeat("x", 5000) + "\n", 1, nil},
	{"form two documents", goodGPIO + "---\n" + goodDemo, 1, nil},
	{"form carriage returns", strings.ReplaceAll(goodGPIO, "\n", "\r\n"), 1, nil},
	{"form byte order mark", "\uFEFF" + goodGPIO, 1, nil},
	{"form brackets left open", goodGPIO, 1, swap("[[grinder, milk]]", "[[grinder, milk]")},
	{"form quotes left open", goodGPIO, 1, swap("cup: sensor", `cup: "sensor`)},
	{"form a list", "- machine\n", 1, nil},
	{"form JSON that is none", `{"machine": {"name": "zoe",}`, 1, nil},
	{"form a tag", goodGPIO, 1, swap("name: zoe", "name: !!str zoe")},
	{"form escapes of a terminal", goodGPIO, 1, swap("name: zoe", `name: "zoe\e[2J"`)},

	// Boards on a serial port.
	{"modbus port by the order of plugging", goodModbus, 1, swap("./board", "/dev/ttyUSB0")},
	{"modbus port from nowhere", goodModbus, 1, swap("./board", "board")},
	{"modbus relay twice", goodModbus, 1, swap("milk: {relay: 3}", "milk: {relay: 2}")},
	{"modbus relay is the spare one", goodModbus, 1, swap("milk: {relay: 3}", "milk: {relay: 8}")},
	{"modbus relay beyond the board", goodModbus, 1, swap("milk: {relay: 3}", "milk: {relay: 9}")},
	{"modbus relay nought", goodModbus, 1, swap("milk: {relay: 3}", "milk: {relay: 0}")},
	{"modbus relays not said", goodModbus, 1, swap("  relays: 8\n", "")},
	{"modbus address of all", goodModbus, 1, swap("address: 1", "address: 0")},
	{"modbus baud", goodModbus, 1, swap("baud: 9600", "baud: 9601")},
	{"modbus timer not proved", goodModbus, 1, swap("  spare_relay: 8\n", "")},
	{"modbus no timer, no dead man's switch", goodModbus, 1, swap("timer: flash-on", "timer: none", "  spare_relay: 8\n", "")},
	{"modbus contact twice", goodModbus, 1, swap("hot: {contact: 2", "hot: {contact: 1")},
	{"modbus heater", goodModbus, 1, swap("pump: {relay: 2}", "pump: {relay: 2}\n    heater: {relay: 4}")},
	{"modbus nothing says hot", goodModbus, 1, swap("    hot: {contact: 2, active: high}\n", "")},
	{"modbus several", goodModbus, 5, swap("./board", "/dev/ttyUSB0", "milk: {relay: 3}", "milk: {relay: 2}", "address: 1", "address: 300", "hot: {contact: 2", "hot: {contact: 1", "name: ada", "name: Ada")},
	{"lcus pump without dead man's switch", goodLCUS, 1, swap(", deadman: external", "")},
	{"lcus board with a timer", goodLCUS, 1, swap("deadman: external", "deadman: board")},
	{"lcus three relays", goodLCUS, 1, swap("relays: 4", "relays: 3")},
	{"lcus relay twice", goodLCUS, 1, swap("grinder: {relay: 1}", "grinder: {relay: 2}")},
	{"lcus cup sensor", goodLCUS, 1, swap("cup: attended", "cup: sensor")},
	{"lcus inputs", goodLCUS, 1, swap("  hot: assumed\n", "  hot: assumed\n  inputs: {cup: 1}\n")},
	{"jura model that is not known", goodJura, 1, swap("EF532M", "EF999M")},
	{"jura size without product", goodJura, 1, swap("    medium: {make: espresso, cycles: 2}\n", "")},
	{"jura dose by a wrong number", goodJura, 1, swap("cycles: 2", "cycles: 1")},
	{"jura product of another", goodJura, 1, swap("make: espresso", "make: tea")},
	{"jura with outputs of ours", goodJura, 1, swap("  products:", "  outputs: {pump: {}}\n  products:")},
	{"jura serial not said", goodJura, 1, swap("  serial: \"15326-0000000\"\n", "")},
	{"jura several", goodJura, 3, swap("EF532M", "EF999M", "cup: attended", "cup: sensor", "./board", "/dev/ttyACM0")},

	// Shops.
	{"shop open to everybody", goodDemo, 1, swap("127.0.0.1:8080", "0.0.0.0:8080")},
	{"shop metrics open to everybody", goodDemo, 1, swap("controller:", "metrics: {listen: \"0.0.0.0:9464\"}\ncontroller:")},
	{"shop metrics on the pages' port", goodDemo, 1, swap("controller:", "metrics: {listen: \"127.0.0.1:8080\"}\ncontroller:")},
	{"shop archive with a password in sight", goodDemo, 1, swap("controller:", "archive: {postgres: \"postgres://barista:hunter2@db.local/barista\"}\ncontroller:")},
	{"shop archive in two places", goodDemo, 1, swap("controller:", "archive: {file: ./a.db, postgres: \"postgres://barista@db.local/barista\"}\ncontroller:")},
	{"shop broker open to everybody", goodDemo, 1, swap("listen: none", "listen: 0.0.0.0:4222")},
	{"shop mock with a bad speed", goodDemo, 1, swap("  cup: sensor\n", "  cup: sensor\n  speed: 1e9\n")},
	{"shop expires before it brews", goodDemo, 1, swap("15m", "-1s")},
	{"shop state leads out", goodDemo, 1, swap("./state", "./../state")},
	{"shop unknown section", goodDemo, 1, swap("web:", "wep:")},
}

// blocks is a tree of maps, one in the other.
func blocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+4) + "a:\n")
	}
	return b.String()
}

// text is the broken file.
func (b bad) text(t testing.TB) string {
	s := b.file
	for i := 0; i < len(b.swap); i += 2 {
		if !strings.Contains(s, b.swap[i]) {
			t.Fatalf("%s: %q is not in the file", b.name, b.swap[i])
		}
		s = strings.Replace(s, b.swap[i], b.swap[i+1], 1)
	}
	return s
}

var (
	badPlace = regexp.MustCompile(`^x\.yaml:(\d+):(\d+): (\S.*)$`)
	badFix   = regexp.MustCompile(`^    \S.*$`)
)

// TestBrokenFiles has every broken file read by barista check and by the
// service: all its problems at once, each with line, reason and fix, and nothing
// of the machine, the shop or the disk is touched.
func TestBrokenFiles(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	allHandled(t, func(s configs.Settings, _ *slog.Logger) (driver.Rig, error) {
		t.Errorf("a machine was opened: %T", s)
		return driver.Rig{}, os.ErrPermission
	})
	dir := t.TempDir()
	t.Chdir(dir)
	// What the files name as their port is there, and must stay closed.
	if err := os.WriteFile("board", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	touched := watchFolders(t, dir, "/dev")
	sockets := openSockets(t)

	var page strings.Builder
	several := 0
	seen := map[string]bool{}
	for _, b := range badFiles {
		if seen[b.name] {
			t.Errorf("%s: there twice", b.name)
		}
		seen[b.name] = true
		text := b.text(t)
		if err := os.WriteFile("x.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errOut, code := runCLI("check", "x.yaml")
		if code != term.ExitFailed || !strings.Contains(errOut, "nothing was touched") {
			t.Errorf("%s: exit %d\n%s%s", b.name, code, out, errOut)
			continue
		}
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(lines)%2 != 0 {
			t.Errorf("%s: not a reason and a fix each:\n%s", b.name, out)
			continue
		}
		for i := 0; i < len(lines); i += 2 {
			m := badPlace.FindStringSubmatch(lines[i])
			if m == nil || !badFix.MatchString(lines[i+1]) {
				t.Errorf("%s: no place, reason and fix:\n%s\n%s", b.name, lines[i], lines[i+1])
				continue
			}
			var line int
			if fmt.Sscan(m[1], &line); line < 1 || line > strings.Count(text, "\n")+1 {
				t.Errorf("%s: line %d of %d", b.name, line, strings.Count(text, "\n")+1)
			}
		}
		if n := len(lines) / 2; n != b.n {
			t.Errorf("%s: %d problems, want %d:\n%s", b.name, n, b.n, out)
		}
		if b.n > 1 {
			several++
		}
		if _, serviceErr, code := runCLI("run", "--config", "x.yaml"); code != term.ExitConfig || !strings.HasPrefix(serviceErr, out) {
			t.Errorf("%s: the service exits with %d and says\n%s", b.name, code, serviceErr)
		}
		fmt.Fprintf(&page, "## %s\n%s\n", b.name, out)
	}
	if len(badFiles) < 100 || several < 10 {
		t.Errorf("%d broken files, %d of them with several problems; there were 100 and 10", len(badFiles), several)
	}
	t.Logf("%d broken files, %d of them with several problems", len(badFiles), several)

	if names := touched(); len(names) > 0 {
		t.Errorf("opened or made: %v", names)
	}
	if left, _ := filepath.Glob("*"); !slices.Equal(left, []string{"board", "x.yaml"}) {
		t.Errorf("the folder holds %v", left)
	}
	if now := openSockets(t); now != sockets {
		t.Errorf("%d sockets are open, %d before", now, sockets)
	}
	goldenText(t, "broken.txt", page.String())
}

// TestGoodFiles: the good ones are good, or what is broken in them proves
// nothing.
func TestGoodFiles(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	for name, text := range map[string]string{"gpio": goodGPIO, "modbus": goodModbus, "lcus": goodLCUS, "jura": goodJura, "demo": goodDemo} {
		if _, err := configs.Parse("x.yaml", []byte(text), loader()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// watchFolders hears from the kernel what is opened or made in the folders, by
// whomever, and tells what of it is none of the test's own.
func watchFolders(t *testing.T, mine, dev string) func() []string {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	in := map[int32]string{}
	for _, dir := range []string{mine, dev} {
		w, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN|unix.IN_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		in[int32(w)] = dir
	}
	return func() (names []string) {
		buf := make([]byte, 1<<20)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil || n <= 0 {
				return names
			}
			for at := 0; at < n; {
				e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[at]))
				raw := buf[at+unix.SizeofInotifyEvent : at+unix.SizeofInotifyEvent+int(e.Len)]
				name := strings.TrimRight(string(raw), "\x00")
				at += unix.SizeofInotifyEvent + int(e.Len)
				if e.Mask&unix.IN_Q_OVERFLOW != 0 {
					t.Error("the kernel lost some of it")
				}
				whose := in[e.Wd]
				if whose == mine && name != "x.yaml" && name != "" || whose == dev && regexp.MustCompile(`^(gpio|tty[A-Z]|spi|i2c)`).MatchString(name) {
					names = append(names, filepath.Join(whose, name))
				}
			}
		}
	}
}

func openSockets(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

var here, _ = os.Getwd()

func goldenText(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(here, "testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", name, diff)
	}
}

// runCLI runs one command line.
func runCLI(args ...string) (out, errOut string, code int) {
	var o, e strings.Builder
	code = execute(context.Background(), args, strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}
