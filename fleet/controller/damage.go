package controller

import (
	"context"
	"errors"
	"fmt"

	"barista/fleet"
)

// damaged looks whether the book still holds what it said last of each order that is
// not over. A record can get lost behind the broker's back, and then the leader
// answers as if it had never been, or with an older one, on which nobody may go on:
// such an order is put before a person.
func (s *sweeper) damaged(ctx context.Context, stored map[string]fleet.StoredOrder) error {
	open := s.p.Ledger.Open()
	for _, one := range s.p.Ledger.Lost() {
		e := fleet.Entry{Revision: fleet.Revision{Seq: one.Seq}}
		e.Order.ID = one.Order
		open = append(open[:len(open):len(open)], e)
	}
	return each(ctx, open, func(ctx context.Context, e fleet.Entry) error { return s.lose(ctx, e, stored) })
}

// lose puts an order before a person whose record at this place the book has lost,
// unless that one or a later one is there. What else is known of the order may be left
// in this process, in its older records or in its message.
func (s *sweeper) lose(ctx context.Context, e fleet.Entry, stored map[string]fleet.StoredOrder) error {
	id := e.Order.ID
	there := func() (bool, error) {
		switch now, err := s.p.Book.Read(ctx, id); {
		case err == nil:
			return now.Seq >= e.Seq, nil
		case errors.Is(err, fleet.ErrNotFound), errors.Is(err, fleet.ErrDamaged):
			return false, nil
		default:
			return false, err
		}
	}
	if is, err := there(); is || err != nil {
		return err
	}
	left := e.Claim
	if left.Phase == "" {
		var err error
		if left, err = s.left(ctx, id, stored); err != nil {
			return err
		}
	}
	if left.Phase == "" {
		s.once(id, func() {
			s.log.Error("the book has lost an open order, and nothing is left to say what it was", "order", id, "seq", e.Seq)
		})
		return nil
	}
	rev, err := s.p.Ledger.Act(ctx, func(fleet.View) (*fleet.Record, error) {
		if is, err := there(); is || err != nil {
			return nil, err
		}
		return &fleet.Record{Act: true, IsClaim: true, Entry: fleet.Entry{Claim: left.Lose(self, because(fleet.CodeLost, fmt.Sprintf("record %d", e.Seq)))}}, nil
	})
	if err == nil && rev.Seq > 0 {
		s.log.Error("the book has lost what it said last of an order: a person must say what came of it", "order", id, "seq", e.Seq, "was", string(left.Phase))
	}
	return err
}

// left is what is still known of an order: its newest record that can be read, or
// what its message says. The phase is empty where nothing is.
func (s *sweeper) left(ctx context.Context, id string, stored map[string]fleet.StoredOrder) (fleet.Claim, error) {
	records, err := s.p.Book.History(ctx, id)
	if err != nil {
		return fleet.Claim{}, err
	}
	if n := len(records); n > 0 {
		return records[n-1].Claim, nil
	}
	if m, there := stored[id]; there {
		if o, portion, ok := s.said(m); ok {
			return fleet.Create(o, portion, fleet.Success(o.ID), ""), nil
		}
	}
	return fleet.Claim{}, nil
}

// said is the order that a message in the queue holds.
func (s *sweeper) said(m fleet.StoredOrder) (fleet.Order, fleet.Items, bool) {
	o, err := fleet.DecodeOrder(m.Body, nil)
	if err != nil || o.ID != m.Order {
		s.once(fmt.Sprint("message ", m.Seq), func() {
			s.log.Error("a message of the queue can't be read, and the book has no record of its order: remove it by hand", "order", m.Order, "seq", m.Seq, "err", err)
		})
		return o, nil, false
	}
	portion := m.Portion
	if len(portion) == 0 {
		portion, _ = s.Menu().Portion(o)
	}
	return o, portion, true
}

// once says something once of each thing.
func (s *sweeper) once(what string, say func()) {
	if !s.named[what] {
		s.named[what] = true
		say()
	}
}
