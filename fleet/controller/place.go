package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
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

// place brings an order to its answer: accepted or refused by its claim, or
// unavailable when nobody knows yet.
func (c *Controller) place(ctx context.Context, o fleet.Order, via string) fleet.Answer {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if !fleet.IsToken(via) {
		via = viaRequest
	}
	if o.ID == "" {
		o.ID = c.newID()
	}
	if !c.ready(ctx) {
		return fleet.Sorry(o.ID, fleet.CodeUnavailable, "The shop is just opening. Please ask again with the same order id.")
	}
	var last error
	for try := range tries {
		if try > 0 && !fleet.Pause(ctx, time.Duration(try)*100*time.Millisecond) {
			break
		}
		a, err := c.answer(ctx, o, via)
		switch {
		case err == nil:
			return a
		case errors.Is(err, fleet.ErrFull):
			return queueFull(o)
		case errors.Is(err, errNotYet):
			return fleet.Sorry(o.ID, fleet.CodeUnavailable, "The shop has just opened, and no machine has said yet that it makes %s in %s. Please ask again with the same order id.", o.Class(), o.Size)
		}
		last = err
	}
	c.log.Warn("an order is in doubt", "order", o.ID, "via", via, "err", last)
	return fleet.Sorry(o.ID, fleet.CodeUnavailable, "It is not known yet whether the order was taken. Please ask again with the same order id.")
}

// answer goes the whole way once.
func (c *Controller) answer(ctx context.Context, o fleet.Order, via string) (fleet.Answer, error) {
	e, err := c.claim(ctx, o, via)
	if err != nil {
		return fleet.Answer{}, err
	}
	if e.Hash != o.Hash() {
		return fleet.Sorry(o.ID, fleet.CodeConflict, "There is another order with this id. A new order needs a new id."), nil
	}
	e, err = c.carry(ctx, e, via != viaIntake)
	if err != nil && !e.Said() { // else a remake is in doubt, and not the order
		return fleet.Answer{}, err
	}
	return e.Answer, nil
}

// errNotYet: in the first seconds after a start, no machine has said that it
// makes this.
var errNotYet = errors.New("no machine has said yet that it makes this")

// claim writes the order's claim, or reads the one that is there.
func (c *Controller) claim(ctx context.Context, o fleet.Order, via string) (fleet.ClaimEntry, error) {
	doses, listed := c.Menu().Portion(o)
	if listed && !c.awaitMaker(ctx, o) {
		// Too early to say: no claim, so that nothing is left half done.
		e, err := c.p.Claims.Get(ctx, o.ID)
		if errors.Is(err, fleet.ErrNotFound) {
			return e, errNotYet
		}
		return e, err
	}
	n := fleet.Claim{
		Phase: fleet.Accepted, Order: o, Hash: o.Hash(), Portion: doses, Epoch: 1, Via: via,
		Answer: c.success(o),
	}
	e, err := c.p.Claims.Create(ctx, n)
	switch {
	case err == nil:
		c.book.wrote(e)
	case errors.Is(err, fleet.ErrExists):
		return c.p.Claims.Get(ctx, o.ID)
	}
	return e, err
}

// success is the answer that goes into the claim: place and time are as they
// are first told.
func (c *Controller) success(o fleet.Order) fleet.Answer {
	g := c.guess(o.Class(), o.Size, o.ID)
	a := fleet.Success(o.ID)
	a.Position = g.Ahead + 1
	a.ETA = []int{int(g.Low.Seconds()), int(g.High.Seconds())}
	return a
}

