package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/keys"
)

var sitesCut = flag.Duration("sites-cut", 2*time.Second, "how long TestSitesByCode cuts the link of a site while customers order")

// branch is a shop of a chain as a process, with keys and a machine of its own.
type branch struct {
	t    *testing.T
	name string
	dir  string // of all of the chain
	port int
	cmd  *exec.Cmd
	ids  []string // of the orders that it has accepted
}

func (b *branch) file(path ...string) string {
	return filepath.Join(append([]string{b.dir, b.name}, path...)...)
}

// starts it with more in its broker: section.
func (b *branch) start(more string) {
	b.t.Helper()
	text := fmt.Sprintf(`state: %s
broker: {listen: "127.0.0.1:%d", domain: %s, %s}
controller: {}
stock: {initial: {arabica: 10000}}
machine: {name: %s-one, driver: mock, cup: attended, speed: 60, serves: {beans: [arabica], milk: [free], sizes: [small]}}
`, b.file(), b.port, b.name, more, b.name)
	path := b.file() + ".yaml"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	log, err := os.Create(b.file() + ".log")
	if err != nil {
		b.t.Fatal(err)
	}
	b.cmd = asMain("run", "--config", path)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		endProcess(b.cmd)
		log.Close()
		if b.t.Failed() {
			b.t.Logf("--- %s:\n%s", b.name, readText(b.t, log.Name()))
		}
	})
	b.until("arabica", "status")
}

// says runs a verb at it, as its operator or, for the verbs of a hub, as its admin.
func (b *branch) says(args ...string) string {
	key := "operator.key"
	if args[0] == "hub" {
		key = "admin.key"
	}
	out, _ := asMain(append(args, "--nats", fmt.Sprintf("tls://localhost:%d", b.port), "--key", b.file("keys", key))...).CombinedOutput()
	return string(out)
}

// until asks again until the verb says what is waited for.
func (b *branch) until(want string, args ...string) string {
	b.t.Helper()
	var out string
	for over := time.Now().Add(time.Minute); time.Now().Before(over); {
		if out = b.says(args...); strings.Contains(out, want) {
			return out
		}
		until(b.t.Context(), time.Now().Add(250*time.Millisecond))
	}
	b.t.Fatalf("%s: barista %s: no %q in\n%s", b.name, strings.Join(args, " "), want, out)
	return ""
}

// joins makes the branch a site of a hub, as README says.
func (b *branch) joins(hub *branch) {
	b.t.Helper()
	var i fleet.Invitation
	if out := hub.says("key", "invite", "hub", b.name, "--json"); json.Unmarshal([]byte(out), &i) != nil || i.Code == "" {
		b.t.Fatal(out)
	}
	enroll := asMain("enroll", i.Code, "--shop", fmt.Sprintf("localhost:%d", hub.port), "--dir", b.file("hub"))
	var said strings.Builder
	enroll.Stdout, enroll.Stderr = &said, &said
	if err := enroll.Start(); err != nil {
		b.t.Fatal(err)
	}
	hub.until(b.name+" waits at the door", "key", "list")
	hub.says("key", "accept", b.name)
	if err := enroll.Wait(); err != nil {
		b.t.Fatalf("%v\n%s", err, said.String())
	}
	for _, want := range []string{"domain: " + b.name, `leaf: {url: "tls://localhost:7422", key: ` + b.file("hub", "hub.key") + ", ca: " + b.file("hub", "hub-ca.pem") + "}"} {
		if !strings.Contains(said.String(), want) {
			b.t.Errorf("enroll does not say %q:\n%s", want, said.String())
		}
	}
}

