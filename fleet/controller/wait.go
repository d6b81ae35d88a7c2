package controller

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// unmeasured is how long a drink takes until one was measured.
	unmeasured = 60 * time.Second
	// weight of a new measurement against those before: about the last five
	// count.
	weight = 0.2
)

// paces is how long each machine takes for a cup of each size.
type paces struct {
	mu   sync.Mutex       // guards what follows
	mean map[pace]float64 // running, in seconds
}

type pace struct {
	machine string
	size    fleet.Size
}

// measured takes how long a drink took.
func (p *paces) measured(machine string, size fleet.Size, seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := pace{machine, size}
	if mean, ok := p.mean[of]; ok {
		seconds = mean + weight*(seconds-mean)
	}
	p.mean[of] = seconds
}

// of is how long a machine that does not say takes for a cup, in seconds: as measured
// here, else its mean, else a minute.
func (p *paces) of(m *fleet.Machine, size fleet.Size) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.mean[pace{m.Machine, size}]; s > 0 {
		return s
	}
	return cmp.Or(m.Seconds, unmeasured.Seconds())
}

// cup is what the wait depends on.
type cup struct {
	class fleet.Class
	size  fleet.Size
	sugar int
}

// tally is the open orders, sorted. It is made anew when somebody asks and the book
// has grown since.
type tally struct {
	mu      sync.Mutex      // guards what follows
	changed <-chan struct{} // closed when it is no longer true
	now     counted
}

// counted is what is open. It is never changed again.
type counted struct {
	changed <-chan struct{} // closed when it is no longer true
	classes []fleet.Class
	again   []fleet.Entry          // to be made again
	inHand  map[string]fleet.Entry // claimed and brewing, by machine
	queue   []fleet.Entry          // that wait, in the order in which they shall begin
	orders  []fleet.Order          // the same
	shunned map[string]shunned     // those that a machine leaves to others first
}

// shunned is an order that a machine leaves to others, and until when, by the monotonic
// clock.
type shunned struct {
	by    string
	until time.Time
}

// avoid is what is shunned, from now on.
func (c counted) avoid() map[string]avoid {
	out := map[string]avoid{}
	for id, s := range c.shunned {
		if left := time.Until(s.until); left > 0 {
			out[id] = avoid{s.by, left.Seconds()}
		}
	}
	return out
}

// counted is what is open now.
func (c *Controller) counted() counted {
	t := &c.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed != nil && !closed(t.changed) {
		return t.now
	}
	t.changed = c.p.Ledger.Changed() // before it is read: rather count twice
	t.now = counted{changed: t.changed, inHand: map[string]fleet.Entry{}, shunned: map[string]shunned{}}
	for _, e := range c.p.Ledger.Open() {
		if class := e.Order.Class(); e.Phase.Open() && !slices.Contains(t.now.classes, class) {
			t.now.classes = append(t.now.classes, class)
		}
		switch e.Phase {
		case fleet.Again:
			t.now.again = append(t.now.again, e)
		case fleet.Claimed, fleet.Brewing:
			t.now.inHand[e.Machine()] = e
		}
	}
	// Care that waits until others can stand in for its machine keeps no customer waiting.
	t.now.queue = slices.DeleteFunc(slices.Clone(c.p.Ledger.Queue()), func(e fleet.Entry) bool { return e.Order.IsCare() && e.Via != fleet.ViaCareLast })
	for _, e := range t.now.queue {
		t.now.orders = append(t.now.orders, e.Order)
		if e.Avoid != nil && !e.Written.IsZero() { // of one that was just written here the time comes with the follower
			left := e.Avoid.Until.Sub(e.Written) - c.p.Ledger.Age(e) // both times are the broker's
			t.now.shunned[e.Order.ID] = shunned{e.Avoid.Machine, time.Now().Add(left)}
		}
	}
	return t.now
}

// hands are the machines that take orders, with what they have in hand.
func (c *Controller) hands(open counted) []*hand {
	return handsOf(c.p.Roll.Machines(), open.inHand, c.p.Ledger.Age, c.paces)
}

// guess foresees the way of one more cup, behind the orders that wait. What is beyond
// the expiry is cut there: then the order has ended.
func (c *Controller) guess(o fleet.Order) fleet.Wait {
	open := c.counted()
	o.ID = "" // it is none of those that wait
	slots := dispatch(c.hands(open), append(slices.Clip(open.orders), o), open.avoid())
	s, longest := slots[len(slots)-1], max(unmeasured, c.cfg.ExpireAfter)
	if !s.known {
		own := 0
		for _, e := range open.orders {
			if e.Class() == o.Class() {
				own++
			}
		}
		// Wide, and true: later than that it has expired.
		return fleet.Wait{Low: unmeasured, High: longest, Ahead: own, Code: c.kept(o)}
	}
	eta := fleet.Promise(s.low, s.likely, s.high)
	low, high := min(seconds(float64(eta[0])), longest), min(seconds(float64(eta[1])), longest)
	return fleet.Wait{Known: true, Low: low, High: high, Ahead: places(slots)[len(slots)-1] - 1}
}

