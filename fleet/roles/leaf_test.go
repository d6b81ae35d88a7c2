package roles

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"barista/fleet"
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

// hub is a server with a port for links, and its admin.
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
	s.url, leaf = external(t, dir, text, "leafnodes { listen: \"127.0.0.1:-1\" }\n")
	s.setUp(t, all)
	admin, err := join(t, s.url, all[0])
	if err != nil {
		t.Fatal(err)
	}
	s.ears = []*ear{admin}
	return s, all, leaf
}

// TestLeaf: the port for the links of sites opens for a site's key and no other. Such a
// key sends what its row of the table says, and acks, which is among what is left open;
// at anything else it is cut off, and it comes to nobody.
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
	js := s.orders(t, 3)
	before := s.shop(t, js)
	admin := s.ears[0]
	if !admin.listen(t, ">") {
		t.Fatal(admin.LastError())
	}
	admin.flush(t)
	admin.forget()
	site := all[slices.IndexFunc(all, func(p person) bool { return p.Kind == Hub })]
	allowed, refused := 0, 0
	for _, subject := range append(subjects(), "sync.site1.x.y") {
		// The server lets acks pass over a link without asking, and answers to requests of
		// other accounts, whose subjects nobody can guess.
		want := anyMatches(site.Rights().Publish, subject) || strings.HasPrefix(subject, "$JS.ACK.") || strings.HasPrefix(subject, "_R_.")
		if alive := sends(t, leaf, site, subject); alive != want {
			t.Errorf("a site sends to %s: the link goes on %v, by the table %v", subject, alive, want)
		}
		admin.flush(t)
		if came := slices.ContainsFunc(admin.forget(), func(m *nats.Msg) bool { return m.Subject == subject }); came != want {
			t.Errorf("a site sends to %s: it came %v, by the table %v", subject, came, want)
		}
		if want {
			allowed++
		} else {
			refused++
		}
	}
	if d := cmp.Diff(before, s.shop(t, js)); d != "" {
		t.Errorf("a site has changed the shop:\n%s", d)
	}
	t.Logf("%d subjects that a site sends to, %d at which it is cut off", allowed, refused)
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
