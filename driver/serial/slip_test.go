package serial_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
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
