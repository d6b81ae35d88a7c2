package gpio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/warthog618/go-gpiocdev"
	"pgregory.net/rapid"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/guard"
)

// wiring is a machine with both kinds of relays and most kinds of inputs.
func wiring() Config {
	return Config{
		Chips: []string{"pinctrl-rp1", "pinctrl-bcm2711"},
		Outputs: map[driver.Part]Output{
			driver.Grinder: {Line: "GPIO17", Active: High},
			driver.Pump:    {Line: "P1_13", Active: High, Deadman: driver.DeadmanExternal},
			driver.Milk:    {Line: "GPIO5", Active: Low, Needs: []driver.Signal{driver.Hot}},
			driver.Sugar:   {Line: "pinctrl-bcm2711:6", Active: Low, Deadman: driver.DeadmanBoard},
		},
		Switches: map[driver.Signal]Switch{
			driver.Hot: {Line: "GPIO22", Active: High, Debounce: 50 * time.Millisecond},
			driver.Cup: {Line: "GPIO23", Active: Low},
		},
		Flow: &Flow{Line: "GPIO13", PulsesPerML: 2},
	}
}

// lines is where wiring's outputs are.
var lines = map[driver.Part]int{driver.Grinder: 17, driver.Pump: 27, driver.Milk: 5, driver.Sugar: 6}

func mustOpen(t testing.TB, f *fake, cfg Config) driver.Rig {
	t.Helper()
	rig, err := open(f.host(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rig.Close(); err != nil {
			t.Error(err)
		}
	})
	return rig
}

