package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"barista/driver"
	"barista/driver/modbus"
)

// plainYAML is a text that YAML reads as that text, whatever stands around it.
var plainYAML = regexp.MustCompile(`^[A-Za-z/.][A-Za-z0-9/._-]*$`)

// yamlText writes a text from outside, quoted unless it is plainly a word. YAML
// takes every string of JSON.
func yamlText(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan":
	default:
		if plainYAML.MatchString(s) {
			return s
		}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string is never an error
	return strings.TrimSuffix(b.String(), "\n")
}

func yamlTexts(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, yamlText(s))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// setupWriter writes a file line by line.
type setupWriter struct{ strings.Builder }

func (w *setupWriter) line(format string, a ...any) { fmt.Fprintf(w, format+"\n", a...) }

// remark writes a line with a remark behind it, at a column of its own.
func (w *setupWriter) remark(line, remark string) { w.line("%-27s # %s", line, remark) }

func (w *setupWriter) parts(list []setupPart) {
	for _, p := range list {
		w.line("    %s: {%s}", p.name, strings.Join(p.keys, ", "))
	}
}

const setupLimits = `  # relay is the number printed on the board. max_on is the longest time on; the
  # built-in ones can only be lowered. rest is the pause after it. Parts with the
  # same inrush are never on together.`

// machineText is the machine's file, commented like the samples, so that a person
// can go on by hand.
func (p setupPlan) machineText() string {
	w := &setupWriter{}
	kind := map[string]string{
		"mock":   "One simulated machine.",
		"gpio":   "One real machine on the GPIO header of a Raspberry Pi.",
		"modbus": "One machine on a Modbus RTU relay board.",
		"lcus":   "One machine on a USB relay board with a CH340 (LCUS).",
		"jura":   "A Jura on its service port, ordered by its own products.",
	}[p.driver]
	sample := map[string]string{"mock": "machine-mock", "gpio": "gpio-relays", "modbus": "modbus-relays", "lcus": "lcus-relays", "jura": "jura-e6"}[p.driver]
	w.line("# %s", kind)
	w.line("# Written by barista setup; go on by hand as you like. The sample")
	w.line("# configs/%s.yaml explains every key.", sample)
	w.line("#")
	w.line("#     barista check %s.yaml", p.name)
	w.line("#     barista run --config %s.yaml", p.name)
	if p.real() {
		w.line("#")
		w.line("# Before the first drink on real metal: a thermal fuse and a pressure valve at")
		w.line("# every boiler, an emergency stop that cuts the mains, and mains wiring by")
		w.line("# somebody who may do it. This program can't replace any of them.")
	}
	if p.driver == "jura" {
		w.line("#")
		w.line("# The port has 5 V levels: a Raspberry Pi needs a level shifter. Nothing that is")
		w.line("# known of these machines was measured by us: stand by at the first drinks.")
	}
	w.line("")
	w.line("# Where the shop is. The environment's NATS_URL goes before this.")
	w.line("nats:")
	w.line("  servers: [%s]", yamlText(p.nats))
	w.line("")
	w.line("# Its journal lives in /var/lib/barista/%s: never copy that to another machine.", p.name)
	w.line("machine:")
	w.remark("  name: "+yamlText(p.name), "unique in the fleet: a-z, 0-9 and -")
	w.line("  driver: %s", p.driver)
	w.line("  serves:")
	w.line("    beans: %s", yamlTexts(p.beans))
	w.remark("    milk: "+yamlTexts(p.milks), "free is black coffee")
	w.line("    sizes: %s", yamlTexts(p.sizes))
	w.line("  # How it knows that a cup stands there: sensor, dispenser, page (the customer")
	w.line("  # says so) or attended (a person stands by and answers for it).")
	w.line("  cup: %s", p.cup)
	w.line("")
	switch p.driver {
	case "mock":
		p.mockText(w)
	case "gpio":
		p.gpioText(w)
	case "modbus":
		p.modbusText(w)
	case "lcus":
		p.lcusText(w)
	case "jura":
		p.juraText(w)
	}
	return w.String()
}

