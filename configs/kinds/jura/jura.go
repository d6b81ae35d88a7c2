// Package jura is a Jura on its service port, as its file describes it.
package jura

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"barista/configs"
	"barista/configs/kinds"
	"barista/configs/kinds/relay"
	"barista/driver"
	"barista/driver/jura"
	"barista/fleet"
	"barista/machine"
)

// settings are the section of a Jura.
type settings struct {
	jura.Config
	Products    map[string]driver.Product // by size, and by size + "+milk"
	ProductTime time.Duration             // longest for one product
	group       brewGroup
}

// A coffee takes about a minute. A drink of several must stay below what the
// fleet waits for any drink; the rest is for the questions around it.
const (
	slowestProduct = 2 * time.Minute
	quickestCoffee = time.Minute
	aroundDrink    = 30 * time.Second
)

// brewGroup is how much coffee the machine brews at a time, in g. 7 to 10 g is what
// household machines take; the largest brew groups take 16.
type brewGroup struct{ least, most float64 }

var usualGroup = brewGroup{7, 10}

// cycles is how often it must brew for a dose; false if it can't be honoured.
func (g brewGroup) cycles(grams float64) (least, most int, ok bool) {
	least, most = int(math.Ceil(grams/g.most)), int(grams/g.least)
	return least, most, least <= most
}

// Kind is a Jura. It has no outputs of ours: the machine owns them.
var Kind = kinds.Kind{
	Name:  "jura",
	Title: "a Jura on its service port, ordered by its own products",
	Sight: &sight,
	Kind:  configs.Kind{Decode: func(m *configs.Map) configs.Settings { return read(m) }},
}

// Open takes the port.
func (s *settings) Open(log *slog.Logger) (driver.Rig, error) {
	c := s.Config
	c.Log = log
	return jura.Open(c)
}

// Rest has nothing to do: the machine keeps itself.
func (s *settings) Rest() error { return nil }

func read(m *configs.Map) *settings {
	s := &settings{Products: map[string]driver.Product{}, group: usualGroup}
	s.Port = relay.ReadPort(m)
	model := readModel(m.Need("model", "write what the machine answers to TY:, model: "+strings.Join(jura.Orderable(), " or ")))
	s.Model = model.Type
	s.Serial, _ = m.Need("serial", "write the number of its type plate: the counter proves a drink only for the machine that made it").Text()
	if n := m.Get("group"); n != nil {
		g := n.Map()
		if v, ok := g.Need("min_g", "write group: {min_g: 7, max_g: 10}").Float(3, 20); ok {
			s.group.least = v
		}
		if v, ok := g.Need("max_g", "write group: {min_g: 7, max_g: 10}").Float(3, 30); ok {
			s.group.most = v
		}
		if s.group.least > s.group.most {
			n.Problem("min_g is more than max_g", "write the smaller one first: group: {min_g: 7, max_g: 10}")
		}
	}
	products := m.Need("products", "say what a size is on this machine: products: {small: {make: espresso}, medium: {make: espresso, cycles: 2}}")
	if products == nil {
		return s
	}
	list := products.Map()
	for _, size := range fleet.Sizes {
		for _, name := range []string{string(size), string(size) + "+milk"} {
			n := list.Get(name)
			if n == nil {
				continue
			}
			p := driver.Product{Cycles: 1}
			of := n.Map()
			if what := of.Need("make", "name one of its products: make: "+strings.Join(model.Products(), " or ")); model.Type != "" {
				p.Key, _ = what.Choice(model.Products()...)
			}
			if v, ok := of.Get("cycles").Int(1, 8); ok {
				p.Cycles = v
			}
			s.Products[name] = p
		}
	}
	return s
}

// readModel takes only a model that can be ordered from.
func readModel(n *configs.Node) jura.Model {
	name, ok := n.Text()
	if !ok {
		return jura.Model{}
	}
	model, known := jura.ModelOf(name)
	fix := "write " + strings.Join(jura.Orderable(), " or ") + ", if that is what it answers to TY:"
	switch {
	case !known || model.Type != name:
		n.Problem(configs.Quote(name)+" is no model that is known", fix)
	case model.ReadOnly != "":
		n.Problem(fmt.Sprintf("the %v can only be read: %s", model, model.ReadOnly), fix)
	default:
		return model
	}
	return jura.Model{}
}

