package web

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
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

// records is a book in memory, and what machines tell live.
type records struct {
	mu     sync.Mutex
	list   []fleet.Record
	lives  map[chan fleet.Event]bool
	news   chan struct{}
	broken bool // Follow and History fail
}

func newRecords() *records {
	return &records{lives: map[chan fleet.Event]bool{}, news: make(chan struct{})}
}

// put writes the next record of a claim.
func (r *records) put(c fleet.Claim, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq := uint64(len(r.list) + 1)
	e := fleet.Entry{Claim: c, Revision: fleet.Revision{Seq: seq, Rec: ulid.Make().String()}, Written: at}
	r.list = append(r.list, fleet.Record{Entry: e, IsClaim: true, Act: c.Phase == fleet.Accepted})
	r.tell()
}

// last is an order's claim.
func (r *records) last(order string) fleet.Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range slices.Backward(r.list) {
		if one.Order.ID == order {
			return one.Claim
		}
	}
	return fleet.Claim{}
}

// tell wakes who follows. The caller holds mu.
func (r *records) tell() {
	close(r.news)
	r.news = make(chan struct{})
}

func (r *records) live(e fleet.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.lives {
		select {
		case c <- e:
		default:
		}
	}
}

func (r *records) History(_ context.Context, order string) ([]fleet.Entry, error) {
	if id, err := fleet.ParseID(order); err != nil || id != order {
		panic("not an order's id: " + order) // as the real one does, which makes a subject of it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return nil, fleet.ErrNoAnswer
	}
	var out []fleet.Entry
	for _, one := range r.list {
		if one.Order.ID == order {
			out = append(out, one.Entry)
		}
	}
	return out, nil
}

func (r *records) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	at := int(max(from, 1)) - 1
	said := false
	for {
		r.mu.Lock()
		next, news, broken := slices.Clone(r.list[min(at, len(r.list)):]), r.news, r.broken
		r.mu.Unlock()
		if broken {
			return errors.New("the book is broken")
		}
		for _, one := range next {
			each(one)
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

func (r *records) LastBalance(context.Context) (fleet.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range slices.Backward(r.list) {
		if one.Balance != nil {
			return one, nil
		}
	}
	return fleet.Record{}, fleet.ErrNotFound
}

func (r *records) At(_ context.Context, seq uint64) (fleet.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq == 0 || seq > uint64(len(r.list)) {
		return fleet.Record{}, fleet.ErrNotFound
	}
	return r.list[seq-1], nil
}

func (r *records) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (r *records) Since(_ context.Context, t time.Time) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.list, func(one fleet.Record) bool { return !one.Written.Before(t) })
	if i < 0 {
		i = len(r.list)
	}
	return uint64(i + 1), nil
}

func (r *records) followLive(ctx context.Context, each func(fleet.Event)) error {
	c := make(chan fleet.Event, 64)
	r.mu.Lock()
	r.lives[c] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.lives, c)
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

func (r *records) setBroken(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = on
	r.tell()
}

// arrow takes a claim further, as a desk or a controller does.
type arrow func(fleet.Claim) (fleet.Claim, error)

func owner(machine string) fleet.Owner {
	return fleet.Owner{Machine: machine, Journal: "j-" + machine, Boot: "b"}
}

// cup: the machine waits for a cup.
func cup(machine string) arrow {
	return func(c fleet.Claim) (fleet.Claim, error) { return c.Take(owner(machine)) }
}

func brewing(machine string) arrow {
	return func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(owner(machine)) }
}

func released(c fleet.Claim) (fleet.Claim, error) {
	return c.Release(fleet.Reason{Code: "tank"}, nil)
}

// came says what the machine's journal says.
func came(machine string, out fleet.Outcome, r fleet.Reason) arrow {
	return func(c fleet.Claim) (fleet.Claim, error) { return c.End(owner(machine), out, r, 0, nil) }
}

func served(machine string) arrow { return came(machine, fleet.Made, fleet.Reason{}) }

// failed: the machine's last try came to nothing.
func failed(machine string, out fleet.Outcome, r fleet.Reason) arrow {
	return func(c fleet.Claim) (fleet.Claim, error) {
		c.Attempts = fleet.MaxAttempts
		return c.End(owner(machine), out, r, 0, nil)
	}
}

func parked(c fleet.Claim) (fleet.Claim, error) {
	return c.Park("max", fleet.Reason{Code: fleet.CodeNotHeard})
}

func again(c fleet.Claim) (fleet.Claim, error) { return c.MakeAgain("boss") }

func remade(c fleet.Claim) (fleet.Claim, error) { return c.Remake() }

func stopped(end fleet.Phase) arrow {
	return func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(end, "customer", fleet.Reason{}) }
}

