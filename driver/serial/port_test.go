package serial_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

// bench is a port over cables in memory: each Dial gets the newest one.
type bench struct {
	t     *testing.T
	cable atomic.Pointer[serialtest.Cable]
	cfg   serial.Config
	dials atomic.Int64
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t}
	b.cable.Store(serialtest.New(1))
	b.cfg = serial.Config{Device: "/dev/serial/by-id/test", Dial: func() (serial.Wire, error) {
		b.dials.Add(1)
		c := b.cable.Load()
		if c == nil {
			return nil, fmt.Errorf("test: %w", driver.ErrGone)
		}
		return c.Host(), nil
	}}
	return b
}

func (b *bench) open() *serial.Port {
	b.t.Helper()
	p, err := serial.Open(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return p
}

// device is the far end of the cable now in use.
func (b *bench) device() *serialtest.End { return b.cable.Load().Device() }

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// read takes n bytes off a device's end.
func read(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(l *serial.Line, s string) error { return l.Write([]byte(s)) }

func TestExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		go func() {
			if got := read(t, b.device(), 4); got != "ping" {
				t.Errorf("the device got %q", got)
			}
			_, _ = b.device().Write([]byte("po"))
			_, _ = b.device().Write([]byte("ng"))
		}()
		var got string
		err := p.Do(within(t, time.Second), func(l *serial.Line) error {
			if err := write(l, "ping"); err != nil {
				return err
			}
			for len(got) < 4 {
				b, err := l.Next(time.Now().Add(100 * time.Millisecond))
				if err != nil {
					return err
				}
				got += string(b)
			}
			return nil
		})
		if err != nil || got != "pong" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestSilenceIsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		began := time.Now()
		err := p.Do(within(t, time.Second), func(l *serial.Line) error {
			_, err := l.Next(time.Now().Add(70 * time.Millisecond))
			return err
		})
		if !errors.Is(err, serial.ErrSilence) || time.Since(began) != 70*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if n, gone := p.State(); n != 1 || gone != nil {
			t.Errorf("generation %d, %v", n, gone)
		}
	})
}

// Work of a caller that gave up is never begun, and work under way sends nothing
// more.
func TestGivenUpWorkSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		var sent []string
		b.cable.Load().Host().Tap(func(f []byte) { sent = append(sent, string(f)) })
		slow := make(chan error, 1)
		go func() {
			slow <- p.Do(within(t, 300*time.Millisecond), func(l *serial.Line) error {
				if err := write(l, "first"); err != nil {
					return err
				}
				<-time.After(time.Second) // a protocol that does not watch its context
				return write(l, "too late")
			})
		}()
		synctest.Wait()
		err := p.Do(within(t, 200*time.Millisecond), func(l *serial.Line) error { return write(l, "never") })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the port: %v", err)
		}
		if err := <-slow; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("slow work: %v", err)
		}
		if err := p.Do(within(t, 2*time.Second), func(l *serial.Line) error { return write(l, "next") }); err != nil {
			t.Error(err)
		}
		if got := strings.Join(sent, ","); got != "first,next" {
			t.Errorf("sent %s", got)
		}
	})
}

// A write that does not get through is given up after 500 ms, and the connection
// with it.
func TestBlockedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		old := b.cable.Load()
		old.Host().Stall(true)
		b.cable.Store(nil)
		began := time.Now()
		err := p.Do(within(t, 10*time.Second), func(l *serial.Line) error { return write(l, "on") })
		if !errors.Is(err, driver.ErrGone) || time.Since(began) != 500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		synctest.Wait()
		err = p.Do(within(t, time.Second), func(l *serial.Line) error { return write(l, "on") })
		if !errors.Is(err, driver.ErrGone) || time.Since(began) != 500*time.Millisecond {
			t.Errorf("with the device away: %v after %v", err, time.Since(began))
		}
		// The old cable comes loose, and whatever was to be written stays unwritten.
		old.Host().Stall(false)
		fresh := serialtest.New(2)
		b.cable.Store(fresh)
		var got []string
		fresh.Host().Tap(func(f []byte) { got = append(got, string(f)) })
		time.Sleep(time.Second)
		if err := p.Do(within(t, time.Second), func(l *serial.Line) error {
			if l.Generation() != 2 {
				t.Errorf("generation %d", l.Generation())
			}
			return write(l, "off")
		}); err != nil {
			t.Error(err)
		}
		if len(got) != 1 || got[0] != "off" || old.Host().Frames() != 0 {
			t.Errorf("the new device got %q, the old one %d frames", got, old.Host().Frames())
		}
	})
}

