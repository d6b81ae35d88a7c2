package page

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"barista/configs"
	"barista/fleet"
	"barista/fleet/keys"
	"barista/fleet/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nobody is a shop that says nothing.
type nobody struct{ web.Shop }

func (nobody) Standing(context.Context) (fleet.Standing, error) { return fleet.Standing{}, nil }
func (nobody) Menu() fleet.Menu                                 { return fleet.Menu{} }

func parts() web.Parts {
	return web.Parts{Shop: nobody{}, Levels: func(context.Context) (map[string]fleet.Level, error) { return nil, nil }, Log: slog.New(slog.DiscardHandler)}
}

// serve opens the page and serves it until the test ends.
func serve(t *testing.T, f *configs.Web) *Page {
	t.Helper()
	p, err := Open(&configs.File{Web: f, State: t.TempDir()}, parts())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func pair(t *testing.T, names ...string) (ca *keys.CA, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	ca, err := keys.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.Server(names, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "web.crt"), filepath.Join(dir, "web.key")
	if err := p.Save(cert, key); err != nil {
		t.Fatal(err)
	}
	return ca, cert, key
}

// Beyond loopback only with TLS, or where plain http was asked for; also for who
// wrote no file, such as a demo.
func TestOpenToTheNetwork(t *testing.T) {
	for _, at := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		if p, err := Open(&configs.File{Web: &configs.Web{Listen: at}, State: t.TempDir()}, parts()); err == nil || !strings.Contains(err.Error(), "without TLS") {
			t.Errorf("%s: %v", at, err)
			p.Close()
		}
	}
	p := serve(t, &configs.Web{Listen: "0.0.0.0:0", Plain: true, Hosts: []string{"shop.test"}})
	if err := p.Answers(t.Context()); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	p.Greet(&out)
	_, port, _ := net.SplitHostPort(p.Listener.Addr().String())
	if want := "  order   http://shop.test:" + port + "\n  board   http://shop.test:" + port + "/board\n"; out.String() != want {
		t.Errorf("greeted %q, want %q", &out, want)
	}
	if want := "http://127.0.0.1:" + port; p.URL() != want {
		t.Errorf("this computer's is %s, want %s", p.URL(), want)
	}
	// Behind a proxy, its public address is not ours to guess.
	p = serve(t, &configs.Web{Listen: "127.0.0.1:0"})
	out.Reset()
	p.Greet(&out)
	if want := "  order   http://" + p.Listener.Addr().String() + "\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("greeted %q, want %q", &out, want)
	}
}

// TLS 1.3 with HTTP/2, under the certificate's names.
func TestTLS(t *testing.T) {
	ca, cert, key := pair(t, "shop.test")
	p := serve(t, &configs.Web{Listen: "0.0.0.0:0", Cert: cert, CertKey: key})
	if err := p.Answers(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(p.customer, "https://shop.test:") {
		t.Errorf("customers are sent to %s", p.customer)
	}
	_, port, _ := net.SplitHostPort(p.Listener.Addr().String())
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("https://shop.test:" + port + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != 200 {
		t.Errorf("%s %s", res.Proto, res.Status)
	}
	old, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.test", MaxVersion: tls.VersionTLS12})
	if err == nil {
		old.Close()
		t.Error("TLS 1.2 was spoken")
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(&configs.File{Web: &configs.Web{Listen: "127.0.0.1:0", Cert: cert, CertKey: key}, State: t.TempDir()}, parts()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
}

func TestPINFile(t *testing.T) {
	dir := t.TempDir()
	file := func(text string, mode os.FileMode) string {
		path := filepath.Join(dir, "pin")
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if s, err := pin(file(" 47 11\n", 0o600)); err != nil || s != "47 11" {
		t.Errorf("%q %v", s, err)
	}
	for text, mode := range map[string]os.FileMode{"4711": 0o644, "": 0o600, "123": 0o600, "12\n34": 0o600, strings.Repeat("x", 65): 0o600} {
		if s, err := pin(file(text, mode)); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q %o: %q %v", text, mode, s, err)
		}
	}
	t.Setenv(keys.EnvCredentials, "")
	if _, err := pin(configs.Credential); err == nil || !strings.Contains(err.Error(), "LoadCredential=web.pin") {
		t.Error(err)
	}
	t.Setenv(keys.EnvCredentials, dir)
	if err := os.WriteFile(filepath.Join(dir, "web.pin"), []byte("0815\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	if s, err := pin(configs.Credential); err != nil || s != "0815" {
		t.Errorf("%q %v", s, err)
	}
}

// While nobody is an operator, each start prints a code to become one, and where.
func TestFirstOperatorIsToldWhere(t *testing.T) {
	dir := t.TempDir()
	greet := func(f *configs.Web) (string, *Page) {
		t.Helper()
		p, err := Open(&configs.File{Path: "shop.yaml", Web: f, State: dir}, parts())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		var out strings.Builder
		p.Greet(&out)
		return out.String(), p
	}
	code := regexp.MustCompile(`[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}`)
	first, _ := greet(&configs.Web{Listen: "127.0.0.1:0"})
	if !regexp.MustCompile(`open http://127\.0\.0\.1:\d+/login\n`).MatchString(first) || !code.MatchString(first) {
		t.Error(first)
	}
	_, cert, key := pair(t, "shop.test")
	for where, f := range map[string]*configs.Web{
		"https://shop.test:":        {Listen: "0.0.0.0:0", Cert: cert, CertKey: key, Hosts: []string{"shop.test"}},
		"http://127.0.0.1:":         {Listen: "0.0.0.0:0", Plain: true}, // no password in the clear
		"the page's public address": {Listen: "127.0.0.1:0", Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	} {
		if out, _ := greet(f); !strings.Contains(out, "operator open "+where) {
			t.Errorf("want %s in %s", where, out)
		}
	}
	last, p := greet(&configs.Web{Listen: "127.0.0.1:0"})
	if code.FindString(first) == code.FindString(last) {
		t.Error("the code of the start before is printed again")
	}
	if err := p.staff.Set("zoe", "seven green herons"); err != nil {
		t.Fatal(err)
	}
	if out, _ := greet(&configs.Web{Listen: "127.0.0.1:0"}); code.MatchString(out) {
		t.Errorf("there is an operator, and a code: %s", out)
	}
	var out strings.Builder
	demo, err := Open(&configs.File{Web: &configs.Web{Listen: "127.0.0.1:0"}, State: t.TempDir()}, parts())
	if err != nil {
		t.Fatal(err)
	}
	defer demo.Close()
	demo.Greet(&out)
	if code.MatchString(out.String()) {
		t.Errorf("a demo asks for an operator: %s", out.String())
	}
}

// TestBrokerAt: what is typed on a computer that joins.
func TestBrokerAt(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if name = strings.ToLower(name); !strings.Contains(name, ".") {
		name += ".local"
	}
	for listen, want := range map[string]string{
		configs.ListenNone: "", "127.0.0.1:4222": "127.0.0.1:4222", "shop.local:4333": "shop.local:4333", "[fe80::1]:4222": "[fe80::1]:4222",
		":4222": name + ":4222", "0.0.0.0:4333": name + ":4333", "[::]:4222": name + ":4222",
	} {
		if got := brokerAt(&configs.Broker{Listen: listen}); got != want {
			t.Errorf("%s: %q, want %q", listen, got, want)
		}
	}
	if got := brokerAt(nil); got != "" {
		t.Errorf("%q of no broker", got)
	}
}
