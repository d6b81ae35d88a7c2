package roles

import (
	"slices"
	"strings"

	"barista/fleet"
)

// offer is a subject that one account offers to others, and who may use it: one row of
// the table. <id> in it is a machine, <maker> the durable of a class.
type offer struct {
	by      Kind // Machine, Hub: each machine, each site's account offers it of itself; HomeAssistant: its account; else SHOP
	subject string
	to      []Kind
	as      string // where the others see what begins with $JS.API, <name> a site; else the same
	stream  bool   // messages to hear; else requests
	many    bool   // a request may have many answers
	// within is for how long the broker keeps the way open for an answer. It is longer
	// than any answer takes: a later one is lost.
	within string
	what   string // for the page
}

// The times of answers.
const (
	soon   = "10s" // a role answers within 3 s
	parked = "2m"  // a pull is parked for 30 s, and a window waits as long
	census = "5s"  // whoever is there
)

// monitorAPI is where a monitor finds what it may ask JetStream: in its own account
// $JS.API is taken by the server, which answers that there is no JetStream.
const monitorAPI = "shop.js"

// siteAPI is where a hub's JetStream is asked for what it has of a site. A site's link
// ends in an account of its own, with the copies of its events and nothing else: over a
// link the server asks no rights of an ack (2.15.2), and what comes to a stream as flow
// control is answered in the stream's account, wherever it says. In SHOP a site's key
// would be worth the admin's, and in one account for all sites it could remove the
// copies of the others.
const siteAPI = fleet.SiteAPI + ".<name>"

var offers = slices.Concat(basic, home, windows(), figures)

var basic = []offer{
	{subject: "coffee.desk.<id>.*", to: []Kind{Machine}, within: soon, what: "asks the desk"},
	{subject: "$JS.API.CONSUMER.MSG.NEXT." + fleet.StreamOrders + ".<maker>", to: []Kind{Machine}, within: parked, what: "pulls an order of a class that it serves"},
	{subject: "$JS.ACK." + fleet.StreamOrders + ".<maker>.>", to: []Kind{Machine}, within: soon, what: "settles it"},

	{by: Machine, subject: "coffee.machines.<id>.*", to: []Kind{Controller}, within: soon, what: "commands and questions to a machine"},
	{by: Machine, subject: "coffee.machines.<id>.cmd", to: []Kind{Operator}, within: soon, what: "commands to a machine: stop, clear-fault, try, cared, curves"},
	{by: Machine, subject: "coffee.machines.<id>.cup", to: []Kind{Web, Operator}, within: soon, what: "“my cup is there”, and no other command"},
	{by: Machine, subject: "coffee.machines.<id>.enough", to: []Kind{Web, Operator}, within: soon, what: "“stop my drink”, for the order in hand and no other"},
	{by: Machine, subject: "coffee.live.<id>.*.*", to: []Kind{Controller, Web, Operator}, stream: true, what: "what passes at an order in hand"},
	{by: Machine, subject: "$SRV.>", to: []Kind{Operator, Monitor}, many: true, within: census, what: "which services run, and how"},
	{by: Hub, subject: "$JS.API.>", as: siteAPI, to: []Kind{Admin}, many: true, within: parked, what: "at a hub: what it has of a site"},

	{subject: fleet.SubjectRequests, to: []Kind{Web, Operator, Foreign}, within: soon, what: "places an order"},
	{subject: "coffee.controller.place", to: []Kind{Web, Operator}, within: soon, what: "places an order, and says by which way"},
	{subject: "coffee.controller.cancel", to: []Kind{Web, Operator}, within: soon, what: "cancels an order"},
	{subject: "coffee.controller.wait", to: []Kind{Web, Operator}, within: soon, what: "how long an order would wait"},
	{subject: "coffee.controller.forecasts", to: []Kind{Web, Operator}, within: soon, what: "which way each open order will go"},
	{subject: "coffee.controller.menu", to: []Kind{Web, Operator, Monitor}, within: soon, what: "the menu"},
	{subject: "coffee.controller.troubles", to: []Kind{Web, Operator, Monitor}, within: soon, what: "what a person should look at"},
	{subject: "coffee.controller.stands", to: []Kind{Web, Operator, Monitor}, within: soon, what: "whether the book is whole"},
	{subject: "coffee.controller.settle", to: []Kind{Operator}, within: soon, what: "says what became of a drink"},
	{subject: "coffee.controller.said", to: []Kind{Web}, within: soon, what: "a customer's word on a drink in doubt: he has it, or his cup is empty"},
	{subject: "coffee.controller.again", to: []Kind{Operator}, within: soon, what: "has an order made again"},
	{subject: "coffee.controller.care", to: []Kind{Operator}, within: soon, what: "has a machine cared for"},
	{subject: "coffee.controller.loss", to: []Kind{Operator}, within: soon, what: "accepts what is lost"},
	{subject: "coffee.controller.goon", to: []Kind{Operator}, within: soon, what: "goes on without a machine"},
	{subject: "coffee.doctor.*", to: []Kind{Operator}, within: parked, what: "findings and repairs"},
	{subject: "coffee.door.*", to: []Kind{Operator}, within: soon, what: "who belongs to the shop: invites, lets in, revokes"},
	{subject: "coffee.door.knock.<id>", to: []Kind{Guest}, within: soon, what: "asks to be let in, with the key that it has made"},

	{subject: "coffee.stock.levels", to: []Kind{Web, Operator, Monitor}, within: soon, what: "what is on the shelf"},
	{subject: "coffee.stock.add", to: []Kind{Operator}, within: soon, what: "refills"},
	{subject: "coffee.stock.count", to: []Kind{Operator}, within: soon, what: "counts"},
	{subject: "coffee.stock.waste", to: []Kind{Operator}, within: soon, what: "throws away"},
	{subject: "coffee.stock.*.get", to: []Kind{Operator, Monitor, Foreign}, within: soon, what: "how much of an item is left"},
	{subject: "coffee.orders.*", to: []Kind{Foreign}, within: soon, what: "drops an order in, as the article does"},
	{subject: "$SRV.>", to: []Kind{Operator, Monitor}, many: true, within: census, what: "which services run, and how"},

	{subject: "$JS.API.CONSUMER.MSG.NEXT." + fleet.StreamEvents + "." + fleet.ArchiveDurable, to: []Kind{Archive}, many: true, within: parked, what: "pulls events from the one queue of them that the shop has made for it"},
	{subject: "$JS.ACK." + fleet.StreamEvents + "." + fleet.ArchiveDurable + ".>", to: []Kind{Archive}, within: soon, what: "says that they are kept"},
}

