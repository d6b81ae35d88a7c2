package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet/brokertest"
	"barista/fleet/keys"
	"barista/fleet/roles"
)

// keyed is a folder with the files of a cluster: a CA with certificates, keys and
// accounts of three members, passwords of the routes.
type keyed struct {
	t     *testing.T
	dir   string
	ports []int
}

func (k keyed) file(name string) string { return filepath.Join(k.dir, name) }

func (k keyed) write(name, text string) {
	k.t.Helper()
	if err := os.WriteFile(k.file(name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k keyed) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// make has barista write the files, for members whose keys are beside them. The ports
// of the files are mapped to others of this computer, as compose.yaml does for clients.
func (k keyed) make() {
	args := []string{"key", "cluster-config", "--dir", k.dir}
	var hosts []string
	for _, p := range k.ports[3:] {
		hosts = append(hosts, fmt.Sprint("127.0.0.1:", p))
	}
	for kind, name := range map[roles.Kind]string{roles.Controller: "shop", roles.Operator: "ada", roles.Machine: "zoe", roles.Admin: "root"} {
		key, err := keys.New(string(kind), name)
		k.must(err)
		k.must(key.Save(k.file(name + ".key")))
		args = append(args, k.file(name+".key"))
	}
	if out, err := asMain(append(args, "--servers", strings.Join(hosts, ","))...).CombinedOutput(); err != nil {
		k.t.Fatalf("%v\n%s", err, out)
	}
	// These people let no service make a stream.
	const may = `"$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "coffee.>"`
	b, err := os.ReadFile(k.file("accounts.conf"))
	k.must(err)
	line := regexp.MustCompile(`(?m)^.*` + regexp.QuoteMeta(may) + `[^\]]*\]`)
	if len(line.FindAll(b, -1)) != 1 {
		k.t.Fatalf("which line is the controller's?\n%s", b)
	}
	k.write("accounts.conf", line.ReplaceAllString(string(b), `$0, deny: ["$$JS.API.STREAM.CREATE.>", "$$JS.API.STREAM.UPDATE.>", "$$JS.API.STREAM.DELETE.>"]`))
	for i := range 3 {
		name := fmt.Sprint("n", i+1)
		for _, from := range []string{name + ".conf", "common.conf"} {
			b, err := os.ReadFile(k.file(from))
			k.must(err)
			text := strings.NewReplacer(`"0.0.0.0:4222"`, fmt.Sprintf(`"127.0.0.1:%d"`, k.ports[i]), `"0.0.0.0:6222"`, fmt.Sprintf(`"127.0.0.1:%d"`, k.ports[3+i]),
				`"127.0.0.1:8222"`, `"127.0.0.1:-1"`, `"/data/`, fmt.Sprintf(`"%s/data/`, k.dir), `"common.conf"`, fmt.Sprintf(`"%s-common.conf"`, name)).Replace(string(b))
			if from == "common.conf" {
				from = name + "-common.conf"
			}
			k.write(from, text)
		}
	}
}

func (k keyed) servers() (urls []string) {
	for _, p := range k.ports[:3] {
		urls = append(urls, fmt.Sprintf("tls://127.0.0.1:%d", p))
	}
	return urls
}

// setsUp has the admin make the streams for a shop whose key may make none. early is the
// file of one that comes before that.
func (k keyed) setsUp(verb func(...string) (string, error), early string) {
	t := k.t
	t.Helper()
	setup := func(key string, exit int, says ...string) string {
		t.Helper()
		out, err := verb(append([]string{"broker", "setup", "--key", k.file(key)}, says...)...)
		got := 0
		if ee, is := errors.AsType[*exec.ExitError](err); is {
			got = ee.ExitCode()
		}
		if got != exit {
			t.Fatalf("broker setup with %s %v: exit code %d, wanted %d\n%s", key, says, got, exit, out)
		}
		return out
	}
	has := func(out string, what ...string) {
		t.Helper()
		for _, w := range what {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	has(setup("ada.key", term.ExitUnauthorised), "may make none", "admin.key")
	has(setup("root.key", term.ExitUsage, "--replicas", "7"), "1 to 5")
	out, _ := asMain("run", "--config", early).CombinedOutput()
	has(string(out), "may not do that", "barista broker setup")

	// The classes of the menu are nine, each with a queue, and the intake has one.
	has(setup("root.key", term.ExitOK, "--replicas", "1"), "18 made, 0 changed, 0 found, at n1, n2, n3; each stream is for 1 server")
	has(setup("root.key", term.ExitOK, "--replicas", "1"), "0 made, 0 changed, 18 found")
	var raised struct {
		Servers []string
		Parts   []struct {
			Name, State      string
			Replicas, Wanted int
			Changes          []struct{ Figure, Was, Is string }
		}
	}
	if err := json.Unmarshal([]byte(setup("root.key", term.ExitOK, "--json")), &raised); err != nil {
		t.Fatal(err)
	}
	for _, p := range raised.Parts {
		switch {
		case strings.Contains(p.Name, "/"), strings.Contains(p.Name, "orders-values"):
			if p.State != "found" {
				t.Errorf("%+v", p)
			}
		case p.State != "changed" || p.Replicas != 3 || p.Wanted != 3 || len(p.Changes) != 1 || p.Changes[0].Figure != "Replicas" || p.Changes[0].Was != "1" || p.Changes[0].Is != "3":
			t.Errorf("%+v", p)
		}
	}
	if len(raised.Parts) != 18 || len(raised.Servers) != 3 {
		t.Errorf("%+v", raised)
	}
	has(setup("root.key", term.ExitOK, "--orders-per-day", "1000"), "coffee-book", "changed", "MaxBytes 102.5 MiB to 205.1 MiB")
	has(setup("root.key", term.ExitOK), "0 made, 0 changed, 18 found", "for 3 servers")
}

// composed are the configurations of the servers that compose.yaml starts, of each by its
// own command, where its volumes lie in the folder.
func (k keyed) composed() (confs []string) {
	k.t.Helper()
	b, err := os.ReadFile(k.file("compose.yaml"))
	k.must(err)
	var c struct {
		Services map[string]struct {
			Image   string   `yaml:"image"`
			Dir     string   `yaml:"working_dir"`
			Command []string `yaml:"command"`
			Volumes []string `yaml:"volumes"`
			Ports   []string `yaml:"ports"`
		} `yaml:"services"`
		Volumes map[string]any `yaml:"volumes"`
	}
	k.must(yaml.Unmarshal(b, &c))
	published := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		inside := map[string]string{} // the folder of the computer, by that of the container
		for _, v := range s.Volumes {
			p := strings.Split(v, ":")
			if _, named := c.Volumes[p[0]]; !named {
				inside[p[1]] = filepath.Join(k.dir, p[0])
			} else if p[1] != "/data" {
				k.t.Errorf("%s keeps nothing: the volume %s", name, v)
			}
		}
		if len(s.Command) != 2 || s.Command[0] != "-c" || s.Image != "nats:2.12" || len(s.Ports) != 1 {
			k.t.Fatalf("%s: %+v", name, s)
		}
		host, to, _ := strings.Cut(s.Ports[0], ":")
		if to != "4222" || published[host] {
			k.t.Errorf("%s publishes %s", name, s.Ports[0])
		}
		published[host] = true
		dir, file := filepath.Split(s.Command[1])
		conf := filepath.Join(inside[filepath.Clean(dir)], file)
		if _, err := os.Stat(conf); err != nil || inside[filepath.Clean(s.Dir)] == "" {
			k.t.Fatalf("%s is started in %s by %v: %v", name, s.Dir, s.Command, err)
		}
		confs = append(confs, conf)
	}
	if len(confs) != 3 || len(c.Volumes) != 3 {
		k.t.Fatalf("it starts %v, with the volumes %v", confs, c.Volumes)
	}
	return confs
}

// TestClusterFiles: three servers by the files that barista key cluster-config writes
// become a cluster over TLS; a shop and a machine come in with their keys, and an operator
// orders. Without a key nobody comes in.
func TestClusterFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers and their elections: not with -short")
	}
	t.Parallel()
	k := keyed{t: t, dir: searched(t)}
	for range 6 {
		k.ports = append(k.ports, freePort(t))
	}
	k.make()
	cl := brokertest.ClusterOf(t, k.composed()...)
	cl.Start()

	s := newSite(t)
	nats := func(key string) string {
		return fmt.Sprintf("nats: {servers: [\"%s\"], key: %s, ca: %s, orders_per_day: 1000}\n", strings.Join(k.servers(), `", "`), k.file(key), k.file(keys.FileCA))
	}
	verb := func(args ...string) (string, error) {
		cmd := asMain(append(args, "--nats", strings.Join(k.servers(), ","), "--ca", k.file(keys.FileCA))...)
		cmd.Env = append(cmd.Env, configs.EnvNATS+"=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	k.setsUp(verb, s.write("early", fmt.Sprintf("state: %s\n%scontroller: {}\n", filepath.Join(s.dir, "early"), nats("shop.key"))))
	shop := s.start("shop", child{Config: s.write("shop", fmt.Sprintf("state: %s\n%scontroller: {}\nstock: {initial: {arabica: 100}}\n", filepath.Join(s.dir, "shop"), nats("shop.key")))})
	_, sock := s.plant("zoe", 5)
	s.start("zoe", child{Config: s.write("zoe", fmt.Sprintf("state: %s\n%smachine:\n  name: zoe\n  driver: mock\n  plant: %s\n  cup: sensor\n  serves: {beans: [arabica], milk: [free], sizes: [small]}\n",
		filepath.Join(s.dir, "zoe"), nats("zoe.key"), sock))})

	id, last := testID(1), ""
	s.within(2*time.Minute, "an order to be served", func() bool {
		out, err := verb("order", "--id", id, "--size", "small", "--bean", "arabica", "--milk", "free", "--name", "Ada", "--key", k.file("ada.key"))
		last = out
		if err == nil {
			out, err = verb("why", id, "--json", "--key", k.file("ada.key"))
			last += out
		}
		return err == nil && strings.Contains(last, `"served"`)
	})
	if log := shop.log(); !strings.Contains(log, "replicas=3") {
		t.Errorf("the shop says nothing of three servers: %s", log)
	}
	if out, err := verb("status"); err == nil || !strings.Contains(out, "key") {
		t.Errorf("without a key: %v %s", err, out)
	}
}
