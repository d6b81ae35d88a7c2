package operators

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"barista/fleet"
)

func TestPasswords(t *testing.T) {
	for _, bad := range []string{"", "short", "123456789", "zoezoezoezoe", "Zoe1Zoe2Zoe", "aaaaaaaaaaaa", "tab\tin the middle", "\xff\xfe0123456789", strings.Repeat("long", 65)} {
		if _, err := hashOf("zoe", bad, cheap); !errors.Is(err, fleet.ErrWeak) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"0123456789", "ünïcödé wörds", "пароль-пароль", strings.Repeat("long", 64), " spaces around "} {
		hash, err := hashOf("zoe", good, cheap)
		if err != nil || !fits(good, hash) || fits(good+"x", hash) || checkHash(hash) != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	// The same letters as two keyboards write them.
	if hash, err := hashOf("zoe", "caf\u00e9 caf\u00e9 caf\u00e9", cheap); err != nil || !fits("cafe\u0301 cafe\u0301 cafe\u0301", hash) {
		t.Errorf("an accent of its own is another password: %v", err)
	}
	if _, err := hashOf("Zoë", password, cheap); err == nil {
		t.Error("a name that is no token")
	}
	hash, err := argon2id.CreateHash("x", &usual)
	if err != nil || checkHash(hash) != nil || usual.Memory > maxMemory {
		t.Errorf("our own cost is out of our bounds: %v", err)
	}
}

func TestFileThatOthersMayReadIsRefused(t *testing.T) {
	h := with(t, "zoe")
	info, err := os.Stat(h.store.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the store has mode %v, %v", info.Mode(), err)
	}
	secret := must(t)(h.Login(t.Context(), "zoe", password, desk))
	h.in(t, secret, "zoe")
	if err := os.Chmod(h.store.path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = h.Login(t.Context(), "zoe", password, desk)
	if err == nil || !strings.Contains(err.Error(), "chmod 600 "+h.store.path) {
		t.Errorf("a file for the group: %v", err)
	}
	h.out(t, secret)
	if _, err := h.store.First(); err == nil || h.Nobody() {
		t.Errorf("a file that can't be used made room for a first operator: %v", err)
	}
	if err := os.Chmod(h.store.path, 0o600); err != nil {
		t.Fatal(err)
	}
	h.in(t, secret, "zoe")
}

func TestDamagedFileIsLeftAsItIs(t *testing.T) {
	h := with(t, "zoe")
	damaged := []byte(`{"version":1,"oper`)
	if err := os.WriteFile(h.store.path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.First(); err == nil || h.Nobody() {
		t.Errorf("a first operator beside a damaged list: %v", err)
	}
	if b, _ := os.ReadFile(h.store.path); string(b) != string(damaged) {
		t.Errorf("the file is now %s", b)
	}
}

func TestStoreKeeps(t *testing.T) {
	h := with(t, "zoe")
	code := must(t)(h.store.Invite("max"))
	other := NewStore(filepath.Dir(h.store.path), h.clock.now)
	a, err := h.store.load()
	b, err2 := other.load()
	if diff := cmp.Diff(a, b); diff != "" || err != nil || err2 != nil || len(a.Operators) != 1 || len(a.Codes) != 1 {
		t.Errorf("%v, %v\n%s", err, err2, diff)
	}
	text, err := os.ReadFile(h.store.path)
	if err != nil || strings.Contains(string(text), code) || strings.Contains(string(text), password) {
		t.Errorf("%v\n%s", err, text)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(h.store.path), "*"))
	if err != nil || len(left) != 2 { // the file and its lock
		t.Errorf("%v, %v", left, err)
	}
}

const goodHash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzYWx0$RdescudvJCsgt3ub+b+dWRWJTmaaJObG"

func TestDecodeRefuses(t *testing.T) {
	one := func(name, hash string) string {
		return `{"version":1,"operators":[{"name":"` + name + `","hash":"` + hash + `","made":"2026-11-30T05:00:00Z"}]}`
	}
	if r, err := decode([]byte(one("zoe", goodHash))); err != nil || r.Operators[0].Name != "zoe" {
		t.Fatalf("a good one: %v", err)
	}
	for what, text := range map[string]string{
		"nothing":              "",
		"no version":           `{"operators":[]}`,
		"a later version":      `{"version":2,"operators":[]}`,
		"an unknown key":       `{"version":1,"operators":[],"admin":true}`,
		"a key twice":          `{"version":1,"version":1,"operators":[]}`,
		"something behind":     `{"version":1,"operators":[]} x`,
		"no name":              one("", goodHash),
		"a path for a name":    one("../zoe", goodHash),
		"a name twice":         strings.Replace(one("zoe", goodHash), "}]", `},{"name":"zoe","hash":"`+goodHash+`","made":"2026-11-30T05:00:00Z"}]`, 1),
		"no hash":              one("zoe", ""),
		"too much memory":      one("zoe", strings.Replace(goodHash, "m=64", "m=65537", 1)),
		"too many rounds":      one("zoe", strings.Replace(goodHash, "t=1", "t=9", 1)),
		"no rounds":            one("zoe", strings.Replace(goodHash, "t=1", "t=0", 1)), // argon2 would panic
		"no lanes":             one("zoe", strings.Replace(goodHash, "p=1", "p=0", 1)),
		"more behind a figure": one("zoe", strings.Replace(goodHash, "p=1", "p=1,q=2", 1)),
		"another function":     one("zoe", strings.Replace(goodHash, "argon2id", "argon2i", 1)),
		"no salt":              one("zoe", strings.Replace(goodHash, "c29tZXNhbHRzYWx0", "", 1)),
		"a code that is none":  `{"version":1,"operators":[],"codes":[{"name":"","sum":"00","boot":"b","upto_ms":1}]}`,
		"too long":             `{"version":1,"operators":[]}` + strings.Repeat(" ", maxFile),
	} {
		if r, err := decode([]byte(text)); err == nil {
			t.Errorf("%s: read as %v", what, r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"operators":[{"name":"zoe","hash":"` + goodHash + `","made":"2026-11-30T05:00:00Z"}]}`))
	f.Add([]byte(`{"version":1,"operators":[],"codes":[{"name":"","sum":"` + sumOf("x") + `","boot":"b","upto_ms":900000}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("the error is %q", err)
			}
			return
		}
		again, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(again)
		if diff := cmp.Diff(r, back, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		for _, o := range r.Operators {
			_, p, err := argon2id.CheckHash("", o.Hash) // neither panics nor eats the computer
			if err != nil || p.Memory > maxMemory {
				t.Errorf("%s: %v", o.Hash, err)
			}
		}
	})
}
