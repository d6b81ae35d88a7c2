package web

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"barista/fleet"
)

// orderTime bounds the placing of an order. The shop answers within 2 s.
const orderTime = 3 * time.Second

// typed is what the form holds: what the customer chose, as text.
type typed struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name"`
	Size  string `json:"size"`
	Bean  string `json:"bean_type"`
	Milk  string `json:"milk"`
	Sugar string `json:"sugar_count"`
}

func (t typed) order() fleet.Order {
	sugar, _ := strconv.Atoi(t.Sugar)
	return fleet.Order{Size: fleet.Size(t.Size), Bean: t.Bean, Milk: t.Milk, Sugar: sugar}
}

// option is one tile of the form.
type option struct {
	Name, Value   string
	Label, Note   string
	Checked, Gone bool
	Why           string // in the page's language, with Gone
}

// group is a row of tiles of which one is chosen.
type group struct {
	Name, Legend string
	Wrong        bool
	Options      []option
}

// formBody is what the form's template shows.
type formBody struct {
	typed
	Groups  []group
	Wait    waitBody
	Error   string // what is wrong, or nothing
	Field   string // the field that is wrong
	Closed  bool   // nothing can be ordered now
	Refresh bool   // the menu is not known: ask again
	PIN     bool   // ask for the house's
	known   bool   // it was right just now
}

// waitBody is the line that says how long it takes.
type waitBody struct {
	Span string // empty: unknown
	Why  string // why it can't be made
}

// form shows the empty order form. The order's id is made here, so that however
// often this page is sent, it is one order.
func (w *Web) form(rw http.ResponseWriter, r *http.Request) {
	w.showForm(rw, r, http.StatusOK, typed{ID: ulid.Make().String()}, formBody{})
}

// showForm shows the form with what was typed and what is wrong with it.
func (w *Web) showForm(rw http.ResponseWriter, r *http.Request, status int, t typed, body formBody) {
	p := w.pages[lang(r)]
	o := w.counter.offer(r.Context())
	body.typed, body.PIN = t, !body.known && w.asksPIN(r)
	if len(o.menu.Beans) == 0 {
		body.Closed, body.Refresh = true, true
		if status == http.StatusOK {
			status = http.StatusServiceUnavailable
		}
	} else {
		body.fill(p, o)
	}
	v := view{Page: "form", Title: p.say("form.title"), Body: body}
	if body.Refresh {
		v.Refresh = 10
	}
	w.show(rw, r, status, v)
}

// fill makes the tiles. Of each row one that can be made is chosen beforehand,
// unless the customer chose already.
func (b *formBody) fill(p *pages, o *offer) {
	if b.Size == "" && b.Bean == "" && b.Milk == "" {
		b.Size, b.Bean, b.Milk, b.Sugar = start(o)
	}
	row := func(name, legend string) *group {
		b.Groups = append(b.Groups, group{Name: name, Legend: p.say(legend), Wrong: b.Field == name})
		return &b.Groups[len(b.Groups)-1]
	}
	tile := func(g *group, value, label, note, chosen string, fits func(fleet.Order) bool, about func(item string) bool) {
		t := option{Name: g.Name, Value: value, Label: label, Note: note, Checked: value == chosen}
		if l, ok := o.any(fits, about); !ok {
			t.Gone, t.Checked = true, false
			t.Why = p.lack(l)
		}
		g.Options = append(g.Options, t)
	}
	g := row("size", "form.size")
	for _, s := range fleet.Sizes {
		if d, ok := o.menu.Sizes[s]; ok {
			tile(g, string(s), p.say("size."+string(s)), p.say("size.ml", d.Water), b.Size,
				func(x fleet.Order) bool { return x.Size == s },
				func(item string) bool { return slices.Contains(o.menu.Beans, item) })
		}
	}
	g = row("bean_type", "form.bean")
	for _, bean := range o.menu.Beans {
		tile(g, bean, p.name("bean", bean), "", b.Bean,
			func(x fleet.Order) bool { return x.Bean == bean },
			func(item string) bool { return item == bean })
	}
	g = row("milk", "form.milk")
	for _, milk := range o.menu.Milks {
		tile(g, milk, p.name("milk", milk), "", b.Milk,
			func(x fleet.Order) bool { return x.Milk == milk },
			func(item string) bool { return item == fleet.MilkItem(milk) })
	}
	g = row("sugar_count", "form.sugar")
	for n := range fleet.MaxSugar + 1 {
		t := option{Name: g.Name, Value: strconv.Itoa(n), Label: p.say("sugar." + strconv.Itoa(n)), Checked: strconv.Itoa(n) == b.Sugar}
		if l, ok := o.sweet(n); !ok {
			t.Gone, t.Checked = true, false
			t.Why = p.lack(l)
		}
		g.Options = append(g.Options, t)
	}
	_, ok := o.any(func(fleet.Order) bool { return true }, func(string) bool { return false })
	b.Closed = !ok
	if low, high, known := o.span(); known {
		b.Wait.Span = p.span(low, high)
	}
}