// conn is a connection with one of its keys.
func (b *branch) conn(key string) *nats.Conn {
	b.t.Helper()
	k, err := keys.Load(b.file("keys", key))
	if err != nil {
		b.t.Fatal(err)
	}
	trust, err := keys.LoadPool(b.file("keys", keys.FileCA))
	if err != nil {
		b.t.Fatal(err)
	}
	nc, err := nats.Connect(fmt.Sprintf("tls://localhost:%d", b.port), nats.Nkey(k.Public(), k.Sign), nats.Secure(keys.ClientTLS(trust, nil)), nats.CustomInboxPrefix("_INBOX_op.home"), nats.Timeout(10*time.Second))
	if err != nil {
		b.t.Fatal(b.name, err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}

// orders goes on ordering until ctx ends.
func (b *branch) orders(ctx context.Context, from int) {
	nc := b.conn("operator.key")
	defer nc.Close()
	for i := from; until(ctx, time.Now().Add(max(400*time.Millisecond, *sitesCut/10))); i++ { // a drip tray holds what some fifteen drinks spill
		id := testID(i)
		m, err := nc.Request(fleet.SubjectRequests, fmt.Appendf(nil, `{"id":%q,"name":"Ada","size":"small","bean_type":"arabica","milk":"free"}`, id), 10*time.Second)
		var a fleet.Answer
		if err == nil {
			err = json.Unmarshal(m.Data, &a)
		}
		if err != nil || !a.OK() {
			b.t.Errorf("%s serves whether or not its link is up: %+v, %v", b.name, a, err)
			return
		}
		b.ids = append(b.ids, id)
	}
}

// eventsOf is what a stream has of each order, in its order, without what is before the id.
func eventsOf(t *testing.T, js jetstream.JetStream, stream string) (all map[string][]string, n int) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(stream, err)
	}
	n, all = int(s.CachedInfo().State.Msgs), map[string][]string{}
	cons, err := js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for got := 0; got < n; {
		batch, err := cons.Fetch(n-got, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			token := strings.Split(m.Subject(), ".")
			id := token[len(token)-2]
			all[id] = append(all[id], token[len(token)-1]+" "+string(m.Data()))
			got++
		}
		if err := batch.Error(); err != nil {
			t.Fatal(err)
		}
	}
	return all, n
}

// TestSitesByCode: a hub that is a shop too and two sites, each a process with keys and TLS,
// joined as a person does it. The link of one is cut while customers order everywhere; all
// are served, and then the hub has of each site what the site has, each event once and in
// order; no shop knows of another's orders. A site whose key is taken away is cut off, and
// what the hub has of it stays.
func TestSitesByCode(t *testing.T) {
	t.Parallel()
	dir, sitesPort := t.TempDir(), freePort(t)
	hub, paris, lyon := &branch{t: t, name: "hub", dir: dir, port: freePort(t)}, &branch{t: t, name: "paris", dir: dir, port: freePort(t)}, &branch{t: t, name: "lyon", dir: dir, port: freePort(t)}
	at := fmt.Sprintf("127.0.0.1:%d", sitesPort)
	hub.start("sites: \"" + at + "\"")
	wire := brokertest.NewWire(t, at)
	if out := hub.says("hub", "add-site", "paris"); !strings.Contains(out, "let in first") || !strings.Contains(out, "barista key invite hub paris") {
		t.Errorf("a site that was not let in: %s", out)
	}
	for _, b := range []*branch{paris, lyon} {
		b.joins(hub)
		_, port, _ := strings.Cut(wire.Addr(), ":")
		if b == lyon {
			port = fmt.Sprint(sitesPort)
		}
		b.start(fmt.Sprintf("leaf: {url: \"tls://localhost:%s\", key: %s, ca: %s}", port, b.file("hub", "hub.key"), b.file("hub", "hub-ca.pem")))
		if out := hub.says("hub", "add-site", b.name); !strings.Contains(out, "it is linked") {
			t.Errorf("add-site %s: %s", b.name, out)
		}
	}
	if out := hub.says("status", "--site", "paris"); !strings.Contains(out, `the broker that answers is that of "hub", and "paris" is meant`) {
		t.Errorf("the hub's broker asked for a site: %s", out)
	}
	if out := paris.says("status", "--site", "paris"); !strings.Contains(out, "paris-one") {
		t.Errorf("a site asked by its name: %s", out)
	}
	ctx, closed := context.WithCancel(t.Context())
	var customers sync.WaitGroup
	for i, b := range []*branch{hub, paris, lyon} {
		customers.Go(func() { b.orders(ctx, 10_000*(i+1)) })
	}
	until(t.Context(), time.Now().Add(time.Second))
	wire.Cut(true)
	until(t.Context(), time.Now().Add(*sitesCut))
	if *sitesCut > 20*time.Second {
		if out := paris.says("status"); !strings.Contains(out, "The hub is away") || !strings.Contains(out, "events wait") {
			t.Errorf("the link is cut, and status says: %s", out)
		}
	}
	wire.Cut(false)
	back := time.Now()
	until(t.Context(), time.Now().Add(time.Second))
	closed()
	customers.Wait()
	for _, b := range []*branch{hub, paris, lyon} {
		apart(t, b)
	}
	for _, b := range []*branch{paris, lyon} {
		b.level(hub)
	}
	t.Logf("cut for %v, level within %v of its end: %d, %d and %d orders", *sitesCut, time.Since(back).Round(100*time.Millisecond), len(hub.ids), len(paris.ids), len(lyon.ids))
	revoked(t, hub, paris)
}

