package metrics

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"barista/fleet"
)

// ShopParts is what a shop is told from. Ledger, Upto and Now are needed.
type ShopParts struct {
	Ledger fleet.Ledger
	// Upto is the last record that the ledger has folded.
	Upto func() uint64
	// Now is the broker's clock: how old an order is that this process found waiting.
	Now func(context.Context) (time.Time, error)
	// Machines is who is here, away or out of service; nil: nobody asks.
	Machines func() []*fleet.Machine
	// Troubles is what is wrong in the shop itself; nil: nobody asks.
	Troubles func(context.Context) ([]fleet.Trouble, error)
	// Standing is how the shop stands to its book; with Troubles.
	Standing func(context.Context) (fleet.Standing, error)
	Log      *slog.Logger // nil: none
}

// Shop tells of orders, stock and machines as the book and the machines' words have it.
type Shop struct {
	p     ShopParts
	names names

	accepted, ended, doubtful *prometheus.CounterVec // by class
	refused, again            *prometheus.CounterVec
	drinks, faults            *prometheus.CounterVec // by machine
	beans, milk               *prometheus.CounterVec
	sugar                     *prometheus.CounterVec
	wait, missed, brew        *prometheus.HistogramVec

	mu   sync.Mutex
	open map[string]came // orders whose acceptance this process saw, or found
	// doubt has the orders in doubt whose portion counts as used; Run's own.
	doubt map[string]bool
}

// came is when an order was accepted.
type came struct {
	at   time.Time // the broker's clock
	here time.Time // by the monotonic one
}

var _ prometheus.Collector = (*Shop)(nil)

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// NewShop tells nothing but what can be read at once until Run follows the book.
func NewShop(p ShopParts) *Shop {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	seconds := []float64{10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800}
	s := &Shop{
		p: p, open: map[string]came{}, doubt: map[string]bool{},
		accepted: counter("barista_orders_accepted_total", "Orders accepted since this process began.", "bean", "milk"),
		ended:    counter("barista_orders_total", "Orders that came to an end: served, failed, cancelled or expired.", "outcome", "bean", "milk"),
		doubtful: counter("barista_orders_unknown_total", "Times that nobody knew what had become of a drink; it waits for its machine's journal or a person.", "bean", "milk"),
		refused:  counter("barista_orders_refused_total", "Orders refused because of the state of the shop, by the answer's code.", "code"),
		again:    counter("barista_redeliveries_total", "Orders that went back for another try, by what had come of the last one.", "outcome"),
		drinks:   counter("barista_drinks_total", "Starts of drinks by machine, and what came of each: made, spoiled, untouched or unknown.", "machine", "outcome"),
		faults:   counter("barista_faults_total", "Starts that were not made, by machine and the reason's code.", "machine", "code"),
		beans:    counter("barista_beans_grams_total", "Beans that orders used: in a cup, or wasted by a drink that was spoiled.", "bean", "use"),
		milk:     counter("barista_milk_liters_total", "Milk that orders used.", "milk", "use"),
		sugar:    counter("barista_sugar_doses_total", "Doses of sugar that orders used.", "use"),
		wait:     histogram("barista_order_wait_seconds", "From acceptance until the cup was ready.", seconds),
		missed: histogram("barista_eta_error_seconds", "By how much a served order left the range that its customer was told: 0 within it, below 0 earlier, above 0 later.",
			[]float64{-300, -120, -60, -30, -10, -1, 0, 1, 10, 30, 60, 120, 300, 600}),
		brew: histogram("barista_brew_seconds", "How long machines were busy with a drink that they made.", seconds, "size"),
	}
	s.wait.WithLabelValues() // 0 is news too
	s.missed.WithLabelValues()
	for _, c := range []string{fleet.CodeOutOfStock, fleet.CodeNotOnMenu, fleet.CodeQueueFull} {
		s.refused.WithLabelValues(c)
	}
	for _, out := range outcomes {
		if out != fleet.Made {
			s.again.WithLabelValues(string(out))
		}
	}
	return s
}

func (s *Shop) vecs() []prometheus.Collector {
	return []prometheus.Collector{s.accepted, s.ended, s.doubtful, s.refused, s.again, s.drinks, s.faults, s.beans, s.milk, s.sugar, s.wait, s.missed, s.brew}
}

// Run counts what the book tells from now on, until ctx ends. It returns nil.
func (s *Shop) Run(ctx context.Context) error {
	if !fleet.Await(ctx, s.p.Ledger.Ready()) {
		return nil
	}
	next := s.p.Upto() + 1
	s.found(ctx)
	fleet.Keep(ctx, s.p.Log, "counting what the book tells", func() error {
		err := s.p.Ledger.Follow(ctx, next, func(r fleet.Record) {
			next = r.Seq + 1
			s.take(r)
		}, nil)
		if err == nil {
			err = fleet.ErrNoAnswer
		}
		return err
	})
	return nil
}

