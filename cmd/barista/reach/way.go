package reach

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet/keys"
	"barista/fleet/queue"
	"barista/fleet/roles"
)

// Way is how a connection gets to its broker and proves who it is. The zero Way has no
// key and believes whom the system believes.
type Way struct {
	Servers []string
	Key     *keys.Key   // nil: none
	TLS     *tls.Config // nil: where the server wants it, with the authorities of the system
	Inbox   string      // prefix; empty: that of the connection's name
	Domain  string
}

// OfService is the way of a service to a broker of others. Errors are of a
// configuration that is wrong: *term.Error.
func OfService(n *configs.NATS, name string) (*Way, error) {
	w := &Way{Servers: n.Servers, Domain: n.Domain, Inbox: n.Inbox}
	var err error
	switch {
	case n.Key == configs.Credential:
		w.Key, err = credential("nats.key", name)
	case n.Key != "":
		w.Key, err = keys.Load(n.Key)
	case n.Creds == configs.Credential:
		w.Key, err = credential("nats.creds", name)
	case n.Creds != "":
		w.Key, err = keys.Load(n.Creds)
	}
	if err == nil {
		w.TLS, err = secure(n.CA, n.Cert, n.CertKey)
	}
	switch {
	case errors.Is(err, keys.ErrNoKey) && n.Key != configs.Credential && n.Key != "":
		// Of a machine on the shop's computer, whose key the shop makes at its first start.
		return nil, term.Fail(term.ExitFailed, "a shop on this computer makes it at its start, when its file lists the machine; else: barista enroll", "nats: %w", err)
	case err != nil:
		return nil, term.Fail(term.ExitConfig, "nothing was touched", "nats: %w", err)
	}
	if w.Inbox == "" {
		w.Inbox = inbox(w.Key)
	}
	return w, nil
}

// credential is a key that systemd gives the service: under its own name in the
// packaged unit, which hands a whole folder over, or under the setting's.
func credential(setting, service string) (*keys.Key, error) {
	_, ext, _ := strings.Cut(setting, ".")
	k, err := keys.LoadCredential("barista_" + service + "." + ext)
	if errors.Is(err, keys.ErrNoKey) {
		if k, other := keys.LoadCredential(setting); !errors.Is(other, keys.ErrNoKey) {
			return k, other
		}
	}
	return k, err
}

// secure is how TLS is spoken; nil where nothing is said of it.
func secure(ca, cert, key string) (*tls.Config, error) {
	if ca == "" && cert == "" {
		return nil, nil
	}
	var trust *x509.CertPool
	var own *keys.Pair
	var err error
	if ca != "" {
		if trust, err = keys.LoadPool(ca); err != nil {
			return nil, err
		}
	}
	if cert != "" {
		if own, err = keys.LoadPair(cert, key); err != nil {
			return nil, err
		}
	}
	return keys.ClientTLS(trust, own), nil
}

// inbox is where the permissions of a key let it hear answers; empty where its file
// does not say whose it is.
func inbox(k *keys.Key) string {
	if k == nil || k.Role() == "" {
		return ""
	}
	return roles.Member{Kind: roles.Kind(k.Role()), Name: k.Name()}.Rights().Inbox
}

// Into fills in what a connection needs.
func (w *Way) Into(cfg *queue.Config) {
	cfg.Servers, cfg.TLS, cfg.Inbox, cfg.Domain = w.Servers, w.TLS, w.Inbox, w.Domain
	if w.Key != nil { // else a nil in an interface is a key
		cfg.Key = w.Key
	}
}

// Through reports whether this key sees no stream, so that a controller's window must
// show the shop.
func (w *Way) Through() bool {
	if w.Key == nil {
		return false
	}
	switch roles.Kind(w.Key.Role()) {
	case roles.Operator, roles.Monitor, roles.Archive, roles.Web, roles.Machine, roles.Foreign:
		return true
	}
	return false
}

// Home are the folders in which a person's key to the shop of this computer may lie,
// the first one first: his own, the computer's, and that of the packaged shop itself,
// which only root and the service can read.
func Home() []string {
	var out []string
	if dir, err := os.UserConfigDir(); err == nil {
		out = append(out, filepath.Join(dir, "barista"))
	}
	return append(out, "/etc/barista", "/var/lib/barista/shop/keys")
}

// The files of a person's key and of the shop's CA in such a folder. In a shop's own
// folder the CA has the name that package keys gives it.
const (
	FileKey = "operator.key"
	FileCA  = "shop-ca.pem"
)

// loopback reports whether all servers are of this computer.
func loopback(servers []string) bool {
	for _, s := range servers {
		u, err := url.Parse(s)
		if err != nil {
			return false
		}
		ip := net.ParseIP(u.Hostname())
		if u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return len(servers) > 0
}

// Explain is the exit code and the hint of what keeps a connection from its broker;
// nil for anything else.
func Explain(err error) *term.Error {
	if u, is := errors.AsType[*queue.Unusable](err); is {
		exit := term.ExitFailed
		switch u.Class {
		case queue.ErrRefused, queue.ErrWantsKey, queue.ErrOwnPair, queue.ErrMayNot:
			exit = term.ExitUnauthorised
		case queue.ErrTooMany, queue.ErrNoSpace:
			exit = term.ExitRefused
		}
		e := term.Fail(exit, u.Fix, "%s", u.What())
		e.Cause = u
		return e
	}
	if errors.Is(err, keys.ErrLax) || errors.Is(err, keys.ErrNoKey) || errors.Is(err, keys.ErrNotKey) {
		return term.Fail(term.ExitUnauthorised, "", "%w", err)
	}
	return nil
}