// start is the coffee that is chosen beforehand: medium if it can be made.
func start(o *offer) (size, bean, milk, sugar string) {
	pick := fleet.Order{}
	o.each(func(x fleet.Order) {
		if _, ok := o.can(x); ok && (pick.Size == "" || pick.Size != fleet.Medium && x.Size == fleet.Medium) {
			pick = x
		}
	})
	return string(pick.Size), pick.Bean, pick.Milk, "0"
}

// lack says in the page's language why something can't be ordered. What keeps a
// machine from it is for its operator to read.
func (p *pages) lack(l lack) string {
	switch {
	case l.Unsweet:
		return p.say("lack.unsweet")
	case l.Item == fleet.ItemSugar:
		return p.say("lack.sugar")
	case strings.HasPrefix(l.Item, "milk-"):
		return p.say("lack.milk")
	case l.Item != "":
		return p.say("lack.bean")
	}
	return p.say("lack.other")
}

// wait is the line of the form that says how long the chosen coffee takes, or
// why it can't be made.
func (w *Web) wait(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	q := r.URL.Query()
	t := typed{Size: q.Get("size"), Bean: q.Get("bean_type"), Milk: q.Get("milk"), Sugar: q.Get("sugar_count")}
	o := w.counter.offer(r.Context())
	var body waitBody
	order := t.order()
	if l, ok := o.can(order); !ok {
		body.Why = p.lack(l)
	} else if v := o.waits[choice{order.Size, order.Bean, order.Milk}]; v.Known {
		body.Span = p.span(v.Low, v.High)
	}
	w.fragment(rw, r, "wait", body)
}

// submit takes the form. An order that was taken leads to its own page; else
// the form comes back with what was typed and what is wrong.
func (w *Web) submit(rw http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		w.sorry(rw, r, http.StatusUnsupportedMediaType, "kind.title", "kind.text")
		return
	}
	if err := r.ParseForm(); err != nil {
		if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
			w.sorry(rw, r, http.StatusRequestEntityTooLarge, "big.title", "big.text")
			return
		}
		w.sorry(rw, r, http.StatusBadRequest, "kind.title", "kind.text")
		return
	}
	f := r.PostForm
	t := typed{ID: f.Get("id"), Name: f.Get("name"), Size: f.Get("size"), Bean: f.Get("bean_type"), Milk: f.Get("milk"), Sugar: f.Get("sugar_count")}
	p := w.pages[lang(r)]
	body, err := json.Marshal(t)
	if err != nil {
		w.broken(rw, err)
		return
	}
	answered, no := w.admit(rw, r, t.ID, f.Get(pinField))
	if no != nil {
		if no.status == http.StatusTooManyRequests {
			rw.Header().Set("Retry-After", retryOrder)
		}
		out := formBody{Error: p.say(no.key, w.OpenOrders)}
		if no.status == http.StatusForbidden {
			out.Field = pinField
		}
		w.showForm(rw, r, no.status, t, out)
		return
	}
	a := w.place(r.Context(), body)
	answered(a)
	if a.OK() {
		rw.Header().Set("Location", w.pathOf(a.OrderID)+"#taken")
		rw.WriteHeader(http.StatusSeeOther)
		return
	}
	out := formBody{Field: a.Field, Error: p.refusal(a), known: true}
	switch a.Code {
	case fleet.CodeInvalid, fleet.CodeUnavailable:
		// The id is not used up, or must be asked again.
	default:
		t.ID = ulid.Make().String() // this id has its answer for good
	}
	w.showForm(rw, r, statusOf(a), t, out)
}

// place gives an order to the shop. It goes on when the customer leaves: half
// an order would be worse.
func (w *Web) place(ctx context.Context, body []byte) fleet.Answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), orderTime)
	defer cancel()
	a := w.Shop.Place(ctx, body, "web")
	w.counter.forget()
	return a
}

// refusal says in the page's language why an order was not taken.
func (p *pages) refusal(a fleet.Answer) string {
	switch a.Code {
	case fleet.CodeInvalid:
		if text, ok := p.known("wrong", a.Field); ok {
			return text
		}
		return p.say("error.invalid_order")
	case fleet.CodeNotOnMenu, fleet.CodeOutOfStock, fleet.CodeQueueFull, fleet.CodeConflict, fleet.CodeUnavailable:
		return p.say("error." + a.Code)
	}
	return p.say("error.other")
}

// statusOf is the HTTP status of an answer.
func statusOf(a fleet.Answer) int {
	if a.OK() {
		return http.StatusOK
	}
	switch a.Code {
	case fleet.CodeInvalid:
		return http.StatusBadRequest
	case fleet.CodeNotOnMenu:
		return http.StatusUnprocessableEntity
	case fleet.CodeOutOfStock, fleet.CodeConflict:
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable
}
