package configs

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"barista/driver"
	"barista/driver/guard"
	"barista/fleet"
	"barista/machine"
	"barista/machine/recipe"
)

var update = flag.Bool("update", false, "write the problems that were found into testdata/broken.txtar")

// kinds of a test: one with keys of its own, one that wants a pump, an appliance.
var kinds = map[string]Kind{
	"mock": {
		Simulated: true,
		Parts:     []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar},
		Decode: func(m *Map) Settings {
			m.Get("speed").Float(0.1, 1000)
			m.Get("plant").Text()
			for _, key := range []string{"fail_rate", "cups", "seed"} {
				m.Get(key)
			}
			return settings{complete: func(c *Machine, _ *Map) { wired(c, driver.Grinder, driver.Pump, driver.Milk, driver.Sugar) }}
		},
	},
	"metal": {
		Parts: []driver.Part{driver.Pump},
		Decode: func(m *Map) Settings {
			for _, n := range m.Get("outputs").Map().All() {
				n.Map().Need("line", "name its line: line: GPIO17").Text()
			}
			return settings{complete: func(c *Machine, m *Map) {
				if !c.Has(driver.Pump) {
					m.Node().Problem("a machine without a pump makes no coffee", "wire it under outputs")
				}
				wired(c, driver.Grinder, driver.Milk, driver.Sugar)
			}}
		},
	},
	"box": { // an appliance: no outputs of ours
		Decode: func(*Map) Settings {
			return settings{complete: func(c *Machine, _ *Map) { c.Products = map[string]driver.Product{"small": {Key: "a"}} }}
		},
	},
}

// settings of a kind of a test, which is never opened.
type settings struct{ complete func(*Machine, *Map) }

func (s settings) Complete(c *Machine, m *Map)           { s.complete(c, m) }
func (s settings) Open(*slog.Logger) (driver.Rig, error) { return driver.Rig{}, errors.New("never") }
func (s settings) Rest() error                           { return nil }

// wired gives the machine these parts, and a boiler that says when it is hot.
func wired(c *Machine, parts ...driver.Part) {
	for _, p := range parts {
		if !c.Has(p) {
			c.Guard.Parts[p] = guard.Limits{}
		}
	}
	c.Signals = map[driver.Signal]bool{driver.Hot: true}
}

// TestSamples loads the samples of simulated services; those of real machines
// need the table of kinds and are loaded by the test of the command line.
func TestSamples(t *testing.T) {
	t.Setenv(EnvNATS, "")
	for name, roles := range map[string]string{
		"demo.yaml":         "[broker stock controller web machine]",
		"shop.yaml":         "[broker stock controller web]",
		"machine-mock.yaml": "[machine]",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Load(name, kinds)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(f.Roles()); got != roles {
				t.Errorf("roles %s, want %s", got, roles)
			}
		})
	}
}

