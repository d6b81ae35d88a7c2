package controller

import (
	"context"
	"errors"
	"fmt"

	"barista/fleet"
)

// Standing says how the shop stands to its book, and what a person can do.
func (c *Controller) Standing(context.Context) (fleet.Standing, error) {
	return c.p.Witness.Standing(), nil
}

// AcceptLoss is a person's word that what the book has lost is lost: the orders that
// it may concern become unknown, for a person to settle one by one, ids from before
// are refused, and the shop opens. A *StateError says that nothing is lost; any other
// error leaves open what came of it.
func (c *Controller) AcceptLoss(ctx context.Context, by, why string) error {
	by, err := who(by)
	if err != nil {
		return err
	}
	if why = fleet.Plain(why); why == "" {
		return errors.New("a reason must be given: what happened to the store?")
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if !fleet.Await(ctx, c.running) || !fleet.Await(ctx, c.p.Ledger.Ready()) {
		return errOpening
	}
	_, err = c.p.Ledger.Act(ctx, func(fleet.View) (*fleet.Record, error) {
		l, err := c.p.Witness.Loss(by, why)
		if err != nil {
			return nil, err
		}
		return &fleet.Record{Act: true, Loss: l}, nil
	})
	switch {
	case errors.Is(err, fleet.ErrNotAllowed):
		return &StateError{Message: err.Error()}
	case err != nil:
		return fmt.Errorf("%w; look at it and ask again (%w)", errUnsure, err)
	}
	c.moved.raise()
	return nil
}

// GoOn goes on without a machine that the roll call awaits: a person says that it has
// made nothing that the book does not know.
func (c *Controller) GoOn(ctx context.Context, machine, by, why string) error {
	by, err := who(by)
	if err != nil {
		return err
	}
	if why = fleet.Plain(why); why == "" {
		return errors.New("a reason must be given: why does it not come?")
	}
	return c.p.Witness.GoOn(ctx, machine, by, why)
}

// flows waits until it is known whether anything may be done with an order; a sentence
// for a customer where it may not.
func (c *Controller) flows(ctx context.Context, order string, fresh bool) (a fleet.Answer, ok bool) {
	err := c.p.Witness.Flows(ctx, order, fresh)
	if err == nil {
		return a, true
	}
	if !errors.Is(err, fleet.ErrClosed) {
		c.log.Warn("an order is in doubt", "order", order, "err", err)
	}
	if c.p.Witness.Standing().State == fleet.StandClosed {
		return fleet.Sorry(order, fleet.CodeUnavailable, "The shop is closed at the moment: its records are being looked at. Please ask again later with the same order id."), false
	}
	return fleet.Sorry(order, fleet.CodeUnavailable, "The shop is making sure of its records. Please ask again with the same order id."), false
}

// barred is the answer to an id that the book does not know, made before it lost
// something: nobody can say whether it was accepted, and made.
func barred(id string) fleet.Answer {
	return fleet.Sorry(id, fleet.CodeConflict, "The shop has lost some of its records from the time of this order and can't say what became of it. Please order anew, with a new id.")
}

// covered makes every order unknown that an accepted loss may concern.
func (s *sweeper) covered(ctx context.Context) error {
	l := s.p.Ledger.Loss()
	if l == nil || l.Seq == s.settled {
		return nil
	}
	left := 0
	err := each(ctx, s.p.Ledger.Open(), func(ctx context.Context, e fleet.Entry) error {
		created := uint64(0)
		if !l.All {
			var err error
			if created, err = s.p.Witness.Created(ctx, e.Order.ID); err != nil {
				return err
			}
		}
		if !l.Covers(e, created) {
			return nil
		}
		left++
		err := s.doubt(ctx, e, because(fleet.CodeBookLost, ""))
		if err == nil {
			left--
		}
		return err
	})
	if err == nil && left == 0 {
		s.settled = l.Seq
		s.p.Witness.Settled(l.Seq)
	}
	return err
}

// doubt has an order put before a person.
func (s *sweeper) doubt(ctx context.Context, e fleet.Entry, why fleet.Reason) error {
	if _, err := s.write(ctx, e, e.Lose(self, why)); err != nil {
		return err
	}
	s.log.Error("what became of an order may be lost: a person must say (barista settle, barista again)", "order", e.Order.ID, "was", string(e.Phase), "machine", e.Machine())
	return nil
}

// flowing reports whether anything may be done with an order now. What may not is
// looked at again.
func (c *Controller) flowing(ctx context.Context, e fleet.Entry) bool {
	return !c.mayNot() && c.p.Witness.Flows(ctx, e.Order.ID, false) == nil
}