// home is what passes between a shop and Home Assistant: messages only, because MQTT as
// it speaks it knows no requests, so that no answer can go astray.
var home = []offer{
	{subject: fleet.HomeDiscovery, to: []Kind{HomeAssistant}, stream: true, what: "which machines there are, as Home Assistant discovers them"},
	{subject: fleet.HomeStates, to: []Kind{HomeAssistant}, stream: true, what: "how the shop and each machine is"},
	{by: HomeAssistant, subject: fleet.HomeBirth, to: []Kind{Controller}, stream: true, what: "Home Assistant has started, or ended"},
	{by: HomeAssistant, subject: fleet.HomeOrders, to: []Kind{Controller}, stream: true, what: "a drink's button was pressed"},
}

// windows are what a controller shows to keys that see no stream.
func windows() (out []offer) {
	pages := fleet.WindowSubjects(false)
	for _, s := range fleet.WindowSubjects(true) {
		o := offer{subject: s, to: []Kind{Operator}, within: parked, what: "reads what operators may; put and delete change settings"}
		if slices.Contains(pages, s) {
			o.to, o.what = []Kind{Web, Operator}, "reads the shop"
		}
		out = append(out, o)
	}
	return out
}

var figures = []offer{
	{subject: "$JS.API.INFO", as: monitorAPI, to: []Kind{Monitor}, within: soon, what: "figures of the store"},
	{subject: "$JS.API.STREAM.NAMES", as: monitorAPI, to: []Kind{Monitor}, within: soon, what: "figures of the streams"},
	{subject: "$JS.API.STREAM.LIST", as: monitorAPI, to: []Kind{Monitor}, within: soon, what: "figures of the streams"},
	{subject: "$JS.API.STREAM.INFO.*", as: monitorAPI, to: []Kind{Monitor}, within: soon, what: "figures of the streams"},
	{subject: "$JS.API.CONSUMER.NAMES.*", as: monitorAPI, to: []Kind{Monitor}, within: soon, what: "figures of the queues"},
	{subject: "$JS.API.CONSUMER.LIST.*", as: monitorAPI, to: []Kind{Monitor}, within: soon, what: "figures of the queues"},
	{subject: "$JS.API.CONSUMER.INFO.*.*", as: monitorAPI, to: []Kind{Monitor}, within: soon, what: "figures of the queues"},
}

// permission is what a kind may do in its own account, beside what others offer it.
type permission struct {
	publish, subscribe []string // <name> is the member's
	responses          bool
}

