package broker

import (
	"context"
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
	for addr, ok := range map[string]bool{
		"127.0.0.1:0": true, "localhost:0": true, "[::1]:4222": true, "127.0.0.2:4222": true,
		"0.0.0.0:4222": false, ":4222": false, "192.168.1.2:4222": false, "[::]:4222": false, "example.org:4222": false,
		"127.0.0.1": false, "127.0.0.1:x": false, "127.0.0.1:70000": false, "127.0.0.1:-1": false,
	} {
		if _, _, err := Loopback(addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
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
