package witness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"barista/fleet"
)

// settled waits until the book of the present connection was looked at.
func (w *Witness) settled(ctx context.Context) error {
	for {
		w.mu.Lock()
		done, changed := w.looked(), w.changed
		w.mu.Unlock()
		if done {
			return nil
		}
		if !fleet.Await(ctx, changed) {
			return fleet.Saying("the shop is making sure that its book is whole", fleet.ErrClosed)
		}
	}
}

// looked reports whether it was. The caller holds the lock.
func (w *Witness) looked() bool {
	return w.state != fleet.StandLooking && w.link == w.p.Link.Reconnects()
}

// Changed is closed when the standing may be another one.
func (w *Witness) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Standing says how the shop stands to its book.
func (w *Witness) Standing() fleet.Standing {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fleet.Standing{State: w.state}
	switch {
	case !w.looked():
		s.State, s.Why = fleet.StandLooking, "the shop is making sure that its book is whole"
	case w.state == fleet.StandClosed:
		s.Gone = w.saved.Gone
		s.Why = s.Gone.String() + "; no order is taken, made or changed"
	case w.state == fleet.StandRollCall:
		s.Missing = w.awaited()
		s.Why = "orders from before the start of the shop wait until it is known what the machines have made: " + strings.Join(s.Missing, ", ") + " not heard of yet"
	}
	return s
}

