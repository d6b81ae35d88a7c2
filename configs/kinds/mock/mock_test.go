package mock

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/configs"
	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/mock"
)

// machineText is a file with a mock whose section ends with more.
func machineText(cup, more string) []byte {
	return []byte("broker:\nmachine:\n  name: zoe\n  driver: mock\n  serves: {beans: [arabica], milk: [free], sizes: [small]}\n  cup: " + cup + "\n" + more)
}

func TestMockKind(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	table := kinds.Table{Kind}.Loader()
	for name, c := range map[string]struct {
		cup, more string
		want      mock.Config
		problems  string
	}{
		"nothing": {cup: "sensor", want: mock.Config{Serial: "mock-zoe"}},
		"all": {
			cup: "dispenser", more: "  speed: 10\n  fail_rate: 0.1\n  cups: dispenser\n  heater: on\n  seed: 7\n  serial: m-1\n",
			want: mock.Config{Speed: 10, FailRate: 0.1, Cups: "dispenser", Heater: true, Seed: 7, Serial: "m-1"},
		},
		"deadman": {
			cup: "page", more: "  outputs: {pump: {deadman: board}, milk: {deadman: board}}\n",
			want: mock.Config{Deadman: driver.DeadmanBoard, Serial: "mock-zoe"},
		},
		"plant": {cup: "dispenser", more: "  plant: ./p.sock\n", want: mock.Config{Plant: "./p.sock"}},
		"plant and its figures": {
			cup: "sensor", more: "  plant: ./p.sock\n  speed: 3\n  seed: 1\n",
			problems: `x.yaml:8:3: machine.speed: belongs to the plant process at "./p.sock"; give it to barista sim plant, and remove it here
x.yaml:9:3: machine.seed: belongs to the plant process at "./p.sock"; give it to barista sim plant, and remove it here`,
		},
		"figures": {
			cup: "sensor", more: "  speed: 0\n  fail_rate: 2\n  cups: outo\n  heater: warm\n  seed: -1\n  serial: A\n  spped: 1\n",
			problems: `x.yaml:7:10: machine.speed: 0 is not possible; give a number from 0.01 to 10000
x.yaml:8:14: machine.fail_rate: 2 is not possible; give a number from 0 to 1
x.yaml:9:9: machine.cups: "outo" is not known here; did you mean "auto"? (hand, auto or dispenser)
x.yaml:10:11: machine.heater: must be on or off, not "warm"; write on or off
x.yaml:11:9: machine.seed: -1 is not possible; give a number from 0 to 2147483647
x.yaml:12:11: machine.serial: "A" can't be a name; use 1 to 32 of a-z, 0-9 and -
x.yaml:13:3: machine.spped: unknown key; remove it; known here: calibration, care, cup, cups, driver, fail_rate, forbidden, heater, name, outputs, plant, seed, serial, serves, spare, speed`,
		},
		"together": {
			cup: "dispenser", more: "  outputs:\n    heater: {max_on: 60s, deadman: board}\n    cups: {max_on: 2s, deadman: none}\n",
			problems: `x.yaml:6:8: machine.cup: nothing drops cups in this machine; give it cups: dispenser, or another cup
x.yaml:7:3: machine.outputs: a simulated machine has one kind of dead man's switch for all outputs; write the same deadman everywhere, or at one output only
x.yaml:8:5: machine.outputs.heater: this machine has no heater; give it heater: on, or remove this
x.yaml:9:5: machine.outputs.cups: this machine has no cups; give it cups: dispenser, or remove this`,
		},
		"parts": {
			cup: "sensor", more: "  outputs: {rinse: {max_on: 2s}}\n",
			problems: "x.yaml:7:13: machine.outputs.rinse: a machine with driver: mock has no such part; it has grinder, pump, heater, milk, sugar, cups",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := configs.Parse("x.yaml", machineText(c.cup, c.more), table)
			got := ""
			if err != nil {
				got = err.Error()
			} else if diff := cmp.Diff(c.want, wiring(f.Machine.Settings)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.problems, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func wiring(s configs.Settings) mock.Config {
	if r, is := s.(remote); is {
		return r.Config
	}
	return s.(*Settings).Config
}
