package chaos

import (
	"errors"
	"net"
	"sync"
)

// Broker is where a connection in memory comes from.
type Broker interface {
	InProcessConn() (net.Conn, error)
}

// wire is a machine's way to the broker, for as long as that machine lives. It can be
// cut, and joined again; one of a dead machine stays cut.
type wire struct {
	broker Broker

	mu    sync.Mutex // guards the following
	conns map[net.Conn]bool
	cut   bool
	dead  bool
	tried bool // somebody has asked for a connection since it was cut
}

var errCut = errors.New("the wire is cut")

// InProcessConn is a connection, as long as the wire is whole.
func (w *wire) InProcessConn() (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut || w.dead {
		w.tried = true
		return nil, errCut
	}
	c, err := w.broker.InProcessConn()
	if err != nil {
		return nil, err
	}
	if w.conns == nil {
		w.conns = map[net.Conn]bool{}
	}
	w.conns[c] = true
	return &strand{c, w}, nil
}

// breaks closes every connection. Whatever was not on its way does not arrive.
func (w *wire) breaks(forGood bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.dead, w.tried = true, w.dead || forGood, false
	for c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *wire) joins() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
}

// missed reports whether its machine has noticed the cut: it has asked for another
// connection.
func (w *wire) missed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tried
}

// strand is one connection of a wire.
type strand struct {
	net.Conn
	of *wire
}

// Close ends it, and the wire forgets it.
func (s *strand) Close() error {
	s.of.mu.Lock()
	delete(s.of.conns, s.Conn)
	s.of.mu.Unlock()
	return s.Conn.Close()
}
