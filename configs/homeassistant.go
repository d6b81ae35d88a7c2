package configs

import (
	"errors"

	"barista/fleet"
)

// HomeAssistant has machines seen by a Home Assistant, and drinks ordered from it.
type HomeAssistant struct {
	Pos Pos
	// Orders: it has a button for each of Drinks.
	Orders bool
	// Attended: somebody stands by whenever a button is pressed, so that machines which
	// wait for no cup (cup: attended) may begin by it.
	Attended bool
	Name     string        // on the orders
	Drinks   []fleet.Order // size, bean, milk and sugar; none: one of each class on the menu
}

// DefaultMQTT is MQTT's usual port, for this computer only.
const DefaultMQTT = "127.0.0.1:1883"

// mostButtons bounds what a device of Home Assistant shows.
const mostButtons = 48

// decodeMQTT reads where a broker speaks MQTT; empty: nowhere. It is as open as the
// broker's own address may be.
func decodeMQTT(n *Node, c *Broker) string {
	if n == nil {
		return ""
	}
	at := n.Map().Get("listen")
	if at == nil {
		return DefaultMQTT
	}
	s, alone, ok := address(at, DefaultMQTT)
	switch {
	case !ok:
		return ""
	case !alone && c.NoKeys:
		at.Problem(Quote(s)+" would be open to the network, and without keys whoever reaches it may do everything", "remove keys: none, or write for example "+DefaultMQTT)
	case s == c.Listen:
		at.Problem("NATS and MQTT are spoken at the same address "+Quote(s), "give them different ports: "+DefaultMQTT)
	}
	return s
}

func decodeHomeAssistant(m *Map, f *File) *HomeAssistant {
	c := &HomeAssistant{Pos: m.Node().Pos(), Name: "Home Assistant"}
	orders, attended, drinks, name := m.Get("orders"), m.Get("attended"), m.Get("drinks"), m.Get("name")
	c.Orders, _ = orders.Bool()
	c.Attended, _ = attended.Bool()
	if s, ok := name.Text(); ok {
		o, err := fleet.DecodeOrder(fleet.Order{Name: s, Size: fleet.Small, Bean: "any", Milk: fleet.NoMilk}.Encode(), nil)
		if err != nil {
			reason := err.Error()
			if fe := new(fleet.FieldError); errors.As(err, &fe) {
				reason = fe.Reason
			}
			name.Problem("can't be the name on an order: it "+reason, "write for example name: Kitchen")
		} else {
			c.Name = o.Name
		}
	}
	for _, n := range []*Node{attended, drinks, name} {
		if n != nil && !c.Orders && orders.Clean() {
			n.KeyProblem("is for orders, and Home Assistant may place none here", "write orders: true, or remove "+n.Key()+":")
		}
	}
	if drinks != nil {
		list, _ := drinks.List(1, mostButtons)
		seen := map[fleet.Order]bool{}
		for _, one := range list {
			o, ok := decodeDrink(one.Map())
			if ok && seen[o] {
				one.Problem("the same drink twice", "remove one: each has one button")
			} else if ok {
				c.Drinks = append(c.Drinks, o)
			}
			seen[o] = true
		}
	}
	switch here := m.Node(); {
	case f.Controller == nil:
		here.KeyProblem("orders are decided on where the controller is, and this file has none", "move homeassistant: into the file with controller:")
	case f.Broker != nil && f.Broker.MQTT == "":
		here.KeyProblem("Home Assistant speaks MQTT, and the broker of this file does not", "add mqtt: {listen: "+DefaultMQTT+"} to broker:")
	}
	return c
}

func decodeDrink(m *Map) (o fleet.Order, ok bool) {
	const fix = "write for example {size: medium, bean: arabica, milk: free, sugar: 1}"
	size, sized := m.Need("size", fix).Choice(string(fleet.Small), string(fleet.Medium), string(fleet.Large))
	bean, beans := m.Need("bean", fix).Token()
	o = fleet.Order{Size: fleet.Size(size), Bean: bean, Milk: fleet.NoMilk}
	ok = sized && beans
	if n := m.Get("milk"); n != nil {
		milk, is := n.Token()
		o.Milk, ok = fleet.MilkOf(milk), ok && is
	}
	if n := m.Get("sugar"); n != nil {
		var is bool
		o.Sugar, is = n.Int(0, fleet.MaxSugar)
		ok = ok && is
	}
	return o, ok
}
