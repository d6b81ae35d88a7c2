package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/cmd/barista/term"
	"barista/fleet/keys"
)

// articleEnv makes the test binary one of the public article's programs: "website" or
// "controller". They know their key from seed.txt and their broker from NATS_URL, and
// nothing else can be told them.
const articleEnv = "BARISTA_TEST_ARTICLE"

func beArticle(does string) {
	err := func() error {
		key, err := nats.NkeyOptionFromSeed("seed.txt")
		if err != nil {
			return err
		}
		nc, err := nats.Connect(os.Getenv("NATS_URL"), key)
		if err != nil {
			return err
		}
		defer nc.Close()
		if does == "controller" {
			return decide(nc)
		}
		return orderAtSite(nc)
	}()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// orderAtSite is one visit of the website.
func orderAtSite(nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	kv, err := js.CreateKeyValue(context.Background(), jetstream.KeyValueConfig{Bucket: "orders-values"})
	if err != nil {
		return err
	}
	waiting := "Unknown"
	if e, err := kv.Get(context.Background(), "orders.pending"); err == nil {
		waiting = string(e.Value())
	}
	fmt.Println("waiting:", waiting)
	m, err := nc.Request("coffee.web.requests", []byte(`{"size":"small","bean_type":"arabica","milk":"free","name":"Quentin","sugar_count":"0"}`), 2*time.Second)
	if err != nil {
		return err
	}
	fmt.Println("answer:", string(m.Data))
	return nil
}

// decide serves the requests: all that the stock can cover.
func decide(nc *nats.Conn) error {
	_, err := nc.Subscribe("coffee.web.requests", func(m *nats.Msg) {
		left, err := nc.Request("coffee.stock.arabica.get", nil, 2*time.Second)
		if err == nil {
			err = nc.Publish("coffee.orders.arabica", m.Data)
		}
		if err == nil {
			err = m.Respond([]byte(`{"status":"success","message":"decided by another one"}`))
		}
		fmt.Println("decided with", string(left.Data), "left:", err)
	})
	if err != nil {
		return err
	}
	fmt.Println("waiting for orders")
	select {}
}

// TestArticlesPrograms: the public article's website orders at a shop with keys and TLS
// that was told to accept its key, and its controller decides in ours' place. All that
// they are given is the key in seed.txt, NATS_URL, and the shop's authority where
// programs in Go look for those of the system.
func TestArticlesPrograms(t *testing.T) {
	l := newLocked(t)
	key, err := keys.New("article", "website")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Save(l.file("seed.txt")); err != nil {
		t.Fatal(err)
	}
	shop := func(article, controller string) (stop func()) {
		l.write("shop", fmt.Sprintf("broker: {listen: \"127.0.0.1:%d\", machines: [zoe]%s}\ncontroller: {%s}\nstock: {initial: {arabica: 2000}}\n", l.port, article, controller))
		cmd := l.start("shop")
		l.until("arabica", "stock", "show")
		return func() { endProcess(cmd) }
	}
	program := func(does, ca string) *exec.Cmd {
		cmd := first(false)
		cmd.Dir = l.dir
		cmd.Env = append(os.Environ(), articleEnv+"="+does, "NATS_URL="+l.server(), "SSL_CERT_FILE="+ca)
		return cmd
	}
	site := func(ca string) string {
		out, _ := program("website", ca).CombinedOutput()
		return string(out)
	}
	ca := l.file("shop/keys/ca.pem")
	stop := shop(", article: "+key.Public(), "")
	l.write("zoe", fmt.Sprintf("nats: {servers: [%q], key: %s, ca: %s}\nmachine: {name: zoe, driver: mock, cup: attended, speed: 20, serves: {beans: [arabica], milk: [free], sizes: [small]}}\n",
		l.server(), l.file("shop/keys/machine-zoe.key"), ca))
	zoe := l.start("zoe")
	l.until("ready", "machine", "ls")
	if out := site(l.file("shop.yaml")); !strings.Contains(out, "unknown authority") {
		t.Errorf("it does not know the shop's authority: %s", out)
	}
	stranger := program("website", ca)
	stranger.Dir = t.TempDir()
	if other, err := keys.New("article", "website"); err != nil || other.Save(filepath.Join(stranger.Dir, "seed.txt")) != nil {
		t.Fatal(err)
	}
	if out, _ := stranger.CombinedOutput(); !strings.Contains(string(out), "Authorization Violation") {
		t.Errorf("with a key that the file does not name: %s", out)
	}
	if out := site(ca); !strings.Contains(out, "waiting: ") || strings.Contains(out, "Unknown") || !strings.Contains(out, `"status":"success"`) {
		t.Errorf("the website: %s", out)
	}
	l.until(" served ", "orders")
	stop()

	stop = shop(", article: "+key.Public(), "requests: off")
	decider := l.run("controller", program("controller", ca))
	l.eventually("waiting for orders", func() string { return readText(t, l.file("controller.log")) }, "the article's controller")
	if out := site(ca); !strings.Contains(out, "decided by another one") {
		t.Errorf("the website by the article's controller: %s", out)
	}
	if out := l.says("order", "--size", "small", "--bean", "arabica", "--name", "Ada", "--watch"); !strings.Contains(out, "without a number, see barista orders: decided by another one") {
		t.Errorf("an order by the article's controller: %s", out)
	}
	l.eventually("3 served", func() string {
		return fmt.Sprint(strings.Count(l.says("orders"), " served "), " served")
	}, "the orders that the article's controller dropped in")
	if out := readText(t, l.file("controller.log")); strings.Count(out, "decided with 19") != 2 {
		t.Errorf("the article's controller: %s", out)
	}
	_ = decider.Process.Kill()
	endProcess(zoe)
	stop()

	l.write("typo", fmt.Sprintf("broker: {article: %s}\n", "U"+strings.Repeat("A", 55)))
	cmd := asMain("run", "--config", l.file("typo.yaml"))
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != term.ExitConfig || !strings.Contains(string(out), "a character of it is wrong") {
		t.Errorf("a typo: %d %s", cmd.ProcessState.ExitCode(), out)
	}
	if _, err := os.Stat(l.file("typo/keys")); err == nil {
		t.Error("something was touched")
	}
}
