package serial_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/serial"
	"barista/driver/serial/link"
)

// plug makes a pseudo-terminal under a path that stays the same, as a by-id name
// does.
func plug(t *testing.T, path string) *link.Link {
	t.Helper()
	l, err := link.Make(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func openAt(t *testing.T, device string) *serial.Port {
	t.Helper()
	p, err := serial.Open(serial.Config{Device: device, DTR: serial.Low, RTS: serial.High}) // a pseudo-terminal has neither
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ask sends and wants the echo of a device that echoes.
func ask(t *testing.T, p *serial.Port, what string) error {
	return p.Do(within(t, 5*time.Second), func(l *serial.Line) error {
		if err := write(l, what); err != nil {
			return err
		}
		var got []byte
		for len(got) < len(what) {
			b, err := l.Next(time.Now().Add(5 * time.Second))
			if err != nil {
				return err
			}
			got = append(got, b...)
		}
		if string(got) != what {
			t.Errorf("got %q, want %q", got, what)
		}
		return nil
	})
}

// echo answers with what it gets, in its own goroutine, until the link is
// closed.
func echo(l *link.Link) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 100)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			_, _ = l.Write(b[:n])
		}
	}()
	return done
}

// eventually waits for something that must happen; the time is no measure.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(late) {
			t.Fatalf("not seen: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestPtyBytesPassUnchanged(t *testing.T) {
	l := plug(t, "")
	done := echo(l)
	p := openAt(t, l.Device())
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i) // with XON, XOFF, CR, LF, interrupt and end of file
	}
	if err := ask(t, p, string(all)); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	<-done
}

func TestPtyHeldByAnother(t *testing.T) {
	l := plug(t, "")
	openAt(t, l.Device())
	// A second name does not lead around the lock, and root has no way either.
	name := filepath.Join(t.TempDir(), "board")
	if err := os.Symlink(l.Device(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := serial.Open(serial.Config{Device: name}); !errors.Is(err, driver.ErrBusyLine) {
		t.Errorf("a second open: %v", err)
	}
}

func TestPtyErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := serial.Open(serial.Config{Device: filepath.Join(dir, "none")}); !errors.Is(err, driver.ErrGone) {
		t.Error(err)
	}
	if _, err := serial.Open(serial.Config{Device: file}); err == nil || !strings.Contains(err.Error(), "is it a serial port") {
		t.Error(err)
	}
}

// What a device said before anybody had opened the port is no answer.
func TestPtyOldBytes(t *testing.T) {
	l := plug(t, "")
	if _, err := l.Write([]byte("old answer")); err != nil {
		t.Fatal(err)
	}
	p := openAt(t, l.Device())
	err := p.Do(within(t, 5*time.Second), func(l *serial.Line) error {
		b, err := l.Next(time.Now().Add(50 * time.Millisecond))
		if err == nil {
			t.Errorf("got %q", b)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPtyUnplugAndReplug(t *testing.T) {
	path := filepath.Join(t.TempDir(), "board")
	l := plug(t, path)
	done := echo(l)
	p := openAt(t, path)
	if err := ask(t, p, "one"); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	<-done
	began := time.Now()
	eventually(t, "the pulled cable", func() bool { _, gone := p.State(); return errors.Is(gone, driver.ErrGone) })
	t.Logf("noticed after %v", time.Since(began))
	if err := ask(t, p, "nobody"); !errors.Is(err, driver.ErrGone) {
		t.Error(err)
	}
	// Another pseudo-terminal comes first, so that the number is another one.
	plug(t, "")
	l = plug(t, path)
	done = echo(l)
	began = time.Now()
	eventually(t, "the device's return", func() bool { _, gone := p.State(); return gone == nil })
	t.Logf("back after %v", time.Since(began))
	if err := ask(t, p, "two"); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	<-done
}

// A peer that does not read: the kernel's buffer fills, and the write is given
// up. Nothing of it reaches the device afterwards.
func TestPtyBlockedWrite(t *testing.T) {
	l := plug(t, "")
	p := openAt(t, l.Device())
	big := bytes.Repeat([]byte("x"), 8<<10)
	began := time.Now()
	var err error
	for range 100 { // some 20 KiB fit
		if err = p.Do(within(t, 20*time.Second), func(l *serial.Line) error { return l.Write(big) }); err != nil {
			break
		}
	}
	if !errors.Is(err, driver.ErrGone) {
		t.Fatalf("a full buffer: %v", err)
	}
	t.Logf("given up after %v: %v", time.Since(began), err)
	eventually(t, "a new connection", func() bool { n, gone := p.State(); return n == 2 && gone == nil })
	if err := p.Do(within(t, 5*time.Second), func(l *serial.Line) error { return write(l, "off") }); err != nil {
		t.Error(err)
	}
	// The end of what the device gets is the whole new command; the kernel threw
	// the rest of the old one away.
	var got []byte
	b := make([]byte, 64<<10)
	for !bytes.HasSuffix(got, []byte("off")) {
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if n := len(got); n > 64<<10 {
		t.Errorf("the device still got %d bytes", n)
	}
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(list)
}

// TestPtyCycles pulls the cable and puts it back, again and again: goroutines
// and descriptors stay what they were.
func TestPtyCycles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "board")
	l := plug(t, path)
	done := echo(l)
	p := openAt(t, path)
	var goroutines, files int
	var worst time.Duration
	for i := range *cycles {
		if err := ask(t, p, "hello"); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if i == 2 {
			goroutines, files = runtime.NumGoroutine(), descriptors(t)
		}
		_ = l.Close()
		<-done
		eventually(t, "the pulled cable", func() bool { _, gone := p.State(); return gone != nil })
		var err error
		if l, err = link.Make(path); err != nil {
			t.Fatal(err)
		}
		done = echo(l)
		began := time.Now()
		eventually(t, "the device's return", func() bool { _, gone := p.State(); return gone == nil })
		worst = max(worst, time.Since(began))
	}
	if err := ask(t, p, "hello"); err != nil {
		t.Error(err)
	}
	if g, f := runtime.NumGoroutine(), descriptors(t); g > goroutines || f > files {
		t.Errorf("%d goroutines (were %d), %d descriptors (were %d)", g, goroutines, f, files)
	}
	if worst > 3*time.Second {
		t.Errorf("one return took %v, and 3 s are promised", worst)
	}
	t.Logf("%d cycles, slowest return %v, %d goroutines, %d descriptors", *cycles, worst, goroutines, files)
	_ = l.Close()
	<-done
}
