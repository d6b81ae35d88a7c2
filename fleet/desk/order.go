package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
)

// take reads a claim for the machine that holds its ticket, and says what is
// known of the others that may have to do with it.
func (d *Desk) take(ctx context.Context, machine string, a fleet.Ask) fleet.Told {
	e, told := d.read(ctx, a.Order)
	if told.Code != "" {
		return told
	}
	age := d.p.Age(e)
	told = fleet.Told{Entry: e, Age: age}
	if e.Phase == fleet.Brewing {
		told.Left = max(0, d.p.UnknownAfter-age)
	}
	class := e.Order.Class()
	for _, m := range d.p.Roll.Machines() {
		switch {
		case !m.Here:
			continue
		case e.Owns(m.Owner):
			told.AtIt = m.Order == e.Order.ID
			told.Idle = m.Order == "" && m.State == fleet.StateReady && m.Cordon == nil
		}
		if m.Machine != machine && slices.Contains(m.Classes, class) {
			told.Others++
			told.Can = told.Can || m.Able() && m.Makes(e.Order)
		}
	}
	return told
}

// read reads a claim; a code where there is none.
func (d *Desk) read(ctx context.Context, order string) (fleet.Entry, fleet.Told) {
	if order == "" {
		return fleet.Entry{}, refused("about no order")
	}
	e, err := d.p.Book.Read(ctx, order)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return e, fleet.Told{Code: fleet.DeskNone, Text: "the book has no such order"}
	case err != nil:
		return e, notDone(err)
	}
	return e, fleet.Told{}
}

// request is what an arrow is made of: the claim as the book has it, which is the
// record that the machine read, and what it asks.
type request struct {
	*Desk
	ctx     context.Context
	machine string
	e       fleet.Entry
	a       fleet.Ask
}

// arrow answers a request for one of the claim's arrows. next gives the claim as
// it shall be; its error is fleet.ErrNotAllowed where the rules do not have that,
// any other where they could not be looked at.
//
// What begins something is not done for a second process of one name.
func arrow(begins bool, next func(request) (fleet.Claim, error)) func(*Desk, context.Context, string, fleet.Ask) fleet.Told {
	return func(d *Desk, ctx context.Context, machine string, a fleet.Ask) fleet.Told {
		begun := time.Now()
		if a.Owner.Journal == "" || a.Owner.Boot == "" {
			return refused("who asks is not said in full")
		}
		e, told := d.read(ctx, a.Order)
		if told.Code != "" {
			return told
		}
		if e.Revision != a.Revision {
			return fleet.Told{Code: fleet.DeskConflict, Text: "it was changed since", Entry: e}
		}
		if begins && d.twin(ctx, a.Owner) {
			return twin(machine)
		}
		c, err := next(request{d, ctx, machine, e, a})
		switch {
		case errors.Is(err, fleet.ErrNotAllowed):
			return fleet.Told{Code: fleet.DeskRefused, Text: fmt.Sprintf("%s e%d of %q: %v", e.Phase, e.Epoch, e.Machine(), err), Entry: e}
		case err != nil:
			return notDone(err)
		case time.Since(begun) >= fleet.DeskTime:
			// A process that was stopped meanwhile: the machine has long asked anew.
			return notDone(errors.New("the request has waited too long"))
		}
		now, err := d.p.Book.Next(ctx, a.Revision, c)
		switch {
		case errors.Is(err, fleet.ErrConflict):
			return fleet.Told{Code: fleet.DeskConflict, Text: "somebody else was faster", Entry: e}
		case errors.Is(err, fleet.ErrClosed):
			return fleet.Told{Code: fleet.DeskClosed, Text: err.Error(), Entry: e}
		case err != nil:
			return fleet.Told{Code: fleet.DeskUnsure, Text: err.Error(), Entry: e}
		}
		d.p.Wrote(now)
		return fleet.Told{Entry: now}
	}
}

// present refuses a request for another epoch than the claim's: the record is the
// one that was read, so the request contradicts itself.
func (r request) present() error {
	if r.e.Epoch != r.a.Epoch {
		return notNow("it is about epoch %d", r.a.Epoch)
	}
	return nil
}

// avoid asks the queue's machines to let another one try first, where the asking
// one steps back.
func (r request) avoid() (*fleet.Avoid, error) {
	if !r.a.StepBack {
		return nil, nil
	}
	now, err := r.p.Book.Now(r.ctx)
	if err != nil {
		return nil, err
	}
	return &fleet.Avoid{Machine: r.machine, Until: now.Add(stepBack)}, nil
}

func claim(r request) (fleet.Claim, error) {
	if err := r.present(); err != nil {
		return r.e.Claim, err
	}
	return r.e.Take(r.a.Owner)
}

