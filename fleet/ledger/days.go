package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
)

// Records are kept for Config.KeepDays days that the shop ran, counted by hours of
// the monotonic clock: a wall clock that jumps a year must not throw away the
// records that keep old orders from being poured again. What a record's age is
// counted by is its sequence, which only grows; no clock is asked at all.

// keyDays is where the count stands in coffee-settings.
const keyDays = "book.days"

// dayRecord is the count as it is stored.
type dayRecord struct {
	Hours int       `json:"hours"` // that a shop ran
	Marks []dayMark `json:"marks"` // one per day, oldest first
	Gone  uint64    `json:"gone"`  // up to here the book was trimmed
}

// dayMark says that up to this sequence every record is at least as old as the
// day.
type dayMark struct {
	Day int    `json:"day"`
	Seq uint64 `json:"seq"`
}

// countDays counts hours. Several processes count together: whoever finds that
// another one has counted within its own hour adds none.
func (l *Ledger) countDays(ctx context.Context) {
	last := -1 // not read yet
	if r, err := l.readDays(ctx); err == nil {
		last = r.Hours
	}
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			hours, err := l.addHour(ctx, last)
			if err != nil && ctx.Err() == nil {
				l.log.Warn("the days could not be counted; records are kept a little longer", "err", err)
			}
			last = hours
		}
	}
}

// maxHours is a hundred years.
const maxHours = 100 * 366 * 24

// check says why this can't be a count. One that had jumped would throw away
// records that keep old orders from being poured again.
func (r dayRecord) check() error {
	if r.Hours < 0 || r.Hours > maxHours {
		return fmt.Errorf("%d hours: 0 to %d", r.Hours, maxHours)
	}
	for i, m := range r.Marks {
		if m.Day < 0 || m.Day > r.Hours/24 || i > 0 && (m.Day < r.Marks[i-1].Day || m.Seq < r.Marks[i-1].Seq) {
			return fmt.Errorf("day %d of %d, at record %d: out of order", m.Day, r.Hours/24, m.Seq)
		}
	}
	return nil
}

func (l *Ledger) readDays(ctx context.Context) (r dayRecord, err error) {
	v, err := l.parts.Settings.Get(ctx, keyDays)
	if errors.Is(err, fleet.ErrNotFound) {
		return r, nil
	}
	if err == nil {
		if err = json.Unmarshal(v, &r); err == nil {
			err = r.check()
		}
	} else if !errors.Is(err, fleet.ErrDamaged) {
		return r, err
	}
	if err != nil {
		l.log.Error("the count of days can't be read and begins anew", "err", err)
		return dayRecord{}, nil
	}
	return r, nil
}

// addHour counts one hour if nobody else has since the count was last, and at the
// end of a day removes what is old enough. It returns the count.
func (l *Ledger) addHour(ctx context.Context, last int) (int, error) {
	r, err := l.readDays(ctx)
	if err != nil || r.Hours != last {
		return r.Hours, err
	}
	r.Hours++
	upTo, due := r.turn(l.Upto(), l.cfg.KeepDays)
	if due {
		r.Gone = upTo
	}
	v, err := json.Marshal(r)
	if err != nil {
		return last, err
	}
	if err := l.parts.Settings.Put(ctx, keyDays, v); err != nil {
		return last, err
	}
	if !due {
		return r.Hours, nil
	}
	return r.Hours, l.trim(ctx, upTo+1)
}

// turn marks the end of a day, and returns up to which sequence records are old
// enough to go, if any are that did not go before.
func (r *dayRecord) turn(latest uint64, keep int) (upTo uint64, due bool) {
	if r.Hours%24 != 0 {
		return 0, false
	}
	day := r.Hours / 24
	if n := len(r.Marks); n > 0 && r.Marks[n-1].Seq > latest {
		// The store was made anew. Numbers that begin anew must not make new records
		// look old.
		r.Marks, r.Gone = nil, 0
	}
	r.Marks = append(r.Marks, dayMark{day, latest})
	old := slices.IndexFunc(r.Marks, func(m dayMark) bool { return day-m.Day < keep })
	if old <= 0 {
		return 0, false
	}
	upTo = r.Marks[old-1].Seq
	r.Marks = slices.Clone(r.Marks[old-1:])
	return upTo, upTo > r.Gone
}
