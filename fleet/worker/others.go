package worker

import (
	"context"
	"slices"
	"time"

	"barista/fleet"
	"barista/machine/journal"
)

// passOn gives back an order that this machine can't make, or should leave to
// others for now. Where nobody else can, it comes again after the given time,
// and others of its class go first meanwhile. Where somebody can, it comes at
// once, and this machine keeps away from the class for as long as all the others
// need to do the same: else those that can't would take it from each other for
// ever, and the one that can would wait.
func (w *Worker) passOn(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry, alone time.Duration) {
	here, err := w.Fleet.Present(ctx)
	others, can := 0, false
	for _, p := range here {
		if p.Machine == w.cfg.Name || !slices.Contains(p.Classes, t.Class) {
			continue
		}
		others++
		can = can || p.Able() && p.Makes(t.Class, e.Order.Size)
	}
	if err != nil || !can {
		w.giveBack(t, alone)
		return
	}
	w.set(func() { w.shuns[t.Class] = time.Now().Add(time.Duration(others+3) * passTime) })
	w.giveBack(t, passTime)
}

// others reports whether one more machine is here that makes all that this one
// makes: able, if it could begin now or after the drink in its hand; soon, if
// nothing but a cup that must be taken is in its way.
func (w *Worker) others(ctx context.Context) (able, soon bool) {
	here, err := w.Fleet.Present(ctx)
	if err != nil {
		return false, false
	}
	for _, p := range here {
		if p.Machine == w.cfg.Name || p.MinWaiting > 0 || // a spare comes later
			slices.ContainsFunc(w.cfg.Classes, func(c fleet.Class) bool { return !slices.Contains(p.Classes, c) }) ||
			slices.ContainsFunc(w.cfg.Sizes, func(s fleet.Size) bool { return !slices.Contains(p.Sizes, s) }) {
			continue
		}
		able = able || p.State == fleet.StateReady || p.State == fleet.StateBusy
		soon = soon || p.State == fleet.StateWaiting && p.Order == ""
	}
	return able, soon
}

// claimedByOther looks at an order that somebody else holds but has not fenced.
// It is taken over only when the lease is over and that owner, in all three
// parts, is not here or says that it has something else, or nothing, in hand: a
// machine that was killed over its claim and started again is the same owner, but
// the order is no more likely to come to it than to anybody, and never does while
// it is cordoned or latched.
func (w *Worker) claimedByOther(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	age, err := w.age(ctx, e)
	if err != nil {
		w.giveBack(t, jitter(notNow))
		return letGo
	}
	if age < fleet.Lease {
		w.giveBack(t, fleet.Lease-age+jitter(100*time.Millisecond))
		return letGo
	}
	here, err := w.Fleet.Present(ctx)
	if err != nil || slices.ContainsFunc(here, func(p fleet.Presence) bool { return e.Owns(p.Owner) && p.Order == e.Order.ID }) {
		w.giveBack(t, jitter(notNow))
		return letGo
	}
	why := because(fleet.CodeNotInHand, e.Machine())
	c, err := e.Release(why, nil)
	if err != nil {
		return shortOut
	}
	if _, err := w.Claims.Update(ctx, e, c); err == nil {
		w.news.post(fleet.Event{Order: e.Order.ID, Kind: fleet.EvReleased, Epoch: e.Epoch, Machine: e.Machine(), Reason: why, By: w.cfg.Name})
	}
	return goOn
}

// brewingUnderMyName meets its own name on a brew that this worker is not
// making. If the owner is me in all three parts and the journal has no start,
// the command never left, and a new fence goes on. In every other case of doubt
// the outcome is unknown, at once: nobody else can know better.
func (w *Worker) brewingUnderMyName(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	k := journal.Key{Order: e.Order.ID, Epoch: e.Epoch}
	st := w.Machine.Journal().State(k)
	if e.Owns(w.owner) && st.Phase == journal.None {
		if err := w.Machine.Able(w.drink(e.Claim)); err != nil {
			return w.untouched(ctx, t, e, refusal(err))
		}
		if err := w.awaitCup(ctx, e); err != nil {
			return w.untouched(ctx, t, e, refusal(err))
		}
		return w.fence(ctx, t, e)
	}
	if e.Owner.Journal == w.owner.Journal && (st.Phase == journal.Ended || st.Phase == journal.Confirmed) {
		if c, ok := w.push(ctx, k, st.Outcome, reasonOf(st.Reason), 0, nil); ok {
			w.putDown(t, c)
		}
		return letGo
	}
	return w.park(ctx, t, e, because(fleet.CodeNoRecord, w.cfg.Name))
}

// untouched gives back an order that was fenced by me and never commanded: the
// journal proves it.
func (w *Worker) untouched(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry, reason fleet.Reason) verdict {
	c, err := e.End(w.owner, fleet.Untouched, reason, w.avoid(ctx))
	return w.move(ctx, t, e, c, err)
}

// brewingElsewhere leaves a brew to its owner, until nobody can still be making
// it. Then all that another machine may say is unknown.
func (w *Worker) brewingElsewhere(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	age, err := w.age(ctx, e)
	if err != nil {
		w.giveBack(t, jitter(notNow))
		return letGo
	}
	limit := w.cfg.UnknownAfter
	if age < limit {
		if age > fleet.AckWait && w.leaveToOwner(ctx, t, e) {
			return letGo
		}
		w.giveBack(t, min(lookAgain, limit-age+time.Second))
		return letGo
	}
	return w.park(ctx, t, e, because(fleet.CodeNotHeard, e.Machine()))
}

// leaveToOwner hands a brew to its owner where that one is here and has nothing in
// hand: killed after its fence and before its journal's start, and started again.
// It alone can go on, or say that it can't; the others keep away for a moment, so
// that it pulls the order before them.
func (w *Worker) leaveToOwner(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) bool {
	here, err := w.Fleet.Present(ctx)
	if err != nil || !slices.ContainsFunc(here, func(p fleet.Presence) bool { return e.Owns(p.Owner) && p.Order == "" && p.State == fleet.StateReady }) {
		return false
	}
	// Each of the others may pull it once before the owner does: an idle machine
	// looks every two seconds.
	w.set(func() { w.shuns[t.Class] = time.Now().Add(time.Duration(len(here)+1) * (passTime + 2*time.Second)) })
	w.giveBack(t, passTime)
	return true
}

func (w *Worker) park(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry, reason fleet.Reason) verdict {
	c, err := e.Park(w.cfg.Name, reason)
	return w.move(ctx, t, e, c, err)
}

// move writes what an arrow made of a claim, and settles the ticket by that: the
// order is over, or comes again.
func (w *Worker) move(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry, c fleet.Claim, err error) verdict {
	if err != nil {
		return shortOut
	}
	if _, err := w.Claims.Update(ctx, e, c); err != nil {
		return goOn
	}
	if c.Phase.Ended() || c.Phase == fleet.Unknown {
		w.settle(t, c)
	} else {
		w.giveBack(t, jitter(notNow))
	}
	return letGo
}

// age is how old a claim's entry is; both ends are the broker's clock.
func (w *Worker) age(ctx context.Context, e fleet.ClaimEntry) (time.Duration, error) {
	now, err := w.Claims.Now(ctx)
	if err != nil {
		return 0, err
	}
	return now.Sub(e.Created), nil
}

// avoid asks the queue to let another machine try first.
func (w *Worker) avoid(ctx context.Context) *fleet.Avoid {
	now, err := w.Claims.Now(ctx)
	if err != nil {
		return nil
	}
	return &fleet.Avoid{Machine: w.cfg.Name, Until: now.Add(stepBack)}
}