// In SHOP the lists say what for; they keep nobody out who can ask JetStream.
var permissions = map[Kind]permission{
	Machine: {
		publish:   []string{"coffee.live.<name>.*.*"},
		subscribe: []string{"coffee.machines.<name>.*", "$SRV.>"},
		responses: true,
	},
	Controller: {
		// A reload, in which somebody is let in, forgets which requests may still be
		// answered: below _R_ are those of other accounts.
		publish: []string{"$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "coffee.>", fleet.HomeDiscovery, fleet.SubjectServers, "_R_.>"},
		subscribe: []string{
			"coffee.desk.*.*", fleet.SubjectRequests, "coffee.controller.*", "coffee.doctor.*", "coffee.door.>", "coffee.window.>", "coffee.stock.>", "$SRV.>",
		},
		responses: true,
	},
	Stock: {
		publish:   []string{"$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.coffee-stock.>", "coffee.book.>", "coffee.controller.*"},
		subscribe: []string{"coffee.stock.>", "coffee.controller.*", "$SRV.>"},
		responses: true,
	},
	// What its website does, and its controller where ours leaves the requests to it. The
	// website makes its bucket by itself, so it must be where JetStream is.
	Article: {
		publish: []string{
			"$JS.API.INFO", "$JS.API.STREAM.CREATE.KV_" + fleet.BucketValues, "$JS.API.DIRECT.GET.KV_" + fleet.BucketValues + ".$KV." + fleet.BucketValues + "." + fleet.KeyPending,
			fleet.SubjectRequests, "coffee.stock.*.get", "coffee.orders.*",
		},
		subscribe: []string{fleet.SubjectRequests},
		responses: true,
	},
	Web:      {},
	Operator: {},
	Monitor:  {},
	Archive:  {},
	Foreign:  {},
	Guest:    {},
	// It subscribes to every device's description, of whomever: in its account there is
	// nobody else's. What the server sends to a subscriber of QoS 1 comes below $MQTT.sub.
	HomeAssistant: {
		publish:   []string{fleet.HomeBirth, fleet.HomeOrders},
		subscribe: []string{"homeassistant.>", "$MQTT.sub.>"},
	},
	Admin: {publish: []string{">"}, subscribe: []string{">"}},
	// The hub reads the site's events through JetStream of the site; it makes that
	// consumer, and the site sends.
	Hub: {
		publish: []string{"sync.<name>.>", "$JSC.R.>"},
		subscribe: []string{
			"$JS.<name>.API.CONSUMER.CREATE." + fleet.StreamEvents + ".>", "$JS.<name>.API.CONSUMER.DELETE." + fleet.StreamEvents + ".>",
			"$JS.FC.>", "$JS.ACK." + fleet.StreamEvents + ".>",
		},
	},
}

// limits are of the account of a kind. SHOP has none but the server's: a balance of the
// book is up to 1 MiB.
var limits = map[Kind]Limits{
	// One connection at work, one of a twin that is to be told so, and two of which a cut
	// wire has not told the broker yet. An ask is at most fleet.MaxAsk.
	Machine:  {Connections: 4, Subscriptions: 60, Payload: 16 << 10},
	Web:      {Connections: 100, Subscriptions: 1000, Payload: 16 << 10},
	Operator: {Connections: 200, Subscriptions: 4000, Payload: 64 << 10},
	Monitor:  {Connections: 20, Subscriptions: 200, Payload: 8 << 10},
	Archive:  {Connections: 4, Subscriptions: 20, Payload: 4 << 10},
	Foreign:  {Connections: 50, Subscriptions: 500, Payload: 8 << 10},
	Guest:    {Connections: 20, Subscriptions: 100, Payload: 4 << 10},
	// Home Assistant subscribes to each topic once or twice; a device with all its buttons
	// is described in one message. Its sessions are kept in streams of its account.
	HomeAssistant: {Connections: 10, Subscriptions: 5000, Payload: 64 << 10, Store: fleet.HomeStore, Memory: 1 << 20, Streams: 8, Consumers: 256},
}

// seen are the subjects under which a member of one of o.to sees an offer: one for all
// machines where machines offer it.
func (o offer) seen(m Member) []string {
	id := m.Name
	if o.by == Machine {
		id = "*"
	}
	return o.named(id, m.pulls(), func(s string) string { return o.local(s, "*") })
}

// named are the offer's subjects for a machine's id and classes; each is passed
// through last.
func (o offer) named(id string, classes []fleet.Class, last func(string) string) (out []string) {
	s := strings.ReplaceAll(o.subject, "<id>", id)
	if !strings.Contains(s, "<maker>") {
		return []string{last(s)}
	}
	for _, c := range classes {
		if one := last(strings.ReplaceAll(s, "<maker>", fleet.MakerDurable(c))); !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// local is how a subject is called in the account that imports it, of a site.
func (o offer) local(subject, site string) string {
	if o.as == "" {
		return subject
	}
	return strings.ReplaceAll(o.as, "<name>", site) + strings.TrimPrefix(subject, "$JS.API")
}
