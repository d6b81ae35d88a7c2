package gpio

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	periph "periph.io/x/conn/v3/gpio"

	"barista/driver"
)

// Warnings says what may be meant but is mostly a mistake: in the wiring, and,
// if this computer is a Raspberry Pi, in its kernel's settings. It opens no
// line. Each is one sentence or two, with its key in the file first.
func Warnings(cfg Config) []string {
	return warnings(cfg, os.DirFS("/"))
}

// espressoPulses is the least of a meter that sees an espresso: at 5 ml/s a
// YF-S201 (450 pulses per litre, made for 1 to 30 l/min, 10 % at best) gives two
// pulses a second and below its range none.
const espressoPulses = 1.0

func warnings(cfg Config, files fs.FS) []string {
	var out []string
	add := func(section, key, format string, args ...any) {
		out = append(out, section+"."+key+": "+fmt.Sprintf(format, args...))
	}
	say := func(section, key, warning string) {
		if warning != "" {
			add(section, key, "%s", warning)
		}
	}
	if cfg.onPi() {
		for _, p := range cfg.parts() {
			o := cfg.Outputs[p]
			say("outputs", string(p), bootPull(o))
			say("outputs", string(p), onBus(o.Line))
			if f := o.Feedback; f != nil {
				if w := onBus(f.Line); w != "" {
					add("outputs", string(p), "feedback: %s", w)
				}
			}
		}
		for _, s := range cfg.signals() {
			say("inputs", string(s), onBus(cfg.Switches[s].Line))
		}
		if cfg.Flow != nil {
			say("inputs", string(driver.Flow), onBus(cfg.Flow.Line))
		}
		if cfg.Temperature != nil && cfg.Temperature.OneWire != "" {
			if who := cfg.user("GPIO4"); who != "" {
				add("inputs", string(driver.Temperature), "the 1-Wire bus is on GPIO4 unless dtoverlay=w1-gpio says gpiopin=…, and %s uses that", who)
			}
		}
	}
	for _, s := range cfg.signals() {
		sw := cfg.Switches[s]
		if sw.Pull != "" && sw.Pull != PullOff && (sw.Pull == PullUp) == (sw.Active == High) {
			add("inputs", string(s), "with pull: %s and active: %s a broken wire reads as yes; leave pull out, and turn the switch round", sw.Pull, sw.Active)
		}
	}
	if f := cfg.Flow; f != nil && f.PulsesPerML > 0 && f.PulsesPerML < espressoPulses {
		add("inputs", string(driver.Flow), "%v pulses per ml is a meter for taps (a YF-S201 has 0.45 and starts at 17 ml/s): at the 5 ml/s of an espresso it is outside of its range; take one with 1.9 or more", f.PulsesPerML)
	}
	_, hot := cfg.Switches[driver.Hot]
	if !hot && cfg.Temperature == nil {
		out = append(out, "inputs: there is neither hot nor temperature: every recipe that asks for heat will be refused")
	}
	if _, sugar := cfg.Outputs[driver.Sugar]; !sugar {
		out = append(out, "outputs: there is no sugar: orders with sugar go to other machines, and are refused where there is none")
	}
	return append(out, kernelWarnings(files)...)
}

// onPi reports whether the file is for a Raspberry Pi's header: it names one of
// its chips, or none at all.
func (c Config) onPi() bool {
	return len(c.Chips) == 0 || slices.ContainsFunc(c.Chips, func(s string) bool { return slices.Contains(piChips, s) })
}

// user is who uses a pin.
func (c Config) user(pin string) string {
	for _, u := range c.checked().uses {
		if u.pin == pin {
			return u.who
		}
	}
	return ""
}

// bootPull: from power-up until this service runs, some 20 s, the pin is an
// input with the chip's resistor, and that decides about the relay.
func bootPull(o Output) string {
	at, err := o.Line.place()
	if err != nil {
		return ""
	}
	n, ok := at.bcm()
	if !ok {
		return ""
	}
	switch pull := pins[n].pull; {
	case pull == periph.PullUp && o.Active == High:
		return fmt.Sprintf("%s is pulled up at boot and the relay is active high: it may be on until the service runs; use one of GPIO9 to GPIO27, or an external resistor to ground", o.Line)
	case pull == periph.PullDown && o.Active == Low:
		return fmt.Sprintf("%s is pulled down at boot and the relay is active low: it may be on until the service runs; use GPIO4, GPIO5 or GPIO6, or an external resistor to 3.3 V", o.Line)
	}
	return ""
}

func onBus(l Line) string {
	at, err := l.place()
	if err != nil {
		return ""
	}
	n, ok := at.bcm()
	if !ok || bus(n) == "" {
		return ""
	}
	return fmt.Sprintf("%s is also %s; use another one", l, bus(n))
}

// kernelWarnings: a Raspberry Pi's kernel keeps a released output driving unless
// it was told not to. Kernels since May 2024 show the setting.
func kernelWarnings(files fs.FS) []string {
	b, err := fs.ReadFile(files, "sys/firmware/devicetree/base/model")
	model, pi := strings.CutPrefix(string(b), "Raspberry Pi ")
	if err != nil || !pi {
		return nil
	}
	module := "pinctrl_bcm2835"
	if strings.HasPrefix(strings.TrimPrefix(model, "Compute Module "), "5") {
		module = "pinctrl_rp1"
	}
	var out []string
	if findSupply(files) == nil {
		out = append(out, "kernel: it does not say when the computer's own supply is too weak, so nothing will stop a drink then; update it, or load the module raspberrypi-hwmon")
	}
	const add = "add dtparam=strict_gpiod to config.txt and start the computer anew"
	b, err = fs.ReadFile(files, path.Join("sys/module", module, "parameters/persist_gpio_outputs"))
	switch s := strings.TrimSpace(string(b)); {
	case err != nil:
		out = append(out, "kernel: it does not say whether outputs go to rest when this service dies; update it, and "+add)
	case s != "N":
		out = append(out, "kernel: strict_gpiod is not set: when this service dies, its relays stay as they are until it is back; "+add)
	}
	return out
}
