package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

// A machine whose process ends without a word (kill -9, a crash) keeps what it had taken
// and not begun from the others until the queue's time is over, and counts as here until
// its last word does no more. Its closed socket says so at once: nobody listens any more
// where this process answered. So while an order waits for longer than a machine needs to
// begin, those that may hold it are asked whether they live. A link that fell silent says
// nothing, and is waited for as ever.
const (
	// askLives is how often; atIt is how old an order's record must be before it is odd that
	// nobody has begun.
	askLives = 250 * time.Millisecond
	atIt     = 200 * time.Millisecond
	// askTwice is the time between the two questions that nobody hears: a machine that is
	// just finding its shop again lives.
	askTwice = 150 * time.Millisecond
	// livesTime is how long a process has to answer, mostAsked how many are asked at once.
	livesTime = 300 * time.Millisecond
	mostAsked = 16
	// pouring is how often one is asked that the book says is at a drink, and holds nothing
	// else: whether others count on it goes by that.
	pouring = 2 * time.Second
)

// deaths looks for machines that died.
type deaths struct {
	*Controller
	met   map[string]*fleet.Machine // by name, as they are here
	asked map[string]time.Time      // when each was last
	dead  []dead
	anew  map[string]fleet.Revision // orders that were given to others for that, as they were then
}

// dead is a machine as it was, and until when orders are looked for that it held: one that
// came to it at the last moment is too young at first.
type dead struct {
	*fleet.Machine
	until time.Time
}

func (d *deaths) died(m *fleet.Machine) {
	d.dead = append(d.dead, dead{m, time.Now().Add(atIt + 2*askLives)})
}

func (c *Controller) runDeaths(ctx context.Context) {
	if c.p.Requester == nil {
		return
	}
	d := &deaths{Controller: c, asked: map[string]time.Time{}, anew: map[string]fleet.Revision{}}
	for {
		changed := c.p.Ledger.Changed()
		d.meet()
		if len(d.waiting()) == 0 && len(d.dead) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
		if !fleet.Pause(ctx, askLives) {
			return
		}
		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("what a dead machine held could not be given to others yet", "err", err)
		}
	}
}

// waiting are the orders that no machine has begun.
func (d *deaths) waiting() []fleet.Entry {
	open := d.counted()
	out := slices.Clip(open.queue)
	for _, e := range open.inHand {
		if e.Phase == fleet.Claimed {
			out = append(out, e)
		}
	}
	return out
}

// meet notes who is here. A machine that has another process than before has lost one.
func (d *deaths) meet() {
	before := d.met
	d.met = make(map[string]*fleet.Machine, len(before))
	for _, m := range d.p.Roll.Machines() {
		if !m.Here {
			continue
		}
		if was := before[m.Machine]; was != nil && was.Owner.Nonce != m.Owner.Nonce {
			d.died(was)
		}
		d.met[m.Machine] = m
	}
}

// look asks once whoever may hold an order that waits.
func (d *deaths) look(ctx context.Context) error {
	d.meet()
	odd := slices.DeleteFunc(slices.Clone(d.waiting()), func(e fleet.Entry) bool {
		return e.Phase == fleet.Again || d.p.Ledger.Age(e) < atIt
	})
	suspects := d.suspects(odd)
	if suspects = d.nobody(ctx, suspects); len(suspects) > 0 && fleet.Pause(ctx, askTwice) {
		for _, m := range d.nobody(ctx, suspects) {
			d.log.Warn("a machine's process is gone, nobody listens there any more", "machine", m.Machine, "order", m.Order)
			d.p.Roll.Gone(m.Machine, m.Owner.Nonce)
			d.died(m)
		}
	}
	if len(d.dead) == 0 {
		d.anew = map[string]fleet.Revision{}
		return nil
	}
	if err := d.release(ctx, odd); err != nil {
		return err
	}
	d.dead = slices.DeleteFunc(d.dead, func(m dead) bool { return time.Now().After(m.until) })
	return nil
}

// suspects are the machines that may hold one of these orders, the ones that were not
// asked for longest first.
func (d *deaths) suspects(odd []fleet.Entry) []*fleet.Machine {
	if len(odd) == 0 {
		return nil
	}
	inHand := d.counted().inHand
	var out []*fleet.Machine
	for _, m := range d.p.Roll.Machines() {
		has, is := inHand[m.Machine]
		switch {
		case !m.Here || !fleet.IsNonce(m.Owner.Nonce):
		case is && has.Phase == fleet.Brewing && time.Since(d.asked[m.Machine]) < pouring:
		case !is && m.Order == "" && !m.Presence.Able(): // takes none
		case is, m.Order != "", slices.ContainsFunc(odd, func(e fleet.Entry) bool { return slices.Contains(m.Classes, e.Order.Class()) }):
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b *fleet.Machine) int { return d.asked[a.Machine].Compare(d.asked[b.Machine]) })
	return out[:min(len(out), mostAsked)]
}

// nobody asks these machines' processes whether they live, and returns those where nobody
// listens. One that does not answer may just be slow.
func (d *deaths) nobody(ctx context.Context, ask []*fleet.Machine) (gone []*fleet.Machine) {
	silent := make([]bool, len(ask))
	var wg sync.WaitGroup
	for i, m := range ask {
		d.asked[m.Machine] = time.Now()
		wg.Go(func() {
			soon, cancel := context.WithTimeout(ctx, livesTime)
			defer cancel()
			_, err := d.p.Requester.Request(soon, fleet.ProcessSubject(m.Machine, m.Owner.Nonce), []byte(fleet.Lives))
			silent[i] = errors.Is(err, fleet.ErrNobody)
		})
	}
	wg.Wait()
	for i, m := range ask {
		if silent[i] {
			gone = append(gone, m)
		}
	}
	return gone
}

// release has the orders come to others that a dead machine may have had in hand and that
// the book says nobody has begun: what was handed out and is in no living machine's hands.
// Its own message comes again later, and finds the order begun or over.
func (d *deaths) release(ctx context.Context, odd []fleet.Entry) error {
	held := func(m dead, e fleet.Entry) bool {
		if e.Phase == fleet.Claimed {
			return e.Owns(m.Owner)
		}
		return slices.Contains(m.Classes, e.Order.Class())
	}
	odd = slices.DeleteFunc(odd, func(e fleet.Entry) bool {
		return d.anew[e.Order.ID] == e.Revision || !slices.ContainsFunc(d.dead, func(m dead) bool { return held(m, e) }) ||
			slices.ContainsFunc(d.p.Roll.Machines(), func(m *fleet.Machine) bool { return m.Here && m.Order == e.Order.ID })
	})
	if len(odd) == 0 {
		return nil
	}
	given, err := d.p.Orders.Given(ctx)
	if err != nil {
		return err
	}
	_, there, _, err := d.stored(ctx)
	if err != nil {
		return err
	}
	odd = slices.DeleteFunc(odd, func(e fleet.Entry) bool {
		m, is := there[e.Order.ID] // the newest of them
		return !is || m.Seq > given[m.Class]
	})
	return each(ctx, odd, func(ctx context.Context, e fleet.Entry) error {
		tried, err := d.publishCopy(ctx, e, "a machine died that may have had this order in hand, and nobody has begun it; publishing it anew")
		if tried && err == nil {
			d.anew[e.Order.ID] = e.Revision
		}
		return err
	})
}
