package gpio

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	periph "periph.io/x/conn/v3/gpio"

	"barista/driver"
)

// meter is a flow meter as a sensor: ml since it was opened, never falling.
type meter struct {
	in       *In
	perEdge  float64 // ml
	log      *slog.Logger
	mu       sync.Mutex
	edges    uint64
	lost     uint64        // of them, those that the kernel's queue could not keep
	last     time.Duration // when the newest one was, on the kernel's clock
	told     uint64        // lost, at the last line in the log
	closedBy error
}

var _ driver.Sensor = (*meter)(nil)

// openMeter counts from now on.
func openMeter(s spot, f Flow, log *slog.Logger) (*meter, error) {
	m := &meter{log: log, perEdge: 1 / f.PulsesPerML}
	want := inConfig{pull: pullFor(f.Pull, Low), debounce: f.Debounce, edges: periph.RisingEdge, onEdge: m.count}
	if f.BothEdges {
		m.perEdge, want.edges = m.perEdge/2, periph.BothEdges
	}
	in, err := openIn(s, f.Line, string(driver.Flow), want)
	if err != nil {
		return nil, err
	}
	m.in = in
	return m, nil
}

// count takes one edge, and those that went before it unseen: they happened, the
// interrupt numbered them, only their times are gone.
func (m *meter) count(e Edge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.edges += 1 + uint64(e.Lost)
	m.last = e.At
	if e.Lost == 0 {
		return
	}
	m.lost += uint64(e.Lost)
	if m.told == 0 || m.lost >= 2*m.told {
		m.told = m.lost
		m.log.Warn("the flow meter is faster than this process: edges were counted by their number alone", "lost", m.lost, "of", m.edges)
	}
}

func (m *meter) Read() (driver.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closedBy != nil {
		return driver.Reading{}, fmt.Errorf("%s: %w", driver.Flow, m.closedBy)
	}
	// The count is true as of now: what is missing is still to come.
	return driver.Reading{Value: float64(m.edges) * m.perEdge, At: time.Now()}, nil
}

func (m *meter) close() error {
	err := m.in.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closedBy = fmt.Errorf("%w: it was closed", driver.ErrGone)
	return err
}
