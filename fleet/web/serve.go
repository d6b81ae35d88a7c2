package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The limits of a connection. Live pages move their own deadlines, see stream.
const (
	headerTime = 5 * time.Second
	readTime   = 10 * time.Second
	writeTime  = 15 * time.Second
	idleTime   = 60 * time.Second
	maxHeader  = 16 << 10 // bytes
	maxConns   = 512
	goodbye    = 5 * time.Second // for answers under way when the shop closes
)

// Serve answers on the listener until ctx ends, then closes live pages, lets
// answers under way finish for up to 5 s, and returns nil. The listener is
// closed when it returns.
func (w *Web) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           w.handler,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(w.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(&limited{Listener: l, free: make(chan struct{}, maxConns)}) }()
	select {
	case err := <-served:
		return fmt.Errorf("cannot serve pages on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if srv.Shutdown(late) != nil {
		srv.Close()
	}
	<-served
	return nil
}

// limited hangs up on whoever comes while all places are taken. Hanging up is
// better than letting them wait: the ones inside may be there to keep others
// out, and a browser tries again.
type limited struct {
	net.Listener
	free chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &place{Conn: c, leave: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			c.Close()
		}
	}
}

// place is a connection that holds one of the places.
type place struct {
	net.Conn
	leave func()
}

func (p *place) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
