package setup

import (
	"fmt"
	"slices"
	"strings"

	"barista/configs/kinds"
	"barista/driver"
)

// writer writes a file line by line.
type writer struct{ strings.Builder }

func (w *writer) line(format string, a ...any) { fmt.Fprintf(w, format+"\n", a...) }

// remark writes a line with a remark behind it, at a column of its own.
func (w *writer) remark(line, remark string) { w.line("%-27s # %s", line, remark) }

func list(texts []string) string {
	var out []string
	for _, s := range texts {
		out = append(out, kinds.YAML(s))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// machineText is the machine's file, commented like the samples, so that a person
// can go on by hand.
func (p plan) machineText() string {
	w := &writer{}
	head, more, _ := strings.Cut(p.form.Head, "\n")
	w.line("# %s", head)
	w.line("# Written by barista setup; go on by hand as you like. The sample")
	w.line("# configs/%s explains every key.", p.kind.Sample)
	w.line("#")
	w.line("#     barista check %s.yaml", p.name)
	w.line("#     barista run --config %s.yaml", p.name)
	if p.real() {
		w.line("#")
		w.line("# Before the first drink on real metal: a thermal fuse and a pressure valve at")
		w.line("# every boiler, an emergency stop that cuts the mains, and mains wiring by")
		w.line("# somebody who may do it. This program can't replace any of them.")
	}
	if more != "" {
		w.line("%s", more)
	}
	w.line("")
	w.line("# Where the shop is. The environment's NATS_URL goes before this.")
	w.line("nats:")
	w.line("  servers: [%s]", kinds.YAML(p.nats))
	if p.nkey != "" {
		if p.more != "" {
			w.line("  # %s", p.more)
		}
		w.line("  key: %s", kinds.YAML(p.nkey))
		w.line("  ca: %s", kinds.YAML(p.ca))
	}
	w.line("")
	w.line("# Its journal lives in /var/lib/barista/%s: never copy that to another machine.", p.name)
	w.line("machine:")
	w.remark("  name: "+kinds.YAML(p.name), "unique in the fleet: a-z, 0-9 and -")
	w.line("  driver: %s", p.kind.Name)
	w.line("  serves:")
	w.line("    beans: %s", list(p.beans))
	w.remark("    milk: "+list(p.milks), "free is black coffee")
	w.line("    sizes: %s", list(p.sizes))
	w.line("  # How it knows that a cup stands there: sensor, dispenser, page (the customer")
	w.line("  # says so) or attended (a person stands by and answers for it).")
	w.line("  cup: %s", p.cup)
	w.line("")
	p.keysText(w)
	p.rowsText(w)
	return w.String()
}

// real reports a machine of which this program owns the metal.
func (p plan) real() bool { return len(p.kind.Parts) > 0 && !p.kind.Simulated }

// keysText writes the keys of the section itself.
func (p plan) keysText(w *writer) {
	blank := false // a paragraph of its own ends
	for _, k := range p.form.Keys {
		s := written(k)
		if s == "" {
			continue
		}
		if blank || k.Last {
			w.line("")
		}
		w.WriteString(k.Above)
		if (k.Above == "" || k.Tells) && k.Help != "" && !blank {
			w.remark("  "+k.Name+": "+s, k.Help)
		} else {
			w.line("  %s: %s", k.Name, s)
		}
		blank = k.Last
	}
	if p.form.Products == nil {
		w.line("")
	}
	if p.real() {
		w.line("  # What a person measures: barista calibrate grinder, pump, milk. These are only")
		w.line("  # a beginning.")
		w.line("  calibration:")
		w.remark("    grinder_gps: 1.2", "g of coffee per second")
		w.remark("    pump_mlps: 6", "ml of water per second")
		w.remark("    milk_mlps: 5", "ml of milk per second")
		w.remark("    sugar_dose_ps: 1", "doses per second")
		w.line("")
	}
}

// rowsText writes outputs, inputs and products.
func (p plan) rowsText(w *writer) {
	has := func(part driver.Part) bool {
		return slices.ContainsFunc(p.outputs, func(o row) bool { return o.name == string(part) })
	}
	for _, x := range []struct {
		of   *kinds.Rows
		rows []row
	}{{p.form.Outputs, p.outputs}, {p.form.Inputs, p.inputs}, {p.form.Products, p.products}} {
		if x.of == nil {
			continue
		}
		if x.of == p.form.Inputs {
			w.line("")
		}
		w.WriteString(x.of.Above)
		if len(x.rows) == 0 {
			w.line("  # %s:", x.of.Name)
			w.line("  #   %s", x.of.Example)
			continue
		}
		w.line("  %s:", x.of.Name)
		for _, r := range x.rows {
			w.line("%s", r.text())
		}
		if x.of == p.form.Outputs && has(driver.Grinder) && has(driver.Milk) {
			w.line("  forbidden: [[grinder, milk]] # never on together")
		}
	}
}

// shopText is the shop's file.
func (p plan) shopText() string {
	w := &writer{}
	s := p.shop
	w.line("# The shop without a machine: broker, controller, stock and website. Written by")
	w.line("# barista setup; go on by hand as you like. Machines run as services of their own")
	w.line("# and connect to it: what switches metal runs alone in its process.")
	w.line("#")
	w.line("#     barista check %s.yaml", shopName)
	w.line("#     barista run --config %s.yaml", shopName)
	w.line("")
	w.line("broker:")
	w.remark("  listen: "+s.broker, "this computer alone; 0.0.0.0:4222 for others too, over TLS")
	w.remark("  machines: ["+kinds.YAML(p.name)+"]", "of this computer: the shop makes their keys. Others: barista machine invite")
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
			w.line("    %s: %s", kinds.YAML(item[0]), item[1])
		}
	} else {
		w.line("  # initial: {arabica: 2000, sugar: 500}")
	}
	w.line("")
	w.line("web:")
	w.line("  listen: %s", kinds.YAML(s.web))
	return w.String()
}
