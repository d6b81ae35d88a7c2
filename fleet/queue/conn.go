// Package queue is the shop's door to the broker: it implements the words of
// package fleet on NATS JetStream, and is the only room that knows nats.go. One
// Conn is one connection of one role with an inbox prefix of its own.
//
// What it promises: an error says whether nobody knows (fleet.ErrNoAnswer) or
// whether it is certain that nothing was stored; a pull is never cancelled; a
// ticket that was silent for longer than AckWait sends nothing but the settling
// of an ended drink; nothing is buffered while the link is down, so nothing
// arrives late. What it never does: decide about an order. The claim does.
//
// Connect starts it, Close stops it and waits. The shop's role calls Setup once
// after connecting; machines only use what is there.
package queue

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// askFor bounds one request to the broker. A disk that syncs takes up to 0.3 s
// (measured p99), an election about 1 s.
const askFor = 3 * time.Second

// Config is how a role connects.
type Config struct {
	Name         string   // of the connection, a token
	Servers      []string // URLs; empty with InProcess
	InProcess    interface{ InProcessConn() (net.Conn, error) }
	Key          Signer      // who connects; nil: nobody in particular, for a broker without keys
	TLS          *tls.Config // nil: only where the server wants it, with the authorities of the system
	Inbox        string      // the prefix of its inbox; empty: _INBOX_ and Name
	Domain       string      // of JetStream, where the streams are not at the server that answers; empty: there
	OrdersPerDay int         // sizes the streams; 0 is 500
	Replicas     int         // servers that keep each stream, 1 to 5; 0: min(3, the servers of its cluster)
	KeepSizes    bool        // of streams that are there, whatever OrdersPerDay says
	Service      Service     // who serves, for whoever looks
	// Within is how long a broker that does not answer is waited for at first; 0: until
	// the context ends.
	Within time.Duration
	// Refused hears, at first and then once a minute, why a broker that answers is of no
	// use, at the start and later on; the connection goes on trying, because a person
	// may heal that elsewhere. Nil: Connect returns it at once, and later on it is
	// logged.
	Refused func(*Unusable)
	// Denied hears what the key may not do; nil: it is logged.
	Denied func(*Unusable)
	Log    *slog.Logger
}

// Signer proves who a connection is; a key of package keys does.
type Signer interface {
	Public() string
	JWT() string // of a cluster that others run; empty: its public half says who it is
	Sign(nonce []byte) ([]byte, error)
}

// Conn is a connection to the broker. Any goroutine may use it.
type Conn struct {
	cfg  Config
	nc   *nats.Conn
	live atomic.Pointer[nats.Conn] // nc, for what the client calls before Connect has returned
	js   jetstream.JetStream
	log  *slog.Logger

	mu      sync.Mutex // guards the following, and nothing else
	buckets map[string]jetstream.KeyValue
	said    map[string]bool // what could not be read, see once
	turned  turn            // of the book, see leafAfter; forgotten at a reconnect, a store may have gone back
	back    chan struct{}   // closed at the next reconnect

	denied   context.CancelCauseFunc // while the streams are made, see refusedAs
	amiss    *Unusable               // why the last try came to nothing
	useless  int                     // tries in a row that came to nothing for such a reason
	spoken   error                   // the class of what was said last
	spokenAt time.Time

	state state // of the broker's streams
	ready ready // whether an order could be taken

	lost chan struct{} // closed by the client when the connection is closed for good
}

// Connect dials, and waits for the first connection until ctx ends, or for Within.
// Later breaks are mended by itself, for ever. Errors: *Unusable, where something
// answers; else that nobody does.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	if !fleet.IsToken(cfg.Name) {
		return nil, fmt.Errorf("queue: %q is no name for a connection: 1 to 32 of a-z, 0-9 and -", cfg.Name)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{cfg: cfg, log: cfg.Log, buckets: map[string]jetstream.KeyValue{}, said: map[string]bool{}, back: make(chan struct{}), lost: make(chan struct{})}
	if err := c.dial(ctx); err != nil {
		return nil, err
	}
	var err error
	if c.js, err = c.jetStream(); err != nil {
		c.Close()
		return nil, fmt.Errorf("queue: %w", err)
	}
	return c, nil
}

