package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/gate"
	"barista/cmd/barista/reach"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/brokertest"
)

// aHome is a shop with keys, that speaks MQTT, and what Home Assistant was given of it.
type aHome struct {
	*house
	at       string
	password string
	trust    *tls.Config
}

const homeUser = "homeassistant"

func openHome(t *testing.T, state string) *aHome {
	t.Helper()
	h := &aHome{house: openHouse(t, demo{http: configs.ListenNone, nats: "none", machines: 2, speed: 100, cups: "auto"}, func(f *configs.File, _ []*configs.Machine) {
		f.State, f.Broker.Store = state, filepath.Join(state, "broker")
		f.Broker.NoKeys, f.Broker.MQTT = false, "127.0.0.1:0"
		f.HomeAssistant = &configs.HomeAssistant{Orders: true, Name: "Home Assistant"}
	})}
	h.at = h.broker.MQTT()
	word, err := os.ReadFile(gate.HomePassword(state))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(gate.CA(state))
	if err != nil {
		t.Fatal(err)
	}
	h.password, h.trust = strings.TrimSpace(string(word)), &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	h.trust.RootCAs.AppendCertsFromPEM(ca)
	return h
}

// comes connects as Home Assistant does, subscribes as it does and says that it has
// started.
func (h *aHome) comes() *brokertest.MQTT {
	h.t.Helper()
	m, refused := brokertest.DialMQTT(h.t, h.at, "ha", homeUser, h.password, h.trust)
	if refused != nil {
		h.t.Fatal(refused)
	}
	for _, topic := range []string{"homeassistant/+/+/config", "homeassistant/+/+/+/config", "coffee/home/state/+"} {
		if !m.Subscribe(1, topic) {
			h.t.Fatalf("Home Assistant may not subscribe to %s", topic)
		}
	}
	m.Publish(0, 1, "homeassistant/status", "online")
	return m
}

