package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"barista/fleet"
	"barista/machine"
	"barista/machine/journal"
)

// verdict is what became of a ticket's order, as far as this worker goes.
type verdict int

const (
	goOn  verdict = iota // read the claim again
	letGo                // the ticket was settled, or must be left alone
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
	w.set(func() { w.hand, w.came = id, time.Now() })
	defer w.set(func() { w.hand = "" })

	read, created := first(t, id)
	for tries := 0; ; tries++ {
		if !created || tries > 0 {
			var err error
			read, err = w.Desk.Take(ctx, id)
			switch {
			case errors.Is(err, fleet.ErrNotFound):
				w.orphan(ctx, t, id)
				return
			case errors.Is(err, fleet.ErrClosed): // others of its class may flow
				w.giveBack(t, jitter(notNow))
				return
			case err != nil:
				// The link, or no desk. The queue gives the order to whoever can be reached.
				if !fleet.Pause(ctx, pushPause) || t.Beat() != nil || tries > 10 {
					w.giveBack(t, 0)
					return
				}
				continue
			case read.Entry.Order.Class() != t.Class:
				w.poison(ctx, t, "the subject is another class than the order's")
				return
			case tries > 20: // written by others all the time
				w.giveBack(t, jitter(notNow))
				return
			}
		}
		if w.turn(ctx, t, read) != goOn {
			return
		}
	}
}

// first is the claim of an order that comes for the first time, as its create
// said: the message carries all of it, so nothing need be read. If the order has
// gone on since, what is asked on that record is refused, and then it is read.
func first(t *fleet.Ticket, id string) (fleet.Told, bool) {
	o, err := fleet.DecodeOrder(t.Body, nil)
	if err != nil || o.ID != id || t.MessageID != id || o.Class() != t.Class || t.Delivered != 1 || t.Created.Seq == 0 || len(t.Portion) == 0 {
		return fleet.Told{}, false
	}
	return fleet.Told{Entry: fleet.Entry{Claim: fleet.Create(o, t.Portion, fleet.Success(id), ""), Revision: t.Created, Written: t.Stored}}, true
}

// turn does one step for the claim as it was just read.
func (w *Worker) turn(ctx context.Context, t *fleet.Ticket, read fleet.Told) verdict {
	e := read.Entry
	switch {
	case e.Phase.Ended() || e.Phase == fleet.Unknown:
		w.remove(t, e.Claim)
		return letGo
	case e.Phase == fleet.Again: // its next portion is being reserved, or there is none
		after := passTime
		if read.Age > stepBack {
			after = notNow
		}
		w.giveBack(t, jitter(after))
		return letGo
	case (e.Phase == fleet.Accepted || e.Phase == fleet.Claimed) && w.Machine.Journal().Latest(e.Order.ID) >= e.Epoch:
		// The book went back in time: this machine began what is not begun there.
		w.Log.Error("the journal knows a start that the book does not", "order", e.Order.ID, "epoch", e.Epoch)
		return w.move(ctx, t, fleet.DeskDoubt, e, fleet.Ask{Reason: because(fleet.CodeBookBack, w.cfg.Name)})
	case e.Phase == fleet.Accepted:
		return w.take(ctx, t, read)
	case e.Phase == fleet.Claimed && e.Owns(w.owner):
		return w.tryToMake(ctx, t, e)
	case e.Phase == fleet.Claimed:
		return w.claimedByOther(ctx, t, read)
	case e.Phase == fleet.Brewing && e.Machine() == w.cfg.Name:
		return w.brewingUnderMyName(ctx, t, e)
	case e.Phase == fleet.Brewing:
		return w.brewingElsewhere(ctx, t, read)
	}
	// A later version wrote it. Nothing may be made of what can't be understood.
	w.Log.Error("the claim has a phase that this version does not know", "order", e.Order.ID, "phase", e.Phase)
	w.giveBack(t, lookAgain)
	return letGo
}