// The pauses between two tries to connect.
const (
	tryAgain   = 250 * time.Millisecond
	trySpread  = 250 * time.Millisecond // at most, so that a fleet does not come back at once
	spreadTLS  = time.Second            // of handshakes, which cost the server more
	sayAgain   = time.Minute
	dialWithin = 2 * time.Second
	// fewTries come soon, whatever the reason: a reload of the broker may be under way.
	fewTries = 3
	// tryLater is the longest pause while a person must heal something, give or take its
	// half: a handshake each second, for days, is of use to nobody.
	tryLater = 10 * time.Second
)

// dial makes the first connection.
func (c *Conn) dial(ctx context.Context) error {
	opts := c.options()
	servers := strings.Join(c.cfg.Servers, ",")
	if c.cfg.InProcess != nil {
		servers = ""
	}
	began := time.Now()
	for {
		nc, err := nats.Connect(servers, opts...)
		bad := c.cfg.unusable(err)
		if err == nil {
			c.live.Store(nc)
			c.nc = nc
			if bad = c.cfg.oldServer(nc.ConnectedServerVersion()); bad == nil {
				c.well()
				return nil
			}
			c.Close()
			c.lost = make(chan struct{})
		} else if bad == nil && !wait(err) {
			return fmt.Errorf("queue: cannot connect to %s: %w", Shown(c.cfg.Servers), err)
		}
		if bad != nil {
			if c.cfg.Refused == nil {
				return bad
			}
			c.complain(bad)
			began = time.Now() // somebody is there: only a person ends this
		} else {
			c.unheard()
		}
		late := c.cfg.Within > 0 && time.Since(began) > c.cfg.Within
		if late || !fleet.Pause(ctx, c.pause()) {
			if bad != nil {
				return bad
			}
			return fmt.Errorf("queue: no broker answers at %s: is the shop running, and is the address right?", Shown(c.cfg.Servers))
		}
	}
}

// wait reports whether a try may come out better the next time: an address or an
// option that is wrong stays so.
func wait(err error) bool {
	_, parse := errors.AsType[*url.Error](err)
	return !parse && !errors.Is(err, nats.ErrNkeyAndUser) && !errors.Is(err, nats.ErrInvalidArg)
}

// pause is how long until the next try. It grows while somebody answers and is of no
// use, and is short for whoever is not there at all: he may be back any moment.
func (c *Conn) pause() time.Duration {
	spread := trySpread
	if c.cfg.TLS != nil {
		spread = spreadTLS
	}
	c.mu.Lock()
	n := c.useless
	c.mu.Unlock()
	if n <= fewTries {
		return tryAgain + rand.N(spread)
	}
	d := min(tryAgain<<min(n-fewTries, 10), tryLater)
	return d/2 + rand.N(d)
}

