// Package broker is the message broker inside the shop: a real nats-server with
// JetStream, for shops that have no cluster. Every acknowledged message is on
// disk (SyncAlways), the store folder has one user (a lock of our own: the
// server takes none), and Open returns only when the server is ready and
// healthy, so that nothing is ever created over a half-read store. Open looks at
// the store before the server does: damaged descriptions of our streams, and of any
// queue, are put aside, to be made anew over what is there; the rest is named. No
// look loses anything (see mender and shadow).
//
// Without a listener the shop's own roles reach it in memory, and the process
// has no broker socket at all. Without keys a listener is loopback only; with them (an
// accounts text, see package roles) and TLS other computers may come. Who may do what
// changes under way by Reload, which cuts nobody who stays allowed.
//
// Open starts it and Close stops it and waits; Close comes after every
// connection was closed.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
)

// ErrLocked: another process uses the store folder.
var ErrLocked = errors.New("the store is in use by another broker")

// Config is how a broker is opened.
type Config struct {
	Name     string // of the server, a token
	Store    string // folder, made if missing, mode 0700
	Listen   string // "" or "none": no socket; else host:port, port 0 for any. Beyond loopback only with Accounts and TLS
	MaxStore int64  // bytes that streams may reserve; 0: 1 GiB
	// MQTT is where the server speaks MQTT 3.1.1 as well; empty: nowhere. As with Listen.
	// What it keeps of its clients' sessions is in streams $MQTT_…, of the account in which
	// the client is.
	MQTT string
	// Accounts says who may do what, in the server's configuration language; JetStream is
	// that of account fleet.AccountShop. Empty: one account, in which everybody may
	// do everything.
	Accounts string
	// TLS is how the listener speaks; nil: in the clear. At least TLS 1.3. A connection in
	// memory needs none.
	TLS *tls.Config
	// MapCerts lets users in by the subject of their certificate, where Accounts knows
	// them by it. TLS must demand certificates then.
	MapCerts bool
	// Domain is the name of this broker's JetStream among others: a site's, or a hub's; a
	// token. Sites and hubs need one.
	Domain string
	Leaf   *Leaf  // of a site, to its hub
	Sites  string // of a hub: host:port to which its sites link; as with Listen
	// Ours are the streams that the shop makes where they are not. The description of
	// one of them that is damaged may be written anew over its messages.
	Ours []string
	Log  *slog.Logger
}

// Broker is a running server.
type Broker struct {
	srv  *server.Server
	lock *flock.Flock

	mu  sync.Mutex // guards cfg, and lets one reload be at a time
	cfg Config
}

// readyWithin bounds the start. A store of millions of messages is read in
// seconds; a Pi's card is slower than the disk where this was seen (2 ms when
// empty).
const readyWithin = 60 * time.Second

