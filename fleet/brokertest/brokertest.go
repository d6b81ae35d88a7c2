// Package brokertest gives tests the real broker: in-process, in a folder of its
// own, under real or fake time, with a link that a test can cut or silence. It
// is for tests only; everything it starts ends with the test.
package brokertest

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/queue"
)

// Broker is a broker of one test.
type Broker struct {
	t      testing.TB
	cfg    broker.Config
	lock   Lock // nil: everybody may do everything
	mu     sync.Mutex
	broker *broker.Broker
}

// Start opens a broker without socket and makes the shop's streams with the
// default menu.
func Start(t testing.TB) *Broker { return start(t, broker.Config{}).withShop() }

// StartTCP opens one that also listens on loopback; see URL.
func StartTCP(t testing.TB) *Broker { return start(t, broker.Config{Listen: "127.0.0.1:0"}).withShop() }

// Bare opens one without socket, and with nothing in it.
func Bare(t testing.TB) *Broker { return start(t, broker.Config{}) }

func start(t testing.TB, cfg broker.Config) *Broker {
	t.Helper()
	cfg.Name, cfg.Store, cfg.MaxStore, cfg.Ours = "test", t.TempDir(), 2<<30, queue.StreamNames()
	b := &Broker{t: t, cfg: cfg}
	b.open()
	t.Cleanup(b.Stop)
	return b
}

func (b *Broker) withShop() *Broker {
	b.t.Helper()
	c := b.Connect("setup")
	if _, err := c.Setup(b.t.Context(), fleet.DefaultMenu()); err != nil {
		b.t.Fatal(err)
	}
	// As the shop does, so that the queue is there again after a restart.
	var kept sync.WaitGroup
	kept.Go(func() { c.Keep(b.t.Context(), fleet.DefaultMenu()) })
	b.t.Cleanup(kept.Wait)
	return b
}

// InBubble runs f under fake time with the real broker in the bubble.
func InBubble(t *testing.T, f func(t *testing.T, b *Broker)) { inBubble(t, Start, f) }

// InLockedBubble is InBubble with a broker that has keys and accounts.
func InLockedBubble(t *testing.T, l Lock, f func(t *testing.T, b *Broker)) {
	inBubble(t, func(t testing.TB) *Broker { return startLocked(t, l) }, f)
}

func inBubble(t *testing.T, start func(testing.TB) *Broker, f func(t *testing.T, b *Broker)) {
	t.Helper()
	broker.HoldClock()
	// The client keeps its timers in a pool of the process; one of an earlier
	// bubble must not come out of it in this one. Two collections empty a pool.
	empty := func() { runtime.GC(); runtime.GC() }
	empty()
	defer empty() // nor one of this bubble in a later test outside of any
	synctest.Test(t, func(t *testing.T) {
		// The last to happen: what the broker writes of events without a sync sleeps
		// for some milliseconds before it sees that the broker has ended.
		t.Cleanup(func() { time.Sleep(time.Second) })
		f(t, start(t))
	})
}

func (b *Broker) open() {
	b.t.Helper()
	br, err := broker.Open(context.Background(), b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	b.broker = br
	b.mu.Unlock()
}

// Stop shuts the broker down, as a process that ends would.
func (b *Broker) Stop() {
	// The server sleeps with a lock in its hand when it stops; under fake time, which
	// goes on only when nobody waits for a lock, a request that is under way just then
	// would wait for ever. After the shortest sleep there is none.
	time.Sleep(time.Nanosecond)
	b.mu.Lock()
	br := b.broker
	b.broker = nil
	b.mu.Unlock()
	if br != nil {
		br.Close()
	}
}

// Restart stops it and opens it on the same store.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	b.open()
}

// Again opens a stopped broker on the same store.
func (b *Broker) Again() { b.t.Helper(); b.open() }

// Room bounds what streams may reserve, from the next start on.
func (b *Broker) Room(bytes int64) { b.cfg.MaxStore = bytes }

// Store is the folder of its files.
func (b *Broker) Store() string { return b.cfg.Store }

// URL is where StartTCP listens.
func (b *Broker) URL() string { return b.broker.URL() }

// InProcessConn dials the present broker.
func (b *Broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broker == nil {
		return nil, net.ErrClosed
	}
	return b.broker.InProcessConn()
}

// Connect opens a connection that ends with the test.
func (b *Broker) Connect(name string) *queue.Conn { return b.ConnectOver(name, b) }

// ConnectOver opens a connection over a link.
func (b *Broker) ConnectOver(name string, link interface{ InProcessConn() (net.Conn, error) }) *queue.Conn {
	b.t.Helper()
	c, err := queue.Connect(b.t.Context(), b.as(queue.Config{Name: name, InProcess: link}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// Link returns a link to the broker that the test can spoil.
func (b *Broker) Link() *Link {
	l := &Link{b: b, change: make(chan struct{})}
	b.t.Cleanup(func() {
		l.Cut(true)
		l.Silence(false)
	})
	return l
}

// Link is a connection to the broker under the test's control.
type Link struct {
	b      *Broker
	mu     sync.Mutex
	silent bool
	cut    bool
	conns  []net.Conn
	change chan struct{}                        // closed when silent or cut changes
	Filter func(toBroker bool, p []byte) []byte // may change or drop what passes; set before use
}

// Silence holds back every byte in both directions while the connection stays
// open, as a machine does that lost its network; false lets all of it pass.
func (l *Link) Silence(on bool) { l.set(func() { l.silent = on }) }

// Cut closes the connection and refuses new ones; false allows them again.
func (l *Link) Cut(on bool) {
	l.set(func() {
		l.cut = on
		for _, c := range l.conns {
			c.Close()
		}
		l.conns = nil
	})
}

func (l *Link) set(f func()) {
	l.mu.Lock()
	f()
	close(l.change)
	l.change = make(chan struct{})
	l.mu.Unlock()
}

// InProcessConn dials the broker over this link.
func (l *Link) InProcessConn() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, net.ErrClosed
	}
	far, err := l.b.InProcessConn()
	if err != nil {
		return nil, err
	}
	near, mid := net.Pipe()
	l.conns = append(l.conns, far, mid)
	go l.pump(far, mid, true)
	go l.pump(mid, far, false)
	return near, nil
}

// pump carries bytes until one end closes. What a silent link holds back is
// kept, as the buffers of a kernel do: a writer must not block on silence, the
// client writes under its lock.
func (l *Link) pump(dst, src net.Conn, toBroker bool) {
	held := make(chan []byte, 1<<14)
	go func() {
		defer close(held)
		defer src.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			if n > 0 {
				held <- append([]byte(nil), buf[:n]...)
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		dst.Close()
		src.Close()
		for range held {
		}
	}()
	for p := range held {
		if l.Filter != nil {
			p = l.Filter(toBroker, p)
		}
		l.pass()
		if _, err := dst.Write(p); err != nil {
			return
		}
	}
}

// pass waits while the link is silent.
func (l *Link) pass() {
	for {
		l.mu.Lock()
		silent, change := l.silent && !l.cut, l.change
		l.mu.Unlock()
		if !silent {
			return
		}
		<-change
	}
}

// hung is how long a fact may take before a test gives it up. It is no promise: the slowest
// thing waited for is a message that comes again after its AckWait, a minute for an
// archive's.
const hung = 3 * time.Minute

// Eventually waits until ok, for at most hung; what says what for.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(hung)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", hung, what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("the test ended while waiting for: %s", what)
		}
	}
}
