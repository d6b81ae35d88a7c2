package controller

import (
	"context"
	"maps"
	"time"

	"barista/fleet"
)

// herald tells the events that the records of the book demand, in their order. It
// begins with the last record that is told: a crash may have come between two
// events of one record, and a second one is dropped.
func (c *Controller) herald(ctx context.Context) error {
	from, err := c.p.Events.Told(ctx)
	if err != nil {
		return err
	}
	end, err := c.p.Book.Since(ctx, time.Unix(1<<33, 0)) // long after all that is written
	if err != nil {
		return err
	}
	if from >= end {
		c.log.Warn("events are told of records that the book does not have; all of it is told again", "told", from, "end", end)
		from = 0
	}
	refused, accepted := map[string]time.Time{}, map[string]time.Time{}
	return c.p.Ledger.Follow(ctx, max(from, 1), func(r fleet.Record) {
		score := scored(r, accepted)
		for _, e := range c.events(r, refused) {
			if e.At = r.Written; e.Kind == fleet.EvServed {
				e.ETAError = score
			}
			for ctx.Err() == nil {
				err := c.p.Events.Publish(ctx, e, r.Seq)
				if err == nil {
					break
				}
				if fleet.Pause(ctx, time.Second) {
					c.log.Warn("an event could not be told; trying again", "order", e.Order, "event", e.Slot(), "err", err)
				}
			}
		}
	}, nil)
}

// scored is by how much the cup of a record that says served left the range that was
// promised; nil for any other, and where the order was accepted before what was read.
// accepted is when the open orders were, by the broker's clock: it is for statistics.
func scored(r fleet.Record, accepted map[string]time.Time) *float64 {
	id := r.Order.ID
	switch {
	case !r.IsClaim:
		return nil
	case r.Phase == fleet.Accepted && r.Epoch == 1:
		accepted[id] = r.Written
		return nil
	case !r.Phase.Ended():
		return nil
	}
	at, known := accepted[id]
	delete(accepted, id)
	missed, told := r.Scored(at, r.Written)
	if !known || !told {
		return nil
	}
	return &missed
}

// events are those of one record. refused is who was told of as refused; of the
// list's last one the record says what was wanted.
func (c *Controller) events(r fleet.Record, refused map[string]time.Time) (out []fleet.Event) {
	switch {
	case r.IsClaim:
		if r.Outcome == fleet.Made && r.Took > 0 {
			c.paces.measured(r.Machine(), r.Order.Size, r.Took)
		}
		return r.Claim.Events()
	case r.Refusals != nil:
		list := map[string]time.Time{}
		for _, one := range r.Refusals.List {
			if list[one.Order] = one.At; refused[one.Order].Equal(one.At) {
				continue
			}
			e := fleet.Event{Order: one.Order, Kind: fleet.EvRefused, Epoch: 1, Reason: answered(one.Answer)}
			if what := r.Refusals.What; what != nil && what.ID == one.Order {
				e.Name, e.What = what.Name, what
			}
			out = append(out, e)
		}
		clear(refused)
		maps.Copy(refused, list)
	}
	return out
}
