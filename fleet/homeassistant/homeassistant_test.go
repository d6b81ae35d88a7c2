package homeassistant

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// told is what was said to a subject.
type told struct {
	subject string
	body    string
}

// bench is a shop of a test, and who listens to it.
type bench struct {
	t *testing.T

	mu       sync.Mutex // guards the following
	told     []told
	each     func(string, []byte)
	placed   []fleet.Order
	answer   func(fleet.Order) fleet.Answer
	machines []*fleet.Machine
	changed  chan struct{}
	menu     fleet.Menu
	wall     time.Time
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, changed: make(chan struct{}), menu: fleet.DefaultMenu(), machines: []*fleet.Machine{aMachine("zoe", "sensor")}, wall: pressedAt, answer: func(o fleet.Order) fleet.Answer { return fleet.Success(o.ID) }}
}

func aMachine(name, cup string) *fleet.Machine {
	return &fleet.Machine{Here: true, Presence: fleet.Presence{
		Machine: name, Cup: cup, State: fleet.StateReady, Driver: "mock", Version: "v1.2.3", Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, Drinks: 7,
		Gauges: fleet.Gauges{Beans: fleet.GaugeThere, Water: fleet.GaugeThere},
	}}
}

func (b *bench) Hear(ctx context.Context, subjects []string, each func(string, []byte), ready func()) error {
	b.mu.Lock()
	b.each = each
	b.mu.Unlock()
	ready()
	<-ctx.Done()
	return ctx.Err()
}

func (b *bench) Tell(subject string, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, told{subject, string(body)})
	return nil
}

// since is what was told since the last call.
func (b *bench) since() (out []told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out, b.told = b.told, nil
	return out
}

func (b *bench) bridge(cfg Config) *Bridge {
	return New(Parts{
		Place: func(_ context.Context, body []byte, via string) fleet.Answer {
			o, err := fleet.DecodeOrder(body, nil)
			if err != nil || via != "homeassistant" {
				b.t.Errorf("placed %s via %s: %v", body, via, err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.placed = append(b.placed, o)
			return b.answer(o)
		},
		Machines: func() []*fleet.Machine { b.mu.Lock(); defer b.mu.Unlock(); return b.machines },
		Changed:  func() <-chan struct{} { b.mu.Lock(); defer b.mu.Unlock(); return b.changed },
		Levels: func(context.Context) (map[string]fleet.Level, error) {
			return map[string]fleet.Level{"arabica": {OnHand: 500, Reserved: 30}, "milk-soja": {OnHand: 200}}, nil
		},
		Menu: func() fleet.Menu { b.mu.Lock(); defer b.mu.Unlock(); return b.menu },
		Wall: func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.wall },
		Bus:  b,
	}, cfg)
}

var update = flag.Bool("update", false, "write the golden discovery anew")

// keys are those that Home Assistant's documentation of MQTT has for a discovered device,
// and for the platforms that we use.
var keys = map[string][]string{
	"":           {"device", "origin", "components"},
	"device":     {"identifiers", "name", "manufacturer", "model", "sw_version", "via_device"},
	"origin":     {"name", "sw_version", "support_url"},
	"every":      {"platform", "unique_id", "name", "icon", "entity_category", "availability", "json_attributes_topic", "qos"},
	"available":  {"topic", "value_template", "payload_available", "payload_not_available"},
	"sensor":     {"state_topic", "value_template", "device_class", "options", "unit_of_measurement", "state_class", "expire_after"},
	"binary":     {"state_topic", "value_template", "device_class", "expire_after", "payload_on", "payload_off"},
	"button":     {"command_topic", "command_template", "payload_press", "retain"},
	"categories": {"config", "diagnostic"},
}

// TestDiscovery holds what Home Assistant is told of the devices against a golden file,
// and that against the keys that it knows.
func TestDiscovery(t *testing.T) {
	b := newBench(t)
	br := b.bridge(Config{Orders: true, Version: "v1.2.3", Drinks: []fleet.Order{
		{Size: fleet.Large, Bean: "mixed", Milk: "soja", Sugar: 2}, {Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}, {Size: fleet.Small, Bean: "gone", Milk: fleet.NoMilk},
	}})
	br.devices(true)
	br.states(t.Context(), true)
	var got strings.Builder
	for _, one := range b.since() {
		var v any
		if err := json.Unmarshal([]byte(one.body), &v); err != nil {
			t.Fatal(one, err)
		}
		pretty, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s\n%s\n", fleet.Topic(one.subject), pretty)
		if d, is := v.(map[string]any); is && d["components"] != nil {
			known(t, d)
		}
	}
	const file = "testdata/discovery.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("look at it, then go test ./fleet/homeassistant -run TestDiscovery -update:\n%s", d)
	}
}

// known looks at the keys of one device.
func known(t *testing.T, d map[string]any) {
	t.Helper()
	within := func(what string, m any, allowed ...string) {
		for key := range m.(map[string]any) {
			if !slices.Contains(allowed, key) {
				t.Errorf("%s has %q, which Home Assistant does not know there", what, key)
			}
		}
	}
	within("a device's discovery", d, keys[""]...)
	within("device", d["device"], keys["device"]...)
	within("origin", d["origin"], keys["origin"]...)
	for id, c := range d["components"].(map[string]any) {
		m := c.(map[string]any)
		kind, _, _ := strings.Cut(m["platform"].(string), "_")
		within(id, m, slices.Concat(keys["every"], keys[kind])...)
		if len(keys[kind]) == 0 || m["unique_id"] == "" {
			t.Errorf("%s: %v", id, m)
		}
		when, _ := m["availability"].([]any) // none: what says by itself that its device is away
		for _, a := range when {
			within(id, a, keys["available"]...)
		}
		if m["device_class"] == "enum" && (m["options"] == nil || m["unit_of_measurement"] != nil) {
			t.Errorf("%s is an enumeration, so it needs its options and has no unit", id)
		}
		if topic, is := m["command_topic"].(string); is && (strings.ContainsAny(topic, "+#. ") || m["command_template"] != Moment) {
			t.Errorf("%s: %v", id, m)
		}
	}
}

