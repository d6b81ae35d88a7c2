package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
)

// StateError says that an order's state does not allow what was asked.
type StateError struct {
	Phase   fleet.Phase
	Message string // for the person who asked
}

func (e *StateError) Error() string { return e.Message }

// Unwrap is what rooms that know no controller ask for.
func (e *StateError) Unwrap() error { return fleet.ErrNotAllowed }

// Cancel ends an order before its machine starts. by says who wants it, a
// customer or a person of the shop. Cancelled twice is cancelled. Errors:
// fleet.ErrNotFound, *StateError; any other leaves open what came of it.
func (c *Controller) Cancel(ctx context.Context, order, by string) error {
	by, err := who(by)
	if err != nil {
		return err
	}
	_, err = c.change(ctx, order, func(e fleet.Claim) (fleet.Claim, error) {
		if e.Phase == fleet.Cancelled {
			return e, errAlready
		}
		return e.Stop(fleet.Cancelled, by, fleet.Reason{Code: fleet.CodeCancelled, Text: "cancelled by " + by})
	}, func(e fleet.Entry) string {
		if e.Phase == fleet.Unknown {
			return "too late: " + e.Machine() + " may have made it, and nobody knows yet"
		}
		return "too late: " + c.standing(e)
	})
	return err
}

// Settle is a person's word on an order whose outcome is unknown: it was made,
// or it was not. Errors as with Cancel.
func (c *Controller) Settle(ctx context.Context, order string, made bool, by, reason string) error {
	by, err := who(by)
	if err != nil {
		return err
	}
	if reason = fleet.Plain(reason); reason == "" {
		return errors.New("settle: a reason must be given: how is it known?")
	}
	return c.settle(ctx, order, made, by, fleet.Reason{Code: fleet.CodeSettled, Quote: reason, Text: reason})
}

// Said is a customer's own word on a drink of which nobody knows what came of it: he
// has it, or his cup is empty. The claim names him as "customer"; nothing is made anew.
// Errors as with Cancel, and fleet.ErrNotAllowed where this shop takes no customer's
// word for it: whoever has a website's key could give it for everybody.
func (c *Controller) Said(ctx context.Context, order string, made bool) error {
	if !c.cfg.CustomersSettle {
		return fleet.ErrNotAllowed
	}
	says := "the customer's cup stayed empty"
	if made {
		says = "the customer has the drink"
	}
	return c.settle(ctx, order, made, "customer", fleet.Reason{Code: fleet.CodeSaid, Text: says})
}

func (c *Controller) settle(ctx context.Context, order string, made bool, by string, reason fleet.Reason) error {
	want := fleet.Failed
	if made {
		want = fleet.Served
	}
	_, err := c.change(ctx, order, func(e fleet.Claim) (fleet.Claim, error) {
		if e.Phase == want && e.By == by && e.Text == reason.Text {
			return e, errAlready
		}
		return e.Settle(made, by, reason)
	}, c.notInDoubt)
	return err
}

