package link

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An old link is replaced, also one that leads nowhere; anything else stays what
// it is.
func TestPath(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "board")
	if err := os.Symlink("/dev/pts/99999", path); err != nil {
		t.Fatal(err)
	}
	first, err := Make(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Make(path)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := os.Readlink(path); now != second.slave.Name() || second.Device() != path {
		t.Errorf("the path leads to %s", now)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("closing the old one took the path of the new one: %v", err)
	}
	for range 2 {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the path is still there: %v", err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Make(path); err == nil {
		l.Close()
		t.Error("a file was replaced")
	}
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file has %q", b)
	}
}

// Nobody looked for a while: two writes come at once, and the line knows no better
// than that they came since it was last seen empty.
func TestSince(t *testing.T) {
	l, err := Make("")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, err := os.OpenFile(l.Device(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	// write tells when what it wrote was there at the latest: between a look at the
	// clock and the write itself the reader may well see the line empty once more.
	write := func(text string) time.Time {
		if _, err := host.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	read := func(want string) {
		got := ""
		for buf := make([]byte, 64); got != want; {
			n, err := l.Read(buf)
			if got += string(buf[:n]); err != nil || !strings.HasPrefix(want, got) {
				t.Fatalf("%q, %v, want %q", got, err, want)
			}
		}
	}
	first := make(chan time.Time, 1)
	go func() {
		<-time.After(3 * lookEvery) // it looks some times and finds nothing
		first <- write("a")
	}()
	began := time.Now()
	read("a")
	if at := <-first; l.Since().After(at) || !l.Since().After(began) {
		t.Errorf("since %v, and it was written at %v", l.Since(), at)
	}
	at := write("b")
	<-time.After(2 * lookEvery)
	write("c")
	read("bc")
	if l.Since().After(at) {
		t.Errorf("since %v, and the first of two was written at %v", l.Since(), at)
	}
}

// Play ends when its simulator does, though the host sends nothing, and leaves
// no reader behind.
func TestPlay(t *testing.T) {
	l, err := Make("")
	if err != nil {
		t.Fatal(err)
	}
	want := errors.New("harm")
	if err := Play(l, func(<-chan Chunk) error { return want }); err != want {
		t.Error(err)
	}
	near, far := io.Pipe()
	line := struct {
		io.Reader
		io.Writer
		io.Closer
	}{near, io.Discard, near}
	go func() { _, _ = far.Write([]byte("hi")); _ = far.Close() }()
	got := ""
	if err := Play(line, func(in <-chan Chunk) error {
		for c := range in {
			got += string(c.Bytes)
		}
		return nil
	}); err != nil || got != "hi" {
		t.Errorf("%q, %v", got, err)
	}
}
