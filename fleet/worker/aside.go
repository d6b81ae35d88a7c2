package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"barista/fleet"
	"barista/machine"
)

// gazette publishes events in order, off the path of the drink. What a crash
// takes with it is told again by the claim; the ends are not left to it.
type gazette struct {
	events fleet.Events
	log    *slog.Logger
	in     chan fleet.Event
	idle   chan chan struct{}
}

func newGazette(e fleet.Events, log *slog.Logger) *gazette {
	return &gazette{events: e, log: log, in: make(chan fleet.Event, 256), idle: make(chan chan struct{})}
}

// post never blocks: the owner loop of the machine calls it.
func (g *gazette) post(e fleet.Event) {
	e.At = time.Now()
	select {
	case g.in <- e:
	default:
		g.log.Warn("an event was dropped, the broker is too slow", "order", e.Order, "kind", e.Kind)
	}
}

// Run publishes until ctx ends.
func (g *gazette) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-g.in:
			g.publish(ctx, e)
		case done := <-g.idle:
			for len(g.in) > 0 && ctx.Err() == nil {
				g.publish(ctx, <-g.in)
			}
			close(done)
		}
	}
}

func (g *gazette) publish(ctx context.Context, e fleet.Event) {
	if e.Kind == fleet.EvPercent {
		g.events.Live(e)
		return
	}
	for tries := range 3 {
		err := g.events.Publish(ctx, e)
		if err == nil || ctx.Err() != nil {
			return
		}
		if tries == 2 {
			g.log.Warn("an event was not stored", "order", e.Order, "kind", e.Kind, "err", err)
			return
		}
		if !fleet.Pause(ctx, 100*time.Millisecond) {
			return
		}
	}
}

// flush waits until what was posted is out, for at most d.
func (g *gazette) flush(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	done := make(chan struct{})
	select {
	case g.idle <- done:
	case <-t.C:
		return
	}
	select {
	case <-done:
	case <-t.C:
	}
}

// watchSettings follows the menu and this machine's cordon. known is closed
// when what was there is read.
func (w *Worker) watchSettings(ctx context.Context, known chan struct{}) {
	key := fleet.CordonKey(w.cfg.Name)
	err := w.Settings.Watch(ctx, func(k string, v []byte) {
		switch k {
		case key:
			var c *fleet.Cordon
			if v != nil {
				parsed := fleet.ParseCordon(v)
				c = &parsed
			}
			w.set(func() { w.cordon = c })
		case fleet.KeyMenu:
			m, err := fleet.ParseMenu(v)
			if err != nil {
				w.Log.Warn("the menu can't be used, the former one stays", "err", err)
				return
			}
			w.set(func() { w.menu = m })
		}
	}, func() { close(known) })
	if ctx.Err() == nil {
		w.Log.Error("settings", "err", err)
	}
}

// announce says every PresenceEvery, and at every change, that the machine is
// here.
func (w *Worker) announce(ctx context.Context) {
	tick := time.NewTicker(fleet.PresenceEvery)
	defer tick.Stop()
	var last fleet.Presence
	rest := time.NewTimer(0) // between two words
	defer rest.Stop()
	due := true
	for {
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		machineChanged := w.Machine.Changed()
		p, changed := w.Presence()
		rest.Reset(saySoon)
		// A percent is no news: the live events tell it.
		if due || p.State != last.State || p.Note != last.Note || p.Order != last.Order || !slices.Equal(p.Lacks, last.Lacks) {
			if err := w.Fleet.Announce(ctx, p); err != nil && ctx.Err() == nil {
				w.Log.Debug("presence", "err", err)
			}
			if p.State != last.State {
				w.Log.Info("state", "state", p.State, "note", p.Note, "order", p.Order)
			}
			last, due = p, false
		}
		select {
		case <-ctx.Done():
			bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = w.Fleet.Leave(bye, w.cfg.Name) // the entry ends by itself otherwise
			cancel()
			return
		case <-tick.C:
			due = true
		case <-changed:
		case <-machineChanged:
		}
	}
}

// Presence is what the machine says of itself now, and a channel that closes
// when that may have changed.
func (w *Worker) Presence() (fleet.Presence, <-chan struct{}) {
	st := w.Machine.Status()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := fleet.Presence{
		Machine: w.cfg.Name, Owner: w.owner, Classes: w.cfg.Classes, Sizes: w.cfg.Sizes, State: fleet.State(st.State),
		Order: w.hand, Cup: w.cfg.Cup, Driver: w.cfg.Driver, MinWaiting: w.cfg.MinWaiting, Drinks: w.drinks,
		Percent: st.Percent, Version: w.cfg.Version, Lacks: st.Lacks,
	}
	if w.drinks > 0 {
		p.Seconds = (w.busy / time.Duration(w.drinks)).Seconds()
	}
	why := reasonOf(st.Reason)
	switch {
	case st.State == machine.StateFault:
	case w.leaving:
		p.State, why = fleet.StateDraining, because(fleet.CodeLeaving, "")
	case w.cordon != nil:
		p.State, why = fleet.StateCordoned, because(fleet.CodeCordoned, w.cordon.By+": "+w.cordon.Reason)
		if w.hand != "" {
			p.State = fleet.StateDraining
		}
	case w.owes && w.hand == "":
		p.State, why = fleet.StateUnsynced, because(fleet.CodeUnsynced, "")
	case w.hand != "" && st.State == machine.StateReady:
		p.State = fleet.StateBusy
	case st.CupStands:
		p.State, why = fleet.StateWaiting, because(string(machine.CupStands), "")
	}
	p.Code, p.Detail, p.Quote, p.Note = why.Code, why.Detail, why.Quote, why.Text
	return p, w.changed
}

// serve hears the commands for this machine.
func (w *Worker) serve(ctx context.Context) {
	err := w.Server.Serve(ctx, fleet.CommandSubject(w.cfg.Name), false, func(ctx context.Context, _ string, body []byte) []byte {
		var c fleet.Command
		a := fleet.CommandAnswer{Message: "not a command"}
		if err := json.Unmarshal(body, &c); err == nil {
			a = w.command(c)
		}
		b, _ := json.Marshal(a)
		return b
	})
	if ctx.Err() == nil {
		w.Log.Error("commands", "err", err)
	}
}

func (w *Worker) command(c fleet.Command) fleet.CommandAnswer {
	var err error
	switch c.Verb {
	case "cup":
		err = w.Machine.CupThere(c.Order)
	case "stop":
		if c.By == "" {
			err = fmt.Errorf("who stops it is missing")
			break
		}
		w.Machine.Stop("by " + c.By + ": " + c.Why)
	case "clear-fault":
		err = w.Machine.ClearFault(c.By, c.Why)
	default:
		err = fmt.Errorf("this machine does not know the command %q", c.Verb)
	}
	if err != nil {
		return fleet.CommandAnswer{Message: err.Error()}
	}
	w.Log.Info("command", "verb", c.Verb, "order", c.Order, "by", c.By, "why", c.Why)
	return fleet.CommandAnswer{OK: true, Message: "done"}
}