// apart waits until the branch has served what it accepted, and sees that it knows of no
// other order, and has taken the beans of no other.
func apart(t *testing.T, b *branch) {
	t.Helper()
	b.until(`"orders":[]`, "orders", "--open", "--json")
	var have struct {
		Orders []struct {
			ID    string `json:"order_id"`
			Phase string `json:"phase"`
		} `json:"orders"`
	}
	out := b.says("orders", "--json", "--limit", "1000")
	if err := json.Unmarshal([]byte(out), &have); err != nil {
		t.Fatal(err, out)
	}
	var ids []string
	for _, o := range have.Orders {
		ids = append(ids, o.ID)
		if o.Phase != "served" {
			t.Errorf("%s: %s is %s", b.name, o.ID, o.Phase)
		}
	}
	slices.Sort(ids)
	if d := cmp.Diff(b.ids, ids); d != "" {
		t.Errorf("%s has other orders than it accepted:\n%s", b.name, d)
	}
	if out := b.says("stock", "show", "--json"); !strings.Contains(out, fmt.Sprintf(`"on_hand": %d`, 10_000-9*len(b.ids))) && !strings.Contains(out, fmt.Sprintf(`"on_hand":%d`, 10_000-9*len(b.ids))) {
		t.Errorf("%s after %d small ones: %s", b.name, len(b.ids), out)
	}
}

// level waits until the hub has as much of the site as the site itself, and compares.
func (b *branch) level(hub *branch) {
	b.t.Helper()
	js, err := jetstream.New(b.conn("admin.key"))
	if err != nil {
		b.t.Fatal(err)
	}
	want, n := eventsOf(b.t, js, fleet.StreamEvents)
	copied, err := jetstream.NewWithAPIPrefix(hub.conn("admin.key"), fleet.SiteAPI+"."+b.name)
	if err != nil {
		b.t.Fatal(err)
	}
	// The hub's server tries a site that was away again after 2, 4, 6 … seconds.
	for over := time.Now().Add(2 * time.Minute); ; until(b.t.Context(), time.Now().Add(100*time.Millisecond)) {
		s, err := copied.Stream(b.t.Context(), fleet.SiteStream(b.name))
		if err == nil && int(s.CachedInfo().State.Msgs) >= n {
			break
		}
		if time.Now().After(over) {
			b.t.Fatalf("the hub has not all %d events of %s: %v", n, b.name, err)
		}
	}
	have, _ := eventsOf(b.t, copied, fleet.SiteStream(b.name))
	if d := cmp.Diff(want, have); d != "" {
		b.t.Errorf("%s and what the hub has of it (-site +hub):\n%s", b.name, d)
	}
	if len(want) != len(b.ids) {
		b.t.Errorf("%s has events of %d orders, and accepted %d", b.name, len(want), len(b.ids))
	}
}

// revoked takes a site's key away.
func revoked(t *testing.T, hub, site *branch) {
	t.Helper()
	before := hub.says("hub", "sites", "--json")
	if out := hub.says("key", "revoke", "hub", site.name); !strings.Contains(out, "is revoked and cut off") {
		t.Error(out)
	}
	began := time.Now()
	for !strings.Contains(readText(t, site.file()+".log"), "Authorization Violation") {
		if time.Since(began) > 5*time.Second {
			t.Fatalf("%s has a link although its key was taken away:\n%s", site.name, readText(t, site.file()+".log"))
		}
		until(t.Context(), time.Now().Add(50*time.Millisecond))
	}
	var was, is []struct {
		Name   string `json:"name"`
		Events int    `json:"events"`
	}
	out := hub.says("hub", "sites", "--json")
	if err := json.Unmarshal([]byte(before), &was); err != nil {
		t.Fatal(err, before)
	}
	if err := json.Unmarshal([]byte(out), &is); err != nil {
		t.Fatal(err, out)
	}
	if d := cmp.Diff(was, is); d != "" {
		t.Errorf("what the hub has, after a key was taken away: %s", d)
	}
	if out := hub.says("hub", "forget-site", site.name, "--yes"); !strings.Contains(out, "is forgotten") {
		t.Error(out)
	}
	if out := hub.says("hub", "sites"); strings.Contains(out, site.name) {
		t.Error(out)
	}
}
