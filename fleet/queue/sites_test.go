package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/brokertest"
	"barista/fleet/keys"
	"barista/fleet/queue"
	"barista/fleet/roles"
)

var (
	siteCut  = flag.Duration("site-cut", time.Second, "how long the link of a site is cut")
	siteLoad = flag.Int("site-orders", 40, "orders at each of two sites, before the cut, during it, and after it")
)

// party is a broker of a test with keys: a site or the hub.
type party struct {
	*broker.Broker
	admin    *keys.Key
	accounts string
}

func siteKey(t *testing.T, kind roles.Kind, name string) *keys.Key {
	t.Helper()
	k, err := keys.New(string(kind), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// openParty opens it. Who comes over the leaf port is a hub's member, or, with the name of
// a site, an admin who may do so.
func openParty(t *testing.T, cfg broker.Config, members ...roles.Member) party {
	t.Helper()
	admin := siteKey(t, roles.Admin, "admin")
	text, err := roles.Table{Members: append(members, roles.Member{Kind: roles.Admin, Name: "admin", Key: admin.Public()})}.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Kind == roles.Admin {
			text = regexp.MustCompile("(nkey: "+m.Key+", allowed_connection_types: )[^]]*]").ReplaceAllString(text, `${1}["LEAFNODE"]`)
		}
	}
	cfg.Name, cfg.Store, cfg.MaxStore, cfg.Ours, cfg.Accounts, cfg.Log = "barista", t.TempDir(), 2<<30, queue.StreamNames(), text, slog.New(slog.DiscardHandler)
	b, err := broker.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return party{b, admin, text}
}

// conn is the admin's way to his broker, as the shop's roles have it.
func (p party) conn(t *testing.T) *queue.Conn {
	t.Helper()
	c, err := queue.Connect(t.Context(), queue.Config{Name: "admin", InProcess: p, Key: p.admin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// raw is the same for what no room of ours would do.
func (p party) raw(t *testing.T) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(p), nats.Nkey(p.admin.Public(), p.admin.Sign))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// links are all that end or begin at it.
func links(p party) int {
	sites, hub := p.Linked()
	if hub {
		sites++
	}
	return sites
}

// twoSites are a hub and two sites with the same shop in each, linked over TLS by keys.
// lax is a hub of somebody who gives a site every right there.
func twoSites(t *testing.T, lax bool) (hub party, sites map[string]party, wires map[string]*brokertest.Wire) {
	ca, err := keys.NewCA("the chain", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	served, err := keys.ServeOwn(t.TempDir(), ca, []string{"127.0.0.1"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"paris", "lyon"}
	var atHub []roles.Member
	seeds := map[string]string{}
	for _, name := range names {
		k := siteKey(t, roles.Hub, name)
		atHub = append(atHub, roles.Member{Kind: roles.Hub, Name: name, Key: k.Public()})
		if seeds[name], err = k.Seed(); err != nil {
			t.Fatal(err)
		}
	}
	if lax {
		for i := range atHub {
			atHub[i].Kind = roles.Admin
		}
	}
	hub = openParty(t, broker.Config{Domain: "hub", Sites: "127.0.0.1:0", TLS: keys.ServerTLS(served, nil)}, atHub...)
	sites, wires = map[string]party{}, map[string]*brokertest.Wire{}
	for _, name := range names {
		w := brokertest.NewWire(t, strings.TrimPrefix(hub.SitesURL(), "tls://"))
		sites[name], wires[name] = openParty(t, broker.Config{
			Domain: name,
			Leaf:   &broker.Leaf{URL: "tls://" + w.Addr(), Seed: seeds[name], TLS: keys.ClientTLS(ca.Pool(), nil)},
		}), w
	}
	brokertest.Eventually(t, "both links", func() bool { return links(hub) == 2 })
	return hub, sites, wires
}

// TestSites: two sites have one hub, which gets the events of both, each once and in
// the order of its order, also those of the time in which a link was cut; and neither
// shop knows anything of the other.
func TestSites(t *testing.T) {
	t.Parallel()
	hub, sites, wires := twoSites(t, false)
	at := hub.conn(t)
	shops := map[string]*queue.Conn{}
	for name, s := range sites {
		shops[name] = s.conn(t)
		if _, err := shops[name].Setup(t.Context(), fleet.DefaultMenu()); err != nil {
			t.Fatal(name, err)
		}
		for _, want := range []bool{true, false} {
			if isNew, err := at.AddSite(t.Context(), name); err != nil || isNew != want {
				t.Fatal(name, isNew, err)
			}
		}
	}
	t.Run("apart", func(t *testing.T) { apart(t, hub, sites, shops, false) })
	told := map[string]int{}
	tell := func() {
		var all sync.WaitGroup
		for name, c := range shops {
			from := told[name]
			told[name] += *siteLoad
			all.Go(func() { load(t, c, from, from+*siteLoad) })
		}
		all.Wait()
	}
	tell()
	level(t, at, hub, told)
	for name, p := range map[string]party{"hub": hub, "paris": sites["paris"]} { // somebody else is let in or revoked
		if err := p.Reload(p.accounts); err != nil || links(p) == 0 {
			t.Errorf("%s after a reload: %d links, %v", name, links(p), err)
		}
	}
	wires["paris"].Cut(true)
	brokertest.Eventually(t, "the cut to be seen", func() bool { return links(hub) == 1 })
	over := time.After(*siteCut)
	tell()
	<-over
	wires["paris"].Cut(false)
	back := time.Now()
	tell()
	level(t, at, hub, told)
	if list, err := at.Sites(t.Context()); err != nil || len(list) != 2 || list[0].Name != "lyon" || list[1].Name != "paris" || list[0].Keyless {
		t.Errorf("the hub's sites: %+v, %v", list, err)
	}
	if err := at.ForgetSite(t.Context(), "lyon"); err != nil {
		t.Error(err)
	}
	if list, err := at.Sites(t.Context()); err != nil || len(list) != 1 || list[0].Name != "paris" {
		t.Errorf("with one forgotten: %+v, %v", list, err)
	}
	if err := at.ForgetSite(t.Context(), "lyon"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("forgotten twice: %v", err)
	}
	if _, err := at.AddSite(t.Context(), "nantes"); !errors.Is(err, fleet.ErrNobody) {
		t.Errorf("a site that has no key there is added: %v", err)
	}
	t.Logf("cut for %s; level %s after it, with %d events of each site", *siteCut, time.Since(back).Round(100*time.Millisecond), 4*told["paris"])
}

// TestLaxHub: what keeps two shops apart does not hang on the rights that a hub gives: the
// sites' own servers deny it.
func TestLaxHub(t *testing.T) {
	t.Parallel()
	hub, sites, _ := twoSites(t, true)
	shops := map[string]*queue.Conn{}
	for name, s := range sites {
		shops[name] = s.conn(t)
		if _, err := shops[name].Setup(t.Context(), fleet.DefaultMenu()); err != nil {
			t.Fatal(name, err)
		}
	}
	apart(t, hub, sites, shops, true)
}

// load tells what became of some orders, as a controller does: four events each.
func load(t *testing.T, c *queue.Conn, from, to int) {
	for n := from; n < to; n++ {
		for _, e := range []fleet.Event{{Kind: fleet.EvAccepted}, {Kind: fleet.EvClaimed, Epoch: 1}, {Kind: fleet.EvBrewing, Epoch: 1}, {Kind: fleet.EvServed}} {
			e.Order = orderN(n).ID
			if err := c.Events().Publish(t.Context(), e, uint64(n+1)); err != nil {
				t.Error(err) // the site serves whether or not the link is there
				return
			}
		}
	}
}

// level waits until the hub has everything, and looks at each event of it.
func level(t *testing.T, at *queue.Conn, hub party, told map[string]int) {
	t.Helper()
	raw := hub.raw(t)
	for name, n := range told {
		js, err := jetstream.NewWithAPIPrefix(raw, fleet.SiteAPI+"."+name)
		if err != nil {
			t.Fatal(err)
		}
		gathered(t, at, name, uint64(4*n))
		cons, err := js.OrderedConsumer(t.Context(), fleet.SiteStream(name), jetstream.OrderedConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string][]string{}
		got := 0
		for got < 4*n {
			batch, err := cons.Fetch(4*n-got, jetstream.FetchMaxWait(5*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			for m := range batch.Messages() {
				token := strings.Split(m.Subject(), ".")
				if len(token) != 6 || m.Subject() != fleet.Subject("coffee", "site", name, "events", token[4], token[5]) {
					t.Fatalf("on the subject %s", m.Subject())
				}
				seen[token[4]] = append(seen[token[4]], token[5])
				got++
			}
			if err := batch.Error(); err != nil {
				t.Fatal(err)
			}
		}
		for order, kinds := range seen {
			if strings.Join(kinds, " ") != "accepted claimed-1 brewing-1 served" {
				t.Errorf("%s, order %s: %v", name, order, kinds)
			}
		}
		if info, err := js.Stream(t.Context(), fleet.SiteStream(name)); err != nil || info.CachedInfo().State.Msgs != uint64(4*n) || len(seen) != n {
			t.Errorf("%s: %d orders, %d messages, %v; wanted %d orders and four events of each", name, len(seen), info.CachedInfo().State.Msgs, err, n)
		}
	}
}

// gathered waits until the hub has so many events of a site. Its server tries a site
// that was away again after 2 s, 4 s and so on up to two minutes.
func gathered(t *testing.T, at *queue.Conn, name string, want uint64) {
	t.Helper()
	for over := time.Now().Add(4 * time.Minute); ; {
		list, err := at.Sites(t.Context())
		if err == nil && slices.ContainsFunc(list, func(s fleet.Site) bool { return s.Name == name && s.Events >= want && s.Heard }) {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("%s: %d events wanted: %+v, %v", name, want, list, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// apart sees that nothing of a shop passes the links, in no direction, and that hub and
// sites have no power over each other's streams.
func apart(t *testing.T, hub party, sites map[string]party, shops map[string]*queue.Conn, lax bool) {
	raws := map[string]*nats.Conn{"hub": hub.raw(t)}
	heard := make(chan string, 100)
	for name, s := range sites {
		raws[name] = s.raw(t)
	}
	for name, nc := range raws {
		for _, subject := range []string{"coffee.>", "$KV.>"} {
			if _, err := nc.Subscribe(subject, func(m *nats.Msg) { heard <- name + " heard " + m.Subject + ": " + string(m.Data) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for name, nc := range raws {
		for _, subject := range []string{"coffee.web.requests", "coffee.orders.arabica", "coffee.wake.arabica.free", "$KV.coffee-settings.menu2"} {
			if err := nc.Publish(subject, []byte("from "+name)); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			select {
			case what := <-heard:
				if !strings.HasPrefix(what, name+" ") || !strings.HasSuffix(what, "from "+name) {
					t.Errorf("%s published, and %s", name, what)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s does not hear itself: the test is blind", name)
			}
		}
	}
	// An order that was dropped in at one site is there alone.
	for name, c := range shops {
		n := 0
		brokertest.Eventually(t, "the dropped order of "+name, func() bool {
			var err error
			n, err = c.IntakeWaiting(t.Context())
			return err == nil && n > 0
		})
		if n != 1 {
			t.Errorf("%s has %d dropped orders, wanted its own", name, n)
		}
	}
	for from, tries := range map[string][]string{
		"hub": {
			"$JS.paris.API.STREAM.PURGE." + fleet.StreamBook, "$JS.paris.API.STREAM.DELETE." + fleet.StreamEvents, "$JS.paris.API.INFO",
			"$JS.paris.API.STREAM.MSG.GET." + fleet.StreamBook, "$JS.paris.API.CONSUMER.CREATE." + fleet.StreamBook, "$JS.paris.API.CONSUMER.MSG.NEXT.coffee-orders.maker-arabica-free",
		},
		"paris": {
			"$JS.hub.API.STREAM.DELETE." + fleet.SiteStream("lyon"), "$JS.hub.API.STREAM.PURGE." + fleet.SiteStream("paris"), "$JS.hub.API.INFO",
			"$JS.lyon.API.STREAM.PURGE." + fleet.StreamBook, "$JS.lyon.API.INFO", "$JS.lyon.API.CONSUMER.CREATE." + fleet.StreamEvents,
		},
	} {
		for _, subject := range tries {
			if lax && (strings.HasPrefix(subject, "$JS.hub.") || strings.HasSuffix(subject, "."+fleet.StreamEvents)) {
				continue // its streams, and who else reads the events, are the hub's own to refuse
			}
			m, err := raws[from].Request(subject, nil, 300*time.Millisecond)
			if err == nil {
				t.Errorf("%s asked %s and was answered: %s", from, subject, m.Data)
			} else if !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(from, subject, err)
			}
		}
	}
	for _, name := range []string{"paris", "lyon", "hub"} { // each over its own, so that the tries above could have worked
		var answer struct{ Error *struct{ Description string } }
		m, err := raws[name].Request(fmt.Sprintf("$JS.%s.API.INFO", name), nil, 3*time.Second)
		if err == nil {
			err = json.Unmarshal(m.Data, &answer)
		}
		if err != nil || answer.Error != nil {
			t.Errorf("%s asks its own: %v %+v", name, err, answer.Error)
		}
	}
	for _, nc := range raws {
		nc.Close()
	}
}
