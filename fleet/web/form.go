package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"barista/fleet"
	"barista/fleet/words"
)

// orderTime bounds the placing of an order. The shop answers within 2 s.
const orderTime = 3 * time.Second

// typed is what the form holds: what the customer chose, as text. Its JSON is an order.
type typed struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name"`
	Size  string `json:"size"`
	Bean  string `json:"bean_type"`
	Milk  string `json:"milk"`
	Sugar string `json:"sugar_count"`

	Second string `json:"-"` // the id of the second cup
	Two    bool   `json:"-"` // it is wanted
}

// The fields of the form beside those of an order.
const (
	drinkField  = "drink"
	secondField = "second"
	cupsField   = "cups"
)

// read takes the form's fields out of what was sent or asked.
func read(f url.Values) typed {
	t := typed{ID: f.Get("id"), Name: f.Get("name"), Size: f.Get("size"), Bean: f.Get("bean_type"), Milk: f.Get("milk"), Sugar: f.Get("sugar_count"),
		Second: f.Get(secondField), Two: f.Get(cupsField) == "2"}
	t.drunk(f.Get(drinkField))
	return t
}

// fresh is a form that was not used yet. The orders' ids are made here, so that however
// often a page is sent, it stays one order, or two.
func fresh() typed { return typed{ID: ulid.Make().String(), Second: ulid.Make().String()} }

func (t typed) order() fleet.Order {
	sugar, _ := strconv.Atoi(t.Sugar)
	return fleet.Order{Size: fleet.Size(t.Size), Bean: t.Bean, Milk: t.Milk, Sugar: sugar}
}

// option is one tile of the form.
type option struct {
	Name, Value   string
	Label, Note   string
	Checked, Gone bool
	Why           string // in three words, with Gone
}

// group is a row of tiles of which one is chosen.
type group struct {
	Name, Legend, Hint string
	Wrong              bool
	Options            []option
}

// problem is what is wrong with what was sent: a key of the texts, and the field.
type problem struct {
	Key, Field string
	status     int
	known      bool   // the PIN was right just now
	first      string // the page of the first of two cups, for the answer to who ordered it only
}

// unsure reports whether nobody knows yet if the order was taken.
func (p problem) unsure() bool {
	return p.Key == "error."+fleet.CodeUnavailable || p.Key == secondUnsure
}

// formBody is what the form's template shows.
type formBody struct {
	typed
	Drinks []drink
	Milk   *group // nil: there is none, or but one
	OneOf  map[string]string
	Groups []group
	Wait   waitBody
	Title  string // of what is wrong
	Error  string // what is wrong, or nothing
	Field  string // the field that is wrong
	First  string // the page of the first of two cups, where the second is not known of
	Self   string // where a closed shop is looked at again
	Unsure bool   // to be asked again, also of a closed shop
	Closed *closedBody
	Away   bool // no machine is here, and yet an order would be taken
	PIN    bool // ask for the house's
	Kiosk  bool // everybody's device: it remembers nobody
}

// Chosen is the milk that was chosen.
func (b formBody) Chosen() string { return b.typed.Milk }

// waitBody is the line that says what is ordered and how long it takes.
type waitBody struct {
	What string // the order in a line; empty where that could be out of date
	Span string // empty: unknown
	Why  string // why it can't be made
}

// form shows the empty order form.
func (w *Web) form(rw http.ResponseWriter, r *http.Request) {
	w.showForm(rw, r, http.StatusOK, fresh(), problem{})
}

// customersForm is the form on a device of a customer's own. A kiosk becomes one where
// its address is typed; what leads there from a page leads a kiosk back to its own.
func (w *Web) customersForm(rw http.ResponseWriter, r *http.Request) {
	if w.atKiosk(r) && r.Header.Get("Sec-Fetch-Site") == "same-origin" {
		http.Redirect(rw, r, "/kiosk", http.StatusSeeOther)
		return
	}
	w.leaveKiosk(rw, r)
	w.form(rw, r)
}

// showForm shows the form with what was typed and what is wrong with it.
func (w *Web) showForm(rw http.ResponseWriter, r *http.Request, status int, t typed, wrong problem) {
	p := w.pages[lang(r)]
	o := w.counter.offer(r.Context())
	if wrong.Key == cannot {
		if _, ok := o.can(t.order()); ok {
			wrong = problem{} // it can, by now
		}
	}
	body := formBody{typed: t, PIN: !wrong.known && w.asksPIN(r), Field: wrong.Field, First: wrong.first, Unsure: wrong.unsure()}
	v := view{Page: "form", Title: p.say("form.title"), Self: w.home(r), Kiosk: w.atKiosk(r)}
	body.Kiosk = v.Kiosk
	if wrong.Key != "" {
		v.Self = "/order" // there the draft is
		body.Title, body.Error = p.say("error.title"), p.say(wrong.Key, w.OpenOrders)
		switch wrong.Key {
		case secondUnsure:
			body.Title = p.say("second.title")
		case cannot:
			l, _ := o.can(t.order())
			body.Error = p.say(cannot, p.lack(l))
		}
		v.Title = p.say("form.title.not") + " · " + v.Title
	}
	if len(o.menu.Beans) == 0 {
		body.Closed = &closedBody{Why: words.Now(p.Lang, fleet.CodeSilent), When: p.say("closed.silent")}
	} else if body.Closed = p.closed(o); body.Closed == nil {
		body.fill(p, o)
	}
	if body.Closed != nil {
		v.Title, v.Refresh = p.say("closed.title"), 10
		if len(o.menu.Beans) == 0 && status == http.StatusOK {
			status = http.StatusServiceUnavailable
		}
	}
	body.Self = v.Self
	v.Body = body
	w.show(rw, r, status, v)
}