// shop is a Shop in memory with the controller's manners: the same id and order
// give the same answer, another order under the id is a conflict.
type shop struct {
	standing fleet.Standing
	mu       sync.Mutex
	records  *records
	menu     fleet.Menu
	waits    map[choice]fleet.Wait
	ways     map[string]fleet.Forecast
	answers  map[string]fleet.Answer
	hashes   map[string]string
	placed   []fleet.Order
	refuse   *fleet.Answer // what every new order is told instead
	after    int           // but for so many
	cancels  error
	says     error
	asked    int
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
	if s.refuse != nil && len(s.placed) >= s.after {
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
	s.records.put(fleet.Create(o, nil, a, "web"), time.Now())
	return a
}

func (s *shop) Cancel(_ context.Context, order, by string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancels != nil {
		return s.cancels
	}
	c, err := s.records.last(order).Stop(fleet.Cancelled, by, fleet.Reason{})
	if err == nil {
		s.records.put(c, time.Now())
	}
	return err
}

func (s *shop) Said(_ context.Context, order string, made bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.says != nil {
		return s.says
	}
	c, err := s.records.last(order).Settle(made, "customer", fleet.Reason{Code: fleet.CodeSaid})
	if err == nil {
		s.records.put(c, time.Now())
	}
	return err
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

func (s *shop) Forecasts(context.Context) map[string]fleet.Forecast {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.ways)
}

func (s *shop) Standing(context.Context) (fleet.Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.standing, nil
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

// shelf is a stock that holds what it is given.
type shelf struct {
	mu     sync.Mutex
	levels map[string]fleet.Level
	err    error
}

func (s *shelf) read(context.Context) (map[string]fleet.Level, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.levels, s.err
}

func (s *shelf) set(levels map[string]fleet.Level, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.levels, s.err = levels, err
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
	cordons map[string]*fleet.Cordon
	err     error
}

func (c *crew) machines(context.Context) ([]fleet.Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []fleet.Machine{{Presence: fleet.Presence{Machine: "abe"}, Seen: time.Now()}} // was here lately
	for _, p := range c.present {
		list = append(list, fleet.Machine{Presence: p, Here: true, Cordon: c.cordons[p.Machine]})
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
	t       testing.TB
	web     *Web
	shop    *shop
	records *records
	stock   *shelf
	crew    *crew
	desk    *desk
	log     *bytes.Buffer
}

// build makes a house whose web is not running yet.
func build(t testing.TB) *house {
	h := &house{t: t, records: newRecords(), stock: &shelf{levels: full()}, crew: &crew{},
		desk: &desk{reply: fleet.CommandAnswer{OK: true}}, log: &bytes.Buffer{}}
	h.shop = &shop{records: h.records, menu: fleet.DefaultMenu(), waits: map[choice]fleet.Wait{},
		answers: map[string]fleet.Answer{}, hashes: map[string]string{}}
	h.web = New(Parts{Shop: h.shop, Book: h.records, Live: h.records.followLive,
		Machines: h.crew.machines, Levels: h.stock.read, Command: h.desk.command, Key: []byte("0123456789abcdef0123456789abcdef"), Log: slog.New(slog.NewTextHandler(&guarded{w: h.log}, nil))})
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

// step writes the next record of an order, and waits for nobody.
func (h *house) step(id string, f arrow) fleet.Claim {
	h.t.Helper()
	c, err := f(h.records.last(id))
	if err != nil {
		h.t.Errorf("%s: %v", c.Phase, err)
		return c
	}
	h.records.put(c, time.Now())
	return c
}

// write takes an order's claim further, one record for each arrow, and waits until
// the pages know it.
func (h *house) write(id string, arrows ...arrow) {
	h.t.Helper()
	for _, f := range arrows {
		c := h.step(id, f)
		h.until(func() bool {
			s, _ := h.web.book.look(id)
			return s.Phase == c.Phase && s.Epoch == c.Epoch
		})
	}
}

// live tells what a machine says of an order until the pages know it: what nobody
// hears is lost.
func (h *house) live(events ...fleet.Event) {
	h.t.Helper()
	for _, e := range events {
		e.Epoch = max(e.Epoch, 1)
		h.until(func() bool {
			s, _ := h.web.book.look(e.Order)
			heard := s.N >= e.N && s.Percent >= e.Percent
			if !heard {
				h.records.live(e)
			}
			return heard
		})
	}
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

// untypeset is a text as keyboards write it, without the spaces and apostrophes of print.
var untypeset = strings.NewReplacer("\u00a0", " ", "’", "'", "&#39;", "'", " …", "…")

// contains fails unless the page has every piece, however its marks are set.
func contains(t testing.TB, page string, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if !strings.Contains(untypeset.Replace(page), untypeset.Replace(p)) {
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

// line returns the next line as it is.
func (r *reader) line() (string, error) {
	if !r.scan.Scan() {
		return "", cmp.Or(r.scan.Err(), io.EOF)
	}
	return r.scan.Text(), nil
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
func (p *pipes) dial() net.Conn { return p.dialFrom("") }

// dialFrom connects from an address, "192.0.2.1:5".
func (p *pipes) dialFrom(address string) net.Conn {
	ours, theirs := net.Pipe()
	if address != "" {
		theirs = from{theirs, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
	}
	p.conns <- theirs
	return ours
}

// from is a connection from an address.
type from struct {
	net.Conn
	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }
