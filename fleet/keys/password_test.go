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
