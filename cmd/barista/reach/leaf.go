package reach

import (
	"crypto/x509"
	"fmt"

	"barista/configs"
	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/keys"
	"barista/fleet/queue"
)

// Sites makes of a broker a site of a hub, or a hub, as its file says. there are the
// streams in its store.
func Sites(c broker.Config, f *configs.Broker, there []fleet.StreamFile) (broker.Config, error) {
	var err error
	c.Domain, c.Sites = f.Domain, f.Sites
	if c.Leaf, err = leaf(f.Leaf); err != nil {
		return c, fmt.Errorf("broker: the link to the hub: %w", err)
	}
	if c.Sites != "" {
		c.MaxStore = queue.HubBound(f.OrdersPerDay, there)
	}
	return c, nil
}

// leaf is a site's link to its hub as its file says it, with the key and the authority
// read; nil for a shop that is no site.
func leaf(f *configs.Leaf) (*broker.Leaf, error) {
	if f == nil {
		return nil, nil
	}
	l := &broker.Leaf{URL: f.URL}
	if f.Key != "" {
		k, err := leafKey(f.Key)
		if err != nil {
			return nil, err
		}
		defer k.Wipe()
		if l.Seed, err = k.Seed(); err != nil {
			return nil, err
		}
	}
	if f.TLS() {
		trust, err := trusted(f.CA)
		if err != nil {
			return nil, err
		}
		l.TLS = keys.ClientTLS(trust, nil)
	}
	return l, nil
}

func leafKey(path string) (*keys.Key, error) {
	if path != configs.Credential {
		return keys.Load(path)
	}
	return credential("hub.key", "hub")
}

// trusted are the authorities of a file; nil, those of the system, where none is named.
func trusted(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	return keys.LoadPool(path)
}