// fill makes the tiles. Of each row one that can be made is chosen beforehand,
// unless the customer chose already.
func (b *formBody) fill(p *pages, o *offer) {
	if b.Size == "" && b.Bean == "" && b.typed.Milk == "" {
		b.Size, b.Bean, b.typed.Milk, b.Sugar = start(o)
	}
	b.OneOf = map[string]string{}
	b.Drinks = p.drinks(o, b.chosenDrink())
	tile := func(g *group, value, label, chosen string, fits func(fleet.Order) bool, about func(item string) bool) {
		t := option{Name: g.Name, Value: value, Label: label, Checked: value == chosen}
		t.close(p, o, fits, about)
		g.Options = append(g.Options, t)
	}
	// add shows a row, but for one in which there is nothing to choose.
	add := func(g group, show func(group)) {
		if len(g.Options) == 1 && !g.Options[0].Gone {
			b.OneOf[g.Name] = g.Options[0].Value
		} else if len(g.Options) > 0 {
			show(g)
		}
	}
	row := func(g group) { b.Groups = append(b.Groups, g) }

	g := group{Name: "bean_type", Legend: p.say("form.bean"), Wrong: b.Field == "bean_type"}
	for _, bean := range o.menu.Beans {
		fits := func(x fleet.Order) bool { return x.Bean == bean }
		if o.lists(0, fits) {
			tile(&g, bean, p.name("bean", bean), b.Bean, fits, func(item string) bool { return item == bean })
		}
	}
	add(g, row)

	g = group{Name: "milk", Legend: p.say("form.milk"), Hint: p.say("form.milk.hint"), Wrong: b.Field == "milk"}
	for _, milk := range o.menu.Milks {
		fits := func(x fleet.Order) bool { return x.Milk == milk }
		if milk != fleet.NoMilk && o.lists(0, fits) {
			tile(&g, milk, p.name("milk", milk), b.typed.Milk, fits, func(item string) bool { return item == fleet.MilkItem(milk) })
		}
	}
	add(g, func(g group) { g.chooseOne(); b.Milk = &g })

	g = group{Name: "sugar_count", Legend: p.say("form.sugar"), Wrong: b.Field == "sugar_count"}
	for n := range fleet.MaxSugar + 1 {
		if !o.lists(n, func(fleet.Order) bool { return true }) {
			break
		}
		value := strconv.Itoa(n)
		t := option{Name: g.Name, Value: value, Label: value, Checked: value == b.Sugar}
		if n == 0 {
			t.Label = p.say("form.sugar.none")
		}
		if l, ok := o.sweet(n); !ok {
			t.Gone, t.Checked, t.Why = true, false, p.lack(l)
		}
		g.Options = append(g.Options, t)
	}
	add(g, row)

	low, high, known, away := o.span()
	b.Away = away
	if known {
		b.Wait.Span = p.span(low, high)
	}
}

// chooseOne chooses the first that can be had where none is chosen: the row only counts
// for a drink with milk.
func (g *group) chooseOne() {
	if slices.ContainsFunc(g.Options, func(o option) bool { return o.Checked }) {
		return
	}
	for i := range g.Options {
		if o := &g.Options[i]; !o.Gone {
			o.Checked = true
			return
		}
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

// lack says in three words of the page's language why something can't be ordered. What
// keeps a machine from it is for its operator to read.
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
	return cmp.Or(words.Now(p.Lang, l.Code), p.say("lack.other"))
}

// wait is the line of the form that says what was chosen and how long it takes, or
// why it can't be made.
func (w *Web) wait(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	o := w.counter.offer(r.Context())
	order := read(r.URL.Query()).order()
	body := waitBody{What: p.summary(o.menu, order)}
	if l, ok := o.can(order); !ok {
		body.Why = p.lack(l)
	} else if v := o.waits[choice{order.Size, order.Bean, order.Milk}]; v.Known {
		body.Span = p.span(v.Low, v.High)
	}
	w.fragment(rw, r, "wait", body)
}

// sent reads a form that was sent, or answers for what is none.
func (w *Web) sent(rw http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		w.sorry(rw, r, http.StatusUnsupportedMediaType, "kind.title", "kind.text")
		return nil, false
	}
	if err := r.ParseForm(); err != nil {
		if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
			w.sorry(rw, r, http.StatusRequestEntityTooLarge, "big.title", "big.text")
		} else {
			w.sorry(rw, r, http.StatusBadRequest, "kind.title", "kind.text")
		}
		return nil, false
	}
	return r.PostForm, true
}