func fence(r request) (fleet.Claim, error) {
	if err := r.present(); err != nil {
		return r.e.Claim, err
	}
	return r.e.Fence(r.a.Owner)
}

// release gives a claimed order back: its owner's, who ends it where the attempts
// are used up; or another's when its lease is over and it is not here, or says
// itself that it is not at this order.
func release(r request) (fleet.Claim, error) {
	if err := r.present(); err != nil {
		return r.e.Claim, err
	}
	switch {
	case r.e.Phase != fleet.Claimed:
		return r.e.Claim, fleet.ErrNotAllowed
	case r.e.Owns(r.a.Owner) && r.e.Exhausted():
		return r.e.GiveUp(r.a.Owner)
	case !r.e.Owns(r.a.Owner):
		if age := r.p.Age(r.e); age < fleet.Lease {
			return r.e.Claim, notNow("its lease has %v to go", (fleet.Lease - age).Round(time.Millisecond))
		}
		if at, err := r.atIt(); err != nil {
			return r.e.Claim, err
		} else if at {
			return r.e.Claim, notNow("its owner is at it")
		}
	}
	avoid, err := r.avoid()
	if err != nil {
		return r.e.Claim, err
	}
	return r.e.Release(r.a.Reason, avoid)
}

// atIt reports whether the claim's owner is here and says that it has the order in
// hand. The roll knows of a word for how long it counts, whatever becomes of the
// broker's clock; the broker knows words that a roll which lags has not heard.
func (r request) atIt() (bool, error) {
	here, err := r.p.Fleet.Present(r.ctx)
	if err != nil {
		return false, err
	}
	at := func(p fleet.Presence) bool { return r.e.Owns(p.Owner) && p.Order == r.e.Order.ID }
	var over uint64 // up to here the roll has heard the owner's words, and they count no more
	for _, m := range r.p.Roll.Machines() {
		switch {
		case m.Machine != r.e.Machine():
		case m.Here && at(m.Presence):
			return true, nil
		case !m.Here:
			over = m.Said
		}
	}
	return slices.ContainsFunc(here, func(p fleet.Presence) bool { return at(p) && p.Said > over }), nil
}

// outcome writes what a machine's journal says of its start. Where the claim does
// not await that any more, it is told as a late event, once, and refused.
func outcome(r request) (fleet.Claim, error) {
	err := r.present()
	switch {
	case r.a.Outcome == "":
		return r.e.Claim, fleet.ErrNotAllowed
	case err == nil:
		var avoid *fleet.Avoid
		if avoid, err = r.avoid(); err != nil {
			return r.e.Claim, err
		}
		var c fleet.Claim
		if c, err = r.e.End(r.a.Owner, r.a.Outcome, r.a.Reason, r.a.Took, avoid); err == nil {
			return c, nil
		}
	}
	if !began(r.e.Claim, r.machine, r.a.Epoch) {
		return r.e.Claim, err
	}
	late := fleet.Event{Order: r.e.Order.ID, Kind: fleet.EvEnd, At: time.Now(), Epoch: r.a.Epoch, Machine: r.machine,
		Outcome: r.a.Outcome, Reason: r.a.Reason, Seconds: r.a.Took}
	if told := r.p.Events.Publish(r.ctx, late, 0); told != nil {
		return r.e.Claim, told
	}
	return r.e.Claim, err
}

// began reports whether the book knows of a start of this machine in that epoch.
func began(c fleet.Claim, machine string, epoch int) bool {
	return c.Epoch == epoch && c.Machine() == machine ||
		slices.ContainsFunc(c.Past, func(p fleet.Past) bool { return p.Epoch == epoch && p.Machine == machine })
}

// park says that nobody can say what came of a brew: a machine of its own at once,
// of another's only when that one can't be making it any more.
func park(r request) (fleet.Claim, error) {
	if err := r.present(); err != nil {
		return r.e.Claim, err
	}
	if r.e.Machine() != r.machine {
		if left := r.p.UnknownAfter - r.p.Age(r.e); left > 0 {
			return r.e.Claim, notNow("its machine may be making it for %v more", left.Round(time.Millisecond))
		}
	}
	return r.e.Park(r.machine, r.a.Reason)
}

func doubt(r request) (fleet.Claim, error) {
	if err := r.present(); err != nil {
		return r.e.Claim, err
	}
	return r.e.Doubt(r.a.Owner, r.a.Reason)
}

// notNow is fleet.ErrNotAllowed with the reason.
func notNow(format string, args ...any) error {
	return fleet.Saying(fmt.Sprintf(format, args...), fleet.ErrNotAllowed)
}
