package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"barista/fleet"
	"barista/machine"
)

// passes has what passes at the machine told, off the path of the drink: the owner
// loop of the machine calls it, so it never waits.
func (w *Worker) passes(e fleet.Event) {
	e.At, e.Machine = time.Now(), w.cfg.Name
	select {
	case w.pass <- e:
	default: // the link is slow, and what passes is soon old
	}
}

// tell tells it.
func (w *Worker) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.pass:
			w.Live.Live(e)
		}
	}
}

// announce says every PresenceEvery, or as often as the shop asks it to, at every
// change, and when somebody wants to know what the shop wants, that the machine is here. The answer is what the shop
// wants; until the next one the last one holds. known is called after the first.
func (w *Worker) announce(ctx context.Context, known func()) {
	every := fleet.PresenceEvery
	if w.cfg.MinWaiting > 0 {
		every = spareLook
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last fleet.Presence
	rest := time.NewTimer(0) // between two words
	defer rest.Stop()
	due, here := true, false
	for {
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		machineChanged := w.Machine.Changed()
		w.mu.Lock()
		w.pace.stood(w.Machine.Status())
		w.mu.Unlock()
		p, changed := w.Presence()
		var again <-chan time.Time
		rest.Reset(saySoon)
		// A percent is no news: the live events tell it.
		if ctx.Err() == nil && (due || p.State != last.State || p.Note != last.Note || p.Order != last.Order || p.Drained != last.Drained || !slices.Equal(p.Lacks, last.Lacks) ||
			!slices.Equal(p.Classes, last.Classes) || !slices.Equal(p.Sizes, last.Sizes) || !slices.Equal(p.Never, last.Never) || !slices.Equal(p.Care, last.Care) || p.LastAct != last.LastAct) {
			if p.State != last.State {
				w.Log.Info("state", "state", p.State, "note", p.Note, "order", p.Order)
			}
			last, due = p, false
			word, err := w.Desk.Announce(ctx, p)
			switch {
			case err == nil:
				here = true
				w.accepted()
				if word.Again > 0 {
					tick.Reset(word.Again)
				} else {
					tick.Reset(every)
				}
				word.Again = 0 // no news to anybody else
				w.hear(word)
				known()
			case errors.Is(err, fleet.ErrTwin): // the next one is due soon enough
				here = false
				w.refused()
			default:
				w.Log.Debug("presence", "err", err)
				again = time.After(sayAgain)
			}
		}
		select {
		case <-ctx.Done():
			if here { // else the word that is there is another's
				bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				_ = w.Desk.Leave(bye) // its word ends by itself otherwise
				cancel()
			}
			return
		case <-tick.C:
			due = true
		case <-again:
			due = true
		case <-w.look:
			due = true
		case <-changed:
		case <-machineChanged:
		}
	}
}

// hear takes what the shop wants.
func (w *Worker) hear(word fleet.Word) {
	if word.Menu != nil {
		if err := word.Menu.Check(); err != nil {
			w.Log.Warn("the menu can't be used, the former one stays", "err", err)
			word.Menu = nil
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.heard)
	w.heard, w.heardAt = make(chan struct{}), time.Now()
	if reflect.DeepEqual(w.word, word) {
		return // so that nobody looks around for nothing
	}
	if w.word = word; word.Menu != nil && !reflect.DeepEqual(*word.Menu, w.menu) { // its timelines are many
		w.offers(*word.Menu)
	}
	w.stir()
}

// askAgain has the next word come at once.
func (w *Worker) askAgain() {
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// asked is what the shop wants now, or what it wanted last where no desk answers.
func (w *Worker) asked(ctx context.Context) fleet.Word {
	w.mu.Lock()
	heard := w.heard
	w.mu.Unlock()
	w.askAgain()
	soon, cancel := context.WithTimeout(ctx, fleet.DeskTime)
	defer cancel()
	fleet.Await(soon, heard)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.word
}

// Presence is what the machine says of itself now, and a channel that closes
// when that may have changed.
func (w *Worker) Presence() (fleet.Presence, <-chan struct{}) {
	st := w.Machine.Status()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lately.heed(st)
	p := fleet.Presence{
		Machine: w.cfg.Name, Owner: w.owner, Classes: w.offer.Classes, Sizes: w.offer.Sizes, Never: w.offer.Never, State: fleet.State(st.State),
		Order: w.hand, Cup: w.cfg.Cup, Driver: w.cfg.Driver, MinWaiting: w.cfg.MinWaiting, Drinks: w.drinks,
		Percent: st.Percent, Version: w.cfg.Version, Lacks: st.Lacks, Swapped: w.cfg.Swapped, Care: upkeep(st), Parts: w.parts(),
		LastFault: w.lately.fault, LastAct: w.lately.act,
		Gauges: fleet.Gauges{Beans: fleet.Gauge(st.Gauges.Beans), Water: fleet.Gauge(st.Gauges.Water), Tray: fleet.Gauge(st.Gauges.Tray)},
	}
	if w.drinks > 0 {
		p.Seconds = (w.busy / time.Duration(w.drinks)).Seconds()
	}
	if w.parked(st) {
		p.Drained = w.word.Cordon.At
	}
	why := reasonOf(st.Reason)
	switch {
	case st.State == machine.StateFault:
	case w.twin:
		p.State, why = fleet.StateBlocked, because(fleet.CodeTwin, w.cfg.Name)
	case w.leaving:
		p.State, why = fleet.StateDraining, because(fleet.CodeLeaving, "")
	case w.word.Cordon != nil:
		p.State, why = fleet.StateCordoned, because(fleet.CodeCordoned, w.word.Cordon.By+": "+w.word.Cordon.Reason)
		if p.Drained != "" {
			why = because(fleet.CodeDrained, w.word.Cordon.By+": "+w.word.Cordon.Reason)
		}
		if w.hand != "" {
			p.State = fleet.StateDraining
		}
	case w.owes && w.hand == "":
		p.State, why = fleet.StateUnsynced, because(fleet.CodeUnsynced, "")
	case st.State == machine.StateReady && w.hand == "" && w.useless():
		p.State, why = fleet.StateBlocked, reasonOf(*w.unfit)
	case w.hand != "" && st.State == machine.StateReady:
		p.State = fleet.StateBusy
	case st.CupStands:
		p.State, why = fleet.StateWaiting, because(string(machine.CupStands), "")
	}
	if why == (fleet.Reason{}) && !w.rival.IsZero() && time.Since(w.rival) < rivalTime {
		why = because(fleet.CodeRival, w.cfg.Name)
	}
	// What only a person ends has no time.
	p.Pace = w.pace.say(st.Outlook, p.Able() || p.State == fleet.State(st.State), w.cfg.Cup)
	p.Code, p.Detail, p.Quote, p.Note = why.Code, why.Detail, why.Quote, why.Text
	return p, w.changed
}

// refused notes that another process works under this name: a second service was
// given it, or the machine's folder was copied. That one stays; this one begins
// nothing, and asks again whether it is still so.
func (w *Worker) refused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.twin {
		return
	}
	w.Log.Error("another process works under this machine's name, so this one begins nothing: stop one of the two services, or give it a name and a folder of its own")
	w.twin = true
	w.stir()
}

func (w *Worker) accepted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.twin {
		return
	}
	w.Log.Info("no other process works under this machine's name any more")
	w.twin = false
	w.stir()
}

// lives answers for as long as this process lives. A desk asks when another one
// wants to work under its name; a controller, where an order waits.
func (w *Worker) lives(ctx context.Context) {
	err := w.Server.Serve(ctx, fleet.ProcessSubject(w.cfg.Name, w.owner.Nonce), false, func(_ context.Context, _ string, body []byte) []byte {
		if string(body) == fleet.Lives {
			return []byte("here")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if time.Since(w.rival) > rivalTime {
			w.Log.Error("another process wants to work under this machine's name, and is refused: stop its service, or give it a name and a folder of its own")
			w.stir()
		}
		w.rival = time.Now()
		return []byte("here")
	})
	if ctx.Err() == nil {
		w.Log.Error("nobody can ask whether this process lives", "err", err)
	}
}

// serve hears the commands for this machine on a subject.
func (w *Worker) serve(ctx context.Context, subject string, do func(fleet.Command) fleet.CommandAnswer) {
	err := w.Server.Serve(ctx, subject, false, func(ctx context.Context, _ string, body []byte) []byte {
		var c fleet.Command
		a := fleet.CommandAnswer{Message: "not a command"}
		if err := json.Unmarshal(body, &c); err == nil {
			a = do(c)
		}
		b, _ := json.Marshal(a)
		return b
	})
	if ctx.Err() == nil {
		w.Log.Error("commands", "subject", subject, "err", err)
	}
}

// customer hears what the pages may send, one verb at its own subject: they are not
// asked who stops a machine.
func (w *Worker) customer(verb string) func(fleet.Command) fleet.CommandAnswer {
	return func(c fleet.Command) fleet.CommandAnswer {
		if c.Verb != verb {
			return fleet.CommandAnswer{Message: fmt.Sprintf("the command %q is not heard here", c.Verb)}
		}
		return w.command(c)
	}
}

func (w *Worker) command(c fleet.Command) fleet.CommandAnswer {
	var err error
	switch c.Verb {
	case fleet.CommandCurves: // it changes nothing, so there is nothing to write down
		return fleet.CommandAnswer{OK: true, Message: "done", Curves: curves(w.Machine.Curves(), time.Now())}
	case fleet.CommandTry:
		var got *fleet.Tried
		if got, err = w.try(c); err == nil {
			w.did(c)
			w.Log.Info("command", "verb", c.Verb, "part", c.What, "by", c.By, "why", c.Why, "shown", got.Shown)
			return fleet.CommandAnswer{OK: true, Message: "done", Tried: got}
		}
	case fleet.CommandCared:
		if c.By == "" {
			err = errors.New("who has cared for it is missing")
			break
		}
		err = w.Machine.Cared(machine.Care(c.What))
	case fleet.CommandCup:
		err = w.Machine.CupThere(c.Order)
	case fleet.CommandEnough:
		err = w.Machine.StopDrink(c.Order)
	case "stop":
		if c.By == "" {
			err = fmt.Errorf("who stops it is missing")
			break
		}
		w.Machine.Stop("by " + c.By + ": " + c.Why)
	case "settings", fleet.CommandBack: // what the shop wants has changed
		w.askAgain()
	case "clear-fault":
		err = w.Machine.ClearFault(c.By, c.Why)
	default:
		err = fmt.Errorf("this machine does not know the command %q", c.Verb)
	}
	if err != nil {
		return fleet.CommandAnswer{Message: err.Error()}
	}
	if c.By != "" && c.Verb != "settings" {
		w.did(c)
	}
	w.Log.Info("command", "verb", c.Verb, "order", c.Order, "by", c.By, "why", c.Why)
	return fleet.CommandAnswer{OK: true, Message: "done"}
}
