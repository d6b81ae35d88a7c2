package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

const (
	// readyEvery is how often the broker is asked whether an order could be taken,
	// readyFor how long an answer may take.
	readyEvery = time.Second
	readyFor   = time.Second
	// heardWithin is how long ago a leader must have heard of a server that counts; they
	// tell each other once a second.
	heardWithin = 3500 * time.Millisecond
	// awayFor is how long the connection may be gone: with several servers it is back
	// within a second where one of them is left.
	awayFor = 3 * time.Second
	// electedWithin is how long there may be no leader: the servers take up to nine
	// seconds to see that the old one is gone and to agree on another.
	electedWithin = 15 * time.Second
)

// ready is what the broker's side of taking an order needs, as it was seen last.
type ready struct {
	mu  sync.Mutex     // guards what follows
	why *fleet.Trouble // nil: nothing is in the way
}

func (r *ready) set(why *fleet.Trouble) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = why
}

func (r *ready) get() *fleet.Trouble {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why
}

// KeepReady asks every second what an order needs, until ctx ends, and what is in the
// way is among the Troubles: whether enough servers are there to write the book and the
// queue, whether those have a leader, and whether the desk answers. A connection alone
// says nothing of that: one server of three that is left answers, and stores nothing.
//
// A leader that is lost with one server of three is no trouble for as long as an election
// takes, if enough servers are there: orders wait for it. desk asks a desk.
func (c *Conn) KeepReady(ctx context.Context, desk func(context.Context) error) error {
	fine := time.Now()
	for {
		began := time.Now()
		why := c.inTheWay(ctx, desk, began.Sub(fine))
		if ctx.Err() != nil {
			return nil
		}
		if why == nil {
			fine = began
		} else if why.Code == "" { // it passes
			why = nil
		}
		c.ready.set(why)
		if !fleet.Pause(ctx, readyEvery-min(readyEvery/2, time.Since(began))) {
			return nil
		}
	}
}

// inTheWay is why no order could be taken now, nil if one could. It is without a code
// while it may pass: all was well so long ago.
func (c *Conn) inTheWay(ctx context.Context, desk func(context.Context) error, ago time.Duration) *fleet.Trouble {
	wait := &fleet.Trouble{}
	closed := func(about, code, detail string) *fleet.Trouble {
		t := trouble(about, code, detail, "")
		t.Closed = true
		return &t
	}
	if !c.Up() {
		if ago < awayFor {
			return wait
		}
		return closed("", fleet.CodeServersAway, Shown(c.cfg.Servers))
	}
	ctx, cancel := context.WithTimeout(ctx, readyFor)
	defer cancel()
	var all sync.WaitGroup
	found := make([]seen, 2)
	for i, name := range []string{fleet.StreamBook, fleet.StreamOrders} {
		all.Go(func() { found[i] = c.see(ctx, name) })
	}
	asked := desk(ctx)
	all.Wait()
	unled := ""
	for _, s := range found {
		switch {
		case s.short != "":
			return closed(s.stream, fleet.CodeServersAway, s.short)
		case !s.led:
			unled = s.stream
		}
	}
	switch {
	case unled == "" && asked == nil:
		return nil
	case unled != "" && c.state.clustered():
		if gone := c.tooFew(context.WithoutCancel(ctx)); gone != "" {
			return closed(unled, fleet.CodeServersAway, gone)
		}
	case ago < awayFor:
		return wait
	}
	switch {
	case ago < electedWithin:
		return wait
	case unled != "":
		return closed(unled, fleet.CodeNoLeader, unled)
	}
	return closed("", fleet.CodeNoDesk, "")
}

// seen is a stream as its leader sees it.
type seen struct {
	stream string
	led    bool
	short  string // not enough servers keep it to write anything: which are away
}

// see asks the leader of a stream. A leader that lost the others goes on answering for
// ten seconds and more, and can't write: how long ago it heard of them tells.
func (c *Conn) see(ctx context.Context, name string) seen {
	st, err := c.js.Stream(ctx, name)
	if err != nil {
		return seen{stream: name, led: errors.Is(err, jetstream.ErrStreamNotFound)} // that one is Keep's affair
	}
	out := seen{stream: name, led: true}
	in := st.CachedInfo().Cluster
	if in == nil {
		return out
	}
	if in.Leader == "" { // a server that waits for one answers for it
		return seen{stream: name}
	}
	var away []string
	for _, r := range in.Replicas {
		if r.Offline || r.Active > heardWithin {
			away = append(away, r.Name)
		}
	}
	if n := len(in.Replicas) + 1; 2*len(away) >= n {
		out.short = fmt.Sprintf("%d/%d, without %s", n-len(away), n, strings.Join(away, ", "))
	}
	return out
}

// tooFew says which servers are left, where they are too few to agree on anything; empty
// where they are enough, or nobody knows.
func (c *Conn) tooFew(ctx context.Context) string {
	here, err := c.Servers(ctx)
	n := c.state.copies()
	if err != nil || len(here) == 0 || 2*len(here) > n {
		return ""
	}
	return fmt.Sprintf("%d/%d, only %s", len(here), n, strings.Join(here, ", "))
}
