package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"barista/fleet"
)

// Remember is how long a machine that went away still counts as known.
const Remember = 7 * 24 * time.Hour

// seen is what the settings hold of a machine that was here.
type seen struct {
	Classes []fleet.Class `json:"classes"`
	Sizes   []fleet.Size  `json:"sizes"`
	Never   []fleet.Never `json:"never,omitempty"`
	At      time.Time     `json:"at"` // the broker's clock
}

// lists reports whether that is what the machine lists.
func (s seen) lists(p fleet.Presence) bool {
	return slices.Equal(s.Classes, p.Classes) && slices.Equal(s.Sizes, p.Sizes) && slices.Equal(s.Never, p.Never)
}

// roll is the fold itself: who is here, who was, who is out of service. It locks
// nothing and asks nobody.
type roll struct {
	here    map[string]fleet.Presence
	over    map[string]uint64 // the last word of one that fell silent, see fleet.Presence.Said
	seen    map[string]seen
	cordons map[string]fleet.Cordon
}

func newRoll() roll {
	return roll{map[string]fleet.Presence{}, map[string]uint64{}, map[string]seen{}, map[string]fleet.Cordon{}}
}

// word folds what a machine says of itself, or that it says no more.
func (r roll) word(p fleet.Presence, here bool) {
	if !here {
		delete(r.here, p.Machine)
	} else if fleet.IsToken(p.Machine) {
		r.here[p.Machine] = p
	}
}

// setting folds one key of the settings; a nil value says that it was deleted.
func (r roll) setting(key string, value []byte) error {
	if name, is := fleet.CordonedBy(key); is {
		if delete(r.cordons, name); value != nil {
			r.cordons[name] = fleet.ParseCordon(value)
		}
	} else if name, is := fleet.SeenBy(key); is {
		if delete(r.seen, name); value != nil {
			var s seen
			err := json.Unmarshal(value, &s)
			if err == nil {
				err = fleet.Presence{Machine: name, Classes: s.Classes, Sizes: s.Sizes, Never: s.Never}.Check()
			}
			if err == nil {
				r.seen[name] = s
			}
			return err
		}
	}
	return nil
}

// machine is what is known of one; nil if nothing is. now is the broker's clock;
// where it is zero no record is too old.
func (r roll) machine(name string, now time.Time) *fleet.Machine {
	var m fleet.Machine
	known := false
	if s, was := r.seen[name]; was && now.Sub(s.At) < Remember {
		m.Presence = fleet.Presence{Machine: name, Classes: s.Classes, Sizes: s.Sizes, Never: s.Never}
		m.Seen, known = s.At, true
	}
	if p, here := r.here[name]; here {
		m.Presence, m.Here, known = p, true, true
	}
	if c, is := r.cordons[name]; is {
		// One that has left for good is only known if it is back: then everybody sees that it
		// is out of service, and why.
		m.Machine, m.Cordon, known = name, &c, m.Here || !c.Retired
	}
	if !known {
		return nil
	}
	if !m.Here {
		m.Said = r.over[name]
	}
	return &m
}

// machines lists them by name.
func (r roll) machines(now time.Time) []*fleet.Machine {
	names := slices.AppendSeq(slices.Collect(maps.Keys(r.here)), maps.Keys(r.seen))
	names = slices.AppendSeq(names, maps.Keys(r.cordons))
	slices.Sort(names)
	names = slices.Compact(names)
	out := make([]*fleet.Machine, 0, len(names))
	for _, name := range names {
		if m := r.machine(name, now); m != nil {
			out = append(out, m)
		}
	}
	return out
}

// Read takes one look. It follows nothing and writes nothing down.
func (p Parts) Read(ctx context.Context) ([]fleet.Machine, error) {
	here, err := p.Fleet.Present(ctx)
	if err != nil {
		return nil, err
	}
	r := newRoll()
	for _, one := range here {
		r.word(one, true)
	}
	err = fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
		// What can't be read is the roll's to report; here it counts as it does there.
		return p.Settings.Watch(ctx, func(key string, value []byte) { _ = r.setting(key, value) }, ready)
	})
	if err != nil {
		return nil, fmt.Errorf("the settings could not be read: %w", err)
	}
	now, err := p.Now(ctx)
	if err != nil {
		return nil, err
	}
	var out []fleet.Machine
	for _, m := range r.machines(now) {
		out = append(out, *m)
	}
	return out, nil
}

// Names lists who is here, or is known.
func (p Parts) Names(ctx context.Context) (names []string, err error) {
	all, err := p.Read(ctx)
	for _, m := range all {
		names = append(names, m.Machine)
	}
	return names, err
}
