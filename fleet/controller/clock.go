package controller

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"barista/fleet"
)

// No wait, lease or age goes by the broker's clock: a computer without a battery
// begins in 1970 and is set forward when it hears the time, and a wrong clock is set
// back. What counts is what this process saw pass. Only of the time before its own
// start it knows nothing by itself; there the broker's clock is believed as far as it
// has gone evenly with the kernel's since some moment of this boot, which is noted in
// the settings. Of the time before that, nothing is proven, and nothing counts.

const (
	// aStep is by how much two clocks must have moved apart so that one was set.
	aStep = 2 * time.Second
	// askedLong is the longest way of an answer that still tells the time.
	askedLong = aStep / 4
	// askIdle is how often it is asked while no order is open.
	askIdle = 10 * time.Minute
	// keyClock is where the marks stand in coffee-settings, by boot.
	keyClock = "clock"
	// mostMarks bounds how many of other boots are kept.
	mostMarks = 4
)

// mark says that the broker's clock and the kernel's showed these at one moment.
type mark struct {
	At time.Time     `json:"at"`
	Up time.Duration `json:"up_ns"` // since the kernel's boot
}

// apart is how far the broker's clock has left the kernel's since m.
func (m mark) apart(now mark) time.Duration { return now.At.Sub(m.At) - (now.Up - m.Up) }

// clock is what is known of the broker's clock.
type clock struct {
	asked time.Time // monotonic
	last  mark      // when it was asked last
	since mark      // from then on it went evenly
}

// ask asks the broker's clock, and says so where it was set.
func (c *clock) ask(ctx context.Context, p *Parts) error {
	asked := time.Now()
	at, err := p.Book.Now(ctx)
	if err != nil {
		return err
	}
	c.asked = asked
	boot, up := p.Boot()
	now := mark{at, up}
	if time.Since(asked) > askedLong {
		return nil // neither is this the time, nor is anything proven by it
	}
	if was := c.last; was != (mark{}) {
		c.last = now
		if by := was.apart(now); by.Abs() > aStep {
			p.Log.Warn("the broker's clock was set; waits and leases go on as if it had not been", "by", by.Round(time.Second), "to", at.UTC().Format(time.RFC3339))
		} else if c.since.apart(now).Abs() <= aStep {
			return nil
		}
		c.since = now
		return note(ctx, p.Settings, boot, now)
	}
	marks, err := readMarks(ctx, p.Settings)
	if err != nil {
		return err
	}
	c.last, c.since = now, now
	if m, there := marks[boot]; there && m.Up <= up {
		by := m.apart(now)
		if by.Abs() <= aStep {
			c.since = m
			return nil
		}
		p.Log.Warn("the broker's clock was set while no controller looked; what waited before may wait as long again", "by", by.Round(time.Second), "to", at.UTC().Format(time.RFC3339))
	}
	return note(ctx, p.Settings, boot, now)
}

// age is how old a record surely is that was there when the clock was asked last.
func (c *clock) age(written time.Time) time.Duration {
	if written.IsZero() {
		return 0
	}
	return min(max(0, c.last.At.Sub(written)), c.last.Up-c.since.Up)
}

// note writes a mark down for the controllers that come after this one.
func note(ctx context.Context, s fleet.Settings, boot string, m mark) error {
	if boot == "" {
		return nil // it could not be told from another
	}
	marks, err := readMarks(ctx, s)
	if err != nil {
		return err
	}
	for other := range marks {
		if len(marks) > mostMarks {
			delete(marks, other)
		}
	}
	marks[boot] = m
	b, err := json.Marshal(marks)
	if err != nil {
		return err
	}
	return s.Put(ctx, keyClock, b)
}

// readMarks reads those of all boots; what can't be read proves nothing.
func readMarks(ctx context.Context, s fleet.Settings) (map[string]mark, error) {
	marks := map[string]mark{}
	b, err := s.Get(ctx, keyClock)
	if errors.Is(err, fleet.ErrNotFound) {
		return marks, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(b, &marks) != nil || marks == nil {
		return map[string]mark{}, nil
	}
	return marks, nil
}
