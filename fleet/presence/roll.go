package presence

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/fleet"
)

// Remember is how long a machine that went away still counts as known.
const Remember = 7 * 24 * time.Hour

// seen is what the settings hold of a machine that was here.
type seen struct {
	Classes []fleet.Class `json:"classes"`
	Sizes   []fleet.Size  `json:"sizes"`
	At      time.Time     `json:"at"` // the broker's clock
}

const seenPrefix = "seen."

// seenKey is where the record of a machine stands in coffee-settings.
func seenKey(machine string) string { return fleet.Subject("seen", machine) }

// roll is the fold itself: who is here, who was, who is out of service. It locks
// nothing and asks nobody.
type roll struct {
	here    map[string]fleet.Presence
	seen    map[string]seen
	cordons map[string]fleet.Cordon
}

func newRoll() roll {
	return roll{map[string]fleet.Presence{}, map[string]seen{}, map[string]fleet.Cordon{}}
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
	} else if name, is := strings.CutPrefix(key, seenPrefix); is && fleet.IsToken(name) {
		if delete(r.seen, name); value != nil {
			var s seen
			err := json.Unmarshal(value, &s)
			r.seen[name] = s
			return err
		}
	}
	return nil
}

// machines lists them by name. now is the broker's clock; where it is zero no
// record is too old.
func (r roll) machines(now time.Time) []fleet.Machine {
	all := map[string]fleet.Machine{}
	for name, s := range r.seen {
		if now.Sub(s.At) < Remember {
			all[name] = fleet.Machine{Presence: fleet.Presence{Machine: name, Classes: s.Classes, Sizes: s.Sizes}, Seen: s.At}
		}
	}
	for name, p := range r.here {
		all[name] = fleet.Machine{Presence: p, Here: true, Seen: all[name].Seen}
	}
	for name, c := range r.cordons {
		m := all[name]
		m.Machine, m.Cordon = name, &c
		all[name] = m
	}
	return slices.SortedFunc(maps.Values(all), func(a, b fleet.Machine) int { return cmp.Compare(a.Machine, b.Machine) })
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
	return r.machines(now), nil
}