// options are how the client behaves.
func (c *Conn) options() []nats.Option {
	cfg := c.cfg
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.CustomInboxPrefix(cmp.Or(cfg.Inbox, "_INBOX_"+cfg.Name)),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // an operator may accept the key again
		nats.CustomReconnectDelay(func(int) time.Duration {
			// The one place where the client tells of a handshake that failed.
			if nc := c.live.Load(); nc != nil {
				if bad := cfg.unusable(nc.LastError()); bad != nil {
					c.complain(bad)
				} else {
					c.unheard()
				}
			}
			return c.pause()
		}),
		nats.ReconnectBufSize(-1), // nothing may arrive late
		nats.PingInterval(c.pingEvery()),
		nats.MaxPingsOutstanding(pings),
		nats.Timeout(dialWithin),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			c.log.Info("broker is back", "conn", cfg.Name, "server", Shown([]string{nc.ConnectedUrl()}))
			c.well()
			c.mu.Lock()
			c.turned = turn{}
			close(c.back)
			c.back = make(chan struct{})
			c.mu.Unlock()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.log.Warn("broker is away", "conn", cfg.Name, "err", err)
			}
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(c.lost) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			switch bad := cfg.unusable(err); {
			case bad != nil:
				c.complain(bad)
			case errors.Is(err, nats.ErrPermissionViolation):
				c.onDenied(err)
			default:
				c.log.Error(fmt.Sprint("the broker says: ", err), "conn", cfg.Name) // else a flood of one hides another
			}
		}),
	}
	if k := cfg.Key; k != nil && k.JWT() != "" {
		opts = append(opts, nats.UserJWT(func() (string, error) { return k.JWT(), nil }, k.Sign))
	} else if k != nil {
		opts = append(opts, nats.Nkey(k.Public(), k.Sign))
	}
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	} else if cfg.TLS != nil {
		opts = append(opts, nats.Secure(cfg.TLS))
	}
	return opts
}

// How a server that says nothing is found to be gone, as after a power cut: by so many
// questions in a row without an answer, and one more.
const (
	pings    = 2
	pingMany = 2 * time.Second
	pingOne  = 10 * time.Second
)

// pingEvery is how often it is asked: soon where there are others to go to, which agree on
// a new leader meanwhile.
func (c *Conn) pingEvery() time.Duration {
	if len(strings.Split(strings.Join(c.cfg.Servers, ","), ",")) > 1 {
		return pingMany
	}
	return pingOne
}

// complain says why the broker is of no use: at once where that is another reason
// than before, and once a minute.
func (c *Conn) complain(bad *Unusable) {
	c.mu.Lock()
	again := bad.Class == c.spoken && time.Since(c.spokenAt) < sayAgain
	c.amiss = bad
	c.useless++
	if !again {
		c.spoken, c.spokenAt = bad.Class, time.Now()
	}
	c.mu.Unlock()
	switch {
	case again:
	case c.cfg.Refused != nil:
		c.cfg.Refused(bad)
	default:
		c.log.Error("no way to the broker: "+bad.Error(), "conn", c.cfg.Name)
	}
}

// well: there is a connection, and the next complaint is news.
func (c *Conn) well() {
	c.mu.Lock()
	c.amiss, c.spoken, c.useless = nil, nil, 0
	c.mu.Unlock()
}

// unheard: nobody answers just now.
func (c *Conn) unheard() {
	c.mu.Lock()
	c.amiss, c.useless = nil, 0
	c.mu.Unlock()
}

// Amiss is why the broker was of no use at the last try; nil while it is in use, or
// where nobody answers.
func (c *Conn) Amiss() *Unusable {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.amiss
}

// jetStream speaks to the streams, where they are.
func (c *Conn) jetStream() (jetstream.JetStream, error) {
	if c.cfg.Domain != "" {
		return jetstream.NewWithDomain(c.nc, c.cfg.Domain, jetstream.WithDefaultTimeout(askFor))
	}
	return jetstream.New(c.nc, jetstream.WithDefaultTimeout(askFor))
}

// api is the subject of a request to JetStream.
func (c *Conn) api(verb string) string {
	if c.cfg.Domain != "" {
		return "$JS." + c.cfg.Domain + ".API." + verb
	}
	return "$JS.API." + verb
}

// Shown are the addresses without what may be secret in them.
func Shown(servers []string) string {
	if len(servers) == 0 {
		return "the broker of this process"
	}
	out := make([]string, len(servers))
	for i, s := range servers {
		if u, err := url.Parse(s); err == nil {
			u.User = nil // a lone one is a token
			out[i] = u.String()
		}
	}
	return strings.Join(out, ", ")
}

// Up reports whether the broker can be reached now.
func (c *Conn) Up() bool { return c.nc.IsConnected() }

