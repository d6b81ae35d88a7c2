package serial_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

// TestSlip: a computer that has time is never late by its own clock, in fake time; one
// whose only core is taken by others is, and Line says so.
func TestSlip(t *testing.T) {
	wait := func(t *testing.T, f func(l *serial.Line) error) {
		t.Helper()
		c := serialtest.New(1)
		p, err := serial.Open(serial.Config{Dial: func() (serial.Wire, error) { return c.Host(), nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Do(ctx, f); err != nil {
			t.Error(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		wait(t, func(l *serial.Line) error {
			for _, d := range []time.Duration{-time.Second, 0, time.Millisecond, 49 * time.Millisecond, 50 * time.Millisecond, 3 * time.Second} {
				began := time.Now()
				if _, err := l.Next(began.Add(d)); !errors.Is(err, serial.ErrSilence) {
					return err
				}
				if took := time.Since(began); took != max(0, d) {
					t.Errorf("%v took %v", d, took)
				}
			}
			if err := l.Pause(context.Background(), 12500*time.Microsecond); err != nil {
				return err
			}
			if s := l.Slip(); s != 0 {
				t.Errorf("late by %v", s)
			}
			return nil
		})
	})
	if testing.Short() {
		t.Skip("keeps a core busy")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ctx, stop := context.WithCancel(context.Background())
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for n := 0; n%1024 != 0 || ctx.Err() == nil; n++ {
			}
		})
	}
	defer others.Wait()
	defer stop()
	wait(t, func(l *serial.Line) error {
		for l.Slip() == 0 { // Do ends it
			if _, err := l.Next(time.Now().Add(20 * time.Millisecond)); !errors.Is(err, serial.ErrSilence) {
				return err
			}
		}
		return nil
	})
}

// asleep is a process that is stopped once, in fake time: where its work begins to
// wait, or where it writes. The goroutine that reads sleeps as long, and a little more.
type asleep struct {
	serial.Wire
	context.Context
	writing time.Duration // how long in the next Write
	waiting atomic.Int64  // how long at the next wait
	reads   chan struct{} // closed when it may read again; nil: it always may
}

func (a *asleep) Done() <-chan struct{} {
	time.Sleep(time.Duration(a.waiting.Swap(0)))
	return a.Context.Done()
}

func (a *asleep) Read(p []byte) (int, error) {
	n, err := a.Wire.Read(p)
	if a.reads != nil {
		<-a.reads
	}
	return n, err
}

func (a *asleep) Write(p []byte) (int, error) {
	d := a.writing
	a.writing = 0
	time.Sleep(d)
	if d > 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return a.Wire.Write(p)
}

// sleeper runs work on a line whose process can be put to sleep.
func sleeper(t *testing.T, patience time.Duration, work func(a *asleep, c *serialtest.Cable, l *serial.Line) error) (*serial.Port, error) {
	t.Helper()
	c := serialtest.New(1)
	a := &asleep{Wire: c.Host(), Context: within(t, patience)}
	p, err := serial.Open(serial.Config{Dial: func() (serial.Wire, error) { return a, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, p.Do(a, func(l *serial.Line) error {
		time.Sleep(time.Millisecond) // Do waits for us, and asks for Done no more
		return work(a, c, l)
	})
}

// TestStoppedWhileItWaits: a process that was stopped over the end of a wait is given
// what came meanwhile, wherever in the wait it was stopped.
func TestStoppedWhileItWaits(t *testing.T) {
	for _, until := range []time.Duration{20 * time.Millisecond, 70 * time.Millisecond, 120 * time.Millisecond, 199 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			_, err := sleeper(t, time.Minute, func(a *asleep, c *serialtest.Cable, l *serial.Line) error {
				a.reads = make(chan struct{})
				a.waiting.Store(int64(200 * time.Millisecond))
				time.AfterFunc(201*time.Millisecond, func() { close(a.reads) })
				if _, err := c.Device().Write([]byte("yes")); err != nil {
					return err
				}
				b, err := l.Next(time.Now().Add(until))
				if string(b) != "yes" {
					t.Errorf("until %v: %q, %v", until, b, err)
				}
				if l.Slip() < 200*time.Millisecond-until {
					t.Errorf("until %v: late by %v", until, l.Slip())
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStoppedWhileItWrites: a write for which the process was not awake has not failed,
// and one whose caller gave up meanwhile is not begun again. The connection goes on.
func TestStoppedWhileItWrites(t *testing.T) {
	for patience, goes := range map[time.Duration]bool{time.Minute: true, time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			p, err := sleeper(t, patience, func(a *asleep, c *serialtest.Cable, l *serial.Line) error {
				a.writing = 2 * time.Second
				err := l.Write([]byte("on"))
				if out := c.Host().Frames(); (err == nil) != goes || (out == 1) != goes {
					t.Errorf("%v, %d frames", err, out)
				}
				return err
			})
			if !goes && !errors.Is(err, context.DeadlineExceeded) || goes && err != nil {
				t.Errorf("patience %v: %v", patience, err)
			}
			if n, gone := p.State(); n != 1 || gone != nil {
				t.Errorf("patience %v: generation %d, %v", patience, n, gone)
			}
		})
	}
}
