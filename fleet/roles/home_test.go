package roles

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"

	"barista/fleet/broker"
	"barista/fleet/brokertest"
)

const homePassword = "a password of a test"

// TestHomeAssistant comes over MQTT as Home Assistant does: it hears and sends what the
// table says, and nothing else, whatever it tries.
func TestHomeAssistant(t *testing.T) {
	all, table := everybody(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(homePassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	home := Member{Kind: HomeAssistant, Name: "homeassistant", Password: string(hash)}
	table.Members = append(table.Members, home)
	text, err := table.Text()
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(context.Background(), broker.Config{
		Name: "shop", Store: store(t), MaxStore: 2 << 30, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0", Accounts: text, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	find := func(name string) person {
		return all[slices.IndexFunc(all, func(p person) bool { return p.Name == name })]
	}
	as(t, b, "", find("controller"))
	admin, err := join(t, b.URL(), find("admin"))
	if err != nil {
		t.Fatal(err)
	}
	admin.listen(t, ">")

	for _, who := range [][2]string{{home.Name, "guessed"}, {"", ""}, {"foreign", ""}, {"admin", homePassword}} {
		if _, refused := brokertest.DialMQTT(t, b.MQTT(), "stranger", who[0], who[1], nil); refused == nil {
			t.Errorf("%q comes in over MQTT with the password %q", who[0], who[1])
		}
	}
	if nc, err := nats.Connect(b.URL(), nats.UserInfo(home.Name, homePassword), nats.NoReconnect()); err == nil {
		nc.Close()
		t.Error("Home Assistant's password opens the port of NATS")
	}

	m, refused := brokertest.DialMQTT(t, b.MQTT(), "ha", home.Name, homePassword, nil)
	if refused != nil {
		t.Fatal(refused)
	}
	for topic, may := range map[string]bool{
		"homeassistant/+/+/config": true, "homeassistant/+/+/+/config": true, "homeassistant/status": true, "coffee/home/state/+": true,
		"#": false, "+/#": false, "coffee/#": false, "coffee/home/#": false, "coffee/book/#": false, "coffee/events/#": false, "coffee/live/#": false, "coffee/home/order/#": false,
		"$JS/API/#": false, "$KV/#": false, "$SYS/#": false, "_INBOX/#": false, "_R_/#": false, "$MQTT/msgs/#": false,
	} {
		for _, qos := range []byte{0, 1} {
			if got := m.Subscribe(qos, topic); got != may {
				t.Errorf("Home Assistant subscribes to %s at QoS %d: %v, by the table %v", topic, qos, got, may)
			}
		}
	}
	admin.flush(t)
	admin.forget()

	for _, qos := range []byte{0, 1} {
		for _, topic := range []string{
			"coffee/web/requests", "coffee/orders/arabica", "coffee/orders/arabica/free", "coffee/book/now/" + anOrder, "coffee/machines/zoe/cmd", "coffee/desk/zoe/take", "coffee/controller/settle",
			"$JS/API/STREAM/PURGE/coffee-book", "$KV/coffee-settings/menu", "coffee/home/state/zoe", "coffee/home/order/large", "homeassistant/device/barista/zoe/config", "_INBOX_controller/a", "_R_/a",
		} {
			m.Publish(qos, 1, topic, "what it may not")
		}
		m.Publish(qos, 1, "coffee/home/order/large/mixed/free/1", "pressed")
		m.Publish(qos, 1, "homeassistant/status", "online")
	}
	var got []string
	for len(got) < 4 {
		for _, h := range admin.forget() {
			got = append(got, h.Subject+" "+string(h.Data))
			if h.Reply != "" {
				t.Errorf("what came over MQTT at %s wants an answer at %s", h.Subject, h.Reply)
			}
		}
		admin.flush(t)
		if t.Context().Err() != nil {
			t.FailNow()
		}
	}
	want := "coffee.home.order.large.mixed.free.1 pressed, homeassistant.status online, "
	if strings.Join(got, ", ")+", " != want+want {
		t.Errorf("of all that Home Assistant sent came:\n%s", strings.Join(got, "\n"))
	}

	for _, s := range []string{"coffee.events." + anOrder + ".served", "coffee.web.requests", "homeassistant.elsewhere", "coffee.home.state.zoe", "homeassistant.device.barista.zoe.config"} {
		if err := admin.Publish(s, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	var heard []string
	m.Await("the last of what the shop said", func(h brokertest.Heard) bool {
		if h.Topic != "homeassistant/status" { // its own
			heard = append(heard, h.Topic)
		}
		return h.Topic == "homeassistant/device/barista/zoe/config"
	})
	if s := strings.Join(slices.Compact(heard), " "); s != "coffee/home/state/zoe homeassistant/device/barista/zoe/config" {
		t.Errorf("Home Assistant heard %s", s)
	}
}
