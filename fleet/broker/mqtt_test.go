package broker_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barista/fleet/broker"
	"barista/fleet/brokertest"
)

// TestMQTT: it is spoken where the file says so, and as open as NATS may be.
func TestMQTT(t *testing.T) {
	cfg := broker.Config{Name: "shop", Store: t.TempDir()}
	b, err := broker.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if b.MQTT() != "" {
		t.Errorf("MQTT is spoken at %s, and nobody said so", b.MQTT())
	}
	b.Close()

	cfg.MQTT = "0.0.0.0:0"
	if b, err := broker.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "MQTT: listen address") {
		t.Errorf("open to the network without keys: %v", err)
		b.Close()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.MQTT = l.Addr().String()
	if b, err := broker.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("where another program listens: %v", err)
		b.Close()
	}
}

// TestMQTTStore: what the server keeps of MQTT's sessions never stands in a shop's way: it
// is damaged, or the shop has keys from now on.
func TestMQTTStore(t *testing.T) {
	store := t.TempDir()
	open := func(accounts string) *broker.Broker {
		t.Helper()
		b, err := broker.Open(context.Background(), broker.Config{Name: "shop", Store: store, MQTT: "127.0.0.1:0", Accounts: accounts})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	use := func(b *broker.Broker, user string) {
		t.Helper()
		m, refused := brokertest.DialMQTT(t, b.MQTT(), "ha", user, user, nil)
		if refused != nil {
			t.Fatal(refused)
		}
		if !m.Subscribe(1, "a/b") {
			t.Error("refused a/b")
		}
		m.Publish(1, 1, "a/b", "hello")
		m.Await("its own message", func(h brokertest.Heard) bool { return h.Topic == "a/b" && string(h.Body) == "hello" && h.QoS == 1 })
	}
	b := open("")
	use(b, "")
	b.Close()
	for _, name := range []string{"$MQTT_sess", "$MQTT_msgs"} {
		file := filepath.Join(store, "jetstream", "$G", "streams", name, "meta.inf")
		if err := os.WriteFile(file, []byte("no description"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b = open("")
	use(b, "")
	if err := b.Healthy(); err != nil {
		t.Error(err)
	}
	b.Close()
	b = open(`accounts { SHOP { jetstream: enabled, users: [ {user: shop, password: shop} ] }, HOME { jetstream: {max_file: 8388608, max_mem: 1048576}, users: [ {user: home, password: home} ] } }`)
	use(b, "home")
	use(b, "shop")
}