// TestWhatIsSaid: the devices at each birth, and the states once more when Home Assistant
// has subscribed to them; then what is new, at most once a second; at last that nothing is
// here.
func TestWhatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.bridge(Config{}).Run(ctx) }()
		pass := func(d time.Duration) map[string]int {
			time.Sleep(d)
			synctest.Wait()
			n := map[string]int{}
			for _, one := range b.since() {
				n[one.subject]++
			}
			return n
		}
		config, state, shop := fleet.HomeDiscoverySubject("zoe"), fleet.HomeStateSubject("zoe"), fleet.HomeStateSubject("shop")
		want := func(what string, got map[string]int, configs, states int) {
			t.Helper()
			if got[config] != configs || got[state] != states || got[shop] != states {
				t.Errorf("%s: %v, want the device %d times and its state %d times", what, got, configs, states)
			}
		}
		want("at its own start", pass(0), 1, 1)
		want("until Home Assistant has subscribed", pass(15*time.Second), 0, 4)
		want("then in a minute", pass(time.Minute), 0, 3)
		b.each(fleet.HomeBirth, []byte("offline"))
		want("when Home Assistant ends", pass(0), 0, 0)
		b.each(fleet.HomeBirth, []byte("online"))
		want("when it has started", pass(0), 1, 1)
		pass(time.Minute)

		change := func(p func(*fleet.Machine)) {
			b.mu.Lock()
			defer b.mu.Unlock()
			m := *b.machines[0]
			p(&m)
			b.machines = []*fleet.Machine{&m}
			close(b.changed)
			b.changed = make(chan struct{})
		}
		n := 0
		for range 100 { // percents of a drink
			change(func(m *fleet.Machine) { m.State = fleet.StateBusy; m.Percent++ })
			n += pass(30 * time.Millisecond)[state]
		}
		if n < 2 || n > 5 {
			t.Errorf("of a hundred changes in three seconds %d were said", n)
		}
		change(func(m *fleet.Machine) { m.Here = false })
		time.Sleep(time.Second)
		synctest.Wait()
		if all := b.since(); len(all) == 0 || !strings.Contains(all[len(all)-1].body, `"here":"offline","state":"away"`) {
			t.Errorf("of a machine that has gone was said %v", all)
		}
		cancel()
		<-done
		for _, one := range b.since() {
			if !strings.Contains(one.body, `"here":"offline"`) {
				t.Errorf("at the end was said %v", one)
			}
		}
	})
}

// TestHostile: whatever a machine calls itself or says of itself stays text.
func TestHostile(t *testing.T) {
	b := newBench(t)
	nasty := "{{ x }}\"}\n\x00#/+ <b>\u202e" + strings.Repeat("é", 5000)
	b.machines = nil
	for _, name := range []string{"#", "+", "a/b", "a.b", "*", ">", "shop", "", "Zoe", nasty, strings.Repeat("z", 32)} {
		m := aMachine(name, nasty)
		m.State, m.Code, m.Detail, m.Quote, m.Note, m.Driver, m.Version = fleet.State(nasty), nasty, nasty, nasty, nasty, nasty, nasty
		m.Lacks, m.Percent, m.Drinks = slices.Repeat([]string{nasty}, 100), 1<<40, -1
		b.machines = append(b.machines, m)
	}
	b.machines[len(b.machines)-1].Cordon = &fleet.Cordon{Reason: nasty}
	br := b.bridge(Config{Orders: true, Version: nasty})
	br.last = result{short(nasty), fleet.Plain(nasty), ""}
	br.devices(true)
	br.states(t.Context(), true)
	subjects := map[string]bool{}
	for _, one := range b.since() {
		subjects[one.subject] = true
		var v any
		if err := json.Unmarshal([]byte(one.body), &v); err != nil {
			t.Errorf("%s: %v", one.subject, err)
		}
		if len(one.body) > 16<<10 || strings.Contains(one.body, `\n`) || strings.Contains(one.body, `\u0000`) || strings.Contains(one.body, "\u202e") || strings.Contains(one.body, "<") {
			t.Errorf("%s: %d bytes: %.300s", one.subject, len(one.body), one.body)
		}
	}
	z := strings.Repeat("z", 32)
	want := []string{"coffee.home.state.shop", "coffee.home.state." + z, "homeassistant.device.barista.shop.config", "homeassistant.device.barista." + z + ".config"}
	if got := slices.Sorted(maps.Keys(subjects)); !slices.Equal(got, want) {
		t.Errorf("said at %q", got)
	}
}

// TestGauges: what no sensor tells is not told as well.
func TestGauges(t *testing.T) {
	m := aMachine("zoe", "sensor")
	m.Gauges = fleet.Gauges{Beans: fleet.GaugeOut, Water: fleet.GaugeSilent}
	if s := stateOf(m); s.Beans != "ON" || s.Water != unknown || s.Tray != unknown {
		t.Errorf("%+v", s)
	}
	m.Gauges, m.Lacks = fleet.Gauges{Beans: fleet.GaugeThere}, []string{"water"} // as an earlier version says it
	if s := stateOf(m); s.Beans != "OFF" || s.Water != "ON" || s.Tray != unknown {
		t.Errorf("%+v", s)
	}
}
