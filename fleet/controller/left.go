package controller

import (
	"context"
	"crypto/rand"
	"errors"

	"barista/fleet"
)

// Left deals with what a machine had in hand whose key was taken away: it can't say
// anything any more, and nobody has to wait until it was silent for long enough. What
// it had not begun goes to another one; what it had is unknown, because it may finish
// it where nobody hears it. It counts as here no more: what it said last would else stand
// for a while.
func (c *Controller) Left(ctx context.Context, machine, by string) error {
	by, err := who(by)
	if err != nil {
		return err
	}
	for _, m := range c.p.Roll.Machines() {
		if m.Machine == machine && m.Here {
			c.p.Roll.Gone(machine, m.Owner.Nonce)
		}
	}
	var mine []fleet.Entry
	for _, e := range c.p.Ledger.Open() {
		if e.Machine() == machine && (e.Phase == fleet.Claimed || e.Phase == fleet.Brewing) {
			mine = append(mine, e)
		}
	}
	return each(ctx, mine, func(ctx context.Context, e fleet.Entry) error {
		gone := because(fleet.CodeRevoked, "")
		e, err := c.change(ctx, e.Order.ID, func(now fleet.Claim) (fleet.Claim, error) {
			switch {
			case now.Machine() != machine:
				return now, errAlready
			case now.Phase == fleet.Claimed:
				return now.Release(gone, nil)
			case now.Phase == fleet.Brewing:
				return now.Park(by, gone)
			}
			return now, errAlready
		}, c.standing)
		// Its message is in the machine's hands for as long as the broker waits for it.
		// A second one is harmless.
		if err == nil && e.Phase == fleet.Accepted {
			err = c.p.Orders.Publish(ctx, e, e.Order.ID+"#l"+rand.Text()[:12])
		}
		var state *StateError
		if errors.As(err, &state) {
			return nil // it has ended by itself
		}
		return err
	})
}