// ask has one of the claim's arrows made. Where the rules do not have it the
// ticket is given back; where somebody was faster, or nobody knows, the claim
// must be read before anything.
func (w *Worker) ask(ctx context.Context, t *fleet.Ticket, verb string, e fleet.Entry, a fleet.Ask) (now fleet.Entry, done bool, v verdict) {
	a.Owner = w.owner
	now, err := w.Desk.Ask(ctx, verb, e, a)
	switch {
	case err == nil:
		return now, true, letGo
	case errors.Is(err, fleet.ErrNotAllowed):
		w.Log.Warn("the desk does not do it", "order", e.Order.ID, "verb", verb, "err", err)
		w.giveBack(t, jitter(notNow))
		return e, false, letGo
	case errors.Is(err, fleet.ErrTwin):
		w.refused()
		w.giveBack(t, jitter(notNow))
		return e, false, letGo
	case errors.Is(err, fleet.ErrClosed):
		w.Log.Debug("the order waits until the shop knows its book to be whole", "order", e.Order.ID, "verb", verb, "err", err)
		w.giveBack(t, jitter(notNow))
		return e, false, letGo
	}
	return e, false, goOn
}

// move has an arrow made that ends this machine's part, and settles the ticket by
// that: the order is over, or comes again.
func (w *Worker) move(ctx context.Context, t *fleet.Ticket, verb string, e fleet.Entry, a fleet.Ask) verdict {
	now, done, v := w.ask(ctx, t, verb, e, a)
	switch {
	case !done:
	case now.Phase.Ended() || now.Phase == fleet.Unknown:
		w.remove(t, now.Claim)
	default:
		w.giveBack(t, jitter(notNow))
	}
	return v
}

// take begins with an accepted order, unless this machine could not make it
// anyway. Where a cup is there at once, the fence is all that is written.
func (w *Worker) take(ctx context.Context, t *fleet.Ticket, read fleet.Told) verdict {
	e := read.Entry
	if a := e.Avoid; a != nil && a.Machine == w.cfg.Name {
		if left := a.Until.Sub(e.Written.Add(read.Age)); left > 0 { // the broker's clock
			w.passOn(ctx, t, min(left, stepBack))
			return letGo
		}
	}
	if !w.makes(e.Order) || e.Order.IsCare() && !w.mayCare(ctx) {
		w.passOn(ctx, t, jitter(notNow))
		return letGo
	}
	usedUp := e.Attempts >= fleet.MaxAttempts // then it only ends the order
	if err := w.Machine.Able(w.drink(e.Claim)); err != nil && !usedUp {
		w.Log.Warn("cannot make the order now", "order", e.Order.ID, "reason", refusal(err).Text)
		w.passOn(ctx, t, jitter(notNow))
		return letGo
	}
	if !usedUp && w.cupThere(ctx, e.Order) {
		return w.fence(ctx, t, e)
	}
	if !usedUp && w.itself(e.Order) {
		// Something stands where it would rinse: drinks go on, and it comes again.
		w.giveBack(t, jitter(notNow))
		return letGo
	}
	if !usedUp && !e.Order.IsCare() && w.Machine.Status().CupStands && w.asked(ctx).Able {
		// Another machine has become ready since this one pulled, see cupTaken: the
		// customer need not wait for whoever fetches the old cup.
		w.passOn(ctx, t, jitter(notNow))
		return letGo
	}
	claimed, done, v := w.ask(ctx, t, fleet.DeskClaim, e, fleet.Ask{})
	if !done {
		return v
	}
	if claimed.Exhausted() {
		return w.move(ctx, t, fleet.DeskRelease, claimed, fleet.Ask{})
	}
	return w.cupAndFence(ctx, t, claimed, false)
}

// tryToMake goes from claimed by me to brewing, or back.
func (w *Worker) tryToMake(ctx context.Context, t *fleet.Ticket, e fleet.Entry) verdict {
	if e.Exhausted() {
		return w.move(ctx, t, fleet.DeskRelease, e, fleet.Ask{})
	}
	if err := w.Machine.Able(w.drink(e.Claim)); err != nil {
		return w.release(ctx, t, e, refusal(err))
	}
	return w.cupAndFence(ctx, t, e, w.cupThere(ctx, e.Order))
}

func (w *Worker) cupAndFence(ctx context.Context, t *fleet.Ticket, e fleet.Entry, there bool) verdict {
	if err := w.awaitCup(ctx, e, there); err != nil {
		return w.release(ctx, t, e, refusal(err))
	}
	return w.fence(ctx, t, e)
}

// cupThere reports whether nobody has to be waited for.
func (w *Worker) cupThere(ctx context.Context, o fleet.Order) bool {
	switch {
	case w.attended(o):
		return true
	case o.IsCare() && o.Size != fleet.CareRinse:
		return false // nobody can have said yet that he has done his part
	}
	now, cancel := context.WithTimeout(ctx, cupSoon)
	defer cancel()
	return w.await(now, o) == nil
}

// awaitCup waits for a cup that is not there yet, or for whom a care needs, as long as a
// person may take.
func (w *Worker) awaitCup(ctx context.Context, e fleet.Entry, there bool) error {
	if there {
		return nil
	}
	w.passes(fleet.Event{Order: e.Order.ID, Kind: fleet.EvCup, Epoch: e.Epoch})
	long, cancel := context.WithTimeout(ctx, patience(e.Order))
	defer cancel()
	defer context.AfterFunc(w.stop, cancel)()
	defer w.unlessDrained(long, cancel)()
	return w.await(long, e.Order)
}

// unlessDrained cuts a wait for a cup short where somebody wants to open the machine: the
// order, of which nothing has begun, goes to another one. Its returned function waits.
func (w *Worker) unlessDrained(ctx context.Context, cancel func()) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			w.mu.Lock()
			drained, changed := w.word.Cordon != nil && w.word.Cordon.Drain, w.changed
			w.mu.Unlock()
			if drained {
				cancel()
			}
			if drained || !fleet.Await(ctx, changed) {
				return
			}
		}
	})
	return func() {
		end()
		wg.Wait()
	}
}

// refusal is why the machine could not begin.
func refusal(err error) fleet.Reason { return reasonOf(machine.ReasonOf(err)) }

// release gives a claimed order back; nothing moved.
func (w *Worker) release(ctx context.Context, t *fleet.Ticket, e fleet.Entry, reason fleet.Reason) verdict {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	return w.move(ctx, t, fleet.DeskRelease, e, fleet.Ask{Reason: reason, StepBack: true})
}

// fence asks for brewing and makes the drink. The two seconds to the first relay
// run from sending the fence, not from its answer.
func (w *Worker) fence(ctx context.Context, t *fleet.Ticket, e fleet.Entry) verdict {
	sent := time.Now()
	fenced, done, v := w.ask(ctx, t, fleet.DeskFence, e, fleet.Ask{})
	if !done {
		return v
	}
	if !w.fencedAs(fenced, e) {
		return goOn
	}
	if !e.Order.IsCare() {
		w.set(func() { w.pace.cup.add(sent.Sub(w.came).Seconds()) })
	}
	report, fenced := w.make(ctx, fenced, sent)
	w.finish(t, fenced, report)
	return letGo
}

// fencedAs reports whether a desk's answer is what was asked for: this order, in
// this epoch, in my hands. A desk of an earlier version writes down no nonce.
func (w *Worker) fencedAs(now, asked fleet.Entry) bool {
	return now.Phase == fleet.Brewing && now.Owns(w.owner) && (now.Owner.Nonce == w.owner.Nonce || now.Owner.Nonce == "") && now.Order.ID == asked.Order.ID && now.Epoch == asked.Epoch
}

// make runs the machine. When it could not start in time it stands at an open
// start with nothing moved: then a new fence lets it go on, and if that is
// refused the journal says untouched. The claim comes back as it was last
// written.
func (w *Worker) make(ctx context.Context, e fleet.Entry, sent time.Time) (machine.Report, fleet.Entry) {
	begun := time.Now()
	w.set(func() {
		w.at, w.pace.begun = step{}, begun
		w.pace.takes, w.pace.rest, _ = w.pace.say(machine.Outlook{}, false, w.cfg.Cup).Of(e.Order)
	})
	defer w.set(func() { w.pace.begun = time.Time{} })
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

// refence asks for the order once more, on the record just read. No answer means
// reading again: only a sure yes goes on, only a sure no or a long silence gives
// up.
func (w *Worker) refence(ctx context.Context, was fleet.Entry) (fleet.Entry, time.Time, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for {
		read, err := w.Desk.Take(ctx, was.Order.ID)
		switch {
		case errors.Is(err, fleet.ErrNotFound), err == nil && !w.fencedAs(read.Entry, was):
			return was, time.Time{}, false
		case err == nil:
			sent := time.Now()
			again, err := w.Desk.Ask(ctx, fleet.DeskFence, read.Entry, fleet.Ask{Owner: w.owner})
			switch {
			case err == nil && w.fencedAs(again, was):
				return again, sent, true
			case errors.Is(err, fleet.ErrNotAllowed), errors.Is(err, fleet.ErrTwin):
				return was, time.Time{}, false
			}
		}
		if !fleet.Pause(ctx, pushPause) {
			return was, time.Time{}, false
		}
	}
}

// progress tells steps and, between them, percents. The machine's loop calls it
// at every turn.
func (w *Worker) progress(e fleet.Entry, p machine.Progress) {
	w.mu.Lock()
	last := w.at
	w.at = step{p.N, p.Percent}
	w.mu.Unlock()
	ev := fleet.Event{Order: e.Order.ID, Kind: fleet.EvStep, Epoch: e.Epoch, Step: p.Step, N: p.N, Of: len(p.Stages), Percent: p.Percent}
	switch {
	case p.N != last.n:
		for _, s := range p.Stages {
			ev.Stages = append(ev.Stages, fleet.Stage(s))
		}
	case p.Percent != last.percent:
		ev.Kind = fleet.EvPercent
	default:
		return
	}
	w.passes(ev)
}

// finish brings the outcome to a desk and settles the ticket by what the claim
// says then.
func (w *Worker) finish(t *fleet.Ticket, e fleet.Entry, r machine.Report) {
	if r.Outcome == fleet.Made && !e.Order.IsCare() {
		w.set(func() {
			w.drinks++
			w.busy += r.Took
			w.pace.took(e.Order, r.Took, r.Extra)
		})
	}
	k := journal.Key{Order: e.Order.ID, Epoch: e.Epoch}
	c, ok := w.push(k, r.Outcome, reasonOf(r.Reason), r.Took, &e)
	w.putDown(t, c, ok)
}

// putDown settles a ticket whose outcome is in the claim; else the journal keeps it,
// and the next start, or a shop that is open again, hears of it.
func (w *Worker) putDown(t *fleet.Ticket, c fleet.Claim, told bool) {
	switch {
	case !told:
		w.giveBack(t, jitter(notNow))
	case c.Phase.Ended() || c.Phase == fleet.Unknown:
		w.remove(t, c)
	case c.Phase == fleet.Again:
		w.giveBack(t, passTime) // until then its next portion is reserved
	default:
		w.giveBack(t, 0) // back in the queue, for another machine first
	}
}

// push brings an outcome of the journal into the claim and confirms it in the
// journal. It goes on until the claim has it or no longer awaits it; false settleTime
// after a stop, or when the shop is closed for this order: then it is kept, and the
// machine goes on. known is the claim as it was last written, if that is at hand.
func (w *Worker) push(k journal.Key, out fleet.Outcome, reason fleet.Reason, took time.Duration, known *fleet.Entry) (fleet.Claim, bool) {
	w.set(func() { w.owes = true })
	defer w.set(func() { w.owes = false })
	j := w.Machine.Journal()
	// Until the book has the end, the journal is the only place where it stands.
	defer unless(syncAfter, func() {
		if err := j.Sync(); err != nil {
			w.Log.Error("journal", "err", err)
		}
	})()
	ctx, cancel := afterStop(w.stop, settleTime)
	defer cancel()
	var said time.Time
	for {
		c, err := w.pushOnce(ctx, k, out, reason, took, known)
		if err == nil {
			if err := j.Confirm(k); err != nil { // a want has left no record
				w.Log.Error("journal", "err", err)
			}
			delete(w.kept, k)
			return c, true
		}
		if errors.Is(err, fleet.ErrClosed) {
			if w.kept[k] == nil {
				w.Log.Warn("the outcome stays in the journal until the shop knows its book to be whole", "order", k.Order, "epoch", k.Epoch, "outcome", out, "err", err)
			}
			w.kept[k] = &end{out, reason, took}
			if err := j.Sync(); err != nil {
				w.Log.Error("journal", "err", err)
			}
			return c, false
		}
		if known != nil {
			known = nil // somebody wrote, or nobody knows: read
			continue
		}
		if said.IsZero() || time.Since(said) >= saidAgain { // a shop may be away for days
			said = time.Now()
			w.Log.Warn("the outcome is not settled yet, the journal keeps it and it is told again and again", "order", k.Order, "epoch", k.Epoch, "outcome", out, "err", err)
		}
		if !fleet.Pause(ctx, pushPause) {
			return c, false
		}
	}
}

// end is an outcome that waits in the journal.
type end struct {
	out    fleet.Outcome
	reason fleet.Reason
	took   time.Duration
}

// pushKept brings what the journal keeps into the claims, as far as the shop is open.
func (w *Worker) pushKept(ctx context.Context) {
	for k, e := range w.kept {
		if ctx.Err() != nil {
			return
		}
		w.push(k, e.out, e.reason, e.took, nil)
	}
}

// unless does something that takes long if over was not called within the time.
// over waits for it.
func unless(within time.Duration, do func()) (over func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		late := time.NewTimer(within)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
			do()
		}
	})
	return func() { close(done); wg.Wait() }
}

