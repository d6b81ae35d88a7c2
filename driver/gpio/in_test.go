package gpio

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warthog618/go-gpiocdev"
	periph "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/pin"

	"barista/driver"
)

func openInOn(t testing.TB, f *fake, l Line, want inConfig) *In {
	t.Helper()
	k, err := lookAround(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	s, err := k.find(l, "cup")
	if err != nil {
		t.Fatal(err)
	}
	in, err := openIn(s, l, "cup", want)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestInIsPeriphs(t *testing.T) {
	f := newFake(t)
	in := openInOn(t, f, "GPIO6", inConfig{pull: periph.PullDown, edges: periph.RisingEdge})
	if in.String() != "GPIO6" || in.Name() != "GPIO6" || in.Number() != 6 || in.Pull() != periph.PullDown || in.DefaultPull() != periph.PullUp {
		t.Errorf("%s %s %d %v %v", in, in.Name(), in.Number(), in.Pull(), in.DefaultPull())
	}
	if in.Function() != "IN" || in.Func() != periph.IN || len(in.SupportedFuncs()) != 1 || in.SetFunc(periph.IN) != nil {
		t.Error("it is an input")
	}
	for _, fn := range []pin.Func{periph.OUT, periph.PWM} {
		if in.SetFunc(fn) == nil {
			t.Errorf("it became %s", fn)
		}
	}
	if in.In(periph.PullNoChange, periph.RisingEdge) != nil || in.In(periph.PullDown, periph.RisingEdge) != nil {
		t.Error("it can't be what it is")
	}
	if in.In(periph.PullUp, periph.RisingEdge) == nil || in.In(periph.PullDown, periph.NoEdge) == nil {
		t.Error("it was configured anew")
	}
	for _, high := range []bool{true, false} {
		f.set(6, high)
		if l, err := in.Level(); err != nil || bool(l) != high || bool(in.Read()) != high {
			t.Errorf("level %v (%v), want %v", l, err, high)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if _, err := in.Level(); !errors.Is(err, driver.ErrGone) || in.Read() != periph.Low {
		t.Errorf("after close: %v", err)
	}
	sda := openInOn(t, f, "ID_SDA", inConfig{})
	if sda.DefaultPull() != periph.PullNoChange {
		t.Error("a line of which nothing is known")
	}
	_ = sda.Close()
}

func TestInWaitForEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		in := openInOn(t, f, "GPIO6", inConfig{edges: periph.BothEdges})
		wait := func(timeout time.Duration, want bool, took time.Duration, when string) {
			t.Helper()
			start := time.Now()
			if got := in.WaitForEdge(timeout); got != want || time.Since(start) != took {
				t.Errorf("%s: %v after %v, want %v after %v", when, got, time.Since(start), want, took)
			}
		}
		wait(time.Second, false, time.Second, "nothing happens")
		f.set(6, true)
		wait(-1, true, 0, "it came before")
		time.AfterFunc(time.Minute, func() { f.set(6, false) })
		wait(-1, true, time.Minute, "it comes later")
		time.AfterFunc(time.Second, func() { _ = in.Halt() })
		wait(-1, false, time.Second, "halted")
		_ = in.Halt()
		wait(-1, false, 0, "halted before")
		f.set(6, true)
		if err := in.In(periph.PullNoChange, periph.BothEdges); err != nil {
			t.Error(err)
		}
		wait(0, false, 0, "thrown away by In")
		time.AfterFunc(time.Second, func() { _ = in.Close() })
		wait(-1, false, time.Second, "closed")
		synctest.Wait() // Close ends the wait first and then releases
	})
}

// What the file asks for is what the kernel is told.
func TestInRequest(t *testing.T) {
	f := newFake(t)
	rig := mustOpen(t, f, Config{
		Outputs: map[driver.Part]Output{driver.Sugar: {Line: "GPIO17", Active: High}},
		Switches: map[driver.Signal]Switch{
			driver.Hot:  {Line: "GPIO2", Active: High, Debounce: 50 * time.Millisecond},
			driver.Cup:  {Line: "GPIO3", Active: Low},
			driver.Tank: {Line: "GPIO4", Active: Low, Pull: PullOff},
			driver.Door: {Line: "GPIO5", Active: Low, Pull: PullDown},
			driver.Stop: {Line: "GPIO6", Active: High, Pull: PullUp},
		},
		Flow: &Flow{Line: "GPIO13", PulsesPerML: 1, Debounce: time.Millisecond},
	})
	for offset, want := range map[int]fakeLine{
		2:  {bias: gpiocdev.LineBiasPullDown, debounce: 50 * time.Millisecond},
		3:  {bias: gpiocdev.LineBiasPullUp},
		4:  {bias: gpiocdev.LineBiasDisabled},
		5:  {bias: gpiocdev.LineBiasPullDown},
		6:  {bias: gpiocdev.LineBiasPullUp},
		13: {bias: gpiocdev.LineBiasPullUp, debounce: time.Millisecond, edges: gpiocdev.LineEdgeRising},
	} {
		l := f.line(offset)
		if l.out || l.bias != want.bias || l.debounce != want.debounce || l.edges != want.edges {
			t.Errorf("GPIO%d: bias %v, debounce %v, edges %v; want %v, %v, %v", offset, l.bias, l.debounce, l.edges, want.bias, want.debounce, want.edges)
		}
	}

	// And what the wire says is what the sensor says: yes at the active level.
	for s, offset := range map[driver.Signal]int{driver.Hot: 2, driver.Cup: 3} {
		for _, high := range []bool{true, false} {
			f.line(offset).wire = high
			r, err := rig.Sensors[s].Read()
			if err != nil || r.Yes() != (high == (s == driver.Hot)) || r.At.IsZero() {
				t.Errorf("%s with the wire %v reads %v (%v)", s, high, r, err)
			}
		}
	}
	f.line(2).valueErr = syscall.EIO
	if _, err := rig.Sensors[driver.Hot].Read(); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a line that can't be read: %v", err)
	}
	f.line(2).valueErr = syscall.ENODEV
	if _, err := rig.Sensors[driver.Hot].Read(); !errors.Is(err, driver.ErrGone) {
		t.Errorf("a chip that was pulled: %v", err)
	}
	if err := rig.Close(); err != nil {
		t.Error(err)
	}
	for _, s := range []driver.Signal{driver.Cup, driver.Flow} {
		if _, err := rig.Sensors[s].Read(); !errors.Is(err, driver.ErrGone) {
			t.Errorf("%s after close: %v", s, err)
		}
	}
}