// MakeAgain is a person's decision to make an order again whose outcome is
// unknown. The caller has shown whether the old machine can be reached. Its next
// portion is reserved before it returns, or else by the sweep. A *StateError with
// phase failed says that the stock does not allow it; the order has ended with
// that.
func (c *Controller) MakeAgain(ctx context.Context, order, by string) error {
	by, err := who(by)
	if err != nil {
		return err
	}
	epoch := 0
	e, err := c.change(ctx, order, func(e fleet.Claim) (fleet.Claim, error) {
		if epoch > 0 && (e.Epoch > epoch || e.Phase == fleet.Again) {
			return e, errAlready // our own write, whose answer got lost
		}
		epoch = e.Epoch
		return e.MakeAgain(by)
	}, c.notInDoubt)
	if err != nil || e.Phase != fleet.Again {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if e, err = c.remake(ctx, e); err != nil {
		c.log.Warn("making it again is left to the sweep", "order", order, "err", err)
		return nil
	}
	if e.Phase == fleet.Failed {
		return &StateError{e.Phase, "it can't be made again: " + e.Text}
	}
	return nil
}

// errOpening: nothing was done.
var errOpening = errors.New("the shop is just opening: ask again in a moment")

// errAlready: the claim says already what was wanted.
var errAlready = errors.New("it is so already")

// change moves a claim by one of its arrows, by compare-and-set. After a lost
// answer it reads again before anything. why says in words why the claim does
// not allow it.
func (c *Controller) change(ctx context.Context, order string, arrow func(fleet.Claim) (fleet.Claim, error), why func(fleet.Entry) string) (fleet.Entry, error) {
	id, err := fleet.ParseID(order)
	if err != nil {
		return fleet.Entry{}, fmt.Errorf("order %q: %w: an order's id is 26 characters long", clip(fleet.Plain(order), 40), fleet.ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if err := c.p.Witness.Flows(ctx, id, false); err != nil {
		return fleet.Entry{}, fmt.Errorf("order %s: nothing was done: %w", id, err)
	}
	if !c.ready(ctx) {
		return fleet.Entry{}, errOpening
	}
	var last error
	for range 5 {
		e, err := c.p.Book.Read(ctx, id)
		if errors.Is(err, fleet.ErrNotFound) {
			return e, fmt.Errorf("order %s: %w", id, err)
		}
		if err == nil {
			n, no := arrow(e.Claim)
			if errors.Is(no, errAlready) {
				return e, nil
			}
			if no != nil {
				return e, &StateError{e.Phase, why(e)}
			}
			if e, err = c.write(ctx, e, n); err == nil {
				return e, nil
			}
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return fleet.Entry{}, fmt.Errorf("order %s: %w; look at it and ask again (%w)", id, errUnsure, last)
}

// write writes the next record of a claim as it was read. What waits to be made
// again is left by acts only: else a remake that is under way could overtake.
func (c *Controller) write(ctx context.Context, read fleet.Entry, n fleet.Claim) (fleet.Entry, error) {
	if read.Phase == fleet.Again {
		return c.act(ctx, read, func(fleet.View) (fleet.Claim, error) { return n, nil })
	}
	e, err := c.p.Book.Next(ctx, read.Revision, n)
	if err == nil {
		c.p.Ledger.Wrote(e)
	}
	return e, err
}

// act writes the next record of a claim as an act. Of what is no act the view may
// lag behind what was read, but it knows of every act that came before.
func (c *Controller) act(ctx context.Context, read fleet.Entry, decide func(fleet.View) (fleet.Claim, error)) (e fleet.Entry, err error) {
	e.Revision, err = c.p.Ledger.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
		if now, open := v.Of(read.Order.ID); !open || now.Seq > read.Seq {
			return nil, fleet.ErrConflict
		}
		var err error
		if e.Claim, err = decide(v); err != nil {
			return nil, err
		}
		return &fleet.Record{Act: true, IsClaim: true, Entry: fleet.Entry{Claim: e.Claim}}, nil
	})
	return e, err
}

// remake reserves for a drink that is to be made again and sends it to the queue,
// or ends the order where there is not enough.
func (c *Controller) remake(ctx context.Context, e fleet.Entry) (fleet.Entry, error) {
	m, err := c.act(ctx, e, func(v fleet.View) (fleet.Claim, error) {
		if item := v.Short(e.Portion); item != "" {
			return e.FailStock(answered(fleet.Sorry("", fleet.CodeOutOfStock, "%s", insufficient(e.Order, item))))
		}
		return e.Remake()
	})
	if err == nil && m.Phase == fleet.Accepted {
		c.post.send(m)
	}
	return m, err
}

func (c *Controller) notInDoubt(e fleet.Entry) string {
	if e.Phase == fleet.Brewing && c.away(e) {
		return "its outcome is not in doubt yet: " + c.standing(e)
	}
	return "its outcome is not in doubt: " + c.standing(e)
}

// away reports whether the machine that has the order can't be reached.
func (c *Controller) away(e fleet.Entry) bool {
	return !slices.ContainsFunc(c.p.Roll.Machines(), func(m *fleet.Machine) bool { return m.Here && m.Machine == e.Machine() })
}

// standing says where an order stands, and what a person can do whose only machine
// has died over it.
func (c *Controller) standing(e fleet.Entry) string {
	switch e.Phase {
	case fleet.Accepted:
		return "it waits"
	case fleet.Claimed:
		return e.Machine() + " has it in hand"
	case fleet.Brewing:
		if !c.away(e) {
			return e.Machine() + " is making it"
		}
		left := max(0, brewLimit-c.p.Ledger.Age(e)) + sweepEvery // at which the sweep looks
		return fmt.Sprintf("%s began to make it and can't be reached; if it says nothing, the outcome is unknown in %v, and then settle and again can be used", e.Machine(), left.Round(time.Second))
	case fleet.Served:
		return "it is served"
	case fleet.Failed:
		return "it has failed: " + e.Text
	}
	return "it is " + string(e.Phase)
}

func who(by string) (string, error) {
	if by = fleet.Plain(by); by == "" {
		return "", errors.New("it must be said who wants this")
	}
	return by, nil
}
