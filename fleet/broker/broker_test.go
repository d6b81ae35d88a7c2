package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir, listen string) (*Broker, error) {
	t.Helper()
	return Open(context.Background(), Config{Name: "test", Store: dir, Listen: listen, Log: slog.New(slog.DiscardHandler)})
}

// A second broker on one store would damage it: the server itself takes no lock.
func TestOneBrokerPerStore(t *testing.T) {
	dir := t.TempDir()
	first, err := open(t, dir, "none")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, "none"); !errors.Is(err, ErrLocked) {
		t.Errorf("the second: %v", err)
	}
	if err := first.Healthy(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := open(t, dir, "none")
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if again.URL() != "" {
		t.Errorf("no listener, but the URL %s", again.URL())
	}
	again.Close()
}

func TestListen(t *testing.T) {
	neither, keys, cert := Config{}, Config{Accounts: "x"}, Config{TLS: &tls.Config{}}
	both := Config{Accounts: "x", TLS: &tls.Config{}}
	for _, c := range []struct {
		addr string
		cfg  Config
		ok   bool
	}{
		{"127.0.0.1:0", neither, true}, {"localhost:0", neither, true}, {"[::1]:4222", neither, true}, {"127.0.0.2:4222", neither, true},
		{"127.0.0.1", both, false}, {"127.0.0.1:x", both, false}, {"127.0.0.1:70000", both, false}, {"127.0.0.1:-1", both, false},
		{"0.0.0.0:4222", neither, false}, {":4222", neither, false}, {"192.168.1.2:4222", neither, false}, {"[::]:4222", neither, false}, {"example.org:4222", neither, false},
		{"0.0.0.0:4222", keys, false}, {":4222", keys, false}, {"0.0.0.0:4222", cert, false}, {"example.org:4222", cert, false},
		{"0.0.0.0:4222", both, true}, {":4222", both, true}, {"192.168.1.2:4222", both, true}, {"[::]:4222", both, true},
	} {
		c.cfg.Listen = c.addr
		if _, _, err := c.cfg.address(c.addr); (err == nil) != c.ok {
			t.Errorf("%s, keys %t, TLS %t: %v", c.addr, c.cfg.Accounts != "", c.cfg.TLS != nil, err)
		}
	}
	b, err := open(t, t.TempDir(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.URL() == "" {
		t.Error("it listens and has no URL")
	}
	if _, err := open(t, t.TempDir(), "0.0.0.0:0"); err == nil {
		t.Error("open to the network")
	}
}

// A store that can't be used is said in words, and not waited for.
func TestUnusableStore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := open(t, dir, "none"); err == nil {
		b.Close()
		t.Error("a file stands where the store should be")
	} else {
		t.Log(err)
	}
}
