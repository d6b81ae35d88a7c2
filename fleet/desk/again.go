package desk

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"barista/fleet"
)

const (
	// together is how long words that say nothing new wait for each other.
	together = time.Second
	// recount is how old the number of machines may be by which they are paced.
	recount = time.Second
)

// machine is what the roll knows of a machine that is here, or nil.
func (d *Desk) machine(name string) *fleet.Machine {
	all := d.p.Roll.Machines()
	i, known := slices.BinarySearchFunc(all, name, func(m *fleet.Machine, name string) int { return strings.Compare(m.Machine, name) })
	if !known || !all[i].Here {
		return nil
	}
	return all[i]
}

// paced is a word as it is passed on, with how long it counts, and when its machine
// shall come again. Whether an order is in good hands goes by who says that it has it,
// so one with an order comes as often in any fleet; a spare looks by itself.
func (d *Desk) paced(p fleet.Presence) (fleet.Presence, time.Duration) {
	p.Lasts = 0
	every, lasts := fleet.PresencePace(d.count())
	if p.Order != "" || p.MinWaiting > 0 || every == fleet.PresenceEvery {
		return p, 0
	}
	p.Lasts = int(lasts / time.Second)
	return p, every
}

// count is how many machines are here.
func (d *Desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); d.counted.IsZero() || now.Sub(d.counted) > recount {
		d.counted, d.here = now, 0
		for _, m := range d.p.Roll.Machines() {
			if m.Here {
				d.here++
			}
		}
	}
	return d.here
}

// announce has a word stand for its machine. One that stands there already, of a
// machine without an order, is said again together with those of other machines, and
// nobody waits for it: so a thousand machines cost one write, not a thousand. What
// else was said meanwhile stays, by the revision; one that gets lost is not missed
// before the next one, and that is then news to the roll.
func (d *Desk) announce(ctx context.Context, p fleet.Presence) error {
	if m := d.machine(p.Machine); m != nil && m.Said > 0 && p.Order == "" && !d.forgotten() {
		if p.Said = m.Said; reflect.DeepEqual(p, m.Presence) {
			d.mu.Lock()
			d.again[p.Machine] = p
			d.mu.Unlock()
			select {
			case d.due <- struct{}{}:
			default:
			}
			return nil
		}
		p.Said = 0
	}
	return d.p.Fleet.Announce(ctx, p)
}

// forgotten reports whether the broker may have lost what stood there, since the roll saw
// it: it keeps that in memory. For as long as a word may count, each is said anew then.
func (d *Desk) forgotten() bool {
	if d.p.Reconnected == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.back:
		d.back, d.anew = d.p.Reconnected(), time.Now().Add(fleet.PresenceMost)
	default:
	}
	return time.Now().Before(d.anew)
}

// repeat says again what waits for it.
func (d *Desk) repeat(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.due:
		}
		fleet.Pause(ctx, together)
		d.mu.Lock()
		words := make([]fleet.Presence, 0, len(d.again))
		for _, p := range d.again {
			words = append(words, p)
		}
		clear(d.again)
		d.mu.Unlock()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), fleet.DeskTime)
		if err := d.p.Fleet.Again(last, words); err != nil {
			d.log.Debug("who is here could not be said again", "machines", len(words), "err", err)
		}
		cancel()
	}
}
