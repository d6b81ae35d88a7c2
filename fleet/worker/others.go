package worker

import (
	"context"
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
func (w *Worker) passOn(ctx context.Context, t *fleet.Ticket, alone time.Duration) {
	id, _ := fleet.OrderOfMessage(t.MessageID)
	read, err := w.Desk.Take(ctx, id) // who else is here
	if err != nil || !read.Can {
		w.giveBack(t, alone)
		return
	}
	w.set(func() { w.shuns[t.Class] = time.Now().Add(time.Duration(read.Others+3) * passTime) })
	w.giveBack(t, passTime)
}

// claimedByOther looks at an order that somebody else holds but has not fenced.
// It is taken over only when the lease is over and that owner, in all three
// parts, is not here or says that it has something else, or nothing, in hand: a
// machine that was killed over its claim and started again is the same owner, but
// the order is no more likely to come to it than to anybody, and never does while
// it is cordoned or latched. The desk looks at both again.
func (w *Worker) claimedByOther(ctx context.Context, t *fleet.Ticket, read fleet.Told) verdict {
	e := read.Entry
	if left := fleet.Lease - read.Age; left > 0 {
		w.giveBack(t, left+jitter(100*time.Millisecond))
		return letGo
	}
	if read.AtIt {
		w.giveBack(t, jitter(notNow))
		return letGo
	}
	_, done, v := w.ask(ctx, t, fleet.DeskRelease, e, fleet.Ask{Reason: because(fleet.CodeNotInHand, e.Machine())})
	if done {
		return goOn
	}
	return v
}

// brewingUnderMyName meets its own name on a brew that this worker is not
// making. If the owner is me in all three parts and the journal has no start,
// of this epoch or a later one, the command never left, and a new fence goes on. In every other case of doubt
// the outcome is unknown, at once: nobody else can know better.
func (w *Worker) brewingUnderMyName(ctx context.Context, t *fleet.Ticket, e fleet.Entry) verdict {
	k := journal.Key{Order: e.Order.ID, Epoch: e.Epoch}
	j := w.Machine.Journal()
	st := j.State(k)
	if e.Owns(w.owner) && j.Latest(k.Order) < k.Epoch {
		if err := w.Machine.Able(w.drink(e.Claim)); err != nil {
			return w.untouched(ctx, t, e, refusal(err))
		}
		if err := w.awaitCup(ctx, e, w.cupThere(ctx, e.Order)); err != nil {
			return w.untouched(ctx, t, e, refusal(err))
		}
		return w.fence(ctx, t, e)
	}
	if e.Owner.Journal == w.owner.Journal && (st.Phase == journal.Ended || st.Phase == journal.Confirmed) {
		c, ok := w.push(k, st.Outcome, reasonOf(st.Reason), 0, nil)
		w.putDown(t, c, ok)
		return letGo
	}
	return w.move(ctx, t, fleet.DeskPark, e, fleet.Ask{Reason: because(fleet.CodeNoRecord, w.cfg.Name)})
}

// untouched gives back an order that was fenced by me and never commanded: the
// journal proves it.
func (w *Worker) untouched(ctx context.Context, t *fleet.Ticket, e fleet.Entry, reason fleet.Reason) verdict {
	return w.move(ctx, t, fleet.DeskEnd, e, fleet.Ask{Outcome: fleet.Untouched, Reason: reason, StepBack: true})
}

// brewingElsewhere leaves a brew to its owner, until nobody can still be making
// it. Then all that another machine may say is unknown.
func (w *Worker) brewingElsewhere(ctx context.Context, t *fleet.Ticket, read fleet.Told) verdict {
	e := read.Entry
	switch {
	case read.Left == 0:
		return w.move(ctx, t, fleet.DeskPark, e, fleet.Ask{Reason: because(fleet.CodeNotHeard, e.Machine())})
	case read.Age > fleet.AckWait && read.Idle:
		// Its owner is here and has nothing in hand: killed after its fence and before
		// its journal's start, and started again. It alone can go on, or say that it
		// can't; the others keep away for a moment, so that the order comes to it before
		// them. Each of them may get it once before the owner does.
		w.set(func() { w.shuns[t.Class] = time.Now().Add(time.Duration(read.Others+2) * (passTime + 2*time.Second)) })
		w.giveBack(t, passTime)
	default:
		w.giveBack(t, min(lookAgain, read.Left+time.Second))
	}
	return letGo
}