// ServerName is that of the server that this connection is to.
func (c *Conn) ServerName() string { return c.nc.ConnectedServerName() }

// Keyed reports whether the broker lets nobody in who says not who he is.
func (c *Conn) Keyed() bool { return c.nc.AuthRequired() }

// MaxPayload is the largest message that the server takes, in bytes.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// Reconnects counts the connections: another count is another connection, whatever
// was heard of that so far.
func (c *Conn) Reconnects() uint64 { return c.nc.Stats().Reconnects }

// Reconnected is closed at the next reconnect.
func (c *Conn) Reconnected() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.back
}

// Close ends the connection and waits until it is closed.
func (c *Conn) Close() {
	c.nc.Close()
	<-c.lost
}

// bucket opens a bucket once.
func (c *Conn) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	c.mu.Lock()
	kv, ok := c.buckets[name]
	c.mu.Unlock()
	if ok {
		return kv, nil
	}
	kv, err := c.js.KeyValue(ctx, name)
	if err != nil {
		return nil, unsure("open "+name, err)
	}
	c.mu.Lock()
	c.buckets[name] = kv
	c.mu.Unlock()
	return kv, nil
}

// inBucket changes something in a bucket; what names it in an error.
func (c *Conn) inBucket(ctx context.Context, bucket, what string, change func(jetstream.KeyValue) error) error {
	kv, err := c.bucket(ctx, bucket)
	if err != nil {
		return err
	}
	if err := change(kv); err != nil {
		return unsure(what, err)
	}
	return nil
}

var errAway = errors.New("there is no connection to it")

// unsure wraps an error after which nobody knows whether it was taken.
func unsure(what string, err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		err = errAway // there is no such buffer: it did not leave
	}
	return fmt.Errorf("%s: %w (%w)", what, fleet.ErrNoAnswer, err)
}

// said wraps an error of the broker's store: what it says is a reason, and only its
// silence is none.
func said(what string, err error) error {
	switch code := apiCode(err); {
	case code == codeStreamOffline || code == codeConsumerOffline:
		return fmt.Errorf("%s: the broker can't use what is stored (%w): if a later version has run on this store, start that one again; else it is damaged", what, err)
	case code != 0 && !later(code):
		return fmt.Errorf("%s: the broker says: %w", what, err)
	}
	return unsure(what, err)
}

// apiCode is the broker's own number of an error, or 0.
func apiCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	var js jetstream.JetStreamError
	if errors.As(err, &js) && js.APIError() != nil {
		return js.APIError().ErrorCode
	}
	return 0
}

// Codes of the broker that a caller must tell apart.
const (
	codeWrongSequence   = 10071
	codeWrongSequence2  = 10164 // the same, with a stream in a cluster
	codeStoreFull       = 10077 // maximum messages or bytes exceeded
	codeResources       = 10023 // the server's storage is reserved or full
	codeTooLarge        = 10054
	codeNotNow          = 10008 // in an election
	codeNoStorage       = 10047 // for what a stream would reserve
	codeNoMemory        = 10028
	codeNoPeers         = 10005
	codeStreamAway      = 10118 // every server that keeps it
	codeConsumerAway    = 10119
	codeStreamOffline   = 10194 // it can't be used
	codeConsumerOffline = 10195
	codeNotMade         = 10012 // a consumer, for instance because somebody removes it just then
)

// full reports whether the broker has no room for a message: certain, nothing was
// stored.
func full(err error) bool {
	code := apiCode(err)
	return code == codeResources || code == codeStoreFull && strings.Contains(err.Error(), "maximum")
}

// noRoom reports whether the broker has no room for what a stream wants to reserve.
func noRoom(err error) bool {
	code := apiCode(err)
	return code == codeNoStorage || code == codeNoMemory || code == codeNoPeers && strings.Contains(err.Error(), noStorage)
}

func wrongSequence(err error) bool {
	code := apiCode(err)
	return code == codeWrongSequence || code == codeWrongSequence2
}
