package homeassistant

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"barista/fleet"
)

// The keys are Home Assistant's, of a device that is discovered over MQTT; each is written
// out, as its documentation has them.

// discovery describes one device.
type discovery struct {
	Device     device               `json:"device"`
	Origin     origin               `json:"origin"`
	Components map[string]component `json:"components"`
}

type device struct {
	Identifiers  []string `json:"identifiers"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer"`
	Model        string   `json:"model,omitempty"`
	SWVersion    string   `json:"sw_version,omitempty"`
	ViaDevice    string   `json:"via_device,omitempty"`
}

type origin struct {
	Name      string `json:"name"`
	SWVersion string `json:"sw_version,omitempty"`
}

// component is one entity of a device.
type component struct {
	Platform    string   `json:"platform"` // sensor, binary_sensor, button
	UniqueID    string   `json:"unique_id"`
	Name        string   `json:"name"`
	Icon        string   `json:"icon,omitempty"`
	DeviceClass string   `json:"device_class,omitempty"`
	Category    string   `json:"entity_category,omitempty"`
	Options     []string `json:"options,omitempty"`
	Unit        string   `json:"unit_of_measurement,omitempty"`
	StateClass  string   `json:"state_class,omitempty"`

	StateTopic    string         `json:"state_topic,omitempty"`
	ValueTemplate string         `json:"value_template,omitempty"`
	Attributes    string         `json:"json_attributes_topic,omitempty"`
	ExpireAfter   int            `json:"expire_after,omitempty"` // seconds
	Availability  []availability `json:"availability,omitempty"`

	CommandTopic    string `json:"command_topic,omitempty"`
	CommandTemplate string `json:"command_template,omitempty"`
	QoS             int    `json:"qos,omitempty"`
}

type availability struct {
	Topic         string `json:"topic"`
	ValueTemplate string `json:"value_template"`
}

// devices says which devices there are: those that are new or changed, or all.
func (b *Bridge) devices(all bool) {
	b.tell(fleet.HomeDiscoverySubject(theShop), b.shop(), all)
	for _, m := range b.p.Machines() {
		if !fleet.IsMachine(m.Machine) {
			continue
		}
		subject := fleet.HomeDiscoverySubject(m.Machine)
		if was := b.said[subject]; was != nil && !m.Here { // of which less is known now
			b.tell(subject, json.RawMessage(was), all)
		} else {
			b.tell(subject, b.machine(m), all)
		}
	}
}

// value is the template for a field of a state.
func value(field string) string { return "{{ value_json." + field + " }}" }

// sees makes the entities of one device.
type sees struct {
	device string
	topic  string
	all    map[string]component
}

func seeing(device string) sees {
	return sees{device, fleet.Topic(fleet.HomeStateSubject(device)), map[string]component{}}
}

// add adds an entity that shows a field of the device's state. It is unavailable while
// the device is not here, but for one that says so itself.
func (s sees) add(field string, always bool, c component) {
	c.UniqueID, c.StateTopic, c.ExpireAfter = unique(s.device, field), s.topic, int(Expires.Seconds())
	c.ValueTemplate = cmp.Or(c.ValueTemplate, value(field))
	if !always {
		c.Availability = []availability{{s.topic, value("here")}}
	}
	s.all[field] = c
}

// unique names an entity for as long as its device is called so. No name has a _ in it.
func unique(device, field string) string { return "barista_" + device + "_" + field }

func (b *Bridge) machine(m *fleet.Machine) discovery {
	s := seeing(m.Machine)
	states := make([]string, len(knownStates))
	for i, one := range knownStates {
		states[i] = string(one)
	}
	s.add("state", true, component{Platform: "sensor", Name: "State", Icon: "mdi:coffee-maker", DeviceClass: "enum", Options: states, Attributes: s.topic})
	s.add("problem", false, component{Platform: "binary_sensor", Name: "Problem", DeviceClass: "problem"})
	for _, what := range []string{"beans", "water", "tray"} {
		s.add(what, false, component{Platform: "binary_sensor", Name: capital(what), DeviceClass: "problem"})
	}
	s.add("percent", false, component{Platform: "sensor", Name: "Drink in hand", Unit: "%"})
	s.add("drinks", false, component{Platform: "sensor", Name: "Drinks", StateClass: "total_increasing", Category: "diagnostic"})
	return discovery{
		Device: device{
			Identifiers: []string{unique("machine", m.Machine)}, Name: capital(m.Machine), Manufacturer: "barista", Model: short(m.Driver), SWVersion: short(m.Version),
			ViaDevice: unique(theShop, "device"),
		},
		Origin: b.origin(), Components: s.all,
	}
}

func (b *Bridge) origin() origin { return origin{Name: "barista", SWVersion: short(b.cfg.Version)} }

func (b *Bridge) shop() discovery {
	s := seeing(theShop)
	for _, item := range b.p.Menu().Items() {
		s.add("stock_"+item, false, component{
			Platform: "sensor", Name: capital(item), Unit: fleet.Unit(item), StateClass: "measurement", Icon: "mdi:sack", ValueTemplate: "{{ value_json.stock['" + item + "'] }}", // a token
		})
	}
	if b.cfg.Orders {
		s.add("last", false, component{Platform: "sensor", Name: "Last order", Icon: "mdi:receipt-text", Attributes: s.topic})
		for _, o := range b.drinks() {
			subject := fleet.HomeOrderSubject(o)
			key := strings.ReplaceAll(strings.TrimPrefix(subject, ordersPrefix), ".", "_")
			s.all["order_"+key] = component{
				Platform: "button", UniqueID: unique(theShop, "order_"+key), Name: called(o), Icon: "mdi:coffee", Availability: []availability{{s.topic, value("here")}},
				CommandTopic: fleet.Topic(subject), CommandTemplate: Moment, QoS: 1,
			}
		}
	}
	return discovery{
		Device: device{Identifiers: []string{unique(theShop, "device")}, Name: "Coffee shop", Manufacturer: "barista", SWVersion: short(b.cfg.Version)},
		Origin: b.origin(), Components: s.all,
	}
}

var ordersPrefix = strings.TrimSuffix(fleet.HomeOrders, "*.*.*.*")

// mostButtons bounds what comes of a menu.
const mostButtons = 48

// drinks are those that have a button: the file's, as far as they are on the menu now.
func (b *Bridge) drinks() (out []fleet.Order) {
	m := b.p.Menu()
	if len(b.cfg.Drinks) == 0 {
		size := fleet.Medium
		if _, sold := m.Sizes[size]; !sold {
			i := slices.IndexFunc(fleet.Sizes, func(s fleet.Size) bool { _, sold := m.Sizes[s]; return sold })
			if i < 0 {
				return nil
			}
			size = fleet.Sizes[i]
		}
		for _, c := range m.Classes() {
			out = append(out, fleet.Order{Size: size, Bean: c.Bean, Milk: c.Milk})
		}
		return out[:min(len(out), mostButtons)]
	}
	for _, o := range b.cfg.Drinks {
		if _, sold := m.Sizes[o.Size]; sold && slices.Contains(m.Classes(), o.Class()) {
			out = append(out, o)
		}
	}
	return out
}

// called is a drink's button.
func called(o fleet.Order) string {
	s := capital(string(o.Size)) + " " + o.Bean
	if o.Milk != fleet.NoMilk {
		s += ", milk " + o.Milk
	}
	if o.Sugar > 0 {
		s += fmt.Sprintf(", sugar %d", o.Sugar)
	}
	return s
}

// capital writes a token with a large first letter.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
