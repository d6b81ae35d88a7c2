package configs

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"barista/fleet"
)

// NATS is where the servers are that the service connects to, and how it proves to
// them who it is. The paths are not opened here.
type NATS struct {
	Pos          Pos
	Servers      []string // URLs, without a password
	Key          string   // file of an nkey, or Credential; empty: none
	Creds        string   // file that the people of a foreign cluster gave, or Credential; empty: none
	CA           string   // file of the authorities that are believed; empty: those of the system
	Cert         string   // file of the service's own certificate; empty: none
	CertKey      string   // and its key
	Domain       string   // of JetStream; empty: that of the server which answers
	Inbox        string   // prefix of its inboxes, where others wrote the permissions; empty: that of its role
	Replicas     int      // of each stream, 1 to 5; 0: as many as there are servers, at most 3
	OrdersPerDay int      // from 1; sizes the streams
}

// Broker is an embedded server.
type Broker struct {
	Pos          Pos
	Listen       string // host:port of this computer, or ListenNone
	Store        string // folder; below the service's state by default
	OrdersPerDay int    // from 1; sizes the streams
	NoKeys       bool   // whoever reaches it may do everything
	// Machines are those of this computer, whose services are given their keys by the
	// shop; others come with an invitation.
	Machines []string
	// Article is the public key of the public article's programs, U and 55 characters:
	// trusted like the shop's own. Empty: none is let in.
	Article string
	Domain  string // of its JetStream: a site's name, or a hub's; empty: neither
	Leaf    *Leaf  // of a site to its hub; nil: none
	Sites   string // host:port for the sites of a hub; empty: it is none
	MQTT    string // host:port where it speaks MQTT as well; empty: nowhere
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
	// CustomersSettle is the web section's, for a website that another process runs.
	CustomersSettle bool
}

// Stock keeps the ledger.
type Stock struct {
	Pos     Pos
	Initial fleet.Items // filled once, at the very first start: g of beans, ml of milk, doses of sugar
}

func decodeNATS(m *Map) *NATS {
	c := &NATS{Pos: m.Node().Pos(), OrdersPerDay: DefaultOrdersPerDay}
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
	key, creds, ca, inbox := m.Get("key"), m.Get("creds"), m.Get("ca"), m.Get("inbox")
	c.Key, c.Creds, c.CA = secretFile(key), secretFile(creds), secretFile(ca)
	if key != nil && creds != nil {
		creds.KeyProblem("a key and credentials at once", "creds: is for a cluster that others run; remove it, or key:")
	}
	if c.CA == Credential {
		ca.Problem("a CA's certificate is no secret", "name its file: ca: /etc/barista/shop-ca.pem")
	}
	c.certificate(m.Get("cert"))
	if s, ok := m.Get("domain").Text(); ok && !domain.MatchString(s) {
		m.Get("domain").Problem(Quote(s)+" can't be a domain of JetStream", "use 1 to 32 of letters, digits, - and _")
	} else if ok {
		c.Domain = s
	}
	if s, ok := inbox.Text(); ok && !inboxes.MatchString(s) {
		inbox.Problem(Quote(s)+" can't be the prefix of an inbox", "write the subject of its permission without the .> at its end, for example _INBOX_zoe")
	} else if ok {
		c.Inbox = s
	}
	if v, ok := m.Get("replicas").Int(1, 5); ok {
		c.Replicas = v
	}
	if v, ok := m.Get("orders_per_day").Int(1, 100_000); ok {
		c.OrdersPerDay = v
	}
	return c
}

// What others may have called things. An inbox begins as those of all clients do,
// because no answer is sent anywhere else.
var (
	domain  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	inboxes = regexp.MustCompile(`^_INBOX[A-Za-z0-9_-]{0,64}(\.[A-Za-z0-9_-]{1,64}){0,4}$`)
)

// certificate reads the service's own pair, for a broker that wants one.
func (c *NATS) certificate(n *Node) {
	const fix = "name two files: cert: [/etc/barista/zoe.pem, /etc/barista/zoe.key]"
	if n == nil {
		return
	}
	if s, is := n.n.(*ast.StringNode); is {
		n.Problem("a certificate without its key: "+Quote(s.Value), fix)
		return
	}
	pair, ok := n.List(2, 2)
	for i, to := range []*string{&c.Cert, &c.CertKey} {
		if ok {
			if *to = secretFile(pair[i]); *to == Credential {
				pair[i].Problem("only nkeys and credentials of NATS come from systemd", fix)
			}
		}
	}
}

// fromEnv takes the servers of the environment; the rest stays as the file says.
func fromEnv(r *report, env string, file *NATS) *NATS {
	c := &NATS{OrdersPerDay: DefaultOrdersPerDay}
	if file != nil {
		*c = *file
		c.Servers = nil
	}
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
	if s, ok := m.Get("keys").Choice("none"); ok {
		c.NoKeys = s == "none"
	}
	at := m.Get("listen")
	switch s, alone, ok := address(at, DefaultBroker, ListenNone); {
	case ok && !alone && c.NoKeys:
		at.Problem(Quote(s)+" would be open to the network, and without keys whoever reaches it may do everything", "remove keys: none, or write for example "+DefaultBroker+orWords([]string{ListenNone}))
	case ok:
		c.Listen = s
	}
	if n := m.Get("machines"); n != nil {
		c.Machines, _ = n.Tokens(32)
		for _, name := range c.Machines {
			if !fleet.IsMachine(name) {
				n.Problem(Quote(name)+" is a name of the shop's own", "no machine can be called so")
			}
		}
		if c.NoKeys {
			n.KeyProblem("machines need no keys where the broker has none", "remove machines:, or keys: none")
		}
	}
	if n := m.Get("store"); n != nil {
		c.Store = folder(n)
	}
	if v, ok := m.Get("orders_per_day").Int(1, 100_000); ok {
		c.OrdersPerDay = v
	}
	c.MQTT = decodeMQTT(m.Get("mqtt"), c)
	decodeArticle(m.Get("article"), c)
	decodeSites(m, c)
	return c
}

// public is the form of a public nkey of a user. Its checksum is looked at by who lets it
// in.
var public = regexp.MustCompile(`^U[A-Z2-7]{55}$`)

func decodeArticle(n *Node, c *Broker) {
	if n == nil {
		return
	}
	switch s, ok := n.Text(); {
	case ok && strings.HasPrefix(s, "SU"):
		// It is not repeated, and is no secret any more where others read this file.
		n.Problem("is the secret half of a key, which stays in the file of the program that has it", "write the public half, which begins with U: barista key show seed.txt; and make the program another key")
	case ok && !public.MatchString(s):
		n.Problem(Quote(s)+" is not the public half of a key", "write the U and 55 characters that barista key show seed.txt prints")
	case ok && c.NoKeys:
		n.KeyProblem("the article's programs prove a key, and a broker without keys asks for none", "remove keys: none")
	case ok:
		c.Article = s
	}
}

func decodeController(m *Map) *Controller {
	c := &Controller{Pos: m.Node().Pos(), Requests: true, Intake: true, ExpireAfter: DefaultExpireAfter}
	if v, ok := m.Get("requests").Bool(); ok {
		c.Requests = v
	}
	if v, ok := m.Get("intake").Bool(); ok {
		c.Intake = v
	}
	c.CustomersSettle, _ = m.Get("customers_settle").Bool()
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
