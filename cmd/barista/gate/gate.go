// Package gate is what a shop needs to keep a door locked: its folder of keys, made at
// the first start, the certificate of its own authority, the table of who may come in,
// and package door at work on the embedded broker. Without it a broker lets everybody
// do everything.
//
// The folder is <state>/keys. In it are the shop's own keys (the controller's, by which
// all roles of the process connect; an operator's and an admin's for the verbs on this
// computer; one for each machine of the process), the authority (ca.pem may be given
// away, ca.key never), the broker's certificate, and members.json. All but ca.pem and
// the certificates are for the service's user only.
//
// Open makes or reads it; nothing runs before Door is run by who joins the rooms.
package gate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/door"
	"barista/fleet/keys"
	"barista/fleet/queue"
	"barista/fleet/roles"
)

// The names of the operator and the admin of this computer.
const (
	home  = "home"
	admin = "admin"
)

// Folder is where the keys of a service's state are.
func Folder(state string) string { return filepath.Join(state, "keys") }

// MachineKey is where the key of a machine of the shop's computer is, and CA the
// certificate by which it knows the shop.
func MachineKey(state, name string) string { return filepath.Join(Folder(state), machineFile(name)) }

func machineFile(name string) string { return "machine-" + name + ".key" }

// HomePassword is where the password is with which Home Assistant comes over MQTT, as
// user homeassistant. It is made at the first start.
func HomePassword(state string) string {
	return filepath.Join(Folder(state), "homeassistant.password")
}

// CA is where a shop's authority is.
func CA(state string) string { return filepath.Join(Folder(state), keys.FileCA) }

// Config is how a gate is opened.
type Config struct {
	State    string   // of the service
	Hosts    []string // names under which the broker is reached, beside those of this computer
	Machines []string // of this process
	Foreign  bool     // lets in who has no key, as roles.Table says
	Article  string   // public key of the article's programs; empty: they are not let in
	MQTT     bool     // the broker speaks it: Home Assistant has a password
	// Stored are the streams in the broker's store. A hub goes on showing what it has of a
	// site whose key is gone.
	Stored []fleet.StreamFile
	Log    *slog.Logger
}

// Gate is an open one.
type Gate struct {
	Door *door.Door
	own  map[string]*keys.Key // by role and name
	cert *keys.Served
	log  *slog.Logger

	mu       sync.Mutex // guards the following
	accounts string
	broker   *broker.Broker // nil: not running yet
	sites    []string       // that have an account
	classes  func() []fleet.Class
}

