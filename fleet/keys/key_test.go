package keys_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"barista/fleet/keys"
)

func made(t *testing.T) *keys.Key {
	t.Helper()
	k, err := keys.New("machine", "zoe")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyComesBackFromItsFile(t *testing.T) {
	k := made(t)
	path := filepath.Join(t.TempDir(), "new", "zoe.key")
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", st.Mode())
	}
	if err := k.Save(path); err == nil || !strings.Contains(err.Error(), "not written over") {
		t.Errorf("saved over a key: %v", err)
	}
	got, err := keys.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Public() != k.Public() || got.Role() != "machine" || got.Name() != "zoe" {
		t.Errorf("saved %v, loaded %v", k, got)
	}
	sig, err := got.Sign([]byte("nonce"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := nkeys.FromPublicKey(k.Public())
	if err != nil || public.Verify([]byte("nonce"), sig) != nil {
		t.Errorf("the loaded key signs as another: %v", err)
	}
	if again, err := keys.Open(path, "machine", "leo"); err != nil || again.Public() != k.Public() {
		t.Errorf("Open made another key: %v, %v", again, err)
	}
	got.Wipe()
	if _, err := got.Sign([]byte("nonce")); err == nil {
		t.Error("a wiped key still signs")
	}
}

func seedOf(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return lines[len(lines)-1]
}

func TestLaxFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zoe's.key")
	if err := made(t).Save(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o660, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := keys.Load(path)
		if !errors.Is(err, keys.ErrLax) || !strings.Contains(err.Error(), `chmod 600 '`) || strings.Contains(err.Error(), "\n") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Load(path); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := keys.Load(path + "x"); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("no file: %v", err)
	}
	if _, err := keys.Load(filepath.Dir(path)); !errors.Is(err, keys.ErrNotKey) {
		t.Errorf("a folder: %v", err)
	}
}

func TestCredential(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.key")
	if err := made(t).Save(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o440); err != nil { // as systemd shows a file with an access list
		t.Fatal(err)
	}
	ca, err := keys.NewCA("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Server([]string{"shop.local"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, certKey := filepath.Join(dir, "web.pem"), filepath.Join(dir, "web.key")
	if err := pair.Save(cert, certKey); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	// One of systemd's may be read by its group, where that stands for an access list, and
	// nothing laxer; nor may any other file, not even below that folder.
	t.Setenv(keys.EnvCredentials, dir+"/")
	for mode, good := range map[os.FileMode]bool{0o400: true, 0o440: true, 0o600: true, 0o640: true, 0o460: false, 0o450: false, 0o444: false, 0o441: false, 0o404: false, 0o660: false} {
		for _, of := range []string{dir, below} {
			if of == below {
				good = good && mode&0o077 == 0
			}
			text, err := os.ReadFile(certKey)
			if err != nil {
				t.Fatal(err)
			}
			key := filepath.Join(of, "tried.key")
			os.Remove(key)
			if err := errors.Join(os.WriteFile(key, text, 0o600), os.Chmod(key, mode)); err != nil {
				t.Fatal(err)
			}
			if _, err := keys.LoadPair(cert, key); good != (err == nil) || !good && !errors.Is(err, keys.ErrLax) {
				t.Errorf("%s with mode %04o: %v", key, mode, err)
			}
			text, err = os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(key)
			if err := errors.Join(os.WriteFile(key, text, 0o600), os.Chmod(key, mode)); err != nil {
				t.Fatal(err)
			}
			if _, err := keys.Load(key); good != (err == nil) || !good && !errors.Is(err, keys.ErrLax) {
				t.Errorf("%s with mode %04o: %v", key, mode, err)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, pair); got != "a certificate of shop.local" {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, ca); got != "the authority shop" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if _, err := keys.Load(string(seedOf(t, path))); !errors.Is(err, keys.ErrNotKey) || strings.Contains(err.Error(), string(seedOf(t, path))[:20]) {
		t.Error("a seed in place of a file's name was repeated, or taken")
	}
	t.Setenv(keys.EnvCredentials, "")
	if _, err := keys.LoadCredential("shop.key"); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("without systemd: %v", err)
	}
	t.Setenv(keys.EnvCredentials, dir)
	if k, err := keys.LoadCredential("shop.key"); err != nil || k.Name() != "zoe" {
		t.Errorf("%v, %v", k, err)
	}
	if _, err := keys.LoadCredential("../shop.key"); err == nil {
		t.Error("a credential's name led out of its folder")
	}
}

// TestSeedIsNeverShown plants a seed and looks for it in everything that prints.
func TestSeedIsNeverShown(t *testing.T) {
	k := made(t)
	path := filepath.Join(t.TempDir(), "zoe.key")
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	seed := string(seedOf(t, path))
	var out bytes.Buffer
	type holder struct {
		Key  *keys.Key
		Into map[string]any
	}
	h := holder{k, map[string]any{"key": k}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", k, h, []any{k, &h})
		fmt.Fprintf(&out, verb+"\n", *k)
		if got := fmt.Sprintf(verb, k); got != k.String() {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	for _, l := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		l.Info("key", "key", k, "in", h, "list", []*keys.Key{k})
	}
	if b, err := json.Marshal(h); err == nil {
		out.Write(b)
	}
	for _, spoiled := range []string{seed[1:], seed + "A", seed[:len(seed)-1], "X" + seed, strings.ToLower(seed), seed + "\n" + seed, "# role: machine\n" + seed, "# public: U" + seed + "\n" + seed, "-----BEGIN NATS USER JWT-----\n" + seed + "\n------END NATS USER JWT------\n"} {
		_, err := keys.Parse([]byte(spoiled))
		if !errors.Is(err, keys.ErrNotKey) {
			t.Errorf("taken for a key: %.9s…: %v", spoiled, err)
		}
		fmt.Fprintln(&out, err)
	}
	for _, part := range []string{seed, seed[2:30], fmt.Sprintf("%x", seed)[:40], fmt.Sprintf("%d", []byte(seed))[1:40]} {
		if strings.Contains(strings.ToUpper(out.String()), strings.ToUpper(part)) {
			t.Errorf("a part of the seed was shown:\n%s", out.String())
		}
	}
	if !strings.Contains(out.String(), k.Public()) {
		t.Error("the test is blind: not even the public half was printed")
	}
}

func TestParse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zoe.key")
	k := made(t)
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	seed := string(seedOf(t, path))
	account, _ := nkeys.CreateAccount()
	other, _ := account.Seed()
	creds := "-----BEGIN NATS USER JWT-----\nab.cd.e-f_\n------END NATS USER JWT------\n\n************************* IMPORTANT *************************\n\n-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------\n"
	for _, c := range []struct{ text, role, jwt, err string }{
		{text: seed},
		{text: seed + "\r\n"},
		{text: "# hello\n\n  " + seed + "  \n# role: web web", role: "web"},
		{text: creds, jwt: "ab.cd.e-f_"},
		{text: strings.Replace(creds, seed, "", 1), err: "no seed"},
		{text: strings.Replace(creds, "ab.cd", "ab cd", 1), err: "no JWT"},
		{text: string(other), err: "seed of: account"},
		{text: "# role: machine Zoe\n" + seed, err: "role"},
		{text: "# public: UABC\n" + seed, err: "another key"},
		{text: "", err: "no seed"},
		{text: strings.Repeat("#\n", 20000) + seed, err: "larger"},
	} {
		got, err := keys.Parse([]byte(c.text))
		switch {
		case c.err != "":
			if !errors.Is(err, keys.ErrNotKey) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.60q: %v, wanted %s", c.text, err, c.err)
			}
		case err != nil || got.Public() != k.Public() || got.Role() != c.role || got.JWT() != c.jwt:
			t.Errorf("%.60q: %v %v", c.text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	k, err := keys.New("machine", "zoe")
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "zoe.key")
	if err := k.Save(path); err != nil {
		f.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	f.Add(text)
	f.Add([]byte("-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\nSU\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := keys.Parse(text)
		if (k == nil) != (err != nil) || err != nil && (!errors.Is(err, keys.ErrNotKey) || strings.ContainsAny(err.Error(), "\n\x00\x1b")) {
			t.Fatalf("%v, %v", k, err)
		}
		if k != nil && !keys.IsPublic(k.Public()) {
			t.Fatalf("a key without a public half: %v", k)
		}
	})
}
