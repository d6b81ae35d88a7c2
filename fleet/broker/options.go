package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// options are the server's, made anew for each reload: it compares them with those that
// it has.
func (c Config) options() (*server.Options, error) {
	opts := &server.Options{}
	if c.Accounts != "" {
		if err := opts.ProcessConfigString(c.Accounts); err != nil {
			return nil, fmt.Errorf("the accounts can't be read: %w", err)
		}
		if len(opts.Nkeys)+len(opts.Users) == 0 {
			return nil, errors.New("the accounts have no user: then everybody would be let in")
		}
	}
	opts.ServerName = c.Name
	opts.JetStream = true
	opts.StoreDir = c.Store
	opts.SyncAlways = true
	opts.JetStreamMaxStore = c.MaxStore
	opts.JetStreamMaxMemory = 16 << 20
	opts.NoSigs = true
	opts.DisableJetStreamBanner = true
	opts.MaxPayload = 1 << 20 // a balance of the book; streams and accounts have their own bounds
	opts.WriteDeadline = 5 * time.Second
	opts.StreamMaxBufferedSize = 16 << 20 // of a flood into one stream, before it is stored or refused
	opts.PingInterval = 20 * time.Second
	opts.MaxPingsOut = 2
	if opts.JetStreamMaxStore == 0 {
		opts.JetStreamMaxStore = 1 << 30
	}
	if err := c.secure(opts); err != nil {
		return nil, err
	}
	if err := c.link(opts); err != nil {
		return nil, err
	}
	if err := c.mqtt(&opts.MQTT); err != nil {
		return nil, err
	}
	if c.Listen == "" || c.Listen == "none" {
		opts.DontListen = true
		return opts, nil
	}
	var err error
	opts.Host, opts.Port, err = c.address(c.Listen)
	opts.Port = anyPort(opts.Port)
	return opts, err
}

// anyPort is a port as the server wants it, to whom 0 is none.
func anyPort(port int) int {
	if port == 0 {
		return server.RANDOM_PORT
	}
	return port
}

// mqtt has the server speak MQTT beside NATS, as open or locked as that is.
func (c Config) mqtt(m *server.MQTTOpts) (err error) {
	if c.MQTT == "" {
		return nil
	}
	if m.Host, m.Port, err = c.address(c.MQTT); err != nil {
		return fmt.Errorf("MQTT: %w", err)
	}
	m.Port = anyPort(m.Port)
	m.TLSConfig, m.TLSTimeout = c.TLS, tlsWithin.Seconds()
	m.AuthTimeout = m.TLSTimeout + 1
	// What waits for a subscriber of QoS 1 is gone with the process. Else each of his
	// subscriptions would write to the disk that orders need.
	m.ConsumerMemoryStorage = true
	return nil
}

// secure puts TLS into the options.
func (c Config) secure(opts *server.Options) error {
	if c.MapCerts && (c.TLS == nil || c.TLS.ClientAuth != tls.RequireAndVerifyClientCert || c.TLS.ClientCAs == nil) {
		return errors.New("users can't be known by their certificates where none is demanded")
	}
	if c.TLS != nil {
		opts.TLS, opts.TLSConfig, opts.TLSMap = true, c.TLS, c.MapCerts
		opts.TLSTimeout = tlsWithin.Seconds()
		opts.AuthTimeout = opts.TLSTimeout + 1
	}
	return nil
}

// tlsWithin bounds a handshake: a Pi that brews and is asked by all at once takes long.
const tlsWithin = 5 * time.Second

// address splits the address to listen on, and refuses what other computers reach as
// long as it has not both, keys and TLS.
func (c Config) address(listen string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: write it as 127.0.0.1:4222", listen)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q: the port must be 0 to 65535", listen)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip := net.ParseIP(host)
	if ip != nil && ip.IsLoopback() {
		return host, port, nil
	}
	const safe = "; 127.0.0.1, [::1] and localhost are reached from this computer only"
	switch {
	case c.Accounts == "" && c.TLS == nil:
		return "", 0, fmt.Errorf("listen address %q is not loopback: other computers may come only where the broker has keys and TLS, and it has neither%s", listen, safe)
	case c.Accounts == "":
		return "", 0, fmt.Errorf("listen address %q is not loopback: other computers may come only where the broker has keys, and it has none%s", listen, safe)
	case c.TLS == nil:
		return "", 0, fmt.Errorf("listen address %q is not loopback: other computers may come only where the broker has a certificate for TLS, and it has none%s", listen, safe)
	}
	return host, port, nil
}
