package broker

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestShadow: what is gone of a stream while the store is opened, or since a start
// that broke off, is put back; what is there stays as it is, and no second name is
// left.
func TestShadow(t *testing.T) {
	store := t.TempDir()
	s := shadow{store, slog.New(slog.DiscardHandler)}
	block := func(stream string) string {
		return filepath.Join(lives(store), "$G", streamsFolder, stream, messagesFolder, "1.blk")
	}
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Dir(block(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(block(name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(lives(store), "$G", streamsFolder, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(block("b"), []byte("more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if gone := s.gone(); len(gone) != 1 || gone[0] != "a" {
		t.Errorf("gone: %q", gone)
	}
	if err := s.begin(); err != nil { // the next start
		t.Fatal(err)
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "a", "b": "more"} {
		if got, err := os.ReadFile(block(name)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(store, "*")); err != nil || len(left) != 1 {
		t.Errorf("left: %q %v", left, err)
	}
}