// found takes up the orders that wait already. Of those whose last record is not their
// first nobody says when they came.
func (s *Shop) found(ctx context.Context) {
	now, err := s.p.Now(ctx)
	if err != nil {
		return // their waits are not told
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.p.Ledger.Open() {
		if e.Phase == fleet.Accepted && e.Epoch == 1 && !e.Written.IsZero() {
			s.open[e.Order.ID] = came{e.Written, time.Now().Add(-max(now.Sub(e.Written), 0))}
		}
	}
}

// take counts one record.
func (s *Shop) take(r fleet.Record) {
	if r.Refusals != nil {
		if n := len(r.Refusals.List); n > 0 {
			s.refused.WithLabelValues(code(r.Refusals.List[n-1].Answer.Code)).Inc()
		}
		return
	}
	if !r.IsClaim || r.Via == fleet.ViaOld {
		return
	}
	o := r.Order
	switch {
	case r.Phase == fleet.Accepted && r.Epoch == 1:
		s.accepted.WithLabelValues(o.Bean, o.Milk).Inc()
		s.mu.Lock()
		s.open[o.ID] = came{r.Written, time.Now()}
		s.mu.Unlock()
	case r.Phase == fleet.Accepted:
		s.again.WithLabelValues(string(last(r.Claim).Outcome)).Inc()
	case r.Phase == fleet.Unknown:
		s.doubtful.WithLabelValues(o.Bean, o.Milk).Inc()
	case r.Phase.Ended():
		s.ended.WithLabelValues(string(r.Phase), o.Bean, o.Milk).Inc()
		s.end(r)
	}
	for _, e := range r.Claim.Events() {
		s.event(r.Claim, e)
	}
	if r.Phase != fleet.Unknown {
		delete(s.doubt, o.ID)
	}
}

func last(c fleet.Claim) fleet.Past {
	if n := len(c.Past); n > 0 {
		return c.Past[n-1]
	}
	return fleet.Past{}
}

// end is how long the customer waited, and how good the promise was; not where a
// person's word ended it, which may come hours after the cup.
func (s *Shop) end(r fleet.Record) {
	s.mu.Lock()
	at, known := s.open[r.Order.ID]
	delete(s.open, r.Order.ID)
	s.mu.Unlock()
	if r.Phase != fleet.Served || r.Order.IsCare() || r.By != "" || !known || r.Written.Before(at.at) {
		return
	}
	s.wait.WithLabelValues().Observe(r.Written.Sub(at.at).Seconds())
	if missed, told := r.Scored(at.at, r.Written); told {
		s.missed.WithLabelValues().Observe(missed)
	}
}

// event counts a start's end: by whom, what came of it, what it used.
func (s *Shop) event(c fleet.Claim, e fleet.Event) {
	out := e.Outcome
	switch e.Kind {
	case fleet.EvEnd, fleet.EvUnknown:
	case fleet.EvServed:
		out = fleet.Made
	default:
		return
	}
	if e.Machine != "" && (e.By == "" || e.Kind == fleet.EvUnknown) {
		machine := s.names.of(e.Machine)
		s.drinks.WithLabelValues(machine, string(out)).Inc()
		if out != fleet.Made {
			s.faults.WithLabelValues(machine, code(e.Code)).Inc()
		}
		if out == fleet.Made && e.Seconds > 0 {
			s.brew.WithLabelValues(string(c.Order.Size)).Observe(e.Seconds)
		}
	}
	switch {
	case s.doubt[e.Order]: // counted when it came to be so
	case e.Kind == fleet.EvUnknown:
		s.doubt[e.Order] = true
		s.used(c.Portion, "cup")
	case out == fleet.Made:
		s.used(c.Portion, "cup")
	case out == fleet.Spoiled:
		s.used(c.Portion, "wasted")
	}
}

func (s *Shop) used(portion fleet.Items, use string) {
	for item, n := range portion {
		switch fleet.Unit(item) {
		case "doses":
			s.sugar.WithLabelValues(use).Add(float64(n))
		case "ml":
			s.milk.WithLabelValues(milk(item), use).Add(float64(n) / 1000)
		default:
			s.beans.WithLabelValues(item, use).Add(float64(n))
		}
	}
}

func milk(item string) string { return strings.TrimPrefix(item, fleet.MilkItem("")) }

// What is read at each look.
var (
	openDesc = prometheus.NewDesc("barista_orders_open", "Orders that have not ended, by where they stand: accepted waits for a machine, unknown for a person.", []string{"phase", "bean", "milk"}, nil)
	ageDesc  = prometheus.NewDesc("barista_queue_oldest_seconds", "How long the order has waited that waits longest for a machine; 0 where none does.", nil, nil)

	gramsDesc  = prometheus.NewDesc("barista_stock_grams", "Beans in stock: free, or reserved for orders.", []string{"item", "kind"}, nil)
	litersDesc = prometheus.NewDesc("barista_stock_liters", "Milk in stock: free, or reserved for orders.", []string{"item", "kind"}, nil)
	dosesDesc  = prometheus.NewDesc("barista_stock_doses", "Doses of sugar in stock: free, or reserved for orders.", []string{"item", "kind"}, nil)

	stateDesc   = prometheus.NewDesc("barista_machine_state", "1 for the state that a machine is in, as the shop knows it.", []string{"machine", "state"}, nil)
	troubleDesc = prometheus.NewDesc("barista_troubles", "What a person should look at in the shop itself, by code.", []string{"code"}, nil)
	closedDesc  = prometheus.NewDesc("barista_closed", "1 while no order is taken because of a trouble, or of what the book has lost.", nil, nil)
)

// Describe and Collect are for a registry alone.
func (s *Shop) Describe(to chan<- *prometheus.Desc) {
	for _, v := range s.vecs() {
		v.Describe(to)
	}
	for _, d := range []*prometheus.Desc{openDesc, ageDesc, gramsDesc, litersDesc, dosesDesc, stateDesc, troubleDesc, closedDesc} {
		to <- d
	}
}

// Collect reads what is to be read, and tells what was counted.
func (s *Shop) Collect(to chan<- prometheus.Metric) {
	for _, v := range s.vecs() {
		v.Collect(to)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s.orders(gauge)
	for item, l := range s.p.Ledger.Levels() {
		d, per := gramsDesc, 1.0
		switch fleet.Unit(item) {
		case "doses":
			d = dosesDesc
		case "ml":
			d, per = litersDesc, 1000
		}
		gauge(d, float64(l.Available())/per, item, "free")
		gauge(d, float64(l.Reserved)/per, item, "reserved")
	}
	s.machines(gauge)
	s.troubles(gauge)
}

type gauge func(d *prometheus.Desc, v float64, labels ...string)

func (s *Shop) orders(tell gauge) {
	type key struct {
		fleet.Phase
		fleet.Class
	}
	open, oldest := map[key]int{}, time.Duration(0)
	s.mu.Lock()
	for _, e := range s.p.Ledger.Open() {
		open[key{e.Phase, e.Order.Class()}]++
		age := s.p.Ledger.Age(e) // of one whose acceptance nobody saw
		if at, known := s.open[e.Order.ID]; known {
			age = time.Since(at.here)
		}
		if e.Phase == fleet.Accepted || e.Phase == fleet.Again {
			oldest = max(oldest, age)
		}
	}
	s.mu.Unlock()
	for k, n := range open {
		tell(openDesc, float64(n), string(k.Phase), k.Bean, k.Milk)
	}
	tell(ageDesc, oldest.Seconds())
}

// away is the state of a machine that is not here.
const away = "away"

var states = []string{
	string(fleet.StateStarting), string(fleet.StateReady), string(fleet.StateBusy), string(fleet.StateWaiting), string(fleet.StateBlocked),
	string(fleet.StateFault), string(fleet.StateCordoned), string(fleet.StateDraining), string(fleet.StateUnsynced), away,
}

func (s *Shop) machines(tell gauge) {
	if s.p.Machines == nil {
		return
	}
	told := map[string]bool{}
	for _, m := range s.p.Machines() {
		name, is := s.names.of(m.Machine), string(m.State)
		switch {
		case !m.Here:
			is = away
		case m.Cordon != nil:
			is = string(fleet.StateCordoned)
		}
		if told[name] {
			continue // more machines than are told apart
		}
		told[name] = true
		for _, one := range states {
			tell(stateDesc, flag(one == is), name, one)
		}
	}
}

func (s *Shop) troubles(tell gauge) {
	if s.p.Troubles == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	all, err := s.p.Troubles(ctx)
	at, lost := s.p.Standing(ctx)
	if cmp.Or(err, lost) != nil {
		return
	}
	closed, count := at.State == fleet.StandClosed, map[string]int{}
	for _, t := range all {
		closed = closed || t.Closed
		count[code(t.Code)]++
	}
	for c, n := range count {
		tell(troubleDesc, float64(n), c)
	}
	tell(closedDesc, flag(closed))
}