// real reports a machine of which this program owns the metal.
func (p setupPlan) real() bool {
	return p.driver == "gpio" || p.driver == "modbus" || p.driver == "lcus"
}

func (p setupPlan) forbidden(w *setupWriter) {
	has := func(part driver.Part) bool {
		return slices.ContainsFunc(p.outputs, func(o setupPart) bool { return o.name == string(part) })
	}
	if has(driver.Grinder) && has(driver.Milk) {
		w.line("  forbidden: [[grinder, milk]] # never on together")
	}
}

func (p setupPlan) calibration(w *setupWriter) {
	w.line("  # What a person measures: barista calibrate grinder, pump, milk. These are only")
	w.line("  # a beginning.")
	w.line("  calibration:")
	w.remark("    grinder_gps: 1.2", "g of coffee per second")
	w.remark("    pump_mlps: 6", "ml of water per second")
	w.remark("    milk_mlps: 5", "ml of milk per second")
	w.remark("    sugar_dose_ps: 1", "doses per second")
	w.line("")
}

func (p setupPlan) mockText(w *setupWriter) {
	w.line("  # Keys of the simulated machine alone.")
	cups := "auto"
	if p.cup == "dispenser" {
		cups = "dispenser"
	}
	w.remark("  cups: "+cups, "auto: a simulated customer; hand: somebody places cups")
	w.remark("  speed: 1", "of time in it: 10 goes ten times as fast")
	w.remark("  fail_rate: 0", "share of drinks that go wrong, 0 to 1")
	w.line("")
	w.line("  # max_on is the longest time on; the built-in ones can only be lowered. rest is")
	w.line("  # the pause after it: without one, 30 g are too much for one turn.")
	w.line("  outputs:")
	w.line("    grinder: {%s}", strings.Join(setupUsual[driver.Grinder], ", "))
}

func (p setupPlan) gpioText(w *setupWriter) {
	w.line("  # Lines are looked up by name on the chip with one of these labels. A chip's")
	w.line("  # number is not taken: it changes with the kernel.")
	w.line("  chip: {label: %s}", yamlTexts(p.chip))
	w.line("")
	p.calibration(w)
	w.line("  # active is the level at which the relay is on: a wrong one turns rest into on.")
	w.line("  # barista check warns of pins that are pulled the wrong way at boot. max_on is")
	w.line("  # the longest time on; the built-in ones can only be lowered. rest is the pause")
	w.line("  # after it. Parts with the same inrush are never on together. deadman is what")
	w.line("  # cuts a part off when this computer is dead.")
	w.line("  outputs:")
	w.parts(p.outputs)
	p.forbidden(w)
	w.line("")
	w.line("  # Switches say yes when the line is active, and yes is always the good answer.")
	w.line("  # The chip's own resistor pulls the other way, so that a broken wire reads as no.")
	p.inputsText(w, "hot: {line: GPIO6, active: low}")
}

func (p setupPlan) inputsText(w *setupWriter, example string) {
	if len(p.inputs) == 0 {
		w.line("  # inputs:")
		w.line("  #   %s", example)
		return
	}
	w.line("  inputs:")
	w.parts(p.inputs)
}

func (p setupPlan) portText(w *setupWriter) {
	w.line("  # By a name that stays the same: ls -l /dev/serial/by-id, or by-path for an")
	w.line("  # adapter without a serial number.")
	w.line("  port: %s", yamlText(p.port))
}

func (p setupPlan) hotText(w *setupWriter) {
	if p.hotAssumed {
		w.line("  # Nothing reads the boiler: its own thermostat keeps it hot, and a person answers")
		w.line("  # for that.")
		w.line("  hot: assumed")
		w.line("")
	}
}