// From the request to the release: each output is at its rest in one step, says
// whose it is, and is put at rest again before it goes.
func TestAtRestFromTheFirstMoment(t *testing.T) {
	f := newFake(t)
	rig, err := open(f.host(), wiring(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.allow(17)
	if err := rig.Outputs[driver.Grinder].On(time.Second); err != nil {
		t.Error(err)
	}
	if err := rig.Close(); err != nil {
		t.Error(err)
	}
	want := []string{
		"GPIO17 out low", "GPIO27 out low", "GPIO5 out high", "GPIO6 out high", // open
		"GPIO17 high", // on
		"GPIO17 low", "GPIO17 released", "GPIO27 low", "GPIO27 released", "GPIO5 high", "GPIO5 released", "GPIO6 high", "GPIO6 released",
	}
	if diff := cmp.Diff(want, f.trace); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("barista pump", f.line(27).consumer); diff != "" {
		t.Error(diff)
	}
}

func TestRig(t *testing.T) {
	f := newFake(t)
	f.files["etc/machine-id"] = &fstest.MapFile{Data: []byte("0123\n")}
	rig := mustOpen(t, f, wiring())
	if want := (driver.Identity{Kind: "gpio", Model: "pinctrl-bcm2711", Serial: "0123"}); rig.Identity != want {
		t.Errorf("identity %+v", rig.Identity)
	}
	ports := map[string]bool{}
	for p, w := range rig.Outputs {
		ports[w.Port] = true
		want := driver.DeadmanNone
		if p == driver.Pump || p == driver.Sugar { // a timer that can't be set is one in the wiring
			want = driver.DeadmanExternal
		}
		if w.Deadman != want {
			t.Errorf("%s has deadman %s", p, w.Deadman)
		}
	}
	if len(ports) != 4 || rig.OffWithin != 250*time.Millisecond {
		t.Errorf("ports %v, off within %v", ports, rig.OffWithin)
	}
}

func TestSerial(t *testing.T) {
	files := fstest.MapFS{}
	if got := serial(files, Config{}); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	files["etc/machine-id"] = &fstest.MapFile{Data: []byte("0123\n")}
	files["sys/firmware/devicetree/base/serial-number"] = &fstest.MapFile{Data: []byte("10000000abcd\x00")}
	if got := serial(files, Config{}); got != "10000000abcd" {
		t.Errorf("of a Raspberry Pi: %q", got)
	}
	if got := serial(files, Config{Serial: "unit-7"}); got != "unit-7" {
		t.Errorf("of the file: %q", got)
	}
}

// expected lets an output go on when somebody tells it to, so that the fake sees
// what goes on by itself.
type expected struct {
	driver.Output
	f    *fake
	line int
}

func (e expected) On(atMost time.Duration) error {
	e.f.allow(e.line)
	return e.Output.On(atMost)
}

func (e expected) Off() error {
	err := e.Output.Off()
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	e.f.line(e.line).allowed = false
	return err
}

func bench(f *fake, rig driver.Rig) drivertest.Bench {
	for p, w := range rig.Outputs {
		w.Output = expected{w.Output, f, lines[p]}
		rig.Outputs[p] = w
	}
	return drivertest.Bench{
		Rig:   rig,
		Level: func(p driver.Part) bool { return f.on(lines[p]) },
		Rises: func(p driver.Part) int { f.mu.Lock(); defer f.mu.Unlock(); return f.line(lines[p]).rises },
		Unplug: func() { // a chip on USB, pulled
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, l := range f.list[0].lines {
				l.setErr, l.valueErr = syscall.ENODEV, syscall.ENODEV
			}
		},
	}
}

func TestActuators(t *testing.T) {
	drivertest.Actuators(t, func(t *testing.T) drivertest.Bench {
		f := newFake(t)
		f.line(22).wire = true // hot, for milk
		rig, err := open(f.host(), wiring(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return bench(f, rig)
	})
}

// The same with a contact at every relay.
func TestActuatorsWithFeedback(t *testing.T) {
	drivertest.Actuators(t, func(t *testing.T) drivertest.Bench {
		f := newFake(t)
		f.line(22).wire = true
		cfg := wiring()
		contact := 7
		for p, o := range cfg.Outputs {
			o.Feedback = &Feedback{Switch: Switch{Line: Line(fmt.Sprintf("GPIO%d", contact)), Active: Low}}
			f.line(contact).follows = f.line(lines[p])
			cfg.Outputs[p] = o
			contact++
		}
		rig, err := open(f.host(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		return bench(f, rig)
	})
}

// A machine that was left on by a process that was killed, on a kernel that
// keeps released outputs: opening it is enough to bring it to rest, even if the
// rest of it can't be opened.
func TestLeftOn(t *testing.T) {
	for name, spoil := range map[string]func(*fake){
		"well":              func(*fake) {},
		"an input is taken": func(f *fake) { f.line(23).used = true },
		"an output is taken": func(f *fake) {
			f.line(5).used, f.line(5).consumer = true, "gpioset"
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.line(17).wire, f.line(27).wire = true, true
			f.line(5).wire = true // of somebody else, or at rest
			spoil(f)
			rig, err := open(f.host(), wiring(), nil)
			if (err == nil) != (name == "well") {
				t.Fatalf("err %v", err)
			}
			if f.on(17) || f.on(27) {
				t.Error("still on")
			}
			if err == nil {
				_ = rig.Close()
				return
			}
			for _, o := range []int{17, 27, 6, 22, 13} {
				if f.line(o).used {
					t.Errorf("GPIO%d is still held", o)
				}
			}
			f.line(23).used = false
		})
	}
}

func TestSafeOff(t *testing.T) {
	f := newFake(t)
	f.line(17).wire, f.line(27).wire = true, true
	f.line(17).used, f.line(17).consumer = true, "barista grinder"
	err := safeOff(f.host(), wiring())
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.By != "barista grinder" || busy.For != "grinder" {
		t.Errorf("err %v", err)
	}
	if f.on(27) {
		t.Error("the pump is on: one output in the way and the others are not tried")
	}
	f.line(17).used = false
	if err := safeOff(f.host(), wiring()); err != nil || f.on(17) {
		t.Errorf("err %v, on %v", err, f.on(17))
	}
	for _, c := range []int{22, 23, 13} {
		if f.line(c).consumer != "" {
			t.Errorf("GPIO%d was requested: inputs are nobody's business here", c)
		}
	}
	f.line(27).setErr = syscall.EIO
	if err := safeOff(f.host(), wiring()); err == nil || !strings.Contains(err.Error(), "pump may be on") {
		t.Errorf("an output that can't be written: %v", err)
	}
	f.line(27).setErr = nil
	cfg := wiring()
	cfg.Outputs[driver.Pump] = Output{Line: "GPIO27", Deadman: driver.DeadmanExternal}
	if err := safeOff(f.host(), cfg); err == nil {
		t.Error("nobody knows what the rest of a line without polarity is")
	}
	f.list = nil
	if err := safeOff(f.host(), wiring()); err == nil {
		t.Error("without a chip")
	}
}

// Every problem of the computer comes at once, in words.
func TestOpenErrors(t *testing.T) {
	f := newFake(t)
	f.line(17).used, f.line(17).consumer = true, "gpioset"
	f.line(5).reqErr = syscall.EBUSY // taken between the look and the request
	f.line(22).reqErr = syscall.EACCES
	f.line(23).used = true
	cfg := wiring()
	cfg.Switches[driver.Door] = Switch{Line: "MY_DOOR", Active: Low}
	cfg.Outputs[driver.Pump] = Output{Line: "GPIO27", Active: High, Deadman: driver.DeadmanExternal, Feedback: &Feedback{Switch: Switch{Line: "pinctrl-bcm2711:400", Active: Low}}}
	cfg.AcceptLines = map[Line]string{"pinctrl-bcm2711:400": "ada: to see what is said of it"}
	cfg.Flow.Line = "pinctrl-rp1:3"
	cfg.Temperature = &Temperature{SPI: "SPI0.0"}
	_, err := open(f.host(), cfg, nil)
	want := `gpio machine: cannot use GPIO17 for grinder: it is used by gpioset
cannot use GPIO5 for milk: it is used by somebody who gave no name
cannot use GPIO22 for hot: permission denied: put the user into the group gpio
cannot use GPIO23 for cup: it is used by somebody who gave no name
cannot use MY_DOOR for door: no line of pinctrl-bcm2711 has this name: gpioinfo shows the names; or write label:offset
cannot use pinctrl-bcm2711:400 for pump's feedback: pinctrl-bcm2711 has lines 0 to 57
cannot use pinctrl-rp1:3 for flow: there is no GPIO chip with the label pinctrl-rp1 here, but pinctrl-bcm2711`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, driver.ErrBusyLine) {
		t.Error("a line that is taken is not ErrBusyLine")
	}
	if _, err := open(f.host(), Config{Outputs: map[driver.Part]Output{"pumpe": {}}}, nil); err == nil {
		t.Error("a bad config was opened")
	}
	f.line(23).used = false

	ok := newFake(t)
	cfg = wiring()
	cfg.Temperature = &Temperature{SPI: "SPI0.0"}
	if _, err := open(ok.host(), cfg, nil); err == nil || !strings.Contains(err.Error(), "dtparam=spi=on") {
		t.Errorf("SPI is off: %v", err)
	}
	if ok.line(17).used {
		t.Error("held after a failed open")
	}
}

// What a Raspberry Pi has on its own lines is found by where a name leads, and by its
// number where the kernel has no name; signed for, it is a line like any other.
func TestOwnLines(t *testing.T) {
	for _, l := range []Line{"STATUS_LED", "GPIO40"} {
		f := newFake(t)
		f.line(42).name = "STATUS_LED"
		cfg := wiring()
		cfg.Outputs[driver.Grinder] = Output{Line: l, Active: High}
		if _, err := open(f.host(), cfg, nil); err == nil || !strings.Contains(err.Error(), "not on the header") || !strings.Contains(err.Error(), "accept_lines: {"+string(l)+":") {
			t.Errorf("%s: %v", l, err)
		}
		if f.line(40).used || f.line(42).used {
			t.Errorf("%s: held", l)
		}
		cfg.AcceptLines = map[Line]string{l: "ada: a compute module, it is on a clamp"}
		rig := mustOpen(t, f, cfg)
		at := map[Line]int{"STATUS_LED": 42, "GPIO40": 40}[l]
		if !f.line(at).used || rig.Outputs[driver.Grinder].Output == nil {
			t.Errorf("%s: line %d is not held", l, at)
		}
		cfg.Switches[driver.Cup] = Switch{Line: "pinctrl-bcm2711:40", Active: Low}
		cfg.AcceptLines["pinctrl-bcm2711:40"] = "ada: the same clamp"
		if err := driver.Refusal(cfg.Problems()); (err != nil && strings.Contains(err.Error(), "it is used by")) != (at == 40) {
			t.Errorf("%s: %v", l, err)
		}
	}
}

// A driver that is behind the guard, told random things while writes fail now
// and then: what the relay does is what the last command that went through said,
// nothing is on that nobody told, and close brings it to rest.
func TestRandomCommands(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFake(t)
		f.line(22).wire = true
		rig, err := open(f.host(), wiring(), nil)
		if err != nil {
			rt.Fatal(err)
		}
		model := map[driver.Part]bool{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			p := rapid.SampledFrom([]driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar}).Draw(rt, "part")
			l := f.line(lines[p])
			broken := rapid.IntRange(0, 5).Draw(rt, "luck") == 0
			if broken {
				l.setErr = syscall.EIO
			}
			on := rapid.Bool().Draw(rt, "on")
			l.allowed = on
			if on {
				err = rig.Outputs[p].On(time.Second)
			} else {
				err = rig.Outputs[p].Off()
			}
			l.setErr, l.allowed = nil, false
			if (err != nil) != broken {
				rt.Fatalf("%s on %v: err %v, broken %v", p, on, err, broken)
			}
			if err == nil {
				model[p] = on
			}
			for part, offset := range lines {
				if f.on(offset) != model[part] {
					rt.Fatalf("%s is %v, want %v", part, f.on(offset), model[part])
				}
			}
		}
		if err := rig.Close(); err != nil {
			rt.Fatal(err)
		}
		for part, offset := range lines {
			if f.on(offset) {
				rt.Fatalf("%s is on after close", part)
			}
		}
		if len(f.harm) > 0 {
			rt.Fatal(f.harm)
		}
	})
}

// A contact that says on, at the start already, is a fault of the machine: the
// guard comes up locked, and no part goes on.
func TestWeldedRelayLatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		cfg := wiring()
		cfg.Outputs[driver.Pump] = Output{Line: "GPIO27", Active: High, Deadman: driver.DeadmanExternal, Feedback: &Feedback{Switch: Switch{Line: "GPIO24", Active: Low}}}
		rig, err := open(f.host(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.line(24).wire = false // says on
		g, err := guard.New(rig, guard.Config{Name: "zoe"}.Of(rig))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		<-g.Started()
		if l, latched := g.Latched(); !latched || !l.Feedback || !strings.Contains(l.Cause, "a welded relay?") {
			t.Errorf("the guard takes a machine whose pump is on: %+v", l)
		}
		if err := g.On(driver.Grinder, time.Second); err == nil {
			t.Error("the grinder went on")
		}
		stop()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "a welded relay?") {
			t.Errorf("at the end nobody says that it is on: %v", err)
		}
		if err := g.Close(); !errors.Is(err, driver.ErrFeedback) {
			t.Error(err)
		}
	})
}

