package roles

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// link speaks the protocol of a site's server by hand, as somebody would who has a key and
// wants more than a client gets.
type link struct {
	net.Conn
	*bufio.Reader
}

// open is a link of a key, or says how it was refused.
func open(t *testing.T, leaf string, p person) (*link, string) {
	t.Helper()
	nc, err := net.Dial("tcp", leaf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	l := &link{nc, bufio.NewReader(nc)}
	info := l.line(t)
	var hello struct {
		Nonce string `json:"nonce"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(info, "INFO ")), &hello); err != nil {
		t.Fatal(err, info)
	}
	sig, err := p.Sign([]byte(hello.Nonce))
	if err != nil {
		t.Fatal(err)
	}
	connect, _ := json.Marshal(map[string]any{
		"nkey": p.Key, "sig": base64.RawURLEncoding.EncodeToString(sig), "name": p.Name, "version": "2.15.2", "headers": true, "verbose": false, "domain": p.Name,
	})
	l.say("CONNECT " + string(connect) + "\r\nPING\r\n")
	for {
		switch line := l.line(t); {
		case line == "PONG":
			return l, ""
		case strings.HasPrefix(line, "-ERR"), line == "":
			return nil, line
		}
	}
}

func (l *link) say(what string) { _, _ = l.Write([]byte(what)) }

// line is the next one, empty at the end.
func (l *link) line(t *testing.T) string {
	t.Helper()
	s, err := l.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(s)
}

// hub is a server with a port for links, and everybody but the sites at it.
func hub(t *testing.T) (s *stand, all []person, leaf string) {
	t.Helper()
	all, table := everybody(t)
	text, err := table.Text()
	if err != nil {
		t.Fatal(err)
	}
	dir := store(t)
	if err := os.Rename(filepath.Join(dir, "jetstream", "$G"), filepath.Join(dir, "jetstream", fleet.AccountShop)); err != nil {
		t.Fatal(err)
	}
	s = &stand{table: table}
	s.url, leaf = externalAs(t, "hub", "hub", dir, text, "leafnodes { listen: \"127.0.0.1:-1\", no_advertise: true }\n")
	s.setUp(t, all)
	for _, p := range all {
		if p.Kind != Hub {
			e, err := join(t, s.url, p)
			if err != nil {
				t.Fatal(p.Name, err)
			}
			s.ears = append(s.ears, e)
		}
	}
	return s, all, leaf
}

// site is a member of the tests.
func site(all []person, name string) person {
	return all[slices.IndexFunc(all, func(p person) bool { return p.Kind == Hub && p.Name == name })]
}

// copies is the stream with what the hub has of a site, made as add-site does.
func copies(t *testing.T, admin *ear, name string, more ...string) jetstream.Stream {
	t.Helper()
	at, err := jetstream.NewWithAPIPrefix(admin.Conn, fleet.SiteAPI+"."+name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := at.CreateStream(t.Context(), jetstream.StreamConfig{Name: fleet.SiteStream(name), Subjects: more, Sources: []*jetstream.StreamSource{{
		Name: fleet.StreamEvents, External: &jetstream.ExternalStream{APIPrefix: "$JS." + name + ".API", DeliverPrefix: "sync." + name},
		SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "coffee.events.>", Destination: "coffee.site." + name + ".events.>"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// msgs is how many messages are in it now; -1: it is gone.
func msgs(t *testing.T, s jetstream.Stream) int {
	t.Helper()
	info, err := s.Info(t.Context())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	return int(info.State.Msgs)
}

// realSite is a site's server in a process of its own, linked by the site's key, with some
// events.
func realSite(t *testing.T, p person, leaf string, n int) {
	t.Helper()
	seed, err := p.key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	url, _ := externalAs(t, p.Name, p.Name, t.TempDir(), "accounts { SHOP { jetstream: enabled, users: [{user: a, password: a}] } }\n",
		fmt.Sprintf("leafnodes { remotes: [{url: \"nats-leaf://%s\", account: SHOP, nkey: %s, deny_imports: [\"coffee.>\"], deny_exports: [\"coffee.>\"]}] }\n", leaf, seed))
	nc, err := nats.Connect(url, nats.UserInfo("a", "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: fleet.StreamEvents, Subjects: []string{"coffee.events.>"}}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := js.Publish(t.Context(), "coffee.events."+anOrder+"."+strconv.Itoa(i), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLeaf: the port for the links of sites opens for a site's key and no other. What such
// a key sends comes to the account of its site as its row of the table says, and acks; at
// anything else it is cut off. Nothing that it does comes to the shop of the hub, or to
// what the hub has of another site.
func TestLeaf(t *testing.T) {
	s, all, leaf := hub(t)
	for _, p := range all {
		if p.key != nil && p.Kind != Hub {
			if l, said := open(t, leaf, p); l != nil {
				t.Errorf("the key of %s %s opens the port for sites", p.Kind, p.Name)
			} else if !strings.Contains(said, "Authorization") {
				t.Errorf("%s: %q", p.Name, said)
			}
		}
	}
	const told = 20
	realSite(t, site(all, "site2"), leaf, told)
	other := copies(t, s.ear("admin"), "site2")
	brokertest.Eventually(t, "the hub to have the other site's events", func() bool { return msgs(t, other) == told })
	if _, err := other.GetLastMsgForSubject(t.Context(), fleet.Subject("coffee", "site", "site2", "events", anOrder, "19")); err != nil {
		t.Error(err)
	}
	at, err := jetstream.NewWithAPIPrefix(s.ear("admin").Conn, fleet.SiteAPI+".site1")
	if err != nil {
		t.Fatal(err)
	}
	caught, err := at.CreateStream(t.Context(), jetstream.StreamConfig{Name: "caught", Subjects: []string{">"}, NoAck: true, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}

	js := s.orders(t, 3)
	// An order in the hands of a machine, which an ack would end.
	s.ear("leo").listen(t, "_INBOX_leo.order")
	if err := s.ear("leo").PublishRequest("$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-robusta-free", "_INBOX_leo.order", []byte(`{"batch":1}`)); err != nil {
		t.Fatal(err)
	}
	s.listens(t)
	s.settle(t)
	before := s.shop(t, js)
	for _, e := range s.ears {
		e.forget()
	}
	allowed, refused := 0, 0
	var not []string
	for _, subject := range append(subjects(), "sync.site1.x.y", "$JS.ACK.coffee-orders.maker-robusta-free.1.1.1.1.0") {
		// The server lets acks, and answers to requests of other accounts, pass over a link
		// without asking: that is why it ends there.
		want := anyMatches(site(all, "site1").Rights().Publish, subject) || strings.HasPrefix(subject, "$JS.ACK.") || strings.HasPrefix(subject, "_R_.")
		if alive := sends(t, leaf, site(all, "site1"), subject); alive != want {
			t.Errorf("a site sends to %s: the link goes on %v, by the table %v", subject, alive, want)
		}
		came := func() bool {
			_, err := caught.GetLastMsgForSubject(t.Context(), subject)
			return err == nil
		}
		if want {
			allowed++
			brokertest.Eventually(t, subject+" of a site", came)
			continue
		}
		refused++
		not = append(not, subject)
	}
	// What is stored after all of them is behind each that came in spite of the table.
	const last = "sync.site1.after.all"
	if !sends(t, leaf, site(all, "site1"), last) {
		t.Fatal("a site may not send its events any more")
	}
	brokertest.Eventually(t, last, func() bool {
		_, err := caught.GetLastMsgForSubject(t.Context(), last)
		return err == nil
	})
	for _, subject := range not {
		if _, err := caught.GetLastMsgForSubject(t.Context(), subject); err == nil {
			t.Errorf("a site sends to %s: it came to the site's account, against the table", subject)
		}
	}
	s.untouched(t, js, before)
	if n := msgs(t, other); n != told {
		t.Errorf("of the other site's %d events %d are left", told, n)
	}
	t.Logf("%d subjects that a site sends to, %d at which it is cut off", allowed, refused)
}

// untouched sees that nothing came to anybody of the shop, and that it is as it was.
func (s *stand) untouched(t *testing.T, js jetstream.JetStream, before map[string]string) {
	t.Helper()
	s.settle(t)
	for _, e := range s.ears {
		for _, m := range e.forget() {
			t.Errorf("%s of the hub's shop heard %s %q", e.Name, m.Subject, m.Data)
		}
	}
	if d := cmp.Diff(before, s.shop(t, js)); d != "" {
		t.Errorf("a site has changed the shop of the hub:\n%s", d)
	}
	c, err := js.Consumer(t.Context(), fleet.StreamOrders, fleet.MakerDurable(robusta))
	if err != nil || c.CachedInfo().NumAckPending != 1 {
		t.Errorf("the order in a machine's hands: %+v, %v", c, err)
	}
}

// sends opens a link, and sends to a subject with every aim for an answer: plainly, and as
// the flow control of a stream, which is answered by who follows it. It reports whether
// the link goes on.
func sends(t *testing.T, leaf string, p person, subject string) bool {
	t.Helper()
	l, said := open(t, leaf, p)
	if l == nil {
		t.Fatalf("a site's own key: %s", said)
	}
	defer l.Close()
	for _, aim := range append([]string{"sync.site1.reply"}, aims()...) {
		for _, header := range []string{"NATS/1.0\r\n\r\n", "NATS/1.0 100 FlowControl Request\r\n\r\n"} {
			l.say(fmt.Sprintf("HMSG %s %s %d %d\r\n%s\r\n", subject, aim, len(header), len(header), header))
		}
	}
	l.say("PING\r\n")
	for {
		switch l.line(t) {
		case "PONG":
			return true
		case "":
			return false
		}
	}
}

// asSite has a link take the part of the site's own server: it waits for the hub to ask for
// the events, says yes, and returns the subject on which they are wanted.
func (l *link) asSite(t *testing.T, name string) (deliver string) {
	t.Helper()
	l.say("LS+ $JS." + name + ".API.CONSUMER.CREATE." + fleet.StreamEvents + ".>\r\nPING\r\n")
	for {
		line := l.line(t)
		if line == "" {
			t.Fatal("the link was cut")
		}
		f := strings.Fields(line)
		if f[0] == "PING" {
			l.say("PONG\r\n")
		}
		if f[0] != "LMSG" && f[0] != "HMSG" {
			continue
		}
		size, err := strconv.Atoi(f[len(f)-1])
		if err != nil {
			t.Fatal(err, line)
		}
		b := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(l.Reader, b); err != nil {
			t.Fatal(err)
		}
		var ask struct {
			Config json.RawMessage `json:"config"`
		}
		var want struct {
			Name    string `json:"name"`
			Deliver string `json:"deliver_subject"`
		}
		_, body, _ := strings.Cut(string(b), "\r\n\r\n")
		if !strings.HasPrefix(f[1], "$JS."+name+".API.CONSUMER.CREATE.") || json.Unmarshal([]byte(body), &ask) != nil || json.Unmarshal(ask.Config, &want) != nil || want.Deliver == "" {
			continue
		}
		answer := fmt.Sprintf(`{"type":"io.nats.jetstream.api.v1.consumer_create_response","stream_name":%q,"name":%q,"created":"2026-01-01T00:00:00Z","config":%s}`, fleet.StreamEvents, want.Name, ask.Config)
		l.say(fmt.Sprintf("LMSG %s %d\r\n%s\r\n", f[2], len(answer), answer))
		// The hub listens there only after the answer; what comes before is heard by nobody.
		for line := ""; line != "LS+ "+want.Deliver; {
			if line = l.line(t); line == "" {
				t.Fatal("the link was cut before the hub listened for events")
			}
		}
		return want.Deliver
	}
}

// TestForgedSite: who has a site's key, and speaks as its server, can have the hub send
// something empty wherever he likes, which purges and deletes. All that there is to reach
// is what the hub has of his own site.
func TestForgedSite(t *testing.T) {
	s, all, leaf := hub(t)
	const told = 20
	realSite(t, site(all, "site2"), leaf, told)
	other := copies(t, s.ear("admin"), "site2")
	brokertest.Eventually(t, "the hub to have the other site's events", func() bool { return msgs(t, other) == told })
	js := s.orders(t, 3)
	if err := s.ear("leo").PublishRequest("$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-robusta-free", "_INBOX_leo.order", []byte(`{"batch":1}`)); err != nil {
		t.Fatal(err)
	}
	s.listens(t)
	s.settle(t)
	before := s.shop(t, js)
	for _, e := range s.ears {
		e.forget()
	}

	own := copies(t, s.ear("admin"), "site1")
	l, said := open(t, leaf, site(all, "site1"))
	if l == nil {
		t.Fatal(said)
	}
	deliver := l.asSite(t, "site1")
	const control = "NATS/1.0 100 FlowControl Request\r\n\r\n"
	for _, aim := range slices.Concat(aims(), subjects(), []string{
		"$JS.API.STREAM.PURGE." + fleet.SiteStream("site2"), "$JS.API.STREAM.DELETE." + fleet.SiteStream("site2"), "$JS.hub.API.STREAM.DELETE." + fleet.StreamBook,
		fleet.SiteAPI + ".site2.STREAM.DELETE." + fleet.SiteStream("site2"), "$JS.ACK.coffee-orders.maker-robusta-free.1.1.1.1.0",
	}) {
		l.say(fmt.Sprintf("HMSG %s %s %d %d\r\n%s\r\n", deliver, aim, len(control), len(control), control))
	}
	// The last one is the one that is open: it shows that the others were heard.
	l.say(fmt.Sprintf("HMSG %s $JS.API.STREAM.DELETE.%s %d %d\r\n%s\r\n", deliver, fleet.SiteStream("site1"), len(control), len(control), control))
	gone := false
	for over := time.Now().Add(10 * time.Second); !gone && time.Now().Before(over); gone = msgs(t, own) < 0 {
	}
	if !gone {
		t.Error("a site's key no longer removes what the hub has of its own site: take it from what is open")
	}
	s.untouched(t, js, before)
	if n := msgs(t, other); n != told {
		t.Errorf("of the other site's %d events %d are left", told, n)
	}
}
