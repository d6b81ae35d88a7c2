package guard

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run keeps ceilings and lease until ctx ends; then everything is switched off,
// what a restart must know is written, and Run returns. The error says what
// could not be switched off, which driver hangs, or what could not be written.
// Once in the life of a Rig.
func (g *Rig) Run(ctx context.Context) error {
	g.mu.Lock()
	if g.phase != ready {
		g.mu.Unlock()
		return g.named(errors.New("the guard of this rig ran already"))
	}
	g.phase = running
	close(g.started)
	g.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return g.end()
		case <-timer.C:
		case <-g.kick:
		}
		if next, any := g.turn(time.Now()); any {
			timer.Reset(next)
		} else {
			timer.Stop()
		}
	}
}

// Started is closed when Run has begun: before that no output can be switched
// on.
func (g *Rig) Started() <-chan struct{} { return g.started }

// turn does what is due and tells how long there is nothing to do. With
// everything off, and all on disk, there is nothing to wait for: Run sleeps until
// it is kicked.
func (g *Rig) turn(now time.Time) (next time.Duration, any bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turns++
	soon := func(at time.Time) {
		if left := at.Sub(now); !any || left < next {
			next, any = left, true
		}
	}
	if at, failed := g.store.retry(now); failed {
		soon(at)
	}
	if !g.anyOn() {
		return next, any
	}
	if g.latch == nil {
		over := g.base.Add(time.Duration(g.lease.Load())).Add(lapse)
		if now.Before(over) {
			soon(over)
		} else {
			g.fault(fmt.Errorf("the control loop gave no sign of life for %v", lapse))
		}
	}
	for _, p := range g.parts {
		if !p.on || p.off != nil || p.lit.IsZero() {
			continue // at rest, or its port has something to do for it
		}
		at := p.until
		if g.latch != nil {
			at = p.retry
		}
		if now.Before(at) {
			soon(at)
		} else {
			g.off(p)
		}
	}
	return next, any
}

// wake has Run look again.
func (g *Rig) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// end is Run's way out. An Off that failed is tried once more: often it was
// only the answer that got lost.
func (g *Rig) end() error {
	g.mu.Lock()
	g.phase = ended // from here on nothing goes on
	g.mu.Unlock()
	err := g.AllOff()
	if err != nil {
		err = g.AllOff()
	}
	for _, to := range g.ports {
		g.mu.Lock()
		idle, stuck := to.idle, to.stuck
		g.mu.Unlock()
		if !stuck { // its calls are done, it is just leaving
			late := time.NewTimer(slowestOff)
			select {
			case <-idle:
			case <-late.C: // somebody called it again
			}
			late.Stop()
		}
	}
	return errors.Join(err, g.saved())
}