func TestRelayNeeds(t *testing.T) {
	f := newFake(t)
	rig := mustOpen(t, f, wiring())
	milk := rig.Outputs[driver.Milk]
	if err := milk.On(time.Second); err == nil || err.Error() != "cannot switch milk on: it needs hot, which says no" {
		t.Errorf("cold: %v", err)
	}
	f.line(22).valueErr = syscall.EIO
	if err := milk.On(time.Second); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("unknown: %v", err)
	}
	f.line(22).valueErr = nil
	f.line(22).wire = true
	f.allow(5)
	if err := milk.On(time.Second); err != nil || !f.on(5) {
		t.Errorf("hot: %v", err)
	}
	f.line(22).wire = false
	if err := milk.Off(); err != nil || f.on(5) {
		t.Errorf("off needs nothing: %v", err)
	}
	for _, d := range []time.Duration{0, -1} {
		if err := milk.On(d); err == nil {
			t.Errorf("on for %v", d)
		}
	}
}

func TestRelayFeedback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		cfg := wiring()
		cfg.Outputs[driver.Grinder] = Output{Line: "GPIO17", Active: High, Feedback: &Feedback{Switch: Switch{Line: "GPIO24", Active: Low}, Within: 30 * time.Millisecond}}
		rig, err := open(f.host(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rig.Close() }()
		f.allow(17)
		grinder := rig.Outputs[driver.Grinder]
		contact := f.line(24)
		contact.wire = true // off
		move := func(after time.Duration, high bool) {
			time.AfterFunc(after, func() { f.set(24, high) })
		}

		start := time.Now()
		move(10*time.Millisecond, false)
		if err := grinder.On(time.Second); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 10*time.Millisecond || took > 12*time.Millisecond {
			t.Errorf("on took %v with a relay of 10ms", took)
		}
		if err := grinder.On(time.Second); err != nil {
			t.Errorf("again while on: %v", err)
		}
		move(10*time.Millisecond, true)
		if err := grinder.Off(); err != nil {
			t.Error(err)
		}

		start = time.Now()
		if err := grinder.On(time.Second); err == nil || !strings.Contains(err.Error(), "still says off") {
			t.Errorf("a relay that does not close: %v", err)
		}
		if took := time.Since(start); took != 30*time.Millisecond {
			t.Errorf("it took %v to see that", took)
		}
		f.set(24, false)
		if err := grinder.Off(); err == nil || !strings.Contains(err.Error(), "it may be on") || f.on(17) {
			t.Errorf("a relay that is welded: %v", err)
		}
		before := len(f.trace)
		if err := grinder.On(time.Second); err == nil || len(f.trace) != before {
			t.Errorf("on, while it is on already: %v, %v", err, f.trace[before:])
		}
		contact.valueErr = syscall.EIO
		if err := grinder.Off(); err == nil {
			t.Error("a contact that can't be read")
		}
	})
}

