package gpio

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"go.uber.org/goleak"
	"periph.io/x/conn/v3/spi"

	"testing/fstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake stands in for the kernel and for what is wired to it. It understands the
// real options of a request, and notes as harm what must never happen to an
// output: that it is read, requested a second time or with anything but its
// rest, switched on before somebody called allow, or released while on.
type fake struct {
	mu      sync.Mutex
	serving sync.RWMutex // held while an event handler runs
	list    []*fakeChip
	harm    []string
	files   fstest.MapFS
	port    func(bus, cs int) (spi.PortCloser, error)
	trace   []string // what happened to outputs
}

type fakeChip struct {
	f       *fake
	device  string
	lbl     string
	version int
	openErr error
	closed  int
	lines   []*fakeLine
}

type fakeLine struct {
	name     string
	consumer string
	used     bool
	out      bool
	low      bool // active low
	wire     bool // the level outside
	bias     gpiocdev.LineBias
	debounce time.Duration
	edges    gpiocdev.LineEdge
	handler  gpiocdev.EventHandler
	seq      uint32
	allowed  bool
	rises    int
	setErr   error // of SetValue
	valueErr error // of Value
	reqErr   error
	follows  *fakeLine // an auxiliary contact, closed (low) while that one is on
}

// newFake is a Raspberry Pi 4 with nothing wired to it; outputs rest where the
// pulls at boot leave them, or where rest says.
func newFake(t testing.TB) *fake {
	f := &fake{files: fstest.MapFS{}}
	f.add("gpiochip0", "pinctrl-bcm2711", 58)
	for i, l := range f.list[0].lines {
		if i < len(pins) {
			l.name = fmt.Sprintf("GPIO%d", i)
		}
	}
	f.list[0].lines[0].name, f.list[0].lines[1].name = "ID_SDA", "ID_SCL"
	f.port = func(int, int) (spi.PortCloser, error) { return nil, syscall.ENOENT }
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, h := range f.harm {
			t.Errorf("harm: %s", h)
		}
		for _, c := range f.list {
			if c.closed < 0 {
				t.Errorf("%s was left open", c.device)
			}
			for _, l := range c.lines {
				if l.used && l.handler != nil {
					t.Errorf("%s was not released", l.name)
				}
			}
		}
	})
	return f
}

func (f *fake) add(device, label string, lines int) *fakeChip {
	c := &fakeChip{f: f, device: device, lbl: label, version: 2}
	for range lines {
		c.lines = append(c.lines, &fakeLine{})
	}
	f.list = append(f.list, c)
	return c
}

func (f *fake) host() host { return host{door: f, spi: f.port, files: f.files} }

func (f *fake) chips() []string {
	var out []string
	for _, c := range f.list {
		out = append(out, c.device)
	}
	return out
}

func (f *fake) open(device string) (chip, error) {
	for _, c := range f.list {
		if c.device == device {
			if c.openErr != nil {
				return nil, c.openErr
			}
			c.closed--
			return c, nil
		}
	}
	return nil, syscall.ENOENT
}

// line is a line of the first chip.
func (f *fake) line(offset int) *fakeLine { return f.list[0].lines[offset] }

// hurt notes harm. The lock is held.
func (f *fake) hurt(format string, args ...any) {
	f.harm = append(f.harm, fmt.Sprintf(format, args...))
}

// allow says that these outputs may go on from now on.
func (f *fake) allow(offsets ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range offsets {
		f.line(o).allowed = true
	}
}

// on is what the relay at the line does.
func (f *fake) on(offset int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.line(offset).on()
}

func (l *fakeLine) on() bool { return l.wire != l.low }

// set moves a wire from outside and hands its edge over.
func (f *fake) set(offset int, high bool) {
	f.mu.Lock()
	l := f.line(offset)
	changed := l.wire != high
	l.wire = high
	kind, want := gpiocdev.LineEventFallingEdge, gpiocdev.LineEdgeFalling
	if high {
		kind, want = gpiocdev.LineEventRisingEdge, gpiocdev.LineEdgeRising
	}
	handler := l.handler
	if !changed || !l.used || l.edges&want == 0 || handler == nil {
		f.mu.Unlock()
		return
	}
	l.seq++
	e := gpiocdev.LineEvent{Offset: offset, Timestamp: time.Duration(l.seq) * time.Millisecond, Type: kind, LineSeqno: l.seq}
	f.serving.RLock()
	defer f.serving.RUnlock()
	f.mu.Unlock()
	handler(e)
}

// pulse is one whole pulse.
func (f *fake) pulse(offset int) {
	f.set(offset, !f.line(offset).wire)
	f.set(offset, !f.line(offset).wire)
}

// lose has edges fall out of the kernel's queue.
func (f *fake) lose(offset int, edges uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.line(offset).seq += edges
}

func (c *fakeChip) label() string { return c.lbl }
func (c *fakeChip) abi() int      { return c.version }
func (c *fakeChip) Lines() int    { return len(c.lines) }
func (c *fakeChip) Close() error  { c.closed++; return nil }

func (c *fakeChip) LineInfo(offset int) (gpiocdev.LineInfo, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	l := c.lines[offset]
	info := gpiocdev.LineInfo{Offset: offset, Name: l.name, Consumer: l.consumer, Used: l.used}
	info.Config.Direction, info.Config.ActiveLow = gpiocdev.LineDirectionInput, l.low
	if l.out {
		info.Config.Direction = gpiocdev.LineDirectionOutput
	}
	return info, nil
}