// Flows says whether anything may be done with an order: nil, or fleet.ErrClosed with
// the reason in words. fresh: its id was made a moment ago, here. It waits while the
// book is looked at.
func (w *Witness) Flows(ctx context.Context, order string, fresh bool) error {
	if err := w.settled(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	if w.broken != nil {
		_ = w.keep(w.due)
	}
	state, pending, loss, news, from := w.state, w.pending, w.loss, w.news[order], w.since
	broken, awaited, gone := w.broken, w.awaited(), w.saved.Gone
	w.mu.Unlock()
	switch {
	case broken != nil:
		return fleet.Saying(broken.Error(), fleet.ErrClosed)
	case state == fleet.StandClosed:
		return fleet.Saying(gone.String(), fleet.ErrClosed)
	case fresh:
		return nil
	case state == fleet.StandRollCall && !news:
		created, err := w.Created(ctx, order)
		if err != nil {
			return err
		}
		if !w.young(order, from) || created != 0 && created <= from.Seq {
			return fleet.Saying("an order from before the shop's start waits until it is known what was made: "+strings.Join(awaited, ", ")+" not heard of yet", fleet.ErrClosed)
		}
		w.mu.Lock()
		w.news[order] = true
		w.mu.Unlock()
	case pending:
		e, err := w.p.Book.Read(ctx, order)
		if errors.Is(err, fleet.ErrNotFound) {
			return nil
		}
		created := uint64(0)
		if err == nil && !loss.All {
			created, err = w.Created(ctx, order)
		}
		if err != nil {
			return err
		}
		if loss.Covers(e, created) {
			return fleet.Saying("what came of the order is lost", fleet.ErrClosed)
		}
	}
	return nil
}

// Created is where an order's first record stands; 0: nowhere.
func (w *Witness) Created(ctx context.Context, order string) (uint64, error) {
	all, err := w.p.Book.History(ctx, order)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[0].Seq, nil
}

// young reports whether an id was made since, and not ahead of the shop's clock. A
// clock that was set right meanwhile moves the beginning with it, but never back.
func (w *Witness) young(order string, from since) bool {
	made, ok := fleet.IDTime(order)
	now := w.p.Wall()
	return ok && !made.Before(began(from, now, w.cfg.Up())) && !made.After(now)
}

// began is when it was, by the clock as it is now.
func began(from since, now time.Time, up time.Duration) time.Time {
	if by := now.Add(from.Up - up); by.After(from.At) {
		return by
	}
	return from.At
}

// Heard takes what a machine knows. fleet.ErrClosed: the shop is closed, by this mark
// or before. It waits while the book is looked at.
func (w *Witness) Heard(ctx context.Context, machine string, m fleet.Mark) error {
	if err := w.settled(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	known := w.reported[machine] && m == w.mark && w.state != fleet.StandClosed
	w.mu.Unlock()
	if known {
		return nil // the shop's own, a moment ago
	}
	who := machine
	if who == fleet.ByShop || who == fleet.ByGaps {
		who = "machine " + who // no name: what they stand for is another kind of proof
	}
	if err := w.hear(ctx, who, m); err != nil {
		return err
	}
	return w.present(machine)
}

// hear looks whether the book keeps a mark, and closes the shop if not.
func (w *Witness) hear(ctx context.Context, who string, m fleet.Mark) error {
	w.mu.Lock()
	f := facts{made: w.made, loss: w.loss, last: w.mark}
	looked, gone := w.looked(), w.saved.Gone
	w.mu.Unlock()
	if !looked {
		return fleet.Saying("the shop is making sure that its book is whole", fleet.ErrClosed)
	}
	kept, err := w.keeps(ctx, m, f)
	if err == nil && !kept { // it may be older than the book
		top := f.last
		if f, err = w.read(ctx); err == nil {
			f.last = top
			kept, err = w.keeps(ctx, m, f)
		}
	}
	if err != nil {
		return err
	}
	if !kept {
		g := w.gone(who, m, f.last)
		if gone == nil {
			gone = g
			if err := w.shut(g); err != nil {
				return err
			}
			_, _ = w.others(ctx, m) // so that they close too; else the machine tells them
		}
	}
	if gone != nil {
		return fleet.Saying(gone.String(), fleet.ErrClosed)
	}
	return nil
}

// shut closes the shop for what a machine knows.
func (w *Witness) shut(g *fleet.Gone) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.saved.Gone != nil {
		return nil
	}
	w.saved.Gone, w.saved.Boot, w.saved.Since, w.saved.Era = g, w.cfg.Boot, w.since, w.loss.Era()
	w.turn(fleet.StandClosed)
	w.log.Error("the shop is closed: "+g.String()+"; a person must accept the loss (barista broker accept-loss)", "by", g.By)
	return w.save()
}

// present notes that a machine has told its mark, and ends the roll call with the last
// of them.
func (w *Witness) present(machine string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reported[machine] {
		return nil
	}
	w.reported[machine] = true
	if !slices.Contains(w.saved.Roster, machine) {
		w.saved.Roster = union(w.saved.Roster, []string{machine})
		if err := w.save(); err != nil {
			delete(w.reported, machine)
			return err
		}
	}
	return w.complete()
}

// complete ends the roll call if nobody is awaited any more. The caller holds the
// lock.
func (w *Witness) complete() error {
	if w.state != fleet.StandRollCall || len(w.awaited()) > 0 {
		return nil
	}
	w.saved.Roll = false
	if err := w.save(); err != nil {
		w.saved.Roll = true
		return err
	}
	w.log.Info("every machine has said what it knows: all orders flow again")
	w.turn(fleet.StandOpen)
	return nil
}

// GoOn goes on without a machine, which leaves the roster: a person says that it has
// made nothing that the book does not know. The other controllers, which call rolls of
// their own, are told. fleet.ErrNotFound: it is in no roster.
func (w *Witness) GoOn(ctx context.Context, machine, by, why string) error {
	if !fleet.IsToken(machine) {
		return fleet.Saying("that is no machine's name", fleet.ErrNotFound)
	}
	err := w.without(machine, by, why)
	if w.p.Ask == nil {
		return err
	}
	body, bad := json.Marshal(leaver{machine, by, why})
	if bad != nil {
		return bad
	}
	answers, bad := w.p.Ask(ctx, leavers, body)
	if bad != nil {
		return fmt.Errorf("other controllers may still await %s: say it again: %w", machine, bad)
	}
	for _, b := range answers {
		var a left
		switch bad := json.Unmarshal(b, &a); {
		case bad != nil:
		case a.Failed != "":
			return fmt.Errorf("another controller still awaits %s: say it again: %s", machine, fleet.Plain(a.Failed))
		case a.Done && errors.Is(err, fleet.ErrNotFound):
			err = nil
		}
	}
	return err
}

// leaver is the machine that a person goes on without, as controllers tell each other.
type leaver struct {
	Machine string `json:"machine"`
	By      string `json:"by"`
	Why     string `json:"why"`
}

// left is the answer; neither: it was not in that roster.
type left struct {
	Done   bool   `json:"done,omitempty"`
	Failed string `json:"failed,omitempty"`
}

// leave answers another controller, or this one, that goes on without a machine.
func (w *Witness) leave(_ context.Context, body []byte) []byte {
	var l leaver
	var a left
	if json.Unmarshal(body, &l) == nil && fleet.IsToken(l.Machine) {
		err := w.without(l.Machine, fleet.Plain(l.By), fleet.Plain(l.Why))
		if a.Done = err == nil; err != nil && !errors.Is(err, fleet.ErrNotFound) {
			a.Failed = err.Error()
		}
	}
	b, _ := json.Marshal(a)
	return b
}

// without takes a machine from this controller's roster.
func (w *Witness) without(machine, by, why string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.saved.Roster, machine)
	if i < 0 {
		return fleet.Saying("no machine "+machine+" is awaited", fleet.ErrNotFound)
	}
	had := w.saved.Roster
	w.saved.Roster = slices.Delete(slices.Clone(had), i, i+1)
	if err := w.save(); err != nil {
		w.saved.Roster = had
		return err
	}
	delete(w.reported, machine)
	w.log.Warn("the shop goes on without a machine", "machine", machine, "by", by, "why", why)
	return w.complete()
}

