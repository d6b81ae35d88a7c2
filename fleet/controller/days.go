package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
)

// Claims are kept for Config.KeepDays days that the shop ran, counted by hours
// of the monotonic clock: a wall clock that jumps a year must not throw away the
// claims that keep old orders from being poured again. What a claim's age is
// counted by is its revision, which only grows; no clock is asked at all.

// keyDays is where the count stands in coffee-settings.
const keyDays = "controller.days"

// dayRecord is the count as it is stored.
type dayRecord struct {
	Hours int       `json:"hours"` // that a controller ran
	Marks []dayMark `json:"marks"` // one per day, oldest first
}

// dayMark says that up to this revision every claim is at least as old as the
// day.
type dayMark struct {
	Day      int    `json:"day"`
	Revision uint64 `json:"revision"`
}

// runDays counts hours. Several controllers count together: whoever finds that
// another one has counted within its own hour adds none.
func (c *Controller) runDays(ctx context.Context) {
	last := -1 // not read yet
	if r, err := c.readDays(ctx); err == nil {
		last = r.Hours
	}
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			hours, err := c.addHour(ctx, last)
			if err != nil && ctx.Err() == nil {
				c.log.Warn("the days could not be counted; claims are kept a little longer", "err", err)
			}
			last = hours
		}
	}
}

func (c *Controller) readDays(ctx context.Context) (r dayRecord, err error) {
	v, err := c.p.Settings.Get(ctx, keyDays)
	if errors.Is(err, fleet.ErrNotFound) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(v, &r); err != nil {
		c.log.Error("the count of days can't be read and begins anew", "err", err)
		return dayRecord{}, nil
	}
	return r, nil
}

// addHour counts one hour if nobody else has since the count was last, and at
// the end of a day purges what is old enough. It returns the count.
func (c *Controller) addHour(ctx context.Context, last int) (int, error) {
	r, err := c.readDays(ctx)
	if err != nil || r.Hours != last {
		return r.Hours, err
	}
	r.Hours++
	purge, due := r.turn(c.book.latest(), c.cfg.KeepDays)
	v, err := json.Marshal(r)
	if err != nil {
		return last, err
	}
	if err := c.p.Settings.Put(ctx, keyDays, v); err != nil {
		return last, err
	}
	if !due {
		return r.Hours, nil
	}
	return r.Hours, c.purge(ctx, purge)
}

// turn marks the end of a day, and returns up to which revision claims are old
// enough to go.
func (r *dayRecord) turn(latest uint64, keep int) (upTo uint64, due bool) {
	if r.Hours%24 != 0 {
		return 0, false
	}
	day := r.Hours / 24
	if n := len(r.Marks); n > 0 && r.Marks[n-1].Revision > latest {
		// The store was made anew, or only claims of long ago are left. Numbers
		// that begin anew must not make new claims look old.
		r.Marks = nil
	}
	r.Marks = append(r.Marks, dayMark{day, latest})
	old := slices.IndexFunc(r.Marks, func(m dayMark) bool { return day-m.Day < keep })
	if old <= 0 {
		return 0, false
	}
	upTo = r.Marks[old-1].Revision
	r.Marks = slices.Clone(r.Marks[old-1:])
	return upTo, true
}

// purge removes the claims that ended, were not changed since the revision, and
// have no message left in the queue: a message without a claim is poison.
func (c *Controller) purge(ctx context.Context, upTo uint64) error {
	stored, err := c.p.Orders.Stored(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, s := range stored {
		there[s.Order] = true
	}
	var old []string
	look, stop := context.WithCancel(ctx)
	defer stop()
	err = c.p.Claims.Watch(look, func(e fleet.ClaimEntry) {
		if e.Phase.Ended() && e.Revision <= upTo && !there[e.Order.ID] {
			old = append(old, e.Order.ID)
		}
	}, stop)
	if look.Err() == nil || ctx.Err() != nil {
		return fmt.Errorf("the claims could not be listed: %w", err)
	}
	for _, id := range old {
		if err := c.p.Claims.Purge(ctx, id); err != nil {
			return err
		}
	}
	if len(old) > 0 {
		c.log.Info("old claims are removed", "count", len(old), "days", c.cfg.KeepDays)
	}
	return nil
}
