package main

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list -deps -json` says of one package, without test imports.
type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	Standard   bool
	Deps       []string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Dir,Standard,Deps,Imports,GoFiles", "barista/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]pkg{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for dec.More() {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	return all
}

func under(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return path == r || strings.HasPrefix(path, r+"/") })
}

// TestWalls holds the house together: each wall with its reason.
func TestWalls(t *testing.T) {
	all := packages(t)
	if len(all) < 100 || all["barista/fleet"].Name != "fleet" {
		t.Fatalf("go list found %d packages: the test is blind", len(all))
	}
	type wall struct {
		who    func(string) bool // of our packages
		never  func(string) bool // among all that it reaches
		reason string
	}
	is := func(paths ...string) func(string) bool {
		return func(p string) bool { return slices.Contains(paths, p) }
	}
	in := func(roots ...string) func(string) bool {
		return func(p string) bool { return under(p, roots...) }
	}
	foreign := func(p string) bool { return !all[p].Standard }
	room := func(p string) bool { return under(p, "barista/fleet") && p != "barista/fleet" }
	nats := in("github.com/nats-io/nats.go", "github.com/nats-io/nats-server")
	walls := []wall{
		{is("barista/fleet", "barista/fleet/words", "barista/driver"), foreign, "the words reach the standard library only, so that every room can afford them"},
		{in("barista/fleet/web", "barista/fleet/controller", "barista/fleet/desk", "barista/fleet/ledger", "barista/fleet/stock", "barista/fleet/presence", "barista/fleet/client", "barista/fleet/operators", "barista/fleet/window", "barista/fleet/metrics", "barista/fleet/archive", "barista/fleet/homeassistant", "barista/fleet/alert"), in("barista/machine", "barista/driver"), "what faces the network never reaches metal"},
		{is("barista/fleet/client"), func(p string) bool { return foreign(p) && p != "barista/fleet" && p != "barista/fleet/words" }, "who asks a shop needs its words and no more: any program can afford to ask"},
		{is("barista/fleet/archive"), nats, "where events come from is the queue's affair; the archive knows one table"},
		{is("barista/fleet/alert"), nats, "what is wrong it is told; it calls a person, and asks no shop"},
		{is("barista/fleet/metrics"), nats, "what is told of a shop is read from what its rooms know already, over no connection of its own"},
		{is("barista/fleet/homeassistant"), nats, "MQTT is the server's affair; what is shown of a shop is plain messages, over whatever carries them"},
		{is("barista/fleet/window"), nats, "what a shop shows is asked over a requester, by whoever has one"},
		{in("barista/machine", "barista/driver"), nats, "a machine works and stays safe without any broker"},
		{in("barista/driver"), in("barista/fleet"), "driver says which wire; what and for whom is the fleet's affair"},
		{in("barista/machine"), room, "machine says how; what and for whom is the fleet's affair"},
		{in("barista/machine"), in("periph.io", "github.com/warthog618", "go.bug.st", "barista/driver/gpio", "barista/driver/serial"), "the machine knows parts and signals, no wires"},
		{is("barista/machine/station"), in("barista/configs", "barista/cmd"), "a machine runs by a plan and a folder, whoever wrote the file; its errors are words that cmd gives a code"},
		{is("barista/driver/board"), in("barista/driver/modbus", "barista/driver/lcus", "barista/driver/jura", "barista/driver/gpio", "barista/driver/guard", "barista/driver/plant", "barista/machine"), "what relay boards share knows no kind of board"},
		{is("barista/configs"), in("barista/driver/mock", "barista/driver/gpio", "barista/driver/serial", "barista/driver/jura", "barista/driver/board", "barista/driver/modbus", "barista/driver/lcus"), "the loader knows no kind of driver: cmd hands it the table"},
		{is("barista/fleet/keys"), in("github.com/nats-io/nats.go", "github.com/nats-io/nats-server"), "who somebody is does not depend on who asks for it: pages and verbs use keys without any broker"},
		{is("barista/configs"), in("crypto/tls", "crypto/x509", "github.com/nats-io/nkeys"), "the loader names files of keys, and opens none"},
		{is("barista/cmd/barista/term"), in("barista/fleet", "barista/machine", "barista/driver", "barista/configs"), "what verbs print and ask with knows no shop and no machine"},
		{is("barista/cmd/barista"), in("testing", "barista/configs/kinds/kindtest", "barista/cmd/barista/detect/detecttest", "barista/driver/drivertest", "barista/driver/serial/serialtest", "barista/machine/machinetest", "barista/fleet/brokertest", "barista/fleet/window/windowtest"), "what only tests need is not in the program"},
	}
	for _, w := range walls {
		found := false
		for path, p := range all {
			if !under(path, "barista") || !w.who(path) {
				continue
			}
			found = true
			for _, dep := range p.Deps {
				if dep != path && w.never(dep) {
					t.Errorf("%s reaches %s: %s", path, dep, w.reason)
				}
			}
		}
		if !found {
			t.Errorf("no package behind the wall %q", w.reason)
		}
	}
	// Who alone may import what.
	only := []struct {
		what, who []string
		reason    string
	}{
		{[]string{"github.com/nats-io/nats-server"}, []string{"barista/fleet/broker", "barista/fleet/brokertest"}, "one room embeds the server; tests kill servers that are processes"},
		{[]string{"github.com/nats-io/nats.go"}, []string{"barista/fleet/queue"}, "one room knows the client and JetStream"},
		{[]string{"github.com/nats-io/nkeys"}, []string{"barista/fleet/keys"}, "one room holds seeds"},
		{[]string{"github.com/alexedwards/argon2id", "golang.org/x/crypto/argon2"}, []string{"barista/fleet/operators"}, "one room sees passwords"},
		{[]string{"golang.org/x/crypto/bcrypt"}, []string{"barista/fleet/keys", "barista/cmd/barista/door"}, "what a broker compares a password with is made for our own, and for the files of a cluster"},
		{[]string{"periph.io", "github.com/warthog618"}, []string{"barista/driver/gpio"}, "one room knows lines and buses"},
		{[]string{"go.bug.st/serial"}, []string{"barista/driver/serial"}, "one owner per port"},
		{[]string{"github.com/prometheus"}, []string{"barista/fleet/metrics", "barista/cmd/barista/health"}, "one room counts; the shop hands it what it counts from"},
		{[]string{"database/sql", "modernc.org", "github.com/jackc"}, []string{"barista/fleet/archive"}, "one room speaks SQL"},
		{[]string{"github.com/wneessen/go-mail", "net/smtp"}, []string{"barista/fleet/alert"}, "one room writes letters"},
		{[]string{"barista/cmd/barista/chaos"}, []string{"barista/cmd/barista"}, "faults are had in a demo alone"},
		{[]string{"github.com/coreos/go-systemd"}, []string{"barista/cmd/barista"}, "a room does not know who started it"},
	}
	for _, o := range only {
		for path, p := range all {
			if !under(path, "barista") || under(path, o.who...) {
				continue
			}
			for _, i := range p.Imports {
				if under(i, o.what...) {
					t.Errorf("%s imports %s: %s", path, i, o.reason)
				}
			}
		}
	}
	// What breaks machines on purpose is made in one file.
	for _, file := range all["barista/cmd/barista"].GoFiles {
		text, err := os.ReadFile(filepath.Join(all["barista/cmd/barista"].Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "chaos.New(") && file != "demo.go" {
			t.Errorf("%s makes a room of chaos: faults are had in a demo alone", file)
		}
	}
	// An outcome is one word, from the journal to the claim. It must stay the only
	// one that comes into a machine.
	for path, p := range all {
		if under(path, "barista/machine") && path != "barista/machine/journal" && slices.Contains(p.Imports, "barista/fleet") {
			t.Errorf("%s imports barista/fleet: only the journal knows a word of the fleet, the outcome", path)
		}
	}
	// Rooms of the fleet know the words, and the sentences for them, and nobody else.
	rooms := map[string][]string{
		"barista/fleet/worker":     {"barista/fleet", "barista/machine"},
		"barista/fleet/brokertest": {"barista/fleet"},
		"barista/fleet/door":       {"barista/fleet/keys", "barista/fleet/roles"}, // it keeps the table's members, who are known by keys
		// tests alone
		"barista/fleet/window/windowtest": {"barista/fleet"},
	}
	for path, p := range all {
		if !under(path, "barista/fleet") || path == "barista/fleet" {
			continue
		}
		for _, i := range p.Imports {
			if !under(i, "barista") || i == "barista/fleet" || i == "barista/fleet/words" || under(i, path) || under(i, rooms[path]...) {
				continue
			}
			t.Errorf("%s imports %s: a room knows the words and no other room; cmd/barista/shop.go joins them", path, i)
		}
	}
	for path, p := range all {
		if under(path, "barista") && slices.Contains([]string{"util", "utils", "common", "helpers", "helper", "types"}, p.Name) {
			t.Errorf("%s: a package is a noun from the shop or the door to one outside thing", path)
		}
	}
}

// TestEveryPackageIsIntroduced wants one package comment per package, so that a
// newcomer can read the house room by room.
func TestEveryPackageIsIntroduced(t *testing.T) {
	for path, p := range packages(t) {
		if !under(path, "barista") {
			continue
		}
		var with []string
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				with = append(with, f)
			}
		}
		if len(with) != 1 {
			t.Errorf("%s has %d package comments (%s), wanted one", path, len(with), strings.Join(with, ", "))
		}
	}
}

// TestTopLevel keeps the listing that explains the program.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"cmd", "configs", "driver", "fleet", "machine", "systemd", "testdata", "dist"}
	allowed = append(allowed, "state") // what the README's own commands leave; git ignores it
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("top-level folder %s: the house has none of that name", e.Name())
		}
	}
}

// TestOneLog: what a service says goes where its log goes, in its form. The
// standard library's own logger has another form, and knows no level.
func TestOneLog(t *testing.T) {
	for path, p := range packages(t) {
		if !under(path, "barista") {
			continue
		}
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"slog.Default(", "slog.Debug(", "slog.Info(", "slog.Warn(", "slog.Error(", "slog.With(", "\"log\"\n"} {
				if strings.Contains(string(text), word) {
					t.Errorf("%s/%s uses %s: take the log that the room was given", path, file, strings.TrimSpace(word))
				}
			}
		}
	}
}
