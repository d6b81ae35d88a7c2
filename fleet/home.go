package fleet

import (
	"strconv"
	"strings"
)

// What passes between a shop and Home Assistant, which speaks MQTT.
const (
	// HomeDiscovery is where it hears which devices there are: the shop, and each machine.
	HomeDiscovery = "homeassistant.device.barista.*.config"
	// HomeBirth is where it says that it has started, and has heard nothing yet.
	HomeBirth = "homeassistant.status"
	// HomeStates is where it hears how they are.
	HomeStates = "coffee.home.state.*"
	// HomeOrders is where its buttons order: size, bean, milk, doses of sugar.
	HomeOrders = "coffee.home.order.*.*.*.*"

	// HomeStore is how many bytes the sessions of its connections may take of a store.
	HomeStore = 8 << 20
)

// HomeDiscoverySubject and HomeStateSubject are those of a device: a machine, or the
// shop, whose name no machine has.
func HomeDiscoverySubject(device string) string {
	return Subject("homeassistant", "device", "barista", device, "config")
}
func HomeStateSubject(device string) string { return Subject("coffee", "home", "state", device) }

// HomeOrderSubject is where a drink's button orders it.
func HomeOrderSubject(o Order) string {
	return Subject("coffee", "home", "order", string(o.Size), o.Bean, o.Milk, strconv.Itoa(o.Sugar))
}

// Topic is a subject as MQTT calls it. In ours no token has a slash or a dot, so there is
// one way there and back.
func Topic(subject string) string { return strings.ReplaceAll(subject, ".", "/") }
