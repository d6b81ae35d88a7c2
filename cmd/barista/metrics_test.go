package main

import (
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"barista/configs"
	"barista/driver"
	"barista/driver/guard"
)

// get asks a path of an address, as if through a proxy that nobody named where via is
// given.
func (h *house) get(at, path string, via ...string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Close = true
	for _, v := range via {
		req.Header.Set("X-Forwarded-For", v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestMetrics: a shop with its machines tells what it made, to this computer alone,
// and nothing of whom it was for.
func TestMetrics(t *testing.T) {
	h := openHouse(t, demo{http: "127.0.0.1:0", nats: "none", machines: 2, speed: 200, cups: "auto"}, func(f *configs.File, _ []*configs.Machine) {
		f.Metrics = &configs.Metrics{Listen: "127.0.0.1:0"}
		f.Archive = &configs.Archive{File: filepath.Join(f.State, "archive.db")}
	})
	h.ready()
	for i := range 3 {
		if a, err := h.request(fmt.Sprintf(`{"id":%q,"size":"small","bean_type":"arabica","milk":"normal","name":"Lovelace"}`, testID(i))); err != nil || !a.OK() {
			t.Fatalf("%+v %v", a, err)
		}
	}
	page := h.page.Listener.Addr().String()
	var body string
	h.eventually("three drinks to be told", func() bool {
		_, body = h.get(page, "/metrics")
		return strings.Contains(body, `barista_orders_total{bean="arabica",milk="normal",outcome="served"} 3`)
	})
	for _, want := range []string{
		`barista_orders_accepted_total{bean="arabica",milk="normal"} 3`, `barista_beans_grams_total{bean="arabica",use="cup"} 27`, `barista_milk_liters_total{milk="normal",use="cup"} 0.09`,
		`barista_stock_grams{item="arabica",kind="free"} 1973`, `barista_order_wait_seconds_count 3`, `barista_machine_state{machine="zoe",state="away"} 0`,
		`barista_station_linked{machine="zoe"} 1`, `barista_station_drinks_total{machine=`, `barista_brew_step_seconds_count{machine=`, `barista_build_info{version=`, `barista_ready 1`, "go_goroutines ",
		`barista_guard_trips_total{code="over-flow",machine="zoe"} 0`, `barista_guard_trips_total{code="none",machine="zoe"} 0`, `barista_redeliveries_total{outcome="spoiled"} 0`, // before they come
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	pump := 0.0
	for _, st := range h.machines {
		pump += st.Guard.Used()[driver.Pump].For.Seconds()
		if !strings.Contains(body, fmt.Sprintf("barista_actuator_on_seconds_total{machine=%q,part=\"pump\"}", st.file.Name)) {
			t.Errorf("no pump of %s", st.file.Name)
		}
	}
	if pump == 0 {
		t.Error("no pump was on")
	}
	kept, err := sql.Open("sqlite", "file:"+filepath.Join(h.file.State, "archive.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	h.eventually("three drinks in the archive", func() bool {
		n := 0
		err := kept.QueryRow("SELECT count(*) FROM barista_events WHERE kind = 'served' AND machine IS NOT NULL").Scan(&n)
		return err == nil && n == 3
	})
	if strings.Contains(body, "Lovelace") || strings.Contains(body, testID(0)) {
		t.Error("a name or an order is told")
	}
	if status, text := h.get(page, "/metrics", "192.0.2.7"); status != http.StatusForbidden || strings.Contains(text, "barista_") {
		t.Errorf("another computer got %d %.80s", status, text)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if status, text := h.get(page, path, "192.0.2.7"); status != http.StatusOK || text != "ok\n" {
			t.Errorf("%s: %d %q", path, status, text)
		}
	}
}

// TestMachineAlone: a machine without its shop lives, and says why it is not ready.
func TestMachineAlone(t *testing.T) {
	d := demo{http: "none", nats: "none", machines: 1, speed: 200, cups: "auto"}
	f, machines, err := d.file(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f.Broker, f.Controller, f.Stock, f.Web, f.Machine = nil, nil, nil, nil, machines[0]
	f.NATS = &configs.NATS{Servers: []string{"nats://127.0.0.1:9"}}
	f.Metrics = &configs.Metrics{Listen: "127.0.0.1:0"}
	s, err := openShop(t.Context(), slog.New(slog.DiscardHandler), f)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{shop: s, t: t}
	t.Cleanup(h.runs())
	at := s.told.String()
	h.eventually("it to miss its shop", func() bool {
		status, text := h.get(at, "/readyz")
		return status == http.StatusServiceUnavailable && strings.HasSuffix(text, "can't be reached: trying again\n") && strings.Count(text, "\n") == 1
	})
	if status, text := h.get(at, "/livez"); status != http.StatusOK || text != "ok\n" {
		t.Errorf("%d %q", status, text)
	}
	status, text := h.get(at, "/metrics")
	for _, want := range []string{`barista_station_state{machine="zoe",state="ready"} 1`, `barista_station_linked{machine="zoe"} 0`, "barista_ready 0"} {
		if status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%d, no %s", status, want)
		}
	}
	if strings.Contains(text, "barista_orders") {
		t.Error("it tells of orders, and knows of none")
	}
	s.machines[0].Guard.Trip(guard.Latch{Code: "no-flow"})
	h.eventually("the fault to be told", func() bool {
		_, text := h.get(at, "/readyz")
		return strings.HasPrefix(text, "zoe: fault no-flow")
	})
}

// TestAlertsSayWhatToType: every verb that an alert names is one of ours.
func TestAlertsSayWhatToType(t *testing.T) {
	b, err := os.ReadFile("../../configs/prometheus/barista.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile(`\bbarista ([a-z][a-z -]*)((?:--[a-z-]+)?)`).FindAllStringSubmatch(string(b), -1) {
		n++
		words := strings.Fields(m[1])
		cmd, _, err := newRoot().Find(words)
		if err != nil || cmd == cmd.Root() {
			t.Errorf("barista %s: %v", m[1], err)
			continue
		}
		if flag := strings.TrimPrefix(m[2], "--"); flag != "" && cmd.Flags().Lookup(flag) == nil {
			t.Errorf("barista %s has no --%s", cmd.Name(), flag)
		}
	}
	if n < 15 {
		t.Errorf("%d commands: the test is blind", n)
	}
}
