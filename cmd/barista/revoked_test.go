package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"barista/configs"
	"barista/driver"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/keys"
	"barista/fleet/roles"
)

// lockedTown is a broker with keys and TLS, a shop and a machine, each a service that
// reaches it over a socket, in this process.
type lockedTown struct {
	t    *testing.T
	dir  string
	b    *broker.Broker
	ca   *keys.CA
	cert atomic.Pointer[tls.Certificate] // that the broker shows
	own  map[string]roles.Member         // by name
	url  string

	mu  sync.Mutex
	log strings.Builder // of the services
}

func openTown(t *testing.T) *lockedTown {
	t.Helper()
	w := &lockedTown{t: t, dir: t.TempDir(), own: map[string]roles.Member{}}
	var err error
	if w.ca, err = keys.NewCA("shop", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "ca.pem"), w.ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.shows(time.Now(), time.Hour)
	w.newKey(roles.Controller, "shop")
	w.newKey(roles.Machine, "zoe")
	w.b, err = broker.Open(t.Context(), broker.Config{
		Name: "test", Store: filepath.Join(w.dir, "store"), MaxStore: 2 << 30, Listen: "127.0.0.1:0", Accounts: w.accounts("shop", "zoe"), Log: slog.New(slog.DiscardHandler),
		TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.cert.Load(), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.b.Close() })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(w.b.URL(), "tls://"))
	if err != nil {
		t.Fatal(err)
	}
	w.url = "tls://127.0.0.1:" + port
	return w
}

// shows has the broker show a certificate that is good from then on for so long.
func (w *lockedTown) shows(from time.Time, good time.Duration) {
	w.t.Helper()
	pair, err := w.ca.Server([]string{"127.0.0.1"}, from, good)
	if err != nil {
		w.t.Fatal(err)
	}
	cert := pair.TLS()
	w.cert.Store(&cert)
}

// newKey makes somebody's key, in the file of his name, which may have another one.
func (w *lockedTown) newKey(kind roles.Kind, name string) {
	w.t.Helper()
	key, err := keys.New(string(kind), name)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(w.dir, name+".key"))
	if err := key.Save(filepath.Join(w.dir, name+".key")); err != nil {
		w.t.Fatal(err)
	}
	m := roles.Member{Kind: kind, Name: name, Key: key.Public()}
	if kind == roles.Machine {
		m.Classes = fleet.DefaultMenu().Classes()
	}
	w.own[name] = m
}

// accounts are those of the named.
func (w *lockedTown) accounts(names ...string) string {
	w.t.Helper()
	var t roles.Table
	for _, n := range names {
		t.Members = append(t.Members, w.own[n])
	}
	text, err := t.Text()
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// letIn has the broker know those, and nobody else.
func (w *lockedTown) letIn(names ...string) {
	w.t.Helper()
	if err := w.b.Reload(w.accounts(names...)); err != nil {
		w.t.Fatal(err)
	}
}

// start runs a service by its file.
func (w *lockedTown) start(name, roles string) *house {
	w.t.Helper()
	text := fmt.Sprintf("state: %s\nnats: {servers: [%q], key: %s, ca: %s}\n%s\n", filepath.Join(w.dir, name), w.url, filepath.Join(w.dir, name+".key"), filepath.Join(w.dir, "ca.pem"), roles)
	path := filepath.Join(w.dir, name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	f, err := configs.Load(path, loader())
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := openShop(w.t.Context(), slog.New(slog.NewTextHandler(w, nil)).With("service", name), f)
	if err != nil {
		w.t.Fatal(err)
	}
	h := &house{shop: s, t: w.t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("%s ended with: %v", name, err)
		}
	})
	w.t.Cleanup(h.stop)
	return h
}

// Write is the log of the services.
func (w *lockedTown) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// said are the lines of the log with a text.
func (w *lockedTown) said(text string) (lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range strings.Lines(w.log.String()) {
		if strings.Contains(l, text) {
			lines = append(lines, l)
		}
	}
	return lines
}

