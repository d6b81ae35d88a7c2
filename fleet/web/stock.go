package web

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"barista/fleet"
)

// stockPath is the page of the stock.
const stockPath = "/stock"

// stockBody is the operators' page of the stock.
type stockBody struct {
	May    bool // who looks may book
	Silent bool // the stock does not answer
	Items  []item
}

// item is one line of it.
type item struct {
	ID       string // as the book has it
	Name     string
	Here     string // on hand, with its unit
	Reserved string // of that promised to orders; empty: nothing
	Missing  string // of what is promised; empty: there is enough for them
	Ends     string // when it is used up as drinks go now; empty: nobody can say, or not today
	Large    int    // for so many of the largest drink it is enough
	Unit     string // "kg", "l" or doses, in the page's language
	Key      string // of the next booking: sent twice it counts once
	Open     bool   // its refill is what somebody came for
	Suggest  []suggestion
}

// soonEnds is how far ahead the end of an item is told.
const soonEnds = 24 * time.Hour

// lookBack is over how long drinks are counted to say when an item ends: a day's mean would
// count the night. fewest is how many must have taken of it to say anything, and atLeast
// over how long they are spread where the first came less long ago: a queue is no day.
const (
	lookBack = 3 * time.Hour
	atLeast  = time.Hour
	fewest   = 10
)

// stockPage shows the stock. Who comes by an item's code finds that item first and its
// refill open; one that may not book is asked to log in.
func (w *Web) stockPage(rw http.ResponseWriter, r *http.Request) {
	if _, may := w.actor(r); !may && w.Logins != nil && fleet.IsToken(r.URL.Query().Get("item")) {
		w.toLogin(rw, r)
		return
	}
	p := w.pages[lang(r)]
	done, ok := p.known("done", r.URL.Query().Get("done"))
	if ok && r.URL.Query().Get("done") == "counted" {
		if d, err := strconv.Atoi(r.URL.Query().Get("by")); err == nil && d != 0 && d >= -fleet.MaxAmount && d <= fleet.MaxAmount {
			done += " " + p.say("stock.differs", fmt.Sprintf("%+d", d))
		}
	}
	w.showStock(rw, r, http.StatusOK, done, remark{})
}

func (w *Web) showStock(rw http.ResponseWriter, r *http.Request, status int, done string, trouble remark) {
	p := w.pages[lang(r)]
	_, may := w.actor(r)
	b := w.stockBody(r.Context(), p, may)
	again := 30
	if b.open(r.URL.Query().Get("item")) {
		again = 0 // it would take away what is being typed
	}
	w.show(rw, r, status, view{Page: "stock", Self: stockPath, Title: p.say("stock.title"), Refresh: again,
		Done: done, Note: trouble.Text, Quote: trouble.Quote, Body: b})
}

// open puts an item first and opens its refill, if there is one of that name that may be
// booked.
func (b *stockBody) open(id string) bool {
	at := slices.IndexFunc(b.Items, func(i item) bool { return i.ID == id })
	if at < 0 || !b.May {
		return false
	}
	one := b.Items[at]
	one.Open = true
	b.Items = slices.Insert(slices.Delete(b.Items, at, at+1), 0, one)
	return true
}

func (w *Web) stockBody(ctx context.Context, p *pages, may bool) stockBody {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	levels, err := w.Levels(ctx)
	b := stockBody{May: may && w.Acts != nil, Silent: err != nil}
	menu := w.Shop.Menu()
	most, lately := largest(menu), w.book.used(menu)
	for _, id := range stockItems(menu, levels) {
		l, unit := levels[id], fleet.Unit(id)
		one := item{ID: id, Name: p.item(menu, id), Here: p.amount(l.OnHand, unit), Large: max(l.Available(), 0) / max(most[id], 1), Unit: p.say("unit." + unit), Key: ulid.Make().String(), Suggest: p.suggest(unit)}
		if l.Reserved > 0 {
			one.Reserved = p.amount(l.Reserved, unit)
			if missing := -l.Available(); missing > 0 {
				one.Missing = p.amount(missing, unit)
			}
		}
		if used := lately[id]; used > 0 && l.Available() > 0 {
			ends := time.Duration(float64(l.Available()) / used * float64(time.Hour))
			if ends < soonEnds {
				one.Ends = w.Wall().Add(ends).Format("15:04")
			}
		}
		b.Items = append(b.Items, one)
	}
	return b
}

// stockItems are those of the menu, and what else the stock has.
func stockItems(m fleet.Menu, levels map[string]fleet.Level) []string {
	out := m.Items()
	for _, id := range slices.Sorted(maps.Keys(levels)) {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// largest is the most that one drink takes of each item.
func largest(m fleet.Menu) map[string]int {
	out := map[string]int{}
	for _, c := range m.Classes() {
		for size := range m.Sizes {
			portion, _ := m.Portion(fleet.Order{Size: size, Bean: c.Bean, Milk: c.Milk, Sugar: fleet.MaxSugar})
			for id, n := range portion {
				out[id] = max(out[id], n)
			}
		}
	}
	return out
}

// used is how much of each item the drinks took in an hour that were served within
// lookBack, by the menu; an item that too few took of is none of it.
func (b *book) used(m fleet.Menu) map[string]float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	type use struct {
		amount, drinks int
		first          time.Time
	}
	uses, now := map[string]use{}, b.wall()
	for _, o := range slices.Backward(b.now.ended) {
		if now.Sub(o.Ended) > lookBack {
			break
		}
		if o.Phase != fleet.Served {
			continue
		}
		portion, _ := m.Portion(o.What)
		for id, n := range portion {
			if n > 0 {
				u := uses[id]
				uses[id] = use{u.amount + n, u.drinks + 1, o.Ended}
			}
		}
	}
	out := map[string]float64{}
	for id, u := range uses {
		if u.drinks >= fewest {
			out[id] = float64(u.amount) / max(now.Sub(u.first), atLeast).Hours()
		}
	}
	return out
}

// item is what people call it.
func (p *pages) item(m fleet.Menu, id string) string {
	if id == fleet.ItemSugar {
		return p.say("stock.sugar")
	}
	for _, milk := range m.Milks {
		if fleet.MilkItem(milk) == id {
			return p.name("milk", milk)
		}
	}
	return p.name("bean", id)
}

// amount is one in the unit in which people think of it.
func (p *pages) amount(n int, unit string) string {
	switch {
	case unit == "doses" && n == 1:
		return "1 " + p.say("unit.dose")
	case unit == "doses":
		return strconv.Itoa(n) + " " + p.say("unit.doses")
	case n > 0 && n < 1000: // grams and millilitres are the same in both languages
		return strconv.Itoa(n) + " " + unit
	}
	big := p.say("unit." + unit)
	text := strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(float64(n)/1000, 'f', 3, 64), "0"), ".")
	if p.Lang == "fr" {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text + " " + big
}

