package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// The limits of a connection. Live pages move their own deadlines, see stream.
const (
	headerTime = 5 * time.Second
	readTime   = 10 * time.Second
	writeTime  = 15 * time.Second
	idleTime   = 60 * time.Second
	maxHeader  = 16 << 10        // bytes
	goodbye    = 5 * time.Second // for answers under way when the shop closes
)

// The limits of a connection that carries many requests at once (HTTP/2).
const (
	maxTogether = 32               // requests; a browser's pages need six
	maxWindow   = 64 << 10         // bytes that we hold for a connection before they are read; the least that the standard allows
	pingTime    = 30 * time.Second // of silence, before a connection is asked whether it is still there
)

// Serve answers on the listener, over TLS where there is a configuration for it,
// until ctx ends, then closes live pages, lets answers under way finish for up to
// 5 s, and returns nil. The listener is closed when it returns.
func (w *Web) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           w.handler,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPlace,
		ErrorLog:          slog.NewLogLogger(quiet{w.Log.Handler()}, slog.LevelWarn),
		TLSConfig:         w.TLS.Clone(),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxTogether, MaxReceiveBufferPerConnection: maxWindow, MaxReceiveBufferPerStream: maxWindow,
			SendPingTimeout: pingTime, PingTimeout: readTime, WriteByteTimeout: writeTime,
		},
	}
	served := make(chan error, 1)
	go func() {
		if d := newDoor(l); w.TLS != nil {
			served <- srv.ServeTLS(d, "", "") // offers HTTP/2
		} else {
			served <- srv.Serve(d)
		}
	}()
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

// quiet leaves out what the server says of each connection that a stranger
// spoiled: a scan of the port must not fill the log.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(context.Context, slog.Level) bool { return true }

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: TLS handshake error") {
		r.Level = slog.LevelDebug
	}
	if !q.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}
