package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/text/unicode/norm"

	"barista/fleet"
)

const (
	// budget is how long an order may take to be accepted; the customer has the
	// answer within 2 s.
	budget = 1800 * time.Millisecond
	// graceWait is how much of it is spent on a machine that may come in yet.
	graceWait = 1200 * time.Millisecond
	// tries is how often an order is begun anew when the broker gave no answer.
	tries = 3
)

// The entrances, as a claim's Via.
const (
	viaRequest = "request"
	viaIntake  = "intake"
)

// Place takes an order as anyone may send it: JSON v1, strictly decoded. via
// names the entrance, a token. The answer comes within 2 s.
func (c *Controller) Place(ctx context.Context, body []byte, via string) fleet.Answer {
	o, err := fleet.DecodeOrder(body, norm.NFC.String)
	if err != nil {
		return fleet.Invalid(err)
	}
	return c.place(ctx, o, via)
}

func (c *Controller) newID() string {
	return ulid.MustNew(ulid.Timestamp(c.p.Wall()), rand.Reader).String()
}

// place brings an order to its answer: that of the book, or unavailable when
// nobody knows yet.
func (c *Controller) place(ctx context.Context, o fleet.Order, via string) fleet.Answer {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if !fleet.IsToken(via) {
		via = viaRequest
	}
	ours := o.ID == ""
	if ours {
		o.ID = c.newID()
	}
	if a, ok := c.flows(ctx, o.ID, ours); !ok {
		return a
	}
	if !c.ready(ctx) {
		return fleet.Sorry(o.ID, fleet.CodeUnavailable, "The shop is just opening. Please ask again with the same order id.")
	}
	var last error
	for try := range tries {
		if try > 0 && !fleet.Pause(ctx, time.Duration(try)*100*time.Millisecond) {
			break
		}
		a, err := c.answer(ctx, o, via, ours && try == 0)
		switch {
		case err == nil:
			return a
		case errors.Is(err, fleet.ErrClosed):
			if a, ok := c.flows(ctx, o.ID, ours); !ok {
				return a
			} // it is open again
		case errors.Is(err, errNotYet):
			return fleet.Sorry(o.ID, fleet.CodeUnavailable, "The shop has just opened, and no machine has said yet that it makes %s in %s. Please ask again with the same order id.", o.Class(), o.Size)
		case errors.Is(err, fleet.ErrFull): // not even a refusal could be written
			return fleet.Sorry(o.ID, fleet.CodeUnavailable, "The shop's book is full. The order was not taken; please ask again later with the same order id.")
		}
		last = err
		c.unsure.add(o.ID)
	}
	c.log.Warn("an order is in doubt", "order", o.ID, "via", via, "err", last)
	return fleet.Sorry(o.ID, fleet.CodeUnavailable, "It is not known yet whether the order was taken. Please ask again with the same order id.")
}

// unsure are orders of which this process does not know whether its create was taken,
// as while the servers of a cluster agree on a new leader. One that was is in the queue
// as soon as somebody asks again; the sweep would find it after a minute.
type unsure struct {
	mu  sync.Mutex // guards ids
	ids map[string]bool
}

// mostDoubts bounds what is kept; of more the sweep looks after.
const mostDoubts = 1000

func (d *unsure) add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids == nil || len(d.ids) >= mostDoubts {
		d.ids = map[string]bool{}
	}
	d.ids[id] = true
}

// over reports whether an order was in doubt, and ends that.
func (d *unsure) over(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.ids[id]
	delete(d.ids, id)
	return was
}

// errNotYet: in the first seconds after a start, no machine has said that it
// makes this.
var errNotYet = errors.New("no machine has said yet that it makes this")

// answer decides once, by one act of the book: the order or its refusal. An error
// means that nobody knows. A fresh id was made for this call.
func (c *Controller) answer(ctx context.Context, o fleet.Order, via string, fresh bool) (a fleet.Answer, err error) {
	offer, portion, early := c.offer(ctx, o)
	var made, full bool
	var e fleet.Entry
	decide := func(v fleet.View) (*fleet.Record, error) {
		made = false
		if was, known, err := c.known(ctx, v, o.ID, fresh); known || err != nil {
			if a = was.Answer; was.Hash != o.Hash() {
				a = fleet.Sorry(o.ID, fleet.CodeConflict, "There is another order with this id. A new order needs a new id.")
			}
			if known && was.Phase == fleet.Accepted && was.Epoch == 1 && c.unsure.over(o.ID) {
				c.post.send(was)
			}
			return nil, err
		}
		var told bool
		if a, told = v.Refused(o.ID); told {
			return nil, nil
		}
		if !fresh && v.Loss.Bars(o.ID) {
			a = barred(o.ID)
			return nil, nil
		}
		if early {
			return nil, errNotYet
		}
		a = offer
		if item := v.Short(portion); a.OK() && item != "" {
			a = fleet.Sorry(o.ID, fleet.CodeOutOfStock, "%s", insufficient(o, item))
		}
		if a.OK() && (full || v.Waiting >= fleet.QueueMax) {
			if a = queueFull(o); full {
				a = bookFull(o)
			}
			if via == viaIntake {
				return nil, nil // nobody hears it: the drop comes back, and is decided anew
			}
		}
		if a.OK() {
			made, e.Claim = true, fleet.Create(o, portion, a, via)
			return &fleet.Record{Act: true, IsClaim: true, Entry: fleet.Entry{Claim: e.Claim}}, nil
		}
		r := v.Refuse(o.ID, a)
		r.Refusals.What = &o
		return r, nil
	}
	e.Revision, err = c.p.Ledger.Act(ctx, decide)
	if full = made && errors.Is(err, fleet.ErrFull); full { // certain: nothing was written, and a refusal takes no room
		_, err = c.p.Ledger.Act(ctx, decide)
	}
	if err == nil && made {
		c.post.send(e)
	}
	return a, err
}