// typedAmount reads an amount of an item as people type it: a number with a point or a
// comma, in kilograms, litres or doses, or with another unit behind it. It is 0 to
// fleet.MaxAmount in the item's own unit.
func typedAmount(text, unit string) (n int, ok bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != ',' })
	if end < 0 {
		end = len(text)
	}
	number, behind := text[:end], strings.TrimSpace(text[end:])
	times, known := map[string]map[string]float64{
		"g":     {"": 1000, "kg": 1000, "g": 1},
		"ml":    {"": 1000, "l": 1000, "cl": 10, "ml": 1},
		"doses": {"": 1, "doses": 1},
	}[unit][behind]
	v, err := strconv.ParseFloat(strings.Replace(number, ",", ".", 1), 64)
	if !known || err != nil || v*times > fleet.MaxAmount {
		return 0, false
	}
	return int(math.Round(v * times)), true
}

// stockRoutes are the addresses of the stock's page.
func (w *Web) stockRoutes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{"GET " + stockPath: w.operatorsOnly(w.stockPage), "GET " + labelsPath: w.operatorsOnly(w.labelsPage)}
	if w.Acts != nil {
		routes["POST /stock/add"] = w.stockAct(booking{what: "added", least: 1, do: func(ctx context.Context, e entry) (fleet.Level, error) {
			return w.Acts.Add(ctx, e.item, e.n, e.by, e.key)
		}})
		routes["POST /stock/count"] = w.stockAct(booking{what: "counted", do: func(ctx context.Context, e entry) (fleet.Level, error) {
			return w.Acts.Count(ctx, e.item, e.n, e.by, e.key)
		}})
		routes["POST /stock/waste"] = w.stockAct(booking{what: "wasted", least: 1, why: true, do: func(ctx context.Context, e entry) (fleet.Level, error) {
			return w.Acts.Waste(ctx, e.item, e.n, e.by, e.reason, e.key)
		}})
	}
	return routes
}

// entry is what an operator writes into the stock's book.
type entry struct {
	item            string
	n               int
	by, reason, key string
}

// booking is one of the forms of the stock's page.
type booking struct {
	what  string // was done
	least int
	why   bool // it must be said
	do    func(context.Context, entry) (fleet.Level, error)
}

// readEntry reads a form; the key of what is wrong with it is empty if nothing is.
func (k booking) readEntry(f url.Values, items []string) (e entry, wrong string) {
	e = entry{item: f.Get("item"), reason: fleet.Plain(f.Get("reason"))}
	key, notKey := ulid.ParseStrict(f.Get("key"))
	e.key = "page-" + strings.ToLower(key.String())
	n, reads := typedAmount(f.Get("amount"), fleet.Unit(e.item))
	e.n = n
	switch {
	case !slices.Contains(items, e.item) || notKey != nil:
		wrong = "ops.gone"
	case !reads || n < k.least:
		wrong = "stock.amount"
	case k.why && e.reason == "":
		wrong = "acts.reason"
	}
	return e, wrong
}

// stockAct books what somebody put in, counted or threw away, once for each time that the
// page was shown.
func (w *Web) stockAct(k booking) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		by, f, ok := w.acting(rw, r)
		if !ok {
			return
		}
		p := w.pages[lang(r)]
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTime)
		defer cancel()
		before, err := w.Levels(ctx)
		e, wrong := k.readEntry(f, stockItems(w.Shop.Menu(), before))
		if err != nil {
			wrong = "stock.silent"
		}
		if wrong != "" {
			w.showStock(rw, r, http.StatusBadRequest, "", remark{Text: p.say(wrong)})
			return
		}
		e.by = by
		had := before[e.item].OnHand
		level, err := k.do(ctx, e)
		log := w.Log.With("act", k.what, "by", by, "item", e.item, "amount", e.n, "reason", e.reason)
		if err != nil {
			log.Warn("what an operator asked for was not done", "error", err)
			status, why := w.notDone(r, err)
			if k.why && errors.Is(err, fleet.ErrNotAllowed) {
				why = remark{Text: p.say("stock.toomuch", p.amount(had, fleet.Unit(e.item)))}
			}
			w.showStock(rw, r, status, "", why)
			return
		}
		log.Info("an operator has acted", "on_hand", level.OnHand)
		w.counter.forget()
		q := url.Values{"done": {k.what}, "by": {strconv.Itoa(level.OnHand - had)}}
		http.Redirect(rw, r, stockPath+"?"+q.Encode(), http.StatusSeeOther)
	}
}
