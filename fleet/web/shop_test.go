package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"barista/fleet"
)

// stream is fleet.Events in memory: stored once per slot, followed from any
// sequence.
type stream struct {
	mu     sync.Mutex
	stored []fleet.StoredEvent
	slots  map[string]bool
	lives  map[chan fleet.StoredEvent]bool
	news   chan struct{}
	broken bool // Follow and Of fail
}

func newStream() *stream {
	return &stream{slots: map[string]bool{}, lives: map[chan fleet.StoredEvent]bool{}, news: make(chan struct{})}
}

func (s *stream) Publish(_ context.Context, e fleet.Event) error {
	s.put(e, time.Now())
	return nil
}

func (s *stream) put(e fleet.Event, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := e.Order + "." + e.Slot()
	if s.slots[slot] {
		return
	}
	s.slots[slot] = true
	se := fleet.StoredEvent{Event: e, Seq: uint64(len(s.stored) + 1), Stored: at}
	s.stored = append(s.stored, se)
	s.send(se)
	close(s.news)
	s.news = make(chan struct{})
}

func (s *stream) send(e fleet.StoredEvent) {
	for c := range s.lives {
		select {
		case c <- e:
		default:
		}
	}
}

func (s *stream) Live(e fleet.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(fleet.StoredEvent{Event: e, Stored: time.Now()})
}

func (s *stream) Of(_ context.Context, order string) ([]fleet.StoredEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil, fleet.ErrNoAnswer
	}
	var out []fleet.StoredEvent
	for _, e := range s.stored {
		if e.Order == order {
			out = append(out, e)
		}
	}
	return out, nil
}

