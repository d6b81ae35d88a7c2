package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
	"barista/machine"
	"barista/machine/journal"
)

// verdict is what became of a ticket's order, as far as this worker goes.
type verdict int

const (
	goOn     verdict = iota // read the claim again
	letGo                   // the ticket was settled, or must be left alone
	shortOut                // nobody knows; leave the ticket to come again
)

// handle brings one ticket to rest. It returns when the ticket was settled or
// when nothing may be sent for it any more.
func (w *Worker) handle(ctx context.Context, t *fleet.Ticket) {
	if t.Beat() != nil { // before anything else
		return
	}
	stop := w.beat(t)
	defer stop()

	id, ours := fleet.OrderOfMessage(t.MessageID)
	if !ours {
		w.poison(ctx, t, noOrder(t, "its message has no order's id"))
		return
	}
	w.set(func() { w.hand = id })
	defer w.set(func() { w.hand = "" })

	for tries := 0; ; tries++ {
		e, err := w.Claims.Get(ctx, id)
		switch {
		case errors.Is(err, fleet.ErrNotFound):
			w.poison(ctx, t, noOrder(t, "no claim: this order was never accepted"))
			return
		case err != nil:
			// The link. The queue gives the order to whoever can be reached.
			if !fleet.Pause(ctx, pushPause) || t.Beat() != nil || tries > 10 {
				w.giveBack(t, 0)
				return
			}
			continue
		case e.Order.Class() != t.Class:
			w.poison(ctx, t, "the subject is another class than the order's")
			return
		case tries > 20: // written by others all the time
			w.giveBack(t, jitter(notNow))
			return
		}
		if w.turn(ctx, t, e) != goOn {
			return
		}
	}
}

// turn does one step for the claim as it was just read.
func (w *Worker) turn(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	switch {
	case e.Phase.Ended() || e.Phase == fleet.Unknown:
		w.settle(t, e.Claim)
		return letGo
	case e.Phase == fleet.Accepted:
		return w.take(ctx, t, e)
	case e.Phase == fleet.Claimed && e.Owns(w.owner):
		return w.tryToMake(ctx, t, e)
	case e.Phase == fleet.Claimed:
		return w.claimedByOther(ctx, t, e)
	case e.Phase == fleet.Brewing && e.Machine() == w.cfg.Name:
		return w.brewingUnderMyName(ctx, t, e)
	case e.Phase == fleet.Brewing:
		return w.brewingElsewhere(ctx, t, e)
	}
	w.poison(ctx, t, fmt.Sprintf("the claim has the phase %q, which this version does not know", e.Phase))
	return letGo
}

// take claims an accepted order, unless this machine could not make it anyway.
func (w *Worker) take(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	if a := e.Avoid; a != nil && a.Machine == w.cfg.Name {
		if now, err := w.Claims.Now(ctx); err == nil && now.Before(a.Until) { // the broker's clock
			w.passOn(ctx, t, e, min(a.Until.Sub(now), stepBack))
			return letGo
		}
	}
	if !slices.Contains(w.cfg.Sizes, e.Order.Size) {
		w.passOn(ctx, t, e, jitter(notNow))
		return letGo
	}
	if err := w.Machine.Able(w.drink(e.Claim)); err != nil && e.Attempts < fleet.MaxAttempts {
		w.Log.Warn("cannot make the order now", "order", e.Order.ID, "reason", refusal(err).Text)
		w.passOn(ctx, t, e, jitter(notNow))
		return letGo
	}
	c, err := e.Take(w.owner)
	if err != nil {
		return shortOut
	}
	taken, err := w.Claims.Update(ctx, e, c)
	if err != nil {
		return goOn // conflict or no answer: read again
	}
	if taken.Exhausted() {
		return goOn
	}
	return w.cupAndFence(ctx, t, taken)
}

// tryToMake goes from claimed by me to brewing, or back.
func (w *Worker) tryToMake(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	if e.Exhausted() {
		c, err := e.GiveUp(w.owner)
		return w.move(ctx, t, e, c, err)
	}
	if err := w.Machine.Able(w.drink(e.Claim)); err != nil {
		return w.release(ctx, t, e, refusal(err))
	}
	return w.cupAndFence(ctx, t, e)
}

