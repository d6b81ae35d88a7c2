package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
)

// settings is what the shop wants of its machines.
type settings struct {
	known   bool // all was read that stood there
	menu    *fleet.Menu
	cordons map[string]fleet.Cordon
}

// follow keeps the settings.
func (d *Desk) follow(ctx context.Context) {
	fleet.Keep(ctx, d.log, "settings", func() error {
		return d.p.Settings.Watch(ctx, d.setting, func() {
			d.mu.Lock()
			d.settings.known = true
			d.mu.Unlock()
		})
	})
}

// setting takes one key of the settings; a nil value says that it was deleted.
func (d *Desk) setting(key string, value []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.settings
	machine, is := fleet.CordonedBy(key)
	switch {
	case is:
		if delete(s.cordons, machine); value != nil {
			s.cordons[machine] = fleet.ParseCordon(value)
		}
	case key == fleet.KeyMenu && value != nil:
		m, err := fleet.ParseMenu(value)
		if err != nil {
			d.log.Warn("the menu can't be used, the former one stays", "err", err)
			return
		}
		s.menu, machine = &m, ""
	default:
		return
	}
	if s.known {
		select {
		case d.tell <- machine: // empty for the menu
		default: // they ask by themselves every few seconds
		}
	}
}

// nudge has machines ask anew when what the shop wants of them changed. It is a
// word, not the change itself: what counts is what they are told then.
func (d *Desk) nudge(ctx context.Context) {
	body, _ := json.Marshal(fleet.Command{Verb: "settings"})
	for {
		var machine string
		select {
		case <-ctx.Done():
			return
		case machine = <-d.tell:
		}
		for _, m := range d.p.Roll.Machines() {
			if m.Here && (machine == "" || m.Machine == machine) {
				soon, cancel := context.WithTimeout(ctx, time.Second)
				_, err := d.p.Requester.Request(soon, fleet.CommandSubject(m.Machine), body)
				cancel()
				if err != nil && ctx.Err() == nil {
					d.log.Debug("a machine did not hear that something changed", "machine", m.Machine, "err", err)
				}
			}
		}
	}
}

// presence passes on what a machine says of itself, and answers what the shop
// wants of it.
func (d *Desk) presence(ctx context.Context, machine string, a fleet.Ask) fleet.Told {
	p := a.Presence
	if p == nil || p.Machine != machine || p.Owner != a.Owner {
		return refused("a word about another machine, or none")
	}
	d.mu.Lock()
	known, word := d.settings.known, fleet.Word{Menu: d.settings.menu}
	if c, is := d.settings.cordons[machine]; is {
		word.Cordon = &c
	}
	d.mu.Unlock()
	if !known {
		return notDone(errors.New("the settings are not read yet"))
	}
	if d.twin(ctx, a.Owner) {
		return twin(machine)
	}
	said, again := d.paced(*p)
	if err := d.announce(ctx, said); err != nil {
		return notDone(err)
	}
	word.Again = again
	for _, m := range d.p.Roll.Machines() {
		if m.Machine == machine || !m.Here || m.Cordon != nil || m.MinWaiting > 0 || // a spare comes later
			slices.ContainsFunc(p.Classes, func(c fleet.Class) bool { return !slices.Contains(m.Classes, c) }) ||
			slices.ContainsFunc(p.Sizes, func(s fleet.Size) bool { return !slices.Contains(m.Sizes, s) }) ||
			slices.ContainsFunc(m.Never, func(n fleet.Never) bool { return !slices.Contains(p.Never, n) }) {
			continue
		}
		word.Able = word.Able || m.State == fleet.StateReady || m.State == fleet.StateBusy
		if word.Able {
			break // then nobody asks who is soon, and a thousand machines need not be looked at
		}
		word.Soon = word.Soon || m.State == fleet.StateWaiting
	}
	word.Waiting = d.p.Waiting(p.Classes)
	word.Next, word.Alone = d.queued(*p)
	return fleet.Told{Word: &word}
}

// queued is what waits of what a machine makes, each class by its first order; alone are
// for a spare those of which something waits that nobody else here makes now. Its care
// waits while it is the last that makes something, unless a person wants it all the same.
func (d *Desk) queued(p fleet.Presence) (next, alone []fleet.Class) {
	const most = 64 // as many as a machine may list
	type cup struct {
		class fleet.Class
		size  fleet.Size
		sugar int
	}
	seen := map[cup]bool{} // who makes one of them makes all
	for _, e := range d.p.Queue() {
		o := e.Order
		of := cup{o.Class(), o.Size, o.Sugar}
		if e.Phase != fleet.Accepted || seen[of] || !p.Makes(o) || o.IsCare() && e.Via != fleet.ViaCareLast && len(p.OnlyHere(d.p.Roll.Machines())) > 0 {
			continue
		}
		seen[of] = true
		if !slices.Contains(next, of.class) && len(next) < most {
			next = append(next, of.class)
		}
		if p.MinWaiting == 0 || slices.Contains(alone, of.class) || len(alone) == most {
			continue
		}
		if !slices.ContainsFunc(d.p.Roll.Machines(), func(m *fleet.Machine) bool {
			return m.Machine != p.Machine && m.Serves(o)
		}) {
			alone = append(alone, of.class)
		}
	}
	return next, alone
}

// probeTime is how long a process has to say that it lives.
const probeTime = time.Second

// twin reports whether another process than the one that asks works under the
// machine's name: two services were given one name, or a folder was copied. The one
// that is here already stays, and hears of it by the question. Only where nobody
// listens any more is it surely gone; one that does not answer may just be slow, and
// its word of presence ends by itself.
func (d *Desk) twin(ctx context.Context, o fleet.Owner) bool {
	m := d.machine(o.Machine)
	if m == nil || o.Nonce == "" || o.Nonce == m.Owner.Nonce || !fleet.IsNonce(m.Owner.Nonce) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	_, err := d.p.Requester.Request(ctx, fleet.ProcessSubject(o.Machine, m.Owner.Nonce), nil)
	return !errors.Is(err, fleet.ErrNobody)
}

func twin(machine string) fleet.Told {
	return fleet.Told{Code: fleet.DeskTwin, Text: "another process works as " + machine}
}

func (d *Desk) leave(ctx context.Context, machine string, _ fleet.Ask) fleet.Told {
	if err := d.p.Fleet.Leave(ctx, machine); err != nil {
		return notDone(err)
	}
	return fleet.Told{}
}

// poison keeps what can't be an order: told to whoever looks, with what came.
func (d *Desk) poison(ctx context.Context, machine string, a fleet.Ask) fleet.Told {
	if a.Poison == nil {
		return refused("nothing to keep")
	}
	id := fleet.PoisonID(fleet.StreamOrders, a.Poison.Seq)
	if !fleet.IsToken(id) {
		return refused("no queue has a message %d", a.Poison.Seq)
	}
	why := fleet.Plain(a.Poison.Why)
	err := d.p.Events.Publish(ctx, fleet.Event{
		Order: id, Kind: fleet.EvRefused, At: time.Now(), Machine: machine, Subject: fleet.Plain(a.Poison.Subject), Payload: a.Poison.Payload,
		Reason: fleet.Reason{Code: fleet.CodeInvalid, Quote: why, Text: why},
	}, 0)
	if err != nil {
		return notDone(fmt.Errorf("it is not kept: %w", err))
	}
	d.log.Warn("a message in the queue is no order", "machine", machine, "seq", a.Poison.Seq, "why", why)
	return fleet.Told{}
}
