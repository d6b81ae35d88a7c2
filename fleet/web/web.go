package web

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"barista/fleet"
)

// Shop is what the web asks of the shop: the controller, or a remote of it.
type Shop interface {
	// Place takes an order as JSON from anyone; it answers within about 2 s.
	Place(ctx context.Context, body []byte, via string) fleet.Answer
	// Cancel ends an order before its fence.
	Cancel(ctx context.Context, order, by string) error
	// Said settles an order of which nobody knows what came of it by its customer's word.
	Said(ctx context.Context, order string, made bool) error
	// Wait is how long an order given now would take.
	Wait(ctx context.Context, c fleet.Class, s fleet.Size) fleet.Wait
	// Forecasts are the ways of the open orders from now on, by id; none where nobody answers.
	Forecasts(ctx context.Context) map[string]fleet.Forecast
	Menu() fleet.Menu
	// Standing is how the shop stands to its book.
	Standing(ctx context.Context) (fleet.Standing, error)
}

// Book is what the web reads of the book: a fleet.Book, or one whose records a
// ledger hands over.
type Book interface {
	// History lists the records of one order, oldest first.
	History(ctx context.Context, order string) ([]fleet.Entry, error)
	Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error
	Since(ctx context.Context, t time.Time) (uint64, error)
	LastBalance(ctx context.Context) (fleet.Record, error)
	At(ctx context.Context, seq uint64) (fleet.Record, error)
	Now(ctx context.Context) (time.Time, error)
}

// Parts is what the web is joined to. Those before Key are needed; the rest has
// defaults.
type Parts struct {
	Shop     Shop
	Book     Book
	Live     func(ctx context.Context, each func(fleet.Event)) error // what machines tell of their work
	Machines func(context.Context) ([]fleet.Machine, error)          // by name: who is here
	Levels   func(context.Context) (map[string]fleet.Level, error)   // the stock, by item
	Command  func(ctx context.Context, machine string, c fleet.Command) (fleet.CommandAnswer, error)

	// Health answers /livez and /readyz, and /metrics to whoever sits at this computer;
	// it may ask Unready. nil: the pages answer the first two themselves.
	Health http.Handler
	// Troubles is what is wrong in the shop; nil: nobody asks.
	Troubles func(context.Context) ([]fleet.Trouble, error)

	// Acts is what operators may do at the machines; nil: the pages only show.
	Acts Acts

	// Chaos is what a demo lets its visitors break; nil: nothing, and there is no page.
	Chaos Chaos

	// Key makes the secret addresses of orders, at least 32 random bytes that
	// outlive a restart. Empty: random, and addresses die with the process.
	Key []byte
	// Hosts are the names under which the pages may be asked for, without port:
	// "shop.local", beside localhost, 127.0.0.1, [::1] and the address at which a
	// request arrives. A page of another name that was made to point here (DNS
	// rebinding) is refused.
	Hosts []string
	// Address is where customers find the page, as their phones write it:
	// "https://shop.local:8080". Empty: the address under which a page is asked for.
	Address string
	// Broker is where other computers find the shop's broker: "shop.local:4222". Empty:
	// the pages don't know.
	Broker string
	// Proxies are whose word about the client's address and TLS counts.
	Proxies []netip.Prefix
	// TLS is how Serve speaks; nil: plain http. Nothing below TLS 1.3 is spoken.
	TLS *tls.Config
	// Logins is who may act for the shop. nil: nobody logs in, and whoever sits at this
	// computer acts.
	Logins Logins
	// Door is where machines and others become members; nil: the pages have none.
	Door Door
	// PIN is what a customer must know to order, asked once of each device; empty:
	// nobody is asked, and nobody at this computer ever.
	PIN string
	// OpenOrders is how many orders of one device may be under way; 0: the default.
	OpenOrders int
	// CustomersSettle: of a drink in doubt its customer's word counts.
	CustomersSettle bool
	Wall            func() time.Time // default time.Now; for display only
	Log             *slog.Logger     // nil: none
}

// Web serves the pages. New makes one.
type Web struct {
	Parts
	book    *book
	gallery gallery
	counter *counter
	outlook *outlook
	roll    roll
	last    lastDay
	health  healthy
	asks    *rates // requests
	orders  *rates
	kiosks  *rates // orders of the house's
	guesses *rates // at the PIN
	works   *seats
	streams *seats
	tally   *tally
	given   given
	pages   map[string]*pages // by language
	handler http.Handler
}

// New joins the parts. It starts nothing and asks nobody.
func New(p Parts) *Web {
	if len(p.Key) == 0 {
		p.Key = make([]byte, 32)
		rand.Read(p.Key)
	}
	p.Hosts = append([]string{"localhost", "127.0.0.1", "[::1]"}, p.Hosts...)
	if p.TLS != nil {
		p.TLS = p.TLS.Clone()
		p.TLS.MinVersion = tls.VersionTLS13
	}
	if p.OpenOrders == 0 {
		p.OpenOrders = DefaultOpenOrders
	}
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	w := &Web{
		Parts: p, book: newBook(p.Wall), gallery: gallery{pictures: map[string]*picture{}}, pages: parsePages(),
		asks: newRates(asking, askingAll), orders: newRates(ordering, orderAll), kiosks: newRates(kioskOrder, orderAll), guesses: newRates(guessing, guessAll),
		works: newSeats(worksEach, worksAll), streams: newSeats(streamsEach, streamsAll),
	}
	w.asks.kind = true
	w.health.fresh = healthAll.limiter()
	w.tally = &tally{most: p.OpenOrders, open: w.book.underway}
	w.counter = &counter{shop: p.Shop, levels: p.Levels}
	w.outlook = &outlook{shop: p.Shop}
	w.handler = w.routes()
	return w
}

// routes lists every address. Paths hold no text of a customer; what follows
// /orders/ is checked against its keyed hash before anything is done with it.
func (w *Web) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /{$}":                                 w.customersForm,
		"GET /wait":                                w.wait,
		"POST /order":                              w.submit,
		"GET /order":                               w.draft,
		"POST /language":                           w.language,
		"POST /order-coffee":                       w.article,
		"GET /orders/{secret}":                     w.orderPage,
		"GET /orders/{secret}/events":              w.orderEvents,
		"GET /orders/{secret}/second/{code}":       w.secondRefused,
		"GET /orders/{secret}/with/{other}":        w.pairPage,
		"GET /orders/{secret}/with/{other}/events": w.pairEvents,
		"POST /orders/{secret}/cup":                w.cup,
		"POST /orders/{secret}/cancel":             w.cancel,
		"GET /t/{token}":                           w.table,
		"GET /qr":                                  w.codePage,
		"GET /board":                               w.boardPage,
		"GET /board/events":                        w.boardEvents,
		"GET /fleet":                               w.operatorsOnly(w.fleetPage),
		"GET /fleet/events":                        w.operatorsOnly(w.fleetEvents),
		"GET /events":                              w.events,
		"GET /assets/{name}":                       serveAsset,
		"GET /livez":                               w.livez,
		"GET /readyz":                              w.readyz,
		"GET /metrics":                             w.metrics,
		"GET /kiosk":                               w.kiosk,
		"GET /manifest.webmanifest":                w.manifest,
		"GET /worker.js":                           w.worker,
		"GET /offline/{lang}/{who}":                w.offline,
		"GET /offline/{lang}/{who}/{sent}":         w.offline,
		"POST /orders/{secret}/stop":               w.enough,
		"POST /orders/{secret}/have":               w.have,
		"POST /orders/{secret}/empty":              w.empty,
	} {
		mux.HandleFunc(pattern, h)
	}
	for pattern, h := range w.operatorRoutes() {
		mux.HandleFunc(pattern, h)
	}
	for pattern, h := range w.stockRoutes() {
		mux.HandleFunc(pattern, h)
	}
	for pattern, h := range w.historyRoutes() {
		mux.HandleFunc(pattern, h)
	}
	if w.Chaos != nil {
		for pattern, h := range w.chaosRoutes() {
			mux.HandleFunc(pattern, h)
		}
	}
	if w.Acts != nil {
		for pattern, h := range w.careRoutes() {
			mux.HandleFunc(pattern, h)
		}
		for pattern, h := range w.actRoutes() {
			mux.HandleFunc(pattern, h)
		}
		for pattern, h := range w.hardwareRoutes() {
			mux.HandleFunc(pattern, h)
		}
	}
	return w.protect(w.inOurForm(mux))
}

// Handler is every page, with its protections. The limits of a connection (see
// Serve) are the server's affair.
func (w *Web) Handler() http.Handler { return w.handler }

// pruneEvery is how often ended orders are looked through.
const pruneEvery = 10 * time.Minute

// Run folds the book until ctx ends, and begins anew where it breaks off. It
// returns nil.
func (w *Web) Run(ctx context.Context) error {
	w.book.setRunning(true)
	defer w.book.setRunning(false)
	var wg sync.WaitGroup
	wg.Go(func() {
		w.keep(ctx, "the book", func() error {
			err := w.follow(ctx)
			w.book.lost()
			return err
		})
	})
	wg.Go(func() {
		w.keep(ctx, "live news", func() error { return w.Live(ctx, w.book.live) })
	})
	if w.Chaos != nil {
		wg.Go(func() { w.keep(ctx, "what was broken", func() error { return w.followChaos(ctx) }) })
	}
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case <-tick.C:
			w.book.prune()
		}
	}
}

// recent is how far back the book is read: what is kept of ended orders, and an
// hour for two clocks and the way of an order before its end.
const recent = keepEnded + time.Hour

// follow folds the book's last day and what comes after it, until it breaks off; in any
// case what stands since the last balance and the orders that were open then: where the
// clock was set forward, nothing is of the last day, and people wait for their coffee.
func (w *Web) follow(ctx context.Context) error {
	now, err := w.Book.Now(ctx)
	if err != nil {
		return err
	}
	from, err := w.Book.Since(ctx, now.Add(-recent))
	if err != nil {
		return err
	}
	b, err := w.Book.LastBalance(ctx)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		from, b.Balance = 1, &fleet.Balance{} // nothing was folded yet, so there is not much
	case errors.Is(err, fleet.ErrDamaged):
		b.Balance = &fleet.Balance{Upto: from} // none can be read, and that is the ledger's to say
	case err != nil:
		return err
	}
	from = min(from, b.Balance.Upto+1)
	w.book.begin()
	for _, one := range b.Balance.Open {
		if one.Seq >= from {
			break
		}
		r, err := w.Book.At(ctx, one.Seq)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		w.book.take(r)
	}
	return w.Book.Follow(ctx, from, w.book.take, w.book.caughtUp)
}

// keep calls follow again when it fails, after a pause that grows to 10 s.
func (w *Web) keep(ctx context.Context, what string, follow func() error) {
	const first, most = 500 * time.Millisecond, 10 * time.Second
	pause := first
	for {
		began := time.Now()
		err := follow()
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			pause = first
		}
		w.Log.Warn("web: following "+what+" broke off; trying again", "error", err, "in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, most)
	}
}

// livez says that the process answers.
func (w *Web) livez(rw http.ResponseWriter, r *http.Request) {
	if w.Health != nil {
		w.Health.ServeHTTP(rw, r)
		return
	}
	plain(rw, http.StatusOK, "ok\n")
}

// readyz says whether pages can tell the present state and the shop takes orders,
// and if not, why.
func (w *Web) readyz(rw http.ResponseWriter, r *http.Request) {
	if w.Health != nil {
		w.Health.ServeHTTP(rw, r)
		return
	}
	if why := w.Unready(r.Context()); why != "" {
		plain(rw, http.StatusServiceUnavailable, why+"\n")
		return
	}
	plain(rw, http.StatusOK, "ok\n")
}

// Unready is why pages can't tell the present state, or the shop takes no orders; empty
// where neither is so.
func (w *Web) Unready(ctx context.Context) string {
	return w.health.ask(func() (string, bool) { return w.unready(context.WithoutCancel(ctx)) })
}

// metrics are for whoever sits at this computer: how much is sold is not everybody's
// to know. A Prometheus elsewhere asks an address of its own.
func (w *Web) metrics(rw http.ResponseWriter, r *http.Request) {
	switch {
	case w.Health == nil:
		http.NotFound(rw, r)
	case !w.visitorOf(r).here:
		plain(rw, http.StatusForbidden, "metrics are told to this computer alone; give the service's file metrics: {listen: …} for a Prometheus elsewhere\n")
	default:
		w.Health.ServeHTTP(rw, r)
	}
}

// passesWithin is how long what passes by itself is not called unready: one server of
// several that goes away costs a new leader, which takes the others up to nine seconds,
// a connection to another one, and a look at the book. Orders are held meanwhile, or
// asked for again with their id.
const passesWithin = 15 * time.Second

// healthy is why the shop is not ready. It is looked up for each who asks, but
// where very many do the others hear what the last one heard.
type healthy struct {
	mu    sync.Mutex
	fresh *rate.Limiter
	why   string
	well  time.Time // when nothing was amiss
}

func (h *healthy) ask(why func() (string, bool)) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.fresh.Allow() {
		return h.why
	}
	now, passes := why()
	switch {
	case now == "":
		h.well = time.Now()
	case passes && !h.well.IsZero() && time.Since(h.well) < passesWithin:
		now = ""
	}
	h.why = now
	return now
}

// unready says why no order can be taken, or nothing; and whether that may pass by
// itself.
func (w *Web) unready(ctx context.Context) (why string, passes bool) {
	if w.Troubles != nil {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		troubles, err := w.Troubles(ctx)
		if err != nil {
			return "no controller answers", !errors.Is(err, fleet.ErrNobody)
		}
		for _, t := range troubles {
			if t.Closed && t.Detail != "" {
				return t.Code + ": " + t.Detail, false
			}
			if t.Closed {
				return t.Code, false
			}
		}
	}
	if why := w.book.notReady(); why != "" {
		return why, true
	}
	s := w.standing(ctx)
	if s.State == fleet.StandClosed || s.State == fleet.StandLooking {
		return s.Why, s.State == fleet.StandLooking
	}
	return "", false
}

// standing asks; a controller that does not answer says nothing of its book.
func (w *Web) standing(ctx context.Context) fleet.Standing {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s, err := w.Shop.Standing(ctx)
	if err != nil {
		return fleet.Standing{}
	}
	return s
}

func plain(rw http.ResponseWriter, status int, text string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	rw.Write([]byte(text))
}
