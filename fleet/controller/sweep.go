package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"barista/fleet"
	"barista/fleet/words"
)

const (
	// sweepEvery is how often the open orders are looked over.
	sweepEvery = 5 * time.Second
	// firstLooks is the time between the first two looks at the queue after a
	// start: what a crash left without a message is in the queue within 2 s. A full
	// queue is looked at as often.
	firstLooks = time.Second
	// inHand is how long a claimed order is left to its machine although it has
	// waited too long: a cup is waited for two minutes.
	inHand = 3 * time.Minute
	// brewLimit is how long a machine may be at a drink; then nobody is.
	brewLimit = fleet.LongestBrew + fleet.UnknownAfter
	// self ends orders in the controller's name.
	self = "controller"
)

// sweeper ends what was left half done.
type sweeper struct {
	*Controller
	orders  map[string]sight          // what is open
	missing map[string]fleet.Revision // open orders that had no message at the last look
	stale   map[uint64]time.Time      // messages that no open order has, and since when
	clock   clock
	named   map[string]bool // what a person was told of already
	settled uint64          // the accepted loss of which every order is unknown
}

// sight is an order as the sweep saw it first. Its times are monotonic.
type sight struct {
	fleet.Revision
	at     time.Time     // when this process heard of the record
	age    time.Duration // how old it surely was then
	doubts int           // how often a person had it made again
	began  time.Time     // its wait; zero: not known yet
	anew   time.Time     // when its message went into the queue again
	often  int           // and how often it did
}

func (c *Controller) runSweep(ctx context.Context) {
	s := &sweeper{Controller: c, named: map[string]bool{}}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	compare := time.NewTimer(0)
	defer compare.Stop()
	next := firstLooks
	var cleared time.Time
	err := s.look(ctx) // first what is over, then what is to be made again
	for {
		changed, stands := c.p.Ledger.Changed(), c.p.Witness.Changed()
		err = errors.Join(err, s.covered(ctx)) // before anything is made
		if err = errors.Join(err, s.remakes(ctx)); err != nil && ctx.Err() == nil {
			c.log.Warn("the sweep was broken off; it comes again", "err", err)
		}
		err = nil
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-stands:
		case <-tick.C:
			err = s.look(ctx)
		case <-c.post.full:
			if time.Since(cleared) >= firstLooks {
				cleared = time.Now()
				err = s.makeRoom(ctx)
			}
		case <-compare.C:
			err = s.compare(ctx)
			compare.Reset(next)
			next = c.cfg.SweepAfter / 2
		}
	}
}

// each does something with orders. One order's trouble does not hold up the next,
// but the first errors are reported.
func each(ctx context.Context, orders []fleet.Entry, do func(context.Context, fleet.Entry) error) error {
	var errs []error
	for _, e := range orders {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		one, cancel := context.WithTimeout(ctx, 2*budget)
		err := do(one, e)
		cancel()
		// Who wrote first is no trouble: the ledger brings the new record.
		if err != nil && !errors.Is(err, fleet.ErrConflict) {
			errs = append(errs, fmt.Errorf("order %s: %w", e.Order.ID, err))
		}
	}
	if len(errs) > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more", len(errs)-3))
	}
	return errors.Join(errs...)
}

// remakes has made again what waits for it.
func (s *sweeper) remakes(ctx context.Context) error {
	return each(ctx, s.counted().again, func(ctx context.Context, e fleet.Entry) error {
		if !s.flowing(ctx, e) {
			return nil
		}
		_, err := s.remake(ctx, e)
		return err
	})
}

// look goes through the open orders once.
func (s *sweeper) look(ctx context.Context) error {
	open := s.p.Ledger.Open()
	before := s.orders
	s.orders = make(map[string]sight, len(open))
	asked := false
	for _, e := range open {
		seen, known := before[e.Order.ID]
		if !known && !asked {
			if err := s.clock.ask(ctx, &s.p); err != nil {
				s.orders = before
				return err
			}
			asked = true
		}
		if seen.Revision != e.Revision {
			seen = sight{Revision: e.Revision, at: time.Now().Add(-s.p.Ledger.Age(e)), doubts: seen.doubts, began: seen.began}
			if !known {
				seen.age = max(0, s.clock.age(e.Written)-s.p.Ledger.Age(e))
			}
		}
		if n := doubts(e.Claim); n != seen.doubts {
			if seen.doubts = n; known {
				seen.began = seen.at
			}
		}
		s.orders[e.Order.ID] = seen
	}
	s.watch.look(s.p.Roll.Machines(), open, s.orders)
	return each(ctx, open, s.lookAt)
}

