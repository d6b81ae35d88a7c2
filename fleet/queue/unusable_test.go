package queue_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/keys"
	"barista/fleet/queue"
)

// foreignServer is a server that others run, with a configuration in its own words.
type foreignServer struct {
	t   *testing.T
	dir string
	tls *tls.Config
	srv *server.Server
	url string
}

func (f *foreignServer) options(conf string) *server.Options {
	o := &server.Options{}
	if err := o.ProcessConfigString(conf); err != nil {
		f.t.Fatal(err)
	}
	o.Host, o.Port, o.NoSigs, o.NoLog, o.StoreDir, o.TLSConfig = "127.0.0.1", server.RANDOM_PORT, true, true, f.dir, f.tls
	o.TLSTimeout = 10
	return o
}

func serveForeign(t *testing.T, conf string, with *tls.Config) *foreignServer {
	t.Helper()
	f := &foreignServer{t: t, dir: t.TempDir(), tls: with}
	srv, err := server.NewServer(f.options(conf))
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	f.srv, f.url = srv, fmt.Sprintf("nats://127.0.0.1:%d", srv.Addr().(*net.TCPAddr).Port)
	return f
}

// reload changes its configuration while it runs.
func (f *foreignServer) reload(conf string) {
	f.t.Helper()
	o := f.options(conf)
	o.Port = f.srv.Addr().(*net.TCPAddr).Port
	if err := f.srv.ReloadOptions(o); err != nil {
		f.t.Fatal(err)
	}
}

func users(public ...string) string {
	var b strings.Builder
	b.WriteString("authorization { users: [")
	for _, p := range public {
		fmt.Fprintf(&b, "\n{nkey: %s}", p)
	}
	b.WriteString(" ] }\njetstream { max_file_store: 1GB, max_memory_store: 16MB }")
	return b.String()
}

func newKey(t *testing.T) *keys.Key {
	t.Helper()
	k, err := keys.New("machine", "zoe")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// authority is a CA with a server's certificate.
type authority struct {
	*keys.CA
	t *testing.T
}

func newCA(t *testing.T) authority {
	t.Helper()
	ca, err := keys.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return authority{ca, t}
}

func (a authority) server(good time.Duration, clients *x509.CertPool, names ...string) *tls.Config {
	a.t.Helper()
	p, err := a.Server(names, time.Now(), good)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.TLS()}}
	if clients != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	return c
}

func (a authority) trusted(client *authority, good time.Duration) *tls.Config {
	a.t.Helper()
	if client == nil {
		return keys.ClientTLS(a.Pool(), nil)
	}
	p, err := client.Client("zoe.machine.barista", time.Now(), good)
	if err != nil {
		a.t.Fatal(err)
	}
	return keys.ClientTLS(a.Pool(), p)
}

// unusable connects and wants to be told, of a class, in one line with what to do.
func unusable(t *testing.T, cfg queue.Config, class error, says ...string) {
	t.Helper()
	cfg.Name = "zoe"
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := queue.Connect(ctx, cfg)
	if err == nil {
		defer c.Close()
		_, err = c.Setup(ctx, fleet.DefaultMenu())
	}
	toldOnce(t, err, class, says...)
	if ctx.Err() != nil {
		t.Errorf("%v: it was waited for", class)
	}
}

func toldOnce(t *testing.T, err, class error, says ...string) {
	t.Helper()
	u, is := errors.AsType[*queue.Unusable](err)
	if !is || u.Class != class || u.Fix == "" {
		t.Errorf("wanted %v, got: %v", class, err)
		return
	}
	if s := u.Error(); strings.Contains(s, "\n") || len(s) > 400 {
		t.Errorf("not one line: %s", s)
	}
	for _, s := range says {
		if !strings.Contains(u.Error(), s) {
			t.Errorf("%v does not say %q", u, s)
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	mine, other := newKey(t), newKey(t)
	locked := serveForeign(t, users(mine.Public()), nil)
	open := serveForeign(t, "jetstream { max_file_store: 1GB }", nil)
	at := func(f *foreignServer) []string { return []string{f.url} }
	unusable(t, queue.Config{Servers: at(locked)}, queue.ErrWantsKey, locked.url, "--key FILE")
	unusable(t, queue.Config{Servers: at(locked), Key: other}, queue.ErrRefused, other.Public(), "operator")
	unusable(t, queue.Config{Servers: at(open), Key: mine}, queue.ErrKeyless, "leave the key out")
	secret := strings.Replace(locked.url, "//", "//s3cret:pa55@", 1)
	_, err := queue.Connect(t.Context(), queue.Config{Name: "zoe", Servers: []string{secret, strings.Replace(secret, ":pa55", "", 1)}})
	if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "pa55") {
		t.Errorf("the address was shown with its secret: %v", err)
	}
	limited := serveForeign(t, `jetstream { max_file_store: 1GB }
accounts { SHOP { jetstream: enabled, limits: {max_connections: 1}, users: [ {nkey: `+mine.Public()+`} ] } }`, nil)
	c, err := queue.Connect(t.Context(), queue.Config{Name: "zoe", Servers: at(limited), Key: mine})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	unusable(t, queue.Config{Servers: at(limited), Key: mine}, queue.ErrTooMany, mine.Public())
}

// TestRevokedAndTakenAgain: a key that is taken away is said once, not at each try,
// and heals by itself when an operator takes it again; so does one that was never
// accepted.
func TestRevokedAndTakenAgain(t *testing.T) {
	mine, other := newKey(t), newKey(t)
	f := serveForeign(t, users(other.Public()), nil)
	heard := make(chan *queue.Unusable, 100)
	var log safeBuffer
	cfg := queue.Config{Name: "zoe", Servers: []string{f.url}, Key: mine, Within: time.Millisecond,
		Refused: func(u *queue.Unusable) { heard <- u }, Log: slog.New(slog.NewTextHandler(&log, nil))}
	var c *queue.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if c, err = queue.Connect(t.Context(), cfg); err != nil {
			t.Error(err)
		}
	})
	toldOnce(t, <-heard, queue.ErrRefused)
	f.reload(users(other.Public(), mine.Public())) // an operator accepts it
	wg.Wait()
	if c == nil {
		t.FailNow()
	}
	defer c.Close()
	for range 2 {
		f.reload(users(other.Public()))
		toldOnce(t, <-heard, queue.ErrRefused)
		if c.Up() || c.Amiss() == nil {
			t.Error("a revoked key is still connected")
		}
		tries := c.Amiss()
		brokertest.Eventually(t, "more tries", func() bool { a := c.Amiss(); return a != nil && a != tries })
		back := c.Reconnected()
		f.reload(users(other.Public(), mine.Public()))
		<-back
		if !c.Up() || c.Amiss() != nil {
			t.Errorf("not well again: %v", c.Amiss())
		}
	}
	if n := len(heard); n > 0 {
		t.Errorf("it was said %d times more than once", n)
	}
	if strings.Contains(log.String(), "violation") {
		t.Errorf("each try was logged:\n%s", log.String())
	}
}