// A late answer of an old connection does not reach the next one.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		first := b.cable.Load()
		second := serialtest.New(2)
		first.Host().Noise(serialtest.Noise{Delay: 1, Late: 10 * time.Second})
		_, _ = first.Device().Write([]byte("from the old one"))
		b.cable.Store(second)
		first.Cut()
		time.Sleep(20 * time.Second)
		_, _ = second.Device().Write([]byte("new"))
		err := p.Do(within(t, time.Second), func(l *serial.Line) error {
			if n := l.Generation(); n != 2 {
				t.Errorf("generation %d", n)
			}
			for {
				got, err := l.Next(time.Now().Add(100 * time.Millisecond))
				if errors.Is(err, serial.ErrSilence) {
					return nil
				}
				if err != nil {
					return err
				}
				if strings.Contains(string(got), "old") {
					t.Errorf("got %q", got)
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestUnplugAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		old := b.cable.Swap(nil)
		old.Cut()
		synctest.Wait() // no time passes
		if _, gone := p.State(); !errors.Is(gone, driver.ErrGone) {
			t.Errorf("not noticed: %v", gone)
		}
		err := p.Do(within(t, time.Second), func(*serial.Line) error { t.Error("work without a device"); return nil })
		if !errors.Is(err, driver.ErrGone) {
			t.Error(err)
		}
		b.cable.Store(serialtest.New(3))
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if n, gone := p.State(); n != 2 || gone != nil {
			t.Errorf("not found again: generation %d, %v", n, gone)
		}
	})
}

// Nobody gets a device that the protocol did not recognise.
func TestCheckComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var right atomic.Bool
		right.Store(true)
		b.cfg.Check = func(ctx context.Context, l *serial.Line) error {
			if !right.Load() {
				return errors.New("another board answers")
			}
			return nil
		}
		p := b.open()
		right.Store(false)
		old := b.cable.Swap(serialtest.New(2))
		old.Cut()
		time.Sleep(time.Second)
		err := p.Do(within(t, time.Second), func(*serial.Line) error { t.Error("work on a wrong board"); return nil })
		if !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), "another board answers") {
			t.Error(err)
		}
		b.cable.Store(serialtest.New(3)) // the last one was closed by the refusal
		right.Store(true)
		time.Sleep(time.Second)
		if err := p.Do(within(t, time.Second), func(*serial.Line) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

func TestCheckAtOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.Check = func(ctx context.Context, l *serial.Line) error {
			_, err := l.Next(time.Now().Add(time.Hour)) // a device that says nothing
			return err
		}
		began := time.Now()
		if _, err := serial.Open(b.cfg); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A device that never stops talking takes no memory and keeps nobody off the
// port.
func TestBabble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					_, _ = b.device().Write(bytes.Repeat([]byte{0x55}, 200))
				}
			}
		}()
		time.Sleep(10 * time.Second)
		if p.Dropped() < 1_000_000 {
			t.Errorf("dropped only %d bytes", p.Dropped())
		}
		err := p.Do(within(t, time.Second), func(l *serial.Line) error { return l.Quiet(5 * time.Millisecond) })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a line that is never quiet: %v", err)
		}
		close(stop)
		<-done
		if err := p.Do(within(t, time.Second), func(l *serial.Line) error { return l.Quiet(5 * time.Millisecond) }); err != nil {
			t.Error(err)
		}
	})
}

// Quiet counts from the end of our own bytes on the wire, too.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		err := p.Do(within(t, time.Second), func(l *serial.Line) error {
			if err := l.Quiet(4 * time.Millisecond); err != nil {
				return err
			}
			began := time.Now()
			if err := write(l, "12345678"); err != nil {
				return err
			}
			if err := l.Quiet(4 * time.Millisecond); err != nil {
				return err
			}
			want := 8*(10*time.Second/9600) + 4*time.Millisecond
			if got := time.Since(began); got != want {
				t.Errorf("quiet after %v, want %v", got, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestPanicEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		var kept *serial.Line
		err := p.Do(within(t, time.Second), func(l *serial.Line) error { kept = l; panic("boo") })
		if !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), "boo") {
			t.Error(err)
		}
		if err := write(kept, "x"); err == nil {
			t.Error("a line was of use after its work")
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		err := p.Do(within(t, time.Second), func(*serial.Line) error { t.Error("work after close"); return nil })
		if !errors.Is(err, driver.ErrGone) {
			t.Error(err)
		}
	})
}

func TestProblems(t *testing.T) {
	for device, want := range map[string]string{
		"":                         "name the serial port",
		"/dev/ttyUSB0":             "another device whenever",
		"/dev/ttyACM3":             "another device whenever",
		"ttyUSB0":                  "where it is",
		"/dev/serial/by-id/usb-x":  "",
		"/dev/serial/by-path/x":    "",
		"/dev/ttyAMA0":             "",
		"./board":                  "",
		"/tmp/somewhere/ttyUSB0-x": "",
	} {
		err := driver.Refusal(serial.CheckName(device))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", device, err)
		}
	}
	list := serial.Config{Device: "/dev/ttyUSB0", Baud: 1, Parity: "mark", StopBits: 3, DTR: "up"}.Problems()
	var keys []string
	for _, p := range list {
		keys = append(keys, p.Key)
	}
	if diff := cmp.Diff([]string{"port", "baud", "parity", "stop_bits", "dtr"}, keys); diff != "" {
		t.Errorf("%v:\n%s", list, diff)
	}
	if got := (serial.Config{Parity: serial.Even, Baud: 11000}).CharTime(); got != time.Millisecond {
		t.Errorf("a character takes %v", got)
	}
}

func TestGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.open()
		for i := range 100 {
			old := b.cable.Swap(serialtest.New(uint64(i)))
			old.Cut()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		// By what they do: the runtime and the test have some that come and go.
		all := make([]byte, 4<<20)
		all = all[:runtime.Stack(all, true)]
		ours := 0
		for one := range bytes.SplitSeq(all, []byte("\n\n")) {
			if bytes.Contains(one, []byte("barista/driver/serial.")) {
				ours++
			}
		}
		if ours != 2 {
			t.Errorf("%d goroutines, want the owner and the reader:\n%s", ours, all)
		}
		if n, _ := p.State(); n != 101 {
			t.Errorf("generation %d", n)
		}
	})
}