func TestValues(t *testing.T) {
	t.Setenv(EnvNATS, "")
	f, err := Parse("/etc/barista/zoe.yaml", []byte(`
nats:
  servers: ["nats://a:4222", "tls://b"]
  key: /etc/barista/zoe.key
  ca: ./shop-ca.pem
  cert: [/etc/zoe.pem, /etc/zoe.key]
  domain: site1
  inbox: _INBOX_zoe
  replicas: 3
  orders_per_day: 90
machine:
  name: zoe
  driver: mock
  serves: {beans: [arabica, mixed], milk: [free, normal], sizes: [small, large]}
  cup: page
  spare: {min_waiting: 4}
  calibration: {grinder_gps: 1.2, pump_mlps: 6}
  outputs:
    grinder: {max_on: 20s, rest: 1m30s, inrush: a, duty: {on: 60s, within: 5m}}
    pump: {deadman: none}
  forbidden: [[grinder, pump]]
  speed: 2.5
controller: {requests: off, intake: on, expire_after: 1h}
stock: {initial: {arabica: 100, sugar: 0}}
`), kinds)
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Path:  "/etc/barista/zoe.yaml",
		State: "/var/lib/barista/zoe",
		NATS: &NATS{Pos: Pos{2, 1}, Servers: []string{"nats://a:4222", "tls://b"}, Key: "/etc/barista/zoe.key", CA: "shop-ca.pem", Cert: "/etc/zoe.pem", CertKey: "/etc/zoe.key",
			Domain: "site1", Inbox: "_INBOX_zoe", Replicas: 3, OrdersPerDay: 90},
		Controller: &Controller{Pos: Pos{23, 1}, Intake: true, ExpireAfter: time.Hour},
		Stock:      &Stock{Pos: Pos{24, 1}, Initial: fleet.Items{"arabica": 100}},
		Machine: &Machine{
			Plan: machine.Plan{
				Name: "zoe", Cup: machine.CupPage,
				Guard: guard.Config{
					Name: "zoe",
					Parts: map[driver.Part]guard.Limits{
						driver.Grinder: {MaxOn: 20 * time.Second, Rest: 90 * time.Second, Inrush: "a", DutyOn: time.Minute, DutyWindow: 5 * time.Minute},
						driver.Pump:    {Deadman: driver.DeadmanNone, AcceptNoDeadman: true},
						driver.Milk:    {}, driver.Sugar: {},
					},
					Forbidden: [][2]driver.Part{{driver.Grinder, driver.Pump}},
				},
				Signals:     map[driver.Signal]bool{driver.Hot: true},
				Calibration: recipe.Calibration{GrinderGPS: 1.2, PumpMLPS: 6, MilkMLPS: 5, SugarDosePS: 1, Speed: 1},
				Book:        recipe.Book{"small": recipe.DefaultBook()["small"], "large": recipe.DefaultBook()["large"]},
			},
			Pos: Pos{11, 1}, Driver: "mock", Simulated: true, MinWaiting: 4,
			Serves:   Serves{[]string{"arabica", "mixed"}, []string{"free", "normal"}, []fleet.Size{"small", "large"}},
			Rates:    recipe.Calibration{GrinderGPS: 1.2, PumpMLPS: 6},
			Settings: settings{},
		},
	}
	speeds := cmp.Comparer(func(a, b settings) bool { return true })
	if diff := cmp.Diff(want, f, speeds); diff != "" {
		t.Error(diff)
	}
	if got := len(f.Machine.Serves.Classes()); got != 4 {
		t.Errorf("%d classes, want 4", got)
	}
}

func TestDefaults(t *testing.T) {
	t.Setenv(EnvNATS, "nats://elsewhere") // not for a file with its own broker
	f, err := Parse("x/shop.yaml", []byte("broker:\ncontroller:\nstock: {}\nweb:\n"), kinds)
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Path:       "x/shop.yaml",
		State:      "/var/lib/barista/shop",
		Broker:     &Broker{Pos: Pos{1, 1}, Listen: DefaultBroker, Store: "/var/lib/barista/shop/broker", OrdersPerDay: DefaultOrdersPerDay},
		Controller: &Controller{Pos: Pos{2, 1}, Requests: true, Intake: true, ExpireAfter: DefaultExpireAfter},
		Stock:      &Stock{Pos: Pos{3, 1}, Initial: fleet.Items{}},
		Web:        &Web{Pos: Pos{4, 1}, Listen: DefaultWeb, OpenOrders: DefaultOpenOrders},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment(t *testing.T) {
	const web = "web: {listen: localhost:8081}\nnats: {servers: [\"nats://file\"], key: credential}\n"
	t.Setenv(EnvNATS, "nats://a:4222, nats://b:4222")
	f, err := Parse("web.yaml", []byte(web), kinds)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&NATS{Pos: Pos{2, 1}, Servers: []string{"nats://a:4222", "nats://b:4222"}, Key: Credential, OrdersPerDay: DefaultOrdersPerDay}, f.NATS); diff != "" {
		t.Error(diff)
	}
	if f.Web.Listen != "127.0.0.1:8081" {
		t.Errorf("web listens on %s", f.Web.Listen)
	}
	t.Setenv(EnvNATS, "http://a")
	_, err = Parse("web.yaml", []byte(web), kinds)
	want := `web.yaml: the environment's NATS_URL: "http://a" is not the URL of a NATS server; write for example nats://shop.local:4222`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, err = Parse("m.yaml", []byte("controller:\nnats: {servers: [\"nats://bob:hunter2@a\"]}\n"), kinds); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password was shown or taken: %v", err)
	}
}