func (p setupPlan) modbusText(w *setupWriter) {
	p.portText(w)
	w.remark("  baud: "+p.baud, "as on the board")
	w.remark("  parity: "+p.parity, "none, even or odd")
	w.remark("  address: "+p.address, "of the board on its line")
	w.remark("  relays: "+p.relays, "how many the board has")
	w.remark("  first: "+p.first, "number of the first one on the wire")
	w.line("")
	w.line("  # Does the board open a relay by itself after a time (flash-on)? That is the dead")
	w.line("  # man's switch of every part on it. The spare relay, with nothing on it, is closed")
	w.line("  # for half a second at each start to prove it. assumed: on your word. none: it")
	w.line("  # does not, and the pump needs deadman.")
	w.line("  timer: %s", p.timer)
	if p.timer == string(modbus.TimerFlash) {
		w.line("  spare_relay: %s", p.spare)
	}
	w.line("")
	p.hotText(w)
	p.calibration(w)
	w.line(setupLimits)
	w.line("  outputs:")
	w.parts(p.outputs)
	p.forbidden(w)
	w.line("")
	w.line("  # contact is the number printed on the board; active: high if a closed contact is")
	w.line("  # the good answer, low if an open one is.")
	p.inputsText(w, "tank: {contact: 2, active: high}")
}

func (p setupPlan) lcusText(w *setupWriter) {
	p.portText(w)
	w.remark("  relays: "+p.relays, "how many the board has: 1, 2, 4 or 8")
	w.remark("  answers: "+p.readBack, "none; text or bytes if it says how its relays are")
	w.line("")
	p.hotText(w)
	p.calibration(w)
	w.line(setupLimits)
	w.line("  # The board has no timer: deadman is what cuts the pump off when this computer is")
	w.line("  # dead.")
	w.line("  outputs:")
	w.parts(p.outputs)
	p.forbidden(w)
}

func (p setupPlan) juraText(w *setupWriter) {
	p.portText(w)
	w.line("  # What the machine answers to TY:. It is asked each time that its cable was")
	w.line("  # plugged in, and another answer is refused.")
	w.line("  model: %s", yamlText(p.model))
	w.line("  # The number on its type plate. The counter proves a drink only for the machine")
	w.line("  # that made it: with another machine on this cable, change it.")
	w.line("  serial: %s", yamlText(p.serial))
	w.line("")
	w.line("  # What a size is on this machine, and how often it is made for one cup. Take a")
	w.line("  # size out of serves and it is refused here instead.")
	w.line("  products:")
	for _, s := range p.products {
		w.line("    %s: {make: %s, cycles: %s}", s.size, s.what, s.cycles)
	}
}

// shopText is the shop's file.
func (p setupPlan) shopText() string {
	w := &setupWriter{}
	s := p.shop
	w.line("# The shop without a machine: broker, controller, stock and website. Written by")
	w.line("# barista setup; go on by hand as you like. Machines run as services of their own")
	w.line("# and connect to it: what switches metal runs alone in its process.")
	w.line("#")
	w.line("#     barista check %s.yaml", setupShopName)
	w.line("#     barista run --config %s.yaml", setupShopName)
	w.line("")
	w.line("broker:")
	w.remark("  listen: "+s.broker, "this computer alone, until keys and TLS exist")
	w.remark("  orders_per_day: "+s.perDay, "sizes the streams on disk")
	w.line("")
	w.line("controller:")
	w.remark("  expire_after: 15m", "an order that waited so long ends as expired")
	w.line("")
	w.line("# Filled in once, at the very first start: g of beans, ml of milk, doses of sugar.")
	w.line("# Afterwards: barista stock add, barista stock count.")
	w.line("stock:")
	if len(s.stock) > 0 {
		w.line("  initial:")
		for _, item := range s.stock {
			w.line("    %s: %s", yamlText(item[0]), item[1])
		}
	} else {
		w.line("  # initial: {arabica: 2000, sugar: 500}")
	}
	w.line("")
	w.line("web:")
	w.line("  listen: %s", yamlText(s.web))
	return w.String()
}