func (s *sweeper) lookAt(ctx context.Context, e fleet.Entry) (err error) {
	var n fleet.Claim
	switch age := time.Since(s.orders[e.Order.ID].at); {
	case e.Phase == fleet.Accepted, e.Phase == fleet.Again, e.Phase == fleet.Claimed && age > inHand:
		began, err := s.began(ctx, e)
		long := s.expires(e.Order)
		if err != nil || time.Since(began) <= long {
			return err
		}
		most := long.String()
		if !s.flowing(ctx, e) {
			if s.p.Witness.Standing().State != fleet.StandRollCall || !errors.Is(s.p.Witness.Flows(ctx, e.Order.ID, false), fleet.ErrClosed) {
				return nil // also where it is only not known whether it waits
			}
			// It may have been made in the part that is lost.
			return s.doubt(ctx, e, because(fleet.CodeBookLost, most))
		}
		n, err = e.Stop(fleet.Expired, self, fleet.Reason{Code: fleet.CodeExpired, Detail: most, Text: "waited longer than " + most})
		if err != nil {
			return err
		}
	case e.Phase == fleet.Brewing && age > brewLimit:
		if !s.flowing(ctx, e) {
			return nil
		}
		if n, err = e.Park(self, because(fleet.CodeNotHeard, e.Machine())); err != nil {
			return err
		}
	default:
		return nil
	}
	_, err = s.write(ctx, e, n)
	return err
}

// because is a reason of the shop's own.
func because(code, detail string) fleet.Reason {
	return fleet.Reason{Code: code, Detail: detail, Text: words.Line("en", code, detail, "")}
}

// began is when the order began to wait, as far as it is proven: when it was
// accepted, or when a person wanted it made again. The record at hand says so only
// if it is that one; else all of them are read, once for each order that was there
// when this controller began.
func (s *sweeper) began(ctx context.Context, e fleet.Entry) (time.Time, error) {
	seen := s.orders[e.Order.ID]
	switch {
	case !seen.began.IsZero():
	case wantedAgain(e.Claim), e.Phase == fleet.Accepted && e.Epoch == 1:
		seen.began = seen.at.Add(-seen.age)
	default:
		all, err := s.p.Book.History(ctx, e.Order.ID)
		if err != nil {
			return time.Time{}, err
		}
		if err := s.clock.ask(ctx, &s.p); err != nil {
			return time.Time{}, err
		}
		written := e.Written
		for i, r := range all {
			if i == 0 || wantedAgain(r.Claim) {
				written = r.Written
			}
		}
		seen.began = time.Now().Add(-s.clock.age(written))
	}
	s.orders[e.Order.ID] = seen
	return seen.began, nil
}

// wantedAgain reports whether this is the record of a person's "make it again".
func wantedAgain(c fleet.Claim) bool {
	n := len(c.Past)
	return c.Phase == fleet.Again && n > 0 && c.Past[n-1].Outcome == fleet.OutcomeUnknown
}

// doubts counts how often a person had an order made again.
func doubts(c fleet.Claim) (n int) {
	for _, p := range c.Past {
		if p.Outcome == fleet.OutcomeUnknown {
			n++
		}
	}
	return n
}

// compare holds the queue against the book. What is amiss at two looks is mended:
// an open order without a message gets one, or whose message somebody holds, a message
// that no order needs goes.
func (s *sweeper) compare(ctx context.Context) error {
	if s.mayNot() {
		return nil
	}
	if len(s.orders) > 0 || time.Since(s.clock.asked) >= askIdle {
		if err := s.clock.ask(ctx, &s.p); err != nil {
			return fmt.Errorf("the broker's clock: %w", err)
		}
	}
	stored, there, open, err := s.stored(ctx)
	if err != nil {
		return err
	}
	var lost []fleet.Entry
	before := s.missing
	s.missing = map[string]fleet.Revision{}
	for _, e := range s.p.Ledger.Open() {
		id := e.Order.ID
		if !open[id] || e.Phase == fleet.Again {
			continue
		}
		if _, is := there[id]; is {
			if s.held(e) {
				lost = append(lost, e)
			}
			continue
		}
		s.missing[id] = e.Revision
		if before[id] == e.Revision {
			lost = append(lost, e)
		}
	}
	return errors.Join(s.damaged(ctx, there), each(ctx, lost, s.publishAnew), s.clear(ctx, stored, there, open))
}

// makeRoom takes out of a full queue what no order needs any more.
func (s *sweeper) makeRoom(ctx context.Context) error {
	if s.mayNot() {
		return nil
	}
	stored, there, open, err := s.stored(ctx)
	if err != nil {
		return err
	}
	return s.clear(ctx, stored, there, open)
}

// mayNot reports whether nothing may be done about any order now.
func (c *Controller) mayNot() bool {
	state := c.p.Witness.Standing().State
	return state == fleet.StandLooking || state == fleet.StandClosed
}

// stored is what is in the queue, by order too, and which orders are open.
func (c *Controller) stored(ctx context.Context) (stored []fleet.StoredOrder, there map[string]fleet.StoredOrder, open map[string]bool, err error) {
	if stored, err = c.p.Orders.Stored(ctx); err != nil {
		return nil, nil, nil, fmt.Errorf("the queue: %w", err)
	}
	there, open = map[string]fleet.StoredOrder{}, map[string]bool{}
	for _, m := range stored {
		there[m.Order] = m
	}
	for _, e := range c.p.Ledger.Open() {
		if e.Phase.Open() {
			open[e.Order.ID] = true
		}
	}
	return stored, there, open, nil
}