// TestBroken is the table of files that are refused. testdata/broken.txtar holds
// them in pairs: name.yaml and name.want, all its problems in the order and in
// the words in which a person reads them. In the files, ␍ stands for a carriage
// return, ␉ for a tab, ␀ for NUL, ␇ for a bell and ⟨BOM⟩ for a byte order mark.
func TestBroken(t *testing.T) {
	t.Setenv(EnvNATS, "")
	const path = "testdata/broken.txtar"
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	real := strings.NewReplacer("␍", "\r", "␉", "\t", "␀", "\x00", "␇", "\a", "⟨BOM⟩", "\uFEFF", "⟨RLO⟩", "\u202e", "⟨LSEP⟩", "\u2028", "⟨NBSP⟩", "\u00a0", "⟨BRAILLE⟩", "\u2800", "⟨FILLER⟩", "\u3164")
	wants := map[string]string{}
	for _, f := range ar.Files {
		if strings.HasSuffix(f.Name, ".want") {
			wants[strings.TrimSuffix(f.Name, ".want")] = string(f.Data)
		}
	}
	out := &txtar.Archive{Comment: ar.Comment}
	files, several := 0, 0
	for _, f := range ar.Files {
		name, is := strings.CutSuffix(f.Name, ".yaml")
		if !is {
			continue
		}
		files++
		got := "clean\n"
		if _, err := Parse(f.Name, []byte(real.Replace(string(f.Data))), kinds); err != nil {
			got = err.Error() + "\n"
		}
		if strings.Count(got, "\n") > 1 {
			several++
		}
		out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
		t.Run(name, func(t *testing.T) {
			if got == "clean\n" {
				t.Error("the file was taken")
			}
			if diff := cmp.Diff(wants[name], got); diff != "" && !*update {
				t.Error(diff)
			}
		})
	}
	if files < 100 || several < 10 {
		t.Errorf("%d broken files, %d of them with several problems; there were 100 and 10", files, several)
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.yaml"), dir, "/dev/zero"} {
		_, err := Load(path, kinds)
		p, is := err.(*Problems)
		if !is || len(p.List) != 1 || p.List[0].Fix == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestLimits(t *testing.T) {
	for name, text := range map[string]string{
		"size":     strings.Repeat("#\n", 40<<10),
		"lines":    strings.Repeat("#\n", maxLines+1),
		"line":     "state: \"" + strings.Repeat("x", maxLine) + "\"\n",
		"brackets": "web: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n",
		"utf16":    "\xff\xfew\x00e\x00b\x00",
		"latin1":   "web: {listen: caf\xe9}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(text), kinds)
			if err == nil {
				t.Fatal("the file was taken")
			}
			t.Log(err)
		})
	}
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "orders_per_day", "store", "on", "cup"}
	for got, want := range map[string]string{
		"listn": "listen", "LISTEN": "listen", "lsiten": "listen", "orders-per-day": "orders_per_day",
		"order_per_days": "orders_per_day", "cups": "cup", "xyz": "", "": "", "stores": "store", "of": "",
		"completely": "",
	} {
		if w := nearest(got, words); w != want {
			t.Errorf("nearest(%q) = %q, want %q", got, w, want)
		}
	}
}

