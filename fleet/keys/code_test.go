package keys

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func aCode(t testing.TB) (Code, *CA) {
	t.Helper()
	ca, err := NewCA("a shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCode(ca.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	return c, ca
}

// TestCode: what is typed is what was printed, and both sides derive one key.
func TestCode(t *testing.T) {
	c, ca := aCode(t)
	text := c.Text()
	if len(text) != 54 || strings.Count(text, "-") != 10 {
		t.Errorf("%d characters: %q", len(text), text)
	}
	for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", ""), " " + strings.ReplaceAll(text, "-", " "), strings.ReplaceAll(strings.ReplaceAll(text, "0", "o"), "1", "L")} {
		got, err := ParseCode(typed)
		if err != nil || got != c {
			t.Errorf("%q: %v", typed, err)
		}
	}
	if !strings.HasPrefix(ca.Fingerprint(), c.Fingerprint()) {
		t.Errorf("%s is not the front of %s", c.Fingerprint(), ca.Fingerprint())
	}
	a, err := c.Key("guest", "zoe")
	b, err2 := c.Key("guest", "leo")
	if err != nil || err2 != nil || a.Public() != b.Public() || !IsPublic(a.Public()) {
		t.Errorf("%v %v %v %v", a, b, err, err2)
	}
	other, _ := aCode(t)
	if k, _ := other.Key("guest", "zoe"); k.Public() == a.Public() {
		t.Error("two codes have one key")
	}
	for _, shown := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %x %d %s", c, c, c, c, &c)} {
		if strings.Contains(shown, text[:4]) || !strings.Contains(shown, "a code") || strings.ContainsAny(shown, "[{") {
			t.Errorf("shows %q", shown)
		}
	}
}

// TestCodeSlips: a slip of the finger is noticed, and nothing that is no code is one.
func TestCodeSlips(t *testing.T) {
	c, _ := aCode(t)
	text, missed := []byte(strings.ReplaceAll(c.Text(), "-", "")), 0
	for i := range text {
		slip := append([]byte{}, text...)
		slip[i] = map[bool]byte{true: '2', false: '3'}[text[i] != '2']
		if _, err := ParseCode(string(slip)); err == nil {
			missed++
		} else if !errors.Is(err, ErrNotCode) {
			t.Error(err)
		}
	}
	if missed > 4 { // one in 256 is expected
		t.Errorf("%d of %d slips were missed", missed, len(text))
	}
	for _, bad := range []string{"", "-", c.Text()[1:], c.Text() + "0", strings.Repeat("U", 44)} {
		if _, err := ParseCode(bad); !errors.Is(err, ErrNotCode) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := NewCode("none"); err == nil {
		t.Error("a code to no CA")
	}
}

func FuzzParseCode(f *testing.F) {
	c, _ := aCode(f)
	f.Add(c.Text())
	f.Add("o")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCode(text); err == nil {
			if again, err := ParseCode(c.Text()); err != nil || again != c {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// TestSavedKeySigns: a key that was just written down is the one that its file has.
func TestSavedKeySigns(t *testing.T) {
	k, err := New("machine", "zoe")
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/keys/zoe.key"
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	read, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if seed, err := k.Seed(); err != nil || !strings.HasPrefix(seed, "SU") { // who was shown it may sign beside it
		t.Fatal(err)
	}
	a, err := k.Sign([]byte("x"))
	b, err2 := read.Sign([]byte("x"))
	if err != nil || err2 != nil || string(a) != string(b) {
		t.Errorf("%v, %v", err, err2)
	}
}