func (w *Worker) cupAndFence(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	if err := w.awaitCup(ctx, e); err != nil {
		return w.release(ctx, t, e, refusal(err))
	}
	return w.fence(ctx, t, e)
}

// awaitCup waits for a cup at the machine, two minutes at most.
func (w *Worker) awaitCup(ctx context.Context, e fleet.ClaimEntry) error {
	if w.cfg.Cup == string(machine.CupAttended) {
		return nil // a person took the risk; there is nothing to wait for
	}
	now, cancel := context.WithTimeout(ctx, cupSoon)
	err := w.Machine.AwaitCup(now, e.Order.ID)
	cancel()
	if err == nil {
		return nil
	}
	w.news.post(fleet.Event{Order: e.Order.ID, Kind: fleet.EvCup, Epoch: e.Epoch, Machine: w.cfg.Name})
	long, cancel := context.WithTimeout(ctx, cupWait)
	defer cancel()
	defer context.AfterFunc(w.stop, cancel)()
	return w.Machine.AwaitCup(long, e.Order.ID)
}

// refusal is why the machine could not begin.
func refusal(err error) fleet.Reason { return reasonOf(machine.ReasonOf(err)) }

// release gives a claimed order back; nothing moved.
func (w *Worker) release(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry, reason fleet.Reason) verdict {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	c, err := e.Release(reason, w.avoid(ctx))
	if err != nil {
		return shortOut
	}
	if _, err := w.Claims.Update(ctx, e, c); err != nil {
		return goOn
	}
	w.news.post(fleet.Event{Order: e.Order.ID, Kind: fleet.EvReleased, Epoch: e.Epoch, Machine: w.cfg.Name, Reason: reason})
	w.giveBack(t, jitter(notNow))
	return letGo
}

// fence writes brewing and makes the drink. The two seconds to the first relay
// run from sending the fence, not from its answer.
func (w *Worker) fence(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry) verdict {
	c, err := e.Fence(w.owner)
	if err != nil {
		return shortOut
	}
	sent := time.Now()
	fenced, err := w.Claims.Update(ctx, e, c)
	if err != nil {
		return goOn // refused, or nobody knows: read again before anything
	}
	w.news.post(fleet.Event{Order: e.Order.ID, Kind: fleet.EvBrewing, Epoch: e.Epoch, Machine: w.cfg.Name})
	report, fenced := w.make(ctx, fenced, sent)
	w.finish(ctx, t, fenced, report)
	return letGo
}

// make runs the machine. When it could not start in time it stands at an open
// start with nothing moved: then a new fence lets it go on, and if that is
// refused the journal says untouched. The claim comes back as it was last
// written.
func (w *Worker) make(ctx context.Context, e fleet.ClaimEntry, sent time.Time) (machine.Report, fleet.ClaimEntry) {
	begun := time.Now()
	w.set(func() { w.at = step{} })
	job := machine.Job{
		Order: e.Order.ID, Epoch: e.Epoch, Drink: w.drink(e.Claim), Deadline: sent.Add(fleet.FenceTime),
		Progress: func(p machine.Progress) { w.progress(e, p) },
	}
	for {
		r := w.Machine.Make(ctx, job)
		if !r.Late {
			r.Took = time.Since(begun)
			return r, e
		}
		w.Log.Warn("the start came too late, a new fence is needed", "order", e.Order.ID)
		again, sent, ok := w.refence(ctx, e)
		if !ok {
			reason := machine.Reason{Code: string(machine.LateStart)} // and the order was no longer ours
			if err := w.Machine.Abandon(e.Order.ID, e.Epoch, reason); err != nil {
				w.Log.Error("journal", "err", err)
			}
			return machine.Report{Outcome: fleet.Untouched, Reason: reason}, e
		}
		e = again
		job.Deadline = sent.Add(fleet.FenceTime)
	}
}

// refence asks for the order once more, on the revision just read. No answer
// means reading again: only a sure yes goes on, only a sure no or a long
// silence gives up.
func (w *Worker) refence(ctx context.Context, was fleet.ClaimEntry) (fleet.ClaimEntry, time.Time, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for {
		e, err := w.Claims.Get(ctx, was.Order.ID)
		if err == nil {
			c, err := e.Fence(w.owner)
			if err != nil || e.Phase != fleet.Brewing || e.Epoch != was.Epoch {
				return was, time.Time{}, false
			}
			sent := time.Now()
			if again, err := w.Claims.Update(ctx, e, c); err == nil {
				return again, sent, true
			}
		}
		if !fleet.Pause(ctx, pushPause) {
			return was, time.Time{}, false
		}
	}
}

// progress tells steps and, between them, percents. The machine's loop calls it
// at every turn.
func (w *Worker) progress(e fleet.ClaimEntry, p machine.Progress) {
	w.mu.Lock()
	last := w.at
	w.at = step{p.N, p.Percent}
	w.mu.Unlock()
	ev := fleet.Event{Order: e.Order.ID, Kind: fleet.EvStep, Epoch: e.Epoch, Machine: w.cfg.Name, Step: p.Step, N: p.N, Of: p.Of, Percent: p.Percent}
	switch {
	case p.N != last.n:
	case p.Percent != last.percent:
		ev.Kind = fleet.EvPercent
	default:
		return
	}
	w.news.post(ev)
}

// finish pushes the outcome into the claim and settles the ticket by what the
// claim says then.
func (w *Worker) finish(ctx context.Context, t *fleet.Ticket, e fleet.ClaimEntry, r machine.Report) {
	if r.Outcome == fleet.Made {
		w.set(func() { w.drinks++; w.busy += r.Took })
	}
	k := journal.Key{Order: e.Order.ID, Epoch: e.Epoch}
	c, ok := w.push(ctx, k, r.Outcome, reasonOf(r.Reason), r.Took, &e)
	if ok { // else the journal keeps it; the next start pushes again
		w.putDown(t, c)
	}
}

// putDown settles a ticket whose outcome is in the claim and told.
func (w *Worker) putDown(t *fleet.Ticket, c fleet.Claim) {
	if c.Phase.Ended() || c.Phase == fleet.Unknown {
		w.remove(t, c)
	} else {
		w.giveBack(t, 0) // back in the queue, for another machine first
	}
}

// push brings an outcome of the journal into the claim and confirms it in the
// journal. It goes on until the claim has it or no longer awaits it; false only
// when ctx ended before that. known is the claim as it was last written, if
// that is at hand.
func (w *Worker) push(ctx context.Context, k journal.Key, out fleet.Outcome, reason fleet.Reason, took time.Duration, known *fleet.ClaimEntry) (fleet.Claim, bool) {
	w.set(func() { w.owes = true })
	defer w.set(func() { w.owes = false })
	ctx, cancel := afterStop(ctx, settleTime)
	defer cancel()
	for {
		c, err := w.pushOnce(ctx, k, out, reason, took, known)
		if err == nil {
			if j := w.Machine.Journal(); j.State(k).Phase != journal.None { // a want leaves no record
				if err := j.Confirm(k); err != nil {
					w.Log.Error("journal", "err", err)
				}
			}
			return c, true
		}
		if known != nil {
			known = nil // somebody wrote, or nobody knows: read
			continue
		}
		w.Log.Warn("the outcome is not settled yet", "order", k.Order, "epoch", k.Epoch, "outcome", out, "err", err)
		if !fleet.Pause(ctx, pushPause) {
			return c, false
		}
	}
}