// Open reads the folder of keys, or makes it.
func Open(c Config) (*Gate, error) {
	if c.Article != "" && !keys.IsPublic(c.Article) {
		return nil, term.Fail(term.ExitConfig, "barista key show seed.txt prints it", "broker: article: %.60q is no key that was ever made: a character of it is wrong", c.Article)
	}
	dir := Folder(c.State)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	ca, err := keys.OpenCA(dir, "barista at "+host(), time.Now())
	if err != nil {
		return nil, err
	}
	g := &Gate{own: map[string]*keys.Key{}, log: c.Log}
	for _, f := range c.Stored {
		if site, is := fleet.SiteOf(f.Name); is {
			g.sites = append(g.sites, site)
		}
	}
	if g.cert, err = keys.ServeOwn(dir, ca, names(c.Hosts), c.Log); err != nil {
		return nil, err
	}
	var own []roles.Member
	add := func(kind roles.Kind, name, file string) error {
		k, err := keys.Open(filepath.Join(dir, file), string(kind), name)
		if err != nil {
			return err
		}
		g.own[string(kind)+" "+name] = k
		m := roles.Member{Kind: kind, Name: name, Key: k.Public()}
		if kind == roles.Machine {
			m.Classes = g.menu()
		}
		own = append(own, m)
		return nil
	}
	errs := []error{
		add(roles.Controller, string(roles.Controller), "controller.key"),
		add(roles.Operator, home, "operator.key"),
		add(roles.Admin, admin, "admin.key"),
	}
	for _, m := range slices.Compact(slices.Sorted(slices.Values(c.Machines))) {
		errs = append(errs, add(roles.Machine, m, machineFile(m)))
	}
	if c.Article != "" {
		own = append(own, roles.Member{Kind: roles.Article, Name: string(roles.Article), Key: c.Article})
	}
	if c.MQTT {
		hash, err := keys.OpenPassword(HomePassword(c.State))
		errs = append(errs, err)
		own = append(own, roles.Member{Kind: roles.HomeAssistant, Name: string(roles.HomeAssistant), Password: hash})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g.Door, err = door.Open(door.Parts{
		Change: g.change, Own: own, Foreign: c.Foreign, Classes: g.menu, Here: g.here,
		CA: ca.PEM(), Fingerprint: ca.Fingerprint(), Log: c.Log.With("room", "door"),
	}, filepath.Join(dir, "members.json"))
	return g, err
}

// here is who is connected; nobody while the broker does not run, or does not say.
func (g *Gate) here() map[string]string {
	g.mu.Lock()
	b := g.broker
	g.mu.Unlock()
	if b == nil {
		return nil
	}
	who, err := b.Connected()
	if err != nil {
		g.log.Warn("nobody knows who is connected", "err", err)
	}
	return who
}

// menu are the classes that machines may pull.
func (g *Gate) menu() []fleet.Class {
	g.mu.Lock()
	f := g.classes
	g.mu.Unlock()
	if f == nil {
		return fleet.DefaultMenu().Classes()
	}
	return f()
}

// Serves says where the menu is known from now on.
func (g *Gate) Serves(classes func() []fleet.Class) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.classes = classes
}

// change puts a table in force, at a broker that runs; for one that does not yet it is
// what it begins with.
func (g *Gate) change(t roles.Table) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range t.Members {
		if m.Kind == roles.Hub && !slices.Contains(g.sites, m.Name) {
			g.sites = append(g.sites, m.Name)
		}
	}
	t.Sites = g.sites
	text, err := t.Text()
	if err != nil {
		return err
	}
	if g.broker != nil {
		if err := g.broker.Reload(text); err != nil {
			return err
		}
	}
	g.accounts = text
	return nil
}

// Before is what a broker begins with.
func (g *Gate) Before(c broker.Config) broker.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.Accounts, c.TLS = g.accounts, g.TLS()
	return c
}

// TLS is how the broker speaks, and the pages where they have no other certificate.
func (g *Gate) TLS() *tls.Config { return keys.ServerTLS(g.cert, nil) }

// Guards gives the gate the broker that runs with its accounts.
func (g *Gate) Guards(b *broker.Broker) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broker = b
}

// As connects a part of this process as who it is: a machine by its own key, everything
// else by the controller's.
func (g *Gate) As(c queue.Config) queue.Config {
	key := g.own[string(roles.Machine)+" "+c.Name]
	if key == nil {
		key = g.own[string(roles.Controller)+" "+string(roles.Controller)]
	}
	c.Key = key
	c.Inbox = roles.Member{Kind: roles.Kind(key.Role()), Name: key.Name()}.Rights().Inbox
	return c
}

// Names are those of this computer, under which others may reach it: its own, and its
// addresses.
func Names() []string { return names(nil) }

func names(more []string) []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	if h := host(); keys.IsHost(h) {
		out = append(out, h)
		if !strings.Contains(h, ".") {
			out = append(out, h+".local") // as mDNS calls it
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
				out = append(out, n.IP.String())
			}
		}
	}
	out = append(out, more...)
	slices.Sort(out)
	return slices.Compact(out)
}

func host() string {
	h, err := os.Hostname()
	if err != nil {
		return "shop"
	}
	return strings.ToLower(h)
}
