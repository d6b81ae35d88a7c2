package configs

import (
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"barista/fleet"
)

// NATS is where the servers are that the service connects to.
type NATS struct {
	Pos     Pos
	Servers []string // URLs, without a password
}

// Broker is an embedded server.
type Broker struct {
	Pos          Pos
	Listen       string // host:port of this computer, or ListenNone
	Store        string // folder; below the service's state by default
	OrdersPerDay int    // from 1; sizes the streams
}

// ListenNone as the broker's address opens no socket: only roles of the same
// process reach it.
const ListenNone = "none"

// The addresses and figures where the file says nothing.
const (
	DefaultBroker       = "127.0.0.1:4222"
	DefaultWeb          = "127.0.0.1:8080"
	DefaultOrdersPerDay = 500
	DefaultExpireAfter  = 15 * time.Minute
)

// Controller accepts or refuses orders.
type Controller struct {
	Pos         Pos
	Requests    bool          // serve coffee.web.requests; off leaves it to another program
	Intake      bool          // take what foreign programs drop on coffee.orders.<bean>
	ExpireAfter time.Duration // a waiting order ends as expired
}

// Stock keeps the ledger.
type Stock struct {
	Pos     Pos
	Initial fleet.Items // filled once, at the very first start: g of beans, ml of milk, doses of sugar
}

func decodeNATS(m *Map) *NATS {
	c := &NATS{Pos: m.Node().Pos()}
	list, _ := m.Need("servers", `write servers: ["nats://shop.local:4222"]`).List(1, 16)
	for _, n := range list {
		s, ok := n.Text()
		if !ok {
			continue
		}
		if reason, fix := badServer(s); reason != "" {
			n.Problem(reason, fix)
			continue
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

// fromEnv takes the servers of the environment.
func fromEnv(r *report, env string) *NATS {
	c := &NATS{}
	for s := range strings.SplitSeq(env, ",") {
		s = strings.TrimSpace(s)
		if reason, fix := badServer(s); reason != "" {
			r.add(Pos{}, "the environment's "+EnvNATS, reason, fix)
			continue
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

// badServer says what is wrong with the URL of a server. It never repeats the
// URL when that could hold a password.
func badServer(s string) (reason, fix string) {
	const example = "write for example nats://shop.local:4222"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "is not a URL", example
	case u.User != nil:
		return "has a user or password in it", "remove it: secrets come by file or systemd credential, never inline"
	case u.Scheme != "nats" && u.Scheme != "tls":
		return Quote(s) + " is not the URL of a NATS server", example
	case u.Hostname() == "":
		return Quote(s) + " names no computer", example
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return Quote(s) + " has something behind the address", example
	}
	if port := u.Port(); port != "" {
		if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
			return "the port " + Quote(port) + " is not possible", "give a number from 1 to 65535"
		}
	}
	return "", ""
}

func decodeBroker(m *Map, state string) *Broker {
	c := &Broker{Pos: m.Node().Pos(), Listen: DefaultBroker, OrdersPerDay: DefaultOrdersPerDay}
	if state != "" {
		c.Store = filepath.Join(state, "broker")
	}
	if s, ok := listen(m.Get("listen"), DefaultBroker, ListenNone); ok {
		c.Listen = s
	}
	if n := m.Get("store"); n != nil {
		c.Store = folder(n)
	}
	if v, ok := m.Get("orders_per_day").Int(1, 100_000); ok {
		c.OrdersPerDay = v
	}
	return c
}

func decodeController(m *Map) *Controller {
	c := &Controller{Pos: m.Node().Pos(), Requests: true, Intake: true, ExpireAfter: DefaultExpireAfter}
	if v, ok := m.Get("requests").Bool(); ok {
		c.Requests = v
	}
	if v, ok := m.Get("intake").Bool(); ok {
		c.Intake = v
	}
	// Below a minute an order would expire while its machine still heats.
	if v, ok := m.Get("expire_after").Duration(time.Minute, 24*time.Hour); ok {
		c.ExpireAfter = v
	}
	return c
}

func decodeStock(m *Map) *Stock {
	c := &Stock{Pos: m.Node().Pos(), Initial: fleet.Items{}}
	n := m.Get("initial")
	if n == nil {
		return c
	}
	for _, item := range n.Map().All() {
		if !fleet.IsToken(item.Key()) {
			item.KeyProblem("the item "+Quote(item.Key())+" can't be a name", "use 1 to 32 of a-z, 0-9 and -")
			continue
		}
		if v, ok := item.Int(0, fleet.MaxAmount); ok && v > 0 {
			c.Initial[item.Key()] = v
		}
	}
	return c
}
