package web

import (
	"context"
	"sync"
	"time"

	"barista/fleet"
)

const (
	// offerAge is how long an answer about what can be made is good for.
	offerAge = 2 * time.Second
	// offerTime bounds the asking; what was not answered is unknown.
	offerTime = 1500 * time.Millisecond
)

// choice is what decides whether and how soon a coffee can be made.
type choice struct {
	size fleet.Size
	bean string
	milk string
}

// lack says why something can't be ordered now.
type lack struct {
	Item string // what the stock has not enough of
	Code string // else: what is in the way, of package words

	Unsweet bool // no machine gives so much sugar with it
}

// decided reports whether the controller refuses such an order by itself. The rest it
// would take and let wait for a machine that somebody must mend first.
func (l lack) decided() bool {
	return l.Item != "" || l.Unsweet || l.Code == "" || l.Code == fleet.CodeNotOnMenu
}

// offer is what the shop can make now. It is not changed once it is made.
type offer struct {
	menu   fleet.Menu
	levels map[string]fleet.Level // nil: the stock did not say
	waits  map[choice]fleet.Wait
	at     time.Time
}

// counter asks the shop what it can make, at most every two seconds however
// many customers look.
type counter struct {
	shop   Shop
	levels func(context.Context) (map[string]fleet.Level, error)

	asking sync.Mutex // one asks, the others wait for the same answer
	mu     sync.Mutex
	latest *offer
}

// offer is what can be made now, at most offerAge old.
func (c *counter) offer(ctx context.Context) *offer {
	if o := c.fresh(); o != nil {
		return o
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	if o := c.fresh(); o != nil {
		return o
	}
	// The answer is everybody's, so one customer's leaving must not spoil it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), offerTime)
	defer cancel()
	o := &offer{menu: c.shop.Menu(), waits: map[choice]fleet.Wait{}}
	if levels, err := c.levels(ctx); err == nil {
		o.levels = levels
	}
	for _, class := range o.menu.Classes() {
		for _, size := range fleet.Sizes {
			if _, ok := o.menu.Sizes[size]; !ok || ctx.Err() != nil {
				continue
			}
			o.waits[choice{size, class.Bean, class.Milk}] = c.shop.Wait(ctx, class, size)
		}
	}
	o.at = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = o
	return o
}

func (c *counter) fresh() *offer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest != nil && time.Since(c.latest.at) < offerAge {
		return c.latest
	}
	return nil
}

// forget makes the next customer ask anew: an order was just taken.
func (c *counter) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = nil
}

// can reports whether an order can be made now, and what is in the way. What
// the stock or the shop did not say is no reason to refuse: the controller
// decides.
func (o *offer) can(order fleet.Order) (lack, bool) {
	doses, ok := o.menu.Portion(order)
	if !ok {
		return lack{}, false
	}
	w := o.waits[choice{order.Size, order.Bean, order.Milk}]
	if w.Code == fleet.CodeNotOnMenu { // whatever is on the shelf
		return lack{Code: w.Code}, false
	}
	if o.levels != nil {
		for _, item := range o.menu.Items() { // beans first
			if need := doses[item]; need > 0 && o.levels[item].Available() < need {
				return lack{Item: item}, false
			}
		}
	}
	switch {
	case !w.Taken():
		return lack{Code: w.Code, Item: w.Item}, false
	case w.TooSweet > 0 && order.Sugar >= w.TooSweet:
		return lack{Unsweet: true}, false
	}
	return lack{}, true
}

// lists reports whether a machine that is known here makes some coffee that fits,
// with so much sugar: what none does is not offered at all.
func (o *offer) lists(sugar int, fits func(fleet.Order) bool) (listed bool) {
	o.each(func(order fleet.Order) {
		w := o.waits[choice{order.Size, order.Bean, order.Milk}]
		listed = listed || fits(order) && w.Code != fleet.CodeNotOnMenu && (w.TooSweet == 0 || sugar < w.TooSweet)
	})
	return listed
}

// each calls f for every coffee without sugar on the menu.
func (o *offer) each(f func(fleet.Order)) {
	for _, size := range fleet.Sizes {
		if _, ok := o.menu.Sizes[size]; !ok {
			continue
		}
		for _, class := range o.menu.Classes() {
			f(fleet.Order{Size: size, Bean: class.Bean, Milk: class.Milk})
		}
	}
}

// any reports whether some coffee that fits can be made now, and what is in the
// way if none can. Of several lacks the telling one is that of an item which
// the tile is about, then what the shop says, then whatever came first.
func (o *offer) any(fits func(fleet.Order) bool, about func(item string) bool) (why lack, ok bool) {
	weight := func(l lack) int {
		switch {
		case l.Item != "" && about(l.Item):
			return 3
		case l.Code != "":
			return 2
		case l.Item != "":
			return 1
		}
		return 0
	}
	o.each(func(order fleet.Order) {
		if !fits(order) {
			return
		}
		l, can := o.can(order)
		ok = ok || can
		if weight(l) > weight(why) && l.Code != fleet.CodeNotOnMenu {
			why = l
		}
	})
	return why, ok
}

// sweet reports whether some coffee can be made with so much sugar that can be made
// at all, and what is in the way if none can.
func (o *offer) sweet(doses int) (why lack, ok bool) {
	if o.levels != nil && doses > 0 && o.levels[fleet.ItemSugar].Available() < doses {
		return lack{Item: fleet.ItemSugar}, false
	}
	one := false
	o.each(func(order fleet.Order) {
		if _, can := o.can(order); !can {
			return
		}
		one = true
		order.Sugar = doses
		_, can := o.can(order)
		ok = ok || can
	})
	return lack{Unsweet: one}, ok || !one
}

// span is the wait over all coffees that can be made; known is false if nobody can say,
// and away is true where that is because no machine is here.
func (o *offer) span() (low, high time.Duration, known, away bool) {
	o.each(func(order fleet.Order) {
		w := o.waits[choice{order.Size, order.Bean, order.Milk}]
		if _, can := o.can(order); !can || !w.Known {
			away = away || can && w.Code == fleet.CodeAway
			return
		}
		if !known || w.Low < low {
			low = w.Low
		}
		high, known = max(high, w.High), true
	})
	return low, high, known, away && !known
}

// outlook asks the shop for the ways of its open orders, once for all pages that are drawn
// after a change.
type outlook struct {
	shop Shop

	mu      sync.Mutex      // guards what follows
	changed <-chan struct{} // closed at news of the book since
	at      time.Time
	all     map[string]fleet.Forecast
}

// of is an order's way as it is now, at most offerAge old; false where nobody knows.
func (o *outlook) of(ctx context.Context, news func() <-chan struct{}, id string) (fleet.Forecast, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if age := time.Since(o.at); o.changed == nil || age >= offerAge || age >= breath && isClosed(o.changed) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), offerTime)
		defer cancel()
		o.changed = news() // before it is asked
		o.all, o.at = o.shop.Forecasts(ctx), time.Now()
	}
	f, ok := o.all[id]
	return f, ok
}
