package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"barista/fleet"
)

// Leaf is a site's link to its hub. The site goes on alone while the hub is away, and
// nothing of the shop passes: the hub reads the site's events out of the site's
// JetStream, by the site's domain.
type Leaf struct {
	URL string // of the hub's port for sites: tls://hub.example:7422
	// Seed is the site's key at the hub, see roles.Hub; empty for a hub without keys. The
	// server signs with it itself: it takes no signer that is known by a bare key.
	Seed string
	TLS  *tls.Config // nil: in the clear
}

// mayNotPass are the subjects of a shop, and what answers to them. Without these lines
// the shops of two sites that have the same hub take each other's orders and book each
// other's beans, since both are subscribed to the same subjects.
var mayNotPass = []string{"coffee.>", "$KV.>", "$SRV.>"}

// ofTheHub is what a hub has no business with at a site, whatever its table of roles
// says: anything but a consumer of the events.
func ofTheHub(domain string) []string {
	api := "$JS." + domain + ".API."
	deny := []string{"$JS.API.>", api + "INFO", api + "STREAM.>", api + "DIRECT.>", api + "META.>", api + "SERVER.>", api + "ACCOUNT.>"}
	for _, verb := range []string{"MSG.NEXT", "INFO", "LIST", "NAMES", "DURABLE", "PAUSE", "LEADER", "PEER", "UNPIN", "RESET"} {
		deny = append(deny, api+"CONSUMER."+verb+".>")
	}
	for _, stream := range []string{fleet.StreamBook, fleet.StreamOrders, fleet.StreamIntake, "KV_" + fleet.BucketSettings, "KV_" + fleet.BucketMachines, "KV_" + fleet.BucketStock, "KV_" + fleet.BucketValues} {
		deny = append(deny, api+"CONSUMER.CREATE."+stream, api+"CONSUMER.CREATE."+stream+".>", api+"CONSUMER.DELETE."+stream+".>")
	}
	return deny
}

// link puts the domain, the link to a hub and the port for sites into the options.
func (c Config) link(opts *server.Options) error {
	opts.JetStreamDomain = c.Domain
	if c.Domain != "" {
		if !fleet.IsToken(c.Domain) {
			return fmt.Errorf("the domain %q: 1 to 32 of a-z, 0-9 and -", c.Domain)
		}
		// Two sites of one name are one to their hub: it would cut off the first.
		opts.ServerName = c.Name + "-" + c.Domain // see DomainOf
	}
	if (c.Leaf != nil || c.Sites != "") && c.Domain == "" {
		return errors.New("sites and their hub need a domain of their own, by which each is known to the others")
	}
	leaf := &opts.LeafNode
	leaf.NoAdvertise = true // else a site learns the hub's inner address, and comes by that the next time
	leaf.ReconnectInterval = time.Second
	opts.ReconnectErrorReports = 600 // one line in ten minutes: a hub may be away over the weekend
	if c.Sites != "" {
		if err := c.forSites(leaf); err != nil {
			return err
		}
	}
	if c.Leaf == nil {
		return nil
	}
	to, err := url.Parse(c.Leaf.URL)
	if err != nil || to.Host == "" || to.User != nil {
		return errors.New("the hub's URL can't be used: write it as tls://hub.example:7422, without a password")
	}
	r := &server.RemoteLeafOpts{
		URLs: []*url.URL{to}, Nkey: c.Leaf.Seed,
		DenyImports: append(ofTheHub(c.Domain), mayNotPass...), DenyExports: mayNotPass,
	}
	if c.Accounts != "" {
		r.LocalAccount = fleet.AccountShop
	}
	if c.Leaf.TLS != nil {
		r.TLS, r.TLSConfig, r.TLSTimeout = true, c.Leaf.TLS.Clone(), tlsWithin.Seconds()
		r.TLSConfig.MinVersion = max(r.TLSConfig.MinVersion, tls.VersionTLS13)
	}
	leaf.Remotes = []*server.RemoteLeafOpts{r}
	return nil
}

// forSites opens the port of a hub.
func (c Config) forSites(leaf *server.LeafNodeOpts) (err error) {
	if leaf.Host, leaf.Port, err = c.address(c.Sites); err != nil {
		return err
	}
	if leaf.Port == 0 {
		leaf.Port = server.RANDOM_PORT
	}
	if c.TLS != nil {
		leaf.TLSConfig, leaf.TLSTimeout = c.TLS, tlsWithin.Seconds()
		leaf.AuthTimeout = leaf.TLSTimeout + 1
	}
	return nil
}

// Name is that of the shops' own servers.
const Name = "barista"

// DomainOf is the domain of an embedded server by the server's name, empty where it has
// none; ours is false for the servers of others.
func DomainOf(server string) (domain string, ours bool) {
	domain, is := strings.CutPrefix(server, Name+"-")
	if is && fleet.IsToken(domain) {
		return domain, true
	}
	return "", server == Name
}

// Linked is how many sites are linked to this hub, and whether this site is to its hub.
func (b *Broker) Linked() (sites int, hub bool) {
	z, err := b.srv.Leafz(nil)
	if err != nil {
		return 0, false
	}
	for _, l := range z.Leafs {
		if l.IsSpoke {
			hub = true
		} else {
			sites++
		}
	}
	return sites, hub
}

// SitesURL is where sites link to; empty if this is no hub.
func (b *Broker) SitesURL() string {
	if b.cfg.Sites == "" {
		return ""
	}
	v, err := b.srv.Varz(nil)
	if err != nil || v.LeafNode.Port <= 0 {
		return ""
	}
	scheme := "nats"
	if b.cfg.TLS != nil {
		scheme = "tls"
	}
	return scheme + "://" + net.JoinHostPort(v.LeafNode.Host, strconv.Itoa(v.LeafNode.Port))
}