func (w *Worker) pushOnce(ctx context.Context, k journal.Key, out fleet.Outcome, reason fleet.Reason, took time.Duration, known *fleet.Entry) (fleet.Claim, error) {
	var e fleet.Entry
	if known != nil {
		e = *known
	} else {
		read, err := w.Desk.Take(ctx, k.Order)
		if errors.Is(err, fleet.ErrNotFound) {
			return fleet.Claim{Phase: fleet.Failed}, nil // gone from the book: nobody awaits it
		}
		if err != nil {
			return fleet.Claim{}, err
		}
		e = read.Entry
	}
	if w.recorded(e.Claim, k, out) {
		return e.Claim, nil
	}
	now, err := w.Desk.Ask(ctx, fleet.DeskEnd, e, fleet.Ask{
		Owner: w.owner, Epoch: k.Epoch, Outcome: out, Reason: reason, Took: took.Seconds(), StepBack: out != fleet.Made && out != fleet.OutcomeUnknown,
	})
	if errors.Is(err, fleet.ErrNotAllowed) {
		w.Log.Warn("the outcome comes too late for the claim", "order", k.Order, "epoch", k.Epoch, "outcome", out, "err", err)
		return e.Claim, nil // no longer awaited; the desk told it as late
	}
	return now.Claim, err
}

// recorded reports whether the claim has an outcome of mine already: an answer
// got lost.
func (w *Worker) recorded(c fleet.Claim, k journal.Key, out fleet.Outcome) bool {
	return c.Epoch == k.Epoch && c.Machine() == w.cfg.Name && c.Outcome == out ||
		slices.ContainsFunc(c.Past, func(p fleet.Past) bool {
			return p.Epoch == k.Epoch && p.Machine == w.cfg.Name && p.Outcome == out && p.Fenced
		})
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

// orphan meets a message without a record. One that the controller wrote proves
// that the order was accepted, and that the book lost it: what becomes of it is no
// machine's to say, so it is left in the queue. Anything else is no order.
func (w *Worker) orphan(ctx context.Context, t *fleet.Ticket, id string) {
	o, err := fleet.DecodeOrder(t.Body, nil)
	switch {
	case err != nil:
		w.poison(ctx, t, err.Error())
	case o.ID != id:
		w.poison(ctx, t, "its message has the id of another order")
	case o.Class() != t.Class:
		w.poison(ctx, t, "the subject is another class than the order's")
	default:
		w.Log.Error("the book has no record of an order in the queue; the shop must say what becomes of it", "order", id, "seq", t.Seq)
		w.giveBack(t, lookAgain)
	}
}

// poison ends a message that can't be an order that anybody accepted. The queue is
// written by controllers only, so somebody else wrote it.
func (w *Worker) poison(ctx context.Context, t *fleet.Ticket, reason string) {
	w.Log.Error("a message in the queue is no order: somebody writes there who should not", "subject", t.Subject, "seq", t.Seq, "reason", reason)
	err := w.Desk.Poison(ctx, fleet.Poison{Seq: t.Seq, Subject: t.Subject, Why: fleet.Plain(reason), Payload: t.Body[:min(len(t.Body), fleet.MaxOrder)]})
	if err != nil {
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
// what is wrong with its id, for whoever inspects it.
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
