// Package jura is a Jura on its service port, as its file describes it: the table of
// keys, the products that its sizes are, the question by which detect knows one, its
// simulator and its recording.
//
// The machine owns its parts, so there are no limits of ours. The package promises
// that a size without a product, a dose that no number of brewings makes, a model that
// can only be read and a drink longer than a fleet waits are told with file and line
// before the port is opened. Nothing is rounded in silence. It must never offer a key
// that the driver's table does not know.
package jura

import (
	"errors"
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
	Products    map[string]driver.Product  // by size, and by size + "+milk"
	ProductTime time.Duration              // longest for one product
	products    map[string]*driver.Product // what the form reads
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
	Name:     "jura",
	Title:    "a Jura on its service port, ordered by its own products",
	Sample:   "jura-e6.yaml",
	New:      newSettings,
	Sight:    &sight,
	Commands: []kinds.Command{sim},
	Record:   &record,
}

// Open takes the port.
func (s *settings) Open(log *slog.Logger) (driver.Rig, error) {
	c := s.Config
	c.Log = log
	return jura.Open(c)
}

// Rest has nothing to do: the machine keeps itself.
func (s *settings) Rest() error { return nil }

// newSettings are the settings with the table of their keys.
func newSettings() (configs.Settings, *kinds.Form) {
	s := &settings{products: map[string]*driver.Product{}, group: usualGroup}
	typed := kinds.Text(&s.Serial, "text", nil)
	typed.Check = func(answer string) error {
		if len(answer) > 64 {
			return errors.New("at most 64 characters")
		}
		return nil
	}
	return s, &kinds.Form{
		Head: `A Jura on its service port, ordered by its own products.
#
# The port has 5 V levels: a Raspberry Pi needs a level shifter. Nothing that is
# known of these machines was measured by us: stand by at the first drinks.`,
		Cups: []string{"page", "attended"}, // nothing sees a cup there
		Milk: func(milk string) error {
			if milk != fleet.NoMilk {
				return errors.New("nothing is known that counts a milk drink of such a machine, and what can't be proved is not made: only free, which is black coffee")
			}
			return nil
		},
		Keys: []kinds.Key{
			relay.Port(&s.Port.Device),
			{
				Name: "model", Value: s.modelValue(), Need: "write what the machine answers to TY:, model: " + strings.Join(jura.Orderable(), " or "),
				Help: "what the machine answers to TY:",
				Above: `  # What the machine answers to TY:. It is asked each time that its cable was
  # plugged in, and another answer is refused.
`,
				Ask: "its model, as it answers TY:", More: "barista detect shows the answer. Other models are not known well enough to be\nordered from: a wrong key on the wrong model does something else.",
			},
			{
				Name: "serial", Value: typed, Need: "write the number of its type plate: the counter proves a drink only for the machine that made it",
				Help: "the number on its type plate",
				Above: `  # The number on its type plate. The counter proves a drink only for the machine
  # that made it: with another machine on this cable, change it.
`,
				Ask: "number on its type plate", More: "The machine does not tell it, and its counter proves a drink only for the machine\nthat made it.",
			},
			{Name: "group", Value: s.groupValue(), Help: "how much coffee it brews at a time, in g"},
		},
		Products: &kinds.Rows{
			Name: "products", Need: "say what a size is on this machine: products: {small: {make: espresso}, medium: {make: espresso, cycles: 2}}",
			Names: productNames(), Strict: true, Keys: s.product,
			Asked: func(sizes []string) []string {
				if s.Model == "" {
					return nil
				}
				return sizes
			},
			Above: `
  # What a size is on this machine, and how often it is made for one cup. Take a
  # size out of serves and it is refused here instead.
`,
		},
	}
}

// productNames are the drinks that a product can be named for.
func productNames() []string {
	var out []string
	for _, size := range fleet.Sizes {
		out = append(out, string(size), string(size)+"+milk")
	}
	return out
}

// modelValue takes only a model that can be ordered from.
func (s *settings) modelValue() kinds.Value {
	v := kinds.Choice(&s.Model, jura.Orderable()...)
	return v.DecodedBy(func(n *configs.Node) { s.Model = readModel(n).Type })
}

func (s *settings) groupValue() kinds.Value {
	return kinds.Value{Type: "{min_g: 3 to 20, max_g: 3 to 30}"}.DecodedBy(func(n *configs.Node) {
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
	})
}

// product are the keys of one drink.
func (s *settings) product(name string) []kinds.Key {
	if s.products[name] == nil {
		s.products[name] = &driver.Product{Cycles: 1}
	}
	p := s.products[name]
	model, known := jura.ModelOf(s.Model)
	what := kinds.Choice(&p.Key, model.Products()...)
	if !known { // of the file: said already; nobody can tell what it makes
		what = what.DecodedBy(func(n *configs.Node) {})
		what.Type = "a product of the model"
	}
	dose := fleet.DefaultMenu().Sizes[fleet.Size(name)]
	least, most, fits := usualGroup.cycles(float64(dose.Grams))
	if !fits {
		least, most = 1, 1
	}
	first := ""
	if len(model.Products()) > 0 {
		first = model.Products()[0]
	}
	return []kinds.Key{
		{
			Name: "make", Value: what, Need: "name one of its products: make: " + strings.Join(model.Products(), " or "), Suggest: first,
			Help: "one of its products", Ask: "its product for a " + name, More: "Amounts and strength are set at the machine.",
		},
		{
			Name: "cycles", Value: kinds.Whole(&p.Cycles, 1, 8), Suggest: fmt.Sprint(least), Help: "how often it makes that for one drink",
			Ask:  fmt.Sprintf("how often it makes that for the %d g of a %s", dose.Grams, name),
			More: fmt.Sprintf("It brews 7 to 10 g at a time, so %s. To refuse the size instead, leave it\nout of sizes.", fromTo(least, most)),
		},
	}
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
	s.Products = map[string]driver.Product{}
	for name, p := range s.products {
		s.Products[name] = *p
	}
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
				products.Map().Get(name).Problem(fmt.Sprintf("%s is not %s", have, times(p.Cycles)), "write cycles: "+fromTo(least, most)+", or take the size out of serves: then it is refused here")
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

func times(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprint(n)
}

func fromTo(least, most int) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d or %d", least, most)
}
