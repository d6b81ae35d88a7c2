package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// The times of a live page.
const (
	// heartbeat is how often a page without news is looked at again (its wait
	// shrinks) and told that we are still here.
	heartbeat = 10 * time.Second
	// breath is the shortest time between two pieces of one page: a burst of
	// news is drawn once.
	breath = 200 * time.Millisecond
	// patience is how long a reader may take to accept a piece before it is
	// dropped. It comes back by itself.
	patience = 5 * time.Second
)

// drawing is what a live part of a page shows now.
type drawing struct {
	template string
	body     any
	last     bool // nothing will follow
}

// piece is a drawing as it is sent.
type piece struct {
	id      string // of what it shows: the same for the same
	event   []byte // with its id, in the form of server-sent events
	last    bool
	changed <-chan struct{} // closed when it may look different
}

// gallery is the live parts that somebody looks at, each drawn once for all who
// see it in one language.
type gallery struct {
	mu       sync.Mutex
	pictures map[string]*picture
}

// picture is one of them.
type picture struct {
	draw    func(context.Context) drawing
	pages   *pages
	book    *book
	viewers int // guarded by the gallery

	mu    sync.Mutex
	body  any
	piece piece
	drawn time.Time
}

// enter returns the picture of a key, made for the first who looks at it; the last
// one who leaves takes it down.
func (g *gallery) enter(key string, hang func() *picture) (p *picture, leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p = g.pictures[key]; p == nil {
		p = hang()
		g.pictures[key] = p
	}
	p.viewers++
	return p, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if p.viewers--; p.viewers == 0 {
			delete(g.pictures, key)
		}
	}
}

// look is how the picture looks now, or did less than a breath ago: then its
// piece says that it changed, and whoever got it looks again. What is drawn is
// everybody's, so one reader's leaving must not spoil it.
func (p *picture) look(ctx context.Context) (piece, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if age := time.Since(p.drawn); age < breath || age < heartbeat/2 && !isClosed(p.piece.changed) {
		return p.piece, nil
	}
	changed := p.book.changed()
	d := p.draw(context.WithoutCancel(ctx))
	if p.body == nil || !reflect.DeepEqual(p.body, d.body) {
		html, err := p.pages.render(d.template, d.body)
		if err != nil {
			return piece{}, err
		}
		p.body, p.piece = d.body, newPiece(html)
	}
	p.piece.last, p.piece.changed, p.drawn = d.last, changed, time.Now()
	return p.piece, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// stream sends a page's live part as server-sent events whenever it looks
// different, until the reader goes, the piece is the last one, or the server
// ends. It runs on the request's own goroutine.
//
// The id of an event is that of what it shows. A reader that comes back with
// Last-Event-ID gets the present piece if it looks different, and 204, which
// tells a browser to stop asking, if it already has the last one.
func (w *Web) stream(rw http.ResponseWriter, r *http.Request, draw func(context.Context) drawing) {
	if !w.book.whole() {
		rw.Header().Set("Retry-After", "2")
		plain(rw, http.StatusServiceUnavailable, "the book is still being read\n")
		return
	}
	ctx := r.Context()
	free, ok := w.streams.enter(w.visitorOf(r).net)
	if !ok {
		tooManyStreams(rw, r)
		return
	}
	defer free()
	sent := r.Header.Get("Last-Event-ID")
	rc := http.NewResponseController(rw)
	pages := w.pages[lang(r)]
	picture, leave := w.gallery.enter(pages.Lang+" "+r.URL.Path, func() *picture { return &picture{draw: draw, pages: pages, book: w.book} })
	defer leave()
	now, err := picture.look(ctx)
	if err != nil {
		w.broken(rw, err)
		return
	}
	if now.last && sent == now.id {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := []byte("retry: 2000\n\n")
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		if now.id != sent {
			out, sent = append(out, now.event...), now.id
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
			// HTTP/2 would end a stream whose time is over though nothing is written.
			if rc.SetWriteDeadline(time.Time{}) != nil {
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
		case <-now.changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(breath):
			}
		case <-tick.C:
			out = append(out, ":\n\n"...)
		}
		if now, err = picture.look(ctx); err != nil {
			w.Log.Error("web: cannot render a live page", "error", err)
			return
		}
	}
}

// tooManyStreams refuses a stream. A browser does not try again by itself then:
// the page's script asks for the page every few seconds instead.
func tooManyStreams(rw http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		rw.Header().Set("Connection", "close") // many streams are many connections
	}
	rw.Header().Set("Retry-After", "30")
	plain(rw, http.StatusServiceUnavailable, "there are too many live pages at the moment; ask for the page itself now and then\n")
}

// newPiece writes a part of a page in the form of server-sent events: every line
// of it behind "data:".
func newPiece(html []byte) piece {
	html = bytes.ReplaceAll(bytes.TrimSpace(html), []byte("\r"), nil)
	sum := sha256.Sum256(html)
	p := piece{id: hex.EncodeToString(sum[:6])}
	p.event = fmt.Appendf(nil, "id: %s\n", p.id)
	for line := range bytes.Lines(html) {
		p.event = append(p.event, "data: "...)
		p.event = append(p.event, bytes.TrimSuffix(line, []byte("\n"))...)
		p.event = append(p.event, '\n')
	}
	p.event = append(p.event, '\n')
	return p
}