// Complete looks at what does not go together: every size that is served needs
// a product, and a number of brewings that makes its dose. Nothing is rounded in
// silence: who wants less coffee leaves the size out, or says how often.
func (s *settings) Complete(c *configs.Machine, m *configs.Map) {
	model, _ := jura.ModelOf(s.Model)
	products := m.Get("products")
	able := model.Products()
	if len(able) == 0 { // its model could not be read
		able = []string{"…"}
	}
	doses := fleet.DefaultMenu().Sizes
	black := slices.Contains(c.Serves.Milks, fleet.NoMilk)
	white := slices.ContainsFunc(c.Serves.Milks, func(milk string) bool { return milk != fleet.NoMilk })
	var wanted []string
	for _, size := range c.Serves.Sizes {
		names := []string{}
		if black {
			names = append(names, string(size))
		}
		if white {
			names = append(names, string(size)+"+milk")
		}
		wanted = append(wanted, names...)
		grams := float64(doses[size].Grams)
		least, most, fits := s.group.cycles(grams)
		for _, name := range names {
			p, there := s.Products[name]
			have := fmt.Sprintf("%v g in brewings of %v to %v g", grams, s.group.least, s.group.most)
			switch {
			case !there && strings.HasSuffix(name, "+milk"):
				products.Problem("it serves milk, and no product is named for "+name, "name one, or leave only milk: [free] in serves; the "+model.String()+" has "+strings.Join(able, ", "))
			case !there:
				products.Problem("it serves "+name+", and no product is named for it", "write "+name+": {make: "+able[0]+"}, or take "+name+" out of sizes in serves: then it is refused here")
			case !fits:
				products.Map().Get(name).Problem(have+" can't be made by any number of them", "take the size out of serves, or write the machine's own group: {min_g: …, max_g: …}")
			case p.Cycles < least || p.Cycles > most:
				products.Map().Get(name).Problem(fmt.Sprintf("%s is not %s", have, times(p.Cycles)), "write cycles: "+FromTo(least, most)+", or take the size out of serves: then it is refused here")
			}
		}
	}
	for name := range s.Products {
		if m.Get("serves").Clean() && !slices.Contains(wanted, name) {
			products.Map().Get(name).KeyProblem("it does not serve "+name, "remove this, or add it to serves")
		}
	}
	most := 1
	for _, p := range s.Products {
		most = max(most, p.Cycles)
	}
	brewing := fleet.LongestBrew - aroundDrink
	if most > 1 {
		brewing -= machine.BetweenCycles
	}
	c.ProductTime = min(slowestProduct, brewing/time.Duration(most)).Truncate(time.Second)
	if c.ProductTime < quickestCoffee {
		products.Problem(fmt.Sprintf("%d brewings of a minute take longer than the %v that a fleet waits for a drink", most, fleet.LongestBrew), "take the largest size out of serves")
	}
	c.Products = s.Products
	if c.Cup == machine.CupSensor || c.Cup == machine.CupDispenser {
		m.Get("cup").Problem("nothing sees or drops cups in this machine", "write page (the customer says that the cup is there) or attended (a person answers for it)")
	}
	if n := m.Get("calibration"); n != nil && n.Clean() && len(n.Map().All()) > 0 {
		n.KeyProblem("the machine doses by itself", "remove this, and set the amounts at the machine")
	}
	read := m.Get("port").Clean() && m.Get("model").Clean() && m.Get("serial").Clean()
	if read && s.Model != "" && s.Serial != "" && s.Port.Device != "" {
		m.Place(s.Problems())
	}
}

// Cycles is how often a usual machine must brew for a dose; false if no number of
// brewings makes it.
func Cycles(grams float64) (least, most int, fits bool) { return usualGroup.cycles(grams) }

func times(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprint(n)
}

// FromTo writes a range of numbers.
func FromTo(least, most int) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d or %d", least, most)
}
