package chaos

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"barista/fleet"
)

// mute is the log of one life: a dead machine says nothing.
type mute struct {
	slog.Handler
	dead *atomic.Bool
}

// Enabled reports whether anything of that level is said.
func (m mute) Enabled(ctx context.Context, l slog.Level) bool {
	return !m.dead.Load() && m.Handler.Enabled(ctx, l)
}

// WithAttrs is a log of the same life.
func (m mute) WithAttrs(a []slog.Attr) slog.Handler { return mute{m.Handler.WithAttrs(a), m.dead} }

// WithGroup is a log of the same life.
func (m mute) WithGroup(name string) slog.Handler { return mute{m.Handler.WithGroup(name), m.dead} }

// desk is a desk that a dead machine can't ask. It answers what has the machine's worker
// leave an outcome to the journal at once, where it else would try for a while.
type desk struct {
	fleet.Desk
	dead *atomic.Bool
}

// Take reads a claim.
func (d desk) Take(ctx context.Context, order string) (fleet.Told, error) {
	if d.dead.Load() {
		return fleet.Told{}, fleet.ErrClosed
	}
	return d.Desk.Take(ctx, order)
}

// Ask asks for an arrow.
func (d desk) Ask(ctx context.Context, verb string, read fleet.Entry, a fleet.Ask) (fleet.Entry, error) {
	if d.dead.Load() {
		return fleet.Entry{}, fleet.ErrClosed
	}
	return d.Desk.Ask(ctx, verb, read, a)
}

// Announce says that it is here.
func (d desk) Announce(ctx context.Context, p fleet.Presence) (fleet.Word, error) {
	if d.dead.Load() {
		return fleet.Word{}, fleet.ErrClosed
	}
	return d.Desk.Announce(ctx, p)
}

// Leave takes its word back.
func (d desk) Leave(ctx context.Context) error {
	if d.dead.Load() {
		return fleet.ErrClosed
	}
	return d.Desk.Leave(ctx)
}

// tickets are those of a machine; a dead one can't let go of what it holds.
type tickets struct {
	fleet.Tickets
	dead *atomic.Bool
}

// Next takes one.
func (t tickets) Next(ctx context.Context, classes []fleet.Class, wanted func() bool, first ...fleet.Class) (*fleet.Ticket, error) {
	one, err := t.Tickets.Next(ctx, classes, wanted, first...)
	if one != nil {
		one.Settlement = settlement{one.Settlement, t.dead}
	}
	return one, err
}

type settlement struct {
	fleet.Settlement
	dead *atomic.Bool
}

// Beat says that it is at it.
func (s settlement) Beat() error {
	if s.dead.Load() {
		return fleet.ErrStale
	}
	return s.Settlement.Beat()
}

// Done lets go of it.
func (s settlement) Done(ctx context.Context) error {
	if s.dead.Load() {
		return fleet.ErrStale
	}
	return s.Settlement.Done(ctx)
}

// Terminate lets go of it.
func (s settlement) Terminate(ctx context.Context, reason string, ended bool) error {
	if s.dead.Load() {
		return fleet.ErrStale
	}
	return s.Settlement.Terminate(ctx, reason, ended)
}

// Return lets go of it.
func (s settlement) Return(ctx context.Context, after time.Duration) error {
	if s.dead.Load() {
		return fleet.ErrStale
	}
	return s.Settlement.Return(ctx, after)
}