func (s *stream) Follow(ctx context.Context, from uint64, each func(fleet.StoredEvent), ready func()) error {
	at := int(max(from, 1)) - 1
	said := false
	for {
		s.mu.Lock()
		next, news, broken := slices.Clone(s.stored[min(at, len(s.stored)):]), s.news, s.broken
		s.mu.Unlock()
		if broken {
			return errors.New("the stream is broken")
		}
		for _, e := range next {
			each(e)
		}
		at += len(next)
		if !said {
			said = true
			ready()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

func (s *stream) FollowLive(ctx context.Context, each func(fleet.StoredEvent)) error {
	c := make(chan fleet.StoredEvent, 64)
	s.mu.Lock()
	s.lives[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.lives, c)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-c:
			each(e)
		}
	}
}

func (s *stream) setBroken(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = on
	close(s.news)
	s.news = make(chan struct{})
}

// shop is a Shop in memory with the controller's manners: the same id and order
// give the same answer, another order under the id is a conflict.
type shop struct {
	mu      sync.Mutex
	events  *stream
	menu    fleet.Menu
	waits   map[choice]fleet.Wait
	answers map[string]fleet.Answer
	hashes  map[string]string
	placed  []fleet.Order
	refuse  *fleet.Answer // what every new order is told instead
	cancels error
	asked   int
}

func (s *shop) Place(_ context.Context, body []byte, _ string) fleet.Answer {
	o, err := fleet.DecodeOrder(body, nil)
	if err != nil {
		return fleet.Invalid(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.ID == "" {
		o.ID = ulid.Make().String()
	}
	if h, there := s.hashes[o.ID]; there {
		if h != o.Hash() {
			return fleet.Sorry(o.ID, fleet.CodeConflict, "the id was used for another order")
		}
		return s.answers[o.ID]
	}
	if s.refuse != nil {
		a := *s.refuse
		a.OrderID = o.ID
		if a.Code != fleet.CodeUnavailable && a.Code != fleet.CodeInvalid {
			s.hashes[o.ID], s.answers[o.ID] = o.Hash(), a
		}
		return a
	}
	a := fleet.Success(o.ID)
	a.Position, a.ETA = 1, []int{60, 120}
	s.hashes[o.ID], s.answers[o.ID] = o.Hash(), a
	s.placed = append(s.placed, o)
	s.events.put(fleet.Event{Order: o.ID, Kind: fleet.EvAccepted, Name: o.Name, What: &o, ETA: a.ETA}, time.Now())
	return a
}

func (s *shop) Cancel(_ context.Context, order, by string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancels != nil {
		return s.cancels
	}
	s.events.put(fleet.Event{Order: order, Kind: fleet.EvCancelled, By: by}, time.Now())
	return nil
}

func (s *shop) Wait(_ context.Context, c fleet.Class, size fleet.Size) fleet.Wait {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	w, ok := s.waits[choice{size, c.Bean, c.Milk}]
	if !ok {
		return fleet.Wait{Low: time.Minute, High: 2 * time.Minute, Known: true}
	}
	return w
}

func (s *shop) Menu() fleet.Menu {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.menu
}

// set changes the shop between requests.
func (s *shop) set(f func(*shop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *shop) orders() []fleet.Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.placed)
}

// shelf is a fleet.Stock that holds what it is given.
type shelf struct {
	mu     sync.Mutex
	levels map[string]fleet.Level
	err    error
}

func (s *shelf) Reserve(context.Context, string, int, fleet.Items) error { return nil }
func (s *shelf) Book(context.Context, fleet.Booking) error               { return nil }
func (s *shelf) Levels(context.Context) (map[string]fleet.Level, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.levels, s.err
}

func full() map[string]fleet.Level {
	out := map[string]fleet.Level{}
	for _, item := range fleet.DefaultMenu().Items() {
		out[item] = fleet.Level{OnHand: 1000}
	}
	return out
}

// crew is who is here, by name.
type crew struct {
	mu      sync.Mutex
	present []fleet.Presence
	err     error
}

func (c *crew) machines(context.Context) ([]fleet.Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []fleet.Machine{{Presence: fleet.Presence{Machine: "abe"}, Seen: time.Now()}} // was here lately
	for _, p := range c.present {
		list = append(list, fleet.Machine{Presence: p, Here: true})
	}
	return list, c.err
}

// desk answers commands and keeps what it was asked, by machine.
type desk struct {
	mu    sync.Mutex
	asked map[string][]fleet.Command
	reply fleet.CommandAnswer
	err   error
	then  func(fleet.Command) // what the machine does about it
}

func (d *desk) command(_ context.Context, machine string, c fleet.Command) (fleet.CommandAnswer, error) {
	d.mu.Lock()
	if d.asked == nil {
		d.asked = map[string][]fleet.Command{}
	}
	d.asked[machine] = append(d.asked[machine], c)
	reply, err, then := d.reply, d.err, d.then
	d.mu.Unlock()
	if err == nil && then != nil {
		then(c)
	}
	return reply, err
}

// house is a web with everything around it, in memory.
type house struct {
	t      testing.TB
	web    *Web
	shop   *shop
	events *stream
	stock  *shelf
	crew   *crew
	desk   *desk
	log    *bytes.Buffer
}

// build makes a house whose web is not running yet.
func build(t testing.TB) *house {
	h := &house{t: t, events: newStream(), stock: &shelf{levels: full()}, crew: &crew{},
		desk: &desk{reply: fleet.CommandAnswer{OK: true}}, log: &bytes.Buffer{}}
	h.shop = &shop{events: h.events, menu: fleet.DefaultMenu(), waits: map[choice]fleet.Wait{},
		answers: map[string]fleet.Answer{}, hashes: map[string]string{}}
	h.web = New(Parts{Shop: h.shop, Events: h.events, Machines: h.crew.machines, Stock: h.stock, Command: h.desk.command,
		Key: []byte("0123456789abcdef0123456789abcdef"), Log: slog.New(slog.NewTextHandler(&guarded{w: h.log}, nil))})
	return h
}

// guarded lets a test's log be written from everywhere.
type guarded struct {
	mu sync.Mutex
	w  io.Writer
}

func (g *guarded) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(b)
}

// run runs the web until the test ends and waits until it has read the history.
func (h *house) run() *house {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.web.Run(ctx)
	}()
	h.t.Cleanup(func() {
		cancel()
		<-done
	})
	h.until(func() bool { return h.web.book.notReady() == "" })
	return h
}

