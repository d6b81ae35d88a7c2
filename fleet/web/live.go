package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// The times of a live page.
const (
	// heartbeat is how often a page without news is looked at again (its wait
	// shrinks; operators' pages more often) and told that we are still here.
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
	every   time.Duration // how often it is looked at again when there is no news
	viewers int           // guarded by the gallery

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
	if age := time.Since(p.drawn); age < breath || age < p.every/2 && !isClosed(p.piece.changed) {
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
	free, ok := w.mayStream(rw, r)
	if !ok {
		return
	}
	defer free()
	ctx := r.Context()
	sent := r.Header.Get("Last-Event-ID")
	picture, leave := w.watch(r, r.URL.Path, draw)
	defer leave()
	now, err := picture.look(ctx)
	if err != nil {
		w.broken(rw, w.pages[lang(r)], err)
		return
	}
	if now.last && sent == now.id {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	out := newTeller(rw)
	out.every = picture.every
	for {
		if now.id != sent {
			out.say(now.event...)
			sent = now.id
		}
		if now.last {
			out.say([]byte("event: end\ndata:\n\n")...)
		}
		if !out.flush() || now.last || !out.wait(ctx, now.changed) {
			return
		}
		if now, err = picture.look(ctx); err != nil {
			w.Log.Error("web: cannot render a live page", "error", err)
			return
		}
	}
}

// mayStream gives a stream its seat, or answers why there is none. free must be
// called when it ends.
func (w *Web) mayStream(rw http.ResponseWriter, r *http.Request) (free func(), ok bool) {
	if !w.book.whole() {
		rw.Header().Set("Retry-After", "2")
		plain(rw, http.StatusServiceUnavailable, "the book is still being read\n")
		return nil, false
	}
	if free, ok = w.streams.enter(w.visitorOf(r).net); !ok {
		tooManyStreams(rw, r)
	}
	return free, ok
}

// watch is the picture of a live part in the language of who asks, until leave.
func (w *Web) watch(r *http.Request, path string, draw func(context.Context) drawing) (p *picture, leave func()) {
	pages := w.pages[lang(r)]
	key := pages.Lang + " " + path
	every := heartbeat
	if strings.HasPrefix(path, operatorsPath) {
		every = rollAge // what becomes of a machine between two orders stands in no book
		if _, may := w.actor(r); may {
			key += " acts" // its piece has buttons
		}
	}
	return w.gallery.enter(key, func() *picture { return &picture{draw: draw, pages: pages, book: w.book, every: every} })
}

// teller writes events to one reader.
type teller struct {
	rw   http.ResponseWriter
	rc   *http.ResponseController
	out  []byte
	beat time.Time // when the reader must hear something again
	// every is how often what is told of must be looked at again.
	every time.Duration
}

func newTeller(rw http.ResponseWriter) *teller {
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	return &teller{rw: rw, rc: http.NewResponseController(rw), out: []byte("retry: 2000\n\n"), beat: time.Now().Add(heartbeat), every: heartbeat}
}

func (t *teller) say(b ...byte) { t.out = append(t.out, b...) }

// flush sends what was said, and a heartbeat when it is time for one; false when the reader is gone, or takes too long.
func (t *teller) flush() bool {
	if now := time.Now(); !now.Before(t.beat) {
		t.say([]byte(":\n\n")...)
		t.beat = now.Add(heartbeat)
	}
	if len(t.out) == 0 {
		return true
	}
	if t.rc.SetWriteDeadline(time.Now().Add(patience)) != nil {
		return false
	}
	if _, err := t.rw.Write(t.out); err != nil || t.rc.Flush() != nil {
		return false
	}
	t.out = t.out[:0]
	// HTTP/2 would end a stream whose time is over though nothing is written.
	return t.rc.SetWriteDeadline(time.Time{}) == nil
}

// wait waits for a change, and a breath more, or until it is time for a heartbeat or
// another look; false when the request ends.
func (t *teller) wait(ctx context.Context, changed <-chan struct{}) bool {
	late := time.NewTimer(min(time.Until(t.beat), t.every))
	defer late.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
		return rest(ctx, breath)
	case <-late.C:
		return true
	}
}

func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
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
