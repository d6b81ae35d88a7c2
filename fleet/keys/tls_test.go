package keys_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet/keys"
)

// shake connects both ends and reads one byte of the server, so that what TLS 1.3
// says only after the client's handshake is heard too.
func shake(t *testing.T, server, client *tls.Config) (*tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		s := tls.Server(far, server)
		if s.Handshake() == nil {
			s.Write([]byte{1})
		}
		io.Copy(io.Discard, s)
	}()
	c := tls.Client(near, client)
	_, err := io.ReadFull(c, make([]byte, 1))
	cs := c.ConnectionState()
	near.Close()
	<-done
	return &cs, err
}

func named(c *tls.Config, host string) *tls.Config {
	c = c.Clone()
	c.ServerName = host
	return c
}

type shop struct {
	dir    string
	ca     *keys.CA
	served *keys.Served
	log    *bytes.Buffer
}

func openShop(t *testing.T, names ...string) *shop {
	t.Helper()
	s := &shop{dir: filepath.Join(t.TempDir(), "keys"), log: &bytes.Buffer{}}
	var err error
	if s.ca, err = keys.OpenCA(s.dir, "test shop", time.Now()); err != nil {
		t.Fatal(err)
	}
	if s.served, err = keys.ServeOwn(s.dir, s.ca, names, slog.New(slog.NewTextHandler(s.log, nil))); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBothEnds(t *testing.T) {
	s, other := openShop(t, "shop.local", "192.0.2.7"), openShop(t, "shop.local")
	server := keys.ServerTLS(s.served, nil)
	client := keys.ClientTLS(s.ca.Pool(), nil)
	for _, host := range []string{"shop.local", "192.0.2.7"} {
		if cs, err := shake(t, server, named(client, host)); err != nil || cs.Version != tls.VersionTLS13 {
			t.Errorf("%s: %v", host, err)
		}
	}
	old := named(client, "shop.local")
	old.MinVersion, old.MaxVersion = 0, tls.VersionTLS12
	if _, err := shake(t, server, old); err == nil {
		t.Error("a client of TLS 1.2 was served")
	}
	oldServer := server.Clone()
	oldServer.MinVersion, oldServer.MaxVersion = 0, tls.VersionTLS12
	if _, err := shake(t, oldServer, named(client, "shop.local")); err == nil {
		t.Error("a server of TLS 1.2 was believed")
	}
	if _, err := shake(t, server, named(client, "other.local")); !is[x509.HostnameError](err) {
		t.Errorf("wrong name: %v", err)
	}
	if _, err := shake(t, keys.ServerTLS(other.served, nil), named(client, "shop.local")); !is[x509.UnknownAuthorityError](err) {
		t.Errorf("foreign CA: %v", err)
	}
	for file, mode := range map[string]os.FileMode{keys.FileCA: 0o644, keys.FileCAKey: 0o600, keys.FileServer: 0o644, keys.FileServerKey: 0o600} {
		if st, err := os.Stat(filepath.Join(s.dir, file)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, st, err)
		}
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestClientsWithCertificates(t *testing.T) {
	s, other := openShop(t, "shop.local"), openShop(t, "shop.local")
	server := keys.ServerTLS(s.served, s.ca.Pool())
	own := func(ca *keys.CA, until time.Duration) *keys.Pair {
		p, err := ca.Client("zoe.machine.barista", time.Now(), until)
		if err != nil {
			t.Fatal(err)
		}
		cert, key := filepath.Join(t.TempDir(), "zoe.pem"), filepath.Join(t.TempDir(), "zoe.key")
		if err := p.Save(cert, key); err != nil {
			t.Fatal(err)
		}
		if p, err = keys.LoadPair(cert, key); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		what string
		pair *keys.Pair
		fine bool
	}{
		{"own", own(s.ca, time.Hour), true},
		{"none", nil, false},
		{"foreign", own(other.ca, time.Hour), false},
		{"expired", own(s.ca, -time.Hour), false},
	} {
		_, err := shake(t, server, named(keys.ClientTLS(s.ca.Pool(), c.pair), "shop.local"))
		if (err == nil) != c.fine {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	// A client's certificate serves nobody, and a server's name is none of a role.
	p := own(s.ca, time.Hour)
	if _, err := shake(t, &tls.Config{Certificates: []tls.Certificate{p.TLS()}}, named(keys.ClientTLS(s.ca.Pool(), nil), "zoe.machine.barista")); err == nil {
		t.Error("a machine's certificate was believed as a server's")
	}
}

func TestPinned(t *testing.T) {
	s, other := openShop(t, "shop.local", "192.0.2.7"), openShop(t, "shop.local", "192.0.2.7")
	server := keys.ServerTLS(s.served, nil)
	for _, c := range []struct {
		what, finger, host string
		server             *tls.Config
		fine               bool
	}{
		{"whole", s.ca.Fingerprint(), "shop.local", server, true},
		{"short", strings.ToUpper(s.ca.Fingerprint()[:32]), "192.0.2.7", server, true},
		{"other CA", s.ca.Fingerprint(), "shop.local", keys.ServerTLS(other.served, nil), false},
		{"wrong name", s.ca.Fingerprint(), "other.local", server, false},
		{"wrong address", s.ca.Fingerprint(), "192.0.2.8", server, false},
		// The right CA shown behind a certificate that it has not made.
		{"borrowed CA", s.ca.Fingerprint(), "shop.local", borrowed(t, other, s), false},
	} {
		client, err := keys.Pinned(c.finger, c.host)
		if err != nil {
			t.Fatal(err)
		}
		cs, err := shake(t, c.server, client)
		if (err == nil) != c.fine {
			t.Errorf("%s: %v", c.what, err)
		}
		if c.fine {
			if ca, err := keys.Authority(*cs, c.finger); err != nil || keys.Fingerprint(ca) != s.ca.Fingerprint() {
				t.Errorf("%s: %v", c.what, err)
			}
		}
	}
	for _, bad := range []string{"", s.ca.Fingerprint()[:31], s.ca.Fingerprint() + "0", strings.Repeat("x", 64)} {
		if _, err := keys.Pinned(bad, "shop.local"); err == nil {
			t.Errorf("pinned to %q", bad)
		}
	}
}

func borrowed(t *testing.T, from, ca *shop) *tls.Config {
	t.Helper()
	c, err := from.served.Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := keys.ParseCerts(ca.ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	c.Certificate = [][]byte{c.Certificate[0], block[0].Raw}
	return &tls.Config{Certificates: []tls.Certificate{*c}}
}

// TestRenewed: what is connected stays connected, the next one sees the new
// certificate, in each of ten years.
func TestRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t, "shop.local")
		server, client := keys.ServerTLS(s.served, nil), named(keys.ClientTLS(s.ca.Pool(), nil), "shop.local")
		near, far := net.Pipe()
		echo := make(chan struct{})
		go func() {
			defer close(echo)
			defer far.Close()
			c := tls.Server(far, server)
			io.Copy(c, c)
		}()
		open := tls.Client(near, client)
		finger, until := s.ca.Fingerprint(), s.served.Until()
		for range 40 {
			time.Sleep(100 * 24 * time.Hour)
			cs, err := shake(t, server, client)
			if err != nil {
				t.Fatalf("%s after the start: %v", time.Now(), err)
			}
			if left := time.Until(cs.PeerCertificates[0].NotAfter); left < keys.ForServer/3-time.Minute {
				t.Errorf("a certificate with %s left was shown", left)
			}
			if _, err := open.Write([]byte{7}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(open, make([]byte, 1)); err != nil {
				t.Fatalf("the open connection was lost: %v", err)
			}
		}
		near.Close()
		<-echo
		if !s.served.Until().After(until) || s.ca.Fingerprint() != finger || strings.Contains(s.log.String(), "level=ERROR") {
			t.Errorf("until %s, %s", s.served.Until(), s.log)
		}
	})
}

// TestFollowed: an owner's certificate that some other program renews is shown
// from the next look on, and half of one never.
func TestFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t, "shop.local")
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "own.pem"), filepath.Join(dir, "own.key")
		put := func(name string) {
			p, err := s.ca.Server([]string{name}, time.Now(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(cert)
			os.Remove(key)
			if err := p.Save(cert, key); err != nil {
				t.Fatal(err)
			}
		}
		put("one.local")
		served, err := keys.Serve(cert, key, nil, slog.New(slog.NewTextHandler(s.log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		shown := func() string {
			time.Sleep(time.Minute)
			c, err := served.Get(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Leaf.DNSNames[0]
		}
		if got := shown(); got != "one.local" {
			t.Errorf("%s", got)
		}
		put("two.local")
		if got := shown(); got != "two.local" {
			t.Errorf("after the file was changed: %s", got)
		}
		if err := os.WriteFile(cert, s.ca.PEM(), 0o644); err != nil { // of another key
			t.Fatal(err)
		}
		if got := shown(); got != "two.local" || !strings.Contains(s.log.String(), "the old one goes on") {
			t.Errorf("a certificate of another key: %s, %s", got, s.log)
		}
		put("three.local")
		if got := shown(); got != "three.local" {
			t.Errorf("after it was mended: %s", got)
		}
	})
}

func TestOpenCA(t *testing.T) {
	s := openShop(t, "shop.local")
	again, err := keys.OpenCA(s.dir, "x", time.Now())
	if err != nil || again.Fingerprint() != s.ca.Fingerprint() {
		t.Fatalf("another CA: %v", err)
	}
	if err := os.Chmod(filepath.Join(s.dir, keys.FileCAKey), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.OpenCA(s.dir, "x", time.Now()); !errors.Is(err, keys.ErrLax) {
		t.Errorf("a lax CA key: %v", err)
	}
	if err := os.Remove(filepath.Join(s.dir, keys.FileCAKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.OpenCA(s.dir, "x", time.Now()); err == nil || !strings.Contains(err.Error(), "put the key back") {
		t.Errorf("a CA without its key was written over: %v", err)
	}
	// The names of a server grow with its file, for the same CA and key.
	b := openShop(t, "shop.local")
	more, err := keys.ServeOwn(b.dir, b.ca, []string{"shop.local", "192.0.2.9"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := more.Get(nil); c.Leaf.VerifyHostname("192.0.2.9") != nil {
		t.Error("the new address is not in the certificate")
	}
	for _, names := range [][]string{nil, {"Shop.local"}, {"shop..local"}, {"*.local"}, {"shop local"}, {"-x"}} {
		if _, err := b.ca.Server(names, time.Now(), time.Hour); err == nil {
			t.Errorf("a certificate for %q", names)
		}
	}
	for _, subject := range []string{"", "zoe", "*.machine.barista", "zoe.machine.barista,CN=x"} {
		if _, err := b.ca.Client(subject, time.Now(), time.Hour); err == nil {
			t.Errorf("a certificate for %q", subject)
		}
	}
}

func FuzzParseCerts(f *testing.F) {
	ca, err := keys.NewCA("x", time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ca.PEM())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if certs, err := keys.ParseCerts(text); (len(certs) == 0) != (err != nil) {
			t.Fatalf("%d certificates, %v", len(certs), err)
		}
	})
}
