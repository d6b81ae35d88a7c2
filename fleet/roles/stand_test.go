package roles

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/queue"
)

// serverFile names the configuration with which the test binary is a NATS server of its
// own, in a process of its own.
const serverFile = "BARISTA_ROLES_SERVER"

func TestMain(m *testing.M) {
	if file := os.Getenv(serverFile); file != "" {
		if err := beServer(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// The server's clock, which a test under fake time starts outside of its bubble, runs
	// for good.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		// As in fleet/queue: the server asks a site to forget its reader, and waits ten seconds.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).tryDeleteSourcingConsumer.func1"), goleak.Cleanup(func(code int) {
			if dir, err := made(); err == nil {
				os.RemoveAll(dir)
			}
			os.Exit(code)
		}))
}

// beServer serves until its standard input ends.
func beServer(file string) error {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("not ready")
	}
	v, err := srv.Varz(nil)
	if err != nil {
		return err
	}
	fmt.Println(srv.ClientURL(), fmt.Sprint("127.0.0.1:", v.LeafNode.Port))
	_, _ = io.Copy(io.Discard, os.Stdin)
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}

// person is a member of a test with the key that proves it; none comes without one.
type person struct {
	Member
	key nkeys.KeyPair
}

func (p person) Public() string                    { return p.Key }
func (p person) JWT() string                       { return "" }
func (p person) Sign(nonce []byte) ([]byte, error) { return p.key.Sign(nonce) }

var (
	arabica = fleet.Class{Bean: "arabica", Milk: "free"}
	robusta = fleet.Class{Bean: "robusta", Milk: "free"}
)

// everybody is one member of each kind, and two where one must not reach the other.
func everybody(t testing.TB) (all []person, table Table) {
	t.Helper()
	for _, m := range []Member{
		{Kind: Admin, Name: "admin"}, {Kind: Controller, Name: "controller"}, {Kind: Stock, Name: "stock"}, {Kind: Article, Name: "article"},
		{Kind: Machine, Name: "zoe", Classes: []fleet.Class{arabica}}, {Kind: Machine, Name: "leo", Classes: []fleet.Class{arabica, robusta}},
		{Kind: Web, Name: "web"}, {Kind: Web, Name: "counter"}, {Kind: Operator, Name: "lea"}, {Kind: Operator, Name: "max"}, {Kind: Monitor, Name: "monitor"}, {Kind: Archive, Name: "archive"},
		{Kind: Hub, Name: "site1"}, {Kind: Hub, Name: "site2"}, {Kind: Guest, Name: "first"}, {Kind: Guest, Name: "second"},
	} {
		key, pub := newKey(t)
		m.Key = pub
		all, table.Members = append(all, person{m, key}), append(table.Members, m)
	}
	table.Foreign = true
	for _, name := range []string{"foreign", "stranger"} {
		all = append(all, person{Member: Member{Kind: Foreign, Name: name}})
	}
	return all, table
}

// made is a store as a shop has left it that has had no keys, and was then opened with
// some. It is made once, and each test has a copy.
var made = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "barista-roles-")
	if err != nil {
		return "", err
	}
	return dir, furnish(dir)
})

func furnish(dir string) error {
	ctx := context.Background()
	b, err := broker.Open(ctx, broker.Config{Name: "before", Store: dir, MaxStore: 2 << 30})
	if err != nil {
		return err
	}
	defer b.Close()
	c, err := queue.Connect(ctx, queue.Config{Name: "controller", InProcess: b})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Setup(ctx, fleet.DefaultMenu())
	return err
}

