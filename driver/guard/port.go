package guard

import (
	"errors"
	"fmt"
	"time"
)

// port is one wire to the hardware. Its driver is called by one goroutine at a
// time; the goroutine lives while there is something to call, so that a rig at
// rest has none. All fields are under Rig.mu.
type port struct {
	name  string
	queue []*call
	busy  *call // in the driver now
	// stuck: the call was given up, the goroutine is still inside the driver.
	// Nothing else is called on this port before it comes out; then the parts
	// of the port are switched off, and it ends.
	stuck bool
	err   error         // with stuck
	idle  chan struct{} // closed when no goroutine serves
}

func newPort(name string) *port {
	to := &port{name: name, idle: make(chan struct{})}
	close(to.idle)
	return to
}

// call is one command on its way to the driver.
type call struct {
	part   *part
	atMost time.Duration // 0: switch off
	given  bool          // given up: what comes of it counts for nothing
	done   chan struct{} // closed when err is final
	err    error
}

func newCall(p *part, atMost time.Duration) *call {
	return &call{part: p, atMost: atMost, done: make(chan struct{})}
}

func (c *call) String() string {
	if c.atMost > 0 {
		return string(c.part.name) + " on"
	}
	return string(c.part.name) + " off"
}

// finish tells whoever waits. Only the first word counts.
func (c *call) finish(err error) {
	select {
	case <-c.done:
	default:
		c.err = err
		close(c.done)
	}
}

// wait waits for calls and joins their errors.
func wait(calls []*call) error {
	var errs []error
	for _, c := range calls {
		<-c.done
		errs = append(errs, c.err)
	}
	return errors.Join(errs...)
}

// hand puts a call into its port's queue. Rig.mu is held.
func (g *Rig) hand(c *call) {
	to := c.part.port
	to.queue = append(to.queue, c)
	select {
	case <-to.idle:
		to.idle = make(chan struct{})
		go g.serve(to)
	default:
	}
}

// off orders a part off, or joins the order that is under way. An On of the
// part that still waits is dropped, Ons of other parts wait until this is done.
// Rig.mu is held.
func (g *Rig) off(p *part) *call {
	if p.off != nil {
		return p.off
	}
	c := newCall(p, 0)
	if g.closed {
		c.finish(g.named(fmt.Errorf("can't switch %s off: the rig was closed", p.name)))
		return c
	}
	p.off = c
	to := p.port
	var before, after []*call
	for _, q := range to.queue {
		switch {
		case q.part == p:
			q.finish(g.named(fmt.Errorf("can't switch %s: %w", q, errSuperseded)))
		case q.atMost > 0:
			after = append(after, q)
		default:
			before = append(before, q)
		}
	}
	to.queue = before
	g.hand(c)
	to.queue = append(to.queue, after...)
	if to.stuck {
		c.finish(to.err)
	}
	return c
}

// allOff orders everything off, first what is on. Rig.mu is held.
func (g *Rig) allOff() []*call {
	var calls []*call
	for _, on := range []bool{true, false} {
		for _, p := range g.parts {
			if p.on == on {
				calls = append(calls, g.off(p))
			}
		}
	}
	return calls
}

// serve calls the driver until the port's queue is empty.
func (g *Rig) serve(to *port) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(to.queue) > 0 {
		c := to.queue[0]
		to.queue = to.queue[1:]
		to.busy = c
		g.begin(c, time.Now())
		within := time.AfterFunc(g.rig.OffWithin, func() { g.giveUp(to, c) })
		g.mu.Unlock()
		err := c.run()
		within.Stop()
		g.mu.Lock()
		to.busy = nil
		if !c.given {
			g.complete(c, err)
			continue
		}
		to.stuck, to.err = false, nil
		// Whoever asks for an Off from now on gets a true answer again.
		for i, q := range to.queue {
			to.queue[i] = newCall(q.part, 0)
			q.part.off = to.queue[i]
		}
	}
	close(to.idle)
	g.file()
}

// begin starts the clocks of an On: they count from the moment that the driver
// is told. Rig.mu is held.
func (g *Rig) begin(c *call, now time.Time) {
	p := c.part
	if c.atMost == 0 {
		return
	}
	if p.lit.IsZero() {
		p.lit = now
		if now.Sub(p.rest) >= gap {
			p.count = 0
		}
		if p.lim.remembers() {
			g.store.poke()
		}
	}
	p.until = now.Add(c.atMost)
	if last := p.lit.Add(p.lim.MaxOn - p.count); p.until.After(last) {
		p.until = last // the call had to wait for its port
	}
	g.wake()
}

// run calls the driver. A driver that panics must not take the other ports'
// guard with it: for the guard it is an error like any other.
func (c *call) run() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the driver panicked: %v", r)
		}
	}()
	if c.atMost > 0 {
		return c.part.out.On(c.atMost)
	}
	return c.part.out.Off()
}

// complete takes what the driver said. Rig.mu is held.
func (g *Rig) complete(c *call, err error) {
	p, now := c.part, time.Now()
	if err != nil {
		err = g.named(fmt.Errorf("can't switch %s: %w", c, err))
	}
	if c.atMost == 0 {
		p.off = nil
		switch {
		case err == nil:
			g.atRest(p, now)
		case p.retry.IsZero():
			p.retry = now // once more at once: often only the answer got lost
		default:
			p.retry = now.Add(retryOff)
		}
	}
	if err != nil {
		g.fault(err)
	}
	c.finish(err)
	g.wake()
}

// atRest notes that a part is off. Rig.mu is held.
func (g *Rig) atRest(p *part, now time.Time) {
	p.on, p.retry = false, time.Time{}
	if p.lit.IsZero() {
		return // it was never told to go on
	}
	p.ran(p.lit, now)
	p.count += now.Sub(p.lit)
	p.ever = Use{p.ever.For + now.Sub(p.lit), p.ever.Runs + 1}
	p.rest, p.lit = now, time.Time{}
	g.unfiled = g.unfiled || p.lim.remembers()
}

// giveUp is the end of the time that a driver has for one call.
func (g *Rig) giveUp(to *port, c *call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if to.busy != c {
		return // it came back in this very moment
	}
	c.given = true
	to.stuck = true
	to.err = g.named(&StuckError{Port: to.name, Call: c.String(), Within: g.rig.OffWithin})
	if c.part.off == c {
		c.part.off = nil
	}
	for _, q := range to.queue {
		q.finish(to.err)
	}
	to.queue = nil
	for _, p := range g.parts {
		if p.port == to {
			p.off = nil
			g.off(p) // for the moment when the driver comes back
		}
	}
	g.fault(to.err)
	c.finish(to.err)
	g.file()
}
