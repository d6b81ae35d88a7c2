package web

import (
	"cmp"
	"encoding/csv"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

// The page of what was made, and the same as a file for a spreadsheet.
const (
	historyPath = "/history"
	historyFile = "/history.csv"
)

// historyHours is how far back it goes: so many hours of the clock, the last of them
// under way. Nothing that it counts is older than what the book's fold keeps.
const historyHours = int(keepEnded / time.Hour)

// ends are how an order comes to rest, as the page lists them. Refused is the answer to
// one that was never accepted, unknown what nobody could say yet.
var ends = []string{string(fleet.Served), string(fleet.Failed), string(fleet.Unknown), string(fleet.Cancelled), string(fleet.Expired), endRefused}

const endRefused = string(fleet.EvRefused)

// kind is how much of an end the bars tell apart.
type kind int

// The kinds: a cup, no cup though a machine began, and no cup because none began.
const (
	kindServed kind = iota
	kindLost
	kindNone
	kinds
)

func kindOf(end string) kind {
	switch end {
	case string(fleet.Served):
		return kindServed
	case string(fleet.Failed), string(fleet.Unknown):
		return kindLost
	}
	return kindNone
}

// past is an order that came to rest. It has no customer.
type past struct {
	At       time.Time // when it did
	Accepted time.Time // zero: refused, or before what was read
	ID       string
	Machine  string
	Bean     string
	Size     fleet.Size
	End      string
	Reason   string // a code
	ETA      []int
	Missed   *float64 // see order
}

// mostRefused bounds the refusals that are kept.
const mostRefused = 1024

// refusals are those of the last day that the web has heard of. The book keeps only the
// last minute of them in a rolling record, which counts all there ever were: so it shows
// whether some went unheard.
type refusals struct {
	list    map[string]past // by order
	written uint64          // how many there were, up to the record heard last
	from    time.Time       // from when on none is missing; zero: ever since
}

// hear folds the rolling record in.
func (f *refusals) hear(r fleet.Refusals) {
	if f.list == nil {
		f.list = map[string]past{}
	}
	news := uint64(0)
	for _, one := range r.List {
		if f.list[one.Order].At.Equal(one.At) || one.At.Before(f.from) {
			continue
		}
		news++
		added := past{At: one.At, ID: one.Order, End: endRefused, Reason: one.Answer.Code}
		if what := r.What; what != nil && what.ID == one.Order { // of the others the book no longer says it
			added.Bean, added.Size = what.Bean, what.Size
		}
		f.list[one.Order] = added
	}
	// A book that is read anew tells what was heard; one that went back to a copy of
	// itself tells news under numbers that there were.
	further := r.Written() > f.written
	if further && r.Written()-f.written > news {
		f.since(r.List[0].At)
	}
	if further || news > 0 {
		f.written = r.Written()
	}
	for len(f.list) > mostRefused {
		oldest := slices.MinFunc(slices.Collect(maps.Values(f.list)), func(x, y past) int { return x.At.Compare(y.At) })
		f.since(oldest.At.Add(1))
	}
}

// since forgets all before a time, and counts from there.
func (f *refusals) since(t time.Time) {
	if t.After(f.from) {
		f.from = t
	}
	maps.DeleteFunc(f.list, func(_ string, one past) bool { return one.At.Before(f.from) })
}

// reach is how far back what the web holds goes.
type reach struct {
	From    time.Time // the first of the hours
	Until   time.Time
	Cut     time.Time // of those that ended before it some are forgotten; zero: none
	Refused time.Time // the same of those that were refused
	Open    int       // orders under way, which no one counts yet
	Stale   bool
}

// history copies the orders that came to rest within historyHours, the oldest first.
func (b *book) history() ([]past, reach) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.wall()
	hour := now.Add(-time.Duration(now.Minute())*time.Minute - time.Duration(now.Second())*time.Second - time.Duration(now.Nanosecond()))
	r := reach{From: hour.Add(-time.Duration(historyHours-1) * time.Hour), Until: now, Stale: b.stale || !b.ready}
	var out []past
	add := func(o *order, at time.Time) {
		if !at.Before(r.From) && !o.What.IsCare() {
			out = append(out, past{at, o.Accepted, o.ID, o.Machine, o.What.Bean, o.What.Size, string(o.Phase), o.Reason.Code, o.ETA, o.Missed})
		}
	}
	for _, o := range b.now.ended {
		add(o, o.Ended)
	}
	for _, o := range b.now.open {
		if o.Phase == fleet.Unknown {
			add(o, o.Since)
		} else {
			r.Open++
		}
	}
	for _, one := range b.refused.list {
		if b.now.orders[one.ID] == nil && !one.At.Before(r.From) { // else it was taken when asked for again
			out = append(out, one)
		}
	}
	if b.now.cut.After(r.From) {
		r.Cut = b.now.cut
	}
	if b.refused.from.After(r.From) {
		r.Refused = b.refused.from
	}
	slices.SortFunc(out, func(x, y past) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) })
	return out, r
}

// count is a number of orders of each kind.
type count [kinds]int

func (c count) all() (n int) {
	for _, one := range c {
		n += one
	}
	return n
}

// How a wait stood to what was promised.
const (
	keptEarly = iota
	keptWithin
	keptLate
	keptVeryLate
	keptUntold // nothing was promised, or a person's word ended it
	kepts
)

// veryLate is from when on it is called more than late.
const veryLate = time.Minute