// known looks for the id in the book, also among the orders that are over. It is
// asked while an act is decided: an order that was made since would be an act too,
// and this one would come to nothing.
func (c *Controller) known(ctx context.Context, v fleet.View, id string, fresh bool) (fleet.Entry, bool, error) {
	if e, open := v.Of(id); open || fresh {
		return e, open, nil
	}
	e, err := c.p.Book.Read(ctx, id)
	if errors.Is(err, fleet.ErrNotFound) {
		return e, false, nil
	}
	return e, err == nil, err
}

// offer is the answer as far as the book does not decide it: what the shop has on
// its menu and who makes it, and where the order would stand; or it is too early
// to say.
func (c *Controller) offer(ctx context.Context, o fleet.Order) (a fleet.Answer, portion fleet.Items, early bool) {
	menu := c.Menu()
	portion, listed := menu.Portion(o)
	switch {
	case !listed:
		return notOnMenu(menu, o), nil, false
	case !c.awaitMaker(ctx, o):
		return a, nil, true
	case !c.made(o):
		return c.notMade(o), nil, false
	}
	g := c.guess(o)
	a = fleet.Success(o.ID)
	a.Position = g.Ahead + 1
	a.ETA = []int{int(g.Low.Seconds()), int(g.High.Seconds())} // wide where its machines are away
	return a, portion, false
}

// made reports whether a machine that is here, or was within seven days, makes
// this.
func (c *Controller) made(o fleet.Order) bool {
	return slices.ContainsFunc(c.p.Roll.Machines(), func(m *fleet.Machine) bool { return m.Makes(o) })
}

// notMade says what of the order no machine makes.
func (c *Controller) notMade(o fleet.Order) fleet.Answer {
	doses := o.Sugar
	if o.Sugar = 0; doses > 0 && c.made(o) {
		return fleet.Sorry(o.ID, fleet.CodeNotOnMenu, "No machine here makes %s in %s with sugar: %d.", o.Class(), o.Size, doses)
	}
	return fleet.Sorry(o.ID, fleet.CodeNotOnMenu, "No machine here makes %s in %s.", o.Class(), o.Size)
}

// early reports whether the shop has started so lately that machines may not
// have spoken yet.
func (c *Controller) early() bool { return time.Since(c.started) < c.cfg.Grace }

// awaitMaker reports whether it can be said who makes this. After the grace it
// always can; within, it waits a while for a machine to come in.
func (c *Controller) awaitMaker(ctx context.Context, o fleet.Order) bool {
	enough := time.NewTimer(graceWait)
	defer enough.Stop()
	for {
		changed := c.p.Roll.Changed()
		if c.made(o) || !c.early() {
			return true
		}
		select {
		case <-changed:
		case <-enough.C:
			return !c.early()
		case <-ctx.Done():
			return false
		}
	}
}

// answered is the reason that an answer gave.
func answered(a fleet.Answer) fleet.Reason {
	return fleet.Reason{Code: a.Code, Quote: a.Message, Text: a.Code + ": " + a.Message}
}

// notOnMenu says what of the order is not on the menu. Size, bean and milk are
// tokens, so the text can't act.
func notOnMenu(m fleet.Menu, o fleet.Order) fleet.Answer {
	what := "size " + string(o.Size)
	switch {
	case !slices.Contains(m.Beans, o.Bean):
		what = "coffee of type " + o.Bean
	case !slices.Contains(m.Milks, o.Milk):
		what = "milk of type " + o.Milk
	}
	return fleet.Sorry(o.ID, fleet.CodeNotOnMenu, "There is no %s on the menu.", what)
}

func bookFull(o fleet.Order) fleet.Answer {
	return fleet.Sorry(o.ID, fleet.CodeQueueFull, "The shop's book is full and takes no new orders. Please try again later with a new order.")
}

func queueFull(o fleet.Order) fleet.Answer {
	return fleet.Sorry(o.ID, fleet.CodeQueueFull, "The shop is full: %d orders are waiting. Please try again later with a new order.", fleet.QueueMax)
}

// insufficient says what ran out.
func insufficient(o fleet.Order, item string) string {
	switch item {
	case o.Bean:
		return fleet.InsufficientBeans(o.Bean)
	case fleet.MilkItem(o.Milk):
		return "Insufficient milk of type " + o.Milk
	case fleet.ItemSugar:
		return "Insufficient sugar"
	}
	return "Insufficient " + item
}