func (c *fakeChip) request(offset int, options ...gpiocdev.LineReqOption) (line, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	l := c.lines[offset]
	if l.reqErr != nil {
		return nil, l.reqErr
	}
	if l.used {
		return nil, syscall.EBUSY
	}
	next := fakeLine{name: l.name, wire: l.wire, allowed: l.allowed, rises: l.rises, setErr: l.setErr, valueErr: l.valueErr, follows: l.follows, used: true}
	var values []int
	for _, o := range options {
		switch o := o.(type) {
		case gpiocdev.ConsumerOption:
			next.consumer = string(o)
		case gpiocdev.LevelOption:
			next.low = bool(o)
		case gpiocdev.OutputOption:
			next.out, values = true, o
		case gpiocdev.InputOption:
			next.out = false
		case gpiocdev.LineBias:
			next.bias = o
		case gpiocdev.DebounceOption:
			next.debounce = time.Duration(o)
		case gpiocdev.LineEdge:
			next.edges = o
		case gpiocdev.EventHandler:
			next.handler = o
		default:
			c.f.hurt("%s was requested with an option that the fake doesn't know: %T", l.name, o)
		}
	}
	if len(next.consumer) > 31 {
		c.f.hurt("the consumer %q is too long", next.consumer)
	}
	if next.out {
		if len(values) != 1 || values[0] != 0 {
			c.f.hurt("%s became an output with the levels %v: its rest belongs into the same call", l.name, values)
		}
		if next.bias != 0 || next.edges != 0 || next.debounce != 0 || next.handler != nil {
			c.f.hurt("%s became an output with the options of an input", l.name)
		}
		next.wire = next.low
		c.f.trace = append(c.f.trace, fmt.Sprintf("%s out %s", l.name, volts(next.wire)))
	}
	if !next.out && next.low {
		c.f.hurt("%s is an input that turns its level round: levels are those of the wire here", l.name)
	}
	*l = next
	return &fakeRequest{c.f, l, false}, nil
}

func volts(high bool) string {
	if high {
		return "high"
	}
	return "low"
}

type fakeRequest struct {
	f      *fake
	l      *fakeLine
	closed bool
}

func (r *fakeRequest) Value() (int, error) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.l.out {
		r.f.hurt("the output %s was read", r.l.name)
	}
	if r.closed {
		return 0, gpiocdev.ErrClosed
	}
	if r.l.valueErr != nil {
		return 0, r.l.valueErr
	}
	level := r.l.wire
	if r.l.follows != nil {
		level = !r.l.follows.on()
	}
	if level {
		return 1, nil
	}
	return 0, nil
}

func (r *fakeRequest) SetValue(v int) error {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if !r.l.out {
		r.f.hurt("the input %s was written", r.l.name)
		return syscall.EPERM
	}
	if r.closed {
		r.f.hurt("%s was written after its release", r.l.name)
		return gpiocdev.ErrClosed
	}
	if r.l.setErr != nil {
		return r.l.setErr
	}
	if v == 1 && !r.l.allowed {
		r.f.hurt("%s went on and nobody had said so", r.l.name)
	}
	was := r.l.on()
	r.l.wire = (v == 1) != r.l.low
	if r.l.on() && !was {
		r.l.rises++
	}
	r.f.trace = append(r.f.trace, fmt.Sprintf("%s %s", r.l.name, volts(r.l.wire)))
	return nil
}

func (r *fakeRequest) Close() error {
	r.f.serving.Lock() // waits for a handler, as the kernel's watcher does
	defer r.f.serving.Unlock()
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.closed {
		return gpiocdev.ErrClosed
	}
	r.closed = true
	if r.l.out {
		if r.l.on() && r.l.setErr == nil {
			r.f.hurt("%s was released while it was on", r.l.name)
		}
		r.f.trace = append(r.f.trace, r.l.name+" released")
	}
	r.l.used, r.l.handler, r.l.edges = false, nil, 0
	return nil
}

// hurtOnly takes the harm out, for tests that cause it.
func (f *fake) hurtOnly(t *testing.T, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.harm, want) {
		t.Errorf("harm %q, want %q", f.harm, want)
	}
	f.harm = nil
}

// The fake itself must see harm.
func TestFakeSeesHarm(t *testing.T) {
	f := newFake(t)
	c := f.list[0]
	on, err := c.request(3, gpiocdev.AsOutput(1))
	if err != nil {
		t.Fatal(err)
	}
	f.hurtOnly(t, "GPIO3 became an output with the levels [1]: its rest belongs into the same call")
	_, _ = on.Value()
	f.hurtOnly(t, "the output GPIO3 was read")
	_ = on.SetValue(1)
	f.hurtOnly(t, "GPIO3 went on and nobody had said so")
	_ = on.Close()
	f.hurtOnly(t, "GPIO3 was released while it was on")
	if _, err := c.request(4, gpiocdev.AsOutput()); err != nil {
		t.Fatal(err)
	}
	f.hurtOnly(t, "GPIO4 became an output with the levels []: its rest belongs into the same call")
	if _, err := c.request(4, gpiocdev.AsInput); err != syscall.EBUSY {
		t.Errorf("a second request: %v", err)
	}
	f.line(4).used = false
}