func TestFind(t *testing.T) {
	for name, c := range map[string]struct {
		labels []string
		line   Line
		change func(*fake)
		want   string // device:offset, or the error
	}{
		"name":              {nil, "GPIO17", nil, "gpiochip0:17"},
		"header":            {nil, "P1_40", nil, "gpiochip0:21"},
		"offset":            {nil, "pinctrl-bcm2711:57", nil, "gpiochip0:57"},
		"label and name":    {[]string{"pinctrl-rp1", "pinctrl-bcm2711"}, "GPIO17", nil, "gpiochip0:17"},
		"called otherwise":  {nil, "GPIO2", func(f *fake) { f.line(2).name = "SDA1" }, "gpiochip0:2"},
		"and by that name":  {nil, "SDA1", func(f *fake) { f.line(2).name = "SDA1" }, "gpiochip0:2"},
		"renumbered":        {nil, "GPIO17", func(f *fake) { f.list[0].device = "gpiochip4" }, "gpiochip4:17"},
		"a link is skipped": {nil, "GPIO17", func(f *fake) { f.add("gpiochip4", "", 0).openErr = gpiocdev.ErrNotCharacterDevice }, "gpiochip0:17"},
		"twice": {nil, "GPIO17", func(f *fake) { f.add("gpiochip1", "usb", 2).lines[1].name = "GPIO17" },
			"cannot use GPIO17 for pump: there are several: pinctrl-bcm2711:17, usb:1"},
		"twice, one is meant":         {[]string{"usb"}, "GPIO17", func(f *fake) { f.add("gpiochip1", "usb", 2).lines[1].name = "GPIO17" }, "gpiochip1:1"},
		"an offset beside the labels": {[]string{"pinctrl-bcm2711"}, "usb:0", func(f *fake) { f.add("gpiochip1", "usb", 2) }, "gpiochip1:0"},
		"two chips of one label": {nil, "pinctrl-bcm2711:3", func(f *fake) { f.add("gpiochip1", "pinctrl-bcm2711", 5) },
			"cannot use pinctrl-bcm2711:3 for pump: there are several: pinctrl-bcm2711:3, pinctrl-bcm2711:3"},
		"not there":         {nil, "GPIO99", nil, "cannot use GPIO99 for pump: no line of pinctrl-bcm2711 has this name: gpioinfo shows the names; or write label:offset"},
		"not a Pi's number": {nil, "GPIO2", func(f *fake) { f.line(2).name, f.list[0].lbl = "SDA1", "other" }, "cannot use GPIO2 for pump: no line of other has this name: gpioinfo shows the names; or write label:offset"},
		"wrong label":       {[]string{"pinctrl-rp1"}, "GPIO17", nil, "there is no GPIO chip with the label pinctrl-rp1 here, but pinctrl-bcm2711: correct chip in the file"},
		"no chip":           {nil, "GPIO17", func(f *fake) { f.list = nil }, "this computer has no GPIO chip (/dev/gpiochip…): is it the right one?"},
		"not allowed":       {nil, "GPIO17", func(f *fake) { f.list[0].openErr = &fsError{syscall.EACCES} }, "cannot open /dev/gpiochip0: open: permission denied: put the user into the group gpio"},
		"sys is hidden":     {nil, "GPIO17", func(f *fake) { f.list[0].openErr = gpiocdev.ErrNotCharacterDevice }, "/dev/gpiochip… is there, but no chip behind it: /sys/bus/gpio must be readable, also in the service's sandbox"},
		"old kernel":        {nil, "GPIO17", func(f *fake) { f.list[0].version = 1 }, "cannot use GPIO17 for pump: this kernel is too old: Linux 5.10 or newer is needed"},
		"bad":               {nil, "17", nil, "line of pump: the number 17 does not say what it counts: GPIO17 is the chip's numbering, P1_17 the position on the header"},
		"used":              {nil, "GPIO17", func(f *fake) { f.line(17).used, f.line(17).consumer = true, "grinder" }, "cannot use GPIO17 for pump: it is used by grinder"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			if c.change != nil {
				c.change(f)
			}
			k, err := lookAround(f, c.labels)
			got := ""
			if err == nil {
				defer k.close()
				var s spot
				if s, err = k.find(c.line, "pump"); err == nil {
					got = fmt.Sprintf("%s:%d", s.device, s.offset)
				}
			}
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// fsError is what opening a file gives.
type fsError struct{ errno syscall.Errno }

func (e *fsError) Error() string { return "open: " + e.errno.Error() }
func (e *fsError) Unwrap() error { return e.errno }
