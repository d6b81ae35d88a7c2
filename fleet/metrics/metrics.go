// Package metrics tells a Prometheus how the shop and its machines are, and whoever
// asks /livez and /readyz whether this process lives and can do its work.
//
// # What it promises
//
// No label holds anything of a customer, an order or a person: labels are machines,
// classes of the menu, items of the stock, parts, and words that the program itself
// knows. A machine's word that is none of those counts as "other", and beyond the
// most machines that are told apart so does a machine. So what a series costs is
// bounded by the house, whatever comes over the network.
//
// It follows no store of its own: Shop folds the book by the process's one follower
// (fleet.Ledger) and reads the rest when it is asked; Station listens to what a
// machine's worker tells the shop anyway, on that goroutine and never on the one that
// owns the metal. Whoever asks costs that process at most one look a second, because
// beside metal a busy goroutine is a late pump.
//
// Counters begin at 0 with the process, as counters do. In a shop of several
// controllers each of them folds the whole book: take one of them, or the greatest.
//
// # Who starts and stops it
//
// New starts nothing. Shop.Run and Serve end with their context, after their
// goroutines. Any goroutine may ask a Handler.
package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// Config is what a process tells of itself.
type Config struct {
	Version string // of the program
	// Lives says what of the process does not live; nil: it lives as long as it
	// answers.
	Lives func() []string
	// Ready says why it can't do its work now, each reason a line; nil: it can.
	Ready func(context.Context) []string
	Log   *slog.Logger // nil: none
}

// The bounds of asking.
const (
	lookEvery  = time.Second // that what is told is made anew, at most
	readyTime  = 2 * time.Second
	mostAtOnce = 16 // connections; a scraper needs one
	headerTime = 5 * time.Second
	answerTime = 10 * time.Second
	idleTime   = 2 * time.Minute // a scraper comes back within a minute
	goodbye    = 2 * time.Second
)

// Metrics is what one process tells.
type Metrics struct {
	cfg      Config
	registry *prometheus.Registry
	mux      *http.ServeMux

	ready readiness

	mu   sync.Mutex // guards what follows; held while it is made anew
	text []byte
	made time.Time
}

// readiness is why the process can't do its work, asked once in lookEvery however many
// want to know.
type readiness struct {
	mu  sync.Mutex // guards what follows; held while it is asked
	why []string
	at  time.Time
}

// New joins what is told: of the shop, of machines. It starts nothing.
func New(cfg Config, told ...prometheus.Collector) *Metrics {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{cfg: cfg, registry: prometheus.NewRegistry(), mux: http.NewServeMux()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "barista_build_info", Help: "Always 1, with the version of the program.", ConstLabels: prometheus.Labels{"version": cfg.Version},
	})
	build.Set(1)
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barista_ready", Help: "1 while this process can do its work: a shop takes orders, a machine makes them. /readyz says why not.",
	}, func() float64 { return flag(len(m.unready(context.Background())) == 0) })
	m.registry.MustRegister(build, ready, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(told...)
	m.mux.HandleFunc("GET /metrics", m.metrics)
	m.mux.HandleFunc("GET /livez", m.livez)
	m.mux.HandleFunc("GET /readyz", m.readyz)
	return m
}

// ServeHTTP answers /metrics, /livez and /readyz.
func (m *Metrics) ServeHTTP(rw http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(rw, r) }

func (m *Metrics) metrics(rw http.ResponseWriter, _ *http.Request) {
	text, err := m.gather()
	if err != nil {
		m.cfg.Log.Error("the metrics could not be gathered", "err", err)
		plain(rw, http.StatusInternalServerError, "the metrics could not be gathered; the log says why\n")
		return
	}
	rw.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	rw.Header().Set("Cache-Control", "no-store")
	rw.Write(text)
}

// gather is the text as it was a second ago at most.
func (m *Metrics) gather() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.text != nil && time.Since(m.made) < lookEvery {
		return m.text, nil
	}
	families, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return nil, err
		}
	}
	m.text, m.made = b.Bytes(), time.Now()
	return m.text, nil
}

func (m *Metrics) livez(rw http.ResponseWriter, _ *http.Request) {
	if m.cfg.Lives != nil {
		say(rw, m.cfg.Lives())
		return
	}
	say(rw, nil)
}

func (m *Metrics) readyz(rw http.ResponseWriter, r *http.Request) { say(rw, m.unready(r.Context())) }

// unready is why the process can't do its work, as it was a second ago at most.
func (m *Metrics) unready(ctx context.Context) []string {
	if m.cfg.Ready == nil {
		return nil
	}
	return m.ready.ask(ctx, m.cfg.Ready)
}

func (r *readiness) ask(ctx context.Context, ask func(context.Context) []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || time.Since(r.at) >= lookEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
		defer cancel()
		r.why, r.at = ask(ctx), time.Now()
	}
	return r.why
}

// say answers with ok, or with every reason on a line.
func say(rw http.ResponseWriter, why []string) {
	if len(why) == 0 {
		plain(rw, http.StatusOK, "ok\n")
		return
	}
	var b strings.Builder
	for _, one := range why {
		fmt.Fprintln(&b, strings.Join(strings.Fields(one), " "))
	}
	plain(rw, http.StatusServiceUnavailable, b.String())
}

func plain(rw http.ResponseWriter, status int, text string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(status)
	rw.Write([]byte(text))
}

// Serve answers on the listener until ctx ends, and returns nil then. It closes the
// listener.
func (m *Metrics) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: m, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: 8 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(m.cfg.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(&few{Listener: l, seats: make(chan struct{}, mostAtOnce)}) }()
	select {
	case err := <-served:
		return fmt.Errorf("cannot serve metrics on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if srv.Shutdown(late) != nil {
		srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// few is a listener that turns away who comes while enough are there: a process that
// drives metal has no goroutines to spare for callers.
type few struct {
	net.Listener
	seats chan struct{}
}

func (f *few) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case f.seats <- struct{}{}:
			return &seated{Conn: c, leave: sync.OnceFunc(func() { <-f.seats })}, nil
		default:
			c.Close()
		}
	}
}

type seated struct {
	net.Conn
	leave func()
}

func (s *seated) Close() error {
	defer s.leave()
	return s.Conn.Close()
}

func flag(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
