package service

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// oftenIn and oftenMost bound the lines of one message: so many in so much time.
	// The loudest healthy shop says nothing as often; what arrives by the million says
	// the same each time.
	oftenIn   = 10 * time.Second
	oftenMost = 50
	// mostCauses bounds how many messages are told apart; they are constants of the
	// program, and the broker's.
	mostCauses = 1000
	otherCause = "other"
)

// NotTooOften is a log that whoever floods the service can't fill the disk with: of
// one message it passes on oftenMost lines in oftenIn, and says how many it left out.
func NotTooOften(h slog.Handler) slog.Handler { return often{h, &causes{by: map[string]*cause{}}} }

type often struct {
	slog.Handler
	causes *causes
}

// causes is what was said, by message.
type causes struct {
	mu     sync.Mutex // guards what follows
	by     map[string]*cause
	looked time.Time // at all of them
}

// cause is one message in its present time.
type cause struct {
	level   slog.Level
	from    time.Time
	said    int
	leftOut int
}

func (o often) Handle(ctx context.Context, r slog.Record) error {
	pass, over := o.causes.say(r.Level, r.Message)
	for message, c := range over {
		note := slog.NewRecord(r.Time, c.level, "the same was said too often; lines were left out", 0)
		note.AddAttrs(slog.String("of", message), slog.Int("lines", c.leftOut))
		if err := o.Handler.Handle(ctx, note); err != nil {
			return err
		}
	}
	if !pass {
		return nil
	}
	return o.Handler.Handle(ctx, r)
}

// say counts a line. over are those messages whose time is over and of which lines
// were left out.
func (c *causes) say(level slog.Level, message string) (pass bool, over map[string]cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.looked) >= oftenIn {
		c.looked = now
		for m, one := range c.by {
			if now.Sub(one.from) < oftenIn {
				continue
			}
			if one.leftOut > 0 {
				if over == nil {
					over = map[string]cause{}
				}
				over[m] = *one
			}
			delete(c.by, m)
		}
	}
	if len(c.by) >= mostCauses && c.by[message] == nil {
		message = otherCause
	}
	one := c.by[message]
	if one == nil {
		one = &cause{level: level, from: now}
		c.by[message] = one
	}
	if one.said++; one.said > oftenMost {
		one.leftOut++
		return false, over
	}
	return true, over
}

func (o often) WithAttrs(attrs []slog.Attr) slog.Handler {
	return often{o.Handler.WithAttrs(attrs), o.causes}
}

func (o often) WithGroup(name string) slog.Handler {
	return often{o.Handler.WithGroup(name), o.causes}
}