// submit takes the form. An order that was taken leads to its own page; else
// the form comes back with what was typed and what is wrong.
func (w *Web) submit(rw http.ResponseWriter, r *http.Request) {
	f, ok := w.sent(rw, r)
	if !ok {
		return
	}
	t := read(f)
	a, wrong := w.give(rw, r, t, f.Get(pinField))
	if wrong == nil {
		to := w.pathOf(a.OrderID)
		if t.Two {
			second := t
			second.ID = t.Second
			b, not := w.give(rw, r, second, f.Get(pinField))
			switch {
			case not == nil:
				to = w.pairOf(a.OrderID, b.OrderID)
			case not.Key == "error."+fleet.CodeUnavailable:
				w.again(rw, r, t, problem{Key: secondUnsure, status: not.status, known: true, first: to})
				return
			default:
				to += "/second/" + strings.TrimPrefix(not.Key, "error.")
			}
		}
		w.forgetDraft(rw, r)
		rw.Header().Set("Location", to+"#taken")
		rw.WriteHeader(http.StatusSeeOther)
		return
	}
	switch a.Code {
	case "", fleet.CodeInvalid, fleet.CodeUnavailable:
		// The id is not used up, or must be asked again.
	default:
		t.ID, t.Second = ulid.Make().String(), ulid.Make().String() // this id has its answer for good
	}
	w.again(rw, r, t, *wrong)
}

// again shows the form anew, and keeps what was typed for a page that is asked for
// once more.
func (w *Web) again(rw http.ResponseWriter, r *http.Request, t typed, wrong problem) {
	w.keepDraft(rw, r, t, wrong)
	w.showForm(rw, r, wrong.status, t, wrong)
}

// give hands one cup to the shop, unless its customer may not order now or nobody can
// make it; then a has no code.
func (w *Web) give(rw http.ResponseWriter, r *http.Request, t typed, pin string) (a fleet.Answer, wrong *problem) {
	answered, no := w.admit(rw, r, t.ID, pin)
	if no != nil {
		if no.status == http.StatusTooManyRequests {
			rw.Header().Set("Retry-After", retryOrder)
		}
		wrong = &problem{Key: no.key, status: no.status}
		if no.status == http.StatusForbidden {
			wrong.Field = pinField
		}
		return a, wrong
	}
	if l, ok := w.counter.offer(r.Context()).can(t.order()); !ok && !l.decided() && !w.handed(r.Context(), t.ID) {
		answered(a)
		return a, &problem{Key: cannot, Field: drinkField, status: http.StatusConflict, known: true}
	}
	body, err := json.Marshal(t)
	if err != nil { // strings: cannot happen
		w.Log.Error("web: cannot write an order", "error", err)
	}
	a = w.place(r.Context(), t.ID, body)
	answered(a)
	if a.OK() {
		return a, nil
	}
	return a, &problem{Key: refusalKey(a), Field: a.Field, status: statusOf(a), known: true}
}

// cannot is the key of what is told of a coffee that nobody can make now.
const cannot = "error.cannot"

// handed reports whether the shop was given this order before: then its answer is what
// counts, whatever can be made now. What is no order's id was given nothing.
func (w *Web) handed(ctx context.Context, id string) bool {
	id, err := fleet.ParseID(id)
	if err != nil {
		return false
	}
	if w.given.has(id) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	records, err := w.Book.History(ctx, id)
	return err != nil || len(records) > 0
}

// place gives an order to the shop. It goes on when the customer leaves: half
// an order would be worse.
func (w *Web) place(ctx context.Context, id string, body []byte) fleet.Answer {
	if id, err := fleet.ParseID(id); err == nil {
		w.given.add(id)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), orderTime)
	defer cancel()
	a := w.Shop.Place(ctx, body, "web")
	w.counter.forget()
	return a
}

// refusalKey is the key of the text that says why an order was not taken.
func refusalKey(a fleet.Answer) string {
	switch a.Code {
	case fleet.CodeInvalid:
		if _, ok := known.known("wrong", a.Field); ok {
			return "wrong." + a.Field
		}
		return "error." + a.Code
	case fleet.CodeNotOnMenu, fleet.CodeOutOfStock, fleet.CodeQueueFull, fleet.CodeConflict, fleet.CodeUnavailable:
		return "error." + a.Code
	}
	return "error.other"
}

// known is a catalogue, to look up which keys there are.
var known = readWords(languages[0])

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
