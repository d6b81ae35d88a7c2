package gpio

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	periph "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/pin"

	"barista/driver"
)

func openOutOn(t *testing.T, f *fake, l Line, active Active) *Out {
	t.Helper()
	k, err := lookAround(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	s, err := k.find(l, "pump")
	if err != nil {
		t.Fatal(err)
	}
	out, err := openOut(s, l, "pump", active.level())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Everything that periph's interfaces offer, and nothing of it reads or
// configures the line.
func TestOutIsPeriphs(t *testing.T) {
	for _, active := range []Active{High, Low} {
		f := newFake(t)
		out := openOutOn(t, f, "P1_11", active)
		f.allow(17)
		on := active.level()
		if out.String() != "P1_11" || out.Name() != "P1_11" || out.Number() != 17 {
			t.Errorf("%s %s %d", out, out.Name(), out.Number())
		}
		is := func(l periph.Level, when string) {
			t.Helper()
			fn := periph.OUT_LOW
			if l == periph.High {
				fn = periph.OUT_HIGH
			}
			if out.Told() != l || out.Active() != (l == on) || out.Func() != fn || out.Function() != string(fn) || f.line(17).wire != bool(l) {
				t.Errorf("%s %s: told %v, func %v, wire %v", active, when, out.Told(), out.Func(), f.line(17).wire)
			}
		}
		is(!on, "after open")
		if err := out.Out(on); err != nil {
			t.Error(err)
		}
		is(on, "after on")
		f.line(17).setErr = syscall.EIO
		if err := out.Halt(); err == nil {
			t.Error("no error")
		}
		is(on, "after a halt that failed")
		f.line(17).setErr = nil
		if err := out.Halt(); err != nil {
			t.Error(err)
		}
		is(!on, "after halt")
		if err := out.PWM(periph.DutyHalf, 0); err == nil {
			t.Error("PWM on a relay")
		}
		if len(out.SupportedFuncs()) != 1 || out.SetFunc(periph.OUT) != nil {
			t.Error("it is an output")
		}
		for _, fn := range []pin.Func{periph.IN, periph.PWM} {
			if out.SetFunc(fn) == nil {
				t.Errorf("it became %s", fn)
			}
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
		if err := out.Out(on); !errors.Is(err, driver.ErrGone) || f.line(17).wire == bool(on) {
			t.Errorf("on after close: %v", err)
		}
	}
}

// A release always comes, also when the rest could not be written; the error
// says so.
func TestOutCloseReleases(t *testing.T) {
	f := newFake(t)
	out := openOutOn(t, f, "GPIO17", High)
	f.line(17).setErr = syscall.ENODEV
	if err := out.Close(); !errors.Is(err, driver.ErrGone) || f.line(17).used {
		t.Errorf("err %v, used %v", err, f.line(17).used)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		is   error
		says string
	}{
		{syscall.ENODEV, driver.ErrGone, ""},
		{syscall.ENXIO, driver.ErrGone, ""},
		{syscall.EBUSY, driver.ErrBusyLine, ""},
		{syscall.EACCES, syscall.EACCES, "group gpio"},
		{syscall.EIO, syscall.EIO, ""},
		{errors.New("x"), nil, "x"},
	} {
		got := explain(c.err)
		if c.is != nil && !errors.Is(got, c.is) || !strings.Contains(got.Error(), c.says) {
			t.Errorf("%v became %v", c.err, got)
		}
	}
	if explain(nil) != nil {
		t.Error("nil became an error")
	}
}