// TestRefusedAtWork: while a machine pours, the broker's certificate runs out and the
// connection breaks, or the machine's key is taken away. The drink is finished and told
// when it can be; until then log and status say in one line what is wrong and what to
// do, and the service neither ends nor storms the broker.
func TestRefusedAtWork(t *testing.T) {
	w := openTown(t)
	shop := w.start("shop", "controller: {}\nstock: {initial: {arabica: 2000}}")
	c, err := shop.connect(t.Context(), "customer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	shop.conn = c
	const machine = "machine: {name: zoe, driver: mock, cup: attended, speed: 8, serves: {beans: [arabica], milk: [free], sizes: [small]}}"
	zoe := w.start("zoe", machine)
	metal := zoe.plants()[0]
	n := 0
	order := func() string {
		n++
		shop.eventually("the order to be accepted", func() bool {
			a, err := shop.request(fmt.Sprintf(`{"id":%q,"name":"Ada","size":"small","bean_type":"arabica","milk":"free"}`, testID(n)))
			return err == nil && a.OK()
		})
		return testID(n)
	}
	phase := func(id string, want fleet.Phase) (e fleet.Entry) {
		t.Helper()
		shop.eventually(id+" to be "+string(want), func() bool {
			e, err = c.Book().Read(t.Context(), id)
			return err == nil && e.Phase == want
		})
		return e
	}
	for _, x := range []struct {
		what      string
		cut, mend func()
		says      []string
	}{
		{"the certificate is over", func() {
			w.shows(time.Now().Add(-48*time.Hour), 24*time.Hour)
			w.letIn("shop") // it is cut off, and meets the certificate before it could learn why
			w.letIn("shop", "zoe")
		}, func() { w.shows(time.Now(), time.Hour) }, []string{"certificate is not good at this time", "barista key cert"}},
		{"the key is revoked", func() { w.letIn("shop") }, func() { w.letIn("shop", "zoe") }, []string{"refuses this key", "barista enroll", w.own["zoe"].Key}},
	} {
		before, lines := metal.Counts(), len(w.said(x.says[0]))
		id := order()
		shop.eventually("the pump", func() bool { return metal.On(driver.Pump) })
		began := time.Now()
		x.cut()
		shop.eventually("the cut", func() bool { return !zoe.machines[0].conn.Load().Up() })
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s: cut off after %v", x.what, d)
		}
		shop.eventually("the drink to be over", func() bool { return len(zoe.machines[0].Machine.Journal().Unconfirmed()) == 1 })
		shop.eventually("the status to say it", func() bool { return strings.Contains(zoe.words(), x.says[0]) })
		for _, s := range x.says {
			if !strings.Contains(zoe.words(), s) || strings.Contains(zoe.words(), "\n") {
				t.Errorf("%s: the status says %q, and not %q", x.what, zoe.words(), s)
			}
		}
		<-time.After(time.Second) // for what it might do, and say, without a shop
		if l := w.said(x.says[0]); len(l) != lines+1 || !strings.Contains(l[lines], x.says[1]) {
			t.Errorf("%s: the log says it %d times:\n%s", x.what, len(l)-lines, strings.Join(l, ""))
		}
		if e := phase(id, fleet.Brewing); e.Epoch != 1 { // a controller that is told nothing says nothing
			t.Errorf("%+v", e.Claim)
		}
		if now := metal.Counts(); now.Drinks != before.Drinks+1 || now.Partial != 0 || len(now.OnNow()) > 0 {
			t.Errorf("%s: poured %d, broken off %d, on: %v", x.what, now.Drinks-before.Drinks, now.Partial, now.OnNow())
		}
		x.mend()
		if e := phase(id, fleet.Served); e.Epoch != 1 || e.Machine() != "zoe" {
			t.Errorf("%s: %+v", x.what, e.Claim)
		}
		if now := metal.Counts(); now.Drinks != before.Drinks+1 {
			t.Errorf("%s: poured %d", x.what, now.Drinks-before.Drinks)
		}
		if away := zoe.away(); away != "" {
			t.Errorf("%s: afterwards the status says %q", x.what, away)
		}
	}
	for _, f := range metal.Flows() {
		if f.Kind != plant.Drink {
			t.Errorf("poured %+v", f)
		}
	}

	// Started with a key that nobody knows any more: the machine is there, at rest, and
	// says why it has no shop. Let in again, it serves.
	zoe.stop()
	w.letIn("shop")
	zoe = w.start("zoe", machine)
	shop.eventually("the status to say it", func() bool { return strings.Contains(zoe.words(), "refuses this key") })
	if words := zoe.words(); !strings.Contains(words, "barista enroll") || !strings.Contains(words, "ready") {
		t.Errorf("the status says %q", words)
	}
	id := order()
	w.letIn("shop", "zoe")
	phase(id, fleet.Served)
}