// Loss is the act by which a person accepts what is lost; fleet.ErrNotAllowed where
// nothing is.
func (w *Witness) Loss(by, why string) (*fleet.Loss, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != fleet.StandClosed || !w.looked() {
		return nil, fleet.Saying("nothing is lost, as far as the shop and its machines know", fleet.ErrNotAllowed)
	}
	g := *w.saved.Gone
	now := w.p.Wall().UTC()
	l := &fleet.Loss{Gone: g, By: by, Why: why, At: now, Eras: union(w.eras, []string{w.loss.Era(), w.mark.Era})}
	if w.loss != nil {
		l.Eras = union(l.Eras, w.loss.Eras)
	}
	if g.Known != nil {
		l.Eras = union(l.Eras, []string{g.Known.Era})
	}
	if l.All = g.By == fleet.ByShop || g.By == fleet.ByGaps; l.All {
		l.Barred = now
	} else {
		l.Boundary, l.Barred = w.since.Seq, began(w.since, now, w.cfg.Up())
	}
	// A clock that is behind must not let ids of the lost part through. Where the book
	// ends with an order that was made since the start, that one bars nobody.
	marks := []*fleet.Mark{g.Known}
	if g.Ends != nil && (l.All || g.Ends.Seq <= l.Boundary) {
		marks = append(marks, g.Ends)
	}
	for _, m := range marks {
		if m != nil && m.At.After(l.Barred) {
			l.Barred = m.At
		}
	}
	if w.loss != nil && w.loss.Barred.After(l.Barred) {
		l.Barred = w.loss.Barred
	}
	// Nor may a clock that was ahead once, or a machine that says any time, bar every id
	// for years.
	if most := now.Add(barAhead); l.Barred.After(most) {
		w.log.Warn("what was seen of the book is of a time far ahead of the shop's clock: is the clock right?", "seen", l.Barred, "clock", now, "barred", most)
		l.Barred = most
	}
	return l, nil
}

// Settled says that every order which a loss covers is unknown.
func (w *Witness) Settled(loss uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loss != nil && w.loss.Seq == loss {
		w.pending = false
	}
}

// Mark is the shop's own; zero while the book is not known to be whole.
func (w *Witness) Mark() fleet.Mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.looked() || w.state == fleet.StandClosed {
		return fleet.Mark{}
	}
	return w.mark
}

// others tells the other controllers some marks, and returns theirs.
func (w *Witness) others(ctx context.Context, tell ...fleet.Mark) ([]fleet.Mark, error) {
	if w.p.Ask == nil {
		return nil, nil
	}
	body, err := json.Marshal(tell)
	if err != nil {
		return nil, err
	}
	answers, err := w.p.Ask(ctx, marks, body)
	var out []fleet.Mark
	for _, a := range answers {
		var m fleet.Mark
		if json.Unmarshal(a, &m) == nil {
			out = append(out, m)
		}
	}
	return out, err
}

// answer answers another controller that told its marks, with the shop's own.
func (w *Witness) answer(ctx context.Context, body []byte) []byte {
	var theirs []fleet.Mark
	if json.Unmarshal(body, &theirs) == nil && len(theirs) <= 4 {
		for _, m := range theirs {
			if err := w.hear(ctx, fleet.ByShop, m); err != nil {
				w.log.Debug("another controller's mark", "err", err)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b, err := json.Marshal(w.mark)
	if err != nil {
		return nil
	}
	return b
}
