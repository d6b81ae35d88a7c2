package brokertest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Wire is a way over TCP that can be cut: who comes to Addr is carried on to elsewhere.
type Wire struct {
	listener net.Listener
	to       string
	carried  sync.WaitGroup

	mu    sync.Mutex // guards the following
	cut   bool
	conns []net.Conn
}

// NewWire leads to an address, host:port, until the test ends.
func NewWire(t testing.TB, to string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{listener: l, to: to}
	w.carried.Go(w.accept)
	t.Cleanup(func() {
		l.Close()
		w.Cut(true)
		w.carried.Wait()
	})
	return w
}

// Addr is where it begins.
func (w *Wire) Addr() string { return w.listener.Addr().String() }

func (w *Wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		w.mu.Lock()
		if err != nil || w.cut {
			near.Close()
			if err == nil {
				far.Close()
			}
			w.mu.Unlock()
			continue
		}
		w.conns = append(w.conns, near, far)
		w.mu.Unlock()
		carry := func(to, from net.Conn) { io.Copy(to, from); to.Close(); from.Close() }
		w.carried.Go(func() { carry(far, near) })
		w.carried.Go(func() { carry(near, far) })
	}
}

// Cut breaks what is carried, and lets nothing through until it is whole again.
func (w *Wire) Cut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}
