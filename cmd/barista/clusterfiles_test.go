package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	for kind, name := range map[roles.Kind]string{roles.Controller: "shop", roles.Operator: "ada", roles.Machine: "zoe"} {
		key, err := keys.New(string(kind), name)
		k.must(err)
		k.must(key.Save(k.file(name + ".key")))
		args = append(args, k.file(name+".key"))
	}
	if out, err := asMain(append(args, "--servers", strings.Join(hosts, ","))...).CombinedOutput(); err != nil {
		k.t.Fatalf("%v\n%s", err, out)
	}
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

// TestClusterFiles: three servers by the files that barista key cluster-config writes
// become a cluster over TLS; a shop and a machine come in with their keys, and an operator
// orders. Without a key nobody comes in.
func TestClusterFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers and their elections: not with -short")
	}
	t.Parallel()
	k := keyed{t: t, dir: t.TempDir()}
	for range 6 {
		k.ports = append(k.ports, freePort(t))
	}
	k.make()
	cl := brokertest.ClusterOf(t, k.file("n1.conf"), k.file("n2.conf"), k.file("n3.conf"))
	cl.Start()

	s := newSite(t)
	nats := func(key string) string {
		return fmt.Sprintf("nats: {servers: [\"%s\"], key: %s, ca: %s}\n", strings.Join(k.servers(), `", "`), k.file(key), k.file(keys.FileCA))
	}
	shop := s.start("shop", child{Config: s.write("shop", fmt.Sprintf("state: %s\n%scontroller: {}\nstock: {initial: {arabica: 100}}\n", filepath.Join(s.dir, "shop"), nats("shop.key")))})
	_, sock := s.plant("zoe", 5)
	s.start("zoe", child{Config: s.write("zoe", fmt.Sprintf("state: %s\n%smachine:\n  name: zoe\n  driver: mock\n  plant: %s\n  cup: sensor\n  serves: {beans: [arabica], milk: [free], sizes: [small]}\n",
		filepath.Join(s.dir, "zoe"), nats("zoe.key"), sock))})

	verb := func(args ...string) (string, error) {
		cmd := asMain(append(args, "--nats", strings.Join(k.servers(), ","), "--ca", k.file(keys.FileCA))...)
		cmd.Env = append(cmd.Env, configs.EnvNATS+"=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
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
