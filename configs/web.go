package configs

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
)

// Web serves the pages.
type Web struct {
	Pos    Pos
	Listen string // host:port
	// Plain: this house wants http without TLS. Else only this computer may reach
	// Listen, or there is a certificate.
	Plain bool
	// Hosts are names under which the pages are asked for, in lower case and
	// without port, beside those of loopback.
	Hosts []string
	// Proxies are whose X-Forwarded-For and X-Forwarded-Proto are believed.
	Proxies []netip.Prefix
	// Cert and CertKey are PEM files: the certificate with its chain, and its key.
	// Both are empty for plain http, and where the shop's own certificate does.
	// CertKey may be Credential.
	Cert, CertKey string
	// PIN is a file with what a customer must know to order; empty: nobody is
	// asked. It may be Credential.
	PIN string
	// OpenOrders is how many orders of one device may be under way at once; an
	// address may have three times as many.
	OpenOrders int
	// CustomersSettle: of a drink of which nobody knows what came of it, its customer's
	// word counts: he has it, or his cup is empty.
	CustomersSettle bool
}

// Credential as the name of a secret's file is the one that systemd gives the
// service (LoadCredential=), under the key's full name: web.key, web.pin.
const Credential = "credential"

// DefaultOpenOrders is for a phone that orders for a table.
const DefaultOpenOrders = 4

// decodeWeb reads web:. Beside a broker with keys there is a certificate of its own.
func decodeWeb(m *Map, own bool) *Web {
	c := &Web{Pos: m.Node().Pos(), Listen: DefaultWeb, OpenOrders: DefaultOpenOrders}
	where, plain := m.Get("listen"), m.Get("plain")
	alone := true
	if s, only, ok := address(where, DefaultWeb); ok {
		c.Listen, alone = s, only
	}
	c.Hosts = hosts(m.Get("hosts"))
	c.Proxies = proxies(m.Get("behind_proxy"))
	cert, key := m.Get("cert"), m.Get("key")
	c.Cert, c.CertKey = secretFile(cert), secretFile(key)
	if c.Cert == Credential {
		cert.Problem("a certificate is no secret", "name its file")
	}
	switch {
	case cert != nil && key == nil:
		cert.KeyProblem("a certificate without its key", "name the key's file beside it: key: /etc/barista/web.key")
	case key != nil && cert == nil:
		key.KeyProblem("a key without its certificate", "name the certificate's file beside it: cert: /etc/barista/web.crt")
	}
	c.Plain, _ = plain.Bool()
	switch {
	case c.Plain && (cert != nil || key != nil):
		plain.KeyProblem("plain http and a certificate at once", "remove plain:, or cert: and key:")
	case !alone && !own && !c.Plain && cert == nil && key == nil && plain.Clean():
		where.Problem(Quote(c.Listen)+" would be open to the network without TLS",
			"name a certificate: cert: and key:; or write plain: true if this house wants plain http: whoever shares its network can then read names and orders")
	}
	c.PIN = secretFile(m.Get("pin"))
	if v, ok := m.Get("open_orders").Int(1, 1000); ok {
		c.OpenOrders = v
	}
	c.CustomersSettle, _ = m.Get("customers_settle").Bool()
	return c
}

// hosts reads names of this shop.
func hosts(n *Node) []string {
	if n == nil {
		return nil
	}
	list, _ := n.List(1, 32)
	var out []string
	for _, one := range list {
		s, ok := one.Text()
		if !ok {
			continue
		}
		const fix = "write a name or an address alone, for example shop.local"
		_, err := netip.ParseAddr(strings.Trim(s, "[]"))
		switch {
		case err == nil, isHostName(s):
			out = append(out, strings.ToLower(strings.Trim(s, "[]")))
		case strings.Contains(s, "://"):
			one.Problem(Quote(s)+" is a whole address, not a name", fix)
		case strings.Contains(s, ":"):
			one.Problem(Quote(s)+" has a port: a name counts with any", fix)
		case strings.Contains(s, "*"):
			one.Problem(Quote(s)+" is a pattern: who may choose a name could then speak for the shop", "write each name")
		default:
			one.Problem(Quote(s)+" can't be the name of a computer", fix)
		}
	}
	return out
}

// isHostName reports whether s is a name as DNS has them.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// The widest networks whose every computer may say who asks through it.
const widest4, widest6 = 8, 32

// proxies reads addresses, and networks of them.
func proxies(n *Node) []netip.Prefix {
	if n == nil {
		return nil
	}
	list, _ := n.List(1, 32)
	var out []netip.Prefix
	for _, one := range list {
		s, ok := one.Text()
		if !ok {
			continue
		}
		const fix = "write for example 127.0.0.1 or 172.18.0.0/16"
		p, err := netip.ParsePrefix(s)
		if a, bad := netip.ParseAddr(s); bad == nil && a.Zone() == "" {
			a = a.Unmap()
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			one.Problem(Quote(s)+" is neither an address nor a network", fix)
		case p.Masked() != p:
			one.Problem(Quote(s)+" has bits behind its mask", "write "+p.Masked().String()+", or the address alone")
		case p.Addr().Is4() && p.Bits() < widest4, p.Addr().Is6() && p.Bits() < widest6:
			one.Problem(Quote(s)+" is half the world, and each of them could then say that he is somebody else", "name the proxy's own address")
		default:
			out = append(out, p)
		}
	}
	return out
}

// seedLike is what looks like the secret half of an nkey.
var seedLike = regexp.MustCompile(`\bS[A-Z][A-Z2-7]{30,}`)

// secretFile reads the name of a file, or Credential.
func secretFile(n *Node) string {
	s, ok := n.Text()
	if !ok {
		return ""
	}
	rel, below := strings.CutPrefix(s, "./")
	switch {
	case s == Credential:
		return s
	case seedLike.MatchString(s): // not repeated
		n.Problem("is a secret itself", "write it into a file with mode 600 and name that; and make a new one, this has been seen (barista key new)")
	case !filepath.IsAbs(s) && !below:
		n.Problem(Quote(s)+" does not say where it is", "write a path from the root, or ./… for below the folder in which barista is started")
	case below && !filepath.IsLocal(rel), strings.Contains("/"+s+"/", "/../"):
		n.Problem(Quote(s)+" leads out of itself", "write the path without ..")
	default:
		return filepath.Clean(s)
	}
	return ""
}
