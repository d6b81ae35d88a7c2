package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The times of a live page.
const (
	// heartbeat is how often a page without news is looked at again (its wait
	// shrinks) and told that we are still here.
	heartbeat = 10 * time.Second
	// breath is the shortest time between two pieces of one page: a burst of
	// events is drawn once.
	breath = 200 * time.Millisecond
	// patience is how long a reader may take to accept a piece before it is
	// dropped. It comes back by itself.
	patience = 5 * time.Second
)

// piece is a part of a page as it looks now.
type piece struct {
	html []byte
	seq  uint64 // of the stream when it was drawn; 0 gives it no id
	last bool   // nothing will follow
}

// stream sends a page's live part as server-sent events whenever it looks
// different, until the reader goes, the piece is the last one, or the server
// ends. It runs on the request's own goroutine.
//
// The id of an event is the stream's sequence. A reader that comes back with
// Last-Event-ID gets the present piece if anything was stored since, and 204,
// which tells a browser to stop asking, if it already has the last one.
func (w *Web) stream(rw http.ResponseWriter, r *http.Request, draw func(context.Context) (piece, error)) {
	if !w.book.whole() {
		rw.Header().Set("Retry-After", "2")
		plain(rw, http.StatusServiceUnavailable, "the history of the events is still being read\n")
		return
	}
	ctx := r.Context()
	have, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	rc := http.NewResponseController(rw)
	changed := w.book.changed()
	now, err := draw(ctx)
	if err != nil {
		w.broken(rw, err)
		return
	}
	if now.last && have > 0 && have >= now.seq {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	var sent []byte
	out := fmt.Appendf(nil, "retry: 2000\n\n")
	if have > 0 && have == now.seq {
		sent = now.html
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		if !bytes.Equal(now.html, sent) {
			out, sent = appendEvent(out, now), now.html
		}
		if now.last {
			out = append(out, "event: end\ndata:\n\n"...)
		}
		if len(out) > 0 {
			if rc.SetWriteDeadline(time.Now().Add(patience)) != nil {
				return
			}
			if _, err := rw.Write(out); err != nil || rc.Flush() != nil {
				return
			}
			out = out[:0]
		}
		if now.last {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(breath):
			}
		case <-tick.C:
			out = append(out, ":\n\n"...)
		}
		changed = w.book.changed()
		if now, err = draw(ctx); err != nil {
			w.Log.Error("web: cannot render a live page", "error", err)
			return
		}
	}
}

// appendEvent writes a piece in the form of server-sent events: every line of
// it behind "data:".
func appendEvent(out []byte, p piece) []byte {
	if p.seq > 0 {
		out = fmt.Appendf(out, "id: %d\n", p.seq)
	}
	html := bytes.ReplaceAll(bytes.TrimSpace(p.html), []byte("\r"), nil)
	for line := range bytes.Lines(html) {
		out = append(out, "data: "...)
		out = append(out, bytes.TrimSuffix(line, []byte("\n"))...)
		out = append(out, '\n')
	}
	return append(out, '\n')
}