// publishAnew puts an order into the queue that has no message there. A machine
// that settles an order ends the claim before it removes the message, so the book
// is read once more. A second message is harmless.
func (s *sweeper) publishAnew(ctx context.Context, e fleet.Entry) error {
	what, held := "an order has no message in the queue; publishing it", s.missing[e.Order.ID] != e.Revision
	if held {
		what = "an order waits beside a ready machine: somebody holds its message; publishing it anew"
	}
	tried, err := s.publishCopy(ctx, e, what)
	if seen := s.orders[e.Order.ID]; held && tried {
		seen.anew, seen.often = time.Now(), seen.often+1
		s.orders[e.Order.ID] = seen
	}
	return err
}

// publishCopy does that, and says why, if the record is still the order's last and the
// shop knows its book to be whole.
func (c *Controller) publishCopy(ctx context.Context, e fleet.Entry, why string) (tried bool, err error) {
	if !c.flowing(ctx, e) {
		return false, nil
	}
	now, err := c.p.Book.Read(ctx, e.Order.ID)
	if err != nil || now.Revision != e.Revision {
		return false, err
	}
	c.log.Warn(why, "order", e.Order.ID, "phase", string(e.Phase))
	return true, c.p.Orders.Publish(ctx, e, e.Order.ID+"#s"+rand.Text()[:12])
}

// held reports whether an order's message is in the hands of nobody who works on it:
// of a machine that died, while the broker, whose clock was set back, waits for it as
// long. A machine that could begin, or the brew's own, stands idle beside it. Where
// that changes nothing it is tried again, more and more seldom: every time is one
// more message.
func (s *sweeper) held(e fleet.Entry) (is bool) {
	seen, known := s.orders[e.Order.ID]
	if !known || e.Order.IsCare() || time.Since(seen.at) < s.cfg.SweepAfter || time.Since(seen.anew) < s.cfg.SweepAfter<<min(seen.often, 10) {
		return false
	}
	for _, m := range s.p.Roll.Machines() {
		if m.Here && m.Order == e.Order.ID {
			return false // it is at it
		}
		if i, idle := s.watch.idle[m.Machine]; idle && time.Since(i.since) >= s.cfg.SweepAfter/2 {
			is = is || e.Phase != fleet.Brewing && m.Makes(e.Order) || e.Phase == fleet.Brewing && e.Owns(m.Owner)
		}
	}
	return is
}

// clear removes the messages of orders that have ended or are parked, when two
// looks found them: a machine that settles an order is quicker, so no machine was
// there to drop them. Else they would fill the queue. A message whose order the
// book does not know at all is an orphan.
func (s *sweeper) clear(ctx context.Context, stored []fleet.StoredOrder, there map[string]fleet.StoredOrder, open map[string]bool) error {
	before := s.stale
	s.stale = map[uint64]time.Time{}
	var errs []error
	for _, m := range stored {
		if m.Order == "" || open[m.Order] {
			continue
		}
		since, again := before[m.Seq]
		if !again {
			since = time.Now()
		}
		if s.stale[m.Seq] = since; !again || !s.flowing(ctx, fleet.Entry{Claim: fleet.Claim{Order: fleet.Order{ID: m.Order}}}) {
			continue
		}
		switch e, err := s.p.Book.Read(ctx, m.Order); {
		case errors.Is(err, fleet.ErrNotFound):
			if time.Since(since) >= s.cfg.SweepAfter {
				errs = append(errs, s.orphan(ctx, m))
			}
		case errors.Is(err, fleet.ErrDamaged):
			errs = append(errs, s.lose(ctx, e, there))
		case err != nil:
			errs = append(errs, err)
		case !e.Phase.Open():
			errs = append(errs, s.p.Orders.Remove(ctx, m.Seq))
			s.moved.raise()
		}
	}
	return errors.Join(errs...)
}

// orphan puts an order before a person of which there is a message and no record:
// the message proves that it was accepted, and the book has lost it.
func (s *sweeper) orphan(ctx context.Context, m fleet.StoredOrder) error {
	o, portion, ok := s.said(m)
	if !ok {
		return nil
	}
	_, err := s.p.Ledger.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
		if _, known, err := s.known(ctx, v, o.ID, false); known || err != nil {
			return nil, err
		}
		c := fleet.Orphan(o, portion, self, because(fleet.CodeOrphan, ""))
		return &fleet.Record{Act: true, IsClaim: true, Entry: fleet.Entry{Claim: c}}, nil
	})
	if err == nil {
		s.log.Error("the book has lost an order that was accepted: a person must say what came of it", "order", o.ID)
	}
	return err
}
