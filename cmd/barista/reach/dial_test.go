package reach_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/keys"
	"barista/fleet/queue"
)

func TestMain(m *testing.M) {
	ats.Register()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// here is a computer of a person: his folders are empty and no variable is set.
func here(t *testing.T) (home string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv(configs.EnvNATS, "")
	t.Setenv(reach.EnvKey, "")
	return filepath.Join(dir, "barista")
}

func serve(t *testing.T, conf string, with *tls.Config) (url string) {
	t.Helper()
	o := &server.Options{}
	if err := o.ProcessConfigString(conf + "\ndebug: false"); err != nil {
		t.Fatal(err)
	}
	o.Host, o.Port, o.NoSigs, o.NoLog, o.StoreDir, o.TLSConfig, o.TLSTimeout = "127.0.0.1", server.RANDOM_PORT, true, true, t.TempDir(), with, 10
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	return fmt.Sprintf("nats://127.0.0.1:%d", srv.Addr().(*net.TCPAddr).Port)
}

func key(t *testing.T, path, role, name string) *keys.Key {
	t.Helper()
	k, err := keys.New(role, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	return k
}

func users(all ...*keys.Key) string {
	s := "authorization { users: ["
	for _, k := range all {
		s += fmt.Sprintf("\n{nkey: %s, permissions: {publish: {allow: [\"coffee.web.requests\"]}, subscribe: {allow: [\"_INBOX_op.%s.>\"]}}}", k.Public(), k.Name())
	}
	return s + " ] }"
}

func dial(t *testing.T, args ...string) (*reach.Conn, error) {
	t.Helper()
	var f reach.Flags
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.Add(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err := f.Dial(ctx)
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

// refused is one line with what to do and the exit code.
func refused(t *testing.T, err error, exit int, says ...string) {
	t.Helper()
	e, is := errors.AsType[*term.Error](err)
	if !is || e.Exit != exit || strings.ContainsAny(e.Message+e.Hint, "\n") {
		t.Errorf("wanted exit %d, got %#v", exit, err)
		return
	}
	for _, s := range says {
		if !strings.Contains(e.Message+"; "+e.Hint, s) {
			t.Errorf("%q is not said: %s; %s", s, e.Message, e.Hint)
		}
	}
}

func TestWhoAVerbIs(t *testing.T) {
	home, dir := here(t), t.TempDir()
	mine, other := filepath.Join(dir, "ada.key"), filepath.Join(dir, "eve.key")
	ada := key(t, mine, "operator", "ada")
	key(t, other, "operator", "eve")
	locked, open := serve(t, users(ada), nil), serve(t, "", nil)

	_, err := dial(t, "--nats", locked)
	refused(t, err, term.ExitUnauthorised, "wants a key", "--key FILE")
	_, err = dial(t, "--nats", locked, "--key", other)
	refused(t, err, term.ExitUnauthorised, "refuses this key", "operator")
	_, err = dial(t, "--nats", open, "--key", mine)
	refused(t, err, term.ExitFailed, "knows no keys", "leave the key out")
	_, err = dial(t, "--nats", locked, "--key", filepath.Join(dir, "none.key"))
	refused(t, err, term.ExitUnauthorised, "there is no key at", "none.key")
	lax := filepath.Join(dir, "lax.key")
	key(t, lax, "operator", "ada")
	if err := os.Chmod(lax, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = dial(t, "--nats", locked, "--key", lax)
	refused(t, err, term.ExitUnauthorised, "chmod 600 "+lax)
	_, err = dial(t, "--nats", "nats://127.0.0.1:1")
	refused(t, err, term.ExitTimeout, "no broker answers")
	_, err = dial(t, "--nats", "http://s3cret@x")
	refused(t, err, term.ExitUsage, "--nats is not the URL")

	t.Setenv(reach.EnvKey, mine)
	if c, err := dial(t, "--nats", locked); err != nil || !c.Through {
		t.Errorf("by the environment: %v", err)
	}
	t.Setenv(reach.EnvKey, "")
	// The key that lies ready on this computer: for its shop, and for a demo beside it.
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(mine, filepath.Join(home, reach.FileKey)); err != nil {
		t.Fatal(err)
	}
	if c, err := dial(t, "--nats", locked); err != nil || !c.Through {
		t.Errorf("by the folder: %v", err)
	}
	if c, err := dial(t, "--nats", open); err != nil || c.Through {
		t.Errorf("the demo beside the shop: %v", err)
	}
}

func TestWhomAVerbBelieves(t *testing.T) {
	home := here(t)
	dir, at := t.TempDir(), t.TempDir()
	ca, err := keys.NewCA("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(at); err != nil {
		t.Fatal(err)
	}
	pair := func(good time.Duration) *tls.Config {
		p, err := ca.Server([]string{"127.0.0.1"}, time.Now(), good)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.TLS()}}
	}
	mine := filepath.Join(dir, "ada.key")
	ada := key(t, mine, "operator", "ada")
	conf := users(ada)
	url := serve(t, conf, pair(time.Hour))
	_, err = dial(t, "--nats", url, "--key", mine)
	refused(t, err, term.ExitFailed, "certificate", "--ca FILE")
	if _, err := dial(t, "--nats", url, "--key", mine, "--ca", filepath.Join(at, keys.FileCA)); err != nil {
		t.Error(err)
	}
	_, err = dial(t, "--nats", serve(t, conf, pair(-time.Hour)), "--key", mine, "--ca", filepath.Join(at, keys.FileCA))
	refused(t, err, term.ExitFailed, "good from")
	_, err = dial(t, "--nats", url, "--key", mine, "--ca", mine)
	refused(t, err, term.ExitUnauthorised, "no certificate in it")
	// What lies beside a key is believed with it, and left out for a demo alone.
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{mine: reach.FileKey, filepath.Join(at, keys.FileCA): reach.FileCA} {
		if err := os.Rename(from, filepath.Join(home, to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []string{url, serve(t, conf, nil), serve(t, "", nil)} {
		if _, err := dial(t, "--nats", at); err != nil {
			t.Error(err)
		}
	}
	_, err = dial(t, "--nats", serve(t, conf, nil), "--key", filepath.Join(home, reach.FileKey))
	refused(t, err, term.ExitFailed, "speaks no TLS", "in the clear")
}

// TestNotAllowed: a verb that its key may not do ends at once, and not by the time
// that an answer may take.
func TestNotAllowed(t *testing.T) {
	here(t)
	mine := filepath.Join(t.TempDir(), "ada.key")
	ada := key(t, mine, "operator", "ada")
	c, err := dial(t, "--nats", serve(t, users(ada), nil), "--key", mine)
	if err != nil {
		t.Fatal(err)
	}
	err = c.While(t.Context(), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := c.Requester().Request(ctx, fleet.Subject("coffee", "stock", "arabica", "get"), nil)
		return err
	})
	refused(t, err, term.ExitUnauthorised, "may not do that")
}

// TestServiceIsNotItsSecret: what is wrong with a service's key is a wrong
// configuration, and shows nothing of it.
func TestServiceIsNotItsSecret(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "barista_zoe.key")
	k := key(t, path, "machine", "zoe")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := strings.TrimSpace(string(text[strings.LastIndex(strings.TrimSpace(string(text)), "\n"):]))
	t.Setenv(keys.EnvCredentials, dir)
	w, err := reach.OfService(&configs.NATS{Key: configs.Credential, Servers: []string{"nats://127.0.0.1:1"}}, "zoe")
	if err != nil || w.Key.Public() != k.Public() || w.Inbox != "_INBOX_zoe" || !w.Through() {
		t.Fatalf("%+v, %v", w, err)
	}
	var cfg queue.Config
	w.Into(&cfg)
	if s := fmt.Sprintf("%v %+v %#v", w, cfg, cfg); strings.Contains(s, seed) || len(seed) < 50 {
		t.Errorf("the seed was shown: %s", s)
	}
	for _, spoil := range []func(){
		func() { os.Chmod(path, 0o604) },
		func() { os.WriteFile(path, []byte(seed+"x"), 0o600); os.Chmod(path, 0o600) },
		func() { os.Remove(path) },
	} {
		spoil()
		_, err = reach.OfService(&configs.NATS{Key: configs.Credential}, "zoe")
		refused(t, err, term.ExitConfig, "nats: ")
		if strings.Contains(fmt.Sprint(err), seed[:20]) {
			t.Errorf("the seed was shown: %v", err)
		}
	}
}