// made reports whether a machine that is here, or was within seven days, makes
// this.
func (c *Controller) made(o fleet.Order) bool {
	return slices.ContainsFunc(c.p.Roll.Machines(), func(m fleet.Machine) bool { return m.Makes(o.Class(), o.Size) })
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

// carry brings an unmarked accepted claim forward: reserved, in the queue, and
// marked; or refused, or failed if it is a remake. Whoever meets such a claim
// does this: the customer's call, the same id asked again, the sweep. An error
// means that nobody knows yet, but for ErrFull: then the queue took nothing.
//
// mayRefuse allows the refusal because of a full queue: the customer hears it.
// Nobody hears the sweep, and a foreign drop comes back.
func (c *Controller) carry(ctx context.Context, e fleet.ClaimEntry, mayRefuse bool) (fleet.ClaimEntry, error) {
	for range 5 {
		if e.Phase != fleet.Accepted || e.Marked() {
			return e, nil
		}
		sorry, err := c.store(ctx, e)
		full := errors.Is(err, fleet.ErrFull)
		closed := errors.Is(err, fleet.ErrUseClosed)
		switch {
		case full && mayRefuse && e.Epoch == 1:
			a := queueFull(e.Order)
			sorry = &a
		case err != nil && !closed:
			return e, err
		}
		if !closed { // else the claim has moved on: read it
			var n fleet.Claim
			switch {
			case sorry == nil:
				n, err = e.Mark(e.MessageID())
			case e.Epoch == 1:
				n, err = e.Refuse(*sorry)
			default:
				n, err = e.FailStock(answered(*sorry))
			}
			if err != nil {
				return e, fmt.Errorf("order %s: %w", e.Order.ID, err)
			}
			m, err := c.p.Claims.Update(ctx, e, n)
			if err == nil {
				c.book.wrote(m)
				return m, nil
			}
		}
		// Somebody wrote first, or there was no answer: read, then decide anew.
		next, err := c.p.Claims.Get(ctx, e.Order.ID)
		if err != nil {
			return e, err
		}
		if closed && next.Revision == e.Revision {
			return e, fleet.ErrUseClosed
		}
		e = next
	}
	return e, fmt.Errorf("order %s: %w, five times over", e.Order.ID, fleet.ErrConflict)
}

// store reserves and publishes. sorry says why the order can't be had; certain,
// nothing of it is in the queue. An error leaves open what was done, but for
// ErrFull.
func (c *Controller) store(ctx context.Context, e fleet.ClaimEntry) (sorry *fleet.Answer, err error) {
	o := e.Order
	if e.Epoch == 1 {
		switch listed := len(e.Portion) > 0; {
		case !listed:
			a := c.notOnMenu(o)
			return &a, nil
		case !c.made(o) && c.early():
			return nil, errNotYet
		case !c.made(o):
			a := fleet.Sorry(o.ID, fleet.CodeNotOnMenu, "No machine here makes %s in %s.", o.Class(), o.Size)
			return &a, nil
		}
	}
	err = c.p.Stock.Reserve(ctx, o.ID, e.Use, e.Portion)
	var short *fleet.OutOfStockError
	if errors.As(err, &short) {
		a := fleet.Sorry(o.ID, fleet.CodeOutOfStock, "%s", insufficient(o, short.Item))
		return &a, nil
	}
	if err != nil {
		return nil, err
	}
	c.book.reserved(o.ID, e.Use)
	// "Duplicate" counts as stored: the id was made for this claim, and should
	// the message be gone by now, the backstop publishes it anew.
	_, err = c.p.Orders.Publish(ctx, o, e.MessageID())
	if errors.Is(err, fleet.ErrUnlisted) && e.Epoch == 1 {
		a := c.notOnMenu(o)
		return &a, nil
	}
	return nil, err
}

// answered is the reason that an answer gave.
func answered(a fleet.Answer) fleet.Reason {
	return fleet.Reason{Code: a.Code, Quote: a.Message, Text: a.Code + ": " + a.Message}
}

// notOnMenu says what of the order the shop does not sell. Size, bean and milk
// are tokens, so the text can't act.
func (c *Controller) notOnMenu(o fleet.Order) fleet.Answer {
	m := c.Menu()
	what := o.Class().String() // the queue does not take it
	switch _, size := m.Sizes[o.Size]; {
	case !slices.Contains(m.Beans, o.Bean):
		what = "coffee of type " + o.Bean
	case !slices.Contains(m.Milks, o.Milk):
		what = "milk of type " + o.Milk
	case !size:
		what = "size " + string(o.Size)
	}
	return fleet.Sorry(o.ID, fleet.CodeNotOnMenu, "There is no %s on the menu.", what)
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
