package gpio

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
)

// What the loader of the file can't let through is refused here as well: whoever
// makes a Config in code gets the same answer.
func TestCheck(t *testing.T) {
	if err := driver.Refusal(wiring().Problems()); err != nil {
		t.Error(err)
	}
	relay := func(o Output) Config { return Config{Outputs: map[driver.Part]Output{driver.Pump: o}} }
	pump := Output{Line: "GPIO17", Active: High, Deadman: driver.DeadmanExternal}
	with := func(change func(*Output)) Config { o := pump; change(&o); return relay(o) }
	in := func(s driver.Signal, sw Switch) Config { return Config{Switches: map[driver.Signal]Switch{s: sw}} }
	for name, c := range map[string]struct {
		cfg  Config
		want string // begin of each line
	}{
		"good":                      {relay(pump), ""},
		"part":                      {Config{Outputs: map[driver.Part]Output{"pumpe": {Line: "GPIO17", Active: High}}}, "outputs.pumpe: there is no such part"},
		"line":                      {with(func(o *Output) { o.Line = "" }), "outputs.pump: the line of pump is missing"},
		"polarity":                  {with(func(o *Output) { o.Active = "" }), "outputs.pump: it does not say at which level it is active"},
		"polarity 2":                {with(func(o *Output) { o.Active = "up" }), `outputs.pump: active is "up"`},
		"deadman":                   {with(func(o *Output) { o.Deadman = "dog" }), `outputs.pump: deadman is "dog"`},
		"signed, but not for this":  {with(func(o *Output) { o.AcceptNoDeadman = "Zoe" }), "outputs.pump: it has deadman: external and accept_no_deadman at once"},
		"signed, but nothing said":  {Config{Outputs: map[driver.Part]Output{driver.Sugar: {Line: "GPIO17", Active: High, AcceptNoDeadman: "Zoe"}}}, "outputs.sugar: accept_no_deadman accepts nothing here"},
		"signed with none is right": {with(func(o *Output) { o.Deadman, o.AcceptNoDeadman = driver.DeadmanNone, "Zoe stands beside it" }), ""},
		"not signed":                {with(func(o *Output) { o.Deadman = driver.DeadmanNone }), "outputs.pump: deadman is none"},
		"needs":                     {with(func(o *Output) { o.Needs = []driver.Signal{driver.Flow} }), "outputs.pump: it needs flow, and there is no such switch"},
		"feedback": {with(func(o *Output) {
			o.Feedback = &Feedback{Switch: Switch{Line: "GPIO17", Active: Low}, Within: time.Second}
		}), "outputs.pump: its feedback within 1s is not possible\noutputs.pump: cannot use GPIO17 for pump's feedback: it is used by pump"},
		"signal":      {in("tea", Switch{Line: "GPIO17", Active: Low}), "inputs.tea: no switch can say tea"},
		"flow switch": {in(driver.Flow, Switch{Line: "GPIO17", Active: Low}), "inputs.flow: no switch can say flow"},
		"pull":        {in(driver.Cup, Switch{Line: "GPIO17", Active: Low, Pull: "left"}), `inputs.cup: pull is "left"`},
		"debounce":    {in(driver.Cup, Switch{Line: "GPIO17", Active: Low, Debounce: time.Second}), "inputs.cup: debounce of 1s is not possible"},
		"flow":        {Config{Flow: &Flow{PulsesPerML: 0, Debounce: time.Second, Pull: "x"}}, "inputs.flow: the line of flow is missing\ninputs.flow: pull is \"x\"\ninputs.flow: 0 pulses per ml are not possible\ninputs.flow: debounce of 1s is not possible"},
		"two":         {Config{Temperature: &Temperature{SPI: "SPI0.0", OneWire: "28-000000000000"}}, "inputs.temperature: it must be exactly one thermometer"},
		"spi":         {Config{Temperature: &Temperature{SPI: "spi0"}}, `inputs.temperature: "spi0" is no SPI port`},
		"id":          {Config{Temperature: &Temperature{OneWire: "../../etc/passwd"}}, `inputs.temperature: "../../etc/passwd" is no id of a DS18B20`},
		"chip":        {Config{Chips: []string{"gpiochip0", ""}}, "chip: \"gpiochip0\" is the number of a chip\nchip: \"\" is no label of a chip"},
		"heater":      {Config{Outputs: map[driver.Part]Output{driver.Heater: {Line: "GPIO4", Active: Low}}}, "outputs.heater: nothing is said to switch it off\noutputs.heater: a heater without a thermometer"},
		"spi pins":    {Config{Outputs: map[driver.Part]Output{driver.Sugar: {Line: "P1_24", Active: Low}}, Temperature: &Temperature{SPI: "SPI0.0"}}, "inputs.temperature: cannot use GPIO8 for temperature: it is used by sugar"},
		"other board": {Config{Chips: []string{"other"}, Outputs: map[driver.Part]Output{driver.Sugar: {Line: "GPIO8", Active: Low}}, Temperature: &Temperature{SPI: "SPI0.0"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			if err := driver.Refusal(c.cfg.Problems()); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, "\n")
			}
			if len(got) != len(want) {
				t.Fatalf("%d problems, want %d: %q", len(got), len(want), got)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], want[i]) || !strings.Contains(got[i], "; ") {
					t.Errorf("%q, want %q and a fix", got[i], want[i])
				}
			}
		})
	}
}

func TestSwitchesIsACopy(t *testing.T) {
	Switches()[0] = "broken"
	if diff := cmp.Diff(driver.Hot, Switches()[0]); diff != "" {
		t.Error(diff)
	}
}