// FuzzParse: no text makes the loader panic, go on for long, or take more than
// 1 MiB of memory for each 4 KiB; what it takes is
// within its promises, and every problem has a reason, a fix and a place that
// is in the file.
func FuzzParse(f *testing.F) {
	f.Setenv(EnvNATS, "")
	files, _ := filepath.Glob("*.yaml")
	for _, name := range files {
		b, _ := os.ReadFile(name)
		f.Add(string(b))
	}
	if ar, err := txtar.ParseFile("testdata/broken.txtar"); err == nil {
		for _, file := range ar.Files {
			if strings.HasSuffix(file.Name, ".yaml") {
				f.Add(string(file.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		got, err := Parse("fuzz.yaml", []byte(text), kinds)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
		runtime.ReadMemStats(&after)
		if n, most := after.TotalAlloc-before.TotalAlloc, uint64(len(text)/4096+1)<<20; n > most {
			t.Errorf("%d bytes of memory for a file of %d", n, len(text))
		}
		if err == nil {
			if len(got.Roles()) == 0 || got.State == "" {
				t.Errorf("taken without roles or state: %+v", got)
			}
			if got.Machine != nil && (!fleet.IsToken(got.Machine.Name) || got.Machine.Cup == "" || got.Broker == nil && got.NATS == nil) {
				t.Errorf("taken: %+v", got.Machine)
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		last := Pos{}
		for _, p := range err.(*Problems).List {
			if p.Reason == "" || p.Fix == "" || p.Pos.Line > lines || strings.ContainsAny(p.String(), "\n\r\x1b\x00") {
				t.Errorf("a problem that helps nobody: %#v", p)
			}
			if p.Pos != (Pos{}) && (p.Pos.Line < last.Line || p.Pos.Line < 1 || p.Pos.Column < 1) {
				t.Errorf("out of order: %v after %v", p, last)
			}
			last = p.Pos
		}
	})
}

// Outputs must come to rest whatever is wrong elsewhere in a file; only what is
// wrong with the machine itself is in the way.
func TestWiring(t *testing.T) {
	t.Setenv(EnvNATS, "")
	const good = `
machine:
  name: zoe
  driver: sim
  serves: {beans: [arabica], milk: [free], sizes: [small]}
  cup: attended
`
	kinds := map[string]Kind{"sim": {Simulated: true, Decode: func(*Map) Settings {
		return settings{complete: func(c *Machine, _ *Map) { wired(c, driver.Grinder, driver.Pump) }}
	}}}
	for name, text := range map[string]string{
		"no shop":        good,
		"a wrong key":    "web: {lisen: 1}\n" + good,
		"a wrong folder": "state: relative\n" + good,
		"unknown":        "machin: 1\n" + good,
	} {
		m, folder, err := Wiring("/etc/barista/zoe.yaml", []byte(text), kinds)
		if err != nil || m == nil || m.Name != "zoe" || folder != "/var/lib/barista/zoe" {
			t.Errorf("%s: %+v in %q, %v", name, m, folder, err)
		}
	}
	for name, text := range map[string]string{
		"no such driver": strings.Replace(good, "driver: sim", "driver: slim", 1),
		"no yaml":        "machine: [",
		"empty":          "",
	} {
		m, folder, err := Wiring("/etc/barista/zoe.yaml", []byte(text), kinds)
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		if m != nil || folder != "/var/lib/barista/zoe" {
			t.Errorf("%s: %+v in %q", name, m, folder)
		}
	}
	if m, _, err := Wiring("shop.yaml", []byte("broker: {listen: none}\n"), kinds); m != nil || err != nil {
		t.Errorf("a shop: %+v %v", m, err)
	}
}

// TestWeb reads every key of the web's section, and what stands where there is none.
func TestWeb(t *testing.T) {
	t.Setenv(EnvNATS, "")
	read := func(text string) *Web {
		t.Helper()
		f, err := Parse("/etc/barista/shop.yaml", []byte("broker: {listen: none}\n"+text), kinds)
		if err != nil {
			t.Fatal(err)
		}
		return f.Web
	}
	want := &Web{Pos: Pos{2, 1}, Listen: DefaultWeb, OpenOrders: 4}
	if diff := cmp.Diff(want, read("web:")); diff != "" {
		t.Error(diff)
	}
	want = &Web{
		Pos: Pos{2, 1}, Listen: ":443", Hosts: []string{"shop.local", "192.168.1.5", "fe80::1"},
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("172.18.0.0/16"), netip.MustParsePrefix("::1/128")},
		Cert:    "/etc/barista/web.crt", CertKey: Credential, PIN: "/etc/barista/pin", OpenOrders: 20, CustomersSettle: true,
	}
	got := read(`web: {listen: ":443", hosts: [Shop.local, 192.168.1.5, "[fe80::1]"], behind_proxy: [127.0.0.1, 172.18.0.0/16, "::1"], cert: /etc/barista/web.crt, key: credential, pin: /etc/barista/pin, open_orders: 20, customers_settle: true}`)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if w := read("web: {listen: 0.0.0.0:8080, plain: true}"); !w.Plain || w.Cert != "" {
		t.Errorf("plain http that was asked for: %+v", w)
	}
}
