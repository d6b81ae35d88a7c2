package gpio

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.line(23).wire = true
		cfg := wiring()
		cfg.Outputs[driver.Pump] = Output{Line: "GPIO27", Active: High, Deadman: driver.DeadmanExternal, Feedback: &Feedback{Switch: Switch{Line: "GPIO24", Active: Low}}}
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		hold := make(chan struct{})
		each := func(c Change) {
			if c.Line == "GPIO22" && !c.First {
				<-hold
			}
			got = append(got, fmt.Sprintf("%s %s high=%v yes=%v first=%v lost=%d", c.Input, c.Line, c.High, c.Yes, c.First, c.Lost))
		}
		done := make(chan error, 1)
		go func() { done <- watch(ctx, f.host(), cfg, each) }()
		synctest.Wait()
		f.set(23, false)
		f.lose(13, 2)
		f.set(13, true)
		f.set(24, true)
		synctest.Wait()
		want := []string{
			"hot GPIO22 high=false yes=false first=true lost=0",
			"cup GPIO23 high=true yes=false first=true lost=0",
			"pump's feedback GPIO24 high=false yes=true first=true lost=0",
			"flow GPIO13 high=false yes=false first=true lost=0",
			"cup GPIO23 high=false yes=true first=false lost=0",
			"flow GPIO13 high=true yes=true first=false lost=2",
			"pump's feedback GPIO24 high=true yes=false first=false lost=0",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if len(f.trace) != 0 {
			t.Errorf("outputs were touched: %v", f.trace)
		}

		// Somebody slow: what did not fit is counted, not waited for.
		got = nil
		for range queue/2 + 6 {
			f.pulse(22)
		}
		close(hold)
		synctest.Wait()
		f.set(22, true)
		synctest.Wait()
		if n, last := len(got), got[len(got)-1]; n < queue || last != fmt.Sprintf("hot GPIO22 high=true yes=true first=false lost=%d", queue+12-(n-1)) {
			t.Errorf("%d changes, the last one is %q", n, last)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, l := range []int{13, 22, 23, 24} {
			if f.line(l).used {
				t.Errorf("GPIO%d is still held", l)
			}
		}
	})
}

func TestWatchErrors(t *testing.T) {
	f := newFake(t)
	each := func(Change) {}
	f.line(22).used, f.line(22).consumer = true, "barista hot"
	f.line(23).reqErr = syscall.EBUSY
	f.line(13).valueErr = syscall.EIO
	err := watch(t.Context(), f.host(), wiring(), each)
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.By != "barista hot" || f.line(13).used || !errors.Is(err, syscall.EIO) {
		t.Errorf("beside the service: %v", err)
	}
	f.line(22).used = false
	if err := watch(t.Context(), f.host(), Config{Chips: []string{""}}, each); err == nil {
		t.Error("a bad config")
	}
	f.list = nil
	if err := watch(t.Context(), f.host(), wiring(), each); err == nil {
		t.Error("without a chip")
	}
}

func TestWatchLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		each := func(c Change) { got = append(got, fmt.Sprintf("%s high=%v first=%v", c.Line, c.High, c.First)) }
		done := make(chan error, 1)
		// One line by three names is one line.
		go func() {
			done <- watchLines(ctx, f.host(), wiring(), []Line{"GPIO24", "P1_18", "pinctrl-bcm2711:24", "GPIO25"}, "", each)
		}()
		synctest.Wait()
		f.set(24, true)
		synctest.Wait()
		if l := f.line(24); l.out || l.bias != 0 {
			t.Errorf("GPIO24 was changed: %+v", l)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"GPIO24 high=false first=true", "GPIO25 high=false first=true", "GPIO24 high=true first=false"}, got); diff != "" {
			t.Error(diff)
		}
		if len(f.trace) != 0 || f.line(24).used || f.line(25).used {
			t.Errorf("outputs touched: %v, or a line held", f.trace)
		}
	})
}

func TestWatchLinesRefuses(t *testing.T) {
	f := newFake(t)
	each := func(Change) { t.Error("something was watched") }
	f.line(20).out = true // left by a program that ended
	f.line(21).used, f.line(21).out, f.line(21).consumer = true, true, "barista milk"
	err := watchLines(t.Context(), f.host(), wiring(), []Line{"P1_11", "pinctrl-bcm2711:27", "GPIO20", "GPIO99", "GPIO24"}, PullUp, each)
	want := `cannot watch P1_11: the file has the grinder there, and outputs are never read
cannot watch pinctrl-bcm2711:27: the file has the pump there, and outputs are never read
cannot watch GPIO20: it drives its wire: a relay may hang on it, which would be let go
cannot use GPIO99 for a look: no line of pinctrl-bcm2711 has this name: gpioinfo shows the names; or write label:offset`
	if err == nil {
		t.Fatal("not refused")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	err = watchLines(t.Context(), f.host(), Config{}, []Line{"GPIO21"}, "", each)
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.By != "barista milk" {
		t.Errorf("a line of the service: %v", err)
	}
	if len(f.trace) != 0 {
		t.Errorf("outputs were touched: %v", f.trace)
	}
	f.line(21).used = false
	f.list = nil
	if err := watchLines(t.Context(), f.host(), Config{}, []Line{"GPIO21"}, "", each); err == nil {
		t.Error("without a chip")
	}
}