// entries are the orders of the book.
func (h *aHome) entries() []fleet.Entry {
	h.t.Helper()
	all, err := reach.Shop(h.conn, false).Orders(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// served waits until so many orders are served: the last press was behind all that must
// not be one more.
func (h *aHome) served(n int) {
	h.t.Helper()
	h.eventually("the orders", func() bool {
		all := h.entries()
		return len(all) >= n && !slices.ContainsFunc(all, func(e fleet.Entry) bool { return e.Phase != fleet.Served })
	})
	if all := h.entries(); len(all) != n || all[0].Order.Name != "Home Assistant" || all[0].Via != homeUser {
		h.t.Errorf("%d orders, want %d: %+v", len(all), n, all)
	}
}

// moment is what Home Assistant's template writes into a press.
func moment() string { return fmt.Sprintf("%.6f", float64(time.Now().UnixMicro())/1e6) }

// devices reads discovered devices until all are there, each with its entities by
// platform.
func devices(m *brokertest.MQTT, names ...string) map[string]map[string]int {
	found := map[string]map[string]int{}
	m.Await("the devices "+strings.Join(names, ", "), func(h brokertest.Heard) bool {
		var d struct {
			Components map[string]struct{ Platform string }
		}
		if name, is := strings.CutPrefix(h.Topic, "homeassistant/device/barista/"); is && json.Unmarshal(h.Body, &d) == nil {
			name = strings.TrimSuffix(name, "/config")
			found[name] = map[string]int{}
			for _, c := range d.Components {
				found[name][c.Platform]++
			}
		}
		return len(found) == len(names)
	})
	return found
}

// TestHomeAssistant plays Home Assistant to a shop with keys: it discovers the machines by
// its birth message, sees what they do, and a press is one cup, however often it comes and
// whoever was started anew in between.
func TestHomeAssistant(t *testing.T) {
	state := t.TempDir()
	const button = "coffee/home/order/medium/arabica/normal/0"
	h := openHome(t, state)
	h.ready()
	m := h.comes()
	found := devices(m, "shop", "zoe", "leo")
	if names := slices.Sorted(maps.Keys(found)); len(names) != 3 || found["shop"]["button"] != 9 || found["zoe"]["sensor"] != 3 || found["zoe"]["binary_sensor"] != 4 {
		t.Errorf("discovered: %v", found)
	}
	said := func(topic, what string) {
		t.Helper()
		m.Await(topic+" "+what, func(h brokertest.Heard) bool {
			return strings.HasPrefix(h.Topic, "coffee/home/state/"+topic) && strings.Contains(string(h.Body), what)
		})
	}
	first := moment()
	m.Publish(1, 3, button, first)
	said("shop", `"last":"accepted"`)
	h.eventually("the cup", func() bool { return h.poured() == 1 })
	said("", `"drinks":1`)
	m.Publish(1, 2, button, "PRESS")
	said("shop", `"last":"no_moment"`)
	h.stop()
	if got := h.poured(); got != 1 {
		t.Fatalf("%d cups of one press that came three times", got)
	}

	h = openHome(t, state)
	h.ready()
	m = h.comes()
	devices(m, "shop", "zoe", "leo")
	m.Publish(1, 2, button, first) // nobody told it that it came
	m.Publish(1, 1, button, moment())
	h.served(2)
	h.stop()
	if got := h.poured(); got != 1 {
		t.Errorf("%d cups of one press more, after a start", got)
	}
}

// TestHomeAssistantMosquitto is the same with clients of MQTT that others wrote: Debian's.
func TestHomeAssistantMosquitto(t *testing.T) {
	for _, name := range []string{"mosquitto_pub", "mosquitto_sub"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("no mosquitto-clients here: apt-get install mosquitto-clients")
		}
	}
	state := t.TempDir()
	h := openHome(t, state)
	h.ready()
	host, port, err := net.SplitHostPort(h.at)
	if err != nil {
		t.Fatal(err)
	}
	client := func(program string, more ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), program, append([]string{"-h", host, "-p", port, "--cafile", gate.CA(state), "-u", homeUser, "-P", h.password, "-q", "1"}, more...)...)
	}
	send := func(topic, body string) {
		t.Helper()
		if out, err := client("mosquitto_pub", "-t", topic, "-m", body).CombinedOutput(); err != nil {
			t.Errorf("mosquitto_pub %s: %v %s", topic, err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "mosquitto_pub", "-h", host, "-p", port, "--cafile", gate.CA(state), "-u", homeUser, "-P", "guessed", "-t", "homeassistant/status", "-m", "online").CombinedOutput(); err == nil {
		t.Errorf("who guesses the password comes in: %s", out)
	}

	// Who comes while it is told hears the end of that first: three times all is told at least twice.
	ears := client("mosquitto_sub", "-t", "homeassistant/device/#", "-C", "9", "-W", "120", "-F", "%t")
	heard := make(chan string, 1)
	go func() { // its output is awaited below
		out, err := ears.CombinedOutput()
		heard <- fmt.Sprintf("%s%v", out, err)
	}()
	var got string
	for got == "" { // nobody sees from outside when it has subscribed
		send("homeassistant/status", "online")
		select {
		case got = <-heard:
		case <-time.After(200 * time.Millisecond):
		}
	}
	lines := strings.Fields(got)
	slices.Sort(lines)
	if got = strings.Join(slices.Compact(lines), " "); got != "<nil> homeassistant/device/barista/leo/config homeassistant/device/barista/shop/config homeassistant/device/barista/zoe/config" {
		t.Fatalf("mosquitto_sub discovers %s", got)
	}

	send("coffee/home/order/small/mixed/free/0", moment()) // no such button
	now := moment()
	for range 2 {
		send("coffee/home/order/medium/mixed/free/0", now)
	}
	send("coffee/home/order/medium/robusta/free/0", moment())
	h.served(2)
	h.stop()
	if got := h.poured(); got != 2 {
		t.Errorf("%d cups of two presses", got)
	}
}
