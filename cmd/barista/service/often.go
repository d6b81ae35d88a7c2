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
	// mostCauses bounds how many messages of one place of the program are told apart.
	// They are constants, but for what is passed on of the broker and of clients.
	mostCauses = 100
	otherCause = "other"
)

// NotTooOften is a log that whoever floods the service can't fill the disk with: of
// one message it passes on oftenMost lines in oftenIn, and says how many it left out.
func NotTooOften(h slog.Handler) slog.Handler {
	return often{h, &causes{out: h, by: map[key]*cause{}, at: map[place]int{}}}
}

type often struct {
	slog.Handler
	causes *causes
}

// causes is what was said.
type causes struct {
	out slog.Handler // without anything of the logger that speaks

	mu     sync.Mutex // guards what follows
	by     map[key]*cause
	at     map[place]int // how many of them
	looked time.Time     // at all of them
}

// place is where the program speaks, and how loud: an error is none of a place's many
// warnings.
type place struct {
	pc    uintptr
	level slog.Level
}

// key is what counts as one cause: a message at a level, or what is too many of one
// place to be told apart.
type key struct {
	message string
	of      place
}

// cause is one of them in its present time.
type cause struct {
	from    time.Time
	first   place
	said    int
	leftOut int
}

func (o often) Handle(ctx context.Context, r slog.Record) error {
	pass, over := o.causes.say(place{r.PC, r.Level}, r.Message)
	for k, c := range over {
		note := slog.NewRecord(r.Time, c.first.level, "the same was said too often; lines were left out", 0)
		note.AddAttrs(slog.String("of", k.message), slog.Int("lines", c.leftOut))
		if err := o.causes.out.Handle(ctx, note); err != nil {
			return err
		}
	}
	if !pass {
		return nil
	}
	return o.Handler.Handle(ctx, r)
}

// say counts a line. over are those causes whose time is over and of which lines were
// left out.
func (c *causes) say(at place, message string) (pass bool, over map[key]cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.looked) >= oftenIn {
		c.looked = now
		for k, one := range c.by {
			if now.Sub(one.from) < oftenIn {
				continue
			}
			if one.leftOut > 0 {
				if over == nil {
					over = map[key]cause{}
				}
				over[k] = *one
			}
			delete(c.by, k)
			if c.at[one.first]--; c.at[one.first] == 0 {
				delete(c.at, one.first)
			}
		}
	}
	k := key{message, place{level: at.level}}
	if c.by[k] == nil && c.at[at] >= mostCauses {
		k = key{otherCause, at}
	}
	one := c.by[k]
	if one == nil {
		one = &cause{from: now, first: at}
		c.by[k] = one
		c.at[at]++
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
