package window

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"barista/fleet"
)

// machines is a page of who is here, or is known, by name.
func (w *Window) machines(_ context.Context, a ask) (reply, error) {
	select {
	case <-w.p.Roll.Ready():
	default:
		return reply{}, errBusy // it has just started, and would forget some
	}
	p := page{left: w.limit()}
	for _, m := range w.p.Roll.Machines() {
		if m.Machine <= a.After {
			continue
		}
		b, err := json.Marshal(machine(*m))
		if err != nil {
			return reply{}, err
		}
		if !p.add(b) {
			break
		}
	}
	return reply{Machines: p.list, More: p.full}, nil
}

// all is a page of the settings, by key.
func (w *Window) all(ctx context.Context, a ask) (reply, error) {
	all, _, err := w.p.All(ctx)
	if err != nil {
		return reply{}, err
	}
	p := page{left: w.limit()}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if key <= a.After {
			continue
		}
		b, err := json.Marshal(setting{key, all[key]})
		if err != nil {
			return reply{}, err
		}
		if !p.add(b) {
			break
		}
	}
	return reply{Settings: p.list, More: p.full}, nil
}

// stored is a page of the messages in the queue, by sequence.
func (w *Window) stored(ctx context.Context, a ask) (reply, error) {
	all, err := w.p.Stored(ctx)
	if err != nil {
		return reply{}, err
	}
	slices.SortFunc(all, func(x, y fleet.StoredOrder) int { return cmp.Compare(x.Seq, y.Seq) })
	p := page{left: w.limit()}
	for _, m := range all {
		if m.Seq < a.Seq {
			continue
		}
		b, err := json.Marshal(stored(m))
		if err != nil {
			return reply{}, err
		}
		if !p.add(b) {
			break
		}
	}
	return reply{Stored: p.list, More: p.full}, nil
}

func (w *Window) waiting(ctx context.Context, _ ask) (r reply, err error) {
	counts, err := w.p.Waiting(ctx)
	for class, n := range counts {
		r.Waiting = append(r.Waiting, waiting{class, n})
	}
	slices.SortFunc(r.Waiting, func(x, y waiting) int { return strings.Compare(x.String(), y.String()) })
	return r, err
}

func (w *Window) told(ctx context.Context, _ ask) (r reply, err error) {
	r.Seq, err = w.p.Told(ctx)
	return r, err
}

func (w *Window) get(ctx context.Context, a ask) (r reply, err error) {
	if a.Key == "" {
		return r, errRefused
	}
	r.Value, err = w.p.Settings.Get(ctx, a.Key)
	return r, err
}

// put sets the menu or a cordon, if it is one.
func (w *Window) put(ctx context.Context, a ask) (reply, error) {
	if a.Key == fleet.KeyMenu {
		if _, err := fleet.ParseMenu(a.Value); err != nil {
			return reply{}, fleet.ErrNotAllowed
		}
		return reply{}, w.p.Settings.Put(ctx, a.Key, a.Value)
	}
	name, is := fleet.CordonedBy(a.Key)
	var c fleet.Cordon
	if !is || json.Unmarshal(a.Value, &c) != nil || c.By == "" || c.Reason == "" || fleet.Plain(c.By) != c.By || fleet.Plain(c.Reason) != c.Reason {
		return reply{}, fleet.ErrNotAllowed
	}
	if err := w.p.Settings.Put(ctx, a.Key, a.Value); err != nil {
		return reply{}, err
	}
	w.shown(ctx, name, func(now *fleet.Cordon) bool { return now != nil && *now == c || now == nil && c.Retired })
	return reply{}, nil
}

// delete takes a cordon back.
func (w *Window) delete(ctx context.Context, a ask) (reply, error) {
	name, is := fleet.CordonedBy(a.Key)
	if !is {
		return reply{}, fleet.ErrNotAllowed
	}
	if err := w.p.Settings.Delete(ctx, a.Key); err != nil {
		return reply{}, err
	}
	w.shown(ctx, name, func(now *fleet.Cordon) bool { return now == nil })
	return reply{}, nil
}

// shownFor is how long an answer waits until the roll shows what was set.
const shownFor = time.Second

// shown waits until the roll shows a machine's cordon as it was set, so that who looks
// next sees it; another controller may show it a moment later.
func (w *Window) shown(ctx context.Context, name string, ok func(*fleet.Cordon) bool) {
	ctx, cancel := context.WithTimeout(ctx, shownFor)
	defer cancel()
	for {
		changed := w.p.Roll.Changed()
		var now *fleet.Cordon
		for _, m := range w.p.Roll.Machines() {
			if m.Machine == name {
				now = m.Cordon
			}
		}
		if ok(now) || !fleet.Await(ctx, changed) {
			return
		}
	}
}
