package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"barista/fleet"
)

// Use is how long a part was on since the process began, and how often.
type Use struct {
	For  time.Duration
	Runs int
}

// StationParts is what one machine of this process is told from. Each is called when
// somebody asks, and must not wait for the metal.
type StationParts struct {
	Machine string
	State   func() string
	Linked  func() bool // to its shop
	// Beat counts the turns of the loop that owns the metal.
	Beat  func() uint64
	Used  func() map[string]Use
	Trips func() map[string]int // of the guard, by code
}

// Station tells of one machine of this process.
type Station struct {
	p              StationParts
	drinks, faults *prometheus.CounterVec
	steps          *prometheus.HistogramVec

	// What is read at each look.
	is, link, turns, used, runs, trips *prometheus.Desc

	mu   sync.Mutex
	step fleet.Event // the one that is under way
	beat uint64      // as it was ...
	at   time.Time   // ... since then
}

var _ prometheus.Collector = (*Station)(nil)

// NewStation makes one. Each machine of a process has its own.
func NewStation(p StationParts) *Station {
	own := prometheus.Labels{"machine": p.Machine}
	count := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: own}, []string{label})
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, own)
	}
	s := &Station{
		p:      p,
		drinks: count("barista_station_drinks_total", "Starts of drinks whose outcome the shop has taken from this machine.", "outcome"),
		faults: count("barista_station_faults_total", "Of those the ones that were not made, by the reason's code.", "code"),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "barista_brew_step_seconds", Help: "How long the steps of a drink took.", ConstLabels: own, Buckets: []float64{1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120},
		}, []string{"step"}),
		is:    desc("barista_station_state", "1 for the state that the machine itself says it is in.", "state"),
		link:  desc("barista_station_linked", "1 while the machine reaches its shop."),
		turns: desc("barista_station_turns_total", "Turns of the loop that owns the metal: one a second at rest."),
		used:  desc("barista_actuator_on_seconds_total", "How long a part was on.", "part"),
		runs:  desc("barista_actuator_runs_total", "How often a part was switched on.", "part"),
		trips: desc("barista_guard_trips_total", "Faults that locked the machine until a person cleared them, by code.", "code"),
	}
	for _, out := range outcomes {
		s.drinks.WithLabelValues(string(out))
	}
	return s
}

// outcomes are told as 0 before they come: Prometheus sees a counter rise only where it
// was there before.
var outcomes = []fleet.Outcome{fleet.Made, fleet.Spoiled, fleet.Untouched, fleet.OutcomeUnknown}

// stillFor is how long a loop may stand before it is not alive: at rest it turns once a
// second.
const stillFor = 5 * time.Second

// Lives is empty while the machine's loop turns.
func (s *Station) Lives() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.p.Beat()
	if now != s.beat || s.at.IsZero() {
		s.beat, s.at = now, time.Now()
	}
	if still := time.Since(s.at); still > stillFor {
		return []string{fmt.Sprintf("%s: its loop has stood still for %v", s.p.Machine, still.Round(time.Second))}
	}
	return nil
}

// Live listens to what passes at the machine, and hands it on.
func (s *Station) Live(next interface{ Live(fleet.Event) }) *Passing { return &Passing{s, next} }

// Passing is what Live returns.
type Passing struct {
	s    *Station
	next interface{ Live(fleet.Event) }
}

// Live hears one event. The worker calls it on a goroutine of its own.
func (p *Passing) Live(e fleet.Event) {
	if e.Kind == fleet.EvStep {
		p.s.begins(e)
	}
	p.next.Live(e)
}

// begins ends the step before it, of the same drink. What was skipped on a slow link is
// not told.
func (s *Station) begins(e fleet.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step.Order == e.Order && s.step.Epoch == e.Epoch && s.step.N+1 == e.N {
		s.steps.WithLabelValues(step(s.step.Step)).Observe(max(e.At.Sub(s.step.At), 0).Seconds())
	}
	s.step = e
}

// Desk listens to the outcomes that the machine tells, once each: those that were
// taken.
func (s *Station) Desk(next fleet.Desk) fleet.Desk { return &asking{next, s} }

type asking struct {
	fleet.Desk
	s *Station
}

// Ask counts an outcome that was taken.
func (d *asking) Ask(ctx context.Context, verb string, read fleet.Entry, a fleet.Ask) (fleet.Entry, error) {
	e, err := d.Desk.Ask(ctx, verb, read, a)
	if verb == fleet.DeskEnd && err == nil {
		d.s.drinks.WithLabelValues(string(a.Outcome)).Inc()
		if a.Outcome != fleet.Made {
			d.s.faults.WithLabelValues(code(a.Code)).Inc()
		}
	}
	return e, err
}

// Describe and Collect are for a registry alone.
func (s *Station) Describe(to chan<- *prometheus.Desc) {
	for _, v := range []prometheus.Collector{s.drinks, s.faults, s.steps} {
		v.Describe(to)
	}
	for _, d := range []*prometheus.Desc{s.is, s.link, s.turns, s.used, s.runs, s.trips} {
		to <- d
	}
}

// Collect reads what is to be read, and tells what was counted.
func (s *Station) Collect(to chan<- prometheus.Metric) {
	for _, v := range []prometheus.Collector{s.drinks, s.faults, s.steps} {
		v.Collect(to)
	}
	tell := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	now := s.p.State()
	for _, one := range states {
		if one != away {
			tell(s.is, prometheus.GaugeValue, flag(one == now), one)
		}
	}
	tell(s.link, prometheus.GaugeValue, flag(s.p.Linked()))
	tell(s.turns, prometheus.CounterValue, float64(s.p.Beat()))
	for part, u := range s.p.Used() {
		tell(s.used, prometheus.CounterValue, u.For.Seconds(), part)
		tell(s.runs, prometheus.CounterValue, float64(u.Runs), part)
	}
	trips := map[string]int{}
	for c, n := range s.p.Trips() {
		trips[code(c)] += n
	}
	for c, n := range trips {
		tell(s.trips, prometheus.CounterValue, float64(n), c)
	}
}
