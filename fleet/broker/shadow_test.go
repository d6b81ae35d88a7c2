package broker

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// streamsIn makes a store with streams that have a description and a message.
func streamsIn(t *testing.T, names ...string) (store string, file func(stream string, parts ...string) string) {
	t.Helper()
	store = t.TempDir()
	file = func(stream string, parts ...string) string {
		return filepath.Join(append([]string{lives(store), "$G", streamsFolder, stream}, parts...)...)
	}
	for _, name := range names {
		for _, parts := range [][]string{{"meta.inf"}, {"meta.sum"}, {messagesFolder, "1.blk"}, {messagesFolder, "index.db"}, {consumersFolder, "c", "meta.inf"}} {
			path := file(name, parts...)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return store, file
}

func shadowOf(store string) *shadow {
	return &shadow{store: store, log: slog.New(slog.DiscardHandler), link: os.Link}
}

// TestShadow: what is gone of a stream while the store is opened, or since a start
// that broke off, is put back; what is there stays as it is, and no second name is
// left.
func TestShadow(t *testing.T) {
	store, file := streamsIn(t, "a", "b", "c", "d")
	s := shadowOf(store)
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(os.RemoveAll(file("a")),
		os.WriteFile(file("b", messagesFolder, "1.blk"), []byte("more"), 0o600),
		os.Remove(file("c", "meta.inf")), os.RemoveAll(file("c", messagesFolder)), // a removal that did not come to its end
		os.Remove(file("d", messagesFolder, "index.db")), os.RemoveAll(file("d", consumersFolder))) // as a healthy server does
	if err != nil {
		t.Fatal(err)
	}
	if gone := s.gone(); strings.Join(gone, " ") != "a c" {
		t.Errorf("gone: %q", gone)
	}
	if err := shadowOf(store).putBack(); err != nil { // the next start
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "a", "b": "more", "c": "c", "d": "d"} {
		if got, err := os.ReadFile(file(name, messagesFolder, "1.blk")); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
		if _, err := os.Lstat(file(name, "meta.inf")); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]bool{"a": true, "b": true, "c": true, "d": false} {
		if _, err := os.Lstat(file(name, consumersFolder, "c", "meta.inf")); want != (err == nil) {
			t.Errorf("the queue of %s: %v", name, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(store, "*")); err != nil || len(left) != 1 {
		t.Errorf("left: %q %v", left, err)
	}
}

// TestShadowIsKept: what can't be put back is not thrown away with its second names,
// and the broker does not open over what is left.
func TestShadowIsKept(t *testing.T) {
	store, file := streamsIn(t, "a")
	s := shadowOf(store)
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	account := filepath.Dir(filepath.Dir(file("a")))
	if err := errors.Join(os.RemoveAll(account), os.WriteFile(account, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b, err := open(t, store, "none")
		if err == nil {
			b.Close()
			t.Fatal("opened without what was lost")
		}
		if !strings.Contains(err.Error(), s.folder()) || !strings.Contains(err.Error(), account) {
			t.Errorf("it does not say what is where: %v", err)
		}
	}
	if err := os.Remove(account); err != nil {
		t.Fatal(err)
	}
	if err := s.putBack(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file("a", messagesFolder, "1.blk")); err != nil || string(got) != "a" {
		t.Errorf("%q %v", got, err)
	}
}

// TestShadowWithoutLinks: only a file system that has no hard links is opened without
// second names, and then what the server removed is still seen.
func TestShadowWithoutLinks(t *testing.T) {
	for errno, without := range map[syscall.Errno]bool{
		syscall.EPERM: true, syscall.ENOTSUP: true, syscall.EXDEV: true, syscall.ENOSYS: true,
		syscall.EIO: false, syscall.ENOSPC: false, syscall.EACCES: false, syscall.EMLINK: false, syscall.EROFS: false,
	} {
		store, file := streamsIn(t, "a", "b")
		s := shadowOf(store)
		s.link = func(from, to string) error { return &os.LinkError{Op: "link", Old: from, New: to, Err: errno} }
		if err := s.begin(); (err == nil) != without {
			t.Errorf("%v: %v", errno, err)
		}
		if _, err := os.Lstat(s.folder()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: a part of it is left: %v", errno, err)
		}
		if !without {
			continue
		}
		if err := os.RemoveAll(file("a")); err != nil {
			t.Fatal(err)
		}
		if gone := s.gone(); len(gone) != 1 || gone[0] != "a" {
			t.Errorf("%v: gone: %q", errno, gone)
		}
	}
}