// Open locks the store, starts the server and waits until it is ready and
// healthy. Errors: ErrLocked; anything else says what to do in words.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.MinVersion = max(cfg.TLS.MinVersion, tls.VersionTLS13)
	}
	opts, err := cfg.options()
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	lock, err := lockFolder(cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("broker: store %s: %w", cfg.Store, err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := vacant(opts); err != nil {
		lock.Close()
		return nil, fmt.Errorf("broker: %w", err)
	}
	m := mender{store: cfg.Store, ours: cfg.Ours, log: cfg.Log.With("room", "broker")}
	kept := &shadow{store: cfg.Store, log: m.log, link: os.Link}
	for _, look := range []func() error{kept.putBack, cfg.house, m.mend, kept.begin} { // only what is whole is looked at
		if err = look(); err != nil {
			break
		}
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("broker: store %s: %w", cfg.Store, err)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("broker: %w", err)
	}
	said := &logger{log: cfg.Log, fatal: make(chan string, 1)}
	srv.SetLoggerV2(said, false, false, false)
	b := &Broker{srv: srv, lock: lock, cfg: cfg}
	srv.Start()
	err = b.ready(ctx, said, m.anew)
	if gone := kept.gone(); len(gone) > 0 {
		what := "is left as it was"
		if !there(kept.folder()) {
			what = "the server removed it"
		}
		err = fmt.Errorf("stream %s can't be opened, and %s: %s: mend what that says, or put the store back from a copy", strings.Join(gone, ", "), what, said.warnings())
	}
	if err != nil {
		b.stop()
		err = errors.Join(err, kept.putBack())
	} else {
		err = kept.end()
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("broker: store %s: %w", cfg.Store, err)
	}
	return b, nil
}

// vacant looks whether the server will have its address, before anything of the store is
// touched: of itself it only writes a line of its log.
func vacant(opts *server.Options) error {
	for _, at := range []struct {
		host string
		port int
	}{{opts.Host, opts.Port}, {opts.MQTT.Host, opts.MQTT.Port}} {
		if at.port <= 0 {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(at.host, strconv.Itoa(at.port)))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// ready waits for the server. JetStreamEnabled alone is true even over a store
// folder that can't be written, so only readiness and health together count. anew
// are streams that it does not find before the shop has made them.
func (b *Broker) ready(ctx context.Context, said *logger, anew []string) error {
	deadline := time.Now().Add(readyWithin)
	for {
		ready := b.srv.ReadyForConnections(10 * time.Millisecond)
		err := b.healthy(anew)
		if ready && err == nil {
			return nil
		}
		select {
		case text := <-said.fatal:
			return errors.New(text)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		switch why := said.warnings(); {
		case ready && why != "": // the store is read, and the server has said what it could not
			return fmt.Errorf("%w: %s; nothing was changed: mend what it says, or put the store back from a copy", err, why)
		case time.Now().After(deadline) && err != nil:
			return fmt.Errorf("%w; nothing was changed: put the store back from a copy", err)
		case time.Now().After(deadline):
			return errors.New("not ready in time")
		}
	}
}

// Healthy says why the broker can't be trusted now; nil if it can. A store that
// ran full stays unhealthy until the process is started again.
func (b *Broker) Healthy() error { return b.healthy(nil) }

func (b *Broker) healthy(anew []string) error {
	for _, e := range b.srv.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type != server.HealthzErrorStream || !slices.Contains(anew, e.Stream) {
			return fmt.Errorf("the broker is not healthy: %s", e.Error)
		}
	}
	return nil
}

// InProcessConn is a connection in memory, for the roles of this process.
func (b *Broker) InProcessConn() (net.Conn, error) { return b.srv.InProcessConn() }

// URL is where foreign clients connect; empty without listener.
func (b *Broker) URL() string {
	a, ok := b.srv.Addr().(*net.TCPAddr)
	switch {
	case !ok || a == nil:
		return ""
	case b.cfg.TLS != nil:
		return "tls://" + a.String()
	}
	return "nats://" + a.String()
}

// MQTT is the address at which MQTT is spoken, host:port; empty where it is not.
func (b *Broker) MQTT() string {
	v, err := b.srv.Varz(nil)
	if err != nil || v.MQTT.Port == 0 {
		return ""
	}
	return net.JoinHostPort(v.MQTT.Host, strconv.Itoa(v.MQTT.Port))
}

// Close stops the server, waits for it, and gives the store free.
func (b *Broker) Close() error {
	b.stop()
	return b.lock.Close()
}

func (b *Broker) stop() {
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}

func lockFolder(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, "barista.lock"))
	free, err := lock.TryLock()
	if err == nil && !free {
		err = ErrLocked
	}
	return lock, err
}

// HoldClock starts the server's shared clock now. Called once outside a
// testing/synctest bubble, it lets servers run under the bubble's fake time:
// else the first server in the bubble would start a package-wide ticker there,
// and the fake clock would never come to rest.
func HoldClock() { ats.Register() }

// logger passes the server's lines on. A fatal line does not end the server by
// itself; while starting it ends Open, later health tells.
type logger struct {
	log   *slog.Logger
	fatal chan string

	mu     sync.Mutex            // guards the following
	warned []string              // the first few warnings: why a store could not be read
	of     map[string]*complaint // what was said of clients
}

// complaint is one that the server makes of some client or other.
type complaint struct {
	said time.Time
	more int // times since then
}

// sayAgain is how often one complaint is passed on, and mostComplaints bounds how many
// are told apart.
const (
	sayAgain       = time.Minute
	mostComplaints = 128
)

// ofClient is a line about one connection: who it is, and what.
var ofClient = regexp.MustCompile(`^(\S+ - [a-z]+:\d+(?: - "[^"]*")?) - (.*)$`)

func (l *logger) say(level slog.Level, format string, v []any) {
	text, with := fmt.Sprintf(format, v...), []any{"room", "broker"}
	if m := ofClient.FindStringSubmatch(text); m != nil {
		text, with = m[2], append(with, "client", m[1])
		host, _, _ := strings.Cut(m[1], " ")
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		more, now := l.complains(host + " " + text)
		if !now { // whose key was taken away comes again and again, each time as another connection
			return
		}
		if more > 0 {
			with = append(with, "times", more)
		}
	}
	l.log.Log(context.Background(), level, text, with...)
}

// complains reports whether a complaint is passed on now, and how often it was made
// since it was the last time.
func (l *logger) complains(text string) (more int, now bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.of[text]
	if c != nil && time.Since(c.said) < sayAgain {
		c.more++
		return 0, false
	}
	if len(l.of) >= mostComplaints || l.of == nil {
		l.of = map[string]*complaint{}
	}
	l.of[text] = &complaint{said: time.Now()}
	if c != nil {
		more = c.more + 1
	}
	return more, true
}

// warnings are the first ones in one line.
func (l *logger) warnings() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.warned, "; ")
}

func (l *logger) Noticef(f string, v ...any) { l.say(slog.LevelDebug, f, v) }
func (l *logger) Warnf(f string, v ...any) {
	l.say(slog.LevelWarn, f, v)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.warned) < 5 {
		l.warned = append(l.warned, strings.TrimSpace(fmt.Sprintf(f, v...)))
	}
}
func (l *logger) Errorf(f string, v ...any) { l.say(slog.LevelError, f, v) }
func (l *logger) Debugf(f string, v ...any) {}
func (l *logger) Tracef(f string, v ...any) {}
func (l *logger) Fatalf(f string, v ...any) {
	l.say(slog.LevelError, f, v)
	select {
	case l.fatal <- fmt.Sprintf(f, v...):
	default:
	}
}