func (w *Worker) pushOnce(ctx context.Context, k journal.Key, out fleet.Outcome, reason fleet.Reason, took time.Duration, known *fleet.ClaimEntry) (fleet.Claim, error) {
	var e fleet.ClaimEntry
	if known != nil {
		e = *known
	} else {
		var err error
		e, err = w.Claims.Get(ctx, k.Order)
		if errors.Is(err, fleet.ErrNotFound) {
			return fleet.Claim{Phase: fleet.Failed}, nil // purged after 30 days: nobody awaits it
		}
		if err != nil {
			return fleet.Claim{}, err
		}
	}
	late := fleet.Event{At: time.Now(), Order: k.Order, Kind: fleet.EvEnd, Epoch: k.Epoch, Machine: w.cfg.Name, Outcome: out, Reason: reason, Seconds: took.Seconds()}
	c, err := e.Claim, fleet.ErrNotAllowed
	if e.Epoch == k.Epoch {
		var avoid *fleet.Avoid
		if out != fleet.Made && out != fleet.OutcomeUnknown {
			avoid = w.avoid(ctx)
		}
		c, err = e.End(w.owner, out, reason, avoid)
	}
	if err != nil { // no longer awaited: the end is told as a late event
		if err := w.Events.Publish(ctx, late); err != nil {
			return fleet.Claim{}, err
		}
		return e.Claim, w.publishEnd(ctx, e.Claim, 0)
	}
	if _, err := w.Claims.Update(ctx, e, c); err != nil {
		return fleet.Claim{}, err
	}
	if c.Phase != fleet.Served { // the served event says the same
		if err := w.Events.Publish(ctx, late); err != nil {
			return fleet.Claim{}, err
		}
	}
	return c, w.publishEnd(ctx, c, took)
}

// publishEnd stores the event of a claim's end, once.
func (w *Worker) publishEnd(ctx context.Context, c fleet.Claim, took time.Duration) error {
	ev, ok := c.EndEvent()
	if !ok {
		return nil
	}
	ev.At, ev.Seconds = time.Now(), took.Seconds()
	return w.Events.Publish(ctx, ev)
}

// settle removes the ticket of an order that ended or is parked, after its end
// event is surely there.
func (w *Worker) settle(t *fleet.Ticket, c fleet.Claim) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if err := w.publishEnd(ctx, c, 0); err != nil {
		w.Log.Warn("the end is not told yet", "order", c.Order.ID, "err", err)
		return // the ticket comes again, and so does this
	}
	w.remove(t, c)
}

// remove takes the message of an order that ended or is parked out of the queue.
func (w *Worker) remove(t *fleet.Ticket, c fleet.Claim) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	var err error
	if c.Phase == fleet.Served {
		err = t.Done(ctx)
	} else {
		err = t.Terminate(ctx, string(c.Phase)+": "+c.Text, true)
	}
	if err != nil {
		w.Log.Warn("the ticket is not settled yet", "order", c.Order.ID, "err", err)
	}
}

// giveBack returns the ticket to the queue.
func (w *Worker) giveBack(t *fleet.Ticket, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if err := t.Return(ctx, after); err != nil && !errors.Is(err, fleet.ErrStale) {
		w.Log.Warn("the ticket comes back by itself", "order", t.MessageID, "err", err)
	}
}

// poison ends a message that can't be an order that anybody accepted.
func (w *Worker) poison(ctx context.Context, t *fleet.Ticket, reason string) {
	w.Log.Warn("not an order", "subject", t.Subject, "seq", t.Seq, "reason", reason)
	ev := fleet.Event{
		Order: fleet.PoisonID(fleet.StreamOrders, t.Seq), Kind: fleet.EvRefused, Machine: w.cfg.Name,
		Reason: fleet.Reason{Code: fleet.CodeInvalid, Quote: reason, Text: reason}, Payload: t.Body[:min(len(t.Body), fleet.MaxOrder)], Subject: t.Subject, At: time.Now(),
	}
	if err := w.Events.Publish(ctx, ev); err != nil {
		w.giveBack(t, jitter(notNow)) // kept for inspection first
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if err := t.Terminate(ctx, reason, false); err != nil && !errors.Is(err, fleet.ErrStale) {
		w.Log.Warn("the ticket comes again", "seq", t.Seq, "err", err)
	}
}

// noOrder says why a message is no order: what is wrong with its body goes before
// what is wrong with its claim, for whoever inspects it.
func noOrder(t *fleet.Ticket, why string) string {
	if _, err := fleet.DecodeOrder(t.Body, nil); err != nil {
		return err.Error()
	}
	return why
}

// afterStop outlives ctx by the grace, and no longer.
func afterStop(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}