// day is what became of the orders of those hours, in numbers.
type day struct {
	reach
	All      int
	Hours    [historyHours]count
	Machines map[string]count
	Beans    map[string]count
	Ends     map[string]int
	Kept     [kepts]int // of those served
}

func newDay(list []past, r reach) *day {
	d := &day{reach: r, All: len(list), Machines: map[string]count{}, Beans: map[string]count{}, Ends: map[string]int{}}
	for _, o := range list {
		k := kindOf(o.End)
		more := func(to map[string]count, name string) {
			c := to[name]
			c[k]++
			to[name] = c
		}
		more(d.Machines, o.Machine)
		more(d.Beans, o.Bean)
		d.Ends[o.End]++
		d.Hours[min(int(o.At.Sub(r.From)/time.Hour), historyHours-1)][k]++ // the broker's clock may be before ours
		if k == kindServed {
			d.Kept[keptOf(o.Missed)]++
		}
	}
	return d
}

func keptOf(missed *float64) int {
	switch {
	case missed == nil:
		return keptUntold
	case *missed < 0:
		return keptEarly
	case *missed == 0:
		return keptWithin
	case *missed <= veryLate.Seconds():
		return keptLate
	}
	return keptVeryLate
}

// promised is of how many cups something was promised.
func (d *day) promised() (n int) {
	for _, one := range d.Kept[:keptUntold] {
		n += one
	}
	return n
}

// dayAge is how often the orders are counted, however many look.
const dayAge = time.Second

// lastDay is the last count.
type lastDay struct {
	mu  sync.Mutex
	at  time.Time
	day *day
}

func (w *Web) day() *day {
	l := &w.last
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.day == nil || time.Since(l.at) >= dayAge {
		l.day, l.at = newDay(w.book.history()), time.Now()
	}
	return l.day
}

// historyBody is the page of what was made.
type historyBody struct {
	Lead   string
	Notes  []string // what is not counted, and why
	Charts []*chart
	Stale  bool
}

// historyPage shows what was made.
func (w *Web) historyPage(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	w.show(rw, r, http.StatusOK, view{Page: "history", Self: historyPath, Title: p.say("history.title"), Refresh: 60, Body: p.historyBody(w.day())})
}

func (p *pages) historyBody(d *day) historyBody {
	clock := func(t time.Time) string {
		if t = t.In(d.Until.Location()); t.YearDay() != d.Until.YearDay() {
			return p.say("history.yesterday", t.Format("15:04"))
		}
		return t.Format("15:04")
	}
	b := historyBody{Stale: d.Stale, Lead: p.say("history.lead", clock(d.From), clock(d.Until))}
	if d.Open > 0 {
		b.Notes = append(b.Notes, p.say("history.open", d.Open))
	}
	if !d.Cut.IsZero() {
		b.Notes = append(b.Notes, p.say("history.cut", clock(d.Cut)))
	}
	if !d.Refused.IsZero() {
		b.Notes = append(b.Notes, p.say("history.refused", clock(d.Refused)))
	}
	if d.All == 0 {
		b.Notes = append(b.Notes, p.say("history.none"))
		return b
	}
	b.Charts = []*chart{p.hoursChart(d), p.endsChart(d)}
	if d.promised() > 0 {
		b.Charts = append(b.Charts, p.keptChart(d))
	}
	b.Charts = append(b.Charts,
		p.namesChart("machines", p.say("history.machine"), d.Machines, p.say("history.nobody"), capital),
		p.namesChart("beans", p.say("history.bean"), d.Beans, p.say("history.unsaid"), func(bean string) string { return p.name("bean", bean) }))
	return b
}

// historyTable is the file: an order a line, without its customer.
func (w *Web) historyTable(rw http.ResponseWriter, _ *http.Request) {
	h := rw.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="history.csv"`)
	h.Set("Cache-Control", "no-store")
	list, _ := w.book.history()
	out := csv.NewWriter(rw)
	out.Write([]string{"time", "order", "machine", "bean", "size", "outcome", "reason", "wait_seconds", "promised_from", "promised_to", "eta_error"})
	for _, o := range list {
		out.Write(o.cells())
	}
	out.Flush()
}

// cells are the order's. Times are of one zone, so that they sort; numbers are ours and
// no text.
func (o past) cells() []string {
	seconds := func(s float64) string { return strconv.FormatFloat(s, 'f', 1, 64) }
	var waited, missed, from, to string
	if !o.Accepted.IsZero() && !o.At.Before(o.Accepted) {
		waited = seconds(o.At.Sub(o.Accepted).Seconds())
	}
	if len(o.ETA) == 2 {
		from, to = strconv.Itoa(o.ETA[0]), strconv.Itoa(o.ETA[1])
	}
	if o.Missed != nil {
		missed = seconds(*o.Missed)
	}
	return []string{o.At.UTC().Format(time.RFC3339), harmless(o.ID), harmless(o.Machine), harmless(o.Bean), harmless(string(o.Size)),
		o.End, harmless(o.Reason), waited, from, to, missed}
}

// harmless is a text that no spreadsheet takes for a formula.
func harmless(text string) string {
	if first := strings.TrimLeft(text, " \t\r\n\u00a0"); first != text || first != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(first)[0]) {
		return "'" + text
	}
	return text
}

// historyRoutes are the addresses of the history.
func (w *Web) historyRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET " + historyPath: w.operatorsOnly(w.historyPage),
		"GET " + historyFile: w.operatorsOnly(w.historyTable),
	}
}