func TestCertificatesThatAreRefused(t *testing.T) {
	a, b := newCA(t), newCA(t)
	serve := func(c *tls.Config) []string { return []string{serveForeign(t, users(), c).url} }
	good := serve(a.server(time.Hour, nil, "127.0.0.1"))
	unusable(t, queue.Config{Servers: good, TLS: b.trusted(nil, 0)}, queue.ErrForeign, "CA of this shop")
	unusable(t, queue.Config{Servers: good}, queue.ErrForeign, "the broker wants TLS", "--ca FILE")
	expired := a.server(-time.Hour, nil, "127.0.0.1")
	unusable(t, queue.Config{Servers: serve(expired), TLS: a.trusted(nil, 0)}, queue.ErrExpired, "good from", "clock")
	unusable(t, queue.Config{Servers: serve(a.server(time.Hour, nil, "shop.local")), TLS: a.trusted(nil, 0)}, queue.ErrOtherName, "shop.local")
	old := a.server(time.Hour, nil, "127.0.0.1")
	old.MinVersion, old.MaxVersion = 0, tls.VersionTLS12
	unusable(t, queue.Config{Servers: serve(old), TLS: a.trusted(nil, 0)}, queue.ErrOldTLS)
	unusable(t, queue.Config{Servers: serve(nil), TLS: a.trusted(nil, 0)}, queue.ErrNoTLS, "in the clear")
	mutual := serve(a.server(time.Hour, a.Pool(), "127.0.0.1"))
	unusable(t, queue.Config{Servers: mutual, TLS: a.trusted(nil, 0)}, queue.ErrOwnPair, "--cert")
	unusable(t, queue.Config{Servers: mutual, TLS: a.trusted(&b, time.Hour)}, queue.ErrOwnPair)
	unusable(t, queue.Config{Servers: mutual, TLS: a.trusted(&a, -time.Hour)}, queue.ErrOwnPair)
	// The same with a key and a certificate that are right.
	mine := newKey(t)
	f := serveForeign(t, users(mine.Public()), a.server(time.Hour, a.Pool(), "127.0.0.1"))
	c, err := queue.Connect(t.Context(), queue.Config{Name: "zoe", Servers: []string{f.url}, Key: mine, TLS: a.trusted(&a, time.Hour), Inbox: "_INBOX_op.ada.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Setup(t.Context(), fleet.DefaultMenu()); err != nil {
		t.Error(err)
	}
}

func TestServersThatCantBeTheShops(t *testing.T) {
	mine := newKey(t)
	none := serveForeign(t, "debug: false", nil)
	unusable(t, queue.Config{Servers: []string{none.url}}, queue.ErrNoJetStream, "turn it on")
	apart := serveForeign(t, `jetstream { max_file_store: 1GB }
accounts { SHOP { users: [ {nkey: `+mine.Public()+`} ] }, OTHER { jetstream: enabled } }`, nil)
	unusable(t, queue.Config{Servers: []string{apart.url}, Key: mine}, queue.ErrNoJetStream, "account")
	unusable(t, queue.Config{Servers: []string{none.url}, Domain: "site1"}, queue.ErrNoJetStream, "domain site1")
	small := serveForeign(t, "jetstream { max_file_store: 50MB, max_memory_store: 16MB }", nil)
	unusable(t, queue.Config{Servers: []string{small.url}}, queue.ErrNoSpace, "102.5 MiB", "210.4 MiB", "orders_per_day")
	for _, may := range []string{`"coffee.>"`, `"$JS.API.INFO", "$JS.API.STREAM.INFO.*"`} {
		limited := serveForeign(t, `jetstream { max_file_store: 1GB }
authorization { users: [ {nkey: `+mine.Public()+`, permissions: {publish: {allow: [`+may+`]}, subscribe: {allow: ["_INBOX_zoe.>"]}} } ] }`, nil)
		unusable(t, queue.Config{Servers: []string{limited.url}, Key: mine}, queue.ErrMayNot, "$JS.API.", "barista broker setup")
	}
}

// TestOldServer: one that says in its first line that it is too old.
func TestOldServer(t *testing.T) {
	for version, class := range map[string]error{"2.10.29": queue.ErrOldServer, "1.4.1": queue.ErrOldServer, "2.9.0-beta.2": queue.ErrOldServer} {
		unusable(t, queue.Config{Servers: []string{says(t, version)}}, class, version, "2.11 or later")
	}
	for _, version := range []string{"2.11.0", "2.12.0-RC.1", "3.0.0", "dev"} {
		c, err := queue.Connect(t.Context(), queue.Config{Name: "zoe", Servers: []string{says(t, version)}})
		if err != nil {
			t.Errorf("%s: %v", version, err)
			continue
		}
		c.Close()
	}
}

// says is a server of which nothing is heard but its version.
func says(t *testing.T, version string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				fmt.Fprintf(c, "INFO {\"server_id\":\"x\",\"version\":%q,\"max_payload\":1024,\"headers\":true}\r\n", version)
				for buf := make([]byte, 4096); ; {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if strings.Contains(string(buf[:n]), "PING") {
						fmt.Fprint(c, "PONG\r\n")
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "nats://" + l.Addr().String()
}

// safeBuffer is a log that a test reads while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