// kept is the code of what keeps the machines that list this.
func (c *Controller) kept(o fleet.Order) string {
	return hindrance(slices.DeleteFunc(slices.Clone(c.p.Roll.Machines()), func(m *fleet.Machine) bool { return !m.Here || !m.Makes(o) }))
}

// Forecasts are the ways of all open orders from now on, by id; those of which nobody
// knows whether they were made have none. Any page may ask as often as it likes.
func (c *Controller) Forecasts(context.Context) map[string]fleet.Forecast {
	f := &c.foreseen
	open := c.counted()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all != nil && f.changed != nil && !closed(f.changed) && time.Since(f.at) < foreseenFor {
		return f.all
	}
	f.changed, f.at, f.all = open.changed, time.Now(), map[string]fleet.Forecast{}
	hands := c.hands(open)
	slots := dispatch(hands, open.orders, open.avoid())
	for i, place := range places(slots) {
		s := slots[i]
		f.all[open.orders[i].ID] = foreseen(fleet.Forecast{Order: open.orders[i].ID, Place: place, Machine: s.machine, Known: s.known, Begin: s.begin}, s.low, s.likely, s.high)
	}
	for _, m := range c.p.Roll.Machines() {
		e, has := open.inHand[m.Machine]
		if !has {
			continue
		}
		one := fleet.Forecast{Order: e.Order.ID, Machine: m.Machine, Known: m.Here}
		var low, likely, high float64
		if m.Here {
			one.Begin, low, likely, high = handOf(m, c.paces).left(e, c.p.Ledger.Age(e))
		}
		f.all[e.Order.ID] = foreseen(one, low, likely, high)
	}
	return f.all
}

// foreseenFor is how long a forecast is good for, where nothing has changed in the book.
const foreseenFor = 500 * time.Millisecond

// forecasts is the last that was made; it is everybody's and never changed again.
type forecasts struct {
	mu      sync.Mutex // guards what follows
	changed <-chan struct{}
	at      time.Time
	all     map[string]fleet.Forecast
}

// foreseen adds the range, if there is one.
func foreseen(f fleet.Forecast, low, likely, high float64) fleet.Forecast {
	if !f.Known {
		return f
	}
	eta := fleet.Promise(low, likely, high)
	f.Begin, f.Low, f.High = math.Round(10*f.Begin)/10, float64(eta[0]), float64(eta[1])
	return f
}

// Wait estimates how long one more cup would take. An order is taken whatever is
// not known, unless Code says that it is not on the menu or sold out.
func (c *Controller) Wait(ctx context.Context, class fleet.Class, size fleet.Size) fleet.Wait {
	o := fleet.Order{Bean: class.Bean, Milk: class.Milk, Size: size}
	menu := c.Menu()
	doses, listed := menu.Portion(o)
	switch {
	case c.p.Witness.Standing().State == fleet.StandClosed:
		return fleet.Wait{Code: fleet.CodeShut}
	case len(menu.Beans) == 0 || !closed(c.p.Ledger.Ready()):
		return fleet.Wait{Code: fleet.CodeOpening}
	case !listed:
		return fleet.Wait{Code: fleet.CodeNotOnMenu}
	case !c.made(o) && !c.early():
		return fleet.Wait{Code: fleet.CodeNotOnMenu}
	}
	if c.closed(ctx) {
		return fleet.Wait{Code: fleet.CodeShut}
	}
	if item := c.soldOut(o, doses); item != "" {
		return fleet.Wait{Code: fleet.CodeOutOfStock, Item: item}
	}
	w := c.guess(o)
	if !w.Known {
		w.Low, w.High = 0, 0
	}
	for o.Sugar = 1; o.Sugar <= fleet.MaxSugar && w.TooSweet == 0; o.Sugar++ {
		if !c.made(o) && !c.early() {
			w.TooSweet = o.Sugar
		}
	}
	return w
}

// soldOut is an item of which there is not enough; empty if there is.
func (c *Controller) soldOut(o fleet.Order, portion fleet.Items) string {
	levels := c.p.Ledger.Levels()
	for _, item := range []string{o.Bean, fleet.MilkItem(o.Milk), fleet.ItemSugar} {
		if levels[item].Available() < portion[item] {
			return item
		}
	}
	return ""
}
