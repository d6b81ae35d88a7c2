package web

import (
	"slices"
	"strings"

	"barista/fleet"
)

// gauge is a line of a machine's tile: what it sees of something that a person fills or
// empties. Nothing sees milk.
type gauge struct {
	Name string
	Mark string // "there", "out"; "silent": its sensor does not say; "none": no sensor tells
	Word string // that, in the page's language
	// Stock is what the shop has of it, of what this machine makes; empty: nobody says.
	// How much of that is in the machine, nobody knows.
	Stock string
}

// seen are the things that a machine may see, by the words of fleet.Presence.Lacks.
func seen(m fleet.Machine) map[string]fleet.Gauge {
	return map[string]fleet.Gauge{"beans": m.Gauges.Beans, "water": m.Gauges.Water, "tray": m.Gauges.Tray}
}

// gauges are those of one machine that is here.
func (p *pages) gauges(m fleet.Machine, o *offer) []gauge {
	var beans, milks []string
	for _, c := range m.Classes {
		if !slices.Contains(beans, c.Bean) {
			beans = append(beans, c.Bean)
		}
		if item := fleet.MilkItem(c.Milk); c.Milk != fleet.NoMilk && !slices.Contains(milks, item) {
			milks = append(milks, item)
		}
	}
	all := seen(m)
	one := func(what string, items []string) gauge {
		g := gauge{Name: p.say("gauge." + what), Mark: "none", Stock: p.has(o, items)}
		switch said := all[what]; {
		case said == fleet.GaugeOut, slices.Contains(m.Lacks, what): // an older program's says no more
			g.Mark = "out"
		case said == fleet.GaugeThere, said == fleet.GaugeSilent:
			g.Mark = string(said)
		}
		if g.Word = p.say("gauge." + g.Mark); g.Mark == "there" || g.Mark == "out" {
			g.Word = p.say("gauge." + what + "." + g.Mark)
		}
		return g
	}
	out := []gauge{one("beans", beans), one("water", nil), one("tray", nil)}
	if len(milks) > 0 {
		out = append(out, one("milk", milks))
	}
	return out
}

// has says what the shop's stock has of some items; empty where it does not say.
func (p *pages) has(o *offer, items []string) string {
	var list []string
	for _, id := range items {
		if l, known := o.levels[id]; known {
			list = append(list, p.say("gauge.stock.one", strings.ReplaceAll(p.amount(max(l.OnHand, 0), fleet.Unit(id)), " ", "\u00a0"), p.item(o.menu, id)))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return p.say("gauge.stock", strings.Join(list, ", "))
}

// others are what a machine reports of which there is no gauge.
func others(m fleet.Machine) []string {
	all := seen(m)
	return slices.DeleteFunc(slices.Clone(m.Lacks), func(what string) bool { _, is := all[what]; return is })
}
