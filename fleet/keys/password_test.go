package keys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// A password is made once, read from then on, and never one that others may read or guess.
func TestOpenPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "home.password")
	hash, err := OpenPassword(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	word := strings.TrimSpace(string(text))
	if len(word) < 26 || bcrypt.CompareHashAndPassword([]byte(hash), []byte(word)) != nil {
		t.Errorf("%d characters were made, and their hash is of something else", len(word))
	}
	if again, err := OpenPassword(path); err != nil || again == hash || bcrypt.CompareHashAndPassword([]byte(again), []byte(word)) != nil {
		t.Errorf("read again: %v", err)
	}
	for _, short := range []string{"", "coffee", strings.Repeat("x", 19), strings.Repeat("x", 73)} {
		if err := os.WriteFile(path, []byte(short), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPassword(path); !errors.Is(err, ErrNotKey) || short != "" && strings.Contains(err.Error(), short) {
			t.Errorf("%d characters: %v", len(short), err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPassword(path); !errors.Is(err, ErrLax) {
		t.Errorf("a file that the group may read: %v", err)
	}
}

// TestReadPassword: what is given by others is one line of a file that its owner alone
// may read, whatever is wrong with it is said, and it is not.
func TestReadPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail.password")
	if _, err := ReadPassword(path); err == nil || !strings.Contains(err.Error(), "no password at "+path) {
		t.Error(err)
	}
	for _, c := range []struct {
		text string
		mode os.FileMode
		want error
	}{
		{"an odd 'pass' wörd \r\n", 0o600, nil}, {"hunter2", 0o400, nil},
		{"hunter2", 0o640, ErrLax}, {"hunter2", 0o604, ErrLax}, {"hunter2", 0o620, ErrLax},
		{"", 0o600, ErrNotKey}, {"\n", 0o600, ErrNotKey}, {"hunter2\nhunter3", 0o600, ErrNotKey}, {"hunter2\x00", 0o600, ErrNotKey}, {"hunter2\xff", 0o600, ErrNotKey},
		{strings.Repeat("hunter2", 200), 0o600, ErrNotKey},
	} {
		if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte(c.text), 0o600), os.Chmod(path, c.mode)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		word, err := ReadPassword(path)
		switch {
		case c.want == nil:
			if err != nil || word != strings.TrimRight(c.text, "\r\n") {
				t.Errorf("%q, mode %o: %q %v", c.text, c.mode, word, err)
			}
		case !errors.Is(err, c.want), word != "", strings.Contains(err.Error(), "hunter"), !strings.Contains(err.Error(), path),
			c.want == ErrLax && !strings.Contains(err.Error(), "chmod 600"):
			t.Errorf("%q, mode %o: %q %v", c.text, c.mode, word, err)
		}
	}
}