func open(t testing.TB) *house { return build(t).run() }

// until waits for something that the fold will bring.
func (h *house) until(ok func() bool) {
	h.t.Helper()
	late := time.After(20 * time.Second)
	for {
		news := h.web.book.changed()
		if ok() {
			return
		}
		select {
		case <-news:
		case <-time.After(20 * time.Millisecond):
		case <-late:
			h.t.Fatal("it never came")
		}
	}
}

// event stores an event and waits until the pages know it.
func (h *house) event(e fleet.Event) {
	h.t.Helper()
	h.events.put(e, time.Now())
	h.events.mu.Lock()
	seq := uint64(len(h.events.stored))
	h.events.mu.Unlock()
	h.until(func() bool { return h.web.book.next() > seq })
}

// ask sends a request straight to the handler, from loopback.
func (h *house) ask(method, target, body string, change ...func(*http.Request)) *http.Response {
	h.t.Helper()
	r := httptest.NewRequest(method, "http://localhost:8080"+target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, f := range change {
		f(r)
	}
	rec := httptest.NewRecorder()
	h.web.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func text(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func status(t testing.TB, res *http.Response, want int) {
	t.Helper()
	if res.StatusCode != want {
		t.Fatalf("status %d, want %d: %s", res.StatusCode, want, text(t, res))
	}
}

// contains fails unless the page has every piece.
func contains(t testing.TB, page string, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if !strings.Contains(page, p) {
			t.Errorf("%q is missing in:\n%s", p, page)
		}
	}
}

func lacks(t testing.TB, page string, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if strings.Contains(page, p) {
			t.Errorf("%q must not be in:\n%s", p, page)
		}
	}
}

var hiddenID = regexp.MustCompile(`name="id" value="([^"]*)"`)

// blank opens the form and returns its fields as they come.
func (h *house) blank() url.Values {
	h.t.Helper()
	page := text(h.t, h.ask("GET", "/", ""))
	m := hiddenID.FindStringSubmatch(page)
	if m == nil {
		h.t.Fatalf("no id in the form:\n%s", page)
	}
	return url.Values{"id": {m[1]}, "name": {"Ada"}, "size": {"medium"}, "bean_type": {"arabica"}, "milk": {"free"}, "sugar_count": {"1"}}
}

// order orders by the form and returns the order's id and page.
func (h *house) order(name string) (id, page string) {
	h.t.Helper()
	f := h.blank()
	f.Set("name", name)
	res := h.ask("POST", "/order", f.Encode())
	status(h.t, res, http.StatusSeeOther)
	page, _, _ = strings.Cut(res.Header.Get("Location"), "#")
	id = f.Get("id")
	h.until(func() bool { _, there := h.web.book.look(id); return there })
	return id, page
}

// reader reads server-sent events.
type reader struct {
	t    testing.TB
	scan *bufio.Scanner
}

// sse is one event: its type, its id and its data.
type sse struct{ kind, id, data string }

func newReader(t testing.TB, r io.Reader) *reader {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	return &reader{t, s}
}

// next returns the next event; comments are skipped, ok is false at the end.
func (r *reader) next() (e sse, ok bool) {
	var data []string
	for r.scan.Scan() {
		line := r.scan.Text()
		switch field, value, _ := strings.Cut(line, ":"); {
		case line == "":
			if data != nil || e.kind != "" {
				e.data = strings.Join(data, "\n")
				return e, true
			}
		case field == "data":
			data = append(data, strings.TrimPrefix(value, " "))
		case field == "id":
			e.id = strings.TrimPrefix(value, " ")
		case field == "event":
			e.kind = strings.TrimPrefix(value, " ")
		}
	}
	return e, false
}

// until reads on until an event's data has the piece.
func (r *reader) until(piece string) sse {
	r.t.Helper()
	for {
		e, ok := r.next()
		if !ok {
			r.t.Fatalf("the events ended before %q: %v", piece, r.scan.Err())
		}
		if strings.Contains(e.data, piece) {
			return e
		}
	}
}

// pipes is a listener without a network, for tests under fake time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// dial connects to the listener.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}
