package gpio

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func meterOn(t testing.TB, f *fake, flow Flow, log *slog.Logger) *meter {
	t.Helper()
	k, err := lookAround(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	flow.Line = "GPIO13"
	s, err := k.find(flow.Line, "flow")
	if err != nil {
		t.Fatal(err)
	}
	m, err := openMeter(s, flow, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.close() })
	return m
}

func ml(t testing.TB, m *meter) float64 {
	t.Helper()
	r, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	return r.Value
}

// The same water is the same number of ml, whether one edge of each pulse is
// counted or both.
func TestFlow(t *testing.T) {
	for _, both := range []bool{false, true} {
		f := newFake(t)
		f.line(13).wire = true // the collector is open
		f.pulse(13)            // before it was opened
		m := meterOn(t, f, Flow{PulsesPerML: 1.9, BothEdges: both}, slog.New(slog.DiscardHandler))
		if got := ml(t, m); got != 0 {
			t.Errorf("both %v: %v ml at the start", both, got)
		}
		for range 190 {
			f.pulse(13)
		}
		if got := ml(t, m); math.Abs(got-100) > 1e-9 {
			t.Errorf("both %v: 190 pulses are %v ml, want 100", both, got)
		}
		f.set(13, false) // half a pulse
		want := 100.0
		if both {
			want += 0.5 / 1.9
		}
		if got := ml(t, m); math.Abs(got-want) > 1e-9 {
			t.Errorf("both %v: half a pulse more is %v ml, want %v", both, got, want)
		}
	}
}

// Edges that fell out of the kernel's queue are counted, and said.
func TestFlowLostEdges(t *testing.T) {
	var text strings.Builder
	f := newFake(t)
	m := meterOn(t, f, Flow{PulsesPerML: 1}, slog.New(slog.NewTextHandler(&text, nil)))
	f.lose(13, 3) // the first ones of all
	f.pulse(13)
	if got := ml(t, m); got != 4 {
		t.Errorf("%v ml, want 4", got)
	}
	for range 6 {
		f.pulse(13)
		f.lose(13, 1)
	}
	f.pulse(13)
	want := Pulses{Edges: 17, Lost: 9, Last: 17 * time.Millisecond}
	if got := m.Pulses(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if n := strings.Count(text.String(), "\n"); n != 2 {
		t.Errorf("%d lines in the log, want one at first and one when it doubled:\n%s", n, text.String())
	}
}

// Whatever the kernel numbers, also around the end of its 32 bits, the count
// never falls and counts each edge once.
func TestFlowNumbers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := &In{seq: rapid.Uint32().Draw(rt, "from")}
		m := &meter{perEdge: 1, log: slog.New(slog.DiscardHandler)}
		seq, want := in.seq, uint64(0)
		for _, lost := range rapid.SliceOf(rapid.Uint32Range(0, 1<<20)).Draw(rt, "lost") {
			seq += lost + 1
			want += uint64(lost) + 1
			m.count(Edge{Lost: in.lost(seq)})
			if r, err := m.Read(); err != nil || r.Value != float64(want) {
				rt.Fatalf("%v (%v), want %v", r.Value, err, want)
			}
		}
	})
	in := &In{seq: 10}
	if n := in.lost(9); n != 0 {
		t.Errorf("a number that goes back: %d lost", n)
	}
}

// Pulses is what a flow meter has counted.
type Pulses struct {
	Edges uint64
	Lost  uint64        // of them, known by their numbers alone
	Last  time.Duration // when the newest one was, on the kernel's monotonic clock
}

// Pulses is the count itself.
func (m *meter) Pulses() Pulses {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Pulses{m.edges, m.lost, m.last}
}