func store(t testing.TB) string {
	t.Helper()
	from, err := made()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// servers are the two ways in which the text of a table is used.
var servers = map[string]func(t *testing.T, dir, text string) (url string){
	"embedded": func(t *testing.T, dir, text string) string {
		b, err := broker.Open(context.Background(), broker.Config{Name: "shop", Store: dir, MaxStore: 2 << 30, Listen: "127.0.0.1:0", Accounts: text, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b.URL()
	},
	"external": func(t *testing.T, dir, text string) string {
		// What a server of somebody else's finds is his; here it is moved by hand.
		if err := os.Rename(filepath.Join(dir, "jetstream", "$G"), filepath.Join(dir, "jetstream", fleet.AccountShop)); err != nil {
			t.Fatal(err)
		}
		url, _ := external(t, dir, text, "")
		return url
	},
}

// external starts a server in a process of its own; leaf is its port for links, if more
// gives it one.
func external(t *testing.T, dir, text, more string) (url, leaf string) {
	t.Helper()
	return externalAs(t, "shop", "", dir, text, more)
}

// externalAs is external with the server's name and the domain of its JetStream.
func externalAs(t *testing.T, name, domain, dir, text, more string) (url, leaf string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	conf := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:-1\"\nmax_payload: 1MB\njetstream {store_dir: %q, domain: %q, max_file_store: 2GB, max_memory_store: 16MB}\n%s%s", name, dir, domain, more, text)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverFile+"="+file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server's process: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	at := strings.Fields(line)
	return at[0], at[1]
}

// ear is a member's connection: it hears all that it may, and remembers. One goroutine
// uses it.
type ear struct {
	person
	*nats.Conn
	rights Rights
	came   chan *nats.Msg // what the client has read, in the order in which the broker sent it
	heard  []*nats.Msg
	answer func(*nats.Msg) // to each request once; nil: silence
}

// join connects a member.
func join(t *testing.T, url string, p person, more ...nats.Option) (*ear, error) {
	t.Helper()
	e := &ear{person: p, rights: p.Rights(), came: make(chan *nats.Msg, 1<<14)}
	opts := append([]nats.Option{
		nats.Name(p.Name), nats.CustomInboxPrefix(e.rights.Inbox), nats.NoReconnect(), nats.Timeout(10 * time.Second), nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, more...)
	if p.key != nil {
		opts = append(opts, nats.Nkey(p.Key, p.Sign))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, err
	}
	e.Conn = nc
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	t.Cleanup(func() { nc.Close(); <-closed })
	return e, nil
}

// as is a member's connection as the program makes it: to a broker of this process, or
// by a URL. Nothing that the program does by itself may be refused.
func as(t *testing.T, b *broker.Broker, url string, p person) *queue.Conn {
	t.Helper()
	cfg := queue.Config{Name: p.Name, Servers: []string{url}, Inbox: p.Rights().Inbox, Denied: func(u *queue.Unusable) { t.Errorf("%s: %v", p.Name, u) }}
	if b != nil {
		cfg.InProcess = b
	}
	if p.key != nil {
		cfg.Key = p
	}
	c, err := queue.Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// listen subscribes, and says whether the broker allowed it.
func (e *ear) listen(t *testing.T, subject string) bool {
	t.Helper()
	if _, err := e.ChanSubscribe(subject, e.came); err != nil {
		t.Fatal(err)
	}
	e.flush(t)
	return !e.refused("Subscription", subject)
}

// refused reports whether the broker's last word was a refusal of this.
func (e *ear) refused(what, subject string) bool {
	err := e.LastError()
	return err != nil && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(fmt.Sprintf("for %s to %q", what, subject)))
}

// flush waits until the broker has taken what was sent before, and what it sent to this
// connection before was heard, and answered.
func (e *ear) flush(t *testing.T) {
	t.Helper()
	if err := e.FlushTimeout(20 * time.Second); err != nil {
		t.Fatalf("%s: %v (%v)", e.Name, err, e.LastError())
	}
	answered := map[string]bool{}
	for len(e.came) > 0 {
		m := <-e.came
		e.heard = append(e.heard, m)
		if e.answer != nil && m.Reply != "" && !answered[m.Reply] {
			answered[m.Reply] = true
			e.answer(m)
		}
	}
	if len(answered) == 0 {
		return
	}
	if err := e.FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// forget begins anew, and says what came until now.
func (e *ear) forget() (heard []*nats.Msg) {
	heard, e.heard = e.heard, nil
	return heard
}

// matches reports whether a subject is covered by a pattern, as the server sees it: a
// wildcard of a subscription counts as a word like others.
func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i := range p {
		switch {
		case p[i] == ">":
			return i < len(s)
		case i == len(s), p[i] != "*" && p[i] != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

func anyMatches(patterns []string, subject string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, subject) })
}
