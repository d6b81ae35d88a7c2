package configs

import (
	"net"
	"net/url"
	"strings"

	"barista/fleet"
)

// DefaultSites is where a hub listens for its sites.
const DefaultSites = "127.0.0.1:7422"

// Leaf is a site's link to its hub.
type Leaf struct {
	Pos Pos
	URL string // tls://hub.example:7422; nats:// on this computer only
	Key string // file of the site's key at the hub, or Credential; empty only on this computer
	CA  string // file of the hub's authority; empty: those of the system
}

// TLS reports whether the link is encrypted.
func (l *Leaf) TLS() bool { return strings.HasPrefix(l.URL, "tls://") }

// decodeSites reads what makes a broker a site, or the hub of sites.
func decodeSites(m *Map, c *Broker) {
	domain, leaf, sites := m.Get("domain"), m.Get("leaf"), m.Get("sites")
	if s, ok := domain.Text(); ok && !fleet.IsToken(s) {
		domain.Problem(Quote(s)+" can't be the name of a site", "use 1 to 32 of a-z, 0-9 and -, for example paris")
	} else if ok {
		c.Domain = s
	}
	for _, n := range []*Node{leaf, sites} {
		if n != nil && domain == nil {
			n.KeyProblem("sites and their hub know each other by the domain of each, and this file has none", "add domain: paris, another name in each site")
		}
	}
	if leaf != nil {
		c.Leaf = decodeLeaf(leaf.Map())
	}
	// The broker itself refuses to be open to the network without keys and TLS.
	if s, _, ok := address(sites, DefaultSites); ok {
		c.Sites = s
	}
	if c.Sites != "" && c.Sites == c.Listen {
		sites.Problem("clients and sites come to the same address "+Quote(c.Sites), "give them different ports: "+DefaultSites)
	}
}

func decodeLeaf(m *Map) *Leaf {
	c := &Leaf{Pos: m.Node().Pos()}
	n, key, ca := m.Need("url", `write url: tls://hub.example:7422`), m.Get("key"), m.Get("ca")
	c.Key, c.CA = secretFile(key), secretFile(ca)
	if c.CA == Credential {
		ca.Problem("a CA's certificate is no secret", "name its file: ca: /etc/barista/hub-ca.pem")
	}
	s, ok := n.Text()
	if !ok {
		return c
	}
	if reason, fix := badServer(s); reason != "" {
		n.Problem(reason, fix)
		return c
	}
	u, err := url.Parse(s)
	if err != nil || u.Port() == "" {
		n.Problem("the hub's port for sites is missing", "write for example tls://hub.example:7422")
		return c
	}
	c.URL = s
	here := u.Hostname() == "localhost"
	if ip := net.ParseIP(u.Hostname()); ip != nil {
		here = ip.IsLoopback()
	}
	switch {
	case u.Scheme != "tls" && !here:
		n.Problem(Quote(s)+" would go over the network in the clear", "write tls://, and ca: with the file of the hub's authority")
	case key == nil && !here:
		m.Node().Problem("a hub on another computer wants to know who comes", "name the file of this site's key there: key: /etc/barista/hub.key")
	case u.Scheme != "tls" && ca != nil:
		ca.KeyProblem("an authority for a link in the clear", "write url: tls://…, or remove ca:")
	}
	return c
}
